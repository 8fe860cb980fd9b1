//! From a chip job's id back to the work it stood for. Stale and repeated nonces end here.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use signalcore_drivers::ChipJobId;

use super::{BoardId, UpstreamId};
use crate::validate::digest::Stamp;
use crate::work::{Target, Work};

/// Chip jobs remembered per board. A chip answers for the job before last at most, within milliseconds; at the 35 jobs
/// a second of the hungriest chip this is two seconds.
const REMEMBERED: usize = 64;

/// Nonces remembered per chip job to tell repeats. The dispatcher aims at some tens a second and board, so this is
/// minutes of them; a board that brings more has its further ones taken for repeats.
const NONCES_REMEMBERED: usize = 16_384;

/// What one chip job stands for.
#[derive(Debug)]
pub struct Dispatched {
    /// Who wants its shares.
    pub upstream: UpstreamId,
    /// The work.
    pub work: Work,
    /// What the board was told to report: a hash above it is the board's error.
    pub chip_target: Target,
    /// Where it moved the board from one job to another: when that could first be known, the arrival of the job or the
    /// turn to another upstream.
    pub switch_began: Option<Instant>,
    /// Of its job as it came, where changes of it are to show.
    pub stamp: Option<Stamp>,
    seen: HashSet<(u32, u32)>,
}

impl Dispatched {
    /// Work that a board was just given.
    pub fn new(upstream: UpstreamId, work: Work, chip_target: Target, switch_began: Option<Instant>) -> Self {
        Self { upstream, work, chip_target, switch_began, stamp: None, seen: HashSet::new() }
    }

    /// With the stamp of its job.
    #[must_use]
    pub fn stamped(self, stamp: Option<Stamp>) -> Self {
        Self { stamp, ..self }
    }

    /// Notes a nonce with its version; false if it was there before.
    pub fn is_new(&mut self, nonce: u32, version: u32) -> bool {
        self.seen.len() < NONCES_REMEMBERED && self.seen.insert((nonce, version))
    }
}

/// The recent chip jobs of every board.
#[derive(Debug, Default)]
pub struct InFlight {
    boards: HashMap<BoardId, VecDeque<(ChipJobId, Dispatched)>>,
}

impl InFlight {
    /// A board was given a chip job.
    pub fn insert(&mut self, board: BoardId, id: ChipJobId, dispatched: Dispatched) {
        let jobs = self.boards.entry(board).or_default();
        if jobs.len() == REMEMBERED {
            jobs.pop_front();
        }
        jobs.push_back((id, dispatched));
    }

    /// What the board means by `id`; `None` when it is forgotten or was never that board's.
    pub fn find(&mut self, board: BoardId, id: ChipJobId) -> Option<&mut Dispatched> {
        let jobs = self.boards.get_mut(&board)?;
        jobs.iter_mut().rev().find(|(known, _)| *known == id).map(|(_, dispatched)| dispatched)
    }

    /// What the board was given last.
    pub fn newest(&self, board: BoardId) -> Option<&Dispatched> {
        self.boards.get(&board)?.back().map(|(_, dispatched)| dispatched)
    }

    /// The id of what the board was given last.
    pub fn newest_id(&self, board: BoardId) -> Option<ChipJobId> {
        self.boards.get(&board)?.back().map(|(id, _)| *id)
    }

    /// The board that has the same work: extranonce2 and time of the same job.
    pub fn holder(&self, work: &Work) -> Option<BoardId> {
        let is_same = |known: &Work| {
            Arc::ptr_eq(known.job(), work.job())
                && (known.extranonce2(), known.ntime()) == (work.extranonce2(), work.ntime())
        };
        let has_it = |jobs: &VecDeque<(ChipJobId, Dispatched)>| {
            jobs.iter().any(|(_, dispatched)| is_same(&dispatched.work))
        };
        self.boards.iter().find(|(_, jobs)| has_it(jobs)).map(|(board, _)| *board)
    }

    /// A board is gone.
    pub fn forget(&mut self, board: BoardId) {
        self.boards.remove(&board);
    }
}
