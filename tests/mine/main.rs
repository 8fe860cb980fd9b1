//! The miner as a user runs it: the real binary, real sockets, real hashing.
#![allow(clippy::unwrap_used)] // all of this crate is tests, also what clippy does not see as one

mod bad_input;
mod bench;
mod blocks;
mod boards;
mod chip_frames;
mod commands;
mod failover;
mod identity;
mod memory;
#[cfg(target_os = "linux")] // the sandbox
mod model;
mod payout;
mod profiles;
mod review;
mod rows;
mod socks;
mod solo;
mod strict_pool;
mod support;
mod transport;
mod validate;
