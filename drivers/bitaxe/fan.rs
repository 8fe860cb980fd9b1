//! The fan: what drives it. What it should do is decided by [`super::thermal`].

use super::packet::Command;

/// Ids of an EMC2101 in register 0xFD. Source: its data sheet (EMC2101, EMC2101-R).
const EMC2101_IDS: [u8; 2] = [0x16, 0x28];
/// Highest setting of its fan, six bits.
const EMC2101_FULL: f64 = 63.0;

/// Asks an EMC2101 for its id.
pub fn emc2101_id(address: u8) -> Command {
    Command::read_register(address, 0xfd, 1)
}

/// Whether that is one.
pub fn is_emc2101(id: &[u8]) -> bool {
    matches!(id, [id] if EMC2101_IDS.contains(id))
}

/// Makes an EMC2101 ready: tachometer on its pin, fan under our control, the diode as on chips of Bitmain. Source:
/// ESP-Miner `EMC2101.c`; the ideality 0x24 (register 0x17) is of its `device_config.h`.
pub fn emc2101_set_up(address: u8) -> [Command; 3] {
    let write = |register, value: u8| Command::write_register(address, register, &[value]);
    [write(0x03, 0x04), write(0x4a, 0x23), write(0x17, 0x24)]
}

/// Drives the fan of an EMC2101. Shape: percent, above 100 as 100; between two settings the faster one.
pub fn emc2101_drive(address: u8, percent: u8) -> Command {
    let setting = (f64::from(percent.min(100)) / 100.0 * EMC2101_FULL).ceil() as u8;
    Command::write_register(address, 0x4c, &[setting])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(command: Command) -> Vec<u8> {
        match command {
            Command::I2cWrite { address: 0x4c, bytes } => bytes,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_emc2101_is_known_by_its_id_and_told_how_to_count_and_drive() {
        assert_eq!(emc2101_id(0x4c), Command::I2cWriteRead { address: 0x4c, bytes: vec![0xfd], count: 1 });
        assert!(is_emc2101(&[0x16]) && is_emc2101(&[0x28]) && !is_emc2101(&[0xff]) && !is_emc2101(&[]));
        assert_eq!(emc2101_set_up(0x4c).map(written), [[0x03, 0x04], [0x4a, 0x23], [0x17, 0x24]]);
    }

    #[test]
    fn a_fan_never_gets_less_than_was_asked_for() {
        for (percent, setting) in [(0, 0), (1, 1), (50, 32), (100, 63), (255, 63)] {
            assert_eq!(written(emc2101_drive(0x4c, percent)), [0x4c, setting], "{percent} %");
        }
    }
}
