//! Which chips of a board give far fewer nonces than its others. One that gives none its driver tells of, and sooner.

use signalcore_drivers::BoardStatus;
use signalcore_drivers::status::ChipStatus;

use super::BoardReport;
use crate::decision::board_health::is_short;

/// Nonces expected of each chip between two looks: a chip at two thirds of its rate shows in so many, and the looks do not
/// overlap, so that chance has as many tries as there are looks.
const EXPECTED: f64 = 100.0;
/// Looks in a row that have to find a chip short: a chip that dies between two of them is short once, and none at all later.
const LOOKS: u32 = 2;
/// Part of what the mean gives from which on a chip that was short is well again, well above what is short.
const WELL: f64 = 0.9;

/// The chips of one board.
#[derive(Debug, Default)]
pub(super) struct ChipWatch {
    chips: Vec<Watched>,
}

#[derive(Debug, Clone, Copy)]
struct Watched {
    /// Its nonces at the last look.
    nonces: u64,
    /// Looks in a row that found it short.
    short: u32,
    is_told: bool,
}

impl ChipWatch {
    /// How the board stands now. Shape: what the operator has to hear.
    pub(super) fn look(&mut self, status: &BoardStatus) -> Vec<BoardReport> {
        let chips = &status.chips;
        // Counts of a board that was opened again begin again.
        let goes_on = chips.len() == self.chips.len()
            && chips.iter().zip(&self.chips).all(|(chip, before)| chip.nonces >= before.nonces);
        if !goes_on {
            let begin = |chip: &ChipStatus| Watched { nonces: chip.nonces, short: 0, is_told: false };
            self.chips = chips.iter().map(begin).collect();
            return Vec::new();
        }
        let given = |(chip, before): (&ChipStatus, &Watched)| chip.nonces - before.nonces;
        let given: Vec<_> = chips.iter().zip(&self.chips).map(given).collect();
        let expected = given.iter().sum::<u64>() as f64 / given.len().max(1) as f64;
        if expected < EXPECTED {
            return Vec::new();
        }
        let (count, mut reports) = (given.len(), Vec::new());
        for (place, (chip, given)) in self.chips.iter_mut().zip(given).enumerate() {
            chip.nonces += given;
            chip.short = if given > 0 && is_short(given, 0, expected) { chip.short + 1 } else { 0 };
            if chip.short == LOOKS && !chip.is_told {
                chip.is_told = true;
                reports.push(BoardReport::Fault(format!(
                    "chip {place} of {count} gives {given} nonces where the mean gives {expected:.0}, counted from 0; \
                     look at its heat, its power and its frequency"
                )));
            } else if given as f64 >= WELL * expected && std::mem::take(&mut chip.is_told) {
                let text = format!(
                    "chip {place} of {count} gives as many nonces as the others again, counted from 0"
                );
                reports.push(BoardReport::Recovered(text));
            }
        }
        reports
    }
}

#[cfg(test)]
mod tests {
    use signalcore_drivers::BoardState;

    use super::*;

    fn status(nonces: &[u64]) -> BoardStatus {
        let chip = |nonces: &u64| ChipStatus { address: 0, nonces: *nonces, hardware_errors: 0, rate: None };
        BoardStatus { chips: nonces.iter().map(chip).collect(), ..BoardStatus::new(BoardState::Hashing) }
    }

    /// Statuses in which each chip has given so many more nonces, as often. Shape: what was told at which of them.
    fn looks(watch: &mut ChipWatch, counts: &mut [u64], each: &[u64], times: usize) -> Vec<(usize, String)> {
        let mut told = Vec::new();
        for time in 1..=times {
            counts.iter_mut().zip(each).for_each(|(count, more)| *count += more);
            told.extend(watch.look(&status(counts)).into_iter().map(|report| match report {
                BoardReport::Fault(text) | BoardReport::Recovered(text) => (time, text),
                other => panic!("{other:?}"),
            }));
        }
        told
    }

    #[test]
    fn a_slow_chip_is_told_once_after_two_looks_and_once_more_when_it_is_as_fast_as_the_others() {
        let (mut watch, mut counts) = (ChipWatch::default(), [0; 4]);
        assert_eq!(looks(&mut watch, &mut counts, &[10, 11, 9, 10], 100), []);
        let told = looks(&mut watch, &mut counts, &[10, 10, 10, 5], 100);
        let fault = "chip 3 of 4 gives 60 nonces where the mean gives 105, counted from 0; look at its heat, its power \
                     and its frequency";
        assert_eq!(told.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(), [fault]);
        let told = looks(&mut watch, &mut counts, &[10, 10, 10, 10], 100);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].1, "chip 3 of 4 gives as many nonces as the others again, counted from 0");
    }

    #[test]
    fn a_chip_that_dies_is_left_to_its_driver() {
        let (mut watch, mut counts) = (ChipWatch::default(), [0; 4]);
        looks(&mut watch, &mut counts, &[10; 4], 55);
        assert_eq!(looks(&mut watch, &mut counts, &[10, 10, 10, 0], 100), []);
    }

    #[test]
    fn counts_that_begin_again_and_boards_without_chips_are_nothing() {
        let (mut watch, mut counts) = (ChipWatch::default(), [0; 2]);
        looks(&mut watch, &mut counts, &[10; 2], 55);
        counts = [0, 500];
        assert_eq!(looks(&mut watch, &mut counts, &[10; 2], 9), []);
        assert_eq!(watch.look(&status(&[])), []);
        assert_eq!(watch.look(&status(&[])), []);
        assert_eq!(watch.look(&status(&[1000])), []);
        assert_eq!(watch.look(&status(&[9000])), [], "a chip alone is compared with itself");
    }
}
