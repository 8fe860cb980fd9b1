//! The scenarios: what a miner meets, each as a plan for worlds, with what other rules and the mathematics must reach.

use super::generate::{Jobs, Lag, Lasts, Plan, PoolPlan, Starts, Trouble, TroubleKind, terms};
use crate::decision::Scheme;

/// A scenario.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// Seeds that its bars are meant for.
    pub seeds: u64,
    /// Mean efficiency that the mathematics must reach.
    pub bar: f64,
    /// How its worlds are made.
    plan: fn() -> Plan,
}

impl Scenario {
    /// How its worlds are made.
    pub fn plan(&self) -> Plan {
        (self.plan)()
    }
}

/// All scenarios.
pub const SCENARIOS: &[Scenario] = &[
    day("S1a", "solo, a template every 10 s, a device that flushes in 2 ms", 0.9999, || solo(0.002, 0.5)),
    day("S1b", "the same, 0.1 s and a boundary every 11 s", 0.9999, || solo(0.1, 11.0)),
    day("S1c", "the same, 0.3 s and a boundary every 5 s", 0.9999, || solo(0.3, 5.0)),
    day("S1d", "solo, an empty template first and a full one 3 s later", 0.9999, || Plan {
        pools: vec![PoolPlan { jobs: Jobs::EmptyFirst, ..node() }],
        ..device(0.1, 11.0)
    }),
    day("S2", "one pool that pays by the share", 0.9999, || Plan {
        pools: vec![PoolPlan { lag: lag(0.4, 0.6), ..pool(Scheme::Pps, 0.01) }],
        ..device(0.1, 11.0)
    }),
    day("S3a", "three equal pools that pay by the block, each late at times", 0.9998, || {
        three(Scheme::Pplns, 0.02, 0.5)
    }),
    day("S3b", "the same, a device that flushes in 0.3 s", 0.9996, || three(Scheme::Pplns, 0.3, 5.0)),
    day("S3c", "the same, in 1 s", 0.9995, || three(Scheme::Pplns, 1.0, 5.0)),
    day("S3p", "the same pools, paying by the share", 0.9998, || three(Scheme::Pps, 0.02, 0.5)),
    day("S4", "a pool that drops, falls silent and flaps, and a dearer one", 0.9990, outages),
    day("S5", "a pool that refuses 8 % of shares for 2 h twice a day, and a dearer one", 0.9975, bursts),
    day("S6", "a solo pool that pays a stranger for an hour, and a dearer one", 0.9990, stranger),
    day(
        "S7",
        "a pool on a dead branch for 40 min, and on harmless unknown blocks, and a dearer one",
        0.9990,
        branches,
    ),
    day("S8", "four pools, the worst first", 0.9990, worst_first),
    day("S9", "three nearly equal pools", 0.9990, nearly_equal),
    day("S10a", "a pool whose every job is clean and that takes shares of older ones", 0.9990, || {
        all_clean(Jobs::AllClean)
    }),
    day("S10b", "the same, refusing them", 0.9995, || all_clean(Jobs::AllCleanStrict)),
    week("S12", "a pool that refuses 10 % of shares three times a day at the same hours", || {
        spells(Starts::AtHours(&[3.0, 11.0, 19.0]), Lasts::Exactly(3600.0))
    }),
    week("S12n", "the same at any hours", || spells(Starts::AtRandom(3), Lasts::Exactly(3600.0))),
    week("S12e", "the same at any hours and for any time", || {
        spells(Starts::AtRandom(3), Lasts::Exponential(3600.0))
    }),
];

/// The scenario of a name, in any case.
pub fn named(name: &str) -> Option<&'static Scenario> {
    SCENARIOS.iter().find(|scenario| scenario.name.eq_ignore_ascii_case(name))
}

const fn day(name: &'static str, about: &'static str, bar: f64, plan: fn() -> Plan) -> Scenario {
    Scenario { name, about, seeds: 8, bar, plan }
}

const fn week(name: &'static str, about: &'static str, plan: fn() -> Plan) -> Scenario {
    Scenario { name, about, seeds: 5, bar: 0.9965, plan }
}

/// A day without pools on a device whose moves cost as much as its flushes, seconds.
fn device(flush: f64, boundary: f64) -> Plan {
    Plan {
        pools: Vec::new(),
        device: (flush, flush, boundary),
        days: (1.0, 0.0),
        notify_every: 30.0,
        shares_per_second: 0.3,
    }
}

/// A day without pools on a quick device.
fn quick() -> Plan {
    device(0.02, 0.5)
}

fn lag(median: f64, sigma: f64) -> Lag {
    Lag { median, sigma, late: (0.0, 0.0) }
}

fn pool(scheme: Scheme, fee: f64) -> PoolPlan {
    PoolPlan {
        terms: terms(scheme, fee),
        rejects: 0.005,
        lag: lag(0.3, 0.6),
        jobs: Jobs::Usual,
        troubles: Vec::new(),
    }
}

fn trouble(kind: TroubleKind, times: usize, seconds: f64) -> Trouble {
    Trouble { kind, starts: Starts::AtRandom(times), lasts: Lasts::Exactly(seconds) }
}

fn node() -> PoolPlan {
    PoolPlan { lag: lag(0.2, 0.4), rejects: 0.0, ..pool(Scheme::SoloNode, 0.0) }
}

fn solo(flush: f64, boundary: f64) -> Plan {
    Plan { pools: vec![node()], notify_every: 10.0, ..device(flush, boundary) }
}

fn three(scheme: Scheme, flush: f64, boundary: f64) -> Plan {
    let late = |median, sigma| PoolPlan {
        lag: Lag { late: (0.03, 8.0), ..lag(median, sigma) },
        ..pool(scheme, 0.01)
    };
    Plan { pools: vec![late(0.35, 0.6), late(0.45, 0.8), late(0.6, 0.6)], ..device(flush, boundary) }
}

fn outages() -> Plan {
    let troubles = vec![
        trouble(TroubleKind::Drop, 4, 600.0),
        trouble(TroubleKind::Silence, 2, 600.0),
        trouble(TroubleKind::Drop, 10, 20.0),
    ];
    let first = PoolPlan { lag: lag(0.35, 0.6), troubles, ..pool(Scheme::Pps, 0.01) };
    Plan { pools: vec![first, PoolPlan { lag: lag(0.45, 0.6), ..pool(Scheme::Pps, 0.02) }], ..quick() }
}

fn bursts() -> Plan {
    let troubles = vec![trouble(TroubleKind::Rejects(0.08), 2, 7200.0)];
    let first = PoolPlan { rejects: 0.003, troubles, ..pool(Scheme::Pps, 0.01) };
    Plan { pools: vec![first, pool(Scheme::Pps, 0.02)], ..quick() }
}

fn stranger() -> Plan {
    let troubles = vec![trouble(TroubleKind::BadPay, 1, 3600.0)];
    let first = PoolPlan { troubles, ..pool(Scheme::SoloPool, 0.01) };
    Plan { pools: vec![first, pool(Scheme::SoloPool, 0.02)], ..quick() }
}

fn branches() -> Plan {
    let unknown = Trouble {
        kind: TroubleKind::Unknown,
        starts: Starts::AtRandom(10),
        lasts: Lasts::Lognormal(3.0, 0.6),
    };
    let troubles = vec![trouble(TroubleKind::BadBranch, 1, 2400.0), unknown];
    let first = PoolPlan { troubles, ..pool(Scheme::Pplns, 0.01) };
    Plan { pools: vec![first, pool(Scheme::Pplns, 0.02)], ..quick() }
}

fn worst_first() -> Plan {
    let of = |(fee, rejects)| PoolPlan { rejects, lag: lag(0.4, 0.6), ..pool(Scheme::Pps, fee) };
    let pools = [(0.01, 0.03), (0.005, 0.012), (0.0, 0.002), (0.02, 0.005)].map(of);
    Plan { pools: pools.into(), ..quick() }
}

fn nearly_equal() -> Plan {
    let first = PoolPlan { lag: Lag { late: (0.05, 8.0), ..lag(0.9, 0.8) }, ..pool(Scheme::Pps, 0.02) };
    let other = PoolPlan { lag: lag(0.35, 0.6), ..pool(Scheme::Pps, 0.0205) };
    Plan { pools: vec![first, other.clone(), other], ..quick() }
}

fn all_clean(jobs: Jobs) -> Plan {
    Plan { pools: vec![PoolPlan { jobs, ..pool(Scheme::Pps, 0.01) }], ..device(0.3, 5.0) }
}

fn spells(starts: Starts, lasts: Lasts) -> Plan {
    let troubles = vec![Trouble { kind: TroubleKind::Rejects(0.10), starts, lasts }];
    let first = PoolPlan { troubles, ..pool(Scheme::Pps, 0.005) };
    Plan { pools: vec![first, pool(Scheme::Pps, 0.02)], days: (7.0, 4.0), ..quick() }
}
