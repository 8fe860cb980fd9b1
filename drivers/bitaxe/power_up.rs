//! From a board that is plugged in to chips with power, held in reset: what is asked and told, in which order, with which
//! waits, as data. And back.
//!
//! Source of the order: mujina `board/bitaxe.rs` for a Gamma; emberOne's firmware for its pins.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::boards::{BoardKind, CoreVoltage, FanPart, Parts, Regulator};
use super::fan;
use super::link::CallError;
use super::packet::{Command, Refusal};
use super::regulator::{Tps546, steps_of_volts, tps546_faults};

/// The pin of the chips' reset on every board: low holds it.
const RESET_PIN: u8 = 0;
/// Clock of the I2C bus, hertz.
pub(super) const I2C_HERTZ: u32 = 100_000;
/// Highest change of a core voltage at once, millivolts, and the wait after it.
const VOLTAGE_STEP: u32 = 25;
/// See above.
pub const VOLTAGE_STEP_EVERY: Duration = Duration::from_millis(20);
/// Wait after a TPS546 was switched on.
const SWITCHED_ON: Duration = Duration::from_millis(500);
/// Wait after a DS4432U has moved the converter.
const CONVERTER_SETTLES: Duration = Duration::from_millis(100);
/// Wait after a pin has switched a supply.
const PIN_SETTLES: Duration = Duration::from_millis(5);

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Does something.
    Tell(Command),
    /// Asks, and goes on if the answer is right.
    Ask(Command, Check),
    /// Sets the core voltage.
    Voltage(CoreVoltage),
    /// Does nothing for a while.
    Wait(Duration),
}

/// What an answer has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// The id of an EMC2101.
    FanId,
    /// The id of a TPS546.
    RegulatorId,
    /// How a TPS546 counts voltages.
    RegulatorMode,
    /// The limit that a TPS546 keeps by itself: at most so many steps of its voltage.
    RegulatorLimit(u16),
    /// A status without a complaint.
    RegulatorStatus,
}

/// Why a board has no power.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PowerUpError {
    /// A call failed.
    #[error("{what}: {error}{}", remedy(error, *has_answered))]
    Call {
        /// Which step.
        what: &'static str,
        /// Why.
        error: CallError,
        /// Whether any call before it was answered.
        has_answered: bool,
    },
    /// An answer was not the one that this board gives.
    #[error("{0}")]
    Answer(String),
}

/// What the operator may do about a call that has failed.
fn remedy(error: &CallError, has_answered: bool) -> &'static str {
    match error {
        CallError::NoAnswer if !has_answered => {
            "; is the first port the control port, and the second the one of the chips?"
        }
        CallError::Refused(Refusal::Timeout) => {
            "; if it is another board, name its kind, or bitaxe, which finds out"
        }
        CallError::NoAnswer | CallError::Refused(_) => "",
    }
}

impl Check {
    fn judge(self, answer: &[u8]) -> Result<(), String> {
        match self {
            Self::FanId if fan::is_emc2101(answer) => Ok(()),
            Self::FanId => Err(format!(
                "the fan controller says id {answer:02x?}, which is no EMC2101; choose the board's own model"
            )),
            Self::RegulatorId => Tps546::check_id(answer).map_err(|error| error.to_string()),
            Self::RegulatorMode => Tps546::check_mode(answer).map_err(|error| error.to_string()),
            Self::RegulatorLimit(most) => {
                Tps546::check_limit(answer, most).map_err(|error| error.to_string())
            }
            Self::RegulatorStatus => match tps546_faults(answer).as_slice() {
                [] => Ok(()),
                faults => {
                    Err(format!("the regulator complains of {}; check the board's supply", faults.join(", ")))
                }
            },
        }
    }
}

/// Holds the chips in reset, or lets them go.
pub fn reset_line(held: bool) -> Command {
    Command::SetPin { pin: RESET_PIN, high: !held }
}

/// Sets the core voltage; `None` where it is fixed.
pub fn set_voltage(kind: &BoardKind, voltage: CoreVoltage) -> Option<Command> {
    match kind.parts.regulator? {
        Regulator::Tps546(part) => Some(part.set(voltage)),
        Regulator::Ds4432u(part) => Some(part.set(voltage)),
        Regulator::Switched(_) => None,
    }
}

/// Drives the fan, where there is one.
pub fn drive_fan(kind: &BoardKind, percent: u8) -> Option<Command> {
    let FanPart::Emc2101 { address } = kind.parts.fan?;
    Some(fan::emc2101_drive(address, percent))
}

/// Makes the controller of the fan ready, where there is one.
pub fn set_up_fan(kind: &BoardKind) -> Vec<Command> {
    match kind.parts.fan {
        Some(FanPart::Emc2101 { address }) => fan::emc2101_set_up(address).to_vec(),
        None => Vec::new(),
    }
}

/// The voltages between two, without the first and with the last. Errors are none: what lies between two voltages that a
/// board bears, it bears.
pub fn voltage_steps(
    kind: &BoardKind,
    from: CoreVoltage,
    to: CoreVoltage,
) -> impl Iterator<Item = CoreVoltage> {
    let mut at = from.millivolts();
    std::iter::from_fn(move || {
        let goal = to.millivolts();
        if at == goal {
            return None;
        }
        at = if at < goal { goal.min(at + VOLTAGE_STEP) } else { goal.max(at.saturating_sub(VOLTAGE_STEP)) };
        kind.voltage(at).ok()
    })
}

/// All steps until the chips have this voltage.
pub fn steps(kind: &BoardKind, voltage: CoreVoltage) -> Vec<Step> {
    let Parts { regulator, fan, chip_sensor, board_sensor, .. } = &kind.parts;
    let mut steps = vec![Step::Tell(reset_line(true)), Step::Tell(Command::I2cSpeed(I2C_HERTZ))];
    if let Some(FanPart::Emc2101 { address }) = *fan {
        steps.push(Step::Ask(fan::emc2101_id(address), Check::FanId));
        steps.extend(set_up_fan(kind).into_iter().map(Step::Tell));
        steps.push(Step::Tell(fan::emc2101_drive(address, 100)));
    }
    let sensors = chip_sensor.iter().chain(board_sensor);
    steps.extend(sensors.filter_map(|sensor| sensor.set_up()).map(Step::Tell));
    let lowest = kind.lowest_voltage();
    let ramp = voltage_steps(kind, lowest, voltage)
        .flat_map(|voltage| [Step::Voltage(voltage), Step::Wait(VOLTAGE_STEP_EVERY)]);
    match *regulator {
        Some(Regulator::Tps546(part)) => {
            steps.push(Step::Ask(part.id(), Check::RegulatorId));
            steps.push(Step::Ask(part.mode(), Check::RegulatorMode));
            steps.extend(part.set_up(lowest, kind.highest_voltage()).into_iter().map(Step::Tell));
            let most = steps_of_volts(kind.highest_voltage().rail_volts());
            steps.push(Step::Ask(part.limit(), Check::RegulatorLimit(most)));
            steps.extend([Step::Voltage(lowest), Step::Tell(part.on()), Step::Wait(SWITCHED_ON)]);
            steps.extend(ramp);
            steps.push(Step::Ask(part.status(), Check::RegulatorStatus));
        }
        Some(Regulator::Ds4432u(_)) => {
            steps.push(Step::Voltage(lowest));
            steps.extend(ramp);
            steps.push(Step::Wait(CONVERTER_SETTLES));
        }
        Some(Regulator::Switched(pins)) => {
            for pin in [pins.core_pin, pins.io_pin] {
                steps.extend([Step::Tell(Command::SetPin { pin, high: true }), Step::Wait(PIN_SETTLES)]);
            }
        }
        None => {}
    }
    steps
}

/// One of the orders that take the power away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffOrder {
    /// What follows it, for a sentence about it.
    pub part: &'static str,
    /// The order.
    pub command: Command,
    /// Whether the board may have power, or chips that hash, as long as it is not followed.
    pub is_needed: bool,
}

/// What takes the power away, the most urgent first: where one order is enough, that one. The fan is left at full speed: the
/// heat is still there.
pub fn switch_off(kind: &BoardKind) -> Vec<OffOrder> {
    let order = |part, command, is_needed| OffOrder { part, command, is_needed };
    let reset = |is_needed| order("the reset of its chips", reset_line(true), is_needed);
    let regulator = |command| order("its regulator", command, true);
    let mut orders = match kind.parts.regulator {
        Some(Regulator::Tps546(part)) => vec![regulator(part.off()), reset(false)],
        // It cannot be switched off: what stops the chips is their reset.
        Some(Regulator::Ds4432u(part)) => vec![reset(true), regulator(part.lowest())],
        // Pins of chips that have lost their supply are not to be driven high.
        Some(Regulator::Switched(pins)) => {
            let low = |pin| regulator(Command::SetPin { pin, high: false });
            vec![reset(false), low(pins.io_pin), low(pins.core_pin)]
        }
        None => vec![reset(true)],
    };
    orders.extend(drive_fan(kind, 100).map(|command| order("its fan", command, false)));
    orders
}

/// The same of a board that has not been given any power yet.
pub fn reset_alone() -> Vec<OffOrder> {
    vec![OffOrder { part: "the reset of its chips", command: reset_line(true), is_needed: true }]
}

/// The steps on their way.
#[derive(Debug)]
pub struct PowerUp {
    voltage: CoreVoltage,
    rest: VecDeque<Step>,
    asked: Option<Step>,
    wait_until: Instant,
    has_switched: bool,
    has_answered: bool,
}

impl PowerUp {
    /// Begins now.
    pub fn new(kind: &BoardKind, voltage: CoreVoltage, now: Instant) -> Self {
        let rest = steps(kind, voltage).into();
        Self { voltage, rest, asked: None, wait_until: now, has_switched: false, has_answered: false }
    }

    /// What the chips have at its end.
    pub fn voltage(&self) -> CoreVoltage {
        self.voltage
    }

    /// The next call to make, `None` when there is one under way, a wait, or nothing left.
    pub fn next_call(&mut self, kind: &BoardKind, now: Instant) -> Option<Command> {
        while self.asked.is_none() && self.wait_until <= now {
            let step = self.rest.pop_front()?;
            self.has_switched |= match &step {
                Step::Voltage(_) => true,
                Step::Tell(Command::SetPin { pin, .. }) => *pin != RESET_PIN,
                Step::Tell(_) | Step::Ask(..) | Step::Wait(_) => false,
            };
            let command = match &step {
                Step::Tell(command) | Step::Ask(command, _) => Some(command.clone()),
                Step::Voltage(voltage) => set_voltage(kind, *voltage),
                Step::Wait(time) => {
                    self.wait_until = now + *time;
                    None
                }
            };
            if command.is_some() {
                self.asked = Some(step);
                return command;
            }
        }
        None
    }

    /// The call has ended. Errors: the board is not to have power.
    pub fn handle_outcome(&mut self, outcome: Result<Vec<u8>, CallError>) -> Result<(), PowerUpError> {
        let Some(step) = self.asked.take() else { return Ok(()) };
        let what = match step {
            Step::Ask(_, Check::FanId) => "fan controller",
            Step::Ask(..) | Step::Voltage(_) => "regulator",
            Step::Tell(Command::SetPin { .. }) => "pins",
            Step::Tell(_) | Step::Wait(_) => "parts of the board",
        };
        let has_answered = self.has_answered;
        let answer = outcome.map_err(|error| PowerUpError::Call { what, error, has_answered })?;
        self.has_answered = true;
        match step {
            Step::Ask(_, check) => check.judge(&answer).map_err(PowerUpError::Answer),
            Step::Tell(_) | Step::Voltage(_) | Step::Wait(_) => Ok(()),
        }
    }

    /// Whether the chips may have power by now. Before that the board has not shown yet to be what it should, and is
    /// better told nothing.
    pub fn has_switched(&self) -> bool {
        self.has_switched
    }

    /// Whether the chips have their power.
    pub fn is_done(&self, now: Instant) -> bool {
        self.rest.is_empty() && self.asked.is_none() && self.wait_until <= now
    }

    /// When to look for the next call.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.asked.is_none().then_some(self.wait_until)
    }
}
