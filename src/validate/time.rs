//! Check 3000: the time of a job against the clock, the chain and what other upstreams say.

use bitcoin::Network;

use super::context::PERIOD;
use super::{Context, JobUnderTest, Judgement};
use crate::work::block::MAX_AHEAD;

/// Without a node, a job so far behind the clock may be one of the past. Blocks are further apart once in two thousand
/// times, but pools renew their jobs between blocks. Unit: seconds.
const MAX_BEHIND: u64 = 3600;
/// Off by more than this the job's time or the clock is strange, though blocks of it are valid. Unit: seconds.
const STRANGE: u64 = 600;
/// Two upstreams and more, that of the job among them, that agree to be further from the clock than this are right and the clock is wrong. Unit:
/// seconds.
const CLOCK_IS_WRONG: u64 = 300;
/// A clock before this was never set: boards without a battery start in 1970. 2026-01-01, before this was written.
const NEVER_SET: u64 = 1_767_225_600;
/// The code of a job whose time the network would not take yet, unless our clock is what is wrong.
pub const TOO_NEW: &str = "time-too-new";

pub(super) fn check(test: &JobUnderTest<'_>, context: &Context) -> Judgement {
    let ntime = test.job.header.ntime;
    let of_parent = context.chain.node.filter(|node| node.prev_hash == test.job.header.prev_hash);
    if let Some(mintime) = of_parent.and_then(|node| node.mintime).filter(|mintime| ntime < *mintime) {
        let found = format!("ntime {ntime}");
        return if is_binding(test, context.chain.network) {
            let expected = format!("at least {mintime}, past the median of the last 11 blocks");
            Judgement::reject("time-too-old", found, expected)
        } else {
            let expected =
                format!("at least {mintime}, 10 minutes before the last block; not yet a rule here");
            Judgement::warn("time-before-period", found, expected)
        };
    }
    let by_upstreams = clock_of_upstreams(ntime, &context.chain.clocks, context.unix);
    let clock = by_upstreams.unwrap_or(context.unix);
    let found = offset(ntime, clock);
    if by_upstreams.is_none() && clock < NEVER_SET && u64::from(ntime) > clock + STRANGE {
        return Judgement::warn(
            "clock-never-set",
            found,
            "a clock that was set; set it, or start an NTP client",
        );
    }
    if u64::from(ntime) > clock + u64::from(MAX_AHEAD) {
        return Judgement::reject(TOO_NEW, found, "at most 7200 s ahead of the clock; check its time");
    }
    if context.chain.node.is_none() && u64::from(ntime) + MAX_BEHIND < clock {
        return Judgement::hold("time-far-behind", found, "at most 3600 s behind the clock; check its time");
    }
    if let Some(clock) = by_upstreams {
        let found = format!("this machine's clock {} s off", clock.abs_diff(context.unix));
        return Judgement::warn("clock-is-off", found, "within 300 s of what the upstreams say; set it");
    }
    if u64::from(ntime).abs_diff(clock) > STRANGE {
        return Judgement::warn("time-is-off", found, "within 600 s of the clock");
    }
    Judgement::pass(found, "within 600 s of the clock")
}

/// Whether `mintime` is the rule itself. Nodes also keep to ten minutes before the last block in the first one of a period,
/// which testnet4 alone demands (and regtest, when told to). Source: Bitcoin Core `node/miner.cpp`, `GetMinimumTime`, and
/// BIP 94.
fn is_binding(test: &JobUnderTest<'_>, network: Option<Network>) -> bool {
    let begins_a_period = test.height().is_some_and(|height| height % PERIOD == 0);
    !begins_a_period || matches!(network, Some(Network::Testnet4 | Network::Regtest))
}

fn offset(ntime: u32, clock: u64) -> String {
    let side = if u64::from(ntime) < clock { "behind" } else { "ahead of" };
    format!("ntime {} s {side} the clock", u64::from(ntime).abs_diff(clock))
}

/// What the clock should show if two upstreams or more, that of the job among them, agree in their median that it is wrong.
fn clock_of_upstreams(ntime: u32, others: &[i64], unix: u64) -> Option<u64> {
    if others.is_empty() {
        return None;
    }
    let own = i64::from(ntime).saturating_sub_unsigned(unix);
    let mut offsets: Vec<_> = others.iter().copied().chain([own]).collect();
    offsets.sort_unstable();
    let (low, high) = (offsets[(offsets.len() - 1) / 2], offsets[offsets.len() / 2]);
    // Of two in the middle the one that blames the clock less, and neither where one has it late and the other early.
    let median = if low > 0 { low } else { high.min(0) };
    (median.unsigned_abs() > CLOCK_IS_WRONG).then(|| unix.saturating_add_signed(median))
}
