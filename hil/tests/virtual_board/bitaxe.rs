//! Boards with a control port: dead until powered and reset, with sensors that tell the truth about a model.

use signalcore_hil::virtual_board::{BoardConfig, Event};

use crate::{
    bench::{Bench, config},
    frames::command,
};

const RESET_LOW: &str = "07 00 01 00 06 00 00";
const RESET_HIGH: &str = "07 00 02 00 06 00 01";
/// VOUT_COMMAND 589 / 512 = 1.15 V, then OPERATION on.
const VOLTAGE: &str = "0A 00 03 00 05 20 24 21 4D 02";
const POWER_ON: &str = "09 00 04 00 05 20 24 01 80";
const POWER_OFF: &str = "09 00 05 00 05 20 24 01 00";
const FAN_FULL: &str = "09 00 06 00 05 20 4C 4C 3F";

fn answers(bench: &mut Bench) -> bool {
    bench.received();
    bench.send(&command("52 05 00 00"));
    !bench.received().is_empty()
}

/// A Gamma after the steps that mujina takes: reset low, fan, voltage, 500 ms, reset high, 200 ms.
pub(crate) fn gamma(config: BoardConfig) -> Bench {
    let mut bench = Bench::new(config);
    for request in [RESET_LOW, FAN_FULL, VOLTAGE, POWER_ON] {
        assert!(!bench.ask(request).is_empty());
    }
    bench.wait(500);
    bench.ask(RESET_HIGH);
    bench.wait(200);
    bench
}

pub(crate) fn hash(bench: &mut Bench) {
    bench.commands(
        "51 09 00 A4 90 00 FF FF
         51 09 00 18 F0 00 C1 00
         53 05 00 00
         40 05 00 00
         51 09 00 14 00 00 00 FF
         41 09 00 3C 80 00 82 AA
         51 09 00 08 40 A8 02 30
         51 09 00 10 00 00 1E B5",
    );
    bench.send(&crate::frames::bytes(
        "55 AA 21 56 68 01 00 00 00 00 04 3A 02 17 D7 68 54 68 55 19 A7 CB 04 4F 88 72 63 55 91 9E 61 A9 8B CF 71 A0 C2 87
         95 EA 54 DB 8C 36 41 4B 06 DD F5 F0 00 00 00 00 00 00 00 00 96 52 01 00 1D 39 96 BC A3 F4 67 0D FC D4 F2 01 C1 62
         B9 6D FD 55 64 6B 00 00 00 20 72 1C",
    ));
}

/// Degrees of the diode on the chip.
fn celsius(bench: &mut Bench) -> f64 {
    let mut byte = |register: u8| bench.ask(&format!("09 00 07 00 05 40 4C {register:02x} 01"))[3];
    f64::from(i16::from_be_bytes([byte(0x01), byte(0x10)]) >> 5) / 8.0
}

fn rpm(bench: &mut Bench) -> u32 {
    let mut byte = |register: u8| bench.ask(&format!("09 00 08 00 05 40 4C {register:02x} 01"))[3];
    5_400_000 / u32::from(u16::from_le_bytes([byte(0x46), byte(0x47)]))
}

#[test]
fn chips_are_dead_until_they_have_power_and_reset_is_released_and_some_time_has_passed() {
    let mut bench = Bench::new(config("gamma"));
    assert!(!answers(&mut bench), "at the start");
    bench.ask(RESET_HIGH);
    bench.wait(200);
    assert!(!answers(&mut bench), "without power");
    bench.ask(VOLTAGE);
    bench.ask(POWER_ON);
    assert!(!answers(&mut bench), "at once");
    bench.wait(100);
    assert!(answers(&mut bench), "with power, out of reset");
    bench.ask(RESET_LOW);
    assert!(!answers(&mut bench), "in reset");
    bench.ask(RESET_HIGH);
    bench.wait(100);
    assert!(answers(&mut bench));
    bench.ask(POWER_OFF);
    bench.wait(100);
    assert!(!answers(&mut bench), "power is off");
}

#[test]
fn reset_makes_a_chip_forget_everything() {
    let mut bench = gamma(config("gamma"));
    hash(&mut bench);
    bench.wait(1_000);
    assert!(bench.nonces() > 0);
    bench.ask(RESET_LOW);
    bench.ask(RESET_HIGH);
    bench.wait(200);
    bench.received();
    let before = bench.nonces();
    bench.wait(2_000);
    assert_eq!(bench.nonces(), before);
    bench.send(&command("52 05 00 00"));
    assert_eq!(bench.received().len(), 9, "version rolling is off again");
}

#[test]
fn too_low_a_voltage_is_none_and_the_current_dac_makes_one_too() {
    let mut bench = Bench::new(config("gamma"));
    bench.ask(RESET_HIGH);
    bench.ask("0A 00 03 00 05 20 24 21 9A 01"); // 0.8 V
    bench.ask(POWER_ON);
    bench.wait(200);
    assert!(!answers(&mut bench));
    let mut bench = Bench::new(config("ultra"));
    bench.ask("09 00 01 00 05 20 48 F8 C6"); // 1.2 V
    bench.ask(RESET_HIGH);
    bench.wait(200);
    assert!(answers(&mut bench));
    let core = bench.ask("06 00 09 00 07 50");
    assert_eq!(u16::from_le_bytes([core[3], core[4]]), 1_199, "millivolts of code 0xc6");
}

#[test]
fn an_emberone_needs_its_core_power_and_its_io_supply_besides() {
    let mut bench = Bench::new(config("emberone"));
    for pin in ["01", "02", "00"] {
        assert!(!answers(&mut bench), "before pin {pin}");
        bench.ask(&format!("07 00 01 00 06 {pin} 01"));
        bench.wait(100);
    }
    bench.send(&command("51 09 00 A4 90 00 FF FF"));
    bench.send(&command("52 05 00 00"));
    assert_eq!(bench.frames(11).len(), 12);
}

#[test]
fn hashing_warms_the_chip_and_the_fan_cools_it() {
    let mut bench = gamma(config("gamma"));
    bench.ask("09 00 01 00 05 20 4C 03 04"); // the tachometer's pin
    assert_eq!(rpm(&mut bench), 5_000);
    let cold = celsius(&mut bench);
    hash(&mut bench);
    bench.wait(200_000);
    let warm = celsius(&mut bench);
    assert!(cold < 35.0 && (50.0..65.0).contains(&warm), "{cold} then {warm}");
    bench.ask("09 00 06 00 05 20 4C 4C 10");
    bench.wait(200_000);
    let hot = celsius(&mut bench);
    assert!((70.0..110.0).contains(&hot), "{hot} at a quarter of the fan");
    assert!((1_200..1_300).contains(&rpm(&mut bench)));
    bench.ask(RESET_LOW);
    bench.wait(300_000);
    assert!(celsius(&mut bench) < 45.0, "without work it cools");
}

#[test]
fn the_meter_of_an_ultra_shows_what_hashing_takes() {
    let mut bench = Bench::new(config("ultra"));
    let watts = |bench: &mut Bench| {
        let reply = bench.ask("09 00 01 00 05 40 40 03 02");
        f64::from(u16::from_be_bytes([reply[3], reply[4]])) / 100.0
    };
    bench.ask("09 00 01 00 05 20 48 F8 C6");
    bench.ask(RESET_HIGH);
    bench.wait(200);
    let idle = watts(&mut bench);
    hash(&mut bench);
    bench.commands("51 09 00 08 50 C2 02 40"); // 485 MHz
    let full = watts(&mut bench);
    assert!(idle < 4.0 && (11.0..14.0).contains(&full), "{idle} then {full}");
}

#[test]
fn chips_that_get_too_hot_turn_off_until_their_power_was_off() {
    let mut bench = gamma(config("gamma"));
    hash(&mut bench);
    bench.ask("09 00 06 00 05 20 4C 4C 00");
    bench.wait(300_000);
    let overheated = |event: &Event| matches!(event, Event::Overheated { celsius: 125.. });
    assert!(bench.events.iter().any(overheated), "a Gamma without a fan");
    assert!(!answers(&mut bench));
    bench.ask(FAN_FULL);
    bench.wait(300_000);
    assert!(!answers(&mut bench), "cool, but its power was never off");
    bench.ask(POWER_OFF);
    bench.ask(POWER_ON);
    bench.wait(200);
    assert!(answers(&mut bench));
}

#[test]
fn a_bm1368_feels_its_own_temperature() {
    let mut bench = Bench::new(config("bm1368"));
    assert_eq!(bench.read(0, 0xb4), Some(0), "its sensor is off");
    bench.commands(
        "51 09 00 B0 80 00 00 00\n51 09 00 B0 00 02 00 00\n51 09 00 B0 01 02 00 00\n51 09 00 B0 10 02 00 00",
    );
    let value = bench.read(0, 0xb4).unwrap();
    assert_eq!(value >> 31, 1);
    let celsius = f64::from(value & 0xffff) * 0.171_342 - 299.5144;
    assert!((20.0..40.0).contains(&celsius), "{celsius}");
}
