//! What events teach the decider.

use std::time::{Duration, Instant};

use super::Decider;
use super::chain::Testimony;
use super::flush::{OldJobs, QUICK};
use super::input::{Event, JobFacts, JobKey, Repute, UpstreamId};
use super::lanes::Running;
use super::output::{Warning, Worthless};
use super::rejects::Finding;
use super::upstream::{Blame, Told, blame};
use super::value::subsidy;

/// A share found so shortly after a switch may be stale by our own doing.
const SWITCHING: Duration = Duration::from_secs(2);

/// A judged share.
#[derive(Debug, Clone, Copy)]
struct Verdict {
    share: u64,
    job: JobKey,
    accepted: bool,
    code: Option<i64>,
    weight: f64,
}

impl Decider {
    /// Takes an event in. Returns whether it is a job of the upstream that we hash for, or of any while we hash for none.
    pub(super) fn learn(&mut self, event: Event, now: Instant) -> bool {
        match event {
            Event::Job(upstream, facts) if upstream.0 < self.upstreams.len() => {
                self.learn_job(upstream, facts, now);
                self.hashing.is_ours(upstream)
            }
            Event::Alive(upstream) if upstream.0 < self.upstreams.len() => {
                self.upstreams[upstream.0].link.spoke(false, now);
                false
            }
            Event::Lost(upstream) if upstream.0 < self.upstreams.len() => {
                let hashing = self.is_running(upstream);
                let place = &mut self.upstreams[upstream.0];
                place.jobs.close();
                place.old_jobs = OldJobs::default();
                let other_nodes = self
                    .upstreams
                    .iter()
                    .enumerate()
                    .any(|(id, other)| id != upstream.0 && other.terms.vouches && other.link.is_up());
                if self.upstreams[upstream.0].terms.vouches && !other_nodes {
                    self.chain.lose_node();
                }
                let place = &mut self.upstreams[upstream.0];
                self.moment += u64::from(place.link.lost(hashing, now));
                false
            }
            Event::Ended(upstream, share) if upstream.0 < self.upstreams.len() => {
                self.upstreams[upstream.0].link.ended(share);
                false
            }
            Event::Repute(upstream, repute) if upstream.0 < self.upstreams.len() => {
                let upstream = &mut self.upstreams[upstream.0];
                upstream.has_failed |= repute != Repute::Good;
                upstream.repute = repute;
                false
            }
            Event::Submitted(upstream, share) if upstream.0 < self.upstreams.len() => {
                self.upstreams[upstream.0].link.sent(share, now);
                false
            }
            Event::Answered { upstream, share, job, accepted, code, weight }
                if upstream.0 < self.upstreams.len() =>
            {
                self.learn_verdict(upstream, Verdict { share, job, accepted, code, weight }, now);
                false
            }
            Event::NodeTip { parent, height } => {
                self.moment += u64::from(self.chain.node_tip(parent, height, now));
                self.learn_subsidy(now);
                false
            }
            Event::NodeRefused { parent } => {
                self.chain.refuse(parent, now);
                self.moment += 1;
                false
            }
            Event::Device(figures) => {
                self.device = figures;
                false
            }
            Event::Variance(upstream, variance) if upstream.0 < self.upstreams.len() => {
                self.upstreams[upstream.0].variance = variance;
                false
            }
            // Of an upstream that nobody named.
            _ => false,
        }
    }

    /// What time alone changes.
    pub(super) fn advance(&mut self, now: Instant) {
        self.hashing.lanes.iter_mut().for_each(|lane| lane.advance(now));
        self.find_dead(now);
        let grace = self.settings.graces.alone;
        let mut released = Vec::new();
        for (id, upstream) in self.upstreams.iter_mut().enumerate() {
            upstream.shares.watch.advance(now);
            released.extend(upstream.jobs.release(grace, now).map(|(offer, told)| (offer.facts, told, id)));
        }
        // In the order in which they came: the first word of a block counts.
        released.sort_by_key(|(facts, ..)| facts.key);
        for (facts, told, id) in released {
            self.learn_told(UpstreamId(id), facts, None, told, now);
        }
        let builders = self.builders();
        self.chain.advance(&builders, now);
        self.envelope.advance(now);
    }

    /// Who is past a deadline; an event may have moved one into the past.
    pub(super) fn find_dead(&mut self, now: Instant) {
        for id in 0..self.upstreams.len() {
            let hashing = self.is_running(UpstreamId(id));
            let is_dead = self.upstreams[id].link.advance(hashing, now);
            self.upstreams[id].has_failed |= is_dead;
            self.moment += u64::from(is_dead);
        }
    }

    fn learn_job(&mut self, id: UpstreamId, facts: JobFacts, now: Instant) {
        let upstream = &mut self.upstreams[id.0];
        let before = upstream.jobs.newest.map(|offer| offer.facts);
        let was_up = upstream.link.is_up();
        upstream.link.spoke(true, now);
        let told = upstream.jobs.tell(facts, now);
        self.learn_told(id, facts, before.filter(|_| was_up), told, now);
    }

    /// `before` is the job before it on the same connection.
    fn learn_told(
        &mut self,
        id: UpstreamId,
        facts: JobFacts,
        before: Option<JobFacts>,
        told: Told,
        now: Instant,
    ) {
        match told {
            Told::Nothing => {}
            Told::Held => self.overtake(id, &facts, now),
            Told::Rejected { reason, voids_all } => {
                self.moment += 1;
                let lane = self.hashing.lane_mut(id);
                let is_void = |running: &Running| {
                    running.upstream == id && (voids_all || running.facts.key == facts.key)
                };
                if let Some(running) = lane.running.as_mut().filter(|running| is_void(running)) {
                    let is_it = running.facts.key == facts.key;
                    running.void =
                        Some(if is_it { Worthless::Rejected(reason) } else { Worthless::Replaced(reason) });
                }
                // A job that waits for the boundary is at least as void.
                lane.pending = lane.pending.take().filter(|(pending, _)| !is_void(pending));
            }
            Told::Passed { reconnected, voids } => {
                let is_back = before.is_none() && !self.is_running(id);
                self.soft_moment += u64::from(is_back || self.is_running(id));
                if reconnected {
                    self.upstreams[id.0].old_jobs = OldJobs::default();
                }
                // What was held against it is gone.
                if let Some(running) = self.hashing.running_mut(id).filter(|it| it.facts.key == facts.key) {
                    (running.void, running.overtaken) = (None, None);
                }
                self.overtake(id, &facts, now);
                self.testify(id, &facts, before.filter(|_| !reconnected), now);
                if voids && self.is_running(id) {
                    let is_quick = self.device.flush.as_secs_f64() < QUICK;
                    let old_jobs = self.upstreams[id.0].old_jobs;
                    let refusal = if is_quick { 1.0 } else { old_jobs.draw(&mut self.chance) };
                    if let Some(running) = self.hashing.running_mut(id) {
                        running.refusal = Some(refusal);
                    }
                }
            }
        }
    }

    /// What runs of an upstream that is on another block or another connection now earns nothing there, whether the new
    /// job is followed or not.
    fn overtake(&mut self, id: UpstreamId, newest: &JobFacts, now: Instant) {
        let is_elsewhere = |running: &Running| {
            (running.facts.parent, running.facts.connection) != (newest.parent, newest.connection)
        };
        if let Some(running) = self.hashing.running_mut(id).filter(|running| is_elsewhere(running)) {
            running.void.get_or_insert(Worthless::Overtaken);
            running.overtaken.get_or_insert(now);
        }
    }

    fn testify(&mut self, id: UpstreamId, facts: &JobFacts, before: Option<JobFacts>, now: Instant) {
        let parent_height = |height: Option<u32>| height.and_then(|height| height.checked_sub(1));
        let word = Testimony {
            upstream: id,
            parent: facts.parent,
            height: parent_height(facts.height),
            proven: facts.proven_parent,
            vouches: self.upstreams[id.0].terms.vouches,
            previous: before.map(|before| before.parent).filter(|parent| *parent != facts.parent),
        };
        let (is_new, lag) = self.chain.testify(word, now);
        self.moment += u64::from(is_new);
        let is_higher = before.is_some_and(|before| before.height < facts.height);
        if let Some(lag) = lag.filter(|_| is_higher) {
            self.upstreams[id.0].lag.count(lag.as_secs_f64());
        }
        if is_new {
            self.learn_subsidy(now);
        }
        if is_higher
            && let Some(running) = self.hashing.running_of(id)
            && running.facts.parent != facts.parent
            && let Some(fees) = running.facts.fees
        {
            self.reward.learn_fees(fees);
        }
    }

    fn learn_subsidy(&mut self, now: Instant) {
        if let Some(tip) = self.chain.survey(&[], now).tip {
            self.reward.subsidy = subsidy(tip.saturating_add(1)) as f64;
        }
    }

    fn learn_verdict(&mut self, id: UpstreamId, verdict: Verdict, now: Instant) {
        let Verdict { share, job, accepted, code, weight } = verdict;
        let upstream = &mut self.upstreams[id.0];
        let sent = upstream.link.answered(share, now);
        if sent.is_some_and(|sent| upstream.jobs.is_of_void_job(job, sent.at)) {
            // What a pool does with void jobs says nothing of its other verdicts.
            upstream.old_jobs.count(accepted);
            return;
        }
        let found = sent.map_or(now, |sent| sent.at);
        let switched_at = self.hashing.lane(id).switched_at;
        let switching = switched_at.is_some_and(|switched| switched + SWITCHING >= found);
        let blame = if accepted { Blame::Pool } else { blame(id, code, switching) };
        match blame {
            Blame::Pool => {}
            Blame::Nobody => return,
            Blame::Us(warning) => return self.warn(warning),
        }
        if self.upstreams[id.0].shares.judge(accepted, weight, now) == Finding::Alarm {
            self.moment += 1;
            self.price_probe(id, now);
        }
    }

    /// Tells the operator, once, what no decision shows.
    pub(super) fn warn(&mut self, warning: Warning) {
        const MOST: usize = 64;
        if self.warnings.len() < MOST && self.warnings.back() != Some(&warning) {
            self.warnings.push_back(warning);
        }
    }
}
