//! A driver and a virtual board on two lines in memory, an engine that gives jobs, and one clock.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use signalcore_drivers::bitaxe::board::{
    Board, BoardSettings, DataOut, LineSettings, OffReason, OwnLimits, Phase, Status,
};
use signalcore_drivers::bitaxe::boards::{BoardKind, board};
use signalcore_drivers::bitaxe::packet::{Command, Request};
use signalcore_drivers::bitaxe::regulator::{Ds4432u, steps_of_volts, volts_of_steps};
use signalcore_drivers::bitaxe::tuner::{Goal, Results, default_point};
use signalcore_drivers::{BoardEvent, ChipJob, ChipJobId};
use signalcore_hil::virtual_board::{
    Board as VirtualBoard, BoardConfig, BoardKind as VirtualKind, Event, Fault, Port,
};

/// So few that a nonce costs next to nothing.
const ZERO_BITS: u32 = 2;
/// Seven zero bits: a gamma reports eight nonces a second by it, as it does for real pools.
const TARGET: [u8; 32] = {
    let mut target = [0xff; 32];
    target[31] = 0x01;
    target
};
/// Of PMBus, by which a gamma's regulator is told its voltage, and what the firmware says of a part that does not answer.
const VOUT_COMMAND: u8 = 0x21;
const NO_PART: u8 = 0x10;
/// The longest that the bench looks away.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(crate) struct Bench {
    kind: &'static BoardKind,
    pub(crate) driver: Board,
    played: VirtualBoard,
    start: Instant,
    now: Duration,
    baud: u32,
    jobs: BTreeMap<u64, ChipJob>,
    pub(crate) nonces: u64,
    pub(crate) told: Vec<(Duration, BoardEvent)>,
    pub(crate) played_events: Vec<(Duration, Event)>,
    /// What is answered as of a part that is not there, and not done.
    pub(crate) refuses: fn(&Command) -> bool,
    /// Volts that the output of a gamma's regulator is read as, if not what they are.
    pub(crate) reads_volts: Option<f64>,
}

/// Whether this reads the output voltage of a gamma's regulator, by itself and not for its power.
fn reads_output(command: &Command) -> bool {
    matches!(command, Command::I2cWriteRead { address: 0x24, bytes, count: 2 } if bytes == &[0x8b])
}

/// Whether this sets the voltage of a gamma.
pub(crate) fn sets_voltage(command: &Command) -> bool {
    matches!(command, Command::I2cWrite { bytes, .. } if bytes.first() == Some(&VOUT_COMMAND))
}

pub(crate) fn kind(name: &str) -> &'static BoardKind {
    board(name).unwrap()
}

pub(crate) fn settings(name: &str) -> BoardSettings {
    let kind = kind(name);
    let line = LineSettings { zero_bits: ZERO_BITS, ..LineSettings::default() };
    let (limits, known) = (OwnLimits::default(), Results::default());
    BoardSettings { kind, point: default_point(kind), line, limits, goal: None, known }
}

impl Bench {
    /// The driver with its defaults, on a board of this name with these faults.
    pub(crate) fn new(name: &str, faults: &[&str]) -> Self {
        Self::with(settings(name), name, faults)
    }

    pub(crate) fn tuning(name: &str, goal: Goal, known: Results) -> Self {
        Self::with(BoardSettings { goal: Some(goal), known, ..settings(name) }, name, &[])
    }

    pub(crate) fn with(settings: BoardSettings, played: &str, faults: &[&str]) -> Self {
        let faults = faults.iter().map(|text| text.parse::<Fault>().unwrap()).collect();
        let kind = settings.kind;
        let played = VirtualKind::named(played).unwrap();
        let played = BoardConfig { zero_bits: ZERO_BITS, faults, ..BoardConfig::new(played) };
        let start = Instant::now();
        let mut bench = Self {
            kind,
            driver: Board::new(settings, start).unwrap(),
            played: VirtualBoard::new(played).unwrap(),
            start,
            now: Duration::ZERO,
            baud: 115_200,
            jobs: BTreeMap::new(),
            nonces: 0,
            told: Vec::new(),
            played_events: Vec::new(),
            refuses: |_| false,
            reads_volts: None,
        };
        bench.give_job();
        bench
    }

    pub(crate) fn instant(&self) -> Instant {
        self.start + self.now
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.now.as_secs_f64()
    }

    pub(crate) fn status(&self) -> Status {
        self.driver.status(self.instant())
    }

    pub(crate) fn give_job(&mut self) {
        let id = self.jobs.len() as u64;
        let job = ChipJob {
            id: ChipJobId(id),
            version: 0x2000_0000,
            prev_hash: [7; 32],
            merkle_root: [id as u8; 32],
            ntime: 1_700_000_000 + id as u32,
            nbits: 0x1703_4219,
            version_mask: 0x1fff_e000,
            target: TARGET,
        };
        self.driver.set_job(Some(job.clone()), self.instant());
        self.jobs.insert(id, job);
    }

    /// Lets so many seconds pass.
    pub(crate) fn run(&mut self, seconds: f64) {
        let end = self.now + Duration::from_secs_f64(seconds);
        while self.now < end {
            self.carry();
            let due = self.driver.poll_timeout().map(|at| at.saturating_duration_since(self.start));
            let next = due.into_iter().chain(self.played.poll_timeout()).min().unwrap_or(end);
            let least = self.now + Duration::from_micros(100);
            self.now = next.clamp(least, end.min(self.now + LOOK_EVERY).max(least));
            self.played.handle_timeout(self.now);
            self.driver.handle_timeout(self.instant());
        }
        self.carry();
    }

    /// Lets time pass until this holds. Shape: whether it did within so many seconds.
    pub(crate) fn until(&mut self, seconds: f64, holds: impl Fn(&Self) -> bool) -> bool {
        let end = self.seconds() + seconds;
        while !holds(self) && self.seconds() < end {
            self.run(0.1);
        }
        holds(self)
    }

    pub(crate) fn is_hashing(&self) -> bool {
        self.status().phase == Phase::Running { is_hashing: true }
    }

    /// Why the board is off, once it is.
    pub(crate) fn off(&self) -> Option<OffReason> {
        match self.status().phase {
            Phase::Off { why, is_done: true } => Some(why),
            _ => None,
        }
    }

    pub(crate) fn faults(&self) -> Vec<String> {
        let fault = |(_, event): &(Duration, BoardEvent)| match event {
            BoardEvent::Fault(text) => Some(text.clone()),
            _ => None,
        };
        self.told.iter().filter_map(fault).collect()
    }

    /// When the board last gained or lost its core power, in seconds, and at how many millivolts.
    pub(crate) fn power(&self) -> Option<(f64, u32, bool)> {
        self.played_events.iter().rev().find_map(|(at, event)| match event {
            Event::Power { millivolts, on } => Some((at.as_secs_f64(), *millivolts, *on)),
            _ => None,
        })
    }

    fn carry(&mut self) {
        loop {
            let mut is_quiet = true;
            while let Some(bytes) = self.driver.poll_control() {
                is_quiet = false;
                let Request { id, command } = Request::parse(&bytes).unwrap();
                self.check(&command);
                let output = self.reads_volts.filter(|_| reads_output(&command));
                if let Some(volts) = output {
                    let [low, high] = steps_of_volts(volts).to_le_bytes();
                    self.driver.handle_control(&[2, 0, id, low, high], self.instant());
                } else if (self.refuses)(&command) {
                    self.driver.handle_control(&[4, 0, id, NO_PART], self.instant());
                } else {
                    self.played.receive(Port::Control, &bytes, self.baud, self.now);
                }
            }
            while let Some(out) = self.driver.poll_data() {
                match out {
                    DataOut::Bytes(bytes) => self.played.receive(Port::Data, &bytes, self.baud, self.now),
                    DataOut::Speed(baud) => self.baud = baud,
                }
                is_quiet = false;
            }
            while self.played.is_searching() {
                self.played.hash(u64::MAX, self.now);
            }
            while let Some((port, bytes)) = self.played.poll_transmit() {
                match port {
                    Port::Control => self.driver.handle_control(&bytes, self.instant()),
                    Port::Data => self.driver.handle_data(&bytes, self.instant()),
                }
                is_quiet = false;
            }
            while let Some(event) = self.played.poll_event() {
                self.played_events.push((self.now, event));
            }
            while let Some(event) = self.driver.poll_event() {
                self.take(event);
                is_quiet = false;
            }
            if is_quiet {
                return;
            }
        }
    }

    /// No board is ever told a voltage beyond its limit.
    fn check(&self, command: &Command) {
        let Command::I2cWrite { bytes, .. } = command else { return };
        let volts = match bytes[..] {
            [0x21 | 0x24, low, high] => volts_of_steps(u16::from_le_bytes([low, high])),
            [0xf8, code] => Ds4432u::volts(code),
            _ => return,
        };
        let most = f64::from(self.kind.millivolts.most * self.kind.chips.domains) / 1000.0;
        assert!(volts <= most, "{volts} V, the limit is {most} V: {command:?}");
    }

    fn take(&mut self, event: BoardEvent) {
        match event {
            BoardEvent::Nonce { job, .. } => {
                assert!(self.jobs.contains_key(&job.0), "a nonce for no job");
                self.nonces += 1;
            }
            BoardEvent::JobEnding(_) => self.give_job(),
            BoardEvent::Started { .. } | BoardEvent::Hashes(_) => {}
            BoardEvent::Status(_) => panic!("the shell asks for it"),
            event => self.told.push((self.now, event)),
        }
    }
}
