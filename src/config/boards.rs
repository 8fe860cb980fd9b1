//! The `[[board]]` tables: boards on serial ports.

use std::fmt::Write as _;

use super::array::{ArrayKind, Element, OriginOf};
use super::field::{Field, Preset, row};
use super::kind::{Kind, TextRule};
use super::problem::Mistake;

/// A board on a serial port. What a setting says nothing of is as its kind has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Board {
    /// The name of its kind, such as `bm1370`.
    pub kind: String,
    /// The path of the port of its chips.
    pub port: String,
    /// The path of the port for its reset, power and sensors, where it has one.
    pub control: Option<String>,
    /// How many chips it has, 1 to 256.
    pub chips: Option<u32>,
    /// Frequency of its chips. Unit: megahertz.
    pub frequency: Option<f64>,
    /// Voltage of a core. Unit: millivolts.
    pub millivolts: Option<u32>,
    /// Speed of its line while it hashes. Unit: baud.
    pub baud: Option<u32>,
    /// Zero bits of each hash that its chips report, 0 to 32.
    pub zero_bits: Option<u32>,
    /// Power above which its chips are held back. Unit: watts.
    pub power_limit: Option<f64>,
    /// Temperature above which its chips are held back. Unit: °C.
    pub max_temperature: Option<f64>,
    /// What it tunes itself for: `efficiency`, `hash-rate`, or nothing, `off`.
    pub tune: Option<String>,
}

impl Board {
    /// As `--device` names it.
    pub fn spec(&self) -> String {
        let control = self.control.as_ref().map_or(String::new(), |control| format!("{control},"));
        let mut spec = format!("{}:{control}{}", self.kind, self.port);
        let mut option = |name: &str, value: Option<f64>| {
            if let Some(value) = value {
                _ = write!(spec, ",{name}={value}");
            }
        };
        option("chips", self.chips.map(f64::from));
        option("frequency", self.frequency);
        option("millivolts", self.millivolts.map(f64::from));
        option("baud", self.baud.map(f64::from));
        option("zero-bits", self.zero_bits.map(f64::from));
        option("power-limit", self.power_limit);
        option("max-temperature", self.max_temperature);
        if let Some(tune) = &self.tune {
            _ = write!(spec, ",tune={tune}");
        }
        spec
    }
}

/// A `[[board]]` while it is read.
#[derive(Debug, Clone, Default)]
pub(super) struct BoardDraft {
    kind: Option<String>,
    port: Option<String>,
    control: Option<String>,
    chips: Option<u32>,
    frequency: Option<f64>,
    millivolts: Option<u32>,
    baud: Option<u32>,
    zero_bits: Option<u32>,
    power_limit: Option<f64>,
    max_temperature: Option<f64>,
    tune: Option<String>,
}

static NAME: TextRule = TextRule {
    expected: "the kind of the board, such as \"bm1370\"",
    holds: |t| !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"-+".contains(&b)),
};
/// A comma ends the port where a flag names a board.
static PORT: TextRule = TextRule {
    expected: "the path of a serial port, without commas",
    holds: |t| !t.is_empty() && !t.contains(|c: char| c == ',' || c.is_control()),
};

static GOAL: TextRule = TextRule {
    expected: "\"off\", \"efficiency\" or \"hash-rate\"",
    holds: |t| matches!(t, "off" | "efficiency" | "hash-rate"),
};

/// The settings of a `[[board]]`.
pub(super) static BOARD_FIELDS: &[Field<BoardDraft>] = &[
    row(
        "kind",
        "SIGNALCORE_BOARD_KIND",
        Kind::OptionalText { place: |b| &mut b.kind, rule: &NAME },
        Preset::Required("\"bm1370\""),
        "What it is; a name that is none tells all there are.",
    ),
    row(
        "port",
        "SIGNALCORE_BOARD_PORT",
        Kind::OptionalText { place: |b| &mut b.port, rule: &PORT },
        Preset::Required("\"/dev/ttyACM1\""),
        "The serial port of its chips; `signalcore devices` lists them.",
    ),
    row(
        "control",
        "SIGNALCORE_BOARD_CONTROL",
        Kind::OptionalText { place: |b| &mut b.control, rule: &PORT },
        Preset::Unset("\"/dev/ttyACM0\""),
        "Of a board with two ports, such as a Bitaxe: the one for its reset, power and sensors.",
    ),
    row(
        "chips",
        "SIGNALCORE_BOARD_CHIPS",
        Kind::OptionalWhole { place: |b| &mut b.chips, from: 1, to: 256 },
        Preset::Unset("4"),
        "How many chips it has; without it as many as its kind.",
    ),
    row(
        "frequency",
        "SIGNALCORE_BOARD_FREQUENCY",
        Kind::OptionalNumber { place: |b| &mut b.frequency, from: 1.0, to: 10_000.0 },
        Preset::Unset("525"),
        "Frequency of its chips in MHz; without it that of its kind.",
    ),
    row(
        "millivolts",
        "SIGNALCORE_BOARD_MILLIVOLTS",
        Kind::OptionalWhole { place: |b| &mut b.millivolts, from: 1, to: 5000 },
        Preset::Unset("1150"),
        "Voltage of a core of a board that can set it, within the limits of its kind.",
    ),
    row(
        "baud",
        "SIGNALCORE_BOARD_BAUD",
        Kind::OptionalWhole { place: |b| &mut b.baud, from: 9600, to: 12_000_000 },
        Preset::Unset("1000000"),
        "Speed of its line while it hashes, in baud; without it that of its kind.",
    ),
    row(
        "zero_bits",
        "SIGNALCORE_BOARD_ZERO_BITS",
        Kind::OptionalWhole { place: |b| &mut b.zero_bits, from: 0, to: 32 },
        Preset::Unset("8"),
        "Zero bits of each hash that its chips report: 32 unless given, fewer for a virtual board.",
    ),
    row(
        "power_limit",
        "SIGNALCORE_BOARD_POWER_LIMIT",
        Kind::OptionalNumber { place: |b| &mut b.power_limit, from: 1.0, to: 10_000.0 },
        Preset::Unset("15"),
        "Watts above which its chips are held back, of a board that measures power; never above the limit of its kind.",
    ),
    row(
        "max_temperature",
        "SIGNALCORE_BOARD_MAX_TEMPERATURE",
        Kind::OptionalNumber { place: |b| &mut b.max_temperature, from: 40.0, to: 125.0 },
        Preset::Unset("65"),
        "°C above which its chips are held back, of a board that measures it; never above the limit of its kind.",
    ),
    row(
        "tune",
        "SIGNALCORE_BOARD_TUNE",
        Kind::OptionalText { place: |b| &mut b.tune, rule: &GOAL },
        Preset::Unset("\"efficiency\""),
        "Whether it looks for its best frequency and voltage by itself, for \"efficiency\" or \"hash-rate\"; \"off\" does not.",
    ),
];

impl Element for Board {
    type Draft = BoardDraft;

    const KIND: ArrayKind = ArrayKind::Board;

    fn fields() -> &'static [Field<BoardDraft>] {
        BOARD_FIELDS
    }

    fn conflicts(_: &BoardDraft, origins: &OriginOf) -> Vec<(bool, &'static str, Mistake)> {
        let missing = Mistake::Missing { of: ArrayKind::Board, name: "kind" };
        vec![(origins.contains_key("port") && !origins.contains_key("kind"), "port", missing)]
    }

    fn from_draft(draft: BoardDraft, _: &mut OriginOf) -> Option<Self> {
        Some(Self {
            kind: draft.kind?,
            port: draft.port?,
            control: draft.control,
            chips: draft.chips,
            frequency: draft.frequency,
            millivolts: draft.millivolts,
            baud: draft.baud,
            zero_bits: draft.zero_bits,
            power_limit: draft.power_limit,
            max_temperature: draft.max_temperature,
            tune: draft.tune,
        })
    }

    fn to_draft(&self) -> BoardDraft {
        let board = self.clone();
        BoardDraft {
            kind: Some(board.kind),
            port: Some(board.port),
            control: board.control,
            chips: board.chips,
            frequency: board.frequency,
            millivolts: board.millivolts,
            baud: board.baud,
            zero_bits: board.zero_bits,
            power_limit: board.power_limit,
            max_temperature: board.max_temperature,
            tune: board.tune,
        }
    }

    fn identity(&self) -> String {
        self.port.clone()
    }
}
