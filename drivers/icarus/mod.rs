//! Icarus and its family: FPGA boards and sticks that take 64 bytes of work and answer with a nonce. No I/O, no clock.
//!
//! Source: cgminer `driver-icarus.c`, bfgminer `driver-icarus.c`, `driver-erupter.c` and `driver-antminer.c`.

mod board;
mod clock;
mod detection;
mod model;
pub mod shell;

pub use board::{Icarus, IcarusConfig, IcarusEvent, IcarusFault};
pub use clock::{ClockError, Frequency};
pub use model::{BAUD, MODELS, Model};

#[cfg(test)]
mod tests;
