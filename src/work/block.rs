//! From a template to a job, and from a share of that job to the block that submitblock takes.

use std::sync::Arc;

use bitcoin::Script;

use super::coinbase_builder::{BuildError, CoinbasePlan, with_witness};
use super::template::hexadecimal::{decode, push_digits};
use super::template::{Template, WITNESS_SCALE};
use super::{Coinbase, Difficulty, Epoch, Extranonce2, Header, Job, JobId, Share, Work, merkle};

mod check;

pub use check::{BlockFault, MAX_AHEAD, faults};

/// Weight of what a witness adds to a coinbase: marker, flag, count, length and the reserved value, one each byte.
const COINBASE_WITNESS_WEIGHT: u64 = 36;

/// Why a template gives no job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SoloJobError {
    /// No coinbase.
    #[error(transparent)]
    Coinbase(#[from] BuildError),
    /// The coinbase makes the block too heavy: fewer payouts, or more room reserved by the node.
    #[error("with this coinbase the block weighs {weight}, at most {limit} are possible")]
    Weight {
        /// All together.
        weight: u64,
        /// What the template allows.
        limit: u64,
    },
    /// The coinbase makes the block too large.
    #[error("with this coinbase the block has {size} bytes, at most {limit} are possible")]
    Size {
        /// All together, bytes.
        size: u64,
        /// What the template allows.
        limit: u64,
    },
    /// The payouts have more sigops than the template leaves.
    #[error("with these payouts the block costs {sigops} sigops, at most {limit} are possible")]
    Sigops {
        /// All together, in the template's unit.
        sigops: u64,
        /// What the template allows.
        limit: u64,
    },
}

/// How a job of our own is named and counted.
#[derive(Debug, Clone, PartialEq)]
pub struct JobLabel {
    /// Its name.
    pub id: JobId,
    /// Its age class.
    pub epoch: Epoch,
    /// Share difficulty.
    pub difficulty: Difficulty,
}

/// A job and the template behind it: all it takes to make a block of a share.
#[derive(Debug, Clone)]
pub struct SoloJob {
    job: Arc<Job>,
    template: Arc<Template>,
}

impl SoloJob {
    /// Builds coinbase and branch. Errors: no coinbase, or one that does not fit beside the transactions.
    pub fn new(template: Arc<Template>, plan: &CoinbasePlan, label: JobLabel) -> Result<Self, SoloJobError> {
        let coinbase = plan.build(template.height(), template.reward())?;
        check_room(&template, plan, &coinbase)?;
        let job = Job {
            id: label.id,
            epoch: label.epoch,
            header: *template.header(),
            coinbase,
            branch: merkle::branch(template.transactions().txids()),
            version_mask: template.version_mask(),
            difficulty: label.difficulty,
            network_target: Some(template.target()),
        };
        Ok(Self { job: Arc::new(job), template })
    }

    /// What is to be hashed.
    pub fn job(&self) -> &Arc<Job> {
        &self.job
    }

    /// What it was made of.
    pub fn template(&self) -> &Arc<Template> {
        &self.template
    }

    /// The block of a share; `None` when the share is of another job.
    pub fn block(&self, share: &Share) -> Option<Block> {
        let is_ours = Arc::ptr_eq(share.job(), &self.job) || **share.job() == *self.job;
        is_ours.then(|| self.block_of(*share.header(), share.extranonce2()))
    }

    /// A block to have looked at: whole but for its proof of work, and of an extranonce2 that is not hashed in earnest.
    pub fn proposal(&self) -> Block {
        let extranonce2 = Extranonce2::from_counter(u128::MAX, self.job.coinbase.extranonce2_size);
        let work = Work::new(Arc::clone(&self.job), extranonce2, self.job.header.ntime);
        self.block_of(work.header(self.job.header.version, 0), &extranonce2)
    }

    fn block_of(&self, header: Header, extranonce2: &Extranonce2) -> Block {
        let hashed = self.job.coinbase.to_bytes(extranonce2);
        let has_witness = self.template.reward().commitment.is_some();
        let coinbase = if has_witness { with_witness(&hashed) } else { hashed };
        Block { header, coinbase, template: Arc::clone(&self.template) }
    }
}

/// A whole block, not yet put together: its transactions stay with the template.
#[derive(Debug, Clone)]
pub struct Block {
    header: Header,
    coinbase: Vec<u8>,
    template: Arc<Template>,
}

impl Block {
    /// Its header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Lower-case hexadecimal as submitblock takes it: header, number of transactions, coinbase, the others.
    pub fn to_hex(&self) -> String {
        let transactions = self.template.transactions();
        let front = [&self.header.to_bytes()[..], &transactions.count(), &self.coinbase];
        let length = front.iter().map(|part| 2 * part.len()).sum::<usize>() + transactions.hex().len();
        let mut hex = String::with_capacity(length);
        for part in front {
            push_digits(&mut hex, part);
        }
        hex.push_str(transactions.hex());
        hex
    }

    /// What Bitcoin Core would refuse the block for, as far as its template tells; empty when nothing is known. It is
    /// read back from its bytes by other code than wrote them. A block with faults is still worth sending.
    pub fn faults(&self) -> Vec<BlockFault> {
        match decode(&self.to_hex()) {
            Some(bytes) => faults(&bytes, &self.template),
            None => vec![BlockFault::Decode],
        }
    }
}

/// Whether the block stays within its limits with this coinbase.
fn check_room(template: &Template, plan: &CoinbasePlan, coinbase: &Coinbase) -> Result<(), SoloJobError> {
    let (limits, others) = (template.limits(), template.transactions());
    let hashed = (coinbase.coinb1.len() + coinbase.extranonce2_size.bytes() + coinbase.coinb2.len()) as u64;
    let witness = template.reward().commitment.map_or(0, |_| COINBASE_WITNESS_WEIGHT);
    let weight = others.frame_weight() + WITNESS_SCALE * hashed + witness + others.weight();
    if weight > limits.weight {
        return Err(SoloJobError::Weight { weight, limit: limits.weight });
    }
    let size = others.frame_weight() / WITNESS_SCALE + hashed + witness + others.size();
    if size > limits.size {
        return Err(SoloJobError::Size { size, limit: limits.size });
    }
    let own: usize = plan.scripts().map(Script::count_sigops_legacy).sum();
    let sigops = others.sigops() + limits.sigop_cost * own as u64;
    if sigops > limits.sigops {
        return Err(SoloJobError::Sigops { sigops, limit: limits.sigops });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
