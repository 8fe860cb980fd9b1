//! Which job to hash and when to change it, by expected value. Pure: what happened and when in, one action with its
//! reason out.
//!
//! The rule in lines, to which decisions refer:
//!
//! 1. Every candidate job has a value rate `w` of 0 to about 1: the part of an ideal second's revenue that a second of
//!    hashing on it earns, `pay · acceptance · availability · V · R` ([`value`]).
//! 2. A job that fails a check has none; nor has one whose parent is behind the tip, for PPLNS and solo. For PPS that
//!    keeps its value for 60 s.
//! 3. What runs and has no value is left at once for the best candidate; where there is none the last job is kept for
//!    30 s, then the boards idle.
//! 4. A new parent of our upstream, not lower than ours, is switched to at once, whatever the clean flag says.
//! 5. A newer job on the same parent, not clean, is taken at the boundary, unless its fees outweigh the lost hashes.
//! 6. A clean one is flushed for, unless a flush is slow and this pool has been seen to accept shares of older jobs.
//! 7. Where another upstream has the new tip first, PPLNS and solo weigh the hazard of ours catching up against the cost
//!    of going there, and back where we would ([`lag`]). PPS stays.
//! 8. Otherwise another upstream is moved to only if its index beats that of ours by more than the cost over 600 s, by
//!    0.1 % at least, and 120 s after the last such move.
//! 9. An upstream is dead when it is silent for too long or leaves 3 shares without an answer; failures lower its value
//!    by the time that they cost us.
//! 10. A jump in the reject rate is found by a CUSUM ([`rejects`]); the upstream is left and probed again after 600 s,
//!     1200 s, up to 3600 s.
//! 11. Luck alone moves nothing; it raises a warning with a p-value ([`luck`]).
//! 12. Advice may amend choices of line 8 only, inside an envelope that bounds the damage ([`Advice`]).
//! 13. Decisions take below 100 µs, without I/O, and are pure functions of state, event and time.
//! 14. Every decision is recorded with its value, its reason and what the alternatives were worth ([`record`]).
//!
//! Whom the operator wants hashed for ([`Strategy`]) can take the place of lines 8 and 12, and says who comes first among
//! those that are worth something; all other lines hold whatever he wants. Where hashing is shared they hold for each
//! upstream by itself ([`Action::Close`]).
//!
//! Under PPS a miner gains nothing from newer templates or from chasing tips, for the pool bears both; who does not want
//! to burn power on dead parents all the same sets [`StalePolicy::Network`].

pub mod acceptance;
mod act;
pub mod board_health;
pub mod chain;
pub(crate) mod chance;
mod choose;
pub mod earned;
pub mod envelope;
mod flush;
pub mod input;
pub mod lag;
mod lanes;
mod learn;
pub mod link;
pub mod luck;
pub mod output;
mod preference;
pub mod quota;
pub mod record;
pub mod rejects;
pub mod settings;
mod upstream;
pub mod value;
mod weigh;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

pub use earned::Earned;
pub use envelope::Budget;
pub use input::{
    Call, Checked, DeviceFigures, Event, JobFacts, JobKey, ParentHash, Repute, Scheme, Terms, UpstreamId,
};
pub use output::{
    Action, Advice, Candidate, Decision, Delays, Observed, ObservedJob, Reason, Refused, Spell, Spoke,
    Warning, Worthless,
};
pub use record::{Alternative, Counts, Record};
pub use settings::{Alarms, Bounds, Deadlines, Graces, Learning, Moves, Settings, StalePolicy, Strategy};

use self::chain::Chain;
use self::chance::Chance;
use self::earned::Earnings;
use self::envelope::{Envelope, Standing};
use self::lanes::Hashing;
use self::record::Journal;
use self::upstream::Upstream;
use self::value::Reward;

/// Decides which job to hash.
#[derive(Debug, Clone)]
pub struct Decider {
    settings: Settings,
    upstreams: Vec<Upstream>,
    chain: Chain,
    reward: Reward,
    device: DeviceFigures,
    hashing: Hashing,
    envelope: Envelope,
    journal: Journal,
    earnings: Earnings,
    chance: Chance,
    warnings: VecDeque<Warning>,
    /// Hard events so far.
    moment: u64,
    /// Soft ones.
    soft_moment: u64,
    wake: Option<Instant>,
}

/// The subsidy until a height is known, satoshi: that of heights 840,000 to 1,049,999.
const SUBSIDY: u64 = 312_500_000;

impl Decider {
    /// For upstreams of these terms, in the operator's order. The same seed and events give the same decisions.
    pub fn new(settings: Settings, upstreams: &[Terms], seed: u64, now: Instant) -> Self {
        Self {
            settings,
            upstreams: upstreams.iter().map(|terms| Upstream::new(*terms, &settings, now)).collect(),
            chain: Chain::new(upstreams.len(), settings.graces),
            reward: Reward { subsidy: SUBSIDY as f64, mean_fees: settings.mean_fees as f64 },
            device: DeviceFigures::default(),
            hashing: Hashing::new(upstreams.len(), settings.strategy.is_shared()),
            envelope: Envelope::new(settings.bounds, now),
            journal: Journal::default(),
            earnings: Earnings::default(),
            chance: Chance::new(seed),
            warnings: VecDeque::new(),
            moment: 0,
            soft_moment: 0,
            wake: None,
        }
    }

    /// Something happened. Events of an upstream that nobody named change nothing. Returns one decision, or where hashing
    /// is shared one for each upstream in the operator's order.
    pub fn handle(&mut self, event: Event, now: Instant) -> Vec<Decision> {
        self.advance(now);
        let is_ours = self.learn(event, now);
        self.find_dead(now);
        // A block that all have left by this event is left from now on.
        let builders = self.builders();
        self.chain.advance(&builders, now);
        self.decide(is_ours, now)
    }

    /// The time has come that [`Self::poll_timeout`] named. Returns as [`Self::handle`] does.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<Decision> {
        self.advance(now);
        self.decide(false, now)
    }

    /// When to call [`Self::handle_timeout`]; later than the last call.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.wake
    }

    /// What the boards hash, for the first of the upstreams where they are several. A job for the boundary runs from the boundary on that [`DeviceFigures`] foretell, or from
    /// [`Self::taken`] on.
    pub fn running(&self) -> Option<(UpstreamId, JobKey)> {
        self.hashing.running().next().map(|running| (running.upstream, running.facts.key))
    }

    /// The boards have taken up the job that was waiting for the boundary.
    pub fn taken(&mut self, job: JobKey) {
        let has_it = |lane: &&mut lanes::Lane| lane.is_pending(job);
        self.hashing.lanes.iter_mut().filter(has_it).for_each(lanes::Lane::take_pending);
    }

    /// All upstreams, the best index first; ties in the operator's order.
    pub fn candidates(&self, now: Instant) -> Vec<Candidate> {
        self.list(now)
    }

    /// `w` of an upstream: of the running job for the one that we hash for, else of its newest. 0 for an unknown one.
    pub fn value(&self, upstream: UpstreamId, now: Instant) -> f64 {
        self.weigh(now).of.get(upstream.0).map_or(0.0, |weighed| weighed.value)
    }

    /// By upstream: whether it gives work that is worth something and its rejects have not jumped.
    pub fn works(&self, now: Instant) -> Vec<bool> {
        let works =
            |weighed: &weigh::Weighed| weighed.value > 0.0 && weighed.readiness > weigh::Readiness::Alarmed;
        self.weigh(now).of.iter().map(works).collect()
    }

    /// How the tip stands.
    pub fn chain_view(&self, now: Instant) -> chain::ChainView {
        self.chain.view(&self.builders(), now)
    }

    /// Since when the upstream of the running job is hashed for without a break.
    pub fn running_since(&self) -> Option<Instant> {
        self.hashing.lanes.iter().find(|lane| lane.running.is_some())?.turned_at
    }

    /// What a change of work costs, as it was told.
    pub fn device(&self) -> DeviceFigures {
        self.device
    }

    /// Counts hard events: a new parent, a death, a failed check, a block that the node refuses, a jump in rejects, and
    /// what runs becoming worthless. Advice made before one is refused.
    pub fn moment(&self) -> u64 {
        self.moment
    }

    /// Counts soft events: a newer job of an upstream that is hashed for, an upstream that gives work again, and a move. Advice
    /// made before the last but one is refused.
    pub fn soft_moment(&self) -> u64 {
        self.soft_moment
    }

    /// Whom mathematics would have hashed for now, whatever advice stands; `None` while nothing is.
    pub fn baseline(&self, now: Instant) -> Option<UpstreamId> {
        let running = self.hashing.running().next()?;
        Some(self.unadvised(running, &self.weigh(now), now))
    }

    /// Takes advice inside its envelope, and decides anew. Errors: the rule of the envelope that it breaks.
    pub fn advise(&mut self, advice: Advice, now: Instant) -> Result<Vec<Decision>, Refused> {
        self.advance(now);
        let table = self.weigh(now);
        let target = advice.target;
        let is_here = !advice.hold || self.is_running(target);
        let standing = self.standing_of(target, &table).filter(|_| is_here);
        let unfit = Standing { is_fit: false, value: 0.0, best: 0.0, cost: 0.0 };
        if self.soft_moment > advice.seen_soft.saturating_add(1) {
            return Err(Refused::OutOfDate);
        }
        let running = self.hashing.running().next();
        let amends = running.is_some_and(|running| {
            running.upstream != target || self.unadvised(running, &table, now) != target
        });
        self.envelope.take(advice, standing.unwrap_or(unfit), self.moment, amends, now)?;
        self.earnings.left = self.running().map(|(running, _)| running).filter(|running| *running != target);
        Ok(self.decide(true, now))
    }

    /// A model says what mathematics says: advice in force ends, and it is decided anew. `None` where there is none.
    pub fn take_back_advice(&mut self, now: Instant) -> Option<Vec<Decision>> {
        self.advance(now);
        self.envelope.standing()?;
        self.envelope.drop_standing();
        Some(self.decide(true, now))
    }

    /// What advice may still do.
    pub fn budget(&self, now: Instant) -> Budget {
        self.envelope.budget(now)
    }

    /// When the day ends by UTC, after which advice has a new budget. Until told, a day from the start on.
    pub fn midnight(&mut self, next: Instant, now: Instant) {
        self.envelope.advance(now);
        self.envelope.set_midnight(next);
    }

    /// The last 1000 decisions, the oldest first.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.journal.records()
    }

    /// Those of the last 1000 decisions that were written after so many others, the oldest first.
    pub fn records_after(&self, written: u64) -> impl Iterator<Item = &Record> {
        self.journal.records_after(written)
    }

    /// How many decisions have been written, those no longer kept among them.
    pub fn written(&self) -> u64 {
        self.journal.written()
    }

    /// What the time since the first job was worth.
    pub fn earned(&self, now: Instant) -> Earned {
        self.earnings.at(now)
    }

    /// What advice has cost today, up to its budget. Unit: ideal seconds.
    pub fn regret_spent(&self, now: Instant) -> f64 {
        const DAY: f64 = 86_400.0;
        (self.settings.bounds.regret_a_day * DAY - self.budget(now).regret_left).max(0.0)
    }

    /// How often what was decided.
    pub fn counts(&self) -> Counts {
        self.journal.counts
    }

    /// The next word for the operator that no decision shows.
    pub fn poll_warning(&mut self) -> Option<Warning> {
        self.warnings.pop_front()
    }

    /// Puts the probe of an upstream in alarm there, 240 s to 6 h after its last alarm. Each alarm makes its own plan
    /// first.
    pub fn set_probe_plan(&mut self, upstream: UpstreamId, not_before: Instant) {
        if let Some(upstream) = self.upstreams.get_mut(upstream.0) {
            upstream.shares.watch.plan(not_before);
            let probe_at = upstream.shares.watch.probe_at();
            self.wake = self.wake.into_iter().chain(probe_at).min();
        }
    }

    /// The last 12 times in which an upstream rejected more than usual, the oldest first.
    pub fn spells(&self, upstream: UpstreamId) -> &[Spell] {
        self.upstreams.get(upstream.0).map_or(&[], |upstream| upstream.shares.watch.spells())
    }

    /// The last job of an upstream is kept for so long when nothing is worth hashing.
    pub fn set_patience(&mut self, upstream: UpstreamId, patience: Duration) {
        if let Some(upstream) = self.upstreams.get_mut(upstream.0) {
            upstream.patience = patience;
        }
    }

    /// Whether an upstream is hashed for.
    pub fn is_running(&self, upstream: UpstreamId) -> bool {
        self.hashing.running_of(upstream).is_some()
    }
}

#[cfg(test)]
mod tests;
