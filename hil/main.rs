//! `signalcore-hil`: the practice pool and the hardware-in-the-loop runner as a program.

mod pool_command;

use std::process::ExitCode;

use clap::Parser;

/// Judges a miner from outside.
#[derive(Debug, Parser)]
#[command(name = "signalcore-hil", version, after_help = "Example: signalcore-hil pool --seconds 60")]
enum Command {
    Pool(pool_command::PoolArgs),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    match Command::parse() {
        Command::Pool(args) => pool_command::run(args).await,
    }
}
