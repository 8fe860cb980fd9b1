//! Makes every channel and task. Who talks to whom, over what, and what happens when the other side is slow:
//!
//! ```text
//!  pool task ──Arrival, watch: latest wins────▶ engine task ──ChipJob, watch: latest wins──▶ board threads
//!     │  ◀──Share, mpsc 512: full = lost─────────  │  ◀──BoardEvent, mpsc 256: the board keeps 64 more, then counts
//!     │  ◀──HashRate, watch: latest wins─────────  │
//!     └───UpstreamEvent, mpsc 256: pool waits────▶ │
//!     └───Lessons, sync 512: full = dropped──▶ memory thread, which alone touches the state file ◀──Results── openers
//!  node task ──NodeEvent, mpsc 64: node waits──▶ solo task, which stands where a pool task does
//!     └───found blocks, 16 at most──▶ journal thread, which alone touches the journal
//!  openers ─Order, mpsc 8: waits─▶ board task; ◀─Results, watch: latest wins
//!  engine ─Call, sync 1024: full = a line lost──▶ records thread, which alone writes the log of decisions ─▶ review thread, weekly
//!  engine ─Question, watch: latest wins──▶ model thread ─Advised, mpsc 4: full = dropped──▶ engine
//!  openers ─BoardHandle, mpsc 8────────────────▶   │ ──Notice, sync 1024: full = dropped, counted──▶ monitor thread
//! ```
//!
//! A board on a serial port is a task of its own, between the port and the same two channels; a task beside it opens the port
//! again when it was gone.
//!
//! The engine waits for nobody, and boards wait for nobody, so hashing never waits. [`Job::epoch`] grows with each clean
//! job, so that a job skipped by "latest wins" hides none. Stop, in order: boards idle and hand over their last nonces
//! (0.5 s at most) → pools bring their last shares home (2 s at most) → boards have switched off (6 s at most) → monitor writes the summary (1 s at most) → memory
//! writes the last lessons (1 s at most).
//!
//! [`Job::epoch`]: crate::work::Job::epoch

mod boards;
pub mod log_file;
pub mod model;
mod pools;
pub mod powered;
pub mod promotion;
mod records;
mod review;
mod solo;

use std::future::Future;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::Context as _;
use bitcoin::Network;
use signalcore_drivers::bitaxe::shell::POWER_OFF;
use signalcore_drivers::cpu::{self, CpuOptions, GuardOptions};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use self::boards::{Around, Boards};
use self::model::ModelPlan;
use self::pools::{operator, pool_options};
use self::powered::Powered;
use self::review::Reviews;
use crate::config::{self, Config, Environment, Pool, Threads, Upstreams};
use crate::decision::{self, Bounds, Scheme, StalePolicy};
use crate::engine::policy::{Policy, Strategy, UpstreamTerms};
use crate::engine::task::{End, EngineTask, Limits};
use crate::memory::{Memory, Recollection};
use crate::model::advisor::Mode;
use crate::monitor::{Context, Display, Monitor, UpstreamAbout};
use crate::protocol::session_config::SessionConfig;
use crate::upstream;
use crate::upstream::journal::{Journal, Opened};
use crate::upstream::pool::{self, PoolOptions};
use crate::upstream::solo::SoloOptions;
use crate::upstream::tls::TlsError;
use crate::validate::Level;

/// How long boards on serial ports may take to end: to switch off, and to see that nobody hears them any more.
const BOARDS_OFF: Duration = POWER_OFF.saturating_add(Duration::from_secs(1));
/// Boards that may wait to be taken in.
const BOARD_CAPACITY: usize = 8;

/// What a configuration comes down to.
#[derive(Debug)]
pub struct Plan {
    /// The most wanted first.
    upstreams: Vec<(Source, UpstreamTerms)>,
    policy: Policy,
    cpu: Option<CpuOptions>,
    boards: Boards,
    powered: Powered,
    limits: Limits,
    model: Option<ModelPlan>,
    records: Option<PathBuf>,
    /// `None` for never.
    review_every: Option<Duration>,
    memory: Option<PathBuf>,
    journal: Option<PathBuf>,
    changes: Option<watch::Receiver<Config>>,
}

/// What work comes from.
#[derive(Debug)]
enum Source {
    Pool(Box<PoolOptions>),
    Solo(Box<SoloOptions>, Network),
}

/// Why a valid configuration cannot be mined with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Nobody to mine for.
    #[error(
        "neither pool nor node is configured; name a pool with --pool stratum+tcp://HOST:PORT --user NAME, a node with \
         --solo http://HOST:PORT --payout ADDRESS, or either in a file"
    )]
    NoPool,
    /// Nothing to mine with.
    #[error(
        "nothing may hash: the CPU is off and no board is there; set --cpu-threads to a number or auto, or name a board \
         with --device KIND:PORT"
    )]
    NoBoard,
    /// The CPU cannot be used this way.
    #[error("cpu: {0}")]
    Cpu(String),
    /// Nobody can be believed to be the pool.
    #[error("pool {url}: {error}")]
    Tls {
        /// The pool.
        url: String,
        /// Why.
        error: TlsError,
    },
    /// Blocks of our own cannot be made.
    #[error("solo: {0}")]
    Solo(String),
    /// No model can be reached this way.
    #[error("{0}")]
    Model(String),
    /// No such board.
    #[error("device {spec:?}: {reason}")]
    Device {
        /// As it was named.
        spec: String,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
}

impl Plan {
    /// What a configuration names that this machine or this version does not have. Errors: `Device`, `Cpu`.
    pub fn check(config: &Config) -> Result<(), PlanError> {
        Boards::new(config)?;
        ModelPlan::new(config)?;
        let cpu = cpu_options(config);
        cpu.map_or(Ok(()), |cpu| cpu.check()).map_err(|error| PlanError::Cpu(error.to_string()))
    }

    /// Errors: see [`PlanError`].
    pub fn new(config: &Config, environment: &Environment) -> Result<Self, PlanError> {
        if config.pools.is_empty() && config.nodes.is_empty() {
            return Err(PlanError::NoPool);
        }
        Self::check(config)?;
        let boards = Boards::new(config)?;
        let cpu = cpu_options(config);
        if cpu.is_none() && !boards.may_be_there() {
            return Err(PlanError::NoBoard);
        }
        Ok(Self {
            upstreams: upstreams(config, environment)?,
            policy: policy(config),
            cpu,
            boards,
            powered: Powered::default(),
            limits: Limits {
                seconds: config.stop.seconds,
                shares: config.stop.shares,
                blocks: config.stop.blocks,
                require_upstream: config.stop.require_upstream,
            },
            model: ModelPlan::new(config)?,
            records: config.upstreams.record_decisions.clone(),
            review_every: review::period(config.upstreams.review_hours),
            memory: None,
            journal: None,
            changes: None,
        })
    }

    /// Remembers what is learnt of pools and boards in this file.
    #[must_use]
    pub fn with_memory(self, file: Option<PathBuf>) -> Self {
        Self { memory: file, ..self }
    }

    /// Follows configurations that come while it runs as far as boards can be told: frequency, voltage, limits and tuning.
    /// Each has passed [`Self::check`].
    #[must_use]
    pub fn with_changes(self, changes: watch::Receiver<Config>) -> Self {
        Self { changes: Some(changes), ..self }
    }

    /// How many boards on serial ports have power while it runs.
    pub fn powered(&self) -> Powered {
        self.powered.clone()
    }

    /// Lets the model amend that this file names, if it is still the same; `warn` hears why it may not.
    #[must_use]
    pub fn with_promotion(mut self, file: Option<PathBuf>, warn: impl FnOnce(String)) -> Self {
        if let (Some(model), Some(file)) = (&mut self.model, file)
            && model.mode == Mode::Shadow
        {
            match promotion::holds(&file, &model.choice) {
                Ok(true) => model.mode = Mode::Advise,
                Ok(false) => {}
                Err(why) => warn(format!("the model is a shadow again: {why}; see signalcore model promote")),
            }
        }
        self
    }

    /// Reviews its log of decisions each time so long after the last, in tests that wait for no hour.
    #[must_use]
    pub fn with_review_every(self, every: Option<Duration>) -> Self {
        Self { review_every: every.or(self.review_every), ..self }
    }

    /// Keeps found blocks in this file.
    #[must_use]
    pub fn with_journal(self, file: Option<PathBuf>) -> Self {
        Self { journal: file, ..self }
    }
}

/// What became of a run.
#[derive(Debug)]
pub struct Outcome {
    /// Why it ended.
    pub end: End,
    /// Whether any pool ever gave work.
    pub had_work: bool,
    /// The last failure of each pool that had one, with its name.
    pub failures: Vec<String>,
    /// The boards that may still have power.
    pub powered: Vec<String>,
}

/// Mines until `stop` is ready or a limit is reached, and writes what happens to `out`. Errors: no board could be
/// opened, or the monitor's thread could not be started.
pub async fn run(
    plan: Plan,
    display: Display,
    out: impl Write + Send + 'static,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<Outcome> {
    let learns_spells = plan.model.as_ref().is_some_and(ModelPlan::learns_spells);
    let policy = Policy { learns_spells, ..plan.policy };
    if let Some(remark) = plan.model.as_ref().and_then(ModelPlan::remark) {
        tracing::info!("{remark}");
    }
    // Upstreams first: connecting takes longer than anything else, and opening the CPU takes tens of milliseconds.
    let context = Context::new(plan.upstreams.iter().map(|(source, _)| about(source)).collect());
    let memory = plan.memory.and_then(Memory::open);
    let (journal, mut watched) = match plan.journal.map(Journal::open) {
        Some(Opened { journal, watched, remarks }) => {
            for remark in remarks {
                tracing::warn!("{remark}");
            }
            (Some(journal), watched)
        }
        None => (None, Vec::new()),
    };
    let mut start = |source: Source| match source {
        Source::Pool(options) => {
            let recollection = match &memory {
                Some(memory) => memory.of(options.key()),
                None => Recollection::off(options.key()),
            };
            pool::open(*options, recollection, journal.clone())
        }
        Source::Solo(options, _) => {
            upstream::solo::open(*options, journal.clone(), std::mem::take(&mut watched))
        }
    };
    let upstreams: Vec<_> =
        plan.upstreams.into_iter().map(|(source, terms)| (start(source), terms)).collect();
    let names: Vec<_> = upstreams.iter().map(|(upstream, _)| upstream.name.clone()).collect();
    let monitor = Monitor::start(context, display, out).context("start the monitor's thread")?;
    let (board_sender, boards) = mpsc::channel(BOARD_CAPACITY);
    let boards_memory = memory.as_ref().map(Memory::boards).unwrap_or_default();
    let powered = plan.powered;
    let around = Around {
        taker: board_sender.clone(),
        memory: boards_memory,
        changes: plan.changes,
        powered: powered.clone(),
    };
    let keeper = (!plan.boards.is_empty()).then(|| tokio::spawn(plan.boards.keep(around)));
    let keeper = keeper.map(|keeper| keeper.abort_handle());
    let stop_keeping = keeper.clone();
    let opener = tokio::task::spawn_blocking(move || {
        let Some(options) = plan.cpu else { return Ok(()) };
        let board = cpu::open(&options).inspect_err(|error| {
            tracing::error!("the CPU: {error}");
            // No board that may come some day is waited for when the one that was to mine does not.
            stop_keeping.iter().for_each(AbortHandle::abort);
        })?;
        // The engine may have ended meanwhile; then nobody needs a board.
        board_sender.blocking_send(board).ok();
        Ok::<_, cpu::CpuError>(())
    });
    let terms: Vec<_> = upstreams.iter().map(|(_, terms)| *terms).collect();
    let engine = EngineTask::new(upstreams, policy, plan.limits, |notice| monitor.notify(notice));
    let (reviews, reviewed) = plan.review_every.map(Reviews::every).unzip();
    // A log is no reason not to mine.
    let records = plan.records.and_then(|file| {
        let started = records::start(&file, &policy, &terms, engine.started(), reviews);
        started
            .inspect_err(|error| tracing::warn!("decisions are not recorded in {}: {error}", file.display()))
            .ok()
    });
    let (model, model_end) = match plan.model {
        Some(plan) => {
            let (handle, end) = plan.start()?;
            (Some((handle, plan.ask_terms())), Some(end))
        }
        None => (None, None),
    };
    let engine = engine.with_model(model).with_records(records).with_reviews(reviewed);
    let finish = engine.run(boards, stop).await;
    if let Some(end) = model_end {
        // It is asked to end and then killed, within a few seconds.
        end.await.ok();
    }
    keeper.iter().for_each(AbortHandle::abort);
    // They have been told to stop with the engine. A runtime that ends takes its tasks along, whatever they are at.
    if tokio::time::timeout(BOARDS_OFF, powered.none()).await.is_err() {
        tracing::error!("boards have not switched off within {} s", BOARDS_OFF.as_secs());
    }
    let told = |(name, reason): (&String, &Option<String>)| Some(format!("{name}: {}", reason.as_ref()?));
    let failures = names.iter().zip(&finish.failures).filter_map(told).collect();
    let outcome =
        Outcome { end: finish.end.clone(), had_work: finish.had_work, failures, powered: powered.names() };
    monitor.finish(finish);
    if let Some(memory) = memory {
        memory.finish();
    }
    if let Some(journal) = journal {
        journal.finish();
    }
    opener.await.context("open the CPU")?.context("open the CPU")?;
    Ok(outcome)
}

/// In the operator's order: nodes of our own before all pools, unless they have a priority.
fn upstreams(config: &Config, environment: &Environment) -> Result<Vec<(Source, UpstreamTerms)>, PlanError> {
    let mut all = Vec::new();
    let host_of = |pool: &Pool| pool.url.host().to_lowercase();
    let first_like = |pool: &Pool, of: fn(&Pool) -> String| {
        let first = config.pools.iter().position(|other| of(other) == of(pool));
        first.and_then(|first| u32::try_from(first).ok())
    };
    for pool in &config.pools {
        let options = pool_options(pool, &config.stratum)?;
        let terms = UpstreamTerms {
            value: worth(&pool.terms),
            pool: first_like(pool, host_of),
            operator: first_like(pool, operator),
            ..UpstreamTerms::pool(pool.terms.weight)
        };
        all.push((Source::Pool(Box::new(options)), terms));
    }
    if let Some(options) = solo::options(config, environment)? {
        let priority = config.solo.priority.unwrap_or(0);
        let place = config.pools.iter().take_while(|pool| pool.terms.priority < priority).count();
        let source = Source::Solo(Box::new(options), solo::payout_network(&config.solo));
        all.insert(place, (source, solo::engine_terms(&config.solo)));
    }
    Ok(all)
}

/// What a hash for a pool is worth, as far as the operator says.
fn worth(terms: &config::Terms) -> decision::Terms {
    let scheme = match terms.scheme {
        config::Scheme::Pps => Scheme::Pps,
        config::Scheme::Pplns | config::Scheme::Proportional => Scheme::Pplns,
        config::Scheme::Solo => Scheme::SoloPool,
    };
    let (fee, payout_factor) = (terms.fee_percent / 100.0, terms.payout_factor);
    decision::Terms { fee, payout_factor, scheme, kappa: None, vouches: false }
}

fn about(source: &Source) -> UpstreamAbout {
    match source {
        Source::Pool(pool) => {
            let SessionConfig { payout, credentials, .. } = &pool.session;
            let network = payout.network(&credentials.user);
            UpstreamAbout { name: pool.name.clone(), network, is_solo: false }
        }
        Source::Solo(solo, network) => UpstreamAbout { name: solo.name(), network: *network, is_solo: true },
    }
}

fn policy(config: &Config) -> Policy {
    let Upstreams {
        strategy,
        return_after,
        rotate,
        hot_standbys,
        slow_answer,
        frozen_tip,
        ref stale_policy,
        canary,
        risk_aversion,
        max_upstreams_per_day,
        ..
    } = config.upstreams;
    let model = &config.model;
    Policy {
        strategy: match strategy {
            config::Strategy::Failover => Strategy::Failover,
            config::Strategy::LoadBalance => Strategy::LoadBalance,
            config::Strategy::Quota => Strategy::Quota,
            config::Strategy::RoundRobin => Strategy::RoundRobin,
            config::Strategy::Rotate => Strategy::Rotate(rotate),
            config::Strategy::Value => Strategy::Value,
        },
        return_after,
        hot_standbys: hot_standbys as usize,
        slow_answer,
        frozen_tip,
        stale_policy: if stale_policy == "network" { StalePolicy::Network } else { StalePolicy::OwnRevenue },
        canary,
        risk_aversion,
        max_upstreams_per_day: (max_upstreams_per_day > 0).then_some(max_upstreams_per_day as usize),
        bounds: Bounds {
            epsilon: model.epsilon,
            min_confidence: model.min_confidence,
            regret_a_day: model.regret_per_day,
            ..Bounds::default()
        },
        learns_spells: false, // unless a model may, which a promotion can still let it
        validation: Level::new(config.validation.level).expect("the table of settings has the same range"),
    }
}

fn cpu_options(config: &Config) -> Option<CpuOptions> {
    let threads = match config.cpu.threads {
        Threads::Off => 0,
        Threads::Count(count) => count.into(),
        // All cores, also beside other boards: they need next to none, and hashing has the lowest priority.
        Threads::Auto => available_parallelism().map_or(1, NonZeroUsize::get),
    };
    Some(CpuOptions {
        threads: NonZeroUsize::new(threads)?,
        pin: config.cpu.pin,
        duty_percent: config.cpu.duty_percent,
        kernel: Some(config.cpu.kernel.clone()).filter(|kernel| !kernel.is_empty()),
        guard: GuardOptions {
            max_temperature: Some(config.cpu.max_temperature).filter(|limit| *limit > 0),
            pause_on_battery: config.cpu.pause_on_battery,
        },
    })
}
