use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::work::{Extranonce2, Job, JobId, Work, merkle, vectors};

/// A block whose bytes are those of a recorded one; `index` of 45.
pub(crate) fn solo(index: usize, at: u64) -> Found {
    let block = vectors::gbt().cases.swap_remove(index).block_hex;
    let header = hex::decode(&block[..HEADER_DIGITS]).unwrap().try_into().unwrap();
    let solo = SoloBlock { height: 1, chain: "regtest".to_owned(), block };
    Found {
        at,
        hash: Header::from_bytes(&header).hash(),
        upstream: "node".to_owned(),
        body: FoundBody::Solo(solo),
    }
}

/// The share of a recorded job that solved a block.
fn share() -> Share {
    let solves =
        |v: &vectors::StratumVector| v.meets_network_target && !v.notify[4].as_array().unwrap().is_empty();
    let vector = vectors::stratum().into_iter().find(solves).unwrap();
    let extranonce2 = Extranonce2::from_bytes(&hex::decode(&vector.extranonce2).unwrap()).unwrap();
    let job = Job { id: JobId::Text("a\u{1b}[31mb".into()), ..Job::from(&vector) };
    let work = Work::new(Arc::new(job), extranonce2, vectors::number(&vector.ntime));
    work.verify(vectors::number(&vector.header_version), vectors::number(&vector.nonce)).unwrap()
}

fn records() -> Vec<Record> {
    let found = solo(0, 1_700_000_000);
    let hash = found.hash;
    let settled = |fate| Record::Settled(Settled { at: 9, hash, fate });
    vec![
        Record::Found(found),
        Record::Found(Found::for_pool(&share(), "stratum+tcp://pool.example.com:3333", 7)),
        Record::Answer(Answer::new(hash, "node", "inconclusive \"here\"", 8)),
        settled(Fate::Accepted),
        settled(Fate::Orphaned),
        settled(Fate::refused("bad-cb-amount")),
        settled(Fate::given_up("height 7 is 9 behind the tip")),
    ]
}

#[test]
fn every_record_survives_the_way_to_a_line_and_back() {
    for record in records() {
        let line = record.to_line();
        assert!(!line.contains('\n'));
        assert_eq!(Record::from_line(line.as_bytes()), Ok(record));
    }
}

#[test]
fn the_form_of_a_line_is_that_of_the_first_version() {
    let hash = BlockHash([0xab; 32]);
    let settled = Record::Settled(Settled { at: 9, hash, fate: Fate::refused("high-hash") });
    let json =
        format!(r#"{{"record":"settled","at":9,"hash":"{hash}","fate":"refused","reason":"high-hash"}}"#);
    // The digits come from `printf %s "$json" | sha256sum`.
    assert_eq!(settled.to_line(), format!("d9561d56499afe05 {json}"));
}

#[test]
fn one_flipped_bit_anywhere_in_a_line_is_noticed() {
    for record in &records()[2..] {
        let line = record.to_line().into_bytes();
        for bit in 0..8 * line.len() {
            let mut flipped = line.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Record::from_line(&flipped).is_err(), "{}", String::from_utf8_lossy(&flipped));
        }
    }
}

#[test]
fn every_torn_line_is_noticed() {
    for record in records() {
        let line = record.to_line();
        for length in 0..line.len() {
            assert!(Record::from_line(&line.as_bytes()[..length]).is_err(), "{}", &line[..length]);
        }
    }
}

#[test]
fn a_whole_line_of_another_form_says_why_it_is_none_of_ours() {
    let said = |json: &str| {
        let line = format!("{} {json}", checksum(json.as_bytes()));
        Record::from_line(line.as_bytes()).unwrap_err().to_string()
    };
    assert!(said(r#"{"record":"dreamt","at":1}"#).starts_with("it makes no sense: unknown variant `dreamt`"));
    assert!(said("[1]").starts_with("it makes no sense: "));
    assert!(said(r#"{"record":"answer","at":1,"hash":"ab","from":"","text":""}"#).contains("64 hex digits"));
    assert_eq!(Record::from_line(b"# a note of mine"), Err(LineError::Foreign));
    let json = r#"{"record":"answer"}"#;
    let line = format!("0000000000000000 {json}");
    assert_eq!(Record::from_line(line.as_bytes()), Err(LineError::Checksum));
}

#[test]
fn a_block_of_another_hash_or_without_bytes_is_no_record() {
    let field = |found: Found| match Record::from_line(Record::Found(found).to_line().as_bytes()) {
        Err(LineError::Body(field, _)) => field,
        other => panic!("{other:?}"),
    };
    let hash = BlockHash([1; 32]);
    assert_eq!(field(Found { hash, ..solo(0, 1) }), "block");
    let pool = Found::for_pool(&share(), "pool", 1);
    assert_eq!(field(Found { hash, ..pool.clone() }), "header");
    let FoundBody::Pool(block) = pool.body.clone() else { panic!("{pool:?}") };
    for (named, changed) in [
        ("header", PoolBlock { header: format!("{}00", block.header), ..block.clone() }),
        ("coinbase", PoolBlock { coinbase: "0".to_owned(), ..block.clone() }),
        ("coinbase", PoolBlock { coinbase: "ü".to_owned(), ..block.clone() }),
        ("branch", PoolBlock { branch: vec!["00".to_owned()], ..block }),
    ] {
        assert_eq!(field(Found { body: FoundBody::Pool(changed), ..pool.clone() }), named);
    }
    let mut wide = solo(0, 1);
    wide.body = FoundBody::Solo(SoloBlock { height: 1, chain: String::new(), block: "é".repeat(80) });
    assert_eq!(field(wide), "block");
}

#[test]
fn a_pool_block_holds_all_that_its_header_was_made_of() {
    let share = share();
    assert!(share.solves_block());
    let found = Found::for_pool(&share, "pool\n", 5);
    assert_eq!((found.at, found.hash, found.upstream.as_str()), (5, *share.hash(), "pool"));
    let FoundBody::Pool(block) = found.body else { panic!("{found:?}") };
    assert_eq!(block.job, "a[31mb");
    let header = Header::from_bytes(&hex::decode(block.header).unwrap().try_into().unwrap());
    let coinbase = crate::work::header::sha256d(&hex::decode(block.coinbase).unwrap());
    let branch: Vec<_> = block.branch.iter().map(|entry| vectors::bytes32(entry)).collect();
    assert!(!branch.is_empty());
    assert_eq!(header.merkle_root, merkle::fold(coinbase, &branch));
}

#[test]
fn what_strangers_say_is_cut_and_made_printable_on_the_way_in_and_out() {
    let hash = BlockHash([2; 32]);
    let answer = Answer::new(hash, "a\u{1b}", &"x\n".repeat(1000), 1);
    assert_eq!((answer.from.as_str(), answer.text.chars().count()), ("a", MAX_TEXT + 1));
    let raw = Answer { at: 1, hash, from: "\u{202e}b".to_owned(), text: "\u{7}c".to_owned() };
    let read = Record::from_line(Record::Answer(raw).to_line().as_bytes()).unwrap();
    assert_eq!(read, Record::Answer(Answer::new(hash, "b", "c", 1)));
}

#[test]
fn the_digits_of_a_block_stay_out_of_logs() {
    let text = format!("{:?}", solo(0, 1));
    assert!(text.len() < 300 && text.contains("1 of regtest"), "{text}");
}

proptest! {
    #[test]
    fn no_line_whatsoever_makes_the_parser_panic(
        json in r#"(\{|"record":"(found|answer|settled)"|"at":[0-9]{1,3}|"hash":"(ab){32}"|"fate":"[a-z_]{0,8}"|"kind":"(solo|pool)"|"block":"[0-9aé]{0,200}"|"branch":\[|,|\}|\]|.){0,20}"#
    ) {
        Record::from_line(json.as_bytes()).ok();
        let line = format!("{} {json}", checksum(json.as_bytes()));
        if let Ok(record) = Record::from_line(line.as_bytes()) {
            prop_assert_eq!(Record::from_line(record.to_line().as_bytes()), Ok(record));
        }
    }
}
