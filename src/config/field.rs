//! The table of settings: one row each, and everything else follows from it.

use toml::de::DeValue;

use super::document::given;
use super::kind::{Kind, TextRule};
use super::pools::MAX_PRIORITY;
use super::{Config, model, solo};

/// One setting of `T`.
pub(super) struct Field<T: 'static> {
    /// Its place in TOML: `table.name`, or `name` at the top and within a `[[pool]]`.
    pub(super) path: &'static str,
    /// The environment variable that overrides the files.
    pub(super) env: &'static str,
    pub(super) kind: Kind<T>,
    pub(super) preset: Preset,
    /// One line for the default file.
    pub(super) doc: &'static str,
}

/// What holds where no layer says anything; values as TOML writes them.
pub(super) enum Preset {
    Value(&'static str),
    /// A value that changes with the program's version, and how the default file shows it.
    /// It stays commented out there, so that a file written by one version does not bind the next.
    Versioned(&'static str, &'static str),
    /// Nothing, and an example for the default file.
    Unset(&'static str),
    /// A setting that must be given, and an example for the default file.
    Required(&'static str),
}

pub(super) static ANY: TextRule =
    TextRule { expected: "a text without control characters", holds: |t| !t.contains(char::is_control) };
static SOME: TextRule = TextRule {
    expected: "a text that is not empty, without control characters",
    holds: |t| !t.is_empty() && !t.contains(char::is_control),
};
static STALE_POLICY: TextRule = TextRule {
    expected: "\"own_revenue\" or \"network\"",
    holds: |t| ["own_revenue", "network"].contains(&t),
};
static AGENT: TextRule = TextRule {
    expected: "1 to 64 ASCII characters without spaces",
    holds: |t| (1..=64).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_graphic()),
};

pub(super) const fn row<T>(
    path: &'static str,
    env: &'static str,
    kind: Kind<T>,
    preset: Preset,
    doc: &'static str,
) -> Field<T> {
    Field { path, env, kind, preset, doc }
}

/// The tables of the file, in its order, each with a line for the default file.
pub(super) static TABLES: &[(&str, &str)] = &[
    ("cpu", "Hashing on the processor."),
    ("upstreams", "Which pool gets the hashing, and when it goes to another."),
    ("validation", "What a job has to pass before it is hashed."),
    ("stratum", "How to speak with pools."),
    ("solo", "Whom blocks pay that we mine on a [[node]], and which of its templates we mine on."),
    ("model", "Who may advise on moves between upstreams; mathematics decides whenever it does not answer."),
    ("state", "What outlives a run: what was learnt of pools and boards, and the blocks that were found."),
    ("log", "Where the log goes."),
    ("stop", "When to stop without being asked."),
];

/// The settings but those of upstreams, those of one table together.
pub(super) fn fields() -> impl Iterator<Item = &'static Field<Config>> + Clone {
    FIELDS.iter().chain(model::MODEL_FIELDS)
}

static FIELDS: &[Field<Config>] = &[
    row(
        "device",
        "SIGNALCORE_DEVICE",
        Kind::Texts(|c| &mut c.devices),
        Preset::Value("[\"auto\"]"),
        "Which devices to open: KIND:PORT, \"auto\" for boards that are known by what they say on USB, or \"none\".",
    ),
    row(
        "cpu.threads",
        "SIGNALCORE_CPU_THREADS",
        Kind::Threads(|c| &mut c.cpu.threads),
        Preset::Value("\"auto\""),
        "Hashing threads: \"auto\" takes what the machine gives, \"off\" or 0 none.",
    ),
    row(
        "cpu.pin",
        "SIGNALCORE_CPU_PIN",
        Kind::Bool(|c| &mut c.cpu.pin),
        Preset::Value("false"),
        "Whether each thread stays on one core.",
    ),
    row(
        "cpu.duty_percent",
        "SIGNALCORE_CPU_DUTY_PERCENT",
        Kind::Percent(|c| &mut c.cpu.duty_percent),
        Preset::Value("100"),
        "Share of time a thread hashes, in percent.",
    ),
    row(
        "cpu.kernel",
        "SIGNALCORE_CPU_KERNEL",
        Kind::Text { place: |c| &mut c.cpu.kernel, rule: &ANY },
        Preset::Value("\"\""),
        "Hash kernel by name; \"\" measures them and takes the fastest.",
    ),
    row(
        "cpu.max_temperature",
        "SIGNALCORE_CPU_MAX_TEMPERATURE",
        Kind::Whole { place: |c| &mut c.cpu.max_temperature, from: 0, to: 120 },
        Preset::Value("0"),
        "Hashing pauses while the processor is hotter than so many °C, until it is 5 °C cooler; 0 sets no limit.",
    ),
    row(
        "cpu.pause_on_battery",
        "SIGNALCORE_CPU_PAUSE_ON_BATTERY",
        Kind::Bool(|c| &mut c.cpu.pause_on_battery),
        Preset::Value("false"),
        "Whether hashing pauses while the machine runs on its battery.",
    ),
    row(
        "upstreams.strategy",
        "SIGNALCORE_UPSTREAMS_STRATEGY",
        Kind::Strategy(|c| &mut c.upstreams.strategy),
        Preset::Value("\"failover\""),
        "Always the best pool that is alive, a split by weight, one after another, or the one worth most.",
    ),
    row(
        "upstreams.return_after",
        "SIGNALCORE_UPSTREAMS_RETURN_AFTER",
        Kind::Seconds { place: |c| &mut c.upstreams.return_after, from: 0, to: 3600 },
        Preset::Value("120"),
        "How long a better pool must have been healthy before hashing goes back to it.",
    ),
    row(
        "upstreams.rotate_minutes",
        "SIGNALCORE_UPSTREAMS_ROTATE_MINUTES",
        Kind::Minutes { place: |c| &mut c.upstreams.rotate, from: 1, to: 10_080 },
        Preset::Value("60"),
        "How long each pool has its turn with the strategy rotate.",
    ),
    row(
        "upstreams.hot_standbys",
        "SIGNALCORE_UPSTREAMS_HOT_STANDBYS",
        Kind::Whole { place: |c| &mut c.upstreams.hot_standbys, from: 0, to: 16 },
        Preset::Value("1"),
        "How many pools beyond the one in use are kept connected.",
    ),
    row(
        "upstreams.slow_answer",
        "SIGNALCORE_UPSTREAMS_SLOW_ANSWER",
        Kind::Seconds { place: |c| &mut c.upstreams.slow_answer, from: 5, to: 600 },
        Preset::Value("30"),
        "A share unanswered for so long makes a pool suspect.",
    ),
    row(
        "upstreams.frozen_tip",
        "SIGNALCORE_UPSTREAMS_FROZEN_TIP",
        Kind::Seconds { place: |c| &mut c.upstreams.frozen_tip, from: 30, to: 7200 },
        Preset::Value("120"),
        "How long a pool may stay on an older block than the others.",
    ),
    row(
        "upstreams.stale_policy",
        "SIGNALCORE_UPSTREAMS_STALE_POLICY",
        Kind::Text { place: |c| &mut c.upstreams.stale_policy, rule: &STALE_POLICY },
        Preset::Value("\"own_revenue\""),
        "With value: whether a pool that pays for each share may be late with a new block; \"network\" says no.",
    ),
    row(
        "upstreams.canary",
        "SIGNALCORE_UPSTREAMS_CANARY",
        Kind::Bool(|c| &mut c.upstreams.canary),
        Preset::Value("false"),
        "With value: whether a board of at most 2 % of the rate hashes for the runner-up ten minutes an hour, to know it.",
    ),
    row(
        "upstreams.risk_aversion",
        "SIGNALCORE_UPSTREAMS_RISK_AVERSION",
        Kind::Number { place: |c| &mut c.upstreams.risk_aversion, from: 0.0, to: 1.0 },
        Preset::Value("0"),
        "With value: what uneven income counts less; 4e-12 halves solo mining where a block takes 8000 years.",
    ),
    row(
        "upstreams.max_upstreams_per_day",
        "SIGNALCORE_UPSTREAMS_MAX_UPSTREAMS_PER_DAY",
        Kind::Whole { place: |c| &mut c.upstreams.max_upstreams_per_day, from: 0, to: 1000 },
        Preset::Value("0"),
        "With value: how many pools a day moves for gain may lead to, where small balances are not paid out; 0 for any number.",
    ),
    row(
        "upstreams.record_decisions",
        "SIGNALCORE_UPSTREAMS_RECORD_DECISIONS",
        Kind::Path(|c| &mut c.upstreams.record_decisions),
        Preset::Unset("\"/var/lib/signalcore/decisions.jsonl\""),
        "A file for all that decisions are made by, for signalcore replay --log; a next run takes the next number behind it.",
    ),
    row(
        "upstreams.review_hours",
        "SIGNALCORE_UPSTREAMS_REVIEW_HOURS",
        Kind::Whole { place: |c| &mut c.upstreams.review_hours, from: 0, to: 8784 },
        Preset::Value("168"),
        "With record_decisions: every how many hours that file is replayed, beside mining, to tell what was earned; 0 for never.",
    ),
    row(
        "validation.level",
        "SIGNALCORE_VALIDATION_LEVEL",
        Kind::Whole { place: |c| &mut c.validation.level, from: 0, to: 16_000 },
        Preset::Value("16000"),
        "The checks up to this one run, also where pools are compared; 16000 are all, 0 leaves parsing, payouts and liveness.",
    ),
    row(
        "stratum.suggest_difficulty",
        "SIGNALCORE_STRATUM_SUGGEST_DIFFICULTY",
        Kind::Suggestion(|c| &mut c.stratum.suggest_difficulty),
        Preset::Value("\"auto\""),
        "Share difficulty to ask pools for; \"auto\" asks for 4 to 20 shares a minute where a pool's own gives others.",
    ),
    row(
        "stratum.user_agent",
        "SIGNALCORE_STRATUM_USER_AGENT",
        Kind::Text { place: |c| &mut c.stratum.user_agent, rule: &AGENT },
        Preset::Versioned(
            concat!("\"signalcore/", env!("CARGO_PKG_VERSION"), "\""),
            "\"signalcore/<version>\"",
        ),
        "The name the miner gives itself.",
    ),
    row(
        "stratum.version_rolling",
        "SIGNALCORE_STRATUM_VERSION_ROLLING",
        Kind::Bool(|c| &mut c.stratum.version_rolling),
        Preset::Value("true"),
        "Whether to ask for version rolling (BIP 310).",
    ),
    row(
        "stratum.extranonce_subscribe",
        "SIGNALCORE_STRATUM_EXTRANONCE_SUBSCRIBE",
        Kind::Bool(|c| &mut c.stratum.extranonce_subscribe),
        Preset::Value("false"),
        "Whether to send mining.extranonce.subscribe; NiceHash gets it in any case, some other pools hang up on it.",
    ),
    row(
        "stratum.follow_redirect",
        "SIGNALCORE_STRATUM_FOLLOW_REDIRECT",
        Kind::Bool(|c| &mut c.stratum.follow_redirect),
        Preset::Value("false"),
        "Whether client.reconnect may lead to another host of the same domain in plain text too; over TLS it may.",
    ),
    row(
        "stratum.connect_timeout",
        "SIGNALCORE_STRATUM_CONNECT_TIMEOUT",
        Kind::Seconds { place: |c| &mut c.stratum.timeouts.connect, from: 1, to: 120 },
        Preset::Value("10"),
        "How long to wait for the connection, with proxy and TLS.",
    ),
    row(
        "stratum.handshake_timeout",
        "SIGNALCORE_STRATUM_HANDSHAKE_TIMEOUT",
        Kind::Seconds { place: |c| &mut c.stratum.timeouts.handshake, from: 1, to: 120 },
        Preset::Value("15"),
        "How long to wait for the answers to subscribe and authorize.",
    ),
    row(
        "stratum.first_job_timeout",
        "SIGNALCORE_STRATUM_FIRST_JOB_TIMEOUT",
        Kind::Seconds { place: |c| &mut c.stratum.timeouts.first_job, from: 1, to: 600 },
        Preset::Value("60"),
        "How long to wait for the first job.",
    ),
    row(
        "stratum.silence_timeout",
        "SIGNALCORE_STRATUM_SILENCE_TIMEOUT",
        Kind::Seconds { place: |c| &mut c.stratum.timeouts.silence, from: 10, to: 3600 },
        Preset::Value("180"),
        "How long a pool may go without sending a job while we mine.",
    ),
    row(
        "stratum.answer_timeout",
        "SIGNALCORE_STRATUM_ANSWER_TIMEOUT",
        Kind::Seconds { place: |c| &mut c.stratum.timeouts.answer, from: 5, to: 600 },
        Preset::Value("120"),
        "How long to wait for the answer to a share.",
    ),
    row(
        "stratum.reconnect_max",
        "SIGNALCORE_STRATUM_RECONNECT_MAX",
        Kind::Seconds { place: |c| &mut c.stratum.timeouts.reconnect_max, from: 1, to: 3600 },
        Preset::Value("60"),
        "The longest pause between two attempts to connect.",
    ),
    row(
        "solo.payout",
        "SIGNALCORE_SOLO_PAYOUT",
        Kind::Payouts(|c| &mut c.solo.payouts),
        Preset::Unset("[\"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4\"]"),
        "Whom a block pays; of several, each gets as many parts as stand behind its =, or one. Must be given for a node.",
    ),
    row(
        "solo.coinbase_tag",
        "SIGNALCORE_SOLO_COINBASE_TAG",
        Kind::Text { place: |c| &mut c.solo.coinbase_tag, rule: &solo::TAG },
        Preset::Value("\"/signalcore/\""),
        "A text in every block, public for ever; it is cut where it does not fit.",
    ),
    row(
        "solo.priority",
        "SIGNALCORE_SOLO_PRIORITY",
        Kind::OptionalWhole { place: |c| &mut c.solo.priority, from: 0, to: MAX_PRIORITY },
        Preset::Unset("0"),
        "Its rank among the priorities of pools, lower is better; without one it stands before all of them.",
    ),
    row(
        "solo.weight",
        "SIGNALCORE_SOLO_WEIGHT",
        Kind::Whole { place: |c| &mut c.solo.weight, from: 1, to: 1_000_000 },
        Preset::Value("1"),
        "Its part of the hashing in relation to the pools, with the strategies load-balance and quota.",
    ),
    row(
        "solo.refresh",
        "SIGNALCORE_SOLO_REFRESH",
        Kind::Seconds { place: |c| &mut c.solo.templates.refresh, from: 5, to: 600 },
        Preset::Value("30"),
        "How often a template of the same tip is fetched anew; one of a new tip is fetched at once.",
    ),
    row(
        "solo.fee_gain",
        "SIGNALCORE_SOLO_FEE_GAIN",
        Kind::Whole { place: |c| &mut c.solo.templates.fee_gain, from: 0, to: 1_000_000_000 },
        Preset::Value("10000"),
        "Satoshi that a template of the same tip must pay more to be mined on before the one in use is 2 minutes old.",
    ),
    row(
        "solo.check_proposal",
        "SIGNALCORE_SOLO_CHECK_PROPOSAL",
        Kind::Bool(|c| &mut c.solo.templates.check_proposal),
        Preset::Value("true"),
        "Whether the node checks the first block template of a run, beside the mining (at validation level 16000).",
    ),
    row(
        "solo.empty_first",
        "SIGNALCORE_SOLO_EMPTY_FIRST",
        Kind::Bool(|c| &mut c.solo.templates.empty_first),
        Preset::Value("false"),
        "Whether to hash an empty block on a new tip until the node's template is there.",
    ),
    row(
        "solo.require_peers",
        "SIGNALCORE_SOLO_REQUIRE_PEERS",
        Kind::Bool(|c| &mut c.solo.templates.require_peers),
        Preset::Value("true"),
        "Whether a node of a test network must have peers to be mined on; regtest needs none.",
    ),
    row(
        "solo.keep_without_node",
        "SIGNALCORE_SOLO_KEEP_WITHOUT_NODE",
        Kind::Seconds { place: |c| &mut c.solo.templates.keep_without_node, from: 0, to: 7200 },
        Preset::Value("600"),
        "How long hashing goes on with the last template while no node can be reached.",
    ),
    row(
        "state.remember",
        "SIGNALCORE_STATE_REMEMBER",
        Kind::Bool(|c| &mut c.state.remember),
        Preset::Value("true"),
        "Whether to remember what pools were found to do, and how boards are tuned. It is learnt again when deleted.",
    ),
    row(
        "state.file",
        "SIGNALCORE_STATE_FILE",
        Kind::Path(|c| &mut c.state.file),
        Preset::Unset("\"/var/lib/signalcore/pools.json\""),
        "Where, instead of $XDG_STATE_HOME/signalcore/pools.json or ~/.local/state/signalcore/pools.json.",
    ),
    row(
        "state.journal",
        "SIGNALCORE_STATE_JOURNAL",
        Kind::Path(|c| &mut c.state.journal),
        Preset::Unset("\"/var/lib/signalcore/blocks.journal\""),
        "Where found blocks are kept, instead of blocks.journal in the same folders. Delete no block without a fate.",
    ),
    row(
        "log.file",
        "SIGNALCORE_LOG_FILE",
        Kind::Path(|c| &mut c.log.file),
        Preset::Unset("\"/var/log/signalcore.log\""),
        "A file that gets the log instead of the standard error.",
    ),
    row(
        "log.level",
        "SIGNALCORE_LOG",
        Kind::Text { place: |c| &mut c.log.level, rule: &SOME },
        Preset::Value("\"info\""),
        "What to log: error, warn, info, debug, trace, or a filter such as \"info,signalcore=debug\".",
    ),
    row(
        "stop.seconds",
        "SIGNALCORE_STOP_SECONDS",
        Kind::RunTime(|c| &mut c.stop.seconds),
        Preset::Unset("3600"),
        "Stop after this time.",
    ),
    row(
        "stop.shares",
        "SIGNALCORE_STOP_SHARES",
        Kind::Count(|c| &mut c.stop.shares),
        Preset::Unset("100"),
        "Stop after this many accepted shares.",
    ),
    row(
        "stop.blocks",
        "SIGNALCORE_STOP_BLOCKS",
        Kind::Count(|c| &mut c.stop.blocks),
        Preset::Unset("1"),
        "Stop after this many blocks of our own that a node has taken.",
    ),
    row(
        "stop.require_upstream",
        "SIGNALCORE_STOP_REQUIRE_UPSTREAM",
        Kind::Bool(|c| &mut c.stop.require_upstream),
        Preset::Value("false"),
        "Stop with exit code 69 when every pool has failed once before any gave work, instead of trying on.",
    ),
];

impl<T> Field<T> {
    /// The default as TOML writes it, if there is one.
    pub(super) fn default(&self) -> Option<&'static str> {
        match self.preset {
            Preset::Value(value) | Preset::Versioned(value, _) => Some(value),
            Preset::Unset(_) | Preset::Required(_) => None,
        }
    }

    /// The table and the name within it; the table is empty at the top of the file.
    pub(super) fn table_and_name(&self) -> (&'static str, &'static str) {
        self.path.split_once('.').unwrap_or(("", self.path))
    }
}

/// The setting at this path, which is one of the table.
pub(super) fn named<T: 'static>(
    fields: impl IntoIterator<Item = &'static Field<T>>,
    path: &str,
) -> &'static Field<T> {
    fields.into_iter().find(|field| field.path == path).expect("every layer names settings of the table")
}

/// Fills in the default of every field that has one.
pub(super) fn store_defaults<T: 'static>(
    fields: impl IntoIterator<Item = &'static Field<T>>,
    target: &mut T,
) {
    for field in fields {
        let Some(default) = field.default() else { continue };
        let value = DeValue::parse(default).expect("a test reads every default");
        let stored = field.kind.store(target, &given(value.get_ref()), None);
        stored.expect("a test finds every default within its range");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::boards::BOARD_FIELDS;
    use crate::config::nodes::NODE_FIELDS;
    use crate::config::pools::POOL_FIELDS;
    use std::collections::BTreeSet;

    #[test]
    fn every_path_and_every_variable_is_named_once_and_every_table_is_known() {
        let paths: BTreeSet<_> = fields().map(|f| f.path).collect();
        let of_upstreams = POOL_FIELDS.iter().map(|f| f.env).chain(NODE_FIELDS.iter().map(|f| f.env));
        let of_upstreams = of_upstreams.chain(BOARD_FIELDS.iter().map(|f| f.env));
        let variables: BTreeSet<_> = fields().map(|f| f.env).chain(of_upstreams).collect();
        assert_eq!(paths.len(), fields().count());
        assert_eq!(
            variables.len(),
            fields().count() + POOL_FIELDS.len() + NODE_FIELDS.len() + BOARD_FIELDS.len()
        );
        for (table, _) in fields().map(Field::table_and_name) {
            assert!(table.is_empty() || TABLES.iter().any(|(name, _)| *name == table), "{table}");
        }
    }

    #[test]
    fn a_variable_is_named_after_its_path_except_that_of_the_log_level() {
        for field in fields().filter(|f| f.path != "log.level") {
            assert_eq!(field.env, format!("SIGNALCORE_{}", field.path.replace('.', "_").to_uppercase()));
        }
    }
}
