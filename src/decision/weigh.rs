//! What every upstream is worth at one moment.

use std::time::{Duration, Instant};

use super::Decider;
use super::chain::{Builder, Judgement, Survey};
use super::envelope::Standing;
use super::input::{JobFacts, Repute, UpstreamId};
use super::output::{Candidate, Observed, ObservedJob, Worthless};
use super::upstream::Upstream;
use super::value::{Factors, risk_discount};

/// A job of an upstream, weighed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weighed {
    factors: Factors,
    /// `w`.
    pub(super) value: f64,
    pub(super) index: f64,
    /// Why the value is 0.
    pub(super) why: Option<Worthless>,
    pub(super) judgement: Option<Judgement>,
    pub(super) readiness: Readiness,
}

impl Weighed {
    /// It is worth nothing by a suspicion alone: what is hashed for a pool that speaks seldom, or on a block that others do
    /// not know, may count all the same. A connection ends when it is dead, and boards that rest earn nothing for certain.
    pub(super) fn is_doubtful(&self) -> bool {
        let of_job = self.judgement.map(|judgement| judgement.why);
        matches!(of_job, Some(None | Some(Worthless::ParentUnknown)))
            && matches!(
                self.why,
                Some(Worthless::Silent(_) | Worthless::Unanswered(_) | Worthless::ParentUnknown)
            )
    }

    /// The index that it had if its parent were the tip.
    pub(super) fn index_on_tip(&self, optimism: f64) -> f64 {
        Factors { v: 1.0, ..self.factors }.index(optimism)
    }
}

/// How far an upstream may be moved to. The later, the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Readiness {
    /// Something is held against it.
    Suspect,
    /// Its rejects have jumped, and it is not to be probed yet.
    Alarmed,
    /// It has just come.
    Fresh,
    /// It has been usable for a while.
    Usable,
}

/// All upstreams, weighed: the running one by the job that runs.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) of: Vec<Weighed>,
    /// By upstream that is hashed for: its newest job, where that is newer than the running one.
    pub(super) newest: Vec<Option<Weighed>>,
}

impl Table {
    /// The best value of those that may be moved to, or run.
    pub(super) fn best_value(&self, current: Option<UpstreamId>) -> f64 {
        let counts = |(id, weighed): &(usize, &Weighed)| {
            Some(UpstreamId(*id)) == current || weighed.readiness == Readiness::Usable
        };
        self.of.iter().enumerate().filter(counts).map(|(_, weighed)| weighed.value).fold(0.0, f64::max)
    }
}

impl Decider {
    /// Who gives work, and what each builds on.
    pub(super) fn builders(&self) -> Vec<Builder> {
        let builder = |(id, upstream): (usize, &Upstream)| {
            let newest = upstream.jobs.newest.filter(|_| upstream.link.is_up())?;
            Some((UpstreamId(id), newest.facts.parent))
        };
        self.upstreams.iter().enumerate().filter_map(builder).collect()
    }

    pub(super) fn weigh(&self, now: Instant) -> Table {
        let builders = self.builders();
        let survey = self.chain.survey(&builders, now);
        let weigh = |(id, upstream): (usize, &Upstream)| {
            let id = UpstreamId(id);
            let newest = upstream.jobs.newest.map(|offer| offer.facts);
            let weigh = |job: Option<&JobFacts>, void| self.weigh_job(&survey, id, job, void, now);
            let Some(running) = self.hashing.running_of(id) else {
                return (weigh(newest.as_ref(), None), None);
            };
            let newer = newest.filter(|newest| newest.key > running.facts.key);
            (weigh(Some(&running.facts), running.void), newer.map(|newest| weigh(Some(&newest), None)))
        };
        let (of, newest) = self.upstreams.iter().enumerate().map(weigh).unzip();
        Table { of, newest }
    }

    fn weigh_job(
        &self,
        survey: &Survey<'_>,
        id: UpstreamId,
        job: Option<&JobFacts>,
        void: Option<Worthless>,
        now: Instant,
    ) -> Weighed {
        let upstream = &self.upstreams[id.0];
        let held_to_tip = upstream.is_held_to_tip(self.settings.stale_policy);
        let judgement = job.map(|job| survey.judge(id, &job.parent, held_to_tip));
        let why = void.or(upstream.link.why_down()).or_else(|| match judgement {
            None => Some(upstream.jobs.why_none()),
            Some(judgement) => judgement.why,
        });
        let v = if why.is_some() { 0.0 } else { judgement.map_or(0.0, |judgement| judgement.v) };
        let r = self.reward.ratio(upstream.terms.kappa(), job.and_then(|job| job.fees));
        let factors = upstream.factors(v, r, now);
        let discount = risk_discount(self.settings.moves.risk_aversion, upstream.variance, factors.value());
        let value = factors.value() - discount;
        Weighed {
            factors,
            value,
            index: factors.index(self.settings.moves.optimism) - discount,
            why: why.or((value <= 0.0).then_some(Worthless::Unpaid)),
            judgement,
            readiness: self.readiness(upstream, now),
        }
    }

    fn readiness(&self, upstream: &Upstream, now: Instant) -> Readiness {
        if upstream.repute == Repute::Suspect {
            Readiness::Suspect
        } else if upstream.shares.watch.probe_at().is_some() {
            Readiness::Alarmed
        } else if upstream
            .link
            .up_since()
            .is_some_and(|since| now >= since + self.settings.moves.usable_after)
        {
            Readiness::Usable
        } else {
            Readiness::Fresh
        }
    }

    /// Tells an upstream in alarm what a probe of it costs.
    pub(super) fn price_probe(&mut self, id: UpstreamId, now: Instant) {
        let table = self.weigh(now);
        let Some(other) = self.best_beside(&table, Some(id)).map(|other| table.of[other.0].value) else {
            return;
        };
        let factors = Factors { v: 1.0, ..table.of[id.0].factors };
        let shares = &mut self.upstreams[id.0].shares;
        let (good, gap) = (Factors { acc: shares.prior(), ..factors }.value(), shares.gap(now));
        if let Some(gap) = gap {
            shares.watch.price(other - factors.value(), good - other, gap, 1.0 - factors.acc);
        }
    }

    /// How advice for this upstream stands.
    pub(super) fn standing_of(&self, target: UpstreamId, table: &Table) -> Option<Standing> {
        let (weighed, upstream) = (table.of.get(target.0)?, self.upstreams.get(target.0)?);
        let running = self.running().map(|(upstream, _)| upstream);
        let is_ready = weighed.readiness == Readiness::Usable || running == Some(target);
        let is_calm = !upstream.shares.watch.is_alarmed();
        let is_fit = is_ready && is_calm && weighed.factors.v == 1.0;
        let cost = if running == Some(target) { 0.0 } else { 2.0 * self.device.cross.as_secs_f64() };
        Some(Standing { is_fit, value: weighed.value, best: table.best_value(running), cost })
    }

    /// All of them for others to see, the best index first.
    pub(super) fn list(&self, now: Instant) -> Vec<Candidate> {
        let (table, builders) = (self.weigh(now), self.builders());
        let survey = self.chain.survey(&builders, now);
        let candidate = |(id, upstream): (usize, &Upstream)| {
            let (id, weighed) = (UpstreamId(id), &table.of[id]);
            let standing = self.standing_of(id, &table);
            let allowed =
                |standing: Standing| standing.is_fit && standing.value >= self.envelope.least(standing.best);
            let Factors { pay, acc, acc_sd, avail, v, r } = weighed.factors;
            Candidate {
                upstream: id,
                value: weighed.value,
                index: weighed.index,
                pay,
                acc_mean: acc,
                acc_sd,
                avail,
                v,
                r,
                allowed: standing.is_some_and(allowed),
                alarm: upstream.shares.watch.is_alarmed(),
                observed: self.observed(upstream, weighed, &survey, now),
            }
        };
        let mut list: Vec<_> = self.upstreams.iter().enumerate().map(candidate).collect();
        list.sort_by(|a, b| b.index.total_cmp(&a.index));
        list
    }

    fn observed(
        &self,
        upstream: &Upstream,
        weighed: &Weighed,
        survey: &Survey<'_>,
        now: Instant,
    ) -> Observed {
        let newest = upstream.jobs.newest;
        let since = |at: Option<Instant>| at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let (accepted, rejected) = upstream.shares.recent.within(Duration::from_secs(600), now);
        Observed {
            scheme: upstream.terms.scheme,
            delays: upstream.delays(),
            job: newest.map(|offer| ObservedJob {
                age: now.saturating_duration_since(offer.since),
                clean: offer.facts.clean,
                empty: offer.facts.fees == Some(0),
                fee_rel: self.reward.ratio(1.0, offer.facts.fees) - 1.0,
            }),
            height_behind: weighed.judgement.map_or(0, |judgement| judgement.behind),
            agree: newest.map_or(0.0, |offer| survey.agreement(&offer.facts.parent)),
            shares_10m: (accepted + rejected, rejected),
            probe_in: upstream
                .shares
                .watch
                .probe_at()
                .map_or(Duration::ZERO, |at| at.saturating_duration_since(now)),
            usable: since(upstream.link.up_since()),
        }
    }
}
