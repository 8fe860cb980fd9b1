use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::work::vectors::{self, bytes32_reversed};

static TEMPLATES: LazyLock<BTreeMap<String, Value>> = LazyLock::new(|| vectors::gbt().templates);

fn other_network(name: &str) -> Value {
    vectors::gbt().templates_of_other_networks_for_parsing_only.remove(name).unwrap()
}

fn parse(template: &Value) -> Result<Template, TemplateError> {
    Template::parse(&template.to_string())
}

/// The template of 13 transactions with `change` done to it.
fn changed(change: impl FnOnce(&mut Value)) -> Result<Template, TemplateError> {
    let mut template = TEMPLATES["t09"].clone();
    change(&mut template);
    parse(&template)
}

#[test]
fn every_recorded_template_is_read_as_it_was_meant() {
    assert_eq!(TEMPLATES.len(), 19);
    for (name, given) in &*TEMPLATES {
        let template = parse(given).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(u64::from(template.height()), given["height"], "{name}");
        assert_eq!(template.reward().value, given["coinbasevalue"], "{name}");
        assert_eq!(u64::from(template.header().ntime), given["curtime"], "{name}");
        assert_eq!(u64::from(template.mintime()), given["mintime"], "{name}");
        assert_eq!(u64::from(template.header().version), given["version"], "{name}");
        assert_eq!(format!("{:08x}", template.header().nbits), given["bits"], "{name}");
        assert_eq!(template.target().to_string(), given["target"], "{name}");
        let prev_hash = bytes32_reversed(given["previousblockhash"].as_str().unwrap());
        assert_eq!(template.header().prev_hash, prev_hash, "{name}");
        let commitment = hex::encode(template.reward().commitment.unwrap());
        assert_eq!(commitment, given["default_witness_commitment"], "{name}");
        let list = given["transactions"].as_array().unwrap();
        let txids: Vec<_> = list.iter().map(|one| bytes32_reversed(one["txid"].as_str().unwrap())).collect();
        assert_eq!(template.transactions().txids(), txids, "{name}");
        let sum = |field: &str| list.iter().map(|one| one[field].as_u64().unwrap()).sum::<u64>();
        assert_eq!(template.transactions().weight(), sum("weight"), "{name}");
        assert_eq!(template.transactions().sigops(), sum("sigops"), "{name}");
        assert_eq!(template.transactions().fees(), sum("fee"), "{name}");
    }
}

#[test]
fn segwit_is_decided_by_the_rules_and_not_by_the_commitment_that_is_given() {
    let before = parse(&other_network("testnet3-height1-before-segwit")).unwrap();
    assert_eq!(before.reward().commitment, None);
    assert_eq!((before.limits().sigops, before.limits().size), (20_000, 1_000_000));
    let testnet4 = parse(&other_network("testnet4-height1")).unwrap();
    assert!(testnet4.reward().commitment.is_some());
    let absent = changed(|t| drop(t.as_object_mut().unwrap().remove("default_witness_commitment"))).unwrap();
    assert_eq!(absent.reward(), changed(|_| {}).unwrap().reward());
}

#[test]
fn a_signet_that_wants_signatures_is_refused_and_an_open_one_is_mined() {
    let mut signet = other_network("signet-default-height1");
    assert!(
        matches!(parse(&signet), Err(TemplateError::SignedSignet(challenge)) if challenge.starts_with("5121"))
    );
    signet["signet_challenge"] = json!("51");
    parse(&signet).unwrap();
    signet.as_object_mut().unwrap().remove("signet_challenge");
    assert_eq!(parse(&signet), Err(TemplateError::Missing("signet_challenge")));
}

#[test]
fn signalled_and_required_bits_are_not_rolled_and_required_ones_are_forced() {
    let signalling = parse(&other_network("regtest-signalling-bit28")).unwrap();
    assert_eq!(signalling.header().version, 0x3000_0000);
    assert_eq!(signalling.version_mask().bits(), 0x0fff_e000);
    assert_eq!(changed(|_| {}).unwrap().version_mask(), VersionMask::BIP320);
    let required = changed(|t| t["vbrequired"] = json!(1 << 14)).unwrap();
    assert_eq!(required.header().version, 0x2000_4000);
    assert_eq!(required.version_mask().bits(), 0x1fff_a000);
}

#[test]
fn a_rule_that_must_be_known_and_is_not_is_named() {
    let error = changed(|t| t["rules"] = json!(["!segwit", "!new\u{7}"])).unwrap_err();
    assert_eq!(error, TemplateError::UnknownRule("!new\\u{7}".into()));
    changed(|t| t["rules"] = json!(["!segwit", "new"])).unwrap();
}

#[test]
fn auxiliary_bytes_are_read_in_the_order_of_their_names() {
    let template = changed(|t| t["coinbaseaux"] = json!({"b": "02", "a": "01ff"})).unwrap();
    assert_eq!(template.reward().aux, [1, 0xff, 2]);
}

#[test]
fn every_wrong_field_is_named_with_its_value_and_what_was_expected() {
    let long = "00".repeat(65);
    let cases = [
        ("version", json!(3), "from 4 to 2147483647"),
        ("version", json!(-1), "from 4"),
        ("version", json!(5.5), "a whole number"),
        ("rules", json!([7]), "a text"),
        ("rules", json!("!segwit"), "a list"),
        ("vbavailable", json!([28]), "an object"),
        ("coinbaseaux", json!(0), "an object"),
        ("vbavailable", json!({"x": 29}), "from 0 to 28"),
        ("vbrequired", json!(1u64 << 29), "from 0 to 536870911"),
        ("previousblockhash", json!("abc"), "64 digits of hexadecimal"),
        ("previousblockhash", json!("00".repeat(32)), "the hash of a block"),
        ("coinbaseaux", json!({"flags": "xy"}), "at most 64 bytes as hexadecimal"),
        ("coinbaseaux", json!({"flags": long}), "at most 64 bytes as hexadecimal"),
        ("coinbasevalue", json!(5_007_314_548u64), "7314547 of fees and a subsidy of 5000000000"),
        ("coinbasevalue", json!(MAX_MONEY + 1), "from 0 to 2100000000000000"),
        ("target", json!("00".repeat(32)), "what bits stands for"),
        ("bits", json!("207ffffg"), "8 digits of hexadecimal"),
        ("bits", json!("00000000"), "which no hash can meet"),
        ("bits", json!("20ffffff"), "is negative"),
        ("mintime", json!(1u64 << 32), "from 0 to 4294967295"),
        ("curtime", json!(1_795_336_586), "from 1795336587"),
        ("height", json!(0), "from 1 to 499999999"),
        ("height", json!(500_000_000), "from 1 to 499999999"),
        ("height", json!("132"), "a whole number"),
        ("sigoplimit", json!("many"), "a whole number"),
        ("default_witness_commitment", json!("6a24aa21a9ed"), "as the transactions give it"),
    ];
    for (field, value, expected) in cases {
        let error = changed(|t| t[field] = value.clone()).unwrap_err().to_string();
        assert!(error.contains(field) && error.contains(expected), "{field} {value}: {error}");
    }
    for limit in ["weightlimit", "sizelimit"] {
        let error = changed(|t| t[limit] = json!(1)).unwrap_err().to_string();
        assert!(error.contains("expected at most"), "{limit}: {error}");
    }
}

#[test]
fn every_field_that_must_be_there_is_missed() {
    let needed =
        "version previousblockhash transactions coinbasevalue target mintime curtime bits height".split(' ');
    for field in needed {
        let error = changed(|t| drop(t.as_object_mut().unwrap().remove(field))).unwrap_err();
        assert_eq!(error.to_string(), format!("the template has no {field}"));
    }
    for field in ["data", "txid", "hash", "fee", "sigops", "weight"] {
        let error = changed(|t| drop(t["transactions"][0].as_object_mut().unwrap().remove(field)));
        let expected = format!("in transaction 1 of the template: the template has no {field}");
        assert_eq!(error.unwrap_err().to_string(), expected);
    }
}

#[test]
fn every_wrong_field_of_a_transaction_is_named_with_its_place() {
    let coinbase = vectors::gbt().cases[0].coinbase["hex_without_witness"].clone();
    let txid = vectors::gbt().cases[0].coinbase["txid_display"].clone();
    let cases = [
        ("data", json!("0"), "hexadecimal"),
        ("data", json!("00"), "a transaction"),
        ("txid", json!("11".repeat(32)), "of its data"),
        ("hash", json!("11".repeat(32)), "of its data"),
        ("depends", json!([3]), "the number of a transaction before it"),
        ("depends", json!([0]), "the number of a transaction before it"),
        ("depends", json!(["1"]), "the number of a transaction before it"),
        ("depends", json!(1), "a list"),
        ("fee", json!(-1), "from 0"),
        ("sigops", json!(80_001), "at most 80000 in all"),
        ("weight", json!(1), "of its data"),
    ];
    for (field, value, expected) in cases {
        let error = changed(|t| t["transactions"][2][field] = value.clone()).unwrap_err().to_string();
        let has_place = error.contains("transaction 3") || error.contains("in all");
        assert!(has_place && error.contains(field) && error.contains(expected), "{field} {value}: {error}");
    }
    let first = changed(|t| t["transactions"][0]["depends"] = json!([1])).unwrap_err().to_string();
    assert!(first.contains("the number of a transaction before it"), "{first}");
    let error = changed(|t| {
        let one = &mut t["transactions"][0];
        (one["data"], one["txid"], one["hash"]) = (coinbase, txid.clone(), txid);
    });
    assert!(error.unwrap_err().to_string().contains("expected no coinbase"));
    let unwitnessed = changed(|t| t["rules"] = json!(["csv"])).unwrap_err().to_string();
    assert!(unwitnessed.contains("segwit is not among the rules"), "{unwitnessed}");
}

#[test]
fn texts_with_escapes_are_read_as_those_without() {
    let plain = TEMPLATES["t09"].to_string();
    let escaped = plain.replace(r#""data":"0"#, r#""data":"\u0030"#).replace("segwit", r"s\u0065gwit");
    assert_ne!(escaped, plain);
    assert_eq!(Template::parse(&escaped), Template::parse(&plain));
    assert!(Template::parse(&plain).is_ok());
}

#[test]
fn of_members_with_one_name_the_last_counts_and_of_fields_none() {
    let given = |text: &str| serde_json::from_str::<Given<'_>>(text).unwrap().to_string();
    assert_eq!(given(r#"{"b":1,"a":[null,-1,0.5],"b":"x\ty"}"#), r#"{"a":[null,-1,0.5],"b":"x\ty"}"#);
    let twice = TEMPLATES["t09"].to_string().replacen('{', r#"{"height":1,"#, 1);
    assert!(matches!(Template::parse(&twice), Err(TemplateError::Json(error)) if error.contains("height")));
}

#[test]
fn what_is_no_template_at_all_is_told_in_few_and_harmless_characters() {
    for text in [json!("\u{1b}[31m".repeat(500)), json!({"transactions": "\u{7}".repeat(500)})] {
        let complaint = parse(&text).unwrap_err().to_string();
        assert!(complaint.len() < 700 && !complaint.contains(char::is_control), "{complaint}");
        assert!(
            complaint.starts_with("the template is not what getblocktemplate answers: invalid type: string")
        );
    }
}

/// Any JSON, a few levels deep.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        "[0-9a-f]{0,80}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map("[a-z]{0,8}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn values_are_read_and_shown_as_by_other_code(value in any_json()) {
        let text = value.to_string();
        let given: Given<'_> = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(serde_json::from_str::<Value>(&given.to_string()).unwrap(), value);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in ".{0,200}") {
        let _ = Template::parse(&text);
    }

    #[test]
    fn no_json_makes_the_parser_panic(value in any_json()) {
        let _ = parse(&value);
    }

    #[test]
    fn no_value_of_any_field_makes_the_parser_panic(value in any_json(), at in any::<prop::sample::Index>(), inner in any::<bool>()) {
        let _ = changed(|template| {
            let place = if inner { &mut template["transactions"][5] } else { template };
            let mut fields: Vec<_> = place.as_object_mut().unwrap().values_mut().collect();
            let place = at.index(fields.len());
            *fields[place] = value;
        });
    }

    #[test]
    fn no_cut_or_changed_byte_makes_the_parser_panic(at in any::<prop::sample::Index>(), digit in "[0-9a-f\",:\\[\\]{}-]") {
        let mut text = TEMPLATES["t08"].to_string();
        let place = at.index(text.len());
        let _ = Template::parse(&text[..place]);
        text.replace_range(place..=place, &digit);
        let _ = Template::parse(&text);
    }
}

#[test]
fn an_empty_template_on_the_next_block_is_the_one_that_the_node_would_give() {
    let vectors = vectors::gbt();
    let templates: Vec<_> = vectors.templates.values().map(|template| parse(template).unwrap()).collect();
    let empty = |template: &&Template| template.transactions().txids().is_empty();
    let mut compared = 0;
    for node in templates.iter().filter(empty) {
        let Some(before) = templates.iter().find(|before| before.height() < node.height()) else { continue };
        let tip = NewTip {
            hash: node.header().prev_hash,
            height: node.height() - 1,
            median_time: node.mintime() - 1,
            nbits: node.header().nbits,
            difficulty: DifficultyRule::Constant,
        };
        let ours = before.empty_on(&tip, node.header().ntime.into()).unwrap();
        assert_eq!(ours.header().ntime, node.header().ntime);
        assert_eq!(ours.reward(), node.reward());
        assert_eq!(
            (ours.height(), ours.target(), ours.mintime()),
            (node.height(), node.target(), node.mintime())
        );
        compared += 1;
    }
    assert!(compared > 2);
    let tip =
        |height, difficulty| NewTip { hash: [1; 32], height, median_time: 5, nbits: 0x1d00_ffff, difficulty };
    let template = &templates[0];
    assert!(template.empty_on(&tip(2014, DifficultyRule::Period), 9).is_some());
    assert_eq!(template.empty_on(&tip(2015, DifficultyRule::Period), 9), None, "the difficulty changes");
    assert_eq!(template.empty_on(&tip(5, DifficultyRule::Other), 9), None);
    let late = template.empty_on(&tip(839_999, DifficultyRule::Constant), 3).unwrap();
    assert_eq!(late.header().ntime, 6, "a clock that is behind is not believed");
}
