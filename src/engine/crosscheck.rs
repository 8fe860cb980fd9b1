//! What upstreams say of the chain, held against each other: a pool that is behind, alone on a block, or on a difficulty
//! that cannot be right shows by the others.
//!
//! One other upstream may be the liar itself, so it only raises a flag; two that agree convict. A previous hash that
//! carries the work of its block is real whoever names it. Two live branches are worth the same until one wins
//! (a block of ours ends the tie), so a fork alone convicts nobody. A node of our own has checked every block itself: its
//! word counts like that of two, and nobody's word counts against it.
//!
//! Of the staged checks (`validate`) it carries on what only time and the others tell, each as far as the level includes the check:
//! 3000, a time far off; 4000, nbits; 8000, a parent that others do not come to know; 9000, a step back; 14000, a tip that stays
//! behind, or another chain. That nobody floods us with clean jobs is no check of theirs and always held against a pool.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::UpstreamId;
use crate::validate::Level;
use crate::validate::context::{Chain, LastJob, NodeView, OtherJob, is_as_hard_as_main};
use crate::work::coinbase::height;
use crate::work::{Job, Target};

/// Nodes hear of a block within seconds of each other: more than 30 s apart in 0.3 % of blocks.
const GRACE: Duration = Duration::from_secs(30);
/// Parents remembered: more than pools differ by while their chains are the same.
const PARENTS: usize = 16;
/// Further apart than the blocks between two retargets, two upstreams are on different chains.
const PERIOD: u32 = 2016;
/// What the network lets a header's time differ from its own by, into the future; the same into the past is no use.
const TIME_WINDOW: u64 = 2 * 3600;
/// Most that a retarget changes the difficulty by.
const MOST_RETARGET: f64 = 4.0;
/// No block of the past reaches so many times the present difficulty: all work ever done is less than that.
const MOST_LUCK: f64 = 1e6;
/// nbits that testnet3 and testnet4 fall back to 20 minutes after a block, so that two of a height can be right.
const LEAST_DIFFICULTY: u32 = 0x1d00_ffff;
/// Clean jobs on one parent within [`CLEAN_WINDOW`] that nobody needs to send: each makes chips start over.
const CLEAN_JOBS: usize = 6;
const CLEAN_WINDOW: Duration = Duration::from_secs(60);

/// What is held against an upstream, the worst of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Fine,
    /// Something is strange: told, and mined on.
    Flag(String),
    /// Something is wrong: mined for only when there is nobody better.
    Suspect(String),
    /// It cannot be right: not mined for.
    Quarantine(String),
}

#[derive(Debug, Clone, Copy)]
struct Tip {
    prev_hash: [u8; 32],
    /// Of the block that would be found.
    height: Option<u32>,
    nbits: u32,
    ntime: u32,
    /// When the upstream named this parent first.
    since: Instant,
    /// How much the upstream's word counts: [`ENOUGH`] convict.
    votes: usize,
}

/// Votes that convict.
const ENOUGH: usize = 2;

#[derive(Debug, Default)]
struct Watched {
    is_live: bool,
    vouches: bool,
    tip: Option<Tip>,
    /// Since when no other upstream has been on its parent, whatever it named meanwhile.
    apart_since: Option<Instant>,
    /// The last nbits that could be right, with their height.
    trusted_bits: Option<(u32, Option<u32>)>,
    /// What its last job has against itself, whatever the others say.
    own: Option<Verdict>,
    clean_jobs: VecDeque<Instant>,
}

/// The tips of all upstreams.
#[derive(Debug)]
pub struct CrossCheck {
    frozen_after: Duration,
    level: Level,
    watched: Vec<Watched>,
    /// The parents that upstreams have named, each as it was first.
    parents: VecDeque<Tip>,
}

impl CrossCheck {
    /// For upstreams of which those marked vouch for the chain; the others may stay behind another for `frozen_after`. What is a
    /// check above the level is held against nobody.
    pub fn new(vouching: &[bool], frozen_after: Duration, level: Level) -> Self {
        let watched =
            vouching.iter().map(|vouches| Watched { vouches: *vouches, ..Watched::default() }).collect();
        Self { frozen_after, level, watched, parents: VecDeque::new() }
    }

    /// An upstream has sent a job; `is_clean` when it makes older work stale; `unix` is the time of day in seconds.
    pub fn saw(&mut self, upstream: UpstreamId, job: &Job, is_clean: bool, now: Instant, unix: u64) {
        let tip = Tip {
            prev_hash: job.header.prev_hash,
            height: height(&job.coinbase.coinb1),
            nbits: job.header.nbits,
            ntime: job.header.ntime,
            since: now,
            votes: if self.watched[upstream.0].vouches { ENOUGH } else { 1 },
        };
        let has_support = self
            .others(upstream)
            .any(|(_, other, height)| other.nbits == tip.nbits && Some(height) == tip.height);
        let watched = &mut self.watched[upstream.0];
        if has_support {
            watched.trusted_bits = Some((tip.nbits, tip.height));
        }
        let is_new = watched.tip.is_none_or(|known| known.prev_hash != tip.prev_hash);
        let since = watched.tip.filter(|_| !is_new).map_or(now, |known| known.since);
        let before = watched.tip.replace(Tip { since, ..tip });
        watched.is_live = true;
        if is_new {
            watched.clean_jobs.clear();
        } else if is_clean {
            watched.clean_jobs.push_back(now);
            watched.clean_jobs.retain(|at| now.duration_since(*at) < CLEAN_WINDOW);
            watched.clean_jobs.truncate(2 * CLEAN_JOBS);
        }
        watched.own = watched.against_itself(&tip, before, unix, self.level);
        if tip.height.is_some() && !self.parents.iter().any(|parent| parent.prev_hash == tip.prev_hash) {
            if self.parents.len() == PARENTS {
                // What somebody builds on stays, however many names another one calls.
                let is_built_on = |parent: &Tip| {
                    let mut tips =
                        self.watched.iter().filter(|watched| watched.is_live).filter_map(|w| w.tip);
                    tips.any(|tip| tip.prev_hash == parent.prev_hash)
                };
                let oldest = self.parents.iter().position(|parent| !is_built_on(parent)).unwrap_or(0);
                self.parents.remove(oldest);
            }
            self.parents.push_back(tip);
        }
        self.note_who_is_apart(now);
    }

    fn note_who_is_apart(&mut self, now: Instant) {
        for index in 0..self.watched.len() {
            let Some(tip) = self.watched[index].tip.filter(|_| self.watched[index].is_live) else { continue };
            let others: Vec<_> = self.others(UpstreamId(index)).collect();
            let is_apart =
                !others.is_empty() && others.iter().all(|(_, other, _)| other.prev_hash != tip.prev_hash);
            let since = self.watched[index].apart_since.unwrap_or(now);
            self.watched[index].apart_since = is_apart.then_some(since);
        }
    }

    /// An upstream is gone: what it said no longer counts.
    pub fn lost(&mut self, upstream: UpstreamId) {
        let watched = &mut self.watched[upstream.0];
        (watched.is_live, watched.apart_since) = (false, None);
    }

    /// What a job of this upstream is to be held against. Left out are jobs that wait, clocks, and for how long its parent has been
    /// unknown to others: the rules for that are here.
    pub fn chain(&self, upstream: UpstreamId) -> Chain {
        let tips = || {
            let all = self.watched.iter().enumerate();
            all.filter(|(index, watched)| *index != upstream.0 && watched.is_live)
                .filter_map(|(_, watched)| Some((watched.vouches, watched.tip?)))
        };
        let other = |tip: Tip| OtherJob {
            prev_hash: tip.prev_hash,
            height: tip.height,
            nbits: tip.nbits,
            ntime: tip.ntime,
        };
        let node = |tip: Tip| {
            Some(NodeView {
                prev_hash: tip.prev_hash,
                height: tip.height?,
                nbits: tip.nbits,
                mintime: None,
                coinbasevalue: None,
                parent_is_invalid: false,
            })
        };
        let before = self.watched[upstream.0].tip;
        Chain {
            network: None,
            node: tips().find(|(vouches, _)| *vouches).and_then(|(_, tip)| node(tip)),
            others: tips().filter(|(vouches, _)| !vouches).map(|(_, tip)| other(tip)).collect(),
            clocks: Vec::new(),
            waiting: Vec::new(),
            before: before.map(|tip| LastJob { height: tip.height, nbits: tip.nbits }),
            parent_alone: None,
        }
    }

    /// What is held against an upstream now.
    pub fn judge(&self, upstream: UpstreamId, now: Instant) -> Verdict {
        let watched = &self.watched[upstream.0];
        let Some(tip) = watched.tip.filter(|_| watched.is_live) else { return Verdict::Fine };
        let by_others = tip.height.map(|height| self.against_others(upstream, &tip, height, now));
        let own = watched.own.clone();
        let verdict = by_others.into_iter().chain(own).max_by_key(Verdict::weight).unwrap_or(Verdict::Fine);
        match verdict {
            Verdict::Suspect(text) | Verdict::Quarantine(text) if watched.vouches => Verdict::Flag(text),
            verdict => verdict,
        }
    }

    /// The next time after `now` at which a verdict may change without a word from anybody.
    pub fn next_change(&self, now: Instant) -> Option<Instant> {
        let since = |watched: &Watched| [watched.apart_since, watched.tip.map(|tip| tip.since)];
        let graces = self.watched.iter().flat_map(since).flatten().map(|since| since + GRACE);
        let seen = self.parents.iter().map(|parent| parent.since);
        let parents = seen.clone().map(|seen| seen + GRACE);
        graces.chain(parents).chain(seen.map(|seen| seen + self.frozen_after)).filter(|at| *at > now).min()
    }

    fn against_others(&self, upstream: UpstreamId, tip: &Tip, height: u32, now: Instant) -> Verdict {
        let others: Vec<_> = self.others(upstream).collect();
        let near: Vec<_> =
            others.iter().copied().filter(|(_, _, other)| other.abs_diff(height) <= PERIOD).collect();
        if let [(id, _, other), ..] = others[..]
            && near.is_empty()
            && self.level.includes(14_000)
        {
            let agree = votes(others.iter().filter(|(.., known)| known.abs_diff(other) <= PERIOD));
            let text = format!(
                "it builds block {height} and {} block {other}: another chain",
                name(id, &others[0].1)
            );
            return if agree >= ENOUGH { Verdict::Quarantine(text) } else { Verdict::Flag(text) };
        }
        let apart_since = self.watched[upstream.0].apart_since;
        let charges = [
            (8_000, apart_since.and_then(|since| alone(tip, height, &near, since, now))),
            (14_000, self.behind(tip, height, &near, now)),
            (4_000, wrong_bits(tip, height, &near)),
        ];
        let charges = charges.into_iter().filter_map(|(check, charge)| included(self.level, check, charge));
        charges.max_by_key(Verdict::weight).unwrap_or(Verdict::Fine)
    }

    fn others(&self, upstream: UpstreamId) -> impl Iterator<Item = (UpstreamId, Tip, u32)> + use<'_> {
        let all = self.watched.iter().enumerate();
        all.filter(move |(index, watched)| *index != upstream.0 && watched.is_live).filter_map(
            |(index, watched)| {
                let tip = watched.tip?;
                Some((UpstreamId(index), tip, tip.height?))
            },
        )
    }

    /// Another upstream has been on a later block for so long that this one will not follow.
    fn behind(
        &self,
        tip: &Tip,
        height: u32,
        others: &[(UpstreamId, Tip, u32)],
        now: Instant,
    ) -> Option<Verdict> {
        // A single one may have made its block up, or the nbits that it takes no work to meet.
        let is_as_hard = |other: &Tip| difficulty(other.nbits) * MOST_RETARGET >= difficulty(tip.nbits);
        let is_agreed = |parent: &Tip| {
            votes(others.iter().filter(|(_, other, _)| other.prev_hash == parent.prev_hash)) >= ENOUGH
        };
        let is_real =
            |parent: &Tip| !has_work(tip) || has_work(parent) && is_as_hard(parent) || is_agreed(parent);
        let ahead = others.iter().filter(|(_, other, ahead)| *ahead > height && is_real(other));
        // One against two: its block may be an old one under a height of its own.
        let is_outvoted = votes(ahead.clone()) < ENOUGH
            && others.iter().any(|(_, other, _)| other.prev_hash == tip.prev_hash);
        let (id, leader, ahead) = ahead.clone().max_by_key(|(.., other)| *other)?;
        let later = self.parents.iter().filter(|parent| {
            parent.height.is_some_and(|known| known > height && known <= *ahead) && is_real(parent)
        });
        let since = later.map(|parent| parent.since).min()?;
        (now >= since + self.frozen_after).then(|| {
            let seconds = self.frozen_after.as_secs();
            let text = format!(
                "its tip is frozen: it builds block {height}, {} block {ahead} for {seconds} s",
                name(*id, leader)
            );
            if is_outvoted { Verdict::Flag(text) } else { Verdict::Suspect(text) }
        })
    }
}

/// What belongs to a check, if that runs.
fn included(level: Level, check: u16, charge: Option<Verdict>) -> Option<Verdict> {
    charge.filter(|_| level.includes(check))
}

/// nbits are a function of the chain: at one height there is one value.
fn wrong_bits(tip: &Tip, height: u32, others: &[(UpstreamId, Tip, u32)]) -> Option<Verdict> {
    // On test chains the time of a block, and the branch at the last change, have a say too.
    let is_excused = |other: &Tip| {
        are_of_test_chains([tip, other])
            && ([tip.nbits, other.nbits].contains(&LEAST_DIFFICULTY) || tip.prev_hash != other.prev_hash)
    };
    let same_height = || {
        let at_height = others.iter().filter(|(.., other)| *other == height);
        at_height.filter(|(_, other, _)| other.nbits == tip.nbits || !is_excused(other))
    };
    let (id, other, _) = same_height().find(|(_, other, _)| other.nbits != tip.nbits)?;
    let supporters = votes(same_height().filter(|(_, known, _)| known.nbits == other.nbits));
    let has_support = same_height().any(|(_, known, _)| known.nbits == tip.nbits);
    let text = format!(
        "its network difficulty (nbits {:08x}) at block {height} is not that of {} ({:08x})",
        tip.nbits,
        who(*id, other, supporters),
        other.nbits
    );
    match (supporters >= ENOUGH, has_support) {
        (true, false) => Some(Verdict::Quarantine(text)),
        (false, true) => None, // the other one stands alone
        _ => Some(Verdict::Flag(text)),
    }
}

/// Nobody else knows its parent, and there was time to hear of it.
fn alone(
    tip: &Tip,
    height: u32,
    others: &[(UpstreamId, Tip, u32)],
    apart_since: Instant,
    now: Instant,
) -> Option<Verdict> {
    let not_ahead: Vec<_> = others.iter().filter(|(.., other)| *other <= height).collect();
    let is_known = others.iter().any(|(_, other, _)| other.prev_hash == tip.prev_hash);
    if is_known || now < apart_since + GRACE {
        return None;
    }
    // The others must have had their parent for as long, or they may be the ones who are early.
    let (id, other, _) =
        not_ahead.iter().find(|(_, other, height_)| *height_ < height || now >= other.since + GRACE)?;
    let supporters =
        votes(not_ahead.iter().copied().filter(|(_, known, _)| known.prev_hash == other.prev_hash));
    let parent = height.saturating_sub(1);
    let mut text = format!("alone on its block {parent}, {} for 30 s", not_on(*id, other, supporters));
    if has_work(tip) && !not_ahead.iter().any(|(_, other, _)| is_far_below(tip, other)) {
        text.push_str("; the block has its work, so it is another branch or a block withheld");
        return Some(Verdict::Flag(text));
    }
    // After a block of the easiest target the next one has the real target again, which its parent need not meet.
    if are_of_test_chains(others.iter().map(|(_, other, _)| other).chain([tip])) {
        text.push_str(", where blocks may have less work than the one on them");
        return Some(Verdict::Flag(text));
    }
    text.push_str(", and the block's hash lacks the work");
    Some(if supporters >= ENOUGH { Verdict::Quarantine(text) } else { Verdict::Suspect(text) })
}

/// Whether none of them has nbits as hard as those of the main chain.
fn are_of_test_chains<'a>(tips: impl IntoIterator<Item = &'a Tip>) -> bool {
    tips.into_iter().all(|tip| !is_as_hard_as_main(tip.nbits))
}

/// Whether the parent's hash meets the target of its time, which a retarget may have changed since.
fn has_work(tip: &Tip) -> bool {
    reached(tip) * MOST_RETARGET >= difficulty(tip.nbits)
}

/// The same of a previous hash with the nbits of the job that names it.
pub(super) fn parent_has_work(prev_hash: &[u8; 32], nbits: u32) -> bool {
    Target::from_le_bytes(*prev_hash).difficulty().value() * MOST_RETARGET >= difficulty(nbits)
}

/// Whether the parent's hash is far from the difficulty of another upstream whose own parent has the work: then easy
/// nbits are no excuse for it.
fn is_far_below(tip: &Tip, other: &Tip) -> bool {
    has_work(other) && reached(tip) * MOST_LUCK < difficulty(other.nbits)
}

fn reached(tip: &Tip) -> f64 {
    Target::from_le_bytes(tip.prev_hash).difficulty().value()
}

/// Infinite for nbits that stand for no target.
fn difficulty(nbits: u32) -> f64 {
    Target::from_nbits(nbits).map_or(f64::INFINITY, |target| target.difficulty().value())
}

/// How much the word of these counts together.
fn votes<'a>(of: impl Iterator<Item = &'a (UpstreamId, Tip, u32)>) -> usize {
    of.map(|(_, tip, _)| tip.votes).sum()
}

fn name(id: UpstreamId, tip: &Tip) -> String {
    if tip.votes >= ENOUGH { "our own node".to_owned() } else { format!("pool {}", id.0) }
}

fn who(id: UpstreamId, tip: &Tip, supporters: usize) -> String {
    let is_one = supporters < ENOUGH || tip.votes >= ENOUGH;
    if is_one { name(id, tip) } else { format!("{supporters} other pools") }
}

fn not_on(id: UpstreamId, tip: &Tip, supporters: usize) -> String {
    let is_one = supporters < ENOUGH || tip.votes >= ENOUGH;
    if is_one { format!("which {} lacks", name(id, tip)) } else { format!("which {supporters} others lack") }
}

impl Watched {
    /// What a job has against itself and what its upstream said before.
    fn against_itself(&mut self, tip: &Tip, before: Option<Tip>, unix: u64, level: Level) -> Option<Verdict> {
        let bits = self.changed_bits(tip);
        let back = || {
            let (known, height) = (before?.height?, tip.height?);
            (height < known)
                .then(|| Verdict::Flag(format!("it went back from block {known} to block {height}")))
        };
        let time = || {
            let ntime = u64::from(tip.ntime);
            let off = unix.abs_diff(ntime);
            let side = if ntime > unix { "ahead of" } else { "behind" };
            (off > TIME_WINDOW).then(|| {
                Verdict::Flag(format!("its job's time is {} minutes {side} this machine's clock", off / 60))
            })
        };
        let floods = || {
            (self.clean_jobs.len() > CLEAN_JOBS).then(|| {
                Verdict::Flag(format!("more than {CLEAN_JOBS} clean jobs a minute on one and the same block"))
            })
        };
        let charges = [(4_000, bits), (9_000, back()), (3_000, time()), (0, floods())];
        charges.into_iter().find_map(|(check, charge)| included(level, check, charge))
    }

    fn changed_bits(&mut self, tip: &Tip) -> Option<Verdict> {
        let difficulty = |nbits| Target::from_nbits(nbits).map(|target| target.difficulty().value()).ok();
        let Some((known, at)) = self.trusted_bits.filter(|(known, _)| *known != tip.nbits) else {
            self.trusted_bits = Some((tip.nbits, tip.height));
            return None;
        };
        let Some(is) = difficulty(tip.nbits) else {
            return Some(Verdict::Suspect(format!("nbits {:08x} stand for no target", tip.nbits)));
        };
        let was = difficulty(known).unwrap_or(is);
        // Test chains have rules of their own.
        if !is_as_hard_as_main(known) && !is_as_hard_as_main(tip.nbits) {
            self.trusted_bits = Some((tip.nbits, tip.height));
            return None;
        }
        let text = format!("nbits {known:08x} to {:08x}", tip.nbits);
        if is * MOST_RETARGET < was {
            // The old ones stay the measure.
            return Some(Verdict::Suspect(format!("{text}: easier by more than a retarget can be")));
        }
        self.trusted_bits = Some((tip.nbits, tip.height));
        let same_period = at.zip(tip.height).is_some_and(|(at, height)| at / PERIOD == height / PERIOD);
        same_period.then(|| Verdict::Flag(format!("{text} between two retargets")))
    }
}

impl Verdict {
    /// The word for it that programs match on.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Fine => "trusted",
            Self::Flag(_) => "flagged",
            Self::Suspect(_) => "suspect",
            Self::Quarantine(_) => "quarantined",
        }
    }

    /// What is held against the upstream.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Fine => None,
            Self::Flag(reason) | Self::Suspect(reason) | Self::Quarantine(reason) => Some(reason),
        }
    }

    fn weight(&self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Flag(_) => 1,
            Self::Suspect(_) => 2,
            Self::Quarantine(_) => 3,
        }
    }
}

#[cfg(test)]
mod tests;
