//! What a pool knows of its jobs, and how it judges a share. Shares no arithmetic with the miner.

use std::collections::HashMap;
use std::time::Instant;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// A header as it is hashed.
pub(crate) type Header = [u8; 80];

/// Difficulties are whole numbers of these: every fourth hash meets one of them, and all
/// are exact.
pub(crate) const DIFFICULTY_PARTS: u64 = 1 << 30;

/// The extranonces of a connection: the pool's part and the size of ours.
pub(crate) type Extranonces = (Vec<u8>, usize);

/// What a notify says.
#[derive(Debug, Clone)]
pub(crate) struct Notify {
    pub(crate) id: String,
    pub(crate) prev_hash: [u8; 32],
    pub(crate) coinb1: Vec<u8>,
    pub(crate) coinb2: Vec<u8>,
    pub(crate) branch: Vec<[u8; 32]>,
    pub(crate) version: u32,
    pub(crate) nbits: u32,
    pub(crate) clean: bool,
}

/// What was in force when a notify went out.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub(crate) extranonces: Extranonces,
    pub(crate) mask: u32,
    /// In [`DIFFICULTY_PARTS`].
    pub(crate) difficulty: u64,
}

/// Shares that are on their way, how often each.
pub(crate) type Owed = HashMap<Header, usize>;

/// ntime of every job.
pub(crate) const NTIME: u32 = 0x6000_0000;

/// A job that was sent. `void`: a newer one has made it stale.
struct Issued {
    notify: Notify,
    terms: Terms,
    sent_at: Instant,
    void: bool,
}

/// A share as its submit words it.
#[derive(Debug)]
pub(crate) struct Submit {
    pub(crate) request: u64,
    job: String,
    extranonce2: Vec<u8>,
    pub(crate) ntime: u32,
    nonce: u32,
    pub(crate) version_bits: Option<u32>,
}

/// What a share turned out to be.
pub(crate) struct Verdict {
    pub(crate) header: Header,
    pub(crate) stale: bool,
}

/// All jobs that still stand for something.
#[derive(Default)]
pub(crate) struct JobBook {
    issued: Vec<Issued>,
    tip: Option<[u8; 32]>,
}

impl Submit {
    pub(crate) fn read(request: u64, params: &Value) -> Self {
        let text = |at: usize| params[at].as_str().unwrap();
        let number = |at: usize| {
            assert_eq!(text(at).len(), 8, "{params}");
            u32::from_str_radix(text(at), 16).unwrap()
        };
        Self {
            request,
            job: text(1).to_owned(),
            extranonce2: hex::decode(text(2)).unwrap(),
            ntime: number(3),
            nonce: number(4),
            version_bits: params.get(5).map(|_| number(5)),
        }
    }
}

impl JobBook {
    /// A notify went out. `greets`: it is the first after a resumption, whose clean flag voids nothing.
    pub(crate) fn issue(&mut self, notify: Notify, terms: Terms, greets: bool, now: Instant) {
        let other_tip = self.tip.replace(notify.prev_hash).is_some_and(|tip| tip != notify.prev_hash);
        if other_tip || (notify.clean && !greets) {
            self.issued.iter_mut().for_each(|issued| issued.void = true);
        }
        self.issued.push(Issued { notify, terms, sent_at: now, void: false });
    }

    /// The job sent last.
    pub(crate) fn newest(&self) -> Option<&Notify> {
        self.issued.last().map(|issued| &issued.notify)
    }

    /// Holds a submit against all jobs of its name, the newest first; it may be right for more than one. Errors: what is
    /// wrong with it for each of them.
    pub(crate) fn judge(&self, submit: &Submit, owed: &Owed, now: Instant) -> Result<Vec<Verdict>, String> {
        let named = self.issued.iter().rev().filter(|issued| issued.notify.id == submit.job);
        let (right, wrong): (Vec<_>, Vec<_>) =
            named.map(|issued| issued.judge(submit, owed, now)).partition(Result::is_ok);
        if right.is_empty() {
            let wrong: Vec<_> = wrong.into_iter().filter_map(Result::err).collect();
            return Err(format!("wrong for each job of its name, {wrong:?}"));
        }
        Ok(right.into_iter().flatten().collect())
    }
}

impl Issued {
    fn judge(&self, submit: &Submit, owed: &Owed, now: Instant) -> Result<Verdict, String> {
        let Terms { extranonces: (_, size), mask, difficulty } = &self.terms;
        if submit.extranonce2.len() != *size {
            return Err(format!("extranonce2 should have {size} bytes"));
        }
        let rolled_ntime = submit.ntime.wrapping_sub(NTIME);
        if rolled_ntime > 600 || u64::from(rolled_ntime) > now.duration_since(self.sent_at).as_secs() {
            return Err(format!("ntime runs {rolled_ntime} s ahead"));
        }
        let header = self.header(submit, self.version(submit.version_bits, *mask)?);
        if !owed.contains_key(&header) {
            return Err("the miner hashed another header".to_owned());
        }
        let hash = highest_byte_first(sha256d(&header));
        let is_block = hash <= target_of_nbits(self.notify.nbits);
        if !is_block && hash > target_of_difficulty(*difficulty) {
            return Err(format!("the hash misses difficulty {difficulty} and the block"));
        }
        if self.void && !is_block {
            return Err("stale".to_owned());
        }
        Ok(Verdict { header, stale: self.void })
    }

    /// The header's version, which pools that replace the masked bits and pools that OR must agree on.
    fn version(&self, bits: Option<u32>, mask: u32) -> Result<u32, String> {
        let version = self.notify.version;
        match bits {
            None if mask == 0 => Ok(version),
            Some(bits) if mask != 0 && bits & !mask == 0 && version & mask & !bits == 0 => Ok(version | bits),
            _ => Err(format!("version bits {bits:x?} under mask {mask:x}")),
        }
    }

    fn header(&self, submit: &Submit, version: u32) -> Header {
        let Notify { coinb1, coinb2, branch, prev_hash, nbits, .. } = &self.notify;
        let coinbase =
            [coinb1, &self.terms.extranonces.0, &submit.extranonce2, coinb2].map(Vec::as_slice).concat();
        let mut root = sha256d(&coinbase);
        for right in branch {
            root = sha256d(&[root, *right].concat());
        }
        header(version, prev_hash, &root, submit.ntime, *nbits, submit.nonce)
    }
}

/// The 80 bytes.
pub(crate) fn header(
    version: u32,
    prev_hash: &[u8; 32],
    merkle_root: &[u8; 32],
    ntime: u32,
    nbits: u32,
    nonce: u32,
) -> Header {
    let mut bytes = version.to_le_bytes().to_vec();
    bytes.extend(prev_hash);
    bytes.extend(merkle_root);
    bytes.extend([ntime, nbits, nonce].map(u32::to_le_bytes).as_flattened());
    bytes.try_into().unwrap()
}

pub(crate) fn sha256d(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(Sha256::digest(bytes)).into()
}

/// Hashes and targets compare as text does once their highest byte stands first.
pub(crate) fn highest_byte_first(mut hash: [u8; 32]) -> [u8; 32] {
    hash.reverse();
    hash
}

/// floor(0xffff · 2^208 · [`DIFFICULTY_PARTS`] / parts), by long division; highest byte first.
fn target_of_difficulty(parts: u64) -> [u8; 32] {
    let mut target = [0; 32];
    // 0xffff · 2^238
    target[..3].copy_from_slice(&[0x3f, 0xff, 0xc0]);
    let mut rest = 0;
    for byte in &mut target {
        let part = rest << 8 | u64::from(*byte);
        *byte = (part / parts) as u8;
        rest = part % parts;
    }
    target
}

/// Three bytes of mantissa below the length that stands before them; highest byte first.
fn target_of_nbits(nbits: u32) -> [u8; 32] {
    let [length, mantissa @ ..] = nbits.to_be_bytes();
    let mut target = [0; 32];
    let at = 32 - usize::from(length);
    target[at..at + 3].copy_from_slice(&mantissa);
    target
}
