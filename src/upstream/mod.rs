//! Where jobs come from and shares go: one handle of channels per upstream, whatever stands behind it.

mod deliverer;

pub mod journal;
pub mod node;
pub mod pool;
pub mod proxy;
mod retry;
pub mod solo;
mod suspend;
pub mod tls;
pub mod transport;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use self::solo::SoloFigures;
use crate::protocol::delivery::BlockNews;
use crate::protocol::habits::Lesson;
use crate::protocol::solo_session::TemplateNews;
use crate::protocol::unanswered::MAX_UNANSWERED;
use crate::validate::context::{NodeAnswer, NodeQuestion};
use crate::work::template::Template;
use crate::work::{Answered, Difficulty, HashRate, Job, Share};

/// Shares that may wait for the upstream's task. It takes them within microseconds, connected or not, so a full channel
/// means a task that is gone; as many as it would remember without an answer.
pub const SHARE_CAPACITY: usize = MAX_UNANSWERED;

/// Events that may wait for the engine, which takes them within microseconds. The upstream waits when it is full.
pub const EVENT_CAPACITY: usize = 256;

/// A running upstream.
#[derive(Debug)]
pub struct UpstreamHandle {
    /// Its address, for logs and displays.
    pub name: String,
    /// The newest job; `None` while there is no connection that gives work. The latest wins: [`Job::epoch`] grows with
    /// each clean job, so a skipped job hides none.
    pub jobs: watch::Receiver<Option<Arrival>>,
    /// Shares for it. Dropping the sender lets it bring its last shares home and end.
    pub shares: mpsc::Sender<Box<Share>>,
    /// The hash rate that is meant for it, by which it wishes for a difficulty. The latest wins.
    pub rate: watch::Sender<HashRate>,
    /// What happens to it, in order. Ends after the last share has come to its end.
    pub events: mpsc::Receiver<UpstreamEvent>,
    /// Whether it shall be connected; false at first.
    pub wanted: watch::Sender<bool>,
    /// What has gone over its connections.
    pub traffic: Arc<Traffic>,
    /// What there is beside that for solo mining; `None` for a pool.
    pub solo: Option<SoloHandle>,
}

/// What a node of our own can be asked and tells, beside work.
#[derive(Debug)]
pub struct SoloHandle {
    /// How solo mining stands.
    pub figures: watch::Receiver<SoloFigures>,
    /// Questions for the node in use. Full, one is lost: no answer is waited for.
    pub questions: mpsc::Sender<NodeQuestion>,
}

/// Bytes over all connections of an upstream, as they stand on the wire but for TLS.
#[derive(Debug, Default)]
pub struct Traffic {
    /// From it.
    pub read: AtomicU64,
    /// To it.
    pub written: AtomicU64,
}

/// A job and when its line was read.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The job.
    pub job: Arc<Job>,
    /// When the read returned that completed it.
    pub at: Instant,
    /// What a node of our own made it of; `None` for a pool's.
    pub made_of: Option<MadeOf>,
}

/// What a job of our own was made of.
#[derive(Debug, Clone)]
pub struct MadeOf {
    /// The chain, as its node calls it.
    pub chain: String,
    /// The template.
    pub template: Arc<Template>,
}

/// What comes from an upstream beside jobs.
#[derive(Debug)]
pub enum UpstreamEvent {
    /// A share has come to its end.
    Answered(Answered),
    /// The node in use answers a question.
    NodeAnswered(NodeAnswer),
    /// The node in use would refuse a block of the running job, for this reason; printable.
    BlockRefused(String),
    /// Something for the operator.
    News(UpstreamNews),
}

/// What happens to an upstream.
#[derive(Debug)]
pub enum UpstreamNews {
    /// It tries to connect.
    Connecting(String),
    /// The worker is authorised.
    Mining,
    /// It is not needed for now and is left alone.
    Resting,
    /// The difficulty from the next job on.
    Difficulty(Difficulty),
    /// Its text for the operator; printable.
    Message(String),
    /// Whom it pays, where that is watched; printable.
    Payout(String),
    /// It does something wrong or strange; printable.
    Complaint(String),
    /// A template is mined on.
    Template(Box<TemplateNews>),
    /// Something about a found block.
    Block(Box<BlockNews>),
    /// Its ways are others than we thought, and we keep to them from now on.
    Learnt(Lesson),
    /// It sends us to another address.
    Redirected(String),
    /// The connection failed or ended; the next attempt follows by itself.
    Down {
        /// Why; printable.
        reason: String,
        /// When the next attempt starts.
        retry_in: Duration,
        /// Whether the pool answered and does not want the worker.
        refused: bool,
    },
}
