//! Picks a kernel by measurement: which is fastest differs from one processor, and one load, to the next.

use std::{hint, time::Instant};

use super::{
    kernel::{Hits, Kernel},
    sha256::{K, Prepared},
};

/// Slices measured of each kernel. An odd number, so that one of them is the median.
const SLICES: usize = 7;
/// Length of a slice: 7 of them stay below 20 ms, and a millisecond is long against the clock's steps.
const SLICE_SECONDS: f64 = 0.002;
/// Nonces to find out how many fit into a slice.
const FIRST_NONCES: u32 = 1024;

/// The kernel to hash with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    pub(super) kernel: Kernel,
    /// Hashes per second of one thread.
    pub(super) rate: f64,
}

/// The kernel with the best median of a few short slices, taken in turn so that a disturbance hits all alike.
///
/// Panics if there is none to choose from: the portable kernel always is.
pub(super) fn fastest(kernels: &[Kernel]) -> Choice {
    let sizes: Vec<_> = kernels
        .iter()
        .map(|kernel| (measure(kernel, FIRST_NONCES) * SLICE_SECONDS).max(1.0) as u32)
        .collect();
    let mut rates = vec![Vec::with_capacity(SLICES); kernels.len()];
    for _ in 0..SLICES {
        for ((kernel, nonces), rates) in kernels.iter().zip(&sizes).zip(&mut rates) {
            rates.push(measure(kernel, *nonces));
        }
    }
    kernels
        .iter()
        .zip(&mut rates)
        .map(|(kernel, rates)| {
            rates.sort_by(f64::total_cmp);
            Choice { kernel: *kernel, rate: rates[SLICES / 2] }
        })
        .max_by(|a, b| a.rate.total_cmp(&b.rate))
        .expect("the portable kernel is always supported")
}

/// Hashes per second over this many nonces.
fn measure(kernel: &Kernel, nonces: u32) -> f64 {
    let header = Prepared::from_words(&std::array::from_fn(|i| K[i]));
    let mut hits = Hits::new();
    let began = Instant::now();
    let done = (kernel.scan)(hint::black_box(&header), 0, nonces, 0, &mut hits);
    f64::from(done) / began.elapsed().as_secs_f64().max(1e-9)
}
