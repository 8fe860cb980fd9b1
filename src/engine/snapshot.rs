//! The one read-only view of the engine that displays and summaries are made from.

use std::ops::Add;
use std::time::{Duration, Instant};

use super::meter::{BoardCounts, ShareCounts, SwitchTimes};
use super::{BoardId, Engine, UpstreamId};
use crate::work::HashRate;

/// The engine at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Since the engine began.
    pub uptime: Duration,
    /// Whose work is hashed.
    pub current: Option<UpstreamId>,
    /// Of all boards, about the last ten seconds.
    pub recent_rate: HashRate,
    /// Of all boards since they joined.
    pub mean_rate: HashRate,
    /// By upstream, in the operator's order.
    pub upstreams: Vec<ShareCounts>,
    /// By board.
    pub boards: Vec<BoardSnapshot>,
    /// From reading a job's line to the first batch on it.
    pub switches: SwitchTimes,
}

/// One board at one moment.
#[derive(Debug, Clone)]
pub struct BoardSnapshot {
    /// Which.
    pub id: BoardId,
    /// Its name.
    pub name: String,
    /// About the last ten seconds.
    pub recent_rate: HashRate,
    /// Since it joined.
    pub mean_rate: HashRate,
    /// Its counters.
    pub counts: BoardCounts,
}

/// Shares by how they ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// The pool took them.
    pub accepted: u64,
    /// The pool refused them.
    pub rejected: u64,
    /// Not sent, because their job had been replaced.
    pub stale: u64,
    /// Never answered.
    pub lost: u64,
}

impl Snapshot {
    /// All upstreams together.
    pub fn totals(&self) -> ShareCounts {
        let mut totals = ShareCounts::default();
        self.upstreams.iter().for_each(|counts| totals.add(counts));
        totals
    }
}

impl Engine {
    /// What there is to see now.
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let board = |(id, board): (&BoardId, &super::Board)| BoardSnapshot {
            id: *id,
            name: board.name.clone(),
            recent_rate: board.rate.recent(now),
            mean_rate: board.rate.mean(now),
            counts: board.counts,
        };
        let boards: Vec<_> = self.boards.iter().map(board).collect();
        let sum = |rate: fn(&BoardSnapshot) -> HashRate| {
            HashRate(boards.iter().map(|board| rate(board).0).fold(0.0, f64::add))
        };
        Snapshot {
            uptime: now.duration_since(self.started),
            current: self.current,
            recent_rate: sum(|board| board.recent_rate),
            mean_rate: sum(|board| board.mean_rate),
            upstreams: self.upstreams.iter().map(|upstream| upstream.counts.clone()).collect(),
            switches: self.switches.clone(),
            boards,
        }
    }

    /// Hash rate of all boards, about the last ten seconds.
    pub fn recent_rate(&self, now: Instant) -> HashRate {
        HashRate(self.boards.values().map(|board| board.rate.recent(now).0).fold(0.0, f64::add))
    }

    /// Shares of all upstreams by how they ended.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for upstream in &self.upstreams {
            tally.accepted += upstream.counts.accepted;
            tally.rejected += upstream.counts.rejected_total();
            tally.stale += upstream.counts.stale;
            tally.lost += upstream.counts.lost;
        }
        tally
    }
}
