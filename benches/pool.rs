//! How long it takes from a pool's line to a chip job, and from a nonce to a share: both stand between hashes and a pool.
#![allow(clippy::unwrap_used)] // what fails here is a fault of the bench

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::{Value, json};
use signalcore::engine::dispatch::chip_job;
use signalcore::protocol::job_feed::JobFeed;
use signalcore::protocol::stratum_message::{Call, Message, Notify};
use signalcore::work::{Difficulty, Extranonce1, Extranonce2, Extranonce2Size, Job, VersionMask, Work};
use signalcore_drivers::ChipJobId;

/// A job of the main chain whose block was found: a branch of 11, version rolling, 8 bytes of extranonce2.
const VECTOR: &str = "block-881423-ckpool-layout";

struct Found {
    line: String,
    extranonce1: Extranonce1,
    extranonce2: Extranonce2,
    ntime: u32,
    version: u32,
    nonce: u32,
}

fn found() -> Found {
    let vectors: Vec<Value> =
        serde_json::from_str(include_str!("../tests/vectors/stratum-vectors.json")).unwrap();
    let vector = vectors.into_iter().find(|vector| vector["name"] == VECTOR).unwrap();
    let text = |member: &str| vector[member].as_str().unwrap();
    let bytes = |member| hex::decode(text(member)).unwrap();
    let number = |member| u32::from_str_radix(text(member), 16).unwrap();
    Found {
        line: json!({ "id": null, "method": "mining.notify", "params": vector["notify"] }).to_string(),
        extranonce1: Extranonce1::new(bytes("extranonce1")).unwrap(),
        extranonce2: Extranonce2::from_bytes(&bytes("extranonce2")).unwrap(),
        ntime: number("ntime"),
        version: number("header_version"),
        nonce: number("nonce"),
    }
}

fn parsed(line: &str) -> Notify {
    let Message::Call { call: Call::Notify(notify), .. } = Message::parse(line).unwrap() else {
        panic!("the vector is a notify");
    };
    *notify
}

fn feed(found: &Found) -> JobFeed {
    let mut feed = JobFeed::default();
    let size = found.extranonce2.as_bytes().len() as i64;
    feed.subscribed(found.extranonce1.clone(), Extranonce2Size::new(size).unwrap());
    feed.set_difficulty(Difficulty::ONE);
    feed.set_mask(VersionMask::new(0x1fff_e000));
    feed
}

/// The whole way, and its stages: the line, the job, the coinbase and the branch, the header for a board.
fn to_chip_job(criterion: &mut Criterion) {
    let found = found();
    let mut feed = feed(&found);
    let mut group = criterion.benchmark_group("notify");
    let work = |job: Arc<Job>| Work::new(job, found.extranonce2, found.ntime);
    let chip_job = |work: &Work| chip_job(ChipJobId(1), work, work.target());
    group.bench_function("to chip job", |bencher| {
        bencher.iter(|| chip_job(&work(feed.notify(parsed(black_box(&found.line))).unwrap())));
    });
    group.bench_function("1 line", |bencher| bencher.iter(|| parsed(black_box(&found.line))));
    let notify = parsed(&found.line);
    group.bench_function("2 job", |bencher| bencher.iter(|| feed.notify(notify.clone()).unwrap()));
    let job = feed.notify(notify).unwrap();
    group.bench_function("3 merkle root", |bencher| {
        bencher.iter(|| job.merkle_root(black_box(&found.extranonce2)));
    });
    let work = work(job);
    group.bench_function("4 chip job", |bencher| bencher.iter(|| chip_job(black_box(&work))));
    group.finish();
}

/// A nonce that makes a share, and one that a board should not have reported.
fn verification(criterion: &mut Criterion) {
    let found = found();
    let job = feed(&found).notify(parsed(&found.line)).unwrap();
    let work = Work::new(job, found.extranonce2, found.ntime);
    assert!(work.verify(found.version, found.nonce).unwrap().solves_block(), "what is measured is the block");
    let mut group = criterion.benchmark_group("nonce");
    group.bench_function("a share", |bencher| {
        bencher.iter(|| work.verify(black_box(found.version), found.nonce).unwrap());
    });
    group.bench_function("no share", |bencher| {
        bencher.iter(|| work.verify(black_box(found.version), found.nonce ^ 1).unwrap_err());
    });
    group.finish();
}

criterion_group!(benches, to_chip_job, verification);
criterion_main!(benches);
