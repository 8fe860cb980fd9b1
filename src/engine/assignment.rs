//! Which board hashes for which upstream, the chip job it gets, and when all boards have gone over to it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use signalcore_drivers::ChipJobId;

use super::boards::{Board, BoardState};
use super::inflight::Dispatched;
use super::{Action, BoardId, BoardReport, Engine, Report, dispatch};

/// Least and longest time for which a board hashes for one upstream where hashing is shared. What one slice gives too much
/// the next ones take back, so short ones keep the parts closer to what was asked.
const SHORTEST_SLICE: Duration = Duration::from_secs(2);
const LONGEST_SLICE: Duration = Duration::from_secs(60);
/// A slice takes so many times what a change of work costs: a thousandth is lost.
const SLICE_IN_CHANGES: u32 = 1000;

/// A change of work that has not reached all boards.
#[derive(Debug)]
pub(super) struct Switch {
    began: Instant,
    waiting: BTreeSet<BoardId>,
    is_failover: bool,
}

impl Engine {
    /// Gives a board to the upstream that shall have it. True when that is another than before.
    pub(super) fn assign(&mut self, board: BoardId, now: Instant) -> bool {
        let active = &self.active;
        let promised = |upstream| {
            let others =
                self.boards.iter().filter(|(id, other)| **id != board && other.upstream == Some(upstream));
            others.map(|(_, other)| other.promised(now)).sum()
        };
        let upstream = match active[..] {
            _ if self.canary.upstream_of(board).is_some() => self.canary.upstream_of(board),
            [one] => Some(one),
            _ => self.ledger.neediest(active, promised),
        };
        let slice_ends = (active.len() > 1).then(|| now + self.slice(now));
        let Some(place) = self.boards.get_mut(&board) else { return false };
        place.slice_ends = slice_ends;
        std::mem::replace(&mut place.upstream, upstream) != upstream
    }

    /// How long a board hashes for one upstream at a time where hashing is shared: long beside what a change costs.
    fn slice(&self, now: Instant) -> Duration {
        self.flush_cost(now).saturating_mul(SLICE_IN_CHANGES).clamp(SHORTEST_SLICE, LONGEST_SLICE)
    }

    pub(super) fn boards_where(&self, wanted: impl Fn(&Board) -> bool) -> Vec<BoardId> {
        let ready = self.boards.iter().filter(|(_, board)| board.state != BoardState::Gone);
        ready.filter(|(_, board)| wanted(board)).map(|(id, _)| *id).collect()
    }

    pub(super) fn dispatch_where(&mut self, now: Instant, wanted: impl Fn(&Board) -> bool) {
        for board in self.boards_where(wanted) {
            self.dispatch(board, now);
        }
    }

    pub(super) fn idle_all(&mut self) {
        for (id, board) in self.boards.iter_mut().filter(|(_, board)| board.state != BoardState::Gone) {
            (board.state, board.upstream, board.slice_ends) = (BoardState::Ready, None, None);
            self.outbox.push_back(Action::Dispatch(*id, None));
        }
    }

    /// Gives a board work that no board has had yet.
    pub(super) fn dispatch(&mut self, board: BoardId, now: Instant) {
        let Some(place) = self.boards.get_mut(&board).filter(|place| place.state != BoardState::Gone) else {
            return;
        };
        let Some(current) = place.upstream else { return };
        let upstream = self.upstreams.find_mut(current);
        let Some(source) = &mut upstream.source else {
            return self.outbox.push_back(Action::Dispatch(board, None));
        };
        let was_used_up = source.is_used_up();
        let work = source.next_work(&mut upstream.extranonces, now);
        if let Some(changed) =
            work.as_ref().and_then(|work| source.check(work, self.in_flight.holder(work), now).err())
        {
            return self.distrust(current, &changed, now);
        }
        let stamp = source.verdict.stamp;
        // Another pool may have some.
        if source.is_used_up() && !was_used_up {
            self.review_at = Some(now);
        }
        place.state = if work.is_some() { BoardState::Ready } else { BoardState::Starved };
        let chip_job = work.map(|work| {
            let id = ChipJobId(self.next_chip_job);
            self.next_chip_job += 1;
            let target = dispatch::chip_target(&work, place.likely_rate(now));
            let ceiling = (target < work.target()).then(|| target.difficulty());
            let chip_job = dispatch::chip_job(id, &work, target);
            let newest = self.in_flight.newest(board);
            let before = newest.filter(|newest| !Arc::ptr_eq(newest.work.job(), work.job()));
            let began = before.map(|before| {
                let is_same = before.upstream == current;
                (
                    if is_same { source.arrived } else { self.left_at.unwrap_or(now) },
                    !is_same && self.left_at.is_some(),
                )
            });
            if let Some((began, is_failover)) = began {
                place.flush.sent(id, now);
                let fits = |switch: &&mut Switch| switch.began == began;
                match self.switch.as_mut().filter(fits) {
                    Some(switch) => drop(switch.waiting.insert(board)),
                    None => self.switch = Some(Switch { began, waiting: [board].into(), is_failover }),
                }
            }
            let asked = work.job().difficulty;
            self.in_flight.insert(
                board,
                id,
                Dispatched::new(current, work, target, began.map(|(began, _)| began)).stamped(stamp),
            );
            // Once for each difficulty: a person then knows why fewer shares come than the pool asks for.
            if let Some(reported) = ceiling.filter(|_| place.ceiling_told != Some(asked)) {
                place.ceiling_told = Some(asked);
                let report = BoardReport::Ceiling { asked, reported };
                self.outbox.push_back(Action::Report(Report::Board(board, report)));
            }
            chip_job
        });
        self.outbox.push_back(Action::Dispatch(board, chip_job));
    }

    pub(super) fn handle_started(&mut self, board: BoardId, job: ChipJobId, at: Instant) {
        let Some(dispatched) = self.in_flight.find(board, job) else { return };
        let (upstream, began) = (dispatched.upstream, dispatched.switch_began);
        if let Some(place) = self.boards.get_mut(&board) {
            place.hashing_for = Some(upstream);
            place.flush.started(job, at);
        }
        let is_of_it = |switch: &&mut Switch| Some(switch.began) == began;
        if let Some(switch) = self.switch.as_mut().filter(is_of_it)
            && switch.waiting.remove(&board)
            && switch.waiting.is_empty()
        {
            let took = at.saturating_duration_since(switch.began);
            if switch.is_failover {
                self.failovers.add(took);
            }
            self.switches.add(took);
            self.switch = None;
        }
    }
}
