//! Faults on request: of the line to the chips, of chips, of the board around them.

use std::{str::FromStr, time::Duration};

use super::chain::ChainFaults;
use crate::chance::Chance;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FaultKind {
    /// Each byte on the line to or from the chips is lost with this probability.
    Lost(f64),
    /// One bit of a byte there is flipped with this probability.
    Flipped(f64),
    /// A byte there comes twice with this probability.
    Doubled(f64),
    /// What the chips say arrives this much later.
    Delayed(Duration),
    /// This chip, and so all behind it, is out of reach; 0 is the one nearest the host.
    DeadChip(usize),
    /// This chip answers garbage.
    GarbageChip(usize),
    /// It is this many kelvin hotter around the board.
    Hot(f64),
    /// The fan does not turn, whatever its drive.
    StuckFan,
    /// The diode of the chips reads this, whatever their temperature. Unit: °C.
    StuckSensor(f64),
    /// The regulator reads this of itself. Unit: °C.
    HotRegulator(f64),
    /// A regulator that can tell of it turns itself off, as if too much current flowed.
    TrippedRegulator,
    /// Parts on the I2C bus are as after power-on, and stay so.
    Brownout,
    /// Nothing comes from the control port, and nothing is done.
    SilentControl,
    /// Replies of the control port come this much later.
    LateControl(Duration),
    /// The control port replies in the form of emberOne's newer firmware, on any board.
    V1Control,
    /// The board is off the bus.
    Unplugged,
}

/// A fault and when it holds, counted from the start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fault {
    /// What is wrong.
    pub kind: FaultKind,
    /// From then on.
    pub from: Duration,
    /// Until then; `None` for good.
    pub until: Option<Duration>,
}

/// A text that names no fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "fault {text:?}: {reason}; write NAME[=VALUE][@FROM[+FOR]] with seconds, like lost=0.01 or unplug@30+5"
)]
pub struct NoFault {
    text: String,
    reason: &'static str,
}

impl FromStr for Fault {
    type Err = NoFault;

    /// `NAME[=VALUE][@FROM[+FOR]]`, both times in seconds.
    fn from_str(text: &str) -> Result<Self, NoFault> {
        let parsed = || {
            let (what, when) = text.split_once('@').unwrap_or((text, "0"));
            let (from, lasts) =
                when.split_once('+').map_or((when, None), |(from, lasts)| (from, Some(lasts)));
            let (name, value) =
                what.split_once('=').map_or((what, None), |(name, value)| (name, Some(value)));
            let from = seconds(from)?;
            let until = lasts.map(seconds).transpose()?.map(|lasts| from.saturating_add(lasts));
            Ok(Self { kind: kind(name, value)?, from, until })
        };
        parsed().map_err(|reason| NoFault { text: text.to_owned(), reason })
    }
}

fn kind(name: &str, value: Option<&str>) -> Result<FaultKind, &'static str> {
    match (name, value) {
        ("lost", Some(value)) => Ok(FaultKind::Lost(probability(value)?)),
        ("flipped", Some(value)) => Ok(FaultKind::Flipped(probability(value)?)),
        ("doubled", Some(value)) => Ok(FaultKind::Doubled(probability(value)?)),
        ("delayed", Some(value)) => Ok(FaultKind::Delayed(milliseconds(value)?)),
        ("dead-chip", Some(value)) => Ok(FaultKind::DeadChip(index(value)?)),
        ("garbage-chip", Some(value)) => Ok(FaultKind::GarbageChip(index(value)?)),
        ("hot", Some(value)) => Ok(FaultKind::Hot(number(value, 0.0, 500.0)?)),
        ("stuck-fan", None) => Ok(FaultKind::StuckFan),
        ("stuck-sensor", Some(value)) => Ok(FaultKind::StuckSensor(number(value, -40.0, 120.0)?)),
        ("hot-regulator", Some(value)) => Ok(FaultKind::HotRegulator(number(value, 0.0, 200.0)?)),
        ("trip", None) => Ok(FaultKind::TrippedRegulator),
        ("brownout", None) => Ok(FaultKind::Brownout),
        ("silent-control", None) => Ok(FaultKind::SilentControl),
        ("late-control", Some(value)) => Ok(FaultKind::LateControl(milliseconds(value)?)),
        ("v1-control", None) => Ok(FaultKind::V1Control),
        ("unplug", None) => Ok(FaultKind::Unplugged),
        ("stuck-fan" | "trip" | "brownout" | "silent-control" | "v1-control" | "unplug", Some(_)) => {
            Err("it takes no value")
        }
        ("stuck-sensor" | "hot-regulator", None) => Err("a temperature is missing"),
        ("lost" | "flipped" | "doubled", None) => Err("a probability from 0 to 1 is missing"),
        ("delayed" | "late-control", None) => Err("a number of milliseconds is missing"),
        ("dead-chip" | "garbage-chip", None) => Err("the number of a chip is missing"),
        ("hot", None) => Err("a number of kelvin is missing"),
        _ => Err("it is none of lost, flipped, doubled, delayed, dead-chip, garbage-chip, hot, stuck-fan, \
              stuck-sensor, hot-regulator, trip, brownout, silent-control, late-control, v1-control and unplug"),
    }
}

fn number(text: &str, least: f64, most: f64) -> Result<f64, &'static str> {
    let number: f64 = text.parse().map_err(|_| "its value or time is no number")?;
    if (least..=most).contains(&number) { Ok(number) } else { Err("its value or time is out of range") }
}

fn probability(text: &str) -> Result<f64, &'static str> {
    number(text, 0.0, 1.0)
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    number(text, 0.0, 1e9).map(Duration::from_secs_f64)
}

fn milliseconds(text: &str) -> Result<Duration, &'static str> {
    number(text, 0.0, 1e9).map(|milliseconds| Duration::from_secs_f64(milliseconds / 1000.0))
}

fn index(text: &str) -> Result<usize, &'static str> {
    text.parse().map_err(|_| "its chip is no whole number")
}

/// All faults of a board, with their chance.
#[derive(Debug)]
pub(super) struct Faults {
    all: Vec<Fault>,
    chance: Chance,
}

impl Faults {
    pub(super) fn new(all: Vec<Fault>, seed: u64) -> Self {
        Self { all, chance: Chance::new(seed ^ 0x_fa17) }
    }

    /// What is wrong at `now`.
    fn active(&self, now: Duration) -> impl Iterator<Item = FaultKind> {
        let holds = move |fault: &&Fault| fault.from <= now && fault.until.is_none_or(|until| now < until);
        self.all.iter().filter(holds).map(|fault| fault.kind)
    }

    /// When something begins or ends after `now`.
    pub(super) fn next_change(&self, now: Duration) -> Option<Duration> {
        let times = self.all.iter().flat_map(|fault| [Some(fault.from), fault.until]);
        times.flatten().filter(|at| *at > now).min()
    }

    /// What becomes of bytes on the line to or from the chips.
    pub(super) fn damage(&mut self, bytes: &[u8], now: Duration) -> Vec<u8> {
        let (mut lost, mut flipped, mut doubled) = (0.0, 0.0, 0.0);
        for kind in self.active(now) {
            match kind {
                FaultKind::Lost(probability) => lost = probability,
                FaultKind::Flipped(probability) => flipped = probability,
                FaultKind::Doubled(probability) => doubled = probability,
                _ => {}
            }
        }
        let mut damaged = Vec::with_capacity(bytes.len());
        for byte in bytes {
            let bit = if self.strikes(flipped) { 1 << self.chance.below(8) } else { 0 };
            if self.strikes(lost) {
                continue;
            }
            damaged.push(byte ^ bit);
            if self.strikes(doubled) {
                damaged.push(byte ^ bit);
            }
        }
        damaged
    }

    fn strikes(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.chance.happens(probability)
    }

    /// How much later what the chips say arrives.
    pub(super) fn data_delay(&self, now: Duration) -> Duration {
        self.active(now)
            .map(|kind| if let FaultKind::Delayed(delay) = kind { delay } else { Duration::ZERO })
            .sum()
    }

    /// How much later a reply of the control port comes; `None` for never.
    pub(super) fn control_delay(&self, now: Duration) -> Option<Duration> {
        self.active(now).try_fold(Duration::ZERO, |delay, kind| match kind {
            FaultKind::SilentControl => None,
            FaultKind::LateControl(more) => Some(delay + more),
            _ => Some(delay),
        })
    }

    /// Whether replies of the control port have the newer form.
    pub(super) fn is_control_newer(&self, now: Duration) -> bool {
        self.active(now).any(|kind| kind == FaultKind::V1Control)
    }

    pub(super) fn of_chain(&self, now: Duration) -> ChainFaults {
        let mut faults = ChainFaults::default();
        for kind in self.active(now) {
            match kind {
                FaultKind::DeadChip(chip) => faults.dead = Some(chip),
                FaultKind::GarbageChip(chip) => faults.garbage = Some(chip),
                _ => {}
            }
        }
        faults
    }

    /// Kelvin more around the board.
    pub(super) fn hot(&self, now: Duration) -> f64 {
        self.active(now).map(|kind| if let FaultKind::Hot(kelvin) = kind { kelvin } else { 0.0 }).sum()
    }

    /// What the diode of the chips reads instead of their temperature.
    pub(super) fn stuck_sensor(&self, now: Duration) -> Option<f64> {
        self.active(now).find_map(|kind| match kind {
            FaultKind::StuckSensor(celsius) => Some(celsius),
            _ => None,
        })
    }

    /// What the regulator reads of itself instead of its temperature.
    pub(super) fn hot_regulator(&self, now: Duration) -> Option<f64> {
        self.active(now).find_map(|kind| match kind {
            FaultKind::HotRegulator(celsius) => Some(celsius),
            _ => None,
        })
    }

    pub(super) fn is_regulator_tripped(&self, now: Duration) -> bool {
        self.active(now).any(|kind| kind == FaultKind::TrippedRegulator)
    }

    pub(super) fn is_brownout(&self, now: Duration) -> bool {
        self.active(now).any(|kind| kind == FaultKind::Brownout)
    }

    pub(super) fn is_fan_stuck(&self, now: Duration) -> bool {
        self.active(now).any(|kind| kind == FaultKind::StuckFan)
    }

    pub(super) fn is_unplugged(&self, now: Duration) -> bool {
        self.active(now).any(|kind| kind == FaultKind::Unplugged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(texts: &[&str]) -> Faults {
        Faults::new(texts.iter().map(|text| text.parse().unwrap()).collect(), 7)
    }

    #[test]
    fn a_fault_holds_from_its_time_on_for_its_time() {
        let faults = faults(&["unplug@10+5", "hot=30"]);
        let unplugged = |seconds| faults.is_unplugged(Duration::from_secs(seconds));
        assert_eq!([9, 10, 14, 15].map(unplugged), [false, true, true, false]);
        assert_eq!(faults.next_change(Duration::from_secs(10)), Some(Duration::from_secs(15)));
        assert_eq!(faults.next_change(Duration::from_secs(15)), None);
        assert_eq!(faults.hot(Duration::from_secs(99)), 30.0);
    }

    #[test]
    fn bytes_are_lost_flipped_and_doubled_as_often_as_ordered() {
        let bytes = vec![0x55; 10_000];
        let damaged = |text| faults(&[text]).damage(&bytes, Duration::ZERO);
        assert!((8_900..9_100).contains(&damaged("lost=0.1").len()));
        assert!((10_900..11_100).contains(&damaged("doubled=0.1").len()));
        let flipped = damaged("flipped=0.1");
        assert!((900..1_100).contains(&flipped.iter().filter(|byte| **byte != 0x55).count()));
        assert!(flipped.iter().all(|byte| (byte ^ 0x55).count_ones() <= 1));
        assert_eq!(faults(&["hot=1"]).damage(&bytes, Duration::ZERO), bytes);
    }

    #[test]
    fn the_same_seed_damages_alike() {
        let bytes: Vec<u8> = (0..200).collect();
        let damaged = || faults(&["flipped=0.3", "lost=0.3"]).damage(&bytes, Duration::ZERO);
        assert_eq!(damaged(), damaged());
    }

    #[test]
    fn what_is_no_fault_is_refused_with_the_reason_and_the_form() {
        for (text, reason) in [
            ("lost", "a probability from 0 to 1 is missing"),
            ("lost=2", "out of range"),
            ("lost=nan", "out of range"),
            ("unplug=1", "it takes no value"),
            ("unplug@-1", "out of range"),
            ("dead-chip=x", "no whole number"),
            ("fire", "it is none of lost"),
        ] {
            let said = text.parse::<Fault>().unwrap_err().to_string();
            assert!(said.contains(reason) && said.contains("NAME[=VALUE]"), "{said}");
        }
    }
}
