//! `signalcore-hil run` as a person meets it: the real miner, virtual boards, reports and exit codes.
#![cfg(unix)] // pseudo-terminals
#![allow(clippy::unwrap_used)] // all of this file is a test, also what clippy does not see as one

use std::{
    fs::{self, OpenOptions},
    io::{Write, stderr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use serde_json::Value;

const BENCHES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches");

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signalcore-hil"));
    command.arg("run").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The miner, which a build of this package alone does not bring. Without it a test reports that it left its part out.
fn miner_for(test: &str) -> Option<PathBuf> {
    let miner = Path::new(env!("CARGO_BIN_EXE_signalcore-hil")).with_file_name("signalcore");
    if miner.is_file() {
        return Some(miner);
    }
    let line = format!("SKIPPED: {test}: no signalcore beside signalcore-hil; cargo build --workspace\n");
    stderr().write_all(line.as_bytes()).unwrap();
    if let Some(file) = std::env::var_os("SIGNALCORE_SKIPPED") {
        OpenOptions::new().append(true).create(true).open(file).unwrap().write_all(line.as_bytes()).unwrap();
    }
    None
}

/// A file of this test alone.
fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn bench(name: &str, text: &str) -> PathBuf {
    let path = path(name);
    fs::write(&path, text).unwrap();
    path
}

/// Exit code, standard output and standard error.
fn ended(child: Child) -> (Option<i32>, String, String) {
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

const ERUPTER: &str = "title = 't'\n[limits]\nload_seconds = 600\nwarm_up_seconds = 0\n[[board]]\nname = 'e'\n\
                       kind = 'block-erupter'\nidentity = 'block-erupter'\nnominal = 3.36e8\n";

#[test]
fn every_check_of_the_virtual_bench_passes_or_says_why_it_is_skipped() {
    if miner_for("every_check_of_the_virtual_bench_passes_or_says_why_it_is_skipped").is_none() {
        return;
    }
    let junit = path("virtual.xml");
    let mut command = program();
    command.args(["--json", "--bench", &format!("{BENCHES}/virtual.toml"), "--junit"]).arg(&junit);
    let (code, output, errors) = ended(command.spawn().unwrap());
    assert_eq!(code, Some(0), "{output}\n{errors}");
    let report: Value = serde_json::from_str(&output).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let skipped: Vec<_> = checks.iter().filter(|check| check["result"] == "skipped").collect();
    assert_eq!((checks.len(), skipped.len(), &report["failed"]), (31, 5, &0.into()), "{output}");
    assert!(skipped.iter().all(|check| check["reason"] != ""), "{output}");
    let junit = fs::read_to_string(junit).unwrap();
    assert_eq!((junit.matches("<testcase ").count(), junit.matches("<skipped ").count()), (31, 5), "{junit}");
}

#[test]
fn a_line_that_flips_one_byte_of_ten_costs_the_hash_rate_and_brings_no_invalid_share() {
    if miner_for("a_line_that_flips_one_byte_of_ten_costs_the_hash_rate_and_brings_no_invalid_share")
        .is_none()
    {
        return;
    }
    let faulty = "virtual = { scale = 400, faults = ['flipped=0.1@4'] }\n[board.limits]\nload_seconds = 15\n\
                  warm_up_seconds = 4\nshares_per_second = 20\n";
    let bench = bench("flipped.toml", &format!("{ERUPTER}{faulty}"));
    let checks = ["identify", "hash-rate", "pool-shares"];
    let mut command = program();
    command.arg("--json").arg("--bench").arg(bench).args(checks.map(|check| format!("--check={check}")));
    let (code, output, errors) = ended(command.spawn().unwrap());
    let report: Value = serde_json::from_str(&output).unwrap();
    let results = report["checks"].as_array().unwrap().iter().map(|check| check["result"].as_str().unwrap());
    let expected = ["passed", "failed", "passed"];
    assert_eq!(results.collect::<Vec<_>>(), expected, "{output}\n{errors}");
    assert_eq!(code, Some(1));
}

#[test]
fn damaged_answers_and_an_oven_fail_the_checks_of_errors_and_of_heat_with_what_the_miner_tells_of_them() {
    if miner_for(
        "damaged_answers_and_an_oven_fail_the_checks_of_errors_and_of_heat_with_what_the_miner_tells_of_them",
    )
    .is_none()
    {
        return;
    }
    let text = "title = 't'\n[limits]\nload_seconds = 25\nwarm_up_seconds = 0\n\
                [[board]]\nname = 'line'\nkind = 'bm1366'\noptions = 'frequency=400'\nidentity = 'BM1366'\n\
                nominal = 3.576e11\nvirtual = { board = 'bm1366', faults = ['flipped=0.3@8'] }\n\
                checks = ['hardware-errors']\n\
                [[board]]\nname = 'oven'\nkind = 'gamma'\noptions = 'frequency=400'\nidentity = 'Bitaxe'\n\
                nominal = 8.16e11\nvirtual = { board = 'gamma', faults = ['hot=110@10'] }\nchecks = ['thermal']\n\
                [[board]]\nname = 'nonsense'\nkind = 'bm1370'\noptions = 'chips=4,frequency=400'\n\
                identity = 'BM1370'\nnominal = 3.264e12\n\
                virtual = { board = 'bm1370', chips = 4, zero_bits = 6, faults = ['garbage-chip=3@10'] }\n\
                checks = ['hardware-errors']\n";
    let bench = bench("damaged.toml", text);
    let (code, output, errors) = ended(program().arg("--json").arg("--bench").arg(bench).spawn().unwrap());
    assert_eq!(code, Some(1), "{output}\n{errors}");
    let report: Value = serde_json::from_str(&output).unwrap();
    let reason = |check: usize| report["checks"][check]["reason"].as_str().unwrap_or_default();
    assert!(
        reason(0).contains("come damaged") && reason(2).contains("a chip that says nonsense"),
        "{output}"
    );
    for part in ["lost their power under load", "throttled at", "its power is cut off"] {
        assert!(reason(1).contains(part), "{part}: {output}");
    }
}

#[test]
fn ctrl_c_ends_a_run_with_what_was_measured_and_leaves_no_miner_and_no_port() {
    if miner_for("ctrl_c_ends_a_run_with_what_was_measured_and_leaves_no_miner_and_no_port").is_none() {
        return;
    }
    let bench = bench("interrupted.toml", &format!("{ERUPTER}virtual = {{ scale = 400 }}\n"));
    let mut command = program();
    command.args(["--json", "--check", "pool-shares", "--check", "replug", "--bench"]).arg(bench);
    let child = command.spawn().unwrap();
    let folder = std::env::temp_dir().join(format!("signalcore-hil-run-{}", child.id()));
    let port = folder.join("e");
    while !port.exists() {
        sleep(Duration::from_millis(50));
    }
    sleep(Duration::from_secs(5));
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let (code, output, errors) = ended(child);
    assert_eq!(code, Some(130), "{output}\n{errors}");
    let report: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(
        (&report["interrupted"], &report["passed"], &report["skipped"]),
        (&true.into(), &1.into(), &1.into())
    );
    assert!(!folder.exists(), "its folder is left");
}

#[test]
fn a_wrong_bench_a_missing_miner_and_a_wrong_name_have_their_codes_and_say_what_to_do() {
    let wrong = bench("wrong.toml", &format!("{ERUPTER}virtual = {{ scale = 0.1 }}\n"));
    let good = bench("good.toml", &format!("{ERUPTER}virtual = {{ scale = 400 }}\n"));
    let absent = path("absent.toml");
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    for (arguments, code, said) in [
        (vec!["--bench".to_owned(), text(&wrong)], 2, "limits.shares_per_second = 15"),
        (vec!["--bench".to_owned(), text(&absent)], 2, "open it"),
        (vec!["--bench".to_owned(), text(&good), "--check=x".to_owned()], 2, "there are enumerate, identify"),
        (
            vec!["--bench".to_owned(), text(&good), "--signalcore=/nowhere".to_owned()],
            69,
            "no miner at /nowhere",
        ),
        (Vec::new(), 2, "--bench"),
    ] {
        let (ended_with, _, errors) = ended(program().args(&arguments).spawn().unwrap());
        assert_eq!(ended_with, Some(code), "{arguments:?}: {errors}");
        assert!(errors.contains(said), "{arguments:?}: {errors}");
    }
    let (code, output, _) = ended(program().arg("--list").spawn().unwrap());
    assert_eq!((code, output.lines().count()), (Some(0), 9), "{output}");
}
