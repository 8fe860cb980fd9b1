//! The checked configuration: default < files < environment < flags, every value with its origin.
//!
//! [`load`] is the whole of it. The table in `field` names each setting once and drives parsing, checking,
//! listing and the annotated default file; a new setting is one row there and one field of a struct here.

mod document;
mod environment;
mod field;
mod files;
mod flags;
mod kind;
mod layers;
mod pool_address;
mod pool_url;
mod problem;
mod proxy;
mod render;
mod secret;
mod tls;

use std::path::PathBuf;
use std::time::Duration;

pub use environment::Environment;
pub use files::user_file;
pub use flags::{Flags, PairingError, PoolFlags, PoolLists, pair_pools};
pub use layers::{Loaded, Origins, load};
pub use pool_url::{PoolUrl, PoolUrlError};
pub use problem::{ConfigError, Mistake, Origin, Problem};
pub use proxy::{Proxy, ProxyError};
pub use render::{annotated_default, show_json, show_toml};
pub use secret::Secret;
pub use tls::{TlsPin, TlsTrust};

/// What the miner shall do, each value within its range. [`load`] makes it; its `Default` is what holds where
/// no layer says anything. The `Default` of the structs within is only the blank that the table fills in.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The pools, the best first.
    pub pools: Vec<Pool>,
    /// Hashing on the processor.
    pub cpu: Cpu,
    /// Which devices to open, as `--device` spells them.
    pub devices: Vec<String>,
    /// How to speak with pools.
    pub stratum: Stratum,
    /// Where the log goes.
    pub log: Log,
    /// When to stop without being asked.
    pub stop: Stop,
}

impl Default for Config {
    fn default() -> Self {
        let mut config = Self {
            pools: Vec::new(),
            cpu: Cpu::default(),
            devices: Vec::new(),
            stratum: Stratum::default(),
            log: Log::default(),
            stop: Stop::default(),
        };
        field::store_defaults(field::FIELDS, &mut config);
        config
    }
}

/// One pool and the credentials that go to it and to no other.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    /// Its address.
    pub url: PoolUrl,
    /// The user or worker name.
    pub user: String,
    /// The password, read from `password_file` where one is named.
    pub password: Secret,
    /// Where the password came from, if from a file of its own.
    pub password_file: Option<PathBuf>,
    /// Whom to take for the pool over TLS.
    pub tls: TlsTrust,
    /// What leads to it.
    pub proxy: Option<Proxy>,
    /// Whether to send `mining.extranonce.subscribe`, instead of what holds for all pools.
    pub extranonce_subscribe: Option<bool>,
}

/// Hashing on the processor.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cpu {
    /// How many threads hash.
    pub threads: Threads,
    /// Whether each thread stays on one core.
    pub pin: bool,
    /// The share of time a thread hashes. Unit: percent, 1 to 100.
    pub duty_percent: u8,
    /// The hash kernel by name; empty chooses by measurement.
    pub kernel: String,
}

/// How many threads hash.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Threads {
    /// As many as the machine gives.
    #[default]
    Auto,
    /// None: the processor does not mine.
    Off,
    /// This many, 1 to 1024.
    Count(u16),
}

/// How to speak with pools.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stratum {
    /// The share difficulty to ask pools for.
    pub suggest_difficulty: Option<f64>,
    /// The name the miner gives itself.
    pub user_agent: String,
    /// Whether to ask for version rolling (BIP 310).
    pub version_rolling: bool,
    /// Whether to send `mining.extranonce.subscribe` to every pool.
    pub extranonce_subscribe: bool,
    /// Whether `client.reconnect` may lead to another host of the same registrable domain.
    pub follow_redirect: bool,
    /// How long to wait for what.
    pub timeouts: Timeouts,
}

/// How long to wait for a pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// For the TCP connection.
    pub connect: Duration,
    /// For the answers to subscribe and authorize.
    pub handshake: Duration,
    /// For the first job after the handshake.
    pub first_job: Duration,
    /// For the next job while mining.
    pub silence: Duration,
    /// For the answer to a share.
    pub answer: Duration,
    /// The longest pause between two attempts to connect.
    pub reconnect_max: Duration,
}

/// Where the log goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Log {
    /// A file instead of the standard error.
    pub file: Option<PathBuf>,
    /// The filter, such as `info` or `debug`.
    pub level: String,
}

/// When to stop without being asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stop {
    /// After this time.
    pub seconds: Option<Duration>,
    /// After this many accepted shares.
    pub shares: Option<u64>,
    /// When every pool has failed once before any gave work.
    pub require_upstream: bool,
}
