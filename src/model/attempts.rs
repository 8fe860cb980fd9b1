//! How often one question is asked, and how: all attempts share one deadline. The only place of this module that knows
//! the `backoff` crate.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;

use super::failure::Failure;
use super::input::ModelInput;

/// Most times a question is asked.
const ATTEMPTS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const PAUSE_SPREAD: f64 = 0.2;

/// How a question is asked: another attempt after an empty answer changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Variation {
    /// As it is, at temperature 0.
    #[default]
    Plain,
    /// At temperature 0.2.
    Warmer,
    /// Cut to the best candidates, at temperature 0.2.
    Cut,
}

impl Variation {
    /// The question as it is put.
    pub fn of(self, question: &ModelInput) -> Cow<'_, ModelInput> {
        if self == Self::Cut { Cow::Owned(question.cut()) } else { Cow::Borrowed(question) }
    }

    /// The sampling temperature, where there is one.
    pub fn temperature(self) -> f64 {
        if self == Self::Plain { 0.0 } else { 0.2 }
    }

    fn next(self) -> Self {
        if self == Self::Plain { Self::Warmer } else { Self::Cut }
    }
}

/// The attempts at one question.
#[derive(Debug)]
pub struct Attempts {
    deadline: Instant,
    made: u32,
    variation: Variation,
    has_violated: bool,
    pauses: ExponentialBackoff,
}

impl Attempts {
    /// None yet; the first may be made at once.
    pub fn new(deadline: Instant) -> Self {
        let pauses = ExponentialBackoff {
            initial_interval: FIRST_PAUSE,
            current_interval: FIRST_PAUSE,
            multiplier: 2.0,
            randomization_factor: PAUSE_SPREAD,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        Self { deadline, made: 0, variation: Variation::default(), has_violated: false, pauses }
    }

    /// Until when all of it must be done.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// How the next one asks.
    pub fn variation(&self) -> Variation {
        self.variation
    }

    /// One was made and failed. Returns when to make the next, or `None` when it is to be given up.
    pub fn failed(&mut self, failure: &Failure, now: Instant) -> Option<Instant> {
        self.made += 1;
        let is_first_violation = matches!(failure, Failure::Schema(_)) && !self.has_violated;
        self.has_violated |= matches!(failure, Failure::Schema(_));
        if *failure == Failure::Empty {
            self.variation = self.variation.next();
        }
        if self.made >= ATTEMPTS || !(failure.is_retryable() || is_first_violation) {
            return None;
        }
        let next = now + self.pauses.next_backoff()?;
        (next < self.deadline).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempts(deadline_ms: u64) -> (Attempts, Instant) {
        let start = Instant::now();
        (Attempts::new(start + Duration::from_millis(deadline_ms)), start)
    }

    #[test]
    fn a_question_is_asked_three_times_with_growing_pauses() {
        let (mut attempts, start) = attempts(2000);
        for (least, most) in [(80, 120), (160, 240)] {
            let next = attempts.failed(&Failure::Unreachable(String::new()), start).unwrap();
            let pause = next - start;
            assert!((least..=most).contains(&(pause.as_millis() as u64)), "{pause:?}");
        }
        assert_eq!(attempts.failed(&Failure::Unreachable(String::new()), start), None);
    }

    #[test]
    fn an_empty_answer_changes_the_question() {
        let (mut attempts, start) = attempts(2000);
        assert_eq!(attempts.variation().temperature(), 0.0);
        attempts.failed(&Failure::Empty, start).unwrap();
        assert_eq!((attempts.variation(), attempts.variation().temperature()), (Variation::Warmer, 0.2));
        attempts.failed(&Failure::Empty, start).unwrap();
        assert_eq!((attempts.variation(), attempts.variation().temperature()), (Variation::Cut, 0.2));
    }

    #[test]
    fn what_cannot_get_better_is_given_up_at_once() {
        let status = |status| Failure::Status { status, text: String::new() };
        for (failure, is_tried_again) in [
            (status(400), false),
            (status(401), false),
            (status(403), false),
            (status(404), false),
            (status(429), true),
            (status(500), true),
            (status(502), true),
            (status(503), true),
            (Failure::Late, true),
            (Failure::Unreadable(String::new()), true),
            (Failure::NotStarted(String::new()), false),
            (Failure::Cancelled, false),
        ] {
            let (mut attempts, start) = attempts(2000);
            assert_eq!(attempts.failed(&failure, start).is_some(), is_tried_again, "{failure:?}");
        }
    }

    #[test]
    fn a_schema_violation_is_asked_once_more() {
        let (mut attempts, start) = attempts(2000);
        assert!(attempts.failed(&Failure::Schema(String::new()), start).is_some());
        assert_eq!(attempts.failed(&Failure::Schema(String::new()), start), None);
    }

    #[test]
    fn no_attempt_is_made_after_the_deadline() {
        let (mut attempts, start) = attempts(50);
        assert_eq!(attempts.failed(&Failure::Empty, start), None);
    }
}
