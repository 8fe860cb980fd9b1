//! What a job earns at a moment, with the truth known.

use super::world::{Check, Line, Notify, Parent, Truth, What, World};
use crate::decision::value::subsidy;
use crate::decision::{Scheme, Terms};

/// Mean fees of a block over a long time, satoshi: revenue is counted in seconds with a block worth that much.
const MEAN_FEES: f64 = 2_000_000.0;
/// A job on its way through a replay.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Running {
    pub(super) upstream: usize,
    pub(super) notify: Notify,
    /// Its place among the jobs of its upstream.
    pub(super) order: u64,
}

/// How the upstreams and the chain stand.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    pools: Vec<Pool>,
    tips: Vec<Parent>,
    height: u32,
}

#[derive(Debug, Clone)]
struct Pool {
    terms: Terms,
    newest: Option<Running>,
    /// Jobs before this one are refused.
    first_taken: u64,
    takes_old: bool,
    faults: Vec<Fault>,
    reject_rate: f64,
}

/// Why an upstream pays nothing at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Outage,
    BadBranch,
    BadPay,
}

impl Pool {
    fn set(&mut self, fault: Fault, on: bool) {
        self.faults.retain(|other| *other != fault);
        self.faults.extend(on.then_some(fault));
    }
}

impl Standing {
    pub(super) fn new(world: &World) -> Self {
        let pool = |upstream: &super::world::Upstream| Pool {
            terms: upstream.terms,
            newest: None,
            first_taken: 0,
            takes_old: true,
            faults: Vec::new(),
            reject_rate: 0.0,
        };
        Self { pools: world.upstreams.iter().map(pool).collect(), tips: Vec::new(), height: 0 }
    }

    /// Takes a line in. Gives, for a job, whether it voids the jobs that this upstream sent before.
    pub(super) fn take(&mut self, line: &Line) -> bool {
        match &line.what {
            What::Notify(upstream, notify) => return self.notify(*upstream, notify),
            What::Truth(truth) => self.truth(*truth),
            What::Alive(_)
            | What::Drop(_)
            | What::Up(_)
            | What::NodeTip(..)
            | What::NodeRefused(_)
            | What::Submitted(..)
            | What::Aside(..)
            | What::Variance(..)
            | What::Wake
            | What::Ended(..)
            | What::Repute(..)
            | What::Answer(..)
            | What::Device(_) => {}
        }
        false
    }

    fn notify(&mut self, upstream: usize, notify: &Notify) -> bool {
        let pool = &mut self.pools[upstream];
        let order = pool.newest.as_ref().map_or(0, |newest| newest.order + 1);
        let voids = pool.newest.as_ref().is_some_and(|newest| {
            newest.notify.parent != notify.parent
                || newest.notify.connection != notify.connection
                || notify.clean && !pool.takes_old
        });
        if voids {
            pool.first_taken = order;
        }
        pool.newest = Some(Running { upstream, notify: notify.clone(), order });
        voids
    }

    fn truth(&mut self, truth: Truth) {
        match truth {
            Truth::Block(parent, height) => {
                if height > self.height {
                    self.tips.clear();
                    self.height = height;
                }
                if height == self.height {
                    self.tips.push(parent);
                }
            }
            Truth::Outage(upstream, on) => self.pools[upstream].set(Fault::Outage, on),
            Truth::RejectRate(upstream, rate) => self.pools[upstream].reject_rate = rate,
            Truth::BadBranch(upstream, on) => self.pools[upstream].set(Fault::BadBranch, on),
            Truth::BadPay(upstream, on) => self.pools[upstream].set(Fault::BadPay, on),
            Truth::OldShares(upstream, taken) => self.pools[upstream].takes_old = taken,
        }
    }

    /// The newest job of an upstream.
    pub(super) fn newest(&self, upstream: usize) -> Option<&Running> {
        self.pools[upstream].newest.as_ref()
    }

    /// Whether an upstream answers.
    pub(super) fn answers(&self, upstream: usize) -> bool {
        !self.pools[upstream].faults.contains(&Fault::Outage)
    }

    /// Whether the upstream takes shares of this job, but for the part it refuses by chance.
    pub(super) fn takes(&self, job: &Running) -> bool {
        job.order >= self.pools[job.upstream].first_taken
    }

    /// The part of shares of this upstream that is refused by chance.
    pub(super) fn reject_rate(&self, upstream: usize) -> f64 {
        self.pools[upstream].reject_rate
    }

    /// Revenue of a second of hashing on this job, as a part of an ideal second's.
    pub(super) fn rate(&self, job: &Running) -> f64 {
        let pool = &self.pools[job.upstream];
        let follows_chain = pool.terms.scheme != Scheme::Pps;
        let is_void = !pool.faults.is_empty()
            || job.notify.check == Check::Failed
            || !self.takes(job)
            || follows_chain && !self.tips.contains(&job.notify.parent);
        if is_void {
            return 0.0;
        }
        let subsidy = subsidy(job.notify.height.unwrap_or(self.height + 1)) as f64;
        let kappa = pool.terms.kappa();
        let fees = (1.0 - kappa) * MEAN_FEES + kappa * job.notify.fees.map_or(MEAN_FEES, |fees| fees as f64);
        pool.terms.pay() * (1.0 - pool.reject_rate) * (subsidy + fees) / (subsidy + MEAN_FEES)
    }

    /// The same for the newest job of an upstream; 0 while it has none.
    pub(super) fn newest_rate(&self, upstream: usize) -> f64 {
        self.newest(upstream).map_or(0.0, |job| self.rate(job))
    }
}
