//! Whether the regulator still does what it was told. One that has turned itself off, or has forgotten its voltage, is named,
//! and the board goes through its power-up again.

use std::time::Instant;

use super::super::boards::Regulator;
use super::super::regulator::{Ds4432u, tps546_flags, tps546_has_tripped};
use super::{Board, State};

/// Readings in a row that have to agree: the control port has no checksum.
const SURE_AFTER: u32 = 2;

/// How far above a board's highest voltage its output may be read: there is an error in what it makes and one in what it
/// measures. Ours; no source has a figure.
const OVER_VOLTAGE: f64 = 1.03;

/// What the last readings have said.
#[derive(Debug, Default)]
pub(super) struct RegulatorWatch {
    /// Readings in a row by which the chips have lost their power, or have another one than they should.
    lost: u32,
    /// The same of the warning that is in them.
    warned: (u16, u32),
    /// Readings in a row of an output that is too high.
    too_high: u32,
}

impl Board {
    /// What it said of itself. Shape: the STATUS_WORD of a TPS546, the code of a DS4432U.
    pub(super) fn take_regulator_state(&mut self, state: u16, now: Instant) {
        let State::Running(running) = &self.state else { return };
        let watch = &mut self.heat.regulator;
        let lost = match self.kind.parts.regulator {
            Some(Regulator::Tps546(_)) if tps546_has_tripped(state) => tps546_flags(state).join(", "),
            Some(Regulator::Tps546(_)) => {
                let (word, times) = watch.warned;
                let times = if word == state { times.saturating_add(1) } else { 1 };
                watch.warned = (state, times);
                let flags = tps546_flags(state);
                if times == SURE_AFTER && !flags.is_empty() {
                    self.out.fault(format!("regulator: {}; it goes on", flags.join(", ")));
                }
                String::new()
            }
            // Like one that has just been plugged in, it makes a voltage that nobody has chosen.
            Some(Regulator::Ds4432u(_)) => match running.settled_voltage(self.wanted.point.millivolts) {
                Some(voltage) if state != u16::from(Ds4432u::code(voltage.rail_volts())) => {
                    format!("it stands at {state:#04x} and has forgotten its voltage")
                }
                _ => String::new(),
            },
            Some(Regulator::Switched(_)) | None => String::new(),
        };
        watch.lost = if lost.is_empty() { 0 } else { watch.lost + 1 };
        if watch.lost >= SURE_AFTER {
            self.fail(&format!("regulator: {lost}"), now);
        }
    }

    /// What its output was read to be, volts.
    pub(super) fn take_rail_volts(&mut self, volts: f64, now: Instant) {
        let State::Running(_) = &self.state else { return };
        let most = self.kind.highest_voltage().rail_volts();
        let watch = &mut self.heat.regulator;
        watch.too_high = if volts > most * OVER_VOLTAGE { watch.too_high + 1 } else { 0 };
        if watch.too_high >= SURE_AFTER {
            let why = format!(
                "regulator: its output is read as {volts:.3} V, and the board bears {most:.3} V; check that it is a {}",
                self.kind.title
            );
            self.fail(&why, now);
        }
    }
}
