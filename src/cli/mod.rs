//! The command line: one file a subcommand.

pub(crate) mod config;
pub(crate) mod decode;
pub(crate) mod demo;
pub(crate) mod exit;
pub(crate) mod log;
pub(crate) mod mine;
pub(crate) mod shell;
pub(crate) mod signals;

use std::future::Future;
use std::io::{self, ErrorKind, Write};

use anyhow::Context;
use clap::Parser;
use signalcore::engine::task::End;

/// A Bitcoin miner for Stratum V1 pools.
#[derive(Debug, Parser)]
#[command(version, after_help = exit::help())]
enum Cli {
    Mine(Box<mine::Args>),
    Demo(demo::Args),
    Decode(decode::Args),
    Config(config::Args),
    Completions(shell::CompletionsArgs),
    Man(shell::ManArgs),
}

/// Runs the subcommand of the command line; gives the exit code.
pub(crate) fn run() -> anyhow::Result<u8> {
    match Cli::parse() {
        Cli::Mine(args) => mine::run(*args),
        Cli::Demo(args) => demo::run(args),
        Cli::Decode(args) => decode::run(args),
        Cli::Config(args) => config::run(args),
        Cli::Completions(args) => Ok(shell::completions(&args)),
        Cli::Man(args) => shell::man(&args),
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

/// The exit code for how mining ended.
fn exit_code(end: &End, had_work: bool) -> u8 {
    match end {
        End::Time if !had_work => {
            eprintln!("signalcore: no pool gave any work in this time; see the lines above for the reasons");
            exit::UNAVAILABLE
        }
        End::Asked | End::Time | End::Shares => exit::DONE,
        End::NoUpstream => {
            eprintln!("signalcore: every pool has failed and --require-upstream is set");
            exit::UNAVAILABLE
        }
        End::NoBoard => {
            eprintln!("signalcore: no board is left");
            exit::UNAVAILABLE
        }
    }
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
