//! `signalcore demo`: mine for real with nothing installed, for a strict practice pool in this process.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use serde_json::json;
use signalcore::config::{Config, Environment, Log, Pool, Threads};
use signalcore::monitor::{Display, Style};
use signalcore::wiring::{self, Plan};
use signalcore_hil::pool::{Difficulty, PoolConfig, PoolReport, PracticePool, VardiffConfig};

use super::{block_on, exit, log, mine, print, signals};

const EXAMPLES: &str = "\
Examples:
  signalcore demo                    until Ctrl-C
  signalcore demo --seconds 20
  signalcore demo --seconds 20 --json | jq 'select(.event == \"pool\")'

The practice pool listens on a loopback port. It builds jobs on a chain of its own, rebuilds every share from its own
texts, retargets the difficulty and finds blocks; nothing is simulated on the miner's side.

Exit codes: 0 shares were accepted and none was invalid, 1 otherwise.";

/// Difficulty to begin with: a second's work for one slow core, so that the first share comes soon, and no flood for two
/// fast ones.
const FIRST_DIFFICULTY: f64 = 0.0005;

/// Longest demonstration, some thirty years: what clocks can add without overflow.
const LONGEST: Duration = Duration::from_secs(1_000_000_000);

/// Mine for a practice pool with the CPU.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Stop after this many seconds.
    #[arg(long, value_name = "N", value_parser = seconds)]
    seconds: Option<Duration>,
    /// CPU threads; all cores unless given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    cpu_threads: Option<u16>,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
    /// Print only the summary.
    #[arg(short, long)]
    quiet: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let fits = |time: &Duration| !time.is_zero() && *time <= LONGEST;
    seconds
        .filter(fits)
        .ok_or_else(|| "expected a number of seconds above 0, at most 1e9, such as 20".to_owned())
}

/// Runs `signalcore demo`; gives the exit code.
pub(crate) fn run(args: Args) -> anyhow::Result<u8> {
    let _log = log::start(&Log { level: "warn".to_owned(), file: None })?;
    let display = Display { style: mine::style(args.json), quiet: args.quiet };
    let report = block_on(demonstrate(&args, display))??;
    match display.style {
        Style::Json => print_last(format!("{}\n", pool_line(&report)?)),
        Style::Plain { .. } => {
            print_last(format!("\nAs the practice pool judged it from outside:\n{report}\n"));
        }
    }
    let fine = report.total.accepted > 0 && report.total.invalid_shares() == 0;
    Ok(if fine { exit::DONE } else { exit::FAILURE })
}

/// Prints on a thread of its own, and waits no longer than a stalled reader is worth: the signals have no watcher any more.
fn print_last(text: String) {
    const PATIENCE: Duration = Duration::from_secs(1);
    let (done, printed) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(print(&text).is_ok()));
    printed.recv_timeout(PATIENCE).ok();
}

async fn demonstrate(args: &Args, display: Display) -> anyhow::Result<PoolReport> {
    let vardiff = PoolConfig::default().vardiff;
    let start = Difficulty::new(FIRST_DIFFICULTY).context("the first difficulty")?;
    let settings = PoolConfig { vardiff: VardiffConfig { start, ..vardiff }, ..PoolConfig::default() };
    let pool = PracticePool::start(settings).await.context("start the practice pool on a loopback port")?;
    let url = format!("stratum+tcp://{}", pool.address()).parse().context("the practice pool's address")?;
    let mut config = Config { pools: vec![Pool::new(url, "demo")], ..Config::default() };
    config.devices = vec!["none".to_owned()]; // a board's nonces are for who owns it
    config.cpu.threads = args.cpu_threads.map_or(Threads::Auto, Threads::Count);
    config.stop.seconds = args.seconds;
    let plan = Plan::new(&config, &Environment::default())?;
    let stop = signals::first(None, plan.powered())?;
    wiring::run(plan, display, io::stdout(), stop).await?;
    Ok(pool.stop().await)
}

fn pool_line(report: &PoolReport) -> anyhow::Result<String> {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut line = json!({ "event": "pool", "time": (time.as_secs_f64() * 1e3).round() / 1e3 });
    if let (Some(line), serde_json::Value::Object(members)) =
        (line.as_object_mut(), serde_json::to_value(report)?)
    {
        line.extend(members);
    }
    Ok(line.to_string())
}
