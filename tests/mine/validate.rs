//! The staged checks: on the jobs of a pool at the level that everybody has, and on one job as a command.

use std::io::Write;
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::support::{Miner, ScriptedConnection, ScriptedPool, signalcore};

const REAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/validate-real.json");
const TOO_OLD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/validate-time-too-old.json");
const NO_RETARGET: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/validate-retarget-not-applied.json");

fn real() -> Value {
    serde_json::from_str(&std::fs::read_to_string(REAL).unwrap()).unwrap()
}

/// The job of a real block, so many seconds from now, with these nbits.
fn job(id: &str, ahead: i64, nbits: &str) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut params = real()["notify"].clone();
    params[0] = json!(id);
    params[6] = json!(nbits);
    params[7] = json!(format!("{:08x}", now.saturating_add_signed(ahead)));
    json!({ "id": null, "method": "mining.notify", "params": params })
}

fn connected(pool: &ScriptedPool) -> ScriptedConnection {
    let mut connection = pool.accept();
    connection.subscribe(json!([[], real()["extranonce1"], 8]));
    connection.answer("mining.authorize", json!(true));
    connection.say(json!({ "id": null, "method": "mining.set_difficulty", "params": [1e-6] }));
    connection
}

#[test]
fn jobs_that_fail_a_check_are_told_and_never_mined_and_good_ones_are() {
    let pool = ScriptedPool::listen();
    let mut miner = Miner::start_with(&pool.url, &[], &[("SIGNALCORE_VALIDATION_LEVEL", "16000")]);
    let mut connection = connected(&pool);
    connection.say(job("good", 0, "17029a8a"));
    miner.wait_for("the job", |event| event["event"] == "job" && event["job"] == "good");
    for (id, ahead, nbits, level, code) in
        [("early", 10_000, "17029a8a", 3000, "time-too-new"), ("easy", 0, "1702ffff", 4000, "bits-changed")]
    {
        connection.say(job(id, ahead, nbits));
        let told = miner.wait_for("the check", |event| event["event"] == "check" && event["code"] == code);
        assert_eq!((&told["result"], &told["level"]), (&json!("reject"), &json!(level)), "{told:#}");
    }
    connection.say(job("better", 1, "17029a8a"));
    miner.wait_for("the better job", |event| event["event"] == "job" && event["job"] == "better");
    let ended = miner.stop();
    let jobs: Vec<_> = ended.of("job").into_iter().map(|job| job["job"].as_str().unwrap()).collect();
    assert_eq!(jobs, ["good", "better"]);
    let checks = &ended.summary()["upstreams"][0]["checks"];
    assert_eq!(*checks, json!({ "executed": 54, "warned": 0, "held": 0, "rejected": 2 }));
}

#[test]
fn of_two_connections_to_one_host_with_the_same_work_the_second_is_refused() {
    let pools = [ScriptedPool::listen(), ScriptedPool::listen()];
    let both = ["--pool", &pools[1].url, "--strategy", "load-balance"];
    let mut miner = Miner::start_with(&pools[0].url, &both, &[("SIGNALCORE_VALIDATION_LEVEL", "16000")]);
    let mut connections: Vec<_> = pools.iter().map(connected).collect();
    let same = job("same", 0, "17029a8a");
    for connection in &mut connections {
        connection.say(same.clone());
    }
    let told = miner.wait_for("the check", |event| event["event"] == "check");
    let members = ["pool", "level", "code", "result"].map(|member| told[member].clone());
    assert_eq!(members, [json!(1), json!(7000), json!("extranonce1-twice"), json!("reject")], "{told:#}");
    assert_eq!(miner.stop().code, Some(0));
}

#[test]
fn the_command_ends_with_0_1_or_2_and_says_why() {
    let run = |arguments: &[&str]| signalcore(&[&["validate"], arguments].concat()).output().unwrap();
    for (file, code, word) in [
        (REAL, 0, "16 pass: the job may be mined"),
        (TOO_OLD, 1, "ntime 3000 reject"),
        (NO_RETARGET, 1, "nbits 4000 reject"),
    ] {
        let output = run(&["--job", file]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(code), "{text}");
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(word), "{text} lacks {word}");
    }
    let output = run(&["--job", NO_RETARGET, "--json"]);
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rejected: Vec<_> = object["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["result"] == "reject")
        .map(|check| (check["level"].as_u64().unwrap(), check["code"].as_str().unwrap()))
        .collect();
    assert_eq!(rejected, [(4000, "bits-not-of-node")]);
    assert_eq!(run(&["--job", NO_RETARGET, "--level", "3999"]).status.code(), Some(0));
    let output = run(&["--job", REAL, "--level", "0", "--json"]);
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (output.status.code(), &object["result"], &object["stamp"]),
        (Some(0), &json!("open"), &json!(null))
    );
    assert_eq!(signalcore(&["check-job", REAL]).output().unwrap().status.code(), Some(0));
}

#[test]
fn an_input_that_is_no_job_ends_with_2_and_names_the_member() {
    for (input, said) in [
        ("", "EOF while parsing"),
        ("[]", "invalid length 0"),
        ("{\"not\u{202e}ify\": 1}", "unknown field `notify`"),
        ("{\"notify\": []}", "missing field `extranonce1`"),
        (
            "{\"notify\": [1], \"extranonce1\": \"\", \"extranonce2_size\": 4}",
            "mining.notify: prevhash is missing, expected 64 hex digits",
        ),
    ] {
        let mut command = signalcore(&["validate", "--job", "-"]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{text}");
        assert!(text.contains(said), "{text} lacks {said}");
    }
}
