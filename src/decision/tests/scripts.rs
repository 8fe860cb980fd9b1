//! Scripted worlds with exact outcomes.

use super::*;

#[test]
fn the_first_job_is_taken_at_once_and_a_new_parent_of_our_upstream_too() {
    let mut world = World::of(Scheme::Pplns, 2);
    let first = world.job(0.0, clean(0, 1, 100));
    assert_eq!((first.action, first.line), (world.flush(0), 3));
    assert_eq!(world.job(0.5, clean(1, 1, 100)).action, Action::Keep);
    // Not even called clean.
    let next = world.job(10.0, Told { clean: false, ..clean(0, 2, 101) });
    assert_eq!((next.action, next.line, next.spoke), (world.flush(0), 4, Spoke::Mathematics));
    assert_eq!(world.decider.running(), Some(world.last(0)));
}

#[test]
fn a_stale_parent_is_never_dispatched_after_a_clean_new_one() {
    let mut world = World::of(Scheme::Pplns, 2);
    world.job(0.0, clean(0, 1, 100));
    world.job(0.1, clean(1, 1, 100));
    world.job(10.0, clean(0, 2, 101));
    let running = world.last(0);
    assert_eq!(world.job(10.1, clean(1, 1, 100)).action, Action::Keep);
    assert_eq!(world.job(10.2, clean(0, 1, 100)).action, Action::Keep, "nor when our own upstream goes back");
    assert_eq!(world.pass(20.0), []);
    assert_eq!(world.decider.running(), Some(running));
}

#[test]
fn a_fork_of_equal_height_changes_nothing() {
    let mut world = World::of(Scheme::Pplns, 4);
    for upstream in 0..4 {
        world.job(0.0, clean(upstream, 1, 100));
    }
    world.job(40.0, clean(0, 2, 101));
    let running = world.last(0);
    world.job(40.1, clean(1, 2, 101));
    for upstream in [2, 3] {
        assert_eq!(world.job(40.2, clean(upstream, 3, 101)).action, Action::Keep);
    }
    assert_eq!(world.pass(80.0), []);
    assert_eq!(world.decider.running(), Some(running));
}

#[test]
fn a_parent_that_is_unknown_for_four_seconds_moves_nothing() {
    let mut world = World::of(Scheme::Pplns, 3);
    for upstream in 0..3 {
        world.job(0.0, clean(upstream, 1, 100));
    }
    world.job(40.0, clean(1, 2, 101));
    world.job(40.0, clean(2, 2, 101));
    let ours = world.job(40.5, clean(0, 3, 101));
    // Ours was late, and was left; that its block is unknown makes it no candidate for good.
    assert_eq!(ours.action, Action::Keep);
    let mut world = World::of(Scheme::Pplns, 3);
    for upstream in 0..3 {
        world.job(0.0, clean(upstream, 1, 100));
    }
    let ours = world.job(40.0, clean(0, 2, 101));
    assert_eq!(ours.action, world.flush(0));
    for upstream in [1, 2] {
        assert_eq!(world.job(40.1, clean(upstream, 3, 101)).action, Action::Keep);
    }
    assert_eq!(world.pass(44.0), []);
    world.event(44.0, Event::NodeTip { parent: [2; 32], height: 101 });
    assert_eq!(world.pass(80.0), [], "known in time");
}

#[test]
fn a_parent_that_stays_unknown_beside_rivals_as_high_is_left_after_five_seconds() {
    let mut world = World::of(Scheme::Pps, 3);
    for upstream in 0..3 {
        world.job(0.0, clean(upstream, 1, 100));
    }
    world.job(40.0, clean(0, 2, 101));
    world.job(40.1, clean(1, 3, 101));
    let fresh = world.last(1);
    world.job(40.2, clean(2, 3, 101));
    let acted = world.pass(80.0);
    assert_eq!(acted.len(), 1);
    assert!((acted[0].0 - 45.2).abs() < 1e-6, "five seconds after the other became known: {acted:?}");
    assert_eq!(acted[0].1, Action::Flush(fresh.0, fresh.1));
    assert_eq!(world.decider.poll_warning(), Some(Warning::ParentUnknown(UpstreamId(0))));
}

#[test]
fn a_parent_unknown_for_31_seconds_with_lower_rivals_is_left() {
    for scheme in [Scheme::Pps, Scheme::Pplns] {
        let mut world = World::of(scheme, 2);
        for upstream in 0..2 {
            world.job(0.0, clean(upstream, 1, 100));
        }
        world.job(39.0, clean(1, 1, 100));
        let other = world.last(1);
        world.job(40.0, clean(0, 2, 101));
        assert_eq!(world.pass(69.9), []);
        assert_eq!(world.pass(71.0), [(70.0, Action::Flush(other.0, other.1))], "{scheme:?}");
        assert_eq!(
            world.decider.records().last().unwrap().decision.reason,
            Reason::Left(Worthless::ParentUnknown)
        );
    }
}

#[test]
fn a_clean_job_on_the_same_parent_with_another_extranonce1_is_flushed_for() {
    let mut world = World::of(Scheme::Pps, 1);
    let slow = DeviceFigures { flush: Duration::from_secs(1), ..DeviceFigures::default() };
    world.event(0.0, Event::Device(slow));
    world.job(1.0, clean(0, 1, 100));
    let decision = world.job(10.0, Told { connection: 1, ..clean(0, 1, 100) });
    assert_eq!((decision.action, decision.reason), (world.flush(0), Reason::NewExtranonce1(UpstreamId(0))));
}

#[test]
fn a_block_that_the_node_calls_invalid_is_left_at_once() {
    let mut world = World::of(Scheme::Pps, 2);
    for upstream in 0..2 {
        world.job(0.0, clean(upstream, 1, 100));
    }
    let other = world.last(1);
    world.job(50.0, clean(0, 2, 101));
    let decision = world.event(51.0, Event::NodeRefused { parent: [2; 32] });
    assert_eq!((decision.action, decision.line), (Action::Flush(other.0, other.1), 3));
    // And no later job on it is ever dispatched.
    assert_eq!(world.job(52.0, clean(0, 2, 101)).action, Action::Keep);
}

#[test]
fn when_all_upstreams_are_dead_the_boards_idle_after_half_a_minute_and_are_back_within_one_event() {
    let mut world = World::of(Scheme::Pplns, 2);
    for upstream in 0..2 {
        world.job(0.0, clean(upstream, 1, 100));
    }
    let other = world.last(1);
    let first = world.event(30.0, Event::Lost(UpstreamId(0)));
    assert_eq!((first.action, first.line), (Action::Flush(other.0, other.1), 9));
    let second = world.event(31.0, Event::Lost(UpstreamId(1)));
    assert_eq!((second.action, second.reason), (Action::Keep, Reason::NothingLeft(Worthless::Lost)));
    assert_eq!(world.pass(60.9), []);
    assert_eq!(world.decider.running(), Some(other));
    assert_eq!(world.pass(100.0), [(61.0, Action::Idle)]);
    assert_eq!((world.decider.running(), world.decider.poll_timeout()), (None, None));
    assert_eq!(world.event(200.0, Event::Alive(UpstreamId(0))).action, Action::Keep, "a greeting is no work");
    let back = world.job(201.0, clean(0, 1, 100));
    assert_eq!(back.action, world.flush(0));
}

#[test]
fn a_job_that_fails_its_checks_is_never_dispatched_and_a_clean_one_ends_what_it_replaces() {
    let mut world = World::of(Scheme::SoloPool, 2);
    for upstream in 0..2 {
        world.job(0.0, clean(upstream, 1, 100));
    }
    let other = world.last(1);
    let stranger = Checked::Rejected("payout");
    let decision = world.job(60.0, Told { checked: stranger, ..clean(0, 1, 100) });
    assert_eq!((decision.action, decision.line), (Action::Flush(other.0, other.1), 2));
    assert_eq!(
        decision.reason.to_string(),
        "what ran is worth nothing: the job that replaces it failed a check: payout"
    );
    for round in 3..10 {
        let second = f64::from(round) * 30.0;
        assert_eq!(
            world.job(second, Told { checked: stranger, clean: false, ..clean(0, 1, 100) }).action,
            Action::Keep
        );
        world.job(second, Told { clean: false, ..clean(1, 1, 100) });
    }
    // Good again, it is 1 % better, and is moved back to for gain.
    let back = world.job(300.0, clean(0, 1, 100));
    assert_eq!((back.action, back.line), (world.flush(0), 8));
}

#[test]
fn a_rejected_job_that_voids_nothing_leaves_the_running_one_alone() {
    let mut world = World::of(Scheme::Pps, 2);
    world.job(0.0, clean(0, 1, 100));
    let running = world.last(0);
    world.job(0.0, clean(1, 1, 100));
    let bad = Told { clean: false, checked: Checked::Rejected("drift"), ..clean(0, 1, 100) };
    assert_eq!(world.job(10.0, bad).action, Action::Keep);
    assert_eq!(world.decider.running(), Some(running));
}

#[test]
fn a_held_job_replaces_nothing_until_it_is_cleared_or_its_grace_ends() {
    let mut world = World::of(Scheme::Pps, 1);
    world.job(0.0, clean(0, 1, 100));
    let held = Told { checked: Checked::Hold("drift"), ..clean(0, 2, 101) };
    assert_eq!(world.job(10.0, held).action, Action::Keep);
    assert_eq!(world.pass(39.9), []);
    assert_eq!(world.pass(40.0), [(40.0, world.flush(0))]);
    world.job(50.0, Told { name: 3, height: 102, ..held });
    world.next_key -= 1; // the same job once more
    assert_eq!(world.job(51.0, clean(0, 3, 102)).action, world.flush(0));
}

#[test]
fn a_newer_job_waits_for_the_boundary_and_runs_from_there_on() {
    let mut world = World::of(Scheme::Pps, 1);
    world.job(0.0, clean(0, 1, 100));
    let running = world.last(0);
    let next = Some(world.at(10.25));
    world.event(1.0, Event::Device(DeviceFigures { next_boundary: next, ..DeviceFigures::default() }));
    let decision = world.job(30.0, Told { clean: false, ..clean(0, 1, 100) });
    let (upstream, job) = world.last(0);
    assert_eq!((decision.action, decision.line), (Action::Boundary(upstream, job), 5));
    assert_eq!(world.decider.running(), Some(running));
    world.pass(30.24);
    assert_eq!(world.decider.running(), Some(running));
    world.pass(30.25);
    assert_eq!(world.decider.running(), Some((upstream, job)), "half a second each from 10.25 on");
    world.job(60.0, Told { clean: false, ..clean(0, 1, 100) });
    let (_, job) = world.last(0);
    world.decider.taken(job);
    assert_eq!(world.decider.running(), Some((upstream, job)), "the boards may be sooner");
}

#[test]
fn a_solo_miner_flushes_from_an_empty_template_to_a_full_one_and_not_for_growing_fees() {
    let mut world = World::of(Scheme::SoloNode, 1);
    let figures = DeviceFigures { boundary: Duration::from_secs(11), ..DeviceFigures::default() };
    world.event(0.0, Event::Device(figures));
    world.job(1.0, Told { fees: 0, ..clean(0, 1, 957_779) });
    let full = world.job(4.0, Told { clean: false, fees: 2_000_000, ..clean(0, 1, 957_779) });
    assert_eq!((full.action, full.line), (world.flush(0), 5));
    let Reason::GainOutweighs { gain, .. } = full.reason else { panic!("{full:?}") };
    assert!((gain / 0.034_816_334 - 1.0).abs() < 1e-6, "{gain}");
    let grown = world.job(14.0, Told { clean: false, fees: 2_030_000, ..clean(0, 1, 957_779) });
    assert!(matches!(grown.action, Action::Boundary(..)), "{grown:?}");
}

#[test]
fn a_slow_device_stops_flushing_for_clean_jobs_where_old_shares_are_accepted() {
    for (accepts, most, least) in [(true, 10, 0), (false, 120, 100)] {
        let mut world = World::of(Scheme::Pps, 1);
        let slow = DeviceFigures {
            flush: Duration::from_millis(300),
            boundary: Duration::from_secs(5),
            ..DeviceFigures::default()
        };
        world.event(0.0, Event::Device(slow));
        world.job(0.5, clean(0, 1, 100));
        let mut flushes = 0;
        for round in 1..=120 {
            let second = f64::from(round) * 30.0;
            let flushed = matches!(world.job(second, clean(0, 1, 100)).action, Action::Flush(..));
            flushes += u32::from(flushed);
            world.share(second + 1.0, 0, flushed || accepts);
            world.share(second + 15.0, 0, true);
        }
        assert!(flushes <= most && flushes >= least, "accepts: {accepts}, flushes: {flushes}");
        assert!(!world.decider.candidates(world.at(3700.0))[0].alarm, "void jobs are no reason for an alarm");
    }
}

#[test]
fn a_late_upstream_is_left_when_moves_are_cheap_and_waited_for_when_they_are_dear() {
    for (cross, waits) in [(0.002, false), (1.0, true)] {
        let mut world = World::of(Scheme::Pplns, 2);
        let cross = Duration::from_secs_f64(cross);
        world.event(0.0, Event::Device(DeviceFigures { cross, ..DeviceFigures::default() }));
        for upstream in 0..2 {
            world.job(0.0, clean(upstream, 1, 100));
        }
        let tip = world.job(40.0, clean(1, 2, 101));
        assert_eq!(tip.line, 7);
        if waits {
            assert!(matches!(tip.reason, Reason::TipExpected { .. }), "{tip:?}");
            assert_eq!(world.pass(40.5), []);
            assert_eq!(world.job(40.6, clean(0, 2, 101)).action, world.flush(0));
        } else {
            assert_eq!(tip.action, world.flush(1));
        }
    }
}

#[test]
fn a_dear_move_is_made_after_all_when_the_tip_does_not_come() {
    let mut world = World::of(Scheme::Pplns, 2);
    let cross = Duration::from_secs(1);
    world.event(0.0, Event::Device(DeviceFigures { cross, ..DeviceFigures::default() }));
    for upstream in 0..2 {
        world.job(0.0, clean(upstream, 1, 100));
    }
    world.job(40.0, clean(1, 2, 101));
    let fresh = world.last(1);
    let acted = world.pass(50.0);
    assert_eq!(acted.len(), 1, "{acted:?}");
    // There and back, for ours is cheaper, less the flush that staying costs.
    assert!(acted[0].0 > 41.99 && acted[0].0 < 42.1, "at what the moves cost: {acted:?}");
    assert_eq!(acted[0].1, Action::Flush(fresh.0, fresh.1));
}

#[test]
fn nobody_waits_for_a_late_tip_among_equals_whose_moves_cost_no_more_than_flushes() {
    let mut world = World::new(&[terms(Scheme::Pplns, 0.01); 2]);
    let cost = Duration::from_secs(1);
    world.event(0.0, Event::Device(DeviceFigures { cross: cost, flush: cost, ..DeviceFigures::default() }));
    for upstream in 0..2 {
        world.job(0.0, clean(upstream, 1, 100));
    }
    assert_eq!(world.job(40.0, clean(1, 2, 101)).action, world.flush(1));
}

#[test]
fn pay_per_share_lasts_a_minute_behind_the_tip_and_not_at_all_by_the_other_policy() {
    for (stale_policy, left_at) in [(StalePolicy::OwnRevenue, 100.0), (StalePolicy::Network, 40.0)] {
        let mut world = World::of(Scheme::Pps, 2);
        world.decider.settings.stale_policy = stale_policy;
        for upstream in 0..2 {
            world.job(0.0, clean(upstream, 1, 100));
        }
        world.job(39.0, clean(0, 1, 100));
        let decision = world.job(40.0, clean(1, 2, 101));
        world.event(40.0, Event::NodeTip { parent: [2; 32], height: 101 });
        let fresh = world.flush(1);
        if left_at == 40.0 {
            assert_eq!(decision.action, fresh);
            continue;
        }
        assert_eq!(decision.action, Action::Keep);
        // Both stay alive.
        for second in [60.0, 80.0, 95.0] {
            world.event(second, Event::Alive(UpstreamId(0)));
            world.event(second, Event::Alive(UpstreamId(1)));
        }
        assert_eq!(world.pass(110.0), [(left_at, fresh)]);
    }
}

#[test]
fn a_better_upstream_is_moved_to_after_twenty_seconds_and_the_next_move_waits_two_minutes() {
    let mut world = World::of(Scheme::Pps, 3);
    world.job(0.0, clean(2, 1, 100));
    world.job(5.0, clean(1, 1, 100));
    let second = world.last(1);
    assert_eq!(world.pass(30.0), [(25.0, Action::Flush(second.0, second.1))]);
    world.job(31.0, clean(0, 1, 100));
    let acted = world.quiet(50.0, 200.0, &[0, 1, 2], 1, 100);
    assert_eq!(acted.len(), 1, "{acted:?}");
    assert!(
        (acted[0].0 - 145.0).abs() < 1e-6 && matches!(acted[0].1, Action::Flush(UpstreamId(0), _)),
        "{acted:?}"
    );
    assert_eq!(world.decider.counts().moves, 2);
}

#[test]
fn a_jump_in_rejects_is_fled_at_once_and_looked_at_again_after_ten_minutes() {
    let mut world = World::of(Scheme::Pps, 2);
    for upstream in 0..2 {
        world.job(0.0, clean(upstream, 1, 100));
    }
    let other = world.last(1);
    for share in 0..100 {
        assert_eq!(world.share(1.0 + f64::from(share) / 10.0, 0, true).action, Action::Keep);
    }
    let fled = (0..10)
        .map(|share| world.share(12.0 + f64::from(share), 0, false))
        .find(|d| d.action != Action::Keep);
    let fled = fled.unwrap();
    assert_eq!((fled.action, fled.line), (Action::Flush(other.0, other.1), 10));
    let alarm = world.decider.spells(UpstreamId(0))[0].start;
    let acted = world.quiet(30.0, 900.0, &[0, 1], 1, 100);
    assert!(matches!(acted[..], [(_, Action::Flush(UpstreamId(0), _))]), "{acted:?}");
    let after = acted[0].0 - (alarm - world.start).as_secs_f64();
    assert!((600.0..602.0).contains(&after), "{after}");
}

#[test]
fn unanswered_shares_are_found_in_seconds_and_lower_the_value_for_a_while() {
    let mut world = World::of(Scheme::Pps, 2);
    for upstream in 0..2 {
        world.job(0.0, clean(upstream, 1, 100));
    }
    let other = world.last(1);
    for share in 0..3 {
        world.event(1.0 + share as f64 * 3.0, Event::Submitted(UpstreamId(0), share));
    }
    assert_eq!(world.pass(10.0), []);
    assert_eq!(
        world.decider.running().unwrap().0,
        UpstreamId(1),
        "the third share was past the deadline of the first"
    );
    assert_eq!(world.decider.running(), Some(other));
    let list = world.decider.candidates(world.at(10.0));
    let dead = list.iter().find(|candidate| candidate.upstream == UpstreamId(0)).unwrap();
    assert!(dead.value == 0.0 && (dead.avail - (1.0 - 8.0 / 3600.0)).abs() < 1e-5, "{dead:?}");
}

#[test]
fn no_more_upstreams_a_day_are_used_for_gain_than_the_operator_wants() {
    let mut world = World::of(Scheme::Pps, 2);
    world.decider.settings.moves.max_upstreams_per_day = Some(1);
    world.job(0.0, clean(1, 1, 100));
    world.job(0.0, clean(0, 1, 100));
    assert_eq!(world.quiet(30.0, 300.0, &[0, 1], 1, 100), []);
    world.decider.settings.moves.max_upstreams_per_day = Some(2);
    assert_eq!(world.quiet(300.0, 400.0, &[0, 1], 1, 100).len(), 1);
}

#[test]
fn reasons_are_sentences_and_errors_name_their_rule() {
    let mut world = World::of(Scheme::Pps, 2);
    world.job(0.0, clean(0, 1, 100));
    let reasons: Vec<_> = world.decider.records().map(|record| record.decision.reason.to_string()).collect();
    assert_eq!(reasons, ["upstream 0 gives work and the boards had none"]);
    let record = world.decider.records().next().unwrap();
    assert_eq!((record.before, record.alternatives.len()), (None, 2));
    assert!(record.alternatives[0].value > 0.98 && record.alternatives[1].value == 0.0);
    assert!(Refused::BudgetSpent.to_string().starts_with("5: "));
}
