//! The shell around the engine: the one `select!` through which everything reaches it.

use std::collections::BTreeMap;
use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use signalcore_drivers::{BoardEvent, BoardHandle, ChipJob};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, WatchStream};
use tokio_stream::{Stream, StreamExt, StreamMap};

use super::advice::AskTerms;
use super::policy::{Policy, UpstreamTerms};
use super::snapshot::{Snapshot, Tally};
use super::{Action, BoardAbout, BoardId, Engine, Report, UpstreamId};
use crate::clock::{now, sleep_until, unix_now};
use crate::decision::Call;
use crate::model::advisor::Advised;
use crate::model::task::ModelHandle;
use crate::replay::review::Reviewed;
use crate::upstream::solo::SoloFigures;
use crate::upstream::{Arrival, MadeOf, SoloHandle, Traffic, UpstreamEvent, UpstreamHandle, UpstreamNews};
use crate::work::{Answered, HashRate, LostReason, Outcome, Share};

/// How long boards may take to hand over their last nonces, and upstreams to bring their last shares home; the latter
/// have a limit of their own, so this only guards against a task that hangs.
const LAST_NONCES: Duration = Duration::from_millis(500);
const LAST_ANSWERS: Duration = Duration::from_secs(3);

/// Something for the operator, with the state of the moment.
#[derive(Debug)]
pub struct Notice {
    /// Of all boards, about the last ten seconds.
    pub rate: HashRate,
    /// Shares of all upstreams by how they ended.
    pub tally: Tally,
    /// What happened.
    pub event: NoticeEvent,
}

/// How often programs are told the figures of the run.
const STATS_EVERY: Duration = Duration::from_secs(60);

/// What happened.
#[derive(Debug)]
pub enum NoticeEvent {
    /// Nothing did; a minute has passed. With how solo mining stands, if there is any.
    Stats(Box<Snapshot>, Option<Box<SoloFigures>>),
    /// The engine has something to report.
    Engine(Report),
    /// What a policy would have made of the time since the start.
    Reviewed(Reviewed),
    /// An upstream has.
    Upstream(UpstreamId, UpstreamNews),
}

/// When to end without being asked.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// After this time.
    pub seconds: Option<Duration>,
    /// After this many accepted shares.
    pub shares: Option<u64>,
    /// After this many accepted blocks.
    pub blocks: Option<u64>,
    /// When every upstream has failed once before any gave work.
    pub require_upstream: bool,
}

/// Why it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Asked to.
    Asked,
    /// The time is over.
    Time,
    /// The shares are accepted.
    Shares,
    /// The blocks are accepted.
    Blocks,
    /// No upstream would take us.
    NoUpstream,
    /// No board is left, and none will come.
    NoBoard,
}

/// What was asked for and what became of it.
#[derive(Debug)]
pub struct Finish {
    /// Why it ended.
    pub end: End,
    /// Whether any upstream ever gave work.
    pub had_work: bool,
    /// The last failure of each upstream.
    pub failures: Vec<Option<String>>,
    /// The last view.
    pub snapshot: Snapshot,
    /// How solo mining stood, if there was any.
    pub solo: Option<SoloFigures>,
}

/// Another one in each run. Source: the keys of the standard library's hash maps, which the system draws.
fn any_number() -> u128 {
    let half = || u128::from(RandomState::new().build_hasher().finish());
    half() << 64 | half()
}

/// Who writes down what decisions are made by.
pub type Records = std::sync::mpsc::SyncSender<(Call, Instant)>;

/// The next advice; never without a model, nor once it has ended.
async fn advice(model: &mut Option<ModelHandle>) -> Option<Advised> {
    match model {
        Some(model) => model.advice.recv().await,
        None => std::future::pending().await,
    }
}

/// The next word of a review; never without any.
async fn review(reviews: &mut Option<mpsc::Receiver<Reviewed>>) -> Option<Reviewed> {
    match reviews {
        Some(reviews) => reviews.recv().await,
        None => std::future::pending().await,
    }
}

/// The events of a board, and a `None` when it is gone.
type BoardEvents = Pin<Box<dyn Stream<Item = Option<BoardEvent>> + Send>>;

/// The engine with its channels.
pub struct EngineTask<N> {
    engine: Engine,
    limits: Limits,
    ends_at: Option<Instant>,
    stats_at: Instant,
    /// Decisions of which programs have been told.
    decisions_told: u64,
    /// Takes notices; must not wait.
    notify: N,
    board_jobs: BTreeMap<BoardId, watch::Sender<Option<ChipJob>>>,
    board_events: StreamMap<BoardId, BoardEvents>,
    shares: Vec<Option<mpsc::Sender<Box<Share>>>>,
    wanted: Vec<watch::Sender<bool>>,
    traffic: Vec<Arc<Traffic>>,
    solo: Option<SoloHandle>,
    /// By upstream: what it may be hashed for with.
    rates: Vec<watch::Sender<HashRate>>,
    upstreams: UpstreamStreams,
    model: Option<ModelHandle>,
    records: Option<Records>,
    reviews: Option<mpsc::Receiver<Reviewed>>,
    progress: Progress,
}

struct UpstreamStreams {
    jobs: StreamMap<UpstreamId, WatchStream<Option<Arrival>>>,
    events: StreamMap<UpstreamId, ReceiverStream<UpstreamEvent>>,
}

/// What the ends are judged by.
#[derive(Default)]
struct Progress {
    had_work: bool,
    /// The last failure of each upstream.
    failures: Vec<Option<String>>,
    next_board: usize,
    boards_to_come: bool,
}

impl<N: FnMut(Notice)> EngineTask<N> {
    /// An engine for these upstreams, in order of priority, each with its terms.
    pub fn new(
        upstreams: Vec<(UpstreamHandle, UpstreamTerms)>,
        policy: Policy,
        limits: Limits,
        notify: N,
    ) -> Self {
        let terms: Vec<_> = upstreams.iter().map(|(_, terms)| *terms).collect();
        let mut task = Self {
            engine: Engine::new(policy, &terms, now()).with_extranonce2_from(any_number()),
            ends_at: limits.seconds.map(|seconds| now() + seconds),
            stats_at: now() + STATS_EVERY,
            decisions_told: 0,
            limits,
            notify,
            board_jobs: BTreeMap::new(),
            board_events: StreamMap::new(),
            shares: Vec::new(),
            wanted: Vec::new(),
            traffic: Vec::new(),
            solo: None,
            rates: Vec::new(),
            upstreams: UpstreamStreams { jobs: StreamMap::new(), events: StreamMap::new() },
            model: None,
            records: None,
            reviews: None,
            progress: Progress {
                failures: vec![None; upstreams.len()],
                boards_to_come: true,
                ..Progress::default()
            },
        };
        for (index, (upstream, _)) in upstreams.into_iter().enumerate() {
            task.upstreams.jobs.insert(UpstreamId(index), WatchStream::from_changes(upstream.jobs));
            task.upstreams.events.insert(UpstreamId(index), ReceiverStream::new(upstream.events));
            task.shares.push(Some(upstream.shares));
            task.wanted.push(upstream.wanted);
            task.traffic.push(upstream.traffic);
            task.solo = task.solo.or(upstream.solo);
            task.rates.push(upstream.rate);
        }
        task
    }

    /// When its engine was made.
    pub fn started(&self) -> Instant {
        self.engine.started()
    }

    /// Asks a model, which nobody waits for.
    #[must_use]
    pub fn with_model(self, model: Option<(ModelHandle, AskTerms)>) -> Self {
        let Some((model, terms)) = model else { return self };
        Self { engine: self.engine.with_model(terms), model: Some(model), ..self }
    }

    /// Tells somebody all that decisions are made by.
    #[must_use]
    pub fn with_records(self, records: Option<Records>) -> Self {
        let Some(records) = records else { return self };
        Self { engine: self.engine.recorded(), records: Some(records), ..self }
    }

    /// Tells what reviews of that come to.
    #[must_use]
    pub fn with_reviews(self, reviews: Option<mpsc::Receiver<Reviewed>>) -> Self {
        Self { reviews, ..self }
    }

    /// Runs until `stop` is ready or a limit is reached; then stops in order: boards idle and hand over their last
    /// nonces, upstreams bring the last shares home. `boards` yields each board once it is ready.
    pub async fn run(
        mut self,
        mut boards: mpsc::Receiver<BoardHandle>,
        stop: impl Future<Output = ()>,
    ) -> Finish {
        tokio::pin!(stop);
        let end = loop {
            self.act();
            if let Some(end) = self.end() {
                break end;
            }
            self.tell_stats();
            let due = [self.engine.poll_timeout(), self.ends_at, Some(self.stats_at)];
            let wake_at = due.into_iter().flatten().min();
            // In this order, one thing a turn: what a pool tells before its job is heard before it, and a fresh job
            // comes before the nonces of the one it replaces.
            tokio::select! {
                biased;
                () = &mut stop => break End::Asked,
                Some((upstream, event)) = self.upstreams.events.next() => self.take_event(upstream, event),
                Some((upstream, arrival)) = self.upstreams.jobs.next() => self.take_job(upstream, arrival),
                Some((board, event)) = self.board_events.next() => self.take_board_event(board, event),
                Some(advised) = advice(&mut self.model) => self.engine.handle_advice(&advised, now()),
                Some(reviewed) = review(&mut self.reviews) => self.notify(NoticeEvent::Reviewed(reviewed)),
                board = boards.recv(), if self.progress.boards_to_come => match board {
                    Some(board) => self.add_board(board),
                    None => self.progress.boards_to_come = false,
                },
                () = sleep_until(wake_at) => self.engine.handle_timeout(now()),
            }
        };
        self.shut_down().await;
        let snapshot = self.snapshot();
        let Progress { had_work, failures, .. } = self.progress;
        let solo = self.solo.as_ref().map(|solo| solo.figures.borrow().clone());
        Finish { end, had_work, failures, snapshot, solo }
    }

    fn snapshot(&mut self) -> Snapshot {
        let mut snapshot = self.engine.snapshot(now());
        (snapshot.records, self.decisions_told) = self.engine.decisions_after(self.decisions_told);
        for (upstream, traffic) in snapshot.upstreams.iter_mut().zip(&self.traffic) {
            upstream.bytes_read = traffic.read.load(Ordering::Relaxed);
            upstream.bytes_written = traffic.written.load(Ordering::Relaxed);
        }
        snapshot.model = self.model.as_ref().map(|model| model.condition.borrow().clone());
        snapshot
    }

    fn tell_stats(&mut self) {
        if now() >= self.stats_at {
            self.stats_at = now() + STATS_EVERY;
            self.tell_rate();
            let snapshot = self.snapshot();
            let solo = self.solo.as_ref().map(|solo| Box::new(solo.figures.borrow().clone()));
            self.notify(NoticeEvent::Stats(Box::new(snapshot), solo));
        }
    }

    fn end(&self) -> Option<End> {
        let Progress { had_work, failures, boards_to_come, .. } = &self.progress;
        if self.limits.shares.is_some_and(|shares| self.engine.tally().accepted >= shares) {
            Some(End::Shares)
        } else if self.limits.blocks.is_some_and(|blocks| self.engine.blocks() >= blocks) {
            Some(End::Blocks)
        } else if self.ends_at.is_some_and(|at| now() >= at) {
            Some(End::Time)
        } else if self.limits.require_upstream && !had_work && failures.iter().all(Option::is_some) {
            Some(End::NoUpstream)
        } else if !boards_to_come && self.board_events.is_empty() {
            Some(End::NoBoard)
        } else {
            None
        }
    }

    fn add_board(&mut self, board: BoardHandle) {
        let id = BoardId(self.progress.next_board);
        self.progress.next_board += 1;
        self.board_jobs.insert(id, board.job);
        let events = ReceiverStream::new(board.events).map(Some).chain(tokio_stream::once(None));
        self.board_events.insert(id, Box::pin(events));
        let expected_rate = HashRate(board.expected_rate);
        let about = BoardAbout { name: board.name, detail: board.detail, expected_rate };
        self.engine.add_board(id, about, now());
        self.tell_rate();
    }

    /// What each upstream may be hashed for with: difficulties are suggested by it.
    fn tell_rate(&self) {
        for (index, rate) in self.rates.iter().enumerate() {
            rate.send_replace(self.engine.rate_for(UpstreamId(index), now()));
        }
    }

    fn take_job(&mut self, upstream: UpstreamId, arrival: Option<Arrival>) {
        match arrival {
            Some(Arrival { job, at, made_of }) => {
                self.progress.had_work = true;
                if let Some(MadeOf { chain, template }) = made_of {
                    self.engine.handle_template(upstream, &chain, template);
                }
                self.engine.handle_job(upstream, job, at, now(), unix_now());
            }
            None => self.engine.handle_upstream_lost(upstream, None, now()),
        }
    }

    fn take_event(&mut self, upstream: UpstreamId, event: UpstreamEvent) {
        match event {
            UpstreamEvent::Answered(answered) => self.engine.handle_answer(upstream, answered, now()),
            UpstreamEvent::NodeAnswered(answer) => self.engine.handle_node_answer(answer, now()),
            UpstreamEvent::BlockRefused(reason) => {
                self.engine.handle_block_refused(upstream, reason, now());
            }
            UpstreamEvent::News(news) => {
                match &news {
                    UpstreamNews::Mining => self.engine.handle_upstream_up(upstream, now()),
                    UpstreamNews::Down { reason, .. } => {
                        self.progress.failures[upstream.0] = Some(reason.clone());
                        self.engine.handle_upstream_lost(upstream, Some(reason.clone()), now());
                    }
                    UpstreamNews::Connecting(_) | UpstreamNews::Resting | UpstreamNews::Redirected(_) => {}
                    _ => self.engine.handle_alive(upstream, now()),
                }
                self.notify(NoticeEvent::Upstream(upstream, news));
            }
        }
    }

    fn take_board_event(&mut self, board: BoardId, event: Option<BoardEvent>) {
        if let Some(event) = event {
            self.engine.handle_board(board, event, now());
        } else {
            self.board_jobs.remove(&board);
            self.engine.remove_board(board);
            self.tell_rate();
        }
    }

    /// Carries out what the engine wants.
    fn act(&mut self) {
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::Dispatch(board, job) => {
                    if let Some(place) = self.board_jobs.get(&board) {
                        place.send_replace(job);
                    }
                }
                Action::Submit(upstream, share) => self.submit(upstream, share),
                Action::Want(upstream, is_wanted) => drop(self.wanted[upstream.0].send_replace(is_wanted)),
                Action::Moment(moment) => {
                    if let Some(model) = &self.model {
                        model.moment.send_replace(moment);
                    }
                }
                Action::Record(call) => {
                    // Full, it loses a line: hashing does not wait for a disk.
                    if let Some(records) = &self.records {
                        records.try_send(*call).ok();
                    }
                }
                Action::Ask(question) => {
                    if let Some(model) = &self.model {
                        model.questions.send_replace(Some(*question));
                    }
                }
                Action::AskNode(question) => {
                    // Full, it loses a question: nothing is hashed later or otherwise for the want of an answer.
                    if let Some(solo) = &self.solo {
                        solo.questions.try_send(question).ok();
                    }
                }
                Action::Report(report) => self.notify(NoticeEvent::Engine(report)),
            }
        }
    }

    fn submit(&mut self, upstream: UpstreamId, share: Box<Share>) {
        let refused = match &self.shares[upstream.0] {
            Some(shares) => match shares.try_send(share) {
                Ok(()) => return,
                Err(mpsc::error::TrySendError::Full(share)) => (share, LostReason::TooMany),
                Err(mpsc::error::TrySendError::Closed(share)) => (share, LostReason::Stopped),
            },
            None => (share, LostReason::Stopped),
        };
        let (share, reason) = refused;
        let answered = Answered { share, outcome: Outcome::Lost(reason), latency: None };
        self.engine.handle_answer(upstream, answered, now());
    }

    async fn shut_down(&mut self) {
        self.engine.stop();
        self.act();
        // Boards that lose their sender end, and their events with them.
        self.board_jobs.clear();
        let drained = async {
            while let Some((board, event)) = self.board_events.next().await {
                // What is shown at the end is how a board stood while it was at work.
                if matches!(event, Some(BoardEvent::Status(_))) {
                    continue;
                }
                self.take_board_event(board, event);
                self.act();
            }
        };
        tokio::time::timeout(LAST_NONCES, drained).await.ok();
        self.shares.fill(None);
        let answered = async {
            while let Some((upstream, event)) = self.upstreams.events.next().await {
                self.take_event(upstream, event);
                self.act();
            }
        };
        tokio::time::timeout(LAST_ANSWERS, answered).await.ok();
    }

    fn notify(&mut self, event: NoticeEvent) {
        (self.notify)(Notice { rate: self.engine.recent_rate(now()), tally: self.engine.tally(), event });
    }
}
