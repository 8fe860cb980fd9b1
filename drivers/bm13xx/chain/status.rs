//! How a chain stands, for displays.

use std::time::Instant;

use super::{Chain, State};
use crate::bm13xx::meter::ChipCounts;
use crate::status::{BoardState, BoardStatus, ChipRate, ChipStatus, ClockStatus, LineStatus};

impl Chain {
    /// What it does.
    pub fn state(&self) -> BoardState {
        match &self.state {
            State::ResetHeld { .. } | State::ResetReleased { .. } | State::ComingUp(_) => {
                BoardState::Starting
            }
            State::Hashing(_) if self.work.job.is_none() => BoardState::Idle,
            State::Hashing(_) => BoardState::Hashing,
            State::Parked { reason, .. } => BoardState::Parked { reason: reason.to_string() },
            State::Resting => BoardState::Idle,
        }
    }

    /// How it stands. What is around the chips it does not know.
    pub fn status(&self, now: Instant) -> BoardStatus {
        let stats = self.stats(now);
        let chip = |(address, chip): (&u8, &super::ChipStats)| ChipStatus {
            address: *address,
            nonces: chip.counts.nonces,
            hardware_errors: chip.counts.hardware_errors,
            rate: ChipRate::new(chip.rate),
        };
        let all = || stats.chips.iter().map(|chip| chip.counts).chain([stats.nowhere]);
        let sum = |count: fn(ChipCounts) -> u64| all().map(count).sum();
        let chips = self.board.addresses.iter().zip(&stats.chips);
        let megahertz = self.is_hashing().then(|| self.frequency().mhz());
        BoardStatus {
            clock: ClockStatus { megahertz, set_megahertz: Some(self.board.frequency.mhz()) },
            chips: if self.meter.has_begun() { chips.map(chip).collect() } else { Vec::new() },
            line: LineStatus {
                crc_errors: stats.line.crc_errors,
                dropped_bytes: stats.line.dropped_bytes,
                stale: sum(|counts| counts.stale),
                duplicates: sum(|counts| counts.duplicates),
                below_ticket: sum(|counts| counts.below_ticket),
                unplaced: stats.nowhere.nonces + stats.nowhere.hardware_errors,
            },
            ..BoardStatus::new(self.state())
        }
    }
}
