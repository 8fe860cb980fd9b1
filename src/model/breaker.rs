//! A model that keeps failing is left alone for a while.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// So many failures in a row open it.
const IN_A_ROW: usize = 5;
/// Or half of so many calls.
const RECENT: usize = 20;
const FIRST_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
const DAY: Duration = Duration::from_secs(86_400);

/// Whether a model may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It may.
    Closed,
    /// It may not before then.
    Open(Instant),
    /// One question decides.
    Probing,
}

impl State {
    /// Its name in figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open(_) => "open",
            Self::Probing => "probing",
        }
    }
}

/// The breaker of one model.
#[derive(Debug)]
pub struct Breaker {
    state: State,
    /// Whether each of the last [`RECENT`] calls went well.
    recent: VecDeque<bool>,
    pause: Duration,
    openings: VecDeque<Instant>,
    opened: u64,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            state: State::Closed,
            recent: VecDeque::with_capacity(RECENT),
            pause: FIRST_PAUSE,
            openings: VecDeque::new(),
            opened: 0,
        }
    }
}

impl Breaker {
    /// Whether it may be asked now. After a pause one question is let through.
    pub fn allows(&mut self, now: Instant) -> bool {
        match self.state {
            State::Closed => true,
            State::Open(until) if now >= until => {
                self.state = State::Probing;
                true
            }
            State::Open(_) | State::Probing => false,
        }
    }

    /// It answered.
    pub fn succeeded(&mut self) {
        if self.state == State::Probing {
            self.recent.clear();
        }
        // What was let through before it opened closes it as well: the model does answer.
        self.state = State::Closed;
        self.pause = FIRST_PAUSE;
        self.remember(true);
    }

    /// It did not.
    pub fn failed(&mut self, now: Instant) {
        match self.state {
            State::Probing => {
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                self.open(now);
            }
            State::Closed => {
                self.remember(false);
                let failures = self.recent.iter().filter(|went_well| !**went_well).count();
                let in_a_row = self.recent.iter().rev().take_while(|went_well| !**went_well).count();
                if in_a_row >= IN_A_ROW || self.recent.len() == RECENT && 2 * failures >= RECENT {
                    self.open(now);
                }
            }
            State::Open(_) => {}
        }
    }

    /// The question that was let through was given up without a verdict.
    pub fn withdrawn(&mut self, now: Instant) {
        if self.state == State::Probing {
            self.state = State::Open(now);
        }
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// How often it has opened in all.
    pub fn opened(&self) -> u64 {
        self.opened
    }

    /// How often it has opened within the last 24 hours, up to 16.
    pub fn opened_today(&self, now: Instant) -> usize {
        self.openings.iter().filter(|at| now.saturating_duration_since(**at) < DAY).count()
    }

    fn open(&mut self, now: Instant) {
        self.state = State::Open(now + self.pause);
        self.recent.clear();
        self.opened += 1;
        self.openings.push_back(now);
        if self.openings.len() > 16 {
            self.openings.pop_front();
        }
    }

    fn remember(&mut self, went_well: bool) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(went_well);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_failures_in_a_row_open_it_and_pauses_double_until_it_answers() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut breaker = Breaker::default();
        (0..4).for_each(|_| breaker.failed(start));
        assert!(breaker.allows(start));
        breaker.failed(start);
        assert_eq!(breaker.state(), State::Open(at(30)));
        assert!(!breaker.allows(at(29)));
        let mut now = 30;
        for pause in [60, 120, 240, 480, 600, 600] {
            assert!(breaker.allows(at(now)), "one probe");
            assert!(!breaker.allows(at(now)), "no second one beside it");
            breaker.failed(at(now));
            assert_eq!(breaker.state(), State::Open(at(now + pause)));
            now += pause;
        }
        assert!(breaker.allows(at(now)));
        breaker.succeeded();
        assert_eq!(breaker.state(), State::Closed);
        assert_eq!((breaker.opened(), breaker.opened_today(at(now))), (7, 7));
        (0..5).for_each(|_| breaker.failed(at(now)));
        assert_eq!(breaker.state(), State::Open(at(now + 30)), "the first pause again");
        assert_eq!(breaker.opened_today(at(now + 90_000)), 0);
    }

    #[test]
    fn half_of_twenty_calls_open_it() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for nth in 0..19 {
            if nth % 2 == 0 { breaker.failed(now) } else { breaker.succeeded() }
        }
        assert_eq!(breaker.state(), State::Closed);
        breaker.succeeded();
        breaker.failed(now);
        assert!(matches!(breaker.state(), State::Open(_)));
    }

    #[test]
    fn a_probe_that_was_given_up_may_be_made_again() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        (0..5).for_each(|_| breaker.failed(start));
        let later = start + Duration::from_secs(31);
        assert!(breaker.allows(later));
        breaker.withdrawn(later);
        assert!(breaker.allows(later));
    }
}
