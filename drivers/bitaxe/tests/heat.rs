//! Fan, throttle and cut-off, against a board that warms and cools.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::super::belief::{Belief, Witness};
use super::super::boards::{HeatLimits, board};
use super::super::sensor::NoReading;
use super::super::thermal::{BLIND_AFTER, CutOff, HOT_FOR, Thermal};

const LIMITS: HeatLimits = HeatLimits { target: 60.0, throttle: 75.0, limit: 80.0, watts: 30.0 };
/// The longest that a chip may be too hot before the power is cut, whatever readings are lost.
const AT_THE_LATEST: Duration = Duration::from_secs(15);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A chip that takes power by its speed and gives it off by its fan: 30 K above 25 °C at full fan, 120 K without one, a
/// third of the way each 7 seconds.
struct Chip {
    celsius: f64,
    surroundings: f64,
    is_stuck: bool,
}

impl Chip {
    fn new() -> Self {
        Self { celsius: 25.0, surroundings: 25.0, is_stuck: false }
    }

    fn pass_second(&mut self, speed: f64, fan: f64) {
        let fan = if self.is_stuck { 0.0 } else { fan };
        let conducted = 1.0 / 120.0 + (1.0 / 30.0 - 1.0 / 120.0) * fan;
        let settled = self.surroundings + speed / conducted;
        self.celsius = settled + (self.celsius - settled) * (-1.0 / 20.0 * conducted * 30.0_f64).exp();
    }
}

/// Lets them go for a while, with a reading each second. Shape: the temperatures of the last ten minutes, the changes of
/// the fan in them, and the cut-off if there was one.
fn run(
    thermal: &mut Thermal,
    chip: &mut Chip,
    from: Instant,
    time: u64,
) -> (Vec<f64>, usize, Option<CutOff>) {
    let (mut temperatures, mut fans) = (Vec::new(), Vec::new());
    for second in 1..=time {
        let now = from + seconds(second);
        chip.pass_second(thermal.speed(), f64::from(thermal.fan_percent()) / 100.0);
        thermal.handle_celsius((chip.celsius * 8.0).round() / 8.0, now);
        if let Some(why) = thermal.cut_off(now) {
            return (temperatures, 0, Some(why));
        }
        if time - second < 600 {
            temperatures.push(chip.celsius);
            fans.push(thermal.fan_percent());
        }
    }
    let changes = fans.windows(2).filter(|pair| pair[0] != pair[1]).count();
    (temperatures, changes, None)
}

#[test]
fn the_fan_keeps_the_target_and_then_is_left_alone() {
    let now = Instant::now();
    let (mut thermal, mut chip) = (Thermal::new(LIMITS, now), Chip::new());
    let (temperatures, changes, cut_off) = run(&mut thermal, &mut chip, now, 1800);
    assert_eq!(cut_off, None);
    assert!(temperatures.iter().all(|celsius| (celsius - 60.0).abs() < 2.5), "{temperatures:?}");
    assert!(changes < 30, "{changes} changes in ten minutes");
    assert_eq!(thermal.speed(), 1.0);
}

#[test]
fn warm_surroundings_slow_the_chips_down_and_cut_no_power() {
    let now = Instant::now();
    let (mut thermal, mut chip) = (Thermal::new(LIMITS, now), Chip::new());
    run(&mut thermal, &mut chip, now, 600);
    for step in 0..60 {
        chip.surroundings += 0.5; // to 55, where the chips would reach 85
        let (_, _, cut_off) = run(&mut thermal, &mut chip, now + seconds(600 + 20 * step), 20);
        assert_eq!(cut_off, None);
    }
    let (temperatures, _, cut_off) = run(&mut thermal, &mut chip, now + seconds(1800), 1800);
    assert_eq!((cut_off, thermal.fan_percent()), (None, 100));
    assert!(thermal.speed() < 0.9 && thermal.speed() > 0.4, "{}", thermal.speed());
    assert!(temperatures.iter().all(|celsius| *celsius < 79.0), "{temperatures:?}");
    chip.surroundings = 25.0;
    run(&mut thermal, &mut chip, now + seconds(3600), 1800);
    assert_eq!(thermal.speed(), 1.0, "and they get all of it back");
}

#[test]
fn a_stuck_fan_ends_at_a_speed_that_needs_none_or_in_a_cut_off_but_never_above_the_limit() {
    let now = Instant::now();
    let (mut thermal, mut chip) = (Thermal::new(LIMITS, now), Chip::new());
    run(&mut thermal, &mut chip, now, 600);
    chip.is_stuck = true;
    let mut hottest: f64 = 0.0;
    for second in 0..3600 {
        let (_, _, cut_off) = run(&mut thermal, &mut chip, now + seconds(600 + second), 1);
        hottest = hottest.max(chip.celsius);
        if cut_off.is_some() {
            return;
        }
    }
    assert!(hottest < 82.0, "{hottest}");
}

#[test]
fn power_above_its_limit_slows_the_chips_down_step_by_step() {
    let now = Instant::now();
    let mut thermal = Thermal::new(LIMITS, now);
    for second in 1..=300 {
        thermal.handle_celsius(50.0, now + seconds(second));
        thermal.handle_watts(33.0 * thermal.speed(), now + seconds(second));
    }
    assert!((0.8..0.95).contains(&thermal.speed()), "{}", thermal.speed());
    let mut thermal = Thermal::new(LIMITS, now);
    for second in 1..=30 {
        thermal.handle_celsius(50.0, now + seconds(second));
        thermal.handle_regulator(100.0, now + seconds(second));
    }
    assert!(thermal.speed() < 0.9, "so does a regulator that is too hot: {}", thermal.speed());
}

#[test]
fn three_readings_at_the_limit_cut_the_power_and_two_do_not() {
    let now = Instant::now();
    let mut thermal = Thermal::new(LIMITS, now);
    for (second, celsius) in [(1, 80.0), (2, 95.0), (3, 79.9), (4, 80.0), (5, 81.0)] {
        thermal.handle_celsius(celsius, now + seconds(second));
        assert_eq!(thermal.cut_off(now + seconds(second)), None);
    }
    thermal.handle_celsius(80.5, now + seconds(6));
    assert_eq!(thermal.cut_off(now + seconds(6)), Some(CutOff::TooHot { celsius: 80.5, limit: 80.0 }));
}

#[test]
fn heat_is_told_from_blindness() {
    let now = Instant::now();
    let mut thermal = Thermal::new(LIMITS, now);
    thermal.handle_celsius(60.0, now + seconds(1));
    assert_eq!(thermal.poll_timeout(), now + seconds(11));
    assert_eq!(thermal.cut_off(now + seconds(10)), None);
    let blind = thermal.cut_off(now + seconds(11)).unwrap();
    assert!(blind.to_string().contains("cannot be read for 10 s"), "{blind}");
    thermal.handle_celsius(80.0, now + seconds(12));
    assert_eq!(thermal.poll_timeout(), now + seconds(17));
    let hot = thermal.cut_off(now + seconds(17)).unwrap();
    assert!(hot.to_string().contains("80.0 °C, the limit is 80 °C"), "{hot}");
}

#[test]
fn after_a_cut_off_the_power_stays_off_until_a_fresh_reading_is_cool_and_a_minute_has_passed() {
    let now = Instant::now();
    let mut thermal = Thermal::new(LIMITS, now);
    let why = CutOff::TooHot { celsius: 90.0, limit: 80.0 };
    thermal.handle_celsius(90.0, now);
    thermal.handle_cut_off(&why, now);
    assert_eq!((thermal.fan_percent(), thermal.speed()), (100, 0.4));
    thermal.handle_celsius(40.0, now + seconds(59));
    assert!(!thermal.may_start(now + seconds(59)), "too soon");
    assert!(thermal.may_start(now + seconds(60)));
    assert!(!thermal.may_start(now + seconds(70)), "the reading is old");
    thermal.handle_celsius(68.0, now + seconds(71));
    assert!(!thermal.may_start(now + seconds(71)), "too warm");
    thermal.handle_celsius(67.0, now + seconds(72));
    assert!(thermal.may_start(now + seconds(72)));
}

#[test]
fn limits_of_every_board_are_such_that_throttling_comes_before_the_cut_off() {
    for name in ["max", "ultra", "supra", "gamma", "hex", "emberone", "nerdqaxe+", "nerdqaxe++"] {
        let heat = board(name).unwrap().heat;
        assert!(heat.limit - heat.throttle >= 3.0, "{name}: {heat:?}");
    }
}

/// What happens to the readings of a second.
fn losses() -> impl Strategy<Value = Vec<bool>> {
    proptest::collection::vec(any::<bool>(), 60)
}

proptest! {
    #[test]
    fn a_chip_that_is_too_hot_loses_its_power_in_time_whatever_readings_are_lost(
        lost in losses(), before in 20.0..79.9_f64, above in 80.0..150.0_f64
    ) {
        let now = Instant::now();
        let mut thermal = Thermal::new(LIMITS, now);
        thermal.handle_celsius(before, now);
        let cut = lost.iter().zip(1..).find_map(|(is_lost, second)| {
            let now = now + seconds(second);
            if !is_lost {
                thermal.handle_celsius(above, now);
            }
            thermal.cut_off(now).map(|_| seconds(second))
        });
        prop_assert!(cut.is_some_and(|after| after <= AT_THE_LATEST), "{cut:?}");
        prop_assert!(AT_THE_LATEST >= BLIND_AFTER + HOT_FOR);
    }

    #[test]
    fn a_cool_chip_keeps_its_power_with_any_nine_readings_lost_or_one_wrong(
        gaps in proptest::collection::vec(1u64..10, 1..30),
        celsius in proptest::collection::vec(-20.0..79.9_f64, 30),
        wrong in 0usize..30,
    ) {
        let mut now = Instant::now();
        let mut thermal = Thermal::new(LIMITS, now);
        for (at, (gap, celsius)) in gaps.iter().zip(celsius).enumerate() {
            for _ in 0..*gap {
                now += seconds(1);
                // One wrong reading is contradicted by the next, unless that is long in coming.
                prop_assert!(thermal.cut_off(now).is_none() || at == wrong + 1 && *gap >= 5);
            }
            thermal.handle_celsius(if at == wrong { 199.0 } else { celsius }, now);
            prop_assert_eq!(thermal.cut_off(now), None);
        }
    }
}

#[test]
fn a_regulator_at_its_limit_loses_its_power_as_chips_do_and_gets_it_back_when_it_is_cool() {
    let now = Instant::now();
    let mut thermal = Thermal::new(LIMITS, now);
    for (second, celsius) in [(1, 105.0), (2, 120.0), (3, 104.9), (4, 105.0), (5, 106.0)] {
        thermal.handle_celsius(50.0, now + seconds(second));
        thermal.handle_regulator(celsius, now + seconds(second));
        assert_eq!(thermal.cut_off(now + seconds(second)), None);
    }
    thermal.handle_regulator(107.0, now + seconds(6));
    let why = thermal.cut_off(now + seconds(6)).unwrap();
    assert_eq!(why, CutOff::RegulatorTooHot { celsius: 107.0, limit: 105.0 });
    thermal.handle_cut_off(&why, now + seconds(6));
    assert_eq!(thermal.fan_percent(), 100);
    for (second, regulator, may_start) in [(66, 91.0, false), (67, 90.0, true)] {
        thermal.handle_celsius(40.0, now + seconds(second));
        thermal.handle_regulator(regulator, now + seconds(second));
        assert_eq!(thermal.may_start(now + seconds(second)), may_start, "{regulator}");
    }
}

#[test]
fn a_fan_whose_chips_cannot_be_read_runs_at_full_speed() {
    let now = Instant::now();
    let mut thermal = Thermal::new(LIMITS, now);
    for second in 0..200 {
        thermal.handle_celsius(40.0, now + seconds(second));
    }
    assert_eq!(thermal.fan_percent(), 30);
    thermal.handle_unread(now + seconds(201));
    assert_eq!(thermal.fan_percent(), 30, "one reading is missing");
    thermal.handle_unread(now + seconds(202));
    assert_eq!(thermal.fan_percent(), 100);
}

#[test]
fn a_line_of_zeros_or_ones_passes_for_cold_chips_only_while_they_have_no_power() {
    let now = Instant::now();
    let mut belief = Belief::default();
    let judge = |belief: &mut Belief, celsius| belief.judge(celsius, true, now);
    assert_eq!((judge(&mut belief, -5.0), judge(&mut belief, 0.0)), (Ok(()), Ok(())), "a garage in winter");
    belief.handle_power(true);
    for celsius in [0.0, -0.125, 0.5, -40.0] {
        assert_eq!(judge(&mut belief, celsius), Err(NoReading::Implausible(celsius)));
    }
    assert_eq!(judge(&mut belief, 5.0), Ok(()));
    belief.handle_power(false);
    assert_eq!(judge(&mut belief, 0.0), Ok(()));
}

/// Lets seconds pass in which the chips read this. Shape: the first seconds after which they were not believed, and why.
fn disbelieved(
    belief: &mut Belief,
    from: Instant,
    celsius: impl Fn(u64) -> f64,
    witness: impl Fn(u64) -> (Witness, f64),
) -> Option<(u64, NoReading)> {
    belief.handle_power(true);
    (1..=120).find_map(|second| {
        let now = from + seconds(second);
        let judged = belief.judge(celsius(second), true, now);
        let (witness, value) = witness(second);
        belief.handle_witness(witness, value, now);
        judged.err().map(|error| (second, error))
    })
}

#[test]
fn a_sensor_that_does_not_move_by_a_bit_while_power_or_heat_do_is_stuck_and_one_that_is_steady_is_not() {
    let now = Instant::now();
    let still = |_| 60.0;
    let power = |second| (Witness::Power, if second < 20 { 2.0 } else { 17.0 });
    let stuck = Some((50, NoReading::Stuck(60.0)));
    assert_eq!(disbelieved(&mut Belief::default(), now, still, power), stuck);
    let warmth = |second| (Witness::Regulator, 40.0 + second as f64 * 0.5);
    assert_eq!(disbelieved(&mut Belief::default(), now, still, warmth), Some((41, NoReading::Stuck(60.0))));
    let steady = |second| (Witness::Power, 17.0 + (second % 3) as f64);
    assert_eq!(disbelieved(&mut Belief::default(), now, still, steady), None);
    let follows = |second: u64| 60.0 + (second / 20) as f64 * 0.125;
    assert_eq!(disbelieved(&mut Belief::default(), now, follows, power), None);
    let mut belief = Belief::default();
    disbelieved(&mut belief, now, still, power);
    assert_eq!(belief.judge(60.125, true, now + seconds(130)), Ok(()), "it moves again");
}

#[test]
fn chips_that_hash_are_not_far_colder_than_their_board() {
    let now = Instant::now();
    let colder = NoReading::Colder { celsius: 40.0, board: 55.125 };
    for witness in [Witness::Board, Witness::Controller] {
        let mut belief = Belief::default();
        belief.handle_witness(witness, 55.125, now);
        assert_eq!(belief.judge(40.0, true, now), Err(colder));
        assert_eq!(belief.judge(40.0, false, now), Ok(()), "a heat sink may cool faster than a board");
        assert_eq!(belief.judge(40.125, true, now), Ok(()));
        assert_eq!(belief.judge(40.0, true, now + seconds(10)), Ok(()), "the board's reading is old");
    }
    let mut belief = Belief::default();
    belief.handle_witness(Witness::Regulator, 90.0, now);
    assert_eq!(belief.judge(40.0, true, now), Ok(()), "a regulator may be hotter than any chip");
}
