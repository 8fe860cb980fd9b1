//! Answers to questions that are as good as the same.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::input::{self, ModelInput};
use super::output::ModelOutput;

/// How long an answer is kept.
const LIFE: Duration = Duration::from_secs(30);
const MOST: usize = 256;

/// Names that stay the same from one question to the next: an upstream's, by place among the candidates.
pub type UpstreamKey = usize;

/// The hash of what a question comes down to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheKey([u8; 32]);

impl CacheKey {
    /// Of a question to `who` (back end, model and version of the prompt), with the `parent` of the running job and the
    /// upstreams behind the candidates. Numbers count by what makes a difference: values and fees to three digits,
    /// counts and ages to powers of two; the clock does not count.
    pub fn new(who: &str, question: &ModelInput, parent: &[u8; 32], upstreams: &[UpstreamKey]) -> Self {
        let mut value = question.to_value();
        if let Value::Object(map) = &mut value {
            for key in ["clock", "state_id", "deadline_ms"] {
                map.remove(key);
            }
        }
        bucket(&mut value);
        let mut hash = Sha256::new();
        for part in [who.as_bytes(), parent, input::canonical(&value).as_bytes()] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        for key in upstreams {
            hash.update((*key as u64).to_le_bytes());
        }
        Self(hash.finalize().into())
    }
}

fn bucket(value: &mut Value) {
    match value {
        Value::Object(map) => map.values_mut().for_each(bucket),
        Value::Array(list) => list.iter_mut().for_each(bucket),
        Value::Number(number) => {
            *value = match number.as_u64() {
                Some(count) => Value::from(u64::BITS - count.leading_zeros()),
                None => Value::from(format!("{:.2e}", number.as_f64().unwrap_or_default())),
            };
        }
        _ => {}
    }
}

#[derive(Debug)]
struct Entry {
    key: CacheKey,
    answer: ModelOutput,
    /// Whom the answer names, beyond its own question.
    target: Option<UpstreamKey>,
    until: Instant,
}

/// The answers of the last seconds, the oldest first.
#[derive(Debug, Default)]
pub struct Cache {
    entries: VecDeque<Entry>,
    hits: u64,
}

impl Cache {
    /// Keeps an answer for as long as it holds, [`LIFE`] at most. `upstreams` are those behind its question's candidates.
    pub fn keep(&mut self, key: CacheKey, answer: &ModelOutput, upstreams: &[UpstreamKey], now: Instant) {
        self.entries.retain(|entry| entry.key != key && entry.until > now);
        if self.entries.len() == MOST {
            self.entries.pop_front();
        }
        let target = answer.target.and_then(|place| upstreams.get(place).copied());
        let until = now + LIFE.min(answer.valid_for);
        self.entries.push_back(Entry { key, answer: answer.clone(), target, until });
    }

    /// The answer to a question whose candidates are these upstreams.
    pub fn find(&mut self, key: &CacheKey, upstreams: &[UpstreamKey], now: Instant) -> Option<ModelOutput> {
        let entry = self.entries.iter().find(|entry| entry.key == *key && entry.until > now)?;
        let place = |target| upstreams.iter().position(|upstream| *upstream == target);
        let target = match entry.target {
            Some(target) => Some(place(target)?),
            None => None,
        };
        self.hits += 1;
        Some(ModelOutput { target, valid_for: entry.until - now, ..entry.answer.clone() })
    }

    /// Something happened after which no answer holds.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// Questions that needed no model.
    pub fn hits(&self) -> u64 {
        self.hits
    }

    /// Answers kept.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::health;
    use super::super::output::Word;
    use super::*;

    const PARENT: [u8; 32] = [7; 32];

    fn key(change: impl FnOnce(&mut ModelInput)) -> CacheKey {
        let mut question = health::question(2000);
        change(&mut question);
        CacheKey::new("builtin", &question, &PARENT, &[4, 9])
    }

    fn answer() -> ModelOutput {
        ModelOutput {
            word: Word::Switch,
            target: Some(1),
            confidence: 0.9,
            valid_for: Duration::from_secs(60),
            retry_after: Duration::from_secs(30),
            reason: String::new(),
        }
    }

    #[test]
    fn questions_are_the_same_when_they_differ_by_nothing_that_counts() {
        let same = key(|_| {});
        assert_eq!(same, key(|question| question.clock.uptime_ms = 99));
        assert_eq!(same, key(|question| question.candidates[0].job_age_ms += 1_000));
        assert_eq!(same, key(|question| question.candidates[0].value += 1e-5));
        assert_ne!(same, key(|question| question.candidates[0].job_age_ms *= 2));
        assert_ne!(same, key(|question| question.candidates[0].value += 0.01));
        assert_ne!(same, key(|question| question.candidates[0].alarm = true));
        let question = health::question(2000);
        assert_ne!(same, CacheKey::new("other", &question, &PARENT, &[4, 9]));
        assert_ne!(same, CacheKey::new("builtin", &question, &[8; 32], &[4, 9]));
        assert_ne!(same, CacheKey::new("builtin", &question, &PARENT, &[9, 4]));
    }

    #[test]
    fn an_answer_names_its_upstream_for_thirty_seconds() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut cache = Cache::default();
        let key = key(|_| {});
        cache.keep(key, &answer(), &[4, 9], start);
        let found = cache.find(&key, &[9, 4], at(10)).unwrap();
        assert_eq!((found.target, found.valid_for), (Some(0), Duration::from_secs(20)));
        assert_eq!(cache.find(&key, &[4, 5], at(10)), None, "its upstream is no candidate");
        assert_eq!(cache.find(&key, &[4, 9], at(30)), None);
        assert_eq!(cache.hits(), 1);
    }

    #[test]
    fn it_holds_no_more_than_it_may_and_nothing_after_a_hard_event() {
        let now = Instant::now();
        let mut cache = Cache::default();
        for nth in 0..300_u32 {
            let key = CacheKey([nth.to_le_bytes(), [0; 4]].concat().repeat(4).try_into().unwrap());
            cache.keep(key, &answer(), &[4, 9], now);
        }
        assert_eq!(cache.len(), MOST);
        cache.clear();
        assert!(cache.is_empty());
    }
}
