//! What boards measure: which registers to read, and what their bytes mean.
//!
//! Source of registers and formats, unless said otherwise: ESP-Miner `main/thermal`, `main/power`, mujina `peripheral/`.

use super::packet::Command;

/// A value that can be read: the commands, in order, and what their data together means.
#[derive(Debug, Clone)]
pub struct Reading {
    /// One after the other.
    pub commands: Vec<Command>,
    /// From the data of all of them, one behind the other.
    pub meaning: fn(&[u8]) -> Result<f64, NoReading>,
}

/// Why there is no value. None of it says that anything is too hot.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum NoReading {
    /// Nothing is connected to the sensor's input.
    #[error("its diode is not connected")]
    Open,
    /// The input is shorted.
    #[error("its diode is shorted")]
    Short,
    /// Another number of bytes than the registers have.
    #[error("{0} bytes came, other than its registers have")]
    Size(usize),
    /// No board has such a value.
    #[error("{0} is a value that no board has")]
    Implausible(f64),
    /// It does not follow what happens around it.
    #[error("{0} °C to the last bit while power or other temperatures changed much: its sensor is stuck")]
    Stuck(f64),
    /// Chips that hash are not so much colder than what they warm.
    #[error("{celsius} °C is too cold for chips that hash beside a board at {board} °C: its sensor is wrong")]
    Colder {
        /// Of the chips.
        celsius: f64,
        /// Of the board.
        board: f64,
    },
}

/// Temperatures of a board that is worth listening to, degrees Celsius. A sensor beyond them is broken or misread.
const PLAUSIBLE: std::ops::RangeInclusive<f64> = -40.0..=200.0;

/// Revolutions a minute of an EMC2101 whose tachometer shows nothing: 5 400 000 ÷ 65 535.
const STANDSTILL_RPM: f64 = 82.5;

fn sized<const N: usize>(bytes: &[u8]) -> Result<[u8; N], NoReading> {
    bytes.try_into().map_err(|_| NoReading::Size(bytes.len()))
}

fn plausible(celsius: f64) -> Result<f64, NoReading> {
    if PLAUSIBLE.contains(&celsius) { Ok(celsius) } else { Err(NoReading::Implausible(celsius)) }
}

/// Temperature of the diode at an EMC2101, °C: eleven bits at the top of a word, an eighth of a degree each. Registers
/// 0x01 and 0x10, the first of which holds the second still.
pub fn emc2101_external(address: u8) -> Reading {
    const OPEN: i16 = 0x3f8;
    const SHORT: i16 = 0x3ff;
    Reading {
        commands: [0x01, 0x10].map(|register| Command::read_register(address, register, 1)).to_vec(),
        meaning: |bytes| match i16::from_be_bytes(sized(bytes)?) >> 5 {
            OPEN => Err(NoReading::Open),
            SHORT => Err(NoReading::Short),
            eighths => plausible(f64::from(eighths) / 8.0),
        },
    }
}

/// Temperature of an EMC2101 itself, °C: register 0x00, whole degrees.
pub fn emc2101_internal(address: u8) -> Reading {
    Reading {
        commands: vec![Command::read_register(address, 0x00, 1)],
        meaning: |bytes| plausible(f64::from(i8::from_be_bytes(sized(bytes)?))),
    }
}

/// Revolutions of the fan at an EMC2101, a minute: 5 400 000 ÷ the word in 0x46 (low byte) and 0x47. 0 at a standstill.
pub fn emc2101_tachometer(address: u8) -> Reading {
    Reading {
        commands: [0x46, 0x47].map(|register| Command::read_register(address, register, 1)).to_vec(),
        meaning: |bytes| {
            let rpm = 5_400_000.0 / f64::from(u16::from_le_bytes(sized(bytes)?).max(1));
            Ok(if rpm < STANDSTILL_RPM { 0.0 } else { rpm })
        },
    }
}

/// Temperature of a TMP1075, °C: register 0x00, twelve bits at the top of a word, a sixteenth of a degree each.
pub fn tmp1075(address: u8) -> Reading {
    Reading {
        commands: vec![Command::read_register(address, 0x00, 2)],
        meaning: |bytes| plausible(f64::from(i16::from_be_bytes(sized(bytes)?) >> 4) / 16.0),
    }
}

/// Temperature of the diode at a TMP451, °C: status 0x02, whole degrees 0x01, sixteenths in the upper half of 0x10.
pub fn tmp451_remote(address: u8) -> Reading {
    const REMOTE_OPEN: u8 = 1 << 2;
    Reading {
        commands: [0x02, 0x01, 0x10].map(|register| Command::read_register(address, register, 1)).to_vec(),
        meaning: |bytes| {
            let [status, whole, sixteenths] = sized(bytes)?;
            if status & REMOTE_OPEN != 0 {
                return Err(NoReading::Open);
            }
            plausible(f64::from(i16::from_be_bytes([whole, sixteenths]) >> 4) / 16.0)
        },
    }
}

/// Tells a TMP451 how much its diode reads too high, in whole degrees: register 0x11 is added to what it measures.
pub fn tmp451_offset(address: u8, kelvin: i8) -> Command {
    Command::write_register(address, 0x11, &kelvin.to_be_bytes())
}

/// Power through an INA260, watts: register 0x03, 10 mW each.
pub fn ina260_power(address: u8) -> Reading {
    Reading {
        commands: vec![Command::read_register(address, 0x03, 2)],
        meaning: |bytes| Ok(f64::from(u16::from_be_bytes(sized(bytes)?)) * 0.01),
    }
}

/// Current through an INA260, amperes: register 0x01, signed, 1.25 mA each.
pub fn ina260_current(address: u8) -> Reading {
    Reading {
        commands: vec![Command::read_register(address, 0x01, 2)],
        meaning: |bytes| Ok(f64::from(i16::from_be_bytes(sized(bytes)?)) * 1.25e-3),
    }
}

/// Voltage at an INA260, volts: register 0x02, 1.25 mV each.
pub fn ina260_voltage(address: u8) -> Reading {
    Reading {
        commands: vec![Command::read_register(address, 0x02, 2)],
        meaning: |bytes| Ok(f64::from(u16::from_be_bytes(sized(bytes)?)) * 1.25e-3),
    }
}

/// Voltage at the core by the converter of the board's controller, volts: two bytes, little-endian, taken for
/// millivolts. No source names the unit, so nothing is decided by it.
pub fn adc_core() -> Reading {
    Reading {
        commands: vec![Command::CoreVoltage],
        meaning: |bytes| Ok(f64::from(u16::from_le_bytes(sized(bytes)?)) / 1000.0),
    }
}

/// Input voltage of a TPS546, volts: command 0x88.
pub fn tps546_input(address: u8) -> Reading {
    pmbus_linear(address, 0x88)
}

/// Output voltage of a TPS546, volts: command 0x8B, in steps of 2^-9 V, which [`super::regulator`] makes sure of.
pub fn tps546_output(address: u8) -> Reading {
    Reading {
        commands: vec![Command::read_register(address, 0x8b, 2)],
        meaning: |bytes| Ok(super::regulator::volts_of_steps(u16::from_le_bytes(sized(bytes)?))),
    }
}

/// Output current of a TPS546, amperes: command 0x8C.
pub fn tps546_current(address: u8) -> Reading {
    pmbus_linear(address, 0x8c)
}

/// Output power of a TPS546, watts: voltage times current. It does not see what the board takes besides.
pub fn tps546_power(address: u8) -> Reading {
    let commands = [0x8b, 0x8c].map(|command| Command::read_register(address, command, 2));
    Reading {
        commands: commands.to_vec(),
        meaning: |bytes| {
            let [v0, v1, i0, i1] = sized(bytes)?;
            let volts = super::regulator::volts_of_steps(u16::from_le_bytes([v0, v1]));
            Ok(volts * from_slinear11(u16::from_le_bytes([i0, i1])))
        },
    }
}

/// STATUS_WORD of a TPS546, as a number: command 0x79. All ones come from a bus on which nobody answers.
pub fn tps546_status(address: u8) -> Reading {
    Reading {
        commands: vec![Command::read_register(address, 0x79, 2)],
        meaning: |bytes| match u16::from_le_bytes(sized(bytes)?) {
            u16::MAX => Err(NoReading::Implausible(u16::MAX.into())),
            word => Ok(word.into()),
        },
    }
}

/// The code at output 0 of a DS4432U, as a number: register 0xF8.
pub fn ds4432u_code(address: u8) -> Reading {
    Reading {
        commands: vec![Command::read_register(address, 0xf8, 1)],
        meaning: |bytes| Ok(f64::from(u8::from_be_bytes(sized(bytes)?))),
    }
}

/// Temperature of a TPS546, °C: command 0x8D.
pub fn tps546_temperature(address: u8) -> Reading {
    Reading {
        commands: vec![Command::read_register(address, 0x8d, 2)],
        meaning: |bytes| plausible(from_slinear11(u16::from_le_bytes(sized(bytes)?))),
    }
}

fn pmbus_linear(address: u8, command: u8) -> Reading {
    Reading {
        commands: vec![Command::read_register(address, command, 2)],
        meaning: |bytes| Ok(from_slinear11(u16::from_le_bytes(sized(bytes)?))),
    }
}

/// The PMBus format SLINEAR11: an exponent of 5 bits, then a mantissa of 11, both signed.
pub fn from_slinear11(word: u16) -> f64 {
    let exponent = (word as i16) >> 11;
    let mantissa = ((word << 5) as i16) >> 5;
    f64::from(mantissa) * 2f64.powi(exponent.into())
}

/// The word nearest to a value, from -33 553 408 to 33 521 664; beyond that the last one.
pub fn to_slinear11(value: f64) -> u16 {
    let mantissa = |exponent: i32| (value / 2f64.powi(exponent)).round();
    let exponent = (-16..15).find(|exponent| (-1024.0..1024.0).contains(&mantissa(*exponent))).unwrap_or(15);
    let mantissa = mantissa(exponent).clamp(-1024.0, 1023.0) as i16;
    (exponent as u16) << 11 | mantissa as u16 & 0x7ff
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(reading: &Reading, bytes: &[u8]) -> Result<f64, NoReading> {
        let size: usize = reading.commands.iter().map(Command::reply_size).sum();
        assert_eq!(size, bytes.len(), "{reading:?}");
        (reading.meaning)(bytes)
    }

    #[test]
    fn an_emc2101_reads_eighths_of_a_degree_and_knows_a_broken_diode_from_heat() {
        let external = emc2101_external(0x4c);
        assert_eq!(read(&external, &[0x3d, 0xa0]), Ok(61.625));
        assert_eq!(read(&external, &[0xff, 0xe0]), Ok(-0.125));
        assert_eq!(read(&external, &[0x7f, 0x00]), Err(NoReading::Open));
        assert_eq!(read(&external, &[0x7f, 0xe0]), Err(NoReading::Short));
        assert_eq!(read(&external, &[0x80, 0x00]), Err(NoReading::Implausible(-128.0)));
        assert_eq!(read(&emc2101_internal(0x4c), &[40]), Ok(40.0));
        assert_eq!((external.meaning)(&[1]), Err(NoReading::Size(1)));
    }

    #[test]
    fn a_tachometer_gives_revolutions_and_none_at_a_standstill() {
        let tachometer = emc2101_tachometer(0x4c);
        assert_eq!(read(&tachometer, &2160_u16.to_le_bytes()), Ok(2500.0));
        assert_eq!(read(&tachometer, &[0xff, 0xff]), Ok(0.0), "82 revolutions are no signal");
        assert_eq!(read(&tachometer, &[0, 0]), Ok(5_400_000.0), "and nothing divides by zero");
    }

    #[test]
    fn the_sensors_of_boards_read_as_their_data_sheets_say() {
        assert_eq!(read(&tmp1075(0x4a), &[0x28, 0x40]), Ok(40.25));
        assert_eq!(read(&tmp1075(0x4a), &[0xff, 0xf0]), Ok(-0.0625));
        assert_eq!(read(&tmp451_remote(0x49), &[0, 61, 0xa0]), Ok(61.625));
        assert_eq!(read(&tmp451_remote(0x49), &[0x04, 0, 0]), Err(NoReading::Open));
        assert_eq!(read(&ina260_power(0x40), &1600_u16.to_be_bytes()), Ok(16.0));
        assert_eq!(read(&ina260_voltage(0x40), &4000_u16.to_be_bytes()), Ok(5.0));
        assert_eq!(read(&ina260_current(0x40), &2560_u16.to_be_bytes()), Ok(3.2));
        assert_eq!(read(&ina260_current(0x40), &[0xff, 0xff]), Ok(-1.25e-3));
        assert_eq!(read(&adc_core(), &1150_u16.to_le_bytes()), Ok(1.15));
        assert_eq!(tmp451_offset(0x49, -7), Command::I2cWrite { address: 0x49, bytes: vec![0x11, 0xf9] });
    }

    #[test]
    fn a_tps546_tells_in_linear_formats() {
        assert_eq!(read(&tps546_output(0x24), &589_u16.to_le_bytes()), Ok(589.0 / 512.0));
        assert_eq!(read(&tps546_input(0x24), &0xca80_u16.to_le_bytes()), Ok(5.0));
        assert_eq!(read(&tps546_temperature(0x24), &50_u16.to_le_bytes()), Ok(50.0));
        assert_eq!(read(&tps546_current(0x24), &0xe0c4_u16.to_le_bytes()), Ok(12.25));
        assert_eq!(read(&tps546_power(0x24), &[0x00, 0x02, 0xc4, 0xe0]), Ok(12.25));
        assert_eq!(read(&tps546_status(0x24), &[0x40, 0x08]), Ok(f64::from(0x0840)));
        assert_eq!(read(&tps546_status(0x24), &[0xff, 0xff]), Err(NoReading::Implausible(65_535.0)));
        assert_eq!(read(&ds4432u_code(0x48), &[0xc6]), Ok(f64::from(0xc6)));
    }

    proptest! {
        #[test]
        fn slinear11_is_read_back_within_a_thousandth(value in -30_000_000.0..30_000_000.0_f64) {
            let read = from_slinear11(to_slinear11(value));
            prop_assert!((read - value).abs() <= value.abs() / 1000.0 + 1e-5, "{value} became {read}");
        }

        #[test]
        fn every_word_is_read_and_says_the_same_when_it_is_written_again(word: u16) {
            prop_assert_eq!(from_slinear11(to_slinear11(from_slinear11(word))), from_slinear11(word));
        }
    }
}
