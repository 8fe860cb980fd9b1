//! A board as a state machine: control port, power, heat and chips together.
//!
//! Bytes of two ports and the time in; bytes, speeds of the data port, and what the engine wants to hear out. It powers up,
//! runs the chain, reads its sensors once a second, and takes the power away when [`Thermal`] says so, by both ports: what
//! one of them cannot do any more the other may.

mod chain_clock;
mod heat;
mod meter_watch;
mod monitor;
mod off;
mod orders;
mod regulator_watch;
mod report;
mod running;
mod status;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use self::heat::Heat;
use self::off::Off;
use self::running::Running;
pub use self::status::{OffReason, Phase, Readings, Status, Told};
use super::boards::{BeyondLimit, BoardKind};
use super::link::{CallError, Link, LinkEvent};
use super::power_up::{PowerUp, switch_off};
use super::thermal::Thermal;
use super::tuner::{Goal, Point, Results, Tuner, TunerEvent};
use crate::bm13xx::bring_up::{RESET_BAUD, halt};
use crate::bm13xx::chain::{Chain, ChainConfig, ChainConfigError};
use crate::bm13xx::frame::Frame;
use crate::bm13xx::pll::Frequency;
use crate::bm13xx::ticket::ALWAYS_ZERO;
use crate::order::OrderError;
use crate::{BoardEvent, ChipJob, ChipJobId};

/// Failures in a row after which a board is left alone for a while, as often as chips are reset (`bm13xx::chain`).
const MOST_FAILURES: u32 = 3;
/// How long the power stays off before that, so that all that hung has lost it,
const AGAIN_AFTER: Duration = Duration::from_secs(10);
/// and then: what repairs itself, such as heat, has gone by then.
const PARKED: Duration = Duration::from_secs(300);

/// What the operator wants of a board.
#[derive(Debug, Clone)]
pub struct BoardSettings {
    /// Which one it is.
    pub kind: &'static BoardKind,
    /// Frequency and core voltage.
    pub point: Point,
    /// The data port.
    pub line: LineSettings,
    /// Power and temperature at most; never above the board's own limits.
    pub limits: OwnLimits,
    /// What the board looks for by itself, if anything.
    pub goal: Option<Goal>,
    /// What earlier runs have found.
    pub known: Results,
}

/// What the operator allows less of than the board bears; `None` for what the board bears.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct OwnLimits {
    /// Power, above which the chips are held back. Unit: watts.
    pub watts: Option<f64>,
    /// Temperature of the chips, above which they are held back. Unit: °C.
    pub celsius: Option<f64>,
}

/// The data port of a board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineSettings {
    /// Its speed while the chips hash.
    pub baud: u32,
    /// Zero bits of each hash that they report: [`ALWAYS_ZERO`], or fewer from a virtual board.
    pub zero_bits: u32,
}

impl LineSettings {
    /// Hashes of silicon for each that the chips have to do: a virtual board reports as often, for fewer hashes.
    fn hashes_of_silicon(self) -> f64 {
        2f64.powi(ALWAYS_ZERO as i32 - self.zero_bits as i32)
    }
}

impl Default for LineSettings {
    fn default() -> Self {
        Self { baud: RESET_BAUD, zero_bits: ALWAYS_ZERO }
    }
}

/// Settings that make no board.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BoardError {
    /// What would be an order that is not followed.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// The chips cannot do it.
    #[error(transparent)]
    Chain(#[from] ChainConfigError),
}

impl From<BeyondLimit> for BoardError {
    fn from(error: BeyondLimit) -> Self {
        Self::Order(error.into())
    }
}

/// For the data port, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataOut {
    /// To write.
    Bytes(Vec<u8>),
    /// Once all before has left, take this speed.
    Speed(u32),
}

/// The calls to the control port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    PowerUp,
    Probe,
    Reset {
        held: bool,
    },
    FanSetUp,
    Fan(u8),
    Voltage(u32),
    /// One of the orders that take the power away, by its place among them.
    Off(usize),
}

#[derive(Debug)]
enum State {
    PoweringUp(PowerUp),
    Running(Box<Running>),
    Off(Off),
}

/// A board.
#[derive(Debug)]
pub struct Board {
    kind: &'static BoardKind,
    line: LineSettings,
    link: Link<Ask>,
    heat: Heat,
    state: State,
    wanted: Wanted,
    told: Counts,
    out: Outbox,
}

/// What shall be.
#[derive(Debug)]
struct Wanted {
    job: Option<ChipJob>,
    point: Point,
    limits: OwnLimits,
    search: Search,
}

/// The tuner, or what it will begin with if it is asked for.
#[derive(Debug)]
enum Search {
    Off(Results),
    On(Box<Tuner>),
}

/// What has been.
#[derive(Debug, Default)]
struct Counts {
    /// As chips of silicon do them.
    hashes: f64,
    begun: Option<ChipJobId>,
    /// In a row: starts that failed, regulators that turned themselves off, chains that do not work.
    failures: u32,
}

#[derive(Debug, Default)]
struct Outbox {
    data: VecDeque<DataOut>,
    events: VecDeque<BoardEvent>,
    tuner: VecDeque<TunerEvent>,
}

impl Outbox {
    fn fault(&mut self, text: impl Into<String>) {
        self.events.push_back(BoardEvent::Fault(text.into()));
    }
}

impl Board {
    /// A board that is powered up from now on. Errors: it does not bear the settings, or has no control port.
    pub fn new(settings: BoardSettings, now: Instant) -> Result<Self, BoardError> {
        let BoardSettings { kind, point, line, limits, goal, known } = settings;
        if kind.parts.regulator.is_none() {
            return Err(OrderError::NoControl { board: kind.title.clone() }.into());
        }
        let thermal = Thermal::new(orders::heat_limits(kind, limits)?, now);
        kind.voltage(point.millivolts)?;
        let frequency = kind.frequency(point.megahertz)?;
        Chain::new(&chain_config(kind, frequency, line), now)?;
        let search = orders::search(kind, goal, thermal.limits(), point, known, now)?;
        let point = search.point().unwrap_or(point);
        let voltage = kind.voltage(point.millivolts)?;
        let mut board = Self {
            kind,
            line,
            link: Link::default(),
            heat: Heat::new(kind, thermal, now),
            state: State::PoweringUp(PowerUp::new(kind, voltage, now)),
            wanted: Wanted { job: None, point, limits, search },
            told: Counts::default(),
            out: Outbox::default(),
        };
        board.go_on(now);
        Ok(board)
    }

    /// The job to hash from now on; `None` idles the chips.
    pub fn set_job(&mut self, job: Option<ChipJob>, now: Instant) {
        self.wanted.job.clone_from(&job);
        if let State::Running(running) = &mut self.state {
            running.set_job(job, now);
        }
        self.go_on(now);
    }

    /// Takes the power away, for good.
    pub fn shut_down(&mut self, now: Instant) {
        self.switch_off(OffReason::Stopped, now);
        self.go_on(now);
    }

    /// Forgets all that it knows but its kind, and takes the power away, for good: its driver has failed.
    pub fn abandon(&mut self, now: Instant) {
        self.link = Link::default();
        self.state = State::Off(Off::new(OffReason::Stopped, switch_off(self.kind), true, now));
    }

    /// What makes the chips hash as little as can be at once over the data port alone, for want of the other one.
    pub fn last_orders(&self) -> Vec<Vec<u8>> {
        halt(self.kind.list().chip).iter().map(Frame::emit).collect()
    }

    /// Whether the board has no power, as far as it could be told so.
    pub fn is_off(&self) -> bool {
        matches!(&self.state, State::Off(off) if off.is_done())
    }

    /// Whether the chips may have power: they had it, and the board has not followed all orders that take it away.
    pub fn may_have_power(&self) -> bool {
        match &self.state {
            State::PoweringUp(power_up) => power_up.has_switched(),
            State::Running(_) => true,
            State::Off(off) => off.may_have_power(),
        }
    }

    /// Bytes from the control port.
    pub fn handle_control(&mut self, bytes: &[u8], now: Instant) {
        self.link.handle_bytes(bytes, now);
        self.go_on(now);
    }

    /// Bytes from the data port.
    pub fn handle_data(&mut self, bytes: &[u8], now: Instant) {
        match &mut self.state {
            State::Running(running) => running.handle_bytes(bytes, now),
            State::Off(off) => off.handle_bytes(bytes, now),
            State::PoweringUp(_) => {}
        }
        self.go_on(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.link.handle_timeout(now);
        self.go_on(now);
    }

    /// The next bytes for the control port, in one write.
    pub fn poll_control(&mut self) -> Option<Vec<u8>> {
        self.link.poll_transmit()
    }

    /// What the data port has to do next.
    pub fn poll_data(&mut self) -> Option<DataOut> {
        self.out.data.pop_front()
    }

    /// The next event for the engine.
    pub fn poll_event(&mut self) -> Option<BoardEvent> {
        self.out.events.pop_front()
    }

    /// The next event of the tuner.
    pub fn poll_tuner(&mut self) -> Option<TunerEvent> {
        self.out.tuner.pop_front()
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let of_state = match &self.state {
            State::PoweringUp(power_up) => power_up.poll_timeout(),
            State::Running(running) => {
                let running = running.poll_timeout();
                running.into_iter().chain([self.heat.thermal.poll_timeout()]).min()
            }
            State::Off(off) => off.poll_timeout(),
        };
        let monitor = if self.watches() { self.heat.monitor.poll_timeout() } else { None };
        self.link.poll_timeout().into_iter().chain(monitor).chain(of_state).min()
    }

    /// What the chips shall do at the frequency that is asked for, in hashes a second.
    pub fn expected_rate(&self) -> f64 {
        let frequency = Frequency::from_mhz(self.wanted.point.megahertz.into());
        let of_silicon = self.kind.list().chip.hash_rate(self.kind.chips.count, frequency);
        of_silicon / self.line.hashes_of_silicon()
    }

    /// How the board stands.
    pub fn status(&self, now: Instant) -> Status {
        let (phase, set_millivolts, chain) = match &self.state {
            State::PoweringUp(_) => (Phase::PoweringUp, None, None),
            State::Running(running) => {
                let is_hashing = running.chain.is_hashing();
                let stats = running.chain.stats(running.clock.of(now));
                (Phase::Running { is_hashing }, Some(running.voltage.millivolts()), Some(stats))
            }
            State::Off(off) => (Phase::Off { why: off.why.clone(), is_done: off.is_done() }, None, None),
        };
        let settings = Told {
            megahertz: self.wanted.point.megahertz,
            allowed_megahertz: self.allowed_frequency().mhz(),
            millivolts: self.wanted.point.millivolts,
            set_millivolts,
            fan_percent: self.heat.thermal.fan_percent(),
        };
        let is_control_silent = self.link.is_silent();
        Status { phase, readings: self.heat.readings, settings, chain, is_control_silent }
    }

    /// What is known of frequencies and voltages.
    pub fn tuning_results(&self) -> &Results {
        self.wanted.search.results()
    }

    /// Whether sensors are read and the fan is driven: not before they were set up, not while there is something more
    /// urgent, and not on a board that may be another one than it is said to be.
    fn watches(&self) -> bool {
        match &self.state {
            State::PoweringUp(_) => false,
            State::Running(_) => true,
            State::Off(off) => off.is_done() && off.is_known && off.why != OffReason::Stopped,
        }
    }

    /// Goes on from whatever has changed until nothing does.
    fn go_on(&mut self, now: Instant) {
        loop {
            while let Some(event) = self.link.poll_event() {
                self.take(event, now);
            }
            match self.state {
                State::PoweringUp(_) => self.power_up(now),
                State::Running(_) => self.run(now),
                State::Off(_) => self.stay_off(now),
            }
            if self.watches() {
                self.drive_fan(now);
                if let Some(command) = self.heat.monitor.next_call(now) {
                    self.link.call(Ask::Probe, command, now);
                }
            }
            if !self.link.has_events() {
                return;
            }
        }
    }

    fn take(&mut self, event: LinkEvent<Ask>, now: Instant) {
        match event {
            LinkEvent::Silent => {
                self.out.fault("the control port does not answer; the power is cut if that goes on");
            }
            LinkEvent::Back => {
                let event = BoardEvent::Recovered("the control port answers again".to_owned());
                self.out.events.push_back(event);
            }
            LinkEvent::Ended { call, outcome } => self.take_outcome(call, outcome, now),
        }
    }

    fn take_outcome(&mut self, call: Ask, outcome: Result<Vec<u8>, CallError>, now: Instant) {
        match (call, &mut self.state) {
            (Ask::Probe, _) => self.take_reading(outcome, now),
            (Ask::Fan(percent), _) => self.fan_told(percent, outcome, now),
            (Ask::PowerUp, State::PoweringUp(power_up)) => {
                if let Err(error) = power_up.handle_outcome(outcome) {
                    self.fail(&error.to_string(), now);
                }
            }
            (Ask::Reset { held }, State::Running(_)) => self.take_reset(held, outcome, now),
            (Ask::Voltage(millivolts), State::Running(running)) => {
                self.out.events.extend(running.voltage_told(self.kind, millivolts, outcome, now));
            }
            (Ask::Off(at), State::Off(off)) => {
                if off.take_outcome(at, outcome) {
                    let event = BoardEvent::Recovered("its power is off".to_owned());
                    self.out.events.push_back(event);
                }
            }
            // Of a state that has ended; or whether it has helped shows when the fan is driven and read.
            (Ask::PowerUp | Ask::Reset { .. } | Ask::Voltage(_) | Ask::Off(_) | Ask::FanSetUp, _) => {}
        }
    }

    fn power_up(&mut self, now: Instant) {
        let State::PoweringUp(power_up) = &mut self.state else { return };
        if let Some(command) = power_up.next_call(self.kind, now) {
            self.link.call(Ask::PowerUp, command, now);
        } else if power_up.is_done(now) {
            // An order may have come meanwhile.
            if power_up.voltage().millivolts() == self.wanted.point.millivolts {
                self.start(now);
            } else {
                self.begin(now);
            }
        }
    }

    /// Begins to power up.
    fn begin(&mut self, now: Instant) {
        match self.kind.voltage(self.wanted.point.millivolts) {
            Ok(voltage) => self.state = State::PoweringUp(PowerUp::new(self.kind, voltage, now)),
            Err(error) => self.fail(&error.to_string(), now),
        }
    }

    /// The board does not start or has stopped working, or its control port refuses what it must not. It loses its power,
    /// and goes through all of its power-up again later.
    fn fail(&mut self, why: &str, now: Instant) {
        self.told.failures += 1;
        let is_parked = self.told.failures >= MOST_FAILURES;
        let wait = if is_parked { PARKED } else { AGAIN_AFTER };
        if is_parked {
            self.told.failures = 0;
        }
        self.out.fault(format!("no power for the chips: {why}; tried again in {} s", wait.as_secs()));
        self.switch_off(OffReason::Failed { retry_at: now + wait, reason: why.to_owned() }, now);
    }
}

fn chain_config(kind: &BoardKind, frequency: Frequency, line: LineSettings) -> ChainConfig {
    let LineSettings { baud, zero_bits } = line;
    ChainConfig { bring_up: kind.list(), chips: kind.chips.count, frequency, baud, zero_bits }
}
