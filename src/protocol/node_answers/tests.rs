use proptest::prelude::*;
use serde_json::json;
use serde_json::value::RawValue;

use super::*;
use crate::protocol::json_rpc::{self, RpcFault};

const TIP: &str = "5e0e6f3bb0d4dd1fb6e6d2a4bb5c28f21b2f5f45f0f0c1e8b8e5f0d1c2b3a495";
const WORK: &str = "0000000000000000000000000000000000000000000000000000000000000194";

/// As a regtest node of the 31 line answers, fields that are not read left out but for one.
fn chain_info() -> Value {
    json!({"chain": "regtest", "blocks": 201, "headers": 202, "bestblockhash": TIP, "bits": "207fffff",
        "difficulty": 4.656_542_373_906_925e-10, "time": 1_795_835_000, "mediantime": 1_795_834_000,
        "initialblockdownload": false, "chainwork": WORK, "warnings": []})
}

fn header() -> Value {
    json!({"hash": TIP, "confirmations": 3, "height": 201, "time": 1_795_835_000, "mediantime": 1_795_834_000,
        "bits": "207fffff", "chainwork": WORK, "previousblockhash": TIP, "nTx": 1})
}

/// The answer with one field changed, or taken out where it becomes null.
fn with(mut answer: Value, field: &str, value: Value) -> String {
    answer[field] = value;
    answer.to_string()
}

#[test]
fn what_a_node_says_of_its_chain_is_read_field_by_field() {
    let info = ChainInfo::parse(&chain_info().to_string()).unwrap();
    assert_eq!((info.chain.as_str(), info.blocks, info.headers), ("regtest", 201, 202));
    assert_eq!((info.best_block.to_string(), info.chainwork.to_string()), (TIP.into(), WORK.into()));
    assert_eq!(info.best_block.0[0], 0x95, "inside, a hash has the order of headers");
    assert!(!info.initial_download);
    let odd = with(chain_info(), "chain", json!(format!("sig\x1b{}", "n".repeat(500))));
    assert_eq!(ChainInfo::parse(&odd).unwrap().chain, format!("sig{}…", "n".repeat(17)));
}

#[test]
fn chain_work_compares_as_a_number() {
    let work = |low: u8, high: u8| {
        let mut bytes = [0; 32];
        (bytes[31], bytes[0]) = (low, high);
        ChainWork::from_be_bytes(bytes)
    };
    assert!(work(255, 0) < work(0, 1) && work(1, 1) > work(0, 1));
}

#[test]
fn a_header_tells_how_its_block_stands() {
    let of = |confirmations: i64| {
        HeaderInfo::parse(&with(header(), "confirmations", confirmations.into())).unwrap()
    };
    assert_eq!(of(3).standing(), Standing::Active { confirmations: 3 });
    assert_eq!(of(-1).standing(), Standing::Beside);
    assert_eq!(of(0).standing(), Standing::Beside);
    let info = of(1);
    assert_eq!((info.nbits, info.height, info.median_time), (0x207f_ffff, 201, 1_795_834_000));
}

#[test]
fn every_wrong_field_is_named_with_its_value_and_what_it_should_be() {
    let wrong = [
        ("chain", json!(1), "chain in the node's answer is 1, expected a text"),
        (
            "blocks",
            json!(-1),
            "blocks in the node's answer is -1, expected a whole number from 0 to 2147483647",
        ),
        ("headers", json!(1.5), "headers in the node's answer is 1.5"),
        ("bestblockhash", json!("00"), "bestblockhash in the node's answer is \"00\", expected 64 digits"),
        ("bestblockhash", json!("g".repeat(64)), "bestblockhash in the node's answer is"),
        ("chainwork", json!(7), "chainwork in the node's answer is 7, expected a text"),
        ("initialblockdownload", Value::Null, "the node's answer has no initialblockdownload"),
    ];
    for (field, value, said) in wrong {
        let error = ChainInfo::parse(&with(chain_info(), field, value)).unwrap_err().to_string();
        assert!(error.starts_with(said) && error.len() < 400, "{field}: {error}");
    }
    for shape in ["[]", "null", "7", "{\"chain\"", ""] {
        let error = ChainInfo::parse(shape).unwrap_err();
        assert!(matches!(error, AnswerError::Shape { method: "getblockchaininfo", .. }), "{shape}: {error}");
    }
}

#[test]
fn peers_and_tips_are_read_and_strange_ones_are_not() {
    let network = r#"{"version":310000,"subversion":"/Satoshi:31.0.0/","connections":8,"warnings":[]}"#;
    assert_eq!(NetworkInfo::parse(network), Ok(NetworkInfo { connections: 8 }));
    assert_eq!(NetworkInfo::parse("{}"), Err(AnswerError::Missing("connections")));
    let hash = tip(&format!(r#"{{"hash":"{TIP}","height":5}}"#)).unwrap();
    assert_eq!(hash.to_string(), TIP);
    assert_eq!(best_block(&format!("\"{TIP}\"")), Ok(hash));
    assert!(best_block("null").is_err() && best_block("\"\"").is_err());
    assert!(tip("{}").is_err() && tip(&format!("[\"{TIP}\"]")).is_err());
}

/// A recorded answer as the reply that it was.
fn reply(answer: &Value) -> String {
    json!({"result": answer["result"], "error": answer["error"], "id": 1}).to_string()
}

fn read<'a>(answer: &Value, reply: &'a str) -> Result<&'a str, RpcFault> {
    json_rpc::result(answer["http_status"].as_u64().unwrap() as u16, reply.as_bytes(), 1).map(RawValue::get)
}

/// The recorded answers to blocks and proposals, with the name of the case.
fn cases() -> Vec<(String, Value, Value)> {
    let vectors: Value =
        serde_json::from_str(include_str!("../../../tests/vectors/gbt-vectors.json")).unwrap();
    let case = |case: &Value| {
        (case["name"].to_string(), case["submitblock_answer"].clone(), case["proposal_answer"].clone())
    };
    vectors["cases"].as_array().unwrap().iter().map(case).collect()
}

#[test]
fn every_recorded_answer_to_a_block_has_its_verdict() {
    let cases = cases();
    assert_eq!(cases.len(), 45);
    for (name, answer, _) in &cases {
        let reply = reply(answer);
        let verdict = Verdict::of(read(answer, &reply));
        match (answer["result"].as_str(), verdict) {
            (None, Verdict::Accepted) => assert!(answer["error"].is_null(), "{name}"),
            (None, Verdict::Refused { reason, .. }) => {
                assert_eq!(reason, answer["error"]["message"], "{name}");
            }
            (Some("duplicate"), Verdict::AskChain(Doubt::Duplicate))
            | (Some("inconclusive"), Verdict::AskChain(Doubt::Inconclusive))
            | (Some("prev-blk-not-found"), Verdict::NoParent) => {}
            (Some("time-too-new"), Verdict::Again { reason }) => {
                assert!(reason.starts_with("time-too-new: "), "{name}");
            }
            (Some(word), Verdict::Refused { reason, .. })
                if !matches!(word, "duplicate" | "inconclusive" | "prev-blk-not-found" | "time-too-new") =>
            {
                assert_eq!(reason, word, "{name}");
            }
            (word, verdict) => panic!("{name}: {word:?} is read as {verdict:?}"),
        }
    }
}

#[test]
fn every_recorded_answer_to_a_proposal_is_told_apart() {
    for (name, _, answer) in cases() {
        let reply = reply(&answer);
        let proposal = Proposal::of(read(&answer, &reply)).unwrap();
        match (answer["result"].as_str(), proposal) {
            (None, Proposal::Sound) => assert!(answer["error"].is_null(), "{name}"),
            (None, Proposal::Refused { reason, .. }) => {
                assert_eq!(reason, answer["error"]["message"], "{name}");
            }
            (Some("inconclusive-not-best-prevblk"), Proposal::NotOnTip)
            | (Some("duplicate" | "duplicate-invalid" | "duplicate-inconclusive"), Proposal::Known) => {}
            (Some(word), Proposal::Refused { reason, explanation: Some(_) }) if !word.contains("nclus") => {
                assert_eq!(reason, word, "{name}");
            }
            (word, proposal) => panic!("{name}: {word:?} is read as {proposal:?}"),
        }
    }
}

#[test]
fn a_block_is_not_given_up_for_the_state_of_its_node_nor_for_words_we_do_not_know() {
    for fault in [
        RpcFault::Unauthorized,
        RpcFault::Forbidden,
        RpcFault::Busy,
        RpcFault::WarmingUp("Verifying blocks…".into()),
        RpcFault::Verify("disk".into()),
        RpcFault::Empty { status: 500 },
    ] {
        let reason = fault.to_string();
        assert_eq!(Verdict::of(Err(fault)), Verdict::Again { reason });
    }
    for (text, shown) in
        [("\"bad-novelty\\u001b\"", "bad-novelty"), ("{\"a\":1}", "{\"a\":1}"), ("true", "true")]
    {
        let verdict = Verdict::of(Ok(text));
        assert_eq!(verdict, Verdict::AskChain(Doubt::Unknown(shown.to_owned())));
    }
    let failed = Verdict::of(Ok("\"block-script-verify-flag-failed (Operation not valid)\""));
    assert_eq!(
        failed.to_string(),
        "block-script-verify-flag-failed (Operation not valid): a script of a transaction fails"
    );
    let strange = Proposal::of(Ok("1"));
    assert_eq!(strange, Err(RpcFault::Malformed { what: "1".into() }));
    assert_eq!(Proposal::of(Err(RpcFault::Busy)), Err(RpcFault::Busy));
    let unknown = Proposal::of(Ok("\"bad-novelty\""));
    assert_eq!(unknown, Ok(Proposal::Refused { reason: "bad-novelty".into(), explanation: None }));
}

proptest! {
    #[test]
    fn no_answer_makes_a_reader_panic(
        field in "(chain|blocks|headers|bestblockhash|chainwork|mediantime|bits|hash|height|connections)",
        value in prop_oneof![
            Just(json!(null)), any::<i64>().prop_map(Value::from), any::<f64>().prop_map(Value::from),
            ".{0,70}".prop_map(Value::from), Just(json!([[]])), Just(json!({})),
        ],
    ) {
        for answer in [with(chain_info(), &field, value.clone()), with(header(), &field, value.clone()),
            value.to_string(), json!([value]).to_string()] {
            let errors = [ChainInfo::parse(&answer).err(), HeaderInfo::parse(&answer).err(),
                NetworkInfo::parse(&answer).err(), tip(&answer).err(),
                best_block(&answer).err()];
            prop_assert!(errors.iter().flatten().all(|error| error.to_string().len() < 1000));
        }
    }
}
