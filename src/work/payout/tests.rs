use bitcoin::absolute::LockTime;
use bitcoin::consensus::serialize;
use bitcoin::opcodes::all::OP_RETURN;
use bitcoin::script::Builder;
use bitcoin::transaction::Version;
use bitcoin::{Sequence, TxIn, TxOut, Witness};
use proptest::prelude::*;

use super::*;
use crate::work::{Extranonce1, Extranonce2Size, Job, vectors};

const ALICE: &str = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
const BOB: &str = "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2";

fn address(text: &str) -> Address {
    text.parse::<Address<bitcoin::address::NetworkUnchecked>>().unwrap().assume_checked()
}

fn output(amount: u64, script: ScriptBuf) -> TxOut {
    TxOut { value: Amount::from_sat(amount), script_pubkey: script }
}

fn pays(amount: u64, to: &str) -> TxOut {
    output(amount, address(to).script_pubkey())
}

fn data(bytes: [u8; 8]) -> ScriptBuf {
    Builder::new().push_opcode(OP_RETURN).push_slice(bytes).into_script()
}

fn transaction(outputs: Vec<TxOut>) -> Transaction {
    let input = TxIn {
        previous_output: OutPoint::null(),
        script_sig: ScriptBuf::from_bytes(vec![3, 1, 2, 3, 8, 0, 0, 0, 0, 0, 0, 0, 0]),
        sequence: Sequence::MAX,
        witness: Witness::new(),
    };
    Transaction { version: Version::TWO, lock_time: LockTime::ZERO, input: vec![input], output: outputs }
}

/// A coinbase whose eight extranonce bytes lie at `place` of the transaction.
fn split(transaction: &Transaction, place: usize) -> Coinbase {
    let bytes = serialize(transaction);
    Coinbase {
        coinb1: bytes[..place].into(),
        extranonce1: Extranonce1::new(bytes[place..place + 4].to_vec()).unwrap(),
        extranonce2_size: Extranonce2Size::new(4).unwrap(),
        coinb2: bytes[place + 8..].into(),
    }
}

fn parsed(outputs: Vec<TxOut>) -> Payouts {
    Payouts::parse(&serialize(&transaction(outputs))).unwrap()
}

#[test]
fn every_recorded_coinbase_is_read_to_its_last_byte() {
    let vectors = vectors::stratum();
    assert_eq!(vectors.len(), 29);
    for vector in vectors {
        let payouts = Payouts::of(&Job::from(&vector).coinbase);
        let payouts = payouts.unwrap_or_else(|error| panic!("{}: {error}", vector.name));
        assert!(payouts.total() > Amount::ZERO, "{}", vector.name);
        let by_amount = |pair: &[Payout]| pair[0].amount >= pair[1].amount;
        assert!(payouts.outputs().windows(2).all(by_amount), "{}", vector.name);
    }
}

#[test]
fn recorded_pools_pay_whom_the_chain_says() {
    let shown = |name: &str, network| {
        let vector = vectors::stratum().into_iter().find(|vector| vector.name == name).unwrap();
        Payouts::of(&Job::from(&vector).coinbase).unwrap().shown(network)
    };
    assert_eq!(
        shown("block-881423-ckpool-layout", Network::Bitcoin),
        "3.14616437 BTC to bc1qce93hy5rhg02s6aeu7mfdvxg76x66pqqtrvzs3"
    );
    assert_eq!(
        shown("braiins-docs-testnet3", Network::Testnet),
        "50 BTC to mzgedZJgT6Yo1iwMpLN8X3HwQy2V4MggzD"
    );
    // A bare public key has no address.
    assert!(shown("block-1", Network::Bitcoin).starts_with("50 BTC to script 410496b538e8"));
}

#[test]
fn each_thing_that_makes_a_coinbase_none_is_named() {
    let good = || transaction(vec![pays(50, ALICE)]);
    let error = |change: fn(&mut Transaction)| {
        let mut transaction = good();
        change(&mut transaction);
        Payouts::parse(&serialize(&transaction)).unwrap_err()
    };
    let twice = |t: &mut Transaction| t.input.push(t.input[0].clone());
    assert_eq!(error(twice), CoinbaseError::Inputs(2));
    let theft = error(|t| t.input[0].previous_output.vout = 0);
    assert!(matches!(theft, CoinbaseError::Spends(from) if from.vout == 0), "{theft}");
    assert_eq!(
        error(|t| t.input[0].script_sig = ScriptBuf::from_bytes(vec![0])),
        CoinbaseError::ScriptSig(1)
    );
    let long = error(|t| t.input[0].script_sig = ScriptBuf::from_bytes(vec![0; 101]));
    assert_eq!(long.to_string(), "the scriptSig of its coinbase has 101 bytes, not 2 to 100");
    assert_eq!(error(|t| t.output.clear()), CoinbaseError::NoOutput);
    assert_eq!(error(|t| t.input[0].witness.push([0; 32])), CoinbaseError::Witness);
    let rich = |t: &mut Transaction| {
        t.output = vec![output(u64::MAX, ScriptBuf::new()), output(1, ScriptBuf::new())];
    };
    assert_eq!(error(rich), CoinbaseError::Overflow);
    let mut bytes = serialize(&good());
    bytes.push(0);
    assert_eq!(Payouts::parse(&bytes), Err(CoinbaseError::Leftover(1)));
    for bytes in [&bytes[..bytes.len() - 2], &[], &[1, 2]] {
        let error = Payouts::parse(bytes).unwrap_err();
        assert!(matches!(&error, CoinbaseError::NoTransaction(_)), "{error}");
    }
}

#[test]
fn extranonces_may_lie_in_the_script_sig_or_in_data_and_nowhere_else() {
    let transaction = transaction(vec![pays(1000, ALICE), output(0, data([7; 8])), output(0, data([8; 8]))]);
    let bytes = serialize(&transaction);
    let at = |needle: &[u8]| bytes.windows(needle.len()).position(|window| window == needle).unwrap();
    assert!(Payouts::of(&split(&transaction, 47)).is_ok(), "scriptSig");
    assert!(Payouts::of(&split(&transaction, at(&[7; 8]))).is_ok(), "data");
    let program = transaction.output[0].script_pubkey.as_bytes();
    for place in [at(program) + 4, at(&1000_u64.to_le_bytes()) - 4] {
        assert_eq!(Payouts::of(&split(&transaction, place)), Err(CoinbaseError::Extranonce2), "{place}");
    }
    assert!(Payouts::of(&split(&transaction, at(&[7; 8]) - 7)).is_err(), "the length of a script");
}

#[test]
fn the_part_that_is_paid_counts_all_outputs_to_any_of_the_addresses() {
    let million = |parts: u64| parts * 1_000_000;
    let outputs = [(97, ALICE), (1, BOB), (1, ALICE)].map(|(parts, to)| pays(million(parts), to));
    let payouts = parsed(outputs.into_iter().chain([output(million(1), ScriptBuf::new())]).collect());
    let expected =
        |addresses: &[&str], min| Expected::new(addresses.iter().map(|a| address(a)).collect(), min);
    assert_eq!(expected(&[ALICE], 0.98).part_of(&payouts), 0.98);
    assert!(expected(&[ALICE], 0.98).are_met_by(&payouts));
    assert!(!expected(&[ALICE], 0.9801).are_met_by(&payouts));
    assert!(expected(&[ALICE, BOB], 0.99).are_met_by(&payouts));
    assert!(!expected(&[BOB], 0.98).are_met_by(&payouts));
    let rounded = parsed(vec![pays(98_009_799, ALICE), pays(2_000_201, BOB)]);
    assert!(expected(&[ALICE], 0.98).are_met_by(&rounded), "a satoshi for each output");
    let nothing = parsed(vec![pays(0, ALICE)]);
    assert!(!expected(&[ALICE], 0.01).are_met_by(&nothing), "nothing is no part of nothing");
}

#[test]
fn whatever_a_script_is_it_is_shown_short_and_harmless() {
    let shown = |script: ScriptBuf| {
        let payout = Payout { script, amount: Amount::from_sat(1) };
        let text = payout.shown(Network::Bitcoin);
        assert!(text.len() < 160 && !text.contains(char::is_control), "{text}");
        text
    };
    let text = |text: &'static [u8]| {
        let push: &bitcoin::script::PushBytes = text.try_into().unwrap();
        Builder::new().push_opcode(OP_RETURN).push_slice(push).into_script()
    };
    assert_eq!(shown(address(BOB).script_pubkey()), BOB);
    assert_eq!(shown(text(b"hello \"you\"")), "OP_RETURN \"hello \\\"you\\\"\"");
    assert_eq!(shown(text(b"\x1b[31m")), "script 6a051b5b33316d");
    assert_eq!(shown(ScriptBuf::new()), "script ");
    assert!(shown(ScriptBuf::from_bytes(vec![0xac; 5000])).ends_with("acac…"));
}

#[test]
fn a_sentence_names_four_outputs_and_counts_the_rest() {
    let payouts = parsed((1..=7).map(|amount| pays(amount, ALICE)).collect());
    let shown = payouts.shown(Network::Bitcoin);
    assert!(shown.starts_with(&format!("0.00000007 BTC to {ALICE}, 0.00000006 BTC")), "{shown}");
    assert!(shown.ends_with(", 3 more"), "{shown}");
    assert_eq!(parsed(vec![output(0, data([1; 8]))]).shown(Network::Bitcoin), "nothing to anybody");
    let many = Expected::new(vec![address(ALICE); 6], 1.0).to_string();
    assert_eq!((many.matches(ALICE).count(), many.ends_with(" and 2 more")), (4, true), "{many}");
}

#[test]
fn the_network_is_that_of_the_spelling() {
    for (text, expected) in [
        (ALICE, Network::Bitcoin),
        (BOB, Network::Bitcoin),
        ("tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx", Network::Testnet),
        ("mzgedZJgT6Yo1iwMpLN8X3HwQy2V4MggzD", Network::Testnet),
        ("bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080", Network::Regtest),
    ] {
        assert_eq!(network(&address(text)), expected, "{text}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        _ = Payouts::parse(&bytes);
    }

    #[test]
    fn a_coinbase_with_any_bytes_changed_is_read_or_refused(
        vector in 0..29usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut coinbase = Job::from(&vectors::stratum()[vector]).coinbase;
        for (place, byte) in changes {
            let place = place.index(coinbase.coinb1.len() + coinbase.coinb2.len());
            match place.checked_sub(coinbase.coinb1.len()) {
                None => coinbase.coinb1[place] = byte,
                Some(place) => coinbase.coinb2[place] = byte,
            }
        }
        if let Ok(payouts) = Payouts::of(&coinbase) {
            prop_assert!(!payouts.outputs().is_empty());
            prop_assert!(!payouts.shown(Network::Bitcoin).contains(char::is_control));
        }
    }
}
