//! The question by which a model is tried: two candidates, of which one is plainly the better.

use super::input::{
    Baseline, Budget, CandidateFacts, Chain, Clock, Device, ModelInput, Occasion, Running, VERSION,
};

/// Place of the better of the two candidates; the worse one runs.
pub const BETTER: usize = 0;
/// What is said of a model that answers otherwise: it is there, and of little use.
pub const CHOSE_WORSE: &str = "prefers a candidate that is plainly worse";

/// The question. An answer is of use for `deadline_ms`.
pub fn question(deadline_ms: u64) -> ModelInput {
    let good = CandidateFacts {
        id: ModelInput::name(0),
        scheme: "pps".to_owned(),
        pay: 0.99,
        acc_mean: 0.998,
        acc_sd: 0.001,
        avail: 1.0,
        v: 1.0,
        r: 1.0,
        value: 0.988_02,
        index: 0.988_515,
        lag_p50_ms: 350,
        lag_p90_ms: 1_200,
        reply_p50_ms: 41,
        reply_p90_ms: 180,
        job_age_ms: 12_000,
        height_behind: 0,
        agree: 1.0,
        clean: false,
        empty: false,
        fee_rel: 0.0,
        shares_10m: 180,
        rejects_10m: 0,
        alarm: false,
        probe_in_ms: 0,
        usable_ms: 3_600_000,
        allowed: true,
    };
    let bad = CandidateFacts {
        id: ModelInput::name(1),
        acc_mean: 0.6,
        acc_sd: 0.01,
        value: 0.594,
        index: 0.594,
        rejects_10m: 72,
        ..good.clone()
    };
    let question = ModelInput {
        v: VERSION,
        state_id: String::new(),
        event: Occasion::Health,
        deadline_ms,
        clock: Clock { uptime_ms: 0, utc_minute: 0 },
        chain: Chain { tip_age_ms: 60_000, tip_sources: 2, sources: 2, fork_sides: 1, block_mean_s: 600 },
        device: Device {
            hash_ths: 1.0,
            boards: 1,
            flush_ms: 2.0,
            cross_ms: 2.0,
            boundary_ms: 500.0,
            hw_error_rate: 0.0,
        },
        running: Running { candidate: bad.id.clone(), since_ms: 600_000, value: bad.value },
        baseline: Baseline {
            decision: "SWITCH".to_owned(),
            target: good.id.clone(),
            margin: good.index - bad.index,
        },
        budget: Budget { amends_left_hour: 30, regret_left: 0.002 },
        candidates: vec![good, bad],
    };
    question.sign()
}
