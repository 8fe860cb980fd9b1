//! Bitmain's BM1397, BM1362, BM1366, BM1368 and BM1370: what goes over their line, and a chain of them as a state
//! machine. Nothing here reads, writes or looks at a clock but [`board`], the shell around all of it.

pub mod answer;
pub mod board;
pub mod bring_up;
pub mod chain;
pub mod chip;
pub mod crc;
pub mod decoder;
pub mod dissect;
pub mod frame;
pub mod job;
pub mod job_frame;
pub mod meter;
pub mod nonce;
pub mod pll;
pub mod register;
pub mod sweep;
#[cfg(test)]
mod tests;
pub mod ticket;
