//! Whole boards: power-up, nonces, and everything that goes wrong around them.

use std::time::Instant;

use proptest::prelude::*;
use signalcore_drivers::bitaxe::board::{Board, BoardSettings, OffReason, Phase};
use signalcore_drivers::bitaxe::boards::boards;
use signalcore_drivers::bitaxe::thermal::CutOff;
use signalcore_drivers::bitaxe::tuner::Point;
use signalcore_drivers::{BoardEvent, BoardState, Order};
use signalcore_hil::virtual_board::Event;

use crate::bench::{Bench, sets_voltage, settings};

/// Longest bring-up: twelve chips, one register at a time, and the ramp.
pub(crate) const BRING_UP: f64 = 40.0;

pub(crate) fn set(megahertz: u32, millivolts: u32) -> Order {
    Order::Set { megahertz: Some(megahertz.into()), millivolts: Some(millivolts) }
}

pub(crate) fn hashing(name: &str, faults: &[&str]) -> Bench {
    let mut bench = Bench::new(name, faults);
    assert!(bench.until(BRING_UP, Bench::is_hashing), "{name}: {:?} {:?}", bench.status(), bench.faults());
    bench
}

#[test]
fn every_board_with_a_control_port_powers_up_hashes_and_is_content() {
    for kind in boards().iter().filter(|kind| kind.parts.regulator.is_some()) {
        let mut bench = hashing(&kind.name, &[]);
        assert_eq!(bench.status().settings.set_millivolts, Some(kind.millivolts.default), "{}", kind.name);
        bench.run(60.0);
        assert!(bench.nonces >= 100, "{}: {} nonces", kind.name, bench.nonces);
        assert_eq!(bench.faults(), [""; 0], "{}", kind.name);
        let chain = bench.status().chain.unwrap();
        assert_eq!(chain.chips.len(), kind.chips.count);
        assert!(chain.chips.iter().all(|chip| chip.counts.hardware_errors == 0), "{}", kind.name);
        let refused = |(_, event): &&(_, Event)| matches!(event, Event::Ignored { .. });
        assert_eq!(bench.played_events.iter().find(refused), None, "{}", kind.name);
    }
}

#[test]
fn a_gamma_shows_its_readings_and_its_fan_keeps_the_target() {
    let mut bench = hashing("gamma", &[]);
    bench.run(600.0);
    let status = bench.status();
    let celsius = status.readings.chip_celsius.unwrap();
    assert!((celsius - 60.0).abs() < 3.0, "{celsius}");
    assert!(status.readings.watts.unwrap() > 5.0 && status.readings.regulator_celsius.is_some());
    let rpm = status.readings.fan_rpm.unwrap();
    let expected = 5000.0 * f64::from(status.settings.fan_percent) / 100.0;
    assert!((rpm - expected).abs() < 150.0, "{rpm} at {} %", status.settings.fan_percent);
    assert_eq!((status.settings.megahertz, status.settings.allowed_megahertz), (525, 525.0));
}

#[test]
fn a_board_in_the_sun_is_held_back_and_goes_on() {
    let mut bench = hashing("gamma", &["hot=22@120"]);
    bench.run(900.0);
    let status = bench.status();
    assert_eq!(status.phase, Phase::Running { is_hashing: true }, "{:?}", bench.faults());
    assert_eq!(status.settings.fan_percent, 100);
    assert!(status.settings.allowed_megahertz < 525.0, "{status:?}");
    assert!(status.readings.chip_celsius.unwrap() < 80.0);
}

#[test]
fn a_board_that_is_far_too_hot_loses_its_power_within_seconds_and_gets_it_back_when_it_has_cooled_down() {
    let mut bench = hashing("gamma", &["hot=80@60+120"]);
    assert!(bench.until(120.0, |bench| bench.off().is_some()), "{:?}", bench.status());
    assert!(matches!(bench.off(), Some(OffReason::CutOff(CutOff::TooHot { .. }))), "{:?}", bench.status());
    // The reading that was first at the limit was three seconds ago at most.
    assert!(bench.status().readings.chip_celsius.unwrap() < 95.0, "{:?}", bench.status());
    let (at, _, on) = bench.power().unwrap();
    assert!(!on && bench.seconds() - at < 1.0);
    let overheated = |(_, event): &(_, Event)| matches!(event, Event::Overheated { .. });
    assert!(!bench.played_events.iter().any(overheated), "the chips had to help themselves");
    assert!(bench.faults().last().unwrap().contains("the limit is 80 °C"), "{:?}", bench.faults());
    let nonces = bench.nonces;
    bench.run(30.0);
    assert_eq!(bench.nonces, nonces);
    assert!(bench.until(400.0, Bench::is_hashing), "{:?}", bench.status());
    bench.run(60.0);
    assert!(bench.nonces > nonces + 50);
}

#[test]
fn a_stuck_fan_is_told_and_the_chips_are_never_hotter_than_they_bear() {
    let mut bench = hashing("gamma", &["stuck-fan@60"]);
    let mut hottest: f64 = 0.0;
    for _ in 0..600 {
        bench.run(1.0);
        hottest = hottest.max(bench.status().readings.chip_celsius.unwrap_or(0.0));
    }
    assert!(
        bench.faults().iter().any(|fault| fault.contains("the fan does not turn")),
        "{:?}",
        bench.faults()
    );
    assert!(hottest < 90.0, "{hottest}");
    let overheated = |(_, event): &(_, Event)| matches!(event, Event::Overheated { .. });
    assert!(!bench.played_events.iter().any(overheated));
}

#[test]
fn a_control_port_that_is_silent_for_five_seconds_stops_nothing() {
    let mut bench = hashing("gamma", &["silent-control@60+5"]);
    bench.run(120.0 - bench.seconds());
    assert!(bench.is_hashing(), "{:?}", bench.faults());
    let faults = bench.faults();
    assert!(faults.len() == 1 && faults[0].contains("does not answer"), "{faults:?}");
    let recovered = BoardEvent::Recovered("the control port answers again".to_owned());
    assert_eq!(bench.told.last().map(|(_, event)| event), Some(&recovered));
}

#[test]
fn a_control_port_that_stays_silent_calms_the_chips_over_the_data_port_and_cuts_the_power_once_it_answers() {
    let mut bench = hashing("gamma", &["silent-control@60+60"]);
    bench.run(75.0 - bench.seconds());
    assert!(matches!(bench.status().phase, Phase::Off { is_done: false, .. }), "{:?}", bench.status());
    assert!(
        bench.faults().iter().any(|fault| fault.contains("cannot be read for 10 s")),
        "{:?}",
        bench.faults()
    );
    // The ramp down to the slowest frequency takes eight seconds.
    bench.run(10.0);
    let found = |bench: &Bench| {
        bench.played_events.iter().filter(|(_, event)| matches!(event, Event::Nonce { .. })).count()
    };
    let before = found(&bench);
    bench.run(30.0);
    let calm = found(&bench) - before;
    assert!((1..60).contains(&calm), "{calm} nonces in half a minute, 240 are usual");
    assert!(bench.until(10.0, |bench| bench.off().is_some()), "{:?}", bench.status());
    assert!(!bench.power().unwrap().2);
    assert!(bench.until(200.0, Bench::is_hashing), "{:?} {:?}", bench.status(), bench.faults());
}

#[test]
fn late_replies_are_put_up_with_also_while_the_chips_are_reset() {
    let mut bench = hashing("gamma", &["late-control=400"]);
    bench.run(60.0);
    assert!(bench.is_hashing() && bench.nonces > 100, "{:?}", bench.faults());
    assert_eq!(bench.faults(), [""; 0]);
}

/// As after an update of its firmware, which says nothing of itself.
#[test]
fn a_control_port_that_replies_late_and_in_the_newer_form_is_understood_from_the_first_reply_on() {
    let mut bench = hashing("gamma", &["v1-control", "late-control=400"]);
    bench.run(60.0);
    assert!(bench.is_hashing() && bench.nonces > 100, "{:?}", bench.faults());
    assert_eq!(bench.faults(), [""; 0]);
    assert!(
        bench.status().readings.chip_celsius.is_some_and(|celsius| celsius > 25.0),
        "{:?}",
        bench.status()
    );
}

#[test]
fn a_control_port_that_changes_the_form_of_its_replies_is_missed_and_understood_again() {
    let mut bench = hashing("gamma", &["v1-control@60"]);
    bench.run(180.0 - bench.seconds());
    assert!(bench.is_hashing(), "{:?} {:?}", bench.status(), bench.faults());
    assert!(bench.faults().len() <= 1, "{:?}", bench.faults());
    let before = bench.status().readings;
    bench.run(60.0);
    assert_ne!(bench.status().readings, before, "its sensors are read");
}

/// Replies of calls that were given up; those of the orders to stay off are taken all the same.
#[test]
fn replies_of_the_newer_form_that_come_after_their_deadline_start_no_board_and_confuse_none_afterwards() {
    let mut bench = Bench::new("gamma", &["v1-control", "late-control=1200@0+40"]);
    bench.run(40.0);
    assert!(
        bench.faults().iter().any(|fault| fault.contains("no power for the chips")),
        "{:?}",
        bench.faults()
    );
    assert!(bench.power().is_none_or(|(.., is_on)| !is_on), "{:?}", bench.power());
    // Its third start has failed.
    assert!(bench.until(360.0, Bench::is_hashing), "{:?} {:?}", bench.status(), bench.faults());
}

#[test]
fn replies_later_than_their_deadline_never_confuse_and_the_board_stops_because_it_is_blind() {
    let mut bench = hashing("gamma", &["late-control=1500@60"]);
    bench.run(40.0 + 60.0 - bench.seconds());
    let blind = |fault: &String| fault.contains("cannot be read");
    assert!(bench.faults().iter().any(blind), "{:?} {:?}", bench.status(), bench.faults());
    assert!(bench.status().readings.chip_celsius.unwrap() < 80.0);
}

#[test]
fn a_damaged_data_line_costs_nonces_and_no_more() {
    let mut bench = Bench::new("gamma", &["lost=0.001@30", "flipped=0.0005@30"]);
    assert!(bench.until(BRING_UP, Bench::is_hashing));
    bench.run(300.0);
    assert!(bench.nonces > 1000, "{}", bench.nonces);
    assert!(bench.is_hashing(), "{:?}", bench.faults());
}

#[test]
fn a_dead_chip_is_told_and_the_board_tries_again() {
    let mut bench = Bench::new("gamma", &["dead-chip=0"]);
    bench.run(30.0);
    assert!(bench.faults()[0].contains("0 of 1 chips answer"), "{:?}", bench.faults());
}

#[test]
fn a_board_without_power_for_its_parts_is_left_off_and_tried_again_later() {
    let mut bench = Bench::new("gamma", &["silent-control@0+30"]);
    bench.run(20.0);
    assert!(
        bench.faults().iter().any(|fault| fault.contains("no power for the chips")),
        "{:?}",
        bench.faults()
    );
    assert!(bench.until(120.0, Bench::is_hashing), "{:?} {:?}", bench.status(), bench.faults());
}

#[test]
fn a_board_of_another_model_is_left_off_and_only_held_in_reset() {
    let mut bench = Bench::with(settings("gamma"), "ultra", &[]);
    bench.run(9.0);
    assert!(bench.faults()[0].contains("regulator: no part answers at that address"), "{:?}", bench.faults());
    assert!(matches!(bench.off(), Some(OffReason::Failed { .. })));
    // Asked for its regulator three times, and told nothing of one.
    let refused = |(_, event): &&(_, Event)| matches!(event, Event::Ignored { .. });
    assert_eq!(bench.played_events.iter().filter(refused).count(), 3, "{:?}", bench.played_events);
}

#[test]
fn frequency_and_voltage_follow_an_order_voltage_first_on_the_way_up_and_last_on_the_way_down() {
    let mut bench = hashing("gamma", &[]);
    bench.driver.order(set(600, 1200), bench.instant()).unwrap();
    bench.run(0.2);
    let settings = bench.status().settings;
    assert_eq!((settings.set_millivolts, settings.millivolts), (Some(1200), 1200));
    bench.run(5.0);
    assert_eq!(bench.status().settings.allowed_megahertz, 600.0);
    bench.driver.order(set(425, 1050), bench.instant()).unwrap();
    bench.run(0.5);
    assert_eq!(bench.status().settings.set_millivolts, Some(1200), "the chips are still fast");
    bench.run(10.0);
    assert_eq!(bench.status().settings.set_millivolts, Some(1050));
    bench.run(30.0);
    assert!(bench.is_hashing() && bench.faults().is_empty(), "{:?}", bench.faults());
}

#[test]
fn an_order_that_comes_while_a_board_is_powered_up_holds_once_it_hashes() {
    for millivolts in [1050, 1200] {
        let mut bench = Bench::new("gamma", &[]);
        bench.run(0.5);
        assert_eq!(bench.driver.state(), BoardState::Starting);
        bench.driver.order(set(500, millivolts), bench.instant()).unwrap();
        assert!(bench.until(BRING_UP, Bench::is_hashing), "{:?}", bench.faults());
        bench.run(3.0);
        let measured = bench.driver.report(bench.instant()).power.core_millivolts.unwrap();
        assert!((measured - f64::from(millivolts)).abs() < 3.0, "{measured} of {millivolts} mV");
    }
}

/// It takes some 20 W at its own frequency.
#[test]
fn a_power_limit_is_kept_within_ten_seconds_of_the_order() {
    let mut bench = hashing("gamma", &[]);
    bench.run(20.0);
    let watts = |bench: &Bench| bench.driver.report(bench.instant()).power.watts.unwrap();
    let before = watts(&bench);
    assert!(before > 14.0, "{before} W");
    bench.driver.order(Order::LimitPower(Some(12.0)), bench.instant()).unwrap();
    let from = bench.seconds();
    assert!(bench.until(30.0, |bench| watts(bench) <= 12.0), "{} W", watts(&bench));
    let took = bench.seconds() - from;
    println!("{before:.1} W, after {took:.1} s {:.1} W", watts(&bench));
    assert!(took <= 10.0, "{took} s");
    bench.run(120.0);
    assert!((9.0..=12.0).contains(&watts(&bench)), "it is not held back much further: {} W", watts(&bench));
}

#[test]
fn a_voltage_that_the_regulator_refuses_is_told_once_and_so_is_that_it_takes_it_after_all() {
    let mut bench = hashing("gamma", &[]);
    bench.refuses = sets_voltage;
    bench.driver.order(set(600, 1200), bench.instant()).unwrap();
    bench.run(90.0);
    let told = [
        "the regulator refuses 1175 mV: no part answers at that address; the chips stay at 1150 mV, and it is tried every 60 s",
    ];
    assert_eq!(bench.faults(), told);
    assert_eq!(bench.status().settings.allowed_megahertz, 600.0);
    let report = bench.driver.report(bench.instant());
    assert_eq!(
        (report.clock.megahertz, report.power.set_millivolts),
        (Some(525.0), Some(1150.0)),
        "not faster than 1150 mV bear"
    );
    bench.refuses = |_| false;
    bench.run(70.0);
    assert_eq!(bench.faults(), told);
    let back = BoardEvent::Recovered("the regulator takes voltages again: 1175 mV".to_owned());
    assert_eq!(bench.told.iter().filter(|(_, event)| *event == back).count(), 1, "{:?}", bench.told);
    assert_eq!(bench.driver.report(bench.instant()).clock.megahertz, Some(600.0));
}

#[test]
fn an_order_beyond_the_limits_is_refused_and_changes_nothing() {
    let mut bench = hashing("gamma", &[]);
    let order = |bench: &mut Bench, order| {
        let now = bench.instant();
        bench.driver.order(order, now).unwrap_err().to_string()
    };
    let before = bench.status().settings;
    let said = order(&mut bench, set(525, 1300));
    assert!(said.contains("bears 1000 to 1250"), "{said}");
    let said = order(&mut bench, set(700, 1150));
    assert!(said.contains("bears 400 to 625"), "{said}");
    let nan = Order::Set { megahertz: Some(f64::NAN), millivolts: None };
    assert_eq!(order(&mut bench, nan), "frequency = NaN: Bitaxe Gamma bears 400 to 625; choose one of these");
    for watts in [0.0, -1.0, 31.0, f64::NAN, f64::INFINITY] {
        let said = order(&mut bench, Order::LimitPower(Some(watts)));
        assert_eq!(said, format!("power-limit = {watts}: choose 1 to 30, the limit of Bitaxe Gamma"));
    }
    let said = order(&mut bench, Order::LimitTemperature(Some(f64::NAN)));
    assert_eq!(said, "max-temperature = NaN: choose 40 to 75, the limit of Bitaxe Gamma");
    bench.run(5.0);
    assert_eq!(bench.status().settings, before);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// The bench looks at every voltage that a board is told.
    #[test]
    fn no_settings_and_no_orders_bring_a_voltage_beyond_the_limit(
        at in 0usize..8,
        first in (380u32..650, 950u32..1550),
        orders in proptest::collection::vec((0u32..2000, 0u32..2000, 0.0..3.0_f64), 0..6),
    ) {
        let with_power: Vec<_> = boards().iter().filter(|kind| kind.parts.regulator.is_some()).collect();
        let kind = with_power[at];
        let point = Point { megahertz: first.0, millivolts: first.1 };
        let wanted = BoardSettings { point, ..settings(&kind.name) };
        let is_fine = kind.voltage(first.1).is_ok() && kind.frequency(first.0).is_ok();
        prop_assert_eq!(Board::new(wanted.clone(), Instant::now()).is_ok(), is_fine);
        let wanted = if is_fine { wanted } else { settings(&kind.name) };
        let mut bench = Bench::with(wanted, &kind.name, &[]);
        for (megahertz, millivolts, seconds) in orders {
            let order = set(megahertz, millivolts);
            let followed = bench.driver.order(order, bench.instant()).is_ok();
            prop_assert_eq!(followed, kind.voltage(millivolts).is_ok() && kind.frequency(megahertz).is_ok());
            bench.run(seconds);
        }
    }
}

#[test]
fn a_limit_of_power_holds_the_chips_back() {
    let mut bench = hashing("gamma", &[]);
    bench.driver.order(Order::LimitPower(Some(12.0)), bench.instant()).unwrap();
    bench.run(600.0);
    let status = bench.status();
    assert!(status.readings.watts.unwrap() <= 12.0, "{status:?}");
    assert!(status.settings.allowed_megahertz < 500.0 && bench.is_hashing());
}

#[test]
fn a_board_that_is_shut_down_has_no_power() {
    let mut bench = hashing("gamma", &[]);
    bench.driver.shut_down(bench.instant());
    assert!(bench.until(1.0, |bench| bench.driver.is_off()));
    assert!(!bench.power().unwrap().2);
    bench.run(300.0);
    assert_eq!(bench.off(), Some(OffReason::Stopped));
}

#[test]
fn a_report_has_every_figure_of_a_gamma_and_none_that_nobody_reads() {
    let mut bench = hashing("gamma", &["silent-control@120+5"]);
    bench.run(110.0 - bench.seconds());
    let report = bench.driver.report(bench.instant());
    assert_eq!(report, report.clone().checked(), "all of it can be");
    assert_eq!(report.state, BoardState::Hashing);
    let near = |value: Option<f64>, expected: f64| (value.unwrap() - expected).abs() < 0.02 * expected;
    assert!(near(report.power.input_volts, 5.0) && near(report.power.core_millivolts, 1150.0), "{report:?}");
    assert!(report.power.watts.unwrap() > 5.0 && report.heat.regulator_celsius.is_some(), "{report:?}");
    assert_eq!((report.clock.megahertz, report.clock.set_megahertz), (Some(525.0), Some(525.0)));
    assert_eq!(report.power.set_millivolts, Some(1150.0));
    let rate = report.chips[0].rate.unwrap();
    // 100 seconds at the rate of a virtual gamma, which does 2^30 times less than one of silicon.
    assert!(rate.low < 1.071e12 / 2f64.powi(30) && rate.high > 1.071e12 / 2f64.powi(30), "{rate:?}");
    bench.run(124.0 - bench.seconds());
    let silent = bench.driver.report(bench.instant());
    assert_eq!((silent.heat.chip_celsius, silent.power.watts), (None, None));
}

#[test]
fn a_board_that_gets_hotter_and_hotter_is_throttled_then_cut_off_then_started_again() {
    let mut bench = hashing("gamma", &["hot=22@120", "hot=80@300+60"]);
    let mut states = vec![bench.driver.state()];
    while bench.seconds() < 900.0 {
        bench.run(0.5);
        let state = bench.driver.state();
        if states.last() != Some(&state) {
            states.push(state);
        }
    }
    let words: Vec<_> = states.iter().map(BoardState::word).collect();
    let expected = ["hashing", "throttled", "cut_off", "starting", "throttled"];
    assert_eq!(words[..5], expected, "{states:?}");
    assert!(states[2].reason().unwrap().contains("the limit is 80 °C"), "{states:?}");
}

#[test]
fn a_limit_of_temperature_brings_throttling_and_cut_off_down_together() {
    let mut bench = hashing("gamma", &["hot=22@60"]);
    bench.driver.order(Order::LimitTemperature(Some(65.0)), bench.instant()).unwrap();
    bench.run(900.0);
    let celsius = bench.status().readings.chip_celsius.unwrap();
    assert!(celsius < 66.0 && bench.is_hashing(), "{:?}", bench.status());
    let now = bench.instant();
    for beyond in [75.5, 39.0, f64::NAN] {
        assert!(bench.driver.order(Order::LimitTemperature(Some(beyond)), now).is_err(), "{beyond}");
    }
    bench.driver.order(Order::LimitTemperature(None), now).unwrap();
    bench.run(1200.0);
    let status = bench.status();
    assert!(status.readings.chip_celsius.unwrap() > 66.0, "{status:?}");
}
