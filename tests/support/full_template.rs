//! Templates as large as those of the main chain, made in code: the same number of transactions, of the kinds and sizes
//! that blocks have, always gives the same text. What is said of the transactions (hashes, weights) is computed by the
//! `bitcoin` crate. Signatures are noise: nothing that reads a template looks at them.

use bitcoin::absolute::LockTime;
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::hashes::Hash;
use bitcoin::transaction::Version;
use bitcoin::{Amount, Block, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness};
use bitcoin::{WitnessMerkleNode, merkle_tree};
use serde_json::json;

/// Height of the block, after the fourth halving.
const HEIGHT: u32 = 900_000;
/// Subsidy at that height, satoshi.
const SUBSIDY: u64 = 312_500_000;
/// Satoshi a byte that each transaction pays.
const FEE_RATE: u64 = 7;
/// One transaction in so many spends from one of the template.
const CHAINED: u64 = 3;
/// How far before it that one stands at most.
const CHAIN_REACH: u64 = 40;

/// What a transaction spends from and pays to, all its inputs and outputs alike.
struct Kind {
    /// How many of a hundred transactions are of this kind.
    share: u64,
    inputs: usize,
    script_sig: usize,
    /// Lengths of the items of each input's witness.
    witness: &'static [usize],
    outputs: usize,
    /// How each output's script starts; noise fills it up to its length.
    script: (&'static [u8], usize),
    /// Cost of all sigops. Source: Bitcoin Core `consensus/tx_verify.cpp`, `GetTransactionSigOpCost`.
    sigops: u64,
}

/// Kinds with lengths as their usual scripts and signatures have them: P2WPKH, P2TR by key, P2WSH 2 of 3, P2PKH. A block
/// of 4,000 is nearly full.
const KINDS: &[Kind] = &[
    Kind {
        share: 30,
        inputs: 1,
        script_sig: 0,
        witness: &[72, 33],
        outputs: 2,
        script: (&[0, 20], 22),
        sigops: 1,
    },
    Kind {
        share: 25,
        inputs: 2,
        script_sig: 0,
        witness: &[71, 33],
        outputs: 2,
        script: (&[0, 20], 22),
        sigops: 2,
    },
    Kind {
        share: 15,
        inputs: 3,
        script_sig: 0,
        witness: &[64],
        outputs: 2,
        script: (&[0x51, 32], 34),
        sigops: 0,
    },
    Kind {
        share: 20,
        inputs: 2,
        script_sig: 0,
        witness: &[0, 72, 71, 105],
        outputs: 2,
        script: (&[0, 32], 34),
        sigops: 6,
    },
    Kind {
        share: 10,
        inputs: 2,
        script_sig: 107,
        witness: &[],
        outputs: 2,
        script: (&[0x76, 0xa9, 20], 25),
        sigops: 8,
    },
];

/// What getblocktemplate would say with so many transactions, without white space as Bitcoin Core writes it. Any hash
/// in two meets its target.
pub(crate) fn template(transactions: usize) -> String {
    let mut noise = Noise(0x5eed);
    let mut made: Vec<Transaction> = Vec::new();
    let mut entries = Vec::new();
    let mut fees = 0;
    for number in 0..transactions {
        let parent = noise.parent(number);
        let kind = noise.kind();
        let transaction = noise.transaction(kind, parent.map(|at| made[at].compute_txid()));
        let fee = FEE_RATE * transaction.vsize() as u64;
        fees += fee;
        entries.push(format!(
            r#"{{"data":"{}","txid":"{}","hash":"{}","depends":[{}],"fee":{fee},"sigops":{},"weight":{}}}"#,
            serialize_hex(&transaction),
            transaction.compute_txid(),
            transaction.compute_wtxid(),
            parent.map(|at| (at + 1).to_string()).unwrap_or_default(),
            kind.sigops,
            transaction.weight(),
        ));
        made.push(transaction);
    }
    text(&entries.join(","), SUBSIDY + fees, &commitment(&made))
}

fn text(transactions: &str, value: u64, commitment: &str) -> String {
    let frame = json!({
        "capabilities": ["proposal"],
        "version": 0x2000_0000,
        "rules": ["csv", "!segwit", "taproot"],
        "vbavailable": {},
        "vbrequired": 0,
        "previousblockhash": "00000000000000000001f2ee4ce6aa3b15c2b2c6a1f0ba5b1bb12a4ae26c9c95",
        "transactions": [],
        "coinbaseaux": {},
        "coinbasevalue": value,
        "longpollid": "00000000000000000001f2ee4ce6aa3b15c2b2c6a1f0ba5b1bb12a4ae26c9c9517",
        "target": format!("7fffff{}", "00".repeat(29)),
        "mintime": 1_795_330_000,
        "mutable": ["time", "transactions", "prevblock"],
        "noncerange": "00000000ffffffff",
        "sigoplimit": 80_000,
        "sizelimit": 4_000_000,
        "weightlimit": 4_000_000,
        "curtime": 1_795_336_587,
        "bits": "207fffff",
        "height": HEIGHT,
        "default_witness_commitment": commitment,
    });
    frame.to_string().replace(r#""transactions":[]"#, &format!(r#""transactions":[{transactions}]"#))
}

/// Script of the output that commits to all witnesses, hexadecimal. Source: BIP 141, "Commitment structure".
fn commitment(transactions: &[Transaction]) -> String {
    let others = transactions.iter().map(|one| one.compute_wtxid().to_raw_hash());
    let leaves = std::iter::once(Hash::all_zeros()).chain(others);
    let root = merkle_tree::calculate_root(leaves).expect("the coinbase is a leaf");
    let commitment = Block::compute_witness_commitment(&WitnessMerkleNode::from_raw_hash(root), &[0; 32]);
    format!("6a24aa21a9ed{}", hex::encode(commitment.as_byte_array()))
}

/// Numbers by chance, the same at every run. Source: Vigna, "An experimental exploration of Marsaglia's xorshift
/// generators, scrambled", xorshift64*.
struct Noise(u64);

impl Noise {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % end
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.below(256) as u8).collect()
    }

    /// Which of the `number` transactions so far the next one spends from.
    fn parent(&mut self, number: usize) -> Option<usize> {
        let is_chained = number > 0 && self.below(CHAINED) == 0;
        is_chained.then(|| number - 1 - self.below(CHAIN_REACH.min(number as u64)) as usize)
    }

    fn kind(&mut self) -> &'static Kind {
        let mut left = self.below(100);
        KINDS
            .iter()
            .find(|kind| {
                let is_it = left < kind.share;
                left = left.saturating_sub(kind.share);
                is_it
            })
            .expect("the shares add up to 100")
    }

    fn transaction(&mut self, kind: &Kind, parent: Option<Txid>) -> Transaction {
        let mut input: Vec<_> = (0..kind.inputs).map(|_| self.input(kind)).collect();
        if let Some(parent) = parent {
            input[0].previous_output.txid = parent;
        }
        let output = (0..kind.outputs).map(|_| self.output(kind)).collect();
        Transaction { version: Version::TWO, lock_time: LockTime::ZERO, input, output }
    }

    fn input(&mut self, kind: &Kind) -> TxIn {
        let txid = Txid::from_slice(&self.bytes(32)).expect("a hash has 32 bytes");
        let items: Vec<_> = kind.witness.iter().map(|length| self.bytes(*length)).collect();
        TxIn {
            previous_output: OutPoint { txid, vout: self.below(3) as u32 },
            script_sig: ScriptBuf::from_bytes(self.bytes(kind.script_sig)),
            sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
            witness: Witness::from_slice(&items),
        }
    }

    fn output(&mut self, kind: &Kind) -> TxOut {
        let (start, length) = kind.script;
        let script = [start, &self.bytes(length - start.len())].concat();
        let value = Amount::from_sat(10_000 + self.below(1_000_000_000));
        TxOut { value, script_pubkey: ScriptBuf::from_bytes(script) }
    }
}
