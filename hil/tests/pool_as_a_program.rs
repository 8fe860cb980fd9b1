//! `signalcore-hil pool` as whoever starts it meets it: its standard output and its exit code.
#![cfg(unix)] // it is stopped with SIGTERM
#![allow(clippy::unwrap_used)] // all of this file is a test, also what clippy does not see as one

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

#[path = "support/miner.rs"]
mod miner;
use miner::Miner;

/// Far more than any answer takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// The running program. Its standard output is read only when a test does.
struct Program {
    child: Child,
    output: BufReader<ChildStdout>,
    address: String,
}

impl Program {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_signalcore-hil"))
            .args(["pool", "--json", "--listen", "127.0.0.1:0", "--difficulty", "1e-7", "--refuse", "banned"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut program = Self { child, output, address: String::new() };
        program.line()["address"].as_str().unwrap().clone_into(&mut program.address);
        program
    }

    /// The next line of its standard output.
    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn ask_to_stop(&self) {
        let asked = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(asked.success());
    }

    /// Stops it. Shape: the report that it prints last, and its exit code.
    fn stop(mut self) -> (Value, Option<i32>) {
        self.ask_to_stop();
        let report = loop {
            let line = self.line();
            if line["event"] == "report" {
                break line;
            }
        };
        (report, self.child.wait().unwrap().code())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended in most tests.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

struct Client {
    stream: BufReader<TcpStream>,
    miner: Miner,
}

impl Client {
    fn join(program: &Program) -> Self {
        let stream = TcpStream::connect(&program.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = Self { stream: BufReader::new(stream), miner: Miner::default() };
        client.ask("mining.subscribe", &json!(["test/1"]));
        assert_eq!(client.ask("mining.authorize", &json!(["w", "x"]))["result"], true);
        while client.miner.job.is_none() {
            client.line();
        }
        client
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        assert_ne!(self.stream.read_line(&mut line).expect("the pool answers"), 0, "the pool hung up");
        let line = serde_json::from_str(&line).unwrap();
        self.miner.read(&line);
        line
    }

    /// Sends a request with id 2 so many times at once, and returns the last answer.
    fn ask_often(&mut self, times: usize, method: &str, params: &Value) -> Value {
        let request = json!({ "id": 2, "method": method, "params": params }).to_string() + "\n";
        self.stream.get_mut().write_all(request.repeat(times).as_bytes()).unwrap();
        let answers = std::iter::repeat_with(|| self.line()).filter(|line| line["id"] == 2);
        answers.take(times).last().unwrap()
    }

    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.ask_often(1, method, params)
    }
}

#[test]
fn an_output_that_nobody_reads_holds_up_no_miner_and_lost_lines_are_told() {
    let mut program = Program::start();
    let mut first = Client::join(&program);
    // Each request is an event: more than the pipe and the pool's own memory of 4096 events can take.
    for _ in 0..200 {
        let answer = first.ask_often(50, "mining.authorize", &json!(["banned", "x"]));
        assert_eq!(answer["error"][0], 24);
    }
    let mut second = Client::join(&program);
    let share = second.miner.job().share("w", 0);
    assert_eq!(second.ask("mining.submit", &share)["result"], true);
    let lost = loop {
        let line = program.line();
        if line["event"] == "lost" {
            break line;
        }
    };
    assert!(lost["events"].as_u64().unwrap() > 0);
    assert_eq!(program.stop().0["report"]["total"]["accepted"], 1, "the report is not lost");
}

#[test]
fn the_exit_code_is_0_also_after_a_stale_share() {
    let program = Program::start();
    let mut client = Client::join(&program);
    let job = client.miner.job();
    assert_eq!(client.ask("mining.submit", &job.share("w", 0))["result"], true);
    assert_eq!(client.ask("mining.submit", &job.block("w"))["result"], true);
    while !client.miner.job().clean || client.miner.job().id == job.id {
        client.line();
    }
    assert_eq!(client.ask("mining.submit", &job.share("w", 1))["error"][0], 21);
    let (report, exit_code) = program.stop();
    assert_eq!(exit_code, Some(0), "{report}");
    assert_eq!(report["report"]["total"]["rejected"], json!({ "stale": 1 }));
    assert_eq!(report["report"]["connected"], 1);
}

#[test]
fn the_exit_code_is_1_after_an_invalid_share() {
    let program = Program::start();
    let mut client = Client::join(&program);
    let poor = client.miner.job().poor_share("w");
    assert_eq!(client.ask("mining.submit", &poor)["error"][0], 23);
    assert_eq!(program.stop().1, Some(1));
}

#[test]
fn who_never_reads_the_output_cannot_keep_the_program_from_ending() {
    let mut program = Program::start();
    let mut client = Client::join(&program);
    for _ in 0..40 {
        client.ask_often(50, "mining.authorize", &json!(["banned", "x"]));
    }
    program.ask_to_stop();
    assert_eq!(program.child.wait().unwrap().code(), Some(1), "the report was not printed");
}
