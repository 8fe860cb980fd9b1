//! The virtual boards as a driver meets them: bytes in and out, with a clock that a test moves. Sequences are written out
//! from the published drivers, checksums and hashes are computed here: nothing is taken from the boards themselves.
#![allow(clippy::unwrap_used)] // all of this file is a test, also what clippy does not see as one

mod bench;
mod bitaxe;
mod faults;
mod frames;
mod icarus;
mod life;
mod sequences;
mod vectors;
