//! signalcore: a Bitcoin miner for pools, solo mining and ASIC boards.
//!
//! The modules from bottom to top; each may use those above it in this list, never those below
//! (`tests/layers.rs` holds them to it).

pub mod engine;
pub mod protocol;
pub mod work;
