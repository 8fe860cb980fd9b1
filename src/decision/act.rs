//! From a choice to an action, with what is written down of it and when to look again.

use std::time::{Duration, Instant};

use super::Decider;
use super::choose::{Choice, Step};
use super::earned::Present;
use super::flush::OLDEST;
use super::input::UpstreamId;
use super::lanes::{Lane, Running};
use super::output::{Action, Decision, Spoke, Warning, Worthless};
use super::record::Alternative;
use super::settings::Strategy;
use super::upstream::Warned;
use super::weigh::{Table, Weighed};

/// While a late tip is waited for, the question is asked so often.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Gains are weighed once in so long, unless a job or a deadline calls for it.
const WEIGH_EVERY: Duration = Duration::from_secs(1);

/// A running job without a newer one is worth a word after so long.
const OLD_JOB: Duration = Duration::from_secs(300);

impl Decider {
    /// Chooses for each lane, does it and writes it down. `is_ours`: a job of an upstream that is hashed for is the cause.
    pub(super) fn decide(&mut self, is_ours: bool, now: Instant) -> Vec<Decision> {
        let mut table = self.weigh(now);
        self.note_worth(&table, now);
        self.drop_stale_advice(&table, now);
        let weighs = is_ours || self.is_due(now);
        if weighs {
            self.count_amendment(&table, now);
        }
        let before = self.running().map(|(upstream, _)| upstream);
        let lanes = 0..self.hashing.lanes.len();
        let decisions: Vec<_> = lanes.map(|lane| self.decide_lane(lane, &table, weighs, now)).collect();
        if weighs {
            self.hashing.weighed_at = Some(now);
        }
        if let Strategy::Rotate(every) = self.settings.strategy
            && self.hashing.turn_ends.is_some_and(|end| now >= end)
        {
            self.hashing.turn_ends = Some(now + every); // it is alone, and gets the next turn too
        }
        let keeps = |decision: &Decision| matches!(decision.action, Action::Keep | Action::Boundary(..));
        if !decisions.iter().all(keeps) {
            table = self.weigh(now);
        }
        self.settle_accounts(&table, now);
        self.wake = self.next_wake(&table, weighs, now);
        // Advice pays for the moves that it makes.
        if let [Decision { action: Action::Flush(upstream, _), line, .. }] = decisions[..]
            && before != Some(upstream)
        {
            self.envelope.moved(line == 12, self.device.cross.as_secs_f64());
        }
        decisions
    }

    fn decide_lane(&mut self, lane: usize, table: &Table, weighs: bool, now: Instant) -> Decision {
        let before = self.hashing.lanes[lane].running.as_ref().map(|running| running.upstream);
        let choice = self.choose(lane, table, weighs, now);
        let spoke = match choice.line {
            12 if self.envelope.is_fresh(now) => Spoke::Advice,
            12 => Spoke::Cached,
            _ => Spoke::Mathematics,
        };
        let action = self.apply(lane, choice, now);
        let decision = Decision { action, line: choice.line, reason: choice.reason, spoke };
        let alternative = |(id, weighed): (usize, &Weighed)| Alternative {
            upstream: UpstreamId(id),
            value: weighed.value,
            index: weighed.index,
        };
        self.journal.note(decision, before, || table.of.iter().enumerate().map(alternative).collect(), now);
        decision
    }

    fn apply(&mut self, lane: usize, choice: Choice, now: Instant) -> Action {
        let boundary = self.next_boundary(now);
        let lane = &mut self.hashing.lanes[lane];
        match choice.step {
            Step::Keep => Action::Keep,
            Step::Boundary(offer) => {
                let upstream = lane.running.as_ref().expect("a boundary is one of what runs").upstream;
                lane.pending = Some((Running::new(upstream, offer), boundary));
                Action::Boundary(upstream, offer.facts.key)
            }
            Step::Flush(upstream, offer) => {
                lane.pending = None;
                let before =
                    lane.running.replace(Running::new(upstream, offer)).map(|running| running.upstream);
                lane.switched_at = Some(now);
                if before != Some(upstream) {
                    lane.turned_at = Some(now);
                }
                let cost = before
                    .map(|before| if before == upstream { self.device.flush } else { self.device.cross });
                let part = 1.0 / self.hashing.running().count().max(1) as f64;
                self.earnings.change(part * cost.unwrap_or_default().as_secs_f64());
                if matches!(choice.line, 8 | 12) {
                    self.hashing.moved_at = Some(now);
                }
                if before != Some(upstream) {
                    self.soft_moment += u64::from(before.is_some());
                    let turn = match self.settings.strategy {
                        Strategy::Rotate(every) => Some(every),
                        _ => None,
                    };
                    self.hashing.turn_to(upstream, turn, now);
                }
                Action::Flush(upstream, offer.facts.key)
            }
            Step::Close(upstream) => {
                lane.clear();
                Action::Close(upstream)
            }
            Step::Idle => {
                lane.clear();
                Action::Idle
            }
        }
    }

    /// Takes note of what is worth nothing.
    fn note_worth(&mut self, table: &Table, now: Instant) {
        for lane in &mut self.hashing.lanes {
            let current = lane.running.as_ref().map(|running| table.of[running.upstream.0]);
            let is_worthless = current.is_some_and(|current| current.value <= 0.0);
            self.moment += u64::from(is_worthless && !lane.was_worthless);
            lane.was_worthless = is_worthless;
        }
        let newest = table.newest.iter().flatten();
        if table.of.iter().chain(newest).any(|weighed| weighed.value > 0.0) {
            self.hashing.nothing_since = None;
        } else if self.hashing.running().next().is_some() {
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

    /// Advice that agreed with mathematics when it came amends from the moment on in which it no longer does.
    fn count_amendment(&mut self, table: &Table, now: Instant) {
        let (Some(advice), Some(running)) = (self.envelope.standing(), self.hashing.running().next()) else {
            return;
        };
        if self.unadvised(running, table, now) != advice.target {
            self.envelope.amend(now);
        }
    }

    fn settle_accounts(&mut self, table: &Table, now: Instant) {
        for running in self.hashing.lanes.iter().filter_map(|lane| lane.running.as_ref()) {
            self.hashing.used[running.upstream.0] = Some(now);
        }
        // What advice costs; it has no say where the operator has said all.
        let running = self.running().filter(|_| self.settings.strategy == Strategy::Value);
        let loss = running
            .map_or(0.0, |(upstream, _)| table.best_value(Some(upstream)) - table.of[upstream.0].value);
        self.envelope.set_loss(loss, now);
        let present = self.present(table);
        self.earnings.settle(present, now);
    }

    /// What a second is worth now.
    fn present(&self, table: &Table) -> Present {
        let running: Vec<_> = self.hashing.running().map(|running| &table.of[running.upstream.0]).collect();
        if running.is_empty() {
            return Present { idle: 1.0, wasted: 1.0, ..Present::default() };
        }
        let part = |counts: fn(&Weighed) -> f64| {
            running.iter().map(|weighed| counts(weighed)).sum::<f64>() / running.len() as f64
        };
        Present {
            value: part(|weighed| weighed.value),
            idle: 0.0,
            stale: part(|weighed| f64::from(matches!(weighed.why, Some(Worthless::Behind(_))))),
            wasted: part(|weighed| f64::from(weighed.value <= 0.0)),
            gain: self.advice_gain(table),
        }
    }

    /// What the advice in force gains a second over whom it left, or with a hold over whom would be moved to.
    fn advice_gain(&self, table: &Table) -> f64 {
        let (Some(advice), Some((running, _))) = (self.envelope.standing(), self.running()) else {
            return 0.0;
        };
        let here = &table.of[running.0];
        let other = if advice.hold {
            let passes = |other: &UpstreamId| self.move_test().passes(here.index, table.of[other.0].index);
            self.best_beside(table, Some(running)).filter(passes)
        } else {
            self.earnings.left.filter(|_| advice.target == running)
        };
        other.map_or(0.0, |other| here.value - table.of[other.0].value)
    }

    fn next_wake(&self, table: &Table, weighed: bool, now: Instant) -> Option<Instant> {
        // Gains count, and are looked for again, only where the most worth is wanted.
        let gains = self.settings.strategy == Strategy::Value;
        let ordered = self.settings.strategy == Strategy::Failover;
        let proven = (0..self.upstreams.len()).filter(|_| ordered).map(|id| self.proven_at(UpstreamId(id)));
        let of_upstreams = self.upstreams.iter().zip(&table.of).flat_map(|(upstream, weighed)| {
            let up_since = upstream.link.up_since().filter(|_| gains);
            let usable_at = up_since.map(|since| since + self.settings.moves.usable_after);
            let released_at = upstream.jobs.held.map(|held| held.since + self.settings.graces.alone);
            let changes_at = weighed.judgement.and_then(|judgement| judgement.changes_at);
            let [unanswered, silent] = upstream.link.deadlines();
            [usable_at, released_at, changes_at, unanswered, silent, upstream.shares.watch.probe_at()]
        });
        let of_lanes = self.hashing.lanes.iter().flat_map(|lane| self.wakes_of(lane, table, now));
        let others = [
            self.hashing.turn_ends,
            self.dwell_ends().filter(|_| gains),
            self.hashing.weighed_at.filter(|_| gains && !weighed).map(|at| at + WEIGH_EVERY),
            self.envelope.ends(),
        ];
        of_upstreams.chain(proven).chain(of_lanes).chain(others).flatten().filter(|at| *at > now).min()
    }

    fn wakes_of(&self, lane: &Lane, table: &Table, now: Instant) -> [Option<Instant>; 6] {
        let Some(running) = &lane.running else { return [None; 6] };
        let upstream = &self.upstreams[running.upstream.0];
        let (current, newest) = (&table.of[running.upstream.0], table.newest[running.upstream.0]);
        let waits = upstream.jobs.newest.filter(|_| newest.is_some());
        let is_late = current.value <= 0.0 && current.judgement.is_some_and(|it| it.late_since.is_some());
        let has_other = || self.best_beside(table, Some(running.upstream)).is_some();
        [
            lane.pending.as_ref().map(|(_, at)| *at),
            self.hashing.nothing_since.map(|since| since + upstream.patience),
            (is_late && has_other()).then(|| now + LOOK_AGAIN),
            newest.and_then(|newest| newest.judgement?.changes_at),
            waits.map(|_| running.since + Duration::from_secs_f64(OLDEST)),
            self.gives_up_at(running),
        ]
    }

    fn is_due(&self, now: Instant) -> bool {
        self.wake.is_some_and(|wake| now >= wake)
            || self.hashing.weighed_at.is_none_or(|at| now >= at + WEIGH_EVERY)
    }
}
