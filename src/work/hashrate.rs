//! Hash rates, and what they are worth in shares.

use std::fmt;
use std::time::Duration;

use super::{Difficulty, Target};

/// Hashes expected for a share of difficulty 1. Source: 2^256 / (0xffff · 2^208), the target of pool difficulty 1.
pub const HASHES_PER_DIFFICULTY: f64 = 4_295_032_833.0; // not 2^32, or every hash rate reads 15 ppm low

/// Hashes per second.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct HashRate(pub f64);

impl HashRate {
    /// The rate of something that did `hashes` in `time`; zero for no time.
    pub fn over(hashes: f64, time: Duration) -> Self {
        if time.is_zero() { Self(0.0) } else { Self(hashes / time.as_secs_f64()) }
    }

    /// Mean seconds between shares of `difficulty`; infinite when nothing hashes.
    pub fn expected_seconds(self, difficulty: Difficulty) -> f64 {
        difficulty.value() * HASHES_PER_DIFFICULTY / self.0
    }

    /// Nonces a second that meet a target, on average.
    pub fn finds(self, target: &Target) -> f64 {
        self.0 / (target.difficulty().value() * HASHES_PER_DIFFICULTY)
    }

    /// The target at which this rate finds `per_second` nonces a second on average, at most 2^256 - 1.
    pub fn target_for(self, per_second: f64) -> Target {
        Difficulty::new(self.0 / per_second / HASHES_PER_DIFFICULTY).map_or(Target::MAX, Difficulty::target)
    }
}

impl fmt::Display for HashRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&with_prefix(self.0, " "))?;
        f.write_str("H/s")
    }
}

/// A number with a power-of-1000 prefix, three or four significant digits. Below 1 it keeps three decimals.
pub(crate) fn with_prefix(value: f64, space: &str) -> String {
    const PREFIXES: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];
    // The field writes K for difficulties and k for hash rates (kH/s).
    let kilo = if space.is_empty() { "K" } else { "k" };
    let mut scaled = value;
    let mut index = 0;
    while scaled >= 999.5 && index + 1 < PREFIXES.len() {
        scaled /= 1000.0;
        index += 1;
    }
    let prefix = if index == 1 { kilo } else { PREFIXES[index] };
    let decimals = match scaled {
        s if s < 1.0 && index == 0 => 3,
        s if s < 10.0 => 2,
        s if s < 100.0 => 1,
        _ => 0,
    };
    // A whole number below 1000 needs no decimals: difficulty 512, not 512.0.
    if index == 0 && space.is_empty() && value.fract() == 0.0 {
        return format!("{value:.0}");
    }
    format!("{scaled:.decimals$}{space}{prefix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_difficulties_print_as_operators_write_them() {
        for (rate, text) in [
            (0.0, "0.000 H/s"),
            (523.4, "523 H/s"),
            (9_996.0, "10.00 kH/s"),
            (12_345_678.0, "12.3 MH/s"),
            (1.2e12, "1.20 TH/s"),
            (999.7e9, "1.00 TH/s"),
            (3.1e21, "3100 EH/s"),
        ] {
            assert_eq!(HashRate(rate).to_string(), text);
        }
        for (difficulty, text) in [
            (0.000_012, "1.200e-5"),
            (0.001, "0.001"),
            (1.0, "1"),
            (512.0, "512"),
            (727.5, "728"),
            (3_450.0, "3.45K"),
            (127.45e12, "127T"),
        ] {
            assert_eq!(Difficulty::new(difficulty).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_rate_of_one_share_of_difficulty_one_a_second_expects_just_that() {
        let rate = HashRate(HASHES_PER_DIFFICULTY);
        assert!((rate.expected_seconds(Difficulty::ONE) - 1.0).abs() < 1e-12);
        assert_eq!(rate.target_for(1.0), Difficulty::ONE.target());
        assert_eq!(HashRate(0.0).target_for(1.0), Target::MAX);
        assert_eq!(HashRate::over(10.0, Duration::ZERO), HashRate(0.0));
    }
}
