//! A board as it is named on the command line, checked, and opened.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

use super::{Chips, Driver, Kind, scan};
use tokio::task::spawn_blocking;

use crate::bitaxe;
use crate::bitaxe::board::LineSettings;
use crate::bitaxe::boards::BeyondLimit;
use crate::bitaxe::tuner::Point;
use crate::bm13xx::board::{self, BoardError, Running};
use crate::bm13xx::bring_up::RESET_BAUD;
use crate::bm13xx::chain::{Chain, ChainConfig, ChainConfigError};
use crate::bm13xx::pll::Frequency;
use crate::bm13xx::ticket::ALWAYS_ZERO;
use crate::gekko::identify::Answered;
use crate::gekko::{self, FrequencyError, Gekko, GekkoConfig};
use crate::icarus::{self, ClockError, Icarus, IcarusConfig};
use crate::port::{Port, PortError};

/// Speed of the control port, which USB does without.
const CONTROL_BAUD: u32 = 115_200;

/// A board as it is named, `KIND:PORT[,chips=N][,frequency=MHZ][,baud=B][,zero-bits=Z]`, and with two ports
/// `KIND:CONTROL,DATA[,frequency=MHZ]…[,millivolts=MV]`. What is not said is as the kind has it.
#[derive(Debug, Clone, PartialEq)]
pub struct BoardSpec {
    /// Its kind.
    pub kind: &'static Kind,
    /// The port of its chips.
    pub port: PathBuf,
    /// The port for its reset, power and sensors, where it has one.
    pub control: Option<PathBuf>,
    /// How many chips it has.
    pub chips: Option<usize>,
    /// Frequency of its chips. Unit: MHz.
    pub mhz: Option<f64>,
    /// Voltage of a core. Unit: mV.
    pub millivolts: Option<u32>,
    /// Speed of its line while it hashes, baud.
    pub baud: Option<u32>,
    /// Zero bits of each hash that its chips report; fewer than 32 for a virtual board.
    pub zero_bits: u32,
}

/// Why a text names no board.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SpecError {
    /// Nothing tells the port.
    #[error("no port, write KIND:PORT, such as bm1370:/dev/ttyACM1")]
    NoPort,
    /// Nothing tells the second port of a board that has two.
    #[error("one port, and {0} has two: write {0}:CONTROL,DATA, such as {0}:/dev/ttyACM0,/dev/ttyACM1")]
    OnePort(&'static str),
    /// An option of another kind of board.
    #[error("{kind} has no option {option}")]
    NotOf {
        /// The board.
        kind: &'static str,
        /// What it has not.
        option: &'static str,
    },
    /// No such kind.
    #[error("no kind {0:?}, choose one of {names}", names = Kind::names())]
    Kind(String),
    /// No such option.
    #[error("no option {0:?}, there are chips=N, frequency=MHZ, millivolts=MV, baud=B and zero-bits=Z")]
    Option(String),
    /// An option that stands there twice.
    #[error("{0} twice, delete one of the two")]
    Twice(String),
    /// A value that is no number.
    #[error("{option}={value}, expected {expected}")]
    Value {
        /// Which option.
        option: String,
        /// What it is set to.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// Numbers that this kind of board cannot have.
    #[error(transparent)]
    Impossible(#[from] ChainConfigError),
    /// Settings that a Bitaxe cannot have.
    #[error(transparent)]
    Bitaxe(#[from] bitaxe::board::BoardError),
    /// A frequency that the device cannot have.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// A frequency that the stick cannot have.
    #[error(transparent)]
    Frequency(#[from] FrequencyError),
}

impl From<BeyondLimit> for SpecError {
    fn from(error: BeyondLimit) -> Self {
        Self::Bitaxe(error.into())
    }
}

/// Why a board did not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// For the operator: it cannot be as it is named.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A chain.
    #[error(transparent)]
    Chips(#[from] BoardError),
    /// A Bitaxe.
    #[error(transparent)]
    Bitaxe(#[from] bitaxe::shell::OpenError),
    /// A device of the Icarus family.
    #[error(transparent)]
    Icarus(#[from] icarus::shell::OpenError),
    /// An older stick of GekkoScience.
    #[error(transparent)]
    Gekko(#[from] gekko::shell::OpenError),
    /// The port cannot be opened to ask what is there.
    #[error(transparent)]
    Port(#[from] PortError),
    /// A Bitaxe that does not say which it is.
    #[error(transparent)]
    Unidentified(#[from] bitaxe::shell::IdentifyError),
    /// Chips that are those of no stick.
    #[error(
        "{count} × {chip:#06x} answer, which no GekkoScience stick has that is driven here; name the chips, such as bm1370:PORT,chips=N"
    )]
    NoStick {
        /// Upper half of their id.
        chip: u16,
        /// How many there are.
        count: usize,
    },
    /// Nobody has answered.
    #[error("no chip of a GekkoScience stick answers; unplug it and plug it in again, or name its model")]
    NoAnswer,
}

impl FromStr for BoardSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let (kind, rest) = text.split_once(':').ok_or(SpecError::NoPort)?;
        let kind = Kind::named(kind).ok_or_else(|| SpecError::Kind(kind.to_owned()))?;
        let mut parts = rest.split(',').peekable();
        let port = parts.next().filter(|port| !port.is_empty()).ok_or(SpecError::NoPort)?;
        let mut spec = Self::new(kind, port.into());
        if kind.has_control() {
            let is_port = |part: &&str| !part.is_empty() && !part.contains('=');
            let data = parts.next_if(is_port).ok_or(SpecError::OnePort(kind.name))?;
            spec.control = Some(std::mem::replace(&mut spec.port, data.into()));
        }
        let mut seen = Vec::new();
        for part in parts {
            let (option, value) = part.split_once('=').ok_or_else(|| SpecError::Option(part.to_owned()))?;
            if seen.contains(&option) {
                return Err(SpecError::Twice(option.to_owned()));
            }
            seen.push(option);
            spec.set(option, value)?;
        }
        spec.check()?;
        Ok(spec)
    }
}

impl BoardSpec {
    /// A board of this kind with nothing else said.
    pub fn new(kind: &'static Kind, port: PathBuf) -> Self {
        Self {
            kind,
            port,
            control: None,
            chips: None,
            mhz: None,
            millivolts: None,
            baud: None,
            zero_bits: ALWAYS_ZERO,
        }
    }

    fn set(&mut self, option: &str, value: &str) -> Result<(), SpecError> {
        fn number<T: FromStr>(option: &str, value: &str, expected: &'static str) -> Result<T, SpecError> {
            let wrong = |_| SpecError::Value { option: option.to_owned(), value: value.to_owned(), expected };
            value.parse().map_err(wrong)
        }
        match option {
            "chips" => self.chips = Some(number(option, value, "a whole number from 1 to 128")?),
            "frequency" => self.mhz = Some(number(option, value, "a number of megahertz")?),
            "millivolts" => self.millivolts = Some(number(option, value, "a whole number of millivolts")?),
            "baud" => self.baud = Some(number(option, value, "a whole number")?),
            "zero-bits" => self.zero_bits = number(option, value, "a whole number from 0 to 32")?,
            _ => return Err(SpecError::Option(option.to_owned())),
        }
        Ok(())
    }

    /// Whether the board can be as it is named. Errors: why not.
    pub fn check(&self) -> Result<(), SpecError> {
        let has = |option, is_set: bool| {
            if is_set { Err(SpecError::NotOf { kind: self.kind.name, option }) } else { Ok(()) }
        };
        match self.kind.driver {
            Driver::Chips(chips) => {
                has("millivolts", self.millivolts.is_some())?;
                Chain::new(&self.chain(chips), Instant::now())?;
            }
            Driver::Bitaxe(name) => {
                has("chips", self.chips.is_some())?;
                bitaxe::board::Board::new(self.bitaxe(name)?, Instant::now())?;
            }
            Driver::Icarus(name) => {
                has("chips", self.chips.is_some())?;
                has("millivolts", self.millivolts.is_some())?;
                has("baud", self.baud.is_some())?;
                Icarus::new(&self.icarus(name), Instant::now())?;
            }
            Driver::Gekko(name) => {
                has("chips", self.chips.is_some())?;
                has("millivolts", self.millivolts.is_some())?;
                has("baud", self.baud.is_some())?;
                Gekko::new(&self.gekko(name), Instant::now())?;
            }
            // The rest is checked when the model is known.
            Driver::AnyGekko => {
                has("chips", self.chips.is_some())?;
                has("millivolts", self.millivolts.is_some())?;
            }
            Driver::AnyBitaxe => has("chips", self.chips.is_some())?,
        }
        Ok(())
    }

    /// Short name for displays: the kind, and the last part of the port's.
    pub fn name(&self) -> String {
        let port = self.port.file_name().unwrap_or(self.port.as_os_str());
        format!("{}:{}", self.kind.name, port.display())
    }

    fn chain(&self, chips: Chips) -> ChainConfig {
        ChainConfig {
            bring_up: chips.list,
            chips: self.chips.unwrap_or(chips.count),
            frequency: Frequency::from_mhz(self.mhz.unwrap_or(chips.mhz)),
            baud: self.baud.unwrap_or(chips.baud),
            zero_bits: self.zero_bits,
        }
    }

    fn bitaxe(&self, name: &str) -> Result<bitaxe::board::BoardSettings, BeyondLimit> {
        let kind = bitaxe::boards::board(name).expect("a test holds the rows against the table of boards");
        let megahertz = self.mhz.map_or(kind.megahertz.default, |mhz| mhz.round() as u32);
        let millivolts = self.millivolts.unwrap_or(kind.millivolts.default);
        kind.frequency(megahertz)?;
        kind.voltage(millivolts)?;
        Ok(bitaxe::board::BoardSettings {
            kind,
            point: Point { megahertz, millivolts },
            line: LineSettings { baud: self.baud.unwrap_or(RESET_BAUD), zero_bits: self.zero_bits },
            watts: None,
            tuning: None,
        })
    }

    fn icarus(&self, name: &str) -> IcarusConfig {
        let model = icarus::Model::named(name).expect("a test holds the rows against the table of models");
        IcarusConfig { model, frequency: self.mhz, zero_bits: self.zero_bits }
    }

    fn gekko(&self, name: &str) -> GekkoConfig {
        let model = gekko::Model::named(name).expect("a test holds the rows against the table of models");
        GekkoConfig { model, frequency: self.mhz, zero_bits: self.zero_bits }
    }

    /// Opens the board, and asks it for its model where the kind does not tell. Errors: see [`OpenError`].
    pub async fn open(&self) -> Result<Running, OpenError> {
        self.open_at(None).await
    }

    /// The same board, whose kind is known now. Errors: it cannot be as it is named.
    fn with_kind(&self, kind: &'static Kind) -> Result<Self, SpecError> {
        let board = Self { kind, ..self.clone() };
        board.check()?;
        Ok(board)
    }

    /// Which stick it is: what it says on USB, or else what its chips answer.
    async fn stick(&self) -> Result<&'static Kind, OpenError> {
        let path = self.port.clone();
        let says = spawn_blocking(move || said_by(&path)).await.unwrap_or_default();
        if let Some(kind) = says {
            return Ok(kind);
        }
        let answered = gekko::shell::identify(opener(&self.port, gekko::BAUD)).await?;
        let Answered { chip, count } = answered.ok_or(OpenError::NoAnswer)?;
        Kind::stick(chip, count).ok_or(OpenError::NoStick { chip, count })
    }

    /// How the two ports of a board are opened. Errors: it has one.
    fn ports(&self) -> Result<bitaxe::shell::Ports, SpecError> {
        let control = self.control.as_ref().ok_or(SpecError::OnePort(self.kind.name))?;
        Ok(bitaxe::shell::Ports {
            control: Arc::new(opener(control, CONTROL_BAUD)),
            data: Arc::new(opener(&self.port, RESET_BAUD)),
        })
    }

    /// Opens the board. Shape: its ports, where they are open already.
    async fn open_at(&self, ports: Option<bitaxe::shell::Ports>) -> Result<Running, OpenError> {
        match self.kind.driver {
            Driver::AnyGekko => {
                let board = self.with_kind(self.stick().await?)?;
                Box::pin(board.open_at(None)).await
            }
            Driver::AnyBitaxe => {
                let (found, ports) = bitaxe::shell::identify(self.ports()?).await?;
                let kind =
                    Kind::named(&found.name).expect("a test holds the rows against the table of boards");
                let board = self.with_kind(kind)?;
                Box::pin(board.open_at(Some(ports))).await
            }
            Driver::Chips(chips) => {
                let opener = Arc::new(opener(&self.port, RESET_BAUD));
                Ok(board::open(self.name(), self.chain(chips), opener).await?)
            }
            Driver::Bitaxe(name) => {
                let ports = ports.map_or_else(|| self.ports(), Ok)?;
                let settings = self.bitaxe(name).map_err(SpecError::from)?;
                let opened = bitaxe::shell::open(self.name(), settings, ports).await?;
                Ok((opened.handle, opened.ended))
            }
            Driver::Icarus(name) => {
                let opener = opener(&self.port, icarus::BAUD);
                Ok(icarus::shell::open(self.name(), self.icarus(name), opener).await?)
            }
            Driver::Gekko(name) => {
                let opener = opener(&self.port, gekko::BAUD);
                Ok(gekko::shell::open(self.name(), self.gekko(name), opener).await?)
            }
        }
    }
}

/// Opens a port.
fn opener(path: &Path, baud: u32) -> impl Fn() -> Result<Port, PortError> + Send + Sync + use<> {
    let path = path.to_owned();
    move || Port::open(&path, baud)
}

/// The stick that is at this port, if it says so on USB.
fn said_by(path: &Path) -> Option<&'static Kind> {
    let path = path.canonicalize().ok()?;
    let found = scan(Path::new("/")).into_iter().find(|found| found.port.path == path)?;
    found.kind.filter(|kind| kind.is_stick())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<BoardSpec, String> {
        text.parse().map_err(|error: SpecError| error.to_string())
    }

    #[test]
    fn a_board_is_named_by_kind_and_port_and_may_differ_from_its_kind() {
        let plain = parse("bm1370:/dev/ttyACM1").unwrap();
        assert_eq!((plain.chips, plain.mhz, plain.baud, plain.zero_bits), (None, None, None, 32));
        assert_eq!(plain.name(), "bm1370:ttyACM1");
        let all = "bm1368:/dev/serial/by-path/usb-0:2:1.0,chips=4,frequency=400.5,baud=1000000,zero-bits=8";
        let all = parse(all).unwrap();
        assert_eq!((all.chips, all.mhz, all.baud, all.zero_bits), (Some(4), Some(400.5), Some(1_000_000), 8));
        assert_eq!(all.port, Path::new("/dev/serial/by-path/usb-0:2:1.0"));
    }

    #[test]
    fn each_mistake_in_a_name_is_told_with_what_would_be_right() {
        let kinds = &format!("choose one of {}", Kind::names());
        for (text, said) in [
            ("/dev/ttyACM0", "no port, write KIND:PORT, such as bm1370:/dev/ttyACM1"),
            ("bm1370:", "no port, write KIND:PORT, such as bm1370:/dev/ttyACM1"),
            ("bm1371:/dev/x", &format!("no kind \"bm1371\", {kinds}")),
            (
                "bm1370:x,y",
                "no option \"y\", there are chips=N, frequency=MHZ, millivolts=MV, baud=B and zero-bits=Z",
            ),
            (
                "bm1370:x,volt=1",
                "no option \"volt\", there are chips=N, frequency=MHZ, millivolts=MV, baud=B and zero-bits=Z",
            ),
            ("bm1370:x,chips=1,chips=1", "chips twice, delete one of the two"),
            ("bm1370:x,chips=-1", "chips=-1, expected a whole number from 1 to 128"),
            ("bm1370:x,chips=129", "129 chips, a chain has 1 to 128"),
            ("bm1370:x,frequency=fast", "frequency=fast, expected a number of megahertz"),
            (
                "bm1370:x,baud=9600",
                "bm1370 has no speed of 9600 baud, choose one of [115200, 1000000, 3125000]",
            ),
            (
                "bm1370:x,zero-bits=33",
                "nonces at 33 zero bits, possible are 0 to 32; chips of silicon have 32",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err(), said, "{text}");
        }
        for frequency in ["1e9", "nan", "-5", "inf", "0"] {
            assert!(parse(&format!("bm1370:x,frequency={frequency}")).is_err(), "{frequency}");
        }
    }

    #[test]
    fn a_board_with_two_ports_is_named_with_both_and_its_limits_hold() {
        let gamma =
            parse("gamma:/dev/ttyACM0,/dev/ttyACM1,frequency=500,millivolts=1100,zero-bits=8").unwrap();
        assert_eq!(gamma.control.as_deref(), Some(Path::new("/dev/ttyACM0")));
        assert_eq!((gamma.port.as_path(), gamma.mhz), (Path::new("/dev/ttyACM1"), Some(500.0)));
        for (text, said) in [
            ("bitaxe:a", "one port, and bitaxe has two: write bitaxe:CONTROL,DATA"),
            ("bitaxe:a,b,chips=2", "bitaxe has no option chips"),
            ("gekko:a,chips=2", "gekko has no option chips"),
            ("newpac:a,baud=115200", "newpac has no option baud"),
            ("newpac:a,frequency=300", "frequency 300 MHz is not between 100 and 250 MHz"),
            ("gamma:a", "one port, and gamma has two: write gamma:CONTROL,DATA"),
            ("gamma:a,frequency=1", "one port, and gamma has two"),
            ("gamma:a,b,chips=2", "gamma has no option chips"),
            ("bm1370:a,millivolts=1100", "bm1370 has no option millivolts"),
            ("gamma:a,b,millivolts=9000", "9000"),
            ("block-erupter:a,frequency=9", "block-erupter has a fixed clock"),
            ("antminer-u1:a,frequency=900", "frequency 900 MHz is not between 100 and 250 MHz"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reading_of_a_board_panic(text in "(bm1370:)?[a-z0-9,=:.-]{0,40}", more: String) {
            let _ = text.parse::<BoardSpec>();
            let _ = format!("bm1366:x,{more}").parse::<BoardSpec>();
        }
    }
}
