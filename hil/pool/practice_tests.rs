//! The whole pool without sockets: miners that talk lines, and a clock that is an argument.

use std::time::Duration;

use proptest::prelude::{ProptestConfig, any, proptest};
use serde_json::{Value, json};

use super::*;
use crate::pool::{Difficulty, Reject, VardiffConfig};

#[path = "../tests/support/miner.rs"]
mod miner;
use miner::Miner;

/// A pool and the miners at it.
struct Table {
    pool: Practice,
    now: Instant,
    miners: BTreeMap<ConnectionId, Miner>,
    closed: Vec<ConnectionId>,
}

fn easy_config() -> PoolConfig {
    let difficulty = |value| Difficulty::new(value).unwrap();
    // So easy that a share takes some 430 hashes, and a block a few thousand.
    let vardiff = VardiffConfig {
        start: difficulty(1e-7),
        lowest: difficulty(1e-7),
        highest: difficulty(1e-7),
        ..PoolConfig::default().vardiff
    };
    PoolConfig { vardiff, block_every: Duration::from_hours(1), ..PoolConfig::default() }
}

impl Table {
    fn new(config: PoolConfig) -> Self {
        let now = Instant::now();
        let pool = Practice::new(config, now, 1_700_000_000);
        Self { pool, now, miners: BTreeMap::new(), closed: Vec::new() }
    }

    fn connect(&mut self) -> ConnectionId {
        let id = self.pool.handle_connect(self.now).unwrap();
        self.miners.insert(id, Miner::default());
        id
    }

    /// A connection that subscribed and authorized as "w", with or without version rolling.
    fn join(&mut self, rolling: bool) -> ConnectionId {
        let id = self.connect();
        if rolling {
            let options = json!({ "version-rolling.mask": "ffffffff", "version-rolling.min-bit-count": 1 });
            self.ask(id, "mining.configure", &json!([["version-rolling"], options]));
        }
        self.ask(id, "mining.subscribe", &json!(["test/1"]));
        self.ask(id, "mining.authorize", &json!(["w", "x"]));
        id
    }

    /// Sends a request with id 2 and returns the answer; the miner reads all the rest.
    fn ask(&mut self, id: ConnectionId, method: &str, params: &Value) -> Value {
        let line = json!({ "id": 2, "method": method, "params": params }).to_string();
        self.send(id, &line)
    }

    fn send(&mut self, id: ConnectionId, line: &str) -> Value {
        self.pool.handle_bytes(id, format!("{line}\n").as_bytes(), self.now);
        let mut answers = self.read();
        answers.pop().unwrap_or_default()
    }

    fn submit(&mut self, id: ConnectionId, share: &Value) -> Value {
        let answer = self.ask(id, "mining.submit", share);
        if answer["result"] == true { json!(true) } else { answer["error"][0].clone() }
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.pool.handle_timeout(self.now);
        self.read();
    }

    /// Delivers what the pool sent; the answers to requests come back.
    fn read(&mut self) -> Vec<Value> {
        let mut answers = Vec::new();
        while let Some(transmit) = self.pool.poll_transmit() {
            match transmit {
                Transmit::Close(id) => self.closed.push(id),
                Transmit::Line(id, line) => {
                    let line: Value = serde_json::from_str(&line).unwrap();
                    self.miners.get_mut(&id).unwrap().read(&line);
                    answers.extend(line["method"].is_null().then_some(line));
                }
            }
        }
        answers
    }

    fn rejected(&self, reason: Reject) -> u64 {
        self.pool.report(self.now).total.rejected.get(&reason).copied().unwrap_or(0)
    }
}

#[test]
fn a_good_share_is_accepted_once_and_then_a_duplicate() {
    let mut table = Table::new(easy_config());
    let id = table.join(false);
    let share = table.miners[&id].job().share("w", 0);
    assert_eq!(table.submit(id, &share), true);
    assert_eq!(table.submit(id, &share), 22);
    assert_eq!(table.rejected(Reject::Duplicate), 1);
}

#[test]
fn each_wrong_share_is_refused_with_its_code_and_counted_under_its_reason() {
    let mut table = Table::new(easy_config());
    let id = table.join(false);
    let job = table.miners[&id].job();
    let good = job.share("w", 0);
    let spoiled = |index: usize, value: Value| {
        let mut share = good.clone();
        share[index] = value;
        share
    };
    let mut with_bits = good.clone();
    with_bits.as_array_mut().unwrap().push(json!("00000000"));
    let cases = [
        (spoiled(0, json!("somebody")), 24, Reject::Unauthorized),
        (spoiled(1, json!("ffffffff0001")), 21, Reject::UnknownJob),
        (spoiled(2, json!("0000")), 20, Reject::Malformed),
        (spoiled(4, json!(7)), 20, Reject::Malformed),
        (json!(["w"]), 20, Reject::Malformed),
        (spoiled(3, json!("00000000")), 20, Reject::BadNtime),
        (with_bits, 20, Reject::BadVersion),
        (job.poor_share("w"), 23, Reject::LowDifficulty),
    ];
    for (share, code, reason) in cases {
        let before = table.rejected(reason);
        assert_eq!(table.submit(id, &share), code, "{reason:?}");
        assert_eq!(table.rejected(reason), before + 1, "{reason:?}");
    }
    assert_eq!(table.submit(id, &good), true, "the untouched share is good after all");
}

#[test]
fn a_share_of_the_job_before_a_clean_one_is_stale_and_before_another_is_not() {
    let mut table = Table::new(easy_config());
    let id = table.join(false);
    let first = table.miners[&id].job();
    assert!(first.clean);
    table.wait(Duration::from_secs(3));
    assert!(!table.miners[&id].job().clean);
    let (early, late) = (first.share("w", 0), first.share("w", 1));
    assert_eq!(table.submit(id, &early), true);
    table.wait(Duration::from_hours(2));
    assert!(table.miners[&id].job().clean, "another miner's block");
    assert_eq!(table.submit(id, &late), 21);
    assert_eq!((table.rejected(Reject::Stale), table.pool.report(table.now).blocks_by_others), (1, 1));
}

#[test]
fn a_job_pushed_out_by_sixteen_others_is_stale_and_not_unknown() {
    let mut table = Table::new(easy_config());
    let id = table.join(false);
    let share = table.miners[&id].job().share("w", 0);
    for _ in 0..16 {
        table.wait(Duration::from_secs(3));
    }
    assert_eq!(table.submit(id, &share), 21);
    assert_eq!(table.rejected(Reject::Stale), 1);
}

#[test]
fn a_block_moves_the_tip_and_brings_everybody_a_clean_job_at_once() {
    let block_every = Duration::from_secs(15);
    let mut table = Table::new(PoolConfig { block_every, ..easy_config() });
    let (finder, other) = (table.join(false), table.join(false));
    let before = table.miners[&other].job();
    let share = table.miners[&finder].job().share("w", 0);
    assert_eq!(table.submit(finder, &share), true);
    assert_eq!(table.miners[&other].job().id, before.id, "a share is not yet a block");
    let block = table.miners[&finder].job().block("w");
    assert_eq!(table.submit(finder, &block), true);
    let after = table.miners[&other].job();
    assert!(after.clean && after.id != before.id);
    assert_eq!(table.submit(other, &before.share("w", 0)), 21);
    let report = table.pool.report(table.now);
    assert_eq!((report.total.blocks, report.connections[0].tally.blocks), (1, 1));
}

#[test]
fn with_version_rolling_agreed_the_sixth_parameter_is_wanted_inside_the_mask() {
    let mut table = Table::new(easy_config());
    let id = table.join(true);
    let mut share = table.miners[&id].job().share("w", 0);
    assert_eq!(table.submit(id, &share), 20);
    share.as_array_mut().unwrap().push(json!("20000000"));
    assert_eq!(table.submit(id, &share), 20);
    assert_eq!(table.rejected(Reject::BadVersion), 2);
    share[5] = json!("00000000");
    assert_eq!(table.submit(id, &share), true);
}

#[test]
fn a_mask_narrowed_in_mid_session_holds_from_the_next_job_on() {
    let mut table = Table::new(easy_config());
    let id = table.join(true);
    let mut old = table.miners[&id].job();
    old.version_bits = Some(0x1000_2000);
    table.ask(id, "mining.configure", &json!([["version-rolling"], { "version-rolling.mask": "00ffe000" }]));
    let mut new = table.miners[&id].job();
    new.version_bits = Some(0x1000_2000);
    assert_ne!(new.id, old.id, "a job with the new mask comes at once");
    assert_eq!(table.submit(id, &old.share("w", 0)), true);
    assert_eq!(table.submit(id, &new.share("w", 0)), 20);
    assert_eq!(table.rejected(Reject::BadVersion), 1);
    new.version_bits = Some(0x0000_2000);
    assert_eq!(table.submit(id, &new.share("w", 0)), true);
}

#[test]
fn a_mask_that_is_not_eight_lower_case_digits_in_an_object_is_refused() {
    let mut table = Table::new(easy_config());
    let id = table.connect();
    let masks = ["+fffffff", "1fffe00", "01fffe000", "0x1fffe0", "1FFFE000", "1fffe00g", ""];
    let masks = masks.map(|mask| json!({ "version-rolling.mask": mask }));
    let numbers = [json!({ "version-rolling.mask": 0x1fff_e000 }), json!({ "version-rolling.mask": null })];
    let others = [json!("1fffe000"), json!(["1fffe000"]), json!(7), Value::Null];
    for options in masks.iter().chain(&numbers).chain(&others) {
        let answer = table.ask(id, "mining.configure", &json!([["version-rolling"], options]));
        assert_eq!(answer["error"], json!([20, "Invalid parameters", null]), "{options}");
    }
    let answer = table.ask(id, "mining.configure", &json!([["version-rolling"]]));
    assert_eq!(answer["error"][0], 20, "no options at all");
    let answer = table.ask(id, "mining.configure", &json!([["version-rolling"], {}]));
    assert_eq!(answer["result"]["version-rolling.mask"], "1fffe000", "BIP 310: without a mask all bits");
    assert_eq!(table.ask(id, "mining.configure", &json!([["info"]]))["result"]["info"], true);
}

#[test]
fn configure_answers_the_common_bits_and_says_no_to_what_is_unknown() {
    let mut table = Table::new(easy_config());
    let id = table.connect();
    let options = json!({ "version-rolling.mask": "0fff0000", "version-rolling.min-bit-count": "2" });
    let answer =
        table.ask(id, "mining.configure", &json!([["version-rolling", "minimum-difficulty"], options]));
    assert_eq!(answer["result"]["version-rolling"], true);
    assert_eq!(answer["result"]["version-rolling.mask"], "0fff0000");
    assert_eq!(answer["result"]["minimum-difficulty"], false);
    let none = json!([["version-rolling"], { "version-rolling.mask": "00000001" }]);
    assert_eq!(table.ask(id, "mining.configure", &none)["result"]["version-rolling"], false);
}

#[test]
fn pools_of_one_chain_on_two_ports_give_out_different_extranonces() {
    let extranonce1 = |port: u16| {
        let mut table = Table::new(PoolConfig { listen: ([127, 0, 0, 1], port).into(), ..easy_config() });
        let id = table.join(false);
        (table.miners[&id].extranonce1.clone(), table.miners[&id].job().notify[1].clone())
    };
    let (one, other) = (extranonce1(3333), extranonce1(3334));
    assert!(one.0 != other.0 && one.1 == other.1, "{one:?} {other:?}");
    assert_eq!(one, extranonce1(3333));
}

#[test]
fn each_connection_has_an_extranonce1_of_its_own_and_a_resumed_session_its_old_one() {
    let mut table = Table::new(easy_config());
    let (first, second) = (table.join(false), table.join(false));
    let (old, other) = (&table.miners[&first], &table.miners[&second]);
    assert_ne!(old.extranonce1, other.extranonce1);
    assert_ne!(old.extranonce1, old.session_id);
    let (extranonce1, session_id, job) = (old.extranonce1.clone(), old.session_id.clone(), old.job());
    let submitted = job.share("w", 0);
    table.submit(first, &submitted);
    table.pool.handle_disconnect(first, "cut", table.now);

    let back = table.connect();
    table.ask(back, "mining.subscribe", &json!(["test/1", session_id]));
    table.ask(back, "mining.authorize", &json!(["w", "x"]));
    assert_eq!(table.miners[&back].extranonce1, extranonce1);
    assert_eq!(table.submit(back, &job.share("w", 1)), true, "a share from before the cut");
    assert_eq!(table.submit(back, &submitted), 22, "one that was answered before the cut");

    let twin = table.connect();
    table.ask(twin, "mining.subscribe", &json!(["test/1", session_id]));
    assert_ne!(table.miners[&twin].extranonce1, extranonce1, "the session is in use");
}

#[test]
fn requests_out_of_order_are_answered_and_a_refused_user_may_not_submit() {
    let mut table = Table::new(PoolConfig { refused_users: vec!["banned".to_owned()], ..easy_config() });
    let id = table.connect();
    let code = |answer: Value| answer["error"][0].clone();
    assert_eq!(code(table.ask(id, "mining.authorize", &json!(["w", "x"]))), 25);
    assert_eq!(
        code(table.ask(id, "mining.submit", &json!(["w", "1", "00000000", "00000000", "00000000"]))),
        25
    );
    assert_eq!(code(table.ask(id, "mining.get_transactions", &json!(["1"]))), -3);
    table.ask(id, "mining.subscribe", &json!([]));
    assert_eq!(code(table.ask(id, "mining.subscribe", &json!([]))), 20);
    assert_eq!(code(table.ask(id, "mining.authorize", &json!(["banned", "x"]))), 24);
    assert_eq!(code(table.ask(id, "mining.authorize", &json!(["w\u{7}", "x"]))), 20);
    assert_eq!(code(table.ask(id, "mining.authorize", &json!(["w".repeat(129), "x"]))), 20);
    assert!(table.miners[&id].job.is_none());
    assert_eq!(table.ask(id, "mining.authorize", &json!(["w", "x"]))["result"], true);
    assert_eq!(table.ask(id, "mining.extranonce.subscribe", &json!([]))["result"], true);
    assert_eq!(table.submit(id, &table.miners[&id].job().share("banned", 0)), 24);
}

#[test]
fn bad_json_and_endless_lines_are_told_so_and_closed() {
    let mut table = Table::new(easy_config());
    let (garbled, endless) = (table.join(false), table.join(false));
    assert_eq!(table.send(garbled, "{\"id\":1,")["error"][1], "Invalid JSON");
    assert!(
        table.send(endless, &"x".repeat(9000))["error"][1].as_str().unwrap().contains("longer than 8192")
    );
    assert_eq!(table.closed, [garbled, endless]);
}

#[test]
fn who_does_not_authorize_within_a_minute_is_let_go() {
    let mut table = Table::new(easy_config());
    let id = table.connect();
    table.wait(Duration::from_secs(59));
    assert!(table.closed.is_empty());
    table.wait(Duration::from_secs(1));
    assert_eq!(table.closed, [id]);
}

#[test]
fn a_suggested_difficulty_comes_with_a_job_and_older_jobs_keep_theirs() {
    let mut config = easy_config();
    config.vardiff.highest = Difficulty::new(4e-7).unwrap();
    let mut table = Table::new(config);
    let id = table.join(false);
    let old = table.miners[&id].job();
    assert_eq!(table.ask(id, "mining.suggest_difficulty", &json!([1e-3]))["result"], true);
    let new = table.miners[&id].job();
    assert_eq!((old.difficulty, new.difficulty), (1e-7, 4e-7), "raised to the limit");
    assert!(new.id != old.id && !new.clean);
    assert_eq!(table.submit(id, &old.share("w", 0)), true);
    let accepted = table.pool.report(table.now).total.accepted_difficulty;
    assert!((accepted - 1e-7).abs() < 1e-15);
}

#[test]
fn shares_that_come_too_fast_raise_the_difficulty() {
    let mut config = easy_config();
    config.vardiff.highest = Difficulty::new(1e-3).unwrap();
    let mut table = Table::new(config);
    let id = table.join(false);
    let job = table.miners[&id].job();
    for extranonce2 in 0..16 {
        table.now += Duration::from_millis(300);
        assert_eq!(table.submit(id, &job.share("w", extranonce2)), true);
    }
    let raised = table.miners[&id].job().difficulty;
    // Five times too fast: the nearest power of two is 2^-21.
    assert!((raised - 2_f64.powi(-21)).abs() < 1e-12, "{raised}");
}

#[test]
fn delayed_answers_come_in_order_when_they_are_due() {
    let answer_delay = Duration::from_millis(200);
    let mut table = Table::new(PoolConfig { answer_delay, ..easy_config() });
    let id = table.join(false);
    let job = table.miners[&id].job();
    for (request, share) in [(7, job.share("w", 0)), (8, job.poor_share("w"))] {
        let line = json!({ "id": request, "method": "mining.submit", "params": share });
        assert!(table.send(id, &line.to_string()).is_null(), "nothing is answered yet");
    }
    assert_eq!(table.pool.poll_timeout(), table.now + answer_delay);
    table.now += answer_delay;
    table.pool.handle_timeout(table.now);
    let answers: Vec<Value> = table.read().iter().map(|answer| answer["id"].clone()).collect();
    assert_eq!(answers, [7, 8]);
}

#[test]
fn the_sixty_fifth_connection_is_turned_away() {
    let mut table = Table::new(easy_config());
    let first = table.connect();
    for _ in 1..64 {
        table.connect();
    }
    assert_eq!(table.pool.handle_connect(table.now), None);
    table.pool.handle_disconnect(first, "gone", table.now);
    assert!(table.pool.handle_connect(table.now).is_some());
}

/// Whether a miner may have so many user names on one connection.
fn users_fit(users: usize) -> bool {
    let mut table = Table::new(easy_config());
    let id = table.join(false);
    (1..users).all(|user| table.ask(id, "mining.authorize", &json!([format!("w{user}")]))["result"] == true)
}

/// Whether so many answers may wait for their delay.
fn delayed_answers_fit(answers: usize) -> bool {
    let mut table = Table::new(PoolConfig { answer_delay: Duration::from_secs(1), ..easy_config() });
    let id = table.join(false);
    for _ in 0..answers {
        table.ask(id, "mining.submit", &json!(["w"]));
    }
    table.closed.is_empty()
}

/// Whether so many shares are taken for one job.
fn shares_of_a_job_fit(shares: usize) -> bool {
    let mut config = easy_config();
    let easiest = Difficulty::new(1e-9).unwrap();
    config.vardiff = VardiffConfig { start: easiest, lowest: easiest, highest: easiest, ..config.vardiff };
    let mut table = Table::new(config);
    let id = table.join(false);
    let job = table.miners[&id].job();
    let fit = (0..shares).all(|share| table.submit(id, &job.share("w", share as u64)) == true);
    assert_eq!(table.rejected(Reject::Stale), u64::from(!fit));
    fit
}

/// Whether a session can be resumed after so many have ended, itself the first of them.
fn parked_sessions_fit(sessions: usize) -> bool {
    let mut table = Table::new(easy_config());
    let ids: Vec<_> = (0..sessions)
        .map(|_| {
            let id = table.join(false);
            table.pool.handle_disconnect(id, "cut", table.now);
            id
        })
        .collect();
    let first = table.miners[&ids[0]].session_id.clone();
    let back = table.connect();
    table.ask(back, "mining.subscribe", &json!(["test/1", first]));
    table.miners[&back].session_id == first
}

#[test]
fn what_a_miner_can_make_the_pool_keep_is_bounded() {
    type Fits = fn(usize) -> bool;
    let bounds: [(&str, Fits, usize); 4] = [
        ("users", users_fit, 16),
        ("delayed answers", delayed_answers_fit, 1024),
        ("shares of a job", shares_of_a_job_fit, 4096),
        ("parked sessions", parked_sessions_fit, 64),
    ];
    for (what, fit, bound) in bounds {
        assert!(fit(bound), "{bound} {what}");
        assert!(!fit(bound + 1), "{bound} {what} and one more");
    }
}

/// A session from hello to a bad end, as one stream of bytes. The seed is fixed, so the jobs are known.
fn whole_session() -> (Practice, Instant, Vec<u8>) {
    let mut table = Table::new(easy_config());
    let id = table.join(true);
    let mut share = table.miners[&id].job().share("w", 0);
    share.as_array_mut().unwrap().push(json!("00000000"));
    let rolling = json!([["version-rolling"], { "version-rolling.mask": "1fffe000" }]);
    let requests = [
        ("mining.configure", rolling),
        ("mining.subscribe", json!(["test/1"])),
        ("mining.authorize", json!(["w", "x"])),
        ("mining.submit", share.clone()),
        ("mining.submit", share),
        ("mining.suggest_difficulty", json!([1e-9])),
        ("mining.nonsense", json!([])),
    ];
    let mut stream = String::new();
    for (id, (method, params)) in requests.iter().enumerate() {
        stream += &json!({ "id": id, "method": method, "params": params }).to_string();
        stream += if id % 2 == 0 { "\n" } else { "\r\n\n" };
    }
    stream += "not JSON\n{\"id\":9,\"method\":\"mining.subscribe\"}\n";
    (Practice::new(easy_config(), table.now, 1_700_000_000), table.now, stream.into_bytes())
}

fn answers_to(cuts: &[usize]) -> Vec<Transmit> {
    let (mut pool, now, stream) = whole_session();
    let id = pool.handle_connect(now).unwrap();
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
    cuts.extend([0, stream.len()]);
    cuts.sort_unstable();
    for piece in cuts.windows(2) {
        pool.handle_bytes(id, &stream[piece[0]..piece[1]], now);
    }
    std::iter::from_fn(|| pool.poll_transmit()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_split_of_the_stream_gets_the_same_answers(cuts in proptest::collection::vec(any::<usize>(), 0..40)) {
        let whole = answers_to(&[]);
        assert_eq!(whole.len(), 11, "seven answers, difficulty, job, farewell and close: {whole:?}");
        assert_eq!(answers_to(&cuts), whole);
    }
}
