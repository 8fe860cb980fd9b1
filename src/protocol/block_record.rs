//! What the journal of found blocks holds: one record a line, `checksum JSON`. The checksum is the first 8 bytes of the
//! JSON's SHA-256 in hexadecimal, so that a torn, changed or foreign line is known as such.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::text::printable;
use crate::work::block::Block;
use crate::work::{BlockHash, Header, Share};

/// Longest line, in bytes without its line feed. A block of 4000000 bytes, the most there can be (Bitcoin Core
/// `consensus/consensus.h`, `MAX_BLOCK_SERIALIZED_SIZE`), is 8000000 digits; the rest is room for the words around it.
pub const MAX_LINE: usize = 8 << 20;
/// Most characters of a name, of a reason or of what was answered.
pub const MAX_TEXT: usize = 200;
/// Digits of the checksum in front of a line.
const CHECKSUM_DIGITS: usize = 16;
/// Digits of a header.
const HEADER_DIGITS: usize = 2 * Header::LEN;

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// A block was found.
    Found(Found),
    /// Somebody said something about it.
    Answer(Answer),
    /// It is known what became of it.
    Settled(Settled),
}

/// A block that was found here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// When. Unit: seconds since 1970.
    pub at: u64,
    /// Its hash; written as explorers have it.
    #[serde(with = "display_hex")]
    pub hash: BlockHash,
    /// The node or pool that it was found for; printable, without credentials.
    pub upstream: String,
    /// What is known of it.
    #[serde(flatten)]
    pub body: FoundBody,
}

/// What is known of a found block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FoundBody {
    /// Everything: it was built here.
    Solo(SoloBlock),
    /// What a miner knows of a pool's block, which is not its other transactions.
    Pool(PoolBlock),
}

/// A block that was built here.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SoloBlock {
    /// Its height.
    pub height: u32,
    /// Its chain as Bitcoin Core calls it: `main`, `test`, `testnet4`, `signet`, `regtest`.
    pub chain: String,
    /// The block in lower-case hexadecimal, as submitblock takes it.
    pub block: String,
}

/// A pool's block as far as it is known here; bytes in lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolBlock {
    /// The pool's name for the job; printable.
    pub job: String,
    /// The header, 80 bytes.
    pub header: String,
    /// The coinbase without its witness.
    pub coinbase: String,
    /// The merkle branch, 32 bytes each, header order.
    pub branch: Vec<String>,
}

/// What a node or pool said of a block, for the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// When. Unit: seconds since 1970.
    pub at: u64,
    /// Of which block.
    #[serde(with = "display_hex")]
    pub hash: BlockHash,
    /// Who; printable, without credentials.
    pub from: String,
    /// What; printable.
    pub text: String,
}

/// What became of a block. The last one counts: a chain may be reorganised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// When. Unit: seconds since 1970.
    pub at: u64,
    /// Of which block.
    #[serde(with = "display_hex")]
    pub hash: BlockHash,
    /// What.
    #[serde(flatten)]
    pub fate: Fate,
}

/// What can become of a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fate", rename_all = "snake_case")]
pub enum Fate {
    /// It is in the active chain, or its pool took it.
    Accepted,
    /// It is valid, and another block won.
    Orphaned,
    /// Nobody takes it.
    Refused {
        /// Why; printable.
        reason: String,
    },
    /// It was sent until that made no sense any more, and nobody has judged it.
    GivenUp {
        /// Why; printable.
        reason: String,
    },
}

/// Why a line is no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Not of this form at all.
    #[error("it does not begin with a checksum of {CHECKSUM_DIGITS} digits and a space")]
    Foreign,
    /// Torn or changed.
    #[error("its checksum does not fit")]
    Checksum,
    /// Whole, and of another form: another version of the program may have written it.
    #[error("it makes no sense: {0}")]
    Nonsense(String),
    /// The bytes are not those of the block that it is said to be.
    #[error("its {0} is not what block {1} can have")]
    Body(&'static str, BlockHash),
}

impl Record {
    /// The line, without a line feed. [`Self::from_line`] reads it.
    pub fn to_line(&self) -> String {
        let json = serde_json::to_string(self).expect("texts and numbers only");
        [&checksum(json.as_bytes()), " ", &json].concat()
    }

    /// Errors: see [`LineError`]. Texts come out printable and of at most [`MAX_TEXT`] characters.
    pub fn from_line(line: &[u8]) -> Result<Self, LineError> {
        let (given, json) = line
            .split_at_checked(CHECKSUM_DIGITS)
            .and_then(|(given, rest)| Some((given, rest.strip_prefix(b" ")?)))
            .filter(|(given, _)| given.iter().all(u8::is_ascii_hexdigit))
            .ok_or(LineError::Foreign)?;
        if given != checksum(json).as_bytes() {
            return Err(LineError::Checksum);
        }
        let mut record = serde_json::from_slice::<Self>(json)
            .map_err(|error| LineError::Nonsense(printable(&error.to_string(), MAX_TEXT)))?;
        if let Self::Found(found) = &record {
            found.check()?;
        }
        record.make_printable();
        Ok(record)
    }

    /// Which block it is about.
    pub fn hash(&self) -> BlockHash {
        match self {
            Self::Found(found) => found.hash,
            Self::Answer(answer) => answer.hash,
            Self::Settled(settled) => settled.hash,
        }
    }

    /// When it was written. Unit: seconds since 1970.
    pub fn at(&self) -> u64 {
        match self {
            Self::Found(found) => found.at,
            Self::Answer(answer) => answer.at,
            Self::Settled(settled) => settled.at,
        }
    }

    fn make_printable(&mut self) {
        let safe = |text: &mut String| *text = printable(text, MAX_TEXT);
        match self {
            Self::Found(found) => {
                safe(&mut found.upstream);
                match &mut found.body {
                    FoundBody::Solo(block) => safe(&mut block.chain),
                    FoundBody::Pool(block) => safe(&mut block.job),
                }
            }
            Self::Answer(answer) => {
                safe(&mut answer.from);
                safe(&mut answer.text);
            }
            Self::Settled(Settled { fate, .. }) => match fate {
                Fate::Accepted | Fate::Orphaned => {}
                Fate::Refused { reason } | Fate::GivenUp { reason } => safe(reason),
            },
        }
    }
}

impl Found {
    /// A block of our own at `height` of `chain`, found for the node `upstream` at `at`, seconds since 1970.
    pub fn for_solo(block: &Block, height: u32, chain: &str, upstream: &str, at: u64) -> Self {
        let solo = SoloBlock { height, chain: printable(chain, MAX_TEXT), block: block.to_hex() };
        Self {
            at,
            hash: block.header().hash(),
            upstream: printable(upstream, MAX_TEXT),
            body: FoundBody::Solo(solo),
        }
    }

    /// A share that solves a block, found for the pool `upstream` at `at`, seconds since 1970.
    pub fn for_pool(share: &Share, upstream: &str, at: u64) -> Self {
        let job = share.job();
        let block = PoolBlock {
            job: printable(&job.id.to_string(), MAX_TEXT),
            header: hex::encode(share.header().to_bytes()),
            coinbase: hex::encode(job.coinbase.to_bytes(share.extranonce2())),
            branch: job.branch.iter().map(hex::encode).collect(),
        };
        Self {
            at,
            hash: *share.hash(),
            upstream: printable(upstream, MAX_TEXT),
            body: FoundBody::Pool(block),
        }
    }

    /// Whether its bytes can be those of its hash.
    fn check(&self) -> Result<(), LineError> {
        let wrong = |field| Err(LineError::Body(field, self.hash));
        match &self.body {
            FoundBody::Solo(SoloBlock { block, .. }) if !self.is_header_of(block) => wrong("block"),
            FoundBody::Pool(PoolBlock { header, .. })
                if header.len() != HEADER_DIGITS || !self.is_header_of(header) =>
            {
                wrong("header")
            }
            FoundBody::Pool(PoolBlock { coinbase, .. }) if !is_hex(coinbase) => wrong("coinbase"),
            FoundBody::Pool(PoolBlock { branch, .. })
                if branch.iter().any(|entry| entry.len() != 64 || !is_hex(entry)) =>
            {
                wrong("branch")
            }
            _ => Ok(()),
        }
    }

    /// Whether `bytes`, in hexadecimal, begin with the header that has this hash.
    fn is_header_of(&self, bytes: &str) -> bool {
        let mut header = [0; Header::LEN];
        is_hex(bytes)
            && bytes
                .get(..HEADER_DIGITS)
                .is_some_and(|digits| hex::decode_to_slice(digits, &mut header).is_ok())
            && Header::from_bytes(&header).hash() == self.hash
    }
}

/// Without the block's digits, of which there may be eight million.
impl fmt::Debug for SoloBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SoloBlock({} of {}, {} digits)", self.height, self.chain, self.block.len())
    }
}

impl Answer {
    /// `from` said `text` of a block at `at`, seconds since 1970.
    pub fn new(hash: BlockHash, from: &str, text: &str, at: u64) -> Self {
        Self { at, hash, from: printable(from, MAX_TEXT), text: printable(text, MAX_TEXT) }
    }
}

impl Fate {
    /// Why nobody takes it.
    pub fn refused(reason: &str) -> Self {
        Self::Refused { reason: printable(reason, MAX_TEXT) }
    }

    /// Why it is not sent any more.
    pub fn given_up(reason: &str) -> Self {
        Self::GivenUp { reason: printable(reason, MAX_TEXT) }
    }

    /// Its word for people and programs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Orphaned => "orphaned",
            Self::Refused { .. } => "refused",
            Self::GivenUp { .. } => "given up",
        }
    }

    /// Why, where there is more to say.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Accepted | Self::Orphaned => None,
            Self::Refused { reason } | Self::GivenUp { reason } => Some(reason),
        }
    }
}

fn checksum(json: &[u8]) -> String {
    hex::encode(&Sha256::digest(json)[..CHECKSUM_DIGITS / 2])
}

/// Whole bytes in lower-case hexadecimal.
fn is_hex(text: &str) -> bool {
    text.len().is_multiple_of(2) && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

/// A hash as explorers write it.
mod display_hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::work::BlockHash;

    pub(super) fn serialize<S: Serializer>(hash: &BlockHash, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(hash)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BlockHash, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(&text, &mut bytes).map_err(|_| Error::custom("a hash needs 64 hex digits"))?;
        bytes.reverse();
        Ok(BlockHash(bytes))
    }
}

#[cfg(test)]
pub(crate) mod tests;
