//! Check 14000: how far the sources agree on the tip. It only tells: a fork alone convicts nobody, since a block of ours
//! would end the tie.

use super::{Context, JobUnderTest, Judgement};

/// Blocks ahead of or behind another upstream that are more than the usual race.
const TOO_FAR: u32 = 2;

pub(super) fn check(test: &JobUnderTest<'_>, context: &Context) -> Judgement {
    let chain = &context.chain;
    let own = (test.job.header.prev_hash, test.height);
    let of_others = chain.others.iter().map(|other| (other.prev_hash, other.height));
    let of_node = chain.node.map(|node| (node.prev_hash, Some(node.height)));
    let others: Vec<_> = of_others.chain(of_node).collect();
    if others.is_empty() {
        return Judgement::open("one source", "a second one");
    }
    let agreeing = others.iter().filter(|(prev_hash, _)| *prev_hash == own.0).count();
    let found = format!("{} of {} sources on this parent", agreeing + 1, others.len() + 1);
    let is_rival = |(prev_hash, height): &&([u8; 32], Option<u32>)| *prev_hash != own.0 && *height == own.1;
    if own.1.is_some() && others.iter().any(|other| is_rival(&other)) {
        return Judgement::warn("fork", found, "one parent a height");
    }
    let distances = others.iter().filter_map(|(_, height)| Some(height.zip(own.1)?.0.abs_diff(own.1?)));
    match distances.max().filter(|distance| *distance >= TOO_FAR) {
        Some(distance) => {
            Judgement::warn("heights-apart", format!("{found}, {distance} blocks apart"), "less than 2 apart")
        }
        None => Judgement::pass(found, "one parent a height, less than 2 apart"),
    }
}
