//! `signalcore model` as a person runs it.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use signalcore::model::health;
use signalcore::replay::{log, scenario};

use crate::support::Script;

fn signalcore(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signalcore"));
    command.args(arguments).env_clear().env("HOME", env!("CARGO_TARGET_TMPDIR")).env("PATH", "/usr/bin:/bin");
    command.output().unwrap()
}

/// Lets a model amend, in a home of its own, if it has earned that.
fn promote(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signalcore"));
    command.args(["model", "promote"]).args(arguments).env_clear().env("HOME", home);
    command.output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(output)))
}

#[test]
fn ask_shows_question_answer_and_verdict() {
    let script = Script::new(include_str!("../../config/advisor.py"));
    let path = script.path();
    let model = ["--backend", "process", "--command", "python3", "--command", &path, "--deadline", "30"];
    let shown = signalcore(&[&["model", "ask"], &model[..]].concat());
    assert_eq!(shown.status.code(), Some(0), "{}", text(&shown));
    for part in [
        "c0",
        "SWITCH c0",
        "confidence 0.80",
        "rejects of c1",
        "mathematics says the same",
        "sandbox    full",
        "asked      python3 ",
    ] {
        assert!(text(&shown).contains(part), "{part}: {}", text(&shown));
    }
    // Mathematics stays with the better one that runs; the advisor would leave for one nearly as good that rejects less.
    let mut question = health::question(2000);
    question.running.candidate = "c0".to_owned();
    question.baseline.decision = "PROCEED".to_owned();
    question.candidates[0].rejects_10m = 20;
    (question.candidates[1].value, question.candidates[1].rejects_10m) = (0.985, 0);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), question.sign().to_line()).unwrap();
    let input = ["--json", "--input", file.path().to_str().unwrap()];
    let answer = json(&signalcore(&[&["model", "ask"], &input[..], &model[..]].concat()));
    assert_eq!(
        (&answer["output"]["decision"], &answer["verdict"]["result"]),
        (&"SWITCH".into(), &"amends".into())
    );
    assert_eq!(answer["sandbox"]["sandbox"], "full");
}

#[test]
fn health_and_bench_tell_what_a_program_finds_in_json() {
    for backend in ["builtin", "learned"] {
        let health = json(&signalcore(&["model", "health", "--backend", backend, "--json"]));
        assert_eq!((&health["answers"], &health["chose_worse"]), (&true.into(), &false.into()));
        assert_eq!(health["backend"], backend);
    }
    let bench = json(&signalcore(&["model", "bench", "--backend", "builtin", "--count", "50", "--json"]));
    assert_eq!((&bench["answered"], &bench["agreement"]), (&50.into(), &1.0.into()));
    assert!(bench["latency_ms"]["p99"].as_f64().unwrap() < 5.0);
    let dead =
        signalcore(&["model", "health", "--backend", "ollama", "--name", "m", "--url", "http://127.0.0.1:9"]);
    assert_eq!(dead.status.code(), Some(1));
    for part in ["cannot be reached", "asked      m of http://127.0.0.1:9"] {
        assert!(text(&dead).contains(part), "{}", text(&dead));
    }
    let dead = ["--backend", "openai", "--url", "http://127.0.0.1:9", "--count", "1", "--json"];
    let bench = json(&signalcore(&[&["model", "bench"], &dead[..]].concat()));
    assert_eq!(bench["failures"]["unreachable"], 1);
    assert!(bench["first_failure"].as_str().is_some_and(|why| why.contains("cannot be reached")), "{bench}");
}

#[test]
fn what_cannot_be_says_which_setting_is_wrong() {
    for (arguments, code, says) in [
        (&["ask"][..], 2, "--backend"),
        (&["ask", "--backend", "gpt"], 2, "\"ollama\""),
        (&["ask", "--backend", "process"], 78, "model.command is missing"),
        (&["ask", "--backend", "openai"], 78, "model.url is missing"),
        (&["ask", "--backend", "ollama"], 78, "model.name is missing"),
        (&["ask", "--backend", "openai", "--url", "http://example.com"], 78, "model.allow_remote"),
        (&["ask", "--backend", "builtin", "--deadline", "0"], 2, "0.005"),
        (&["ask", "--backend", "builtin", "--input", "/no/such/file"], 2, "/no/such/file"),
        (&["bench", "--backend", "builtin", "--count", "0"], 2, "--count"),
    ] {
        let output = signalcore(&[&["model"], arguments].concat());
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output));
        assert!(text(&output).contains(says), "{arguments:?}: {}", text(&output));
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut question = health::question(2000);
    question.candidates[0].pay = 7.0;
    std::fs::write(file.path(), question.to_line()).unwrap();
    let path = file.path().to_str().unwrap();
    let output = signalcore(&["model", "ask", "--backend", "builtin", "--input", path]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("candidates[0].pay: 7 is not a number from 0 to 1"), "{}", text(&output));
}

#[test]
fn a_model_is_promoted_by_what_it_gains_where_it_changes_anything() {
    let home = tempfile::tempdir().unwrap();
    let note = home.path().join(".local/state/signalcore/model.promoted");
    let agrees = promote(home.path(), &["--backend", "builtin", "--days", "0.05", "--seeds", "1"]);
    assert_eq!(agrees.status.code(), Some(1), "{}", text(&agrees));
    for part in ["changed something in 0 of 20 scenarios", "not enough: it changed nothing in any scenario"] {
        assert!(text(&agrees).contains(part), "{part}: {}", text(&agrees));
    }
    assert!(!note.exists());
    let recorded = home.path().join("spells.jsonl");
    std::fs::write(&recorded, log::write(&scenario::named("S12").unwrap().plan().world(0, Some(3.0))))
        .unwrap();
    let learned = ["--backend", "learned", "--seeds", "2", "--log", recorded.to_str().unwrap()];
    let learned = promote(home.path(), &learned);
    assert_eq!(learned.status.code(), Some(0), "{}", text(&learned));
    assert!(
        text(&learned).contains("changed something in 1 of 1 scenarios, and gained 0.00"),
        "{}",
        text(&learned)
    );
    // A miner that finds this plans probes by it: tests/mine/model.rs.
    assert_eq!(std::fs::read_to_string(note).unwrap(), "\"learned\"\n");
}
