//! Virtual boards, byte for byte: what a driver would meet on a real one, behind a pseudo-terminal or in a test.
//!
//! They are silent until spoken to, strict about checksums, addresses and speed, and dead until powered and reset. Their
//! nonces are real, found by hashing, at fewer zero bits than silicon needs. Nothing here is of the driver's hand: two
//! equal mistakes would cancel out.
//!
//! **What a driver has to be told.** A chip reports hashes with 32 zero bits plus those of its ticket mask; a virtual one
//! with `zero_bits` plus those. So a nonce from a port with `zero_bits` = Z stands for 2^Z hashes times the ticket
//! difficulty instead of 2^32, its difficulty is at least 2^(Z - 32) times the ticket's, and the excess bits in an answer
//! count from there. How often nonces come still follows the clock, as on silicon, unless ordered otherwise.
//!
//! **Way of a byte.** `Board` → `faults` → `chain` (`frame` → `chip` → `sweep` → `hash`), or `icarus` or `gekko` (→ `scan` → `hash`) → `uart` → `faults` →
//! `Board`; the control port goes `control` → `i2c` → `sensors`, `regulators`. All of it is pure: bytes and times in, bytes
//! and times out; only `pty` and `shell` reach outside.

mod board;
mod boards;
mod chain;
mod chain_board;
mod chip;
mod control;
mod crc;
mod event;
mod faults;
mod frame;
mod gekko;
mod hash;
mod i2c;
mod icarus;
mod kinds;
#[cfg(unix)]
mod pty;
mod regulators;
mod scan;
mod sensors;
#[cfg(unix)]
mod shell;
mod sweep;
mod thermal;
mod uart;
mod work;

use std::sync::Arc;

pub use board::Board;
pub use boards::{BOARDS, BoardKind};
pub use event::{Event, Port};
pub use faults::{Fault, FaultKind, NoFault};
#[cfg(unix)]
pub use pty::{LinkError, LinkedPty};
#[cfg(unix)]
pub use shell::{Shell, ShellError};
pub use work::SolvedHeader;

use boards::Model;
use chip::{ChipPace, Habits};

/// Longest chain: there are so many addresses. From 129 on their step is 1, which chips that ignore bit 0 share in pairs.
const MOST_CHIPS: usize = 256;
/// A serial line of 115 200 baud carries a thousand answers a second.
const MOST_NONCES: f64 = 10_000.0;

/// How often nonces come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// This many times as often as on silicon.
    Scaled(f64),
    /// This often a second from the whole board, whatever clock and ticket mask are.
    PerSecond(f64),
}

/// What to play, and how.
#[derive(Clone, Debug)]
pub struct BoardConfig {
    /// A row of `BOARDS`.
    pub kind: &'static BoardKind,
    /// In the chain, 1 to 256.
    pub chips: usize,
    /// A nonce needs so many before the ticket mask: 32 in silicon, 0 to 32 here.
    pub zero_bits: u32,
    /// How often nonces come.
    pub pace: Pace,
    /// Whether chips hash only after all that every driver sets was set, or as early as one was ever seen to.
    pub strict: bool,
    /// The same seed makes the same board.
    pub seed: u64,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// Headers whose nonces are given at their place when a job leads to them.
    pub solved: Vec<SolvedHeader>,
}

impl BoardConfig {
    /// The board as it is sold, at 8 zero bits.
    pub fn new(kind: &'static BoardKind) -> Self {
        Self {
            kind,
            chips: kind.chips(),
            zero_bits: 8,
            pace: Pace::Scaled(1.0),
            strict: true,
            seed: 1,
            faults: Vec::new(),
            solved: Vec::new(),
        }
    }

    fn check(&self) -> Result<(), BoardConfigError> {
        let (Pace::Scaled(pace) | Pace::PerSecond(pace)) = self.pace;
        if !(1..=MOST_CHIPS).contains(&self.chips) {
            return Err(BoardConfigError::Chips(self.chips));
        }
        if matches!(self.kind.model, Model::Icarus(_)) && self.chips != 1 {
            return Err(BoardConfigError::NoChain { board: self.kind.name, chips: self.chips });
        }
        if self.zero_bits > 32 {
            return Err(BoardConfigError::ZeroBits(self.zero_bits));
        }
        if !(0.0..=MOST_NONCES).contains(&pace) {
            return Err(BoardConfigError::Pace(pace));
        }
        Ok(())
    }

    fn habits(&self) -> Habits {
        Habits {
            zero_bits: self.zero_bits,
            strict: self.strict,
            pace: match self.pace {
                Pace::Scaled(scale) => ChipPace::Scaled(scale),
                // The chips of an old stick share one range.
                Pace::PerSecond(rate) if !matches!(self.kind.model, Model::Chain(_)) => {
                    ChipPace::PerSecond(rate)
                }
                Pace::PerSecond(rate) => ChipPace::PerSecond(rate / self.chips as f64),
            },
            seed: self.seed,
            solved: Arc::from(self.solved.as_slice()),
        }
    }
}

/// Settings that make no board.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum BoardConfigError {
    /// More than addresses allow, or none.
    #[error("chips = {0}: a chain has 1 to 256")]
    Chips(usize),
    /// A device that shows no chips.
    #[error("chips = {chips}: {board} is one device; leave chips out")]
    NoChain {
        /// Its name.
        board: &'static str,
        /// As configured.
        chips: usize,
    },
    /// More than silicon needs.
    #[error("zero bits = {0}: 0 to 32 can be played, and 32 is what silicon needs")]
    ZeroBits(u32),
    /// No number, or more than a serial line carries.
    #[error("pace = {0}: from 0 to 10000, as a factor or as nonces a second")]
    Pace(f64),
}
