//! What the decider is told: upstreams and their terms, jobs, answers to shares, the chain and the device.

use std::time::{Duration, Instant};

/// An upstream's place in the operator's order; the first is the most wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UpstreamId(pub usize);

/// Names one job of one decider. The caller gives it; it grows with time over all upstreams, so the greater key is the
/// newer job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobKey(pub u64);

/// Hash of the block that a job builds on, least significant byte first: the order in which a hash comes out.
pub type ParentHash = [u8; 32];

/// What an upstream pays for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Each share, whatever becomes of blocks (PPS, FPPS): the pool bears late tips and poor templates.
    Pps,
    /// A part of found blocks by a rule that hopping cannot exploit (PPLNS, TIDES).
    Pplns,
    /// The whole block, by way of a pool that builds the template.
    SoloPool,
    /// The whole block, on a template of our own node.
    SoloNode,
}

/// What the operator knows of an upstream beforehand.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terms {
    /// Part of the revenue that it keeps, 0 to 1.
    pub fee: f64,
    /// What of a payout arrives after the cost of withdrawing it; 1 when all of it does.
    pub payout_factor: f64,
    /// What it pays for.
    pub scheme: Scheme,
    /// Part of a better template's fees that reaches us, 0 to 1. `None` takes what the scheme implies: solo 1, else 0.
    /// Under [`Scheme::Pps`] nothing of them does.
    pub kappa: Option<f64>,
    /// It is our own node: what it says of the chain is known, not testified.
    pub vouches: bool,
}

impl Terms {
    /// Part of an ideal share's worth that is paid out, 0 to 1: (1 - fee) · payout factor. What is no number pays
    /// nothing.
    pub fn pay(&self) -> f64 {
        let pay = (1.0 - self.fee) * self.payout_factor;
        if pay.is_finite() { pay.clamp(0.0, 1.0) } else { 0.0 }
    }

    /// Part of a better template's fees that reaches us, 0 to 1.
    pub fn kappa(&self) -> f64 {
        let implied = match self.scheme {
            Scheme::Pps => return 0.0,
            Scheme::Pplns => 0.0,
            Scheme::SoloPool | Scheme::SoloNode => 1.0,
        };
        self.kappa.filter(|kappa| kappa.is_finite()).unwrap_or(implied).clamp(0.0, 1.0)
    }
}

/// What the checks of a job came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// It may be hashed.
    Passed,
    /// It may not replace a running job yet, for this reason. The caller tells the job again, under the same key, when
    /// the cause is gone; after the longer grace it counts as passed.
    Hold(&'static str),
    /// It is never hashed, for this reason: a check failed, it pays somebody else, or its upstream is in quarantine.
    Rejected(&'static str),
}

/// A job as far as decisions go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobFacts {
    /// Its name.
    pub key: JobKey,
    /// The block it builds on.
    pub parent: ParentHash,
    /// Height of the block that would be found (BIP34), when it can be read.
    pub height: Option<u32>,
    /// Its upstream calls older jobs void.
    pub clean: bool,
    /// Coinbase outputs less the subsidy, or `coinbasevalue` less the subsidy, in satoshi.
    pub fees: Option<u64>,
    /// Generation of the connection: another one means another extranonce1.
    pub connection: u64,
    /// The parent hash carries its work.
    pub proven_parent: bool,
    /// What the checks came to.
    pub checked: Checked,
}

/// What changing over costs the boards, measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceFigures {
    /// `L`: a flush and restart for a job of the same upstream produces nothing for so long.
    pub flush: Duration,
    /// `L_x`: the same for a job of another upstream.
    pub cross: Duration,
    /// `B`: the period at which boards take new work anyway.
    pub boundary: Duration,
    /// When they do so next, if the phase is known.
    pub next_boundary: Option<Instant>,
}

impl Default for DeviceFigures {
    /// A chain of BM13xx chips at 1 Mbaud, until measured.
    fn default() -> Self {
        Self {
            flush: Duration::from_millis(2),
            cross: Duration::from_millis(2),
            boundary: Duration::from_millis(500),
            next_boundary: None,
        }
    }
}

/// What the caller holds against an upstream beyond what the rule finds out by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Repute {
    /// Something is wrong with it: it is hashed for while there is nobody better.
    Suspect,
    /// It has failed, and not been good for long enough since: nobody that works is left for it for its place in the
    /// operator's order.
    Recovering,
    /// Nothing.
    #[default]
    Good,
}

/// Something happened.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event {
    /// An upstream has a new job, or one it gave is checked otherwise now.
    Job(UpstreamId, JobFacts),
    /// Any other line of it was read that is no answer to a share.
    Alive(UpstreamId),
    /// Its socket is closed.
    Lost(UpstreamId),
    /// Something else is held against it than before.
    Repute(UpstreamId, Repute),
    /// A share was sent; its number is unique.
    Submitted(UpstreamId, u64),
    /// A share came to its end without a word of its upstream.
    Ended(UpstreamId, u64),
    /// A share was judged.
    Answered {
        /// By whom.
        upstream: UpstreamId,
        /// Its number.
        share: u64,
        /// The job it was found on.
        job: JobKey,
        /// Whether it counts.
        accepted: bool,
        /// The code of a refusal: 20 other, 21 stale, 22 duplicate, 23 low difficulty, 24 unauthorised, 25 not
        /// subscribed. Source: the error codes of Stratum V1.
        code: Option<i64>,
        /// Its difficulty over the mean difficulty of shares there.
        weight: f64,
    },
    /// The tip of our own node is this block, at this height.
    NodeTip {
        /// The block.
        parent: ParentHash,
        /// Its own height.
        height: u32,
    },
    /// Our own node calls this block invalid.
    NodeRefused {
        /// The block.
        parent: ParentHash,
    },
    /// Changing over costs so much from now on.
    Device(DeviceFigures),
    /// The variance of one second's income of an upstream, in ideal seconds: rate of payouts · payout². It counts with
    /// [`Moves::risk_aversion`](super::Moves::risk_aversion).
    Variance(UpstreamId, f64),
}

/// A call of a decider, as it is written down: its settings, its upstreams and all calls with their times make all that
/// it decides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Call {
    /// [`Decider::handle`](super::Decider::handle).
    Event(Event),
    /// The same for a share of an upstream that was not the one hashed for: a canary's, or one found just before a move.
    Aside(Event),
    /// [`Decider::handle_timeout`](super::Decider::handle_timeout).
    Timeout,
}
