//! What makes the core voltage, and what it is told.
//!
//! Every function that sets a voltage takes a [`CoreVoltage`], which only the table of boards makes: there is no way to ask
//! for more than a board's limit. Where a part has steps, the lower one is taken.

use serde::Deserialize;

use super::boards::CoreVoltage;
use super::packet::Command;
use super::sensor::to_slinear11;

/// Commands of PMBus, in the order of their numbers. Source: PMBus specification part II, and TI's data sheet of the
/// TPS546D24A.
mod pmbus {
    pub(super) const OPERATION: u8 = 0x01;
    pub(super) const ON_OFF_CONFIG: u8 = 0x02;
    pub(super) const CLEAR_FAULTS: u8 = 0x03;
    pub(super) const VOUT_MODE: u8 = 0x20;
    pub(super) const VOUT_COMMAND: u8 = 0x21;
    pub(super) const VOUT_MAX: u8 = 0x24;
    pub(super) const VOUT_SCALE_LOOP: u8 = 0x29;
    pub(super) const VOUT_MIN: u8 = 0x2b;
    pub(super) const FREQUENCY_SWITCH: u8 = 0x33;
    pub(super) const VIN_ON: u8 = 0x35;
    pub(super) const VIN_OFF: u8 = 0x36;
    pub(super) const IOUT_OC_FAULT_LIMIT: u8 = 0x46;
    pub(super) const IOUT_OC_WARN_LIMIT: u8 = 0x4a;
    pub(super) const OT_FAULT_LIMIT: u8 = 0x4f;
    pub(super) const OT_WARN_LIMIT: u8 = 0x51;
    pub(super) const VIN_OV_FAULT_LIMIT: u8 = 0x55;
    pub(super) const STATUS_WORD: u8 = 0x79;
    pub(super) const DEVICE_ID: u8 = 0xad;
}

/// Device ids of the TPS546 family, behind their count. Source: ESP-Miner `TPS546.c`, mujina `peripheral/tps546.rs`.
const TPS546_IDS: [[u8; 7]; 3] = [
    [6, 0x54, 0x49, 0x54, 0x6b, 0x24, 0x41],
    [6, 0x54, 0x49, 0x54, 0x6d, 0x24, 0x41],
    [6, 0x54, 0x49, 0x54, 0x6d, 0x24, 0x62],
];
/// VOUT_MODE of linear voltages in steps of 2^-9 V.
const TPS546_MODE: u8 = 0x17;
const TPS546_STEPS_PER_VOLT: f64 = 512.0;
/// Obey OPERATION and the control pin both; the pin is active high, and off is off at once. Source: PMBus specification
/// part II, ON_OFF_CONFIG. Not tried on hardware.
const TPS546_OBEYS_OPERATION: u8 = 0x1f;
const TPS546_SWITCHING_KHZ: f64 = 650.0;
/// °C at which a TPS546 warns and at which it turns itself off. Source: ESP-Miner and mujina for a Gamma.
const TPS546_WARN_CELSIUS: f64 = 105.0;
const TPS546_FAULT_CELSIUS: f64 = 145.0;

/// How a TPS546 is built in: it has to know what surrounds it before it is switched on.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tps546 {
    /// On the I2C bus.
    pub address: u8,
    /// It starts above this input, volts.
    pub input_on: f64,
    /// It stops below this input, volts.
    pub input_off: f64,
    /// It turns itself off above this input, volts.
    pub input_most: f64,
    /// Part of the output that its divider brings back to it.
    pub scale_loop: f64,
    /// It turns itself off above this output, amperes.
    pub amperes_most: f64,
}

/// A regulator that is not the one that the board should have, or not in the state that its commands are made for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WrongRegulator {
    /// Another part answers at the address.
    #[error("the regulator says id {0:02x?}, which is no TPS546; choose the board's own model")]
    Id(Vec<u8>),
    /// Voltages would be misunderstood.
    #[error("the regulator counts voltages in mode {0:02x?}, this program in 17; it is left off")]
    Mode(Vec<u8>),
    /// It would let its output go beyond what the board bears.
    #[error(
        "the regulator keeps its output below {got:02x?} (VOUT_MAX), not {most:#06x} as it was told; it is left off"
    )]
    Limit {
        /// What it answers.
        got: Vec<u8>,
        /// Steps that it was told.
        most: u16,
    },
}

impl Tps546 {
    fn write(&self, command: u8, value: &[u8]) -> Command {
        Command::write_register(self.address, command, value)
    }

    fn linear(&self, command: u8, value: f64) -> Command {
        self.write(command, &to_slinear11(value).to_le_bytes())
    }

    fn volts(&self, command: u8, volts: f64) -> Command {
        self.write(command, &steps_of_volts(volts).to_le_bytes())
    }

    /// Asks for its id.
    pub fn id(&self) -> Command {
        Command::read_register(self.address, pmbus::DEVICE_ID, TPS546_IDS[0].len() as u8)
    }

    /// Errors: it is no TPS546.
    pub fn check_id(id: &[u8]) -> Result<(), WrongRegulator> {
        let is_known = TPS546_IDS.iter().any(|known| known == id);
        if is_known { Ok(()) } else { Err(WrongRegulator::Id(id.to_vec())) }
    }

    /// Asks how it counts voltages.
    pub fn mode(&self) -> Command {
        Command::read_register(self.address, pmbus::VOUT_MODE, 1)
    }

    /// Errors: it counts otherwise than [`Self::set`] does.
    pub fn check_mode(mode: &[u8]) -> Result<(), WrongRegulator> {
        if mode == [TPS546_MODE] { Ok(()) } else { Err(WrongRegulator::Mode(mode.to_vec())) }
    }

    /// All that it has to know while it is off. `highest` is the limit of the board, which from then on it keeps by itself.
    pub fn set_up(&self, lowest: CoreVoltage, highest: CoreVoltage) -> Vec<Command> {
        vec![
            self.off(),
            self.write(pmbus::ON_OFF_CONFIG, &[TPS546_OBEYS_OPERATION]),
            self.linear(pmbus::FREQUENCY_SWITCH, TPS546_SWITCHING_KHZ),
            self.linear(pmbus::VIN_ON, self.input_on),
            self.linear(pmbus::VIN_OFF, self.input_off),
            self.linear(pmbus::VIN_OV_FAULT_LIMIT, self.input_most),
            self.linear(pmbus::VOUT_SCALE_LOOP, self.scale_loop),
            self.volts(pmbus::VOUT_MAX, highest.rail_volts()),
            self.volts(pmbus::VOUT_MIN, lowest.rail_volts()),
            self.linear(pmbus::IOUT_OC_WARN_LIMIT, self.amperes_most * 5.0 / 6.0),
            self.linear(pmbus::IOUT_OC_FAULT_LIMIT, self.amperes_most),
            self.linear(pmbus::OT_WARN_LIMIT, TPS546_WARN_CELSIUS),
            self.linear(pmbus::OT_FAULT_LIMIT, TPS546_FAULT_CELSIUS),
            self.write(pmbus::CLEAR_FAULTS, &[]),
        ]
    }

    /// Asks for the limit of its output that it keeps by itself.
    pub fn limit(&self) -> Command {
        Command::read_register(self.address, pmbus::VOUT_MAX, 2)
    }

    /// Errors: it is another one than [`Self::set_up`] has told it, and not a lower one. Shape: `most` in steps of
    /// [`steps_of_volts`].
    pub fn check_limit(limit: &[u8], most: u16) -> Result<(), WrongRegulator> {
        let kept = limit.try_into().map(u16::from_le_bytes).ok();
        match kept {
            Some(1..) if kept <= Some(most) => Ok(()),
            _ => Err(WrongRegulator::Limit { got: limit.to_vec(), most }),
        }
    }

    /// Sets its output.
    pub fn set(&self, voltage: CoreVoltage) -> Command {
        self.volts(pmbus::VOUT_COMMAND, voltage.rail_volts())
    }

    /// Switches it on.
    pub fn on(&self) -> Command {
        self.write(pmbus::OPERATION, &[0x80])
    }

    /// Switches it off.
    pub fn off(&self) -> Command {
        self.write(pmbus::OPERATION, &[0x00])
    }

    /// Asks how it is.
    pub fn status(&self) -> Command {
        Command::read_register(self.address, pmbus::STATUS_WORD, 2)
    }
}

/// What a STATUS_WORD complains of; empty when all is well. Shape: two bytes, little-endian. Any other number of bytes says
/// nothing of the regulator, and is a complaint as well.
pub fn tps546_faults(status: &[u8]) -> Vec<&'static str> {
    match status.try_into() {
        Ok(word) => tps546_flags(u16::from_le_bytes(word)),
        Err(_) => vec!["a status of the wrong size"],
    }
}

/// The words for the bits of a STATUS_WORD, causes first. Source: PMBus specification part II, STATUS_WORD.
pub fn tps546_flags(word: u16) -> Vec<&'static str> {
    const BITS: [(u16, &str); 9] = [
        (5, "over-voltage"),
        (4, "over-current"),
        (3, "input under-voltage"),
        (2, "temperature"),
        (15, "output voltage"),
        (14, "output current or power"),
        (13, "input"),
        (11, "power is not good"),
        (6, "output off"),
    ];
    BITS.iter().filter(|(bit, _)| word >> bit & 1 == 1).map(|(_, name)| *name).collect()
}

/// Whether a STATUS_WORD says that the chips have lost their power: the output is off, or one of the faults that turn it
/// off is latched, after which it may have come back by itself. The other bits may be warnings.
pub fn tps546_has_tripped(word: u16) -> bool {
    const OFF: u16 = 1 << 6;
    const LATCHED: u16 = 1 << 5 | 1 << 4 | 1 << 3;
    word & (OFF | LATCHED) != 0
}

/// Steps of 2^-9 V that are not above a voltage.
pub fn steps_of_volts(volts: f64) -> u16 {
    (volts * TPS546_STEPS_PER_VOLT).floor() as u16
}

/// The voltage of so many steps.
pub fn volts_of_steps(steps: u16) -> f64 {
    f64::from(steps) / TPS546_STEPS_PER_VOLT
}

/// A DS4432U, whose current bends the feedback of a converter that is always on. Source of all its figures: ESP-Miner
/// `DS4432U.c`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ds4432u {
    /// On the I2C bus.
    pub address: u8,
}

impl Ds4432u {
    /// Its output 0.
    const OUTPUT: u8 = 0xf8;
    /// What the converter holds its feedback at, volts.
    const FEEDBACK: f64 = 0.6;
    /// The divider's two resistors, ohms.
    const LOWER: f64 = 3320.0;
    const UPPER: f64 = 4750.0;
    /// Amperes of code 127.
    const FULL_SCALE: f64 = 0.000_098_921;
    const CODES: f64 = 127.0;
    /// In a code: the current is sourced, which lowers the voltage.
    const LOWERS: u8 = 0x80;
    /// Rail volts of the codes furthest down and up, rounded inwards. Codes have seven bits; ESP-Miner's own limits of
    /// 0.046 and 2.39 V are beyond them.
    pub const REACH: std::ops::RangeInclusive<f64> = 0.989..=1.928;

    /// The code whose voltage is nearest to this one and not above it; outside of [`Self::REACH`] the last one.
    pub fn code(volts: f64) -> u8 {
        let current = Self::FEEDBACK / Self::LOWER - (volts - Self::FEEDBACK) / Self::UPPER;
        let code = Self::CODES * current.abs() / Self::FULL_SCALE;
        if current > 0.0 {
            code.ceil().min(Self::CODES) as u8 | Self::LOWERS
        } else {
            code.floor().min(Self::CODES) as u8
        }
    }

    /// The voltage that a code makes.
    pub fn volts(code: u8) -> f64 {
        let current = f64::from(code & !Self::LOWERS) * Self::FULL_SCALE / Self::CODES;
        let current = if code & Self::LOWERS == 0 { -current } else { current };
        Self::FEEDBACK + Self::UPPER * (Self::FEEDBACK / Self::LOWER - current)
    }

    /// Sets the converter's output.
    pub fn set(&self, voltage: CoreVoltage) -> Command {
        Command::write_register(self.address, Self::OUTPUT, &[Self::code(voltage.rail_volts())])
    }

    /// The lowest that it goes: it cannot be switched off.
    pub fn lowest(&self) -> Command {
        Command::write_register(self.address, Self::OUTPUT, &[Self::LOWERS | Self::CODES as u8])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::boards::board;
    use super::*;

    fn gamma() -> Tps546 {
        Tps546 {
            address: 0x24,
            input_on: 4.8,
            input_off: 4.5,
            input_most: 6.5,
            scale_loop: 0.25,
            amperes_most: 30.0,
        }
    }

    fn written(command: Command) -> Vec<u8> {
        match command {
            Command::I2cWrite { bytes, .. } => bytes,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_tps546_is_told_voltages_in_steps_of_two_to_the_minus_nine() {
        let voltage = board("gamma").unwrap().voltage(1150).unwrap();
        assert_eq!(written(gamma().set(voltage)), [0x21, 0x4c, 0x02], "588 of 512, 589 would be above");
        assert_eq!(written(gamma().on()), [0x01, 0x80]);
        assert_eq!(written(gamma().off()), [0x01, 0x00]);
    }

    #[test]
    fn a_tps546_of_a_gamma_knows_its_limits_before_it_is_on() {
        let board = board("gamma").unwrap();
        let highest = board.voltage(board.millivolts.most).unwrap();
        let lowest = board.voltage(board.millivolts.least).unwrap();
        let told: Vec<_> = gamma().set_up(lowest, highest).into_iter().map(written).collect();
        let value = |command: u8| {
            let bytes = told.iter().find(|bytes| bytes[0] == command).unwrap();
            super::super::sensor::from_slinear11(u16::from_le_bytes([bytes[1], bytes[2]]))
        };
        assert_eq!(told[0], [0x01, 0x00], "it is off while it learns them");
        assert!(told.contains(&vec![0x24, 0x80, 0x02]), "1250 mV at most, as it counts: {told:02x?}");
        for (command, expected) in [
            (0x35, 4.8),
            (0x36, 4.5),
            (0x55, 6.5),
            (0x29, 0.25),
            (0x33, 650.0),
            (0x4a, 25.0),
            (0x46, 30.0),
            (0x51, 105.0),
            (0x4f, 145.0),
        ] {
            assert!((value(command) - expected).abs() < 0.005, "{command:#x}: {}", value(command));
        }
        assert_eq!(*told.last().unwrap(), [0x03], "faults of before are cleared last");
    }

    #[test]
    fn only_a_tps546_that_counts_as_we_do_is_switched_on() {
        assert_eq!(gamma().id(), Command::I2cWriteRead { address: 0x24, bytes: vec![0xad], count: 7 });
        for id in TPS546_IDS {
            assert_eq!(Tps546::check_id(&id), Ok(()));
        }
        assert!(Tps546::check_id(&[6, 1, 2, 3, 4, 5, 6]).unwrap_err().to_string().contains("no TPS546"));
        assert_eq!(Tps546::check_mode(&[0x17]), Ok(()));
        for (limit, is_kept) in [(640_u16, true), (639, true), (641, false), (0, false), (0xffff, false)] {
            assert_eq!(Tps546::check_limit(&limit.to_le_bytes(), 640).is_ok(), is_kept, "{limit}");
        }
        assert!(Tps546::check_limit(&[0], 640).is_err());
        assert_eq!(Tps546::check_mode(&[0x16]), Err(WrongRegulator::Mode(vec![0x16])));
    }

    #[test]
    fn a_status_word_names_what_it_complains_of() {
        assert_eq!(tps546_faults(&[0x00, 0x00]), [""; 0]);
        assert_eq!(tps546_faults(&[0x44, 0x08]), ["temperature", "power is not good", "output off"]);
        for of_another_size in [&[][..], &[0x00], &[0x00; 3]] {
            assert_eq!(tps546_faults(of_another_size), ["a status of the wrong size"]);
        }
        assert!(tps546_has_tripped(0x0040) && tps546_has_tripped(0x4010) && !tps546_has_tripped(0xe804));
    }

    #[test]
    fn codes_of_a_ds4432u_are_those_of_published_logs() {
        for (volts, code) in [(1.25, 0xb9), (1.2, 0xc6)] {
            assert_eq!(Ds4432u::code(volts), code, "{volts} V");
        }
        assert_eq!(Ds4432u::code(0.6 + 4750.0 * 0.6 / 3320.0) & 0x7f, 0, "nominal");
        let part = Ds4432u { address: 0x48 };
        let voltage = board("ultra").unwrap().voltage(1200).unwrap();
        assert_eq!(written(part.set(voltage)), [0xf8, 0xc6]);
        assert_eq!(written(part.lowest()), [0xf8, 0xff]);
        assert!(Ds4432u::volts(0xff) <= 0.989 && Ds4432u::volts(0x7f) >= 1.928);
    }

    proptest! {
        #[test]
        fn no_part_makes_more_than_it_is_asked_for_and_a_step_less_at_most(volts in Ds4432u::REACH) {
            let made = Ds4432u::volts(Ds4432u::code(volts));
            prop_assert!(made <= volts + 1e-9 && volts - made < 0.0038, "{volts} V became {made} V");
            let made = volts_of_steps(steps_of_volts(volts));
            prop_assert!(made <= volts && volts - made < 0.002, "{volts} V became {made} V");
        }
    }
}
