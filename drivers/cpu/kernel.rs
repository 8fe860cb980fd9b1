//! The nonce scanners: one signature, one table.

#[cfg(target_arch = "x86_64")]
use super::sha_ni;
use super::{scalar, sha256::Prepared};

/// Tries `count` nonces from `start` upwards, past 2^32 to 0, and notes those whose hash has a top word of at most
/// `top_limit`: the highest 32 bits of the hash as a little-endian 256-bit number.
///
/// Returns how many nonces are done. They are fewer than `count` only if a candidate did not fit into the hits; it is
/// then the first nonce not done.
pub(super) type Scan = fn(header: &Prepared, start: u32, count: u32, top_limit: u32, hits: &mut Hits) -> u32;

/// One way to scan nonces.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernel {
    /// What an operator calls it.
    pub(super) name: &'static str,
    /// Whether this processor can run it.
    pub(super) supported: fn() -> bool,
    /// The scanner. Panics if the processor does not support it.
    pub(super) scan: Scan,
}

/// All kernels of this build, the portable one first: it is the oracle of the others.
pub(super) static KERNELS: &[Kernel] = &[
    SCALAR,
    #[cfg(target_arch = "x86_64")]
    Kernel { name: "sha-ni", supported: sha_ni::supported, scan: sha_ni::scan },
];

/// The portable kernel.
pub(super) const SCALAR: Kernel = Kernel { name: "scalar", supported: || true, scan: scalar::scan };

/// Candidates of one scan; fixed in size so that scanning never allocates.
#[derive(Debug)]
pub(super) struct Hits {
    nonces: [u32; Hits::CAPACITY],
    len: usize,
}

impl Hits {
    /// At any difficulty above 1 even two in a batch are rare; at the lowest ones a scan just returns more often.
    pub(super) const CAPACITY: usize = 64;

    pub(super) const fn new() -> Self {
        Self { nonces: [0; Self::CAPACITY], len: 0 }
    }

    /// Notes a nonce, or returns false if there is no room.
    #[must_use]
    pub(super) fn push(&mut self, nonce: u32) -> bool {
        let Some(slot) = self.nonces.get_mut(self.len) else { return false };
        *slot = nonce;
        self.len += 1;
        true
    }

    /// The candidates in the order they were found.
    pub(super) fn as_slice(&self) -> &[u32] {
        &self.nonces[..self.len]
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }
}
