//! The model interface: a model of the operator's choice may amend economic decisions, and nobody waits for it.
//!
//! `input` and `output` are what is said; `advisor` decides what is asked and what an answer is good for, with `breaker`,
//! `cache`, `attempts` and `statistics`; `dialect`, `prompt` and `extract` know how servers and programs put it. These are
//! pure. `backend` is all of what may answer: `process` for programs, in a `sandbox`, `http` for servers; `task` is the shell
//! around an advisor and its back end. `learned` is what is learnt of bad spells.

pub mod advisor;
pub mod attempts;
pub mod backend;
pub mod breaker;
pub mod cache;
pub mod dialect;
pub mod envelope;
pub mod extract;
pub mod failure;
pub mod features;
pub mod health;
pub mod http;
pub mod input;
pub mod learned;
pub mod output;
pub mod process;
pub mod prompt;
pub mod sandbox;
pub mod statistics;
pub mod task;
mod whole;

#[cfg(test)]
mod schema_tests;
