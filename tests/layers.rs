//! Rule 1 as a test: arrows point down. What each module may name is one table; the rest reads the sources against it.
#![allow(clippy::unwrap_used)] // all of this file is a test, also what clippy does not see as one

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

#[path = "support/rust_paths.rs"]
mod rust_paths;
use rust_paths::{Named, named, test_modules};

const PURE: &[&str] = &[];
const SHELL: &[&str] =
    &["clock", "std::env", "std::fs", "std::io", "std::net", "std::process", "std::thread", "tokio"];

/// A module under `src/`; the modules and crates of ours, and the crates kept to few places, that it may name; how it
/// may reach outside. From bottom to top: a row names only rows above it here. The row of a module inside another adds
/// to that of the outer one.
const MAY_USE: &[(&str, &[&str], &[&str])] = &[
    ("clock", &[], &["clock", "tokio"]),
    ("priority", &[], PURE),
    ("work", &[], PURE),
    ("work::payout", &["bitcoin"], PURE),
    ("work::template::raw_transaction", &["bitcoin"], PURE), // its tests, as the other reader
    ("work::coinbase_builder", &["bitcoin"], PURE),
    ("work::block", &["bitcoin"], PURE),
    ("protocol", &["work"], PURE),
    ("protocol::payout_watch", &["bitcoin"], PURE),
    ("protocol::solo_session", &["bitcoin"], PURE),
    ("validate", &["work", "bitcoin"], PURE),
    ("validate::fields", &["protocol"], PURE), // what is printable
    ("validate::after", &["protocol"], PURE),
    ("config", &["bitcoin"], PURE),
    ("config::solo", &["work"], PURE),
    ("config::environment", &[], &["std::env"]),
    ("config::files", &["rustls"], &["std::fs", "std::io"]),
    ("memory", &["protocol", "signalcore_drivers"], SHELL),
    ("upstream", &["clock", "work", "protocol", "validate", "memory"], SHELL),
    ("upstream::node::rpc", &["reqwest"], SHELL),
    ("upstream::retry", &["backoff"], PURE),
    ("upstream::proxy", &["tokio_socks"], PURE),
    ("upstream::tls", &["rustls", "rustls_native_certs", "tokio_rustls"], PURE),
    ("decision", &["work"], PURE),
    ("model", &[], PURE),
    ("model::features", &["decision"], PURE),
    ("model::learned", &["decision"], PURE),
    ("model::attempts", &["backoff"], PURE),
    ("model::sandbox", &["priority"], &["std::env", "std::fs", "std::io", "std::process"]),
    ("model::process", &["clock", "protocol"], SHELL),
    ("model::http", &["reqwest"], &["tokio"]),
    ("model::backend", &["clock"], PURE),
    ("model::task", &["clock", "priority"], &["std::io", "std::thread", "tokio"]),
    ("replay", &["decision", "model"], PURE),
    ("engine", &["work", "validate", "decision", "model", "signalcore_drivers"], PURE),
    ("engine::task", &["clock", "upstream", "replay"], &["tokio"]),
    (
        "monitor",
        &["work", "protocol", "validate", "decision", "model", "replay", "engine", "upstream", "bitcoin"],
        SHELL,
    ),
    ("monitor::boards", &["signalcore_drivers"], PURE),
    (
        "wiring",
        &[
            "bitcoin",
            "work",
            "protocol",
            "validate",
            "config",
            "memory",
            "upstream",
            "decision",
            "model",
            "replay",
            "engine",
            "monitor",
            "priority",
            "signalcore_drivers",
        ],
        SHELL,
    ),
    ("lib", &[], PURE),
    (
        "cli",
        &[
            "work",
            "protocol",
            "validate",
            "config",
            "upstream",
            "model",
            "engine",
            "monitor",
            "wiring",
            "signalcore_drivers",
        ],
        SHELL,
    ),
    ("cli::validate::input", &["bitcoin"], PURE), // addresses
    ("cli::replay", &["decision", "replay"], PURE),
    ("cli::model::bench", &["replay"], PURE), // its seeded chance
    ("cli::replay::asker", &[], &["clock", "tokio"]),
    ("cli::demo", &["signalcore_hil"], PURE),
    ("main", &["cli"], SHELL),
];

/// Crates that only the rows naming them may use.
const WATCHED_CRATES: &[&str] = &[
    "backoff",
    "bitcoin",
    "rustls",
    "rustls_native_certs",
    "reqwest",
    "signalcore_drivers",
    "signalcore_hil",
    "tokio",
    "tokio_rustls",
    "tokio_socks",
];

/// What of `std::net` is a value and reaches nothing.
const ADDRESSES: &[&str] =
    &["AddrParseError", "IpAddr", "Ipv4Addr", "Ipv6Addr", "SocketAddr", "SocketAddrV4", "SocketAddrV6"];

/// A crate of ours besides the root, and the packages that it may neither depend on nor name.
const NEVER: &[(&str, &[&str])] = &[
    ("drivers", &["signalcore", "signalcore-hil"]),
    // What judges a driver shares no code with it.
    ("hil", &["signalcore", "signalcore-drivers"]),
];

#[test]
fn every_module_names_only_what_is_below_it() {
    let sources = Source::all_below(&root().join("src"));
    assert!(sources.iter().any(|source| source.module == ["work"]), "src/work is not where this test looks");
    let violations: Vec<_> = sources.iter().flat_map(|source| violations(source, &sources)).collect();
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

#[test]
fn the_table_points_down() {
    for (at, (module, ours, _)) in MAY_USE.iter().enumerate() {
        for name in ours.iter().filter(|name| !WATCHED_CRATES.contains(name)) {
            let below = MAY_USE[..at].iter().any(|(row, ..)| row == name);
            assert!(below, "{module} may name {name}, which is not below it");
        }
    }
}

#[test]
fn the_other_crates_know_nothing_above_them() {
    for (folder, never) in NEVER {
        let folder = root().join(folder);
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let mut found: Vec<_> =
            dependencies(&manifest).into_iter().filter(|package| never.contains(&package.as_str())).collect();
        for source in Source::all_below(&folder) {
            let mentions = |path: &&Named<'_>| never.contains(&path.segments[0].replace('_', "-").as_str());
            found.extend(named(&source.text).iter().filter(mentions).map(|path| path.at(&source)));
        }
        assert!(found.is_empty(), "{} may not use {}: {found:?}", folder.display(), never.join(", "));
    }
}

/// Folders of other crates that hold state machines and data, without clock and I/O, and the files in them that are
/// shells around these.
const PURE_ELSEWHERE: &[(&str, &[&str])] = &[
    ("drivers/bitaxe", &["shell.rs"]),
    ("drivers/bm13xx", &["board.rs"]),
    ("drivers/gekko", &["shell.rs"]),
    ("drivers/icarus", &["shell.rs"]),
    ("hil/bench", &["known_pool.rs", "miner.rs", "player.rs", "runner.rs"]),
    ("drivers/scanner", &["shell.rs"]),
    ("hil/virtual_board", &["pty.rs", "shell.rs"]),
];

#[test]
fn what_is_pure_in_the_other_crates_reaches_nothing_outside() {
    for (folder, shells) in PURE_ELSEWHERE {
        let sources = Source::all_below(&root().join(folder));
        assert!(sources.len() > 1, "{folder} is not where this test looks");
        let is_shell =
            |source: &&Source| shells.iter().any(|shell| source.file == format!("{folder}/{shell}"));
        let mut found = Vec::new();
        for source in sources.iter().filter(|source| !is_shell(source) && !source.is_test(&sources)) {
            let outside = |path: &Named<'_>| {
                path.thing(&source.module).is_some_and(|thing| SHELL.contains(&thing.as_str()))
            };
            found.extend(
                named(&source.text)
                    .iter()
                    .filter(|path| !path.test && outside(path))
                    .map(|path| path.at(source)),
            );
        }
        assert!(found.is_empty(), "{folder} may not use a clock or I/O: {found:?}");
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The packages a manifest depends on, for building, testing and any platform, under their real names.
fn dependencies(manifest: &str) -> Vec<String> {
    fn collect(table: &DeTable<'_>, found: &mut Vec<String>) {
        for (key, value) in table {
            let DeValue::Table(value) = value.get_ref() else { continue };
            match key.get_ref().as_ref() {
                "dependencies" | "dev-dependencies" | "build-dependencies" => {
                    for (name, dependency) in value {
                        let package = match dependency.get_ref() {
                            DeValue::Table(dependency) => dependency.get("package"),
                            _ => None,
                        };
                        let renamed = package.and_then(|package| package.get_ref().as_str());
                        found.push(renamed.unwrap_or(name.get_ref()).to_owned());
                    }
                }
                _ => collect(value, found),
            }
        }
    }
    let mut found = Vec::new();
    collect(DeTable::parse(manifest).unwrap().get_ref(), &mut found);
    found
}

/// A source file and the path of its module from the root of its crate.
struct Source {
    file: String,
    module: Vec<String>,
    text: String,
}

impl Source {
    /// Every `.rs` file below a folder of ours, in order.
    fn all_below(folder: &Path) -> Vec<Self> {
        let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let mut sources = Vec::new();
        for path in paths {
            if path.is_dir() {
                sources.extend(Self::all_below(&path));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let file = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
                sources.push(Self::new(&file, fs::read_to_string(&path).unwrap()));
            }
        }
        sources
    }

    fn new(file: &str, text: impl Into<String>) -> Self {
        let inside = file.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
        Self {
            file: file.to_owned(),
            module: inside.split('/').map(str::to_owned).collect(),
            text: text.into(),
        }
    }

    /// Whether the file is compiled for tests alone: another one declares it, or a module around it, so.
    fn is_test(&self, all: &[Self]) -> bool {
        let declares = |other: &Self| {
            let inner = self.module.strip_prefix(other.module.as_slice());
            inner.is_some_and(|inner| {
                !inner.is_empty() && test_modules(&other.text).contains(&inner[0].as_str())
            })
        };
        all.iter().any(declares)
    }
}

/// What a source names and its module may not, each as a line for a person.
fn violations(source: &Source, all: &[Source]) -> Vec<String> {
    let rows: Vec<_> = MAY_USE.iter().filter(|(row, ..)| holds(row, &source.module)).collect();
    if !rows.iter().any(|(row, ..)| *row == source.module[0]) {
        let Source { file, module, .. } = source;
        return vec![format!("{file}: the module {} is not in the table of tests/layers.rs", module[0])];
    }
    let may: BTreeSet<&str> =
        rows.iter().flat_map(|(_, ours, outside)| ours.iter().chain(*outside)).copied().collect();
    let list = may.iter().copied().collect::<Vec<_>>().join(", ");
    let list = if may.is_empty() { "nothing of ours, no clock, no I/O" } else { &list };
    let in_test_file = source.is_test(all);
    let mut found = Vec::new();
    for path in named(&source.text) {
        let Some(thing) = path.thing(&source.module) else { continue };
        let of_std = thing == "clock" || thing.starts_with("std::");
        let fine = may.contains(thing.as_str())
            || thing == source.module[0]
            || of_std && (path.test || in_test_file);
        if !fine {
            let (place, module) = (path.at(source), source.module.join("::"));
            found.push(format!("{place}, which is {thing}; {module} may use: {list}"));
        }
    }
    found
}

/// Whether a row is for this module or one around it.
fn holds(row: &str, module: &[String]) -> bool {
    let row: Vec<_> = row.split("::").collect();
    module.len() >= row.len() && row.iter().zip(module).all(|(a, b)| a == b)
}

impl Named<'_> {
    fn at(&self, source: &Source) -> String {
        format!("{}:{} names {}", source.file, self.line, self.segments.join("::"))
    }

    /// The entry of the table that a module needs for this path, `None` when it needs none.
    fn thing(&self, module: &[String]) -> Option<String> {
        let thing = match self.segments[..] {
            ["crate" | "signalcore", ours, ..] => ours,
            ["self" | "super", ..] => return self.relative(module),
            ["std", "net", name, ..] if ADDRESSES.contains(&name) => return None,
            ["std", name, ..] if SHELL.contains(&format!("std::{name}").as_str()) => {
                return Some(format!("std::{name}"));
            }
            [name, ..] if WATCHED_CRATES.contains(&name) => name,
            [name, ..] if name.starts_with("tokio_") => "tokio",
            [.., "Instant" | "SystemTime", "now"] | [".", "elapsed"] => "clock",
            _ => return None,
        };
        Some(thing.to_owned())
    }

    /// The top module of ours that a path from `self` or `super` leads to.
    fn relative(&self, module: &[String]) -> Option<String> {
        let mut path: Vec<&str> =
            module.iter().map(String::as_str).chain(self.inner.iter().copied()).collect();
        for segment in &self.segments {
            match *segment {
                "self" => {}
                "super" => drop(path.pop()),
                name => path.push(name),
            }
        }
        path.first().map(|top| (*top).to_owned())
    }
}

/// What the checker says about one file on its own.
fn judged(file: &str, text: &str) -> Vec<String> {
    violations(&Source::new(file, text), &[])
}

#[test]
fn a_name_from_above_is_caught_with_its_place_and_what_is_allowed() {
    let text = "use std::fmt;\n\nuse crate::engine::Engine;\n";
    let said =
        "src/protocol/line.rs:3 names crate::engine::Engine, which is engine; protocol::line may use: work";
    assert_eq!(judged("src/protocol/line.rs", text), [said]);
    assert_eq!(judged("src/protocol/line.rs", "use crate::work::Job;"), [""; 0]);
    let nothing = "src/work/job.rs:1 names crate::protocol::X, which is protocol; \
                   work::job may use: nothing of ours, no clock, no I/O";
    assert_eq!(judged("src/work/job.rs", "use crate::protocol::X;"), [nothing]);
}

#[test]
fn every_way_to_write_a_forbidden_path_is_caught() {
    let ways = [
        "use crate::{work::Job, engine::{self, meter}};",
        "use crate::*;",
        "use crate::engine as e;",
        "pub(super) use super::super::engine::Engine;",
        "use super::{line, super::engine};",
        "mod inner { use super::super::super::engine::X; }",
        "fn f() { crate::engine::run() }",
        "fn f(x: &'static str, y: Vec<crate::engine::X>) {}",
        "const C: char = '\"'; use signalcore::engine;",
        "use std::{fmt, fs};",
        "use ::std::net::{IpAddr, TcpStream};",
        "use std::net;",
        "fn f() { let now = std::time::Instant::now(); }",
        "fn f() -> u64 { SystemTime::now() }",
        "fn f(start: Instant) { start.elapsed(); }",
        "use tokio::sync::mpsc;",
        "#[tokio::main] async fn f() {}",
        "use tokio_stream::StreamExt;",
        "use signalcore_drivers::ChipJob;",
        "#[cfg(not(test))] use std::fs;",
        "#[cfg(test)] mod tests { use crate::engine::Engine; }",
        "#[cfg(test)] use x; use std::fs;",
    ];
    for way in ways {
        assert!(!judged("src/protocol/line.rs", way).is_empty(), "{way}");
    }
}

#[test]
fn what_only_looks_forbidden_passes() {
    let text = r##"
        //! `crate::engine` /* stays a comment
        /* crate::engine /* std::fs */ tokio::spawn */
        use std::net::{IpAddr, SocketAddr};
        use std::time::{Duration, Instant};
        const TEXT: &str = "crate::engine \" std::fs";
        const RAW: &[u8] = br#"crate::engine " std::fs"#;
        fn f<'a>(x: &'a str) -> impl Iterator<Item = &'a str> + use<'a> { g('\'', '"', self::engine::X) }
    "##;
    assert_eq!(judged("src/protocol/line.rs", text), [""; 0]);
}

#[test]
fn tests_may_use_all_of_std_and_no_more_of_ours() {
    let test = "#[cfg(test)]\nmod tests { fn f() { std::fs::read(\"x\"); Instant::now(); } }";
    assert_eq!(judged("src/work/job.rs", test), [""; 0]);
    let outer = Source::new("src/work/share.rs", "#[cfg(test)] mod tests;");
    let inner = Source::new("src/work/share/tests.rs", "use std::fs; use crate::engine::X;");
    assert_eq!(violations(&inner, &[]).len(), 2);
    let said = "src/work/share/tests.rs:1 names crate::engine::X, which is engine; \
                work::share::tests may use: nothing of ours, no clock, no I/O";
    assert_eq!(violations(&inner, &[outer]), [said]);
}

#[test]
fn what_one_module_may_its_neighbours_may_not() {
    let shell = "use tokio::time; use crate::upstream::Command; use crate::work::Job;";
    assert_eq!(judged("src/engine/task.rs", shell), [""; 0]);
    assert_eq!(judged("src/engine/mod.rs", shell).len(), 2);
    assert_eq!(judged("src/cli/demo.rs", "use signalcore_hil::pool;"), [""; 0]);
    assert_eq!(judged("src/cli/run.rs", "use signalcore_hil::pool;").len(), 1);
    assert_eq!(judged("src/wiring.rs", "use crate::cli::exit;").len(), 1);
}

#[test]
fn a_module_without_a_row_is_named() {
    let said = "src/novel/mod.rs: the module novel is not in the table of tests/layers.rs";
    assert_eq!(judged("src/novel/mod.rs", ""), [said]);
    assert_eq!(judged("src/novel.rs", "").len(), 1);
}

#[test]
fn dependencies_are_found_wherever_a_manifest_has_them() {
    let manifest = "[dependencies]\na = '1'\n[target.'cfg(unix)'.dev-dependencies]\nb.workspace = true\n\
                    [build-dependencies]\nc = { path = '..', package = 'signalcore' }";
    let mut found = dependencies(manifest);
    found.sort();
    assert_eq!(found, ["a", "b", "signalcore"]);
}
