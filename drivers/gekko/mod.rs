//! GekkoScience's older sticks: Compac and 2Pac with BM1384, NewPac with BM1387. No I/O and no clock but in [`shell`].
//!
//! Source: cgminer `driver-gekko.c`, `driver-gekko.h` and `usbutils.c`, bfgminer `driver-icarus.c` and `util.c`. Nothing of
//! it was tried on hardware, and no capture of a whole start was at hand. What the sources leave open, and what is done here:
//!
//! - How the chips are reset. cgminer moves pins of the USB chip (CBUS pins of the FT230X, GPIO latch of the CP2102), which
//!   no serial port reaches; so a stick is taken as it comes up when plugged in, and stays at the speed it has then.
//! - Which answer a BM1384 gives to a request for its id: taken to begin with `13 84`, as that of the BM1387 does with
//!   `13 87`. If it does not, the stick is refused.
//! - The ticket mask and the hash count in a BM1384's work: zero, as bfgminer drives the Compac as an Icarus. It then
//!   reports every nonce of difficulty 1.
//! - How many busy works open the cores: one for each core of a chip.
//! - The limits of frequency: far within what cgminer allows, because nothing here measures heat.

mod board;
mod frame;
pub mod identify;
mod model;
pub mod shell;

pub use board::{Gekko, GekkoConfig, GekkoEvent, GekkoFault};
pub use frame::BAUD;
pub use model::{FrequencyError, MODELS, Model};

#[cfg(test)]
mod tests;
