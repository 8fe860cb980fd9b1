//! Check 10000: how much the coinbase claims.

use bitcoin::Network;

use super::coinbase::Reading;
use super::{Context, JobUnderTest, Judgement};

/// Satoshi of the first blocks' subsidy, and blocks between two halvings. Source: Bitcoin Core `validation.cpp`,
/// `GetBlockSubsidy`, and `kernel/chainparams.cpp`.
const FIRST_SUBSIDY: u64 = 50 * COIN;
const HALVING: u32 = 210_000;
const HALVING_OF_REGTEST: u32 = 150;
/// Satoshi a bitcoin.
const COIN: u64 = 100_000_000;
/// More fees than any block has had but a few mistakes.
const MOST_FEES: u64 = 50 * COIN;
/// What a pool's mempool may know beyond our node's: half as much again, and a tenth of a bitcoin.
const BEYOND_NODE: u64 = COIN / 10;
/// How the script of a witness commitment starts. Source: BIP 141, "Commitment structure".
const COMMITMENT: [u8; 6] = [0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];

/// Subsidy of a block, satoshi.
pub(super) fn subsidy(height: u32, network: Option<Network>) -> u64 {
    let halving = if network == Some(Network::Regtest) { HALVING_OF_REGTEST } else { HALVING };
    FIRST_SUBSIDY.checked_shr(height / halving).unwrap_or(0)
}

pub(super) fn check(test: &JobUnderTest<'_>, context: &Context) -> Judgement {
    let Ok(Reading { transaction, total, .. }) = &test.reading else {
        return Judgement::open("outputs that cannot be read", "a coinbase");
    };
    let has_others = !test.job.branch.is_empty();
    let found = format!("{total} sat");
    let Some(height) = test.height else { return Judgement::open(found, "a height") };
    let subsidy = subsidy(height, context.chain.network);
    let limit = if has_others { subsidy.saturating_add(MOST_FEES) } else { subsidy };
    if *total > limit {
        let (code, fees) = if has_others {
            ("fees-beyond-reason", "subsidy and 50 BTC")
        } else {
            ("more-than-subsidy", "the subsidy, for there are no transactions")
        };
        return Judgement::reject(code, found, format!("at most {limit} sat, {fees}"));
    }
    let of_parent = context.chain.node.filter(|node| node.prev_hash == test.job.header.prev_hash);
    if let Some(value) = of_parent.and_then(|node| node.coinbasevalue) {
        let most = value.saturating_add(value / 2).saturating_add(BEYOND_NODE);
        if *total > most {
            return Judgement::warn(
                "more-than-node",
                found,
                format!("at most {most} sat by the node's {value}"),
            );
        }
    }
    let is_commitment = |script: &[u8]| script.starts_with(&COMMITMENT);
    if has_others && !transaction.output.iter().any(|output| is_commitment(output.script_pubkey.as_bytes())) {
        return Judgement::warn(
            "no-commitment",
            "transactions, no witness commitment",
            "an output 6a24aa21a9ed…",
        );
    }
    Judgement::pass(found, format!("at most {limit} sat"))
}
