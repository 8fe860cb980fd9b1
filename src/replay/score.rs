//! Figures of many seeds as a few numbers.

use std::time::Instant;

use super::oracle;
use super::policy::{Kind, Model};
use super::simulation::{self, Figures};
use super::world::World;

/// One policy in one world, held against the most that was possible.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Part of the possible revenue that was earned, 0 to about 1.
    pub efficiency: f64,
    /// Seconds a day of hashing that earned nothing.
    pub waste: f64,
    /// Seconds a day without a job.
    pub idle: f64,
    /// Seconds a day lost to flushes.
    pub dead: f64,
    /// Moves to another upstream a day.
    pub moves: f64,
    /// Flushes a day.
    pub flushes: f64,
}

impl Sample {
    /// The figures of `policy` in a world where `possible` ideal seconds could have been earned. Where nothing could,
    /// everything that could be earned was.
    pub fn new(figures: &Figures, possible: f64, world: &World) -> Self {
        let days = world.end.saturating_sub(world.measured_from).as_secs_f64() / super::generate::DAY;
        let daily = |amount: f64| if days > 0.0 { amount / days } else { 0.0 };
        Self {
            efficiency: if possible > 0.0 { figures.revenue / possible } else { 1.0 },
            waste: daily(figures.waste),
            idle: daily(figures.idle),
            dead: daily(figures.dead),
            moves: daily(figures.moves as f64),
            flushes: daily(figures.flushes as f64),
        }
    }

    /// The oracle itself, of which only the revenue is known.
    pub fn oracle() -> Self {
        Self { efficiency: 1.0, waste: 0.0, idle: 0.0, dead: 0.0, moves: 0.0, flushes: 0.0 }
    }
}

/// These policies in one world, in their order; `model` makes the model of [`Kind::MathModel`] where there is one.
/// `seed` draws what no line says, and virtual time counts from `start`. 0 is the seed of the decider that mines.
pub fn samples(
    world: &World,
    policies: &[Kind],
    seed: u64,
    start: Instant,
    model: impl Fn() -> Option<Model>,
) -> Vec<Sample> {
    let possible = oracle::revenue(world);
    let sample = |kind: &Kind| match kind.policy(world, seed, start, model()) {
        Some(mut policy) => Sample::new(&simulation::run(world, &mut *policy, seed, start), possible, world),
        None => Sample::oracle(),
    };
    policies.iter().map(sample).collect()
}

/// A mean with its standard error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mean {
    /// Of all samples; 0 of none.
    pub mean: f64,
    /// Standard error of it; 0 of fewer than two samples.
    pub error: f64,
    /// The least sample.
    pub least: f64,
}

impl Mean {
    /// Of these samples.
    pub fn of(samples: impl IntoIterator<Item = f64>) -> Self {
        let samples: Vec<_> = samples.into_iter().collect();
        let count = samples.len() as f64;
        let mean = samples.iter().sum::<f64>() / count.max(1.0);
        let squares: f64 = samples.iter().map(|sample| (sample - mean).powi(2)).sum();
        let error = if samples.len() > 1 { (squares / (count - 1.0) / count).sqrt() } else { 0.0 };
        let least = samples.iter().copied().reduce(f64::min).unwrap_or(0.0);
        Self { mean, error, least }
    }
}

/// One policy over all seeds of a scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// In the order of seeds.
    pub samples: Vec<Sample>,
}

impl Score {
    /// Mean efficiency.
    pub fn efficiency(&self) -> Mean {
        self.mean(|sample| sample.efficiency)
    }

    /// The mean of a figure.
    pub fn mean(&self, of: impl Fn(&Sample) -> f64) -> Mean {
        Mean::of(self.samples.iter().map(of))
    }

    /// What this policy earns more than another one in the same worlds, seed by seed.
    pub fn gain_over(&self, other: &Self) -> Mean {
        Mean::of(self.gains_over(other))
    }

    /// The same of each seed.
    pub fn gains_over<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = f64> + 'a {
        let pairs = self.samples.iter().zip(&other.samples);
        pairs.map(|(ours, theirs)| ours.efficiency - theirs.efficiency)
    }

    /// The part of what another policy left that this one earns; `None` where it left nothing.
    pub fn headroom_over(&self, other: &Self) -> Option<f64> {
        let left = 1.0 - other.efficiency().mean;
        (left > 0.0).then(|| self.gain_over(other).mean / left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_of_four_has_its_standard_error_and_its_least() {
        let mean = Mean::of([1.0, 2.0, 3.0, 6.0]);
        assert_eq!((mean.mean, mean.least), (3.0, 1.0));
        assert!((mean.error - (14.0_f64 / 3.0 / 4.0).sqrt()).abs() < 1e-12);
        assert_eq!(Mean::of([]), Mean { mean: 0.0, error: 0.0, least: 0.0 });
        assert_eq!(Mean::of([5.0]).error, 0.0);
    }

    #[test]
    fn a_gain_is_counted_seed_by_seed() {
        let score = |efficiencies: [f64; 2]| Score {
            samples: efficiencies.map(|efficiency| Sample { efficiency, ..Sample::oracle() }).into(),
        };
        let (better, worse) = (score([0.9, 0.7]), score([0.8, 0.6]));
        let gain = better.gain_over(&worse);
        assert!(
            (gain.mean - 0.1).abs() < 1e-12 && gain.error < 1e-12,
            "the seeds' own spread is no error of the gain"
        );
        assert!((better.headroom_over(&worse).unwrap() - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(worse.headroom_over(&score([1.0, 1.0])), None);
    }
}
