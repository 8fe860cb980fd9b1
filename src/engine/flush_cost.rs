//! `L`: how long a board produces nothing when it changes from one job to another. Measured when it joins and every six
//! hours, from its first changes of work.
//!
//! Two things are seen of a change: when the board says that it has begun the new job, and its first nonce of it. The first
//! is a lower bound, exact for what is programmed by us; the second shows what a controller with a queue of its own hides.
//! A nonce comes after `L` and a wait that is exponential with the rate of nonces, a second or more, so that a mean or a
//! median of nine would be off by tenths of one. Their minimum less its expected wait, 1 / Σ rate, is off by a ninth of
//! that, and counts where it is three times as long as that error.

use std::time::{Duration, Instant};

use signalcore_drivers::ChipJobId;

/// Changes of work that one measurement takes.
const CHANGES: usize = 9;
/// What was measured is measured again after so long.
const MEASURE_EVERY: Duration = Duration::from_secs(6 * 3600);
/// So many standard errors above zero a wait for nonces counts.
const SIGNIFICANT: f64 = 3.0;
/// The longest that is believed: a board that was silent for longer did something else.
const LONGEST: Duration = Duration::from_secs(60);

/// The measurement of one board.
#[derive(Debug, Default)]
pub(super) struct FlushCost {
    open: Option<Change>,
    begun: Vec<Duration>,
    /// From a change to the first nonce after it, and the nonces a second that were to be expected.
    waits: Vec<(Duration, f64)>,
    done: Option<(Duration, Instant)>,
}

/// A change that was sent and whose end is not known.
#[derive(Debug, Clone, Copy)]
struct Change {
    /// The first job after it.
    job: ChipJobId,
    sent: Instant,
    has_begun: bool,
}

impl FlushCost {
    /// The board was given a job in place of another one.
    pub(super) fn sent(&mut self, job: ChipJobId, now: Instant) {
        let is_known = self.done.is_some_and(|(_, at)| now.saturating_duration_since(at) < MEASURE_EVERY);
        self.open = (!is_known).then_some(Change { job, sent: now, has_begun: false });
    }

    /// It has begun a job.
    pub(super) fn started(&mut self, job: ChipJobId, at: Instant) {
        if let Some(open) = self.open.as_mut().filter(|open| open.job == job && !open.has_begun) {
            open.has_begun = true;
            self.begun.push(at.saturating_duration_since(open.sent).min(LONGEST));
            self.settle(at);
        }
    }

    /// It has found a nonce on a job; it finds so many a second.
    pub(super) fn found(&mut self, job: ChipJobId, a_second: f64, now: Instant) {
        let Some(open) = self.open.filter(|open| job >= open.job) else { return };
        self.open = None;
        if a_second.is_finite() && a_second > 0.0 {
            self.waits.push((now.saturating_duration_since(open.sent).min(LONGEST), a_second));
        }
        self.settle(now);
    }

    /// What was measured.
    pub(super) fn measured(&self) -> Option<Duration> {
        self.done.map(|(cost, _)| cost)
    }

    fn settle(&mut self, now: Instant) {
        if self.begun.len() < CHANGES {
            return;
        }
        self.begun.sort_unstable();
        let begun = self.begun[CHANGES / 2];
        let least = self.waits.iter().map(|(wait, _)| wait.as_secs_f64()).fold(f64::INFINITY, f64::min);
        let error = 1.0 / self.waits.iter().map(|(_, a_second)| a_second).sum::<f64>();
        let silent = least - error;
        let is_seen = self.waits.len() >= CHANGES / 2 && silent > SIGNIFICANT * error;
        let silent = if is_seen { Duration::from_secs_f64(silent.min(60.0)) } else { Duration::ZERO };
        self.done = Some((begun.max(silent), now));
        (self.open, self.begun, self.waits) = (None, Vec::new(), Vec::new());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Changes of a board that says it has begun after 2 ms and is silent for `silent` seconds; its nonces come a `wait`
    /// later each.
    fn changes(cost: &mut FlushCost, silent: f64, a_second: f64, start: Instant) {
        for nth in 0..=CHANGES as u64 {
            let (job, sent) = (ChipJobId(nth * 10), start + Duration::from_secs(30 * nth));
            // Nine quantiles of the exponential distribution, in some order.
            let part = ((nth * 7) % 10) as f64 / 10.0 + 0.05;
            let wait = silent - (1.0 - part).ln() / a_second;
            cost.sent(job, sent);
            cost.started(job, sent + Duration::from_millis(2));
            cost.found(ChipJobId(nth * 10 + 1), a_second, sent + Duration::from_secs_f64(wait));
        }
    }

    #[test]
    fn a_board_that_is_back_at_once_costs_what_it_says() {
        let mut cost = FlushCost::default();
        assert_eq!(cost.measured(), None);
        changes(&mut cost, 0.0, 0.3, Instant::now());
        assert_eq!(cost.measured(), Some(Duration::from_millis(2)), "waits for nonces alone are no silence");
    }

    #[test]
    fn a_controller_that_finishes_its_queue_first_is_found_out_by_its_nonces() {
        let mut cost = FlushCost::default();
        changes(&mut cost, 1.0, 20.0, Instant::now());
        let measured = cost.measured().unwrap().as_secs_f64();
        assert!((measured - 1.0).abs() < 0.02, "{measured}");
    }

    #[test]
    fn it_is_measured_again_after_six_hours_and_not_before() {
        let (mut cost, start) = (FlushCost::default(), Instant::now());
        changes(&mut cost, 0.0, 1.0, start);
        changes(&mut cost, 2.0, 20.0, start + Duration::from_secs(3600));
        assert_eq!(cost.measured(), Some(Duration::from_millis(2)));
        changes(&mut cost, 2.0, 20.0, start + Duration::from_secs(7 * 3600));
        assert!(cost.measured().unwrap() > Duration::from_millis(1900));
    }

    #[test]
    fn nonces_of_older_jobs_and_of_boards_without_a_rate_say_nothing() {
        let (mut cost, now) = (FlushCost::default(), Instant::now());
        cost.sent(ChipJobId(5), now);
        cost.found(ChipJobId(4), 1.0, now + Duration::from_secs(1));
        assert!(cost.waits.is_empty());
        cost.found(ChipJobId(5), 0.0, now + Duration::from_secs(2));
        assert!(cost.waits.is_empty() && cost.open.is_none());
    }
}
