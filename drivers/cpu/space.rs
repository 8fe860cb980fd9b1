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

/// What one thread has still to try of one job: its slice of nonces with the first group of versions, then with the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Space {
    slice: Range<u64>,
    next_nonce: u64,
    /// Versions that are tried together.
    group_size: u64,
    group: u64,
    groups: u64,
}

impl Space {
    /// Shape: `group_size` versions at a time, a power of two, and no more than the mask has.
    pub(super) fn new(slice: Range<u64>, version_mask: u32, group_size: usize) -> Self {
        let group_size = group_size as u64;
        let versions = 1_u64 << version_mask.count_ones();
        assert!(versions.is_multiple_of(group_size), "a kernel that needs more versions than there are");
        // Without a nonce there is nothing to try with any version either.
        let groups = if slice.is_empty() { 0 } else { versions / group_size };
        Self { next_nonce: slice.start, slice, group_size, group: 0, groups }
    }

    /// Which versions to hash with now, by index for [`rolled_version`]; `None` when nothing is left.
    pub(super) fn versions(&self) -> Option<Range<u64>> {
        let first = self.group * self.group_size;
        (self.group < self.groups).then_some(first..first + self.group_size)
    }

    /// The next nonces of these versions, at most `batch` of them. Shape: the first one and how many.
    pub(super) fn next(&self, batch: u32) -> (u32, u32) {
        let left = self.slice.end - self.next_nonce;
        (self.next_nonce as u32, left.min(u64::from(batch)) as u32)
    }

    /// Marks this many nonces as tried with all versions of the group.
    pub(super) fn advance(&mut self, done: u32) {
        self.next_nonce += u64::from(done);
        if self.next_nonce == self.slice.end {
            self.next_nonce = self.slice.start;
            self.group += 1;
        }
    }

    /// Headers not yet tried.
    pub(super) fn left(&self) -> u64 {
        let slice_size = self.slice.end - self.slice.start;
        (self.groups - self.group)
            .saturating_mul(slice_size)
            .saturating_sub(self.next_nonce - self.slice.start)
            .saturating_mul(self.group_size)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn a_space_yields_its_slice_once_with_each_version_in_order_of_groups_and_then_nothing(
            start in prop_oneof![0..50_u64, ALL_NONCES - 60..ALL_NONCES - 50],
            nonces in 0..50_u64,
            mask in prop_oneof![Just(0), Just(0b101), Just(0x1fff_e000 & 0x0003_ffff), any::<u32>().prop_map(|mask| mask & 0x8020_0415)],
            group_bits in 0..5_u32,
            batch in 1..60_u32,
        ) {
            let bits = mask.count_ones();
            let group_size = 1 << group_bits.min(bits);
            let mut space = Space::new(start..start + nonces, mask, group_size);
            let mut tried = Vec::new();
            while let Some(versions) = space.versions() {
                prop_assert_eq!(space.left(), (nonces << bits) - tried.len() as u64);
                let (first, count) = space.next(batch);
                prop_assert!(count > 0 && count <= batch);
                for nonce in (0..count).map(|i| first.wrapping_add(i)) {
                    tried.extend(versions.clone().map(|index| (rolled_version(0, mask, index), nonce)));
                }
                space.advance(count);
            }
            prop_assert_eq!(space.left(), 0);
            prop_assert!(tried.iter().all(|(version, _)| version & !mask == 0));
            let groups: Vec<_> = tried.chunks(nonces.max(1) as usize * group_size).collect();
            for pair in groups.windows(2) {
                prop_assert!(pair[0].iter().all(|(version, _)| *version < pair[1][0].0 || mask == 0));
            }
            tried.sort_unstable();
            let all_nonces = || (start..start + nonces).map(|nonce| nonce as u32);
            let mut expected: Vec<_> = (0..1_u64 << bits)
                .flat_map(|index| all_nonces().map(move |nonce| (rolled_version(0, mask, index), nonce)))
                .collect();
            expected.sort_unstable();
            prop_assert_eq!(tried, expected);
        }
    }

    #[test]
    fn the_last_slice_ends_exactly_at_two_to_the_32() {
        let mut space = Space::new(slice(ALL_NONCES, 1, 2), 0, 1);
        space.advance(0x7fff_ff00);
        assert_eq!(space.next(4096), (0xffff_ff00, 0x100));
        space.advance(0x100);
        assert_eq!(space.versions(), None);
    }

    #[test]
    fn a_thread_without_nonces_has_nothing_to_do() {
        assert_eq!(Space::new(3..3, 0xff, 16).versions(), None);
        assert_eq!(Space::new(3..3, 0xff, 16).left(), 0);
    }

    #[test]
    fn the_largest_mask_does_not_overflow() {
        assert_eq!(Space::new(0..ALL_NONCES, u32::MAX, 16).left(), u64::MAX);
    }
}
