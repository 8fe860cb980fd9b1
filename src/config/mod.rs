//! The checked configuration: default < files < environment < flags, every value with its origin.
//!
//! [`load`] is the whole of it. The table in `field` names each setting once and drives parsing, checking,
//! listing and the annotated default file; a new setting is one row there and one field of a struct here.

mod array;
mod boards;
mod cookies;
mod document;
mod environment;
mod field;
mod files;
mod flags;
mod kind;
mod layers;
mod model;
mod node_url;
mod nodes;
mod pool_address;
mod pool_url;
mod pools;
mod problem;
mod proxy;
mod render;
mod secret;
mod solo;
mod store;
mod tls;
mod zmq_url;

use std::path::PathBuf;
use std::time::Duration;

use bitcoin::Address;

pub use array::ArrayKind;
pub use boards::Board;
pub use cookies::default_cookies;
pub use environment::Environment;
pub use files::{journal_file, promotion_file, read_key, state_file, user_file};
pub use flags::{
    Flags, ModelFlags, NodeFlags, NodeLists, PairingError, PoolFlags, PoolLists, pair_nodes, pair_pools,
};
pub use layers::{Loaded, Origins, load, load_text};
pub use model::Model;
pub use node_url::{NodeUrl, NodeUrlError};
pub use nodes::{Node, NodeLogin};
pub use pool_url::{PoolUrl, PoolUrlError};
pub use problem::{ConfigError, Mistake, Origin, Problem};
pub use proxy::{Proxy, ProxyError};
pub use render::{annotated_default, show_json, show_toml};
pub use secret::Secret;
pub use solo::{Payout, PayoutError, Solo, Templates};
pub use tls::{TlsPin, TlsTrust};
pub use zmq_url::{ZmqPlace, ZmqUrl, ZmqUrlError};

/// What the miner shall do, each value within its range. [`load`] makes it; its `Default` is what holds where
/// no layer says anything. The `Default` of the structs within is only the blank that the table fills in.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The pools, the best first.
    pub pools: Vec<Pool>,
    /// The nodes that we mine on by ourselves, the best first.
    pub nodes: Vec<Node>,
    /// Whom the blocks pay that we mine on nodes, and how we do it.
    pub solo: Solo,
    /// Hashing on the processor.
    pub cpu: Cpu,
    /// Which devices to open, as `--device` spells them.
    pub devices: Vec<String>,
    /// The boards on serial ports that are not in `devices`.
    pub boards: Vec<Board>,
    /// Which pool gets the hashing, and when it goes to another.
    pub upstreams: Upstreams,
    /// What a job has to pass before it is hashed.
    pub validation: Validation,
    /// How to speak with pools.
    pub stratum: Stratum,
    /// Who may advise on moves between upstreams.
    pub model: Model,
    /// What outlives a run.
    pub state: State,
    /// Where the log goes.
    pub log: Log,
    /// When to stop without being asked.
    pub stop: Stop,
}

impl Default for Config {
    fn default() -> Self {
        let mut config = Self {
            pools: Vec::new(),
            nodes: Vec::new(),
            solo: Solo::default(),
            cpu: Cpu::default(),
            devices: Vec::new(),
            boards: Vec::new(),
            upstreams: Upstreams::default(),
            validation: Validation::default(),
            stratum: Stratum::default(),
            model: Model::default(),
            state: State::default(),
            log: Log::default(),
            stop: Stop::default(),
        };
        field::store_defaults(field::fields(), &mut config);
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
    /// On what terms we mine for it.
    pub terms: Terms,
}

impl Pool {
    /// A pool with the documented default of everything but this.
    pub fn new(url: PoolUrl, user: &str) -> Self {
        pools::with_defaults(url, user)
    }
}

/// On what terms we mine for a pool.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Terms {
    /// Its rank, lower is better: as given, or else its place in the list, counted from 0. [`Config::pools`] is in this
    /// order already. Unit: 0 to 1000.
    pub priority: u32,
    /// Its part of the hashing where that is split, in relation to the weights of the others. Unit: 1 to 1000000.
    pub weight: u32,
    /// Whom its jobs have to pay; nobody in particular if empty.
    pub expect_payout: Vec<Address>,
    /// The part of a job's outputs that has to go there. Unit: above 0, at most 1.
    pub min_share: f64,
    /// What it keeps of the revenue. Unit: percent.
    pub fee_percent: f64,
    /// What of a payout arrives after the cost of withdrawing it. Unit: above 0, at most 1.
    pub payout_factor: f64,
    /// What it pays for.
    pub scheme: Scheme,
    /// Whether to ask for version rolling, instead of what holds for all pools.
    pub version_rolling: Option<bool>,
    /// Whether to send `mining.extranonce.subscribe`, instead of what holds for all pools.
    pub extranonce_subscribe: Option<bool>,
}

/// Which pool gets the hashing, and when it goes to another.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Upstreams {
    /// How the pools take turns.
    pub strategy: Strategy,
    /// How long a better pool must have been healthy before hashing goes back to it.
    pub return_after: Duration,
    /// How long each pool has its turn, with [`Strategy::Rotate`].
    pub rotate: Duration,
    /// How many pools beyond the one in use are kept connected.
    pub hot_standbys: u32,
    /// How long a share may go unanswered before its pool is suspect.
    pub slow_answer: Duration,
    /// How long a pool may stay on an older block than the others.
    pub frozen_tip: Duration,
    /// Whether one that pays for each share is held to the newest block as well: `own_revenue` or `network`.
    pub stale_policy: String,
    /// Whether a small board hashes for the runner-up ten minutes an hour.
    pub canary: bool,
    /// Aversion against uneven income. Unit: 0 to 1, in ideal seconds.
    pub risk_aversion: f64,
    /// How many pools may be hashed for in a day by moves for gain. Unit: 0 for no limit.
    pub max_upstreams_per_day: u32,
    /// Where to record what decisions are made by.
    pub record_decisions: Option<PathBuf>,
    /// How often that record is replayed. Unit: hours, 0 for never.
    pub review_hours: u32,
}

/// What a pool pays for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scheme {
    /// Each share (PPS, FPPS).
    #[default]
    Pps,
    /// A part of found blocks (PPLNS, TIDES).
    Pplns,
    /// A part of each found block by the shares since the last one: who comes and goes at the right moments gets more than who
    /// stays. We stay.
    Proportional,
    /// The whole block that we find.
    Solo,
}

impl Scheme {
    const ALL: [Self; 4] = [Self::Pps, Self::Pplns, Self::Proportional, Self::Solo];

    /// Its name in files and variables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pps => "pps",
            Self::Pplns => "pplns",
            Self::Proportional => "proportional",
            Self::Solo => "solo",
        }
    }

    /// By its name, or by what pools call it for short.
    fn named(name: &str) -> Option<Self> {
        let name = if name == "prop" { "proportional" } else { name };
        Self::ALL.into_iter().find(|scheme| scheme.name() == name)
    }
}

/// What a job has to pass before it is hashed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Validation {
    /// The checks up to this one run. Unit: 0 to 16000.
    pub level: u32,
}

/// How pools take turns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Strategy {
    /// Always the best one that is alive.
    #[default]
    Failover,
    /// All that are alive at the same time, by weight.
    LoadBalance,
    /// All in turns, by weight.
    Quota,
    /// The next one whenever the one in use fails.
    RoundRobin,
    /// The next one after some minutes.
    Rotate,
    /// The one that is worth most.
    Value,
}

impl Strategy {
    /// All of them.
    const ALL: [Self; 6] =
        [Self::Failover, Self::LoadBalance, Self::Quota, Self::RoundRobin, Self::Rotate, Self::Value];

    /// Its name in files, variables and flags.
    pub fn name(self) -> &'static str {
        match self {
            Self::Failover => "failover",
            Self::LoadBalance => "load-balance",
            Self::Quota => "quota",
            Self::RoundRobin => "round-robin",
            Self::Rotate => "rotate",
            Self::Value => "value",
        }
    }
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
    /// Above it hashing pauses; 0 for none. Unit: °C, 0 to 120.
    pub max_temperature: u32,
    /// Whether hashing pauses on battery.
    pub pause_on_battery: bool,
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
    /// Which share difficulty to ask pools for.
    pub suggest_difficulty: Suggestion,
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

/// Which share difficulty to ask pools for.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Suggestion {
    /// One that suits the hash rate, where the pool's own does not.
    #[default]
    Auto,
    /// None.
    Off,
    /// This one, above 0 and at most 1e18.
    Difficulty(f64),
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

/// What outlives a run: what was learnt of pools and boards, and the blocks that were found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Whether anything is remembered of pools and boards.
    pub remember: bool,
    /// In which file, instead of [`state_file`].
    pub file: Option<PathBuf>,
    /// In which file found blocks are kept, instead of [`journal_file`].
    pub journal: Option<PathBuf>,
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
    /// After this many blocks of our own that a node has taken.
    pub blocks: Option<u64>,
    /// When every pool has failed once before any gave work.
    pub require_upstream: bool,
}
