//! Which chips of a chain at work have fallen silent, and which of them are back.
//!
//! Chips of a chain share its work evenly, so of each nonce that the chain gives every chip owes its part. That needs no
//! clock: a chain that is slow, throttled, without a job, or on a line with a hiccup owes nothing that others have not given.

use super::hashing::NONCES_OWED;

/// A chip is waited for with its name unsaid while it owes so much, so that what fails together is told together.
const IN_DOUBT: f64 = NONCES_OWED / 2.0;
/// Nonces in a row, without owing as much again, that bring a silent chip back: one of them may be a damaged answer of
/// another.
const BACK_AFTER: u32 = 3;

/// Chips, in the order of the chain.
#[derive(Debug)]
pub(super) struct Health {
    chips: Vec<Standing>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Standing {
    /// Nonces expected of it since its last one.
    owed: f64,
    /// `None` for a chip that gives nonces; else how many it has given since it was told to be silent.
    silent: Option<u32>,
}

/// What has become known by a nonce. Shape: places in the chain, counted from 0.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// These give no nonces.
    Silent(Vec<usize>),
    /// This one does again.
    Back(usize),
}

impl Health {
    pub(super) fn new(chips: usize) -> Self {
        Self { chips: vec![Standing::default(); chips] }
    }

    /// The chips begin to hash, perhaps after a reset: nobody owes anything yet. Who was silent stays so.
    pub(super) fn begin(&mut self) {
        self.chips.iter_mut().for_each(|chip| chip.owed = 0.0);
    }

    /// These have been found silent elsewhere. Shape: those of them that nobody has told of yet.
    pub(super) fn note_silent(&mut self, silent: impl IntoIterator<Item = usize>) -> Vec<usize> {
        let mut news = Vec::new();
        for chip in silent {
            if let Some(standing) = self.chips.get_mut(chip)
                && standing.silent.replace(0).is_none()
            {
                news.push(chip);
            }
        }
        news
    }

    /// A chip has given a nonce. Shape: which one; whether it is as hard as all were asked for: one that has missed that
    /// gives more than the others owe.
    pub(super) fn hear(&mut self, chip: usize, is_good: bool) -> Option<News> {
        let share = if is_good { 1.0 / self.chips.len() as f64 } else { 0.0 };
        self.chips.iter_mut().for_each(|chip| chip.owed += share);
        let heard = self.chips.get_mut(chip)?;
        heard.owed = 0.0;
        if let Some(given) = &mut heard.silent {
            *given += 1;
            if *given >= BACK_AFTER {
                heard.silent = None;
                return Some(News::Back(chip));
            }
        }
        let mut silent = Vec::new();
        let mut is_in_doubt = false;
        for (at, chip) in self.chips.iter_mut().enumerate() {
            match &mut chip.silent {
                Some(given) if chip.owed >= NONCES_OWED => *given = 0,
                Some(_) => {}
                None if chip.owed >= NONCES_OWED => silent.push(at),
                None => is_in_doubt |= chip.owed >= IN_DOUBT,
            }
        }
        let is_told = !silent.is_empty() && !is_in_doubt;
        is_told.then(|| News::Silent(self.note_silent(silent)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bm13xx::chain::health::News::{Back, Silent};

    /// Nonces of these chips in turn, so many rounds. Shape: what was told, and after how many nonces.
    fn hear(health: &mut Health, chips: &[usize], rounds: usize) -> Vec<(usize, News)> {
        let nonces = std::iter::repeat_n(chips, rounds).flatten().enumerate();
        nonces.filter_map(|(at, chip)| Some((at + 1, health.hear(*chip, true)?))).collect()
    }

    #[test]
    fn a_chip_that_stops_is_told_once_when_chance_explains_it_less_than_once_in_a_billion_times() {
        let mut health = Health::new(4);
        assert_eq!(hear(&mut health, &[0, 1, 2, 3], 1000), []);
        // A quarter of a nonce is owed of each: e^-20.75.
        assert_eq!(hear(&mut health, &[0, 1, 2], 1000), [(83, Silent(vec![3]))]);
    }

    #[test]
    fn a_chip_that_comes_back_is_told_once_and_one_stray_nonce_brings_none_back() {
        let mut health = Health::new(4);
        hear(&mut health, &[0, 1, 2], 100);
        for _ in 0..5 {
            assert_eq!(health.hear(3, true), None);
            assert_eq!(hear(&mut health, &[0, 1, 2], 100), []);
        }
        assert_eq!(hear(&mut health, &[0, 1, 2, 3], 10), [(12, Back(3))]);
        assert_eq!(hear(&mut health, &[0, 1, 2], 100).len(), 1, "and may fail again");
    }

    #[test]
    fn chips_behind_a_broken_line_are_told_together() {
        let mut health = Health::new(8);
        // The last nonces of those that fail lie apart.
        hear(&mut health, &[0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4], 1);
        let told = hear(&mut health, &[0, 1, 2, 3, 4], 100);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].1, Silent(vec![5, 6, 7]));
    }

    #[test]
    fn who_was_told_elsewhere_is_not_told_again_and_a_reset_forgives_what_is_owed() {
        let mut health = Health::new(4);
        assert_eq!(health.note_silent([2]), [2]);
        assert_eq!(health.note_silent([2, 3]), [3]);
        assert_eq!(hear(&mut health, &[0, 1], 1000), []);
        let mut health = Health::new(4);
        for _ in 0..20 {
            hear(&mut health, &[0, 1, 2], 27);
            health.begin();
        }
        assert_eq!(hear(&mut health, &[0, 1, 2], 27), []);
    }

    #[test]
    fn a_chip_that_gives_too_much_makes_no_other_one_owe_more() {
        let mut health = Health::new(2);
        assert!((0..1000).all(|_| health.hear(0, false).is_none()));
        assert_eq!(hear(&mut health, &[0], 41), []);
        assert_eq!(hear(&mut health, &[0], 41), [(1, Silent(vec![1]))]);
    }

    #[test]
    fn a_chip_alone_and_an_address_of_no_chip_are_nothing() {
        let mut health = Health::new(1);
        assert_eq!(hear(&mut health, &[0], 1000), []);
        assert_eq!(hear(&mut health, &[9], 1000), []);
    }
}
