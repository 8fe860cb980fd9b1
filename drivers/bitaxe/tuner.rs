//! The auto-tuner: which frequency and voltage suit one board best. Samples and times in, a point to be at out.
//!
//! It climbs: from the best point so far it tries each neighbour on a grid, moves to the first one that is better, and
//! stops where none is. A point counts only if the board keeps its limits there and hashes as fast as its frequency says.
//! What has been measured is not measured again, and what follows from it is not tried. Afterwards it watches, and backs
//! off by itself.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::boards::{BoardKind, Range};
use crate::bm13xx::pll::Frequency;

/// Grid of the search. Finer than these a chip shows no difference within the time of one measurement.
const MEGAHERTZ_STEP: u32 = 25;
const MILLIVOLTS_STEP: u32 = 20;
/// Time for heat and fan to settle at a new point, and time of a measurement: some 2400 nonces, a rate within 2 %.
const SETTLE: Duration = Duration::from_secs(120);
const MEASURE: Duration = Duration::from_secs(300);
/// Nonces without which there is no judgement.
const LEAST_NONCES: u64 = 100;
/// Share of its frequency's hash rate below which a chip is not stable at a point.
const STABLE_SHARE: f64 = 0.95;
/// A point is worth a measurement when it can be better by this share.
const BETTER_BY: f64 = 0.005;
/// Times the rate of its frequency beyond which a result is not believed, and power in watts beyond which none is.
const TOO_FAST: f64 = 1.5;
const MOST_WATTS: f64 = 100_000.0;
/// Points kept; the grid of a board has fewer.
const MOST_POINTS: usize = 1024;

/// What is best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// Most hashes for a joule.
    Efficiency,
    /// Most hashes a second.
    HashRate,
}

impl Goal {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Efficiency, Self::HashRate];

    /// As it is named in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Efficiency => "efficiency",
            Self::HashRate => "hash-rate",
        }
    }
}

/// A frequency and a core voltage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Point {
    /// Of the chips.
    pub megahertz: u32,
    /// Of one core.
    pub millivolts: u32,
}

/// What no point may exceed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TunerLimits {
    /// Of the chips, °C.
    pub celsius: f64,
    /// Of the board, watts.
    pub watts: f64,
    /// Share of hardware errors among all answers.
    pub error_share: f64,
}

/// The state of a board while it hashes. Counts go on from sample to sample, whatever was set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Hashes that its nonces stand for.
    pub hashes: f64,
    /// Good nonces.
    pub nonces: u64,
    /// Wrong ones.
    pub hardware_errors: u64,
    /// Of the chips; `None` when it could not be read.
    pub celsius: Option<f64>,
    /// Of the board; `None` where nothing measures it.
    pub watts: Option<f64>,
    /// Whether heat or power hold the chips back.
    pub is_throttled: bool,
}

/// Why a point does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Too hot or too much power: so is whatever is faster at no lower voltage.
    Limit,
    /// Wrong or missing nonces, or chips that gave up: so is whatever is faster at no higher voltage.
    Unstable,
}

/// What came of a point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The point.
    #[serde(flatten)]
    pub point: Point,
    /// Hashes a second.
    pub hashes_per_second: f64,
    /// Of the board; 0 where nothing measures it.
    pub watts: f64,
    /// Highest of the chips, °C.
    pub celsius: f64,
    /// Share of hardware errors among all answers.
    pub error_share: f64,
    /// Why it does not count, if it does not.
    pub fault: Option<Fault>,
}

/// All that was measured of a board: what the state file keeps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// In the order in which they were measured, one a point.
    pub outcomes: Vec<Outcome>,
    /// By which limits they were judged.
    #[serde(default)]
    pub limits: Option<TunerLimits>,
}

impl Results {
    /// Takes an outcome in; an earlier one of the same point goes.
    pub fn learn(&mut self, outcome: Outcome) {
        self.outcomes.retain(|known| known.point != outcome.point);
        self.outcomes.push(outcome);
        let surplus = self.outcomes.len().saturating_sub(MOST_POINTS);
        self.outcomes.drain(..surplus);
    }

    /// The same under other limits: what was too much may not be any more, and the other way round.
    fn judged_by(mut self, limits: TunerLimits) -> Self {
        if self.limits.replace(limits) != Some(limits) {
            self.outcomes.retain(|outcome| outcome.fault != Some(Fault::Limit));
            let is_beyond =
                |outcome: &Outcome| outcome.watts > limits.watts || outcome.celsius > limits.celsius;
            for outcome in self.outcomes.iter_mut().filter(|outcome| is_beyond(outcome)) {
                outcome.fault.get_or_insert(Fault::Limit);
            }
        }
        self
    }

    fn at(&self, point: Point) -> Option<&Outcome> {
        self.outcomes.iter().find(|outcome| outcome.point == point)
    }

    fn rules_out(&self, point: Point) -> bool {
        self.outcomes.iter().any(|known| {
            let faster = point.megahertz >= known.point.megahertz;
            match known.fault {
                Some(Fault::Limit) => faster && point.millivolts >= known.point.millivolts,
                Some(Fault::Unstable) => faster && point.millivolts <= known.point.millivolts,
                None => false,
            }
        })
    }

    fn best(&self, goal: Goal) -> Option<&Outcome> {
        let fine = |outcome: &&Outcome| outcome.fault.is_none() && !self.rules_out(outcome.point);
        self.outcomes.iter().filter(fine).max_by(|a, b| score(goal, a).total_cmp(&score(goal, b)))
    }
}

/// How good an outcome is, the higher the better.
fn score(goal: Goal, outcome: &Outcome) -> f64 {
    match goal {
        Goal::HashRate => outcome.hashes_per_second,
        Goal::Efficiency if outcome.watts > 0.0 => outcome.hashes_per_second / outcome.watts,
        Goal::Efficiency => 0.0,
    }
}

/// What the tuner tells.
#[derive(Debug, Clone, PartialEq)]
pub enum TunerEvent {
    /// A point was measured. The state file keeps it.
    Learnt(Outcome),
    /// None of its neighbours is better: the board stays at this one.
    Found(Outcome),
    /// It did not hold, and the board goes back to a gentler one.
    BackedOff {
        /// Where it did not hold.
        from: Point,
        /// Why.
        fault: Fault,
    },
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Settling { until: Instant },
    Measuring { from: Sample, since: Instant, hottest: f64, joules: f64, at: Instant },
}

/// The search on one board.
#[derive(Debug)]
pub struct Tuner {
    goal: Goal,
    limits: TunerLimits,
    kind: &'static BoardKind,
    results: Results,
    point: Point,
    is_found: bool,
    phase: Phase,
    events: Vec<TunerEvent>,
}

impl Tuner {
    /// Begins where earlier results say that it is best, or else at `start`. Of `results` only what this board bears and
    /// what makes sense is believed. Limits above those of the board become those.
    pub fn new(
        kind: &'static BoardKind,
        goal: Goal,
        limits: TunerLimits,
        start: Point,
        results: Results,
        now: Instant,
    ) -> Self {
        let bears =
            |point: Point| kind.frequency(point.megahertz).is_ok() && kind.voltage(point.millivolts).is_ok();
        let sense = |outcome: &Outcome| {
            let most = TOO_FAST * expected(kind, outcome.point);
            bears(outcome.point)
                && (0.0..=most).contains(&outcome.hashes_per_second)
                && (0.0..=MOST_WATTS).contains(&outcome.watts)
                && outcome.celsius.is_finite()
                && (0.0..=1.0).contains(&outcome.error_share)
        };
        let mut believed = Results { limits: results.limits, outcomes: Vec::new() };
        results.outcomes.into_iter().filter(sense).for_each(|outcome| believed.learn(outcome));
        let limits = TunerLimits {
            celsius: limits.celsius.min(kind.heat.throttle),
            watts: limits.watts.min(kind.heat.watts),
            ..limits
        };
        let believed = believed.judged_by(limits);
        let start = if bears(start) { start } else { default_point(kind) };
        let point = believed.best(goal).map_or(start, |best| best.point);
        let mut tuner = Self {
            goal,
            limits,
            kind,
            results: believed,
            point,
            is_found: false,
            phase: Phase::Settling { until: now + SETTLE },
            events: Vec::new(),
        };
        if tuner.results.at(point).is_some() {
            tuner.go_on(now);
        } else {
            tuner.move_to(point, now);
        }
        tuner
    }

    /// How the board is, about once a second while it hashes.
    pub fn handle_sample(&mut self, sample: &Sample, now: Instant) {
        let too_hot = sample.celsius.is_some_and(|celsius| celsius > self.limits.celsius);
        match &mut self.phase {
            Phase::Settling { until } if now < *until => {
                // On the way to a point it may overshoot, but not beyond what makes the board protect itself.
                if sample.is_throttled && too_hot {
                    self.fail(Fault::Limit, now);
                }
            }
            Phase::Settling { .. } => {
                let hottest = sample.celsius.unwrap_or(f64::NEG_INFINITY);
                self.phase = Phase::Measuring { from: *sample, since: now, hottest, joules: 0.0, at: now };
            }
            Phase::Measuring { hottest, joules, at, since, .. } => {
                let seconds = now.saturating_duration_since(*at).as_secs_f64();
                *joules += sample.watts.unwrap_or(0.0) * seconds;
                *hottest = hottest.max(sample.celsius.unwrap_or(f64::NEG_INFINITY));
                *at = now;
                if too_hot || sample.is_throttled {
                    self.fail(Fault::Limit, now);
                } else if now.saturating_duration_since(*since) >= MEASURE {
                    self.conclude(sample, now);
                }
            }
        }
    }

    /// The chips gave up, or the power was cut.
    pub fn handle_failure(&mut self, fault: Fault, now: Instant) {
        self.fail(fault, now);
    }

    /// The board has not hashed for a while, or counts anew: what was measured of this point is void.
    pub fn handle_pause(&mut self, now: Instant) {
        self.phase = Phase::Settling { until: now + SETTLE };
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<TunerEvent> {
        (!self.events.is_empty()).then(|| self.events.remove(0))
    }

    /// Where the board shall be.
    pub fn point(&self) -> Point {
        self.point
    }

    /// What it looks for.
    pub fn goal(&self) -> Goal {
        self.goal
    }

    /// Whether the search has ended.
    pub fn is_found(&self) -> bool {
        self.is_found
    }

    /// All that is known.
    pub fn results(&self) -> &Results {
        &self.results
    }

    fn expected(&self, point: Point) -> f64 {
        expected(self.kind, point)
    }

    fn conclude(&mut self, sample: &Sample, now: Instant) {
        let Phase::Measuring { from, since, hottest, joules, .. } = self.phase else { return };
        let seconds = now.saturating_duration_since(since).as_secs_f64();
        let nonces = sample.nonces.saturating_sub(from.nonces);
        let errors = sample.hardware_errors.saturating_sub(from.hardware_errors);
        if nonces + errors < LEAST_NONCES && seconds < 4.0 * MEASURE.as_secs_f64() {
            return; // go on measuring
        }
        let expected = self.expected(self.point);
        let measured = (sample.hashes - from.hashes).max(0.0) / seconds;
        // Two standard deviations of a count: what differs by less is chance, and the frequency knows better.
        let doubt = 2.0 / (nonces.max(1) as f64).sqrt();
        let is_chance = (measured - expected).abs() <= doubt * expected;
        let error_share = errors as f64 / (nonces + errors).max(1) as f64;
        let watts = joules / seconds;
        let fault = if watts > self.limits.watts {
            Some(Fault::Limit)
        } else if error_share > self.limits.error_share || measured < (STABLE_SHARE - doubt) * expected {
            Some(Fault::Unstable)
        } else {
            None
        };
        let outcome = Outcome {
            point: self.point,
            hashes_per_second: if is_chance { expected } else { measured },
            watts,
            celsius: hottest.max(-273.0),
            error_share,
            fault,
        };
        if let Some(fault) = fault {
            return self.give_up(outcome, fault, now);
        }
        self.learn(outcome);
        self.go_on(now);
    }

    fn fail(&mut self, fault: Fault, now: Instant) {
        let (hottest, watts) = match self.phase {
            Phase::Measuring { hottest, joules, since, at, .. } if at > since => {
                (hottest, joules / at.saturating_duration_since(since).as_secs_f64())
            }
            _ => (0.0, 0.0),
        };
        let celsius = hottest.max(-273.0);
        let outcome = Outcome {
            point: self.point,
            hashes_per_second: 0.0,
            watts,
            celsius,
            error_share: 0.0,
            fault: Some(fault),
        };
        self.give_up(outcome, fault, now);
    }

    fn give_up(&mut self, outcome: Outcome, fault: Fault, now: Instant) {
        if self.is_found {
            self.events.push(TunerEvent::BackedOff { from: self.point, fault });
        }
        self.learn(outcome);
        self.go_on(now);
    }

    fn learn(&mut self, outcome: Outcome) {
        self.results.learn(outcome);
        if !self.is_found || outcome.fault.is_some() {
            self.events.push(TunerEvent::Learnt(outcome));
        }
    }

    /// Chooses the next point.
    fn go_on(&mut self, now: Instant) {
        let Some(best) = self.results.best(self.goal).copied() else {
            // Nothing holds yet: slower until something does.
            return self.move_to(self.slower(self.point), now);
        };
        if !self.is_found {
            let better = |point: &Point| {
                self.results.at(*point).is_none()
                    && !self.results.rules_out(*point)
                    && self.may_be_better(*point, &best)
            };
            if let Some(next) = self.neighbours(best.point).find(better) {
                return self.move_to(next, now);
            }
            self.is_found = true;
            self.events.push(TunerEvent::Found(best));
        }
        self.move_to(best.point, now);
    }

    /// Whether a point that has not been measured can beat the best one.
    fn may_be_better(&self, point: Point, best: &Outcome) -> bool {
        match self.goal {
            Goal::HashRate => self.expected(point) > best.hashes_per_second * (1.0 + BETTER_BY),
            // The same frequency at more voltage takes more power; whatever else is worth a try.
            Goal::Efficiency => {
                point.megahertz != best.point.megahertz || point.millivolts < best.point.millivolts
            }
        }
    }

    /// Points next to this one, the most promising first.
    fn neighbours(&self, point: Point) -> impl Iterator<Item = Point> + use<> {
        let order: [(i32, i32); 8] = match self.goal {
            Goal::HashRate => [(1, 0), (1, 1), (1, -1), (1, 2), (0, 1), (0, -1), (-1, 0), (-1, -1)],
            Goal::Efficiency => [(0, -1), (-1, -1), (1, -1), (-1, 0), (1, 0), (1, 1), (-1, 1), (0, 1)],
        };
        let (megahertz, millivolts) = (self.kind.megahertz, self.kind.millivolts);
        order
            .into_iter()
            .map(move |(f, v)| Point {
                megahertz: moved(megahertz, point.megahertz, f, MEGAHERTZ_STEP),
                millivolts: moved(millivolts, point.millivolts, v, MILLIVOLTS_STEP),
            })
            .filter(move |other| *other != point)
    }

    fn slower(&self, point: Point) -> Point {
        let megahertz = moved(self.kind.megahertz, point.megahertz, -1, MEGAHERTZ_STEP);
        if megahertz == point.megahertz {
            let millivolts = moved(self.kind.millivolts, point.millivolts, -1, MILLIVOLTS_STEP);
            return Point { megahertz, millivolts };
        }
        Point { megahertz, ..point }
    }

    fn move_to(&mut self, point: Point, now: Instant) {
        self.point = point;
        self.phase = Phase::Settling { until: now + SETTLE };
    }
}

/// What the chips of a board do by the frequency of a point, in hashes a second.
fn expected(kind: &BoardKind, point: Point) -> f64 {
    let frequency = Frequency::from_mhz(point.megahertz.into());
    kind.list().chip.hash_rate(kind.chips.count, frequency)
}

/// Where a board stands that nobody has tuned.
pub fn default_point(kind: &BoardKind) -> Point {
    Point { megahertz: kind.megahertz.default, millivolts: kind.millivolts.default }
}

/// So many steps further, within a range.
fn moved(range: Range, value: u32, steps: i32, step: u32) -> u32 {
    value.saturating_add_signed(steps * step as i32).clamp(range.least, range.most)
}
