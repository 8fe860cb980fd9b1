//! A miner that writes down what decisions are made by replays it beside mining, and so does who reads it afterwards.

use std::fs;

use serde_json::json;

use crate::failover::serve;
use crate::support::{Miner, ScriptedPool, signalcore};

#[test]
fn a_miner_replays_its_own_log_beside_mining_and_ends_without_waiting_for_that() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("decisions.jsonl");
    let pool = ScriptedPool::listen();
    let environment = [
        ("SIGNALCORE_UPSTREAMS_RECORD_DECISIONS", file.to_str().unwrap()),
        ("SIGNALCORE_UPSTREAMS_STRATEGY", "value"),
        ("SIGNALCORE_UPSTREAMS_RISK_AVERSION", "1e-12"),
    ];
    let mut miner = Miner::start_with(&pool.url, &["--review-seconds", "1"], &environment);
    let serving = std::thread::spawn(move || serve(pool.accept()));
    for (policy, has_mined) in [("math", true), ("first_come", false), ("math+learned", false)] {
        let told = miner.wait_for("a review", |line| line["event"] == "review" && line["policy"] == policy);
        assert_eq!((&told["has_mined"], &told["is_part"]), (&json!(has_mined), &json!(false)), "{told}");
        assert!(told["efficiency"].as_f64().is_some_and(|part| part > 0.9), "{told}");
        assert!(told["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{told}");
    }
    let ended = miner.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    drop(serving.join());
    let log = fs::read_to_string(&file).unwrap();
    assert!(
        log.starts_with(r#"{"t_ms":0.0,"k":"settings","#) && log.contains(r#""risk_aversion":1e-12"#),
        "{log}"
    );
    let replayed = signalcore(&["replay", "--log", file.to_str().unwrap(), "--policy", "math", "--json"]);
    assert_eq!({ replayed }.output().unwrap().status.code(), Some(0));
}
