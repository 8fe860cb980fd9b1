//! Check 12000: the merkle root by the code that mines and by other code, of the first and the last extranonce2.
//!
//! The code that mines joins bytes and hashes them with the `sha2` crate; the other one reads a transaction from them and
//! asks the `bitcoin` crate, with hashes of its own, for its txid and the tree.

use bitcoin::Transaction;
use bitcoin::consensus::deserialize;
use bitcoin::hashes::{Hash, HashEngine, sha256d};

use super::coinbase::ends;
use super::{Context, JobUnderTest, Judgement};
use crate::work::{Coinbase, Extranonce2, Job};

pub(super) fn check(test: &JobUnderTest<'_>, _: &Context) -> Judgement {
    let job = test.job;
    compared(ends(&job.coinbase).map(|extranonce2| (job.merkle_root(&extranonce2), root(job, &extranonce2))))
}

fn compared(roots: [([u8; 32], [u8; 32]); 2]) -> Judgement {
    for ((mined, other), of) in roots.into_iter().zip(["first", "last"]) {
        if mined != other {
            let found = format!("{}… for the {of} extranonce2", hex::encode(&mined[..8]));
            return Judgement::reject(
                "merkle-roots-differ",
                found,
                format!("{}…; this is our own fault", hex::encode(&other[..8])),
            );
        }
    }
    Judgement::pass("2 roots", "the same by other code")
}

/// The root by other code than [`Job::merkle_root`], header order.
pub(super) fn root(job: &Job, extranonce2: &Extranonce2) -> [u8; 32] {
    let hash = txid(&job.coinbase, extranonce2);
    let node = |left: sha256d::Hash, right: &[u8; 32]| {
        let mut engine = sha256d::Hash::engine();
        engine.input(left.as_byte_array());
        engine.input(right);
        sha256d::Hash::from_engine(engine)
    };
    job.branch.iter().fold(hash, node).to_byte_array()
}

/// Of what is no transaction, the hash of its bytes: check 2000 speaks of that.
fn txid(coinbase: &Coinbase, extranonce2: &Extranonce2) -> sha256d::Hash {
    let Coinbase { coinb1, extranonce1, coinb2, .. } = coinbase;
    let bytes = [coinb1, extranonce1.as_bytes(), extranonce2.as_bytes(), coinb2].concat();
    match deserialize::<Transaction>(&bytes) {
        Ok(transaction) => transaction.compute_txid().to_raw_hash(),
        Err(_) => sha256d::Hash::hash(&bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::Outcome;

    #[test]
    fn roots_that_differ_are_our_own_fault_and_reject() {
        let same = ([1; 32], [1; 32]);
        assert_eq!(compared([same, same]).outcome, Outcome::Pass);
        for roots in [[([1; 32], [2; 32]), same], [same, ([1; 32], [2; 32])]] {
            assert_eq!(
                (compared(roots).outcome, compared(roots).code),
                (Outcome::Reject, "merkle-roots-differ")
            );
        }
    }
}
