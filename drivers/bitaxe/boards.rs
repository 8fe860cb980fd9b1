//! The table of boards: `config/boards.toml`, compiled in, read once and checked.

use std::sync::LazyLock;

use serde::Deserialize;

use super::packet::Command;
use super::regulator::{Ds4432u, Tps546};
use super::sensor::{self, Reading};
use crate::bm13xx::bring_up::{BringUp, LISTS};
use crate::bm13xx::chip::address_interval;
use crate::bm13xx::pll::Frequency;
use crate::order::short;

const TABLE: &str = include_str!("../../config/boards.toml");

/// A kind of board.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoardKind {
    /// As the configuration names it.
    pub name: String,
    /// As people call it.
    pub title: String,
    /// Its chips.
    pub chips: Chips,
    /// Their frequency.
    pub megahertz: Range,
    /// Voltage of a core.
    pub millivolts: Range,
    /// What it bears.
    pub heat: HeatLimits,
    /// What is around the chips; empty for a bare chain.
    #[serde(default)]
    pub parts: Parts,
}

/// The chips of a board.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chips {
    /// Name of the list that brings them up.
    pub list: String,
    /// How many there are.
    pub count: usize,
    /// Voltage domains in series.
    pub domains: u32,
}

/// Whole numbers that are allowed, and one of them for who asks for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// For who asks for none.
    pub default: u32,
    /// The lowest.
    pub least: u32,
    /// The highest.
    pub most: u32,
}

impl Range {
    fn contains(self, value: f64) -> bool {
        (f64::from(self.least)..=f64::from(self.most)).contains(&value)
    }

    fn is_sound(self) -> bool {
        self.least > 0 && self.least <= self.default && self.default <= self.most
    }
}

/// Temperatures of the chips, °C, and power of the board.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeatLimits {
    /// What the fan keeps.
    pub target: f64,
    /// Above it the frequency is lowered.
    pub throttle: f64,
    /// There the power is cut.
    pub limit: f64,
    /// Power above which the frequency is lowered, watts.
    pub watts: f64,
}

/// What is around the chips.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parts {
    /// What makes the core voltage.
    pub regulator: Option<Regulator>,
    /// What drives the fan.
    pub fan: Option<FanPart>,
    /// What measures the temperature of the chips.
    pub chip_sensor: Option<Sensor>,
    /// What measures that of the board beside them.
    pub board_sensor: Option<Sensor>,
    /// What measures power.
    pub power_meter: Option<PowerMeter>,
}

/// What makes the core voltage.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(tag = "part", rename_all = "kebab-case")]
pub enum Regulator {
    /// Set and switched over PMBus.
    Tps546(Tps546),
    /// Bends the feedback of a converter that is always on.
    Ds4432u(Ds4432u),
    /// A fixed voltage behind pins.
    Switched(Switched),
}

impl Regulator {
    /// How it is read whether it still does what it was told, see [`super::regulator`]; `None` where nothing tells that.
    pub fn state_reading(self) -> Option<Reading> {
        match self {
            Self::Tps546(part) => Some(sensor::tps546_status(part.address)),
            Self::Ds4432u(part) => Some(sensor::ds4432u_code(part.address)),
            Self::Switched(_) => None,
        }
    }

    /// How its output is read, volts; `None` where nothing tells it in a unit that is known.
    pub fn output_reading(self) -> Option<Reading> {
        match self {
            Self::Tps546(part) => Some(sensor::tps546_output(part.address)),
            Self::Ds4432u(_) | Self::Switched(_) => None,
        }
    }
}

/// Pins that switch a fixed voltage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Switched {
    /// Core power.
    pub core_pin: u8,
    /// Supply of the chips' inputs and outputs.
    pub io_pin: u8,
}

/// What drives a fan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(tag = "part", rename_all = "kebab-case")]
pub enum FanPart {
    /// An EMC2101, with its tachometer.
    Emc2101 {
        /// On the I2C bus.
        address: u8,
    },
}

/// What measures a temperature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(tag = "part", rename_all = "kebab-case")]
pub enum Sensor {
    /// The diode at an EMC2101.
    Emc2101External {
        /// On the I2C bus.
        address: u8,
    },
    /// The diode at a TMP451.
    Tmp451Remote {
        /// On the I2C bus.
        address: u8,
        /// Added to what it measures, kelvin.
        offset: i8,
    },
    /// A TMP1075.
    Tmp1075 {
        /// On the I2C bus.
        address: u8,
    },
}

impl Sensor {
    /// How it is read, °C.
    pub fn reading(self) -> Reading {
        match self {
            Self::Emc2101External { address } => sensor::emc2101_external(address),
            Self::Tmp451Remote { address, .. } => sensor::tmp451_remote(address),
            Self::Tmp1075 { address } => sensor::tmp1075(address),
        }
    }

    /// What it has to be told before.
    pub fn set_up(self) -> Option<Command> {
        match self {
            Self::Tmp451Remote { address, offset } => Some(sensor::tmp451_offset(address, offset)),
            Self::Emc2101External { .. } | Self::Tmp1075 { .. } => None,
        }
    }
}

/// What measures power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(tag = "part", rename_all = "kebab-case")]
pub enum PowerMeter {
    /// All that the board takes.
    Ina260 {
        /// On the I2C bus.
        address: u8,
    },
    /// What the regulator gives to the chips.
    Tps546 {
        /// On the I2C bus.
        address: u8,
    },
}

impl PowerMeter {
    /// How it is read, watts.
    pub fn reading(self) -> Reading {
        match self {
            Self::Ina260 { address } => sensor::ina260_power(address),
            Self::Tps546 { address } => sensor::tps546_power(address),
        }
    }

    /// How the voltage that it is fed with is read, volts.
    pub fn input_reading(self) -> Reading {
        match self {
            Self::Ina260 { address } => sensor::ina260_voltage(address),
            Self::Tps546 { address } => sensor::tps546_input(address),
        }
    }
}

/// A core voltage that its board bears. Only [`BoardKind::voltage`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CoreVoltage {
    millivolts: u32,
    domains: u32,
}

impl CoreVoltage {
    /// Of one core.
    pub fn millivolts(self) -> u32 {
        self.millivolts
    }

    /// Of the regulator's output: all domains in series.
    pub fn rail_volts(self) -> f64 {
        f64::from(self.millivolts * self.domains) / 1000.0
    }
}

/// Something that a board does not bear.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{what} = {}: {board} bears {} to {}; choose one of these", short(*asked), range.least, range.most)]
pub struct BeyondLimit {
    what: &'static str,
    asked: f64,
    board: String,
    range: Range,
}

/// A table that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// Not what a table looks like.
    #[error("boards.toml: {0}")]
    Form(String),
    /// A row contradicts itself or the parts that it names.
    #[error("boards.toml: board {board:?}: {reason}")]
    Row {
        /// Its name.
        board: String,
        /// What is wrong.
        reason: String,
    },
}

impl BoardKind {
    /// How the chips are brought up.
    pub fn list(&self) -> &'static BringUp {
        let list = LISTS.into_iter().find(|list| list.name == self.chips.list);
        list.expect("the table was checked when it was read")
    }

    /// A core voltage for this board. Errors: it does not bear that.
    pub fn voltage(&self, millivolts: u32) -> Result<CoreVoltage, BeyondLimit> {
        self.within("millivolts", self.millivolts, millivolts.into())?;
        Ok(CoreVoltage { millivolts, domains: self.chips.domains })
    }

    /// A frequency for this board. Errors: it does not bear that.
    pub fn frequency(&self, megahertz: u32) -> Result<Frequency, BeyondLimit> {
        self.within("frequency", self.megahertz, megahertz.into())?;
        Ok(Frequency::from_mhz(megahertz.into()))
    }

    /// The whole number of megahertz next to this one. Errors: the board does not bear that, or it is no number.
    pub fn whole_megahertz(&self, asked: f64) -> Result<u32, BeyondLimit> {
        self.within("frequency", self.megahertz, asked)?;
        Ok(asked.round() as u32)
    }

    fn within(&self, what: &'static str, range: Range, asked: f64) -> Result<(), BeyondLimit> {
        if range.contains(asked) {
            return Ok(());
        }
        Err(BeyondLimit { what, asked, board: self.title.clone(), range })
    }

    /// The lowest voltage that it bears.
    pub fn lowest_voltage(&self) -> CoreVoltage {
        CoreVoltage { millivolts: self.millivolts.least, domains: self.chips.domains }
    }

    /// The highest voltage that it bears.
    pub fn highest_voltage(&self) -> CoreVoltage {
        CoreVoltage { millivolts: self.millivolts.most, domains: self.chips.domains }
    }

    fn check(&self) -> Result<(), String> {
        let Some(list) = LISTS.into_iter().find(|list| list.name == self.chips.list) else {
            return Err(format!("there is no list {:?}", self.chips.list));
        };
        address_interval(list.chip, self.chips.count).map_err(|error| error.to_string())?;
        for (what, range) in [("megahertz", self.megahertz), ("millivolts", self.millivolts)] {
            if !range.is_sound() {
                return Err(format!("{what}: 0 < least <= default <= most does not hold"));
            }
        }
        for megahertz in [self.megahertz.least, self.megahertz.default, self.megahertz.most] {
            let frequency = Frequency::from_mhz(megahertz.into());
            list.chip.pll.dividers(frequency).map_err(|error| error.to_string())?;
        }
        let HeatLimits { target, throttle, limit, watts } = self.heat;
        if !(0.0 < target && target < throttle && throttle < limit && limit <= 125.0 && watts > 0.0) {
            return Err("heat: 0 < target < throttle < limit <= 125 and watts > 0 does not hold".to_owned());
        }
        if !(1..=16).contains(&self.chips.domains) {
            return Err(format!("{} voltage domains, possible are 1 to 16", self.chips.domains));
        }
        self.check_parts()
    }

    fn check_parts(&self) -> Result<(), String> {
        let Parts { regulator, chip_sensor, .. } = &self.parts;
        if regulator.is_some() && chip_sensor.is_none() {
            return Err("what has a regulator needs a chip_sensor".to_owned());
        }
        match regulator {
            Some(Regulator::Ds4432u(_)) => {
                let (low, high) = (self.lowest_voltage().rail_volts(), self.highest_voltage().rail_volts());
                if Ds4432u::REACH.contains(&low) && Ds4432u::REACH.contains(&high) {
                    return Ok(());
                }
                Err(format!("a DS4432U makes {:?} volts", Ds4432u::REACH))
            }
            Some(Regulator::Switched(_)) if self.millivolts.least != self.millivolts.most => {
                Err("a switched regulator has one voltage".to_owned())
            }
            Some(Regulator::Tps546(tps546)) => {
                let Tps546 { input_on, input_off, input_most, scale_loop, amperes_most, .. } = *tps546;
                if 0.0 < input_off
                    && input_off < input_on
                    && input_on < input_most
                    && 0.0 < scale_loop
                    && scale_loop <= 1.0
                    && amperes_most > 0.0
                    && self.highest_voltage().rail_volts() < 100.0
                {
                    return Ok(());
                }
                Err("regulator: 0 < input_off < input_on < input_most, 0 < scale_loop <= 1, amperes_most > 0 and less \
                     than 100 V do not hold"
                    .to_owned())
            }
            Some(Regulator::Switched(_)) | None => Ok(()),
        }
    }
}

/// Reads a table. Errors: see [`TableError`].
pub fn parse(text: &str) -> Result<Vec<BoardKind>, TableError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Table {
        board: Vec<BoardKind>,
    }
    let Table { board: boards } =
        toml::from_str(text).map_err(|error| TableError::Form(error.to_string()))?;
    for (at, board) in boards.iter().enumerate() {
        let row = |reason| TableError::Row { board: board.name.clone(), reason };
        board.check().map_err(row)?;
        if boards[..at].iter().any(|other| other.name == board.name) {
            return Err(row("there are two of this name".to_owned()));
        }
    }
    Ok(boards)
}

/// All boards.
pub fn boards() -> &'static [BoardKind] {
    static BOARDS: LazyLock<Vec<BoardKind>> =
        LazyLock::new(|| parse(TABLE).expect("the table is compiled in, and a test reads it"));
    &BOARDS
}

/// The board of this name.
pub fn board(name: &str) -> Option<&'static BoardKind> {
    boards().iter().find(|board| board.name == name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_range_without_a_source_goes_far_beyond_the_default() {
        // The highest of an emberOne is what Bitmain runs its chips at; a bare chain has no regulator.
        for board in boards().iter().filter(|board| !["emberone", "chain"].contains(&board.name.as_str())) {
            let BoardKind { name, megahertz, millivolts, .. } = board;
            assert!(5 * megahertz.most <= 6 * megahertz.default, "{name}");
            assert!(millivolts.most <= millivolts.default + 100, "{name}");
        }
        let ranges = TABLE.lines().filter(|line| line.starts_with('m') && line.contains("most ="));
        assert!(ranges.clone().all(|line| line.contains("# ")) && ranges.count() == 2 * boards().len());
    }

    #[test]
    fn the_table_has_every_board_and_all_of_its_rows_hold() {
        let names: Vec<_> = parse(TABLE).unwrap().into_iter().map(|board| board.name).collect();
        let expected =
            ["max", "ultra", "supra", "gamma", "hex", "emberone", "nerdqaxe+", "nerdqaxe++", "chain"];
        assert_eq!(names, expected);
    }

    #[test]
    fn expected_hash_rates_are_those_that_the_boards_are_sold_with() {
        for (name, terahashes) in [
            ("max", 0.2856),
            ("ultra", 0.4336),
            ("supra", 0.6252),
            ("gamma", 1.071),
            ("nerdqaxe+", 2.50),
            ("nerdqaxe++", 4.90),
        ] {
            let board = board(name).unwrap();
            let frequency = board.frequency(board.megahertz.default).unwrap();
            let rate = board.list().chip.hash_rate(board.chips.count, frequency) / 1e12;
            assert!((rate - terahashes).abs() < 0.005, "{name}: {rate} TH/s");
        }
    }

    #[test]
    fn a_row_that_contradicts_itself_is_refused_with_its_name_and_the_reason() {
        for (wrong, right, reason) in [
            ("most = 1250 }", "most = 1250, typical = 1 }", "unknown field"),
            ("\"bm1370\"", "\"bm1371\"", "there is no list \"bm1371\""),
            ("default = 1150, least = 1000", "default = 950, least = 1000", "millivolts: 0 < least"),
            ("most = 625", "most = 9000", "out of reach"),
            (
                "throttle = 75, limit = 80, watts = 30",
                "throttle = 85, limit = 80, watts = 30",
                "heat: 0 < target",
            ),
            ("count = 4, domains = 1", "count = 257, domains = 1", "a chain of BM1368 has 1 to 256"),
            ("\"nerdqaxe+\"", "\"gamma\"", "two of this name"),
            ("least = 1100, most = 1500", "least = 900, most = 1500", "a DS4432U makes"),
            ("least = 1200, most = 1200", "least = 1200, most = 1300", "one voltage"),
            ("input_off = 4.5", "input_off = 5.5", "input_off < input_on"),
        ] {
            let text = TABLE.replacen(wrong, right, 9);
            assert_ne!(text, TABLE, "{wrong} is not in the table");
            let said = parse(&text).unwrap_err().to_string();
            assert!(said.contains(reason), "{reason}: {said}");
        }
    }

    #[test]
    fn what_a_board_does_not_bear_is_refused_with_what_it_bears() {
        let said = board("gamma").unwrap().voltage(1300).unwrap_err().to_string();
        assert_eq!(said, "millivolts = 1300: Bitaxe Gamma bears 1000 to 1250; choose one of these");
        let said = board("gamma").unwrap().frequency(626).unwrap_err().to_string();
        assert_eq!(said, "frequency = 626: Bitaxe Gamma bears 400 to 625; choose one of these");
    }

    proptest! {
        #[test]
        fn no_voltage_beyond_the_limit_of_a_board_is_ever_made(millivolts: u32) {
            for board in boards() {
                match board.voltage(millivolts) {
                    Ok(voltage) => {
                        let most = f64::from(board.millivolts.most * board.chips.domains) / 1000.0;
                        prop_assert!(voltage.rail_volts() <= most && voltage <= board.highest_voltage());
                    }
                    Err(_) => prop_assert!(!board.millivolts.contains(millivolts.into())),
                }
            }
        }
    }
}
