//! A pool: a stream and timers around the Stratum session. Moves bytes, wakes at the session's times, reconnects.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use super::journal::Journal;
use super::retry::{GOOD_SERVICE, Retry};
use super::suspend::{BETWEEN_LOOKS, Clocks, SleepDetector};
use super::tls::is_alert;
use super::transport::{self, ConnectError, Moved, Route, Stream, address};
use super::{Arrival, EVENT_CAPACITY, SHARE_CAPACITY, Traffic, UpstreamEvent, UpstreamHandle, UpstreamNews};
use crate::clock::{now, sleep_until, unix_now};
use crate::memory::Recollection;
use crate::protocol::block_record::{Answer, Fate, Found};
use crate::protocol::line::LineBuffer;
use crate::protocol::pool_memory::PoolKey;
use crate::protocol::redirect::{Destination, RedirectPolicy};
use crate::protocol::session_config::SessionConfig;
use crate::protocol::stratum_session::{Event, Session};
use crate::protocol::text::printable;
use crate::work::{Answered, HashRate, Outcome, Share};

/// How long the last shares may take to be answered when the miner stops.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
/// Bytes that may wait to be written: a pool that takes none for so long is dead.
const MAX_UNWRITTEN: usize = 256 * 1024;
/// Characters of a line that the log shows.
const MAX_LOGGED: usize = 4096;
const READ_BUFFER: usize = 16 * 1024;

/// What a pool's task needs to know.
#[derive(Debug, Clone)]
pub struct PoolOptions {
    /// Name for logs and displays.
    pub name: String,
    /// How to reach it.
    pub route: Route,
    /// What the session shall do.
    pub session: SessionConfig,
    /// Whether `client.reconnect` may lead to another host of the same domain.
    pub follow_redirect: bool,
    /// Longest wait between attempts.
    pub reconnect_max: Duration,
}

impl PoolOptions {
    /// Whom lessons about it are about.
    pub fn key(&self) -> PoolKey {
        PoolKey { pool: address(&self.route.to), user: self.session.credentials.user.clone() }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
enum ConnectionError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("the pool closed the connection")]
    Closed,
    #[error("the pool speaks TLS on this port; write stratum+ssl:// for it, or take its port for plain text")]
    TlsOnly,
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    #[error("the pool sent {0}")]
    Line(#[from] crate::protocol::line::LineTooLong),
    #[error("the pool has not ended a line that it began {} s ago", LINE_PATIENCE.as_secs())]
    Drip,
    #[error("the pool has not taken our lines for too long")]
    Unwritten,
    #[error("the machine slept for {} s, which no connection outlives", .0.as_secs())]
    Slept(Duration),
    #[error(transparent)]
    Session(#[from] crate::protocol::session_error::SessionError),
}

type Connecting = Pin<Box<dyn Future<Output = Result<Stream, ConnectError>> + Send>>;

/// How long a line may take from its first byte to its last: 100 KB at 16 kbit/s.
const LINE_PATIENCE: Duration = Duration::from_secs(60);
/// How long a connection that is not needed any more waits for late shares.
const LINGER: Duration = Duration::from_secs(5);

/// What the network is doing.
enum Link {
    /// Nobody wants it.
    Resting,
    Waiting {
        until: Instant,
    },
    Connecting(Connecting),
    Up {
        stream: Stream,
        lines: LineBuffer,
        /// When the line that has begun must have ended.
        line_due: Option<Instant>,
        unwritten: Vec<u8>,
        since: Instant,
    },
}

/// What the network has done.
enum Progress {
    Due,
    Connected(Result<Stream, ConnectError>),
    Moved(Moved),
}

impl Link {
    /// Waits for the next thing to happen. Cancelling loses nothing: what is awaited lives in `self`, or has moved no
    /// byte.
    async fn progress(&mut self, buffer: &mut [u8]) -> Progress {
        match self {
            Self::Resting => std::future::pending().await,
            Self::Waiting { until } => {
                tokio::time::sleep_until((*until).into()).await;
                Progress::Due
            }
            Self::Connecting(connecting) => Progress::Connected(connecting.await),
            Self::Up { stream, unwritten, .. } => Progress::Moved(stream.exchange(buffer, unwritten).await),
        }
    }
}

struct Pool {
    options: PoolOptions,
    session: Session,
    /// What is remembered of the pool itself; nothing is of where it sends us.
    recollection: Recollection,
    /// Where found blocks are kept.
    journal: Option<Journal>,
    link: Link,
    retry: Retry,
    /// Where a redirect sent us, until the next failure.
    redirected: Option<Destination>,
    /// Where the last attempt went.
    last_host: Option<String>,
    jobs: watch::Sender<Option<Arrival>>,
    events: mpsc::Sender<UpstreamEvent>,
    traffic: Arc<Traffic>,
}

/// Starts a pool's task on the current runtime.
pub fn open(options: PoolOptions, recollection: Recollection, journal: Option<Journal>) -> UpstreamHandle {
    let (jobs, job_receiver) = watch::channel(None);
    let (share_sender, shares) = mpsc::channel(SHARE_CAPACITY);
    let (rate, rates) = watch::channel(HashRate::default());
    let (events, event_receiver) = mpsc::channel(EVENT_CAPACITY);
    let name = options.name.clone();
    let Route { to, tls, .. } = &options.route;
    // With TLS the other host must prove that it belongs to the pool.
    let policy = RedirectPolicy::new(to.clone(), options.follow_redirect || tls.is_some());
    let (wanted, is_wanted) = watch::channel(false);
    let traffic = Arc::new(Traffic::default());
    let mut session = Session::new(options.session.clone(), policy);
    session.recall(recollection.lessons().clone());
    let pool = Pool {
        session,
        recollection,
        journal,
        link: Link::Resting,
        retry: Retry::new(options.reconnect_max),
        redirected: None,
        last_host: None,
        options,
        jobs,
        events,
        traffic: Arc::clone(&traffic),
    };
    tokio::spawn(pool.run(shares, is_wanted, rates));
    let (jobs, shares, events) = (job_receiver, share_sender, event_receiver);
    UpstreamHandle { name, jobs, shares, rate, events, wanted, traffic, solo: None }
}

impl Pool {
    async fn run(
        mut self,
        mut shares: mpsc::Receiver<Box<Share>>,
        mut wanted: watch::Receiver<bool>,
        mut rates: watch::Receiver<HashRate>,
    ) {
        let mut buffer = vec![0; READ_BUFFER];
        let (mut stop_at, mut rest_at) = (None, None);
        let mut sleeps = SleepDetector::default();
        let mut looks = tokio::time::interval(BETWEEN_LOOKS);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.pump().await;
            // Shares without an answer keep it awake: the next connection may resume them.
            if rest_at.is_some_and(|at| now() >= at) && self.session.is_settled() {
                self.rest().await;
                rest_at = None;
            }
            if stop_at.is_some_and(|at| self.session.is_settled() || now() >= at) {
                break;
            }
            // Past it, the answers that are awaited bring the next turn, or their deadlines.
            let linger_ends = rest_at.filter(|at| now() < *at);
            let others = [stop_at, linger_ends, self.line_due()].into_iter().flatten();
            let wake_at = self.session.poll_timeout().into_iter().chain(others).min();
            tokio::select! {
                share = shares.recv(), if stop_at.is_none() => match share {
                    Some(share) => {
                        self.keep(&share);
                        self.session.submit(share, now());
                    }
                    None => stop_at = Some(now() + LAST_ANSWERS),
                },
                Ok(()) = rates.changed() => {
                    let rate = *rates.borrow_and_update();
                    self.session.handle_rate(rate, now());
                }
                _ = looks.tick() => {
                    if let Some(slept) = Clocks::read().and_then(|clocks| sleeps.look(clocks)) {
                        self.down(ConnectionError::Slept(slept)).await;
                    }
                }
                () = sleep_until(wake_at) => {
                    if self.line_due().is_some_and(|due| now() >= due) {
                        self.down(ConnectionError::Drip).await;
                    }
                    if let Err(error) = self.session.handle_timeout(now()) {
                        self.down(error.into()).await;
                    }
                }
                Ok(()) = wanted.changed() => {
                    let is_wanted = *wanted.borrow_and_update();
                    rest_at = (!is_wanted).then(|| now() + LINGER);
                    if is_wanted && matches!(self.link, Link::Resting) {
                        self.link = Link::Waiting { until: now() };
                    }
                }
                progress = self.link.progress(&mut buffer) => {
                    if let Err(error) = self.advance(progress, &buffer).await {
                        self.down(error).await;
                    }
                }
            }
        }
        self.session.give_up();
        self.pump().await;
    }

    async fn advance(&mut self, progress: Progress, buffer: &[u8]) -> Result<(), ConnectionError> {
        match progress {
            Progress::Due => {
                let mut route = self.options.route.clone();
                if let Some(to) = &self.redirected {
                    route.to = to.clone();
                }
                if self.last_host.replace(route.to.host.clone()).is_some_and(|last| last != route.to.host) {
                    self.session.handle_moved();
                    if self.redirected.is_none() {
                        self.session.recall(self.recollection.lessons().clone());
                    }
                }
                self.tell(UpstreamNews::Connecting(address(&route.to))).await;
                self.link = Link::Connecting(Box::pin(async move { transport::connect(&route).await }));
            }
            Progress::Connected(stream) => {
                let (stream, since) = (stream?, now());
                let (lines, line_due, unwritten) = (LineBuffer::default(), None, Vec::new());
                self.link = Link::Up { stream, lines, line_due, unwritten, since };
                self.session.handle_connected(since);
            }
            Progress::Moved(Moved::Read(Ok(0))) => return Err(ConnectionError::Closed),
            Progress::Moved(Moved::Read(Ok(length))) => {
                self.traffic.read.fetch_add(length as u64, Ordering::Relaxed);
                self.read(&buffer[..length]).await?;
            }
            Progress::Moved(Moved::Wrote(Ok(length))) => {
                self.traffic.written.fetch_add(length as u64, Ordering::Relaxed);
                if let Link::Up { unwritten, .. } = &mut self.link {
                    unwritten.drain(..length);
                }
            }
            Progress::Moved(Moved::Read(Err(error)) | Moved::Wrote(Err(error))) => {
                return Err(ConnectionError::Broken(error));
            }
        }
        Ok(())
    }

    async fn read(&mut self, bytes: &[u8]) -> Result<(), ConnectionError> {
        let read_at = now();
        if self.options.route.tls.is_none() && is_alert(bytes) {
            return Err(ConnectionError::TlsOnly);
        }
        if let Link::Up { lines, .. } = &mut self.link {
            lines.extend(bytes);
        }
        // Looked at anew each turn: a redirect among the lines ends the connection.
        while let Link::Up { lines, .. } = &mut self.link {
            let Some(line) = lines.next_line()? else { break };
            tracing::trace!(pool = self.options.name, "received {}", printable(&line, MAX_LOGGED));
            let handled = self.session.handle_line(&line, read_at);
            self.pump().await;
            handled?;
            if let Link::Up { line_due, .. } = &mut self.link {
                *line_due = None;
            }
        }
        if let Link::Up { lines, line_due, .. } = &mut self.link {
            let due = line_due.unwrap_or(read_at + LINE_PATIENCE);
            *line_due = lines.is_within_line().then_some(due);
        }
        Ok(())
    }

    /// A block is kept beside being sent: the pool has the rest of it, so its line must not wait for a disk.
    fn keep(&self, share: &Share) {
        if let Some(journal) = self.journal.as_ref().filter(|_| share.solves_block()) {
            drop(journal.found(Found::for_pool(share, &self.options.name, unix_now()))); // written without being awaited
        }
    }

    /// What became of a block, for the record.
    fn settle(&self, answered: &Answered) {
        let Answered { share, outcome, .. } = answered;
        let Some(journal) = self.journal.as_ref().filter(|_| share.solves_block()) else { return };
        let (text, fate) = match outcome {
            Outcome::Accepted => ("accepted".to_owned(), Fate::Accepted),
            Outcome::Rejected(reject) => (reject.to_string(), Fate::refused(&reject.to_string())),
            Outcome::Stale | Outcome::Withheld => return, // never sent
            Outcome::Lost(reason) => (reason.to_string(), Fate::given_up(&reason.to_string())),
        };
        journal.answer(Answer::new(*share.hash(), &self.options.name, &text, unix_now()));
        journal.fate(*share.hash(), fate);
    }

    fn line_due(&self) -> Option<Instant> {
        if let Link::Up { line_due, .. } = &self.link { *line_due } else { None }
    }

    /// Takes from the session what is to be written and told.
    async fn pump(&mut self) {
        while let Some(line) = self.session.poll_transmit() {
            if let Link::Up { unwritten, .. } = &mut self.link {
                // The authorisation holds the password.
                if !line.contains("\"mining.authorize\"") {
                    // A job id goes back as it came.
                    tracing::trace!(pool = self.options.name, "sending {}", printable(&line, MAX_LOGGED));
                }
                unwritten.extend_from_slice(line.as_bytes());
            }
        }
        if matches!(&self.link, Link::Up { unwritten, .. } if unwritten.len() > MAX_UNWRITTEN) {
            self.down(ConnectionError::Unwritten).await;
        }
        while let Some(event) = self.session.poll_event() {
            let news = match event {
                Event::Job(job) => {
                    tracing::debug!(pool = self.options.name, id = ?job.id, epoch = ?job.epoch, "job");
                    self.jobs.send_replace(Some(Arrival { job, at: now(), made_of: None }));
                    continue;
                }
                Event::Answered(answered) => {
                    let Answered { share, outcome, latency } = &answered;
                    tracing::debug!(pool = self.options.name, hash = %share.hash(), ?outcome, ?latency, "share");
                    self.settle(&answered);
                    self.send(UpstreamEvent::Answered(answered)).await;
                    continue;
                }
                Event::Redirect(to, wait) => {
                    let news = UpstreamNews::Redirected(address(&to));
                    self.hang_up(false);
                    self.redirected = Some(to);
                    self.link = Link::Waiting { until: now() + wait };
                    news
                }
                Event::Authorized => UpstreamNews::Mining,
                Event::Difficulty(difficulty) => UpstreamNews::Difficulty(difficulty),
                Event::Message(text) => UpstreamNews::Message(text),
                Event::Learnt(lesson) => UpstreamNews::Learnt(lesson),
                Event::Payout(text) => UpstreamNews::Payout(text),
                Event::Complaint(text) => UpstreamNews::Complaint(text),
            };
            self.tell(news).await;
        }
        if self.is_home() {
            self.recollection.learn(self.session.lessons());
        }
    }

    /// Whether the session's last connection was to the pool itself.
    fn is_home(&self) -> bool {
        self.last_host.as_ref() == Some(&self.options.route.to.host) && self.redirected.is_none()
    }

    async fn down(&mut self, error: ConnectionError) {
        if matches!(self.link, Link::Waiting { .. } | Link::Resting) {
            return; // a second reason for the same end
        }
        let refused = matches!(&error, ConnectionError::Session(error) if error.is_refusal());
        // Service that ends in a refusal was not good, however long it went on.
        if !refused && matches!(&self.link, Link::Up { since, .. } if now() >= *since + GOOD_SERVICE) {
            self.retry.reset();
        }
        let retry_in = match error {
            // The pool has done nothing wrong.
            ConnectionError::Slept(_) => Duration::ZERO,
            ConnectionError::Session(ref error) if error.is_quarantine() => self.retry.after_quarantine(),
            _ if refused => self.retry.after_refusal(),
            _ => self.retry.after_failure(),
        };
        tracing::debug!(pool = self.options.name, "down: {error}; next attempt in {retry_in:?}");
        let by_pool = matches!(error, ConnectionError::Closed | ConnectionError::Broken(_));
        // Before the job is taken back, so that whoever turns elsewhere then knows why.
        self.tell(UpstreamNews::Down { reason: error.to_string(), retry_in, refused }).await;
        self.hang_up(by_pool);
        self.redirected = None;
        self.link = Link::Waiting { until: now() + retry_in };
    }

    /// Leaves the pool alone until it is wanted again.
    async fn rest(&mut self) {
        self.hang_up(false);
        self.redirected = None;
        self.link = Link::Resting;
        self.tell(UpstreamNews::Resting).await;
    }

    fn hang_up(&mut self, by_pool: bool) {
        self.session.handle_disconnected(by_pool);
        self.jobs.send_replace(None);
    }

    async fn tell(&mut self, news: UpstreamNews) {
        self.send(UpstreamEvent::News(news)).await;
    }

    /// Nobody listens any more when the miner is being torn down; then there is nobody to tell.
    async fn send(&mut self, event: UpstreamEvent) {
        self.events.send(event).await.ok();
    }
}
