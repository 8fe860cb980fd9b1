//! Whom the engine hashes for, and why not for somebody else.

use std::collections::BTreeSet;

use super::*;
use crate::work::{Outcome, Reject, RejectKind};

const LAST: UpstreamId = UpstreamId(2);

impl Mine {
    fn fails(&mut self, upstream: UpstreamId, reason: &str) {
        self.engine.handle_upstream_lost(upstream, Some(reason.to_owned()), self.now);
        self.drain();
    }

    fn is_mining(&mut self, upstream: UpstreamId) {
        self.engine.handle_upstream_up(upstream, self.now);
        self.drain();
    }

    fn answers(&mut self, upstream: UpstreamId, share: Box<Share>, outcome: Outcome) {
        let answered = Answered { share, outcome, latency: Some(Duration::from_millis(5)) };
        self.engine.handle_answer(upstream, answered, self.now);
        self.drain();
    }

    fn active(&self) -> Vec<usize> {
        self.engine.active.iter().map(|id| id.0).collect()
    }

    /// The reason of the last turn to another upstream.
    fn reason(&self) -> &str {
        let switched = self.reports.iter().rev().find_map(|report| match report {
            Report::Switched { reason, .. } => Some(reason),
            _ => None,
        });
        switched.expect("somebody was switched to")
    }

    fn wanted(&self) -> Vec<usize> {
        self.wanted.iter().filter(|(_, is_wanted)| **is_wanted).map(|(id, _)| id.0).collect()
    }

    /// Hashes for so many slices at the board's expected rate, and reports them.
    fn hashes(&mut self, board: BoardId, seconds: u64) {
        for _ in 0..seconds {
            let job = self.chip_job(board).id;
            self.says(board, BoardEvent::Started { job, at: self.now });
            self.passes(1);
            self.says(board, BoardEvent::Hashes(10_000));
        }
    }

    /// The ids of the jobs that boards have, in order.
    fn hashed_jobs(&self) -> Vec<String> {
        let newest = self.engine.boards.keys().filter_map(|board| self.engine.in_flight.newest(*board));
        let mut jobs: Vec<_> = newest.map(|newest| newest.work.job().id.to_string()).collect();
        jobs.sort_unstable();
        jobs
    }

    fn hashed(&self) -> Vec<u64> {
        self.engine.snapshot(self.now).upstreams.iter().map(|upstream| upstream.account.hashes).collect()
    }
}

/// A job on this parent, which lacks the work.
fn on_chain(height: u32, parent: u8) -> Job {
    let mut job = job("a");
    let mut coinb1 = vec![0; 42];
    coinb1[4] = 1;
    coinb1.extend([3]);
    coinb1.extend(&height.to_le_bytes()[..3]);
    job.coinbase.coinb1 = coinb1.into();
    job.header.prev_hash = [parent; 32];
    job.header.nbits = 0x1702_355e;
    job
}

fn policy(strategy: Strategy) -> Policy {
    Policy { strategy, ..Policy::default() }
}

#[test]
fn a_better_pool_that_failed_must_be_healthy_for_a_while_before_hashing_returns_to_it() {
    let mut mine = Mine::with_board();
    mine.job(POOL, &job("a"));
    mine.job(SPARE, &job("spare"));
    mine.passes(10);
    mine.fails(POOL, "it closed the connection");
    assert_eq!(mine.active(), [1]);
    assert_eq!(mine.reason(), "pool 0: it closed the connection");
    mine.job(POOL, &job("b"));
    mine.passes(119);
    assert_eq!(mine.active(), [1]);
    let due = mine.engine.poll_timeout();
    assert_eq!(due, Some(mine.now + Duration::from_secs(1)));
    mine.passes(1);
    assert_eq!((mine.active(), mine.reason()), (vec![0], "pool 0 has been healthy for 120 s"));
    mine.find_share(CPU);
    assert_eq!(mine.submitted[0].0, POOL);
}

#[test]
fn a_relapse_starts_the_healthy_time_again() {
    let mut mine = Mine::with_board();
    mine.job(SPARE, &job("spare"));
    mine.fails(POOL, "out of reach");
    mine.job(POOL, &job("a"));
    mine.passes(100);
    mine.fails(POOL, "out of reach again");
    mine.job(POOL, &job("b"));
    mine.passes(100);
    assert_eq!(mine.active(), [1]);
    mine.passes(20);
    assert_eq!(mine.active(), [0]);
}

#[test]
fn shares_that_stay_unanswered_make_a_pool_suspect_until_it_answers() {
    let mut mine = Mine::with_board();
    mine.is_mining(POOL);
    mine.job(POOL, &job("a"));
    mine.job(SPARE, &job("spare"));
    mine.find_share(CPU);
    mine.passes(29);
    assert_eq!(mine.active(), [0]);
    assert_eq!(mine.engine.poll_timeout(), Some(mine.now + Duration::from_secs(1)));
    mine.passes(1);
    assert_eq!((mine.active(), mine.reason()), (vec![1], "pool 0: no answer to a share for 30 s"));
    let share = mine.submitted.remove(0).1;
    mine.answers(POOL, share, Outcome::Accepted);
    let judged = mine.reports.iter().filter(|report| matches!(report, Report::Judged(..))).count();
    assert_eq!(judged, 2, "suspect, and no longer");
    mine.passes(120);
    assert_eq!(mine.active(), [0]);
}

#[test]
fn a_suspect_pool_is_still_mined_for_when_there_is_no_other() {
    let mut mine = Mine::with_board();
    mine.is_mining(POOL);
    mine.job(POOL, &job("a"));
    mine.find_share(CPU);
    mine.passes(60);
    assert_eq!(mine.active(), [0]);
    assert!(mine.chip_jobs[&CPU].is_some());
}

#[test]
fn as_many_pools_are_kept_connected_as_are_needed_and_the_next_when_one_fails() {
    let mut mine = Mine::with_policy(Policy::default(), &[1; 4]);
    mine.drain();
    assert_eq!(mine.wanted(), [0, 1], "one to mine for and one to stand by");
    mine.fails(POOL, "out of reach");
    assert_eq!(mine.wanted(), [0, 1, 2]);
    mine.job(SPARE, &job("spare"));
    mine.job(LAST, &job("last"));
    mine.job(POOL, &job("a"));
    mine.passes(60);
    assert_eq!(mine.wanted(), [0, 1, 2], "the first has yet to prove itself");
    mine.passes(60);
    assert_eq!((mine.wanted(), mine.active()), (vec![0, 1], vec![0]));
    mine.engine.handle_upstream_lost(LAST, None, mine.now);
    mine.drain();
    mine.fails(SPARE, "it closed the connection");
    assert_eq!(mine.wanted(), [0, 1, 2], "the one that rested is expected to work");
}

#[test]
fn a_standby_that_is_cold_is_called_when_the_pool_in_use_fails() {
    let mut mine = Mine::with_policy(Policy { hot_standbys: 0, ..Policy::default() }, &[1, 1]);
    mine.add_board(CPU);
    mine.job(POOL, &job("a"));
    assert_eq!(mine.wanted(), [0]);
    mine.fails(POOL, "gone");
    assert_eq!(mine.wanted(), [0, 1]);
    assert!(mine.chip_jobs[&CPU].is_some(), "meanwhile the last job is hashed on");
    mine.now += Duration::from_millis(800);
    mine.job(SPARE, &job("spare"));
    let job = mine.chip_job(CPU).id;
    mine.says(CPU, BoardEvent::Started { job, at: mine.now });
    let took = about_ms(mine.engine.snapshot(mine.now).failovers.quantile(1.0));
    assert!((took / 800.0 - 1.0).abs() < 0.01, "{took} ms");
}

#[test]
fn quotas_are_kept_to_a_hundredth_and_a_pool_that_was_away_gets_what_it_missed() {
    let mut mine = Mine::with_policy(policy(Strategy::Quota), &[70, 25, 5]);
    mine.add_board(CPU);
    for upstream in [POOL, SPARE, LAST] {
        mine.job(upstream, &job("a"));
    }
    mine.hashes(CPU, 1_000);
    let parts = |mine: &Mine| {
        let hashed = mine.hashed();
        let all: u64 = hashed.iter().sum();
        hashed.iter().map(|hashes| *hashes as f64 / all as f64).collect::<Vec<_>>()
    };
    let is_near =
        |parts: &[f64]| parts.iter().zip([0.7, 0.25, 0.05]).all(|(part, due)| (part - due).abs() < 0.01);
    assert!(is_near(&parts(&mine)), "{:?}", parts(&mine));
    mine.fails(SPARE, "gone");
    mine.hashes(CPU, 300);
    assert!(!is_near(&parts(&mine)));
    mine.job(SPARE, &job("b"));
    mine.hashes(CPU, 700);
    assert!(is_near(&parts(&mine)), "{:?}", parts(&mine));
}

#[test]
fn a_balanced_load_owes_nothing_to_a_pool_that_was_away() {
    let mut mine = Mine::with_policy(policy(Strategy::LoadBalance), &[1, 1]);
    mine.add_board(CPU);
    mine.add_board(BoardId(1));
    mine.job(POOL, &job("a"));
    mine.hashes(CPU, 500);
    mine.job(SPARE, &job("spare"));
    assert_eq!(mine.reason(), "pool 1 gives work");
    let before = mine.hashed();
    mine.hashes(CPU, 400);
    let after = mine.hashed();
    let done: Vec<_> = after.iter().zip(before).map(|(after, before)| after - before).collect();
    assert!(done[0].abs_diff(done[1]) <= 40_000, "{done:?}");
}

#[test]
fn two_boards_split_at_once_where_hashing_is_shared() {
    let mut mine = Mine::with_policy(policy(Strategy::LoadBalance), &[1, 1]);
    mine.add_board(CPU);
    mine.add_board(BoardId(1));
    mine.job(POOL, &job("a"));
    mine.job(SPARE, &job("spare"));
    mine.passes(2);
    let upstreams: Vec<_> = mine.engine.boards.values().filter_map(|board| board.upstream).collect();
    assert!(upstreams.contains(&POOL) && upstreams.contains(&SPARE), "{upstreams:?}");
}

#[test]
fn a_cold_standby_is_called_as_soon_as_the_pool_in_use_leaves_shares_unanswered() {
    let mut mine = Mine::with_policy(Policy { hot_standbys: 0, ..Policy::default() }, &[1, 1]);
    mine.add_board(CPU);
    mine.is_mining(POOL);
    mine.job(POOL, &job("a"));
    let nonces = Mine::nonces(&mine.chip_job(CPU), true).take(3).collect::<Vec<_>>();
    for nonce in nonces {
        mine.says(CPU, nonce);
    }
    assert_eq!(mine.wanted(), [0]);
    mine.now += Duration::from_secs(5);
    mine.engine.handle_timeout(mine.now);
    mine.drain();
    assert_eq!(mine.wanted(), [0, 1]);
}

#[test]
fn a_flood_of_jobs_switches_ten_times_a_second_and_the_newest_wins() {
    let mut mine = Mine::with_board();
    let mut given = BTreeSet::new();
    for nth in 0..100 {
        mine.job(POOL, &job(&nth.to_string()));
        given.insert(mine.chip_job(CPU).id);
    }
    assert!((10..=11).contains(&given.len()), "{}", given.len());
    mine.passes(1);
    mine.find_share(CPU);
    assert_eq!(mine.submitted[0].1.job().id.to_string(), "99");
}

#[test]
fn a_quarantined_pool_is_not_hashed_for_even_when_there_is_no_other() {
    let mut mine = Mine::with_policy(Policy::default(), &[1; 3]);
    mine.add_board(CPU);
    mine.job(POOL, &on_chain(900_000, 9));
    mine.job(SPARE, &on_chain(900_000, 3));
    mine.job(LAST, &on_chain(900_000, 3));
    assert_eq!(mine.active(), [0]);
    mine.passes(10);
    assert_eq!((mine.active(), mine.reason()), (vec![1], "pool 0: nobody else knows its parent"));
    mine.passes(20);
    let judged = |report: &Report| matches!(report, Report::Judged(POOL, Verdict::Quarantine(_)));
    assert!(mine.reports.iter().any(judged));
}

#[test]
fn each_share_is_counted_for_its_pool_and_its_board_by_how_it_ended() {
    let mut mine = Mine::with_board();
    mine.add_board(BoardId(1));
    mine.job(POOL, &job("a"));
    mine.find_share(CPU);
    mine.find_share(BoardId(1));
    let refused = Reject { kind: RejectKind::Duplicate, code: None, text: String::new() };
    for outcome in [Outcome::Accepted, Outcome::Rejected(refused)] {
        let share = mine.submitted.remove(0).1;
        mine.answers(POOL, share, outcome);
    }
    let snapshot = mine.engine.snapshot(mine.now);
    let by_board: Vec<_> =
        snapshot.boards.iter().map(|board| (board.shares.accepted, board.shares.rejected_total())).collect();
    assert_eq!(by_board, [(1, 0), (0, 1)]);
    let account = &snapshot.upstreams[0].account;
    assert_eq!((account.shares.accepted, account.answers.count()), (1, 2));
}

#[test]
fn a_flood_of_one_pool_holds_up_no_job_of_another() {
    let mut mine = Mine::with_policy(policy(Strategy::LoadBalance), &[1, 1]);
    mine.add_board(CPU);
    mine.add_board(BoardId(1));
    mine.job(POOL, &job("a"));
    mine.job(SPARE, &job("spare"));
    mine.passes(2);
    (0..100).for_each(|nth| mine.job(POOL, &job(&nth.to_string())));
    mine.job(SPARE, &job("spare 2"));
    assert!(mine.hashed_jobs().contains(&"spare 2".to_owned()), "{:?}", mine.hashed_jobs());
}

#[test]
fn a_job_that_convicts_another_pool_still_reaches_the_boards_of_its_own() {
    let mut mine = Mine::with_policy(policy(Strategy::LoadBalance), &[1, 1, 1]);
    (0..3).for_each(|board| mine.add_board(BoardId(board)));
    let at = |id: &str, height, parent, nbits| {
        let mut job = Job { id: JobId::Text(id.into()), ..on_chain(height, parent) };
        job.header.nbits = nbits;
        job
    };
    for (upstream, id) in [(POOL, "a"), (SPARE, "b"), (LAST, "c")] {
        mine.job(upstream, &at(id, 900_000, 3, 0x1702_355e));
    }
    mine.passes(2);
    mine.passes(2);
    assert_eq!(mine.hashed_jobs(), ["a", "b", "c"]);
    mine.job(LAST, &at("c 2", 900_001, 4, 0x1702_3550));
    mine.job(SPARE, &at("b 2", 900_001, 4, 0x1702_355e));
    mine.job(POOL, &at("a 2", 900_001, 4, 0x1702_355e));
    assert_eq!(mine.active(), [0, 1]);
    let jobs = mine.hashed_jobs();
    assert!(!jobs.contains(&"a".to_owned()), "{jobs:?}");
}

#[test]
fn a_block_without_an_answer_is_not_held_against_a_pool_for_ever() {
    let mut mine = Mine::with_board();
    mine.is_mining(POOL);
    mine.job(POOL, &Job { network_target: Some(Difficulty::new(1e-7).unwrap().target()), ..job("a") });
    mine.job(SPARE, &job("spare"));
    mine.find_share(CPU);
    mine.passes(30);
    assert_eq!(mine.active(), [1]);
    mine.passes(600);
    mine.passes(120);
    assert_eq!(mine.active(), [0]);
}

#[test]
fn where_pools_take_turns_a_turn_is_told_as_one() {
    let mut mine = Mine::with_policy(policy(Strategy::Rotate(Duration::from_secs(600))), &[1, 1]);
    mine.add_board(CPU);
    mine.job(POOL, &job("a"));
    mine.job(SPARE, &job("spare"));
    mine.fails(POOL, "gone");
    mine.job(POOL, &job("b"));
    mine.passes(600);
    assert_eq!((mine.active(), mine.reason()), (vec![0], "it is the turn of pool 0"));
}

#[test]
fn a_pool_that_sends_us_elsewhere_has_not_failed() {
    let mut mine = Mine::with_board();
    mine.job(SPARE, &job("spare"));
    mine.lost(POOL);
    mine.job(POOL, &job("a"));
    assert_eq!(mine.active(), [0], "before its first job");
    mine.lost(POOL);
    assert_eq!((mine.active(), mine.reason()), (vec![1], "pool 0: the connection is lost"));
    mine.job(POOL, &job("b"));
    assert_eq!(mine.active(), [0], "or later");
}

#[test]
fn a_pool_whose_job_is_used_up_gives_way_to_one_that_has_work() {
    let mut mine = Mine::with_board();
    let mut tiny = job("tiny");
    tiny.coinbase.extranonce2_size = Extranonce2Size::new(0).unwrap();
    tiny.header.ntime = u32::MAX;
    mine.job(POOL, &tiny);
    mine.job(SPARE, &job("spare"));
    let only = mine.chip_job(CPU);
    mine.says(CPU, BoardEvent::JobEnding(only.id));
    assert_eq!(mine.engine.poll_timeout(), Some(mine.now));
    mine.passes(0);
    assert_eq!((mine.active(), mine.reason()), (vec![1], "pool 0: all work of its job has been done"));
    assert!(mine.chip_jobs[&CPU].is_some());
    mine.job(POOL, &job("a"));
    mine.passes(120);
    assert_eq!(mine.active(), [0], "it has new work, and has been well for a while");
}
