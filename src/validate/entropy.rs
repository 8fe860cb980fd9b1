//! Checks 6000 and 7000: whether there is enough to search, and whether nothing is searched twice.

use std::collections::HashMap;

use super::{Context, JobUnderTest, Judgement};
use crate::work::Job;

/// The space should last so long at our hash rate, or ntime has to move; and less than this is used up before the next
/// second. Unit: seconds.
const ENOUGH: f64 = 60.0;
const FAR_TOO_LITTLE: f64 = 1.0;

/// How many headers a job has for one ntime, as a power of two: nonce, version bits and extranonce2.
pub fn search_space_bits(job: &Job) -> u32 {
    let version = job.version_mask.rollable(job.header.version).count_ones();
    u32::BITS + version + 8 * job.coinbase.extranonce2_size.bytes() as u32
}

/// Check 6000.
pub(super) fn balance(test: &JobUnderTest<'_>, context: &Context) -> Judgement {
    let bits = search_space_bits(test.job);
    let rate = context.machine.hash_rate.0;
    if rate <= 0.0 {
        return Judgement::open(format!("2^{bits} headers"), "a hash rate");
    }
    let seconds = 2f64.powi(bits as i32) / rate;
    let lasts = if seconds < 1e6 { format!("{seconds:.3} s") } else { format!("{seconds:.2e} s") };
    let found = format!("2^{bits} headers, {lasts} of work");
    if seconds < FAR_TOO_LITTLE {
        Judgement::reject("space-far-too-small", found, "at least 1 s")
    } else if seconds < ENOUGH && !context.machine.rolls_ntime {
        Judgement::warn("space-too-small", found, "at least 60 s, or leave to roll ntime")
    } else {
        Judgement::pass(found, "at least 60 s, or ntime that rolls")
    }
}

/// Check 7000.
pub(super) fn parity(test: &JobUnderTest<'_>, context: &Context) -> Judgement {
    let machine = &context.machine;
    let own = &test.job.coinbase.extranonce1;
    if machine.siblings.contains(own) {
        let found = format!("extranonce1 {own} on two connections");
        return Judgement::reject("extranonce1-twice", found, "another one on each connection of a pool");
    }
    let mut boards = HashMap::with_capacity(machine.used.len());
    for item in &machine.used {
        if let Some(other) = boards.insert((item.extranonce2, item.ntime), item.board) {
            let found = format!("the same work for boards {other} and {}", item.board);
            return Judgement::reject("work-twice", found, "every extranonce2 and ntime once");
        }
    }
    let found =
        format!("pieces of work: {}, other connections: {}", machine.used.len(), machine.siblings.len());
    Judgement::pass(found, "each of its own")
}
