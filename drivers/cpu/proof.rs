//! Header hashing for boards that prove what their chips say, in the portable code that is the oracle of the kernels.

use super::sha256::{END_OF_MESSAGE, HEADER_BITS, IV, block_of_hash, compress, meets_target as meets};

/// SHA-256 state after the first 64 bytes of a header. Shape: sixteen big-endian words already read; words h0 to h7.
pub(crate) fn midstate(first_block: [u32; 16]) -> [u32; 8] {
    compress(IV, first_block)
}

/// Double SHA-256 of a header. Shape: `tail` is header bytes 64 to 75 as big-endian words, `nonce` the number at
/// offset 76; 32 bytes in the order the hash comes out.
pub(crate) fn hash(midstate: [u32; 8], tail: [u32; 3], nonce: u32) -> [u8; 32] {
    let mut block = [0; 16];
    block[..3].copy_from_slice(&tail);
    block[3] = nonce.swap_bytes();
    block[4] = END_OF_MESSAGE;
    block[15] = HEADER_BITS;
    let words = compress(IV, block_of_hash(compress(midstate, block)));
    let mut bytes = [0; 32];
    for (out, word) in bytes.chunks_exact_mut(4).zip(words) {
        out.copy_from_slice(&word.to_be_bytes());
    }
    bytes
}

/// Whether a hash is at most the target, both read as little-endian 256-bit numbers.
pub(crate) fn meets_target(hash: &[u8; 32], target: &[u8; 32]) -> bool {
    meets(hash, target)
}
