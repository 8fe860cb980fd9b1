//! Whether a board finds as many nonces as its hash rate says.

use super::luck::at_most;

/// So unlikely must a shortfall be to be raised.
const ALARM: f64 = 1e-4;

/// 2^32: hashes for a nonce of chip difficulty 1, which has 32 zero bits.
const HASHES_PER_NONCE: f64 = 4_294_967_296.0;

/// Nonces expected of `rate` hashes a second in `seconds` at a chip's difficulty; 0 where that is no number.
pub fn expected_nonces(rate: f64, seconds: f64, chip_difficulty: f64) -> f64 {
    let nonces = rate * seconds / (HASHES_PER_NONCE * chip_difficulty);
    if chip_difficulty > 0.0 && nonces.is_finite() { nonces.max(0.0) } else { 0.0 }
}

/// Whether a board that should have found `expected` nonces, and found `nonces` of which `errors` were wrong, is short of
/// them beyond bad luck: wrong ones are hashes lost.
pub fn is_short(nonces: u64, errors: u64, expected: f64) -> bool {
    at_most(nonces.saturating_sub(errors), expected) < ALARM
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_with_half_its_nonces_is_short_and_one_with_bad_luck_is_not() {
        let expected = expected_nonces(4_294_967_296.0 * 100.0, 60.0, 60.0);
        assert!((expected - 100.0).abs() < 1e-9);
        assert!(is_short(50, 0, expected) && is_short(0, 0, 10.0));
        assert!(!is_short(85, 0, expected) && !is_short(0, 0, 9.0));
        assert!(is_short(100, 50, expected), "half of them wrong are half of them");
        assert!(!is_short(0, 0, expected_nonces(f64::NAN, 1.0, 1.0)));
        assert!(!is_short(0, 0, expected_nonces(1.0, 1.0, 0.0)), "not a number of nonces");
    }
}
