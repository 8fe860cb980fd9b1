//! The checks that run beside hashing, once a job has been let in: 14000, how far sources agree on the tip; 16000 and the
//! rest of 8000, what a node of our own says; and of 7000 what a job does to others that were there before.
//!
//! A node is asked and never waited for. Until it answers, and when it does not, nothing follows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::gate::origin;
use super::{Action, Engine, UpstreamId};
use crate::decision::Event;
use crate::validate::context::{After, Machine, NodeAnswer, NodeQuestion, NodeTemplate, Proposal};
use crate::validate::{CHECKS, Context, Finding, JobUnderTest, Outcome};
use crate::work::template::Template;
use crate::work::{Extranonce1, Job};

/// How long an answer may be under way until the question is given up: a node is slow or gone then.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a node was asked of one upstream's jobs.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Without an answer yet, and since when.
    pending: Vec<(NodeQuestion, Instant)>,
    /// The last parent that it called invalid, header order.
    pub(super) invalid: Option<[u8; 32]>,
}

impl Asked {
    /// Whether to ask: once at a time.
    fn ask(&mut self, question: NodeQuestion, now: Instant) -> bool {
        self.pending.retain(|(_, since)| now.duration_since(*since) < PATIENCE);
        let is_free = !self
            .pending
            .iter()
            .any(|(pending, _)| std::mem::discriminant(pending) == std::mem::discriminant(&question));
        if is_free {
            self.pending.push((question, now));
        }
        is_free
    }

    /// Whether the answer was waited for.
    fn answered(&mut self, question: NodeQuestion) -> bool {
        let at = self.pending.iter().position(|(pending, _)| *pending == question);
        at.map(|at| self.pending.swap_remove(at)).is_some()
    }
}

/// Whether two jobs make the same headers but for the time: where both are hashed, all is hashed twice.
fn is_same_work(one: &Job, other: &Job) -> bool {
    one.coinbase == other.coinbase
        && one.branch == other.branch
        && one.header.prev_hash == other.header.prev_hash
        && one.header.nbits == other.header.nbits
}

impl Engine {
    /// A node of ours has made a template, of which its next job is.
    pub fn handle_template(&mut self, upstream: UpstreamId, chain: &str, template: Arc<Template>) {
        self.gate.template = Some((upstream, NodeTemplate::new(chain, template)));
    }

    /// The node that was asked has answered.
    pub fn handle_node_answer(&mut self, answer: NodeAnswer, now: Instant) {
        for index in 0..self.gate.doors.len() {
            let upstream = UpstreamId(index);
            if !self.gate.doors[index].asked.answered(answer.question) {
                continue;
            }
            let job = self.upstreams.find(upstream).newest_job().cloned();
            match (answer.question, answer.answer, job) {
                (NodeQuestion::Mempool(txid), Some(is_there), Some(job))
                    if job.branch.first() == Some(&txid) =>
                {
                    self.first_branch(upstream, &job, is_there, now);
                }
                (NodeQuestion::Invalid(parent), Some(true), job) => {
                    self.gate.doors[index].asked.invalid = Some(parent);
                    self.value_event(Event::NodeRefused { parent }, now);
                    if let Some(job) = job.filter(|job| job.header.prev_hash == parent) {
                        let context = self.context(upstream, &job, now, self.unix_at(now));
                        let finding = run(8_000, upstream, &job, &context);
                        self.refuse_running(upstream, finding, now);
                    }
                }
                _ => {}
            }
        }
    }

    /// The node would refuse a block of the running job of our own, for this reason.
    pub fn handle_block_refused(&mut self, upstream: UpstreamId, reason: String, now: Instant) {
        let Some(job) = self.upstreams.find(upstream).newest_job().cloned() else { return };
        let after = After { proposal: Some(Proposal::Refused(reason)), ..After::default() };
        let finding = run(16_000, upstream, &job, &Context { after, ..Context::default() });
        self.refuse_running(upstream, finding, now);
    }

    /// What can be told of an upstream's newest job at once, and the questions about the rest.
    pub(super) fn check_beside(&mut self, upstream: UpstreamId, now: Instant, unix: u64) {
        let Some(job) = self.upstreams.find(upstream).newest_job().cloned() else { return };
        // Nobody's word counts against a node that has checked every block itself.
        if self.gate.level.includes(14_000) && !self.upstreams.find(upstream).vouches() {
            let context = self.context(upstream, &job, now, unix);
            let finding = run(14_000, upstream, &job, &context);
            self.found_beside(upstream, finding, now);
        }
        self.ask_node(upstream, &job, now);
    }

    /// Asks whether a node of ours knows what a pool builds on, and with.
    fn ask_node(&mut self, upstream: UpstreamId, job: &Job, now: Instant) {
        let Some((node, template)) = &self.gate.template else { return };
        if self.upstreams.find(upstream).vouches() || !self.upstreams.find(*node).is_live() {
            return;
        }
        let is_on_tip = template.prev_hash() == job.header.prev_hash;
        if !is_on_tip && self.gate.level.includes(8_000) {
            self.put(upstream, NodeQuestion::Invalid(job.header.prev_hash), now);
            return;
        }
        // The first entry of a branch is the txid of the block's second transaction.
        let first = job.branch.first().copied().filter(|_| is_on_tip && self.gate.level.includes(16_000));
        let Some(txid) = first else { return };
        if template.has(&txid) {
            self.first_branch(upstream, job, true, now);
        } else if !self.gate.doors[upstream.0].has_told("transactions-unknown") {
            self.put(upstream, NodeQuestion::Mempool(txid), now);
        }
    }

    /// Hands a question on.
    fn put(&mut self, upstream: UpstreamId, question: NodeQuestion, now: Instant) {
        if self.gate.doors[upstream.0].asked.ask(question, now) {
            self.outbox.push_back(Action::AskNode(question));
        }
    }

    fn first_branch(&mut self, upstream: UpstreamId, job: &Job, is_known: bool, now: Instant) {
        let after = After { first_branch_known: Some(is_known), ..After::default() };
        let finding = run(16_000, upstream, job, &Context { after, ..Context::default() });
        self.found_beside(upstream, finding, now);
    }

    /// Counts and tells what a check found that only warns.
    fn found_beside(&mut self, upstream: UpstreamId, finding: Finding, now: Instant) {
        self.gate.doors[upstream.0].count_beside(&finding);
        if finding.outcome > Outcome::Open {
            self.tell(upstream, &[finding], now);
        }
    }

    /// The extranonce1 of more wanted connections to the same pool that give the same work as this job.
    pub(super) fn twins_before(&self, upstream: UpstreamId, job: &Job) -> Vec<Extranonce1> {
        let Some(pool) = self.upstreams.find(upstream).pool() else { return Vec::new() };
        let others = self.upstreams.iter().take(upstream.0).filter(|other| other.pool() == Some(pool));
        let jobs = others.filter_map(|other| other.newest_job());
        jobs.filter(|other| is_same_work(other, job))
            .map(|other| other.coinbase.extranonce1.clone())
            .collect()
    }

    /// Less wanted connections to the same pool that have been giving the work of the one whose job has just come.
    pub(super) fn refuse_twins(&mut self, upstream: UpstreamId, now: Instant, unix: u64) {
        if !self.gate.level.includes(7_000) || self.upstreams.find(upstream).pool().is_none() {
            return;
        }
        for index in upstream.0 + 1..self.gate.doors.len() {
            let other = UpstreamId(index);
            let Some(job) = self.upstreams.find(other).newest_job().cloned() else { continue };
            let siblings = self.twins_before(other, &job);
            if !siblings.is_empty() {
                let machine = Machine { siblings, ..Machine::default() };
                let context = Context { unix, machine, ..Context::default() };
                let finding = run(7_000, other, &job, &context);
                self.refuse_running(other, finding, now);
            }
        }
    }
}

/// The check of this level on a job.
pub(super) fn run(level: u16, upstream: UpstreamId, job: &Job, context: &Context) -> Finding {
    let check =
        CHECKS.iter().find(|check| check.level == level).expect("the table has a check of each level");
    check.run(&JobUnderTest::new(job, origin(upstream, job)), context)
}
