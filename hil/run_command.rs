//! `signalcore-hil run`: the checks of a bench, with a table at the end.

use std::{
    collections::HashMap,
    fs,
    io::{self, IsTerminal, Read, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use signalcore_hil::bench::{
    Bench, CHECKS, Check, Progress, Report, Setup, Status, planned_seconds, run as run_bench,
};
use tokio::sync::{mpsc, watch};

use crate::signals::asked_to_stop;

/// The command line or the bench file is wrong.
const WRONG: u8 = 2;
/// The miner is not there. Source: `EX_UNAVAILABLE` of sysexits.h.
const UNAVAILABLE: u8 = 69;
/// Bytes of a bench file: hundreds of boards.
const LONGEST_BENCH: u64 = 1 << 18;
/// Columns where nobody says how many there are.
const WIDTH: u16 = 100;

const EXAMPLES: &str = "\
Examples:
  signalcore-hil run --bench hil/benches/virtual.toml
      Virtual boards, no hardware: about a minute.
  signalcore-hil run --bench hil/benches/bitaxe-gamma.toml --check identify --check hash-rate
      Two checks of a real board; --list names all.
  signalcore-hil run --bench my.toml --yes --strict --junit report.xml --json > report.json
      Without anybody at the board; what has to be skipped for that fails.

Mines with the signalcore beside this program for a practice pool on a loopback port. Boards are checked beside each other.

Exit codes: 0 all passed or skipped, 1 a check failed (with --strict: or was skipped), 2 command line or bench file,
69 the miner is not there, 130 Ctrl-C.";

/// Named checks of boards, real or virtual, by running the miner with them
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RunArgs {
    /// Which boards, and what they have to do
    #[arg(long, value_name = "FILE", required_unless_present = "list")]
    bench: Option<PathBuf>,
    /// Make this check alone; may be repeated
    #[arg(long = "check", value_name = "NAME", value_parser = check)]
    checks: Vec<&'static Check>,
    /// List the checks
    #[arg(long)]
    list: bool,
    /// The miner [default: signalcore beside this program]
    #[arg(long, value_name = "FILE")]
    signalcore: Option<PathBuf>,
    /// Ask for nothing: what needs a hand is skipped
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    report: ReportArgs,
}

#[derive(Debug, clap::Args)]
struct ReportArgs {
    /// A skipped check counts as failed
    #[arg(long)]
    strict: bool,
    /// Write JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
}

fn check(name: &str) -> Result<&'static Check, String> {
    Check::named(name).ok_or_else(|| format!("no such check; there are {}", Check::names()))
}

/// Errors: a standard output or a folder that cannot be written.
pub(crate) async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    if args.list {
        for check in CHECKS {
            writeln!(io::stdout(), "{:16} {}", check.name, check.about)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let path = args.bench.clone().expect("clap asks for it");
    let mut bench = match read(&path) {
        Ok(bench) => bench,
        Err(error) => return Ok(refuse(&format!("{}: {error:#}", path.display()), WRONG)),
    };
    if !args.checks.is_empty() {
        let wanted = |check: &&Check| args.checks.iter().any(|wanted| wanted.name == check.name);
        bench.boards.iter_mut().for_each(|board| board.checks.retain(wanted));
    }
    if bench.boards.iter().all(|board| board.checks.is_empty()) {
        return Ok(refuse(
            "no board of the bench has these checks; leave --check out, or see checks of the bench file",
            WRONG,
        ));
    }
    let program = args.signalcore.clone().map_or_else(beside, Ok)?;
    if !program.is_file() {
        let said = format!("no miner at {}: build it, or name it with --signalcore", program.display());
        return Ok(refuse(&said, UNAVAILABLE));
    }
    let program = program.canonicalize().with_context(|| format!("find {}", program.display()))?;
    let folder = Folder::make()?;
    let attended = !args.yes && io::stdin().is_terminal() && io::stderr().is_terminal();
    let setup = Setup { program, folder: folder.0.clone(), attended };
    let report = measure(bench, setup).await?;
    // The ports of virtual boards are gone by now.
    drop(folder);
    tell(&args.report, &report)?;
    Ok(verdict(&report, args.report.strict))
}

fn verdict(report: &Report, strict: bool) -> ExitCode {
    let failed = report.count(Status::Failed) > 0 || strict && report.count(Status::Skipped) > 0;
    match (failed, report.interrupted) {
        (true, _) => ExitCode::FAILURE,
        (false, true) => ExitCode::from(130),
        (false, false) => ExitCode::SUCCESS,
    }
}

fn refuse(said: &str, code: u8) -> ExitCode {
    eprintln!("signalcore-hil: {said}");
    ExitCode::from(code)
}

fn read(path: &Path) -> anyhow::Result<Bench> {
    let mut text = String::new();
    let file = fs::File::open(path).context("open it")?;
    file.take(LONGEST_BENCH + 1).read_to_string(&mut text).context("read it")?;
    anyhow::ensure!(text.len() as u64 <= LONGEST_BENCH, "longer than {LONGEST_BENCH} bytes");
    Ok(Bench::parse(&text)?)
}

fn beside() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("find this program")?;
    Ok(program.with_file_name("signalcore"))
}

/// A folder that nobody else may look into, until it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn make() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("signalcore-hil-run-{}", std::process::id()));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left of it is an empty folder among temporary files.
        _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs all checks, shows how far they are, and ends them at Ctrl-C.
async fn measure(bench: Bench, setup: Setup) -> anyhow::Result<Report> {
    let started = Instant::now();
    let title = bench.title.clone();
    let bars = Bars::new(&bench);
    let (stop, stopped) = watch::channel(false);
    let (progress, told) = mpsc::unbounded_channel();
    let checks = run_bench(bench, setup, stopped, progress);
    tokio::pin!(checks);
    let shown = bars.show(told);
    let asked = asked_to_stop();
    tokio::pin!(shown, asked);
    let rows = loop {
        tokio::select! {
            rows = &mut checks => break rows,
            asked = &mut asked, if !*stop.borrow() => {
                asked.context("watch for signals")?;
                stop.send_replace(true);
            }
            () = &mut shown => {}
        }
    };
    bars.clear();
    let interrupted = *stop.borrow();
    Ok(Report { title, rows, seconds: started.elapsed().as_secs_f64(), interrupted })
}

fn tell(args: &ReportArgs, report: &Report) -> anyhow::Result<()> {
    if let Some(path) = &args.junit {
        fs::write(path, report.junit()).with_context(|| format!("--junit {}", path.display()))?;
    }
    let text = if args.json { format!("{}\n", report.json()) } else { report.table(width()) };
    io::stdout().write_all(text.as_bytes()).context("print the report")
}

fn width() -> u16 {
    let size = rustix::termios::tcgetwinsize(io::stdout());
    size.map_or(WIDTH, |size| size.ws_col).clamp(60, 200)
}

/// A bar for each board, on a terminal.
struct Bars {
    bars: HashMap<usize, ProgressBar>,
    _all: MultiProgress,
}

impl Bars {
    fn new(bench: &Bench) -> Self {
        let target = if io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let all = MultiProgress::with_draw_target(target);
        let style = ProgressStyle::with_template("{prefix:16} {bar:20} {percent:>3} %  {wide_msg}");
        let style = style.expect("a template of this file").progress_chars("##-");
        let bar = |(at, board): (usize, &signalcore_hil::bench::Board)| {
            let planned = Duration::from_secs_f64(planned_seconds(board)).as_millis() as u64;
            let bar =
                all.add(ProgressBar::new(planned).with_style(style.clone()).with_prefix(board.name.clone()));
            (at, bar)
        };
        let bars = bench.boards.iter().enumerate().map(bar).collect();
        Self { bars, _all: all }
    }

    /// Until nobody tells anything any more.
    async fn show(&self, mut told: mpsc::UnboundedReceiver<Progress>) {
        while let Some(Progress { board, doing, seconds }) = told.recv().await {
            let Some(bar) = self.bars.get(&board) else { continue };
            bar.set_position((seconds * 1000.0) as u64);
            bar.set_message(doing);
        }
        std::future::pending::<()>().await;
    }

    fn clear(&self) {
        self.bars.values().for_each(ProgressBar::finish_and_clear);
    }
}
