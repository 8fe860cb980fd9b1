//! How long to wait before the next attempt. The only place that knows the `backoff` crate (DECISIONS.md, 4).

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;

use crate::validate::quarantine;

/// A connection that served this long was a good one: the next failure starts from the shortest wait again. Long enough
/// that a pool which cuts everybody is not called more than some five times a minute; the strictest bans at sixty.
pub(super) const GOOD_SERVICE: Duration = Duration::from_secs(10);

const FIRST: Duration = Duration::from_secs(1);
/// A pool that refuses the worker is asked again after a minute, doubling to ten: some ban for less.
const FIRST_AFTER_REFUSAL: Duration = Duration::from_secs(60);
const LONGEST_AFTER_REFUSAL: Duration = Duration::from_secs(600);

/// The waits of one upstream: doubling, each half to one and a half times as long so that many miners do not come back
/// at once.
#[derive(Debug)]
pub(super) struct Retry {
    failures: ExponentialBackoff,
    refusals: ExponentialBackoff,
    quarantines: u32,
    longest: Duration,
}

impl Retry {
    /// Waits from one second to `longest`.
    pub(super) fn new(longest: Duration) -> Self {
        let failures = doubling(FIRST, longest);
        let refusals = doubling(FIRST_AFTER_REFUSAL, LONGEST_AFTER_REFUSAL);
        Self { failures, refusals, quarantines: 0, longest }
    }

    /// The wait after one more failure.
    pub(super) fn after_failure(&mut self) -> Duration {
        next(&mut self.failures).clamp(FIRST.min(self.longest), self.longest)
    }

    /// The wait after one more refusal of the worker.
    pub(super) fn after_refusal(&mut self) -> Duration {
        next(&mut self.refusals).clamp(FIRST_AFTER_REFUSAL, LONGEST_AFTER_REFUSAL)
    }

    /// The wait after one more job that pays others, exactly so long. Good service does not make it shorter: who takes our payout
    /// serves well until then.
    pub(super) fn after_quarantine(&mut self) -> Duration {
        let term = quarantine(self.quarantines);
        self.quarantines += 1;
        term
    }

    /// The upstream served well.
    pub(super) fn reset(&mut self) {
        self.failures.reset();
        self.refusals.reset();
    }
}

fn doubling(first: Duration, longest: Duration) -> ExponentialBackoff {
    ExponentialBackoff {
        initial_interval: first,
        current_interval: first,
        max_interval: longest,
        multiplier: 2.0,
        randomization_factor: 0.5,
        max_elapsed_time: None,
        ..ExponentialBackoff::default()
    }
}

fn next(backoff: &mut ExponentialBackoff) -> Duration {
    backoff.next_backoff().expect("without a longest total time there is always a next wait")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_one_second_to_the_longest_and_start_again_after_good_service() {
        let mut retry = Retry::new(Duration::from_secs(60));
        let waits: Vec<_> = (0..12).map(|_| retry.after_failure().as_secs_f64()).collect();
        for (attempt, wait) in waits.iter().enumerate() {
            let middle = 2f64.powi(attempt as i32).min(60.0);
            assert!(
                (middle * 0.5..=middle * 1.5).contains(wait) || *wait == 1.0 || *wait == 60.0,
                "{waits:?}"
            );
            assert!((1.0..=60.0).contains(wait), "{waits:?}");
        }
        retry.reset();
        assert!(retry.after_failure() < Duration::from_secs(2));
    }

    #[test]
    fn a_quarantine_lasts_ten_minutes_and_doubles_to_six_hours_whatever_comes_between() {
        let mut retry = Retry::new(Duration::from_secs(60));
        let minutes = (0..40).map(|_| {
            retry.reset();
            retry.after_quarantine().as_secs() / 60
        });
        assert_eq!(minutes.take(8).collect::<Vec<_>>(), [10, 20, 40, 80, 160, 320, 360, 360]);
        assert_eq!(quarantine(u32::MAX).as_secs(), 6 * 3600);
    }

    #[test]
    fn a_refusal_waits_a_minute_at_least_and_ten_at_most() {
        let mut retry = Retry::new(Duration::from_secs(60));
        for _ in 0..8 {
            assert!((60.0..=600.0).contains(&retry.after_refusal().as_secs_f64()));
        }
    }
}
