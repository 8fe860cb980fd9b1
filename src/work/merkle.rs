//! The merkle root from the coinbase's side of the tree.

use super::header::sha256d;

/// The root over a coinbase hash and its branch. The running hash always stands on the left, since the coinbase is
/// the first transaction. All 32-byte values in header order. Source: the customary Stratum V1 description.
pub fn fold(coinbase_hash: [u8; 32], branch: &[[u8; 32]]) -> [u8; 32] {
    branch.iter().fold(coinbase_hash, |left, right| {
        let mut pair = [0; 64];
        pair[..32].copy_from_slice(&left);
        pair[32..].copy_from_slice(right);
        sha256d(&pair)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
            let (root, branch) = tree(leaves);
            prop_assert_eq!(fold(first, &branch), root);
        }
    }
}
