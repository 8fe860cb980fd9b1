//! The envelope of Stratum V1: a client's line to a request, and the lines the pool writes.

use serde_json::{Value, json};

use super::{difficulty::Difficulty, judge::Reject, template::Template};

use bitcoin::hex::DisplayHex;

/// A line that no conversation can go on after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadLine {
    #[error("Invalid JSON")]
    NotJson,
    #[error("Not a request")]
    NotARequest,
}

/// An answer that says no: code and text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("Not subscribed")]
    NotSubscribed,
    #[error("Already subscribed")]
    AlreadySubscribed,
    #[error("Invalid parameters")]
    InvalidParameters,
    #[error("Method not found")]
    UnknownMethod,
    #[error("Unauthorized worker")]
    UserRefused,
    #[error("{0}")]
    Share(#[from] Reject),
}

impl Refusal {
    fn code(self) -> i32 {
        match self {
            Self::NotSubscribed => 25,
            Self::AlreadySubscribed | Self::InvalidParameters => 20,
            Self::UnknownMethod => -3,
            Self::UserRefused => 24,
            Self::Share(reject) => reject.code(),
        }
    }
}

/// One request of a client.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) id: Value,
    pub(crate) method: String,
    pub(crate) params: Vec<Value>,
}

impl Request {
    /// Nothing for an answer, which the pool never asked for. Errors: `BadLine`, after which the line ends.
    pub(crate) fn parse(line: &[u8]) -> Result<Option<Self>, BadLine> {
        let mut message: Value = serde_json::from_slice(line).map_err(|_| BadLine::NotJson)?;
        let members = message.as_object_mut().ok_or(BadLine::NotARequest)?;
        let mut take = |member: &str| members.remove(member).unwrap_or_default();
        match (take("id"), take("method"), take("params")) {
            (id, Value::String(method), Value::Array(params)) => Ok(Some(Self { id, method, params })),
            (id, Value::String(method), Value::Null) => Ok(Some(Self { id, method, params: Vec::new() })),
            (_, Value::Null, Value::Null) => Ok(None),
            _ => Err(BadLine::NotARequest),
        }
    }

    /// A parameter that has to be a text.
    pub(crate) fn text(&self, index: usize) -> Option<&str> {
        self.params.get(index)?.as_str()
    }
}

/// The answer to a request.
pub(crate) fn answer(id: &Value, result: Result<Value, Refusal>) -> String {
    match result {
        Ok(result) => json!({ "id": id, "result": result, "error": null }).to_string(),
        Err(refusal) => {
            json!({ "id": id, "result": null, "error": [refusal.code(), refusal.to_string(), null] })
                .to_string()
        }
    }
}

/// The last line before the pool hangs up.
pub(crate) fn farewell(reason: &str) -> String {
    json!({ "id": null, "result": null, "error": [20, reason, null] }).to_string()
}

pub(crate) fn set_difficulty(difficulty: Difficulty) -> String {
    json!({ "id": null, "method": "mining.set_difficulty", "params": [difficulty] }).to_string()
}

pub(crate) fn notify(job_id: &str, template: &Template, clean: bool) -> String {
    let branches: Vec<String> = template
        .branches
        .iter()
        .map(|branch| AsRef::<[u8; 32]>::as_ref(branch).to_lower_hex_string())
        .collect();
    let params = json!([
        job_id,
        template.stratum_prevhash().to_lower_hex_string(),
        template.coinb1.to_lower_hex_string(),
        template.coinb2.to_lower_hex_string(),
        branches,
        format!("{:08x}", template.version),
        format!("{:08x}", template.nbits.to_consensus()),
        format!("{:08x}", template.ntime),
        clean,
    ]);
    json!({ "id": null, "method": "mining.notify", "params": params }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_request_an_answer_or_the_end() {
        let request = Request::parse(br#"{"id":"a","method":"mining.subscribe"}"#).unwrap().unwrap();
        assert_eq!((request.id, request.method.as_str()), (json!("a"), "mining.subscribe"));
        assert_eq!(Request::parse(br#"{"id":42,"result":"pong","error":null}"#), Ok(None));
        assert_eq!(Request::parse(b"{"), Err(BadLine::NotJson));
        for line in ["[]", "7", r#"{"id":1,"method":3}"#, r#"{"id":1,"method":"x","params":{}}"#] {
            assert_eq!(Request::parse(line.as_bytes()), Err(BadLine::NotARequest), "{line}");
        }
    }
}
