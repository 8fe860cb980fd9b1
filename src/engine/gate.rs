//! The staged validation at the engine's door: which jobs may be hashed, and what becomes of upstreams whose jobs may not.
//!
//! `validate` judges a job by itself and by what is known when it comes. What only time tells of it, the cross-check watches:
//! a parent that stays unknown to all others (check 8000) and a tip that falls behind (check 14000).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::beside::{Asked, run};
use super::clocks::Clocks;
use super::policy::UpstreamTerms;
use super::{Action, Engine, Report, UpstreamId};
use crate::validate::context::{Machine, NodeTemplate, NodeView};
use crate::validate::digest::{Changed, Origin};
use crate::validate::{Context, Finding, JobUnderTest, Level, Outcome, TOO_NEW, Verdict, quarantine};
use crate::work::Job;
use crate::work::coinbase::height;

/// So many refused jobs within the time quarantine their upstream.
const STRIKES: usize = 3;
const STRIKES_WITHIN: Duration = Duration::from_secs(600);
/// How long a job may be held back while its cause lasts.
const GRACE: Duration = Duration::from_secs(30);
/// Least time between two words on the same fault of an upstream.
const REPEAT: Duration = Duration::from_secs(600);

/// What the checks came to, by job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckCounts {
    /// Checks that ran.
    pub executed: u64,
    /// Jobs that were mined with a warning.
    pub warned: u64,
    /// Jobs that were held back, if only for a moment.
    pub held: u64,
    /// Jobs that were refused.
    pub rejected: u64,
}

/// A job that waits for its cause to clear.
#[derive(Debug)]
struct Held {
    job: Arc<Job>,
    arrived: Instant,
    /// When it arrived, seconds since 1970.
    unix: u64,
}

/// What is remembered of one upstream.
#[derive(Debug, Default)]
pub(super) struct Door {
    counts: CheckCounts,
    /// With the codes that they were given for.
    strikes: VecDeque<(Instant, &'static str)>,
    quarantines: u32,
    /// By the finding's code.
    told: BTreeMap<&'static str, Instant>,
    held: Option<Held>,
    /// Since when its jobs have been held back without a break.
    held_since: Option<Instant>,
    /// The newest job, where it was refused for its time and nothing else: others may yet say the same.
    untimely: Option<Held>,
    /// What a node of ours was last asked of its jobs.
    pub(super) asked: Asked,
}

/// The doors of all upstreams.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) level: Level,
    pub(super) doors: Vec<Door>,
    /// The newest template of our own, and whose it is.
    pub(super) template: Option<(UpstreamId, NodeTemplate)>,
    pub(super) clocks: Clocks,
}

/// Why and until when an upstream is left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Quarantine {
    pub(super) until: Instant,
    pub(super) reason: String,
    /// Whether its jobs were refused for their time and nothing else.
    pub(super) is_for_time: bool,
}

impl Held {
    /// The time of day, seconds since 1970.
    fn unix_at(&self, now: Instant) -> u64 {
        self.unix + now.saturating_duration_since(self.arrived).as_secs()
    }
}

impl Door {
    fn strike(&mut self, finding: &Finding, now: Instant) -> Option<Quarantine> {
        self.strikes.retain(|(at, _)| now.duration_since(*at) < STRIKES_WITHIN);
        self.strikes.push_back((now, finding.code));
        if self.strikes.len() < STRIKES {
            return None;
        }
        let is_for_time = self.strikes.drain(..).all(|(_, code)| code == TOO_NEW);
        let term = quarantine(self.quarantines);
        self.quarantines += 1;
        let minutes = term.as_secs() / 60;
        let reason =
            format!("{STRIKES} of its jobs were refused, left alone for {minutes} minutes: {finding}");
        Some(Quarantine { until: now + term, reason, is_for_time })
    }

    /// Whether a finding of this code was told.
    pub(super) fn has_told(&self, code: &str) -> bool {
        self.told.contains_key(code)
    }

    /// Counts what one check beside hashing found.
    pub(super) fn count_beside(&mut self, finding: &Finding) {
        self.counts.executed += 1;
        match finding.outcome {
            Outcome::Warn => self.counts.warned += 1,
            Outcome::Reject => self.counts.rejected += 1,
            Outcome::Pass | Outcome::Open | Outcome::Hold => {}
        }
    }

    /// Whether this is to be told: a warning once, the others again after a while.
    fn is_news(&mut self, finding: &Finding, now: Instant) -> bool {
        let known = self.told.get(finding.code);
        let is_old =
            known.is_some_and(|at| finding.outcome > Outcome::Warn && now.duration_since(*at) >= REPEAT);
        if known.is_some() && !is_old {
            return false;
        }
        self.told.insert(finding.code, now);
        true
    }
}

impl Gate {
    pub(super) fn new(level: Level, terms: &[UpstreamTerms]) -> Self {
        let doors = terms.iter().map(|_| Door::default()).collect();
        Self { level, doors, template: None, clocks: Clocks::new(terms) }
    }

    pub(super) fn counts(&self, upstream: UpstreamId) -> CheckCounts {
        self.doors[upstream.0].counts
    }

    /// When the next grace of a job that is held back ends.
    pub(super) fn due(&self) -> Option<Instant> {
        self.doors
            .iter()
            .filter_map(|door| door.held.as_ref().and(door.held_since))
            .map(|at| at + GRACE)
            .min()
    }

    /// An upstream is gone, and with it what it would have had done.
    pub(super) fn lost(&mut self, upstream: UpstreamId) {
        let door = &mut self.doors[upstream.0];
        (door.held, door.held_since, door.untimely) = (None, None, None);
        self.clocks.lost(upstream);
    }
}

impl Engine {
    /// Judges a job that has come. It is taken up, waits, or never comes up again; true when it was taken up.
    pub(super) fn admit(
        &mut self,
        upstream: UpstreamId,
        job: Arc<Job>,
        arrived: Instant,
        now: Instant,
        unix: u64,
    ) -> bool {
        let door = &mut self.gate.doors[upstream.0];
        (door.held, door.untimely) = (None, None); // this one is newer
        let verdict = self.judged(upstream, &job, now, unix);
        let counts = &mut self.gate.doors[upstream.0].counts;
        counts.executed += u64::from(verdict.executed);
        match verdict.outcome() {
            Outcome::Warn => counts.warned += 1,
            Outcome::Reject => counts.rejected += 1,
            Outcome::Pass | Outcome::Open | Outcome::Hold => {}
        }
        self.tell(upstream, &verdict.findings, now);
        if let Some(finding) = verdict.first(Outcome::Reject) {
            self.refuse(upstream, &job, finding, now);
            let is_untimely = verdict.is_rejected_only_for(TOO_NEW);
            self.gate.doors[upstream.0].untimely = is_untimely.then_some(Held { job, arrived, unix });
            return false;
        }
        if self.must_wait(upstream, &verdict, now) {
            let code = verdict.first(Outcome::Hold).map_or("held", |finding| finding.code);
            self.value_held(upstream, &job, code, now);
            let door = &mut self.gate.doors[upstream.0];
            door.counts.held += 1;
            door.held = Some(Held { job, arrived, unix });
            return false;
        }
        self.let_in(upstream, job, verdict, arrived, now, unix);
        true
    }

    /// Takes a job up, and looks at what follows from it beside hashing.
    fn let_in(
        &mut self,
        upstream: UpstreamId,
        job: Arc<Job>,
        verdict: Verdict,
        arrived: Instant,
        now: Instant,
        unix: u64,
    ) {
        self.take_up(upstream, job, verdict, arrived, now, unix);
        self.refuse_twins(upstream, now, unix);
        self.check_beside(upstream, now, unix);
    }

    /// A job must not be mined: its upstream gets a strike for it, unless our clock may be what is wrong, of which nobody else has
    /// said anything.
    fn refuse(&mut self, upstream: UpstreamId, job: &Job, finding: &Finding, now: Instant) {
        let to_blame = finding.code != TOO_NEW || !self.clocks(upstream, now, self.unix_at(now)).is_empty();
        // What it sends while it is left alone is no new fault.
        let counts = to_blame && self.upstreams.find(upstream).barred(now).is_none();
        let quarantine = counts.then(|| self.gate.doors[upstream.0].strike(finding, now)).flatten();
        self.upstreams.refuse(upstream, finding, to_blame, quarantine);
        self.value_rejected(upstream, job, finding.code, now);
    }

    /// The job that an upstream gives must not be mined any more, as it turns out: it is dropped, and its upstream asked for
    /// another one over a new connection.
    pub(super) fn refuse_running(&mut self, upstream: UpstreamId, finding: Finding, now: Instant) {
        let Some(job) = self.upstreams.find(upstream).newest_job().cloned() else { return };
        self.gate.doors[upstream.0].count_beside(&finding);
        self.tell(upstream, std::slice::from_ref(&finding), now);
        if self.upstreams.find(upstream).vouches() {
            // A node is asked again by the session, which says when it may be mined on.
            self.value_rejected(upstream, &job, finding.code, now);
        } else {
            self.refuse(upstream, &job, &finding, now);
        }
        self.give_up_job(upstream, &finding, now);
    }

    /// Nothing of what an upstream has given is hashed any more, not even as the last resort, until it gives another job.
    fn give_up_job(&mut self, upstream: UpstreamId, finding: &Finding, now: Instant) {
        self.upstreams.drop_job(upstream, finding.to_string(), now);
        self.settle(now);
        self.value_lost(upstream, now);
        self.steer_canary(now);
        for board in self.boards_where(|board| board.upstream == Some(upstream)) {
            self.outbox.push_back(Action::Dispatch(board, None));
        }
    }

    /// What is known of the chain and this machine when a job is judged.
    pub(super) fn context(&self, upstream: UpstreamId, job: &Job, now: Instant, unix: u64) -> Context {
        let mut chain = self.upstreams.chain(upstream);
        let others = self.gate.doors.iter().enumerate().filter(|(index, _)| *index != upstream.0);
        let waiting = others.filter_map(|(_, door)| height(&door.held.as_ref()?.job.coinbase.coinb1));
        chain.waiting = waiting.collect();
        chain.clocks = self.clocks(upstream, now, unix);
        if self.upstreams.find(upstream).vouches() {
            chain.node = height(&job.coinbase.coinb1).map(|height| NodeView {
                prev_hash: job.header.prev_hash,
                height,
                nbits: job.header.nbits,
                mintime: None,
                coinbasevalue: None,
                parent_is_invalid: false,
            });
        }
        if let Some((_, template)) = &self.gate.template {
            template.complete(&mut chain);
        }
        if let (Some(node), Some(invalid)) = (&mut chain.node, self.gate.doors[upstream.0].asked.invalid) {
            node.parent_is_invalid = invalid == job.header.prev_hash;
        }
        // The allocator gives no extranonce2 twice, which each dispatch checks, so there is no used work to name.
        let machine = Machine {
            hash_rate: self.rate_for(upstream, now),
            rolls_ntime: true,
            siblings: self.twins_before(upstream, job),
            ..Machine::default()
        };
        Context { unix, chain, machine, ..Context::default() }
    }

    /// How far the clocks of the others are ahead of ours, which shows `unix`. Unit: seconds.
    fn clocks(&self, upstream: UpstreamId, now: Instant, unix: u64) -> Vec<i64> {
        let counts = |id| self.upstreams.find(id).may_tell_time(now);
        self.gate.clocks.of_others(upstream, counts, now, unix)
    }

    fn judged(&self, upstream: UpstreamId, job: &Arc<Job>, now: Instant, unix: u64) -> Verdict {
        let context = self.context(upstream, job, now, unix);
        let mut verdict =
            Verdict::of(self.gate.level, &JobUnderTest::new(job, origin(upstream, job)), &context);
        verdict.stamp = verdict.stamp.filter(|_| self.gate.level.includes(15_000));
        verdict
    }

    pub(super) fn tell(&mut self, upstream: UpstreamId, findings: &[Finding], now: Instant) {
        let door = &mut self.gate.doors[upstream.0];
        let news: Vec<_> = findings.iter().filter(|found| door.is_news(found, now)).cloned().collect();
        for finding in news {
            self.outbox.push_back(Action::Report(Report::Checked(upstream, finding)));
        }
    }

    /// Whether a job may not replace the running one yet. A cause that the running one shares holds nothing back.
    fn must_wait(&mut self, upstream: UpstreamId, verdict: &Verdict, now: Instant) -> bool {
        let running = self.upstreams.find(upstream).running();
        let is_new = |found: &&Finding| {
            found.outcome == Outcome::Hold
                && running
                    .is_some_and(|running| !running.findings.iter().any(|known| known.code == found.code))
        };
        let has_cause = verdict.findings.iter().any(|found| is_new(&found));
        let since = &mut self.gate.doors[upstream.0].held_since;
        if !has_cause {
            *since = None;
            return false;
        }
        now < *since.get_or_insert(now) + GRACE
    }

    /// A job is not any more what came: it is dropped, its upstream connects anew, and the operator looks at the memory.
    pub(super) fn distrust(&mut self, upstream: UpstreamId, changed: &Changed, now: Instant) {
        let finding = changed.finding();
        self.gate.doors[upstream.0].counts.rejected += 1;
        self.outbox.push_back(Action::Report(Report::Checked(upstream, finding.clone())));
        self.give_up_job(upstream, &finding, now);
    }

    /// Takes up what has waited long enough, unless it must not be mined by what is known now.
    pub(super) fn release(&mut self, now: Instant) {
        for index in 0..self.gate.doors.len() {
            let door = &mut self.gate.doors[index];
            if door.held_since.is_some_and(|since| now >= since + GRACE)
                && let Some(held) = door.held.take()
            {
                self.decide_again(UpstreamId(index), held, now);
            }
        }
    }

    /// Judges again what waits at other doors, or was turned away for its time alone: the job of one upstream may clear the cause
    /// of another's.
    pub(super) fn judge_again(&mut self, except: UpstreamId, now: Instant) {
        for index in (0..self.gate.doors.len()).filter(|index| *index != except.0) {
            if let Some(held) = self.gate.doors[index].held.take() {
                self.decide_again(UpstreamId(index), held, now);
            }
            if let Some(untimely) = self.gate.doors[index].untimely.take() {
                self.time_again(UpstreamId(index), untimely, now);
            }
        }
    }

    /// A job that was refused for its time alone is refused no more once others say the same, and nothing is held against its
    /// upstream for that.
    fn time_again(&mut self, upstream: UpstreamId, untimely: Held, now: Instant) {
        let context = self.context(upstream, &untimely.job, now, untimely.unix_at(now));
        let is_refused = run(3_000, upstream, &untimely.job, &context).outcome == Outcome::Reject;
        let door = &mut self.gate.doors[upstream.0];
        if is_refused {
            door.untimely = Some(untimely);
            return;
        }
        door.strikes.retain(|(_, code)| *code != TOO_NEW);
        let was_barred = self.upstreams.find_mut(upstream).pardon_time();
        door.quarantines -= u32::from(was_barred);
        self.decide_again(upstream, untimely, now);
    }

    /// What was held back is refused like any other job, waits on, or is taken up.
    fn decide_again(&mut self, upstream: UpstreamId, held: Held, now: Instant) {
        let unix_now = held.unix_at(now);
        let Held { job, arrived, unix } = held;
        let verdict = self.judged(upstream, &job, now, unix_now);
        let door = &mut self.gate.doors[upstream.0];
        door.counts.executed += u64::from(verdict.executed);
        if let Some(finding) = verdict.first(Outcome::Reject) {
            (door.counts.rejected, door.held_since) = (door.counts.rejected + 1, None);
            self.tell(upstream, &verdict.findings, now);
            self.refuse(upstream, &job, finding, now);
            return;
        }
        if self.must_wait(upstream, &verdict, now) {
            self.gate.doors[upstream.0].held = Some(Held { job, arrived, unix });
            return;
        }
        let door = &mut self.gate.doors[upstream.0];
        door.counts.warned += u64::from(verdict.outcome() == Outcome::Warn);
        door.held_since = None;
        self.tell(upstream, &verdict.findings, now);
        self.let_in(upstream, job, verdict, arrived, now, unix_now);
    }
}

/// What of a job's way here belongs to its stamp.
pub(super) fn origin(upstream: UpstreamId, job: &Job) -> Origin {
    Origin { upstream: upstream.0 as u64, connection: job.epoch.session }
}
