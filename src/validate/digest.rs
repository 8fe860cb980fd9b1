//! Checks 13000 and 15000: a digest of all that a job was received as, made when it is taken and compared before each dispatch
//! and each share, so that a bit that flips in memory costs a job and not a block.

use std::fmt;

use sha2::{Digest, Sha512};

use super::context::Sent;
use super::{Context, Finding, JobUnderTest, Judgement, Outcome, merkle};
use crate::work::block::MAX_AHEAD;
use crate::work::{Job, JobId};

/// What the digest begins with; another layout gets another tag.
const TAG: &[u8] = b"signalcore/job/1";
/// What check 15000 expects.
const EXPECTED: &str = "what was received, and a header made of it";
/// How far a rolled ntime may run ahead of the seconds that passed since the job came.
const MAX_ROLL: u64 = 60;

/// Where a job came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Origin {
    /// The upstream's place in the operator's order.
    pub upstream: u64,
    /// Which of its connections it came over.
    pub connection: u64,
}

/// SHA-512 over the tag, the origin and every received field in a fixed order, each after its length.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Stamp([u8; 64]);

impl Stamp {
    /// The stamp of a job. Order: tag, upstream, connection, kind and text of the id, version, previous hash, ntime, nbits,
    /// coinb1, extranonce1, size of extranonce2, coinb2, all branches as one, version mask, difficulty. Each follows its
    /// length as 8 bytes; numbers are little-endian, a difficulty is the 8 bytes of its double.
    pub fn of(job: &Job, origin: Origin) -> Self {
        let mut hash = Sha512::new();
        let mut field = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        field(TAG);
        field(&origin.upstream.to_le_bytes());
        field(&origin.connection.to_le_bytes());
        let (kind, id) = match &job.id {
            JobId::Text(id) => (b"t", id),
            JobId::Number(id) => (b"n", id),
        };
        field(kind);
        field(id.as_bytes());
        field(&job.header.version.to_le_bytes());
        field(&job.header.prev_hash);
        field(&job.header.ntime.to_le_bytes());
        field(&job.header.nbits.to_le_bytes());
        field(&job.coinbase.coinb1);
        field(job.coinbase.extranonce1.as_bytes());
        field(&[job.coinbase.extranonce2_size.bytes() as u8]);
        field(&job.coinbase.coinb2);
        field(job.branch.as_flattened());
        field(&job.version_mask.bits().to_le_bytes());
        field(&job.difficulty.value().to_bits().to_le_bytes());
        Self(hash.finalize().into())
    }

    /// From its 64 bytes.
    pub fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }
}

/// All of it, in hexadecimal.
impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stamp({}…)", self.short())
    }
}

impl Stamp {
    fn short(&self) -> String {
        hex::encode(&self.0[..8])
    }
}

/// Why what is in memory is not what was received.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Changed {
    /// A field of the job.
    #[error("the job's SHA-512 is {is}…, but was {was}… when it came: memory has changed under it")]
    Job {
        /// First digits of the stamp now.
        is: String,
        /// First digits of the stamp then.
        was: String,
    },
    /// The header that was sent to a board.
    #[error("the header for a board does not fit its job: {0} differs")]
    Header(&'static str),
    /// Work that a board has had: the count of extranonces has been set back.
    #[error("board {board} has had this extranonce2 and ntime of the job")]
    Repeated {
        /// Which.
        board: usize,
    },
    /// The time in it.
    #[error("ntime {ntime} runs ahead of its job by more than the seconds that passed, {limit} at most")]
    Time {
        /// In the header.
        ntime: u32,
        /// The latest that is allowed.
        limit: u64,
    },
}

impl Changed {
    /// As a finding of check 15000, or of 7000 for work that is repeated.
    pub fn finding(&self) -> Finding {
        let (level, name, expected) = match self {
            Self::Repeated { .. } => (7_000, "no work twice", "every extranonce2 and ntime once"),
            Self::Job { .. } | Self::Header(_) | Self::Time { .. } => (15_000, "unchanged", EXPECTED),
        };
        let (found, expected) = (self.to_string(), expected.to_owned());
        Finding { level, name, outcome: Outcome::Reject, code: self.code(), found, expected }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Repeated { .. } => "work-twice",
            Self::Job { .. } => "job-changed",
            Self::Header(_) => "header-changed",
            Self::Time { .. } => "time-ahead",
        }
    }
}

/// Compares a job with its stamp. Errors: it is not the job that was stamped.
pub fn intact(job: &Job, origin: Origin, stamp: &Stamp) -> Result<(), Changed> {
    let is = Stamp::of(job, origin);
    if is == *stamp { Ok(()) } else { Err(Changed::Job { is: is.short(), was: stamp.short() }) }
}

/// Compares a header for a board with one made anew from the job's fields. Errors: a field differs, version bits without
/// leave, or a time out of bounds; `unix` adds the network's bound, two hours ahead of the clock.
pub fn fits(job: &Job, sent: &Sent, unix: Option<u64>) -> Result<(), Changed> {
    let (header, of) = (&sent.header, &job.header);
    let rolled = header.version ^ of.version;
    let differs = [
        (rolled & !job.version_mask.rollable(of.version) != 0, "the version"),
        (header.prev_hash != of.prev_hash, "the previous hash"),
        (header.merkle_root != merkle::root(job, &sent.extranonce2), "the merkle root"),
        (header.nbits != of.nbits, "nbits"),
        (header.ntime < of.ntime, "ntime"),
    ];
    if let Some((_, field)) = differs.into_iter().find(|(differs, _)| *differs) {
        return Err(Changed::Header(field));
    }
    let by_job = u64::from(of.ntime) + sent.elapsed.as_secs() + MAX_ROLL;
    let limit = unix.map_or(by_job, |unix| by_job.min(unix.saturating_add(u64::from(MAX_AHEAD))));
    if u64::from(header.ntime) > limit {
        return Err(Changed::Time { ntime: header.ntime, limit });
    }
    Ok(())
}

/// Check 13000.
pub(super) fn stamped(test: &JobUnderTest<'_>, _: &Context) -> Judgement {
    Judgement::pass(format!("{}…", Stamp::of(test.job, test.origin).short()), "any")
}

/// Check 15000.
pub(super) fn unchanged(test: &JobUnderTest<'_>, context: &Context) -> Judgement {
    let after = &context.after;
    let expected = EXPECTED;
    let by_stamp = after.stamp.map(|stamp| intact(test.job, test.origin, &stamp));
    let by_header = after.sent.as_ref().map(|sent| fits(test.job, sent, Some(context.unix)));
    match (by_stamp, by_header) {
        (Some(Err(error)), _) | (_, Some(Err(error))) => {
            Judgement::reject(error.code(), error.to_string(), expected)
        }
        (None, None) => Judgement::open("no stamp, no header", "a stamp or a header for a board"),
        (stamp, header) => {
            let found = match (stamp.is_some(), header.is_some()) {
                (true, true) => "stamp and header fit",
                (true, false) => "the stamp fits",
                _ => "the header fits",
            };
            Judgement::pass(found, expected)
        }
    }
}
