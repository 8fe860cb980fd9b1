//! How long the checks take that stand between a job and the boards: all of 1000 to 13000, and what runs at each dispatch.
#![allow(clippy::unwrap_used)] // what fails here is a fault of the bench

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::{Value, json};
use signalcore::protocol::job_feed::JobFeed;
use signalcore::protocol::stratum_message::{Call, Message};
use signalcore::validate::context::{LastJob, OtherJob, Sent};
use signalcore::validate::digest::{Origin, Stamp, fits, intact};
use signalcore::validate::{Context, JobUnderTest, Level, Outcome, Verdict};
use signalcore::work::{
    Coinbase, Extranonce1, Extranonce2, Extranonce2Size, HashRate, Job, VersionMask, Work, coinbase,
};

const ORIGIN: Origin = Origin { upstream: 0, connection: 1 };

/// The job of block 881423: a branch of 11, version rolling, 8 bytes of extranonce2.
fn real() -> Job {
    let given: Value = serde_json::from_str(include_str!("../tests/vectors/validate-real.json")).unwrap();
    let line = json!({ "method": "mining.notify", "params": given["notify"] }).to_string();
    let Message::Call { call: Call::Notify(notify), .. } = Message::parse(&line).unwrap() else {
        panic!("the vector is a notify");
    };
    let extranonce1 = hex::decode(given["extranonce1"].as_str().unwrap()).unwrap();
    let mut feed = JobFeed::default();
    feed.subscribed(Extranonce1::new(extranonce1).unwrap(), Extranonce2Size::new(8).unwrap());
    feed.set_mask(VersionMask::new(0x1fff_e000));
    (*feed.notify(*notify).unwrap()).clone()
}

/// The same with a thousand outputs more, as of a pool that pays each block out to its miners.
fn with_a_thousand_outputs(job: &Job) -> Job {
    const OUTPUT: [u8; 31] = {
        let mut output = [7; 31];
        (output[0], output[8], output[9], output[10]) = (1, 22, 0, 0x14);
        let mut at = 1;
        while at < 8 {
            output[at] = 0;
            at += 1;
        }
        output
    };
    let bytes = &job.coinbase.coinb2;
    // Behind sequence comes the number of outputs, which are two here.
    let at = bytes.windows(5).position(|window| window == [0xff, 0xff, 0xff, 0xff, 2]).unwrap() + 4;
    let count = [&[0xfd][..], &1002u16.to_le_bytes()].concat();
    let coinb2 = [&bytes[..at], &count, &OUTPUT.repeat(1000), &bytes[at + 1..]].concat();
    Job { coinbase: Coinbase { coinb2: coinb2.into(), ..job.coinbase.clone() }, ..job.clone() }
}

fn context(job: &Job) -> Context {
    let height = coinbase::height(&job.coinbase.coinb1);
    let other = OtherJob {
        prev_hash: job.header.prev_hash,
        height,
        nbits: job.header.nbits,
        ntime: job.header.ntime,
    };
    let mut context = Context { unix: u64::from(job.header.ntime), ..Context::default() };
    (context.chain.others, context.chain.clocks) = (vec![other; 15], vec![0; 15]);
    context.chain.before = Some(LastJob { height, nbits: job.header.nbits });
    context.machine.hash_rate = HashRate(1e14);
    context
}

fn validate(c: &mut Criterion) {
    let real = real();
    let many = with_a_thousand_outputs(&real);
    for (name, job) in [("a job of 11 branches", &real), ("a coinbase of 1002 outputs", &many)] {
        let context = context(job);
        let judge = || Verdict::of(Level::ALL, &JobUnderTest::new(job, ORIGIN), &context);
        assert_eq!(judge().outcome(), Outcome::Pass, "{name}: {:?}", judge().findings);
        c.bench_function(&format!("checks 1000 to 13000, {name}"), |b| b.iter(|| black_box(judge())));
    }
    let stamp = Stamp::of(&real, ORIGIN);
    let extranonce2 = Extranonce2::from_counter(7, real.coinbase.extranonce2_size);
    let header =
        Work::new(real.clone().into(), extranonce2, real.header.ntime).header(real.header.version, 0);
    let sent = Sent { header, extranonce2, elapsed: Duration::ZERO };
    c.bench_function("check 15000 at a dispatch", |b| {
        b.iter(|| {
            intact(black_box(&real), ORIGIN, &stamp).unwrap();
            fits(black_box(&real), &sent, None).unwrap();
        });
    });
}

criterion_group!(benches, validate);
criterion_main!(benches);
