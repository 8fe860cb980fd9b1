//! How fast the kernels are: slices of a few milliseconds, of several kernels in turn, so that whatever else the machine
//! does hits all alike; and the clock of the core meanwhile, so that a rate is cycles a hash too.

use std::{
    hint,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use cpu_time::ThreadTime;

use super::{
    CpuError,
    kernel::{Hits, KERNELS, Kernel},
    sha256::{K, MOST_MIDSTATES, Prepared},
};

/// A kernel of this build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelInfo {
    /// What an operator calls it.
    pub name: &'static str,
    /// Versions that it tries each nonce with; above 1 it needs a mask with so many combinations.
    pub midstates: usize,
    /// Whether this processor has its instructions.
    pub is_supported: bool,
}

impl From<&Kernel> for KernelInfo {
    fn from(kernel: &Kernel) -> Self {
        Self { name: kernel.name, midstates: kernel.midstates, is_supported: (kernel.supported)() }
    }
}

/// All kernels of this build, the portable one first.
pub fn kernels() -> Vec<KernelInfo> {
    KERNELS.iter().map(KernelInfo::from).collect()
}

/// A short time of hashing with one kernel on one thread.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slice {
    /// Midstates times nonces.
    pub hashes: u64,
    /// Time that went by.
    pub wall: Duration,
    /// Time that the thread had a core: without what other programs took.
    pub cpu: Duration,
    /// Cycles a second of the core, from a chain of additions just before; `None` where that is not known.
    pub clock: Option<f64>,
}

impl Slice {
    /// Hashes a second of the time that went by.
    pub fn rate(&self) -> f64 {
        self.hashes as f64 / self.wall.as_secs_f64().max(1e-9)
    }

    /// Hashes a second of the thread's own time.
    pub fn cpu_rate(&self) -> f64 {
        self.hashes as f64 / self.cpu.as_secs_f64().max(1e-9)
    }

    /// Cycles of the core a hash.
    pub fn cycles(&self) -> Option<f64> {
        self.clock.map(|clock| clock / self.cpu_rate())
    }
}

/// Hashes so many nonces with the kernel of that name, each with all its versions.
///
/// Errors: `UnknownKernel`, `UnsupportedKernel`.
pub fn hash(name: &str, nonces: u32) -> Result<Slice, CpuError> {
    Ok(measured(Kernel::named(name)?, nonces))
}

/// Kernels that are measured in turn on the calling thread.
#[derive(Debug)]
pub(super) struct Turns {
    pub(super) slice: Duration,
    /// With the nonces that fill a slice, as far as the last one tells.
    pub(super) kernels: Vec<(Kernel, u32)>,
}

impl Turns {
    /// Of these kernels, which the processor must support.
    pub(super) fn new(kernels: &[Kernel], slice: Duration) -> Self {
        let first =
            |kernel: &Kernel| (*kernel, nonces_in(&measured(kernel, FIRST_NONCES), FIRST_NONCES, slice));
        Self { slice, kernels: kernels.iter().map(first).collect() }
    }

    /// A slice of each, but none that begins after `stop` is set. Shape: in their order.
    pub(super) fn round(&mut self, stop: &AtomicBool) -> Vec<Slice> {
        let slice = self.slice;
        let turn = |(kernel, nonces): &mut (Kernel, u32)| {
            let clock = clock();
            let measured = measured(kernel, *nonces);
            *nonces = nonces_in(&measured, *nonces, slice);
            Slice { clock, ..measured }
        };
        self.kernels.iter_mut().take_while(|_| !stop.load(Ordering::Relaxed)).map(turn).collect()
    }
}

/// The middle one, of an even number the mean of the two middle ones; `None` of none.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (lower, upper) = (values.get(values.len().saturating_sub(1) / 2)?, values.get(values.len() / 2)?);
    Some(f64::midpoint(*lower, *upper))
}

/// Nonces to find out how many fit into a slice.
pub(super) const FIRST_NONCES: u32 = 1024;

/// How many nonces fill such a time, when so many took a measured one. In the thread's own time: another program in a
/// slice does not make the next one short.
pub(super) fn nonces_in(measured: &Slice, nonces: u32, slice: Duration) -> u32 {
    let slices = slice.as_secs_f64() / measured.cpu.as_secs_f64().max(1e-9);
    (f64::from(nonces) * slices).clamp(1.0, MOST_NONCES) as u32
}

/// Nonces of a slice at most, above what any core does in one: a clock that stood still must not make it endless.
const MOST_NONCES: f64 = 1e8;

/// Hashes so many nonces of a header that is nobody's.
pub(super) fn measured(kernel: &Kernel, nonces: u32) -> Slice {
    let headers = Prepared::from_words(&std::array::from_fn(|i| K[i]), K[..MOST_MIDSTATES].iter().copied());
    let mut hits = Hits::new();
    let (began, cpu_began) = (Instant::now(), ThreadTime::now());
    let done = (kernel.scan)(hint::black_box(&headers), 0, nonces, 0, &mut hits);
    let hashes = u64::from(done) * kernel.midstates as u64;
    Slice { hashes, wall: began.elapsed(), cpu: cpu_began.elapsed(), clock: None }
}

/// Chains of which the quickest counts: an interrupt makes one look slow.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const CHAINS: u32 = 8;
/// Additions in a row that wait for each other: 10 µs or so, long against the clock's steps.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const ADDITIONS: u32 = 16 * 2500;

/// Cycles a second of the core this thread is on, from a chain of additions of one cycle each. `None` on processors for
/// which there is no such chain here.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub fn clock() -> Option<f64> {
    (0..CHAINS).map(|_| one_chain()).reduce(f64::max)
}

/// Additions a second of one chain.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[allow(unsafe_code)] // a chain that the compiler does not shorten
fn one_chain() -> f64 {
    let mut sum = 0_u64;
    let cpu_began = ThreadTime::now();
    for _ in 0..ADDITIONS / 16 {
        macro_rules! sixteen {
            ($add:literal) => {
                // SAFETY: it adds one register to another, without memory or stack.
                unsafe {
                    std::arch::asm!(
                        $add, $add, $add, $add, $add, $add, $add, $add, $add, $add, $add, $add, $add, $add, $add, $add,
                        sum = inout(reg) sum, one = in(reg) 1_u64, options(pure, nomem, nostack),
                    );
                }
            };
        }
        #[cfg(target_arch = "x86_64")]
        sixteen!("add {sum}, {one}");
        #[cfg(target_arch = "aarch64")]
        sixteen!("add {sum}, {sum}, {one}");
    }
    assert_eq!(hint::black_box(sum), u64::from(ADDITIONS));
    f64::from(ADDITIONS) / cpu_began.elapsed().as_secs_f64().max(1e-9)
}

/// `None`: there is no chain of additions for this processor here.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub fn clock() -> Option<f64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_measured_in_turn_and_every_slice_has_about_its_length() {
        let supported: Vec<_> = KERNELS.iter().filter(|kernel| (kernel.supported)()).copied().collect();
        let slice = Duration::from_millis(2);
        let mut turns = Turns::new(&supported, slice);
        let rounds: Vec<_> = (0..9).map(|_| turns.round(&AtomicBool::new(false))).collect();
        for (at, Kernel { name, .. }) in supported.iter().enumerate() {
            let slices: Vec<_> = rounds.iter().map(|round| round[at]).collect();
            assert!(slices.iter().all(|slice| slice.hashes > 0 && slice.rate() > 0.0), "{name}");
            // Other programs make slices longer, and the measurement of their size shorter.
            let shortest = slices.iter().map(|slice| slice.cpu).min().unwrap();
            assert!(shortest < 2 * slice && shortest > slice / 20, "{name}: {shortest:?}");
            let cycles = slices.iter().filter_map(Slice::cycles).fold(f64::MAX, f64::min);
            assert!(cycles > 10.0, "{name}: {cycles} cycles for 121 rounds");
        }
    }

    #[test]
    fn hashes_are_midstates_times_nonces() {
        for kernel in KERNELS.iter().filter(|kernel| (kernel.supported)()) {
            assert_eq!(
                hash(kernel.name, 100).unwrap().hashes,
                100 * kernel.midstates as u64,
                "{}",
                kernel.name
            );
        }
    }

    #[test]
    fn a_kernel_that_there_is_not_is_refused_by_name() {
        let error = hash("abacus", 1).unwrap_err();
        assert!(error.to_string().starts_with("no kernel \"abacus\", there are: scalar"), "{error}");
    }

    #[test]
    fn the_median_of_an_even_number_is_the_mean_of_the_two_in_the_middle() {
        let medians = [vec![3.0, 1.0, 2.0], vec![4.0, 1.0, 3.0, 2.0], vec![5.0], vec![]].map(median);
        assert_eq!(medians, [Some(2.0), Some(2.5), Some(5.0), None]);
    }

    #[test]
    fn the_clock_of_a_core_is_between_a_tenth_and_ten_gigahertz() {
        if let Some(clock) = clock() {
            assert!((1e8..1e10).contains(&clock), "{clock}");
        }
    }
}
