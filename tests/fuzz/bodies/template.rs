//! The template reader: what it accepts gives a job, and every share of that a block without a fault that we could
//! have known of; its complaints are short and harmless.

use std::sync::Arc;

use bitcoin::consensus::encode::deserialize_hex;
use bitcoin::{Address, Block};
use signalcore::work::block::{BlockFault, JobLabel, SoloJob};
use signalcore::work::coinbase_builder::{CoinbasePlan, Payee, Tag};
use signalcore::work::template::{FIRST_SUBSIDY, MAX_MONEY, Template, VERSIONS};
use signalcore::work::{Difficulty, Epoch, Extranonce2, Extranonce2Size, JobId, VersionMask, Work};

/// Longest complaint, in characters: what is quoted is cut to 80, each of which may be written as up to ten.
const MAX_COMPLAINT: usize = 1000;
/// Nonces tried for a share. The templates of regtest need two.
const TRIES: u32 = 16;
/// What the list of transactions decides, which is the node's: an order and repetitions that only a whole block shows.
const OF_THE_NODE: [BlockFault; 2] = [BlockFault::ParentTransaction, BlockFault::Duplicate];

pub(crate) fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    match Template::parse(&text) {
        Ok(template) => check(template),
        Err(error) => check_complaint(&error.to_string()),
    }
}

fn check(template: Template) {
    let (header, reward) = (template.header(), template.reward());
    assert!(VERSIONS.contains(&header.version.into()) && header.ntime >= template.mintime());
    assert_eq!(template.version_mask().bits() & !VersionMask::BIP320.bits(), 0);
    assert!(reward.value <= MAX_MONEY && reward.value <= FIRST_SUBSIDY + template.transactions().fees());
    assert!(template.transactions().weight() <= template.limits().weight);
    assert!(template.transactions().size() <= template.limits().size);
    assert!(!template.transactions().hex().contains(|c: char| !matches!(c, '0'..='9' | 'a'..='f')));
    let address: Address<_> = "bc1q3udk7r26qs32ltf9nmqrjaaa7tr55qmkuh5n07".parse().unwrap();
    let payee = Payee::new(&address.assume_checked(), 1).unwrap();
    let size = Extranonce2Size::new(8).unwrap();
    let plan = CoinbasePlan::new(vec![payee], Tag::new("/fuzz/").unwrap(), size).unwrap();
    let label =
        JobLabel { id: JobId::Text("1".into()), epoch: Epoch::default(), difficulty: Difficulty::ONE };
    match SoloJob::new(Arc::new(template), &plan, label) {
        Ok(solo) => find(&solo),
        Err(error) => check_complaint(&error.to_string()),
    }
}

/// Looks for a share that solves the block.
fn find(solo: &SoloJob) {
    let job = solo.job();
    let extranonce2 = Extranonce2::from_counter(0x0123_4567, job.coinbase.extranonce2_size);
    let work = Work::new(Arc::clone(job), extranonce2, job.header.ntime);
    let Some(share) = (0..TRIES).find_map(|nonce| work.verify(job.header.version, nonce).ok()) else {
        return;
    };
    let block = solo.block(&share).unwrap();
    let faults = block.faults();
    assert!(faults.iter().all(|fault| OF_THE_NODE.contains(fault)), "{faults:?}");
    let read: Block = deserialize_hex(&block.to_hex()).unwrap();
    assert!(read.check_merkle_root() && read.check_witness_commitment());
    assert_eq!(read.txdata.len(), solo.template().transactions().txids().len() + 1);
}

fn check_complaint(complaint: &str) {
    assert!(
        complaint.chars().count() <= MAX_COMPLAINT && !complaint.contains(char::is_control),
        "{complaint:?}"
    );
}
