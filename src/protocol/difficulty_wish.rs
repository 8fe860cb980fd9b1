//! Which difficulty to suggest to a pool, and when: seldom, and never again to one that does not want to hear of it.

use std::time::{Duration, Instant};

use crate::work::hashrate::HASHES_PER_DIFFICULTY;
use crate::work::{Difficulty, HashRate};

/// Shares a minute between which nothing is asked for: fewer tell neither side how the miner does, more only cost both.
const FEWEST: f64 = 4.0;
const MOST: f64 = 20.0;
/// What is asked for where there are too few. Where there are too many it is the first power of two with at most
/// [`MOST`]: pools raise by themselves soon, but few lower what lets hardly a share come.
const MIDDLE: f64 = 10.0;
/// How long it must have been too few or too many: a pool's own adjustment comes first.
const LASTING: Duration = Duration::from_secs(60);
/// Between two suggestions. goPool and public-pool heed the first of a connection only.
const BETWEEN: Duration = Duration::from_secs(300);
/// Suggestions without any change of difficulty after which there are no more.
const MAX_IGNORED: u32 = 2;

/// What is wrong with a difficulty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    TooFewShares,
    TooManyShares,
}

/// The wish for a difficulty that suits the hash rate; over all connections to one pool.
#[derive(Debug, Default)]
pub struct DifficultyWish {
    rate: HashRate,
    outside: Option<(Side, Instant)>,
    /// When the last suggestion was made.
    last: Option<Instant>,
    /// What was in force then, until another difficulty is.
    unmoved: Option<Difficulty>,
    ignored: u32,
    given_up: bool,
}

impl DifficultyWish {
    /// What the boards should reach, for this pool.
    pub fn set_rate(&mut self, rate: HashRate) {
        self.rate = rate;
    }

    /// A new connection: what the pool says now is judged anew.
    pub fn connected(&mut self) {
        self.outside = None;
    }

    /// The next connection goes to another pool.
    pub fn moved(&mut self) {
        *self = Self { rate: self.rate, ..Self::default() };
    }

    /// The pool refused a suggestion, or hung up on it.
    pub fn give_up(&mut self) {
        self.given_up = true;
    }

    /// What to suggest now, if anything, to a pool whose difficulty is `told`.
    pub fn look(&mut self, told: Difficulty, now: Instant) -> Option<Difficulty> {
        if self.unmoved.is_some_and(|before| before != told) {
            (self.unmoved, self.ignored) = (None, 0);
        }
        let Some((side, wish)) = self.better_than(told) else {
            self.outside = None;
            return None;
        };
        let since = self.outside.filter(|(known, _)| *known == side).map_or(now, |(_, since)| since);
        self.outside = Some((side, since));
        if self.due().is_none_or(|due| now < due) {
            return None;
        }
        self.ignored += u32::from(self.unmoved.is_some());
        self.given_up = self.ignored >= MAX_IGNORED;
        (self.last, self.unmoved) = (Some(now), Some(told));
        (!self.given_up).then_some(wish)
    }

    /// When to look again though nothing has changed.
    pub fn due(&self) -> Option<Instant> {
        let (_, since) = self.outside.filter(|_| !self.given_up)?;
        let lasted = since + LASTING;
        Some(self.last.map_or(lasted, |at| lasted.max(at + BETWEEN)))
    }

    /// A power of two, so that small changes of the rate change nothing, and whole: p2poolv2 hangs up on fractions. `None`
    /// where the difficulty is fine, or the best whole one is worse.
    fn better_than(&self, told: Difficulty) -> Option<(Side, Difficulty)> {
        let per_minute = |difficulty| 60.0 / self.rate.expected_seconds(difficulty);
        let exponent_for = |shares: f64| (self.rate.0 * 60.0 / shares / HASHES_PER_DIFFICULTY).log2();
        let (side, exponent) = match per_minute(told) {
            shares if shares > MOST => (Side::TooManyShares, exponent_for(MOST).ceil()),
            // With no rate at all there is nothing to wish for.
            shares if shares < FEWEST && shares > 0.0 => (Side::TooFewShares, exponent_for(MIDDLE).round()),
            _ => return None,
        };
        let wish = Difficulty::new(exponent.max(0.0).exp2()).ok()?;
        let is_better = match side {
            Side::TooManyShares => per_minute(wish) >= FEWEST,
            Side::TooFewShares => wish < told,
        };
        is_better.then_some((side, wish))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Finds a share of difficulty 1024 ten times a minute.
    const RATE: HashRate = HashRate(1024.0 * HASHES_PER_DIFFICULTY / 6.0);

    fn difficulty(value: f64) -> Difficulty {
        Difficulty::new(value).unwrap()
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn wish(rate: HashRate) -> DifficultyWish {
        DifficultyWish { rate, ..DifficultyWish::default() }
    }

    /// What is suggested once a difficulty has lasted.
    fn suggested(rate: HashRate, told: f64) -> Option<f64> {
        let (mut wish, start) = (wish(rate), Instant::now());
        assert_eq!(wish.look(difficulty(told), start), None);
        wish.look(difficulty(told), start + LASTING).map(Difficulty::value)
    }

    #[test]
    fn nothing_is_asked_for_within_the_band_and_a_power_of_two_outside() {
        for (told, wanted) in [
            (1024.0, None),
            (2550.0, None),
            (2570.0, Some(1024.0)),
            (1e12, Some(1024.0)),
            (513.0, None),
            (511.0, Some(512.0)),
        ] {
            assert_eq!(suggested(RATE, told), wanted, "{told}");
        }
        assert_eq!(suggested(RATE, 1.0), Some(512.0), "just enough to be within the band");
        assert_eq!(suggested(HashRate(0.0), 1e9), None);
    }

    #[test]
    fn a_miner_too_slow_for_difficulty_1_asks_for_1_at_the_lowest_and_only_where_that_helps() {
        let slow = HashRate(1e6);
        assert_eq!(suggested(slow, 64.0), Some(1.0));
        assert_eq!(suggested(slow, 1.0), None);
        assert_eq!(suggested(slow, 1e-6), None, "1 would be far too much");
    }

    #[test]
    fn a_difficulty_must_stay_outside_for_a_minute_and_suggestions_are_five_minutes_apart() {
        let (mut wish, start) = (wish(RATE), Instant::now());
        let mut look =
            |told: f64, at| wish.look(difficulty(told), start + seconds(at)).map(Difficulty::value);
        assert_eq!(look(1.0, 0), None);
        assert_eq!(look(1.0, 59), None);
        assert_eq!(look(1024.0, 59), None);
        assert_eq!(look(1.0, 60), None, "it was fine for a moment");
        assert_eq!(look(1e6, 119), None, "too hard is another matter than too easy");
        assert_eq!(look(1e6, 178), None);
        assert_eq!(look(1e6, 179), Some(1024.0));
        assert_eq!(look(1e7, 240), None);
        assert_eq!(look(1e7, 478), None);
        assert_eq!(look(1e7, 479), Some(1024.0), "the pool has moved, if the wrong way");
    }

    #[test]
    fn two_suggestions_without_a_change_are_the_last_and_so_is_one_that_is_refused() {
        let (mut wish, start) = (wish(RATE), Instant::now());
        let mut made = Vec::new();
        wish.look(difficulty(1.0), start);
        while let Some(due) = wish.due() {
            made.extend(wish.look(difficulty(1.0), due).map(|_| due - start));
        }
        assert_eq!(made, [seconds(60), seconds(360)]);
        let mut refused = self::wish(RATE);
        refused.look(difficulty(1.0), start);
        refused.give_up();
        assert_eq!((refused.due(), refused.look(difficulty(1.0), start + LASTING)), (None, None));
    }

    #[test]
    fn a_pool_that_heeds_each_suggestion_hears_one_on_every_connection() {
        let (mut wish, mut now) = (wish(RATE), Instant::now());
        for connection in 0..5 {
            wish.connected();
            now += BETWEEN;
            wish.look(difficulty(1.0), now);
            now += LASTING;
            assert_eq!(wish.look(difficulty(1.0), now), Some(difficulty(512.0)), "{connection}");
            wish.look(difficulty(512.0), now);
        }
    }

    proptest! {
        #[test]
        fn what_is_suggested_is_a_whole_power_of_two_and_ends_the_matter_where_that_can_be(
            rate in 1e3f64..1e18, told in 1e-9f64..1e15
        ) {
            if let Some(value) = suggested(HashRate(rate), told) {
                prop_assert!(value >= 1.0 && value.log2().fract() == 0.0, "{value}");
                prop_assert_eq!(suggested(HashRate(rate), value), None);
            }
        }
    }
}
