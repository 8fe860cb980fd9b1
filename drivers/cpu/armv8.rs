//! The kernels for the SHA-256 instructions of ARMv8: several hashes in turn, because each of these instructions waits for
//! the one before it.
//!
//! The instructions do four rounds or four schedule words at a time. What they need not do here:
//! - First hash: rounds 0 to 3 (the nonce is added to their outcome), and every schedule word, or part of one, that
//!   comes from the fixed words of the block. With several midstates, all but one schedule for all of them.
//! - Second hash: round 0 (the first word is added to its outcome) and the rounds after 60, where the word that is
//!   compared is ready. Its groups of four thus begin one round later than usual: 1 to 4, 5 to 8, … 57 to 60.
#![allow(clippy::many_single_char_names)] // FIPS names

use std::arch::{
    aarch64::{
        uint32x4_t, vaddq_u32, vextq_u32, vgetq_lane_u32, vld1q_u32, vsha256h2q_u32, vsha256hq_u32,
        vsha256su0q_u32, vsha256su1q_u32,
    },
    is_aarch64_feature_detected,
};

use super::{
    kernel::Hits,
    sha256::{END_OF_MESSAGE, HASH_BITS, HEADER_BITS, IV, K, Prepared, round, small_sigma_0},
    sweep,
    unroll::unrolled,
};

/// Hashes in flight: a round instruction takes four cycles and can begin each cycle on many of these processors.
const IN_FLIGHT: usize = 4;
/// Midstates of the kernel that tries several with each nonce.
const MIDSTATES: usize = 8;

/// Whether this processor has the instructions.
pub(super) fn supported() -> bool {
    is_aarch64_feature_detected!("sha2")
}

/// See [`super::kernel::Scan`].
pub(super) fn scan(headers: &Prepared, start: u32, count: u32, top_limit: u32, hits: &mut Hits) -> u32 {
    assert!(supported(), "the table of kernels asks before it calls");
    // SAFETY: the processor has the instructions, as the line above made sure; nothing else is required.
    unsafe { nonces(headers, start, count, top_limit, hits) }
}

/// See [`super::kernel::Scan`]; eight midstates.
pub(super) fn scan_versions(
    headers: &Prepared,
    start: u32,
    count: u32,
    top_limit: u32,
    hits: &mut Hits,
) -> u32 {
    assert!(supported(), "the table of kernels asks before it calls");
    // SAFETY: the processor has the instructions, as the line above made sure; nothing else is required.
    unsafe { versions(headers, start, count, top_limit, hits) }
}

/// Four numbers of 32 bits.
#[derive(Clone, Copy)]
struct Quad(uint32x4_t);

impl Quad {
    #[target_feature(enable = "sha2")]
    #[inline]
    fn new(words: [u32; 4]) -> Self {
        // SAFETY: the array has four words.
        Self(unsafe { vld1q_u32(words.as_ptr()) })
    }

    #[target_feature(enable = "sha2")]
    #[inline]
    fn plus(self, other: Self) -> Self {
        Self(vaddq_u32(self.0, other.0))
    }

    #[target_feature(enable = "sha2")]
    #[inline]
    fn first(self) -> u32 {
        vgetq_lane_u32::<0>(self.0)
    }

    /// Words 1 to 3 of `self`, then word 0 of `next`.
    #[target_feature(enable = "sha2")]
    #[inline]
    fn one_on(self, next: Self) -> Self {
        Self(vextq_u32::<1>(self.0, next.0))
    }

    /// W\[t\] + σ0(W\[t + 1\]) for the four words from t on. Shape: words t to t + 3, and those after them.
    #[target_feature(enable = "sha2")]
    #[inline]
    fn with_sigma_0(self, next: Self) -> Self {
        Self(vsha256su0q_u32(self.0, next.0))
    }

    /// Four schedule words from what [`Quad::with_sigma_0`] gives. Shape: the words 8 to 5, and 4 to 1 places before them.
    #[target_feature(enable = "sha2")]
    #[inline]
    fn with_the_rest(self, w8: Self, w12: Self) -> Self {
        Self(vsha256su1q_u32(self.0, w8.0, w12.0))
    }
}

/// Working variables.
#[derive(Clone, Copy)]
struct State {
    abcd: Quad,
    efgh: Quad,
}

impl State {
    #[target_feature(enable = "sha2")]
    #[inline]
    fn new([a, b, c, d, e, f, g, h]: [u32; 8]) -> Self {
        Self { abcd: Quad::new([a, b, c, d]), efgh: Quad::new([e, f, g, h]) }
    }

    #[target_feature(enable = "sha2")]
    #[inline]
    fn plus(self, other: Self) -> Self {
        Self { abcd: self.abcd.plus(other.abcd), efgh: self.efgh.plus(other.efgh) }
    }

    /// With a word added to a and e.
    #[target_feature(enable = "sha2")]
    #[inline]
    fn with_word(self, word: u32) -> Self {
        let word = Quad::new([word, 0, 0, 0]);
        self.plus(Self { abcd: word, efgh: word })
    }

    /// Four rounds. Shape: sums of constants and schedule words.
    #[target_feature(enable = "sha2")]
    #[inline]
    fn four_rounds(self, kw: Quad) -> Self {
        Self {
            abcd: Quad(vsha256hq_u32(self.abcd.0, self.efgh.0, kw.0)),
            efgh: Quad(vsha256h2q_u32(self.efgh.0, self.abcd.0, kw.0)),
        }
    }
}

/// A value for each of so many.
macro_rules! each {
    ($count:ident, $i:ident => $value:expr) => {{
        let mut all = [Quad::new([0; 4]); $count];
        for $i in 0..$count {
            all[$i] = $value;
        }
        all
    }};
}

/// Rounds `t` to `t + 3` of `N` hashes. Shape: their schedule words, each its own, or one for all.
#[target_feature(enable = "sha2")]
#[inline]
fn four_rounds<const N: usize, const W: usize>(s: &mut [State; N], t: usize, w: &[Quad; W]) {
    let k = Quad::new([K[t], K[t + 1], K[t + 2], K[t + 3]]);
    let kw = each!(W, i => w[i].plus(k));
    for (i, s) in s.iter_mut().enumerate() {
        *s = s.four_rounds(kw[i % W]);
    }
}

/// Rounds `t` to `t + 31`, from the sixteen schedule words before.
#[target_feature(enable = "sha2")]
#[inline]
fn last_32_rounds<const N: usize, const W: usize>(s: &mut [State; N], t: usize, mut w: [[Quad; W]; 4]) {
    unrolled!(FOUR in 0 1 2 3 4 5 6 7 => {
        let [w0, w4, w8, w12] = [w[FOUR % 4], w[(FOUR + 1) % 4], w[(FOUR + 2) % 4], w[(FOUR + 3) % 4]];
        w[FOUR % 4] = each!(W, i => w0[i].with_sigma_0(w4[i]).with_the_rest(w8[i], w12[i]));
        four_rounds(s, t + 4 * FOUR, &w[FOUR % 4]);
    });
}

/// Rounds 4 to 63 of first hashes. Shape: words 16 to 19, of each or for all; of them word 16 is fixed.
#[target_feature(enable = "sha2")]
#[inline]
fn first_hash<const N: usize, const W: usize>(s: &mut [State; N], fixed_w16: u32, w16: [Quad; W]) {
    let zero = Quad::new([0; 4]);
    let w4 = Quad::new([END_OF_MESSAGE, 0, 0, 0]);
    let w12 = Quad::new([0, 0, 0, HEADER_BITS]);
    four_rounds(s, 4, &[w4]);
    four_rounds(s, 8, &[zero]);
    four_rounds(s, 12, &[w12]);
    four_rounds(s, 16, &w16);
    let w20 = each!(W, i => w4.with_the_rest(w12, w16[i]));
    four_rounds(s, 20, &w20);
    let w24 = each!(W, i => zero.with_the_rest(w16[i], w20[i]));
    four_rounds(s, 24, &w24);
    let w31 = HEADER_BITS.wrapping_add(small_sigma_0(fixed_w16));
    let w28_to_31 = Quad::new([0, 0, small_sigma_0(HEADER_BITS), w31]);
    let w28 = each!(W, i => w28_to_31.with_the_rest(w20[i], w24[i]));
    four_rounds(s, 28, &w28);
    last_32_rounds(s, 32, [w16, w20, w24, w28]);
}

/// Which hashes of hashes (a, b, c, d, e, f, g, h) have a top word of at most `top_limit`. Shape: a bit for each. The last
/// word of such a hash is h after round 63, which is e after round 60.
#[target_feature(enable = "sha2")]
#[inline]
fn within<const N: usize>(first: &[State; N], top_limit: u32) -> u64 {
    let zero = Quad::new([0; 4]);
    let mut s = [State::new(round(IV, K[0])); N];
    for i in 0..N {
        s[i] = s[i].with_word(first[i].abcd.first());
    }
    let w1 = each!(N, i => first[i].abcd.one_on(first[i].efgh));
    four_rounds(&mut s, 1, &w1);
    let w5 = each!(N, i => first[i].efgh.one_on(Quad::new([END_OF_MESSAGE, 0, 0, 0])));
    four_rounds(&mut s, 5, &w5);
    four_rounds(&mut s, 9, &[zero]);
    // Words 13 to 15 are fixed; word 16 is W[0] + σ0(W[1]).
    let w13 = each!(N, i =>
        Quad::new([0, 0, 0, HASH_BITS]).one_on(first[i].abcd.with_sigma_0(first[i].efgh)));
    four_rounds(&mut s, 13, &w13);
    let w17 = each!(N, i => w1[i].with_sigma_0(w5[i]).with_the_rest(zero, w13[i]));
    four_rounds(&mut s, 17, &w17);
    let w21 = each!(N, i => w5[i].with_sigma_0(zero).with_the_rest(w13[i], w17[i]));
    four_rounds(&mut s, 21, &w21);
    let w25 = each!(N, i => zero.with_the_rest(w17[i], w21[i]));
    four_rounds(&mut s, 25, &w25);
    last_32_rounds(&mut s, 29, [w13, w17, w21, w25]);
    let mut within = 0;
    for (i, s) in s.iter().enumerate() {
        let top = s.efgh.first().wrapping_add(IV[7]).swap_bytes();
        within |= u64::from(top <= top_limit) << i;
    }
    within
}

/// Words 16 to 19 with this nonce as word 3. Shape: those words as in [`Prepared`].
#[target_feature(enable = "sha2")]
#[inline]
fn with_nonce([w16, w17, w18, w19]: [u32; 4], word_3: u32) -> Quad {
    Quad::new([w16, w17, w18.wrapping_add(small_sigma_0(word_3)), w19.wrapping_add(word_3)])
}

#[target_feature(enable = "sha2")]
fn nonces(headers: &Prepared, start: u32, count: u32, top_limit: u32, hits: &mut Hits) -> u32 {
    let midstate = State::new(headers.midstate(0));
    let after_round_3 = State::new(headers.after_round_3(0));
    let w16_to_19 = headers.w16_to_19;
    let mut done = 0_u32;
    while done < count {
        let word_3 = |i: usize| start.wrapping_add(done).wrapping_add(i as u32).swap_bytes();
        let mut s = [after_round_3; IN_FLIGHT];
        for (i, s) in s.iter_mut().enumerate() {
            *s = s.with_word(word_3(i));
        }
        let w16 = each!(IN_FLIGHT, i => with_nonce(w16_to_19, word_3(i)));
        first_hash(&mut s, w16_to_19[0], w16);
        for s in &mut s {
            *s = s.plus(midstate);
        }
        if let Err(done) = sweep::note(hits, within(&s, top_limit), start, done, count) {
            return done;
        }
        done = done.saturating_add(IN_FLIGHT as u32);
    }
    count
}

#[target_feature(enable = "sha2")]
fn versions(headers: &Prepared, start: u32, count: u32, top_limit: u32, hits: &mut Hits) -> u32 {
    let mut midstates = [State::new([0; 8]); MIDSTATES];
    let mut after_round_3 = midstates;
    for i in 0..MIDSTATES {
        midstates[i] = State::new(headers.midstate(i));
        after_round_3[i] = State::new(headers.after_round_3(i));
    }
    let w16_to_19 = headers.w16_to_19;
    for done in 0..count {
        let word_3 = start.wrapping_add(done).swap_bytes();
        let mut s = after_round_3;
        for s in &mut s {
            *s = s.with_word(word_3);
        }
        first_hash(&mut s, w16_to_19[0], [with_nonce(w16_to_19, word_3)]);
        for i in 0..MIDSTATES {
            s[i] = s[i].plus(midstates[i]);
        }
        let [a, b, c, d, e, f, g, h] = s;
        let found = within(&[a, b, c, d], top_limit) | within(&[e, f, g, h], top_limit) << 4;
        if let Err(done) = sweep::note_versions(hits, found, start, done) {
            return done;
        }
    }
    count
}
