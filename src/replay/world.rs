//! What happens around a miner, as lines in the order of time: what it is told, and the truth behind it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::decision::{ParentHash, Repute, Settings, Terms};

/// Mean reply time to a share in a replay, seconds. Source: 41 ms is the median of a pool on the same continent.
pub const REPLY: f64 = 0.041;

/// A world from its start to its end.
#[derive(Debug, Clone, PartialEq)]
pub struct World {
    /// How decisions were made while it was recorded; the defaults where nobody mined in it.
    pub rules: Rules,
    /// The upstreams in the operator's order.
    pub upstreams: Vec<Upstream>,
    /// The boards as one device.
    pub device: Device,
    /// What happens, sorted by time.
    pub lines: Vec<Line>,
    /// When it ends.
    pub end: Duration,
    /// Figures count from here; before it a policy may learn.
    pub measured_from: Duration,
    /// Shares the device finds each second, by chance; 0 where the lines tell when it found one.
    pub shares_per_second: f64,
}

/// An upstream as the operator describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// Its name in a log.
    pub name: String,
    /// How it pays.
    pub terms: Terms,
    /// Its last job is kept for so long when nothing is worth hashing; `None` for what the settings say.
    pub patience: Option<Duration>,
}

/// How a miner makes its decisions.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rules {
    /// What its decider was told to do otherwise.
    pub settings: Settings,
    /// Its probes are put by the learned model of bad spells.
    pub learned: bool,
    /// A job for the boundary counts as taken up at once, as in the engine, which hands it on to boards that take it then.
    pub taken_at_once: bool,
}

/// The boards as one device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Device {
    /// What a flush to another job of the same upstream loses, L.
    pub flush: Duration,
    /// What a flush to a job of another upstream loses, L_x.
    pub cross: Duration,
    /// The period at which a new job is taken up without loss, B.
    pub boundary: Duration,
}

/// A moment and what happens then.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Since the start.
    pub at: Duration,
    /// What happens.
    pub what: What,
}

/// What may happen. Upstreams are named by their place in [`World::upstreams`].
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A job arrives.
    Notify(usize, Notify),
    /// Another line arrives that has no influence on the choice of a job.
    Alive(usize),
    /// The connection is closed, and the miner sees it.
    Drop(usize),
    /// The connection is open again.
    Up(usize),
    /// The own node has this tip.
    NodeTip(Parent, u32),
    /// The own node calls this block invalid.
    NodeRefused(Parent),
    /// A share was sent there while the log was recorded; its number.
    Submitted(usize, u64),
    /// The same, while the recorded device hashed for another one: a canary's, or found just before a move.
    Aside(usize, u64),
    /// A share of the recorded device came to its end without a word of its upstream.
    Ended(usize, u64),
    /// Something else is held against an upstream by the miner that recorded the log.
    Repute(usize, Repute),
    /// A share was judged there while the log was recorded.
    Answer(usize, Answer),
    /// Changing over costs so much from now on.
    Device(Device),
    /// The income of an upstream is so uneven from now on; see [`crate::decision::Event::Variance`].
    Variance(usize, f64),
    /// The recorded miner looked again without an event.
    Wake,
    /// What no policy sees.
    Truth(Truth),
}

/// What the checks of a job found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Nothing wrong.
    Passed,
    /// One of them has not come to its end.
    Held,
    /// It pays somebody else, or earns nothing for another reason.
    Failed,
}

/// What a pool said of a share while a log was recorded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answer {
    /// Its number, and the job that it was found on; `None` where the log tells only that there was an answer.
    pub share: Option<(u64, u64)>,
    /// Whether it counts.
    pub accepted: bool,
    /// The code of a refusal.
    pub code: Option<i64>,
    /// Its difficulty over the mean one.
    pub weight: f64,
}

/// A job as far as decisions need it.
#[derive(Debug, Clone, PartialEq)]
pub struct Notify {
    /// Its number in the world, which grows; the same again when it is told anew because its checks have ended.
    pub job: u64,
    /// The block it builds on.
    pub parent: Parent,
    /// Height of the block that would be found, where it can be read.
    pub height: Option<u32>,
    /// Whether older jobs are void.
    pub clean: bool,
    /// Fees in the coinbase, satoshi, where they are known.
    pub fees: Option<u64>,
    /// What the checks found.
    pub check: Check,
    /// Whether the parent carries its work, by its hash or by somebody who vouches.
    pub known: bool,
    /// Counts the extranonce1 values of this upstream: another number means another extranonce1.
    pub connection: u64,
}

/// What decides about revenue and is hidden from every policy but the oracle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Truth {
    /// A block of the best chain with its height. Two at the same height are a tie, and both are good.
    Block(Parent, u32),
    /// Whether an upstream is away: it sends nothing and takes nothing.
    Outage(usize, bool),
    /// The part of shares that an upstream refuses from now on, 0 to 1.
    RejectRate(usize, f64),
    /// Whether an upstream is on a dead branch.
    BadBranch(usize, bool),
    /// Whether the jobs of an upstream pay somebody else.
    BadPay(usize, bool),
    /// Whether an upstream takes shares of jobs that a clean job on the same parent has voided.
    OldShares(usize, bool),
}

/// A block hash, least significant byte first. Recorded logs have its 64 hex digits, the most significant first, as block
/// explorers show it; generated and hand-written ones a short name such as `h12`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Parent(pub ParentHash);

/// What is no name of a block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("found {0:?}, expected 64 hex digits or a name of 1 to 31 letters and digits")]
pub struct NotAParent(String);

impl FromStr for Parent {
    type Err = NotAParent;

    fn from_str(text: &str) -> Result<Self, NotAParent> {
        let mut bytes = [0; 32];
        if text.len() == 64 && hex::decode_to_slice(text, &mut bytes).is_ok() {
            bytes.reverse();
            return Ok(Self(bytes));
        }
        if !(1..32).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            let shown: String = text.chars().take(80).collect();
            return Err(NotAParent(shown));
        }
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self(bytes))
    }
}

impl fmt::Display for Parent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        let (name, rest) = self.0.split_at(end);
        let is_name = (1..32).contains(&end)
            && name.iter().all(u8::is_ascii_alphanumeric)
            && rest.iter().all(|byte| *byte == 0);
        match std::str::from_utf8(name) {
            Ok(name) if is_name => f.write_str(name),
            _ => self.0.iter().rev().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}

impl fmt::Debug for Parent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_written_as_it_was_read() {
        for text in ["h12", "x", "000000000000000000008f3a1a0a4b1f9bd4f3dd5b5ab5a3a0d3f1f7c2e6c9d1"] {
            assert_eq!(text.parse::<Parent>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_block_is_named_with_what_is_expected() {
        for text in ["", "h 12", &"g".repeat(64), &"a".repeat(32)] {
            let error = text.parse::<Parent>().unwrap_err().to_string();
            assert!(error.contains("expected 64 hex digits"), "{error}");
        }
    }
}
