//! The jobs that one miner holds. A book survives its connection, so that a resumed session can still submit.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use bitcoin::{hashes::Hash, hex::DisplayHex};

use crate::chance::Chance;

use super::{
    difficulty::Difficulty,
    judge::{Reject, Share, Submit, Work},
    template::Template,
};

/// Jobs kept for a miner; older ones are stale.
const MOST_JOBS: usize = 16;
/// Shares taken for one job. At one share every 1.5 s and a job every 3 s there are two.
const MOST_SHARES_PER_JOB: usize = 4096;
/// Books kept for miners that went away.
const MOST_PARKED: usize = 64;

/// Bytes of an extranonce1.
pub(crate) const EXTRANONCE1_SIZE: usize = 4;

/// What tells one miner's work from all others'.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    extranonce1: [u8; EXTRANONCE1_SIZE],
    session_id: String,
}

impl Identity {
    pub(crate) fn extranonce1_hex(&self) -> String {
        self.extranonce1.to_lower_hex_string()
    }

    pub(crate) fn session_id(&self) -> &str {
        &self.session_id
    }
}

#[derive(Debug)]
struct SentJob {
    number: u64,
    template: Arc<Template>,
    difficulty: Difficulty,
    mask: Option<u32>,
    /// The last eight bytes in memory of each accepted hash, the ones that no target forces to zero.
    seen: HashSet<u64>,
}

/// A share that counts, with the job it was found for.
#[derive(Clone, Debug)]
pub(crate) struct CountedShare {
    pub(crate) share: Share,
    pub(crate) template: Arc<Template>,
    pub(crate) difficulty: Difficulty,
}

/// One miner's jobs, newest last.
#[derive(Debug)]
pub(crate) struct JobBook {
    identity: Identity,
    extranonce2_size: usize,
    jobs: VecDeque<SentJob>,
    sent: u64,
}

impl JobBook {
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) fn extranonce2_size(&self) -> usize {
        self.extranonce2_size
    }

    /// Whether a job from this template would make all earlier ones stale.
    pub(crate) fn is_clean(&self, template: &Template) -> bool {
        self.jobs.back().is_none_or(|job| job.template.height != template.height)
    }

    /// Enters a job and returns its id.
    pub(crate) fn enter(
        &mut self,
        template: Arc<Template>,
        difficulty: Difficulty,
        mask: Option<u32>,
    ) -> String {
        self.sent += 1;
        if self.jobs.len() == MOST_JOBS {
            self.jobs.pop_front();
        }
        self.jobs.push_back(SentJob { number: self.sent, template, difficulty, mask, seen: HashSet::new() });
        self.job_id(self.sent)
    }

    /// Errors: the reason not to count the share.
    pub(crate) fn judge(&mut self, job_id: &str, submit: Submit<'_>) -> Result<CountedShare, Reject> {
        let number = self.number_of(job_id)?;
        let height = self.jobs.back().map(|job| job.template.height);
        let job = self.jobs.iter_mut().find(|job| job.number == number).ok_or(Reject::Stale)?;
        if Some(job.template.height) != height || job.seen.len() >= MOST_SHARES_PER_JOB {
            return Err(Reject::Stale);
        }
        let work = Work {
            template: &job.template,
            extranonce1: &self.identity.extranonce1,
            extranonce2_size: self.extranonce2_size,
            mask: job.mask,
            difficulty: job.difficulty,
        };
        let share = work.judge(submit)?;
        if job.seen.insert(fingerprint(&share)) {
            Ok(CountedShare { share, template: Arc::clone(&job.template), difficulty: job.difficulty })
        } else {
            Err(Reject::Duplicate)
        }
    }

    /// Ids carry the extranonce1, so that another miner's job id is unknown here rather than wrong by a little.
    fn job_id(&self, number: u64) -> String {
        format!("{}{number:04x}", self.identity.extranonce1_hex())
    }

    /// The number of a job that was sent at some time.
    fn number_of(&self, job_id: &str) -> Result<u64, Reject> {
        let digits = job_id.get(2 * EXTRANONCE1_SIZE..).ok_or(Reject::UnknownJob)?;
        let number = u64::from_str_radix(digits, 16).map_err(|_| Reject::UnknownJob)?;
        let was_sent = (1..=self.sent).contains(&number) && self.job_id(number) == job_id;
        if was_sent { Ok(number) } else { Err(Reject::UnknownJob) }
    }
}

fn fingerprint(share: &Share) -> u64 {
    let bytes = share.hash().to_byte_array();
    u64::from_le_bytes(bytes[..8].try_into().expect("eight of 32 bytes"))
}

/// Opens books: new ones, each with an extranonce1 of its own, and those of miners that come back.
#[derive(Debug)]
pub(crate) struct Library {
    chance: Chance,
    next_extranonce1: u32,
    extranonce2_size: usize,
    parked: VecDeque<JobBook>,
}

impl Library {
    pub(crate) fn new(extranonce2_size: usize, seed: u64) -> Self {
        let mut chance = Chance::new(!seed);
        let next_extranonce1 = chance.number() as u32;
        Self { chance, next_extranonce1, extranonce2_size, parked: VecDeque::new() }
    }

    /// The book of an ended session if its id is given and known, else a new one.
    pub(crate) fn open(&mut self, session_id: Option<&str>) -> JobBook {
        let known = self.parked.iter().position(|book| Some(book.identity.session_id()) == session_id);
        known.and_then(|index| self.parked.remove(index)).unwrap_or_else(|| self.new_book())
    }

    /// Keeps the book of a connection that ended.
    pub(crate) fn park(&mut self, book: JobBook) {
        if self.parked.len() == MOST_PARKED {
            self.parked.pop_front();
        }
        self.parked.push_back(book);
    }

    fn new_book(&mut self) -> JobBook {
        let extranonce1 = self.next_extranonce1.to_be_bytes();
        self.next_extranonce1 = self.next_extranonce1.wrapping_add(1);
        // Twice as long as the extranonce1: equal ids would mark this as a pool with the XOR rule.
        let session_id = format!("{:016x}", self.chance.number());
        let identity = Identity { extranonce1, session_id };
        JobBook { identity, extranonce2_size: self.extranonce2_size, jobs: VecDeque::new(), sent: 0 }
    }
}
