//! Rounds of readings: what a board is asked once a second, the temperature of its chips first.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::super::boards::{BoardKind, FanPart, Parts, Regulator};
use super::super::link::CallError;
use super::super::packet::Command;
use super::super::sensor::{self, NoReading, Reading};

/// Time between two rounds.
const ROUND_EVERY: Duration = Duration::from_secs(1);

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantity {
    ChipCelsius,
    BoardCelsius,
    ControllerCelsius,
    RegulatorCelsius,
    /// What the regulator says of itself, as a number.
    RegulatorState,
    Watts,
    InputVolts,
    RailVolts,
    FanRpm,
}

impl Quantity {
    /// For a sentence about it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ChipCelsius => "the temperature of the chips",
            Self::BoardCelsius => "the temperature of the board",
            Self::ControllerCelsius => "the temperature of the fan's controller",
            Self::RegulatorState => "the state of the regulator",
            Self::RegulatorCelsius => "the temperature of the regulator",
            Self::Watts => "the power",
            Self::InputVolts => "the input voltage",
            Self::RailVolts => "the core voltage",
            Self::FanRpm => "the speed of the fan",
        }
    }
}

/// Why a quantity is not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Value(#[from] NoReading),
}

/// The rounds of one board. One command of it is under way at most.
#[derive(Debug)]
pub(super) struct Monitor {
    probes: Vec<(Quantity, Reading)>,
    /// What is left of the round: index of the probe, and of its command.
    doing: Option<Doing>,
    next_round: Instant,
    is_asked: bool,
}

#[derive(Debug)]
struct Doing {
    probe: usize,
    rest: VecDeque<Command>,
    bytes: Vec<u8>,
}

impl Monitor {
    pub(super) fn new(kind: &BoardKind, now: Instant) -> Self {
        let Parts { regulator, fan, chip_sensor, board_sensor, power_meter } = &kind.parts;
        let mut probes = Vec::new();
        probes.extend(chip_sensor.map(|sensor| (Quantity::ChipCelsius, sensor.reading())));
        let state = regulator.and_then(Regulator::state_reading);
        probes.extend(state.map(|reading| (Quantity::RegulatorState, reading)));
        if let Some(Regulator::Tps546(part)) = regulator {
            probes.push((Quantity::RegulatorCelsius, sensor::tps546_temperature(part.address)));
        }
        probes.extend(power_meter.map(|meter| (Quantity::Watts, meter.reading())));
        if let Some(FanPart::Emc2101 { address }) = *fan {
            probes.push((Quantity::FanRpm, sensor::emc2101_tachometer(address)));
            probes.push((Quantity::ControllerCelsius, sensor::emc2101_internal(address)));
        }
        probes.extend(board_sensor.map(|sensor| (Quantity::BoardCelsius, sensor.reading())));
        probes.extend(power_meter.map(|meter| (Quantity::InputVolts, meter.input_reading())));
        probes.extend(
            regulator.and_then(Regulator::output_reading).map(|reading| (Quantity::RailVolts, reading)),
        );
        Self { probes, doing: None, next_round: now, is_asked: false }
    }

    /// Begins anew at the next call: what was under way is forgotten.
    pub(super) fn restart(&mut self, now: Instant) {
        self.doing = None;
        self.is_asked = false;
        self.next_round = now;
    }

    /// The next call to make, when there is none under way.
    pub(super) fn next_call(&mut self, now: Instant) -> Option<Command> {
        if self.doing.is_none() && self.next_round <= now && !self.probes.is_empty() {
            self.next_round = now + ROUND_EVERY;
            self.begin(0);
        }
        if self.is_asked {
            return None;
        }
        let command = self.doing.as_mut()?.rest.pop_front();
        self.is_asked = command.is_some();
        command
    }

    /// When to look for the next call.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        (self.doing.is_none() && !self.probes.is_empty()).then_some(self.next_round)
    }

    /// The call has ended. Shape: a quantity with its value, once all of its calls have.
    pub(super) fn handle_outcome(
        &mut self,
        outcome: Result<Vec<u8>, CallError>,
    ) -> Option<(Quantity, Result<f64, Unread>)> {
        self.is_asked = false;
        let doing = self.doing.as_mut()?;
        let probe = doing.probe;
        let (quantity, reading) = &self.probes[probe];
        let quantity = *quantity;
        let value = match outcome {
            Ok(bytes) => {
                doing.bytes.extend(bytes);
                if !doing.rest.is_empty() {
                    return None;
                }
                (reading.meaning)(&doing.bytes).map_err(Unread::Value)
            }
            Err(error) => Err(Unread::Call(error)),
        };
        self.begin(probe + 1);
        Some((quantity, value))
    }

    /// Whether all of a round has been read.
    pub(super) fn is_round_over(&self) -> bool {
        self.doing.is_none()
    }

    fn begin(&mut self, probe: usize) {
        let commands = self.probes.get(probe).map(|(_, reading)| reading.commands.clone());
        self.doing = commands.map(|commands| Doing { probe, rest: commands.into(), bytes: Vec::new() });
    }
}
