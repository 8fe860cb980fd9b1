//! Work as the devices take it: a midstate and the twelve bytes behind it, and the proof of what comes back.
//!
//! Source: cgminer `driver-icarus.c` and `driver-gekko.c`, bfgminer `driver-icarus.c` and `driver-antminer.c`.

use std::collections::HashSet;

use crate::ChipJob;
use crate::cpu::proof;

/// Bytes of a work.
pub(crate) const SIZE: usize = 64;
/// Where an Antminer's work has its number.
const NUMBER: usize = 51;
/// Numbers of works; they come back in the low bits of the byte behind a nonce.
pub(crate) const NUMBERS: u8 = 32;
/// The rest: the state after the header's first 64 bytes, its words from the last to the first; then header bytes 75 to
/// 64, as it were: nbits, ntime, end of the merkle root, each in the order of the header.
const TAIL: usize = 52;

/// Work that a device has or had.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) job: ChipJob,
    pub(crate) version: u32,
    pub(crate) number: u8,
    midstate: [u32; 8],
    seen: HashSet<u32>,
}

/// A nonce whose hash was computed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Proved {
    pub(crate) nonce: u32,
    pub(crate) is_new: bool,
    /// Whether the job asks for it.
    pub(crate) meets_target: bool,
}

impl Work {
    /// One version of a job.
    pub(crate) fn new(job: ChipJob, version: u32, number: u8) -> Self {
        let mut first = [0; 16];
        first[0] = version.swap_bytes();
        let hashes = job.prev_hash.chunks_exact(4).chain(job.merkle_root.chunks_exact(4));
        for (word, bytes) in first[1..].iter_mut().zip(hashes) {
            *word = u32::from_be_bytes(bytes.try_into().expect("each chunk is four bytes long"));
        }
        Self { midstate: proof::midstate(first), job, version, number, seen: HashSet::new() }
    }

    /// What a device is told.
    pub(crate) fn bytes(&self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        for (out, word) in bytes.chunks_exact_mut(4).zip(self.midstate.iter().rev()) {
            out.copy_from_slice(&word.to_be_bytes());
        }
        bytes[NUMBER] = self.number;
        let [.., a, b, c, d] = self.job.merkle_root;
        for (out, field) in bytes[TAIL..].chunks_exact_mut(4).zip([
            self.job.nbits.to_le_bytes(),
            self.job.ntime.to_le_bytes(),
            [a, b, c, d],
        ]) {
            out.copy_from_slice(&field);
        }
        bytes
    }

    /// Whether a nonce is one of this work. Shape: header bytes 76 to 79; zero bits that every report has.
    pub(crate) fn prove(&mut self, nonce: [u8; 4], zero_bits: u32) -> Option<Proved> {
        let [.., a, b, c, d] = self.job.merkle_root;
        let tail =
            [u32::from_be_bytes([a, b, c, d]), self.job.ntime.swap_bytes(), self.job.nbits.swap_bytes()];
        let nonce = u32::from_le_bytes(nonce);
        let hash = proof::hash(self.midstate, tail, nonce);
        if leading_zeros(&hash) < zero_bits {
            return None;
        }
        let meets_target = proof::meets_target(&hash, &self.job.target);
        Some(Proved { nonce, is_new: self.seen.insert(nonce), meets_target })
    }
}

/// Zero bits at the top of a hash, which comes out with its top byte last.
fn leading_zeros(hash: &[u8; 32]) -> u32 {
    let zeros = hash.iter().rev().take_while(|byte| **byte == 0).count();
    let rest = hash.iter().rev().nth(zeros).map_or(0, |byte| byte.leading_zeros());
    8 * zeros as u32 + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ChipJobId;

    /// Block 125552 of the main chain, whose header is printed in many places.
    fn job() -> ChipJob {
        let bytes = |digits: &str| -> [u8; 32] { hex::decode(digits).unwrap().try_into().unwrap() };
        ChipJob {
            id: ChipJobId(1),
            version: 1,
            prev_hash: bytes("81cd02ab7e569e8bcd9317e2fe99f2de44d49ab2b8851ba4a308000000000000"),
            merkle_root: bytes("e320b6c2fffc8d750423db8b1eb942ae710e951ed797f7affc8892b0f1fc122b"),
            ntime: 0x4dd7_f5c7,
            nbits: 0x1a44_b9f2,
            version_mask: 0,
            target: [0xff; 32],
        }
    }

    #[test]
    fn the_nonce_of_a_real_block_is_proved_once_and_another_never() {
        let mut work = Work::new(job(), 1, 0);
        let nonce = 0x9546_a142_u32.to_le_bytes();
        let expected = Proved { nonce: 0x9546_a142, is_new: true, meets_target: true };
        assert_eq!(work.prove(nonce, 32), Some(expected));
        assert_eq!(work.prove(nonce, 32), Some(Proved { is_new: false, ..expected }));
        assert_eq!(work.prove(0x9546_a143_u32.to_le_bytes(), 32), None);
        assert_eq!(Work::new(job(), 2, 0).prove(nonce, 32), None, "another version");
    }

    #[test]
    fn work_is_laid_out_as_devices_read_it() {
        let bytes = Work::new(job(), 1, 7).bytes();
        assert_eq!(bytes[NUMBER], 7);
        assert!(bytes[32..NUMBER].iter().all(|byte| *byte == 0));
        assert_eq!(hex::encode(&bytes[TAIL..]), "f2b9441ac7f5d74df1fc122b");
        // sha256's state after the first block of this header, its words from the last to the first.
        let state: Vec<_> =
            Work::new(job(), 1, 7).midstate.iter().rev().map(|word| format!("{word:08x}")).collect();
        assert_eq!(hex::encode(&bytes[..32]), state.concat());
    }

    #[test]
    fn zeros_are_counted_from_the_top() {
        let mut hash = [0xff; 32];
        assert_eq!(leading_zeros(&hash), 0);
        hash[31] = 0;
        hash[30] = 0x0f;
        assert_eq!(leading_zeros(&hash), 12);
        assert_eq!(leading_zeros(&[0; 32]), 256);
    }
}
