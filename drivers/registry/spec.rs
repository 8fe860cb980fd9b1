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
use crate::order::{Goal, Order, Results};
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
        match option {
            "chips" => self.chips = Some(number(option, value, "a whole number from 1 to 256")?),
            "frequency" => self.mhz = Some(number(option, value, "a number of megahertz")?),
            "millivolts" => self.millivolts = Some(number(option, value, "a whole number of millivolts")?),
            "baud" => self.baud = Some(number(option, value, "a whole number")?),
            "zero-bits" => self.zero_bits = number(option, value, "a whole number from 0 to 32")?,
            "power-limit" => self.limits.watts = Some(number(option, value, "a number of watts")?),
            "max-temperature" => {
                self.limits.celsius = Some(number(option, value, "a number of degrees Celsius")?);
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
        let megahertz = self.mhz.map_or(kind.megahertz.default, |mhz| mhz.round() as u32);
        let millivolts = self.millivolts.unwrap_or(kind.millivolts.default);
        kind.frequency(megahertz)?;
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
    let (option, value) = ("frequency".to_owned(), megahertz.to_string());
    Err(SpecError::Value {
        option,
        value,
        expected: "at most 650 (MHz), for nothing here watches the heat of these chips",
    })
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
        let options = "there are chips=N, frequency=MHZ, millivolts=MV, baud=B, zero-bits=Z, power-limit=W, \
                       max-temperature=C and tune=GOAL";
        for (text, said) in [
            ("/dev/ttyACM0", "no port, write KIND:PORT, such as bm1370:/dev/ttyACM1"),
            ("bm1370:", "no port, write KIND:PORT, such as bm1370:/dev/ttyACM1"),
            ("bm1371:/dev/x", &format!("no kind \"bm1371\", {kinds}")),
            ("bm1370:x,y", &format!("no option \"y\", {options}")),
            ("bm1370:x,volt=1", &format!("no option \"volt\", {options}")),
            ("gamma:a,b,tune=fast", "tune=fast, expected off, efficiency or hash-rate"),
            ("bm1370:x,tune=efficiency", "bm1370 has no option tune"),
            ("icarus:x,power-limit=5", "icarus has no option power-limit"),
            ("gamma:a,b,power-limit=31", "watts = 31: choose 1 to 30, the limit of Bitaxe Gamma"),
            ("gamma:a,b,max-temperature=76", "celsius = 76: choose 40 to 75, the limit of Bitaxe Gamma"),
            (
                "emberone:a,b,tune=efficiency",
                "emberOne/00 measures no power, so nothing can be tuned for efficiency; tune for hash-rate",
            ),
            ("bm1370:x,chips=1,chips=1", "chips twice, delete one of the two"),
            ("bm1370:x,chips=-1", "chips=-1, expected a whole number from 1 to 256"),
            (
                "bm1366:x,chips=129",
                "129 chips, a chain of BM1366 has 1 to 128, so many as its nonces tell apart",
            ),
            (
                "bm1370:x,chips=257",
                "257 chips, a chain of BM1370 has 1 to 256, so many as its nonces tell apart",
            ),
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

    #[test]
    fn what_may_change_while_a_board_runs_becomes_orders_and_the_rest_does_not() {
        let orders = |from: &str, to: &str| {
            let (from, to) = (parse(&format!("gamma:a,b{from}")), parse(&format!("gamma:a,b{to}")));
            to.unwrap().orders_since(&from.unwrap())
        };
        let set = |megahertz: f64, millivolts| Order::Set {
            megahertz: Some(megahertz),
            millivolts: Some(millivolts),
        };
        assert_eq!(orders("", ""), Some(vec![]));
        assert_eq!(orders("", ",frequency=500"), Some(vec![set(500.0, 1150)]));
        assert_eq!(
            orders(",frequency=500,millivolts=1100", ",millivolts=1100"),
            Some(vec![set(525.0, 1100)])
        );
        assert_eq!(
            orders(",max-temperature=60", ",power-limit=15,tune=efficiency"),
            Some(vec![
                Order::LimitPower(Some(15.0)),
                Order::LimitTemperature(None),
                Order::Tune(Some(Goal::Efficiency))
            ])
        );
        assert_eq!(orders(",tune=efficiency", ",tune=off,frequency=500"), Some(vec![set(500.0, 1150)]));
        assert_eq!(orders(",tune=efficiency", ",tune=efficiency,frequency=500"), Some(vec![]));
        assert_eq!(orders("", ",baud=1000000"), None);
    }

    #[test]
    fn what_is_learnt_of_a_board_is_kept_by_its_serial_number_wherever_it_is_plugged_in() {
        let usb = |serial: &str| crate::usb::UsbIdentity {
            vendor: 0xc0de,
            product: 0xcafe,
            manufacturer: "OSMU".to_owned(),
            name: "Bitaxe".to_owned(),
            serial: serial.to_owned(),
            interface: 2,
            device: "/sys/devices/none".into(),
        };
        let port = |path: &str, serial| SerialPort { path: path.into(), usb: Some(usb(serial)) };
        let ports = [port("/dev/none/ttyACM1", "1a2b3c4d"), port("/dev/none/ttyACM3", "")];
        let key =
            |data: &str| parse(&format!("gamma:/dev/none/ttyACM0,/dev/none/{data}")).unwrap().key(&ports);
        assert_eq!(key("ttyACM1"), "gamma 1a2b3c4d");
        assert_eq!(key("ttyACM3"), "gamma:ttyACM3", "without a serial number the port has to do");
        assert_eq!(key("ttyACM5"), "gamma:ttyACM5");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reading_of_a_board_panic(text in "(bm1370:)?[a-z0-9,=:.-]{0,40}", more: String) {
            let _ = text.parse::<BoardSpec>();
            let _ = format!("bm1366:x,{more}").parse::<BoardSpec>();
        }
    }
}
