//! `signalcore validate`: the staged checks on one job, with what else was known when it came, as a table.

mod input;
mod table;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Value, json};
use signalcore::clock::unix_now;
use signalcore::protocol::text::printable;
use signalcore::validate::digest::Stamp;
use signalcore::validate::{CHECKS, Check, Finding, JobUnderTest, Level, Outcome, checks, search_space_bits};

use self::input::{Case, InputError};
use super::blocks::terminal_width;
use super::decode::read;
use super::{exit, print};

const EXAMPLES: &str = "\
Examples:
  signalcore validate --job tests/vectors/validate-real.json
  signalcore validate --job - --level 5000 < job.json
  signalcore validate --job job.json --level 13000          # those before a board gets the job
  signalcore validate --job job.json --json | jq '.checks[] | select(.result == \"reject\")'
  echo '{\"notify\": [...], \"extranonce1\": \"08000002\", \"extranonce2_size\": 4}' | signalcore validate --job -

Members of a job: notify (the parameters of mining.notify), extranonce1, extranonce2_size, and where known version_mask,
difficulty, upstream, connection and context; README.md lists the members of context. A check that has nothing to compare
with is open: neither passed nor failed.

Exit codes: 0 nothing is held against the job or it is only warned about, 1 it is rejected or held, 2 the input is no job.";

/// Judge a job as the miner does before it is hashed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// JSON file; `-` is the standard input.
    #[arg(long, value_name = "FILE|-", required_unless_present = "file")]
    job: Option<PathBuf>,
    /// The same without the flag.
    #[arg(value_name = "FILE", conflicts_with = "job")]
    file: Option<PathBuf>,
    /// Run the checks up to this level; 0 runs none.
    #[arg(long, value_name = "0..16000", default_value_t = 16_000, value_parser = clap::value_parser!(u32).range(0..=16_000))]
    level: u32,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// The check that reads the coinbase.
const READING: u16 = 2000;
/// Characters of a text that are shown, whoever wrote it.
const SHOWN: usize = 400;
/// Times a check runs, for the median of its time.
const RUNS: usize = 21;

/// One line of the table.
struct Row {
    check: &'static Check,
    finding: Finding,
    microseconds: f64,
}

/// Runs `signalcore validate`; gives the exit code.
pub(crate) fn run(args: &Args) -> anyhow::Result<u8> {
    let level = Level::new(args.level).expect("clap has checked the range");
    let file = args.job.as_ref().or(args.file.as_ref()).expect("clap requires one of them");
    let case = read(file)
        .map_err(|error| format!("{error:#}"))
        .and_then(|text| Case::parse(&text, unix_now()).map_err(|error: InputError| error.to_string()));
    let case = match case {
        Ok(case) => case,
        Err(error) => {
            // Both may hold what a stranger wrote.
            let file = printable(&file.display().to_string(), SHOWN);
            eprintln!("signalcore: {file}: {}", printable(&error, SHOWN));
            return Ok(exit::USAGE);
        }
    };
    let rows = rows(level, &case);
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    if args.json {
        print(&format!("{:#}\n", object(level, &case, &rows)))?;
    } else {
        print(&table::text(level, &case, &rows, terminal_width().unwrap_or(table::WIDTH), colour))?;
    }
    let is_fine = worst(&rows) < Outcome::Hold;
    Ok(if is_fine { exit::DONE } else { exit::FAILURE })
}

fn rows(level: Level, case: &Case) -> Vec<Row> {
    let test = JobUnderTest::new(&case.job, case.origin);
    let row = |check: &'static Check| {
        let mut times = [0.0; RUNS];
        let mut finding = check.run(&test, &case.context);
        for time in &mut times {
            let start = Instant::now();
            // All checks share what is read of the coinbase; the time for it is this one's.
            let again = (check.level == READING).then(|| JobUnderTest::new(&case.job, case.origin));
            finding = check.run(again.as_ref().unwrap_or(&test), &case.context);
            *time = start.elapsed().as_secs_f64() * 1e6;
        }
        times.sort_by(f64::total_cmp);
        Row { check, finding, microseconds: times[RUNS / 2] }
    };
    checks(level).map(row).collect()
}

/// Where no check ran, nothing is said of the job.
fn worst(rows: &[Row]) -> Outcome {
    rows.iter().map(|row| row.finding.outcome).max().unwrap_or(Outcome::Open)
}

fn object(level: Level, case: &Case, rows: &[Row]) -> Value {
    let check = |row: &Row| {
        json!({
            "level": row.check.level,
            "family": row.check.family,
            "name": row.check.name,
            "result": row.finding.outcome.word(),
            "code": row.finding.code,
            "found": printable(&row.finding.found, SHOWN),
            "expected": printable(&row.finding.expected, SHOWN),
            "microseconds": row.microseconds,
        })
    };
    let stamp = (level >= Level::BEFORE_DISPATCH).then(|| Stamp::of(&case.job, case.origin).to_string());
    json!({
        "job": printable(&case.job.id.to_string(), SHOWN),
        "height": JobUnderTest::new(&case.job, case.origin).height(),
        "level": level.value(),
        "result": worst(rows).word(),
        "checks_executed": rows.len(),
        "checks_left_out": CHECKS.len() - rows.len(),
        "search_space_bits": search_space_bits(&case.job),
        "stamp": stamp,
        "checks": rows.iter().map(check).collect::<Vec<_>>(),
    })
}
