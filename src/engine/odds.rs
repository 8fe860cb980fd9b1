//! How lucky our hashing is: the blocks in it against those that so many hashes have on average. Nothing is decided by it; what
//! is missing for too long is told, for boards can err where only a block shows it.
//!
//! What others find in a pool is not known: Stratum carries neither its rate nor its blocks.

use std::time::Instant;

use super::{BoardId, Engine, Report, UpstreamId};
use crate::decision::luck::{Luck, LuckWatch};
use crate::work::{HashRate, Job, Share, Target};

/// A board that finds more blocks a second is not counted: it would be asked for a part of them only, and lose others to each
/// change of work. Private chains are like that.
const MOST_A_SECOND: f64 = 0.1;

/// What is kept of one upstream.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Chances {
    watch: LuckWatch,
    /// What a block was when it was last hashed for.
    target: Option<Target>,
}

/// The odds of one upstream.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Odds {
    /// Since the engine began.
    pub luck: Luck,
    /// Mean seconds to a block of its newest job at the present rate; `None` without a job or a rate.
    pub seconds: Option<f64>,
}

impl Odds {
    /// The chance of a block within a day, 0 to 1; `None` without a job or a rate.
    pub fn within_a_day(&self) -> Option<f64> {
        const DAY: f64 = 86_400.0;
        self.seconds.map(|seconds| -(-DAY / seconds).exp_m1())
    }
}

impl Engine {
    /// A board has done so many hashes for an upstream.
    pub(super) fn count_chances(&mut self, board: BoardId, upstream: UpstreamId, hashes: u64, now: Instant) {
        let newest = self.in_flight.newest(board).filter(|newest| newest.upstream == upstream);
        let Some(job) = newest.map(|newest| newest.work.job()) else { return };
        let (counted, chances) = (self.counted(board, job, now), &mut self.chances[upstream.0]);
        chances.target = job.network_target.or(chances.target);
        let Some(target) = counted else { return };
        if let Some(luck) = chances.watch.expect(HashRate(hashes as f64).finds(&target)) {
            self.report(Report::Unlucky(upstream, luck));
        }
    }

    /// A board has found a block.
    pub(super) fn count_block(&mut self, board: BoardId, upstream: UpstreamId, share: &Share, now: Instant) {
        if self.counted(board, share.job(), now).is_some() {
            self.chances[upstream.0].watch.found();
        }
    }

    /// How it stands with an upstream.
    pub(super) fn odds(&self, upstream: UpstreamId, now: Instant) -> Odds {
        let newest = self.upstreams.find(upstream).source.as_ref();
        let chances = &self.chances[upstream.0];
        let target = newest.and_then(|source| source.job.network_target).or(chances.target);
        let rate = match self.rate_for(upstream, now) {
            // At the end all boards are gone; how likely it was is told by what they did.
            HashRate(rate) if rate <= 0.0 => {
                HashRate(self.boards.values().map(|board| board.rate.mean(now).0).sum())
            }
            rate => rate,
        };
        let a_second = target.map(|target| rate.finds(&target));
        let seconds = a_second.filter(|a_second| *a_second > 0.0).map(f64::recip);
        Odds { luck: chances.watch.total(), seconds }
    }

    /// What a block of a job is, where those of this board are counted.
    fn counted(&self, board: BoardId, job: &Job, now: Instant) -> Option<Target> {
        let target = job.network_target?;
        let a_second = self.boards.get(&board)?.likely_rate(now).finds(&target);
        (a_second <= MOST_A_SECOND).then_some(target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_finds_a_block_a_day_on_average_finds_one_within_a_day_in_63_of_100() {
        let within = |seconds| Odds { seconds, ..Odds::default() }.within_a_day();
        assert_eq!(within(None), None);
        assert!((within(Some(86_400.0)).unwrap() - 0.632_120_558_8).abs() < 1e-9);
        assert!(
            (within(Some(86_400e9)).unwrap() / 1e-9 - 1.0).abs() < 1e-6,
            "small ones are not rounded away"
        );
        assert_eq!(within(Some(1e-300)), Some(1.0));
    }
}
