//! Check 16000: what a node says of the block, and whether its mempool knows a pool's transactions. It is asked beside
//! hashing and never waited for; here its answer is read.

use super::context::Proposal;
use super::{Context, JobUnderTest, Judgement};

/// Characters of a node's reason that are shown.
const SHOWN: usize = 60;

pub(super) fn check(_: &JobUnderTest<'_>, context: &Context) -> Judgement {
    let expected = "a block the node would take";
    match (&context.after.proposal, context.after.first_branch_known) {
        (Some(Proposal::Refused(reason)), _) => {
            let reason: String =
                reason.chars().take(SHOWN).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
            Judgement::reject("proposal-refused", reason, expected)
        }
        (_, Some(false)) => {
            Judgement::warn("transactions-unknown", "a first branch that the node does not know", expected)
        }
        (Some(Proposal::Accepted), _) => Judgement::pass("the node would take it", expected),
        (None, Some(true)) => Judgement::pass("the node knows the first branch", expected),
        (None, None) => Judgement::open("not asked", "a node's answer"),
    }
}
