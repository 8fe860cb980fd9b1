//! One block to work on: a real coinbase transaction around the extranonces, made-up transactions, merkle branches.

use bitcoin::{
    Amount, BlockHash, CompactTarget, OutPoint, ScriptBuf, Sequence, Target, Transaction, TxIn, TxMerkleNode,
    TxOut, Txid, WPubkeyHash, Witness, WitnessMerkleNode, absolute::LockTime, block::Block,
    consensus::encode::serialize, hashes::Hash, merkle_tree, opcodes, script, transaction,
};

use crate::chance::Chance;

/// Written into every coinbase.
const POOL_TAG: &[u8] = b"/signalcore practice/";
/// Bytes of a serialised coinbase before its scriptSig: version 4, input count 1, null outpoint 36, script length 1.
const BEFORE_SCRIPT_SIG: usize = 42;
/// The subsidy after the fourth halving, and what each made-up transaction pays.
const SUBSIDY: Amount = Amount::from_sat(312_500_000);
const FEE: Amount = Amount::from_sat(1_410);
/// The witness commitment's script: OP_RETURN, 36 bytes, this header, the hash. Source: BIP 141.
const COMMITMENT_HEADER: [u8; 4] = [0xaa, 0x21, 0xa9, 0xed];

/// What a job asks to hash, apart from the extranonces: the nine parameters of `mining.notify` without id and flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    /// Height of the block, also the generation of the job: a new height makes all earlier jobs stale.
    pub(crate) height: u32,
    /// The coinbase before the extranonces, without witness.
    pub(crate) coinb1: Vec<u8>,
    /// The coinbase after the extranonces.
    pub(crate) coinb2: Vec<u8>,
    /// The right-hand neighbours on the way from the coinbase to the root.
    pub(crate) branches: Vec<TxMerkleNode>,
    /// The block to build on.
    pub(crate) prevhash: BlockHash,
    /// The header's version before rolling.
    pub(crate) version: u32,
    /// The network target in its compact form.
    pub(crate) nbits: CompactTarget,
    /// The earliest time the header may carry.
    pub(crate) ntime: u32,
}

/// The header fields that the chain gives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tip {
    pub(crate) height: u32,
    pub(crate) prevhash: BlockHash,
    pub(crate) nbits: CompactTarget,
    pub(crate) ntime: u32,
}

impl Template {
    /// A template on `tip` with `transactions` made-up transactions. `serial` goes into the coinbase, so that no
    /// two templates share a header; the coinbase leaves room for `extranonce_size` bytes.
    pub(crate) fn build(
        tip: Tip,
        serial: u32,
        transactions: u64,
        extranonce_size: usize,
        chance: &mut Chance,
    ) -> Self {
        let txids: Vec<Txid> =
            (0..transactions).map(|_| made_up_transaction(chance).compute_txid()).collect();
        let reward = SUBSIDY + FEE * transactions;
        let coinbase =
            Coinbase { height: tip.height, serial, reward, commitment: witness_commitment(&txids) };
        let (coinb1, coinb2) = coinbase.around_extranonce(extranonce_size);
        Self {
            height: tip.height,
            coinb1,
            coinb2,
            branches: merkle_branches(&txids),
            prevhash: tip.prevhash,
            version: 0x2000_0000,
            nbits: tip.nbits,
            ntime: tip.ntime,
        }
    }

    /// The network target: a share that meets it is a block.
    pub(crate) fn network_target(&self) -> Target {
        Target::from_compact(self.nbits)
    }

    /// The previous hash as `mining.notify` spells it: header order, the bytes of each 4-byte word reversed.
    pub(crate) fn stratum_prevhash(&self) -> [u8; 32] {
        swap_words(self.prevhash.to_byte_array())
    }
}

/// Reverses the bytes inside each of the eight words; doing it twice changes nothing.
pub(crate) fn swap_words(mut bytes: [u8; 32]) -> [u8; 32] {
    bytes.chunks_exact_mut(4).for_each(<[u8]>::reverse);
    bytes
}

struct Coinbase {
    height: u32,
    serial: u32,
    reward: Amount,
    commitment: [u8; 32],
}

impl Coinbase {
    /// scriptSig: height (BIP 34), serial, one push for both extranonces, the pool's tag.
    fn around_extranonce(&self, extranonce_size: usize) -> (Vec<u8>, Vec<u8>) {
        let before = script::Builder::new()
            .push_int(i64::from(self.height))
            .push_slice(self.serial.to_le_bytes())
            .into_script();
        let room = u8::try_from(extranonce_size).expect("PoolConfig bounds the extranonces to 20 bytes");
        let tag =
            script::Builder::new().push_slice(<&script::PushBytes>::try_from(POOL_TAG).expect("a short tag"));
        let mut script_sig = before.to_bytes();
        script_sig.push(room);
        let extranonce_at = BEFORE_SCRIPT_SIG + script_sig.len();
        script_sig.resize(script_sig.len() + extranonce_size, 0);
        script_sig.extend_from_slice(tag.as_bytes());
        let bytes = serialize(&self.transaction(ScriptBuf::from_bytes(script_sig)));
        (bytes[..extranonce_at].to_vec(), bytes[extranonce_at + extranonce_size..].to_vec())
    }

    fn transaction(&self, script_sig: ScriptBuf) -> Transaction {
        let payout = ScriptBuf::new_p2wpkh(&WPubkeyHash::hash(POOL_TAG));
        let mut commitment = COMMITMENT_HEADER.to_vec();
        commitment.extend_from_slice(&self.commitment);
        let commitment = <&script::PushBytes>::try_from(commitment.as_slice()).expect("36 bytes fit a push");
        Transaction {
            version: transaction::Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![TxIn {
                previous_output: OutPoint::null(),
                script_sig,
                sequence: Sequence::MAX,
                witness: Witness::new(),
            }],
            output: vec![
                TxOut { value: self.reward, script_pubkey: payout },
                TxOut { value: Amount::ZERO, script_pubkey: ScriptBuf::new_op_return(commitment) },
            ],
        }
    }
}

/// A well-formed transaction that spends nothing real: one input with a signature-sized script, two outputs.
fn made_up_transaction(chance: &mut Chance) -> Transaction {
    let output = |value: u64, chance: &mut Chance| TxOut {
        value: Amount::from_sat(10_000 + value % 1_000_000),
        script_pubkey: ScriptBuf::new_p2wpkh(&WPubkeyHash::hash(&chance.bytes())),
    };
    let signature = script::Builder::new().push_slice(chance.bytes()).push_opcode(opcodes::all::OP_PUSHNUM_1);
    Transaction {
        version: transaction::Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint { txid: Txid::from_byte_array(chance.bytes()), vout: 0 },
            script_sig: signature.into_script(),
            sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
            witness: Witness::new(),
        }],
        output: vec![output(chance.number(), chance), output(chance.number(), chance)],
    }
}

/// The commitment of a block whose transactions carry no witness, so that each wtxid is its txid. Source: BIP 141.
fn witness_commitment(txids: &[Txid]) -> [u8; 32] {
    let leaves = std::iter::once([0; 32]).chain(txids.iter().map(|txid| txid.to_byte_array()));
    let root =
        merkle_tree::calculate_root(leaves.map(WitnessMerkleNode::from_byte_array)).expect("never empty");
    Block::compute_witness_commitment(&root, &[0; 32]).to_byte_array()
}

/// The siblings of the coinbase's path: at each level the second node, the rest paired up for the next.
fn merkle_branches(txids: &[Txid]) -> Vec<TxMerkleNode> {
    let mut branches = Vec::new();
    let mut level: Vec<TxMerkleNode> = txids.iter().map(|txid| TxMerkleNode::from(*txid)).collect();
    // `level` leaves out the leftmost node, which depends on the coinbase.
    while !level.is_empty() {
        branches.push(level.remove(0));
        level = level
            .chunks(2)
            .map(|pair| parent(pair[0], *pair.last().expect("chunks are never empty")))
            .collect();
    }
    branches
}

/// Source: Bitcoin Core `consensus/merkle.cpp`, the double SHA-256 of both nodes.
pub(crate) fn parent(left: TxMerkleNode, right: TxMerkleNode) -> TxMerkleNode {
    let mut both = [0; 64];
    both[..32].copy_from_slice(left.as_byte_array());
    both[32..].copy_from_slice(right.as_byte_array());
    TxMerkleNode::hash(&both)
}

#[cfg(test)]
mod tests {
    use bitcoin::consensus::encode::deserialize;

    use super::*;

    fn template(transactions: u64) -> Template {
        let tip = Tip {
            height: 900_001,
            prevhash: BlockHash::all_zeros(),
            nbits: CompactTarget::from_consensus(0x1d00_ffff),
            ntime: 1_700_000_000,
        };
        Template::build(tip, 1, transactions, 8, &mut Chance::new(3))
    }

    #[test]
    fn the_coinbase_parses_to_the_last_byte_with_height_tag_and_extranonces_in_its_script() {
        let template = template(5);
        let bytes =
            [template.coinb1.as_slice(), b"\xa1\xa2\xa3\xa4\x01\x02\x03\x04", &template.coinb2].concat();
        let coinbase: Transaction = deserialize(&bytes).unwrap();
        let script_sig = coinbase.input[0].script_sig.as_bytes();
        assert!(coinbase.is_coinbase());
        assert_eq!(script_sig[..4], [3, 0xa1, 0xbb, 0x0d], "height 900001 as BIP 34 wants it");
        assert!((2..=100).contains(&script_sig.len()));
        assert!(script_sig.windows(POOL_TAG.len()).any(|window| window == POOL_TAG));
        assert_eq!(coinbase.output[0].value, SUBSIDY + FEE * 5);
        assert!(coinbase.output[1].script_pubkey.is_op_return());
    }

    #[test]
    fn branches_lead_to_the_root_that_the_whole_tree_has() {
        let leftmost = TxMerkleNode::hash(b"coinbase");
        for count in [0_u8, 1, 2, 3, 4, 6, 7, 8, 100] {
            let txids: Vec<Txid> = (0..count).map(|n| Txid::hash(&[n])).collect();
            let leaves = std::iter::once(leftmost).chain(txids.iter().map(|txid| TxMerkleNode::from(*txid)));
            let by_branches = merkle_branches(&txids).into_iter().fold(leftmost, parent);
            assert_eq!(Some(by_branches), merkle_tree::calculate_root(leaves), "{count} transactions");
        }
    }

    #[test]
    fn the_number_of_branches_is_the_depth_of_the_tree() {
        for (transactions, depth) in [(0, 0), (1, 1), (2, 2), (3, 2), (4, 3), (1024, 11)] {
            assert_eq!(template(transactions).branches.len(), depth, "{transactions} transactions");
        }
    }
}
