//! Transactions for the mempool of a regtest node. Coins are paid to scripts that anybody can spend, so no wallet is needed.

use bitcoin::absolute::LockTime;
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::hashes::Hash as _;
use bitcoin::transaction::Version;
use bitcoin::{
    Address, Amount, Network, OutPoint, Script, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness,
};
use serde_json::{Value, json};

use super::node::Node;

/// OP_TRUE.
const ANYBODY: &[u8] = &[0x51];
const FEE: Amount = Amount::from_sat(2_000);

/// The address of segwit coins that anybody can spend.
pub(crate) fn segwit() -> Address {
    Address::p2wsh(Script::from_bytes(ANYBODY), Network::Regtest)
}

/// The address of coins without segwit that anybody can spend.
pub(crate) fn legacy() -> Address {
    Address::p2sh(Script::from_bytes(ANYBODY), Network::Regtest).unwrap()
}

/// A coin that anybody can spend.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Coin {
    at: OutPoint,
    value: Amount,
    is_segwit: bool,
}

/// The coin of a block's coinbase, if it was paid to one of the two addresses.
pub(crate) fn of_block(node: &Node, height: u64) -> Option<Coin> {
    let block = node.block(height);
    let coinbase = &block["tx"][0];
    let script = coinbase["vout"][0]["scriptPubKey"]["hex"].as_str()?;
    let is_segwit = script == segwit().script_pubkey().to_hex_string();
    let is_ours = is_segwit || script == legacy().script_pubkey().to_hex_string();
    let value = Amount::from_btc(coinbase["vout"][0]["value"].as_f64()?).ok()?;
    let txid = coinbase["txid"].as_str()?.parse().ok()?;
    is_ours.then_some(Coin { at: OutPoint { txid, vout: 0 }, value, is_segwit })
}

/// Splits a coin into so many of equal value, and puts that into the mempool.
pub(crate) fn split(node: &Node, coin: Coin, parts: usize) -> Vec<Coin> {
    let value = (coin.value - FEE * 50) / parts as u64;
    let script = if coin.is_segwit { segwit() } else { legacy() }.script_pubkey();
    let outputs = vec![TxOut { value, script_pubkey: script }; parts];
    let transaction = spend(coin, outputs);
    send(node, &transaction);
    let txid = transaction.compute_txid();
    (0..parts as u32)
        .map(|vout| Coin { at: OutPoint { txid, vout }, value, is_segwit: coin.is_segwit })
        .collect()
}

/// Moves a coin to a script of the same kind.
pub(crate) fn pass_on(node: &Node, coin: Coin) {
    let script = if coin.is_segwit { segwit() } else { legacy() }.script_pubkey();
    send(node, &spend(coin, vec![TxOut { value: coin.value - FEE, script_pubkey: script }]));
}

fn spend(coin: Coin, output: Vec<TxOut>) -> Transaction {
    let (script_sig, witness) = if coin.is_segwit {
        (ScriptBuf::new(), Witness::from_slice(&[ANYBODY]))
    } else {
        (ScriptBuf::from_bytes(vec![1, 0x51]), Witness::new())
    };
    let input = TxIn { previous_output: coin.at, script_sig, sequence: Sequence::MAX, witness };
    Transaction { version: Version::TWO, lock_time: LockTime::ZERO, input: vec![input], output }
}

fn send(node: &Node, transaction: &Transaction) {
    let sent: Value = node.call("sendrawtransaction", json!([serialize_hex(transaction)]));
    assert_eq!(sent.as_str().unwrap().len(), 2 * bitcoin::Txid::LEN);
}
