//! All connections and the chain between them as one state machine; `server` moves the bytes and wakes the timer.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use bitcoin::BlockHash;

use super::{
    PoolConfig,
    book::{EXTRANONCE1_SIZE, Library},
    chain::{Chain, ChainConfig},
    event::{Event, Finder, PoolEvent},
    report::{Ledger, PoolReport},
    session::{Session, SessionEvent},
};

/// Connections at the same time.
const MOST_CONNECTIONS: usize = 64;
/// Another miner finds a block after so many block intervals without one.
const PATIENCE: u32 = 2;

/// The number of a connection, counted from 1 and never used again.
pub(crate) type ConnectionId = u64;

/// What the shell has to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Transmit {
    /// Write a line.
    Line(ConnectionId, String),
    /// Close after what was written.
    Close(ConnectionId),
}

/// When something happens of its own accord.
#[derive(Debug)]
struct Deadlines {
    job: Instant,
    block: Instant,
}

/// The pool without its sockets.
#[derive(Debug)]
pub(crate) struct Practice {
    config: Arc<PoolConfig>,
    chain: Chain,
    library: Library,
    sessions: BTreeMap<ConnectionId, Session>,
    connected: u64,
    deadlines: Deadlines,
    out: Out,
}

/// What waits to be fetched, and the counts of all that went through.
#[derive(Debug)]
struct Out {
    started: Instant,
    ledger: Ledger,
    transmit: VecDeque<Transmit>,
    events: VecDeque<PoolEvent>,
}

impl Out {
    fn tell(&mut self, connection: Option<ConnectionId>, event: Event, now: Instant) {
        let seconds = now.duration_since(self.started).as_secs_f64();
        let told = PoolEvent { seconds, connection, event };
        self.ledger.note(&told);
        self.events.push_back(told);
    }
}

impl Practice {
    /// `config` has been checked; `unix_time` is the time of day at `now`.
    pub(crate) fn new(config: PoolConfig, now: Instant, unix_time: u32) -> Self {
        let vardiff = &config.vardiff;
        // Until the hash rate is known: as if the start difficulty gave shares at the wanted rate.
        let shares_per_block = config.block_every.as_secs_f64() / vardiff.share_every.as_secs_f64();
        let chain = ChainConfig {
            first_difficulty: vardiff.start.scaled(shares_per_block.max(1.0)),
            block_every: config.block_every,
            extranonce_size: EXTRANONCE1_SIZE + config.extranonce2_size,
            seed: config.seed,
        };
        Self {
            chain: Chain::new(chain, now, unix_time),
            // Two pools of one chain must not give two connections the same work.
            library: Library::new(
                config.extranonce2_size,
                config.seed ^ u64::from(config.listen.port()) << 32,
            ),
            sessions: BTreeMap::new(),
            connected: 0,
            deadlines: Deadlines { job: now + config.job_every, block: now + config.block_every * PATIENCE },
            out: Out {
                started: now,
                ledger: Ledger::default(),
                transmit: VecDeque::new(),
                events: VecDeque::new(),
            },
            config: Arc::new(config),
        }
    }

    /// Nothing when the pool is full.
    pub(crate) fn handle_connect(&mut self, now: Instant) -> Option<ConnectionId> {
        if self.sessions.len() == MOST_CONNECTIONS {
            return None;
        }
        self.connected += 1;
        self.sessions.insert(self.connected, Session::new(Arc::clone(&self.config), now));
        self.out.tell(Some(self.connected), Event::Connect, now);
        Some(self.connected)
    }

    pub(crate) fn handle_bytes(&mut self, id: ConnectionId, bytes: &[u8], now: Instant) {
        let lines = self.sessions.get_mut(&id).map(|session| session.lines(bytes)).unwrap_or_default();
        for line in lines {
            let Some(session) = self.sessions.get_mut(&id) else { return };
            session.handle_line(&line, now, &mut self.library);
            self.settle(id, now);
        }
    }

    /// The connection is gone, or has to go. Its jobs are kept for a resumed session, unless the session hung up on a
    /// miner that broke the rules: such a one begins anew.
    pub(crate) fn handle_disconnect(&mut self, id: ConnectionId, reason: &str, now: Instant) {
        if let Some(session) = self.sessions.remove(&id) {
            self.out.tell(Some(id), Event::Disconnect { reason: reason.to_owned() }, now);
            self.out.transmit.push_back(Transmit::Close(id));
            if let Some(book) = session.into_book() {
                self.library.park(book);
            }
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let due =
            self.sessions.iter().filter(|(_, session)| session.poll_timeout().is_some_and(|at| at <= now));
        let due: Vec<ConnectionId> = due.map(|(&id, _)| id).collect();
        for id in due {
            if let Some(session) = self.sessions.get_mut(&id) {
                session.handle_timeout(now);
                self.settle(id, now);
            }
        }
        if self.deadlines.block <= now {
            self.another_miner_finds_a_block(now);
        } else if self.deadlines.job <= now {
            self.send_jobs(now);
        }
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.transmit.pop_front()
    }

    pub(crate) fn poll_event(&mut self) -> Option<PoolEvent> {
        self.out.events.pop_front()
    }

    pub(crate) fn poll_timeout(&self) -> Instant {
        let sessions = self.sessions.values().filter_map(Session::poll_timeout);
        sessions.fold(self.deadlines.job.min(self.deadlines.block), Instant::min)
    }

    pub(crate) fn report(&self, now: Instant) -> PoolReport {
        self.out.ledger.report(now.duration_since(self.out.started).as_secs_f64())
    }

    /// Does what the session asked for, and fetches its lines.
    fn settle(&mut self, id: ConnectionId, now: Instant) {
        let wants = self.listen(id, now);
        let mut tip_moved = false;
        for (prevhash, hash) in wants.blocks {
            if let Some(height) = self.chain.extend(prevhash, hash, now) {
                let event = Event::Block { height, hash: hash.to_string(), finder: Finder::Miner };
                self.out.tell(Some(id), event, now);
                tip_moved = true;
            }
        }
        if tip_moved {
            self.deadlines.block = now + self.config.block_every * PATIENCE;
            self.send_jobs(now);
        } else if wants.job
            && let Some(session) = self.sessions.get_mut(&id)
        {
            session.send_job(&self.chain.template(now));
            self.listen(id, now);
        }
        let closed = self.sessions.get(&id).and_then(|session| session.close_reason().map(str::to_owned));
        if let Some(reason) = closed {
            self.handle_disconnect(id, &reason, now);
        }
    }

    /// Fetches a session's lines and events; what it wants done comes back.
    fn listen(&mut self, id: ConnectionId, now: Instant) -> Wants {
        let mut wants = Wants::default();
        let Some(session) = self.sessions.get_mut(&id) else { return wants };
        while let Some(line) = session.poll_transmit() {
            self.out.transmit.push_back(Transmit::Line(id, line));
        }
        while let Some(event) = session.poll_event() {
            match event {
                SessionEvent::Told(event) => self.out.tell(Some(id), event, now),
                SessionEvent::JobWanted => wants.job = true,
                SessionEvent::Worked(difficulty) => self.chain.add_work(difficulty, now),
                SessionEvent::Solved { prevhash, hash } => wants.blocks.push((prevhash, hash)),
            }
        }
        wants
    }

    /// Without miners nobody looks for blocks at all.
    fn another_miner_finds_a_block(&mut self, now: Instant) {
        self.deadlines.block = now + self.config.block_every * PATIENCE;
        if self.sessions.values().any(Session::is_mining) {
            let (height, hash) = self.chain.extend_by_another_miner(now);
            let event = Event::Block { height, hash: hash.to_string(), finder: Finder::AnotherMiner };
            self.out.tell(None, event, now);
        }
        self.send_jobs(now);
    }

    /// One template for all miners.
    fn send_jobs(&mut self, now: Instant) {
        self.deadlines.job = now + self.config.job_every;
        let mining = self.sessions.iter().filter(|(_, session)| session.is_mining());
        let mining: Vec<ConnectionId> = mining.map(|(&id, _)| id).collect();
        if mining.is_empty() {
            return;
        }
        let template = self.chain.template(now);
        for id in mining {
            if let Some(session) = self.sessions.get_mut(&id) {
                session.send_job(&template);
                self.listen(id, now);
            }
        }
    }
}

/// What a session asked for while it was listened to.
#[derive(Debug, Default)]
struct Wants {
    job: bool,
    blocks: Vec<(BlockHash, BlockHash)>,
}

#[cfg(test)]
#[path = "practice_tests.rs"]
mod tests;
