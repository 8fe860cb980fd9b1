//! Shares that a pool has not answered yet. None is forgotten: each leaves here with an answer or a reason.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::work::{Share, VersionConvention};

/// Shares remembered at once: at 50 shares a second, ten seconds of a pool's silence. Past it the oldest is given up.
pub const MAX_UNANSWERED: usize = 512;

/// Blocks remembered at once. They neither expire nor give way to other shares; but where every hash is a block, the
/// pool's targets are a joke or an attack.
pub const MAX_BLOCKS: usize = 64;

/// One share on its way.
#[derive(Debug, Clone)]
pub struct Pending {
    /// The share.
    pub share: Box<Share>,
    /// When it was first handed in; its deadline counts from here, over reconnections too.
    pub found_at: Instant,
    /// When it was last written to a connection.
    pub sent_at: Instant,
    /// Whether it has been sent before, on an earlier connection.
    pub resent: bool,
    /// What its submit said of the version; its verdict speaks of this convention and no other.
    pub convention: VersionConvention,
}

/// All shares on their way to one upstream.
#[derive(Debug, Default)]
pub struct Unanswered {
    /// By request id, and so by age of sending.
    sent: BTreeMap<u64, Pending>,
    /// Found or left over while no connection could take them, oldest first.
    waiting: Vec<Pending>,
}

impl Unanswered {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.sent.len() + self.waiting.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A share was written as request `id`. Returns the oldest one when there are too many.
    pub fn sent(&mut self, id: u64, pending: Pending) -> Option<Pending> {
        self.sent.insert(id, pending);
        self.overflow()
    }

    /// A share has to wait for a connection. Returns the oldest one when there are too many.
    pub fn wait(&mut self, pending: Pending) -> Option<Pending> {
        self.waiting.push(pending);
        self.overflow()
    }

    /// Request `id` was answered.
    pub fn answered(&mut self, id: u64) -> Option<Pending> {
        self.sent.remove(&id)
    }

    /// The connection is gone: what was sent on it waits for the next.
    pub fn disconnected(&mut self) {
        let mut unsent = std::mem::take(&mut self.waiting);
        self.waiting =
            std::mem::take(&mut self.sent).into_values().map(|p| Pending { resent: true, ..p }).collect();
        self.waiting.append(&mut unsent);
    }

    /// Takes all that waits, to be sent or given up.
    pub fn take_waiting(&mut self) -> Vec<Pending> {
        std::mem::take(&mut self.waiting)
    }

    /// Takes everything.
    pub fn take_all(&mut self) -> Vec<Pending> {
        self.disconnected();
        self.take_waiting()
    }

    /// Takes all that were found `patience` ago or earlier, but for blocks.
    pub fn expired(&mut self, patience: Duration, now: Instant) -> Vec<Pending> {
        let late = |pending: &Pending| {
            !pending.share.solves_block() && now.duration_since(pending.found_at) >= patience
        };
        let mut expired: Vec<_> = self.waiting.extract_if(.., |pending| late(pending)).collect();
        expired.extend(self.sent.extract_if(.., |_, pending| late(pending)).map(|(_, pending)| pending));
        expired
    }

    /// When the oldest that can expire was found.
    pub fn oldest(&self) -> Option<Instant> {
        let expiring =
            self.sent.values().chain(&self.waiting).filter(|pending| !pending.share.solves_block());
        expiring.map(|pending| pending.found_at).min()
    }

    fn overflow(&mut self) -> Option<Pending> {
        let blocks =
            self.sent.values().chain(&self.waiting).filter(|pending| pending.share.solves_block()).count();
        if blocks > MAX_BLOCKS {
            return self.take_oldest(true);
        }
        if self.len() - blocks > MAX_UNANSWERED { self.take_oldest(false) } else { None }
    }

    /// The oldest block, or the oldest share that is none.
    fn take_oldest(&mut self, block: bool) -> Option<Pending> {
        let is_wanted = |pending: &Pending| pending.share.solves_block() == block;
        let sent = self.sent.iter().find(|(_, pending)| is_wanted(pending)).map(|(id, _)| *id);
        match sent {
            Some(id) => self.sent.remove(&id),
            None => self.waiting.iter().position(is_wanted).map(|at| self.waiting.remove(at)),
        }
    }
}
