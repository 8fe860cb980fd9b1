//! A board's status as all kinds of boards tell theirs.

use std::time::Instant;

use super::super::thermal::CutOff;
use super::super::tuner::Point;
use super::running::Running;
use super::{Board, OffReason, Readings, State};
use crate::bm13xx::pll::Frequency;
use crate::status::{BoardState, BoardStatus, ClockStatus, HeatStatus, PowerStatus};

impl Board {
    /// What it does.
    pub fn state(&self) -> BoardState {
        match &self.state {
            State::PoweringUp(_) => BoardState::Starting,
            State::Running(running) => match running.chain.state() {
                BoardState::Hashing if self.heat.thermal.speed() < 1.0 || self.is_held_back() => {
                    BoardState::Throttled
                }
                BoardState::Hashing if self.is_tuning(running) => BoardState::Tuning,
                state => state,
            },
            State::Off(off) => match &off.why {
                OffReason::CutOff(why) => BoardState::CutOff { reason: why.to_string() },
                OffReason::Failed { reason, .. } => BoardState::Parked { reason: reason.clone() },
                OffReason::Stopped => BoardState::Idle,
            },
        }
    }

    /// Whether the tuner looks for a point, or the board is on its way to the one that it has chosen.
    fn is_tuning(&self, running: &Running) -> bool {
        let is_there = |point: Point| {
            running.voltage.millivolts() == point.millivolts
                && running.chain.frequency() == Frequency::from_mhz(point.megahertz.into())
        };
        self.wanted.search.is_under_way() || self.wanted.search.point().is_some_and(|point| !is_there(point))
    }

    /// What is read at the moment, and of a board that is being cut off what was read just before.
    fn known_readings(&self, now: Instant) -> Readings {
        let is_cut_off = matches!(&self.state, State::Off(off) if matches!(off.why, OffReason::CutOff(_)));
        if self.link.is_silent() || !is_cut_off && !self.watches() {
            return Readings::default();
        }
        let is_blind = matches!(self.heat.thermal.cut_off(now), Some(CutOff::Blind { .. }));
        let Readings { chip_celsius, .. } = self.heat.readings;
        Readings { chip_celsius: chip_celsius.filter(|_| !is_blind), ..self.heat.readings }
    }

    /// How it stands.
    pub fn report(&self, now: Instant) -> BoardStatus {
        let readings = self.known_readings(now);
        let domains = f64::from(self.kind.chips.domains);
        let (chain, set_millivolts) = match &self.state {
            State::Running(running) => {
                let status = running.chain.status(running.clock.of(now));
                (status, Some(f64::from(running.voltage.millivolts())))
            }
            State::PoweringUp(_) | State::Off(_) => (BoardStatus::new(self.state()), None),
        };
        BoardStatus {
            state: self.state(),
            heat: HeatStatus {
                chip_celsius: readings.chip_celsius,
                regulator_celsius: readings.regulator_celsius,
                board_celsius: readings.board_celsius,
                fan_rpm: readings.fan_rpm,
                fan_percent: self.heat.fan.told.map(f64::from),
            },
            power: PowerStatus {
                watts: readings.watts,
                input_volts: readings.input_volts,
                core_millivolts: readings.rail_volts.map(|volts| 1000.0 * volts / domains),
                set_millivolts,
            },
            clock: ClockStatus { set_megahertz: Some(self.wanted.point.megahertz.into()), ..chain.clock },
            ..chain
        }
    }
}
