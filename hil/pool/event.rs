//! What the pool tells of itself: one event for each thing that happened, for the screen and for the report.

use std::fmt;

use serde::Serialize;

use super::{difficulty::Difficulty, judge::Verdict};

/// Who found a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finder {
    /// A connected miner.
    Miner,
    /// The made-up rest of the network.
    AnotherMiner,
}

/// Something that happened on a connection, or on the chain.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A miner connected.
    Connect,
    /// A connection ended.
    Disconnect {
        /// Why, as far as the pool knows.
        reason: String,
    },
    /// A miner subscribed.
    Subscribe {
        /// The name it gave itself.
        agent: String,
        /// It came back with the id of an ended session.
        resumed: bool,
    },
    /// A user name was accepted or refused.
    Authorize {
        /// The name.
        user: String,
        /// Whether it may submit.
        accepted: bool,
    },
    /// The difficulty of the jobs from here on.
    Difficulty {
        /// As sent.
        difficulty: Difficulty,
    },
    /// A job was sent.
    Job {
        /// Its id.
        job_id: String,
        /// Height of the block to be found.
        height: u32,
        /// Whether earlier jobs are stale now.
        clean: bool,
        /// The number of merkle branches.
        branches: usize,
    },
    /// A share was judged.
    Share {
        /// The job it names.
        job_id: String,
        /// The judgement.
        #[serde(flatten)]
        verdict: Verdict,
    },
    /// The tip of the practice chain moved.
    Block {
        /// Height of the new tip.
        height: u32,
        /// Its hash.
        hash: String,
        /// Who found it.
        finder: Finder,
    },
}

/// An event with its time and place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PoolEvent {
    /// Seconds since the pool started.
    pub seconds: f64,
    /// The connection, counted from 1; none for blocks of another miner.
    pub connection: Option<u64>,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => write!(f, "connected"),
            Self::Disconnect { reason } => write!(f, "disconnected: {reason}"),
            Self::Subscribe { agent, resumed } => {
                write!(f, "{} {agent}", if *resumed { "resumed" } else { "subscribed" })
            }
            Self::Authorize { user, accepted: true } => write!(f, "authorized {user}"),
            Self::Authorize { user, accepted: false } => write!(f, "refused {user}"),
            Self::Difficulty { difficulty } => write!(f, "difficulty {difficulty}"),
            Self::Job { job_id, height, clean, branches } => {
                let kind = if *clean { "clean job" } else { "job" };
                write!(f, "{kind} {job_id} at height {height}, {branches} branches")
            }
            Self::Share { job_id, verdict } => write!(f, "share of {job_id} {verdict}"),
            Self::Block { height, hash, finder: Finder::Miner } => write!(f, "block {height} found: {hash}"),
            Self::Block { height, hash, finder: Finder::AnotherMiner } => {
                write!(f, "block {height} by another miner: {hash}")
            }
        }
    }
}

impl fmt::Display for PoolEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:9.3}  ", self.seconds)?;
        match self.connection {
            Some(connection) => write!(f, "#{connection:<3} {}", self.event),
            None => write!(f, "     {}", self.event),
        }
    }
}
