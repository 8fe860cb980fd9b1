//! Bytes, units and ranges: from what an upstream says to the 80 bytes a chip hashes, and back to a proven [`Share`].
//!
//! Pure: no I/O, no clock, nothing above this module is imported.

pub mod block;
pub mod coinbase;
pub mod coinbase_builder;
pub mod extranonce;
pub mod hashrate;
pub mod header;
pub mod job;
pub mod merkle;
pub mod outcome;
pub mod payout;
pub mod share;
pub mod target;
pub mod template;
pub mod version;

#[cfg(test)]
pub(crate) mod vectors;

pub use coinbase::Coinbase;
pub use extranonce::{Extranonce1, Extranonce2, Extranonce2Allocator, Extranonce2Size};
pub use hashrate::HashRate;
pub use header::{BlockHash, Header};
pub use job::{Epoch, Job, JobHeader, JobId};
pub use outcome::{Answered, LostReason, Outcome, Reject, RejectKind};
pub use share::{NotAShare, Share, Work};
pub use target::{Difficulty, Target};
pub use version::{VersionConvention, VersionMask};
