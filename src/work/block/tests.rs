use std::collections::BTreeMap;
use std::sync::LazyLock;

use bitcoin::Address;
use bitcoin::address::NetworkUnchecked;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::work::coinbase_builder::{Payee, Tag};
use crate::work::vectors::{self, GbtCase, bytes32, number};
use crate::work::{Extranonce2Size, Work};

/// Cases whose coinbase is wrong on purpose or of another style, so that ours differs.
const OTHER_COINBASES: &[&str] = &[
    "wrong-h18-bip34-spec-encoding-of-17",
    "reject-parent-left-out",
    "reject-tx-dropped-stale-commitment",
    "reject-bad-cb-height-plus-1",
    "reject-bad-cb-height-nonminimal",
    "reject-bad-cb-length-101",
    "reject-bad-cb-amount",
    "reject-unexpected-witness",
    "reject-nonfinal-coinbase",
    "accept-sequence-ffffffff-locktime-0",
    "reject-cb-amount-for-cache",
    "answer-duplicate-invalid",
];
/// Cases whose coinbase has another witness than ours.
const OTHER_WITNESSES: &[&str] =
    &["reject-bad-witness-nonce-size", "reject-bad-witness-merkle-match", "accept-no-witness-serialization"];
/// What is found wrong with the blocks of the cases; nothing with those that are not here.
const FAULTS: &[(&str, &[BlockFault])] = &[
    ("wrong-h18-bip34-spec-encoding-of-17", &[BlockFault::CoinbaseHeight]),
    ("reject-merkle-root-of-wrong-order", &[BlockFault::MerkleRoot, BlockFault::Commitment]),
    ("reject-hash-used-instead-of-txid", &[BlockFault::MerkleRoot]),
    ("reject-parent-left-out", &[BlockFault::AmountTooLow, BlockFault::ParentTransaction]),
    ("reject-tx-dropped-stale-commitment", &[BlockFault::AmountTooLow, BlockFault::Commitment]),
    ("reject-duplicate-tail", &[BlockFault::Duplicate]),
    ("reject-high-hash", &[BlockFault::HighHash]),
    ("reject-bad-txnmrklroot", &[BlockFault::MerkleRoot]),
    ("reject-bad-cb-height-plus-1", &[BlockFault::CoinbaseHeight]),
    ("reject-bad-cb-height-nonminimal", &[BlockFault::CoinbaseHeight]),
    ("reject-bad-cb-length-101", &[BlockFault::CoinbaseLength]),
    ("reject-bad-cb-amount", &[BlockFault::AmountTooHigh]),
    ("reject-unexpected-witness", &[BlockFault::UnexpectedWitness]),
    ("reject-bad-witness-nonce-size", &[BlockFault::ReservedValue]),
    ("reject-bad-witness-merkle-match", &[BlockFault::Commitment]),
    ("reject-time-too-old", &[BlockFault::TooOld]),
    ("reject-time-too-new", &[BlockFault::TooNew]),
    ("reject-bad-diffbits", &[BlockFault::Bits]),
    ("reject-bad-version", &[BlockFault::Version]),
    ("reject-prev-unknown", &[BlockFault::Parent]),
    ("reject-nonfinal-coinbase", &[BlockFault::NonFinal]),
    ("accept-no-witness-serialization", &[BlockFault::ReservedValue]),
    ("reject-cb-amount-for-cache", &[BlockFault::AmountTooHigh]),
    ("answer-duplicate-invalid", &[BlockFault::AmountTooHigh]),
    ("error-decode", &[BlockFault::Decode]),
    ("accept-trailing-bytes", &[BlockFault::Trailing]),
    ("reject-time-timewarp-attack", &[BlockFault::TooOld]),
];
/// Cases whose answer another word has than the fault: the chain decides, or the node forgives.
const OTHER_ANSWERS: &[&str] = &[
    "accept-no-witness-serialization",
    "answer-duplicate-invalid",
    "error-decode",
    "accept-trailing-bytes",
    "reject-time-timewarp-attack",
    "reject-bad-version",
];
/// Refusals that only the chain explains.
const OF_THE_CHAIN: &[&str] = &["answer-duplicate", "answer-inconclusive-stale", "reject-bad-prevblk"];

struct Bench {
    templates: BTreeMap<String, Value>,
}

impl Bench {
    fn template(&self, case: &GbtCase) -> Arc<Template> {
        Arc::new(Template::parse(&self.templates[&case.template_ref].to_string()).unwrap())
    }

    fn job(&self, case: &GbtCase) -> (SoloJob, Extranonce2) {
        let text = |field: &str| case.coinbase[field].as_str().unwrap_or_default();
        let extranonce2 = Extranonce2::from_bytes(&hex::decode(text("extranonce")).unwrap()).unwrap();
        let size = Extranonce2Size::new(extranonce2.as_bytes().len().max(4) as i64).unwrap();
        let address: Address<NetworkUnchecked> = case.payout["address"].parse().unwrap();
        let payee = Payee::new(&address.assume_checked(), 1).unwrap();
        let tag = Tag::new(text("tag_ascii")).unwrap();
        let plan = CoinbasePlan::new(vec![payee], tag, size).unwrap();
        (SoloJob::new(self.template(case), &plan, label()).unwrap(), extranonce2)
    }
}

fn label() -> JobLabel {
    JobLabel { id: JobId::Text("1".into()), epoch: Epoch::default(), difficulty: Difficulty::ONE }
}

fn cases() -> (Bench, Vec<GbtCase>) {
    let vectors = vectors::gbt();
    assert_eq!(vectors.cases.len(), 45);
    (Bench { templates: vectors.templates }, vectors.cases)
}

fn header(case: &GbtCase) -> Header {
    let text = case.header["hex"].as_str().unwrap();
    let header = Header::from_bytes(&hex::decode(text).unwrap().try_into().unwrap());
    assert_eq!(header.version, number(case.header["version"].as_str().unwrap()));
    assert_eq!(header.hash().to_string(), case.header["hash_display"], "{}", case.name);
    header
}

#[test]
fn every_coinbase_root_header_and_block_is_rebuilt_byte_for_byte() {
    let (bench, cases) = cases();
    let mut rebuilt = 0;
    for case in cases.iter().filter(|case| !OTHER_COINBASES.contains(&&*case.name)) {
        let (solo, extranonce2) = bench.job(case);
        let (name, job, header) = (&case.name, solo.job(), header(case));
        let hashed = job.coinbase.to_bytes(&extranonce2);
        assert_eq!(hex::encode(&hashed), case.coinbase["hex_without_witness"], "{name}");
        assert_eq!(hex::encode(job.coinbase.hash(&extranonce2)), case.coinbase["txid_internal"], "{name}");
        let branch: Vec<_> = case.merkle_branch_internal.iter().map(|entry| bytes32(entry)).collect();
        // The branch of that case is over the wrong hashes, which is its fault.
        assert_eq!(*job.branch == *branch, name != "reject-hash-used-instead-of-txid", "{name}");
        if OTHER_WITNESSES.contains(&&**name) {
            continue;
        }
        assert_eq!(hex::encode(with_witness(&hashed)), case.coinbase["hex_as_in_block"], "{name}");
        if case.rebuilds_from_template {
            let work = Work::new(Arc::clone(job), extranonce2, header.ntime);
            assert_eq!(header.merkle_root, work.header(0, 0).merkle_root, "{name}");
            assert_eq!(solo.block_of(header, &extranonce2).to_hex(), case.block_hex, "{name}");
            rebuilt += 1;
        }
    }
    assert_eq!(rebuilt, 24);
}

#[test]
fn blocks_around_coinbases_of_others_are_put_together_byte_for_byte() {
    let (bench, cases) = cases();
    let mut rebuilt = 0;
    for case in cases.iter().filter(|case| case.rebuilds_from_template) {
        let template = bench.template(case);
        let hashed = hex::decode(case.coinbase["hex_without_witness"].as_str().unwrap()).unwrap();
        let root = merkle::fold(
            crate::work::header::sha256d(&hashed),
            &merkle::branch(template.transactions().txids()),
        );
        assert_eq!(hex::encode(root), case.header["merkle_root_internal"], "{}", case.name);
        let coinbase = hex::decode(case.coinbase["hex_as_in_block"].as_str().unwrap()).unwrap();
        assert_eq!(
            Block { header: header(case), coinbase, template }.to_hex(),
            case.block_hex,
            "{}",
            case.name
        );
        rebuilt += 1;
    }
    assert_eq!(rebuilt, 36);
}

#[test]
fn what_the_node_refused_is_found_in_the_bytes_and_nothing_else_is() {
    let (bench, cases) = cases();
    for case in &cases {
        let name = &*case.name;
        let expected = FAULTS.iter().find(|(named, _)| *named == name).map_or(&[][..], |(_, faults)| *faults);
        let bytes = hex::decode(&case.block_hex).unwrap();
        assert_eq!(faults(&bytes, &bench.template(case)), expected, "{name}");
        let answer = case.submitblock_answer["result"].as_str();
        if !OTHER_ANSWERS.contains(&name) && !OF_THE_CHAIN.contains(&name) {
            let first = expected.iter().find(|fault| **fault != BlockFault::AmountTooLow); // which nodes accept
            assert_eq!(first.map(ToString::to_string).as_deref(), answer, "{name}");
        }
    }
}

#[test]
fn a_share_that_solves_a_block_becomes_one_without_a_fault_and_a_share_of_another_job_none() {
    let (bench, cases) = cases();
    let case = |name: &str| cases.iter().find(|case| case.name == name).unwrap();
    for name in ["empty-h1-p2wpkh", "many-tx-13", "many-tx-260", "accept-version-rolled"] {
        let (case, header) = (case(name), header(case(name)));
        let (solo, extranonce2) = bench.job(case);
        let work = Work::new(Arc::clone(solo.job()), extranonce2, header.ntime);
        let share = work.verify(header.version, header.nonce).unwrap();
        assert!(share.solves_block());
        let block = solo.block(&share).unwrap();
        assert_eq!(block.to_hex(), case.block_hex, "{name}");
        assert_eq!(block.faults(), [], "{name}");
        let (other, _) = bench.job(cases.iter().find(|case| case.name == "one-tx-legacy").unwrap());
        assert!(other.block(&share).is_none(), "{name}");
    }
}

#[test]
fn a_block_before_segwit_has_no_witness_and_no_commitment() {
    let (_, cases) = cases();
    let mut bench = Bench { templates: vectors::gbt().templates_of_other_networks_for_parsing_only };
    let name = "testnet3-height1-before-segwit";
    bench.templates.insert(cases[0].template_ref.clone(), bench.templates[name].clone());
    let (solo, extranonce2) = bench.job(&cases[0]);
    let header =
        Work::new(Arc::clone(solo.job()), extranonce2, solo.job().header.ntime).header(0x2000_0000, 0);
    let block = solo.block_of(header, &extranonce2);
    let read: bitcoin::Block =
        bitcoin::consensus::deserialize(&hex::decode(block.to_hex()).unwrap()).unwrap();
    assert_eq!(read.txdata[0].output.len(), 1);
    assert!(read.txdata[0].input[0].witness.is_empty());
    assert_eq!(block.faults(), [BlockFault::HighHash], "nobody has searched a nonce");
}

#[test]
fn a_coinbase_that_does_not_fit_beside_the_transactions_is_told() {
    let (bench, cases) = cases();
    let case = cases.iter().find(|case| case.name == "many-tx-13").unwrap();
    let template = bench.template(case);
    let (weight, size) = (template.transactions().weight(), template.transactions().size());
    let limited = |field: &str, limit: u64| {
        let mut bench = Bench { templates: bench.templates.clone() };
        bench.templates.get_mut(&case.template_ref).unwrap()[field] = limit.into();
        let template = bench.template(case);
        let address: Address<NetworkUnchecked> = "mh5CE8Nbj38iND267s4XnvhSmhDW7yWc6Q".parse().unwrap();
        let payee = Payee::new(&address.assume_checked(), 1).unwrap();
        let plan = CoinbasePlan::new(vec![payee], Tag::default(), Extranonce2Size::new(8).unwrap()).unwrap();
        SoloJob::new(template, &plan, label()).unwrap_err()
    };
    assert!(matches!(limited("weightlimit", weight + 400), SoloJobError::Weight { .. }));
    assert!(matches!(limited("sizelimit", size + 100), SoloJobError::Size { .. }));
    let sigops = template.transactions().sigops();
    let expected = SoloJobError::Sigops { sigops: sigops + WITNESS_SCALE, limit: sigops + 3 };
    assert_eq!(limited("sigoplimit", sigops + 3), expected);
}

proptest! {
    #[test]
    fn no_bytes_make_the_check_of_blocks_panic(tail in proptest::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        static BLOCK: LazyLock<(Arc<Template>, Vec<u8>)> = LazyLock::new(|| {
            let (bench, cases) = cases();
            (bench.template(&cases[8]), hex::decode(&cases[8].block_hex).unwrap())
        });
        let (template, mut bytes) = (&BLOCK.0, BLOCK.1.clone());
        faults(&tail, template);
        let place = at.index(bytes.len());
        bytes[place] = byte;
        faults(&bytes, template);
        faults(&[&bytes[..place], &tail].concat(), template);
    }
}
