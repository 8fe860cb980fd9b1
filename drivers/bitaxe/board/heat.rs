//! What a board measures, of its heat above all, and its fan.

use std::time::{Duration, Instant};

use super::super::belief::{Belief, Witness};
use super::super::boards::BoardKind;
use super::super::link::CallError;
use super::super::power_up::{drive_fan, set_up_fan};
use super::super::thermal::Thermal;
use super::meter_watch::MeterWatch;
use super::monitor::{Monitor, Quantity, Unread};
use super::regulator_watch::RegulatorWatch;
use super::status::Readings;
use super::{Ask, Board, State};

/// Readings in a row that have to fail before the operator hears of it.
const TELL_AFTER: u32 = 5;
/// How often the fan is told what to do although nothing has changed, and after it has refused.
const FAN_AGAIN: Duration = Duration::from_secs(10);
const FAN_RETRY: Duration = Duration::from_secs(1);
/// Drive in percent at which every fan turns.
const FAN_SURELY_TURNS: u8 = 30;

/// Temperatures, power and fan.
#[derive(Debug)]
pub(super) struct Heat {
    pub(super) monitor: Monitor,
    pub(super) thermal: Thermal,
    pub(super) belief: Belief,
    pub(super) regulator: RegulatorWatch,
    pub(super) meters: Vec<MeterWatch>,
    pub(super) readings: Readings,
    pub(super) fan: FanDrive,
    complaints: Vec<Complaint>,
}

#[derive(Debug)]
pub(super) struct FanDrive {
    /// What its controller has taken, in percent.
    pub(super) told: Option<u8>,
    /// When it is told again also if nothing is to change: after a dip of its supply it has forgotten all.
    again_at: Instant,
    is_asked: bool,
    /// Words in a row that it has not taken.
    refused: u32,
    /// Readings in a row without a turn.
    still: u32,
}

impl FanDrive {
    /// Nothing is known of it.
    fn new(now: Instant) -> Self {
        Self { told: None, again_at: now, is_asked: false, refused: 0, still: 0 }
    }

    /// What it was being told may not have come to it: it is told as soon as it may be.
    pub(super) fn restart(&mut self, now: Instant) {
        self.again_at = now;
        self.is_asked = false;
    }
}

/// Readings of a quantity in a row that failed.
#[derive(Debug)]
struct Complaint {
    quantity: Quantity,
    lost: u32,
}

impl Heat {
    pub(super) fn new(kind: &BoardKind, thermal: Thermal, now: Instant) -> Self {
        Self {
            monitor: Monitor::new(kind, now),
            thermal,
            belief: Belief::default(),
            regulator: RegulatorWatch::default(),
            meters: MeterWatch::all(kind, now),
            readings: Readings::default(),
            fan: FanDrive::new(now),
            complaints: Vec::new(),
        }
    }
}

impl Quantity {
    /// What it is for whoever judges the sensor of the chips.
    fn witness(self) -> Option<Witness> {
        match self {
            Self::Watts => Some(Witness::Power),
            Self::BoardCelsius => Some(Witness::Board),
            Self::ControllerCelsius => Some(Witness::Controller),
            Self::RegulatorCelsius => Some(Witness::Regulator),
            Self::ChipCelsius | Self::RegulatorState | Self::InputVolts | Self::RailVolts | Self::FanRpm => {
                None
            }
        }
    }
}

impl Board {
    pub(super) fn drive_fan(&mut self, now: Instant) {
        let percent = self.heat.thermal.fan_percent();
        let fan = &mut self.heat.fan;
        let is_due = fan.again_at <= now;
        let is_other = fan.told.is_some_and(|told| told != percent);
        if fan.is_asked || !is_due && !is_other {
            return;
        }
        if let Some(command) = drive_fan(self.kind, percent) {
            fan.is_asked = true;
            for command in is_due.then(|| set_up_fan(self.kind)).into_iter().flatten() {
                self.link.call(Ask::FanSetUp, command, now);
            }
            self.link.call(Ask::Fan(percent), command, now);
        }
    }

    /// The fan has been told what to do, or not.
    pub(super) fn fan_told(&mut self, percent: u8, outcome: Result<Vec<u8>, CallError>, now: Instant) {
        let fan = &mut self.heat.fan;
        fan.is_asked = false;
        fan.told = outcome.is_ok().then_some(percent);
        fan.again_at = now + if outcome.is_ok() { FAN_AGAIN } else { FAN_RETRY };
        match outcome {
            Ok(_) => fan.refused = 0,
            Err(error) => {
                fan.refused = fan.refused.saturating_add(1);
                // A silent port has been told of already.
                if fan.refused == TELL_AFTER && error != CallError::NoAnswer {
                    self.out.fault(format!("the fan cannot be driven: {error}; check its controller"));
                }
            }
        }
    }

    pub(super) fn take_reading(&mut self, outcome: Result<Vec<u8>, CallError>, now: Instant) {
        if let Some((quantity, value)) = self.heat.monitor.handle_outcome(outcome) {
            match value {
                Ok(value) => self.read(quantity, value, now),
                Err(error) => self.miss(quantity, &error, now),
            }
        }
        if self.heat.monitor.is_round_over() {
            self.tune(now);
        }
    }

    fn read(&mut self, quantity: Quantity, value: f64, now: Instant) {
        let is_hashing = matches!(&self.state, State::Running(running) if running.chain.is_hashing());
        let Heat { belief, complaints, .. } = &mut self.heat;
        if quantity == Quantity::ChipCelsius
            && let Err(error) = belief.judge(value, is_hashing, now)
        {
            return self.miss(quantity, &Unread::Value(error), now);
        }
        complaints.retain(|complaint| complaint.quantity != quantity);
        if let Some(witness) = quantity.witness() {
            belief.handle_witness(witness, value, now);
        }
        self.meter_read(quantity, value, now);
        let Heat { thermal, readings, .. } = &mut self.heat;
        match quantity {
            Quantity::ChipCelsius => {
                readings.chip_celsius = Some(value);
                thermal.handle_celsius(value, now);
            }
            Quantity::BoardCelsius => readings.board_celsius = Some(value),
            // Where no sensor is made for it, the controller's is the board's.
            Quantity::ControllerCelsius if self.kind.parts.board_sensor.is_none() => {
                readings.board_celsius = Some(value);
            }
            Quantity::ControllerCelsius => {}
            Quantity::RegulatorState => self.take_regulator_state(value as u16, now),
            Quantity::RegulatorCelsius => {
                readings.regulator_celsius = Some(value);
                thermal.handle_regulator(value, now);
            }
            Quantity::Watts => {
                readings.watts = Some(value);
                thermal.handle_watts(value, now);
            }
            Quantity::InputVolts => readings.input_volts = Some(value),
            Quantity::RailVolts => {
                readings.rail_volts = Some(value);
                self.take_rail_volts(value, now);
            }
            Quantity::FanRpm => {
                readings.fan_rpm = Some(value);
                let fan = &mut self.heat.fan;
                let is_still = value == 0.0 && fan.told.is_some_and(|told| told >= FAN_SURELY_TURNS);
                fan.still = if is_still { fan.still.saturating_add(1) } else { 0 };
                if is_still {
                    fan.again_at = now;
                }
                if fan.still == TELL_AFTER {
                    self.out.fault("the fan does not turn; check its plug and what blocks it");
                }
            }
        }
    }

    fn miss(&mut self, quantity: Quantity, error: &Unread, now: Instant) {
        if quantity == Quantity::ChipCelsius {
            self.heat.thermal.handle_unread(now);
        }
        let complaints = &mut self.heat.complaints;
        let at = complaints.iter().position(|complaint| complaint.quantity == quantity);
        let at = at.unwrap_or_else(|| {
            complaints.push(Complaint { quantity, lost: 0 });
            complaints.len() - 1
        });
        complaints[at].lost = complaints[at].lost.saturating_add(1);
        // A silent port has been told of already.
        if complaints[at].lost == TELL_AFTER && !matches!(error, Unread::Call(CallError::NoAnswer)) {
            self.out.fault(format!("{} cannot be read: {error}", quantity.name()));
        }
    }
}
