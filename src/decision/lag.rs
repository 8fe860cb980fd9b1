//! How late an upstream is with new blocks, and whether to wait for it.

/// Lags of one upstream as a lognormal distribution with a running mean and variance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lag {
    /// Mean of ln(lag in seconds).
    mean: f64,
    variance: f64,
    /// Weight of what is known, in blocks.
    blocks: f64,
}

/// Lags below 10 ms are measured no finer.
const SHORTEST: f64 = 0.01;

/// A narrower distribution is luck.
const LEAST_SD: f64 = 0.3;

/// What is known weighs no more than so many blocks, so that it follows changes.
const MOST_BLOCKS: f64 = 200.0;

/// Below so many blocks the distribution is not trusted to wait long.
const FEW_BLOCKS: f64 = 20.0;

/// Points at which waiting is weighed, and the ratio of one to the next: from 10 ms to a minute.
const STEPS: usize = 48;
const RATIO: f64 = 1.2;

impl Default for Lag {
    /// Half a second, give or take.
    fn default() -> Self {
        Self { mean: 0.5f64.ln(), variance: 1.0, blocks: 2.0 }
    }
}

impl Lag {
    /// A new block came `lag` seconds after the first word of it anywhere.
    pub fn count(&mut self, lag: f64) {
        let lag = if lag.is_finite() { lag.clamp(SHORTEST, 86_400.0) } else { SHORTEST };
        let x = lag.ln();
        self.blocks = (self.blocks + 1.0).min(MOST_BLOCKS);
        let before = x - self.mean;
        self.mean += before / self.blocks;
        self.variance += (before * (x - self.mean) - self.variance) / self.blocks;
    }

    /// The lag below which `z` standard deviations lie, seconds: 0 for the median, 1.2816 for the ninth decile.
    pub fn quantile(&self, z: f64) -> f64 {
        (self.mean + z * self.variance.max(0.0).sqrt()).exp()
    }

    /// `h(a)`: the chance a second that the block comes now, when it has not within `waited` seconds.
    pub fn hazard(&self, waited: f64) -> f64 {
        let (waited, sd) = (waited.max(SHORTEST), self.sd());
        let z = (waited.ln() - self.mean) / sd;
        inverse_mills(z) / (waited * sd)
    }

    /// Whether to stay with a late upstream after `waited` seconds when going to another and back costs `cost` seconds.
    ///
    /// It pays to wait while `h · cost > 1`. Before its peak the hazard rises from nothing, so there the question is
    /// whether waiting to any later moment, and going then, costs less than going now. Behind the peak both rules are
    /// one. While little is known, waiting ends at `cost`: then it never costs more than twice the best in hindsight.
    pub fn stay(&self, waited: f64, cost: f64) -> bool {
        let end = if self.blocks < FEW_BLOCKS { cost } else { f64::INFINITY };
        if waited > end {
            return false;
        }
        if self.hazard(waited) * cost > 1.0 {
            return true;
        }
        // Cost of waiting to a later moment less that of going now, per chance of having to wait so long.
        let (mut sum, mut at, mut left) = (0.0, waited, 1.0);
        let mut next = waited.max(SHORTEST);
        for _ in 0..STEPS {
            next *= RATIO;
            let (step, middle) = (next.min(end) - at, f64::midpoint(at, next.min(end)));
            if step <= 0.0 {
                return false;
            }
            let hazard = self.hazard(middle);
            sum += left * step * (1.0 - cost * hazard);
            if sum < 0.0 {
                return true;
            }
            left *= (-hazard * step).exp();
            at = next;
        }
        false
    }

    fn sd(&self) -> f64 {
        self.variance.max(0.0).sqrt().max(LEAST_SD)
    }
}

/// φ(z) / (1 - Φ(z)) of the normal distribution.
fn inverse_mills(z: f64) -> f64 {
    let density = (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if z < -8.0 {
        return density; // all of the distribution is above
    }
    // Far out both vanish and their ratio tends to z.
    if z > 8.0 { z + 1.0 / z } else { density / (erfc(z / std::f64::consts::SQRT_2) / 2.0) }
}

/// 1 - erf(x) within 1.2e-7 of itself everywhere. Source: Numerical Recipes, `erfcc`, a Chebyshev fit.
fn erfc(x: f64) -> f64 {
    const FIT: [f64; 10] = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let t = 1.0 / (1.0 + x.abs() / 2.0);
    let exponent = FIT.iter().rev().fold(0.0, |sum, term| sum * t + term);
    let upper = t * (exponent - x * x).exp();
    if x < 0.0 { 2.0 - upper } else { upper }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(value: f64, expected: f64) {
        assert!((value - expected).abs() <= expected.abs() * 1e-6, "{value} is not {expected}");
    }

    fn known(median: f64, sd: f64) -> Lag {
        Lag { mean: f64::ln(median), variance: sd * sd, blocks: 100.0 }
    }

    #[test]
    fn the_hazard_of_a_lognormal_lag_falls_after_its_peak() {
        let lag = Lag::default();
        for (waited, hazard) in [(0.5, 1.595_769), (1.0, 1.285_281), (2.0, 0.921_264)] {
            close(lag.hazard(waited), hazard);
        }
    }

    #[test]
    fn cheap_moves_are_made_at_once_and_dear_ones_wait() {
        for waited in [0.5, 1.0, 2.0] {
            assert!(!known(0.5, 1.0).stay(waited, 0.6), "{waited}");
        }
        for waited in [0.0, 0.5, 1.0] {
            assert!(known(0.5, 1.0).stay(waited, 2.0), "{waited}");
        }
        // The vector says stay after 2 s as well, where 0.921264 · 2 > 1.
        assert!(known(0.5, 1.0).hazard(2.0) * 2.0 > 1.0 && known(0.5, 1.0).stay(2.0, 2.0));
        for cost in [0.002, 0.04, 0.6] {
            assert!(!known(0.5, 1.0).stay(0.0, cost), "{cost}");
        }
    }

    #[test]
    fn while_little_is_known_waiting_ends_at_the_cost_of_going() {
        let fresh = Lag::default();
        assert!(fresh.stay(1.9, 2.0) && !fresh.stay(2.1, 2.0));
        assert!(known(0.5, 1.0).stay(2.1, 2.0));
    }

    #[test]
    fn waiting_ends_in_the_tail() {
        assert!(!known(0.35, 0.6).stay(40.0, 2.0), "a lag of 40 s says that the pool is stuck");
    }

    #[test]
    fn the_distribution_follows_what_is_seen() {
        let mut lag = Lag::default();
        for round in 0..1000 {
            lag.count(if round % 2 == 0 { 0.2 } else { 0.8 });
        }
        assert!((lag.quantile(0.0) - 0.4).abs() < 0.01, "{lag:?}");
        assert!((lag.sd() - 2f64.ln()).abs() < 0.05, "{lag:?}");
        for odd in [0.0, -1.0, f64::INFINITY, f64::NAN] {
            lag.count(odd);
        }
        assert!(lag.quantile(1.28).is_finite());
    }

    #[test]
    fn no_time_makes_the_hazard_infinite() {
        for lag in [known(0.01, 0.3), known(1e5, 3.0), Lag::default()] {
            for waited in [0.0, 1e-9, 1.0, 1e6, 1e12] {
                assert!(lag.hazard(waited).is_finite() && lag.hazard(waited) >= 0.0, "{lag:?} {waited}");
            }
        }
    }
}
