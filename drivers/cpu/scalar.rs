//! The portable kernel: one hash at a time, no instruction beyond the language. The others are checked against it.

use super::{
    kernel::Hits,
    sha256::{
        END_OF_MESSAGE, HEADER_BITS, IV, K, Prepared, add_state, block_of_hash, round, schedule_word,
        small_sigma_0,
    },
};

/// See [`super::kernel::Scan`].
pub(super) fn scan(header: &Prepared, start: u32, count: u32, top_limit: u32, hits: &mut Hits) -> u32 {
    for done in 0..count {
        let nonce = start.wrapping_add(done);
        if last_word(header, nonce).swap_bytes() <= top_limit && !hits.push(nonce) {
            return done;
        }
    }
    count
}

/// The last state word of the header's double SHA-256.
fn last_word(header: &Prepared, nonce: u32) -> u32 {
    let word_3 = nonce.swap_bytes(); // the header holds the nonce little-endian, SHA-256 reads big-endian
    let mut w = [0; 64];
    w[4] = END_OF_MESSAGE;
    w[15] = HEADER_BITS;
    w[16..20].copy_from_slice(&header.w16_to_19);
    w[18] = w[18].wrapping_add(small_sigma_0(word_3));
    w[19] = w[19].wrapping_add(word_3);
    for t in 20..64 {
        w[t] = schedule_word(&w, t);
    }
    let mut rounds = header.after_round_3;
    rounds[0] = rounds[0].wrapping_add(word_3);
    rounds[4] = rounds[4].wrapping_add(word_3);
    for t in 4..64 {
        rounds = round(rounds, K[t].wrapping_add(w[t]));
    }
    let first = add_state(header.midstate, rounds);

    w[..16].copy_from_slice(&block_of_hash(first));
    for t in 16..61 {
        w[t] = schedule_word(&w, t);
    }
    // The last word of the hash is h after round 63, which is e after round 60.
    let [_, _, _, _, e, _, _, _] = (0..61).fold(IV, |rounds, t| round(rounds, K[t].wrapping_add(w[t])));
    e.wrapping_add(IV[7])
}
