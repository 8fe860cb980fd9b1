//! A hostile program in the sandbox: what it tries, and that each of it is refused.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use signalcore::model::sandbox::{Level, Plan, Report, SUBCOMMAND};

use crate::support::Script;

const HOSTILE: &str = include_str!("hostile.py");

fn plan(script: &Script, scratch: &Path, more: &[&str]) -> Plan {
    let mut argv = vec!["/usr/bin/env".to_owned(), "python3".to_owned(), "-u".to_owned(), script.path()];
    argv.extend(more.iter().map(ToString::to_string));
    Plan {
        argv,
        scratch: scratch.to_owned(),
        readable: vec![script.path().into()],
        memory: 512 << 20,
        processes: 6,
        cpu_seconds: Some(20),
        network: false,
        allow_ports: Vec::new(),
        require: true,
    }
}

fn run(
    script: &Script,
    change: impl FnOnce(&mut Plan),
    more: &[&str],
) -> (Report, BTreeMap<String, String>, Output) {
    let scratch = tempfile::tempdir().unwrap();
    std::fs::set_permissions(scratch.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let mut plan = plan(script, scratch.path(), more);
    change(&mut plan);
    let mut child = Command::new(env!("CARGO_BIN_EXE_signalcore"))
        .args([SUBCOMMAND, &serde_json::to_string(&plan).unwrap()])
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .current_dir(scratch.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"go\n").ok();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines = text.lines();
    let report = lines.next().and_then(|line| serde_json::from_str(line).ok());
    let report = report.unwrap_or_else(|| panic!("{output:?}"));
    let tried = lines.map(|line| {
        let tried: Value = serde_json::from_str(line).unwrap();
        (tried["try"].as_str().unwrap().to_owned(), tried["result"].as_str().unwrap().to_owned())
    });
    (report, tried.collect(), output)
}

#[test]
fn a_hostile_program_is_refused_all_that_it_tries() {
    let script = Script::new(HOSTILE);
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "secret").unwrap();
    std::fs::set_permissions(secret.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let (report, tried, output) = run(&script, |_| {}, &[secret.path().to_str().unwrap()]);
    assert_eq!(report, Report { sandbox: Level::Full, missing: vec![] }, "does this kernel have Landlock?");
    let refused = [
        "read a file outside",
        "write beside the script",
        "write to /tmp",
        "run a program outside",
        "internet socket",
        "unix socket",
        "raw socket",
        "netlink socket",
        "allocate 2 GiB",
        "fork bomb",
        "ptrace",
        "read another's memory",
        "unshare",
        "new user namespace",
        "mount",
        "bpf",
        "io_uring",
        "userfaultfd",
        "keyctl",
        "kill the parent",
        "limit another",
        "slow another down",
        "bind another to a core",
        "let another rest",
        "open 100 files",
        "write 32 MiB",
        "regain rights",
    ];
    let allowed = ["write to the scratch folder", "pair of sockets", "read the system's files"];
    for (names, expected) in [(&refused[..], "refused"), (&allowed[..], "done")] {
        for name in names {
            let result = tried.get(*name).unwrap_or_else(|| panic!("{name} was not tried: {output:?}"));
            assert!(result.starts_with(expected), "{name}: {result}");
        }
    }
    assert_eq!(tried["scheduling"], "5", "it rests while anybody else has something to do");
    assert_eq!(tried.len(), refused.len() + allowed.len() + 3, "{tried:?}");
    assert_eq!(tried["descriptors"], "0 1 2");
    let environment: Vec<_> = tried["environment"].split(' ').collect();
    assert!(environment.iter().all(|name| ["PATH", "LC_CTYPE"].contains(name)), "{environment:?}");
}

#[test]
fn a_port_that_is_allowed_can_be_reached_and_no_other() {
    let script = Script::new(HOSTILE);
    let open = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let ports = [&open, &other].map(|listener| listener.local_addr().unwrap().port());
    let arguments = ["ports".to_owned(), ports[0].to_string(), ports[1].to_string()];
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let (report, tried, output) = run(&script, |plan| plan.allow_ports = vec![ports[0]], &arguments);
    assert_eq!(report.sandbox, Level::Full);
    assert!(tried[&format!("connect to {}", ports[0])].starts_with("done"), "{output:?}");
    assert!(tried[&format!("connect to {}", ports[1])].starts_with("refused"), "{output:?}");
    assert!(tried["datagram socket"].starts_with("refused"), "{output:?}");
    assert!(tried["listen"].starts_with("refused"), "{output:?}");
}

#[test]
fn a_program_that_is_not_there_is_told() {
    let scratch = tempfile::tempdir().unwrap();
    let script = Script::new("");
    let plan =
        Plan { argv: vec!["/usr/bin/no such program".to_owned()], ..plan(&script, scratch.path(), &[]) };
    let output = Command::new(env!("CARGO_BIN_EXE_signalcore"))
        .args([SUBCOMMAND, &serde_json::to_string(&plan).unwrap()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no such program"), "{output:?}");
}
