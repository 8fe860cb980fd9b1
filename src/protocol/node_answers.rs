//! What Bitcoin Core says of its chain and its network, checked. Shapes are those of `rpc/blockchain.cpp` and
//! `rpc/net.cpp` of Bitcoin Core 29 to 31; fields that are not read may be anything.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use super::text::printable;
use crate::work::BlockHash;

mod field;
mod verdict;

pub use field::AnswerError;
use field::{block_hash, boolean, hex_bytes, integer, text};
pub use verdict::{Doubt, Proposal, Verdict};

/// Most characters of an error shown.
const MAX_TEXT: usize = 300;
/// Most characters kept of a chain's name.
const MAX_CHAIN: usize = 20;
/// Most entries of a list that are read.
const MAX_ENTRIES: usize = 32;
/// Most ends of branches that are read, the highest first: years of stale blocks are a few hundred.
const MAX_CHAIN_TIPS: usize = 2048;
/// Heights that a block can have; the node counts in 31 bits. Source: Bitcoin Core `chain.h`, `nHeight`.
const HEIGHTS: std::ops::RangeInclusive<i64> = 0..=i32::MAX as i64;
/// Times that a header can name. Unit: seconds since 1970.
const TIMES: std::ops::RangeInclusive<i64> = 0..=u32::MAX as i64;

/// All work in a chain: the hashes that it takes on average to make it. Compares as the number that it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChainWork([u8; 32]);

impl ChainWork {
    /// Shape: 32 bytes, big-endian, as `chainwork` is shown.
    pub fn from_be_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for ChainWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ChainWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChainWork({self})")
    }
}

/// The answer to getblockchaininfo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainInfo {
    /// `main`, `test`, `testnet4`, `signet` or `regtest`, or what the node calls a chain of its own; printable.
    pub chain: String,
    /// Height of the tip.
    pub blocks: u32,
    /// Height of the best header, whose block may be missing.
    pub headers: u32,
    /// The tip.
    pub best_block: BlockHash,
    /// Of the chain up to the tip.
    pub chainwork: ChainWork,
    /// Whether the node thinks that it has yet to catch up. Test networks give templates all the same.
    pub initial_download: bool,
}

/// The fields of it, nothing checked.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ChainInfoAnswer {
    chain: Value,
    blocks: Value,
    headers: Value,
    bestblockhash: Value,
    chainwork: Value,
    initialblockdownload: Value,
}

impl ChainInfo {
    /// Errors: no object, a field that is missing or wrong.
    pub fn parse(answer: &str) -> Result<Self, AnswerError> {
        let answer: ChainInfoAnswer = object("getblockchaininfo", answer)?;
        Ok(Self {
            chain: printable(text("chain", &answer.chain)?, MAX_CHAIN),
            blocks: integer("blocks", &answer.blocks, HEIGHTS)? as u32,
            headers: integer("headers", &answer.headers, HEIGHTS)? as u32,
            best_block: block_hash("bestblockhash", &answer.bestblockhash)?,
            chainwork: ChainWork(hex_bytes("chainwork", &answer.chainwork)?),
            initial_download: boolean("initialblockdownload", &answer.initialblockdownload)?,
        })
    }
}

/// The answer to getblockheader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderInfo {
    /// Whose header it is.
    pub hash: BlockHash,
    /// Blocks on top of it and itself; -1 outside the active chain.
    pub confirmations: i64,
    /// Its height.
    pub height: u32,
    /// Median of the last eleven times up to it, seconds since 1970.
    pub median_time: u32,
    /// Its compact target.
    pub nbits: u32,
}

/// The fields of it, nothing checked.
#[derive(Default, Deserialize)]
#[serde(default)]
struct HeaderAnswer {
    hash: Value,
    confirmations: Value,
    height: Value,
    mediantime: Value,
    bits: Value,
}

impl HeaderInfo {
    /// Errors: no object, a field that is missing or wrong.
    pub fn parse(answer: &str) -> Result<Self, AnswerError> {
        let answer: HeaderAnswer = object("getblockheader", answer)?;
        Ok(Self {
            hash: block_hash("hash", &answer.hash)?,
            confirmations: integer("confirmations", &answer.confirmations, -1..=*HEIGHTS.end())?,
            height: integer("height", &answer.height, HEIGHTS)? as u32,
            median_time: integer("mediantime", &answer.mediantime, TIMES)? as u32,
            nbits: u32::from_be_bytes(hex_bytes("bits", &answer.bits)?),
        })
    }

    /// How its block stands.
    pub fn standing(&self) -> Standing {
        match self.confirmations {
            confirmations @ 1.. => Standing::Active { confirmations: confirmations as u32 },
            _ => Standing::Beside,
        }
    }
}

/// How a block stands with a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// In the active chain.
    Active {
        /// Blocks on top of it and itself.
        confirmations: u32,
    },
    /// Known, and not in the active chain: it has lost the race so far, or is invalid.
    Beside,
    /// The node has never stored it.
    Unknown,
}

/// The answer to getnetworkinfo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkInfo {
    /// Peers.
    pub connections: u32,
}

impl NetworkInfo {
    /// Errors: no object, a field that is missing or wrong.
    pub fn parse(answer: &str) -> Result<Self, AnswerError> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct NetworkAnswer {
            connections: Value,
        }
        let answer: NetworkAnswer = object("getnetworkinfo", answer)?;
        Ok(Self { connections: integer("connections", &answer.connections, 0..=i64::from(u32::MAX))? as u32 })
    }
}

/// One of the answers to getzmqnotifications.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZmqNotification {
    /// `pubhashblock`, `pubsequence` and others; printable.
    pub kind: String,
    /// Where it is published, as the node binds it; printable.
    pub address: String,
}

impl ZmqNotification {
    /// The list; empty when the node publishes nothing. Errors: no list of objects, a field that is missing or wrong.
    pub fn parse_all(answer: &str) -> Result<Vec<Self>, AnswerError> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct ZmqAnswer {
            r#type: Value,
            address: Value,
        }
        let answers: Vec<ZmqAnswer> = json("getzmqnotifications", answer)?;
        let one = |answer: &ZmqAnswer| {
            let kind = printable(text("type", &answer.r#type)?, MAX_TEXT);
            Ok(Self { kind, address: printable(text("address", &answer.address)?, MAX_TEXT) })
        };
        answers.iter().take(MAX_ENTRIES).map(one).collect()
    }
}

/// Whether a block is one of the ends of branches that the node calls invalid, by the answer to getchaintips; of as many as
/// are read. Errors: no list of objects, a field that is missing or wrong.
pub fn is_invalid(answer: &str, block: BlockHash) -> Result<bool, AnswerError> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct ChainTip {
        hash: Value,
        status: Value,
    }
    let tips: Vec<ChainTip> = json("getchaintips", answer)?;
    for tip in tips.iter().take(MAX_CHAIN_TIPS) {
        if text("status", &tip.status)? == "invalid" && block_hash("hash", &tip.hash)? == block {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The tip by the answer to waitfornewblock, new or not. Errors: no object, no hash in it.
pub fn tip(answer: &str) -> Result<BlockHash, AnswerError> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct TipAnswer {
        hash: Value,
    }
    let answer: TipAnswer = object("waitfornewblock", answer)?;
    block_hash("hash", &answer.hash)
}

/// The answer to getbestblockhash. Errors: no hash.
pub fn best_block(answer: &str) -> Result<BlockHash, AnswerError> {
    block_hash("best block hash", &json("getbestblockhash", answer)?)
}

/// The answer as JSON. Errors: none, or of another shape.
fn json<'a, T: Deserialize<'a>>(method: &'static str, answer: &'a str) -> Result<T, AnswerError> {
    serde_json::from_str(answer)
        .map_err(|error| AnswerError::Shape { method, error: printable(&error.to_string(), MAX_TEXT) })
}

/// The same for an object: serde would also fill a struct from a list.
fn object<'a, T: Deserialize<'a>>(method: &'static str, answer: &'a str) -> Result<T, AnswerError> {
    if !answer.starts_with('{') {
        let shown = printable(answer, field::MAX_SHOWN);
        return Err(AnswerError::Shape { method, error: format!("{shown} is no object") });
    }
    json(method, answer)
}

#[cfg(test)]
mod tests;
