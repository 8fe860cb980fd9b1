//! JSON-RPC as Bitcoin Core speaks it: the bodies of requests, and what a reply over HTTP means.

use std::borrow::Cow;
use std::fmt;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::text::printable;

mod fault;

pub use fault::RpcFault;

/// What of a stranger's text is shown, in characters.
const MAX_TEXT: usize = 200;

/// A method that is called. Source: Bitcoin Core `rpc/mining.cpp`, `rpc/blockchain.cpp`, `rpc/net.cpp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// A template, or what the node thinks of a proposed block.
    GetBlockTemplate,
    /// A block.
    SubmitBlock,
    /// The tip.
    GetBestBlockHash,
    /// The chain and how far the node has come with it.
    GetBlockchainInfo,
    /// A header and how it stands.
    GetBlockHeader,
    /// Version and peers.
    GetNetworkInfo,
    /// Until there is another tip.
    WaitForNewBlock,
    /// Where new blocks are published. It may be left out of `rpcwhitelist`, like all that follow.
    GetZmqNotifications,
    /// A transaction that waits for a block.
    GetMempoolEntry,
    /// The ends of all branches, with those that are invalid.
    GetChainTips,
}

impl Method {
    /// All of them: what `rpcwhitelist` must allow.
    pub const ALL: [Self; 7] = [
        Self::GetBlockTemplate,
        Self::SubmitBlock,
        Self::GetBestBlockHash,
        Self::GetBlockchainInfo,
        Self::GetBlockHeader,
        Self::GetNetworkInfo,
        Self::WaitForNewBlock,
    ];

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::GetBlockTemplate => "getblocktemplate",
            Self::SubmitBlock => "submitblock",
            Self::GetBestBlockHash => "getbestblockhash",
            Self::GetBlockchainInfo => "getblockchaininfo",
            Self::GetBlockHeader => "getblockheader",
            Self::GetNetworkInfo => "getnetworkinfo",
            Self::WaitForNewBlock => "waitfornewblock",
            Self::GetZmqNotifications => "getzmqnotifications",
            Self::GetMempoolEntry => "getmempoolentry",
            Self::GetChainTips => "getchaintips",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The body of a request in the style of JSON-RPC 1.0, whose errors come with a status of their own. `params` is a list
/// of whatever the method takes.
pub fn request(id: u64, method: Method, params: impl Serialize) -> String {
    #[derive(Serialize)]
    struct Request<P> {
        jsonrpc: &'static str,
        id: u64,
        method: Method,
        params: P,
    }
    serde_json::to_string(&Request { jsonrpc: "1.0", id, method, params })
        .expect("numbers, texts and lists of them are JSON")
}

/// A reply as it came. Later servers leave out `error` or `result`, whichever does not apply.
#[derive(Deserialize)]
struct Reply<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
}

/// Keeps `null` apart from a field that is not there: a null result is how submitblock accepts.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(value).map(Some)
}

/// What is known of an error. The message may be missing.
#[derive(Deserialize)]
struct ErrorAnswer<'a> {
    code: i64,
    #[serde(borrow, default)]
    message: Cow<'a, str>,
}

/// The result in a reply with this HTTP status to the request `id`, as the JSON text that stands in `body`. The body is
/// read whatever the status: that of an error tells more. Errors: [`RpcFault`].
pub fn result(status: u16, body: &[u8], id: u64) -> Result<&RawValue, RpcFault> {
    match status {
        401 => return Err(RpcFault::Unauthorized),
        403 => return Err(RpcFault::Forbidden),
        _ if body.trim_ascii().is_empty() => return Err(RpcFault::of_silence(status)),
        _ => {}
    }
    // An empty list or a number is JSON and no reply either; serde would take `[..]` for a struct.
    let reply = body.trim_ascii_start().starts_with(b"{").then(|| serde_json::from_slice::<Reply<'_>>(body));
    let Some(Ok(Reply { result, error, id: answered })) = reply else {
        return Err(RpcFault::of_text(status, body));
    };
    let is_ours = answered.is_some_and(|answered| answered.get() == id.to_string());
    if let Some(error) = error {
        // A request that was no JSON to the server is answered without its id.
        return match answered {
            Some(answered) if !is_ours => Err(wrong_id(id, answered)),
            _ => Err(serde_json::from_str::<ErrorAnswer<'_>>(error.get()).map_or_else(
                |_| RpcFault::Malformed { what: printable(error.get(), MAX_TEXT) },
                |error| RpcFault::of_code(error.code, printable(&error.message, MAX_TEXT)),
            )),
        };
    }
    match (result, answered) {
        (Some(result), _) if is_ours && (200..300).contains(&status) => Ok(result),
        (Some(_), _) if is_ours => Err(RpcFault::Malformed { what: format!("a result with HTTP {status}") }),
        (Some(_), Some(answered)) => Err(wrong_id(id, answered)),
        (Some(_), None) => Err(RpcFault::Malformed { what: "a result without the id of a request".into() }),
        (None, _) => Err(RpcFault::Malformed { what: "neither a result nor an error".into() }),
    }
}

fn wrong_id(expected: u64, got: &RawValue) -> RpcFault {
    RpcFault::WrongId { expected, got: printable(got.get(), 40) }
}

/// Whether a text is JSON of any shape.
fn is_json(body: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(body).is_ok()
}

#[cfg(test)]
mod tests;
