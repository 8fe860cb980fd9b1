//! The chain's line: frames out with the time that they take, answers in.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::super::answer::{Answer, AnswerSize};
use super::super::bring_up::{Action, RESET_BAUD};
use super::super::decoder::{Decoder, LineCounts};
use super::super::frame::Frame;

/// Bits of a byte on the line: start, eight, stop.
const BITS_OF_A_BYTE: f64 = 10.0;

/// Both directions of the line.
#[derive(Debug)]
pub(super) struct Line {
    decoder: Decoder,
    answer_size: AnswerSize,
    out: VecDeque<Vec<u8>>,
    baud: u32,
    /// When the last byte given out will have left.
    free_at: Instant,
}

impl Line {
    pub(super) fn new(answer_size: AnswerSize, now: Instant) -> Self {
        let decoder = Decoder::new(answer_size);
        Self { decoder, answer_size, out: VecDeque::new(), baud: RESET_BAUD, free_at: now }
    }

    pub(super) fn send(&mut self, frame: &Frame, now: Instant) {
        let bytes = frame.emit();
        self.free_at = self.free_at.max(now) + self.time_of(bytes.len());
        self.out.push_back(bytes);
    }

    /// How long so many bytes take.
    pub(super) fn time_of(&self, bytes: usize) -> Duration {
        Duration::from_secs_f64(bytes as f64 * BITS_OF_A_BYTE / f64::from(self.baud))
    }

    /// How long an action keeps who does it, what waits on the line left out.
    pub(super) fn lasts(&self, action: &Action) -> Duration {
        match action {
            Action::Send(frame, wait) => self.time_of(frame.emit().len()) + *wait,
            Action::AtFrequency(_) | Action::Ask(_) | Action::HostSpeed(_) => Duration::ZERO,
        }
    }

    pub(super) fn free_at(&self) -> Instant {
        self.free_at
    }

    pub(super) fn baud(&self) -> u32 {
        self.baud
    }

    /// What came at another speed, or before a reset, is no beginning of anything.
    pub(super) fn restart(&mut self, baud: u32) {
        self.baud = baud;
        self.decoder.restart(self.answer_size);
    }

    /// Forgets what has not left yet, for the chips that it was for are reset.
    pub(super) fn drop_unsent(&mut self, now: Instant) {
        self.out.clear();
        self.free_at = now;
    }

    pub(super) fn next_out(&mut self) -> Option<Vec<u8>> {
        self.out.pop_front()
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) -> Vec<Answer> {
        self.decoder.feed(bytes)
    }

    pub(super) fn counts(&self) -> LineCounts {
        self.decoder.counts()
    }
}
