//! The coinbase transaction around the extranonces.

use super::header::sha256d;
use super::{Extranonce1, Extranonce2, Extranonce2Size};

/// What surrounds extranonce2 in a job's coinbase: coinb1 + extranonce1 + extranonce2 + coinb2, with nothing added.
/// The result has no SegWit marker, so its double SHA-256 is the txid. The extranonces may stand in the scriptSig or
/// in an output: only the bytes matter here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coinbase {
    /// Bytes before the extranonces.
    pub coinb1: Box<[u8]>,
    /// The upstream's part of the extranonce.
    pub extranonce1: Extranonce1,
    /// How many bytes are ours.
    pub extranonce2_size: Extranonce2Size,
    /// Bytes after the extranonces.
    pub coinb2: Box<[u8]>,
}

impl Coinbase {
    /// The whole transaction.
    pub fn to_bytes(&self, extranonce2: &Extranonce2) -> Vec<u8> {
        [&self.coinb1, self.extranonce1.as_bytes(), extranonce2.as_bytes(), &self.coinb2].concat()
    }

    /// Double SHA-256 of the transaction, header order.
    pub fn hash(&self, extranonce2: &Extranonce2) -> [u8; 32] {
        sha256d(&self.to_bytes(extranonce2))
    }
}

/// Height of the block that a job would extend the chain to, as BIP 34 puts it at the start of the coinbase's
/// scriptSig; `None` when `coinb1` does not start like a coinbase. For display: nothing depends on it.
pub fn height(coinb1: &[u8]) -> Option<u32> {
    // version 4, input count 1, null prevout 36, length of the scriptSig 1 (at most 100 by consensus), then the push.
    const INPUT_COUNT: usize = 4;
    const PUSH: usize = 42;
    if *coinb1.get(INPUT_COUNT)? != 1 {
        return None;
    }
    match *coinb1.get(PUSH)? {
        op @ 0x51..=0x60 => Some(u32::from(op) - 0x50), // OP_1 to OP_16
        length @ 1..=4 => {
            let bytes = coinb1.get(PUSH + 1..PUSH + 1 + usize::from(length))?;
            Some(bytes.iter().rev().fold(0, |height, byte| (height << 8) | u32::from(*byte)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::{Job, vectors};

    #[test]
    fn heights_are_read_from_recorded_coinbases() {
        let height_of = |name: &str| {
            let vector = vectors::stratum().into_iter().find(|vector| vector.name == name).unwrap();
            height(&Job::from(&vector).coinbase.coinb1)
        };
        assert_eq!(height_of("block-881423-ckpool-layout"), Some(881_423));
        assert_eq!(height_of("bitaxe-gamma-mainnet"), Some(901_936));
        assert_eq!(height(&[]), None);
        assert_eq!(height(&[0; 60]), None);
        let mut first = vec![0; 43];
        (first[4], first[42]) = (1, 0x51);
        assert_eq!(height(&first), Some(1));
    }
}
