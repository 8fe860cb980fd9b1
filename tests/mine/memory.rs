//! What one run of the miner learns of a pool, the next one knows; and the file it stands in is never needed.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Miner, PATIENCE, ScriptedConnection, ScriptedPool, good_job};

/// A place for the file, and a pool that calls its sessions by name.
struct Runs {
    folder: TempDir,
    pool: ScriptedPool,
}

impl Runs {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), pool: ScriptedPool::listen() }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("state/pools.json")
    }

    fn start(&self) -> Miner {
        let file = self.file();
        let environment =
            [("SIGNALCORE_STATE_REMEMBER", "true"), ("SIGNALCORE_STATE_FILE", file.to_str().unwrap())];
        Miner::start_with(&self.pool.url, &[], &environment)
    }

    /// The next connection as far as mining a job whose version has a bit inside the mask; gives what subscribe held.
    fn accept(&self, size: usize) -> (ScriptedConnection, Value) {
        let mut connection = self.pool.accept();
        connection
            .answer("mining.configure", json!({"version-rolling": true, "version-rolling.mask": "1fffe000"}));
        let subscribe = connection.request("mining.subscribe").unwrap();
        let result =
            json!([[["mining.notify", "5e55"], ["mining.set_difficulty", "5e55"]], "0a0b0c0d", size]);
        connection.say(json!({"id": subscribe["id"], "result": result, "error": null}));
        connection.answer("mining.authorize", json!(true));
        connection.say(json!({"id": null, "method": "mining.set_difficulty", "params": [1e-6]}));
        let mut job = good_job("signals", true);
        job["params"][5] = json!("20004000");
        connection.say(job);
        (connection, subscribe["params"].clone())
    }
}

fn refuse(connection: &mut ScriptedConnection) -> Value {
    let submit = connection.request("mining.submit").unwrap();
    connection.say(json!({"id": submit["id"], "result": null, "error": [23, "Difficulty too low", null]}));
    submit["params"].clone()
}

fn is_delta(params: &Value) -> bool {
    u32::from_str_radix(params[5].as_str().unwrap(), 16).unwrap() & 0x4000 == 0
}

/// Waits for the file to say so.
fn wait_for(file: &Path, text: &str) {
    let give_up_at = std::time::Instant::now() + PATIENCE;
    while !fs::read_to_string(file).is_ok_and(|found| found.contains(text)) {
        assert!(std::time::Instant::now() < give_up_at, "{} never says {text}", file.display());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn a_second_run_knows_convention_and_session_of_the_first_and_repeats_no_extranonce2() {
    let runs = Runs::new();
    let mut miner = runs.start();
    let (mut connection, subscribe) = runs.accept(4);
    assert_eq!(subscribe.as_array().unwrap().len(), 1, "{subscribe}");
    let first = refuse(&mut connection);
    assert!(!is_delta(&first), "{first}");
    miner.wait_for("the lesson", |event| event["state"] == "learnt");
    assert_eq!(miner.stop().code, Some(0));

    let miner = runs.start();
    let (mut connection, subscribe) = runs.accept(4);
    assert_eq!(subscribe[1], "5e55", "{subscribe}");
    let second = connection.request("mining.submit").unwrap()["params"].clone();
    assert!(is_delta(&second), "{second}");
    let counter = |params: &Value| u32::from_str_radix(params[2].as_str().unwrap(), 16).unwrap();
    // Each run gives out a few values from a random place on.
    assert!(counter(&first).abs_diff(counter(&second)) > 16, "{first} {second}");
    assert_eq!(miner.stop().code, Some(0));
}

#[test]
fn a_session_with_little_extranonce2_is_not_resumed_by_a_second_run() {
    let runs = Runs::new();
    let mut miner = runs.start();
    let first = runs.accept(3);
    miner.wait_for("a job", |event| event["event"] == "job");
    drop(first);
    let (_again, subscribe) = runs.accept(3);
    assert_eq!(subscribe[1], "5e55", "the same run may: it knows what it has sent");
    miner.stop();
    let miner = runs.start();
    let (_connection, subscribe) = runs.accept(3);
    assert_eq!(subscribe.as_array().unwrap().len(), 1, "{subscribe}");
    miner.stop();
}

#[test]
fn a_file_of_nonsense_is_told_once_and_replaced() {
    let runs = Runs::new();
    fs::create_dir_all(runs.file().parent().unwrap()).unwrap();
    fs::write(runs.file(), b"\x00\xff\x1b[2J nonsense").unwrap();
    let mut miner = runs.start();
    let (mut connection, _) = runs.accept(8);
    connection.answer("mining.submit", json!(true));
    miner.wait_for_shares(1);
    let ended = miner.stop();
    assert_eq!(ended.code, Some(0));
    assert_eq!(
        ended.errors.matches("pools.json is passed over: it makes no sense").count(),
        1,
        "{}",
        ended.errors
    );
    assert!(!ended.errors.contains("\u{1b}[2J"), "{}", ended.errors);
    wait_for(&runs.file(), "5e55");
}

#[test]
fn a_file_that_is_deleted_or_becomes_unwritable_in_mid_run_disturbs_nothing() {
    let runs = Runs::new();
    let mut miner = runs.start();
    let (mut connection, _) = runs.accept(8);
    wait_for(&runs.file(), "5e55");
    fs::remove_dir_all(runs.file().parent().unwrap()).unwrap();
    refuse(&mut connection);
    wait_for(&runs.file(), "delta");
    fs::remove_dir_all(runs.file().parent().unwrap()).unwrap();
    fs::write(runs.file().parent().unwrap(), "a file where the folder was").unwrap();
    drop(connection);
    let (mut connection, _) = runs.accept(3);
    connection.answer("mining.submit", json!(true));
    miner.wait_for_shares(1);
    let ended = miner.stop();
    assert_eq!(ended.code, Some(0));
    assert!(ended.errors.contains("pools.json cannot be written: "), "{}", ended.errors);
}

#[test]
fn nothing_is_remembered_where_that_is_turned_off() {
    let runs = Runs::new();
    let file = runs.file();
    let environment =
        [("SIGNALCORE_STATE_REMEMBER", "false"), ("SIGNALCORE_STATE_FILE", file.to_str().unwrap())];
    let mut miner = Miner::start_with(&runs.pool.url, &[], &environment);
    let (mut connection, _) = runs.accept(8);
    refuse(&mut connection);
    miner.wait_for("the lesson", |event| event["state"] == "learnt");
    assert_eq!(miner.stop().code, Some(0));
    assert!(!file.exists());
}
