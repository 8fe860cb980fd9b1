//! JSON-RPC as Bitcoin Core speaks it: our requests, and its replies whatever their HTTP status.
//!
//! Source: Bitcoin Core `rpc/request.cpp`, `rpc/protocol.h`, `httprpc.cpp`, and recorded replies.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::text::printable;

/// Longest text of a node that is shown. Unit: characters.
const MAX_TEXT: usize = 200;
/// Calls that a node's `rpcwhitelist` has to allow.
const NEEDED: &str = "getblocktemplate,submitblock,getbestblockhash,getblockchaininfo,getblockheader,getnetworkinfo,waitfornewblock";

/// Why a node gave no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RpcFault {
    /// HTTP 401.
    #[error(
        "refuses the credentials; give --rpc-cookie the .cookie file of this node, or --rpc-user and --rpc-password as in its configuration"
    )]
    Unauthorized,
    /// HTTP 403.
    #[error("does not allow the call {0} to this user; add it to rpcwhitelist, which needs {NEEDED}")]
    Forbidden(&'static str),
    /// HTTP 503: too many calls wait, or it shuts down.
    #[error("is too busy or shutting down")]
    Busy,
    /// -28.
    #[error("is starting: {0}")]
    WarmingUp(String),
    /// -9.
    #[error("has no connection to the network; check its internet connection")]
    NotConnected,
    /// -10.
    #[error("is still fetching the chain; wait until it is done")]
    InitialDownload,
    /// -5.
    #[error("does not know it: {0}")]
    NotFound(String),
    /// -32601, or HTTP 404.
    #[error("does not know the call {0}; is it Bitcoin Core, of version 0.21 or newer?")]
    UnknownCall(&'static str),
    /// -22.
    #[error("cannot read what it was sent: {0}")]
    Decode(String),
    /// Any other error of it.
    #[error("answers {call} with error {code}: {text}")]
    Other {
        /// What it was asked.
        call: &'static str,
        /// Its number.
        code: i64,
        /// Its words, printable.
        text: String,
    },
    /// Something else than JSON-RPC listens there.
    #[error("answers with HTTP status {0} and no JSON-RPC; is this the RPC port of a node?")]
    NoJsonRpc(u16),
    /// The answer to something else.
    #[error("answers another call than {0}")]
    OtherId(&'static str),
    /// A result of another shape than the call has.
    #[error("answers {call} with something unexpected: {text}")]
    Shape {
        /// What it was asked.
        call: &'static str,
        /// What is wrong with it, printable.
        text: String,
    },
}

impl RpcFault {
    /// An unexpected result.
    pub fn shape(call: &'static str, error: impl std::fmt::Display) -> Self {
        Self::Shape { call, text: printable(&error.to_string(), MAX_TEXT) }
    }
}

/// The body of a request.
pub fn request(id: u64, call: &str, params: &Value) -> String {
    json!({ "jsonrpc": "1.0", "id": id, "method": call, "params": params }).to_string()
}

#[derive(Deserialize)]
struct Reply<'a> {
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<ErrorObject>,
    #[serde(default)]
    id: Value,
}

#[derive(Deserialize)]
struct ErrorObject {
    code: i64,
    #[serde(default)]
    message: Value,
}

/// The result of a reply as its JSON text, which is borrowed: templates have megabytes. Errors: see [`RpcFault`].
pub fn result<'a>(id: u64, call: &'static str, status: u16, body: &'a [u8]) -> Result<&'a str, RpcFault> {
    match status {
        401 => return Err(RpcFault::Unauthorized),
        403 => return Err(RpcFault::Forbidden(call)),
        503 => return Err(RpcFault::Busy),
        _ => {}
    }
    let reply: Reply<'a> = match serde_json::from_slice(body) {
        Ok(reply) => reply,
        Err(_) if status == 404 => return Err(RpcFault::UnknownCall(call)),
        Err(_) => return Err(RpcFault::NoJsonRpc(status)),
    };
    if let Some(ErrorObject { code, message }) = reply.error {
        let text = printable(message.as_str().unwrap_or("no text"), MAX_TEXT);
        return Err(fault(call, code, text));
    }
    if reply.id != json!(id) {
        return Err(RpcFault::OtherId(call));
    }
    // serde reads a null result as absent.
    Ok(reply.result.map_or("null", RawValue::get))
}

/// Source of the numbers: Bitcoin Core `rpc/protocol.h`.
fn fault(call: &'static str, code: i64, text: String) -> RpcFault {
    match code {
        -5 => RpcFault::NotFound(text),
        -9 => RpcFault::NotConnected,
        -10 => RpcFault::InitialDownload,
        -22 => RpcFault::Decode(text),
        -28 => RpcFault::WarmingUp(text),
        -32_601 => RpcFault::UnknownCall(call),
        _ => RpcFault::Other { call, code, text },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded() -> Vec<(String, u16, String)> {
        let vectors: Value =
            serde_json::from_str(include_str!("../../tests/vectors/gbt-vectors.json")).unwrap();
        let text = |body: &Value| body.as_str().map_or_else(|| body.to_string(), str::to_owned);
        let reply = |reply: &Value| {
            let status = reply["http"].as_u64().unwrap() as u16;
            (reply["when"].as_str().unwrap().to_owned(), status, text(&reply["body"]))
        };
        vectors["rpc_replies"].as_array().unwrap().iter().map(reply).collect()
    }

    #[test]
    fn every_recorded_refusal_is_told_apart() {
        let seen: Vec<_> = recorded()
            .into_iter()
            .map(|(when, status, body)| {
                (when, result(1, "getblocktemplate", status, body.as_bytes()).unwrap_err())
            })
            .collect();
        let find = |when: &str| {
            seen.iter().find(|(known, _)| known == when).map(|(_, fault)| fault.clone()).unwrap()
        };
        assert_eq!(find("wrong or missing credentials"), RpcFault::Unauthorized);
        assert_eq!(find("method not in the whitelist of the user"), RpcFault::Forbidden("getblocktemplate"));
        assert_eq!(find("HTTP GET"), RpcFault::NoJsonRpc(405));
        assert_eq!(find("work queue full"), RpcFault::Busy);
        assert_eq!(find("unknown method"), RpcFault::UnknownCall("getblocktemplate"));
        assert_eq!(find("warm-up"), RpcFault::WarmingUp("Loading block index…".into()));
        assert_eq!(find("mainnet without peers"), RpcFault::NotConnected);
        assert_eq!(find("mainnet in initial block download"), RpcFault::InitialDownload);
        assert_eq!(find("undecodable block"), RpcFault::Decode("Block decode failed".into()));
        for when in [
            "rules without segwit",
            "signet, rules without signet",
            "same, JSON-RPC 2.0 request",
            "bad longpollid",
        ] {
            assert!(matches!(find(when), RpcFault::Other { code: -8, .. }), "{when}");
        }
    }

    #[test]
    fn a_result_is_the_text_as_it_came_and_null_is_one() {
        let body = br#"{"result":{"a": [1, 2]},"error":null,"id":7}"#;
        assert_eq!(result(7, "x", 200, body), Ok(r#"{"a": [1, 2]}"#));
        assert_eq!(result(7, "x", 200, br#"{"result":null,"error":null,"id":7}"#), Ok("null"));
        assert_eq!(result(7, "x", 200, br#"{"jsonrpc":"2.0","result":"s","id":7}"#), Ok(r#""s""#));
        assert_eq!(result(8, "x", 200, body), Err(RpcFault::OtherId("x")));
        assert_eq!(result(7, "x", 404, b""), Err(RpcFault::UnknownCall("x")));
        assert_eq!(result(7, "x", 200, b"<html>"), Err(RpcFault::NoJsonRpc(200)));
    }

    #[test]
    fn a_text_of_a_node_is_made_harmless() {
        let body = format!(
            r#"{{"result":null,"error":{{"code":-1,"message":"\u001b[2J{}"}},"id":1}}"#,
            "x".repeat(9999)
        );
        let text = result(1, "x", 500, body.as_bytes()).unwrap_err().to_string();
        assert!(!text.contains('\u{1b}') && text.len() < 300, "{text}");
    }

    #[test]
    fn a_request_has_its_call_and_its_parameters() {
        let sent: Value = serde_json::from_str(&request(3, "getblockheader", &json!(["aa"]))).unwrap();
        assert_eq!(
            (&sent["method"], &sent["params"], &sent["id"]),
            (&json!("getblockheader"), &json!(["aa"]), &json!(3))
        );
    }
}
