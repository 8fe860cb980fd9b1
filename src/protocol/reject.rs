//! Why a pool refused a share, read from any of the forms in the field.

use serde_json::Value;

use super::text::printable;
use crate::work::{Reject, RejectKind};

/// Longest reject text kept, in characters.
const MAX_TEXT: usize = 200;

/// Reads the error member of an answer in any of the forms in the field: `[code, text, …]`, `{code, message}`, a
/// plain string, or nothing at all. `reason` is the member `reject-reason` that some pools send instead.
pub fn read_error(error: &Value, reason: Option<&str>) -> Reject {
    let (code, text) = match error {
        Value::Array(parts) => (parts.first().and_then(Value::as_i64), parts.get(1).and_then(Value::as_str)),
        Value::Object(members) => {
            (members.get("code").and_then(Value::as_i64), members.get("message").and_then(Value::as_str))
        }
        Value::String(text) => (None, Some(text.as_str())),
        _ => (None, None),
    };
    let text = printable(text.or(reason).unwrap_or(""), MAX_TEXT);
    Reject { kind: classify(code, &text), code, text }
}

/// Telling words first, the number after: one number means different things at different pools (DATUM's 21 covers time
/// errors, its 20 an unknown job).
fn classify(code: Option<i64>, text: &str) -> RejectKind {
    const WORDS: &[(&str, RejectKind)] = &[
        ("dup", RejectKind::Duplicate),
        ("time-too", RejectKind::Ntime),
        ("ntime", RejectKind::Ntime),
        ("above target", RejectKind::LowDifficulty),
        ("high-hash", RejectKind::LowDifficulty),
        ("h-not-zero", RejectKind::LowDifficulty),
        ("low diff", RejectKind::LowDifficulty),
        ("low-diff", RejectKind::LowDifficulty),
        ("too low", RejectKind::LowDifficulty),
        ("difficulty", RejectKind::LowDifficulty),
        ("version", RejectKind::Version),
        ("unauth", RejectKind::Unauthorized),
        ("subscribed", RejectKind::Unauthorized),
        ("stale", RejectKind::Stale),
        ("job", RejectKind::Stale),
        ("unknown-work", RejectKind::Stale),
    ];
    let lower = text.to_lowercase();
    let by_text = WORDS.iter().find(|(word, _)| lower.contains(word)).map(|(_, kind)| *kind);
    by_text.unwrap_or(match code {
        Some(21) => RejectKind::Stale,
        Some(22) => RejectKind::Duplicate,
        Some(23) => RejectKind::LowDifficulty,
        Some(24 | 25) => RejectKind::Unauthorized,
        _ => RejectKind::Other,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_form_of_refusal_in_the_field_is_read() {
        for (error, reason, kind, shown) in [
            (json!([21, "Job not found", null]), None, RejectKind::Stale, "Job not found"),
            (json!([20, "unknown-work", null]), None, RejectKind::Stale, "unknown-work"),
            (json!([21, "time-too-old"]), None, RejectKind::Ntime, "time-too-old"),
            (json!([23, "bad-version", null]), None, RejectKind::Version, "bad-version"),
            (json!([23, "high-hash", null]), None, RejectKind::LowDifficulty, "high-hash"),
            (json!("Above target"), None, RejectKind::LowDifficulty, "Above target"),
            (json!("Stale"), None, RejectKind::Stale, "Stale"),
            (
                json!({"code": 22, "message": "Duplicate share"}),
                None,
                RejectKind::Duplicate,
                "Duplicate share",
            ),
            (json!({"code": 24}), None, RejectKind::Unauthorized, "code 24"),
            (json!([22]), None, RejectKind::Duplicate, "code 22"),
            (json!([20, "Worker mismatch", null]), None, RejectKind::Other, "Worker mismatch"),
            (
                json!([20, "version bits not allowed", null]),
                None,
                RejectKind::Version,
                "version bits not allowed",
            ),
            (
                json!(null),
                None,
                RejectKind::Other,
                "the pool gave no reason: low difficulty or an unknown job",
            ),
            (json!(null), Some("low difficulty share"), RejectKind::LowDifficulty, "low difficulty share"),
            (json!([-2, "share \u{1b}[2Jodd"]), None, RejectKind::Other, "share [2Jodd"),
        ] {
            let reject = read_error(&error, reason);
            assert_eq!((reject.kind, reject.to_string().as_str()), (kind, shown), "{error}");
        }
    }
}
