//! The Stratum V1 client as a state machine over all connections to one pool: lines and time in, lines and events out.
//!
//! Order on a connection: configure and subscribe together, authorize when subscribe is answered, then the optional
//! requests. Work is taken in any state, since some pools send it before they answer anything; shares wait until the
//! worker is authorised.

mod optional;
mod shares;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::difficulty_wish::DifficultyWish;
use super::habits::{Lesson, TimingHabit, VersionHabit, is_ckpool, is_public_pool};
use super::job_feed::JobFeed;
use super::lessons::{ConfigureHabit, Lessons, OptionalRequest, SessionId};
use super::payout_watch::{PayoutWatch, Remark};
use super::redirect::{Destination, RedirectPolicy};
use super::remarks::{Remarks, Verdict};
use super::session_config::{Credentials, SessionConfig};
use super::session_error::SessionError;
use super::session_link::{Asked, Link, Phase, Rolling};
use super::stratum_message::{Call, Message, Response};
use super::stratum_request::{Request, answer};
use super::text::printable;
use super::unanswered::Unanswered;
use crate::work::{Answered, Difficulty, Job, LostReason, Outcome, VersionConvention, VersionMask};

/// Wrong lines in a row after which the peer is no pool.
pub const MAX_BAD_LINES: u32 = 10;
/// Refused shares in a row after which a connection is left. Source: ckpool cuts who goes on for three minutes, goPool
/// bans for forty in five.
pub const MAX_REJECTS: u32 = 10;
/// Longest text that is passed on, in characters.
const MAX_TEXT: usize = 300;

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// Work to hash.
    Job(Arc<Job>),
    /// The worker is authorised: shares flow.
    Authorized,
    /// The next job is of another difficulty than the one before.
    Difficulty(Difficulty),
    /// A share has come to its end.
    Answered(Answered),
    /// The pool has a text for the operator; printable.
    Message(String),
    /// Whom the pool pays, where that is watched; printable.
    Payout(String),
    /// The pool did something wrong or strange; printable. The session goes on.
    Complaint(String),
    /// The pool's ways are others than we thought.
    Learnt(Lesson),
    /// Leave this connection and connect there after the wait.
    Redirect(Destination, Duration),
}

/// The client.
pub struct Session {
    config: SessionConfig,
    redirect: RedirectPolicy,
    learnt: Lessons,
    version: VersionHabit,
    timing: TimingHabit,
    wish: DifficultyWish,
    /// How often in a row the pool hung up on a request.
    strikes: BTreeMap<OptionalRequest, u32>,
    feed: JobFeed,
    unanswered: Unanswered,
    payout: PayoutWatch,
    link: Link,
    messages: Remarks,
    complaints: Remarks,
    events: VecDeque<Event>,
}

impl Session {
    /// A session that has not been connected yet.
    pub fn new(config: SessionConfig, redirect: RedirectPolicy) -> Self {
        Self {
            payout: PayoutWatch::new(&config.payout, &config.credentials.user),
            config,
            redirect,
            learnt: Lessons::default(),
            version: VersionHabit::default(),
            timing: TimingHabit::default(),
            wish: DifficultyWish::default(),
            strikes: BTreeMap::new(),
            feed: JobFeed::default(),
            unanswered: Unanswered::default(),
            link: Link::new(Phase::Offline),
            messages: Remarks::default(),
            complaints: Remarks::default(),
            events: VecDeque::new(),
        }
    }

    /// A connection stands: say hello.
    pub fn handle_connected(&mut self, now: Instant) {
        self.feed.connected();
        self.wish.connected();
        self.payout.connected();
        self.link = Link::new(Phase::Subscribing { give_up_at: now + self.config.deadlines.handshake });
        if self.config.version_rolling && self.learnt.configure.is_asked() {
            self.link.rolling = Rolling::Asked;
            self.link.ask(Asked::Configure, &Request::Configure(VersionMask::BIP320));
        }
        let user_agent = (!self.learnt.plain_subscribe).then(|| self.config.user_agent.clone());
        let known = self.learnt.session.as_ref().map(|session| session.id.clone());
        let session_id = known.filter(|_| user_agent.is_some());
        self.link.ask(Asked::Subscribe, &Request::Subscribe { user_agent, session_id });
    }

    /// The connection is gone, `hung_up` by the pool or left by us. Shares without an answer wait for the next one.
    pub fn handle_disconnected(&mut self, hung_up: bool) {
        match self.link.phase {
            // Hung up without a word: old servers do that on configure. Whether it was that, the next time shows.
            Phase::Subscribing { .. } if hung_up && !self.link.heard_anything => {
                self.learnt.configure = match self.learnt.configure {
                    ConfigureHabit::Unknown => ConfigureHabit::HangsUp,
                    ConfigureHabit::HangsUp | ConfigureHabit::Silent => ConfigureHabit::Unknown,
                    ConfigureHabit::Answers => ConfigureHabit::Answers,
                };
            }
            // It served without; but it may only have been starting up when it did not like to be asked.
            Phase::Mining { .. }
                if !self.learnt.configure.is_asked() && self.link.rolling == Rolling::NotAsked =>
            {
                self.learnt.configure = ConfigureHabit::Unknown;
            }
            _ => {}
        }
        if hung_up {
            self.blame_optional();
        }
        self.unanswered.disconnected();
        self.link = Link::new(Phase::Offline);
    }

    /// The next connection goes to another host: nothing that the last one taught or promised holds there.
    pub fn handle_moved(&mut self) {
        self.recall(Lessons::default());
        self.wish.moved();
        self.feed.forget();
    }

    /// What an earlier run learnt of the pool that is connected to next.
    pub fn recall(&mut self, lessons: Lessons) {
        self.version = lessons.version.map(VersionHabit::recall).unwrap_or_default();
        self.timing = if lessons.difficulty_at_once { TimingHabit::AtOnce } else { TimingHabit::Unknown };
        self.learnt = lessons;
        self.strikes.clear();
    }

    /// What is known of the pool by now, for a later run.
    pub fn lessons(&self) -> Lessons {
        let (version, difficulty_at_once) = (self.version.lesson(), self.timing == TimingHabit::AtOnce);
        Lessons { version, difficulty_at_once, ..self.learnt.clone() }
    }

    /// One line from the pool. Errors: the connection is of no more use.
    pub fn handle_line(&mut self, line: &str, now: Instant) -> Result<(), SessionError> {
        let handled = match Message::parse(line) {
            Ok(Message::Response(response)) => self.handle_response(&response, now),
            Ok(Message::Call { id, call }) => {
                if is_ckpool(line) {
                    self.timing.presume_per_job();
                }
                self.handle_call(id.as_ref(), call, now)
            }
            Err(error) => {
                self.link.bad_lines += 1;
                self.complain(&error.to_string(), now);
                return if self.link.bad_lines < MAX_BAD_LINES {
                    Ok(())
                } else {
                    Err(SessionError::BadLines(error))
                };
            }
        };
        self.link.bad_lines = 0;
        self.link.heard_anything = true;
        handled
    }

    /// The time has come that [`Self::poll_timeout`] named. Errors: the pool took too long.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), SessionError> {
        let deadlines = self.config.deadlines;
        for pending in self.unanswered.expired(deadlines.answer, now) {
            self.end(pending.share, Outcome::Lost(LostReason::NoAnswer));
        }
        self.outlive_optional(now);
        self.suggest_by_rate(now);
        let timeout =
            |waiting_for| Err(SessionError::HandshakeTimeout { waiting_for, patience: deadlines.handshake });
        match self.link.phase {
            Phase::Subscribing { give_up_at } if now >= give_up_at => timeout("mining.subscribe"),
            Phase::Authorizing { give_up_at, .. } if now >= give_up_at => timeout("mining.authorize"),
            Phase::Mining { quiet_since } if now >= quiet_since + self.job_patience() => {
                Err(SessionError::Silent(self.job_patience()))
            }
            _ => Ok(()),
        }
    }

    /// The next line to write, line feed included.
    pub fn poll_transmit(&mut self) -> Option<String> {
        self.link.out.pop_front()
    }

    /// What happened since the last call.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let connection = match self.link.phase {
            Phase::Offline => None,
            Phase::Subscribing { give_up_at } | Phase::Authorizing { give_up_at, .. } => Some(give_up_at),
            Phase::Mining { quiet_since } => Some(quiet_since + self.job_patience()),
        };
        let share = self.unanswered.oldest().map(|found_at| found_at + self.config.deadlines.answer);
        connection.into_iter().chain(share).chain(self.optional_due()).min()
    }

    fn job_patience(&self) -> Duration {
        if self.link.difficulty.is_some() {
            self.config.deadlines.silence
        } else {
            self.config.deadlines.first_job
        }
    }

    fn handle_response(&mut self, response: &Response, now: Instant) -> Result<(), SessionError> {
        let Some(id) = response.id else {
            self.complain("an answer without an id", now);
            return Ok(());
        };
        match self.link.asked.remove(&id) {
            Some(Asked::Configure) => {
                self.learnt.configure = ConfigureHabit::Answers;
                let mask = response.version_mask();
                self.link.rolling =
                    if mask == VersionMask::NONE { Rolling::Refused } else { Rolling::Agreed };
                self.feed.set_mask(mask);
                Ok(())
            }
            Some(Asked::Subscribe) => self.handle_subscribed(response, now),
            Some(Asked::Authorize) => self.handle_authorized(response, now),
            // Not every pool knows the optional requests, and none needs to.
            Some(Asked::Optional(request)) => {
                self.handle_optional_answer(request, response);
                Ok(())
            }
            None => {
                if let Some(pending) = self.unanswered.answered(id) {
                    return self.handle_verdict(pending, response, now);
                }
                self.complain("an answer that belongs to no request", now);
                Ok(())
            }
        }
    }

    fn handle_subscribed(&mut self, response: &Response, now: Instant) -> Result<(), SessionError> {
        let subscribed = match response.subscribed() {
            Ok(Ok(subscribed)) => subscribed,
            Ok(Err(reject)) => {
                self.learnt.session = None;
                self.learnt.plain_subscribe = !self.learnt.plain_subscribe;
                return Err(SessionError::SubscribeRefused(reject));
            }
            Err(error) => return Err(SessionError::Subscription(error)),
        };
        if is_public_pool(&subscribed) {
            self.version.presume(VersionConvention::Delta);
        }
        let extranonce2_bytes = subscribed.extranonce2_size.bytes() as u8;
        self.learnt.session = subscribed.session_id.map(|id| SessionId { id, extranonce2_bytes });
        let (resumed, early) = self.feed.subscribed(subscribed.extranonce1, subscribed.extranonce2_size);
        if !resumed {
            for pending in self.unanswered.take_waiting() {
                self.end(pending.share, Outcome::Lost(LostReason::ConnectionEnded));
            }
        }
        self.link.phase = Phase::Authorizing { give_up_at: now + self.config.deadlines.handshake, early };
        let Credentials { user, password } = self.config.credentials.clone();
        self.link.ask(Asked::Authorize, &Request::Authorize(user, password));
        Ok(())
    }

    fn handle_authorized(&mut self, response: &Response, now: Instant) -> Result<(), SessionError> {
        if let Err(reject) = response.authorized() {
            let user = self.config.credentials.user.clone();
            return Err(SessionError::AuthorizeRefused { user, reject });
        }
        let before = std::mem::replace(&mut self.link.phase, Phase::Mining { quiet_since: now });
        self.ask_optional(now);
        self.events.push_back(Event::Authorized);
        if let Phase::Authorizing { early: Some(job), .. } = before {
            self.take_job(job, now)?;
        }
        Ok(())
    }

    fn handle_call(&mut self, id: Option<&Value>, call: Call, now: Instant) -> Result<(), SessionError> {
        match call {
            Call::Notify(notify) => {
                if let Some(job) = self.feed.notify(*notify) {
                    self.take_job(job, now)?;
                }
            }
            Call::SetDifficulty(number) => match Difficulty::new(number) {
                Ok(difficulty) => {
                    self.feed.set_difficulty(difficulty);
                    self.suggest_by_rate(now);
                }
                Err(error) => {
                    let kept = self.feed.difficulty();
                    self.complain(&format!("mining.set_difficulty: {error}; {kept} stays in force"), now);
                }
            },
            // Unasked or after a refusal it would surprise the pool at the first share.
            Call::SetVersionMask(mask) => {
                if matches!(self.link.rolling, Rolling::Asked | Rolling::Agreed) {
                    self.feed.set_mask(mask);
                }
            }
            Call::SetExtranonce(extranonce1, size) => self.feed.set_extranonce(extranonce1, size),
            Call::Reconnect(request) => match self.redirect.judge(&request, now) {
                Ok((destination, wait)) => self.events.push_back(Event::Redirect(destination, wait)),
                Err(refused) => self.complain(&format!("client.reconnect is not followed: {refused}"), now),
            },
            Call::ShowMessage(text) => {
                let text = printable(&text, MAX_TEXT);
                match self.messages.judge(&text, now) {
                    Verdict::Tell => self.events.push_back(Event::Message(text)),
                    Verdict::TellOfMore => {
                        self.events.push_back(Event::Message("more than is shown".to_owned()));
                    }
                    Verdict::Keep => {}
                }
            }
            Call::GetVersion => self.reply(id, Ok(&self.config.user_agent.clone())),
            Call::Ping => self.reply(id, Ok("pong")),
            Call::Unknown(method) => {
                if id.is_none() {
                    self.complain(&format!("the unknown notification {method:?}"), now);
                }
                self.reply(id, Err((-3, "Method not found")));
            }
        }
        Ok(())
    }

    fn take_job(&mut self, job: Arc<Job>, now: Instant) -> Result<(), SessionError> {
        match &mut self.link.phase {
            Phase::Authorizing { early, .. } => {
                *early = Some(job);
                return Ok(());
            }
            Phase::Mining { quiet_since } => *quiet_since = now,
            Phase::Offline | Phase::Subscribing { .. } => {}
        }
        match self.payout.judge(&job.coinbase)? {
            Some(Remark::Pays(text)) => self.events.push_back(Event::Payout(text)),
            Some(Remark::Complaint(text)) => self.complain(&text, now),
            None => {}
        }
        if self.link.difficulty.replace(job.difficulty) != Some(job.difficulty) {
            self.events.push_back(Event::Difficulty(job.difficulty));
        }
        self.events.push_back(Event::Job(job));
        self.send_waiting(now);
        self.suggest_by_rate(now);
        Ok(())
    }

    fn reply(&mut self, id: Option<&Value>, result: Result<&str, (i64, &str)>) {
        // An id is copied back, so it must be something that fits a line.
        let copyable = |id: &&Value| id.is_number() || id.as_str().is_some_and(|text| text.len() <= MAX_TEXT);
        if let Some(id) = id.filter(copyable) {
            self.link.out.push_back(answer(id, result));
        }
    }

    fn complain(&mut self, text: &str, now: Instant) {
        let text = printable(text, MAX_TEXT);
        match self.complaints.judge(&text, now) {
            Verdict::Tell => self.events.push_back(Event::Complaint(text)),
            Verdict::TellOfMore => {
                self.events.push_back(Event::Complaint("more goes wrong than is shown".to_owned()));
            }
            Verdict::Keep => {}
        }
    }
}

#[cfg(test)]
mod tests;
