//! The two checksums of the chips, bit by bit as their shift registers make them. Written apart from the driver's:
//! two equal mistakes would cancel out.

/// CRC5, x^5 + x^2 + 1, preset 0x1f, over the first `bits` bits of `bytes`, the highest bit of each byte first.
/// Older chips (BM1380, BM1382, BM1384) leave the last bits of their commands out. Bits that are not there count as 0.
pub(super) fn crc5(bytes: &[u8], bits: usize) -> u8 {
    (0..bits).fold(0x1f, |state, at| {
        let byte = bytes.get(at / 8).copied().unwrap_or(0);
        let bit = byte >> (7 - at % 8) & 1;
        let shifted = state << 1 & 0x1f;
        if state >> 4 ^ bit == 1 { shifted ^ 0x05 } else { shifted }
    })
}

/// CRC16 CCITT-FALSE: polynomial 0x1021, preset 0xffff.
pub(super) fn crc16(bytes: &[u8]) -> u16 {
    (0..bytes.len() * 8).fold(0xffff, |state: u16, at| {
        let bit = u16::from(bytes[at / 8] >> (7 - at % 8) & 1);
        let shifted = state << 1;
        if state >> 15 ^ bit == 1 { shifted ^ 0x1021 } else { shifted }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_from_captured_frames_come_out_equal() {
        let whole = |bytes: &[u8]| crc5(bytes, bytes.len() * 8);
        assert_eq!(whole(&[0x52, 0x05, 0x00, 0x00]), 0x0a);
        assert_eq!(whole(&[0x40, 0x05, 0x06, 0x00]), 0x1e);
        assert_eq!(whole(&[0x51, 0x09, 0x00, 0xa4, 0x90, 0x00, 0xff, 0xff]), 0x1c);
        assert_eq!(crc5(&[0x82, 0x07, 0x83, 0x00], 27), 0x1c);
        assert_eq!(crc16(b"123456789"), 0x29b1);
    }
}
