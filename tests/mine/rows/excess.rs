//! Attacks by too much of something, or by too little, and by texts that are none.

use std::io::Write as _;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::judge::Rule;
use super::play::{GENTLE, Play, output};
use crate::support::{ScriptedPool, good_job, signalcore};

/// Attack 11.
#[test]
fn a_tiny_difficulty_floods_neither_the_pool_nor_the_miner_and_the_operator_hears_why() {
    let mut play = Play::connected();
    play.subscribe("0a0b0c0d", 4);
    play.answer("mining.authorize", json!(true));
    play.difficulty(json!(1e-15));
    let began = Instant::now();
    play.job("tiny", true);
    let told = play.miner.wait_for("the ceiling", |event| event["state"] == "ceiling");
    assert!(told["reported_difficulty"].as_f64() > Some(1e-8), "{told}");
    play.shares(40);
    assert!(began.elapsed() > Duration::from_millis(400), "{:?}", began.elapsed());
    play.ends();
}

/// Attack 13.
#[test]
fn a_line_that_drips_and_never_ends_holds_no_deadline_up() {
    let mut play = Play::connected_with(&[], &[("SIGNALCORE_STRATUM_HANDSHAKE_TIMEOUT", "1")]);
    play.request("mining.subscribe");
    let (sender, dripping) = std::sync::mpsc::channel::<()>();
    let mut stream = play.line().raw().try_clone().unwrap();
    let drip = thread::spawn(move || {
        while stream.write_all(b" ").is_ok() && dripping.recv_timeout(Duration::from_millis(20)).is_err() {}
    });
    play.told("down", "no answer to mining.subscribe within 1 s");
    drop(sender);
    drip.join().unwrap();
    play.reconnected();
    play.greet();
    play.share();
    play.ends();
}

/// Attack 14.
#[test]
fn lines_that_no_parser_should_choke_on_are_told_and_ten_in_a_row_end_the_connection() {
    let mut play = Play::mining();
    let huge = format!("{{\"id\":{},\"result\":true}}\n", "9".repeat(5000));
    let wide = format!("{{\"id\":1,\"result\":[{}0]}}\n", "0,".repeat(20_000));
    let lines: [&[u8]; 9] = [
        b"{\"id\":1,\"id\":2,\"result\":true}\n",
        b"{\"method\":\"mining.ping\",\"method\":\"client.get_version\",\"id\":1}\n",
        &[b"[".repeat(100_000).as_slice(), b"\n"].concat(),
        b"[{\"id\":1,\"method\":\"mining.ping\",\"params\":[]}]\n",
        b"{\"id\":null,\"method\":\"mining.notify\",\"params\":[\"\\ud800\"]}\n",
        b"{\"id\":null,\"method\":\"mining.set_difficulty\",\"params\":[1e999]}\n",
        b"\x00\x00\xff\xfe\n",
        b"\xef\xbb\xbf{\"id\":1,\"result\":true}\n",
        wide.as_bytes(),
    ];
    for line in lines {
        play.line().say_bytes(line);
    }
    play.told("complaint", "nested deeper than 16 or with more than");
    play.told("complaint", "stands there twice");
    play.share(); // nine are borne
    play.line().say_bytes(huge.as_bytes());
    play.fence();
    for _ in 0..10 {
        play.line().say_bytes(b"nonsense\n");
    }
    play.told("down", "10 lines in a row make no sense");
    play.reconnected();
    play.greet();
    play.share();
    play.ends();
}

/// Attack 16.
#[test]
fn a_coinbase_of_half_a_megabyte_is_hashed_right_and_a_larger_one_costs_the_connection() {
    let mut play = Play::mining();
    let wide = |play: &Play, outputs: usize| {
        let mut params = play.params("wide", true);
        let count = hex::encode((outputs as u16).to_le_bytes());
        let outputs = output(1).repeat(outputs);
        params[3] = json!(format!("fffffffffd{count}{outputs}00000000"));
        params
    };
    let params = wide(&play, 14_000);
    assert!(params.to_string().len() > 900_000);
    let job = play.send_job(params);
    play.share_of(job);
    play.share();
    let params = wide(&play, 17_000);
    play.notify("mining.notify", params);
    play.told("down", "a line longer than 1048576 bytes");
    play.reconnected();
    play.greet();
    play.share();
    play.ends();
}

/// Attack 17.
#[test]
fn extranonces_of_any_size_that_a_coinbase_can_hold_bring_no_duplicate_and_others_are_refused() {
    for (extranonce1, size) in [("", 0), ("ab", 1), (&"ab".repeat(32), 32)] {
        let mut play = Play::connected();
        play.subscribe(extranonce1, size);
        play.begin();
        play.shares(3);
        for (wrong, size) in [("ab".repeat(33), 4), ("ab".to_owned(), 33), ("abc".to_owned(), 4)] {
            play.notify("mining.set_extranonce", json!([wrong, size]));
        }
        play.told("complaint", "extranonce1 is");
        play.told("complaint", "the extranonce2 size is 33, expected a whole number from 0 to 32");
        let second = play.job("second", true);
        play.share_of(second);
        play.ends();
    }
    let mut play = Play::connected();
    play.answer("mining.subscribe", json!([[], "ab".repeat(33), 4]));
    play.told("down", "extranonce1 is");
    play.ends();
}

/// Attack 18.
#[test]
fn a_mask_that_reaches_for_the_three_top_bits_never_gets_them() {
    let mut play = Play::rolling("ffffffff", Rule::Or);
    play.shares(3);
    for (id, mask, taken) in
        [("top", "e0000000", 0), ("low", "e000001f", 0), ("some", "f0000fff", 0x1000_0fe0)]
    {
        play.notify("mining.set_version_mask", json!([mask]));
        play.book.terms.mask = taken;
        play.book.terms.rule = if taken == 0 { Rule::Unrolled } else { Rule::Or };
        let job = play.job(id, true);
        assert_eq!(play.told_job(id)["version_mask"], format!("{taken:08x}"));
        assert_eq!(play.share_of(job).version >> 29, 1);
    }
    play.ends();
}

/// Attack 20.
#[test]
fn of_a_flood_of_jobs_the_newest_wins_and_boards_change_over_ten_times_a_second_at_most() {
    let mut play = Play::mining();
    play.share();
    let began = Instant::now();
    let mut newest = 0;
    for nth in 0..500 {
        newest = play.job(&format!("flood {nth}"), nth % 2 == 0);
        if nth % 25 == 0 {
            play.fence();
        }
    }
    play.share_of(newest);
    assert_eq!(play.share().job, newest);
    let seconds = began.elapsed().as_secs_f64().ceil();
    let switches = play.ends().summary()["job_switches"].as_f64().unwrap();
    assert!(switches <= 10.0 * (seconds + 1.0), "{switches} in {seconds} s");
}

/// Attack 21.
#[test]
fn clean_jobs_that_nobody_needs_are_told_and_boards_keep_hashing_between_them() {
    let mut play = Play::mining();
    let mut last = 0;
    for nth in 0..8 {
        last = play.job(&format!("clean {nth}"), true);
        play.told_job(&format!("clean {nth}"));
    }
    play.told("flagged", "more than 6 clean jobs a minute on one and the same block");
    play.share_of(last);
    assert_eq!(play.share().job, last);
    play.ends();
}

/// Attack 22.
#[test]
fn escape_codes_in_messages_refusals_and_job_ids_reach_neither_terminal_nor_log() {
    const EVIL: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\r\n[2026-01-01] Accepted \u{202e}kcilc";
    for json in [false, true] {
        let pool = ScriptedPool::listen();
        let mut command = signalcore(&["mine", "--pool", &pool.url, "--user", "u", "--cpu-threads", "1"]);
        command.args(["--shares", "1"]).args(json.then_some("--json"));
        command.env("SIGNALCORE_LOG", "trace").env(GENTLE.0, GENTLE.1);
        let miner = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut connection = pool.accept_mining();
        connection.say(json!({"id": null, "method": "client.show_message", "params": [EVIL]}));
        connection.say(json!({"id": null, "method": EVIL, "params": [EVIL]}));
        connection.say(good_job(EVIL, true));
        // The new job's id goes back as it came, while the operator reads a harmless one.
        let id = loop {
            let submit = connection.request("mining.submit").unwrap();
            if submit["params"][1] == EVIL {
                break submit["id"].clone();
            }
            connection.say(json!({"id": submit["id"], "result": false, "error": [20, EVIL, null]}));
        };
        connection.say(json!({"id": id, "result": false, "error": [20, EVIL, null]}));
        connection.answer("mining.submit", json!(true));
        let printed = miner.wait_with_output().unwrap();
        let text = [printed.stdout, printed.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        let is_steering = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!text.contains(is_steering), "{text:?}");
        assert!(!text.contains("\n[2026-01-01]"), "a line that nobody wrote: {text}");
        assert!(text.contains("owned"), "{text}");
    }
}

/// Attack 24.
#[test]
fn one_text_under_many_names_brings_no_header_twice() {
    let mut play = Play::connected();
    play.subscribe("0a0b0c0d", 1);
    play.begin();
    let text = play.params("first", false);
    // The book refuses a header that it has seen, under whatever id.
    for nth in 0..20 {
        let mut params = text.clone();
        params[0] = json!(["a", "b", "first"][nth % 3]);
        let job = play.send_job(params);
        play.fence();
        while play.has_unread("mining.submit") {
            play.share();
        }
        assert!(play.share().job >= job.saturating_sub(3));
    }
    play.ends();
}
