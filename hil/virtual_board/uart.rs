//! A serial line from the board to the host: bytes take their time, and a wrong speed makes garbage of them.

use std::{collections::VecDeque, time::Duration};

use crate::chance::Chance;

/// Receivers take the middle of each bit: half a bit of drift over ten bits is too much. Bitaxe boards live with 4 %.
const TOLERANCE: f64 = 0.05;
/// Frames that wait to go out; a host is never that far behind what a line can carry.
const MOST_FRAMES: usize = 4096;

/// Whether two speeds are close enough for each other.
pub(super) fn fits(one: f64, other: f64) -> bool {
    (one / other - 1.0).abs() < TOLERANCE
}

/// How long bytes take: a start bit, eight bits, a stop bit.
pub(super) fn line_time(bytes: usize, baud: f64) -> Duration {
    Duration::try_from_secs_f64(bytes as f64 * 10.0 / baud).unwrap_or(Duration::MAX)
}

/// What is on its way to the host.
#[derive(Debug, Default)]
pub(super) struct Line {
    frames: VecDeque<(Duration, Vec<u8>)>,
    free_at: Duration,
}

impl Line {
    /// Sends `bytes` at `board_baud` to a host that listens at `host_baud`, not before `ready`.
    pub(super) fn send(
        &mut self,
        mut bytes: Vec<u8>,
        board_baud: f64,
        host_baud: f64,
        ready: Duration,
        chance: &mut Chance,
    ) {
        if self.frames.len() == MOST_FRAMES {
            return;
        }
        if !fits(board_baud, host_baud) {
            bytes = bytes.iter().map(|_| chance.number() as u8).collect();
        }
        self.free_at = self.free_at.max(ready).saturating_add(line_time(bytes.len(), board_baud));
        self.frames.push_back((self.free_at, bytes));
    }

    pub(super) fn due(&self) -> Option<Duration> {
        self.frames.front().map(|(at, _)| *at)
    }

    /// What has arrived at `now`.
    pub(super) fn arrived(&mut self, now: Duration) -> Option<Vec<u8>> {
        self.frames.pop_front_if(|(at, _)| *at <= now).map(|(_, bytes)| bytes)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_follow_each_other_at_the_speed_of_the_line() {
        let (mut line, mut chance) = (Line::default(), Chance::new(1));
        for byte in 1..=2 {
            line.send(vec![byte; 11], 110_000.0, 110_000.0, Duration::ZERO, &mut chance);
        }
        assert_eq!(line.arrived(Duration::from_micros(999)), None);
        assert_eq!(line.arrived(Duration::from_millis(1)), Some(vec![1; 11]));
        assert_eq!(line.due(), Some(Duration::from_millis(2)));
    }

    #[test]
    fn four_per_cent_of_speed_are_tolerated_and_half_of_it_is_not() {
        assert!(fits(1_041_667.0, 1_000_000.0));
        assert!(!fits(115_740.0, 57_600.0));
        let (mut line, mut chance) = (Line::default(), Chance::new(1));
        line.send(vec![0xaa; 11], 1_041_667.0, 115_200.0, Duration::ZERO, &mut chance);
        let garbage = line.arrived(Duration::from_secs(1)).unwrap();
        assert_eq!(garbage.len(), 11);
        assert_ne!(garbage, [0xaa; 11]);
    }
}
