//! Hardware in the loop: named checks of boards, real ones on their ports and virtual ones, by running the miner as a user
//! runs it.
//!
//! A board's way: `spec` (what the bench file says) → `runner` (a miner as a child in `miner`, the practice pool or the
//! one of `known` behind `known_pool`, a virtual board in `player`) → `evidence` (what each of them told) → `check` (the
//! verdicts, with `statistics`) → `report`. Nothing here shares code with the miner: it is known by its command line, its
//! JSON lines and its shares, which the pools hash again. All but the four that reach outside is pure.

mod check;
mod evidence;
mod known;
mod known_pool;
mod miner;
mod player;
mod report;
mod runner;
mod spec;
mod statistics;

pub use check::{CHECKS, Check, Finding, Phase, Status};
pub use report::{Report, Row};
pub use runner::{Progress, Setup, planned_seconds, run};
pub use spec::{Bench, BenchError, Board};
