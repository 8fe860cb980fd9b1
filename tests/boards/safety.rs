//! What must not stay powered, and what must get its power back: regulators that give up, sensors that lie, chips that hang.

use signalcore_drivers::bitaxe::board::OffReason;
use signalcore_drivers::bitaxe::packet::Command;
use signalcore_drivers::bitaxe::thermal::CutOff;
use signalcore_drivers::bitaxe::tuner::{Goal, Results};
use signalcore_drivers::{BoardEvent, BoardState, Order};
use signalcore_hil::virtual_board::Event;

use crate::bench::Bench;
use crate::whole_board::{BRING_UP, hashing, set};

/// Whether core power came and went since this second, in order.
fn switched_since(bench: &Bench, second: f64) -> Vec<bool> {
    let switched = bench.played_events.iter().filter_map(|(at, event)| match event {
        Event::Power { on, .. } if at.as_secs_f64() >= second => Some(*on),
        _ => None,
    });
    switched.collect()
}

/// The hottest that the chips were, as the board itself tells every five seconds.
fn hottest(bench: &Bench) -> i32 {
    let heat = |(_, event): &(_, Event)| match event {
        Event::Heat { celsius, .. } => Some(*celsius),
        _ => None,
    };
    bench.played_events.iter().filter_map(heat).max().unwrap()
}

fn assert_told(bench: &Bench, text: &str) {
    let faults = bench.faults();
    assert!(faults.iter().any(|fault| fault.contains(text)), "{text}: {faults:?} {:?}", bench.status());
}

#[test]
fn a_regulator_that_turns_itself_off_is_named_by_its_flags_and_its_board_is_powered_up_again() {
    let mut bench = hashing("gamma", &["trip@60+0.1"]);
    bench.run(64.0 - bench.seconds());
    assert!(matches!(bench.off(), Some(OffReason::Failed { .. })), "{:?}", bench.status());
    let said = "regulator: over-current, output current or power, power is not good, output off; tried again in 10 s";
    assert_told(&bench, said);
    let nonces = bench.nonces;
    assert!(bench.until(BRING_UP, Bench::is_hashing), "{:?}", bench.faults());
    bench.run(60.0);
    assert!(bench.nonces > nonces + 100 && bench.faults().len() == 1, "{:?}", bench.faults());
}

#[test]
fn a_regulator_that_turns_itself_off_each_time_is_left_alone_after_three_failures_and_tried_again_later() {
    let mut bench = hashing("gamma", &["trip@60+60"]);
    bench.run(120.0 - bench.seconds());
    let faults = bench.faults();
    let waits: Vec<_> = faults.iter().map(|fault| fault.rsplit_once("again in ").unwrap().1).collect();
    assert_eq!(waits, ["10 s", "10 s", "300 s"], "{faults:?}");
    assert!(matches!(bench.driver.state(), BoardState::Parked { reason } if reason.contains("over-current")));
    bench.run(200.0);
    assert_eq!(switched_since(&bench, 200.0), [false; 0]);
    assert!(bench.until(200.0, Bench::is_hashing), "{:?}", bench.faults());
}

#[test]
fn a_current_dac_that_has_lost_its_code_is_named_and_its_board_is_powered_up_again_with_all_its_parts() {
    let mut bench = hashing("ultra", &["brownout@60+0.1"]);
    bench.run(64.0 - bench.seconds());
    assert_told(&bench, "regulator: it stands at 0x00 and has forgotten its voltage");
    assert!(bench.until(BRING_UP, Bench::is_hashing), "{:?}", bench.faults());
    bench.run(60.0);
    assert_eq!(bench.faults().len(), 1, "{:?}", bench.faults());
    assert!(bench.status().readings.fan_rpm.unwrap() > 1000.0, "{:?}", bench.status());
}

#[test]
fn chips_that_fall_silent_lose_their_power_before_they_are_brought_up_again() {
    let mut bench = hashing("gamma", &["dead-chip=0@60+15"]);
    bench.run(100.0 - bench.seconds());
    assert_told(&bench, "no good nonce for");
    assert_eq!(switched_since(&bench, 60.0), [false, true]);
    assert!(bench.until(BRING_UP, Bench::is_hashing), "{:?}", bench.faults());
}

#[test]
fn failures_far_apart_never_add_up() {
    let mut bench = hashing("gamma", &["trip@60+0.1", "trip@180+0.1", "trip@300+0.1", "trip@420+0.1"]);
    bench.run(500.0 - bench.seconds());
    let faults = bench.faults();
    assert_eq!(faults.len(), 4, "{faults:?}");
    assert!(faults.iter().all(|fault| fault.ends_with("10 s")) && bench.is_hashing(), "{faults:?}");
}

#[test]
fn a_sensor_that_sticks_at_a_cool_value_is_no_reading_and_the_chips_lose_their_power() {
    let mut bench = hashing("gamma", &["stuck-sensor=40@120"]);
    assert!(bench.until(240.0, |bench| bench.off().is_some()), "{:?}", bench.status());
    assert!(matches!(bench.off(), Some(OffReason::CutOff(CutOff::Blind { .. }))), "{:?}", bench.status());
    assert_told(&bench, "the temperature of the chips cannot be read: 40 °C");
    assert_told(&bench, "cannot be read for 10 s");
    bench.run(600.0);
    assert!(bench.off().is_some(), "it has not moved since");
    assert!(hottest(&bench) < 90, "{} °C", hottest(&bench));
}

#[test]
fn a_sensor_that_never_moved_is_found_out_by_the_power_and_a_board_whose_sensor_moves_again_starts() {
    for name in ["gamma", "ultra", "emberone"] {
        let mut bench = hashing(name, &["stuck-sensor=50@0+300"]);
        assert!(bench.until(200.0, |bench| bench.off().is_some()), "{name}: {:?}", bench.status());
        assert_told(&bench, "cannot be read for 10 s");
        bench.run(290.0 - bench.seconds());
        assert!(bench.off().is_some(), "{name}: {:?}", bench.status());
        assert!(bench.until(120.0, Bench::is_hashing), "{name}: {:?}", bench.faults());
    }
}

#[test]
fn a_regulator_that_warms_is_held_back_first_and_loses_its_power_at_its_limit() {
    let mut bench = hashing("gamma", &["hot-regulator=100@60+60", "hot-regulator=105@120+60"]);
    bench.run(119.0 - bench.seconds());
    assert_eq!(bench.driver.state(), BoardState::Throttled, "{:?}", bench.faults());
    bench.run(6.0);
    assert!(
        matches!(bench.off(), Some(OffReason::CutOff(CutOff::RegulatorTooHot { .. }))),
        "{:?}",
        bench.status()
    );
    assert_told(&bench, "regulator at 105.0 °C, the limit is 105 °C");
    bench.run(50.0);
    assert!(bench.off().is_some(), "{:?}", bench.status());
    assert!(bench.until(120.0, Bench::is_hashing), "{:?}", bench.faults());
}

/// Whether this switches the regulator of a gamma off.
fn is_off_order(command: &Command) -> bool {
    matches!(command, Command::I2cWrite { address: 0x24, bytes } if bytes == &[0x01, 0x00])
}

#[test]
fn late_answers_keep_no_order_back_and_the_power_is_off_within_the_time_of_an_exit() {
    for name in ["gamma", "ultra", "emberone"] {
        let mut bench = hashing(name, &["late-control=1500@60"]);
        bench.run(60.5 - bench.seconds());
        bench.driver.shut_down(bench.instant());
        let found = bench.nonces;
        assert!(bench.until(4.0, |bench| bench.driver.is_off()), "{name}: {:?}", bench.status());
        assert!(!bench.driver.may_have_power() && bench.nonces <= found + 3, "{name}");
        assert!(name == "ultra" || switched_since(&bench, 60.0) == [false], "{name}");
    }
}

#[test]
fn a_firmware_that_refuses_to_move_pins_does_not_keep_the_regulator_on() {
    let mut bench = hashing("gamma", &["hot=80@60"]);
    bench.refuses = |command| matches!(command, Command::SetPin { .. });
    assert!(bench.until(60.0, |bench| bench.off().is_some()), "{:?}", bench.faults());
    assert_eq!(switched_since(&bench, 60.0), [false]);
}

#[test]
fn a_regulator_that_refuses_to_be_switched_off_is_told_so_for_ever_and_the_operator_hears_of_it_once() {
    let mut bench = hashing("gamma", &[]);
    let start = bench.seconds();
    bench.refuses = is_off_order;
    bench.driver.shut_down(bench.instant());
    bench.run(60.0);
    assert!(bench.driver.may_have_power() && !bench.driver.is_off());
    let told = "the power may still be on: its regulator has not followed its order (no part answers at that address)";
    assert_told(&bench, told);
    assert_eq!(bench.faults().len(), 1);
    bench.refuses = |_| false;
    assert!(bench.until(1.5, |bench| bench.driver.is_off()));
    assert_eq!(switched_since(&bench, start), [false]);
    let recovered = BoardEvent::Recovered("its power is off".to_owned());
    assert_eq!(bench.told.last().map(|(_, event)| event), Some(&recovered));
}

/// Whether this reads a gamma's output current, without which its power is not known.
fn reads_current(command: &Command) -> bool {
    matches!(command, Command::I2cWriteRead { address: 0x24, bytes, .. } if bytes == &[0x8c])
}

fn reads_regulator_temperature(command: &Command) -> bool {
    matches!(command, Command::I2cWriteRead { address: 0x24, bytes, .. } if bytes == &[0x8d])
}

#[test]
fn without_its_power_meter_a_board_is_held_where_its_limit_was_kept_last_and_told_so_once() {
    let mut bench = hashing("gamma", &[]);
    bench.driver.order(Order::LimitPower(Some(12.0)), bench.instant()).unwrap();
    bench.run(600.0);
    let before = bench.status().settings.allowed_megahertz;
    bench.refuses = reads_current;
    bench.run(12.0);
    let held = bench.status().settings.allowed_megahertz;
    assert!(held <= before && held > 200.0, "{held} of {before} MHz");
    assert_told(&bench, &format!("and its limit not be kept: the chips are held at {held:.0} MHz"));
    assert_eq!((bench.driver.state(), bench.status().readings.watts), (BoardState::Throttled, None));
    bench.run(600.0);
    assert_eq!(bench.status().settings.allowed_megahertz, held, "it does not climb");
    bench.driver.order(set(600, 1250), bench.instant()).unwrap();
    let lower = bench.status().settings.allowed_megahertz;
    assert!(lower < held * 0.86, "at 1250 mV the same frequency takes more: {lower} of {held} MHz");
    bench.driver.order(Order::LimitPower(Some(5.0)), bench.instant()).unwrap();
    assert!(bench.status().settings.allowed_megahertz < 100.0, "{:?}", bench.status());
    assert_eq!(bench.faults().len(), 2, "{:?}", bench.faults());
    bench.driver.order(Order::LimitPower(Some(12.0)), bench.instant()).unwrap();
    bench.refuses = |_| false;
    bench.run(600.0);
    let status = bench.status();
    assert!(
        status.readings.watts.unwrap() <= 12.0 && status.settings.allowed_megahertz > 250.0,
        "{status:?}"
    );
    let recovered = BoardEvent::Recovered("the power can be read again".to_owned());
    assert!(bench.told.iter().any(|(_, event)| *event == recovered), "{:?}", bench.told);
}

#[test]
fn a_power_meter_that_never_spoke_leaves_the_slowest_clock_and_one_that_is_well_all_of_it() {
    let mut bench = Bench::new("gamma", &[]);
    bench.refuses = reads_current;
    assert!(bench.until(BRING_UP, Bench::is_hashing));
    bench.run(20.0);
    assert!(bench.status().settings.allowed_megahertz < 100.0, "{:?}", bench.status());
    bench.refuses = |_| false;
    bench.run(20.0);
    assert_eq!(bench.status().settings.allowed_megahertz, 525.0);
    assert_eq!(bench.driver.state(), BoardState::Hashing);
}

#[test]
fn a_tuner_learns_nothing_while_nobody_knows_the_power() {
    let mut bench = Bench::tuning("gamma", Goal::HashRate, Results::default());
    bench.run(60.0);
    bench.refuses = reads_current;
    bench.run(1800.0);
    assert_eq!(bench.driver.tuning_results().outcomes, []);
    bench.refuses = |_| false;
    bench.run(900.0);
    assert!(!bench.driver.tuning_results().outcomes.is_empty());
}

#[test]
fn a_regulator_whose_temperature_is_lost_while_it_is_cool_is_given_no_more_to_do() {
    let mut bench = hashing("gamma", &["hot-regulator=120@90"]);
    bench.run(60.0);
    bench.refuses = reads_regulator_temperature;
    bench.run(12.0);
    assert_told(&bench, "the temperature of the regulator cannot be read for 10 s");
    bench.driver.order(set(600, 1200), bench.instant()).unwrap();
    let held = bench.status().settings.allowed_megahertz;
    assert!((480.0..490.0).contains(&held), "525 MHz at 1150 mV make {held} at 1200 mV");
    assert_eq!(bench.driver.report(bench.instant()).heat.regulator_celsius, None);
    bench.refuses = |_| false;
    bench.run(60.0);
    assert!(
        matches!(bench.off(), Some(OffReason::CutOff(CutOff::RegulatorTooHot { .. }))),
        "{:?}",
        bench.status()
    );
}

#[test]
fn a_fan_that_has_forgotten_its_drive_turns_again_while_its_board_waits_for_the_next_power_up() {
    let mut bench = hashing("gamma", &["trip@60+60", "brownout@130+3"]);
    bench.run(128.0 - bench.seconds());
    assert!(matches!(bench.off(), Some(OffReason::Failed { .. })), "{:?}", bench.faults());
    let report = bench.driver.report(bench.instant());
    assert!(report.heat.fan_rpm.unwrap() > 1000.0 && report.heat.chip_celsius.is_some(), "{report:?}");
    bench.run(4.0);
    assert_eq!(bench.driver.report(bench.instant()).heat.fan_rpm, Some(0.0));
    bench.run(4.0);
    let report = bench.driver.report(bench.instant());
    assert!(report.heat.fan_rpm.unwrap() > 1000.0 && report.heat.fan_percent >= Some(30.0), "{report:?}");
    assert!(matches!(report.state, BoardState::Parked { .. }) && switched_since(&bench, 125.0) == [false; 0]);
}

#[test]
fn a_fan_that_cannot_be_told_anything_is_a_fault_and_no_drive_of_it_is_shown() {
    let mut bench = hashing("gamma", &[]);
    bench.run(10.0);
    assert!(bench.driver.report(bench.instant()).heat.fan_percent.is_some());
    bench.refuses = |command| matches!(command, Command::I2cWrite { address: 0x4c, .. });
    bench.run(120.0);
    assert_eq!(bench.driver.report(bench.instant()).heat.fan_percent, None);
    assert_eq!(
        bench.faults(),
        ["the fan cannot be driven: no part answers at that address; check its controller"]
    );
}

#[test]
fn a_core_voltage_beyond_what_the_board_bears_is_believed_at_its_second_reading_and_ends_the_power() {
    let mut bench = hashing("gamma", &[]);
    bench.run(10.0);
    let switched_on = bench.seconds();
    bench.reads_volts = Some(1.28);
    bench.run(10.0);
    assert_eq!(switched_since(&bench, switched_on), [false; 0], "within the tolerance");
    bench.reads_volts = Some(1.3);
    bench.run(0.9);
    bench.reads_volts = None;
    bench.run(5.0);
    assert_eq!(switched_since(&bench, switched_on), [false; 0], "one reading");
    bench.reads_volts = Some(1.3);
    bench.run(2.5);
    assert!(matches!(bench.off(), Some(OffReason::Failed { .. })), "{:?}", bench.faults());
    assert_told(
        &bench,
        "regulator: its output is read as 1.299 V, and the board bears 1.250 V; check that it is a Bitaxe Gamma",
    );
}
