//! Solo mining as an upstream: the tasks of all nodes around the session, and the found blocks on their way.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{StreamExt, StreamMap};

use super::deliverer::{Delivered, Deliverer};
use super::journal::Journal;
use super::node::rpc::Rpc;
use super::node::task::{self, NodeEvent, NodeOptions};
use super::node::tips::SourceReport;
use super::{
    Arrival, EVENT_CAPACITY, MadeOf, SHARE_CAPACITY, SoloHandle, Traffic, UpstreamEvent, UpstreamHandle,
    UpstreamNews,
};
use crate::clock::{now, sleep_until};
use crate::protocol::block_book::Watched;
use crate::protocol::delivery::BlockEvent;
use crate::protocol::solo_session::{Event, NodeId, NodeView, SoloSession, SoloTerms};
use crate::validate::context::NodeQuestion;
use crate::work::{BlockHash, HashRate, Share};

/// How long the last blocks may take to be answered when the miner stops. The journal keeps those that are not.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
/// How long a node that has come back may be given what it lacks before it is mined on.
const SEARCHED_WITHIN: Duration = Duration::from_secs(5);
/// Questions of the engine that may wait.
const QUESTION_CAPACITY: usize = 16;
/// What is told of the wait for a node; each has times of its own.
const NEXT_LOOK: Duration = Duration::from_secs(5);

/// What solo mining needs to know.
#[derive(Debug, Clone)]
pub struct SoloOptions {
    /// What the operator wants.
    pub terms: SoloTerms,
    /// The nodes, the most wanted first.
    pub nodes: Vec<NodeOptions>,
    /// What goes over their connections.
    pub traffic: Arc<Traffic>,
}

/// How solo mining stands.
#[derive(Debug, Clone, Default)]
pub struct SoloFigures {
    /// The chain; empty before a node named it.
    pub chain: String,
    /// Height of the block that is mined.
    pub height: Option<u32>,
    /// What a block takes.
    pub difficulty: Option<f64>,
    /// How old the template is.
    pub template_age: Option<Duration>,
    /// Its transactions but the coinbase.
    pub transactions: Option<usize>,
    /// What they pay. Unit: satoshi.
    pub fees: Option<u64>,
    /// How long its node took to give it.
    pub fetch: Option<Duration>,
    /// How long it took to check.
    pub decode: Option<Duration>,
    /// The nodes, the most wanted first.
    pub nodes: Vec<NodeFigures>,
}

/// How a node stands.
#[derive(Debug, Clone)]
pub struct NodeFigures {
    /// Its address.
    pub name: String,
    /// Whether its templates are mined on.
    pub is_chosen: bool,
    /// Why it is of no use.
    pub trouble: Option<String>,
    /// Height of its tip.
    pub blocks: Option<u32>,
    /// Blocks that the best node has and it has not.
    pub behind: Option<u32>,
    /// Its connections to other nodes.
    pub peers: Option<u32>,
    /// How new blocks are heard of.
    pub sources: SourceReport,
}

impl SoloOptions {
    /// Its name for logs and displays: its nodes.
    pub fn name(&self) -> String {
        let names: Vec<_> = self.nodes.iter().map(|node| node.name.as_str()).collect();
        names.join(" and ")
    }
}

struct Solo {
    session: SoloSession,
    deliverer: Deliverer,
    wanted: Vec<watch::Sender<bool>>,
    proposals: Vec<mpsc::Sender<String>>,
    questions: Vec<mpsc::Sender<NodeQuestion>>,
    looks: Vec<Arc<Notify>>,
    jobs: watch::Sender<Option<Arrival>>,
    events: mpsc::Sender<UpstreamEvent>,
    sources: BTreeMap<NodeId, SourceReport>,
    /// Times of the last template: to fetch and to check it.
    times: Option<(Duration, Duration)>,
    figures: watch::Sender<SoloFigures>,
    /// Nodes that have not been seen since they were away, or at all: they may lack blocks of ours.
    away: BTreeSet<NodeId>,
    /// Nodes that have come back and are not mined on before they have been given what they lack, or this time.
    searched: BTreeMap<NodeId, Instant>,
    /// Blocks that the journal does not have.
    unwritten: HashSet<BlockHash>,
    /// Blocks of which it is not known yet whether they are in the chain.
    unseen: HashSet<BlockHash>,
    is_mining: bool,
    is_journaled: bool,
}

/// Starts solo mining on the current runtime. Blocks go into the journal; those of runs before that a node lacks are sent
/// first.
pub fn open(options: SoloOptions, journal: Option<Journal>, watched: Vec<Watched>) -> UpstreamHandle {
    let (figures, figure_receiver) = watch::channel(SoloFigures::default());
    let (jobs, job_receiver) = watch::channel(None);
    let (share_sender, shares) = mpsc::channel(SHARE_CAPACITY);
    let (rate, rates) = watch::channel(HashRate::default());
    let (events, event_receiver) = mpsc::channel(EVENT_CAPACITY);
    let (wanted, _) = watch::channel(false); // the nodes are watched in any case: they vouch for the chain
    let name = options.name();
    let SoloOptions { terms, nodes, traffic } = options;
    let names: Vec<_> = nodes.iter().map(|node| node.name.clone()).collect();
    let places: Vec<(String, Arc<Rpc>)> =
        nodes.iter().map(|node| (node.name.clone(), Arc::clone(&node.rpc))).collect();
    let is_journaled = journal.is_some();
    let (deliverer, delivered) = Deliverer::new(places, journal, watched);
    let away = (0..nodes.len()).map(NodeId).collect();
    let mut solo = Solo {
        session: SoloSession::new(terms, names),
        deliverer,
        wanted: Vec::new(),
        proposals: Vec::new(),
        questions: Vec::new(),
        looks: Vec::new(),
        jobs,
        events,
        sources: BTreeMap::new(),
        times: None,
        figures,
        away,
        searched: BTreeMap::new(),
        unwritten: HashSet::new(),
        unseen: HashSet::new(),
        is_mining: false,
        is_journaled,
    };
    let mut node_events = StreamMap::new();
    for (index, node) in nodes.into_iter().enumerate() {
        let handle = task::open(node);
        node_events.insert(NodeId(index), ReceiverStream::new(handle.events));
        solo.wanted.push(handle.wanted);
        solo.proposals.push(handle.proposals);
        solo.questions.push(handle.questions);
        solo.looks.push(handle.look);
    }
    let (questions, asked) = mpsc::channel(QUESTION_CAPACITY);
    tokio::spawn(solo.run(node_events, delivered, shares, rates, asked));
    let (jobs, shares, events) = (job_receiver, share_sender, event_receiver);
    let solo = Some(SoloHandle { figures: figure_receiver, questions });
    UpstreamHandle { name, jobs, shares, rate, events, wanted, traffic, solo }
}

impl Solo {
    async fn run(
        mut self,
        mut nodes: StreamMap<NodeId, ReceiverStream<NodeEvent>>,
        mut delivered: mpsc::Receiver<Delivered>,
        mut shares: mpsc::Receiver<Box<Share>>,
        mut rates: watch::Receiver<HashRate>,
        mut asked: mpsc::Receiver<NodeQuestion>,
    ) {
        let mut stop_at: Option<Instant> = None;
        for node in &self.names() {
            self.tell(UpstreamNews::Connecting(node.clone())).await;
        }
        loop {
            self.pump().await;
            self.figures.send_replace(self.figures());
            if stop_at.is_some_and(|at| self.session.is_settled() && self.unseen.is_empty() || now() >= at) {
                break;
            }
            let searched = self.searched.values().copied();
            let wake_at = self.session.poll_timeout(now()).into_iter().chain(stop_at).chain(searched).min();
            tokio::select! {
                biased;
                // Blocks first.
                share = shares.recv(), if stop_at.is_none() => match share {
                    Some(share) => self.session.submit(share, now()),
                    None => stop_at = Some(now() + LAST_ANSWERS),
                },
                Some(delivered) = delivered.recv() => self.delivered(delivered).await,
                Some((node, event)) = nodes.next() => self.heard(node, event).await,
                Ok(()) = rates.changed() => {
                    let rate = *rates.borrow_and_update();
                    self.session.handle_rate(rate, now());
                }
                Some(question) = asked.recv() => {
                    // Without a node in use, or with one that is busy, nobody answers.
                    if let Some(node) = self.session.chosen() {
                        self.questions[node.0].try_send(question).ok();
                    }
                }
                () = sleep_until(wake_at) => {
                    for (node, _) in self.searched.extract_if(.., |_, until| now() >= *until) {
                        self.looks[node.0].notify_one();
                    }
                    self.session.handle_timeout(now());
                }
            }
        }
        let Self { is_journaled, unwritten, session, .. } = &mut self;
        session.give_up(|hash| *is_journaled && !unwritten.contains(hash));
        self.pump().await;
    }

    fn names(&self) -> Vec<String> {
        self.session.nodes().map(|(name, ..)| name.to_owned()).collect()
    }

    async fn heard(&mut self, node: NodeId, event: NodeEvent) {
        match event {
            NodeEvent::View(view) => {
                let last = self.session.view(node).map(|view| view.blocks);
                if self.away.remove(&node) {
                    // What it has forgotten comes first: work on its shorter chain would compete with that.
                    if self.deliverer.returned(node.0, &view.chain) {
                        self.searched.insert(node, now() + SEARCHED_WITHIN);
                    }
                } else if last.is_some_and(|last| view.blocks < last) {
                    self.deliverer.returned(node.0, &view.chain);
                } else {
                    self.deliverer.seen(node.0, &view.chain);
                }
                if self.searched.get(&node).is_none_or(|until| now() >= *until) {
                    self.searched.remove(&node);
                    self.session.handle_view(node, view, now());
                }
            }
            NodeEvent::Template(fetched) => {
                self.times = Some((fetched.answered - fetched.asked, fetched.checked - fetched.answered));
                self.session.handle_template(node, fetched, now());
            }
            NodeEvent::Trouble(reason) => {
                self.away.insert(node);
                self.searched.remove(&node);
                self.session.handle_trouble(node, reason, now());
            }
            NodeEvent::Proposal(proposal) => self.session.handle_proposal(node, proposal, now()),
            NodeEvent::Answer(answer) => {
                self.events.send(UpstreamEvent::NodeAnswered(answer)).await.ok(); // the engine has ended
            }
            NodeEvent::Sources(report) => _ = self.sources.insert(node, report),
            NodeEvent::Remark(text) => self.tell(UpstreamNews::Complaint(text)).await,
        }
    }

    async fn delivered(&mut self, delivered: Delivered) {
        let (news, fate) = match delivered {
            Delivered::News { news, fate } => (news, fate),
            Delivered::Searched { node } => {
                if self.searched.remove(&NodeId(node)).is_some() {
                    self.looks[node].notify_one();
                }
                return;
            }
            Delivered::NoParent { node } => {
                if let Some(view) = self.session.view(NodeId(node)) {
                    self.deliverer.lacks_a_parent(node, &view.chain);
                }
                return;
            }
        };
        match &news.event {
            BlockEvent::Found | BlockEvent::Again | BlockEvent::Forgotten { .. } => {
                _ = self.unseen.insert(news.hash);
            }
            BlockEvent::Accepted { .. } => {
                _ = self.unseen.insert(news.hash);
                self.looks.iter().for_each(|look| look.notify_one());
            }
            BlockEvent::InChain | BlockEvent::Beside | BlockEvent::Refused(_) => {
                _ = self.unseen.remove(&news.hash);
            }
            BlockEvent::NotKept(_) => _ = self.unwritten.insert(news.hash),
            _ => {}
        }
        if let Some(fate) = fate {
            self.session.handle_fate(&news.hash, fate, now());
        }
        self.tell(UpstreamNews::Block(Box::new(news))).await;
    }

    /// Carries out what the session wants.
    async fn pump(&mut self) {
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Job(job, at) => {
                    if !std::mem::replace(&mut self.is_mining, true) {
                        self.tell(UpstreamNews::Mining).await;
                    }
                    let made_of = self.session.template_of(&job).map(|template| MadeOf {
                        chain: self.session.chain().to_owned(),
                        template: Arc::clone(template),
                    });
                    self.jobs.send_replace(Some(Arrival { job, at, made_of }));
                }
                Event::Down(reason) => {
                    self.is_mining = false;
                    self.jobs.send_replace(None);
                    self.tell(UpstreamNews::Down { reason, retry_in: NEXT_LOOK, refused: false }).await;
                }
                Event::Want(node, is_wanted) => drop(self.wanted[node.0].send_replace(is_wanted)),
                // With one under way already there is no need of another.
                Event::Propose(node, block) => drop(self.proposals[node.0].try_send(block)),
                Event::BlockRefused(reason) => {
                    self.events.send(UpstreamEvent::BlockRefused(reason)).await.ok();
                }
                Event::Block(found) => self.deliverer.send(*found),
                Event::Answered(answered) => _ = self.events.send(UpstreamEvent::Answered(answered)).await,
                Event::Template(news) => self.tell(UpstreamNews::Template(news)).await,
                Event::Message(text) => self.tell(UpstreamNews::Message(text)).await,
                Event::Complaint(text) => self.tell(UpstreamNews::Complaint(text)).await,
            }
        }
    }

    fn figures(&self) -> SoloFigures {
        let current = self.session.current(now());
        let template = current.map(|(template, _)| template);
        let best = self.session.nodes().filter_map(|(_, view, _)| Some(view?.blocks)).max();
        let node =
            |(index, (name, view, trouble)): (usize, (&str, Option<&NodeView>, Option<&str>))| NodeFigures {
                name: name.to_owned(),
                is_chosen: self.session.chosen() == Some(NodeId(index)),
                trouble: trouble.map(str::to_owned),
                blocks: view.map(|view| view.blocks),
                behind: view.zip(best).map(|(view, best)| best - view.blocks),
                peers: view.and_then(|view| view.peers),
                sources: self.sources.get(&NodeId(index)).copied().unwrap_or_default(),
            };
        let chain = self.session.nodes().find_map(|(_, view, _)| Some(view?.chain.clone()));
        SoloFigures {
            chain: chain.unwrap_or_default(),
            height: template.map(|template| template.height()),
            difficulty: template.map(|template| template.target().difficulty().value()),
            template_age: current.map(|(_, age)| age),
            transactions: template.map(|template| template.transactions().txids().len()),
            fees: template.map(|template| template.transactions().fees()),
            fetch: self.times.map(|(fetch, _)| fetch),
            decode: self.times.map(|(_, decode)| decode),
            nodes: self.session.nodes().enumerate().map(node).collect(),
        }
    }

    async fn tell(&self, news: UpstreamNews) {
        self.events.send(UpstreamEvent::News(news)).await.ok(); // the engine has ended
    }
}
