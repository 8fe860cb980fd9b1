use super::super::{
    evidence::{Counts, KnownNonce, Listing, MinerEnd, Replug},
    spec::Bench,
};
use super::*;
use crate::pool::Reject;

fn board(more: &str) -> Board {
    let text = format!(
        "title = 't'\n[[board]]\nname = 'b'\nkind = 'bm1370'\nidentity = 'BM1370'\nnominal = 1.071e12\n{more}"
    );
    Bench::parse(&text).unwrap().boards.remove(0)
}

fn real() -> Board {
    board("ports = ['/dev/a']")
}

/// As if the board had mined for a minute at this part of its nominal rate.
fn mined(board: &Board, part: f64) -> Run {
    let shares = (60.0 * board.limits.shares_per_second * part).round() as u64;
    Run {
        detail: Some("1 × BM1370 at 525 MHz".to_owned()),
        accepted: shares + 1,
        measured_shares: shares,
        measured_difficulty: shares as f64 * board.difficulty().value(),
        measured_seconds: 60.0,
        counts: Some(Counts { good: 995, hardware_errors: 5, damaged: 0 }),
        ..Run::default()
    }
}

fn judged(name: &str, board: &Board, evidence: &Evidence) -> Finding {
    Check::named(name).unwrap().judge(board, evidence)
}

fn of_load(name: &str, board: &Board, run: Run) -> Finding {
    judged(name, board, &Evidence { load: Some(run), ..Evidence::default() })
}

#[test]
fn a_board_that_does_what_it_should_passes_all_that_was_looked_at() {
    let board = real();
    for name in ["identify", "hash-rate", "hardware-errors", "pool-shares"] {
        let finding = of_load(name, &board, mined(&board, 1.0));
        assert_eq!((finding.status, finding.reason.as_str()), (Status::Passed, ""), "{name}: {finding:?}");
    }
}

#[test]
fn a_hash_rate_fails_when_its_whole_interval_is_outside_and_when_it_tells_too_little() {
    let board = real();
    for (part, passed) in [(0.75, false), (0.82, true), (1.18, true), (1.25, false), (0.0, false)] {
        let finding = of_load("hash-rate", &board, mined(&board, part));
        assert_eq!(finding.status == Status::Passed, passed, "{part}: {finding:?}");
    }
    let few = Run { measured_seconds: 2.0, measured_shares: 30, ..mined(&board, 30.0 / 900.0) };
    let finding = of_load("hash-rate", &board, few);
    assert!(
        finding.reason.contains("30 shares tell a rate to ± 38 % only; raise limits.load_seconds"),
        "{finding:?}"
    );
}

#[test]
fn what_is_missing_is_skipped_and_says_so() {
    let board = real();
    for check in CHECKS {
        let finding = check.judge(&board, &Evidence::default());
        assert_eq!(
            (finding.status, finding.reason.as_str()),
            (Status::Skipped, "it was not come to: a signal ended the run")
        );
    }
    assert_eq!(of_load("thermal", &board, mined(&board, 1.0)).reason, "nobody tells its temperature");
    let cut = Run { interrupted: true, measured_seconds: 0.0, ..mined(&board, 1.0) };
    assert_eq!(of_load("hash-rate", &board, cut).status, Status::Skipped);
    let alone =
        Evidence { replug: Some(Replug { nobody: true, ..Replug::default() }), ..Evidence::default() };
    assert!(judged("replug", &board, &alone).reason.contains("on a terminal"));
    let played = self::board("virtual = {}");
    assert!(judged("enumerate", &played, &Evidence::default()).reason.contains("pseudo-terminals"));
}

#[test]
fn a_port_that_is_not_listed_is_named() {
    let listing = Listing { listed: ["/dev/a".into()].into(), ..Listing::default() };
    let two = board("ports = ['/dev/a', '/dev/b']");
    let finding = judged("enumerate", &two, &Evidence { listing: Some(listing), ..Evidence::default() });
    assert_eq!((finding.status, finding.measured.as_str()), (Status::Failed, "1 of 2 ports listed"));
    assert!(finding.reason.contains("does not list /dev/b"), "{finding:?}");
}

#[test]
fn another_chip_silence_and_missing_chips_are_told_apart() {
    let board = board("options = 'chips=4'\nvirtual = { chips = 4 }");
    let good = mined(&board, 1.0);
    let other = of_load("identify", &board, Run { detail: Some("BM1366".to_owned()), ..good });
    assert!(other.reason.contains("does not find a BM1370"), "{other:?}");
    let silent = Run { accepted: 0, faults: vec!["no answer".to_owned()], ..mined(&board, 1.0) };
    let silent = of_load("identify", &board, silent);
    assert!(silent.reason.contains("no nonce: the miner says of the board: no answer"), "{silent:?}");
    let some = of_load("identify", &board, Run { chips: [0, 1].into(), ..mined(&board, 1.0) });
    assert_eq!(some.reason, "2 of 4 chips took an address");
}

#[test]
fn the_known_nonce_fails_without_it_and_with_a_wrong_share_beside_it() {
    let known = |found_after, wrong: &[&str]| {
        let wrong = wrong.iter().map(|&text| text.to_owned()).collect();
        let known = KnownNonce { attempts: 1, found_after, wrong, complaints: vec!["too hot".to_owned()] };
        judged("known-nonce", &real(), &Evidence { known: Some(known), ..Evidence::default() })
    };
    assert_eq!(known(Some(1.5), &[]).measured, "found after 1.5 s, attempt 1");
    assert!(known(None, &[]).reason.ends_with("the miner says: too hot"));
    assert_eq!(known(Some(1.5), &["bad"]).status, Status::Failed);
}

#[test]
fn errors_heat_and_invalid_shares_fail_beyond_their_limits_and_not_below() {
    let board = real();
    let errors = |hardware_errors, damaged| {
        let counts = Some(Counts { good: 1000 - hardware_errors - damaged, hardware_errors, damaged });
        of_load("hardware-errors", &board, Run { counts, ..mined(&board, 1.0) })
    };
    assert_eq!((errors(10, 0).status, errors(4, 6).status), (Status::Passed, Status::Passed));
    assert!(errors(11, 0).reason.contains("hash to nothing"));
    assert!(errors(5, 6).reason.contains("come damaged"));
    let mut run = mined(&board, 1.0);
    run.jobs.strange.push("odd".to_owned());
    assert_eq!(of_load("pool-shares", &board, run).status, Status::Passed, "it is hashed all the same");
    let mut run = mined(&board, 1.0);
    run.jobs.lost.push("too old".to_owned());
    assert_eq!(of_load("pool-shares", &board, run).reason, "the miner let jobs of the pool go: too old");
    let heat = |hottest, cut: Option<&str>| {
        let mut run = mined(&board, 1.0);
        (run.heat.readings, run.heat.hottest, run.heat.cut) = (1, hottest, cut.map(str::to_owned));
        of_load("thermal", &board, run).status
    };
    assert_eq!(
        (heat(80.0, None), heat(81.0, None), heat(60.0, Some("off"))),
        (Status::Passed, Status::Failed, Status::Failed)
    );
    let mut run = mined(&board, 1.0);
    (run.heat.readings, run.heat.told) =
        (1, vec!["throttled at 76 °C, below the 400 MHz it was set to".to_owned()]);
    let throttled = of_load("thermal", &board, run);
    assert_eq!(throttled.reason, "the miner says: throttled at 76 °C, below the 400 MHz it was set to");
    let shares = |reason| {
        let rejected = [(reason, 1)].into();
        of_load("pool-shares", &board, Run { rejected, ..mined(&board, 1.0) }).status
    };
    assert_eq!((shares(Reject::Stale), shares(Reject::LowDifficulty)), (Status::Passed, Status::Failed));
    let ended = Run { miner: MinerEnd::Early(Some(1)), ..mined(&board, 1.0) };
    assert!(of_load("pool-shares", &board, ended).reason.contains("ended by itself with exit code 1"));
}

#[test]
fn a_board_that_is_not_missed_or_does_not_come_back_fails() {
    let replug = |missed_after, back_after| {
        let seen = Replug { mined_before: true, missed_after, back_after, ..Replug::default() };
        judged("replug", &real(), &Evidence { replug: Some(seen), ..Evidence::default() })
    };
    assert_eq!(replug(Some(1.0), Some(5.0)).status, Status::Passed);
    assert!(replug(Some(1.0), None).reason.contains("no share came after"));
    assert!(replug(None, None).reason.contains("did not tell that the board was gone"));
}

#[test]
fn a_soak_tells_everything_that_went_wrong_in_it() {
    let board = board("ports = ['/dev/a']\n[board.limits]\nsoak_seconds = 60");
    let soak = |run| judged("soak", &board, &Evidence { soak: Some(run), ..Evidence::default() });
    assert_eq!(soak(mined(&board, 1.0)).status, Status::Passed);
    let bad = Run { longest_silence: 31.0, gone: 1, measured_seconds: 40.0, ..mined(&board, 0.5) };
    let reason = soak(bad).reason;
    for part in ["lies outside", "no share for 31.0 s", "lost the board", "ended early"] {
        assert!(reason.contains(part), "{reason}");
    }
}
