//! Frames from the chips to the host: bytes to answers and back.
//!
//! Source of the form: mujina `asic/bm13xx/REFERENCE.md`, bm13xx-rs `bm13xx-protocol/src/response.rs`. What the bits of
//! a nonce mean differs by chip, see [`super::chip`].

use super::crc::crc5;
use super::frame::be32;
use super::register::Register;

/// The first two bytes of every answer.
pub const PREAMBLE: [u8; 2] = [0xaa, 0x55];

/// Where what stands in an answer, counted from the preamble. The last byte holds the type and the checksum.
mod at {
    use std::ops::Range;

    /// Of a register answer.
    pub(super) const VALUE: Range<usize> = 2..6;
    pub(super) const CHIP_ADDRESS: usize = 6;
    pub(super) const REGISTER: usize = 7;
    /// Of a nonce.
    pub(super) const NONCE: Range<usize> = 2..6;
    pub(super) const TAG: Range<usize> = 6..8;
    /// Only of a nonce of eleven bytes; a register answer of that size has zeros here.
    pub(super) const VERSION: Range<usize> = 8..10;
}

/// Bits 7 to 5 of the last byte.
const TYPE_BITS: u8 = 0xe0;
const TYPE_REGISTER: u8 = 0x00;
const TYPE_NONCE: u8 = 0x80;

/// How many bytes each answer of a chain has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerSize {
    /// The BM1397 always; others from reset until they are told to roll versions.
    Nine,
    /// Chips that roll versions.
    Eleven,
}

impl AnswerSize {
    /// The number.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Nine => 9,
            Self::Eleven => 11,
        }
    }
}

/// One answer of a chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// A register that was asked for, or the value of a core register that was not.
    Register {
        /// What it holds.
        value: u32,
        /// Address of the chip.
        chip_address: u8,
        /// Which register.
        register: Register,
    },
    /// A nonce, not checked in any way.
    Nonce(RawNonce),
}

/// A nonce as a chip reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RawNonce {
    /// Header bytes 76 to 79.
    pub nonce: [u8; 4],
    /// Sub-core, job number and excess zero bits; see [`super::chip::Layout`].
    pub tag: u16,
    /// Header version bits 28 to 13 as the chip rolled them; `None` in an answer of nine bytes.
    pub version: Option<u16>,
}

/// Why bytes are no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Neither 9 nor 11 bytes.
    #[error("an answer of {0} bytes, expected 9 or 11")]
    Size(usize),
    /// The first two bytes.
    #[error("begins with {0:02x?}, expected aa 55")]
    Preamble([u8; 2]),
    /// The checksum over everything behind the preamble leaves a remainder.
    #[error("checksum leaves {0:#04x}, expected 0")]
    Crc(u8),
    /// Type bits that no answer has.
    #[error("type bits {0:#04x}, expected 0x00 or 0x80")]
    Type(u8),
}

impl Answer {
    /// Reads one answer from preamble to checksum. Errors: see [`AnswerError`].
    ///
    /// The checksum has five bits only: of wrong frames, one in 128 passes it and the type bits. What says whether a
    /// nonce is one is its hash.
    pub fn parse(bytes: &[u8]) -> Result<Self, AnswerError> {
        if ![AnswerSize::Nine, AnswerSize::Eleven].map(AnswerSize::bytes).contains(&bytes.len()) {
            return Err(AnswerError::Size(bytes.len()));
        }
        if bytes[..2] != PREAMBLE {
            return Err(AnswerError::Preamble([bytes[0], bytes[1]]));
        }
        let remainder = crc5(&bytes[PREAMBLE.len()..]);
        if remainder != 0 {
            return Err(AnswerError::Crc(remainder));
        }
        match bytes[bytes.len() - 1] & TYPE_BITS {
            TYPE_REGISTER => Ok(Self::Register {
                value: be32(&bytes[at::VALUE]),
                chip_address: bytes[at::CHIP_ADDRESS],
                register: Register(bytes[at::REGISTER]),
            }),
            TYPE_NONCE => Ok(Self::Nonce(RawNonce {
                nonce: be32(&bytes[at::NONCE]).to_be_bytes(),
                tag: be32(&bytes[at::TAG]) as u16,
                version: (bytes.len() == AnswerSize::Eleven.bytes())
                    .then(|| be32(&bytes[at::VERSION]) as u16),
            })),
            other => Err(AnswerError::Type(other)),
        }
    }

    /// The bytes as a chip sends them. A nonce has the size that its version demands, whatever `size` says.
    pub fn emit(&self, size: AnswerSize) -> Vec<u8> {
        let mut bytes = PREAMBLE.to_vec();
        let kind = match self {
            Self::Register { value, chip_address, register } => {
                bytes.extend(value.to_be_bytes());
                bytes.extend([*chip_address, register.0]);
                bytes.resize(size.bytes() - 1, 0);
                TYPE_REGISTER
            }
            Self::Nonce(RawNonce { nonce, tag, version }) => {
                bytes.extend(nonce);
                bytes.extend(tag.to_be_bytes());
                bytes.extend(version.iter().flat_map(|version| version.to_be_bytes()));
                TYPE_NONCE
            }
        };
        // The five bits that follow the type make the remainder 0: they are the checksum of all bits before them.
        bytes.push(kind);
        let bits = (bytes.len() - PREAMBLE.len()) * 8 - 5;
        let crc = super::crc::crc5_of_bits(&bytes[PREAMBLE.len()..], bits);
        *bytes.last_mut().expect("a byte was just put there") |= crc;
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_answer_comes_back_from_its_bytes(
            value: u32, chip_address: u8, register: u8, nonce: [u8; 4], tag: u16, version: Option<u16>
        ) {
            let register = Answer::Register { value, chip_address, register: Register(register) };
            for size in [AnswerSize::Nine, AnswerSize::Eleven] {
                let bytes = register.emit(size);
                prop_assert_eq!(bytes.len(), size.bytes());
                prop_assert_eq!(Answer::parse(&bytes), Ok(register));
            }
            let nonce = Answer::Nonce(RawNonce { nonce, tag, version });
            prop_assert_eq!(Answer::parse(&nonce.emit(AnswerSize::Nine)), Ok(nonce));
        }

        #[test]
        fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..14), mend: bool) {
            if mend && bytes.len() > 1 {
                bytes[..2].copy_from_slice(&PREAMBLE);
            }
            let _ = Answer::parse(&bytes);
        }

        #[test]
        fn one_flipped_bit_is_never_an_answer(nonce: [u8; 4], tag: u16, version: Option<u16>, bit in 0usize..88) {
            let mut bytes = Answer::Nonce(RawNonce { nonce, tag, version }).emit(AnswerSize::Nine);
            let bit = bit % (bytes.len() * 8);
            bytes[bit / 8] ^= 0x80 >> (bit % 8);
            prop_assert!(Answer::parse(&bytes).is_err());
        }
    }

    #[test]
    fn what_is_wrong_with_an_answer_is_named() {
        let good = hex::decode("aa5513700000000006").unwrap();
        assert_eq!(
            Answer::parse(&good[..8]).unwrap_err().to_string(),
            "an answer of 8 bytes, expected 9 or 11"
        );
        for (index, value, said) in
            [(0, 0x55, "begins with [55, 55], expected aa 55"), (8, 0x07, "checksum leaves 0x05, expected 0")]
        {
            let mut bytes = good.clone();
            bytes[index] = value;
            assert_eq!(Answer::parse(&bytes).unwrap_err().to_string(), said);
        }
        let mut bytes = good;
        bytes[8] = 0x40;
        bytes[8] |= super::super::crc::crc5_of_bits(&bytes[2..], 51);
        assert_eq!(Answer::parse(&bytes), Err(AnswerError::Type(0x40)));
    }
}
