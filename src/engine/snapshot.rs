//! The one read-only view of the engine that displays and summaries are made from.

use std::ops::Add;
use std::time::{Duration, Instant};

use signalcore_drivers::BoardStatus;

use super::account::{Account, Times};
use super::advice::AdviceCounts;
use super::boards::{Board, BoardState};
use super::crosscheck::Verdict;
use super::gate::CheckCounts;
use super::meter::{BoardCounts, ShareCounts};
use super::odds::Odds;
use super::{BoardId, Engine, UpstreamId};
use crate::decision::{Counts, Earned, Record};
use crate::model::task::Condition;
use crate::validate::search_space_bits;
use crate::work::HashRate;

/// The engine at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Since the engine began.
    pub uptime: Duration,
    /// Whose work is hashed, in the operator's order.
    pub active: Vec<UpstreamId>,
    /// Of all boards, about the last ten seconds.
    pub recent_rate: HashRate,
    /// Of all boards since they joined.
    pub mean_rate: HashRate,
    /// By upstream, in the operator's order.
    pub upstreams: Vec<UpstreamSnapshot>,
    /// By board.
    pub boards: Vec<BoardSnapshot>,
    /// From reading a job's line to the last board's first batch on it.
    pub switches: Times,
    /// From losing the upstream in use to the last board's first batch on another's work.
    pub failovers: Times,
    /// How often the value rule decided what, also where it is not followed.
    pub decisions: Counts,
    /// What the time since the first job was worth, by the value rule.
    pub earned: Earned,
    /// Decisions since the last such view that was told, the oldest first, each with when it was made, from the beginning.
    pub records: Vec<(Duration, Record)>,
    /// What became of a model's advice.
    pub advice: AdviceCounts,
    /// What advice has cost today, up to its budget. Unit: ideal seconds.
    pub regret_spent: f64,
    /// How the model does, if there is one.
    pub model: Option<Condition>,
}

/// One upstream at one moment.
#[derive(Debug, Clone)]
pub struct UpstreamSnapshot {
    /// Over all its connections.
    pub account: Account,
    /// How long it has been connected in all.
    pub connected_for: Duration,
    /// What is held against it.
    pub verdict: Verdict,
    /// What the checks of its jobs came to.
    pub checks: CheckCounts,
    /// Headers that its newest job has for one ntime, as a power of two; `None` before the first.
    pub search_space_bits: Option<u32>,
    /// Whether it gives work.
    pub is_live: bool,
    /// Why it does not, where it should.
    pub failure: Option<String>,
    /// Its value rate: the share of an ideal second's revenue that a second of hashing for it earns.
    pub value: f64,
    /// How likely a block of ours is, and how many there were.
    pub odds: Odds,
    /// Bytes that came from it, over all its connections.
    pub bytes_read: u64,
    /// Bytes that went to it.
    pub bytes_written: u64,
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
    /// Its shares by how they ended.
    pub shares: ShareCounts,
    /// Whether it takes no work any more.
    pub is_gone: bool,
    /// How it stood when it last told; `None` for one that does not.
    pub status: Option<BoardStatus>,
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
        self.upstreams.iter().for_each(|upstream| totals.add(&upstream.account.shares));
        totals
    }
}

impl Engine {
    /// What there is to see now, but for the bytes, which the engine does not see, and the decisions.
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let board = |(id, board): (&BoardId, &Board)| BoardSnapshot {
            id: *id,
            name: board.name.clone(),
            recent_rate: board.rate.recent(now),
            mean_rate: board.rate.mean(now),
            counts: board.counts,
            shares: board.shares.clone(),
            is_gone: board.state == BoardState::Gone,
            status: board.status.clone(),
        };
        let boards: Vec<_> = self.boards.iter().map(board).collect();
        let sum = |rate: fn(&BoardSnapshot) -> HashRate| {
            HashRate(boards.iter().map(|board| rate(board).0).fold(0.0, f64::add))
        };
        let upstream = |(index, upstream): (usize, &super::upstreams::Upstream)| UpstreamSnapshot {
            value: self.value.decider().value(UpstreamId(index), now),
            odds: self.odds(UpstreamId(index), now),
            checks: self.gate.counts(UpstreamId(index)),
            search_space_bits: upstream.source.as_ref().map(|source| search_space_bits(&source.job)),
            account: upstream.account.clone(),
            connected_for: upstream.account.connected_for(now),
            verdict: upstream.verdict.clone(),
            is_live: upstream.is_live(),
            failure: upstream.failure().map(str::to_owned),
            bytes_read: 0,
            bytes_written: 0,
        };
        Snapshot {
            uptime: now.duration_since(self.started),
            active: self.active.clone(),
            recent_rate: sum(|board| board.recent_rate),
            mean_rate: sum(|board| board.mean_rate),
            upstreams: self.upstreams.iter().enumerate().map(upstream).collect(),
            switches: self.switches.clone(),
            failovers: self.failovers.clone(),
            decisions: self.value.decider().counts(),
            earned: self.value.decider().earned(now),
            records: Vec::new(),
            advice: self.advice_counts(),
            regret_spent: self.value.decider().regret_spent(now),
            model: None,
            boards,
        }
    }

    /// Those of the last 1000 decisions that came after so many others, the oldest first, each with when it was made, from
    /// the beginning; and how many there have been in all.
    pub fn decisions_after(&self, told: u64) -> (Vec<(Duration, Record)>, u64) {
        let decider = self.value.decider();
        let dated = |record: &Record| (record.at.saturating_duration_since(self.started), record.clone());
        (decider.records_after(told).map(dated).collect(), decider.written())
    }

    /// Hash rate of all boards, about the last ten seconds.
    pub fn recent_rate(&self, now: Instant) -> HashRate {
        HashRate(self.boards.values().map(|board| board.rate.recent(now).0).fold(0.0, f64::add))
    }

    /// What an upstream is hashed for with by the strategy, or would be if it were its turn.
    pub fn rate_for(&self, upstream: UpstreamId, now: Instant) -> HashRate {
        let boards = self.boards.values().filter(|board| board.state != BoardState::Gone);
        let total = boards.map(|board| board.likely_rate(now).0).fold(0.0, f64::add);
        let is_shared = self.strategy.is_shared();
        HashRate(if is_shared { total * self.ledger.part(upstream, &self.active) } else { total })
    }

    /// Accepted blocks of all upstreams.
    pub fn blocks(&self) -> u64 {
        self.upstreams.iter().map(|upstream| upstream.account.shares.blocks).sum()
    }

    /// Shares of all upstreams by how they ended.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for shares in self.upstreams.iter().map(|upstream| &upstream.account.shares) {
            tally.accepted += shares.accepted;
            tally.rejected += shares.rejected_total();
            tally.stale += shares.stale;
            tally.lost += shares.lost_total();
        }
        tally
    }
}
