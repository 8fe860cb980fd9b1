//! A pool's book of what it has said, and the judge of what comes back. It shares no code with the miner: the header is
//! put together here again, byte by byte.

use std::collections::HashSet;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Furthest that a share's time may be ahead of its job's.
const MAX_NTIME_AHEAD: u32 = 600;

/// How a server puts the version bits of a submit into the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Rolling is not agreed: five parameters.
    Unrolled,
    /// Job OR bits.
    Or,
    /// Job XOR bits.
    Xor,
    /// The bits in place of the job's, inside this mask, whatever was agreed.
    Replace(u32),
}

/// What holds for the jobs sent from now on.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub(crate) extranonce1: Vec<u8>,
    pub(crate) size: usize,
    pub(crate) mask: u32,
    pub(crate) rule: Rule,
    pub(crate) difficulty: f64,
}

/// A notify and what held when it was sent.
#[derive(Debug)]
struct Sent {
    params: Value,
    terms: Terms,
}

/// A share that is right.
#[derive(Debug, Clone)]
pub(crate) struct Share {
    /// Number of its job in the order of sending.
    pub(crate) job: usize,
    pub(crate) difficulty: f64,
    /// As the display writes it.
    pub(crate) hash: String,
    pub(crate) extranonce2: String,
    pub(crate) ntime: u32,
    pub(crate) nonce: u32,
    /// Of its header.
    pub(crate) version: u32,
    /// The sixth parameter.
    pub(crate) version_bits: Option<u32>,
}

/// Everything that one pool has said, over all connections.
#[derive(Debug)]
pub(crate) struct Book {
    pub(crate) user: String,
    pub(crate) terms: Terms,
    sent: Vec<Sent>,
    headers: HashSet<[u8; 80]>,
}

impl Book {
    pub(crate) fn new() -> Self {
        let terms = Terms { extranonce1: vec![], size: 0, mask: 0, rule: Rule::Unrolled, difficulty: 1.0 };
        Self { user: "u".to_owned(), terms, sent: Vec::new(), headers: HashSet::new() }
    }

    /// A notify was sent; gives its number.
    pub(crate) fn sent(&mut self, params: &Value) -> usize {
        self.sent.push(Sent { params: params.clone(), terms: self.terms.clone() });
        self.sent.len() - 1
    }

    /// What a server makes of the parameters of a submit. Errors: why they are wrong.
    pub(crate) fn judge(&mut self, params: &Value) -> Result<Share, String> {
        let text =
            |index: usize| params[index].as_str().ok_or(format!("parameter {index} of {params} is no text"));
        if text(0)? != self.user {
            return Err(format!("the user is {}", params[0]));
        }
        let sent: Vec<_> =
            self.sent.iter().enumerate().filter(|(_, sent)| sent.params[0] == params[1]).collect();
        if sent.is_empty() {
            return Err(format!("the job {} is unknown", params[1]));
        }
        let ntime = number(text(3)?)?;
        let nonce = number(text(4)?)?;
        let bits = params.get(5).map(|_| number(text(5)?)).transpose()?;
        // The same id sent again replaces the job; what was in flight then may still mean the older one.
        let mut faults = Vec::new();
        for (job, sent) in sent.into_iter().rev() {
            match sent.share(job, text(2)?, ntime, nonce, bits) {
                Ok((share, header)) => {
                    if !self.headers.insert(header) {
                        return Err(format!("duplicate: {params}"));
                    }
                    return Ok(share);
                }
                Err(fault) => faults.push(format!("{fault} in {params}")),
            }
        }
        Err(faults.swap_remove(0))
    }
}

impl Sent {
    fn share(
        &self,
        job: usize,
        extranonce2: &str,
        ntime: u32,
        nonce: u32,
        bits: Option<u32>,
    ) -> Result<(Share, [u8; 80]), String> {
        let Terms { extranonce1, size, mask, rule, difficulty } = &self.terms;
        if extranonce2.len() != 2 * size
            || extranonce2.bytes().any(|b| !b.is_ascii_digit() && !(b'a'..=b'f').contains(&b))
        {
            return Err(format!("extranonce2 is not {size} bytes of lower-case hex"));
        }
        let job_ntime = loose(&self.params[7]);
        if ntime < job_ntime || ntime - job_ntime > MAX_NTIME_AHEAD {
            return Err(format!("its time is not that of its job, {job_ntime:08x}"));
        }
        let base = loose(&self.params[5]);
        let version = match (rule, bits) {
            (Rule::Unrolled, None) => base,
            (Rule::Or | Rule::Xor | Rule::Replace(_), Some(bits)) if bits & !mask != 0 => {
                return Err(format!("version bits outside the mask {mask:08x}"));
            }
            (Rule::Or, Some(bits)) => base | bits,
            (Rule::Xor, Some(bits)) => base ^ bits,
            (Rule::Replace(all), Some(bits)) => (base & !all) | (bits & all),
            (Rule::Unrolled, Some(_)) => return Err("version bits though rolling is not agreed".to_owned()),
            (_, None) => return Err("no version bits though rolling is agreed".to_owned()),
        };
        let bytes = |index: usize| hex::decode(self.params[index].as_str().unwrap()).unwrap();
        let coinbase = [bytes(2), extranonce1.clone(), hex::decode(extranonce2).unwrap(), bytes(3)].concat();
        let branch = self.params[4].as_array().unwrap().iter();
        let root = branch.fold(sha256d(&coinbase), |left, right| {
            sha256d(&[left.as_slice(), &hex::decode(right.as_str().unwrap()).unwrap()].concat())
        });
        let mut prev_hash = bytes(1);
        prev_hash.chunks_exact_mut(4).for_each(<[u8]>::reverse);
        let header: Vec<u8> = [
            &version.to_le_bytes()[..],
            &prev_hash,
            &root,
            &ntime.to_le_bytes(),
            &loose(&self.params[6]).to_le_bytes(),
            &nonce.to_le_bytes(),
        ]
        .concat();
        let mut hash = sha256d(&header);
        hash.reverse();
        let reached = difficulty_of(&hash);
        if reached < difficulty * (1.0 - 1e-9) {
            return Err(format!("low difficulty: {reached:e} where {difficulty:e} is asked"));
        }
        let share = Share {
            job,
            difficulty: reached,
            hash: hex::encode(hash),
            extranonce2: extranonce2.to_owned(),
            ntime,
            nonce,
            version,
            version_bits: bits,
        };
        Ok((share, header.try_into().unwrap()))
    }
}

fn sha256d(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(Sha256::digest(bytes)).into()
}

/// `hash` with its most significant byte first.
fn difficulty_of(hash: &[u8; 32]) -> f64 {
    let number = hash.iter().fold(0.0, |sum, byte| sum * 256.0 + f64::from(*byte));
    65535.0 * 2f64.powi(208) / number
}

/// Exactly 8 digits of lower-case hex, as strict servers demand.
fn number(text: &str) -> Result<u32, String> {
    let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let number = u32::from_str_radix(text, 16).ok().filter(|_| text.len() == 8 && text.bytes().all(is_digit));
    number.ok_or(format!("{text:?} is not 8 digits of lower-case hex"))
}

/// Our own numbers, padded or not.
fn loose(value: &Value) -> u32 {
    u32::from_str_radix(value.as_str().unwrap(), 16).unwrap()
}

#[test]
fn the_judge_knows_a_share_of_the_chain_from_one_that_is_a_digit_off() {
    // Block 170, the first payment.
    let mut book = Book::new();
    book.terms.extranonce1 = hex::decode("ffff001d").unwrap();
    book.terms.size = 2;
    let vectors = include_str!("../../vectors/stratum-vectors.json");
    let vectors: Vec<Value> = serde_json::from_str(vectors).unwrap();
    let block = vectors.iter().find(|vector| vector["name"] == "block-170").unwrap();
    book.user = block["submit"][0].as_str().unwrap().to_owned();
    book.sent(&block["notify"]);
    let share = book.judge(&block["submit"]).unwrap();
    assert_eq!(share.hash, block["hash"].as_str().unwrap());
    assert!((share.difficulty - 1.224_396_181_041).abs() < 1e-9, "{share:?}");
    assert!(book.judge(&block["submit"]).unwrap_err().starts_with("duplicate"));
    let mut other = block["submit"].clone();
    other[4] = "709e3e29".into();
    assert!(book.judge(&other).unwrap_err().starts_with("low difficulty"));
}
