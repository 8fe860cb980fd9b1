//! The checks of single values in a node's answers.

use std::fmt::Display;
use std::ops::RangeInclusive;

use serde_json::Value;

use crate::protocol::text::printable;
use crate::work::BlockHash;

/// Longest value that an error repeats, in characters.
pub(super) const MAX_SHOWN: usize = 80;

/// Why an answer is of no use. The node, or what stands between it and us, is to blame: a node of a supported version
/// answers otherwise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Another shape.
    #[error("{method} answers in another shape than Bitcoin Core: {error}")]
    Shape {
        /// What was called.
        method: &'static str,
        /// What is wrong; printable.
        error: String,
    },
    /// A field is not there.
    #[error("the node's answer has no {0}; is it a Bitcoin Core that is recent enough?")]
    Missing(&'static str),
    /// A field is wrong.
    #[error("{field} in the node's answer is {value}, expected {expected}; is it a Bitcoin Core?")]
    Field {
        /// Its name.
        field: &'static str,
        /// What was there, made short and printable.
        value: String,
        /// What should have been.
        expected: String,
    },
}

/// The error for a field that is there and wrong.
pub(super) fn mismatch(field: &'static str, value: impl Display, expected: impl Display) -> AnswerError {
    let value = printable(&value.to_string(), MAX_SHOWN);
    AnswerError::Field { field, value, expected: expected.to_string() }
}

/// The error for a field that is missing or of another type.
fn unlike(field: &'static str, value: &Value, expected: impl Display) -> AnswerError {
    if value.is_null() { AnswerError::Missing(field) } else { mismatch(field, value, expected) }
}

/// A text.
pub(super) fn text<'a>(field: &'static str, value: &'a Value) -> Result<&'a str, AnswerError> {
    value.as_str().ok_or_else(|| unlike(field, value, "a text"))
}

/// Yes or no.
pub(super) fn boolean(field: &'static str, value: &Value) -> Result<bool, AnswerError> {
    value.as_bool().ok_or_else(|| unlike(field, value, "true or false"))
}

/// A whole number within a range.
pub(super) fn integer(
    field: &'static str,
    value: &Value,
    range: RangeInclusive<i64>,
) -> Result<i64, AnswerError> {
    let expected = || format!("a whole number from {} to {}", range.start(), range.end());
    value.as_i64().filter(|number| range.contains(number)).ok_or_else(|| unlike(field, value, expected()))
}

/// Exactly `N` bytes of hexadecimal, in the order shown.
pub(super) fn hex_bytes<const N: usize>(field: &'static str, value: &Value) -> Result<[u8; N], AnswerError> {
    let mut bytes = [0; N];
    match hex::decode_to_slice(text(field, value)?, &mut bytes) {
        Ok(()) => Ok(bytes),
        Err(_) => Err(mismatch(field, value, format!("{} digits of hexadecimal", 2 * N))),
    }
}

/// A hash as it is shown, which is reversed.
pub(super) fn block_hash(field: &'static str, value: &Value) -> Result<BlockHash, AnswerError> {
    let mut bytes = hex_bytes(field, value)?;
    bytes.reverse();
    Ok(BlockHash(bytes))
}
