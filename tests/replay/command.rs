//! `signalcore replay` as a program.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

fn replay(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_signalcore")).arg("replay").args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

const SHORT: [&str; 6] = ["--scenario", "S4", "--days", "0.05", "--seeds", "2"];

#[test]
fn each_policy_is_a_row_of_the_table_and_an_object_of_json() {
    let table = replay(&SHORT);
    assert_eq!(table.status.code(), Some(0));
    let json = replay(&[&SHORT[..], &["--json"]].concat());
    let objects: Vec<Value> =
        text(&json.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects.len(), 7);
    for object in &objects {
        assert!(text(&table.stdout).contains(object["policy"].as_str().unwrap()), "{object}");
        let efficiency = object["efficiency"].as_f64().unwrap();
        assert!(efficiency > 0.9 && efficiency < 1.000_001, "{object}");
        assert_eq!((&object["scenario"], object["seeds"].as_u64()), (&Value::from("S4"), Some(2)));
    }
    assert_eq!(objects[0]["policy"], "oracle");
    assert_eq!(objects[0]["efficiency"], 1.0);
}

#[test]
fn a_picture_is_written_in_the_form_that_its_name_says() {
    let folder = tempfile::tempdir().unwrap();
    for (name, begins) in [("a.svg", &b"<svg"[..]), ("a.png", b"\x89PNG")] {
        let path = folder.path().join(name);
        let output = replay(&[&SHORT[..], &["--plot", path.to_str().unwrap()]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(fs::read(path).unwrap().starts_with(begins), "{name}");
    }
    assert_eq!(replay(&[&SHORT[..], &["--plot", "a.gif"]].concat()).status.code(), Some(2));
}

#[test]
fn one_decision_is_explained_with_what_all_upstreams_were_worth() {
    let output = replay(&[&SHORT[..], &["--explain", "1"]].concat());
    let said = text(&output.stdout);
    for part in
        ["decision 1 after 0.000 s, by the mathematics: flush, job 0 of A", "before: nothing", "acceptance"]
    {
        assert!(said.contains(part), "{said} lacks {part}");
    }
    assert_eq!(replay(&["--explain", "1"]).status.code(), Some(2), "of all scenarios none is meant");
}

#[test]
fn a_log_of_shared_hashing_is_replayed_by_value_and_says_so_unless_defaults_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shared.jsonl");
    let log = r#"{"t_ms":0,"k":"settings","strategy":"quota"}
{"t_ms":0,"k":"device","flush_ms":20,"cross_ms":20,"boundary_ms":500}
{"t_ms":0,"k":"upstream","u":"A","scheme":"pps","fee":0.01}
{"t_ms":0,"k":"notify","u":"A","parent":"h1","height":2,"clean":true,"fees":1}
{"t_ms":100000,"k":"alive","u":"A"}
"#;
    fs::write(&path, log).unwrap();
    for (more, says) in [(&[][..], true), (&["--default-settings"], false)] {
        let output = replay(&[&["--log", path.to_str().unwrap(), "--policy", "math"], more].concat());
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(
            text(&output.stderr).contains("hashing that was shared"),
            says,
            "{}",
            text(&output.stderr)
        );
    }
}

#[test]
fn a_log_is_replayed_and_a_line_at_fault_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("night.jsonl");
    let log = r#"{"t_ms":0,"k":"device","flush_ms":20,"cross_ms":20,"boundary_ms":500}
{"t_ms":0,"k":"upstream","u":"A","scheme":"pps","fee":0.01}
{"t_ms":0,"k":"notify","u":"A","parent":"h1","height":2,"clean":true,"fees":1}
{"t_ms":100000,"k":"alive","u":"A"}
"#;
    fs::write(&path, log).unwrap();
    let output = replay(&["--log", path.to_str().unwrap(), "--json", "--policy", "math"]);
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(object["scenario"], "night");
    assert!(object["efficiency"].as_f64().unwrap() > 0.999, "{object}");
    fs::write(&path, log.replace("pps", "ppz")).unwrap();
    let output = replay(&["--log", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("line 2: unknown variant `ppz`"), "{}", text(&output.stderr));
}
