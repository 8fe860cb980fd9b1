//! A pool whose one job leads to a header that all the world knows: that of the genesis block, whose nonce was found in 2009.
//!
//! A pool decides on all of a coinbase but the extranonce2, which is the miner's. This one leaves no byte for that, so that the
//! first thing that a miner makes of the job is the genesis header itself; its extranonce1 is a piece of the genesis coinbase.
//! Versions may be rolled: chips that do so begin with the version as it is, and their job lasts until they come to the nonce.
//! The difficulty lies just below what the genesis hash is worth, so that nothing else is a share but by rare chance. What
//! comes back is built and hashed here.

use std::ops::Range;

use bitcoin::{
    Block, BlockHash, Network,
    block::Version,
    blockdata::constants::genesis_block,
    consensus::encode::serialize,
    hashes::Hash,
    hex::{DisplayHex, FromHex},
};
use serde_json::{Value, json};

/// Where the extranonce1 stands in the coinbase: at the start of its script, behind version (4), number of inputs (1),
/// outpoint (36) and the script's length (1).
const EXTRANONCE1: Range<usize> = 42..46;
/// Version bits that may be rolled. Source: BIP 323.
const VERSION_MASK: u32 = 0x1fff_e000;
/// What is asked for. The genesis hash is worth 2536.
const DIFFICULTY: u32 = 2500;

/// One connection to such a pool.
#[derive(Debug)]
pub(super) struct KnownSession {
    genesis: Block,
    authorized: bool,
}

/// What came of a line.
#[derive(Debug, PartialEq)]
pub(super) struct Reply {
    /// To be sent, each with its line end.
    pub(super) lines: Vec<String>,
    /// What was submitted, if something was.
    pub(super) submitted: Option<Submitted>,
}

/// A submitted share.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Submitted {
    /// The genesis block.
    Genesis,
    /// Another header that is good enough: luck, and no fault.
    Other,
    /// None, and why.
    Wrong(String),
}

impl Default for KnownSession {
    fn default() -> Self {
        Self { genesis: genesis_block(Network::Bitcoin), authorized: false }
    }
}

impl KnownSession {
    /// Bytes of the header that the job leads to.
    pub(super) fn header(&self) -> [u8; 80] {
        serialize(&self.genesis.header).try_into().expect("a header has 80 bytes")
    }

    /// A line of the miner. What is no request is passed over.
    pub(super) fn handle_line(&mut self, line: &[u8]) -> Reply {
        let request: Value = serde_json::from_slice(line).unwrap_or_default();
        let answer = |result: Value| json!({ "id": request["id"], "result": result, "error": null });
        let mut submitted = None;
        let lines = match request["method"].as_str() {
            Some("mining.subscribe") => {
                let extranonce1 = self.coinbase()[EXTRANONCE1].to_lower_hex_string();
                vec![answer(json!([[["mining.notify", "1"]], extranonce1, 0]))]
            }
            Some("mining.configure") => {
                let mask = format!("{VERSION_MASK:08x}");
                vec![answer(json!({ "version-rolling": true, "version-rolling.mask": mask }))]
            }
            Some("mining.authorize") if !self.authorized => {
                self.authorized = true;
                let difficulty =
                    json!({ "id": null, "method": "mining.set_difficulty", "params": [DIFFICULTY] });
                vec![answer(json!(true)), difficulty, self.notify()]
            }
            Some("mining.submit") => {
                let share = self.judge(&request["params"]);
                let good = !matches!(share, Submitted::Wrong(_));
                submitted = Some(share);
                vec![answer(json!(good))]
            }
            Some(_) => vec![json!({ "id": request["id"], "result": null, "error": [20, "Not here", null] })],
            None => Vec::new(),
        };
        Reply { lines: lines.into_iter().map(|line| format!("{line}\n")).collect(), submitted }
    }

    fn coinbase(&self) -> Vec<u8> {
        serialize(&self.genesis.txdata[0])
    }

    fn notify(&self) -> Value {
        let header = &self.genesis.header;
        let coinbase = self.coinbase();
        json!({ "id": null, "method": "mining.notify", "params": [
            "genesis",
            "00".repeat(32),
            coinbase[..EXTRANONCE1.start].to_lower_hex_string(),
            coinbase[EXTRANONCE1.end..].to_lower_hex_string(),
            [],
            format!("{:08x}", header.version.to_consensus()),
            format!("{:08x}", header.bits.to_consensus()),
            format!("{:08x}", header.time),
            true,
        ] })
    }

    fn judge(&self, params: &Value) -> Submitted {
        let hash = match self.hash(params) {
            Ok(hash) => hash,
            Err(field) => return Submitted::Wrong(format!("{field} of {params} is not as it has to be")),
        };
        if hash == self.genesis.block_hash() {
            return Submitted::Genesis;
        }
        // The target of difficulty 2500 has 43 zero bits; its digits behind them are not looked at.
        let zero_bits =
            u64::from_le_bytes(hash.to_byte_array()[24..].try_into().expect("8 of 32 bytes")).leading_zeros();
        if zero_bits >= 43 {
            Submitted::Other
        } else {
            Submitted::Wrong(format!("{params} hashes to {hash}"))
        }
    }

    /// Errors: the field that is wrong.
    fn hash(&self, params: &Value) -> Result<BlockHash, &'static str> {
        let number = |at: usize, field| {
            let text = params[at].as_str().unwrap_or_default();
            <[u8; 4]>::from_hex(text).map(u32::from_be_bytes).map_err(|_| field)
        };
        if params[2] != "" {
            return Err("extranonce2, which has no byte,");
        }
        let mut header = self.genesis.header;
        let (version, rolled) = (header.version.to_consensus() as u32, number(5, "version bits")?);
        header.version = Version::from_consensus((version & !VERSION_MASK | rolled & VERSION_MASK) as i32);
        header.time = number(3, "ntime")?;
        header.nonce = number(4, "nonce")?;
        Ok(header.block_hash())
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::sha256d;

    use super::*;

    fn said(session: &mut KnownSession, method: &str, params: Value) -> Reply {
        session.handle_line(json!({ "id": 1, "method": method, "params": params }).to_string().as_bytes())
    }

    fn submitted(extranonce2: &str, ntime: &str, nonce: &str, bits: &str) -> Submitted {
        let params = json!(["u", "genesis", extranonce2, ntime, nonce, bits]);
        said(&mut KnownSession::default(), "mining.submit", params).submitted.unwrap()
    }

    #[test]
    fn the_nonce_of_2009_makes_the_genesis_block_and_nothing_near_it_does() {
        assert_eq!(submitted("", "495fab29", "7c2bac1d", "00000000"), Submitted::Genesis);
        for (extranonce2, ntime, nonce, bits) in [
            ("00", "495fab29", "7c2bac1d", "00000000"),
            ("", "495fab2a", "7c2bac1d", "00000000"),
            ("", "495fab29", "1dac2b7c", "00000000"),
            ("", "495fab29", "7c2bac1d", "00002000"),
            ("", "495fab29", "7c2bac1d", ""),
            ("", "495fab29", "", "00000000"),
        ] {
            let share = submitted(extranonce2, ntime, nonce, bits);
            assert!(matches!(share, Submitted::Wrong(_)), "{extranonce2} {ntime} {nonce} {bits}");
        }
    }

    #[test]
    fn the_header_is_the_one_that_the_world_knows() {
        let session = KnownSession::default();
        let hash = sha256d::Hash::hash(&session.header()).to_byte_array();
        let display: Vec<u8> = hash.iter().rev().copied().collect();
        assert_eq!(
            display.to_lower_hex_string(),
            "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
        );
    }

    #[test]
    fn what_a_miner_is_told_puts_the_genesis_coinbase_together() {
        let mut session = KnownSession::default();
        let told = |line: &String| serde_json::from_str::<Value>(line).unwrap();
        let subscribed = told(&said(&mut session, "mining.subscribe", json!([])).lines[0]);
        let lines = said(&mut session, "mining.authorize", json!(["u", "x"])).lines;
        let job = told(&lines[2]);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let coinbase = [&job["params"][2], &subscribed["result"][1], &job["params"][3]].map(text).concat();
        let root = sha256d::Hash::hash(&Vec::from_hex(&coinbase).unwrap()).to_byte_array();
        assert_eq!(root[..], session.header()[36..68], "the merkle root of one transaction is its id");
        assert_eq!((&subscribed["result"][2], &told(&lines[1])["params"][0]), (&json!(0), &json!(2500)));
        assert_eq!(said(&mut session, "mining.authorize", json!(["u", "x"])).lines.len(), 1, "one job, once");
        assert_eq!(session.handle_line(b"{").lines, [""; 0]);
    }
}
