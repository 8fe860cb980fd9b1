//! What came over a line without frames, until it makes an answer.

use std::time::{Duration, Instant};

/// Rest of an answer whose beginning is there. A USB bridge may hold bytes back for 16 ms.
pub(crate) const REST_WITHIN: Duration = Duration::from_millis(40);
/// Bytes kept while a device is being found out.
const MOST: usize = 256;

/// Bytes, and when the last of them came.
#[derive(Debug)]
pub(crate) struct Heard {
    bytes: Vec<u8>,
    at: Instant,
}

impl Heard {
    pub(crate) fn new(now: Instant) -> Self {
        Self { bytes: Vec::new(), at: now }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Adds what a device says that is being found out, and keeps the end of it.
    pub(crate) fn listen(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        let surplus = self.bytes.len().saturating_sub(MOST);
        self.bytes.drain(..surplus);
    }

    /// Adds bytes to the beginning of an answer, unless a silence shows that it is the rest of a damaged one. Shape: all
    /// there is, to be taken apart, and what was dropped.
    pub(crate) fn take(&mut self, bytes: &[u8], now: Instant) -> (Vec<u8>, Vec<u8>) {
        let is_late = now.saturating_duration_since(self.at) > REST_WITHIN;
        let dropped = if is_late { std::mem::take(&mut self.bytes) } else { Vec::new() };
        self.at = now;
        self.bytes.extend_from_slice(bytes);
        (std::mem::take(&mut self.bytes), dropped)
    }

    /// Keeps the beginning of the next answer.
    pub(crate) fn keep(&mut self, rest: &[u8]) {
        self.bytes = rest.to_vec();
    }
}
