//! Bitaxe boards and older sticks of GekkoScience, driven and played: our drivers against the virtual boards, which share no
//! code with them. In memory, where an hour takes seconds, and once on pseudo-terminals.
#![allow(clippy::unwrap_used)] // all of this file is a test, also what clippy does not see as one

mod bad_line;
mod bench;
mod identify;
#[cfg(unix)] // pseudo-terminals
mod ports;
mod safety;
mod sticks;
mod tuning;
mod whole_board;
