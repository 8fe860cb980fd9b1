//! Whom the operator wants hashed for: what the rule makes of each strategy.

use proptest::prelude::*;
use proptest::strategy::Strategy as _;

use super::*;
use crate::decision::Strategy;

const SLICE: Duration = Duration::from_secs(600);

/// Three pools that pay for each share, all the same to the rule but for their fees, and a job of each on one block.
fn three(strategy: Strategy) -> World {
    let mut world = World::by(strategy, &[0.0, 0.01, 0.02].map(|fee| terms(Scheme::Pps, fee)));
    for upstream in [2, 1, 0] {
        world.job(0.0, clean(upstream, 1, 100));
    }
    world
}

impl World {
    /// Whom the boards hash for.
    fn hashed_for(&self) -> Vec<usize> {
        (0..3).filter(|id| self.decider.is_running(UpstreamId(*id))).collect()
    }

    fn lose(&mut self, second: f64, upstream: usize) {
        self.event(second, Event::Lost(UpstreamId(upstream)));
    }

    fn repute(&mut self, second: f64, upstream: usize, repute: Repute) {
        self.event(second, Event::Repute(UpstreamId(upstream), repute));
    }
}

#[test]
fn failover_keeps_to_the_first_that_works_whatever_the_others_pay() {
    let mut world = three(Strategy::Failover);
    assert_eq!(world.hashed_for(), [0], "the best one came last and is turned to at once");
    let mut dearest_first = World::by(Strategy::Failover, &[0.05, 0.0].map(|fee| terms(Scheme::Pps, fee)));
    for upstream in [0, 1] {
        dearest_first.job(0.0, clean(upstream, 1, 100));
    }
    dearest_first.quiet(30.0, 600.0, &[0, 1], 1, 100);
    assert_eq!(dearest_first.hashed_for(), [0]);
    world.repute(10.0, 0, Repute::Recovering);
    world.lose(10.0, 0);
    assert_eq!(world.hashed_for(), [1]);
    world.job(11.0, clean(0, 1, 100));
    assert_eq!(world.hashed_for(), [1], "it has to prove itself");
    world.quiet(30.0, 120.0, &[0, 1, 2], 1, 100);
    assert_eq!(world.hashed_for(), [1]);
    world.repute(131.0, 0, Repute::Good);
    assert_eq!(world.hashed_for(), [0]);
}

#[test]
fn a_suspect_is_left_for_anybody_better_and_hashed_for_when_nobody_is() {
    for strategy in [Strategy::Failover, Strategy::RoundRobin, Strategy::Rotate(SLICE), Strategy::Value] {
        let mut world = three(strategy);
        let first = world.hashed_for()[0];
        world.repute(1.0, first, Repute::Suspect);
        assert_ne!(world.hashed_for(), [first], "{strategy:?}");
        for upstream in 0..3 {
            world.repute(2.0, upstream, Repute::Suspect);
        }
        world.quiet(30.0, 300.0, &[0, 1, 2], 1, 100);
        assert_eq!(world.hashed_for().len(), 1, "{strategy:?}");
    }
}

#[test]
fn round_robin_goes_around_the_list_as_pools_fail() {
    let mut world = three(Strategy::RoundRobin);
    assert_eq!(world.hashed_for(), [2], "the first that gave work");
    for (second, lost, next) in [(10.0, 2, 0), (20.0, 0, 1), (30.0, 1, 2)] {
        world.lose(second, lost);
        assert_eq!(world.hashed_for(), [next]);
        world.job(second + 1.0, clean(lost, 1, 100));
        assert_eq!(world.hashed_for(), [next], "a pool that works is kept");
    }
}

#[test]
fn rotation_gives_each_its_turn_and_leaves_out_who_is_gone() {
    let mut world = three(Strategy::Rotate(SLICE));
    let mut turns = Vec::new();
    for round in 0..5 {
        turns.extend(world.hashed_for());
        let from = 600.0 * f64::from(round);
        world.quiet(from + 30.0, from + 601.0, &[0, 1, 2], 1, 100);
    }
    assert_eq!(turns, [2, 0, 1, 2, 0]);
    world.lose(3_001.0, 2);
    world.quiet(3_030.0, 3_630.0, &[0, 1], 1, 100);
    assert_eq!(world.hashed_for(), [0], "the turn of the third is passed over");
}

#[test]
fn a_shared_choice_is_everybody_above_suspicion_or_else_everybody_at_all() {
    for strategy in [Strategy::LoadBalance, Strategy::Quota] {
        let mut world = three(strategy);
        assert_eq!(world.hashed_for(), [0, 1, 2]);
        world.repute(1.0, 1, Repute::Suspect);
        assert_eq!(world.hashed_for(), [0, 2]);
        world.lose(2.0, 0);
        assert_eq!(world.hashed_for(), [2]);
        world.lose(3.0, 2);
        assert_eq!(world.hashed_for(), [1]);
        world.repute(4.0, 1, Repute::Good);
        world.job(5.0, clean(2, 1, 100));
        assert_eq!(world.hashed_for(), [1, 2]);
    }
}

#[test]
fn where_hashing_is_shared_each_upstream_has_decisions_of_its_own() {
    let mut world = three(Strategy::Quota);
    let facts = |key, name, height: u32, upstream| {
        let facts = JobFacts {
            key: JobKey(key),
            parent: [name; 32],
            height: Some(height + 1),
            clean: false,
            fees: None,
            connection: 0,
            proven_parent: true,
            checked: Checked::Passed,
        };
        Event::Job(UpstreamId(upstream), facts)
    };
    let actions = |decisions: Vec<Decision>| decisions.into_iter().map(|it| it.action).collect::<Vec<_>>();
    let newer = world.decider.handle(facts(10, 1, 100, 1), world.at(5.0));
    assert_eq!(actions(newer), [Action::Keep, Action::Boundary(UpstreamId(1), JobKey(10)), Action::Keep]);
    let next_block = world.decider.handle(facts(11, 2, 101, 2), world.at(6.0));
    assert_eq!(actions(next_block), [Action::Keep, Action::Keep, Action::Flush(UpstreamId(2), JobKey(11))]);
    for upstream in 0..2 {
        world.lose(7.0, upstream);
    }
    let lost = world.decider.handle(Event::Lost(UpstreamId(2)), world.at(8.0));
    assert_eq!(actions(lost), [Action::Keep; 3], "the last job is kept for a while");
    assert_eq!(world.pass(60.0), [(38.0, Action::Close(UpstreamId(2)))]);
    assert!(world.hashed_for().is_empty());
    let back = world.decider.handle(facts(12, 2, 101, 0), world.at(61.0));
    assert_eq!(actions(back), [Action::Flush(UpstreamId(0), JobKey(12)), Action::Keep, Action::Keep]);
}

#[test]
fn silence_everywhere_idles_nobody() {
    for strategy in [Strategy::Failover, Strategy::Quota, Strategy::Value] {
        let mut world = three(strategy);
        let acted = world.pass(3_000.0);
        assert!(!acted.iter().any(|(_, action)| matches!(action, Action::Idle)), "{strategy:?}: {acted:?}");
        assert!(!world.hashed_for().is_empty(), "{strategy:?}");
        world.lose(3_001.0, 0);
        let left = world.hashed_for();
        assert!(
            !left.is_empty() && !left.contains(&0),
            "{strategy:?}: who is only silent is the last resort"
        );
    }
}

#[test]
fn a_pool_that_was_silent_is_returned_to_only_when_it_has_been_up_for_long_enough() {
    let mut world = three(Strategy::Failover);
    world.quiet(30.0, 200.0, &[1, 2], 1, 100);
    assert_eq!(world.hashed_for(), [1], "the first has said nothing for minutes");
    world.quiet(210.0, 325.0, &[0, 1, 2], 1, 100);
    assert_eq!(world.hashed_for(), [1]);
    let acted = world.quiet(325.0, 360.0, &[0, 1, 2], 1, 100);
    assert_eq!(world.hashed_for(), [0], "{acted:?}");
    let moves =
        |record: &&Record| matches!(record.decision.action, Action::Flush(..)) && record.decision.line == 8;
    let told = world.decider.records().filter(moves).last().unwrap().decision.reason.to_string();
    assert_eq!(told, "upstream 0 is healthy again and preferred");
}

/// Pools on block 2, all of which know block 1 before it.
fn on_the_second(scheme: Scheme, upstreams: usize) -> World {
    let mut world = World::by(Strategy::Failover, &vec![terms(scheme, 0.0); upstreams]);
    for (name, height) in [(1, 100), (2, 101)] {
        for upstream in 0..upstreams {
            world.job(0.0, clean(upstream, name, height));
        }
    }
    world
}

#[test]
fn a_pool_that_goes_back_to_a_lower_block_is_followed_at_once_where_that_is_paid_and_left_where_it_is_not() {
    let mut world = on_the_second(Scheme::Pps, 2);
    world.job(1.0, clean(0, 1, 100));
    assert_eq!(world.decider.running(), Some(world.last(0)), "it takes no shares of the other any more");
    let mut world = on_the_second(Scheme::Pplns, 2);
    let other = (UpstreamId(1), JobKey(4));
    world.job(1.0, clean(0, 1, 100));
    assert_eq!(world.decider.running(), Some(other));
    let mut alone = on_the_second(Scheme::Pplns, 1);
    let running = alone.decider.running();
    for second in [1.0, 6.0, 11.0, 16.0, 21.0, 26.0] {
        alone.job(second, clean(0, 1, 100));
    }
    assert_eq!(alone.decider.running(), running, "for a while it may come to its senses");
    alone.job(31.1, clean(0, 1, 100));
    assert_eq!(alone.decider.running(), Some(alone.last(0)));
}

#[test]
fn a_job_that_waits_for_its_check_voids_what_runs_on_another_block() {
    let mut world = on_the_second(Scheme::Pps, 2);
    let held = Told { checked: Checked::Hold("height"), ..clean(0, 1, 100) };
    world.job(1.0, held);
    assert_eq!(world.hashed_for(), [1]);
    world.job(2.0, Told { checked: Checked::Hold("ntime"), clean: false, ..clean(1, 2, 101) });
    assert_eq!(
        world.decider.running(),
        Some((UpstreamId(1), JobKey(4))),
        "on the same block it voids nothing"
    );
    world.quiet(30.0, 40.0, &[1], 2, 101);
    let mut silent = on_the_second(Scheme::Pps, 1);
    for round in 1..20 {
        silent.job(30.0 * f64::from(round), Told { checked: Checked::Hold("ntime"), ..clean(0, 2, 101) });
    }
    assert!(silent.decider.value(UpstreamId(0), silent.at(571.0)) > 0.0, "a held job is a sign of life");
}

#[test]
fn a_pool_that_is_late_is_better_than_one_that_has_left_the_job_that_runs() {
    let mut world = on_the_second(Scheme::Pps, 2);
    world.job(1.0, clean(0, 1, 100));
    world.quiet(30.0, 60.0, &[1], 2, 101);
    assert_eq!(world.hashed_for(), [0]);
    world.pass(60.5);
    assert_eq!(world.hashed_for(), [1], "a minute behind");
    world.job(61.0, Told { checked: Checked::Hold("height"), ..clean(1, 1, 100) });
    assert_eq!(world.hashed_for(), [0], "what ran for the other one is void");
}

#[test]
fn when_all_pools_go_back_a_block_they_are_followed_and_that_block_is_the_tip_again() {
    for scheme in [Scheme::Pps, Scheme::Pplns] {
        let mut world = on_the_second(scheme, 2);
        world.quiet(30.0, 80.0, &[0, 1], 2, 101);
        for second in [81.0, 111.5, 141.5, 171.5] {
            for upstream in 0..2 {
                world.job(second, clean(upstream, 1, 100));
            }
            // At once: shares of what ran are refused by both.
            let newest = [world.next_key - 1, world.next_key].map(JobKey);
            assert!(newest.contains(&world.decider.running().unwrap().1), "{scheme:?} after {second} s");
        }
        let (upstream, _) = world.decider.running().unwrap();
        assert!(world.decider.value(upstream, world.at(172.0)) > 0.9, "{scheme:?}");
    }
}

#[test]
fn a_pool_that_comes_back_on_a_lower_block_gets_hashing_at_once() {
    let mut world = World::by(Strategy::Failover, &[terms(Scheme::Pps, 0.0)]);
    world.job(0.0, clean(0, 2, 101));
    world.lose(10.0, 0);
    world.job(11.0, Told { connection: 1, ..clean(0, 1, 100) });
    assert_eq!(world.decider.running(), Some(world.last(0)));
}

#[test]
fn a_pool_that_is_left_alone_by_our_node_gets_each_of_its_jobs_taken_up() {
    let node = Terms { vouches: true, ..terms(Scheme::SoloNode, 0.0) };
    let mut world = World::by(Strategy::Failover, &[node, terms(Scheme::Pplns, 0.0)]);
    world.event(0.0, Event::NodeTip { parent: [1; 32], height: 100 });
    for upstream in 0..2 {
        world.job(0.0, clean(upstream, 1, 100));
    }
    world.lose(100.0, 0);
    assert!(world.decider.is_running(UpstreamId(1)));
    for round in 0..8 {
        world.job(160.0 + 30.0 * f64::from(round), clean(1, 2, 101));
        assert_eq!(world.decider.running(), Some(world.last(1)), "round {round}");
    }
}

#[test]
fn shares_that_end_without_a_word_of_the_pool_are_not_held_against_it() {
    let mut world = three(Strategy::Failover);
    world.next_key = 1_000;
    for hour in 0..5 {
        let second = 3_600.0 * f64::from(hour);
        world.quiet(second + 30.0, second + 3_600.0, &[0, 1, 2], 1, 100);
        for share in 0..3 {
            world.event(second + 3_600.0, Event::Submitted(UpstreamId(0), share));
            world.event(second + 3_600.0, Event::Ended(UpstreamId(0), share));
        }
    }
    world.pass(5.0 * 3_600.0 + 20.0);
    assert_eq!(world.hashed_for(), [0]);
}

/// What may happen to one of three upstreams.
#[derive(Debug, Clone, Copy)]
enum What {
    Job { name: u8, refused: bool },
    Lost,
    Repute(Repute),
    Time,
}

fn what() -> impl proptest::strategy::Strategy<Value = What> {
    prop_oneof![
        4 => (0..4u8, prop::bool::weighted(0.1)).prop_map(|(name, refused)| What::Job { name, refused }),
        1 => Just(What::Lost),
        1 => prop_oneof![Just(Repute::Suspect), Just(Repute::Recovering), Just(Repute::Good)]
            .prop_map(What::Repute),
        2 => Just(What::Time),
    ]
}

proptest! {
    #[test]
    fn in_every_strategy_boards_hash_when_any_upstream_has_a_job_that_may_be_hashed(
        log in prop::collection::vec((0..40_000u64, 0..3usize, what()), 1..80),
        strategy in prop_oneof![
            Just(Strategy::Failover),
            Just(Strategy::LoadBalance),
            Just(Strategy::Quota),
            Just(Strategy::RoundRobin),
            Just(Strategy::Rotate(SLICE)),
            Just(Strategy::Value),
        ],
    ) {
        let mut world = World::by(strategy, &[0.0, 0.01, 0.02].map(|fee| terms(Scheme::Pps, fee)));
        let mut second = 0.0;
        let mut newest: [Option<JobKey>; 3] = [None; 3];
        for (wait, upstream, what) in log {
            second += wait as f64 / 1e3;
            world.pass(second);
            let event = match what {
                What::Job { name, refused } => {
                    world.next_key += 1;
                    let key = JobKey(world.next_key);
                    let checked = if refused { Checked::Rejected("made up") } else { Checked::Passed };
                    newest[upstream] = (!refused).then_some(key);
                    Event::Job(UpstreamId(upstream), JobFacts {
                        key,
                        parent: [name; 32],
                        height: Some(100),
                        clean: true,
                        fees: None,
                        connection: 0,
                        proven_parent: true,
                        checked,
                    })
                }
                What::Lost => {
                    newest[upstream] = None;
                    Event::Lost(UpstreamId(upstream))
                }
                What::Repute(repute) => Event::Repute(UpstreamId(upstream), repute),
                What::Time => Event::Device(DeviceFigures::default()),
            };
            for decision in world.decider.handle(event, world.at(second)) {
                if let Action::Flush(upstream, key) | Action::Boundary(upstream, key) = decision.action {
                    prop_assert_eq!(Some(key), newest[upstream.0], "only the newest job that may be hashed");
                }
            }
            if newest.iter().any(Option::is_some) {
                prop_assert!(!world.hashed_for().is_empty(), "{strategy:?}: {newest:?} at {second}");
            }
            if !strategy.is_shared() {
                prop_assert!(world.hashed_for().len() < 2);
            }
            prop_assert!(world.decider.poll_timeout().is_none_or(|at| at > world.at(second)));
        }
    }
}
