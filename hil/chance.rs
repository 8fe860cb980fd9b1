//! Seeded chance: the same seed makes the same chain and the same board. SHA-256 of a counter, so no generator is needed.

use bitcoin::hashes::{Hash, sha256};

/// An endless sequence of made-up bytes.
#[derive(Clone, Debug)]
pub(crate) struct Chance {
    seed: u64,
    drawn: u64,
}

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, drawn: 0 }
    }

    /// The next 32 bytes.
    pub(crate) fn bytes(&mut self) -> [u8; 32] {
        let mut preimage = [0; 16];
        preimage[..8].copy_from_slice(&self.seed.to_le_bytes());
        preimage[8..].copy_from_slice(&self.drawn.to_le_bytes());
        self.drawn += 1;
        sha256::Hash::hash(&preimage).to_byte_array()
    }

    /// The next number.
    pub(crate) fn number(&mut self) -> u64 {
        let bytes = self.bytes();
        u64::from_le_bytes(bytes[..8].try_into().expect("eight of 32 bytes"))
    }

    /// A number from 0 to `bound` - 1. The bias is below 2^-32 for the small bounds used here.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound
    }

    /// A number from 0 up to, but not including, 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something of this probability happens.
    pub(crate) fn happens(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// The time to the next of events that come at `rate` in the mean, in the unit of 1 / `rate`.
    pub(crate) fn wait(&mut self, rate: f64) -> f64 {
        -(1.0 - self.unit()).ln() / rate
    }
}
