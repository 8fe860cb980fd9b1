//! Check 4000: the network target of a job against its limits and against what the chain allows there.

use super::context::{Chain, LastJob, PERIOD};
use super::{Context, JobUnderTest, Judgement, Outcome};
use crate::work::Target;

/// The easiest target of the main chain, and that of any chain. Source: Bitcoin Core `kernel/chainparams.cpp`, `powLimit`.
const EASIEST_OF_MAIN: u32 = 0x1d00_ffff;
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
    let is_main = test.is_of_main_chain(context);
    let easiest = if is_main { EASIEST_OF_MAIN } else { EASIEST };
    let limit = Target::from_nbits(easiest).expect("the constants stand for targets");
    if target > limit {
        return Judgement::reject("bits-too-easy", found, format!("no easier than {easiest:08x}"));
    }
    let of_height = |height: u32| Some(height) == test.height;
    let node = context.chain.node.filter(|node| {
        of_height(node.height) || test.height.is_none() && node.prev_hash == test.job.header.prev_hash
    });
    if let Some(node) = node {
        let expected = format!("{:08x}, as the node says", node.nbits);
        return if node.nbits == nbits {
            Judgement::pass(found, expected)
        } else {
            Judgement::reject("bits-not-of-node", found, expected)
        };
    }
    let of_others = by_others(test, &context.chain);
    if let Some(decided) = of_others.clone().filter(|judgement| judgement.outcome != Outcome::Warn) {
        return decided;
    }
    let of_before = context.chain.before.and_then(|before| by_the_one_before(test, before, target, is_main));
    of_others
        .into_iter()
        .chain(of_before)
        .max_by_key(|judgement| judgement.outcome)
        .unwrap_or_else(|| Judgement::open(found, "nobody else at this height, no job before in this period"))
}

/// Against the other upstreams at the same height; `None` where there is none.
fn by_others(test: &JobUnderTest<'_>, chain: &Chain) -> Option<Judgement> {
    let nbits = test.job.header.nbits;
    let height = test.height?;
    let at_height = || chain.others.iter().filter(|other| other.height == Some(height));
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
    is_main: bool,
) -> Option<Judgement> {
    let nbits = test.job.header.nbits;
    let (height, height_before) = (test.height?, before.height?);
    let (period, period_before) = (height / PERIOD, height_before / PERIOD);
    let (found, expected) = (format!("{nbits:08x}"), format!("{:08x}, as in the job before", before.nbits));
    // Test networks fall back to their easiest target whenever twenty minutes pass without a block.
    if period == period_before && (is_main || nbits == before.nbits) {
        return Some(if nbits == before.nbits {
            Judgement::pass(found, expected)
        } else {
            Judgement::reject("bits-changed", found, expected)
        });
    }
    if !is_main || period != period_before + 1 {
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
