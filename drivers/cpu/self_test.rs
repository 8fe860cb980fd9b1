//! Proves the kernels on this very processor before the first job: a kernel that computes wrongly finds nothing, and
//! nobody would notice for days.

use super::{
    kernel::{Hits, Kernel, SCALAR},
    sha256::{K, Prepared},
};

/// What a kernel did wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Mismatch {
    #[error(
        "kernel {kernel} scanned {count} nonces of a known block from {start:#010x} and found {found:x?}"
    )]
    KnownBlock { kernel: &'static str, start: u32, count: u32, found: Vec<u32> },
    #[error("kernel {kernel} and the portable one found different nonces from {start:#010x}")]
    Portable { kernel: &'static str, start: u32 },
}

/// A block of the main chain: its header as big-endian words, and the nonce that completes it.
pub(super) struct KnownBlock {
    pub(super) header: [u32; 19],
    pub(super) nonce: u32,
}

/// Source: the main chain, heights 0 and 125552; both hashes have a top word of 0.
#[rustfmt::skip]
pub(super) const KNOWN_BLOCKS: [KnownBlock; 2] = [
    KnownBlock {
        header: [
            0x0100_0000,
            0, 0, 0, 0, 0, 0, 0, 0,
            0x3ba3_edfd, 0x7a7b_12b2, 0x7ac7_2c3e, 0x6776_8f61, 0x7fc8_1bc3, 0x888a_5132, 0x3a9f_b8aa, 0x4b1e_5e4a,
            0x29ab_5f49, 0xffff_001d,
        ],
        nonce: 0x7c2b_ac1d,
    },
    KnownBlock {
        header: [
            0x0100_0000,
            0x81cd_02ab, 0x7e56_9e8b, 0xcd93_17e2, 0xfe99_f2de, 0x44d4_9ab2, 0xb885_1ba4, 0xa308_0000, 0x0000_0000,
            0xe320_b6c2, 0xfffc_8d75, 0x0423_db8b, 0x1eb9_42ae, 0x710e_951e, 0xd797_f7af, 0xfc88_92b0, 0xf1fc_122b,
            0xc7f5_d74d, 0xf2b9_441a,
        ],
        nonce: 0x9546_a142,
    },
];

/// More than any kernel has lanes, so that each lane finds the nonce at some offset.
const OFFSETS: u32 = 32;
/// Synthetic headers to compare on, and how much of each: a few milliseconds of the portable kernel.
const HEADERS: u32 = 8;
const NONCES: u32 = 512;
/// One hash in 16 is a candidate, so that both many and no hits in a group occur, and all fit.
const RELAXED_LIMIT: u32 = u32::MAX >> 4;

/// Tests the kernels that this processor supports. Shape: those that passed, in the same order, and what was wrong with
/// each of the others.
pub(super) fn run(kernels: &[Kernel]) -> (Vec<Kernel>, Vec<Mismatch>) {
    let mut passed = Vec::new();
    let mut mismatches = Vec::new();
    for kernel in kernels.iter().filter(|kernel| (kernel.supported)()) {
        match finds_known_blocks(kernel).and_then(|()| agrees_with_portable(kernel)) {
            Ok(()) => passed.push(*kernel),
            Err(mismatch) => mismatches.push(mismatch),
        }
    }
    (passed, mismatches)
}

fn finds_known_blocks(kernel: &Kernel) -> Result<(), Mismatch> {
    for block in &KNOWN_BLOCKS {
        let header = Prepared::from_words(&block.header);
        for offset in 0..OFFSETS {
            let start = block.nonce - offset;
            // Once up to just before the nonce, once with it.
            for (count, expected) in [(offset, &[][..]), (offset + 1, &[block.nonce][..])] {
                let mut hits = Hits::new();
                let done = (kernel.scan)(&header, start, count, 0, &mut hits);
                if done != count || hits.as_slice() != expected {
                    let found = hits.as_slice().to_vec();
                    return Err(Mismatch::KnownBlock { kernel: kernel.name, start, count, found });
                }
            }
        }
    }
    Ok(())
}

fn agrees_with_portable(kernel: &Kernel) -> Result<(), Mismatch> {
    for seed in 0..HEADERS {
        // The round constants are as good as random.
        let header =
            Prepared::from_words(&std::array::from_fn(|i| K[i + 5 * seed as usize].rotate_left(seed)));
        // The first scan goes through the wrap, with nonces on both sides that end and begin amid a group.
        let start = K[seed as usize].wrapping_mul(seed).wrapping_sub(NONCES / 2 + 1);
        let mut expected = Hits::new();
        let mut hits = Hits::new();
        let expected_done = (SCALAR.scan)(&header, start, NONCES, RELAXED_LIMIT, &mut expected);
        let done = (kernel.scan)(&header, start, NONCES, RELAXED_LIMIT, &mut hits);
        if done != expected_done || hits.as_slice() != expected.as_slice() {
            return Err(Mismatch::Portable { kernel: kernel.name, start });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::kernel::KERNELS;

    fn names(kernels: &[Kernel]) -> Vec<&str> {
        kernels.iter().map(|kernel| kernel.name).collect()
    }

    #[test]
    fn every_supported_kernel_of_this_build_passes() {
        let supported: Vec<_> = KERNELS.iter().filter(|kernel| (kernel.supported)()).copied().collect();
        let (passed, mismatches) = run(KERNELS);
        assert_eq!(mismatches, []);
        assert_eq!(names(&passed), names(&supported));
    }

    #[test]
    fn a_kernel_that_skips_one_lane_is_found_out_on_a_known_block() {
        let lazy = Kernel {
            name: "lazy",
            supported: || true,
            scan: |header, start, count, limit, hits| {
                let mut all = Hits::new();
                let done = (SCALAR.scan)(header, start, count, limit, &mut all);
                for &nonce in all.as_slice().iter().filter(|&&nonce| nonce.wrapping_sub(start) % 8 != 5) {
                    assert!(hits.push(nonce));
                }
                done
            },
        };
        let (passed, mismatches) = run(&[SCALAR, lazy]);
        assert_eq!(names(&passed), ["scalar"]);
        let start = KNOWN_BLOCKS[0].nonce - 5;
        assert_eq!(mismatches, [Mismatch::KnownBlock { kernel: "lazy", start, count: 6, found: vec![] }]);
    }

    #[test]
    fn a_kernel_that_stops_at_the_wrap_is_found_out_by_comparison() {
        let short = Kernel {
            name: "short",
            supported: || true,
            scan: |header, start, count, limit, hits| {
                (SCALAR.scan)(header, start, count.min(u32::MAX - start), limit, hits)
            },
        };
        let (passed, mismatches) = run(&[short]);
        assert_eq!(names(&passed), [""; 0]);
        assert!(matches!(mismatches[..], [Mismatch::Portable { kernel: "short", .. }]));
    }

    #[test]
    fn a_kernel_that_the_processor_lacks_is_neither_run_nor_reported() {
        let foreign =
            Kernel { name: "foreign", supported: || false, scan: |_, _, _, _, _| panic!("not supported") };
        let (passed, mismatches) = run(&[SCALAR, foreign]);
        assert_eq!((names(&passed), mismatches), (vec!["scalar"], vec![]));
    }
}
