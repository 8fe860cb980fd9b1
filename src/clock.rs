//! The clock of the shells: tokio's, so that tests can pause it, as the standard type that the pure parts take.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Now.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The time of day. Unit: seconds since 1970.
pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Ready at `at`; never without one.
pub async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
