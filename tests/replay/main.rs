//! The rule for choosing jobs in virtual time: what it must reach in generated worlds, and what it does in written ones.
#![allow(clippy::unwrap_used)] // all of this is tests

mod bars;
mod command;
mod record;
mod scripts;
mod watched;
