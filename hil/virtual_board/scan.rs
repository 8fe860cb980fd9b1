//! One work after another, each over one range of nonces: what a device without cores and versions of its own does.

use std::{collections::VecDeque, fmt::Debug, time::Duration};

use super::{
    chip::{ChipPace, Habits},
    event::Event,
    hash::{Found, Hasher, Search, Ticket},
    uart::Line,
    work::{SolvedHeader, Work},
};
use crate::chance::Chance;

/// Nonces of one work.
const RANGE: f64 = 4_294_967_296.0;
/// Searches that may wait for hashes.
const SEARCHES: usize = 16;

/// A device on a serial line that takes work: bytes and times in, bytes and times out.
pub(super) trait Stick: Debug + Send {
    fn receive(&mut self, bytes: &[u8], host_baud: u32, now: Duration);
    /// Takes what came and was followed by silence, once that is due.
    fn handle_silence(&mut self, now: Duration);
    /// When that will be.
    fn silence_due(&self) -> Option<Duration>;
    /// Tells the host of a nonce.
    fn report(&mut self, found: &Found, now: Duration);
    fn station(&self) -> &Station;
    fn station_mut(&mut self) -> &mut Station;

    fn handle_timeout(&mut self, now: Duration) {
        self.handle_silence(now);
        while let Some(found) = self.station_mut().advance(now) {
            self.report(&found, now);
        }
    }

    /// Searches for `budget` hashes at most and takes those done from it.
    fn hash(&mut self, budget: &mut u64, now: Duration) {
        while let Some(found) = self.station_mut().scan.as_mut().and_then(|scan| scan.hash(budget)) {
            self.report(&found, now);
        }
    }

    fn poll_timeout(&self) -> Option<Duration> {
        let Station { scan, line, .. } = self.station();
        let scan = scan.as_ref().and_then(Scan::due);
        [self.silence_due(), scan, line.due()].into_iter().flatten().min()
    }
}

/// What every such device has: one work at a time, a line to the host, and something to tell.
#[derive(Debug)]
pub(super) struct Station {
    pub(super) scan: Option<Scan>,
    pub(super) known: Vec<SolvedHeader>,
    pub(super) habits: Habits,
    pub(super) line: Line,
    pub(super) chance: Chance,
    pub(super) events: VecDeque<Event>,
}

impl Station {
    /// With these headers known to be solved, besides those of the habits.
    pub(super) fn new(known: impl Iterator<Item = SolvedHeader>, habits: Habits) -> Self {
        Self {
            scan: None,
            known: known.chain(habits.solved.iter().cloned()).collect(),
            line: Line::default(),
            chance: Chance::new(habits.seed),
            events: VecDeque::new(),
            habits,
        }
    }

    /// Begins with a work.
    pub(super) fn begin(&mut self, work: Work, speed: Speed, now: Duration) {
        self.scan = Some(Scan::new(work, speed, &self.known, &self.habits, &mut self.chance, now));
    }

    /// Moves on to `now`. Shape: the next nonce that was known before.
    fn advance(&mut self, now: Duration) -> Option<Found> {
        loop {
            match self.scan.as_mut()?.advance(&mut self.chance, now)? {
                Moment::Found(found) => return Some(found),
                Moment::Searching => {}
                Moment::Lost => self.events.push_back(Event::LostNonces { nonces: 1 }),
            }
        }
    }

    /// Whether there is something to hash.
    pub(super) fn is_searching(&self) -> bool {
        self.scan.as_ref().is_some_and(Scan::is_searching)
    }
}

/// Who scans, and how fast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Speed {
    /// Devices that share the range of nonces, each beginning at its own part.
    pub(super) devices: u32,
    /// Of all of them.
    pub(super) hashes_per_second: f64,
}

/// One work being scanned.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) work: Work,
    speed: Speed,
    pub(super) ticket: Ticket,
    started: Duration,
    nonces: Nonces,
}

/// What is found, at seconds after the start.
#[derive(Debug)]
enum Nonces {
    /// By their times. Where a work's nonces are known no others are looked for: with fewer zero bits there would be some
    /// before them, and a host that looks for golden nonces would not know the device.
    Known(VecDeque<(f64, Found)>),
    Unknown {
        next: f64,
        rate: f64,
        searches: VecDeque<Search>,
    },
}

/// What a moment brings.
#[derive(Debug)]
enum Moment {
    /// A nonce that was known before.
    Found(Found),
    /// A nonce that has to be searched for.
    Searching,
    /// A nonce too many for the hashes that may be spent.
    Lost,
}

impl Scan {
    /// From now on, with these headers known to be solved.
    fn new(
        work: Work,
        speed: Speed,
        known: &[SolvedHeader],
        habits: &Habits,
        chance: &mut Chance,
        now: Duration,
    ) -> Self {
        let known = known_nonces(&work, speed, known);
        let nonces = if known.is_empty() {
            let rate = match habits.pace {
                ChipPace::Scaled(scale) => scale * speed.hashes_per_second / RANGE,
                ChipPace::PerSecond(rate) => rate,
            };
            Nonces::Unknown { next: chance.wait(rate), rate, searches: VecDeque::new() }
        } else {
            Nonces::Known(known)
        };
        Self { work, speed, ticket: Ticket::new(habits.zero_bits, 0), started: now, nonces }
    }

    /// When the next nonce is due; `None` at the end of the range.
    fn due(&self) -> Option<Duration> {
        let range = RANGE / self.speed.hashes_per_second;
        let seconds = match &self.nonces {
            Nonces::Known(known) => known.front().map(|(at, _)| *at),
            Nonces::Unknown { next, .. } => (*next < range).then_some(*next),
        };
        Some(self.started.saturating_add(Duration::try_from_secs_f64(seconds?).ok()?))
    }

    /// What is due at `now`, one after the other.
    fn advance(&mut self, chance: &mut Chance, now: Duration) -> Option<Moment> {
        self.due().filter(|due| *due <= now)?;
        match &mut self.nonces {
            Nonces::Known(known) => known.pop_front().map(|(_, found)| Moment::Found(found)),
            Nonces::Unknown { .. } => {
                Some(if self.begin_search(chance) { Moment::Searching } else { Moment::Lost })
            }
        }
    }

    /// Looks for the nonce that is due, on one of the devices, around where their counters are then. Shape: whether there
    /// was room.
    fn begin_search(&mut self, chance: &mut Chance) -> bool {
        let Speed { devices, hashes_per_second } = self.speed;
        let Nonces::Unknown { next, rate, searches } = &mut self.nonces else { return true };
        let place = (*next * hashes_per_second / f64::from(devices)) as u32;
        let first = (u64::from(u32::MAX) + 1) / u64::from(devices) * chance.below(devices.into());
        *next += chance.wait(*rate);
        let has_room = searches.len() < SEARCHES;
        if has_room {
            let counter = (first as u32).wrapping_add(place);
            let midstate = self.work.midstate(0, 0);
            searches.push_back(Search::plain(midstate, self.work.tail, counter, self.ticket));
        }
        has_room
    }

    fn is_searching(&self) -> bool {
        matches!(&self.nonces, Nonces::Unknown { searches, .. } if !searches.is_empty())
    }

    /// Goes on with the oldest search for `budget` hashes at most and takes those done from it.
    fn hash(&mut self, budget: &mut u64) -> Option<Found> {
        let Nonces::Unknown { searches, .. } = &mut self.nonces else { return None };
        let found = searches.front_mut()?.advance(budget)?;
        searches.pop_front();
        Some(found)
    }
}

/// The known nonces of a work, by the time at which one of the devices comes upon them.
fn known_nonces(work: &Work, speed: Speed, known: &[SolvedHeader]) -> VecDeque<(f64, Found)> {
    let per_device = RANGE / f64::from(speed.devices);
    let ticket = Ticket::new(32, 0);
    let hasher = Hasher::new(work.midstate(0, 0), work.tail);
    let mut known: Vec<(f64, Found)> = (known.iter())
        .filter(|known| work.leads_to(known).is_some())
        .filter_map(|known| {
            let zero_bits = hasher.judge(known.nonce, ticket)?;
            let place = f64::from(u32::from_be_bytes(known.nonce)) % per_device;
            let at = place * f64::from(speed.devices) / speed.hashes_per_second;
            Some((at, Found { nonce: known.nonce, version: 0, small_core: 0, zero_bits }))
        })
        .collect();
    known.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    known.into()
}
