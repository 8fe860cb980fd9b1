//! Bitaxe boards, driven and played: our driver against the virtual boards, which share no code with it. In memory, where
//! an hour takes seconds, and once on pseudo-terminals.
#![allow(clippy::unwrap_used)] // all of this file is a test, also what clippy does not see as one

mod bench;
#[cfg(unix)] // pseudo-terminals
mod ports;
mod whole_board;
