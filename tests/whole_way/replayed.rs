//! What the engine wrote down of these worlds gives its decisions again.

use std::time::Duration;

use signalcore::decision::{Action, Decision, Record, Scheme, StalePolicy, Terms};
use signalcore::engine::policy::{Policy, Strategy, UpstreamTerms};
use signalcore::replay::log::{self, Recorder};
use signalcore::replay::policy::Mathematics;
use signalcore::replay::simulation;
use signalcore::replay::world::{Rules, Upstream, What};

use crate::world::World;

const STEPS: usize = 1500;

/// One pool that pays by the share, and one that pays the whole block, whose last jobs are kept for other times.
fn terms() -> [UpstreamTerms; 2] {
    let pool = |scheme, fee, grace| UpstreamTerms {
        grace: Duration::from_secs(grace),
        value: Terms { fee, payout_factor: 1.0, scheme, kappa: None, vouches: false },
        ..UpstreamTerms::pool(1)
    };
    [pool(Scheme::Pps, 0.01, 7), pool(Scheme::SoloPool, 0.0, 90)]
}

/// All but the words of a check that found something: of these a log keeps that it did.
fn essence(record: &Record) -> String {
    let Record { at, decision: Decision { action, line, reason, spoke }, before, alternatives } = record;
    let reason = std::mem::discriminant(reason);
    format!("{at:?} {action:?} {line} {reason:?} {spoke:?} {before:?} {alternatives:?}")
}

/// What was decided in a world by this policy, what its log leads to, and what that leads to by the default settings;
/// with how many shares were found for who was not hashed for.
fn lived(seed: u64, policy: Policy) -> ([Vec<Record>; 3], usize) {
    let mut world = World::decided(seed, policy, &terms());
    (0..STEPS).for_each(|_| world.step());
    let (start, calls, mut decided) = world.decisions();
    let rules = Rules { settings: policy.settings(), learned: policy.learns_spells, taken_at_once: true };
    let upstream = |(name, terms): (&str, UpstreamTerms)| Upstream {
        name: name.to_owned(),
        terms: terms.value,
        patience: Some(terms.grace),
    };
    let upstreams = ["A", "B"].into_iter().zip(terms()).map(upstream).collect();
    let (mut recorder, mut text) = Recorder::new(upstreams, &rules, start);
    text.extend(calls.iter().map(|(call, at)| recorder.call(call, *at)));
    let mut world = log::read(&text).unwrap();
    assert_eq!(world.rules, rules);
    let aside = world.lines.iter().filter(|line| matches!(line.what, What::Aside(..))).count();
    let replayed = |world: &signalcore::replay::world::World| {
        let mut math = Mathematics::new(world, 0, start);
        if policy.learns_spells {
            math = math.with_learned();
        }
        simulation::run(world, &mut math, 3, start);
        math.decider().records().cloned().collect::<Vec<_>>()
    };
    let again = replayed(&world);
    world.rules.settings = signalcore::decision::Settings::default();
    let by_default = replayed(&world);
    // What happens at the very end of a world is no part of it.
    decided.retain(|record| record.at < start + world.end);
    ([decided, again, by_default], aside)
}

#[test]
fn what_the_engine_writes_down_gives_its_decisions_again_bit_for_bit() {
    let value = Policy { strategy: Strategy::Value, ..Policy::default() };
    let policies = [
        Policy { risk_aversion: 1e-12, learns_spells: true, ..value },
        Policy { strategy: Strategy::Failover, return_after: Duration::from_secs(11), ..value },
        Policy { strategy: Strategy::Rotate(Duration::from_secs(17)), ..value },
        Policy { strategy: Strategy::RoundRobin, stale_policy: StalePolicy::Network, ..value },
    ];
    for policy in policies {
        let (mut decisions, mut idles, mut aside, mut otherwise) = (0, 0, 0, 0);
        for seed in 0..10 {
            let ([decided, again, by_default], found_aside) = lived(seed, policy);
            let idle = decided.iter().filter(|it| it.decision.action == Action::Idle).count();
            let decided: Vec<_> = decided.iter().map(essence).collect();
            let again: Vec<_> = again.iter().map(essence).collect();
            for (at, (decided, again)) in decided.iter().zip(&again).enumerate() {
                assert_eq!(again, decided, "{:?}, seed {seed}, decision {at}", policy.strategy);
            }
            assert_eq!(again.len(), decided.len(), "{:?}, seed {seed}", policy.strategy);
            let essences: Vec<_> = by_default.iter().map(essence).collect();
            otherwise += u64::from(essences != decided);
            idles += idle;
            decisions += decided.len();
            aside += found_aside;
        }
        println!(
            "{:?}: {decisions} decisions, {idles} to idle, {aside} shares aside, {otherwise} otherwise",
            policy.strategy
        );
        assert!(decisions > 200 && otherwise > 5, "{decisions} {idles} {aside} {otherwise}");
    }
}
