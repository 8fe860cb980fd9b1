//! One upstream as the decider knows it: its jobs and all that is learnt of it.

use std::time::{Duration, Instant};

use super::acceptance::Acceptance;
use super::flush::OldJobs;
use super::input::{Checked, JobFacts, JobKey, ParentHash, Repute, Scheme, Terms, UpstreamId};
use super::lag::Lag;
use super::link::Link;
use super::output::{Delays, Warning, Worthless};
use super::rejects::{Finding, RecentShares, RejectWatch};
use super::settings::{Deadlines, Settings, StalePolicy};
use super::value::Factors;

/// A job and when it came.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Offer {
    pub(super) facts: JobFacts,
    pub(super) since: Instant,
}

/// What an upstream wants hashed.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Jobs {
    /// The newest one that passed its checks.
    pub(super) newest: Option<Offer>,
    /// A newer one that waits for a check.
    pub(super) held: Option<Offer>,
    /// Why there is none, when a job that made all others void failed a check.
    rejected: Option<&'static str>,
    /// The newest that was told in whatever state.
    last: Option<JobKey>,
    /// The oldest one on the parent of the newest, on the same connection.
    first_on_parent: Option<JobKey>,
    /// The newest clean one among these that was not the first, and when it came.
    voided_by: Option<(JobKey, Instant)>,
}

/// What a told job changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// Nothing: it is no news.
    Nothing,
    /// It waits for a check.
    Held,
    /// It may be hashed. `reconnected`: its extranonce1 is another one. `voids`: it is clean on the same parent.
    Passed { reconnected: bool, voids: bool },
    /// It may never be hashed; `voids_all` when older ones of its upstream went with it.
    Rejected { reason: &'static str, voids_all: bool },
}

impl Jobs {
    pub(super) fn tell(&mut self, facts: JobFacts, now: Instant) -> Told {
        let is_newest = self.newest.is_some_and(|newest| newest.facts.key == facts.key);
        let is_known = is_newest || self.last == Some(facts.key);
        let held = self.held.filter(|held| held.facts.key == facts.key);
        if !is_known && self.last > Some(facts.key) {
            return Told::Nothing;
        }
        self.last = self.last.max(Some(facts.key));
        match facts.checked {
            Checked::Hold(_) => {
                // On another block it voids the one before, whatever becomes of it.
                let stays = |newest: &Offer| {
                    newest.facts.key != facts.key
                        && (newest.facts.parent, newest.facts.connection) == (facts.parent, facts.connection)
                };
                self.newest = self.newest.filter(stays);
                self.held = Some(Offer { facts, since: held.map_or(now, |held| held.since) });
                Told::Held
            }
            Checked::Rejected(reason) => {
                self.held = None;
                let is_void = |newest: Offer| {
                    facts.clean || newest.facts.parent != facts.parent || newest.facts.key == facts.key
                };
                let voids_all = self.newest.is_none_or(is_void);
                if voids_all {
                    self.newest = None;
                    self.rejected = Some(reason);
                }
                Told::Rejected { reason, voids_all }
            }
            Checked::Passed if self.newest.is_some_and(|newest| newest.facts.key == facts.key) => {
                Told::Nothing
            }
            Checked::Passed => self.take(Offer { facts, since: now }),
        }
    }

    /// A job that waited long enough counts as passed.
    pub(super) fn release(&mut self, grace: Duration, now: Instant) -> Option<(Offer, Told)> {
        let held = self.held.filter(|held| now >= held.since + grace)?;
        let offer = Offer { facts: held.facts, since: now };
        Some((offer, self.take(offer)))
    }

    /// Whether a share of this job was found after a clean notify on the same parent had made the job void.
    pub(super) fn is_of_void_job(&self, job: JobKey, found: Instant) -> bool {
        self.first_on_parent.is_some_and(|first| job >= first)
            && self.voided_by.is_some_and(|(newer, at)| job < newer && found >= at)
    }

    /// The connection is closed.
    pub(super) fn close(&mut self) {
        *self = Self { last: self.last, ..Self::default() };
    }

    /// Why there is no job.
    pub(super) fn why_none(&self) -> Worthless {
        match (self.held.map(|held| held.facts.checked), self.rejected) {
            (Some(Checked::Hold(reason)), _) => Worthless::Held(reason),
            (_, Some(reason)) => Worthless::Rejected(reason),
            _ => Worthless::NoJob,
        }
    }

    fn take(&mut self, offer: Offer) -> Told {
        let before = self.newest.replace(offer);
        let same = before.filter(|before| before.facts.parent == offer.facts.parent);
        let reconnected = before.is_none_or(|before| before.facts.connection != offer.facts.connection);
        let voids = offer.facts.clean && same.is_some() && !reconnected;
        if voids {
            self.voided_by = Some((offer.facts.key, offer.since));
        } else if same.is_none() || reconnected {
            (self.first_on_parent, self.voided_by) = (Some(offer.facts.key), None);
        }
        (self.held, self.rejected) = (None, None);
        Told::Passed { reconnected, voids }
    }
}

/// One upstream.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Upstream {
    pub(super) terms: Terms,
    pub(super) jobs: Jobs,
    pub(super) link: Link,
    pub(super) shares: Shares,
    pub(super) lag: Lag,
    pub(super) old_jobs: OldJobs,
    pub(super) repute: Repute,
    /// It has been dead, suspect or away by a fault.
    pub(super) has_failed: bool,
    /// Its last job is kept for so long when nothing is worth hashing.
    pub(super) patience: Duration,
    /// Of one second's income, in ideal seconds.
    pub(super) variance: f64,
    /// What the operator was last warned of.
    pub(super) warned: Option<Warned>,
}

/// What a warning was about, so that it is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Warned {
    Parent(ParentHash),
    Job(JobKey),
}

/// How its shares have fared.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shares {
    acceptance: Acceptance,
    pub(super) watch: RejectWatch,
    pub(super) recent: RecentShares,
}

/// No silence is so long.
const NEVER: Duration = Duration::from_secs(1_000_000);

/// An alarm keeps a tenth of the prior and the shares of so long.
const AFTER_ALARM: Duration = Duration::from_secs(130);

/// So many times the prior is believed of an upstream that has come out of a spell when past ones let it be expected: it is
/// then what it was outside spells. With the prior alone three rejects are enough to leave it without an alarm, and so without
/// a probe, for hours.
const KNOWN_WELL: f64 = 8.0;

impl Shares {
    /// A share was judged that says something of its pool.
    pub(super) fn judge(&mut self, accepted: bool, weight: f64, now: Instant) -> Finding {
        self.recent.count(accepted, now);
        self.acceptance.count(accepted, weight, now);
        let finding = self.watch.judge(accepted, now);
        match finding {
            Finding::Alarm => {
                let (accepted, rejected) = self.recent.within(AFTER_ALARM, now);
                self.acceptance.restart(0.1, accepted.into(), rejected.into(), now);
            }
            Finding::Cleared { planned } => {
                self.acceptance.restart(if planned { KNOWN_WELL } else { 1.0 }, 0.0, 0.0, now);
            }
            Finding::Nothing => {}
        }
        finding
    }

    /// Mean acceptance before anything is known.
    pub(super) fn prior(&self) -> f64 {
        self.acceptance.prior().0
    }

    /// Mean seconds between two shares of late.
    pub(super) fn gap(&self, now: Instant) -> Option<f64> {
        self.recent.gap(AFTER_ALARM, now)
    }

    /// Mean and standard deviation of the acceptance: the prior's while a probe decides.
    pub(super) fn acceptance(&self, now: Instant) -> (f64, f64) {
        if self.watch.is_probing() { self.acceptance.prior() } else { self.acceptance.mean_and_sd(now) }
    }
}

impl Upstream {
    pub(super) fn new(terms: Terms, settings: &Settings, now: Instant) -> Self {
        // Our own node is asked and need not speak: that it does not answer is told as a loss.
        let deadlines = if terms.vouches {
            Deadlines { silence_least: NEVER, silence_most: NEVER, ..settings.deadlines }
        } else {
            settings.deadlines
        };
        Self {
            terms,
            jobs: Jobs::default(),
            link: Link::new(deadlines, now),
            shares: Shares {
                acceptance: Acceptance::new(settings.learning, now),
                watch: RejectWatch::new(settings.alarms),
                recent: RecentShares::default(),
            },
            lag: Lag::default(),
            old_jobs: OldJobs::default(),
            repute: Repute::default(),
            has_failed: false,
            patience: settings.graces.idle_after,
            variance: 0.0,
            warned: None,
        }
    }

    /// The factors of a job with template worth `r` and chance `v`.
    pub(super) fn factors(&self, v: f64, r: f64, now: Instant) -> Factors {
        let (acc, acc_sd) = self.shares.acceptance(now);
        let (pay, avail) = (self.terms.pay(), self.link.available(now));
        Factors { pay, acc, acc_sd, avail, v, r }
    }

    /// Whether its job must build on the tip.
    pub(super) fn is_held_to_tip(&self, policy: StalePolicy) -> bool {
        self.terms.scheme != Scheme::Pps || policy == StalePolicy::Network
    }

    pub(super) fn delays(&self) -> Delays {
        let lag = |z| Duration::from_secs_f64(self.lag.quantile(z).min(1e6));
        Delays {
            lag_p50: lag(0.0),
            lag_p90: lag(1.281_551_565_5), // ninth decile of the normal distribution
            reply_p50: self.link.reply(0.5),
            reply_p90: self.link.reply(0.9),
        }
    }
}

/// Whom a refusal speaks against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blame {
    Pool,
    Nobody,
    Us(Warning),
}

/// Whom the code of a refusal blames; `switching` while we change over, when stale shares are our own doing.
pub(super) fn blame(upstream: UpstreamId, code: Option<i64>, switching: bool) -> Blame {
    match code {
        Some(21) if switching => Blame::Nobody,
        Some(22) => Blame::Us(Warning::Duplicate(upstream)),
        Some(24 | 25) => Blame::Us(Warning::NotAuthorised(upstream)),
        _ => Blame::Pool,
    }
}
