use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::protocol::payout_watch::PayoutTerms;
use crate::protocol::redirect::RedirectRequest;
use crate::protocol::session_config::{Deadlines, Suggestion};
use crate::work::{Extranonce2, Share, Work};

mod habits;
mod hostile;
mod optional;
mod payout;

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
        suggest_difficulty: Suggestion::Off,
        payout: PayoutTerms { addresses: Vec::new(), min_share: 0.98 },
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
        suggest_difficulty: Suggestion::Fixed(Difficulty::new(0.5).unwrap()),
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
