//! The I2C bus of a board: what its parts have in common.

use std::fmt::Debug;

/// What the parts of a board measure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Readings {
    /// Of the chips, through the diode on one of them.
    pub(super) chip_celsius: f64,
    /// Of the board beside them.
    pub(super) board_celsius: f64,
    /// Of the regulator.
    pub(super) regulator_celsius: f64,
    pub(super) fan_rpm: f64,
    pub(super) input_volts: f64,
    /// Of the whole board.
    pub(super) watts: f64,
    pub(super) core_volts: f64,
    pub(super) core_amperes: f64,
}

/// A part with registers, behind an address.
pub(super) trait Part: Debug + Send {
    /// The bytes of one write, the register first.
    fn write(&mut self, bytes: &[u8]);

    /// `count` bytes from the register that was written last.
    fn read(&mut self, count: usize, readings: &Readings) -> Vec<u8>;

    /// The core voltage that it makes, for a part that makes one.
    fn core_volts(&self) -> Option<f64> {
        None
    }

    /// The drive of the fan, 0 to 1, for a part that has one.
    fn fan(&self) -> Option<f64> {
        None
    }

    /// Too much current flows, as a part has it that can turn itself off.
    fn trip(&mut self) {}

    /// Looks at the board between requests.
    fn watch(&mut self, _readings: &Readings) {}
}

/// No part answers at this address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NobodyThere;

/// All parts, by their 7-bit addresses.
#[derive(Debug)]
pub(super) struct Bus {
    parts: Vec<(u8, Box<dyn Part>)>,
}

impl Bus {
    pub(super) fn new(parts: Vec<(u8, Box<dyn Part>)>) -> Self {
        Self { parts }
    }

    fn part(&mut self, address: u8) -> Result<&mut Box<dyn Part>, NobodyThere> {
        let part = self.parts.iter_mut().find(|(at, _)| *at == address);
        part.map(|(_, part)| part).ok_or(NobodyThere)
    }

    pub(super) fn write(&mut self, address: u8, bytes: &[u8]) -> Result<(), NobodyThere> {
        self.part(address)?.write(bytes);
        Ok(())
    }

    pub(super) fn read(
        &mut self,
        address: u8,
        count: usize,
        readings: &Readings,
    ) -> Result<Vec<u8>, NobodyThere> {
        Ok(self.part(address)?.read(count, readings))
    }

    pub(super) fn core_volts(&self) -> Option<f64> {
        self.parts.iter().find_map(|(_, part)| part.core_volts())
    }

    pub(super) fn fan(&self) -> Option<f64> {
        self.parts.iter().find_map(|(_, part)| part.fan())
    }

    pub(super) fn trip(&mut self) {
        for (_, part) in &mut self.parts {
            part.trip();
        }
    }

    pub(super) fn watch(&mut self, readings: &Readings) {
        for (_, part) in &mut self.parts {
            part.watch(readings);
        }
    }
}

/// `bytes` as a part gives them to a reader who wants `count`: beyond its end the bus reads as ones.
pub(super) fn padded(bytes: &[u8], count: usize) -> Vec<u8> {
    bytes.iter().copied().chain(std::iter::repeat(0xff)).take(count).collect()
}

/// The PMBus format SLINEAR11: an exponent of 5 bits, a mantissa of 11, both signed.
pub(super) fn slinear11(value: f64) -> [u8; 2] {
    let fits = |exponent: &i32| (value / 2f64.powi(*exponent)).round().abs() < 1024.0;
    let exponent = (-16..16).find(fits).unwrap_or(15);
    let mantissa = (value / 2f64.powi(exponent)).round() as i16;
    ((exponent as u16) << 11 | mantissa as u16 & 0x7ff).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slinear11_is_read_back_within_a_thousandth() {
        for value in [0.0_f64, 1.0, 5.0, 12.3, -40.0, 145.0, 0.001, 30000.0] {
            let word = u16::from_le_bytes(slinear11(value));
            let exponent = (word as i16) >> 11;
            let mantissa = ((word << 5) as i16) >> 5;
            let read = f64::from(mantissa) * 2f64.powi(exponent.into());
            assert!((read - value).abs() <= value.abs() / 1000.0 + 1e-5, "{value} became {read}");
        }
    }
}
