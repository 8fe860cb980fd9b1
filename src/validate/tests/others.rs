//! Jobs that others have judged, and jobs that nobody would make.

use proptest::prelude::*;

use super::*;

#[test]
fn blocks_that_bitcoin_core_judged_are_judged_alike_where_the_job_tells() {
    // What the node answered, and the check that says the same of the job. The chain's first blocks: no main chain.
    let wanted = [
        ("bad-cb-height", 9_000),
        ("bad-cb-length", 2_000),
        ("bad-cb-amount", 10_000),
        ("duplicate-invalid", 10_000), // the same, sent again
        ("time-too-old", 3_000),
        ("time-too-new", 3_000),
        ("time-timewarp-attack", 3_000), // mintime says it as well
        ("bad-diffbits", 4_000),
    ];
    let gbt = vectors::gbt();
    let mut seen = std::collections::BTreeSet::new();
    for case in &gbt.cases {
        let template = &gbt.templates[&case.template_ref];
        let answer = case.submitblock_answer["result"].as_str();
        let (job, context) = job_of(case, template);
        let verdict = Verdict::of(Level::ALL, &JobUnderTest::new(&job, ORIGIN), &context);
        match wanted.iter().find(|(reason, _)| Some(*reason) == answer) {
            Some((reason, level)) => {
                seen.insert(*reason);
                let first = verdict.first(Outcome::Reject);
                assert_eq!(
                    first.map(|found| found.level),
                    Some(*level),
                    "{}: {:?}",
                    case.name,
                    verdict.findings
                );
            }
            None => assert!(verdict.outcome() < Outcome::Reject, "{}: {:?}", case.name, verdict.findings),
        }
    }
    assert_eq!(seen.len(), wanted.len(), "{seen:?}");
}

/// The job that a block of the vectors would have come from, its extranonces in the last byte of the scriptSig, and what
/// its node knew.
fn job_of(case: &vectors::GbtCase, template: &serde_json::Value) -> (Job, Context) {
    let header = &case.header;
    let number = |value: &serde_json::Value| value.as_u64().unwrap();
    let hex_of = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let coinbase = hex::decode(hex_of(&case.coinbase["hex_without_witness"])).unwrap();
    let end = 42 + usize::from(coinbase[41]);
    let parent = vectors::bytes32_reversed(&hex_of(&template["previousblockhash"]));
    let raw = hex::decode(hex_of(&header["hex"])).unwrap();
    let raw = Header::from_bytes(&raw.try_into().unwrap());
    let job = Job {
        id: JobId::Text("1".into()),
        epoch: Epoch::default(),
        header: JobHeader {
            version: raw.version,
            prev_hash: raw.prev_hash,
            ntime: raw.ntime,
            nbits: raw.nbits,
        },
        coinbase: Coinbase {
            coinb1: coinbase[..end - 1].into(),
            extranonce1: Extranonce1::default(),
            extranonce2_size: Extranonce2Size::new(1).unwrap(),
            coinb2: coinbase[end..].into(),
        },
        branch: case.merkle_branch_internal.iter().map(|entry| vectors::bytes32(entry)).collect(),
        version_mask: VersionMask::NONE,
        difficulty: Difficulty::ONE,
        network_target: None,
    };
    let node = NodeView {
        prev_hash: parent,
        height: number(&template["height"]) as u32,
        nbits: vectors::number(&hex_of(&template["bits"])),
        mintime: Some(number(&template["mintime"]) as u32),
        coinbasevalue: Some(number(&template["coinbasevalue"])),
        parent_is_invalid: false,
    };
    let mut context = Context { unix: number(&template["curtime"]), ..Context::default() };
    context.chain.network = Some(Network::Regtest);
    context.chain.node = Some(node);
    (job, context)
}

fn any_job() -> impl Strategy<Value = Job> {
    let bytes = |most| proptest::collection::vec(any::<u8>(), 0..most);
    let header = (any::<u32>(), any::<[u8; 32]>(), any::<u32>(), any::<u32>())
        .prop_map(|(version, prev_hash, ntime, nbits)| JobHeader { version, prev_hash, ntime, nbits });
    let coinbase =
        (bytes(200), bytes(33), 0..=32i64, bytes(200)).prop_map(|(coinb1, en1, size, coinb2)| Coinbase {
            coinb1: coinb1.into(),
            extranonce1: Extranonce1::new(en1).unwrap(),
            extranonce2_size: Extranonce2Size::new(size).unwrap(),
            coinb2: coinb2.into(),
        });
    (any::<String>(), header, coinbase, proptest::collection::vec(any::<[u8; 32]>(), 0..33), any::<u32>())
        .prop_map(|(id, header, coinbase, branch, mask)| Job {
            id: JobId::Text(id.into()),
            epoch: Epoch::default(),
            header,
            coinbase,
            branch: branch.into(),
            version_mask: VersionMask::new(mask),
            difficulty: Difficulty::ONE,
            network_target: None,
        })
}

proptest! {
    #[test]
    fn no_job_makes_a_check_panic_or_speak_unprintably(job in any_job(), other in any_job(), flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)) {
        // A real job with some bytes changed reads further than noise does.
        let bent = with_coinb1(&real(), |bytes| {
            for (at, byte) in &flips {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
        });
        for job in [&job, &bent] {
            let mut context = with_others(job, vec![super::other(&other), super::other(&other)]);
            context.unix = u64::from(other.header.ntime);
            context.chain.before = Some(LastJob { height: height(&other.coinbase.coinb1), nbits: other.header.nbits });
            context.machine.hash_rate = HashRate(1e15);
            context.payout = Some(Expected::new(vec![], 0.5));
            let test = JobUnderTest::new(job, ORIGIN);
            for check in &CHECKS {
                let found = check.run(&test, &context);
                prop_assert!(found.outcome <= check.worst || found.outcome == Outcome::Open, "{found}");
                let said = found.to_string();
                prop_assert!(!said.contains(char::is_control) && said.len() < 1500, "{}", said);
            }
        }
    }
}
