//! What the operator may tell a running board, held against what the board bears.

use std::time::Instant;

use super::super::boards::{BoardKind, HeatLimits};
use super::super::tuner::{Goal, Point, Results, Tuner, TunerLimits};
use super::{Board, OwnLimits, Search};
use crate::order::{Order, OrderError};

/// Lowest power that a board can be held to: below it the slowest chips of all boards take more.
const LEAST_WATTS: f64 = 1.0;
/// Lowest temperature that chips can be held to: a room may be warmer than less.
const LEAST_CELSIUS: f64 = 40.0;
/// Kelvin that the fan keeps the chips below where throttling begins, at least.
const FAN_MARGIN: f64 = 5.0;
/// Kelvin below throttling beyond which the tuner takes no point: the board would be held back on the next warm day.
const TUNER_MARGIN: f64 = 2.0;
/// Share of hardware errors among all answers beyond which the tuner takes no point.
const MOST_ERRORS: f64 = 0.01;

impl Search {
    /// The tuner, if it is at work.
    pub(super) fn tuner(&mut self) -> Option<&mut Tuner> {
        match self {
            Self::On(tuner) => Some(tuner),
            Self::Off(_) => None,
        }
    }

    /// Where it wants the board to be.
    pub(super) fn point(&self) -> Option<Point> {
        match self {
            Self::On(tuner) => Some(tuner.point()),
            Self::Off(_) => None,
        }
    }

    /// Whether it has not found the best point yet.
    pub(super) fn is_under_way(&self) -> bool {
        matches!(self, Self::On(tuner) if !tuner.is_found())
    }

    pub(super) fn results(&self) -> &Results {
        match self {
            Self::On(tuner) => tuner.results(),
            Self::Off(results) => results,
        }
    }

    fn goal(&self) -> Option<Goal> {
        match self {
            Self::On(tuner) => Some(tuner.goal()),
            Self::Off(_) => None,
        }
    }
}

impl Board {
    /// Follows an order. Errors: the board does not bear it, and stays as it is.
    pub fn order(&mut self, order: Order, now: Instant) -> Result<(), OrderError> {
        match order {
            Order::Set { megahertz, millivolts } => {
                let Point { megahertz: same_megahertz, millivolts: same_millivolts } = self.wanted.point;
                let megahertz = megahertz.map_or(Ok(same_megahertz), |mhz| self.kind.whole_megahertz(mhz))?;
                let millivolts = millivolts.unwrap_or(same_millivolts);
                self.kind.voltage(millivolts)?;
                self.search_for(None, now)?;
                self.wanted.point = Point { megahertz, millivolts };
            }
            Order::LimitPower(watts) => self.limit(OwnLimits { watts, ..self.wanted.limits }, now)?,
            Order::LimitTemperature(celsius) => {
                self.limit(OwnLimits { celsius, ..self.wanted.limits }, now)?;
            }
            Order::Tune(goal) => self.search_for(goal, now)?,
        }
        self.go_on(now);
        Ok(())
    }

    fn limit(&mut self, limits: OwnLimits, now: Instant) -> Result<(), OrderError> {
        self.heat.thermal.set_limits(heat_limits(self.kind, limits)?);
        self.wanted.limits = limits;
        self.search_for(self.wanted.search.goal(), now)
    }

    /// Begins the search with what is known, or ends it where it is.
    fn search_for(&mut self, goal: Option<Goal>, now: Instant) -> Result<(), OrderError> {
        let known = self.wanted.search.results().clone();
        let limits = self.heat.thermal.limits();
        self.wanted.search = search(self.kind, goal, limits, self.wanted.point, known, now)?;
        self.wanted.point = self.wanted.search.point().unwrap_or(self.wanted.point);
        Ok(())
    }
}

/// What a board keeps under these limits of the operator. Throttling and cut-off keep their distance, so that a limit of
/// temperature brings both down. Errors: they are no limits, or beyond those of the board.
pub(super) fn heat_limits(kind: &BoardKind, own: OwnLimits) -> Result<HeatLimits, OrderError> {
    let HeatLimits { target, throttle, limit, watts } = kind.heat;
    let within = |what, asked: Option<f64>, least: f64, most: f64| match asked {
        Some(asked) if !(least..=most).contains(&asked) => {
            Err(OrderError::Limit { what, asked, least, most, board: kind.title.clone() })
        }
        _ => Ok(asked.unwrap_or(most)),
    };
    let watts = within("power-limit", own.watts, LEAST_WATTS, watts)?;
    let celsius = within("max-temperature", own.celsius, LEAST_CELSIUS, throttle)?;
    let target = target.min(celsius - FAN_MARGIN);
    Ok(HeatLimits { target, throttle: celsius, limit: limit - (throttle - celsius), watts })
}

/// A search for this goal, or none. Errors: nothing measures what the goal is about.
pub(super) fn search(
    kind: &'static BoardKind,
    goal: Option<Goal>,
    limits: &HeatLimits,
    start: Point,
    known: Results,
    now: Instant,
) -> Result<Search, OrderError> {
    let Some(goal) = goal else { return Ok(Search::Off(known)) };
    if goal == Goal::Efficiency && kind.parts.power_meter.is_none() {
        return Err(OrderError::NoPowerMeter { board: kind.title.clone() });
    }
    let limits = TunerLimits {
        celsius: limits.throttle - TUNER_MARGIN,
        watts: limits.watts,
        error_share: MOST_ERRORS,
    };
    Ok(Search::On(Box::new(Tuner::new(kind, goal, limits, start, known, now))))
}
