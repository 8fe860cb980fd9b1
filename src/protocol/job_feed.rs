//! What a pool has said about its jobs, gathered until a notify makes one.
//!
//! A pool speaks of difficulty, mask and extranonces in its own time; a [`Job`] freezes what was in force when its
//! notify came, since that is what its shares will be judged by.

use std::collections::VecDeque;
use std::sync::Arc;

use super::stratum_message::Notify;
use crate::work::extranonce::WorkDigest;
use crate::work::{
    Coinbase, Difficulty, Epoch, Extranonce1, Extranonce2Size, Job, JobId, Target, VersionMask,
};

type Extranonces = (Extranonce1, Extranonce2Size);

/// Version and digest: all that tells a share of one job from a share of another, but the time, which it says itself.
type Meaning = (u32, WorkDigest);

/// Names of jobs remembered at once: as many as a pool keeps jobs.
const NAMES_KEPT: usize = 16;

/// The state between the notifies of one upstream, over all its connections.
#[derive(Debug)]
pub struct JobFeed {
    epoch: Epoch,
    prev_hash: Option<[u8; 32]>,
    /// In force for the newest job; the next connection resumes when it gets the same.
    newest: Option<Extranonces>,
    /// What each job id has meant since the last clean job.
    names: VecDeque<(JobId, Meaning)>,
    connection: Connection,
}

/// What holds for one connection.
#[derive(Debug)]
struct Connection {
    /// The newest that the pool has told; until then it means 1.
    told: Option<Difficulty>,
    mask: VersionMask,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Extranonce1 is not known yet: the newest notify waits for it.
    Unsubscribed { early: Option<Notify> },
    /// The first notify after a resumption: a pool greets with a clean job though older ones still count.
    Resumed { extranonces: Extranonces },
    /// The usual state. `next` replaces the extranonces from the next notify on.
    Subscribed { extranonces: Extranonces, next: Option<Extranonces> },
}

impl Connection {
    fn new() -> Self {
        Self { told: None, mask: VersionMask::NONE, stage: Stage::Unsubscribed { early: None } }
    }
}

impl Default for JobFeed {
    fn default() -> Self {
        Self {
            epoch: Epoch::default(),
            prev_hash: None,
            newest: None,
            names: VecDeque::new(),
            connection: Connection::new(),
        }
    }
}

impl JobFeed {
    /// The age class of the newest job; shares of lower ones are stale.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The difficulty of the next job.
    pub fn difficulty(&self) -> Difficulty {
        self.connection.told.unwrap_or(Difficulty::ONE)
    }

    /// The newest difficulty that the pool has told on this connection, if it has.
    pub fn told_difficulty(&self) -> Option<Difficulty> {
        self.connection.told
    }

    /// A new connection: nothing that the old one was told still holds.
    pub fn connected(&mut self) {
        self.connection = Connection::new();
    }

    /// The pool has told us our extranonces. True when they are those of the connection before, so that its jobs and
    /// shares live on. A notify that came early makes its job now.
    pub fn subscribed(
        &mut self,
        extranonce1: Extranonce1,
        size: Extranonce2Size,
    ) -> (bool, Option<Arc<Job>>) {
        let extranonces = (extranonce1, size);
        let resumed = self.newest.as_ref() == Some(&extranonces);
        self.newest = Some(extranonces.clone());
        if !resumed {
            self.epoch = Epoch { session: self.epoch.session + 1, tip: 0 };
            self.prev_hash = None;
            self.names.clear();
        }
        let stage = if resumed {
            Stage::Resumed { extranonces }
        } else {
            Stage::Subscribed { extranonces, next: None }
        };
        let early = match std::mem::replace(&mut self.connection.stage, stage) {
            Stage::Unsubscribed { early } => early,
            Stage::Resumed { .. } | Stage::Subscribed { .. } => None,
        };
        (resumed, early.and_then(|notify| self.notify(notify)))
    }

    /// The next connection goes elsewhere: it resumes nothing.
    pub fn forget(&mut self) {
        self.newest = None;
    }

    /// A checked difficulty; it counts from the next job on.
    pub fn set_difficulty(&mut self, difficulty: Difficulty) {
        self.connection.told = Some(difficulty);
    }

    /// Another mask, from the next job on.
    pub fn set_mask(&mut self, mask: VersionMask) {
        self.connection.mask = mask;
    }

    /// Other extranonces from the next notify on; a missing part stays as it is.
    pub fn set_extranonce(&mut self, extranonce1: Option<Extranonce1>, size: Option<Extranonce2Size>) {
        match &mut self.connection.stage {
            // What subscribe's answer brings is newer.
            Stage::Unsubscribed { .. } => {}
            Stage::Resumed { extranonces } => {
                let next =
                    Some((extranonce1.unwrap_or(extranonces.0.clone()), size.unwrap_or(extranonces.1)));
                self.connection.stage = Stage::Subscribed { extranonces: extranonces.clone(), next };
            }
            Stage::Subscribed { extranonces, next } => {
                let (current1, current_size) = next.as_ref().unwrap_or(extranonces).clone();
                *next = Some((extranonce1.unwrap_or(current1), size.unwrap_or(current_size)));
            }
        }
    }

    /// A job with all that is in force now; `None` while extranonce1 is unknown.
    pub fn notify(&mut self, notify: Notify) -> Option<Arc<Job>> {
        let changed = self.prev_hash.is_some_and(|known| known != notify.header.prev_hash);
        let clean = match &mut self.connection.stage {
            Stage::Unsubscribed { early } => {
                *early = Some(notify);
                return None;
            }
            Stage::Resumed { .. } => changed,
            Stage::Subscribed { extranonces, next } => {
                if let Some(next) = next.take() {
                    self.newest = Some(next.clone());
                    *extranonces = next;
                }
                notify.clean || changed
            }
        };
        if let Stage::Resumed { extranonces } = &self.connection.stage {
            self.connection.stage = Stage::Subscribed { extranonces: extranonces.clone(), next: None };
        }
        let Stage::Subscribed { extranonces, .. } = &self.connection.stage else {
            unreachable!("the other stages were left above");
        };
        let (extranonce1, extranonce2_size) = extranonces.clone();
        if clean {
            self.start_over();
        }
        self.prev_hash = Some(notify.header.prev_hash);
        let mut job = Job {
            id: notify.id,
            epoch: self.epoch,
            header: notify.header,
            coinbase: Coinbase {
                coinb1: notify.coinb1.into(),
                extranonce1,
                extranonce2_size,
                coinb2: notify.coinb2.into(),
            },
            branch: notify.branch.into(),
            version_mask: self.connection.mask,
            difficulty: self.connection.told.unwrap_or(Difficulty::ONE),
            network_target: Target::from_nbits(notify.header.nbits).ok(),
        };
        self.name(&mut job);
        Some(Arc::new(job))
    }

    /// What was built so far is void.
    fn start_over(&mut self) {
        self.epoch.tip += 1;
        self.names.clear();
    }

    /// Takes note of what a job's id means. Where it meant something else, older work is void: the pool would rebuild its
    /// shares from the new text, and refuse them.
    fn name(&mut self, job: &mut Job) {
        let meaning = (job.header.version, job.digest(0));
        if self.names.iter().any(|(id, known)| *id == job.id && *known != meaning) {
            self.start_over();
            job.epoch = self.epoch;
        }
        if self.names.len() == NAMES_KEPT {
            self.names.pop_front();
        }
        self.names.push_back((job.id.clone(), meaning));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::{JobHeader, JobId};

    fn notify(id: &str, tip: u8, clean: bool) -> Notify {
        Notify {
            id: JobId::Text(id.into()),
            header: JobHeader { version: 0x2000_0000, prev_hash: [tip; 32], ntime: 1, nbits: 0x1d00_ffff },
            coinb1: vec![1],
            coinb2: vec![2],
            branch: vec![],
            clean,
        }
    }

    fn extranonce(byte: u8) -> Extranonce1 {
        Extranonce1::new(vec![byte]).unwrap()
    }

    fn size(bytes: i64) -> Extranonce2Size {
        Extranonce2Size::new(bytes).unwrap()
    }

    fn subscribed() -> JobFeed {
        let mut feed = JobFeed::default();
        feed.connected();
        assert_eq!(feed.subscribed(extranonce(1), size(4)), (false, None));
        feed
    }

    #[test]
    fn a_job_freezes_what_was_in_force_when_its_notify_came() {
        let mut feed = subscribed();
        let first = feed.notify(notify("a", 1, true)).unwrap();
        feed.set_difficulty(Difficulty::new(8.0).unwrap());
        feed.set_mask(VersionMask::BIP320);
        feed.set_extranonce(Some(extranonce(2)), None);
        feed.set_extranonce(None, Some(size(3)));
        let second = feed.notify(notify("b", 1, false)).unwrap();
        assert_eq!((first.difficulty, first.version_mask), (Difficulty::ONE, VersionMask::NONE));
        assert_eq!((&first.coinbase.extranonce1, first.coinbase.extranonce2_size), (&extranonce(1), size(4)));
        assert_eq!((second.difficulty.value(), second.version_mask), (8.0, VersionMask::BIP320));
        assert_eq!(
            (&second.coinbase.extranonce1, second.coinbase.extranonce2_size),
            (&extranonce(2), size(3))
        );
        assert_eq!(first.epoch, second.epoch);
    }

    #[test]
    fn a_clean_job_or_another_parent_makes_older_work_stale() {
        let mut feed = subscribed();
        let mut tip = |tip, clean| feed.notify(notify("a", tip, clean)).unwrap().epoch.tip;
        let first = tip(1, false);
        assert_eq!(tip(1, false), first);
        assert_eq!(tip(2, false), first + 1, "another parent without the flag");
        assert_eq!(tip(2, true), first + 2, "the flag without another parent");
    }

    #[test]
    fn an_id_that_comes_to_mean_another_job_makes_older_work_stale_and_one_that_comes_again_does_not() {
        let mut feed = subscribed();
        let first = feed.notify(notify("a", 1, true)).unwrap().epoch;
        feed.set_difficulty(Difficulty::new(8.0).unwrap());
        let mut later = notify("a", 1, false);
        later.header.ntime += 30;
        assert_eq!(feed.notify(later).unwrap().epoch, first, "the same text with another time");
        assert_eq!(feed.notify(notify("b", 1, false)).unwrap().epoch, first);
        let other = Notify { coinb2: vec![3], ..notify("a", 1, false) };
        let second = feed.notify(other.clone()).unwrap().epoch;
        assert_eq!(second.tip, first.tip + 1, "another coinbase");
        assert_eq!(feed.notify(other.clone()).unwrap().epoch, second);
        feed.set_extranonce(Some(extranonce(2)), None);
        assert!(feed.notify(other).unwrap().epoch > second, "another extranonce1");
    }

    #[test]
    fn a_notify_before_the_answer_to_subscribe_waits_for_it() {
        let mut feed = JobFeed::default();
        feed.connected();
        feed.set_difficulty(Difficulty::new(2.0).unwrap());
        assert_eq!(feed.notify(notify("a", 1, true)), None);
        assert_eq!(feed.notify(notify("b", 1, true)), None);
        let (_, job) = feed.subscribed(extranonce(1), size(4));
        let job = job.unwrap();
        assert_eq!((job.id.to_string().as_str(), job.difficulty.value()), ("b", 2.0));
    }

    #[test]
    fn the_same_extranonces_again_resume_and_the_greeting_voids_nothing_on_the_same_parent() {
        let mut feed = subscribed();
        let before = feed.notify(notify("a", 1, true)).unwrap().epoch;
        feed.connected();
        assert!(feed.subscribed(extranonce(1), size(4)).0);
        assert_eq!(feed.notify(notify("b", 1, true)).unwrap().epoch, before);
        assert!(feed.notify(notify("c", 1, true)).unwrap().epoch > before, "the second clean job is meant");
        feed.connected();
        assert!(feed.subscribed(extranonce(1), size(4)).0);
        assert_eq!(feed.notify(notify("d", 2, true)).unwrap().epoch.session, before.session);
        feed.set_extranonce(Some(extranonce(9)), None);
        feed.notify(notify("e", 2, false));
        feed.connected();
        assert!(!feed.subscribed(extranonce(1), size(4)).0, "the newest job was built on others");
        feed.connected();
        feed.forget();
        assert!(!feed.subscribed(extranonce(1), size(4)).0, "another host");
        feed.connected();
        assert!(!feed.subscribed(extranonce(7), size(4)).0);
        assert!(feed.epoch() > before && feed.epoch().session > before.session);
    }
}
