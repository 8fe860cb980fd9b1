//! The practice chain's difficulty: blocks shall come about every so often at the hash rate that is there.

use std::time::{Duration, Instant};

use super::difficulty::Difficulty;

/// How far back the hash rate is measured: older work counts less by e each time.
const MEMORY: Duration = Duration::from_secs(20);
/// A rate over less time than this would be made of one lucky share.
const SHORTEST: Duration = Duration::from_secs(1);
/// The most the chain's difficulty changes at one block. Source: the main chain's limit per 2016 blocks.
const LARGEST_STEP: f64 = 4.0;

/// Work per second with an exponentially fading memory.
#[derive(Clone, Debug)]
pub(crate) struct WorkRate {
    since: Instant,
    updated: Instant,
    work: f64,
}

impl WorkRate {
    pub(crate) fn new(now: Instant) -> Self {
        Self { since: now, updated: now, work: 0.0 }
    }

    pub(crate) fn add(&mut self, difficulty: Difficulty, now: Instant) {
        self.work = self.faded(now) + difficulty.value();
        self.updated = now;
    }

    /// Difficulty-1 shares per second; none before the first share.
    pub(crate) fn per_second(&self, now: Instant) -> Option<f64> {
        let memory = MEMORY.as_secs_f64();
        let seen = now.duration_since(self.since).max(SHORTEST).as_secs_f64();
        let work = self.faded(now);
        (work > 0.0).then(|| work / (memory * (1.0 - (-seen / memory).exp())))
    }

    fn faded(&self, now: Instant) -> f64 {
        self.work * (-now.duration_since(self.updated).as_secs_f64() / MEMORY.as_secs_f64()).exp()
    }
}

/// The difficulty of the next block, from that of the last one.
pub(crate) fn retarget(last: Difficulty, work_per_second: Option<f64>, block_every: Duration) -> Difficulty {
    let Some(rate) = work_per_second else { return last };
    let factor = rate * block_every.as_secs_f64() / last.value();
    last.scaled(factor.clamp(1.0 / LARGEST_STEP, LARGEST_STEP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_miner_is_measured_right_from_the_first_seconds_and_later() {
        let start = Instant::now();
        let mut rate = WorkRate::new(start);
        for tenth in 1..=3000 {
            let now = start + Duration::from_millis(tenth * 100);
            rate.add(Difficulty::ONE, now);
            if tenth >= 20 {
                let measured = rate.per_second(now).unwrap();
                assert!((9.5..=10.6).contains(&measured), "{measured} after {tenth} tenths of a second");
            }
        }
    }

    #[test]
    fn the_chain_follows_the_hash_rate_by_a_factor_of_four_at_most() {
        let every = Duration::from_secs(10);
        let next = |rate| retarget(Difficulty::ONE, rate, every).value();
        assert!((next(Some(0.2)) - 2.0).abs() < 1e-12);
        assert!((next(Some(50.0)) - 4.0).abs() < 1e-12);
        assert!((next(Some(0.001)) - 0.25).abs() < 1e-12);
        assert!((next(None) - 1.0).abs() < 1e-12);
    }
}
