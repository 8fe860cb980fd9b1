//! How a device stands, for displays.

use super::{Icarus, IcarusCounts, State};
use crate::status::{BoardState, BoardStatus, ChipRate, ChipStatus, ClockStatus, LineStatus};

impl Icarus {
    /// What it does.
    pub fn state(&self) -> BoardState {
        match &self.state {
            State::Away { parked: Some(reason), .. } => BoardState::Parked { reason: reason.to_string() },
            State::Away { .. } | State::Golden { .. } | State::Division { .. } | State::Clock { .. } => {
                BoardState::Starting
            }
            State::Idle => BoardState::Idle,
            State::Hashing { .. } => BoardState::Hashing,
        }
    }

    /// How it stands: it measures nothing, and its answers do not tell its chips apart.
    pub fn status(&self) -> BoardStatus {
        let IcarusCounts { nonces, hardware_errors, duplicates, dropped_bytes } = self.counts;
        let rate = ChipRate::new(self.rate.estimate());
        let megahertz = self.frequency.map(|frequency| frequency.mhz);
        BoardStatus {
            clock: ClockStatus { megahertz, set_megahertz: megahertz },
            chips: vec![ChipStatus { address: 0, nonces, hardware_errors, rate }],
            line: LineStatus { dropped_bytes, duplicates, ..LineStatus::default() },
            ..BoardStatus::new(self.state())
        }
    }
}
