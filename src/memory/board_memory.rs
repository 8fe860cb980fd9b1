//! What was found of many boards, as a list of bounded size.

use serde::{Deserialize, Serialize};
use signalcore_drivers::order::Results;

/// Boards remembered; those that taught something longest ago go first.
pub(super) const MAX_BOARDS: usize = 64;
/// Points remembered of each, the latest ones: more than a search measures.
const MAX_POINTS: usize = 256;
/// Longest name of a board that is remembered, in bytes.
const MAX_NAME: usize = 253;
/// Longest text of all of them, in bytes: 64 boards of 64 points each.
const MAX_BYTES: usize = 1536 * 1024;

/// What was found of one board.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    board: String,
    results: Results,
}

/// What was found of many boards, the latest first.
#[derive(Debug, Clone, Default)]
pub(super) struct BoardMemory(Vec<Entry>);

impl BoardMemory {
    /// Of entries that anybody may have written; what is too much of them is left out.
    pub(super) fn new(mut entries: Vec<Entry>) -> Self {
        entries.truncate(MAX_BOARDS);
        let mut memory = Self::default();
        for Entry { board, results } in entries.into_iter().rev() {
            memory.learn(board, results);
        }
        memory
    }

    /// The entries, as many as their text may have room for.
    pub(super) fn within_limit(mut self) -> Vec<Entry> {
        // Twice, for the text is indented within another one.
        let size =
            |entry: &Entry| 2 * serde_json::to_string_pretty(entry).map_or(MAX_BYTES, |text| text.len());
        let mut left = MAX_BYTES;
        let fits = |entry: &&Entry| match left.checked_sub(size(entry)) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        };
        let count = self.0.iter().take_while(fits).count();
        self.0.truncate(count);
        self.0
    }

    /// What an earlier run has found of this board.
    pub(super) fn results(&self, board: &str) -> Results {
        let known = self.0.iter().find(|entry| entry.board == board);
        known.map(|entry| entry.results.clone()).unwrap_or_default()
    }

    /// Something was found of this board.
    pub(super) fn learn(&mut self, board: String, mut results: Results) {
        self.0.retain(|entry| entry.board != board);
        let surplus = results.outcomes.len().saturating_sub(MAX_POINTS);
        results.outcomes.drain(..surplus);
        if board.len() <= MAX_NAME && !results.outcomes.is_empty() {
            self.0.insert(0, Entry { board, results });
        }
        self.0.truncate(MAX_BOARDS);
    }
}

#[cfg(test)]
mod tests {
    use signalcore_drivers::bitaxe::tuner::{Outcome, Point};

    use super::*;

    fn results(points: u32) -> Results {
        let outcome = |megahertz| Outcome {
            point: Point { megahertz, millivolts: 1150 },
            hashes_per_second: 1.071_234_567_891_234e12,
            watts: 17.123_456_789_123_4,
            celsius: 61.125,
            error_share: 0.001_234_567_891_234_5,
            fault: None,
        };
        Results { outcomes: (0..points).map(outcome).collect(), limits: None }
    }

    #[test]
    fn what_was_found_survives_the_way_to_text_and_back() {
        let mut memory = BoardMemory::default();
        memory.learn("gamma 1".to_owned(), results(9));
        memory.learn("gamma 2".to_owned(), results(2));
        memory.learn("gamma 2".to_owned(), results(3));
        let text = serde_json::to_string(&memory.within_limit()).unwrap();
        let memory = BoardMemory::new(serde_json::from_str(&text).unwrap());
        assert_eq!((memory.results("gamma 1"), memory.results("gamma 2")), (results(9), results(3)));
        assert_eq!(memory.results("gamma 3"), Results::default());
    }

    #[test]
    fn the_latest_boards_and_points_are_kept_within_the_longest_text() {
        let mut memory = BoardMemory::default();
        for number in 0..100 {
            memory.learn(format!("{number:0>253}"), results(1000));
        }
        memory.learn("x".repeat(254), results(1));
        assert_eq!(memory.0.len(), MAX_BOARDS);
        let latest = memory.results(&format!("{:0>253}", 99));
        assert_eq!((latest.outcomes.len(), latest.outcomes[0].point.megahertz), (256, 744));
        let entries = memory.within_limit();
        assert!(serde_json::to_string_pretty(&entries).unwrap().len() <= MAX_BYTES);
        assert!(entries.len() > 5 && entries[0].board.ends_with("99"), "{}", entries.len());
    }
}
