//! `signalcore-hil`: the practice pool, the virtual boards and the checks of boards as a program.

mod clock;
mod pool_command;
#[cfg(unix)]
mod run_command;
mod signals;
#[cfg(unix)]
mod virtual_command;

use std::process::ExitCode;

use clap::Parser;

/// Judges a miner from outside.
#[derive(Debug, Parser)]
#[command(name = "signalcore-hil", version, after_help = "Example: signalcore-hil pool --seconds 60")]
enum Command {
    Pool(pool_command::PoolArgs),
    #[cfg(unix)]
    Run(run_command::RunArgs),
    #[cfg(unix)]
    Virtual(virtual_command::VirtualArgs),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    match Command::parse() {
        Command::Pool(args) => pool_command::run(args).await,
        #[cfg(unix)]
        Command::Run(args) => run_command::run(args).await,
        #[cfg(unix)]
        Command::Virtual(args) => virtual_command::run(args).await,
    }
}
