//! How shares end: in the pool's words, or with a reason of our own.

use std::fmt;
use std::time::Duration;

use super::Share;

/// A share and its end.
#[derive(Debug)]
pub struct Answered {
    /// The share.
    pub share: Box<Share>,
    /// Its end.
    pub outcome: Outcome,
    /// From writing the submit to its answer; `None` when there was none.
    pub latency: Option<Duration>,
}

/// How a share ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The pool took it.
    Accepted,
    /// The pool refused it.
    Rejected(Reject),
    /// Not sent: its job had been replaced.
    Stale,
    /// Not sent: it misses the difficulty that the pool has asked for since its job.
    Withheld,
    /// Never answered.
    Lost(LostReason),
}

/// Why a share has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum LostReason {
    /// The next connection started afresh.
    #[error("the connection ended and the pool did not resume it")]
    ConnectionEnded,
    /// The connection was resumed on another block.
    #[error("its job was replaced while the connection was down")]
    Replaced,
    /// Sent again after a resumption, and the pool had it.
    #[error("the pool had received it before the connection broke; its verdict was lost")]
    VerdictLost,
    /// Too late.
    #[error("no answer in time")]
    NoAnswer,
    /// Too many newer shares without an answer.
    #[error("too many shares without an answer")]
    TooMany,
    /// The miner stopped.
    #[error("no answer before the end")]
    Stopped,
    /// The miner stopped, and a block is not given up for that.
    #[error("no answer before the end; it is in the journal, and the next start sees to it")]
    Kept,
    /// It cannot be written within the length pools read.
    #[error("its submit would be longer than pools read: the user name or the job id is too long")]
    LineTooLong,
}

impl LostReason {
    /// The word for it that programs match on.
    pub fn word(self) -> &'static str {
        match self {
            Self::ConnectionEnded => "connection_ended",
            Self::Replaced => "replaced",
            Self::VerdictLost => "verdict_lost",
            Self::NoAnswer => "no_answer",
            Self::TooMany => "too_many",
            Self::Stopped => "stopped",
            Self::Kept => "kept",
            Self::LineTooLong => "line_too_long",
        }
    }
}

/// What kind of refusal it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RejectKind {
    /// The job is too old or unknown.
    Stale,
    /// The pool has seen the share before.
    Duplicate,
    /// The hash is above the target the pool had in mind.
    LowDifficulty,
    /// The time of the header is out of range.
    Ntime,
    /// The version bits are not allowed.
    Version,
    /// The worker is not authorised, or the connection not subscribed.
    Unauthorized,
    /// Anything else.
    Other,
}

impl fmt::Display for RejectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stale => "stale",
            Self::Duplicate => "duplicate",
            Self::LowDifficulty => "low difficulty",
            Self::Ntime => "ntime",
            Self::Version => "version",
            Self::Unauthorized => "unauthorized",
            Self::Other => "other",
        })
    }
}

/// A refusal as the pool put it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Its kind.
    pub kind: RejectKind,
    /// The pool's number for it, if it gave one.
    pub code: Option<i64>,
    /// The pool's words, made printable; empty if it gave none.
    pub text: String,
}

impl Reject {
    /// Whether the pool may have found the hash too high; p2poolv2 refuses such shares without a word.
    pub fn may_mean_low_difficulty(&self) -> bool {
        let is_silent = self.code.is_none() && self.text.is_empty();
        self.kind == RejectKind::LowDifficulty || self.kind == RejectKind::Other && is_silent
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.text.as_str(), self.code) {
            // p2poolv2 means a low difficulty by that, p2pool an unknown job.
            ("", None) => f.write_str("the pool gave no reason: low difficulty or an unknown job"),
            ("", Some(code)) => write!(f, "code {code}"),
            (text, _) => f.write_str(text),
        }
    }
}
