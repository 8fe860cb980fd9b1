//! The tuner of a whole board: a search in virtual time, what is kept of it, and what a later run makes of that.

use signalcore::memory::Memory;
use signalcore_drivers::bitaxe::board::BoardSettings;
use signalcore_drivers::bitaxe::tuner::{Goal, Outcome, Point, Results, TunerEvent};
use signalcore_drivers::{BoardState, Order};

use crate::bench::{Bench, kind, settings};
use crate::whole_board::{BRING_UP, hashing, set};

#[test]
fn a_board_that_is_told_to_tune_or_not_to_does_so_from_then_on() {
    let mut bench = hashing("gamma", &[]);
    bench.driver.order(Order::Tune(Some(Goal::HashRate)), bench.instant()).unwrap();
    assert_eq!(bench.driver.state(), BoardState::Tuning);
    bench.run(900.0);
    let known = bench.driver.tuning_results().outcomes.len();
    assert!(known >= 2 && bench.status().settings.megahertz > 525, "{known}");
    bench.driver.order(set(525, 1150), bench.instant()).unwrap();
    bench.run(600.0);
    let settings = bench.status().settings;
    assert_eq!((settings.megahertz, bench.driver.state()), (525, BoardState::Hashing));
    assert_eq!(bench.driver.tuning_results().outcomes.len(), known, "what was found is not forgotten");
}

#[test]
fn a_board_is_tuned_once_it_is_at_its_best_point_and_not_when_it_sets_out_for_it() {
    let outcome = |megahertz, millivolts, watts| Outcome {
        point: Point { megahertz, millivolts },
        hashes_per_second: 0.8e12,
        watts,
        celsius: 55.0,
        error_share: 0.0,
        fault: None,
    };
    let outcomes = vec![outcome(425, 1000, 12.0), outcome(425, 1020, 12.0), outcome(400, 1000, 10.0)];
    let known = Results { outcomes, limits: None };
    let mut bench = Bench::with(BoardSettings { known, ..settings("gamma") }, "gamma", &[]);
    assert!(bench.until(BRING_UP, Bench::is_hashing));
    bench.driver.order(Order::Tune(Some(Goal::Efficiency)), bench.instant()).unwrap();
    assert_eq!(bench.driver.state(), BoardState::Tuning);
    assert!(bench.until(30.0, |bench| bench.driver.state() == BoardState::Hashing));
    let report = bench.driver.report(bench.instant());
    assert_eq!((report.clock.megahertz, report.power.set_millivolts), (Some(400.0), Some(1000.0)));
}

/// The chips of a virtual gamma hash at any voltage that they run at, and take some power whether they hash or not: the
/// least voltage and the highest frequency are most efficient.
#[test]
fn a_gamma_tunes_itself_for_efficiency_to_the_best_point_there_is_and_a_later_run_begins_there() {
    let mut bench = Bench::tuning("gamma", Goal::Efficiency, Results::default());
    let mut learnt = 0;
    let found = loop {
        bench.run(60.0);
        let events: Vec<_> = std::iter::from_fn(|| bench.driver.poll_tuner()).collect();
        learnt += events.iter().filter(|event| matches!(event, TunerEvent::Learnt(_))).count();
        if let Some(TunerEvent::Found(outcome)) = events.last() {
            break *outcome;
        }
        assert!(bench.seconds() < 5.0 * 3600.0, "{:?}", bench.driver.tuning_results());
    };
    let (megahertz, millivolts) = (kind("gamma").megahertz.most, kind("gamma").millivolts.least);
    assert_eq!(found.point, Point { megahertz, millivolts }, "after {learnt} points");
    assert_eq!((bench.faults().as_slice(), bench.driver.state()), (&[][..], BoardState::Hashing));

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.json");
    let memory = Memory::open(file.clone()).unwrap();
    memory.board("gamma 1a2b".to_owned()).learn(bench.driver.tuning_results().clone());
    memory.finish();
    let memory = Memory::open(file).unwrap();
    let known = memory.board("gamma 1a2b".to_owned()).results().clone();
    let mut bench = Bench::tuning("gamma", Goal::Efficiency, known);
    assert!(bench.until(BRING_UP, Bench::is_hashing));
    let settings = bench.status().settings;
    assert_eq!((settings.megahertz, settings.millivolts), (megahertz, millivolts));
    assert_eq!(bench.driver.state(), BoardState::Hashing, "there is nothing left to look for");
}
