//! Calls to a node over HTTP. Waiting calls and blocks have connections of their own, so that neither stands in the way of
//! the other: Bitcoin Core answers the calls of one connection in order.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};

use super::super::Traffic;
use crate::clock::now;
use crate::protocol::delivery::{Place, Said};
use crate::protocol::json_rpc::{self, RpcFault};
use crate::protocol::node_answers::{
    self, Bytes32, ChainInfo, HeaderInfo, NetworkInfo, TipInfo, ZmqNotification,
};
use crate::protocol::session_config::Credentials;
use crate::protocol::solo_session::Proposal;
use crate::work::BlockHash;

/// For the connection alone: nodes are near.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// For a small answer. A node that checks a block holds others up for seconds.
const CALL_PATIENCE: Duration = Duration::from_secs(15);
/// For a template: megabytes over a line that may be slow.
const TEMPLATE_PATIENCE: Duration = Duration::from_secs(60);
/// For a block to be read, checked and connected.
const BLOCK_PATIENCE: Duration = Duration::from_secs(120);
/// Unused connections are closed after this time, before Bitcoin Core does it after 30 s (`-rpcservertimeout`): a call on
/// one that is being closed would fail.
const IDLE: Duration = Duration::from_secs(20);
/// Longest answer. A template of a full block has 8 MB of hexadecimal at most, and a few names for each transaction.
const MAX_ANSWER: usize = 64 << 20;
/// Error of a call with other parameters than it takes. Source: Bitcoin Core `rpc/protocol.h`, `RPC_MISC_ERROR`.
const MISC_ERROR: i64 = -1;
/// Times that one call is made: with an old cookie, on an idle connection that just ended, and in earnest.
const ATTEMPTS: usize = 3;
/// A connection that breaks so soon after a call was most probably closed before it.
const AT_ONCE: Duration = Duration::from_secs(1);
/// Longest cookie file: one line of a name and 64 digits.
const MAX_COOKIE: u64 = 1024;

/// How a node knows us.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// The first of these files that is there: a node writes one at each start.
    Cookie(Vec<PathBuf>),
    /// User and password of its configuration.
    Password(Credentials),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cookie(paths) => write!(f, "Cookie({paths:?})"),
            Self::Password(credentials) => write!(f, "Password({credentials:?})"),
        }
    }
}

/// Where a node listens and how it knows us.
#[derive(Debug, Clone)]
pub struct Access {
    /// Host name or IP address, IPv6 in brackets.
    pub host: String,
    /// Port of its RPC.
    pub port: u16,
    /// How it knows us.
    pub login: Login,
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    /// Nothing listens there.
    #[error("cannot be reached: {0}; does it run, with server=1?")]
    Connect(String),
    /// No answer in time.
    #[error("has not answered {call} for {} s", .after.as_secs())]
    Timeout {
        /// What it was asked.
        call: &'static str,
        /// How long.
        after: Duration,
    },
    /// The connection broke.
    #[error("broke the connection: {0}")]
    Broken(String),
    /// More than anything it may say.
    #[error("answers {0} with more than {max} MB", max = MAX_ANSWER >> 20)]
    TooLong(&'static str),
    /// No cookie.
    #[error("its cookie file {} cannot be read ({error}); is it the folder of this node, and may this user read it? Or give --rpc-user and --rpc-password", .path.display())]
    Cookie {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        error: String,
    },
    /// It answered, and not with a result.
    #[error(transparent)]
    Fault(#[from] RpcFault),
}

/// The answer to a call.
pub struct Reply {
    id: u64,
    call: &'static str,
    status: u16,
    body: Vec<u8>,
    /// When the call was sent.
    pub asked: Instant,
    /// When its answer was here.
    pub answered: Instant,
}

impl Reply {
    /// The result as JSON text. Errors: see [`RpcFault`].
    pub fn result(&self) -> Result<&str, RpcFault> {
        json_rpc::result(self.id, self.call, self.status, &self.body)
    }
}

/// Calls to one node. Cloning shares the connections.
#[derive(Clone)]
pub struct Rpc(Arc<Shared>);

struct Shared {
    access: Access,
    url: String,
    /// For short calls.
    calls: reqwest::Client,
    /// For calls that wait.
    waits: reqwest::Client,
    /// For blocks: a connection each.
    blocks: reqwest::Client,
    /// The header of a cookie that was read before.
    cookie: Mutex<Option<HeaderValue>>,
    ids: AtomicU64,
    /// Whether waitfornewblock takes no tip.
    is_old: AtomicBool,
    traffic: Arc<Traffic>,
}

impl fmt::Debug for Rpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rpc({})", self.0.url)
    }
}

impl Rpc {
    /// Calls to a node; nothing is sent yet. Errors: the system gives no HTTP client.
    pub fn new(access: Access, traffic: Arc<Traffic>) -> Result<Self, reqwest::Error> {
        let client = |idle: usize| {
            reqwest::Client::builder()
                .no_proxy() // a proxy for web pages has no business with blocks
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(CONNECT_PATIENCE)
                .pool_idle_timeout(IDLE)
                .pool_max_idle_per_host(idle)
                .tcp_nodelay(true)
                .tcp_keepalive(IDLE)
                .http1_only()
                .build()
        };
        let url = format!("http://{}:{}/", access.host, access.port);
        let (calls, waits, blocks) = (client(2)?, client(1)?, client(0)?);
        let (cookie, ids, is_old) = (Mutex::new(None), AtomicU64::new(1), AtomicBool::new(false));
        Ok(Self(Arc::new(Shared { access, url, calls, waits, blocks, cookie, ids, is_old, traffic })))
    }

    /// Whether the node is on this machine.
    pub fn is_near(&self) -> bool {
        let host = self.0.access.host.trim_matches(['[', ']']);
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// A template, still as text: it is for another thread to read.
    pub async fn get_block_template(&self) -> Result<Reply, RpcError> {
        let params = json!([{ "rules": ["segwit", "signet"] }]);
        self.call(&self.0.calls, "getblocktemplate", params, TEMPLATE_PATIENCE).await
    }

    /// Lets the node look at a block without proof of work. `block`: hexadecimal.
    pub async fn propose(&self, block: String) -> Result<Proposal, RpcError> {
        let params = json!([{ "mode": "proposal", "data": block, "rules": ["segwit", "signet"] }]);
        // Beside other calls: it takes as long as the check of a block.
        let reply = self.call(&self.0.blocks, "getblocktemplate", params, BLOCK_PATIENCE).await?;
        let reason: Option<String> = node_answers::read("getblocktemplate", reply.result()?)?;
        Ok(node_answers::proposal(reason.as_deref()))
    }

    /// Hands over a block. `block`: hexadecimal. It has no error: what went wrong is a reason to try again.
    pub async fn submit_block(&self, block: &str) -> Said {
        let reply = match self.call(&self.0.blocks, "submitblock", json!([block]), BLOCK_PATIENCE).await {
            Ok(reply) => reply,
            Err(error) => return Said::Later(format!("the node {error}")),
        };
        match reply.result().and_then(|result| node_answers::read::<Option<String>>("submitblock", result)) {
            Ok(reason) => node_answers::said(reason.as_deref()),
            Err(fault) => node_answers::said_by_fault(&fault),
        }
    }

    /// Whether this user may hand over blocks: the node is given what is none. Errors: it may not, or does not answer.
    pub async fn check_submit(&self) -> Result<(), RpcError> {
        let reply = self.call(&self.0.calls, "submitblock", json!(["00"]), CALL_PATIENCE).await?;
        match reply.result() {
            Ok(_) | Err(RpcFault::Decode(_)) => Ok(()),
            Err(fault) => Err(fault.into()),
        }
    }

    /// Where the node has a block.
    pub async fn place(&self, hash: &BlockHash) -> Place {
        match self.get_block_header(hash).await {
            Ok(header) => node_answers::place(Ok(header)),
            Err(RpcError::Fault(fault)) => node_answers::place(Err(fault)),
            Err(_) => Place::Unanswered,
        }
    }

    /// The hash of the tip.
    pub async fn get_best_block_hash(&self) -> Result<BlockHash, RpcError> {
        let reply = self.call(&self.0.calls, "getbestblockhash", json!([]), CALL_PATIENCE).await?;
        Ok(node_answers::read::<Bytes32>("getbestblockhash", reply.result()?)?.as_hash())
    }

    /// How the chain stands.
    pub async fn get_blockchain_info(&self) -> Result<ChainInfo, RpcError> {
        let reply = self.call(&self.0.calls, "getblockchaininfo", json!([]), CALL_PATIENCE).await?;
        Ok(ChainInfo::read(reply.result()?)?)
    }

    /// How the node stands in the network.
    pub async fn get_network_info(&self) -> Result<NetworkInfo, RpcError> {
        let reply = self.call(&self.0.calls, "getnetworkinfo", json!([]), CALL_PATIENCE).await?;
        Ok(node_answers::read("getnetworkinfo", reply.result()?)?)
    }

    /// What the node publishes over ZMQ.
    pub async fn get_zmq_notifications(&self) -> Result<Vec<ZmqNotification>, RpcError> {
        let reply = self.call(&self.0.calls, "getzmqnotifications", json!([]), CALL_PATIENCE).await?;
        Ok(node_answers::read("getzmqnotifications", reply.result()?)?)
    }

    /// Waits until the tip is another than `known`, at most for `time`; gives the tip, new or not. The node lets go of the
    /// call by itself, so it must not be dropped and made again to shorten it.
    pub async fn wait_for_new_block(&self, time: Duration, known: &BlockHash) -> Result<BlockHash, RpcError> {
        let time_ms = time.as_millis() as u64;
        let is_old = self.0.is_old.load(Ordering::Relaxed);
        let params = if is_old { json!([time_ms]) } else { json!([time_ms, known.to_string()]) };
        let reply = self.call(&self.0.waits, "waitfornewblock", params, time + CALL_PATIENCE).await?;
        let result = match reply.result() {
            Ok(result) => result,
            // Before version 30 the tip is not among its parameters, and the answer is the help text.
            Err(RpcFault::Other { code: MISC_ERROR, .. }) if !is_old => {
                self.0.is_old.store(true, Ordering::Relaxed);
                return Ok(*known);
            }
            Err(fault) => return Err(fault.into()),
        };
        Ok(node_answers::read::<TipInfo>("waitfornewblock", result)?.hash.as_hash())
    }

    /// What a header says. Errors: `NotFound`.
    pub async fn get_block_header(&self, hash: &BlockHash) -> Result<HeaderInfo, RpcError> {
        let params = json!([hash.to_string()]);
        let reply = self.call(&self.0.calls, "getblockheader", params, CALL_PATIENCE).await?;
        Ok(node_answers::read("getblockheader", reply.result()?)?)
    }

    /// One call. It is made again at once when the cookie was an old one, or when the node closed an idle connection at
    /// that moment.
    async fn call(
        &self,
        client: &reqwest::Client,
        call: &'static str,
        params: Value,
        patience: Duration,
    ) -> Result<Reply, RpcError> {
        let id = self.0.ids.fetch_add(1, Ordering::Relaxed);
        let body = json_rpc::request(id, call, &params);
        let mut has_fresh_cookie = false;
        let mut last = RpcError::Fault(RpcFault::Unauthorized);
        for _ in 0..ATTEMPTS {
            let authorization = self.authorization(&mut has_fresh_cookie).await?;
            let asked = now();
            let sent = self.send(client, body.clone(), authorization, call);
            match tokio::time::timeout(patience, sent).await {
                Err(_) => return Err(RpcError::Timeout { call, after: patience }),
                Ok(Ok((401, _))) if !has_fresh_cookie => {
                    self.forget_cookie();
                }
                Ok(Ok((status, body))) => {
                    return Ok(Reply { id, call, status, body, asked, answered: now() });
                }
                Ok(Err(error)) => {
                    self.forget_cookie();
                    let is_old_connection = matches!(error, RpcError::Broken(_)) && now() - asked < AT_ONCE;
                    if !is_old_connection {
                        return Err(error);
                    }
                    last = error;
                }
            }
        }
        Err(last)
    }

    async fn send(
        &self,
        client: &reqwest::Client,
        body: String,
        authorization: HeaderValue,
        call: &'static str,
    ) -> Result<(u16, Vec<u8>), RpcError> {
        self.0.traffic.written.fetch_add(body.len() as u64, Ordering::Relaxed);
        let request = client
            .post(&self.0.url)
            .header(reqwest::header::AUTHORIZATION, authorization)
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        let mut response = request.send().await.map_err(broken)?;
        let status = response.status().as_u16();
        let expected = response.content_length().unwrap_or(0).min(MAX_ANSWER as u64);
        let mut read = Vec::with_capacity(expected as usize);
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            if read.len() + chunk.len() > MAX_ANSWER {
                return Err(RpcError::TooLong(call));
            }
            read.extend_from_slice(&chunk);
        }
        self.0.traffic.read.fetch_add(read.len() as u64, Ordering::Relaxed);
        Ok((status, read))
    }

    /// The header that tells the node who we are; `is_fresh` when it was made just now.
    async fn authorization(&self, is_fresh: &mut bool) -> Result<HeaderValue, RpcError> {
        let paths = match &self.0.access.login {
            Login::Password(Credentials { user, password }) => {
                *is_fresh = true;
                return Ok(basic(&format!("{user}:{password}")));
            }
            Login::Cookie(paths) => paths.clone(),
        };
        if let Some(known) = self.cookie().clone() {
            return Ok(known);
        }
        let read = tokio::task::spawn_blocking(move || read_cookie(&paths)).await;
        let header = basic(&read.map_err(|_| RpcError::Broken("the miner stops".into()))??);
        *is_fresh = true;
        *self.cookie() = Some(header.clone());
        Ok(header)
    }

    fn forget_cookie(&self) {
        *self.cookie() = None;
    }

    fn cookie(&self) -> std::sync::MutexGuard<'_, Option<HeaderValue>> {
        self.0.cookie.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The value of the Authorization header; it is kept out of logs.
fn basic(login: &str) -> HeaderValue {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(login);
    let mut value = HeaderValue::from_str(&format!("Basic {encoded}")).expect("base64 fits into a header");
    value.set_sensitive(true);
    value
}

/// The first cookie that is there. Errors: that of the last.
fn read_cookie(paths: &[PathBuf]) -> Result<String, RpcError> {
    let mut last = RpcError::Broken("there is no cookie file to read".into());
    for path in paths {
        match read_first_line(path) {
            Ok(line) => return Ok(line),
            Err(error) => last = RpcError::Cookie { path: path.clone(), error: error.to_string() },
        }
    }
    Err(last)
}

fn read_first_line(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_COOKIE).read_to_string(&mut text)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// The reason at the bottom, which is the telling one.
fn broken(error: reqwest::Error) -> RpcError {
    let is_connect = error.is_connect();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    let text = cause.to_string();
    if is_connect { RpcError::Connect(text) } else { RpcError::Broken(text) }
}
