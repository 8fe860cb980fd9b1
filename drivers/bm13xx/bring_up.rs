//! From a reset to hashing, as data: what each kind of board is told, in which order, with which waits.
//!
//! The lists are those of public drivers that run on such boards, named beside each. Ours add two things to all: after
//! addresses were given they are read back (ESP-Miner issue 56: a chain with a broken line answers under one address),
//! and between two writes pass 10 ms at least, as Bitmain's own firmware leaves them.

use std::time::Duration;

use super::chip::{BM1362, BM1366, BM1368, BM1370, BM1397, Chip, JobForm};
use super::frame::{Frame, Recipient};
use super::pll::{AFTER_RESET, Frequency, OutOfReach, STEP_EVERY};
use super::register::{ROLLABLE, Register, core_write, version_rolling};
use super::sweep;
use super::ticket::Ticket;

mod again;
mod halt;

pub use again::{assignment, settings, thrice};
pub use halt::halt;

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

const ROLL: u32 = version_rolling(ROLLABLE);
/// As cgminer's `driver-gekko.c` has it for the Compac A2.
const GEKKO_ROLL: u32 = 0x8000_ffff;
const GEKKO_ROLLING: Step = Step::Write(Register::VERSION_ROLLING, GEKKO_ROLL, GAP);
const ROLLING: Step = Step::Write(Register::VERSION_ROLLING, ROLL, GAP);
const CORE_ENABLE: (Register, u32) = core(0x02, 0xaa);

const fn write(register: Register, value: u32) -> Step {
    Step::Write(register, value, GAP)
}

const fn core(core_register: u8, value: u8) -> (Register, u32) {
    (Register::CORE_CONTROL, core_write(core_register, value))
}

const fn write_core(core_register: u8, value: u8, wait: u64) -> Step {
    Step::Write(Register::CORE_CONTROL, core_write(core_register, value), wait)
}

/// Source of both speeds: ESP-Miner `bm1370.c` (1 Mbaud), Bitmain's firmware as mujina captured it (3.125 Mbaud).
const FAST_UART: &[LineSpeed] = &[
    LineSpeed { baud: 1_000_000, register: Register::FAST_UART, value: 0x1130_0200 },
    LineSpeed { baud: 3_125_000, register: Register::FAST_UART, value: 0x1130_0000 },
];

const BM1370_EACH: Step = Step::EachChip(
    &[
        (Register::SOFT_RESET, 0x0007_01f0),
        (Register::MISC_CONTROL, 0xf000_c100),
        core(0x0b, 0x00),
        core(0x00, 0x0c),
        CORE_ENABLE,
    ],
    GAP,
);

/// Source: ESP-Miner `bm1370.c`, mujina `asic/bm13xx/thread.rs`.
pub static BM1370_LIST: BringUp = BringUp {
    name: "bm1370",
    chip: &BM1370,
    steps: &[
        ROLLING,
        ROLLING,
        ROLLING,
        Step::Count,
        ROLLING,
        write(Register::SOFT_RESET, 0x0007_0000),
        write(Register::MISC_CONTROL, 0xf000_c100),
        Step::Inactive(GAP),
        Step::Addresses,
        write_core(0x0b, 0x00, GAP),
        write_core(0x00, 0x0c, GAP),
        Step::TicketMask(GAP),
        write(Register::IO_DRIVER_STRENGTH, 0x0001_1111),
        BM1370_EACH,
        write(Register::VOLTAGE_ADC, 0x0000_4480),
        write(Register::ANALOG_MUX, 2),
        write(Register::VOLTAGE_ADC, 0x0000_4480),
        write_core(0x0d, 0xee, GAP),
        Step::Ramp,
        Step::SweepLength,
        Step::Write(Register::VERSION_ROLLING, ROLL, 150),
    ],
    speeds: FAST_UART,
};

/// For GekkoScience's Compac A2, which stays at the speed it starts with: the list of the BM1370 with the clock delay, the
/// value of core register 13 and the way to roll versions that cgminer's `driver-gekko.c` has. Not tried on a Compac A2.
pub static GEKKO_BM1370_LIST: BringUp = BringUp {
    name: "gekko-bm1370",
    chip: &BM1370,
    steps: &[
        GEKKO_ROLLING,
        GEKKO_ROLLING,
        GEKKO_ROLLING,
        Step::Count,
        GEKKO_ROLLING,
        write(Register::SOFT_RESET, 0x0007_0000),
        write(Register::MISC_CONTROL, 0xf000_c100),
        Step::Inactive(100),
        Step::Addresses,
        write_core(0x0b, 0x00, GAP),
        write_core(0x00, 0x0e, 100),
        Step::TicketMask(GAP),
        Step::Write(Register::IO_DRIVER_STRENGTH, 0x0001_1111, 100),
        Step::EachChip(
            &[
                (Register::SOFT_RESET, 0x0007_01f0),
                (Register::MISC_CONTROL, 0xf000_c100),
                core(0x0b, 0x00),
                core(0x00, 0x0e),
                CORE_ENABLE,
            ],
            GAP,
        ),
        write(Register::VOLTAGE_ADC, 0x0000_4480),
        write(Register::ANALOG_MUX, 2),
        write(Register::VOLTAGE_ADC, 0x0000_4480),
        write_core(0x0d, 0x04, GAP),
        Step::Ramp,
        Step::SweepLength,
        Step::Write(Register::VERSION_ROLLING, GEKKO_ROLL, 150),
    ],
    speeds: &[],
};

/// For a hash board of Bitmain's S21 Pro: 65 chips in 13 domains of five. Source: Bitmain's firmware as mujina captured it
/// (`REFERENCE.md`). It sets the speed of the line before the chips one by one, we at the end as on other boards, and it
/// gives each chip its own offset of nonces, where ours share the range by their addresses. Not tried on such a board.
pub static S21_PRO_LIST: BringUp = BringUp {
    name: "s21-pro",
    chip: &BM1370,
    steps: &[
        ROLLING,
        ROLLING,
        ROLLING,
        Step::Count,
        ROLLING,
        write(Register::SOFT_RESET, 0x0007_0000),
        write(Register::MISC_CONTROL, 0xf000_c100),
        Step::Inactive(GAP),
        Step::Addresses,
        write_core(0x0b, 0x00, GAP),
        write_core(0x00, 0x0c, GAP),
        Step::TicketMask(GAP),
        write(Register::IO_DRIVER_STRENGTH, 0x0001_1111),
        Step::Domains(5),
        BM1370_EACH,
        write(Register::VOLTAGE_ADC, 0x0000_4480),
        write(Register::ANALOG_MUX, 2),
        write(Register::VOLTAGE_ADC, 0x0000_4480),
        write_core(0x0d, 0xee, GAP),
        Step::Ramp,
        Step::SweepLength,
        Step::Write(Register::VERSION_ROLLING, ROLL, 150),
    ],
    speeds: FAST_UART,
};

/// Source: ESP-Miner `bm1366.c`.
pub static BM1366_LIST: BringUp = BringUp {
    name: "bm1366",
    chip: &BM1366,
    steps: &[
        ROLLING,
        ROLLING,
        ROLLING,
        Step::Count,
        write(Register::SOFT_RESET, 0x0007_0000),
        write(Register::MISC_CONTROL, 0xff0f_c100),
        Step::Inactive(GAP),
        Step::Addresses,
        write_core(0x05, 0x40, GAP),
        write_core(0x00, 0x20, GAP),
        Step::TicketMask(GAP),
        write(Register::ANALOG_MUX, 3),
        write(Register::IO_DRIVER_STRENGTH, 0x0211_1111),
        Step::WriteFirst(Register::UART_RELAY, 0x007c_0003),
        Step::EachChip(
            &[
                (Register::SOFT_RESET, 0x0007_01f0),
                (Register::MISC_CONTROL, 0xf000_c100),
                core(0x05, 0x40),
                core(0x00, 0x20),
                CORE_ENABLE,
            ],
            GAP,
        ),
        Step::Ramp,
        Step::SweepLength,
        ROLLING,
    ],
    speeds: FAST_UART,
};

/// Source: ESP-Miner `bm1368.c`, which waits half a second after each chip.
pub static BM1368_LIST: BringUp = BringUp {
    name: "bm1368",
    chip: &BM1368,
    steps: &[
        ROLLING,
        ROLLING,
        ROLLING,
        ROLLING,
        Step::Count,
        Step::Inactive(GAP),
        write(Register::SOFT_RESET, 0x0007_0000),
        write(Register::MISC_CONTROL, 0xff0f_c100),
        write_core(0x0b, 0x00, GAP),
        write_core(0x00, 0x18, GAP),
        Step::TicketMask(GAP),
        write(Register::ANALOG_MUX, 3),
        write(Register::IO_DRIVER_STRENGTH, 0x0211_1111),
        Step::Addresses,
        Step::EachChip(
            &[
                (Register::SOFT_RESET, 0x0007_01f0),
                (Register::MISC_CONTROL, 0xf000_c100),
                core(0x0b, 0x00),
                core(0x00, 0x18),
                CORE_ENABLE,
            ],
            500,
        ),
        Step::TicketMask(GAP),
        Step::Ramp,
        Step::SweepLength,
        ROLLING,
    ],
    speeds: FAST_UART,
};

const BM1362_EACH: &[(Register, u32)] = &[
    (Register::SOFT_RESET, 2),
    (Register::MISC_CONTROL, 0xb000_c100),
    core(0x05, 0x40),
    core(0x00, 0x08),
    CORE_ENABLE,
];

/// For the emberOne. Source: Bitmain's S19j Pro as mujina captured it (`REFERENCE.md`); not tried on an emberOne, whose
/// own firmware uses the list of the BM1366.
pub static BM1362_LIST: BringUp = BringUp {
    name: "bm1362",
    chip: &BM1362,
    steps: &[
        ROLLING,
        ROLLING,
        ROLLING,
        Step::Count,
        write(Register::SOFT_RESET, 0),
        write(Register::MISC_CONTROL, 0xb000_c100),
        Step::Inactive(GAP),
        Step::Addresses,
        write_core(0x05, 0x40, GAP),
        write_core(0x00, 0x08, GAP),
        Step::TicketMask(GAP),
        write(Register::ANALOG_MUX, 3),
        write(Register::IO_DRIVER_STRENGTH, 0x0001_1111),
        Step::Ramp,
        Step::EachChip(BM1362_EACH, GAP),
        Step::SweepLength,
        ROLLING,
    ],
    speeds: FAST_UART,
};

/// For GekkoScience's Compac A1, which stays at the speed it starts with. Source: cgminer `driver-gekko.c`; it tells the
/// chips once to roll versions, we three times, so that a lost byte does not leave them with answers of nine bytes.
pub static GEKKO_BM1362_LIST: BringUp = BringUp {
    name: "gekko-bm1362",
    chip: &BM1362,
    steps: &[
        ROLLING,
        ROLLING,
        ROLLING,
        Step::Count,
        Step::Inactive(100),
        Step::Addresses,
        write_core(0x05, 0x40, 10),
        write_core(0x00, 0x08, 100),
        Step::TicketMask(GAP),
        Step::Write(Register::ANALOG_MUX, 3, 50),
        Step::Write(Register::IO_DRIVER_STRENGTH, 0x0001_1111, 100),
        Step::EachChip(BM1362_EACH, GAP),
        Step::Ramp,
        Step::SweepLength,
        ROLLING,
    ],
    speeds: &[],
};

/// Source: ESP-Miner `bm1397.c` and a capture of Gekko's Compac F in skot/BM1397 `readme.md`; waits and repetitions are
/// cgminer's (`driver-gekko.c`).
pub static BM1397_LIST: BringUp = BringUp {
    name: "bm1397",
    chip: &BM1397,
    steps: &[
        Step::Count,
        Step::Inactive(100),
        Step::Inactive(100),
        Step::Inactive(100),
        Step::Addresses,
        write(Register::CLOCK_ORDER_0, 0),
        Step::Write(Register::CLOCK_ORDER_1, 0, 100),
        Step::Write(Register::ORDERED_CLOCK_ENABLE, 1, 50),
        write_core(0x00, 0x74, 100),
        Step::TicketMask(GAP),
        Step::Write(Register::PLL3, 0xc070_0111, 50),
        Step::Write(Register::PLL3, 0xc070_0111, 50),
        Step::Write(Register::FAST_UART, 0x0600_000f, 100),
        write(Register::MISC_CONTROL, 0x0000_7a31),
        Step::Ramp,
    ],
    speeds: &[
        LineSpeed { baud: 1_500_000, register: Register::MISC_CONTROL, value: 0x0000_6131 },
        LineSpeed { baud: 3_125_000, register: Register::MISC_CONTROL, value: 0x0000_6031 },
    ],
};

/// All lists.
pub static LISTS: [&BringUp; 8] = [
    &BM1397_LIST,
    &BM1362_LIST,
    &GEKKO_BM1362_LIST,
    &BM1366_LIST,
    &BM1368_LIST,
    &BM1370_LIST,
    &GEKKO_BM1370_LIST,
    &S21_PRO_LIST,
];

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
