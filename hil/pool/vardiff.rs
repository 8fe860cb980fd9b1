//! Variable difficulty: from the work a connection delivers to the difficulty that makes shares come evenly.

use std::time::{Duration, Instant};

use super::difficulty::Difficulty;

/// Shares after which the rate is known well enough to act on. Sixteen shares tell it to about 25 %.
const ENOUGH_SHARES: u32 = 16;
/// Share intervals after which silence is an answer too.
const ENOUGH_INTERVALS: u32 = 12;
/// Within this factor the difficulty stays: closer is within the noise of [`ENOUGH_SHARES`].
const TOLERANCE: f64 = 1.7;
/// The most one step may raise or lower, so that a lucky burst does not silence a connection.
const LARGEST_STEP: f64 = 64.0;

/// Where difficulty starts, its limits, and how often a share shall come.
#[derive(Clone, Debug, PartialEq)]
pub struct VardiffConfig {
    /// The difficulty of a connection's first job.
    pub start: Difficulty,
    /// Never below this.
    pub lowest: Difficulty,
    /// Never above this.
    pub highest: Difficulty,
    /// One share in this time is the aim, on each connection.
    pub share_every: Duration,
}

/// The state of one connection: the difficulty in force and the work seen since it was last judged.
#[derive(Clone, Debug)]
pub(crate) struct Vardiff {
    config: VardiffConfig,
    current: Difficulty,
    since: Instant,
    work: f64,
    shares: u32,
}

impl Vardiff {
    pub(crate) fn new(config: VardiffConfig, now: Instant) -> Self {
        let current = config.start.at_least(config.lowest).at_most(config.highest);
        Self { config, current, since: now, work: 0.0, shares: 0 }
    }

    /// The difficulty for the next job.
    pub(crate) fn current(&self) -> Difficulty {
        self.current
    }

    /// A share of a job of this difficulty was accepted. True when the difficulty changed.
    pub(crate) fn share(&mut self, difficulty: Difficulty, now: Instant) -> bool {
        self.work += difficulty.value();
        self.shares += 1;
        self.shares >= ENOUGH_SHARES && self.retarget(now)
    }

    /// The miner asks for a difficulty: it is taken at once and is the floor from now on, within the limits.
    pub(crate) fn suggest(&mut self, wanted: Difficulty, now: Instant) -> bool {
        let wanted = wanted.at_least(self.config.lowest).at_most(self.config.highest);
        self.config.lowest = wanted;
        self.change_to(wanted, now)
    }

    /// True when too few shares came and the difficulty fell.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> bool {
        now >= self.poll_timeout() && self.retarget(now)
    }

    /// When the present window ends, however few its shares.
    pub(crate) fn poll_timeout(&self) -> Instant {
        self.since + self.config.share_every * ENOUGH_INTERVALS
    }

    fn retarget(&mut self, now: Instant) -> bool {
        let elapsed = now.duration_since(self.since).as_secs_f64().max(0.001);
        // Without any share the rate is unknown but below one share in the window.
        let work = if self.shares == 0 { self.current.value() } else { self.work };
        let ideal = work / elapsed * self.config.share_every.as_secs_f64();
        let factor = (ideal / self.current.value()).clamp(1.0 / LARGEST_STEP, LARGEST_STEP);
        let wanted = if (1.0 / TOLERANCE..=TOLERANCE).contains(&factor) {
            self.current
        } else {
            let power = (self.current.value() * factor).log2().round();
            Difficulty::new(power.exp2()).unwrap_or(self.current)
        };
        self.change_to(wanted.at_least(self.config.lowest).at_most(self.config.highest), now)
    }

    fn change_to(&mut self, wanted: Difficulty, now: Instant) -> bool {
        let changed = wanted != self.current;
        *self = Self { config: self.config.clone(), current: wanted, since: now, work: 0.0, shares: 0 };
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;
    use crate::pool::difficulty::HASHES_PER_DIFFICULTY;

    fn difficulty(value: f64) -> Difficulty {
        Difficulty::new(value).unwrap()
    }

    fn config(start: f64) -> VardiffConfig {
        VardiffConfig {
            start: difficulty(start),
            lowest: difficulty(1e-9),
            highest: difficulty(1e12),
            share_every: Duration::from_millis(1500),
        }
    }

    /// A miner of this hash rate for `seconds`, then the shares that came in the second half of that time.
    fn mine(vardiff: &mut Vardiff, hash_rate: f64, seconds: u64, start: Instant, chance: &mut Chance) -> u32 {
        let (mut now, mut late_shares) = (start, 0);
        let end = start + Duration::from_secs(seconds);
        while now < end {
            let mean = vardiff.current().value() * HASHES_PER_DIFFICULTY / hash_rate;
            let wait = -((chance.number() as f64 + 1.0) / 2_f64.powi(64)).ln() * mean;
            let found_at = now + Duration::from_secs_f64(wait.min(1e6));
            // The chance of a share has no memory, so the wait may be drawn anew after a change.
            if found_at > vardiff.poll_timeout() {
                now = vardiff.poll_timeout();
                vardiff.handle_timeout(now);
            } else {
                now = found_at;
                vardiff.share(vardiff.current(), now);
                late_shares += u32::from(now > start + Duration::from_secs(seconds / 2) && now < end);
            }
        }
        late_shares
    }

    #[test]
    fn shares_settle_near_the_wanted_rate_from_too_easy_and_from_too_hard() {
        let start = Instant::now();
        for (first, hash_rate) in [(0.001, 1e5), (0.001, 2e7), (0.001, 1e9), (0.001, 1e14), (1e6, 2e7)] {
            let mut vardiff = Vardiff::new(config(first), start);
            let shares = mine(&mut vardiff, hash_rate, 1200, start, &mut Chance::new(7));
            // 600 seconds at 1.5 s a share are 400 shares.
            assert!((220..=720).contains(&shares), "{shares} shares at {hash_rate} H/s from {first}");
        }
    }

    #[test]
    fn a_miner_that_delivers_nothing_gets_easier_work_down_to_the_limit() {
        let start = Instant::now();
        let mut vardiff = Vardiff::new(VardiffConfig { lowest: difficulty(0.01), ..config(8.0) }, start);
        for _ in 0..20 {
            vardiff.handle_timeout(vardiff.poll_timeout());
        }
        assert_eq!(vardiff.current(), difficulty(0.01));
    }

    #[test]
    fn a_suggested_difficulty_is_taken_within_the_limits_and_stays_the_floor() {
        let start = Instant::now();
        let mut vardiff = Vardiff::new(VardiffConfig { highest: difficulty(64.0), ..config(1.0) }, start);
        assert!(vardiff.suggest(difficulty(0.3), start));
        assert!(!vardiff.handle_timeout(vardiff.poll_timeout()), "silence may not go below the floor");
        assert_eq!(vardiff.current(), difficulty(0.3));
        assert!(vardiff.suggest(difficulty(1e9), start));
        assert_eq!(vardiff.current(), difficulty(64.0));
    }
}
