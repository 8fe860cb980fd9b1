//! The schema files say the same as the code, both ways.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::health;
use super::input::{CandidateFacts, ModelInput};
use super::output::{Binding, ModelOutput, Word};

fn schema(text: &str) -> jsonschema::Validator {
    jsonschema::validator_for(&serde_json::from_str(text).unwrap()).unwrap()
}

fn input_schema() -> jsonschema::Validator {
    schema(include_str!("schema/model-input.schema.json"))
}

fn output_schema() -> jsonschema::Validator {
    schema(include_str!("schema/model-output.schema.json"))
}

fn is_input(value: &Value) -> bool {
    serde_json::from_value(value.clone()).is_ok_and(|input: ModelInput| input.check().is_ok())
}

#[test]
fn the_schema_of_questions_takes_what_the_code_takes() {
    let schema = input_schema();
    let good = health::question(2000).to_value();
    assert!(schema.is_valid(&good) && is_input(&good));
    let set = |path: &str, value: Value| {
        let mut changed = good.clone();
        *changed.pointer_mut(path).unwrap() = value;
        changed
    };
    for (path, value, fits) in [
        ("/v", json!(2), false),
        ("/state_id", json!("0123456789a"), false),
        ("/event", json!("hard"), false),
        ("/deadline_ms", json!(4_000_000_001_u64), false),
        ("/deadline_ms", json!(-1), false),
        ("/deadline_ms", json!(2000.0), true),
        ("/deadline_ms", json!(2000.5), false),
        ("/v", json!(1.0), true),
        ("/chain/sources", json!(3.0), true),
        ("/chain/sources", json!(4_294_967_296.0), false),
        ("/candidates/0/lag_p50_ms", json!(3.5e2), true),
        ("/candidates/0/rejects_10m", json!(-1.0), false),
        ("/clock/utc_minute", json!(1439.0), true),
        ("/clock/utc_minute", json!(1439), true),
        ("/clock/utc_minute", json!(1440), false),
        ("/device/hash_ths", json!(1e9), true),
        ("/device/hash_ths", json!(1.1e9), false),
        ("/device/hw_error_rate", json!(1.5), false),
        ("/baseline/decision", json!("HOLD"), false),
        ("/baseline/margin", json!(-1.5), true),
        ("/candidates/0/r", json!(0.9), true),
        ("/candidates/0/r", json!(0.89), false),
        ("/candidates/0/scheme", json!("prop"), false),
        ("/candidates/0/fee_rel", json!(10.5), false),
        ("/candidates/0/acc_sd", json!(0.6), false),
        ("/candidates/0/allowed", json!("yes"), false),
        ("/candidates", json!([]), false),
        ("/chain/sources", json!(-1), false),
    ] {
        let changed = set(path, value.clone());
        assert_eq!(schema.is_valid(&changed), fits, "schema, {path} = {value}");
        assert_eq!(is_input(&changed), fits, "code, {path} = {value}");
    }
    for key in good.as_object().unwrap().keys() {
        let mut changed = good.clone();
        changed.as_object_mut().unwrap().remove(key);
        assert!(!schema.is_valid(&changed) && !is_input(&changed), "without {key}");
    }
    for key in good["candidates"][0].as_object().unwrap().keys() {
        let mut changed = good.clone();
        changed["candidates"][0].as_object_mut().unwrap().remove(key);
        assert!(!schema.is_valid(&changed) && !is_input(&changed), "a candidate without {key}");
    }
}

fn is_answer(value: &Value) -> bool {
    ModelOutput::parse(&value.to_string(), &health::question(2000), Binding::Implied).is_ok()
}

#[test]
fn the_schema_of_answers_takes_what_the_code_takes() {
    let schema = output_schema();
    for (answer, fits) in [
        (json!({"decision": "PROCEED"}), true),
        (json!({"decision": "PROCEED", "more": [1]}), true),
        (json!({"decision": "HOLD", "confidence": 0.5}), true),
        (json!({"decision": "HOLD"}), false),
        (json!({"decision": "HOLD", "confidence": null}), false),
        (json!({"decision": "SWITCH", "target": "c0", "confidence": 1}), true),
        (json!({"decision": "SWITCH", "confidence": 1}), false),
        (json!({"decision": "SWITCH", "target": null, "confidence": 1}), false),
        (json!({"decision": "SWITCH", "target": "pool", "confidence": 1}), false),
        (json!({"decision": "RETRY", "retry_after_ms": 999}), false),
        (json!({"decision": "RETRY", "retry_after_ms": 1000}), true),
        (json!({"decision": "PROCEED", "valid_for_ms": 60_000.0, "v": 1.0}), true),
        (json!({"decision": "PROCEED", "valid_for_ms": 60_000.5}), false),
        (json!({"decision": "PROCEED", "valid_for_ms": -0.0}), true),
        (json!({"decision": "PROCEED", "valid_for_ms": 1e300}), false),
        (json!({"decision": "PROCEED", "valid_for_ms": 300_001.0}), false),
        (json!({"decision": "PROCEED", "valid_for_ms": null}), true),
        (json!({"decision": "RETRY", "retry_after_ms": 1e3}), true),
        (json!({"decision": "RETRY", "retry_after_ms": 999.0}), false),
        (json!({"decision": "PROCEED", "valid_for_ms": 300_001}), false),
        (json!({"decision": "PROCEED", "confidence": 2}), false),
        (json!({"decision": "proceed"}), false),
        (json!({}), false),
        (json!([]), false),
    ] {
        assert_eq!(schema.is_valid(&answer), fits, "schema, {answer}");
        assert_eq!(is_answer(&answer), fits, "code, {answer}");
    }
}

proptest! {
    #[test]
    fn whatever_the_code_writes_fits_its_schema(
        value in 0.0..2.0_f64, sd in 0.0..0.5_f64, ages in proptest::array::uniform4(0..4_000_000_000_u64),
        confidence in 0.0..=1.0_f64, word in 0..4_usize, valid in 0..=300_000_u64,
    ) {
        let mut input = health::question(ages[0]);
        let candidate = CandidateFacts {
            value, index: value, acc_sd: sd, lag_p50_ms: ages[1], job_age_ms: ages[2], usable_ms: ages[3],
            ..input.candidates[0].clone()
        };
        input.candidates[0] = candidate;
        let input = input.sign();
        prop_assert_eq!(input.check(), Ok(()));
        prop_assert!(input_schema().is_valid(&input.to_value()));
        let word = Word::ALL[word];
        let target = match word { Word::Switch => Some(0), Word::Hold => Some(1), _ => None };
        let answer = ModelOutput {
            word, target, confidence,
            valid_for: std::time::Duration::from_millis(valid),
            retry_after: std::time::Duration::from_secs(30),
            reason: "r".to_owned(),
        };
        let written = answer.to_json(&input);
        prop_assert!(output_schema().is_valid(&written));
        prop_assert_eq!(ModelOutput::parse(&written.to_string(), &input, Binding::Stated), Ok(answer));
    }
}
