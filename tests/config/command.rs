//! `signalcore config`: what it prints and its exit codes.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use signalcore::config::Suggestion;
use tempfile::TempDir;

const DEFAULT_FILE: &str = include_str!("../../config/signalcore.toml");

fn signalcore(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signalcore"));
    command.env_clear().env("HOME", home).arg("config").args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[test]
fn init_prints_the_default_file_of_the_repository_byte_for_byte() {
    let output = signalcore(Path::new("/"), &["init", "--output", "-"]);
    assert_eq!(stdout(&output), DEFAULT_FILE);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn the_default_file_parses_to_the_default_configuration() {
    use crate::setup::Setup;
    assert_eq!(Setup::with_file(DEFAULT_FILE).loaded().config, Setup::with_file("").loaded().config);
}

#[test]
fn every_setting_that_is_commented_out_in_the_default_file_is_right_as_it_stands() {
    use crate::setup::Setup;
    let is_setting = |line: &&str| {
        line.starts_with("[[") || line.split_once(" = ").is_some_and(|(name, _)| !name.contains([' ', '`']))
    };
    let uncommented: Vec<_> = DEFAULT_FILE
        .lines()
        .map(|line| line.strip_prefix("# ").filter(is_setting).unwrap_or(line))
        .filter(|line| {
            !["password_file", "tls_", "user_agent", "cookie"].iter().any(|name| line.starts_with(name))
        })
        .collect();
    let config = Setup::with_file(uncommented.join("\n")).loaded().config;
    assert_eq!((config.pools.len(), config.pools[0].proxy.is_some()), (1, true));
    assert_eq!((config.nodes.len(), config.nodes[0].zmq.len(), config.solo.payouts.len()), (1, 1, 1));
    assert_eq!((config.stratum.suggest_difficulty, config.stop.shares), (Suggestion::Auto, Some(100)));
}

#[test]
fn init_writes_the_users_file_once_and_overwrites_it_only_by_force() {
    let home = TempDir::new().unwrap();
    let file = home.path().join(".config/signalcore/config.toml");
    let written = signalcore(home.path(), &["init"]);
    assert_eq!(stdout(&written), format!("wrote {}\n", file.display()));
    assert_eq!(written.status.code(), Some(0));
    std::fs::write(&file, "[cpu]\npin = true\n").unwrap();

    let refused = signalcore(home.path(), &["init"]);
    let words = "is there already; --force overwrites it, --output FILE writes elsewhere";
    assert_eq!(stderr(&refused), format!("{} {words}\n", file.display()));
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "[cpu]\npin = true\n");

    assert_eq!(signalcore(home.path(), &["init", "--force"]).status.code(), Some(0));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), DEFAULT_FILE);
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_a_file_that_init_wrote() {
    use std::os::unix::fs::PermissionsExt;
    let home = TempDir::new().unwrap();
    let file = home.path().join("new/miner.toml");
    assert!(signalcore(home.path(), &["init", "--output", file.to_str().unwrap()]).status.success());
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn init_without_a_home_asks_for_a_file() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signalcore"));
    let output = command.env_clear().args(["config", "init"]).output().unwrap();
    assert_eq!(
        stderr(&output),
        "signalcore: no home directory to write to; name a file with --output FILE\n"
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn check_says_ok_with_the_files_read() {
    let home = TempDir::new().unwrap();
    let file = home.path().join("a.toml");
    std::fs::write(&file, "").unwrap();
    let output = signalcore(home.path(), &["check", "--config", file.to_str().unwrap()]);
    assert_eq!(stdout(&output), format!("ok: {}\n", file.display()));
    assert_eq!(output.status.code(), Some(0));
    let output = signalcore(home.path(), &["check", "--json", "--config", file.to_str().unwrap()]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["ok"], &json["files"][0]), (&true.into(), &file.to_str().unwrap().into()));
}

#[test]
fn check_and_show_print_every_mistake_and_exit_with_78() {
    let home = TempDir::new().unwrap();
    let file = home.path().join("a.toml");
    std::fs::write(&file, "[cpu]\npin = 1\nthreds = 1\n").unwrap();
    let name = file.to_str().unwrap();
    for action in ["check", "show"] {
        let output = signalcore(home.path(), &[action, "--config", name]);
        assert_eq!(stderr(&output).lines().count(), 2);
        assert!(
            stderr(&output).starts_with(&format!("{name}:2: cpu.pin: found 1, expected true or false; "))
        );
        assert_eq!((stdout(&output), output.status.code()), ("", Some(78)));
    }
    let output = signalcore(home.path(), &["check", "--json", "--config", name]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["ok"], false);
    assert_eq!(json["problems"][1]["file"], name);
    assert_eq!(json["problems"][1]["line"], 3);
    assert_eq!(json["problems"][1]["remedy"], "did you mean threads?");
    assert_eq!(output.status.code(), Some(78));
}

#[test]
fn show_prints_the_effective_configuration() {
    let home = TempDir::new().unwrap();
    let output = signalcore(home.path(), &["show"]);
    assert!(stdout(&output).contains("threads = \"auto\"  # default\n"));
    let json: Value = serde_json::from_slice(&signalcore(home.path(), &["show", "--json"]).stdout).unwrap();
    assert_eq!(json["settings"]["cpu.threads"]["origin"], "default");
}

#[test]
fn every_help_text_has_examples() {
    for action in ["check", "show", "init"] {
        let output = signalcore(Path::new("/"), &[action, "--help"]);
        assert!(stdout(&output).contains("Examples:\n  signalcore config "), "{action}");
        assert_eq!(output.status.code(), Some(0));
    }
    assert_eq!(signalcore(Path::new("/"), &["check", "--nonsense"]).status.code(), Some(2));
}
