//! Mining for a strict pool in another language, in all its moods: nothing that arrives there is wrong.

use serde_json::Value;

use crate::support::{Miner, StrictPool};

/// Mines until `shares` were accepted, then stops and checks what both sides counted.
fn mines_without_a_fault(test: &str, shares: usize, options: &[&str]) -> Option<Value> {
    mines_until(test, shares, options, 5, |event| event["event"] == "job")
}

/// The same, and until so many events of a kind were seen.
fn mines_until(
    test: &str,
    shares: usize,
    options: &[&str],
    times: usize,
    wanted: impl Fn(&Value) -> bool,
) -> Option<Value> {
    // A share counts as in flight when its job ended that long ago: as long as a busy machine may take to run both.
    let common = ["--difficulty", "0.00001", "--job-every", "200", "--flight-ms", "1000"];
    let pool = StrictPool::start(test, &[&common, options].concat())?;
    let mut miner = Miner::start(&pool.url, &[]);
    miner.wait_for_shares(shares);
    miner.wait_for_several(times, "events of the wanted kind", wanted);
    Some(stops_without_a_fault(pool, miner, shares))
}

/// Stops both and checks what they counted; gives the pool's report.
pub(crate) fn stops_without_a_fault(pool: StrictPool, miner: Miner, shares: usize) -> Value {
    let ended = miner.stop();
    let summary = ended.summary().clone();
    let report = pool.report();
    let context = format!("pool: {report:#}\nminer: {summary:#}\n{}", ended.errors);
    assert_eq!(ended.code, Some(0), "{context}");
    assert_eq!(report["invalid"], serde_json::json!({}), "{context}");
    assert_eq!(report["protocol_errors"], serde_json::json!({}), "{context}");
    assert_eq!((&report["duplicates"], &report["stale"]), (&0.into(), &0.into()), "{context}");
    let board = &summary["boards"][0];
    assert_eq!((&board["hardware_errors"], &board["duplicates"]), (&0.into(), &0.into()), "{context}");
    // A server that says yes to everything also takes what was on its way when the job ended.
    let taken = ["accepted", "stale_in_flight", "low_in_flight"].map(|name| report[name].as_u64().unwrap());
    assert!(taken.iter().sum::<u64>() >= shares as u64, "{context}");
    report
}

#[test]
fn jobs_every_200_ms_clean_or_not_bring_no_wrong_share() {
    mines_without_a_fault(
        "jobs every 200 ms",
        60,
        &["--clean-ratio", "0.5", "--ping", "--show-message", "hello"],
    );
}

#[test]
fn difficulty_and_mask_may_change_at_any_time() {
    // Hard enough that the board reports by the pool's difficulty and not by its own ceiling.
    let options = [
        "--difficulty",
        "0.0005",
        "--difficulty-changes",
        "0.3",
        "--mask-changes",
        "0.5",
        "--error-style",
        "object",
    ];
    mines_until("difficulty and mask changes", 30, &options, 5, |event| event["state"] == "difficulty");
}

#[test]
fn new_extranonces_in_mid_session_count_from_the_next_job_on() {
    let options = ["--set-extranonce-every", "0.4"];
    let other_size = |event: &Value| event["event"] == "job" && event["extranonce2_size"] != 4;
    let report = mines_until("set_extranonce", 60, &options, 5, other_size);
    assert!(report.is_none_or(|report| report["extranonce_changes"].as_u64() > Some(0)));
}

#[test]
fn a_job_id_that_is_sent_again_brings_no_share_twice() {
    let options = ["--repeat-job-ids", "--extranonce2-size", "1"];
    let report = mines_until("repeated job ids", 60, &options, 30, |event| event["event"] == "job");
    assert!(report.is_none_or(|report| report["repeated_jobs"].as_u64() > Some(0)));
}

fn is_cut(event: &Value) -> bool {
    event["state"] == "down"
}

#[test]
fn connections_cut_at_random_lose_nothing_that_a_resumption_can_save() {
    let options = ["--cut-every", "1", "--resume"];
    let report = mines_until("cuts", 60, &options, 3, is_cut);
    assert!(report.is_none_or(|report| report["resumed"].as_u64() > Some(0)));
}

#[test]
fn connections_cut_without_resumption_bring_no_share_of_the_one_before() {
    mines_until("cuts without resumption", 60, &["--cut-every", "1"], 3, is_cut);
}

#[test]
fn lines_in_single_bytes_or_many_at_once_change_nothing() {
    mines_without_a_fault("single bytes", 60, &["--single-bytes"]);
    mines_without_a_fault("coalesced lines", 60, &["--coalesce", "--pipeline-early-work"]);
}

#[test]
fn answers_late_out_of_order_or_never_confuse_nobody() {
    let options = ["--answer-order", "random", "--answer-delay-ms", "50", "--never-answer", "0.3"];
    let report = mines_without_a_fault("answers out of order", 40, &options);
    assert!(report.is_none_or(|report| report["lost_unanswered"].as_u64() > Some(0)));
}

#[test]
fn a_pool_without_version_rolling_gets_none() {
    mines_without_a_fault("no mask", 40, &["--mask", "none"]);
    mines_without_a_fault("configure never answered", 40, &["--mask", "silent"]);
}

#[test]
fn masks_that_the_jobs_own_version_reaches_into_are_rolled_around() {
    mines_without_a_fault("job version bits", 60, &["--job-version-bits", "--mask", "0000e000"]);
}

#[test]
fn extranonce2_of_no_bytes_and_of_sixteen_work() {
    mines_without_a_fault("no extranonce2", 40, &["--extranonce2-size", "0"]);
    mines_without_a_fault(
        "sixteen bytes of extranonce2",
        40,
        &["--extranonce2-size", "16", "--extranonce1", ""],
    );
}

#[test]
fn all_moods_at_once_bring_no_wrong_share() {
    let options = [
        "--clean-ratio",
        "0.3",
        "--difficulty-changes",
        "0.7",
        "--set-extranonce-every",
        "0.9",
        "--cut-every",
        "2",
        "--resume",
        "--repeat-job-ids",
        "--single-bytes",
        "--never-answer",
        "0.1",
        "--answer-order",
        "random",
        "--answer-delay-ms",
        "20",
        "--mask-changes",
        "1.1",
        "--ping",
        "--seed",
        "7",
    ];
    mines_until("all moods", 100, &options, 2, is_cut);
}
