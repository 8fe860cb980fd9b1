//! Found blocks on their way. One block a parent is sent; what is found on the same parent meanwhile competes with it and
//! is only worth sending if the first fails.

use std::time::{Duration, Instant};

use crate::work::block::Block;
use crate::work::{Answered, BlockHash, LostReason, Outcome, Reject, RejectKind, Share};

/// Blocks of one parent that wait for the fate of the first.
const MAX_SPARES: usize = 8;
/// Parents whose blocks are remembered. A block that its nodes have not answered stays beyond that.
const MAX_PARENTS: usize = 64;

/// A block that shall be kept and sent.
#[derive(Debug, Clone)]
pub struct FoundBlock {
    /// Its hash.
    pub hash: BlockHash,
    /// Its height.
    pub height: u32,
    /// The chain it belongs to, as its node calls it.
    pub chain: String,
    /// All of it.
    pub block: Block,
}

/// What became of a block in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlockFate {
    /// It is in the chain.
    Accepted,
    /// Another block was first, in these words: so it will be for all others of its parent.
    Beside(String),
    /// All nodes refuse it, with these words; printable.
    Refused(String),
}

/// A parent and what was found on it.
#[derive(Debug)]
struct Parent {
    prev_hash: [u8; 32],
    /// The share of the block that is on its way.
    sent: Option<Sent>,
    was_accepted: bool,
    spares: Vec<(Box<Share>, FoundBlock)>,
}

#[derive(Debug)]
struct Sent {
    share: Box<Share>,
    at: Instant,
}

/// What is to be done now.
#[derive(Debug, Default)]
pub(super) struct Orders {
    pub(super) answers: Vec<Answered>,
    pub(super) send: Option<FoundBlock>,
}

#[derive(Debug, Default)]
pub(super) struct Blocks(Vec<Parent>);

impl Blocks {
    /// A share that solves a block, with that block.
    pub(super) fn found(&mut self, share: Box<Share>, found: FoundBlock, now: Instant) -> Orders {
        let prev_hash = share.job().header.prev_hash;
        let place = self.0.iter().rposition(|parent| parent.prev_hash == prev_hash).unwrap_or_else(|| {
            self.make_room();
            self.0.push(Parent { prev_hash, sent: None, was_accepted: false, spares: Vec::new() });
            self.0.len() - 1
        });
        let parent = &mut self.0[place];
        if parent.was_accepted || parent.sent.is_some() && parent.spares.len() == MAX_SPARES {
            return Orders { answers: vec![overtaken(share)], send: None };
        }
        if parent.sent.is_some() {
            parent.spares.push((share, found));
            return Orders::default();
        }
        parent.sent = Some(Sent { share, at: now });
        Orders { answers: Vec::new(), send: Some(found) }
    }

    /// The chain has come back to a parent: what was found on it before is out of the chain, or of another one's.
    pub(super) fn came_back_to(&mut self, prev_hash: &[u8; 32]) {
        if self.0.iter().any(|parent| parent.prev_hash == *prev_hash) {
            self.make_room();
            let prev_hash = *prev_hash;
            self.0.push(Parent { prev_hash, sent: None, was_accepted: false, spares: Vec::new() });
        }
    }

    /// A block of ours has come to its end.
    pub(super) fn ended(&mut self, hash: &BlockHash, fate: BlockFate, now: Instant) -> Orders {
        let is_sent =
            |parent: &&mut Parent| parent.sent.as_ref().is_some_and(|sent| sent.share.hash() == hash);
        let Some(parent) = self.0.iter_mut().find(is_sent) else { return Orders::default() };
        let Some(Sent { share, at }) = parent.sent.take() else { return Orders::default() };
        let latency: Option<Duration> = Some(now.duration_since(at));
        let mut orders = Orders::default();
        let outcome = match fate {
            BlockFate::Accepted => {
                parent.was_accepted = true;
                orders.answers.extend(parent.spares.drain(..).map(|(share, _)| overtaken(share)));
                Outcome::Accepted
            }
            BlockFate::Beside(text) => {
                orders.answers.extend(parent.spares.drain(..).map(|(share, _)| overtaken(share)));
                Outcome::Rejected(Reject { kind: RejectKind::Stale, code: None, text })
            }
            BlockFate::Refused(text) => {
                if !parent.spares.is_empty() {
                    let (share, found) = parent.spares.remove(0);
                    parent.sent = Some(Sent { share, at: now });
                    orders.send = Some(found);
                }
                Outcome::Rejected(Reject { kind: RejectKind::Other, code: None, text })
            }
        };
        orders.answers.insert(0, Answered { share, outcome, latency });
        orders
    }

    /// Whether all blocks have come to their end.
    pub(super) fn is_settled(&self) -> bool {
        self.0.iter().all(|parent| parent.sent.is_none())
    }

    /// Hands out what has no end yet: nobody will tell any more. What was sent is lost for the reason that its hash has,
    /// and what competed with it was in vain in any case.
    pub(super) fn give_up(&mut self, reason: impl Fn(&BlockHash) -> LostReason) -> Vec<Answered> {
        let mut answers = Vec::new();
        for Parent { sent, spares, .. } in std::mem::take(&mut self.0) {
            answers.extend(sent.map(|Sent { share, .. }| {
                let outcome = Outcome::Lost(reason(share.hash()));
                Answered { share, outcome, latency: None }
            }));
            answers.extend(spares.into_iter().map(|(share, _)| overtaken(share)));
        }
        answers
    }

    fn make_room(&mut self) {
        if self.0.len() >= MAX_PARENTS
            && let Some(oldest) = self.0.iter().position(|parent| parent.sent.is_none())
        {
            self.0.remove(oldest);
        }
    }
}

/// Another block of ours took its place.
fn overtaken(share: Box<Share>) -> Answered {
    Answered { share, outcome: Outcome::Stale, latency: None }
}
