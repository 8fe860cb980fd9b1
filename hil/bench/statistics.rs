//! What a number of shares says about a hash rate, and how surely.

use crate::pool::HASHES_PER_DIFFICULTY;

/// The quantile of the normal distribution that leaves 2.5 % on each side.
const Z_95: f64 = 1.959_964;

/// A range that holds the true value in at least 95 of 100 measurements, about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

impl Interval {
    /// Of the mean number of events, where `count` came. Shares are found independently of each other, so their number is
    /// Poisson distributed; the exact ends are half the chi-square quantiles with 2n and 2n + 2 degrees of freedom
    /// (Garwood, Biometrika 28, 1936), here by the cube-root approximation of these quantiles (Wilson and Hilferty, PNAS
    /// 17, 1931), which is within 1 % of them from one event on.
    pub fn of_count(count: u64) -> Self {
        let end = |n: f64, z: f64| n * (1.0 - 1.0 / (9.0 * n) + z / (3.0 * n.sqrt())).powi(3);
        let n = count as f64;
        // Without an event the exact upper end is -ln 0.025.
        if count == 0 {
            return Self { low: 0.0, high: -0.025_f64.ln() };
        }
        Self { low: end(n, -Z_95).max(0.0), high: end(n + 1.0, Z_95) }
    }

    fn times(self, factor: f64) -> Self {
        Self { low: self.low * factor, high: self.high * factor }
    }
}

/// A hash rate as measured. Unit: hashes per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// The best guess.
    pub rate: f64,
    /// Where it lies with 95 % confidence.
    pub interval: Interval,
}

impl Rate {
    /// From `count` shares worth `difficulty` in sum, all of one difficulty, in `seconds`. `None` for no time.
    pub fn of_shares(count: u64, difficulty: f64, seconds: f64) -> Option<Self> {
        if seconds <= 0.0 {
            return None;
        }
        // Without a share its difficulty is unknown, and with it what their absence says.
        let hashes_of_one = if count == 0 { 0.0 } else { difficulty * HASHES_PER_DIFFICULTY / count as f64 };
        let factor = hashes_of_one / seconds;
        Some(Self { rate: count as f64 * factor, interval: Interval::of_count(count).times(factor) })
    }

    /// Whether the measurement leaves it open that the true rate lies within `percent` of `nominal`.
    pub fn may_be_within(&self, percent: f64, nominal: f64) -> bool {
        let (low, high) = (nominal * (1.0 - percent / 100.0), nominal * (1.0 + percent / 100.0));
        self.interval.high >= low && self.interval.low <= high
    }

    /// Half of the interval in percent of `nominal`: what deviation can be told from chance.
    pub fn blur_percent(&self, nominal: f64) -> f64 {
        100.0 * (self.interval.high - self.interval.low) / 2.0 / nominal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exact ends: Garwood's table, as in R's `poisson.test`.
    #[test]
    fn the_ends_of_an_interval_are_those_of_the_exact_table() {
        for (count, low, high) in [
            (0, 0.0, 3.6889),
            (1, 0.0253, 5.5716),
            (5, 1.6235, 11.6683),
            (10, 4.7954, 18.3904),
            (50, 37.1110, 65.9195),
            (100, 81.3639, 121.6272),
        ] {
            let interval = Interval::of_count(count);
            assert!((interval.low - low).abs() <= 0.01 * low + 0.03, "{count}: {interval:?}");
            assert!((interval.high - high).abs() <= 0.01 * high, "{count}: {interval:?}");
        }
    }

    #[test]
    fn three_hundred_shares_tell_a_rate_to_twelve_percent() {
        let rate = Rate::of_shares(300, 3.0, 20.0).unwrap();
        assert!((rate.rate / (3.0 * HASHES_PER_DIFFICULTY / 20.0) - 1.0).abs() < 1e-12);
        assert!((11.0..12.0).contains(&rate.blur_percent(rate.rate)), "{rate:?}");
        assert_eq!(Rate::of_shares(1, 1.0, 0.0), None);
    }

    #[test]
    fn a_rate_is_outside_only_when_its_whole_interval_is() {
        let rate = |count: u64| Rate::of_shares(count, count as f64, 1.0).unwrap();
        let nominal = 300.0 * HASHES_PER_DIFFICULTY;
        for (count, within) in
            [(300, true), (255, true), (240, true), (215, false), (345, true), (400, false), (0, false)]
        {
            assert_eq!(rate(count).may_be_within(15.0, nominal), within, "{count} shares of 300");
        }
    }
}
