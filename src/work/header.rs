//! The 80 bytes that are hashed, and the hash of them.

use std::fmt;

use sha2::{Digest, Sha256};

/// SHA-256 of SHA-256, the hash of Bitcoin's headers, transactions and merkle nodes. Shape: 32 bytes as they come out.
pub fn sha256d(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(Sha256::digest(bytes)).into()
}

/// A block header. Offsets of the serialisation: version 0, previous hash 4, merkle root 36, ntime 68, nbits 72,
/// nonce 76; the numbers little-endian. Source: Bitcoin Core `primitives/block.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Block version, rolled bits included.
    pub version: u32,
    /// Hash of the previous block, header order.
    pub prev_hash: [u8; 32],
    /// Merkle root, header order.
    pub merkle_root: [u8; 32],
    /// Seconds since 1970.
    pub ntime: u32,
    /// Compact network target.
    pub nbits: u32,
    /// The number a miner searches.
    pub nonce: u32,
}

impl Header {
    /// Length of the serialisation.
    pub const LEN: usize = 80;

    /// The header as it is hashed.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[0..4].copy_from_slice(&self.version.to_le_bytes());
        bytes[4..36].copy_from_slice(&self.prev_hash);
        bytes[36..68].copy_from_slice(&self.merkle_root);
        bytes[68..72].copy_from_slice(&self.ntime.to_le_bytes());
        bytes[72..76].copy_from_slice(&self.nbits.to_le_bytes());
        bytes[76..80].copy_from_slice(&self.nonce.to_le_bytes());
        bytes
    }

    /// The header that `bytes` hold; the inverse of [`Header::to_bytes`].
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let hash = |at: usize| {
            let mut hash = [0; 32];
            hash.copy_from_slice(&bytes[at..at + 32]);
            hash
        };
        Self {
            version: number(0),
            prev_hash: hash(4),
            merkle_root: hash(36),
            ntime: number(68),
            nbits: number(72),
            nonce: number(76),
        }
    }

    /// Double SHA-256 of the 80 bytes.
    pub fn hash(&self) -> BlockHash {
        BlockHash(sha256d(&self.to_bytes()))
    }
}

/// Hash of a header, 32 bytes in the order they come out: read as a number it is little-endian. Prints reversed,
/// as explorers and Bitcoin Core do.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockHash(pub [u8; 32]);

impl fmt::Display for BlockHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().rev().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BlockHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlockHash({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::work::vectors;

    proptest! {
        #[test]
        fn a_header_survives_the_way_to_bytes_and_back(bytes in proptest::collection::vec(any::<u8>(), 80)) {
            let bytes: [u8; 80] = bytes.try_into().unwrap();
            prop_assert_eq!(Header::from_bytes(&bytes).to_bytes(), bytes);
        }
    }

    #[test]
    fn headers_of_real_blocks_and_boards_hash_to_what_was_recorded() {
        for entry in vectors::asic_headers() {
            let header = Header::from_bytes(&entry.header);
            assert_eq!(header.hash().to_string(), entry.hash, "{}", entry.source);
        }
    }
}
