//! The engine as a pure state machine: jobs, nonces, answers and time in; chip jobs and shares out. It waits for
//! nobody and does no I/O; `task` is the shell around it.

pub mod dispatch;
pub mod inflight;
pub mod meter;
pub mod snapshot;
pub mod task;
pub mod throttle;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use signalcore_drivers::{BoardEvent, ChipJob, ChipJobId};

use self::dispatch::Source;
use self::inflight::{Dispatched, InFlight};
use self::meter::{BoardCounts, RateMeter, ShareCounts, SwitchTimes};
use self::throttle::Throttle;
use crate::work::{Answered, Difficulty, Extranonce2Allocator, HashRate, Job, NotAShare, Outcome, Share};

/// An upstream's place in the operator's order; the first is the most wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UpstreamId(pub usize);

/// A board.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BoardId(pub usize);

/// What is known of a board before it hashes.
#[derive(Debug, Clone, PartialEq)]
pub struct BoardAbout {
    /// Its name.
    pub name: String,
    /// What it is made of.
    pub detail: String,
    /// What it should reach.
    pub expected_rate: HashRate,
}

/// How long boards go on with the last job when no upstream is left: most outages are shorter, and a pool that resumes
/// takes the shares. After that it would only burn power.
const GRACE: Duration = Duration::from_secs(30);

/// What the engine wants done.
#[derive(Debug)]
pub enum Action {
    /// Give the board this job, or let it idle.
    Dispatch(BoardId, Option<ChipJob>),
    /// Send the share to the upstream that wanted it.
    Submit(UpstreamId, Box<Share>),
    /// Tell the operator.
    Report(Report),
}

/// What an operator wants to hear of.
#[derive(Debug)]
pub enum Report {
    /// A job was taken up.
    Job {
        /// Whose.
        upstream: UpstreamId,
        /// The job.
        job: Arc<Job>,
        /// Whether older work is void.
        clean: bool,
    },
    /// Hashing goes over to another upstream, or to none.
    Switched {
        /// Whom we leave.
        from: Option<UpstreamId>,
        /// Whom we join.
        to: Option<UpstreamId>,
    },
    /// A share has come to its end.
    Share(UpstreamId, Answered),
    /// A board came, went or complains.
    Board(BoardId, BoardReport),
}

/// What happened to a board.
#[derive(Debug, Clone, PartialEq)]
pub enum BoardReport {
    /// It takes work from now on.
    Joined(BoardAbout),
    /// It takes none any more.
    Gone,
    /// The pool's difficulty is so low that the board is asked for its better nonces only.
    Ceiling {
        /// The pool's difficulty.
        asked: Difficulty,
        /// What a nonce must reach to be reported.
        reported: Difficulty,
    },
    /// Something is wrong with it.
    Fault(String),
    /// A nonce of it did not verify.
    HardwareError(NotAShare),
}

#[derive(Debug)]
struct Upstream {
    /// The newest job, kept for a while after the upstream is lost.
    source: Option<Source>,
    lost_at: Option<Instant>,
    extranonces: Extranonce2Allocator,
    counts: ShareCounts,
}

impl Upstream {
    fn is_live(&self) -> bool {
        self.source.is_some() && self.lost_at.is_none()
    }
}

#[derive(Debug)]
struct Board {
    name: String,
    expected_rate: HashRate,
    rate: RateMeter,
    counts: BoardCounts,
    state: BoardState,
    /// The pool difficulty below which it was last told that the board reports less.
    ceiling_told: Option<Difficulty>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BoardState {
    /// It takes work.
    Ready,
    /// It idles for want of unused work and shall get some as soon as there is.
    Starved,
    /// It is no more; only its counters are.
    Gone,
}

/// The engine.
#[derive(Debug)]
pub struct Engine {
    started: Instant,
    upstreams: Vec<Upstream>,
    boards: BTreeMap<BoardId, Board>,
    current: Option<UpstreamId>,
    in_flight: InFlight,
    next_chip_job: u64,
    throttle: Throttle,
    switches: SwitchTimes,
    outbox: VecDeque<Action>,
}

impl Engine {
    /// An engine for `upstreams` upstreams in order of priority, with no board yet.
    pub fn new(upstreams: usize, now: Instant) -> Self {
        let upstream = || Upstream {
            source: None,
            lost_at: None,
            extranonces: Extranonce2Allocator::default(),
            counts: ShareCounts::default(),
        };
        Self {
            started: now,
            upstreams: std::iter::repeat_with(upstream).take(upstreams).collect(),
            boards: BTreeMap::new(),
            current: None,
            in_flight: InFlight::default(),
            next_chip_job: 0,
            throttle: Throttle::new(now),
            switches: SwitchTimes::default(),
            outbox: VecDeque::new(),
        }
    }

    /// What to do next; `None` when all is done for now.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.outbox.pop_front()
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let upstream = &self.upstreams[self.current?.0];
        let grace_ends = upstream.lost_at.map(|lost| lost + GRACE);
        let starved = self.boards.values().any(|board| board.state == BoardState::Starved);
        let more_work = upstream.source.as_ref().filter(|_| starved).and_then(Source::next_second);
        grace_ends.into_iter().chain(more_work).min()
    }

    /// A board joins; it gets its own part of the running job at once.
    pub fn add_board(&mut self, board: BoardId, about: BoardAbout, now: Instant) {
        let rate = RateMeter::new(now);
        let counts = BoardCounts::default();
        let (name, expected_rate) = (about.name.clone(), about.expected_rate);
        self.boards.insert(
            board,
            Board { name, expected_rate, rate, counts, state: BoardState::Ready, ceiling_told: None },
        );
        self.report(Report::Board(board, BoardReport::Joined(about)));
        self.dispatch(board, now);
    }

    /// A board is gone. Its counters stay.
    pub fn remove_board(&mut self, board: BoardId) {
        self.in_flight.forget(board);
        if let Some(board) = self.boards.get_mut(&board) {
            board.state = BoardState::Gone;
        }
        self.report(Report::Board(board, BoardReport::Gone));
    }

    /// An upstream has a new job, read at `arrived`.
    pub fn handle_job(&mut self, upstream: UpstreamId, job: Arc<Job>, arrived: Instant, now: Instant) {
        let Some(place) = self.upstreams.get_mut(upstream.0) else { return };
        let clean = place.source.as_ref().is_none_or(|source| source.job.epoch < job.epoch);
        place.lost_at = None;
        place.source = Some(Source::new(Arc::clone(&job), arrived));
        if !self.steer(now) && self.current == Some(upstream) {
            self.dispatch_all(now);
        }
        if self.current == Some(upstream) {
            self.report(Report::Job { upstream, job, clean });
        }
    }

    /// An upstream has lost its connection: its job lives on only as the last resort.
    pub fn handle_upstream_lost(&mut self, upstream: UpstreamId, now: Instant) {
        let Some(place) = self.upstreams.get_mut(upstream.0) else { return };
        if place.source.is_some() && place.lost_at.is_none() {
            place.lost_at = Some(now);
            self.steer(now);
        }
    }

    /// A share has come to its end at its upstream.
    pub fn handle_answer(&mut self, upstream: UpstreamId, answered: Answered) {
        if let Some(place) = self.upstreams.get_mut(upstream.0) {
            place.counts.count(&answered);
        }
        self.report(Report::Share(upstream, answered));
    }

    /// A board has something to say.
    pub fn handle_board(&mut self, board: BoardId, event: BoardEvent, now: Instant) {
        match event {
            BoardEvent::Nonce { job, nonce, version } => self.handle_nonce(board, job, nonce, version, now),
            BoardEvent::Started { job, at } => self.handle_started(board, job, at),
            BoardEvent::Hashes(hashes) => {
                if let Some(board) = self.boards.get_mut(&board) {
                    board.counts.hashes += hashes;
                    board.rate.count(hashes, now);
                }
            }
            BoardEvent::JobEnding(job) if self.in_flight.newest_id(board) == Some(job) => {
                self.dispatch(board, now);
            }
            BoardEvent::Overflow(nonces) => self.count(board, |counts| counts.overflowed += nonces),
            BoardEvent::Fault(text) => self.report(Report::Board(board, BoardReport::Fault(text))),
            // Boards may learn to say more than this engine listens to.
            _ => {}
        }
    }

    /// The time has come that [`Self::poll_timeout`] named.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.steer(now);
        let starved: Vec<_> = self
            .boards
            .iter()
            .filter(|(_, board)| board.state == BoardState::Starved)
            .map(|(id, _)| *id)
            .collect();
        for board in starved {
            self.dispatch(board, now);
        }
    }

    /// All boards idle; nonces and answers on their way are still taken.
    pub fn stop(&mut self) {
        self.upstreams.iter_mut().for_each(|upstream| upstream.source = None);
        self.current = None;
        self.idle_all();
    }

    /// The first upstream that has work; the current one for a while after it is lost when there is none. True when
    /// that is another than before; then all boards have been told.
    fn steer(&mut self, now: Instant) -> bool {
        let live = self.upstreams.iter().position(Upstream::is_live).map(UpstreamId);
        let last_resort = self.current.filter(|current| {
            let upstream = &self.upstreams[current.0];
            upstream.source.is_some() && upstream.lost_at.is_some_and(|lost| now < lost + GRACE)
        });
        let to = live.or(last_resort);
        if to == self.current {
            return false;
        }
        let from = std::mem::replace(&mut self.current, to);
        self.report(Report::Switched { from, to });
        match to {
            Some(_) => self.dispatch_all(now),
            None => self.idle_all(),
        }
        true
    }

    fn dispatch_all(&mut self, now: Instant) {
        let boards: Vec<_> = self.boards.keys().copied().collect();
        for board in boards {
            self.dispatch(board, now);
        }
    }

    fn idle_all(&mut self) {
        for (id, board) in self.boards.iter_mut().filter(|(_, board)| board.state != BoardState::Gone) {
            board.state = BoardState::Ready;
            self.outbox.push_back(Action::Dispatch(*id, None));
        }
    }

    /// Gives a board work that no board has had yet.
    fn dispatch(&mut self, board: BoardId, now: Instant) {
        let Some(current) = self.current else { return };
        let Some(place) = self.boards.get_mut(&board).filter(|place| place.state != BoardState::Gone) else {
            return;
        };
        let upstream = &mut self.upstreams[current.0];
        let Some(source) = &mut upstream.source else { return };
        let work = source.next_work(&mut upstream.extranonces, now);
        place.state = if work.is_some() { BoardState::Ready } else { BoardState::Starved };
        let chip_job = work.map(|work| {
            let id = ChipJobId(self.next_chip_job);
            self.next_chip_job += 1;
            let rate = place.rate.measured_or(place.expected_rate, now);
            let target = dispatch::chip_target(&work, rate);
            let ceiling = (target < work.target()).then(|| target.difficulty());
            let chip_job = dispatch::chip_job(id, &work, target);
            let newest = self.in_flight.newest(board);
            let before = newest.filter(|newest| !Arc::ptr_eq(newest.work.job(), work.job()));
            let began = before.map(|before| if before.upstream == current { source.arrived } else { now });
            let asked = work.job().difficulty;
            self.in_flight.insert(board, id, Dispatched::new(current, work, target, began));
            // Once for each difficulty: a person then knows why fewer shares come than the pool asks for.
            if let Some(reported) = ceiling.filter(|_| place.ceiling_told != Some(asked)) {
                place.ceiling_told = Some(asked);
                let report = BoardReport::Ceiling { asked, reported };
                self.outbox.push_back(Action::Report(Report::Board(board, report)));
            }
            chip_job
        });
        self.outbox.push_back(Action::Dispatch(board, chip_job));
    }

    fn handle_started(&mut self, board: BoardId, job: ChipJobId, at: Instant) {
        if let Some(began) = self.in_flight.find(board, job).and_then(|dispatched| dispatched.switch_began) {
            self.switches.add(at.saturating_duration_since(began));
        }
    }

    fn handle_nonce(&mut self, board: BoardId, job: ChipJobId, nonce: u32, version: u32, now: Instant) {
        let Some(dispatched) = self.in_flight.find(board, job) else {
            self.count(board, |counts| counts.unknown += 1);
            return;
        };
        if !dispatched.is_new(nonce, version) {
            self.count(board, |counts| counts.duplicates += 1);
            return;
        }
        let upstream = dispatched.upstream;
        match dispatched.work.verify(version, nonce) {
            Ok(share) => self.handle_share(board, upstream, Box::new(share), now),
            // Good enough for the board's own target: it shows that the board works, no more.
            Err(NotAShare::AboveTarget(hash)) if dispatched.chip_target.is_met_by(&hash) => {}
            Err(error) => {
                self.count(board, |counts| counts.hardware_errors += 1);
                self.report(Report::Board(board, BoardReport::HardwareError(error)));
            }
        }
    }

    fn handle_share(&mut self, board: BoardId, upstream: UpstreamId, share: Box<Share>, now: Instant) {
        self.count(board, |counts| counts.shares += 1);
        let newest = self.upstreams[upstream.0].source.as_ref().map(|source| source.job.epoch);
        let is_stale = newest.is_some_and(|newest| share.job().epoch < newest);
        if is_stale && !share.solves_block() {
            self.handle_answer(upstream, Answered { share, outcome: Outcome::Stale, latency: None });
        } else if share.solves_block() || self.throttle.allows(now) {
            self.outbox.push_back(Action::Submit(upstream, share));
        } else {
            self.count(board, |counts| counts.filtered += 1);
        }
    }

    fn count(&mut self, board: BoardId, change: impl FnOnce(&mut BoardCounts)) {
        if let Some(board) = self.boards.get_mut(&board) {
            change(&mut board.counts);
        }
    }

    fn report(&mut self, report: Report) {
        self.outbox.push_back(Action::Report(report));
    }
}

#[cfg(test)]
mod tests;
