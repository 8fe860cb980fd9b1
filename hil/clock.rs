//! The clock that all processes of a computer share, so that what the pool says can be held against what a board hears.

use std::time::{Duration, Instant};

/// An instant of the past on the system's monotonic clock, in seconds; `None` where it is not known how to read that.
#[cfg(unix)]
pub(crate) fn shared_clock(at: Instant) -> Option<f64> {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let now = Duration::new(now.tv_sec.try_into().ok()?, now.tv_nsec.try_into().ok()?);
    Some(now.checked_sub(at.elapsed())?.as_secs_f64())
}

/// An instant of the past on the system's monotonic clock, in seconds; `None` where it is not known how to read that.
#[cfg(not(unix))]
pub(crate) fn shared_clock(_: Instant) -> Option<f64> {
    None
}
