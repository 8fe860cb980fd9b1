//! Whether what the sensor of the chips says can be: a value that is wrong and looks well must not pass for cool chips.
//!
//! It is held against the sensors beside the chips and against itself. All figures here are ours: no source has any.

use std::time::{Duration, Instant};

use super::sensor::NoReading;

/// °C that chips with power are always above.
const COLDEST_ON: f64 = 0.5;
/// Kelvin by which chips that hash cannot be colder than the board that they warm. Sensors differ by a few.
const COLDER_BY: f64 = 15.0;
/// A value of another sensor is held against the chips for so long.
const FRESH: Duration = Duration::from_secs(10);
/// Time that chips have to show a change of power, to the last bit of their sensor: an eighth of a kelvin or less. They
/// do within a second or two.
const STILL_FOR: Duration = Duration::from_secs(30);
/// What is a change: this part of the power, and not less than so many watts; or so many kelvin elsewhere.
const POWER_MOVED: f64 = 0.25;
const WATTS_MOVED: f64 = 3.0;
const KELVIN_MOVED: f64 = 5.0;

/// What else is measured on a board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Witness {
    /// Power, watts.
    Power,
    /// Temperature of the board beside the chips, °C.
    Board,
    /// Temperature of the fan's controller, which is on the board as well, °C.
    Controller,
    /// Temperature of the regulator, which may be hotter than the chips, °C.
    Regulator,
}

impl Witness {
    const COUNT: usize = 4;

    fn has_moved(self, Span { least, most }: Span) -> bool {
        match self {
            Self::Power => most - least >= WATTS_MOVED.max(POWER_MOVED * most),
            Self::Board | Self::Controller | Self::Regulator => most - least >= KELVIN_MOVED,
        }
    }
}

/// What is known of the chips' sensor.
#[derive(Debug, Default)]
pub struct Belief {
    /// Whether the chips have power.
    is_on: bool,
    /// What each witness said last.
    last: [Option<(f64, Instant)>; Witness::COUNT],
    still: Option<Still>,
}

/// A value of the chips that has not changed by a bit.
#[derive(Debug)]
struct Still {
    celsius: f64,
    /// What the witnesses have said since.
    spans: [Option<Span>; Witness::COUNT],
    /// When one of them had moved so far that the chips must have.
    moved_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    least: f64,
    most: f64,
}

impl Belief {
    /// The chips get power, or lose it.
    pub fn handle_power(&mut self, is_on: bool) {
        self.is_on = is_on;
    }

    /// Something else was read.
    pub fn handle_witness(&mut self, witness: Witness, value: f64, now: Instant) {
        let index = witness as usize;
        self.last[index] = Some((value, now));
        let Some(still) = &mut self.still else { return };
        let Span { least, most } = still.spans[index].unwrap_or(Span { least: value, most: value });
        let span = Span { least: least.min(value), most: most.max(value) };
        still.spans[index] = Some(span);
        if witness.has_moved(span) {
            still.moved_at.get_or_insert(now);
        }
    }

    /// Holds a temperature of the chips against all else. Chips with power are warmer than any room: a line that gives back
    /// nothing but zeros or ones reads as 0 or a little below. Errors: `Implausible`, `Stuck`, `Colder`.
    pub fn judge(&mut self, celsius: f64, is_hashing: bool, now: Instant) -> Result<(), NoReading> {
        if self.is_on && celsius <= COLDEST_ON {
            return Err(NoReading::Implausible(celsius));
        }
        let moved_at = match &self.still {
            // To the bit.
            Some(still) if still.celsius == celsius => still.moved_at,
            _ => {
                self.still = Some(Still { celsius, spans: Default::default(), moved_at: None });
                None
            }
        };
        if moved_at.is_some_and(|at| now.saturating_duration_since(at) >= STILL_FOR) {
            return Err(NoReading::Stuck(celsius));
        }
        let beside = [Witness::Board, Witness::Controller].map(|witness| self.last[witness as usize]);
        let fresh =
            |(board, at): (f64, Instant)| (now.saturating_duration_since(at) < FRESH).then_some(board);
        match beside.into_iter().flatten().filter_map(fresh).reduce(f64::max) {
            Some(board) if is_hashing && celsius < board - COLDER_BY => {
                Err(NoReading::Colder { celsius, board })
            }
            _ => Ok(()),
        }
    }
}
