//! The exit codes of all subcommands; service managers decide by them whether to start us again.

/// Asked to stop, or done.
pub(crate) const DONE: u8 = 0;
/// A failure while running.
pub(crate) const FAILURE: u8 = 1;
/// A mistake on the command line; clap's own code.
pub(crate) const USAGE: u8 = 2;
/// No upstream and no device would take us. Source: `EX_UNAVAILABLE` of BSD's sysexits.h, as the next three.
pub(crate) const UNAVAILABLE: u8 = 69;
/// The operating system forbids it.
pub(crate) const PERMISSION: u8 = 77;
/// The configuration is invalid.
pub(crate) const CONFIG: u8 = 78;

const MEANINGS: &[(u8, &str)] = &[
    (DONE, "asked to stop, or done"),
    (FAILURE, "a failure while running"),
    (USAGE, "a mistake on the command line"),
    (UNAVAILABLE, "no upstream or device would take us"),
    (PERMISSION, "the operating system forbids it"),
    (CONFIG, "the configuration is invalid"),
];

/// The exit codes for `--help`.
pub(crate) fn help() -> String {
    let lines = MEANINGS.iter().map(|(code, meaning)| format!("\n  {code:>2}  {meaning}"));
    format!("Exit codes:{}", lines.collect::<String>())
}
