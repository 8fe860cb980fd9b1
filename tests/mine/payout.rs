//! Pools whose jobs pay somebody else, over real sockets.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Miner, PAID, ScriptedPool, good_job, job_paying};

/// Somebody else: the hash of a public key, and its address.
const THIEF: &str = "751e76e8199196d454941c45d1b3a323f1433bd6";
const THIEFS_ADDRESS: &str = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";

fn mine(configuration: &str) -> Miner {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("miner.toml");
    std::fs::write(&path, configuration).unwrap();
    let mut miner = Miner::start_with_file(&path);
    miner.wait_for("the file read", |event| event["state"] == "connecting");
    miner
}

fn is_job(id: &'static str) -> impl Fn(&Value) -> bool {
    move |event| event["event"] == "job" && event["job"] == id
}

/// The first pool pays as it should, then swaps the payout: nothing of that job is hashed, and the second takes over.
fn the_second_takes_over_from(first_pool: &str) {
    let (first, second) = (ScriptedPool::listen(), ScriptedPool::listen());
    let mut miner = mine(&format!(
        "[[pool]]\nurl = '{}'\n{first_pool}\n[[pool]]\nurl = '{}'\nuser = 'spare'",
        first.url, second.url
    ));
    let mut spare = second.accept_mining();
    let mut connection = first.accept_mining();
    let job = miner.wait_for("the first pool's job", |event| event["event"] == "job" && event["pool"] == 0);
    assert_eq!(job["payouts"], json!([{ "address": PAID, "amount": 5_000_000_000_u64 }]));
    assert_eq!((&job["payout_total"], &job["height"]), (&json!(5_000_000_000_u64), &json!(881_424)));
    let said = miner.wait_for("whom it pays", |event| event["state"] == "payout");
    assert_eq!(
        said["reason"],
        format!("pays 100 % of 50 BTC to {PAID}; a job with less than 97 % is refused")
    );
    assert!(connection.request("mining.submit").is_some());

    connection.say(job_paying(THIEF, "swapped", true));
    connection.say(job_paying(THIEF, "swapped too", true));
    let down = miner.wait_for("the quarantine", |event| event["state"] == "down" && event["pool"] == 0);
    let reason = down["reason"].as_str().unwrap();
    assert!(reason.starts_with(&format!("quarantined: its job pays 50 BTC to {THIEFS_ADDRESS}")), "{reason}");
    assert!(reason.contains(&format!("so 0 % to {PAID}, who shall get 97 %")), "{reason}");
    assert_eq!(down["retry_seconds"].as_f64(), Some(600.0), "{down}");
    while let Some(submit) = connection.request("mining.submit") {
        assert_eq!(submit["params"][1], "good", "a share of the swapped job");
    }
    miner.wait_for("the switch", |event| event["state"] == "switched" && event["to"] == second.url);
    assert!(spare.request("mining.submit").is_some());
    let ended = miner.stop();
    assert_eq!(ended.code, Some(0));
    assert!(!ended.events.iter().any(is_job("swapped")), "{:#?}", ended.events);
    assert_eq!(ended.events.iter().filter(|event| event["state"] == "payout").count(), 1);
}

/// Attack 4.
#[test]
fn a_payout_swapped_in_mid_session_is_refused_before_it_is_hashed_and_the_second_pool_takes_over() {
    the_second_takes_over_from(&format!("user = 'worker'\nexpect_payout = ['{PAID}']"));
}

/// Attack 4.
#[test]
fn a_solo_pool_that_stops_paying_the_address_in_the_user_name_is_left_without_being_asked_to() {
    the_second_takes_over_from(&format!("user = '{PAID}.rig'"));
}

/// Attack 4.
#[test]
fn an_ordinary_pool_that_pays_somebody_new_is_told_and_mined() {
    let pool = ScriptedPool::listen();
    let mut miner = Miner::start(&pool.url, &[]);
    let mut connection = pool.accept_mining();
    connection.say(job_paying(THIEF, "new", true));
    let told = miner.wait_for("the new payout", |event| event["state"] == "complaint");
    let said = format!("its job pays nobody whom its jobs paid before, but 50 BTC to {THIEFS_ADDRESS}");
    assert_eq!(told["reason"], said);
    miner.wait_for("its job", is_job("new"));
    connection.say(good_job("old", true));
    miner.wait_for("the next job", is_job("old"));
    let ended = miner.stop();
    assert_eq!(ended.events.iter().filter(|event| event["state"] == "complaint").count(), 1);
}

/// Attack 19.
#[test]
fn a_job_whose_coinbase_is_none_is_mined_with_a_word_unless_the_payout_is_expected() {
    let broken = json!({"id": null, "method": "mining.notify", "params": ["broken", "00".repeat(32), "01000000", "02",
        [], "20000000", "1702355e", "66000000", true]});
    let pool = ScriptedPool::listen();
    let mut miner = Miner::start(&pool.url, &[]);
    let mut connection = pool.accept_mining();
    connection.say(broken.clone());
    let told = miner.wait_for("the complaint", |event| event["state"] == "complaint");
    assert!(told["reason"].as_str().unwrap().starts_with("whom its job pays cannot be told: "), "{told}");
    let job = miner.wait_for("its job", is_job("broken"));
    assert!(job["payouts"].is_null() && job["payout_total"].is_null(), "{job}");
    miner.stop();

    let mut miner = mine(&format!("[[pool]]\nurl = '{}'\nexpect_payout = ['{PAID}']", pool.url));
    let mut connection = pool.accept_mining();
    connection.say(broken);
    let down = miner.wait_for("the quarantine", |event| event["state"] == "down");
    let reason = down["reason"].as_str().unwrap();
    assert!(
        reason.starts_with(&format!("quarantined: nobody can tell whether its job pays {PAID}: ")),
        "{reason}"
    );
    assert!(!miner.stop().events.iter().any(is_job("broken")));
}
