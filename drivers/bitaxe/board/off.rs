//! A board whose power is being taken away, or is off: what it still has to be told, and when it may start again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::super::link::CallError;
use super::super::packet::Command;
use super::super::power_up::{reset_line, switch_off};
use super::running::Running;
use super::{Ask, Board, DataOut, OffReason, State};

/// Wait before a board is told again what it refused.
const AGAIN: Duration = Duration::from_secs(1);
/// How often it may refuse one thing. A part that is not there will not come.
const MOST_REFUSALS: u32 = 10;

/// Without power, or on the way there.
#[derive(Debug)]
pub(super) struct Off {
    pub(super) why: OffReason,
    /// What it has not been told yet.
    orders: VecDeque<Command>,
    is_asked: bool,
    next_at: Instant,
    refusals: u32,
    /// The chips, as long as they may have power.
    running: Option<Box<Running>>,
}

impl Off {
    /// On the way there.
    pub(super) fn new(why: OffReason, orders: Vec<Command>, now: Instant) -> Self {
        Self { why, orders: orders.into(), is_asked: false, next_at: now, refusals: 0, running: None }
    }

    pub(super) fn is_done(&self) -> bool {
        self.orders.is_empty()
    }

    pub(super) fn handle_bytes(&mut self, bytes: &[u8], now: Instant) {
        if let Some(running) = &mut self.running {
            running.handle_bytes(bytes, now);
        }
    }

    /// An order has been followed or not. Shape: whether it is given up.
    pub(super) fn take_outcome(&mut self, outcome: &Result<Vec<u8>, CallError>, now: Instant) -> bool {
        self.is_asked = false;
        let is_refused = matches!(outcome, Err(CallError::Refused(_)));
        if is_refused {
            self.refusals += 1;
            self.next_at = now + AGAIN;
        }
        let gives_up = self.refusals >= MOST_REFUSALS;
        if outcome.is_ok() || gives_up {
            self.orders.pop_front();
            self.refusals = 0;
        }
        if self.orders.is_empty() {
            self.running = None;
        }
        gives_up
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let chain = self.running.as_ref().and_then(|running| running.poll_timeout());
        let order = (!self.is_asked && !self.orders.is_empty()).then_some(self.next_at);
        let retry = match self.why {
            OffReason::Failed { retry_at, .. } if self.is_done() => Some(retry_at),
            _ => None,
        };
        chain.into_iter().chain(order).chain(retry).min()
    }
}

impl Board {
    /// Takes the power away, by all means there are.
    pub(super) fn switch_off(&mut self, why: OffReason, now: Instant) {
        self.link.drop_calls();
        self.heat.monitor.restart(now);
        self.heat.fan.is_asked = false;
        self.heat.fan.told = None;
        let orders = match &self.state {
            State::PoweringUp(power_up) if !power_up.has_switched() => vec![reset_line(true)],
            _ => switch_off(self.kind),
        };
        let before = std::mem::replace(&mut self.state, State::Off(Off::new(why, orders, now)));
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
        if let (false, Some(order)) = (off.is_asked || off.next_at > now, off.orders.front()) {
            off.is_asked = true;
            return self.link.call(Ask::Off, order.clone(), now);
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
