//! The sticks and their chips as tables.
//!
//! Source of chips, counts and cores: cgminer `driver-gekko.h` and `driver-gekko.c`. The limits of frequency are ours.

use std::ops::RangeInclusive;

use super::frame::Form;
use crate::order::short;

/// A chip.
#[derive(Debug, PartialEq)]
pub(super) struct Chip {
    /// As printed on it.
    pub(super) name: &'static str,
    /// Upper half of its id.
    pub(super) id: u16,
    /// Each tries a nonce a cycle.
    pub(super) cores: u32,
    pub(super) form: Form,
}

/// Compac and 2Pac.
pub(super) static BM1384: Chip = Chip { name: "BM1384", id: 0x1384, cores: 55, form: Form::Bm1384 };
/// NewPac.
pub(super) static BM1387: Chip = Chip { name: "BM1387", id: 0x1387, cores: 114, form: Form::Bm1387 };

/// One kind of stick.
#[derive(Debug, PartialEq)]
pub struct Model {
    /// What an operator calls it.
    pub name: &'static str,
    pub(super) chip: &'static Chip,
    pub(super) chips: u32,
    /// Unit: MHz. Ours: the lowest is where each begins and stays unless told otherwise.
    pub(super) limits: RangeInclusive<f64>,
}

/// All of them. The upper limit of the BM1384 is the default of Antminer sticks, whose chips are of its kind; that of the
/// BM1387 is the frequency of which a frame stands in cgminer.
pub static MODELS: &[Model] = &[
    Model { name: "compac", chip: &BM1384, chips: 1, limits: 100.0..=200.0 },
    Model { name: "2pac", chip: &BM1384, chips: 2, limits: 100.0..=200.0 },
    Model { name: "newpac", chip: &BM1387, chips: 2, limits: 100.0..=250.0 },
];

/// A frequency that a stick cannot have.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "frequency {} MHz is not between {least} and {most} MHz, the limits of {model}; choose one of these", short(*mhz)
)]
pub struct FrequencyError {
    /// What was asked for.
    pub mhz: f64,
    /// The lowest.
    pub least: f64,
    /// The highest.
    pub most: f64,
    /// Whose limits these are.
    pub model: &'static str,
}

impl Model {
    /// The model of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        MODELS.iter().find(|model| model.name == name)
    }

    /// The model with so many chips of this id.
    pub fn with(chip: u16, chips: usize) -> Option<&'static Self> {
        MODELS.iter().find(|model| model.chip.id == chip && model.chips as usize == chips)
    }

    /// The nearest frequency that it can have; `None` is its lowest. Unit: MHz. Errors: the limits.
    pub(super) fn frequency(&self, mhz: Option<f64>) -> Result<f64, FrequencyError> {
        let (least, most) = (*self.limits.start(), *self.limits.end());
        let mhz = mhz.unwrap_or(least);
        // Also what is no number.
        if !self.limits.contains(&mhz) {
            return Err(FrequencyError { mhz, least, most, model: self.name });
        }
        Ok(self.chip.form.nearest(mhz))
    }

    /// Hashes a second. Unit: MHz.
    pub(super) fn rate(&self, mhz: f64) -> f64 {
        f64::from(self.chip.cores * self.chips) * mhz * 1e6
    }

    /// Addresses of its chips, equally far from each other.
    pub(super) fn addresses(&self) -> impl Iterator<Item = u8> + use<> {
        let chips = self.chips;
        (0..chips).map(move |chip| (256 / chips * chip) as u8)
    }
}
