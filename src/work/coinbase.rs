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
