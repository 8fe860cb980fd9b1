use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn read(status: u16, body: &Value) -> Result<String, RpcFault> {
    let body = body.to_string();
    result(status, body.as_bytes(), 1).map(|result| result.get().to_owned())
}

/// What a recorded situation must be read as.
fn expected(when: &str) -> RpcFault {
    let signet = "getblocktemplate must be called with the signet rule set (call with {\"rules\": [\"segwit\", \"signet\"]})";
    let segwit =
        "getblocktemplate must be called with the segwit rule set (call with {\"rules\": [\"segwit\"]})";
    match when {
        "wrong or missing credentials" => RpcFault::Unauthorized,
        "method not in the whitelist of the user" => RpcFault::Forbidden,
        "HTTP GET" => {
            RpcFault::NotJson { status: 405, text: "JSONRPC server handles only POST requests".into() }
        }
        "work queue full" => RpcFault::Busy,
        "unknown method" => RpcFault::UnknownMethod,
        "body is not JSON" => RpcFault::Other { code: -32700, text: "Parse error".into() },
        "warm-up" => RpcFault::WarmingUp("Loading block index…".into()),
        "warm-up, later" => RpcFault::WarmingUp("Verifying blocks…".into()),
        "mainnet without peers" => RpcFault::NotConnected,
        "mainnet in initial block download" => RpcFault::InitialDownload,
        "rules without segwit" | "same, JSON-RPC 2.0 request" => RpcFault::MissingRule(segwit.into()),
        "signet, rules without signet" => RpcFault::MissingRule(signet.into()),
        "bad longpollid" => {
            RpcFault::Other { code: -8, text: "longpollid must be of length 64 (not 1, for 'x')".into() }
        }
        "undecodable block" => RpcFault::DecodeFailed("Block decode failed".into()),
        other => panic!("nothing is expected of {other}"),
    }
}

#[test]
fn every_recorded_answer_of_a_node_is_told_apart() {
    let vectors: Value =
        serde_json::from_str(include_str!("../../../tests/vectors/gbt-vectors.json")).unwrap();
    let replies = vectors["rpc_replies"].as_array().unwrap();
    assert_eq!(replies.len(), 15);
    for reply in replies {
        let when = reply["when"].as_str().unwrap();
        let body = reply["body"].as_str().map_or_else(|| reply["body"].to_string(), str::to_owned);
        let id = reply["body"]["id"].as_u64().unwrap_or(1);
        let status = reply["http"].as_u64().unwrap() as u16;
        assert_eq!(result(status, body.as_bytes(), id).unwrap_err(), expected(when), "{when}");
    }
}

#[test]
fn a_request_is_what_the_node_was_recorded_to_take() {
    assert_eq!(
        request(7, Method::GetBlockTemplate, [json!({"rules": ["segwit"]})]),
        r#"{"jsonrpc":"1.0","id":7,"method":"getblocktemplate","params":[{"rules":["segwit"]}]}"#
    );
    for method in Method::ALL {
        assert!(request(1, method, [0; 0]).contains(&format!(r#""method":"{method}""#)));
    }
}

#[test]
fn a_result_is_given_as_it_stands_and_null_is_one() {
    let long = format!(r#" {{"result": {{"a" :"{}"}},"error":null,"id":1}}"#, "x".repeat(2_000_000));
    let borrowed = result(200, long.as_bytes(), 1).unwrap().get();
    assert!(borrowed.starts_with(r#"{"a" :"x"#) && borrowed.len() == 2_000_009);
    assert!(long.as_bytes().as_ptr_range().contains(&borrowed.as_ptr()), "nothing was copied");
    assert_eq!(read(200, &json!({"result": null, "error": null, "id": 1})), Ok("null".to_owned()));
    assert_eq!(read(200, &json!({"jsonrpc": "2.0", "result": 3, "id": 1})), Ok("3".to_owned()));
}

#[test]
fn what_only_looks_like_a_result_is_none() {
    let malformed = |what: &str| Err(RpcFault::Malformed { what: what.to_owned() });
    assert_eq!(read(200, &json!({"error": null, "id": 1})), malformed("neither a result nor an error"));
    assert_eq!(read(200, &json!({"result": null})), malformed("a result without the id of a request"));
    assert_eq!(
        read(500, &json!({"result": null, "error": null, "id": 1})),
        malformed("a result with HTTP 500")
    );
    assert_eq!(read(200, &json!([null, null, 1])), malformed("[null,null,1]"));
    assert_eq!(read(200, &json!({"error": "no", "id": 1})), malformed("\"no\""));
    assert_eq!(
        read(200, &json!({"result": {}, "id": "1"})).unwrap_err().to_string().matches("\"1\"").count(),
        1
    );
    for id in [json!(2), json!("x".repeat(500))] {
        let fault = read(200, &json!({"result": null, "error": null, "id": id})).unwrap_err();
        assert!(
            matches!(&fault, RpcFault::WrongId { expected: 1, got } if got.chars().count() <= 41),
            "{fault}"
        );
        let fault = read(500, &json!({"error": {"code": -28, "message": "m"}, "id": id})).unwrap_err();
        assert!(matches!(fault, RpcFault::WrongId { .. }));
    }
}

#[test]
fn without_a_reply_the_status_tells() {
    let of = |status, body: &[u8]| result(status, body, 1).unwrap_err();
    assert_eq!(of(503, b""), RpcFault::Busy);
    assert_eq!(of(503, b"<html>shutting down</html>"), RpcFault::Busy);
    assert_eq!(of(204, b" \n"), RpcFault::Empty { status: 204 });
    assert_eq!(of(401, b"{}"), RpcFault::Unauthorized);
    assert_eq!(
        of(502, b"<b>\x1b[31m\xff"),
        RpcFault::NotJson { status: 502, text: "<b>[31m\u{fffd}".into() }
    );
    let long = RpcFault::of_text(200, "é".repeat(100_000).as_bytes());
    assert!(matches!(long, RpcFault::NotJson { text, .. } if text.chars().count() == MAX_TEXT + 1));
}

#[test]
fn a_message_of_any_length_is_short_and_printable_in_the_fault() {
    let message = format!("a\x1b[2J\n{}", "b".repeat(10_000));
    let fault = read(500, &json!({"error": {"code": -99, "message": message}, "id": 1})).unwrap_err();
    let RpcFault::Other { code: -99, text } = &fault else { panic!("{fault}") };
    assert!(text.starts_with("a[2Jb") && text.chars().count() == MAX_TEXT + 1, "{text}");
    let silent = read(500, &json!({"error": {"code": -99}, "id": null})).unwrap_err();
    assert_eq!(silent, RpcFault::Other { code: -99, text: String::new() });
}

#[test]
fn a_method_that_is_not_allowed_is_told_with_all_that_must_be() {
    let said = RpcFault::Forbidden.to_string();
    assert!(Method::ALL.iter().all(|method| said.contains(method.name())), "{said}");
}

proptest! {
    #[test]
    fn no_body_makes_it_panic(status in 100u16..600, body in prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..60),
        "[{}\\[\\]\":,a-z0-9]{0,60}".prop_map(String::into_bytes),
        "\\{\"(result|error|id)\":(null|1|\\{\\}|\"x\"|-),\"(result|error|id)\":(null|1|[0-9.e]{1,30}|\\[\\])\\}"
            .prop_map(String::into_bytes),
    ]) {
        if let Err(fault) = result(status, &body, 1) {
            prop_assert!(fault.to_string().len() < 2000);
        }
    }
}
