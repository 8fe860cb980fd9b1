//! The session between a pool that may say anything at any time, a clock that jumps, and a board that finds shares.
//!
//! The first line of an input is the configuration: any of `v` roll versions, `x` ask for extranonces, `d` suggest a
//! difficulty, `a` suggest one by the hash rate, `p` expect a payout, `s` a user that is an address. Each further line is a step: `+N` N milliseconds
//! pass, `$N` a share of the N-th newest job is found, `-` the pool hangs up, `.` we do, `^` connects again, `~` the
//! next connection goes elsewhere; everything else is a line of the pool.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use signalcore::protocol::payout_watch::PayoutTerms;
use signalcore::protocol::redirect::{Destination, RedirectPolicy};
use signalcore::protocol::session_config::{Credentials, Deadlines, SessionConfig, Suggestion};
use signalcore::protocol::stratum_request::MAX_SENT;
use signalcore::protocol::stratum_session::{Event, Session};
use signalcore::work::payout::{Expected, Payouts};
use signalcore::work::{Difficulty, Epoch, Extranonce2, HashRate, Job, Work};

/// Steps of an input that are taken, so that one input stays fast.
const MAX_STEPS: usize = 200;
/// Jobs that shares are found for, as many as the engine may have on boards and more.
const MAX_JOBS: usize = 8;
/// Nonces tried for a share. The pool has to make it easy.
const TRIES: u32 = 4;
/// The longest time that passes at once.
const MAX_PAUSE: Duration = Duration::from_mins(10);
/// The longest text for the operator, in characters; an error may show two lists of four addresses.
const MAX_TEXT: usize = 1500;

const USER: &str = "bc1q3udk7r26qs32ltf9nmqrjaaa7tr55qmkuh5n07";

pub(crate) fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.split('\n');
    let mut world = World::new(lines.next().unwrap_or_default());
    world.connect();
    for line in lines.take(MAX_STEPS) {
        world.step(line);
        world.pump();
    }
    world.end();
}

struct World {
    session: Session,
    now: Instant,
    connection: Option<Connection>,
    expected: Option<Expected>,
    rolls: bool,
    jobs: VecDeque<Arc<Job>>,
    newest: Epoch,
    /// Shares handed in and not answered, by hash.
    owed: HashMap<String, u32>,
    counter: u32,
}

#[derive(Default)]
struct Connection {
    is_authorized: bool,
    last_id: u64,
}

impl World {
    fn new(options: &str) -> Self {
        let user = if options.contains('s') { format!("{USER}.rig") } else { "u.w".to_owned() };
        let address = || USER.parse::<bitcoin::Address<_>>().unwrap().assume_checked();
        let addresses: Vec<_> = options.contains('p').then(address).into_iter().collect();
        let expected = options.contains('p').then(|| Expected::new(addresses.clone(), 0.98));
        let config = SessionConfig {
            credentials: Credentials { user, password: "secret".into() },
            user_agent: "signalcore/fuzz".into(),
            version_rolling: options.contains('v'),
            extranonce_subscribe: options.contains('x'),
            suggest_difficulty: match options {
                fixed if fixed.contains('d') => Suggestion::Fixed(Difficulty::ONE),
                auto if auto.contains('a') => Suggestion::Auto,
                _ => Suggestion::Off,
            },
            payout: PayoutTerms { addresses, min_share: 0.98 },
            deadlines: Deadlines {
                handshake: Duration::from_secs(15),
                first_job: Duration::from_secs(60),
                silence: Duration::from_secs(180),
                answer: Duration::from_secs(120),
            },
        };
        let home = Destination { host: "pool.example.com".into(), port: 3333 };
        Self {
            session: Session::new(config, RedirectPolicy::new(home, true)),
            now: Instant::now(),
            connection: None,
            expected,
            rolls: options.contains('v'),
            jobs: VecDeque::new(),
            newest: Epoch::default(),
            owed: HashMap::new(),
            counter: 0,
        }
    }

    fn step(&mut self, line: &str) {
        let number = || line[1..].trim().parse::<u64>().unwrap_or(1);
        match line.bytes().next() {
            Some(b'+') => self.passes(Duration::from_millis(number()).min(MAX_PAUSE)),
            Some(b'$') => self.finds(number() as usize),
            Some(b'-') => self.disconnect(true),
            Some(b'.') => self.disconnect(false),
            Some(b'^') => self.connect(),
            Some(b'~') if self.connection.is_none() => self.session.handle_moved(),
            Some(_) if self.connection.is_some() => {
                if let Err(error) = self.session.handle_line(line, self.now) {
                    self.leaves(&error.to_string());
                }
            }
            Some(_) | None => {}
        }
    }

    fn connect(&mut self) {
        if self.connection.is_none() {
            self.connection = Some(Connection::default());
            self.session.handle_connected(self.now);
            self.session.handle_rate(HashRate(1e12), self.now);
        }
    }

    fn disconnect(&mut self, by_pool: bool) {
        self.pump();
        if self.connection.take().is_some() {
            self.session.handle_disconnected(by_pool);
        }
    }

    fn leaves(&mut self, reason: &str) {
        assert!(reason.chars().count() <= MAX_TEXT, "{reason}");
        self.disconnect(false);
    }

    /// The clock moves on, and stops wherever the session wants to be woken.
    fn passes(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.session.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            match self.session.handle_timeout(self.now) {
                Ok(()) => {
                    let next = self.session.poll_timeout();
                    assert!(next.is_none_or(|next| next > self.now), "the same timeout again");
                }
                Err(error) => self.leaves(&error.to_string()),
            }
            self.pump();
        }
        self.now = until;
    }

    /// A board tries a few headers of a job.
    fn finds(&mut self, age: usize) {
        let Some(job) = self.jobs.get(age.saturating_sub(1)).cloned() else { return };
        self.counter += 1;
        let extranonce2 = Extranonce2::from_counter(self.counter.into(), job.coinbase.extranonce2_size);
        let mask = job.version_mask.rollable(job.header.version);
        let version = job.header.version | if self.counter.is_multiple_of(2) { mask } else { 0 };
        let work = Work::new(Arc::clone(&job), extranonce2, job.header.ntime);
        let nonces = (0..TRIES).map(|nonce| self.counter * TRIES + nonce);
        if let Some(share) = nonces.into_iter().find_map(|nonce| work.verify(version, nonce).ok()) {
            *self.owed.entry(share.hash().to_string()).or_default() += 1;
            self.session.submit(Box::new(share), self.now);
        }
    }

    fn end(mut self) {
        self.disconnect(true);
        self.session.give_up();
        self.pump();
        assert!(self.session.is_settled());
        assert!(self.owed.values().all(|count| *count == 0), "shares without an end: {:?}", self.owed);
    }

    /// Looks at everything that the session has to say.
    fn pump(&mut self) {
        while let Some(line) = self.session.poll_transmit() {
            self.check_line(&line);
        }
        let mut redirected = false;
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Job(job) => self.take_job(job),
                Event::Authorized => {
                    self.connection.as_mut().expect("authorised offline").is_authorized = true;
                }
                Event::Answered(answered) => {
                    let hash = answered.share.hash().to_string();
                    let count =
                        self.owed.get_mut(&hash).expect("the end of a share that was never handed in");
                    *count = count.checked_sub(1).expect("a second end of a share");
                }
                Event::Learnt(lesson) => check_text(&lesson.to_string()),
                Event::Message(text) | Event::Payout(text) | Event::Complaint(text) => check_text(&text),
                Event::Redirect(_, wait) => {
                    assert!(wait <= Duration::from_mins(1));
                    redirected = true;
                }
                Event::Difficulty(difficulty) => assert!(difficulty.value() > 0.0),
            }
        }
        if redirected {
            self.disconnect(false);
        }
    }

    fn check_line(&mut self, line: &str) {
        let connection = self.connection.as_mut().expect("a line without a connection");
        assert!(line.len() <= MAX_SENT && line.ends_with('\n') && line.matches('\n').count() == 1, "{line}");
        let line: Value = serde_json::from_str(line).unwrap();
        if line["method"].is_string() {
            let id = line["id"].as_u64().unwrap();
            assert!(id > connection.last_id && id < 1 << 31, "id {id} after {}", connection.last_id);
            connection.last_id = id;
        }
    }

    fn take_job(&mut self, job: Arc<Job>) {
        assert!(self.connection.as_ref().is_some_and(|connection| connection.is_authorized));
        let mask = job.version_mask.bits();
        assert_eq!(mask & !0x1fff_ffff, 0, "mask {mask:08x}");
        assert!(self.rolls || mask == 0, "rolls {mask:08x} unasked");
        assert!(job.coinbase.extranonce2_size.bytes() <= 32 && job.branch.len() <= 32);
        assert!(job.difficulty.value().is_finite() && job.difficulty.value() > 0.0);
        assert!(job.epoch >= self.newest, "an epoch went back");
        if let Some(expected) = &self.expected {
            assert!(expected.are_met_by(&Payouts::of(&job.coinbase).unwrap()), "a job that pays others");
        }
        self.newest = job.epoch;
        self.jobs.push_front(job);
        self.jobs.truncate(MAX_JOBS);
    }
}

fn check_text(text: &str) {
    assert!(text.chars().count() <= MAX_TEXT && !text.contains(char::is_control), "{text:?}");
}
