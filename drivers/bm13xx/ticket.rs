//! The ticket mask: how hard a nonce must be for a chip to report it.
//!
//! A chip reports a nonce when the first 32 bits of its hash, read as pools and explorers print it, are zero and the next
//! ones are zero as far as the mask says. Source: ESP-Miner `asic_common.c`, `get_difficulty_mask`; checked against
//! recorded nonces.

/// Nonces a second that a chain shall report at most, where the pool's difficulty allows it: enough to see within
/// seconds that a chain is well, and 1 % of a line at 115 200 baud.
const NONCES_PER_SECOND: f64 = 8.0;
/// Bits of a hash that are zero whatever the mask, in chips of silicon.
pub const ALWAYS_ZERO: u32 = 32;

/// How hard a nonce must be to be reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket {
    /// Bits that are zero whatever the mask: [`ALWAYS_ZERO`], fewer where chips are played by a computer.
    always: u32,
    /// Bits beyond these.
    zero_bits: u32,
}

impl Ticket {
    /// Every nonce of difficulty 1. What a chip has after a reset.
    pub const ONE: Self = Self::after_reset(ALWAYS_ZERO);

    /// What a chip has after a reset that reports nonces from so many zero bits on.
    pub const fn after_reset(always: u32) -> Self {
        Self { always, zero_bits: 0 }
    }

    /// The highest power of two that is not above a difficulty; difficulty 1 at least, 2^32 at most.
    pub fn at_most(difficulty: f64) -> Self {
        Self { zero_bits: difficulty.max(1.0).log2().floor().min(32.0) as u32, ..Self::ONE }
    }

    /// Of the same chips, for a board of this many hashes a second and a job with this target (little-endian, as a hash
    /// comes out): as easy as the line bears, and never so hard that a nonce which meets the target goes unreported.
    #[must_use]
    pub fn choose(self, rate: f64, target: &[u8; 32]) -> Self {
        let times_too_many = rate / 2f64.powi(self.always as i32) / NONCES_PER_SECOND;
        let wanted = times_too_many.max(1.0).log2().ceil().min(32.0) as u32;
        Self { zero_bits: wanted.min(leading_zeros(target).saturating_sub(self.always)), ..self }
    }

    /// As a difficulty, as chips count it: 1 with no bit in the mask.
    pub fn difficulty(self) -> f64 {
        2f64.powi(self.zero_bits as i32)
    }

    /// Hashes that it takes on average to find such a nonce.
    pub fn hashes(self) -> f64 {
        2f64.powi((self.always + self.zero_bits) as i32)
    }

    /// Whether some ticket of these chips reports a hash (as it comes out).
    pub fn is_ever_met_by(self, hash: &[u8; 32]) -> bool {
        leading_zeros(hash) >= self.always
    }

    /// Value for the register: a one for each bit that must be zero, the bits of every byte reversed.
    pub fn register_value(self) -> u32 {
        self.mask().swap_bytes()
    }

    /// Whether a chip with this mask reports a hash (as it comes out).
    pub fn is_met_by(self, hash: &[u8; 32]) -> bool {
        leading_zeros(hash) >= self.always + self.zero_bits
    }

    fn mask(self) -> u32 {
        u32::MAX.checked_shl(u32::BITS - self.zero_bits).unwrap_or(0)
    }
}

/// Zero bits at the top of a number of 32 bytes, the lowest first.
pub(super) fn leading_zeros(number: &[u8; 32]) -> u32 {
    let zero_bytes = number.iter().rev().take_while(|byte| **byte == 0).count();
    let next = number.iter().rev().nth(zero_bytes).map_or(0, |byte| byte.leading_zeros());
    8 * zero_bytes as u32 + next
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The target of a pool difficulty that is a power of two: 0xffff × 2^208 ÷ difficulty.
    fn target(log2: usize) -> [u8; 32] {
        let mut target = [0; 32];
        for bit in 208 - log2..224 - log2 {
            target[bit / 8] |= 1 << (bit % 8);
        }
        target
    }

    #[test]
    fn register_values_are_those_of_esp_miner() {
        for (difficulty, value) in [
            (0.3, 0),
            (1.0, 0),
            (2.0, 0x80),
            (16.0, 0xf0),
            (100.0, 0xfc),
            (256.0, 0xff),
            (511.9, 0xff),
            (512.0, 0x80ff),
            (1024.0, 0xc0ff),
            (4096.0, 0xf0ff),
            (65536.0, 0xffff),
            (1e30, 0xffff_ffff),
            (f64::NAN, 0),
        ] {
            assert_eq!(Ticket::at_most(difficulty).register_value(), value, "difficulty {difficulty}");
        }
    }

    #[test]
    fn a_board_reports_some_nonces_a_second_where_the_target_allows_it() {
        let hard = target(30);
        for (rate, difficulty) in
            [(1e6, 1.0), (285.6e9, 16.0), (1.071e12, 32.0), (4.9e12, 256.0), (f64::INFINITY, 2f64.powi(30))]
        {
            assert_eq!(Ticket::ONE.choose(rate, &hard).difficulty(), difficulty, "{rate} H/s");
        }
    }

    #[test]
    fn an_easy_target_is_never_missed() {
        assert_eq!(Ticket::ONE.choose(1e15, &target(0)), Ticket::ONE);
        assert_eq!(Ticket::ONE.choose(1e15, &target(5)).difficulty(), 32.0);
        assert_eq!(
            Ticket::ONE.choose(1e15, &[0xff; 32]),
            Ticket::ONE,
            "nothing is easier than difficulty 1 for a chip"
        );
        assert_eq!(
            Ticket::ONE.choose(1e15, &[0; 32]).difficulty(),
            Ticket::ONE.choose(1e15, &target(200)).difficulty()
        );
    }

    proptest! {
        #[test]
        fn whatever_meets_the_target_is_reported(rate in 0f64..1e16, log2 in 0usize..64, share in 0f64..1.0) {
            let target = target(log2);
            let ticket = Ticket::ONE.choose(rate, &target);
            let mut hash = target;
            for byte in &mut hash {
                *byte = (f64::from(*byte) * share) as u8;
            }
            prop_assert!(ticket.is_met_by(&target) && ticket.is_met_by(&hash));
            prop_assert!(rate / ticket.hashes() >= NONCES_PER_SECOND / 2.0 || ticket == Ticket::ONE);
        }

        #[test]
        fn the_mask_names_the_bits_behind_the_first_thirty_two(difficulty in 1f64..4e9, tail: [u8; 28]) {
            let ticket = Ticket::at_most(difficulty);
            let mut hash = [0; 32];
            hash[..28].copy_from_slice(&tail);
            // As the chip does it: the four bytes behind the zero ones, each bit against its own of the register.
            let next = u32::from_be_bytes([hash[24], hash[25], hash[26], hash[27]]);
            prop_assert_eq!(ticket.is_met_by(&hash), next & ticket.register_value() == 0);
            hash[28] = 1;
            prop_assert!(!ticket.is_met_by(&hash));
        }
    }
}
