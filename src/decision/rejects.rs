//! Jumps in the reject rate: a CUSUM of likelihood ratios finds them, and a two-sided test after a while finds their end.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::output::Spell;
use super::settings::Alarms;

/// The two rates that a test tells apart, and its score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateTest {
    usual: f64,
    jumped: f64,
}

impl RateTest {
    /// Against a jump from `base`, which counts as 0.002 to 0.05.
    pub fn new(base: f64) -> Self {
        let usual = base.clamp(0.002, 0.05);
        Self { usual, jumped: f64::min(4.0 * usual + 0.02, 0.5) }
    }

    /// What a share adds to the score, a natural logarithm of a likelihood ratio.
    pub fn step(&self, accepted: bool) -> f64 {
        if accepted {
            ((1.0 - self.jumped) / (1.0 - self.usual)).ln()
        } else {
            (self.jumped / self.usual).ln()
        }
    }
}

/// What one more share showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    Nothing,
    /// The rejects have jumped, or a probe found them still so.
    Alarm,
    /// A probe found the end; whether it was put there by what is known of past spells.
    Cleared {
        planned: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Normal {
        score: f64,
    },
    /// Not to be probed yet.
    Alarmed {
        since: Instant,
        probe_at: Instant,
        planned: bool,
        failed: u32,
    },
    Probing {
        began: Option<Instant>,
        score: f64,
        planned: bool,
        failed: u32,
    },
}

/// The watch over one upstream.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RejectWatch {
    alarms: Alarms,
    /// Usual part of rejected shares.
    base: f64,
    state: State,
    spells: Vec<Spell>,
}

/// Weight of a share in the usual rate.
const BASE_WEIGHT: f64 = 1.0 / 2000.0;

/// So many bad spells are remembered: those of some days.
const MOST_SPELLS: usize = 12;

/// A plan may put a probe no nearer to its alarm than this, and no farther.
const PLAN: std::ops::RangeInclusive<Duration> = Duration::from_secs(240)..=Duration::from_secs(6 * 3600);

/// No probe counts as dearer than that.
const MOST_PRICE: Duration = Duration::from_secs(6 * 3600);

impl RejectWatch {
    pub(super) fn new(alarms: Alarms) -> Self {
        Self { alarms, base: 0.005, state: State::Normal { score: 0.0 }, spells: Vec::new() }
    }

    /// A share was judged.
    pub(super) fn judge(&mut self, accepted: bool, now: Instant) -> Finding {
        self.advance(now);
        let step = RateTest::new(self.base).step(accepted);
        match &mut self.state {
            State::Normal { score } => {
                *score = (*score + step).max(0.0);
                if *score > self.alarms.alarm {
                    self.sound(0, now);
                    self.remember(Spell {
                        start: now,
                        last_failed_probe: None,
                        first_good_probe: None,
                        price: MOST_PRICE,
                    });
                    return Finding::Alarm;
                }
                self.base += (f64::from(u8::from(!accepted)) - self.base) * BASE_WEIGHT;
                Finding::Nothing
            }
            State::Alarmed { .. } => Finding::Nothing,
            State::Probing { began, score, planned, failed } => {
                *score += step;
                let (began, score) = (*began.get_or_insert(now), *score);
                let (planned, failed) = (*planned, *failed);
                if score > self.alarms.failed {
                    self.sound(failed.saturating_add(1), now);
                    self.spell(|spell| spell.last_failed_probe = Some(now));
                    Finding::Alarm
                } else if score < self.alarms.cleared {
                    self.state = State::Normal { score: 0.0 };
                    self.spell(|spell| spell.first_good_probe = Some(began));
                    Finding::Cleared { planned }
                } else {
                    Finding::Nothing
                }
            }
        }
    }

    /// Time passes: a probe may become possible.
    pub(super) fn advance(&mut self, now: Instant) {
        if let State::Alarmed { probe_at, planned, failed, .. } = self.state
            && now >= probe_at
        {
            self.state = State::Probing { began: None, score: 0.0, planned, failed };
        }
    }

    /// An alarm whose end is not proved.
    pub(super) fn is_alarmed(&self) -> bool {
        !matches!(self.state, State::Normal { .. })
    }

    /// When it may be probed, while it may not.
    pub(super) fn probe_at(&self) -> Option<Instant> {
        match self.state {
            State::Alarmed { probe_at, .. } => Some(probe_at),
            State::Normal { .. } | State::Probing { .. } => None,
        }
    }

    /// Its acceptance is thought of as if nothing were known.
    pub(super) fn is_probing(&self) -> bool {
        matches!(self.state, State::Probing { .. })
    }

    /// Sets when the present alarm is probed.
    pub(super) fn plan(&mut self, not_before: Instant) {
        if let State::Alarmed { since, probe_at, planned, .. } = &mut self.state {
            *planned = true;
            *probe_at = not_before.clamp(*since + *PLAN.start(), *since + *PLAN.end());
        }
    }

    /// What a probe costs that fails: `lost` is what a second of it loses against the best other upstream, `missed` what a
    /// second there loses once this one is well again. Unit: ideal seconds a second. A share comes every `gap` seconds, and
    /// this part of them is `rejected`.
    pub(super) fn price(&mut self, lost: f64, missed: f64, gap: f64, rejected: f64) {
        let test = RateTest::new(self.base);
        let step = rejected * test.step(false) + (1.0 - rejected) * test.step(true);
        let seconds = self.alarms.failed / step * gap * lost / missed;
        let is_known = step > 0.0 && missed > 0.0 && seconds.is_finite();
        let price = if is_known {
            Duration::from_secs_f64(seconds.clamp(0.0, MOST_PRICE.as_secs_f64()))
        } else {
            MOST_PRICE
        };
        self.spell(|spell| spell.price = price);
    }

    /// The last bad spells, the oldest first.
    pub(super) fn spells(&self) -> &[Spell] {
        &self.spells
    }

    fn sound(&mut self, failed: u32, now: Instant) {
        let wait = self.alarms.first_probe.saturating_mul(1 << failed.min(16)).min(self.alarms.last_probe);
        self.state = State::Alarmed { since: now, probe_at: now + wait, planned: false, failed };
    }

    fn remember(&mut self, spell: Spell) {
        if self.spells.len() == MOST_SPELLS {
            self.spells.remove(0);
        }
        self.spells.push(spell);
    }

    fn spell(&mut self, change: impl FnOnce(&mut Spell)) {
        self.spells.last_mut().map(change).expect("each alarm began a spell");
    }
}

/// The judged shares of the last ten minutes.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct RecentShares(VecDeque<(Instant, bool)>);

/// Ten minutes of 1.7 shares a second. Beyond that the oldest are forgotten early.
const MOST_RECENT: usize = 1024;

impl RecentShares {
    const KEPT: Duration = Duration::from_secs(600);

    pub(super) fn count(&mut self, accepted: bool, now: Instant) {
        let is_old = |(at, _): &(Instant, bool)| now.saturating_duration_since(*at) > Self::KEPT;
        while self.0.len() == MOST_RECENT || self.0.front().is_some_and(is_old) {
            self.0.pop_front();
        }
        self.0.push_back((now, accepted));
    }

    /// Mean seconds between those of the last `span`; `None` of fewer than two.
    pub(super) fn gap(&self, span: Duration, now: Instant) -> Option<f64> {
        let times = self.0.iter().map(|(at, _)| *at).filter(|at| now.saturating_duration_since(*at) <= span);
        let (first, gaps) = (times.clone().next()?, times.count().checked_sub(1).filter(|gaps| *gaps > 0)?);
        Some(now.saturating_duration_since(first).as_secs_f64() / gaps as f64)
    }

    /// Accepted and rejected ones of the last `span`, at most ten minutes.
    pub(super) fn within(&self, span: Duration, now: Instant) -> (u32, u32) {
        let recent = self.0.iter().rev().take_while(|(at, _)| now.saturating_duration_since(*at) <= span);
        recent.fold(
            (0, 0),
            |(accepted, rejected), (_, is_accepted)| {
                if *is_accepted { (accepted + 1, rejected) } else { (accepted, rejected + 1) }
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(value: f64, expected: f64) {
        assert!((value - expected).abs() <= expected.abs() * 1e-6, "{value} is not {expected}");
    }

    #[test]
    fn a_reject_speaks_for_a_jump_and_an_accepted_share_a_little_against_it() {
        let test = RateTest::new(0.005);
        close(test.jumped, 0.04);
        close(test.step(false), 2.079_441_542);
        close(test.step(true), -0.035_809_453);
        assert_eq!(RateTest::new(-1.0), RateTest::new(0.002));
        assert_eq!(RateTest::new(1.0), RateTest::new(0.05));
    }

    #[test]
    fn five_rejects_in_twenty_shares_are_an_alarm_at_the_last_of_them() {
        let test = RateTest::new(0.005);
        let mut score = 0f64;
        for (at, share) in "AAAARAAAAARAAARAARAR".bytes().enumerate() {
            score = (score + test.step(share == b'A')).max(0.0);
            assert_eq!(score > Alarms::default().alarm, at == 19, "after share {}: {score}", at + 1);
        }
        close(score, 10.003_304);
    }

    /// A watch in alarm since `now`.
    fn alarmed(now: Instant) -> RejectWatch {
        let mut watch = RejectWatch::new(Alarms::default());
        while watch.judge(false, now) != Finding::Alarm {}
        watch
    }

    #[test]
    fn failed_probes_wait_longer_up_to_an_hour_and_a_good_one_ends_the_spell() {
        let start = Instant::now();
        let (mut watch, mut now) = (alarmed(start), start);
        let mut last_failed = None;
        for minutes in [10, 20, 40, 60, 60] {
            assert_eq!(watch.probe_at(), Some(now + Duration::from_secs(minutes * 60)));
            now = watch.probe_at().unwrap();
            watch.advance(now);
            assert!(watch.is_probing() && watch.is_alarmed() && watch.probe_at().is_none());
            if minutes < 60 {
                while watch.judge(false, now) != Finding::Alarm {}
                last_failed = Some(now);
            } else {
                break;
            }
        }
        let accepted = (1..1000u32)
            .find(|_| watch.judge(true, now + Duration::from_secs(1)) == Finding::Cleared { planned: false });
        let needed = |base| (Alarms::default().cleared / RateTest::new(base).step(true)).ceil();
        assert_eq!(accepted.map(f64::from), Some(needed(watch.base)));
        assert_eq!(needed(0.005), 84.0);
        assert!(!watch.is_alarmed());
        let first_good_probe = Some(now + Duration::from_secs(1));
        let price = MOST_PRICE;
        assert_eq!(
            watch.spells(),
            [Spell { start, last_failed_probe: last_failed, first_good_probe, price }]
        );
    }

    #[test]
    fn no_share_counts_between_an_alarm_and_its_probe() {
        let now = Instant::now();
        let mut watch = alarmed(now);
        let before = watch.clone();
        (0..1000).for_each(|_| assert_eq!(watch.judge(true, now), Finding::Nothing));
        assert_eq!(watch, before);
    }

    #[test]
    fn a_plan_moves_the_probe_of_the_present_alarm_within_bounds() {
        let now = Instant::now();
        let seconds = |seconds| now + Duration::from_secs(seconds);
        let mut watch = alarmed(now);
        for (planned, probe_at) in [(3000, 3000), (300, 300), (0, 240), (1_000_000, 6 * 3600)] {
            watch.plan(seconds(planned));
            assert_eq!(watch.probe_at(), Some(seconds(probe_at)));
        }
        watch.advance(seconds(6 * 3600));
        while watch.judge(true, seconds(6 * 3600)) != (Finding::Cleared { planned: true }) {}
        let mut calm = RejectWatch::new(Alarms::default());
        calm.plan(seconds(3000));
        assert_eq!(calm.probe_at(), None);
    }

    #[test]
    fn a_probe_that_fails_costs_what_its_shares_lose_against_what_a_late_return_misses() {
        let mut watch = alarmed(Instant::now());
        let price = |watch: &mut RejectWatch, missed| {
            watch.price(0.08, missed, 3.3, 0.1);
            watch.spells()[0].price.as_secs_f64()
        };
        watch.base = 0.005;
        // 4 points of score at 0.1 · 2.079 - 0.9 · 0.0358 a share are 22.8 shares, 75 s and 6 s of work.
        assert!((price(&mut watch, 0.015) / 401.0 - 1.0).abs() < 0.05);
        for missed in [0.0, -1.0, 1e-9, f64::NAN] {
            assert_eq!(price(&mut watch, missed), MOST_PRICE.as_secs_f64(), "nothing is missed");
        }
    }

    #[test]
    fn the_last_twelve_spells_are_kept() {
        let mut now = Instant::now();
        let mut watch = alarmed(now);
        for _ in 0..20 {
            now = watch.probe_at().unwrap();
            while watch.judge(true, now) != (Finding::Cleared { planned: false }) {}
            while watch.judge(false, now) != Finding::Alarm {}
        }
        assert_eq!(watch.spells().len(), MOST_SPELLS);
        assert_eq!(watch.spells().last().unwrap().start, now);
    }

    #[test]
    fn recent_shares_are_those_within_the_span_and_never_more_than_fit() {
        let now = Instant::now();
        let mut recent = RecentShares::default();
        for second in 0..700 {
            recent.count(second % 10 != 0, now + Duration::from_secs(second));
        }
        let last = now + Duration::from_secs(699);
        assert_eq!(recent.within(Duration::from_secs(99), last), (90, 10));
        let gap = recent.gap(Duration::from_secs(130), last).unwrap();
        assert!((gap - 1.0).abs() < 1e-9, "{gap}");
        assert_eq!(RecentShares::default().gap(RecentShares::KEPT, last), None);
        (0..5000).for_each(|_| recent.count(true, last));
        assert_eq!(recent.0.len(), MOST_RECENT);
    }
}
