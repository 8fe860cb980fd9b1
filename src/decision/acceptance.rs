//! What part of its shares an upstream accepts: a Beta posterior that forgets.

use std::time::Instant;

use super::settings::Learning;

/// Acceptance ~ Beta(accepted, rejected), which drifts back to the prior.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Acceptance {
    learning: Learning,
    accepted: f64,
    rejected: f64,
    /// When these two held.
    at: Instant,
}

/// A share that weighs more than so many mean ones counts as so many.
const MOST_WEIGHT: f64 = 100.0;

impl Acceptance {
    /// Nothing is known but the prior.
    pub fn new(learning: Learning, now: Instant) -> Self {
        Self { learning, accepted: learning.prior_accepted, rejected: learning.prior_rejected, at: now }
    }

    /// A share was judged; `weight` is its difficulty over the mean one, 1 when that is no number above 0.
    pub fn count(&mut self, accepted: bool, weight: f64, now: Instant) {
        (self.accepted, self.rejected) = self.at(now);
        self.at = self.at.max(now);
        let weight = if weight.is_finite() && weight > 0.0 { weight.min(MOST_WEIGHT) } else { 1.0 };
        *(if accepted { &mut self.accepted } else { &mut self.rejected }) += weight;
    }

    /// Starts anew with `part` of the prior and these counts.
    pub fn restart(&mut self, part: f64, accepted: f64, rejected: f64, now: Instant) {
        self.accepted = part * self.learning.prior_accepted + accepted;
        self.rejected = part * self.learning.prior_rejected + rejected;
        self.at = now;
    }

    /// Mean and standard deviation.
    pub fn mean_and_sd(&self, now: Instant) -> (f64, f64) {
        mean_and_sd(self.at(now))
    }

    /// Those of the prior.
    pub fn prior(&self) -> (f64, f64) {
        mean_and_sd((self.learning.prior_accepted, self.learning.prior_rejected))
    }

    /// The parameters at `now`.
    fn at(&self, now: Instant) -> (f64, f64) {
        let age = now.saturating_duration_since(self.at).as_secs_f64();
        let left = f64::exp2(-age / self.learning.half_life.as_secs_f64().max(1.0));
        let towards = |value: f64, prior: f64| prior + (value - prior) * left;
        (
            towards(self.accepted, self.learning.prior_accepted),
            towards(self.rejected, self.learning.prior_rejected),
        )
    }
}

fn mean_and_sd((a, b): (f64, f64)) -> (f64, f64) {
    let sum = (a + b).max(f64::MIN_POSITIVE);
    let mean = a / sum;
    // In this form, so that no product of counts overflows or vanishes.
    (mean, (mean * (1.0 - mean).max(0.0) / (sum + 1.0)).sqrt())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn close(value: f64, expected: f64) {
        assert!((value - expected).abs() <= expected.abs() * 1e-6, "{value} is not {expected}");
    }

    fn after(accepted: u32, rejected: u32, now: Instant) -> Acceptance {
        let mut acceptance = Acceptance::new(Learning::default(), now);
        (0..accepted).for_each(|_| acceptance.count(true, 1.0, now));
        (0..rejected).for_each(|_| acceptance.count(false, 1.0, now));
        acceptance
    }

    #[test]
    fn a_thousand_shares_outweigh_the_prior() {
        let now = Instant::now();
        for (accepted, rejected, mean, sd) in
            [(970, 30, 0.972_272_727, 0.004_948_277), (995, 5, 0.995, 0.002_125_704)]
        {
            let found = after(accepted, rejected, now).mean_and_sd(now);
            close(found.0, mean);
            close(found.1, sd);
        }
    }

    #[test]
    fn what_was_learnt_is_worth_half_after_six_hours() {
        let now = Instant::now();
        let acceptance = after(970, 30, now);
        let later = now + Duration::from_secs(3 * 3600);
        let (accepted, rejected) = acceptance.at(later);
        close(accepted, 785.393_578);
        close(rejected, 21.713_203);
        close(acceptance.mean_and_sd(later).0, 0.973_097_484);
    }

    #[test]
    fn a_weight_that_is_none_counts_as_one_share_and_a_giant_one_as_a_hundred() {
        let now = Instant::now();
        let mut acceptance = after(0, 0, now);
        for weight in [f64::NAN, -1.0, 0.0, f64::INFINITY] {
            acceptance.count(true, weight, now);
        }
        assert_eq!(acceptance.at(now), (103.5, 0.5));
        acceptance.count(true, 1e300, now);
        assert_eq!(acceptance.at(now), (203.5, 0.5));
    }
}
