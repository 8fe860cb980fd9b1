use bitcoin::address::NetworkUnchecked;
use bitcoin::hashes::Hash;
use bitcoin::script::Builder;
use bitcoin::{Amount, Network, Transaction};
use proptest::prelude::*;

use super::*;
use crate::work::payout::Payouts;
use crate::work::{Extranonce2, vectors};

const ALICE: &str = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
const BOB: &str = "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2";

fn address(text: &str) -> Address {
    text.parse::<Address<NetworkUnchecked>>().unwrap().assume_checked()
}

fn payee(text: &str, part: u32) -> Payee {
    Payee::new(&address(text), part).unwrap()
}

fn plan(payees: Vec<Payee>, tag: &str, size: usize) -> CoinbasePlan {
    CoinbasePlan::new(payees, Tag::new(tag).unwrap(), Extranonce2Size::new(size as i64).unwrap()).unwrap()
}

fn reward(value: u64, aux: usize) -> Reward {
    Reward { value, aux: vec![0xaa; aux], commitment: Some([0x6a; 38]) }
}

fn amounts(payees: Vec<Payee>, value: u64) -> Vec<u64> {
    let coinbase = plan(payees, "", 8).build(1, &reward(value, 0)).unwrap();
    let transaction = transaction(&coinbase);
    assert_eq!(transaction.output.last().unwrap().value, Amount::ZERO, "the commitment is last");
    transaction.output.iter().rev().skip(1).rev().map(|output| output.value.to_sat()).collect()
}

fn transaction(coinbase: &Coinbase) -> Transaction {
    let extranonce2 = Extranonce2::from_counter(7, coinbase.extranonce2_size);
    bitcoin::consensus::deserialize(&coinbase.to_bytes(&extranonce2)).unwrap()
}

#[test]
fn heights_are_pushed_as_recorded() {
    let recorded = vectors::gbt().height_push;
    assert_eq!(recorded.len(), 23);
    for entry in recorded {
        let height = entry["height"].as_u64().unwrap() as u32;
        assert_eq!(hex::encode(height_push(height)), entry["push"], "{height}");
    }
}

#[test]
fn every_usual_address_is_paid_to_its_script_and_no_other_one() {
    let vectors = vectors::gbt();
    for entry in &vectors.addresses {
        let payee = Payee::new(&address(&entry["address"]), 1).unwrap();
        assert_eq!(hex::encode(payee.script.as_bytes()), entry["script_pubkey"]);
    }
    let unusual = vectors.addresses_to_refuse_on_mainnet.iter().map(|entry| &entry["address"]);
    let parsed: Vec<_> = unusual
        .filter_map(|text| {
            text.parse::<Address<NetworkUnchecked>>().ok()?.require_network(Network::Bitcoin).ok()
        })
        .collect();
    assert_eq!(parsed.len(), 2, "pay-to-anchor and witness version 2");
    for address in parsed {
        assert_eq!(Payee::new(&address, 1), Err(BuildError::Address(address.to_string())));
    }
}

#[test]
fn parts_share_out_the_whole_reward_and_the_first_gets_what_is_left_over() {
    assert_eq!(amounts(vec![payee(ALICE, 1), payee(BOB, 2)], 100), [34, 66]);
    assert_eq!(amounts(vec![payee(ALICE, 1), payee(BOB, u32::MAX)], 10), [1, 9]);
    assert_eq!(amounts(vec![payee(BOB, u32::MAX), payee(ALICE, 1)], 10), [10], "nobody gets an output of 0");
    assert_eq!(amounts(vec![payee(ALICE, 1), payee(BOB, 1)], 0), [0], "but one there must be");
}

#[test]
fn a_tag_is_cut_where_there_is_no_room_and_the_extranonce_never() {
    let plan = plan(vec![payee(ALICE, 1)], &"t".repeat(MAX_TAG), 32);
    let length = |aux| {
        let input = &transaction(&plan.build(840_000, &reward(1, aux)).unwrap()).input[0];
        let script = input.script_sig.to_bytes();
        assert!(script.ends_with(&vec![0xaa; aux]));
        (script.len(), script.split(|byte| *byte == b't').count() - 1)
    };
    assert_eq!(length(0), (100, 62));
    assert_eq!(length(61), (100, 1));
    assert_eq!(length(62), (99, 0), "a push of nothing is left out");
    assert_eq!(length(63), (100, 0));
    assert_eq!(plan.build(840_000, &reward(1, 64)), Err(BuildError::NoRoom(101)));
}

#[test]
fn what_no_coinbase_can_have_is_refused() {
    assert_eq!(Tag::new("a\nb"), Err(BuildError::TagCharacter('\n')));
    assert_eq!(Tag::new("café"), Err(BuildError::TagCharacter('é')));
    assert_eq!(Tag::new(&"x".repeat(65)), Err(BuildError::TagTooLong(65)));
    assert_eq!(Payee::new(&address(ALICE), 0), Err(BuildError::Part(ALICE.into())));
    let size = |bytes| Extranonce2Size::new(bytes).unwrap();
    let many = |count| vec![payee(ALICE, 1); count];
    assert_eq!(CoinbasePlan::new(many(0), Tag::default(), size(8)), Err(BuildError::Payouts(0)));
    assert_eq!(CoinbasePlan::new(many(21), Tag::default(), size(8)), Err(BuildError::Payouts(21)));
    assert_eq!(CoinbasePlan::new(many(20), Tag::default(), size(3)), Err(BuildError::Extranonce2TooSmall(3)));
}

proptest! {
    #[test]
    fn a_height_is_pushed_as_other_code_does(height in prop_oneof![0u32..70_000, any::<u32>()]) {
        let other = Builder::new().push_int(height.into()).into_script();
        prop_assert_eq!(height_push(height), other.to_bytes());
    }

    #[test]
    fn any_coinbase_is_read_by_other_code_as_it_was_meant(
        height in 1u32..500_000_000, value in 0..=2_100_000_000_000_000u64, parts in proptest::collection::vec(1u32.., 1..=20),
        tag in "[ -~]{0,64}", size in 4usize..=32, aux in 0usize..=60,
    ) {
        let payees = parts.iter().map(|part| payee(BOB, *part)).collect();
        let coinbase = plan(payees, &tag, size).build(height, &reward(value, aux)).unwrap();
        let extranonce2 = Extranonce2::from_counter(u128::MAX, coinbase.extranonce2_size);
        let bytes = coinbase.to_bytes(&extranonce2);
        let payouts = Payouts::parse(&bytes).unwrap();
        prop_assert_eq!(payouts.total().to_sat(), value);
        prop_assert_eq!(crate::work::coinbase::height(&coinbase.coinb1), Some(height));
        let whole: Transaction = bitcoin::consensus::deserialize(&with_witness(&bytes)).unwrap();
        prop_assert_eq!(whole.input[0].witness.to_vec(), vec![vec![0; 32]]);
        prop_assert_eq!(whole.lock_time.to_consensus_u32(), height - 1);
        prop_assert_eq!(whole.input[0].sequence.to_consensus_u32(), 0xffff_fffe);
        prop_assert_eq!(bitcoin::consensus::serialize(&whole), with_witness(&bytes));
        prop_assert_eq!(whole.compute_txid().to_byte_array(), coinbase.hash(&extranonce2));
    }
}
