//! `signalcore-hil virtual` as a driver meets it: links that are opened, bytes over a pseudo-terminal, signals.
#![cfg(unix)] // pseudo-terminals
#![allow(clippy::unwrap_used)] // all of this file is a test, also what clippy does not see as one

use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Read, Write},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    termios::{OptionalActions, tcgetattr, tcsetattr},
};
use serde_json::Value;

#[path = "virtual_board/frames.rs"]
mod frames;
use frames::{bytes, command, zero_bits};

/// Far more than any answer takes.
const PATIENCE: Duration = Duration::from_secs(30);

struct Program {
    child: Child,
    output: BufReader<ChildStdout>,
    link: PathBuf,
    ports: usize,
}

impl Program {
    fn start(name: &str, board: &str, args: &[&str]) -> Self {
        Self::start_at(4, name, board, args)
    }

    fn start_at(zero_bits: u32, name: &str, board: &str, args: &[&str]) -> Self {
        let link = scratch(name);
        let mut child = Command::new(env!("CARGO_BIN_EXE_signalcore-hil"))
            .args(["virtual", "--json", "--board", board, "--zero-bits", &zero_bits.to_string(), "--link"])
            .arg(&link)
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut program = Self { child, output, link, ports: if board == "gamma" { 2 } else { 1 } };
        for _ in 0..program.ports {
            assert_eq!(program.line()["event"], "port");
        }
        program
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "the program ended");
        serde_json::from_str(&line).unwrap()
    }

    fn path(&self, port: &str) -> PathBuf {
        PathBuf::from(format!("{}{}", self.link.display(), if self.ports == 2 { port } else { "" }))
    }

    fn open(&self, port: &str) -> Host {
        let file = OpenOptions::new().read(true).write(true).open(self.path(port)).unwrap();
        Host { file }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

/// A name of a file of this run.
fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("signalcore-virtual-{}-{name}", std::process::id()))
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended in most tests.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// A driver's end.
struct Host {
    file: File,
}

impl Host {
    fn send(&mut self, frame: &[u8]) {
        self.file.write_all(frame).unwrap();
        sleep(Duration::from_millis(5));
    }

    fn set_speed(&self, baud: u32) {
        let mut settings = tcgetattr(&self.file).unwrap();
        settings.set_speed(baud).unwrap();
        tcsetattr(&self.file, OptionalActions::Now, &settings).unwrap();
    }

    /// What comes within this time, at most `count` bytes.
    fn receive(&mut self, count: usize, patience: Duration) -> Vec<u8> {
        let (mut received, end) = (Vec::new(), Instant::now() + patience);
        while received.len() < count {
            let left = end.saturating_duration_since(Instant::now());
            let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            if poll(&mut [PollFd::new(&self.file, PollFlags::IN)], Some(&left)).unwrap() == 0 {
                break;
            }
            let mut buffer = vec![0; count - received.len()];
            let read = self.file.read(&mut buffer).unwrap();
            received.extend(&buffer[..read]);
        }
        received
    }

    fn is_silent(&mut self) -> bool {
        self.receive(1, Duration::from_millis(150)).is_empty()
    }
}

const JOB: &str = "55 AA 21 56 68 01 00 00 00 00 04 3A 02 17 D7 68 54 68 55 19 A7 CB 04 4F 88 72 63 55 91 9E 61 A9 8B CF 71 A0 \
     C2 87 95 EA 54 DB 8C 36 41 4B 06 DD F5 F0 00 00 00 00 00 00 00 00 96 52 01 00 1D 39 96 BC A3 F4 67 0D FC D4 F2 01 C1 62 \
     B9 6D FD 55 64 6B 00 00 00 20 72 1C";
/// Its header; version and nonce are filled in.
const HEADER: &str = "00000020fd55646bc162b96dfcd4f201a3f4670d1d3996bc96520100000000000000000006ddf5f08c36414b95ea54db71a0\
     c28761a98bcf6355919e044f88725519a7cbd7685468043a021700000000";

/// ESP-Miner bm1370.c for one chip, after the id was read.
const BRING_UP: [&str; 16] = [
    "51 09 00 A8 00 07 00 00",
    "51 09 00 18 F0 00 C1 00",
    "53 05 00 00",
    "40 05 00 00",
    "51 09 00 3C 80 00 8B 00",
    "51 09 00 3C 80 00 80 0C",
    "51 09 00 14 00 00 00 FF",
    "51 09 00 58 00 01 11 11",
    "41 09 00 A8 00 07 01 F0",
    "41 09 00 18 F0 00 C1 00",
    "41 09 00 3C 80 00 82 AA",
    "51 09 00 B9 00 00 44 80",
    "51 09 00 54 00 00 00 02",
    "51 09 00 3C 80 00 8D EE",
    "51 09 00 08 40 A8 02 30",
    "51 09 00 10 00 00 1E B5",
];

/// Brings the chip of an open data port to life and gives it a job.
fn begin(host: &mut Host) {
    for _ in 0..3 {
        host.send(&command("51 09 00 A4 90 00 FF FF"));
    }
    host.send(&command("52 05 00 00"));
    assert_eq!(host.receive(11, PATIENCE), bytes("AA 55 13 70 00 00 00 00 00 00 10"));
    for frame in BRING_UP {
        host.send(&command(frame));
    }
    host.send(&bytes(JOB));
}

/// Brings the chip of an open data port to life, gives it a job and checks so many nonces.
fn mine(host: &mut Host, nonces: usize) {
    begin(host);
    for _ in 0..nonces {
        let frame = host.receive(11, PATIENCE);
        assert_eq!((frame.len(), frame[10] & 0xe0), (11, 0x80), "{frame:02x?}");
        let version = u32::from(u16::from_be_bytes([frame[8], frame[9]])) << 13;
        let mut header = bytes(HEADER);
        header[..4].copy_from_slice(&(0x2000_0000 | version).to_le_bytes());
        header[76..].copy_from_slice(&frame[2..6]);
        assert!(zero_bits(&header) >= 4 + 8, "{frame:02x?}");
    }
}

#[test]
fn a_bare_chain_is_silent_then_brought_to_life_and_its_nonces_hash_right() {
    let mut program = Program::start("chain", "bm1370", &["--nonces-per-second", "40"]);
    let mut host = program.open("");
    assert!(host.is_silent());
    mine(&mut host, 30);
    let told = std::iter::repeat_with(|| program.line()).find(|line| line["event"] == "nonce").unwrap();
    assert!(told["at_ms"].is_u64() && told["zero_bits"].as_u64().unwrap() >= 12, "{told}");
    program.signal("-INT");
    assert_eq!(program.child.wait().unwrap().code(), Some(0));
    assert!(!program.link.is_symlink(), "the link is left behind");
}

/// Header and answer of a real Bitaxe Gamma to this job (mujina `test_data.rs`).
const SOLVED: &str = "0040b420fd55646bc162b96dfcd4f201a3f4670d1d3996bc96520100000000000000000006ddf5f08c36414b95ea54db71a0\
     c28761a98bcf6355919e044f88725519a7cbd7685468043a02174c035275";
const ANSWER: &str = "AA 55 4C 03 52 75 0C D2 05 A2 9C";

#[test]
fn a_captured_job_is_answered_as_the_real_chip_did_byte_for_byte_and_with_nothing_else() {
    let file = scratch("solved");
    std::fs::write(&file, format!("# of a Gamma\n\n{}\n", SOLVED.to_uppercase())).unwrap();
    let arguments = ["--scale", "0", "--replay", file.to_str().unwrap()];
    let mut program = Program::start_at(32, "replay", "bm1370", &arguments);
    let mut host = program.open("");
    assert!(host.is_silent());
    begin(&mut host);
    assert_eq!(host.receive(11, PATIENCE), bytes(ANSWER));
    let told = std::iter::repeat_with(|| program.line()).find(|line| line["event"] == "nonce").unwrap();
    assert_eq!((&told["nonce"], &told["zero_bits"]), (&"4c035275".into(), &46.into()));
    std::fs::remove_file(file).unwrap();
}

#[test]
fn a_file_of_solved_headers_that_is_none_is_refused_with_its_line() {
    let (file, link) = (scratch("unsolved"), scratch("unlinked"));
    let refused = |text: Option<&str>| {
        _ = text.map(|text| std::fs::write(&file, text).unwrap());
        let ended = Command::new(env!("CARGO_BIN_EXE_signalcore-hil"))
            .args(["virtual", "--board", "bm1370", "--link", link.to_str().unwrap(), "--replay"])
            .arg(&file)
            .output()
            .unwrap();
        assert_eq!(ended.status.code(), Some(1));
        String::from_utf8(ended.stderr).unwrap()
    };
    assert!(refused(None).contains("--replay") && refused(None).contains("No such file"));
    let said = refused(Some("# two digits too few\n\n00\n"));
    assert!(said.contains("line 3"), "{said}");
    assert!(refused(Some(&"0".repeat(2 << 20))).contains("longer than 1048576 bytes"));
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn a_gamma_has_two_ports_and_is_dead_until_it_is_powered_and_reset_over_the_first() {
    let program = Program::start("gamma", "gamma", &["--nonces-per-second", "40"]);
    let (mut control, mut host) = (program.open("-control"), program.open("-data"));
    host.send(&command("52 05 00 00"));
    assert!(host.is_silent());
    for request in ["0A 00 03 00 05 20 24 21 4D 02", "09 00 04 00 05 20 24 01 80", "07 00 02 00 06 00 01"] {
        control.send(&bytes(request));
        assert_eq!(control.receive(4, PATIENCE)[..2], [1, 0], "{request}");
    }
    sleep(Duration::from_millis(200));
    mine(&mut host, 10);
}

#[test]
fn the_speed_of_the_terminal_counts_and_a_wrong_one_is_not_heard() {
    let program = Program::start("speed", "bm1370", &[]);
    let mut host = program.open("");
    host.set_speed(57_600);
    host.send(&command("52 05 00 00"));
    assert!(host.is_silent());
    host.set_speed(115_200);
    host.send(&command("52 05 00 00"));
    assert_eq!(host.receive(9, PATIENCE).len(), 9);
    host.send(&command("51 09 00 28 11 30 02 00"));
    sleep(Duration::from_millis(50));
    host.send(&command("52 05 00 00"));
    assert!(host.is_silent(), "still at the old speed");
    host.set_speed(1_000_000);
    host.send(&command("52 05 00 00"));
    assert_eq!(host.receive(9, PATIENCE), bytes("AA 55 13 70 00 00 00 00 06"));
}

#[test]
fn a_stick_that_is_opened_again_is_as_after_power_on() {
    let program = Program::start("stick", "compac-f", &[]);
    let mut host = program.open("");
    for frame in ["53 05 00 00", "40 05 12 00", "51 09 00 18 00 00 60 31"] {
        host.send(&command(frame));
    }
    drop(host);
    sleep(Duration::from_millis(300));
    let mut host = program.open("");
    host.set_speed(115_200);
    host.send(&command("52 05 00 00"));
    assert_eq!(host.receive(9, PATIENCE), bytes("AA 55 13 97 18 00 00 00 06"));
}

#[test]
fn an_unplugged_board_hangs_up_and_takes_its_links_along_until_it_is_back() {
    let mut program = Program::start("unplug", "gamma", &["--fault", "unplug@1+1"]);
    let mut control = program.open("-control");
    control.send(&bytes("06 00 01 00 06 00"));
    assert_eq!(control.receive(4, PATIENCE), [1, 0, 1, 0]);
    while program.line()["event"] != "unplugged" {}
    let gone = control.file.read(&mut [0; 1]);
    assert!(gone.as_ref().is_err() || gone.is_ok_and(|count| count == 0));
    while program.line()["event"] != "plugged" {}
    let end = Instant::now() + PATIENCE;
    while !program.path("-control").exists() && Instant::now() < end {
        sleep(Duration::from_millis(10));
    }
    let mut control = program.open("-control");
    control.send(&bytes("06 00 02 00 06 00"));
    assert_eq!(control.receive(4, PATIENCE), [1, 0, 2, 0]);
}

#[test]
fn several_boards_have_a_port_each_and_tell_which_of_them_it_was_and_when_on_a_shared_clock() {
    let mut program = Program::start("several", "bm1370", &["--count", "3"]);
    let others = [program.line(), program.line()];
    assert_eq!(others.each_ref().map(|port| port["board"].as_u64()), [Some(1), Some(2)]);
    assert!(others.iter().all(|port| port["started"].as_f64().is_some_and(|seconds| seconds > 0.0)));
    sleep(Duration::from_millis(100)); // chips are not up at once
    for index in 0..3 {
        let path = format!("{}-{index}", program.link.display());
        let mut host = Host { file: OpenOptions::new().read(true).write(true).open(path).unwrap() };
        host.send(&command("52 05 00 00"));
        assert_eq!(host.receive(9, PATIENCE), bytes("AA 55 13 70 00 00 00 00 06"), "board {index}");
        host.send(&command("40 05 12 00"));
        let told = std::iter::repeat_with(|| program.line()).find(|line| line["event"] == "address").unwrap();
        assert_eq!((told["board"].as_u64(), told["address"].as_u64()), (Some(index), Some(0x12)), "{told}");
        assert!(told["at_us"].as_u64() >= told["at_ms"].as_u64().map(|milliseconds| milliseconds * 1000));
    }
    program.signal("-INT");
    assert_eq!(program.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_name_in_use_is_refused_and_one_that_leads_nowhere_is_taken() {
    let first = Program::start("name", "icarus", &[]);
    let mut second = Command::new(env!("CARGO_BIN_EXE_signalcore-hil"))
        .args(["virtual", "--board", "icarus", "--link"])
        .arg(&first.link)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(second.wait().unwrap().code(), Some(1));
    let mut said = String::new();
    second.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("choose another --link"), "{said}");
    first.signal("-TERM");
    drop(first);
    let left_over = scratch("left");
    std::os::unix::fs::symlink("/dev/pts/none", &left_over).unwrap();
    let third = Program::start("left", "icarus", &[]);
    let mut host = third.open("");
    host.send(&bytes(
        "4679ba4ec99876bf4bfe086082b400254df6c356451471139a3afa71e48f544a 0000000000000000000000000000000000000000
         87320b1a1426674f2fa722ce",
    ));
    assert_eq!(host.receive(4, PATIENCE), bytes("00 01 87 a2"));
}

#[test]
fn more_nonces_than_this_computer_may_hash_for_are_refused_with_what_would_help() {
    let link = scratch("dear");
    let ended = Command::new(env!("CARGO_BIN_EXE_signalcore-hil"))
        .args(["virtual", "--board", "bm1370", "--nonces-per-second", "20", "--zero-bits", "20", "--link"])
        .arg(&link)
        .output()
        .unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("takes 2.1e7 hashes a second, and --hashes-per-second allows 1.0e6"), "{said}");
}
