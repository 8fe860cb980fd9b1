//! Power-up and its opposite: what each board is told, and what stops it.

use std::time::{Duration, Instant};

use super::super::boards::{BoardKind, CoreVoltage, Regulator, board, boards};
use super::super::link::CallError;
use super::super::packet::{Command, Refusal};
use super::super::power_up::{Check, PowerUp, Step, steps, switch_off, voltage_steps};
use super::super::regulator::{Ds4432u, volts_of_steps};

/// The answer of a board as it should be.
fn answer(check: Check) -> Vec<u8> {
    match check {
        Check::FanId => vec![0x16],
        Check::RegulatorId => vec![6, 0x54, 0x49, 0x54, 0x6b, 0x24, 0x41],
        Check::RegulatorMode => vec![0x17],
        Check::RegulatorLimit(most) => most.to_le_bytes().to_vec(),
        Check::RegulatorStatus => vec![0, 0],
    }
}

fn power_up(
    kind: &BoardKind,
    reply: impl Fn(&Command) -> Result<Vec<u8>, CallError>,
) -> (Vec<Command>, Duration, Result<(), String>) {
    let start = Instant::now();
    let mut now = start;
    let mut power_up = PowerUp::new(kind, kind.voltage(kind.millivolts.default).unwrap(), now);
    let mut told = Vec::new();
    while !power_up.is_done(now) {
        while let Some(command) = power_up.next_call(kind, now) {
            assert_eq!(power_up.next_call(kind, now), None, "one at a time");
            let outcome = reply(&command);
            told.push(command);
            if let Err(error) = power_up.handle_outcome(outcome) {
                return (told, now - start, Err(error.to_string()));
            }
        }
        now = power_up.poll_timeout().unwrap().max(now);
    }
    (told, now - start, Ok(()))
}

/// Replies as of a board that is well.
pub(super) fn well(kind: &BoardKind) -> impl Fn(&Command) -> Result<Vec<u8>, CallError> {
    let asks = steps(kind, kind.lowest_voltage());
    move |command| {
        let asked = asks.iter().find_map(|step| match step {
            Step::Ask(ask, check) if ask == command => Some(answer(*check)),
            _ => None,
        });
        Ok(asked.unwrap_or_else(|| vec![0; command.reply_size()]))
    }
}

/// Rail volts that a command sets, if it does.
fn volts(command: &Command) -> Option<f64> {
    let Command::I2cWrite { bytes, .. } = command else { return None };
    match bytes[..] {
        [0x21, low, high] => Some(volts_of_steps(u16::from_le_bytes([low, high]))),
        [0xf8, code] => Some(Ds4432u::volts(code)),
        _ => None,
    }
}

#[test]
fn every_board_is_held_in_reset_first_and_reaches_its_voltage_in_small_steps_from_below() {
    for kind in boards().iter().filter(|kind| kind.parts.regulator.is_some()) {
        let (told, _, outcome) = power_up(kind, well(kind));
        assert_eq!(outcome, Ok(()), "{}", kind.name);
        assert_eq!(told[0], Command::SetPin { pin: 0, high: false }, "{}", kind.name);
        let set: Vec<_> = told.iter().filter_map(volts).collect();
        let most = f64::from(kind.millivolts.most * kind.chips.domains) / 1000.0;
        assert!(set.iter().all(|volts| *volts <= most), "{}: {set:?}", kind.name);
        assert!(set.is_sorted(), "{}: {set:?}", kind.name);
        let step = 0.0255 * f64::from(kind.chips.domains) + 0.004;
        assert!(set.windows(2).all(|pair| pair[1] - pair[0] <= step), "{}: {set:?}", kind.name);
        let Some(last) = set.last() else { continue }; // a fixed voltage
        let default = f64::from(kind.millivolts.default * kind.chips.domains) / 1000.0;
        assert!((default - last).abs() < 0.004, "{}: {last} V", kind.name);
    }
}

#[test]
fn a_gamma_is_told_what_mujina_tells_it_in_that_order() {
    let kind = board("gamma").unwrap();
    let (told, took, _) = power_up(kind, well(kind));
    let place = |wanted: &Command| told.iter().position(|command| command == wanted).unwrap();
    let fan_full = Command::I2cWrite { address: 0x4c, bytes: vec![0x4c, 63] };
    let on = Command::I2cWrite { address: 0x24, bytes: vec![0x01, 0x80] };
    assert!(place(&Command::I2cSpeed(100_000)) < place(&fan_full) && place(&fan_full) < place(&on));
    assert!((Duration::from_millis(500)..Duration::from_millis(700)).contains(&took), "{took:?}");
}

#[test]
fn an_ember_one_gets_its_core_power_before_that_of_its_pins_and_loses_it_after() {
    let kind = board("emberone").unwrap();
    let (told, ..) = power_up(kind, well(kind));
    let pins = |commands: &[Command]| -> Vec<(u8, bool)> {
        let pin = |command: &Command| match command {
            Command::SetPin { pin, high } => Some((*pin, *high)),
            _ => None,
        };
        commands.iter().filter_map(pin).collect()
    };
    assert_eq!(pins(&told), [(0, false), (1, true), (2, true)]);
    let off: Vec<_> = switch_off(kind).into_iter().map(|order| order.command).collect();
    assert_eq!(pins(&off), [(0, false), (2, false), (1, false)]);
    assert!(told.contains(&Command::I2cWrite { address: 0x49, bytes: vec![0x11, 0xf9] }), "-7 K");
}

#[test]
fn a_board_with_other_parts_or_a_complaint_gets_no_further() {
    let kind = board("gamma").unwrap();
    let cases = [
        (Check::FanId, Ok(vec![0x2e]), "which is no EMC2101"),
        (Check::RegulatorId, Ok(vec![6; 7]), "which is no TPS546"),
        (Check::RegulatorMode, Ok(vec![0x14]), "counts voltages in mode [14]"),
        (
            Check::RegulatorLimit(640),
            Ok(vec![0x00, 0x03]),
            "keeps its output below [00, 03] (VOUT_MAX), not 0x0280",
        ),
        (Check::RegulatorStatus, Ok(vec![0, 0x20]), "complains of input"),
        (
            Check::RegulatorId,
            Err(CallError::Refused(Refusal::Timeout)),
            "regulator: no part answers at that address; if it is another board, name its kind, or bitaxe, which",
        ),
        (Check::FanId, Err(CallError::NoAnswer), "fan controller: the control port does not answer"),
    ];
    for (wrong, reply, said) in cases {
        let asked = steps(kind, kind.lowest_voltage()).into_iter().find_map(|step| match step {
            Step::Ask(command, check) if check == wrong => Some(command),
            _ => None,
        });
        let well = well(kind);
        let reply = |command: &Command| {
            if Some(command) == asked.as_ref() { reply.clone() } else { well(command) }
        };
        let (told, _, outcome) = power_up(kind, reply);
        assert!(outcome.clone().unwrap_err().contains(said), "{said}: {outcome:?}");
        let is_on = told.iter().any(|command| volts(command).is_some());
        assert_eq!(is_on, wrong == Check::RegulatorStatus, "{said}");
    }
}

#[test]
fn what_takes_the_power_away_comes_first_the_reset_line_is_held_and_the_fan_left_at_full_speed() {
    for kind in boards().iter().filter(|kind| kind.parts.regulator.is_some()) {
        let off = switch_off(kind);
        let (fan, power): (Vec<_>, Vec<_>) = off.iter().partition(|order| order.part == "its fan");
        let needed: Vec<_> = power.iter().filter(|order| order.is_needed).map(|order| order.part).collect();
        let (reset, regulator) = ("the reset of its chips", "its regulator");
        let (first, expected) = match kind.parts.regulator {
            Some(Regulator::Tps546(_)) => (regulator, vec![regulator]),
            Some(Regulator::Ds4432u(_)) => (reset, vec![reset, regulator]),
            _ => (reset, vec![regulator, regulator]),
        };
        assert_eq!((off[0].part, needed), (first, expected), "{}", kind.name);
        let held = Command::SetPin { pin: 0, high: false };
        assert!(off.iter().any(|order| order.command == held), "{}", kind.name);
        let full = Command::I2cWrite { address: 0x4c, bytes: vec![0x4c, 63] };
        assert!(fan.iter().all(|order| order.command == full && !order.is_needed), "{}", kind.name);
        assert_eq!(fan.len(), usize::from(kind.parts.fan.is_some()), "{}", kind.name);
    }
}

#[test]
fn voltages_go_up_and_down_by_25_millivolts_at_most() {
    let kind = board("gamma").unwrap();
    let voltage = |millivolts| kind.voltage(millivolts).unwrap();
    let millivolts = |from, to| -> Vec<u32> {
        voltage_steps(kind, voltage(from), voltage(to)).map(CoreVoltage::millivolts).collect()
    };
    assert_eq!(millivolts(1150, 1210), [1175, 1200, 1210]);
    assert_eq!(millivolts(1150, 1100), [1125, 1100]);
    assert_eq!(millivolts(1150, 1150), [0_u32; 0]);
}

#[test]
fn a_control_port_that_never_answers_is_asked_whether_it_is_one_and_a_later_silence_is_not() {
    let kind = board("gamma").unwrap();
    let (_, _, outcome) = power_up(kind, |_| Err(CallError::NoAnswer));
    let asked = "is the first port the control port, and the second the one of the chips?";
    assert_eq!(outcome, Err(format!("pins: the control port does not answer; {asked}")));
    let well = well(kind);
    let (_, _, outcome) = power_up(kind, |command| match command {
        Command::SetPin { .. } => well(command),
        _ => Err(CallError::NoAnswer),
    });
    assert_eq!(outcome, Err("parts of the board: the control port does not answer".to_owned()));
}
