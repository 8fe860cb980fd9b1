//! What makes the core voltage: the buck converter TPS546 and the current DAC DS4432U. Source: ESP-Miner and mujina
//! drivers, and the data sheets that they name.

use super::i2c::{Part, Readings, padded, slinear11};

/// Buck converter TPS546D24, at 0x24, spoken to over PMBus. Off until it is told a voltage and switched on.
#[derive(Debug)]
pub(super) struct Tps546 {
    pointer: u8,
    /// What was written and has no meaning to the model, by command.
    settings: Vec<(u8, Vec<u8>)>,
    is_on: bool,
    volts: f64,
    /// What it turned itself off for, until its faults are cleared.
    tripped: Option<Trip>,
    refused: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trip {
    Heat,
    Current,
}

impl Tps546 {
    const OPERATION: u8 = 0x01;
    const CLEAR_FAULTS: u8 = 0x03;
    const VOUT_MODE: u8 = 0x20;
    const VOUT_COMMAND: u8 = 0x21;
    const VOUT_MAX: u8 = 0x24;
    const STATUS_WORD: u8 = 0x79;
    const READ_VIN: u8 = 0x88;
    const READ_VOUT: u8 = 0x8b;
    const READ_IOUT: u8 = 0x8c;
    const READ_TEMPERATURE: u8 = 0x8d;
    const DEVICE_ID: u8 = 0xad;
    /// Steps of the voltage are 2^-9 V: exponent -9 in the lower five bits of VOUT_MODE.
    const MODE: u8 = 0x17;
    const STEP: f64 = 1.0 / 512.0;
    /// It turns itself off here. Source: ESP-Miner's over-temperature fault limit.
    const HOTTEST: f64 = 145.0;
    /// Bytes of the longest setting, so that no writer fills the memory.
    const LONGEST: usize = 32;

    pub(super) fn new() -> Self {
        Self { pointer: 0, settings: Vec::new(), is_on: false, volts: 0.0, tripped: None, refused: false }
    }

    fn setting(&self, command: u8) -> Option<&[u8]> {
        self.settings.iter().find(|(at, _)| *at == command).map(|(_, bytes)| bytes.as_slice())
    }

    fn set(&mut self, command: u8, bytes: &[u8]) {
        self.settings.retain(|(at, _)| *at != command);
        self.settings.push((command, bytes.to_vec()));
    }

    fn word(bytes: &[u8]) -> Option<f64> {
        Some(f64::from(u16::from_le_bytes(bytes.try_into().ok()?)) * Self::STEP)
    }

    /// Bits of STATUS_WORD: 14 current, 11 power not good, 6 off, 4 overcurrent, 2 temperature, 1 communication.
    fn status(&self) -> u16 {
        let off = self.core_volts() == Some(0.0);
        let (heat, current) = (self.tripped == Some(Trip::Heat), self.tripped == Some(Trip::Current));
        u16::from(current) << 14
            | u16::from(off) << 11
            | u16::from(off) << 6
            | u16::from(current) << 4
            | u16::from(heat) << 2
            | u16::from(self.refused) << 1
    }
}

impl Part for Tps546 {
    fn write(&mut self, bytes: &[u8]) {
        let Some((&command, data)) = bytes.split_first() else { return };
        self.pointer = command;
        match (command, data) {
            (Self::CLEAR_FAULTS, []) => (self.tripped, self.refused) = (None, false),
            (_, []) => {}
            (Self::OPERATION, [value]) => self.is_on = value & 0x80 != 0,
            (Self::VOUT_COMMAND, [_, _]) => {
                let highest = self.setting(Self::VOUT_MAX).and_then(Self::word).unwrap_or(f64::INFINITY);
                self.volts = Self::word(data).map_or(0.0, |volts| volts.min(highest));
            }
            (Self::OPERATION | Self::VOUT_COMMAND | Self::CLEAR_FAULTS, _) => self.refused = true,
            (_, data) if data.len() > Self::LONGEST => self.refused = true,
            _ => self.set(command, data),
        }
    }

    fn read(&mut self, count: usize, readings: &Readings) -> Vec<u8> {
        let volts = |volts: f64| ((volts / Self::STEP).round() as u16).to_le_bytes().to_vec();
        let bytes = match self.pointer {
            Self::OPERATION => vec![u8::from(self.is_on) << 7],
            Self::VOUT_MODE => vec![Self::MODE],
            Self::VOUT_COMMAND => volts(self.volts),
            Self::STATUS_WORD => self.status().to_le_bytes().to_vec(),
            Self::READ_VIN => slinear11(readings.input_volts).to_vec(),
            Self::READ_VOUT => volts(readings.core_volts),
            Self::READ_IOUT => slinear11(readings.core_amperes).to_vec(),
            Self::READ_TEMPERATURE => slinear11(readings.regulator_celsius).to_vec(),
            Self::DEVICE_ID => vec![6, 0x54, 0x49, 0x54, 0x6b, 0x24, 0x41],
            other => self.setting(other).unwrap_or_default().to_vec(),
        };
        padded(&bytes, count)
    }

    fn core_volts(&self) -> Option<f64> {
        Some(if self.is_on && self.tripped.is_none() { self.volts } else { 0.0 })
    }

    fn trip(&mut self) {
        if self.core_volts() != Some(0.0) {
            self.tripped.get_or_insert(Trip::Current);
        }
    }

    fn watch(&mut self, readings: &Readings) {
        if readings.regulator_celsius >= Self::HOTTEST {
            self.tripped.get_or_insert(Trip::Heat);
        }
    }
}

/// Current DAC DS4432U, at 0x48: pulls the feedback node of a buck converter that is always on.
#[derive(Debug, Default)]
pub(super) struct Ds4432u {
    pointer: u8,
    /// Of outputs 0 and 1.
    codes: [u8; 2],
}

impl Ds4432u {
    const OUTPUTS: u8 = 0xf8;
    /// Amperes of code 127. Source: ESP-Miner `DS4432U.c`, as are the resistors below.
    const FULL_SCALE: f64 = 0.000_098_921;

    fn output(&mut self, register: u8) -> Option<&mut u8> {
        self.codes.get_mut(usize::from(register.checked_sub(Self::OUTPUTS)?))
    }
}

impl Part for Ds4432u {
    fn write(&mut self, bytes: &[u8]) {
        let Some((&register, values)) = bytes.split_first() else { return };
        self.pointer = register;
        for (at, value) in (register..=u8::MAX).zip(values) {
            if let Some(code) = self.output(at) {
                *code = *value;
            }
        }
    }

    fn read(&mut self, count: usize, _: &Readings) -> Vec<u8> {
        let first = self.pointer;
        let codes: Vec<u8> = (first..=u8::MAX).map_while(|at| self.output(at).copied()).collect();
        padded(&codes, count)
    }

    fn core_volts(&self) -> Option<f64> {
        let code = f64::from(self.codes[0] & 0x7f);
        let lowers = if self.codes[0] & 0x80 != 0 { 1.0 } else { -1.0 };
        Some(0.6 + 4750.0 * (0.6 / 3320.0 - lowers * code * Self::FULL_SCALE / 127.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READINGS: Readings = Readings {
        chip_celsius: 60.0,
        board_celsius: 50.0,
        regulator_celsius: 50.0,
        fan_rpm: 0.0,
        input_volts: 5.0,
        watts: 16.0,
        core_volts: 1.15,
        core_amperes: 12.0,
    };

    #[test]
    fn codes_of_the_current_dac_make_the_voltages_of_published_logs() {
        for (code, volts) in [(0xb9, 1.25), (0xc6, 1.2), (0x00, 1.451)] {
            let mut dac = Ds4432u::default();
            dac.write(&[0xf8, code]);
            assert!((dac.core_volts().unwrap() - volts).abs() < 0.008, "{code:#x}: {:?}", dac.core_volts());
            assert_eq!(dac.read(1, &READINGS), [code]);
        }
    }

    #[test]
    fn the_buck_converter_is_off_until_it_has_a_voltage_and_is_switched_on() {
        let mut buck = Tps546::new();
        buck.write(&[0x21, 0x4d, 0x02]); // 589 / 512
        assert_eq!(buck.core_volts(), Some(0.0));
        buck.write(&[0x01, 0x80]);
        assert!((buck.core_volts().unwrap() - 1.15).abs() < 0.001);
        buck.write(&[0x24, 0x00, 0x02]); // one volt at most
        buck.write(&[0x21, 0x4d, 0x02]);
        assert_eq!(buck.core_volts(), Some(1.0));
    }

    #[test]
    fn an_overheated_buck_converter_stays_off_until_its_faults_are_cleared() {
        let mut buck = Tps546::new();
        buck.write(&[0x21, 0x4d, 0x02]);
        buck.write(&[0x01, 0x80]);
        buck.watch(&Readings { regulator_celsius: 146.0, ..READINGS });
        assert_eq!(buck.core_volts(), Some(0.0));
        buck.write(&[0x79]);
        assert_eq!(buck.read(2, &READINGS), [0x44, 0x08]);
        buck.write(&[0x03]);
        assert!(buck.core_volts().unwrap() > 1.0);
    }

    #[test]
    fn a_buck_converter_that_tripped_stays_off_until_its_faults_are_cleared() {
        let mut buck = Tps546::new();
        buck.trip();
        buck.write(&[0x21, 0x4d, 0x02]);
        buck.write(&[0x01, 0x80]);
        assert!(buck.core_volts().unwrap() > 1.0, "no current flows while it is off");
        buck.trip();
        buck.write(&[0x79]);
        assert_eq!((buck.core_volts(), buck.read(2, &READINGS)), (Some(0.0), vec![0x50, 0x48]));
        buck.write(&[0x03]);
        assert!(buck.core_volts().unwrap() > 1.0);
    }

    #[test]
    fn a_word_of_the_wrong_length_is_refused_and_told_in_the_status() {
        let mut buck = Tps546::new();
        buck.write(&[0x21, 0x4d]);
        buck.write(&[0x79]);
        assert_eq!(buck.read(1, &READINGS)[0] & 0x02, 0x02);
    }
}
