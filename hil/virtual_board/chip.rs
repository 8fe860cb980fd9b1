//! One chip: its registers, its place in the chain's addressing, what it needs before it hashes, how it answers.

use std::{sync::Arc, time::Duration};

use super::{
    frame::{AnswerType, answer},
    hash::{Found, Ticket},
    kinds::{ChipKind, Form},
    sweep::{Plan, Sweep},
    work::{SolvedHeader, Work},
};

const CHIP_ID: u8 = 0x00;
const HASH_RATE: u8 = 0x04;
const PLL0: u8 = 0x08;
const NONCE_OFFSET: u8 = 0x0c;
const COUNTING_NUMBER: u8 = 0x10;
const TICKET_MASK: u8 = 0x14;
const MISC_CONTROL: u8 = 0x18;
const CLOCK_ENABLE: u8 = 0x20;
const FAST_UART: u8 = 0x28;
const CORE_CONTROL: u8 = 0x3c;
const CORE_VALUE: u8 = 0x40;
const PLL3: u8 = 0x68;
const VERSION_MASK: u8 = 0xa4;
const SENSOR: u8 = 0xb4;

/// What of a board all of its chips share.
#[derive(Clone, Debug)]
pub(super) struct Habits {
    /// Zero bits that a nonce needs before the ticket mask; 32 in silicon.
    pub(super) zero_bits: u32,
    /// All that an initialisation writes has to be written before a chip hashes.
    pub(super) strict: bool,
    pub(super) pace: ChipPace,
    pub(super) seed: u64,
    pub(super) solved: Arc<[SolvedHeader]>,
}

/// How often a chip answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ChipPace {
    /// This many times as often as its clock says.
    Scaled(f64),
    /// This often a second, whatever its clock and its ticket mask are.
    PerSecond(f64),
}

/// Whether a chip takes an address and passes the command on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relay {
    /// As after reset: takes each address and passes it on.
    Open,
    /// After "chain inactive": takes the next address and passes nothing on.
    Waiting,
    /// Has its address, passes others on.
    Addressed,
}

/// One chip with power and out of reset.
#[derive(Debug)]
pub(super) struct Chip {
    kind: &'static ChipKind,
    habits: Habits,
    pub(super) address: u8,
    relay: Relay,
    registers: [u32; 256],
    written: [bool; 256],
    core_registers: [Option<u8>; 32],
    work: Option<Arc<Work>>,
    sweep: Option<Sweep>,
    counters: Counters,
}

/// What was hashed, for the counting registers.
#[derive(Debug, Default)]
struct Counters {
    hashes: f64,
    /// Where a broadcast write of 0 to register 0x90 left them.
    cleared_at: f64,
    until: Duration,
}

impl Chip {
    pub(super) fn new(kind: &'static ChipKind, habits: Habits) -> Self {
        let mut registers = [0; 256];
        for (register, value) in kind.resets {
            registers[usize::from(*register)] = *value;
        }
        Self {
            kind,
            habits,
            address: 0,
            relay: Relay::Open,
            registers,
            written: [false; 256],
            core_registers: [None; 32],
            work: None,
            sweep: None,
            counters: Counters::default(),
        }
    }

    fn register(&self, register: u8) -> u32 {
        self.registers[usize::from(register)]
    }

    fn was_written(&self, register: u8) -> bool {
        self.written[usize::from(register)]
    }

    /// Its own speed in baud. Source: mujina `REFERENCE.md` and skot/BM1397 `registers.md`, registers 0x18 and 0x28.
    pub(super) fn baud(&self) -> f64 {
        let (misc, fast) = (self.register(MISC_CONTROL), self.register(FAST_UART));
        match self.kind.form {
            Form::Header => 25e6 / (8.0 * f64::from((fast >> 8 & 0xff) + 1)),
            Form::Midstates => {
                let divider = f64::from((misc >> 8 & 0x1f | (misc >> 24 & 0xf) << 5) + 1);
                let [_, feedback, reference, post] = self.register(PLL3).to_be_bytes().map(f64::from);
                let post = (post / 16.0).floor() * (post % 16.0);
                let pll3 = 25e6 * feedback / (reference * post) / f64::from((fast >> 24 & 0xf) + 1);
                let base = if misc >> 16 & 1 == 1 { pll3 } else { 25e6 };
                base / (8.0 * divider)
            }
        }
    }

    pub(super) fn go_inactive(&mut self) {
        self.relay = Relay::Waiting;
    }

    /// An address command that reached this chip. Shape: whether it took the address, whether it passes the command on.
    pub(super) fn offer_address(&mut self, address: u8, now: Duration) -> (bool, bool) {
        let (takes, passes_on) = match self.relay {
            Relay::Open => (true, true),
            Relay::Waiting => (true, false),
            Relay::Addressed => (false, true),
        };
        if takes {
            self.address = address;
            self.relay = if self.relay == Relay::Waiting { Relay::Addressed } else { Relay::Open };
            self.refresh(now);
        }
        (takes, passes_on)
    }

    /// A register write; some bring an answer.
    pub(super) fn write(&mut self, register: u8, value: u32, now: Duration) -> Option<Vec<u8>> {
        self.count(now);
        match register {
            CHIP_ID | HASH_RATE | CORE_VALUE | SENSOR | 0x88..=0x8c => return None,
            0x90 => self.counters.cleared_at = self.counters.hashes,
            _ => {}
        }
        self.registers[usize::from(register)] = value;
        self.written[usize::from(register)] = true;
        let answer = if register == CORE_CONTROL { self.core_control(value) } else { None };
        self.refresh(now);
        answer
    }

    /// Bit 31 executes, bit 15 writes, bits 12 to 8 name the register of the core. A read is answered as register 0x40.
    fn core_control(&mut self, value: u32) -> Option<Vec<u8>> {
        if value >> 31 == 0 {
            return None;
        }
        let core_register = &mut self.core_registers[(value >> 8 & 0x1f) as usize];
        if value >> 15 & 1 == 1 {
            *core_register = Some(value as u8);
            return None;
        }
        let held = core_register.unwrap_or(0);
        Some(self.register_answer(CORE_VALUE, u32::from(held)))
    }

    /// The answer to a read. `celsius` is what the chip's own sensor feels.
    pub(super) fn read(&mut self, register: u8, celsius: f64, now: Duration) -> Vec<u8> {
        self.count(now);
        let difficulty_ones = |hashes: f64| (hashes / 2f64.powi(32)) as u64 as u32;
        let counted = self.counters.hashes - self.counters.cleared_at;
        let value = match register {
            CHIP_ID => {
                u32::from(self.kind.id) << 16
                    | u32::from(self.kind.core_number) << 8
                    | u32::from(self.address)
            }
            HASH_RATE => (self.hash_rate() / 2f64.powi(20)) as u32 & 0x7fff_ffff,
            PLL0 => {
                let locked = self.kind.clock(self.register(PLL0)).is_some();
                self.register(PLL0) & 0x7fff_ffff | u32::from(locked) << 31
            }
            SENSOR if self.register(0xb0) == 0x1002_0000 => {
                1 << 31 | ((celsius + 299.5144) / 0.171_342).clamp(0.0, 65535.0) as u32
            }
            0x88..=0x8b => difficulty_ones(self.counters.hashes / 4.0),
            0x8c => difficulty_ones(self.counters.hashes),
            0x90 => difficulty_ones(counted),
            _ => self.register(register),
        };
        self.register_answer(register, value)
    }

    fn register_answer(&self, register: u8, value: u32) -> Vec<u8> {
        let mut content = value.to_be_bytes().to_vec();
        content.extend([self.address, register]);
        content.resize(self.answer_size(), 0);
        answer(AnswerType::Register, &content)
    }

    /// Bytes between preamble and checksum: two more from the moment that version rolling is on.
    fn answer_size(&self) -> usize {
        if self.rolls_versions() { 8 } else { 6 }
    }

    fn rolls_versions(&self) -> bool {
        self.kind.form == Form::Header
            && self.was_written(VERSION_MASK)
            && self.register(VERSION_MASK) >> 31 == 1
    }

    /// Hashes a second while it hashes, else 0.
    pub(super) fn hash_rate(&self) -> f64 {
        self.sweep.as_ref().map_or(0.0, |sweep| sweep.plan.clock * self.kind.hashes_per_clock)
    }

    fn count(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.counters.until).as_secs_f64();
        self.counters.hashes += self.hash_rate() * passed;
        self.counters.until = now;
    }

    /// Takes a job in place of the one before. Shape: what is missing before it can hash, as texts for a person.
    pub(super) fn take(&mut self, work: Arc<Work>, now: Duration) -> Vec<&'static str> {
        self.count(now);
        self.work = Some(work);
        self.sweep = None;
        self.refresh(now);
        self.missing()
    }

    /// What a chip still needs before it reports. A real BM1366 was seen to do with the reporting gate alone, so all
    /// else is asked for in strict mode only; no driver leaves it out.
    fn missing(&self) -> Vec<&'static str> {
        let strict = self.habits.strict;
        let header = self.kind.form == Form::Header;
        let core_enabled = self.core_registers[2] == Some(0xaa);
        let needs = [
            (header && self.register(MISC_CONTROL) >> 28 == 0, "reporting is gated: 0x18 has no upper bits"),
            (self.kind.clock(self.register(PLL0)).is_none(), "the PLL cannot lock: 0x08"),
            (self.was_written(COUNTING_NUMBER) && self.register(COUNTING_NUMBER) == 0, "0x10 is 0"),
            (strict && !self.was_written(PLL0), "no frequency was set: 0x08"),
            (strict && header && !core_enabled, "cores are not enabled: 0x3c = 800082aa"),
            (strict && header && !self.was_written(COUNTING_NUMBER), "0x10 was never written"),
            (strict && !header && self.register(CLOCK_ENABLE) & 1 == 0, "clocks are not ordered: 0x20 = 1"),
            (strict && !header && self.core_registers[0].is_none(), "no clock delay: 0x3c = 80008074"),
        ];
        needs.into_iter().filter_map(|(is_missing, what)| is_missing.then_some(what)).collect()
    }

    /// Starts, stops or starts anew what the chip hashes, after anything that it depends on has changed.
    fn refresh(&mut self, now: Duration) {
        let plan = self.plan();
        if self.sweep.as_ref().map(|sweep| sweep.plan) == plan {
            return;
        }
        self.count(now);
        self.sweep = self
            .work
            .clone()
            .zip(plan)
            .map(|(work, plan)| Sweep::new(self.kind, work, plan, &self.habits.solved, now));
    }

    fn plan(&self) -> Option<Plan> {
        if self.work.is_none() || !self.missing().is_empty() {
            return None;
        }
        let clock = self.kind.clock(self.register(PLL0))?;
        let ticket = Ticket::new(self.habits.zero_bits, self.register(TICKET_MASK));
        let per_result = 2f64.powi(32 + ticket.mask.count_ones() as i32);
        let offset = self.register(NONCE_OFFSET);
        let has_offset = self.kind.id == 0x1370 && offset >> 31 == 1;
        Some(Plan {
            clock,
            counting_number: self.was_written(COUNTING_NUMBER).then(|| self.register(COUNTING_NUMBER)),
            start: if has_offset { (offset & 0xffff) << 9 } else { self.kind.counter_start(self.address) },
            version_mask: if self.rolls_versions() { self.register(VERSION_MASK) as u16 } else { 0 },
            ticket,
            rate: match self.habits.pace {
                ChipPace::Scaled(scale) => scale * clock * self.kind.hashes_per_clock / per_result,
                ChipPace::PerSecond(rate) => rate,
            },
            seed: self.habits.seed,
        })
    }

    pub(super) fn due(&self) -> Option<Duration> {
        self.sweep.as_ref()?.due()
    }

    pub(super) fn advance(&mut self, now: Duration) -> Vec<Found> {
        self.sweep.as_mut().map(|sweep| sweep.advance(now)).unwrap_or_default()
    }

    pub(super) fn is_searching(&self) -> bool {
        self.sweep.as_ref().is_some_and(Sweep::is_searching)
    }

    pub(super) fn hash(&mut self, budget: &mut u64) -> Option<Found> {
        self.sweep.as_mut()?.hash(budget)
    }

    /// Results that found no room since the last call.
    pub(super) fn lost(&mut self) -> u64 {
        self.sweep.as_mut().map_or(0, |sweep| std::mem::take(&mut sweep.lost))
    }

    /// The frame that reports a nonce: `nonce 4 | excess, job number, small core 2 | version 2`. Source: response.rs of
    /// GPTechinno/bm13xx-rs, which fits all captured answers whose jobs are known. Shape: the job's number, the zero bits that
    /// are asked for, and the frame.
    pub(super) fn nonce_answer(&self, found: &Found) -> Option<(u8, u32, Vec<u8>)> {
        let sweep = self.sweep.as_ref()?;
        let bits = self.kind.small_core_bits();
        let asked_bits = sweep.plan.ticket.bits();
        let excess = found.zero_bits.saturating_sub(asked_bits);
        let number = sweep.work.number;
        let packed = excess << (5 + bits) | u32::from(number) << bits | u32::from(found.small_core);
        let mut content = found.nonce.to_vec();
        content.extend((packed as u16).to_be_bytes());
        content.extend(found.version.to_be_bytes());
        content.truncate(self.answer_size());
        Some((number, asked_bits, answer(AnswerType::Nonce, &content)))
    }
}
