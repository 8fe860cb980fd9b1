//! What upstreams say of the time, by which a wrong clock of ours shows (check 3000).
//!
//! The time of a job speaks before the job is judged: a clock that is wrong would silence all who could tell of it. Each operator
//! of pools has one voice, the newest, over however many connections.

use std::collections::BTreeMap;
use std::time::Instant;

use super::UpstreamId;
use super::policy::UpstreamTerms;

/// Further apart than this since an upstream that is gone has spoken, one of our two clocks stood still or was set: what it
/// would say now is not known any more. Unit: seconds.
const SAME: u64 = 60;

#[derive(Debug)]
struct Said {
    /// Its job's time.
    ntime: u32,
    /// When that came by a clock that nobody sets.
    at: Instant,
    /// The same by the time of day, seconds since 1970.
    unix: u64,
    is_gone: bool,
}

/// The newest of one upstream.
#[derive(Debug)]
struct Voice {
    operator: Option<u32>,
    said: Option<Said>,
}

impl Said {
    /// How far its clock is ahead of ours, which shows `unix`; `None` when it is gone and that cannot be told.
    fn ahead(&self, now: Instant, unix: u64) -> Option<i64> {
        let age = now.saturating_duration_since(self.at).as_secs();
        let is_known = !self.is_gone || (self.unix + age).abs_diff(unix) <= SAME;
        let shows = u64::from(self.ntime) + age;
        is_known.then(|| shows.cast_signed().saturating_sub_unsigned(unix))
    }
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
    pub(super) fn heard(&mut self, upstream: UpstreamId, ntime: u32, now: Instant, unix: u64) {
        self.voices[upstream.0].said = Some(Said { ntime, at: now, unix, is_gone: false });
    }

    /// An upstream is gone. Its word stays: a standby that rests has to be heard beside the only pool that is connected.
    pub(super) fn lost(&mut self, upstream: UpstreamId) {
        if let Some(said) = &mut self.voices[upstream.0].said {
            said.is_gone = true;
        }
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
            let Some(said) = &self.voices[id.0].said else { continue };
            let (whose, ahead) = (self.whose(id), said.ahead(now, unix));
            if let Some(ahead) = ahead.filter(|_| whose != own && counts(id)) {
                let voice = newest.entry(whose).or_insert((said.at, ahead));
                *voice = (*voice).max((said.at, ahead));
            }
        }
        newest.into_values().map(|(_, ahead)| ahead).collect()
    }

    /// The operator, or the upstream itself where it has no fellows.
    fn whose(&self, id: UpstreamId) -> (Option<u32>, usize) {
        let operator = self.voices[id.0].operator;
        (operator, if operator.is_some() { 0 } else { id.0 })
    }
}
