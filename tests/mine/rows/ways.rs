//! Where a pool sends its miners, and what a pool's name alone asks for.

use serde_json::json;

use super::play::{GENTLE, Play};
use crate::socks::SocksProxy;
use crate::support::{Miner, ScriptedPool};

/// Quirk 39.
#[test]
fn nicehash_is_asked_for_new_extranonces_without_being_told_to_and_others_are_not() {
    let start = |host: &str| {
        let pool = ScriptedPool::listen();
        let proxy = SocksProxy::start(None, pool.address());
        let miner = Miner::start_with(&format!("{host}:9200"), &["--proxy", &proxy.url()], &[GENTLE]);
        let mut play = Play::with(pool, miner);
        play.greet();
        play.share();
        play
    };
    let mut play = start("sha256asicboost.auto.nicehash.com");
    play.answer("mining.extranonce.subscribe", json!(true));
    play.notify("mining.set_extranonce", json!(["deadbeef01", 3]));
    play.extranonce("deadbeef01", 3);
    let second = play.job("second", true);
    play.share_of(second);
    play.ends();
    let mut play = start("nicehash.com.example.org");
    play.share();
    assert!(!play.has_unread("mining.extranonce.subscribe"));
    play.ends();
}

/// Quirk 41.
#[test]
fn a_redirect_to_another_port_straight_after_connecting_is_followed_whatever_its_parts_look_like() {
    for says_hello in [false, true] {
        let mut play = Play::connected();
        if says_hello {
            play.subscribe("0a0b0c0d", 4);
        }
        let other = ScriptedPool::listen();
        let port = other.address().port();
        let params =
            if says_hello { json!([null, port]) } else { json!(["127.0.0.1", port.to_string(), "0"]) };
        play.notify("client.reconnect", params);
        let told = play.miner.wait_for("the redirect", |event| event["state"] == "redirected");
        assert_eq!(told["to"], other.address().to_string());
        let Play { miner, .. } = play;
        let mut play = Play::with(other, miner);
        play.greet();
        play.shares(2);
        play.ends();
    }
}
