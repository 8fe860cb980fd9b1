//! The recorded frames of real machines, and whole chains on the bench.

mod bench;
mod board;
mod chain;
mod frames;
mod proofs;
mod traces;
mod vectors;
