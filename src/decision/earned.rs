//! What the time since the first job was worth, by the values of the decider itself.

use std::time::Instant;

use super::input::UpstreamId;

/// Time and what it was worth, since the first job was taken up. Unit: seconds, of which an ideal one earns 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Earned {
    /// How long that is.
    pub seconds: f64,
    /// Σ `w`·dt. Where hashing is shared `w` is the mean of those that are hashed for.
    pub valued: f64,
    /// Nothing was hashed.
    pub idle: f64,
    /// What was hashed had a parent behind the tip, and was worth nothing by that.
    pub stale: f64,
    /// Worth nothing for whatever reason, those idle and stale among them.
    pub wasted: f64,
    /// Lost to changes of work, by what each costs as far as it is measured.
    pub dead: f64,
    /// What advice has gained over what would be hashed for without it, by the values of the moment; less than 0 is a loss.
    pub advice_gain: f64,
}

impl Earned {
    /// Σ `w`·dt / Σ dt; `None` before the first job.
    pub fn value_ratio(&self) -> Option<f64> {
        (self.seconds > 0.0).then(|| self.valued / self.seconds)
    }
}

/// What a second is worth at present.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Present {
    /// `w`.
    pub(super) value: f64,
    /// Part of the boards that do nothing: 0, or 1.
    pub(super) idle: f64,
    /// Part of what is hashed that is behind the tip.
    pub(super) stale: f64,
    /// Part that is worth nothing.
    pub(super) wasted: f64,
    /// Of advice.
    pub(super) gain: f64,
}

/// The account.
#[derive(Debug, Clone, Default)]
pub(super) struct Earnings {
    settled: Earned,
    /// Since when; `None` before the first job.
    present: Option<(Present, Instant)>,
    /// Whom the advice in force left.
    pub(super) left: Option<UpstreamId>,
}

impl Earnings {
    /// From now on a second is worth so much. It begins with the first that is not idle.
    pub(super) fn settle(&mut self, present: Present, now: Instant) {
        if self.present.is_some() || present.idle < 1.0 {
            self.settled = self.at(now);
            self.present = Some((present, now));
        }
    }

    /// A change of work costs so many seconds.
    pub(super) fn change(&mut self, seconds: f64) {
        self.settled.dead += seconds;
    }

    /// All of it until now.
    pub(super) fn at(&self, now: Instant) -> Earned {
        let Some((present, since)) = self.present else { return self.settled };
        let seconds = now.saturating_duration_since(since).as_secs_f64();
        let settled = &self.settled;
        Earned {
            seconds: settled.seconds + seconds,
            valued: settled.valued + present.value * seconds,
            idle: settled.idle + present.idle * seconds,
            stale: settled.stale + present.stale * seconds,
            wasted: settled.wasted + present.wasted * seconds,
            dead: settled.dead,
            advice_gain: settled.advice_gain + present.gain * seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn seconds_count_from_the_first_job_on_by_what_they_are_worth() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let idle = Present { idle: 1.0, wasted: 1.0, ..Present::default() };
        let mut earnings = Earnings::default();
        earnings.settle(idle, start);
        assert_eq!(earnings.at(at(50)).value_ratio(), None, "nothing could be hashed yet");
        earnings.settle(Present { value: 0.9, gain: -0.01, ..Present::default() }, at(100));
        earnings.settle(Present { stale: 1.0, wasted: 1.0, ..Present::default() }, at(200));
        earnings.settle(idle, at(250));
        earnings.change(0.5);
        let earned = earnings.at(at(300));
        assert_eq!((earned.seconds, earned.idle, earned.stale, earned.wasted), (200.0, 50.0, 50.0, 100.0));
        assert_eq!((earned.valued, earned.value_ratio()), (90.0, Some(0.45)));
        assert_eq!((earned.dead, earned.advice_gain), (0.5, -1.0));
    }
}
