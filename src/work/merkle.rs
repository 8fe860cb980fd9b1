//! The merkle root from the coinbase's side of the tree, and the branch that leads there.

use super::header::sha256d;

/// The root over a coinbase hash and its branch. The running hash always stands on the left, since the coinbase is
/// the first transaction. All 32-byte values in header order. Source: the customary Stratum V1 description.
pub fn fold(coinbase_hash: [u8; 32], branch: &[[u8; 32]]) -> [u8; 32] {
    branch.iter().fold(coinbase_hash, |left, right| node(&left, right))
}

/// The branch of the coinbase over the hashes of all other transactions, in block order: what [`fold`] needs. An odd
/// last node pairs with itself. Source: Bitcoin Core `consensus/merkle.cpp`, `ComputeMerkleRoot`.
pub fn branch(others: &[[u8; 32]]) -> Box<[[u8; 32]]> {
    let mut branch = Vec::new();
    let mut level = others.to_vec(); // the coinbase's own place, in front, is left out
    while let Some((sibling, rest)) = level.split_first() {
        branch.push(*sibling);
        level = rest.chunks(2).map(|pair| node(&pair[0], &pair[pair.len() - 1])).collect();
    }
    branch.into()
}

fn node(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut pair = [0; 64];
    pair[..32].copy_from_slice(left);
    pair[32..].copy_from_slice(right);
    sha256d(&pair)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::work::vectors::{self, bytes32};

    #[test]
    fn branches_of_recorded_trees_are_exact() {
        let trees = vectors::gbt().merkle_trees;
        assert_eq!(trees.len(), 11);
        for tree in trees {
            let leaves: Vec<_> = (1..=tree.leaves).map(|leaf| sha256d(&[leaf])).collect();
            let expected: Vec<_> = tree.branch_internal.iter().map(|entry| bytes32(entry)).collect();
            let found = branch(&leaves[1..]);
            assert_eq!(*found, expected, "{} leaves", tree.leaves);
            assert_eq!(fold(leaves[0], &found), bytes32(&tree.root_internal), "{} leaves", tree.leaves);
        }
    }

    /// Root of a whole tree and the branch of its first leaf, the textbook way (an odd last node pairs with itself).
    fn tree(mut level: Vec<[u8; 32]>) -> ([u8; 32], Vec<[u8; 32]>) {
        let mut branch = Vec::new();
        while level.len() > 1 {
            if level.len() % 2 == 1 {
                level.push(level[level.len() - 1]);
            }
            branch.push(level[1]);
            level = level.chunks(2).map(|pair| sha256d(&[pair[0], pair[1]].concat())).collect();
        }
        (level[0], branch)
    }

    proptest! {
        #[test]
        fn folding_the_branch_gives_the_root_of_the_whole_tree(leaves in proptest::collection::vec(any::<[u8; 32]>(), 1..40)) {
            let first = leaves[0];
            let found = branch(&leaves[1..]);
            let (root, expected) = tree(leaves);
            prop_assert_eq!(fold(first, &expected), root);
            prop_assert_eq!(&*found, &expected[..]);
        }
    }
}
