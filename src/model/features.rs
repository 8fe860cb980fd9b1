//! The state of the decider as a model is told it.

use std::time::{Duration, Instant};

use super::advisor::Question;
use super::input::{
    Baseline, Budget, CandidateFacts, Chain, Clock, Device, MAX_CANDIDATES, ModelInput, Occasion, Running,
    VERSION,
};
use crate::decision::{Candidate, Decider, Scheme};

/// Most milliseconds that a question tells.
const MOST_MS: u128 = 4_000_000_000;
/// Mean time between two blocks.
const BLOCK_SECONDS: u32 = 600;
const DAY: u64 = 86_400;

/// What a model is told and the decider does not know.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Around {
    /// Since mining began.
    pub uptime: Duration,
    /// Seconds since 1970.
    pub unix: u64,
    /// Of all boards. Unit: hashes per second.
    pub hash_rate: f64,
    /// How many there are.
    pub boards: u32,
    /// Nonces that did not verify, per nonce.
    pub hw_error_rate: f64,
    /// Parent of the running job.
    pub parent: [u8; 32],
}

/// A question about the present; `None` while nothing is hashed.
pub fn question(
    decider: &Decider,
    around: &Around,
    occasion: Occasion,
    deadline: Duration,
    now: Instant,
) -> Option<Question> {
    let mut candidates = decider.candidates(now);
    let (running, _) = decider.running()?;
    let place = candidates.iter().position(|candidate| candidate.upstream == running)?;
    if place >= MAX_CANDIDATES {
        candidates.swap(place, MAX_CANDIDATES - 1);
    }
    candidates.truncate(MAX_CANDIDATES);
    let place = candidates.iter().position(|candidate| candidate.upstream == running)?;
    let by_itself = decider.baseline(now);
    let best = candidates.iter().position(|it| Some(it.upstream) == by_itself).unwrap_or(place);
    let others = candidates.iter().enumerate().filter(|(other, _)| *other != best);
    let margin = candidates[best].index - others.map(|(_, other)| other.index).fold(0.0, f64::max);
    let (device, chain, budget) = (decider.device(), decider.chain_view(now), decider.budget(now));
    let since = decider.running_since().map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
    let input = ModelInput {
        v: VERSION,
        state_id: String::new(),
        event: occasion,
        deadline_ms: milliseconds(deadline),
        clock: Clock { uptime_ms: milliseconds(around.uptime), utc_minute: (around.unix % DAY / 60) as u16 },
        chain: Chain {
            tip_age_ms: milliseconds(chain.tip_age),
            tip_sources: chain.tip_sources as u32,
            sources: chain.sources as u32,
            fork_sides: chain.sides as u32,
            block_mean_s: BLOCK_SECONDS,
        },
        device: Device {
            hash_ths: (around.hash_rate / 1e12).clamp(0.0, 1e9),
            boards: around.boards,
            flush_ms: device.flush.as_secs_f64().min(60.0) * 1e3,
            cross_ms: device.cross.as_secs_f64().min(60.0) * 1e3,
            boundary_ms: device.boundary.as_secs_f64().min(60.0) * 1e3,
            hw_error_rate: around.hw_error_rate.clamp(0.0, 1.0),
        },
        running: Running {
            candidate: ModelInput::name(place),
            since_ms: milliseconds(since),
            value: candidates[place].value.clamp(0.0, 2.0),
        },
        baseline: Baseline {
            decision: if best == place { "PROCEED" } else { "SWITCH" }.to_owned(),
            target: ModelInput::name(best),
            margin: margin.clamp(-2.0, 2.0),
        },
        budget: Budget {
            amends_left_hour: budget.amends_left as u32,
            regret_left: (budget.regret_left / DAY as f64).clamp(0.0, 1.0),
        },
        candidates: candidates.iter().enumerate().map(|(place, candidate)| facts(place, candidate)).collect(),
    };
    let upstreams = candidates.iter().map(|candidate| candidate.upstream.0).collect();
    let (moment, soft_moment) = (decider.moment(), decider.soft_moment());
    let question = Question { input: input.sign(), upstreams, parent: around.parent, moment, soft_moment };
    question.input.check().is_ok().then_some(question)
}

fn facts(place: usize, candidate: &Candidate) -> CandidateFacts {
    let observed = &candidate.observed;
    let (shares, rejects) = observed.shares_10m;
    let scheme = match observed.scheme {
        Scheme::Pps => "pps",
        Scheme::Pplns => "pplns",
        Scheme::SoloPool => "solo_pool",
        Scheme::SoloNode => "solo_node",
    };
    CandidateFacts {
        id: ModelInput::name(place),
        scheme: scheme.to_owned(),
        pay: candidate.pay,
        acc_mean: candidate.acc_mean,
        acc_sd: candidate.acc_sd.min(0.5),
        avail: candidate.avail.clamp(0.0, 1.0),
        v: candidate.v,
        r: candidate.r.clamp(0.9, 2.0),
        value: candidate.value.clamp(0.0, 2.0),
        index: candidate.index.clamp(0.0, 2.0),
        lag_p50_ms: milliseconds(observed.delays.lag_p50),
        lag_p90_ms: milliseconds(observed.delays.lag_p90),
        reply_p50_ms: milliseconds(observed.delays.reply_p50),
        reply_p90_ms: milliseconds(observed.delays.reply_p90),
        job_age_ms: observed.job.map_or(0, |job| milliseconds(job.age)),
        height_behind: observed.height_behind,
        agree: observed.agree.clamp(0.0, 1.0),
        clean: observed.job.is_some_and(|job| job.clean),
        empty: observed.job.is_some_and(|job| job.empty),
        fee_rel: observed.job.map_or(0.0, |job| job.fee_rel.clamp(-1.0, 10.0)),
        shares_10m: shares,
        rejects_10m: rejects,
        alarm: candidate.alarm,
        probe_in_ms: milliseconds(observed.probe_in),
        usable_ms: milliseconds(observed.usable),
        allowed: candidate.allowed,
    }
}

fn milliseconds(time: Duration) -> u64 {
    time.as_millis().min(MOST_MS) as u64
}
