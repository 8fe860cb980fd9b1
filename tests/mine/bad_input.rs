//! Whatever a pool, a file or a person gives the miner: one clear message, and it goes on, or ends with its exit code.

use std::net::TcpListener;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Miner, ScriptedPool, StrictPool, good_job, signalcore};

fn tells(state: &'static str, text: &'static str) -> impl Fn(&Value) -> bool {
    move |event| {
        event["state"] == state && event["reason"].as_str().is_some_and(|reason| reason.contains(text))
    }
}

/// The pool says something wrong in mid-session: the miner tells of it once and mines on.
fn survives(line: &[u8], complaint: &'static str) {
    let pool = ScriptedPool::listen();
    let mut miner = Miner::start(&pool.url, &[]);
    let mut connection = pool.accept_mining();
    miner.wait_for("a job", |event| event["event"] == "job");
    for _ in 0..3 {
        connection.say_bytes(line);
    }
    miner.wait_for(complaint, tells("complaint", complaint));
    connection.say(good_job("after", true));
    let after = miner.wait_for("the next good job", |event| event["job"] == "after");
    assert_eq!(after["difficulty"], 1e-6, "the difficulty stays what it was");
    connection.answer("mining.submit", json!(true));
    miner.wait_for_shares(1);
    let ended = miner.stop();
    let complaints = ended.events.iter().filter(|event| event["state"] == "complaint").count();
    assert_eq!((ended.code, complaints), (Some(0), 1), "{:#?}", ended.events);
}

/// The pool says something that ends the connection: the miner tells why, and mines on the next one.
fn reconnects(result: Value, reason: &'static str) {
    let pool = ScriptedPool::listen();
    let mut miner = Miner::start(&pool.url, &[]);
    pool.accept().subscribe(result);
    miner.wait_for(reason, tells("down", reason));
    let mut connection = pool.accept_mining();
    connection.answer("mining.submit", json!(true));
    miner.wait_for_shares(1);
    assert_eq!(miner.stop().code, Some(0));
}

fn line(value: Value) -> Vec<u8> {
    format!("{value}\n").into_bytes()
}

#[test]
fn a_job_with_bad_hex_is_told_and_passed_over() {
    let mut job = good_job("bad", true);
    job["params"][2] = json!("0g");
    survives(&line(job), "coinb1 is \"0g\", expected an even number of hex digits");
}

/// Attack 15.
#[test]
fn a_job_with_ten_thousand_branches_is_told_and_passed_over() {
    let mut job = good_job("bad", true);
    job["params"][4] = json!(vec!["00".repeat(32); 10_000]);
    survives(&line(job), "the merkle branch is a list of 10000, expected at most 32 entries");
}

/// Attack 10.
#[test]
fn difficulties_that_are_none_are_told_and_the_old_one_stays() {
    for (number, complaint) in [
        ("0", "difficulty 0 is not a number above 0"),
        ("-1", "difficulty -1 is not a number above 0"),
        ("1e300", "is not a number above 0 and at most"),
        ("\"NaN\"", "difficulty NaN is not a number above 0"),
        ("NaN", "a line that is not a JSON object"),
    ] {
        let text = format!("{{\"id\":null,\"method\":\"mining.set_difficulty\",\"params\":[{number}]}}\n");
        survives(text.as_bytes(), complaint);
    }
}

#[test]
fn nonsense_is_told_and_passed_over() {
    survives(b"\x00\xff\xfe\x1b[2J nonsense\n", "a line that is not a JSON object");
}

#[test]
fn an_odd_extranonce1_ends_the_connection_with_the_reason() {
    reconnects(
        json!([[], "abc", 4]),
        "extranonce1 is \"abc\", expected 0 to 32 bytes as hex digits in pairs",
    );
}

#[test]
fn an_extranonce2_of_99_bytes_ends_the_connection_with_the_reason() {
    reconnects(json!([[], "ab", 99]), "the extranonce2 size is 99, expected a whole number from 0 to 32");
}

/// Attack 12.
#[test]
fn a_line_of_100_mb_ends_the_connection_within_bounded_memory() {
    let pool = ScriptedPool::listen();
    let mut miner = Miner::start(&pool.url, &[]);
    let mut connection = pool.accept_mining();
    miner.wait_for("a job", |event| event["event"] == "job");
    let megabyte = vec![b'a'; 1 << 20];
    (0..100).for_each(|_| connection.say_bytes(&megabyte));
    miner.wait_for("the long line", tells("down", "a line longer than 1048576 bytes"));
    let status = std::fs::read_to_string(format!("/proc/{}/status", miner.id())).unwrap_or_default();
    if let Some(peak) = status.lines().find_map(|line| line.strip_prefix("VmHWM:")) {
        let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(kib < 100 * 1024, "{kib} KiB at the peak");
    }
    pool.accept_mining().answer("mining.submit", json!(true));
    miner.wait_for_shares(1);
    assert_eq!(miner.stop().code, Some(0));
}

#[test]
fn a_refused_authorisation_names_user_and_reason_and_ends_with_69_where_nothing_is_left() {
    let pool = ScriptedPool::listen();
    let miner = Miner::start(&pool.url, &["--require-upstream", "--password", "hunter2"]);
    let mut connection = pool.accept();
    connection.subscribe(json!([[], "ab", 4]));
    let id = connection.request("mining.authorize").unwrap()["id"].clone();
    connection.say(json!({"id": id, "result": false, "error": [24, "Unauthorized worker", null]}));
    let ended = miner.end();
    let reason = "the pool refuses to authorise user \"u\": Unauthorized worker";
    assert!(ended.events.iter().any(tells("down", reason)), "{:#?}", ended.events);
    assert_eq!(ended.code, Some(69));
    assert!(!format!("{:?}{}", ended.events, ended.errors).contains("hunter2"));
}

/// Quirk 6.
#[test]
fn a_pool_that_refuses_ten_shares_in_a_row_is_left_for_a_minute_and_the_next_one_takes_over() {
    let (first, second) = (ScriptedPool::listen(), ScriptedPool::listen());
    let mut miner = Miner::start(&first.url, &["--pool", &second.url]);
    let (mut refusing, mut taking) = (first.accept_mining(), second.accept_mining());
    let mut refused = 0;
    while let Some(submit) = refusing.request("mining.submit") {
        refused += 1;
        refusing.say(json!({"id": submit["id"], "result": null, "error": [20, "Unacceptable", null]}));
    }
    let reason = "the pool refuses 10 shares in a row, the last: Unacceptable";
    let down = miner.wait_for(reason, tells("down", reason));
    assert!(refused >= 10 && down["retry_seconds"].as_f64() >= Some(60.0), "{refused} {down:#}");
    taking.answer("mining.submit", json!(true));
    miner.wait_for_shares(1);
    assert_eq!(miner.stop().code, Some(0));
}

#[test]
fn a_miner_that_was_stopped_while_its_pool_hung_up_goes_on_when_it_is_continued() {
    let pool = ScriptedPool::listen();
    let mut miner = Miner::start(&pool.url, &[]);
    let mut connection = pool.accept_mining();
    connection.answer("mining.submit", json!(true));
    miner.wait_for_shares(1);
    miner.signal(Signal::STOP);
    drop(connection);
    // The one thing here that is time passing: longer than any of the miner's short waits.
    std::thread::sleep(Duration::from_secs(3));
    miner.signal(Signal::CONT);
    let mut connection = pool.accept_mining();
    connection.answer("mining.submit", json!(true));
    miner.wait_for_shares(2);
    assert_eq!(miner.stop().code, Some(0));
}

#[test]
fn a_refused_port_is_told_and_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut miner = Miner::start(&address.to_string(), &[]);
    miner.wait_for("the refusal", tells("down", "cannot connect to 127.0.0.1:"));
    let pool = TcpListener::bind(address).unwrap();
    pool.accept().unwrap();
    assert_eq!(miner.stop().code, Some(0));
}

#[test]
fn a_host_that_cannot_be_resolved_is_told_and_ends_with_69_where_nothing_is_left() {
    let ended = Miner::start("stratum+tcp://no-such-host.invalid:3333", &["--require-upstream"]).end();
    let told = ended.events.iter().any(tells("down", "no-such-host.invalid"));
    assert!(told, "{:#?}", ended.events);
    assert_eq!(ended.code, Some(69));
}

#[test]
fn without_any_work_in_the_time_given_the_exit_code_is_69() {
    let pool = ScriptedPool::listen();
    let ended = Miner::start(&pool.url, &["--seconds", "1"]).end();
    assert_eq!((ended.code, ended.summary()["accepted"].as_u64()), (Some(69), Some(0)));
}

#[test]
fn a_mistake_on_the_command_line_names_flag_value_and_remedy() {
    for (arguments, code, text) in [
        (&["--pool", "ftp://pool:1"][..], 2, "ftp"),
        (&["--pool", "stratum2+tcp://pool:1"], 2, "Stratum V2"),
        (&["--pool", "http://127.0.0.1:8332"], 2, "getwork"),
        (&["--pool", "pool:0"], 2, "port"),
        (&["--pool", "a:1", "--cpu-threads", "many"], 2, "--cpu-threads"),
        (&["--pool", "a:1", "--seconds", "-5"], 2, "--seconds"),
        (&["--pool", "a:1", "--suggest-difficulty", "NaN"], 2, "--suggest-difficulty"),
        (
            &["--pool", "a:1", "--pool", "b:1", "--pool", "c:1", "--user", "x", "--user", "y"],
            2,
            "2 --user for 3 --pool",
        ),
        (&["--user", "u"], 2, "--pool"),
        (&[], 2, "--pool"),
        (&[], 2, "--solo"),
        (&["--solo", "https://node:8332", "--payout", "x"], 2, "plain HTTP"),
        (&["--solo", "node"], 2, "--payout"),
        (&["--solo", "node", "--payout", "bc1pfeessrawgf"], 2, "anybody"),
        (&["--rpc-user", "u"], 2, "--rpc-user without --solo"),
        (&["--solo", "a", "--solo", "b", "--zmq", "tcp://a:1"], 2, "1 --zmq for 2 --solo"),
        (&["--solo", "node", "--rpc-user", "u", "--payout", "x"], 2, "found it without password"),
        (&["--pool", "a:1", "--blocks", "-1"], 2, "--blocks"),
        (&["--pool", "a:1", "--userpass", "nocolon"], 2, "NAME:WORD"),
        (&["--pool", "a:1", "--nonsense"], 2, "--nonsense"),
        (&["--pool", "a:1", "--cpu-threads", "0"], 69, "--cpu-threads"),
        (&["--pool", "a:1", "--device", ""], 2, "it is empty; write KIND:PORT"),
        (&["--pool", "a:1", "--device", "/dev/ttyACM0"], 78, "/dev/ttyACM0"),
        (&["--pool", "a:1", "--device", "bm1371:/dev/x"], 78, "no kind \"bm1371\", choose one of bm1370"),
        (&["--pool", "a:1", "--device", "bm1370:/dev/x,frequency=9000"], 78, "at most 650"),
        (
            &["--pool", "a:1", "-S", "bm1370:/dev/x", "-S", "bm1366:/dev/x"],
            78,
            "its port has a board already",
        ),
        (&["--pool", "a:1", "--log-file", "/no/such/folder/x.log"], 78, "/no/such/folder/x.log"),
    ] {
        let output = signalcore(&[&["mine"], arguments].concat()).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
        assert!(errors.contains(text), "{arguments:?}: {errors}");
        assert!(!errors.contains("panicked"), "{errors}");
    }
}

#[test]
fn checking_finds_what_mining_would_refuse() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("k.toml");
    for (text, part) in [
        ("[cpu]\nkernel = \"warp\"", "k.toml:2: cpu.kernel: found warp"),
        ("device = [\"/dev/ttyACM0\"]", "k.toml:1: device: found /dev/ttyACM0"),
        ("[[board]]\nkind = \"bm1\"\nport = \"x\"", "k.toml:3: board: found bm1:x"),
        ("[log]\nlevel = \"loud\"", "k.toml:2: log.level: found loud"),
    ] {
        std::fs::write(&file, text).unwrap();
        let output = signalcore(&["config", "check", "--config", file.to_str().unwrap()]).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78), "{errors}");
        assert!(errors.contains(part), "{errors} lacks {part}");
    }
}

#[test]
fn a_pool_that_sends_work_and_then_refuses_the_user_gave_none() {
    let pool = ScriptedPool::listen();
    let miner = Miner::start(&pool.url, &["--require-upstream"]);
    let mut connection = pool.accept();
    connection.subscribe(json!([[], "ab", 4]));
    connection.say(good_job("early", true));
    let id = connection.request("mining.authorize").unwrap()["id"].clone();
    connection.say(json!({"id": id, "result": false, "error": [24, "Unauthorized worker", null]}));
    let ended = miner.end();
    assert_eq!((ended.code, ended.of("job").len()), (Some(69), 0));
    assert!(ended.errors.contains("refuses to authorise user \"u\""), "{}", ended.errors);
}

#[test]
fn escape_codes_in_a_redirect_do_not_reach_a_person() {
    let pool = ScriptedPool::listen();
    let mut command = signalcore(&["mine", "--pool", &pool.url, "--user", "u", "--shares", "1"]);
    let miner = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut connection = pool.accept_mining();
    let evil = "\u{1b}[2J\u{7}evil\n[2026-01-01 00:00:00.000] Accepted deadbeef";
    connection.say(json!({"id": null, "method": "client.reconnect", "params": [evil, 3333, 0]}));
    connection.answer("mining.submit", json!(true));
    let text = String::from_utf8(miner.wait_with_output().unwrap().stdout).unwrap();
    assert!(text.contains("client.reconnect: the host is"), "{text}");
    assert!(!text.contains(['\u{1b}', '\u{7}']) && !text.contains("\n[2026-01-01 00"), "{text}");
}

#[test]
fn a_configuration_with_mistakes_shows_them_all_with_their_lines_and_ends_with_78() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.toml");
    let text = "[[pool]]\nurl = \"gopher://x\"\n[cpu]\nthreads = true\n[stratum]\nsilense_timeout = 5\n";
    std::fs::write(&file, text).unwrap();
    let output = signalcore(&["mine", "--config", file.to_str().unwrap()]).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{errors}");
    for part in ["bad.toml:2", "gopher", "bad.toml:4", "cpu.threads", "bad.toml:6", "silence_timeout"] {
        assert!(errors.contains(part), "{errors} lacks {part}");
    }
}

/// The strict pool attacks once, goes on as a good pool, and must see good shares after it.
fn is_unharmed_by(attack: &str) {
    let options = ["--hostile", attack, "--difficulty", "0.00001", "--job-every", "200"];
    let Some(pool) = StrictPool::start(attack, &options) else { return };
    let mut miner = Miner::start(&pool.url, &[]);
    miner.wait_for_several(10, "jobs", |event| event["event"] == "job");
    miner.wait_for_shares(40);
    let ended = miner.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    let text = format!("{:?}", ended.events);
    assert!(!text.contains('\u{1b}') && !text.contains("\\u{1b}"), "escape codes reach the output");
    let report = pool.report();
    assert_eq!(report["invalid"], json!({}), "{report:#}");
    assert!(report["hostile_sent"].as_u64() > Some(0), "{report:#}");
    assert!(report["accepted_after_hostile"].as_u64() > Some(0), "{report:#}");
}

/// Attack 14.
#[test]
fn no_attack_on_the_parser_stops_the_mining() {
    for attack in
        ["deep-json", "duplicate-keys", "huge-job-id", "not-json", "escape-codes", "plain-text-goodbye"]
    {
        is_unharmed_by(attack);
    }
}

/// Attack 20.
#[test]
fn a_flood_of_jobs_stops_nothing() {
    is_unharmed_by("job-flood");
}

#[test]
fn a_zombie_that_accepts_and_says_nothing_is_left_after_its_deadline() {
    let pool = ScriptedPool::listen();
    let mut miner = Miner::start_with(&pool.url, &[], &[("SIGNALCORE_STRATUM_HANDSHAKE_TIMEOUT", "1")]);
    let silent = pool.accept();
    miner.wait_for("the deadline", tells("down", "no answer to mining.subscribe within 1 s"));
    pool.accept_mining().answer("mining.submit", json!(true));
    miner.wait_for_shares(1);
    drop(silent);
    assert_eq!(miner.stop().code, Some(0));
}
