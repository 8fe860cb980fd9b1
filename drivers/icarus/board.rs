//! A device of the family as a state machine: find out what it is, set its clock, and keep it at work.
//!
//! The shell around it owns the line and the clock. It gives in bytes and the time, and after each call takes out bytes,
//! events and the time of the next call.

mod status;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::clock::{ClockError, Frequency};
use super::detection;
use super::model::{Model, RANGE};
use super::work::{NUMBERS, Work};
use crate::bm13xx::meter::FadingRate;
use crate::{BoardEvent, ChipJob};

/// How long the golden nonce may take. Source: cgminer `driver-icarus.c`.
const GOLDEN_WITHIN: Duration = Duration::from_millis(300);
/// Attempts with it: what was being hashed before may be answered first.
const GOLDEN_TRIES: u32 = 3;
/// How long the nonces that tell the division may take: the slowest device needs a quarter of it.
const DIVISION_WITHIN: Duration = Duration::from_secs(1);
/// Rest of an answer whose beginning is there. A USB bridge may hold bytes back for 16 ms.
const REST_WITHIN: Duration = Duration::from_millis(40);
/// After a command for the clock. Source: bfgminer `driver-antminer.c`.
const CLOCK_SETTLES: Duration = Duration::from_millis(500);
/// How long before its end the range is left: a device at its end would idle, or repeat itself. Source: cgminer, 1.5 × 100
/// ms. Of a short range it is a part.
const MARGIN: Duration = Duration::from_millis(150);
const MARGIN_PART: u32 = 8;
/// Works before the current one whose nonces may still come from a device that does not number them. Source: bfgminer.
const WORKS_BEFORE: usize = 2;
/// A job that lasts no longer is called ending.
const ENDING: Duration = Duration::from_secs(1);
/// Between two reports of hashes.
const REPORT_EVERY: Duration = Duration::from_millis(250);
/// Zero bits of what a real device reports.
const ZERO_BITS: i32 = 32;
/// Nonces owed that chance explains less than once in a billion times: e^-20.7.
const MOST_OWED: f64 = 20.7;
/// And never sooner than this.
const LEAST_QUIET: Duration = Duration::from_secs(10);
/// Bytes kept while a device is being found out.
const MOST_HEARD: usize = 256;
/// Failures in a row after which it is left alone for a while, and for how long.
const MOST_FAILURES: u32 = 3;
const AGAIN_AFTER: Duration = Duration::from_secs(1);
const PARKED: Duration = Duration::from_secs(300);

/// For the shell to pass on, in order.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum IcarusEvent {
    /// It was found, and takes work now.
    Ready {
        /// Bytes of its answers.
        answer_size: usize,
        /// Devices that share the range of nonces.
        devices: u32,
    },
    /// It does not work; it is looked for again.
    Failed(IcarusFault),
    /// It has not worked several times in a row, and is tried again later.
    Parked {
        /// What was wrong the last time.
        reason: IcarusFault,
        /// When it is tried again.
        until: Instant,
    },
    /// For the engine.
    Board(BoardEvent),
}

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

/// What came from a device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IcarusCounts {
    /// Nonces that were proved.
    pub nonces: u64,
    /// Nonces of no work that it has or had.
    pub hardware_errors: u64,
    /// Nonces that had come before.
    pub duplicates: u64,
    /// Bytes that made no answer.
    pub dropped_bytes: u64,
}

#[derive(Debug)]
enum State {
    Away {
        /// What was wrong several times in a row, if it rests because of that.
        parked: Option<IcarusFault>,
        until: Instant,
    },
    Golden {
        tries: u32,
        until: Instant,
    },
    Division {
        until: Instant,
    },
    Clock {
        until: Instant,
    },
    /// Without work.
    Idle,
    Hashing {
        range_ends: Instant,
    },
}

/// The job and how much of it has been given out.
#[derive(Debug)]
struct Current {
    job: ChipJob,
    /// The next version, as a number that the bits of the mask take up.
    next: u64,
    has_begun: bool,
    is_ending: bool,
}

/// A device.
#[derive(Debug)]
pub struct Icarus {
    model: &'static Model,
    frequency: Option<Frequency>,
    zero_bits: u32,
    state: State,
    answer_size: usize,
    devices: u32,
    current: Option<Current>,
    /// What it has or had, the newest first.
    works: VecDeque<Work>,
    next_number: u8,
    /// The beginning of an answer, or what is heard while it is found out.
    heard: Vec<u8>,
    heard_at: Instant,
    /// Until when its hashes are reported.
    counted_to: Instant,
    good_at: Instant,
    failures: u32,
    counts: IcarusCounts,
    rate: FadingRate,
    out: VecDeque<Vec<u8>>,
    events: VecDeque<IcarusEvent>,
}

impl Icarus {
    /// A device that is found out from now on. Errors: the frequency is none of its.
    pub fn new(config: &IcarusConfig, now: Instant) -> Result<Self, ClockError> {
        let IcarusConfig { model, frequency, zero_bits } = *config;
        let mut device = Self {
            model,
            frequency: Frequency::of(model, frequency)?,
            zero_bits,
            state: State::Away { parked: None, until: now },
            answer_size: model.answer_size,
            devices: 1,
            current: None,
            works: VecDeque::new(),
            next_number: 0,
            heard: Vec::new(),
            heard_at: now,
            counted_to: now,
            good_at: now,
            failures: 0,
            counts: IcarusCounts::default(),
            rate: FadingRate::default(),
            out: VecDeque::new(),
            events: VecDeque::new(),
        };
        device.handle_timeout(now);
        Ok(device)
    }

    /// The job to hash from now on; `None` leaves the device on what it has, which ends by itself.
    pub fn set_job(&mut self, job: Option<ChipJob>, now: Instant) {
        self.count(now);
        self.current = job.map(|job| Current { job, next: 0, has_begun: false, is_ending: false });
        match self.state {
            State::Hashing { .. } if self.current.is_none() => self.state = State::Idle,
            State::Idle | State::Hashing { .. } => self.next_work(now),
            _ => {}
        }
    }

    /// Bytes that came over the line.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Instant) {
        match &mut self.state {
            State::Golden { until, .. } => {
                self.heard.extend_from_slice(bytes);
                if detection::answer_size(&self.heard).is_some() {
                    *until = (*until).min(now + REST_WITHIN);
                }
            }
            State::Division { until } => {
                self.heard.extend_from_slice(bytes);
                if detection::devices(&self.heard).is_some() {
                    *until = now;
                }
            }
            State::Idle | State::Hashing { .. } => self.take_answers(bytes, now),
            State::Away { .. } | State::Clock { .. } => {}
        }
        if matches!(self.state, State::Golden { .. } | State::Division { .. }) {
            let surplus = self.heard.len().saturating_sub(MOST_HEARD);
            self.heard.drain(..surplus);
        }
        self.handle_timeout(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while self.poll_timeout().is_some_and(|due| due <= now) {
            match self.state {
                State::Away { .. } => self.ask_golden(1, now),
                State::Golden { tries, .. } => match detection::answer_size(&self.heard) {
                    Some(size) => self.found(size, now),
                    None if tries < GOLDEN_TRIES => self.ask_golden(tries + 1, now),
                    None => self.fail(IcarusFault::NoAnswer, now),
                },
                State::Division { .. } => {
                    self.devices = detection::devices(&self.heard).unwrap_or(1);
                    self.set_clock(now);
                }
                State::Clock { .. } => self.ready(now),
                State::Idle => return,
                State::Hashing { range_ends } => {
                    self.count(now);
                    self.tell_ending(now);
                    if self.is_too_quiet(now) {
                        self.fail(IcarusFault::Silent { quiet: now - self.good_at }, now);
                    } else if now >= range_ends {
                        self.next_work(now);
                    }
                }
            }
        }
    }

    /// The next bytes to write.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.out.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<IcarusEvent> {
        self.events.pop_front()
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Away { until, .. }
            | State::Golden { until, .. }
            | State::Division { until }
            | State::Clock { until } => Some(until),
            State::Idle => None,
            State::Hashing { range_ends } => Some(range_ends.min(self.counted_to + REPORT_EVERY)),
        }
    }

    /// Hashes a second that it shall do. A virtual device reports as often as a real one, for fewer hashes.
    pub fn expected_rate(&self) -> f64 {
        self.real_rate() * 2_f64.powi(self.zero_bits as i32 - ZERO_BITS)
    }

    /// The same of a real device, which the times of its range follow.
    fn real_rate(&self) -> f64 {
        self.model.rate(self.frequency.map_or(0.0, |frequency| frequency.mhz))
    }

    /// The version that it was given last.
    #[cfg(test)]
    pub(super) fn newest(&self) -> Option<(crate::ChipJobId, u32)> {
        self.works.front().map(|work| (work.job.id, work.version))
    }

    /// What came from it.
    pub fn counts(&self) -> IcarusCounts {
        self.counts
    }

    fn tell(&mut self, event: BoardEvent) {
        self.events.push_back(IcarusEvent::Board(event));
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
        self.works.clear();
        (self.counted_to, self.good_at) = (now, now);
        let (answer_size, devices) = (self.answer_size, self.devices);
        self.events.push_back(IcarusEvent::Ready { answer_size, devices });
        self.state = State::Idle;
        if let Some(current) = &mut self.current {
            (current.next, current.is_ending) = (0, false);
            self.next_work(now);
        }
    }

    /// Gives it the next version of the job, or lets it be until there is another job.
    fn next_work(&mut self, now: Instant) {
        let Some(current) = &mut self.current else { return };
        let versions = 1_u64 << current.job.version_mask.count_ones();
        if current.next >= versions {
            self.state = State::Idle;
            self.say_ending();
            return;
        }
        let version = current.job.version | spread(current.next, current.job.version_mask);
        current.next += 1;
        let (id, is_first) = (current.job.id, !std::mem::replace(&mut current.has_begun, true));
        let work = Work::new(current.job.clone(), version, self.next_number);
        self.next_number = (self.next_number + 1) % NUMBERS;
        self.out.push_back(work.bytes().to_vec());
        self.works.push_front(work);
        self.works.truncate(if self.is_numbered() { usize::from(NUMBERS) } else { 1 + WORKS_BEFORE });
        if matches!(self.state, State::Idle) {
            (self.counted_to, self.good_at) = (now, now);
        }
        let range = self.range();
        self.state =
            State::Hashing { range_ends: now + range.saturating_sub(MARGIN.min(range / MARGIN_PART)) };
        if is_first {
            self.tell(BoardEvent::Started { job: id, at: now });
        }
        self.tell_ending(now);
    }

    /// How long a work lasts.
    fn range(&self) -> Duration {
        Duration::from_secs_f64(RANGE / self.real_rate())
    }

    /// Whether works and answers carry a number.
    fn is_numbered(&self) -> bool {
        self.answer_size == 5
    }

    fn tell_ending(&mut self, now: Instant) {
        let (State::Hashing { range_ends }, Some(current)) = (&self.state, &self.current) else { return };
        let versions = 1_u64 << current.job.version_mask.count_ones();
        let whole = self.range().saturating_mul(u32::try_from(versions - current.next).unwrap_or(u32::MAX));
        if range_ends.saturating_duration_since(now) + whole <= ENDING {
            self.say_ending();
        }
    }

    fn say_ending(&mut self) {
        let Some(current) = &mut self.current else { return };
        if !std::mem::replace(&mut current.is_ending, true) {
            let id = current.job.id;
            self.tell(BoardEvent::JobEnding(id));
        }
    }

    /// Reports what it must have hashed by now.
    fn count(&mut self, now: Instant) {
        if !matches!(self.state, State::Hashing { .. }) || now <= self.counted_to {
            return;
        }
        self.rate.pass(now - self.counted_to);
        let hashes = (now - self.counted_to).as_secs_f64() * self.expected_rate();
        self.counted_to = now;
        self.tell(BoardEvent::Hashes(hashes as u64));
    }

    fn is_too_quiet(&self, now: Instant) -> bool {
        let quiet = now.saturating_duration_since(self.good_at);
        let owed = quiet.as_secs_f64() * self.expected_rate() / 2_f64.powi(self.zero_bits as i32);
        quiet >= LEAST_QUIET && owed > MOST_OWED
    }

    fn take_answers(&mut self, bytes: &[u8], now: Instant) {
        // There are no frames: what is left of a damaged answer is told by the silence behind it.
        if !self.heard.is_empty() && now.saturating_duration_since(self.heard_at) > REST_WITHIN {
            self.counts.dropped_bytes += self.heard.len() as u64;
            self.heard.clear();
        }
        self.heard_at = now;
        self.heard.extend_from_slice(bytes);
        let heard = std::mem::take(&mut self.heard);
        let answers = heard.chunks_exact(self.answer_size);
        self.heard = answers.remainder().to_vec();
        for answer in answers {
            self.take_answer(answer, now);
        }
    }

    fn take_answer(&mut self, answer: &[u8], now: Instant) {
        let nonce = [answer[0], answer[1], answer[2], answer[3]];
        let number = self.is_numbered().then(|| answer[4] % NUMBERS);
        // The one that it names first; another if the number is damaged.
        let named = self.works.iter().position(|work| Some(work.number) == number).unwrap_or(0);
        let order = std::iter::once(named).chain((0..self.works.len()).filter(|place| *place != named));
        let order: Vec<_> = order.filter(|place| *place < self.works.len()).collect();
        let proof = order
            .into_iter()
            .find_map(|place| Some((place, self.works[place].prove(nonce, self.zero_bits)?)));
        match proof {
            Some((_, proved)) if !proved.is_new => self.counts.duplicates += 1,
            Some((place, proved)) => {
                self.counts.nonces += 1;
                self.rate.add(2_f64.powi(self.zero_bits as i32));
                (self.good_at, self.failures) = (now, 0);
                if proved.meets_target {
                    let (job, version) = (self.works[place].job.id, self.works[place].version);
                    self.tell(BoardEvent::Nonce { job, nonce: proved.nonce, version });
                }
            }
            None => self.counts.hardware_errors += 1,
        }
        // One that stops has stopped now, unless the nonce was on its way while it got other work.
        let is_of_current = proof.is_none_or(|(place, _)| place == 0);
        if !self.model.continues && is_of_current && matches!(self.state, State::Hashing { .. }) {
            self.count(now);
            self.next_work(now);
        }
    }

    fn fail(&mut self, fault: IcarusFault, now: Instant) {
        self.failures += 1;
        if self.failures < MOST_FAILURES {
            self.events.push_back(IcarusEvent::Failed(fault));
            self.state = State::Away { parked: None, until: now + AGAIN_AFTER };
        } else {
            self.failures = 0;
            let until = now + PARKED;
            self.events.push_back(IcarusEvent::Parked { reason: fault.clone(), until });
            self.state = State::Away { parked: Some(fault), until };
        }
    }
}

/// The bits of `index` at the places of the mask, the lowest at the lowest.
fn spread(index: u64, mask: u32) -> u32 {
    let places = (0..32).filter(|place| mask >> place & 1 == 1);
    places.enumerate().fold(0, |bits, (nth, place)| bits | ((index >> nth & 1) as u32) << place)
}
