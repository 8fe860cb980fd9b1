use bitcoin::Transaction;
use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hashes::Hash;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::work::vectors;

/// All transactions of the recorded blocks: coinbases, legacy, with witnesses.
fn recorded() -> Vec<Vec<u8>> {
    let blocks = vectors::gbt().cases.into_iter().filter_map(|case| {
        let bytes = hex::decode(case.block_hex).unwrap();
        deserialize::<bitcoin::Block>(&bytes).ok()
    });
    let mut all: Vec<_> = blocks.flat_map(|block| block.txdata).map(|one| serialize(&one)).collect();
    all.sort();
    all.dedup();
    assert!(all.len() > 280, "{} transactions", all.len());
    all
}

/// The same verdict as the `bitcoin` crate, and where it is a transaction the same hashes, weight and kind.
fn is_read_as_by_other_code(bytes: &[u8]) {
    let shown = hex::encode(bytes);
    match (RawTransaction::parse(bytes), deserialize::<Transaction>(bytes)) {
        (Ok(ours), Ok(other)) => {
            let (txid, wtxid) = (other.compute_txid().to_byte_array(), other.compute_wtxid().to_byte_array());
            assert_eq!(ours.hashes(&mut vec![1; 3]), (txid, wtxid), "{shown}");
            assert_eq!(ours.weight(), other.weight().to_wu(), "{shown}");
            assert_eq!(ours.is_coinbase(), other.is_coinbase(), "{shown}");
        }
        (Err(_), Err(_)) => {}
        (ours, other) => panic!("{shown}: {ours:?}, elsewhere {other:?}"),
    }
}

#[test]
fn recorded_transactions_are_read_as_by_other_code() {
    for bytes in recorded() {
        RawTransaction::parse(&bytes).unwrap();
        is_read_as_by_other_code(&bytes);
    }
}

#[test]
fn every_cut_and_every_changed_byte_of_small_transactions_is_judged_as_by_other_code() {
    let all = recorded();
    for smallest in [true, false].map(|has_witness| {
        let is_wanted = |bytes: &&Vec<u8>| RawTransaction::parse(bytes).unwrap().has_witness == has_witness;
        all.iter().filter(is_wanted).min_by_key(|bytes| bytes.len()).unwrap()
    }) {
        for at in 0..smallest.len() {
            is_read_as_by_other_code(&smallest[..at]);
            for byte in 0..=u8::MAX {
                let mut changed = smallest.clone();
                changed[at] = byte;
                is_read_as_by_other_code(&changed);
            }
        }
    }
}

#[test]
fn what_is_no_transaction_is_told_apart() {
    let body = |counts: &str| format!("02000000{counts}");
    let cases = [
        (body(""), NoTransaction::Short),
        (body("0000"), NoTransaction::Flag(0)),
        (body("0002"), NoTransaction::Flag(2)),
        (body("fd0100"), NoTransaction::Count),
        (body("feffff0000"), NoTransaction::Count),
        (body("ffffffffff00000000"), NoTransaction::Count),
        (body("ffffffffffffffffff"), NoTransaction::Short),
        (format!("{}00{}000000000000", body("000101"), "00".repeat(36)), NoTransaction::NoWitness),
        (format!("{}{}", body("00010000"), "00".repeat(5)), NoTransaction::Trailing(1)),
    ];
    for (text, expected) in cases {
        let bytes = hex::decode(&text).unwrap();
        assert_eq!(RawTransaction::parse(&bytes), Err(expected), "{text}");
        is_read_as_by_other_code(&bytes);
    }
}

/// One change: a byte, bytes put in, or bytes taken out.
#[derive(Debug, Clone)]
enum Change {
    Byte(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, Index),
}

impl Change {
    fn any() -> impl Strategy<Value = Self> {
        let telling = prop_oneof![any::<u8>(), prop::sample::select(vec![0, 1, 2, 0xfc, 0xfd, 0xfe, 0xff])];
        prop_oneof![
            (any::<Index>(), telling.clone()).prop_map(|(at, byte)| Self::Byte(at, byte)),
            (any::<Index>(), proptest::collection::vec(telling, 1..9))
                .prop_map(|(at, bytes)| Self::Insert(at, bytes)),
            any::<(Index, Index)>().prop_map(|(from, to)| Self::Remove(from, to)),
        ]
    }

    fn make(&self, bytes: &mut Vec<u8>) {
        let place = |at: &Index| at.index(bytes.len() + 1);
        match self {
            Self::Byte(at, byte) => {
                let place = at.index(bytes.len().max(1));
                bytes.get_mut(place).map(|old| *old = *byte).unwrap_or_default();
            }
            Self::Insert(at, new) => {
                let place = place(at);
                bytes.splice(place..place, new.iter().copied());
            }
            Self::Remove(from, to) => {
                let (from, to) = (place(from), place(to));
                bytes.drain(from.min(to)..from.max(to));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn changed_transactions_are_judged_as_by_other_code(which in any::<Index>(), changes in proptest::collection::vec(Change::any(), 1..4)) {
        static RECORDED: std::sync::LazyLock<Vec<Vec<u8>>> = std::sync::LazyLock::new(recorded);
        let mut bytes = RECORDED[which.index(RECORDED.len())].clone();
        for change in &changes {
            change.make(&mut bytes);
            is_read_as_by_other_code(&bytes);
        }
    }

    #[test]
    fn a_few_bytes_are_judged_as_by_other_code(counts in proptest::collection::vec(prop_oneof![0_u8..3, any::<u8>()], 0..70)) {
        is_read_as_by_other_code(&[&[2, 0, 0, 0], &counts[..]].concat());
    }
}
