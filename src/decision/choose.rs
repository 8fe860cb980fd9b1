//! The rule itself: from what everything is worth to one action.

use std::time::{Duration, Instant};

use super::Decider;
use super::flush::{Renew, Renewal};
use super::input::{ParentHash, UpstreamId};
use super::lanes::Running;
use super::output::{Reason, Worthless};
use super::settings::Strategy;
use super::upstream::Offer;
use super::value::MoveTest;
use super::weigh::{Readiness, Table, Weighed};

/// What to do, before it is done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    pub(super) step: Step,
    pub(super) line: u8,
    pub(super) reason: Reason,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Keep,
    Boundary(Offer),
    Flush(UpstreamId, Offer),
    Close(UpstreamId),
    Idle,
}

impl Choice {
    pub(super) fn keep(line: u8, reason: Reason) -> Self {
        Self { step: Step::Keep, line, reason }
    }

    /// Who is hashed for after it, where `running` was before.
    fn leads_to(&self, running: UpstreamId) -> UpstreamId {
        match self.step {
            Step::Flush(upstream, _) => upstream,
            Step::Keep | Step::Boundary(_) | Step::Close(_) | Step::Idle => running,
        }
    }
}

impl Decider {
    /// What the boards of one lane do next.
    pub(super) fn choose(&self, lane: usize, table: &Table, weighs: bool, now: Instant) -> Choice {
        let Some(running) = &self.hashing.lanes[lane].running else { return self.begin(lane, table) };
        let ours = running.upstream.0;
        let current = &table.of[ours];
        let newest = self.upstreams[ours].jobs.newest.filter(|_| table.newest[ours].is_some());
        let worth = table.newest[ours].filter(|newest| newest.value > 0.0);
        let followed = newest.filter(|_| worth.is_some()).and_then(|newest| self.follow(running, &newest));
        if let Some(choice) = followed {
            return choice;
        }
        if current.value <= 0.0 {
            return self.leave(running, current, table, now);
        }
        if let Some(choice) = self.flee(running, current, table) {
            return choice;
        }
        let kept = self.turn(running, table, weighs, now);
        if matches!(kept.step, Step::Flush(..)) {
            return kept;
        }
        let same = newest.filter(|newest| worth.is_some() && newest.facts.parent == running.facts.parent);
        match same.filter(|newest| !self.hashing.lanes[lane].is_pending(newest.facts.key)) {
            Some(newest) => self.renew(running, newest, now),
            None => kept,
        }
    }

    /// Our upstream is elsewhere: on another connection, or on another block that is not lower.
    fn follow(&self, running: &Running, newest: &Offer) -> Option<Choice> {
        if newest.facts.connection != running.facts.connection {
            return Some(self.flush(running.upstream, 6, Reason::NewExtranonce1(running.upstream)));
        }
        let is_further = newest.facts.parent != running.facts.parent && !self.is_lower(running, newest);
        is_further.then(|| self.flush(running.upstream, 4, Reason::NewParent(running.upstream)))
    }

    /// When a lower block that our upstream has gone back to is followed although it is behind: what runs earns nothing.
    pub(super) fn gives_up_at(&self, running: &Running) -> Option<Instant> {
        Some(running.overtaken? + self.settings.graces.alone)
    }

    /// The boards have nothing to do.
    fn begin(&self, lane: usize, table: &Table) -> Choice {
        let own = UpstreamId(lane);
        let may = if self.settings.strategy.is_shared() {
            Some(own).filter(|_| lane < table.of.len() && table.has_part(own))
        } else {
            self.best_beside(table, None).or_else(|| self.last_resort(table))
        };
        match may {
            Some(best) => self.flush(best, 3, Reason::HadNothing(best)),
            None if self.hashing.nothing_since.is_some() => Choice::keep(3, Reason::Idles),
            None => Choice::keep(3, Reason::NothingYet),
        }
    }

    /// What runs is worth nothing.
    fn leave(&self, running: &Running, current: &Weighed, table: &Table, now: Instant) -> Choice {
        let why = current.why.unwrap_or(Worthless::Unpaid);
        let line = match why {
            Worthless::Rejected(_) | Worthless::Replaced(_) | Worthless::Held(_) | Worthless::Unpaid => 2,
            Worthless::Lost | Worthless::Silent(_) | Worthless::Unanswered(_) => 9,
            Worthless::Behind(_) => 7,
            Worthless::Overtaken => 4,
            Worthless::NoJob | Worthless::ParentRefused | Worthless::ParentUnknown => 3,
        };
        let newest = table.newest[running.upstream.0];
        let own = newest.filter(|own| own.value > 0.0);
        let best = self.best_beside(table, Some(running.upstream));
        let own_is_best = |own: &Weighed| {
            let best = best.filter(|_| self.settings.strategy == Strategy::Value);
            best.is_none_or(|best| {
                let best = &table.of[best.0];
                (own.readiness, own.index) >= (best.readiness, best.index)
            })
        };
        if own.as_ref().is_some_and(own_is_best) {
            return self.flush(running.upstream, line, Reason::Left(why));
        }
        if let Some(best) = best {
            return match self.waits(running, current, self.would_return(table, running.upstream, best), now) {
                Some(waited) if why == Worthless::Behind(1) => {
                    Choice::keep(7, Reason::TipExpected { waited })
                }
                _ => self.go_to(best, running, line, Reason::Left(why)),
            };
        }
        // Nothing earns. A newer parent of ours that is late too is at least less late.
        let is_late = |own: &Weighed| matches!(own.why, Some(Worthless::Behind(_)));
        if newest.as_ref().is_some_and(is_late)
            && let Some(newest) = self.upstreams[running.upstream.0].jobs.newest
            && newest.facts.parent != running.facts.parent
            && (!self.is_lower(running, &newest)
                || self.gives_up_at(running).is_some_and(|at| now >= at)
                || self.is_left_by_several(&running.facts.parent))
        {
            return self.flush(running.upstream, 4, Reason::NewParent(running.upstream));
        }
        if current.is_doubtful() {
            let is_doubtful = newest.is_some_and(|newest| newest.is_doubtful());
            let lane = self.hashing.lane(running.upstream);
            let offer = self.upstreams[running.upstream.0].jobs.newest.filter(|_| is_doubtful);
            return match offer.filter(|offer| !lane.is_pending(offer.facts.key)) {
                Some(offer) => {
                    self.follow(running, &offer).unwrap_or_else(|| self.renew(running, offer, now))
                }
                None => Choice::keep(line, Reason::NothingLeft(why)),
            };
        }
        if let Some(other) = self.last_resort(table) {
            return self.go_to(other, running, line, Reason::Left(why));
        }
        // A job on an older block may yet be paid for; one that its upstream takes no shares of is not.
        let is_free = running.void.is_some() && !self.settings.strategy.is_shared();
        if let Some(other) = self.least_late(table, running.upstream).filter(|_| is_free) {
            return self.flush(other, line, Reason::Left(why));
        }
        let since = self.hashing.nothing_since.unwrap_or(now);
        // The last job may still be paid for when its upstream is back, but not one that is wrong itself.
        let is_wrong = matches!(why, Worthless::Rejected(_));
        if !is_wrong && now < since + self.upstreams[running.upstream.0].patience {
            return Choice::keep(3, Reason::NothingLeft(why));
        }
        let step =
            if self.settings.strategy.is_shared() { Step::Close(running.upstream) } else { Step::Idle };
        Choice { step, line: 3, reason: Reason::Idles }
    }

    /// Since when a late upstream is waited for instead of going to the best other one, if that is worth it.
    ///
    /// Going costs the move, and the way back only where `current` would win the power back once it has the block too;
    /// staying costs the flush for that block. Among equals whose moves cost no more than flushes nothing is left to wait
    /// for.
    fn waits(
        &self,
        running: &Running,
        current: &Weighed,
        comes_back: bool,
        now: Instant,
    ) -> Option<Duration> {
        let waited = now.saturating_duration_since(current.judgement?.late_since?);
        let moves = if comes_back { 2.0 } else { 1.0 };
        let cost = moves * self.device.cross.as_secs_f64() - self.device.flush.as_secs_f64();
        let lag = &self.upstreams[running.upstream.0].lag;
        (cost > 0.0 && lag.stay(waited.as_secs_f64(), cost)).then_some(waited)
    }

    /// Leaves at once who is suspect, and by line 10 whose rejects have jumped, when there is somebody better.
    fn flee(&self, running: &Running, current: &Weighed, table: &Table) -> Option<Choice> {
        let is_wrong = current.readiness <= Readiness::Alarmed;
        let best = self.best_beside(table, Some(running.upstream)).filter(|_| is_wrong)?;
        let other = &table.of[best.0];
        if other.readiness <= current.readiness {
            return None;
        }
        if current.readiness == Readiness::Suspect {
            return Some(self.go_to(best, running, 9, Reason::Suspected(running.upstream)));
        }
        let is_worth_it = self.move_test().passes(current.value, other.index);
        is_worth_it.then(|| self.go_to(best, running, 10, Reason::RejectsJumped(running.upstream)))
    }

    /// From what runs to another upstream; where hashing is shared that one has its own lane.
    fn go_to(&self, other: UpstreamId, running: &Running, line: u8, reason: Reason) -> Choice {
        if self.settings.strategy.is_shared() {
            return Choice { step: Step::Close(running.upstream), line, reason };
        }
        self.flush(other, line, reason)
    }

    /// Another upstream by gain or by advice, or else why none. Advice to stay has no part in what mathematics does by itself.
    pub(super) fn move_for_gain(
        &self,
        running: &Running,
        current: &Weighed,
        table: &Table,
        now: Instant,
    ) -> Choice {
        let by_itself = self.move_by_itself(running, current, table, now);
        let Some(advice) = self.envelope.standing() else { return by_itself };
        let target = if advice.hold { running.upstream } else { advice.target };
        let reason = Reason::Advised(target);
        if target != running.upstream {
            self.flush(target, 12, reason)
        } else if by_itself.leads_to(running.upstream) == target {
            by_itself
        } else {
            Choice::keep(12, reason)
        }
    }

    /// Whom mathematics would have hashed for now.
    pub(super) fn unadvised(&self, running: &Running, table: &Table, now: Instant) -> UpstreamId {
        let current = &table.of[running.upstream.0];
        if current.value <= 0.0 || self.settings.strategy != Strategy::Value {
            return running.upstream; // it has been left already, or whom to hash for is the operator's word
        }
        self.move_by_itself(running, current, table, now).leads_to(running.upstream)
    }

    fn move_by_itself(&self, running: &Running, current: &Weighed, table: &Table, now: Instant) -> Choice {
        let kept = Choice::keep(8, Reason::NothingBetter);
        let Some(best) = self.best_beside(table, Some(running.upstream)) else { return kept };
        let other = &table.of[best.0];
        // Both with their optimism: else who has just come to a little known upstream, for a late tip say, leaves it again
        // after one reject, never learns what it is worth, and pays for moves both ways.
        let may = other.readiness == Readiness::Usable
            && self.dwell_ends().is_none_or(|end| now >= end)
            && self.may_use(best, now)
            && self.move_test().passes(current.index, other.index);
        if !may {
            return kept;
        }
        let gain = other.index - current.index;
        self.flush(best, 8, Reason::Better { upstream: best, gain })
    }

    /// Lines 5 and 6.
    fn renew(&self, running: &Running, newest: Offer, now: Instant) -> Choice {
        let terms = &self.upstreams[running.upstream.0].terms;
        let kappa = terms.kappa();
        let renewal = Renewal {
            gain: self.reward.fee_gain(kappa, newest.facts.fees, running.facts.fees),
            kappa,
            refusal: running.refusal,
            boundary: self.expected_boundary(now),
            flush: self.device.flush.as_secs_f64(),
            margin: self.settings.moves.flush_margin,
            age: now.saturating_duration_since(running.since).as_secs_f64(),
        };
        let line = if running.refusal.is_some() { 6 } else { 5 };
        match renewal.choose() {
            Renew::FlushClean => self.flush(running.upstream, line, Reason::CleanAndQuick),
            Renew::FlushFor { gain, cost } => {
                self.flush(running.upstream, line, Reason::GainOutweighs { gain, cost })
            }
            Renew::Boundary => Choice { step: Step::Boundary(newest), line, reason: Reason::AtBoundary },
            Renew::KeepOlder => Choice::keep(line, Reason::OlderPaysMore),
        }
    }

    /// To the newest job of an upstream.
    pub(super) fn flush(&self, upstream: UpstreamId, line: u8, reason: Reason) -> Choice {
        let newest = self.upstreams[upstream.0].jobs.newest.expect("what is worth something has a job");
        Choice { step: Step::Flush(upstream, newest), line, reason }
    }

    fn is_lower(&self, running: &Running, newest: &Offer) -> bool {
        let height = |parent| self.chain.height(parent);
        match (height(&newest.facts.parent), height(&running.facts.parent)) {
            (Some(newest), Some(running)) => newest < running,
            _ => false,
        }
    }

    /// Whether all who named a block, several of them, have left it: one that has gone back alone may come to its senses, and
    /// one that never came has nothing to go back from.
    fn is_left_by_several(&self, parent: &ParentHash) -> bool {
        self.chain.sources(parent) > 1 && !self.builders().iter().any(|(_, builds_on)| builds_on == parent)
    }

    pub(super) fn dwell_ends(&self) -> Option<Instant> {
        self.hashing.moved_at.map(|moved| moved + self.settings.moves.dwell)
    }

    /// Whether a move for gain may use one more upstream today.
    fn may_use(&self, upstream: UpstreamId, now: Instant) -> bool {
        const DAY: Duration = Duration::from_secs(86_400);
        let is_used = |at: &Option<Instant>| at.is_some_and(|at| now < at + DAY);
        self.settings.moves.max_upstreams_per_day.is_none_or(|most| {
            let used = &self.hashing.used;
            is_used(&used[upstream.0]) || used.iter().filter(|at| is_used(at)).count() < most
        })
    }

    pub(super) fn move_test(&self) -> MoveTest {
        let moves = &self.settings.moves;
        MoveTest {
            horizon: moves.horizon.as_secs_f64(),
            min_gain: moves.min_gain,
            margin: moves.flush_margin,
            cross: self.device.cross.as_secs_f64(),
        }
    }

    /// The first boundary after `now`: by its phase, or else a whole period from now.
    pub(super) fn next_boundary(&self, now: Instant) -> Instant {
        let period = self.device.boundary.max(Duration::from_millis(1));
        let Some(known) = self.device.next_boundary else { return now + period };
        let passed = now.saturating_duration_since(known).as_nanos();
        let periods = if known > now { 0 } else { passed / period.as_nanos() + 1 };
        known + Duration::from_nanos((periods * period.as_nanos()) as u64)
    }

    /// `b`: seconds to the boundary, half a period where its phase is not known.
    fn expected_boundary(&self, now: Instant) -> f64 {
        match self.device.next_boundary {
            Some(_) => (self.next_boundary(now) - now).as_secs_f64(),
            None => self.device.boundary.as_secs_f64() / 2.0,
        }
    }
}
