//! The `signalcore` program: turns the result of a subcommand into an exit code.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("signalcore: {error:#}");
            ExitCode::from(cli::exit::FAILURE)
        }
    }
}
