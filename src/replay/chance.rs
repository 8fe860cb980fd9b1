//! Seeded chance of the generated worlds: the same seed makes the same world on every machine.

use crate::decision::chance;

/// An endless sequence of made-up numbers.
#[derive(Debug, Clone)]
pub struct Chance(chance::Chance);

impl Chance {
    /// The sequence of a seed. Sequences with another `stream` are independent of it, so that what one part of a world
    /// draws changes no other part.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut streams = chance::Chance::new(stream);
        Self(chance::Chance::new(chance::Chance::new(seed ^ streams.number()).number()))
    }

    /// The next 64 bits.
    pub fn number(&mut self) -> u64 {
        self.0.number()
    }

    /// Evenly above `least` and up to `most`.
    pub fn between(&mut self, least: f64, most: f64) -> f64 {
        least + (most - least) * self.0.unit()
    }

    /// Whether something of this probability happens.
    pub fn happens(&mut self, probability: f64) -> bool {
        self.0.unit() <= probability
    }

    /// The wait for the next event of a Poisson process with this mean wait.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -self.0.unit().ln() * mean
    }

    /// A number whose logarithm is normal around that of `median`, with deviation `sigma`.
    pub fn lognormal(&mut self, median: f64, sigma: f64) -> f64 {
        median * (sigma * self.0.normal()).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWS: usize = 100_000;

    fn drawn(draw: impl Fn(&mut Chance) -> f64) -> Vec<f64> {
        let mut chance = Chance::new(7, 1);
        let mut drawn: Vec<_> = (0..DRAWS).map(|_| draw(&mut chance)).collect();
        drawn.sort_by(f64::total_cmp);
        drawn
    }

    fn mean(of: &[f64]) -> f64 {
        of.iter().sum::<f64>() / of.len() as f64
    }

    #[test]
    fn a_seed_always_gives_the_same_numbers_and_another_stream_gives_others() {
        let first = |seed, stream| Chance::new(seed, stream).number();
        assert_eq!(first(3, 0), first(3, 0));
        assert_ne!(first(3, 0), first(3, 1));
        assert_ne!(first(3, 0), first(4, 0));
    }

    #[test]
    fn exponential_waits_have_their_mean_and_no_memory() {
        let waits = drawn(|chance| chance.exponential(600.0));
        assert!((mean(&waits) / 600.0 - 1.0).abs() < 0.02, "{}", mean(&waits));
        let beyond = |least: f64| waits.iter().filter(|wait| **wait > least).count() as f64;
        assert!((beyond(1200.0) / beyond(600.0) - (-1_f64).exp()).abs() < 0.01);
    }

    #[test]
    fn a_lognormal_has_its_median_and_its_deviation() {
        let lags = drawn(|chance| chance.lognormal(0.3, 0.6));
        assert!((lags[DRAWS / 2] / 0.3 - 1.0).abs() < 0.02);
        // 84.13 % of a normal are below one deviation.
        let at = (DRAWS as f64 * 0.8413) as usize;
        assert!((lags[at] / (0.3 * 0.6_f64.exp()) - 1.0).abs() < 0.03);
    }
}
