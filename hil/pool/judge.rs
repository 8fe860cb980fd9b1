//! The judge: a submitted share is rebuilt to its header and weighed. Pure; time is in the header.

use std::fmt;

use bitcoin::{
    BlockHash, TxMerkleNode,
    block::{Header, Version},
    hashes::Hash,
    hex::FromHex,
};
use serde::Serialize;

use super::{
    difficulty::Difficulty,
    template::{Template, parent},
};

/// How far a header's time may run ahead of its job's. Source: the fact sheet's advice to miners, 600 s.
const MOST_NTIME_ROLL: u32 = 600;

/// Why a share does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Reject {
    /// A clean job came since, or the job left the list of kept jobs.
    #[error("Stale")]
    Stale,
    /// The same header was accepted before.
    #[error("Duplicate share")]
    Duplicate,
    /// The hash is above the target that was in force when the job was sent.
    #[error("Low difficulty share")]
    LowDifficulty,
    /// A field is missing, of the wrong length or not lower-case hex.
    #[error("Malformed share")]
    Malformed,
    /// No job with this id was sent on this connection.
    #[error("Job not found")]
    UnknownJob,
    /// Version bits outside the mask, or missing though agreed, or present though not agreed.
    #[error("Invalid version bits")]
    BadVersion,
    /// The time lies before the job's or more than 600 s after it.
    #[error("ntime out of range")]
    BadNtime,
    /// The user was not authorized on this connection.
    #[error("Unauthorized worker")]
    Unauthorized,
}

impl Reject {
    /// The code in the answer. Source: Slush Pool's list, as most pools use it.
    pub fn code(self) -> i32 {
        match self {
            Self::Malformed | Self::BadVersion | Self::BadNtime => 20,
            Self::Stale | Self::UnknownJob => 21,
            Self::Duplicate => 22,
            Self::LowDifficulty => 23,
            Self::Unauthorized => 24,
        }
    }

    /// A stale share is bad luck; every other reject is the miner's mistake.
    pub fn is_invalid(self) -> bool {
        self != Self::Stale
    }
}

/// The fields of `mining.submit` after user and job id, as the client wrote them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Submit<'a> {
    pub(crate) extranonce2: &'a str,
    pub(crate) ntime: &'a str,
    pub(crate) nonce: &'a str,
    pub(crate) version_bits: Option<&'a str>,
}

/// All that the judge has to know of the job a share was found for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work<'a> {
    pub(crate) template: &'a Template,
    pub(crate) extranonce1: &'a [u8],
    pub(crate) extranonce2_size: usize,
    /// The version mask agreed when the job was sent.
    pub(crate) mask: Option<u32>,
    /// The difficulty in force when the job was sent.
    pub(crate) difficulty: Difficulty,
}

/// A share that counts; only [`Work::judge`] makes one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Share {
    hash: BlockHash,
    is_block: bool,
}

impl Share {
    pub(crate) fn hash(&self) -> BlockHash {
        self.hash
    }

    pub(crate) fn is_block(&self) -> bool {
        self.is_block
    }
}

impl Work<'_> {
    /// Errors: the first reason found, in the order of the fields, then the target. A hash that meets the network
    /// target is a block and counts whatever the share difficulty was.
    pub(crate) fn judge(&self, submit: Submit<'_>) -> Result<Share, Reject> {
        let hash = self.header(submit)?.block_hash();
        let is_block = self.template.network_target().is_met_by(hash);
        if is_block || self.difficulty.target().is_met_by(hash) {
            Ok(Share { hash, is_block })
        } else {
            Err(Reject::LowDifficulty)
        }
    }

    /// The header that the share stands for. Errors: `Malformed`, `BadNtime`, `BadVersion`.
    pub(crate) fn header(&self, submit: Submit<'_>) -> Result<Header, Reject> {
        let extranonce2 = lower_hex(submit.extranonce2, self.extranonce2_size)?;
        let ntime = number(submit.ntime)?;
        if !(self.template.ntime..=self.template.ntime.saturating_add(MOST_NTIME_ROLL)).contains(&ntime) {
            return Err(Reject::BadNtime);
        }
        let nonce = number(submit.nonce)?;
        let version = self.version(submit.version_bits)?;
        Ok(Header {
            version: Version::from_consensus(version as i32),
            prev_blockhash: self.template.prevhash,
            merkle_root: self.merkle_root(&extranonce2),
            time: ntime,
            bits: self.template.nbits,
            nonce,
        })
    }

    /// BIP 310: inside the mask the client's bits replace the job's.
    fn version(&self, bits: Option<&str>) -> Result<u32, Reject> {
        let job = self.template.version;
        match (self.mask, bits) {
            (None, None) => Ok(job),
            (Some(mask), Some(bits)) => {
                let bits = number(bits).map_err(|_| Reject::BadVersion)?;
                if bits & !mask == 0 { Ok(job & !mask | bits) } else { Err(Reject::BadVersion) }
            }
            (None, Some(_)) | (Some(_), None) => Err(Reject::BadVersion),
        }
    }

    fn merkle_root(&self, extranonce2: &[u8]) -> TxMerkleNode {
        let template = self.template;
        let coinbase = [&template.coinb1, self.extranonce1, extranonce2, &template.coinb2].concat();
        template.branches.iter().fold(TxMerkleNode::hash(&coinbase), |left, &right| parent(left, right))
    }
}

/// Exactly `size` bytes in lower-case hex.
fn lower_hex(text: &str, size: usize) -> Result<Vec<u8>, Reject> {
    let strict = text.len() == 2 * size && !text.bytes().any(|byte| byte.is_ascii_uppercase());
    if strict { Vec::from_hex(text).map_err(|_| Reject::Malformed) } else { Err(Reject::Malformed) }
}

/// Eight lower-case hex digits, most significant first.
pub(super) fn number(text: &str) -> Result<u32, Reject> {
    let bytes = lower_hex(text, 4)?;
    Ok(u32::from_be_bytes(bytes.try_into().expect("lower_hex returned four bytes")))
}

/// What became of a share.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It counts.
    Accepted {
        /// The difficulty of its job: what it is paid for.
        difficulty: Difficulty,
        /// The difficulty that its hash would have met.
        share_difficulty: Difficulty,
        /// It met the network target as well.
        block: bool,
    },
    /// It does not count.
    Rejected {
        /// Why.
        reason: Reject,
    },
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted { difficulty, share_difficulty, block } => {
                let solved = if *block { ", a block" } else { "" };
                write!(f, "accepted at {difficulty}, worth {:.3e}{solved}", share_difficulty.value())
            }
            Self::Rejected { reason } => write!(f, "rejected: {reason}"),
        }
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
