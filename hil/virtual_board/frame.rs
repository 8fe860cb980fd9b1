//! Frames of the chips: bytes to commands, answers to bytes.
//!
//! To the chip `55 aa | header | length | … | crc`, from it `aa 55 | … | crc`. Source: mujina's `REFERENCE.md`, "Frame
//! Format"; ESP-Miner `components/asic`.

use super::{
    crc::{crc5, crc16},
    kinds::Form,
};

/// Whom a command is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    All,
    One(u8),
}

/// What a frame asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    SetAddress(u8),
    Write {
        to: To,
        register: u8,
        value: u32,
    },
    Read {
        to: To,
        register: u8,
    },
    Inactive,
    /// From the job byte up to the CRC: 82 bytes of a header, 50 or 146 of midstates.
    Job(Vec<u8>),
}

/// Why bytes were no command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoCommand {
    /// The checksum is another one.
    #[error("CRC {got:#x}, {expected:#x} would be right")]
    Crc {
        /// As received.
        got: u16,
        /// As computed.
        expected: u16,
    },
    /// A header that no chip knows.
    #[error("header {0:#04x} is no command")]
    Header(u8),
    /// A length that does not go with the header.
    #[error("length {length:#04x} does not go with header {header:#04x}")]
    Length {
        /// As received.
        header: u8,
        /// As received.
        length: u8,
    },
}

/// Cuts what comes in into commands. Holds one frame at most: 152 bytes and what came with it.
#[derive(Debug)]
pub(super) struct Receiver {
    form: Form,
    buffer: Vec<u8>,
}

impl Receiver {
    const PREAMBLE: [u8; 2] = [0x55, 0xaa];

    pub(super) fn new(form: Form) -> Self {
        Self { form, buffer: Vec::new() }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend(bytes);
    }

    pub(super) fn clear(&mut self) {
        self.buffer.clear();
    }

    /// The next command or the next mistake, `None` when more bytes are needed.
    pub(super) fn next(&mut self) -> Option<Result<Command, NoCommand>> {
        self.skip_to_preamble();
        let (&header, &length) = (self.buffer.get(2)?, self.buffer.get(3)?);
        let Some(size) = self.size(header, length) else {
            self.buffer.remove(0);
            let known = matches!(header, 0x40..=0x42 | 0x51..=0x53 | 0x21);
            return Some(Err(if known {
                NoCommand::Length { header, length }
            } else {
                NoCommand::Header(header)
            }));
        };
        let frame = self.buffer.get(..size)?;
        let checked = check(frame).map(|()| command(frame));
        // After a wrong checksum a frame may begin anywhere behind the first byte.
        self.buffer.drain(..if checked.is_ok() { size } else { 1 });
        Some(checked)
    }

    fn skip_to_preamble(&mut self) {
        let starts = |at: &usize| self.buffer[*at..].starts_with(&Self::PREAMBLE);
        let last_may_start = usize::from(self.buffer.last() == Some(&Self::PREAMBLE[0]));
        let start = (0..self.buffer.len()).find(starts).unwrap_or(self.buffer.len() - last_may_start);
        self.buffer.drain(..start);
    }

    /// Bytes of the whole frame. A header job has one size whatever its length byte says: 0x56 (true), 0x36 (factory)
    /// and 0xff (Gekko) are all seen on real machines.
    fn size(&self, header: u8, length: u8) -> Option<usize> {
        match (header, length, self.form) {
            (0x40 | 0x42 | 0x52 | 0x53, 0x05, _) => Some(7),
            (0x41 | 0x51, 0x09, _) => Some(11),
            (0x21, 0x56 | 0x36 | 0xff, Form::Header) => Some(88),
            (0x21, 0x36, Form::Midstates) => Some(56),
            (0x21, 0x96, Form::Midstates) => Some(152),
            _ => None,
        }
    }
}

fn check(frame: &[u8]) -> Result<(), NoCommand> {
    let checksum_bytes = if frame[2] == 0x21 { 2 } else { 1 };
    let (body, checksum) = frame[2..].split_at(frame.len() - 2 - checksum_bytes);
    let (got, expected) = match *checksum {
        [one] => (one.into(), crc5(body, body.len() * 8).into()),
        [high, low] => (u16::from_be_bytes([high, low]), crc16(body)),
        _ => unreachable!("split off as one byte or two"),
    };
    if got == expected { Ok(()) } else { Err(NoCommand::Crc { got, expected }) }
}

/// `frame` is one of the sizes of `Receiver::size`.
fn command(frame: &[u8]) -> Command {
    let to = if frame[2] & 0x10 != 0 { To::All } else { To::One(frame[4]) };
    match frame[2] & 0x0f {
        _ if frame[2] == 0x21 => Command::Job(frame[4..frame.len() - 2].to_vec()),
        0 => Command::SetAddress(frame[4]),
        1 => {
            let value = u32::from_be_bytes(frame[6..10].try_into().expect("four of eleven bytes"));
            Command::Write { to, register: frame[5], value }
        }
        2 => Command::Read { to, register: frame[5] },
        _ => Command::Inactive,
    }
}

/// What the highest three bits of an answer's last byte tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnswerType {
    Register = 0,
    Nonce = 4,
}

/// A frame of 9 bytes for 6 of content, of 11 for 8.
pub(super) fn answer(kind: AnswerType, content: &[u8]) -> Vec<u8> {
    let mut frame = vec![0xaa, 0x55];
    frame.extend(content);
    frame.push((kind as u8) << 5);
    let checksum = crc5(&frame[2..], content.len() * 8 + 3);
    *frame.last_mut().expect("pushed above") |= checksum;
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ_ID: [u8; 7] = [0x55, 0xaa, 0x52, 0x05, 0x00, 0x00, 0x0a];
    const IDS: Command = Command::Read { to: To::All, register: 0 };

    fn received(bytes: &[u8]) -> Vec<Result<Command, NoCommand>> {
        let mut receiver = Receiver::new(Form::Header);
        receiver.push(bytes);
        std::iter::from_fn(|| receiver.next()).collect()
    }

    #[test]
    fn a_command_is_found_between_noise_and_byte_by_byte() {
        let mut bytes = vec![0x00, 0x55, 0x55, 0xaa, 0x17];
        bytes.extend(READ_ID);
        assert_eq!(received(&bytes).last(), Some(&Ok(IDS)));
        let mut receiver = Receiver::new(Form::Header);
        for byte in &READ_ID[..6] {
            receiver.push(&[*byte]);
            assert_eq!(receiver.next(), None);
        }
        receiver.push(&READ_ID[6..]);
        assert_eq!(receiver.next(), Some(Ok(IDS)));
    }

    #[test]
    fn a_wrong_bit_voids_a_frame_and_not_the_next_one() {
        for bit in 32..READ_ID.len() * 8 {
            let mut bytes = READ_ID.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            bytes.extend(READ_ID);
            let received = received(&bytes);
            assert!(matches!(received[0], Err(NoCommand::Crc { .. })), "bit {bit}: {received:?}");
            assert_eq!(received[1..], [Ok(IDS)], "bit {bit}");
        }
    }

    #[test]
    fn answers_equal_captured_ones() {
        let id = answer(AnswerType::Register, &[0x13, 0x97, 0x18, 0, 0, 0]);
        assert_eq!(id, [0xaa, 0x55, 0x13, 0x97, 0x18, 0, 0, 0, 0x06]);
        let nonce = answer(AnswerType::Nonce, &[0x4c, 0x03, 0x52, 0x75, 0x0c, 0xd2, 0x05, 0xa2]);
        assert_eq!(nonce, [0xaa, 0x55, 0x4c, 0x03, 0x52, 0x75, 0x0c, 0xd2, 0x05, 0xa2, 0x9c]);
    }
}
