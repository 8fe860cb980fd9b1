//! Why a template is refused.

use std::fmt::Display;

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
