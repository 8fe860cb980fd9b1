use super::*;
use crate::work::{Coinbase, Difficulty, Epoch, Extranonce1, Extranonce2Size, JobHeader, JobId, VersionMask};

const NBITS: u32 = 0x1702_355e;
const HEIGHT: u32 = 900_000;
const NOON: u64 = 1_750_000_000;

/// What upstreams say, and a clock that only the test moves.
struct Watch {
    check: CrossCheck,
    now: Instant,
}

/// A parent; `real` ones carry the work of their block.
fn parent(name: u8, real: bool) -> [u8; 32] {
    let mut hash = [name; 32];
    if real {
        hash[22..].fill(0);
    }
    hash
}

fn job(parent: [u8; 32], height: u32, nbits: u32) -> Job {
    let mut coinb1 = vec![0; 42];
    coinb1[4] = 1;
    coinb1.push(3);
    coinb1.extend(&height.to_le_bytes()[..3]);
    Job {
        id: JobId::Text("a".into()),
        epoch: Epoch::default(),
        header: JobHeader { version: 0x2000_0000, prev_hash: parent, ntime: NOON as u32, nbits },
        coinbase: Coinbase {
            coinb1: coinb1.into(),
            extranonce1: Extranonce1::new(vec![]).unwrap(),
            extranonce2_size: Extranonce2Size::new(4).unwrap(),
            coinb2: [].into(),
        },
        branch: [].into(),
        version_mask: VersionMask::NONE,
        difficulty: Difficulty::ONE,
        network_target: None,
    }
}

impl Watch {
    fn new() -> Self {
        Self::at(Level::ALL)
    }

    fn at(level: Level) -> Self {
        Self { check: CrossCheck::new(&[false; 3], Duration::from_secs(120), level), now: Instant::now() }
    }

    fn says(&mut self, upstream: usize, job: &Job) {
        self.check.saw(UpstreamId(upstream), job, false, self.now, NOON);
    }

    fn passes(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    fn verdicts(&self) -> [&'static str; 3] {
        [0, 1, 2].map(|upstream| match self.check.judge(UpstreamId(upstream), self.now) {
            Verdict::Fine => "fine",
            Verdict::Flag(_) => "flag",
            Verdict::Suspect(_) => "suspect",
            Verdict::Quarantine(_) => "quarantine",
        })
    }
}

#[test]
fn upstreams_on_one_block_have_nothing_against_each_other_and_a_new_one_may_be_early() {
    let mut watch = Watch::new();
    for upstream in 0..3 {
        watch.says(upstream, &job(parent(1, true), HEIGHT, NBITS));
    }
    watch.passes(3_600);
    assert_eq!(watch.verdicts(), ["fine"; 3]);
    watch.says(1, &job(parent(2, true), HEIGHT + 1, NBITS));
    watch.passes(29);
    assert_eq!(watch.verdicts(), ["fine"; 3]);
}

#[test]
fn a_pool_that_stays_on_an_old_block_is_suspect_after_its_deadline_until_it_moves() {
    let mut watch = Watch::new();
    watch.says(0, &job(parent(1, true), HEIGHT, NBITS));
    watch.says(1, &job(parent(1, true), HEIGHT, NBITS));
    watch.says(1, &job(parent(2, true), HEIGHT + 1, NBITS));
    watch.passes(60);
    watch.says(1, &job(parent(3, true), HEIGHT + 2, NBITS));
    watch.says(0, &job(parent(1, true), HEIGHT, NBITS)); // new jobs on the old block change nothing
    watch.passes(59);
    assert_eq!(watch.verdicts()[0], "fine");
    assert_eq!(watch.check.next_change(watch.now), Some(watch.now + Duration::from_secs(1)));
    watch.passes(1);
    assert_eq!(watch.verdicts()[0], "suspect");
    watch.says(0, &job(parent(3, true), HEIGHT + 2, NBITS));
    assert_eq!(watch.verdicts(), ["fine"; 3]);
}

#[test]
fn a_block_without_work_that_nobody_else_knows_convicts_when_two_agree_and_holds_nobody_up() {
    let mut watch = Watch::new();
    watch.says(0, &job(parent(9, false), HEIGHT + 1, NBITS));
    watch.says(1, &job(parent(1, true), HEIGHT, NBITS));
    watch.passes(200);
    assert_eq!(watch.verdicts(), ["suspect", "fine", "fine"], "one against one: the work decides");
    watch.says(2, &job(parent(1, true), HEIGHT, NBITS));
    assert_eq!(watch.verdicts(), ["quarantine", "fine", "fine"]);
    watch.check.lost(UpstreamId(2));
    assert_eq!(watch.verdicts(), ["suspect", "fine", "fine"]);
}

#[test]
fn another_branch_with_its_work_is_told_and_mined_on() {
    let mut watch = Watch::new();
    watch.says(0, &job(parent(1, true), HEIGHT, NBITS));
    watch.says(1, &job(parent(2, true), HEIGHT, NBITS));
    watch.says(2, &job(parent(2, true), HEIGHT, NBITS));
    watch.passes(30);
    assert_eq!(watch.verdicts(), ["flag", "fine", "fine"]);
    let Verdict::Flag(text) = watch.check.judge(UpstreamId(0), watch.now) else { panic!() };
    assert!(text.starts_with("alone on its block 899999, which 2 others lack"), "{text}");
}

#[test]
fn nbits_that_two_others_contradict_at_once_convict_and_one_other_only_flags() {
    let mut watch = Watch::new();
    watch.says(0, &job(parent(1, true), HEIGHT, 0x1802_355e));
    watch.says(1, &job(parent(1, true), HEIGHT, NBITS));
    assert_eq!(watch.verdicts(), ["flag", "flag", "fine"]);
    watch.says(2, &job(parent(1, true), HEIGHT, NBITS));
    assert_eq!(watch.verdicts(), ["quarantine", "fine", "fine"]);
}

#[test]
fn a_network_difficulty_that_falls_by_more_than_a_retarget_can_is_suspect_until_it_is_back() {
    let mut watch = Watch::new();
    watch.says(0, &job(parent(1, true), HEIGHT, NBITS));
    watch.says(0, &job(parent(1, true), HEIGHT, 0x1d01_355e));
    assert_eq!(watch.verdicts()[0], "suspect");
    watch.says(0, &job(parent(1, true), HEIGHT, 0x1d01_355e));
    assert_eq!(watch.verdicts()[0], "suspect", "saying it twice makes it no better");
    watch.says(0, &job(parent(1, true), HEIGHT, NBITS));
    assert_eq!(watch.verdicts()[0], "fine");
    watch.says(0, &job(parent(2, true), HEIGHT + 1, 0x1702_355f));
    assert_eq!(watch.verdicts()[0], "flag", "a little, but between two retargets");
    watch.says(0, &job(parent(3, true), 901_152, 0x1702_3000));
    assert_eq!(watch.verdicts()[0], "fine", "at a retarget");
    watch.says(0, &job(parent(4, true), 901_153, 0x1d00_ffff));
    assert_eq!(watch.verdicts()[0], "suspect", "only test chains fall back to it, and this one is none");
}

#[test]
fn times_far_off_steps_back_and_floods_of_clean_jobs_are_told() {
    let mut watch = Watch::new();
    let mut late = job(parent(1, true), HEIGHT, NBITS);
    late.header.ntime -= 7_201;
    watch.says(0, &late);
    assert_eq!(watch.verdicts()[0], "flag");
    late.header.ntime += 1;
    watch.says(0, &late);
    assert_eq!(watch.verdicts()[0], "fine");
    watch.says(0, &job(parent(2, true), HEIGHT - 1, NBITS));
    assert_eq!(watch.verdicts()[0], "flag");
    for _ in 0..7 {
        watch.check.saw(UpstreamId(1), &late, true, watch.now, NOON);
    }
    assert_eq!(watch.verdicts()[1], "fine");
    watch.check.saw(UpstreamId(1), &late, true, watch.now, NOON);
    assert_eq!(watch.verdicts()[1], "flag");
}

#[test]
fn a_chain_of_its_own_convicts_against_two_and_is_told_against_one() {
    let mut watch = Watch::new();
    watch.says(0, &job(parent(1, true), 5_000, NBITS));
    watch.says(1, &job(parent(1, true), HEIGHT, NBITS));
    assert_eq!(watch.verdicts(), ["flag", "flag", "fine"]);
    watch.says(2, &job(parent(1, true), HEIGHT, NBITS));
    assert_eq!(watch.verdicts(), ["quarantine", "fine", "fine"]);
}

#[test]
fn a_slip_to_hard_nbits_is_over_when_a_pool_agrees_with_another_again() {
    let mut watch = Watch::new();
    watch.says(0, &job(parent(3, true), HEIGHT, 0x1602_355e));
    watch.says(1, &job(parent(3, true), HEIGHT, NBITS));
    watch.says(0, &job(parent(3, true), HEIGHT, NBITS));
    assert_eq!(watch.verdicts(), ["fine", "fine", "fine"]);
}

#[test]
fn easy_nbits_make_no_work_of_a_block_and_convict_nobody_else() {
    let mut watch = Watch::new();
    watch.says(0, &job(parent(3, true), HEIGHT, NBITS));
    watch.says(1, &job(parent(9, false), HEIGHT + 1, 0x207f_ffff));
    watch.passes(120);
    assert_eq!(watch.verdicts(), ["fine", "suspect", "fine"], "a later block that is made up");
    watch.says(1, &job(parent(8, false), HEIGHT, 0x207f_ffff));
    watch.passes(30);
    assert_eq!(watch.verdicts()[1], "suspect", "and one at the same height");
}

#[test]
fn made_up_blocks_that_change_all_the_time_are_as_good_as_one() {
    let mut watch = Watch::new();
    watch.says(0, &job(parent(3, true), HEIGHT, NBITS));
    for nth in 0..4 {
        watch.says(1, &job(parent(9 + nth, false), HEIGHT, NBITS));
        watch.passes(10);
    }
    assert_eq!(watch.verdicts()[1], "suspect");
}

#[test]
fn a_made_up_block_starts_no_clock_against_who_is_behind_a_real_one() {
    let mut watch = Watch::new();
    watch.says(0, &job(parent(1, true), HEIGHT, NBITS));
    watch.says(1, &job(parent(9, false), HEIGHT + 1, NBITS));
    watch.says(2, &job(parent(1, true), HEIGHT, NBITS));
    watch.passes(200);
    watch.says(2, &job(parent(2, true), HEIGHT + 1, NBITS));
    assert_eq!(watch.verdicts(), ["fine", "suspect", "fine"]);
}

#[test]
fn a_pool_that_names_many_blocks_does_not_hide_that_it_stays_behind() {
    let mut watch = Watch::new();
    watch.says(0, &job(parent(1, true), HEIGHT, NBITS));
    watch.says(1, &job(parent(2, true), HEIGHT + 1, NBITS));
    for _ in 0..3 {
        watch.passes(50);
        (100..120).for_each(|name| watch.says(0, &job(parent(name, false), HEIGHT, NBITS)));
        watch.says(0, &job(parent(1, true), HEIGHT, NBITS));
        watch.says(1, &job(parent(2, true), HEIGHT + 1, NBITS));
    }
    assert_eq!(watch.verdicts()[0], "suspect");
}

#[test]
fn one_pool_ahead_of_two_that_agree_makes_neither_of_them_suspect() {
    let mut watch = Watch::new();
    watch.says(0, &job(parent(1, true), HEIGHT, NBITS));
    watch.says(1, &job(parent(1, true), HEIGHT, NBITS));
    watch.says(2, &job(parent(7, true), HEIGHT + 1, NBITS)); // a real block of the past, perhaps
    watch.passes(200);
    assert_eq!(watch.verdicts(), ["flag"; 3]);
}

#[test]
fn test_chains_change_their_difficulty_as_they_like() {
    let mut watch = Watch::new();
    watch.says(0, &job(parent(1, true), HEIGHT, 0x1e01_2bfe));
    watch.says(0, &job(parent(2, true), HEIGHT + 1, 0x1d61_17a4));
    watch.says(0, &job(parent(3, true), HEIGHT + 2, 0x1f01_2bfe));
    assert_eq!(watch.verdicts()[0], "fine");
}

#[test]
fn a_block_of_the_easiest_target_on_testnet4_and_the_one_after_it_convict_nobody() {
    // The easiest target is that of the chain; the harder one is testnet3's of block 00000000440b921e…
    let (easiest, real) = (0x1d00_ffff, 0x1c2a_c4af);
    let mut watch = Watch::new();
    watch.says(0, &job(parent(1, true), HEIGHT, real));
    watch.says(1, &job(parent(1, true), HEIGHT, real));
    watch.says(2, &job(parent(1, true), HEIGHT, easiest));
    assert_eq!(watch.verdicts(), ["fine"; 3], "one has seen the 20 minutes pass, two have not");
    watch.says(1, &job(parent(1, true), HEIGHT, easiest));
    assert_eq!(watch.verdicts(), ["fine"; 3]);
    // The block has a sixth of the work that the next one needs.
    let mut easy = [0xff; 32];
    easy[28..].fill(0);
    watch.says(0, &job(easy, HEIGHT + 1, real));
    watch.passes(31);
    assert_eq!(watch.verdicts()[0], "flag", "it is alone, and nothing is wrong with that");
    watch.says(1, &job(parent(1, true), HEIGHT, NBITS));
    watch.says(2, &job(parent(1, true), HEIGHT, NBITS));
    watch.passes(31);
    assert_eq!(watch.verdicts()[0], "quarantine", "but no chain as hard as the main one has such blocks");
}

#[test]
fn what_belongs_to_a_check_is_held_against_an_upstream_from_the_level_of_that_check_on() {
    type Faults = fn(&mut Watch);
    // Each with the verdict on the first upstream once its check runs.
    let cases: [(u32, &str, Faults); 6] = [
        (3_000, "flag", |watch| {
            let mut late = job(parent(1, true), HEIGHT, NBITS);
            late.header.ntime -= 7_201;
            watch.says(0, &late);
        }),
        (4_000, "quarantine", |watch| {
            watch.says(0, &job(parent(1, true), HEIGHT, 0x1802_355e));
            (1..3).for_each(|other| watch.says(other, &job(parent(1, true), HEIGHT, NBITS)));
        }),
        (4_000, "suspect", |watch| {
            watch.says(0, &job(parent(1, true), HEIGHT, NBITS));
            watch.says(0, &job(parent(1, true), HEIGHT, 0x1d01_355e));
        }),
        (8_000, "quarantine", |watch| {
            watch.says(0, &job(parent(9, false), HEIGHT, NBITS));
            (1..3).for_each(|other| watch.says(other, &job(parent(1, true), HEIGHT, NBITS)));
            watch.passes(30);
        }),
        (9_000, "flag", |watch| {
            watch.says(0, &job(parent(1, true), HEIGHT, NBITS));
            watch.says(0, &job(parent(2, true), HEIGHT - 1, NBITS));
        }),
        (14_000, "suspect", |watch| {
            watch.says(0, &job(parent(1, true), HEIGHT, NBITS));
            watch.says(1, &job(parent(2, true), HEIGHT + 1, NBITS));
            watch.passes(120);
        }),
    ];
    for (check, verdict, faults) in cases {
        for (level, expected) in [(0, "fine"), (check - 1, "fine"), (check, verdict), (16_000, verdict)] {
            let mut watch = Watch::at(Level::new(level).unwrap());
            faults(&mut watch);
            assert_eq!(watch.verdicts()[0], expected, "check {check} at level {level}");
        }
    }
    let mut watch = Watch::at(Level::new(13_999).unwrap());
    watch.says(0, &job(parent(1, true), 5_000, NBITS));
    (1..3).for_each(|other| watch.says(other, &job(parent(1, true), HEIGHT, NBITS)));
    assert_eq!(watch.verdicts(), ["fine"; 3], "another chain");
    let mut watch = Watch::at(Level::NONE);
    for _ in 0..8 {
        watch.check.saw(UpstreamId(0), &job(parent(1, true), HEIGHT, NBITS), true, watch.now, NOON);
    }
    assert_eq!(watch.verdicts()[0], "flag", "a flood is no check of the table");
}

#[test]
fn a_node_of_our_own_convicts_alone_and_is_not_convicted() {
    let node = |others: usize| {
        let vouching: Vec<_> = (0..=others).map(|index| index == 0).chain([false]).take(3).collect();
        Watch { check: CrossCheck::new(&vouching, Duration::from_secs(120), Level::ALL), now: Instant::now() }
    };
    let ours = job(parent(1, true), HEIGHT, NBITS);
    // Made up, without the work of a block.
    let mut watch = node(1);
    watch.says(0, &ours);
    watch.says(1, &job(parent(2, false), HEIGHT, NBITS));
    watch.passes(31);
    assert_eq!(watch.verdicts()[..2], ["flag", "quarantine"]);
    // Another difficulty at the same height.
    let mut watch = node(1);
    watch.says(0, &ours);
    watch.says(1, &job(parent(1, true), HEIGHT, NBITS - 0x10));
    assert_eq!(watch.verdicts()[1], "quarantine");
    // A real block that the node does not know is a branch, not a lie.
    let mut watch = node(1);
    watch.says(0, &ours);
    watch.says(1, &job(parent(2, true), HEIGHT, NBITS));
    watch.passes(31);
    assert_eq!(watch.verdicts()[1], "flag");
    // Two pools on a block that our node has left behind.
    let mut watch = node(2);
    watch.says(0, &job(parent(3, true), HEIGHT + 1, NBITS));
    watch.says(1, &ours);
    watch.says(2, &ours);
    watch.passes(121);
    assert_eq!(watch.verdicts(), ["flag", "suspect", "suspect"]);
    // Both pools ahead of our node, which may be cut off: told, and no more.
    let mut watch = node(2);
    watch.says(0, &ours);
    watch.says(1, &job(parent(3, true), HEIGHT + 1, NBITS));
    watch.says(2, &job(parent(3, true), HEIGHT + 1, NBITS));
    watch.passes(121);
    assert_eq!(watch.verdicts(), ["flag", "fine", "fine"]);
}
