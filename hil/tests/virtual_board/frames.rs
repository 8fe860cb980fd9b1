//! Bytes, checksums and hashes of a host, computed here and not by the boards.

use bitcoin::hashes::{Hash, sha256d};
use bitcoin::hex::FromHex;

pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    Vec::from_hex(&hex.replace([' ', '\n'], "")).unwrap()
}

/// CRC5 by polynomial division: the message with its first five bits inverted, five zeros behind, modulo x^5 + x^2 + 1.
pub(crate) fn crc5(message: &[u8]) -> u8 {
    let bits = message.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1));
    let mut bits: Vec<u8> = bits.chain([0; 5]).collect();
    bits[..5].iter_mut().for_each(|bit| *bit ^= 1);
    for at in 0..bits.len() - 5 {
        if bits[at] == 1 {
            for place in [0, 3, 5] {
                bits[at + place] ^= 1;
            }
        }
    }
    bits[bits.len() - 5..].iter().fold(0, |crc, bit| crc << 1 | bit)
}

/// A command without its CRC, such as `52 05 00 00`, as a whole frame.
pub(crate) fn command(hex: &str) -> Vec<u8> {
    let body = bytes(hex);
    let mut frame = vec![0x55, 0xaa];
    frame.extend(&body);
    frame.push(crc5(&body));
    frame
}

/// Zero bits at the top of the double SHA-256 of a header.
pub(crate) fn zero_bits(header: &[u8]) -> u32 {
    let hash = sha256d::Hash::hash(header).to_byte_array();
    let zero_bytes = hash.iter().rev().take_while(|byte| **byte == 0).count();
    zero_bytes as u32 * 8 + hash.iter().rev().nth(zero_bytes).map_or(0, |byte| byte.leading_zeros())
}
