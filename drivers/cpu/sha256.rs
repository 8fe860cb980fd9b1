//! SHA-256 of block headers in portable code, and all that can be computed once a header before its nonces are tried.
//!
//! Names follow FIPS 180-4: round constants K, message schedule W, working variables a to h, functions Ch, Maj, Σ, σ.

use crate::ChipJob;

/// Round constants. Source: FIPS 180-4, section 4.2.2.
#[rustfmt::skip]
pub(super) const K: [u32; 64] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
];

/// Initial hash value. Source: FIPS 180-4, section 5.3.3.
#[rustfmt::skip]
pub(super) const IV: [u32; 8] = [
    0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19,
];

/// The bit that ends every message, in the word after its last one. Source: FIPS 180-4, section 5.1.1.
pub(super) const END_OF_MESSAGE: u32 = 0x8000_0000;
/// Length of a header in bits, the last word of its second block.
pub(super) const HEADER_BITS: u32 = 80 * 8;
/// Length of a hash in bits, the last word of the block that hashes it again.
pub(super) const HASH_BITS: u32 = 32 * 8;

/// σ0 of FIPS 180-4, section 4.1.2.
pub(super) const fn small_sigma_0(x: u32) -> u32 {
    x.rotate_right(7) ^ x.rotate_right(18) ^ (x >> 3)
}

/// σ1 of FIPS 180-4, section 4.1.2.
pub(super) const fn small_sigma_1(x: u32) -> u32 {
    x.rotate_right(17) ^ x.rotate_right(19) ^ (x >> 10)
}

/// One round. Shape: working variables a to h; `kw` is the sum of the round's constant and schedule word.
#[inline(always)]
#[allow(clippy::many_single_char_names, clippy::inline_always)] // FIPS names; a call in each round would cost a third
pub(super) const fn round([a, b, c, d, e, f, g, h]: [u32; 8], kw: u32) -> [u32; 8] {
    let big_sigma_0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
    let big_sigma_1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
    let ch = g ^ (e & (f ^ g));
    let maj = (a & b) | (c & (a | b));
    let t1 = h.wrapping_add(big_sigma_1).wrapping_add(ch).wrapping_add(kw);
    [t1.wrapping_add(big_sigma_0).wrapping_add(maj), a, b, c, d.wrapping_add(t1), e, f, g]
}

/// Word `t` of the message schedule, from the sixteen before it.
pub(super) const fn schedule_word(w: &[u32; 64], t: usize) -> u32 {
    small_sigma_1(w[t - 2])
        .wrapping_add(w[t - 7])
        .wrapping_add(small_sigma_0(w[t - 15]))
        .wrapping_add(w[t - 16])
}

/// Word by word sum, the step that ends a compression.
pub(super) fn add_state(state: [u32; 8], rounds: [u32; 8]) -> [u32; 8] {
    std::array::from_fn(|i| state[i].wrapping_add(rounds[i]))
}

/// The compression function. Shape: `block` is sixteen big-endian words already read.
pub(super) fn compress(state: [u32; 8], block: [u32; 16]) -> [u32; 8] {
    let mut w = [0; 64];
    w[..16].copy_from_slice(&block);
    for t in 16..64 {
        w[t] = schedule_word(&w, t);
    }
    add_state(state, K.iter().zip(&w).fold(state, |rounds, (k, w)| round(rounds, k.wrapping_add(*w))))
}

/// The most midstates that any kernel tries a nonce with.
pub(super) const MOST_MIDSTATES: usize = 16;

/// Headers that differ in their versions only, without their nonce, with everything that does not depend on the nonce
/// already computed. Words of different headers stand side by side, as kernels load them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(align(64))]
pub(super) struct Prepared {
    /// States after the headers' first 64 bytes. Shape: by word, then by header.
    pub(super) midstates: [[u32; MOST_MIDSTATES]; 8],
    /// Working variables after rounds 0 to 3 of the second block if the nonce were 0. The nonce only has to be added
    /// to a and e. Shape: by variable, then by header.
    pub(super) after_round_3: [[u32; MOST_MIDSTATES]; 8],
    /// Words 0 to 2 of the second block: end of the merkle root, ntime, nbits.
    tail: [u32; 3],
    /// Schedule words 16 to 19 of the second block as far as they do not depend on the nonce: σ0(nonce) is missing in
    /// word 18 and the nonce itself in word 19.
    pub(super) w16_to_19: [u32; 4],
}

impl Prepared {
    /// Prepares the header of `job` with these versions in place of the job's own. Shape: at most
    /// [`MOST_MIDSTATES`] versions.
    pub(super) fn new(job: &ChipJob, versions: impl IntoIterator<Item = u32>) -> Self {
        let mut words = [0; 19];
        let hashes = job.prev_hash.chunks_exact(4).chain(job.merkle_root.chunks_exact(4));
        for (word, bytes) in words[1..17].iter_mut().zip(hashes) {
            *word = u32::from_be_bytes(bytes.try_into().expect("each chunk is four bytes long"));
        }
        words[17] = job.ntime.swap_bytes();
        words[18] = job.nbits.swap_bytes();
        Self::from_words(&words, versions.into_iter().map(u32::swap_bytes))
    }

    /// Prepares the first 76 bytes of a header, read as big-endian words, with these numbers as word 0. Shape: at most
    /// [`MOST_MIDSTATES`] of them.
    pub(super) fn from_words(header: &[u32; 19], first_words: impl IntoIterator<Item = u32>) -> Self {
        let tail = [header[16], header[17], header[18]];
        let mut w = [0; 64];
        w[..3].copy_from_slice(&tail);
        w[4] = END_OF_MESSAGE;
        w[15] = HEADER_BITS;
        let mut midstates = [[0; MOST_MIDSTATES]; 8];
        let mut after_round_3 = [[0; MOST_MIDSTATES]; 8];
        for (i, first_word) in first_words.into_iter().enumerate() {
            let midstate = compress(IV, std::array::from_fn(|t| if t == 0 { first_word } else { header[t] }));
            let rounds = (0..4).fold(midstate, |rounds, t| round(rounds, K[t].wrapping_add(w[t])));
            for word in 0..8 {
                midstates[word][i] = midstate[word];
                after_round_3[word][i] = rounds[word];
            }
        }
        for t in 16..18 {
            w[t] = schedule_word(&w, t);
        }
        // Word 3 stands at 0 here, and neither term with the nonce is a part of what is left.
        let w16_to_19 =
            [w[16], w[17], schedule_word(&w, 18), small_sigma_1(w[17]).wrapping_add(small_sigma_0(w[4]))];
        Self { midstates, after_round_3, tail, w16_to_19 }
    }

    /// The midstate of one header.
    pub(super) fn midstate(&self, header: usize) -> [u32; 8] {
        self.midstates.map(|word| word[header])
    }

    /// The working variables of one header after round 3.
    pub(super) fn after_round_3(&self, header: usize) -> [u32; 8] {
        self.after_round_3.map(|variable| variable[header])
    }

    /// The double SHA-256 of one header with this nonce, all rounds. Shape: 32 bytes, in the order the hash comes out.
    pub(super) fn hash(&self, header: usize, nonce: u32) -> [u8; 32] {
        let mut block = [0; 16];
        block[..3].copy_from_slice(&self.tail);
        block[3] = nonce.swap_bytes();
        block[4] = END_OF_MESSAGE;
        block[15] = HEADER_BITS;
        let first = compress(self.midstate(header), block);
        let mut bytes = [0; 32];
        for (out, word) in bytes.chunks_exact_mut(4).zip(compress(IV, block_of_hash(first))) {
            out.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }
}

/// The block that hashes a hash again.
pub(super) fn block_of_hash(hash: [u32; 8]) -> [u32; 16] {
    let mut block = [0; 16];
    block[..8].copy_from_slice(&hash);
    block[8] = END_OF_MESSAGE;
    block[15] = HASH_BITS;
    block
}

/// Whether a hash is at most the target, both read as little-endian 256-bit numbers.
pub(super) fn meets_target(hash: &[u8; 32], target: &[u8; 32]) -> bool {
    hash.iter().rev().le(target.iter().rev())
}

/// The largest top word that a hash at most `target` can have.
pub(super) fn top_limit(target: &[u8; 32]) -> u32 {
    let [.., a, b, c, d] = *target;
    u32::from_le_bytes([a, b, c, d])
}
