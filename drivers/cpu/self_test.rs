//! Proves the kernels on this very processor before the first job: a kernel that computes wrongly finds nothing, and
//! nobody would notice for days.

use super::{
    kernel::{Hit, Hits, Kernel, SCALAR},
    sha256::{K, Prepared},
};

/// What a kernel did wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Mismatch {
    #[error(
        "kernel {kernel} scanned {count} nonces of a known block from {start:#010x} and found {found:x?}"
    )]
    KnownBlock { kernel: &'static str, start: u32, count: u32, found: Vec<Hit> },
    #[error("kernel {kernel} and the portable one found different nonces from {start:#010x}")]
    Portable { kernel: &'static str, start: u32 },
}

impl Mismatch {
    pub(super) fn kernel(&self) -> &'static str {
        match self {
            Self::KnownBlock { kernel, .. } | Self::Portable { kernel, .. } => kernel,
        }
    }
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

impl KnownBlock {
    /// The block among headers with other versions. Shape: `header` is its place, below `midstates`.
    pub(super) fn prepared(&self, header: usize, midstates: usize) -> Prepared {
        let other = |i: usize| self.header[0].wrapping_add((i.wrapping_sub(header) as u32) << 8);
        Prepared::from_words(&self.header, (0..midstates).map(other))
    }
}

/// As many as any kernel has nonces in its lanes, so that each lane finds the nonce at some offset.
const OFFSETS: u32 = 32;
/// A multiple of the registers that take turns in any kernel with midstates in its lanes; up to it every midstate has the
/// known block once.
const TURNS: u32 = 6;
/// Synthetic headers to compare on, and how many hashes of each: some milliseconds of the portable kernel.
const HEADERS: u32 = 8;
const HASHES: u32 = 256;
/// Nonces above those, so that no kernel ends with a whole group.
const ODD_NONCES: u32 = 5;
/// One hash in 16 is a candidate, so that both many and no hits in a group occur, and nearly always all fit.
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
        let is_tried = |&(offset, midstate): &(u32, usize)| {
            offset < TURNS || midstate == offset as usize % kernel.midstates
        };
        let all =
            (0..OFFSETS).flat_map(|offset| (0..kernel.midstates).map(move |midstate| (offset, midstate)));
        for (offset, midstate) in all.filter(is_tried) {
            let headers = block.prepared(midstate, kernel.midstates);
            let hit = Hit { midstate: midstate as u8, nonce: block.nonce };
            let start = block.nonce - offset;
            // Once up to just before the nonce, once with it.
            for (count, expected) in [(offset, &[][..]), (offset + 1, &[hit][..])] {
                let mut hits = Hits::new();
                let done = (kernel.scan)(&headers, start, count, 0, &mut hits);
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
        let words = std::array::from_fn(|i| K[i + 5 * seed as usize].rotate_left(seed));
        let first_words = &K[seed as usize..][..kernel.midstates];
        let count = HASHES / kernel.midstates as u32 + ODD_NONCES;
        // The first scan goes through the wrap, with nonces on both sides that end and begin amid a group.
        let start = K[seed as usize].wrapping_mul(seed).wrapping_sub(count / 2 + 1);
        let mut hits = Hits::new();
        let headers = Prepared::from_words(&words, first_words.iter().copied());
        let done = (kernel.scan)(&headers, start, count, RELAXED_LIMIT, &mut hits);
        if (done, hits.as_slice().to_vec()) != by_portable(&words, first_words, start, count) {
            return Err(Mismatch::Portable { kernel: kernel.name, start });
        }
    }
    Ok(())
}

/// What a scan with the relaxed limit must come to. Shape: the nonces done, and the hits.
fn by_portable(words: &[u32; 19], first_words: &[u32], start: u32, count: u32) -> (u32, Vec<Hit>) {
    let headers: Vec<_> = first_words.iter().map(|word| Prepared::from_words(words, [*word])).collect();
    let is_candidate = |header: &Prepared, nonce| {
        let mut hits = Hits::new();
        (SCALAR.scan)(header, nonce, 1, RELAXED_LIMIT, &mut hits);
        !hits.as_slice().is_empty()
    };
    let mut hits = Vec::new();
    for done in 0..count {
        let nonce = start.wrapping_add(done);
        let before = hits.len();
        let found = (0_u8..).zip(&headers).filter(|(_, header)| is_candidate(header, nonce));
        hits.extend(found.map(|(midstate, _)| Hit { midstate, nonce }));
        if hits.len() > Hits::CAPACITY {
            hits.truncate(before);
            return (done, hits);
        }
    }
    (count, hits)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

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
            midstates: 1,
            supported: || true,
            scan: |header, start, count, limit, hits| {
                let mut all = Hits::new();
                let done = (SCALAR.scan)(header, start, count, limit, &mut all);
                for &hit in all.as_slice().iter().filter(|hit| hit.nonce.wrapping_sub(start) % 8 != 5) {
                    assert!(hits.push(hit));
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
            midstates: 1,
            supported: || true,
            scan: |header, start, count, limit, hits| {
                (SCALAR.scan)(header, start, count.min(u32::MAX - start), limit, hits)
            },
        };
        let (passed, mismatches) = run(&[short]);
        assert_eq!(names(&passed), [""; 0]);
        assert!(matches!(mismatches[..], [Mismatch::Portable { kernel: "short", .. }]));
    }

    /// Tries each nonce with two midstates by the portable kernel, and with the first one alone if it is `half`.
    fn two_midstates(
        headers: &Prepared,
        start: u32,
        count: u32,
        limit: u32,
        hits: &mut Hits,
        half: bool,
    ) -> u32 {
        for done in 0..count {
            let nonce = start.wrapping_add(done);
            for midstate in 0..if half { 1 } else { 2 } {
                let hash = headers.hash(midstate, nonce);
                let top = u32::from_le_bytes([hash[28], hash[29], hash[30], hash[31]]);
                if top <= limit && !hits.push(Hit { midstate: midstate as u8, nonce }) {
                    return done;
                }
            }
        }
        count
    }

    #[test]
    fn a_fault_in_any_lane_of_midstates_is_found_out_on_a_known_block() {
        // The headers of a nonce at place 4 and midstate 1, as in the second lane of the second of three registers.
        let faulty = Kernel {
            name: "faulty",
            midstates: 2,
            supported: || true,
            scan: |headers, start, count, limit, hits| {
                let mut all = Hits::new();
                let done = two_midstates(headers, start, count, limit, &mut all, false);
                let is_lost = |hit: &&Hit| hit.midstate == 1 && hit.nonce.wrapping_sub(start) % 15 == 4;
                for &hit in all.as_slice().iter().filter(|hit| !is_lost(hit)) {
                    assert!(hits.push(hit));
                }
                done
            },
        };
        assert!(matches!(run(&[faulty]).1[..], [Mismatch::KnownBlock { kernel: "faulty", count: 5, .. }]));
    }

    #[test]
    fn a_kernel_of_several_midstates_passes_and_one_that_forgets_a_midstate_is_found_out() {
        let whole = Kernel {
            name: "whole",
            midstates: 2,
            supported: || true,
            scan: |headers, start, count, limit, hits| {
                two_midstates(headers, start, count, limit, hits, false)
            },
        };
        let half = Kernel {
            name: "half",
            scan: |headers, start, count, limit, hits| {
                two_midstates(headers, start, count, limit, hits, true)
            },
            ..whole
        };
        let (passed, mismatches) = run(&[whole, half]);
        assert_eq!(names(&passed), ["whole"]);
        assert!(matches!(mismatches[..], [Mismatch::KnownBlock { kernel: "half", .. }]));
    }

    #[test]
    fn the_self_test_of_all_kernels_takes_less_than_50_ms() {
        // One of some is undisturbed by other programs.
        let times: Vec<_> = (0..10)
            .map(|_| {
                let began = Instant::now();
                run(KERNELS);
                began.elapsed()
            })
            .collect();
        println!("{times:?}");
        assert!(times.iter().any(|time| *time < Duration::from_millis(50)), "{times:?}");
    }

    #[test]
    fn a_kernel_that_the_processor_lacks_is_neither_run_nor_reported() {
        let foreign = Kernel {
            name: "foreign",
            midstates: 1,
            supported: || false,
            scan: |_, _, _, _, _| panic!("not supported"),
        };
        let (passed, mismatches) = run(&[SCALAR, foreign]);
        assert_eq!((names(&passed), mismatches), (vec!["scalar"], vec![]));
    }
}
