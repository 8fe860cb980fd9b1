//! A board whose power is being taken away, or is off: what it still has to be told, and when it may start again.

use std::time::{Duration, Instant};

use super::super::link::CallError;
use super::super::power_up::{OffOrder, reset_alone, switch_off};
use super::running::Running;
use super::{Ask, Board, DataOut, OffReason, State};
use crate::BoardEvent;

/// Time between two rounds of orders. They never end before the power is off: nothing is worth more.
const ROUND_EVERY: Duration = Duration::from_secs(1);
/// Rounds after which the operator hears of it.
const TELL_AFTER: u32 = 5;

/// Without power, or on the way there.
#[derive(Debug)]
pub(super) struct Off {
    pub(super) why: OffReason,
    orders: Vec<Order>,
    next_round: Instant,
    rounds: u32,
    /// Whether the chips had power, as far as is known.
    had_power: bool,
    /// Whether the board has shown to be the one that it is said to be.
    pub(super) is_known: bool,
    /// The chips, as long as they may have power.
    running: Option<Box<Running>>,
}

/// What it is told in each round.
#[derive(Debug)]
struct Order {
    what: OffOrder,
    is_followed: bool,
    /// Why it was not, the last time.
    error: Option<CallError>,
}

impl Off {
    /// On the way there.
    pub(super) fn new(why: OffReason, orders: Vec<OffOrder>, had_power: bool, now: Instant) -> Self {
        let order = |what| Order { what, is_followed: false, error: None };
        let orders = orders.into_iter().map(order).collect();
        Self { why, orders, next_round: now, rounds: 0, had_power, is_known: had_power, running: None }
    }

    /// Whether the power is off: all that takes it away was followed, and all else was heard of.
    pub(super) fn is_done(&self) -> bool {
        let is_done = |order: &Order| order.is_followed || !order.what.is_needed && order.error.is_some();
        self.orders.iter().all(is_done)
    }

    pub(super) fn may_have_power(&self) -> bool {
        self.had_power && !self.is_done()
    }

    pub(super) fn handle_bytes(&mut self, bytes: &[u8], now: Instant) {
        if let Some(running) = &mut self.running {
            running.handle_bytes(bytes, now);
        }
    }

    /// An order has been followed or not. Shape: whether the operator has heard of it and it is followed now.
    pub(super) fn take_outcome(&mut self, at: usize, outcome: Result<Vec<u8>, CallError>) -> bool {
        let was_done = self.is_done();
        if let Some(order) = self.orders.get_mut(at) {
            order.is_followed |= outcome.is_ok();
            order.error = outcome.err().or(order.error.take());
        }
        if self.is_done() {
            self.running = None;
        }
        self.had_power && self.rounds > TELL_AFTER && !was_done && self.is_done()
    }

    /// The orders of a round that is due.
    fn next_round(&mut self, now: Instant) -> Vec<OffOrder> {
        if self.is_done() || self.next_round > now {
            return Vec::new();
        }
        self.next_round = now + ROUND_EVERY;
        self.rounds = self.rounds.saturating_add(1);
        self.orders.iter().map(|order| order.what.clone()).collect()
    }

    /// What is not followed, once that has gone on for long enough to be told.
    fn complaint(&self) -> Option<String> {
        if self.rounds != TELL_AFTER + 1 || !self.had_power {
            return None;
        }
        let order = self.orders.iter().find(|order| order.what.is_needed && !order.is_followed)?;
        let error = order.error.as_ref().unwrap_or(&CallError::NoAnswer);
        let what = order.what.part;
        Some(format!(
            "the power may still be on: {what} has not followed its order ({error}), which is repeated every {} s; take the supply \
             away",
            ROUND_EVERY.as_secs()
        ))
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let chain = self.running.as_ref().and_then(|running| running.poll_timeout());
        let round = (!self.is_done()).then_some(self.next_round);
        let retry = match self.why {
            OffReason::Failed { retry_at, .. } if self.is_done() => Some(retry_at),
            _ => None,
        };
        chain.into_iter().chain(round).chain(retry).min()
    }
}

impl Board {
    /// Takes the power away, by all means there are.
    pub(super) fn switch_off(&mut self, why: OffReason, now: Instant) {
        self.link.drop_calls();
        self.heat.monitor.restart(now);
        self.heat.fan.restart(now);
        self.heat.belief.handle_power(false);
        let (orders, had_power) = match &self.state {
            State::PoweringUp(power_up) if !power_up.has_switched() => (reset_alone(), false),
            State::PoweringUp(_) | State::Running(_) => (switch_off(self.kind), true),
            State::Off(off) => (switch_off(self.kind), off.may_have_power()),
        };
        let is_known = match &self.state {
            State::Off(off) => off.is_known,
            State::PoweringUp(_) | State::Running(_) => had_power,
        };
        let off = Off { is_known, ..Off::new(why, orders, had_power, now) };
        let before = std::mem::replace(&mut self.state, State::Off(off));
        let State::Off(off) = &mut self.state else { return };
        match before {
            State::Running(mut running) => {
                running.calm(now);
                off.running = Some(running);
            }
            State::Off(before) => off.running = before.running,
            State::PoweringUp(_) => {}
        }
    }

    pub(super) fn stay_off(&mut self, now: Instant) {
        let State::Off(off) = &mut self.state else { return };
        if let Some(running) = &mut off.running {
            running.handle_timeout(now);
            while let Some(bytes) = running.chain.poll_transmit() {
                self.out.data.push_back(DataOut::Bytes(bytes));
            }
            // What it says of its chips is past; its reset line is held by an order.
            while running.chain.poll_event().is_some() {}
        }
        let round = off.next_round(now);
        if !round.is_empty() {
            self.out.events.extend(off.complaint().map(BoardEvent::Fault));
            for (at, order) in round.into_iter().enumerate() {
                self.link.order(Ask::Off(at), order.command, now);
            }
            return;
        }
        let may_start = off.is_done()
            && match off.why {
                OffReason::CutOff(_) => self.heat.thermal.may_start(now),
                OffReason::Failed { retry_at, .. } => retry_at <= now,
                OffReason::Stopped => false,
            };
        if may_start {
            self.begin(now);
        }
    }
}
