//! Advice in scripted worlds: what it moves, what it counts for, and when it ends.

use super::*;

fn advice(world: &World, second: f64, target: usize) -> Advice {
    Advice {
        target: UpstreamId(target),
        hold: false,
        confidence: 0.9,
        until: world.at(second + 60.0),
        seen: world.decider.moment(),
        seen_soft: world.decider.soft_moment(),
    }
}

/// Three pools, 0.5 % apart, on the best of them for 50 s.
fn advised() -> World {
    let mut world = World::new(&[0.01, 0.015, 0.03].map(|fee| terms(Scheme::Pps, fee)));
    for upstream in 0..3 {
        world.job(0.0, clean(upstream, 1, 100));
    }
    assert_eq!(world.quiet(20.0, 60.0, &[0, 1, 2], 1, 100), []);
    world
}

#[test]
fn advice_moves_within_a_hundredth_and_the_rule_takes_over_when_it_ends() {
    let mut world = advised();
    let decision = world.decider.advise(advice(&world, 51.0, 1), world.at(51.0)).unwrap()[0];
    assert!(matches!(decision.action, Action::Flush(UpstreamId(1), _)));
    assert_eq!((decision.line, decision.spoke), (12, Spoke::Advice));
    assert_eq!(world.decider.budget(world.at(51.0)).amends_left, 29);
    let acted = world.quiet(70.0, 300.0, &[0, 1, 2], 1, 100);
    assert!(matches!(acted[..], [(_, Action::Flush(UpstreamId(0), _))]), "{acted:?}");
    assert!(acted[0].0 >= 171.0, "the move by advice counts for the least time between moves");
    let regret = 172.8 - world.decider.budget(world.at(300.0)).regret_left;
    let moves = 2.0 * DeviceFigures::default().cross.as_secs_f64();
    assert!(
        (regret - 0.005 * 120.0 - moves).abs() < 0.005,
        "half a percent until mathematics may go back, and both moves: {regret}"
    );
}

#[test]
fn advice_older_than_a_hard_event_is_refused_and_so_is_what_gives_up_too_much() {
    let mut world = advised();
    let old = advice(&world, 51.0, 1);
    world.job(51.0, clean(0, 2, 101));
    assert_eq!(world.decider.advise(old, world.at(51.5)), Err(Refused::Overtaken));
    for upstream in [1, 2] {
        world.job(52.0, clean(upstream, 2, 101));
    }
    let dear = world.decider.advise(advice(&world, 53.0, 2), world.at(53.0)).unwrap_err();
    assert_eq!(dear.rule(), 3);
    let nobody = world.decider.advise(advice(&world, 53.0, 9), world.at(53.0)).unwrap_err();
    assert_eq!(nobody, Refused::NotAllowed(UpstreamId(9)));
}

#[test]
fn a_hard_event_ends_advice_in_force() {
    let mut world = advised();
    world.decider.advise(advice(&world, 51.0, 1), world.at(51.0)).unwrap();
    let dead = world.event(60.0, Event::Lost(UpstreamId(1)));
    assert!(matches!(dead.action, Action::Flush(UpstreamId(0), _)));
    assert_eq!((dead.line, dead.spoke), (9, Spoke::Mathematics));
    assert!(world.decider.envelope.standing().is_none());
}

#[test]
fn advice_to_stay_keeps_what_runs_from_moves_for_gain() {
    let mut world = World::new(&[0.015, 0.01].map(|fee| terms(Scheme::Pps, fee)));
    world.job(0.0, clean(0, 1, 100));
    world.job(25.0, clean(1, 1, 100));
    let hold = Advice { hold: true, ..advice(&world, 40.0, 0) };
    let decision = world.decider.advise(hold, world.at(40.0)).unwrap()[0];
    assert_eq!((decision.action, decision.line), (Action::Keep, 8), "nothing else was to be done");
    let left = |world: &World, second: f64| world.decider.budget(world.at(second)).amends_left;
    assert_eq!((left(&world, 40.0), world.decider.baseline(world.at(40.0))), (30, Some(UpstreamId(0))));
    world.quiet(42.0, 60.0, &[0, 1], 1, 100);
    assert_eq!(world.pass(60.0), []);
    assert!(world.decider.records().any(|record| record.decision.line == 12));
    assert_eq!((left(&world, 60.0), world.decider.baseline(world.at(60.0))), (29, Some(UpstreamId(1))));
    let acted = world.quiet(70.0, 130.0, &[0, 1], 1, 100);
    assert!(matches!(acted[..], [(_, Action::Flush(UpstreamId(1), _))]), "{acted:?}");
    assert!(acted[0].0 >= 100.0, "{acted:?}");
}

#[test]
fn a_model_that_says_what_mathematics_says_takes_back_what_it_said() {
    let mut world = advised();
    assert_eq!(world.decider.take_back_advice(world.at(50.5)), None, "nothing stands");
    let hold = Advice { hold: true, until: world.at(350.0), ..advice(&world, 51.0, 0) };
    world.decider.advise(hold, world.at(51.0)).unwrap();
    assert!(world.decider.take_back_advice(world.at(60.0)).is_some());
    assert!(world.decider.envelope.standing().is_none());
}

#[test]
fn advice_is_out_of_date_after_the_second_soft_event_since_its_question() {
    let mut world = advised();
    let asked = advice(&world, 51.0, 1);
    let renew = |world: &mut World, second, upstream| {
        world.job(second, Told { clean: false, ..clean(upstream, 1, 100) });
    };
    renew(&mut world, 51.0, 2);
    renew(&mut world, 51.1, 1);
    renew(&mut world, 51.2, 0);
    let mut second = world.decider.clone();
    assert!(world.decider.advise(asked, world.at(51.3)).is_ok(), "jobs of others are no events for it");
    world.decider = second.clone();
    renew(&mut world, 52.0, 0);
    second = world.decider;
    let at = world.start + Duration::from_secs(53);
    let refused = second.advise(asked, at).unwrap_err();
    assert_eq!((refused, refused.rule()), (Refused::OutOfDate, 1));
}

#[test]
fn an_upstream_is_hashed_for_since_it_was_turned_to_whatever_jobs_it_has_given_since() {
    let mut world = advised();
    assert_eq!(world.decider.running_since(), Some(world.at(0.0)));
    let newer = world.job(61.0, clean(0, 2, 101));
    assert!(matches!(newer.action, Action::Flush(..)));
    assert_eq!(world.decider.running_since(), Some(world.at(0.0)));
    world.job(62.0, clean(1, 2, 101));
    world.event(63.0, Event::Lost(UpstreamId(0)));
    assert_eq!(world.decider.running_since(), Some(world.at(63.0)));
}
