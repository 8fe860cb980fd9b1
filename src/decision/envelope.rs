//! What advice may do: amend a choice between upstreams by gain, at a price that is bounded.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::output::{Advice, Refused};
use super::settings::Bounds;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// More than this of the best value no setting lets advice give up.
const MOST_EPSILON: f64 = 0.05;

/// What advice may still do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// Amendments in this hour.
    pub amends_left: usize,
    /// Ideal seconds until midnight.
    pub regret_left: f64,
}

/// The advice in force and what all of it has cost.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Envelope {
    bounds: Bounds,
    standing: Option<Taken>,
    /// Of the last hour.
    amends: VecDeque<Instant>,
    /// Ideal seconds lost today: to what is hashed, and to the moves.
    regret: f64,
    /// Advice led to what is hashed, whether it still stands or not.
    is_away: bool,
    /// What is lost a second now, and since when that is not counted yet.
    losing: (f64, Instant),
    day_ends: Instant,
}

/// Advice in force.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Taken {
    advice: Advice,
    at: Instant,
    /// It has changed something, and counts.
    amends: bool,
}

/// What a target is worth now, as far as advice goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Standing {
    /// It has a job that passed its checks with a chance of 1, no alarm, and has been up for long enough.
    pub(super) is_fit: bool,
    pub(super) value: f64,
    /// The best value of all.
    pub(super) best: f64,
    /// Going there and back, ideal seconds; 0 where it runs.
    pub(super) cost: f64,
}

impl Envelope {
    pub(super) fn new(bounds: Bounds, now: Instant) -> Self {
        let day_ends = now + DAY;
        let amends = VecDeque::new();
        Self { bounds, standing: None, amends, regret: 0.0, is_away: false, losing: (0.0, now), day_ends }
    }

    /// When the day ends.
    pub(super) fn set_midnight(&mut self, next: Instant) {
        self.day_ends = next;
    }

    /// The advice in force.
    pub(super) fn standing(&self) -> Option<Advice> {
        self.standing.map(|taken| taken.advice)
    }

    /// Whether it was taken at this very moment.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        self.standing.is_some_and(|taken| taken.at == now)
    }

    /// Takes advice, or says by which rule not. `amends`: it is more than to stay where mathematics stays.
    pub(super) fn take(
        &mut self,
        advice: Advice,
        standing: Standing,
        moment: u64,
        amends: bool,
        now: Instant,
    ) -> Result<(), Refused> {
        self.check(&advice, standing, moment, now)?;
        if amends && !self.may_amend(now) {
            return Err(Refused::TooOften);
        }
        self.standing = Some(Taken { advice, at: now, amends: false });
        if amends {
            self.amend(now);
        }
        Ok(())
    }

    /// The advice in force changes something: it counts, once, or ends where that is too often.
    pub(super) fn amend(&mut self, now: Instant) {
        let may = self.may_amend(now);
        let Some(taken) = self.standing.as_mut().filter(|taken| !taken.amends) else { return };
        taken.amends = true;
        if !may {
            self.standing = None;
            return;
        }
        while self.amends.front().is_some_and(|first| now >= *first + HOUR) {
            self.amends.pop_front();
        }
        self.amends.push_back(now);
    }

    fn may_amend(&self, now: Instant) -> bool {
        let too_soon = self.amends.back().is_some_and(|last| now < *last + self.bounds.amend_every);
        !too_soon && self.budget(now).amends_left > 0
    }

    /// The rules that hold whenever advice would apply.
    pub(super) fn check(
        &self,
        advice: &Advice,
        standing: Standing,
        moment: u64,
        now: Instant,
    ) -> Result<(), Refused> {
        let Bounds { min_confidence, .. } = self.bounds;
        let least = self.least(standing.best);
        if advice.seen != moment {
            Err(Refused::Overtaken)
        } else if now >= advice.until {
            Err(Refused::Late)
        } else if !standing.is_fit {
            Err(Refused::NotAllowed(advice.target))
        } else if standing.value < least {
            Err(Refused::GivesUpTooMuch { value: standing.value, least })
        } else if advice.confidence.is_nan() || advice.confidence < min_confidence {
            Err(Refused::Unsure { confidence: advice.confidence, least: min_confidence })
        } else if self.regret_left() <= standing.cost {
            Err(Refused::BudgetSpent)
        } else {
            Ok(())
        }
    }

    /// The least value that advice may choose.
    pub(super) fn least(&self, best: f64) -> f64 {
        let epsilon = self.bounds.epsilon;
        let epsilon = if epsilon.is_finite() { epsilon.clamp(0.0, MOST_EPSILON) } else { 0.0 };
        (1.0 - epsilon) * best
    }

    /// The advice in force ends.
    pub(super) fn drop_standing(&mut self) {
        self.standing = None;
    }

    /// All boards have moved to another upstream, by advice or not, which costs so many ideal seconds. Advice pays for the
    /// way back as soon as it leaves what mathematics chose: a budget that is spent must not be exceeded by returning.
    pub(super) fn moved(&mut self, by_advice: bool, cost: f64) {
        if by_advice {
            self.regret += if self.is_away { cost } else { 2.0 * cost };
        }
        self.is_away = by_advice;
    }

    /// From now on so much is lost a second to the advice in force, or to where it has led.
    pub(super) fn set_loss(&mut self, a_second: f64, now: Instant) {
        let is_ours = self.standing.is_some() || self.is_away;
        self.losing = (if is_ours { a_second.max(0.0) } else { 0.0 }, now);
    }

    /// Time passes.
    pub(super) fn advance(&mut self, now: Instant) {
        let (a_second, since) = self.losing;
        self.regret += a_second * now.saturating_duration_since(since).as_secs_f64();
        self.losing = (a_second, now.max(since));
        if now >= self.day_ends {
            self.regret = 0.0;
            let days = now.duration_since(self.day_ends).as_secs() / DAY.as_secs() + 1;
            self.day_ends += DAY * u32::try_from(days).unwrap_or(u32::MAX);
        }
        if self.standing.is_some_and(|taken| now >= taken.advice.until) || self.regret_left() <= 0.0 {
            self.standing = None;
        }
    }

    /// When the advice in force ends.
    pub(super) fn ends(&self) -> Option<Instant> {
        self.standing.map(|taken| taken.advice.until)
    }

    /// What advice may still do.
    pub(super) fn budget(&self, now: Instant) -> Budget {
        let recent = self.amends.iter().filter(|at| now < **at + HOUR).count();
        Budget {
            amends_left: self.bounds.amends_an_hour.saturating_sub(recent),
            regret_left: self.regret_left().max(0.0),
        }
    }

    fn regret_left(&self) -> f64 {
        self.bounds.regret_a_day * DAY.as_secs_f64() - self.regret
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::UpstreamId;

    const FIT: Standing = Standing { is_fit: true, value: 0.975, best: 0.98, cost: 0.0 };

    fn advice(now: Instant) -> Advice {
        let until = now + Duration::from_secs(60);
        Advice { target: UpstreamId(1), hold: false, confidence: 0.8, until, seen: 7, seen_soft: 0 }
    }

    #[test]
    fn each_rule_of_the_envelope_refuses_by_itself() {
        let now = Instant::now();
        let fresh = Envelope::new(Bounds::default(), now);
        let good = advice(now);
        let rule = |advice: Advice, standing, moment, at| {
            fresh.clone().take(advice, standing, moment, true, at).map_err(|refused| refused.rule())
        };
        assert_eq!(rule(good, FIT, 7, now), Ok(()));
        assert_eq!(rule(good, FIT, 8, now), Err(1));
        assert_eq!(rule(good, FIT, 7, good.until), Err(1));
        assert_eq!(rule(good, Standing { is_fit: false, ..FIT }, 7, now), Err(2));
        assert_eq!(rule(good, Standing { value: 0.970, ..FIT }, 7, now), Err(3));
        assert_eq!(rule(Advice { confidence: 0.59, ..good }, FIT, 7, now), Err(4));
        assert_eq!(rule(Advice { confidence: f64::NAN, ..good }, FIT, 7, now), Err(4));
    }

    #[test]
    fn one_amendment_a_minute_and_thirty_an_hour_are_all() {
        let start = Instant::now();
        let mut envelope = Envelope::new(Bounds::default(), start);
        let mut taken = 0;
        for second in 0..7200 {
            let now = start + Duration::from_secs(second);
            taken += u32::from(envelope.take(advice(now), FIT, 7, true, now).is_ok());
            assert!(envelope.amends.len() <= 30);
        }
        assert_eq!(taken, 60);
    }

    #[test]
    fn regret_ends_advice_until_the_next_day() {
        let start = Instant::now();
        let seconds = |seconds| start + Duration::from_secs(seconds);
        let mut envelope = Envelope::new(Bounds::default(), start);
        envelope.set_midnight(seconds(50_000));
        let long = Advice { until: seconds(100_000), ..advice(start) };
        envelope.take(long, FIT, 7, true, start).unwrap();
        envelope.set_loss(0.01, start);
        envelope.advance(seconds(17_000));
        assert!(envelope.standing().is_some());
        assert!((envelope.budget(seconds(17_000)).regret_left - 2.8).abs() < 1e-6);
        envelope.advance(seconds(17_281));
        assert!(envelope.standing().is_none());
        assert_eq!(envelope.take(long, FIT, 7, true, seconds(17_281)).unwrap_err().rule(), 5);
        envelope.set_loss(0.0, seconds(17_281));
        envelope.advance(seconds(50_000));
        assert_eq!(envelope.take(long, FIT, 7, true, seconds(50_000)), Ok(()));
    }

    #[test]
    fn a_move_by_advice_is_charged_with_its_way_back_and_refused_when_both_are_not_left() {
        let now = Instant::now();
        let mut envelope = Envelope::new(Bounds::default(), now);
        let left = |envelope: &Envelope| envelope.budget(now).regret_left;
        envelope.moved(false, 80.0);
        assert!((left(&envelope) - 172.8).abs() < 1e-9, "mathematics moves at its own cost");
        envelope.moved(true, 80.0);
        envelope.moved(false, 80.0);
        assert!((left(&envelope) - 12.8).abs() < 1e-9, "the way back was paid for");
        let far = Standing { cost: 12.9, ..FIT };
        assert_eq!(envelope.take(advice(now), far, 7, true, now).unwrap_err().rule(), 5);
        assert_eq!(envelope.take(advice(now), Standing { cost: 12.7, ..FIT }, 7, true, now), Ok(()));
        envelope.moved(true, 4.0);
        envelope.moved(true, 4.0);
        assert!((left(&envelope) - 0.8).abs() < 1e-9, "from one place of advice to the next it is one way");
    }

    #[test]
    fn what_is_lost_where_advice_led_counts_after_the_advice_has_ended() {
        let start = Instant::now();
        let mut envelope = Envelope::new(Bounds::default(), start);
        envelope.moved(true, 0.0);
        envelope.set_loss(0.01, start);
        envelope.advance(start + Duration::from_secs(100));
        assert!((envelope.regret - 1.0).abs() < 1e-9);
        envelope.moved(false, 0.0);
        envelope.set_loss(0.01, start + Duration::from_secs(100));
        envelope.advance(start + Duration::from_secs(200));
        assert!((envelope.regret - 1.0).abs() < 1e-9);
    }

    #[test]
    fn no_setting_gives_up_more_than_a_twentieth() {
        let now = Instant::now();
        for (epsilon, least) in [(0.5, 0.95), (f64::NAN, 1.0), (-1.0, 1.0), (0.01, 0.99)] {
            let envelope = Envelope::new(Bounds { epsilon, ..Bounds::default() }, now);
            assert_eq!(envelope.least(1.0), least);
        }
    }
}
