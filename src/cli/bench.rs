//! `signalcore bench`: how fast this machine hashes, kernel by kernel.

mod table;

use std::io::{self, IsTerminal};
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use signalcore::monitor::Style;
use signalcore::wiring::powered::Powered;
use signalcore_drivers::cpu::bench::{self, BenchOptions, Benchmark, Figures, Measured, SLICE, Standing};
use signalcore_drivers::cpu::{CpuError, TakeUp};

use super::blocks::terminal_width;
use super::{block_on, exit, mine, print, signals};

const EXAMPLES: &str = "\
Examples:
  signalcore bench                                         all kernels on all cores, 10 seconds
  signalcore bench --threads 1 --pin
  signalcore bench --kernel sha-ni --kernel avx512 --seconds 30
  signalcore bench --versions 0                            for pools without version rolling
  signalcore bench --json | jq .chosen

Threads have the lowest priority, as in mining. Ctrl-C ends it early, with what has been measured until then.

Exit codes: 0 measured, 1 a kernel computes wrongly, 2 command line, 69 this processor cannot run a kernel that was named,
130 and 143 second SIGINT and SIGTERM.";

/// Seconds to measure, least and most: in a tenth each kernel has a slice or two; past an hour no median changes.
const SECONDS: RangeInclusive<f64> = 0.1..=3600.0;

/// Measure how fast this machine hashes, kernel by kernel.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Kernel to measure, beside the portable one, or all that were not named yet; repeatable, and the first is what the
    /// others are compared with.
    #[arg(long = "kernel", value_name = "NAME|all", default_value = bench::ALL)]
    kernels: Vec<String>,
    /// Threads that hash at the same time; all cores unless given.
    #[arg(long, value_name = "N", value_parser = threads)]
    threads: Option<NonZeroUsize>,
    /// How long kernels are measured.
    #[arg(long, value_name = "S", default_value = "10", value_parser = seconds)]
    seconds: Duration,
    /// Keep each thread on one core.
    #[arg(long)]
    pin: bool,
    /// Version bits that jobs let us roll, 0 to 16: which kernel is chosen depends on it.
    #[arg(long, value_name = "V", default_value = "16", value_parser = clap::value_parser!(u32).range(0..=16))]
    versions: u32,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| SECONDS.contains(seconds));
    let (least, most) = (SECONDS.start(), SECONDS.end());
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| format!("expected a number of seconds from {least} to {most}"))
}

/// Runs `signalcore bench`; gives the exit code.
pub(crate) fn run(args: &Args) -> anyhow::Result<u8> {
    let options = options(args);
    let (was_asked, measured) = match block_on(measure(options.clone(), args.seconds))?? {
        (was_asked, Ok(measured)) => (was_asked, measured),
        (_, Err(error)) => {
            let (text, code) = refusal(error);
            eprintln!("signalcore: {text}");
            return Ok(code);
        }
    };
    for fault in &measured.faults {
        eprintln!("signalcore: warning: {fault}");
    }
    if args.json {
        print(&format!("{:#}\n", object(&options, &measured, was_asked)))?;
    } else {
        let colour = matches!(mine::style(false), Style::Plain { colour: true });
        print(&table::text(&options, &measured, terminal_width().unwrap_or(table::WIDTH), colour))?;
    }
    let is_wrong = |measured: &Measured| matches!(measured.standing, Standing::Wrong(_));
    Ok(if measured.kernels.iter().any(is_wrong) { exit::FAILURE } else { exit::DONE })
}

/// What the operator is told instead of figures, and the exit code.
fn refusal(error: CpuError) -> (String, u8) {
    let code = match error {
        CpuError::UnknownKernel { .. } => exit::USAGE,
        CpuError::UnsupportedKernel { .. } => exit::UNAVAILABLE,
        // Nothing that was on the command line.
        _ => return (format!("{:#}", anyhow::Error::from(error)), exit::FAILURE),
    };
    (format!("--kernel: {error}"), code)
}

/// Cores that this process may use.
fn cores() -> NonZeroUsize {
    available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Threads beyond the cores would take turns, and what each does in its turn is not what all do together.
fn threads(text: &str) -> Result<NonZeroUsize, String> {
    let threads: usize = text.parse().map_err(|_| "expected a whole number".to_owned())?;
    let cores = cores();
    NonZeroUsize::new(threads)
        .filter(|threads| *threads <= cores)
        .ok_or_else(|| format!("{threads} is not in 1..={cores}, the cores that this process may use"))
}

fn options(args: &Args) -> BenchOptions {
    BenchOptions {
        kernels: args.kernels.clone(),
        threads: args.threads.unwrap_or_else(cores),
        pin: args.pin,
        version_bits: args.versions,
    }
}

/// Measures until the time is over or a signal comes; says which of them it was.
async fn measure(
    options: BenchOptions,
    time: Duration,
) -> anyhow::Result<(bool, Result<Benchmark, CpuError>)> {
    let asked = signals::first(None, Powered::default())?;
    let is_asked = Arc::new(AtomicBool::new(false));
    let bar = progress(time);
    let go_on = {
        let bar = bar.clone();
        move |elapsed: Duration| {
            bar.set_position(elapsed.min(time).as_millis() as u64);
            elapsed < time
        }
    };
    let stop = Arc::clone(&is_asked);
    let mut measured = tokio::task::spawn_blocking(move || bench::run(&options, &stop, go_on));
    let measured = tokio::select! {
        measured = &mut measured => measured,
        () = asked => {
            is_asked.store(true, Ordering::Relaxed);
            measured.await
        }
    };
    bar.finish_and_clear();
    Ok((is_asked.load(Ordering::Relaxed), measured.context("measure")?))
}

/// A bar on the standard error that fills with the time; nothing where that is no terminal.
fn progress(time: Duration) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    bar(time, ProgressDrawTarget::stderr())
}

/// A bar as wide as a line of the terminal leaves room for.
fn bar(time: Duration, terminal: ProgressDrawTarget) -> ProgressBar {
    let style = ProgressStyle::with_template("measuring {wide_bar} {percent:>3} %, {eta} left");
    let style = style.expect("the template is well-formed");
    ProgressBar::with_draw_target(Some(time.as_millis() as u64), terminal).with_style(style)
}

fn object(options: &BenchOptions, measured: &Benchmark, was_asked: bool) -> Value {
    json!({
        "event": "bench",
        "threads": options.threads,
        "pinned": measured.is_pinned,
        "version_bits": options.version_bits,
        "seconds": measured.took.as_secs_f64(),
        "slice_ms": SLICE.as_secs_f64() * 1e3,
        "rounds": measured.rounds,
        "end": if was_asked { "asked" } else { "time" },
        "fastest": measured.fastest,
        "chosen": measured.chosen,
        "take_up": measured.take_up.as_ref().map(take_up_object),
        "kernels": measured.kernels.iter().map(kernel_object).collect::<Vec<_>>(),
    })
}

fn take_up_object(take_up: &TakeUp) -> Value {
    json!({
        "median_ms": take_up.median.as_secs_f64() * 1e3,
        "worst_ms": take_up.worst.as_secs_f64() * 1e3,
        "changes": take_up.changes,
    })
}

fn kernel_object(measured: &Measured) -> Value {
    let (state, reason) = match &measured.standing {
        Standing::Unsupported => ("unsupported", None),
        Standing::Wrong(reason) => ("wrong", Some(reason)),
        Standing::Untimed => ("untimed", None),
        Standing::Timed(_) => ("timed", None),
    };
    let figures = figures(measured);
    json!({
        "kernel": measured.kernel.name,
        "versions": measured.kernel.midstates,
        "state": state,
        "reason": reason,
        "hash_rate": figures.map(|figures| figures.rate.median),
        "hash_rate_p10": figures.map(|figures| figures.rate.p10),
        "hash_rate_p90": figures.map(|figures| figures.rate.p90),
        "hashes_per_cpu_second": figures.map(|figures| figures.cpu_rate),
        "clock_hz": figures.and_then(|figures| figures.clock),
        "cycles_per_hash": figures.and_then(|figures| figures.cycles),
        "ratio_to_portable": figures.and_then(|figures| figures.to_portable),
        "ratio_to_first": figures.and_then(|figures| figures.to_first),
    })
}

/// The figures of a kernel that has any.
fn figures(measured: &Measured) -> Option<&Figures> {
    match &measured.standing {
        Standing::Timed(figures) => Some(figures),
        Standing::Unsupported | Standing::Wrong(_) | Standing::Untimed => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use indicatif::TermLike;

    use super::*;

    /// A terminal of so many columns that keeps what is written to it.
    #[derive(Debug, Clone)]
    struct Terminal {
        width: u16,
        written: Arc<Mutex<String>>,
    }

    impl TermLike for Terminal {
        fn width(&self) -> u16 {
            self.width
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(&format!("{text}\n"))
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.written.lock().unwrap().push_str(text);
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            self.write_str("\n")
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_bar_fits_a_line_of_the_terminal() {
        for width in [32, 40, 61, 62, 80, 200] {
            let terminal = Terminal { width, written: Arc::default() };
            let bar = bar(Duration::from_hours(1), ProgressDrawTarget::term_like(Box::new(terminal.clone())));
            bar.set_position(1_800_000);
            bar.tick();
            let written = terminal.written.lock().unwrap();
            assert!(written.contains("measuring") && written.contains("50 %"), "{width}: {written:?}");
            for line in written.lines() {
                assert!(line.trim_end().chars().count() <= usize::from(width), "{width}: {line:?}");
            }
        }
    }

    #[test]
    fn only_what_a_kernels_name_has_caused_is_blamed_on_the_option() {
        let name = || "abacus".to_owned();
        let source = io::Error::other("no more threads");
        for (error, text, code) in [
            (
                CpuError::UnknownKernel { name: name(), known: "scalar".into() },
                "--kernel: no kernel",
                exit::USAGE,
            ),
            (CpuError::UnsupportedKernel { name: name() }, "--kernel: this processor", exit::UNAVAILABLE),
            (
                CpuError::Spawn { thread: 1, threads: 2, source },
                "cannot start hashing thread 1 of 2: no more threads",
                exit::FAILURE,
            ),
        ] {
            let refusal = refusal(error);
            assert!(refusal.0.starts_with(text), "{refusal:?}");
            assert_eq!(refusal.1, code, "{refusal:?}");
        }
    }

    #[test]
    fn a_time_is_from_a_tenth_of_a_second_to_an_hour() {
        for text in ["0.1", "10", "3600"] {
            assert_eq!(seconds(text), Ok(Duration::from_secs_f64(text.parse().unwrap())));
        }
        for text in ["1e-12", "0.099", "3600.1", "-1", "inf", "nan", "soon"] {
            assert_eq!(seconds(text), Err("expected a number of seconds from 0.1 to 3600".into()), "{text}");
        }
    }
}
