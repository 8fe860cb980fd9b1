//! Who tries which headers: no two threads the same, no thread one twice.

use std::ops::Range;

/// Nonces that a header has.
pub(super) const ALL_NONCES: u64 = 1 << 32;

/// The part of the nonces that thread `thread` of `threads` tries with every version.
pub(super) fn slice(nonces: u64, thread: usize, threads: usize) -> Range<u64> {
    let border = |thread: usize| (u128::from(nonces) * thread as u128 / threads as u128) as u64;
    border(thread)..border(thread + 1)
}

/// The version with the bits of `index` put into the places of `mask`, lowest first.
pub(super) fn rolled_version(version: u32, mask: u32, index: u64) -> u32 {
    let mut rolled = version & !mask;
    let mut places = mask;
    let mut bits = index;
    while places != 0 {
        if bits & 1 == 1 {
            rolled |= places & places.wrapping_neg(); // the lowest place
        }
        places &= places - 1;
        bits >>= 1;
    }
    rolled
}

/// What one thread has still to try of one job: its slice of nonces with the first version, then with the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Space {
    slice: Range<u64>,
    next_nonce: u64,
    version_index: u64,
    versions: u64,
}

impl Space {
    pub(super) fn new(slice: Range<u64>, version_mask: u32) -> Self {
        // Without a nonce there is nothing to try with any version either.
        let versions = if slice.is_empty() { 0 } else { 1 << version_mask.count_ones() };
        Self { next_nonce: slice.start, slice, version_index: 0, versions }
    }

    /// Which version to hash with now; `None` when nothing is left.
    pub(super) fn version_index(&self) -> Option<u64> {
        (self.version_index < self.versions).then_some(self.version_index)
    }

    /// The next nonces of this version, at most `batch` of them. Shape: the first one and how many.
    pub(super) fn next(&self, batch: u32) -> (u32, u32) {
        let left = self.slice.end - self.next_nonce;
        (self.next_nonce as u32, left.min(u64::from(batch)) as u32)
    }

    /// Marks this many nonces as tried.
    pub(super) fn advance(&mut self, done: u32) {
        self.next_nonce += u64::from(done);
        if self.next_nonce == self.slice.end {
            self.next_nonce = self.slice.start;
            self.version_index += 1;
        }
    }

    /// Headers not yet tried.
    pub(super) fn left(&self) -> u64 {
        let slice_size = self.slice.end - self.slice.start;
        (self.versions - self.version_index)
            .saturating_mul(slice_size)
            .saturating_sub(self.next_nonce - self.slice.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_of_the_mask_bits_comes_once_and_touches_no_other_bit() {
        for mask in [0_u32, 1, 0x8000_0000, 0x1fff_e000 & 0x00ff_f000, 0xa000_0501] {
            let mut seen: Vec<u32> =
                (0..1 << mask.count_ones()).map(|i| rolled_version(0x2000_0004 & !mask, mask, i)).collect();
            assert!(seen.iter().all(|version| version & !mask == 0x2000_0004 & !mask));
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), 1 << mask.count_ones());
        }
        assert_eq!(
            rolled_version(0x2000_0000, 0x1fff_e000, 0b101),
            0x2000_a000,
            "low bits of the index go to low places"
        );
    }

    #[test]
    fn the_slices_of_all_threads_are_all_nonces_without_overlap() {
        for (nonces, threads) in [(ALL_NONCES, 1), (ALL_NONCES, 3), (ALL_NONCES, 128), (10, 3), (2, 5)] {
            let slices: Vec<_> = (0..threads).map(|thread| slice(nonces, thread, threads)).collect();
            assert_eq!(slices[0].start, 0);
            assert!(slices.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert_eq!(slices[threads - 1].end, nonces);
        }
    }

    #[test]
    fn a_space_yields_its_slice_once_for_each_version_and_then_nothing() {
        let mut space = Space::new(7..20, 0b101);
        let mut tried = Vec::new();
        while let Some(version_index) = space.version_index() {
            assert_eq!(space.left(), 4 * 13 - tried.len() as u64);
            let (start, count) = space.next(5);
            tried.extend((start..start + count).map(|nonce| (version_index, nonce)));
            space.advance(count);
        }
        let expected: Vec<_> =
            (0..4).flat_map(|version| (7..20).map(move |nonce| (version, nonce))).collect();
        assert_eq!(tried, expected);
        assert_eq!(space.left(), 0);
    }

    #[test]
    fn the_last_slice_ends_exactly_at_two_to_the_32() {
        let mut space = Space::new(slice(ALL_NONCES, 1, 2), 0);
        space.advance(0x7fff_ff00);
        assert_eq!(space.next(4096), (0xffff_ff00, 0x100));
        space.advance(0x100);
        assert_eq!(space.version_index(), None);
    }

    #[test]
    fn a_thread_without_nonces_has_nothing_to_do() {
        assert_eq!(Space::new(3..3, 0xff).version_index(), None);
        assert_eq!(Space::new(3..3, 0xff).left(), 0);
    }

    #[test]
    fn the_largest_mask_does_not_overflow() {
        assert_eq!(Space::new(0..ALL_NONCES, u32::MAX).left(), u64::MAX);
    }
}
