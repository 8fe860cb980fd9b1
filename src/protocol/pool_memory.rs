//! The lessons of many pools as a text of bounded size, which is a stranger's until it has been checked.

use serde::{Deserialize, Serialize};

use super::lessons::Lessons;

/// The form of the text. Another number is another program's.
const VERSION: u32 = 1;
/// Pools remembered; those that taught something longest ago go first.
pub const MAX_POOLS: usize = 64;
/// Longest text, in bytes: 64 pools of the longest names fit.
pub const MAX_BYTES: usize = 64 * 1024;
/// Longest name of a pool or user that is remembered, in bytes.
const MAX_NAME: usize = 253;

/// Whom a lesson is about. Users of one pool may be served by different rules.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PoolKey {
    /// Its address, HOST:PORT.
    pub pool: String,
    /// The worker name.
    pub user: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    key: PoolKey,
    lessons: Lessons,
}

#[derive(Debug, Serialize, Deserialize)]
struct Document {
    version: u32,
    pools: Vec<Entry>,
}

/// Why a text holds no memory.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// Too long for any of ours.
    #[error("it has more than {MAX_BYTES} bytes")]
    TooLong,
    /// Not what we write.
    #[error("it makes no sense: {0}")]
    Nonsense(#[from] serde_json::Error),
    /// Written by another version of the program.
    #[error("its form has the number {0}, this program knows {VERSION}")]
    Version(u32),
}

/// The lessons of many pools, the latest first.
#[derive(Debug, Default)]
pub struct PoolMemory(Vec<Entry>);

impl PoolMemory {
    /// Errors: see [`MemoryError`].
    pub fn parse(text: &[u8]) -> Result<Self, MemoryError> {
        #[derive(Deserialize)]
        struct Numbered {
            version: u32,
        }
        if text.len() > MAX_BYTES {
            return Err(MemoryError::TooLong);
        }
        let Numbered { version } = serde_json::from_slice(text)?;
        if version != VERSION {
            return Err(MemoryError::Version(version));
        }
        let Document { mut pools, .. } = serde_json::from_slice(text)?;
        pools.truncate(MAX_POOLS);
        Ok(Self(pools))
    }

    /// The text, at most [`MAX_BYTES`] long; [`Self::parse`] reads it.
    pub fn text(self) -> String {
        let mut document = Document { version: VERSION, pools: self.0 };
        loop {
            let mut text = serde_json::to_string_pretty(&document).expect("texts and numbers only");
            text.push('\n');
            if text.len() <= MAX_BYTES {
                return text;
            }
            document.pools.pop();
        }
    }

    /// What an earlier run has learnt of this pool.
    pub fn lessons(&self, key: &PoolKey) -> Lessons {
        let known = self.0.iter().find(|entry| entry.key == *key);
        known.map(|entry| entry.lessons.clone().of_an_earlier_run()).unwrap_or_default()
    }

    /// Something was learnt of this pool, or everything turned out wrong.
    pub fn learn(&mut self, key: PoolKey, lessons: Lessons) {
        self.0.retain(|entry| entry.key != key);
        if lessons != Lessons::default() && key.pool.len() <= MAX_NAME && key.user.len() <= MAX_NAME {
            self.0.insert(0, Entry { key, lessons });
        }
        self.0.truncate(MAX_POOLS);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::lessons::{ConfigureHabit, OptionalRequest, SessionId, VersionLesson};
    use crate::work::VersionConvention;

    fn key(pool: impl ToString) -> PoolKey {
        PoolKey { pool: pool.to_string(), user: "u".to_owned() }
    }

    fn lessons() -> Lessons {
        Lessons {
            configure: ConfigureHabit::HangsUp,
            plain_subscribe: true,
            session: Some(SessionId { id: "s1".to_owned(), extranonce2_bytes: 8 }),
            version: Some(VersionLesson { convention: VersionConvention::Delta, switches: 2 }),
            difficulty_at_once: true,
            hangs_up_on: [OptionalRequest::SuggestDifficulty].into(),
        }
    }

    #[test]
    fn what_was_learnt_of_a_pool_and_user_survives_the_way_to_text_and_back() {
        let mut memory = PoolMemory::default();
        memory.learn(key("a:1"), lessons());
        memory.learn(key("b:1"), Lessons { plain_subscribe: true, ..Lessons::default() });
        let memory = PoolMemory::parse(memory.text().as_bytes()).unwrap();
        assert_eq!(memory.lessons(&key("a:1")), lessons());
        assert!(memory.lessons(&key("b:1")).plain_subscribe);
        assert_eq!(memory.lessons(&PoolKey { user: "v".to_owned(), ..key("a:1") }), Lessons::default());
    }

    #[test]
    fn the_latest_sixty_four_pools_are_kept_within_the_longest_text() {
        let mut memory = PoolMemory::default();
        let name = |number: usize| format!("{number:0>253}");
        for number in 0..100 {
            let session = Some(SessionId { id: "\u{1}".repeat(128), extranonce2_bytes: 8 });
            memory.learn(key(name(number)), Lessons { session, ..lessons() });
        }
        memory.learn(key("x".repeat(254)), lessons());
        assert_eq!(memory.0.len(), MAX_POOLS);
        let text = memory.text();
        assert!(text.len() <= MAX_BYTES);
        let memory = PoolMemory::parse(text.as_bytes()).unwrap();
        assert!(memory.lessons(&key(name(99))).plain_subscribe);
        assert!(!memory.lessons(&key(name(0))).plain_subscribe);
    }

    #[test]
    fn a_pool_of_which_nothing_holds_any_more_is_forgotten() {
        let mut memory = PoolMemory::default();
        memory.learn(key("a:1"), lessons());
        memory.learn(key("a:1"), Lessons::default());
        assert!(memory.0.is_empty());
    }

    #[test]
    fn a_text_of_another_form_is_told_apart_from_nonsense() {
        let said = |text: &str| PoolMemory::parse(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(said(r#"{"version": 2, "pools": {}}"#), "its form has the number 2, this program knows 1");
        assert!(said(r#"{"version": 1, "pools": [{"pool": 5}]}"#).starts_with("it makes no sense: "));
        assert!(said("").starts_with("it makes no sense: "));
        assert_eq!(said(&" ".repeat(MAX_BYTES + 1)), "it has more than 65536 bytes");
        assert!(said(&"[".repeat(60_000)).starts_with("it makes no sense: "));
    }

    proptest! {
        #[test]
        fn no_text_whatsoever_makes_the_memory_panic(
            text in r#"(\{|"version": ?1|"pools":\[|"pool":"[a-z:]{0,3}"|"user":""|"lessons":\{|"session":\{"id":"s","extranonce2_bytes":[0-9]{1,4}\}|"configure":"[a-z-]{1,9}"|,|\}|\]|.){0,20}"#
        ) {
            if let Ok(memory) = PoolMemory::parse(text.as_bytes()) {
                memory.lessons(&key("a:1"));
                PoolMemory::parse(memory.text().as_bytes()).unwrap();
            }
        }
    }
}
