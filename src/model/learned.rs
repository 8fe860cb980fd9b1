//! How long an upstream's bad spells last: the one learned model that has earned its place. It moves no hashing power; it
//! tells when to look again at an upstream that rejects too much.

use std::time::{Duration, Instant};

use crate::decision::Spell;

/// Fewer spells teach nothing.
const LEAST_SPELLS: usize = 3;
/// The deviation counts as this at least, seconds, and as this part of the mean: a probe more costs little.
const LEAST_DEVIATION: (f64, f64) = (60.0, 0.05);
/// Probes are so far apart at least, seconds.
const APART: f64 = 240.0;

/// When to look again at an upstream whose last spell has not ended, from the spells before it, the oldest first: shortly
/// before the mean one would be over, then often. `None` where no spell is open or too few are known.
pub fn not_before(spells: &[Spell]) -> Option<Instant> {
    let (open, past) = spells.split_last()?;
    if open.first_good_probe.is_some() {
        return None;
    }
    let lengths: Vec<f64> = past.iter().filter_map(length).collect();
    if lengths.len() < LEAST_SPELLS {
        return None;
    }
    let count = lengths.len() as f64;
    let mean = lengths.iter().sum::<f64>() / count;
    let squares: f64 = lengths.iter().map(|length| (length - mean).powi(2)).sum();
    let deviation = (squares / (count - 1.0)).sqrt().max(LEAST_DEVIATION.0).max(LEAST_DEVIATION.1 * mean);
    let first = open.start + Duration::from_secs_f64((mean - deviation / 2.0).max(0.0));
    let next =
        open.last_failed_probe.map(|failed| failed + Duration::from_secs_f64(APART.max(deviation / 2.0)));
    Some(next.map_or(first, |next| next.max(first)))
}

/// Seconds that a spell lasted: it ended somewhere between the last probe that failed and the first that did not.
fn length(spell: &Spell) -> Option<f64> {
    let good = spell.first_good_probe?;
    let failed = spell.last_failed_probe.unwrap_or(spell.start);
    let seconds = |until: Instant| until.saturating_duration_since(spell.start).as_secs_f64();
    Some(f64::midpoint(seconds(failed), seconds(good)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spells of these lengths, one every three hours, each ended half-way between two probes 240 s apart.
    fn spells(start: Instant, lengths: &[u64]) -> Vec<Spell> {
        let spell = |(at, length): (usize, &u64)| {
            let start = start + Duration::from_secs(3 * 3600 * at as u64);
            let after = |seconds| Some(start + Duration::from_secs(seconds));
            Spell { start, last_failed_probe: after(length - 120), first_good_probe: after(length + 120) }
        };
        lengths.iter().enumerate().map(spell).collect()
    }

    fn with_open(mut spells: Vec<Spell>, start: Instant, failed: Option<u64>) -> Vec<Spell> {
        let last_failed_probe = failed.map(|failed| start + Duration::from_secs(failed));
        spells.push(Spell { start, last_failed_probe, first_good_probe: None });
        spells
    }

    #[test]
    fn a_probe_waits_until_shortly_before_the_mean_spell_is_over() {
        let (begin, now) = (Instant::now(), Instant::now() + Duration::from_secs(86_400));
        let open = with_open(spells(begin, &[3600, 3600, 3600]), now, None);
        // The deviation is 5 % of the mean at least: 180 s.
        assert_eq!(not_before(&open), Some(now + Duration::from_secs(3600 - 90)));
        let open = with_open(spells(begin, &[3000, 3600, 4200]), now, None);
        assert_eq!(not_before(&open), Some(now + Duration::from_secs(3600 - 300)));
    }

    #[test]
    fn after_a_failed_probe_the_next_ones_follow_closely() {
        let (begin, now) = (Instant::now(), Instant::now() + Duration::from_secs(86_400));
        let open = with_open(spells(begin, &[3600, 3600, 3600]), now, Some(3510));
        assert_eq!(not_before(&open), Some(now + Duration::from_secs(3510 + 240)));
        let open = with_open(spells(begin, &[3000, 3600, 4200]), now, Some(3300));
        assert_eq!(not_before(&open), Some(now + Duration::from_secs(3300 + 300)));
    }

    #[test]
    fn two_spells_teach_nothing_and_a_spell_that_has_ended_needs_no_probe() {
        let begin = Instant::now();
        let now = begin + Duration::from_secs(86_400);
        assert_eq!(not_before(&[]), None);
        assert_eq!(not_before(&with_open(spells(begin, &[3600, 3600]), now, None)), None);
        assert_eq!(not_before(&spells(begin, &[3600, 3600, 3600, 3600])), None);
    }
}
