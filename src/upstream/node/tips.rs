//! How new blocks of one node are heard of: ZMQ, the call that waits, and asking again and again, which is quicker while
//! nothing else works. A notice is a hint; the node is asked in any case.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::rpc::{Rpc, RpcError};
use super::zmq::{self, ZmqEvent, ZmqHandle};
use crate::clock::{now, sleep_until};
use crate::protocol::json_rpc::RpcFault;
use crate::protocol::solo_session::TipSource;
use crate::protocol::tip_watch::{SourceFigures, TipWatch};
use crate::protocol::zmq_endpoint::ZmqEndpoint;
use crate::work::BlockHash;

/// Between two polls while something quicker works, and while nothing does.
const SLOW_POLL: Duration = Duration::from_secs(5);
const QUICK_POLL: Duration = Duration::from_millis(500);
/// How long the node may hold the call that waits: it lets go by itself, so that no thread of it is taken for ever.
const WAIT: Duration = Duration::from_secs(10);
/// After a call that waits has ended too early: the node stops, or cannot be reached.
const PAUSE: Duration = Duration::from_secs(1);
/// A wait that ends sooner without another tip was none.
const NO_WAIT: Duration = Duration::from_millis(100);
/// Notices that may wait for the node's task. Those that are lost are made up for by the next poll.
const CAPACITY: usize = 64;

/// What was heard.
#[derive(Debug)]
pub(super) enum Heard {
    /// Another tip, header order.
    Tip { hash: [u8; 32], source: TipSource, at: Instant },
    /// The node may have changed in any way.
    Changed,
    /// Something for the operator.
    Remark(String),
}

/// How new blocks are heard of, by source.
#[derive(Debug, Clone, Copy, Default)]
pub struct SourceReport {
    /// Over ZMQ.
    pub zmq: SourceFigures,
    /// By the call that waits.
    pub wait: SourceFigures,
    /// By asking again and again.
    pub poll: SourceFigures,
    /// Publishers that are connected.
    pub zmq_up: usize,
    /// How often one was found to be silent.
    pub zmq_silent: u64,
    /// Its messages that were no notices.
    pub zmq_ignored: u64,
    /// Its messages that never came.
    pub zmq_missed: u64,
}

enum Raw {
    Tip(BlockHash, TipSource, Instant),
    Changed,
}

/// All sources of one node.
pub(super) struct Tips {
    raw: mpsc::Receiver<Raw>,
    zmq_sender: mpsc::Sender<(usize, ZmqEvent)>,
    zmq_events: mpsc::Receiver<(usize, ZmqEvent)>,
    publishers: Vec<Publisher>,
    watch: TipWatch,
    /// The tip as the node's task knows it.
    tip: watch::Sender<Option<BlockHash>>,
    has_push: Arc<HasPush>,
    zmq_silent: u64,
    _tasks: JoinSet<()>,
}

struct Publisher {
    name: String,
    handle: ZmqHandle,
    is_up: bool,
    /// The trouble that was told last.
    told: Option<String>,
}

/// Whether polling may be slow.
#[derive(Default)]
struct HasPush {
    zmq: AtomicBool,
    wait: AtomicBool,
}

/// Starts all sources; they end with the value.
pub(super) fn watch(rpc: Arc<Rpc>, endpoints: Vec<ZmqEndpoint>) -> Tips {
    let (notices, raw) = mpsc::channel(CAPACITY);
    let (zmq_sender, zmq_events) = mpsc::channel(CAPACITY);
    let (tip, known) = watch::channel(None);
    let has_push = Arc::new(HasPush::default());
    let mut tasks = JoinSet::new();
    tasks.spawn(poll(Arc::clone(&rpc), notices.clone(), Arc::clone(&has_push)));
    tasks.spawn(wait(rpc, known, notices, Arc::clone(&has_push)));
    let mut all = Tips {
        raw,
        zmq_sender,
        zmq_events,
        publishers: Vec::new(),
        watch: TipWatch::default(),
        tip,
        has_push,
        zmq_silent: 0,
        _tasks: tasks,
    };
    for endpoint in endpoints {
        all.subscribe(endpoint);
    }
    all
}

impl Tips {
    /// The next thing that was heard. Cancelling loses nothing.
    pub(super) async fn next(&mut self) -> Heard {
        loop {
            let silent_at = self.watch.poll_timeout();
            let heard = tokio::select! {
                biased;
                Some((number, event)) = self.zmq_events.recv() => self.published(number, event),
                Some(raw) = self.raw.recv() => match raw {
                    Raw::Tip(hash, source, at) => self.hear(hash.0, source, at),
                    Raw::Changed => Some(Heard::Changed),
                },
                () = sleep_until(silent_at) => self.look_for_silence(),
            };
            if let Some(heard) = heard {
                return heard;
            }
        }
    }

    /// One more publisher, unless it is there already.
    pub(super) fn subscribe(&mut self, endpoint: ZmqEndpoint) {
        let name = endpoint.to_string();
        if self.publishers.iter().all(|publisher| publisher.name != name) {
            let handle = zmq::subscribe(endpoint, self.publishers.len(), self.zmq_sender.clone());
            self.publishers.push(Publisher { name, handle, is_up: false, told: None });
        }
    }

    /// The node's tip is known to be this one.
    pub(super) fn set_tip(&self, tip: Option<[u8; 32]>) {
        self.tip.send_if_modified(|known| {
            let tip = tip.map(BlockHash);
            let is_new = *known != tip;
            *known = tip;
            is_new
        });
    }

    pub(super) fn report(&self) -> SourceReport {
        let figures = || self.publishers.iter().map(|publisher| publisher.handle.figures());
        SourceReport {
            zmq: self.watch.figures(TipSource::Zmq),
            wait: self.watch.figures(TipSource::Wait),
            poll: self.watch.figures(TipSource::Poll),
            zmq_up: self.publishers.iter().filter(|publisher| publisher.is_up).count(),
            zmq_silent: self.zmq_silent,
            zmq_ignored: figures().map(|figures| figures.ignored).sum(),
            zmq_missed: figures().map(|figures| figures.missed).sum(),
        }
    }

    fn hear(&mut self, hash: [u8; 32], source: TipSource, at: Instant) -> Option<Heard> {
        self.watch.hear(hash, source, at);
        // Also one that was heard before: the chain may have gone back to it.
        let is_known = *self.tip.borrow() == Some(BlockHash(hash));
        (!is_known).then_some(Heard::Tip { hash, source, at })
    }

    fn published(&mut self, number: usize, event: ZmqEvent) -> Option<Heard> {
        let publisher = self.publishers.get_mut(number)?;
        let was_up = publisher.is_up;
        let heard = match event {
            ZmqEvent::Tip { hash, at } => return self.hear(hash, TipSource::Zmq, at),
            ZmqEvent::Changed => return Some(Heard::Changed),
            ZmqEvent::Up => {
                publisher.is_up = true;
                let is_back = publisher.told.take().is_some();
                is_back.then(|| Heard::Remark(format!("new blocks come over {} again", publisher.name)))
            }
            ZmqEvent::Down { reason } => {
                publisher.is_up = false;
                let is_known = publisher.told.is_some() && !was_up;
                publisher.told = Some(reason.clone());
                let text = format!("{}: {reason}; new blocks are asked for instead", publisher.name);
                (!is_known).then_some(Heard::Remark(text))
            }
        };
        let is_up = self.publishers.iter().any(|publisher| publisher.is_up);
        self.watch.set_zmq(is_up);
        self.has_push.zmq.store(is_up, Ordering::Relaxed);
        heard
    }

    /// A block came that no publisher has named.
    fn look_for_silence(&mut self) -> Option<Heard> {
        if !self.watch.is_zmq_silent(now()) {
            return None;
        }
        self.zmq_silent += 1;
        self.publishers.iter().for_each(|publisher| publisher.handle.suspect());
        let names: Vec<_> = self.publishers.iter().map(|publisher| publisher.name.as_str()).collect();
        Some(Heard::Remark(format!(
            "{} let a block pass without a word; subscribing anew",
            names.join(" and ")
        )))
    }
}

async fn poll(rpc: Arc<Rpc>, notices: mpsc::Sender<Raw>, has_push: Arc<HasPush>) {
    let (mut is_well, mut is_forbidden) = (true, false);
    loop {
        // A whitelist that leaves out the cheaper call: this one everybody needs.
        let asked = if is_forbidden {
            rpc.chain_info().await.map(|info| info.best_block)
        } else {
            rpc.best_block_hash().await
        };
        if matches!(&asked, Err(RpcError::Fault { fault: RpcFault::Forbidden, .. })) && !is_forbidden {
            is_forbidden = true;
            continue;
        }
        let notice = match &asked {
            Ok(hash) => Some(Raw::Tip(*hash, TipSource::Poll, now())),
            // The look that follows finds out why.
            Err(_) => is_well.then_some(Raw::Changed),
        };
        is_well = asked.is_ok();
        if let Some(notice) = notice
            && notices.send(notice).await.is_err()
        {
            return;
        }
        let is_slow = has_push.zmq.load(Ordering::Relaxed) || has_push.wait.load(Ordering::Relaxed);
        sleep(if is_slow { SLOW_POLL } else { QUICK_POLL }).await;
    }
}

async fn wait(
    rpc: Arc<Rpc>,
    mut known: watch::Receiver<Option<BlockHash>>,
    notices: mpsc::Sender<Raw>,
    has_push: Arc<HasPush>,
) {
    loop {
        let Ok(tip) = known.wait_for(Option::is_some).await.map(|tip| tip.unwrap_or(BlockHash([0; 32])))
        else {
            return;
        };
        known.mark_unchanged();
        let asked = now();
        let answer = rpc.wait_for_new_block(WAIT, tip).await;
        has_push.wait.store(answer.is_ok(), Ordering::Relaxed);
        match answer {
            Ok(hash) if hash != tip => {
                if notices.send(Raw::Tip(hash, TipSource::Wait, now())).await.is_err() {
                    return;
                }
                // Until the node's task knows it too, the call would end at once.
                tokio::time::timeout(PAUSE, known.changed()).await.ok();
            }
            Ok(_) if now() - asked >= NO_WAIT => {}
            Ok(_) => sleep(PAUSE).await,
            // Another kind of node, or not for this user: the poll remains.
            Err(RpcError::Fault { fault: RpcFault::UnknownMethod | RpcFault::Forbidden, .. }) => return,
            Err(_) => {
                if notices.send(Raw::Changed).await.is_err() {
                    return;
                }
                sleep(PAUSE).await;
            }
        }
    }
}
