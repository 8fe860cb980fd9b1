//! What a device hashes: a job version by version, a work for each, and what became of them.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use super::ScannerEvent;
use super::work::{NUMBERS, Work};
use crate::bm13xx::meter::FadingRate;
use crate::status::{BoardState, BoardStatus, ChipRate, ChipStatus, ClockStatus, LineStatus};
use crate::{BoardEvent, ChipJob};

/// Nonces of one work.
const RANGE: f64 = 4_294_967_296.0;
/// How long before its end the range is left: a device at its end would idle, or repeat itself. Source: cgminer, 1.5 × 100
/// ms. Of a short range it is a part.
const MARGIN: Duration = Duration::from_millis(150);
const MARGIN_PART: u32 = 8;
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
/// Failures in a row after which it is left alone for a while, and for how long.
const MOST_FAILURES: u32 = 3;
const AGAIN_AFTER: Duration = Duration::from_secs(1);
const PARKED: Duration = Duration::from_secs(300);

/// What came from a device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Nonces that were proved.
    pub nonces: u64,
    /// Nonces of no work that it has or had.
    pub hardware_errors: u64,
    /// Nonces that had come before.
    pub duplicates: u64,
    /// Bytes that made no answer.
    pub dropped_bytes: u64,
}

/// How fast a device goes through a range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pace {
    /// Hashes a second of a real one, which the times of its range follow.
    pub(crate) hashes: f64,
    /// Zero bits that every report has: 32 of all real devices.
    pub(crate) zero_bits: u32,
}

impl Pace {
    /// Hashes a second that it shall do. A virtual device reports as often as a real one, for fewer hashes.
    pub(crate) fn expected_rate(self) -> f64 {
        self.hashes * 2_f64.powi(self.zero_bits as i32 - ZERO_BITS)
    }

    /// How long a work lasts.
    pub(crate) fn range(self) -> Duration {
        Duration::from_secs_f64(RANGE / self.hashes)
    }
}

/// What the time asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing.
    Nothing,
    /// The range of the work is at its end.
    NextWork,
    /// The device had work and found nothing for so long.
    Silent(Duration),
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

impl Current {
    fn versions(&self) -> u64 {
        1 << self.job.version_mask.count_ones()
    }
}

/// A device that does not work is left alone for a while.
#[derive(Debug)]
pub(crate) struct Rest<F> {
    /// What was wrong several times in a row, if that is why.
    parked: Option<F>,
    pub(crate) until: Instant,
}

impl<F: fmt::Display> Rest<F> {
    /// Until a first look at it, which is due at once.
    pub(crate) fn none(now: Instant) -> Self {
        Self { parked: None, until: now }
    }

    pub(crate) fn state(&self) -> BoardState {
        let parked = self.parked.as_ref().map(|fault| BoardState::Parked { reason: fault.to_string() });
        parked.unwrap_or(BoardState::Starting)
    }
}

/// The works of one device.
#[derive(Debug)]
pub(crate) struct Feed<F> {
    pace: Pace,
    current: Option<Current>,
    /// What it has or had, the newest first, and how many of these are kept.
    works: VecDeque<Work>,
    kept: usize,
    next_number: u8,
    /// When the range of its work is at its end; `None` without work.
    range_ends: Option<Instant>,
    /// Until when its hashes are reported.
    counted_to: Instant,
    good_at: Instant,
    failures: u32,
    pub(crate) counts: Counts,
    /// By its nonces.
    rate: FadingRate,
    events: VecDeque<ScannerEvent<F>>,
}

impl<F: Clone> Feed<F> {
    pub(crate) fn new(pace: Pace, now: Instant) -> Self {
        Self {
            pace,
            current: None,
            works: VecDeque::new(),
            kept: 1,
            next_number: 0,
            range_ends: None,
            counted_to: now,
            good_at: now,
            failures: 0,
            counts: Counts::default(),
            rate: FadingRate::default(),
            events: VecDeque::new(),
        }
    }

    pub(crate) fn pace(&self) -> Pace {
        self.pace
    }

    /// Takes another job. Whoever is ready for work then asks for the next one.
    pub(crate) fn set_job(&mut self, job: Option<ChipJob>, now: Instant) {
        self.count(now);
        self.current = job.map(|job| Current { job, next: 0, has_begun: false, is_ending: false });
        if self.current.is_none() {
            self.range_ends = None;
        }
    }

    /// The device takes work from now on, and nonces may come of so many works back.
    pub(crate) fn begin(&mut self, kept: usize, now: Instant) {
        self.works.clear();
        self.kept = kept;
        self.range_ends = None;
        (self.counted_to, self.good_at) = (now, now);
        if let Some(current) = &mut self.current {
            (current.next, current.is_ending) = (0, false);
        }
    }

    /// The next version of the job, for the device to hash from now on; `None` when there is none until there is another
    /// job.
    pub(crate) fn next_work(&mut self, now: Instant) -> Option<&Work> {
        let current = self.current.as_mut()?;
        if current.next >= current.versions() {
            self.range_ends = None;
            self.say_ending();
            return None;
        }
        let version = current.job.version | spread(current.next, current.job.version_mask);
        current.next += 1;
        let (id, is_first) = (current.job.id, !std::mem::replace(&mut current.has_begun, true));
        let work = Work::new(current.job.clone(), version, self.next_number);
        self.next_number = (self.next_number + 1) % NUMBERS;
        self.works.push_front(work);
        self.works.truncate(self.kept);
        if self.range_ends.is_none() {
            (self.counted_to, self.good_at) = (now, now);
        }
        let range = self.pace.range();
        self.range_ends = Some(now + range.saturating_sub(MARGIN.min(range / MARGIN_PART)));
        if is_first {
            self.tell(ScannerEvent::Board(BoardEvent::Started { job: id, at: now }));
        }
        self.tell_ending(now);
        self.works.front()
    }

    /// When to call [`Self::handle_timeout`]; `None` without work.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.range_ends.map(|end| end.min(self.counted_to + REPORT_EVERY))
    }

    /// Reports, and tells what else is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Due {
        let Some(range_ends) = self.range_ends else { return Due::Nothing };
        self.count(now);
        self.tell_ending(now);
        let quiet = now.saturating_duration_since(self.good_at);
        let owed = quiet.as_secs_f64() * self.pace.expected_rate() / 2_f64.powi(self.pace.zero_bits as i32);
        if quiet >= LEAST_QUIET && owed > MOST_OWED {
            Due::Silent(quiet)
        } else if now >= range_ends {
            Due::NextWork
        } else {
            Due::Nothing
        }
    }

    /// Proves a nonce of one of these works, counts and reports it. Shape: places, 0 the newest work; header bytes 76 to
    /// 79. The place of its work; `None` if it is of none of them.
    pub(crate) fn prove(
        &mut self,
        mut places: impl Iterator<Item = usize>,
        nonce: [u8; 4],
        now: Instant,
    ) -> Option<usize> {
        let zero_bits = self.pace.zero_bits;
        let works = &mut self.works;
        let prove = |place| Some((place, works.get_mut(place)?.prove(nonce, zero_bits)?));
        let (place, proved) = places.find_map(prove)?;
        if !proved.is_new {
            self.counts.duplicates += 1;
            return Some(place);
        }
        self.counts.nonces += 1;
        self.rate.add(2_f64.powi(zero_bits as i32));
        (self.good_at, self.failures) = (now, 0);
        if proved.meets_target {
            let (job, version) = (self.works[place].job.id, self.works[place].version);
            self.tell(ScannerEvent::Board(BoardEvent::Nonce { job, nonce: proved.nonce, version }));
        }
        Some(place)
    }

    /// Places of all works, the one of this number first.
    pub(crate) fn places_from(&self, number: Option<u8>) -> impl Iterator<Item = usize> + use<F> {
        let named = self.works.iter().position(|work| Some(work.number) == number).unwrap_or(0);
        std::iter::once(named).chain((0..self.works.len()).filter(move |place| *place != named))
    }

    /// Whether the device has work.
    pub(crate) fn is_hashing(&self) -> bool {
        self.range_ends.is_some()
    }

    /// Reports what it must have hashed by now.
    pub(crate) fn count(&mut self, now: Instant) {
        if self.range_ends.is_none() || now <= self.counted_to {
            return;
        }
        self.rate.pass(now - self.counted_to);
        let hashes = (now - self.counted_to).as_secs_f64() * self.pace.expected_rate();
        self.counted_to = now;
        self.tell(ScannerEvent::Board(BoardEvent::Hashes(hashes as u64)));
    }

    /// The device does not work. Shape: until when to leave it alone.
    pub(crate) fn fail(&mut self, fault: F, now: Instant) -> Rest<F> {
        self.range_ends = None;
        self.failures += 1;
        if self.failures < MOST_FAILURES {
            self.tell(ScannerEvent::Failed(fault));
            Rest { parked: None, until: now + AGAIN_AFTER }
        } else {
            self.failures = 0;
            let until = now + PARKED;
            self.tell(ScannerEvent::Parked { reason: fault.clone(), until });
            Rest { parked: Some(fault), until }
        }
    }

    /// Of a device that takes work.
    pub(crate) fn state(&self) -> BoardState {
        if self.is_hashing() { BoardState::Hashing } else { BoardState::Idle }
    }

    /// How a device in this state stands: it measures nothing, and its answers do not tell its chips apart.
    pub(crate) fn status(&self, state: BoardState, megahertz: Option<f64>) -> BoardStatus {
        let Counts { nonces, hardware_errors, duplicates, dropped_bytes } = self.counts;
        let rate = ChipRate::new(self.rate.estimate());
        let is_known = nonces > 0 || !self.works.is_empty();
        let chips = is_known.then_some(ChipStatus { address: 0, nonces, hardware_errors, rate });
        BoardStatus {
            clock: ClockStatus { megahertz, set_megahertz: megahertz },
            chips: chips.into_iter().collect(),
            line: LineStatus { dropped_bytes, duplicates, ..LineStatus::default() },
            ..BoardStatus::new(state)
        }
    }

    pub(crate) fn tell(&mut self, event: ScannerEvent<F>) {
        self.events.push_back(event);
    }

    pub(crate) fn poll_event(&mut self) -> Option<ScannerEvent<F>> {
        self.events.pop_front()
    }

    /// The work that it was given last.
    #[cfg(test)]
    pub(crate) fn newest(&self) -> Option<&Work> {
        self.works.front()
    }

    fn tell_ending(&mut self, now: Instant) {
        let (Some(range_ends), Some(current)) = (self.range_ends, &self.current) else { return };
        let rest = u32::try_from(current.versions() - current.next).unwrap_or(u32::MAX);
        let whole = self.pace.range().saturating_mul(rest);
        if range_ends.saturating_duration_since(now) + whole <= ENDING {
            self.say_ending();
        }
    }

    fn say_ending(&mut self) {
        let Some(current) = &mut self.current else { return };
        if !std::mem::replace(&mut current.is_ending, true) {
            let id = current.job.id;
            self.tell(ScannerEvent::Board(BoardEvent::JobEnding(id)));
        }
    }
}

/// The bits of `index` at the places of the mask, the lowest at the lowest.
fn spread(index: u64, mask: u32) -> u32 {
    let places = (0..32).filter(|place| mask >> place & 1 == 1);
    places.enumerate().fold(0, |bits, (nth, place)| bits | ((index >> nth & 1) as u32) << place)
}
