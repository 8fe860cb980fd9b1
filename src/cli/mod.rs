//! The command line: one file a subcommand.

pub(crate) mod config;
pub(crate) mod exit;

use clap::Parser;

/// A Bitcoin miner for pools, solo mining and ASIC boards.
#[derive(Debug, Parser)]
#[command(version, after_help = exit::help())]
enum Cli {
    Config(config::Args),
}

/// Runs the subcommand of the command line; gives the exit code.
pub(crate) fn run() -> anyhow::Result<u8> {
    match Cli::parse() {
        Cli::Config(args) => config::run(args),
    }
}
