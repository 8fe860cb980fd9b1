//! The SHA-NI kernel: several hashes interleaved, because each SHA instruction waits for the one before it.
//!
//! The instructions do four rounds or four schedule words at a time. What they need not do here:
//! - First hash: rounds 0 to 3 (the nonce is added to their outcome), and every schedule word, or part of one, that
//!   comes from the fixed words of the block.
//! - Second hash: round 0 (the first word is added to its outcome) and the rounds after 60, where the word that is
//!   compared is ready. Its groups of four thus begin one round later than usual: 1 to 4, 5 to 8, … 57 to 60.

use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_castps_si128, _mm_castsi128_ps, _mm_cmpeq_epi32,
    _mm_min_epu32, _mm_movemask_ps, _mm_set_epi32, _mm_set1_epi32, _mm_setzero_si128, _mm_sha256msg1_epu32,
    _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8, _mm_shuffle_epi32, _mm_shuffle_ps,
    _mm_unpackhi_epi64, _mm_unpacklo_epi32, _mm_xor_si128,
};

use super::{
    kernel::Hits,
    sha256::{END_OF_MESSAGE, HASH_BITS, HEADER_BITS, IV, K, Prepared, round, small_sigma_0},
};

/// Hashes in flight. Zen 3 can begin a round instruction every second cycle, and its 60 of them fill that with 2 lanes
/// as with 4 (120 to 123 cycles a hash); Zen 4 needs 4 to reach its 99.
const LANES: usize = 4;

/// Whether this processor has the instructions.
pub(super) fn supported() -> bool {
    is_x86_feature_detected!("sha") && is_x86_feature_detected!("sse4.1") && is_x86_feature_detected!("ssse3")
}

/// See [`super::kernel::Scan`].
pub(super) fn scan(header: &Prepared, start: u32, count: u32, top_limit: u32, hits: &mut Hits) -> u32 {
    assert!(supported(), "the table of kernels asks before it calls");
    // SAFETY: the processor has the instructions, as the line above made sure; nothing else is required.
    unsafe { scan_lanes(header, start, count, top_limit, hits) }
}

/// Four words, the first in the lowest lane.
#[target_feature(enable = "sse2")]
#[inline]
fn words([a, b, c, d]: [u32; 4]) -> __m128i {
    _mm_set_epi32(d as i32, c as i32, b as i32, a as i32)
}

/// Working variables in the order that the round instruction wants: (a, b, e, f) and (c, d, g, h), a and c on top.
#[target_feature(enable = "sse2")]
#[inline]
#[allow(clippy::many_single_char_names)] // FIPS names
fn working_variables([a, b, c, d, e, f, g, h]: [u32; 8]) -> (__m128i, __m128i) {
    (words([f, e, b, a]), words([h, g, d, c]))
}

/// Two words of `low`, then two of `high`, picked as `_mm_shuffle_ps` does.
#[target_feature(enable = "sse2")]
#[inline]
fn pairs<const PICK: i32>(low: __m128i, high: __m128i) -> __m128i {
    _mm_castps_si128(_mm_shuffle_ps::<PICK>(_mm_castsi128_ps(low), _mm_castsi128_ps(high)))
}

/// The variable e of each lane.
#[target_feature(enable = "sse2")]
#[inline]
fn gather_e(abef: &[__m128i; LANES]) -> __m128i {
    let [a, b, c, d] = *abef;
    _mm_unpackhi_epi64(_mm_unpacklo_epi32(a, b), _mm_unpacklo_epi32(c, d))
}

/// A value for each lane.
macro_rules! each {
    ($lane:ident => $value:expr) => {{
        let mut all = [_mm_setzero_si128(); LANES];
        for $lane in 0..LANES {
            all[$lane] = $value;
        }
        all
    }};
}

/// Rounds `t` to `t + 3` in all lanes, with these schedule words.
macro_rules! four_rounds {
    ($abef:ident, $cdgh:ident, $t:expr, $lane:ident => $w:expr) => {
        let k = words([K[$t], K[$t + 1], K[$t + 2], K[$t + 3]]);
        let kw = each!($lane => _mm_add_epi32($w, k));
        $cdgh = each!(i => _mm_sha256rnds2_epu32($cdgh[i], $abef[i], kw[i]));
        $abef = each!(i => _mm_sha256rnds2_epu32($abef[i], $cdgh[i], _mm_shuffle_epi32(kw[i], 0x0e)));
    };
}

/// Rounds `t` to `t + 3` in all lanes. Their schedule words are computed first and take the place of those sixteen rounds
/// before.
macro_rules! four_scheduled_rounds {
    ($abef:ident, $cdgh:ident, $t:expr, $w0:ident, $w4:ident, $w8:ident, $w12:ident) => {
        $w0 = each!(i => _mm_add_epi32(
            _mm_sha256msg1_epu32($w0[i], $w4[i]),
            _mm_alignr_epi8($w12[i], $w8[i], 4),
        ));
        $w0 = each!(i => _mm_sha256msg2_epu32($w0[i], $w12[i]));
        four_rounds!($abef, $cdgh, $t, i => $w0[i]);
    };
}

/// Rounds `t` to `t + 31` in all lanes, from the sixteen schedule words before.
macro_rules! last_32_rounds {
    ($abef:ident, $cdgh:ident, $t:expr, $w0:ident, $w4:ident, $w8:ident, $w12:ident) => {
        four_scheduled_rounds!($abef, $cdgh, $t, $w0, $w4, $w8, $w12);
        four_scheduled_rounds!($abef, $cdgh, $t + 4, $w4, $w8, $w12, $w0);
        four_scheduled_rounds!($abef, $cdgh, $t + 8, $w8, $w12, $w0, $w4);
        four_scheduled_rounds!($abef, $cdgh, $t + 12, $w12, $w0, $w4, $w8);
        four_scheduled_rounds!($abef, $cdgh, $t + 16, $w0, $w4, $w8, $w12);
        four_scheduled_rounds!($abef, $cdgh, $t + 20, $w4, $w8, $w12, $w0);
        four_scheduled_rounds!($abef, $cdgh, $t + 24, $w8, $w12, $w0, $w4);
        four_scheduled_rounds!($abef, $cdgh, $t + 28, $w12, $w0, $w4, $w8);
    };
}

#[target_feature(enable = "sha,sse4.1,ssse3")]
fn scan_lanes(header: &Prepared, start: u32, count: u32, top_limit: u32, hits: &mut Hits) -> u32 {
    let (midstate_abef, midstate_cdgh) = working_variables(header.midstate);
    let (round_3_abef, round_3_cdgh) = working_variables(header.after_round_3);
    let (round_0_abef, round_0_cdgh) = working_variables(round(IV, K[0]));
    let w16_to_19 = words(header.w16_to_19);
    // What the fixed words 4 to 15, and word 16, give to the later ones of the first hash.
    let w20_to_23 = words([END_OF_MESSAGE, 0, HEADER_BITS, header.w16_to_19[0]]);
    let length_term = small_sigma_0(HEADER_BITS);
    let w28_to_31 = words([0, 0, length_term, HEADER_BITS.wrapping_add(small_sigma_0(header.w16_to_19[0]))]);
    let zero = _mm_setzero_si128();
    let limit = _mm_set1_epi32(top_limit as i32);
    let last_iv = _mm_set1_epi32(IV[7] as i32);
    let first_word_to_a_and_e = _mm_set_epi32(0x0302_0100, -1, 0x0302_0100, -1);
    let bytes_swapped = _mm_set_epi32(0x0c0d_0e0f, 0x0809_0a0b, 0x0405_0607, 0x0001_0203);

    // Groups start at multiples of LANES, so that the low bits of the nonce are the lane. Positions count from there.
    let skipped = u64::from(start % LANES as u32);
    let wanted = skipped..skipped + u64::from(count);
    for position in (0..wanted.end).step_by(LANES) {
        let nonce = start.wrapping_sub(skipped as u32).wrapping_add(position as u32);
        let word_3 = nonce.swap_bytes();
        let round_3_abef = _mm_add_epi32(round_3_abef, words([0, word_3, 0, word_3]));
        let nonce_terms = words([0, 0, small_sigma_0(word_3), word_3]);

        // First hash. Lane bits are clear in `nonce` and σ0 is linear over XOR, so a lane is one XOR away.
        let lane_bits = |lane: usize| (lane as u32) << 24;
        let mut abef = each!(i => _mm_add_epi32(round_3_abef, words([0, lane_bits(i), 0, lane_bits(i)])));
        let mut cdgh = each!(_i => round_3_cdgh);
        four_rounds!(abef, cdgh, 4, _i => words([END_OF_MESSAGE, 0, 0, 0]));
        four_rounds!(abef, cdgh, 8, _i => zero);
        four_rounds!(abef, cdgh, 12, _i => words([0, 0, 0, HEADER_BITS]));
        let mut w0 = each!(i => _mm_add_epi32(
            w16_to_19,
            _mm_xor_si128(nonce_terms, words([0, 0, small_sigma_0(lane_bits(i)), lane_bits(i)])),
        ));
        four_rounds!(abef, cdgh, 16, i => w0[i]);
        let mut w4 = each!(i => _mm_sha256msg2_epu32(w20_to_23, w0[i]));
        four_rounds!(abef, cdgh, 20, i => w4[i]);
        let mut w8 = each!(i => _mm_sha256msg2_epu32(_mm_alignr_epi8(w4[i], w0[i], 4), w4[i]));
        four_rounds!(abef, cdgh, 24, i => w8[i]);
        let mut w12 = each!(i =>
            _mm_sha256msg2_epu32(_mm_add_epi32(w28_to_31, _mm_alignr_epi8(w8[i], w4[i], 4)), w8[i]));
        four_rounds!(abef, cdgh, 28, i => w12[i]);
        last_32_rounds!(abef, cdgh, 32, w0, w4, w8, w12);
        abef = each!(i => _mm_add_epi32(midstate_abef, abef[i]));
        cdgh = each!(i => _mm_add_epi32(midstate_cdgh, cdgh[i]));

        // Second hash, of (a, b, c, d, e, f, g, h) as words 0 to 7.
        let abcd = each!(i => pairs::<0xbb>(abef[i], cdgh[i]));
        let efgh = each!(i => pairs::<0x11>(abef[i], cdgh[i]));
        abef = each!(i => _mm_add_epi32(round_0_abef, _mm_shuffle_epi8(abcd[i], first_word_to_a_and_e)));
        cdgh = each!(_i => round_0_cdgh);
        w0 = each!(i => _mm_alignr_epi8(efgh[i], abcd[i], 4));
        four_rounds!(abef, cdgh, 1, i => w0[i]);
        w4 = each!(i => _mm_alignr_epi8(words([END_OF_MESSAGE, 0, 0, 0]), efgh[i], 4));
        four_rounds!(abef, cdgh, 5, i => w4[i]);
        four_rounds!(abef, cdgh, 9, _i => zero);
        // Words 13 to 15 are fixed; word 16 is W[0] + σ0(W[1]).
        w12 = each!(i =>
            _mm_alignr_epi8(_mm_sha256msg1_epu32(abcd[i], efgh[i]), words([0, 0, 0, HASH_BITS]), 4));
        four_rounds!(abef, cdgh, 13, i => w12[i]);
        w0 = each!(i => _mm_sha256msg2_epu32(_mm_sha256msg1_epu32(w0[i], w4[i]), w12[i]));
        four_rounds!(abef, cdgh, 17, i => w0[i]);
        w4 = each!(i => _mm_sha256msg2_epu32(
            _mm_add_epi32(_mm_sha256msg1_epu32(w4[i], zero), _mm_alignr_epi8(w0[i], w12[i], 4)),
            w0[i],
        ));
        four_rounds!(abef, cdgh, 21, i => w4[i]);
        w8 = each!(i => _mm_sha256msg2_epu32(_mm_alignr_epi8(w4[i], w0[i], 4), w4[i]));
        four_rounds!(abef, cdgh, 25, i => w8[i]);
        last_32_rounds!(abef, cdgh, 29, w12, w0, w4, w8);

        // The last word of the hash is h after round 63, which is e after round 60.
        let e = gather_e(&abef);
        let top = _mm_shuffle_epi8(_mm_add_epi32(e, last_iv), bytes_swapped);
        let within = _mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(_mm_min_epu32(top, limit), top)));
        if within == 0 {
            continue;
        }
        for lane in 0..LANES {
            let at = position + lane as u64;
            let found = within & 1 << lane != 0 && wanted.contains(&at);
            if found && !hits.push(nonce.wrapping_add(lane as u32)) {
                return (at - skipped) as u32;
            }
        }
    }
    count
}
