//! The requests that no pool needs to know: sent last, and not again where they make the pool hang up.

use std::time::{Duration, Instant};

use super::{Event, Session};
use crate::protocol::habits::Lesson;
use crate::protocol::lessons::OptionalRequest;
use crate::protocol::session_config::Suggestion;
use crate::protocol::session_link::{Asked, Watched};
use crate::protocol::stratum_message::Response;
use crate::protocol::stratum_request::Request;
use crate::work::{Difficulty, HashRate};

/// A pool that hangs up within this time of a request, without having answered it, may have done so because of it.
const WATCHED: Duration = Duration::from_secs(5);
/// Times in a row after which it is taken to be so for what the operator wants sent. It may have been a restart, and some
/// pools serve badly without: NiceHash, which then reconnects at each change of order.
const STRIKES: u32 = 2;

impl Session {
    /// The hash rate that is meant for this pool has changed.
    pub fn handle_rate(&mut self, rate: HashRate, now: Instant) {
        self.wish.set_rate(rate);
        self.suggest_by_rate(now);
    }

    /// The worker has just been authorised.
    pub(super) fn ask_optional(&mut self, now: Instant) {
        if self.config.extranonce_subscribe {
            self.ask_if_heeded(OptionalRequest::ExtranonceSubscribe, &Request::ExtranonceSubscribe, now);
        }
        if let Suggestion::Fixed(difficulty) = self.config.suggest_difficulty {
            let request = Request::SuggestDifficulty(difficulty);
            self.ask_if_heeded(OptionalRequest::SuggestDifficulty, &request, now);
        }
    }

    fn ask_if_heeded(&mut self, which: OptionalRequest, request: &Request, now: Instant) {
        let sent = !self.learnt.hangs_up_on.contains(&which);
        if sent {
            self.link.ask(Asked::Optional(which), request);
        }
        self.link.watched.push(Watched { request: which, sent, until: now + WATCHED });
    }

    /// Where difficulties are suggested by the hash rate: looks whether the pool's should be another.
    pub(super) fn suggest_by_rate(&mut self, now: Instant) {
        let wish = self.wishing().and_then(|told| self.wish.look(told, now));
        if let Some(wish) = wish {
            self.link
                .ask(Asked::Optional(OptionalRequest::SuggestDifficulty), &Request::SuggestDifficulty(wish));
            let watched =
                Watched { request: OptionalRequest::SuggestDifficulty, sent: true, until: now + WATCHED };
            self.link.watched.push(watched);
        }
    }

    /// The pool's difficulty, where another may be wished for.
    fn wishing(&self) -> Option<Difficulty> {
        let may_ask = self.config.suggest_difficulty == Suggestion::Auto
            && !self.learnt.hangs_up_on.contains(&OptionalRequest::SuggestDifficulty);
        (may_ask && self.can_send()).then(|| self.feed.difficulty())
    }

    /// When something here is due.
    pub(super) fn optional_due(&self) -> Option<Instant> {
        let watched = self.link.watched.iter().map(|watched| watched.until);
        watched.chain(self.wishing().and_then(|_| self.wish.due())).min()
    }

    /// What the pool has outlived is not what it hangs up on.
    pub(super) fn outlive_optional(&mut self, now: Instant) {
        for watched in self.link.watched.extract_if(.., |watched| now >= watched.until) {
            self.strikes.remove(&watched.request);
        }
    }

    pub(super) fn handle_optional_answer(&mut self, request: OptionalRequest, response: &Response) {
        self.link.watched.retain(|watched| watched.request != request);
        self.strikes.remove(&request);
        // Yes in whatever form, null included; anything else is a no.
        if request == OptionalRequest::SuggestDifficulty && response.authorized().is_err() {
            self.wish.give_up();
        }
    }

    /// The pool hung up: what it had just been asked may be why, and what it had not been asked is not.
    pub(super) fn blame_optional(&mut self) {
        for Watched { request, sent, .. } in std::mem::take(&mut self.link.watched) {
            if !sent {
                self.learnt.hangs_up_on.remove(&request);
                continue;
            }
            let of_our_own = request == OptionalRequest::SuggestDifficulty
                && self.config.suggest_difficulty == Suggestion::Auto;
            let strikes = self.strikes.entry(request).or_default();
            *strikes += 1;
            if of_our_own || *strikes >= STRIKES {
                self.strikes.remove(&request);
                self.learnt.hangs_up_on.insert(request);
                self.events.push_back(Event::Learnt(Lesson::HangsUpOn(request)));
            }
        }
    }
}
