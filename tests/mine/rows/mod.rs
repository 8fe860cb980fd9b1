//! What pools of the field do and what attackers do, row by row: the tables of CONTRIBUTING.md name each test.

mod chain;
mod difficulty;
mod envelope;
mod excess;
mod handshake;
mod jobs;
mod judge;
mod play;
mod shares;
mod tables;
mod theft;
mod ways;
