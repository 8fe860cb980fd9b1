//! A template as large as a block, from its text to the block of a share: read again by other code, nothing is wrong
//! with it.
#![allow(clippy::unwrap_used)] // all of this file is a test, also what clippy does not see as one

use std::sync::Arc;

use bitcoin::consensus::{deserialize, serialize};
use bitcoin::{Address, Block};
use serde_json::Value;
use signalcore::work::block::{JobLabel, SoloJob};
use signalcore::work::coinbase_builder::{CoinbasePlan, Payee, Tag};
use signalcore::work::template::Template;
use signalcore::work::{Difficulty, Epoch, Extranonce2, Extranonce2Size, JobId, Work};

#[path = "support/full_template.rs"]
mod full_template;

#[test]
fn a_share_of_a_full_template_becomes_the_block_that_other_code_makes_of_the_same_transactions() {
    let text = full_template::template(4_000);
    let given: Value = serde_json::from_str(&text).unwrap();
    let template = Template::parse(&text).unwrap();
    assert!(template.transactions().weight() > 3_600_000, "{}", template.transactions().weight());
    let solo = job(template);
    let work =
        Work::new(Arc::clone(solo.job()), Extranonce2::from_counter(7, size()), solo.job().header.ntime);
    let share =
        (0..).find_map(|nonce| work.verify(solo.job().header.version, nonce).ok()).expect("half of all do");
    let block = solo.block(&share).unwrap();
    assert_eq!(block.faults(), []);
    let hex = block.to_hex();
    assert_eq!(hex.len(), hex.capacity(), "it was made in one piece");
    let read: Block = deserialize(&hex::decode(&hex).unwrap()).unwrap();
    assert!(read.check_merkle_root() && read.check_witness_commitment());
    let entries = given["transactions"].as_array().unwrap();
    assert_eq!(read.txdata.len(), entries.len() + 1);
    for (one, entry) in read.txdata[1..].iter().zip(entries) {
        assert_eq!(hex::encode(serialize(one)), entry["data"]);
    }
}

fn job(template: Template) -> SoloJob {
    let address: Address<_> = "bc1q3udk7r26qs32ltf9nmqrjaaa7tr55qmkuh5n07".parse().unwrap();
    let payee = Payee::new(&address.assume_checked(), 1).unwrap();
    let plan = CoinbasePlan::new(vec![payee], Tag::default(), size()).unwrap();
    let label =
        JobLabel { id: JobId::Text("1".into()), epoch: Epoch::default(), difficulty: Difficulty::ONE };
    SoloJob::new(Arc::new(template), &plan, label).unwrap()
}

fn size() -> Extranonce2Size {
    Extranonce2Size::new(8).unwrap()
}
