//! A board as it is named on the command line, checked, and opened.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Instant;

use super::{Chips, Driver, Kind};
use crate::bitaxe;
use crate::bitaxe::board::{LineSettings, OwnLimits};
use crate::bitaxe::boards::BeyondLimit;
use crate::bitaxe::tuner::Point;
use crate::bm13xx::bring_up::RESET_BAUD;
use crate::bm13xx::chain::{Chain, ChainConfig, ChainConfigError};
use crate::bm13xx::chip::MOST_MEGAHERTZ;
use crate::bm13xx::pll::Frequency;
use crate::bm13xx::ticket::ALWAYS_ZERO;
use crate::gekko::{self, FrequencyError, Gekko, GekkoConfig};
use crate::icarus::{self, ClockError, Icarus, IcarusConfig};
use crate::order::{Goal, Order, Results, short};
use crate::usb::SerialPort;

/// A board as it is named, `KIND:PORT[,chips=N][,frequency=MHZ][,baud=B][,zero-bits=Z]`, and with two ports
/// `KIND:CONTROL,DATA[,frequency=MHZ]…[,millivolts=MV][,power-limit=W][,max-temperature=C][,tune=GOAL]`. What is not said is
/// as the kind has it.
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
    /// Power and temperature at most.
    pub limits: OwnLimits,
    /// What it tunes itself for, if anything.
    pub goal: Option<Goal>,
}

/// Why a text names no board.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SpecError {
    /// Nothing tells the port.
    #[error("no port, write KIND:PORT, such as bm1370:/dev/ttyACM1; or auto, or none")]
    NoPort,
    /// Nothing tells the second port of a board that has two.
    #[error("one port, and {0} has two: write {0}:CONTROL,DATA, such as {0}:/dev/ttyACM0,/dev/ttyACM1")]
    OnePort(&'static str),
    /// One port as both.
    #[error(
        "{port} twice, and {kind} has two ports: write {kind}:CONTROL,DATA, such as {kind}:/dev/ttyACM0,/dev/ttyACM1"
    )]
    SamePort {
        /// The board.
        kind: &'static str,
        /// What stands there twice.
        port: String,
    },
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
    #[error(
        "no option {0:?}, there are chips=N, frequency=MHZ, millivolts=MV, baud=B, zero-bits=Z, power-limit=W, \
         max-temperature=C and tune=GOAL"
    )]
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
            if data == port {
                return Err(SpecError::SamePort { kind: kind.name, port: port.to_owned() });
            }
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
            limits: OwnLimits::default(),
            goal: None,
        }
    }

    fn set(&mut self, option: &str, value: &str) -> Result<(), SpecError> {
        fn number<T: FromStr>(option: &str, value: &str, expected: &'static str) -> Result<T, SpecError> {
            let wrong = |_| SpecError::Value { option: option.to_owned(), value: value.to_owned(), expected };
            value.parse().map_err(wrong)
        }
        // What is infinite or no number at all is a value of this type, and none of a board.
        fn finite(option: &str, value: &str, expected: &'static str) -> Result<f64, SpecError> {
            let wrong = || SpecError::Value { option: option.to_owned(), value: value.to_owned(), expected };
            number(option, value, expected)
                .and_then(|number: f64| Some(number).filter(|n| n.is_finite()).ok_or_else(wrong))
        }
        match option {
            "chips" => self.chips = Some(number(option, value, "a whole number from 1 to 256")?),
            "frequency" => self.mhz = Some(finite(option, value, "a number of megahertz")?),
            "millivolts" => self.millivolts = Some(number(option, value, "a whole number of millivolts")?),
            "baud" => self.baud = Some(number(option, value, "a whole number")?),
            "zero-bits" => self.zero_bits = number(option, value, "a whole number from 0 to 32")?,
            "power-limit" => self.limits.watts = Some(finite(option, value, "a number of watts")?),
            "max-temperature" => {
                self.limits.celsius = Some(finite(option, value, "a number of degrees Celsius")?);
            }
            "tune" => self.goal = goal(value)?,
            _ => return Err(SpecError::Option(option.to_owned())),
        }
        Ok(())
    }

    /// Whether the board can be as it is named. Errors: why not.
    pub fn check(&self) -> Result<(), SpecError> {
        let has = |option, is_set| self.has(option, is_set);
        match self.kind.driver {
            Driver::Chips(chips) => {
                has("millivolts", self.millivolts.is_some())?;
                self.has_no_sensors()?;
                within_most(self.mhz.unwrap_or(chips.mhz))?;
                Chain::new(&self.chain(chips), Instant::now())?;
            }
            Driver::Bitaxe(name) => {
                has("chips", self.chips.is_some())?;
                bitaxe::board::Board::new(self.bitaxe(name, Results::default())?, Instant::now())?;
            }
            Driver::Icarus(name) => {
                has("chips", self.chips.is_some())?;
                has("millivolts", self.millivolts.is_some())?;
                has("baud", self.baud.is_some())?;
                self.has_no_sensors()?;
                Icarus::new(&self.icarus(name), Instant::now())?;
            }
            Driver::Gekko(name) => {
                has("chips", self.chips.is_some())?;
                has("millivolts", self.millivolts.is_some())?;
                has("baud", self.baud.is_some())?;
                self.has_no_sensors()?;
                Gekko::new(&self.gekko(name), Instant::now())?;
            }
            // The rest is checked when the model is known.
            Driver::AnyGekko => {
                has("chips", self.chips.is_some())?;
                has("millivolts", self.millivolts.is_some())?;
                self.has_no_sensors()?;
            }
            Driver::AnyBitaxe => has("chips", self.chips.is_some())?,
        }
        Ok(())
    }

    /// Errors: an option is set that this kind of board has not.
    fn has(&self, option: &'static str, is_set: bool) -> Result<(), SpecError> {
        if is_set { Err(SpecError::NotOf { kind: self.kind.name, option }) } else { Ok(()) }
    }

    fn has_no_sensors(&self) -> Result<(), SpecError> {
        self.has("power-limit", self.limits.watts.is_some())?;
        self.has("max-temperature", self.limits.celsius.is_some())?;
        self.has("tune", self.goal.is_some())
    }

    /// What a board that runs as `before` has to be told to be as this one. `None` if it has to be opened anew for that.
    pub fn orders_since(&self, before: &Self) -> Option<Vec<Order>> {
        let Self { kind, port, control, chips, mhz, millivolts, baud, zero_bits, limits, goal } = self;
        let is_same_board = (kind, port, control, chips, baud, zero_bits)
            == (&before.kind, &before.port, &before.control, &before.chips, &before.baud, &before.zero_bits);
        if !is_same_board {
            return None;
        }
        let mut orders = Vec::new();
        if limits.watts != before.limits.watts {
            orders.push(Order::LimitPower(limits.watts));
        }
        if limits.celsius != before.limits.celsius {
            orders.push(Order::LimitTemperature(limits.celsius));
        }
        let is_same_point = (mhz, millivolts) == (&before.mhz, &before.millivolts);
        match goal {
            Some(_) if *goal == before.goal => {}
            Some(_) => orders.push(Order::Tune(*goal)),
            None if before.goal.is_none() && is_same_point => {}
            None => orders.push(self.point()?),
        }
        Some(orders)
    }

    /// The frequency and voltage that it is named with, or its kind has. `None` of a device that cannot be told while it runs.
    fn point(&self) -> Option<Order> {
        match self.kind.driver {
            Driver::Chips(chips) => {
                Some(Order::Set { megahertz: Some(self.mhz.unwrap_or(chips.mhz)), millivolts: None })
            }
            Driver::Bitaxe(name) => {
                let point = self.bitaxe(name, Results::default()).ok()?.point;
                let megahertz = Some(point.megahertz.into());
                Some(Order::Set { megahertz, millivolts: Some(point.millivolts) })
            }
            // What it has where nothing is said depends on its model, which nobody knows here.
            Driver::AnyBitaxe => {
                Some(Order::Set { megahertz: Some(self.mhz?), millivolts: Some(self.millivolts?) })
            }
            Driver::Icarus(_) | Driver::Gekko(_) | Driver::AnyGekko => None,
        }
    }

    /// Under which what is learnt of it is kept: its kind, and the serial number of its USB device among these ports, or else
    /// the name of its port.
    pub fn key(&self, ports: &[SerialPort]) -> String {
        let path = self.port.canonicalize().unwrap_or_else(|_| self.port.clone());
        let usb = ports.iter().find(|port| port.path == path).and_then(|port| port.usb.as_ref());
        match usb.map(|usb| usb.serial.as_str()).filter(|serial| !serial.is_empty()) {
            Some(serial) => format!("{} {serial}", self.kind.name),
            None => self.name(),
        }
    }

    /// Short name for displays: the kind, and the last part of the port's.
    pub fn name(&self) -> String {
        let port = self.port.file_name().unwrap_or(self.port.as_os_str());
        format!("{}:{}", self.kind.name, port.display())
    }

    pub(super) fn chain(&self, chips: Chips) -> ChainConfig {
        ChainConfig {
            bring_up: chips.list,
            chips: self.chips.unwrap_or(chips.count),
            frequency: Frequency::from_mhz(self.mhz.unwrap_or(chips.mhz)),
            baud: self.baud.unwrap_or(chips.baud),
            zero_bits: self.zero_bits,
        }
    }

    pub(super) fn bitaxe(
        &self,
        name: &str,
        known: Results,
    ) -> Result<bitaxe::board::BoardSettings, BeyondLimit> {
        let kind = bitaxe::boards::board(name).expect("a test holds the rows against the table of boards");
        let megahertz = self.mhz.map_or(Ok(kind.megahertz.default), |mhz| kind.whole_megahertz(mhz))?;
        let millivolts = self.millivolts.unwrap_or(kind.millivolts.default);
        kind.voltage(millivolts)?;
        Ok(bitaxe::board::BoardSettings {
            kind,
            point: Point { megahertz, millivolts },
            line: LineSettings { baud: self.baud.unwrap_or(RESET_BAUD), zero_bits: self.zero_bits },
            limits: self.limits,
            goal: self.goal,
            known,
        })
    }

    pub(super) fn icarus(&self, name: &str) -> IcarusConfig {
        let model = icarus::Model::named(name).expect("a test holds the rows against the table of models");
        IcarusConfig { model, frequency: self.mhz, zero_bits: self.zero_bits }
    }

    pub(super) fn gekko(&self, name: &str) -> GekkoConfig {
        let model = gekko::Model::named(name).expect("a test holds the rows against the table of models");
        GekkoConfig { model, frequency: self.mhz, zero_bits: self.zero_bits }
    }
}

/// Errors: no goal has this name.
fn goal(name: &str) -> Result<Option<Goal>, SpecError> {
    let goal = Goal::ALL.into_iter().find(|goal| goal.name() == name);
    if goal.is_some() || name == "off" {
        return Ok(goal);
    }
    let (option, value) = ("tune".to_owned(), name.to_owned());
    Err(SpecError::Value { option, value, expected: "off, efficiency or hash-rate" })
}

/// Errors: a frequency beyond what chips without anything that watches their heat are let have.
fn within_most(megahertz: f64) -> Result<(), SpecError> {
    if megahertz <= MOST_MEGAHERTZ {
        return Ok(());
    }
    let (option, value) = ("frequency".to_owned(), short(megahertz));
    Err(SpecError::Value {
        option,
        value,
        expected: "at most 650 (MHz), for nothing here watches the heat of these chips",
    })
}

#[cfg(test)]
mod tests;
