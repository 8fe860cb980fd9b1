//! Jobs on the wire: whole headers from the BM1362 on, midstates for the BM1397.
//!
//! Sources: ESP-Miner `components/asic/bm1370.c` and `bm1397.c`, mujina `asic/bm13xx/protocol.rs`, and captures of both.

use super::crc::crc16;
use super::frame::{FrameError, JOB_HEADER, PREAMBLE, be32, offset};
use crate::cpu::proof;

/// Where what stands in a job, counted from the preamble.
mod at {
    use std::ops::Range;

    pub(super) const JOB_BYTE: usize = 4;
    pub(super) const MIDSTATES: usize = 5;
    pub(super) const START_NONCE: Range<usize> = 6..10;
    pub(super) const NBITS: Range<usize> = 10..14;
    pub(super) const NTIME: Range<usize> = 14..18;
    /// Header form: header bytes 36 to 67, the order of its words reversed.
    pub(super) const MERKLE_ROOT: Range<usize> = 18..50;
    /// Header form: header bytes 4 to 35, the order of its words reversed.
    pub(super) const PREV_HASH: Range<usize> = 50..82;
    pub(super) const VERSION: Range<usize> = 82..86;
    /// Midstate form: header bytes 64 to 67.
    pub(super) const MERKLE_TAIL: Range<usize> = 18..22;
    /// Midstate form: the first midstate; the others follow.
    pub(super) const FIRST_MIDSTATE: usize = 22;
}

/// Bytes of a midstate.
const MIDSTATE: usize = 32;
/// Bytes of the checksum.
const CRC: usize = 2;
/// Size of a job in header form.
pub const HEADER_JOB: usize = 88;
/// Most midstates in a job.
pub const MOST_MIDSTATES: usize = 4;

/// Value of the length byte. Three are seen with jobs in header form on real machines, and the chips take all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LengthByte {
    /// Bytes behind the preamble, checksum included. What ESP-Miner, mujina and we send.
    True,
    /// 0x36 whatever the size: Bitmain's own firmware, cgminer for Gekko's BM1362.
    Factory,
    /// 0xff: cgminer for Gekko's BM1370.
    Gekko,
}

impl LengthByte {
    fn emit(self, size: usize) -> u8 {
        match self {
            Self::True => (size - PREAMBLE.len()) as u8,
            Self::Factory => 0x36,
            Self::Gekko => 0xff,
        }
    }

    fn parse(got: u8, size: usize) -> Result<Self, FrameError> {
        let known = [Self::True, Self::Factory, Self::Gekko];
        let known = if size == HEADER_JOB { &known[..] } else { &known[..1] };
        known.iter().copied().find(|length| length.emit(size) == got).ok_or(FrameError::Length {
            got,
            size,
            expected: if size == HEADER_JOB { "0x56, 0x36 or 0xff" } else { "the size less 2" },
        })
    }
}

/// Work for a chip, in one of its two forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobFrame {
    /// For chips that compute midstates themselves.
    Header(HeaderJob),
    /// For the BM1397.
    Midstates(MidstateJob),
}

/// A whole header without its nonce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderJob {
    /// Comes back with a nonce, shifted by chip.
    pub job_byte: u8,
    /// 1; cgminer for Gekko's BM1370 sends 0.
    pub midstates: u8,
    /// Nonce to begin with, in header order.
    pub start_nonce: [u8; 4],
    /// Compact target.
    pub nbits: u32,
    /// Time.
    pub ntime: u32,
    /// Merkle root in header order.
    pub merkle_root: [u8; 32],
    /// Hash of the previous block in header order.
    pub prev_hash: [u8; 32],
    /// Version with the bits to be rolled at 0.
    pub version: u32,
    /// Which length byte it carries.
    pub length: LengthByte,
}

/// The end of a header and SHA-256 states after its first 64 bytes, one for each version to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MidstateJob {
    /// Comes back with a nonce; its two low bits name the midstate then.
    pub job_byte: u8,
    /// Nonce to begin with, in header order.
    pub start_nonce: [u8; 4],
    /// Compact target.
    pub nbits: u32,
    /// Time.
    pub ntime: u32,
    /// Header bytes 64 to 67.
    pub merkle_tail: [u8; 4],
    /// One or four states, words h0 to h7.
    pub midstates: Vec<[u32; 8]>,
}

impl JobFrame {
    /// Reads a job from preamble to checksum. The form follows from the size and the number of midstates, for the length
    /// byte says nothing. Errors: `Size`, `Length`, `Crc`, `Midstates`.
    pub fn parse(bytes: &[u8]) -> Result<Self, FrameError> {
        let size = bytes.len();
        let one = midstate_job_size(1);
        let four = midstate_job_size(MOST_MIDSTATES);
        if ![one, HEADER_JOB, four].contains(&size) {
            return Err(FrameError::Size { got: size, expected: "56, 88 or 152 for a job" });
        }
        let end = size - CRC;
        let (got, sum) =
            (u16::from_be_bytes([bytes[end], bytes[end + 1]]), crc16(&bytes[offset::HEADER..end]));
        if got != sum {
            return Err(FrameError::Crc { got, expected: sum });
        }
        let length = LengthByte::parse(bytes[offset::LENGTH], size)?;
        let midstates = bytes[at::MIDSTATES];
        let job_byte = bytes[at::JOB_BYTE];
        let start_nonce = array(&bytes[at::START_NONCE]);
        let (nbits, ntime) = (le32(&bytes[at::NBITS]), le32(&bytes[at::NTIME]));
        if size == HEADER_JOB {
            if midstates > 1 {
                return Err(FrameError::Midstates(midstates));
            }
            return Ok(Self::Header(HeaderJob {
                job_byte,
                midstates,
                start_nonce,
                nbits,
                ntime,
                merkle_root: words_reversed(&array(&bytes[at::MERKLE_ROOT])),
                prev_hash: words_reversed(&array(&bytes[at::PREV_HASH])),
                version: le32(&bytes[at::VERSION]),
                length,
            }));
        }
        if midstate_job_size(midstates.into()) != size {
            return Err(FrameError::Midstates(midstates));
        }
        let states = bytes[at::FIRST_MIDSTATE..end].chunks_exact(MIDSTATE);
        Ok(Self::Midstates(MidstateJob {
            job_byte,
            start_nonce,
            nbits,
            ntime,
            merkle_tail: array(&bytes[at::MERKLE_TAIL]),
            midstates: states.map(midstate_from_wire).collect(),
        }))
    }

    /// The bytes for the wire, from preamble to checksum.
    pub fn emit(&self) -> Vec<u8> {
        let (size, length, job_byte, count) = match self {
            Self::Header(job) => (HEADER_JOB, job.length, job.job_byte, job.midstates),
            Self::Midstates(job) => {
                let count = job.midstates.len();
                (midstate_job_size(count), LengthByte::True, job.job_byte, count as u8)
            }
        };
        let mut bytes = Vec::with_capacity(size);
        bytes.extend(PREAMBLE);
        bytes.extend([JOB_HEADER, length.emit(size), job_byte, count]);
        match self {
            Self::Header(job) => {
                bytes.extend(job.start_nonce);
                bytes.extend(job.nbits.to_le_bytes());
                bytes.extend(job.ntime.to_le_bytes());
                bytes.extend(words_reversed(&job.merkle_root));
                bytes.extend(words_reversed(&job.prev_hash));
                bytes.extend(job.version.to_le_bytes());
            }
            Self::Midstates(job) => {
                bytes.extend(job.start_nonce);
                bytes.extend(job.nbits.to_le_bytes());
                bytes.extend(job.ntime.to_le_bytes());
                bytes.extend(job.merkle_tail);
                let words = job.midstates.iter().flat_map(|state| state.iter().rev());
                bytes.extend(words.flat_map(|word| word.to_be_bytes()));
            }
        }
        bytes.extend(crc16(&bytes[offset::HEADER..]).to_be_bytes());
        bytes
    }
}

impl MidstateJob {
    /// Double SHA-256 of the header that a nonce was found for. Shape: `nonce` in header order; the hash as it comes
    /// out, `None` when the job has no such midstate.
    pub fn hash(&self, midstate: usize, nonce: [u8; 4]) -> Option<[u8; 32]> {
        let tail = [be32(&self.merkle_tail), self.ntime.swap_bytes(), self.nbits.swap_bytes()];
        Some(proof::hash(*self.midstates.get(midstate)?, tail, u32::from_le_bytes(nonce)))
    }
}

/// Size of the job in midstate form that these bytes begin with, as its number of midstates has it.
pub(super) fn size_with_midstates(bytes: &[u8]) -> usize {
    midstate_job_size(bytes.get(at::MIDSTATES).copied().map_or(1, usize::from))
}

/// Size of a job with so many midstates.
fn midstate_job_size(midstates: usize) -> usize {
    at::FIRST_MIDSTATE + midstates * MIDSTATE + CRC
}

/// Words h7 to h0 as they go over the wire, each with its highest byte first, to h0 to h7.
fn midstate_from_wire(bytes: &[u8]) -> [u32; 8] {
    let mut words = bytes.rchunks_exact(4).map(be32);
    std::array::from_fn(|_| words.next().unwrap_or_default())
}

/// Eight words in the reverse order, the bytes in each as they were.
fn words_reversed(bytes: &[u8; 32]) -> [u8; 32] {
    let mut reversed = [0; 32];
    for (to, from) in reversed.chunks_exact_mut(4).zip(bytes.rchunks_exact(4)) {
        to.copy_from_slice(from);
    }
    reversed
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("the table of offsets gives each field its size")
}

fn le32(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(array(bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lengths() -> impl Strategy<Value = LengthByte> {
        prop_oneof![Just(LengthByte::True), Just(LengthByte::Factory), Just(LengthByte::Gekko)]
    }

    proptest! {
        #[test]
        fn every_job_comes_back_from_its_bytes(
            job_byte: u8, start_nonce: [u8; 4], merkle_root: [u8; 32], prev_hash: [u8; 32], merkle_tail: [u8; 4],
            [nbits, ntime, version] in any::<[u32; 3]>(), midstates in 0u8..2, length in lengths(),
            states in any::<[[u32; 8]; 4]>()
        ) {
            let header = JobFrame::Header(HeaderJob {
                job_byte, midstates, start_nonce, nbits, ntime, merkle_root, prev_hash, version, length,
            });
            let bytes = header.emit();
            prop_assert_eq!(bytes.len(), HEADER_JOB);
            prop_assert_eq!(JobFrame::parse(&bytes), Ok(header));
            for count in [1, 4] {
                let job = JobFrame::Midstates(MidstateJob {
                    job_byte, start_nonce, nbits, ntime, merkle_tail, midstates: states[..count].to_vec(),
                });
                let bytes = job.emit();
                prop_assert_eq!(bytes.len(), [56, 152][count / 4]);
                prop_assert_eq!(JobFrame::parse(&bytes), Ok(job));
            }
        }

        #[test]
        fn no_bytes_make_it_panic(
            mut bytes in proptest::collection::vec(any::<u8>(), 152), size in 0usize..153, mend: bool
        ) {
            let size = if mend { [56, 88, 152][size % 3] } else { size };
            bytes.truncate(size);
            if mend {
                let crc = crc16(&bytes[2..size - 2]).to_be_bytes();
                bytes[size - 2..].copy_from_slice(&crc);
            }
            let _ = JobFrame::parse(&bytes);
        }
    }

    #[test]
    fn a_job_of_a_wrong_size_length_checksum_or_number_of_midstates_is_refused_by_name() {
        let job = JobFrame::Midstates(MidstateJob {
            job_byte: 4,
            start_nonce: [0; 4],
            nbits: 0,
            ntime: 0,
            merkle_tail: [0; 4],
            midstates: vec![[0; 8]],
        });
        let good = job.emit();
        let spoilt = |index: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[index] = value;
            let crc = crc16(&bytes[2..54]).to_be_bytes();
            bytes[54..].copy_from_slice(&crc);
            JobFrame::parse(&bytes).unwrap_err().to_string()
        };
        assert_eq!(spoilt(3, 0x56), "length byte 0x56 in a frame of 56 bytes, expected the size less 2");
        assert_eq!(spoilt(5, 2), "2 midstates, expected 1 or 4, or up to 1 with a whole header");
        let mut flipped = good.clone();
        flipped[20] ^= 1;
        assert!(matches!(JobFrame::parse(&flipped), Err(FrameError::Crc { .. })));
        assert!(matches!(JobFrame::parse(&good[..55]), Err(FrameError::Size { got: 55, .. })));
    }
}
