use super::super::health;
use super::*;
use proptest::prelude::*;

fn terms(dialect: Dialect) -> Terms {
    Terms { dialect, model: "qwen3:4b".to_owned(), preferences: String::new() }
}

fn answer(dialect: Dialect, status: u16, body: &Value) -> Result<ModelOutput, Failure> {
    terms(dialect).answer(status, body.to_string().as_bytes(), &health::question(2000))
}

fn ollama(content: &str, reason: &str) -> Value {
    json!({"model": "qwen3:4b", "created_at": "2026-01-01T00:00:00Z", "done": true, "done_reason": reason,
        "message": {"role": "assistant", "content": content}, "total_duration": 1, "load_duration": 1,
        "prompt_eval_count": 1, "eval_count": 1})
}

fn open_ai(content: Value, reason: &str) -> Value {
    json!({"id": "x", "object": "chat.completion", "created": 1, "model": "m", "usage": {},
        "choices": [{"index": 0, "finish_reason": reason,
            "message": {"role": "assistant", "content": content, "reasoning_content": "hm"}}]})
}

const SWITCH: &str =
    r#"{"decision":"SWITCH","target":"c0","confidence":0.9,"valid_for_ms":1000,"reason":"r"}"#;

#[test]
fn each_dialect_asks_in_its_own_way() {
    let question = health::question(2000);
    let request = terms(Dialect::Ollama).request(&question, Variation::Plain, Grammar::Schema);
    let body = request.body.unwrap();
    assert_eq!((request.path, &body["format"]), ("/api/chat", &prompt::wire_schema()));
    assert_eq!(
        (&body["stream"], &body["think"], &body["options"]["temperature"]),
        (&false.into(), &false.into(), &0.0.into())
    );
    assert_eq!(body["messages"][1]["content"], question.to_line());

    let ask = |variation, grammar| terms(Dialect::OpenAi).request(&question, variation, grammar);
    let request = ask(Variation::Warmer, Grammar::Schema);
    let body = request.body.unwrap();
    assert_eq!((request.path, &body["temperature"]), ("/v1/chat/completions", &0.2.into()));
    assert_eq!(body["response_format"]["json_schema"]["schema"], prompt::wire_schema());
    let loose = ask(Variation::Plain, Grammar::Json).body.unwrap();
    assert_eq!(loose["response_format"], json!({"type": "json_object"}));
    assert_eq!(ask(Variation::Plain, Grammar::None).body.unwrap().get("response_format"), None);

    let request = terms(Dialect::Decision).request(&question, Variation::Plain, Grammar::Schema);
    let body = request.body.unwrap();
    assert_eq!((request.path, &body["state"]), ("/v1/systemone", &question.to_value()));
    assert_eq!(body["questions"]["d"]["criteria"], json!({"c0": null, "c1": "keep", "RETRY": "unsure"}));
}

#[test]
fn answers_are_found_where_each_dialect_puts_them() {
    for answer in [
        answer(Dialect::Ollama, 200, &ollama(SWITCH, "stop")),
        answer(Dialect::OpenAi, 200, &open_ai(SWITCH.into(), "stop")),
    ] {
        assert_eq!(answer.map(|answer| (answer.word, answer.target)), Ok((Word::Switch, Some(0))));
    }
    // The better candidate is also the baseline's choice here: choosing it goes along with mathematics.
    let decision = |choice: &str| {
        let body = json!({"model": "m", "answers": {"d": {"type": "choice", "choice": choice,
            "probabilities": {}, "confidence": 0.7}}, "usage": {"input_tokens": 1, "output_tokens": 0}});
        answer(Dialect::Decision, 200, &body).map(|answer| (answer.word, answer.confidence))
    };
    assert_eq!(decision("c0"), Ok((Word::Proceed, 0.7)));
    assert_eq!(decision("c1"), Ok((Word::Hold, 0.7)));
    assert_eq!(decision("RETRY"), Ok((Word::Retry, 0.7)));
    assert!(matches!(decision("c9"), Err(Failure::Schema(_))));
}

#[test]
fn what_is_cut_off_or_empty_is_no_answer() {
    assert!(matches!(answer(Dialect::Ollama, 200, &ollama(SWITCH, "length")), Err(Failure::Unreadable(_))));
    assert!(matches!(
        answer(Dialect::OpenAi, 200, &open_ai(SWITCH.into(), "length")),
        Err(Failure::Unreadable(_))
    ));
    assert_eq!(answer(Dialect::OpenAi, 200, &open_ai(Value::Null, "stop")), Err(Failure::Empty));
    assert_eq!(answer(Dialect::Ollama, 200, &ollama("", "stop")), Err(Failure::Empty));
    assert_eq!(terms(Dialect::Ollama).answer(200, b"", &health::question(2000)), Err(Failure::Empty));
}

#[test]
fn every_form_of_error_is_understood() {
    for (status, body, says) in [
        (404, json!({"error": "model 'x' not found"}), "model 'x' not found"),
        (
            503,
            json!({"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}),
            "Loading model",
        ),
        (
            400,
            json!({"object": "error", "message": "bad request", "type": "BadRequestError", "code": 400}),
            "bad request",
        ),
        (429, json!({"detail": "slow down"}), "slow down"),
        (502, json!("<html>bad gateway"), "\"<html>bad gateway\""),
    ] {
        let expected = Failure::Status { status, text: says.to_owned() };
        assert_eq!(answer(Dialect::OpenAi, status, &body), Err(expected));
    }
    for (dialect, mut good) in
        [(Dialect::Ollama, ollama(SWITCH, "stop")), (Dialect::OpenAi, open_ai(SWITCH.into(), "stop"))]
    {
        good["error"] = Value::Null;
        assert_eq!(answer(dialect, 200, &good).map(|answer| answer.word), Ok(Word::Switch), "{dialect:?}");
    }
    let in_stream = answer(Dialect::Ollama, 200, &json!({"error": "out of memory"}));
    assert_eq!(in_stream, Err(Failure::Status { status: 500, text: "out of memory".to_owned() }));
}

#[test]
fn a_server_that_knows_no_schema_is_asked_for_less() {
    let refused = |text: &str| Failure::Status { status: 400, text: text.to_owned() };
    assert!(
        terms(Dialect::OpenAi).is_about_grammar(&refused("response_format json_schema is not supported"))
    );
    assert!(!terms(Dialect::OpenAi).is_about_grammar(&refused("model is missing")));
    assert!(!terms(Dialect::Ollama).is_about_grammar(&refused("schema")));
    let levels: Vec<_> = std::iter::successors(Some(Grammar::Schema), |grammar| grammar.looser()).collect();
    assert_eq!(levels, [Grammar::Schema, Grammar::Json, Grammar::None]);
}

#[test]
fn health_knows_whether_the_model_is_there() {
    let tags = json!({"models": [{"name": "llama3:8b"}, {"name": "qwen3:4b"}]}).to_string();
    assert_eq!(terms(Dialect::Ollama).health(200, tags.as_bytes()), Ok(()));
    let none = json!({"models": [{"name": "llama3:8b"}]}).to_string();
    let error = terms(Dialect::Ollama).health(200, none.as_bytes()).unwrap_err();
    assert!(error.to_string().contains("llama3:8b"), "{error}");
    assert_eq!(terms(Dialect::OpenAi).health(200, b""), Ok(()));
    assert!(terms(Dialect::OpenAi).health(503, b"{}").unwrap_err().is_retryable());
}

proptest! {
    #[test]
    fn no_reply_makes_it_panic(body in "(?s).{0,200}", status in 100_u16..600) {
        for dialect in [Dialect::Ollama, Dialect::OpenAi, Dialect::Decision] {
            let _ = terms(dialect).answer(status, body.as_bytes(), &health::question(2000));
            let _ = terms(dialect).health(status, body.as_bytes());
        }
    }
}
