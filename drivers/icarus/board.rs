//! A device of the family as a state machine: find out what it is, set its clock, and keep it at work.
//!
//! The shell around it owns the line and the clock. It gives in bytes and the time, and after each call takes out bytes,
//! events and the time of the next call.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::clock::{ClockError, Frequency};
use super::detection;
use super::model::Model;
use crate::scanner::work::NUMBERS;
use crate::scanner::{Counts, Device, Due, Feed, Heard, Pace, REST_WITHIN, Rest, ScannerEvent};
use crate::{BoardState, BoardStatus, ChipJob};

/// How long the golden nonce may take. Source: cgminer `driver-icarus.c`.
const GOLDEN_WITHIN: Duration = Duration::from_millis(300);
/// Attempts with it: what was being hashed before may be answered first.
const GOLDEN_TRIES: u32 = 3;
/// How long the nonces that tell the division may take: the slowest device needs a quarter of it.
const DIVISION_WITHIN: Duration = Duration::from_secs(1);
/// After a command for the clock. Source: bfgminer `driver-antminer.c`.
const CLOCK_SETTLES: Duration = Duration::from_millis(500);
/// Works before the current one whose nonces may still come from a device that does not number them. Source: bfgminer.
const WORKS_BEFORE: usize = 2;

/// For the shell to pass on.
pub type IcarusEvent = ScannerEvent<IcarusFault>;

/// What is wrong with a device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IcarusFault {
    /// It does not know the nonce that everybody knows.
    #[error(
        "it does not find the known nonce of block 171874; is it of this family, and does it have power?"
    )]
    NoAnswer,
    /// It had work and found nothing.
    #[error("no good nonce for {} s, which chance explains less than once in a billion times", quiet.as_secs())]
    Silent {
        /// For how long.
        quiet: Duration,
    },
}

/// What the shell knows of a device.
#[derive(Debug, Clone)]
pub struct IcarusConfig {
    /// Which it is.
    pub model: &'static Model,
    /// For one with a clock; `None` is its usual one. Unit: MHz.
    pub frequency: Option<f64>,
    /// Zero bits that every report has: 32 of all real devices.
    pub zero_bits: u32,
}

#[derive(Debug)]
enum State {
    Away(Rest<IcarusFault>),
    Golden { tries: u32, until: Instant },
    Division { until: Instant },
    Clock { until: Instant },
    Working,
}

/// A device.
#[derive(Debug)]
pub struct Icarus {
    model: &'static Model,
    frequency: Option<Frequency>,
    state: State,
    answer_size: usize,
    devices: u32,
    feed: Feed<IcarusFault>,
    /// The beginning of an answer, or what is heard while it is found out.
    heard: Heard,
    out: VecDeque<Vec<u8>>,
}

impl Icarus {
    /// A device that is found out from now on. Errors: the frequency is none of its.
    pub fn new(config: &IcarusConfig, now: Instant) -> Result<Self, ClockError> {
        let IcarusConfig { model, frequency, zero_bits } = *config;
        let frequency = Frequency::of(model, frequency)?;
        let hashes = model.rate(frequency.map_or(0.0, |frequency| frequency.mhz));
        let mut device = Self {
            model,
            frequency,
            state: State::Away(Rest::none(now)),
            answer_size: model.answer_size,
            devices: 1,
            feed: Feed::new(Pace { hashes, zero_bits }, now),
            heard: Heard::new(now),
            out: VecDeque::new(),
        };
        device.handle_timeout(now);
        Ok(device)
    }

    /// The version that it was given last.
    #[cfg(test)]
    pub(super) fn newest(&self) -> Option<(crate::ChipJobId, u32)> {
        self.feed.newest().map(|work| (work.job.id, work.version))
    }

    /// What came from it.
    pub fn counts(&self) -> Counts {
        self.feed.counts
    }

    fn ask_golden(&mut self, tries: u32, now: Instant) {
        self.heard.clear();
        self.out.push_back(detection::golden().to_vec());
        self.state = State::Golden { tries, until: now + GOLDEN_WITHIN };
    }

    fn found(&mut self, answer_size: usize, now: Instant) {
        self.answer_size = answer_size;
        self.heard.clear();
        if self.model.is_divided {
            self.out.push_back(detection::division().to_vec());
            self.state = State::Division { until: now + DIVISION_WITHIN };
        } else {
            self.set_clock(now);
        }
    }

    fn set_clock(&mut self, now: Instant) {
        match self.frequency {
            Some(frequency) => {
                self.out.push_back(frequency.command().to_vec());
                self.state = State::Clock { until: now + CLOCK_SETTLES };
            }
            None => self.ready(now),
        }
    }

    fn ready(&mut self, now: Instant) {
        self.heard.clear();
        let (answer_size, devices) = (self.answer_size, self.devices);
        self.feed.begin(if self.is_numbered() { usize::from(NUMBERS) } else { 1 + WORKS_BEFORE }, now);
        self.feed.tell(ScannerEvent::Ready { answer_size, devices });
        self.state = State::Working;
        self.next_work(now);
    }

    /// Gives it the next version of the job, or lets it be until there is another job.
    fn next_work(&mut self, now: Instant) {
        self.out.extend(self.feed.next_work(now).map(|work| work.bytes().to_vec()));
    }

    /// Whether works and answers carry a number.
    fn is_numbered(&self) -> bool {
        self.answer_size == 5
    }

    fn take_answers(&mut self, bytes: &[u8], now: Instant) {
        let (heard, dropped) = self.heard.take(bytes, now);
        self.feed.counts.dropped_bytes += dropped.len() as u64;
        let answers = heard.chunks_exact(self.answer_size);
        self.heard.keep(answers.remainder());
        for answer in answers {
            self.take_answer(answer, now);
        }
    }

    fn take_answer(&mut self, answer: &[u8], now: Instant) {
        let nonce = [answer[0], answer[1], answer[2], answer[3]];
        // The one that it names first; another if the number is damaged.
        let places = self.feed.places_from(self.is_numbered().then(|| answer[4] % NUMBERS));
        let place = self.feed.prove(places, nonce, now);
        if place.is_none() {
            self.feed.counts.hardware_errors += 1;
        }
        // One that stops has stopped now, unless the nonce was on its way while it got other work.
        let is_of_current = place.is_none_or(|place| place == 0);
        if !self.model.continues && is_of_current && self.feed.is_hashing() {
            self.feed.count(now);
            self.next_work(now);
        }
    }

    fn fail(&mut self, fault: IcarusFault, now: Instant) {
        self.state = State::Away(self.feed.fail(fault, now));
    }
}

impl Device for Icarus {
    type Fault = IcarusFault;

    fn set_job(&mut self, job: Option<ChipJob>, now: Instant) {
        self.feed.set_job(job, now);
        if matches!(self.state, State::Working) {
            self.next_work(now);
        }
    }

    fn handle_bytes(&mut self, bytes: &[u8], now: Instant) {
        match &mut self.state {
            State::Golden { until, .. } => {
                self.heard.listen(bytes);
                if detection::answer_size(self.heard.bytes()).is_some() {
                    *until = (*until).min(now + REST_WITHIN);
                }
            }
            State::Division { until } => {
                self.heard.listen(bytes);
                if detection::devices(self.heard.bytes()).is_some() {
                    *until = now;
                }
            }
            State::Working => self.take_answers(bytes, now),
            State::Away(_) | State::Clock { .. } => {}
        }
        self.handle_timeout(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        while self.poll_timeout().is_some_and(|due| due <= now) {
            match self.state {
                State::Away(_) => self.ask_golden(1, now),
                State::Golden { tries, .. } => match detection::answer_size(self.heard.bytes()) {
                    Some(size) => self.found(size, now),
                    None if tries < GOLDEN_TRIES => self.ask_golden(tries + 1, now),
                    None => self.fail(IcarusFault::NoAnswer, now),
                },
                State::Division { .. } => {
                    self.devices = detection::devices(self.heard.bytes()).unwrap_or(1);
                    self.set_clock(now);
                }
                State::Clock { .. } => self.ready(now),
                State::Working => match self.feed.handle_timeout(now) {
                    Due::Silent(quiet) => self.fail(IcarusFault::Silent { quiet }, now),
                    Due::NextWork => self.next_work(now),
                    Due::Nothing => {}
                },
            }
        }
    }

    fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.out.pop_front()
    }

    fn poll_event(&mut self) -> Option<IcarusEvent> {
        self.feed.poll_event()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Away(Rest { until, .. })
            | State::Golden { until, .. }
            | State::Division { until }
            | State::Clock { until } => Some(until),
            State::Working => self.feed.poll_timeout(),
        }
    }

    fn expected_rate(&self) -> f64 {
        self.feed.pace().expected_rate()
    }

    fn detail(&self) -> String {
        self.model.name.to_owned()
    }

    fn state(&self) -> BoardState {
        match &self.state {
            State::Away(rest) => rest.state(),
            State::Golden { .. } | State::Division { .. } | State::Clock { .. } => BoardState::Starting,
            State::Working => self.feed.state(),
        }
    }

    fn status(&self) -> BoardStatus {
        self.feed.status(self.state(), self.frequency.map(|frequency| frequency.mhz))
    }
}
