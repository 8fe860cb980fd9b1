//! What a node says of a block that it was given or shown.

use std::fmt;

use crate::protocol::json_rpc::RpcFault;
use crate::protocol::text::printable;

/// What a node says of a block whose parent it does not have.
const NO_PARENT: &str = "prev-blk-not-found";
/// Most characters kept of a reason.
const MAX_REASON: usize = 120;

/// What becomes of a submitted block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Valid and connected, normally as the new tip. Reorganisations may still take it out.
    Accepted,
    /// The answer does not tell: getblockheader does.
    AskChain(Doubt),
    /// The node cannot take it now. It may later, and other nodes may now.
    Again {
        /// Why; printable.
        reason: String,
    },
    /// The node lacks the parent: it is behind, or on another chain. It may get it from its peers.
    NoParent,
    /// Refused for good.
    Refused {
        /// In the node's words; printable.
        reason: String,
        /// What it means.
        explanation: &'static str,
    },
}

/// Why an answer does not tell whether a block is in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// The node has it already: valid, on a side chain, or not yet checked.
    Duplicate,
    /// Stored but not connected: it competes with the tip, or the body of its parent is missing.
    Inconclusive,
    /// An answer that we do not know; printable.
    Unknown(String),
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Duplicate => "duplicate",
            Self::Inconclusive => "inconclusive",
            Self::Unknown(text) => text,
        })
    }
}

/// For the operator.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted => f.write_str("accepted"),
            Self::AskChain(doubt) => doubt.fmt(f),
            Self::Again { reason } => f.write_str(reason),
            Self::NoParent => f.write_str(NO_PARENT),
            Self::Refused { reason, explanation } => write!(f, "{reason}: {explanation}"),
        }
    }
}

/// What an answer of submitblock means.
#[derive(Clone, Copy)]
enum Meaning {
    Duplicate,
    Inconclusive,
    Again(&'static str),
    NoParent,
    Refused(&'static str),
}

/// The answers of submitblock, each up to its first bracket. Source: Bitcoin Core `validation.cpp`,
/// `consensus/tx_check.cpp`, `consensus/tx_verify.cpp` and `BIP22ValidationResult` in `rpc/mining.cpp`.
const ANSWERS: &[(&str, Meaning)] = {
    use Meaning::{Again, Duplicate, Inconclusive, NoParent, Refused};
    &[
        ("duplicate", Duplicate),
        ("duplicate-inconclusive", Duplicate),
        ("inconclusive", Inconclusive),
        ("valid?", Inconclusive),
        (NO_PARENT, NoParent),
        ("time-too-new", Again("the block is more than two hours ahead of the node's clock")),
        ("duplicate-invalid", Refused("the node has found this very block invalid before")),
        ("bad-prevblk", Refused("the node has found the parent invalid")),
        ("high-hash", Refused("the hash does not meet the block's own target")),
        ("bad-diffbits", Refused("the target is not the one required: stale, or ntime past its limit")),
        ("time-too-old", Refused("ntime is not after the median of the last eleven blocks")),
        ("time-timewarp-attack", Refused("ntime is too far before the last block of the period")),
        ("bad-version", Refused("the version is too low to be allowed")),
        ("bad-txnmrklroot", Refused("the merkle root is not that of the transactions")),
        ("bad-txns-duplicate", Refused("transactions are repeated at the end")),
        ("bad-cb-missing", Refused("the first transaction is no coinbase")),
        ("bad-cb-multiple", Refused("there is more than one coinbase")),
        ("bad-cb-length", Refused("the coinbase script is shorter than 2 or longer than 100 bytes")),
        ("bad-cb-height", Refused("the coinbase does not begin with the block's height")),
        ("bad-cb-amount", Refused("the coinbase pays more than subsidy and fees")),
        ("bad-txns-nonfinal", Refused("the lock time of a transaction has not come")),
        ("bad-txns-inputs-missingorspent", Refused("a transaction spends what is not there")),
        ("bad-txns-vout-empty", Refused("a transaction has no outputs")),
        ("bad-txns-vout-negative", Refused("a transaction pays a negative amount")),
        ("bad-txns-vout-toolarge", Refused("a transaction pays more than can exist")),
        ("bad-txns-txouttotal-toolarge", Refused("a transaction pays more than can exist")),
        ("bad-blk-length", Refused("the block is empty, or too large without its witnesses")),
        ("bad-blk-sigops", Refused("the block has too many signature operations")),
        ("bad-blk-weight", Refused("the block is too heavy")),
        ("bad-signet-blksig", Refused("this signet wants its blocks signed")),
        ("mandatory-script-verify-flag-failed", Refused("a script of a transaction fails")),
        ("block-script-verify-flag-failed", Refused("a script of a transaction fails")),
        ("unexpected-witness", Refused("there is a witness and no commitment to it")),
        ("bad-witness-nonce-size", Refused("the coinbase's witness is not one item of 32 bytes")),
        ("bad-witness-merkle-match", Refused("the witness commitment is not that of the transactions")),
    ]
};

/// The meaning of a reason, which may have details in brackets behind it.
fn meaning(reason: &str) -> Option<Meaning> {
    let name = reason.split('(').next().unwrap_or_default().trim_end();
    ANSWERS.iter().find(|(answer, _)| *answer == name).map(|(_, meaning)| *meaning)
}

/// The answer of submitblock and of a proposal: `None` for null, else a text. Errors: neither, as it stands there.
fn reason(result: &str) -> Result<Option<String>, String> {
    serde_json::from_str(result).map_err(|_| printable(result, MAX_REASON))
}

impl Verdict {
    /// What submitblock's result means, as JSON, or its fault. Only null says that the block is in.
    pub fn of(answer: Result<&str, RpcFault>) -> Self {
        match answer.map(reason) {
            Ok(Ok(None)) => Self::Accepted,
            Ok(Ok(Some(reason))) => Self::of_reason(&reason),
            Ok(Err(strange)) => Self::AskChain(Doubt::Unknown(strange)),
            Err(RpcFault::DecodeFailed(reason)) => Self::Refused {
                reason,
                explanation: "the block is not serialised as it must be, or was cut off",
            },
            // Whatever else is wrong, the block may be right: it is not given up for the node's state.
            Err(fault) => Self::Again { reason: fault.to_string() },
        }
    }

    fn of_reason(reason: &str) -> Self {
        let shown = printable(reason, MAX_REASON);
        match meaning(reason) {
            Some(Meaning::Duplicate) => Self::AskChain(Doubt::Duplicate),
            Some(Meaning::Inconclusive) => Self::AskChain(Doubt::Inconclusive),
            Some(Meaning::Again(why)) => Self::Again { reason: format!("{shown}: {why}") },
            Some(Meaning::NoParent) => Self::NoParent,
            Some(Meaning::Refused(explanation)) => Self::Refused { reason: shown, explanation },
            None => Self::AskChain(Doubt::Unknown(shown)),
        }
    }
}

/// What a node says of a proposed block: everything is checked but its proof of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proposal {
    /// It would be valid.
    Sound,
    /// The tip is another one by now. To be tried with the next template.
    NotOnTip,
    /// The header is known already, and nothing was checked. To be tried with another nonce or extranonce.
    Known,
    /// It would be refused.
    Refused {
        /// In the node's words; printable.
        reason: String,
        /// What it means, where we know it.
        explanation: Option<&'static str>,
    },
}

impl Proposal {
    /// What the result of a proposal means, as JSON. Errors: a fault that says nothing of the block.
    pub fn of(answer: Result<&str, RpcFault>) -> Result<Self, RpcFault> {
        let reason = match answer.map(reason) {
            Ok(Ok(None)) => return Ok(Self::Sound),
            Ok(Ok(Some(reason))) | Err(RpcFault::DecodeFailed(reason)) => reason,
            Ok(Err(strange)) => return Err(RpcFault::Malformed { what: strange }),
            Err(fault) => return Err(fault),
        };
        Ok(match reason.as_str() {
            "inconclusive-not-best-prevblk" => Self::NotOnTip,
            "duplicate" | "duplicate-invalid" | "duplicate-inconclusive" => Self::Known,
            _ => {
                let explanation = match meaning(&reason) {
                    Some(Meaning::Refused(explanation) | Meaning::Again(explanation)) => Some(explanation),
                    _ => None,
                };
                Self::Refused { reason: printable(&reason, MAX_REASON), explanation }
            }
        })
    }
}
