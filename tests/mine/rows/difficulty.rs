//! Which difficulty holds for which share.

use serde_json::json;

use super::play::{EASY, Play, TELLING};

/// With a difficulty at which each share tells by which one it was found.
fn telling() -> Play {
    let mut play = Play::connected();
    play.subscribe("0a0b0c0d", 4);
    play.answer("mining.authorize", json!(true));
    play.difficulty(json!(TELLING));
    play.job("first", true);
    play
}

/// Quirk 5.
#[test]
fn a_lower_difficulty_waits_for_the_next_job_where_the_old_job_is_judged_by_the_old_one() {
    let mut play = telling();
    play.share();
    play.notify("mining.set_difficulty", json!([EASY]));
    play.fence();
    // The book still judges by the old one, and would refuse three of four by the new one.
    play.shares(5);
    play.book.terms.difficulty = EASY;
    let second = play.job("second", false);
    play.share_of(second);
    assert_eq!(play.told_job("second")["difficulty"], EASY);
    play.ends();
}

/// Quirk 11.
#[test]
fn a_quick_job_for_a_new_difficulty_has_the_new_one_and_the_job_before_it_keeps_the_old_one() {
    let mut play = telling();
    play.share();
    for (id, difficulty) in [("Q679ac2001a2b3c4d", 2.0 * TELLING), ("Q679ac2001a2b3c4e", TELLING)] {
        play.difficulty(json!(difficulty));
        let quick = play.job(id, true);
        play.share_of(quick);
        play.shares(2);
        assert_eq!(play.told_job(id)["difficulty"], difficulty);
    }
    play.ends();
}

/// Quirk 14.
#[test]
fn a_server_that_takes_nothing_below_difficulty_one_refuses_in_words_that_count_as_low_difficulty() {
    let mut play = Play::mining();
    let told = play.refuse(json!({"error": [23, "H-not-zero", null], "result": null}));
    assert_eq!((&told["result"], &told["reason"]), (&json!("rejected"), &json!("H-not-zero")));
    play.difficulty(json!(1));
    play.job("one", true);
    assert_eq!(play.told_job("one")["difficulty"], 1.0);
    play.fence();
    assert_eq!(play.ends_refused().summary()["rejected_by_reason"], json!({"low_difficulty": 1}));
}

/// Quirk 20.
#[test]
fn a_higher_difficulty_without_a_job_holds_for_the_running_job_a_second_later() {
    let mut play = telling();
    play.share();
    play.notify("mining.set_difficulty", json!([4.0 * TELLING]));
    let told_at = std::time::Instant::now();
    while told_at.elapsed() < std::time::Duration::from_millis(1500) {
        play.share();
    }
    for _ in 0..4 {
        let share = play.share();
        assert!(share.difficulty >= 4.0 * TELLING, "{share:?}");
    }
    play.ends();
}

/// Quirk 26.
#[test]
fn difficulties_with_a_fraction_hold_to_the_last_digit_and_one_of_zero_is_told_and_passed_over() {
    let mut play = Play::connected();
    play.subscribe("0a0b0c0d", 4);
    play.answer("mining.authorize", json!(true));
    play.notify("mining.set_difficulty", json!([0.0]));
    play.told("complaint", "difficulty 0 is not a number above 0");
    for (id, text) in
        [("a", "8192.0"), ("b", "0.00011642798928862498"), ("c", "9427.960695338843"), ("d", "\"16383.75\"")]
    {
        let line = format!("{{\"id\":null,\"method\":\"mining.set_difficulty\",\"params\":[{text}]}}\n");
        play.line().say_bytes(line.as_bytes());
        play.book.terms.difficulty = text.trim_matches('"').parse().unwrap();
        play.job(id, true);
        assert_eq!(play.told_job(id)["difficulty"], play.book.terms.difficulty);
    }
    play.difficulty(json!(0.000_011_642_798_928_862_498));
    let last = play.job("e", true);
    play.share_of(last);
    play.ends();
}

/// Quirk 40.
#[test]
fn a_difficulty_far_beyond_the_hash_rate_is_mined_for_and_nothing_below_it_is_sent() {
    let mut play = Play::mining();
    play.share();
    play.difficulty(json!(524_288));
    play.job("beyond", true);
    assert_eq!(play.told_job("beyond")["difficulty"], 524_288.0);
    play.difficulty(json!(EASY));
    let after = play.job("after", true);
    assert_eq!(play.share_of(after).job, after);
    play.ends();
}

/// Quirk 54.
#[test]
fn without_a_word_on_difficulty_one_holds_until_the_pool_names_another() {
    let mut play = Play::connected();
    play.subscribe("0a0b0c0d", 4);
    play.answer("mining.authorize", json!(true));
    play.job("first", true);
    assert_eq!(play.told_job("first")["difficulty"], 1.0);
    play.difficulty(json!(EASY));
    play.fence();
    assert!(!play.has_unread("mining.submit"));
    let second = play.job("second", true);
    assert_eq!(play.share().job, second);
    play.ends();
}
