//! Checks 5000, 8000 and 9000: whether the parent has its work, who else knows it, and the height on top of it.

use std::time::Duration;

use super::context::PERIOD;
use super::{Context, JobUnderTest, Judgement};
use crate::work::coinbase_builder::height_push;
use crate::work::{BlockHash, Target};

/// How long a parent may stay unknown to others who build at its height or above, and to others who are behind. Source:
/// nodes hear of a block more than 5 s apart in 4.5 % of blocks, more than 30 s apart in 0.3 %.
const GRACE_AGAINST_RIVALS: Duration = Duration::from_secs(5);
const GRACE: Duration = Duration::from_secs(30);

/// Check 5000: a block hash that was made up does not meet the target of its time.
pub(super) fn work(test: &JobUnderTest<'_>, context: &Context) -> Judgement {
    let header = &test.job.header;
    let parent = BlockHash(header.prev_hash);
    let reached = Target::from_le_bytes(header.prev_hash).difficulty();
    let found = format!("a hash of difficulty {reached}");
    if !test.is_of_main_chain(context) {
        return Judgement::open(found, "a job of the main chain");
    }
    let Ok(target) = Target::from_nbits(header.nbits) else {
        return Judgement::reject("parent-lacks-work", found, "nbits that stand for a target");
    };
    // The parent may be the last of the period before, whose target was up to four times this one.
    let may_be_easier = test.height.is_none_or(|height| height % PERIOD == 0);
    let (limit, of) = if may_be_easier { (four_times(target), "a quarter of ") } else { (target, "") };
    let expected = format!("at least {of}{}", target.difficulty());
    if limit.is_met_by(&parent) {
        Judgement::pass(found, expected)
    } else {
        Judgement::reject("parent-lacks-work", found, expected)
    }
}

/// Four times a target, at most 2^256 - 1.
fn four_times(target: Target) -> Target {
    let mut bytes = target.to_le_bytes();
    if bytes[31] >> 6 != 0 {
        return Target::MAX;
    }
    let mut carry = 0;
    for byte in &mut bytes {
        (*byte, carry) = ((*byte << 2) | carry, *byte >> 6);
    }
    Target::from_le_bytes(bytes)
}

/// Check 8000: who else knows the parent, and for how long it may be news.
pub(super) fn known(test: &JobUnderTest<'_>, context: &Context) -> Judgement {
    let chain = &context.chain;
    let prev_hash = test.job.header.prev_hash;
    if chain.node.is_some_and(|node| node.parent_is_invalid) {
        return Judgement::reject("parent-invalid", "a parent that the node calls invalid", "a valid parent");
    }
    if chain.node.is_some_and(|node| node.prev_hash == prev_hash) {
        return Judgement::pass("the node's own tip", "known to the node or another upstream");
    }
    let knowing = chain.others.iter().filter(|other| other.prev_hash == prev_hash).count();
    if knowing > 0 {
        return Judgement::pass(
            format!("known to {knowing} others"),
            "known to the node or another upstream",
        );
    }
    if chain.others.is_empty() && chain.node.is_none() {
        return Judgement::open("known to this upstream", "a node or another upstream to ask");
    }
    let heights = chain.others.iter().filter_map(|other| other.height);
    let highest = heights.chain(chain.node.map(|node| node.height)).max();
    let has_rivals = highest.zip(test.height).is_some_and(|(other, own)| other >= own);
    let grace = if has_rivals { GRACE_AGAINST_RIVALS } else { GRACE };
    let alone = chain.parent_alone.unwrap_or_default();
    let found = format!("unknown to all others for {} s", alone.as_secs());
    let expected = format!("at most {} s", grace.as_secs());
    if alone <= grace {
        Judgement::pass(found, expected)
    } else {
        Judgement::reject("parent-unknown", found, expected)
    }
}

/// Check 9000: BIP 34, and no way back.
pub(super) fn height(test: &JobUnderTest<'_>, context: &Context) -> Judgement {
    let Some(height) = test.height else {
        let (found, expected) = ("no height in the coinbase", "a height as BIP 34 puts it");
        return if test.is_of_main_chain(context) {
            Judgement::reject("height-missing", found, expected)
        } else {
            Judgement::warn("height-missing", found, expected)
        };
    };
    let found = format!("height {height}");
    if let Ok(reading) = &test.reading
        && !reading.script_sig().starts_with(&height_push(height))
    {
        return Judgement::reject("height-not-minimal", found, "as Bitcoin Core's CScript << height has it");
    }
    let chain = &context.chain;
    let is_parent = |prev_hash: [u8; 32]| prev_hash == test.job.header.prev_hash;
    if let Some(node) = chain.node.filter(|node| is_parent(node.prev_hash))
        && node.height != height
    {
        return Judgement::reject(
            "height-not-of-parent",
            found,
            format!("{}, as the node says", node.height),
        );
    }
    let on_parent = || chain.others.iter().filter(|other| is_parent(other.prev_hash));
    let votes = |height: u32| on_parent().filter(|other| other.height == Some(height)).count();
    let winner = on_parent().filter_map(|other| other.height).max_by_key(|height| votes(*height));
    if let Some(winner) = winner.filter(|winner| *winner != height && votes(height) < votes(*winner)) {
        let expected = format!("{winner}, as {} on the same parent say", votes(winner));
        return if votes(winner) > 1 {
            Judgement::reject("height-not-of-parent", found, expected)
        } else {
            Judgement::warn("height-not-of-parent", found, expected)
        };
    }
    let before = chain.before.and_then(|before| before.height);
    if let Some(before) = before.filter(|before| *before > height) {
        let mut others =
            chain.others.iter().filter_map(|other| other.height).chain(chain.waiting.iter().copied());
        let went_back =
            others.any(|other| other <= height) || chain.node.is_some_and(|node| node.height <= height);
        let expected = format!("{before} or above, as this upstream had, or others who went back too");
        return if went_back {
            Judgement::pass(found, expected)
        } else {
            Judgement::hold("height-fell", found, expected)
        };
    }
    match (winner, before) {
        (Some(winner), _) => Judgement::pass(found, format!("{winner}, as others on the same parent say")),
        (None, Some(before)) => Judgement::pass(found, format!("{before} or above, as this upstream had")),
        (None, None) if chain.node.is_some_and(|node| is_parent(node.prev_hash)) => {
            Judgement::pass(found, "the node's")
        }
        (None, None) => Judgement::open(found, "a node, another upstream on this parent, or a job before"),
    }
}
