//! Every check with a job that passes and one that fails, on jobs of real blocks.

use std::time::Duration;

use bitcoin::{Address, Network, address::NetworkUnchecked};
use proptest::prelude::*;

use super::context::{LastJob, NodeView, OtherJob, Proposal, Sent, WorkItem};
use super::digest::{Changed, fits, intact};
use super::*;
use crate::work::coinbase_builder::height_push;
use crate::work::payout::{Expected, Payouts};
use crate::work::{
    Coinbase, Difficulty, Epoch, Extranonce1, Extranonce2, Extranonce2Size, HashRate, Header, JobHeader,
    JobId, Target, VersionMask, Work, vectors,
};

/// A job of the main chain whose block was found: height 881423, 9 branches and more, version rolling.
const REAL: &str = "block-881423-ckpool-layout";

const ORIGIN: Origin = Origin { upstream: 0, connection: 1 };

fn vector(name: &str) -> vectors::StratumVector {
    vectors::stratum().into_iter().find(|vector| vector.name == name).unwrap()
}

fn real() -> Job {
    Job::from(&vector(REAL))
}

/// With the clock at the job's own time.
fn context(job: &Job) -> Context {
    Context { unix: u64::from(job.header.ntime), ..Context::default() }
}

fn found(level: u16, job: &Job, context: &Context) -> Finding {
    let check = CHECKS.iter().find(|check| check.level == level).unwrap();
    check.run(&JobUnderTest::new(job, ORIGIN), context)
}

fn judged(level: u16, job: &Job, context: &Context) -> (Outcome, &'static str) {
    let found = found(level, job, context);
    (found.outcome, found.code)
}

/// The job with other bytes in its coinbase, its lengths made right again by nobody.
fn with_coinb1(job: &Job, change: impl FnOnce(&mut Vec<u8>)) -> Job {
    let mut coinb1 = job.coinbase.coinb1.to_vec();
    change(&mut coinb1);
    Job { coinbase: Coinbase { coinb1: coinb1.into(), ..job.coinbase.clone() }, ..job.clone() }
}

/// A job of this height with one output, of another block than any real one.
fn made_up(height: u32, sats: u64, nbits: u32) -> Job {
    let push = height_push(height);
    let script = push.len() + 8;
    let mut coinb1 = hex::decode(format!("0200000001{}ffffffff", "00".repeat(32))).unwrap();
    coinb1.push(script as u8);
    coinb1.extend(push);
    let mut coinb2 = vec![0xff; 4];
    coinb2.push(1);
    coinb2.extend(sats.to_le_bytes());
    coinb2.extend([22, 0x00, 0x14]);
    coinb2.extend([7; 20]);
    coinb2.extend([0; 4]);
    let real = real();
    Job {
        header: JobHeader { nbits, ..real.header },
        coinbase: Coinbase { coinb1: coinb1.into(), coinb2: coinb2.into(), ..small_extranonces() },
        network_target: Target::from_nbits(nbits).ok(),
        ..real
    }
}

fn small_extranonces() -> Coinbase {
    Coinbase {
        coinb1: Box::default(),
        extranonce1: Extranonce1::new(vec![1, 2, 3, 4]).unwrap(),
        extranonce2_size: Extranonce2Size::new(4).unwrap(),
        coinb2: Box::default(),
    }
}

fn other(job: &Job) -> OtherJob {
    OtherJob {
        prev_hash: job.header.prev_hash,
        height: height(&job.coinbase.coinb1),
        nbits: job.header.nbits,
        ntime: job.header.ntime,
        seen: u64::from(job.header.ntime),
    }
}

fn node(job: &Job) -> NodeView {
    NodeView {
        prev_hash: job.header.prev_hash,
        height: height(&job.coinbase.coinb1).unwrap(),
        nbits: job.header.nbits,
        mintime: None,
        coinbasevalue: None,
        parent_is_invalid: false,
    }
}

fn with_node(job: &Job, change: impl FnOnce(&mut NodeView)) -> Context {
    let mut view = node(job);
    change(&mut view);
    let mut context = context(job);
    context.chain.node = Some(view);
    context
}

fn with_others(job: &Job, others: Vec<OtherJob>) -> Context {
    let mut context = context(job);
    context.chain.others = others;
    context
}

#[test]
fn jobs_of_real_blocks_pass_every_check_that_has_something_to_compare_with() {
    for name in [REAL, "bitaxe-gamma-mainnet", "braiins-7-byte-extranonce1"] {
        let job = Job::from(&vector(name));
        let mut context = with_node(&job, |_| {});
        context.machine.hash_rate = HashRate(1e12);
        let test = JobUnderTest::new(&job, ORIGIN);
        for check in checks(Level::ALL) {
            let found = check.run(&test, &context);
            assert!(found.outcome <= Outcome::Open, "{name}: {found} ({})", found.code);
            let is_blind = matches!(check.level, 11_000 | 15_000 | 16_000);
            assert_eq!(found.outcome == Outcome::Open, is_blind, "{name}: {found}");
        }
        let verdict = Verdict::of(Level::ALL, &test, &context);
        assert_eq!(
            (verdict.outcome(), verdict.executed, verdict.findings),
            (Outcome::Pass, 13, vec![]),
            "{name}"
        );
    }
}

#[test]
fn the_table_is_in_order_and_a_level_runs_the_checks_up_to_it() {
    assert!(CHECKS.windows(2).all(|pair| pair[0].level + 1000 == pair[1].level));
    for (level, count) in [(0, 0), (999, 0), (1000, 1), (3500, 3), (15_999, 15), (16_000, 16)] {
        assert_eq!(checks(Level::new(level).unwrap()).count(), count, "{level}");
    }
    assert_eq!((Level::new(16_001), Level::default()), (None, Level::ALL));
    let job = made_up(900_000, 1, 0x1702_3a04);
    let test = JobUnderTest::new(&job, ORIGIN);
    let verdict = Verdict::of(Level::NONE, &test, &Context::default());
    assert_eq!((verdict.executed, verdict.stamp, verdict.outcome()), (0, None, Outcome::Pass));
    assert_eq!(Verdict::of(Level::ALL, &test, &context(&job)).executed, 13, "the rest runs beside hashing");
}

#[test]
fn fields_1000_pass_as_real_and_reject_what_no_block_needs() {
    let job = real();
    let context = context(&job);
    let code = |job: &Job| judged(1000, job, &context);
    assert_eq!(code(&job), (Outcome::Pass, "ok"));
    let id = |text: &str| Job { id: JobId::Text(text.into()), ..job.clone() };
    assert_eq!(code(&id(&"é".repeat(65))), (Outcome::Reject, "job-id-length"));
    assert_eq!(code(&id("")), (Outcome::Reject, "job-id-length"));
    assert_eq!(code(&id("a\nb")), (Outcome::Reject, "job-id-text"));
    assert_eq!(code(&id("1369818357 489")).0, Outcome::Pass);
    let branches = |count| Job { branch: vec![[7; 32]; count].into(), ..job.clone() };
    assert_eq!(code(&branches(20)).0, Outcome::Pass);
    assert_eq!(code(&branches(21)), (Outcome::Reject, "branches"));
    let size = |bytes| {
        let size = Extranonce2Size::new(bytes).unwrap();
        Job { coinbase: Coinbase { extranonce2_size: size, ..job.coinbase.clone() }, ..job.clone() }
    };
    assert_eq!((code(&size(1)).0, code(&size(16)).0), (Outcome::Pass, Outcome::Pass));
    assert_eq!((code(&size(0)).1, code(&size(17)).1), ("extranonce2-size", "extranonce2-size"));
    assert_eq!(code(&with_coinb1(&job, |bytes| bytes.resize(100_001, 0))).1, "coinbase-size");
}

#[test]
fn coinbases_2000_pass_in_both_places_and_reject_what_is_none() {
    let job = real();
    let at = |job: &Job| judged(2000, job, &context(job));
    assert_eq!(at(&job), (Outcome::Pass, "ok"));
    let in_output = Job::from(&vector("synthetic-extranonce-in-op-return"));
    assert_eq!(found(2000, &in_output, &context(&in_output)).found, "in output 1");
    let longer = with_coinb1(&job, |bytes| bytes[41] += 1);
    assert_eq!(at(&longer), (Outcome::Reject, "coinbase"));
    let spends = with_coinb1(&job, |bytes| bytes[5] = 1);
    assert_eq!(found(2000, &spends, &context(&spends)).outcome, Outcome::Reject);
    let mut rest = job.clone();
    rest.coinbase.coinb2 = [&job.coinbase.coinb2[..], &[0]].concat().into();
    assert_eq!(found(2000, &rest, &context(&rest)).found, "1 bytes follow its coinbase");
    // The scriptSig ends before the extranonces, which are then the sequence and a part of the outputs.
    let mut across = made_up(900_000, 1, 0x1702_3a04);
    let mut coinb1 = across.coinbase.coinb1.to_vec();
    coinb1[41] -= 4;
    across.coinbase.coinb1 = coinb1.into();
    across.coinbase.coinb2 = across.coinbase.coinb2[4..].into();
    assert_eq!(at(&across), (Outcome::Reject, "extranonce-place"));
}

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
fn a_clock_that_two_upstreams_contradict_is_wrong_and_theirs_counts() {
    let mut job = real();
    job.header.ntime = 1_800_000_000;
    let others = |offsets: &[i64]| {
        let unix = 1_800_000_000 - 10_000;
        let other =
            |offset: &i64| OtherJob { ntime: (unix + offset) as u32, seen: unix as u64, ..other(&job) };
        let mut context = with_others(&job, offsets.iter().map(other).collect());
        context.unix = unix as u64;
        judged(3000, &job, &context)
    };
    assert_eq!(others(&[10_000]), (Outcome::Reject, "time-too-new"), "one upstream is no majority");
    assert_eq!(others(&[10_000, 9_990]), (Outcome::Warn, "clock-is-off"));
    assert_eq!(others(&[10_000, 0]), (Outcome::Reject, "time-too-new"));
    assert_eq!(others(&[10_000, 0, 10_005]), (Outcome::Warn, "clock-is-off"));
}

#[test]
fn bits_4000_reject_what_is_no_target_and_what_is_easier_than_any_chain() {
    let job = real();
    for (nbits, code) in [
        (0, "bits-of-no-target"),
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
fn the_search_space_6000_lasts_long_enough_for_the_rate() {
    let mut job = made_up(900_000, 1, 0x1702_3a04);
    job.header.version = 0x2000_0000;
    job.version_mask = VersionMask::new(0x1fff_e000);
    assert_eq!(search_space_bits(&job), 80);
    let said = |job: &Job, rate: f64, rolls_ntime| {
        let mut context = context(job);
        (context.machine.hash_rate, context.machine.rolls_ntime) = (HashRate(rate), rolls_ntime);
        found(6000, job, &context)
    };
    assert_eq!(said(&job, 1e14, false).found, "2^80 headers, 1.21e10 s of work");
    assert_eq!(said(&job, 0.0, false).outcome, Outcome::Open);
    job.version_mask = VersionMask::NONE;
    job.coinbase.extranonce2_size = Extranonce2Size::new(1).unwrap();
    assert_eq!(said(&job, 1e11, false).code, "space-too-small");
    assert_eq!(said(&job, 1e11, true).outcome, Outcome::Pass, "11 s, and ntime moves on");
    assert_eq!(said(&job, 1e13, true).code, "space-far-too-small");
}

#[test]
fn no_work_7000_is_done_twice() {
    let job = real();
    let mut context = context(&job);
    let item = |board, counter| WorkItem {
        board,
        extranonce2: Extranonce2::from_counter(counter, job.coinbase.extranonce2_size),
        ntime: job.header.ntime,
    };
    context.machine.used = vec![item(0, 1), item(1, 2)];
    context.machine.siblings = vec![Extranonce1::new(vec![9]).unwrap()];
    assert_eq!(judged(7000, &job, &context), (Outcome::Pass, "ok"));
    context.machine.used.push(item(2, 1));
    assert_eq!(judged(7000, &job, &context), (Outcome::Reject, "work-twice"));
    context.machine.used.clear();
    context.machine.siblings.push(job.coinbase.extranonce1.clone());
    assert_eq!(judged(7000, &job, &context), (Outcome::Reject, "extranonce1-twice"));
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
    fell.chain.others = vec![OtherJob { prev_hash: [1; 32], ..other(&job) }];
    assert_eq!(judged(9000, &job, &fell).0, Outcome::Pass);
    fell.chain.before = Some(LastJob { height: Some(900_000), nbits: job.header.nbits });
    assert_eq!(judged(9000, &job, &fell).0, Outcome::Pass);
}

#[test]
fn subsidies_are_those_of_every_halving() {
    for (height, network, sats) in [
        (0, None, 5_000_000_000),
        (209_999, None, 5_000_000_000),
        (210_000, None, 2_500_000_000),
        (881_423, None, 312_500_000),
        (1_050_000, None, 156_250_000),
        (6_930_000, None, 0),
        (u32::MAX, None, 0),
        (149, Some(Network::Regtest), 5_000_000_000),
        (150, Some(Network::Regtest), 2_500_000_000),
    ] {
        assert_eq!(outputs::subsidy(height, network), sats, "{height}");
    }
}

#[test]
fn outputs_10000_claim_no_more_than_there_can_be() {
    let without = |sats| Job { branch: Box::default(), ..made_up(900_000, sats, 0x1702_3a04) };
    let said = |job: &Job| judged(10_000, job, &context(job));
    assert_eq!(said(&without(312_500_000)), (Outcome::Pass, "ok"));
    assert_eq!(said(&without(312_500_001)), (Outcome::Reject, "more-than-subsidy"));
    let with = |sats| made_up(900_000, sats, 0x1702_3a04);
    assert_eq!(said(&with(5_312_500_000)), (Outcome::Warn, "no-commitment"));
    assert_eq!(said(&with(5_312_500_001)), (Outcome::Reject, "fees-beyond-reason"));
    let job = real();
    let total = JobUnderTest::new(&job, ORIGIN).reading.unwrap().total;
    let by_node = |value| judged(10_000, &job, &with_node(&job, |node| node.coinbasevalue = Some(value)));
    assert_eq!(by_node(total).0, Outcome::Pass);
    assert_eq!(by_node(total / 2), (Outcome::Warn, "more-than-node"));
}

#[test]
fn a_payout_11000_goes_to_whom_it_has_to() {
    let job = real();
    let payouts = Payouts::of(&job.coinbase).unwrap();
    let paid = payouts.outputs()[0].address(Network::Bitcoin).unwrap();
    let stranger: Address<NetworkUnchecked> = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4".parse().unwrap();
    let said = |address: Address| {
        let mut context = context(&job);
        context.payout = Some(Expected::new(vec![address], 0.97));
        judged(11_000, &job, &context)
    };
    assert_eq!(said(paid), (Outcome::Pass, "ok"));
    assert_eq!(said(stranger.assume_checked()), (Outcome::Reject, "pays-others"));
}

#[test]
fn roots_12000_are_those_of_the_recorded_blocks_by_both_codes() {
    for vector in vectors::stratum() {
        let job = Job::from(&vector);
        let extranonce2 = Extranonce2::from_bytes(&hex::decode(&vector.extranonce2).unwrap()).unwrap();
        let root = merkle::root(&job, &extranonce2);
        assert_eq!(hex::encode(root), vector.merkle_root, "{}", vector.name);
        assert_eq!(root, job.merkle_root(&extranonce2), "{}", vector.name);
        assert_eq!(judged(12_000, &job, &context(&job)), (Outcome::Pass, "ok"), "{}", vector.name);
    }
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

#[test]
fn a_nodes_word_16000_counts() {
    let job = real();
    let mut context = context(&job);
    assert_eq!(judged(16_000, &job, &context).0, Outcome::Open);
    context.after.first_branch_known = Some(false);
    assert_eq!(judged(16_000, &job, &context), (Outcome::Warn, "transactions-unknown"));
    context.after.proposal = Some(Proposal::Refused("bad-cb-amount\u{1b}[2J".into()));
    let found = found(16_000, &job, &context);
    assert_eq!((found.outcome, found.found.as_str()), (Outcome::Reject, "bad-cb-amount\u{fffd}[2J"));
    context.after.proposal = Some(Proposal::Accepted);
    context.after.first_branch_known = Some(true);
    assert_eq!(judged(16_000, &job, &context), (Outcome::Pass, "ok"));
}

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
            let mut context = with_others(job, vec![self::other(&other), self::other(&other)]);
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
