//! What the decider answers: an action with its reason, and what each upstream is worth.

use std::fmt;
use std::time::{Duration, Instant};

use super::input::{JobKey, Scheme, UpstreamId};

/// What the boards do from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// What they did.
    Keep,
    /// They take this job at the next natural boundary, where changing costs nothing.
    Boundary(UpstreamId, JobKey),
    /// They drop what they have and take this job.
    Flush(UpstreamId, JobKey),
    /// Those that hash for this upstream go over to the others that are hashed for, and rest where there are none. Only
    /// where hashing is shared.
    Close(UpstreamId),
    /// They rest.
    Idle,
}

/// Who chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoke {
    /// The value rule.
    Mathematics,
    /// Advice made for this moment, inside its bounds.
    Advice,
    /// Advice made a while before, still inside its bounds.
    Cached,
}

/// A choice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decision {
    /// What to do.
    pub action: Action,
    /// The line of the rule that it follows, 2 to 12 of those in this module's text.
    pub line: u8,
    /// Why, as one sentence for a person.
    pub reason: Reason,
    /// Who chose.
    pub spoke: Spoke,
}

/// Why.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reason {
    /// No upstream has given work that may be hashed.
    NothingYet,
    /// The boards had nothing to do.
    HadNothing(UpstreamId),
    /// Our upstream builds on another block.
    NewParent(UpstreamId),
    /// Our upstream gave another extranonce1, so the old work is no longer its own.
    NewExtranonce1(UpstreamId),
    /// What the newer job gains until the boundary is worth more than the lost hashes, both in ideal seconds.
    GainOutweighs {
        /// Until the boundary.
        gain: f64,
        /// Of flushing, with its margin.
        cost: f64,
    },
    /// Older jobs were called void, and flushing costs next to nothing.
    CleanAndQuick,
    /// The newer job can wait for the boundary.
    AtBoundary,
    /// The older job pays more and is young enough.
    OlderPaysMore,
    /// Another upstream has a newer block, and ours is likely to have it before a move would pay.
    TipExpected {
        /// Since the first word of it.
        waited: Duration,
    },
    /// What ran is worth nothing.
    Left(Worthless),
    /// The rejects of our upstream have jumped.
    RejectsJumped(UpstreamId),
    /// Something is held against our upstream.
    Suspected(UpstreamId),
    /// This one comes first in the operator's order.
    Preferred(UpstreamId),
    /// The same, after it has failed and been healthy for long enough.
    Healthy(UpstreamId),
    /// It is the turn of this one.
    Turn(UpstreamId),
    /// Another upstream is worth more.
    Better {
        /// Which.
        upstream: UpstreamId,
        /// By how much of an ideal second a second.
        gain: f64,
    },
    /// Advice prefers this upstream.
    Advised(UpstreamId),
    /// Nothing is worth hashing; the last job is kept for a while.
    NothingLeft(Worthless),
    /// Nothing has been worth hashing for a while.
    Idles,
    /// Nothing is better by enough.
    NothingBetter,
}

/// Why a job has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worthless {
    /// There is none.
    NoJob,
    /// It waits for a check.
    Held(&'static str),
    /// A check failed.
    Rejected(&'static str),
    /// Its upstream has replaced it by a job that failed a check.
    Replaced(&'static str),
    /// Its upstream has gone over to another block, and takes no shares of it any more.
    Overtaken,
    /// The connection is closed.
    Lost,
    /// Its upstream has said nothing for so long.
    Silent(Duration),
    /// Its upstream leaves so many shares without an answer.
    Unanswered(usize),
    /// Our node calls the parent invalid.
    ParentRefused,
    /// Nobody else names the parent.
    ParentUnknown,
    /// The parent is so many blocks behind the tip.
    Behind(u32),
    /// Its upstream pays nothing or accepts nothing.
    Unpaid,
}

impl fmt::Display for Worthless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoJob => f.write_str("its upstream has no job"),
            Self::Held(reason) => write!(f, "its check is not done: {reason}"),
            Self::Rejected(reason) => write!(f, "it failed a check: {reason}"),
            Self::Replaced(reason) => write!(f, "the job that replaces it failed a check: {reason}"),
            Self::Overtaken => f.write_str("its upstream has gone over to another block"),
            Self::Lost => f.write_str("the connection is closed"),
            Self::Silent(silence) => {
                write!(f, "its upstream has been silent for {:.0} s", silence.as_secs_f64())
            }
            Self::Unanswered(shares) => write!(f, "its upstream leaves {shares} shares without an answer"),
            Self::ParentRefused => f.write_str("our node calls its parent invalid"),
            Self::ParentUnknown => f.write_str("nobody else knows its parent"),
            Self::Behind(1) => f.write_str("its parent is a block behind the tip"),
            Self::Behind(blocks) => write!(f, "its parent is {blocks} blocks behind the tip"),
            Self::Unpaid => f.write_str("its upstream pays nothing for it"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingYet => f.write_str("no upstream has given work that may be hashed"),
            Self::HadNothing(upstream) => {
                write!(f, "upstream {} gives work and the boards had none", upstream.0)
            }
            Self::NewParent(upstream) => write!(f, "upstream {} builds on another block", upstream.0),
            Self::NewExtranonce1(upstream) => write!(f, "upstream {} gave another extranonce1", upstream.0),
            Self::GainOutweighs { gain, cost } => {
                write!(f, "the newer job gains {gain:.6} s until the boundary and a flush costs {cost:.6} s")
            }
            Self::CleanAndQuick => f.write_str("older jobs are void and a flush costs next to nothing"),
            Self::AtBoundary => f.write_str("the newer job can wait for the boundary"),
            Self::OlderPaysMore => f.write_str("the older job pays more and is young enough"),
            Self::TipExpected { waited } => {
                write!(
                    f,
                    "after {:.3} s the newer block is still likely to come in time",
                    waited.as_secs_f64()
                )
            }
            Self::Left(why) => write!(f, "what ran is worth nothing: {why}"),
            Self::RejectsJumped(upstream) => write!(f, "the rejects of upstream {} have jumped", upstream.0),
            Self::Suspected(upstream) => write!(f, "something is held against upstream {}", upstream.0),
            Self::Preferred(upstream) => write!(f, "upstream {} is preferred", upstream.0),
            Self::Healthy(upstream) => write!(f, "upstream {} is healthy again and preferred", upstream.0),
            Self::Turn(upstream) => write!(f, "it is the turn of upstream {}", upstream.0),
            Self::Better { upstream, gain } => {
                write!(f, "upstream {} is worth {:.3} % more", upstream.0, gain * 100.0)
            }
            Self::Advised(upstream) => write!(f, "advice prefers upstream {}", upstream.0),
            Self::NothingLeft(why) => write!(f, "nothing is worth hashing and the last job is kept: {why}"),
            Self::Idles => f.write_str("nothing has been worth hashing for a while"),
            Self::NothingBetter => f.write_str("nothing is better by enough"),
        }
    }
}

/// What an upstream is worth at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Which.
    pub upstream: UpstreamId,
    /// `w`: part of an ideal second's revenue that a second of hashing for it earns.
    pub value: f64,
    /// The value with the optimism that makes the rule look again at what it left.
    pub index: f64,
    /// Part of an ideal share's worth that is paid out.
    pub pay: f64,
    /// Expected part of shares that count.
    pub acc_mean: f64,
    /// Standard deviation of that expectation.
    pub acc_sd: f64,
    /// Part of the time not lost to failures.
    pub avail: f64,
    /// Chance that the job can earn anything.
    pub v: f64,
    /// Worth of the template in relation to a mean one.
    pub r: f64,
    /// Whether advice may choose it now.
    pub allowed: bool,
    /// Its rejects have jumped, and the end of that is not proved.
    pub alarm: bool,
    /// What else was observed.
    pub observed: Observed,
}

/// What is known of an upstream beside its value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observed {
    /// What it pays for.
    pub scheme: Scheme,
    /// Medians and ninth deciles.
    pub delays: Delays,
    /// Its newest job.
    pub job: Option<ObservedJob>,
    /// Blocks that its parent is behind the tip.
    pub height_behind: u32,
    /// Part of the upstreams with a job that build on the same parent.
    pub agree: f64,
    /// Judged shares of the last ten minutes, and the rejected ones among them.
    pub shares_10m: (u32, u32),
    /// Until a probe may end its alarm; zero without an alarm or when it may already.
    pub probe_in: Duration,
    /// Since its first job after the last failure; zero while it has failed.
    pub usable: Duration,
}

/// How fast an upstream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delays {
    /// From the first word of a block anywhere to its job, median.
    pub lag_p50: Duration,
    /// Ninth decile.
    pub lag_p90: Duration,
    /// From a share to its answer, median; zero before any.
    pub reply_p50: Duration,
    /// Ninth decile.
    pub reply_p90: Duration,
}

/// The newest job of an upstream.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ObservedJob {
    /// Since it came.
    pub age: Duration,
    /// It called older jobs void.
    pub clean: bool,
    /// It has no fees.
    pub empty: bool,
    /// (fees - mean fees) / (subsidy + mean fees); 0 where fees are not known.
    pub fee_rel: f64,
}

/// What an adviser proposes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Advice {
    /// The upstream to hash for; with `hold` the one that runs.
    pub target: UpstreamId,
    /// Stay where we are, whatever gain calls for a move.
    pub hold: bool,
    /// 0 to 1.
    pub confidence: f64,
    /// When it ends.
    pub until: Instant,
    /// [`moment`](super::Decider::moment) when the question was made.
    pub seen: u64,
    /// [`soft_moment`](super::Decider::soft_moment) then.
    pub seen_soft: u64,
}

/// Why advice is not followed. The numbers are those of the envelope's rules.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum Refused {
    /// Rule 1.
    #[error("1: a hard event came after the question")]
    Overtaken,
    /// Rule 1.
    #[error("1: more than one soft event came after the question")]
    OutOfDate,
    /// Rule 1.
    #[error("1: the advice is past its time")]
    Late,
    /// Rule 2.
    #[error("2: upstream {} is not to be hashed for", .0.0)]
    NotAllowed(UpstreamId),
    /// Rule 3.
    #[error("3: its value {value:.6} is below {least:.6}")]
    GivesUpTooMuch {
        /// Of the target.
        value: f64,
        /// What it must be.
        least: f64,
    },
    /// Rule 4.
    #[error("4: confidence {confidence:.2} is below {least:.2}")]
    Unsure {
        /// Of the advice.
        confidence: f64,
        /// What it must be.
        least: f64,
    },
    /// Rule 4.
    #[error("4: there were enough amendments for now")]
    TooOften,
    /// Rule 5.
    #[error("5: the regret of today is spent")]
    BudgetSpent,
}

impl Refused {
    /// The rule of the envelope, 1 to 5.
    pub fn rule(&self) -> u8 {
        match self {
            Self::Overtaken | Self::OutOfDate | Self::Late => 1,
            Self::NotAllowed(_) => 2,
            Self::GivesUpTooMuch { .. } => 3,
            Self::Unsure { .. } | Self::TooOften => 4,
            Self::BudgetSpent => 5,
        }
    }
}

/// A time in which an upstream rejected more than usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spell {
    /// When that was found.
    pub start: Instant,
    /// The last probe that still found it so.
    pub last_failed_probe: Option<Instant>,
    /// The beginning of the first one that did not.
    pub first_good_probe: Option<Instant>,
    /// A probe that fails costs as much as coming back so much too late.
    pub price: Duration,
}

/// What the operator should hear of and no decision shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Warning {
    /// Nobody else has named the parent of this upstream's job for the whole grace.
    ParentUnknown(UpstreamId),
    /// It called a share of ours a duplicate, which is our fault.
    Duplicate(UpstreamId),
    /// It does not know us any more: authorise again.
    NotAuthorised(UpstreamId),
    /// It has had no newer job for more than 300 s.
    OldJob(UpstreamId),
}

impl Warning {
    /// Whom it is about.
    pub fn upstream(&self) -> UpstreamId {
        match self {
            Self::ParentUnknown(upstream)
            | Self::Duplicate(upstream)
            | Self::NotAuthorised(upstream)
            | Self::OldJob(upstream) => *upstream,
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ParentUnknown(_) => "nobody else knows the block that it builds on",
            Self::Duplicate(_) => {
                "it calls a share a duplicate: please report this, it is a fault of signalcore"
            }
            Self::NotAuthorised(_) => "it does not know this worker any more",
            Self::OldJob(_) => "it has had no newer job for five minutes",
        })
    }
}
