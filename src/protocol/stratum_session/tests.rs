use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::protocol::redirect::RedirectRequest;
use crate::protocol::session_config::Deadlines;
use crate::work::{Extranonce2, Work};

/// A session, the pool at its other end (the test's words) and a clock that only the test moves.
struct Pair {
    session: Session,
    now: Instant,
    next_nonce: u32,
}

const DEADLINES: Deadlines = Deadlines {
    handshake: Duration::from_secs(15),
    first_job: Duration::from_secs(60),
    silence: Duration::from_secs(180),
    answer: Duration::from_secs(120),
};

fn config() -> SessionConfig {
    SessionConfig {
        credentials: Credentials { user: "u.w".into(), password: "secret".into() },
        user_agent: "signalcore/test".into(),
        version_rolling: true,
        extranonce_subscribe: false,
        suggest_difficulty: None,
        deadlines: DEADLINES,
    }
}

impl Pair {
    fn new(config: SessionConfig) -> Self {
        let pool = Destination { host: "pool.example.com".into(), port: 3333 };
        let session = Session::new(config, RedirectPolicy::new(pool, false));
        Self { session, now: Instant::now(), next_nonce: 0 }
    }

    fn connected() -> Self {
        let mut pair = Self::new(config());
        pair.connect();
        pair
    }

    fn connect(&mut self) {
        self.session.handle_connected(self.now);
    }

    /// A connection with rolling, extranonce1 `en1`, difficulty 1e-9 and one clean job.
    fn mining(&mut self, en1: &str) {
        self.connect();
        self.sent();
        self.says(json!({"id": 1, "result": {"version-rolling": true, "version-rolling.mask": "1fffe000"}, "error": null}));
        self.says(json!({"id": 2, "result": [[["mining.notify", "s1"]], en1, 4], "error": null}));
        self.says(json!({"id": 3, "result": true, "error": null}));
        self.says(json!({"method": "mining.set_difficulty", "params": [1e-9]}));
        self.notify("first", 1, true);
        self.sent();
    }

    fn says(&mut self, line: Value) {
        self.says_text(&line.to_string()).unwrap();
    }

    fn says_text(&mut self, line: &str) -> Result<(), SessionError> {
        self.session.handle_line(line, self.now)
    }

    fn notify(&mut self, id: &str, tip: u8, clean: bool) {
        let tip = hex::encode([tip; 32]);
        self.says(json!({"id": null, "method": "mining.notify",
            "params": [id, tip, "01", "02", [], "20000000", "1d00ffff", "60000000", clean]}));
    }

    fn sent(&mut self) -> Vec<Value> {
        std::iter::from_fn(|| self.session.poll_transmit())
            .map(|line| serde_json::from_str(line.strip_suffix('\n').unwrap()).unwrap())
            .collect()
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.session.poll_event()).collect()
    }

    fn jobs(&mut self) -> Vec<Arc<Job>> {
        let job = |event| if let Event::Job(job) = event { Some(job) } else { None };
        self.events().into_iter().filter_map(job).collect()
    }

    fn complaints(&mut self) -> Vec<String> {
        let complaint = |event| if let Event::Complaint(text) = event { Some(text) } else { None };
        self.events().into_iter().filter_map(complaint).collect()
    }

    fn outcomes(&mut self) -> Vec<Outcome> {
        let outcome =
            |event| if let Event::Answered(answered) = event { Some(answered.outcome) } else { None };
        self.events().into_iter().filter_map(outcome).collect()
    }

    /// A share of `job`, found by hashing.
    fn share(&mut self, job: &Arc<Job>) -> Box<Share> {
        let extranonce2 = Extranonce2::from_counter(7, job.coinbase.extranonce2_size);
        let work = Work::new(Arc::clone(job), extranonce2, job.header.ntime);
        loop {
            self.next_nonce += 1;
            if let Ok(share) = work.verify(job.header.version, self.next_nonce) {
                return Box::new(share);
            }
        }
    }

    fn submit(&mut self, job: &Arc<Job>) {
        let share = self.share(job);
        self.session.submit(share, self.now);
    }

    fn passes(&mut self, seconds: u64) -> Result<(), SessionError> {
        self.now += Duration::from_secs(seconds);
        self.session.handle_timeout(self.now)
    }
}

fn methods(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["method"].as_str().unwrap()).collect()
}

#[test]
fn a_connection_opens_with_configure_and_subscribe_and_authorizes_when_subscribed() {
    let mut pair = Pair::new(SessionConfig {
        extranonce_subscribe: true,
        suggest_difficulty: Some(Difficulty::new(0.5).unwrap()),
        ..config()
    });
    pair.connect();
    assert_eq!(
        pair.sent(),
        [
            json!({"id": 1, "method": "mining.configure", "params": [["version-rolling"],
                {"version-rolling.mask": "1fffe000", "version-rolling.min-bit-count": 1}]}),
            json!({"id": 2, "method": "mining.subscribe", "params": ["signalcore/test"]}),
        ]
    );
    pair.says(json!({"id": 2, "result": [[], "0a0b", 4], "error": null}));
    assert_eq!(pair.sent(), [json!({"id": 3, "method": "mining.authorize", "params": ["u.w", "secret"]})]);
    pair.says(json!({"id": 3, "result": true, "error": null}));
    let sent = pair.sent();
    assert_eq!(methods(&sent), ["mining.extranonce.subscribe", "mining.suggest_difficulty"]);
    assert_eq!(sent[1]["params"], json!([0.5]));
}

#[test]
fn answers_in_any_order_and_as_text_ids_find_their_requests() {
    let mut pair = Pair::connected();
    pair.notify("early", 1, true);
    pair.says(json!({"method": "mining.set_difficulty", "params": ["2"]}));
    pair.says(json!({"id": "2", "result": [["mining.notify", "x"], "", "4"], "error": null}));
    pair.says(json!({"id": "3", "result": true, "error": null}));
    let jobs = pair.jobs();
    assert_eq!((jobs.len(), jobs[0].difficulty.value(), jobs[0].version_mask), (1, 2.0, VersionMask::NONE));
    pair.says(json!({"id": 1, "result": {"version-rolling": true, "version-rolling.mask": "0x0000E000"}}));
    pair.notify("later", 1, false);
    assert_eq!(
        pair.jobs()[0].version_mask.bits(),
        0xe000,
        "a late answer to configure counts from the next job on"
    );
}

#[test]
fn a_share_is_submitted_in_the_pools_own_spelling_and_its_answer_ends_it() {
    let mut pair = Pair::new(config());
    pair.mining("0a0b");
    let job = pair.jobs().remove(0);
    pair.submit(&job);
    let nonce = format!("{:08x}", pair.next_nonce);
    let sent = pair.sent();
    assert_eq!(
        sent,
        [json!({"id": 4, "method": "mining.submit",
            "params": ["u.w", "first", "00000007", "60000000", nonce, "00000000"]})]
    );
    assert!(!pair.session.is_settled());
    pair.says(json!({"id": 4, "result": true, "error": null}));
    assert_eq!(pair.outcomes(), [Outcome::Accepted]);
    assert!(pair.session.is_settled());
    pair.says(json!({"id": 4, "result": true, "error": null}));
    assert_eq!(pair.complaints(), ["an answer that belongs to no request"]);
}

#[test]
fn many_shares_are_answered_in_any_order_each_once() {
    let mut pair = Pair::new(config());
    pair.mining("0a0b");
    let job = pair.jobs().remove(0);
    for _ in 0..40 {
        pair.submit(&job);
    }
    for id in (4..44).rev() {
        pair.says(json!({"id": id, "result": id % 2 == 0, "error": null}));
    }
    let outcomes = pair.outcomes();
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Accepted).count(), 20);
    assert_eq!(outcomes.len(), 40);
}

#[test]
fn a_share_of_a_job_before_the_last_clean_one_is_not_sent() {
    let mut pair = Pair::new(config());
    pair.mining("0a0b");
    let old = pair.jobs().remove(0);
    pair.notify("second", 1, false);
    pair.submit(&old);
    assert_eq!(pair.sent().len(), 1, "a job that is not clean leaves the older one good");
    pair.notify("third", 1, true);
    pair.submit(&old);
    assert_eq!(pair.sent(), [] as [Value; 0]);
    assert_eq!(pair.outcomes(), [Outcome::Stale]);
}

#[test]
fn a_share_that_solves_a_block_is_sent_even_when_stale() {
    let mut pair = Pair::new(config());
    pair.mining("0a0b");
    pair.jobs();
    pair.says(json!({"method": "mining.notify",
        "params": ["easy", "00".repeat(32), "01", "02", [], "20000000", "207fffff", "60000000", true]}));
    let job = pair.jobs().remove(0);
    pair.notify("next", 9, true);
    let block = std::iter::repeat_with(|| pair.share(&job)).find(|share| share.solves_block()).unwrap();
    pair.session.submit(block, pair.now);
    assert_eq!(methods(&pair.sent()), ["mining.submit"]);
}

#[test]
fn shares_and_early_jobs_wait_for_the_authorisation_and_then_go() {
    let mut pair = Pair::new(config());
    pair.mining("0a0b");
    let job = pair.jobs().remove(0);
    pair.session.handle_disconnected(true);
    pair.connect();
    pair.says(json!({"id": 1, "result": {"version-rolling": true, "version-rolling.mask": "1fffe000"}}));
    pair.notify("early", 1, true);
    pair.says(json!({"id": 2, "result": [[], "0a0b", 4], "error": null}));
    pair.notify("newer", 1, false);
    pair.sent();
    pair.submit(&job);
    assert_eq!(pair.sent(), [] as [Value; 0]);
    assert!(pair.jobs().is_empty(), "a pool that may yet refuse the worker gives no work");
    pair.says(json!({"id": 3, "result": null, "error": null}));
    assert_eq!(methods(&pair.sent()), ["mining.submit"], "p2pool authorises with null");
    let jobs = pair.jobs();
    assert_eq!((jobs.len(), jobs[0].id.to_string().as_str()), (1, "newer"));
}

#[test]
fn a_resumed_connection_gets_the_unanswered_shares_again() {
    let mut pair = Pair::new(config());
    pair.mining("0a0b");
    let job = pair.jobs().remove(0);
    pair.submit(&job);
    pair.session.handle_disconnected(true);
    pair.submit(&job);
    pair.sent();
    pair.connect();
    let hello = pair.sent();
    assert_eq!(hello[1]["params"], json!(["signalcore/test", "s1"]));
    pair.says(json!({"id": 1, "result": {"version-rolling": true, "version-rolling.mask": "1fffe000"}}));
    pair.says(json!({"id": 2, "result": [[["mining.notify", "s1"]], "0a0b", 4], "error": null}));
    pair.says(json!({"id": 3, "result": true, "error": null}));
    pair.sent();
    pair.notify("again", 1, true);
    assert_eq!(methods(&pair.sent()), ["mining.submit", "mining.submit"]);
    pair.says(json!({"id": 4, "result": null, "error": [22, "Duplicate share", null]}));
    pair.says(json!({"id": 5, "result": true, "error": null}));
    assert_eq!(pair.outcomes(), [Outcome::Lost(LostReason::VerdictLost), Outcome::Accepted]);
}

#[test]
fn a_resumption_without_rolling_loses_the_shares_that_may_have_rolled() {
    let mut pair = Pair::new(config());
    pair.mining("0a0b");
    let job = pair.jobs().remove(0);
    pair.submit(&job);
    pair.session.handle_disconnected(true);
    pair.connect();
    pair.says(json!({"id": 1, "result": {"version-rolling": false}}));
    pair.says(json!({"id": 2, "result": [[], "0a0b", 4], "error": null}));
    pair.says(json!({"id": 3, "result": true, "error": null}));
    pair.says(json!({"method": "mining.set_version_mask", "params": ["1fffe000"]}));
    pair.notify("again", 1, true);
    pair.submit(&job);
    assert_eq!(pair.outcomes(), vec![Outcome::Lost(LostReason::ConnectionEnded); 2]);
    pair.notify("next", 1, false);
    assert_eq!(pair.jobs()[0].version_mask, VersionMask::NONE, "a mask after a refusal is none");
}

#[test]
fn another_host_learns_nothing_of_the_session_before() {
    let mut pair = Pair::new(config());
    pair.mining("0a0b");
    let job = pair.jobs().remove(0);
    pair.submit(&job);
    pair.session.handle_disconnected(true);
    pair.session.handle_moved();
    pair.connect();
    assert_eq!(pair.sent()[1]["params"], json!(["signalcore/test"]));
    pair.says(json!({"id": 2, "result": [[], "0a0b", 4], "error": null}));
    assert_eq!(pair.outcomes(), [Outcome::Lost(LostReason::ConnectionEnded)]);
}

#[test]
fn a_block_neither_expires_nor_gives_way_to_other_shares() {
    let mut pair = Pair::new(config());
    pair.mining("0a0b");
    let plain = pair.jobs().remove(0);
    pair.says(json!({"method": "mining.notify",
        "params": ["easy", "00".repeat(32), "01", "02", [], "20000000", "207fffff", "60000000", false]}));
    let easy = pair.jobs().remove(0);
    let block = std::iter::repeat_with(|| pair.share(&easy)).find(|share| share.solves_block()).unwrap();
    pair.session.submit(block, pair.now);
    for _ in 0..=crate::protocol::unanswered::MAX_UNANSWERED {
        let share = pair.share(&plain);
        pair.session.submit(share, pair.now);
    }
    pair.passes(121).unwrap();
    let lost = pair.outcomes().len();
    assert_eq!(lost, crate::protocol::unanswered::MAX_UNANSWERED + 1);
    assert!(!pair.session.is_settled(), "the block is still waited for");
    pair.says(json!({"id": 4, "result": true, "error": null}));
    assert_eq!(pair.outcomes(), [Outcome::Accepted]);
}

#[test]
fn difficulties_are_told_with_the_jobs_that_have_them_however_many_came_between() {
    let mut pair = Pair::new(config());
    pair.mining("0a0b");
    pair.events();
    for value in 1..1000 {
        pair.says(json!({"method": "mining.set_difficulty", "params": [value]}));
    }
    assert!(pair.events().is_empty());
    pair.notify("n", 1, false);
    let events = pair.events();
    assert!(matches!(events[..], [Event::Difficulty(d), Event::Job(_)] if d.value() == 999.0), "{events:?}");
    pair.notify("o", 1, false);
    assert!(matches!(pair.events()[..], [Event::Job(_)]));
}

#[test]
fn a_connection_that_is_not_resumed_loses_the_shares_with_a_reason() {
    let mut pair = Pair::new(config());
    pair.mining("0a0b");
    let job = pair.jobs().remove(0);
    pair.submit(&job);
    pair.session.handle_disconnected(true);
    assert_eq!(pair.outcomes(), [], "until the next connection shows whether it resumes");
    pair.mining("ffff");
    assert_eq!(pair.outcomes(), [Outcome::Lost(LostReason::ConnectionEnded)]);
    pair.submit(&job);
    assert_eq!(
        pair.outcomes(),
        [Outcome::Lost(LostReason::ConnectionEnded)],
        "a straggler of the old connection"
    );
}

#[test]
fn a_resumption_on_another_block_loses_the_shares_with_a_reason() {
    let mut pair = Pair::new(config());
    pair.mining("0a0b");
    let job = pair.jobs().remove(0);
    pair.submit(&job);
    pair.session.handle_disconnected(true);
    pair.connect();
    pair.says(json!({"id": 2, "result": [[], "0a0b", 4], "error": null}));
    pair.says(json!({"id": 3, "result": true, "error": null}));
    pair.notify("next", 2, true);
    assert_eq!(pair.outcomes(), [Outcome::Lost(LostReason::Replaced)]);
}

#[test]
fn a_share_that_is_never_answered_is_lost_after_its_deadline_connected_or_not() {
    let mut pair = Pair::new(config());
    pair.mining("0a0b");
    let job = pair.jobs().remove(0);
    pair.submit(&job);
    assert_eq!(pair.session.poll_timeout(), Some(pair.now + DEADLINES.answer));
    pair.passes(119).unwrap();
    assert_eq!(pair.outcomes(), []);
    pair.session.handle_disconnected(true);
    pair.passes(1).unwrap();
    assert_eq!(pair.outcomes(), [Outcome::Lost(LostReason::NoAnswer)]);
    assert_eq!(pair.session.poll_timeout(), None);
}

#[test]
fn too_many_unanswered_shares_give_up_the_oldest() {
    let mut pair = Pair::new(config());
    pair.mining("0a0b");
    let job = pair.jobs().remove(0);
    for _ in 0..crate::protocol::unanswered::MAX_UNANSWERED + 2 {
        pair.submit(&job);
    }
    assert_eq!(pair.outcomes(), vec![Outcome::Lost(LostReason::TooMany); 2]);
    pair.session.give_up();
    assert!(pair.outcomes().iter().all(|outcome| *outcome == Outcome::Lost(LostReason::Stopped)));
    assert!(pair.session.is_settled());
}

#[test]
fn each_stage_of_silence_has_its_deadline() {
    let mut pair = Pair::connected();
    pair.passes(14).unwrap();
    assert!(matches!(
        pair.passes(1),
        Err(SessionError::HandshakeTimeout { waiting_for: "mining.subscribe", .. })
    ));
    let mut pair = Pair::connected();
    pair.says(json!({"id": 2, "result": [[], "01", 4], "error": null}));
    assert!(matches!(
        pair.passes(15),
        Err(SessionError::HandshakeTimeout { waiting_for: "mining.authorize", .. })
    ));
    let mut pair = Pair::connected();
    pair.says(json!({"id": 2, "result": [[], "01", 4], "error": null}));
    pair.says(json!({"id": 3, "result": true, "error": null}));
    pair.passes(59).unwrap();
    assert_eq!(pair.passes(1), Err(SessionError::Silent(DEADLINES.first_job)));
    pair.notify("a", 1, true);
    pair.passes(100).unwrap();
    pair.says(json!({"method": "mining.set_difficulty", "params": [4]}));
    assert_eq!(pair.passes(80), Err(SessionError::Silent(DEADLINES.silence)), "only jobs are signs of life");
}

#[test]
fn refusals_name_the_user_and_the_pools_words_and_never_the_password() {
    let mut pair = Pair::connected();
    pair.says(json!({"id": 2, "result": [[], "01", 4], "error": null}));
    let refused = pair
        .says_text(r#"{"id":3,"result":false,"error":[24,"Unauthorized \u001b[31mworker",null]}"#)
        .unwrap_err();
    assert_eq!(refused.to_string(), r#"the pool refuses to authorise user "u.w": Unauthorized [31mworker"#);
    assert!(refused.is_refusal());
    assert!(!format!("{:?}", config()).contains("secret"));
}

#[test]
fn a_refused_subscribe_is_tried_without_parameters_the_next_time() {
    let mut pair = Pair::connected();
    let refused = pair.says_text(r#"{"id":2,"result":"Initialising","error":null}"#).unwrap_err();
    assert_eq!(refused.to_string(), "the pool refuses to subscribe us: Initialising");
    pair.session.handle_disconnected(true);
    pair.connect();
    assert_eq!(pair.sent()[1]["params"], json!([]));
}

#[test]
fn a_pool_that_hangs_up_on_configure_is_asked_without_it_and_again_with_it_once_it_served() {
    let mut pair = Pair::connected();
    pair.sent();
    pair.session.handle_disconnected(false);
    pair.connect();
    assert_eq!(methods(&pair.sent()), ["mining.configure", "mining.subscribe"], "we left, not the pool");
    pair.session.handle_disconnected(true);
    pair.connect();
    assert_eq!(methods(&pair.sent()), ["mining.subscribe"]);
    pair.says(json!({"id": 1, "result": [[], "01", 4], "error": null}));
    pair.says(json!({"id": 2, "result": true, "error": null}));
    pair.session.handle_disconnected(true);
    pair.connect();
    assert_eq!(
        methods(&pair.sent()),
        ["mining.configure", "mining.subscribe"],
        "it may only have been starting up"
    );
}

#[test]
fn a_pool_that_once_answered_configure_is_asked_again_however_it_hangs_up() {
    let mut pair = Pair::new(config());
    pair.mining("0a0b");
    pair.session.handle_disconnected(true);
    for _ in 0..2 {
        pair.connect();
        assert_eq!(methods(&pair.sent()), ["mining.configure", "mining.subscribe"]);
        pair.session.handle_disconnected(true);
    }
}

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
        (6, json!(null), "nbits is missing, expected 1 to 8 hex digits"),
        (7, json!("-1"), "ntime is \"-1\", expected 1 to 8 hex digits"),
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
        (json!([[], "00", 17]), "the extranonce2 size is 17, expected a whole number from 0 to 16"),
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
