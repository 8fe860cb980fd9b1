//! A model's part in the engine: when it is asked, what it is told, and what becomes of its advice.

use std::time::{Duration, Instant};

use super::policy::Strategy;
use super::{Action, BoardState, Engine, Report, UpstreamId};
use crate::decision::Advice;
use crate::model::advisor::{Advised, Question};
use crate::model::features::{self, Around};
use crate::model::input::Occasion;
use crate::model::output::Word;

/// Least time between two questions for no other reason than that something happened.
const SOFT_PAUSE: Duration = Duration::from_secs(5);

/// From whatever happened to the question about it: until then the boards have their work.
const AFTER_WORK: Duration = Duration::from_millis(20);

/// When a model is asked, and what came of it.
#[derive(Debug, Default)]
pub(super) struct Asking {
    terms: Option<AskTerms>,
    asked_at: Option<Instant>,
    /// Since when something has happened that may be weighed otherwise.
    due_since: Option<Instant>,
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
        let every = self.asking.terms?.every;
        let asked_at = self.asking.asked_at?;
        let soft =
            self.asking.due_since.map(|since| (since + AFTER_WORK).max(asked_at + SOFT_PAUSE.min(every)));
        soft.into_iter().chain([asked_at + every]).min()
    }

    /// Something happened that may be weighed otherwise. The first such thing is what the time of questions counts from.
    pub(super) fn soft_event(&mut self, now: Instant) {
        self.asking.due_since.get_or_insert(now);
        self.asking.asked_at.get_or_insert(now);
    }

    /// Asks, when it is time to.
    pub(super) fn ask(&mut self, now: Instant) {
        let Some(terms) = self.asking.terms else { return };
        if self.next_question().is_none_or(|at| now < at) {
            return;
        }
        let occasion =
            if self.asking.due_since.take().is_some() { Occasion::Soft } else { Occasion::Periodic };
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
            Word::Proceed => return self.take_back_advice(advised, now),
            Word::Retry => return,
        };
        let Some(target) = target else { return };
        let advice = Advice {
            target,
            hold: advised.word == Word::Hold,
            confidence: advised.confidence,
            until: advised.until,
            seen: advised.moment,
            seen_soft: advised.soft_moment,
        };
        let end = if !advised.may_apply || self.strategy != Strategy::Value {
            self.asking.counts.shadowed += 1;
            AdviceEnd::Shadowed
        } else {
            match self.value.decider_mut().advise(advice, now) {
                Ok(decisions) => {
                    self.asking.counts.applied += 1;
                    self.carry_out(&decisions, now);
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

    /// A model says what mathematics says: what it said before no longer holds.
    fn take_back_advice(&mut self, advised: &Advised, now: Instant) {
        let running = self.value.decider().running().map(|(upstream, _)| upstream);
        let Some(upstream) = running.filter(|_| advised.may_apply) else { return };
        let Some(decisions) = self.value.decider_mut().take_back_advice(now) else { return };
        self.asking.counts.applied += 1;
        self.carry_out(&decisions, now);
        let (word, reason) = (advised.word, advised.reason.clone());
        self.report(Report::Advice { upstream, word, reason, end: AdviceEnd::Applied });
    }

    /// The state as a model is told it; `None` while nothing is hashed.
    fn question(&self, occasion: Occasion, deadline: Duration, now: Instant) -> Option<Question> {
        let decider = self.value.decider();
        let (running, _) = decider.running()?;
        let boards = self.boards.values().filter(|board| board.state != BoardState::Gone);
        let (mut hash_rate, mut count, mut errors, mut shares) = (0.0, 0, 0, 0);
        for board in boards {
            hash_rate += board.likely_rate(now).0;
            count += 1;
            errors += board.counts.hardware_errors;
            shares += board.counts.shares;
        }
        let around = Around {
            uptime: now.saturating_duration_since(self.started),
            unix: self.unix_at(now),
            hash_rate,
            boards: count,
            hw_error_rate: errors as f64 / (errors + shares).max(1) as f64,
            parent: self.value.parent(running).unwrap_or_default(),
        };
        features::question(decider, &around, occasion, deadline, now)
    }
}
