//! A coinbase of our own: height, extranonce space and tag in its scriptSig, the payouts and the witness commitment as
//! its outputs. Only the bytes without the witness are hashed; [`with_witness`] makes those that stand in the block.

use bitcoin::{Address, AddressType, Script, ScriptBuf};

use super::template::Reward;
use super::{Coinbase, Extranonce1, Extranonce2Size};

/// Most bytes of a coinbase's scriptSig. Source: Bitcoin Core `consensus/tx_check.cpp`, "bad-cb-length".
pub const MAX_SCRIPT_SIG: usize = 100;
/// Most bytes of a tag: leaves room for the height, 16 bytes of extranonce and some `coinbaseaux`, and needs no push
/// opcode beyond its length.
pub const MAX_TAG: usize = 64;
/// Fewest bytes of extranonce2. With less, a large farm that restarts its counter can run out before the next template.
pub const MIN_EXTRANONCE2: usize = 4;
/// Most payouts. Each weighs at most 172; the 8000 that Bitcoin Core reserves (`-blockreservedweight`) hold them and the
/// rest of the coinbase.
pub const MAX_PAYOUTS: usize = 20;

/// Transaction version. Source: Bitcoin Core `primitives/transaction.h`, `CURRENT_VERSION`.
const VERSION: u32 = 2;
/// Not final, so that the lock time holds. Source: BIP 54, coinbases; Bitcoin Core `node/miner.cpp`.
const SEQUENCE: u32 = 0xffff_fffe;
/// The largest number of bytes that are pushed by an opcode of their length. Source: Bitcoin Core `script/script.h`.
const DIRECT_PUSH: usize = 75;
/// Items and length in front of the reserved value, and the value. Source: BIP 141, "Commitment structure".
const WITNESS: [u8; 34] = {
    let mut witness = [0; 34];
    (witness[0], witness[1]) = (1, 32);
    witness
};
/// Marker and flag of a transaction with a witness. Source: BIP 144.
const MARKER_AND_FLAG: [u8; 2] = [0, 1];

/// Why there is no coinbase. All but the last are the operator's to mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// The tag has a character that explorers cannot show.
    #[error("the coinbase tag has {0:?} in it, only printable ASCII may be there")]
    TagCharacter(char),
    /// The tag is too long.
    #[error("the coinbase tag has {0} bytes, at most {MAX_TAG} are possible")]
    TagTooLong(usize),
    /// The extranonce space is too small.
    #[error("extranonce2 has {0} bytes, at least {MIN_EXTRANONCE2} are needed")]
    Extranonce2TooSmall(usize),
    /// Nobody, or too many, are paid.
    #[error("there are {0} payouts, 1 to {MAX_PAYOUTS} are possible")]
    Payouts(usize),
    /// A part that pays nothing.
    #[error("the part of {0} is 0, it must be at least 1")]
    Part(String),
    /// Anybody could take the reward.
    #[error(
        "{0} pays to a script that anybody can spend or nobody knows: use P2PKH, P2SH, P2WPKH, P2WSH or P2TR"
    )]
    Address(String),
    /// No room for what must be there.
    #[error("the scriptSig needs {0} bytes without a tag, at most {MAX_SCRIPT_SIG} are possible")]
    NoRoom(usize),
}

/// The text that names the miner in its blocks; may be empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tag(Box<str>);

impl Tag {
    /// Checks a text. Errors: other than printable ASCII, more than [`MAX_TAG`] bytes.
    pub fn new(text: &str) -> Result<Self, BuildError> {
        if let Some(other) = text.chars().find(|c| !matches!(c, ' '..='~')) {
            return Err(BuildError::TagCharacter(other));
        }
        if text.len() > MAX_TAG {
            return Err(BuildError::TagTooLong(text.len()));
        }
        Ok(Self(text.into()))
    }
}

/// Who gets a part of the reward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payee {
    script: ScriptBuf,
    part: u32,
}

impl Payee {
    /// `part` of the sum of all parts to this address. Errors: a part of 0; an address of a kind that today's rules let
    /// anybody spend (pay-to-anchor, witness versions above 1).
    pub fn new(address: &Address, part: u32) -> Result<Self, BuildError> {
        use AddressType::{P2pkh, P2sh, P2tr, P2wpkh, P2wsh};
        if part == 0 {
            return Err(BuildError::Part(address.to_string()));
        }
        match address.address_type() {
            Some(P2pkh | P2sh | P2wpkh | P2wsh | P2tr) => Ok(Self { script: address.script_pubkey(), part }),
            _ => Err(BuildError::Address(address.to_string())),
        }
    }
}

/// What the operator wants in every coinbase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoinbasePlan {
    payees: Vec<Payee>,
    tag: Tag,
    extranonce2_size: Extranonce2Size,
}

impl CoinbasePlan {
    /// Errors: nobody or too many to pay, an extranonce2 of less than [`MIN_EXTRANONCE2`] bytes.
    pub fn new(payees: Vec<Payee>, tag: Tag, extranonce2_size: Extranonce2Size) -> Result<Self, BuildError> {
        if !(1..=MAX_PAYOUTS).contains(&payees.len()) {
            return Err(BuildError::Payouts(payees.len()));
        }
        if extranonce2_size.bytes() < MIN_EXTRANONCE2 {
            return Err(BuildError::Extranonce2TooSmall(extranonce2_size.bytes()));
        }
        Ok(Self { payees, tag, extranonce2_size })
    }

    /// The coinbase for a block at `height` (at least 1) with this reward, without its witness. A tag that does not fit
    /// is cut, the extranonce2 never. Errors: `NoRoom` when `coinbaseaux` leaves none.
    pub fn build(&self, height: u32, reward: &Reward) -> Result<Coinbase, BuildError> {
        let push = height_push(height);
        let size = self.extranonce2_size.bytes();
        let needed = push.len() + 1 + size + reward.aux.len();
        let room = MAX_SCRIPT_SIG.checked_sub(needed).ok_or(BuildError::NoRoom(needed))?;
        let tag = &self.tag.0.as_bytes()[..self.tag.0.len().min(room.saturating_sub(1))];
        let tag = if tag.is_empty() { Vec::new() } else { pushed(tag) };

        let mut coinb1 = VERSION.to_le_bytes().to_vec();
        coinb1.push(1); // inputs
        coinb1.extend([0; 32]); // spends nothing: no transaction,
        coinb1.extend([0xff; 4]); // no output of it
        coinb1.push((needed + tag.len()) as u8);
        coinb1.extend(push);
        coinb1.push(size as u8); // pushes the extranonce2, at most 32 bytes

        let outputs = self.outputs(reward);
        let mut coinb2 = tag;
        coinb2.extend(&reward.aux);
        coinb2.extend(SEQUENCE.to_le_bytes());
        coinb2.push(outputs.len() as u8); // at most MAX_PAYOUTS and one
        for (amount, script) in outputs {
            coinb2.extend(amount.to_le_bytes());
            coinb2.push(script.len() as u8); // 22 to 38 bytes
            coinb2.extend(script);
        }
        coinb2.extend((height - 1).to_le_bytes()); // Source: BIP 54, coinbases are locked to the height before
        Ok(Coinbase {
            coinb1: coinb1.into(),
            extranonce1: Extranonce1::default(),
            extranonce2_size: self.extranonce2_size,
            coinb2: coinb2.into(),
        })
    }

    /// The scripts that are paid.
    pub fn scripts(&self) -> impl Iterator<Item = &Script> {
        self.payees.iter().map(|payee| payee.script.as_script())
    }

    /// Amounts in satoshi with their scripts. The payouts sum up to the whole reward: what the division leaves goes to
    /// the first, and who would get nothing is left out. The commitment is last, as BIP 145 wants it.
    fn outputs<'a>(&'a self, reward: &'a Reward) -> Vec<(u64, &'a [u8])> {
        let parts: u128 = self.payees.iter().map(|payee| u128::from(payee.part)).sum();
        let amount = |payee: &Payee| (u128::from(reward.value) * u128::from(payee.part) / parts) as u64;
        let mut outputs: Vec<_> =
            self.payees.iter().map(|payee| (amount(payee), payee.script.as_bytes())).collect();
        outputs[0].0 += reward.value - outputs.iter().map(|(amount, _)| amount).sum::<u64>();
        let mut first = true;
        outputs.retain(|(amount, _)| std::mem::take(&mut first) || *amount > 0);
        outputs.extend(reward.commitment.iter().map(|script| (0, &script[..])));
        outputs
    }
}

/// How a coinbase's scriptSig must start: the height as the shortest push of a signed little-endian number, 1 to 16 as
/// one opcode. Source: BIP 34 as Bitcoin Core's `CScript << height` has it.
pub fn height_push(height: u32) -> Vec<u8> {
    const OP_1: u8 = 0x51;
    match height {
        0 => vec![0],
        1..=16 => vec![OP_1 + height as u8 - 1],
        _ => {
            let bytes = u64::from(height).to_le_bytes();
            let significant = (32 - height.leading_zeros()) as usize;
            pushed(&bytes[..=significant / 8]) // one bit more, for the sign
        }
    }
}

/// Bytes behind the opcode that pushes them; at most [`DIRECT_PUSH`].
fn pushed(bytes: &[u8]) -> Vec<u8> {
    debug_assert!(bytes.len() <= DIRECT_PUSH, "heights and tags are short");
    [&[bytes.len() as u8], bytes].concat()
}

/// A coinbase with the witness of BIP 141, 32 zero bytes, as it stands in a block that commits to witnesses. `bytes`
/// are those that are hashed; version and lock time stay at their ends.
pub fn with_witness(bytes: &[u8]) -> Vec<u8> {
    let (version, rest) = bytes.split_at(4);
    let (body, lock_time) = rest.split_at(rest.len() - 4);
    [version, &MARKER_AND_FLAG, body, &WITNESS, lock_time].concat()
}

#[cfg(test)]
mod tests;
