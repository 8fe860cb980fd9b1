//! From a nonce to a share. This is the only place where a [`Share`] is made, and it is made by hashing.

use std::sync::Arc;

use super::{BlockHash, Difficulty, Extranonce2, Header, Job, Target, VersionConvention, VersionMask};

/// A job with its extranonce2 and ntime settled: what one chip job stands for.
#[derive(Debug, Clone)]
pub struct Work {
    job: Arc<Job>,
    extranonce2: Extranonce2,
    ntime: u32,
    merkle_root: [u8; 32],
    share_target: Target,
}

/// A header that meets its own job's share target or the network's, proven by having been hashed here.
#[derive(Debug, Clone)]
pub struct Share {
    job: Arc<Job>,
    extranonce2: Extranonce2,
    header: Header,
    hash: BlockHash,
    solves_block: bool,
    is_tolerated: bool,
}

/// Why a nonce makes no share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAShare {
    /// The board rolled bits that it had no leave to roll.
    #[error("header version {0:08x} rolls bits outside the mask")]
    VersionOutsideMask(u32),
    /// The hash is neither a share nor a block.
    #[error("hash {0} is above the share target")]
    AboveTarget(BlockHash),
}

impl Work {
    /// Builds the coinbase and folds the branch.
    pub fn new(job: Arc<Job>, extranonce2: Extranonce2, ntime: u32) -> Self {
        let merkle_root = job.merkle_root(&extranonce2);
        let share_target = job.difficulty.target();
        Self { job, extranonce2, ntime, merkle_root, share_target }
    }

    /// The job this is work for.
    pub fn job(&self) -> &Arc<Job> {
        &self.job
    }

    /// Our part of its extranonce.
    pub fn extranonce2(&self) -> &Extranonce2 {
        &self.extranonce2
    }

    /// Seconds since 1970 in its header.
    pub fn ntime(&self) -> u32 {
        self.ntime
    }

    /// The header with this version and nonce.
    pub fn header(&self, version: u32, nonce: u32) -> Header {
        let job = self.job.header;
        Header {
            version,
            prev_hash: job.prev_hash,
            merkle_root: self.merkle_root,
            ntime: self.ntime,
            nbits: job.nbits,
            nonce,
        }
    }

    /// Highest hash worth hearing of: the share target, or the network's where that is easier.
    pub fn target(&self) -> Target {
        self.job.network_target.map_or(self.share_target, |network| network.max(self.share_target))
    }

    /// Hashes the header and compares. Errors: version bits without leave, or a hash above both targets.
    pub fn verify(&self, version: u32, nonce: u32) -> Result<Share, NotAShare> {
        let job = &self.job;
        if (version ^ job.header.version) & !job.version_mask.rollable(job.header.version) != 0 {
            return Err(NotAShare::VersionOutsideMask(version));
        }
        let header = self.header(version, nonce);
        let hash = header.hash();
        let solves_block = job.network_target.is_some_and(|network| network.is_met_by(&hash));
        if !solves_block && !self.share_target.is_met_by(&hash) {
            return Err(NotAShare::AboveTarget(hash));
        }
        Ok(Share {
            job: Arc::clone(job),
            extranonce2: self.extranonce2,
            header,
            hash,
            solves_block,
            is_tolerated: false,
        })
    }
}

impl Share {
    /// The job it was found for.
    pub fn job(&self) -> &Arc<Job> {
        &self.job
    }

    /// Our part of its extranonce.
    pub fn extranonce2(&self) -> &Extranonce2 {
        &self.extranonce2
    }

    /// The header that was hashed.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The header's hash.
    pub fn hash(&self) -> &BlockHash {
        &self.hash
    }

    /// The difficulty reached, at least the job's unless it only solves a block.
    pub fn difficulty(&self) -> Difficulty {
        Target::from_le_bytes(self.hash.0).difficulty()
    }

    /// Whether the hash meets the network's target too.
    pub fn solves_block(&self) -> bool {
        self.solves_block
    }

    /// It is to be sent although a newer job calls its own void: what the pool says of it shows whether it has to be so.
    pub fn tolerate(&mut self) {
        self.is_tolerated = true;
    }

    /// See [`Self::tolerate`].
    pub fn is_tolerated(&self) -> bool {
        self.is_tolerated
    }

    /// Whether version rolling was agreed for its job, so that a submit names version bits.
    pub fn has_version_bits(&self) -> bool {
        self.job.version_mask != VersionMask::NONE
    }

    /// The version bits of a submit as the pool reads them, `None` when rolling was not agreed for its job.
    pub fn version_bits(&self, convention: VersionConvention) -> Option<u32> {
        let (mask, job_version) = (self.job.version_mask, self.job.header.version);
        self.has_version_bits().then(|| mask.submitted(convention, job_version, self.header.version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::vectors::{self, StratumVector};

    fn work(vector: &StratumVector) -> Work {
        let extranonce2 = Extranonce2::from_bytes(&hex::decode(&vector.extranonce2).unwrap()).unwrap();
        Work::new(Arc::new(vector.into()), extranonce2, vectors::number(&vector.ntime))
    }

    fn nonce(vector: &StratumVector) -> u32 {
        vectors::number(&vector.nonce)
    }

    #[test]
    fn every_recorded_share_is_rebuilt_byte_for_byte() {
        let vectors = vectors::stratum();
        assert_eq!(vectors.len(), 29);
        for vector in vectors {
            let (work, name) = (work(&vector), &vector.name);
            let version = vectors::number(&vector.header_version);
            let bits = vector.version_bits.as_deref().map_or(0, vectors::number);
            let job = work.job();
            assert_eq!(
                vector.rule().header_version(job.header.version, job.version_mask, bits),
                version,
                "{name}"
            );
            let coinbase = job.coinbase.to_bytes(&work.extranonce2);
            assert_eq!(hex::encode(coinbase), vector.coinbase, "{name}");
            assert_eq!(hex::encode(job.coinbase.hash(&work.extranonce2)), vector.coinbase_hash, "{name}");
            assert_eq!(hex::encode(work.merkle_root), vector.merkle_root, "{name}");
            let header = work.header(version, nonce(&vector));
            assert_eq!(hex::encode(header.to_bytes()), vector.header, "{name}");
            assert_eq!(header.hash().to_string(), vector.hash, "{name}");
        }
    }

    #[test]
    fn a_nonce_is_a_share_exactly_when_its_hash_meets_a_target_of_its_job() {
        for vector in vectors::stratum() {
            let work = work(&vector);
            let version = vectors::number(&vector.header_version);
            if (version ^ work.job.header.version) & !work.job.version_mask.rollable(work.job.header.version)
                != 0
            {
                assert_eq!(
                    work.verify(version, nonce(&vector)).unwrap_err(),
                    NotAShare::VersionOutsideMask(version)
                );
                continue; // a version another miner rolled in a way that not every pool reads alike
            }
            match work.verify(version, nonce(&vector)) {
                Ok(share) => {
                    assert!(vector.meets_job_difficulty || vector.meets_network_target, "{}", vector.name);
                    assert_eq!(share.solves_block(), vector.meets_network_target, "{}", vector.name);
                    assert!((share.difficulty().value() / vector.share_difficulty - 1.0).abs() < 1e-12);
                }
                Err(NotAShare::AboveTarget(hash)) => {
                    assert!(!vector.meets_job_difficulty && !vector.meets_network_target, "{}", vector.name);
                    assert_eq!(hash.to_string(), vector.hash);
                }
                Err(other) => panic!("{}: {other}", vector.name),
            }
        }
    }

    #[test]
    fn one_wrong_nibble_of_the_nonce_makes_a_recorded_share_worthless() {
        for vector in vectors::stratum().iter().filter(|v| v.meets_job_difficulty && v.job_difficulty >= 1.0)
        {
            let work = work(vector);
            let version = vectors::number(&vector.header_version);
            for nibble in 0..8 {
                let wrong = nonce(vector) ^ (1 << (4 * nibble));
                assert!(work.verify(version, wrong).is_err(), "{} nibble {nibble}", vector.name);
            }
        }
    }

    #[test]
    fn a_version_bit_outside_the_mask_is_no_share_however_good_the_hash() {
        let vector = vectors::stratum().into_iter().find(|v| v.name == "bitaxe-gamma-mainnet").unwrap();
        let mut job = Job::from(&vector);
        job.version_mask = VersionMask::NONE;
        let extranonce2 = Extranonce2::from_bytes(&hex::decode(&vector.extranonce2).unwrap()).unwrap();
        let work = Work::new(Arc::new(job), extranonce2, vectors::number(&vector.ntime));
        assert_eq!(
            work.verify(0x20b4_4000, nonce(&vector)).unwrap_err(),
            NotAShare::VersionOutsideMask(0x20b4_4000)
        );
    }
}
