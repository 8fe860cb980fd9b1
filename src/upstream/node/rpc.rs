//! Calls to a Bitcoin node: HTTP, logins and deadlines around `protocol::json_rpc`.
//!
//! What asks for an answer at once shares a pool of connections. What waits, and what must not fail for a connection
//! that has died unnoticed (a block), has a fresh connection each time.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::header::CONTENT_TYPE;
use reqwest::{Body, Client, ClientBuilder, Request, RequestBuilder, Response, Url, redirect};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::login::{Key, Keys, Login};
use crate::clock::now;
use crate::protocol::json_rpc::{self, Method, RpcFault};
use crate::protocol::node_answers::{
    AnswerError, ChainInfo, HeaderInfo, NetworkInfo, Proposal, Standing, Verdict, ZmqNotification,
    best_block, is_invalid, tip,
};
use crate::protocol::session_config::Credentials;
use crate::protocol::text::printable;
use crate::upstream::Traffic;
use crate::work::BlockHash;

mod error;

pub use error::RpcError;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a short answer may take. It takes below a millisecond, and as long as the node holds its main lock.
const SHORT: Duration = Duration::from_secs(10);
/// How long a template may take: up to 0.1 s are usual, more on a small machine.
const TEMPLATE: Duration = Duration::from_secs(30);
/// How long a block, submitted or proposed, may be checked. Nothing is gained by giving up earlier.
const SUBMIT: Duration = Duration::from_secs(90);
/// How much later than agreed an answer may come that the node holds back.
const LATENESS: Duration = Duration::from_secs(20);
/// How long a body may take once its head is there: 64 MiB at 10 Mbit/s.
const BODY: Duration = Duration::from_secs(60);
/// How long a connection is kept that nobody uses; the node closes it after 30 s. Source: Bitcoin Core
/// `httpserver.h`, `DEFAULT_HTTP_SERVER_TIMEOUT`.
const IDLE: Duration = Duration::from_secs(20);
/// Connections kept; calls seldom overlap.
const MAX_IDLE: usize = 2;
/// When a silent connection is first probed, how often then, and how many lost probes end it.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(15), Duration::from_secs(5), 3);
/// Most bytes of a short answer; a real one has a few thousand.
const MAX_SHORT: usize = 1 << 20;
/// Most bytes of a template's answer: a full block is 8 MB of hexadecimal, and each of its transactions 300 bytes more.
const MAX_TEMPLATE: usize = 64 << 20;
/// Longest body that is looked through on the runtime's own thread; a longer one goes to another.
const MAX_ON_RUNTIME: usize = 1 << 16;
/// Error of a call with other parameters than it takes. Source: Bitcoin Core `rpc/protocol.h`, `RPC_MISC_ERROR`.
const MISC_ERROR: i64 = -1;
/// Rules that we know; a node ignores those that are not its own. Source: BIP 9, BIP 145, BIP 325.
const RULES: [&str; 2] = ["segwit", "signet"];
/// Most characters of an error shown.
const MAX_TEXT: usize = 200;

/// Where a node is and how to log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Name or address; an IPv6 address without brackets.
    pub host: String,
    /// Its RPC port.
    pub port: u16,
    /// How to log in.
    pub login: Login,
}

/// A template as it came.
#[derive(Debug, Clone)]
pub struct TemplateText {
    /// The result of getblocktemplate, JSON.
    pub text: String,
    /// When it was asked for.
    pub asked: Instant,
    /// When its last byte was there.
    pub answered: Instant,
}

/// What a call may cost.
#[derive(Clone, Copy)]
struct Terms {
    /// Whether a connection may be used that was used before.
    pooled: bool,
    /// How long the answer may take to begin.
    patience: Duration,
    /// Most bytes of the answer.
    limit: usize,
}

impl Terms {
    const SHORT: Self = Self { pooled: true, patience: SHORT, limit: MAX_SHORT };
    const TEMPLATE: Self = Self { pooled: true, patience: TEMPLATE, limit: MAX_TEMPLATE };
    const PROPOSAL: Self = Self { pooled: true, patience: SUBMIT, limit: MAX_SHORT };
    const SUBMIT: Self = Self { pooled: false, patience: SUBMIT, limit: MAX_SHORT };
}

/// A node that can be called.
#[derive(Debug)]
pub struct Rpc {
    url: Url,
    keys: Keys,
    pooled: Client,
    fresh: Client,
    next_id: AtomicU64,
    /// Whether waitfornewblock takes no tip.
    is_old: AtomicBool,
    traffic: Arc<Traffic>,
}

impl Rpc {
    /// Connects at the first call. The bodies of requests and answers are counted in `traffic`. Errors:
    /// [`RpcError::Address`].
    pub fn new(access: Access, traffic: Arc<Traffic>) -> Result<Self, RpcError> {
        let Access { host, port, login } = access;
        let refused = |error: String| RpcError::Address { host: printable(&host, MAX_TEXT), error };
        // A name that has more in it than a host would change the rest of the URL.
        if !host.chars().all(|c| c.is_alphanumeric() || "-._:".contains(c)) {
            return Err(refused("a character that no host has".to_owned()));
        }
        let url = if host.contains(':') {
            format!("http://[{host}]:{port}/")
        } else {
            format!("http://{host}:{port}/")
        };
        let url = Url::parse(&url).map_err(|error| refused(error.to_string()))?;
        let client = |builder: ClientBuilder| builder.build().map_err(|error| refused(story(&error)));
        Ok(Self {
            pooled: client(common().pool_idle_timeout(IDLE).pool_max_idle_per_host(MAX_IDLE))?,
            fresh: client(common().pool_max_idle_per_host(0))?,
            url,
            keys: Keys::new(login),
            next_id: AtomicU64::new(1),
            is_old: AtomicBool::new(false),
            traffic,
        })
    }

    /// Whether the node is on this machine.
    pub fn is_near(&self) -> bool {
        let host = self.url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// getzmqnotifications.
    pub async fn zmq_notifications(&self) -> Result<Vec<ZmqNotification>, RpcError> {
        self.read(Method::GetZmqNotifications, [0; 0], Terms::SHORT, ZmqNotification::parse_all).await
    }

    /// Whether this user may hand over blocks: the node is given what is none. Errors: it may not, or does not answer.
    pub async fn check_submit(&self) -> Result<(), RpcError> {
        match self.call(Method::SubmitBlock, ["00"], Terms::SHORT).await {
            Ok(_) | Err(RpcError::Fault { fault: RpcFault::DecodeFailed(_), .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// getblocktemplate.
    pub async fn block_template(&self) -> Result<TemplateText, RpcError> {
        let asked = now();
        let text = self.call(Method::GetBlockTemplate, json!([{ "rules": RULES }]), Terms::TEMPLATE).await?;
        Ok(TemplateText { text, asked, answered: now() })
    }

    /// getbestblockhash.
    pub async fn best_block_hash(&self) -> Result<BlockHash, RpcError> {
        self.read(Method::GetBestBlockHash, [0; 0], Terms::SHORT, best_block).await
    }

    /// getblockchaininfo.
    pub async fn chain_info(&self) -> Result<ChainInfo, RpcError> {
        self.read(Method::GetBlockchainInfo, [0; 0], Terms::SHORT, ChainInfo::parse).await
    }

    /// getnetworkinfo.
    pub async fn network_info(&self) -> Result<NetworkInfo, RpcError> {
        self.read(Method::GetNetworkInfo, [0; 0], Terms::SHORT, NetworkInfo::parse).await
    }

    /// getblockheader. A hash that the node does not know is [`RpcFault::NotFound`].
    pub async fn block_header(&self, hash: BlockHash) -> Result<HeaderInfo, RpcError> {
        let parse = |answer: &str| {
            let info = HeaderInfo::parse(answer)?;
            let (value, expected) = (info.hash.to_string(), hash.to_string());
            if info.hash == hash {
                Ok(info)
            } else {
                Err(AnswerError::Field { field: "hash", value, expected })
            }
        };
        self.read(Method::GetBlockHeader, [hash.to_string()], Terms::SHORT, parse).await
    }

    /// How a block stands with the node, by getblockheader.
    pub async fn standing(&self, hash: BlockHash) -> Result<Standing, RpcError> {
        match self.block_header(hash).await {
            Ok(info) => Ok(info.standing()),
            Err(RpcError::Fault { fault: RpcFault::NotFound(_), .. }) => Ok(Standing::Unknown),
            Err(error) => Err(error),
        }
    }

    /// waitfornewblock: the tip as soon as it is another one than `known`, or when the time is over. A call that is
    /// dropped holds a thread of the node for the rest of the time, so 5 to 10 s are meant. A node before version 30
    /// takes no tip: it waits for another one than it has at the beginning of the call.
    pub async fn wait_for_new_block(
        &self,
        at_most: Duration,
        known: BlockHash,
    ) -> Result<BlockHash, RpcError> {
        let milliseconds = (at_most.as_millis() as u64).max(1); // 0 is for ever
        let terms = Terms { pooled: false, patience: at_most + LATENESS, limit: MAX_SHORT };
        let wait = |params: Value| self.read(Method::WaitForNewBlock, params, terms, tip);
        if !self.is_old.load(Ordering::Relaxed) {
            match wait(json!([milliseconds, known.to_string()])).await {
                // Such a node answers with its help text.
                Err(RpcError::Fault { fault: RpcFault::Other { code: MISC_ERROR, .. }, .. }) => {
                    self.is_old.store(true, Ordering::Relaxed);
                }
                answer => return answer,
            }
        }
        wait(json!([milliseconds])).await
    }

    /// Whether a transaction waits in the node's mempool, by getmempoolentry. Shape: its txid in header order.
    pub async fn has_in_mempool(&self, txid: [u8; 32]) -> Result<bool, RpcError> {
        let shown = BlockHash(txid).to_string(); // both are shown in the same way
        match self.call(Method::GetMempoolEntry, [shown], Terms::SHORT).await {
            Ok(_) => Ok(true),
            Err(RpcError::Fault { fault: RpcFault::NotFound(_), .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the node calls a block invalid on which nothing is built, by getchaintips.
    pub async fn is_invalid(&self, block: BlockHash) -> Result<bool, RpcError> {
        self.read(Method::GetChainTips, [0; 0], Terms::SHORT, |answer| is_invalid(answer, block)).await
    }

    /// submitblock. Shape: the block in hexadecimal. Errors: the block may or may not have arrived; the same call again
    /// does no harm.
    pub async fn submit_block(&self, hex: &str) -> Result<Verdict, RpcError> {
        match self.call(Method::SubmitBlock, [hex], Terms::SUBMIT).await {
            Ok(result) => Ok(Verdict::of(Ok(&result))),
            Err(RpcError::Fault { fault, .. }) => Ok(Verdict::of(Err(fault))),
            Err(error) => Err(error),
        }
    }

    /// What the node would say of a block, without its proof of work. Shape: the block in hexadecimal.
    pub async fn propose(&self, hex: &str) -> Result<Proposal, RpcError> {
        #[derive(Serialize)]
        struct Proposed<'a> {
            mode: &'static str,
            data: &'a str,
            rules: [&'static str; 2],
        }
        let method = Method::GetBlockTemplate;
        let proposed = Proposed { mode: "proposal", data: hex, rules: RULES };
        let proposal = match self.call(method, [proposed], Terms::PROPOSAL).await {
            Ok(result) => Proposal::of(Ok(&result)),
            Err(RpcError::Fault { fault, .. }) => Proposal::of(Err(fault)),
            Err(error) => return Err(error),
        };
        proposal.map_err(|fault| RpcError::Fault { method, fault })
    }

    async fn read<T>(
        &self,
        method: Method,
        params: impl Serialize,
        terms: Terms,
        parse: impl FnOnce(&str) -> Result<T, AnswerError>,
    ) -> Result<T, RpcError> {
        let answer = self.call(method, params, terms).await?;
        parse(&answer).map_err(|error| RpcError::Answer { method, error })
    }

    /// The result as JSON.
    async fn call(&self, method: Method, params: impl Serialize, terms: Terms) -> Result<String, RpcError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let body = json_rpc::request(id, method, params);
        let request =
            self.fresh.post(self.url.clone()).header(CONTENT_TYPE, "application/json").body(body).build();
        let request = request.map_err(|error| broken(method, &error))?;
        let (mut may_reconnect, mut may_log_in) = (terms.pooled, true);
        loop {
            let client = if may_reconnect { &self.pooled } else { &self.fresh };
            let Key { credentials, cookie } = self.keys.current().await?;
            let error = match self.exchange(client, &request, credentials, method, terms).await {
                Ok((status, body)) => match (result(method, status, body, id).await?, cookie) {
                    (Ok(result), _) => return Ok(result),
                    (Err(RpcFault::Unauthorized), Some(path)) => RpcError::CookieRefused { path },
                    (Err(fault), _) => RpcError::Fault { method, fault },
                },
                Err(error) => error,
            };
            let again = match &error {
                // The node was started anew, or has only now written its cookie.
                RpcError::CookieRefused { .. } => std::mem::take(&mut may_log_in),
                // The node has closed a connection while it lay idle, and perhaps all; the next one is new.
                RpcError::Io { .. } => std::mem::take(&mut may_reconnect),
                RpcError::Connect { .. } => false,
                _ => return Err(error),
            };
            self.keys.forget();
            if !again {
                return Err(error);
            }
        }
    }

    /// Status and body of one answer.
    async fn exchange(
        &self,
        client: &Client,
        request: &Request,
        Credentials { user, password }: Credentials,
        method: Method,
        terms: Terms,
    ) -> Result<(u16, Vec<u8>), RpcError> {
        let late = |after| move |_| RpcError::Timeout { method, after };
        let request = request.try_clone().expect("the body is in memory, not a stream");
        let length = request.body().and_then(Body::as_bytes).map_or(0, <[u8]>::len);
        let sent =
            RequestBuilder::from_parts(client.clone(), request).basic_auth(user, Some(password)).send();
        let response = timeout(terms.patience, sent).await.map_err(late(terms.patience))?;
        let response = response.map_err(|error| broken(method, &error))?;
        self.traffic.written.fetch_add(length as u64, Ordering::Relaxed);
        let status = response.status().as_u16();
        let after = terms.patience.min(BODY);
        let body = timeout(after, self.body(response, method, terms.limit)).await.map_err(late(after))??;
        Ok((status, body))
    }

    /// The whole body, read no further than the limit.
    async fn body(&self, mut response: Response, method: Method, limit: usize) -> Result<Vec<u8>, RpcError> {
        let too_large = || RpcError::TooLarge { method, limit };
        let announced = response.content_length().unwrap_or(0);
        if announced > limit as u64 {
            return Err(too_large());
        }
        let mut body = Vec::with_capacity(announced as usize);
        while let Some(chunk) = response.chunk().await.map_err(|error| broken(method, &error))? {
            self.traffic.read.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            if body.len() + chunk.len() > limit {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

/// What all connections have in common: no proxy, wherever the environment names one, and no redirect, since it would
/// carry the login elsewhere.
fn common() -> ClientBuilder {
    let (first, between, lost) = KEEPALIVE;
    Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .tcp_keepalive(first)
        .tcp_keepalive_interval(between)
        .tcp_keepalive_retries(lost)
}

/// The innermost cause, which says most; what stands around it names URLs and layers.
fn story(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    printable(&cause.to_string(), MAX_TEXT)
}

fn broken(method: Method, error: &reqwest::Error) -> RpcError {
    let (is_connect, error) = (error.is_connect(), story(error));
    if is_connect { RpcError::Connect { error } } else { RpcError::Io { method, error } }
}

/// The result in an answer. Shape: JSON.
async fn result(
    method: Method,
    status: u16,
    body: Vec<u8>,
    id: u64,
) -> Result<Result<String, RpcFault>, RpcError> {
    if body.len() <= MAX_ON_RUNTIME {
        return Ok(cut_out(status, body, id));
    }
    let result = spawn_blocking(move || cut_out(status, body, id)).await;
    result.map_err(|error| RpcError::Io { method, error: error.to_string() }) // the runtime ends
}

/// The same, cut out of the body in place.
fn cut_out(status: u16, mut body: Vec<u8>, id: u64) -> Result<String, RpcFault> {
    let result = json_rpc::result(status, &body, id)?.get();
    let (start, length) = (result.as_ptr().addr() - body.as_ptr().addr(), result.len());
    body.truncate(start + length);
    body.drain(..start);
    Ok(String::from_utf8(body).expect("a JSON value that was read is UTF-8"))
}
