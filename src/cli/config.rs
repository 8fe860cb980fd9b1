//! `signalcore config`: check, show and write the configuration.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Value, json};
use signalcore::config::{self, ConfigError, Environment, Flags, Loaded, Mistake, Origin, Problem};

use signalcore::wiring::{Plan, PlanError};

use super::{exit, log, print};

const EXAMPLES: &str = "\
Examples:
  signalcore config init      write an annotated file to start from
  signalcore config check     find every mistake in it at once
  signalcore config show      see each value in force and where it comes from";

const CHECK_EXAMPLES: &str = "\
Examples:
  signalcore config check                       the files that mining would read
  signalcore config check --config pool.toml    this file and conf.d/*.toml beside it
  signalcore config check --json | jq .problems

Exit codes: 0 valid, 78 invalid.";

const SHOW_EXAMPLES: &str = "\
Examples:
  signalcore config show
  SIGNALCORE_CPU_THREADS=2 signalcore config show
  signalcore config show --json | jq '.settings[\"cpu.threads\"]'

Exit codes: 0 shown, 78 the configuration is invalid.";

const INIT_EXAMPLES: &str = "\
Examples:
  signalcore config init                        ~/.config/signalcore/config.toml
  signalcore config init --output miner.toml
  signalcore config init --output - | less

Exit codes: 0 written, 1 not written, 77 not allowed to write there.";

/// Check, show or write the configuration.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Report every mistake in files and environment at once.
    #[command(after_help = CHECK_EXAMPLES)]
    Check(Source),
    /// Print the effective configuration and where each value comes from; secrets stay hidden.
    #[command(after_help = SHOW_EXAMPLES)]
    Show(Source),
    /// Write a configuration file with every setting, its default and its meaning.
    #[command(after_help = INIT_EXAMPLES)]
    Init(Init),
}

#[derive(Debug, clap::Args)]
struct Source {
    /// The file to read instead of searching one.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Init {
    /// Where to write; `-` is the standard output. Default: the user's configuration file.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Overwrite the file if it is there.
    #[arg(long)]
    force: bool,
}

/// Runs `signalcore config`; gives the exit code.
pub(crate) fn run(args: Args) -> anyhow::Result<u8> {
    match args.action {
        Action::Check(source) => read(source, check_text, check_json),
        Action::Show(source) => read(source, config::show_toml, config::show_json),
        Action::Init(init) => self::init(&init, &Environment::of_process()),
    }
}

fn read(source: Source, text: fn(&Loaded) -> String, json: fn(&Loaded) -> Value) -> anyhow::Result<u8> {
    let flags = Flags { config: source.config, ..Flags::default() };
    match config::load(&flags, &Environment::of_process()).and_then(also_usable) {
        Ok(loaded) if source.json => print(&format!("{:#}\n", json(&loaded)))?,
        Ok(loaded) => print(&text(&loaded))?,
        Err(error) => {
            if source.json {
                print(&format!("{:#}\n", problems_json(&error)))?;
            } else {
                eprintln!("{error}");
            }
            return Ok(exit::CONFIG);
        }
    }
    Ok(exit::DONE)
}

/// What only mining itself would find: a device, a kernel or a log filter that there is not.
fn also_usable(loaded: Loaded) -> Result<Loaded, ConfigError> {
    let config = &loaded.config;
    let plan = Plan::check(config).err().map(|error| {
        let (field, origin, found) = place(&loaded, &error);
        (field, origin, found, error.to_string())
    });
    let level = log::filter(&config.log.level).err();
    let level = level.map(|error| {
        let origin = loaded.origins.setting("log.level");
        ("log.level", origin, config.log.level.clone(), error.to_string())
    });
    let problem = |(field, origin, found, remedy): (&str, Origin, String, String)| Problem {
        origin,
        field: field.to_owned(),
        mistake: Mistake::Value {
            found,
            expected: "what this version knows on this machine".to_owned(),
            remedy,
        },
    };
    let problems: Vec<_> = plan.into_iter().chain(level).map(problem).collect();
    if problems.is_empty() { Ok(loaded) } else { Err(ConfigError { problems }) }
}

/// Where what a plan complains about comes from: the field, its origin, and its value.
fn place(loaded: &Loaded, error: &PlanError) -> (&'static str, Origin, String) {
    let Loaded { config, origins, .. } = loaded;
    let PlanError::Device { spec, .. } = error else {
        return ("cpu.kernel", origins.setting("cpu.kernel"), config.cpu.kernel.clone());
    };
    match config.boards.iter().position(|board| board.spec() == *spec) {
        Some(at) => ("board", origins.board(at, "port"), spec.clone()),
        None => ("device", origins.setting("device"), spec.clone()),
    }
}

fn check_text(loaded: &Loaded) -> String {
    if loaded.files.is_empty() {
        return "ok: no file found, built-in defaults\n".into();
    }
    format!("ok: {}\n", file_names(loaded).join(", "))
}

fn file_names(loaded: &Loaded) -> Vec<String> {
    loaded.files.iter().map(|path| path.display().to_string()).collect()
}

fn check_json(loaded: &Loaded) -> Value {
    json!({ "ok": true, "files": file_names(loaded), "problems": [] })
}

fn problems_json(error: &ConfigError) -> Value {
    json!({ "ok": false, "problems": error.problems.iter().map(problem_json).collect::<Vec<_>>() })
}

fn problem_json(problem: &Problem) -> Value {
    let (file, line) = match &problem.origin {
        Origin::File { path, line } => (Some(path.display().to_string()), Some(line)),
        _ => (None, None),
    };
    json!({
        "origin": problem.origin.to_string(),
        "file": file,
        "line": line,
        "field": problem.field,
        "found": problem.found(),
        "expected": problem.expected(),
        "remedy": problem.remedy(),
    })
}

fn init(args: &Init, environment: &Environment) -> anyhow::Result<u8> {
    let text = config::annotated_default();
    if args.output.as_deref() == Some(Path::new("-")) {
        print(&text)?;
        return Ok(exit::DONE);
    }
    let path = args.output.clone().or_else(|| config::user_file(environment));
    let path = path.context("no home directory to write to; name a file with --output FILE")?;
    match write_new(&path, &text, args.force) {
        Ok(()) => {
            print(&format!("wrote {}\n", path.display()))?;
            Ok(exit::DONE)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.symlink_metadata().is_ok() => {
            eprintln!(
                "{} is there already; --force overwrites it, --output FILE writes elsewhere",
                path.display()
            );
            Ok(exit::FAILURE)
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            eprintln!("{} cannot be written ({error}); --output FILE writes elsewhere", path.display());
            Ok(exit::PERMISSION)
        }
        Err(error) => Err(error).with_context(|| format!("write {}", path.display())),
    }
}

/// Writes a file that only its owner may read, because passwords will be added to it.
fn write_new(path: &Path, text: &str, force: bool) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create(force).truncate(force).create_new(!force);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file: File = options.open(path)?;
    file.write_all(text.as_bytes())
}
