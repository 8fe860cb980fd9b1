//! Lines: their length and form, ids, and the forms of errors.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::play::{GENTLE, Play};
use crate::support::{Miner, ScriptedPool};

/// What a strict reader wants of each line that came.
fn are_well_formed(heard: &[String]) {
    let mut ids = BTreeSet::new();
    for line in heard {
        assert!(line.len() <= 1000, "{} bytes: {line}", line.len());
        assert!(line.starts_with('{') && line.ends_with("}\n") && !line.ends_with("\r\n"), "{line}");
        let value: Value = serde_json::from_str(line).unwrap();
        if value["method"].is_string() {
            let id = value["id"].as_u64().unwrap_or_else(|| panic!("{line}"));
            assert!((1..1 << 31).contains(&id) && ids.insert(id), "{line}");
            assert!(value["params"].is_array(), "{line}");
            for member in ["\"id\":", "\"method\":", "\"params\":"] {
                assert_eq!(line.matches(member).count(), 1, "{line}");
            }
        }
    }
}

/// Quirk 1.
#[test]
fn ckpool_gets_short_lines_and_its_plain_text_goodbye_is_told_before_the_next_connection() {
    let mut play = Play::mining();
    play.shares(2);
    assert!(play.heard.iter().all(|line| line.len() <= 1000));
    play.line().say_bytes(b"Invalid JSON, disconnecting\n");
    play.told("complaint", "a line that is not a JSON object: \"Invalid JSON, disconnecting\"");
    play.hang_up();
    play.miner.wait_for("the end of the connection", |event| event["state"] == "down");
    play.reconnected();
    play.greet();
    play.share();
    play.ends();
}

/// Quirk 4.
#[test]
fn an_error_that_is_a_bare_text_refuses_the_share_in_these_words() {
    let mut play = Play::mining();
    let told = play.refuse(json!({"result": false, "error": "Above target"}));
    assert_eq!((&told["result"], &told["reason"]), (&json!("rejected"), &json!("Above target")));
    let told = play.refuse(json!({"result": false, "error": "Stale"}));
    assert_eq!(told["reason"], "Stale");
    play.share();
    let ended = play.ends_refused();
    assert_eq!(ended.summary()["rejected_by_reason"], json!({"low_difficulty": 1, "stale": 1}));
}

/// Quirk 9.
#[test]
fn every_request_has_a_new_whole_id_its_params_no_member_twice_and_no_leading_space() {
    let mut play = Play::mining_with(
        &["--suggest-difficulty", "0.5"],
        &[("SIGNALCORE_STRATUM_EXTRANONCE_SUBSCRIBE", "true")],
    );
    for id in [json!(1), json!(2), json!("text")] {
        play.say(json!({"id": id, "method": "client.get_version", "params": []}));
        play.say(json!({"id": id, "method": "mining.get_algo", "params": []}));
    }
    play.fence();
    play.shares(5);
    are_well_formed(&play.heard);
    assert!(play.heard.len() >= 16, "{:#?}", play.heard);
    play.ends();
}

/// Quirk 21.
#[test]
fn answers_in_another_order_than_the_shares_find_their_shares_by_id() {
    let mut play = Play::mining();
    let submits: Vec<_> = (0..4).map(|_| play.submit()).collect();
    for (nth, submit) in submits.iter().enumerate().rev() {
        let error = if nth == 2 { json!([20, "this one", null]) } else { Value::Null };
        play.say(json!({"id": submit.id, "result": error.is_null(), "error": error}));
    }
    for (nth, submit) in submits.iter().enumerate() {
        let hash = submit.share.hash.as_str();
        let told = play.miner.wait_for(hash, |event| event["event"] == "share" && event["hash"] == hash);
        assert_eq!(told["result"], if nth == 2 { "rejected" } else { "accepted" }, "{told}");
    }
    play.ends_refused();
}

/// Quirk 24.
#[test]
fn false_without_an_error_is_a_refusal_that_says_what_it_may_mean() {
    let mut play = Play::mining();
    let told = play.refuse(json!({"result": false, "error": null}));
    assert_eq!(told["result"], "rejected");
    assert_eq!(told["reason"], "the pool gave no reason: low difficulty or an unknown job");
    play.share();
    play.ends_refused();
}

/// Quirk 27.
#[test]
fn an_error_object_refuses_the_share_with_its_code_and_message() {
    let mut play = Play::mining();
    let error = json!({"code": 23, "message": "Share is above the target", "data": null});
    let told = play.refuse(json!({"error": error}));
    assert_eq!((&told["result"], &told["reason"]), (&json!("rejected"), &json!("Share is above the target")));
    play.share();
    assert_eq!(play.ends_refused().summary()["rejected_by_reason"], json!({"low_difficulty": 1}));
}

/// Quirk 34.
#[test]
fn a_refused_worker_behind_json_rpc_2_is_not_tried_again_for_a_minute() {
    let mut play = Play::connected();
    play.answer("mining.configure", json!(null));
    let id = play.request("mining.subscribe")["id"].clone();
    play.say(json!({"jsonrpc": "2.0", "id": id, "result": [[], "0a0b0c0d", 4], "error": null}));
    let id = play.request("mining.authorize")["id"].clone();
    let error = json!({"code": 24, "message": "Unauthorized worker", "data": null});
    play.say(json!({"jsonrpc": "2.0", "id": id, "result": null, "error": error}));
    let told = play.told("down", "refuses to authorise user \"u\": Unauthorized worker");
    assert!(told["retry_seconds"].as_f64() >= Some(60.0), "{told}");
    assert_eq!(play.try_request("mining.submit"), None, "the miner hangs up");
    play.ends();
}

/// Quirk 35.
#[test]
fn no_share_comes_with_a_question_for_transactions_and_an_error_without_an_id_confuses_nobody() {
    let mut play = Play::mining();
    play.say(json!({"id": null, "result": null, "error": true}));
    play.told("complaint", "an answer without an id");
    play.shares(3);
    assert!(!play.heard.iter().any(|line| line.contains("mining.get_t")), "{:#?}", play.heard);
    play.ends();
}

/// Quirk 36.
#[test]
fn the_longest_names_fit_short_lines_and_a_share_that_does_not_fit_is_told_and_not_sent() {
    let start = |user: &str| {
        let pool = ScriptedPool::listen();
        let miner = Miner::run(&["--pool", &pool.url, "--user", user], &[GENTLE]);
        let mut play = Play::with(pool, miner);
        user.clone_into(&mut play.book.user);
        play.subscribe(&"ab".repeat(32), 32);
        play.answer("mining.authorize", json!(true));
        play.difficulty(json!(1e-6));
        play.job(&"j".repeat(128), true);
        play
    };
    let mut play = start(&"u".repeat(400));
    play.shares(2);
    are_well_formed(&play.heard);
    play.ends();
    let mut play = start(&"u".repeat(900));
    let told = play.miner.wait_for("a share that is lost", |event| event["result"] == "lost");
    assert!(told["reason"].as_str().unwrap().contains("user name or the job id is too long"), "{told}");
    play.fence();
    are_well_formed(&play.heard);
    assert!(!play.has_unread("mining.submit"));
    play.ends();
}

/// Quirk 45.
#[test]
fn notifications_with_the_members_of_answers_and_an_id_of_zero_are_read_and_so_are_answers_with_a_method() {
    let mut play = Play::connected();
    let id = play.request("mining.subscribe")["id"].clone();
    play.extranonce("2a6502002aa65f", 8);
    let subscribed = json!([[["mining.notify", "s"]], "2a6502002aa65f", 8]);
    play.say(json!({"id": id, "method": "", "params": null, "result": subscribed, "error": null}));
    let id = play.request("mining.authorize")["id"].clone();
    play.say(json!({"id": id, "method": "", "params": null, "result": true, "error": null}));
    let difficulty = json!([1e-6]);
    play.book.terms.difficulty = 1e-6;
    play.say(
        json!({"id": 0, "method": "mining.set_difficulty", "params": difficulty, "result": null, "error": null}),
    );
    let params = play.params("slush", true);
    play.book.sent(&params);
    play.say(json!({"id": 0, "method": "mining.notify", "params": params, "result": null, "error": null}));
    play.shares(3);
    play.ends();
}

/// Quirk 46.
#[test]
fn an_error_of_two_elements_refuses_the_share_and_three_bytes_of_extranonce2_are_three() {
    let mut play = Play::connected();
    play.subscribe("0a0b0c0d", 3);
    play.begin();
    let told = play.refuse(json!({"result": false, "error": [21, "Job not found"]}));
    assert_eq!((&told["result"], &told["reason"]), (&json!("rejected"), &json!("Job not found")));
    assert_eq!(play.share().extranonce2.len(), 6);
    assert_eq!(play.ends_refused().summary()["rejected_by_reason"], json!({"stale": 1}));
}

/// Quirk 50.
#[test]
fn a_code_that_nobody_else_has_is_shown_with_the_words_of_the_pool() {
    let mut play = Play::mining();
    let words = "Your share is too easy; raise your worker's difficulty \u{26cf}";
    let told = play.refuse(json!({"result": null, "error": [-2, words, null]}));
    assert_eq!(told["reason"], words);
    let told = play.refuse(json!({"result": null, "error": [-2, "", null]}));
    assert_eq!(told["reason"], "code -2");
    play.share();
    play.ends_refused();
}

/// Quirk 64.
#[test]
fn answers_that_belong_to_no_share_are_told_and_count_for_none() {
    let mut play = Play::mining();
    for id in [json!(4_000_000), json!("999999"), json!(-1), json!(1.5), json!([1]), json!({"a": 1})] {
        play.say(json!({"id": id, "result": true, "error": null}));
    }
    play.told("complaint", "an answer that belongs to no request");
    play.shares(3);
    let ended = play.ends();
    let accepted: BTreeSet<_> = ended.of("share").iter().map(|event| event["hash"].to_string()).collect();
    assert_eq!(ended.summary()["accepted"].as_u64(), Some(accepted.len() as u64), "{:#?}", ended.events);
}
