//! Blocks of ours that a node may come to lack, and where their bytes are.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::protocol::block_book::{MAX_ENTRIES, Place, WORTH_SENDING, Watched};
use crate::protocol::block_record::Fate;
use crate::work::BlockHash;

/// Blocks that are kept in memory, because the journal has them not; the oldest go first. Unit: bytes.
const MOST_IN_MEMORY: usize = 64 << 20;

/// Where a block's bytes are.
#[derive(Debug, Clone)]
pub(super) enum Store {
    Journal(Place),
    /// In hexadecimal.
    Memory(Arc<str>),
}

/// One block.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) hash: BlockHash,
    /// When it was found. Unit: seconds since 1970.
    pub(super) at: u64,
    pub(super) height: u32,
    /// Empty where it was not known.
    pub(super) chain: String,
    pub(super) store: Store,
    pub(super) known: Known,
}

/// Where a block was seen last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Nothing,
    InChain,
    Beside,
}

impl Kept {
    /// Bytes that it takes here.
    fn in_memory(&self) -> usize {
        if let Store::Memory(text) = &self.store { text.len() } else { 0 }
    }
}

impl From<Watched> for Kept {
    fn from(block: Watched) -> Self {
        let Watched { hash, at, height, chain, place, is_open, is_orphaned } = block;
        let known = match (is_open, is_orphaned) {
            (true, _) => Known::Nothing,
            (false, true) => Known::Beside,
            (false, false) => Known::InChain,
        };
        Self { hash, at, height, chain, store: Store::Journal(place), known }
    }
}

/// The blocks of the last day, in the order in which they were found: parents before their children.
#[derive(Debug, Default)]
pub(super) struct KeptBlocks(VecDeque<Kept>);

impl KeptBlocks {
    /// One more. Of too many the oldest go.
    pub(super) fn add(&mut self, block: Kept) {
        if self.0.len() == MAX_ENTRIES {
            self.0.pop_front();
        }
        self.0.push_back(block);
        while self.0.iter().map(Kept::in_memory).sum::<usize>() > MOST_IN_MEMORY {
            let Some(oldest) = self.0.iter().position(|block| block.in_memory() > 0) else { return };
            if let Some(block) = self.0.remove(oldest) {
                tracing::error!(
                    "block {} is kept no longer, since the journal could not be written: a node that forgets it will \
                     not get it again",
                    block.hash
                );
            }
        }
    }

    /// Those of a chain that are worth sending at `now`, seconds since 1970, the oldest first.
    pub(super) fn of_chain(&self, chain: &str, now: u64) -> Vec<Kept> {
        let is_meant = |block: &&Kept| {
            // One without a chain is from a version that did not always know it.
            (block.chain == chain || block.chain.is_empty()) && now.saturating_sub(block.at) < WORTH_SENDING
        };
        self.0.iter().filter(is_meant).cloned().collect()
    }

    /// What became of a block is known.
    pub(super) fn settled(&mut self, hash: &BlockHash, fate: &Fate) {
        let Some(place) = self.0.iter().rposition(|block| block.hash == *hash) else { return };
        match fate {
            Fate::Accepted => self.0[place].known = Known::InChain,
            Fate::Orphaned => self.0[place].known = Known::Beside,
            Fate::Refused { .. } | Fate::GivenUp { .. } => drop(self.0.remove(place)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(number: u8, at: u64, chain: &str, store: Store) -> Kept {
        let hash = BlockHash([number; 32]);
        Kept { hash, at, height: u32::from(number), chain: chain.to_owned(), store, known: Known::Nothing }
    }

    fn written() -> Store {
        Store::Journal(Place { at: 0, length: 9 })
    }

    fn numbers(blocks: &KeptBlocks, chain: &str, now: u64) -> Vec<u8> {
        blocks.of_chain(chain, now).iter().map(|block| block.hash.0[0]).collect()
    }

    #[test]
    fn a_node_may_lack_the_blocks_of_its_chain_of_a_day() {
        let mut blocks = KeptBlocks::default();
        for (number, at, chain) in [(1, 100, "regtest"), (2, 200, "main"), (3, 300, ""), (4, 400, "main")] {
            blocks.add(block(number, at, chain, written()));
        }
        assert_eq!(numbers(&blocks, "main", 500), [2, 3, 4]);
        assert_eq!(numbers(&blocks, "main", WORTH_SENDING + 250), [3, 4]);
        blocks.settled(&BlockHash([4; 32]), &Fate::Orphaned);
        assert_eq!(blocks.of_chain("main", 500)[2].known, Known::Beside);
        blocks.settled(&BlockHash([3; 32]), &Fate::refused("bad"));
        assert_eq!(numbers(&blocks, "main", 500), [2, 4], "nobody wants one that is refused");
    }

    #[test]
    fn of_those_in_memory_the_latest_are_kept_and_of_all_a_bounded_number() {
        let mut blocks = KeptBlocks::default();
        blocks.add(block(200, 0, "main", written()));
        let quarter: Arc<str> = "0".repeat(MOST_IN_MEMORY / 4).into();
        for number in 0..7 {
            blocks.add(block(number, 0, "main", Store::Memory(Arc::clone(&quarter))));
        }
        assert_eq!(numbers(&blocks, "main", 0), [200, 3, 4, 5, 6]);
        (0..MAX_ENTRIES).for_each(|_| blocks.add(block(1, 0, "main", written())));
        assert_eq!(blocks.0.len(), MAX_ENTRIES);
    }
}
