//! How a board stands, for displays.

use std::time::Instant;

use super::super::thermal::CutOff;
use crate::bm13xx::chain::ChainStats;

/// What a board does.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// Parts are set up and the voltage is raised.
    PoweringUp,
    /// The chips are brought up or hash.
    Running {
        /// Whether they take jobs.
        is_hashing: bool,
    },
    /// The power is off, or is being taken away.
    Off {
        /// Why.
        why: OffReason,
        /// Whether the board has done as it was told.
        is_done: bool,
    },
}

/// Why a board has no power.
#[derive(Debug, Clone, PartialEq)]
pub enum OffReason {
    /// It was too hot, or nobody knew how hot it was. It starts again when it may.
    CutOff(CutOff),
    /// It could not be started, or the control port failed. It is tried again at this time.
    Failed {
        /// When.
        retry_at: Instant,
        /// What was wrong.
        reason: String,
    },
    /// It was told to stop.
    Stopped,
}

/// A board at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// What it does.
    pub phase: Phase,
    /// What it measures.
    pub readings: Readings,
    /// What it was told.
    pub settings: Told,
    /// Its chips and their line, while there is a chain.
    pub chain: Option<ChainStats>,
    /// Whether the control port answers.
    pub is_control_silent: bool,
}

/// The last values that could be read; `None` for what has never been, or is not measured on this board.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Readings {
    /// Of the chips.
    pub chip_celsius: Option<f64>,
    /// Of the board beside them.
    pub board_celsius: Option<f64>,
    /// Of the regulator.
    pub regulator_celsius: Option<f64>,
    /// Of the board, or where only the regulator tells it, of the chips.
    pub watts: Option<f64>,
    /// What the board is fed with.
    pub input_volts: Option<f64>,
    /// What the regulator gives to all voltage domains in series.
    pub rail_volts: Option<f64>,
    /// Of the fan, a minute.
    pub fan_rpm: Option<f64>,
}

/// What a board was told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Told {
    /// Frequency that is asked for.
    pub megahertz: u32,
    /// What is left of it at the moment; lower while heat or power hold it back.
    pub allowed_megahertz: f64,
    /// Core voltage that is asked for.
    pub millivolts: u32,
    /// What the regulator has been told; `None` without power.
    pub set_millivolts: Option<u32>,
    /// Drive of the fan.
    pub fan_percent: u8,
}
