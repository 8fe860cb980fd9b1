//! Attacks by what a pool says of the chain: parents, difficulty, time, coinbase.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::play::{GENTLE, Play, coinbase, unix};
use crate::support::{Miner, ScriptedPool};

/// A job for a block of this height on a parent of its own, which has its work.
fn job_at(play: &Play, id: &str, height: u32) -> Value {
    let mut params = play.params(id, true);
    params[1] = json!(format!("{height:08x}{}{}", "5a".repeat(16), "00".repeat(12)));
    params[2] = json!(coinbase(8, height).0);
    params
}

/// Attack 7.
#[test]
fn a_pool_that_goes_back_to_an_older_block_is_told_with_both_heights_and_its_job_held_back() {
    let mut play = Play::mining_with(&[], &[("SIGNALCORE_VALIDATION_LEVEL", "9000")]);
    for (id, height) in [("new", 840_001), ("old", 839_990)] {
        let params = job_at(&play, id, height);
        play.send_job(params);
        play.told_job("new");
    }
    let told = play.miner.wait_for("the check", |event| event["event"] == "check");
    assert_eq!((&told["code"], &told["result"]), (&json!("height-fell"), &json!("hold")), "{told}");
    assert!(["839990", "840001"].iter().all(|height| told.to_string().contains(height)), "{told}");
    play.ends();
}

/// Attack 8.
#[test]
fn nbits_that_make_every_share_a_block_bring_no_flood_even_where_no_check_runs() {
    let mut play = Play::mining();
    play.share();
    let mut params = play.params("easy", true);
    params[6] = json!("1f00ffff");
    let began = Instant::now();
    let easy = play.send_job(params);
    play.share_of(easy);
    // Where every nonce is a block, the ceiling of the board still holds.
    let shares = play.shares(40);
    assert!(shares.iter().all(|share| share.job == easy));
    assert!(began.elapsed() > Duration::from_millis(400), "{:?}", began.elapsed());
    play.ends();
}

/// Two pools with their jobs, and what the miner holds against the first where the checks up to this one run.
fn against_another(
    level: &str,
    first: impl Fn(&Play) -> Value,
    second: impl Fn(&Play) -> Value,
    verdict: &str,
    reason: &str,
) {
    let (pool, standby) = (ScriptedPool::listen(), ScriptedPool::listen());
    let miner = Miner::start_with(
        &pool.url,
        &["--pool", &standby.url],
        &[GENTLE, ("SIGNALCORE_VALIDATION_LEVEL", level)],
    );
    let mut play = Play::with(pool, miner);
    play.greet();
    let job = first(&play);
    play.send_job(job);
    play.told_job("tip");
    let mut standby = standby.accept();
    standby.subscribe(json!([[], "0a0b0c0d", 4]));
    standby.answer("mining.authorize", json!(true));
    standby.say(json!({"id": null, "method": "mining.notify", "params": second(&play)}));
    let told = play.told(verdict, reason);
    assert_eq!(told["pool"], 0, "{told}");
    play.share();
    play.ends();
}

/// Attack 7.
#[test]
fn a_pool_on_another_chain_than_its_standby_is_flagged_with_both_heights() {
    let on = |height| move |play: &Play| job_at(play, "tip", height);
    against_another(
        "14000",
        on(700_000),
        on(840_000),
        "flagged",
        "it builds block 700000 and pool 1 block 840000",
    );
}

/// Attack 8.
#[test]
fn nbits_that_another_pool_does_not_have_for_the_same_block_are_flagged() {
    let with = |nbits: &'static str| {
        move |play: &Play| {
            let mut params = job_at(play, "tip", 840_000);
            params[6] = json!(nbits);
            params
        }
    };
    let reason = "its network difficulty (nbits 1703ffff) at block 840000 is not that of pool 1 (1702355e)";
    against_another("4000", with("1703ffff"), with("1702355e"), "flagged", reason);
}

/// Attack 9.
#[test]
fn a_time_far_off_is_mined_for_where_no_check_runs_and_never_moved_on_without_need() {
    for hours in [3, -3] {
        let mut play = Play::mining();
        let ntime = (unix() as i64 + hours * 3600) as u32;
        let mut params = play.params("off", true);
        params[7] = json!(format!("{ntime:08x}"));
        let off = play.send_job(params);
        assert_eq!(play.share_of(off).ntime, ntime);
        assert!(play.shares(3).iter().all(|share| share.ntime == ntime));
        play.ends();
    }
}

/// Does something to coinb1 and coinb2.
type Spoil = fn(&mut String, &mut String);

/// Attack 19.
#[test]
fn a_coinbase_that_is_none_is_told_with_what_is_wrong_with_it() {
    const SPOILT: [(Spoil, &str); 4] = [
        (|coinb1, _| *coinb1 = coinb1.replacen(&"00".repeat(32), &"11".repeat(32), 1), "instead of nothing"),
        (|_, coinb2| coinb2.push_str("00"), "1 bytes follow its coinbase"),
        (|_, coinb2| coinb2.truncate(coinb2.len() - 2), "its coinbase is no transaction"),
        (
            |coinb1, _| *coinb1 = coinb1.replacen("ffffffff0c", "ffffffff65", 1) + &"00".repeat(101 - 12),
            "the scriptSig of its coinbase has 101 bytes, not 2 to 100",
        ),
    ];
    for (spoil, fault) in SPOILT {
        let mut play = Play::mining();
        let mut params = play.params("bad", true);
        let part = |index: usize| params[index].as_str().unwrap().to_owned();
        let (mut coinb1, mut coinb2) = (part(2), part(3));
        spoil(&mut coinb1, &mut coinb2);
        (params[2], params[3]) = (json!(coinb1), json!(coinb2));
        let bad = play.send_job(params);
        play.told("complaint", fault);
        play.share_of(bad);
        play.ends();
    }
}
