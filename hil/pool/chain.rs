//! The practice chain: its tip, its difficulty, and a fresh template whenever somebody needs work.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bitcoin::{BlockHash, CompactTarget, Target, hashes::Hash};

use crate::chance::Chance;

use super::{
    difficulty::Difficulty,
    retarget::{WorkRate, retarget},
    template::{Template, Tip},
};

/// The first block of the practice chain comes after this one, as if the main chain had been left there.
const FIRST_HEIGHT: u32 = 900_000;
/// The tallest tree: 11 branches are 1024 to 2047 transactions beside the coinbase.
const MOST_BRANCHES: u64 = 11;
/// No chain is easier. Source: regtest's proof-of-work limit.
const EASIEST: u32 = 0x207f_ffff;

/// What the chain needs to know from the pool's settings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChainConfig {
    pub(crate) first_difficulty: Difficulty,
    pub(crate) block_every: Duration,
    pub(crate) extranonce_size: usize,
    pub(crate) seed: u64,
}

/// The tip and what is needed to build on it.
#[derive(Debug)]
pub(crate) struct Chain {
    config: ChainConfig,
    chance: Chance,
    clock: Clock,
    height: u32,
    tip: BlockHash,
    difficulty: Difficulty,
    rate: WorkRate,
    templates: u32,
}

/// Ties the argument `now` to the time of day that headers carry.
#[derive(Clone, Copy, Debug)]
struct Clock {
    started: Instant,
    unix_time: u32,
}

impl Chain {
    pub(crate) fn new(config: ChainConfig, now: Instant, unix_time: u32) -> Self {
        let mut chain = Self {
            config,
            chance: Chance::new(config.seed),
            clock: Clock { started: now, unix_time },
            height: FIRST_HEIGHT,
            tip: BlockHash::all_zeros(),
            difficulty: config.first_difficulty,
            rate: WorkRate::new(now),
            templates: 0,
        };
        chain.tip = chain.made_up_hash();
        chain
    }

    /// A template on the tip with new transactions and the present time. No two are alike.
    pub(crate) fn template(&mut self, now: Instant) -> Arc<Template> {
        let tip = Tip {
            height: self.height + 1,
            prevhash: self.tip,
            nbits: self.nbits(),
            ntime: self.clock.unix_time + now.duration_since(self.clock.started).as_secs() as u32,
        };
        self.templates += 1;
        let transactions = self.transactions();
        let extranonce_size = self.config.extranonce_size;
        Arc::new(Template::build(tip, self.templates, transactions, extranonce_size, &mut self.chance))
    }

    /// An accepted share tells the hash rate.
    pub(crate) fn add_work(&mut self, difficulty: Difficulty, now: Instant) {
        self.rate.add(difficulty, now);
    }

    /// A miner's block. Returns its height, or nothing if another block of that height came first.
    pub(crate) fn extend(&mut self, prevhash: BlockHash, hash: BlockHash, now: Instant) -> Option<u32> {
        (prevhash == self.tip).then(|| self.move_tip(hash, now))
    }

    /// "Another miner" finds a block: the tip moves to a made-up hash. Returns its height and hash.
    pub(crate) fn extend_by_another_miner(&mut self, now: Instant) -> (u32, BlockHash) {
        let hash = self.made_up_hash();
        (self.move_tip(hash, now), hash)
    }

    fn move_tip(&mut self, hash: BlockHash, now: Instant) -> u32 {
        self.height += 1;
        self.tip = hash;
        let next = retarget(self.difficulty, self.rate.per_second(now), self.config.block_every);
        self.difficulty = next.at_least(Difficulty::of_target(easiest()));
        self.height
    }

    fn nbits(&self) -> CompactTarget {
        self.difficulty.target().min(easiest()).to_compact_lossy()
    }

    /// As many transactions as a tree of 0 to 11 branches holds, each depth as likely as the others.
    fn transactions(&mut self) -> u64 {
        match self.chance.below(MOST_BRANCHES + 1) {
            0 => 0,
            depth => {
                let fewest = 1 << (depth - 1);
                fewest + self.chance.below(fewest)
            }
        }
    }

    /// A hash with the leading zeros that a block of this chain has.
    fn made_up_hash(&mut self) -> BlockHash {
        let zeros =
            Target::from_compact(self.nbits()).to_be_bytes().iter().take_while(|&&byte| byte == 0).count();
        let mut bytes = self.chance.bytes();
        bytes[..=zeros.min(31)].fill(0);
        bytes.reverse();
        BlockHash::from_byte_array(bytes)
    }
}

fn easiest() -> Target {
    Target::from_compact(CompactTarget::from_consensus(EASIEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(now: Instant) -> Chain {
        let config = ChainConfig {
            first_difficulty: Difficulty::new(0.01).unwrap(),
            block_every: Duration::from_secs(10),
            extranonce_size: 8,
            seed: 5,
        };
        Chain::new(config, now, 1_700_000_000)
    }

    #[test]
    fn templates_on_one_tip_differ_in_coinbase_branches_and_time() {
        let now = Instant::now();
        let mut chain = chain(now);
        let first = chain.template(now);
        let second = chain.template(now + Duration::from_secs(3));
        assert_eq!(first.prevhash, second.prevhash);
        assert_eq!(first.ntime + 3, second.ntime);
        assert_ne!(first.coinb1, second.coinb1);
        assert_ne!(first.branches, second.branches);
    }

    #[test]
    fn the_branches_of_many_templates_cover_every_depth_from_0_to_11() {
        let now = Instant::now();
        let mut chain = chain(now);
        let mut depths = [0; 12];
        for _ in 0..80 {
            depths[chain.template(now).branches.len()] += 1;
        }
        assert!(depths.iter().all(|&times| times > 0), "{depths:?}");
    }

    #[test]
    fn a_block_moves_the_tip_once_and_a_second_of_the_same_height_does_not() {
        let now = Instant::now();
        let mut chain = chain(now);
        let before = chain.template(now);
        let hash = BlockHash::hash(b"found");
        assert_eq!(chain.extend(before.prevhash, hash, now), Some(before.height));
        assert_eq!(chain.extend(before.prevhash, BlockHash::hash(b"late"), now), None);
        let after = chain.template(now);
        assert_eq!((after.height, after.prevhash), (before.height + 1, hash));
    }

    #[test]
    fn another_miners_block_looks_like_one_that_met_the_target() {
        let now = Instant::now();
        let mut chain = chain(now);
        let target = chain.template(now).network_target();
        let (height, hash) = chain.extend_by_another_miner(now);
        assert!(target.is_met_by(hash));
        assert_eq!(chain.template(now).height, height + 1);
    }

    #[test]
    fn the_same_seed_makes_the_same_chain() {
        let now = Instant::now();
        assert_eq!(chain(now).template(now), chain(now).template(now));
    }
}
