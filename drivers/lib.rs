//! The waist between the engine and the hardware: a [`ChipJob`] goes down to a board, [`BoardEvent`]s come up.
//!
//! This crate knows chips, not pools: nothing in it has heard of Stratum, shares or payouts. Every board, the CPU
//! included, is a [`BoardHandle`] of channels, so that the engine treats all of them alike.

pub mod bitaxe;
pub mod bm13xx;
mod caught;
pub mod cpu;
pub mod gekko;
pub mod icarus;
pub mod order;
pub mod port;
pub mod registry;
pub mod scanner;
pub mod status;
pub mod usb;

use std::time::Instant;

use tokio::sync::{mpsc, watch};

pub use self::order::{Controls, Order, OrderError, OrderRequest};
use self::port::PortError;
pub use self::status::{BoardState, BoardStatus};

/// Names one [`ChipJob`]; the engine never gives the same one twice while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChipJobId(pub u64);

/// One block header without its nonce, for one board to sweep: all nonces, and all versions within `version_mask`.
///
/// Two boards never hold the same header, so a board may use the whole of its space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChipJob {
    /// Comes back with every nonce found.
    pub id: ChipJobId,
    /// Header version as hashed when no bit is rolled. Its bits inside `version_mask` are 0.
    pub version: u32,
    /// Hash of the previous block, 32 bytes in header order.
    pub prev_hash: [u8; 32],
    /// Merkle root, 32 bytes in header order.
    pub merkle_root: [u8; 32],
    /// Header time, seconds since 1970.
    pub ntime: u32,
    /// Compact network target as in the header.
    pub nbits: u32,
    /// Version bits that the board may set; 0 forbids rolling.
    pub version_mask: u32,
    /// Report a nonce when the header's double SHA-256, read as a little-endian 256-bit number, is at most this one.
    /// 32 bytes, little-endian, the order in which the hash comes out.
    pub target: [u8; 32],
}

/// What a board tells the engine.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum BoardEvent {
    /// A nonce that the chip holds for good. The engine hashes it again before it believes it.
    Nonce {
        /// The job it was found for.
        job: ChipJobId,
        /// Number at header offset 76.
        nonce: u32,
        /// Header version it was found with, rolled bits included.
        version: u32,
    },
    /// Hashing on this job has begun.
    Started {
        /// The job.
        job: ChipJobId,
        /// When its first batch began.
        at: Instant,
    },
    /// Hashes done since the last event of this kind, counted by the board.
    Hashes(u64),
    /// Less than a second of this job's space is left: the board would like the next one.
    JobEnding(ChipJobId),
    /// Nonces thrown away because the engine took them too slowly for too long.
    Overflow(u64),
    /// Something is wrong but the board goes on; one sentence for the operator.
    Fault(String),
    /// Something that was wrong is right again; one sentence for the operator.
    Recovered(String),
    /// How the board stands: every few seconds, and when its state is another one. One that finds no room in the channel is
    /// left out for a newer one. Boards that measure nothing need not send any.
    Status(Box<BoardStatus>),
}

/// How a board has ended otherwise than it was told to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BoardEndError {
    /// A port of it has.
    #[error(transparent)]
    Port(#[from] PortError),
    /// Its control port has not said that it has followed all orders that take its power away.
    #[error("it may still have power: it has not followed its orders to switch off; take its supply away")]
    MayHavePower,
}

/// A running board: its channels and what is known of it.
///
/// Dropping `job` stops the board; `events` yields what is still in flight and then ends.
#[derive(Debug)]
pub struct BoardHandle {
    /// Short name for logs and displays, for example `cpu`.
    pub name: String,
    /// What it is made of, for example `2 × sha-ni`: threads and kernel.
    pub detail: String,
    /// Expected hash rate in hashes per second, from a measurement or the board's data.
    pub expected_rate: f64,
    /// The job to hash now; the latest wins, `None` idles the board.
    pub job: watch::Sender<Option<ChipJob>>,
    /// Events in the order they happened. Capacity [`EVENT_CAPACITY`].
    pub events: mpsc::Receiver<BoardEvent>,
    /// Orders to it, and what it learns.
    pub controls: Controls,
}

/// Events a board may have waiting. At the dispatcher's ceiling of some tens of nonces a second this is seconds of
/// work, so a full channel means that the engine is gone, not busy.
pub const EVENT_CAPACITY: usize = 256;
