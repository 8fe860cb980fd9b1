//! Why a call to a node brought nothing, and what the operator can do about it. Who tells it names the node.

use std::path::PathBuf;
use std::time::Duration;

use crate::protocol::json_rpc::{Method, RpcFault};
use crate::protocol::node_answers::AnswerError;
use crate::upstream::node::login::CookieError;

/// Why a call brought nothing. Texts in it are printable.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    /// The host is none.
    #[error("{host} is no address of a node: {error}; give a host name or an IP address")]
    Address {
        /// As given.
        host: String,
        /// What is wrong with it.
        error: String,
    },
    /// No connection.
    #[error(
        "no connection: {error}; is the node running with server=1, and is this its rpcport and rpcbind?"
    )]
    Connect {
        /// Why.
        error: String,
    },
    /// No answer in time.
    #[error("{method} has no answer within {} s; the node is overloaded, or the network is cut", .after.as_secs())]
    Timeout {
        /// What was called.
        method: Method,
        /// How long we have waited.
        after: Duration,
    },
    /// The connection ended.
    #[error("the connection broke during {method}: {error}; has the node stopped?")]
    Io {
        /// What was called.
        method: Method,
        /// How.
        error: String,
    },
    /// More than any real answer.
    #[error("{method} is answered with more than {limit} bytes; is the port that of a Bitcoin node's RPC?")]
    TooLarge {
        /// What was called.
        method: Method,
        /// Most bytes that are read.
        limit: usize,
    },
    /// No cookie.
    #[error(transparent)]
    Cookie(#[from] CookieError),
    /// The cookie is not that of the node, or not yet.
    #[error(
        "the node refuses the cookie in {} (HTTP 401); it is that of another node, or of an earlier start of this one: \
         give --rpc-cookie another, or --rpc-user and --rpc-password", .path.display()
    )]
    CookieRefused {
        /// The file.
        path: PathBuf,
    },
    /// The node says no.
    #[error("{method}: {fault}")]
    Fault {
        /// What was called.
        method: Method,
        /// What it says.
        fault: RpcFault,
    },
    /// The node says something else than a node would.
    #[error("{method}: {error}")]
    Answer {
        /// What was called.
        method: Method,
        /// What is wrong.
        error: AnswerError,
    },
}
