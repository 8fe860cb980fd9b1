//! What the decider has chosen, done: whom is hashed for, and which boards change over when.

use std::time::Instant;

use super::boards::Board;
use super::policy::Strategy;
use super::value::RHYTHM;
use super::{Engine, Report, UpstreamId};
use crate::decision::{Action, Decision, Reason};

impl Engine {
    /// Does what was decided.
    pub(super) fn carry_out(&mut self, decisions: &[Decision], now: Instant) {
        while let Some(warning) = self.value.decider_mut().poll_warning() {
            self.report(Report::Warned(warning));
        }
        if !self.is_stopped {
            self.follow(decisions, now);
        }
        // A model can wait until the boards have their work.
        self.tell_moment();
    }

    fn follow(&mut self, decisions: &[Decision], now: Instant) {
        let mut next = self.active.clone();
        let (mut cause, mut newer) = (None, Vec::new());
        for decision in decisions {
            match decision.action {
                Action::Keep => {}
                Action::Boundary(upstream, job) => {
                    self.upstreams.find_mut(upstream).promote(false);
                    self.value.decider_mut().taken(job);
                    newer.push((upstream, false));
                }
                Action::Flush(upstream, _) => {
                    self.upstreams.find_mut(upstream).promote(true);
                    if self.active.contains(&upstream) {
                        newer.push((upstream, true));
                        continue;
                    }
                    if !self.strategy.is_shared() {
                        next.clear();
                    }
                    next.push(upstream);
                    cause.get_or_insert(decision.reason);
                }
                Action::Close(upstream) => {
                    next.retain(|active| *active != upstream);
                    cause = Some(decision.reason);
                }
                Action::Idle => {
                    next.clear();
                    cause = Some(decision.reason);
                }
            }
        }
        next.sort_unstable();
        if next != self.active {
            self.switch_over(next, cause, now);
        }
        // Last: what is found wrong with a job there leads to decisions of its own.
        for (upstream, flush) in newer {
            self.hand_on(upstream, flush, now);
        }
        if self.strategy == Strategy::Failover {
            self.update_wanted(now);
        }
    }

    /// Gives the newest job of an upstream to its boards that lack it, or later when jobs come too thick. Without `flush`
    /// those whose work ends by itself take it then.
    pub(super) fn hand_on(&mut self, upstream: UpstreamId, flush: bool, now: Instant) {
        let flush = flush || self.paces[upstream.0].flush_waits;
        let newest = self.upstreams.find(upstream).source.as_ref().map(|source| &source.job);
        let lacks_it = |board: super::BoardId, place: &Board| {
            let has = self.in_flight.newest(board).map(|dispatched| dispatched.work.job());
            place.upstream == Some(upstream)
                && !newest.zip(has).is_some_and(|(newest, has)| std::sync::Arc::ptr_eq(newest, has))
        };
        let is_idle = |place: &Board| place.state == super::BoardState::Starved;
        let takes_it_now = |place: &Board| flush || is_idle(place) || place.rhythm(RHYTHM, now).is_none();
        let boards = self.boards.iter().filter(|(_, place)| place.state != super::BoardState::Gone);
        let lack = boards.filter(|(id, place)| takes_it_now(place) && lacks_it(**id, place));
        let lack: Vec<_> = lack.map(|(id, _)| *id).collect();
        let is_made = if lack.is_empty() {
            self.paces[upstream.0].clear();
            true
        } else {
            self.paces[upstream.0].take(now)
        };
        self.paces[upstream.0].flush_waits = flush && !is_made;
        if is_made {
            for board in lack {
                self.dispatch(board, now);
            }
        }
    }

    /// Others are hashed for than before.
    fn switch_over(&mut self, to: Vec<UpstreamId>, cause: Option<Reason>, now: Instant) {
        let from = std::mem::replace(&mut self.active, to.clone());
        self.note_left(&from);
        let left = from.iter().find(|id| !to.contains(id)).copied();
        let joined = to.iter().find(|id| !from.contains(id)).copied();
        let reason = self.upstreams.reason(left, joined, cause);
        if self.strategy == Strategy::LoadBalance {
            self.ledger.level(&to);
        }
        self.report(Report::Switched { from, to: to.clone(), reason });
        self.steer_canary(now);
        if to.is_empty() {
            return self.idle_all();
        }
        // Where hashing is shared, who stays keeps its boards until their slices end.
        let is_shared = self.strategy.is_shared();
        let must_move = |board: &Board| !is_shared || board.upstream.is_none_or(|id| !to.contains(&id));
        for board in self.boards_where(must_move) {
            self.assign(board, now);
            self.dispatch(board, now);
        }
        self.left_at = None;
        if to.len() > 1 {
            let whole = self.boards.values_mut().filter(|board| board.slice_ends.is_none());
            whole.for_each(|board| board.slice_ends = Some(now));
        }
    }

    /// Since when nobody of these gives work: changes of work that follow are failovers.
    pub(super) fn note_left(&mut self, from: &[UpstreamId]) {
        if !from.is_empty() || self.left_at.is_none() {
            self.left_at = self.upstreams.all_lost_at(from).filter(|_| !from.is_empty());
        }
    }
}
