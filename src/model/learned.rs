//! How long an upstream's bad spells last: the one learned model that has earned its place. It moves no hashing power; it
//! tells when to look again at an upstream that rejects too much.
//!
//! A probe that comes too early is hashed for in vain, and until one comes after the end the better upstream is missed. The
//! next probe is put where both together cost least, with what past spells tell of the end of this one.

use std::time::{Duration, Instant};

use crate::decision::Spell;

mod durations;

use durations::Durations;

/// Fewer spells teach nothing.
const LEAST_SPELLS: usize = 3;
/// Probes are so far apart at least, seconds.
const APART: f64 = 240.0;
/// Times that are compared for the next probe, and the chance that the spell lasts beyond the last of them.
const TIMES: usize = 128;
const BEYOND: f64 = 0.02;
/// No plan looks farther ahead, seconds.
const FARTHEST: f64 = 6.0 * 3600.0;

/// When to look again at an upstream whose last spell has not ended, from the spells before it, the oldest first. `None`
/// where no spell is open or too few are known.
pub fn not_before(spells: &[Spell]) -> Option<Instant> {
    let (open, past) = spells.split_last()?;
    if open.first_good_probe.is_some() {
        return None;
    }
    let ends: Vec<_> = past.iter().filter_map(end).collect();
    if ends.len() < LEAST_SPELLS {
        return None;
    }
    let durations = Durations::learn(&ends)?;
    let lasted = open.last_failed_probe.map_or(0.0, |failed| seconds(open.start, failed));
    Some(open.start + Duration::from_secs_f64(next_probe(&durations, lasted, open.price.as_secs_f64())))
}

/// A spell ended somewhere between the last probe that failed and the first that did not: seconds since its start.
fn end(spell: &Spell) -> Option<(f64, f64)> {
    let good = seconds(spell.start, spell.first_good_probe?);
    let failed = spell.last_failed_probe.map_or(0.0, |failed| seconds(spell.start, failed));
    (good > failed).then_some((failed, good))
}

fn seconds(from: Instant, until: Instant) -> f64 {
    until.saturating_duration_since(from).as_secs_f64()
}

/// Seconds after the start of a spell at which to probe, when it is known to have `lasted` so many and a probe that fails
/// costs as much as coming back `price` seconds too late. A dynamic programme from the last of the compared times back to
/// the first: `cost[at]` is what all probes after that one cost, with the chance that they are needed.
fn next_probe(durations: &Durations, lasted: f64, price: f64) -> f64 {
    let known = durations.survival(lasted).max(f64::MIN_POSITIVE);
    let survival = |time: f64| durations.survival(time) / known;
    let mut span = APART;
    while span < FARTHEST && survival(lasted + span) > BEYOND {
        span *= 1.25;
    }
    let step = span / TIMES as f64;
    let alive: Vec<_> = (0..=TIMES).map(|at| survival(lasted + at as f64 * step)).collect();
    // Seconds of the spell expected before each of the times.
    let mut bad = vec![0.0; TIMES + 1];
    for at in 0..TIMES {
        bad[at + 1] = bad[at] + f64::midpoint(alive[at], alive[at + 1]) * step;
    }
    let apart = ((APART / step).ceil() as usize).max(1);
    let (mut cost, mut next) = (vec![0.0; TIMES + 1], vec![TIMES; TIMES + 1]);
    for at in (0..TIMES).rev() {
        let of = |probe: usize| {
            let late = alive[at] * (probe - at) as f64 * step - (bad[probe] - bad[at]);
            late + alive[probe] * price + cost[probe]
        };
        let probes = (at + apart).min(TIMES)..=TIMES;
        next[at] = probes.min_by(|a, b| of(*a).total_cmp(&of(*b))).expect("the range is not empty");
        cost[at] = of(next[at]);
    }
    lasted + next[0] as f64 * step
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PRICE: Duration = Duration::from_secs(400);

    /// Spells whose ends lie between these seconds, one every three hours.
    fn spells(start: Instant, ends: &[(u64, u64)]) -> Vec<Spell> {
        let spell = |(at, (failed, good)): (usize, &(u64, u64))| {
            let start = start + Duration::from_secs(3 * 3600 * at as u64);
            let after = |seconds| Some(start + Duration::from_secs(seconds));
            let last_failed_probe = if *failed > 0 { after(*failed) } else { None };
            Spell { start, last_failed_probe, first_good_probe: after(*good), price: PRICE }
        };
        ends.iter().enumerate().map(spell).collect()
    }

    /// Seconds from the start of an open spell, after `ends`, to the next probe.
    fn probe(ends: &[(u64, u64)], failed: Option<u64>, price: Duration) -> Option<u64> {
        let start = Instant::now();
        let mut spells = spells(start, ends);
        let start = start + Duration::from_secs(10 * 86_400);
        let last_failed_probe = failed.map(|failed| start + Duration::from_secs(failed));
        spells.push(Spell { start, last_failed_probe, first_good_probe: None, price });
        not_before(&spells).map(|at| at.duration_since(start).as_secs())
    }

    #[test]
    fn where_spells_last_an_hour_a_probe_comes_soon_after_it_is_over() {
        let at = probe(&[(3500, 3700); 5], None, PRICE).unwrap();
        assert!((3600..4200).contains(&at), "{at}");
    }

    #[test]
    fn the_dearer_a_probe_that_fails_the_later_it_comes() {
        let ends = [(3000, 3400), (3300, 3700), (3600, 4000), (3900, 4300)];
        let at = [20, 400, 4000].map(|price| probe(&ends, None, Duration::from_secs(price)).unwrap());
        assert!(at[0] + 300 < at[1] && at[1] + 300 < at[2], "{at:?}");
    }

    #[test]
    fn after_a_probe_that_failed_late_the_next_one_follows_soon_but_not_at_once() {
        let at = probe(&[(3500, 3700); 5], Some(3650), PRICE).unwrap();
        assert!((3650 + 240..3650 + 900).contains(&at), "{at}");
    }

    #[test]
    fn a_spell_that_no_probe_found_open_says_nothing_against_its_whole_length() {
        let mut ends = vec![(3500, 3700); 5];
        ends.extend([(0, 3800); 7]);
        let at = probe(&ends, None, PRICE).unwrap();
        assert!((3500..4200).contains(&at), "the middle of these would be 1900: {at}");
    }

    #[test]
    fn one_spell_unlike_the_others_moves_the_probe_a_little() {
        let usual = probe(&[(3500, 3700); 8], None, PRICE).unwrap();
        for odd in [(0, 400), (9000, 9900)] {
            let mut ends = vec![(3500, 3700); 7];
            ends.push(odd);
            let at = probe(&ends, None, PRICE).unwrap();
            assert!(at.abs_diff(usual) < 400, "{at} after {odd:?}, {usual} else");
        }
    }

    #[test]
    fn two_spells_teach_nothing_and_a_spell_that_has_ended_needs_no_probe() {
        assert_eq!(not_before(&[]), None);
        assert_eq!(probe(&[(3500, 3700); 2], None, PRICE), None);
        assert_eq!(not_before(&spells(Instant::now(), &[(3500, 3700); 4])), None);
    }

    proptest! {
        #[test]
        fn whatever_spells_there_were_the_next_probe_is_minutes_to_hours_away(
            ends in prop::collection::vec((0_u64..100_000, 1_u64..100_000), 3..12),
            failed in 0_u64..100_000, price in 0_u64..100_000,
        ) {
            let ends: Vec<_> = ends.into_iter().map(|(from, lasts)| (from, from + lasts)).collect();
            if let Some(at) = probe(&ends, Some(failed), Duration::from_secs(price)) {
                prop_assert!((failed + 239..=failed + 30_000).contains(&at), "{at} after {failed}");
            }
        }
    }
}
