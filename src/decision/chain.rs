//! What is known of the last blocks, and whether a job on one of them can earn.
//!
//! Our node knows; an upstream testifies. A block that only one upstream names is normal while it is fresh: nodes hear of
//! every fifth block two seconds apart or more. It looks the same when it was withheld, invalid or made up, and is
//! treated the same: followed at once, left when a grace ends.

use std::time::{Duration, Instant};

use super::input::{ParentHash, UpstreamId};
use super::output::Worthless;
use super::settings::Graces;

/// Blocks that are remembered, beside those that somebody builds on now.
const REMEMBERED: usize = 16;

/// A chance below it is none.
const LEAST_CHANCE: f64 = 0.05;

/// A block that jobs build on.
#[derive(Debug, Clone, PartialEq)]
struct Parent {
    hash: ParentHash,
    /// Who names it, and the height that each gives it.
    sources: Vec<(UpstreamId, Option<u32>)>,
    /// The height that our node gives it, when it is or was its tip.
    node_height: Option<u32>,
    /// What the height should be, from the tip before it.
    expected: Option<u32>,
    /// What it is, by all these words.
    height: Option<u32>,
    seen: Seen,
    /// The block before it, as far as somebody went from there to here.
    previous: Option<ParentHash>,
    trust: Trust,
    /// Since when nobody who gives work builds on it, nor the node.
    left: Option<Instant>,
}

/// When a block was first named, and since when the node or a second upstream names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    first: Instant,
    known: Option<Instant>,
}

/// What else speaks for a block or against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    Plain,
    /// Its hash carries its work.
    Proven,
    /// Our node calls it invalid.
    Refused,
}

/// An upstream says that it builds on a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Testimony {
    pub(super) upstream: UpstreamId,
    pub(super) parent: ParentHash,
    /// Of the parent itself.
    pub(super) height: Option<u32>,
    pub(super) proven: bool,
    /// It is our own node.
    pub(super) vouches: bool,
    /// What it built on before.
    pub(super) previous: Option<ParentHash>,
}

/// An upstream that gives work, and what it builds on.
pub(super) type Builder = (UpstreamId, ParentHash);

/// How the tip stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainView {
    /// Since it was first heard of.
    pub tip_age: Duration,
    /// Upstreams that build on it.
    pub tip_sources: usize,
    /// Upstreams that build on anything.
    pub sources: usize,
    /// Blocks of its height that somebody builds on.
    pub sides: usize,
}

/// The last blocks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chain {
    graces: Graces,
    parents: Vec<Parent>,
    /// By upstream: the last block that it alone named stayed unknown through its grace. The next one does not put others
    /// behind the tip, until one of its blocks becomes known.
    doubted: Vec<bool>,
}

impl Parent {
    /// The node's word, else what most sources say; when that is even, what fits the tip before best.
    fn likely_height(&self) -> Option<u32> {
        if self.node_height.is_some() {
            return self.node_height;
        }
        let named = |height: u32| self.sources.iter().filter(|(_, other)| *other == Some(height)).count();
        let misfit = |height: u32| self.expected.map_or(0, |expected| height.abs_diff(expected));
        let heights = self.sources.iter().filter_map(|(_, height)| *height);
        heights.min_by_key(|height| (std::cmp::Reverse(named(*height)), misfit(*height), *height))
    }

    fn is_known(&self) -> bool {
        self.node_height.is_some() || self.sources.len() > 1
    }
}

impl Chain {
    pub(super) fn new(upstreams: usize, graces: Graces) -> Self {
        Self { graces, parents: Vec::new(), doubted: vec![false; upstreams] }
    }

    /// Takes an upstream's word. Returns whether nobody had named the block before, and the time since the first word of
    /// it when this upstream had not.
    pub(super) fn testify(&mut self, word: Testimony, now: Instant) -> (bool, Option<Duration>) {
        let (at, is_new) = self.find_or_add(word.parent, now);
        let is_next = word.previous.and_then(|previous| self.find(&previous)).is_some_and(|previous| {
            let heights = previous.height.zip(word.height);
            heights.is_some_and(|(before, height)| before.checked_add(1) == Some(height))
        });
        let parent = &mut self.parents[at];
        let is_first = !parent.sources.iter().any(|(source, _)| *source == word.upstream);
        if is_first {
            parent.sources.push((word.upstream, word.height));
        }
        if word.vouches && word.height.is_some() {
            parent.node_height = word.height;
        }
        if is_next && parent.previous.is_none() {
            parent.previous = word.previous;
        }
        if word.proven && parent.trust == Trust::Plain {
            parent.trust = Trust::Proven;
        }
        let lag = is_first.then(|| now.saturating_duration_since(parent.seen.first));
        self.settle(at, now);
        (is_new, lag)
    }

    /// Our node's tip. Returns whether nobody had named it before.
    pub(super) fn node_tip(&mut self, hash: ParentHash, height: u32, now: Instant) -> bool {
        let (at, is_new) = self.find_or_add(hash, now);
        // A node that went back no longer speaks for what it left.
        for parent in self.parents.iter_mut().filter(|parent| parent.node_height > Some(height)) {
            parent.node_height = None;
        }
        self.parents[at].node_height = Some(height);
        self.settle(at, now);
        is_new
    }

    /// Our node is gone: what it said of old stays known, and of new blocks it can say nothing.
    pub(super) fn lose_node(&mut self) {
        self.parents.iter_mut().for_each(|parent| parent.node_height = None);
    }

    /// Our node calls the block invalid.
    pub(super) fn refuse(&mut self, hash: ParentHash, now: Instant) {
        let (at, _) = self.find_or_add(hash, now);
        self.parents[at].trust = Trust::Refused;
        self.parents[at].node_height = None;
    }

    /// Time passes: forgets old blocks that nobody builds on, and doubts who alone builds on one for too long.
    pub(super) fn advance(&mut self, builders: &[Builder], now: Instant) {
        let is_built_on = |parent: &Parent| builders.iter().any(|(_, hash)| *hash == parent.hash);
        let node_tip = self.node_height();
        while self.parents.len() > REMEMBERED {
            let is_idle = |parent: &Parent| {
                !is_built_on(parent) && (parent.node_height.is_none() || parent.node_height < node_tip)
            };
            let Some(at) = self.parents.iter().position(is_idle) else { break };
            self.parents.remove(at);
        }
        // While nobody gives work at all, nobody has left anything.
        for parent in self.parents.iter_mut().filter(|_| !builders.is_empty()) {
            let is_held =
                parent.node_height.is_some() || builders.iter().any(|(_, hash)| *hash == parent.hash);
            parent.left = if is_held { None } else { parent.left.or(Some(now)) };
        }
        for parent in &self.parents {
            if let [(source, _)] = parent.sources[..]
                && !parent.is_known()
                && now >= parent.seen.first + self.graces.alone
                && builders.iter().any(|(upstream, hash)| *upstream != source && *hash != parent.hash)
                && builders.contains(&(source, parent.hash))
            {
                self.doubted[source.0] = true;
            }
        }
    }

    /// The height of a block.
    pub(super) fn height(&self, hash: &ParentHash) -> Option<u32> {
        self.find(hash)?.height
    }

    /// How many upstreams have named a block.
    pub(super) fn sources(&self, hash: &ParentHash) -> usize {
        self.find(hash).map_or(0, |parent| parent.sources.len())
    }

    /// What follows from all of it at one moment.
    pub(super) fn survey<'a>(&'a self, builders: &'a [Builder], now: Instant) -> Survey<'a> {
        let can_be_tip = |parent: &&Parent| self.can_be_tip(parent, now);
        let tip = self.parents.iter().filter(can_be_tip).filter_map(|parent| parent.height).max();
        let rivals = builders.iter().filter_map(|(upstream, hash)| {
            let parent = self.find(hash)?;
            Some(Rival { upstream: *upstream, parent })
        });
        Survey { chain: self, tip, node: self.node_height(), builders, rivals: rivals.collect(), now }
    }

    /// How the tip stands among those who build now.
    pub(super) fn view(&self, builders: &[Builder], now: Instant) -> ChainView {
        let tip = self.survey(builders, now).tip;
        let at_tip = |parent: &&Parent| tip.is_some() && parent.height == tip;
        let on = |parent: &Parent| builders.iter().filter(|(_, hash)| *hash == parent.hash).count();
        let first = self.parents.iter().filter(at_tip).map(|parent| parent.seen.first).min();
        ChainView {
            tip_age: first.map_or(Duration::ZERO, |first| now.saturating_duration_since(first)),
            tip_sources: self.parents.iter().filter(at_tip).map(on).sum(),
            sources: builders.len(),
            sides: self.parents.iter().filter(at_tip).filter(|parent| on(parent) > 0).count(),
        }
    }

    fn can_be_tip(&self, parent: &Parent, now: Instant) -> bool {
        // One that all have left, for a lower one where it is the highest, is none they could be behind.
        let is_left = parent.left.is_some_and(|left| now >= left + self.graces.alone);
        match (parent.trust, &parent.sources[..]) {
            (Trust::Refused, _) => false,
            _ if is_left => false,
            _ if parent.is_known() => true,
            (Trust::Proven, [(source, _)]) => {
                let is_next = parent.expected.is_none_or(|expected| parent.height <= Some(expected));
                is_next && !self.doubted[source.0] && now < parent.seen.first + self.graces.alone
            }
            _ => false,
        }
    }

    fn node_height(&self) -> Option<u32> {
        self.parents.iter().filter_map(|parent| parent.node_height).max()
    }

    fn find(&self, hash: &ParentHash) -> Option<&Parent> {
        self.parents.iter().rev().find(|parent| parent.hash == *hash)
    }

    fn find_or_add(&mut self, hash: ParentHash, now: Instant) -> (usize, bool) {
        if let Some(at) = self.parents.iter().position(|parent| parent.hash == hash) {
            return (at, false);
        }
        let tip = self.survey(&[], now).tip;
        self.parents.push(Parent {
            hash,
            sources: Vec::new(),
            node_height: None,
            expected: tip.and_then(|tip| tip.checked_add(1)),
            height: None,
            seen: Seen { first: now, known: None },
            previous: None,
            trust: Trust::Plain,
            left: None,
        });
        (self.parents.len() - 1, true)
    }

    /// Takes note of what follows from a new word on a block.
    fn settle(&mut self, at: usize, now: Instant) {
        let parent = &mut self.parents[at];
        parent.height = parent.likely_height();
        if parent.is_known() {
            parent.seen.known.get_or_insert(now);
            parent.sources.iter().for_each(|(source, _)| self.doubted[source.0] = false);
        }
    }
}

/// Another upstream that gives work.
#[derive(Debug, Clone, Copy)]
struct Rival<'a> {
    upstream: UpstreamId,
    parent: &'a Parent,
}

/// The chain at one moment.
#[derive(Debug)]
pub(super) struct Survey<'a> {
    chain: &'a Chain,
    /// Height of the newest block that is believed.
    pub(super) tip: Option<u32>,
    node: Option<u32>,
    builders: &'a [Builder],
    rivals: Vec<Rival<'a>>,
    now: Instant,
}

/// Whether a job on a block can earn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Judgement {
    /// `V`: the chance of it.
    pub(super) v: f64,
    /// Why there is none.
    pub(super) why: Option<Worthless>,
    /// The block is merely old: the first word of the one after it came then.
    pub(super) late_since: Option<Instant>,
    /// Blocks behind the tip.
    pub(super) behind: u32,
    /// When this may change without a word from anybody.
    pub(super) changes_at: Option<Instant>,
}

impl Judgement {
    fn good(changes_at: Option<Instant>) -> Self {
        Self { v: 1.0, why: None, late_since: None, behind: 0, changes_at }
    }

    fn none(why: Worthless) -> Self {
        Self { v: 0.0, why: Some(why), late_since: None, behind: 0, changes_at: None }
    }
}

impl Survey<'_> {
    /// Of a job on `hash` from `upstream`. Pay per share is not `held_to_tip`: it lasts for a while behind it.
    pub(super) fn judge(&self, upstream: UpstreamId, hash: &ParentHash, held_to_tip: bool) -> Judgement {
        let Some(parent) = self.chain.find(hash) else { return Judgement::good(None) };
        if parent.trust == Trust::Refused {
            return Judgement::none(Worthless::ParentRefused);
        }
        let doubtful_until = self.doubtful_until(upstream, parent);
        if doubtful_until.is_some_and(|until| self.now >= until) {
            return Judgement::none(Worthless::ParentUnknown);
        }
        let judged = match (parent.height, self.tip) {
            (Some(height), Some(tip)) if height < tip => self.behind(parent, height, tip, held_to_tip),
            _ => Judgement::good(None),
        };
        let changes_at = [judged.changes_at, doubtful_until, self.tip_falls_at(judged.behind)];
        Judgement { changes_at: changes_at.into_iter().flatten().min(), ..judged }
    }

    /// Part of the upstreams with a job that build on the same block.
    pub(super) fn agreement(&self, hash: &ParentHash) -> f64 {
        let same = self.builders.iter().filter(|(_, other)| other == hash).count();
        same as f64 / self.builders.len().max(1) as f64
    }

    fn behind(&self, parent: &Parent, height: u32, tip: u32, held_to_tip: bool) -> Judgement {
        let behind = tip - height;
        let newer = |other: &&Parent| other.height > Some(height) && self.chain.can_be_tip(other, self.now);
        let since = self.chain.parents.iter().filter(newer).map(|other| other.seen.first).min();
        let since = since.unwrap_or(self.now);
        let worthless = Judgement { behind, ..Judgement::none(Worthless::Behind(behind)) };
        if !held_to_tip {
            let until = since + self.chain.graces.pps_behind;
            let is_over = self.now >= until;
            return if is_over { worthless } else { Judgement { behind, ..Judgement::good(Some(until)) } };
        }
        if self.is_before_tip(parent, height, tip) {
            return Judgement { late_since: Some(since), ..worthless };
        }
        let v = chance_to_win(self.weight(parent), behind);
        if v == 0.0 { worthless } else { Judgement { v, behind, ..Judgement::good(None) } }
    }

    /// When a block that only this upstream names loses its grace; `None` for a known one, and while there is nobody who
    /// could know it.
    fn doubtful_until(&self, upstream: UpstreamId, parent: &Parent) -> Option<Instant> {
        if parent.is_known() {
            return None;
        }
        self.rivalled_until(upstream, parent).or_else(|| {
            // Who is on a lost branch itself neither confirms nor denies anything.
            let counts = |rival: &&Rival<'_>| {
                let lost = self.rivalled_until(rival.upstream, rival.parent);
                rival.upstream != upstream && lost.is_none_or(|until| self.now < until)
            };
            let others = || self.rivals.iter().filter(counts);
            let all_lower = others().all(|rival| rival.parent.height < parent.height);
            let somebody = others().next().is_some() || self.node.is_some();
            (all_lower && somebody).then(|| parent.seen.first + self.chain.graces.alone)
        })
    }

    /// The same while somebody else has come to a known block as high, whatever it builds on since: what has lost its grace
    /// gets none again when the others go on.
    fn rivalled_until(&self, upstream: UpstreamId, parent: &Parent) -> Option<Instant> {
        if parent.is_known() {
            return None;
        }
        let rivals = || {
            let others = self.rivals.iter().filter(|rival| rival.upstream != upstream);
            others.filter(|rival| rival.parent.height >= parent.height)
        };
        let known_since = |other: &Parent| {
            let is_named =
                |rival: &Rival<'_>| other.sources.iter().any(|(source, _)| *source == rival.upstream);
            let is_rival = other.hash != parent.hash && other.height >= parent.height;
            other.seen.known.filter(|_| is_rival && other.is_known() && rivals().any(is_named))
        };
        let known = self.chain.parents.iter().filter_map(known_since).min()?;
        Some(known.max(parent.seen.first) + self.chain.graces.rivalled)
    }

    /// When a block that only one upstream names stops being the tip, for who is behind it.
    fn tip_falls_at(&self, behind: u32) -> Option<Instant> {
        let tips = self.chain.parents.iter().filter(|parent| parent.height == self.tip);
        let ends = tips.filter_map(|parent| {
            let alone = (!parent.is_known()).then_some(parent.seen.first);
            Some(alone.into_iter().chain(parent.left).min()? + self.chain.graces.alone)
        });
        ends.filter(|end| behind > 0 && *end > self.now).min()
    }

    /// Whether the tip builds on the block, as far as anybody knows: false only when every tip is known to build on another
    /// of the same height.
    fn is_before_tip(&self, parent: &Parent, height: u32, tip: u32) -> bool {
        let is_tip = |other: &&Parent| other.height == Some(tip) && self.chain.can_be_tip(other, self.now);
        self.chain.parents.iter().filter(is_tip).any(|mut at| {
            // Heights fall with every step, or else the step is none.
            while at.height > Some(height) {
                let before = at.previous.as_ref().and_then(|hash| self.chain.find(hash));
                match before.filter(|before| before.height < at.height) {
                    Some(before) => at = before,
                    None => return true,
                }
            }
            at.hash == parent.hash
        })
    }

    /// `q`: weight of those who build on the block among all; never above a half without the node.
    fn weight(&self, parent: &Parent) -> f64 {
        let is_nodes = parent.node_height.is_some() && parent.node_height == self.node;
        let same = self.builders.iter().filter(|(_, hash)| *hash == parent.hash).count();
        let all = self.builders.len() + usize::from(self.node.is_some());
        let weight = (same + usize::from(is_nodes)) as f64 / all.max(1) as f64;
        if is_nodes { weight } else { weight.min(0.5) }
    }
}

/// Chance that a branch with the part `q` of the hash rate that is `behind` blocks behind wins: min(1, q / (1 - q))^behind,
/// 0 where that is below 0.05. Source: the gambler's ruin.
pub fn chance_to_win(q: f64, behind: u32) -> f64 {
    if behind == 0 {
        return 1.0;
    }
    let q = if q.is_finite() { q.clamp(0.0, 1.0) } else { 0.0 };
    let step = if q >= 0.5 { 1.0 } else { q / (1.0 - q) };
    let chance = step.powi(behind.min(1000) as i32);
    if chance < LEAST_CHANCE { 0.0 } else { chance }
}

#[cfg(test)]
mod tests;
