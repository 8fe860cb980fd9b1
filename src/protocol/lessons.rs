//! What the connections to one pool have taught, as a value that outlives the program.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::stratum_message::MAX_JOB_ID;
use crate::work::VersionConvention;

/// Bytes of extranonce2 from which on an earlier run's session may be resumed. The counter begins at a random place in
/// each run; a smaller space is soon gone through, and what the earlier run has sent would come up again.
const RESUMABLE_BYTES: u8 = 4;
/// Changes of the version convention that a file may claim; more are no reason to print a longer number.
const MAX_SWITCHES: u32 = 1_000_000;

/// What is known of a pool beyond its connections. Nothing of it is needed: without, it is learnt again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Lessons {
    /// What it does about `mining.configure`.
    #[serde(skip_serializing_if = "is_default")]
    pub configure: ConfigureHabit,
    /// It refused a subscribe with parameters.
    #[serde(skip_serializing_if = "is_default")]
    pub plain_subscribe: bool,
    /// What it called our last session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// How it reads version bits, where shares have taught that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionLesson>,
    /// Its difficulties count at once, as a refused share has taught.
    #[serde(skip_serializing_if = "is_default")]
    pub difficulty_at_once: bool,
    /// What it hung up on, and is not asked again.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub hangs_up_on: BTreeSet<OptionalRequest>,
}

/// What a pool does about `mining.configure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConfigureHabit {
    /// Nothing is known: it is asked.
    #[default]
    Unknown,
    /// It has answered once, so it cannot be what makes it hang up.
    Answers,
    /// It took shares without having answered: the next connection goes without, the one after it asks again.
    Silent,
    /// It hung up: the same holds.
    #[serde(rename = "hangs-up")]
    HangsUp,
}

impl ConfigureHabit {
    /// Whether the next connection asks for version rolling.
    pub fn is_asked(self) -> bool {
        matches!(self, Self::Unknown | Self::Answers)
    }
}

/// A request that no pool needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum OptionalRequest {
    /// `mining.extranonce.subscribe`.
    #[serde(rename = "mining.extranonce.subscribe")]
    ExtranonceSubscribe,
    /// `mining.suggest_difficulty`.
    #[serde(rename = "mining.suggest_difficulty")]
    SuggestDifficulty,
}

impl fmt::Display for OptionalRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ExtranonceSubscribe => "mining.extranonce.subscribe",
            Self::SuggestDifficulty => "mining.suggest_difficulty",
        })
    }
}

/// A pool's name for a session, by which it may give the same extranonce1 again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionId {
    /// The name.
    pub id: String,
    /// Bytes of extranonce2 in it.
    pub extranonce2_bytes: u8,
}

/// A convention that shares have taught.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionLesson {
    /// What the pool understands.
    pub convention: VersionConvention,
    /// How often that was learnt.
    pub switches: u32,
}

impl Lessons {
    /// What may be used of lessons out of a file, which anybody may have written.
    #[must_use]
    pub fn of_an_earlier_run(mut self) -> Self {
        let is_sendable = |id: &str| id.len() <= MAX_JOB_ID && id.bytes().all(|byte| byte.is_ascii_graphic());
        self.session = self
            .session
            .filter(|session| session.extranonce2_bytes >= RESUMABLE_BYTES && is_sendable(&session.id));
        self.version = self.version.filter(|lesson| (1..=MAX_SWITCHES).contains(&lesson.switches));
        self
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_of_a_small_extranonce2_or_an_odd_name_is_not_resumed_by_a_later_run() {
        let resumed = |id: &str, extranonce2_bytes| {
            let session = Some(SessionId { id: id.to_owned(), extranonce2_bytes });
            Lessons { session, ..Lessons::default() }.of_an_earlier_run().session.is_some()
        };
        assert!(resumed("5e3a", 4));
        assert!(!resumed("5e3a", 3));
        assert!(!resumed("5e\u{1b}[2J", 8));
        assert!(!resumed(&"5".repeat(129), 8));
    }
}
