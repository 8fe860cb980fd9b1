//! A tiny miner for tests: reads the pool's lines, builds headers with the `bitcoin` crate, tries nonces.

use bitcoin::{
    BlockHash, CompactTarget, Target, TxMerkleNode,
    block::{Header, Version},
    hashes::{Hash, sha256d},
    hex::{DisplayHex, FromHex},
};
use serde_json::{Value, json};

/// What a job needs to be hashed.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) ntime: String,
    pub(crate) clean: bool,
    pub(crate) difficulty: f64,
    /// Bits to roll the version with, for a miner that agreed on that.
    pub(crate) version_bits: Option<u32>,
    extranonce1: Vec<u8>,
    extranonce2_size: usize,
    pub(crate) notify: Vec<Value>,
}

/// The state of one connection as a miner sees it.
#[derive(Debug, Default)]
pub(crate) struct Miner {
    pub(crate) extranonce1: String,
    pub(crate) session_id: String,
    pub(crate) difficulty: f64,
    pub(crate) job: Option<Job>,
    extranonce2_size: usize,
}

impl Miner {
    /// Takes in a line; the subscribe request must have had id 2.
    pub(crate) fn read(&mut self, line: &Value) {
        match line["method"].as_str() {
            Some("mining.set_difficulty") => self.difficulty = line["params"][0].as_f64().unwrap(),
            Some("mining.notify") => {
                let notify = line["params"].as_array().unwrap().clone();
                self.job = Some(Job {
                    id: notify[0].as_str().unwrap().to_owned(),
                    ntime: notify[7].as_str().unwrap().to_owned(),
                    clean: notify[8].as_bool().unwrap(),
                    difficulty: self.difficulty,
                    version_bits: None,
                    extranonce1: Vec::from_hex(&self.extranonce1).unwrap(),
                    extranonce2_size: self.extranonce2_size,
                    notify,
                });
            }
            _ if line["id"] == 2 && line["result"].is_array() => {
                line["result"][0][1][1].as_str().unwrap().clone_into(&mut self.session_id);
                line["result"][1].as_str().unwrap().clone_into(&mut self.extranonce1);
                self.extranonce2_size = line["result"][2].as_u64().unwrap() as usize;
            }
            _ => {}
        }
    }

    pub(crate) fn job(&self) -> Job {
        self.job.clone().unwrap()
    }
}

impl Job {
    /// The parameters of a submit whose hash is worth less than the job's difficulty.
    pub(crate) fn poor_share(&self, user: &str) -> Value {
        self.find(user, 0, |worth| worth < self.difficulty * 0.999_999)
    }

    /// The parameters of a submit that solves the block.
    pub(crate) fn block(&self, user: &str) -> Value {
        let network = self.network_difficulty() * 1.000_001;
        self.find(user, 0, |worth| worth > network)
    }

    /// The parameters of a submit that is worth the job's difficulty but solves no block. Another
    /// extranonce2 gives another share.
    pub(crate) fn share(&self, user: &str, extranonce2: u64) -> Value {
        let network = self.network_difficulty() * 0.999_999;
        self.find(user, extranonce2, |worth| worth > self.difficulty * 1.000_001 && worth < network)
    }

    fn network_difficulty(&self) -> f64 {
        let target = Target::from_compact(CompactTarget::from_consensus(self.number(6)));
        worth(BlockHash::from_byte_array(target.to_le_bytes()))
    }

    fn number(&self, index: usize) -> u32 {
        u32::from_str_radix(self.text(index), 16).unwrap()
    }

    fn find(&self, user: &str, extranonce2: u64, wanted: impl Fn(f64) -> bool) -> Value {
        let extranonce2 = format!("{extranonce2:0width$x}", width = 2 * self.extranonce2_size);
        let mut header = self.header(&extranonce2);
        while !wanted(worth(header.block_hash())) {
            header.nonce += 1;
        }
        let mut share = vec![user, &self.id, &extranonce2, &self.ntime];
        let nonce = format!("{:08x}", header.nonce);
        let bits = self.version_bits.map(|bits| format!("{bits:08x}"));
        share.extend([Some(&nonce), bits.as_ref()].into_iter().flatten().map(String::as_str));
        json!(share)
    }

    fn text(&self, index: usize) -> &str {
        self.notify[index].as_str().unwrap()
    }

    fn header(&self, extranonce2: &str) -> Header {
        let extranonce1 = self.extranonce1.to_lower_hex_string();
        let coinbase = [self.text(2), &extranonce1, extranonce2, self.text(3)].concat();
        let mut root = sha256d::Hash::hash(&Vec::from_hex(&coinbase).unwrap());
        for branch in self.notify[4].as_array().unwrap() {
            let both = root.to_byte_array().to_lower_hex_string() + branch.as_str().unwrap();
            root = sha256d::Hash::hash(&Vec::from_hex(&both).unwrap());
        }
        let words: Vec<u8> = Vec::from_hex(self.text(1)).unwrap();
        let prevhash: Vec<u8> = words.chunks(4).flat_map(|word| word.iter().rev().copied()).collect();
        Header {
            version: Version::from_consensus((self.number(5) | self.version_bits.unwrap_or_default()) as i32),
            prev_blockhash: BlockHash::from_slice(&prevhash).unwrap(),
            merkle_root: TxMerkleNode::from_raw_hash(root),
            time: self.number(7),
            bits: CompactTarget::from_consensus(self.number(6)),
            nonce: 0,
        }
    }
}

/// The difficulty that a hash would meet, to about fifteen digits.
fn worth(hash: BlockHash) -> f64 {
    let value = hash.to_byte_array().iter().rev().fold(0.0, |value, &byte| value * 256.0 + f64::from(byte));
    65_535.0 * 2_f64.powi(208) / value
}
