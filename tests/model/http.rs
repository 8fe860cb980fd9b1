//! Servers as models: a real HTTP server that answers as Ollama, llama.cpp and vLLM do, and as broken ones do.

use std::time::{Duration, Instant};

use serde_json::json;
use signalcore::model::backend::{Backend, Choice};
use signalcore::model::dialect::Dialect;
use signalcore::model::failure::Failure;
use signalcore::model::health;
use signalcore::model::output::Word;

use crate::server::{Fake, Got, nowhere, ollama, open_ai, server_at};

const LIMIT: Duration = Duration::from_secs(30);
const SWITCH: &str =
    r#"{"decision":"SWITCH","target":"c0","confidence":0.9,"valid_for_ms":1000,"reason":"r"}"#;

#[tokio::test]
async fn each_kind_of_server_is_asked_at_its_own_place() {
    for (dialect, path) in [
        (Dialect::Ollama, "/api/chat"),
        (Dialect::OpenAi, "/v1/chat/completions"),
        (Dialect::Decision, "/v1/systemone"),
    ] {
        let fake = Fake::new(|_, got| match got.path.as_str() {
            "/api/chat" => ollama(SWITCH),
            "/v1/systemone" => {
                (200, json!({"answers": {"d": {"choice": "c0", "confidence": 0.7}}}).to_string())
            }
            _ => open_ai(SWITCH),
        });
        let reply = fake.ask(dialect, LIMIT).await;
        let expected = if dialect == Dialect::Decision { Word::Proceed } else { Word::Switch };
        assert_eq!(reply.answer.unwrap().word, expected);
        let got = fake.got();
        assert_eq!((got.len(), got[0].path.as_str()), (1, path));
        assert!(got[0].head.contains("Bearer k3y") || got[0].head.contains("bearer k3y"), "{}", got[0].head);
        assert_eq!(got[0].body["model"], "m");
    }
}

#[tokio::test]
async fn an_empty_answer_is_asked_for_again_with_other_parameters() {
    let fake = Fake::new(|number, _| ollama(if number < 2 { "" } else { SWITCH }));
    let reply = fake.ask(Dialect::Ollama, LIMIT).await;
    assert_eq!((reply.answer.unwrap().word, reply.retries), (Word::Switch, 2));
    let temperatures: Vec<_> =
        fake.got().iter().map(|got| got.body["options"]["temperature"].clone()).collect();
    assert_eq!(temperatures, [json!(0.0), json!(0.2), json!(0.2)]);
    let fake = Fake::new(|number, _| ollama(if number < 2 { "{}" } else { SWITCH }));
    assert_eq!(
        fake.ask(Dialect::Ollama, LIMIT).await.retries,
        2,
        "an object that says nothing is empty as well"
    );
}

#[tokio::test]
async fn what_passes_is_tried_three_times_and_what_does_not_once() {
    for (status, times) in
        [(429, 3), (500, 3), (502, 3), (503, 3), (400, 1), (401, 1), (403, 1), (404, 1), (302, 1)]
    {
        let fake = Fake::new(move |_, _| (status, json!({"error": {"message": "no"}}).to_string()));
        let reply = fake.ask(Dialect::OpenAi, LIMIT).await;
        let expected = Failure::Status { status, text: "no".to_owned() };
        assert_eq!((reply.answer, fake.got().len()), (Err(expected), times), "{status}");
    }
    let fake = Fake::new(|_, _| (401, json!({"error": "no such key: Bearer k3y"}).to_string()));
    let reply = fake.ask(Dialect::OpenAi, LIMIT).await;
    let expected = Failure::Status { status: 401, text: "no such key: Bearer ***".to_owned() };
    assert_eq!(reply.answer, Err(expected), "a key that is said back to us is not shown");
    let fake = Fake::new(|number, _| if number == 0 { (503, String::new()) } else { open_ai(SWITCH) });
    assert_eq!(fake.ask(Dialect::OpenAi, LIMIT).await.answer.unwrap().word, Word::Switch);
}

#[tokio::test]
async fn a_server_that_knows_no_schema_is_asked_for_less_and_that_is_remembered() {
    let fake = Fake::new(|_, got| match got.body["response_format"]["type"].as_str() {
        Some("json_schema") => (400, json!({"error": "response_format json_schema is unknown"}).to_string()),
        Some("json_object") => {
            (400, json!({"object": "error", "message": "grammar not supported", "code": 400}).to_string())
        }
        _ => open_ai(SWITCH),
    });
    let mut backend = Backend::new(Choice::Http(fake.server(Dialect::OpenAi))).unwrap();
    for _ in 0..2 {
        let reply = backend.ask(&health::question(2000), Instant::now() + LIMIT).await;
        assert_eq!((reply.answer.unwrap().word, reply.retries), (Word::Switch, 0));
    }
    assert_eq!(fake.got().len(), 4);
}

#[tokio::test]
async fn what_is_too_long_too_late_or_gone_is_no_answer() {
    let fake = Fake::new(|_, _| (200, " ".repeat(70_000)));
    assert!(matches!(fake.ask(Dialect::OpenAi, LIMIT).await.answer, Err(Failure::Schema(_))));
    let fake = Fake::new(|_, _| {
        std::thread::sleep(Duration::from_secs(5));
        open_ai(SWITCH)
    });
    let start = Instant::now();
    assert_eq!(fake.ask(Dialect::OpenAi, Duration::from_millis(200)).await.answer, Err(Failure::Late));
    assert!(start.elapsed() < Duration::from_secs(4));
    let server = server_at(&nowhere(), Dialect::OpenAi);
    let mut backend = Backend::new(Choice::Http(server)).unwrap();
    let reply = backend.ask(&health::question(2000), Instant::now() + LIMIT).await;
    assert!(matches!(reply.answer, Err(Failure::Unreachable(_))), "{reply:?}");
    assert_eq!(reply.retries, 2);
}

#[tokio::test]
async fn health_sees_a_model_that_is_missing_loading_or_of_no_sense() {
    let health = async |answer: fn(&Got) -> (u16, String), dialect| {
        let fake = Fake::new(move |_, got| answer(got));
        let mut backend = Backend::new(Choice::Http(fake.server(dialect))).unwrap();
        let health = backend.health(LIMIT).await;
        (health.reply.answer.map(|answer| answer.word), health.chose_worse)
    };
    let there: fn(&Got) -> (u16, String) = |got| match got.path.as_str() {
        "/api/tags" => (200, json!({"models": [{"name": "m:latest"}]}).to_string()),
        _ => ollama(SWITCH),
    };
    assert_eq!(health(there, Dialect::Ollama).await, (Ok(Word::Switch), false));
    let missing: fn(&Got) -> (u16, String) = |_| (200, json!({"models": [{"name": "other"}]}).to_string());
    assert!(matches!(health(missing, Dialect::Ollama).await.0, Err(Failure::NotStarted(_))));
    let loading: fn(&Got) -> (u16, String) =
        |_| (503, json!({"error": {"code": 503, "message": "Loading model"}}).to_string());
    assert!(matches!(health(loading, Dialect::OpenAi).await.0, Err(Failure::Status { status: 503, .. })));
    let senseless: fn(&Got) -> (u16, String) = |got| match got.path.as_str() {
        "/health" => (200, String::new()),
        _ => open_ai(r#"{"decision":"HOLD","confidence":1}"#),
    };
    assert_eq!(health(senseless, Dialect::OpenAi).await, (Ok(Word::Hold), true));
}
