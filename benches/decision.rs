//! How long the value rule takes to choose among 16 upstreams: a usual choice by criterion, and the slowest of many, which
//! must stay below 100 µs. CONTRIBUTING.md says how to run it.
#![allow(clippy::unwrap_used)] // what fails here is a fault of the bench

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use signalcore::decision::{Checked, Decider, Event, JobFacts, JobKey, Scheme, Settings, Terms, UpstreamId};

const UPSTREAMS: usize = 16;

/// A day with a block every 600 s that upstreams hear of one after the other, jobs and shares between.
fn log(start: Instant) -> Vec<(Instant, Event)> {
    let mut log = Vec::new();
    let mut key = 0;
    let mut job = |second: f64, upstream: usize, block: u32, clean: bool| {
        key += 1;
        let mut parent = [0; 32];
        parent[..4].copy_from_slice(&block.to_le_bytes());
        let facts = JobFacts {
            key: JobKey(key),
            parent,
            height: Some(900_001 + block),
            clean,
            fees: Some(1_000_000 + key * 7919 % 2_000_000),
            connection: 0,
            proven_parent: true,
            checked: Checked::Passed,
        };
        (start + Duration::from_secs_f64(second), Event::Job(UpstreamId(upstream), facts))
    };
    for block in 0..144 {
        let second = f64::from(block) * 600.0;
        for upstream in 0..UPSTREAMS {
            log.push(job(
                second + (upstream * 7 + block as usize * 5) as f64 % 16.0 * 0.1,
                upstream,
                block,
                true,
            ));
            log.extend((1..20).map(|round| job(second + f64::from(round) * 30.0, upstream, block, false)));
        }
        for share in 0..180 {
            let (number, at) = (u64::from(block) * 180 + share, second + 3.0 + share as f64 * 3.3);
            let at = start + Duration::from_secs_f64(at);
            let upstream = UpstreamId(number as usize % UPSTREAMS);
            log.push((at, Event::Submitted(upstream, number)));
            let accepted = number % 50 != 0;
            let answer = Event::Answered {
                upstream,
                share: number,
                job: JobKey(0),
                accepted,
                code: Some(23),
                weight: 1.0,
            };
            log.push((at + Duration::from_millis(50), answer));
        }
    }
    log.sort_by_key(|(at, _)| *at);
    log
}

fn decider(start: Instant) -> Decider {
    let terms = |index: usize| Terms {
        fee: 0.01 + index as f64 * 1e-4,
        payout_factor: 1.0,
        scheme: [Scheme::Pplns, Scheme::Pps, Scheme::SoloPool][index % 3],
        kappa: Some(0.5),
        vouches: false,
    };
    Decider::new(Settings::default(), &(0..UPSTREAMS).map(terms).collect::<Vec<_>>(), 1, start)
}

fn choices(criterion: &mut Criterion) {
    let start = Instant::now();
    let log = log(start);
    let mut took = Vec::with_capacity(log.len());
    let mut day = decider(start);
    for (at, event) in &log {
        let began = Instant::now();
        black_box(day.handle(*event, *at));
        took.push(began.elapsed());
    }
    took.sort();
    let part = |part: f64| took[(took.len() as f64 * part) as usize];
    println!(
        "{} events, {UPSTREAMS} upstreams: p50 {:?}, p99 {:?}, p99.9 {:?}, longest {:?}; {:?}",
        took.len(),
        part(0.5),
        part(0.99),
        part(0.999),
        took.last().unwrap(),
        day.counts()
    );
    let mut group = criterion.benchmark_group("decision among 16 upstreams");
    let mut events = log.iter().cycle();
    let mut now = log.last().unwrap().0;
    group.bench_function("event", |bencher| {
        bencher.iter(|| {
            let (_, event) = events.next().unwrap();
            now += Duration::from_millis(100);
            day.handle(black_box(*event), now)
        });
    });
    group.bench_function("candidates", |bencher| bencher.iter(|| day.candidates(now)));
    group.finish();
}

criterion_group!(benches, choices);
criterion_main!(benches);
