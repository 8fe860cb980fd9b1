//! GekkoScience's sticks with BM1384 and BM1387: chips that have addresses and take one work at a time. Neither has a
//! preamble. Source: cgminer `driver-gekko.c`; what it leaves open is this model's choice, and said where it is.

use std::time::Duration;

use bitcoin::hex::DisplayHex;

use super::{
    chip::Habits,
    crc::{crc5, crc16},
    event::{Event, Port},
    hash::Found,
    icarus::{clock, work},
    scan::{Speed, Station, Stick},
    uart::fits,
    work::SolvedHeader,
};

/// After such a silence what is no command yet is none. This model's choice; a command takes half a millisecond.
const PAUSE: Duration = Duration::from_millis(20);
/// Of a chip after power-on.
const FIRST_BAUD: f64 = 115_740.0;
/// What is found for a midstate of zeros with a tail of ones, the work that wakes cores.
const BUSY_NONCES: [[u8; 4]; 2] = [[0x72, 0x03, 0xea, 0x83], [0xe1, 0x6b, 0xf8, 0x09]];
const BUSY_TAIL: [u8; 12] = [0xff; 12];

/// One kind of chip.
#[derive(Debug, PartialEq)]
pub(super) struct OldChip {
    id: u16,
    cores: u32,
    generation: Generation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Generation {
    Bm1384,
    Bm1387,
}

pub(super) static BM1384: OldChip = OldChip { id: 0x1384, cores: 55, generation: Generation::Bm1384 };
pub(super) static BM1387: OldChip = OldChip { id: 0x1387, cores: 114, generation: Generation::Bm1387 };

/// One kind of stick.
#[derive(Debug, PartialEq)]
pub(super) struct GekkoKind {
    pub(super) chip: &'static OldChip,
    pub(super) chips: usize,
}

/// A command as a chip hears it, or a work.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    ReadId,
    Inactive,
    Address(u8),
    /// In kHz.
    Frequency(u32),
    /// The divider of the line's speed, and whether work wakes cores.
    Line {
        divider: u8,
        is_gated: bool,
    },
    /// Read, without an effect that a host could see here.
    Read,
    /// Its number, its midstate (words h7 to h0), nbits, ntime and merkle tail.
    Work(u8, [u8; 32], [u8; 12]),
}

/// A stick with its serial line.
#[derive(Debug)]
pub(super) struct Gekko {
    chip: &'static OldChip,
    /// Of each chip, and whether it relays commands.
    addresses: Vec<(u8, bool)>,
    megahertz: Option<f64>,
    is_gated: bool,
    /// Busy works so far; each wakes a core of every chip.
    woken: u32,
    baud: f64,
    buffer: Vec<u8>,
    last_byte: Duration,
    host_baud: u32,
    station: Station,
}

impl Gekko {
    pub(super) fn new(kind: &GekkoKind, chips: usize, habits: Habits) -> Self {
        let busy = BUSY_NONCES.map(|nonce| {
            let rest = [BUSY_TAIL.as_slice(), &nonce].concat();
            SolvedHeader::from_midstate([0; 32], &rest.try_into().expect("12 and 4 bytes"))
        });
        Self {
            chip: kind.chip,
            addresses: vec![(0, true); chips],
            megahertz: None,
            is_gated: kind.chip.generation == Generation::Bm1384,
            woken: 0,
            baud: FIRST_BAUD,
            buffer: Vec::new(),
            last_byte: Duration::ZERO,
            host_baud: 115_200,
            station: Station::new(busy.into_iter(), habits),
        }
    }

    fn take(&mut self, told: Told, now: Duration) {
        match told {
            Told::ReadId => {
                for at in 0..self.addresses.len() {
                    let answer = self.chip.id_answer(self.addresses[at].0);
                    self.say(answer, now);
                }
            }
            Told::Inactive => self.addresses.iter_mut().for_each(|(_, relays)| *relays = false),
            Told::Address(address) => {
                // The first one that does not relay takes it; before that order all take it.
                let first = self.addresses.iter().position(|(_, relays)| !relays);
                for at in first.map_or(0..self.addresses.len(), |first| first..first + 1) {
                    self.addresses[at] = (address, true);
                    self.station.events.push_back(Event::Address { chip: at, address });
                }
            }
            Told::Frequency(kilohertz) => {
                let megahertz = f64::from(kilohertz) / 1000.0;
                self.megahertz = Some(megahertz);
                self.station.events.push_back(Event::Frequency { megahertz: megahertz.round() as u32 });
            }
            Told::Line { divider, is_gated } => {
                self.baud = 25e6 / (8.0 * (f64::from(divider) + 1.0));
                self.is_gated |= is_gated;
                self.station.events.push_back(Event::Baud { baud: self.baud.round() as u32 });
            }
            Told::Read => {}
            Told::Work(number, midstate, tail) => self.begin(number, &midstate, &tail, now),
        }
    }

    /// What keeps the chips from hashing, as texts for a person.
    fn missing(&self, is_busy: bool) -> Vec<&'static str> {
        let mut addresses: Vec<_> = self.addresses.iter().map(|(address, _)| *address).collect();
        addresses.sort_unstable();
        addresses.dedup();
        let is_asleep = self.station.habits.strict && !is_busy && self.woken < self.chip.cores;
        let needs = [
            (self.megahertz.is_none(), "no frequency was set"),
            (!self.is_gated, "cores are not gated: 0x1c"),
            (addresses.len() < self.addresses.len(), "chips share an address"),
            (is_asleep, "cores are asleep: fewer busy works than cores"),
        ];
        needs.into_iter().filter_map(|(is_missing, what)| is_missing.then_some(what)).collect()
    }

    fn begin(&mut self, number: u8, midstate: &[u8; 32], tail: &[u8; 12], now: Duration) {
        let is_busy = *midstate == [0; 32] && *tail == BUSY_TAIL;
        let missing = self.missing(is_busy);
        let chips = self.addresses.len();
        self.station.scan = None;
        if let (true, Some(megahertz)) = (missing.is_empty(), self.megahertz) {
            self.woken = self.woken.saturating_add(u32::from(is_busy));
            let hashes_per_second = f64::from(self.chip.cores) * chips as f64 * megahertz * 1e6;
            let speed = Speed { devices: chips as u32, hashes_per_second };
            let work = work(number, midstate, tail);
            self.station.begin(work, speed, now);
        }
        let hashing = if missing.is_empty() { chips } else { 0 };
        self.station.events.push_back(Event::Job { number, hashing, missing });
    }

    fn say(&mut self, bytes: Vec<u8>, now: Duration) {
        let Station { line, chance, .. } = &mut self.station;
        line.send(bytes, self.baud, self.host_baud.into(), now, chance);
    }

    fn ignore(&mut self, reason: String) {
        self.station.events.push_back(Event::Ignored { port: Port::Data, reason });
    }
}

impl Stick for Gekko {
    fn receive(&mut self, bytes: &[u8], host_baud: u32, now: Duration) {
        self.handle_timeout(now);
        self.host_baud = host_baud;
        if !fits(self.baud, host_baud.into()) {
            let (bytes, board_baud) = (bytes.len(), self.baud.round() as u32);
            self.station.events.push_back(Event::Garbled { bytes, host_baud, board_baud });
            return;
        }
        self.last_byte = now;
        self.buffer.extend(bytes);
        loop {
            let Some((size, told)) = self.chip.hear(&self.buffer) else { return };
            let frame: Vec<u8> = self.buffer.drain(..size).collect();
            match told {
                Some(told) => self.take(told, now),
                None => self.ignore(format!("{} is no command", frame.to_lower_hex_string())),
            }
        }
    }

    fn handle_silence(&mut self, now: Duration) {
        if !self.buffer.is_empty() && now >= self.last_byte + PAUSE {
            let bytes = std::mem::take(&mut self.buffer);
            self.ignore(format!("{} bytes, then silence", bytes.len()));
        }
    }

    fn silence_due(&self) -> Option<Duration> {
        (!self.buffer.is_empty()).then(|| self.last_byte + PAUSE)
    }

    fn report(&mut self, found: &Found, now: Duration) {
        let Some(scan) = &self.station.scan else { return };
        let (number, asked_bits) = (scan.work.number, scan.ticket.bits());
        let answer = self.chip.nonce_answer(found.nonce, number);
        self.say(answer, now);
        let part = u32::MAX / self.addresses.len() as u32;
        let chip = (u32::from_be_bytes(found.nonce) / part.max(1)) as usize;
        let (nonce, zero_bits) = (found.nonce.to_lower_hex_string(), found.zero_bits);
        self.station.events.push_back(Event::Nonce {
            chip,
            number,
            nonce,
            version: 0,
            zero_bits,
            asked_bits,
        });
    }

    fn station(&self) -> &Station {
        &self.station
    }

    fn station_mut(&mut self) -> &mut Station {
        &mut self.station
    }
}

impl OldChip {
    /// What stands at the beginning of the buffer. Shape: its size and what it says, which is nothing for what has to be
    /// passed over; `None` while more bytes are needed.
    fn hear(&self, buffer: &[u8]) -> Option<(usize, Option<Told>)> {
        match self.generation {
            Generation::Bm1384 => hear_bm1384(buffer),
            Generation::Bm1387 => hear_bm1387(buffer),
        }
    }

    /// That the id stands in front is the source's; the rest of it is this model's choice.
    fn id_answer(&self, address: u8) -> Vec<u8> {
        let [high, low] = self.id.to_be_bytes();
        match self.generation {
            Generation::Bm1384 => vec![high, low, 0, address, 0],
            Generation::Bm1387 => checked(vec![high, low, 0, 0, 0, address], 0),
        }
    }

    fn nonce_answer(&self, nonce: [u8; 4], number: u8) -> Vec<u8> {
        match self.generation {
            Generation::Bm1384 => [nonce.as_slice(), &[number ^ 0x80]].concat(),
            Generation::Bm1387 => checked([nonce.as_slice(), &[0, number]].concat(), 0x80),
        }
    }
}

/// An answer of a BM1387: the type and the checksum in its last byte.
fn checked(mut bytes: Vec<u8>, kind: u8) -> Vec<u8> {
    bytes.push(kind);
    let checksum = crc5(&bytes, bytes.len() * 8 - 5);
    if let Some(last) = bytes.last_mut() {
        *last |= checksum;
    }
    bytes
}

/// Commands of four bytes and works of 64. Nothing tells them apart but what comes behind: four bytes that come alone and
/// are right are a command.
fn hear_bm1384(buffer: &[u8]) -> Option<(usize, Option<Told>)> {
    if let Some(bytes) = buffer.get(..64) {
        let midstate = bytes[..32].try_into().expect("32 of 64 bytes");
        let tail = bytes[52..].try_into().expect("12 of 64 bytes");
        return Some((64, Some(Told::Work(bytes[51], midstate, tail))));
    }
    let &[command, a, b, checksum] = buffer else { return None };
    if checksum != crc5(buffer, 27) {
        return None;
    }
    let told = match command {
        0x84 => Told::ReadId,
        0x85 => Told::Inactive,
        0x01 => Told::Address(a),
        0x82 => Told::Frequency((clock(u16::from_be_bytes([a, b]))? * 1000.0).round() as u32),
        0x04 => Told::Read,
        _ => return None,
    };
    Some((4, Some(told)))
}

fn hear_bm1387(buffer: &[u8]) -> Option<(usize, Option<Told>)> {
    let size = match buffer.first()? {
        0x41 | 0x44 | 0x54 | 0x55 => 5,
        0x48 | 0x58 => 9,
        0x21 => 54,
        _ => return Some((1, None)),
    };
    if buffer.len() >= 2 && usize::from(buffer[1]) != size {
        return Some((1, None));
    }
    let frame = buffer.get(..size)?;
    let (content, checksum) = frame.split_at(if size == 54 { 52 } else { size - 1 });
    let is_right = match checksum {
        [one] => *one == crc5(content, content.len() * 8),
        two => two == crc16(content).to_be_bytes(),
    };
    if !is_right {
        return Some((1, None));
    }
    let told = match *content {
        [0x54, ..] => Told::ReadId,
        [0x55, ..] => Told::Inactive,
        [0x41, _, address, _] => Told::Address(address),
        [0x44, ..] => Told::Read,
        // 25 MHz x feedback / (reference x post dividers).
        [0x48 | 0x58, _, _, 0x0c, _, feedback, 0x02, post @ (0x41 | 0x21)] => {
            let divider = 2 * u32::from(post >> 4);
            Told::Frequency(25_000 * u32::from(feedback) / divider)
        }
        [0x58, _, _, 0x1c, 0x00 | 0x40, 0x20, divider, gate] => {
            Told::Line { divider: divider & 0x7f, is_gated: divider >> 7 == 1 && gate == 0x80 }
        }
        [0x21, _, number, 1, 0, 0, 0, 0, ..] => {
            let tail = content[8..20].try_into().expect("12 of 52 bytes");
            Told::Work(number, content[20..].try_into().expect("32 of 52 bytes"), tail)
        }
        _ => return Some((size, None)),
    };
    Some((size, Some(told)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_published_drivers_are_heard() {
        let hear = |chip: &OldChip, bytes: &[u8]| chip.hear(bytes).and_then(|(_, told)| told);
        for (bytes, told) in [
            (&[0x54, 5, 0, 0, 0x19][..], Told::ReadId),
            (&[0x55, 5, 0, 0, 0x10], Told::Inactive),
            (&[0x41, 5, 0x80, 0, 0x19], Told::Address(0x80)),
            (&[0x58, 9, 0, 0x0c, 0, 0x50, 2, 0x41, 0x0c], Told::Frequency(250_000)),
            (&[0x58, 9, 0, 0x1c, 0x40, 0x20, 0x99, 0x80, 1], Told::Line { divider: 0x19, is_gated: true }),
        ] {
            assert_eq!(hear(&BM1387, bytes), Some(told));
        }
        assert_eq!(hear(&BM1384, &[0x84, 0, 0, 0x11]), Some(Told::ReadId));
        assert_eq!(hear(&BM1384, &[0x85, 0, 0, 0x0f]), Some(Told::Inactive));
        assert_eq!(hear(&BM1384, &[0x82, 7, 0x83, 0x1c]), Some(Told::Frequency(100_000)));
        assert_eq!(hear(&BM1384, &[0x82, 7, 0x83, 0x1d]), None, "a wrong checksum");
        assert_eq!(BM1387.hear(&[0x54, 5, 0, 0, 0x18]), Some((1, None)), "a wrong checksum");
    }
}
