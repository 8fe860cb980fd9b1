//! Check 11000: whether the coinbase pays whom it has to.
//!
//! While mining, `protocol::payout_watch` applies the same rule before a job leaves its session, because it also leaves the
//! connection then; so it finds nothing more here.

use super::{Context, JobUnderTest, Judgement};
use crate::work::payout::Payouts;

pub(super) fn check(test: &JobUnderTest<'_>, context: &Context) -> Judgement {
    let Some(expected) = &context.payout else {
        return Judgement::open("whoever is paid", "somebody who has to be");
    };
    let least = format!("at least {:.4} to {expected}", expected.min_part());
    match Payouts::of(&test.job.coinbase) {
        Err(error) => Judgement::reject("payout-unreadable", error.to_string(), least),
        Ok(seen) => {
            let part = format!("{:.4} of {} sat", expected.part_of(&seen), seen.total().to_sat());
            if expected.are_met_by(&seen) {
                Judgement::pass(part, least)
            } else {
                Judgement::reject("pays-others", format!("{part}; {}", seen.shown(expected.network())), least)
            }
        }
    }
}
