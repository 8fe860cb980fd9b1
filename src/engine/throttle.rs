//! A ceiling on shares a second, so that a tiny difficulty floods nobody.

use std::time::Instant;

/// Shares a second that are sent on average. Pools adjust to 4 to 20 a minute and ban for floods.
const PER_SECOND: f64 = 50.0;
/// Shares that may go at once after a quiet time.
const BURST: f64 = 100.0;

/// A token bucket.
#[derive(Debug)]
pub struct Throttle {
    tokens: f64,
    filled_at: Instant,
}

impl Throttle {
    /// A full bucket.
    pub fn new(now: Instant) -> Self {
        Self { tokens: BURST, filled_at: now }
    }

    /// Whether one more share may go now.
    pub fn allows(&mut self, now: Instant) -> bool {
        let earned = now.duration_since(self.filled_at).as_secs_f64() * PER_SECOND;
        self.tokens = (self.tokens + earned).min(BURST);
        self.filled_at = now;
        let allowed = self.tokens >= 1.0;
        if allowed {
            self.tokens -= 1.0;
        }
        allowed
    }
}
