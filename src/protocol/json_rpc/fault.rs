//! Why a call brought no result, with what an operator can do about it.

use super::{MAX_TEXT, Method, is_json};
use crate::protocol::text::printable;

/// Why a call brought no result. Texts in it are printable and short. Sources: Bitcoin Core `rpc/protocol.h` for the
/// codes, `httprpc.cpp` and `httpserver.cpp` for the statuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RpcFault {
    /// HTTP 401.
    #[error(
        "the node refuses the login (HTTP 401); give --rpc-user and --rpc-password as its rpcauth, or rpcuser and \
         rpcpassword, has them, or --rpc-cookie the path of its cookie file"
    )]
    Unauthorized,
    /// HTTP 403: the method is not on the user's whitelist.
    #[error(
        "the node does not let this user call the method (HTTP 403); its rpcwhitelist needs {}",
        Method::ALL.map(Method::name).join(",")
    )]
    Forbidden,
    /// HTTP 503: more requests than the node queues, or it is stopping.
    #[error(
        "the node takes no more requests for now (HTTP 503); if this lasts, other programs keep it busy: raise its \
         rpcthreads and rpcworkqueue"
    )]
    Busy,
    /// Code -28: the node is starting.
    #[error("the node is starting: {0}; it answers when it has finished")]
    WarmingUp(String),
    /// Code -9: the node has no peers.
    #[error("the node has no peers and gives no work; see to its network connection")]
    NotConnected,
    /// Code -10: initial block download.
    #[error("the node is still downloading the chain and gives no work until it has caught up")]
    InitialDownload,
    /// Code -8 about the rules of a template.
    #[error("the node wants a rule that the request does not name: {0}; this is a fault of the miner")]
    MissingRule(String),
    /// Code -5: no such block.
    #[error("the node does not know it: {0}")]
    NotFound(String),
    /// Code -32601: no such method.
    #[error("the node does not know the method; it is too old, was built without it, or is no Bitcoin Core")]
    UnknownMethod,
    /// Code -22: the block is none.
    #[error("the node cannot decode the block: {0}; this is a fault of the miner")]
    DecodeFailed(String),
    /// Code -25: the node failed at its work.
    #[error("the node failed while checking: {0}; its debug.log tells why")]
    Verify(String),
    /// Another error.
    #[error("the node answers with error {code}: {text}")]
    Other {
        /// Its code.
        code: i64,
        /// Its message.
        text: String,
    },
    /// An answer without a body.
    #[error("an empty answer (HTTP {status}); is the port that of a Bitcoin node's RPC?")]
    Empty {
        /// The HTTP status.
        status: u16,
    },
    /// An answer that is no JSON.
    #[error("an answer that is no JSON (HTTP {status}): {text}; is the port that of a Bitcoin node's RPC?")]
    NotJson {
        /// The HTTP status.
        status: u16,
        /// How it begins.
        text: String,
    },
    /// JSON, but no reply.
    #[error("an answer that is none to a call: {what}; is the port that of a Bitcoin node's RPC?")]
    Malformed {
        /// What is wrong.
        what: String,
    },
    /// The answer to another call.
    #[error(
        "an answer to call {got}, expected one to {expected}; something between us and the node mixes them up"
    )]
    WrongId {
        /// Our id.
        expected: u64,
        /// Its id, as JSON.
        got: String,
    },
}

impl RpcFault {
    /// What a code means. `text` is printable. Source: Bitcoin Core `rpc/protocol.h`.
    pub(super) fn of_code(code: i64, text: String) -> Self {
        match code {
            -5 => Self::NotFound(text),
            -8 if text.contains("rule set") => Self::MissingRule(text),
            -9 => Self::NotConnected,
            -10 => Self::InitialDownload,
            -22 => Self::DecodeFailed(text),
            -25 => Self::Verify(text),
            -28 => Self::WarmingUp(text),
            -32601 => Self::UnknownMethod,
            _ => Self::Other { code, text },
        }
    }

    /// What a status alone means.
    pub(super) fn of_silence(status: u16) -> Self {
        if status == 503 { Self::Busy } else { Self::Empty { status } }
    }

    /// What a body means that is no reply.
    pub(super) fn of_text(status: u16, body: &[u8]) -> Self {
        // A character has four bytes at most; what is hidden of them does not matter.
        let text = printable(&String::from_utf8_lossy(&body[..body.len().min(4 * MAX_TEXT)]), MAX_TEXT);
        match status {
            503 => Self::Busy,
            _ if is_json(body) => Self::Malformed { what: text },
            _ => Self::NotJson { status, text },
        }
    }
}
