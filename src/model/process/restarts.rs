//! When a program that has failed may be started again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
/// Starts within [`HOUR`].
const MOST: usize = 10;
const HOUR: Duration = Duration::from_secs(3600);

/// The starts of one program.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    starts: VecDeque<Instant>,
    pause: Option<Duration>,
    not_before: Option<Instant>,
}

impl Restarts {
    /// Whether it may be started now; it counts as started then. Errors: how long it must wait.
    pub(super) fn start(&mut self, now: Instant) -> Result<(), Duration> {
        self.starts.retain(|at| now.saturating_duration_since(*at) < HOUR);
        let full = (self.starts.len() >= MOST).then(|| self.starts[0] + HOUR);
        if let Some(at) = self.not_before.max(full).filter(|at| now < *at) {
            return Err(at - now);
        }
        self.starts.push_back(now);
        Ok(())
    }

    /// It has failed.
    pub(super) fn failed(&mut self, now: Instant) {
        let pause = self.pause.map_or(FIRST, |pause| (2 * pause).min(LONGEST));
        self.pause = Some(pause);
        self.not_before = Some(now + pause);
    }

    /// It answers.
    pub(super) fn served(&mut self) {
        self.pause = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_a_minute_and_ten_starts_an_hour_are_enough() {
        let mut now = Instant::now();
        let mut restarts = Restarts::default();
        for pause in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            restarts.start(now).unwrap();
            restarts.failed(now);
            assert_eq!(restarts.start(now), Err(Duration::from_secs(pause)));
            now += Duration::from_secs(pause);
        }
        restarts.start(now).unwrap();
        restarts.served();
        restarts.failed(now);
        now += Duration::from_secs(1);
        let wait = restarts.start(now).unwrap_err();
        assert_eq!(wait, Duration::from_secs(3600 - 243 - 1), "the hour since the first start");
        assert_eq!(restarts.start(now + wait), Ok(()));
    }
}
