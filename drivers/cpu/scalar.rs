//! The portable kernel: one hash at a time, no instruction beyond the language. The others are checked against it.

use super::{kernel::Hits, sha256::Prepared, sweep};

/// See [`super::kernel::Scan`].
pub(super) fn scan(headers: &Prepared, start: u32, count: u32, top_limit: u32, hits: &mut Hits) -> u32 {
    sweep::nonces::<u32>((), headers, start, count, top_limit, hits)
}
