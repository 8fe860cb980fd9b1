//! From a reset to hashing, as data: what each kind of board is told, in which order, with which waits.
//!
//! The lists are those of public drivers that run on such boards, named beside each. Ours add two things to all: after
//! addresses were given they are read back (ESP-Miner issue 56: a chain with a broken line answers under one address),
//! and between two writes pass 10 ms at least, as Bitmain's own firmware leaves them.

use std::time::Duration;

use super::chip::{Chip, JobForm};
use super::frame::{Frame, Recipient};
use super::pll::{AFTER_RESET, Frequency, OutOfReach, STEP_EVERY};
use super::register::Register;
use super::sweep;
use super::ticket::Ticket;

mod again;
mod halt;
mod lists;

pub use again::{assignment, settings, thrice};
pub use halt::halt;
pub use lists::{
    BM1362_LIST, BM1366_LIST, BM1368_LIST, BM1370_LIST, BM1397_LIST, GEKKO_BM1362_LIST, GEKKO_BM1370_LIST,
    LISTS, S21_PRO_LIST,
};

/// Speed of the line after a reset, baud. A chip has 115 740 then.
pub const RESET_BAUD: u32 = 115_200;

/// Milliseconds between two writes where a source names no other time.
const GAP: u64 = 10;

/// A way to bring up a chain of one kind of chip.
#[derive(Debug, PartialEq)]
pub struct BringUp {
    /// Short name for the configuration.
    pub name: &'static str,
    /// The chips.
    pub chip: &'static Chip,
    /// What to do.
    pub steps: &'static [Step],
    /// Speeds that the line can be switched to afterwards.
    pub speeds: &'static [LineSpeed],
}

/// A speed of the line, and the write to all chips that switches to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineSpeed {
    /// Speed of the host. A chip's own may differ by 4 %, which both sides bear.
    pub baud: u32,
    /// Which register.
    pub register: Register,
    /// Its value.
    pub value: u32,
}

/// One step. Times are milliseconds to wait after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A write to all chips.
    Write(Register, u32, u64),
    /// A write to the first chip.
    WriteFirst(Register, u32),
    /// Writes to each chip in turn, and the wait after each chip.
    EachChip(&'static [(Register, u32)], u64),
    /// Ask for ids and count them.
    Count,
    /// Chips keep commands to themselves.
    Inactive(u64),
    /// An address for each chip, read back afterwards.
    Addresses,
    /// What long chains need where one voltage domain borders on the next. Shape: chips of a domain.
    Domains(usize),
    /// The ticket mask.
    TicketMask(u64),
    /// Raise the frequency step by step.
    Ramp,
    /// The sweep length of the frequency reached.
    SweepLength,
}

/// What a chain does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Sends a frame and waits.
    Send(Frame, Duration),
    /// The chips have this frequency now.
    AtFrequency(Frequency),
    /// Asks all chips for their ids and waits for the answers.
    Ask(Question),
    /// The host's side of the line takes this speed.
    HostSpeed(u32),
}

/// What the ids are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// How many chips there are, and of which kind.
    HowMany,
    /// Whether each has taken its address.
    Addresses,
    /// Whether they are heard at this speed.
    Speed(u32),
}

/// All that a chain does from its reset to its first job, the change of speed left out. Errors: the frequency.
pub fn program(
    list: &BringUp,
    addresses: &[u8],
    frequency: Frequency,
    ticket: Ticket,
) -> Result<Vec<Action>, OutOfReach> {
    let mut actions = Vec::new();
    for step in list.steps {
        match *step {
            Step::Write(register, value, wait) => actions.push(to_all(register, value, wait)),
            Step::WriteFirst(register, value) => actions.push(to_one(0, register, value, GAP)),
            Step::EachChip(writes, wait) => {
                for &address in addresses {
                    let (last, others) = writes.split_last().expect("no list of writes is empty");
                    actions.extend(
                        others.iter().map(|(register, value)| to_one(address, *register, *value, GAP)),
                    );
                    actions.push(to_one(address, last.0, last.1, wait));
                }
            }
            Step::Count => actions.push(Action::Ask(Question::HowMany)),
            Step::Inactive(wait) => actions.push(send(Frame::ChainInactive, wait)),
            Step::Addresses => actions.extend(addresses_for(addresses)),
            Step::Domains(size) => actions.extend(domains(addresses, size)),
            Step::TicketMask(wait) => {
                actions.push(to_all(Register::TICKET_MASK, ticket.register_value(), wait));
            }
            Step::Ramp => actions.extend(ramp(list.chip, AFTER_RESET, frequency)?),
            Step::SweepLength => actions.extend(sweep_length(list.chip, addresses.len(), frequency)),
        }
    }
    Ok(actions)
}

/// Domains up to which a chain needs no relays. Source: Bitmain's firmware as mujina captured it, as of the values below.
const DOMAINS_WITHOUT_RELAYS: usize = 9;
/// What relays wait between two answers: so much at the far end of the chain, and more for each domain nearer to the host.
const LAST_GAP: u32 = 0x13;
const GAP_STEP: u32 = 5;

/// The last chip of each domain drives the next one harder, and in long chains the first and the last chip of each relay
/// commands and answers.
fn domains(addresses: &[u8], size: usize) -> Vec<Action> {
    let domains = addresses.chunks(size);
    let count = domains.len();
    let ends = domains.clone().filter_map(|domain| domain.last());
    let mut actions: Vec<_> =
        ends.map(|last| to_one(*last, Register::IO_DRIVER_STRENGTH, 0x0001_f111, GAP)).collect();
    actions.push(to_all(Register::PLL3, 0x5aa5_5aa5, GAP));
    if count > DOMAINS_WITHOUT_RELAYS {
        for (place, domain) in domains.enumerate() {
            let gap = LAST_GAP + GAP_STEP * (count - 1 - place) as u32;
            let borders = [domain.first(), domain.last()].into_iter().flatten();
            let relay = |address: &u8| to_one(*address, Register::UART_RELAY, gap << 16 | 3, GAP);
            actions.extend(borders.map(relay));
        }
    }
    actions
}

/// The way from one frequency to another; at least one write, even where they are the same. Errors: one of them is out of
/// reach.
pub fn ramp(chip: &Chip, from: Frequency, to: Frequency) -> Result<Vec<Action>, OutOfReach> {
    chip.pll.dividers(to)?; // the one that was asked for is the one to complain about
    let mut actions = Vec::new();
    let here = (from == to).then_some(to);
    for frequency in here.into_iter().chain(from.steps_to(to)) {
        let writes = chip.pll.writes(frequency)?;
        let (last, others) = writes.split_last().expect("a frequency is set by one write at least");
        actions.extend(others.iter().map(|(register, value)| to_all(*register, *value, GAP)));
        let last = Frame::Write { to: Recipient::All, register: last.0, value: last.1 };
        actions.push(Action::Send(last, STEP_EVERY));
        actions.push(Action::AtFrequency(frequency));
    }
    Ok(actions)
}

/// The write of the sweep length, for chips that roll versions by themselves.
pub fn sweep_length(chip: &Chip, chips: usize, frequency: Frequency) -> Option<Action> {
    let value = sweep::counting_number(chip, chips, frequency);
    (chip.layout.form == JobForm::Header).then(|| to_all(Register::HASH_COUNTING_NUMBER, value, GAP))
}

fn addresses_for(addresses: &[u8]) -> Vec<Action> {
    let mut actions: Vec<_> =
        addresses.iter().map(|address| send(Frame::SetAddress(*address), GAP)).collect();
    actions.push(Action::Ask(Question::Addresses));
    actions
}

fn send(frame: Frame, wait: u64) -> Action {
    Action::Send(frame, Duration::from_millis(wait))
}

fn to_all(register: Register, value: u32, wait: u64) -> Action {
    send(Frame::Write { to: Recipient::All, register, value }, wait)
}

fn to_one(address: u8, register: Register, value: u32, wait: u64) -> Action {
    send(Frame::Write { to: Recipient::One(address), register, value }, wait)
}
