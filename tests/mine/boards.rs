//! Boards on serial ports, as a user runs them: the real miner on the practice pool, with virtual boards on pseudo-terminals
//! that share no code with the drivers.
#![cfg(unix)] // pseudo-terminals

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use signalcore::memory::Memory;
use signalcore_drivers::bitaxe::tuner::{Outcome, Point, Results};
use signalcore_hil::pool::{Difficulty, PoolConfig, PoolReport, PracticePool, VardiffConfig};
use signalcore_hil::virtual_board::{Board, BoardConfig, BoardKind, Event, Fault, Pace, Shell};
use tokio::sync::oneshot;

use crate::support::{Ended, Miner};

/// Zero bits of a nonce of the virtual boards: 4096 hashes each.
const ZERO_BITS: u32 = 12;
/// Nonces of each in a second, so that they and the processor's hundredth are of one size.
const NONCES: f64 = 20.0;

/// A virtual board, until it is dropped.
struct Played {
    stop: Arc<AtomicBool>,
    /// Whether its chips have power, as far as that changes.
    has_power: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Played {
    fn start(kind: &str, prefix: &Path, faults: &[&str], seed: u64) -> Self {
        let kind = BoardKind::named(kind).unwrap_or_else(|| panic!("no virtual board {kind}"));
        let faults = faults.iter().map(|text| text.parse::<Fault>().unwrap()).collect();
        let pace = Pace::PerSecond(NONCES);
        let config = BoardConfig { zero_bits: ZERO_BITS, pace, faults, seed, ..BoardConfig::new(kind) };
        let (stop, prefix) = (Arc::new(AtomicBool::new(false)), prefix.to_owned());
        let (stopped, (opened, is_open)) = (Arc::clone(&stop), mpsc::channel());
        let has_power = Arc::new(AtomicBool::new(false));
        let switched = Arc::clone(&has_power);
        let thread = thread::spawn(move || {
            let mut shell = Shell::open(Board::new(config).unwrap(), &prefix, 1e6).unwrap();
            opened.send(()).unwrap();
            let told = |_, event| {
                if let Event::Power { on, .. } = event {
                    switched.store(on, Ordering::Relaxed);
                }
            };
            shell.run(&stopped, told).unwrap();
        });
        is_open.recv().unwrap();
        Self { stop, has_power, thread: Some(thread) }
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// The practice pool in a thread with a runtime of its own, at a difficulty that suits all of this.
struct Practice {
    address: String,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<PoolReport>,
}

impl Practice {
    fn start() -> Self {
        let (told, address) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let difficulty = |value| Difficulty::new(value).unwrap();
            // Some 8000 hashes a share.
            let vardiff = VardiffConfig {
                start: difficulty(2e-6),
                lowest: difficulty(2e-6),
                highest: difficulty(2e-6),
                share_every: Duration::from_millis(100),
            };
            let config = PoolConfig { vardiff, block_every: Duration::from_secs(5), ..PoolConfig::default() };
            runtime.block_on(async move {
                let pool = PracticePool::start(config).await.unwrap();
                told.send(pool.address().to_string()).unwrap();
                stopped.await.ok();
                pool.stop().await
            })
        });
        Self { address: address.recv().unwrap(), stop, thread }
    }

    fn stop(self) -> PoolReport {
        self.stop.send(()).unwrap();
        self.thread.join().unwrap()
    }
}

fn accepted(event: &Value, board: &str) -> u64 {
    let boards = event["boards"].as_array().map_or(&[][..], Vec::as_slice);
    let of = boards.iter().find(|of| of["board"].as_str().is_some_and(|name| name.starts_with(board)));
    of.and_then(|of| of["accepted"].as_u64()).unwrap_or(0)
}

/// Mines with these boards and a hundredth of the processor, and gives the summary and the pool's report.
fn mine(devices: &[String], seconds: &str) -> (Value, PoolReport) {
    let pool = Practice::start();
    let mut arguments = vec!["--pool", &pool.address, "--user", "u", "--seconds", seconds];
    for device in devices {
        arguments.extend(["--device", device]);
    }
    let environment = [("SIGNALCORE_CPU_DUTY_PERCENT", "1"), ("SIGNALCORE_CPU_KERNEL", "scalar")];
    let ended = Miner::run(&arguments, &environment).end();
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    (ended.summary().clone(), pool.stop())
}

fn is_sound(report: &PoolReport) {
    assert_eq!(report.total.invalid_shares(), 0, "{:?}", report.total.rejected);
}

#[test]
fn two_kinds_of_chips_on_bad_lines_and_the_processor_mine_together_and_one_that_is_unplugged_disturbs_nobody()
{
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let _first = Played::start("bm1370", &path("first"), &["flipped=0.01"], 1);
    let _second = Played::start("bm1366", &path("second"), &["flipped=0.01", "unplug@14+4"], 2);
    let device = |kind: &str, name: &str| {
        format!("{kind}:{},frequency=200,zero-bits={ZERO_BITS}", path(name).display())
    };
    let (summary, report) = mine(&[device("bm1370", "first"), device("bm1366", "second")], "32");
    is_sound(&report);
    for board in ["cpu", "bm1370:first", "bm1366:second"] {
        assert!(accepted(&summary, board) >= 3, "{board}: {summary}");
    }
}

#[test]
fn a_bitaxe_on_its_two_ports_and_sticks_of_the_icarus_family_mine() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let _gamma = Played::start("gamma", &path("gamma"), &[], 3);
    let _erupter = Played::start("block-erupter", &path("erupter"), &[], 4);
    let _stick = Played::start("antminer-u1", &path("stick"), &[], 5);
    let bits = format!("zero-bits={ZERO_BITS}");
    let devices = [
        format!(
            "gamma:{},{},frequency=400,{bits}",
            path("gamma-control").display(),
            path("gamma-data").display()
        ),
        format!("block-erupter:{},{bits}", path("erupter").display()),
        format!("antminer-u1:{},{bits}", path("stick").display()),
    ];
    let (summary, report) = mine(&devices, "25");
    is_sound(&report);
    for board in ["cpu", "gamma:", "block-erupter:", "antminer-u1:"] {
        assert!(accepted(&summary, board) >= 3, "{board}: {summary}");
    }
}

/// The status of a board in the figures of a line.
fn status<'a>(event: &'a Value, board: &str) -> &'a Value {
    let boards = event["boards"].as_array().unwrap();
    let of = boards.iter().find(|of| of["board"].as_str().is_some_and(|name| name.starts_with(board)));
    &of.unwrap_or_else(|| panic!("no {board}: {event}"))["status"]
}

/// A gamma at its two ports as a configuration file.
fn gamma(folder: &Path, more: &str) -> String {
    let port = |name: &str| folder.join(name).display().to_string();
    format!(
        "device = ['none']\n[[board]]\nkind = 'gamma'\ncontrol = '{}'\nport = '{}'\nzero_bits = {ZERO_BITS}\n{more}",
        port("gamma-control"),
        port("gamma-data")
    )
}

/// Starts the miner with this configuration file and next to no processor.
fn with_file(pool: &Practice, file: &Path, more: &[&str]) -> Miner {
    let arguments = ["--config", file.to_str().unwrap(), "--pool", &pool.address, "--user", "u"];
    let environment = [("SIGNALCORE_CPU_DUTY_PERCENT", "1"), ("SIGNALCORE_CPU_KERNEL", "scalar")];
    Miner::run(&[&arguments[..], more].concat(), &environment)
}

fn is_state(event: &Value, state: &str) -> bool {
    event["event"] == "board" && event["state"] == state
}

#[test]
fn a_program_sees_how_a_gamma_stands_and_a_changed_configuration_reaches_it_while_it_hashes() {
    let folder = tempfile::tempdir().unwrap();
    let _gamma = Played::start("gamma", &folder.path().join("gamma"), &[], 6);
    let file = folder.path().join("miner.toml");
    std::fs::write(&file, gamma(folder.path(), "frequency = 400")).unwrap();
    let pool = Practice::start();
    let mut miner = with_file(&pool, &file, &["--seconds", "35"]);
    let hashing = miner.wait_for("a gamma at work", |event| is_state(event, "hashing"));
    assert_eq!(hashing["status"]["frequency_mhz"], 400.0, "{hashing}");
    std::fs::write(&file, gamma(folder.path(), "frequency = 425\nmillivolts = 1100\npower_limit = 20"))
        .unwrap();
    miner.signal(Signal::HUP);
    let ended = miner.end();
    is_sound(&pool.stop());
    let joined = ended.events.iter().filter(|event| is_state(event, "joined") && event["board"] != "cpu");
    assert_eq!(joined.count(), 1, "it was not opened anew");
    let summary = ended.summary();
    assert!(accepted(summary, "gamma:") >= 3, "{summary}");
    let status = status(summary, "gamma:");
    assert_eq!((&status["state"], &status["frequency_mhz"]), (&"hashing".into(), &425.0.into()), "{status}");
    assert_eq!((&status["core_set_mv"], &status["frequency_set_mhz"]), (&1100.0.into(), &425.0.into()));
    let between = |name: &str, least: f64, most: f64| {
        let value = status[name].as_f64().unwrap_or_else(|| panic!("{name}: {status}"));
        assert!((least..=most).contains(&value), "{name}: {status}");
    };
    between("temperature_c", 25.0, 75.0);
    between("regulator_temperature_c", 25.0, 75.0);
    between("power_w", 5.0, 20.0);
    between("input_v", 4.9, 5.1);
    between("core_mv", 1080.0, 1101.0);
    between("fan_percent", 30.0, 100.0);
    between("fan_rpm", 1400.0, 5100.0);
    let chip = &status["chips"][0];
    assert!(chip["nonces"].as_u64().unwrap() > 50 && chip["hardware_errors"] == 0, "{status}");
    assert!(chip["rate_low_hs"].as_f64() < chip["rate_hs"].as_f64(), "{status}");
    assert_eq!(status["line"]["crc_errors"], 0, "{status}");
}

#[test]
fn a_gamma_in_an_oven_is_told_to_be_throttled_and_then_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let _gamma = Played::start("gamma", &folder.path().join("gamma"), &["hot=110@10"], 7);
    let file = folder.path().join("miner.toml");
    std::fs::write(&file, gamma(folder.path(), "frequency = 400")).unwrap();
    let pool = Practice::start();
    let mut miner = with_file(&pool, &file, &[]);
    let throttled = miner.wait_for("throttling", |event| is_state(event, "throttled"));
    let celsius = throttled["status"]["temperature_c"].as_f64().unwrap();
    assert!((75.0..85.0).contains(&celsius), "{throttled}");
    let cut = miner.wait_for("the cut-off", |event| is_state(event, "cut_off"));
    assert!(cut["reason"].as_str().unwrap().contains("the limit is 80"), "{cut}");
    let status = &cut["status"];
    let of = |name: &str| status[name].as_f64().unwrap_or_else(|| panic!("{name}: {status}"));
    assert!((80.0..90.0).contains(&of("temperature_c")) && of("power_w") > 5.0, "{status}");
    assert_eq!((of("fan_percent"), of("fan_rpm") > 1400.0), (100.0, true), "{status}");
    miner.stop();
    is_sound(&pool.stop());
}

#[test]
fn a_stick_of_gekkoscience_and_a_bitaxe_are_asked_what_they_are_and_mine() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let _newpac = Played::start("newpac", &path("stick"), &[], 6);
    let _ultra = Played::start("ultra", &path("ultra"), &[], 7);
    let bits = format!("zero-bits={ZERO_BITS}");
    let devices = [
        format!("gekko:{},{bits}", path("stick").display()),
        format!(
            "bitaxe:{},{},frequency=400,{bits}",
            path("ultra-control").display(),
            path("ultra-data").display()
        ),
    ];
    let (summary, report) = mine(&devices, "20");
    is_sound(&report);
    for board in ["newpac:stick", "ultra:ultra-data"] {
        assert!(accepted(&summary, board) >= 3, "{board}: {summary}");
    }
}

/// A point as a search leaves it.
fn measured(megahertz: u32, millivolts: u32, terahashes: f64, watts: f64) -> Outcome {
    Outcome {
        point: Point { megahertz, millivolts },
        hashes_per_second: terahashes * 1e12,
        watts,
        celsius: 55.0,
        error_share: 0.0,
        fault: None,
    }
}

/// tests/boards has the search itself, in virtual time: it takes hours.
#[test]
fn a_gamma_begins_at_the_best_point_that_the_state_file_knows_and_looks_no_further() {
    let folder = tempfile::tempdir().unwrap();
    let _gamma = Played::start("gamma", &folder.path().join("gamma"), &[], 8);
    let (file, state) = (folder.path().join("miner.toml"), folder.path().join("state.json"));
    let memory = Memory::open(state.clone()).unwrap();
    let outcomes = vec![
        measured(425, 1000, 0.867, 11.5),
        measured(425, 1020, 0.867, 12.0),
        measured(400, 1000, 0.816, 10.0),
    ];
    memory.board("gamma:gamma-data".to_owned()).learn(Results { outcomes, limits: None });
    memory.finish();
    let more = format!("tune = 'efficiency'\n[state]\nremember = true\nfile = '{}'", state.display());
    std::fs::write(&file, gamma(folder.path(), &more)).unwrap();
    let pool = Practice::start();
    let arguments = ["--config", file.to_str().unwrap(), "--pool", &pool.address, "--user", "u"];
    let mut miner = Miner::run(
        &arguments,
        &[
            ("SIGNALCORE_STATE_REMEMBER", "true"),
            ("SIGNALCORE_CPU_DUTY_PERCENT", "1"),
            ("SIGNALCORE_CPU_KERNEL", "scalar"),
        ],
    );
    let is_at_work = |event: &Value| is_state(event, "hashing") || is_state(event, "tuning");
    let status = &miner.wait_for("a gamma at work", is_at_work)["status"];
    assert_eq!((&status["state"], &status["frequency_mhz"]), (&"hashing".into(), &400.0.into()), "{status}");
    assert_eq!(status["core_set_mv"], 1000.0, "{status}");
    assert_eq!(miner.stop().code, Some(0));
    is_sound(&pool.stop());
}

#[test]
fn a_port_that_another_miner_has_is_told_with_what_to_do_and_taken_once_it_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chain");
    let _chain = Played::start("bm1370", &path, &[], 9);
    let pool = Practice::start();
    let device = format!("bm1370:{},frequency=200,zero-bits={ZERO_BITS}", path.display());
    let start = || {
        let arguments = ["--pool", &pool.address, "--user", "u", "--device", &device];
        Miner::run(&arguments, &[("SIGNALCORE_CPU_DUTY_PERCENT", "1"), ("SIGNALCORE_CPU_KERNEL", "scalar")])
    };
    let is_joined = |event: &Value| is_state(event, "joined") && event["board"] == "bm1370:chain";
    let (mut first, mut second) = (start(), None);
    first.wait_for("the chain", is_joined);
    let second = second.insert(start());
    let said = second.wait_for_complaint("board bm1370:chain");
    assert!(
        said.contains("another program has it open; end that program, or leave the port to it"),
        "{said}"
    );
    first.stop();
    second.wait_for("the chain", is_joined);
}

#[test]
fn what_a_changed_configuration_may_not_have_is_refused_by_name_and_the_board_goes_on_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let _gamma = Played::start("gamma", &folder.path().join("gamma"), &[], 10);
    let file = folder.path().join("miner.toml");
    // Nobody knows its limits before it was asked what it is.
    let write = |more: &str| {
        std::fs::write(&file, gamma(folder.path(), more).replace("kind = 'gamma'", "kind = 'bitaxe'"))
            .unwrap();
    };
    write("frequency = 400\nmillivolts = 1100");
    let pool = Practice::start();
    let mut miner = with_file(&pool, &file, &[]);
    miner.wait_for("a gamma at work", |event| is_state(event, "hashing"));
    for (more, said) in [
        ("frequency = nan", "board.frequency: found NaN, expected a number from 1 to 10000"),
        (
            "frequency = 400\nmax_temperature = 300",
            "board.max_temperature: found 300, expected a number from 40 to 125",
        ),
        (
            "frequency = 9999\nmillivolts = 1100\npower_limit = 20",
            "frequency = 9999: Bitaxe Gamma bears 400 to 625; choose one of these; it stays as it was",
        ),
        (
            "frequency = 400\nmillivolts = 1100\npower_limit = 99",
            "power-limit = 99: choose 1 to 30, the limit of Bitaxe Gamma; it stays as it was",
        ),
    ] {
        write(more);
        miner.signal(Signal::HUP);
        let line = miner.wait_for_complaint(said.split(':').next().unwrap());
        assert!(line.contains(said), "{line}");
    }
    let ended = miner.stop();
    is_sound(&pool.stop());
    let status = status(ended.summary(), "gamma:");
    assert_eq!(
        (&status["state"], &status["frequency_set_mhz"]),
        (&"hashing".into(), &400.0.into()),
        "{status}"
    );
}

/// Mines with a gamma until its chips have power, lets its control port be as `fault` from then on, and ends with these
/// signals, which follow each other within a moment. Shape: how that ended, how long it took, and whether the chips still
/// have power.
fn end_of_gamma(fault: &str, signals: &[Signal]) -> (Ended, Duration, bool) {
    const FAULT_AT: Duration = Duration::from_secs(4);
    let folder = tempfile::tempdir().unwrap();
    let prefix = folder.path().join("gamma");
    let start = Instant::now();
    let played = Played::start("gamma", &prefix, &[&format!("{fault}@{}", FAULT_AT.as_secs())], 1);
    let pool = Practice::start();
    let prefix = prefix.display();
    let device = format!("gamma:{prefix}-control,{prefix}-data,zero-bits={ZERO_BITS}");
    let arguments = ["--pool", &pool.address, "--user", "u", "--device", &device];
    let environment = [("SIGNALCORE_CPU_DUTY_PERCENT", "1"), ("SIGNALCORE_CPU_KERNEL", "scalar")];
    let miner = Miner::run(&arguments, &environment);
    // Until some calls have met the fault.
    thread::sleep((FAULT_AT + Duration::from_millis(500)).saturating_sub(start.elapsed()));
    assert!(played.has_power.load(Ordering::Relaxed));
    let asked = Instant::now();
    for signal in signals {
        miner.signal(*signal);
        thread::sleep(Duration::from_millis(300));
    }
    let ended = miner.end();
    let took = asked.elapsed();
    pool.stop();
    (ended, took, played.has_power.load(Ordering::Relaxed))
}

/// Three calls, each answered after most of a second.
const SLOW: &str = "late-control=900";
const WAITS: &str = "boards get up to 5 s to switch off";
const STILL: &str = "boards may still have power";

#[test]
fn a_board_that_is_slow_to_switch_off_is_waited_for_at_an_orderly_end() {
    let (ended, took, has_power) = end_of_gamma(SLOW, &[Signal::TERM]);
    assert_eq!((ended.code, has_power), (Some(0), false), "{took:?} {}", ended.errors);
}

#[test]
fn a_board_that_answers_too_late_for_any_call_is_switched_off_all_the_same() {
    let (ended, took, has_power) = end_of_gamma("late-control=1500", &[Signal::TERM]);
    assert_eq!((ended.code, has_power), (Some(0), false), "{took:?} {}", ended.errors);
}

#[test]
fn a_board_that_does_not_switch_off_is_named_and_makes_the_end_a_failure() {
    let (ended, took, has_power) = end_of_gamma("silent-control", &[Signal::TERM]);
    assert_eq!((ended.code, has_power), (Some(1), true), "{took:?} {}", ended.errors);
    assert!(ended.errors.contains("may still have power: gamma:gamma-data; take"), "{}", ended.errors);
}

#[test]
fn a_second_signal_leaves_boards_the_time_to_switch_off_and_says_so() {
    let (ended, took, has_power) = end_of_gamma(SLOW, &[Signal::TERM, Signal::INT]);
    assert_eq!((ended.code, has_power), (Some(130), false), "{took:?} {}", ended.errors);
    assert!(ended.errors.contains(WAITS) && !ended.errors.contains(STILL), "{}", ended.errors);
}

#[test]
fn a_third_signal_waits_for_no_board() {
    let (ended, took, has_power) = end_of_gamma("silent-control", &[Signal::TERM, Signal::INT, Signal::INT]);
    assert_eq!((ended.code, has_power), (Some(130), true), "{took:?} {}", ended.errors);
    assert!(took < Duration::from_secs(3) && ended.errors.contains(STILL), "{took:?} {}", ended.errors);
}
