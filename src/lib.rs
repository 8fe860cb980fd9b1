//! signalcore: a Bitcoin miner for Stratum V1 pools.
//!
//! Arrows point down: work ← protocol ← upstream ← engine ← monitor ← wiring ← the command line, with config, clock
//! and priority beside them. `tests/layers.rs` has the table of who may use whom, and holds each file to it.

pub mod clock;
pub mod config;
pub mod decision;
pub mod engine;
pub mod memory;
pub mod model;
pub mod monitor;
pub mod priority;
pub mod protocol;
pub mod replay;
pub mod upstream;
pub mod validate;
pub mod wiring;
pub mod work;
