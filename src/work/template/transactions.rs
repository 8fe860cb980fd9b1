//! The transactions of a template: each parsed, hashed again and held against what is said of it.

use serde::Deserialize;

use super::error::{TemplateError, mismatch};
use super::given::{Given, hash, integer, list, text};
use super::hexadecimal::decode_to;
use super::raw_transaction::RawTransaction;
use super::{Limits, MAX_BLOCK_SIZE, MAX_MONEY, WITNESS_SCALE};
use crate::work::header::sha256d;
use crate::work::{BlockHash, Header, merkle};

/// Fewest bytes of a transaction: one input and one output without scripts. Bounds how many a block can hold.
pub(super) const MIN_TRANSACTION_SIZE: u64 = 60;
/// How the script of a witness commitment starts. Source: BIP 141, "Commitment structure".
const COMMITMENT_START: [u8; 6] = [0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];
/// The reserved value that the commitment covers and the coinbase's witness holds. Source: by use all zero, BIP 141.
const RESERVED_VALUE: [u8; 32] = [0; 32];

/// One entry as it came.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct TransactionAnswer<'a> {
    #[serde(borrow)]
    data: Given<'a>,
    #[serde(borrow)]
    txid: Given<'a>,
    #[serde(borrow)]
    hash: Given<'a>,
    #[serde(borrow)]
    depends: Given<'a>,
    #[serde(borrow)]
    fee: Given<'a>,
    #[serde(borrow)]
    sigops: Given<'a>,
    #[serde(borrow)]
    weight: Given<'a>,
}

/// Memory for one transaction after the other.
#[derive(Default)]
struct Scratch {
    bytes: Vec<u8>,
    hashed: Vec<u8>,
}

/// All transactions of a template but the coinbase, in block order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transactions {
    txids: Vec<[u8; 32]>,
    wtxids: Vec<[u8; 32]>,
    hex: String,
    fees: u64,
    sigops: u64,
    weight: u64,
}

impl Transactions {
    /// Checks the entries of a list. Errors: `Transaction` with the number of the first wrong one, or a `Field` of the whole list.
    pub(super) fn check(
        entries: &[TransactionAnswer<'_>],
        has_segwit: bool,
        limits: &Limits,
    ) -> Result<Self, TemplateError> {
        let most = limits.size / MIN_TRANSACTION_SIZE;
        if entries.len() as u64 > most {
            let expected = format!("at most {most} of them");
            return Err(mismatch("transactions", format!("a list of {}", entries.len()), expected));
        }
        let mut all = Self::with_room_for(entries, limits);
        let mut scratch = Scratch::default();
        for (at, entry) in entries.iter().enumerate() {
            all.add(entry, has_segwit, &mut scratch)
                .map_err(|error| TemplateError::Transaction { number: at + 1, error: Box::new(error) })?;
        }
        let sums = [
            ("sigops", all.sigops, limits.sigops),
            ("weight", all.weight + all.frame_weight(), limits.weight),
            ("size", all.size() + all.frame_weight() / WITNESS_SCALE, limits.size),
        ];
        for (field, sum, limit) in sums {
            if sum > limit {
                return Err(mismatch(field, sum, format!("at most {limit} in all")));
            }
        }
        Ok(all)
    }

    /// Empty, with all the memory that these entries need: to copy what has been read while it grows takes longer than
    /// to read it.
    fn with_room_for(entries: &[TransactionAnswer<'_>], limits: &Limits) -> Self {
        let digits = |entry: &TransactionAnswer<'_>| text("data", &entry.data).map_or(0, str::len);
        let most = 2 * limits.size as usize; // more is refused
        Self {
            txids: Vec::with_capacity(entries.len()),
            wtxids: Vec::with_capacity(entries.len()),
            hex: String::with_capacity(entries.iter().map(digits).sum::<usize>().min(most)),
            ..Self::default()
        }
    }

    fn add(
        &mut self,
        entry: &TransactionAnswer<'_>,
        has_segwit: bool,
        scratch: &mut Scratch,
    ) -> Result<(), TemplateError> {
        let data = text("data", &entry.data)?;
        if data.len() as u64 > 2 * MAX_BLOCK_SIZE {
            return Err(mismatch("data", data, format!("at most {MAX_BLOCK_SIZE} bytes")));
        }
        scratch.bytes.resize(data.len() / 2, 0);
        if !decode_to(data, &mut scratch.bytes) {
            return Err(mismatch("data", data, "hexadecimal"));
        }
        let transaction = RawTransaction::parse(&scratch.bytes)
            .map_err(|error| mismatch("data", data, format!("a transaction: {error}")))?;
        let hashes = transaction.hashes(&mut scratch.hashed);
        let (txid, wtxid) = (hash("txid", &entry.txid)?, hash("hash", &entry.hash)?);
        let of_data = |hash: [u8; 32]| format!("{} of its data", BlockHash(hash));
        if hashes.0 != txid {
            return Err(mismatch("txid", &entry.txid, of_data(hashes.0)));
        }
        if hashes.1 != wtxid {
            return Err(mismatch("hash", &entry.hash, of_data(hashes.1)));
        }
        if !has_segwit && txid != wtxid {
            return Err(mismatch("data", data, "no witness, since segwit is not among the rules"));
        }
        if transaction.is_coinbase() {
            return Err(mismatch("data", data, "no coinbase"));
        }
        let before = 1..=self.txids.len() as u64;
        let is_before = |parent: &&Given<'_>| integer("depends", parent, before.clone()).is_ok();
        if let Some(other) = list("depends", &entry.depends)?.iter().find(|parent| !is_before(parent)) {
            return Err(mismatch("depends", other, "the number of a transaction before it"));
        }
        let weight = transaction.weight();
        if integer("weight", &entry.weight, 0..=u64::MAX)? != weight {
            return Err(mismatch("weight", &entry.weight, format!("{weight} of its data")));
        }
        let fees = self.fees + integer("fee", &entry.fee, 0..=MAX_MONEY)?;
        if fees > MAX_MONEY {
            return Err(mismatch("fee", &entry.fee, format!("at most {MAX_MONEY} with those before it")));
        }
        self.fees = fees;
        self.sigops += integer("sigops", &entry.sigops, 0..=u32::MAX.into())?;
        self.weight += weight;
        let start = self.hex.len();
        self.hex.push_str(data);
        self.hex[start..].make_ascii_lowercase();
        self.txids.push(txid);
        self.wtxids.push(wtxid);
        Ok(())
    }

    /// Their hashes without witness, header order: the leaves of the block's merkle tree.
    pub fn txids(&self) -> &[[u8; 32]] {
        &self.txids
    }

    /// All of them as they stand in the block, lower-case hexadecimal.
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// What they pay together, satoshi.
    pub fn fees(&self) -> u64 {
        self.fees
    }

    /// Their sigops together, in the unit of the template.
    pub fn sigops(&self) -> u64 {
        self.sigops
    }

    /// Their weight together.
    pub fn weight(&self) -> u64 {
        self.weight
    }

    /// Their bytes together.
    pub fn size(&self) -> u64 {
        self.hex.len() as u64 / 2
    }

    /// Weight of header and transaction count.
    pub fn frame_weight(&self) -> u64 {
        WITNESS_SCALE * (Header::LEN + self.count().len()) as u64
    }

    /// The number of transactions of the block, the coinbase included, as it stands behind the header.
    /// Source: CompactSize, Bitcoin Core `serialize.h`.
    pub fn count(&self) -> Vec<u8> {
        let count = self.txids.len() + 1;
        match count {
            0..0xfd => vec![count as u8],
            _ if count <= 0xffff => [&[0xfd], &(count as u16).to_le_bytes()[..]].concat(),
            _ => [&[0xfe], &(count as u32).to_le_bytes()[..]].concat(),
        }
    }

    /// Script of the output that commits to all witnesses. The coinbase's own hash counts as zeros. Source: BIP 141.
    pub(super) fn commitment(&self) -> [u8; 38] {
        let root = merkle::fold([0; 32], &merkle::branch(&self.wtxids));
        let mut script = [0; 38];
        script[..6].copy_from_slice(&COMMITMENT_START);
        script[6..].copy_from_slice(&sha256d(&[root, RESERVED_VALUE].concat()));
        script
    }
}
