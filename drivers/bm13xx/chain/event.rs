//! What a chain tells its shell, and why it is not hashing.

use std::time::{Duration, Instant};

use crate::BoardEvent;

/// For the shell to do or to pass on, in order.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ChainEvent {
    /// Hold the reset line of the chips, or let it go.
    ResetLine {
        /// Whether it is held.
        held: bool,
    },
    /// Send what is left of the bytes, then take this speed.
    HostSpeed(u32),
    /// The chips are counted, addressed and at their frequency, and take jobs now.
    Ready,
    /// It does not work; the chips are reset and brought up again.
    Failed(ChainFault),
    /// It has not worked several times in a row. The chips are held in reset and tried again later.
    Parked {
        /// What was wrong the last time.
        reason: ChainFault,
        /// When they are tried again.
        until: Instant,
    },
    /// There has been no work for a while: the chips are held in reset until there is.
    Resting,
    /// For the engine.
    Board(BoardEvent),
}

/// What is wrong with a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainFault {
    /// Fewer ids than chips. Chips answer in the order of the chain.
    #[error(
        "{found} of {expected} chips answer, the first one missing is number {found} counted from 0; check its power and \
         the line before it"
    )]
    Missing {
        /// Ids that came.
        found: usize,
        /// Chips of the board.
        expected: usize,
    },
    /// More ids than chips.
    #[error("{found} chips answer, the board has {expected}; set its number of chips")]
    TooMany {
        /// Ids that came.
        found: usize,
        /// Chips of the board.
        expected: usize,
    },
    /// Another kind of chip.
    #[error("chip {index} has id {id:04x}, not {expected:04x}; choose the board's own model")]
    WrongChip {
        /// Which one, counted from 0.
        index: usize,
        /// Its id.
        id: u16,
        /// That of the chips of this board.
        expected: u16,
    },
    /// They answer, but not under the addresses that they were given.
    #[error(
        "addresses {got:02x?} answer, {expected:02x?} were given; a command line between two chips may be broken"
    )]
    Addresses {
        /// Sorted.
        got: Vec<u8>,
        /// Sorted.
        expected: Vec<u8>,
    },
    /// Some were lost when the speed of the line changed, and did not come back.
    #[error("{found} of {expected} chips answer at {baud} baud after a change of speed")]
    Speed {
        /// At which speed.
        baud: u32,
        /// Ids that came.
        found: usize,
        /// Chips of the board.
        expected: usize,
    },
    /// They had work and found nothing.
    #[error("no good nonce for {} s, which chance explains less than once in a billion times", quiet.as_secs())]
    Silent {
        /// For how long.
        quiet: Duration,
    },
}
