//! The AVX-512 kernels: sixteen hashes side by side, and two or three such registers that take turns.
#![allow(clippy::inline_always)] // a call would not have the caller's instructions

use std::arch::x86_64::{
    __m512i, _mm512_add_epi32, _mm512_cmple_epu32_mask, _mm512_loadu_si512, _mm512_rorv_epi32,
    _mm512_set_epi32, _mm512_set1_epi32, _mm512_set4_epi32, _mm512_shuffle_epi8, _mm512_srlv_epi32,
    _mm512_storeu_si512, _mm512_ternarylogic_epi32,
};

use super::{
    kernel::Hits,
    lanes::{Lanes, Pair},
    sha256::Prepared,
    sweep,
};

/// Shows that this processor has AVX-512F and AVX-512BW.
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx512(());

impl Avx512 {
    fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")).then_some(Self(()))
    }
}

/// Whether this processor has the instructions.
pub(super) fn supported() -> bool {
    Avx512::detect().is_some()
}

/// Sixteen numbers of 32 bits.
#[derive(Debug, Clone, Copy)]
struct Zmm(__m512i);

/// Calls functions for AVX-512 from code that is inlined into a kernel.
macro_rules! avx512 {
    ($call:expr) => {
        // SAFETY: there is a proof or a value here, and neither is made where the processor lacks the instructions.
        unsafe { $call }
    };
}
impl Lanes for Zmm {
    type Proof = Avx512;
    const WIDTH: usize = 16;
    const CHAINS: usize = 1;

    #[inline(always)]
    fn counting(_: Avx512, first: u32) -> Self {
        let first = avx512!(_mm512_set1_epi32(first as i32));
        let counted = avx512!(_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
        Self(avx512!(_mm512_add_epi32(first, counted)))
    }

    #[inline(always)]
    fn chains(_: Avx512, first: u32) -> Self {
        Self(avx512!(_mm512_set1_epi32(first as i32)))
    }

    #[inline(always)]
    fn spread(_: Avx512, numbers: &[u32]) -> Self {
        Self(avx512!(_mm512_set1_epi32(numbers[0] as i32)))
    }

    #[inline(always)]
    fn load(_: Avx512, numbers: &[u32]) -> Self {
        let numbers = numbers[..Self::WIDTH].as_ptr();
        // SAFETY: the slice has sixteen numbers, and none of them need be aligned; for the rest see `avx512`.
        Self(unsafe { _mm512_loadu_si512(numbers.cast()) })
    }

    #[inline(always)]
    fn store(self, places: &mut [u32]) {
        let places = places[..Self::WIDTH].as_mut_ptr();
        // SAFETY: the slice has sixteen places, and none of them need be aligned; for the rest see `avx512`.
        unsafe { _mm512_storeu_si512(places.cast(), self.0) }
    }

    #[inline(always)]
    fn all(self, number: u32) -> Self {
        Self(avx512!(_mm512_set1_epi32(number as i32)))
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(avx512!(_mm512_add_epi32(self.0, other.0)))
    }

    #[inline(always)]
    fn rotate_right<const N: u32>(self) -> Self {
        Self(avx512!(_mm512_rorv_epi32(self.0, _mm512_set1_epi32(N as i32)))) // becomes a rotation by a constant
    }

    #[inline(always)]
    fn shift_right<const N: u32>(self) -> Self {
        Self(avx512!(_mm512_srlv_epi32(self.0, _mm512_set1_epi32(N as i32)))) // becomes a shift by a constant
    }

    #[inline(always)]
    fn swap_bytes(self) -> Self {
        let swapped = avx512!(_mm512_set4_epi32(0x0c0d_0e0f, 0x0809_0a0b, 0x0405_0607, 0x0001_0203));
        Self(avx512!(_mm512_shuffle_epi8(self.0, swapped)))
    }

    #[inline(always)]
    fn xor3(a: Self, b: Self, c: Self) -> Self {
        Self(avx512!(_mm512_ternarylogic_epi32::<0b1001_0110>(a.0, b.0, c.0)))
    }

    #[inline(always)]
    fn ch(e: Self, f: Self, g: Self) -> Self {
        Self(avx512!(_mm512_ternarylogic_epi32::<0b1100_1010>(e.0, f.0, g.0)))
    }

    #[inline(always)]
    fn maj(a: Self, b: Self, c: Self) -> Self {
        Self(avx512!(_mm512_ternarylogic_epi32::<0b1110_1000>(a.0, b.0, c.0)))
    }

    #[inline(always)]
    fn at_most(self, limit: u32) -> u64 {
        u64::from(avx512!(_mm512_cmple_epu32_mask(self.0, _mm512_set1_epi32(limit as i32))))
    }
}

/// A kernel: one function that asks for the instructions, and one that is compiled for them.
macro_rules! kernel {
    ($(#[$doc:meta])* $scan:ident = $sweep:expr) => {
        $(#[$doc])*
        pub(super) fn $scan(headers: &Prepared, start: u32, count: u32, top_limit: u32, hits: &mut Hits) -> u32 {
            #[target_feature(enable = "avx512f,avx512bw")]
            fn compiled(
                proof: Avx512, headers: &Prepared, start: u32, count: u32, top_limit: u32, hits: &mut Hits,
            ) -> u32 {
                $sweep(proof, headers, start, count, top_limit, hits)
            }
            let proof = Avx512::detect().expect("the table of kernels asks before it calls");
            // SAFETY: the processor has the instructions, as the proof says; nothing else is required.
            unsafe { compiled(proof, headers, start, count, top_limit, hits) }
        }
    };
}

kernel! {
    /// See [`super::kernel::Scan`].
    scan = sweep::nonces::<Zmm>
}
kernel! {
    /// See [`super::kernel::Scan`]; two registers in turn.
    scan_x2 = sweep::nonces::<Pair<Zmm>>
}
kernel! {
    /// See [`super::kernel::Scan`]; sixteen midstates, two registers in turn.
    scan_versions_x2 = sweep::versions::<Pair<Zmm>, Zmm>
}
kernel! {
    /// See [`super::kernel::Scan`]; sixteen midstates, three registers in turn.
    scan_versions_x3 = sweep::versions::<Pair<Zmm, Pair<Zmm>>, Zmm>
}
