//! The shares of a session: what is sent, what waits, and how each comes to its end.

use std::time::Instant;

use super::{Event, MAX_REJECTS, Session};
use crate::protocol::lessons::ConfigureHabit;
use crate::protocol::session_error::SessionError;
use crate::protocol::session_link::{Phase, Rolling};
use crate::protocol::stratum_message::Response;
use crate::protocol::stratum_request::{MAX_SENT, Request};
use crate::protocol::unanswered::Pending;
use crate::work::{Answered, Difficulty, LostReason, Outcome, Reject, RejectKind, Share};

impl Session {
    /// Hands in a share; its end comes as [`Event::Answered`], whatever happens.
    pub fn submit(&mut self, share: Box<Share>, now: Instant) {
        let (epoch, newest) = (share.job().epoch, self.feed.epoch());
        if epoch.session != newest.session {
            self.end(share, Outcome::Lost(LostReason::ConnectionEnded));
        } else if epoch < newest && !share.solves_block() && !share.is_tolerated() {
            self.end(share, Outcome::Stale);
        } else {
            let pending = Pending {
                share,
                found_at: now,
                sent_at: now,
                resent: false,
                convention: self.version.convention(),
            };
            if self.can_send() && !self.understands(&pending.share) {
                self.end(pending.share, Outcome::Lost(LostReason::ConnectionEnded));
            } else if self.can_send() {
                self.send(pending, now);
            } else if let Some(oldest) = self.unanswered.wait(pending) {
                self.end(oldest.share, Outcome::Lost(LostReason::TooMany));
            }
        }
    }

    /// Whether every share has come to its end.
    pub fn is_settled(&self) -> bool {
        self.unanswered.is_empty()
    }

    /// Ends every share that is still on its way; for the end of the program.
    pub fn give_up(&mut self) {
        for pending in self.unanswered.take_all() {
            self.end(pending.share, Outcome::Lost(LostReason::Stopped));
        }
    }

    /// Errors: it was one refusal too many.
    pub(super) fn handle_verdict(
        &mut self,
        pending: Pending,
        response: &Response,
        now: Instant,
    ) -> Result<(), SessionError> {
        let verdict = response.accepted();
        self.learn_from(&pending, verdict.as_ref());
        let left = self.count_rejects(&pending, verdict.as_ref());
        let outcome = match verdict {
            Ok(()) => Outcome::Accepted,
            Err(reject) if pending.resent && reject.kind == RejectKind::Duplicate => {
                Outcome::Lost(LostReason::VerdictLost)
            }
            Err(reject) => Outcome::Rejected(reject),
        };
        let latency = Some(now.duration_since(pending.sent_at));
        self.events.push_back(Event::Answered(Answered { share: pending.share, outcome, latency }));
        left
    }

    /// Refusals in a row that speak of how things are. What was overtaken on its way by a job, a difficulty or a lesson
    /// is no more than late.
    fn count_rejects(
        &mut self,
        pending: &Pending,
        verdict: Result<&(), &Reject>,
    ) -> Result<(), SessionError> {
        let Err(reject) = verdict else {
            self.link.rejects_in_a_row = 0;
            return Ok(());
        };
        let job = pending.share.job();
        let tells_apart = job.version_mask.tells_conventions_apart(job.header.version);
        let was_overtaken = match reject.kind {
            RejectKind::Stale => job.epoch < self.feed.epoch(),
            _ if reject.may_mean_low_difficulty() => {
                self.misses_newest(&pending.share)
                    || tells_apart && pending.convention != self.version.convention()
            }
            _ => pending.resent,
        };
        if !was_overtaken {
            self.link.rejects_in_a_row += 1;
        }
        if self.link.rejects_in_a_row < MAX_REJECTS {
            Ok(())
        } else {
            Err(SessionError::Rejecting(reject.clone()))
        }
    }

    /// What a verdict tells of the pool's ways.
    fn learn_from(&mut self, pending: &Pending, verdict: Result<&(), &Reject>) {
        if verdict.is_ok() && self.link.rolling == Rolling::Asked {
            self.learnt.configure = ConfigureHabit::Silent;
        }
        let job = pending.share.job();
        let is_low = verdict.is_err_and(Reject::may_mean_low_difficulty);
        // A hash that misses the newest difficulty is refused for that, whatever its version.
        let lesson = if is_low && self.misses_newest(&pending.share) {
            self.timing.learn_at_once()
        } else if (is_low || verdict.is_ok()) && job.version_mask.tells_conventions_apart(job.header.version)
        {
            self.version.learn(pending.convention, verdict.is_ok())
        } else {
            None
        };
        self.events.extend(lesson.map(Event::Learnt));
    }

    /// Whether the pool has asked for more since the share's job came. What solves a block is good enough for any.
    fn misses_newest(&self, share: &Share) -> bool {
        let misses = |told: Difficulty| !told.target().is_met_by(share.hash());
        !share.solves_block() && self.feed.told_difficulty().is_some_and(misses)
    }

    /// Shares flow when the worker is authorised and the pool's newest job shows what still counts.
    pub(super) fn can_send(&self) -> bool {
        matches!(self.link.phase, Phase::Mining { .. }) && self.link.difficulty.is_some()
    }

    /// Whether this connection would rebuild the share's header: one that has not agreed to roll knows no version bits.
    fn understands(&self, share: &Share) -> bool {
        !share.has_version_bits() || self.link.rolling == Rolling::Agreed
    }

    /// Sends what waits for a connection, now that the pool's newest job shows what still counts.
    pub(super) fn send_waiting(&mut self, now: Instant) {
        if !self.can_send() {
            return;
        }
        for pending in self.unanswered.take_waiting() {
            let is_current = pending.share.job().epoch == self.feed.epoch() || pending.share.solves_block();
            if !is_current {
                self.end(pending.share, Outcome::Lost(LostReason::Replaced));
            } else if !self.understands(&pending.share) {
                self.end(pending.share, Outcome::Lost(LostReason::ConnectionEnded));
            } else {
                self.send(pending, now);
            }
        }
    }

    fn send(&mut self, pending: Pending, now: Instant) {
        if self.timing.is_at_once() && self.misses_newest(&pending.share) {
            self.end(pending.share, Outcome::Withheld);
            return;
        }
        let id = self.link.request_id();
        let (user, convention) = (self.config.credentials.user.clone(), self.version.convention());
        let line = Request::Submit(user, pending.share.clone(), convention).line(id);
        if line.len() > MAX_SENT {
            self.end(pending.share, Outcome::Lost(LostReason::LineTooLong));
            return;
        }
        self.link.out.push_back(line);
        if let Some(oldest) = self.unanswered.sent(id, Pending { sent_at: now, convention, ..pending }) {
            self.end(oldest.share, Outcome::Lost(LostReason::TooMany));
        }
    }

    pub(super) fn end(&mut self, share: Box<Share>, outcome: Outcome) {
        self.events.push_back(Event::Answered(Answered { share, outcome, latency: None }));
    }
}
