//! What a model may answer, read strictly: an answer is exactly right or none at all.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::input::ModelInput;
use super::whole;

/// Largest answer. Unit: bytes.
pub const MAX_BYTES: usize = 16 * 1024;
/// Longest reason that is kept, in characters.
pub const MAX_REASON: usize = 200;

const DEFAULT_VALID: Duration = Duration::from_secs(60);
const MOST_VALID_MS: u64 = 300_000;
const DEFAULT_RETRY: Duration = Duration::from_secs(30);
const RETRY_MS: std::ops::RangeInclusive<u64> = 1_000..=600_000;

/// A model's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Word {
    /// Do what mathematics says.
    Proceed,
    /// Prefer the target while it is allowed.
    Switch,
    /// Stay on the running candidate.
    Hold,
    /// No opinion; ask again later.
    Retry,
}

impl Word {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Proceed, Self::Switch, Self::Hold, Self::Retry];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Proceed => "PROCEED",
            Self::Switch => "SWITCH",
            Self::Hold => "HOLD",
            Self::Retry => "RETRY",
        }
    }
}

/// An answer that fits its question. The JSON Schema of its wire form is `schema/model-output.schema.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelOutput {
    /// What it says.
    pub word: Word,
    /// Whom it prefers, by place among the candidates; with `Switch` always.
    pub target: Option<usize>,
    /// How sure it is, 0 to 1.
    pub confidence: f64,
    /// How long it holds.
    pub valid_for: Duration,
    /// When to ask again after a `Retry`.
    pub retry_after: Duration,
    /// Why, in printable ASCII; for people alone.
    pub reason: String,
}

/// The form on the wire. Fields that are not named here are ignored; one that is given twice is an error.
#[derive(Debug, Deserialize)]
struct Wire {
    #[serde(default, deserialize_with = "whole::optional")]
    v: Option<u32>,
    state_id: Option<String>,
    decision: Option<Word>,
    target: Option<String>,
    confidence: Option<f64>,
    #[serde(default, deserialize_with = "whole::optional")]
    valid_for_ms: Option<u64>,
    #[serde(default, deserialize_with = "whole::optional")]
    retry_after_ms: Option<u64>,
    reason: Option<String>,
}

/// Whether an answer must say what it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// By `v` and `state_id`: answers of a child process.
    Stated,
    /// It is the reply to a request of its own, so these are ours.
    Implied,
}

impl ModelOutput {
    /// Reads the JSON of an answer to `question`. Errors: `Unreadable` when it is no such JSON, `Empty` when it has none of the
    /// fields, `Schema` when a field is
    /// missing, out of its bounds, or does not fit the question.
    pub fn parse(text: &str, question: &ModelInput, binding: Binding) -> Result<Self, Failure> {
        if text.len() > MAX_BYTES {
            return Err(Failure::Schema(format!(
                "the answer has {} bytes, at most {MAX_BYTES} are read",
                text.len()
            )));
        }
        // First whether it is JSON at all: what is cut or wrapped in words may come out right the next time.
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|error| Failure::Unreadable(error.to_string()))?;
        if !value.is_object() {
            return Err(Failure::Unreadable("the answer is no JSON object".to_owned()));
        }
        let wire: Wire =
            serde_json::from_str(text).map_err(|error| Failure::Schema(clean(&error.to_string())))?;
        if wire.says_nothing() {
            return Err(Failure::Empty);
        }
        if binding == Binding::Stated {
            if wire.v != Some(super::input::VERSION) {
                return Err(Failure::Schema("v must be 1".to_owned()));
            }
            if wire.state_id.as_deref() != Some(question.state_id.as_str()) {
                return Err(Failure::Schema("state_id is not that of the question".to_owned()));
            }
        }
        wire.checked(question)
    }

    /// The line `DECISION: WORD [cN]`, the plainest form of an answer, whose author stands by it. `None` when `line` is
    /// anything else.
    pub fn of_line(line: &str, question: &ModelInput) -> Option<Result<Self, Failure>> {
        let mut words = line.trim().strip_prefix("DECISION:")?.split_whitespace();
        let word = words.next()?;
        let word = Word::ALL.into_iter().find(|known| known.name() == word)?;
        let target = words.next().map(str::to_owned);
        if words.next().is_some() {
            return None;
        }
        let wire = Wire {
            v: None,
            state_id: None,
            decision: Some(word),
            target,
            confidence: Some(1.0),
            valid_for_ms: None,
            retry_after_ms: None,
            reason: None,
        };
        Some(wire.checked(question))
    }

    /// The wire form, for programs and people.
    pub fn to_json(&self, question: &ModelInput) -> serde_json::Value {
        serde_json::json!({
            "v": super::input::VERSION,
            "state_id": question.state_id,
            "decision": self.word.name(),
            "target": self.target.map(ModelInput::name),
            "confidence": self.confidence,
            "valid_for_ms": self.valid_for.as_millis() as u64,
            "retry_after_ms": self.retry_after.as_millis() as u64,
            "reason": self.reason,
        })
    }
}

impl Wire {
    /// What it answers is all that it says, if that.
    fn says_nothing(&self) -> bool {
        let Self { v: _, state_id: _, decision, target, confidence, valid_for_ms, retry_after_ms, reason } =
            self;
        let is_some = [
            decision.is_some(),
            target.is_some(),
            confidence.is_some(),
            valid_for_ms.is_some(),
            retry_after_ms.is_some(),
            reason.is_some(),
        ];
        !is_some.contains(&true)
    }

    fn checked(self, question: &ModelInput) -> Result<ModelOutput, Failure> {
        let wrong = |text: String| Err(Failure::Schema(text));
        let Some(word) = self.decision else {
            return wrong("decision is missing; it must be PROCEED, SWITCH, HOLD or RETRY".to_owned());
        };
        let target = match self.target.as_deref().map(|name| (name, question.place(name))) {
            None => None,
            Some((_, Some(place))) => Some(place),
            Some((name, None)) => return wrong(format!("target {:?} is no candidate", clean(name))),
        };
        let running = question.running_place();
        match (word, target) {
            (Word::Switch, None) => return wrong("SWITCH needs a target".to_owned()),
            (Word::Switch, target) if target == running => {
                return wrong("SWITCH to the running candidate; that is HOLD".to_owned());
            }
            (Word::Hold, Some(_)) if target != running => {
                return wrong("HOLD stays on the running candidate, its target is another".to_owned());
            }
            _ => {}
        }
        // What changes nothing needs no confidence.
        let needs_confidence = matches!(word, Word::Switch | Word::Hold);
        let confidence = match self.confidence {
            None if needs_confidence => return wrong(format!("{} needs a confidence", word.name())),
            None => 0.0,
            Some(confidence) if (0.0..=1.0).contains(&confidence) => confidence,
            Some(confidence) => return wrong(format!("confidence {confidence} is not from 0 to 1")),
        };
        let valid_for = match self.valid_for_ms {
            None => DEFAULT_VALID,
            Some(ms @ ..=MOST_VALID_MS) => Duration::from_millis(ms),
            Some(ms) => return wrong(format!("valid_for_ms {ms} is not from 0 to {MOST_VALID_MS}")),
        };
        let retry_after = match self.retry_after_ms {
            None => DEFAULT_RETRY,
            Some(ms) if RETRY_MS.contains(&ms) => Duration::from_millis(ms),
            Some(ms) => return wrong(format!("retry_after_ms {ms} is not from 1000 to 600000")),
        };
        let reason = clean(self.reason.as_deref().unwrap_or_default());
        Ok(ModelOutput { word, target, confidence, valid_for, retry_after, reason })
    }
}

/// A model's text as it may be shown: printable ASCII, at most [`MAX_REASON`] characters.
pub(super) fn clean(text: &str) -> String {
    let mut last_was_space = true;
    let ascii = text.chars().map(|c| if c.is_ascii_graphic() { c } else { ' ' });
    let words = ascii.filter(|c| {
        let is_space = *c == ' ';
        let is_kept = !(is_space && last_was_space);
        last_was_space = is_space;
        is_kept
    });
    words.take(MAX_REASON).collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests;
