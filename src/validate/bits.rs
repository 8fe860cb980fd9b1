//! Check 4000: the network target of a job against its limits and against what the chain allows there.

use bitcoin::Network;

use super::context::{Chain, LastJob, PERIOD, is_as_hard_as_main};
use super::{Context, JobUnderTest, Judgement, Outcome};
use crate::work::Target;

/// The easiest target of the main chain, which testnet3 and testnet4 fall back to; that of signets; that of any chain.
/// Source: Bitcoin Core `kernel/chainparams.cpp`, `powLimit`.
const EASIEST_OF_MAIN: u32 = 0x1d00_ffff;
const EASIEST_OF_SIGNET: u32 = 0x1e03_77ae;
const EASIEST: u32 = 0x207f_ffff;
/// Most that a retarget changes the target by, with what the compact form cuts off: 15 bits at least are kept.
const MOST_RETARGET: f64 = 4.0 * (1.0 + 1.0 / 32_768.0);

pub(super) fn check(test: &JobUnderTest<'_>, context: &Context) -> Judgement {
    let nbits = test.job.header.nbits;
    let found = format!("{nbits:08x}");
    let target = match Target::from_nbits(nbits) {
        Ok(target) => target,
        Err(error) => {
            return Judgement::reject("bits-of-no-target", error.to_string(), "a target above zero");
        }
    };
    let chain = &context.chain;
    let easiest = easiest(chain.network, test.is_of_main_chain(context));
    let limit = Target::from_nbits(easiest).expect("the constants stand for targets");
    if target > limit {
        return Judgement::reject("bits-too-easy", found, format!("no easier than {easiest:08x}"));
    }
    let comparable = Comparable { test, network: chain.network };
    // The coinbase of early blocks and of some test chains has no height.
    let by_parent = |prev_hash: [u8; 32]| test.height.is_none() && prev_hash == test.job.header.prev_hash;
    let node = chain.node.filter(|node| {
        by_parent(node.prev_hash) || comparable.are(node.prev_hash, Some(node.height), node.nbits)
    });
    if let Some(node) = node {
        let expected = format!("{:08x}, as the node says", node.nbits);
        return if node.nbits == nbits {
            Judgement::pass(found, expected)
        } else if comparable.may_be_twenty_minutes(node.nbits) {
            Judgement::pass(found, format!("{expected}, or {EASIEST_OF_MAIN:08x} 20 minutes after a block"))
        } else {
            Judgement::reject("bits-not-of-node", found, expected)
        };
    }
    let of_others = by_others(&comparable, chain);
    if let Some(decided) = of_others.clone().filter(|judgement| judgement.outcome != Outcome::Warn) {
        return decided;
    }
    // Easy nbits after hard ones do not make another chain of it.
    let is_main = |nbits: u32| chain.is_main(nbits);
    let has_periods = chain.network == Some(Network::Signet)
        || is_main(nbits)
        || chain.before.is_some_and(|before| is_main(before.nbits));
    let of_before = chain.before.and_then(|before| by_the_one_before(test, before, target, has_periods));
    of_others
        .into_iter()
        .chain(of_before)
        .max_by_key(|judgement| judgement.outcome)
        .unwrap_or_else(|| Judgement::open(found, "nobody else at this height, no job before in this period"))
}

fn easiest(network: Option<Network>, is_main: bool) -> u32 {
    match network {
        Some(Network::Bitcoin | Network::Testnet | Network::Testnet4) => EASIEST_OF_MAIN,
        Some(Network::Signet) => EASIEST_OF_SIGNET,
        None if is_main => EASIEST_OF_MAIN,
        _ => EASIEST,
    }
}

/// Whose nbits those of a job must equal.
struct Comparable<'a> {
    test: &'a JobUnderTest<'a>,
    network: Option<Network>,
}

impl Comparable<'_> {
    /// Whether a job of this parent and height has the same nbits by the rules of the chain. Two branches agree on them
    /// but for the first block of a period, which counts the time of the last one.
    fn are(&self, prev_hash: [u8; 32], height: Option<u32>, nbits: u32) -> bool {
        let own = self.test.height;
        let branches_agree =
            own.is_some_and(|height| height % PERIOD != 0) && !self.has_twenty_minutes(nbits);
        own.is_some() && own == height && (prev_hash == self.test.job.header.prev_hash || branches_agree)
    }

    /// Whether the chain may have the rule of testnet3 and testnet4 that a block more than 20 minutes after the one before
    /// has the easiest target. Source: Bitcoin Core `pow.cpp`, `GetNextWorkRequired`.
    fn has_twenty_minutes(&self, nbits: u32) -> bool {
        let is_easy = || ![nbits, self.test.job.header.nbits].into_iter().any(is_as_hard_as_main);
        self.network.map_or_else(is_easy, |network| matches!(network, Network::Testnet | Network::Testnet4))
    }

    /// Whether that rule explains why others have `nbits` at this height: one of the two times is past the 20 minutes. The
    /// first block of a period is not under it.
    fn may_be_twenty_minutes(&self, nbits: u32) -> bool {
        self.has_twenty_minutes(nbits)
            && [nbits, self.test.job.header.nbits].contains(&EASIEST_OF_MAIN)
            && self.test.height.is_none_or(|height| height % PERIOD != 0)
    }
}

/// Against the other upstreams at the same height; `None` where there is none.
fn by_others(comparable: &Comparable<'_>, chain: &Chain) -> Option<Judgement> {
    let nbits = comparable.test.job.header.nbits;
    let at_height = || {
        chain.others.iter().filter(|other| {
            comparable.are(other.prev_hash, other.height, other.nbits)
                && (other.nbits == nbits || !comparable.may_be_twenty_minutes(other.nbits))
        })
    };
    let votes = |nbits: u32| at_height().filter(|other| other.nbits == nbits).count();
    let (most, winner) = at_height().map(|other| (votes(other.nbits), other.nbits)).max()?;
    let found = format!("{nbits:08x}");
    Some(if votes(nbits) >= most {
        Judgement::pass(found, format!("{nbits:08x}, as {most} other upstreams say"))
    } else if most >= 2 {
        Judgement::reject("bits-not-of-majority", found, format!("{winner:08x}, as {most} upstreams say"))
    } else {
        Judgement::warn("bits-not-of-another", found, format!("{winner:08x}, as another upstream says"))
    })
}

/// Against the last job of the same upstream; `None` where that tells nothing.
fn by_the_one_before(
    test: &JobUnderTest<'_>,
    before: LastJob,
    target: Target,
    has_periods: bool,
) -> Option<Judgement> {
    let nbits = test.job.header.nbits;
    let (height, height_before) = (test.height?, before.height?);
    let (period, period_before) = (height / PERIOD, height_before / PERIOD);
    let (found, expected) = (format!("{nbits:08x}"), format!("{:08x}, as in the job before", before.nbits));
    // Testnets fall back to their easiest target whenever twenty minutes pass without a block.
    if period == period_before && (has_periods || nbits == before.nbits) {
        return Some(if nbits == before.nbits {
            Judgement::pass(found, expected)
        } else {
            Judgement::reject("bits-changed", found, expected)
        });
    }
    if !has_periods || period != period_before + 1 {
        return None;
    }
    let was = Target::from_nbits(before.nbits).ok()?;
    let factor = target.difficulty().value() / was.difficulty().value();
    let expected = format!("{:08x} within a factor of 4, but not the same", before.nbits);
    Some(if !(1.0 / MOST_RETARGET..=MOST_RETARGET).contains(&factor) {
        Judgement::reject("bits-beyond-retarget", format!("{found}, {factor:.3} times as hard"), expected)
    } else if nbits == before.nbits {
        // Two thousand blocks in two weeks to the second have not been since the first year.
        Judgement::warn("retarget-not-applied", format!("{found}, unchanged at block {height}"), expected)
    } else {
        Judgement::pass(format!("{found}, {factor:.3} times as hard"), expected)
    })
}
