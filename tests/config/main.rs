//! The configuration as an operator meets it: layers, mistakes, the subcommand.

#![allow(clippy::unwrap_used)] // clippy.toml lets the test functions, and here their helpers need it too

mod boards;
mod command;
mod layers;
mod mistakes;
mod model;
mod nodes;
mod setup;
