//! One miner, one scripted pool, and the book that the pool keeps of what it says and judges shares by.

use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::judge::{Book, Rule, Share};
use crate::support::{Ended, Miner, ScriptedConnection, ScriptedPool};

/// A share of it is a matter of a few thousand hashes.
pub(crate) const EASY: f64 = 1e-6;
/// Hard enough that the pool's difficulty decides which nonces a slowed-down CPU reports, and not the ceiling of the
/// miner; some shares a second.
pub(crate) const TELLING: f64 = 5e-5;
/// The miner leaves the processor to other tests, and does not measure what it is given.
pub(crate) const GENTLE: (&str, &str) = ("SIGNALCORE_CPU_DUTY_PERCENT", "20");
/// The widest mask that any pool may give: BIP 323.
pub(crate) const WIDEST_MASK: u32 = 0x1fff_ffe0;
/// The mask that the miner asks for.
pub(crate) const ASKED_MASK: u32 = 0x1fff_e000;

pub(crate) struct Play {
    pub(crate) pool: ScriptedPool,
    pub(crate) miner: Miner,
    /// `None` after hanging up.
    connection: Option<ScriptedConnection>,
    pub(crate) book: Book,
    /// Every line that came, as it came.
    pub(crate) heard: Vec<String>,
    /// Lines that came while something else was waited for.
    unread: VecDeque<Value>,
    fences: u32,
}

/// A share and the id of its request.
pub(crate) struct Submit {
    pub(crate) id: Value,
    pub(crate) params: Value,
    pub(crate) share: Share,
}

impl Play {
    /// Connected; nothing is answered yet.
    pub(crate) fn connected() -> Self {
        Self::connected_with(&[], &[])
    }

    pub(crate) fn connected_with(more: &[&str], environment: &[(&str, &str)]) -> Self {
        let pool = ScriptedPool::listen();
        let miner = Miner::start_with(&pool.url, more, &[&[GENTLE], environment].concat());
        Self::with(pool, miner)
    }

    /// With a miner that was started for this pool.
    pub(crate) fn with(pool: ScriptedPool, miner: Miner) -> Self {
        let connection = Some(pool.accept());
        let unread = VecDeque::new();
        Self { pool, miner, connection, book: Book::new(), heard: Vec::new(), unread, fences: 0 }
    }

    /// As far as mining with the plainest of servers: four bytes and four, no version rolling, one clean job "first".
    pub(crate) fn mining() -> Self {
        Self::mining_with(&[], &[])
    }

    pub(crate) fn mining_with(more: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut play = Self::connected_with(more, environment);
        play.greet();
        play
    }

    /// The handshake of [`Self::mining`].
    pub(crate) fn greet(&mut self) {
        self.subscribe("0a0b0c0d", 4);
        self.begin();
    }

    /// As far as mining with version rolling under this mask.
    pub(crate) fn rolling(mask: &str, rule: Rule) -> Self {
        let mut play = Self::connected();
        play.configure(json!({"version-rolling": true, "version-rolling.mask": mask}));
        play.subscribe("0a0b0c0d", 4);
        play.book.terms.mask = u32::from_str_radix(mask, 16).unwrap() & WIDEST_MASK;
        play.book.terms.rule = rule;
        play.begin();
        play
    }

    /// Subscribed already: authorises, names an easy difficulty and sends the job "first".
    pub(crate) fn begin(&mut self) {
        self.answer("mining.authorize", json!(true));
        self.difficulty(json!(EASY));
        self.job("first", true);
    }

    pub(crate) fn say(&mut self, line: Value) {
        self.line().say(line);
    }

    /// The connection that stands.
    pub(crate) fn line(&mut self) -> &mut ScriptedConnection {
        self.connection.as_mut().expect("the pool has hung up")
    }

    pub(crate) fn notify(&mut self, method: &str, params: Value) {
        self.say(json!({"id": null, "method": method, "params": params}));
    }

    /// Answers configure.
    pub(crate) fn configure(&mut self, result: Value) {
        self.answer("mining.configure", result);
    }

    /// Answers subscribe in the usual form.
    pub(crate) fn subscribe(&mut self, extranonce1: &str, size: usize) {
        self.answer("mining.subscribe", json!([[["mining.notify", "session"]], extranonce1, size]));
        self.extranonce(extranonce1, size);
    }

    /// What extranonces hold for the next job.
    pub(crate) fn extranonce(&mut self, extranonce1: &str, size: usize) {
        self.book.terms.extranonce1 = hex::decode(extranonce1).unwrap();
        self.book.terms.size = size;
    }

    pub(crate) fn difficulty(&mut self, difficulty: Value) {
        self.book.terms.difficulty = difficulty.as_f64().unwrap();
        self.notify("mining.set_difficulty", json!([difficulty]));
    }

    /// A usual job.
    pub(crate) fn job(&mut self, id: &str, clean: bool) -> usize {
        let job = self.params(id, clean);
        self.send_job(job)
    }

    pub(crate) fn send_job(&mut self, params: Value) -> usize {
        let number = self.book.sent(&params);
        self.notify("mining.notify", params);
        number
    }

    /// The parameters of a usual job: a whole coinbase around the extranonces, and two branches.
    pub(crate) fn params(&self, id: &str, clean: bool) -> Value {
        let inside = self.book.terms.extranonce1.len() + self.book.terms.size;
        let (coinb1, coinb2) = coinbase(inside, 840_000);
        let branch = ["17".repeat(32), "2b".repeat(32)];
        let prev_hash = format!("{}00000000", "5a".repeat(28));
        json!([
            id,
            prev_hash,
            coinb1,
            coinb2,
            branch,
            "20000000",
            "1702355e",
            format!("{:08x}", unix()),
            clean
        ])
    }

    /// Answers the next request of this method.
    pub(crate) fn answer(&mut self, method: &str, result: Value) -> Value {
        let request = self.request(method);
        self.say(json!({"id": request["id"], "result": result, "error": null}));
        request
    }

    pub(crate) fn request(&mut self, method: &str) -> Value {
        self.try_request(method).unwrap_or_else(|| panic!("the miner hung up before {method}"))
    }

    /// The next request of this method. `None` when the miner hung up before it.
    pub(crate) fn try_request(&mut self, method: &str) -> Option<Value> {
        if let Some(at) = self.unread.iter().position(|line| line["method"] == method) {
            return self.unread.remove(at);
        }
        loop {
            let line = self.read()?;
            if line["method"] == method {
                return Some(line);
            }
            self.unread.push_back(line);
        }
    }

    fn read(&mut self) -> Option<Value> {
        let line = self.line().next_line()?;
        let value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
        self.heard.push(line);
        Some(value)
    }

    /// Waits until the miner has read everything said so far.
    pub(crate) fn fence(&mut self) {
        self.fences += 1;
        let id = json!(format!("fence {}", self.fences));
        self.say(json!({"id": id, "method": "mining.ping", "params": []}));
        loop {
            let line = self.read().unwrap_or_else(|| panic!("the miner hung up at {id}"));
            if line["id"] == id {
                return;
            }
            self.unread.push_back(line);
        }
    }

    /// Whether a request of this method came and was not waited for.
    pub(crate) fn has_unread(&self, method: &str) -> bool {
        self.unread.iter().any(|line| line["method"] == method)
    }

    /// The next share, which has to be right, not answered yet.
    pub(crate) fn submit(&mut self) -> Submit {
        let request = self.request("mining.submit");
        self.judge(&request)
    }

    fn judge(&mut self, request: &Value) -> Submit {
        let share = self.book.judge(&request["params"]).unwrap_or_else(|fault| panic!("{fault}"));
        Submit { id: request["id"].clone(), params: request["params"].clone(), share }
    }

    /// The next share, right and accepted.
    pub(crate) fn share(&mut self) -> Share {
        let request = self.request("mining.submit");
        self.takes(&request)
    }

    fn takes(&mut self, request: &Value) -> Share {
        let Submit { id, share, .. } = self.judge(request);
        self.accept(&id);
        share
    }

    pub(crate) fn accept(&mut self, id: &Value) {
        self.say(json!({"id": id, "result": true, "error": null}));
    }

    /// So many shares, right and accepted.
    pub(crate) fn shares(&mut self, count: usize) -> Vec<Share> {
        (0..count).map(|_| self.share()).collect()
    }

    /// Takes shares until the first of this job, or of a later one.
    pub(crate) fn share_of(&mut self, job: usize) -> Share {
        loop {
            let share = self.share();
            if share.job >= job {
                return share;
            }
        }
    }

    /// Refuses the next share with these members of the answer, and gives the event that tells of it.
    pub(crate) fn refuse(&mut self, answer: Value) -> Value {
        let Submit { id, share, .. } = self.submit();
        let mut line = json!({"id": id});
        line.as_object_mut().unwrap().extend(answer.as_object().unwrap().clone());
        self.say(line);
        self.miner.wait_for("the refused share", |event| {
            event["event"] == "share" && event["hash"] == share.hash.as_str()
        })
    }

    /// The event that tells of a job.
    pub(crate) fn told_job(&mut self, id: &str) -> Value {
        self.miner.wait_for(id, |event| event["event"] == "job" && event["job"] == id)
    }

    /// The miner tells of something in this state, with this text.
    pub(crate) fn told(&mut self, state: &str, part: &str) -> Value {
        self.miner.wait_for(part, |event| {
            event["state"] == state && event["reason"].as_str().is_some_and(|reason| reason.contains(part))
        })
    }

    /// Hangs up, if that has not happened, and takes the miner's next connection.
    pub(crate) fn reconnected(&mut self) {
        self.hang_up();
        self.connection = Some(self.pool.accept());
        self.unread.clear();
    }

    pub(crate) fn hang_up(&mut self) {
        self.connection = None;
    }

    /// Stops the miner; it ends well, and no share of it was refused.
    pub(crate) fn ends(self) -> Ended {
        let ended = self.ends_refused();
        assert_eq!(ended.summary()["rejected"], 0, "{:#?}", ended.events);
        ended
    }

    /// Stops the miner; it ends well, and no nonce of it was wrong.
    pub(crate) fn ends_refused(mut self) -> Ended {
        self.miner.signal(Signal::TERM);
        while self.connection.is_some()
            && let Some(last) = self.try_request("mining.submit")
        {
            self.takes(&last);
        }
        let ended = self.miner.end();
        assert_eq!(ended.code, Some(0), "{}", ended.errors);
        for board in ended.summary()["boards"].as_array().unwrap() {
            assert_eq!(
                (&board["hardware_errors"], &board["duplicates"]),
                (&json!(0), &json!(0)),
                "{board:#}"
            );
        }
        ended
    }
}

/// A coinbase for a block of this height, cut where `inside` bytes of extranonces stand at the end of its scriptSig.
pub(crate) fn coinbase(inside: usize, height: u32) -> (String, String) {
    let height = hex::encode(&height.to_le_bytes()[..3]);
    let script = format!("{:02x}03{height}", 4 + inside);
    let coinb1 = format!("0100000001{}ffffffff{script}", "00".repeat(32));
    (coinb1, format!("ffffffff01{}00000000", output(312_500_000)))
}

/// An output to a key's hash.
pub(crate) fn output(value: u64) -> String {
    format!("{}1976a914{}88ac", hex::encode(value.to_le_bytes()), "ab".repeat(20))
}

/// The time of day in seconds.
pub(crate) fn unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
