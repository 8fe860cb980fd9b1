//! What happens, as the decider is told it: the one place where jobs are chosen, whatever the operator's strategy.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::crosscheck::{self, Verdict};
use super::policy::{Policy, UpstreamTerms};
use super::{Action, BoardState, Engine, UpstreamId};
use crate::decision::value::MOST_VARIANCE;
use crate::decision::{
    self, Call, Checked, Decider, DeviceFigures, Event, JobFacts, JobKey, ParentHash, Repute, Scheme, Spell,
    Terms,
};
use crate::model::learned;
use crate::work::coinbase::height;
use crate::work::payout::Payouts;
use crate::work::{Answered, Job, Outcome, RejectKind, Share, Target};

/// Jobs of an upstream whose names are kept: shares of older ones are stale.
const KEPT: usize = 32;
/// A board that asked for work within so long will ask again: its work has an end.
pub(super) const RHYTHM: Duration = Duration::from_secs(60);
/// `B` of a board whose work does not end: a batch of nonces.
const BATCH: Duration = Duration::from_millis(50);
/// Until it is measured what a change of work costs.
const FLUSH: Duration = Duration::from_millis(2);
/// What changes of work cost is measured again after so long.
const MEASURE_EVERY: Duration = Duration::from_secs(60);

/// What a share weighs by its difficulty against the usual one, where the pool moves that.
#[derive(Debug, Clone, Copy, Default)]
struct Weights {
    usual: Option<f64>,
}

impl Weights {
    /// Part of one share in what is usual, the geometric mean: difficulties move by factors.
    const PART: f64 = 0.05;
    /// No share weighs more: after a jump of the difficulty one refused share must not outweigh all before it.
    const MOST: f64 = 4.0;

    /// Of a judged share of this difficulty.
    fn of(&mut self, difficulty: f64) -> f64 {
        let usual = self.usual.map_or(difficulty, |usual| usual * (difficulty / usual).powf(Self::PART));
        self.usual = Some(usual);
        (difficulty / usual).clamp(1.0 / Self::MOST, Self::MOST)
    }
}

/// The decider with the names it knows things by.
#[derive(Debug)]
pub(super) struct Value {
    decider: Decider,
    terms: Vec<Terms>,
    /// What was last told of what is held against each.
    reputes: Vec<Repute>,
    /// By upstream: its jobs, the newest last.
    jobs: Vec<VecDeque<(Arc<Job>, JobFacts)>>,
    next_key: u64,
    measured_at: Option<Instant>,
    /// By upstream: what its shares weigh.
    weights: Vec<Weights>,
    /// By upstream: the bad spell for whose end a probe was planned last.
    planned_by: Vec<Option<Spell>>,
    /// Names of blocks that our own node has built on, so that each is told once.
    node_tip: Option<ParentHash>,
}

impl Value {
    /// For upstreams of these terms, in the operator's order.
    pub(super) fn new(policy: &Policy, upstreams: &[UpstreamTerms], now: Instant) -> Self {
        let terms: Vec<_> = upstreams.iter().map(|upstream| upstream.value).collect();
        let mut decider = Decider::new(policy.settings(), &terms, 0, now);
        for (index, upstream) in upstreams.iter().enumerate() {
            decider.set_patience(UpstreamId(index), upstream.grace);
        }
        Self {
            decider,
            reputes: vec![Repute::default(); terms.len()],
            terms: terms.clone(),
            jobs: vec![VecDeque::new(); terms.len()],
            next_key: 0,
            measured_at: None,
            weights: vec![Weights::default(); terms.len()],
            planned_by: vec![None; terms.len()],
            node_tip: None,
        }
    }

    /// What it would do, for displays and models.
    pub(super) fn decider(&self) -> &Decider {
        &self.decider
    }

    /// The same, to be told something.
    pub(super) fn decider_mut(&mut self) -> &mut Decider {
        &mut self.decider
    }

    /// The parent of the newest job of an upstream.
    pub(super) fn parent(&self, upstream: UpstreamId) -> Option<ParentHash> {
        self.jobs.get(upstream.0)?.back().map(|(_, facts)| facts.parent)
    }

    /// A job as the decider knows it; the name is new.
    fn facts(&mut self, upstream: UpstreamId, job: &Job, clean: bool, checked: Checked) -> JobFacts {
        let key = JobKey(self.next_key);
        self.next_key += 1;
        let height = height(&job.coinbase.coinb1);
        // Taking a coinbase apart is only worth it where its fees count.
        let has_fees = self.terms[upstream.0].kappa() > 0.0;
        let total = || Payouts::of(&job.coinbase).ok().map(|payouts| payouts.total().to_sat());
        let fees =
            height.filter(|_| has_fees).and_then(|height| Some(total()?.saturating_sub(subsidy(height))));
        JobFacts {
            key,
            parent: job.header.prev_hash,
            height,
            clean,
            fees,
            connection: job.epoch.session,
            proven_parent: crosscheck::parent_has_work(&job.header.prev_hash, job.header.nbits),
            checked,
        }
    }

    fn key_of(&self, upstream: UpstreamId, share: &Share) -> Option<JobKey> {
        let jobs = self.jobs[upstream.0].iter().rev();
        jobs.into_iter().find(|(job, _)| Arc::ptr_eq(job, share.job())).map(|(_, facts)| facts.key)
    }
}

fn subsidy(height: u32) -> u64 {
    decision::value::subsidy(height)
}

/// A share's number: the part of its hash that is not zero.
fn number(share: &Share) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&share.hash().0[..8]);
    u64::from_le_bytes(bytes)
}

/// Codes that the decider knows. Source: the error codes of Stratum V1.
fn code(kind: RejectKind) -> i64 {
    match kind {
        RejectKind::Stale => 21,
        RejectKind::Duplicate => 22,
        RejectKind::LowDifficulty => 23,
        RejectKind::Unauthorized => 24,
        RejectKind::Ntime | RejectKind::Version | RejectKind::Other => 20,
    }
}

impl Engine {
    /// An upstream gave a job, which is its newest now.
    pub(super) fn value_job(&mut self, upstream: UpstreamId, job: &Arc<Job>, clean: bool, now: Instant) {
        let checked = self.checked(upstream);
        let facts = self.value.facts(upstream, job, clean, checked);
        let jobs = &mut self.value.jobs[upstream.0];
        if jobs.len() == KEPT {
            jobs.pop_front();
        }
        jobs.push_back((Arc::clone(job), facts));
        let vouches = self.value.terms[upstream.0].vouches;
        if let Some(height) = facts.height.filter(|_| vouches && self.value.node_tip != Some(facts.parent)) {
            self.value.node_tip = Some(facts.parent);
            let tip = Event::NodeTip { parent: facts.parent, height: height.saturating_sub(1) };
            self.value_event(tip, now);
        }
        self.value_event(Event::Job(upstream, facts), now);
        // Nobody decides on the work of a canary: it takes each job at once.
        if self.canary.has(upstream) {
            self.upstreams.find_mut(upstream).promote(true);
            self.hand_on(upstream, true, now);
        }
    }

    /// A job of an upstream failed a check and is never hashed.
    pub(super) fn value_rejected(
        &mut self,
        upstream: UpstreamId,
        job: &Job,
        code: &'static str,
        now: Instant,
    ) {
        self.value_unfit(upstream, job, Checked::Rejected(code), now);
    }

    /// A job of an upstream waits for a check.
    pub(super) fn value_held(&mut self, upstream: UpstreamId, job: &Job, code: &'static str, now: Instant) {
        self.value_unfit(upstream, job, Checked::Hold(code), now);
    }

    fn value_unfit(&mut self, upstream: UpstreamId, job: &Job, checked: Checked, now: Instant) {
        let newest = self.value.jobs[upstream.0].back();
        let clean = newest.is_none_or(|(newest, _)| newest.epoch < job.epoch);
        let facts = self.value.facts(upstream, job, clean, checked);
        self.value_event(Event::Job(upstream, facts), now);
    }

    /// What is held against an upstream has changed: its newest job counts otherwise.
    pub(super) fn value_judged(&mut self, upstream: UpstreamId, now: Instant) {
        let repute = self.upstreams.repute(upstream, now);
        if std::mem::replace(&mut self.value.reputes[upstream.0], repute) != repute {
            self.value_event(Event::Repute(upstream, repute), now);
        }
        let checked = self.checked(upstream);
        let Some((_, facts)) = self.value.jobs[upstream.0].back_mut() else { return };
        if facts.checked != checked && self.upstreams.find(upstream).is_live() {
            facts.checked = checked;
            let event = Event::Job(upstream, *facts);
            self.value_event(event, now);
        }
    }

    fn checked(&self, upstream: UpstreamId) -> Checked {
        let upstream = self.upstreams.find(upstream);
        match &upstream.verdict {
            _ if upstream.is_used_up() => Checked::Rejected("all work of its job has been done"),
            Verdict::Quarantine(_) => Checked::Rejected("its upstream is in quarantine"),
            Verdict::Fine | Verdict::Flag(_) | Verdict::Suspect(_) => Checked::Passed,
        }
    }

    /// A share was handed over.
    pub(super) fn value_sent(&mut self, upstream: UpstreamId, share: &Share, now: Instant) {
        self.value_event(Event::Submitted(upstream, number(share)), now);
    }

    /// A share came to its end. Only what the pool said of it teaches anything.
    pub(super) fn value_answered(&mut self, upstream: UpstreamId, answered: &Answered, now: Instant) {
        let (accepted, code) = match &answered.outcome {
            Outcome::Accepted => (true, None),
            Outcome::Rejected(reject) => (false, Some(code(reject.kind))),
            Outcome::Stale | Outcome::Withheld | Outcome::Lost(_) => {
                return self.value_event(Event::Ended(upstream, number(&answered.share)), now);
            }
        };
        let Some(job) = self.value.key_of(upstream, &answered.share) else { return };
        let share = number(&answered.share);
        let weight = self.value.weights[upstream.0].of(answered.share.job().difficulty.value());
        self.value_event(Event::Answered { upstream, share, job, accepted, code, weight }, now);
    }

    /// An upstream is gone.
    pub(super) fn value_lost(&mut self, upstream: UpstreamId, now: Instant) {
        self.value_event(Event::Lost(upstream), now);
    }

    /// The decider's time has come, or what a change of work costs is measured anew.
    pub(super) fn value_timeout(&mut self, now: Instant) {
        let is_old = |at: Instant| now.saturating_duration_since(at) >= MEASURE_EVERY;
        if self.value.measured_at.is_none_or(is_old) {
            self.value.measured_at = Some(now);
            let figures = self.device_figures(now);
            self.learn_variances(now);
            self.value_event(Event::Device(figures), now);
        }
        if self.value.decider.poll_timeout().is_some_and(|at| now >= at) {
            let decisions = self.value.decider.handle_timeout(now);
            self.record(Call::Timeout, now);
            self.carry_out(&decisions, now);
        }
    }

    /// When the decider wants to look again.
    pub(super) fn value_due(&self) -> Option<Instant> {
        self.value.decider.poll_timeout()
    }

    /// What a change of work costs all boards, by the part of each in the hashing.
    pub(super) fn flush_cost(&self, now: Instant) -> Duration {
        let boards = self.boards.values().filter(|board| board.state != BoardState::Gone);
        let (mut rates, mut lost) = (0.0, 0.0);
        for board in boards {
            let rate = board.likely_rate(now).0;
            rates += rate;
            lost += rate * board.flush.measured().unwrap_or(FLUSH).as_secs_f64();
        }
        if rates > 0.0 { Duration::from_secs_f64(lost / rates) } else { FLUSH }
    }

    /// How uneven the income of solo mining is: 1 / rate of blocks, which is what one of them is worth in ideal seconds times
    /// the ideal income. What a pool that shares blocks finds is not known.
    fn learn_variances(&mut self, now: Instant) {
        for index in 0..self.value.terms.len() {
            let upstream = UpstreamId(index);
            let is_solo = matches!(self.value.terms[index].scheme, Scheme::SoloPool | Scheme::SoloNode);
            let newest = self.value.jobs[index].back().filter(|_| is_solo);
            let target = newest.and_then(|(job, _)| Target::from_nbits(job.header.nbits).ok());
            if let Some(target) = target {
                let blocks_a_second = self.rate_for(upstream, now).finds(&target);
                let variance = (1.0 / blocks_a_second).min(MOST_VARIANCE);
                self.value_event(Event::Variance(upstream, variance), now);
            }
        }
    }

    fn device_figures(&self, now: Instant) -> DeviceFigures {
        let flush = self.flush_cost(now);
        let rhythms = self.boards.values().filter_map(|board| board.rhythm(RHYTHM, now));
        let boundary = rhythms.max().unwrap_or(BATCH);
        DeviceFigures { flush, cross: flush, boundary, next_boundary: None }
    }

    fn record(&mut self, call: Call, now: Instant) {
        if self.is_recorded {
            self.outbox.push_back(Action::Record(Box::new((call, now))));
        }
    }

    pub(super) fn value_event(&mut self, event: Event, now: Instant) {
        let is_aside = match event {
            Event::Submitted(upstream, _) => !self.value.decider.is_running(upstream),
            _ => false,
        };
        let decisions = self.value.decider.handle(event, now);
        self.record(if is_aside { Call::Aside(event) } else { Call::Event(event) }, now);
        if let Event::Answered { upstream, accepted: false, .. } = event
            && self.learns_spells
        {
            self.plan_probe(upstream);
        }
        self.carry_out(&decisions, now);
    }

    /// Puts the probe of an upstream in alarm where its bad spells so far say. The same spells say the same, and asking them
    /// takes half a millisecond.
    fn plan_probe(&mut self, upstream: UpstreamId) {
        let spells = self.value.decider.spells(upstream);
        let latest = spells.last().copied();
        if std::mem::replace(&mut self.value.planned_by[upstream.0], latest) == latest {
            return;
        }
        if let Some(not_before) = learned::not_before(spells) {
            self.value.decider.set_probe_plan(upstream, not_before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_weighs_as_much_more_as_it_is_harder_than_usual() {
        let mut weights = Weights::default();
        assert!((0..100).all(|_| weights.of(512.0) == 1.0));
        let harder = weights.of(1024.0);
        assert!((1.9..2.0).contains(&harder), "{harder}");
        assert_eq!((weights.of(1e9), weights.of(1e-9)), (4.0, 0.25));
        let last = (0..200).fold(0.0, |_, _| weights.of(64.0));
        assert!((last - 1.0).abs() < 0.01, "{last}");
    }
}
