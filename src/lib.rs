//! signalcore: a Bitcoin miner for pools, solo mining and ASIC boards.
//!
//! The modules from bottom to top; each may use those below it in this list, never those above
//! (`tests/layers.rs` holds them to it).

pub mod clock;
pub mod config;
pub mod engine;
pub mod monitor;
pub mod protocol;
pub mod upstream;
pub mod wiring;
pub mod work;
