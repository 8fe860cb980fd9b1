//! The rule itself: from what everything is worth to one action.

use std::time::{Duration, Instant};

use super::flush::{OLDEST, Renew, Renewal};
use super::input::UpstreamId;
use super::output::{Action, Decision, Reason, Spoke, Warning, Worthless};
use super::record::Alternative;
use super::upstream::{Offer, Warned};
use super::value::MoveTest;
use super::weigh::{Readiness, Table, Weighed};
use super::{Decider, Running};

/// While a late tip is waited for, the question is asked so often.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Gains are weighed once in so long, unless a job or a deadline calls for it.
const WEIGH_EVERY: Duration = Duration::from_secs(1);

/// A running job without a newer one is worth a word after so long.
const OLD_JOB: Duration = Duration::from_secs(300);

/// What to do, before it is done.
#[derive(Debug, Clone, Copy)]
struct Choice {
    step: Step,
    line: u8,
    reason: Reason,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Keep,
    Boundary(Offer),
    Flush(UpstreamId, Offer),
    Idle,
}

impl Choice {
    fn keep(line: u8, reason: Reason) -> Self {
        Self { step: Step::Keep, line, reason }
    }
}

impl Decider {
    /// Chooses, does it and writes it down. `is_ours`: a job of our upstream is the cause.
    pub(super) fn decide(&mut self, is_ours: bool, now: Instant) -> Decision {
        let before = self.hashing.running.as_ref().map(|running| running.upstream);
        let mut table = self.weigh(now);
        self.note_worth(&table, now);
        self.drop_stale_advice(&table, now);
        let weighs = is_ours || self.is_due(now);
        let choice = self.choose(&table, weighs, now);
        if weighs {
            self.hashing.weighed_at = Some(now);
        }
        let spoke = match choice.line {
            12 if self.envelope.is_fresh(now) => Spoke::Advice,
            12 => Spoke::Cached,
            _ => Spoke::Mathematics,
        };
        let decision =
            Decision { action: self.apply(choice, now), line: choice.line, reason: choice.reason, spoke };
        let alternative = |(id, weighed): (usize, &Weighed)| Alternative {
            upstream: UpstreamId(id),
            value: weighed.value,
            index: weighed.index,
        };
        self.journal.note(decision, before, || table.of.iter().enumerate().map(alternative).collect(), now);
        if matches!(decision.action, Action::Flush(..) | Action::Idle) {
            table = self.weigh(now);
        }
        self.settle_accounts(&table, now);
        self.wake = self.next_wake(&table, weighs, now);
        decision
    }

    fn choose(&self, table: &Table, weighs: bool, now: Instant) -> Choice {
        let Some(running) = &self.hashing.running else { return self.begin(table) };
        let current = &table.of[running.upstream.0];
        let newest = self.upstreams[running.upstream.0].jobs.newest.filter(|_| table.newest.is_some());
        let worth = table.newest.filter(|newest| newest.value > 0.0);
        if let Some(newest) = newest.filter(|_| worth.is_some()) {
            if newest.facts.parent != running.facts.parent {
                if !self.is_lower(running, &newest) || now >= newest.since + self.settings.graces.alone {
                    return self.flush(running.upstream, 4, Reason::NewParent(running.upstream));
                }
            } else if newest.facts.connection != running.facts.connection {
                return self.flush(running.upstream, 6, Reason::NewExtranonce1(running.upstream));
            }
        }
        if current.value <= 0.0 {
            return self.leave(running, current, table, now);
        }
        if let Some(choice) = self.flee_rejects(running, current, table) {
            return choice;
        }
        let kept = if weighs {
            self.move_for_gain(running, current, table, now)
        } else {
            Choice::keep(8, Reason::NothingBetter)
        };
        if matches!(kept.step, Step::Flush(..)) {
            return kept;
        }
        let same = newest.filter(|newest| worth.is_some() && newest.facts.parent == running.facts.parent);
        match same.filter(|newest| !self.is_pending(newest)) {
            Some(newest) => self.renew(running, newest, now),
            None => kept,
        }
    }

    /// The boards have nothing to do.
    fn begin(&self, table: &Table) -> Choice {
        match table.best_beside(None) {
            Some(best) => self.flush(best, 3, Reason::HadNothing(best)),
            None if self.hashing.nothing_since.is_some() => Choice::keep(3, Reason::Idles),
            None => Choice::keep(3, Reason::NothingYet),
        }
    }

    /// What runs is worth nothing.
    fn leave(&self, running: &Running, current: &Weighed, table: &Table, now: Instant) -> Choice {
        let why = current.why.unwrap_or(Worthless::Unpaid);
        let line = match why {
            Worthless::Rejected(_) | Worthless::Held(_) | Worthless::Unpaid => 2,
            Worthless::Lost | Worthless::Silent(_) | Worthless::Unanswered(_) => 9,
            Worthless::Behind(_) => 7,
            Worthless::NoJob | Worthless::ParentRefused | Worthless::ParentUnknown => 3,
        };
        let own = table.newest.filter(|own| own.value > 0.0);
        let best = table.best_beside(Some(running.upstream));
        let own_is_best = |own: &Weighed| {
            best.is_none_or(|best| {
                let best = &table.of[best.0];
                (own.readiness, own.index) >= (best.readiness, best.index)
            })
        };
        if own.as_ref().is_some_and(own_is_best) {
            return self.flush(running.upstream, line, Reason::Left(why));
        }
        if let Some(best) = best {
            return match self.waits(running, current, &table.of[best.0], now) {
                Some(waited) if why == Worthless::Behind(1) => {
                    Choice::keep(7, Reason::TipExpected { waited })
                }
                _ => self.flush(best, line, Reason::Left(why)),
            };
        }
        // Nothing earns. A newer parent of ours that is late too is at least less late.
        let is_late = |own: &Weighed| matches!(own.why, Some(Worthless::Behind(_)));
        if table.newest.as_ref().is_some_and(is_late)
            && let Some(newest) = self.upstreams[running.upstream.0].jobs.newest
            && newest.facts.parent != running.facts.parent
            && !self.is_lower(running, &newest)
        {
            return self.flush(running.upstream, 4, Reason::NewParent(running.upstream));
        }
        // Silence is a suspicion, and what is hashed for a pool that only seldom speaks is not lost: its connection ends when
        // it is dead.
        if matches!(why, Worthless::Silent(_)) {
            return Choice::keep(9, Reason::NothingLeft(why));
        }
        let since = self.hashing.nothing_since.unwrap_or(now);
        if now >= since + self.settings.graces.idle_after {
            Choice { step: Step::Idle, line: 3, reason: Reason::Idles }
        } else {
            Choice::keep(3, Reason::NothingLeft(why))
        }
    }

    /// Since when a late upstream is waited for instead of going to the best other one, if that is worth it.
    ///
    /// Going costs the move, and the way back only where `current` would win the power back once it has the block too;
    /// staying costs the flush for that block. Among equals whose moves cost no more than flushes nothing is left to wait
    /// for.
    fn waits(&self, running: &Running, current: &Weighed, other: &Weighed, now: Instant) -> Option<Duration> {
        let waited = now.saturating_duration_since(current.judgement?.late_since?);
        let index = current.index_on_tip(self.settings.moves.optimism);
        let comes_back = self.move_test().passes(other.index, index);
        let moves = if comes_back { 2.0 } else { 1.0 };
        let cost = moves * self.device.cross.as_secs_f64() - self.device.flush.as_secs_f64();
        let lag = &self.upstreams[running.upstream.0].lag;
        (cost > 0.0 && lag.stay(waited.as_secs_f64(), cost)).then_some(waited)
    }

    /// Line 10: leaves at once, when there is somebody better.
    fn flee_rejects(&self, running: &Running, current: &Weighed, table: &Table) -> Option<Choice> {
        let best =
            table.best_beside(Some(running.upstream)).filter(|_| current.readiness == Readiness::Alarmed)?;
        let other = &table.of[best.0];
        let is_worth_it =
            other.readiness > Readiness::Alarmed && self.move_test().passes(current.value, other.index);
        is_worth_it.then(|| self.flush(best, 10, Reason::RejectsJumped(running.upstream)))
    }

    /// Lines 8 and 12: another upstream by gain or by advice, or else why none.
    fn move_for_gain(&self, running: &Running, current: &Weighed, table: &Table, now: Instant) -> Choice {
        if let Some(advice) = self.envelope.standing() {
            let target = if advice.hold { running.upstream } else { advice.target };
            let reason = Reason::Advised(target);
            return if target == running.upstream {
                Choice::keep(12, reason)
            } else {
                self.flush(target, 12, reason)
            };
        }
        let kept = Choice::keep(8, Reason::NothingBetter);
        let Some(best) = table.best_beside(Some(running.upstream)) else { return kept };
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
    fn flush(&self, upstream: UpstreamId, line: u8, reason: Reason) -> Choice {
        let newest = self.upstreams[upstream.0].jobs.newest.expect("what is worth something has a job");
        Choice { step: Step::Flush(upstream, newest), line, reason }
    }

    fn apply(&mut self, choice: Choice, now: Instant) -> Action {
        match choice.step {
            Step::Keep => Action::Keep,
            Step::Boundary(offer) => {
                let upstream =
                    self.hashing.running.as_ref().expect("a boundary is one of what runs").upstream;
                self.hashing.pending = Some((Running::new(upstream, offer), self.next_boundary(now)));
                Action::Boundary(upstream, offer.facts.key)
            }
            Step::Flush(upstream, offer) => {
                self.hashing.pending = None;
                self.hashing.running = Some(Running::new(upstream, offer));
                self.hashing.switched_at = Some(now);
                if matches!(choice.line, 8 | 12) {
                    self.hashing.moved_at = Some(now);
                }
                Action::Flush(upstream, offer.facts.key)
            }
            Step::Idle => {
                (self.hashing.pending, self.hashing.running) = (None, None);
                Action::Idle
            }
        }
    }

    /// Takes note of what is worth nothing.
    fn note_worth(&mut self, table: &Table, now: Instant) {
        let current = self.hashing.running.as_ref().map(|running| table.of[running.upstream.0]);
        let is_worthless = current.is_some_and(|current| current.value <= 0.0);
        self.moment += u64::from(is_worthless && !self.hashing.was_worthless);
        self.hashing.was_worthless = is_worthless;
        let newest = table.newest.is_some_and(|newest| newest.value > 0.0);
        if newest || table.of.iter().any(|weighed| weighed.value > 0.0) {
            self.hashing.nothing_since = None;
        } else if self.hashing.running.is_some() {
            self.hashing.nothing_since.get_or_insert(now);
        }
        for (id, weighed) in table.of.iter().enumerate() {
            let Some(newest) = self.upstreams[id].jobs.newest else { continue };
            let parent = Warned::Parent(newest.facts.parent);
            if weighed.why == Some(Worthless::ParentUnknown) && self.upstreams[id].warned != Some(parent) {
                self.upstreams[id].warned = Some(parent);
                self.warn(Warning::ParentUnknown(UpstreamId(id)));
            }
            let job = Warned::Job(newest.facts.key);
            let is_old = now.saturating_duration_since(newest.since) > OLD_JOB;
            if is_old && self.is_running(UpstreamId(id)) && self.upstreams[id].warned != Some(job) {
                self.upstreams[id].warned = Some(job);
                self.warn(Warning::OldJob(UpstreamId(id)));
            }
        }
    }

    /// Advice that its envelope no longer holds ends.
    fn drop_stale_advice(&mut self, table: &Table, now: Instant) {
        let Some(advice) = self.envelope.standing() else { return };
        let standing = self.standing_of(advice.target, table);
        let holds = |standing| self.envelope.check(&advice, standing, self.moment, now).is_ok();
        let is_here = !advice.hold || self.is_running(advice.target);
        if !is_here || !standing.is_some_and(holds) {
            self.envelope.drop_standing();
        }
    }

    fn settle_accounts(&mut self, table: &Table, now: Instant) {
        let Some(upstream) = self.hashing.running.as_ref().map(|running| running.upstream) else {
            return self.envelope.set_loss(0.0, now);
        };
        self.hashing.used[upstream.0] = Some(now);
        let best = table.best_value(Some(upstream));
        self.envelope.set_loss(best - table.of[upstream.0].value, now);
    }

    fn next_wake(&self, table: &Table, weighed: bool, now: Instant) -> Option<Instant> {
        let of_upstreams = self.upstreams.iter().zip(&table.of).flat_map(|(upstream, weighed)| {
            let usable_at = upstream.link.up_since().map(|since| since + self.settings.moves.usable_after);
            let released_at = upstream.jobs.held.map(|held| held.since + self.settings.graces.alone);
            let changes_at = weighed.judgement.and_then(|judgement| judgement.changes_at);
            let [unanswered, silent] = upstream.link.deadlines();
            [usable_at, released_at, changes_at, unanswered, silent, upstream.shares.watch.probe_at()]
        });
        let running = self.hashing.running.as_ref();
        let current = running.map(|running| &table.of[running.upstream.0]);
        let newest = running.and_then(|running| self.upstreams[running.upstream.0].jobs.newest);
        let waits = newest.filter(|_| table.newest.is_some());
        let late =
            current.filter(|current| current.value <= 0.0).and_then(|current| current.judgement?.late_since);
        let others = [
            self.hashing.pending.as_ref().map(|(_, at)| *at),
            running.and(self.hashing.nothing_since).map(|since| since + self.settings.graces.idle_after),
            late.filter(|_| table.best_beside(running.map(|running| running.upstream)).is_some())
                .map(|_| now + LOOK_AGAIN),
            self.dwell_ends(),
            (!weighed).then(|| self.hashing.weighed_at.map(|at| at + WEIGH_EVERY)).flatten(),
            self.envelope.ends(),
            table.newest.and_then(|newest| newest.judgement?.changes_at),
            waits.and(running).map(|running| running.since + Duration::from_secs_f64(OLDEST)),
            waits.map(|newest| newest.since + self.settings.graces.alone),
        ];
        of_upstreams.chain(others).flatten().filter(|at| *at > now).min()
    }

    fn is_due(&self, now: Instant) -> bool {
        self.wake.is_some_and(|wake| now >= wake)
            || self.hashing.weighed_at.is_none_or(|at| now >= at + WEIGH_EVERY)
    }

    fn is_lower(&self, running: &Running, newest: &Offer) -> bool {
        let height = |parent| self.chain.height(parent);
        match (height(&newest.facts.parent), height(&running.facts.parent)) {
            (Some(newest), Some(running)) => newest < running,
            _ => false,
        }
    }

    fn is_pending(&self, offer: &Offer) -> bool {
        self.hashing.pending.as_ref().is_some_and(|(pending, _)| pending.facts.key == offer.facts.key)
    }

    fn dwell_ends(&self) -> Option<Instant> {
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

    fn move_test(&self) -> MoveTest {
        let moves = &self.settings.moves;
        MoveTest {
            horizon: moves.horizon.as_secs_f64(),
            min_gain: moves.min_gain,
            margin: moves.flush_margin,
            cross: self.device.cross.as_secs_f64(),
        }
    }

    /// The first boundary after `now`: by its phase, or else a whole period from now.
    fn next_boundary(&self, now: Instant) -> Instant {
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
