//! What a person or a program sees of a running miner: one line an event, and a summary at the end.
//!
//! A thread of its own does the writing, so that a slow terminal, a full pipe or a full disk holds up nobody.

mod boards;
mod decisions;
pub mod json;
pub mod plain;
mod solo;
pub mod summary;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use bitcoin::Network;

use crate::engine::task::{Finish, Notice, NoticeEvent};
use crate::engine::{BoardId, BoardReport, Report, UpstreamId};
use crate::work::Outcome;

/// Lines that may wait for a reader that stalls. Past it they are dropped and counted.
const MAX_WAITING: usize = 1024;
/// How long the last lines may take once the miner has ended.
const LAST_LINES: Duration = Duration::from_secs(1);

/// How events are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// For a person.
    Plain {
        /// With colours.
        colour: bool,
    },
    /// For a program: one JSON object a line.
    Json,
}

/// What is shown, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Display {
    /// How.
    pub style: Style,
    /// Only the summary.
    pub quiet: bool,
}

/// What lines need to know of an upstream.
#[derive(Debug)]
pub struct UpstreamAbout {
    /// Its address.
    pub name: String,
    /// How the addresses that it pays are spelt.
    pub network: Network,
    /// Whether it is no pool but nodes of our own.
    pub is_solo: bool,
}

/// Names that lines speak of.
#[derive(Debug, Default)]
pub struct Context {
    upstreams: Vec<UpstreamAbout>,
    boards: BTreeMap<BoardId, String>,
}

impl Context {
    /// With the upstreams in their order.
    pub fn new(upstreams: Vec<UpstreamAbout>) -> Self {
        Self { upstreams, ..Self::default() }
    }

    fn upstream(&self, id: UpstreamId) -> &str {
        self.upstreams.get(id.0).map_or("?", |upstream| &upstream.name)
    }

    fn network(&self, id: UpstreamId) -> Network {
        self.upstreams.get(id.0).map_or(Network::Bitcoin, |upstream| upstream.network)
    }

    fn is_solo(&self, id: UpstreamId) -> bool {
        self.upstreams.get(id.0).is_some_and(|upstream| upstream.is_solo)
    }

    fn board(&self, id: BoardId) -> &str {
        self.boards.get(&id).map_or("?", String::as_str)
    }

    fn learn(&mut self, event: &NoticeEvent) {
        if let NoticeEvent::Engine(Report::Board(id, BoardReport::Joined(about))) = event {
            self.boards.insert(*id, about.name.clone());
        }
    }
}

/// The word for an outcome that programs match on. What a pool refuses as stale is rejected; stale is what was not sent.
pub(crate) fn outcome_word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted => "accepted",
        Outcome::Rejected(_) => "rejected",
        Outcome::Stale => "stale",
        Outcome::Withheld => "withheld",
        Outcome::Lost(_) => "lost",
    }
}

/// The reason beside an outcome; `None` for an accepted share.
pub(crate) fn outcome_reason(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Accepted => None,
        Outcome::Rejected(reject) => Some(reject.to_string()),
        Outcome::Stale => Some("a newer job or block had come before it; not sent".to_owned()),
        Outcome::Withheld => {
            Some("the pool has asked for a higher difficulty since its job; not sent".to_owned())
        }
        Outcome::Lost(reason) => Some(reason.to_string()),
    }
}

/// The writing thread.
pub struct Monitor {
    notices: mpsc::SyncSender<Notice>,
    /// Apart from the notices, so that the summary finds its way however full they are.
    finish: mpsc::Sender<Finish>,
    dropped: Arc<AtomicU64>,
    ended: mpsc::Receiver<()>,
}

impl Monitor {
    /// Starts the thread; it writes to `out`.
    pub fn start(
        mut context: Context,
        display: Display,
        mut out: impl Write + Send + 'static,
    ) -> std::io::Result<Self> {
        let (notices, waiting) = mpsc::sync_channel::<Notice>(MAX_WAITING);
        let (finish, finished) = mpsc::channel::<Finish>();
        let (end, ended) = mpsc::channel();
        let dropped = Arc::new(AtomicU64::new(0));
        let lines_dropped = Arc::clone(&dropped);
        std::thread::Builder::new().name("monitor".to_owned()).spawn(move || {
            // A reader that has gone away is no reason to stop mining.
            let mut write = |text: String| drop(writeln!(out, "{text}").and_then(|()| out.flush()));
            for notice in waiting {
                context.learn(&notice.event);
                let line = plain::line(&context, &notice);
                if let Some(line) = &line {
                    tracing::info!(target: "signalcore::events", "{}", line.text);
                }
                match display.style {
                    _ if display.quiet => {}
                    Style::Plain { colour } => line.iter().for_each(|line| write(line.render(colour))),
                    Style::Json => write(json::line(&context, &notice)),
                }
            }
            if let Ok(finish) = finished.recv() {
                let dropped = lines_dropped.load(Ordering::Relaxed);
                match display.style {
                    Style::Plain { .. } => write(summary::text(&context, &finish, dropped)),
                    Style::Json => write(json::summary(&context, &finish, dropped)),
                }
            }
            end.send(()).ok();
        })?;
        Ok(Self { notices, finish, dropped, ended })
    }

    /// Takes a notice. Never waits: when the reader stalls, the line is dropped and counted.
    pub fn notify(&self, notice: Notice) {
        if self.notices.try_send(notice).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes the summary and ends, within a second even when nobody reads.
    pub fn finish(self, finish: Finish) {
        self.finish.send(finish).ok();
        drop(self.notices);
        self.ended.recv_timeout(LAST_LINES).ok();
    }
}
