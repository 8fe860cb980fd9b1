//! A ceiling on one pool's job switches a second: a flood of jobs shall not keep chips from hashing.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Switches of a pool within [`WINDOW`]; the next one waits, and the newest job wins.
const MOST: usize = 10;
/// The same of nodes of our own, which do not flood us: on a test chain blocks may come thick and fast, and each that
/// waits is hashed for in vain.
const MOST_OF_OUR_OWN: usize = 100;
const WINDOW: Duration = Duration::from_secs(1);

/// The switches of the last second.
#[derive(Debug)]
pub struct Pace {
    most: usize,
    recent: VecDeque<Instant>,
    /// When the one that had to wait may be made.
    due: Option<Instant>,
    /// And for it boards drop what they have.
    pub flush_waits: bool,
}

impl Pace {
    /// Of a pool, or of nodes of our own.
    pub fn new(is_own: bool) -> Self {
        let most = if is_own { MOST_OF_OUR_OWN } else { MOST };
        Self { most, recent: VecDeque::new(), due: None, flush_waits: false }
    }

    /// Takes note of a switch that shall be made now. False when it has to wait until it is [`Self::due`].
    pub fn take(&mut self, now: Instant) -> bool {
        let full = self.recent.len() == self.most;
        self.due = full.then(|| self.recent[0] + WINDOW).filter(|free_at| now < *free_at);
        if self.due.is_some() {
            return false;
        }
        if full {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        true
    }

    /// When the switch that had to wait may be made, if there is one.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Nothing waits any more.
    pub fn clear(&mut self) {
        self.due = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_switches_a_second_pass_and_the_next_is_told_its_time() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut pace = Pace::new(false);
        (0..10).for_each(|nth| assert!(pace.take(at(10 * nth))));
        assert_eq!((pace.take(at(100)), pace.due()), (false, Some(at(1_000))));
        assert_eq!((pace.take(at(1_000)), pace.due()), (true, None));
        assert_eq!((pace.take(at(1_001)), pace.due()), (false, Some(at(1_010))));
        let mut own = Pace::new(true);
        (0..100).for_each(|nth| assert!(own.take(at(nth))));
        assert!(!own.take(at(101)));
    }
}
