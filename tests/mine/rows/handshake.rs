//! What comes before the first share: configure, subscribe, authorize, and the optional requests.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::judge::Rule;
use super::play::{ASKED_MASK, EASY, GENTLE, Play};
use crate::support::{Miner, ScriptedPool, skipped};

const SHORT: (&str, &str) = ("SIGNALCORE_STRATUM_HANDSHAKE_TIMEOUT", "1");
const XNSUB: (&str, &str) = ("SIGNALCORE_STRATUM_EXTRANONCE_SUBSCRIBE", "true");

/// The methods of our requests, in the order in which they came.
fn methods(play: &Play) -> Vec<String> {
    let lines = play.heard.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter_map(|line| line["method"].as_str().map(str::to_owned)).collect()
}

/// Quirk 2.
#[test]
fn work_that_overtakes_the_answer_to_authorize_is_kept_and_no_share_of_it_comes_before() {
    let mut play = Play::connected();
    play.subscribe("0a0b0c0d", 4);
    let id = play.request("mining.authorize")["id"].clone();
    play.difficulty(json!(EASY));
    let early = play.job("early", true);
    play.fence();
    play.fence();
    assert!(!play.has_unread("mining.submit"));
    play.say(json!({"id": id, "result": true, "error": null}));
    assert_eq!(play.share().job, early);
    play.ends();
}

/// Quirk 3.
#[test]
fn of_a_mask_wider_than_asked_for_only_bits_that_a_block_may_roll_are_taken() {
    let mut play = Play::rolling("ffffffff", Rule::Or);
    assert_eq!(play.told_job("first")["version_mask"], "1fffffe0");
    play.shares(3);
    play.ends();
}

/// Quirk 7.
#[test]
fn a_server_with_a_list_of_agents_is_told_any_name_that_the_operator_sets() {
    let mut play = Play::connected_with(&[], &[("SIGNALCORE_STRATUM_USER_AGENT", "bosminer/1.0")]);
    let request = play.request("mining.subscribe");
    assert_eq!(request["params"], json!(["bosminer/1.0"]));
    play.say(json!({"id": request["id"], "result": "User agent not allowed", "error": null}));
    play.told("down", "the pool refuses to subscribe us: User agent not allowed");
    play.ends();
}

/// Quirk 8.
#[test]
fn an_authorize_that_is_never_answered_ends_with_its_deadline_and_is_not_repeated_meanwhile() {
    let mut play = Play::connected_with(&[], &[SHORT]);
    play.subscribe("0a0b0c0d", 4);
    play.request("mining.authorize");
    assert_eq!(play.try_request("mining.authorize"), None, "the miner hangs up");
    play.told("down", "no answer to mining.authorize within 1 s");
    play.reconnected();
    play.greet();
    play.share();
    play.ends();
}

/// Quirk 10.
#[test]
fn configure_asks_for_version_rolling_alone_whatever_else_is_wanted() {
    let mut play = Play::connected_with(&["--suggest-difficulty", "64"], &[XNSUB]);
    let params = play.request("mining.configure")["params"].clone();
    assert_eq!(params[0], json!(["version-rolling"]));
    let members: Vec<_> = params[1].as_object().unwrap().keys().collect();
    assert_eq!(members, ["version-rolling.mask", "version-rolling.min-bit-count"]);
    assert_eq!(params.as_array().unwrap().len(), 2);
    play.ends();
}

/// Quirk 18.
#[test]
fn a_suggested_difficulty_that_brings_no_answer_is_suggested_once_and_waited_for_by_nobody() {
    let mut play = Play::mining_with(&["--suggest-difficulty", "512"], &[]);
    play.shares(5);
    assert_eq!(methods(&play).iter().filter(|method| *method == "mining.suggest_difficulty").count(), 1);
    play.ends();
}

/// Quirk 22.
#[test]
fn nothing_is_sent_that_was_not_asked_for_and_a_whole_difficulty_is_suggested_as_a_whole_number() {
    let mut play = Play::mining();
    play.shares(3);
    let mut all = methods(&play);
    all.dedup();
    assert_eq!(all, ["mining.configure", "mining.subscribe", "mining.authorize", "mining.submit"]);
    assert!(!play.heard.iter().any(|line| line.contains("pong")));
    play.ends();
    let mut play = Play::mining_with(&["--suggest-difficulty", "512"], &[]);
    play.request("mining.suggest_difficulty");
    assert!(play.heard.last().unwrap().contains("[512]"), "{:?}", play.heard.last());
    play.ends();
}

/// Quirk 23.
#[test]
fn one_connection_hears_subscribe_and_authorize_once_each_whatever_happens_on_it() {
    let mut play = Play::mining_with(&["--suggest-difficulty", "512"], &[XNSUB]);
    play.say(json!({"id": 4_000, "result": null, "error": [25, "Not subscribed", null]}));
    play.refuse(json!({"result": null, "error": [24, "Unauthorized worker", null]}));
    play.refuse(json!({"result": null, "error": [25, "Not subscribed", null]}));
    play.extranonce("ffeeddcc", 5);
    play.notify("mining.set_extranonce", json!(["ffeeddcc", 5]));
    let second = play.job("second", true);
    play.share_of(second);
    play.fence();
    for method in ["mining.subscribe", "mining.authorize"] {
        assert_eq!(methods(&play).iter().filter(|known| *known == method).count(), 1, "{method}");
    }
    play.ends_refused();
}

/// Quirk 25.
#[test]
fn a_mask_without_padding_and_notifications_without_an_id_are_read() {
    let mut play = Play::connected();
    play.configure(json!({"version-rolling": true, "version-rolling.mask": "e000"}));
    play.subscribe("0a0b0c0d", 8);
    play.answer("mining.authorize", json!(true));
    play.book.terms.difficulty = EASY;
    play.book.terms.mask = 0xe000;
    play.book.terms.rule = Rule::Replace(0xe000);
    play.say(json!({"method": "mining.set_difficulty", "params": [EASY]}));
    let params = play.params("p2", true);
    play.book.sent(&params);
    play.say(json!({"method": "mining.notify", "params": params}));
    assert_eq!(play.told_job("p2")["version_mask"], "0000e000");
    play.shares(3);
    play.ends();
}

/// Quirk 28.
#[test]
fn a_mask_under_the_name_set_version_counts_from_the_next_job_on() {
    let mut play = Play::rolling("1fffe000", Rule::Replace(ASKED_MASK));
    play.share();
    play.notify("mining.set_version", json!(["0000e000"]));
    (play.book.terms.mask, play.book.terms.rule) = (0xe000, Rule::Replace(0xe000));
    let second = play.job("second", true);
    assert_eq!(play.told_job("second")["version_mask"], "0000e000");
    play.share_of(second);
    play.ends();
}

/// Quirk 29.
#[test]
fn rolling_that_is_granted_with_an_empty_mask_is_none() {
    let mut play = Play::connected();
    play.configure(json!({"version-rolling": true, "version-rolling.mask": "00000000"}));
    play.greet();
    assert_eq!(play.told_job("first")["version_mask"], "00000000");
    play.shares(3);
    play.ends();
}

/// Quirk 31.
#[test]
fn p2pool_with_a_flat_subscription_no_extranonce1_null_for_yes_and_numbered_notifications_gets_its_shares() {
    let mut play = Play::connected();
    play.answer("mining.subscribe", json!([["mining.notify", "ae6812eb4cd7735a302a8a9dd95cf71f"], "", 8]));
    play.extranonce("", 8);
    play.answer("mining.authorize", json!(null));
    play.book.terms.difficulty = EASY;
    // Numbered like requests, with the numbers of ours, which configure still waits for.
    play.say(json!({"id": 1, "method": "mining.set_difficulty", "params": [EASY]}));
    let params = play.params("p2pool", true);
    play.book.sent(&params);
    play.say(json!({"id": 2, "method": "mining.notify", "params": params}));
    play.shares(3);
    let answers = play.heard.iter().filter(|line| line.contains("\"result\"")).count();
    assert_eq!(answers, 0, "a numbered notification is none to answer: {:#?}", play.heard);
    play.ends();
}

/// Quirk 42.
#[test]
fn a_difficulty_in_the_place_of_configures_answer_counts_exactly_and_decimal_job_ids_go_back_as_they_came() {
    let mut play = Play::connected();
    let configure = play.request("mining.configure")["id"].clone();
    play.notify("mining.set_difficulty", json!([16383.75]));
    play.subscribe("0a0b0c0d", 8);
    play.answer("mining.authorize", json!(true));
    play.job("12345678901234566", true);
    assert_eq!(play.told_job("12345678901234566")["difficulty"], 16383.75);
    play.say(json!({"id": configure, "result": {"version-rolling": false}, "error": null}));
    play.difficulty(json!(EASY));
    let job = play.job("12345678901234567", true);
    let submit = play.submit();
    assert_eq!((&submit.params[1], submit.share.job), (&json!("12345678901234567"), job));
    play.accept(&submit.id);
    assert!(
        play.heard.iter().all(|line| !line.contains("\"id\":null")),
        "requests have ids: {:#?}",
        play.heard
    );
    play.ends();
}

/// Quirk 43.
#[test]
fn a_refusal_to_hear_a_suggested_difficulty_is_no_fault_and_no_matter_for_the_operator() {
    let mut play = Play::mining_with(&["--suggest-difficulty", "512"], &[]);
    let id = play.request("mining.suggest_difficulty")["id"].clone();
    play.say(json!({"id": id, "result": null, "error": [-3, "Method not found", null]}));
    play.shares(3);
    let ended = play.ends();
    assert!(ended.of("upstream").iter().all(|event| event["state"] != "complaint"), "{:#?}", ended.events);
}

/// Quirk 48.
#[test]
fn a_mask_without_the_leave_to_roll_is_none_and_one_of_three_bits_is_kept_to() {
    let mut play = Play::connected();
    play.configure(json!({"version-rolling": false, "version-rolling.mask": "1fffe000"}));
    play.greet();
    assert_eq!(play.told_job("first")["version_mask"], "00000000");
    play.shares(2);
    play.ends();
    let mut play = Play::rolling("0000e000", Rule::Or);
    assert_eq!(play.told_job("first")["version_mask"], "0000e000");
    play.shares(2);
    play.ends();
}

/// Quirk 49.
#[test]
fn a_mask_with_a_hole_in_it_is_kept_to() {
    let mut play = Play::rolling("1f7fe000", Rule::Replace(0x1f7f_e000));
    assert_eq!(play.told_job("first")["version_mask"], "1f7fe000");
    play.shares(3);
    play.ends();
}

/// Quirk 52.
#[test]
fn a_mask_between_the_answers_to_configure_and_subscribe_is_no_answer_and_counts() {
    let mut play = Play::connected();
    play.configure(json!({"version-rolling": true, "version-rolling.mask": "1fffe000"}));
    play.notify("mining.set_version_mask", json!(["00ffe000"]));
    play.subscribe("0a0b0c0d", 4);
    (play.book.terms.mask, play.book.terms.rule) = (0x00ff_e000, Rule::Replace(0x00ff_e000));
    play.begin();
    assert_eq!(play.told_job("first")["version_mask"], "00ffe000");
    play.shares(3);
    play.ends();
}

/// Quirk 55.
#[test]
fn options_behind_the_password_reach_the_pool_as_they_are() {
    let mut play = Play::connected_with(&["--password", "se:cret,d=64;th= 5 &x"], &[]);
    play.subscribe("0a0b0c0d", 4);
    assert_eq!(play.request("mining.authorize")["params"], json!(["u", "se:cret,d=64;th= 5 &x"]));
    play.ends();
}

/// Quirk 56.
#[test]
fn a_quiet_connection_is_kept_up_by_tcp_and_not_by_pings() {
    let mut play = Play::mining();
    play.share();
    // The table of the kernel: timer 2 is that of the keep-alive, once nothing is in flight.
    let port = play.line().raw().peer_addr().unwrap().port();
    let local = format!("{:08X}:{port:04X}", u32::from_le_bytes(Ipv4Addr::LOCALHOST.octets()));
    let timer = || {
        let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
        let row = table.lines().find(|row| row.split_whitespace().nth(1) == Some(&local))?;
        row.split_whitespace().nth(5).map(str::to_owned)
    };
    if timer().is_none() {
        return skipped("a_quiet_connection_is_kept_up", "this system shows no table of connections");
    }
    play.job("hard", true);
    while !timer().unwrap().starts_with("02:") {
        play.share();
    }
    assert!(play.heard.iter().all(|line| !line.contains("ping")), "{:#?}", play.heard);
    play.ends();
}

/// Quirk 57.
#[test]
fn a_pool_whose_chain_keeps_rules_in_the_version_can_be_kept_from_rolling_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fork.toml");
    let pool = ScriptedPool::listen();
    let text = format!("[[pool]]\nurl = \"{}\"\nuser = \"u\"\nversion_rolling = false\n", pool.url);
    std::fs::write(&file, text).unwrap();
    let miner = Miner::run(&["--config", file.to_str().unwrap()], &[GENTLE]);
    let mut play = Play::with(pool, miner);
    play.greet();
    play.shares(3);
    assert_eq!(methods(&play)[0], "mining.subscribe", "configure is not even asked");
    play.ends();
}

/// Quirk 58.
#[test]
fn gopool_is_asked_to_be_content_with_one_rolled_bit() {
    let mut play = Play::connected();
    let request = play.request("mining.configure");
    let least = request["params"][1]["version-rolling.min-bit-count"].clone();
    assert_eq!(least, json!(1));
    let result = json!({"version-rolling": true, "version-rolling.mask": "1fffe000",
        "version-rolling.min-bit-count": least});
    play.say(json!({"id": request["id"], "result": result, "error": null}));
    play.notify("mining.set_version_mask", json!(["1fffe000"]));
    play.subscribe("0a0b0c0d", 4);
    (play.book.terms.mask, play.book.terms.rule) = (ASKED_MASK, Rule::Xor);
    play.begin();
    play.shares(3);
    play.ends();
}

/// Quirk 62.
#[test]
fn configure_names_a_mask_and_a_count_always() {
    let mut play = Play::connected();
    let asked = play.request("mining.configure")["params"][1].clone();
    assert_eq!(asked, json!({"version-rolling.mask": "1fffe000", "version-rolling.min-bit-count": 1}));
    play.ends();
}

/// Quirk 65.
#[test]
fn an_extranonce1_of_fifteen_bytes_as_behind_a_proxy_of_ckpool_is_used_whole() {
    let mut play = Play::connected();
    play.subscribe("0102030405060708090a0b0c0d0e0f", 2);
    play.begin();
    play.shares(3);
    play.ends();
}
