//! Sensors of Bitaxe boards: EMC2101 with the fan, INA260, TMP1075, TMP451. Source of registers and formats: ESP-Miner and
//! mujina drivers, and the data sheets that they name.

use super::i2c::{Part, Readings, padded};

/// Fan controller and temperature sensor EMC2101, at 0x4c.
#[derive(Debug)]
pub(super) struct Emc2101 {
    registers: [u8; 256],
    pointer: u8,
}

impl Emc2101 {
    const CONFIG: usize = 0x03;
    const FAN_CONFIG: usize = 0x4a;
    const FAN_SETTING: usize = 0x4c;
    /// In `CONFIG`: the pin is the input of the tachometer.
    const TACHOMETER: u8 = 0x04;
    /// In `FAN_CONFIG`: the setting may be written, and no look-up table drives the fan.
    const PROGRAMMED: u8 = 0x20;

    pub(super) fn new() -> Self {
        let mut registers = [0; 256];
        registers[Self::FAN_CONFIG] = Self::PROGRAMMED;
        registers[0xfd] = 0x16;
        Self { registers, pointer: 0 }
    }

    fn register(&self, register: u8, readings: &Readings) -> u8 {
        // Eleven bits at the top of a word, an eighth of a degree each.
        let external = (((readings.chip_celsius * 8.0).round() as i16) << 5).to_be_bytes();
        let has_tachometer = self.registers[Self::CONFIG] & Self::TACHOMETER != 0;
        let spins = has_tachometer && readings.fan_rpm > 82.0;
        let turn = if spins { (5_400_000.0 / readings.fan_rpm) as u16 } else { u16::MAX }.to_le_bytes();
        match register {
            0x00 => readings.board_celsius.round() as i8 as u8,
            0x01 => external[0],
            0x10 => external[1],
            0x46 => turn[0],
            0x47 => turn[1],
            other => self.registers[usize::from(other)],
        }
    }
}

impl Part for Emc2101 {
    fn write(&mut self, bytes: &[u8]) {
        let Some((register, values)) = bytes.split_first() else { return };
        self.pointer = *register;
        for (at, value) in (usize::from(*register)..256).zip(values) {
            let programmed = self.registers[Self::FAN_CONFIG] & Self::PROGRAMMED != 0;
            match at {
                Self::FAN_SETTING if !programmed => {}
                Self::FAN_SETTING => self.registers[at] = value & 0x3f,
                0x00 | 0x01 | 0x10 | 0x46 | 0x47 | 0xfd.. => {}
                _ => self.registers[at] = *value,
            }
        }
    }

    fn read(&mut self, count: usize, readings: &Readings) -> Vec<u8> {
        let registers = (self.pointer..=u8::MAX).map(|register| self.register(register, readings));
        padded(&registers.take(count).collect::<Vec<_>>(), count)
    }

    fn fan(&self) -> Option<f64> {
        Some(f64::from(self.registers[Self::FAN_SETTING]) / 63.0)
    }
}

/// Power meter INA260, at 0x40: big-endian words.
#[derive(Debug, Default)]
pub(super) struct Ina260 {
    pointer: u8,
}

impl Part for Ina260 {
    fn write(&mut self, bytes: &[u8]) {
        self.pointer = bytes.first().copied().unwrap_or(self.pointer);
    }

    fn read(&mut self, count: usize, readings: &Readings) -> Vec<u8> {
        let word = match self.pointer {
            1 => readings.watts / readings.input_volts / 1.25e-3,
            2 => readings.input_volts / 1.25e-3,
            3 => readings.watts / 10e-3,
            _ => 0.0,
        };
        padded(&(word.round() as u16).to_be_bytes(), count)
    }
}

/// Temperature sensor TMP1075, at 0x4a or 0x4b: big-endian words, a sixteenth of a degree in the upper twelve bits.
#[derive(Debug, Default)]
pub(super) struct Tmp1075 {
    pointer: u8,
}

impl Part for Tmp1075 {
    fn write(&mut self, bytes: &[u8]) {
        self.pointer = bytes.first().copied().unwrap_or(self.pointer);
    }

    fn read(&mut self, count: usize, readings: &Readings) -> Vec<u8> {
        let word = match self.pointer {
            0x00 => ((readings.board_celsius * 16.0).round() as i16) << 4,
            0x0f => 0x7500,
            _ => 0,
        };
        padded(&word.to_be_bytes(), count)
    }
}

/// Temperature sensor TMP451, at 0x49: whole degrees, and sixteenths in the upper half of another register.
#[derive(Debug)]
pub(super) struct Tmp451 {
    registers: [u8; 256],
    pointer: u8,
}

impl Default for Tmp451 {
    fn default() -> Self {
        Self { registers: [0; 256], pointer: 0 }
    }
}

impl Part for Tmp451 {
    fn write(&mut self, bytes: &[u8]) {
        let Some((register, values)) = bytes.split_first() else { return };
        self.pointer = *register;
        if let Some(value) = values.first() {
            self.registers[usize::from(*register)] = *value;
        }
    }

    fn read(&mut self, count: usize, readings: &Readings) -> Vec<u8> {
        let remote = readings.chip_celsius + f64::from(self.registers[0x11] as i8);
        let parts = |celsius: f64| (((celsius * 16.0).round() as i16) << 4).to_be_bytes();
        let value = match self.pointer {
            0x00 => parts(readings.board_celsius)[0],
            0x15 => parts(readings.board_celsius)[1],
            0x01 => parts(remote)[0],
            0x10 => parts(remote)[1],
            0x02 => 0,
            other => self.registers[usize::from(other)],
        };
        padded(&[value], count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READINGS: Readings = Readings {
        chip_celsius: 61.625,
        board_celsius: 40.25,
        regulator_celsius: 40.25,
        fan_rpm: 2500.0,
        input_volts: 5.0,
        watts: 16.0,
        core_volts: 1.15,
        core_amperes: 12.0,
    };

    fn read(part: &mut dyn Part, register: u8, count: usize) -> Vec<u8> {
        part.write(&[register]);
        part.read(count, &READINGS)
    }

    #[test]
    fn each_sensor_gives_the_readings_in_its_own_format() {
        let mut fan = Emc2101::new();
        assert_eq!(read(&mut fan, 0xfd, 1), [0x16]);
        assert_eq!(read(&mut fan, 0x00, 1), [40]);
        let external = [read(&mut fan, 0x01, 1)[0], read(&mut fan, 0x10, 1)[0]];
        assert_eq!(f64::from(i16::from_be_bytes(external) >> 5) / 8.0, 61.625);
        let mut power = Ina260::default();
        assert_eq!(read(&mut power, 2, 2), 4000_u16.to_be_bytes());
        assert_eq!(read(&mut power, 1, 2), 2560_u16.to_be_bytes());
        assert_eq!(read(&mut power, 3, 2), 1600_u16.to_be_bytes());
        assert_eq!(read(&mut Tmp1075::default(), 0, 2), 0x2840_u16.to_be_bytes());
        assert_eq!(read(&mut Tmp1075::default(), 0x0f, 2), [0x75, 0x00]);
        let mut remote = Tmp451::default();
        remote.write(&[0x11, 0xf9]);
        assert_eq!(read(&mut remote, 0x01, 1), [54], "seven degrees less by its offset");
    }

    #[test]
    fn a_tachometer_speaks_only_after_its_pin_is_set_to_it() {
        let mut fan = Emc2101::new();
        assert_eq!(read(&mut fan, 0x46, 2), [0xff, 0xff]);
        fan.write(&[0x03, 0x04]);
        assert_eq!(read(&mut fan, 0x46, 2), 2160_u16.to_le_bytes());
    }

    #[test]
    fn the_fan_follows_its_setting_only_while_it_is_programmed() {
        let mut fan = Emc2101::new();
        fan.write(&[0x4a, 0x03]);
        fan.write(&[0x4c, 63]);
        assert_eq!(fan.fan(), Some(0.0));
        fan.write(&[0x4a, 0x23]);
        fan.write(&[0x4c, 63]);
        assert_eq!(fan.fan(), Some(1.0));
    }
}
