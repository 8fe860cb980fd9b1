//! What one model has done, in figures.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::breaker::State;
use super::failure::Failure;
use super::output::Word;

/// Longest time that is told apart; longer ones count as this.
const LONGEST_MS: u64 = 600_000;

/// The counters of one model.
#[derive(Debug, Clone)]
pub struct Statistics {
    calls: u64,
    answered: u64,
    late: u64,
    invalid: u64,
    retries: u64,
    cancelled: u64,
    agreed: u64,
    words: BTreeMap<Word, u64>,
    failures: BTreeMap<&'static str, u64>,
    microseconds: Histogram<u32>,
}

impl Default for Statistics {
    fn default() -> Self {
        let histogram = Histogram::new_with_max(LONGEST_MS * 1000, 2);
        Self {
            calls: 0,
            answered: 0,
            late: 0,
            invalid: 0,
            retries: 0,
            cancelled: 0,
            agreed: 0,
            words: BTreeMap::new(),
            failures: BTreeMap::new(),
            microseconds: histogram.expect("the bounds are those of the crate"),
        }
    }
}

/// The same at one moment, for displays and programs. Times in milliseconds, `None` before the first answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// Questions asked.
    pub calls: u64,
    /// Those answered in time and rightly.
    pub answered: u64,
    /// Answers too late.
    pub late: u64,
    /// Answers that were none.
    pub invalid: u64,
    /// Attempts beyond the first.
    pub retries: u64,
    /// Questions given up for newer ones.
    pub cancelled: u64,
    /// Answers of the cache.
    pub cache_hits: u64,
    /// Times the breaker opened.
    pub breaker_openings: u64,
    /// Whether it is open.
    pub breaker_open: bool,
    /// `closed`, `open`, or `probing`: one question decides.
    pub breaker: &'static str,
    /// Part of the answers that changed nothing, 0 to 1.
    pub agreement: Option<f64>,
    /// Answers by word.
    pub decisions: BTreeMap<Word, u64>,
    /// Failures by kind.
    pub failures: BTreeMap<&'static str, u64>,
    /// Median time to an answer.
    pub p50_ms: Option<f64>,
    /// Nine of ten answers took at most this.
    pub p90_ms: Option<f64>,
    /// 99 of 100.
    pub p99_ms: Option<f64>,
}

impl Statistics {
    /// A question went out.
    pub fn called(&mut self) {
        self.calls += 1;
    }

    /// It was asked again so many times.
    pub fn retried(&mut self, times: u32) {
        self.retries += u64::from(times);
    }

    /// An answer came; `agrees` when it changes nothing.
    pub fn answered(&mut self, word: Word, agrees: bool, took: Duration) {
        self.answered += 1;
        self.agreed += u64::from(agrees);
        *self.words.entry(word).or_default() += 1;
        self.microseconds.saturating_record(took.as_micros() as u64);
    }

    /// None came.
    pub fn failed(&mut self, failure: &Failure) {
        self.late += u64::from(*failure == Failure::Late);
        self.invalid += u64::from(failure.is_invalid());
        self.cancelled += u64::from(*failure == Failure::Cancelled);
        *self.failures.entry(failure.kind()).or_default() += 1;
    }

    /// All of it now.
    pub fn figures(&self, cache_hits: u64, breaker_openings: u64, breaker: State) -> Figures {
        let quantile = |fraction| {
            let ms = || self.microseconds.value_at_quantile(fraction) as f64 / 1e3;
            (!self.microseconds.is_empty()).then(ms)
        };
        Figures {
            calls: self.calls,
            answered: self.answered,
            late: self.late,
            invalid: self.invalid,
            retries: self.retries,
            cancelled: self.cancelled,
            cache_hits,
            breaker_openings,
            breaker_open: matches!(breaker, State::Open(_)),
            breaker: breaker.name(),
            agreement: (self.answered > 0).then(|| self.agreed as f64 / self.answered as f64),
            decisions: self.words.clone(),
            failures: self.failures.clone(),
            p50_ms: quantile(0.5),
            p90_ms: quantile(0.9),
            p99_ms: quantile(0.99),
        }
    }
}
