//! Solo mining as a state machine over all nodes: looks, templates, shares and time in; jobs, blocks and news out. The
//! shell asks the nodes and hands blocks on.

mod blocks;
mod jobs;
mod nodes;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use blocks::{BlockFate, FoundBlock};
pub use nodes::{ChainTerms, NodeId, NodeView};

use self::blocks::{Blocks, Orders};
use self::jobs::{Jobs, Made};
use self::nodes::{Node, Nodes, Turn};
use super::node_answers::Proposal;
use super::remarks::{Remarks, Verdict};
use crate::work::block::SoloJob;
use crate::work::coinbase_builder::CoinbasePlan;
use crate::work::template::Template;
use crate::work::{Answered, Difficulty, HashRate, Job, LostReason, Outcome, Share};

/// What the operator wants of it.
#[derive(Debug, Clone)]
pub struct SoloTerms {
    /// The coinbase of every block.
    pub plan: CoinbasePlan,
    /// Which chains may be mined on.
    pub chain: ChainTerms,
    /// What a template of the same tip must pay more to be mined on. Unit: satoshi.
    pub fee_gain: u64,
    /// Whether each node checks a block of ours before much is hashed on its templates.
    pub check_proposal: bool,
}

/// A template and its times.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// What came.
    pub template: Arc<Template>,
    /// When the node was asked.
    pub asked: Instant,
    /// When its answer was here.
    pub answered: Instant,
    /// When it was read and checked.
    pub checked: Instant,
    /// How the new tip was heard of, and when; `None` when the clock asked for it.
    pub notice: Option<(TipSource, Instant)>,
}

/// How a new tip was heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TipSource {
    /// ZMQ, `hashblock` or `sequence`.
    Zmq,
    /// The call that waits for a new block.
    Wait,
    /// Asking again and again.
    Poll,
}

impl TipSource {
    /// The word for it that programs match on.
    pub fn word(self) -> &'static str {
        match self {
            Self::Zmq => "zmq",
            Self::Wait => "wait",
            Self::Poll => "poll",
        }
    }
}

/// A template that is mined on.
#[derive(Debug, Clone)]
pub struct TemplateNews {
    /// Whose it is.
    pub node: String,
    /// The chain, as the node calls it.
    pub chain: String,
    /// Whether its tip is new.
    pub clean: bool,
    /// Height of the block.
    pub height: u32,
    /// Transactions but the coinbase.
    pub transactions: usize,
    /// What they pay. Unit: satoshi.
    pub fees: u64,
    /// All that a block pays. Unit: satoshi.
    pub value: u64,
    /// What a block takes.
    pub difficulty: Difficulty,
    /// From asking the node to its answer.
    pub fetch: Duration,
    /// From its answer to the checked template.
    pub decode: Duration,
    /// From the checked template to the job.
    pub build: Duration,
    /// How the tip was heard of, and how long ago that is now.
    pub notice: Option<(TipSource, Duration)>,
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// Work to hash; when its tip was heard of, or else when its template's answer was here.
    Job(Arc<Job>, Instant),
    /// No node gives work, for this reason.
    Down(String),
    /// Fetch templates from this node, or no longer.
    Want(NodeId, bool),
    /// Let the node check this block, in hexadecimal, without sending it.
    Propose(NodeId, String),
    /// The running job must not be hashed any more: its node would refuse a block of it, for this reason; printable.
    BlockRefused(String),
    /// Keep this block and send it to all nodes.
    Block(Box<FoundBlock>),
    /// A share has come to its end.
    Answered(Answered),
    /// A template is mined on.
    Template(Box<TemplateNews>),
    /// Something for the operator; printable.
    Message(String),
    /// Something is wrong; printable.
    Complaint(String),
}

/// How far a node has come with checking our blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Check {
    /// It shall be asked with the next template.
    Due,
    Asked,
    Done,
    /// It refuses them, with this complaint since then: nothing is hashed on its templates until it is asked anew.
    Refused(String, Instant),
}

/// Between two words on the same trouble that differ by a figure.
const REPEAT: Duration = Duration::from_secs(60);
/// How long a node that refuses our blocks is left alone: what it objects to is in its configuration or ours.
const RECHECK_AFTER: Duration = Duration::from_secs(60);

/// Solo mining over these nodes.
#[derive(Debug)]
pub struct SoloSession {
    nodes: Nodes,
    checks: Vec<Check>,
    check_proposal: bool,
    jobs: Jobs,
    blocks: Blocks,
    /// The chain of what is mined on; it stays when its node goes, since blocks may still be found.
    chain: String,
    /// Whether the last word was a job.
    is_up: bool,
    last_down: Option<(String, Instant)>,
    /// Whom blocks pay, until it is told.
    payees: Option<String>,
    complaints: Remarks,
    events: VecDeque<Event>,
}

impl SoloSession {
    /// For nodes of these names in order of preference.
    pub fn new(terms: SoloTerms, names: Vec<String>) -> Self {
        let SoloTerms { plan, chain, fee_gain, check_proposal } = terms;
        let payees: Vec<_> = chain.addresses.iter().map(ToString::to_string).collect();
        let first = if check_proposal { Check::Due } else { Check::Done };
        Self {
            checks: vec![first; names.len()],
            check_proposal,
            nodes: Nodes::new(names, chain),
            jobs: Jobs::new(plan, fee_gain),
            blocks: Blocks::default(),
            chain: String::new(),
            is_up: false,
            last_down: None,
            payees: Some(payees.join(", ")),
            complaints: Remarks::default(),
            events: VecDeque::new(),
        }
    }

    /// What has happened; `None` when that is all for now.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        self.nodes.next_change(now)
    }

    /// The time has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.settle(now);
    }

    /// A node let itself be looked at.
    pub fn handle_view(&mut self, node: NodeId, view: NodeView, now: Instant) {
        let mut turn = self.nodes.look(node, view, now);
        match &self.checks[node.0] {
            Check::Refused(text, since) if now.duration_since(*since) < RECHECK_AFTER => {
                turn = self.nodes.fail(node, text.clone());
                turn = if matches!(turn, Turn::Worse(_)) { Turn::Same } else { turn };
            }
            Check::Refused(..) => self.checks[node.0] = self.first_check(),
            _ => {}
        }
        self.turn(node, turn, now);
    }

    /// A node is of no use, for this reason; printable.
    pub fn handle_trouble(&mut self, node: NodeId, reason: String, now: Instant) {
        // It may come back with another configuration, or as another version.
        if self.checks[node.0] == Check::Asked {
            self.checks[node.0] = Check::Due;
        }
        let turn = self.nodes.fail(node, reason);
        self.turn(node, turn, now);
    }

    /// A node gave a template. Only that of the chosen node is mined on.
    pub fn handle_template(&mut self, node: NodeId, fetched: Fetched, now: Instant) {
        self.nodes.gave(node, fetched.template.header().prev_hash);
        if self.nodes.chosen() != Some(node) {
            return;
        }
        match self.jobs.take(Arc::clone(&fetched.template), now) {
            Ok(Made::None) if self.is_up => {}
            // Back after an outage with nothing new to mine on: the same job goes on.
            Ok(Made::None) => self.publish(node, &fetched, false, now),
            Ok(Made::Job { clean }) => {
                if clean {
                    self.blocks.came_back_to(&fetched.template.header().prev_hash);
                }
                self.publish(node, &fetched, clean, now);
            }
            Err(error) => {
                let text = format!("its template cannot be mined on: {error}");
                self.checks[node.0] = Check::Refused(text.clone(), now);
                self.handle_trouble(node, text, now);
            }
        }
    }

    /// A node has looked at the block that was proposed to it; `None` when it could not be asked.
    pub fn handle_proposal(&mut self, node: NodeId, proposal: Option<Proposal>, now: Instant) {
        self.checks[node.0] = match proposal {
            Some(Proposal::Sound) => Check::Done,
            Some(Proposal::NotOnTip | Proposal::Known) | None => Check::Due,
            Some(Proposal::Refused { reason, explanation }) => {
                let why = explanation.map_or(reason.clone(), |meaning| format!("{reason}, {meaning}"));
                let text = format!("it would refuse our block: {why}; nothing is hashed on its templates");
                self.checks[node.0] = Check::Refused(text.clone(), now);
                if self.nodes.chosen() == Some(node) {
                    self.jobs.refuse();
                    self.events.push_back(Event::BlockRefused(why));
                }
                return self.handle_trouble(node, text, now);
            }
        };
    }

    /// What the boards do together.
    pub fn handle_rate(&mut self, rate: HashRate, now: Instant) {
        if self.jobs.take_rate(rate, now) && self.is_up {
            self.job(now);
        }
    }

    /// A share was found.
    pub fn submit(&mut self, share: Box<Share>, now: Instant) {
        if !share.solves_block() {
            return self.answer(Answered { share, outcome: Outcome::Accepted, latency: None });
        }
        let Some(found) = self.jobs.of(share.job()).and_then(|solo| self.found(solo, &share)) else {
            let outcome = Outcome::Lost(LostReason::Replaced);
            return self.answer(Answered { share, outcome, latency: None });
        };
        let orders = self.blocks.found(share, found, now);
        self.carry_out(orders);
    }

    /// A block of ours has come to its end.
    pub fn handle_fate(&mut self, hash: &crate::work::BlockHash, fate: BlockFate, now: Instant) {
        let orders = self.blocks.ended(hash, fate, now);
        self.carry_out(orders);
    }

    /// Whether every block has come to its end.
    pub fn is_settled(&self) -> bool {
        self.blocks.is_settled()
    }

    /// Nobody waits for answers any more. Blocks under way of which `is_kept` holds, by their hash, are in the journal.
    pub fn give_up(&mut self, is_kept: impl Fn(&crate::work::BlockHash) -> bool) {
        let reason = |hash: &_| if is_kept(hash) { LostReason::Kept } else { LostReason::Stopped };
        let answers = self.blocks.give_up(reason);
        self.events.extend(answers.into_iter().map(Event::Answered));
    }

    /// How all nodes stand: name, view, and why it is of no use.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, Option<&NodeView>, Option<&str>)> {
        self.nodes.iter().map(|node: &Node| (node.name.as_str(), node.view.as_ref(), node.trouble()))
    }

    /// The last look at a node.
    pub fn view(&self, node: NodeId) -> Option<&NodeView> {
        self.nodes.find(node).view.as_ref()
    }

    /// Whose templates are mined on.
    pub fn chosen(&self) -> Option<NodeId> {
        self.nodes.chosen()
    }

    /// The template that is mined on and how old it is.
    pub fn current(&self, now: Instant) -> Option<(&Arc<Template>, Duration)> {
        self.jobs.current().map(|kept| (kept.solo.template(), kept.age(now)))
    }

    /// The template that a job was made of, while it is kept.
    pub fn template_of(&self, job: &Arc<Job>) -> Option<&Arc<Template>> {
        self.jobs.of(job).map(SoloJob::template)
    }

    /// The chain that is mined on, as its node calls it.
    pub fn chain(&self) -> &str {
        &self.chain
    }

    fn first_check(&self) -> Check {
        if self.check_proposal { Check::Due } else { Check::Done }
    }

    fn found(&self, solo: &SoloJob, share: &Share) -> Option<FoundBlock> {
        Some(FoundBlock {
            hash: *share.hash(),
            height: solo.template().height(),
            chain: self.chain.clone(),
            block: solo.block(share)?,
        })
    }

    fn carry_out(&mut self, orders: Orders) {
        self.events.extend(orders.send.map(|found| Event::Block(Box::new(found))));
        self.events.extend(orders.answers.into_iter().map(Event::Answered));
    }

    fn answer(&mut self, answered: Answered) {
        self.events.push_back(Event::Answered(answered));
    }

    fn turn(&mut self, node: NodeId, turn: Turn, now: Instant) {
        let name = &self.nodes.find(node).name;
        match turn {
            Turn::Same => {}
            Turn::Better => {
                let view = self.nodes.find(node).view.as_ref();
                let about = view
                    .map_or_else(String::new, |view| format!(" on {}, block {}", view.chain, view.blocks));
                self.events.push_back(Event::Message(format!("node {name} is ready{about}")));
            }
            // A single node's trouble is the reason why there is no work, which is told next.
            Turn::Worse(_) if self.checks.len() == 1 => {}
            Turn::Worse(reason) => {
                let text = format!("node {name}: {reason}");
                match self.complaints.judge(&text, now) {
                    Verdict::Tell => self.events.push_back(Event::Complaint(text)),
                    Verdict::TellOfMore => {
                        self.events
                            .push_back(Event::Complaint("the nodes have more troubles, not shown".into()));
                    }
                    Verdict::Keep => {}
                }
            }
        }
        self.settle(now);
    }

    fn settle(&mut self, now: Instant) {
        let before = self.nodes.chosen();
        if self.nodes.choose(now) {
            let chosen = self.nodes.chosen();
            self.events.extend(before.map(|id| Event::Want(id, false)));
            self.events.extend(chosen.map(|id| Event::Want(id, true)));
            if let (Some(from), Some(to)) = (before, chosen) {
                let [from, to] = [from, to].map(|id| &self.nodes.find(id).name);
                self.events
                    .push_back(Event::Message(format!("templates come from node {to} instead of {from}")));
            }
        }
        if self.nodes.chosen().is_none() {
            self.down(now);
        }
        let told = self.nodes.disagreement(now);
        self.events.extend(told.map(Event::Complaint));
    }

    /// Says once, and again when the reason is another, that nothing can be mined on.
    fn down(&mut self, now: Instant) {
        let troubles: Vec<_> = self
            .nodes
            .iter()
            .filter_map(|node| Some(format!("node {}: {}", node.name, node.trouble()?)))
            .collect();
        // Some have not said anything yet.
        if troubles.len() < self.nodes.iter().count() {
            return;
        }
        let reason = troubles.join("; ");
        // A figure in it that moves, such as the block that a node has come to, is told now and then.
        let is_new = self.last_down.as_ref().is_none_or(|(last, at)| {
            let is_old = now.duration_since(*at) >= REPEAT;
            *last != reason && (is_old || without_figures(last) != without_figures(&reason))
        });
        if self.is_up || is_new {
            self.is_up = false;
            self.last_down = Some((reason.clone(), now));
            self.events.push_back(Event::Down(reason));
        }
    }

    fn publish(&mut self, id: NodeId, fetched: &Fetched, clean: bool, now: Instant) {
        let node = self.nodes.find(id);
        let template = &fetched.template;
        let (fees, value) = (template.transactions().fees(), template.reward().value);
        let news = TemplateNews {
            node: node.name.clone(),
            chain: node.view.as_ref().map_or_else(String::new, |view| view.chain.clone()),
            clean,
            height: template.height(),
            transactions: template.transactions().txids().len(),
            fees,
            value,
            difficulty: template.target().difficulty(),
            fetch: fetched.answered.duration_since(fetched.asked),
            decode: fetched.checked.duration_since(fetched.answered),
            build: now.duration_since(fetched.checked),
            notice: fetched.notice.map(|(source, at)| (source, now.duration_since(at))),
        };
        // The time that counts is the one since the notice.
        self.chain.clone_from(&news.chain);
        self.job(fetched.notice.map_or(fetched.answered, |(_, at)| at));
        let payees = self.payees.take();
        self.events
            .extend(payees.map(|payees| Event::Message(format!("blocks on {} pay {payees}", news.chain))));
        self.events.push_back(Event::Template(Box::new(news)));
        self.propose(id);
    }

    fn job(&mut self, arrived: Instant) {
        (self.is_up, self.last_down) = (true, None);
        let job = self.jobs.current().map(|kept| Arc::clone(kept.solo.job()));
        self.events.extend(job.map(|job| Event::Job(job, arrived)));
    }

    /// Lets the node look at a block of the running job, once a run.
    fn propose(&mut self, node: NodeId) {
        if self.checks[node.0] != Check::Due {
            return;
        }
        if let Some(kept) = self.jobs.current() {
            self.checks[node.0] = Check::Asked;
            self.events.push_back(Event::Propose(node, kept.solo.proposal().to_hex()));
        }
    }
}

fn without_figures(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

#[cfg(test)]
mod tests;
