//! The payout reader: what it accepts is a coinbase to the last byte, and no extranonce2 changes who is paid.

use bitcoin::consensus::{deserialize, serialize};
use bitcoin::{Amount, Network, Transaction};
use signalcore::work::payout::{Payout, Payouts};
use signalcore::work::{Coinbase, Extranonce1, Extranonce2, Extranonce2Size};

/// Two bytes for the sizes of the extranonces, two for that of coinb1, then coinb1, extranonce1 and coinb2. What is
/// left out is empty.
pub(crate) fn run(input: &[u8]) {
    let Some((&[size1, size2, low, high], rest)) = input.split_first_chunk() else { return };
    let (coinb1, rest) = rest.split_at(usize::from(u16::from_le_bytes([low, high])).min(rest.len()));
    let (extranonce1, coinb2) = rest.split_at((usize::from(size1) % 33).min(rest.len()));
    let size = Extranonce2Size::new(i64::from(size2 % 17)).unwrap();
    let extranonce1 = Extranonce1::new(extranonce1.to_vec()).unwrap();
    let coinbase =
        Coinbase { coinb1: coinb1.into(), extranonce1, extranonce2_size: size, coinb2: coinb2.into() };
    for counter in [0, u128::MAX, 0x0123_4567_89ab_cdef_1122_3344_5566_7788] {
        parse(&coinbase.to_bytes(&Extranonce2::from_counter(counter, size)));
    }
    let Ok(payouts) = Payouts::of(&coinbase) else { return };
    for counter in
        [1, 0x80 << 120, 0x5555 << 64, u128::from_be_bytes([0xfd; 16]), u128::from_be_bytes([0x6a; 16])]
    {
        let other = Payouts::parse(&coinbase.to_bytes(&Extranonce2::from_counter(counter, size)));
        assert_eq!(paid(&other.unwrap()), paid(&payouts), "extranonce2 {counter:x} pays others");
    }
}

fn parse(bytes: &[u8]) {
    let Ok(payouts) = Payouts::parse(bytes) else { return };
    let transaction: Transaction = deserialize(bytes).unwrap();
    assert_eq!(serialize(&transaction), bytes, "another transaction has the same payouts");
    assert!(transaction.is_coinbase());
    assert_eq!(payouts.total(), transaction.output.iter().map(|output| output.value).sum::<Amount>());
    assert_eq!(payouts.outputs().len(), transaction.output.len());
    for network in [Network::Bitcoin, Network::Testnet, Network::Regtest] {
        let shown = payouts.shown(network);
        assert!(shown.len() < 1000 && !shown.contains(char::is_control), "{shown}");
        payouts.outputs().iter().for_each(|payout| check(payout, network));
    }
    let everybody: Vec<_> = payouts.outputs().iter().map(|payout| payout.script.clone()).collect();
    let expected = if payouts.total() > Amount::ZERO { 1.0 } else { 0.0 };
    assert_eq!(payouts.part_of(&everybody), expected);
}

fn check(payout: &Payout, network: Network) {
    assert!(payout.shown(network).len() < 200);
    if let Some(address) = payout.address(network) {
        assert_eq!(address.script_pubkey(), payout.script);
    }
}

/// Whom and how much, without what only carries data.
fn paid(payouts: &Payouts) -> Vec<&Payout> {
    payouts.outputs().iter().filter(|payout| !payout.script.is_op_return()).collect()
}
