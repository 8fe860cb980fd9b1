//! How far a model may go: what bounds the harm of a bad one, looked at on the figures it was given.

use super::input::{CandidateFacts, ModelInput};
use super::output::{ModelOutput, Word};

/// The bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Envelope {
    /// How much less than the best candidate a preferred one may be worth, as a part of that; 0 to 0.05.
    pub epsilon: f64,
    /// How sure a model must be, 0 to 1.
    pub min_confidence: f64,
}

impl Default for Envelope {
    fn default() -> Self {
        Self { epsilon: 0.01, min_confidence: 0.6 }
    }
}

/// Milliseconds of a day, of which the budget is a part.
const DAY_MS: f64 = 86_400_000.0;

/// What an answer is good for.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It changes nothing.
    Same,
    /// It would amend.
    Amends,
    /// It would, and may not: by which rule, and why.
    Refused {
        /// 2: its target is no good; 3: it is worth too little; 4: not sure enough, or too often; 5: the day's budget is
        /// spent. Rule 1, its age, is for when it is applied.
        rule: u8,
        /// In figures.
        reason: String,
    },
}

impl Envelope {
    /// Judges an answer to a question.
    pub fn judge(&self, answer: &ModelOutput, question: &ModelInput) -> Verdict {
        if answer.agrees_with(question) {
            return Verdict::Same;
        }
        let place = if answer.word == Word::Hold { question.running_place() } else { answer.target };
        let Some(target) = place.and_then(|place| question.candidates.get(place)) else {
            return refused(2, "its target is no candidate".to_owned());
        };
        if let Some(reason) = why_not(target) {
            return refused(2, format!("{} {reason}", target.id));
        }
        let best = question.candidates.iter().map(|candidate| candidate.value).fold(0.0, f64::max);
        let least = (1.0 - self.epsilon) * best;
        if target.value < least {
            return refused(3, format!("{} is worth {:.5}, less than {least:.5}", target.id, target.value));
        }
        if answer.confidence < self.min_confidence {
            return refused(
                4,
                format!("its confidence is {:.2}, below {:.2}", answer.confidence, self.min_confidence),
            );
        }
        if question.budget.amends_left_hour == 0 {
            return refused(4, "no amendment is left in this hour".to_owned());
        }
        let is_move = place != question.running_place();
        let cost = if is_move { 2.0 * question.device.cross_ms / DAY_MS } else { 0.0 };
        if question.budget.regret_left <= cost {
            return refused(5, "the day's budget of regret does not bear it".to_owned());
        }
        Verdict::Amends
    }
}

fn why_not(target: &CandidateFacts) -> Option<String> {
    if !target.allowed {
        Some("is not allowed now".to_owned())
    } else if target.alarm {
        Some("rejects too many shares".to_owned())
    } else if target.v < 1.0 {
        Some(format!("has a parent that is good with a chance of {:.3} only", target.v))
    } else {
        None
    }
}

fn refused(rule: u8, reason: String) -> Verdict {
    Verdict::Refused { rule, reason }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::health;
    use super::*;

    /// The better candidate runs; the other is nearly as good.
    fn question() -> ModelInput {
        let mut question = health::question(2000);
        question.running.candidate = "c0".to_owned();
        question.baseline.decision = "PROCEED".to_owned();
        question.candidates[1].value = 0.985;
        question
    }

    fn answer(word: Word, target: Option<usize>, confidence: f64) -> ModelOutput {
        let (valid_for, retry_after) = (Duration::from_secs(60), Duration::from_secs(30));
        ModelOutput { word, target, confidence, valid_for, retry_after, reason: String::new() }
    }

    fn rule(change: impl FnOnce(&mut ModelInput), confidence: f64) -> Option<u8> {
        let mut question = question();
        change(&mut question);
        match Envelope::default().judge(&answer(Word::Switch, Some(1), confidence), &question) {
            Verdict::Refused { rule, .. } => Some(rule),
            Verdict::Amends => None,
            Verdict::Same => panic!("a move is not the same"),
        }
    }

    #[test]
    fn each_rule_holds_back_what_it_names() {
        assert_eq!(rule(|_| {}, 0.6), None);
        assert_eq!(rule(|question| question.candidates[1].allowed = false, 0.9), Some(2));
        assert_eq!(rule(|question| question.candidates[1].alarm = true, 0.9), Some(2));
        assert_eq!(rule(|question| question.candidates[1].v = 0.5, 0.9), Some(2));
        assert_eq!(rule(|question| question.candidates[1].value = 0.978, 0.9), Some(3));
        assert_eq!(rule(|_| {}, 0.59), Some(4));
        assert_eq!(rule(|question| question.budget.amends_left_hour = 0, 0.9), Some(4));
        assert_eq!(rule(|question| question.budget.regret_left = 0.0, 0.9), Some(5));
        assert_eq!(
            rule(|question| question.device.cross_ms = 60_000.0, 0.9),
            None,
            "0.0014 of a day, both ways"
        );
        let nearly_spent = |question: &mut ModelInput| {
            question.device.cross_ms = 60_000.0;
            question.budget.regret_left = 0.0013;
        };
        assert_eq!(rule(nearly_spent, 0.9), Some(5));
    }

    #[test]
    fn going_along_with_mathematics_is_no_amendment() {
        let judge = |word, target| Envelope::default().judge(&answer(word, target, 1.0), &question());
        assert_eq!(judge(Word::Proceed, None), Verdict::Same);
        assert_eq!(judge(Word::Retry, None), Verdict::Same);
        assert_eq!(judge(Word::Hold, None), Verdict::Same, "mathematics stays as well");
    }
}
