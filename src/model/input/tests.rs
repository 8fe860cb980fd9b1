use super::super::health;
use super::*;

#[test]
fn the_state_id_is_that_of_the_state_whatever_the_clock_says() {
    let first = health::question(2000);
    assert_eq!(first.check(), Ok(()));
    let mut later = first.clone();
    later.clock = Clock { uptime_ms: 5, utc_minute: 7 };
    assert_eq!(later.clone().sign().state_id, first.state_id);
    later.candidates[1].rejects_10m += 1;
    assert_ne!(later.sign().state_id, first.state_id);
}

#[test]
fn the_state_id_is_the_hash_of_sorted_keys_without_spaces() {
    let value = serde_json::json!({"b": [1, {"z": "\u{e9}\"", "a": 0.5}], "a": null});
    assert_eq!(canonical(&value), "{\"a\":null,\"b\":[1,{\"a\":0.5,\"z\":\"\u{e9}\\\"\"}]}");
}

#[test]
fn what_is_out_of_bounds_names_its_field() {
    type Change = fn(&mut ModelInput);
    let cases: [(&str, Change); 14] = [
        ("v", |input| input.v = 2),
        ("state_id", |input| input.state_id = "xyz".to_owned()),
        ("clock.utc_minute", |input| input.clock.utc_minute = 1440),
        ("chain.tip_age_ms", |input| input.chain.tip_age_ms = 4_000_000_001),
        ("device.hash_ths", |input| input.device.hash_ths = f64::INFINITY),
        ("device.flush_ms", |input| input.device.flush_ms = -1.0),
        ("running.value", |input| input.running.value = f64::NAN),
        ("running.candidate", |input| input.running.candidate = "c9".to_owned()),
        ("baseline.target", |input| input.baseline.target = "c9".to_owned()),
        ("baseline.decision", |input| input.baseline.decision = "HOLD".to_owned()),
        ("candidates[1].r", |input| input.candidates[1].r = 0.89),
        ("candidates[0].id", |input| input.candidates[0].id = "pool".to_owned()),
        ("candidates[0].scheme", |input| input.candidates[0].scheme = "prop".to_owned()),
        ("candidates", |input| input.candidates.clear()),
    ];
    for (field, change) in cases {
        let mut input = health::question(2000);
        change(&mut input);
        assert_eq!(input.check().unwrap_err().field, field);
    }
}

#[test]
fn sixteen_candidates_of_the_longest_figures_fit() {
    let mut input = health::question(4_000_000_000);
    let longest = CandidateFacts {
        pay: 0.987_654_321_098_765_4,
        acc_mean: 0.987_654_321_098_765_4,
        acc_sd: 0.012_345_678_901_234_5,
        value: 1.234_567_890_123_456,
        index: 1.234_567_890_123_456,
        lag_p50_ms: 4_000_000_000,
        lag_p90_ms: 4_000_000_000,
        reply_p50_ms: 4_000_000_000,
        reply_p90_ms: 4_000_000_000,
        job_age_ms: 4_000_000_000,
        usable_ms: 4_000_000_000,
        shares_10m: u32::MAX,
        rejects_10m: u32::MAX,
        ..input.candidates[0].clone()
    };
    input.candidates =
        (0..16).map(|place| CandidateFacts { id: ModelInput::name(place), ..longest.clone() }).collect();
    assert_eq!(input.sign().check(), Ok(()));
}

#[test]
fn what_is_cut_keeps_the_best_two_and_the_running_one() {
    let mut input = health::question(2000);
    let third = CandidateFacts { id: "c2".to_owned(), ..input.candidates[1].clone() };
    let fourth = CandidateFacts { id: "c3".to_owned(), ..third.clone() };
    input.candidates.extend([third, fourth]);
    input.running.candidate = "c3".to_owned();
    let kept: Vec<_> = input.cut().candidates.into_iter().map(|candidate| candidate.id).collect();
    assert_eq!(kept, ["c0", "c1", "c3"]);
}
