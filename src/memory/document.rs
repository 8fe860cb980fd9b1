//! The text of the memory: a section for pools and one for boards, of bounded size, a stranger's until it has been checked.

use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::board_memory::BoardMemory;
use crate::protocol::pool_memory::PoolMemory;

/// The form of the text. Another number is another program's.
const VERSION: u32 = 1;
/// Longest text, in bytes: what all pools and boards together may take, with room for what surrounds them.
pub(super) const MAX_BYTES: usize = 2 * 1024 * 1024;

/// What is remembered.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) pools: PoolMemory,
    pub(super) boards: BoardMemory,
}

/// A part of the text. Prints as its member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Pools,
    Boards,
}

impl Section {
    fn name(self) -> &'static str {
        match self {
            Self::Pools => "pools",
            Self::Boards => "boards",
        }
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a text holds no memory.
#[derive(Debug, thiserror::Error)]
pub(super) enum DocumentError {
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

/// Reads a text. Shape: what it holds, and the sections that make no sense, which are empty in it. Errors: see
/// [`DocumentError`].
pub(super) fn parse(text: &[u8]) -> Result<(Document, Vec<(Section, serde_json::Error)>), DocumentError> {
    #[derive(Deserialize)]
    struct Text {
        version: u32,
        #[serde(flatten)]
        sections: serde_json::Map<String, Value>,
    }
    if text.len() > MAX_BYTES {
        return Err(DocumentError::TooLong);
    }
    let Text { version, mut sections } = serde_json::from_slice(text)?;
    if version != VERSION {
        return Err(DocumentError::Version(version));
    }
    let mut faults = Vec::new();
    let pools = read(Section::Pools, &mut sections, &mut faults);
    let boards = read(Section::Boards, &mut sections, &mut faults);
    let document = Document { pools: PoolMemory::new(pools), boards: BoardMemory::new(boards) };
    Ok((document, faults))
}

/// The entries of a section; none if it is not there or makes no sense.
fn read<T: DeserializeOwned>(
    section: Section,
    sections: &mut serde_json::Map<String, Value>,
    faults: &mut Vec<(Section, serde_json::Error)>,
) -> Vec<T> {
    let Some(value) = sections.remove(section.name()) else { return Vec::new() };
    serde_json::from_value(value).unwrap_or_else(|error| {
        faults.push((section, error));
        Vec::new()
    })
}

impl Document {
    /// The text, at most [`MAX_BYTES`] long; [`parse`] reads it.
    pub(super) fn text(self) -> String {
        let (pools, boards) = (self.pools.within_limit(), self.boards.within_limit());
        let document = json!({ "version": VERSION, "pools": pools, "boards": boards });
        let mut text = serde_json::to_string_pretty(&document).expect("texts and numbers only");
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::lessons::Lessons;
    use crate::protocol::pool_memory::PoolKey;

    #[test]
    fn a_text_of_another_form_is_told_apart_from_nonsense() {
        let said = |text: &str| parse(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(said(r#"{"version": 2, "pools": {}}"#), "its form has the number 2, this program knows 1");
        assert!(said("").starts_with("it makes no sense: "));
        assert_eq!(said(&" ".repeat(MAX_BYTES + 1)), "it has more than 2097152 bytes");
        assert!(said(&"[".repeat(60_000)).starts_with("it makes no sense: "));
        let (_, faults) = parse(br#"{"version": 1, "pools": [{"pool": 5}]}"#).unwrap();
        assert_eq!(faults[0].0, Section::Pools);
    }

    #[test]
    fn a_text_of_a_version_without_boards_is_read() {
        let mut document = Document::default();
        let key = PoolKey { pool: "a:1".to_owned(), user: "u".to_owned() };
        document.pools.learn(key.clone(), Lessons { plain_subscribe: true, ..Lessons::default() });
        let mut text: Value = serde_json::from_str(&document.text()).unwrap();
        text.as_object_mut().unwrap().remove("boards");
        let (document, faults) = parse(text.to_string().as_bytes()).unwrap();
        assert!(faults.is_empty() && document.pools.lessons(&key).plain_subscribe);
    }

    proptest! {
        #[test]
        fn no_text_whatsoever_makes_the_memory_panic(
            text in r#"(\{|"version": ?1|"pools":\[|"boards":\[|"pool":"[a-z:]{0,3}"|"board":"[a-z]{0,3}"|"results":\{"outcomes":\[|"user":""|"lessons":\{|"session":\{"id":"s","extranonce2_bytes":[0-9]{1,4}\}|"configure":"[a-z-]{1,9}"|,|\}|\]|.){0,20}"#
        ) {
            if let Ok((document, _)) = parse(text.as_bytes()) {
                parse(document.text().as_bytes()).unwrap();
            }
        }
    }
}
