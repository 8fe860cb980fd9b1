//! Icarus and its family: 64 bytes of work in, a nonce out; no frames, no checksums, no addresses. Source: cgminer
//! `driver-icarus.c`, bfgminer `driver-icarus.c`, `driver-erupter.c` and `driver-antminer.c`.

use std::{collections::VecDeque, time::Duration};

use bitcoin::hex::{DisplayHex, FromHex};

use super::{
    chip::{ChipPace, Habits},
    crc::crc5,
    event::{Event, Port},
    hash::{Found, Hasher, Search, Ticket},
    uart::{Line, fits},
    work::{FirstPart, SolvedHeader, Work, words_reversed},
};
use crate::chance::Chance;

const BAUD: f64 = 115_200.0;
const WORK_SIZE: usize = 64;
/// After such a silence what came is a command or nothing. This model's choice; host programs pause far longer.
const PAUSE: Duration = Duration::from_millis(20);
/// Nonces of one work.
const RANGE: f64 = 4_294_967_296.0;
/// Searches that may wait for hashes.
const SEARCHES: usize = 16;
/// cgminer's golden work (block 171874) and the work by which it tells over how many devices the range is divided, with
/// all nonces that a device could answer: state after 64 bytes, words h0 to h7; 12 bytes; nonces.
const KNOWN: [(&str, &str, &[&str]); 2] = [
    (
        "e48f544a9a3afa71451471134df6c35682b400254bfe0860c99876bf4679ba4e",
        "2fa722ce1426674f87320b1a",
        &["000187a2"],
    ),
    (
        "6a5b504aa1ee04c577cf26b643828602cb64a2a07ea20aaafd595d2d2e4c8f91",
        "fb9b3c73c906a9516461011a",
        &["04c0fdb4", "82540e46", "417c0f36", "60c994d5"],
    ),
];

/// One kind of device.
#[derive(Debug, PartialEq)]
pub(super) struct IcarusKind {
    /// Devices that share the range of nonces.
    pub(super) devices: u32,
    /// Hashes a second; of a device with a clock, for each MHz.
    pub(super) hashes_per_second: f64,
    /// MHz after power-on, for a device that takes commands for its clock.
    pub(super) megahertz: Option<f64>,
    pub(super) answer_size: usize,
    /// Whether it goes on after a nonce.
    pub(super) continues: bool,
}

/// A device with its serial line.
#[derive(Debug)]
pub(super) struct Icarus {
    kind: &'static IcarusKind,
    habits: Habits,
    megahertz: f64,
    known: Vec<SolvedHeader>,
    buffer: Vec<u8>,
    last_byte: Duration,
    host_baud: u32,
    scan: Option<Scan>,
    line: Line,
    chance: Chance,
    events: VecDeque<Event>,
}

/// One work being scanned.
#[derive(Debug)]
struct Scan {
    work: Work,
    ticket: Ticket,
    hashes_per_second: f64,
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

impl Icarus {
    pub(super) fn new(kind: &'static IcarusKind, habits: Habits) -> Self {
        let known = KNOWN.iter().flat_map(|(midstate, tail, nonces)| {
            nonces.iter().map(move |nonce| solved(midstate, &[*tail, *nonce].concat()))
        });
        Self {
            kind,
            megahertz: kind.megahertz.unwrap_or(1.0),
            known: known.chain(habits.solved.iter().cloned()).collect(),
            buffer: Vec::new(),
            last_byte: Duration::ZERO,
            host_baud: 115_200,
            scan: None,
            line: Line::default(),
            chance: Chance::new(habits.seed),
            events: VecDeque::new(),
            habits,
        }
    }

    pub(super) fn receive(&mut self, bytes: &[u8], host_baud: u32, now: Duration) {
        self.handle_timeout(now);
        self.host_baud = host_baud;
        if !fits(BAUD, host_baud.into()) {
            let (bytes, board_baud) = (bytes.len(), BAUD as u32);
            self.events.push_back(Event::Garbled { bytes, host_baud, board_baud });
            return;
        }
        self.last_byte = now;
        self.buffer.extend(bytes);
        while self.buffer.len() >= WORK_SIZE {
            let work: Vec<u8> = self.buffer.drain(..WORK_SIZE).collect();
            self.take(&work, now);
        }
    }

    /// A new work replaces the one before at any time. Shape: midstate 32 (words h7 to h0), 20, nbits, ntime, merkle tail.
    fn take(&mut self, bytes: &[u8], now: Duration) {
        let tail = [&bytes[60..64], &bytes[56..60], &bytes[52..56]].concat();
        let work = Work {
            number: bytes[51] & 0x1f,
            start_nonce: 0,
            first_part: FirstPart::Midstates(vec![words_reversed(&bytes[..32])]),
            tail: tail.try_into().expect("three times four bytes"),
        };
        self.events.push_back(Event::Job { number: work.number, hashing: 1, missing: Vec::new() });
        let hashes_per_second = self.kind.hashes_per_second * self.megahertz;
        let known = self.known(&work, hashes_per_second);
        let nonces = if known.is_empty() {
            let rate = match self.habits.pace {
                ChipPace::Scaled(scale) => scale * hashes_per_second / RANGE,
                ChipPace::PerSecond(rate) => rate,
            };
            Nonces::Unknown { next: self.chance.wait(rate), rate, searches: VecDeque::new() }
        } else {
            Nonces::Known(known)
        };
        let ticket = Ticket::new(self.habits.zero_bits, 0);
        self.scan = Some(Scan { work, ticket, hashes_per_second, started: now, nonces });
    }

    /// The known nonces of a work, by the time at which one of the devices comes upon them.
    fn known(&self, work: &Work, hashes_per_second: f64) -> VecDeque<(f64, Found)> {
        let per_device = RANGE / f64::from(self.kind.devices);
        let ticket = Ticket::new(32, 0);
        let hasher = Hasher::new(work.midstate(0, 0), work.tail);
        let mut known: Vec<(f64, Found)> = (self.known.iter())
            .filter(|known| work.leads_to(known).is_some())
            .filter_map(|known| {
                let zero_bits = hasher.judge(known.nonce, ticket)?;
                let place = f64::from(u32::from_be_bytes(known.nonce)) % per_device;
                let at = place * f64::from(self.kind.devices) / hashes_per_second;
                Some((at, Found { nonce: known.nonce, version: 0, small_core: 0, zero_bits }))
            })
            .collect();
        known.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        known.into()
    }

    /// What came and was followed by silence.
    fn take_command(&mut self) {
        let bytes = std::mem::take(&mut self.buffer);
        let checked = |bytes: &[u8], kept: u8| crc5(bytes, 27) == bytes[3] & 0x1f && bytes[3] & 0xe0 == kept;
        let takes_commands = self.kind.megahertz.is_some();
        match bytes[..] {
            [0x82, high, low, _] if takes_commands && checked(&bytes, 0) => {
                let word = u16::from_be_bytes([high, low]);
                let Some(megahertz) = clock(word) else {
                    return self.ignore(format!("frequency word {word:#06x} has no known divider"));
                };
                self.megahertz = megahertz;
                self.events.push_back(Event::Frequency { megahertz: megahertz.round() as u32 });
            }
            // The register is read, and the voltage of a U3 set, without an effect that a host could see here; 36 bytes
            // flash the light.
            [0x84, _, _, _] if takes_commands && checked(&bytes, 0) => {}
            [0xaa, 0xb0..=0xbf, _, _] if takes_commands && checked(&bytes, 0xc0) => {}
            _ if takes_commands && bytes.len() == 36 => {}
            _ => self.ignore(format!("{} bytes, then silence: a work has 64", bytes.len())),
        }
    }

    fn ignore(&mut self, reason: String) {
        self.events.push_back(Event::Ignored { port: Port::Data, reason });
    }

    pub(super) fn handle_timeout(&mut self, now: Duration) {
        if !self.buffer.is_empty() && now >= self.last_byte + PAUSE {
            self.take_command();
        }
        let devices = self.kind.devices;
        while self.scan.as_ref().and_then(Scan::due).is_some_and(|due| due <= now) {
            let Some(scan) = &mut self.scan else { return };
            match &mut scan.nonces {
                Nonces::Known(known) => {
                    if let Some((_, found)) = known.pop_front() {
                        self.report(&found, now);
                    }
                }
                Nonces::Unknown { .. } => {
                    if !scan.begin_search(devices, &mut self.chance) {
                        self.events.push_back(Event::LostNonces { nonces: 1 });
                    }
                }
            }
        }
    }

    pub(super) fn is_searching(&self) -> bool {
        let nonces = self.scan.as_ref().map(|scan| &scan.nonces);
        matches!(nonces, Some(Nonces::Unknown { searches, .. }) if !searches.is_empty())
    }

    pub(super) fn hash(&mut self, budget: &mut u64, now: Duration) {
        while *budget > 0 {
            let nonces = self.scan.as_mut().map(|scan| &mut scan.nonces);
            let Some(Nonces::Unknown { searches, .. }) = nonces else { return };
            let Some(search) = searches.front_mut() else { return };
            if let Some(found) = search.advance(budget) {
                searches.pop_front();
                self.report(&found, now);
            }
        }
    }

    fn report(&mut self, found: &Found, now: Duration) {
        let Some(scan) = &self.scan else { return };
        let number = scan.work.number;
        let mut bytes = found.nonce.to_vec();
        bytes.push(number);
        bytes.resize(self.kind.answer_size.max(5), 0);
        bytes.truncate(self.kind.answer_size);
        self.line.send(bytes, BAUD, self.host_baud.into(), now, &mut self.chance);
        let (nonce, zero_bits) = (found.nonce.to_lower_hex_string(), found.zero_bits);
        self.events.push_back(Event::Nonce { chip: 0, number, nonce, version: 0, zero_bits });
        if !self.kind.continues {
            self.scan = None;
        }
    }

    pub(super) fn poll_transmit(&mut self, now: Duration) -> Option<Vec<u8>> {
        self.line.arrived(now)
    }

    pub(super) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        let pause = (!self.buffer.is_empty()).then(|| self.last_byte + PAUSE);
        let scan = self.scan.as_ref().and_then(Scan::due);
        [pause, scan, self.line.due()].into_iter().flatten().min()
    }
}

impl Scan {
    /// When the next nonce is due; `None` at the end of the range.
    fn due(&self) -> Option<Duration> {
        let range = RANGE / self.hashes_per_second;
        let seconds = match &self.nonces {
            Nonces::Known(known) => known.front().map(|(at, _)| *at),
            Nonces::Unknown { next, .. } => (*next < range).then_some(*next),
        };
        Some(self.started.saturating_add(Duration::try_from_secs_f64(seconds?).ok()?))
    }

    /// Looks for the nonce that is due, on one of the devices, around where their counters are then. Shape: whether there
    /// was room.
    fn begin_search(&mut self, devices: u32, chance: &mut Chance) -> bool {
        let Nonces::Unknown { next, rate, searches } = &mut self.nonces else { return true };
        let place = (*next * self.hashes_per_second / f64::from(devices)) as u32;
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
}

fn solved(midstate: &str, rest: &str) -> SolvedHeader {
    let midstate = <[u8; 32]>::from_hex(midstate).expect("a constant of 32 bytes");
    SolvedHeader::from_midstate(midstate, &<[u8; 16]>::from_hex(rest).expect("constants of 12 and 4 bytes"))
}

/// MHz of a frequency word `n << 7 | divider code`: 25 x (n + 1) / divider. Source: the search in bfgminer `util.c` with
/// its table of codes; code 0 is from cgminer's own search, whose 200 MHz are 0x0380.
fn clock(word: u16) -> Option<f64> {
    let divider = match word & 0x7f {
        0 | 1 => 1.0,
        2 | 5 => 2.0,
        3 | 6 => 4.0,
        7 => 8.0,
        _ => return None,
    };
    Some(25.0 * f64::from((word >> 7) + 1) / divider)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequency_words_are_those_of_the_published_table() {
        for (word, megahertz) in [
            (0x0783, 100.0),
            (0x0f03, 193.75),
            (0x1f07, 196.875),
            (0x0782, 200.0),
            (0x0380, 200.0),
            (0x0982, 250.0),
        ] {
            assert_eq!(clock(word), Some(megahertz), "{word:#x}");
        }
        assert_eq!(clock(0x0784), None);
    }
}
