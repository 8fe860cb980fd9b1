//! The nonce scanners: one signature, one table.

use super::{CpuError, scalar, sha256::Prepared};
#[cfg(target_arch = "aarch64")]
use super::{armv8, neon};
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512, sha_ni};

/// Tries `count` nonces from `start` upwards, past 2^32 to 0, with each of the kernel's midstates, and notes those whose
/// hash has a top word of at most `top_limit`: the highest 32 bits of the hash as a little-endian 256-bit number.
///
/// Returns how many nonces are done, each with all midstates. They are fewer than `count` only if the candidates of a
/// nonce did not fit into the hits; it is then the first nonce not done. Hits are in the order of nonces, then midstates.
pub(super) type Scan = fn(headers: &Prepared, start: u32, count: u32, top_limit: u32, hits: &mut Hits) -> u32;

/// One way to scan nonces.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernel {
    /// What an operator calls it.
    pub(super) name: &'static str,
    /// How many midstates it tries each nonce with: the first ones of the headers, which must have as many.
    pub(super) midstates: usize,
    /// Whether this processor can run it.
    pub(super) supported: fn() -> bool,
    /// The scanner. Panics if the processor does not support it.
    pub(super) scan: Scan,
}

impl Kernel {
    /// The kernel of that name, if this processor can run it.
    ///
    /// Errors: `UnknownKernel`, `UnsupportedKernel`.
    pub(super) fn named(name: &str) -> Result<&'static Self, CpuError> {
        let Some(kernel) = KERNELS.iter().find(|kernel| kernel.name == name) else {
            let known = KERNELS.iter().map(|kernel| kernel.name).collect::<Vec<_>>().join(", ");
            return Err(CpuError::UnknownKernel { name: name.to_owned(), known });
        };
        if (kernel.supported)() {
            Ok(kernel)
        } else {
            Err(CpuError::UnsupportedKernel { name: name.to_owned() })
        }
    }
}

/// All kernels of this build, the portable one first: it is the oracle of the others. Names say for which instructions, how
/// many versions side by side, and how many registers in turn.
#[rustfmt::skip]
pub(super) static KERNELS: &[Kernel] = &[
    SCALAR,
    #[cfg(target_arch = "aarch64")]
    Kernel { name: "neon", midstates: 1, supported: || true, scan: neon::scan },
    #[cfg(target_arch = "aarch64")]
    Kernel { name: "neon-4-versions-x2", midstates: 4, supported: || true, scan: neon::scan_versions_x2 },
    #[cfg(target_arch = "aarch64")]
    Kernel { name: "armv8", midstates: 1, supported: armv8::supported, scan: armv8::scan },
    #[cfg(target_arch = "aarch64")]
    Kernel { name: "armv8-8-versions", midstates: 8, supported: armv8::supported, scan: armv8::scan_versions },
    #[cfg(target_arch = "x86_64")]
    Kernel { name: "avx2", midstates: 1, supported: avx2::supported, scan: avx2::scan },
    #[cfg(target_arch = "x86_64")]
    Kernel { name: "avx2-x2", midstates: 1, supported: avx2::supported, scan: avx2::scan_x2 },
    #[cfg(target_arch = "x86_64")]
    Kernel { name: "avx2-8-versions-x2", midstates: 8, supported: avx2::supported, scan: avx2::scan_versions_x2 },
    #[cfg(target_arch = "x86_64")]
    Kernel { name: "sha-ni", midstates: 1, supported: sha_ni::supported, scan: sha_ni::scan },
    #[cfg(target_arch = "x86_64")]
    Kernel { name: "sha-ni-8-versions", midstates: 8, supported: sha_ni::supported, scan: sha_ni::scan_versions },
    #[cfg(target_arch = "x86_64")]
    Kernel { name: "avx512", midstates: 1, supported: avx512::supported, scan: avx512::scan },
    #[cfg(target_arch = "x86_64")]
    Kernel { name: "avx512-x2", midstates: 1, supported: avx512::supported, scan: avx512::scan_x2 },
    #[cfg(target_arch = "x86_64")]
    Kernel { name: "avx512-16-versions-x2", midstates: 16, supported: avx512::supported, scan: avx512::scan_versions_x2 },
    #[cfg(target_arch = "x86_64")]
    Kernel { name: "avx512-16-versions-x3", midstates: 16, supported: avx512::supported, scan: avx512::scan_versions_x3 },
];

/// The portable kernel.
pub(super) const SCALAR: Kernel =
    Kernel { name: "scalar", midstates: 1, supported: || true, scan: scalar::scan };

/// A candidate: a header whose hash may meet the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hit {
    /// Which of the midstates.
    pub(super) midstate: u8,
    pub(super) nonce: u32,
}

/// Candidates of one scan; fixed in size so that scanning never allocates.
#[derive(Debug)]
pub(super) struct Hits {
    hits: [Hit; Hits::CAPACITY],
    len: usize,
}

impl Hits {
    /// At any difficulty above 1 even two in a batch are rare; at the lowest ones a scan just returns more often. More
    /// than the midstates of any kernel, so that the candidates of one nonce fit always.
    pub(super) const CAPACITY: usize = 64;

    pub(super) const fn new() -> Self {
        Self { hits: [Hit { midstate: 0, nonce: 0 }; Self::CAPACITY], len: 0 }
    }

    /// Notes a candidate, or returns false if there is no room.
    #[must_use]
    pub(super) fn push(&mut self, hit: Hit) -> bool {
        let Some(slot) = self.hits.get_mut(self.len) else { return false };
        *slot = hit;
        self.len += 1;
        true
    }

    /// How many candidates still fit.
    pub(super) fn room(&self) -> usize {
        Self::CAPACITY - self.len
    }

    /// The candidates in the order they were found.
    pub(super) fn as_slice(&self) -> &[Hit] {
        &self.hits[..self.len]
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }
}
