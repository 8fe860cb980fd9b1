//! What the boards do, and since when: all of them the same, or a part for each upstream where hashing is shared.

use std::time::{Duration, Instant};

use super::input::{JobFacts, JobKey, UpstreamId};
use super::output::Worthless;
use super::upstream::Offer;

/// A job that is hashed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Running {
    pub(super) upstream: UpstreamId,
    pub(super) facts: JobFacts,
    /// When it came.
    pub(super) since: Instant,
    /// Chance that the pool refuses its shares, once a clean notify on its parent has come.
    pub(super) refusal: Option<f64>,
    /// Why it is worth nothing whatever its parent.
    pub(super) void: Option<Worthless>,
    /// Since when its upstream has been on another block.
    pub(super) overtaken: Option<Instant>,
}

impl Running {
    pub(super) fn new(upstream: UpstreamId, offer: Offer) -> Self {
        Self { upstream, facts: offer.facts, since: offer.since, refusal: None, void: None, overtaken: None }
    }
}

/// What some of the boards do.
#[derive(Debug, Clone, Default)]
pub(super) struct Lane {
    pub(super) running: Option<Running>,
    /// What is taken at the boundary, and when that is.
    pub(super) pending: Option<(Running, Instant)>,
    /// The last change of jobs that voids shares on their way.
    pub(super) switched_at: Option<Instant>,
    /// The last change of upstreams.
    pub(super) turned_at: Option<Instant>,
    pub(super) was_worthless: bool,
}

impl Lane {
    /// What waits for the boundary runs from there on.
    pub(super) fn advance(&mut self, now: Instant) {
        if self.pending.as_ref().is_some_and(|(_, at)| now >= *at) {
            self.take_pending();
        }
    }

    pub(super) fn take_pending(&mut self) {
        if let Some((pending, _)) = self.pending.take() {
            self.running = Some(pending);
        }
    }

    pub(super) fn is_pending(&self, job: JobKey) -> bool {
        self.pending.as_ref().is_some_and(|(pending, _)| pending.facts.key == job)
    }

    pub(super) fn clear(&mut self) {
        (self.pending, self.running) = (None, None);
    }
}

/// What all of the boards do.
#[derive(Debug, Clone)]
pub(super) struct Hashing {
    /// One, or where hashing is shared one for each upstream.
    pub(super) lanes: Vec<Lane>,
    /// The last move for gain.
    pub(super) moved_at: Option<Instant>,
    /// Gains were last weighed then.
    pub(super) weighed_at: Option<Instant>,
    /// Nothing has been worth hashing since then.
    pub(super) nothing_since: Option<Instant>,
    /// When each upstream was last hashed for.
    pub(super) used: Vec<Option<Instant>>,
    /// The last one that was turned to.
    pub(super) last: Option<UpstreamId>,
    /// When its turn ends.
    pub(super) turn_ends: Option<Instant>,
}

impl Hashing {
    pub(super) fn new(upstreams: usize, is_shared: bool) -> Self {
        Self {
            lanes: vec![Lane::default(); if is_shared { upstreams.max(1) } else { 1 }],
            moved_at: None,
            weighed_at: None,
            nothing_since: None,
            used: vec![None; upstreams],
            last: None,
            turn_ends: None,
        }
    }

    fn place(&self, upstream: UpstreamId) -> usize {
        upstream.0.min(self.lanes.len() - 1)
    }

    /// The lane that would hash for an upstream.
    pub(super) fn lane(&self, upstream: UpstreamId) -> &Lane {
        &self.lanes[self.place(upstream)]
    }

    pub(super) fn lane_mut(&mut self, upstream: UpstreamId) -> &mut Lane {
        let place = self.place(upstream);
        &mut self.lanes[place]
    }

    /// What runs of an upstream.
    pub(super) fn running_of(&self, upstream: UpstreamId) -> Option<&Running> {
        self.lane(upstream).running.as_ref().filter(|running| running.upstream == upstream)
    }

    pub(super) fn running_mut(&mut self, upstream: UpstreamId) -> Option<&mut Running> {
        self.lane_mut(upstream).running.as_mut().filter(|running| running.upstream == upstream)
    }

    /// All that runs.
    pub(super) fn running(&self) -> impl Iterator<Item = &Running> {
        self.lanes.iter().filter_map(|lane| lane.running.as_ref())
    }

    /// Whether a job of an upstream is for boards that hash for it, or have nothing to hash.
    pub(super) fn is_ours(&self, upstream: UpstreamId) -> bool {
        self.lane(upstream).running.as_ref().is_none_or(|running| running.upstream == upstream)
    }

    /// Hashing goes over to an upstream, whose turn is so long.
    pub(super) fn turn_to(&mut self, upstream: UpstreamId, turn: Option<Duration>, now: Instant) {
        self.last = Some(upstream);
        self.turn_ends = turn.map(|turn| now + turn);
    }
}
