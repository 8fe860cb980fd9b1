//! The SHA-NI kernels: several hashes in turn, because each SHA instruction waits for the one before it.
//!
//! The instructions do four rounds or four schedule words at a time. What they need not do here:
//! - First hash: rounds 0 to 3 (the nonce is added to their outcome), and every schedule word, or part of one, that
//!   comes from the fixed words of the block. With several midstates, all but one schedule for all of them.
//! - Second hash: round 0 (the first word is added to its outcome) and the rounds after 60, where the word that is
//!   compared is ready. Its groups of four thus begin one round later than usual: 1 to 4, 5 to 8, … 57 to 60.
//!
//! The text is compiled three times. SHA instructions reach sixteen registers only and overwrite one of their operands, so
//! much of the rest is moves: AVX has other instructions that overwrite nothing (1.06 times the rate on Zen 5), and
//! AVX-512VL sixteen more registers to put values aside (1.05 times again).
#![allow(clippy::inline_always, clippy::many_single_char_names)] // a call would not have the caller's instructions; FIPS names

use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_castps_si128, _mm_castsi128_ps, _mm_cmpeq_epi32,
    _mm_min_epu32, _mm_movemask_ps, _mm_set_epi32, _mm_set1_epi32, _mm_sha256msg1_epu32,
    _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8, _mm_shuffle_epi32, _mm_shuffle_ps,
    _mm_unpackhi_epi64, _mm_unpacklo_epi32,
};

use super::{
    kernel::Hits,
    sha256::{END_OF_MESSAGE, HASH_BITS, HEADER_BITS, IV, K, Prepared, round, small_sigma_0},
    sweep,
    unroll::unrolled,
};

/// Hashes in flight. Zen 3 and Zen 5 can begin a round instruction every second cycle only; two hashes fill that on Zen 3 as
/// four do, and Zen 4 needs four.
const IN_FLIGHT: usize = 4;
/// Midstates of the kernel that tries several with each nonce.
const MIDSTATES: usize = 8;

/// Shows that this processor has the SHA instructions, SSSE3 and SSE4.1.
#[derive(Clone, Copy)]
struct ShaNi(());

impl ShaNi {
    fn detect() -> Option<Self> {
        let has_all = is_x86_feature_detected!("sha")
            && is_x86_feature_detected!("sse4.1")
            && is_x86_feature_detected!("ssse3");
        has_all.then_some(Self(()))
    }
}

/// Whether this processor has the instructions.
pub(super) fn supported() -> bool {
    ShaNi::detect().is_some()
}

/// A kernel: one function that asks for the instructions, and one for each way to encode them.
macro_rules! kernel {
    ($(#[$doc:meta])* $scan:ident = $sweep:expr) => {
        $(#[$doc])*
        pub(super) fn $scan(headers: &Prepared, start: u32, count: u32, top_limit: u32, hits: &mut Hits) -> u32 {
            macro_rules! compiled {
                ($name:ident, $features:literal) => {
                    #[target_feature(enable = $features)]
                    fn $name(
                        proof: ShaNi, headers: &Prepared, start: u32, count: u32, top_limit: u32, hits: &mut Hits,
                    ) -> u32 {
                        $sweep(proof, headers, start, count, top_limit, hits)
                    }
                };
            }
            compiled!(plain, "sha,ssse3,sse4.1");
            compiled!(avx, "sha,avx");
            compiled!(avx512vl, "sha,avx512vl");
            let proof = ShaNi::detect().expect("the table of kernels asks before it calls");
            // SAFETY: the processor has the instructions, as the proof and each condition say; nothing else is required.
            unsafe {
                if is_x86_feature_detected!("avx512vl") {
                    avx512vl(proof, headers, start, count, top_limit, hits)
                } else if is_x86_feature_detected!("avx") {
                    avx(proof, headers, start, count, top_limit, hits)
                } else {
                    plain(proof, headers, start, count, top_limit, hits)
                }
            }
        }
    };
}

kernel! {
    /// See [`super::kernel::Scan`].
    scan = nonces
}
kernel! {
    /// See [`super::kernel::Scan`]; eight midstates.
    scan_versions = versions
}

/// Four numbers of 32 bits.
#[derive(Clone, Copy)]
struct Xmm(__m128i);

/// Calls functions for these instructions from code that is inlined into a kernel.
macro_rules! sha_ni {
    ($call:expr) => {
        // SAFETY: there is a proof or a value here, and neither is made where the processor lacks the instructions.
        unsafe { $call }
    };
}
impl Xmm {
    /// Four words, the first in the lowest place.
    #[inline(always)]
    fn new(_: ShaNi, [a, b, c, d]: [u32; 4]) -> Self {
        Self(sha_ni!(_mm_set_epi32(d as i32, c as i32, b as i32, a as i32)))
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        Self(sha_ni!(_mm_add_epi32(self.0, other.0)))
    }

    /// Bytes picked as `_mm_shuffle_epi8` does.
    #[inline(always)]
    fn bytes(self, pick: Self) -> Self {
        Self(sha_ni!(_mm_shuffle_epi8(self.0, pick.0)))
    }

    /// Two words of `self`, then two of `other`, picked as `_mm_shuffle_ps` does.
    #[inline(always)]
    fn pairs<const PICK: i32>(self, other: Self) -> Self {
        let pairs = sha_ni!(_mm_shuffle_ps::<PICK>(_mm_castsi128_ps(self.0), _mm_castsi128_ps(other.0)));
        Self(sha_ni!(_mm_castps_si128(pairs)))
    }

    /// The upper two words in the lower two places.
    #[inline(always)]
    fn upper(self) -> Self {
        Self(sha_ni!(_mm_shuffle_epi32::<0x0e>(self.0)))
    }

    /// Words 1 to 3 of `self`, then word 0 of `next`.
    #[inline(always)]
    fn one_on(self, next: Self) -> Self {
        Self(sha_ni!(_mm_alignr_epi8::<4>(next.0, self.0)))
    }

    /// W\[t\] + σ0(W\[t + 1\]) for the four words from t on. Shape: words t to t + 3, and those after them.
    #[inline(always)]
    fn with_sigma_0(self, next: Self) -> Self {
        Self(sha_ni!(_mm_sha256msg1_epu32(self.0, next.0)))
    }

    /// Four schedule words from their sums without σ1. Shape: those sums, and the four words before.
    #[inline(always)]
    fn with_sigma_1(self, before: Self) -> Self {
        Self(sha_ni!(_mm_sha256msg2_epu32(self.0, before.0)))
    }

    /// Two rounds: the new a, b, e, f, where `self` is c, d, g, h. Shape: `kw` has sums of constants and schedule words in
    /// its lower two places.
    #[inline(always)]
    fn two_rounds(self, abef: Self, kw: Self) -> Self {
        Self(sha_ni!(_mm_sha256rnds2_epu32(self.0, abef.0, kw.0)))
    }
}

/// Working variables in the order that the round instruction wants, a and c on top.
#[derive(Clone, Copy)]
struct State {
    abef: Xmm,
    cdgh: Xmm,
}
impl State {
    #[inline(always)]
    fn new(proof: ShaNi, [a, b, c, d, e, f, g, h]: [u32; 8]) -> Self {
        Self { abef: Xmm::new(proof, [f, e, b, a]), cdgh: Xmm::new(proof, [h, g, d, c]) }
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        Self { abef: self.abef.plus(other.abef), cdgh: self.cdgh.plus(other.cdgh) }
    }

    /// With a word added to a and e.
    #[inline(always)]
    fn with_word(self, proof: ShaNi, word: u32) -> Self {
        Self { abef: self.abef.plus(Xmm::new(proof, [0, word, 0, word])), cdgh: self.cdgh }
    }
}

/// A value for each of so many.
macro_rules! each {
    ($proof:ident, $count:ident, $i:ident => $value:expr) => {{
        let mut all = [Xmm::new($proof, [0; 4]); $count];
        for $i in 0..$count {
            all[$i] = $value;
        }
        all
    }};
}

/// Rounds `t` to `t + 3` of `N` hashes. Shape: their schedule words, each its own, or one for all.
#[inline(always)]
fn four_rounds<const N: usize, const W: usize>(proof: ShaNi, s: &mut [State; N], t: usize, w: &[Xmm; W]) {
    let k = Xmm::new(proof, [K[t], K[t + 1], K[t + 2], K[t + 3]]);
    let kw = each!(proof, W, i => w[i].plus(k));
    for i in 0..N {
        s[i].cdgh = s[i].cdgh.two_rounds(s[i].abef, kw[i % W]);
    }
    for i in 0..N {
        s[i].abef = s[i].abef.two_rounds(s[i].cdgh, kw[i % W].upper());
    }
}

/// Rounds `t` to `t + 31`, from the sixteen schedule words before.
#[inline(always)]
fn last_32_rounds<const N: usize, const W: usize>(
    proof: ShaNi,
    s: &mut [State; N],
    t: usize,
    mut w: [[Xmm; W]; 4],
) {
    unrolled!(FOUR in 0 1 2 3 4 5 6 7 => {
        let [w0, w4, w8, w12] = [w[FOUR % 4], w[(FOUR + 1) % 4], w[(FOUR + 2) % 4], w[(FOUR + 3) % 4]];
        w[FOUR % 4] = each!(proof, W, i =>
            w0[i].with_sigma_0(w4[i]).plus(w8[i].one_on(w12[i])).with_sigma_1(w12[i]));
        four_rounds(proof, s, t + 4 * FOUR, &w[FOUR % 4]);
    });
}

/// What the fixed words of a header's second block give to its schedule.
#[derive(Clone, Copy)]
struct FixedWords {
    w16_to_19: Xmm,
    w20_to_23: Xmm,
    w28_to_31: Xmm,
}
impl FixedWords {
    #[inline(always)]
    fn new(proof: ShaNi, w16_to_19: [u32; 4]) -> Self {
        let w31 = HEADER_BITS.wrapping_add(small_sigma_0(w16_to_19[0]));
        Self {
            w16_to_19: Xmm::new(proof, w16_to_19),
            w20_to_23: Xmm::new(proof, [END_OF_MESSAGE, 0, HEADER_BITS, w16_to_19[0]]),
            w28_to_31: Xmm::new(proof, [0, 0, small_sigma_0(HEADER_BITS), w31]),
        }
    }

    /// Words 16 to 19 with this nonce as word 3.
    #[inline(always)]
    fn w16_to_19(self, proof: ShaNi, word_3: u32) -> Xmm {
        self.w16_to_19.plus(Xmm::new(proof, [0, 0, small_sigma_0(word_3), word_3]))
    }
}

/// Rounds 4 to 63 of first hashes. Shape: words 16 to 19, of each or for all.
#[inline(always)]
fn first_hash<const N: usize, const W: usize>(
    proof: ShaNi,
    s: &mut [State; N],
    fixed: FixedWords,
    w16: [Xmm; W],
) {
    four_rounds(proof, s, 4, &[Xmm::new(proof, [END_OF_MESSAGE, 0, 0, 0])]);
    four_rounds(proof, s, 8, &[Xmm::new(proof, [0; 4])]);
    four_rounds(proof, s, 12, &[Xmm::new(proof, [0, 0, 0, HEADER_BITS])]);
    four_rounds(proof, s, 16, &w16);
    let w20 = each!(proof, W, i => fixed.w20_to_23.with_sigma_1(w16[i]));
    four_rounds(proof, s, 20, &w20);
    let w24 = each!(proof, W, i => w16[i].one_on(w20[i]).with_sigma_1(w20[i]));
    four_rounds(proof, s, 24, &w24);
    let w28 = each!(proof, W, i => w20[i].one_on(w24[i]).plus(fixed.w28_to_31).with_sigma_1(w24[i]));
    four_rounds(proof, s, 28, &w28);
    last_32_rounds(proof, s, 32, [w16, w20, w24, w28]);
}

/// Rounds 1 to 60 of the hashes of hashes (a, b, c, d, e, f, g, h). Shape: a, b, e, f after them. The last word of such a
/// hash is h after round 63, which is e after round 60.
#[inline(always)]
fn second_hash<const N: usize>(proof: ShaNi, first: &[State; N]) -> [Xmm; N] {
    let zero = Xmm::new(proof, [0; 4]);
    let first_word_to_a_and_e = Xmm::new(proof, [u32::MAX, 0x0302_0100, u32::MAX, 0x0302_0100]);
    let abcd = each!(proof, N, i => first[i].abef.pairs::<0xbb>(first[i].cdgh));
    let efgh = each!(proof, N, i => first[i].abef.pairs::<0x11>(first[i].cdgh));
    let mut s = [State::new(proof, round(IV, K[0])); N];
    for i in 0..N {
        s[i].abef = s[i].abef.plus(abcd[i].bytes(first_word_to_a_and_e));
    }
    let s = &mut s;
    let w1 = each!(proof, N, i => abcd[i].one_on(efgh[i]));
    four_rounds(proof, s, 1, &w1);
    let w5 = each!(proof, N, i => efgh[i].one_on(Xmm::new(proof, [END_OF_MESSAGE, 0, 0, 0])));
    four_rounds(proof, s, 5, &w5);
    four_rounds(proof, s, 9, &[zero]);
    // Words 13 to 15 are fixed; word 16 is W[0] + σ0(W[1]).
    let w13 = each!(proof, N, i =>
        Xmm::new(proof, [0, 0, 0, HASH_BITS]).one_on(abcd[i].with_sigma_0(efgh[i])));
    four_rounds(proof, s, 13, &w13);
    let w17 = each!(proof, N, i => w1[i].with_sigma_0(w5[i]).with_sigma_1(w13[i]));
    four_rounds(proof, s, 17, &w17);
    let w21 = each!(proof, N, i =>
        w5[i].with_sigma_0(zero).plus(w13[i].one_on(w17[i])).with_sigma_1(w17[i]));
    four_rounds(proof, s, 21, &w21);
    let w25 = each!(proof, N, i => w17[i].one_on(w21[i]).with_sigma_1(w21[i]));
    four_rounds(proof, s, 25, &w25);
    last_32_rounds(proof, s, 29, [w13, w17, w21, w25]);
    each!(proof, N, i => s[i].abef)
}

/// Which of four hashes have a top word of at most `top_limit`. Shape: what [`second_hash`] gives; a bit for each.
#[inline(always)]
fn within(proof: ShaNi, [a, b, c, d]: [Xmm; 4], top_limit: u32) -> u64 {
    let swapped = Xmm::new(proof, [0x0001_0203, 0x0405_0607, 0x0809_0a0b, 0x0c0d_0e0f]);
    let e = Xmm(sha_ni!(_mm_unpackhi_epi64(_mm_unpacklo_epi32(a.0, b.0), _mm_unpacklo_epi32(c.0, d.0))));
    let top = e.plus(Xmm(sha_ni!(_mm_set1_epi32(IV[7] as i32)))).bytes(swapped);
    let least = sha_ni!(_mm_min_epu32(top.0, _mm_set1_epi32(top_limit as i32)));
    u64::from(sha_ni!(_mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(least, top.0)))) as u32)
}

#[inline(always)]
fn nonces(proof: ShaNi, headers: &Prepared, start: u32, count: u32, top_limit: u32, hits: &mut Hits) -> u32 {
    let midstate = State::new(proof, headers.midstate(0));
    let after_round_3 = State::new(proof, headers.after_round_3(0));
    let fixed = FixedWords::new(proof, headers.w16_to_19);
    let mut done = 0_u32;
    while done < count {
        let word_3 = |i: usize| start.wrapping_add(done).wrapping_add(i as u32).swap_bytes();
        let mut s = [after_round_3; IN_FLIGHT];
        for (i, s) in s.iter_mut().enumerate() {
            *s = s.with_word(proof, word_3(i));
        }
        let w16 = each!(proof, IN_FLIGHT, i => fixed.w16_to_19(proof, word_3(i)));
        first_hash(proof, &mut s, fixed, w16);
        for s in &mut s {
            *s = s.plus(midstate);
        }
        let found = within(proof, second_hash(proof, &s), top_limit);
        if let Err(done) = sweep::note(hits, found, start, done, count) {
            return done;
        }
        done = done.saturating_add(IN_FLIGHT as u32);
    }
    count
}

#[inline(always)]
fn versions(
    proof: ShaNi,
    headers: &Prepared,
    start: u32,
    count: u32,
    top_limit: u32,
    hits: &mut Hits,
) -> u32 {
    let mut midstates = [State::new(proof, [0; 8]); MIDSTATES];
    let mut after_round_3 = midstates;
    for i in 0..MIDSTATES {
        midstates[i] = State::new(proof, headers.midstate(i));
        after_round_3[i] = State::new(proof, headers.after_round_3(i));
    }
    let fixed = FixedWords::new(proof, headers.w16_to_19);
    for done in 0..count {
        let word_3 = start.wrapping_add(done).swap_bytes();
        let mut s = after_round_3;
        for s in &mut s {
            *s = s.with_word(proof, word_3);
        }
        first_hash(proof, &mut s, fixed, [fixed.w16_to_19(proof, word_3)]);
        for i in 0..MIDSTATES {
            s[i] = s[i].plus(midstates[i]);
        }
        let [a, b, c, d, e, f, g, h] = s;
        let found = within(proof, second_hash(proof, &[a, b, c, d]), top_limit)
            | within(proof, second_hash(proof, &[e, f, g, h]), top_limit) << 4;
        if let Err(done) = sweep::note_versions(hits, found, start, done) {
            return done;
        }
    }
    count
}
