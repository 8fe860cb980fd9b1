//! Heat: how fast the fan turns, how fast the chips may run, and when the power is cut. Readings and times in; nothing here
//! waits or reaches a part.
//!
//! "Too hot" and "cannot be read" are kept apart. Neither one wrong reading nor a lost one stops a board; a hot one that
//! no cooler one contradicts does, within [`HOT_FOR`], and no reading at all within [`BLIND_AFTER`].

use std::time::{Duration, Instant};

use super::boards::HeatLimits;

/// Readings at the limit in a row that cut the power. Source: mujina `board/bitaxe.rs`.
const HOT_READINGS: u32 = 3;
/// After so long at the limit one reading is enough when those between were lost.
pub const HOT_FOR: Duration = Duration::from_secs(5);
/// After so long without any reading the board is stopped: a chip without a fan warms by some ten kelvin in this time.
pub const BLIND_AFTER: Duration = Duration::from_secs(10);
/// How long the power stays off after a cut-off at least.
const OFF_FOR: Duration = Duration::from_secs(60);

/// Slowest fan while the chips have power, percent: below it many do not start.
const SLOWEST_FAN: f64 = 30.0;
/// Percent for each kelvin above the target, and for each kelvin and second of it.
const FAN_PER_KELVIN: f64 = 2.0;
const FAN_PER_KELVIN_SECOND: f64 = 0.1;
/// The fan is left alone while the temperature is this near to the target, in kelvin,
const QUIET_KELVIN: f64 = 1.0;
/// and unless it should change by this many percent.
const QUIET_PERCENT: f64 = 3.0;
/// Longest time between two readings that the fan's sum believes in.
const LONGEST_STEP: f64 = 5.0;

/// Share of the speed that is left at the limit: in between it falls in proportion, at once.
const SPEED_AT_LIMIT: f64 = 0.5;
/// Least share of the speed.
const LEAST_SPEED: f64 = 0.1;
/// Share that is taken off each time, on top, as long as it stays too hot.
const SPEED_DOWN: f64 = 0.05;
const SPEED_DOWN_EVERY: Duration = Duration::from_secs(10);
/// Share that is given back each time when it has been cooler by this much for this long.
const SPEED_UP: f64 = 0.05;
const SPEED_UP_EVERY: Duration = Duration::from_secs(30);
const COOLER_BY: f64 = 5.0;
/// The same for power: a share of its limit.
const LESS_POWER: f64 = 0.95;
/// Power above its limit takes as much off the speed at once as it is too much. Not again before the chips have come down to
/// that, by 6.25 MHz ten times a second, and a reading has told.
const POWER_SETTLES: Duration = Duration::from_secs(5);
/// °C of a regulator at which the power is cut: where a TPS546 itself warns. Source: ESP-Miner and mujina for a Gamma.
const REGULATOR_LIMIT: f64 = 105.0;
/// From which on the chips are held back, and down to which. Ours.
pub const REGULATOR_HOT: f64 = 95.0;
const REGULATOR_COOL: f64 = 90.0;
/// Time without a reading of the chips after which the fan runs at full speed: nobody knows what it should do.
const FAN_BLIND_AFTER: Duration = Duration::from_secs(3);

/// Why a board has to be stopped.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum CutOff {
    /// The limit was reached.
    #[error(
        "chips at {celsius:.1} °C, the limit is {limit} °C: power off until they have cooled down; check fan and heat sink"
    )]
    TooHot {
        /// The last reading.
        celsius: f64,
        /// That of the board.
        limit: f64,
    },
    /// The regulator's limit was reached.
    #[error(
        "regulator at {celsius:.1} °C, the limit is {limit} °C: power off until it has cooled down; check the air around it"
    )]
    RegulatorTooHot {
        /// The last reading.
        celsius: f64,
        /// That of all regulators.
        limit: f64,
    },
    /// Nobody knows how hot it is.
    #[error(
        "the temperature of the chips cannot be read for {} s: power off until it can; check the control port and the sensor",
        quiet.as_secs()
    )]
    Blind {
        /// Time since the last reading.
        quiet: Duration,
    },
}

impl CutOff {
    /// Whether something was too hot.
    pub(super) fn is_heat(&self) -> bool {
        matches!(self, Self::TooHot { .. } | Self::RegulatorTooHot { .. })
    }
}

/// The heat of one board.
#[derive(Debug)]
pub struct Thermal {
    limits: HeatLimits,
    watch: Watch,
    regulator: Regulator,
    fan: Fan,
    speed: Speed,
    cut_at: Option<Instant>,
}

/// The debouncing of readings.
#[derive(Debug)]
struct Watch {
    /// The last reading, or the start.
    read_at: Instant,
    celsius: Option<f64>,
    hot: Hot,
}

/// The same of the regulator, which is not on every board.
#[derive(Debug, Default)]
struct Regulator {
    celsius: Option<f64>,
    hot: Hot,
}

/// Since when, and how many times, readings were at a limit without a cooler one between.
#[derive(Debug, Clone, Copy, Default)]
struct Hot(Option<(Instant, u32)>);

impl Hot {
    fn take(&mut self, is_hot: bool, now: Instant) {
        self.0 = is_hot.then(|| {
            let (since, count) = self.0.unwrap_or((now, 0));
            (since, count.saturating_add(1))
        });
    }

    fn is_sure(self, now: Instant) -> bool {
        let sure = |(since, count)| count >= HOT_READINGS || now.saturating_duration_since(since) >= HOT_FOR;
        self.0.is_some_and(sure)
    }

    /// When it is sure without another reading.
    fn due(self) -> Option<Instant> {
        self.0.map(|(since, _)| since + HOT_FOR)
    }
}

#[derive(Debug)]
struct Fan {
    sum: f64,
    percent: f64,
    at: Instant,
    is_full: bool,
}

#[derive(Debug)]
struct Speed {
    share: f64,
    changed_at: Instant,
    watts: Option<f64>,
    /// When power was last held back.
    power_cut_at: Option<Instant>,
    is_regulator_hot: bool,
}

impl Thermal {
    /// For a board whose first reading is asked for now. The fan begins at full speed.
    pub fn new(limits: HeatLimits, now: Instant) -> Self {
        Self {
            limits,
            watch: Watch { read_at: now, celsius: None, hot: Hot::default() },
            regulator: Regulator::default(),
            fan: Fan { sum: 100.0, percent: 100.0, at: now, is_full: false },
            speed: Speed {
                share: 1.0,
                changed_at: now,
                watts: None,
                power_cut_at: None,
                is_regulator_hot: false,
            },
            cut_at: None,
        }
    }

    /// A temperature of the chips was read.
    pub fn handle_celsius(&mut self, celsius: f64, now: Instant) {
        self.watch.read_at = now;
        self.watch.celsius = Some(celsius);
        self.watch.hot.take(celsius >= self.limits.limit, now);
        self.fan.follow(celsius - self.limits.target, now);
        self.steer(now);
    }

    /// The temperature of the chips could not be read, or not be believed.
    pub fn handle_unread(&mut self, now: Instant) {
        if now.saturating_duration_since(self.watch.read_at) >= FAN_BLIND_AFTER {
            (self.fan.sum, self.fan.percent) = (100.0, 100.0);
        }
    }

    /// The temperature of the regulator was read.
    pub fn handle_regulator(&mut self, celsius: f64, now: Instant) {
        self.regulator.celsius = Some(celsius);
        self.regulator.hot.take(celsius >= REGULATOR_LIMIT, now);
        let limit = if self.speed.is_regulator_hot { REGULATOR_COOL } else { REGULATOR_HOT };
        self.speed.is_regulator_hot = celsius >= limit;
        self.steer(now);
    }

    /// The power of the board was read. Shape: watts.
    pub fn handle_watts(&mut self, watts: f64, now: Instant) {
        self.speed.watts = Some(watts);
        let has_settled =
            self.speed.power_cut_at.is_none_or(|at| now.saturating_duration_since(at) >= POWER_SETTLES);
        if watts > self.limits.watts && has_settled {
            let surplus = self.speed.share * (1.0 - self.limits.watts / watts);
            self.speed.lower(surplus, now);
            self.speed.power_cut_at = Some(now);
        }
        self.steer(now);
    }

    /// What the power was last is of no use any more.
    pub fn forget_watts(&mut self) {
        self.speed.watts = None;
    }

    /// Whether the power has to be off, and why. Once it had to, it stays so until [`Self::may_start`].
    pub fn cut_off(&self, now: Instant) -> Option<CutOff> {
        let Watch { read_at, celsius, hot } = self.watch;
        let quiet = now.saturating_duration_since(read_at);
        if let Some(celsius) = celsius.filter(|_| hot.is_sure(now)) {
            return Some(CutOff::TooHot { celsius, limit: self.limits.limit });
        }
        if let Some(celsius) = self.regulator.celsius.filter(|_| self.regulator.hot.is_sure(now)) {
            return Some(CutOff::RegulatorTooHot { celsius, limit: REGULATOR_LIMIT });
        }
        (quiet >= BLIND_AFTER).then_some(CutOff::Blind { quiet })
    }

    /// The power was cut: the fan runs at full speed, and after the next start the chips run slower than before.
    pub fn handle_cut_off(&mut self, why: &CutOff, now: Instant) {
        self.cut_at = Some(now);
        self.fan.is_full = true;
        if why.is_heat() {
            self.speed.lower(2.0 * SPEED_DOWN, now);
        }
    }

    /// Whether a board whose power was cut may have it again: after a while, with a reading of this moment that is
    /// halfway to the target.
    pub fn may_start(&self, now: Instant) -> bool {
        let rested = self.cut_at.is_none_or(|at| now.saturating_duration_since(at) >= OFF_FOR);
        let cool = f64::midpoint(self.limits.target, self.limits.throttle);
        let is_regulator_cool = self.regulator.celsius.is_none_or(|celsius| celsius <= REGULATOR_COOL);
        let is_cool = rested && is_regulator_cool && self.cut_off(now).is_none();
        is_cool && self.watch.celsius.is_some_and(|celsius| celsius <= cool)
    }

    /// The power is on. From now on readings are missed.
    pub fn handle_start(&mut self, now: Instant) {
        self.fan.is_full = false;
        self.watch.read_at = now;
    }

    /// How fast the fan shall turn, 0 to 100.
    pub fn fan_percent(&self) -> u8 {
        if self.fan.is_full { 100 } else { self.fan.percent.ceil() as u8 }
    }

    /// How fast the chips may run, as a share of what they were set to.
    pub fn speed(&self) -> f64 {
        self.speed.share
    }

    /// The last temperature read, °C.
    pub fn celsius(&self) -> Option<f64> {
        self.watch.celsius
    }

    /// The last power read, watts; `None` if it is too old.
    pub fn watts(&self) -> Option<f64> {
        self.speed.watts
    }

    /// The limits that it keeps.
    pub fn limits(&self) -> &HeatLimits {
        &self.limits
    }

    /// Other limits, which are never above those of the board. What was too hot is judged anew by the next readings.
    pub fn set_limits(&mut self, limits: HeatLimits) {
        self.limits = limits;
    }

    /// When [`Self::cut_off`] may come to say something else without a reading.
    pub fn poll_timeout(&self) -> Instant {
        let hot = [self.watch.hot.due(), self.regulator.hot.due()];
        hot.into_iter().flatten().fold(self.watch.read_at + BLIND_AFTER, Instant::min)
    }

    fn steer(&mut self, now: Instant) {
        let HeatLimits { throttle, limit, watts: most, .. } = self.limits;
        let Some(celsius) = self.watch.celsius else { return };
        let watts = self.speed.watts.unwrap_or(0.0);
        let way = ((celsius - throttle) / (limit - throttle)).clamp(0.0, 1.0);
        self.speed.share = self.speed.share.min(1.0 - way * (1.0 - SPEED_AT_LIMIT));
        let since = now.saturating_duration_since(self.speed.changed_at);
        if celsius >= throttle || self.speed.is_regulator_hot {
            if since >= SPEED_DOWN_EVERY {
                self.speed.lower(SPEED_DOWN, now);
            }
        } else if celsius > throttle - COOLER_BY || watts > most * LESS_POWER {
            self.speed.changed_at = now.max(self.speed.changed_at);
        } else if since >= SPEED_UP_EVERY && self.speed.share < 1.0 {
            self.speed.share = (self.speed.share + SPEED_UP).min(1.0);
            self.speed.changed_at = now;
        }
    }
}

impl Speed {
    fn lower(&mut self, share: f64, now: Instant) {
        self.share = (self.share - share).max(LEAST_SPEED);
        self.changed_at = now;
    }
}

impl Fan {
    /// A proportional and an integral part. The sum stops where the fan does, so that it comes back at once.
    fn follow(&mut self, too_warm: f64, now: Instant) {
        let seconds = now.saturating_duration_since(self.at).as_secs_f64().min(LONGEST_STEP);
        self.at = now;
        if too_warm.abs() > QUIET_KELVIN {
            let change = too_warm * FAN_PER_KELVIN_SECOND * seconds;
            self.sum = (self.sum + change).clamp(SLOWEST_FAN, 100.0);
        }
        let wanted = (self.sum + too_warm * FAN_PER_KELVIN).clamp(SLOWEST_FAN, 100.0);
        let is_end = wanted == 100.0 || wanted == SLOWEST_FAN;
        if (wanted - self.percent).abs() >= QUIET_PERCENT || is_end {
            self.percent = wanted;
        }
    }
}
