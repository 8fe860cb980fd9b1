//! Whom a job pays: its coinbase read to the last byte, and the outputs compared with what is expected.

use std::fmt;

use bitcoin::consensus::deserialize_partial;
use bitcoin::consensus::encode;
use bitcoin::script::Instruction;
use bitcoin::{Address, Amount, Network, OutPoint, Script, ScriptBuf, Transaction};

use super::{Coinbase, Extranonce2};

/// Lengths of a coinbase's scriptSig, in bytes. Source: Bitcoin Core, `CheckTransaction`, "bad-cb-length".
const SCRIPT_SIG: std::ops::RangeInclusive<usize> = 2..=100;
/// Outputs that a sentence names; the rest is counted. Enough for a solo pool with its fee and a donation.
const MAX_NAMED: usize = 4;
/// Bytes of a script that are shown. A P2PK script with an uncompressed key is the longest usual one without an address.
const MAX_SCRIPT_SHOWN: usize = 67;

/// Why a coinbase is none. The pool is to blame for all of them: no block can be made with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CoinbaseError {
    /// No transaction.
    #[error("its coinbase is no transaction: {0}")]
    NoTransaction(String),
    /// Bytes behind the transaction.
    #[error("{0} bytes follow its coinbase")]
    Leftover(usize),
    /// A witness. It is no part of what is hashed here, and pools leave it out.
    #[error("its coinbase has a witness, so its hash is not that of the block's")]
    Witness,
    /// Not the one input.
    #[error("its coinbase has {0} inputs instead of one")]
    Inputs(usize),
    /// An input that takes from somewhere.
    #[error("its coinbase spends {0} instead of nothing")]
    Spends(OutPoint),
    /// A scriptSig of a length that is not allowed.
    #[error("the scriptSig of its coinbase has {0} bytes, not {min} to {max}", min = SCRIPT_SIG.start(), max = SCRIPT_SIG.end())]
    ScriptSig(usize),
    /// Nobody is paid.
    #[error("its coinbase has no output")]
    NoOutput,
    /// Sums past 64 bits.
    #[error("the outputs of its coinbase sum up to more than 64 bits can hold")]
    Overflow,
    /// Who is paid depends on the extranonce2.
    #[error("its extranonce2 lies where it decides who is paid")]
    Extranonce2,
}

/// One output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payout {
    /// Who can spend it.
    pub script: ScriptBuf,
    /// How much.
    pub amount: Amount,
}

/// The outputs of a coinbase, the largest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payouts {
    outputs: Vec<Payout>,
    total: Amount,
}

impl Payouts {
    /// Whom a job's coinbase pays, whatever its extranonce2. The extranonces may lie in the scriptSig or in an output
    /// that nobody can spend. Errors: see [`CoinbaseError`].
    pub fn of(coinbase: &Coinbase) -> Result<Self, CoinbaseError> {
        let size = coinbase.extranonce2_size;
        let [least, most] = [0, u128::MAX].map(|counter| Extranonce2::from_counter(counter, size));
        let payouts = Self::parse(&coinbase.to_bytes(&least))?;
        let others = Self::parse(&coinbase.to_bytes(&most)).map_err(|_| CoinbaseError::Extranonce2)?;
        let is_same = |(one, other): (&Payout, &Payout)| {
            one.amount == other.amount && (one.script == other.script || one.is_data() && other.is_data())
        };
        let count = payouts.outputs.len();
        if count == others.outputs.len() && payouts.outputs.iter().zip(&others.outputs).all(is_same) {
            Ok(payouts)
        } else {
            Err(CoinbaseError::Extranonce2)
        }
    }

    /// The outputs of a whole coinbase as it is hashed, without a witness. Errors: see [`CoinbaseError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, CoinbaseError> {
        let (transaction, length) = deserialize_partial::<Transaction>(bytes)
            .map_err(|error: encode::Error| CoinbaseError::NoTransaction(error.to_string()))?;
        if length < bytes.len() {
            return Err(CoinbaseError::Leftover(bytes.len() - length));
        }
        let [input] = &transaction.input[..] else {
            return Err(CoinbaseError::Inputs(transaction.input.len()));
        };
        if transaction.base_size() != bytes.len() {
            return Err(CoinbaseError::Witness);
        }
        if !input.previous_output.is_null() {
            return Err(CoinbaseError::Spends(input.previous_output));
        }
        if !SCRIPT_SIG.contains(&input.script_sig.len()) {
            return Err(CoinbaseError::ScriptSig(input.script_sig.len()));
        }
        let total =
            transaction.output.iter().try_fold(Amount::ZERO, |sum, output| sum.checked_add(output.value));
        let total = total.ok_or(CoinbaseError::Overflow)?;
        let output = |output: bitcoin::TxOut| Payout { script: output.script_pubkey, amount: output.value };
        let mut outputs: Vec<_> = transaction.output.into_iter().map(output).collect();
        if outputs.is_empty() {
            return Err(CoinbaseError::NoOutput);
        }
        outputs.sort_by_key(|output| std::cmp::Reverse(output.amount)); // stable: equal ones keep their order
        Ok(Self { outputs, total })
    }

    /// The outputs, the largest first.
    pub fn outputs(&self) -> &[Payout] {
        &self.outputs
    }

    /// Their sum.
    pub fn total(&self) -> Amount {
        self.total
    }

    /// The scripts that get something.
    pub fn paid_scripts(&self) -> impl Iterator<Item = &Script> {
        self.outputs
            .iter()
            .filter(|output| output.amount > Amount::ZERO)
            .map(|output| output.script.as_script())
    }

    /// The part of the total that goes to these scripts. Unit: 0 to 1; 0 when nobody gets anything.
    pub fn part_of(&self, scripts: &[ScriptBuf]) -> f64 {
        let paid: u64 = self
            .outputs
            .iter()
            .filter(|output| scripts.contains(&output.script))
            .map(|output| output.amount.to_sat())
            .sum(); // no more than the total, which fits
        if paid == 0 { 0.0 } else { paid as f64 / self.total.to_sat() as f64 }
    }

    /// The largest outputs in words, such as `3.13 BTC to bc1q…`.
    pub fn shown(&self, network: Network) -> String {
        let named = |output: &Payout| format!("{} to {}", output.amount, output.shown(network));
        let paid = self.outputs.iter().filter(|output| output.amount > Amount::ZERO);
        let mut words: Vec<_> = paid.clone().take(MAX_NAMED).map(named).collect();
        match paid.count().checked_sub(MAX_NAMED) {
            None | Some(0) => {}
            Some(more) => words.push(format!("{more} more")),
        }
        if words.is_empty() { "nothing to anybody".to_owned() } else { words.join(", ") }
    }
}

impl Payout {
    /// Whether the script only carries data and nobody can spend it.
    fn is_data(&self) -> bool {
        self.script.is_op_return()
    }

    /// The address of the script, if it has one.
    pub fn address(&self, network: Network) -> Option<Address> {
        Address::from_script(&self.script, network).ok()
    }

    /// The script in hexadecimal, cut after 67 bytes.
    pub fn script_hex(&self) -> String {
        let bytes = self.script.as_bytes();
        let cut = if bytes.len() > MAX_SCRIPT_SHOWN { "…" } else { "" };
        format!("{}{cut}", hex::encode(&bytes[..bytes.len().min(MAX_SCRIPT_SHOWN)]))
    }

    /// The script for a person: its address, its text or its bytes; printable and short.
    pub fn shown(&self, network: Network) -> String {
        if let Some(address) = self.address(network) {
            return address.to_string();
        }
        match self.text() {
            Some(text) => format!("OP_RETURN {text:?}"),
            None => format!("script {}", self.script_hex()),
        }
    }

    /// The text that a data script carries, if it is one of printable ASCII and short.
    fn text(&self) -> Option<&str> {
        let pushed = self.script.instructions().skip(1).filter(|_| self.is_data());
        let [Ok(Instruction::PushBytes(bytes))] = pushed.take(2).collect::<Vec<_>>()[..] else { return None };
        let text = std::str::from_utf8(bytes.as_bytes()).ok()?;
        let is_plain = |c: char| c == ' ' || c.is_ascii_graphic();
        (!text.is_empty() && text.len() <= MAX_SCRIPT_SHOWN && text.chars().all(is_plain)).then_some(text)
    }
}

/// Whom jobs have to pay, and how much of it all.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    addresses: Vec<Address>,
    scripts: Vec<ScriptBuf>,
    min_part: f64,
}

impl Expected {
    /// At least `min_part` (0 to 1) of each job to these addresses together.
    pub fn new(addresses: Vec<Address>, min_part: f64) -> Self {
        let scripts = addresses.iter().map(Address::script_pubkey).collect();
        Self { addresses, scripts, min_part }
    }

    /// The part that goes to them. Unit: 0 to 1.
    pub fn part_of(&self, payouts: &Payouts) -> f64 {
        payouts.part_of(&self.scripts)
    }

    /// Whether it is enough, but for a satoshi an output that pools round down.
    pub fn are_met_by(&self, payouts: &Payouts) -> bool {
        let rounded = payouts.outputs().len() as f64 / payouts.total().to_sat() as f64;
        rounded.is_finite() && self.part_of(payouts) + rounded >= self.min_part
    }

    /// The least part. Unit: 0 to 1.
    pub fn min_part(&self) -> f64 {
        self.min_part
    }

    /// The network that their spelling belongs to.
    pub fn network(&self) -> Network {
        self.addresses.first().map_or(Network::Bitcoin, network)
    }
}

/// The addresses, the first few by name.
impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named: Vec<_> = self.addresses.iter().take(MAX_NAMED).map(Address::to_string).collect();
        f.write_str(&named.join(" and "))?;
        match self.addresses.len().checked_sub(MAX_NAMED) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, " and {more} more"),
        }
    }
}

/// The network that an address is spelt for; the test networks that share a spelling count as one.
pub fn network(address: &Address) -> Network {
    let networks = [Network::Bitcoin, Network::Testnet, Network::Regtest];
    let fits = |network: &Network| address.as_unchecked().is_valid_for_network(*network);
    networks.into_iter().find(fits).unwrap_or(Network::Bitcoin)
}

#[cfg(test)]
mod tests;
