//! The lessons of many pools, as a list of bounded size.

use serde::{Deserialize, Serialize};

use super::lessons::Lessons;

/// Pools remembered; those that taught something longest ago go first.
pub const MAX_POOLS: usize = 64;
/// Longest text of all of them, in bytes: 64 pools of the longest names fit.
const MAX_BYTES: usize = 64 * 1024;
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

/// What was learnt of one pool.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    #[serde(flatten)]
    key: PoolKey,
    lessons: Lessons,
}

/// The lessons of many pools, the latest first.
#[derive(Debug, Default)]
pub struct PoolMemory(Vec<Entry>);

impl PoolMemory {
    /// Of entries that anybody may have written; what is too much of them is left out.
    pub fn new(mut entries: Vec<Entry>) -> Self {
        entries.truncate(MAX_POOLS);
        Self(entries)
    }

    /// The entries, as many as their text may have room for.
    pub fn within_limit(mut self) -> Vec<Entry> {
        let size =
            |entries: &[Entry]| serde_json::to_string_pretty(entries).expect("texts and numbers only").len();
        while size(&self.0) > MAX_BYTES {
            self.0.pop();
        }
        self.0
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
        let text = serde_json::to_string(&memory.within_limit()).unwrap();
        let memory = PoolMemory::new(serde_json::from_str(&text).unwrap());
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
        let entries = memory.within_limit();
        assert!(serde_json::to_string_pretty(&entries).unwrap().len() <= MAX_BYTES);
        let memory = PoolMemory::new(entries);
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
}
