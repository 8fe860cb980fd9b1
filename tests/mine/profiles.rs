//! Mining for the servers of the field, played by the strict pool from the rows of `tests/support/profiles.py`: no share
//! and no line is wrong by the rules of the server.

use serde_json::{Value, json};

use crate::strict_pool::stops_without_a_fault;
use crate::support::{Miner, StrictPool};

/// Above what the engine filters for itself (20 nonces a second and thread), so that the pool's difficulty decides, and
/// still some shares a second: with changes by the factor 2 at most this holds from 5 to 50 MH/s a thread.
const DIFFICULTY: [&str; 4] = ["--difficulty", "0.0006", "--difficulty-span", "2"];
const SHARES: usize = 40;
const JOBS: usize = 10;
const DIFFICULTY_CHANGES: usize = 2;

/// Mines until enough was seen: shares, jobs, changes of difficulty and a clean job, each beyond what greets a miner.
fn mines(profile: &str, more: &[&str]) -> Option<(StrictPool, Miner)> {
    let options = ["--profile", profile, "--job-every", "250"];
    let pool = StrictPool::start(profile, &[&options, &DIFFICULTY, more].concat())?;
    // The optional requests are sent everywhere: no server may be lost by its way of answering them.
    let environment = [("SIGNALCORE_STRATUM_EXTRANONCE_SUBSCRIBE", "true")];
    let mut miner = Miner::start_with(&pool.url, &["--suggest-difficulty", "1"], &environment);
    miner.wait_for_shares(SHARES);
    miner.wait_for_several(JOBS, "jobs", |event| event["event"] == "job");
    miner.wait_for_several(2, "clean jobs", |event| event["event"] == "job" && event["clean"] == true);
    if more.contains(&"--difficulty-changes") {
        miner
            .wait_for_several(1 + DIFFICULTY_CHANGES, "difficulties", |event| event["state"] == "difficulty");
    }
    Some((pool, miner))
}

fn mines_for(profile: &str, more: &[&str]) -> Option<Value> {
    let (pool, miner) = mines(profile, more)?;
    let report = stops_without_a_fault(pool, miner, SHARES);
    assert_eq!((&report["profile"], &report["connections"]), (&profile.into(), &1.into()), "{report:#}");
    Some(report)
}

/// With a change of difficulty about as often as a job, so that some come between two jobs.
fn mines_for_a_changing(profile: &str) -> Option<Value> {
    mines_for(profile, &["--difficulty-changes", "0.3"])
}

#[test]
fn ckpool_in_pool_mode_takes_every_share() {
    let report = mines_for_a_changing("ckpool");
    assert!(report.is_none_or(|report| report["pings_answered"].as_u64() > Some(0)));
}

#[test]
fn ckpool_solo_whose_job_overtakes_authorize_and_whose_mask_is_wider_takes_every_share() {
    mines_for_a_changing("ckpool-solo");
}

#[test]
fn an_old_ckpool_that_keeps_the_higher_difficulty_of_a_job_takes_every_share() {
    mines_for_a_changing("ckpool-old");
}

#[test]
fn datum_with_extranonces_in_an_output_and_quick_jobs_takes_every_share() {
    mines_for_a_changing("datum");
}

#[test]
fn public_pool_with_unpadded_numbers_and_difficulty_at_once_takes_every_share() {
    mines_for_a_changing("public-pool");
}

#[test]
fn public_pool_takes_every_share_while_its_node_signals_inside_the_mask() {
    mines_for_a_changing("public-pool-signalling");
}

#[test]
fn p2poolv2_that_hangs_up_on_what_it_does_not_know_takes_every_share() {
    mines_for("p2poolv2", &[]);
}

#[test]
fn p2poolv2_that_changes_the_difficulty_of_a_running_job_takes_every_share() {
    // Several changes a job: the newest difficulty is often far above the one that the job came with.
    mines_for("p2poolv2", &["--difficulty-changes", "0.15", "--job-every", "600"]);
}

#[test]
fn gopool_whose_first_job_is_late_takes_every_share() {
    mines_for_a_changing("gopool");
}

#[test]
fn gopool_that_signals_inside_the_mask_refuses_only_what_was_sent_before_its_first_refusal_came() {
    let Some((pool, miner)) = mines("gopool-signalling", &["--difficulty-changes", "0.3"]) else { return };
    let ended = miner.stop();
    let report = pool.report();
    let is_learnt = |event: &&Value| event["state"] == "learnt";
    let learnt: Vec<_> = ended.events.iter().filter(is_learnt).collect();
    let context = format!("pool: {report:#}\nminer: {learnt:#?} {:#}", ended.summary());
    assert_eq!(learnt.len(), 1, "{context}");
    assert!(learnt[0]["reason"].as_str().unwrap().contains("(XOR)"), "{context}");
    let seconds = |value: &Value| value.as_f64().unwrap();
    let rejected: Vec<_> =
        ended.of("share").into_iter().filter(|share| share["result"] == "rejected").collect();
    // A share that a clean job overtook on its way says nothing of conventions; the pool counts it apart.
    for share in rejected.iter().filter(|share| share["reason"] != "Stale") {
        // Both are told in milliseconds.
        let sent_at = seconds(&share["time"]) - seconds(&share["latency_ms"]) / 1e3;
        assert!(sent_at <= seconds(&learnt[0]["time"]) + 0.002, "{share:#} was sent too late\n{context}");
    }
    let counts = (&report["invalid"], &report["protocol_errors"], &report["duplicates"], &report["stale"]);
    let expected = json!({"low-difficulty": report["invalid"]["low-difficulty"]});
    assert_eq!(counts, (&expected, &json!({}), &0.into(), &0.into()), "{context}");
    let in_flight = ["low_in_flight", "stale_in_flight"].map(|name| report[name].as_u64().unwrap());
    let low = report["invalid"]["low-difficulty"].as_u64().unwrap();
    assert!(low >= 1 && low + in_flight.iter().sum::<u64>() >= rejected.len() as u64, "{context}");
}

#[test]
fn miningcore_that_sends_a_job_again_under_its_id_takes_every_share() {
    let report = mines_for_a_changing("miningcore");
    assert!(report.is_none_or(|report| report["repeated_jobs"].as_u64() > Some(0)));
}

#[test]
fn nomp_that_never_answers_configure_takes_every_share() {
    mines_for_a_changing("nomp");
}

#[test]
fn the_sv2_translator_with_long_extranonces_and_a_difficulty_of_zero_takes_every_share() {
    mines_for_a_changing("sv2-translator");
}

#[test]
fn nicehash_that_changes_extranonces_under_the_same_job_id_takes_every_share() {
    let report = mines_for_a_changing("nicehash");
    assert!(report.is_none_or(|report| report["extranonce_changes"].as_u64() > Some(0)));
}

#[test]
fn p2pool_with_numbered_notifications_and_no_extranonce1_takes_every_share() {
    mines_for_a_changing("p2pool");
}

#[test]
fn a_p2pool_that_rolls_versions_and_greets_twice_takes_every_share() {
    mines_for_a_changing("p2pool-fork");
}
