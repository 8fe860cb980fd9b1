//! Icarus and its family: 64 bytes of work in, a nonce out; no frames, no checksums, no addresses. Source: cgminer
//! `driver-icarus.c`, bfgminer `driver-icarus.c`, `driver-erupter.c` and `driver-antminer.c`.

use std::time::Duration;

use bitcoin::hex::{DisplayHex, FromHex};

use super::{
    chip::Habits,
    crc::crc5,
    event::{Event, Port},
    hash::Found,
    scan::{Speed, Station, Stick},
    uart::fits,
    work::{FirstPart, SolvedHeader, Work, words_reversed},
};

const BAUD: f64 = 115_200.0;
const WORK_SIZE: usize = 64;
/// After such a silence what came is a command or nothing. This model's choice; host programs pause far longer.
const PAUSE: Duration = Duration::from_millis(20);
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
    megahertz: f64,
    buffer: Vec<u8>,
    last_byte: Duration,
    host_baud: u32,
    station: Station,
}

impl Icarus {
    pub(super) fn new(kind: &'static IcarusKind, habits: Habits) -> Self {
        let known = KNOWN.iter().flat_map(|(midstate, tail, nonces)| {
            nonces.iter().map(move |nonce| solved(midstate, &[*tail, *nonce].concat()))
        });
        Self {
            kind,
            megahertz: kind.megahertz.unwrap_or(1.0),
            buffer: Vec::new(),
            last_byte: Duration::ZERO,
            host_baud: 115_200,
            station: Station::new(known, habits),
        }
    }

    /// A new work replaces the one before at any time. Shape: midstate 32 (words h7 to h0), 20, nbits, ntime, merkle tail.
    fn take(&mut self, bytes: &[u8], now: Duration) {
        let work = work(bytes[51] & 0x1f, &bytes[..32], &bytes[52..64]);
        self.station.events.push_back(Event::Job { number: work.number, hashing: 1, missing: Vec::new() });
        let hashes_per_second = self.kind.hashes_per_second * self.megahertz;
        let speed = Speed { devices: self.kind.devices, hashes_per_second };
        self.station.begin(work, speed, now);
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
                self.station.events.push_back(Event::Frequency { megahertz: megahertz.round() as u32 });
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
        self.station.events.push_back(Event::Ignored { port: Port::Data, reason });
    }
}

impl Stick for Icarus {
    fn receive(&mut self, bytes: &[u8], host_baud: u32, now: Duration) {
        self.handle_timeout(now);
        self.host_baud = host_baud;
        if !fits(BAUD, host_baud.into()) {
            let (bytes, board_baud) = (bytes.len(), BAUD as u32);
            self.station.events.push_back(Event::Garbled { bytes, host_baud, board_baud });
            return;
        }
        self.last_byte = now;
        self.buffer.extend(bytes);
        while self.buffer.len() >= WORK_SIZE {
            let work: Vec<u8> = self.buffer.drain(..WORK_SIZE).collect();
            self.take(&work, now);
        }
    }

    fn handle_silence(&mut self, now: Duration) {
        if !self.buffer.is_empty() && now >= self.last_byte + PAUSE {
            self.take_command();
        }
    }

    fn silence_due(&self) -> Option<Duration> {
        (!self.buffer.is_empty()).then(|| self.last_byte + PAUSE)
    }

    fn report(&mut self, found: &Found, now: Duration) {
        let Some(scan) = &self.station.scan else { return };
        let (number, asked_bits) = (scan.work.number, scan.ticket.bits());
        let mut bytes = found.nonce.to_vec();
        bytes.push(number);
        bytes.resize(self.kind.answer_size.max(5), 0);
        bytes.truncate(self.kind.answer_size);
        let Station { line, chance, .. } = &mut self.station;
        line.send(bytes, BAUD, self.host_baud.into(), now, chance);
        let (nonce, zero_bits) = (found.nonce.to_lower_hex_string(), found.zero_bits);
        self.station.events.push_back(Event::Nonce {
            chip: 0,
            number,
            nonce,
            version: 0,
            zero_bits,
            asked_bits,
        });
        if !self.kind.continues {
            self.station.scan = None;
        }
    }

    fn station(&self) -> &Station {
        &self.station
    }

    fn station_mut(&mut self) -> &mut Station {
        &mut self.station
    }
}

/// A work from its midstate (words h7 to h0) and what is behind it (nbits, ntime, merkle tail), as such devices take them.
pub(super) fn work(number: u8, midstate: &[u8], tail: &[u8]) -> Work {
    let tail = [&tail[8..], &tail[4..8], &tail[..4]].concat();
    Work {
        number,
        start_nonce: 0,
        first_part: FirstPart::Midstates(vec![words_reversed(midstate)]),
        tail: tail.try_into().expect("three times four bytes"),
    }
}

fn solved(midstate: &str, rest: &str) -> SolvedHeader {
    let midstate = <[u8; 32]>::from_hex(midstate).expect("a constant of 32 bytes");
    SolvedHeader::from_midstate(midstate, &<[u8; 16]>::from_hex(rest).expect("constants of 12 and 4 bytes"))
}

/// MHz of a frequency word `n << 7 | divider code`: 25 x (n + 1) / divider. Source: the search in bfgminer `util.c` with
/// its table of codes; code 0 is from cgminer's own search, whose 200 MHz are 0x0380.
pub(super) fn clock(word: u16) -> Option<f64> {
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
