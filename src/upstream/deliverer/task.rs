//! One block on its way.

use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinSet;

use super::kept::{Kept, Known, Store};
use super::{Delivered, Place, Shared, lock};
use crate::clock::{now, sleep_until, unix_now};
use crate::protocol::block_record::{Answer, Fate, Found, FoundBody, SoloBlock};
use crate::protocol::delivery::{BlockEvent, BlockNews, Call, Delivery, DeliveryNews};
use crate::protocol::node_answers::{Standing, Verdict};
use crate::protocol::solo_session::{BlockFate, FoundBlock};
use crate::upstream::node::rpc::RpcError;
use crate::work::BlockHash;

/// Looks after one block. While it is there, no other does.
pub(super) struct Task {
    shared: Arc<Shared>,
    hash: BlockHash,
    height: u32,
    started: Instant,
}

impl Drop for Task {
    fn drop(&mut self) {
        lock(&self.shared.under_way).remove(&self.hash);
    }
}

enum Heard {
    Verdict(usize, Verdict),
    Standing(usize, Result<Standing, String>),
}

impl Task {
    /// For a block; `None` when another task looks after it.
    pub(super) fn new(shared: &Arc<Shared>, hash: BlockHash, height: u32) -> Option<Self> {
        let is_new = lock(&shared.under_way).insert(hash);
        is_new.then(|| Self { shared: Arc::clone(shared), hash, height, started: now() })
    }

    /// Writes it into the journal and sends it.
    pub(super) async fn keep_and_deliver(self, found: FoundBlock) {
        self.tell(BlockEvent::Found, None).await;
        let (block, chain, at) = (found.block.clone(), found.chain.clone(), unix_now());
        let upstream = self.name(0);
        // Megabytes of digits.
        let record = tokio::task::spawn_blocking(move || {
            Found::for_solo(&block, found.height, &found.chain, &upstream, at)
        });
        let record = match record.await {
            Ok(record) => record,
            Err(error) => {
                let text = format!("it could not be put together: {error}");
                return self.tell(BlockEvent::NotKept(text), None).await;
            }
        };
        let FoundBody::Solo(SoloBlock { block: text, .. }) = &record.body else { return };
        let text: Arc<str> = text.as_str().into();
        let mut store = Store::Memory(Arc::clone(&text));
        if let Some(journal) = &self.shared.journal {
            match journal.found(record).await {
                Ok(Some(place)) => store = Store::Journal(place),
                Ok(None) => {}
                Err(error) => self.tell(BlockEvent::NotKept(error.to_string()), None).await,
            }
        }
        // It is under way, and only sent once more if a node forgets it.
        let known = Known::InChain;
        let kept = Kept { hash: self.hash, at, height: self.height, chain, store, known };
        lock(&self.shared.kept).add(kept);
        let faults = tokio::task::spawn_blocking(move || found.block.faults());
        let (shared, hash, height) = (Arc::clone(&self.shared), self.hash, self.height);
        let check = async move {
            let faults = faults.await.unwrap_or_default();
            if !faults.is_empty() {
                let texts = faults.iter().map(ToString::to_string).collect();
                shared.tell(BlockNews { hash, height, event: BlockEvent::Faulty(texts) }, None).await;
            }
        };
        tokio::join!(self.deliver(text, None), check);
    }

    /// Sends it, in hexadecimal, until each node has said its last word; one may have said a first one.
    pub(super) async fn deliver(self, block: Arc<str>, said: Option<(usize, Verdict)>) {
        let mut delivery = Delivery::new(self.shared.nodes.len(), now());
        let mut calls = JoinSet::new();
        // A block just found goes out at once. Whatever comes later waits its turn.
        let mut is_first = said.is_none();
        if let Some((node, verdict)) = said {
            delivery.begin_with(node, verdict, now());
        }
        loop {
            while let Some((node, call)) = delivery.poll_call(now()) {
                let shared = Arc::clone(&self.shared);
                let (block, hash) = (Arc::clone(&block), self.hash);
                calls.spawn(async move {
                    let Place { rpc, calls, .. } = &shared.nodes[node];
                    let _turn = if is_first { None } else { calls.acquire().await.ok() };
                    match call {
                        Call::Submit => {
                            let again = |error: RpcError| Verdict::Again { reason: error.to_string() };
                            Heard::Verdict(node, rpc.submit_block(&block).await.unwrap_or_else(again))
                        }
                        Call::Look => {
                            let standing = rpc.standing(hash).await;
                            Heard::Standing(node, standing.map_err(|error| error.to_string()))
                        }
                    }
                });
            }
            is_first = false;
            for news in delivery.take_news() {
                self.carry_out(news).await;
            }
            if delivery.is_over() {
                return;
            }
            tokio::select! {
                Some(Ok(heard)) = calls.join_next() => match heard {
                    Heard::Verdict(node, verdict) => {
                        if verdict == Verdict::NoParent {
                            self.shared.news.send(Delivered::NoParent { node }).await.ok();
                        }
                        delivery.handle_verdict(node, verdict, now());
                    }
                    Heard::Standing(node, standing) => delivery.handle_standing(node, standing, now()),
                },
                () = sleep_until(delivery.poll_timeout()) => {}
            }
        }
    }

    async fn carry_out(&self, news: DeliveryNews) {
        let (event, fate) = match news {
            DeliveryNews::Answer { node, text } => {
                let node = self.name(node);
                if let Some(journal) = &self.shared.journal {
                    journal.answer(Answer::new(self.hash, &node, &text, unix_now()));
                }
                (BlockEvent::Answer { node, text }, None)
            }
            DeliveryNews::Accepted { node } => (
                BlockEvent::Accepted { node: self.name(node), after: now() - self.started },
                Some(BlockFate::Accepted),
            ),
            DeliveryNews::InChain => {
                self.shared.settle(self.hash, Fate::Accepted);
                (BlockEvent::InChain, Some(BlockFate::Accepted))
            }
            DeliveryNews::Beside => {
                self.shared.settle(self.hash, Fate::Orphaned);
                let text = "another block was first; the node keeps ours beside its chain".to_owned();
                (BlockEvent::Beside, Some(BlockFate::Beside(text)))
            }
            DeliveryNews::Refused(reason) => {
                self.shared.settle(self.hash, Fate::refused(&reason));
                (BlockEvent::Refused(reason.clone()), Some(BlockFate::Refused(reason)))
            }
        };
        self.tell(event, fate).await;
    }

    fn name(&self, node: usize) -> String {
        self.shared.nodes.get(node).map_or_else(String::new, |place| place.name.clone())
    }

    pub(super) async fn tell(&self, event: BlockEvent, fate: Option<BlockFate>) {
        let (hash, height) = (self.hash, self.height);
        self.shared.tell(BlockNews { hash, height, event }, fate).await;
    }
}
