//! Check 1000: lengths and counts that parsing alone lets pass.

use super::{Context, JobUnderTest, Judgement};
use crate::protocol::text::printable;
use crate::work::JobId;

/// Most merkle branches of a real block: 2^20 transactions would need more than its weight.
const MAX_BRANCHES: usize = 20;
/// Most bytes of a coinbase. Consensus allows ten times as much; pools that pay a thousand miners need a third.
const MAX_COINBASE: usize = 100_000;
/// Sizes of extranonce2, bytes. None leaves nothing to search; more than 16 nobody can count through.
const EXTRANONCE2: std::ops::RangeInclusive<usize> = 1..=16;
/// Most bytes of a job id.
const MAX_JOB_ID: usize = 128;

pub(super) fn check(test: &JobUnderTest<'_>, _: &Context) -> Judgement {
    let job = test.job;
    let (JobId::Text(id) | JobId::Number(id)) = &job.id;
    if id.is_empty() || id.len() > MAX_JOB_ID {
        return Judgement::reject(
            "job-id-length",
            format!("a job id of {} bytes", id.len()),
            "1 to 128 bytes",
        );
    }
    if printable(id, MAX_JOB_ID) != **id {
        return Judgement::reject(
            "job-id-text",
            "a job id with characters that steer or hide",
            "printable text",
        );
    }
    let branches = job.branch.len();
    if branches > MAX_BRANCHES {
        return Judgement::reject("branches", format!("{branches} merkle branches"), "at most 20");
    }
    let own = job.coinbase.extranonce2_size.bytes();
    if !EXTRANONCE2.contains(&own) {
        return Judgement::reject("extranonce2-size", format!("{own} bytes of extranonce2"), "1 to 16");
    }
    let extranonces = job.coinbase.extranonce1.as_bytes().len() + own;
    let size = job.coinbase.coinb1.len() + job.coinbase.coinb2.len() + extranonces;
    if size > MAX_COINBASE {
        return Judgement::reject("coinbase-size", format!("a coinbase of {size} bytes"), "at most 100000");
    }
    Judgement::pass(format!("{branches} branches, {size} bytes"), "at most 20, 100000")
}
