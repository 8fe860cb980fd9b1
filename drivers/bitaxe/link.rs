//! The control port as a queue of calls: one at a time, each with a deadline, and told when nobody answers. Orders alone do
//! not wait for the replies of others.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::packet::{Command, Refusal, ReplyDecoder, Request};

/// How long a reply may take. Source: mujina `mgmt_protocol/bitaxe_raw`.
const DEADLINE: Duration = Duration::from_secs(1);
/// After so long without a reply the next order goes out all the same: far more than the 4 ms by which the firmware tells
/// packets apart.
const ORDER_GAP: Duration = Duration::from_millis(50);
/// How long the reply to an order may take: late is as good as in time.
const ORDER_DEADLINE: Duration = Duration::from_secs(3);
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
    urgency: Urgency,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Urgency {
    /// It waits for its turn, and is repeated.
    Call,
    /// It is written whatever becomes of those before it, once.
    Order,
}

impl Urgency {
    fn deadline(self) -> Duration {
        match self {
            Self::Call => DEADLINE,
            Self::Order => ORDER_DEADLINE,
        }
    }

    fn attempts(self) -> u32 {
        match self {
            Self::Call => ATTEMPTS,
            Self::Order => 1,
        }
    }
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
    /// In the order in which they were sent: one at most, or orders.
    outstanding: Vec<Outstanding<T>>,
    sent_at: Option<Instant>,
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
            outstanding: Vec::new(),
            sent_at: None,
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
        self.waiting.push_back(Call { name, command, attempts: 0, urgency: Urgency::Call });
        self.send_next(now);
    }

    /// Adds an order behind those that wait: it is written once, also while replies to others are still to come, and its own
    /// may be late.
    pub fn order(&mut self, name: T, command: Command, now: Instant) {
        self.waiting.push_back(Call { name, command, attempts: 0, urgency: Urgency::Order });
        self.send_next(now);
    }

    /// Forgets all calls that have not ended; no event tells of them. One under way may have its effect yet.
    pub fn drop_calls(&mut self) {
        self.waiting.clear();
        self.outstanding.clear();
        self.out.clear();
    }

    /// Whether no call waits or is under way.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.outstanding.is_empty()
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
        while let Some(late) = self.outstanding.iter().position(|outstanding| outstanding.until <= now) {
            self.unanswered = self.unanswered.saturating_add(1);
            if self.unanswered == SILENT_AFTER {
                self.decoder.forget_dialect();
                self.events.push_back(LinkEvent::Silent);
            }
            self.end(late, Err(CallError::NoAnswer));
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
        let until = self.outstanding.iter().map(|outstanding| outstanding.until);
        let order = self.waiting.front().and_then(|call| self.may_send_at(call));
        until.chain(order).chain(self.decoder.poll_timeout()).min()
    }

    fn take_replies(&mut self, now: Instant) {
        while let Some(reply) = self.decoder.next_reply(now) {
            let answered = match reply.id {
                Some(id) => self.outstanding.iter().position(|outstanding| outstanding.id == id),
                // A refusal without an id is of the only request there is.
                None => (self.outstanding.len() == 1).then_some(0),
            };
            let Some(answered) = answered else {
                self.late += 1;
                continue;
            };
            if self.is_silent() {
                self.events.push_back(LinkEvent::Back);
            }
            self.unanswered = 0;
            self.end(answered, reply.outcome.map_err(CallError::Refused));
            self.send_next(now);
        }
    }

    /// Ends one of the calls under way, or lets it wait for another attempt before all others.
    fn end(&mut self, at: usize, outcome: Result<Vec<u8>, CallError>) {
        let Outstanding { mut call, .. } = self.outstanding.remove(at);
        call.attempts += 1;
        // A silent port need not be asked the same thing three times.
        if outcome.is_err() && call.attempts < call.urgency.attempts() && !self.is_silent() {
            self.waiting.push_front(call);
        } else {
            self.events.push_back(LinkEvent::Ended { call: call.name, outcome });
        }
    }

    /// When a call may go out that waits while others are under way; `None` once they have ended.
    fn may_send_at(&self, call: &Call<T>) -> Option<Instant> {
        let is_order = call.urgency == Urgency::Order;
        self.sent_at.filter(|_| is_order && !self.outstanding.is_empty()).map(|at| at + ORDER_GAP)
    }

    fn send_next(&mut self, now: Instant) {
        let is_due = |call: &Call<T>| {
            self.outstanding.is_empty() || self.may_send_at(call).is_some_and(|at| at <= now)
        };
        if !self.waiting.front().is_some_and(is_due) {
            return;
        }
        let Some(call) = self.waiting.pop_front() else { return };
        let id = self.next_id;
        self.next_id = (id + 1) % IDS;
        let request = Request { id, command: call.command.clone() };
        self.decoder.expect(&request);
        self.out.push_back(request.emit());
        self.sent_at = Some(now);
        let until = now + call.urgency.deadline();
        self.outstanding.push(Outstanding { call, id, until });
    }
}
