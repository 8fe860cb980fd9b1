//! `signalcore mine`: mine for pools, or solo on nodes, with what is plugged in, or with the CPU.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use signalcore::config::{self, Config, Environment, Flags, NodeLists, PoolFlags, PoolLists, Secret, State};
use signalcore::monitor::{Display, Style};
use signalcore::wiring::{self, Plan, PlanError};
use tokio::sync::watch;

use super::{block_on, exit, exit_code, log, signals};

const EXAMPLES: &str = "\
Examples:
  signalcore mine --pool stratum+tcp://pool.example.com:3333 --user ADDRESS.worker
  signalcore mine -o pool.example.com:3333 -u ADDRESS -p x --cpu-threads 2
  signalcore mine -o first:3333 -u A -o second:3333 -u B        two pools, the first preferred
  signalcore mine -o stratum+ssl://pool.example.com:4333 -u ADDRESS --proxy socks5://127.0.0.1:9050
  signalcore mine --solo http://127.0.0.1:8332 --payout ADDRESS        a node on this machine, by its cookie
  signalcore mine --solo node:8332 --rpc-user NAME --rpc-password WORD --payout ADDRESS --zmq tcp://node:28332
  signalcore mine --solo 127.0.0.1:18443 --payout ADDRESS --blocks 1   until a block is found
  signalcore mine --solo 127.0.0.1 --payout ADDRESS -o pool.example.com:3333 -u ADDRESS
  signalcore mine --config miner.toml --json | jq 'select(.event == \"share\")'
  SIGNALCORE_LOG=debug signalcore mine --log-file miner.log

Exit codes: 0 asked to stop or limit reached, 1 failure, 2 command line, 69 no pool or board would take us, 77 not
allowed, 78 configuration, 130 and 143 second SIGINT and SIGTERM. SIGHUP without a terminal reads the [[board]] tables
again.";

/// Mine for pools, or solo on nodes.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Configuration file; flags override it.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How pools take turns: failover, load-balance, quota, round-robin, rotate or value.
    #[arg(long, value_name = "NAME")]
    strategy: Option<String>,
    /// CPU threads: a number, auto (all cores) or off.
    #[arg(long, value_name = "N|auto|off", allow_negative_numbers = true)]
    cpu_threads: Option<String>,
    /// Board to open, KIND:PORT[,chips=N][,frequency=MHZ][,baud=B][,zero-bits=Z], auto or none; repeatable.
    #[arg(short = 'S', long = "device", alias = "scan-serial", value_name = "SPEC", value_parser = device)]
    devices: Vec<String>,
    /// Share difficulty to ask pools for: a number, auto (by the hash rate, where a pool's own does not suit) or off.
    #[arg(long, alias = "suggest-diff", value_name = "D|auto|off", allow_negative_numbers = true)]
    suggest_difficulty: Option<String>,
    #[command(flatten)]
    pools: PoolArgs,
    #[command(flatten)]
    solo: SoloArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    stop: StopArgs,
}

/// For whom.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Pools")]
struct PoolArgs {
    /// Pool address, such as stratum+tcp://HOST:PORT; repeat in order of priority.
    #[arg(short = 'o', long = "pool", alias = "url", value_name = "URL")]
    pools: Vec<String>,
    /// User or worker name; one for all pools or one for each.
    #[arg(short, long = "user", value_name = "NAME")]
    users: Vec<String>,
    /// Password, `x` unless given; one for all pools or one for each.
    #[arg(short, long = "password", alias = "pass", value_name = "WORD")]
    passwords: Vec<Secret>,
    /// User and password in one; instead of --user and --password.
    #[arg(short = 'O', long = "userpass", value_name = "NAME:WORD", conflicts_with_all = ["users", "passwords"])]
    userpasses: Vec<Secret>,
    /// Part of the hashing in relation to the other pools; one for all pools or one for each.
    #[arg(long = "pool-weight", value_name = "N", allow_negative_numbers = true)]
    weights: Vec<String>,
    /// SOCKS5 proxy, socks5://[USER:PASSWORD@]HOST:PORT; one for all pools or one for each, '' for none.
    #[arg(long = "proxy", value_name = "URL")]
    proxies: Vec<Secret>,
    /// File with the authorities that may vouch for a pool over TLS; one for all pools or one for each.
    #[arg(long = "tls-ca", value_name = "FILE")]
    tls_cas: Vec<String>,
    /// SHA-256 of a pool's public key, for TLS; one for all pools or one for each.
    #[arg(long = "tls-pin", value_name = "HASH")]
    tls_pins: Vec<String>,
}

/// On which nodes of our own.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Solo mining")]
struct SoloArgs {
    /// Node to mine on, http://HOST:PORT of Bitcoin Core's RPC interface; repeat in order of priority.
    #[arg(long = "solo", value_name = "URL")]
    nodes: Vec<String>,
    /// Address that a block pays; repeat to split it by PARTS, which are 1 unless given.
    #[arg(long = "payout", value_name = "ADDRESS[=PARTS]")]
    payouts: Vec<String>,
    /// Cookie file of the node, looked for in its usual place unless given; one for all nodes or one for each.
    #[arg(long = "rpc-cookie", value_name = "FILE")]
    rpc_cookies: Vec<String>,
    /// Name to log in at the node, instead of its cookie; one for all nodes or one for each, '' for none.
    #[arg(long = "rpc-user", value_name = "NAME")]
    rpc_users: Vec<String>,
    /// Password that belongs to the name; one for all nodes or one for each, '' for none.
    #[arg(long = "rpc-password", value_name = "WORD")]
    rpc_passwords: Vec<Secret>,
    /// Where the node publishes new blocks; repeatable with one node, with several one for each.
    #[arg(long = "zmq", value_name = "ENDPOINT")]
    zmq: Vec<String>,
    /// Text in every block, public for ever; at most 64 characters of printable ASCII.
    #[arg(long, value_name = "TEXT")]
    coinbase_tag: Option<String>,
}

/// What is shown.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Output")]
struct OutputArgs {
    /// Print one JSON object a line: job, share, upstream, board, summary.
    #[arg(long)]
    json: bool,
    /// Print only the summary.
    #[arg(short, long)]
    quiet: bool,
    /// Log debugging details.
    #[arg(short = 'D', long)]
    debug: bool,
    /// Review the log of decisions every so many seconds: for tests, which wait for no hour.
    #[arg(long, value_name = "N", hide = true, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    review_seconds: Option<u64>,
    /// File for the log.
    #[arg(long, value_name = "FILE")]
    log_file: Option<String>,
}

/// How long.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "When to stop")]
struct StopArgs {
    /// Stop after this many seconds.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    seconds: Option<String>,
    /// Stop after this many accepted shares.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    shares: Option<String>,
    /// Stop after this many blocks of our own that a node has taken.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    blocks: Option<String>,
    /// End with code 69 when every pool has failed once before any gave work.
    #[arg(long)]
    require_upstream: bool,
}

/// Runs `signalcore mine`; gives the exit code.
pub(crate) fn run(args: Args) -> anyhow::Result<u8> {
    let OutputArgs { json, quiet, debug, review_seconds, .. } = args.output;
    let flags = match flags(args) {
        Ok(flags) => flags,
        Err(error) => {
            eprintln!("signalcore: {error}");
            return Ok(exit::USAGE);
        }
    };
    let environment = Environment::of_process();
    let mut loaded = match config::load(&flags, &environment) {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("{error}");
            return Ok(if error.is_usage() { exit::USAGE } else { exit::CONFIG });
        }
    };
    if debug {
        "debug".clone_into(&mut loaded.config.log.level);
    }
    let State { remember, file, journal } = &loaded.config.state;
    let journal = journal.clone().or_else(|| config::journal_file(&environment));
    let memory = file.clone().or_else(|| config::state_file(&environment)).filter(|_| *remember);
    let (changed, changes) = watch::channel(loaded.config.clone());
    let plan = match Plan::new(&loaded.config, &environment) {
        Ok(plan) => plan
            .with_promotion(config::promotion_file(&environment, file.as_deref()), |word| {
                eprintln!("signalcore: warning: {word}");
            })
            .with_memory(memory)
            .with_journal(journal)
            .with_review_every(review_seconds.map(Duration::from_secs))
            .with_changes(changes),
        Err(error) => {
            eprintln!("signalcore: {error}");
            return Ok(plan_exit_code(&error, loaded.files.is_empty()));
        }
    };
    for pool in loaded.config.pools.iter().filter(|pool| pool.user.is_empty()) {
        eprintln!("signalcore: warning: no --user for {}; most pools refuse that, or pay nobody", pool.url);
    }
    let in_rounds = |pool: &&config::Pool| pool.terms.scheme == config::Scheme::Proportional;
    for pool in loaded.config.pools.iter().filter(in_rounds) {
        eprintln!(
            "signalcore: warning: {} pays each block by the shares of its round: who leaves long rounds gains at the cost of who \
             stays, and this miner stays; it is counted as pplns",
            pool.url
        );
    }
    let reload = Arc::new(move || reload(&flags, &environment, &changed));
    mine(&loaded.config, plan, Display { style: style(json), quiet }, reload)
}

/// Reads the configuration again. What is wrong with it is told, and nothing changes.
fn reload(flags: &Flags, environment: &Environment, changed: &watch::Sender<Config>) {
    let checked = config::load(flags, environment).map_err(|error| error.to_string()).and_then(|loaded| {
        Plan::check(&loaded.config).map_err(|error| error.to_string())?;
        Ok(loaded.config)
    });
    match checked {
        Ok(config) => {
            tracing::info!(
                "configuration read again: boards are told what has changed, all else needs a new start"
            );
            changed.send_replace(config);
        }
        Err(error) => tracing::error!("configuration read again, and left as it was: {error}"),
    }
}

/// How events are shown: colours only to a terminal, and only where they are welcome.
pub(crate) fn style(json: bool) -> Style {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let colour = io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb;
    if json { Style::Json } else { Style::Plain { colour } }
}

fn mine(config: &Config, plan: Plan, display: Display, reload: signals::Reload) -> anyhow::Result<u8> {
    let _log = match log::start(&config.log) {
        Ok(guard) => guard,
        Err(error) => {
            eprintln!("signalcore: {error:#}");
            return Ok(if is_permission(&error) { exit::PERMISSION } else { exit::CONFIG });
        }
    };
    let powered = plan.powered();
    let outcome = block_on(async {
        wiring::run(plan, display, io::stdout(), signals::first(Some(reload), powered)?).await
    })??;
    Ok(exit_code(&outcome))
}

fn is_permission(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<io::Error>();
    cause.is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

/// What is missing belongs on the command line as long as there is no file to put it in.
fn plan_exit_code(error: &PlanError, no_file: bool) -> u8 {
    match error {
        PlanError::NoBoard => exit::UNAVAILABLE,
        PlanError::NoPool if no_file => exit::USAGE,
        _ => exit::CONFIG,
    }
}

fn flags(args: Args) -> anyhow::Result<Flags> {
    let SoloArgs { nodes: urls, payouts, rpc_cookies, rpc_users, rpc_passwords, zmq, coinbase_tag } =
        args.solo;
    let (cookies, users, passwords) = (rpc_cookies, rpc_users, rpc_passwords);
    Ok(Flags {
        config: args.config,
        pools: pools(args.pools)?,
        nodes: config::pair_nodes(&NodeLists { urls, cookies, users, passwords, zmq })?,
        payouts,
        coinbase_tag,
        strategy: args.strategy,
        cpu_threads: args.cpu_threads,
        devices: args.devices,
        suggest_difficulty: args.suggest_difficulty,
        model: config::ModelFlags::default(),
        log_file: args.output.log_file,
        seconds: args.stop.seconds,
        shares: args.stop.shares,
        blocks: args.stop.blocks,
        require_upstream: args.stop.require_upstream,
    })
}

/// Errors: nothing is named.
fn device(text: &str) -> Result<String, &'static str> {
    if text.is_empty() {
        return Err("it is empty; write KIND:PORT, such as bm1370:/dev/ttyACM1, or auto, or none");
    }
    Ok(text.to_owned())
}

fn pools(args: PoolArgs) -> anyhow::Result<Vec<PoolFlags>> {
    let PoolArgs { pools: urls, mut users, mut passwords, userpasses, weights, proxies, tls_cas, tls_pins } =
        args;
    for both in &userpasses {
        let (user, password) = split_userpass(both)?;
        users.push(user);
        passwords.push(password);
    }
    Ok(config::pair_pools(&PoolLists { urls, users, passwords, weights, proxies, tls_cas, tls_pins })?)
}

/// At the first colon, as cgminer does; the password may hold more of them.
fn split_userpass(both: &Secret) -> anyhow::Result<(String, Secret)> {
    let (user, password) = both.expose().split_once(':').ok_or_else(|| {
        anyhow::anyhow!(
            "--userpass has no colon between user and password; write NAME:WORD, or use --user and --password"
        )
    })?;
    Ok((user.to_owned(), Secret::new(password)))
}
