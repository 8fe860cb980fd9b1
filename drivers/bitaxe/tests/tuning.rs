//! The tuner on chips whose best point is known.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::super::boards::{BoardKind, board};
use super::super::tuner::{
    Fault, Goal, Outcome, Point, Results, Sample, Tuner, TunerEvent, TunerLimits, default_point,
};
use crate::bm13xx::pll::Frequency;

const LIMITS: TunerLimits = TunerLimits { celsius: 70.0, watts: 28.0, error_share: 0.01 };

/// A chip that is stable up to a frequency that grows with its voltage, and takes power by both.
#[derive(Clone, Copy)]
struct Chip {
    /// Millivolts that 400 MHz need, and those that each further MHz needs.
    millivolts_at_400: f64,
    millivolts_per_megahertz: f64,
    watts_at_default: f64,
    surroundings: f64,
}

const GOOD: Chip = Chip {
    millivolts_at_400: 1010.0,
    millivolts_per_megahertz: 0.9,
    watts_at_default: 18.0,
    surroundings: 25.0,
};

impl Chip {
    fn is_stable(self, point: Point) -> bool {
        let megahertz = f64::from(point.megahertz) - 400.0;
        f64::from(point.millivolts) >= self.millivolts_at_400 + self.millivolts_per_megahertz * megahertz
    }

    fn watts(self, kind: &BoardKind, point: Point) -> f64 {
        let volts = f64::from(point.millivolts) / f64::from(kind.millivolts.default);
        let megahertz = f64::from(point.megahertz) / f64::from(kind.megahertz.default);
        2.0 + (self.watts_at_default - 2.0) * volts * volts * megahertz
    }
}

struct Bench {
    kind: &'static BoardKind,
    chip: Chip,
    tuner: Tuner,
    sample: Sample,
    now: Instant,
    events: Vec<TunerEvent>,
    visited: Vec<Point>,
}

impl Bench {
    fn new(goal: Goal, chip: Chip, results: Results) -> Self {
        let kind = board("gamma").unwrap();
        let now = Instant::now();
        let sample = Sample {
            hashes: 0.0,
            nonces: 0,
            hardware_errors: 0,
            celsius: None,
            watts: None,
            is_throttled: false,
        };
        let tuner = Tuner::new(kind, goal, LIMITS, default_point(kind), results, now);
        Self { kind, chip, tuner, sample, now, events: Vec::new(), visited: Vec::new() }
    }

    fn run(&mut self, hours: u64) {
        for _ in 0..hours * 3600 {
            self.now += Duration::from_secs(1);
            let point = self.tuner.point();
            if self.visited.last() != Some(&point) {
                self.check_move(point);
                self.visited.push(point);
            }
            let frequency = Frequency::from_mhz(point.megahertz.into());
            let rate = self.kind.list().chip.hash_rate(1, frequency);
            let is_stable = self.chip.is_stable(point);
            let watts = self.chip.watts(self.kind, point);
            self.sample.nonces += if is_stable { 8 } else { 6 };
            self.sample.hardware_errors += if is_stable { 0 } else { 2 };
            self.sample.hashes += if is_stable { rate } else { 0.75 * rate };
            self.sample.celsius = Some(self.chip.surroundings + 2.0 * watts - 2.0);
            self.sample.watts = Some(watts);
            self.tuner.handle_sample(&self.sample, self.now);
            self.events.extend(std::iter::from_fn(|| self.tuner.poll_event()));
        }
    }

    /// Once a point holds, none is tried that cannot hold after what is known.
    fn check_move(&self, point: Point) {
        let outcomes = &self.tuner.results().outcomes;
        if outcomes.iter().all(|outcome| outcome.fault.is_some()) {
            return;
        }
        for known in outcomes {
            let (is_faster, more, less) = (
                point.megahertz >= known.point.megahertz,
                point.millivolts >= known.point.millivolts,
                point.millivolts <= known.point.millivolts,
            );
            let cannot_hold = match known.fault {
                Some(Fault::Limit) => is_faster && more,
                Some(Fault::Unstable) => is_faster && less,
                None => false,
            };
            assert!(!cannot_hold, "{point:?} after {known:?}");
        }
    }

    fn found(&self) -> Option<Outcome> {
        self.events.iter().rev().find_map(|event| match event {
            TunerEvent::Found(outcome) => Some(*outcome),
            _ => None,
        })
    }

    /// The best point of the tuner's grid, by looking at all of it.
    fn best(&self, score: impl Fn(&Self, Point) -> f64) -> f64 {
        let mut best = 0.0_f64;
        for megahertz in (400..=625).step_by(25) {
            for millivolts in (1010..=1250).step_by(20) {
                let point = Point { megahertz, millivolts };
                let watts = self.chip.watts(self.kind, point);
                let celsius = self.chip.surroundings + 2.0 * watts - 2.0;
                let bears = watts <= LIMITS.watts && celsius <= LIMITS.celsius;
                if bears && self.chip.is_stable(point) {
                    best = best.max(score(self, point));
                }
            }
        }
        best
    }
}

fn efficiency(bench: &Bench, point: Point) -> f64 {
    f64::from(point.megahertz) / bench.chip.watts(bench.kind, point)
}

#[test]
fn the_best_efficiency_within_the_limits_is_found_in_a_night() {
    let mut bench = Bench::new(Goal::Efficiency, GOOD, Results::default());
    bench.run(10);
    let found = bench.found().expect("it ends");
    let (got, best) = (efficiency(&bench, found.point), bench.best(efficiency));
    assert!(got >= 0.99 * best, "{found:?}: {got} of {best}");
    assert!(bench.visited.len() < 60, "{} points", bench.visited.len());
    assert_eq!(bench.tuner.point(), found.point);
}

#[test]
fn the_best_hash_rate_within_the_limits_is_found_in_a_night() {
    let mut bench = Bench::new(Goal::HashRate, GOOD, Results::default());
    bench.run(10);
    let found = bench.found().expect("it ends");
    let best = bench.best(|_, point| f64::from(point.megahertz));
    assert_eq!(f64::from(found.point.megahertz), best, "{found:?}");
    assert!(found.watts <= LIMITS.watts && found.celsius <= LIMITS.celsius && found.error_share == 0.0);
}

#[test]
fn what_was_found_is_kept_and_the_next_run_begins_there() {
    let mut bench = Bench::new(Goal::Efficiency, GOOD, Results::default());
    bench.run(10);
    let found = bench.found().unwrap();
    let text = serde_json::to_string(bench.tuner.results()).unwrap();
    let again = Bench::new(Goal::Efficiency, GOOD, serde_json::from_str(&text).unwrap());
    assert!(again.tuner.is_found());
    assert_eq!(again.tuner.point(), found.point);
}

#[test]
fn a_board_that_gets_warmer_or_older_backs_off_by_itself() {
    let mut bench = Bench::new(Goal::HashRate, GOOD, Results::default());
    bench.run(10);
    let before = bench.found().unwrap().point;
    bench.chip.millivolts_at_400 += 30.0;
    bench.run(2);
    let after = bench.tuner.point();
    assert!(bench.chip.is_stable(after), "{after:?}");
    assert!(after.megahertz < before.megahertz || after.millivolts > before.millivolts);
    let backed_off = TunerEvent::BackedOff { from: before, fault: Fault::Unstable };
    assert!(bench.events.contains(&backed_off), "{:?}", bench.events);
    bench.chip.surroundings += 10.0;
    bench.run(2);
    let watts = bench.chip.watts(bench.kind, bench.tuner.point());
    assert!(bench.chip.surroundings + 2.0 * watts - 2.0 <= LIMITS.celsius, "{:?}", bench.tuner.point());
}

#[test]
fn a_start_that_does_not_hold_is_left_downwards() {
    let bad = Chip { millivolts_at_400: 1100.0, ..GOOD };
    let mut bench = Bench::new(Goal::HashRate, bad, Results::default());
    assert!(!bad.is_stable(bench.tuner.point()));
    bench.run(10);
    let found = bench.found().expect("it ends");
    assert!(bad.is_stable(found.point), "{found:?}");
}

#[test]
fn results_that_make_no_sense_or_are_of_another_board_are_passed_over() {
    let outcome = |megahertz, millivolts, rate| Outcome {
        point: Point { megahertz, millivolts },
        hashes_per_second: rate,
        watts: 10.0,
        celsius: 50.0,
        error_share: 0.0,
        fault: None,
    };
    let outcomes = vec![
        outcome(9000, 1150, 1e15),
        outcome(525, 1400, 1e15),
        outcome(600, 1150, f64::NAN),
        outcome(550, 1150, 1e15),
        outcome(575, 1150, 1.1e12),
    ];
    let bench = Bench::new(Goal::HashRate, GOOD, Results { outcomes, limits: None });
    assert_eq!(bench.tuner.results().outcomes.len(), 1);
}

#[test]
fn under_other_limits_what_was_too_much_is_tried_again_and_what_is_too_much_now_is_left() {
    let mut bench = Bench::new(Goal::HashRate, GOOD, Results::default());
    bench.run(10);
    let found = bench.found().unwrap();
    let results = bench.tuner.results().clone();
    let with = |watts| {
        let limits = TunerLimits { watts, ..LIMITS };
        let start = default_point(bench.kind);
        Tuner::new(bench.kind, Goal::HashRate, limits, start, results.clone(), bench.now)
    };
    assert!(with(LIMITS.watts).is_found());
    let less = with(found.watts - 1.0);
    assert_ne!(less.point(), found.point);
    let known = less.results().outcomes.iter().find(|outcome| outcome.point == less.point());
    assert!(known.is_none_or(|known| known.watts < found.watts - 1.0), "{known:?}");
    let more = with(LIMITS.watts + 1.0);
    assert!(more.results().outcomes.iter().all(|outcome| outcome.fault != Some(Fault::Limit)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn no_point_is_ever_beyond_the_board_and_none_is_kept_that_does_not_hold(
        millivolts_at_400 in 900.0..1300.0_f64, millivolts_per_megahertz in 0.0..2.0_f64,
        watts_at_default in 5.0..40.0_f64, surroundings in 0.0..60.0_f64, is_efficiency: bool,
    ) {
        let chip = Chip { millivolts_at_400, millivolts_per_megahertz, watts_at_default, surroundings };
        let goal = if is_efficiency { Goal::Efficiency } else { Goal::HashRate };
        let mut bench = Bench::new(goal, chip, Results::default());
        bench.run(6);
        for point in &bench.visited {
            prop_assert!(bench.kind.voltage(point.millivolts).is_ok() && bench.kind.frequency(point.megahertz).is_ok());
        }
        if let Some(found) = bench.found() {
            prop_assert!(chip.is_stable(found.point) && chip.watts(bench.kind, found.point) <= LIMITS.watts + 0.1);
        }
    }
}
