//! Seeded chance for the draws of Thompson sampling: the same seed gives the same decisions. Replays draw from it too.

/// SplitMix64. Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Above 0, at most 1.
    pub(crate) fn unit(&mut self) -> f64 {
        ((self.number() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    /// Of the standard normal distribution, by Box and Muller.
    pub(crate) fn normal(&mut self) -> f64 {
        let (radius, turn) = ((-2.0 * self.unit().ln()).sqrt(), self.unit());
        radius * (std::f64::consts::TAU * turn).cos()
    }

    /// Of Gamma(shape, 1) for a shape of 1 at least, by Marsaglia and Tsang.
    fn gamma(&mut self, shape: f64) -> f64 {
        let d = shape.max(1.0) - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        // One in twenty is turned down at most, so this many tries never fail; the mean is as good as any.
        for _ in 0..64 {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && self.unit().ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v;
            }
        }
        d
    }

    /// Of Beta(a, b) for a and b of 1 at least.
    pub(super) fn beta(&mut self, a: f64, b: f64) -> f64 {
        let (x, y) = (self.gamma(a), self.gamma(b));
        x / (x + y).max(f64::MIN_POSITIVE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_numbers_are_those_of_the_reference() {
        // Source: the reference implementation splitmix64.c of Vigna with seed 1234567.
        let mut chance = Chance::new(1_234_567);
        let first = [(); 3].map(|()| chance.number());
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn draws_of_a_beta_distribution_have_its_mean_and_variance() {
        let mut chance = Chance::new(7);
        for (a, b) in [(1.0, 1.0), (3.0, 40.0), (500.0, 2.0)] {
            let draws: Vec<_> = (0..20_000).map(|_| chance.beta(a, b)).collect();
            let mean = draws.iter().sum::<f64>() / 20_000.0;
            let variance = draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / 20_000.0;
            let (expected, sum) = (a / (a + b), a + b);
            assert!((mean - expected).abs() < 0.01, "{a} {b}: {mean}");
            let right = a * b / (sum * sum * (sum + 1.0));
            assert!((variance / right - 1.0).abs() < 0.1, "{a} {b}: {variance} is not {right}");
        }
    }
}
