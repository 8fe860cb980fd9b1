//! A bench file: which boards there are, what they should do, and how long that is looked at.

use std::path::PathBuf;

use serde::Deserialize;

use super::check::{CHECKS, Check};
use crate::{
    pool::{Difficulty, HASHES_PER_DIFFICULTY},
    virtual_board::{Board as VirtualBoard, BoardConfig, BoardConfigError, BoardKind, Fault, NoFault, Pace},
};

/// Boards of one bench: each has a miner and a pool of its own.
const MOST_BOARDS: usize = 32;
/// Zero bits of a nonce of silicon.
const SILICON_BITS: u32 = 32;
/// The longest that anything may be asked to last: a week. Unit: seconds.
const LONGEST: f64 = 604_800.0;

/// A bench: what stands on the table.
#[derive(Clone, Debug)]
pub struct Bench {
    /// For the report.
    pub title: String,
    /// In the order of the file.
    pub boards: Vec<Board>,
}

/// One board of it.
#[derive(Clone, Debug)]
pub struct Board {
    /// For the report; letters, digits, `-`, `_` and `+`.
    pub name: String,
    /// The kind of `signalcore mine --device KIND:PORT`.
    pub kind: String,
    /// The options behind its ports, with their leading comma, or nothing.
    pub options: String,
    /// Where it is.
    pub place: Place,
    /// What the miner's detail of the board has to hold.
    pub identity: String,
    /// Hash rate of the real board as configured. Unit: hashes per second.
    pub nominal: f64,
    /// Which checks are made of it, in the order of the table.
    pub checks: Vec<&'static Check>,
    /// What is good enough, and how long is measured.
    pub limits: Limits,
}

/// Where a board is.
#[derive(Clone, Debug)]
pub enum Place {
    /// On serial ports: that of its chips, or the control port and that of its chips.
    Ports(Vec<PathBuf>),
    /// Played by this program.
    Virtual(Box<VirtualPlace>),
}

/// A board that this program plays.
#[derive(Clone, Debug)]
pub struct VirtualPlace {
    /// What is played.
    pub config: BoardConfig,
    /// Hashes a second that this computer may spend on it.
    pub hashes_per_second: f64,
    /// How many times slower than silicon it hashes, as a factor of at most 1.
    pub slowdown: f64,
}

/// What is good enough, and how long is measured.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Deviation of the hash rate from nominal.
    pub hash_rate_percent: f64,
    /// Nonces that hash to nothing and answers that come damaged, among all that the board answers.
    pub hardware_error_percent: f64,
    /// Hottest temperature of the chips.
    pub celsius: f64,
    /// Shares a second that the pool's difficulty aims at.
    pub shares_per_second: f64,
    /// From the miner's start to the first share. Unit: seconds.
    pub start_seconds: f64,
    /// From the first share until measuring begins. Unit: seconds.
    pub warm_up_seconds: f64,
    /// How long hash rate, errors, heat and shares are measured. Unit: seconds.
    pub load_seconds: f64,
    /// The job with a known nonce has to be solved in this time. Unit: seconds.
    pub known_nonce_seconds: f64,
    /// A board has to be missed, and found again, in this time each. Unit: seconds.
    pub replug_seconds: f64,
    /// How long the soak lasts. Unit: seconds.
    pub soak_seconds: f64,
    /// The longest time without a share in a soak. Unit: seconds.
    pub silence_seconds: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            hash_rate_percent: 15.0,
            hardware_error_percent: 1.0,
            // Where config/boards.toml has the miner cut the power of every board.
            celsius: 80.0,
            shares_per_second: 15.0,
            start_seconds: 90.0,
            warm_up_seconds: 5.0,
            load_seconds: 60.0,
            known_nonce_seconds: 60.0,
            replug_seconds: 60.0,
            soak_seconds: 3600.0,
            silence_seconds: 30.0,
        }
    }
}

/// What is wrong with a bench file.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// It is no TOML, or has members that a bench has not.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    /// No board, or too many.
    #[error("{0} boards: a bench has 1 to {MOST_BOARDS}, each as a [[board]]")]
    Boards(usize),
    /// A field that cannot be as it is.
    #[error("board {board:?}: {field} = {value}: {remedy}")]
    Field {
        /// The board's name.
        board: String,
        /// Which field.
        field: &'static str,
        /// As configured.
        value: String,
        /// What would be right.
        remedy: String,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BenchText {
    title: String,
    #[serde(default)]
    limits: toml::Table,
    #[serde(default)]
    board: Vec<BoardText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BoardText {
    name: String,
    kind: String,
    #[serde(default)]
    ports: Vec<PathBuf>,
    #[serde(rename = "virtual")]
    played: Option<VirtualText>,
    #[serde(default)]
    options: String,
    identity: String,
    nominal: f64,
    checks: Option<Vec<String>>,
    #[serde(default)]
    limits: toml::Table,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct VirtualText {
    board: Option<String>,
    chips: Option<usize>,
    seed: u64,
    zero_bits: u32,
    scale: f64,
    faults: Vec<String>,
    hashes_per_second: f64,
}

impl Default for VirtualText {
    fn default() -> Self {
        Self {
            board: None,
            chips: None,
            seed: 1,
            zero_bits: 8,
            scale: 1.0,
            faults: Vec::new(),
            hashes_per_second: 1e6,
        }
    }
}

impl Bench {
    /// Reads a bench file. Errors: `BenchError` for the first mistake in it.
    pub fn parse(text: &str) -> Result<Self, BenchError> {
        let BenchText { title, limits, board: texts } = toml::from_str(text)?;
        if !(1..=MOST_BOARDS).contains(&texts.len()) {
            return Err(BenchError::Boards(texts.len()));
        }
        let mut boards: Vec<Board> = Vec::new();
        for text in texts {
            let board = text.check(&limits)?;
            if boards.iter().any(|other| other.name == board.name) {
                return Err(wrong(&board.name, "name", &board.name, "it is taken, choose another"));
            }
            let taken = |port: &PathBuf| boards.iter().any(|other| other.ports().contains(port));
            if let Some(port) = board.ports().iter().find(|port| taken(port)) {
                return Err(wrong(&board.name, "ports", port.display(), "another board has this port"));
            }
            boards.push(board);
        }
        Ok(Self { title, boards })
    }
}

fn wrong(board: &str, field: &'static str, value: impl ToString, remedy: impl ToString) -> BenchError {
    BenchError::Field { board: board.to_owned(), field, value: value.to_string(), remedy: remedy.to_string() }
}

impl BoardText {
    fn check(self, limits: &toml::Table) -> Result<Board, BenchError> {
        let Self { name, kind, ports, played, options, identity, nominal, checks, limits: own } = self;
        let wrong = |field, value: String, remedy: &str| wrong(&name, field, value, remedy);
        let plain = |text: &str| {
            (1..=20).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_+".contains(&byte))
        };
        if !plain(&name) {
            return Err(wrong("name", format!("{name:?}"), "1 to 20 letters, digits, -, _ and +"));
        }
        if !plain(&kind) {
            return Err(wrong("kind", format!("{kind:?}"), "a kind of `signalcore mine --device KIND:PORT`"));
        }
        if options.contains("zero-bits") {
            return Err(wrong("options", options, "leave zero-bits out: it follows from virtual.zero_bits"));
        }
        if identity.is_empty() {
            return Err(wrong(
                "identity",
                "\"\"".to_owned(),
                "write what the miner has to say of the board, such as BM1370",
            ));
        }
        if !(nominal.is_finite() && (1e6..=1e18).contains(&nominal)) {
            return Err(wrong(
                "nominal",
                nominal.to_string(),
                "hashes per second of the real board, 1e6 to 1e18",
            ));
        }
        let limits = Limits::of(limits, own)?;
        limits.check(&name)?;
        let checks = chosen(&name, checks)?;
        let place = match (played, ports.len()) {
            (Some(played), 0) => Place::Virtual(Box::new(played.check(&name, &kind)?)),
            (None, 1 | 2) => Place::Ports(ports),
            (Some(_), _) => {
                return Err(wrong(
                    "ports",
                    format!("{ports:?}"),
                    "a virtual board has none, delete them or virtual",
                ));
            }
            (None, count) => {
                return Err(wrong(
                    "ports",
                    format!("{count} of them"),
                    "one port, or control port and data port; or virtual",
                ));
            }
        };
        let options = if options.is_empty() { options } else { format!(",{options}") };
        let board = Board { name, kind, options, place, identity, nominal, checks, limits };
        board.check_pace()?;
        Ok(board)
    }
}

fn chosen(board: &str, names: Option<Vec<String>>) -> Result<Vec<&'static Check>, BenchError> {
    let Some(names) = names else { return Ok(CHECKS.iter().collect()) };
    if let Some(name) = names.iter().find(|name| Check::named(name).is_none()) {
        return Err(wrong(board, "checks", format!("{name:?}"), format!("there are {}", Check::names())));
    }
    Ok(CHECKS.iter().filter(|check| names.iter().any(|name| name == check.name)).collect())
}

impl VirtualText {
    fn check(self, board: &str, kind: &str) -> Result<VirtualPlace, BenchError> {
        let Self { board: played, chips, seed, zero_bits, scale, faults, hashes_per_second } = self;
        let played = played.unwrap_or_else(|| kind.to_owned());
        let kind = BoardKind::named(&played).ok_or_else(|| {
            wrong(
                board,
                "virtual.board",
                &played,
                "`signalcore-hil virtual --board x` lists what can be played",
            )
        })?;
        let fault = |text: &String| {
            text.parse::<Fault>()
                .map_err(|error: NoFault| wrong(board, "virtual.faults", format!("{text:?}"), error))
        };
        let faults = faults.iter().map(fault).collect::<Result<_, _>>()?;
        if !(1e3..=1e8).contains(&hashes_per_second) {
            return Err(wrong(board, "virtual.hashes_per_second", hashes_per_second, "1e3 to 1e8"));
        }
        let chips = chips.unwrap_or(kind.chips());
        let config = BoardConfig {
            chips,
            zero_bits,
            pace: Pace::Scaled(scale),
            seed,
            faults,
            ..BoardConfig::new(kind)
        };
        VirtualBoard::new(config.clone())
            .map_err(|error: BoardConfigError| wrong(board, "virtual", format!("{played:?}"), error))?;
        let slowdown = scale * 2_f64.powi(zero_bits as i32 - SILICON_BITS as i32);
        Ok(VirtualPlace { config, hashes_per_second, slowdown })
    }
}

impl Limits {
    /// Those of the bench, with what the board has of its own.
    fn of(bench: &toml::Table, own: toml::Table) -> Result<Self, toml::de::Error> {
        let mut all = bench.clone();
        all.extend(own);
        all.try_into()
    }

    fn check(&self, board: &str) -> Result<(), BenchError> {
        let seconds = 0.5..=LONGEST;
        let rows = [
            ("limits.hash_rate_percent", self.hash_rate_percent, 0.1..=100.0),
            ("limits.hardware_error_percent", self.hardware_error_percent, 0.0..=100.0),
            ("limits.celsius", self.celsius, 20.0..=150.0),
            // The miner reports no more than 30 a second of a board.
            ("limits.shares_per_second", self.shares_per_second, 0.01..=25.0),
            ("limits.start_seconds", self.start_seconds, seconds.clone()),
            ("limits.warm_up_seconds", self.warm_up_seconds, 0.0..=LONGEST),
            ("limits.load_seconds", self.load_seconds, seconds.clone()),
            ("limits.known_nonce_seconds", self.known_nonce_seconds, seconds.clone()),
            ("limits.replug_seconds", self.replug_seconds, seconds.clone()),
            ("limits.soak_seconds", self.soak_seconds, seconds.clone()),
            ("limits.silence_seconds", self.silence_seconds, seconds),
        ];
        let bad = rows.into_iter().find(|(_, value, range)| !range.contains(value));
        bad.map_or(Ok(()), |(field, value, range)| {
            Err(wrong(board, field, value, format!("from {} to {}", range.start(), range.end())))
        })
    }
}

impl Board {
    /// The ports of a real board.
    pub fn ports(&self) -> &[PathBuf] {
        match &self.place {
            Place::Ports(ports) => ports,
            Place::Virtual(_) => &[],
        }
    }

    /// The virtual board, if it is one.
    pub fn played(&self) -> Option<&VirtualPlace> {
        match &self.place {
            Place::Ports(_) => None,
            Place::Virtual(played) => Some(played),
        }
    }

    /// The hash rate that shares have to prove: nominal, and of a virtual board what is left of that at its zero bits and
    /// its pace. Unit: hashes per second.
    pub fn expected_rate(&self) -> f64 {
        self.nominal * self.played().map_or(1.0, |played| played.slowdown)
    }

    /// At which shares come as often as the limits say.
    pub fn difficulty(&self) -> Difficulty {
        let difficulty = self.expected_rate() / self.limits.shares_per_second / HASHES_PER_DIFFICULTY;
        Difficulty::new(difficulty).expect("rates and limits are checked, and above zero")
    }

    /// The value of `--device` for this board on these ports.
    pub fn device(&self, ports: &[PathBuf]) -> String {
        let ports: Vec<_> = ports.iter().map(|port| port.display().to_string()).collect();
        let bits = self.played().map(|played| format!(",zero-bits={}", played.config.zero_bits));
        format!("{}:{}{}{}", self.kind, ports.join(","), self.options, bits.unwrap_or_default())
    }

    /// A share cannot be easier than the easiest nonce that the board reports.
    fn check_pace(&self) -> Result<(), BenchError> {
        let bits = self.played().map_or(SILICON_BITS, |played| played.config.zero_bits);
        let nonces = self.expected_rate() / 2_f64.powi(bits as i32);
        if nonces >= self.limits.shares_per_second {
            return Ok(());
        }
        let remedy = format!(
            "the board finds {nonces:.3} nonces a second; lower this, or raise virtual.scale of a virtual board"
        );
        Err(wrong(&self.name, "limits.shares_per_second", self.limits.shares_per_second, remedy))
    }
}

#[cfg(test)]
#[path = "spec_tests.rs"]
mod tests;
