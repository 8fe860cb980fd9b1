//! Meters by which a limit is kept. What one said last is worth nothing once it says nothing any more: then the chips are held
//! where they were known to be within the limit, until it can be read again.

use std::time::{Duration, Instant};

use super::super::boards::{BoardKind, Regulator};
use super::super::thermal::REGULATOR_HOT;
use super::monitor::Quantity;
use super::{Board, State};
use crate::BoardEvent;
use crate::bm13xx::pll::{AFTER_RESET, Frequency};

/// Time without a reading after which a meter is lost: as long as a board goes on without the temperature of its chips.
const LOST_AFTER: Duration = super::super::thermal::BLIND_AFTER;

/// One of them.
#[derive(Debug)]
pub(super) struct MeterWatch {
    quantity: Quantity,
    /// The last reading, or when the chips got their power.
    read_at: Instant,
    /// The last reading while the chips hashed.
    seen: Option<Seen>,
    is_lost: bool,
}

/// A reading, and what the chips had then.
#[derive(Debug, Clone, Copy)]
struct Seen {
    value: f64,
    frequency: Frequency,
    millivolts: u32,
}

impl MeterWatch {
    /// Those of a kind of board.
    pub(super) fn all(kind: &BoardKind, now: Instant) -> Vec<Self> {
        let watts = kind.parts.power_meter.map(|_| Quantity::Watts);
        let regulator = match kind.parts.regulator {
            Some(Regulator::Tps546(_)) => Some(Quantity::RegulatorCelsius),
            Some(Regulator::Ds4432u(_) | Regulator::Switched(_)) | None => None,
        };
        let meter = |quantity| Self { quantity, read_at: now, seen: None, is_lost: false };
        watts.into_iter().chain(regulator).map(meter).collect()
    }

    /// The chips get power: from now on readings are missed.
    pub(super) fn restart(&mut self, now: Instant) {
        self.read_at = now;
    }

    /// Where the chips are held at this voltage while the meter is lost. Without a reading within the limit nothing is known
    /// to be within it but the clock that they have after a reset.
    fn hold(&self, limit: f64, millivolts: u32) -> Option<Frequency> {
        let within = self.seen.filter(|seen| seen.value <= limit);
        let held = within.map_or(AFTER_RESET, |seen| {
            // Power goes with the square of the voltage.
            let lower = f64::from(seen.millivolts.min(millivolts)) / f64::from(millivolts);
            Frequency::from_mhz(seen.frequency.mhz() * lower * lower)
        });
        self.is_lost.then_some(held.max(AFTER_RESET))
    }
}

impl Board {
    fn meter_limit(&self, quantity: Quantity) -> f64 {
        match quantity {
            Quantity::Watts => self.heat.thermal.limits().watts,
            _ => REGULATOR_HOT,
        }
    }

    /// One of the meters has been read.
    pub(super) fn meter_read(&mut self, quantity: Quantity, value: f64, now: Instant) {
        let limit = self.meter_limit(quantity);
        let hashing = match &self.state {
            // Without a job they take less than they will.
            State::Running(running) if running.chain.is_hashing() && self.wanted.job.is_some() => {
                Some((running.chain.frequency(), running.voltage.millivolts()))
            }
            _ => None,
        };
        let Some(meter) = self.heat.meters.iter_mut().find(|meter| meter.quantity == quantity) else {
            return;
        };
        meter.read_at = now;
        if let Some((frequency, millivolts)) = hashing
            && value <= limit
        {
            meter.seen = Some(Seen { value, frequency, millivolts });
        }
        if std::mem::take(&mut meter.is_lost) {
            let text = format!("{} can be read again", quantity.name());
            self.out.events.push_back(BoardEvent::Recovered(text));
        }
    }

    /// Looks whether one of the meters of a board with power is lost, and tells it.
    pub(super) fn watch_meters(&mut self, now: Instant) {
        let is_lost = |meter: &MeterWatch| now.saturating_duration_since(meter.read_at) >= LOST_AFTER;
        for at in 0..self.heat.meters.len() {
            let meter = &mut self.heat.meters[at];
            if meter.is_lost || !is_lost(meter) {
                continue;
            }
            meter.is_lost = true;
            let quantity = meter.quantity;
            match quantity {
                Quantity::Watts => {
                    self.heat.readings.watts = None;
                    self.heat.thermal.forget_watts();
                }
                _ => self.heat.readings.regulator_celsius = None,
            }
            let held = self.allowed_frequency().mhz();
            self.out.fault(format!(
                "{} cannot be read for {} s, and its limit not be kept: the chips are held at {held:.0} MHz until it can; check \
                 what measures it",
                quantity.name(),
                LOST_AFTER.as_secs()
            ));
        }
    }

    /// Where lost meters hold the chips; `None` if none is lost.
    pub(super) fn held_frequency(&self) -> Option<Frequency> {
        let millivolts = self.wanted.point.millivolts;
        let held = self.heat.meters.iter();
        held.filter_map(|meter| meter.hold(self.meter_limit(meter.quantity), millivolts)).min()
    }
}
