//! `signalcore completions` and `signalcore man`: what shells and `man` want to know of the command line.

use std::io;

use clap::{Command, CommandFactory};
use clap_complete::Shell;

use super::{Cli, exit};

const COMPLETION_EXAMPLES: &str = "\
Examples:
  signalcore completions bash > ~/.local/share/bash-completion/completions/signalcore
  signalcore completions zsh > ~/.zfunc/_signalcore
  signalcore completions fish > ~/.config/fish/completions/signalcore.fish";

const MAN_EXAMPLES: &str = "\
Examples:
  signalcore man | man -l -
  signalcore man mine > signalcore-mine.1";

/// Print completions for a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = COMPLETION_EXAMPLES)]
pub(crate) struct CompletionsArgs {
    shell: Shell,
}

/// Print a manual page.
#[derive(Debug, clap::Args)]
#[command(after_help = MAN_EXAMPLES)]
pub(crate) struct ManArgs {
    /// The command to describe, such as `mine` or `config show`; all of signalcore unless given.
    command: Vec<String>,
}

/// Runs `signalcore completions`; gives the exit code.
pub(crate) fn completions(args: &CompletionsArgs) -> u8 {
    clap_complete::generate(args.shell, &mut Cli::command(), "signalcore", &mut io::stdout());
    exit::DONE
}

/// Runs `signalcore man`; gives the exit code.
pub(crate) fn man(args: &ManArgs) -> anyhow::Result<u8> {
    let mut command = Cli::command();
    command.build();
    for name in &args.command {
        let Some(found) = command.find_subcommand(name) else {
            let known: Vec<_> = command.get_subcommands().map(Command::get_name).collect();
            eprintln!(
                "signalcore: {} has no command {name:?}; it has: {}",
                command.get_name(),
                known.join(", ")
            );
            return Ok(exit::USAGE);
        };
        command = found.clone();
    }
    clap_mangen::Man::new(command).render(&mut io::stdout())?;
    Ok(exit::DONE)
}
