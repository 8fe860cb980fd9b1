//! A ceiling on job switches a second: a pool that floods jobs shall not keep chips from hashing.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Switches within [`WINDOW`]; the next one waits, and the newest job wins.
const MOST: usize = 10;
const WINDOW: Duration = Duration::from_secs(1);

/// The switches of the last second.
#[derive(Debug, Default)]
pub struct Pace {
    recent: VecDeque<Instant>,
}

impl Pace {
    /// Takes note of a switch that is made now. Errors: when it may be made instead.
    pub fn take(&mut self, now: Instant) -> Result<(), Instant> {
        if self.recent.len() == MOST {
            let free_at = self.recent[0] + WINDOW;
            if now < free_at {
                return Err(free_at);
            }
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_switches_a_second_pass_and_the_next_is_told_its_time() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut pace = Pace::default();
        (0..10).for_each(|nth| assert_eq!(pace.take(at(10 * nth)), Ok(())));
        assert_eq!(pace.take(at(100)), Err(at(1_000)));
        assert_eq!(pace.take(at(1_000)), Ok(()));
        assert_eq!(pace.take(at(1_001)), Err(at(1_010)));
    }
}
