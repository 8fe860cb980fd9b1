//! Frames from the host to the chips: commands to bytes and back. The form of jobs is in [`super::job_frame`].
//!
//! Source of the form: mujina `asic/bm13xx/REFERENCE.md`, "Frame Format"; bm13xx-rs `bm13xx-protocol/src/command.rs`.

use std::fmt;

use super::crc::crc5;
use super::job_frame::{HeaderJob, JobFrame, MidstateJob};
use super::register::Register;

/// The first two bytes of every frame to a chip.
pub const PREAMBLE: [u8; 2] = [0x55, 0xaa];

/// Where what stands in a command.
pub(super) mod offset {
    pub(in super::super) const HEADER: usize = 2;
    pub(in super::super) const LENGTH: usize = 3;
    pub(super) const ADDRESS: usize = 4;
    pub(super) const REGISTER: usize = 5;
    pub(super) const VALUE: std::ops::Range<usize> = 6..10;
}

/// Bits of the header byte.
const TYPE_COMMAND: u8 = 0x40;
const TYPE_JOB: u8 = 0x20;
const ALL_CHIPS: u8 = 0x10;
const SET_ADDRESS: u8 = 0;
const WRITE: u8 = 1;
const READ: u8 = 2;
const CHAIN_INACTIVE: u8 = 3;
/// The header byte of a job.
pub(super) const JOB_HEADER: u8 = TYPE_JOB | WRITE;

/// Size of a command without a value, preamble and checksum included.
const SHORT: usize = 7;
/// Size of a command with a value.
const LONG: usize = 11;

/// Whom a command is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipient {
    /// Every chip of the chain.
    All,
    /// The chips of this address: all of them after a reset, when it is 0.
    One(u8),
}

/// One frame to a chip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The first chip that has none takes this address.
    SetAddress(u8),
    /// A register gets a value.
    Write {
        /// Which chips.
        to: Recipient,
        /// Which register.
        register: Register,
        /// Its new value.
        value: u32,
    },
    /// A register is asked for; each chip meant answers.
    Read {
        /// Which chips.
        to: Recipient,
        /// Which register.
        register: Register,
    },
    /// The chips keep commands to themselves until they have an address.
    ChainInactive,
    /// Work.
    Job(JobFrame),
}

/// Why bytes are no frame to a chip.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Too few or too many bytes for what they begin as.
    #[error("{got} bytes, expected {expected}")]
    Size {
        /// How many there are.
        got: usize,
        /// What would be right.
        expected: &'static str,
    },
    /// The first two bytes.
    #[error("begins with {0:02x?}, expected 55 aa")]
    Preamble([u8; 2]),
    /// A header byte that no command or job has.
    #[error("header {0:#04x} names no known command")]
    Header(u8),
    /// The length byte does not fit the frame.
    #[error("length byte {got:#04x} in a frame of {size} bytes, expected {expected}")]
    Length {
        /// What it says.
        got: u8,
        /// Bytes there are.
        size: usize,
        /// What would be right.
        expected: &'static str,
    },
    /// The checksum.
    #[error("checksum {got:#06x}, expected {expected:#06x}")]
    Crc {
        /// What the frame says.
        got: u16,
        /// What its bytes have.
        expected: u16,
    },
    /// A field that every driver leaves at 0.
    #[error("{field} is {got:#04x}, expected 0")]
    Reserved {
        /// Which field.
        field: &'static str,
        /// What it holds.
        got: u8,
    },
    /// A job with a number of midstates that no chip takes.
    #[error("{0} midstates, expected 1 or 4, or up to 1 with a whole header")]
    Midstates(u8),
}

impl Frame {
    /// Reads one whole frame, from preamble to checksum. Errors: see [`FrameError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, FrameError> {
        let [first, second, header, length, ..] = *bytes else {
            return Err(FrameError::Size { got: bytes.len(), expected: "at least 7" });
        };
        if [first, second] != PREAMBLE {
            return Err(FrameError::Preamble([first, second]));
        }
        if header == JOB_HEADER {
            return JobFrame::parse(bytes).map(Self::Job);
        }
        let to_all = header & ALL_CHIPS != 0;
        let command = header & !ALL_CHIPS;
        let is_write = command == TYPE_COMMAND | WRITE;
        let is_known = is_write
            || command == TYPE_COMMAND | READ
            || header == TYPE_COMMAND | SET_ADDRESS
            || header == TYPE_COMMAND | ALL_CHIPS | CHAIN_INACTIVE;
        if !is_known {
            return Err(FrameError::Header(header));
        }
        let (size, expected) = if is_write { (LONG, "11") } else { (SHORT, "7") };
        if bytes.len() != size {
            return Err(FrameError::Size { got: bytes.len(), expected });
        }
        if usize::from(length) != size - PREAMBLE.len() {
            let expected = if is_write { "0x09" } else { "0x05" };
            return Err(FrameError::Length { got: length, size, expected });
        }
        let (got, sum) = (bytes[size - 1], crc5(&bytes[offset::HEADER..size - 1]));
        if got != sum {
            return Err(FrameError::Crc { got: got.into(), expected: sum.into() });
        }
        let address = bytes[offset::ADDRESS];
        let second = bytes[offset::REGISTER];
        let to = if to_all { Recipient::All } else { Recipient::One(address) };
        if to_all && address != 0 {
            return Err(FrameError::Reserved {
                field: "the address of a command to all chips",
                got: address,
            });
        }
        let has_register = is_write || command == TYPE_COMMAND | READ;
        if !has_register && second != 0 {
            return Err(FrameError::Reserved { field: "the byte before the checksum", got: second });
        }
        let register = Register(second);
        Ok(match (has_register, is_write, to) {
            (true, true, to) => Self::Write { to, register, value: be32(&bytes[offset::VALUE]) },
            (true, false, to) => Self::Read { to, register },
            (false, _, Recipient::All) => Self::ChainInactive,
            (false, _, Recipient::One(address)) => Self::SetAddress(address),
        })
    }

    /// The bytes for the wire, from preamble to checksum.
    pub fn emit(&self) -> Vec<u8> {
        match self {
            Self::SetAddress(address) => command(SET_ADDRESS, Recipient::One(*address), 0, None),
            Self::Write { to, register, value } => command(WRITE, *to, register.0, Some(*value)),
            Self::Read { to, register } => command(READ, *to, register.0, None),
            Self::ChainInactive => command(CHAIN_INACTIVE, Recipient::All, 0, None),
            Self::Job(job) => job.emit(),
        }
    }
}

fn command(command: u8, to: Recipient, second: u8, value: Option<u32>) -> Vec<u8> {
    let (all, address) = match to {
        Recipient::All => (ALL_CHIPS, 0),
        Recipient::One(address) => (0, address),
    };
    let size = if value.is_some() { LONG } else { SHORT };
    let mut bytes = Vec::with_capacity(size);
    bytes.extend(PREAMBLE);
    bytes.extend([TYPE_COMMAND | all | command, (size - PREAMBLE.len()) as u8, address, second]);
    bytes.extend(value.into_iter().flat_map(u32::to_be_bytes));
    bytes.push(crc5(&bytes[offset::HEADER..]));
    bytes
}

/// A number of four bytes, the highest first.
pub(super) fn be32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all chips"),
            Self::One(address) => write!(f, "chip {address:#04x}"),
        }
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetAddress(address) => write!(f, "set address {address:#04x}"),
            Self::Write { to, register, value } => write!(f, "write {register} = {value:08x} to {to}"),
            Self::Read { to, register } => write!(f, "read {register} of {to}"),
            Self::ChainInactive => f.write_str("chain inactive"),
            Self::Job(JobFrame::Header(HeaderJob { job_byte, version, ntime, nbits, .. })) => {
                write!(
                    f,
                    "job {job_byte:#04x}: header, version {version:08x}, ntime {ntime:08x}, nbits {nbits:08x}"
                )
            }
            Self::Job(JobFrame::Midstates(MidstateJob { job_byte, midstates, ntime, nbits, .. })) => {
                let count = midstates.len();
                write!(f, "job {job_byte:#04x}: {count} midstates, ntime {ntime:08x}, nbits {nbits:08x}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Frame, FrameError> {
        Frame::parse(&hex::decode(text.replace(' ', "")).unwrap())
    }

    #[test]
    fn each_mistake_in_a_command_is_named_with_its_value() {
        for (text, said) in [
            ("55 AA", "2 bytes, expected at least 7"),
            ("AA 55 52 05 00 00 0A", "begins with [aa, 55], expected 55 aa"),
            ("55 AA 54 05 00 00 0A", "header 0x54 names no known command"),
            ("55 AA 50 05 00 00 0A", "header 0x50 names no known command"),
            ("55 AA 52 05 00 0A", "6 bytes, expected 7"),
            ("55 AA 51 09 00 A4 90 00 FF 1C", "10 bytes, expected 11"),
            ("55 AA 52 09 00 00 0A", "length byte 0x09 in a frame of 7 bytes, expected 0x05"),
            ("55 AA 52 05 00 00 0B", "checksum 0x000b, expected 0x000a"),
            ("55 AA 52 05 40 00 1A", "checksum 0x001a, expected 0x000c"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), said, "{text}");
        }
    }

    #[test]
    fn what_no_driver_sends_is_refused_even_with_a_right_checksum() {
        let reserved = |header: u8, address: u8, second: u8| {
            let mut bytes = vec![0x55, 0xaa, header, 5, address, second];
            bytes.push(crc5(&bytes[2..]));
            Frame::parse(&bytes).unwrap_err()
        };
        assert!(matches!(reserved(0x52, 0x40, 0), FrameError::Reserved { got: 0x40, .. }));
        assert!(matches!(reserved(0x53, 0, 7), FrameError::Reserved { got: 7, .. }));
        assert!(matches!(reserved(0x40, 8, 1), FrameError::Reserved { got: 1, .. }));
    }

    #[test]
    fn a_frame_reads_as_a_sentence() {
        for (text, said) in [
            ("55 AA 52 05 00 00 0A", "read CHIP_ID (0x00) of all chips"),
            ("55 AA 53 05 00 00 03", "chain inactive"),
            ("55 AA 40 05 40 00 1A", "set address 0x40"),
            ("55 AA 41 09 40 18 00 00 7A 31 11", "write MISC_CONTROL (0x18) = 00007a31 to chip 0x40"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), said);
        }
    }

    fn recipient() -> impl Strategy<Value = Recipient> {
        prop_oneof![Just(Recipient::All), any::<u8>().prop_map(Recipient::One)]
    }

    proptest! {
        #[test]
        fn every_command_comes_back_from_its_bytes(
            to in recipient(), register: u8, value: u32, address: u8
        ) {
            let register = Register(register);
            let write = Frame::Write { to, register, value };
            for frame in [Frame::SetAddress(address), write, Frame::Read { to, register }, Frame::ChainInactive] {
                prop_assert_eq!(Frame::parse(&frame.emit()).unwrap(), frame);
            }
        }

        #[test]
        fn no_bytes_make_it_panic_and_what_it_takes_it_gives_back(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..160), header in 0x3fu8..0x55, mend: bool
        ) {
            if mend && bytes.len() > 4 {
                bytes[..3].copy_from_slice(&[0x55, 0xaa, header]);
                bytes.truncate(if header & 3 == 1 { LONG } else { SHORT });
                bytes[3] = (bytes.len() - 2) as u8;
                let end = bytes.len() - 1;
                bytes[end] = crc5(&bytes[2..end]);
            }
            if let Ok(frame) = Frame::parse(&bytes) {
                prop_assert_eq!(frame.emit(), bytes);
            }
        }
    }
}
