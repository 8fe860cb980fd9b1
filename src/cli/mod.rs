//! The command line: one file a subcommand.

pub(crate) mod bench;
pub(crate) mod blocks;
pub(crate) mod config;
pub(crate) mod decode;
pub(crate) mod demo;
pub(crate) mod devices;
pub(crate) mod exit;
pub(crate) mod log;
pub(crate) mod mine;
pub(crate) mod model;
pub(crate) mod replay;
pub(crate) mod sandboxed;
pub(crate) mod shell;
pub(crate) mod signals;
pub(crate) mod validate;

use std::future::Future;
use std::io::{self, ErrorKind, Write};

use anyhow::Context;
use clap::Parser;
use signalcore::engine::task::End;
use signalcore::wiring::Outcome;

/// A Bitcoin miner for Stratum V1 pools.
#[derive(Debug, Parser)]
#[command(version, after_help = help())]
enum Cli {
    Mine(Box<mine::Args>),
    Demo(demo::Args),
    Bench(bench::Args),
    Decode(decode::Args),
    #[command(visible_alias = "check-job")]
    Validate(validate::Args),
    Blocks(blocks::Args),
    Devices(devices::Args),
    Model(model::Args),
    Replay(replay::Args),
    Config(config::Args),
    Completions(shell::CompletionsArgs),
    Man(shell::ManArgs),
    #[command(name = signalcore::model::sandbox::SUBCOMMAND)]
    Sandboxed(sandboxed::Args),
}

fn help() -> String {
    let examples =
        "Examples:\n  signalcore demo --seconds 20\n  signalcore mine --pool HOST:PORT --user ADDRESS";
    format!("{examples}\n\n{}", exit::help())
}

/// Runs the subcommand of the command line; gives the exit code.
pub(crate) fn run() -> anyhow::Result<u8> {
    match Cli::parse() {
        Cli::Mine(args) => mine::run(*args),
        Cli::Demo(args) => demo::run(args),
        Cli::Bench(args) => bench::run(&args),
        Cli::Decode(args) => decode::run(args),
        Cli::Validate(args) => validate::run(&args),
        Cli::Blocks(args) => blocks::run(&args),
        Cli::Devices(args) => devices::run(&args),
        Cli::Model(args) => model::run(args),
        Cli::Replay(args) => replay::run(&args),
        Cli::Config(args) => config::run(args),
        Cli::Completions(args) => Ok(shell::completions(&args)),
        Cli::Man(args) => shell::man(&args),
        Cli::Sandboxed(args) => sandboxed::run(&args),
    }
}

/// Runs a future on this thread. One thread suffices: it only moves messages, the hashing has threads of its own.
fn block_on<T>(future: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    let result = runtime.block_on(future);
    // A name that is still being resolved must not hold up the end.
    runtime.shutdown_background();
    Ok(result)
}

/// The exit code for how mining ended; says why where that is not what was asked for.
fn exit_code(outcome: &Outcome) -> u8 {
    let is_on = !outcome.powered.is_empty();
    if is_on {
        let boards = outcome.powered.join(", ");
        eprintln!("signalcore: may still have power: {boards}; take the supply away, or start again");
    }
    let complaint = match &outcome.end {
        End::Time if !outcome.had_work => "no pool gave any work in this time",
        End::Asked | End::Time | End::Shares | End::Blocks if is_on => return exit::FAILURE,
        End::Asked | End::Time | End::Shares | End::Blocks => return exit::DONE,
        End::NoUpstream => "every pool has failed, and --require-upstream is set",
        End::NoBoard => "no board is left",
    };
    eprintln!("signalcore: {complaint}");
    for failure in &outcome.failures {
        eprintln!("  {failure}");
    }
    exit::UNAVAILABLE
}

/// Prints to the standard output; a reader that has gone away, such as `head`, is no failure.
fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("write to the standard output")
        }
        _ => Ok(()),
    }
}
