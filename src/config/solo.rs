//! `[solo]`: whom our own blocks pay, and which templates of nodes are mined on.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bitcoin::address::NetworkUnchecked;
use bitcoin::{Address, Network};

use super::kind::TextRule;
use crate::work::coinbase_builder::{MAX_PAYOUTS, Payee, Tag};

/// The most parts of one payout: enough to split to the satoshi, and a larger number is a slip of the hand.
const MAX_PARTS: u32 = 1_000_000;

/// The networks whose addresses can be told from each other, all test networks of `tb` being one here. Source: Bitcoin
/// Core, `kernel/chainparams.cpp`.
const NETWORKS: [Network; 3] = [Network::Bitcoin, Network::Testnet, Network::Regtest];

/// What a list of payouts must be, for messages.
pub(super) const EXPECTED: &str = "a list of 1 to 20 of \"ADDRESS\" or \"ADDRESS=PARTS\"";

/// What a coinbase tag must be.
pub(super) static TAG: TextRule = TextRule {
    expected: "a text of at most 64 characters of printable ASCII",
    holds: |text| Tag::new(text).is_ok(),
};

/// How we mine on nodes of our own.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Solo {
    /// Whom blocks pay; at least one if there are nodes. All addresses are of one network, as far as that can be told.
    pub payouts: Vec<Payout>,
    /// The text that names the miner in its blocks. Shape: at most 64 characters of printable ASCII.
    pub coinbase_tag: String,
    /// The rank of solo mining among the pools, lower is better, `None` before all of them. Unit: 0 to 1000.
    pub priority: Option<u32>,
    /// Its part of the hashing where that is split, in relation to the weights of pools. Unit: 1 to 1000000.
    pub weight: u32,
    /// Which templates are mined on.
    pub templates: Templates,
}

/// Which templates of nodes are mined on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Templates {
    /// How often a template of the same tip is fetched anew.
    pub refresh: Duration,
    /// What a template of the same tip must pay more to be mined on before the one in use is old. Unit: satoshi.
    pub fee_gain: u32,
    /// Whether a node checks the first block template of a run, beside the mining.
    pub check_proposal: bool,
    /// Whether to hash an empty block on a new tip until the node's template is there.
    pub empty_first: bool,
    /// Whether a node of a test network must have peers to be mined on; one of regtest never must.
    pub require_peers: bool,
    /// How long hashing goes on with the last template while no node can be reached.
    pub keep_without_node: Duration,
}

/// Who is paid by our own blocks. Only parsing makes one, so its address is of a kind that can be paid. Prints as it is
/// written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payout {
    address: Address,
    parts: u32,
}

impl Payout {
    /// Where to. Its network is not checked yet: only the node knows which it must be.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// How much, in relation to the parts of the others. Unit: 1 to 1000000.
    pub fn parts(&self) -> u32 {
        self.parts
    }

    fn fits(&self, network: Network) -> bool {
        self.address.as_unchecked().is_valid_for_network(network)
    }
}

/// Why a text is no payout, or a list of them cannot be. Each message ends with what to write instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PayoutError {
    /// No address of Bitcoin.
    #[error("it is mistyped, cut or of another coin; copy it again from your wallet")]
    Address,
    /// An address whose coins are not safe.
    #[error(
        "anybody, or nobody known, can spend what is paid there; use an address of P2PKH, P2SH, P2WPKH, P2WSH or P2TR"
    )]
    Script,
    /// Parts that are none.
    #[error(
        "the parts behind = are no whole number from 1 to {MAX_PARTS}; correct them, or leave them out for 1"
    )]
    Parts,
    /// An address that no network shares with those before it.
    #[error(
        "it is of another network than the addresses before it; keep those of the network that you mine on"
    )]
    Network,
    /// Too many.
    #[error("a block of ours pays at most {MAX_PAYOUTS}; delete the others")]
    TooMany,
}

impl fmt::Display for Payout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parts {
            1 => write!(f, "{}", self.address),
            parts => write!(f, "{}={parts}", self.address),
        }
    }
}

impl FromStr for Payout {
    type Err = PayoutError;

    fn from_str(text: &str) -> Result<Self, PayoutError> {
        let (address, parts) = text.split_once('=').unwrap_or((text, "1"));
        let address = address.parse::<Address<NetworkUnchecked>>().map_err(|_| PayoutError::Address)?;
        let address = address.assume_checked();
        let is_digits = parts.bytes().all(|b| b.is_ascii_digit()); // u32's own parser takes "+1" too
        let parts = parts.parse().ok().filter(|parts| is_digits && (1..=MAX_PARTS).contains(parts));
        let parts = parts.ok_or(PayoutError::Parts)?;
        Payee::new(&address, parts).map_err(|_| PayoutError::Script)?;
        Ok(Self { address, parts })
    }
}

/// Reads a list. Errors: the item to blame, and why.
pub(super) fn payouts(list: Vec<String>) -> Result<Vec<Payout>, (String, PayoutError)> {
    let mut payouts: Vec<Payout> = Vec::new();
    let mut networks = NETWORKS.to_vec();
    for item in list {
        let payout = match item.parse::<Payout>() {
            Ok(_) if payouts.len() == MAX_PAYOUTS => return Err((item, PayoutError::TooMany)),
            Ok(payout) => payout,
            Err(error) => return Err((item, error)),
        };
        networks.retain(|network| payout.fits(*network));
        if networks.is_empty() {
            return Err((item, PayoutError::Network));
        }
        payouts.push(payout);
    }
    Ok(payouts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::coinbase_builder::MAX_TAG;
    use proptest::prelude::*;
    use serde_json::Value;

    // All from tests/vectors/gbt-vectors.json.
    const MAIN: &str = "12ZEw5Hcv1hTb6YUQJ69y1V7uhcoDz92PH";
    const MAIN_SEGWIT: &str = "bc1qzyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3h8ffkz";
    const TEST: &str = "mh5CE8Nbj38iND267s4XnvhSmhDW7yWc6Q";
    const TEST_SEGWIT: &str = "tb1qzyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3apj6d3";
    const REGTEST_SEGWIT: &str = "bcrt1qzyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3lgth6c";

    fn error(list: &[&str]) -> Option<(String, PayoutError)> {
        payouts(list.iter().map(ToString::to_string).collect()).err()
    }

    #[test]
    fn an_address_has_one_part_unless_it_says_more() {
        for (text, parts) in
            [(MAIN.to_owned(), 1), (format!("{MAIN}=1"), 1), (format!("{MAIN}=1000000"), 1_000_000)]
        {
            let payout: Payout = text.parse().unwrap();
            assert_eq!((payout.address().to_string().as_str(), payout.parts()), (MAIN, parts));
            assert_eq!(payout.to_string().parse(), Ok(payout));
        }
        for parts in ["", "0", "1000001", "+1", "-1", "1.5", "1=1", "x"] {
            assert_eq!(format!("{MAIN}={parts}").parse::<Payout>(), Err(PayoutError::Parts), "{parts}");
        }
    }

    #[test]
    fn addresses_of_every_usual_kind_are_taken_and_those_that_anybody_can_spend_from_are_not() {
        let vectors: Value =
            serde_json::from_str(include_str!("../../tests/vectors/gbt-vectors.json")).unwrap();
        let address = |row: &Value| row["address"].as_str().unwrap().to_owned();
        let usual: Vec<_> = vectors["addresses"].as_array().unwrap().iter().map(address).collect();
        assert_eq!(usual.len(), 15);
        assert!(usual.iter().all(|text| text.parse::<Payout>().unwrap().to_string() == *text));
        let refused = vectors["addresses_to_refuse_on_mainnet"].as_array().unwrap().iter().map(address);
        let refused: Vec<_> = refused.map(|text| text.parse::<Payout>().err()).collect();
        let script = Some(PayoutError::Script);
        assert_eq!(refused, [Some(PayoutError::Address), script, script, None]); // the last is of a test network
        for address in ["", "alice", "=1", "ltc1qw508d6qejxtdg4y5r3zarvary0c5xw7kgmn4n9"] {
            assert_eq!(address.parse::<Payout>(), Err(PayoutError::Address), "{address}");
        }
    }

    #[test]
    fn a_list_is_of_one_network_as_far_as_that_can_be_told() {
        assert_eq!(error(&[MAIN, MAIN_SEGWIT]), None);
        assert_eq!(error(&[TEST, TEST_SEGWIT]), None);
        assert_eq!(error(&[REGTEST_SEGWIT, TEST]), None); // Base58 is the same on both
        for (list, other) in [
            (vec![MAIN, TEST], TEST),
            (vec![TEST, MAIN_SEGWIT], MAIN_SEGWIT),
            (vec![TEST, TEST_SEGWIT, REGTEST_SEGWIT], REGTEST_SEGWIT),
        ] {
            assert_eq!(error(&list), Some((other.to_owned(), PayoutError::Network)));
        }
    }

    #[test]
    fn a_list_has_twenty_payouts_at_most_and_messages_name_the_limits_of_the_coinbase() {
        assert_eq!(error(&[MAIN; MAX_PAYOUTS]), None);
        assert_eq!(error(&[MAIN; MAX_PAYOUTS + 1]), Some((MAIN.to_owned(), PayoutError::TooMany)));
        assert!(EXPECTED.contains(&format!("1 to {MAX_PAYOUTS} ")));
        assert!(TAG.expected.contains(&format!("at most {MAX_TAG} ")));
        assert!((TAG.holds)(&"a".repeat(MAX_TAG)) && (TAG.holds)("") && (TAG.holds)(" ~"));
        assert!(!(TAG.holds)(&"a".repeat(MAX_TAG + 1)) && !(TAG.holds)("ä") && !(TAG.holds)("a\nb"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in prop_oneof![".*", "(bc1|tb1|1|3)[a-z0-9A-Z]{0,60}=?[0-9]{0,8}"]) {
            if let Ok(payout) = text.parse::<Payout>() {
                prop_assert_eq!(payout.to_string().parse(), Ok(payout));
            }
        }
    }
}
