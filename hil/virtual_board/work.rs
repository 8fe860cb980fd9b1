//! Jobs as a chip has them after their frame is taken apart, and solved headers that can be played back.

use bitcoin::hashes::{HashEngine, sha256};

use super::kinds::Form;

/// One job in a chip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Work {
    /// 0 to 31, as answers carry it.
    pub(super) number: u8,
    pub(super) start_nonce: u32,
    pub(super) first_part: FirstPart,
    /// Header bytes 64 to 75: the end of the merkle root, ntime, nbits.
    pub(super) tail: [u8; 12],
}

/// The first 64 bytes of a header, in one form or the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FirstPart {
    /// The chip puts the version in.
    Bytes([u8; 64]),
    /// One to four SHA-256 states after these bytes, words h0 to h7 big-endian; their versions are the host's business.
    Midstates(Vec<[u8; 32]>),
}

impl Work {
    /// Takes apart what stands in a job frame between its length and its CRC: 82 bytes of the header form, 18 + 32 n of
    /// the midstate form. Shape of both: job byte, count, start nonce 4, nbits 4, ntime 4. Then of a header: merkle root
    /// 32, previous hash 32, each as eight words in reverse order, and version 4; of midstates: merkle tail 4, midstates.
    pub(super) fn from_frame(form: Form, bytes: &[u8]) -> Self {
        let (tail, first_part, number) = match form {
            Form::Header => {
                let (merkle, previous) = (words_reversed(&bytes[14..46]), words_reversed(&bytes[46..78]));
                let mut first = [0; 64];
                first[..4].copy_from_slice(&bytes[78..82]);
                first[4..36].copy_from_slice(&previous);
                first[36..].copy_from_slice(&merkle[..28]);
                (merkle[28..].to_vec(), FirstPart::Bytes(first), bytes[0] >> 3)
            }
            Form::Midstates => {
                let midstates = bytes[18..].chunks_exact(32).map(words_reversed).collect();
                (bytes[14..18].to_vec(), FirstPart::Midstates(midstates), bytes[0] >> 2 & 31)
            }
        };
        let parts = [&tail[..], &bytes[10..14], &bytes[6..10]].concat();
        Self {
            number,
            start_nonce: u32::from_be_bytes(bytes[2..6].try_into().expect("four bytes")),
            first_part,
            tail: parts.try_into().expect("three times four bytes"),
        }
    }

    /// The midstate that small core `small_core` starts from when it tries the version bits `version`.
    pub(super) fn midstate(&self, small_core: usize, version: u16) -> [u8; 32] {
        match &self.first_part {
            FirstPart::Bytes(first) => midstate_of(&with_version(*first, version)),
            FirstPart::Midstates(midstates) => midstates[small_core % midstates.len()],
        }
    }

    /// Small core and version bits with which this job leads to `solved`, if they do.
    pub(super) fn leads_to(&self, solved: &SolvedHeader) -> Option<(usize, u16)> {
        if self.tail != solved.tail {
            return None;
        }
        match (&self.first_part, &solved.first_part) {
            (FirstPart::Bytes(ours), SolvedPart::Bytes(theirs)) => {
                let version = version_bits(ours) ^ version_bits(theirs);
                (with_version(*ours, version) == *theirs).then_some((0, version))
            }
            (FirstPart::Bytes(_), SolvedPart::Midstate(_)) => None,
            (FirstPart::Midstates(midstates), solved) => {
                let wanted = match solved {
                    SolvedPart::Bytes(first) => midstate_of(first),
                    SolvedPart::Midstate(midstate) => *midstate,
                };
                midstates.iter().position(|midstate| *midstate == wanted).map(|at| (at, 0))
            }
        }
    }
}

/// A header whose nonce is known: captured from a real chip, or taken from the block chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SolvedHeader {
    first_part: SolvedPart,
    tail: [u8; 12],
    pub(super) nonce: [u8; 4],
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum SolvedPart {
    Bytes([u8; 64]),
    Midstate([u8; 32]),
}

impl SolvedHeader {
    /// From the 80 bytes of a header, as they are hashed.
    pub fn from_header(header: &[u8; 80]) -> Self {
        Self {
            first_part: SolvedPart::Bytes(header[..64].try_into().expect("64 of 80 bytes")),
            tail: header[64..76].try_into().expect("12 of 80 bytes"),
            nonce: header[76..].try_into().expect("4 of 80 bytes"),
        }
    }

    /// From the SHA-256 state after 64 bytes (words h0 to h7, big-endian) and the 16 bytes that follow.
    pub fn from_midstate(midstate: [u8; 32], rest: &[u8; 16]) -> Self {
        Self {
            first_part: SolvedPart::Midstate(midstate),
            tail: rest[..12].try_into().expect("12 of 16 bytes"),
            nonce: rest[12..].try_into().expect("4 of 16 bytes"),
        }
    }
}

/// Bits 28 to 13 of the version at the start of a header.
fn version_bits(first: &[u8; 64]) -> u16 {
    let version = u32::from_le_bytes(first[..4].try_into().expect("four of 64 bytes"));
    (version >> 13) as u16
}

/// The chip ORs its counter into bits 28 to 13.
fn with_version(mut first: [u8; 64], bits: u16) -> [u8; 64] {
    let base = u32::from_le_bytes(first[..4].try_into().expect("four of 64 bytes"));
    first[..4].copy_from_slice(&(base | u32::from(bits) << 13).to_le_bytes());
    first
}

fn midstate_of(first: &[u8; 64]) -> [u8; 32] {
    let mut engine = sha256::HashEngine::default();
    engine.input(first);
    engine.midstate().to_byte_array()
}

/// 32 bytes as eight words in reverse order, the bytes inside a word kept.
pub(super) fn words_reversed(bytes: &[u8]) -> [u8; 32] {
    let words: Vec<u8> = bytes.rchunks_exact(4).flatten().copied().collect();
    words.try_into().expect("32 bytes in, 32 bytes out")
}
