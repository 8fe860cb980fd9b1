//! `[model]`: which model may advise, how it is reached, and what it may do.

use std::path::PathBuf;
use std::time::Duration;

use super::field::{Field, Preset, row};
use super::kind::{Kind, TextRule};
use super::{Config, field};

/// Which model advises. What does not belong to its back end is not looked at.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Model {
    /// The kind of back end: `off`, `builtin`, `learned`, `process`, `oneshot`, `ollama`, `openai` or `decision`.
    pub backend: String,
    /// Whether it may amend: `shadow` or `advise`.
    pub mode: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// The base of a server.
    pub url: Option<String>,
    /// The server's name for the model.
    pub name: String,
    /// A file whose first line is the server's key.
    pub key_file: Option<PathBuf>,
    /// What the operator prefers, in words.
    pub preferences: String,
    /// How long an answer may take; `None` leaves it to the back end. Unit: seconds.
    pub deadline: Option<f64>,
    /// How much less than the best candidate a preferred one may be worth.
    pub epsilon: f64,
    /// How sure a model must be.
    pub min_confidence: f64,
    /// What it may cost in a day, as a share of the day's ideal revenue.
    pub regret_per_day: f64,
    /// Memory of its program. Unit: MiB.
    pub max_memory: u32,
    /// Processes and threads of its program beside the first.
    pub max_processes: u32,
    /// Whether its program may use the network.
    pub network: bool,
    /// TCP ports that its program may connect to.
    pub allow_ports: Vec<String>,
    /// Files and folders that its program may read.
    pub paths: Vec<String>,
    /// Whether its program is not started without a sandbox.
    pub require_sandbox: bool,
    /// Whether a server may be another machine.
    pub allow_remote: bool,
    /// How often it is asked when nothing happens.
    pub ask_every: Duration,
}

static BACKEND: TextRule = TextRule {
    expected: "\"off\", \"builtin\", \"learned\", \"process\", \"oneshot\", \"ollama\", \"openai\" or \"decision\"",
    holds: |t| {
        ["off", "builtin", "learned", "process", "oneshot", "ollama", "openai", "decision"].contains(&t)
    },
};
static MODE: TextRule =
    TextRule { expected: "\"shadow\" or \"advise\"", holds: |t| ["shadow", "advise"].contains(&t) };
static PREFERENCES: TextRule = TextRule {
    expected: "at most 1000 characters without control characters",
    holds: |t| t.chars().count() <= 1000 && !t.contains(char::is_control),
};

/// The settings of `[model]`.
pub(super) static MODEL_FIELDS: &[Field<Config>] = &[
    row(
        "model.backend",
        "SIGNALCORE_MODEL_BACKEND",
        Kind::Text { place: |c| &mut c.model.backend, rule: &BACKEND },
        Preset::Value("\"off\""),
        "What advises on moves between upstreams: nothing, mathematics, what it learns of bad spells, a program, a server.",
    ),
    row(
        "model.mode",
        "SIGNALCORE_MODEL_MODE",
        Kind::Text { place: |c| &mut c.model.mode, rule: &MODE },
        Preset::Value("\"shadow\""),
        "A shadow is asked and counted, never followed; `signalcore model promote` shows whether it may advise.",
    ),
    row(
        "model.command",
        "SIGNALCORE_MODEL_COMMAND",
        Kind::Texts(|c| &mut c.model.command),
        Preset::Unset("[\"python3\", \"/usr/local/lib/signalcore/advisor.py\"]"),
        "Of process and oneshot: the program and its arguments; no shell sees them.",
    ),
    row(
        "model.url",
        "SIGNALCORE_MODEL_URL",
        Kind::OptionalText { place: |c| &mut c.model.url, rule: &field::ANY },
        Preset::Unset("\"http://127.0.0.1:11434\""),
        "Of ollama, openai and decision: the server's base.",
    ),
    row(
        "model.name",
        "SIGNALCORE_MODEL_NAME",
        Kind::Text { place: |c| &mut c.model.name, rule: &field::ANY },
        Preset::Value("\"\""),
        "The server's name for the model.",
    ),
    row(
        "model.key_file",
        "SIGNALCORE_MODEL_KEY_FILE",
        Kind::Path(|c| &mut c.model.key_file),
        Preset::Unset("\"/etc/signalcore/model.key\""),
        "A file whose first line is the server's key.",
    ),
    row(
        "model.preferences",
        "SIGNALCORE_MODEL_PREFERENCES",
        Kind::Text { place: |c| &mut c.model.preferences, rule: &PREFERENCES },
        Preset::Value("\"\""),
        "What you prefer where the figures leave it open, in your own words, for a language model.",
    ),
    row(
        "model.deadline",
        "SIGNALCORE_MODEL_DEADLINE",
        Kind::OptionalNumber { place: |c| &mut c.model.deadline, from: 0.005, to: 120.0 },
        Preset::Unset("2.0"),
        "Seconds an answer may take; 2 for a program or decision, 10 for a language model, 30 for oneshot unless given.",
    ),
    row(
        "model.ask_every",
        "SIGNALCORE_MODEL_ASK_EVERY",
        Kind::Seconds { place: |c| &mut c.model.ask_every, from: 5, to: 3600 },
        Preset::Value("60"),
        "How often it is asked when nothing happens.",
    ),
    row(
        "model.epsilon",
        "SIGNALCORE_MODEL_EPSILON",
        Kind::Number { place: |c| &mut c.model.epsilon, from: 0.0, to: 0.05 },
        Preset::Value("0.01"),
        "How much less than the best upstream one that it prefers may be worth, as a part of that.",
    ),
    row(
        "model.min_confidence",
        "SIGNALCORE_MODEL_MIN_CONFIDENCE",
        Kind::Number { place: |c| &mut c.model.min_confidence, from: 0.0, to: 1.0 },
        Preset::Value("0.6"),
        "How sure it must be.",
    ),
    row(
        "model.regret_per_day",
        "SIGNALCORE_MODEL_REGRET_PER_DAY",
        Kind::Number { place: |c| &mut c.model.regret_per_day, from: 0.0, to: 0.05 },
        Preset::Value("0.002"),
        "What it may cost in a day, as a part of the day's revenue; then it is a shadow until the next.",
    ),
    row(
        "model.max_memory",
        "SIGNALCORE_MODEL_MAX_MEMORY",
        Kind::Whole { place: |c| &mut c.model.max_memory, from: 16, to: 1 << 20 },
        Preset::Value("2048"),
        "Address space of its program, in MiB.",
    ),
    row(
        "model.max_processes",
        "SIGNALCORE_MODEL_MAX_PROCESSES",
        Kind::Whole { place: |c| &mut c.model.max_processes, from: 0, to: 4096 },
        Preset::Value("32"),
        "Processes and threads that its program may have beside the first.",
    ),
    row(
        "model.network",
        "SIGNALCORE_MODEL_NETWORK",
        Kind::Bool(|c| &mut c.model.network),
        Preset::Value("false"),
        "Whether its program may use the network as it likes.",
    ),
    row(
        "model.allow_ports",
        "SIGNALCORE_MODEL_ALLOW_PORTS",
        Kind::Texts(|c| &mut c.model.allow_ports),
        Preset::Unset("[\"11434\"]"),
        "TCP ports that its program may connect to otherwise; `ollama run` needs that of its server.",
    ),
    row(
        "model.paths",
        "SIGNALCORE_MODEL_PATHS",
        Kind::Texts(|c| &mut c.model.paths),
        Preset::Unset("[\"/srv/models\"]"),
        "Files and folders that its program may read, besides the system's and the files its arguments name.",
    ),
    row(
        "model.require_sandbox",
        "SIGNALCORE_MODEL_REQUIRE_SANDBOX",
        Kind::Bool(|c| &mut c.model.require_sandbox),
        Preset::Value("true"),
        "Whether its program is not started where nothing can be held back.",
    ),
    row(
        "model.allow_remote",
        "SIGNALCORE_MODEL_ALLOW_REMOTE",
        Kind::Bool(|c| &mut c.model.allow_remote),
        Preset::Value("false"),
        "Whether the server may be another machine.",
    ),
];
