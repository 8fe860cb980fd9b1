//! Frequency of the cores: dividers of the chip's clock generator, and the steps in which it is changed.
//!
//! Source: ESP-Miner `components/asic/pll.c` and the `frequency_transition` beside it.

use std::cmp::Ordering;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::register::Register;

/// The crystal of every board, MHz.
const CRYSTAL_MHZ: f64 = 25.0;
/// Where ESP-Miner and mujina begin to raise the frequency after a reset.
pub const AFTER_RESET: Frequency = Frequency(50_000_000);
/// How far the frequency changes at once. Source: ESP-Miner `frequency_transition_bmXX.c`, mujina `thread.rs`.
const STEP: u64 = 6_250_000;
/// Time between two steps, of the same sources.
pub const STEP_EVERY: Duration = Duration::from_millis(100);
/// VCO frequency in MHz from which on its range bit is set.
const HIGH_VCO_MHZ: f64 = 2400.0;
/// Furthest that a frequency may be from what was asked for: a step of the dividers is 0.6 % at most.
const TOLERANCE: f64 = 0.01;
/// Value for [`Register::PLL0_DIVIDER`] before a change of frequency. Source: cgminer `driver-gekko.c`, ESP-Miner
/// `bm1397.c`.
const DIVIDER: u32 = 0x0f0f_0f00;

/// A frequency of cores, in whole hertz.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Frequency(u64);

impl Frequency {
    /// From megahertz; what is negative or no number is 0.
    pub fn from_mhz(mhz: f64) -> Self {
        Self((mhz * 1e6).round() as u64)
    }

    /// In megahertz.
    pub fn mhz(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// In hertz.
    pub fn hz(self) -> f64 {
        self.0 as f64
    }

    /// The frequencies on the way from this one to another, without this one and with the other: a step apart.
    pub fn steps_to(self, to: Self) -> impl Iterator<Item = Self> {
        let mut at = self.0;
        std::iter::from_fn(move || {
            let next = match at.cmp(&to.0) {
                Ordering::Less => to.0.min(at + STEP),
                Ordering::Greater => to.0.max(at.saturating_sub(STEP)),
                Ordering::Equal => return None,
            };
            at = next;
            Some(Self(next))
        })
    }
}

impl fmt::Display for Frequency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MHz", self.mhz())
    }
}

/// What the clock generator of a chip can do, and how it is told.
#[derive(Debug, PartialEq)]
pub struct Pll {
    /// Feedback divider.
    pub feedback: RangeInclusive<u32>,
    /// Frequency of its oscillator, MHz.
    pub vco_mhz: RangeInclusive<f64>,
    /// Form of the register.
    pub form: PllForm,
    /// Whether [`Register::PLL0_DIVIDER`] is written before each change.
    pub writes_divider: bool,
    /// How often each of these writes is repeated.
    pub repeats: usize,
}

/// How dividers stand in [`Register::PLL0`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PllForm {
    /// BM1397: the post dividers as they are, no range bit.
    Plain,
    /// BM1362 and later: the post dividers less 1, a bit for a fast oscillator.
    LessOne,
}

/// Dividers: 25 MHz × feedback ÷ (reference × post1 × post2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dividers {
    /// Multiplies.
    pub feedback: u32,
    /// 1 or 2.
    pub reference: u32,
    /// 1 to 7, above `post2`.
    pub post1: u32,
    /// 1 to 6.
    pub post2: u32,
}

/// A frequency that the dividers cannot make.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("frequency {wanted} is out of reach, the nearest possible is {nearest}; choose one near that")]
pub struct OutOfReach {
    /// What was asked for.
    pub wanted: Frequency,
    /// What can be had.
    pub nearest: Frequency,
}

impl Dividers {
    /// Frequency of the oscillator, MHz.
    pub fn vco_mhz(self) -> f64 {
        CRYSTAL_MHZ * f64::from(self.feedback) / f64::from(self.reference)
    }

    /// Frequency of the cores.
    pub fn frequency(self) -> Frequency {
        Frequency::from_mhz(self.mhz())
    }

    fn mhz(self) -> f64 {
        CRYSTAL_MHZ * f64::from(self.feedback) / f64::from(self.reference * self.post1 * self.post2)
    }
}

impl Pll {
    /// The dividers nearest to a frequency; of several the ones with the slowest oscillator, then with the smallest post
    /// dividers. Errors: none comes within one percent.
    pub fn dividers(&self, wanted: Frequency) -> Result<Dividers, OutOfReach> {
        let possible = (1..=2).rev().flat_map(|reference| {
            (1..=7).rev().flat_map(move |post1| {
                (1..post1).rev().map(move |post2| {
                    let divided = reference * post1 * post2;
                    let feedback = (wanted.mhz() / CRYSTAL_MHZ * f64::from(divided)).round() as u32;
                    Dividers { feedback, reference, post1, post2 }
                })
            })
        });
        let clamped = possible.map(|dividers| {
            let (low, high) = (*self.feedback.start(), *self.feedback.end());
            Dividers { feedback: dividers.feedback.clamp(low, high), ..dividers }
        });
        let allowed = clamped.filter(|dividers| self.vco_mhz.contains(&dividers.vco_mhz()));
        let best = allowed.min_by(|a, b| {
            let error = |dividers: &Dividers| (dividers.mhz() - wanted.mhz()).abs();
            let post = |dividers: &Dividers| dividers.post1 * dividers.post2;
            let by_error = error(a).total_cmp(&error(b));
            by_error.then(a.vco_mhz().total_cmp(&b.vco_mhz())).then(post(a).cmp(&post(b)))
        });
        let best = best.expect("the limits of every chip allow some dividers");
        let nearest = best.frequency();
        if (nearest.mhz() - wanted.mhz()).abs() > TOLERANCE * wanted.mhz() {
            return Err(OutOfReach { wanted, nearest });
        }
        Ok(best)
    }

    /// Value of [`Register::PLL0`] for these dividers.
    pub fn register_value(&self, dividers: Dividers) -> u32 {
        let Dividers { feedback, reference, post1, post2 } = dividers;
        let (flags, post) = match self.form {
            PllForm::Plain => (0x40, post1 << 4 | post2),
            PllForm::LessOne => {
                let is_high = dividers.vco_mhz() >= HIGH_VCO_MHZ;
                (if is_high { 0x50 } else { 0x40 }, (post1 - 1) << 4 | (post2 - 1))
            }
        };
        flags << 24 | feedback << 16 | reference << 8 | post
    }

    /// The writes to all chips that set a frequency, in order. Errors: it is out of reach.
    pub fn writes(&self, frequency: Frequency) -> Result<Vec<(Register, u32)>, OutOfReach> {
        let value = self.register_value(self.dividers(frequency)?);
        let divider = self.writes_divider.then_some((Register::PLL0_DIVIDER, DIVIDER));
        let writes = divider.into_iter().chain([(Register::PLL0, value)]);
        Ok(writes.flat_map(|write| std::iter::repeat_n(write, self.repeats)).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::chip::{BM1366, BM1370, BM1397, CHIPS};
    use super::*;

    /// ESP-Miner's search, as its `pll.c` prints its results, at frequencies that its ramp and its boards use.
    #[test]
    fn the_search_finds_what_esp_miner_finds() {
        for (mhz, bm1366, bm1370, bm1397) in [
            (50.0, 0x40a8_0265, 0x40a8_0265, 0x403c_0253),
            (56.25, 0x40bd_0265, 0x40bd_0265, 0x403f_0272),
            (62.5, 0x4096_0254, 0x40af_0264, 0x403c_0262),
            (100.0, 0x4090_0252, 0x40a0_0243, 0x4040_0242),
            (200.0, 0x40a0_0241, 0x40a0_0241, 0x4040_0241),
            (300.0, 0x4090_0250, 0x40a8_0260, 0x4048_0231),
            (425.0, 0x40aa_0240, 0x40aa_0240, 0x4044_0221),
            (485.0, 0x50c2_0240, 0x50c2_0240, 0x40c2_0251),
            (490.0, 0x50c4_0240, 0x50c4_0240, 0x40c4_0251),
            (525.0, 0x40a8_0230, 0x40a8_0230, 0x4054_0221),
            (550.0, 0x40b0_0230, 0x40b0_0230, 0x4058_0221),
            (600.0, 0x4090_0220, 0x50c0_0230, 0x4060_0221),
            (625.0, 0x4096_0220, 0x50c8_0230, 0x4064_0221),
        ] {
            for (chip, expected) in [(&BM1366, bm1366), (&BM1370, bm1370), (&BM1397, bm1397)] {
                let dividers = chip.pll.dividers(Frequency::from_mhz(mhz)).unwrap();
                let found = chip.pll.register_value(dividers);
                assert_eq!(found, expected, "{} at {mhz} MHz: {found:08x}, {expected:08x}", chip.name);
            }
        }
    }

    #[test]
    fn a_ramp_to_525_mhz_has_76_steps_and_ends_at_its_target_and_so_does_the_way_down() {
        let target = Frequency::from_mhz(525.0);
        let up: Vec<_> = AFTER_RESET.steps_to(target).collect();
        assert_eq!(up.len(), 76);
        assert_eq!((up[0], up[75]), (Frequency::from_mhz(56.25), target));
        let down: Vec<_> = target.steps_to(Frequency::from_mhz(515.0)).map(Frequency::mhz).collect();
        assert_eq!(down, [518.75, 515.0]);
        assert_eq!(target.steps_to(target).next(), None);
    }

    #[test]
    fn a_frequency_out_of_reach_is_refused_with_the_nearest() {
        for wanted in [0.0, 1.0, 10.0, 3000.0, 1e12] {
            for chip in CHIPS {
                let wanted = Frequency::from_mhz(wanted);
                let refused = chip.pll.dividers(wanted).unwrap_err();
                assert_eq!(refused.wanted, wanted);
                assert!(chip.pll.dividers(refused.nearest).is_ok(), "{}: {refused}", chip.name);
            }
        }
    }

    #[test]
    fn what_lies_between_two_possible_frequencies_is_possible() {
        for chip in CHIPS {
            let possible =
                |quarter: &u32| chip.pll.dividers(Frequency::from_mhz(f64::from(*quarter) / 4.0)).is_ok();
            let (first, last) = (1..12_000)
                .filter(possible)
                .fold((u32::MAX, 0), |(first, last), quarter| (first.min(quarter), last.max(quarter)));
            assert!((first..=last).all(|quarter| possible(&quarter)), "{}", chip.name);
            assert!(first <= 200 && last >= 4 * 1000, "{}: {first}, {last}", chip.name);
        }
    }

    #[test]
    fn chips_that_need_it_get_their_divider_first_and_everything_twice() {
        let writes = BM1397.pll.writes(Frequency::from_mhz(200.0)).unwrap();
        let divider = (Register::PLL0_DIVIDER, 0x0f0f_0f00);
        let pll = (Register::PLL0, 0x4040_0241);
        assert_eq!(writes, [divider, divider, pll, pll]);
        assert_eq!(BM1370.pll.writes(Frequency::from_mhz(525.0)).unwrap(), [(Register::PLL0, 0x40a8_0230)]);
    }

    proptest! {
        #[test]
        fn dividers_stay_within_the_limits_of_the_chip_and_near_the_frequency(mhz in 55.0f64..800.0) {
            for chip in CHIPS {
                let wanted = Frequency::from_mhz(mhz);
                let dividers = chip.pll.dividers(wanted).unwrap();
                prop_assert!(chip.pll.feedback.contains(&dividers.feedback));
                prop_assert!(chip.pll.vco_mhz.contains(&dividers.vco_mhz()));
                prop_assert!((1..=2).contains(&dividers.reference));
                prop_assert!(dividers.post1 <= 7 && dividers.post1 > dividers.post2 && dividers.post2 > 0);
                prop_assert!((dividers.mhz() / mhz - 1.0).abs() < 0.01, "{} MHz", dividers.mhz());
            }
        }

        #[test]
        fn no_other_dividers_are_nearer_or_as_near_with_a_slower_oscillator(mhz in 55.0f64..800.0, round: bool) {
            let mhz = if round { (mhz / 6.25).round() * 6.25 } else { mhz };
            let wanted = Frequency::from_mhz(mhz);
            for chip in CHIPS {
                let best = chip.pll.dividers(wanted).unwrap();
                let error = |dividers: Dividers| (dividers.mhz() - wanted.mhz()).abs();
                for (reference, feedback) in (1..=2).flat_map(|r| chip.pll.feedback.clone().map(move |f| (r, f))) {
                    for (post1, post2) in (1..=7).flat_map(|one| (1..one).map(move |two| (one, two))) {
                        let other = Dividers { feedback, reference, post1, post2 };
                        let is_better = error(other) < error(best)
                            || other.mhz() == best.mhz() && other.vco_mhz() < best.vco_mhz();
                        prop_assert!(!is_better || !chip.pll.vco_mhz.contains(&other.vco_mhz()), "{other:?}, {best:?}");
                    }
                }
            }
        }

        #[test]
        fn a_ramp_never_jumps_and_never_overshoots(from in 50.0f64..800.0, to in 50.0f64..800.0) {
            let (from, to) = (Frequency::from_mhz(from), Frequency::from_mhz(to));
            let mut last = from;
            for step in from.steps_to(to) {
                prop_assert!(step.0.abs_diff(last.0) <= STEP);
                prop_assert!((from.min(to)..=from.max(to)).contains(&step));
                last = step;
            }
            prop_assert_eq!(last, to);
        }
    }
}
