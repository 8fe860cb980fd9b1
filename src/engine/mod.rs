//! The engine as a pure state machine: jobs, nonces, answers and time in; chip jobs and shares out. It waits for
//! nobody and does no I/O; `task` is the shell around it.

pub mod account;
pub mod advice;
mod assignment;
mod beside;
mod boards;
mod canary;
mod chips;
mod choice;
mod clocks;
pub mod crosscheck;
pub mod dispatch;
mod flush_cost;
pub mod gate;
pub mod inflight;
pub mod meter;
mod nonces;
pub mod odds;
pub mod pace;
pub mod policy;
pub mod snapshot;
pub mod task;
pub mod throttle;
mod upstreams;
mod value;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use signalcore_drivers::{BoardEvent, BoardStatus, ChipJob, status};

use self::account::Times;
use self::advice::{AdviceEnd, Asking};
use self::assignment::Switch;
pub use self::boards::BoardAbout;
use self::boards::{Board, BoardState};
use self::canary::Canary;
use self::crosscheck::Verdict;
use self::gate::Gate;
use self::inflight::InFlight;
use self::meter::BoardCounts;
use self::odds::Chances;
use self::pace::Pace;
use self::policy::{Policy, Strategy, UpstreamTerms};
use self::throttle::Throttle;
use self::upstreams::Upstreams;
use self::value::Value;
pub use crate::decision::UpstreamId;
use crate::decision::luck::Luck;
use crate::decision::quota::Ledger;
use crate::decision::{Call, Event, Warning};
use crate::model::advisor::Question;
use crate::model::output::Word;
use crate::validate::context::NodeQuestion;
use crate::validate::{self, Finding};
use crate::work::{Answered, Difficulty, Job, NotAShare, Share};

/// A board.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BoardId(pub usize);

/// What the engine wants done.
#[derive(Debug)]
pub enum Action {
    /// Give the board this job, or let it idle.
    Dispatch(BoardId, Option<ChipJob>),
    /// Send the share to the upstream that wanted it.
    Submit(UpstreamId, Box<Share>),
    /// Keep the upstream connected, or no longer.
    Want(UpstreamId, bool),
    /// So many hard events there have been: what a model was asked before is out of date.
    Moment(u64),
    /// Ask a model, without waiting.
    Ask(Box<Question>),
    /// Ask a node of our own, without waiting.
    AskNode(NodeQuestion),
    /// A call of the decider and its time, for a log.
    Record(Box<(Call, Instant)>),
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
    /// Hashing goes over to other upstreams, or to none.
    Switched {
        /// Whom we leave, in the operator's order.
        from: Vec<UpstreamId>,
        /// Whom we join.
        to: Vec<UpstreamId>,
        /// Why, for the operator.
        reason: String,
    },
    /// Something is held against an upstream, or no longer.
    Judged(UpstreamId, Verdict),
    /// Something about an upstream that changes nothing by itself.
    Warned(Warning),
    /// Far fewer blocks were in our hashing for an upstream than there should be.
    Unlucky(UpstreamId, Luck),
    /// A model would have another upstream hashed for, or this one kept.
    Advice {
        /// Which.
        upstream: UpstreamId,
        /// What it says.
        word: Word,
        /// Why, in its words, cleaned.
        reason: String,
        /// What became of it.
        end: AdviceEnd,
    },
    /// A check found something about a job of an upstream.
    Checked(UpstreamId, Finding),
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
    /// Something is right again that was wrong.
    Recovered(String),
    /// It does something else than before.
    State {
        /// What it did; `None` the first time.
        before: Option<status::BoardState>,
        /// What it does, and how it stands.
        status: Box<BoardStatus>,
    },
    /// A nonce of it did not verify.
    HardwareError(NotAShare),
}

/// The engine.
#[derive(Debug)]
pub struct Engine {
    started: Instant,
    upstreams: Upstreams,
    boards: BTreeMap<BoardId, Board>,
    /// Whom is hashed for, in the operator's order.
    active: Vec<UpstreamId>,
    ledger: Ledger,
    strategy: Strategy,
    in_flight: InFlight,
    next_chip_job: u64,
    throttle: Throttle,
    /// By upstream.
    chances: Vec<Chances>,
    gate: Gate,
    /// By upstream.
    paces: Vec<Pace>,
    /// When the upstreams may stand otherwise without a word from anybody.
    review_at: Option<Instant>,
    /// Since when nobody whom we hash for gives work.
    left_at: Option<Instant>,
    switch: Option<Switch>,
    /// From reading a job's line to the last board on it.
    switches: Times,
    /// From losing an upstream to the last board on another's work.
    failovers: Times,
    value: Value,
    canary: Canary,
    asking: Asking,
    learns_spells: bool,
    is_recorded: bool,
    /// The last time of day told, and when that was.
    time_of_day: (u64, Instant),
    /// The last one told.
    moment: u64,
    is_stopped: bool,
    outbox: VecDeque<Action>,
}

impl Engine {
    /// An engine for upstreams of these terms in order of priority, with no board yet.
    pub fn new(policy: Policy, terms: &[UpstreamTerms], now: Instant) -> Self {
        let weights: Vec<_> = terms.iter().map(|terms| terms.weight).collect();
        let mut engine = Self {
            started: now,
            upstreams: Upstreams::new(terms, policy),
            boards: BTreeMap::new(),
            active: Vec::new(),
            ledger: Ledger::new(&weights),
            strategy: policy.strategy,
            in_flight: InFlight::default(),
            next_chip_job: 0,
            throttle: Throttle::new(now),
            chances: vec![Chances::default(); terms.len()],
            gate: Gate::new(policy.validation, terms),
            paces: terms.iter().map(|terms| Pace::new(terms.vouches)).collect(),
            review_at: None,
            left_at: None,
            switch: None,
            switches: Times::default(),
            failovers: Times::default(),
            value: Value::new(&policy, terms, now),
            canary: Canary::new(policy.canary),
            asking: Asking::default(),
            learns_spells: policy.learns_spells,
            is_recorded: false,
            time_of_day: (0, now),
            moment: 0,
            is_stopped: false,
            outbox: VecDeque::new(),
        };
        engine.update_wanted(now);
        engine
    }

    /// Lets the extranonce2 counters of all upstreams begin there instead of at 0.
    #[must_use]
    pub fn with_extranonce2_from(mut self, start: u128) -> Self {
        self.upstreams.count_extranonces_from(start);
        self
    }

    /// When it was made, and its decider with it.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Tells all that decisions are made by.
    #[must_use]
    pub fn recorded(self) -> Self {
        Self { is_recorded: true, ..self }
    }

    /// What to do next; `None` when all is done for now.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.outbox.pop_front()
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let ready = self.boards.values().filter(|board| board.state != BoardState::Gone);
        let boards = ready.filter_map(|board| match board.state {
            BoardState::Starved => self.upstreams.find(board.upstream?).source.as_ref()?.next_second(),
            _ => board.slice_ends,
        });
        let others =
            [self.review_at, self.gate.due(), self.value_due(), self.canary.due(), self.next_question()];
        boards.chain(others.into_iter().flatten()).chain(self.paces.iter().filter_map(Pace::due)).min()
    }

    /// A board joins; it gets its own part of the running job at once.
    pub fn add_board(&mut self, board: BoardId, about: BoardAbout, now: Instant) {
        self.boards.insert(board, Board::new(&about, now));
        self.report(Report::Board(board, BoardReport::Joined(about)));
        self.assign(board, now);
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

    /// An upstream has authorised us.
    pub fn handle_upstream_up(&mut self, upstream: UpstreamId, now: Instant) {
        self.upstreams.find_mut(upstream).account.connected(now);
    }

    /// An upstream has a new job, read at `arrived`; `unix` is the time of day in seconds. It is taken up if its checks let it.
    pub fn handle_job(
        &mut self,
        upstream: UpstreamId,
        job: Arc<Job>,
        arrived: Instant,
        now: Instant,
        unix: u64,
    ) {
        self.learn_time(unix, now);
        self.gate.clocks.heard(upstream, job.header.ntime, now, unix);
        if self.admit(upstream, job, arrived, now, unix) {
            self.judge_again(upstream, now);
        } else {
            self.settle(now);
        }
    }

    /// Hashes a job that was let in.
    fn take_up(
        &mut self,
        upstream: UpstreamId,
        job: Arc<Job>,
        verdict: validate::Verdict,
        arrived: Instant,
        now: Instant,
        unix: u64,
    ) {
        let clean = self.upstreams.take_job(upstream, &job, verdict, arrived, now, unix);
        self.settle(now);
        self.value_job(upstream, &job, clean, now);
        if self.active.contains(&upstream) {
            self.report(Report::Job { upstream, job, clean });
        }
        self.soft_event(now);
    }

    /// An upstream has failed or lost its connection, for a `reason` where one is known: its job lives on only as the
    /// last resort.
    pub fn handle_upstream_lost(&mut self, upstream: UpstreamId, reason: Option<String>, now: Instant) {
        self.gate.lost(upstream);
        self.upstreams.lose(upstream, reason, now);
        self.settle(now);
        self.value_lost(upstream, now);
        self.steer_canary(now);
    }

    /// An upstream has said something that is no job and no answer.
    pub fn handle_alive(&mut self, upstream: UpstreamId, now: Instant) {
        self.value_event(Event::Alive(upstream), now);
    }

    /// A share has come to its end at its upstream.
    pub fn handle_answer(&mut self, upstream: UpstreamId, answered: Answered, now: Instant) {
        let board = self.upstreams.ended(upstream, answered.share.hash());
        self.value_answered(upstream, &answered, now);
        let account = &mut self.upstreams.find_mut(upstream).account;
        account.shares.count(&answered);
        if let Some(latency) = answered.latency {
            account.answers.add(latency);
        }
        if let Some(board) = board.and_then(|board| self.boards.get_mut(&board)) {
            board.shares.count(&answered);
        }
        self.report(Report::Share(upstream, answered));
        self.settle(now);
    }

    /// A board has something to say.
    pub fn handle_board(&mut self, board: BoardId, event: BoardEvent, now: Instant) {
        match event {
            BoardEvent::Nonce { job, nonce, version } => self.handle_nonce(board, job, nonce, version, now),
            BoardEvent::Started { job, at } => self.handle_started(board, job, at),
            BoardEvent::Hashes(hashes) => self.handle_hashes(board, hashes, now),
            BoardEvent::JobEnding(job) if self.in_flight.newest_id(board) == Some(job) => {
                if let Some(place) = self.boards.get_mut(&board) {
                    place.asked(now);
                }
                self.dispatch(board, now);
            }
            BoardEvent::Overflow(nonces) => self.count(board, |counts| counts.overflowed += nonces),
            BoardEvent::Fault(text) => self.report(Report::Board(board, BoardReport::Fault(text))),
            BoardEvent::Recovered(text) => self.report(Report::Board(board, BoardReport::Recovered(text))),
            BoardEvent::Status(status) => self.handle_status(board, *status),
            // Boards may learn to say more than this engine listens to.
            _ => {}
        }
    }

    /// The time has come that [`Self::poll_timeout`] named.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.release(now);
        self.settle(now);
        self.value_timeout(now);
        self.steer_canary(now);
        self.ask(now);
        for index in 0..self.paces.len() {
            if self.paces[index].due().is_some_and(|due| now >= due) {
                self.hand_on(UpstreamId(index), false, now);
            }
        }
        let over = |board: &Board| board.slice_ends.is_some_and(|end| now >= end);
        for board in self.boards_where(over) {
            if self.assign(board, now) {
                self.dispatch(board, now);
            }
        }
        self.dispatch_where(now, |board| board.state == BoardState::Starved);
    }

    /// All boards idle; nonces and answers on their way are still taken.
    pub fn stop(&mut self) {
        self.is_stopped = true;
        self.upstreams.stop();
        self.active.clear();
        self.idle_all();
    }

    /// Looks at all upstreams anew, and tells the decider what it cannot see.
    fn settle(&mut self, now: Instant) {
        for (upstream, verdict) in self.upstreams.review(now) {
            self.report(Report::Judged(upstream, verdict));
        }
        for index in 0..self.paces.len() {
            self.value_judged(UpstreamId(index), now);
        }
        let active = std::mem::take(&mut self.active);
        self.note_left(&active);
        self.active = active;
        self.update_wanted(now);
        self.review_at = self.upstreams.next_change(now);
    }

    fn update_wanted(&mut self, now: Instant) {
        let works = self.value.decider().works(now);
        for (upstream, is_wanted) in self.upstreams.update_wanted(&works, now) {
            self.outbox.push_back(Action::Want(upstream, is_wanted));
        }
    }

    /// What it measures is a stranger's word until it has been checked.
    fn handle_status(&mut self, board: BoardId, status: BoardStatus) {
        let status = status.checked();
        let Some(place) = self.boards.get_mut(&board) else { return };
        let news = place.chips.look(&status);
        let before = place.status.replace(status.clone()).map(|status| status.state);
        if before.as_ref() != Some(&status.state) {
            let status = Box::new(status);
            self.report(Report::Board(board, BoardReport::State { before, status }));
        }
        for report in news {
            self.report(Report::Board(board, report));
        }
    }

    fn count(&mut self, board: BoardId, change: impl FnOnce(&mut BoardCounts)) {
        if let Some(board) = self.boards.get_mut(&board) {
            change(&mut board.counts);
        }
    }

    /// Tells of hard events, if there was one.
    fn tell_moment(&mut self) {
        let moment = self.value.decider().moment();
        if std::mem::replace(&mut self.moment, moment) != moment {
            self.outbox.push_back(Action::Moment(moment));
        }
    }

    /// The time of day is known: from it follows when the day ends, after which a model has a new budget.
    fn learn_time(&mut self, unix: u64, now: Instant) {
        const DAY: u64 = 86_400;
        let (known, _) = std::mem::replace(&mut self.time_of_day, (unix, now));
        if known / DAY != unix / DAY {
            let next = now + Duration::from_secs(DAY - unix % DAY);
            self.value.decider_mut().midnight(next, now);
        }
    }

    /// Seconds since 1970, as far as jobs have told.
    fn unix_at(&self, now: Instant) -> u64 {
        let (unix, at) = self.time_of_day;
        unix + now.saturating_duration_since(at).as_secs()
    }

    fn report(&mut self, report: Report) {
        self.outbox.push_back(Action::Report(report));
    }
}

#[cfg(test)]
mod tests;
