//! Hash rates, and shares by how they ended.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::work::{Answered, HashRate, LostReason, Outcome, RejectKind};

/// Counters of one upstream.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ShareCounts {
    /// Shares the pool took.
    pub accepted: u64,
    /// Shares the pool refused, by kind.
    pub rejected: BTreeMap<RejectKind, u64>,
    /// Shares not sent because their job had been replaced.
    pub stale: u64,
    /// Shares not sent because the pool had raised the difficulty since their job.
    pub withheld: u64,
    /// Shares that were never answered, by why.
    pub lost: BTreeMap<LostReason, u64>,
    /// Sum of the job difficulties of the accepted shares.
    pub accepted_difficulty: f64,
    /// The same of the rejected ones.
    pub rejected_difficulty: f64,
    /// The same of the stale ones.
    pub stale_difficulty: f64,
    /// The same of the withheld ones.
    pub withheld_difficulty: f64,
    /// The same of the lost ones.
    pub lost_difficulty: f64,
    /// Best difficulty an accepted share reached.
    pub best: f64,
    /// Accepted shares that solve a block.
    pub blocks: u64,
}

impl ShareCounts {
    /// Counts the end of a share.
    pub fn count(&mut self, answered: &Answered) {
        let share = &answered.share;
        let asked = share.job().difficulty.value();
        match &answered.outcome {
            Outcome::Accepted => {
                self.accepted += 1;
                self.accepted_difficulty += asked;
                self.best = self.best.max(share.difficulty().value());
                self.blocks += u64::from(share.solves_block());
            }
            Outcome::Rejected(reject) => {
                *self.rejected.entry(reject.kind).or_default() += 1;
                self.rejected_difficulty += asked;
            }
            Outcome::Stale => {
                self.stale += 1;
                self.stale_difficulty += asked;
            }
            Outcome::Lost(reason) => {
                *self.lost.entry(*reason).or_default() += 1;
                self.lost_difficulty += asked;
            }
            Outcome::Withheld => {
                self.withheld += 1;
                self.withheld_difficulty += asked;
            }
        }
    }

    /// All refusals.
    pub fn rejected_total(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// All that were never answered.
    pub fn lost_total(&self) -> u64 {
        self.lost.values().sum()
    }

    /// The part of the shares found too late, by our own judgement or the pool's; `None` before the first.
    pub fn stale_rate(&self) -> Option<f64> {
        let late = self.stale + self.rejected.get(&RejectKind::Stale).copied().unwrap_or(0);
        let all = self.accepted + self.rejected_total() + self.stale;
        (all > 0).then(|| late as f64 / all as f64)
    }

    /// Adds the counters of another upstream.
    pub fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        for (kind, count) in &other.rejected {
            *self.rejected.entry(*kind).or_default() += count;
        }
        self.stale += other.stale;
        self.withheld += other.withheld;
        for (reason, count) in &other.lost {
            *self.lost.entry(*reason).or_default() += count;
        }
        self.accepted_difficulty += other.accepted_difficulty;
        self.rejected_difficulty += other.rejected_difficulty;
        self.stale_difficulty += other.stale_difficulty;
        self.withheld_difficulty += other.withheld_difficulty;
        self.lost_difficulty += other.lost_difficulty;
        self.best = self.best.max(other.best);
        self.blocks += other.blocks;
    }
}

/// Counters of one board.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BoardCounts {
    /// Hashes done.
    pub hashes: u64,
    /// Nonces that made a share.
    pub shares: u64,
    /// Nonces whose hash misses the board's own target, or whose version bits it had no leave to roll.
    pub hardware_errors: u64,
    /// Nonces that came twice.
    pub duplicates: u64,
    /// Nonces of a chip job too old to be known.
    pub unknown: u64,
    /// Shares held back because there were too many a second.
    pub filtered: u64,
    /// Nonces the board threw away because nobody took them.
    pub overflowed: u64,
}

/// Hashes over time: a mean that forgets with a time constant, and the mean since the start.
#[derive(Debug, Clone)]
pub struct RateMeter {
    started: Instant,
    last: Instant,
    total: u64,
    fading: f64,
}

/// Time constant of the fading mean: two thirds of it come from the last ten seconds.
const FADE: f64 = 10.0;

impl RateMeter {
    /// A meter that starts now.
    pub fn new(now: Instant) -> Self {
        Self { started: now, last: now, total: 0, fading: 0.0 }
    }

    /// Hashes done since the last call.
    pub fn count(&mut self, hashes: u64, now: Instant) {
        self.total += hashes;
        self.fading = self.faded(now) + hashes as f64 / FADE;
        self.last = now;
    }

    /// The rate of about the last ten seconds; of all the time while that is shorter.
    pub fn recent(&self, now: Instant) -> HashRate {
        let filled = 1.0 - (-now.duration_since(self.started).as_secs_f64() / FADE).exp();
        HashRate(if filled > 0.0 { self.faded(now) / filled } else { 0.0 })
    }

    /// The rate of about the last ten seconds, or `expected` until a second has been measured.
    pub fn measured_or(&self, expected: HashRate, now: Instant) -> HashRate {
        let is_measured = self.total > 0 && self.last.duration_since(self.started).as_secs_f64() >= 1.0;
        if is_measured { self.recent(now) } else { expected }
    }

    /// The rate since the start.
    pub fn mean(&self, now: Instant) -> HashRate {
        HashRate::over(self.total as f64, now.duration_since(self.started))
    }

    fn faded(&self, now: Instant) -> f64 {
        self.fading * (-now.duration_since(self.last).as_secs_f64() / FADE).exp()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_steady_rate_is_read_as_what_it_is_from_the_first_second_on() {
        let start = Instant::now();
        let mut meter = RateMeter::new(start);
        for second in 1..=100 {
            let now = start + Duration::from_secs(second);
            meter.count(1000, now);
            let recent = meter.recent(now).0;
            assert!((900.0..1100.0).contains(&recent), "{recent} after {second} s");
            assert_eq!(meter.mean(now), HashRate(1000.0));
        }
        let idle = start + Duration::from_secs(200);
        assert!(meter.recent(idle).0 < 1.0, "ten time constants later nothing is left");
    }
}
