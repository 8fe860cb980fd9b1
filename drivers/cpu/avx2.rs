//! The AVX2 kernels: eight hashes side by side, and two such registers that take turns.
#![allow(clippy::inline_always)] // a call would not have the caller's instructions

use std::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_and_si256, _mm256_castsi256_ps, _mm256_cmpeq_epi32, _mm256_loadu_si256,
    _mm256_min_epu32, _mm256_movemask_ps, _mm256_or_si256, _mm256_set_epi32, _mm256_set1_epi32,
    _mm256_shuffle_epi8, _mm256_sllv_epi32, _mm256_srlv_epi32, _mm256_storeu_si256, _mm256_xor_si256,
};

use super::{
    kernel::Hits,
    lanes::{Lanes, Pair},
    sha256::Prepared,
    sweep,
};

/// Shows that this processor has AVX2.
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }
}

/// Whether this processor has the instructions.
pub(super) fn supported() -> bool {
    Avx2::detect().is_some()
}

/// Eight numbers of 32 bits.
#[derive(Debug, Clone, Copy)]
struct Ymm(__m256i);

/// Calls functions for AVX2 from code that is inlined into a kernel.
macro_rules! avx2 {
    ($call:expr) => {
        // SAFETY: there is a proof or a value here, and neither is made where the processor lacks the instructions.
        unsafe { $call }
    };
}
impl Lanes for Ymm {
    type Proof = Avx2;
    const WIDTH: usize = 8;
    const CHAINS: usize = 1;

    #[inline(always)]
    fn counting(_: Avx2, first: u32) -> Self {
        let first = avx2!(_mm256_set1_epi32(first as i32));
        Self(avx2!(_mm256_add_epi32(first, _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0))))
    }

    #[inline(always)]
    fn chains(_: Avx2, first: u32) -> Self {
        Self(avx2!(_mm256_set1_epi32(first as i32)))
    }

    #[inline(always)]
    fn spread(_: Avx2, numbers: &[u32]) -> Self {
        Self(avx2!(_mm256_set1_epi32(numbers[0] as i32)))
    }

    #[inline(always)]
    fn load(_: Avx2, numbers: &[u32]) -> Self {
        let numbers = numbers[..Self::WIDTH].as_ptr();
        // SAFETY: the slice has eight numbers, and none of them need be aligned; for the rest see `avx2`.
        Self(unsafe { _mm256_loadu_si256(numbers.cast()) })
    }

    #[inline(always)]
    fn store(self, places: &mut [u32]) {
        let places = places[..Self::WIDTH].as_mut_ptr();
        // SAFETY: the slice has eight places, and none of them need be aligned; for the rest see `avx2`.
        unsafe { _mm256_storeu_si256(places.cast(), self.0) }
    }

    #[inline(always)]
    fn all(self, number: u32) -> Self {
        Self(avx2!(_mm256_set1_epi32(number as i32)))
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(avx2!(_mm256_add_epi32(self.0, other.0)))
    }

    #[inline(always)]
    fn rotate_right<const N: u32>(self) -> Self {
        let down = self.shift_right::<N>();
        let up = avx2!(_mm256_sllv_epi32(self.0, _mm256_set1_epi32(32 - N as i32)));
        Self(avx2!(_mm256_or_si256(down.0, up)))
    }

    #[inline(always)]
    fn shift_right<const N: u32>(self) -> Self {
        Self(avx2!(_mm256_srlv_epi32(self.0, _mm256_set1_epi32(N as i32)))) // becomes a shift by a constant
    }

    #[inline(always)]
    fn swap_bytes(self) -> Self {
        let swapped = avx2!(_mm256_set_epi32(
            0x0c0d_0e0f,
            0x0809_0a0b,
            0x0405_0607,
            0x0001_0203,
            0x0c0d_0e0f,
            0x0809_0a0b,
            0x0405_0607,
            0x0001_0203,
        ));
        Self(avx2!(_mm256_shuffle_epi8(self.0, swapped)))
    }

    #[inline(always)]
    fn xor3(a: Self, b: Self, c: Self) -> Self {
        Self(avx2!(_mm256_xor_si256(a.0, _mm256_xor_si256(b.0, c.0))))
    }

    #[inline(always)]
    fn ch(e: Self, f: Self, g: Self) -> Self {
        Self(avx2!(_mm256_xor_si256(g.0, _mm256_and_si256(e.0, _mm256_xor_si256(f.0, g.0)))))
    }

    #[inline(always)]
    fn maj(a: Self, b: Self, c: Self) -> Self {
        // a ^ b of one round is b ^ c of the next, and the compiler computes it once.
        let (a_b, b_c) = avx2!((_mm256_xor_si256(a.0, b.0), _mm256_xor_si256(b.0, c.0)));
        Self(avx2!(_mm256_xor_si256(b.0, _mm256_and_si256(a_b, b_c))))
    }

    #[inline(always)]
    fn at_most(self, limit: u32) -> u64 {
        let limit = self.all(limit).0;
        let within = avx2!(_mm256_cmpeq_epi32(_mm256_min_epu32(self.0, limit), self.0));
        u64::from(avx2!(_mm256_movemask_ps(_mm256_castsi256_ps(within))) as u32)
    }
}

/// A kernel: one function that asks for the instructions, and one that is compiled for them.
macro_rules! kernel {
    ($(#[$doc:meta])* $scan:ident = $sweep:expr) => {
        $(#[$doc])*
        pub(super) fn $scan(headers: &Prepared, start: u32, count: u32, top_limit: u32, hits: &mut Hits) -> u32 {
            #[target_feature(enable = "avx2")]
            fn compiled(
                proof: Avx2, headers: &Prepared, start: u32, count: u32, top_limit: u32, hits: &mut Hits,
            ) -> u32 {
                $sweep(proof, headers, start, count, top_limit, hits)
            }
            let proof = Avx2::detect().expect("the table of kernels asks before it calls");
            // SAFETY: the processor has the instructions, as the proof says; nothing else is required.
            unsafe { compiled(proof, headers, start, count, top_limit, hits) }
        }
    };
}

kernel! {
    /// See [`super::kernel::Scan`].
    scan = sweep::nonces::<Ymm>
}
kernel! {
    /// See [`super::kernel::Scan`]; two registers in turn.
    scan_x2 = sweep::nonces::<Pair<Ymm>>
}
kernel! {
    /// See [`super::kernel::Scan`]; eight midstates, two registers in turn.
    scan_versions_x2 = sweep::versions::<Pair<Ymm>, Ymm>
}
