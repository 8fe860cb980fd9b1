//! What a pool gets wrong, by mistake or on purpose.

use super::*;

#[test]
fn every_wrong_field_of_a_job_gives_one_clear_complaint_and_the_next_good_job_counts() {
    let good = json!(["j", "00".repeat(32), "01", "02", [], "20000000", "1d00ffff", "60000000", true]);
    let branches: Vec<_> = (0..10_000).map(|_| "00".repeat(32)).collect();
    for (index, value, complaint) in [
        (0, json!(""), "the job id is \"\", expected a text of 1 to 128 characters"),
        (0, json!("x".repeat(129)), "expected a text of 1 to 128 characters"),
        (0, json!({"a": 1}), "the job id is {\"a\":1}, expected"),
        (1, json!("00"), "prevhash is \"00\", expected 64 hex digits"),
        (2, json!("0g"), "coinb1 is \"0g\", expected an even number of hex digits"),
        (2, json!("012"), "coinb1 is \"012\", expected an even number of hex digits"),
        (3, json!(5), "coinb2 is 5, expected an even number of hex digits"),
        (3, json!("00".repeat(525_000)), "coinb1 and coinb2 together is"),
        (4, json!("x"), "the merkle branch is \"x\", expected a list"),
        (4, json!(["zz"]), "a merkle branch is \"zz\", expected 64 hex digits"),
        (4, json!(branches), "the merkle branch is a list of 10000, expected at most 32 entries"),
        (5, json!("200000000"), "the version is \"200000000\", expected 1 to 8 hex digits"),
        (5, json!("0x200000"), "the version is \"0x200000\", expected 1 to 8 hex digits"),
        (6, json!(null), "nbits is missing, expected 1 to 8 hex digits"),
        (6, json!(""), "nbits is \"\", expected 1 to 8 hex digits"),
        (6, json!("0x1d00ff"), "nbits is \"0x1d00ff\", expected 1 to 8 hex digits"),
        (7, json!("-1"), "ntime is \"-1\", expected 8 hex digits"),
        (7, json!("1"), "ntime is \"1\", expected 8 hex digits"),
        (7, json!("0x600000"), "ntime is \"0x600000\", expected 8 hex digits"),
        (7, json!("0x60000000"), "ntime is \"0x60000000\", expected 8 hex digits"),
        (8, json!("yes"), "clean_jobs is \"yes\", expected true or false"),
    ] {
        let mut pair = Pair::new(config());
        pair.mining("0a0b");
        pair.events();
        let mut params = good.clone();
        params[index] = value;
        for _ in 0..3 {
            pair.says(json!({"method": "mining.notify", "params": params}));
        }
        let complaints = pair.complaints();
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        assert!(complaints[0].contains(complaint), "{} lacks {complaint}", complaints[0]);
        pair.says(json!({"method": "mining.notify", "params": good}));
        assert_eq!(pair.jobs().len(), 1);
    }
}

#[test]
fn a_difficulty_that_is_none_is_told_and_the_old_one_stays() {
    for number in ["0", "0.0", "-1", "1e300", "\"NaN\"", "1e999", "null", "[]", "{}"] {
        let mut pair = Pair::new(config());
        pair.mining("0a0b");
        pair.events();
        let line = format!(r#"{{"id":null,"method":"mining.set_difficulty","params":[{number}]}}"#);
        pair.says_text(&line).unwrap();
        assert_eq!(pair.complaints().len(), 1, "{number}");
        pair.notify("n", 1, false);
        assert_eq!(pair.jobs()[0].difficulty.value(), 1e-9);
    }
}

#[test]
fn nonsense_is_told_in_few_words_and_ten_lines_in_a_row_end_the_connection() {
    let mut pair = Pair::new(config());
    pair.mining("0a0b");
    pair.events();
    let deep = format!(r#"{{"id":1,"result":{}{}}}"#, "[".repeat(5000), "]".repeat(5000));
    let wide = format!(r#"{{"id":1,"result":[0{}]}}"#, ",0".repeat(100_000));
    for line in
        ["Invalid JSON, disconnecting", "[]", "\u{0}\u{1}", "{\"id\":1,\"id\":2}", &deep, &wide, "NaN", "{"]
    {
        pair.says_text(line).unwrap();
    }
    let complaints = pair.complaints();
    assert!(
        complaints.iter().all(|text| text.chars().count() < 250 && !text.contains('\u{0}')),
        "{complaints:?}"
    );
    pair.says_text("1").unwrap();
    assert!(matches!(pair.says_text("1"), Err(SessionError::BadLines(_))));
    let mut pair = Pair::new(config());
    pair.mining("0a0b");
    for _ in 0..30 {
        pair.says_text("nonsense").unwrap();
        pair.says(json!({"method": "mining.set_difficulty", "params": [1]}));
    }
}

#[test]
fn a_subscription_that_cannot_be_right_ends_the_connection_with_the_reason() {
    for (result, reason) in [
        (json!([[], "abc", 4]), "extranonce1 is \"abc\", expected 0 to 32 bytes as hex digits in pairs"),
        (json!([[], "00".repeat(33), 4]), "expected 0 to 32 bytes as hex digits in pairs"),
        (json!([[], "00", 33]), "the extranonce2 size is 33, expected a whole number from 0 to 32"),
        (json!([[], "00", -1]), "the extranonce2 size is -1"),
        (json!([[], "00"]), "the extranonce2 size is missing"),
        (json!([]), "extranonce1 is missing"),
    ] {
        let mut pair = Pair::connected();
        let error =
            pair.says_text(&json!({"id": 2, "result": result, "error": null}).to_string()).unwrap_err();
        assert!(error.to_string().contains(reason), "{error} lacks {reason}");
    }
}

#[test]
fn requests_of_the_pool_are_answered_under_their_own_ids_even_when_ours_are_the_same() {
    let mut pair = Pair::connected();
    pair.sent();
    pair.says(json!({"id": 2, "method": "mining.ping", "params": []}));
    pair.says(json!({"id": "v", "method": "client.get_version", "params": []}));
    pair.says(json!({"id": 1, "method": "mining.capabilities", "params": []}));
    pair.says(json!({"id": null, "method": "mining.set_goal", "params": []}));
    assert_eq!(
        pair.sent(),
        [
            json!({"id": 2, "result": "pong", "error": null}),
            json!({"id": "v", "result": "signalcore/test", "error": null}),
            json!({"id": 1, "result": null, "error": [-3, "Method not found", null]}),
        ]
    );
    pair.says(json!({"id": 2, "result": [[], "01", 4], "error": null}));
    assert_eq!(methods(&pair.sent()), ["mining.authorize"]);
}

#[test]
fn messages_and_redirects_reach_the_operator_made_harmless() {
    let mut pair = Pair::new(config());
    pair.mining("0a0b");
    pair.events();
    pair.says(json!({"method": "client.show_message", "params": ["hello\u{1b}]0;x\u{7}"]}));
    pair.says(json!({"method": "client.reconnect", "params": ["thief.org", 3333, 0]}));
    pair.says_text(r#"{"method":"client.reconnect","params":["\u001b[2J\u0007evil\n",1,0]}"#).unwrap();
    pair.says(json!({"method": "client.reconnect", "params": ["", "4444", 5]}));
    let events = pair.events();
    assert!(matches!(&events[0], Event::Message(text) if text == "hello]0;x"));
    assert!(
        matches!(&events[1], Event::Complaint(text) if text.contains("thief.org is not of this pool's domain"))
    );
    assert!(matches!(&events[2], Event::Complaint(text) if !text.contains(char::is_control)), "{events:?}");
    let Event::Redirect(to, wait) = &events[3] else { panic!("{events:?}") };
    assert_eq!((to.port, *wait), (4444, Duration::from_secs(5)));
    assert_eq!(RedirectRequest::default().host, None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_line_whatsoever_makes_the_session_panic(
        lines in proptest::collection::vec(
            r#"(\{|"id":[0-9]|"method":"(mining\.(notify|set_difficulty|set_extranonce|set_version_mask|ping)|client\.[a-z_]{4,12})"|"params":\[("[0-9a-f]{0,8}",?|[0-9.e-]{1,5},?|null,?|\[\],?|true,?){0,10}\]|"result":(true|null|\[\[\],"[0-9a-f]{0,4}",[0-9]\])|,|\}|.){1,12}"#,
            0..30,
        )
    ) {
        let mut pair = Pair::connected();
        for line in lines {
            if pair.says_text(&line).is_err() || pair.passes(1).is_err() {
                pair.session.handle_disconnected(true);
                pair.connect();
            }
            pair.sent();
            pair.events();
        }
    }
}

#[test]
fn a_line_that_is_one_long_text_is_told_in_few_words_at_the_end_too() {
    let mut pair = Pair::connected();
    let line = format!("\"{}\"", "x".repeat(100_000));
    let last = (0..MAX_BAD_LINES).map(|_| pair.says_text(&line)).last().unwrap();
    let error = last.unwrap_err().to_string();
    assert!(error.chars().count() < 350 && error.contains("not a JSON object"), "{error}");
}

#[test]
fn a_new_mask_and_new_extranonces_count_from_the_next_job_on() {
    let mut pair = Pair::new(config());
    pair.mining("0a0b");
    pair.events();
    pair.says(json!({"method": "mining.set_version_mask", "params": ["00006000"]}));
    pair.says(json!({"method": "mining.set_extranonce", "params": ["cc", 2]}));
    pair.notify("n", 1, false);
    let job = pair.jobs().remove(0);
    assert_eq!(job.version_mask.bits(), 0x6000);
    assert_eq!(
        (job.coinbase.extranonce1.to_string().as_str(), job.coinbase.extranonce2_size.bytes()),
        ("cc", 2)
    );
    pair.submit(&job);
    assert_eq!(pair.sent()[0]["params"].as_array().unwrap().len(), 6);
}
