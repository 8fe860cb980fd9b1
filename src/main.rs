//! The `signalcore` program: turns the result of a subcommand into an exit code.

fn main() {}
