//! How a board stands: its state, what it measures, and what its chips have done.
//!
//! A program finds it in `--json` as `boards[].status`, with these names and units, `null` for what is not known:
//! `state`, `reason`, `temperature_c`, `regulator_temperature_c`, `board_temperature_c`, `fan_rpm`, `fan_percent`, `power_w`,
//! `input_v`, `core_mv`, `core_set_mv`, `frequency_mhz`, `frequency_set_mhz`, `chips` (a list, once they have had work, of `address`, `nonces`,
//! `hardware_errors`, `rate_hs`, `rate_low_hs`, `rate_high_hs`) and `line` (`crc_errors`, `dropped_bytes`, `stale`,
//! `duplicates`, `below_ticket`, `unplaced`).

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use crate::bm13xx::meter::RateEstimate;

/// How often a board tells its status when its state stays as it is.
pub const STATUS_EVERY: Duration = Duration::from_secs(5);

/// Chips that a status lists at most: an address has eight bits.
const MOST_CHIPS: usize = 256;
/// Standard deviations by which a chip has to be slower than the others to be told apart from chance.
const WEAK_BY: f64 = 3.0;

/// What of a reading can be true of any board: wide on purpose, for it only keeps broken sensors out of displays.
const CELSIUS: RangeInclusive<f64> = -40.0..=200.0;
const RPM: RangeInclusive<f64> = 0.0..=100_000.0;
const PERCENT: RangeInclusive<f64> = 0.0..=100.0;
const WATTS: RangeInclusive<f64> = 0.0..=100_000.0;
const VOLTS: RangeInclusive<f64> = 0.0..=1000.0;
const MILLIVOLTS: RangeInclusive<f64> = 0.0..=100_000.0;
const MEGAHERTZ: RangeInclusive<f64> = 0.0..=100_000.0;
const HASHES_PER_SECOND: RangeInclusive<f64> = 0.0..=1e18;

/// A board at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct BoardStatus {
    /// What it does.
    pub state: BoardState,
    /// Temperatures and fan.
    pub heat: HeatStatus,
    /// Power and voltages.
    pub power: PowerStatus,
    /// Clock of its chips.
    pub clock: ClockStatus,
    /// Its chips in the order of the chain; none before they have had work.
    pub chips: Vec<ChipStatus>,
    /// What came over its line and was no good nonce.
    pub line: LineStatus,
}

/// What a board does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BoardState {
    /// It is powered up, or its chips are brought up.
    Starting,
    /// It waits for work.
    Idle,
    /// It hashes.
    Hashing,
    /// It hashes, and looks for its best frequency and voltage meanwhile.
    Tuning,
    /// It hashes, slower than it was set to, because of heat or power.
    Throttled,
    /// Its power was taken away; it gets it back by itself once it may.
    CutOff {
        /// Why, for the operator.
        reason: String,
    },
    /// It has not worked several times in a row, and is tried again later.
    Parked {
        /// What was wrong the last time, for the operator.
        reason: String,
    },
}

impl BoardState {
    /// The word that programs match on.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Idle => "idle",
            Self::Hashing => "hashing",
            Self::Tuning => "tuning",
            Self::Throttled => "throttled",
            Self::CutOff { .. } => "cut_off",
            Self::Parked { .. } => "parked",
        }
    }

    /// Why it does not hash, where that is no ordinary thing.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::CutOff { reason } | Self::Parked { reason } => Some(reason),
            _ => None,
        }
    }
}

/// Temperatures and fan; `None` for what is not measured.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct HeatStatus {
    /// Of the chips. Unit: °C, as the two below.
    pub chip_celsius: Option<f64>,
    /// Of the regulator.
    pub regulator_celsius: Option<f64>,
    /// Of the board beside the chips.
    pub board_celsius: Option<f64>,
    /// Turns of the fan a minute.
    pub fan_rpm: Option<f64>,
    /// What the fan is told, 0 to 100.
    pub fan_percent: Option<f64>,
}

/// Power and voltages; `None` for what is not measured or cannot be set.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PowerStatus {
    /// Of the board, or where only the regulator tells it, of the chips. Unit: W.
    pub watts: Option<f64>,
    /// What the board is fed with. Unit: V.
    pub input_volts: Option<f64>,
    /// Of one core, as measured. Unit: mV.
    pub core_millivolts: Option<f64>,
    /// Of one core, as the regulator was told. Unit: mV.
    pub set_millivolts: Option<f64>,
}

/// Clock of the chips; `None` without one that is known. Unit: MHz.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ClockStatus {
    /// What they run at.
    pub megahertz: Option<f64>,
    /// What they are to run at, if neither heat nor power hold them back.
    pub set_megahertz: Option<f64>,
}

/// One chip.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChipStatus {
    /// Under which it is spoken to.
    pub address: u8,
    /// Its good nonces.
    pub nonces: u64,
    /// Its wrong ones.
    pub hardware_errors: u64,
    /// How fast it is; `None` before its first nonce.
    pub rate: Option<ChipRate>,
}

/// A hash rate as nonces tell it, with what chance leaves open. Unit: hashes a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChipRate {
    /// The most likely one.
    pub hashes_per_second: f64,
    /// The truth is between this one
    pub low: f64,
    /// and this one 19 times in 20: two standard deviations on either side.
    pub high: f64,
}

impl ChipRate {
    /// `None` for an estimate without any nonce.
    pub fn new(estimate: RateEstimate) -> Option<Self> {
        let RateEstimate { hashes_per_second, standard_error } = estimate;
        standard_error.is_finite().then(|| Self {
            hashes_per_second,
            low: (hashes_per_second - 2.0 * standard_error).max(0.0),
            high: hashes_per_second + 2.0 * standard_error,
        })
    }

    fn deviation(self) -> f64 {
        (self.high - self.hashes_per_second) / 2.0
    }

    fn is_plausible(self) -> bool {
        [self.hashes_per_second, self.low, self.high].iter().all(|rate| HASHES_PER_SECOND.contains(rate))
    }
}

/// What came over a line and was no good nonce.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LineStatus {
    /// Answers whose checksum is wrong.
    pub crc_errors: u64,
    /// Bytes that belong to no answer.
    pub dropped_bytes: u64,
    /// Answers for jobs that are not known any more.
    pub stale: u64,
    /// Nonces that came again.
    pub duplicates: u64,
    /// Nonces easier than was asked for.
    pub below_ticket: u64,
    /// Nonces, right or wrong, that name no chip of this board.
    pub unplaced: u64,
}

impl BoardStatus {
    /// A board of which no more is known than its state.
    pub fn new(state: BoardState) -> Self {
        Self {
            state,
            heat: HeatStatus::default(),
            power: PowerStatus::default(),
            clock: ClockStatus::default(),
            chips: Vec::new(),
            line: LineStatus::default(),
        }
    }

    /// The same without values that cannot be: a sensor says 5000 °C, or no number.
    #[must_use]
    pub fn checked(mut self) -> Self {
        let Self { heat, power, clock, .. } = &mut self;
        for (value, possible) in [
            (&mut heat.chip_celsius, CELSIUS),
            (&mut heat.regulator_celsius, CELSIUS),
            (&mut heat.board_celsius, CELSIUS),
            (&mut heat.fan_rpm, RPM),
            (&mut heat.fan_percent, PERCENT),
            (&mut power.watts, WATTS),
            (&mut power.input_volts, VOLTS),
            (&mut power.core_millivolts, MILLIVOLTS),
            (&mut power.set_millivolts, MILLIVOLTS),
            (&mut clock.megahertz, MEGAHERTZ),
            (&mut clock.set_megahertz, MEGAHERTZ),
        ] {
            *value = value.filter(|value| possible.contains(value));
        }
        self.chips.truncate(MOST_CHIPS);
        for chip in &mut self.chips {
            chip.rate = chip.rate.filter(|rate| rate.is_plausible());
        }
        self
    }

    /// Chips slower than the mean of the others by more than three standard deviations. One that has found nothing counts
    /// as standing still; how much chance leaves open is judged by the others, which have found something.
    pub fn weak_chips(&self) -> Vec<&ChipStatus> {
        let is_weak = |at: &usize| {
            let others = self.chips.iter().enumerate().filter(|(other, _)| other != at);
            let rates: Vec<_> = others.map(|(_, chip)| chip.rate).collect();
            let known: Vec<_> = rates.iter().flatten().map(|rate| rate.deviation()).collect();
            if known.is_empty() {
                return false;
            }
            let count = rates.len() as f64;
            let mean = rates.iter().flatten().map(|rate| rate.hashes_per_second).sum::<f64>() / count;
            let deviation = known.iter().sum::<f64>() / known.len() as f64 * (1.0 + 1.0 / count).sqrt();
            let own = self.chips[*at].rate.map_or(0.0, |rate| rate.hashes_per_second);
            mean - own > WEAK_BY * deviation
        };
        (0..self.chips.len()).filter(is_weak).map(|at| &self.chips[at]).collect()
    }
}

/// When a board's status is due: now and then, and at once when its state is another one.
#[derive(Debug)]
pub(crate) struct StatusTimes {
    told: Option<BoardState>,
    next_at: Instant,
}

impl StatusTimes {
    /// The first one is due at once.
    pub(crate) fn new(now: Instant) -> Self {
        Self { told: None, next_at: now }
    }

    /// Whether a board in this state has to tell its status now. It is taken to do so.
    pub(crate) fn is_due(&mut self, state: BoardState, now: Instant) -> bool {
        let is_due = now >= self.next_at || self.told.as_ref() != Some(&state);
        if is_due {
            (self.told, self.next_at) = (Some(state), now + STATUS_EVERY);
        }
        is_due
    }

    /// When it is due next if nothing happens.
    pub(crate) fn next_at(&self) -> Instant {
        self.next_at
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chip(address: u8, rate: f64, standard_error: f64) -> ChipStatus {
        let rate = ChipRate::new(RateEstimate { hashes_per_second: rate, standard_error });
        ChipStatus { address, nonces: 1, hardware_errors: 0, rate }
    }

    fn weak(chips: Vec<ChipStatus>) -> Vec<u8> {
        let status = BoardStatus { chips, ..BoardStatus::new(BoardState::Hashing) };
        status.weak_chips().iter().map(|chip| chip.address).collect()
    }

    #[test]
    fn a_chip_is_called_weak_only_when_chance_does_not_explain_it() {
        let four = |last| vec![chip(0, 100.0, 5.0), chip(64, 104.0, 5.0), chip(128, 96.0, 5.0), last];
        assert_eq!(weak(four(chip(192, 84.0, 5.0))), [0; 0], "16 below, 17.3 are chance");
        assert_eq!(weak(four(chip(192, 82.0, 5.0))), [192]);
        assert_eq!(weak(four(chip(192, 0.0, f64::INFINITY))), [192], "one that has found nothing at all");
        assert_eq!(weak(vec![chip(0, 2.0, 1.5), chip(64, 0.0, f64::INFINITY)]), [0; 0], "too early to tell");
        assert_eq!(weak(vec![chip(0, 2.0, 0.1)]), [0; 0], "there are no others");
        assert_eq!(weak(vec![chip(0, 0.0, f64::INFINITY), chip(64, 0.0, f64::INFINITY)]), [0; 0]);
    }

    #[test]
    fn a_rate_is_given_with_two_standard_deviations_and_never_below_zero() {
        let rate = chip(0, 10.0, 8.0).rate.unwrap();
        assert_eq!((rate.low, rate.high), (0.0, 26.0));
        assert_eq!(chip(0, 0.0, f64::INFINITY).rate, None);
    }

    #[test]
    fn a_status_is_due_every_five_seconds_and_at_once_when_the_state_changes() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut times = StatusTimes::new(start);
        assert!(times.is_due(BoardState::Starting, at(0)));
        assert!(!times.is_due(BoardState::Starting, at(4)));
        assert!(times.is_due(BoardState::Hashing, at(4)));
        assert!(!times.is_due(BoardState::Hashing, at(8)));
        assert_eq!(times.next_at(), at(9));
        assert!(times.is_due(BoardState::Hashing, at(9)));
    }

    #[test]
    fn what_no_board_can_measure_is_left_out_and_the_rest_is_kept() {
        let mut status = BoardStatus::new(BoardState::Hashing);
        status.heat.chip_celsius = Some(5000.0);
        status.heat.regulator_celsius = Some(61.5);
        status.heat.fan_rpm = Some(f64::NAN);
        status.power.watts = Some(-1.0);
        status.power.input_volts = Some(5.02);
        status.clock.megahertz = Some(f64::INFINITY);
        status.chips = vec![chip(0, f64::NAN, 1.0); 300];
        let status = status.checked();
        assert_eq!((status.heat.chip_celsius, status.heat.regulator_celsius), (None, Some(61.5)));
        assert_eq!((status.heat.fan_rpm, status.power.watts), (None, None));
        assert_eq!((status.power.input_volts, status.clock.megahertz), (Some(5.02), None));
        assert_eq!(status.chips.len(), 256);
        assert_eq!(status.chips[0].rate, None);
    }

    proptest! {
        #[test]
        fn no_numbers_make_the_search_for_weak_chips_panic(rates in proptest::collection::vec((any::<f64>(), any::<f64>()), 0..9)) {
            weak(rates.into_iter().map(|(rate, error)| chip(0, rate, error)).collect());
        }
    }
}
