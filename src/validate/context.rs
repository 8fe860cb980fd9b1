//! What else is known when a job is judged.

use std::sync::Arc;
use std::time::Duration;

use bitcoin::Network;

use super::digest::Stamp;
use crate::work::payout::Expected;
use crate::work::template::Template;
use crate::work::{Extranonce1, Extranonce2, HashRate, Header, Target};

/// Blocks between two retargets. Source: Bitcoin Core `consensus/params.h`, `DifficultyAdjustmentInterval`.
pub const PERIOD: u32 = 2016;

/// Difficulty from which on a job is taken for one of the main chain where nobody says which chain it is. The main chain
/// has had more since August 2019; other chains of the same hash, whose nbits change with each block, stay far below.
const MAIN_CHAIN: f64 = 1e13;

/// All of it; what is not known is empty.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// This machine's clock, seconds since 1970.
    pub unix: u64,
    /// Of the chain.
    pub chain: Chain,
    /// Of this machine.
    pub machine: Machine,
    /// Whom the job has to pay, where that is bound.
    pub payout: Option<Expected>,
    /// What came of the job after it was taken.
    pub after: After,
}

/// What others say of the chain.
#[derive(Debug, Clone, Default)]
pub struct Chain {
    /// Which chain it is.
    pub network: Option<Network>,
    /// What a node of our own says, which has checked every block itself.
    pub node: Option<NodeView>,
    /// The newest jobs of the other upstreams.
    pub others: Vec<OtherJob>,
    /// How far the clocks of other upstreams are ahead of this machine's, one figure each, by the newest job of each whether it was
    /// taken or not. Unit: seconds.
    pub clocks: Vec<i64>,
    /// Heights of jobs of the other upstreams that wait for a check, so that their blocks do not count for anything else.
    pub waiting: Vec<u32>,
    /// The last job that was taken of this upstream.
    pub before: Option<LastJob>,
    /// For how long nobody but this upstream has named its parent.
    pub parent_alone: Option<Duration>,
}

impl Chain {
    /// Whether jobs of these nbits are of the main chain: as told, or by their difficulty.
    pub(super) fn is_main(&self, nbits: u32) -> bool {
        self.network.map_or_else(|| is_as_hard_as_main(nbits), |network| network == Network::Bitcoin)
    }
}

/// Whether nbits are as hard as those of the main chain have been for years, which no other chain's come near.
pub fn is_as_hard_as_main(nbits: u32) -> bool {
    Target::from_nbits(nbits).is_ok_and(|target| target.difficulty().value() >= MAIN_CHAIN)
}

/// A node's template or tip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeView {
    /// The block it builds on, header order.
    pub prev_hash: [u8; 32],
    /// Of the block that would be found.
    pub height: u32,
    /// Compact network target at that height.
    pub nbits: u32,
    /// The earliest time of a block there: one second past the median of the last eleven.
    pub mintime: Option<u32>,
    /// Subsidy and fees, satoshi.
    pub coinbasevalue: Option<u64>,
    /// Whether it has called the parent of the job in question invalid.
    pub parent_is_invalid: bool,
}

/// The newest template of a node of our own, by which the jobs of all upstreams are judged.
#[derive(Debug, Clone)]
pub struct NodeTemplate {
    network: Option<Network>,
    template: Arc<Template>,
}

impl NodeTemplate {
    /// Of a node on this chain, by the name that `getblockchaininfo` has for it.
    pub fn new(chain: &str, template: Arc<Template>) -> Self {
        Self { network: Network::from_core_arg(chain).ok(), template }
    }

    /// The block it builds on, header order.
    pub fn prev_hash(&self) -> [u8; 32] {
        self.template.header().prev_hash
    }

    /// Adds what no job tells: which chain it is, and, where the node is on the same parent still, the earliest time of a
    /// block there and what one may claim.
    pub fn complete(&self, chain: &mut Chain) {
        chain.network = self.network.or(chain.network);
        if let Some(node) = chain.node.as_mut().filter(|node| node.prev_hash == self.prev_hash()) {
            node.mintime = Some(self.template.mintime());
            // A template that was made here of a header knows of no fees.
            node.coinbasevalue = Some(self.template.reward().value).filter(|_| self.template.is_of_node());
        }
    }

    /// Whether a transaction, by its txid in header order, is in it.
    pub fn has(&self, txid: &[u8; 32]) -> bool {
        self.template.transactions().txids().contains(txid)
    }
}

/// Something that a node of our own can tell of others' jobs, asked beside hashing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeQuestion {
    /// Whether the transaction of this txid, header order, waits in its mempool.
    Mempool([u8; 32]),
    /// Whether it calls this block, header order, invalid.
    Invalid([u8; 32]),
}

/// What it said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeAnswer {
    /// To which question.
    pub question: NodeQuestion,
    /// `None` when it could not be asked.
    pub answer: Option<bool>,
}

/// The newest job of another upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtherJob {
    /// Its parent, header order.
    pub prev_hash: [u8; 32],
    /// Of the block that would be found.
    pub height: Option<u32>,
    /// Compact network target.
    pub nbits: u32,
    /// Its time, seconds since 1970.
    pub ntime: u32,
}

/// The job before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastJob {
    /// Of the block that would have been found.
    pub height: Option<u32>,
    /// Compact network target.
    pub nbits: u32,
}

/// What is known of this machine.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// Of all boards; zero when unknown.
    pub hash_rate: HashRate,
    /// Whether ntime moves on as seconds pass.
    pub rolls_ntime: bool,
    /// The extranonce1 of other connections to the same pool whose work differs in nothing else.
    pub siblings: Vec<Extranonce1>,
    /// Work of this job that boards have had.
    pub used: Vec<WorkItem>,
}

/// What a board was given of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkItem {
    /// The board's number.
    pub board: usize,
    /// Our part of the extranonce.
    pub extranonce2: Extranonce2,
    /// Seconds since 1970.
    pub ntime: u32,
}

/// What came of a job after it was taken.
#[derive(Debug, Clone, Default)]
pub struct After {
    /// Its stamp when it was taken.
    pub stamp: Option<Stamp>,
    /// What a board was sent of it.
    pub sent: Option<Sent>,
    /// What a node says of the block that the job would make.
    pub proposal: Option<Proposal>,
    /// Whether a node knows the transaction that the first branch entry stands for.
    pub first_branch_known: Option<bool>,
}

/// A header for a board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// As it was sent; its version and nonce may be any.
    pub header: Header,
    /// Our part of its extranonce.
    pub extranonce2: Extranonce2,
    /// Since the job came.
    pub elapsed: Duration,
}

/// A node's answer to a block without its proof of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proposal {
    /// It would take it.
    Accepted,
    /// It would not, for this reason; not yet made printable.
    Refused(String),
}
