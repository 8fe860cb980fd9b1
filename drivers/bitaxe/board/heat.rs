//! What a board measures, of its heat above all, and its fan.

use std::time::Instant;

use super::super::belief::{Belief, Witness};
use super::super::boards::BoardKind;
use super::super::link::CallError;
use super::super::power_up::drive_fan;
use super::super::thermal::Thermal;
use super::meter_watch::MeterWatch;
use super::monitor::{Monitor, Quantity, Unread};
use super::regulator_watch::RegulatorWatch;
use super::status::Readings;
use super::{Ask, Board, State};

/// Readings in a row that have to fail before the operator hears of it.
const TELL_AFTER: u32 = 5;
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

#[derive(Debug, Default)]
pub(super) struct FanDrive {
    pub(super) told: Option<u8>,
    pub(super) is_asked: bool,
    /// Readings in a row without a turn.
    still: u32,
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
            fan: FanDrive::default(),
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
        if fan.is_asked || fan.told == Some(percent) {
            return;
        }
        if let Some(command) = drive_fan(self.kind, percent) {
            fan.is_asked = true;
            self.link.call(Ask::Fan(percent), command, now);
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
            Quantity::RailVolts => readings.rail_volts = Some(value),
            Quantity::FanRpm => {
                readings.fan_rpm = Some(value);
                let fan = &mut self.heat.fan;
                let is_still = value == 0.0 && fan.told.is_some_and(|told| told >= FAN_SURELY_TURNS);
                fan.still = if is_still { fan.still.saturating_add(1) } else { 0 };
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
