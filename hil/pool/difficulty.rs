//! Pool difficulty as an exact rational: the judge may not be off by one hash at the edge of a target.

use bitcoin::{BlockHash, Target, hashes::Hash};
use serde::Serialize;

/// Hashes expected for one share of difficulty 1. Source: 2^256 / (0xffff · 2^208) = 2^32 · 65536 / 65535.
pub const HASHES_PER_DIFFICULTY: f64 = 4_295_032_833.0;

/// The mantissa and the power of two of difficulty 1's target. Source: nbits 1d00ffff.
const ONE_MANTISSA: u64 = 0xffff;
const ONE_SHIFT: i32 = 208;

/// A number that no pool could mean as a difficulty.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{0} is not a difficulty: it has to be finite and above zero")]
pub struct NotADifficulty(pub f64);

/// A share difficulty: finite and above zero. Difficulty 1 is the target of nbits 1d00ffff.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Difficulty(f64);

impl Difficulty {
    /// Difficulty 1.
    pub const ONE: Self = Self(1.0);

    /// Errors: `NotADifficulty` for zero, negative, infinite and NaN.
    pub fn new(value: f64) -> Result<Self, NotADifficulty> {
        if value.is_finite() && value > 0.0 { Ok(Self(value)) } else { Err(NotADifficulty(value)) }
    }

    /// The number itself, as `mining.set_difficulty` carries it.
    pub fn value(self) -> f64 {
        self.0
    }

    /// This difficulty times `factor`, kept within what a double can hold.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        Self((self.0 * factor).clamp(f64::MIN_POSITIVE, f64::MAX))
    }

    /// The smaller of the two.
    #[must_use]
    pub fn at_most(self, other: Self) -> Self {
        if self > other { other } else { self }
    }

    /// The larger of the two.
    #[must_use]
    pub fn at_least(self, other: Self) -> Self {
        if self < other { other } else { self }
    }

    /// floor(0xffff · 2^208 / difficulty), at most 2^256 - 1. Every double is mantissa · 2^exponent, so this is
    /// a long division of 0xffff followed by zero bits, with a remainder that never outgrows the mantissa.
    pub fn target(self) -> Target {
        let (mantissa, exponent) = mantissa_and_exponent(self.0);
        let zeros = ONE_SHIFT - exponent;
        let mut remainder = ONE_MANTISSA % mantissa;
        let (mut high, mut low) = (0_u128, u128::from(ONE_MANTISSA / mantissa));
        if zeros < 0 {
            return Target::ZERO; // the mantissa of so large a double has 53 bits: the quotient is below one
        }
        for _ in 0..zeros {
            if high >> 127 == 1 {
                return Target::from_be_bytes([0xff; 32]);
            }
            remainder <<= 1;
            let bit = u128::from(remainder >= mantissa);
            remainder -= mantissa * bit as u64;
            high = high << 1 | low >> 127;
            low = low << 1 | bit;
        }
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&high.to_be_bytes());
        bytes[16..].copy_from_slice(&low.to_be_bytes());
        Target::from_be_bytes(bytes)
    }

    /// What a hash is worth: 0xffff · 2^208 / hash, to the precision of a double.
    pub fn of_hash(hash: BlockHash) -> Self {
        Self::of_le_bytes(hash.to_byte_array())
    }

    /// The difficulty whose target this is, to the precision of a double.
    pub fn of_target(target: Target) -> Self {
        Self::of_le_bytes(target.to_le_bytes())
    }

    fn of_le_bytes(bytes: [u8; 32]) -> Self {
        let (low, high) = bytes.split_at(16);
        let number = |half: &[u8]| u128::from_le_bytes(half.try_into().expect("half of 32 bytes is 16"));
        let value = number(high) as f64 * 2_f64.powi(128) + number(low) as f64;
        Self(ONE_MANTISSA as f64 * 2_f64.powi(ONE_SHIFT) / value.max(1.0))
    }
}

impl std::fmt::Display for Difficulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 < 1e-4 { write!(f, "{:e}", self.0) } else { write!(f, "{}", self.0) }
    }
}

/// A positive finite double as mantissa · 2^exponent, both exact. Source: IEEE 754 binary64.
fn mantissa_and_exponent(value: f64) -> (u64, i32) {
    let bits = value.to_bits();
    let fraction = bits & ((1 << 52) - 1);
    match (bits >> 52) as i32 & 0x7ff {
        0 => (fraction, -1074),
        exponent => (fraction | 1 << 52, exponent - 1075),
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::CompactTarget;

    use super::*;

    /// The table of the fact sheet on Stratum V1, computed there with integers of unlimited length.
    const TARGETS: &[(f64, &str)] = &[
        (0.000_116_427_989_288_624_98, "0000218cde7300000075b0244f6600019cd3df5e83cc05a81f35898a51abd7bd"),
        (0.001, "000003e7fc17fffffffa2405dc00000008c9f735fffffff2d10d2f00000013c6"),
        (0.5, "00000001fffe0000000000000000000000000000000000000000000000000000"),
        (1.0, "00000000ffff0000000000000000000000000000000000000000000000000000"),
        (1.5, "00000000aaaa0000000000000000000000000000000000000000000000000000"),
        (512.0, "00000000007fff80000000000000000000000000000000000000000000000000"),
        (1000.0, "00000000004188f5c28f5c28f5c28f5c28f5c28f5c28f5c28f5c28f5c28f5c28"),
        (8192.0, "000000000007fff8000000000000000000000000000000000000000000000000"),
        (9_427.960_695_338_843, "000000000006f37d64484e6d364eb529f09851c95839021b834d289b67347626"),
        (16_383.75, "0000000000040000000000000000000000000000000000000000000000000000"),
        (16_384.0, "000000000003fffc000000000000000000000000000000000000000000000000"),
        (4_294_967_296.0, "0000000000000000ffff00000000000000000000000000000000000000000000"),
    ];

    #[test]
    fn every_target_of_the_table_is_exact_to_the_last_digit() {
        for &(difficulty, expected) in TARGETS {
            let target = Difficulty::new(difficulty).unwrap().target();
            assert_eq!(format!("{target:x}"), expected, "difficulty {difficulty}");
        }
    }

    #[test]
    fn the_target_of_difficulty_one_is_what_its_compact_form_expands_to() {
        assert_eq!(
            Difficulty::ONE.target(),
            Target::from_compact(CompactTarget::from_consensus(0x1d00_ffff))
        );
        assert_eq!(Difficulty::of_target(Target::MAX), Difficulty::ONE);
    }

    #[test]
    fn extreme_difficulties_saturate_instead_of_overflowing() {
        let target = |value| format!("{:x}", Difficulty::new(value).unwrap().target());
        assert_eq!(target(1e-300), "f".repeat(64));
        assert_eq!(target(f64::from_bits(1)), "f".repeat(64));
        assert_eq!(target(1e300), "0".repeat(64));
    }

    #[test]
    fn zero_negative_and_endless_numbers_are_no_difficulties() {
        for value in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Difficulty::new(value).is_err(), "{value}");
        }
    }
}
