//! `signalcore-hil pool`: the practice pool until its time is over or Ctrl-C, then its report.

use std::{
    io::{self, Write},
    net::SocketAddr,
    process::ExitCode,
    thread,
    time::Duration,
};

use anyhow::Context;
use serde_json::json;
use signalcore_hil::pool::{Difficulty, PoolConfig, PoolEvent, PoolReport, PracticePool, VardiffConfig};
use tokio::{
    sync::{
        broadcast::{self, error::RecvError},
        oneshot,
    },
    time::timeout,
};

use crate::{clock::shared_clock, signals::asked_to_stop};

/// How long the last lines may take. A reader that reads at all is far quicker.
const LAST_LINES: Duration = Duration::from_secs(5);

const EXAMPLES: &str = "\
Examples:
  signalcore-hil pool
      A pool on 127.0.0.1:3333 until Ctrl-C; any miner may come, with any user name.
  signalcore-hil pool --listen 127.0.0.1:0 --seconds 60 --json
      A minute on a free port; one JSON object a line, the report last.
  signalcore-hil pool --difficulty 512 --shares-per-minute 20 --block-every 60 --job-every 15
      Calmer, for a miner of some terahashes a second.

Exit code: 0 if no share was invalid (a stale share is not), 1 if one was or the pool could not run.";

/// A strict Stratum V1 pool for practice: real jobs on a chain of its own, every share judged
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PoolArgs {
    /// Loopback address and port; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3333")]
    listen: SocketAddr,
    /// A job with new transactions this often
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = seconds)]
    job_every: Duration,
    /// A block, and so a clean job, about this often
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    block_every: Duration,
    #[command(flatten)]
    shares: ShareArgs,
    /// Stop after this time
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    seconds: Option<Duration>,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
    /// The same seed makes the same chain
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, clap::Args)]
struct ShareArgs {
    /// Difficulty of a connection's first job
    #[arg(long, value_name = "D", default_value = "0.001", value_parser = difficulty)]
    difficulty: Difficulty,
    /// Shares that each connection shall find; the difficulty follows
    #[arg(long, value_name = "N", default_value_t = 40.0)]
    shares_per_minute: f64,
    /// Bytes of extranonce2, 2 to 16
    #[arg(long, value_name = "BYTES", default_value_t = 4)]
    extranonce2_size: usize,
    /// A user name that is not let in; may be repeated
    #[arg(long, value_name = "USER")]
    refuse: Vec<String>,
    /// Answer shares this much later
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    answer_delay: Duration,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn difficulty(text: &str) -> Result<Difficulty, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    Difficulty::new(value).map_err(|error| error.to_string())
}

impl PoolArgs {
    fn config(&self) -> anyhow::Result<PoolConfig> {
        let default = PoolConfig::default();
        let share_every = Duration::try_from_secs_f64(60.0 / self.shares.shares_per_minute)
            .context("--shares-per-minute has to be above zero")?;
        let start = self.shares.difficulty;
        let vardiff = VardiffConfig {
            start,
            lowest: default.vardiff.lowest.at_most(start),
            share_every,
            ..default.vardiff
        };
        Ok(PoolConfig {
            listen: self.listen,
            job_every: self.job_every,
            block_every: self.block_every,
            vardiff,
            extranonce2_size: self.shares.extranonce2_size,
            refused_users: self.shares.refuse.clone(),
            answer_delay: self.shares.answer_delay,
            seed: self.seed,
        })
    }
}

/// Errors: settings out of range, a port that is taken, a standard output that is gone or not read.
pub(crate) async fn run(args: PoolArgs) -> anyhow::Result<ExitCode> {
    let pool =
        PracticePool::start(args.config()?).await.with_context(|| format!("pool on {}", args.listen))?;
    let (report_sender, report) = oneshot::channel();
    let printer = Printer { json: args.json, started: shared_clock(pool.started()) };
    let mut printed = printer.start(pool.address(), pool.events(), report).context("start to print")?;
    let end = args.seconds;
    tokio::select! {
        printed = &mut printed => printed.context("the printing thread ended")?.context("print")?,
        asked = asked_to_stop() => asked.context("watch for signals")?,
        () = async { tokio::time::sleep(end.unwrap_or_default()).await }, if end.is_some() => {}
    }
    let report = pool.stop().await;
    let is_good = report.total.invalid_shares() == 0;
    // A printer that has ended says why below.
    _ = report_sender.send(report);
    let printed = timeout(LAST_LINES, printed).await.context("nobody reads the standard output")?;
    printed.context("the printing thread ended")?.context("print the report")?;
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints on a thread of its own: a standard output that nobody reads holds up no miner.
struct Printer {
    json: bool,
    /// When the pool started, on the clock that all processes share.
    started: Option<f64>,
}

impl Printer {
    /// Ready when all is printed, or when that failed. The report comes last.
    fn start(
        self,
        address: SocketAddr,
        events: broadcast::Receiver<PoolEvent>,
        report: oneshot::Receiver<PoolReport>,
    ) -> io::Result<oneshot::Receiver<io::Result<()>>> {
        let (ended, printed) = oneshot::channel();
        thread::Builder::new().name("printer".to_owned()).spawn(move || {
            // The program may have given up on this thread.
            _ = ended.send(self.print(address, events, report));
        })?;
        Ok(printed)
    }

    fn print(
        &self,
        address: SocketAddr,
        mut events: broadcast::Receiver<PoolEvent>,
        report: oneshot::Receiver<PoolReport>,
    ) -> io::Result<()> {
        self.address(address)?;
        loop {
            match events.blocking_recv() {
                Ok(event) => self.event(&event)?,
                Err(RecvError::Lagged(lost)) => self.lost(lost)?,
                Err(RecvError::Closed) => break,
            }
        }
        // Without a report the program ends for another reason, and tells it.
        report.blocking_recv().map_or(Ok(()), |report| self.report(&report))
    }

    fn address(&self, address: SocketAddr) -> io::Result<()> {
        if self.json {
            writeln!(
                io::stdout(),
                "{}",
                json!({ "event": "listen", "address": address, "started": self.started })
            )
        } else {
            writeln!(io::stdout(), "listening on {address}")
        }
    }

    fn event(&self, event: &PoolEvent) -> io::Result<()> {
        if self.json { print_json(event) } else { writeln!(io::stdout(), "{event}") }
    }

    fn lost(&self, lost: u64) -> io::Result<()> {
        if self.json {
            writeln!(io::stdout(), "{}", json!({ "event": "lost", "events": lost }))
        } else {
            writeln!(io::stdout(), "({lost} events came too fast to print)")
        }
    }

    fn report(&self, report: &PoolReport) -> io::Result<()> {
        if self.json {
            print_json(&json!({ "event": "report", "report": report }))
        } else {
            writeln!(io::stdout(), "\n{report}")
        }
    }
}

fn print_json(value: &impl serde::Serialize) -> io::Result<()> {
    let line = serde_json::to_string(value)?;
    writeln!(io::stdout(), "{line}")
}
