//! Which board it is, found out over its two ports: by the parts behind the control port, and where several boards have the
//! same, by their chips.
//!
//! Chips are held in reset meanwhile. They get another voltage only to be asked for their ids, and only where a DS4432U
//! bends a converter that is on anyway: the lowest default of the boards in question, if all of them bear it. A board whose
//! power would have to be switched on first is named by the operator instead.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::boards::{BoardKind, Parts, PowerMeter, Regulator, Sensor, boards};
use super::link::{CallError, Link, LinkEvent};
use super::packet::Command;
use super::power_up::{I2C_HERTZ, reset_line};
use crate::bm13xx::answer::{Answer, AnswerSize};
use crate::bm13xx::decoder::Decoder;
use crate::bm13xx::frame::{Frame, Recipient};
use crate::bm13xx::register::Register;

/// Wait after a DS4432U has moved the converter.
const CONVERTER_SETTLES: Duration = Duration::from_millis(100);
/// Wait after the reset was let go. Source: mujina `board/bitaxe.rs`.
const RESET_RELEASED: Duration = Duration::from_millis(200);
/// How long ids may take. Source: ESP-Miner `asic_common.c`.
const IDS_WITHIN: Duration = Duration::from_secs(1);
/// Ids that are counted; no board has as many chips.
const MOST_IDS: usize = 256;

/// Parts that tell boards apart, with what is read of them: a register, and how many bytes.
const PARTS: [(Part, u8, u8, u8); 4] = [
    (Part::Tps546, 0x24, 0xad, 7),
    (Part::Tmp1075, 0x4a, 0x0f, 2),
    (Part::Tmp451, 0x49, 0x02, 1),
    (Part::Ina260, 0x40, 0x01, 2),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Tps546,
    Tmp1075,
    Tmp451,
    Ina260,
}

/// Why a board stays unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unidentified {
    /// Nobody answers at the control port, or it refuses what every board does.
    #[error("{0}; is the first port the control port, and the second the one of the chips?")]
    Call(#[from] CallError),
    /// No board has such parts.
    #[error("no known board has these parts; name the model, one of {0}")]
    Unknown(String),
    /// Several have, and only with power would their chips tell them apart.
    #[error("its parts are those of {0}: name the model, such as {1}:CONTROL,DATA")]
    Ambiguous(String, String),
    /// The chips are none of those boards'.
    #[error("{found} × {chip:#06x} answer, expected the chips of {expected}; name the model")]
    Chips {
        /// Upper half of their id; 0 if none answers.
        chip: u16,
        /// How many there are.
        found: usize,
        /// The boards in question.
        expected: String,
    },
}

/// A step of the way.
#[derive(Debug)]
enum Step {
    Call(Command),
    Look(Part, Command),
    Wait(Duration),
    AskChips,
    JudgeParts,
    JudgeChips,
}

/// A call under way.
#[derive(Debug, PartialEq)]
enum Name {
    Needed,
    Part(Part),
}

/// A board being found out.
#[derive(Debug)]
pub struct Identification {
    link: Link<Name>,
    decoder: Decoder,
    rest: VecDeque<Step>,
    wait_until: Instant,
    parts: Vec<Part>,
    candidates: Vec<&'static BoardKind>,
    chips: Vec<u16>,
    out: VecDeque<Vec<u8>>,
    outcome: Option<Result<&'static BoardKind, Unidentified>>,
}

impl Identification {
    /// Begins now.
    pub fn new(now: Instant) -> Self {
        let look = |(part, address, register, count)| {
            Step::Look(part, Command::read_register(address, register, count))
        };
        let first = [Step::Call(reset_line(true)), Step::Call(Command::I2cSpeed(I2C_HERTZ))];
        let mut board = Self {
            link: Link::default(),
            decoder: Decoder::new(AnswerSize::Nine),
            rest: first.into_iter().chain(PARTS.map(look)).chain([Step::JudgeParts]).collect(),
            wait_until: now,
            parts: Vec::new(),
            candidates: Vec::new(),
            chips: Vec::new(),
            out: VecDeque::new(),
            outcome: None,
        };
        board.handle_timeout(now);
        board
    }

    /// Bytes from the control port.
    pub fn handle_control(&mut self, bytes: &[u8], now: Instant) {
        self.link.handle_bytes(bytes, now);
        self.handle_timeout(now);
    }

    /// Bytes from the port of the chips.
    pub fn handle_data(&mut self, bytes: &[u8]) {
        for answer in self.decoder.feed(bytes) {
            if let Answer::Register { value, register: Register::CHIP_ID, .. } = answer
                && self.chips.len() < MOST_IDS
            {
                self.chips.push((value >> 16) as u16);
            }
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.link.handle_timeout(now);
        while let Some(event) = self.link.poll_event() {
            let LinkEvent::Ended { call, outcome } = event else { continue };
            match (call, outcome) {
                (Name::Part(part), Ok(_)) => self.parts.push(part),
                (Name::Needed, Ok(_)) | (Name::Part(_), Err(CallError::Refused(_))) => {}
                (_, Err(error)) => self.outcome = Some(Err(error.into())),
            }
        }
        while self.outcome.is_none() && self.link.is_idle() && self.wait_until <= now {
            let Some(step) = self.rest.pop_front() else { return };
            match step {
                Step::Call(command) => self.link.call(Name::Needed, command, now),
                Step::Look(part, command) => self.link.call(Name::Part(part), command, now),
                Step::Wait(time) => self.wait_until = now + time,
                Step::AskChips => {
                    let ask = Frame::Read { to: Recipient::All, register: Register::CHIP_ID };
                    self.out.push_back(ask.emit());
                    self.wait_until = now + IDS_WITHIN;
                }
                Step::JudgeParts => self.judge_parts(),
                Step::JudgeChips => self.outcome = Some(self.judge_chips()),
            }
        }
    }

    /// The next bytes for the control port, in one write.
    pub fn poll_control(&mut self) -> Option<Vec<u8>> {
        self.link.poll_transmit()
    }

    /// The next bytes for the port of the chips, at the speed that they have after a reset.
    pub fn poll_data(&mut self) -> Option<Vec<u8>> {
        self.out.pop_front()
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.link.is_idle() { Some(self.wait_until) } else { self.link.poll_timeout() }
    }

    /// What came of it, once it has ended.
    pub fn outcome(&self) -> Option<&Result<&'static BoardKind, Unidentified>> {
        self.outcome.as_ref()
    }

    fn judge_parts(&mut self) {
        let known = || boards().iter().filter(|board| board.parts.regulator.is_some());
        self.candidates = known().filter(|board| has(&board.parts) == self.parts).collect();
        match (self.candidates.as_slice(), safe_voltage(&self.candidates)) {
            ([], _) => self.outcome = Some(Err(Unidentified::Unknown(names(known())))),
            ([board], _) => self.outcome = Some(Ok(board)),
            ([first, ..], None) => {
                let all = names(self.candidates.iter().copied());
                self.outcome = Some(Err(Unidentified::Ambiguous(all, first.name.clone())));
            }
            (_, Some(set)) => self.rest.extend([
                Step::Call(set),
                Step::Wait(CONVERTER_SETTLES),
                Step::Call(reset_line(false)),
                Step::Wait(RESET_RELEASED),
                Step::AskChips,
                Step::Call(reset_line(true)),
                Step::JudgeChips,
            ]),
        }
    }

    fn judge_chips(&self) -> Result<&'static BoardKind, Unidentified> {
        let is_it = |board: &&&BoardKind| {
            let id = board.list().chip.id;
            self.chips.len() == board.chips.count && self.chips.iter().all(|chip| *chip == id)
        };
        let unidentified = || Unidentified::Chips {
            chip: self.chips.first().copied().unwrap_or(0),
            found: self.chips.len(),
            expected: names(self.candidates.iter().copied()),
        };
        self.candidates.iter().find(is_it).copied().ok_or_else(unidentified)
    }
}

/// Sets what all of these boards bear; `None` if one of them has no DS4432U.
fn safe_voltage(boards: &[&BoardKind]) -> Option<Command> {
    let millivolts = boards.iter().map(|board| board.millivolts.default).min()?;
    let mut set = None;
    for board in boards {
        let Some(Regulator::Ds4432u(part)) = board.parts.regulator else { return None };
        set = Some(part.set(board.voltage(millivolts).ok()?));
    }
    set
}

/// Which of the parts that are looked for a board has, in their order.
fn has(parts: &Parts) -> Vec<Part> {
    let sensors = [parts.chip_sensor, parts.board_sensor];
    let is_there = |part: &Part| match part {
        Part::Tps546 => matches!(parts.regulator, Some(Regulator::Tps546(_))),
        Part::Tmp1075 => sensors.iter().any(|sensor| matches!(sensor, Some(Sensor::Tmp1075 { .. }))),
        Part::Tmp451 => sensors.iter().any(|sensor| matches!(sensor, Some(Sensor::Tmp451Remote { .. }))),
        Part::Ina260 => matches!(parts.power_meter, Some(PowerMeter::Ina260 { .. })),
    };
    PARTS.iter().map(|(part, ..)| *part).filter(is_there).collect()
}

fn names<'a>(boards: impl Iterator<Item = &'a BoardKind>) -> String {
    boards.map(|board| board.name.as_str()).collect::<Vec<_>>().join(", ")
}
