//! A small board that hashes for the runner-up a part of the time, where the operator wants that: what is not hashed for is
//! known by its lag and its jobs alone, and never by how it treats shares.

use std::time::{Duration, Instant};

use super::policy::Strategy;
use super::{BoardId, BoardState, Engine, UpstreamId};
use crate::decision::quota;

/// The canary, where one is wanted.
#[derive(Debug, Default)]
pub(super) struct Canary {
    terms: Option<quota::Canary>,
    /// Which board is out, and for whom.
    out: Option<(BoardId, UpstreamId)>,
    /// When it goes out or comes back.
    turns_at: Option<Instant>,
}

impl Canary {
    pub(super) fn new(is_wanted: bool) -> Self {
        Self { terms: is_wanted.then(quota::Canary::default), ..Self::default() }
    }

    /// Whom a board hashes for as a canary.
    pub(super) fn upstream_of(&self, board: BoardId) -> Option<UpstreamId> {
        self.out.filter(|(out, _)| *out == board).map(|(_, upstream)| upstream)
    }

    /// Whether an upstream has it.
    pub(super) fn has(&self, upstream: UpstreamId) -> bool {
        self.out.is_some_and(|(_, out)| out == upstream)
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.turns_at
    }
}

impl Engine {
    /// Sends the canary out, or calls it back.
    pub(super) fn steer_canary(&mut self, now: Instant) {
        let Some(terms) = self.canary.terms.filter(|_| self.strategy == Strategy::Value && !self.is_stopped)
        else {
            return;
        };
        let running = now.saturating_duration_since(self.started);
        self.canary.turns_at = Some(now + terms.until_turn(running));
        let next = if terms.is_out(running) { self.canary_flight(&terms, now) } else { None };
        let before = std::mem::replace(&mut self.canary.out, next);
        if before == next {
            return;
        }
        if let Some((_, upstream)) = next {
            self.upstreams.find_mut(upstream).promote(true); // nobody has taken up its jobs so far
        }
        for board in [before, next].into_iter().flatten().map(|(board, _)| board) {
            if self.assign(board, now) {
                self.dispatch(board, now);
            }
        }
    }

    /// Which board may go where now: whom it has while that is worth anything, else the best of the others.
    fn canary_flight(&self, terms: &quota::Canary, now: Instant) -> Option<(BoardId, UpstreamId)> {
        let [hashed_for] = self.active[..] else { return None };
        let ready: Vec<_> = self
            .boards
            .iter()
            .filter(|(_, board)| board.state != BoardState::Gone)
            .map(|(id, _)| *id)
            .collect();
        let rates: Vec<_> = ready.iter().map(|id| self.boards[id].likely_rate(now).0).collect();
        let board = ready[terms.board(&rates)?];
        let candidates = self.value.decider().candidates(now);
        let may = |id: UpstreamId| {
            id != hashed_for && candidates.iter().any(|it| it.upstream == id && it.value > 0.0 && !it.alarm)
        };
        let stays = self.canary.upstream_of(board).filter(|upstream| may(*upstream));
        let upstream = stays.or_else(|| candidates.iter().map(|it| it.upstream).find(|id| may(*id)))?;
        Some((board, upstream))
    }
}

/// Until a canary is looked after again.
const LOOK_AFTER: Duration = Duration::from_secs(60);

impl quota::Canary {
    fn until_turn(&self, running: Duration) -> Duration {
        let period = self.period.max(Duration::from_secs(1));
        let into = Duration::from_nanos((running.as_nanos() % period.as_nanos()) as u64);
        let turn = if into < self.duty { self.duty } else { period };
        turn.saturating_sub(into).clamp(Duration::from_millis(1), LOOK_AFTER)
    }
}
