//! The engine, its boards and its sessions, and the time that passes for them.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use signalcore::decision::{Call, Record};
use signalcore::engine::policy::{Policy, UpstreamTerms};
use signalcore::engine::{Action, BoardAbout, BoardId, Engine, UpstreamId};
use signalcore::protocol::payout_watch::PayoutTerms;
use signalcore::protocol::redirect::{Destination, RedirectPolicy};
use signalcore::protocol::session_config::{Credentials, Deadlines, SessionConfig, Suggestion};
use signalcore::protocol::stratum_session::{Event, Session};
use signalcore::validate::Level;
use signalcore::work::{Answered, HashRate, Job, Outcome};
use signalcore_drivers::{BoardEvent, ChipJob};

use crate::chance::Chance;
use crate::job_book::{Header, Owed, header, highest_byte_first, sha256d};
use crate::pool::{Pool, Seen};

const UPSTREAMS: usize = 2;
/// Lines of the record that a failure prints.
const REMEMBERED: usize = 40;
/// So slow that shares are found within some tens of hashes, so fast that the ceiling binds at the easiest difficulties.
const EXPECTED_RATE: HashRate = HashRate(200.0);

pub(crate) struct World {
    seed: u64,
    chance: Chance,
    now: Instant,
    engine: Engine,
    upstreams: Vec<Upstream>,
    boards: BTreeMap<BoardId, Board>,
    /// The header of each chip job, without nonce and rolled bits: only one board may ever get it.
    dispatched: HashSet<Header>,
    record: VecDeque<String>,
    /// What the decider was told.
    calls: Vec<(Call, Instant)>,
    /// The engine is called when it wants to be, a little late, instead of when a step has passed.
    is_prompt: bool,
}

/// A session, its pool, and what of it the engine has not been told yet.
struct Upstream {
    session: Session,
    pool: Pool,
    news: Option<News>,
    /// Shares handed to the session and not ended, by header.
    owed: Owed,
}

/// The latest wins, as in the channel that stands here in the miner.
enum News {
    Job(Arc<Job>, Instant),
    Lost,
}

#[derive(Default)]
struct Board {
    gone: bool,
    chip_jobs: Vec<ChipJob>,
    hashes: bool,
    last_nonce: Option<BoardEvent>,
}

impl Upstream {
    fn new(number: usize, extranonce2_sizes: &'static [usize]) -> Self {
        let config = SessionConfig {
            credentials: Credentials { user: "u.w".into(), password: "secret".into() },
            user_agent: "signalcore/test".into(),
            version_rolling: true,
            extranonce_subscribe: false,
            suggest_difficulty: Suggestion::Off,
            payout: PayoutTerms { addresses: Vec::new(), min_share: 0.98 },
            deadlines: Deadlines {
                handshake: Duration::from_secs(15),
                first_job: Duration::from_secs(60),
                silence: Duration::from_secs(180),
                answer: Duration::from_secs(120),
            },
        };
        let home = Destination { host: "pool.example.com".into(), port: 3333 };
        let session = Session::new(config, RedirectPolicy::new(home, false));
        Self { session, pool: Pool::new(number as u8, extranonce2_sizes), news: None, owed: Owed::new() }
    }
}

impl World {
    pub(crate) fn new(seed: u64, extranonce2_sizes: &'static [usize]) -> Self {
        Self::of(seed, extranonce2_sizes, Policy::default(), &[UpstreamTerms::pool(1); UPSTREAMS])
    }

    /// A world in which these upstreams are hashed for by this policy, whose calls of the decider are kept.
    pub(crate) fn decided(seed: u64, policy: Policy, terms: &[UpstreamTerms; UPSTREAMS]) -> Self {
        let mut world = Self::of(seed, &[4], policy, terms);
        world.is_prompt = true;
        world
    }

    fn of(
        seed: u64,
        extranonce2_sizes: &'static [usize],
        policy: Policy,
        terms: &[UpstreamTerms; UPSTREAMS],
    ) -> Self {
        let now = Instant::now();
        // The jobs of these pools are noise, of no chain.
        let policy = Policy { validation: Level::NONE, ..policy };
        let mut world = Self {
            seed,
            chance: Chance::new(seed),
            now,
            engine: Engine::new(policy, terms, now).recorded(),
            upstreams: (0..UPSTREAMS).map(|number| Upstream::new(number, extranonce2_sizes)).collect(),
            boards: BTreeMap::new(),
            dispatched: HashSet::new(),
            record: VecDeque::new(),
            calls: Vec::new(),
            is_prompt: false,
        };
        world.add_board();
        world
    }

    /// One thing happens, and all that follows from it.
    pub(crate) fn step(&mut self) {
        let upstream = self.chance.index(UPSTREAMS);
        match self.chance.below(28) {
            0 | 1 => self.connect(upstream),
            2 if self.chance.one_in(3) => {
                let hung_up = self.chance.one_in(2);
                self.disconnect(upstream, hung_up);
            }
            3..=12 => self.pool_says(upstream),
            13..=15 => self.tell_engine(upstream),
            16 if self.boards.len() < 3 || self.chance.one_in(10) => self.add_board(),
            17 if self.chance.one_in(15) => self.remove_board(),
            18 => self.end_job(),
            19 | 20 => self.pass_time(),
            21.. => self.find_nonce(),
            _ => {}
        }
        self.settle();
    }

    /// When the decider was made, all that it was told, and all that it decided.
    pub(crate) fn decisions(&self) -> (Instant, &[(Call, Instant)], Vec<Record>) {
        let (dated, _) = self.engine.decisions_after(0);
        (self.engine.started(), &self.calls, dated.into_iter().map(|(_, record)| record).collect())
    }

    /// The miner's way out: boards idle, last nonces and answers come in, then it gives up. What the pools saw.
    pub(crate) fn stop(mut self) -> Seen {
        self.note("stop".into());
        self.engine.stop();
        self.settle();
        assert!(
            self.boards.values().all(|board| board.gone || !board.hashes),
            "a board hashes on after the stop"
        );
        for _ in 0..20 {
            match self.chance.below(3) {
                0 => self.pool_says(0),
                1 => self.pool_says(1),
                _ => self.find_nonce(),
            }
            self.settle();
            assert!(self.boards.values().all(|board| !board.hashes), "work after the stop");
        }
        self.upstreams.iter_mut().for_each(|upstream| upstream.session.give_up());
        self.settle();
        let mut seen = Seen::default();
        for upstream in &self.upstreams {
            assert!(
                upstream.session.is_settled() && upstream.owed.is_empty(),
                "{:?} owed",
                upstream.owed.len()
            );
            seen += upstream.pool.seen.clone();
        }
        seen
    }

    fn note(&mut self, event: String) {
        if self.record.len() == REMEMBERED {
            self.record.pop_front();
        }
        self.record.push_back(event);
    }

    // What happens to the pools.

    fn connect(&mut self, at: usize) {
        if self.upstreams[at].pool.is_connected() {
            return;
        }
        let moves = self.chance.one_in(8);
        let upstream = &mut self.upstreams[at];
        if moves {
            upstream.session.handle_moved();
            upstream.pool.forget();
        }
        upstream.pool.connect();
        upstream.session.handle_connected(self.now);
        self.note(format!("{at} connects{}", if moves { " to another host" } else { "" }));
    }

    fn disconnect(&mut self, at: usize, hung_up: bool) {
        let upstream = &mut self.upstreams[at];
        if !upstream.pool.is_connected() {
            return;
        }
        upstream.pool.disconnect();
        upstream.session.handle_disconnected(hung_up);
        upstream.news = Some(News::Lost);
        self.note(format!("{at} is disconnected"));
    }

    fn pool_says(&mut self, at: usize) {
        let upstream = &mut self.upstreams[at];
        let Some(line) = upstream.pool.say(&mut self.chance, self.now) else { return };
        let line = line.to_string();
        let usable = upstream.session.handle_line(&line, self.now).is_ok();
        self.note(format!("{at} < {line}"));
        self.drain_session(at);
        if !usable {
            self.disconnect(at, false);
        }
    }

    fn tell_engine(&mut self, at: usize) {
        let Some(news) = self.upstreams[at].news.take() else { return };
        match news {
            News::Job(job, arrived) => {
                self.engine.handle_job(UpstreamId(at), job, arrived, self.now, 1_700_000_000);
            }
            News::Lost => self.engine.handle_upstream_lost(UpstreamId(at), None, self.now),
        }
        self.note(format!("the engine hears of {at}"));
    }

    // What happens to the boards.

    fn add_board(&mut self) {
        let id = BoardId(self.boards.len());
        self.boards.insert(id, Board::default());
        let about = BoardAbout { name: "board".into(), detail: String::new(), expected_rate: EXPECTED_RATE };
        self.engine.add_board(id, about, self.now);
        self.note(format!("{id:?} joins"));
    }

    fn remove_board(&mut self) {
        let id = self.any_board();
        let board = self.boards.get_mut(&id).unwrap();
        if !std::mem::replace(&mut board.gone, true) {
            board.hashes = false;
            self.engine.remove_board(id);
            self.note(format!("{id:?} is gone"));
        }
    }

    fn any_board(&mut self) -> BoardId {
        BoardId(self.chance.index(self.boards.len()))
    }

    /// One of the latest chip jobs of a board, mostly the last; also of one that idles or is gone.
    fn any_chip_job(&mut self, id: BoardId) -> Option<ChipJob> {
        let chip_jobs = &self.boards[&id].chip_jobs;
        let back = if self.chance.one_in(3) { self.chance.index(6) } else { 0 };
        chip_jobs.iter().rev().nth(back).or(chip_jobs.last()).cloned()
    }

    fn end_job(&mut self) {
        let id = self.any_board();
        let Some(chip_job) = self.any_chip_job(id) else { return };
        self.engine.handle_board(id, BoardEvent::JobEnding(chip_job.id), self.now);
        self.note(format!("{:?} ends on {id:?}", chip_job.id));
    }

    /// A nonce that keeps what the board was asked for; sometimes one that does not, sometimes the last one again.
    fn find_nonce(&mut self) {
        let id = self.any_board();
        let last = self.boards[&id].last_nonce.clone().filter(|_| self.chance.one_in(8));
        let Some(nonce) = last.or_else(|| self.any_nonce(id)) else { return };
        self.note(format!("{id:?} has {nonce:?}"));
        self.boards.get_mut(&id).unwrap().last_nonce = Some(nonce.clone());
        self.engine.handle_board(id, nonce, self.now);
    }

    fn any_nonce(&mut self, id: BoardId) -> Option<BoardEvent> {
        let chip_job = self.any_chip_job(id)?;
        let bits = self.chance.below(1 << 32) as u32;
        let rolled = chip_job.version_mask & self.chance.pick(&[0, 0x2000, bits]);
        let version = chip_job.version | rolled;
        let good = !self.chance.one_in(8);
        // Few places to begin at: boards search the same nonces in each job.
        let from = self.chance.below(3) as u32 * 1000;
        let target = highest_byte_first(chip_job.target);
        let hits = |nonce: &u32| highest_byte_first(sha256d(&bytes(&chip_job, version, *nonce))) <= target;
        let nonce = (from..from + 60).find(|nonce| !good || hits(nonce))?;
        Some(BoardEvent::Nonce { job: chip_job.id, nonce, version })
    }

    // What follows.

    fn pass_time(&mut self) {
        let passed = Duration::from_millis(self.chance.pick(&[1, 50, 1000, 1000, 5000, 5000, 40_000]));
        let end = self.now + passed;
        while self.is_prompt
            && let Some(due) = self.engine.poll_timeout().filter(|due| *due < end)
        {
            let late = Duration::from_micros(self.chance.below(20_000));
            self.now = end.min(self.now.max(due) + late);
            self.settle();
        }
        self.now = end;
        self.note(format!("{passed:?} pass"));
    }

    /// Until nobody has anything more to say at this time.
    fn settle(&mut self) {
        self.drain();
        for at in 0..UPSTREAMS {
            let session = &mut self.upstreams[at].session;
            if session.poll_timeout().is_some_and(|due| due <= self.now) {
                if session.handle_timeout(self.now).is_err() {
                    self.disconnect(at, false);
                }
                self.drain();
                let due = self.upstreams[at].session.poll_timeout();
                assert!(due.is_none_or(|due| due > self.now), "session {at} comes due again and again");
            }
        }
        if self.engine.poll_timeout().is_some_and(|due| due <= self.now) {
            self.engine.handle_timeout(self.now);
            self.drain();
            let due = self.engine.poll_timeout();
            assert!(due.is_none_or(|due| due > self.now), "the engine comes due again and again");
        }
    }

    fn drain(&mut self) {
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::Dispatch(board, chip_job) => self.take_dispatch(board, chip_job),
                Action::Submit(UpstreamId(at), share) => {
                    let upstream = &mut self.upstreams[at];
                    *upstream.owed.entry(share.header().to_bytes()).or_default() += 1;
                    upstream.session.submit(share, self.now);
                    self.drain_session(at);
                }
                Action::Record(call) => self.calls.push(*call),
                Action::Want(..)
                | Action::Moment(_)
                | Action::Ask(_)
                | Action::AskNode(_)
                | Action::Report(_) => {}
            }
        }
        (0..UPSTREAMS).for_each(|at| self.drain_session(at));
    }

    fn take_dispatch(&mut self, id: BoardId, chip_job: Option<ChipJob>) {
        let board = self.boards.get_mut(&id).unwrap();
        assert!(!board.gone, "{id:?} is gone and gets {chip_job:?}");
        board.hashes = chip_job.is_some();
        let Some(chip_job) = chip_job else { return };
        let work = bytes(&chip_job, chip_job.version, 0);
        assert!(self.dispatched.insert(work), "{id:?} gets work that was given before: {chip_job:?}");
        board.chip_jobs.push(chip_job.clone());
        self.note(format!("{id:?} gets {:?}", chip_job.id));
    }

    fn drain_session(&mut self, at: usize) {
        while let Some(line) = self.upstreams[at].session.poll_transmit() {
            self.note(format!("{at} > {}", line.trim_end()));
            // What was still to be written when the connection ended reaches nobody.
            let Upstream { pool, owed, .. } = &mut self.upstreams[at];
            if pool.is_connected() {
                pool.read(&line, owed, self.now);
            }
        }
        while let Some(event) = self.upstreams[at].session.poll_event() {
            match event {
                Event::Job(job) => {
                    assert!(self.upstreams[at].pool.is_authorized(), "work of a pool that may yet refuse us");
                    self.upstreams[at].news = Some(News::Job(job, self.now));
                }
                Event::Answered(answered) => self.take_answer(at, answered),
                _ => {}
            }
        }
    }

    fn take_answer(&mut self, at: usize, answered: Answered) {
        let Upstream { owed, pool, .. } = &mut self.upstreams[at];
        let header = answered.share.header().to_bytes();
        let left = owed.get_mut(&header).expect("a share ends that was not handed in, or ends twice");
        *left -= 1;
        if *left == 0 {
            owed.remove(&header);
        }
        let accepted = matches!(answered.outcome, Outcome::Accepted);
        assert_eq!(
            accepted,
            pool.take_acceptance(&header),
            "{:?} is not the pool's verdict",
            answered.outcome
        );
        self.engine.handle_answer(UpstreamId(at), answered, self.now);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let record: Vec<_> = self.record.iter().map(String::as_str).collect();
            eprintln!("seed {}, the last events:\n{}", self.seed, record.join("\n"));
        }
    }
}

fn bytes(chip_job: &ChipJob, version: u32, nonce: u32) -> Header {
    let ChipJob { prev_hash, merkle_root, ntime, nbits, .. } = chip_job;
    header(version, prev_hash, merkle_root, *ntime, *nbits, nonce)
}
