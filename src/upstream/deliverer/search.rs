//! Blocks of ours that a node lacks: one that was killed comes back without what it had not written yet.

use std::collections::HashSet;
use std::sync::Arc;

use super::kept::{Kept, Known, Store};
use super::task::Task;
use super::{Shared, lock};
use crate::clock::unix_now;
use crate::protocol::block_record::{Fate, FoundBody, SoloBlock};
use crate::protocol::delivery::{BlockEvent, BlockNews};
use crate::protocol::node_answers::{Standing, Verdict};
use crate::work::BlockHash;

/// Blocks that are looked up also when the highest of ours is where it should be: as many as chains are reorganised by at
/// most.
const ALWAYS_LOOKED_UP: usize = 100;

/// A block in hexadecimal.
type Text = Arc<str>;

impl Shared {
    /// Sends a node what it lacks, parents first, and corrects what is known of the rest.
    pub(super) async fn search(self: &Arc<Self>, node: usize, chain: &str) {
        let Some(missing) = self.missing(node, chain).await else { return };
        let place = &self.nodes[node];
        let mut sent = HashSet::new();
        for block in missing {
            let Some(text) = self.bytes(&block).await else { continue };
            // One of another chain of the same name, or behind a gap: a child of nothing is taken by nobody. What has
            // no fate is sent all the same, since its parent may come from elsewhere.
            if block.known != Known::Nothing && !self.has_parent(node, &text, &sent).await {
                continue;
            }
            sent.insert(block.hash);
            let task = Task::new(self, block.hash, block.height);
            if let Some(task) = &task {
                let event = match block.known {
                    Known::Nothing => BlockEvent::Again,
                    _ => BlockEvent::Forgotten { node: place.name.clone() },
                };
                task.tell(event, None).await;
            }
            // Its child comes next, and would be refused without it.
            let verdict = place.rpc.submit_block(&text).await.ok();
            if let Some(task) = task {
                tokio::spawn(async move { task.deliver(text, verdict.map(|verdict| (node, verdict))).await });
            } else if verdict == Some(Verdict::NoParent) {
                break; // nor will its children find theirs
            }
        }
    }

    /// What a node lacks, parents first; `None` when it cannot be asked, and its next return begins anew.
    async fn missing(&self, node: usize, chain: &str) -> Option<Vec<Kept>> {
        let mut blocks = lock(&self.kept).of_chain(chain, unix_now());
        blocks.sort_by_key(|block| block.height);
        let (mut missing, mut has_all) = (Vec::new(), false);
        for (nth, block) in blocks.into_iter().rev().enumerate() {
            if block.known == Known::Nothing {
                missing.push(block);
            } else if !has_all || nth < ALWAYS_LOOKED_UP {
                let known = match self.nodes[node].rpc.standing(block.hash).await.ok()? {
                    // With the highest it has its ancestors, and what else is there has lost its race.
                    Standing::Active { .. } => {
                        has_all |= missing.is_empty();
                        Known::InChain
                    }
                    Standing::Beside => Known::Beside,
                    Standing::Unknown => {
                        missing.push(block);
                        continue;
                    }
                };
                self.correct(&block, known).await;
            }
        }
        missing.reverse();
        Some(missing)
    }

    /// A block may have come to stand elsewhere while nobody looked after it.
    async fn correct(&self, block: &Kept, known: Known) {
        if block.known == known || lock(&self.under_way).contains(&block.hash) {
            return;
        }
        let (fate, event) = match known {
            Known::InChain => (Fate::Accepted, BlockEvent::InChain),
            Known::Beside => (Fate::Orphaned, BlockEvent::Beside),
            Known::Nothing => return,
        };
        self.settle(block.hash, fate);
        self.tell(BlockNews { hash: block.hash, height: block.height, event }, None).await;
    }

    /// Whether a node has the parent of a block, or has just been sent it.
    async fn has_parent(&self, node: usize, text: &Text, sent: &HashSet<BlockHash>) -> bool {
        let mut parent = [0; 32];
        // Behind the version, 4 bytes. What is no block is refused by everybody.
        let digits = text.get(8..72).unwrap_or_default();
        if hex::decode_to_slice(digits, &mut parent).is_err() {
            return false;
        }
        let parent = BlockHash(parent);
        sent.contains(&parent)
            || !matches!(self.nodes[node].rpc.standing(parent).await, Ok(Standing::Unknown))
    }

    /// A block in hexadecimal; `None` when nobody has it any more, which is told.
    async fn bytes(&self, block: &Kept) -> Option<Text> {
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

    /// What became of a block is known, for now.
    pub(super) fn settle(&self, hash: BlockHash, fate: Fate) {
        lock(&self.kept).settled(&hash, &fate);
        if let Some(journal) = &self.journal {
            journal.fate(hash, fate);
        }
    }
}
