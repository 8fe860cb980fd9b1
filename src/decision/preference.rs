//! Whom the operator wants hashed for, among those that are worth something.

use std::cmp::{Ordering, Reverse};
use std::time::Instant;

use super::choose::Choice;
use super::input::{Repute, Scheme, UpstreamId};
use super::lanes::Running;
use super::output::{Reason, Worthless};
use super::settings::Strategy;
use super::weigh::{Readiness, Table};
use super::{Decider, weigh::Weighed};

impl Decider {
    /// The one to turn to among those that are worth anything, beside `current`.
    pub(super) fn best_beside(&self, table: &Table, current: Option<UpstreamId>) -> Option<UpstreamId> {
        let is_other = |id: &UpstreamId| Some(*id) != current && table.of[id.0].value > 0.0;
        let others = (0..table.of.len()).map(UpstreamId).filter(is_other);
        others.reduce(|first, other| if self.comes_before(table, other, first) { other } else { first })
    }

    /// The one to turn to where nobody is worth anything for certain.
    pub(super) fn last_resort(&self, table: &Table) -> Option<UpstreamId> {
        if table.of.iter().any(|weighed| weighed.value > 0.0) {
            return None;
        }
        let doubtful = (0..table.of.len()).map(UpstreamId).filter(|id| table.of[id.0].is_doubtful());
        doubtful.reduce(|first, other| if self.is_worthier(table, other, first) { other } else { first })
    }

    /// Beside `current`, who builds on an older block than others, has nothing else wrong, and pays for shares: the one
    /// least behind.
    pub(super) fn least_late(&self, table: &Table, current: UpstreamId) -> Option<UpstreamId> {
        let behind = |id: UpstreamId| match table.of[id.0].why {
            Some(Worthless::Behind(blocks)) if self.upstreams[id.0].terms.scheme == Scheme::Pps => {
                Some(blocks)
            }
            _ => None,
        };
        let others = (0..table.of.len()).map(UpstreamId).filter(|id| *id != current);
        others.filter(|id| behind(*id).is_some()).reduce(|first, other| {
            let is_better = match behind(other).cmp(&behind(first)) {
                Ordering::Equal => self.is_worthier(table, other, first),
                order => order == Ordering::Less,
            };
            if is_better { other } else { first }
        })
    }

    /// Whether `a` would be turned to rather than `b` if both were worth something.
    fn is_worthier(&self, table: &Table, a: UpstreamId, b: UpstreamId) -> bool {
        let worth = |id: UpstreamId| table.of[id.0].index_on_tip(self.settings.moves.optimism);
        match self.settings.strategy {
            Strategy::Value => worth(a) > worth(b),
            _ => self.place(a) < self.place(b),
        }
    }

    /// Whether `a` is turned to rather than `b`.
    fn comes_before(&self, table: &Table, a: UpstreamId, b: UpstreamId) -> bool {
        let (first, second) = (&table.of[a.0], &table.of[b.0]);
        if self.settings.strategy == Strategy::Value {
            return (first.readiness, first.index) > (second.readiness, second.index);
        }
        (tier(first), Reverse(self.place(a))) > (tier(second), Reverse(self.place(b)))
    }

    /// Lines 8 and 12: whether another upstream shall be hashed for although ours is worth something.
    pub(super) fn turn(&self, running: &Running, table: &Table, weighs: bool, now: Instant) -> Choice {
        let kept = Choice::keep(8, Reason::NothingBetter);
        let is_well = |id: UpstreamId| {
            let weighed = &table.of[id.0];
            weighed.value > 0.0 && tier(weighed) == Tier::Well
        };
        match self.settings.strategy {
            Strategy::Value if weighs => {
                self.move_for_gain(running, &table.of[running.upstream.0], table, now)
            }
            Strategy::Failover => {
                let is_better = |id: &UpstreamId| is_well(*id) && self.is_proven(*id, now);
                let Some(better) = (0..running.upstream.0).map(UpstreamId).find(is_better) else {
                    return kept;
                };
                let has_failed = self.upstreams[better.0].has_failed;
                let reason = if has_failed { Reason::Healthy(better) } else { Reason::Preferred(better) };
                self.flush(better, 8, reason)
            }
            Strategy::Rotate(_) if self.hashing.turn_ends.is_some_and(|end| now >= end) => {
                let others = (0..table.of.len()).map(UpstreamId);
                let others = others.filter(|id| *id != running.upstream && is_well(*id));
                let next = others.min_by_key(|id| self.place(*id));
                next.map_or(kept, |next| self.flush(next, 8, Reason::Turn(next)))
            }
            Strategy::Value
            | Strategy::Rotate(_)
            | Strategy::RoundRobin
            | Strategy::LoadBalance
            | Strategy::Quota => kept,
        }
    }

    /// Whether an upstream is preferred to one that works for its place in the order.
    fn is_proven(&self, id: UpstreamId, now: Instant) -> bool {
        let upstream = &self.upstreams[id.0];
        upstream.repute == Repute::Good && self.proven_at(id).is_none_or(|at| now >= at)
    }

    /// When an upstream that has failed has been up for long enough.
    pub(super) fn proven_at(&self, id: UpstreamId) -> Option<Instant> {
        let upstream = self.upstreams.get(id.0).filter(|upstream| upstream.has_failed)?;
        Some(upstream.link.up_since()? + self.settings.moves.return_after)
    }

    /// Whether hashing would return from `other` to `ours` once that is worth something again.
    pub(super) fn would_return(&self, table: &Table, ours: UpstreamId, other: UpstreamId) -> bool {
        match self.settings.strategy {
            Strategy::Value => {
                let index = table.of[ours.0].index_on_tip(self.settings.moves.optimism);
                self.move_test().passes(table.of[other.0].index, index)
            }
            Strategy::Failover => ours < other,
            Strategy::RoundRobin | Strategy::Rotate(_) => false,
            Strategy::LoadBalance | Strategy::Quota => true,
        }
    }

    /// Its place in the order that is gone through: from the first on, or from the last one that had its turn.
    fn place(&self, id: UpstreamId) -> usize {
        let count = self.upstreams.len();
        let after = match self.settings.strategy {
            Strategy::RoundRobin | Strategy::Rotate(_) => self.hashing.last.map_or(0, |last| last.0 + 1),
            _ => 0,
        };
        (id.0 + count - after % count.max(1)) % count.max(1)
    }
}

impl Table {
    /// Where hashing is shared: whether an upstream has its part.
    pub(super) fn has_part(&self, upstream: UpstreamId) -> bool {
        let of = |weighed: &Weighed| (weighed.value > 0.0).then(|| tier(weighed));
        match self.of.iter().filter_map(of).max() {
            Some(best) => of(&self.of[upstream.0]) == Some(best),
            None => self.of[upstream.0].is_doubtful(),
        }
    }
}

/// How an upstream stands where its exact worth does not count. The later, the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tier {
    Suspect,
    Alarmed,
    Well,
}

fn tier(weighed: &Weighed) -> Tier {
    match weighed.readiness {
        Readiness::Suspect => Tier::Suspect,
        Readiness::Alarmed => Tier::Alarmed,
        Readiness::Fresh | Readiness::Usable => Tier::Well,
    }
}
