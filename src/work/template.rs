//! What getblocktemplate says, checked to the last field. Shapes, units and names are those of BIPs 9, 22, 23 and 145
//! and of Bitcoin Core's `rpc/mining.cpp`; what other servers add is ignored.

use std::ops::RangeInclusive;

use serde::Deserialize;

use super::{JobHeader, Target, VersionMask};

mod error;
mod given;
pub(super) mod hexadecimal;
mod raw_transaction;
mod transactions;

pub use error::TemplateError;
use error::mismatch;
use given::{Given, hash, hex_bytes, integer, list, members, text};
use transactions::TransactionAnswer;
pub use transactions::Transactions;

/// Satoshi that can ever exist. Source: Bitcoin Core `consensus/amount.h`, `MAX_MONEY`.
pub const MAX_MONEY: u64 = 2_100_000_000_000_000;
/// Reward of the first blocks, satoshi. Source: Bitcoin Core `validation.cpp`, `GetBlockSubsidy`.
pub const FIRST_SUBSIDY: u64 = 5_000_000_000;
/// Blocks between halvings, all networks and regtest. Source: Bitcoin Core `kernel/chainparams.cpp`.
pub const HALVING_INTERVALS: [u32; 2] = [210_000, 150];
/// Heights that a lock time can name. Source: Bitcoin Core `script/script.h`, `LOCKTIME_THRESHOLD`.
pub const HEIGHTS: RangeInclusive<u64> = 1..=499_999_999;
/// Versions that a block may have: below 4 it is refused, and as a signed number it may not be negative.
/// Source: Bitcoin Core `validation.cpp`, `ContextualCheckBlockHeader`.
pub const VERSIONS: RangeInclusive<u64> = 4..=0x7fff_ffff;
/// Bits that deployments signal with. Source: BIP 9; Bitcoin Core `versionbits.h`, `VERSIONBITS_NUM_BITS`.
pub const DEPLOYMENT_BITS: RangeInclusive<u64> = 0..=28;
/// Most weight of a block. Source: Bitcoin Core `consensus/consensus.h`, `MAX_BLOCK_WEIGHT`.
pub const MAX_BLOCK_WEIGHT: u64 = 4_000_000;
/// Most bytes of a block. Source: Bitcoin Core `consensus/consensus.h`, `MAX_BLOCK_SERIALIZED_SIZE`.
pub const MAX_BLOCK_SIZE: u64 = 4_000_000;
/// Most sigop cost of a block. Source: Bitcoin Core `consensus/consensus.h`, `MAX_BLOCK_SIGOPS_COST`.
pub const MAX_BLOCK_SIGOPS: u64 = 80_000;
/// Weight of a byte outside the witness, and cost of a sigop there. Source: BIP 141.
pub const WITNESS_SCALE: u64 = 4;
/// Most bytes of `coinbaseaux` together: height and extranonce need the rest of the scriptSig.
pub const MAX_AUX: usize = 64;
/// How a signet says that blocks need no signature: OP_TRUE. Source: BIP 325.
const OPEN_CHALLENGE: &str = "51";
/// Rules with `!` that are understood. Source: BIP 9, "getblocktemplate changes"; BIPs 145 and 325.
const KNOWN_RULES: [&str; 2] = ["segwit", "signet"];

/// The answer as it came, nothing checked. Every field may be anything, so that errors can name it;
/// texts are borrowed from the JSON.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct TemplateAnswer<'a> {
    #[serde(borrow)]
    version: Given<'a>,
    #[serde(borrow)]
    rules: Given<'a>,
    #[serde(borrow)]
    vbavailable: Given<'a>,
    #[serde(borrow)]
    vbrequired: Given<'a>,
    #[serde(borrow)]
    previousblockhash: Given<'a>,
    #[serde(borrow)]
    transactions: Option<Vec<TransactionAnswer<'a>>>,
    #[serde(borrow)]
    coinbaseaux: Given<'a>,
    #[serde(borrow)]
    coinbasevalue: Given<'a>,
    #[serde(borrow)]
    target: Given<'a>,
    #[serde(borrow)]
    mintime: Given<'a>,
    #[serde(borrow)]
    curtime: Given<'a>,
    #[serde(borrow)]
    bits: Given<'a>,
    #[serde(borrow)]
    height: Given<'a>,
    #[serde(borrow)]
    sigoplimit: Given<'a>,
    #[serde(borrow)]
    sizelimit: Given<'a>,
    #[serde(borrow)]
    weightlimit: Given<'a>,
    #[serde(borrow)]
    signet_challenge: Given<'a>,
    #[serde(borrow)]
    default_witness_commitment: Given<'a>,
}

/// What a coinbase may claim, and what it has to carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reward {
    /// Subsidy and fees, satoshi.
    pub value: u64,
    /// Bytes for the end of the scriptSig.
    pub aux: Vec<u8>,
    /// Script of the output that commits to the witnesses; `None` where segwit is not active.
    pub commitment: Option<[u8; 38]>,
}

/// Bounds on the whole block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes with witnesses.
    pub size: u64,
    /// Weight.
    pub weight: u64,
    /// Sigops, in the unit of the transactions' own.
    pub sigops: u64,
    /// What one sigop of an output counts in that unit.
    pub sigop_cost: u64,
}

/// A block on which the next one is to be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewTip {
    /// Its hash, header order.
    pub hash: [u8; 32],
    /// Its height.
    pub height: u32,
    /// Median of the times of it and the ten before it. Unit: seconds since 1970.
    pub median_time: u32,
    /// Its compact target.
    pub nbits: u32,
    /// How the next block's follows from it.
    pub difficulty: DifficultyRule,
}

/// How the difficulty of a block follows from that of the one before it. Source: Bitcoin Core `pow.cpp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DifficultyRule {
    /// It is the same but at the heights that 2016 divides: main chain, signet.
    Period,
    /// It is always the same: regtest.
    Constant,
    /// It depends on times too: testnet3, testnet4.
    Other,
}

/// Blocks between two changes of the difficulty. Source: Bitcoin Core `kernel/chainparams.cpp`.
const RETARGET_PERIOD: u32 = 2016;

/// A template that has passed every check; only the checks make one.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    header: JobHeader,
    version_mask: VersionMask,
    target: Target,
    mintime: u32,
    height: u32,
    reward: Reward,
    limits: Limits,
    transactions: Transactions,
    is_of_node: bool,
}

impl Template {
    /// Reads and checks the result of a getblocktemplate call. Errors: see [`TemplateError`].
    pub fn parse(json: &str) -> Result<Self, TemplateError> {
        let answer = serde_json::from_str(json).map_err(|fault| TemplateError::Json(error::shown(fault)))?;
        Self::check(&answer)
    }

    /// Checks an answer. Errors: see [`TemplateError`].
    pub fn check(answer: &TemplateAnswer<'_>) -> Result<Self, TemplateError> {
        let has_segwit = check_rules(answer)?;
        let (version, version_mask) = check_version(answer)?;
        let mintime = integer("mintime", &answer.mintime, 0..=u32::MAX.into())? as u32;
        let ntime = integer("curtime", &answer.curtime, mintime.into()..=u32::MAX.into())? as u32;
        let (nbits, target) = check_target(answer)?;
        let prev_hash = hash("previousblockhash", &answer.previousblockhash)?;
        if prev_hash == [0; 32] {
            return Err(mismatch("previousblockhash", &answer.previousblockhash, "the hash of a block"));
        }
        let height = integer("height", &answer.height, HEIGHTS)? as u32;
        let limits = check_limits(answer, has_segwit)?;
        let entries = answer.transactions.as_ref().ok_or(TemplateError::Missing("transactions"))?;
        let transactions = Transactions::check(entries, has_segwit, &limits)?;
        let value = check_value(&answer.coinbasevalue, height, transactions.fees())?;
        let commitment = has_segwit.then(|| transactions.commitment());
        if let (Some(ours), Given::Text(given)) = (commitment, &answer.default_witness_commitment)
            && !given.eq_ignore_ascii_case(&hex::encode(ours))
        {
            let expected = format!("{}, as the transactions give it", hex::encode(ours));
            return Err(mismatch("default_witness_commitment", &answer.default_witness_commitment, expected));
        }
        let reward = Reward { value, aux: check_aux(&answer.coinbaseaux)?, commitment };
        let header = JobHeader { version, prev_hash, ntime, nbits };
        Ok(Self {
            header,
            version_mask,
            target,
            mintime,
            height,
            reward,
            limits,
            transactions,
            is_of_node: true,
        })
    }

    /// A template without transactions on a block that came after this template's; `unix` is the time of day in seconds.
    /// `None` where its difficulty cannot be told from that block's.
    pub fn empty_on(&self, tip: &NewTip, unix: u64) -> Option<Self> {
        let height = tip.height.checked_add(1).filter(|height| HEIGHTS.contains(&u64::from(*height)))?;
        let interval = match tip.difficulty {
            DifficultyRule::Constant => HALVING_INTERVALS[1],
            DifficultyRule::Period if height % RETARGET_PERIOD != 0 => HALVING_INTERVALS[0],
            DifficultyRule::Period | DifficultyRule::Other => return None,
        };
        let mintime = tip.median_time.checked_add(1)?;
        let transactions = Transactions::default();
        let reward = Reward {
            value: FIRST_SUBSIDY.checked_shr(height / interval).unwrap_or(0),
            aux: self.reward.aux.clone(),
            commitment: self.reward.commitment.map(|_| transactions.commitment()),
        };
        let ntime = mintime.max(u32::try_from(unix).unwrap_or(u32::MAX));
        let header = JobHeader { prev_hash: tip.hash, ntime, nbits: tip.nbits, ..self.header };
        let target = Target::from_nbits(tip.nbits).ok()?;
        Some(Self {
            header,
            target,
            mintime,
            height,
            reward,
            transactions,
            limits: self.limits,
            version_mask: self.version_mask,
            is_of_node: false,
        })
    }

    /// The header fields: the version with all required bits, ntime as the node has it now.
    pub fn header(&self) -> &JobHeader {
        &self.header
    }

    /// Bits that may be rolled: those of BIP 320 but for deployments that are being signalled and required bits.
    pub fn version_mask(&self) -> VersionMask {
        self.version_mask
    }

    /// What the block's hash must meet.
    pub fn target(&self) -> Target {
        self.target
    }

    /// Earliest ntime, seconds since 1970.
    pub fn mintime(&self) -> u32 {
        self.mintime
    }

    /// Whether it is a node's word, with the transactions that the node would take; false for one of [`Self::empty_on`].
    pub fn is_of_node(&self) -> bool {
        self.is_of_node
    }

    /// Height of the block.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// What the coinbase may claim.
    pub fn reward(&self) -> &Reward {
        &self.reward
    }

    /// Bounds on the whole block.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// All transactions but the coinbase.
    pub fn transactions(&self) -> &Transactions {
        &self.transactions
    }
}

/// Whether segwit is active. Errors: a rule that must be known and is not, a signet that wants blocks signed.
fn check_rules(answer: &TemplateAnswer<'_>) -> Result<bool, TemplateError> {
    let mut has_segwit = false;
    let mut has_signet = !matches!(answer.signet_challenge, Given::Null);
    for rule in list("rules", &answer.rules)? {
        let rule = text("rules", rule)?;
        let name = rule.strip_prefix('!').unwrap_or(rule);
        if name != rule && !KNOWN_RULES.contains(&name) {
            return Err(TemplateError::UnknownRule(error::shown(rule)));
        }
        has_segwit |= name == "segwit";
        has_signet |= name == "signet";
    }
    if has_signet {
        let challenge = text("signet_challenge", &answer.signet_challenge)?;
        if challenge != OPEN_CHALLENGE {
            return Err(TemplateError::SignedSignet(error::shown(challenge)));
        }
    }
    Ok(has_segwit)
}

/// The version to mine with and the bits to roll.
fn check_version(answer: &TemplateAnswer<'_>) -> Result<(u32, VersionMask), TemplateError> {
    let version = integer("version", &answer.version, VERSIONS)? as u32;
    let required = match &answer.vbrequired {
        Given::Null => 0,
        given => integer("vbrequired", given, 0..=(1 << (DEPLOYMENT_BITS.end() + 1)) - 1)? as u32,
    };
    let mut fixed = required;
    for bit in members("vbavailable", &answer.vbavailable)? {
        fixed |= 1 << integer("vbavailable", bit, DEPLOYMENT_BITS)?;
    }
    Ok((version | required, VersionMask::new(VersionMask::BIP320.bits() & !fixed)))
}

/// nbits and the target they stand for, which must be the one that is given.
fn check_target(answer: &TemplateAnswer<'_>) -> Result<(u32, Target), TemplateError> {
    let bits: [u8; 4] = hex_bytes("bits", &answer.bits)?;
    let nbits = u32::from_be_bytes(bits);
    let target = Target::from_nbits(nbits).map_err(|error| mismatch("bits", &answer.bits, error))?;
    let given = Target::from_le_bytes(hash("target", &answer.target)?);
    if given != target {
        return Err(mismatch("target", &answer.target, format!("{target}, what bits stands for")));
    }
    Ok((nbits, target))
}

/// The limits of the answer; absent ones are those of consensus, which none may exceed.
fn check_limits(answer: &TemplateAnswer<'_>, has_segwit: bool) -> Result<Limits, TemplateError> {
    let limit = |field, given: &Given<'_>, most: u64| match given {
        Given::Null => Ok(most),
        given => integer(field, given, 1..=u64::MAX).map(|limit| limit.min(most)),
    };
    // Without segwit, Bitcoin Core gives sizes and sigops in the units before BIP 141.
    let scale = if has_segwit { 1 } else { WITNESS_SCALE };
    let size = limit("sizelimit", &answer.sizelimit, MAX_BLOCK_SIZE / scale)?;
    Ok(Limits {
        size,
        weight: limit("weightlimit", &answer.weightlimit, MAX_BLOCK_WEIGHT)?,
        sigops: limit("sigoplimit", &answer.sigoplimit, MAX_BLOCK_SIGOPS / scale)?,
        sigop_cost: WITNESS_SCALE / scale,
    })
}

/// The reward: exactly the fees and a subsidy that this height can have.
fn check_value(given: &Given<'_>, height: u32, fees: u64) -> Result<u64, TemplateError> {
    let value = integer("coinbasevalue", given, 0..=MAX_MONEY)?;
    let subsidies =
        HALVING_INTERVALS.map(|interval| FIRST_SUBSIDY.checked_shr(height / interval).unwrap_or(0));
    if subsidies.iter().all(|subsidy| value != fees + subsidy) {
        let expected = format!("{fees} of fees and a subsidy of {} or {}", subsidies[0], subsidies[1]);
        return Err(mismatch("coinbasevalue", given, expected));
    }
    Ok(value)
}

/// The bytes of all values, in the order of their names.
fn check_aux(aux: &Given<'_>) -> Result<Vec<u8>, TemplateError> {
    let mut bytes = Vec::new();
    for value in members("coinbaseaux", aux)? {
        let expected = || mismatch("coinbaseaux", value, format!("at most {MAX_AUX} bytes as hexadecimal"));
        bytes.extend(hexadecimal::decode(text("coinbaseaux", value)?).ok_or_else(expected)?);
        if bytes.len() > MAX_AUX {
            return Err(expected());
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
