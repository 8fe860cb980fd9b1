//! A model's part in the engine: when it is asked, what it is told, and what becomes of its advice.

use std::time::{Duration, Instant};

use super::policy::Strategy;
use super::{Action, BoardState, Engine, Report, UpstreamId};
use crate::decision::{Advice, Candidate, Scheme};
use crate::model::advisor::{Advised, Question};
use crate::model::input::{
    Baseline, Budget, CandidateFacts, Chain, Clock, Device, MAX_CANDIDATES, ModelInput, Occasion, Running,
    VERSION,
};
use crate::model::output::Word;

/// Most milliseconds that a question tells.
const MOST_MS: u128 = 4_000_000_000;
/// Mean time between two blocks.
const BLOCK_SECONDS: u32 = 600;
const DAY: u64 = 86_400;
/// Least time between two questions for no other reason than that something happened.
const SOFT_PAUSE: Duration = Duration::from_secs(5);

/// When a model is asked, and what came of it.
#[derive(Debug, Default)]
pub(super) struct Asking {
    terms: Option<AskTerms>,
    asked_at: Option<Instant>,
    /// Something happened that may be weighed otherwise.
    is_due: bool,
    counts: AdviceCounts,
}

/// How a model is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AskTerms {
    /// When nothing happens.
    pub every: Duration,
    /// An answer is of use for so long.
    pub deadline: Duration,
}

/// What became of advice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AdviceCounts {
    /// Questions made.
    pub questions: u64,
    /// Advice that changed what is hashed for.
    pub applied: u64,
    /// Advice that a shadow gave and nobody followed.
    pub shadowed: u64,
    /// Advice refused, by the rule of the envelope, 1 to 5.
    pub refused: [u64; 6],
}

/// What became of a piece of advice.
#[derive(Debug, Clone, PartialEq)]
pub enum AdviceEnd {
    /// It is followed.
    Applied,
    /// It was only listened to.
    Shadowed,
    /// Its envelope forbids it: why.
    Refused(String),
}

impl Asking {
    /// Whether there is a model.
    pub(super) fn is_on(&self) -> bool {
        self.terms.is_some()
    }
}

impl Engine {
    /// Asks a model from now on.
    #[must_use]
    pub fn with_model(mut self, terms: AskTerms) -> Self {
        self.asking.terms = Some(terms);
        self
    }

    /// What became of advice so far.
    pub fn advice_counts(&self) -> AdviceCounts {
        self.asking.counts
    }

    /// When the next question is due.
    pub(super) fn next_question(&self) -> Option<Instant> {
        let terms = self.asking.terms?;
        let pause = if self.asking.is_due { SOFT_PAUSE } else { terms.every };
        Some(self.asking.asked_at? + pause.min(terms.every))
    }

    /// Something happened that may be weighed otherwise.
    pub(super) fn soft_event(&mut self) {
        self.asking.is_due = true;
    }

    /// Asks, when it is time to.
    pub(super) fn ask(&mut self, now: Instant) {
        let Some(terms) = self.asking.terms else { return };
        if self.asking.asked_at.is_none() {
            self.asking.asked_at = Some(now);
        }
        if self.next_question().is_some_and(|at| now < at) {
            return;
        }
        let occasion =
            if std::mem::take(&mut self.asking.is_due) { Occasion::Soft } else { Occasion::Periodic };
        self.asking.asked_at = Some(now);
        if let Some(question) = self.question(occasion, terms.deadline, now) {
            self.asking.counts.questions += 1;
            self.outbox.push_back(Action::Ask(Box::new(question)));
        }
    }

    /// A model has said something.
    pub fn handle_advice(&mut self, advised: &Advised, now: Instant) {
        let running = self.value.decider().running().map(|(upstream, _)| upstream);
        let target = match advised.word {
            Word::Switch => advised.target.map(UpstreamId),
            Word::Hold => running,
            Word::Proceed | Word::Retry => return,
        };
        let Some(target) = target else { return };
        let advice = Advice {
            target,
            hold: advised.word == Word::Hold,
            confidence: advised.confidence,
            until: advised.until,
            seen: advised.moment,
        };
        let end = if !advised.may_apply || self.strategy != Strategy::Value {
            self.asking.counts.shadowed += 1;
            AdviceEnd::Shadowed
        } else {
            match self.value.decider_mut().advise(advice, now) {
                Ok(decision) => {
                    self.asking.counts.applied += 1;
                    self.carry_out(decision, now);
                    AdviceEnd::Applied
                }
                Err(refused) => {
                    self.asking.counts.refused[usize::from(refused.rule()).min(5)] += 1;
                    AdviceEnd::Refused(refused.to_string())
                }
            }
        };
        let (word, reason) = (advised.word, advised.reason.clone());
        self.report(Report::Advice { upstream: target, word, reason, end });
    }

    /// The state as a model is told it; `None` while nothing is hashed.
    fn question(&self, occasion: Occasion, deadline: Duration, now: Instant) -> Option<Question> {
        let decider = self.value.decider();
        let mut candidates = decider.candidates(now);
        let (running, _) = decider.running()?;
        let place = candidates.iter().position(|candidate| candidate.upstream == running)?;
        if place >= MAX_CANDIDATES {
            candidates.swap(place, MAX_CANDIDATES - 1);
        }
        candidates.truncate(MAX_CANDIDATES);
        let place = candidates.iter().position(|candidate| candidate.upstream == running)?;
        let best = candidates.iter().position(|candidate| candidate.allowed).unwrap_or(place);
        let second =
            candidates.iter().enumerate().filter(|(other, _)| *other != best).map(|(_, other)| other.index);
        let margin = candidates[best].index - second.fold(0.0, f64::max);
        let (device, chain, budget) = (decider.device(), decider.chain_view(now), decider.budget(now));
        let boards = self.boards.values().filter(|board| board.state != BoardState::Gone);
        let (mut rate, mut count, mut errors, mut shares) = (0.0, 0, 0, 0);
        for board in boards {
            rate += board.likely_rate(now).0;
            count += 1;
            errors += board.counts.hardware_errors;
            shares += board.counts.shares;
        }
        let input = ModelInput {
            v: VERSION,
            state_id: String::new(),
            event: occasion,
            deadline_ms: milliseconds(deadline),
            clock: Clock {
                uptime_ms: milliseconds(now.saturating_duration_since(self.started)),
                utc_minute: (self.unix_at(now) % DAY / 60) as u16,
            },
            chain: Chain {
                tip_age_ms: milliseconds(chain.tip_age),
                tip_sources: chain.tip_sources as u32,
                sources: chain.sources as u32,
                fork_sides: chain.sides as u32,
                block_mean_s: BLOCK_SECONDS,
            },
            device: Device {
                hash_ths: (rate / 1e12).min(1e9),
                boards: count,
                flush_ms: device.flush.as_secs_f64().min(60.0) * 1e3,
                cross_ms: device.cross.as_secs_f64().min(60.0) * 1e3,
                boundary_ms: device.boundary.as_secs_f64().min(60.0) * 1e3,
                hw_error_rate: errors as f64 / (errors + shares).max(1) as f64,
            },
            running: Running {
                candidate: ModelInput::name(place),
                since_ms: decider
                    .running_since()
                    .map_or(0, |since| milliseconds(now.saturating_duration_since(since))),
                value: candidates[place].value.clamp(0.0, 2.0),
            },
            baseline: Baseline {
                decision: if best == place { "PROCEED" } else { "SWITCH" }.to_owned(),
                target: ModelInput::name(best),
                margin: margin.clamp(-2.0, 2.0),
            },
            budget: Budget {
                amends_left_hour: budget.amends_left as u32,
                regret_left: (budget.regret_left / DAY as f64).clamp(0.0, 1.0),
            },
            candidates: candidates
                .iter()
                .enumerate()
                .map(|(place, candidate)| facts(place, candidate))
                .collect(),
        };
        let upstreams = candidates.iter().map(|candidate| candidate.upstream.0).collect();
        let parent = self.value.parent(running).unwrap_or_default();
        let question = Question { input: input.sign(), upstreams, parent, moment: decider.moment() };
        question.input.check().is_ok().then_some(question)
    }
}

fn facts(place: usize, candidate: &Candidate) -> CandidateFacts {
    let observed = &candidate.observed;
    let (shares, rejects) = observed.shares_10m;
    let scheme = match observed.scheme {
        Scheme::Pps => "pps",
        Scheme::Pplns => "pplns",
        Scheme::SoloPool => "solo_pool",
        Scheme::SoloNode => "solo_node",
    };
    CandidateFacts {
        id: ModelInput::name(place),
        scheme: scheme.to_owned(),
        pay: candidate.pay,
        acc_mean: candidate.acc_mean,
        acc_sd: candidate.acc_sd.min(0.5),
        avail: candidate.avail.clamp(0.0, 1.0),
        v: candidate.v,
        r: candidate.r.clamp(0.9, 2.0),
        value: candidate.value.clamp(0.0, 2.0),
        index: candidate.index.clamp(0.0, 2.0),
        lag_p50_ms: milliseconds(observed.delays.lag_p50),
        lag_p90_ms: milliseconds(observed.delays.lag_p90),
        reply_p50_ms: milliseconds(observed.delays.reply_p50),
        reply_p90_ms: milliseconds(observed.delays.reply_p90),
        job_age_ms: observed.job.map_or(0, |job| milliseconds(job.age)),
        height_behind: observed.height_behind,
        agree: observed.agree.clamp(0.0, 1.0),
        clean: observed.job.is_some_and(|job| job.clean),
        empty: observed.job.is_some_and(|job| job.empty),
        fee_rel: observed.job.map_or(0.0, |job| job.fee_rel.clamp(-1.0, 10.0)),
        shares_10m: shares,
        rejects_10m: rejects,
        alarm: candidate.alarm,
        probe_in_ms: milliseconds(observed.probe_in),
        usable_ms: milliseconds(observed.usable),
        allowed: candidate.allowed,
    }
}

fn milliseconds(time: Duration) -> u64 {
    time.as_millis().min(MOST_MS) as u64
}
