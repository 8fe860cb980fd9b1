//! The devices of the family as a table.
//!
//! Source: cgminer `driver-icarus.c`, bfgminer `driver-icarus.c`, `driver-erupter.c` and `driver-antminer.c`.

/// Speed of the line of all of them.
pub const BAUD: u32 = 115_200;

/// How a device that takes commands for its clock names a frequency.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Clock {
    /// It has none that could be set.
    Fixed,
    /// Any that the divider reaches within these limits. Unit: MHz.
    Divider { least: f64, most: f64, usual: f64 },
}

/// One kind of device.
#[derive(Debug, PartialEq)]
pub struct Model {
    /// What an operator calls it.
    pub name: &'static str,
    /// Hashes a second; with a clock, for each MHz.
    pub(super) hashes: f64,
    pub(super) clock: Clock,
    /// Bytes of an answer: the nonce, and what follows it.
    pub(super) answer_size: usize,
    /// Whether it goes on after a nonce. Others stop until the next work.
    pub(super) continues: bool,
    /// Whether several devices may share the range of nonces, each beginning at its own part.
    pub(super) is_divided: bool,
}

const FPGA: Model = Model {
    name: "icarus",
    hashes: 1.0 / 2.6316e-9,
    clock: Clock::Fixed,
    answer_size: 4,
    continues: false,
    is_divided: true,
};

/// A stick whose clock can be set: 0.125 µs a hash and MHz are 8 hashes a cycle.
const ANTMINER: Model = Model {
    name: "antminer-u1",
    hashes: 8e6,
    clock: Clock::Divider { least: 100.0, most: 250.0, usual: 200.0 },
    answer_size: 5,
    continues: true,
    is_divided: false,
};

/// All of them.
pub static MODELS: &[Model] = &[
    FPGA,
    Model { name: "cairnsmore", hashes: 1.0 / 2.7e-9, ..FPGA },
    Model { name: "lancelot", hashes: 1.0 / 2.5e-9, ..FPGA },
    Model { name: "block-erupter", hashes: 1.0 / 2.9761e-9, continues: true, is_divided: false, ..FPGA },
    ANTMINER,
    Model { name: "antminer-u2", ..ANTMINER },
    // 3.2 ns a hash and MHz. Its clock may be set while it hashes; cgminer's default is the 225 MHz here.
    Model {
        name: "antminer-u3",
        hashes: 1.0 / 3.2e-9,
        clock: Clock::Divider { least: 100.0, most: 250.0, usual: 225.0 },
        ..ANTMINER
    },
];

impl Model {
    /// The model of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        MODELS.iter().find(|model| model.name == name)
    }

    /// Hashes a second at this frequency; the frequency counts only where it can be set. Unit: MHz.
    pub(super) fn rate(&self, mhz: f64) -> f64 {
        match self.clock {
            Clock::Fixed => self.hashes,
            Clock::Divider { .. } => self.hashes * mhz,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_that_the_devices_are_sold_with() {
        let rate = |name: &str, mhz| Model::named(name).unwrap().rate(mhz);
        assert!((rate("icarus", 0.0) / 380e6 - 1.0).abs() < 0.001);
        assert!((rate("block-erupter", 0.0) / 336e6 - 1.0).abs() < 0.001);
        assert!((rate("antminer-u1", 200.0) / 1.6e9 - 1.0).abs() < 0.001);
        assert!((rate("antminer-u3", 225.0) / 70.3e9 - 1.0).abs() < 0.001);
        assert!(Model::named("antminer-u9").is_none());
    }
}
