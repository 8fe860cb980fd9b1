//! The checksums of the BM13xx line: five bits on commands and answers, sixteen on jobs.

/// x^5 + x^2 + 1 without its top bit. Source: mujina `asic/bm13xx/crc.rs`, ESP-Miner `components/asic/crc.c`.
const POLYNOMIAL_5: u8 = 0x05;
/// Start value of the five-bit checksum; nothing is reflected and nothing is added at the end.
const INIT_5: u8 = 0x1f;
/// CRC-16/CCITT-FALSE. Source: ESP-Miner `components/asic/crc.c`, `crc16_false`.
const POLYNOMIAL_16: u16 = 0x1021;

/// CRC5 of whole bytes, the highest bit of each first. Shape: 0..=31.
///
/// Over a good answer from behind its preamble to its last byte it is 0.
pub fn crc5(bytes: &[u8]) -> u8 {
    crc5_of_bits(bytes, bytes.len() * 8)
}

/// CRC5 of the first `bits` bits; of all there are when these are fewer. Chips before the BM1387 (BM1380, BM1382,
/// BM1384) check the first 27 bits of a command of four bytes, and an answer leaves out its last five.
/// Source: cgminer `driver-gekko.c`, bfgminer `driver-antminer.c`.
pub fn crc5_of_bits(bytes: &[u8], bits: usize) -> u8 {
    (0..bits.min(bytes.len() * 8)).fold(INIT_5, |crc, at| {
        let bit = (bytes[at / 8] >> (7 - at % 8)) & 1;
        let shifted = (crc << 1) & 0x1f;
        if (crc >> 4) ^ bit == 1 { shifted ^ POLYNOMIAL_5 } else { shifted }
    })
}

/// CRC16 of a job, its highest byte goes first onto the wire.
pub fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xffff, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc: u16, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ POLYNOMIAL_16 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc16_has_the_check_value_of_its_catalogue_entry() {
        assert_eq!(crc16(b"123456789"), 0x29b1);
    }

    #[test]
    fn crc5_is_that_of_commands_as_mujina_prints_them() {
        for (command, crc) in [
            (&[0x52, 0x05, 0x00, 0x00][..], 0x0a),
            (&[0x53, 0x05, 0x00, 0x00], 0x03),
            (&[0x40, 0x05, 0x06, 0x00], 0x1e),
            (&[0x51, 0x09, 0x00, 0xa4, 0x90, 0x00, 0xff, 0xff], 0x1c),
        ] {
            assert_eq!(crc5(command), crc, "{command:02x?}");
        }
    }

    #[test]
    fn the_old_form_leaves_the_last_five_of_thirty_two_bits_out() {
        // Frequencies of the Antminer U1 and the id read of the BM1384, from the drivers named above.
        for (command, crc) in
            [([0x82, 0x07, 0x83, 0], 0x1c), ([0x82, 0x09, 0x82, 0], 0x07), ([0x84, 0, 0, 0], 0x11)]
        {
            assert_eq!(crc5_of_bits(&command, 27), crc, "{command:02x?}");
        }
    }

    #[test]
    fn more_bits_than_there_are_means_all_of_them() {
        assert_eq!(crc5_of_bits(&[0x52, 0x05, 0x00, 0x00], usize::MAX), 0x0a);
    }
}
