//! The judge against recorded and constructed shares, and every reason to refuse one.

use bitcoin::{CompactTarget, consensus::encode::serialize, hex::DisplayHex};
use serde_json::Value;

use super::*;
use crate::pool::template::swap_words;

/// One entry of stratum-vectors.json, with what the tests read from it.
struct Vector(Value);

impl Vector {
    fn all() -> Vec<Self> {
        let text = include_str!("../../tests/vectors/stratum-vectors.json");
        let vectors: Vec<Value> = serde_json::from_str(text).unwrap();
        assert_eq!(vectors.len(), 29);
        vectors.into_iter().map(Self).collect()
    }

    fn named(name: &str) -> Self {
        Self::all().into_iter().find(|vector| vector.text("name") == name).unwrap()
    }

    fn text(&self, member: &str) -> &str {
        self.0[member].as_str().unwrap()
    }

    fn bits(&self, member: &str) -> Option<u32> {
        self.0[member].as_str().map(|text| u32::from_str_radix(text, 16).unwrap())
    }

    fn template(&self) -> Template {
        let notify = |index: usize| self.0["notify"][index].as_str().unwrap();
        let number = |index| u32::from_str_radix(notify(index), 16).unwrap();
        let bytes = |index| Vec::from_hex(notify(index)).unwrap();
        let branches = self.0["notify"][4].as_array().unwrap().iter();
        Template {
            height: 1,
            coinb1: bytes(2),
            coinb2: bytes(3),
            branches: branches
                .map(|branch| {
                    TxMerkleNode::from_byte_array(<[u8; 32]>::from_hex(branch.as_str().unwrap()).unwrap())
                })
                .collect(),
            prevhash: BlockHash::from_byte_array(swap_words(<[u8; 32]>::from_hex(notify(1)).unwrap())),
            version: number(5),
            nbits: CompactTarget::from_consensus(number(6)),
            ntime: number(7),
        }
    }

    /// The sixth parameter as a pool with the replace rule wants it, for the version that the share really has.
    fn version_bits(&self, template: &Template) -> Option<String> {
        let sent = self.bits("version_bits")?;
        let mask = self.bits("version_mask").unwrap();
        let version = match self.text("version_rule") {
            "or" => template.version | sent,
            "xor" => template.version ^ sent,
            "replace" => template.version & !mask | sent & mask,
            rule => panic!("version rule {rule}"),
        };
        assert_eq!(format!("{version:08x}"), self.text("header_version"));
        Some(format!("{:08x}", version & mask))
    }

    fn with_work<T>(&self, ask: impl FnOnce(Work<'_>, Submit<'_>) -> T) -> T {
        let template = self.template();
        let extranonce1 = Vec::from_hex(self.text("extranonce1")).unwrap();
        let version_bits = self.version_bits(&template);
        let work = Work {
            template: &template,
            extranonce1: &extranonce1,
            extranonce2_size: self.0["extranonce2_size"].as_u64().unwrap() as usize,
            mask: version_bits.as_ref().and_then(|_| self.bits("version_mask")),
            difficulty: Difficulty::new(self.0["job_difficulty"].as_f64().unwrap()).unwrap(),
        };
        let submit = Submit {
            extranonce2: self.text("extranonce2"),
            ntime: self.text("ntime"),
            nonce: self.text("nonce"),
            version_bits: version_bits.as_deref(),
        };
        ask(work, submit)
    }
}

#[test]
fn every_vector_is_rebuilt_to_its_header_root_and_hash() {
    for vector in Vector::all() {
        let header = vector.with_work(|work, submit| work.header(submit).unwrap());
        let name = vector.text("name");
        assert_eq!(serialize(&header).to_lower_hex_string(), vector.text("header"), "{name}");
        assert_eq!(
            header.merkle_root.as_byte_array().to_lower_hex_string(),
            vector.text("merkle_root"),
            "{name}"
        );
        assert_eq!(header.block_hash().to_string(), vector.text("hash"), "{name}");
    }
}

#[test]
fn every_vector_is_weighed_as_recorded() {
    for vector in Vector::all() {
        let name = vector.text("name");
        vector.with_work(|work, submit| {
            assert_eq!(format!("{:x}", work.difficulty.target()), vector.text("job_target"), "{name}");
            let hash = work.header(submit).unwrap().block_hash();
            let weight = Difficulty::of_hash(hash).value() / vector.0["share_difficulty"].as_f64().unwrap();
            assert!((weight - 1.0).abs() < 1e-12, "{name}");
            let block = vector.0["meets_network_target"].as_bool().unwrap();
            let counts = vector.0["meets_job_difficulty"].as_bool().unwrap() || block;
            match work.judge(submit) {
                Ok(share) => assert_eq!((counts, share.is_block), (true, block), "{name}"),
                Err(reason) => assert_eq!((counts, reason), (false, Reject::LowDifficulty), "{name}"),
            }
        });
    }
}

/// The verdict on a good share after `spoil` changed it.
fn verdict(name: &str, spoil: impl FnOnce(&mut Work<'_>, &mut Submit<'_>)) -> Result<(), Reject> {
    Vector::named(name).with_work(|mut work, mut submit| {
        spoil(&mut work, &mut submit);
        work.judge(submit).map(|_| ())
    })
}

const PLAIN: &str = "synthetic-branches-0";
const ROLLED: &str = "synthetic-version-field-to-replace-server";

#[test]
fn an_extranonce2_of_another_length_or_in_capitals_is_malformed() {
    for wrong in ["", "00", "00000000000000090", "000000000000000900", "000000000000000A", "00000000000000zz"]
    {
        assert_eq!(verdict(PLAIN, |_, submit| submit.extranonce2 = wrong), Err(Reject::Malformed), "{wrong}");
    }
}

#[test]
fn a_nonce_that_is_not_eight_lower_case_digits_is_malformed() {
    for wrong in ["2db02", "0002DB02", "0x02db02", "0002db0g", "0002db020"] {
        assert_eq!(verdict(PLAIN, |_, submit| submit.nonce = wrong), Err(Reject::Malformed), "{wrong}");
    }
}

#[test]
fn another_nonce_gives_a_hash_above_the_target() {
    assert_eq!(verdict(PLAIN, |_, _| ()), Ok(()));
    assert_eq!(verdict(PLAIN, |_, submit| submit.nonce = "0002db03"), Err(Reject::LowDifficulty));
}

#[test]
fn ntime_may_roll_from_the_job_to_600_seconds_later() {
    let header = |ntime: &str| {
        Vector::named(PLAIN)
            .with_work(|work, submit| work.header(Submit { ntime, ..submit }).map(|header| header.time))
    };
    let job = 0x679a_c200_u32;
    assert_eq!(header(&format!("{:08x}", job - 1)), Err(Reject::BadNtime));
    assert_eq!(header(&format!("{:08x}", job + 600)), Ok(job + 600));
    assert_eq!(header(&format!("{:08x}", job + 601)), Err(Reject::BadNtime));
    assert_eq!(header("679AC200"), Err(Reject::Malformed));
}

#[test]
fn version_bits_have_to_lie_inside_the_mask() {
    assert_eq!(verdict(ROLLED, |_, _| ()), Ok(()));
    for outside in ["32ef6000", "00000001", "80000000", "6000", "12EF6000"] {
        let spoiled = verdict(ROLLED, |_, submit| submit.version_bits = Some(outside));
        assert_eq!(spoiled, Err(Reject::BadVersion), "{outside}");
    }
}

#[test]
fn version_bits_are_given_if_and_only_if_they_were_agreed_on() {
    assert_eq!(verdict(ROLLED, |_, submit| submit.version_bits = None), Err(Reject::BadVersion));
    assert_eq!(verdict(PLAIN, |_, submit| submit.version_bits = Some("00000000")), Err(Reject::BadVersion));
}

#[test]
fn a_share_that_solves_the_block_counts_at_any_share_difficulty() {
    let above = Difficulty::new(1e6).unwrap();
    assert_eq!(verdict("synthetic-regtest-block", |work, _| work.difficulty = above), Ok(()));
    assert_eq!(verdict(PLAIN, |work, _| work.difficulty = above), Err(Reject::LowDifficulty));
}
