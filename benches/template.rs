//! How long it takes from the node's answer to the first job, and from a share to a block for submitblock.
//! CONTRIBUTING.md says how to run them, DECISIONS.md what came out.
#![allow(clippy::unwrap_used)] // what fails here is a fault of the bench

use std::hint::black_box;
use std::sync::Arc;

use bitcoin::Address;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use signalcore::work::block::{JobLabel, SoloJob};
use signalcore::work::coinbase_builder::{CoinbasePlan, Payee, Tag};
use signalcore::work::header::sha256d;
use signalcore::work::template::{Template, TemplateAnswer};
use signalcore::work::{Difficulty, Epoch, Extranonce2, Extranonce2Size, JobId, Share, Work, merkle};

#[path = "../tests/support/full_template.rs"]
mod full_template;

/// Transactions of a usual block, and of one that is full.
const SIZES: [usize; 2] = [3_000, 4_000];

/// The whole way, and the stages that it consists of: the JSON, the checks, the job.
fn to_job(criterion: &mut Criterion) {
    let plan = plan();
    for size in SIZES {
        let text = full_template::template(size);
        let mut group = criterion.benchmark_group(format!("template of {size} transactions"));
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function("to job", |bencher| {
            bencher.iter_with_large_drop(|| job(Template::parse(&text).unwrap(), &plan));
        });
        let read = || serde_json::from_str::<TemplateAnswer<'_>>(&text).unwrap();
        group.bench_function("1 json", |bencher| bencher.iter_with_large_drop(read));
        group.bench_function("2 checks", |bencher| {
            let answer = read();
            bencher.iter_with_large_drop(|| Template::check(&answer).unwrap());
        });
        let template = Arc::new(Template::parse(&text).unwrap());
        group.bench_function("3 job", |bencher| {
            bencher.iter_with_large_drop(|| SoloJob::new(Arc::clone(&template), &plan, label()).unwrap());
        });
        group.finish();
    }
}

/// What no way around leads: hashing. The checks hash each transaction once or twice, and one tree; the job another.
fn hashes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hashes");
    for length in [64, 256, 400] {
        group.throughput(Throughput::Bytes(length as u64));
        group.bench_with_input(BenchmarkId::new("sha256d", length), &vec![7; length], |bencher, bytes| {
            bencher.iter(|| sha256d(black_box(bytes)));
        });
    }
    let leaves: Vec<_> = (0..SIZES[0] as u32).map(|leaf| sha256d(&leaf.to_le_bytes())).collect();
    group.throughput(Throughput::Elements(leaves.len() as u64));
    group.bench_function(BenchmarkId::new("branch", leaves.len()), |bencher| {
        bencher.iter(|| merkle::branch(black_box(&leaves)));
    });
    group.finish();
}

/// From a share to the text for submitblock, and the look for faults that runs beside sending it.
fn block(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("block assembly");
    for size in SIZES {
        let solo = job(Template::parse(&full_template::template(size)).unwrap(), &plan());
        let share = share(&solo);
        group.bench_function(BenchmarkId::new("to hex", size), |bencher| {
            bencher.iter_with_large_drop(|| solo.block(&share).unwrap().to_hex());
        });
        let block = solo.block(&share).unwrap();
        assert_eq!(block.faults(), [], "what is measured is a good block");
        group.bench_function(BenchmarkId::new("faults", size), |bencher| bencher.iter(|| block.faults()));
    }
    group.finish();
}

fn job(template: Template, plan: &CoinbasePlan) -> SoloJob {
    SoloJob::new(Arc::new(template), plan, label()).unwrap()
}

fn plan() -> CoinbasePlan {
    let address: Address<_> = "bc1q3udk7r26qs32ltf9nmqrjaaa7tr55qmkuh5n07".parse().unwrap();
    let payee = Payee::new(&address.assume_checked(), 1).unwrap();
    CoinbasePlan::new(vec![payee], Tag::new("bench").unwrap(), Extranonce2Size::new(8).unwrap()).unwrap()
}

fn label() -> JobLabel {
    JobLabel { id: JobId::Text("1".into()), epoch: Epoch::default(), difficulty: Difficulty::ONE }
}

/// The first nonce that solves the block; every second does.
fn share(solo: &SoloJob) -> Share {
    let job = solo.job();
    let extranonce2 = Extranonce2::from_counter(1, job.coinbase.extranonce2_size);
    let work = Work::new(Arc::clone(job), extranonce2, job.header.ntime);
    (0..).find_map(|nonce| work.verify(job.header.version, nonce).ok()).unwrap()
}

criterion_group!(benches, to_job, hashes, block);
criterion_main!(benches);
