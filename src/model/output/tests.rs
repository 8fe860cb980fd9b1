use super::super::health;
use super::*;
use proptest::prelude::*;

/// The better candidate is `c0`; `c1` runs.
fn parse(text: &str) -> Result<ModelOutput, Failure> {
    ModelOutput::parse(text, &health::question(2000), Binding::Implied)
}

fn schema_error(text: &str) -> String {
    match parse(text) {
        Err(Failure::Schema(text)) => text,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn an_answer_has_a_decision_and_defaults() {
    let full = r#"{"decision":"SWITCH","target":"c0","confidence":0.82,"valid_for_ms":120000,"reason":"c1 rejects","x":1}"#;
    let expected = ModelOutput {
        word: Word::Switch,
        target: Some(0),
        confidence: 0.82,
        valid_for: Duration::from_secs(120),
        retry_after: Duration::from_secs(30),
        reason: "c1 rejects".to_owned(),
    };
    assert_eq!(parse(full), Ok(expected));
    let least = parse(r#"{"decision":"PROCEED"}"#).unwrap();
    assert_eq!((least.word, least.target, least.valid_for), (Word::Proceed, None, Duration::from_secs(60)));
    let retry = parse(r#"{"decision":"RETRY","target":null,"retry_after_ms":1000}"#).unwrap();
    assert_eq!(retry.retry_after, Duration::from_secs(1));
    assert_eq!(parse(r#"{"decision":"HOLD","confidence":1}"#).unwrap().word, Word::Hold);
}

#[test]
fn what_does_not_fit_says_what_is_wrong() {
    for (text, says) in [
        (r#"{"target":"c0"}"#, "decision is missing"),
        (r#"{"decision":"proceed"}"#, "unknown variant"),
        (r#"{"decision":"SKIP"}"#, "unknown variant"),
        (r#"{"decision":"PROCEED","decision":"SWITCH"}"#, "duplicate field"),
        (r#"{"decision":"SWITCH","confidence":1}"#, "needs a target"),
        (r#"{"decision":"SWITCH","target":"c7","confidence":1}"#, "no candidate"),
        (r#"{"decision":"SWITCH","target":"c1","confidence":1}"#, "running"),
        (r#"{"decision":"HOLD","target":"c0","confidence":1}"#, "another"),
        (r#"{"decision":"SWITCH","target":"c0"}"#, "confidence"),
        (r#"{"decision":"SWITCH","target":"c0","confidence":1.01}"#, "0 to 1"),
        (r#"{"decision":"SWITCH","target":"c0","confidence":"high"}"#, "invalid type"),
        (r#"{"decision":"PROCEED","valid_for_ms":300001}"#, "300000"),
        (r#"{"decision":"PROCEED","valid_for_ms":-1}"#, "invalid value"),
        (r#"{"decision":"RETRY","retry_after_ms":999}"#, "1000"),
    ] {
        let error = schema_error(text);
        assert!(error.contains(says), "{text}: {error}");
    }
    for text in ["", "PROCEED", "[1]", "{\"decision\":\"PROCEED\"", "null"] {
        assert!(matches!(parse(text), Err(Failure::Unreadable(_))), "{text}");
    }
    for text in ["{}", r#"{"v":1,"state_id":"000000000000"}"#, r#"{"decision":null,"id":7}"#] {
        assert_eq!(parse(text), Err(Failure::Empty), "{text}");
    }
    assert!(matches!(parse(&" ".repeat(MAX_BYTES + 1)), Err(Failure::Schema(_))));
}

#[test]
fn a_child_process_must_say_what_it_answers() {
    let question = health::question(2000);
    let answer = |v: u32, id: &str| {
        let text = format!(r#"{{"v":{v},"state_id":"{id}","decision":"PROCEED"}}"#);
        ModelOutput::parse(&text, &question, Binding::Stated)
    };
    assert!(answer(1, &question.state_id).is_ok());
    assert!(matches!(answer(2, &question.state_id), Err(Failure::Schema(_))));
    assert!(matches!(answer(1, "000000000000"), Err(Failure::Schema(_))));
    assert!(matches!(
        ModelOutput::parse(r#"{"decision":"PROCEED"}"#, &question, Binding::Stated),
        Err(Failure::Schema(_))
    ));
}

#[test]
fn a_reason_is_short_printable_ascii() {
    let text = r#"{"decision":"PROCEED","reason":" a\u001b[31m\n\tb\u202ec "}"#;
    assert_eq!(parse(text).unwrap().reason, "a [31m b c");
    assert_eq!(clean(&"x".repeat(500)).len(), MAX_REASON);
}

#[test]
fn what_is_written_is_read_again() {
    let question = health::question(2000);
    let answer = parse(r#"{"decision":"SWITCH","target":"c0","confidence":0.5,"reason":"r"}"#).unwrap();
    let text = answer.to_json(&question).to_string();
    assert_eq!(ModelOutput::parse(&text, &question, Binding::Stated), Ok(answer));
}

proptest! {
    #[test]
    fn no_answer_makes_it_panic(text in "(?s).{0,120}", decision in "[A-Z]{0,8}", number in any::<f64>()) {
        let _ = parse(&text);
        let _ = parse(&format!(r#"{{"decision":"{decision}","confidence":{number:?},"valid_for_ms":{number:?}}}"#));
    }
}
