//! The commands, their exit codes and what they leave behind.

use std::process::Stdio;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Miner, ScriptedPool, signalcore};

fn json_lines(output: &[u8]) -> Vec<Value> {
    std::str::from_utf8(output).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_demo_gets_shares_accepted_by_the_practice_pool_and_none_is_invalid() {
    let output = signalcore(&["demo", "--seconds", "6", "--json"]).output().unwrap();
    let lines = json_lines(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{lines:#?}");
    let pool = lines.iter().find(|line| line["event"] == "pool").unwrap();
    let summary = lines.iter().find(|line| line["event"] == "summary").unwrap();
    assert!(pool["total"]["accepted"].as_u64() > Some(0), "{pool:#}");
    assert_eq!(pool["total"]["accepted"], summary["accepted"], "{pool:#}{summary:#}");
    assert!(pool["hash_rate"].as_f64() > Some(0.0));
    let invalid =
        pool["total"]["rejected"].as_object().unwrap().keys().filter(|reason| *reason != "stale").count();
    assert_eq!(invalid, 0, "{pool:#}");
}

#[test]
fn a_person_sees_lines_of_text_and_a_table_and_no_colour_in_a_pipe() {
    let output = signalcore(&["demo", "--seconds", "2"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    for part in
        ["Accepted ", " Diff ", "detected new block at height", "Summary of runtime statistics", "judged it"]
    {
        assert!(text.contains(part), "{text} lacks {part}");
    }
    assert!(!text.contains('\u{1b}'), "{text}");
    let quiet = signalcore(&["demo", "--seconds", "1", "--quiet"]).output().unwrap();
    let text = String::from_utf8(quiet.stdout).unwrap();
    assert!(text.contains("Summary") && !text.contains("Accepted "), "{text}");
}

#[test]
fn a_signal_brings_the_last_shares_home_and_ends_with_0() {
    for signal in [Signal::INT, Signal::TERM] {
        let pool = ScriptedPool::listen();
        let mut miner = Miner::start(&pool.url, &[]);
        let mut connection = pool.accept_mining();
        let first = connection.request("mining.submit").unwrap();
        miner.wait_for("a job", |event| event["event"] == "job");
        miner.signal(signal);
        // Whatever was on its way is answered, the last one when nothing more comes.
        connection.say(json!({"id": first["id"], "result": true, "error": null}));
        while let Some(submit) = connection.request("mining.submit") {
            connection.say(json!({"id": submit["id"], "result": true, "error": null}));
        }
        let ended = miner.end();
        let summary = ended.summary();
        assert_eq!(
            (ended.code, &summary["end"], &summary["lost"]),
            (Some(0), &json!("asked"), &json!(0)),
            "{summary:#}"
        );
        assert!(summary["accepted"].as_u64() > Some(0));
    }
}

#[test]
fn a_share_without_an_answer_at_the_end_is_counted_lost_and_does_not_hold_it_up() {
    let pool = ScriptedPool::listen();
    let miner = Miner::start(&pool.url, &[]);
    let mut connection = pool.accept_mining();
    connection.request("mining.submit").unwrap();
    let ended = miner.stop();
    assert_eq!(ended.code, Some(0));
    assert!(ended.summary()["lost"].as_u64() > Some(0), "{:#}", ended.summary());
    let lost = ended.of("share").into_iter().find(|share| share["result"] == "lost").unwrap();
    assert_eq!(lost["reason"], "no answer before the end");
}

#[test]
fn a_second_signal_ends_at_once_with_the_code_of_that_signal() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let pool = ScriptedPool::listen();
        let mut miner = Miner::start(&pool.url, &[]);
        let mut connection = pool.accept_mining();
        // Unanswered, so that the orderly end takes its two seconds.
        connection.request("mining.submit").unwrap();
        miner.wait_for("the board", |event| event["event"] == "board");
        miner.signal(Signal::TERM);
        miner.wait_for("the board's end", |event| event["state"] == "gone");
        miner.signal(signal);
        assert_eq!(miner.end().code, Some(code));
    }
}

#[test]
fn the_run_ends_after_the_shares_asked_for() {
    let pool = ScriptedPool::listen();
    let miner = Miner::start(&pool.url, &["--shares", "3"]);
    let mut connection = pool.accept_mining();
    while let Some(submit) = connection.request("mining.submit") {
        connection.say(json!({"id": submit["id"], "result": true, "error": null}));
    }
    let ended = miner.end();
    assert_eq!((ended.code, &ended.summary()["end"]), (Some(0), &json!("shares")));
    assert!(ended.summary()["accepted"].as_u64() >= Some(3));
}

#[test]
fn credentials_go_to_their_own_pool_in_the_order_given() {
    let (first, second) = (ScriptedPool::listen(), ScriptedPool::listen());
    let arguments = ["mine", "-o", &first.url, "-O", "alice:a:b", "-o", &second.url, "-O", "bob:c", "-D"];
    let mut miner = signalcore(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    for (pool, credentials) in [(&second, json!(["bob", "c"])), (&first, json!(["alice", "a:b"]))] {
        let mut connection = pool.accept();
        connection.subscribe(json!([[], "ab", 4]));
        assert_eq!(connection.request("mining.authorize").unwrap()["params"], credentials);
    }
    miner.kill().unwrap();
    miner.wait().unwrap();
}

#[test]
fn a_redirect_to_another_port_is_followed_until_the_next_failure() {
    let (pool, elsewhere) = (ScriptedPool::listen(), ScriptedPool::listen());
    let mut miner = Miner::start(&pool.url, &[]);
    let mut connection = pool.accept_mining();
    let port: u16 = elsewhere.url.rsplit(':').next().unwrap().parse().unwrap();
    connection.say(json!({"id": null, "method": "client.reconnect", "params": ["", port, 0]}));
    drop(elsewhere.accept_mining());
    miner.wait_for("the redirect", |event| event["state"] == "redirected");
    let mut back = pool.accept_mining();
    assert!(back.request("mining.submit").is_some());
    assert_eq!(miner.stop().code, Some(0));
}

#[test]
fn an_unknown_kernel_is_told_before_any_pool_is_called() {
    let pool = ScriptedPool::listen();
    let mut command = signalcore(&["mine", "--pool", &pool.url]);
    let output = command.env("SIGNALCORE_CPU_KERNEL", "warp").output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{errors}");
    assert!(errors.contains("no kernel \"warp\", there are: scalar"), "{errors}");
}

#[test]
fn the_log_file_tells_what_happened_and_keeps_the_password_to_itself() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("miner.log");
    let pool = ScriptedPool::listen();
    let arguments = ["--log-file", log.to_str().unwrap(), "--password", "hunter2", "--shares", "1"];
    let miner = Miner::start_with(&pool.url, &arguments, &[("SIGNALCORE_LOG", "trace")]);
    pool.accept_mining().answer("mining.submit", json!(true));
    assert_eq!(miner.end().code, Some(0));
    let text = std::fs::read_to_string(log).unwrap();
    assert!(text.contains("Accepted ") && text.contains("received {"), "{text}");
    assert!(!text.contains("hunter2") && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn a_board_that_is_not_there_is_told_of_once_and_waited_for_while_the_rest_mines() {
    let pool = ScriptedPool::listen();
    let miner = Miner::start(&pool.url, &["--device", "bm1370:/dev/no-such-port", "--seconds", "4"]);
    pool.accept_mining().answer("mining.submit", json!(true));
    let ended = miner.end();
    assert_eq!(ended.code, Some(0));
    let warning = "board bm1370:no-such-port: /dev/no-such-port: there is no such port; plug the board in";
    assert_eq!(ended.errors.matches(warning).count(), 1, "{}", ended.errors);
}

#[test]
fn a_pool_that_pays_by_rounds_is_mined_for_with_one_warning() {
    let (pool, folder) = (ScriptedPool::listen(), tempfile::tempdir().unwrap());
    let file = folder.path().join("miner.toml");
    let settings = format!("stop.shares = 1\n[[pool]]\nurl = '{}'\nuser = 'u'\nscheme = 'prop'", pool.url);
    std::fs::write(&file, settings).unwrap();
    let miner = Miner::start_with_file(&file);
    pool.accept_mining().answer("mining.submit", json!(true));
    let ended = miner.end();
    assert_eq!(ended.code, Some(0));
    assert_eq!(ended.errors.matches("by the shares of its round").count(), 1, "{}", ended.errors);
}

#[test]
fn decoding_the_recorded_shares_gives_what_was_recorded() {
    let vectors = include_str!("../vectors/stratum-vectors.json");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/stratum-vectors.json");
    let output = signalcore(&["decode", "share", file]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let decoded: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let vectors: Vec<Value> = serde_json::from_str(vectors).unwrap();
    assert_eq!(decoded.len(), vectors.len());
    for (decoded, vector) in decoded.iter().zip(&vectors) {
        for member in ["merkle_root", "header", "hash"] {
            assert_eq!(decoded[member], vector[member], "{}", vector["name"]);
        }
        let (found, recorded) =
            (decoded["difficulty"].as_f64().unwrap(), vector["share_difficulty"].as_f64().unwrap());
        assert!((found / recorded - 1.0).abs() < 1e-12, "{}", vector["name"]);
    }
    let of = |name: &str| decoded[vectors.iter().position(|vector| vector["name"] == name).unwrap()].clone();
    // The transaction's id as explorers have it.
    assert_eq!(
        of("block-170")["coinbase_txid"],
        "b1fea52486ce0c62bb442b530a3f0132b826c74e473d1f2c220bfa78111c5082"
    );
}

#[test]
fn a_share_that_cannot_be_decoded_names_the_field() {
    let notify = json!(["j", "00".repeat(32), "01", "02", [], "20000000", "1d00ffff", "60000000", true]);
    let good = json!({"notify": notify, "extranonce1": "ab", "extranonce2": "01", "ntime": "60000000", "nonce": "1"});
    for (member, value, text) in [
        ("nonce", json!("xyz"), "nonce is \"xyz\", expected 1 to 8 hex digits"),
        ("extranonce1", json!("abc"), "extranonce1 is \"abc\", expected an even number of hex digits"),
        ("notify", json!(["j"]), "mining.notify: prevhash is missing, expected 64 hex digits"),
        ("version_bits", json!("00002000"), "version_rule is missing beside version_bits"),
        ("ntime", json!(5), "invalid type"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("share.json");
        let mut share = good.clone();
        share[member] = value;
        std::fs::write(&file, share.to_string()).unwrap();
        let output = signalcore(&["decode", "share", file.to_str().unwrap()]).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains(text), "{errors} lacks {text}");
    }
}

#[test]
fn every_command_has_help_with_examples() {
    let commands: [&[&str]; 17] = [
        &["completions"],
        &["man"],
        &["mine"],
        &["demo"],
        &["bench"],
        &["decode"],
        &["decode", "share"],
        &["decode", "frame"],
        &["decode", "nonce"],
        &["validate"],
        &["blocks"],
        &["devices"],
        &["replay"],
        &["config"],
        &["config", "check"],
        &["config", "show"],
        &["config", "init"],
    ];
    for command in commands {
        let output = signalcore(&[command, &["--help"]].concat()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert!(text.contains("Examples:") && text.contains(&format!("signalcore {}", command[0])), "{text}");
    }
}

#[test]
fn the_help_of_mine_has_each_flag_below_the_heading_it_belongs_to() {
    let output = signalcore(&["mine", "-h"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let headings =
        ["Options:\n", "Pools:\n", "Solo mining:\n", "Output:\n", "When to stop:\n", "Examples:\n"];
    let places =
        headings.map(|heading| text.find(heading).unwrap_or_else(|| panic!("{heading} is not in\n{text}")));
    for (flag, heading) in [
        ("--config <", 0),
        ("--cpu-threads <", 0),
        ("--pool <", 1),
        ("--tls-pin <", 1),
        ("--solo <", 2),
        ("--coinbase-tag <", 2),
        ("--json ", 3),
        ("--blocks <", 4),
    ] {
        let place = text.find(flag).unwrap();
        assert!(
            (places[heading]..places[heading + 1]).contains(&place),
            "{flag} stands elsewhere in\n{text}"
        );
    }
    assert!(
        text[places[5]..].contains("signalcore mine --solo http://127.0.0.1:8332 --payout ADDRESS"),
        "{text}"
    );
}

#[test]
fn shells_get_completions_and_man_gets_pages() {
    let stdout = |arguments: &[&str]| {
        let output = signalcore(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for shell in ["bash", "zsh", "fish"] {
        assert!(stdout(&["completions", shell]).contains("suggest-difficulty"));
    }
    assert!(stdout(&["man"]).contains(".TH"));
    assert!(stdout(&["man", "config", "show"]).contains("where each value comes from"));
    assert_eq!(signalcore(&["man", "nonsense"]).output().unwrap().status.code(), Some(2));
}
