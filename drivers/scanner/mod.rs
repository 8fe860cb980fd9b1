//! Devices that scan the nonces of one work after another and roll nothing themselves: what the Icarus family and the
//! older sticks of GekkoScience have in common. [`Feed`] gives them works and proves their nonces; a device around it knows
//! how to find one out and what to tell it. No I/O and no clock but in [`shell`].

mod feed;
mod heard;
pub mod shell;
pub(crate) mod work;

use std::fmt;
use std::time::Instant;

pub use feed::Counts;
pub(crate) use feed::{Due, Feed, Pace, Rest};
pub(crate) use heard::{Heard, REST_WITHIN};

use crate::{BoardEvent, BoardState, BoardStatus, ChipJob};

/// For the shell to pass on, in order. Shape: what can be wrong with the device.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ScannerEvent<F> {
    /// It was found, and takes work now.
    Ready {
        /// Bytes of its answers.
        answer_size: usize,
        /// Chips or boards that share the range of nonces.
        devices: u32,
    },
    /// It does not work; it is looked for again.
    Failed(F),
    /// It has not worked several times in a row, and is tried again later.
    Parked {
        /// What was wrong the last time.
        reason: F,
        /// When it is tried again.
        until: Instant,
    },
    /// For the engine.
    Board(BoardEvent),
}

/// A device as the shell around it sees it.
pub trait Device: fmt::Debug + Send + 'static {
    /// What can be wrong with it, as a sentence for the operator.
    type Fault: fmt::Display;

    /// The job to hash from now on; `None` leaves the device on what it has, which ends by itself.
    fn set_job(&mut self, job: Option<ChipJob>, now: Instant);
    /// Bytes that came over the line.
    fn handle_bytes(&mut self, bytes: &[u8], now: Instant);
    /// Does what is due.
    fn handle_timeout(&mut self, now: Instant);
    /// The next bytes to write.
    fn poll_transmit(&mut self) -> Option<Vec<u8>>;
    /// What it is told before its port is closed, so that it takes less power when it is left alone; nothing where it ends by
    /// itself.
    fn last_orders(&self) -> Vec<Vec<u8>> {
        Vec::new()
    }
    /// The next event.
    fn poll_event(&mut self) -> Option<ScannerEvent<Self::Fault>>;
    /// When to call [`Self::handle_timeout`].
    fn poll_timeout(&self) -> Option<Instant>;
    /// Hashes a second that it shall do.
    fn expected_rate(&self) -> f64;
    /// What it is made of, for displays.
    fn detail(&self) -> String;
    /// What it does.
    fn state(&self) -> BoardState;
    /// How it stands.
    fn status(&self) -> BoardStatus;
}
