//! Why a template is refused, and the checks of single values.

use std::fmt::Display;
use std::ops::RangeInclusive;

use serde_json::Value;

use super::hexadecimal::decode;

/// Longest value that an error repeats, in characters.
const MAX_SHOWN: usize = 80;

/// Why no work can be made of a template. The node, or what stands between it and us, is to blame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// No object of the right shape.
    #[error("the template is not what getblocktemplate answers: {0}")]
    Json(String),
    /// A field is not there.
    #[error("the template has no {0}")]
    Missing(&'static str),
    /// A field is wrong.
    #[error("the template's {field} is {value}, expected {expected}")]
    Field {
        /// Its name.
        field: &'static str,
        /// What was there, made short and printable.
        value: String,
        /// What should have been.
        expected: String,
    },
    /// A field of a transaction is wrong.
    #[error("in transaction {number} of the template: {error}")]
    Transaction {
        /// Its number, from 1 as `depends` counts.
        number: usize,
        /// What is wrong.
        error: Box<TemplateError>,
    },
    /// A rule that must be understood, and is not.
    #[error("the template needs rule {0}, which this miner does not know")]
    UnknownRule(String),
    /// Blocks of this signet need a signature that a miner cannot give.
    #[error(
        "this signet wants its blocks signed (challenge {0}); only one whose challenge is 51 can be mined"
    )]
    SignedSignet(String),
}

/// A value for a person: printable and short, also when a stranger made it.
pub(super) fn shown(value: impl Display) -> String {
    let text = value.to_string();
    let mut short: String = text.chars().take(MAX_SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX_SHOWN).is_some() {
        short.push('…');
    }
    short
}

/// The error for a field that is there and wrong.
pub(super) fn mismatch(field: &'static str, value: impl Display, expected: impl Display) -> TemplateError {
    TemplateError::Field { field, value: shown(value), expected: expected.to_string() }
}

/// A text. Errors: missing, of another type.
pub(super) fn text<'a>(field: &'static str, value: &'a Value) -> Result<&'a str, TemplateError> {
    match value {
        Value::String(text) => Ok(text),
        Value::Null => Err(TemplateError::Missing(field)),
        other => Err(mismatch(field, other, "a text")),
    }
}

/// The entries of a list; none when it is not there. Errors: of another type.
pub(super) fn list<'a>(field: &'static str, value: &'a Value) -> Result<&'a [Value], TemplateError> {
    match value {
        Value::Array(entries) => Ok(entries),
        Value::Null => Ok(&[]),
        other => Err(mismatch(field, other, "a list")),
    }
}

/// The values of an object in the order of their names; none when it is not there. Errors: of another type.
pub(super) fn members<'a>(field: &'static str, value: &'a Value) -> Result<Vec<&'a Value>, TemplateError> {
    match value {
        Value::Object(members) => {
            let mut named: Vec<_> = members.iter().collect();
            named.sort_by_key(|(name, _)| *name); // whatever order the map keeps
            Ok(named.into_iter().map(|(_, value)| value).collect())
        }
        Value::Null => Ok(Vec::new()),
        other => Err(mismatch(field, other, "an object")),
    }
}

/// A whole number. Errors: missing, of another type, outside the range.
pub(super) fn integer(
    field: &'static str,
    value: &Value,
    range: RangeInclusive<u64>,
) -> Result<u64, TemplateError> {
    match value.as_u64() {
        Some(number) if range.contains(&number) => Ok(number),
        _ if value.is_null() => Err(TemplateError::Missing(field)),
        _ => Err(mismatch(field, value, format!("a whole number from {} to {}", range.start(), range.end()))),
    }
}

/// Exactly `N` bytes of hexadecimal. Errors: missing, of another type or length.
pub(super) fn hex_bytes<const N: usize>(
    field: &'static str,
    value: &Value,
) -> Result<[u8; N], TemplateError> {
    let bytes = decode(text(field, value)?).and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| mismatch(field, value, format!("{} digits of hexadecimal", 2 * N)))
}

/// A hash or target as it is shown, turned into header order. Errors: as [`hex_bytes`].
pub(super) fn hash(field: &'static str, value: &Value) -> Result<[u8; 32], TemplateError> {
    let mut bytes: [u8; 32] = hex_bytes(field, value)?;
    bytes.reverse();
    Ok(bytes)
}
