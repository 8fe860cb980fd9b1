//! Targets and difficulties in exact 256-bit arithmetic.

use std::cmp::Ordering;
use std::fmt;

use super::BlockHash;

/// Highest hash that still counts, a 256-bit number. Orders as numbers do: a smaller target is harder to meet.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Target([u64; 4]); // limbs, least significant first

/// Why a compact target stands for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The sign bit (bit 23) is set on a mantissa that is not zero.
    #[error("nbits {0:08x} is negative")]
    Negative(u32),
    /// The number does not fit 256 bits.
    #[error("nbits {0:08x} exceeds 256 bits")]
    Overflow(u32),
    /// The target is zero: no hash can meet it.
    #[error("nbits {0:08x} is zero, which no hash can meet")]
    Zero(u32),
}

impl Target {
    /// 2^256 - 1: every hash meets it.
    pub const MAX: Self = Self([u64::MAX; 4]);

    /// The target that `nbits` stands for: mantissa · 256^(exponent - 3). Source: Bitcoin Core `arith_uint256.cpp`,
    /// `SetCompact`. Errors: `Negative` when the sign bit is set, `Overflow` past 256 bits, `Zero`.
    pub fn from_nbits(nbits: u32) -> Result<Self, TargetError> {
        let exponent = (nbits >> 24) as usize;
        let mantissa = nbits & 0x007f_ffff;
        let significant = if exponent < 3 { mantissa >> (8 * (3 - exponent)) } else { mantissa };
        if significant == 0 {
            return Err(TargetError::Zero(nbits));
        }
        if nbits & 0x0080_0000 != 0 {
            return Err(TargetError::Negative(nbits));
        }
        let mut bytes = [0u8; 32];
        for (index, byte) in significant.to_le_bytes().into_iter().enumerate() {
            match bytes.get_mut(index + exponent.saturating_sub(3)) {
                Some(place) => *place = byte,
                None if byte == 0 => {}
                None => return Err(TargetError::Overflow(nbits)),
            }
        }
        Ok(Self::from_le_bytes(bytes))
    }

    /// From 32 bytes, least significant first: the order in which a hash comes out.
    pub fn from_le_bytes(bytes: [u8; 32]) -> Self {
        let mut limbs = [0; 4];
        for (limb, chunk) in limbs.iter_mut().zip(bytes.chunks_exact(8)) {
            *limb = u64::from_le_bytes(chunk.try_into().expect("chunks of eight bytes"));
        }
        Self(limbs)
    }

    /// To 32 bytes, least significant first.
    pub fn to_le_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (chunk, limb) in bytes.chunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&limb.to_le_bytes());
        }
        bytes
    }

    /// Whether `hash`, read as a little-endian number, is at most this target.
    pub fn is_met_by(&self, hash: &BlockHash) -> bool {
        Self::from_le_bytes(hash.0) <= *self
    }

    /// How many times harder than difficulty 1 this target is, as the nearest double within two units in the last place.
    pub fn difficulty(&self) -> Difficulty {
        // A target of zero would be infinitely hard; one is the smallest that a hash can be asked to meet in earnest.
        Difficulty(DIFFICULTY_1 / self.as_f64().max(1.0))
    }

    fn as_f64(self) -> f64 {
        // Each limb rounds once; summing from the small end keeps the error below one unit in the last place.
        self.0.iter().enumerate().map(|(index, limb)| *limb as f64 * 2f64.powi(64 * index as i32)).sum()
    }

    fn shifted_left_with(self, bit: bool) -> Option<Self> {
        if self.0[3] >> 63 != 0 {
            return None;
        }
        let mut carry = u64::from(bit);
        let limbs = self.0.map(|limb| {
            let shifted = (limb << 1) | carry;
            carry = limb >> 63;
            shifted
        });
        Some(Self(limbs))
    }
}

impl Ord for Target {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.iter().rev().cmp(other.0.iter().rev())
    }
}

impl PartialOrd for Target {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().rev().try_for_each(|limb| write!(f, "{limb:016x}"))
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

/// Target of pool difficulty 1 as a double: 0xffff · 2^208, exact. What nbits 1d00ffff expands to ("bdiff").
const DIFFICULTY_1: f64 = 65_535.0 * (1u128 << 104) as f64 * (1u128 << 104) as f64;

/// Pool difficulty: how many times harder than 0xffff · 2^208 a share is. Finite, above zero, at most 0xffff · 2^208
/// (past which not even a hash of 1 would do). Every double in that range is taken exactly.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Difficulty(f64);

/// Why a number is no difficulty.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("difficulty {} is not a number above 0 and at most 1.77e67", short(*.0))]
pub struct DifficultyError(pub f64);

/// A number in few digits, however large.
fn short(number: f64) -> String {
    if number.abs() < 1e16 { number.to_string() } else { format!("{number:e}") }
}

impl Difficulty {
    /// Difficulty 1, assumed until a pool says otherwise.
    pub const ONE: Self = Self(1.0);

    /// Checks a number. Errors: not finite, zero, negative, or beyond any hash.
    pub fn new(value: f64) -> Result<Self, DifficultyError> {
        if value > 0.0 && value <= DIFFICULTY_1 { Ok(Self(value)) } else { Err(DifficultyError(value)) }
    }

    /// The number.
    pub fn value(self) -> f64 {
        self.0
    }

    /// floor(0xffff · 2^208 / difficulty) with the difficulty as the exact rational its double is, at most 2^256 - 1.
    pub fn target(self) -> Target {
        let (mantissa, exponent) = decompose(self.0);
        // target = 0xffff · 2^shift / mantissa, one quotient bit a turn.
        let shift = 208 - exponent;
        let divisor = u128::from(mantissa);
        let dividend =
            if shift < 0 { 0xffff_u128.checked_shr(shift.unsigned_abs()).unwrap_or(0) } else { 0xffff };
        let mut remainder = dividend % divisor;
        let mut quotient = Target([(dividend / divisor) as u64, 0, 0, 0]);
        for _ in 0..shift.max(0) {
            remainder <<= 1;
            let bit = remainder >= divisor;
            if bit {
                remainder -= divisor;
            }
            match quotient.shifted_left_with(bit) {
                Some(shifted) => quotient = shifted,
                None => return Target::MAX,
            }
        }
        quotient
    }
}

impl fmt::Display for Difficulty {
    /// Plain below 1000, then with K, M, G, T, P and E (powers of 1000), three significant digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 0.001 {
            return write!(f, "{:.3e}", self.0);
        }
        f.write_str(&super::hashrate::with_prefix(self.0, ""))
    }
}

/// A positive finite double as mantissa · 2^exponent. Source: IEEE 754 binary64.
fn decompose(value: f64) -> (u64, i32) {
    let bits = value.to_bits();
    let fraction = bits & ((1 << 52) - 1);
    match (bits >> 52) & 0x7ff {
        0 => (fraction, -1074),
        biased => (fraction | (1 << 52), biased as i32 - 1075),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::work::vectors;

    /// Pool difficulties seen in the field and their targets, computed with exact rationals.
    const TARGETS: &[(f64, &str)] = &[
        (0.000_116_427_989_289_284_97, "0000218cde72ff2ee3cf8923eb36fb62bce7b196f79bb2737409ed442c63738f"),
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
    fn targets_of_difficulties_seen_in_the_field_are_exact() {
        for (difficulty, target) in TARGETS {
            assert_eq!(Difficulty::new(*difficulty).unwrap().target().to_string(), *target, "{difficulty}");
        }
    }

    #[test]
    fn targets_of_the_vectors_are_exact_and_share_difficulties_agree() {
        for vector in vectors::stratum() {
            assert_eq!(
                Difficulty::new(vector.job_difficulty).unwrap().target().to_string(),
                vector.job_target
            );
            let hash = Target::from_le_bytes(vectors::bytes32_reversed(&vector.hash));
            let relative = hash.difficulty().value() / vector.share_difficulty - 1.0;
            assert!(relative.abs() < 1e-12, "{}: {relative}", vector.name);
        }
    }

    #[test]
    fn what_is_no_difficulty_is_refused() {
        for value in [0.0, -0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
            assert!(Difficulty::new(value).is_err(), "{value}");
        }
    }

    #[test]
    fn a_tiny_difficulty_is_met_by_every_hash_and_the_largest_by_a_hash_of_one() {
        assert_eq!(Difficulty::new(f64::from_bits(1)).unwrap().target(), Target::MAX);
        assert_eq!(Difficulty::new(DIFFICULTY_1).unwrap().target(), Target([1, 0, 0, 0]));
    }

    #[test]
    fn compact_targets_expand_as_in_bitcoin_core() {
        // Source: Bitcoin Core `test/arith_uint256_tests.cpp`, bignum_SetCompact.
        for (nbits, expected) in [
            (0x0112_3456, Ok("12")),
            (0x0212_3456, Ok("1234")),
            (0x0312_3456, Ok("123456")),
            (0x0412_3456, Ok("12345600")),
            (0x0500_9234, Ok("92340000")),
            (0x2012_3456, Ok("1234560000000000000000000000000000000000000000000000000000000000")),
            (0x1d00_ffff, Ok("ffff0000000000000000000000000000000000000000000000000000")),
            (0x2200_00ff, Ok("ff00000000000000000000000000000000000000000000000000000000000000")),
            (0, Err(TargetError::Zero(0))),
            (0x0100_3456, Err(TargetError::Zero(0x0100_3456))),
            (0x0080_0000, Err(TargetError::Zero(0x0080_0000))),
            (0x0492_3456, Err(TargetError::Negative(0x0492_3456))),
            (0xff12_3456, Err(TargetError::Overflow(0xff12_3456))),
            (0x2112_3456, Err(TargetError::Overflow(0x2112_3456))),
        ] {
            let found =
                Target::from_nbits(nbits).map(|target| target.to_string().trim_start_matches('0').to_owned());
            assert_eq!(found, expected.map(str::to_owned), "{nbits:08x}");
        }
    }

    proptest! {
        #[test]
        fn a_target_is_the_largest_number_that_is_hard_enough(exponent in -10f64..16.0) {
            let difficulty = Difficulty::new(10f64.powf(exponent)).unwrap();
            let target = difficulty.target();
            let relative = target.difficulty().value() / difficulty.value() - 1.0;
            prop_assert!(target == Target::MAX || relative.abs() < 1e-12, "{}", relative);
        }

        #[test]
        fn harder_never_means_a_larger_target(a in -10f64..16.0, b in -10f64..16.0) {
            let (easy, hard) = (10f64.powf(a.min(b)), 10f64.powf(a.max(b)));
            prop_assert!(Difficulty::new(hard).unwrap().target() <= Difficulty::new(easy).unwrap().target());
        }

        #[test]
        fn targets_survive_the_way_to_bytes_and_order_as_numbers(a in any::<[u8; 32]>(), b in any::<[u8; 32]>()) {
            let (x, y) = (Target::from_le_bytes(a), Target::from_le_bytes(b));
            prop_assert_eq!(x.to_le_bytes(), a);
            prop_assert_eq!(x.cmp(&y), a.iter().rev().cmp(b.iter().rev()));
        }
    }
}
