//! Found blocks on their way: into the journal, then to all nodes at once, each block in a task of its own; and again to
//! a node that has forgotten them.

mod kept;
mod task;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;

use self::kept::{Kept, KeptBlocks, Store};
use self::task::Task;
use super::journal::Journal;
use super::node::rpc::Rpc;
use crate::clock::{now, unix_now};
use crate::protocol::block_book::Watched;
use crate::protocol::block_record::{FoundBody, SoloBlock};
use crate::protocol::delivery::{BlockEvent, BlockNews};
use crate::protocol::node_answers::Standing;
use crate::protocol::solo_session::{BlockFate, FoundBlock};
use crate::work::BlockHash;

/// News that may wait for the solo task, which takes them within milliseconds. The delivery waits when it is full.
const NEWS_CAPACITY: usize = 64;
/// Returns of nodes that may wait for the deliveries; one that has missed some asks all nodes.
const RETURN_CAPACITY: usize = 16;
/// Between two searches of one node for what it lacks.
const BETWEEN_SEARCHES: Duration = Duration::from_secs(5);

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
}

/// Where blocks go.
pub(super) struct Deliverer {
    shared: Arc<Shared>,
    /// When each node was last searched for what it lacks.
    searched: Vec<Option<Instant>>,
    tasks: JoinSet<()>,
}

/// What all deliveries have in common.
struct Shared {
    nodes: Vec<(String, Arc<Rpc>)>,
    journal: Option<Journal>,
    news: mpsc::Sender<Delivered>,
    kept: Mutex<KeptBlocks>,
    /// Blocks that a task looks after.
    under_way: Mutex<HashSet<BlockHash>>,
    returned: broadcast::Sender<usize>,
    /// How often each node is to be searched: 1 while that is being done, more when it has come back meanwhile.
    searches: Vec<AtomicU32>,
}

impl Deliverer {
    /// For these nodes; `watched` are the blocks of runs before.
    pub(super) fn new(
        nodes: Vec<(String, Arc<Rpc>)>,
        journal: Option<Journal>,
        watched: Vec<Watched>,
    ) -> (Self, mpsc::Receiver<Delivered>) {
        let (news, receiver) = mpsc::channel(NEWS_CAPACITY);
        let (returned, _) = broadcast::channel(RETURN_CAPACITY);
        let searched = vec![None; nodes.len()];
        let searches = nodes.iter().map(|_| AtomicU32::new(0)).collect();
        let mut kept = KeptBlocks::default();
        for block in watched {
            kept.add(block.into());
        }
        let (kept, under_way) = (kept.into(), Mutex::default());
        let shared = Shared { nodes, journal, news, kept, under_way, returned, searches };
        (Self { shared: shared.into(), searched, tasks: JoinSet::new() }, receiver)
    }

    /// Keeps and sends a block.
    pub(super) fn send(&mut self, found: FoundBlock) {
        while self.tasks.try_join_next().is_some() {} // lets go of those that have ended
        if let Some(task) = Task::new(&self.shared, found.hash, found.height) {
            self.tasks.spawn(async move { task.keep_and_deliver(found).await });
        }
    }

    /// A node of this chain has come back, or has lost blocks: whatever it lacks is sent to it again.
    pub(super) fn returned(&mut self, node: usize, chain: &str) {
        self.shared.returned.send(node).ok(); // without a receiver nothing is under way
        self.search(node, chain);
    }

    /// A node lacks a parent: if it is one of our own, it is sent first.
    pub(super) fn lacks_a_parent(&mut self, node: usize, chain: &str) {
        if self.searched[node].is_none_or(|at| now() - at >= BETWEEN_SEARCHES) {
            self.returned(node, chain);
        }
    }

    fn search(&mut self, node: usize, chain: &str) {
        self.searched[node] = Some(now());
        let (shared, chain) = (Arc::clone(&self.shared), chain.to_owned());
        if shared.searches[node].fetch_add(1, Ordering::Relaxed) == 0 {
            self.tasks.spawn(async move {
                loop {
                    let wanted = shared.searches[node].load(Ordering::Relaxed);
                    shared.make_up(node, &chain).await;
                    // One that came back while it was searched may lack more by now.
                    if shared.searches[node].fetch_sub(wanted, Ordering::Relaxed) == wanted {
                        return;
                    }
                }
            });
        }
    }
}

impl Shared {
    /// Sends a node what it lacks, parents first.
    async fn make_up(self: &Arc<Self>, node: usize, chain: &str) {
        let Some(missing) = self.missing(node, chain).await else { return };
        for block in missing {
            let Some(text) = self.bytes(&block).await else { continue };
            // Its child comes next, and would be refused without it; also when another task looks after it.
            let Some(task) = Task::new(self, block.hash, block.height) else {
                self.nodes[node].1.submit_block(&text).await.ok();
                continue;
            };
            let node_name = self.nodes[node].0.clone();
            let event =
                if block.is_open { BlockEvent::Again } else { BlockEvent::Forgotten { node: node_name } };
            task.tell(event, None).await;
            self.nodes[node].1.submit_block(&text).await.ok();
            tokio::spawn(async move { task.deliver(text).await });
        }
    }

    /// What a node lacks, parents first; `None` when it cannot be asked, and its next return begins anew.
    async fn missing(&self, node: usize, chain: &str) -> Option<Vec<Kept>> {
        let mut blocks = lock(&self.kept).of_chain(chain, unix_now());
        blocks.sort_by_key(|block| block.height);
        let (mut missing, mut has_all) = (Vec::new(), false);
        for block in blocks.into_iter().rev() {
            if block.is_open {
                missing.push(block);
            } else if !has_all {
                match self.nodes[node].1.standing(block.hash).await.ok()? {
                    // With the highest it has its ancestors, and what else is there has lost its race.
                    Standing::Active { .. } => has_all = missing.is_empty(),
                    Standing::Beside => {}
                    Standing::Unknown => missing.push(block),
                }
            }
        }
        missing.reverse();
        Some(missing)
    }

    /// A block in hexadecimal; `None` when nobody has it any more, which is told.
    async fn bytes(&self, block: &Kept) -> Option<Arc<str>> {
        let place = match &block.store {
            Store::Memory(text) => return Some(Arc::clone(text)),
            Store::Journal(place) => *place,
        };
        match self.journal.as_ref()?.read(place).await {
            Ok(found) if found.hash == block.hash => match found.body {
                FoundBody::Solo(SoloBlock { block, .. }) => Some(block.into()),
                FoundBody::Pool(_) => None,
            },
            Ok(_) => {
                tracing::warn!("state.journal: another block stands where {} stood", block.hash);
                None
            }
            Err(error) => {
                tracing::warn!("state.journal: block {} cannot be sent again: {error}", block.hash);
                None
            }
        }
    }

    async fn tell(&self, news: BlockNews, fate: Option<BlockFate>) {
        self.news.send(Delivered::News { news, fate }).await.ok(); // the solo task has ended
    }
}

/// A thread that panicked has left nothing half done in these.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
