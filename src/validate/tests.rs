//! Every check with a job that passes and one that fails, on jobs of real blocks.

mod chain;
mod others;

use std::time::Duration;

use bitcoin::{Address, Network, address::NetworkUnchecked};

use super::context::{LastJob, NodeView, OtherJob, Proposal, Sent, WorkItem};
use super::digest::{Changed, fits, intact};
use super::*;
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
    let (coinb1, coinb2) = vectors::coinbase_parts(height, sats);
    let real = real();
    Job {
        header: JobHeader { nbits, ..real.header },
        coinbase: Coinbase { coinb1, coinb2, ..small_extranonces() },
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
fn the_job_of_a_real_block_with_one_thing_wrong_fails_the_check_for_that() {
    const SET_CLOCK: u64 = 1_790_000_000; // later than the block: one before 2026 counts as never set
    let job = real();
    let fits = with_node(&job, |_| {});
    let other_nbits = OtherJob { nbits: job.header.nbits - 1, ..other(&job) };
    let rival = OtherJob { prev_hash: [9; 32], ..other(&job) };
    let with = |change: &dyn Fn(&mut Context)| {
        let mut context = context(&job);
        change(&mut context);
        context
    };
    let lonely = |context: &mut Context| {
        context.chain.others = vec![rival];
        context.chain.parent_alone = Some(Duration::from_secs(6));
    };
    let of_parent = job.header.prev_hash.map(|byte| !byte);
    let changed = |change: &dyn Fn(&mut Job)| {
        let mut job = job.clone();
        change(&mut job);
        job
    };
    let twin = job.coinbase.extranonce1.clone();
    let expected = Expected::new(vec![], 0.98);
    for (level, job, context, code) in [
        (1_000, changed(&|job| job.branch = vec![[7; 32]; 21].into()), fits.clone(), "branches"),
        (2_000, with_coinb1(&job, |bytes| bytes[37] = 0), fits.clone(), "coinbase"),
        (
            3_000,
            job.clone(),
            with_node(&job, |node| node.mintime = Some(job.header.ntime + 1)),
            "time-too-old",
        ),
        (
            3_000,
            changed(&|job| job.header.ntime = SET_CLOCK as u32 + 7201),
            with(&|context| context.unix = SET_CLOCK),
            "time-too-new",
        ),
        (4_000, changed(&|job| job.header.nbits -= 1), fits.clone(), "bits-not-of-node"),
        (4_000, job.clone(), with_others(&job, vec![other_nbits, other_nbits]), "bits-not-of-majority"),
        (5_000, changed(&|job| job.header.prev_hash = of_parent), fits.clone(), "parent-lacks-work"),
        (
            6_000,
            job.clone(),
            with(&|context| context.machine.hash_rate = HashRate(1e40)),
            "space-far-too-small",
        ),
        (
            7_000,
            job.clone(),
            with(&|context| context.machine.siblings = vec![twin.clone()]),
            "extranonce1-twice",
        ),
        (8_000, job.clone(), with(&lonely), "parent-unknown"),
        (8_000, job.clone(), with_node(&job, |node| node.parent_is_invalid = true), "parent-invalid"),
        (9_000, with_coinb1(&job, |bytes| bytes[43] -= 1), fits.clone(), "height-not-of-parent"),
        (10_000, changed(&|job| job.branch = Box::default()), fits.clone(), "more-than-subsidy"),
        (11_000, job.clone(), with(&|context| context.payout = Some(expected.clone())), "pays-others"),
        (
            15_000,
            job.clone(),
            with(&|context| context.after.stamp = Some(Stamp::from_bytes([1; 64]))),
            "job-changed",
        ),
        (
            16_000,
            job.clone(),
            with(&|context| context.after.proposal = Some(Proposal::Refused("bad-blk-sigops".into()))),
            "proposal-refused",
        ),
    ] {
        assert_eq!(judged(level, &job, &context), (Outcome::Reject, code), "{level}");
        let of_others = CHECKS.iter().filter(|check| check.level < level);
        let test = JobUnderTest::new(&job, ORIGIN);
        let first =
            of_others.map(|check| check.run(&test, &context)).find(|found| found.outcome == Outcome::Reject);
        assert_eq!(first, None, "{level}: nothing else is wrong with it");
    }
    let fork = with_others(&job, vec![rival]);
    assert_eq!(judged(14_000, &job, &fork), (Outcome::Warn, "fork"));
    assert_eq!(judged(14_000, &job, &with_others(&job, vec![other(&job)])), (Outcome::Pass, "ok"));
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
    assert_eq!(code(&id("a\u{202e}b")), (Outcome::Reject, "job-id-text"), "it would be shown backwards");
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
fn a_nodes_word_16000_counts() {
    let job = real();
    let mut context = context(&job);
    assert_eq!(judged(16_000, &job, &context).0, Outcome::Open);
    context.after.first_branch_known = Some(false);
    assert_eq!(judged(16_000, &job, &context), (Outcome::Warn, "transactions-unknown"));
    context.after.proposal = Some(Proposal::Refused("bad-cb-amount\u{1b}\u{202e}[2J".into()));
    let found = found(16_000, &job, &context);
    assert_eq!((found.outcome, found.found.as_str()), (Outcome::Reject, "bad-cb-amount[2J"));
    context.after.proposal = Some(Proposal::Accepted);
    context.after.first_branch_known = Some(true);
    assert_eq!(judged(16_000, &job, &context), (Outcome::Pass, "ok"));
}
