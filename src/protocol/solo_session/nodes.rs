//! The nodes that work can come from: how each stands, and which one gives the templates.

use std::time::{Duration, Instant};

use bitcoin::{Address, Network};

use crate::protocol::node_answers::ChainWork;

/// A node's place in the operator's order; the first is the most wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub usize);

/// How long a better node must have been as good as the one in use before templates come from it again.
const RETURN_AFTER: Duration = Duration::from_secs(60);
/// How long nodes may name different tips: nodes hear of a block within seconds of each other.
const DISAGREEMENT: Duration = Duration::from_secs(30);
/// Headers that may be known without their block while a node is not taken to be behind.
const MAX_BEHIND: u32 = 1;

/// A look at a node: what getblockchaininfo and getnetworkinfo say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeView {
    /// `main`, `test`, `testnet4`, `signet` or `regtest`; printable.
    pub chain: String,
    /// Height of its tip.
    pub blocks: u32,
    /// Height of the best header it knows.
    pub headers: u32,
    /// Hash of its tip, header order.
    pub tip: [u8; 32],
    /// All work of its chain.
    pub work: ChainWork,
    /// Whether it is still fetching the chain.
    pub is_downloading: bool,
    /// Its connections to other nodes; `None` when it would not tell.
    pub peers: Option<u32>,
}

/// Which chains may be mined on.
#[derive(Debug, Clone)]
pub struct ChainTerms {
    /// Who is paid: their spelling decides the network.
    pub addresses: Vec<Address>,
    /// Whether a node of a test network needs peers.
    pub require_peers: bool,
}

impl ChainTerms {
    /// Why a node of this view must not be mined on; `None` when it may.
    fn fault(&self, view: &NodeView, joint: Option<&str>) -> Option<String> {
        let NodeView { chain, blocks, headers, .. } = view;
        let Some(network) = network(chain) else {
            return Some(format!(
                "its chain {chain:?} is not known here; main, test, testnet4, signet or regtest are"
            ));
        };
        let is_other = |address: &&Address| !address.as_unchecked().is_valid_for_network(network);
        if let Some(address) = self.addresses.iter().find(is_other) {
            return Some(format!(
                "it is on chain {chain}, and {address} is no address there; give --payout one of its chain, or use another node"
            ));
        }
        if let Some(joint) = joint.filter(|joint| joint != chain) {
            return Some(format!(
                "it is on chain {chain}, and the nodes before it on {joint}; mine one chain at a time"
            ));
        }
        if network == Network::Regtest {
            return None; // begins with an old block and no peers, for good
        }
        // A private test chain that is young or at rest counts as being fetched for good.
        let is_private = !self.require_peers && network != Network::Bitcoin && headers == blocks;
        if view.is_downloading && !is_private {
            return Some(format!(
                "it is still fetching the chain: block {blocks} of {headers}; wait until it is done{}",
                if network == Network::Bitcoin || headers != blocks {
                    ""
                } else {
                    ", or set solo.require_peers to false if this is a chain of your own"
                }
            ));
        }
        if headers.saturating_sub(*blocks) > MAX_BEHIND {
            return Some(format!("it is behind: it has block {blocks} and knows of {headers}"));
        }
        if view.peers == Some(0) && (self.require_peers || network == Network::Bitcoin) {
            let remedy =
                if network == Network::Bitcoin { "" } else { ", or set solo.require_peers to false" };
            return Some(format!("it has no peers, so nobody would hear of a block; connect it{remedy}"));
        }
        None
    }
}

/// The network whose addresses a chain takes. Source: Bitcoin Core `util/chaintype.cpp`.
fn network(chain: &str) -> Option<Network> {
    match chain {
        "main" => Some(Network::Bitcoin),
        "test" => Some(Network::Testnet),
        "testnet4" => Some(Network::Testnet4),
        "signet" => Some(Network::Signet),
        "regtest" => Some(Network::Regtest),
        _ => None,
    }
}

/// One node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) view: Option<NodeView>,
    /// Why it gives nothing now.
    trouble: Option<String>,
    /// Since when it could be mined on.
    good_since: Option<Instant>,
    /// When templates were last taken from another node instead.
    left_at: Option<Instant>,
    /// Its template was on a newer tip than its view.
    pub(super) tip: Option<[u8; 32]>,
}

impl Node {
    /// From when on it is preferred again to one that is as good.
    fn settles_at(&self) -> Option<Instant> {
        self.good_since.map(|since| self.left_at.map_or(since, |left| left.max(since)) + RETURN_AFTER)
    }

    pub(super) fn is_good(&self) -> bool {
        self.good_since.is_some()
    }

    /// Why it is of no use; `None` when it is of use, or has said nothing yet.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }
}

/// What changed with a node.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Same,
    Better,
    Worse(String),
}

/// All of them, in the operator's order.
#[derive(Debug)]
pub(super) struct Nodes {
    all: Vec<Node>,
    terms: ChainTerms,
    chosen: Option<NodeId>,
    apart_since: Option<Instant>,
    is_apart_told: bool,
}

impl Nodes {
    pub(super) fn new(names: Vec<String>, terms: ChainTerms) -> Self {
        let node =
            |name| Node { name, view: None, trouble: None, good_since: None, left_at: None, tip: None };
        let all = names.into_iter().map(node).collect();
        Self { all, terms, chosen: None, apart_since: None, is_apart_told: false }
    }

    pub(super) fn find(&self, id: NodeId) -> &Node {
        &self.all[id.0]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Node> {
        self.all.iter()
    }

    pub(super) fn chosen(&self) -> Option<NodeId> {
        self.chosen
    }

    /// A node let itself be looked at.
    pub(super) fn look(&mut self, id: NodeId, view: NodeView, now: Instant) -> Turn {
        // The first in the list that may be mined on says which chain it is.
        let joint = self.all[..id.0].iter().find(|node| node.is_good()).and_then(|node| node.view.as_ref());
        let fault = self.terms.fault(&view, joint.map(|view| view.chain.as_str()));
        let node = &mut self.all[id.0];
        node.tip = Some(view.tip);
        node.view = Some(view);
        if let Some(fault) = fault {
            return self.fail(id, fault);
        }
        node.trouble = None;
        let is_new = node.good_since.is_none();
        node.good_since.get_or_insert(now);
        if is_new { Turn::Better } else { Turn::Same }
    }

    /// A node gave a template on this tip.
    pub(super) fn gave(&mut self, id: NodeId, tip: [u8; 32]) {
        self.all[id.0].tip = Some(tip);
    }

    /// A node is of no use for now.
    pub(super) fn fail(&mut self, id: NodeId, reason: String) -> Turn {
        let node = &mut self.all[id.0];
        let is_known = node.trouble.as_ref() == Some(&reason);
        (node.good_since, node.trouble) = (None, Some(reason.clone()));
        if is_known { Turn::Same } else { Turn::Worse(reason) }
    }

    /// Chooses anew. True when another one was chosen, or none.
    pub(super) fn choose(&mut self, now: Instant) -> bool {
        let choice = self.best(now);
        let is_new = choice != self.chosen;
        if let Some(left) = self.chosen.filter(|_| is_new) {
            self.all[left.0].left_at = Some(now);
        }
        self.chosen = choice;
        is_new
    }

    /// The node with the most work; among equals the one in use, until a better-placed one has been good for a while.
    fn best(&self, now: Instant) -> Option<NodeId> {
        let good = || (0..self.all.len()).map(NodeId).filter(|id| self.find(*id).is_good());
        let work = |id: &NodeId| self.find(*id).view.as_ref().map(|view| view.work);
        let most = good().max_by_key(|id| (work(id), std::cmp::Reverse(*id)))?;
        // A template may name the new tip before the look that tells its work.
        let tip = self.find(most).tip;
        let is_level = |id: &NodeId| work(id) == work(&most) || self.find(*id).tip == tip;
        let current = self.chosen.filter(|id| self.find(*id).is_good() && is_level(id));
        let settled = |id: &NodeId| self.find(*id).settles_at().is_some_and(|at| now >= at);
        let first =
            good().find(|id| is_level(id) && (current.is_none() || Some(*id) == current || settled(id)));
        first.or(Some(most))
    }

    /// What nodes that name different tips for long say; `None` while they agree, or once it was told.
    pub(super) fn disagreement(&mut self, now: Instant) -> Option<String> {
        let good: Vec<_> = self.all.iter().filter(|node| node.is_good()).collect();
        let is_apart = good.windows(2).any(|pair| pair[0].tip != pair[1].tip);
        if !is_apart {
            (self.apart_since, self.is_apart_told) = (None, false);
            return None;
        }
        let since = *self.apart_since.get_or_insert(now);
        if self.is_apart_told || now.duration_since(since) < DISAGREEMENT {
            return None;
        }
        self.is_apart_told = true;
        let named = |node: &&Node| {
            let view = node.view.as_ref()?;
            Some(format!("{} has block {} {}", node.name, view.blocks, display(&view.tip)))
        };
        let views: Vec<_> = good.iter().filter_map(named).collect();
        let seconds = DISAGREEMENT.as_secs();
        Some(format!(
            "the nodes have disagreed for {seconds} s: {}; the one with the most work is used",
            views.join(", ")
        ))
    }

    /// The next time at which the choice or the disagreement may change by itself.
    pub(super) fn next_change(&self, now: Instant) -> Option<Instant> {
        let settle = self.all.iter().filter_map(Node::settles_at);
        let apart = self.apart_since.filter(|_| !self.is_apart_told).map(|since| since + DISAGREEMENT);
        settle.chain(apart).filter(|at| *at > now).min()
    }
}

/// A hash as JSON-RPC prints it.
pub(super) fn display(hash: &[u8; 32]) -> String {
    crate::work::BlockHash(*hash).to_string()
}
