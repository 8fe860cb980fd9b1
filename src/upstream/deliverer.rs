//! Found blocks on their way: into the journal, then to all nodes at once, each block in a task of its own.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::journal::Journal;
use super::node::rpc::{Rpc, RpcError};
use crate::clock::{now, sleep_until, unix_now};
use crate::protocol::block_record::{Answer, Fate, Found, FoundBody, SoloBlock};
use crate::protocol::delivery::{BlockEvent, BlockNews, Call, Delivery, DeliveryNews};
use crate::protocol::node_answers::{Standing, Verdict};
use crate::protocol::solo_session::{BlockFate, FoundBlock};
use crate::work::BlockHash;

/// News that may wait for the solo task, which takes them within milliseconds. The delivery waits when it is full.
const NEWS_CAPACITY: usize = 64;

/// News of a block.
#[derive(Debug)]
pub(super) struct Delivered {
    pub(super) news: BlockNews,
    /// What it means for the share that it was found by.
    pub(super) fate: Option<BlockFate>,
}

/// Where blocks go.
pub(super) struct Deliverer {
    nodes: Vec<(String, Arc<Rpc>)>,
    journal: Option<Journal>,
    news: mpsc::Sender<Delivered>,
    tasks: JoinSet<()>,
}

impl Deliverer {
    pub(super) fn new(
        nodes: Vec<(String, Arc<Rpc>)>,
        journal: Option<Journal>,
    ) -> (Self, mpsc::Receiver<Delivered>) {
        let (news, receiver) = mpsc::channel(NEWS_CAPACITY);
        (Self { nodes, journal, news, tasks: JoinSet::new() }, receiver)
    }

    /// Keeps and sends a block.
    pub(super) fn send(&mut self, found: FoundBlock) {
        while self.tasks.try_join_next().is_some() {} // lets go of those that have ended
        let task = self.task(found.hash, found.height);
        self.tasks.spawn(async move {
            task.tell(BlockEvent::Found, None).await;
            let (block, at) = (found.block.clone(), unix_now());
            let upstream = task.nodes.first().map_or_else(String::new, |(name, _)| name.clone());
            // Megabytes of digits.
            let record = tokio::task::spawn_blocking(move || {
                Found::for_solo(&block, found.height, &found.chain, &upstream, at)
            });
            let record = match record.await {
                Ok(record) => record,
                Err(error) => {
                    let text = format!("it could not be put together: {error}");
                    return task.tell(BlockEvent::NotKept(text), None).await;
                }
            };
            let FoundBody::Solo(SoloBlock { block: hex, .. }) = &record.body else { return };
            let hex: Arc<str> = hex.as_str().into();
            if let Some(journal) = &task.journal
                && let Err(error) = journal.found(record).await
            {
                task.tell(BlockEvent::NotKept(error.to_string()), None).await;
            }
            let faults = tokio::task::spawn_blocking(move || found.block.faults());
            let check = async {
                let faults = faults.await.unwrap_or_default();
                if !faults.is_empty() {
                    let texts = faults.iter().map(ToString::to_string).collect();
                    task.tell(BlockEvent::Faulty(texts), None).await;
                }
            };
            tokio::join!(task.deliver(hex), check);
        });
    }

    /// Sends a block that is in the journal already.
    pub(super) fn send_again(&mut self, found: Found) {
        let FoundBody::Solo(SoloBlock { height, block, .. }) = found.body else { return };
        let task = self.task(found.hash, height);
        self.tasks.spawn(async move {
            task.tell(BlockEvent::Again, None).await;
            task.deliver(block.into()).await;
        });
    }

    fn task(&self, hash: BlockHash, height: u32) -> Task {
        Task {
            hash,
            height,
            nodes: self.nodes.clone(),
            journal: self.journal.clone(),
            news: self.news.clone(),
            started: now(),
        }
    }
}

struct Task {
    hash: BlockHash,
    height: u32,
    nodes: Vec<(String, Arc<Rpc>)>,
    journal: Option<Journal>,
    news: mpsc::Sender<Delivered>,
    started: Instant,
}

enum Heard {
    Verdict(usize, Verdict),
    Standing(usize, Option<Standing>),
}

impl Task {
    async fn deliver(&self, block: Arc<str>) {
        let mut delivery = Delivery::new(self.nodes.len(), now());
        let mut calls = JoinSet::new();
        loop {
            while let Some((node, call)) = delivery.poll_call(now()) {
                let (rpc, block, hash) = (Arc::clone(&self.nodes[node].1), Arc::clone(&block), self.hash);
                calls.spawn(async move {
                    match call {
                        Call::Submit => {
                            let again = |error: RpcError| Verdict::Again { reason: error.to_string() };
                            Heard::Verdict(node, rpc.submit_block(&block).await.unwrap_or_else(again))
                        }
                        Call::Look => Heard::Standing(node, rpc.standing(hash).await.ok()),
                    }
                });
            }
            for news in delivery.take_news() {
                self.carry_out(news).await;
            }
            if delivery.is_over() {
                return;
            }
            tokio::select! {
                Some(Ok(heard)) = calls.join_next() => match heard {
                    Heard::Verdict(node, verdict) => delivery.handle_verdict(node, verdict, now()),
                    Heard::Standing(node, standing) => delivery.handle_standing(node, standing, now()),
                },
                () = sleep_until(delivery.poll_timeout()) => {}
            }
        }
    }

    async fn carry_out(&self, news: DeliveryNews) {
        let name = |node: usize| self.nodes[node].0.clone();
        let (event, fate) = match news {
            DeliveryNews::Answer { node, text } => {
                if let Some(journal) = &self.journal {
                    journal.answer(Answer::new(self.hash, &name(node), &text, unix_now()));
                }
                (BlockEvent::Answer { node: name(node), text }, None)
            }
            DeliveryNews::Accepted { node } => (
                BlockEvent::Accepted { node: name(node), after: now() - self.started },
                Some(BlockFate::Accepted),
            ),
            DeliveryNews::InChain => {
                self.settle(Fate::Accepted);
                (BlockEvent::InChain, Some(BlockFate::Accepted))
            }
            DeliveryNews::Beside => {
                self.settle(Fate::Orphaned);
                let text = "another block was first; the node keeps ours beside its chain".to_owned();
                (BlockEvent::Beside, Some(BlockFate::Beside(text)))
            }
            DeliveryNews::Refused(reason) => {
                self.settle(Fate::refused(&reason));
                (BlockEvent::Refused(reason.clone()), Some(BlockFate::Refused(reason)))
            }
        };
        self.tell(event, fate).await;
    }

    fn settle(&self, fate: Fate) {
        if let Some(journal) = &self.journal {
            journal.fate(self.hash, fate);
        }
    }

    async fn tell(&self, event: BlockEvent, fate: Option<BlockFate>) {
        let news = BlockNews { hash: self.hash, height: self.height, event };
        self.news.send(Delivered { news, fate }).await.ok(); // the solo task has ended
    }
}
