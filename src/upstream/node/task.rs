//! One node: a task that looks at it, hears of new blocks, fetches templates while they are wanted, and has blocks of
//! ours looked at. It only asks; what follows from the answers is decided by the session above.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use super::rpc::{Rpc, RpcError, TemplateText};
use super::tips::{self, SourceReport, Tips};
use crate::clock::{now, sleep_until, unix_now};
use crate::protocol::node_answers::{HeaderInfo, Proposal, Standing};
use crate::protocol::solo_session::{Fetched, NodeView, TipSource};
use crate::protocol::zmq_endpoint::ZmqEndpoint;
use crate::validate::context::{NodeAnswer, NodeQuestion};
use crate::work::BlockHash;
use crate::work::template::{DifficultyRule, NewTip, Template};

/// Between two looks at a node that is well: its peers, and the work of its chain.
const BETWEEN_LOOKS: Duration = Duration::from_secs(10);
/// Publishers of one node that are subscribed to without being told.
const MAX_PUBLISHERS: usize = 2;
/// How soon a node is looked at that named a tip and whose templates are not wanted.
const AFTER_A_TIP: Duration = Duration::from_millis(100);
/// Waits between attempts at one that is not: it may be starting, which takes seconds.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Events that may wait for the solo task, which takes them within milliseconds. The node waits when it is full.
const EVENT_CAPACITY: usize = 64;
/// How far the node's clock may be from ours. Unit: seconds.
const MAX_CLOCK_GAP: u64 = 60;
/// Blocks to be looked at that may wait, and questions.
const PROPOSAL_CAPACITY: usize = 2;
const QUESTION_CAPACITY: usize = 16;
/// Questions that may be under way at once: the node answers each within milliseconds, or is in trouble.
const MAX_ASIDES: usize = 16;

/// What a node's task needs to know.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// Its address, for logs and displays.
    pub name: String,
    /// How to reach it.
    pub rpc: Arc<Rpc>,
    /// Where it publishes new blocks.
    pub zmq: Vec<ZmqEndpoint>,
    /// Between two templates of one tip.
    pub refresh: Duration,
    /// Whether to mine an empty block until the template of a new tip is there.
    pub empty_first: bool,
}

/// What comes from a node.
#[derive(Debug)]
pub enum NodeEvent {
    /// A look at it.
    View(NodeView),
    /// A template.
    Template(Fetched),
    /// It is of no use for now, for this reason; printable.
    Trouble(String),
    /// What it says of a block that was proposed; `None` when it could not be asked.
    Proposal(Option<Proposal>),
    /// What it says to a question.
    Answer(NodeAnswer),
    /// How new blocks are heard of.
    Sources(SourceReport),
    /// Something for the operator; printable.
    Remark(String),
}

/// A running node.
#[derive(Debug)]
pub struct NodeHandle {
    /// What happens to it, in order.
    pub events: mpsc::Receiver<NodeEvent>,
    /// Whether templates are wanted of it; false at first.
    pub wanted: watch::Sender<bool>,
    /// Blocks for it to look at, in hexadecimal.
    pub proposals: mpsc::Sender<String>,
    /// Questions about what others say of the chain.
    pub questions: mpsc::Sender<NodeQuestion>,
    /// Makes it look at the node at once.
    pub look: Arc<Notify>,
}

/// What came of what is asked beside everything else.
enum Aside {
    Proposal(Option<Proposal>),
    Answer(NodeAnswer),
}

/// Starts a node's task on the current runtime. It ends with the receiver of its events.
pub fn open(options: NodeOptions) -> NodeHandle {
    let (events, event_receiver) = mpsc::channel(EVENT_CAPACITY);
    let (wanted, is_wanted) = watch::channel(false);
    let (proposals, to_propose) = mpsc::channel(PROPOSAL_CAPACITY);
    let (questions, asked) = mpsc::channel(QUESTION_CAPACITY);
    let node = Node {
        options,
        events,
        last: None,
        chain: String::new(),
        tip: None,
        wait: FIRST_WAIT,
        look_at: now(),
        fetch_at: None,
        gives_none: false,
        known: Known::default(),
    };
    let look = Arc::new(Notify::new());
    tokio::spawn(node.run(is_wanted, to_propose, asked, Arc::clone(&look)));
    NodeHandle { events: event_receiver, wanted, proposals, questions, look }
}

struct Node {
    options: NodeOptions,
    events: mpsc::Sender<NodeEvent>,
    /// The last template, and the chain by the last look.
    last: Option<Arc<Template>>,
    chain: String,
    /// Of the last template or look, header order.
    tip: Option<[u8; 32]>,
    wait: Duration,
    look_at: Instant,
    /// When the next template is due; `None` while none is wanted.
    fetch_at: Option<Instant>,
    /// It could not give a template the last time, however well it looks.
    gives_none: bool,
    known: Known,
}

/// What has been found out about a node since it was last in trouble.
#[derive(Debug, Default)]
struct Known {
    /// Where it publishes.
    publishers: bool,
    /// That it takes blocks of this user.
    takes_blocks: bool,
    /// That its clock and ours differ.
    clocks: bool,
}

impl Node {
    async fn run(
        mut self,
        mut wanted: watch::Receiver<bool>,
        mut proposals: mpsc::Receiver<String>,
        mut questions: mpsc::Receiver<NodeQuestion>,
        look: Arc<Notify>,
    ) {
        let mut tips = tips::watch(Arc::clone(&self.options.rpc), self.options.zmq.clone());
        let mut asides = JoinSet::new();
        while !self.events.is_closed() {
            let wake_at = self.fetch_at.into_iter().chain([self.look_at]).min();
            tokio::select! {
                biased;
                heard = tips.next() => self.heard(heard, &mut tips).await,
                changed = wanted.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    self.fetch_at = wanted.borrow_and_update().then(now);
                }
                () = look.notified() => self.look_at = now(),
                // Beside everything else: it takes as long as the check of a whole block.
                Some(block) = proposals.recv() => {
                    let rpc = Arc::clone(&self.options.rpc);
                    // A node that cannot be asked says so by everything else too.
                    asides.spawn(async move { Aside::Proposal(rpc.propose(&block).await.ok()) });
                }
                Some(question) = questions.recv(), if asides.len() < MAX_ASIDES => {
                    let rpc = Arc::clone(&self.options.rpc);
                    asides.spawn(async move { Aside::Answer(answer(&rpc, question).await) });
                }
                Some(Ok(aside)) = asides.join_next() => self.tell(match aside {
                    Aside::Proposal(proposal) => NodeEvent::Proposal(proposal),
                    Aside::Answer(answer) => NodeEvent::Answer(answer),
                }).await,
                () = sleep_until(wake_at) => {
                    if self.fetch_at.is_some_and(|at| now() >= at) {
                        self.fetch(None).await;
                    }
                    if now() >= self.look_at {
                        if self.gives_none {
                            self.fetch(None).await;
                        }
                        self.look().await;
                        self.tell(NodeEvent::Sources(tips.report())).await;
                    }
                }
                () = self.events.closed() => break,
            }
            tips.set_tip(self.tip);
            if self.known.takes_blocks && !std::mem::replace(&mut self.known.publishers, true) {
                for endpoint in self.published().await {
                    tips.subscribe(endpoint);
                }
            }
        }
    }

    async fn heard(&mut self, heard: tips::Heard, tips: &mut Tips) {
        match heard {
            tips::Heard::Tip { hash, source, at } => {
                if self.tip == Some(hash) {
                    return;
                }
                if self.fetch_at.is_some() {
                    if self.options.empty_first {
                        self.empty(hash, (source, at)).await;
                    }
                    self.fetch(Some((source, at))).await;
                    self.look().await;
                    self.tell(NodeEvent::Sources(tips.report())).await;
                } else {
                    // One that fetches the chain names hundreds a second.
                    self.look_at = self.look_at.min(now() + AFTER_A_TIP);
                }
            }
            // Something may have been missed.
            tips::Heard::Changed => self.look_at = now(),
            tips::Heard::Remark(text) => self.tell(NodeEvent::Remark(text)).await,
        }
    }

    /// Makes an empty template from the header of the new tip, which comes much sooner than the node's.
    async fn empty(&mut self, hash: [u8; 32], notice: (TipSource, Instant)) {
        let (Some(last), asked) = (self.last.clone(), now()) else { return };
        let Ok(header) = self.options.rpc.block_header(BlockHash(hash)).await else { return };
        let answered = now();
        let is_tip = header.standing() == Standing::Active { confirmations: 1 };
        let difficulty = match self.chain.as_str() {
            "main" | "signet" => DifficultyRule::Period,
            "regtest" => DifficultyRule::Constant,
            _ => DifficultyRule::Other,
        };
        let HeaderInfo { height, median_time, nbits, .. } = header;
        let tip = NewTip { hash, height, median_time, nbits, difficulty };
        // Behind the tip of the last template there is no hurry, and beside the chain no use.
        let is_next = is_tip && height >= last.height();
        if let Some(template) = last.empty_on(&tip, unix_now()).filter(|_| is_next) {
            let (template, checked, notice) = (template.into(), now(), Some(notice));
            self.tell(NodeEvent::Template(Fetched { template, asked, answered, checked, notice })).await;
        }
    }

    /// Fetches a template and hands it on.
    async fn fetch(&mut self, notice: Option<(TipSource, Instant)>) {
        let TemplateText { text, asked, answered } = match self.options.rpc.block_template().await {
            Ok(given) => given,
            Err(error) => return self.no_template(error).await,
        };
        // Megabytes of transactions are checked: not on the thread that everything else goes through.
        let checked = tokio::task::spawn_blocking(move || {
            Template::parse(&text).map_err(|error| format!("its template is of no use: {error}"))
        });
        let template = match checked.await {
            Ok(Ok(template)) => template,
            Ok(Err(error)) => return self.no_template(error).await,
            Err(_) => return, // the runtime ends
        };
        self.compare_clocks(&template).await;
        self.tip = Some(template.header().prev_hash);
        (self.wait, self.gives_none) = (FIRST_WAIT, false);
        self.fetch_at = self.fetch_at.map(|_| now() + self.options.refresh);
        let template = Arc::new(template);
        self.last = Some(Arc::clone(&template));
        self.tell(NodeEvent::Template(Fetched { template, asked, answered, checked: now(), notice })).await;
    }

    /// A block's time is the node's, and other nodes refuse what is too far from theirs.
    async fn compare_clocks(&mut self, template: &Template) {
        let (node, ours) = (u64::from(template.header().ntime), unix_now());
        let is_least = template.header().ntime == template.mintime(); // then the chain has set it
        let (way, seconds) = match (node.checked_sub(ours), ours.checked_sub(node)) {
            (Some(ahead), _) if ahead > MAX_CLOCK_GAP && !is_least => ("ahead of", ahead),
            (_, Some(behind)) if behind > MAX_CLOCK_GAP => ("behind", behind),
            _ => {
                self.known.clocks = false;
                return;
            }
        };
        if !std::mem::replace(&mut self.known.clocks, true) {
            let text = format!(
                "node {}: its clock is {seconds} s {way} this machine's; set both right, or blocks may be refused",
                self.options.name
            );
            self.tell(NodeEvent::Remark(text)).await;
        }
    }

    async fn no_template(&mut self, error: impl std::fmt::Display) {
        self.gives_none = true;
        self.trouble(error).await;
    }

    async fn look(&mut self) {
        if self.gives_none {
            return; // it would only seem to be of use again
        }
        match self.view().await {
            Ok(view) => {
                let is_behind = self.fetch_at.is_some() && self.tip.is_some_and(|tip| tip != view.tip);
                self.tip = Some(view.tip);
                self.chain.clone_from(&view.chain);
                (self.wait, self.look_at) = (FIRST_WAIT, now() + BETWEEN_LOOKS);
                self.tell(NodeEvent::View(view)).await;
                if is_behind {
                    self.fetch(Some((TipSource::Poll, now()))).await;
                }
            }
            Err(error) => self.trouble(error).await,
        }
    }
}

impl Node {
    async fn view(&mut self) -> Result<NodeView, RpcError> {
        if !self.known.takes_blocks {
            // Better known now than when there is one.
            self.options.rpc.check_submit().await?;
        }
        let chain = self.options.rpc.chain_info().await?;
        if !std::mem::replace(&mut self.known.takes_blocks, true)
            && let Err(error) = self.options.rpc.standing(chain.best_block).await
        {
            let text = format!(
                "node {}: what becomes of a found block will not be known: {error}",
                self.options.name
            );
            self.tell(NodeEvent::Remark(text)).await;
        }
        // A whitelist may leave it out.
        let network = self.options.rpc.network_info().await.ok();
        Ok(NodeView {
            chain: chain.chain,
            blocks: chain.blocks,
            headers: chain.headers,
            tip: chain.best_block.0,
            work: chain.chainwork,
            is_downloading: chain.initial_download,
            peers: network.map(|network| network.connections),
        })
    }

    /// Where a node on this machine publishes new blocks, for an operator who did not say.
    async fn published(&self) -> Vec<ZmqEndpoint> {
        if !self.options.zmq.is_empty() || !self.options.rpc.is_near() {
            return Vec::new();
        }
        let answer = self.options.rpc.zmq_notifications().await.unwrap_or_default();
        let is_of_blocks = |topic: &str| topic == "pubhashblock" || topic == "pubsequence";
        let of_blocks = answer.iter().filter(|published| is_of_blocks(&published.kind));
        of_blocks
            .filter_map(|published| ZmqEndpoint::published(&published.address))
            .take(MAX_PUBLISHERS)
            .collect()
    }

    /// Something went wrong: the next look comes after a wait that grows.
    async fn trouble(&mut self, error: impl std::fmt::Display) {
        // It may come back as another one.
        (self.known.publishers, self.known.takes_blocks) = (false, false);
        let due = now() + self.wait;
        self.wait = (2 * self.wait).min(LONGEST_WAIT);
        self.look_at = due;
        if self.fetch_at.is_some() {
            self.fetch_at = Some(due);
        }
        self.tell(NodeEvent::Trouble(error.to_string())).await;
    }

    async fn tell(&self, event: NodeEvent) {
        self.events.send(event).await.ok(); // without a receiver the task ends
    }
}

/// Asks the node. One that may not be asked, or does not answer, knows nothing.
async fn answer(rpc: &Rpc, question: NodeQuestion) -> NodeAnswer {
    let answer = match question {
        NodeQuestion::Mempool(txid) => rpc.has_in_mempool(txid).await,
        NodeQuestion::Invalid(block) => rpc.is_invalid(BlockHash(block)).await,
    };
    NodeAnswer { question, answer: answer.ok() }
}
