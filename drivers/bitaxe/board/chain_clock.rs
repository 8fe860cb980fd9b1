//! The time of the chain: it stands still while a word about the reset line is on its way to the board.
//!
//! The chain counts its waits from when it asked for the reset line to be moved. Over the control port that takes a few
//! milliseconds, or a second if a call is lost; the chips must get their waits all the same.

use std::time::{Duration, Instant};

/// What the chain is told for the time.
#[derive(Debug, Default)]
pub(super) struct ChainClock {
    /// Time that it has stood still.
    behind: Duration,
    stopped_at: Option<Instant>,
}

impl ChainClock {
    pub(super) fn of(&self, now: Instant) -> Instant {
        self.stopped_at.unwrap_or(now).checked_sub(self.behind).unwrap_or(now)
    }

    pub(super) fn stop(&mut self, now: Instant) {
        self.stopped_at.get_or_insert(now);
    }

    pub(super) fn go_on(&mut self, now: Instant) {
        if let Some(stopped_at) = self.stopped_at.take() {
            self.behind += now.saturating_duration_since(stopped_at);
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped_at.is_some()
    }

    /// When a time of the chain comes.
    pub(super) fn real(&self, chain_time: Instant) -> Instant {
        chain_time + self.behind
    }
}
