//! Which upstream a board hashes for in its next slice, where the operator splits hashing by weight.

use std::time::Duration;

use super::input::UpstreamId;

/// Hashes by upstream against their weights.
#[derive(Debug)]
pub struct Ledger {
    accounts: Vec<Credit>,
}

#[derive(Debug)]
struct Credit {
    weight: f64,
    hashes: f64,
}

impl Credit {
    fn level(&self) -> f64 {
        self.hashes / self.weight
    }
}

impl Ledger {
    /// Nothing has been hashed yet. `weights` are above 0, in the operator's order.
    pub fn new(weights: &[u32]) -> Self {
        let account = |weight: &u32| Credit { weight: f64::from((*weight).max(1)), hashes: 0.0 };
        Self { accounts: weights.iter().map(account).collect() }
    }

    /// Hashes were done for an upstream.
    pub fn count(&mut self, upstream: UpstreamId, hashes: u64) {
        self.accounts[upstream.0].hashes += hashes as f64;
    }

    /// From here on nobody of these has anything to make up for.
    pub fn level(&mut self, upstreams: &[UpstreamId]) {
        let highest = upstreams.iter().map(|id| self.accounts[id.0].level()).fold(0.0, f64::max);
        for id in upstreams {
            let account = &mut self.accounts[id.0];
            account.hashes = highest * account.weight;
        }
    }

    /// Of these, the one furthest behind its share when what boards have been set to do for it (`promised`, in hashes)
    /// is counted as done.
    pub fn neediest(
        &self,
        upstreams: &[UpstreamId],
        promised: impl Fn(UpstreamId) -> f64,
    ) -> Option<UpstreamId> {
        let level = |id: &UpstreamId| {
            let account = &self.accounts[id.0];
            (account.hashes + promised(*id)) / account.weight
        };
        upstreams.iter().copied().min_by(|a, b| level(a).total_cmp(&level(b)))
    }

    /// The part of all hashing that `upstream` gets among these, or would get with them.
    pub fn part(&self, upstream: UpstreamId, among: &[UpstreamId]) -> f64 {
        let weight = |id: UpstreamId| self.accounts[id.0].weight;
        let others: f64 = among.iter().filter(|id| **id != upstream).map(|id| weight(*id)).sum();
        weight(upstream) / (weight(upstream) + others)
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

    const ALL: [UpstreamId; 3] = [UpstreamId(0), UpstreamId(1), UpstreamId(2)];

    fn hashed(ledger: &mut Ledger, among: &[UpstreamId], slices: u32) -> [f64; 3] {
        let mut done = [0.0; 3];
        for _ in 0..slices {
            let next = ledger.neediest(among, |_| 0.0).unwrap();
            ledger.count(next, 1_000);
            done[next.0] += 1.0 / f64::from(slices);
        }
        done
    }

    #[test]
    fn slices_fall_to_the_weights_within_one_slice() {
        let mut ledger = Ledger::new(&[70, 25, 5]);
        let done = hashed(&mut ledger, &ALL, 1_000);
        for (part, expected) in done.iter().zip([0.70, 0.25, 0.05]) {
            assert!((part - expected).abs() <= 0.001, "{done:?}");
        }
        assert_eq!(ledger.part(ALL[1], &ALL[1..]), 25.0 / 30.0);
        assert_eq!(ledger.part(ALL[0], &ALL[1..]), 0.7);
    }

    #[test]
    fn who_was_away_gets_what_it_missed_unless_the_ledger_is_levelled() {
        let mut ledger = Ledger::new(&[1, 1, 1]);
        hashed(&mut ledger, &ALL[..2], 10);
        assert_eq!(hashed(&mut ledger, &ALL, 5)[2], 1.0, "all of it goes to the one that was away");
        let mut ledger = Ledger::new(&[1, 1, 1]);
        hashed(&mut ledger, &ALL[..2], 10);
        ledger.level(&ALL);
        let done = hashed(&mut ledger, &ALL, 30);
        assert!(done.iter().all(|part| (part - 1.0 / 3.0).abs() < 0.01), "{done:?}");
    }

    #[test]
    fn what_another_board_has_promised_counts_as_done() {
        let ledger = Ledger::new(&[1, 1]);
        let promised = |id: UpstreamId| if id.0 == 0 { 5.0 } else { 0.0 };
        assert_eq!(ledger.neediest(&ALL[..2], promised), Some(ALL[1]));
        assert_eq!(ledger.neediest(&[], promised), None);
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
