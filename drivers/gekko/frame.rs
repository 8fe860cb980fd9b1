//! Commands, works and answers of BM1384 and BM1387: bytes and back. Neither has a preamble.
//!
//! Source: cgminer `driver-gekko.c`; the frames of `tests/vectors/asic-vectors.json` with these chips.

use crate::bm13xx::crc::{crc5, crc5_of_bits, crc16};
use crate::icarus::Frequency;
use crate::scanner::work::{NUMBERS, SIZE};

/// Speed of the line of both after a reset.
pub const BAUD: u32 = 115_200;

/// How a chip is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Commands of 4 bytes with a checksum over 27 bits, work of 64 bytes as Icarus, answers of 5 bytes.
    Bm1384,
    /// Commands with a length and a checksum over all of it, work with a header and CRC16, answers of 7 bytes.
    Bm1387,
}

/// MHz of one step of a BM1387's feedback divider.
const BM1387_STEP: f64 = 25.0 / 8.0;
/// Divides a BM1387's oscillator by 8, which serves frequencies below 400 MHz.
const BM1387_DIVIDER: [u8; 2] = [0x02, 0x41];

/// Work that wakes a core: a midstate of zeros and a tail of ones.
const BUSY_TAIL: std::ops::Range<usize> = 52..64;
/// What is found for it, as header bytes 76 to 79.
pub(super) const BUSY_NONCES: [[u8; 4]; 2] = [[0x72, 0x03, 0xea, 0x83], [0xe1, 0x6b, 0xf8, 0x09]];

impl Form {
    /// Asks all chips for their ids.
    pub(super) fn read_id(self) -> Vec<u8> {
        match self {
            Self::Bm1384 => short([0x84, 0x00, 0x00]),
            Self::Bm1387 => long(&[0x54, 0x05, 0x00, 0x00]),
        }
    }

    /// Chips keep commands to themselves until they have an address.
    pub(super) fn inactive(self) -> Vec<u8> {
        match self {
            Self::Bm1384 => short([0x85, 0x00, 0x00]),
            Self::Bm1387 => long(&[0x55, 0x05, 0x00, 0x00]),
        }
    }

    /// Gives the first chip without an address this one.
    pub(super) fn set_address(self, address: u8) -> Vec<u8> {
        match self {
            Self::Bm1384 => short([0x01, address, 0x00]),
            Self::Bm1387 => long(&[0x41, 0x05, address, 0x00]),
        }
    }

    /// The nearest frequency that can be named. Unit: MHz.
    pub(super) fn nearest(self, mhz: f64) -> f64 {
        match self {
            Self::Bm1384 => Frequency::nearest(mhz).mhz,
            Self::Bm1387 => (mhz / BM1387_STEP).round() * BM1387_STEP,
        }
    }

    /// Sets the frequency of all chips. Shape: one that [`Self::nearest`] gave, below 400 MHz.
    pub(super) fn set_frequency(self, mhz: f64) -> Vec<u8> {
        match self {
            Self::Bm1384 => Frequency::nearest(mhz).command().to_vec(),
            Self::Bm1387 => {
                let feedback = (mhz / BM1387_STEP).round() as u8;
                let [reference, post] = BM1387_DIVIDER;
                long(&[0x58, 0x09, 0x00, 0x0c, 0x00, feedback, reference, post])
            }
        }
    }

    /// Lets works wake the cores. The lower bits of the sixth byte are the divider of 115 200 baud.
    pub(super) fn gate(self) -> Option<Vec<u8>> {
        match self {
            Self::Bm1384 => None,
            Self::Bm1387 => Some(long(&[0x58, 0x09, 0x00, 0x1c, 0x40, 0x20, 0x99, 0x80])),
        }
    }

    /// A work as this chip takes it, from the form of Icarus with its number in byte 51.
    pub(super) fn work(self, icarus: &[u8; SIZE]) -> Vec<u8> {
        match self {
            Self::Bm1384 => icarus.to_vec(),
            Self::Bm1387 => {
                // Header, length with all of it, number, one midstate, four zeros.
                let mut frame = vec![0x21, 0x36, icarus[51], 0x01, 0, 0, 0, 0];
                frame.extend_from_slice(&icarus[BUSY_TAIL]);
                frame.extend_from_slice(&icarus[..32]);
                frame.extend(crc16(&frame).to_be_bytes());
                frame
            }
        }
    }

    /// Work that wakes a core.
    pub(super) fn busy_work(self) -> Vec<u8> {
        let mut icarus = [0; SIZE];
        icarus[BUSY_TAIL].fill(0xff);
        self.work(&icarus)
    }

    /// Bytes of an answer.
    pub(super) fn answer_size(self) -> usize {
        match self {
            Self::Bm1384 => 5,
            Self::Bm1387 => 7,
        }
    }

    /// Whether bytes of [`Self::answer_size`] look like a nonce, right or wrong: by the number of a work, or where there is
    /// one, by the type and the checksum in the last byte.
    pub(super) fn looks_like_nonce(self, answer: &[u8]) -> bool {
        match self {
            Self::Bm1384 => self.number(answer) < NUMBERS,
            Self::Bm1387 => answer[6] == 0x80 | crc5_of_bits(answer, 51),
        }
    }

    /// The number of the work in an answer of [`Self::answer_size`] bytes; its first four are those of the nonce.
    pub(super) fn number(self, answer: &[u8]) -> u8 {
        match self {
            Self::Bm1384 => answer[4] ^ 0x80,
            Self::Bm1387 => answer[5],
        }
    }
}

/// Three bytes and a checksum over them and the upper three bits of the fourth, which are zero.
fn short(bytes: [u8; 3]) -> Vec<u8> {
    let [a, b, c] = bytes;
    let mut command = vec![a, b, c, 0];
    command[3] = crc5_of_bits(&command, 27);
    command
}

fn long(bytes: &[u8]) -> Vec<u8> {
    let mut command = bytes.to_vec();
    command.push(crc5(bytes));
    command
}
