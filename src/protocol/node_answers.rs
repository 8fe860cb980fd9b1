//! What a node's results say, checked. Shapes: Bitcoin Core `rpc/blockchain.cpp`, `rpc/net.cpp`, `rpc/mining.cpp`; other
//! fields are ignored.

use serde::Deserialize;

use super::delivery::{NO_PARENT, Place, Said};
use super::json_rpc::RpcFault;
use super::solo_session::Proposal;
use super::text::printable;
use crate::work::BlockHash;

/// Longest reason that is shown. Unit: characters.
const MAX_REASON: usize = 120;

/// 32 bytes in hexadecimal, most significant byte first as JSON-RPC prints them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes32([u8; 32]);

impl Bytes32 {
    /// In the order of the text.
    pub fn as_written(self) -> [u8; 32] {
        self.0
    }

    /// As a hash in header order.
    pub fn as_hash(mut self) -> BlockHash {
        self.0.reverse();
        BlockHash(self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes32 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.as_bytes(), &mut bytes)
            .map_err(|_| serde::de::Error::custom("not 64 digits of hexadecimal"))?;
        Ok(Self(bytes))
    }
}

/// The answer to getblockchaininfo.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ChainInfo {
    /// `main`, `test`, `testnet4`, `signet` or `regtest`.
    pub chain: String,
    /// Height of the tip.
    pub blocks: u32,
    /// Height of the best known header.
    pub headers: u32,
    /// Hash of the tip.
    pub bestblockhash: Bytes32,
    /// All work of the chain, a 256-bit number.
    pub chainwork: Bytes32,
    /// Whether the chain is still being fetched.
    pub initialblockdownload: bool,
}

/// The answer to getblockheader.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct HeaderInfo {
    /// Blocks on top, itself included; -1 beside the chain.
    pub confirmations: i64,
    /// Its height.
    pub height: u32,
    /// Median of the last eleven times. Unit: seconds since 1970.
    #[serde(default)]
    pub mediantime: u32,
    /// Its compact target, hexadecimal.
    #[serde(default)]
    pub bits: String,
}

/// The answer to getnetworkinfo.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NetworkInfo {
    /// Such as 310000 for 31.0.
    pub version: i64,
    /// Peers.
    pub connections: u32,
}

/// The answer to waitfornewblock.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TipInfo {
    /// Hash of the tip, new or not.
    pub hash: Bytes32,
}

/// One entry of the answer to getzmqnotifications.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ZmqNotification {
    /// Such as `pubhashblock`.
    #[serde(rename = "type")]
    pub topic: String,
    /// Where it is published, as the node has it.
    pub address: String,
}

/// Reads a result. Errors: `Shape`.
pub fn read<'a, T: Deserialize<'a>>(call: &'static str, result: &'a str) -> Result<T, RpcFault> {
    serde_json::from_str(result).map_err(|error| RpcFault::shape(call, error))
}

impl ChainInfo {
    /// Reads a result. Errors: `Shape`.
    pub fn read(result: &str) -> Result<Self, RpcFault> {
        let mut info: Self = read("getblockchaininfo", result)?;
        info.chain = printable(&info.chain, 20);
        Ok(info)
    }
}

/// What the answer to submitblock means, `None` standing for null. Source: Bitcoin Core `rpc/mining.cpp`, `validation.cpp`;
/// each answer was seen from a real node.
pub fn said(reason: Option<&str>) -> Said {
    let Some(reason) = reason else { return Said::Accepted };
    let reason = printable(reason, MAX_REASON);
    match reason.as_str() {
        // Stored. Whether it is valid and in the chain, only the chain tells.
        "duplicate" | "inconclusive" | "duplicate-inconclusive" | "valid?" => Said::AskChain(reason),
        NO_PARENT => Said::NoParent,
        // Its clock is behind, or ours ahead; it is not remembered against the block.
        "time-too-new" => Said::Later(reason),
        _ => {
            let blame = blame(&reason);
            Said::Refused(if blame.is_empty() { reason } else { format!("{reason}: {blame}") })
        }
    }
}

/// What is wrong behind a reason.
fn blame(reason: &str) -> &'static str {
    match reason {
        "high-hash" => "its hash misses the network's target",
        "bad-diffbits" => "its nbits are not those of this height and time",
        "time-too-old" | "time-timewarp-attack" => "its time is before what the chain allows",
        "bad-txnmrklroot" => "its merkle root is not that of its transactions",
        "bad-cb-height" => "the height in its coinbase is wrong",
        "bad-cb-length" => "the scriptSig of its coinbase is too short or too long",
        "bad-cb-amount" => "its coinbase takes more than subsidy and fees",
        "bad-witness-nonce-size" | "bad-witness-merkle-match" | "unexpected-witness" => {
            "its witness commitment does not fit"
        }
        "bad-signet-blksig" => "this signet wants blocks signed",
        "duplicate-invalid" => "the node knows it and has found it invalid",
        "bad-prevblk" => "its parent is invalid",
        _ => "",
    }
}

/// What a fault of submitblock means: only a block that cannot be read will never be taken.
pub fn said_by_fault(fault: &RpcFault) -> Said {
    match fault {
        RpcFault::Decode(text) => Said::Refused(format!("the node cannot read it: {text}")),
        other => Said::Later(format!("the node {other}")),
    }
}

/// Where a block is by the answer to getblockheader.
pub fn place(answer: Result<HeaderInfo, RpcFault>) -> Place {
    match answer {
        Ok(header) if header.confirmations >= 1 => Place::InChain(header.confirmations),
        Ok(_) => Place::Beside,
        Err(RpcFault::NotFound(_)) => Place::Unknown,
        Err(_) => Place::Unanswered,
    }
}

/// What the answer to a proposal means, `None` standing for null. Source: BIP 23; Bitcoin Core `rpc/mining.cpp`.
pub fn proposal(reason: Option<&str>) -> Proposal {
    match reason {
        None => Proposal::Passed,
        // Another tip by now, or a header that it knows: nothing is said about the block.
        Some(
            "inconclusive-not-best-prevblk" | "duplicate" | "duplicate-inconclusive" | "duplicate-invalid",
        ) => Proposal::Unclear,
        Some(reason) => {
            let (reason, blame) = (printable(reason, MAX_REASON), blame(reason));
            Proposal::Refused(if blame.is_empty() { reason } else { format!("{reason}, {blame}") })
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn cases() -> Vec<Value> {
        let vectors: Value =
            serde_json::from_str(include_str!("../../tests/vectors/gbt-vectors.json")).unwrap();
        vectors["cases"].as_array().unwrap().clone()
    }

    #[test]
    fn every_recorded_answer_to_a_block_is_understood() {
        let mut seen = [0; 4];
        for case in cases() {
            let (name, answer) = (case["name"].as_str().unwrap(), &case["submitblock_answer"]);
            let said = match answer["error"]["code"].as_i64() {
                Some(-22) => said_by_fault(&RpcFault::Decode("Block decode failed".into())),
                Some(other) => panic!("{name}: {other}"),
                None => said(answer["result"].as_str()),
            };
            let (place, fits) = match &said {
                Said::Accepted => (0, answer["result"].is_null()),
                Said::AskChain(_) => (1, name.starts_with("answer-")),
                Said::Later(_) => (2, name == "reject-time-too-new"),
                Said::NoParent => (2, name == "reject-prev-unknown"),
                Said::Refused(_) => (
                    3,
                    ["reject-", "wrong-", "error-", "answer-duplicate-invalid"]
                        .iter()
                        .any(|start| name.starts_with(start)),
                ),
            };
            assert!(fits, "{name}: {said:?}");
            seen[place] += 1;
        }
        assert_eq!(seen, [17, 2, 2, 24]);
    }

    #[test]
    fn every_recorded_answer_to_a_proposal_is_understood() {
        for case in cases() {
            let answer = &case["proposal_answer"];
            if answer["error"].is_object() {
                continue;
            }
            let reason = answer["result"].as_str();
            let expected = match reason {
                None => "passed",
                Some(reason) if reason.starts_with("inconclusive") || reason.starts_with("duplicate") => {
                    "unclear"
                }
                Some(_) => "refused",
            };
            let is = match proposal(reason) {
                Proposal::Passed => "passed",
                Proposal::Unclear => "unclear",
                Proposal::Refused(_) => "refused",
            };
            assert_eq!(is, expected, "{reason:?}");
        }
    }

    #[test]
    fn a_look_is_read_and_a_wrong_one_is_told_by_its_field() {
        let hash = "00".repeat(31) + "0f";
        let look = format!(
            r#"{{"chain":"regtest","blocks":1,"headers":2,"bestblockhash":"{hash}","chainwork":"{hash}",
            "initialblockdownload":true,"warnings":[]}}"#
        );
        let info = ChainInfo::read(&look).unwrap();
        assert_eq!((info.bestblockhash.as_hash().to_string(), info.chainwork.as_written()[31]), (hash, 0x0f));
        for (from, to) in
            [("\"blocks\":1", "\"blocks\":-1"), ("0f\",\"chainwork", "0g\",\"chainwork"), ("true", "1")]
        {
            assert!(matches!(ChainInfo::read(&look.replace(from, to)), Err(RpcFault::Shape { .. })), "{to}");
        }
    }

    #[test]
    fn the_chain_tells_where_a_block_is() {
        let at = |confirmations| {
            place(Ok(HeaderInfo { confirmations, height: 5, mediantime: 0, bits: String::new() }))
        };
        assert_eq!([at(3), at(1), at(-1)], [Place::InChain(3), Place::InChain(1), Place::Beside]);
        assert_eq!(place(Err(RpcFault::NotFound("Block not found".into()))), Place::Unknown);
        assert_eq!(place(Err(RpcFault::Busy)), Place::Unanswered);
    }
}
