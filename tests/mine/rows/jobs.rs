//! What a notify may look like, and what becomes of the jobs before it.

use serde_json::{Value, json};

use super::judge::Rule;
use super::play::{ASKED_MASK, EASY, Play, coinbase, output};

/// Quirk 12.
#[test]
fn extranonces_in_an_output_of_the_coinbase_are_put_where_the_pool_cut_it() {
    let mut play = Play::connected();
    play.subscribe("0badc0de", 8);
    play.answer("mining.authorize", json!(true));
    play.difficulty(json!(EASY));
    let mut params = play.params("N679ac2001a2b3c4d0", true);
    // The scriptSig holds the height alone; an OP_RETURN of 2 + 4 + 8 bytes ends coinb1.
    let (input, _) = coinbase(0, 840_000);
    let op_return = format!("{}106a0e{}", "00".repeat(8), "0001");
    params[2] = json!(format!("{input}ffffffff02{}{op_return}", output(312_500_000)));
    params[3] = json!("00000000");
    let job = play.send_job(params);
    assert_eq!(play.share_of(job).extranonce2.len(), 16);
    play.shares(2);
    play.ends();
}

/// Quirk 13.
#[test]
fn hex_in_capitals_at_the_end_of_coinb1_is_hex() {
    let mut play = Play::mining();
    let mut params = play.params("Q679ac2001a2b3c4d1", true);
    let coinb1 = params[2].as_str().unwrap().to_owned();
    let (head, tail) = coinb1.split_at(coinb1.len() - 8);
    params[2] = json!(format!("{head}{}", tail.to_uppercase()));
    params[1] = json!(params[1].as_str().unwrap().to_uppercase());
    let job = play.send_job(params);
    play.share_of(job);
    play.shares(2);
    play.ends();
}

/// Quirk 19.
#[test]
fn a_version_and_nbits_without_padding_are_read_as_numbers() {
    let mut play = Play::mining();
    let mut params = play.params("1f", true);
    (params[5], params[6]) = (json!("4"), json!("f7fffff"));
    let job = play.send_job(params);
    assert_eq!(play.share_of(job).version, 4);
    play.shares(2);
    play.ends();
}

/// Quirk 30.
#[test]
fn twenty_four_bytes_of_extranonce1_behind_a_translator_are_used_whole() {
    let mut play = Play::connected();
    play.subscribe(&"a1b2c3d4e5f60718".repeat(3), 8);
    play.begin();
    play.shares(3);
    play.ends();
}

/// Quirk 32.
#[test]
fn a_job_id_of_128_bits_in_decimal_goes_back_digit_by_digit() {
    let id = "340282366920938463463374607431768211455";
    let mut play = Play::mining();
    let job = play.job(id, true);
    play.share_of(job);
    let submit = play.submit();
    assert_eq!(submit.params[1], id);
    play.accept(&submit.id);
    play.ends();
}

/// Quirk 33.
#[test]
fn a_job_that_comes_again_under_its_id_brings_no_nonce_twice_even_where_version_bits_tell_nothing_apart() {
    let mut play = Play::rolling("1fffe000", Rule::Replace(ASKED_MASK));
    let mut shares = play.shares(6);
    let again = play.params("first", true);
    for nth in 1..6 {
        play.difficulty(json!(EASY * f64::from(1 + nth % 2)));
        play.send_job(again.clone());
        shares.extend(play.shares(6));
    }
    let mut keys: Vec<_> =
        shares.iter().map(|share| (&share.extranonce2, share.ntime, share.nonce)).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), shares.len());
    play.ends();
}

/// Quirk 37.
#[test]
fn nicehash_with_five_or_nine_bytes_of_its_own_and_three_of_ours_gets_its_shares() {
    for extranonce1 in ["6351117f64", "6351117f6401020304"] {
        let mut play = Play::connected();
        play.subscribe(extranonce1, 3);
        play.begin();
        assert_eq!(play.share().extranonce2.len(), 6);
        play.shares(2);
        play.ends();
    }
}

/// Whatever the miner sends after it has read the second job is of that.
fn shares_after(play: &mut Play, second: usize) {
    play.fence();
    while play.has_unread("mining.submit") {
        play.share();
    }
    assert!(play.shares(6).iter().all(|share| share.job == second));
}

/// Quirk 38.
#[test]
fn extranonces_that_change_unasked_count_from_the_next_notify_on_though_it_has_the_same_id() {
    let mut play = Play::mining();
    play.share();
    play.notify("mining.set_extranonce", json!(["deadbeef01", 3]));
    play.shares(2); // still by the old ones
    play.extranonce("deadbeef01", 3);
    let second = play.job("first", false);
    shares_after(&mut play, second);
    let ended = play.ends();
    let jobs = ended.of("job");
    assert_eq!(
        (jobs.len(), &jobs[1]["clean"]),
        (2, &json!(true)),
        "the older work under that id is void: {jobs:#?}"
    );
}

/// Quirk 44.
#[test]
fn a_job_id_with_a_space_goes_back_with_it() {
    let mut play = Play::mining();
    let job = play.job("1369818357 489", true);
    play.share_of(job);
    let submit = play.submit();
    assert_eq!(submit.params[1], "1369818357 489");
    play.accept(&submit.id);
    play.ends();
}

/// A job whose version has bits inside the mask.
fn signalling(play: &mut Play) {
    let mut params = play.params("signals", true);
    params[5] = json!("32ef0000");
    let job = play.send_job(params);
    assert_eq!(play.share_of(job).job, job);
}

/// Quirk 47.
#[test]
fn a_version_with_bits_inside_the_mask_is_rolled_around_them_for_servers_that_or_and_that_replace() {
    for rule in [Rule::Or, Rule::Replace(ASKED_MASK)] {
        let mut play = Play::rolling("1fffe000", rule);
        play.share();
        signalling(&mut play);
        assert!(play.shares(3).iter().all(|share| share.version & 0x32ef_0000 == 0x32ef_0000));
        play.ends();
    }
}

/// Quirk 47.
#[test]
fn a_server_that_xors_such_bits_is_known_after_its_first_refusals_and_gets_right_shares_from_then_on() {
    let mut play = Play::rolling("1fffe000", Rule::Or);
    play.share();
    play.book.terms.rule = Rule::Xor;
    let mut params = play.params("signals", true);
    params[5] = json!("32ef0000");
    let job = play.send_job(params);
    play.told_job("signals");
    let mut right = 0;
    while right < 5 {
        let request = play.request("mining.submit");
        if let Ok(share) = play.book.judge(&request["params"]) {
            right += usize::from(share.job == job);
            play.accept(&request["id"]);
        } else {
            assert_eq!(right, 0, "it was known already");
            let error = json!([23, "Difficulty too low", ""]);
            play.say(json!({"id": request["id"], "result": null, "error": error}));
        }
    }
    play.ends_refused();
}

/// Quirk 51.
#[test]
fn a_coinbase_with_fifteen_hundred_outputs_in_a_line_of_more_than_100_kb_is_mined() {
    let mut play = Play::mining();
    let mut params = play.params("wide", true);
    let outputs: String = (0..1500).map(|nth| output(1_000 + nth)).collect();
    params[3] = json!(format!("fffffffffd{}{outputs}00000000", hex::encode(1500u16.to_le_bytes())));
    assert!(params.to_string().len() > 100_000);
    let job = play.send_job(params);
    play.share_of(job);
    play.shares(2);
    play.ends();
}

/// Quirk 53.
#[test]
fn extranonces_that_change_to_and_fro_for_slices_of_a_fee_count_for_the_jobs_sent_after_them() {
    let mut play = Play::mining();
    play.share();
    for (nth, extranonce1) in ["fee0fee0fee0", "0a0b0c0d", "fee0fee0fee0"].into_iter().enumerate() {
        let params = match nth {
            0 => json!([extranonce1, 4]),
            1 => json!([extranonce1]), // the size may be missing
            _ => json!([extranonce1, null]),
        };
        play.notify("mining.set_extranonce", params);
        play.extranonce(extranonce1, 4);
        let job = play.job(&format!("slice {nth}"), true);
        shares_after(&mut play, job);
    }
    play.ends();
}

/// Quirk 59.
#[test]
fn a_job_id_that_comes_again_with_another_coinbase_replaces_the_job_and_voids_what_was_built_on_the_old_one()
{
    let mut play = Play::mining();
    play.share();
    for height in 840_001..840_004 {
        let mut params = play.params("first", false);
        params[2] = json!(coinbase(8, height).0);
        let second = play.send_job(params);
        shares_after(&mut play, second);
    }
    // Shares of the old text that were found meanwhile are not sent under a name that now means another.
    let ended = play.ends();
    assert!(
        ended.of("job").iter().skip(1).all(|job| job["clean"] == Value::Bool(true)),
        "{:#?}",
        ended.events
    );
}

/// Quirk 63.
#[test]
fn a_server_that_replaces_all_bits_of_its_mask_gets_all_of_them() {
    let mut play = Play::rolling("1fffe000", Rule::Replace(ASKED_MASK));
    signalling(&mut play);
    let shares = play.shares(3);
    assert!(shares.iter().all(|share| share.version_bits == Some(share.version & ASKED_MASK)), "{shares:#?}");
    play.ends();
    let mut play = Play::connected();
    let id = play.request("mining.configure")["id"].clone();
    play.say(json!({"id": id, "result": null, "error": null}));
    play.greet();
    let mut params = play.params("fixed", true);
    params[5] = json!("32ef0000");
    let job = play.send_job(params);
    assert_eq!(play.share_of(job).version_bits, None, "nothing is agreed");
    play.ends();
}
