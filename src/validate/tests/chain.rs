//! The checks of what a job says of the chain: time, nbits, parent, height and branches.

use super::*;

#[test]
fn times_3000_at_or_before_the_median_of_the_parent_reject_as_at_heights_946213_and_957780() {
    // The heights and the rule are those of two real invalid blocks; the job is made up around them.
    for height in [946_213, 957_780] {
        let job = made_up(height, 1, 0x1702_355e);
        let median = job.header.ntime;
        let mintime = |mintime| with_node(&job, |node| node.mintime = Some(mintime));
        assert_eq!(judged(3000, &job, &mintime(median)).0, Outcome::Pass);
        assert_eq!(judged(3000, &job, &mintime(median + 1)), (Outcome::Reject, "time-too-old"));
    }
}

#[test]
fn a_time_before_a_period_3000_only_warns_where_that_is_no_rule_yet() {
    // mintime is ten minutes before the last block, which may have been ahead of its time.
    let job = made_up(717_696, 1, 0x1702_355e);
    let said = |network| {
        let mut context = with_node(&job, |node| node.mintime = Some(job.header.ntime + 1));
        context.chain.network = network;
        judged(3000, &job, &context)
    };
    for network in [None, Some(Network::Bitcoin), Some(Network::Testnet), Some(Network::Signet)] {
        assert_eq!(said(network), (Outcome::Warn, "time-before-period"), "{network:?}");
    }
    for network in [Network::Testnet4, Network::Regtest] {
        assert_eq!(said(Some(network)), (Outcome::Reject, "time-too-old"), "{network}");
    }
}

#[test]
fn times_3000_are_held_against_the_clock() {
    let mut job = real();
    job.header.ntime = 1_800_000_000;
    let at = |ahead: i64| Context { unix: 1_800_000_000u64.saturating_add_signed(-ahead), ..context(&job) };
    let said = |ahead| judged(3000, &job, &at(ahead));
    assert_eq!((said(0), said(600).0, said(-600).0), ((Outcome::Pass, "ok"), Outcome::Pass, Outcome::Pass));
    assert_eq!((said(601), said(-601).0), ((Outcome::Warn, "time-is-off"), Outcome::Warn));
    assert_eq!((said(7200).0, said(7201)), (Outcome::Warn, (Outcome::Reject, "time-too-new")));
    assert_eq!((said(-3600).0, said(-3601)), (Outcome::Warn, (Outcome::Hold, "time-far-behind")));
    let mut by_node = with_node(&job, |_| {});
    by_node.unix = 1_800_003_601;
    assert_eq!(judged(3000, &job, &by_node).0, Outcome::Warn, "a node knows the parent's time");
    let unset = Context { unix: 3, ..context(&job) };
    assert_eq!(judged(3000, &job, &unset), (Outcome::Warn, "clock-never-set"));
}

#[test]
fn a_clock_that_two_upstreams_contradict_the_jobs_own_among_them_is_wrong_and_theirs_counts() {
    let mut job = real();
    job.header.ntime = 1_800_000_000;
    let others = |clocks: &[i64]| {
        let mut context = context(&job);
        (context.unix, context.chain.clocks) = (1_800_000_000 - 10_000, clocks.to_vec());
        judged(3000, &job, &context)
    };
    let (refused, off) = ((Outcome::Reject, TOO_NEW), (Outcome::Warn, "clock-is-off"));
    assert_eq!(others(&[]), refused, "one upstream is no majority");
    assert_eq!(others(&[10_000]), off);
    assert_eq!(others(&[300]), refused, "the one that blames the clock less has the say");
    assert_eq!(others(&[-20_000]), refused, "they do not agree");
    assert_eq!(others(&[10_000, 0]), off);
    assert_eq!(others(&[0, 0]), refused, "one against two");
    assert_eq!(others(&[10_000, 0, -5]), refused);
    assert_eq!(others(&[10_000, 0, 10_005]), off);
}

#[test]
fn bits_4000_reject_what_is_no_target_and_what_is_easier_than_any_chain() {
    let job = real();
    for (nbits, code) in [
        (0, "bits-of-no-target"),
        (0x0000_9a8a, "bits-of-no-target"), // as a server that does not pad may write it
        (0x1792_9a8a, "bits-of-no-target"),
        (0xff12_3456, "bits-of-no-target"),
        (0x2100_ffff, "bits-too-easy"),
    ] {
        let mut wrong = job.clone();
        wrong.header.nbits = nbits;
        assert_eq!(judged(4000, &wrong, &context(&job)), (Outcome::Reject, code), "{nbits:08x}");
    }
    let mut easy = job.clone();
    easy.header.nbits = 0x207f_ffff;
    assert_eq!(judged(4000, &easy, &context(&job)).0, Outcome::Open);
    let mut main = context(&job);
    main.chain.network = Some(Network::Bitcoin);
    assert_eq!(judged(4000, &easy, &main), (Outcome::Reject, "bits-too-easy"));
}

#[test]
fn bits_4000_reject_a_retarget_that_was_not_applied_as_at_height_717696() {
    // The height and the rule are those of a real invalid block; the two nbits stand for 24.27 T and 24.37 T.
    let (before, after) = (0x170b_98ab, 0x170b_8c8b);
    let old = made_up(717_696, 1, before);
    let new = made_up(717_696, 1, after);
    let node = with_node(&new, |_| {});
    assert_eq!(judged(4000, &new, &node), (Outcome::Pass, "ok"));
    assert_eq!(judged(4000, &old, &node), (Outcome::Reject, "bits-not-of-node"));
    let alone = |job: &Job| {
        let mut context = context(job);
        context.chain.before = Some(LastJob { height: Some(717_695), nbits: before });
        judged(4000, job, &context)
    };
    assert_eq!(alone(&new), (Outcome::Pass, "ok"));
    assert_eq!(alone(&old), (Outcome::Warn, "retarget-not-applied"), "without a node nobody can be sure");
    assert_eq!(alone(&made_up(717_696, 1, 0x1702_3a04)), (Outcome::Reject, "bits-beyond-retarget"));
    let voted = with_others(&old, vec![other(&new), other(&new)]);
    assert_eq!(judged(4000, &old, &voted), (Outcome::Reject, "bits-not-of-majority"));
}

#[test]
fn bits_4000_do_not_change_within_a_period_unless_others_say_so() {
    let job = made_up(900_000, 1, 0x1702_3a04);
    let mut changed = context(&job);
    changed.chain.before = Some(LastJob { height: Some(899_999), nbits: 0x1702_3a05 });
    assert_eq!(judged(4000, &job, &changed), (Outcome::Reject, "bits-changed"));
    changed.chain.others = vec![other(&job)];
    assert_eq!(judged(4000, &job, &changed), (Outcome::Pass, "ok"), "the job before was the wrong one");
    changed.chain.others = vec![OtherJob { nbits: 0x1702_3a06, ..other(&job) }];
    changed.chain.before = Some(LastJob { height: Some(899_999), nbits: 0x1702_3a04 });
    assert_eq!(judged(4000, &job, &changed), (Outcome::Warn, "bits-not-of-another"));
}

/// A job of a real block of testnet3, of difficulty 5.99, and the same of the easiest target, as its network allows 20
/// minutes after a block. Its coinbase has no height, so it gets one within a period.
fn on_testnet() -> [Job; 2] {
    let job = Job::from(&vector("braiins-docs-testnet3"));
    assert_eq!(job.header.nbits, 0x1c2a_c4af);
    [job.header.nbits, 0x1d00_ffff]
        .map(|nbits| Job { header: JobHeader { nbits, ..job.header }, ..made_up(20_000, 1, nbits) })
}

#[test]
fn bits_4000_of_testnets_may_be_the_easiest_at_any_height_and_the_real_ones_again_after_it() {
    let [real, easiest] = on_testnet();
    for network in [None, Some(Network::Testnet), Some(Network::Testnet4)] {
        let on = |mut context: Context| {
            context.chain.network = network;
            context
        };
        let code = |job: &Job, context: Context| judged(4000, job, &on(context));
        for (job, of_others) in [(&real, &easiest), (&easiest, &real), (&real, &real)] {
            let by_node = with_node(of_others, |_| {});
            assert_eq!(code(job, by_node), (Outcome::Pass, "ok"), "{network:?}");
            let by_others = with_others(job, vec![other(of_others), other(of_others)]);
            assert!(code(job, by_others).0 <= Outcome::Open, "{network:?}");
            let mut after = context(job);
            after.chain.before = Some(LastJob { height: Some(19_999), nbits: of_others.header.nbits });
            assert!(code(job, after).0 <= Outcome::Open, "{network:?}");
        }
        // Neither is the easiest: the rule explains nothing.
        let mut wrong = real.clone();
        wrong.header.nbits -= 1;
        assert_eq!(code(&wrong, with_node(&real, |_| {})), (Outcome::Reject, "bits-not-of-node"));
        // The first block of a period is not under the rule.
        let [real, easiest] = [0x1c2a_c4af, 0x1d00_ffff].map(|nbits| made_up(20_160, 1, nbits));
        assert_eq!(code(&easiest, with_node(&real, |_| {})), (Outcome::Reject, "bits-not-of-node"));
    }
    // Where others are as hard as the main chain, or it is told to be that, the easiest bits are none of a testnet.
    let hard = made_up(20_000, 1, 0x1702_3a04);
    let by_others = with_others(&easiest, vec![other(&hard), other(&hard)]);
    assert_eq!(judged(4000, &easiest, &by_others), (Outcome::Reject, "bits-not-of-majority"));
    let mut after = context(&easiest);
    after.chain.before = Some(LastJob { height: Some(19_999), nbits: 0x1702_3a04 });
    assert_eq!(judged(4000, &easiest, &after), (Outcome::Reject, "bits-changed"));
    let mut on_main = with_node(&real, |_| {});
    on_main.chain.network = Some(Network::Bitcoin);
    assert_eq!(judged(4000, &easiest, &on_main), (Outcome::Reject, "bits-not-of-node"));
}

#[test]
fn no_first_block_of_a_test_network_is_rejected_and_its_easiest_bits_are_a_limit() {
    let templates = vectors::gbt().templates_of_other_networks_for_parsing_only;
    for (name, network, harder_than) in [
        ("testnet3-height1-before-segwit", Network::Testnet, 0x1d01_0000),
        ("testnet4-height1", Network::Testnet4, 0x1d01_0000),
        ("signet-default-height1", Network::Signet, 0x1e03_77af),
        ("regtest-signalling-bit28", Network::Regtest, 0x2100_8000),
    ] {
        let template = &templates[name];
        let number = |member: &str| template[member].as_u64().unwrap();
        let nbits = vectors::number(template["bits"].as_str().unwrap());
        let parent = vectors::bytes32_reversed(template["previousblockhash"].as_str().unwrap());
        let mut job = made_up(number("height") as u32, number("coinbasevalue"), nbits);
        job.header = JobHeader { prev_hash: parent, ntime: number("curtime") as u32, ..job.header };
        job.branch = Box::default();
        let mut context = with_node(&job, |node| {
            node.mintime = Some(number("mintime") as u32);
            node.coinbasevalue = Some(number("coinbasevalue"));
        });
        for told in [Some(network), None] {
            context.chain.network = told;
            let verdict = Verdict::of(Level::ALL, &JobUnderTest::new(&job, ORIGIN), &context);
            let found: Vec<_> = verdict.findings.iter().map(|found| found.code).collect();
            // Nobody tells a pool's regtest from chains with longer halvings: then it may claim more.
            assert!(verdict.outcome() < Outcome::Hold, "{name}: {found:?}");
        }
        context.chain.network = Some(network);
        context.chain.node = None;
        let easier = Job { header: JobHeader { nbits: harder_than, ..job.header }, ..job };
        assert_eq!(judged(4000, &easier, &context), (Outcome::Reject, "bits-too-easy"), "{name}");
    }
}

#[test]
fn bits_4000_of_two_branches_may_differ_in_the_first_block_of_a_period() {
    let ours = made_up(717_696, 1, 0x170b_98ab);
    let mut theirs = made_up(717_696, 1, 0x170b_8c8b);
    theirs.header.prev_hash[0] ^= 1;
    assert_eq!(judged(4000, &ours, &with_node(&theirs, |_| {})).0, Outcome::Open);
    let by_others = with_others(&ours, vec![other(&theirs), other(&theirs)]);
    assert_eq!(judged(4000, &ours, &by_others).0, Outcome::Open);
}

#[test]
fn parents_5000_need_the_work_of_their_time() {
    let job = real();
    assert_eq!(judged(5000, &job, &context(&job)), (Outcome::Pass, "ok"));
    let mut garbled = job.clone();
    garbled.header.prev_hash.reverse();
    assert_eq!(judged(5000, &garbled, &context(&job)), (Outcome::Reject, "parent-lacks-work"));
    let mut test_chain = context(&job);
    test_chain.chain.network = Some(Network::Signet);
    assert_eq!(judged(5000, &garbled, &test_chain).0, Outcome::Open);
    // A hash of twice to four times the target: enough only where a retarget lies between.
    let target = Target::from_nbits(0x1702_3a04).unwrap().to_le_bytes();
    let mut three_times = target;
    let mut carry = 0u16;
    for byte in &mut three_times {
        carry += u16::from(*byte) * 3;
        *byte = carry as u8;
        carry >>= 8;
    }
    for (height, outcome) in [(903_168, Outcome::Pass), (903_169, Outcome::Reject)] {
        let mut job = made_up(height, 1, 0x1702_3a04);
        job.header.prev_hash = three_times;
        assert_eq!(judged(5000, &job, &context(&job)).0, outcome, "{height}");
    }
}

#[test]
fn a_parent_8000_may_be_news_for_a_while() {
    let job = real();
    let rival = OtherJob { prev_hash: [9; 32], ..other(&job) };
    let behind = OtherJob { height: Some(881_422), ..rival };
    let said = |others: Vec<OtherJob>, seconds| {
        let mut context = with_others(&job, others);
        context.chain.parent_alone = Some(Duration::from_secs(seconds));
        judged(8000, &job, &context)
    };
    assert_eq!(said(vec![], 99).0, Outcome::Open);
    assert_eq!(said(vec![rival, other(&job)], 99), (Outcome::Pass, "ok"));
    assert_eq!((said(vec![rival], 5).0, said(vec![rival], 6).1), (Outcome::Pass, "parent-unknown"));
    assert_eq!((said(vec![behind], 30).0, said(vec![behind], 31).1), (Outcome::Pass, "parent-unknown"));
    let invalid = with_node(&job, |node| node.parent_is_invalid = true);
    assert_eq!(judged(8000, &job, &invalid), (Outcome::Reject, "parent-invalid"));
}

#[test]
fn heights_9000_are_there_as_core_writes_them_and_fit_the_parent() {
    let job = made_up(900_000, 1, 0x1702_3a04);
    let said = |others: &[OtherJob]| judged(9000, &job, &with_others(&job, others.to_vec()));
    assert_eq!(said(&[other(&job)]), (Outcome::Pass, "ok"));
    let wrong = OtherJob { height: Some(900_001), ..other(&job) };
    assert_eq!(said(&[wrong]), (Outcome::Warn, "height-not-of-parent"));
    assert_eq!(said(&[wrong, wrong]), (Outcome::Reject, "height-not-of-parent"));
    assert_eq!(said(&[wrong, wrong, other(&job), other(&job)]).0, Outcome::Pass);
    let of_node = with_node(&job, |node| node.height = 900_001);
    assert_eq!(judged(9000, &job, &of_node), (Outcome::Reject, "height-not-of-parent"));
    // What Bitcoin Core answers bad-cb-height to: a push of one byte too many, and none at all.
    let padded = with_coinb1(&job, |bytes| {
        bytes[41] += 1;
        bytes[42] += 1;
        bytes.insert(46, 0);
    });
    assert_eq!(judged(9000, &padded, &context(&job)), (Outcome::Reject, "height-not-minimal"));
    let none = with_coinb1(&job, |bytes| bytes[42] = 0x6a);
    assert_eq!(judged(9000, &none, &context(&job)), (Outcome::Reject, "height-missing"));
}

#[test]
fn a_height_9000_that_falls_holds_the_job_unless_others_went_back_too() {
    let job = made_up(900_000, 1, 0x1702_3a04);
    let mut fell = context(&job);
    fell.chain.before = Some(LastJob { height: Some(900_001), nbits: job.header.nbits });
    assert_eq!(judged(9000, &job, &fell), (Outcome::Hold, "height-fell"));
    fell.chain.waiting = vec![900_001];
    assert_eq!(judged(9000, &job, &fell), (Outcome::Hold, "height-fell"));
    fell.chain.waiting = vec![900_000];
    assert_eq!(judged(9000, &job, &fell).0, Outcome::Pass, "another one waits for the same reason");
    fell.chain.waiting.clear();
    fell.chain.others = vec![OtherJob { prev_hash: [1; 32], ..other(&job) }];
    assert_eq!(judged(9000, &job, &fell).0, Outcome::Pass);
    fell.chain.before = Some(LastJob { height: Some(900_000), nbits: job.header.nbits });
    assert_eq!(judged(9000, &job, &fell).0, Outcome::Pass);
}

#[test]
fn a_stamp_13000_is_the_digest_that_other_code_computes_and_tells_every_field() {
    let job = Job {
        id: JobId::Text("7f".into()),
        epoch: Epoch::default(),
        header: JobHeader {
            version: 0x2000_0000,
            prev_hash: [3; 32],
            ntime: 1_700_000_000,
            nbits: 0x1702_355e,
        },
        coinbase: Coinbase { coinb1: [1, 2].into(), coinb2: [5].into(), ..small_extranonces() },
        branch: [[8; 32]].into(),
        version_mask: VersionMask::BIP320,
        difficulty: Difficulty::new(512.0).unwrap(),
        network_target: None,
    };
    // Computed with Python's hashlib from the order that the docs of `Stamp::of` give.
    let expected = "201ffd19bc48f893e81023cde1624969ef2c7f05c4de955acde9cb8f4c0bcb77\
                    1e89856fce5468bca3c215bd984dfc542ba49b55c3df99705b187a3788ba6625";
    let stamp = Stamp::of(&job, ORIGIN);
    assert_eq!(stamp.to_string(), expected);
    let text = |id: JobId| Job { id, ..job.clone() };
    let header = |header| Job { header, ..job.clone() };
    let coinbase = |coinbase| Job { coinbase, ..job.clone() };
    let others = [
        text(JobId::Number("7f".into())),
        header(JobHeader { version: 0x2000_0001, ..job.header }),
        header(JobHeader { prev_hash: [4; 32], ..job.header }),
        header(JobHeader { ntime: 1_700_000_001, ..job.header }),
        header(JobHeader { nbits: 0x1702_355f, ..job.header }),
        coinbase(Coinbase { coinb1: [1].into(), coinb2: [2, 5].into(), ..small_extranonces() }),
        coinbase(Coinbase { extranonce1: Extranonce1::default(), ..job.coinbase.clone() }),
        coinbase(Coinbase { extranonce2_size: Extranonce2Size::new(5).unwrap(), ..job.coinbase.clone() }),
        Job { branch: Box::default(), ..job.clone() },
        Job { version_mask: VersionMask::NONE, ..job.clone() },
        Job { difficulty: Difficulty::ONE, ..job.clone() },
    ];
    for (index, other) in others.iter().enumerate() {
        assert_ne!(Stamp::of(other, ORIGIN), stamp, "{index}");
    }
    assert_ne!(Stamp::of(&job, Origin { connection: 2, ..ORIGIN }), stamp);
    assert_eq!(found(13_000, &job, &context(&job)).outcome, Outcome::Pass);
}

#[test]
fn branches_14000_of_a_chain_and_heights_apart_are_told() {
    let job = real();
    let said = |others: &[OtherJob]| judged(14_000, &job, &with_others(&job, others.to_vec()));
    assert_eq!(said(&[]).0, Outcome::Open);
    let later = OtherJob { prev_hash: [1; 32], height: Some(881_424), ..other(&job) };
    assert_eq!(said(&[other(&job), later]), (Outcome::Pass, "ok"));
    assert_eq!(said(&[OtherJob { height: Some(881_423), ..later }]), (Outcome::Warn, "fork"));
    assert_eq!(said(&[OtherJob { height: Some(881_425), ..later }]), (Outcome::Warn, "heights-apart"));
}

#[test]
fn a_flipped_bit_15000_shows_before_a_header_leaves() {
    let vector = vector(REAL);
    let job = real();
    let extranonce2 = Extranonce2::from_bytes(&hex::decode(&vector.extranonce2).unwrap()).unwrap();
    let version = vectors::number(&vector.header_version);
    let header = Work::new(job.clone().into(), extranonce2, job.header.ntime).header(version, 7);
    let sent = Sent { header, extranonce2, elapsed: Duration::from_secs(9) };
    let mut context = context(&job);
    context.after.stamp = Some(Stamp::of(&job, ORIGIN));
    context.after.sent = Some(sent);
    assert_eq!(judged(15_000, &job, &context), (Outcome::Pass, "ok"));
    let flipped = with_coinb1(&job, |bytes| bytes[50] ^= 4);
    assert_eq!(judged(15_000, &flipped, &context), (Outcome::Reject, "job-changed"));
    assert!(intact(&flipped, ORIGIN, &Stamp::of(&job, ORIGIN)).is_err());
    let with = |header| fits(&job, &Sent { header, ..sent }, None);
    let mut root = header;
    root.merkle_root[31] ^= 0x80;
    for (header, field) in [
        (root, "the merkle root"),
        (Header { version: header.version ^ 1, ..header }, "the version"),
        (Header { nbits: header.nbits ^ 1, ..header }, "nbits"),
        (Header { prev_hash: [0; 32], ..header }, "the previous hash"),
        (Header { ntime: header.ntime - 1, ..header }, "ntime"),
    ] {
        assert_eq!(with(header), Err(Changed::Header(field)));
    }
    assert_eq!(with(Header { ntime: header.ntime + 69, ..header }), Ok(()));
    let ahead = with(Header { ntime: header.ntime + 70, ..header });
    assert!(matches!(ahead, Err(Changed::Time { .. })), "{ahead:?}");
    let far = fits(&job, &sent, Some(u64::from(header.ntime) - 7201));
    assert!(matches!(far, Err(Changed::Time { .. })), "{far:?}");
}
