//! `signalcore replay`: what the rule for choosing jobs is worth, in virtual time.

mod asker;
mod explain;
mod table;

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use signalcore::decision::Settings;
use signalcore::replay::gate::{self, Paired, Verdict};
use signalcore::replay::plot;
use signalcore::replay::policy::Kind;
use signalcore::replay::scenario::{self, SCENARIOS, Scenario};
use signalcore::replay::score::{self, Sample, Score};
use signalcore::replay::world::{Rules, World};
use signalcore::wiring::log_file;

pub(super) use self::asker::Asker;
use super::{exit, print};

const EXAMPLES: &str = "\
Examples:
  signalcore replay                                        all scenarios, all policies
  signalcore replay --scenario S5 --seeds 32
  signalcore replay --policy first_come --policy math --plot replay.svg
  signalcore replay --log decisions.jsonl                  a recorded log
  signalcore replay --policy math --policy math+model --scenario S5 --seeds 2
  signalcore replay --scenario S4 --explain 12             one decision with its alternatives
  signalcore replay --json | jq 'select(.policy == \"math\")'

Efficiency is what a policy earns of what an oracle earns that knows everything. Waste: seconds a day of hashing that
earned nothing. Idle: seconds a day without a job. Dead: seconds a day lost to flushes. Gain: over math, seed by seed.

Exit codes: 0 done, 1 a file cannot be read or written, 2 command line.";

/// Seeds for a recorded log: they draw its shares alone.
const SEEDS_OF_LOG: u64 = 4;
/// Worlds at the same time: the machine mines beside it.
const MOST_THREADS: usize = 2;

/// Measure the rule for choosing jobs in virtual time.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Scenario to generate worlds of; repeatable.
    #[arg(long = "scenario", value_name = "NAME|all", default_value = "all", value_parser = scenarios)]
    scenarios: Vec<Scenarios>,
    /// A log to replay instead, recorded or written by hand.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["scenarios", "days"])]
    log: Option<PathBuf>,
    /// Let math decide by the default settings instead of those that the log was recorded with.
    #[arg(long, requires = "log")]
    default_settings: bool,
    /// Policy to measure; repeatable, all unless given.
    #[arg(long = "policy", value_name = "NAME", value_parser = policy)]
    policies: Vec<Kind>,
    /// Worlds of each scenario.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    seeds: Option<u64>,
    /// Days of each world.
    #[arg(long, value_name = "D", value_parser = days)]
    days: Option<f64>,
    /// Configuration with the model of math+model, instead of searching one.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON object a scenario and policy.
    #[arg(long)]
    json: bool,
    /// Draw what each policy lost: a file that ends in .svg or .png.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Print one decision of math, counted from 1, with its alternatives and their values.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), conflicts_with_all = ["json", "plot"])]
    explain: Option<u64>,
}

#[derive(Debug, Clone)]
struct Scenarios(Vec<&'static Scenario>);

fn scenarios(text: &str) -> Result<Scenarios, String> {
    if text == "all" {
        return Ok(Scenarios(SCENARIOS.iter().collect()));
    }
    let known = || SCENARIOS.iter().map(|scenario| scenario.name).collect::<Vec<_>>().join(", ");
    let found = scenario::named(text).ok_or_else(|| format!("expected all or one of {}", known()))?;
    Ok(Scenarios(vec![found]))
}

fn policy(text: &str) -> Result<Kind, String> {
    let known = || format!("{}, math+model", Kind::ALL.map(Kind::name).join(", "));
    Kind::named(text).ok_or_else(|| format!("expected one of {}", known()))
}

fn days(text: &str) -> Result<f64, String> {
    let days = text.parse().ok().filter(|days| (0.01..=366.0).contains(days));
    days.ok_or("expected a number from 0.01 to 366".to_owned())
}

/// What worlds are made of.
enum Source {
    Scenario(&'static Scenario, Option<f64>),
    Log(String, Box<World>),
}

impl Source {
    fn name(&self) -> &str {
        match self {
            Self::Scenario(scenario, _) => scenario.name,
            Self::Log(name, _) => name,
        }
    }

    fn world(&self, seed: u64) -> Cow<'_, World> {
        match self {
            Self::Scenario(scenario, days) => Cow::Owned(scenario.plan().world(seed, *days)),
            Self::Log(_, world) => Cow::Borrowed(world),
        }
    }

    fn seeds(&self, asked: Option<u64>) -> u64 {
        asked.unwrap_or(match self {
            Self::Scenario(scenario, _) => scenario.seeds,
            Self::Log(..) => SEEDS_OF_LOG,
        })
    }
}

/// What was measured of one source.
struct Measured {
    name: String,
    /// What math must reach, in a scenario as it is meant.
    bar: Option<f64>,
    scores: Vec<(Kind, Score)>,
}

/// Runs `signalcore replay`; gives the exit code.
pub(crate) fn run(args: &Args) -> anyhow::Result<u8> {
    let format = args.plot.as_deref().map(Format::of);
    if let Some(None) = format {
        eprintln!("signalcore: --plot: expected a file that ends in .svg or .png");
        return Ok(exit::USAGE);
    }
    let sources = sources(args)?;
    if let Some(number) = args.explain {
        let [source] = &sources[..] else {
            eprintln!("signalcore: --explain: expected one scenario, named with --scenario, or a log");
            return Ok(exit::USAGE);
        };
        return print(&explain::text(&source.world(0), number, Instant::now())).map(|()| exit::DONE);
    }
    let policies = if args.policies.is_empty() { Kind::ALL.to_vec() } else { args.policies.clone() };
    let asker = if policies.contains(&Kind::MathModel) {
        match Asker::configured(args.config.clone()) {
            Ok(asker) => Some(asker),
            Err(code) => return Ok(code),
        }
    } else {
        None
    };
    let measured = measure(&sources, &policies, args.seeds, asker.as_ref());
    if let Some(asker) = &asker {
        eprintln!("{}", asker.told());
    }
    if let (Some(path), Some(Some(format))) = (&args.plot, format) {
        let picture = format.picture(&columns(&measured));
        std::fs::write(path, picture).with_context(|| format!("--plot: write {}", path.display()))?;
    }
    let text = if args.json { lines(&measured) } else { table::text(&measured) };
    print(&text).map(|()| exit::DONE)
}

fn sources(args: &Args) -> anyhow::Result<Vec<Source>> {
    let Some(path) = &args.log else {
        let named = args.scenarios.iter().flat_map(|scenarios| &scenarios.0);
        return Ok(named.map(|scenario| Source::Scenario(scenario, args.days)).collect());
    };
    Ok(vec![log_source(path, args.default_settings)?])
}

/// `by_default`: by the default settings, whatever those of the log are.
fn log_source(path: &Path, by_default: bool) -> anyhow::Result<Source> {
    let mut world = log_file::read(path).with_context(|| format!("--log: {}", path.display()))?;
    if by_default {
        world.rules = Rules { settings: Settings::default(), ..world.rules };
        world.upstreams.iter_mut().for_each(|upstream| upstream.patience = None);
    } else if world.rules.settings.strategy.is_shared() {
        eprintln!(
            "signalcore: this log is of hashing that was shared; math hashes for one at a time here, by value"
        );
    }
    let name = path.file_stem().and_then(OsStr::to_str).unwrap_or("log");
    Ok(Source::Log(name.to_owned(), Box::new(world)))
}

/// Every policy in every world, some worlds at the same time.
fn measure(
    sources: &[Source],
    policies: &[Kind],
    seeds: Option<u64>,
    asker: Option<&Asker>,
) -> Vec<Measured> {
    let worlds: Vec<_> =
        (0..sources.len()).flat_map(|at| (0..sources[at].seeds(seeds)).map(move |seed| (at, seed))).collect();
    let bar = progress(worlds.len());
    let (next, samples) = (AtomicUsize::new(0), Mutex::new(vec![Vec::new(); worlds.len()]));
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let place = next.fetch_add(1, Ordering::Relaxed)
                    && let Some((at, seed)) = worlds.get(place)
                {
                    let (world, model) = (sources[*at].world(*seed), || asker.map(Asker::model));
                    let found = score::samples(&world, policies, *seed, Instant::now(), model);
                    samples.lock().expect("no thread panics while it holds the lock")[place] = found;
                    bar.inc(1);
                }
            });
        }
    });
    bar.finish_and_clear();
    let mut samples = samples.into_inner().expect("no thread panics while it holds the lock").into_iter();
    sources
        .iter()
        .map(|source| {
            let of_source: Vec<Vec<Sample>> = samples.by_ref().take(source.seeds(seeds) as usize).collect();
            let score = |(place, kind): (usize, &Kind)| {
                (*kind, Score { samples: of_source.iter().map(|sample| sample[place]).collect() })
            };
            let bar = match source {
                Source::Scenario(scenario, None) => Some(scenario.bar),
                Source::Scenario(_, Some(_)) | Source::Log(..) => None,
            };
            let scores = policies.iter().enumerate().map(score).collect();
            Measured { name: source.name().to_owned(), bar, scores }
        })
        .collect()
}

/// Measures a model against mathematics in all scenarios, or in a log. Gives the table that shows it, and what it comes to.
pub(super) fn gate(
    log: Option<&Path>,
    seeds: Option<u64>,
    days: Option<f64>,
    asker: &Asker,
) -> anyhow::Result<(String, Verdict)> {
    let sources = match log {
        Some(path) => vec![log_source(path, false)?],
        None => SCENARIOS.iter().map(|scenario| Source::Scenario(scenario, days)).collect(),
    };
    let policies = [Kind::Oracle, Kind::Math, Kind::MathModel];
    let measured = measure(&sources, &policies, seeds, Some(asker));
    let paired = |measured: &Measured| {
        let (math, model) = (measured.of(Kind::Math)?, measured.of(Kind::MathModel)?);
        Some(Paired { name: measured.name.clone(), gains: model.gains_over(math).collect() })
    };
    let verdict = gate::judge(&measured.iter().filter_map(paired).collect::<Vec<_>>());
    Ok((table::text(&measured), verdict))
}

/// A bar on the standard error that fills with the worlds; nothing where that is no terminal.
fn progress(worlds: usize) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("replaying {bar:40} {pos}/{len} worlds, {eta} left");
    ProgressBar::new(worlds as u64).with_style(style.expect("the template is well-formed"))
}

fn columns(measured: &[Measured]) -> Vec<plot::Column> {
    let column = |measured: &Measured| {
        let drawn = measured.scores.iter().filter(|(kind, _)| *kind != Kind::Oracle);
        let scores = drawn.map(|(kind, score)| (kind.name(), score.clone())).collect();
        plot::Column { name: measured.name.clone(), scores }
    };
    measured.iter().map(column).collect()
}

#[derive(Debug, Clone, Copy)]
enum Format {
    Svg,
    Png,
}

impl Format {
    fn of(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?;
        let is = |other: &str| ending.eq_ignore_ascii_case(other);
        is("svg").then_some(Self::Svg).or(is("png").then_some(Self::Png))
    }

    fn picture(self, columns: &[plot::Column]) -> Vec<u8> {
        match self {
            Self::Svg => plot::svg(columns).into_bytes(),
            Self::Png => plot::png(columns),
        }
    }
}

impl Measured {
    fn of(&self, policy: Kind) -> Option<&Score> {
        self.scores.iter().find(|(kind, _)| *kind == policy).map(|(_, score)| score)
    }

    fn math(&self) -> Option<&Score> {
        self.of(Kind::Math)
    }
}

fn lines(measured: &[Measured]) -> String {
    let objects = measured.iter().flat_map(|measured| {
        measured.scores.iter().map(move |(kind, score)| format!("{}\n", object(measured, *kind, score)))
    });
    objects.collect()
}

fn object(measured: &Measured, kind: Kind, score: &Score) -> Value {
    let efficiency = score.efficiency();
    let gain = measured.math().map(|math| score.gain_over(math));
    json!({
        "event": "replay",
        "scenario": measured.name,
        "policy": kind.name(),
        "seeds": score.samples.len(),
        "efficiency": efficiency.mean,
        "standard_error": efficiency.error,
        "minimum": efficiency.least,
        "waste_seconds_a_day": score.mean(|sample| sample.waste).mean,
        "idle_seconds_a_day": score.mean(|sample| sample.idle).mean,
        "dead_seconds_a_day": score.mean(|sample| sample.dead).mean,
        "moves_a_day": score.mean(|sample| sample.moves).mean,
        "flushes_a_day": score.mean(|sample| sample.flushes).mean,
        "gain_over_math": gain.map(|gain| gain.mean),
        "gain_standard_error": gain.map(|gain| gain.error),
        "headroom_over_math": measured.math().and_then(|math| score.headroom_over(math)),
        "bar_for_math": measured.bar,
    })
}
