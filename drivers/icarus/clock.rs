//! The commands for the clock of Antminer sticks: 4 bytes with a checksum of 5 bits.
//!
//! Source: bfgminer `driver-antminer.c` and `driver-icarus.c` of cgminer, `anu_find_freqhex`.

use super::model::{Clock, Model};
use crate::bm13xx::crc::crc5_of_bits;
use crate::order::short;

/// What the makers' programs send for each frequency. The formula in cgminer gives other words for some of them; these are
/// the ones that devices were run with. Unit: MHz. Source: bfgminer `driver-antminer.c`, cgminer `driver-icarus.c`.
const WORDS: &[(f64, u16)] = &[
    (100.0, 0x0783),
    (125.0, 0x0983),
    (150.0, 0x0b83),
    (175.0, 0x0d83),
    (193.75, 0x0f03),
    (196.88, 0x1f07),
    (200.0, 0x0782),
    (206.25, 0x1006),
    (212.5, 0x1086),
    (218.75, 0x1106),
    (225.0, 0x0882),
    (237.5, 0x1286),
    (243.75, 0x1306),
    (250.0, 0x0982),
];

/// Why a frequency cannot be set.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ClockError {
    /// The device has no clock that can be set.
    #[error("{0} has a fixed clock; leave frequency out")]
    Fixed(&'static str),
    /// It is outside the limits of the device.
    #[error("frequency {} MHz is not between {least} and {most} MHz, the limits of {model}", short(*mhz))]
    OutOfReach {
        /// What was asked for.
        mhz: f64,
        /// The lowest.
        least: f64,
        /// The highest.
        most: f64,
        /// Whose limits these are.
        model: &'static str,
    },
}

/// A frequency that a device can have, and its divider.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frequency {
    /// Unit: MHz.
    pub mhz: f64,
    word: u16,
}

impl Frequency {
    /// The nearest that `model` can have; `None` is its usual one. Errors: it has none to choose, or the limits.
    pub fn of(model: &Model, mhz: Option<f64>) -> Result<Option<Self>, ClockError> {
        match (model.clock, mhz) {
            (Clock::Fixed, None) => Ok(None),
            (Clock::Fixed, Some(_)) => Err(ClockError::Fixed(model.name)),
            (Clock::Divider { least, most, usual }, mhz) => {
                let mhz = mhz.unwrap_or(usual);
                // Also what is no number.
                if !(least..=most).contains(&mhz) {
                    return Err(ClockError::OutOfReach { mhz, least, most, model: model.name });
                }
                Ok(Some(Self::nearest(mhz)))
            }
        }
    }

    /// The nearest that any device of the family was run with: their chips have one way to name a frequency.
    pub(crate) fn nearest(mhz: f64) -> Self {
        let distance = |(word, _): &&(f64, u16)| (word - mhz).abs();
        let nearest = WORDS.iter().min_by(|a, b| distance(a).total_cmp(&distance(b)));
        let (mhz, word) = *nearest.expect("the table has rows");
        Self { mhz, word }
    }

    /// The command that sets it.
    pub(crate) fn command(self) -> [u8; 4] {
        let [high, low] = self.word.to_be_bytes();
        let mut command = [0x82, high, low, 0];
        command[3] = crc5_of_bits(&command, 27);
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frequency(model: &str, mhz: Option<f64>) -> Result<Option<Frequency>, ClockError> {
        Frequency::of(Model::named(model).unwrap(), mhz)
    }

    #[test]
    fn commands_are_those_of_the_makers_to_the_byte() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/vectors/asic-vectors.json")).unwrap();
        let mut checked = 0;
        for vector in vectors.as_array().unwrap() {
            let is_frequency =
                vector["chip"] == "Antminer U1/U2/U3" && vector["fields"]["meaning"] == "set frequency";
            let Some(mhz) = vector["fields"]["mhz"].as_f64().filter(|_| is_frequency) else { continue };
            let expected = vector["hex"].as_str().unwrap().replace(' ', "").to_lowercase();
            // cgminer's search has another word for 200 MHz, which is never sent here.
            if expected.starts_with("820380") {
                continue;
            }
            let set = frequency("antminer-u3", Some(mhz)).unwrap().unwrap();
            assert_eq!((hex::encode(set.command()), set.mhz), (expected, mhz));
            checked += 1;
        }
        assert_eq!(checked, 7);
    }

    #[test]
    fn the_nearest_frequency_is_taken_and_none_outside_the_limits() {
        assert_eq!(frequency("antminer-u2", None).unwrap().unwrap().mhz, 200.0);
        assert_eq!(frequency("antminer-u3", Some(231.0)).unwrap().unwrap().mhz, 225.0);
        assert_eq!(frequency("block-erupter", None), Ok(None));
        for (model, mhz, said) in [
            ("block-erupter", 200.0, "block-erupter has a fixed clock; leave frequency out"),
            (
                "antminer-u1",
                251.0,
                "frequency 251 MHz is not between 100 and 250 MHz, the limits of antminer-u1",
            ),
            (
                "antminer-u1",
                f64::NAN,
                "frequency NaN MHz is not between 100 and 250 MHz, the limits of antminer-u1",
            ),
        ] {
            assert_eq!(frequency(model, Some(mhz)).unwrap_err().to_string(), said);
        }
    }
}
