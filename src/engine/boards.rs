//! A board as the engine knows it.

use std::time::{Duration, Instant};

use signalcore_drivers::BoardStatus;

use super::UpstreamId;
use super::chips::ChipWatch;
use super::flush_cost::FlushCost;
use super::meter::{BoardCounts, RateMeter, ShareCounts};
use crate::work::{Difficulty, HashRate};

/// What is known of a board before it hashes.
#[derive(Debug, Clone, PartialEq)]
pub struct BoardAbout {
    /// Its name.
    pub name: String,
    /// What it is made of.
    pub detail: String,
    /// What it should reach.
    pub expected_rate: HashRate,
}

/// One board.
#[derive(Debug)]
pub(super) struct Board {
    /// Its name.
    pub(super) name: String,
    /// What it should reach.
    pub(super) expected_rate: HashRate,
    /// What it does.
    pub(super) rate: RateMeter,
    /// What it has done.
    pub(super) counts: BoardCounts,
    /// Its shares by how they ended.
    pub(super) shares: ShareCounts,
    /// How it stood when it last told.
    pub(super) status: Option<BoardStatus>,
    /// What its chips have given, one beside the other.
    pub(super) chips: ChipWatch,
    /// What it can take.
    pub(super) state: BoardState,
    /// Whom it gets work of.
    pub(super) upstream: Option<UpstreamId>,
    /// Whose work it has begun.
    pub(super) hashing_for: Option<UpstreamId>,
    /// When it is given to the upstream that needs it most, where hashing is shared.
    pub(super) slice_ends: Option<Instant>,
    /// When it last asked for more work, and how long before it had asked the time before.
    asked_at: Option<Instant>,
    asked_after: Option<Duration>,
    /// What a change of work costs it.
    pub(super) flush: FlushCost,
    /// The pool difficulty below which it was last told that the board reports less.
    pub(super) ceiling_told: Option<Difficulty>,
}

/// What a board can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BoardState {
    /// It takes work.
    Ready,
    /// It idles for want of unused work and shall get some as soon as there is.
    Starved,
    /// It is no more; only its counters are.
    Gone,
}

impl Board {
    /// A board that has no work yet.
    pub(super) fn new(about: &BoardAbout, now: Instant) -> Self {
        Self {
            name: about.name.clone(),
            expected_rate: about.expected_rate,
            rate: RateMeter::new(now),
            counts: BoardCounts::default(),
            shares: ShareCounts::default(),
            status: None,
            chips: ChipWatch::default(),
            state: BoardState::Ready,
            upstream: None,
            hashing_for: None,
            slice_ends: None,
            asked_at: None,
            asked_after: None,
            flush: FlushCost::default(),
            ceiling_told: None,
        }
    }

    /// What it does, or should do until that is known.
    pub(super) fn likely_rate(&self, now: Instant) -> HashRate {
        self.rate.measured_or(self.expected_rate, now)
    }

    /// It asks for more work.
    pub(super) fn asked(&mut self, now: Instant) {
        self.asked_after = self.asked_at.map(|before| now.saturating_duration_since(before));
        self.asked_at = Some(now);
    }

    /// How often it takes new work by itself, when it did so within `limit`.
    pub(super) fn rhythm(&self, limit: Duration, now: Instant) -> Option<Duration> {
        let is_recent = self.asked_at.is_some_and(|at| now.saturating_duration_since(at) < limit);
        self.asked_after.filter(|_| is_recent).map(|after| after.min(limit))
    }

    /// Hashes it will do until its slice is over.
    pub(super) fn promised(&self, now: Instant) -> f64 {
        let left = self.slice_ends.map_or(0.0, |end| end.saturating_duration_since(now).as_secs_f64());
        self.likely_rate(now).0 * left
    }
}
