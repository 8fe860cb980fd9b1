//! The control port as a queue of calls: one at a time, each with a deadline, and told when nobody answers.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::packet::{Command, Refusal, ReplyDecoder, Request};

/// How long a reply may take. Source: mujina `mgmt_protocol/bitaxe_raw`.
const DEADLINE: Duration = Duration::from_secs(1);
/// How often a call is tried before it has failed. All calls may be repeated: they set or read values.
const ATTEMPTS: u32 = 3;
/// Calls in a row without a reply after which the port counts as silent.
const SILENT_AFTER: u32 = 3;
/// Ids in use: all but that of refusals of nonsense. A late reply finds its id used again 255 calls later at the soonest.
const IDS: u8 = 0xff;

/// A call that brought nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No reply in time, and not after repetitions either.
    #[error("the control port does not answer")]
    NoAnswer,
    /// The firmware refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// What the link tells. `T` is the caller's name for a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEvent<T> {
    /// A call has ended: its data, of the size that its command leads to.
    Ended {
        /// Which call.
        call: T,
        /// How.
        outcome: Result<Vec<u8>, CallError>,
    },
    /// Several calls in a row brought no reply.
    Silent,
    /// It answers again.
    Back,
}

#[derive(Debug)]
struct Call<T> {
    name: T,
    command: Command,
    attempts: u32,
}

#[derive(Debug)]
struct Outstanding<T> {
    call: Call<T>,
    id: u8,
    until: Instant,
}

/// The control port.
#[derive(Debug)]
pub struct Link<T> {
    decoder: ReplyDecoder,
    waiting: VecDeque<Call<T>>,
    outstanding: Option<Outstanding<T>>,
    out: VecDeque<Vec<u8>>,
    events: VecDeque<LinkEvent<T>>,
    next_id: u8,
    /// Calls in a row that got no reply.
    unanswered: u32,
    late: u64,
}

impl<T> Default for Link<T> {
    fn default() -> Self {
        Self {
            decoder: ReplyDecoder::default(),
            waiting: VecDeque::new(),
            outstanding: None,
            out: VecDeque::new(),
            events: VecDeque::new(),
            next_id: 0,
            unanswered: 0,
            late: 0,
        }
    }
}

impl<T> Link<T> {
    /// Adds a call behind those that wait.
    pub fn call(&mut self, name: T, command: Command, now: Instant) {
        self.waiting.push_back(Call { name, command, attempts: 0 });
        self.send_next(now);
    }

    /// Forgets all calls that have not ended; no event tells of them. One under way may have its effect yet.
    pub fn drop_calls(&mut self) {
        self.waiting.clear();
        self.outstanding = None;
        self.out.clear();
    }

    /// Whether no call waits or is under way.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.outstanding.is_none()
    }

    /// Whether several calls in a row got no reply, and none since.
    pub fn is_silent(&self) -> bool {
        self.unanswered >= SILENT_AFTER
    }

    /// Replies that came after their deadline.
    pub fn late_replies(&self) -> u64 {
        self.late
    }

    /// Bytes that were no reply.
    pub fn skipped(&self) -> u64 {
        self.decoder.skipped()
    }

    /// Bytes from the port.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Instant) {
        self.decoder.feed(bytes, now);
        self.take_replies(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.take_replies(now);
        if self.outstanding.as_ref().is_some_and(|outstanding| outstanding.until <= now) {
            self.unanswered = self.unanswered.saturating_add(1);
            if self.unanswered == SILENT_AFTER {
                self.decoder.forget_dialect();
                self.events.push_back(LinkEvent::Silent);
            }
            self.end(Err(CallError::NoAnswer));
        }
        self.send_next(now);
    }

    /// The next bytes to write, in one write.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.out.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<LinkEvent<T>> {
        self.events.pop_front()
    }

    /// Whether there is an event.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let until = self.outstanding.as_ref().map(|outstanding| outstanding.until);
        until.into_iter().chain(self.decoder.poll_timeout()).min()
    }

    fn take_replies(&mut self, now: Instant) {
        while let Some(reply) = self.decoder.next_reply(now) {
            let awaited = self.outstanding.as_ref().map(|outstanding| outstanding.id);
            // A refusal without an id is of the only request there is.
            if reply.id.is_some() && reply.id != awaited || awaited.is_none() {
                self.late += 1;
                continue;
            }
            if self.is_silent() {
                self.events.push_back(LinkEvent::Back);
            }
            self.unanswered = 0;
            self.end(reply.outcome.map_err(CallError::Refused));
            self.send_next(now);
        }
    }

    /// Ends the call under way, or lets it wait for another attempt before all others.
    fn end(&mut self, outcome: Result<Vec<u8>, CallError>) {
        let Some(Outstanding { mut call, .. }) = self.outstanding.take() else { return };
        call.attempts += 1;
        // A silent port need not be asked the same thing three times.
        if outcome.is_err() && call.attempts < ATTEMPTS && !self.is_silent() {
            self.waiting.push_front(call);
        } else {
            self.events.push_back(LinkEvent::Ended { call: call.name, outcome });
        }
    }

    fn send_next(&mut self, now: Instant) {
        if self.outstanding.is_some() {
            return;
        }
        let Some(call) = self.waiting.pop_front() else { return };
        let id = self.next_id;
        self.next_id = (id + 1) % IDS;
        let request = Request { id, command: call.command.clone() };
        self.decoder.expect(&request);
        self.out.push_back(request.emit());
        self.outstanding = Some(Outstanding { call, id, until: now + DEADLINE });
    }
}
