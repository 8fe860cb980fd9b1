//! What upstreams say of the time, by which a wrong clock of ours shows (check 3000).
//!
//! The time of a job speaks before the job is judged: a clock that is wrong would silence all who could tell of it. Each operator
//! of pools has one voice, the newest, over however many connections.

use std::collections::BTreeMap;
use std::time::Instant;

use super::UpstreamId;
use super::policy::UpstreamTerms;

/// The newest of one upstream.
#[derive(Debug)]
struct Voice {
    operator: Option<u32>,
    /// Its job's time, and when that came by a clock that nobody sets.
    said: Option<(u32, Instant)>,
}

/// The voices of all upstreams.
#[derive(Debug)]
pub(super) struct Clocks {
    voices: Vec<Voice>,
}

impl Clocks {
    pub(super) fn new(terms: &[UpstreamTerms]) -> Self {
        Self { voices: terms.iter().map(|terms| Voice { operator: terms.operator, said: None }).collect() }
    }

    /// An upstream has sent a job of this time, whatever becomes of it.
    pub(super) fn heard(&mut self, upstream: UpstreamId, ntime: u32, now: Instant) {
        self.voices[upstream.0].said = Some((ntime, now));
    }

    /// An upstream is gone.
    pub(super) fn lost(&mut self, upstream: UpstreamId) {
        self.voices[upstream.0].said = None;
    }

    /// How far the clocks of the others that count are ahead of ours, which shows `unix`: one figure an operator. Unit: seconds.
    pub(super) fn of_others(
        &self,
        upstream: UpstreamId,
        counts: impl Fn(UpstreamId) -> bool,
        now: Instant,
        unix: u64,
    ) -> Vec<i64> {
        let own = self.whose(upstream);
        let mut newest = BTreeMap::new();
        for id in (0..self.voices.len()).map(UpstreamId) {
            let Some((ntime, at)) = self.voices[id.0].said else { continue };
            let whose = self.whose(id);
            if whose != own && counts(id) {
                let voice = newest.entry(whose).or_insert((at, ntime));
                *voice = (*voice).max((at, ntime));
            }
        }
        let shows =
            |(at, ntime): (Instant, u32)| u64::from(ntime) + now.saturating_duration_since(at).as_secs();
        newest.into_values().map(|voice| shows(voice).cast_signed().saturating_sub_unsigned(unix)).collect()
    }

    /// The operator, or the upstream itself where it has no fellows.
    fn whose(&self, id: UpstreamId) -> (Option<u32>, usize) {
        let operator = self.voices[id.0].operator;
        (operator, if operator.is_some() { 0 } else { id.0 })
    }
}
