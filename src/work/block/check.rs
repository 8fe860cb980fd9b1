//! A block read back from its bytes and held against its template, before a node does.

use std::collections::HashSet;

use bitcoin::consensus::deserialize_partial;
use bitcoin::hashes::{Hash, sha256d};
use bitcoin::{Transaction, TxIn};

use crate::work::coinbase_builder::{MAX_SCRIPT_SIG, height_push};
use crate::work::template::{Template, VERSIONS};
use crate::work::{BlockHash, Header};

/// How far ahead of the node's clock a block's time may be, seconds. Source: Bitcoin Core `chain.h`,
/// `MAX_FUTURE_BLOCK_TIME`.
pub const MAX_AHEAD: u32 = 7200;
/// How the script of a witness commitment starts, and all of its bytes. Source: BIP 141, "Commitment structure".
const COMMITMENT: ([u8; 6], usize) = ([0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed], 38);
/// Fewest bytes of a coinbase's scriptSig. Source: Bitcoin Core `consensus/tx_check.cpp`, "bad-cb-length".
const MIN_SCRIPT_SIG: usize = 2;

/// Why a node would refuse a block; the texts are those of Bitcoin Core, `validation.cpp` and `consensus/`, where it
/// has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BlockFault {
    /// No block.
    #[error("Block decode failed")]
    Decode,
    /// More bytes than a block has. Bitcoin Core ignores them.
    #[error("bytes after the last transaction")]
    Trailing,
    /// The hash misses the target of the header.
    #[error("high-hash")]
    HighHash,
    /// Another parent than the template's.
    #[error("prev-blk-not-found")]
    Parent,
    /// Another nbits than the template's.
    #[error("bad-diffbits")]
    Bits,
    /// Earlier than mintime. At the start of a period the node may say time-timewarp-attack instead.
    #[error("time-too-old")]
    TooOld,
    /// Later than curtime and two hours.
    #[error("time-too-new")]
    TooNew,
    /// A version that is no more allowed.
    #[error("bad-version")]
    Version,
    /// The root is not that of the transactions.
    #[error("bad-txnmrklroot")]
    MerkleRoot,
    /// Two equal nodes of the tree beside each other (CVE-2012-2459).
    #[error("bad-txns-duplicate")]
    Duplicate,
    /// The first transaction is no coinbase.
    #[error("bad-cb-missing")]
    NoCoinbase,
    /// The scriptSig is too short or too long.
    #[error("bad-cb-length")]
    CoinbaseLength,
    /// The scriptSig does not start with the height.
    #[error("bad-cb-height")]
    CoinbaseHeight,
    /// More than subsidy and fees is claimed.
    #[error("bad-cb-amount")]
    AmountTooHigh,
    /// Less is claimed than there is: nodes accept it, and the rest is lost for ever.
    #[error("the coinbase claims less than it may")]
    AmountTooLow,
    /// The lock time of the coinbase is not over.
    #[error("bad-txns-nonfinal")]
    NonFinal,
    /// A witness and nothing that commits to it.
    #[error("unexpected-witness")]
    UnexpectedWitness,
    /// The coinbase's witness is not one item of 32 bytes.
    #[error("bad-witness-nonce-size")]
    ReservedValue,
    /// The commitment is not that of the witnesses.
    #[error("bad-witness-merkle-match")]
    Commitment,
    /// A transaction is missing that another one spends from.
    #[error("bad-txns-inputs-missingorspent")]
    ParentTransaction,
    /// More weight than allowed.
    #[error("bad-blk-weight")]
    Weight,
    /// More bytes than allowed.
    #[error("bad-blk-length")]
    Size,
}

/// Everything that is wrong with a block as far as its template tells, header first. What
/// only the chain tells is not found: whether the parent is valid and still the tip, whether the block is known.
pub fn faults(bytes: &[u8], template: &Template) -> Vec<BlockFault> {
    let Some((header, transactions, rest)) = decode(bytes) else { return vec![BlockFault::Decode] };
    let txids: Vec<_> = transactions.iter().map(|one| one.compute_txid().to_byte_array()).collect();
    let mut found = header_faults(&header, template);
    found.extend(tree_faults(&header, &txids));
    found.extend(size_faults(bytes.len() - rest, &transactions, template));
    match transactions.first().filter(|first| first.is_coinbase()) {
        Some(coinbase) => {
            found.extend(coinbase_faults(coinbase, template));
            found.extend(witness_faults(coinbase, &transactions, template));
        }
        None => found.push(BlockFault::NoCoinbase),
    }
    if misses_a_parent(&transactions, &txids, template) {
        found.push(BlockFault::ParentTransaction);
    }
    if rest > 0 {
        found.push(BlockFault::Trailing);
    }
    found
}

/// Header, transactions, and how many bytes follow them.
fn decode(bytes: &[u8]) -> Option<(Header, Vec<Transaction>, usize)> {
    let (header, body) = bytes.split_first_chunk::<{ Header::LEN }>()?;
    let (transactions, length) = deserialize_partial::<Vec<Transaction>>(body).ok()?;
    Some((Header::from_bytes(header), transactions, body.len() - length))
}

fn header_faults(header: &Header, template: &Template) -> Vec<BlockFault> {
    let expected = template.header();
    let meets = |hash: BlockHash| template.target().is_met_by(&hash);
    only([
        (!meets(header.hash()), BlockFault::HighHash),
        (header.prev_hash != expected.prev_hash, BlockFault::Parent),
        (header.nbits != expected.nbits, BlockFault::Bits),
        (header.ntime < template.mintime(), BlockFault::TooOld),
        (header.ntime > expected.ntime.saturating_add(MAX_AHEAD), BlockFault::TooNew),
        (!VERSIONS.contains(&header.version.into()), BlockFault::Version),
    ])
}

fn tree_faults(header: &Header, txids: &[[u8; 32]]) -> Vec<BlockFault> {
    let (root, duplicate) = root(txids.to_vec());
    only([(root != header.merkle_root, BlockFault::MerkleRoot), (duplicate, BlockFault::Duplicate)])
}

/// The root of a whole tree, and whether two equal nodes stand beside each other in it.
fn root(mut level: Vec<[u8; 32]>) -> ([u8; 32], bool) {
    let mut duplicate = false;
    while level.len() > 1 {
        duplicate |= level.chunks_exact(2).any(|pair| pair[0] == pair[1]);
        let pairs = level.chunks(2).map(|pair| [pair[0], pair[pair.len() - 1]].concat());
        level = pairs.map(|pair| sha256d::Hash::hash(&pair).to_byte_array()).collect();
    }
    (level.first().copied().unwrap_or_default(), duplicate)
}

fn size_faults(size: usize, transactions: &[Transaction], template: &Template) -> Vec<BlockFault> {
    let weight = template.transactions().frame_weight()
        + transactions.iter().map(|one| one.weight().to_wu()).sum::<u64>();
    only([
        (weight > template.limits().weight, BlockFault::Weight),
        (size as u64 > template.limits().size, BlockFault::Size),
    ])
}

fn coinbase_faults(coinbase: &Transaction, template: &Template) -> Vec<BlockFault> {
    let script = coinbase.input[0].script_sig.as_bytes();
    let claimed: u128 = coinbase.output.iter().map(|output| u128::from(output.value.to_sat())).sum();
    let (value, height) = (u128::from(template.reward().value), template.height());
    let is_locked = coinbase.input[0].sequence.to_consensus_u32() != u32::MAX
        && coinbase.lock_time.to_consensus_u32() >= height;
    only([
        (!(MIN_SCRIPT_SIG..=MAX_SCRIPT_SIG).contains(&script.len()), BlockFault::CoinbaseLength),
        (is_locked, BlockFault::NonFinal),
        (!script.starts_with(&height_push(height)), BlockFault::CoinbaseHeight),
        (claimed > value, BlockFault::AmountTooHigh),
        (claimed < value, BlockFault::AmountTooLow),
    ])
}

/// The rules of BIP 141, as Bitcoin Core's `CheckWitnessMalleation` has them.
fn witness_faults(
    coinbase: &Transaction,
    transactions: &[Transaction],
    template: &Template,
) -> Vec<BlockFault> {
    let is_commitment = |script: &[u8]| script.len() >= COMMITMENT.1 && script.starts_with(&COMMITMENT.0);
    let mut scripts = coinbase.output.iter().map(|output| output.script_pubkey.as_bytes());
    let commitment = scripts.rfind(|script| is_commitment(script));
    let Some(commitment) = commitment.filter(|_| template.reward().commitment.is_some()) else {
        let has_witness = |one: &Transaction| one.input.iter().any(|input| !input.witness.is_empty());
        return only([(transactions.iter().any(has_witness), BlockFault::UnexpectedWitness)]);
    };
    let items: Vec<_> = coinbase.input[0].witness.iter().collect();
    let [reserved] = items[..] else { return vec![BlockFault::ReservedValue] };
    if reserved.len() != 32 {
        return vec![BlockFault::ReservedValue];
    }
    let others = transactions[1..].iter().map(|one| one.compute_wtxid().to_byte_array());
    let (root, _) = root(std::iter::once([0; 32]).chain(others).collect());
    let expected = sha256d::Hash::hash(&[&root[..], reserved].concat()).to_byte_array();
    only([(commitment[6..COMMITMENT.1] != expected, BlockFault::Commitment)])
}

/// Whether one spends from a transaction of the template that does not stand before it.
fn misses_a_parent(transactions: &[Transaction], txids: &[[u8; 32]], template: &Template) -> bool {
    let mut missing: HashSet<_> = template.transactions().txids().iter().copied().collect();
    transactions.iter().zip(txids).any(|(one, txid)| {
        let spends = |input: &TxIn| missing.contains(&input.previous_output.txid.to_byte_array());
        let misses = one.input.iter().any(spends);
        missing.remove(txid);
        misses
    })
}

fn only<const N: usize>(checks: [(bool, BlockFault); N]) -> Vec<BlockFault> {
    checks.into_iter().filter_map(|(is_wrong, fault)| is_wrong.then_some(fault)).collect()
}
