//! The NEON kernels: four hashes side by side, for 64-bit ARM processors that have no SHA-256 instructions.
#![allow(clippy::inline_always)] // see `Lanes`

use std::arch::aarch64::{
    uint32x4_t, vaddq_u32, vbslq_u32, vcleq_u32, vdupq_n_s32, vdupq_n_u32, veorq_u32, vgetq_lane_u32,
    vld1q_u32, vorrq_u32, vreinterpretq_u8_u32, vreinterpretq_u32_u8, vrev32q_u8, vshlq_u32, vst1q_u32,
};

use super::{
    kernel::Hits,
    lanes::{Lanes, Pair},
    sha256::Prepared,
    sweep,
};

/// Four numbers of 32 bits. Every 64-bit ARM processor has the instructions for them.
#[derive(Debug, Clone, Copy)]
struct Quad(uint32x4_t);

/// Calls functions for NEON.
macro_rules! neon {
    ($call:expr) => {
        // SAFETY: this module is for processors that all have the instructions.
        unsafe { $call }
    };
}

impl Lanes for Quad {
    type Proof = ();
    const WIDTH: usize = 4;
    const CHAINS: usize = 1;

    #[inline(always)]
    fn counting((): (), first: u32) -> Self {
        let counted = Self::load((), &[0, 1, 2, 3]).0;
        Self(neon!(vaddq_u32(vdupq_n_u32(first), counted)))
    }

    #[inline(always)]
    fn chains((): (), first: u32) -> Self {
        Self(neon!(vdupq_n_u32(first)))
    }

    #[inline(always)]
    fn spread((): (), numbers: &[u32]) -> Self {
        Self(neon!(vdupq_n_u32(numbers[0])))
    }

    #[inline(always)]
    fn load((): (), numbers: &[u32]) -> Self {
        let numbers = numbers[..Self::WIDTH].as_ptr();
        // SAFETY: the slice has four numbers.
        Self(unsafe { vld1q_u32(numbers) })
    }

    #[inline(always)]
    fn store(self, places: &mut [u32]) {
        let places = places[..Self::WIDTH].as_mut_ptr();
        // SAFETY: the slice has four places.
        unsafe { vst1q_u32(places, self.0) }
    }

    #[inline(always)]
    fn all(self, number: u32) -> Self {
        Self(neon!(vdupq_n_u32(number)))
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(neon!(vaddq_u32(self.0, other.0)))
    }

    #[inline(always)]
    fn rotate_right<const N: u32>(self) -> Self {
        let up = neon!(vshlq_u32(self.0, vdupq_n_s32(32 - N as i32)));
        Self(neon!(vorrq_u32(up, self.shift_right::<N>().0)))
    }

    #[inline(always)]
    fn shift_right<const N: u32>(self) -> Self {
        Self(neon!(vshlq_u32(self.0, vdupq_n_s32(-(N as i32))))) // becomes a shift by a constant
    }

    #[inline(always)]
    fn swap_bytes(self) -> Self {
        Self(neon!(vreinterpretq_u32_u8(vrev32q_u8(vreinterpretq_u8_u32(self.0)))))
    }

    #[inline(always)]
    fn xor3(a: Self, b: Self, c: Self) -> Self {
        Self(neon!(veorq_u32(a.0, veorq_u32(b.0, c.0))))
    }

    #[inline(always)]
    fn ch(e: Self, f: Self, g: Self) -> Self {
        Self(neon!(vbslq_u32(e.0, f.0, g.0)))
    }

    #[inline(always)]
    fn maj(a: Self, b: Self, c: Self) -> Self {
        Self(neon!(vbslq_u32(veorq_u32(a.0, b.0), c.0, b.0))) // where a and b differ, c decides
    }

    #[inline(always)]
    fn at_most(self, limit: u32) -> u64 {
        let within = neon!(vcleq_u32(self.0, vdupq_n_u32(limit)));
        let bit = |lane: u32, number: u32| u64::from(lane >> 31 << number);
        bit(neon!(vgetq_lane_u32::<0>(within)), 0)
            | bit(neon!(vgetq_lane_u32::<1>(within)), 1)
            | bit(neon!(vgetq_lane_u32::<2>(within)), 2)
            | bit(neon!(vgetq_lane_u32::<3>(within)), 3)
    }
}

/// See [`super::kernel::Scan`].
pub(super) fn scan(headers: &Prepared, start: u32, count: u32, top_limit: u32, hits: &mut Hits) -> u32 {
    sweep::nonces::<Quad>((), headers, start, count, top_limit, hits)
}

/// See [`super::kernel::Scan`]; four midstates, two registers in turn.
pub(super) fn scan_versions_x2(
    headers: &Prepared,
    start: u32,
    count: u32,
    top_limit: u32,
    hits: &mut Hits,
) -> u32 {
    sweep::versions::<Pair<Quad>, Quad>((), headers, start, count, top_limit, hits)
}
