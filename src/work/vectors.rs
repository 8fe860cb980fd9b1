//! The recorded work of real pools and boards, for the tests of this crate.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::*;
use crate::work::coinbase_builder::height_push;
use crate::work::version::VersionRule;

/// One entry of `tests/vectors/stratum-vectors.json`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct StratumVector {
    pub(crate) name: String,
    pub(crate) notify: Vec<Value>,
    pub(crate) extranonce1: String,
    pub(crate) extranonce2_size: usize,
    pub(crate) extranonce2: String,
    pub(crate) ntime: String,
    pub(crate) nonce: String,
    pub(crate) version_mask: Option<String>,
    pub(crate) version_bits: Option<String>,
    pub(crate) version_rule: String,
    pub(crate) header_version: String,
    pub(crate) submit: Vec<Value>,
    pub(crate) coinbase: String,
    pub(crate) coinbase_hash: String,
    pub(crate) merkle_root: String,
    pub(crate) header: String,
    pub(crate) hash: String,
    pub(crate) share_difficulty: f64,
    pub(crate) job_difficulty: f64,
    pub(crate) job_target: String,
    pub(crate) meets_job_difficulty: bool,
    pub(crate) meets_network_target: bool,
}

impl StratumVector {
    pub(crate) fn rule(&self) -> VersionRule {
        match self.version_rule.as_str() {
            "none" => VersionRule::None,
            "or" => VersionRule::Or,
            "xor" => VersionRule::Xor,
            "replace" => VersionRule::Replace,
            other => panic!("unknown rule {other}"),
        }
    }

    pub(crate) fn mask(&self) -> VersionMask {
        self.version_mask.as_deref().map_or(VersionMask::NONE, |mask| VersionMask::new(number(mask)))
    }
}

/// The job of a vector, read with the test's own few lines so that the parser of `protocol` has something to equal.
impl From<&StratumVector> for Job {
    fn from(vector: &StratumVector) -> Self {
        let text = |index: usize| vector.notify[index].as_str().unwrap();
        let bytes = |hex: &str| hex::decode(hex).unwrap();
        let mut prev_hash = bytes32(text(1));
        prev_hash.chunks_exact_mut(4).for_each(<[u8]>::reverse);
        let nbits = number(text(6));
        Self {
            id: JobId::Text(text(0).into()),
            epoch: Epoch::default(),
            header: JobHeader { version: number(text(5)), prev_hash, ntime: number(text(7)), nbits },
            coinbase: Coinbase {
                coinb1: bytes(text(2)).into(),
                extranonce1: Extranonce1::new(bytes(&vector.extranonce1)).unwrap(),
                extranonce2_size: Extranonce2Size::new(vector.extranonce2_size as i64).unwrap(),
                coinb2: bytes(text(3)).into(),
            },
            branch: vector.notify[4]
                .as_array()
                .unwrap()
                .iter()
                .map(|e| bytes32(e.as_str().unwrap()))
                .collect(),
            version_mask: vector.mask(),
            difficulty: Difficulty::new(vector.job_difficulty).unwrap(),
            network_target: Target::from_nbits(nbits).ok(),
        }
    }
}

pub(crate) fn stratum() -> Vec<StratumVector> {
    serde_json::from_str(include_str!("../../tests/vectors/stratum-vectors.json")).unwrap()
}

/// What of `tests/vectors/gbt-vectors.json` is used: templates of Bitcoin Core, and blocks with its answers to them.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct GbtVectors {
    pub(crate) templates: BTreeMap<String, Value>,
    pub(crate) templates_of_other_networks_for_parsing_only: BTreeMap<String, Value>,
    pub(crate) cases: Vec<GbtCase>,
    pub(crate) height_push: Vec<Value>,
    pub(crate) merkle_trees: Vec<MerkleTree>,
    pub(crate) addresses: Vec<BTreeMap<String, String>>,
    pub(crate) addresses_to_refuse_on_mainnet: Vec<BTreeMap<String, String>>,
}

/// One block.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct GbtCase {
    pub(crate) name: String,
    pub(crate) template_ref: String,
    pub(crate) rebuilds_from_template: bool,
    pub(crate) payout: BTreeMap<String, String>,
    pub(crate) coinbase: Value,
    pub(crate) merkle_branch_internal: Vec<String>,
    pub(crate) header: Value,
    pub(crate) block_hex: String,
    pub(crate) submitblock_answer: Value,
}

/// One tree.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct MerkleTree {
    pub(crate) leaves: u8,
    pub(crate) branch_internal: Vec<String>,
    pub(crate) root_internal: String,
}

pub(crate) fn gbt() -> GbtVectors {
    serde_json::from_str(include_str!("../../tests/vectors/gbt-vectors.json")).unwrap()
}

/// A full header that a real board or block brought forth, and its hash as printed.
pub(crate) struct AsicHeader {
    pub(crate) source: String,
    pub(crate) header: [u8; 80],
    pub(crate) hash: String,
}

/// Every entry of `tests/vectors/asic-vectors.json` that carries a full header and its hash.
pub(crate) fn asic_headers() -> Vec<AsicHeader> {
    let entries: Vec<Value> =
        serde_json::from_str(include_str!("../../tests/vectors/asic-vectors.json")).unwrap();
    let headers: Vec<_> = entries
        .iter()
        .filter_map(|entry| {
            let header = match entry["kind"].as_str()? {
                "header-check" => entry["hex"].as_str()?.replace(' ', ""),
                _ => entry["fields"]["header"].as_str()?.to_owned(),
            };
            Some(AsicHeader {
                source: entry["source"].as_str()?.to_owned(),
                header: hex::decode(header).unwrap().try_into().unwrap(),
                hash: entry["fields"]["block_hash"].as_str()?.to_owned(),
            })
        })
        .collect();
    assert!(headers.len() >= 60, "the vectors hold at least 60 headers, found {}", headers.len());
    headers
}

pub(crate) fn number(hex: &str) -> u32 {
    u32::from_str_radix(hex, 16).unwrap()
}

pub(crate) fn bytes32(hex: &str) -> [u8; 32] {
    hex::decode(hex).unwrap().try_into().unwrap()
}

/// 32 bytes from display order to the order they are hashed in.
pub(crate) fn bytes32_reversed(hex: &str) -> [u8; 32] {
    let mut bytes = bytes32(hex);
    bytes.reverse();
    bytes
}

/// The two parts of a coinbase of this height around eight bytes of extranonces in its scriptSig, with one output.
pub(crate) fn coinbase_parts(height: u32, sats: u64) -> (Box<[u8]>, Box<[u8]>) {
    let push = height_push(height);
    let mut coinb1 = hex::decode(format!("0200000001{}ffffffff", "00".repeat(32))).unwrap();
    coinb1.push(push.len() as u8 + 8);
    coinb1.extend(push);
    let output = format!("ffffffff01{}160014{}00000000", hex::encode(sats.to_le_bytes()), "07".repeat(20));
    (coinb1.into(), hex::decode(output).unwrap().into())
}
