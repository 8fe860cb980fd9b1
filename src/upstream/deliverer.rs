//! Found blocks on their way: into the journal, then to all nodes at once, each block in a task of its own; and again to
//! a node that has forgotten them.

mod kept;
mod search;
mod task;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use self::kept::KeptBlocks;
use self::task::Task;
use super::journal::Journal;
use super::node::rpc::Rpc;
use crate::clock::{now, unix_now};
use crate::protocol::block_book::Watched;
use crate::protocol::delivery::BlockNews;
use crate::protocol::solo_session::{BlockFate, FoundBlock};
use crate::work::BlockHash;

/// News that may wait for the solo task, which takes them within milliseconds. The delivery waits when it is full.
const NEWS_CAPACITY: usize = 64;
/// Calls to one node at a time, but for the first submission of a block just found: a node has 16 threads for all.
const CALLS: usize = 4;
/// Between two searches of one node for what it lacks, while nothing is known to be wrong.
const SEARCH_EVERY: Duration = Duration::from_secs(600);
/// The same after it lacked a parent: the first wait, which doubles until the above.
const SEARCH_AGAIN: Duration = Duration::from_secs(5);

/// What comes from a delivery.
#[derive(Debug)]
pub(super) enum Delivered {
    /// Something about a block.
    News {
        news: BlockNews,
        /// What it means for the share that it was found by.
        fate: Option<BlockFate>,
    },
    /// A node lacks the parent of a block; it may be one of ours.
    NoParent {
        /// Which.
        node: usize,
    },
    /// A node has been searched, and has what it lacked as far as it takes it.
    Searched {
        /// Which.
        node: usize,
    },
}

/// Where blocks go.
pub(super) struct Deliverer {
    shared: Arc<Shared>,
    searches: Vec<Pace>,
    tasks: JoinSet<()>,
}

/// When a node is searched.
#[derive(Debug, Clone, Copy)]
struct Pace {
    last: Option<Instant>,
    wait: Duration,
}

/// What all deliveries have in common.
struct Shared {
    nodes: Vec<Place>,
    journal: Option<Journal>,
    news: mpsc::Sender<Delivered>,
    kept: Mutex<KeptBlocks>,
    /// Blocks that a task looks after.
    under_way: Mutex<HashSet<BlockHash>>,
}

/// One node.
struct Place {
    name: String,
    rpc: Arc<Rpc>,
    calls: Semaphore,
    /// How often it is to be searched: 1 while that is being done, more when it has come back meanwhile.
    searches: AtomicU32,
}

impl Deliverer {
    /// For these nodes; `watched` are the blocks of runs before.
    pub(super) fn new(
        nodes: Vec<(String, Arc<Rpc>)>,
        journal: Option<Journal>,
        watched: Vec<Watched>,
    ) -> (Self, mpsc::Receiver<Delivered>) {
        let (news, receiver) = mpsc::channel(NEWS_CAPACITY);
        let searches = vec![Pace { last: None, wait: SEARCH_AGAIN }; nodes.len()];
        let place =
            |(name, rpc)| Place { name, rpc, calls: Semaphore::new(CALLS), searches: AtomicU32::new(0) };
        let nodes = nodes.into_iter().map(place).collect();
        let mut kept = KeptBlocks::default();
        for block in watched {
            kept.add(block.into());
        }
        let (kept, under_way) = (kept.into(), Mutex::default());
        let shared = Shared { nodes, journal, news, kept, under_way };
        (Self { shared: shared.into(), searches, tasks: JoinSet::new() }, receiver)
    }

    /// Keeps and sends a block.
    pub(super) fn send(&mut self, found: FoundBlock) {
        while self.tasks.try_join_next().is_some() {} // lets go of those that have ended
        if let Some(task) = Task::new(&self.shared, found.hash, found.height) {
            self.tasks.spawn(async move { task.keep_and_deliver(found).await });
        }
    }

    /// A node of this chain has come back, or has lost blocks: whatever it lacks is sent to it again, and then
    /// [`Delivered::Searched`] comes. False when there is nothing that it could lack.
    pub(super) fn returned(&mut self, node: usize, chain: &str) -> bool {
        self.searches[node].wait = SEARCH_AGAIN;
        let has_blocks = !lock(&self.shared.kept).of_chain(chain, unix_now()).is_empty();
        if has_blocks {
            self.search(node, chain);
        }
        has_blocks
    }

    /// A node lacks a parent: if it is one of our own, it is sent first.
    pub(super) fn lacks_a_parent(&mut self, node: usize, chain: &str) {
        let Pace { last, wait } = self.searches[node];
        if last.is_none_or(|at| now() - at >= wait) {
            self.searches[node].wait = (2 * wait).min(SEARCH_EVERY);
            self.search(node, chain);
        }
    }

    /// A node let itself be looked at: now and then it is searched though nothing seems wrong, since chains reorganise.
    pub(super) fn seen(&mut self, node: usize, chain: &str) {
        if self.searches[node].last.is_none_or(|at| now() - at >= SEARCH_EVERY) {
            self.returned(node, chain);
        }
    }

    fn search(&mut self, node: usize, chain: &str) {
        self.searches[node].last = Some(now());
        let (shared, chain) = (Arc::clone(&self.shared), chain.to_owned());
        if shared.nodes[node].searches.fetch_add(1, Ordering::Relaxed) > 0 {
            return;
        }
        self.tasks.spawn(async move {
            loop {
                let searches = &shared.nodes[node].searches;
                let wanted = searches.load(Ordering::Relaxed);
                shared.search(node, &chain).await;
                // One that came back while it was searched may lack more by now.
                if searches.fetch_sub(wanted, Ordering::Relaxed) == wanted {
                    shared.news.send(Delivered::Searched { node }).await.ok(); // the solo task has ended
                    return;
                }
            }
        });
    }
}

impl Shared {
    async fn tell(&self, news: BlockNews, fate: Option<BlockFate>) {
        self.news.send(Delivered::News { news, fate }).await.ok(); // the solo task has ended
    }
}

/// A thread that panicked has left nothing half done in these.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
