//! A board with power: its chain, its voltage, and what heat leaves of its frequency.

use std::time::{Duration, Instant};

use super::super::boards::{BoardKind, CoreVoltage};
use super::super::link::CallError;
use super::super::power_up::{VOLTAGE_STEP_EVERY, reset_line, set_voltage, voltage_steps};
use super::super::tuner::{Fault, Sample};
use super::chain_clock::ChainClock;
use super::regulator_watch::RegulatorWatch;
use super::{Ask, Board, DataOut, OffReason, State, chain_config};
use crate::bm13xx::bring_up::RESET_BAUD;
use crate::bm13xx::chain::{Chain, ChainEvent};
use crate::bm13xx::pll::{AFTER_RESET, Frequency};
use crate::{BoardEvent, ChipJob};

/// Wait before a voltage that could not be set is tried again, and after the operator has heard of it.
const VOLTAGE_AGAIN: Duration = Duration::from_secs(1);
const VOLTAGE_AGAIN_LATER: Duration = Duration::from_secs(60);
/// Refusals in a row of which the operator hears. Each is of three attempts.
const TELL_REFUSALS: u32 = 3;
/// Time of hashing after which earlier failures are forgiven.
const HEALTHY: Duration = Duration::from_secs(60);
/// Frequencies that heat leaves are whole multiples of this, so that not every reading changes them.
const THROTTLE_STEP_MHZ: f64 = 12.5;

/// The chips, and what they run at.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) chain: Chain,
    pub(super) clock: ChainClock,
    pub(super) voltage: CoreVoltage,
    /// What the chain was told last.
    frequency: Frequency,
    is_voltage_asked: bool,
    next_voltage_at: Instant,
    /// How often in a row the regulator has refused the next voltage.
    refusals: u32,
    /// Words about the reset line that are on their way.
    resets: u32,
    /// When the chips were up last.
    ready_at: Instant,
}

impl Running {
    pub(super) fn set_job(&mut self, job: Option<ChipJob>, now: Instant) {
        self.chain.set_job(job, self.clock.of(now));
    }

    pub(super) fn handle_bytes(&mut self, bytes: &[u8], now: Instant) {
        self.chain.handle_bytes(bytes, self.clock.of(now));
    }

    /// Does what is due in the chain.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if !self.clock.is_stopped() {
            self.chain.handle_timeout(self.clock.of(now));
        }
    }

    /// The voltage has been told to the regulator, or not. Shape: what the operator has to hear of that.
    pub(super) fn voltage_told(
        &mut self,
        kind: &BoardKind,
        millivolts: u32,
        outcome: Result<Vec<u8>, CallError>,
        now: Instant,
    ) -> Option<BoardEvent> {
        self.is_voltage_asked = false;
        let error = match (outcome, kind.voltage(millivolts)) {
            (Ok(_), Ok(voltage)) => {
                self.voltage = voltage;
                self.next_voltage_at = now + VOLTAGE_STEP_EVERY;
                let was_told = std::mem::take(&mut self.refusals) >= TELL_REFUSALS;
                let text = || format!("the regulator takes voltages again: {millivolts} mV");
                return was_told.then(|| BoardEvent::Recovered(text()));
            }
            (Ok(_), Err(error)) => error.to_string(),
            // A silent port is told of elsewhere, and may have heard.
            (Err(CallError::NoAnswer), _) => {
                self.next_voltage_at = now + VOLTAGE_AGAIN;
                return None;
            }
            (Err(error), _) => error.to_string(),
        };
        self.refusals = self.refusals.saturating_add(1);
        let is_told = self.refusals >= TELL_REFUSALS;
        self.next_voltage_at = now + if is_told { VOLTAGE_AGAIN_LATER } else { VOLTAGE_AGAIN };
        (self.refusals == TELL_REFUSALS).then(|| {
            let at = self.voltage.millivolts();
            let again = VOLTAGE_AGAIN_LATER.as_secs();
            BoardEvent::Fault(format!(
                "the regulator refuses {millivolts} mV: {error}; the chips stay at {at} mV, and it is tried every {again} s"
            ))
        })
    }

    /// What the chips have, unless it is about to be another one than this.
    pub(super) fn settled_voltage(&self, millivolts: u32) -> Option<CoreVoltage> {
        (!self.is_voltage_asked && self.voltage.millivolts() == millivolts).then_some(self.voltage)
    }

    /// Makes the chips hash as little as can be, over the data port alone.
    pub(super) fn calm(&mut self, now: Instant) {
        self.clock.go_on(now);
        self.chain.set_job(None, self.clock.of(now));
        let slowest = self.chain.set_frequency(AFTER_RESET, self.clock.of(now));
        slowest.expect("chips have this frequency after every reset");
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let chain = self.chain.poll_timeout().filter(|_| !self.clock.is_stopped());
        chain.map(|at| self.clock.real(at))
    }

    /// Whether the chips are not faster than they shall be.
    fn is_slow_enough(&self) -> bool {
        self.chain.frequency() <= self.frequency || !self.chain.is_hashing()
    }
}

impl Board {
    /// The chips have power: the chain begins.
    pub(super) fn start(&mut self, now: Instant) {
        let frequency = self.allowed_frequency();
        let chain = Chain::new(&chain_config(self.kind, frequency, self.line), now);
        let voltage = self.kind.voltage(self.wanted.point.millivolts);
        let (mut chain, voltage) = match (chain, voltage) {
            (Ok(chain), Ok(voltage)) => (chain, voltage),
            (Err(error), _) => return self.fail(&error.to_string(), now),
            (_, Err(error)) => return self.fail(&error.to_string(), now),
        };
        self.out.data.push_back(DataOut::Speed(RESET_BAUD));
        if let Some(job) = &self.wanted.job {
            chain.set_job(Some(job.clone()), now);
            // The chips would find again what they found of it before.
            if self.told.begun == Some(job.id) {
                self.out.events.push_back(BoardEvent::JobEnding(job.id));
            }
        }
        self.heat.thermal.handle_start(now);
        self.heat.belief.handle_power(true);
        self.heat.regulator = RegulatorWatch::default();
        self.heat.monitor.restart(now);
        self.heat.meters.iter_mut().for_each(|meter| meter.restart(now));
        if let Some(tuner) = self.wanted.search.tuner() {
            tuner.handle_pause(now);
        }
        self.state = State::Running(Box::new(Running {
            chain,
            clock: ChainClock::default(),
            voltage,
            frequency,
            is_voltage_asked: false,
            next_voltage_at: now,
            refusals: 0,
            resets: 0,
            ready_at: now,
        }));
        self.run(now);
    }

    /// What the chips may run at: what is asked for, less what heat and power take, and less what is beyond what is known.
    pub(super) fn allowed_frequency(&self) -> Frequency {
        let throttled = self.throttled_frequency();
        self.held_frequency().map_or(throttled, |held| held.min(throttled))
    }

    /// Whether they are slower than what is asked for.
    pub(super) fn is_held_back(&self) -> bool {
        self.allowed_frequency() < Frequency::from_mhz(self.wanted.point.megahertz.into())
    }

    fn throttled_frequency(&self) -> Frequency {
        let asked = f64::from(self.wanted.point.megahertz);
        let share = self.heat.thermal.speed();
        if share >= 1.0 {
            return Frequency::from_mhz(asked);
        }
        let steps = (asked * share / THROTTLE_STEP_MHZ).floor();
        Frequency::from_mhz(steps * THROTTLE_STEP_MHZ).max(AFTER_RESET)
    }

    pub(super) fn run(&mut self, now: Instant) {
        if let Some(why) = self.heat.thermal.cut_off(now) {
            self.out.fault(why.to_string());
            self.heat.thermal.handle_cut_off(&why, now);
            if why.is_heat() {
                self.fail_point(Fault::Limit, now);
            }
            return self.switch_off(OffReason::CutOff(why), now);
        }
        self.watch_meters(now);
        self.set_frequency(now);
        self.step_voltage(now);
        if let State::Running(running) = &mut self.state {
            running.handle_timeout(now);
        }
        self.drain_chain(now);
    }

    /// Never faster than the voltage of the moment is good for: up only once it is there.
    fn set_frequency(&mut self, now: Instant) {
        let allowed = self.allowed_frequency();
        let millivolts = self.wanted.point.millivolts;
        let State::Running(running) = &mut self.state else { return };
        let rises = allowed > running.frequency;
        if allowed == running.frequency || rises && running.voltage.millivolts() < millivolts {
            return;
        }
        running.frequency = allowed;
        if let Err(error) = running.chain.set_frequency(allowed, running.clock.of(now)) {
            self.out.fault(error.to_string());
        }
    }

    /// Down only once the chips are slow enough for it.
    fn step_voltage(&mut self, now: Instant) {
        let State::Running(running) = &mut self.state else { return };
        let Ok(goal) = self.kind.voltage(self.wanted.point.millivolts) else { return };
        let waits = running.is_voltage_asked || running.next_voltage_at > now;
        if waits || goal < running.voltage && !running.is_slow_enough() {
            return;
        }
        let next = voltage_steps(self.kind, running.voltage, goal).next();
        let Some(next) = next else { return };
        match set_voltage(self.kind, next) {
            Some(command) => {
                running.is_voltage_asked = true;
                self.link.call(Ask::Voltage(next.millivolts()), command, now);
            }
            None => running.voltage = goal,
        }
    }

    pub(super) fn take_reset(&mut self, held: bool, outcome: Result<Vec<u8>, CallError>, now: Instant) {
        let State::Running(running) = &mut self.state else { return };
        match outcome {
            Ok(_) => {
                running.resets = running.resets.saturating_sub(1);
                if running.resets == 0 {
                    running.clock.go_on(now);
                }
            }
            // Said again until it is heard, or until nobody knows how hot it is.
            Err(CallError::NoAnswer) => self.link.call(Ask::Reset { held }, reset_line(held), now),
            Err(error) => self.fail(&format!("the reset line cannot be moved: {error}"), now),
        }
    }

    fn drain_chain(&mut self, now: Instant) {
        let State::Running(running) = &mut self.state else { return };
        let mut failed = None;
        loop {
            if let Some(bytes) = running.chain.poll_transmit() {
                self.out.data.push_back(DataOut::Bytes(bytes));
                continue;
            }
            match running.chain.poll_event() {
                None => break,
                Some(ChainEvent::ResetLine { held }) => {
                    running.clock.stop(now);
                    running.resets += 1;
                    self.link.call(Ask::Reset { held }, reset_line(held), now);
                }
                Some(ChainEvent::HostSpeed(baud)) => self.out.data.push_back(DataOut::Speed(baud)),
                Some(ChainEvent::Ready) => running.ready_at = now,
                // A reset is not enough: whatever hangs has to lose its power, too.
                Some(ChainEvent::Failed(reason) | ChainEvent::Parked { reason, .. }) => failed = Some(reason),
                Some(ChainEvent::Resting) => {}
                Some(ChainEvent::Board(event)) => {
                    let event = match event {
                        BoardEvent::Started { job, at } => {
                            self.told.begun = Some(job);
                            BoardEvent::Started { job, at: running.clock.real(at) }
                        }
                        BoardEvent::Hashes(hashes) => {
                            if now.saturating_duration_since(running.ready_at) >= HEALTHY {
                                self.told.failures = 0;
                            }
                            self.told.hashes += hashes as f64 * self.line.hashes_of_silicon();
                            BoardEvent::Hashes(hashes)
                        }
                        event => event,
                    };
                    self.out.events.push_back(event);
                }
            }
        }
        if let Some(reason) = failed {
            self.fail_point(Fault::Unstable, now);
            self.fail(&reason.to_string(), now);
        }
    }

    /// The tuner's point does not hold.
    fn fail_point(&mut self, fault: Fault, now: Instant) {
        let Some(tuner) = self.wanted.search.tuner() else { return };
        tuner.handle_failure(fault, now);
        self.wanted.point = tuner.point();
        self.drain_tuner();
    }

    fn drain_tuner(&mut self) {
        let Some(tuner) = self.wanted.search.tuner() else { return };
        self.out.tuner.extend(std::iter::from_fn(|| tuner.poll_event()));
    }

    /// Once a round: lets the tuner see how the board does.
    pub(super) fn tune(&mut self, now: Instant) {
        let held = self.held_frequency();
        let (State::Running(running), Some(tuner)) = (&self.state, self.wanted.search.tuner()) else {
            return;
        };
        // At another voltage than that of the point nothing of it can be measured, nor without a meter that its limits need.
        let is_there = running.voltage.millivolts() == self.wanted.point.millivolts && held.is_none();
        if !running.chain.is_hashing() || self.wanted.job.is_none() || !is_there {
            return tuner.handle_pause(now);
        }
        let stats = running.chain.stats(running.clock.of(now));
        let counts = stats.chips.iter().map(|chip| chip.counts).chain([stats.nowhere]);
        let (nonces, hardware_errors) = counts.fold((0, 0), |(nonces, errors), counts| {
            (nonces + counts.nonces, errors + counts.hardware_errors)
        });
        let thermal = &self.heat.thermal;
        let sample = Sample {
            hashes: self.told.hashes,
            nonces,
            hardware_errors,
            celsius: thermal.celsius(),
            watts: thermal.watts(),
            is_throttled: thermal.speed() < 1.0,
        };
        tuner.handle_sample(&sample, now);
        self.wanted.point = tuner.point();
        self.drain_tuner();
    }
}
