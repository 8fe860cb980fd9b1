//! Models as an operator has them: real programs in the real sandbox, a real HTTP server, the real command line.
#![cfg(target_os = "linux")] // the sandbox
#![allow(clippy::unwrap_used)] // all of this crate is tests, also what clippy does not see as one

mod baseline;
mod command;
mod http;
mod programs;
mod sandbox;
mod script;
mod server;
mod support;
mod task;
