//! What becomes of shares, and of connections whose shares are refused or that do not last.

use std::time::Instant;

use serde_json::{Value, json};

use super::judge::Rule;
use super::play::{ASKED_MASK, GENTLE, Play};
use crate::support::{Miner, ScriptedPool};

/// Quirk 15.
#[test]
fn version_bits_come_with_every_share_where_rolling_is_agreed_and_with_none_where_it_is_not() {
    let mut play = Play::connected();
    let id = play.request("mining.configure")["id"].clone();
    play.say(json!({"id": id, "result": null, "error": [-3, "Method not found", null]}));
    // Unnegotiated, this is no leave to roll.
    play.notify("mining.set_version_mask", json!(["1fffe000"]));
    play.greet();
    assert!(play.shares(3).iter().all(|share| share.version_bits.is_none()));
    play.ends();
    let mut play = Play::rolling("1fffe000", Rule::Or);
    assert!(play.shares(3).iter().all(|share| share.version_bits.is_some()));
    play.ends();
}

/// Quirk 16.
#[test]
fn a_share_that_crossed_a_clean_job_is_counted_as_stale_when_the_pool_no_longer_knows_its_job() {
    let mut play = Play::mining();
    let crossed = play.submit();
    play.job("second", true);
    play.told_job("second");
    play.say(json!({"id": crossed.id, "result": null, "error": [21, "Job not found", ""]}));
    let hash = crossed.share.hash;
    let told = play.miner.wait_for("the crossed share", |event| event["hash"] == hash.as_str());
    assert_eq!((&told["result"], &told["reason"]), (&json!("rejected"), &json!("Job not found")));
    assert_eq!(play.ends_refused().summary()["rejected_by_reason"], json!({"stale": 1}));
}

/// Quirk 17.
#[test]
fn a_refused_share_is_never_sent_again_not_even_after_a_resumption_that_repeats_an_unanswered_one() {
    let mut play = Play::mining();
    let refused = play.submit();
    play.say(json!({"id": refused.id, "result": null, "error": [23, "Difficulty too low", ""]}));
    let hash = refused.share.hash;
    play.miner.wait_for("the refused share", |event| event["hash"] == hash.as_str());
    let unanswered = play.submit();
    play.reconnected();
    play.greet();
    // The book takes no header twice, so it must not judge the one that comes again.
    assert_eq!(play.request("mining.submit")["params"], unanswered.params);
    let ids: Vec<_> = (0..4).map(|_| play.submit()).collect();
    assert!(ids.iter().all(|submit| submit.params != refused.params));
    play.ends_refused();
}

/// Quirk 60.
#[test]
fn a_server_that_hangs_up_at_once_is_called_again_after_growing_waits() {
    let pool = ScriptedPool::listen();
    let mut miner = Miner::start_with(&pool.url, &[], &[GENTLE, ("SIGNALCORE_STRATUM_RECONNECT_MAX", "60")]);
    let mut waits = Vec::new();
    let mut allowed_at = Instant::now();
    for nth in 1..=2 {
        drop(pool.accept());
        assert!(Instant::now() >= allowed_at, "the miner does not keep to the wait it told");
        let is_down = |event: &Value| event["state"] == "down";
        miner.wait_for_several(nth, "ends of the connection", is_down);
        let told = miner.last(is_down);
        let wait = told["retry_seconds"].as_f64().unwrap();
        // The event comes a moment after the wait began.
        allowed_at = Instant::now() + std::time::Duration::from_secs_f64(wait * 0.8);
        waits.push(wait);
    }
    assert!((1.0..1.6).contains(&waits[0]) && (1.0..3.1).contains(&waits[1]), "{waits:?}");
    assert_eq!(miner.stop().code, Some(0));
}

/// Quirk 61.
#[test]
fn a_server_that_sends_all_its_miners_away_is_left_for_the_next_pool_and_not_called_at_once() {
    let (first, second) = (ScriptedPool::listen(), ScriptedPool::listen());
    let miner = Miner::start_with(&first.url, &["--pool", &second.url], &[GENTLE]);
    let mut play = Play::with(first, miner);
    play.greet();
    play.share();
    play.hang_up();
    let told = play.miner.wait_for("the end of the connection", |event| event["state"] == "down");
    assert!(told["pool"] == 0 && told["retry_seconds"].as_f64() >= Some(1.0), "{told}");
    let mut standby = second.accept_mining();
    standby.answer("mining.submit", json!(true));
    let share = play.miner.wait_for("a share of the second pool", |event| {
        event["event"] == "share" && event["pool"] == 1 && event["result"] == "accepted"
    });
    assert_eq!(share["url"], second.url);
    play.ends();
}

#[test]
fn a_share_of_a_rolled_version_is_judged_alike_by_servers_that_or_xor_and_replace() {
    for rule in [Rule::Or, Rule::Xor, Rule::Replace(ASKED_MASK)] {
        let mut play = Play::rolling("1fffe000", rule);
        play.shares(3);
        play.ends();
    }
}
