//! The chips of a board on their serial line: who hears a command, who answers, and in which order.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bitcoin::hex::DisplayHex;

use super::{
    chip::{Chip, Habits},
    event::{Event, Port},
    frame::{Command, Receiver, To},
    hash::Found,
    kinds::ChipKind,
    uart::{Line, fits, line_time},
    work::Work,
};
use crate::chance::Chance;

/// From the release of reset until the first command is heard. Drivers wait 100 ms (ESP-Miner) or 200 ms (mujina); that
/// a chip needs half of the former is this model's choice, and makes one that does not wait fail.
const BOOT: Duration = Duration::from_millis(50);

/// What is broken in a chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ChainFaults {
    /// This chip and all behind it are out of reach.
    pub(super) dead: Option<usize>,
    /// This chip answers garbage.
    pub(super) garbage: Option<usize>,
}

/// A chain of equal chips.
#[derive(Debug)]
pub(super) struct Chain {
    kind: &'static ChipKind,
    habits: Habits,
    size: usize,
    powered: bool,
    /// Since when; `None` while reset is held.
    released: Option<Duration>,
    /// Empty without power or in reset.
    chips: Vec<Chip>,
    receiver: Receiver,
    host_baud: u32,
    line: Line,
    chance: Chance,
    pub(super) faults: ChainFaults,
    /// Of the chips.
    pub(super) celsius: f64,
    events: VecDeque<Event>,
}

impl Chain {
    /// `size` chips without power, in reset.
    pub(super) fn new(kind: &'static ChipKind, size: usize, habits: Habits) -> Self {
        Self {
            kind,
            size,
            powered: false,
            released: None,
            chips: Vec::new(),
            receiver: Receiver::new(kind.form),
            host_baud: 115_200,
            line: Line::default(),
            chance: Chance::new(habits.seed),
            habits,
            faults: ChainFaults::default(),
            celsius: 25.0,
            events: VecDeque::new(),
        }
    }

    pub(super) fn set_power(&mut self, on: bool, now: Duration) {
        if on != self.powered {
            self.powered = on;
            self.restart(now);
        }
    }

    pub(super) fn set_reset(&mut self, released: bool, now: Duration) {
        if released != self.released.is_some() {
            self.released = released.then_some(now);
            self.events.push_back(Event::Reset { released });
            self.restart(now);
        }
    }

    /// All registers as after power-on.
    fn restart(&mut self, now: Duration) {
        self.receiver.clear();
        self.line.clear();
        self.released = self.released.map(|_| now);
        let count = if self.powered && self.released.is_some() { self.size } else { 0 };
        self.chips = (0..count).map(|_| Chip::new(self.kind, self.habits.clone())).collect();
    }

    fn is_up(&self, now: Duration) -> bool {
        !self.chips.is_empty() && self.released.is_some_and(|since| now >= since + BOOT)
    }

    fn first_baud(&self) -> f64 {
        self.chips.first().map_or(115_740.0, Chip::baud)
    }

    /// Indices of the chips that a command reaches, nearest first.
    fn reached(&self) -> std::ops::Range<usize> {
        0..self.faults.dead.unwrap_or(usize::MAX).min(self.chips.len())
    }

    fn hears(&self, chip: usize) -> bool {
        fits(self.chips[chip].baud(), self.host_baud.into())
    }

    /// Bytes that the host sent at `host_baud`.
    pub(super) fn receive(&mut self, bytes: &[u8], host_baud: u32, now: Duration) {
        self.host_baud = host_baud;
        if !self.is_up(now) {
            self.events.push_back(Event::Dead { bytes: bytes.len() });
            return;
        }
        let board_baud = self.first_baud();
        if !fits(board_baud, host_baud.into()) {
            let board_baud = board_baud.round() as u32;
            self.events.push_back(Event::Garbled { bytes: bytes.len(), host_baud, board_baud });
            self.receiver.clear();
            return;
        }
        self.receiver.push(bytes);
        let heard_at = now.saturating_add(line_time(bytes.len(), board_baud));
        while let Some(received) = self.receiver.next() {
            match received {
                Ok(command) => self.obey(command, now, heard_at),
                Err(reason) => {
                    self.events.push_back(Event::Ignored { port: Port::Data, reason: reason.to_string() });
                }
            }
        }
        if self.first_baud() != board_baud {
            self.events.push_back(Event::Baud { baud: self.first_baud().round() as u32 });
        }
    }

    fn obey(&mut self, command: Command, now: Duration, heard_at: Duration) {
        match command {
            Command::Inactive => self.each_that_hears(Chip::go_inactive),
            Command::SetAddress(address) => self.set_address(address, now),
            Command::Write { to, register, value } => {
                self.answer_each(to, heard_at, |chip, _| chip.write(register, value, now));
            }
            Command::Read { to, register } => {
                self.answer_each(to, heard_at, |chip, celsius| Some(chip.read(register, celsius, now)));
            }
            Command::Job(bytes) => self.take(&bytes, now),
        }
    }

    fn each_that_hears(&mut self, mut act: impl FnMut(&mut Chip)) {
        for at in self.reached() {
            if self.hears(at) {
                act(&mut self.chips[at]);
            }
        }
    }

    fn set_address(&mut self, address: u8, now: Duration) {
        for at in self.reached() {
            if !self.hears(at) {
                break;
            }
            let (takes, passes_on) = self.chips[at].offer_address(address, now);
            if takes {
                self.events.push_back(Event::Address { chip: at, address });
            }
            if !passes_on {
                break;
            }
        }
    }

    /// Lets all chips that are meant act, and sends what they answer, nearest chip first.
    fn answer_each(
        &mut self,
        to: To,
        heard_at: Duration,
        mut act: impl FnMut(&mut Chip, f64) -> Option<Vec<u8>>,
    ) {
        for at in self.reached() {
            let meant = to == To::All || to == To::One(self.chips[at].address);
            if !meant || !self.hears(at) {
                continue;
            }
            if let Some(answer) = act(&mut self.chips[at], self.celsius) {
                self.send(at, answer, heard_at);
            }
        }
    }

    fn send(&mut self, chip: usize, mut bytes: Vec<u8>, ready: Duration) {
        if self.faults.garbage == Some(chip) {
            bytes = bytes.iter().map(|_| self.chance.number() as u8).collect();
        }
        let (baud, host_baud) = (self.chips[chip].baud(), self.host_baud.into());
        self.line.send(bytes, baud, host_baud, ready, &mut self.chance);
    }

    fn take(&mut self, bytes: &[u8], now: Duration) {
        let work = Arc::new(Work::from_frame(self.kind.form, bytes));
        let (mut hashing, mut missing) = (0, Vec::new());
        self.each_that_hears(|chip| match chip.take(work.clone(), now) {
            nothing if nothing.is_empty() => hashing += 1,
            what if missing.is_empty() => missing = what,
            _ => {}
        });
        self.events.push_back(Event::Job { number: work.number, hashing, missing });
    }

    /// Moves all sweeps on to `now`.
    pub(super) fn handle_timeout(&mut self, now: Duration) {
        for at in self.reached() {
            for found in self.chips[at].advance(now) {
                self.report(at, &found, now);
            }
            let nonces = self.chips[at].lost();
            if nonces > 0 {
                self.events.push_back(Event::LostNonces { nonces });
            }
        }
    }

    /// Searches for nonces that are due, for `budget` hashes at most, and takes those done from it.
    pub(super) fn hash(&mut self, budget: &mut u64, now: Duration) {
        while *budget > 0 && self.is_searching() {
            for at in self.reached() {
                if let Some(found) = self.chips[at].hash(budget) {
                    self.report(at, &found, now);
                }
            }
        }
    }

    pub(super) fn is_searching(&self) -> bool {
        self.chips[self.reached()].iter().any(Chip::is_searching)
    }

    fn report(&mut self, chip: usize, found: &Found, now: Duration) {
        let Some((number, asked_bits, frame)) = self.chips[chip].nonce_answer(found) else { return };
        self.send(chip, frame, now);
        let Found { nonce, version, zero_bits, .. } = *found;
        let nonce = nonce.to_lower_hex_string();
        self.events.push_back(Event::Nonce { chip, number, nonce, version, zero_bits, asked_bits });
    }

    /// Hashes a second of all chips together.
    pub(super) fn hash_rate(&self) -> f64 {
        self.chips.iter().map(Chip::hash_rate).sum()
    }

    pub(super) fn poll_transmit(&mut self, now: Duration) -> Option<Vec<u8>> {
        self.line.arrived(now)
    }

    pub(super) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        let chips = self.chips[self.reached()].iter().filter_map(Chip::due);
        chips.chain(self.line.due()).min()
    }
}
