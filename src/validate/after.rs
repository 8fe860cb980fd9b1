//! Check 16000: what a node says of the block, and whether its mempool knows a pool's transactions. It is asked beside
//! hashing and never waited for; here its answer is read.

use super::context::Proposal;
use super::{Context, JobUnderTest, Judgement};
use crate::protocol::text::printable;

/// Characters of a node's reason that are shown, with what we know of it.
const SHOWN: usize = 200;

pub(super) fn check(_: &JobUnderTest<'_>, context: &Context) -> Judgement {
    let expected = "a block the node would take";
    match (&context.after.proposal, context.after.first_branch_known) {
        (Some(Proposal::Refused(reason)), _) => {
            Judgement::reject("proposal-refused", printable(reason, SHOWN), expected)
        }
        (_, Some(false)) => Judgement::warn(
            "transactions-unknown",
            "a first transaction that is neither in the node's template nor in its mempool",
            "one that the node knows",
        ),
        (Some(Proposal::Accepted), _) => Judgement::pass("the node would take it", expected),
        (None, Some(true)) => Judgement::pass("the node knows the first branch", expected),
        (None, None) => Judgement::open("not asked", "a node's answer"),
    }
}
