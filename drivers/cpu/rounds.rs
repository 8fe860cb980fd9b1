//! The rounds and the message schedule of a header's double SHA-256, written once for lanes of any width.
//!
//! Names follow FIPS 180-4: round constants K, message schedule W, working variables a to h, functions Ch, Maj, Σ, σ.
//! What is the same for all nonces is a [`Word::Fixed`] and is computed once, outside the loop over the nonces or by the
//! compiler; the rest is a [`Word::Varied`]. What is left out:
//! - First hash: rounds 0 to 3 (the nonce is added to their outcome) and what the fixed words give to the schedule.
//! - Second hash: all that follows from its fixed half, and everything after round 60, where the word that is compared is
//!   ready; of rounds 57 to 60 nothing but e is needed.
#![allow(clippy::inline_always, clippy::many_single_char_names)] // a call would not have the caller's instructions; FIPS names

use super::{
    lanes::Lanes,
    sha256::{END_OF_MESSAGE, HASH_BITS, HEADER_BITS, IV, K},
    unroll::{eight, unrolled},
};

/// A word of the computation.
#[derive(Debug, Clone, Copy)]
pub(super) enum Word<V> {
    /// The same number for all hashes.
    Fixed(u32),
    /// A number for each hash.
    Varied(V),
}

use Word::{Fixed, Varied};
impl<V: Lanes> Word<V> {
    #[inline(always)]
    pub(super) fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Fixed(a), Fixed(b)) => Fixed(a.wrapping_add(b)),
            (Fixed(a), Varied(b)) => Varied(b.add(b.all(a))),
            (Varied(a), Fixed(b)) => Varied(a.add(a.all(b))),
            (Varied(a), Varied(b)) => Varied(a.add(b)),
        }
    }

    /// ROTR^A ⊕ ROTR^B ⊕ ROTR^C.
    #[inline(always)]
    fn rotated<const A: u32, const B: u32, const C: u32>(self) -> Self {
        match self {
            Fixed(x) => Fixed(x.rotate_right(A) ^ x.rotate_right(B) ^ x.rotate_right(C)),
            Varied(x) => Varied(V::xor3(x.rotate_right::<A>(), x.rotate_right::<B>(), x.rotate_right::<C>())),
        }
    }

    /// ROTR^A ⊕ ROTR^B ⊕ SHR^C.
    #[inline(always)]
    fn shifted<const A: u32, const B: u32, const C: u32>(self) -> Self {
        match self {
            Fixed(x) => Fixed(x.rotate_right(A) ^ x.rotate_right(B) ^ x >> C),
            Varied(x) => Varied(V::xor3(x.rotate_right::<A>(), x.rotate_right::<B>(), x.shift_right::<C>())),
        }
    }

    #[inline(always)]
    fn big_sigma_0(self) -> Self {
        self.rotated::<2, 13, 22>()
    }

    #[inline(always)]
    fn big_sigma_1(self) -> Self {
        self.rotated::<6, 11, 25>()
    }

    #[inline(always)]
    fn small_sigma_0(self) -> Self {
        self.shifted::<7, 18, 3>()
    }

    #[inline(always)]
    fn small_sigma_1(self) -> Self {
        self.shifted::<17, 19, 10>()
    }

    /// The word as lanes like `x`.
    #[inline(always)]
    pub(super) fn like(self, x: V) -> V {
        match self {
            Fixed(word) => x.all(word),
            Varied(word) => word,
        }
    }

    #[inline(always)]
    fn ch(e: Self, f: Self, g: Self) -> Self {
        match (e, f, g) {
            (Fixed(e), Fixed(f), Fixed(g)) => Fixed(u32::ch(e, f, g)),
            (Varied(x), _, _) | (_, Varied(x), _) | (_, _, Varied(x)) => {
                Varied(V::ch(e.like(x), f.like(x), g.like(x)))
            }
        }
    }

    #[inline(always)]
    fn maj(a: Self, b: Self, c: Self) -> Self {
        match (a, b, c) {
            (Fixed(a), Fixed(b), Fixed(c)) => Fixed(u32::maj(a, b, c)),
            (Varied(x), _, _) | (_, Varied(x), _) | (_, _, Varied(x)) => {
                Varied(V::maj(a.like(x), b.like(x), c.like(x)))
            }
        }
    }
}

/// One round. Shape: working variables a to h; `kw` is the sum of the round's constant and schedule word.
#[inline(always)]
#[allow(clippy::many_single_char_names, clippy::inline_always)] // FIPS names; see `Lanes`
fn round<V: Lanes>([a, b, c, d, e, f, g, h]: [Word<V>; 8], kw: Word<V>) -> [Word<V>; 8] {
    let t1 = h.plus(kw).plus(Word::ch(e, f, g)).plus(e.big_sigma_1());
    let t2 = a.big_sigma_0().plus(Word::maj(a, b, c));
    [t1.plus(t2), a, b, c, d.plus(t1), e, f, g]
}

/// A schedule word. Shape: the words 16, 15, 7 and 2 places before it.
#[inline(always)]
fn scheduled<V: Lanes>([w16, w15, w7, w2]: [Word<V>; 4]) -> Word<V> {
    w2.small_sigma_1().plus(w7).plus(w15.small_sigma_0().plus(w16))
}

/// Places for schedule words, W\[t\] at t: the rolled rounds go through more of them than there are registers.
pub(super) type Words<V> = [V; 64];

/// Working variables and schedule as long as some words are fixed, in straight-line code.
struct Folded<V> {
    s: [Word<V>; 8],
    /// W\[t\] stands at t % 16 from its own round to that before the sixteenth after it.
    w: [Word<V>; 16],
}
impl<V: Lanes> Folded<V> {
    /// A header's second block after round 3, with words up to 19. Shape: `w16_to_19` as in
    /// [`super::sha256::Prepared`], and the nonce as word 3.
    #[inline(always)]
    fn of_header(after_round_3: [Word<V>; 8], w16_to_19: [u32; 4], word_3: V) -> Self {
        let [w16, w17, w18, w19] = w16_to_19;
        let w18 = Fixed(w18).plus(Varied(word_3).small_sigma_0());
        let w19 = Fixed(w19).plus(Varied(word_3));
        let mut w = [Fixed(0); 16];
        w[0] = Fixed(w16);
        w[1] = Fixed(w17);
        w[2] = w18;
        w[3] = w19;
        w[4] = Fixed(END_OF_MESSAGE);
        w[15] = Fixed(HEADER_BITS);
        Self { s: after_round_3, w }
    }

    /// The block that hashes a hash again, before round 0, with words up to 15.
    #[inline(always)]
    fn of_hash([a, b, c, d, e, f, g, h]: [Word<V>; 8]) -> Self {
        let (zero, end, bits) = (Fixed(0), Fixed(END_OF_MESSAGE), Fixed(HASH_BITS));
        let w = [a, b, c, d, e, f, g, h, end, zero, zero, zero, zero, zero, zero, bits];
        Self { s: eight!(I => Fixed(IV[I])), w }
    }

    /// Computes word `t`.
    #[inline(always)]
    fn expand(&mut self, t: usize) {
        let w = &mut self.w;
        w[t % 16] = scheduled([w[t % 16], w[(t + 1) % 16], w[(t + 9) % 16], w[(t + 14) % 16]]);
    }

    /// K\[t\] + W\[t\].
    #[inline(always)]
    fn kw(&self, t: usize) -> Word<V> {
        Fixed(K[t]).plus(self.w[t % 16])
    }

    #[inline(always)]
    fn round(&mut self, t: usize) {
        self.s = round(self.s, self.kw(t));
    }

    /// Puts the words of the sixteen rounds before `t` into their places.
    #[inline(always)]
    fn put_words(&self, t: usize, words: &mut Words<V>, like: V) {
        unrolled!(I in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 =>
            words[t - 16 + I] = self.w[(t + I) % 16].like(like));
    }
}

/// Rounds `from` to `to - 1`, four in each turn of a loop: spelled out, all rounds of several chains do not fit into a
/// processor's cache of decoded instructions. Shape: the words of the sixteen rounds before are in their places.
#[inline(always)]
fn rolled<V: Lanes>(mut s: [V; 8], words: &mut Words<V>, from: usize, to: usize) -> [V; 8] {
    let mut t = from;
    while t < to {
        let k: &[u32; 4] = K[t..t + 4].try_into().expect("it is cut to four");
        let w: &mut [V; 20] = (&mut words[t - 16..t + 4]).try_into().expect("it is cut to sixteen and four");
        unrolled!(I in 0 1 2 3 => {
            let before = [Varied(w[I]), Varied(w[I + 1]), Varied(w[I + 9]), Varied(w[I + 14])];
            w[I + 16] = scheduled(before).like(s[0]);
            s = varied_round(s, Fixed(k[I]).plus(Varied(w[I + 16])));
        });
        t += 4;
    }
    s
}

/// One round in which nothing is fixed.
#[inline(always)]
fn varied_round<V: Lanes>(s: [V; 8], kw: Word<V>) -> [V; 8] {
    let next = round(eight!(I => Varied(s[I])), kw);
    eight!(I => next[I].like(s[I]))
}

/// The hash of a header's second block. Shape: `after_round_3` and `w16_to_19` as in [`super::sha256::Prepared`], the
/// nonce as word 3, also added to the former.
#[inline(always)]
pub(super) fn first_hash<V: Lanes>(
    midstate: [u32; 8],
    after_round_3: [Word<V>; 8],
    w16_to_19: [u32; 4],
    word_3: V,
    words: &mut Words<V>,
) -> [Word<V>; 8] {
    let mut folded = Folded::of_header(after_round_3, w16_to_19, word_3);
    unrolled!(T in 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 => folded.round(T));
    folded.put_words(20, words, word_3);
    let s = rolled(eight!(I => folded.s[I].like(word_3)), words, 20, 64);
    eight!(I => Fixed(midstate[I]).plus(Varied(s[I])))
}

/// The last word of the hash of a hash: h after round 63, which is e after round 60. Shape: `like` is any value.
#[inline(always)]
pub(super) fn last_word_of_second_hash<V: Lanes>(first: [Word<V>; 8], like: V, words: &mut Words<V>) -> V {
    let mut folded = Folded::of_hash(first);
    unrolled!(T in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 => folded.round(T));
    folded.put_words(16, words, like);
    let s = rolled(eight!(I => folded.s[I].like(like)), words, 16, 56);
    folded.s = eight!(I => Varied(s[I]));
    unrolled!(T in 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 => folded.w[T % 16] = Varied(words[T]));
    unrolled!(T in 56 57 58 59 60 => { folded.expand(T); folded.round(T) });
    folded.s[4].plus(Fixed(IV[7])).like(like)
}

/// Nonces whose schedules are computed together.
pub(super) const GROUP: usize = 16;

/// The schedules of a group of nonces as sums of constants and words, K\[t\] + W\[t\]: what many midstates share.
/// Shape: by round, 4 to 63, then by nonce.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Schedules([[u32; GROUP]; 64]);

impl Schedules {
    pub(super) fn new() -> Self {
        Self([[0; GROUP]; 64])
    }

    /// Fills in the schedules of a register's nonces from place `at` of the group on. Shape: as for [`first_hash`].
    #[inline(always)]
    pub(super) fn fill<V: Lanes>(&mut self, at: usize, w16_to_19: [u32; 4], word_3: V, words: &mut Words<V>) {
        let folded = Folded::of_header(eight!(I => Fixed(IV[I])), w16_to_19, word_3);
        let places = &mut self.0;
        unrolled!(T in 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 =>
            folded.kw(T).like(word_3).store(&mut places[T][at..]));
        folded.put_words(20, words, word_3);
        for t in 20..64 {
            let before =
                [Varied(words[t - 16]), Varied(words[t - 15]), Varied(words[t - 7]), Varied(words[t - 2])];
            words[t] = scheduled(before).like(word_3);
            Fixed(K[t]).plus(Varied(words[t])).like(word_3).store(&mut places[t][at..]);
        }
    }

    /// The hashes of second blocks with the schedule of each chain's nonce, the first of which is at `nonce`.
    #[inline(always)]
    pub(super) fn first_hash<V: Lanes>(
        &self,
        proof: V::Proof,
        midstate: [V; 8],
        after_round_3: [V; 8],
        nonce: usize,
    ) -> [Word<V>; 8] {
        let mut s = after_round_3;
        let mut t = 4;
        while t < 64 {
            let kw: &[[u32; GROUP]; 4] = self.0[t..t + 4].try_into().expect("it is cut to four");
            unrolled!(I in 0 1 2 3 => s = varied_round(s, Varied(V::spread(proof, &kw[I][nonce..]))));
            t += 4;
        }
        eight!(I => Varied(midstate[I].add(s[I])))
    }
}
