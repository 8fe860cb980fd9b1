//! Which upstream a board hashes for in its next slice, where the operator splits hashing by quota.

use std::time::Duration;

use super::input::UpstreamId;

/// Least length of a slice: each costs a flush, so 60 s keep the price below a 60th of that.
pub const LEAST_SLICE: Duration = Duration::from_secs(60);

/// Of one board: what each upstream is owed, in slices of all quotas together.
#[derive(Debug, Clone, PartialEq)]
pub struct Quota {
    quotas: Vec<f64>,
    owed: Vec<f64>,
}

impl Quota {
    /// By these quotas, in any unit; what is no number above 0 gets nothing.
    pub fn new(quotas: &[f64]) -> Self {
        let good = |quota: &f64| if quota.is_finite() { quota.clamp(0.0, 1e9) } else { 0.0 };
        Self { quotas: quotas.iter().map(good).collect(), owed: vec![0.0; quotas.len()] }
    }

    /// The upstream of the next slice among those that `may` be hashed for: the one owed most, ties to the operator's
    /// order. What others are owed is not made up for after they were away.
    pub fn next(&mut self, may: impl Fn(UpstreamId) -> bool) -> Option<UpstreamId> {
        let usable = |index: &usize| self.quotas[*index] > 0.0 && may(UpstreamId(*index));
        let usable: Vec<_> = (0..self.quotas.len()).filter(usable).collect();
        let total: f64 = usable.iter().map(|index| self.quotas[*index]).sum();
        for index in 0..self.owed.len() {
            self.owed[index] =
                if usable.contains(&index) { self.owed[index] + self.quotas[index] } else { 0.0 };
        }
        let most = usable.into_iter().reduce(|a, b| if self.owed[b] > self.owed[a] { b } else { a })?;
        self.owed[most] -= total;
        Some(UpstreamId(most))
    }
}

/// A small board that hashes for the runner-up a part of the time, so that more than its lag is known. Off by default.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Canary {
    /// Most of the hash rate that it may have.
    pub most_of_rate: f64,
    /// So long in every `period`.
    pub duty: Duration,
    /// See `duty`.
    pub period: Duration,
}

impl Default for Canary {
    /// 2 % of the rate for 10 minutes an hour: it costs below 0.03 % where the runner-up is worth 1.5 % less.
    fn default() -> Self {
        Self { most_of_rate: 0.02, duty: Duration::from_secs(600), period: Duration::from_secs(3600) }
    }
}

impl Canary {
    /// The board for it among boards of these hash rates: the smallest, if it is small enough.
    pub fn board(&self, rates: &[f64]) -> Option<usize> {
        let total: f64 = rates.iter().sum();
        let smallest = (0..rates.len()).min_by(|a, b| rates[*a].total_cmp(&rates[*b]))?;
        (rates[smallest] > 0.0 && rates[smallest] <= self.most_of_rate * total).then_some(smallest)
    }

    /// Whether it hashes for the runner-up now, `running` after the start.
    pub fn is_out(&self, running: Duration) -> bool {
        let period = self.period.as_nanos().max(1);
        running.as_nanos() % period < self.duty.as_nanos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slices(quota: &mut Quota, count: usize, away: Option<usize>) -> Vec<usize> {
        (0..count).filter_map(|_| quota.next(|id| Some(id.0) != away)).map(|id| id.0).collect()
    }

    #[test]
    fn slices_are_given_by_quota_and_spread_evenly() {
        let mut quota = Quota::new(&[3.0, 1.0]);
        assert_eq!(slices(&mut quota, 8, None), [0, 0, 1, 0, 0, 0, 1, 0]);
        let mut quota = Quota::new(&[50.0, 30.0, 20.0]);
        let given = slices(&mut quota, 1000, None);
        assert_eq!([0, 1, 2].map(|id| given.iter().filter(|given| **given == id).count()), [500, 300, 200]);
    }

    #[test]
    fn who_was_away_makes_up_for_nothing_and_who_has_no_quota_gets_nothing() {
        let mut quota = Quota::new(&[1.0, 1.0, 0.0, f64::NAN]);
        assert_eq!(slices(&mut quota, 4, Some(0)), [1; 4]);
        assert_eq!(slices(&mut quota, 4, None), [0, 1, 0, 1]);
        assert_eq!(Quota::new(&[0.0]).next(|_| true), None);
    }

    #[test]
    fn the_canary_is_the_smallest_board_and_only_a_small_one() {
        let canary = Canary::default();
        assert_eq!(canary.board(&[100.0, 1.0, 30.0]), Some(1));
        assert_eq!(canary.board(&[100.0, 50.0]), None);
        assert_eq!(canary.board(&[100.0, 0.0]), None, "it does not hash at all");
        assert_eq!(canary.board(&[]), None);
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        assert_eq!([0, 9, 10, 59, 60].map(|at| canary.is_out(minutes(at))), [true, true, false, false, true]);
    }
}
