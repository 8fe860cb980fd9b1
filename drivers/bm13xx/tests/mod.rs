//! The recorded frames of real machines.

mod frames;
mod proofs;
mod vectors;
