//! The recorded frames of real machines, and whole chains on the bench.

mod bad_line;
mod bench;
mod board;
mod chain;
mod frames;
mod hashing;
mod proofs;
mod traces;
mod vectors;
