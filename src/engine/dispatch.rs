//! A job and an extranonce2 to one chip job per board.

use std::sync::Arc;
use std::time::{Duration, Instant};

use signalcore_drivers::{ChipJob, ChipJobId};

use super::BoardId;
use crate::validate::Verdict;
use crate::validate::context::Sent;
use crate::validate::digest::{Changed, Origin, fits, intact};
use crate::work::extranonce::WorkDigest;
use crate::work::{Extranonce2Allocator, HashRate, Job, Target, Work};

/// Nonces a second that a board is let report at most: well below what pools take (50 shares a second) and what the
/// board's channel holds, and far above what anybody needs to see.
const NONCES_PER_SECOND: f64 = 30.0;

/// Furthest that ntime runs ahead of its job. Pools allow 600 s at least where they look.
const MAX_NTIME_ROLL: u32 = 600;

/// The running job of one upstream and how far its space is used up.
#[derive(Debug)]
pub struct Source {
    /// The job.
    pub job: Arc<Job>,
    /// When its line was read.
    pub arrived: Instant,
    /// What the checks found when it came.
    pub verdict: Verdict,
    origin: Origin,
    ntime: u32,
    digest: WorkDigest,
    is_used_up: bool,
}

impl Source {
    /// A job that was read at `arrived` and passed with this verdict.
    pub fn new(job: Arc<Job>, arrived: Instant, verdict: Verdict, origin: Origin) -> Self {
        let ntime = job.header.ntime;
        Self { digest: job.digest(ntime), job, arrived, verdict, origin, ntime, is_used_up: false }
    }

    /// Work that no board has had yet: the next extranonce2, or, once these are used up, the next second of ntime as
    /// it truly passes. `None` when all of it has been handed out; ask again at [`Self::next_second`].
    pub fn next_work(&mut self, extranonces: &mut Extranonce2Allocator, now: Instant) -> Option<Work> {
        loop {
            let size = self.job.coinbase.extranonce2_size;
            if let Some(extranonce2) = extranonces.allocate(&self.digest, size) {
                return Some(Work::new(Arc::clone(&self.job), extranonce2, self.ntime));
            }
            let Some(next_second) = self.next_second() else {
                self.is_used_up = true;
                return None;
            };
            if now < next_second {
                return None;
            }
            self.ntime += 1;
            self.digest = self.job.digest(self.ntime);
        }
    }

    /// Check 7000, whether a board has had this work (`holder`), and 15000, whether it is of the job as it was received, which
    /// is left out below that level. Errors: either; memory has changed, or is not what we think.
    pub fn check(&self, work: &Work, holder: Option<BoardId>, now: Instant) -> Result<(), Changed> {
        if let Some(BoardId(board)) = holder {
            return Err(Changed::Repeated { board });
        }
        let Some(stamp) = &self.verdict.stamp else { return Ok(()) };
        intact(&self.job, self.origin, stamp)?;
        let sent = Sent {
            header: work.header(self.job.header.version, 0),
            extranonce2: *work.extranonce2(),
            elapsed: now.saturating_duration_since(self.arrived),
        };
        // Its own time was held against the clock when it came, and from there it only moves with the seconds.
        fits(&self.job, &sent, None)
    }

    /// Whether all of it has been handed out, for good.
    pub fn is_used_up(&self) -> bool {
        self.is_used_up
    }

    /// When one more second of ntime may be used; `None` when none may.
    pub fn next_second(&self) -> Option<Instant> {
        let rolled = self.ntime.wrapping_sub(self.job.header.ntime);
        let may_roll = rolled < MAX_NTIME_ROLL && self.ntime < u32::MAX;
        may_roll.then(|| self.arrived + Duration::from_secs(u64::from(rolled) + 1))
    }
}

/// What a board of this rate shall report: everything that is worth hearing of, unless that were too much to tell.
pub fn chip_target(work: &Work, rate: HashRate) -> Target {
    work.target().min(rate.target_for(NONCES_PER_SECOND))
}

/// The header of `work` for a board.
pub fn chip_job(id: ChipJobId, work: &Work, target: Target) -> ChipJob {
    let job = work.job();
    let header = work.header(job.header.version, 0);
    ChipJob {
        id,
        version: header.version,
        prev_hash: header.prev_hash,
        merkle_root: header.merkle_root,
        ntime: header.ntime,
        nbits: header.nbits,
        version_mask: job.version_mask.rollable(header.version),
        target: target.to_le_bytes(),
    }
}
