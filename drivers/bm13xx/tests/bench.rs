//! A chain on the bench: chips that answer as real ones do, a line, and a clock that goes when it is told to.

use std::time::{Duration, Instant};

use super::super::answer::{Answer, AnswerSize, RawNonce};
use super::super::bring_up::{BM1370_LIST, BringUp, RESET_BAUD};
use super::super::chain::{Chain, ChainConfig, ChainEvent, ChainFault};
use super::super::chip::JobForm;
use super::super::frame::{Frame, Recipient};
use super::super::job_frame::JobFrame;
use super::super::pll::Frequency;
use super::super::register::Register;
use super::super::ticket::ALWAYS_ZERO;
use super::proofs::gamma;
use crate::{BoardEvent, ChipJob, ChipJobId};

pub(super) const SECOND: Duration = Duration::from_secs(1);
/// The recorded nonce of a Bitaxe Gamma: bytes, version bits, sub-core.
pub(super) const GAMMA: ([u8; 4], u16, u8) = ([0x4c, 0x03, 0x52, 0x75], 0x05a2, 2);

pub(super) fn gamma_bench() -> Bench {
    Bench::new(&BM1370_LIST, 1, 525.0, RESET_BAUD)
}

/// A job of its own for each id, with a target that is hard to meet.
pub(super) fn job(id: u64) -> ChipJob {
    let mut target = [0; 32];
    target[24] = 1;
    ChipJob { id: ChipJobId(id), target, ..gamma().0 }
}

pub(super) fn failures(bench: &Bench) -> Vec<ChainFault> {
    let fault = |event: &ChainEvent| match event {
        ChainEvent::Failed(fault) | ChainEvent::Parked { reason: fault, .. } => Some(fault.clone()),
        _ => None,
    };
    bench.events.iter().filter_map(fault).collect()
}

pub(super) fn has_parked(bench: &Bench) -> bool {
    bench.events.iter().any(|event| matches!(event, ChainEvent::Parked { .. }))
}

pub(super) fn ends_of(bench: &Bench, id: u64) -> usize {
    bench.board_events().iter().filter(|event| **event == BoardEvent::JobEnding(ChipJobId(id))).count()
}

/// What is broken.
#[derive(Default)]
pub(super) struct Faults {
    /// Chips at the end that say nothing.
    pub(super) missing: usize,
    /// Chips that nobody knows of.
    pub(super) surplus: usize,
    /// The id that all have.
    pub(super) other_id: Option<u16>,
    /// Set-address commands reach no chip.
    pub(super) stuck_addresses: bool,
    /// The first so many set-address commands reach no chip.
    pub(super) lost_addresses: usize,
    /// The first so many answers lose a bit.
    pub(super) damaged_answers: usize,
    /// The chips do not hear writes of a speed.
    pub(super) deaf_to_speed: bool,
    /// The line loses everything at other speeds than the first.
    pub(super) slow_line: bool,
}

pub(super) struct Bench {
    pub(super) chain: Chain,
    pub(super) faults: Faults,
    pub(super) frames: Vec<Frame>,
    pub(super) events: Vec<ChainEvent>,
    pub(super) trace: String,
    list: &'static BringUp,
    addresses: Vec<u8>,
    addressed: usize,
    rolls: bool,
    in_reset: bool,
    chip_baud: u32,
    host_baud: u32,
    start: Instant,
    now: Instant,
}

impl Bench {
    pub(super) fn new(list: &'static BringUp, chips: usize, mhz: f64, baud: u32) -> Self {
        let frequency = Frequency::from_mhz(mhz);
        Self::of(&ChainConfig { bring_up: list, chips, frequency, baud, zero_bits: ALWAYS_ZERO })
    }

    pub(super) fn of(config: &ChainConfig) -> Self {
        let now = Instant::now();
        Self {
            chain: Chain::new(config, now).unwrap(),
            faults: Faults::default(),
            frames: Vec::new(),
            events: Vec::new(),
            trace: String::new(),
            list: config.bring_up,
            addresses: vec![0; config.chips],
            addressed: 0,
            rolls: false,
            in_reset: true,
            chip_baud: RESET_BAUD,
            host_baud: RESET_BAUD,
            start: now,
            now,
        }
    }

    pub(super) fn with(mut self, faults: Faults) -> Self {
        self.addresses = vec![0; self.addresses.len() + faults.surplus - faults.missing];
        self.faults = faults;
        self
    }

    pub(super) fn now(&self) -> Instant {
        self.now
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.drain();
            let Some(due) = self.chain.poll_timeout().filter(|due| *due <= end) else { break };
            self.now = self.now.max(due);
            self.chain.handle_timeout(self.now);
        }
        self.now = end;
    }

    /// Lets time pass until the chips take jobs.
    pub(super) fn until_ready(mut self) -> Self {
        for _ in 0..300 {
            if self.chain.is_hashing() {
                return self;
            }
            self.run(Duration::from_millis(100));
        }
        panic!("not ready after 30 s:\n{}", self.trace)
    }

    pub(super) fn set_job(&mut self, job: Option<ChipJob>) {
        self.chain.set_job(job, self.now);
        self.drain();
    }

    /// A nonce of the chips for the newest job.
    pub(super) fn answer(&mut self, nonce: [u8; 4], version: u16, sub_core: u8) {
        let tag = self.list.chip.tag(sub_core, self.job_number(), 0);
        let version = (self.list.chip.layout.form == JobForm::Header).then_some(version);
        let bytes = Answer::Nonce(RawNonce { nonce, tag, version }).emit(AnswerSize::Nine);
        self.chain.handle_bytes(&bytes, self.now);
        self.drain();
    }

    pub(super) fn job_number(&self) -> u8 {
        let jobs = self.frames.iter().rev().find_map(|frame| match frame {
            Frame::Job(JobFrame::Header(job)) => Some(job.job_byte),
            Frame::Job(JobFrame::Midstates(job)) => Some(job.job_byte),
            _ => None,
        });
        jobs.unwrap() >> self.list.chip.layout.job_shift
    }

    /// Jobs that the chips were told, one that was said again as one.
    pub(super) fn jobs_sent(&self) -> usize {
        let mut jobs: Vec<_> = self.frames.iter().filter(|frame| matches!(frame, Frame::Job(_))).collect();
        jobs.dedup();
        jobs.len()
    }

    /// Frames like this one.
    pub(super) fn times_sent(&self, wanted: impl Fn(&Frame) -> bool) -> usize {
        self.frames.iter().filter(|frame| wanted(frame)).count()
    }

    /// What all chips were told last about a register.
    pub(super) fn register(&self, wanted: Register) -> Option<u32> {
        self.frames.iter().rev().find_map(|frame| match frame {
            Frame::Write { to: Recipient::All, register, value } if *register == wanted => Some(*value),
            _ => None,
        })
    }

    pub(super) fn board_events(&self) -> Vec<BoardEvent> {
        let of_board = |event: &ChainEvent| match event {
            ChainEvent::Board(event) => Some(event.clone()),
            _ => None,
        };
        self.events.iter().filter_map(of_board).collect()
    }

    fn drain(&mut self) {
        loop {
            if let Some(bytes) = self.chain.poll_transmit() {
                let frame = Frame::parse(&bytes).unwrap();
                self.note('>', &bytes, &frame.to_string());
                let heard = !self.in_reset && self.chip_baud == self.host_baud;
                let answer = if heard { self.obey(&frame) } else { Vec::new() };
                self.frames.push(frame);
                let is_lost = self.faults.slow_line && self.host_baud != RESET_BAUD;
                if !answer.is_empty() && !is_lost {
                    for one in answer.chunks(self.answer_size().bytes()) {
                        self.note('<', one, "");
                    }
                    self.chain.handle_bytes(&answer, self.now);
                }
            } else if let Some(event) = self.chain.poll_event() {
                let what = match &event {
                    ChainEvent::ResetLine { held } => {
                        self.in_reset = *held;
                        self.chip_baud = RESET_BAUD;
                        self.addresses.fill(0);
                        (self.addressed, self.rolls) = (0, false);
                        if *held { "reset held" } else { "reset released" }.to_owned()
                    }
                    ChainEvent::HostSpeed(baud) => {
                        self.host_baud = *baud;
                        format!("host at {baud} baud")
                    }
                    ChainEvent::Ready => "ready".to_owned(),
                    other => format!("{other:?}"),
                };
                self.note('*', &[], &what);
                self.events.push(event);
            } else {
                return;
            }
        }
    }

    fn answer_size(&self) -> AnswerSize {
        if self.rolls { AnswerSize::Eleven } else { AnswerSize::Nine }
    }

    /// What a chain does at a command, and what it answers.
    fn obey(&mut self, frame: &Frame) -> Vec<u8> {
        match *frame {
            Frame::SetAddress(_) if self.faults.lost_addresses > 0 => self.faults.lost_addresses -= 1,
            Frame::ChainInactive => self.addressed = 0,
            Frame::SetAddress(address) if !self.faults.stuck_addresses => {
                if let Some(next) = self.addresses.get_mut(self.addressed) {
                    *next = address;
                    self.addressed += 1;
                }
            }
            Frame::Write { to: Recipient::All, register, value } => {
                self.rolls |= register == Register::VERSION_ROLLING;
                let speed =
                    self.list.speeds.iter().find(|speed| speed.register == register && speed.value == value);
                if let Some(speed) = speed
                    && !self.faults.deaf_to_speed
                {
                    self.chip_baud = speed.baud;
                }
            }
            Frame::Read { to: Recipient::All, register } => {
                let id = u32::from(self.faults.other_id.unwrap_or(self.list.chip.id)) << 16;
                let answer = |address: &u8| {
                    let value = id | u32::from(*address);
                    Answer::Register { value, chip_address: *address, register }.emit(self.answer_size())
                };
                let mut answers: Vec<_> = self.addresses.iter().flat_map(answer).collect();
                if self.faults.damaged_answers > 0 {
                    self.faults.damaged_answers -= 1;
                    answers[3] ^= 0x10;
                }
                return answers;
            }
            _ => {}
        }
        Vec::new()
    }

    fn note(&mut self, direction: char, bytes: &[u8], words: &str) {
        let at = self.now.duration_since(self.start).as_secs_f64() * 1e3;
        let hex: Vec<_> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
        let line = format!("{at:9.1} ms {direction} {:32} {words}", hex.join(" "));
        self.trace += line.trim_end();
        self.trace.push('\n');
    }
}
