//! A serialised transaction, taken apart where it lies: what is hashed, and what it weighs, without a copy of every
//! script. It accepts what the `bitcoin` crate accepts, which a test holds it to.

use super::WITNESS_SCALE;
use crate::work::header::sha256d;

/// An output that does not exist, which only a coinbase spends: no hash, and the highest index.
const NOTHING: [u8; 36] = {
    let mut nothing = [0xff; 36];
    let mut at = 0;
    while at < 32 {
        nothing[at] = 0;
        at += 1;
    }
    nothing
};

/// Why bytes are no transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoTransaction {
    #[error("it ends too early")]
    Short,
    #[error("{0} bytes follow it")]
    Trailing(usize),
    #[error("a count or length takes more bytes than it needs")]
    Count,
    #[error("its flag is {0}, only 1 is known")]
    Flag(u8),
    #[error("it is marked for witnesses and has none")]
    NoWitness,
}

/// A whole transaction. Shape: version; marker and flag where it has a witness; inputs and outputs, each with their
/// count; the witnesses; lock time. Source: BIP 144.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RawTransaction<'a> {
    bytes: &'a [u8],
    body: &'a [u8],
    has_witness: bool,
    is_coinbase: bool,
}

impl<'a> RawTransaction<'a> {
    /// Finds the parts. Errors: see [`NoTransaction`].
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, NoTransaction> {
        let mut reader = Reader { rest: bytes };
        reader.take(4)?; // version
        // No inputs are the marker, so that a transaction without a witness has at least one.
        let has_witness = reader.rest.first() == Some(&0);
        if has_witness {
            let [_, flag] = reader.array()?;
            if flag != 1 {
                return Err(NoTransaction::Flag(flag));
            }
        }
        let start = reader.rest;
        let inputs = reader.count()?;
        let is_coinbase = inputs == 1 && reader.rest.starts_with(&NOTHING);
        for _ in 0..inputs {
            reader.take(NOTHING.len())?;
            reader.run()?; // scriptSig
            reader.take(4)?; // sequence
        }
        for _ in 0..reader.count()? {
            reader.take(8)?; // amount
            reader.run()?; // script
        }
        let body = &start[..start.len() - reader.rest.len()];
        if has_witness {
            let mut items = 0;
            for _ in 0..inputs {
                items |= reader.witness()?;
            }
            if inputs > 0 && items == 0 {
                return Err(NoTransaction::NoWitness);
            }
        }
        reader.take(4)?; // lock time
        match reader.rest.len() {
            0 => Ok(Self { bytes, body, has_witness, is_coinbase }),
            more => Err(NoTransaction::Trailing(more)),
        }
    }

    /// Its hash without witness, and with it, both in header order. `scratch` may hold anything before and after.
    pub(super) fn hashes(&self, scratch: &mut Vec<u8>) -> ([u8; 32], [u8; 32]) {
        let whole = sha256d(self.bytes);
        if !self.has_witness {
            return (whole, whole);
        }
        scratch.clear();
        scratch.extend_from_slice(&self.bytes[..4]);
        scratch.extend_from_slice(self.body);
        scratch.extend_from_slice(&self.bytes[self.bytes.len() - 4..]);
        (sha256d(scratch), whole)
    }

    /// Its weight. Source: BIP 141, "Transaction size calculations".
    pub(super) fn weight(&self) -> u64 {
        let without_witness = 4 + self.body.len() + 4;
        (WITNESS_SCALE - 1) * without_witness as u64 + self.bytes.len() as u64
    }

    /// Whether it spends nothing.
    pub(super) fn is_coinbase(&self) -> bool {
        self.is_coinbase
    }
}

/// What has not been read yet.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], NoTransaction> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(NoTransaction::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], NoTransaction> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(NoTransaction::Short)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// A CompactSize, which must be the shortest for its number. Source: Bitcoin Core `serialize.h`.
    fn count(&mut self) -> Result<u64, NoTransaction> {
        let [first] = self.array()?;
        let (number, least) = match first {
            0xfd => (u16::from_le_bytes(self.array()?).into(), 0xfd),
            0xfe => (u32::from_le_bytes(self.array()?).into(), 1 << 16),
            0xff => (u64::from_le_bytes(self.array()?), 1 << 32),
            small => (small.into(), 0),
        };
        if number < least { Err(NoTransaction::Count) } else { Ok(number) }
    }

    /// Bytes behind their length.
    fn run(&mut self) -> Result<(), NoTransaction> {
        let length = usize::try_from(self.count()?).map_err(|_| NoTransaction::Short)?;
        self.take(length).map(drop)
    }

    /// The items of one input's witness, and how many there are.
    fn witness(&mut self) -> Result<u64, NoTransaction> {
        let items = self.count()?;
        for _ in 0..items {
            self.run()?;
        }
        Ok(items)
    }
}

#[cfg(test)]
mod tests;
