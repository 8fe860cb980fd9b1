//! Check 2000: the coinbase is one transaction as blocks begin with, and the extranonces lie where they change nothing else.

use std::ops::Range;

use bitcoin::consensus::deserialize;
use bitcoin::{Transaction, VarInt};

use super::{Context, JobUnderTest, Judgement};
use crate::work::payout::{CoinbaseError, Payouts};
use crate::work::{Coinbase, Extranonce2};

/// Version, input count, null outpoint: what stands before the scriptSig's length. Unit: bytes.
const BEFORE_SCRIPT: usize = 4 + 1 + 36;
/// The input's sequence.
const SEQUENCE: usize = 4;
/// The amount of an output.
const AMOUNT: usize = 8;

/// What was read of a coinbase.
#[derive(Debug)]
pub(super) struct Reading {
    /// With the first extranonce2.
    pub(super) transaction: Transaction,
    /// Sum of the outputs, satoshi.
    pub(super) total: u64,
    place: Option<Place>,
}

/// Where the extranonces lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    ScriptSig,
    /// In the script of this output.
    Output(usize),
}

impl Reading {
    /// Reads it with the first and the last extranonce2. Errors: either is no coinbase.
    pub(super) fn of(coinbase: &Coinbase) -> Result<Self, CoinbaseError> {
        let [first, last] = ends(coinbase).map(|extranonce2| coinbase.to_bytes(&extranonce2));
        let payouts = Payouts::parse(&first)?;
        Payouts::parse(&last)?;
        let transaction: Transaction =
            deserialize(&first).map_err(|error| CoinbaseError::NoTransaction(error.to_string()))?;
        let start = coinbase.coinb1.len();
        let end = start + coinbase.extranonce1.as_bytes().len() + coinbase.extranonce2_size.bytes();
        let place = place(&transaction, start..end);
        Ok(Self { transaction, total: payouts.total().to_sat(), place })
    }

    /// The bytes that begin with the height.
    pub(super) fn script_sig(&self) -> &[u8] {
        self.transaction.input[0].script_sig.as_bytes()
    }
}

/// The first and the last extranonce2 of a coinbase.
pub(super) fn ends(coinbase: &Coinbase) -> [Extranonce2; 2] {
    [0, u128::MAX].map(|counter| Extranonce2::from_counter(counter, coinbase.extranonce2_size))
}

fn place(transaction: &Transaction, extranonces: Range<usize>) -> Option<Place> {
    let holds = |script: &Range<usize>| script.start <= extranonces.start && extranonces.end <= script.end;
    let mut script = script_at(BEFORE_SCRIPT, transaction.input[0].script_sig.len());
    if holds(&script) {
        return Some(Place::ScriptSig);
    }
    script.end += SEQUENCE + VarInt::from(transaction.output.len()).size();
    for (index, output) in transaction.output.iter().enumerate() {
        script = script_at(script.end + AMOUNT, output.script_pubkey.len());
        if holds(&script) {
            return Some(Place::Output(index));
        }
    }
    None
}

/// The bytes of a script whose length stands at `at`.
fn script_at(at: usize, length: usize) -> Range<usize> {
    let start = at + VarInt::from(length).size();
    start..start + length
}

pub(super) fn check(test: &JobUnderTest<'_>, _: &Context) -> Judgement {
    const EXPECTED: &str = "one input, the extranonces within one script";
    match &test.reading {
        Err(error) => Judgement::reject("coinbase", error.to_string(), EXPECTED),
        Ok(Reading { place: None, .. }) => {
            Judgement::reject("extranonce-place", "extranonces across two parts of the coinbase", EXPECTED)
        }
        Ok(Reading { place: Some(Place::ScriptSig), .. }) => Judgement::pass("in the scriptSig", EXPECTED),
        Ok(Reading { place: Some(Place::Output(index)), .. }) => {
            Judgement::pass(format!("in output {index}"), EXPECTED)
        }
    }
}
