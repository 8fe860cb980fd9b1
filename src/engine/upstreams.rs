//! The upstreams as the engine knows them: their jobs, how they stand, and what is held against them.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::account::Account;
use super::crosscheck::{CrossCheck, Verdict};
use super::dispatch::Source;
use super::gate::{Quarantine, origin};
use super::policy::{Policy, Strategy, UpstreamTerms};
use super::{BoardId, UpstreamId};
use crate::decision::{Reason, Repute};
use crate::validate::context::Chain;
use crate::validate::{self, Finding};
use crate::work::{BlockHash, Epoch, Extranonce2Allocator, Job};

/// Least time between two words on the same upstream that say no more than the last one: a text may hold a figure that
/// moves.
const REPEAT: Duration = Duration::from_secs(600);

/// How long an upstream whose job was dropped stays away: long enough for its task to see that it shall.
const RECONNECT_AFTER: Duration = Duration::from_secs(1);

/// How long the silence about one share is held against an upstream. Most shares come to their end before, but one that
/// solves a block waits without a limit.
const HELD_AGAINST: Duration = Duration::from_secs(600);

/// A share that was handed over and whose end has not come.
#[derive(Debug)]
struct Sent {
    hash: BlockHash,
    board: BoardId,
    at: Instant,
}

/// How an upstream stands at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It gives work and is above suspicion; `settled` when it has never failed, or not for a while.
    Good { settled: bool },
    /// It gives work, and something is wrong with it.
    Suspect,
    /// It gives none.
    Out,
}

/// One upstream.
#[derive(Debug)]
pub(super) struct Upstream {
    terms: UpstreamTerms,
    /// The job that is hashed, kept for a while after the connection is lost.
    pub(super) source: Option<Source>,
    /// A newer one that waits to be taken up.
    waiting: Option<Source>,
    /// Shares of jobs from there on are sent although a newer job calls them void: boards finish the work they have.
    tolerated: Option<Epoch>,
    /// Hands out its extranonces.
    pub(super) extranonces: Extranonce2Allocator,
    /// What it has done for us.
    pub(super) account: Account,
    /// What is held against it.
    pub(super) verdict: Verdict,
    /// When that was last told.
    told_at: Option<Instant>,
    lost_at: Option<Instant>,
    /// The last reason of a loss.
    failure: Option<String>,
    /// It gave no work the last time it was asked to.
    is_failing: bool,
    has_failed: bool,
    good_since: Option<Instant>,
    sent: Vec<Sent>,
    is_wanted: bool,
    /// Too many of its jobs failed their checks.
    barred: Option<Quarantine>,
    /// Until when it is not wanted, so that it connects anew.
    rests_until: Option<Instant>,
}

/// All of them, in the operator's order.
#[derive(Debug)]
pub(super) struct Upstreams {
    all: Vec<Upstream>,
    policy: Policy,
    check: CrossCheck,
}

impl Upstream {
    fn new(terms: UpstreamTerms) -> Self {
        Self {
            terms,
            source: None,
            waiting: None,
            tolerated: None,
            extranonces: Extranonce2Allocator::default(),
            account: Account::default(),
            verdict: Verdict::Fine,
            told_at: None,
            lost_at: None,
            failure: None,
            is_failing: false,
            has_failed: false,
            good_since: None,
            sent: Vec::new(),
            is_wanted: false,
            barred: None,
            rests_until: None,
        }
    }

    /// Takes up the job that waits. Unless boards drop what they have for it, the old one is worked to its end.
    pub(super) fn promote(&mut self, flush: bool) {
        let Some(next) = self.waiting.take() else { return };
        let before = self.source.replace(next).map(|source| source.job.epoch);
        self.tolerated = if flush { None } else { self.tolerated.or(before) };
    }

    /// Whether a share of a job of this epoch comes too late.
    pub(super) fn is_stale(&self, epoch: Epoch) -> bool {
        self.is_void(epoch) && !self.tolerates(epoch)
    }

    /// Whether a share of a void job of this epoch is sent all the same.
    pub(super) fn tolerates(&self, epoch: Epoch) -> bool {
        self.is_void(epoch) && self.tolerated.is_some_and(|oldest| epoch >= oldest)
    }

    fn is_void(&self, epoch: Epoch) -> bool {
        self.source.as_ref().is_some_and(|source| epoch < source.job.epoch)
    }

    /// What the decider has to know of it beyond what it sees.
    pub(super) fn repute(&self, policy: &Policy, now: Instant) -> Repute {
        match self.verdict {
            Verdict::Suspect(_) => Repute::Suspect,
            _ if self.settles_at(policy).is_some_and(|at| now < at) => Repute::Recovering,
            _ => Repute::Good,
        }
    }

    /// Whether it gives work.
    pub(super) fn is_live(&self) -> bool {
        self.source.is_some() && self.lost_at.is_none()
    }

    /// Whether all work of its newest job has been handed out.
    pub(super) fn is_used_up(&self) -> bool {
        self.waiting.is_none() && self.source.as_ref().is_some_and(Source::is_used_up)
    }

    /// Which pool it is a connection to, where several are to one.
    pub(super) fn pool(&self) -> Option<u32> {
        self.terms.pool
    }

    /// The newest job that it gives.
    pub(super) fn newest_job(&self) -> Option<&Arc<Job>> {
        let newest = self.waiting.as_ref().or(self.source.as_ref());
        newest.filter(|_| self.is_live()).map(|source| &source.job)
    }

    /// The quarantine that it is in for jobs that failed their checks.
    pub(super) fn barred(&self, now: Instant) -> Option<&Quarantine> {
        self.barred.as_ref().filter(|barred| now < barred.until)
    }

    /// Whether what it says of the time counts: not out of quarantine, unless that is for just this.
    pub(super) fn may_tell_time(&self, now: Instant) -> bool {
        match self.barred(now) {
            Some(barred) => barred.is_for_time,
            None => !matches!(self.verdict, Verdict::Quarantine(_)),
        }
    }

    /// Its time was right: a quarantine for that ends. Returns whether there was one.
    pub(super) fn pardon_time(&mut self) -> bool {
        self.barred.take_if(|barred| barred.is_for_time).is_some()
    }

    /// Whether it knows the chain first-hand.
    pub(super) fn vouches(&self) -> bool {
        self.terms.vouches
    }

    /// What the checks found of its job, while it gives work.
    pub(super) fn running(&self) -> Option<&validate::Verdict> {
        self.source.as_ref().filter(|_| self.is_live()).map(|source| &source.verdict)
    }

    fn settles_at(&self, policy: &Policy) -> Option<Instant> {
        self.good_since.filter(|_| self.has_failed).map(|since| since + policy.return_after)
    }

    fn standing(&self, policy: &Policy, now: Instant) -> Standing {
        match (&self.source, self.lost_at, &self.verdict) {
            (None, ..) | (.., Verdict::Quarantine(_)) | (_, Some(_), _) => Standing::Out,
            (.., Verdict::Suspect(_)) => Standing::Suspect,
            (.., Verdict::Fine | Verdict::Flag(_)) => {
                Standing::Good { settled: self.settles_at(policy).is_none_or(|at| now >= at) }
            }
        }
    }

    /// When its shares without an answer make it suspect, and when no longer. It has no blame for the time it was out of
    /// reach.
    fn slow_times(&self, policy: &Policy) -> impl Iterator<Item = Range<Instant>> {
        let connected_at = self.account.connected_at();
        let due = |(sent, connected_at): (&Sent, Instant)| sent.at.max(connected_at) + policy.slow_answer;
        let all = self.sent.iter().filter_map(move |sent| Some((sent, connected_at?)));
        all.map(due).map(|due| due..due + HELD_AGAINST)
    }

    /// Why it gives no work although it should.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.as_deref().filter(|_| self.is_failing)
    }

    /// Why it is not hashed for.
    fn complaint(&self) -> Option<&str> {
        match &self.verdict {
            Verdict::Suspect(text) | Verdict::Quarantine(text) => Some(text),
            Verdict::Fine | Verdict::Flag(_) if self.is_live() => None,
            Verdict::Fine | Verdict::Flag(_) => {
                Some(self.failure.as_deref().unwrap_or("the connection is lost"))
            }
        }
    }

    fn blame(&mut self) {
        self.has_failed = true;
        self.good_since = None;
    }
}

impl Upstreams {
    /// None of which is wanted yet.
    pub(super) fn new(terms: &[UpstreamTerms], policy: Policy) -> Self {
        let all = terms.iter().copied().map(Upstream::new).collect();
        let vouching: Vec<_> = terms.iter().map(|terms| terms.vouches).collect();
        Self { all, policy, check: CrossCheck::new(&vouching, policy.frozen_tip, policy.validation) }
    }

    /// One of them.
    pub(super) fn find(&self, id: UpstreamId) -> &Upstream {
        &self.all[id.0]
    }

    /// One of them, to work with.
    pub(super) fn find_mut(&mut self, id: UpstreamId) -> &mut Upstream {
        &mut self.all[id.0]
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Upstream> {
        self.all.iter()
    }

    /// A job came; true when it makes older work stale.
    pub(super) fn take_job(
        &mut self,
        id: UpstreamId,
        job: &Arc<Job>,
        verdict: validate::Verdict,
        arrived: Instant,
        now: Instant,
        unix: u64,
    ) -> bool {
        let upstream = &mut self.all[id.0];
        let newest = upstream.waiting.as_ref().or(upstream.source.as_ref());
        let is_clean = newest.is_none_or(|source| source.job.epoch < job.epoch);
        if !upstream.is_live() {
            upstream.good_since = Some(now);
        }
        (upstream.lost_at, upstream.is_failing) = (None, false);
        let source = Source::new(Arc::clone(job), arrived, verdict, origin(id, job));
        if upstream.source.is_some() {
            upstream.waiting = Some(source);
        } else {
            upstream.source = Some(source);
        }
        upstream.account.job(arrived);
        self.check.saw(id, job, is_clean, now, unix);
        is_clean
    }

    /// A job of it must not be mined, maybe one too many. If it gives no work otherwise, others are asked.
    pub(super) fn refuse(
        &mut self,
        id: UpstreamId,
        finding: &Finding,
        to_blame: bool,
        quarantine: Option<Quarantine>,
    ) {
        let upstream = &mut self.all[id.0];
        if !upstream.is_live() {
            (upstream.failure, upstream.is_failing) = (Some(format!("its job is refused: {finding}")), true);
            if to_blame {
                upstream.blame();
            }
        }
        upstream.barred = quarantine.or(upstream.barred.take());
    }

    /// What it has given cannot be trusted any more: its job is dropped, and its connection made anew.
    pub(super) fn drop_job(&mut self, id: UpstreamId, reason: String, now: Instant) {
        self.lose(id, Some(reason), now);
        let upstream = &mut self.all[id.0];
        (upstream.source, upstream.waiting, upstream.lost_at) = (None, None, None);
        upstream.rests_until = Some(now + RECONNECT_AFTER);
    }

    /// What its next job is to be held against.
    pub(super) fn chain(&self, id: UpstreamId) -> Chain {
        self.check.chain(id)
    }

    /// Its connection is no more. With a `reason` it has failed; without one it follows a redirect or was left by us, or
    /// the failure is known.
    pub(super) fn lose(&mut self, id: UpstreamId, reason: Option<String>, now: Instant) {
        let upstream = &mut self.all[id.0];
        upstream.account.disconnected(now);
        self.check.lost(id);
        if !upstream.is_wanted {
            (upstream.source, upstream.waiting) = (None, None); // it left because we wished so
            return;
        }
        match reason {
            Some(reason) => {
                (upstream.failure, upstream.is_failing) = (Some(reason), true);
                upstream.blame();
            }
            None if upstream.is_live() => upstream.failure = None,
            None => {}
        }
        if upstream.source.is_some() && upstream.lost_at.is_none() {
            upstream.lost_at = Some(now);
        }
    }

    /// A share was handed over.
    pub(super) fn sent(&mut self, id: UpstreamId, hash: BlockHash, board: BoardId, now: Instant) {
        self.all[id.0].sent.push(Sent { hash, board, at: now });
    }

    /// A share has come to its end. Returns whose it was.
    pub(super) fn ended(&mut self, id: UpstreamId, hash: &BlockHash) -> Option<BoardId> {
        let sent = &mut self.all[id.0].sent;
        let at = sent.iter().position(|sent| sent.hash == *hash)?;
        Some(sent.remove(at).board)
    }

    /// Judges all of them anew. Returns what is worth telling.
    pub(super) fn review(&mut self, now: Instant) -> Vec<(UpstreamId, Verdict)> {
        let mut news = Vec::new();
        for index in 0..self.all.len() {
            let id = UpstreamId(index);
            let verdict = self.judge(id, now);
            let upstream = &mut self.all[index];
            let is_known = std::mem::discriminant(&verdict) == std::mem::discriminant(&upstream.verdict);
            let was_at_fault = matches!(upstream.verdict, Verdict::Suspect(_) | Verdict::Quarantine(_));
            match verdict {
                Verdict::Suspect(_) | Verdict::Quarantine(_) => upstream.blame(),
                Verdict::Fine | Verdict::Flag(_) if was_at_fault => {
                    upstream.good_since = upstream.is_live().then_some(now);
                }
                Verdict::Fine | Verdict::Flag(_) => {}
            }
            let is_old = upstream.told_at.is_none_or(|at| now.duration_since(at) >= REPEAT);
            // An upstream that is gone has its loss told; that the charge goes with it is no news. One that never gave work is in
            // quarantine all the same.
            let is_there = upstream.is_live() || matches!(verdict, Verdict::Quarantine(_));
            let is_news = if is_known { verdict != upstream.verdict && is_old } else { is_there };
            if is_news {
                upstream.told_at = Some(now);
                news.push((id, verdict.clone()));
            }
            upstream.verdict = verdict;
        }
        news
    }

    fn judge(&self, id: UpstreamId, now: Instant) -> Verdict {
        let upstream = &self.all[id.0];
        if let Some(barred) = upstream.barred(now) {
            return Verdict::Quarantine(barred.reason.clone());
        }
        let by_tip = self.check.judge(id, now);
        match by_tip {
            Verdict::Suspect(_) | Verdict::Quarantine(_) => by_tip,
            _ if upstream.is_used_up() => Verdict::Suspect("all work of its job has been done".to_owned()),
            _ if upstream.slow_times(&self.policy).any(|times| times.contains(&now)) => {
                let seconds = self.policy.slow_answer.as_secs_f64();
                Verdict::Suspect(format!("no answer to a share for {seconds} s"))
            }
            _ => by_tip,
        }
    }

    /// What the decider has to know of one beyond what it sees.
    pub(super) fn repute(&self, id: UpstreamId, now: Instant) -> Repute {
        self.all[id.0].repute(&self.policy, now)
    }

    /// When the first of these was lost, if all of them are.
    pub(super) fn all_lost_at(&self, ids: &[UpstreamId]) -> Option<Instant> {
        ids.iter().map(|id| self.all[id.0].lost_at).collect::<Option<Vec<_>>>()?.into_iter().min()
    }

    /// Why hashing goes from one to the other, where the decider says this.
    pub(super) fn reason(
        &self,
        from: Option<UpstreamId>,
        to: Option<UpstreamId>,
        cause: Option<Reason>,
    ) -> String {
        let at_fault = from.and_then(|from| Some((from, self.find(from).complaint()?)));
        match (at_fault, from, to, cause) {
            (Some((from, complaint)), ..) => format!("pool {}: {complaint}", from.0),
            (None, Some(from), _, Some(Reason::Left(why))) => format!("pool {}: {why}", from.0),
            (None, Some(from), _, Some(Reason::RejectsJumped(_))) => {
                format!("pool {}: its rejects have jumped", from.0)
            }
            (None, Some(_), Some(to), Some(Reason::Better { gain, .. })) => {
                format!("pool {} is worth {:.3} % more", to.0, gain * 100.0)
            }
            (None, Some(_), Some(to), Some(Reason::Advised(_))) => format!("advice prefers pool {}", to.0),
            (None, Some(_), Some(to), Some(Reason::Healthy(_))) => {
                let seconds = self.policy.return_after.as_secs_f64();
                format!("pool {} has been healthy for {seconds} s", to.0)
            }
            (None, Some(_), Some(to), Some(Reason::Preferred(_))) => format!("pool {} is preferred", to.0),
            (None, Some(_), Some(to), _) => format!("it is the turn of pool {}", to.0),
            (None, None, Some(to), _) => format!("pool {} gives work", to.0),
            (None, _, None, _) => "no pool gives work".to_owned(),
        }
    }

    /// The next time at which standings or verdicts may change by themselves.
    pub(super) fn next_change(&self, now: Instant) -> Option<Instant> {
        let each = self.all.iter().flat_map(|upstream| {
            let slow = upstream.slow_times(&self.policy).flat_map(|times| [times.start, times.end]);
            let barred = upstream.barred.as_ref().map(|barred| barred.until);
            let others = [upstream.settles_at(&self.policy), barred, upstream.rests_until];
            others.into_iter().flatten().chain(slow)
        });
        each.filter(|at| *at > now).chain(self.check.next_change(now)).min()
    }

    /// Whom to keep connected: as many as are needed to have enough that work, as the decider finds, the best first, and who vouches for the
    /// chain. Returns the changes.
    pub(super) fn update_wanted(&mut self, works: &[bool], now: Instant) -> Vec<(UpstreamId, bool)> {
        let mut missing = match self.policy.strategy {
            Strategy::Failover => 1 + self.policy.hot_standbys,
            _ => usize::MAX,
        };
        let mut changes = Vec::new();
        for (index, upstream) in self.all.iter_mut().enumerate() {
            let rests = upstream.rests_until.is_some_and(|until| now < until);
            let is_wanted = !rests && (missing > 0 || upstream.terms.vouches);
            let counts = match upstream.standing(&self.policy, now) {
                Standing::Good { settled } => settled && works[index],
                Standing::Suspect => false,
                // Until it fails it is expected to work.
                Standing::Out => {
                    !upstream.is_failing && matches!(upstream.verdict, Verdict::Fine | Verdict::Flag(_))
                }
            };
            missing = missing.saturating_sub(usize::from(is_wanted && counts));
            if is_wanted != upstream.is_wanted {
                upstream.is_wanted = is_wanted;
                upstream.is_failing = false;
                changes.push((UpstreamId(index), is_wanted));
            }
        }
        changes
    }

    /// Their extranonce2 counters begin there.
    pub(super) fn count_extranonces_from(&mut self, start: u128) {
        for upstream in &mut self.all {
            upstream.extranonces = Extranonce2Allocator::starting_at(start);
        }
    }

    /// Nobody gives work any more.
    pub(super) fn stop(&mut self) {
        for upstream in &mut self.all {
            (upstream.source, upstream.waiting) = (None, None);
        }
    }
}
