//! What a SHA-256 computation needs of a register: several hashes side by side, one in each lane.
//!
//! The description of the hash, [`super::rounds`], is written once over this trait. All of it is inlined into one function
//! for each kernel, and only that function is compiled for the instructions of its processors.
#![allow(clippy::inline_always)] // a call would not have the caller's instructions

/// Numbers of 32 bits side by side, one for each hash.
pub(super) trait Lanes: Copy {
    /// Shows that this processor has the instructions: without one nobody gets a first value, and with a value all
    /// other functions are at hand.
    type Proof: Copy;

    /// How many hashes.
    const WIDTH: usize;

    /// Hashes that are computed one after the other, in turn: registers of this one value.
    const CHAINS: usize;

    /// The numbers from `first` upwards, past 2^32 to 0. The lanes of the first register are the first ones.
    fn counting(proof: Self::Proof, first: u32) -> Self;

    /// The numbers from `first` upwards, past 2^32 to 0: one for each register, in each of its lanes.
    fn chains(proof: Self::Proof, first: u32) -> Self;

    /// One number for each register, in each of its lanes. Shape: at least [`Self::CHAINS`] numbers.
    fn spread(proof: Self::Proof, numbers: &[u32]) -> Self;

    /// The same numbers in each register. Shape: at least as many as a register has lanes.
    fn load(proof: Self::Proof, numbers: &[u32]) -> Self;

    /// Writes the numbers of the first register. Shape: at least as many places as a register has lanes.
    fn store(self, places: &mut [u32]);

    /// This number in each lane of a value like this one.
    fn all(self, number: u32) -> Self;

    fn add(self, other: Self) -> Self;
    fn rotate_right<const N: u32>(self) -> Self;
    fn shift_right<const N: u32>(self) -> Self;
    fn swap_bytes(self) -> Self;

    /// `a ^ b ^ c`.
    fn xor3(a: Self, b: Self, c: Self) -> Self;
    /// Ch of FIPS 180-4: bits of `f` where `e` has ones, and of `g` elsewhere.
    fn ch(e: Self, f: Self, g: Self) -> Self;
    /// Maj of FIPS 180-4: the bits that two of the three agree on.
    fn maj(a: Self, b: Self, c: Self) -> Self;

    /// Which lanes are at most `limit`. Shape: the lowest bit is the first lane.
    fn at_most(self, limit: u32) -> u64;
}

impl Lanes for u32 {
    type Proof = ();
    const WIDTH: usize = 1;
    const CHAINS: usize = 1;

    #[inline(always)]
    fn counting((): (), first: u32) -> Self {
        first
    }

    #[inline(always)]
    fn chains((): (), first: u32) -> Self {
        first
    }

    #[inline(always)]
    fn spread((): (), numbers: &[u32]) -> Self {
        numbers[0]
    }

    #[inline(always)]
    fn load((): (), numbers: &[u32]) -> Self {
        numbers[0]
    }

    #[inline(always)]
    fn store(self, places: &mut [u32]) {
        places[0] = self;
    }

    #[inline(always)]
    fn all(self, number: u32) -> Self {
        number
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.wrapping_add(other)
    }

    #[inline(always)]
    fn rotate_right<const N: u32>(self) -> Self {
        u32::rotate_right(self, N)
    }

    #[inline(always)]
    fn shift_right<const N: u32>(self) -> Self {
        self >> N
    }

    #[inline(always)]
    fn swap_bytes(self) -> Self {
        u32::swap_bytes(self)
    }

    #[inline(always)]
    fn xor3(a: Self, b: Self, c: Self) -> Self {
        a ^ b ^ c
    }

    #[inline(always)]
    fn ch(e: Self, f: Self, g: Self) -> Self {
        g ^ (e & (f ^ g))
    }

    #[inline(always)]
    fn maj(a: Self, b: Self, c: Self) -> Self {
        (a & b) | (c & (a | b))
    }

    #[inline(always)]
    fn at_most(self, limit: u32) -> u64 {
        u64::from(self <= limit)
    }
}

/// Two values whose computations take turns, for processors that would wait for the outcome of one; a pair in a pair makes
/// three.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair<V, W = V>(V, W);

impl<V: Lanes, W: Lanes<Proof = V::Proof>> Lanes for Pair<V, W> {
    type Proof = V::Proof;
    const WIDTH: usize = V::WIDTH + W::WIDTH;
    const CHAINS: usize = V::CHAINS + W::CHAINS;

    #[inline(always)]
    fn counting(proof: V::Proof, first: u32) -> Self {
        Self(V::counting(proof, first), W::counting(proof, first.wrapping_add(V::WIDTH as u32)))
    }

    #[inline(always)]
    fn chains(proof: V::Proof, first: u32) -> Self {
        Self(V::chains(proof, first), W::chains(proof, first.wrapping_add(V::CHAINS as u32)))
    }

    #[inline(always)]
    fn spread(proof: V::Proof, numbers: &[u32]) -> Self {
        Self(V::spread(proof, numbers), W::spread(proof, &numbers[V::CHAINS..]))
    }

    #[inline(always)]
    fn load(proof: V::Proof, numbers: &[u32]) -> Self {
        Self(V::load(proof, numbers), W::load(proof, numbers))
    }

    #[inline(always)]
    fn store(self, places: &mut [u32]) {
        self.0.store(places);
    }

    #[inline(always)]
    fn all(self, number: u32) -> Self {
        Self(self.0.all(number), self.1.all(number))
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(self.0.add(other.0), self.1.add(other.1))
    }

    #[inline(always)]
    fn rotate_right<const N: u32>(self) -> Self {
        Self(self.0.rotate_right::<N>(), self.1.rotate_right::<N>())
    }

    #[inline(always)]
    fn shift_right<const N: u32>(self) -> Self {
        Self(self.0.shift_right::<N>(), self.1.shift_right::<N>())
    }

    #[inline(always)]
    fn swap_bytes(self) -> Self {
        Self(self.0.swap_bytes(), self.1.swap_bytes())
    }

    #[inline(always)]
    fn xor3(a: Self, b: Self, c: Self) -> Self {
        Self(V::xor3(a.0, b.0, c.0), W::xor3(a.1, b.1, c.1))
    }

    #[inline(always)]
    fn ch(e: Self, f: Self, g: Self) -> Self {
        Self(V::ch(e.0, f.0, g.0), W::ch(e.1, f.1, g.1))
    }

    #[inline(always)]
    fn maj(a: Self, b: Self, c: Self) -> Self {
        Self(V::maj(a.0, b.0, c.0), W::maj(a.1, b.1, c.1))
    }

    #[inline(always)]
    fn at_most(self, limit: u32) -> u64 {
        self.0.at_most(limit) | self.1.at_most(limit) << V::WIDTH
    }
}
