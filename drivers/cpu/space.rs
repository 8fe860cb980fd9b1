//! Who tries which headers: no two threads the same, no thread one twice.

use std::ops::Range;

use super::sha256::MOST_MIDSTATES;

/// Nonces that a header has.
pub(super) const ALL_NONCES: u64 = 1 << 32;

/// Versions that stand in one block: as many as any kernel tries together, so that threads share the blocks out alike
/// whatever kernels they have.
const BLOCK: u64 = MOST_MIDSTATES as u64;

/// The part of one thread in every job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// Nonces of each header.
    pub(super) nonces: u64,
    /// Which thread, counted from 0.
    pub(super) thread: usize,
    /// How many there are.
    pub(super) threads: usize,
}

impl Part {
    /// Of a job with so many blocks of versions. Shape: places in the order of blocks, and of nonces in each.
    ///
    /// Threads take one whole block after the other. Only where their number does not divide that of the blocks, and so
    /// also where no version may be rolled, a border is within a block: between two nonces.
    fn places(self, blocks: u64) -> Range<u64> {
        let all = u128::from(blocks * self.nonces); // at most 2^28 blocks, 2^60 places
        let border = |thread: usize| (all * thread as u128 / self.threads as u128) as u64;
        border(self.thread)..border(self.thread + 1)
    }
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

/// What one thread has still to try of one job. Block by block: all its nonces of the block with the first group of the
/// block's versions, then with the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Space {
    nonces: u64,
    /// Versions of a block.
    block_size: u64,
    /// Versions that are tried together.
    group_size: u64,
    /// Places of the block of the moment; none when nothing is left.
    stretch: Range<u64>,
    /// Which group of the block's versions.
    group: u64,
    /// The next place of the stretch.
    next: u64,
    /// Where the thread's part ends.
    end: u64,
}

impl Space {
    /// Shape: `group_size` versions at a time, a power of two, at most [`MOST_MIDSTATES`], and no more than the mask has.
    pub(super) fn new(part: Part, version_mask: u32, group_size: usize) -> Self {
        let (group_size, versions) = (group_size as u64, 1_u64 << version_mask.count_ones());
        let block_size = versions.min(BLOCK);
        assert!(block_size.is_multiple_of(group_size), "a kernel that needs more versions than there are");
        let Range { start, end } = part.places(versions / block_size);
        let mut space =
            Self { nonces: part.nonces, block_size, group_size, stretch: 0..0, group: 0, next: start, end };
        space.begin_block(start);
        space
    }

    /// Goes on at this place, up to where its block or the part ends.
    fn begin_block(&mut self, place: u64) {
        let block_end = if place < self.end { (place / self.nonces + 1) * self.nonces } else { place };
        (self.stretch, self.group, self.next) = (place..block_end.min(self.end), 0, place);
    }

    /// Which versions to hash with now, by index for [`rolled_version`]; `None` when nothing is left.
    pub(super) fn versions(&self) -> Option<Range<u64>> {
        if self.stretch.is_empty() {
            return None;
        }
        let first = self.stretch.start / self.nonces * self.block_size + self.group * self.group_size;
        Some(first..first + self.group_size)
    }

    /// The next nonces of these versions, at most `batch` of them. Shape: the first one and how many.
    pub(super) fn next(&self, batch: u32) -> (u32, u32) {
        let left = self.stretch.end - self.next;
        ((self.next % self.nonces) as u32, left.min(u64::from(batch)) as u32)
    }

    /// Marks this many nonces as tried with all versions of the group.
    pub(super) fn advance(&mut self, done: u32) {
        self.next += u64::from(done);
        if self.next < self.stretch.end {
            return;
        }
        self.group += 1;
        self.next = self.stretch.start;
        if self.group * self.group_size == self.block_size {
            self.begin_block(self.stretch.end);
        }
    }

    /// Headers not yet tried.
    pub(super) fn left(&self) -> u64 {
        let in_later_blocks = (self.end - self.stretch.end).saturating_mul(self.block_size);
        let later_versions = self.block_size - self.group * self.group_size;
        // Of the stretch: with all versions from this group on, without what this group has tried.
        let in_this_block = (self.stretch.end - self.stretch.start) * later_versions
            - (self.next - self.stretch.start) * self.group_size;
        in_later_blocks.saturating_add(in_this_block)
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

    /// All of a board with one thread.
    fn whole(nonces: u64) -> Part {
        Part { nonces, thread: 0, threads: 1 }
    }

    /// All (version, nonce) that a space yields in batches of at most `batch` nonces, in their order.
    ///
    /// Panics if it counts wrongly what is left.
    fn tried(mut space: Space, mask: u32, batch: u32) -> Vec<(u32, u32)> {
        let (size, mut tried) = (space.left(), Vec::new());
        while let Some(versions) = space.versions() {
            assert_eq!(space.left(), size - tried.len() as u64);
            let (first, count) = space.next(batch);
            assert!((1..=batch).contains(&count));
            for nonce in first..first + count {
                tried.extend(versions.clone().map(|index| (rolled_version(0, mask, index), nonce)));
            }
            space.advance(count);
        }
        assert_eq!((space.left(), tried.len() as u64), (0, size));
        tried
    }

    proptest! {
        #[test]
        fn threads_with_any_kernels_together_try_each_version_with_each_nonce_once(
            nonces in 1..40_u64,
            mask in prop_oneof![Just(0), Just(0b101), Just(0x1fff_e000 & 0x0003_ffff), any::<u32>().prop_map(|mask| mask & 0x8020_0415)],
            group_bits in prop::collection::vec(0..5_u32, 1..9),
            batch in 1..60_u32,
        ) {
            let (bits, threads) = (mask.count_ones(), group_bits.len());
            let parts: Vec<_> = group_bits.iter().enumerate().map(|(thread, group_bits)| {
                let space = Space::new(Part { nonces, thread, threads }, mask, 1 << bits.min(*group_bits));
                tried(space, mask, batch)
            }).collect();
            let sizes = || parts.iter().map(Vec::len);
            let block = 1 << bits.min(4);
            prop_assert!(sizes().max().unwrap() - sizes().min().unwrap() <= block, "fair to a nonce of a block");
            let mut all = parts.concat();
            all.sort_unstable();
            let mut expected: Vec<_> = (0..1_u64 << bits)
                .flat_map(|index| (0..nonces as u32).map(move |nonce| (rolled_version(0, mask, index), nonce)))
                .collect();
            expected.sort_unstable();
            prop_assert_eq!(all, expected);
        }
    }

    #[test]
    fn threads_have_versions_of_their_own_as_long_as_there_are_enough_blocks_of_them() {
        let mask = 0x1fff_e000;
        for (threads, group_size) in [(1, 16), (2, 16), (4, 8), (4096, 1)] {
            for thread in [0, threads / 2, threads - 1] {
                let part = Part { nonces: ALL_NONCES, thread, threads };
                let space = Space::new(part, mask, group_size);
                let first = ((1 << 16) * thread / threads) as u64;
                assert_eq!(space.versions(), Some(first..first + group_size as u64), "{thread} of {threads}");
                assert_eq!((space.next(4096), space.left()), ((0, 4096), (1 << 48) / threads as u64));
            }
        }
    }

    #[test]
    fn where_there_are_more_threads_than_blocks_of_versions_nonces_are_shared_out() {
        for (mask, group_size) in [(0, 1), (0xe000, 8)] {
            let second = Space::new(Part { nonces: ALL_NONCES, thread: 1, threads: 2 }, mask, group_size);
            assert_eq!(second.versions(), Some(0..group_size as u64));
            assert_eq!(second.next(4096), (0x8000_0000, 4096));
            assert_eq!(second.left(), (1 << 31) * group_size as u64);
        }
    }

    #[test]
    fn the_last_nonces_end_exactly_at_two_to_the_32() {
        let mut space = Space::new(Part { nonces: ALL_NONCES, thread: 1, threads: 2 }, 0, 1);
        space.advance(0x7fff_ff00);
        assert_eq!(space.next(4096), (0xffff_ff00, 0x100));
        space.advance(0x100);
        assert_eq!(space.versions(), None);
    }

    #[test]
    fn a_thread_without_a_part_has_nothing_to_do() {
        for part in [Part { nonces: 3, thread: 0, threads: 5 }, whole(0)] {
            let space = Space::new(part, 0, 1);
            assert_eq!((space.versions(), space.left()), (None, 0));
        }
    }

    #[test]
    fn the_largest_mask_does_not_overflow() {
        assert_eq!(Space::new(whole(ALL_NONCES), u32::MAX, 16).left(), u64::MAX);
    }
}
