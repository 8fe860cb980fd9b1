//! What an operator may want of a running board, and what it answers.

use tokio::sync::{mpsc, oneshot, watch};

use crate::bitaxe::boards::BeyondLimit;
pub use crate::bitaxe::tuner::{Goal, Results};
use crate::bm13xx::pll::OutOfReach;

/// Orders that may wait for a board, which takes them within milliseconds.
pub const ORDER_CAPACITY: usize = 8;

/// What the operator may want of a running board. No order takes a board beyond the limits of its kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Order {
    /// This frequency and voltage from now on, without the tuner; `None` leaves the one or the other as it is.
    Set {
        /// Of the chips.
        megahertz: Option<f64>,
        /// Of one core.
        millivolts: Option<u32>,
    },
    /// This power at most, watts: above it the chips are held back. `None` for the limit of the board.
    LimitPower(Option<f64>),
    /// This temperature of the chips at most, °C: above it they are held back. `None` for the limit of the board.
    LimitTemperature(Option<f64>),
    /// Look for the best frequency and voltage; `None` stays where it is.
    Tune(Option<Goal>),
}

/// An order that is not followed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OrderError {
    /// The board does not bear it.
    #[error(transparent)]
    Beyond(#[from] BeyondLimit),
    /// The chips cannot have it.
    #[error(transparent)]
    Frequency(#[from] OutOfReach),
    /// No power or temperature that a board could be held to.
    #[error("{what} = {}: choose {least} to {most}, the limit of {board}", short(*asked))]
    Limit {
        /// The setting.
        what: &'static str,
        /// What was asked for.
        asked: f64,
        /// The lowest that makes sense.
        least: f64,
        /// The limit of the board.
        most: f64,
        /// Its title.
        board: String,
    },
    /// Nothing measures what the goal is about.
    #[error("{board} measures no power, so nothing can be tuned for efficiency; tune for hash-rate")]
    NoPowerMeter {
        /// Its title.
        board: String,
    },
    /// The board has no control port.
    #[error("{board} has no control port; use it as a chain of chips")]
    NoControl {
        /// Its title.
        board: String,
    },
    /// Nothing of this board does that.
    #[error("a chain of chips has no {0} that could be set")]
    NotOfChain(&'static str),
}

/// An order, and where to say what became of it.
pub type OrderRequest = (Order, oneshot::Sender<Result<(), OrderError>>);

/// What a board can be told beside its jobs, and what it learns. Nothing of it for a board that takes no orders.
#[derive(Debug, Clone, Default)]
pub struct Controls {
    /// For orders. Capacity [`ORDER_CAPACITY`].
    pub orders: Option<mpsc::Sender<OrderRequest>>,
    /// What its tuner knows, for a later run; changes when a point was measured. The latest wins.
    pub results: Option<watch::Receiver<Results>>,
}

/// A number that somebody has asked for, without the hundreds of digits that it may have.
pub(crate) fn short(number: f64) -> String {
    if number.is_finite() && number.abs() >= 1e9 { format!("{number:e}") } else { number.to_string() }
}
