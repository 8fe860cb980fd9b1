//! One chain of chips as a state machine: reset, bring up, hash, and begin again when that does not work.
//!
//! The shell around it owns the line, the reset pin and the clock. It gives in bytes and the time, and after each call
//! takes out bytes, events and the time of the next call.

mod coming_up;
mod event;
mod hashing;
mod health;
mod line;
mod probation;
mod status;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use self::coming_up::ComingUp;
pub use self::event::{ChainEvent, ChainFault};
use self::hashing::Hashing;
use self::health::Health;
use self::line::Line;
use super::answer::Answer;
use super::bring_up::{BringUp, LineSpeed, RESET_BAUD, program};
use super::chip::{ChainLength, Chip, address_interval};
use super::decoder::LineCounts;
use super::job::JobRing;
use super::meter::{ChipCounts, ChipStats, Meter};
use super::pll::{AFTER_RESET, Frequency, OutOfReach};
use super::register::{ROLLABLE, Register};
use super::ticket::{ALWAYS_ZERO, Ticket};
use crate::{BoardEvent, ChipJob, ChipJobId};

/// How long the reset line is held. Source: ESP-Miner `asic.c`.
const RESET_HELD: Duration = Duration::from_millis(100);
/// Wait after it is let go. Source: mujina `board/bitaxe.rs`; ESP-Miner waits half as long.
const RESET_RELEASED: Duration = Duration::from_millis(200);
/// Failures in a row after which a chain is left alone for a while.
const MOST_FAILURES: u32 = 3;
/// How long it is left alone: what repairs itself, such as heat, has gone by then.
const PARKED: Duration = Duration::from_secs(300);

/// What the shell knows of a board.
#[derive(Debug, Clone)]
pub struct ChainConfig {
    /// How its chips are brought up.
    pub bring_up: &'static BringUp,
    /// How many it has.
    pub chips: usize,
    /// Frequency of their cores.
    pub frequency: Frequency,
    /// Speed of the line while they hash; [`RESET_BAUD`] leaves it as it is.
    pub baud: u32,
    /// Zero bits that every hash has that they report: [`ALWAYS_ZERO`], fewer for chips that a computer plays.
    pub zero_bits: u32,
}

/// Why a chain cannot be as it is configured.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ChainConfigError {
    /// The number of chips.
    #[error(transparent)]
    Chips(#[from] ChainLength),
    /// The frequency.
    #[error(transparent)]
    Frequency(#[from] OutOfReach),
    /// The zero bits.
    #[error("nonces at {0} zero bits, possible are 0 to 32; chips of silicon have 32")]
    ZeroBits(u32),
    /// The speed of the line.
    #[error("{list} has no speed of {baud} baud, choose one of {possible:?}")]
    Baud {
        /// Name of the list of steps.
        list: &'static str,
        /// What was asked for.
        baud: u32,
        /// What can be had.
        possible: Vec<u32>,
    },
}

/// The state of a chain as numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct ChainStats {
    /// Each chip, in the order of the chain.
    pub chips: Vec<ChipStats>,
    /// Nonces that name no chip of this chain.
    pub nowhere: ChipCounts,
    /// What was wrong on the line.
    pub line: LineCounts,
}

/// What does not change while the board runs, or changes only by the operator.
#[derive(Debug)]
struct Board {
    list: &'static BringUp,
    addresses: Vec<u8>,
    interval: u16,
    frequency: Frequency,
    /// What the chips have after a reset.
    first_ticket: Ticket,
    /// `None` to stay at the speed after a reset: so configured, or because a faster one did not work.
    speed: Option<LineSpeed>,
}

/// What the chips have been told last.
#[derive(Debug)]
struct Told {
    frequency: Frequency,
    ticket: Ticket,
    ticket_at: Instant,
    version_mask: u32,
}

#[derive(Debug)]
enum State {
    ResetHeld { until: Instant },
    ResetReleased { until: Instant },
    ComingUp(ComingUp),
    Hashing(Hashing),
    Parked { reason: ChainFault, until: Instant },
    Resting,
}

/// A chain.
#[derive(Debug)]
pub struct Chain {
    board: Board,
    state: State,
    line: Line,
    told: Told,
    ring: JobRing,
    meter: Meter,
    health: Health,
    events: VecDeque<ChainEvent>,
    work: Work,
}

/// What there is to hash, and how often that went wrong.
#[derive(Debug)]
struct Work {
    /// The newest job from above.
    job: Option<ChipJob>,
    /// The last one that any chip has begun with.
    begun: Option<ChipJobId>,
    failures: u32,
}

impl Chain {
    /// A chain that begins with a reset now. Errors: what is wrong with the configuration.
    pub fn new(config: &ChainConfig, now: Instant) -> Result<Self, ChainConfigError> {
        let list = config.bring_up;
        let interval = address_interval(list.chip, config.chips)?;
        let addresses: Vec<_> = (0..config.chips as u16).map(|chip| (chip * interval) as u8).collect();
        if config.zero_bits > ALWAYS_ZERO {
            return Err(ChainConfigError::ZeroBits(config.zero_bits));
        }
        let first_ticket = Ticket::after_reset(config.zero_bits);
        program(list, &addresses, config.frequency, first_ticket)?;
        let speed = list.speeds.iter().find(|speed| speed.baud == config.baud).copied();
        if speed.is_none() && config.baud != RESET_BAUD {
            let possible = [RESET_BAUD].into_iter().chain(list.speeds.iter().map(|speed| speed.baud));
            let possible = possible.collect();
            return Err(ChainConfigError::Baud { list: list.name, baud: config.baud, possible });
        }
        let told =
            Told { frequency: AFTER_RESET, ticket: first_ticket, ticket_at: now, version_mask: ROLLABLE };
        let mut chain = Self {
            board: Board { list, addresses, interval, frequency: config.frequency, first_ticket, speed },
            state: State::Resting,
            line: Line::new(list.chip.answer_size(), now),
            told,
            ring: JobRing::new(list.chip),
            meter: Meter::new(config.chips),
            health: Health::new(config.chips),
            events: VecDeque::new(),
            work: Work { job: None, begun: None, failures: 0 },
        };
        chain.reset(now);
        Ok(chain)
    }

    /// The job to hash from now on; `None` idles the chips, in reset after a while.
    pub fn set_job(&mut self, job: Option<ChipJob>, now: Instant) {
        self.work.job = job;
        match &mut self.state {
            State::Resting if self.work.job.is_some() => self.reset(now),
            State::Hashing(_) => self.job_changed(now),
            _ => {}
        }
        self.handle_timeout(now);
    }

    /// Another frequency, reached step by step. Errors: the chips cannot have it.
    pub fn set_frequency(&mut self, frequency: Frequency, now: Instant) -> Result<(), OutOfReach> {
        program(self.board.list, &self.board.addresses, frequency, self.board.first_ticket)?;
        self.board.frequency = frequency;
        if matches!(self.state, State::Hashing(_)) {
            self.change_frequency(now);
        }
        self.handle_timeout(now);
        Ok(())
    }

    /// Bytes that came over the line.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Instant) {
        if !matches!(self.state, State::ComingUp(_) | State::Hashing(_)) {
            return; // chips in reset say nothing, whatever the line makes of it
        }
        for answer in self.line.feed(bytes) {
            match (&mut self.state, answer) {
                (
                    State::ComingUp(coming_up),
                    Answer::Register { value, chip_address, register: Register::CHIP_ID },
                ) => coming_up.take_id(value, chip_address),
                (State::Hashing(_), Answer::Nonce(raw)) => self.take_nonce(&raw, now),
                _ => {}
            }
        }
        self.heard(now);
        self.handle_timeout(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while self.poll_timeout().is_some_and(|due| due <= now) {
            match &mut self.state {
                State::ResetHeld { .. } => {
                    self.events.push_back(ChainEvent::ResetLine { held: false });
                    self.state = State::ResetReleased { until: now + RESET_RELEASED };
                }
                State::ResetReleased { .. } => self.begin_bring_up(now),
                State::ComingUp(_) => self.come_up(now),
                State::Hashing(_) => self.hash(now),
                State::Parked { .. } => self.reset(now),
                State::Resting => return,
            }
        }
    }

    /// The next bytes to write.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.line.next_out()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<ChainEvent> {
        self.events.pop_front()
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::ResetHeld { until } | State::ResetReleased { until } | State::Parked { until, .. } => {
                Some(*until)
            }
            State::ComingUp(coming_up) => Some(coming_up.until()),
            State::Hashing(hashing) => Some(self.next_of(hashing)),
            State::Resting => None,
        }
    }

    /// Whether the chips take jobs.
    pub fn is_hashing(&self) -> bool {
        matches!(self.state, State::Hashing(_))
    }

    /// What the chips shall do once they have their frequency, in hashes a second.
    pub fn expected_rate(&self) -> f64 {
        self.rate_at(self.board.frequency)
    }

    /// Frequency of the chips at the moment.
    pub fn frequency(&self) -> Frequency {
        self.told.frequency
    }

    /// How the chips and their line have done.
    pub fn stats(&self, now: Instant) -> ChainStats {
        ChainStats { chips: self.meter.chips(now), nowhere: self.meter.nowhere(), line: self.line.counts() }
    }

    fn chip(&self) -> &'static Chip {
        self.board.list.chip
    }

    /// What the chips do at the frequency that they have, in hashes a second.
    fn rate(&self) -> f64 {
        self.rate_at(self.told.frequency)
    }

    /// Chips that a computer plays report as often as those of silicon, but each nonce stands for fewer hashes.
    fn rate_at(&self, frequency: Frequency) -> f64 {
        let of_silicon = self.chip().hash_rate(self.board.addresses.len(), frequency);
        of_silicon * self.board.first_ticket.hashes() / Ticket::ONE.hashes()
    }

    fn fault(&mut self, text: String) {
        self.events.push_back(ChainEvent::Board(BoardEvent::Fault(text)));
    }

    fn recovered(&mut self, text: String) {
        self.events.push_back(ChainEvent::Board(BoardEvent::Recovered(text)));
    }

    fn hold_reset(&mut self, now: Instant) {
        self.meter.stop(now);
        self.ring.clear();
        self.line.drop_unsent(now);
        self.events.push_back(ChainEvent::ResetLine { held: true });
    }

    fn reset(&mut self, now: Instant) {
        self.hold_reset(now);
        if self.line.baud() != RESET_BAUD {
            self.events.push_back(ChainEvent::HostSpeed(RESET_BAUD));
        }
        self.state = State::ResetHeld { until: now + RESET_HELD };
    }

    /// Begins again, or gives the chips a rest when that has not helped.
    fn fail(&mut self, fault: ChainFault, now: Instant) {
        self.work.failures += 1;
        if self.work.failures < MOST_FAILURES {
            self.events.push_back(ChainEvent::Failed(fault));
            return self.reset(now);
        }
        self.work.failures = 0;
        self.hold_reset(now);
        let until = now + PARKED;
        self.events.push_back(ChainEvent::Parked { reason: fault.clone(), until });
        self.state = State::Parked { reason: fault, until };
    }
}
