//! Every kernel that this processor supports, in batches as a hashing thread does them. Criterion takes one after the
//! other, so what is compared here is one kernel with itself before a change; `signalcore bench` compares kernels.
#![allow(clippy::unwrap_used)] // what fails here is a fault of the bench

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use signalcore_drivers::cpu::measure;

/// Hashes of a batch: half a millisecond and less.
const HASHES: u32 = 16_384;

fn kernels(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("kernel");
    group.throughput(Throughput::Elements(u64::from(HASHES)));
    for kernel in measure::kernels().into_iter().filter(|kernel| kernel.is_supported) {
        let nonces = HASHES / kernel.midstates as u32;
        group.bench_function(kernel.name, |bencher| {
            bencher.iter(|| measure::hash(kernel.name, nonces).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, kernels);
criterion_main!(benches);
