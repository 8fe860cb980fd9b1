//! What an upstream asks us to hash.

use std::fmt;

use sha2::{Digest, Sha256};

use super::extranonce::WorkDigest;
use super::{Coinbase, Difficulty, Target, VersionMask, merkle};

/// A pool's name for a job: opaque, sent back as it came. (Some proxies pass numbers on as numbers.)
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum JobId {
    /// A JSON string.
    Text(Box<str>),
    /// A JSON number, its digits.
    Number(Box<str>),
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(id) | Self::Number(id) => f.write_str(id),
        }
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobId({:?})", self.to_string())
    }
}

/// Age class of a job at its upstream. A share of a lower epoch than the newest job's is stale; one of a lower
/// session cannot be sent at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Epoch {
    /// Grows with each connection that did not resume the one before.
    pub session: u64,
    /// Grows with each clean job and each change of the previous hash.
    pub tip: u64,
}

/// The header fields that a job fixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobHeader {
    /// Block version before any rolling.
    pub version: u32,
    /// Hash of the previous block, header order.
    pub prev_hash: [u8; 32],
    /// Seconds since 1970; the earliest that a share may carry.
    pub ntime: u32,
    /// Compact network target.
    pub nbits: u32,
}

/// A job with all that was in force when it was built: difficulty, extranonce1 and mask never change under it.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// The upstream's name for it.
    pub id: JobId,
    /// Its age class.
    pub epoch: Epoch,
    /// Its header fields.
    pub header: JobHeader,
    /// Its coinbase around our extranonce2.
    pub coinbase: Coinbase,
    /// Merkle branch from the coinbase to the root, header order, at most 32 entries.
    pub branch: Box<[[u8; 32]]>,
    /// Version bits we may roll.
    pub version_mask: VersionMask,
    /// Share difficulty.
    pub difficulty: Difficulty,
    /// What a block must meet; `None` when nbits stand for no target.
    pub network_target: Option<Target>,
}

impl Job {
    /// Merkle root for one extranonce2, header order.
    pub fn merkle_root(&self, extranonce2: &super::Extranonce2) -> [u8; 32] {
        merkle::fold(self.coinbase.hash(extranonce2), &self.branch)
    }

    /// Digest of everything a header takes from this job, for one ntime. Jobs of equal digest make equal headers.
    pub fn digest(&self, ntime: u32) -> WorkDigest {
        let mut hash = Sha256::new();
        // Bits that any mask may roll tell no two jobs apart: a board on either of them may try the other's headers.
        let fixed = !VersionMask::new(u32::MAX).bits();
        hash.update((self.header.version & fixed).to_le_bytes());
        hash.update(self.header.prev_hash);
        hash.update(ntime.to_le_bytes());
        hash.update(self.header.nbits.to_le_bytes());
        hash.update([self.coinbase.extranonce2_size.bytes() as u8]);
        for part in [&self.coinbase.coinb1, self.coinbase.extranonce1.as_bytes(), &self.coinbase.coinb2] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        self.branch.iter().for_each(|entry| hash.update(entry));
        hash.finalize().into()
    }
}
