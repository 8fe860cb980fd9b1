//! Every input that the fuzzers found worth keeping, run again without them. CONTRIBUTING.md says how to fuzz.
#![allow(clippy::unwrap_used)] // all of this file is a test, also what clippy does not see as one

use std::fs;
use std::path::Path;

#[path = "fuzz/bodies/coinbase.rs"]
mod coinbase;
#[path = "fuzz/bodies/config.rs"]
mod config;
#[path = "fuzz/bodies/journal.rs"]
mod journal;
#[path = "fuzz/bodies/line.rs"]
mod line;
#[path = "fuzz/bodies/message.rs"]
mod message;
#[path = "fuzz/bodies/session.rs"]
mod session;
#[path = "fuzz/bodies/template.rs"]
mod template;
#[path = "fuzz/bodies/zmq.rs"]
mod zmq;

fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no inputs for {target}");
    for path in paths {
        eprintln!("{}", path.display()); // shown when it fails
        run(&fs::read(&path).unwrap());
    }
    run(b"");
}

#[test]
fn lines_are_the_same_however_the_bytes_arrive() {
    replay("line", line::run);
}

#[test]
fn no_line_of_a_pool_passes_a_limit() {
    replay("message", message::run);
}

#[test]
fn whatever_a_pool_says_each_share_ends_once_and_every_rule_holds() {
    replay("session", session::run);
}

#[test]
fn a_coinbase_that_is_read_pays_the_same_for_every_extranonce2() {
    replay("coinbase", coinbase::run);
}

#[test]
fn every_mistake_in_a_configuration_has_a_line_and_what_is_accepted_reads_back() {
    replay("config", config::run);
}

#[test]
fn a_template_that_is_accepted_gives_a_job_and_its_shares_blocks_without_a_fault_of_ours() {
    replay("template", template::run);
}

#[test]
fn a_journal_says_the_same_however_its_bytes_arrive_and_nothing_in_it_does_harm() {
    replay("journal", journal::run);
}

#[test]
fn a_publishers_bytes_give_the_same_notices_however_they_arrive() {
    replay("zmq", zmq::run);
}
