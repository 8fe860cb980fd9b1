//! A newer job of the same upstream on the same parent: drop the running one for it, or take it at the boundary.

use super::chance::Chance;
use super::value::useful_seconds;

/// How an upstream has treated shares of jobs that a clean notify on the same parent called void. Beta(1, 1) at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct OldJobs {
    refused: u32,
    accepted: u32,
}

impl OldJobs {
    /// Such a share was judged.
    pub(super) fn count(&mut self, accepted: bool) {
        let count = if accepted { &mut self.accepted } else { &mut self.refused };
        *count = count.saturating_add(1);
    }

    /// One draw of the chance that the pool refuses them.
    pub(super) fn draw(self, chance: &mut Chance) -> f64 {
        chance.beta(1.0 + f64::from(self.refused), 1.0 + f64::from(self.accepted))
    }
}

/// A flush that takes less is done at every clean notify: finding out what the pool does with old shares costs more.
pub(super) const QUICK: f64 = 0.05;

/// An older job that pays more is kept until it is so old, seconds. Pools refuse shares of jobs older than 120 to 160 s.
pub(super) const OLDEST: f64 = 100.0;

/// All that the choice depends on; times in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Renewal {
    /// `ρ`: what the newer job gains by its fees.
    pub(super) gain: f64,
    /// Part of better fees that reaches us.
    pub(super) kappa: f64,
    /// `p`: chance that shares of the running job are refused; `None` while no clean notify has come since it.
    pub(super) refusal: Option<f64>,
    /// `b`: to the boundary.
    pub(super) boundary: f64,
    /// `L`.
    pub(super) flush: f64,
    /// A flush must gain so many times its cost.
    pub(super) margin: f64,
    /// Age of the running job.
    pub(super) age: f64,
}

/// What to do about a newer job.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Renew {
    /// Older jobs are void, and a flush is quick.
    FlushClean,
    /// The gain, against the cost with its margin.
    FlushFor {
        gain: f64,
        cost: f64,
    },
    Boundary,
    KeepOlder,
}

impl Renewal {
    pub(super) fn choose(&self) -> Renew {
        if self.refusal.is_some() && self.flush < QUICK {
            return Renew::FlushClean;
        }
        let gain = (self.gain + self.refusal.unwrap_or(0.0)) * useful_seconds(self.boundary);
        let cost = self.margin * self.flush;
        if gain > cost {
            Renew::FlushFor { gain, cost }
        } else if self.refusal.is_some() || self.gain >= 0.0 || self.kappa == 0.0 || self.age >= OLDEST {
            Renew::Boundary
        } else {
            Renew::KeepOlder
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Renewal = Renewal {
        gain: 0.0,
        kappa: 1.0,
        refusal: None,
        boundary: 5.5,
        flush: 0.002,
        margin: 1.25,
        age: 10.0,
    };

    #[test]
    fn from_empty_to_full_a_quick_device_flushes_and_a_slow_one_waits_for_its_boundary() {
        let full = Renewal { gain: 0.006_359_300, ..PLAIN };
        let Renew::FlushFor { gain, cost } = full.choose() else { panic!("{:?}", full.choose()) };
        assert!((gain / 0.034_816_334 - 1.0).abs() < 1e-6 && cost == 0.0025, "{gain} {cost}");
        assert_eq!(Renewal { flush: 0.1, ..full }.choose(), Renew::Boundary);
        for (flush, flushes) in [(0.0278, true), (0.0279, false)] {
            assert_eq!(
                matches!(Renewal { flush, ..full }.choose(), Renew::FlushFor { .. }),
                flushes,
                "{flush}"
            );
        }
    }

    #[test]
    fn the_usual_growth_of_fees_waits_for_the_boundary() {
        let grown = Renewal { gain: 1.907_790e-4, boundary: 0.25, ..PLAIN };
        let gain = grown.gain * useful_seconds(grown.boundary);
        assert!((gain / 4.768_482e-5 - 1.0).abs() < 1e-6, "{gain}");
        assert_eq!(grown.choose(), Renew::Boundary);
    }

    #[test]
    fn a_poorer_template_waits_until_the_older_one_is_a_hundred_seconds_old() {
        let poorer = Renewal { gain: -0.001, ..PLAIN };
        assert_eq!(poorer.choose(), Renew::KeepOlder);
        assert_eq!(Renewal { age: 100.0, ..poorer }.choose(), Renew::Boundary);
        assert_eq!(Renewal { kappa: 0.0, ..poorer }.choose(), Renew::Boundary);
        assert_eq!(Renewal { refusal: Some(0.0), flush: 0.1, ..poorer }.choose(), Renew::Boundary);
    }

    #[test]
    fn a_clean_job_is_flushed_for_by_quick_devices_and_by_slow_ones_where_old_shares_are_refused() {
        assert_eq!(Renewal { refusal: Some(0.0), ..PLAIN }.choose(), Renew::FlushClean);
        let slow = Renewal { flush: 0.3, boundary: 2.5, ..PLAIN };
        assert!(matches!(Renewal { refusal: Some(0.9), ..slow }.choose(), Renew::FlushFor { .. }));
        assert_eq!(Renewal { refusal: Some(0.01), ..slow }.choose(), Renew::Boundary);
    }

    #[test]
    fn what_a_pool_does_with_old_shares_is_believed_after_some_of_them() {
        let mut chance = Chance::new(1);
        let (mut takes, mut refuses) = (OldJobs::default(), OldJobs::default());
        for _ in 0..100 {
            takes.count(true);
            refuses.count(false);
        }
        for _ in 0..100 {
            assert!(takes.draw(&mut chance) < 0.15 && refuses.draw(&mut chance) > 0.85);
        }
    }
}
