//! What is said again to chips that a bad line may have kept from hearing it.

use super::{Action, BringUp, GAP, Step, addresses_for, program, ramp, send};
use crate::bm13xx::frame::Frame;
use crate::bm13xx::pll::{Frequency, OutOfReach};
use crate::bm13xx::register::Register;
use crate::bm13xx::ticket::Ticket;

/// The assignment of addresses anew, after which all chips take them again: for chips that have missed one. The order to
/// keep commands to themselves stands there three times, as cgminer sends it (`driver-gekko.c`); a chip that misses it
/// takes every address.
pub fn assignment(list: &BringUp, addresses: &[u8]) -> Vec<Action> {
    let wait = list.steps.iter().find_map(|step| match step {
        Step::Inactive(wait) => Some(*wait),
        _ => None,
    });
    let mut actions = vec![send(Frame::ChainInactive, wait.unwrap_or(GAP)); 3];
    actions.extend(addresses_for(addresses));
    actions
}

/// What can be said again to chips that have their addresses and their clock: all writes of a bring-up but those that
/// stop cores for a moment, which would have their load come back at once, those of the line's speed, and the ramp, of
/// which the last step is left. Errors: the frequency.
pub fn settings(
    list: &BringUp,
    addresses: &[u8],
    frequency: Frequency,
    ticket: Ticket,
) -> Result<Vec<Action>, OutOfReach> {
    let is_left_out = |register: &Register| {
        *register == Register::SOFT_RESET || list.speeds.iter().any(|speed| speed.register == *register)
    };
    let mut actions = program(list, addresses, frequency, ticket)?;
    actions.retain(|action| match action {
        Action::Send(Frame::Write { register, .. }, _) => !is_left_out(register) && !is_clock(action),
        _ => false,
    });
    actions.extend(ramp(list.chip, frequency, frequency)?);
    Ok(actions)
}

/// Actions for a line that loses some: each write stands there three times. Steps of a ramp but the last do not, for the
/// next one makes up for a lost one, nor do addresses, of which a second copy is taken by the next chip, nor a change of
/// speed, after which chips make nothing of a copy.
pub fn thrice(actions: impl IntoIterator<Item = Action>) -> Vec<Action> {
    let actions: Vec<_> = actions.into_iter().collect();
    let last_step = actions.iter().rposition(is_clock);
    let mut all = Vec::new();
    for (index, action) in actions.iter().enumerate() {
        let is_last = Some(index) == last_step;
        let is_speed = matches!(actions.get(index + 1), Some(Action::HostSpeed(_)));
        if let Action::Send(frame @ (Frame::Write { .. } | Frame::ChainInactive), _) = action
            && (is_last || !is_clock(action))
            && !is_speed
        {
            all.extend([(); 2].map(|()| send(frame.clone(), GAP)));
        }
        all.push(action.clone());
    }
    all
}

/// Whether an action sets the clock of the cores.
fn is_clock(action: &Action) -> bool {
    const CLOCK: [Register; 2] = [Register::PLL0, Register::PLL0_DIVIDER];
    matches!(action, Action::Send(Frame::Write { register, .. }, _) if CLOCK.contains(register))
}
