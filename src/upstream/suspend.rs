//! Whether the machine has been suspended. Connections seldom outlive that, and nothing on them says so: the clock that
//! deadlines are measured by stands still meanwhile.

use std::time::Duration;

/// How often to look.
pub(super) const BETWEEN_LOOKS: Duration = Duration::from_secs(5);
/// A shorter sleep is outlived by pools and routers.
const SHORT: Duration = Duration::from_secs(10);

/// Two clocks at one moment. They differ by the time that the machine has slept since it started.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clocks {
    /// Goes on while the machine sleeps.
    with_sleep: Duration,
    /// Stands still then.
    awake: Duration,
}

impl Clocks {
    /// `None` where the system has no such two clocks.
    #[cfg(target_os = "linux")]
    pub(super) fn read() -> Option<Self> {
        use rustix::time::{ClockId, clock_gettime};
        let read = |clock| Duration::try_from(clock_gettime(clock)).ok();
        Some(Self { with_sleep: read(ClockId::Boottime)?, awake: read(ClockId::Monotonic)? })
    }

    /// `None` where the system has no such two clocks.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn read() -> Option<Self> {
        None
    }
}

/// What the clocks showed when somebody last looked.
#[derive(Debug, Default)]
pub(super) struct SleepDetector {
    slept: Option<Duration>,
}

impl SleepDetector {
    /// How long the machine has slept since the last look, if long enough to matter.
    pub(super) fn look(&mut self, clocks: Clocks) -> Option<Duration> {
        let slept = clocks.with_sleep.saturating_sub(clocks.awake);
        let before = self.slept.replace(slept)?;
        Some(slept.saturating_sub(before)).filter(|slept| *slept > SHORT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_sleep_is_noticed_once_and_a_short_one_or_a_stopped_process_is_none() {
        let seconds = Duration::from_secs;
        let mut detector = SleepDetector::default();
        let mut look = |with_sleep, awake| {
            detector.look(Clocks { with_sleep: seconds(with_sleep), awake: seconds(awake) })
        };
        assert_eq!(look(5_000, 1_000), None, "what was slept before the start");
        assert_eq!(look(5_005, 1_005), None);
        assert_eq!(look(5_605, 1_605), None, "a process that was stopped for ten minutes");
        assert_eq!(look(5_620, 1_610), None, "ten seconds are outlived");
        assert_eq!(look(9_225, 1_615), Some(seconds(3_600)));
        assert_eq!(look(9_230, 1_620), None);
        assert_eq!(look(0, 9_000), None, "clocks that make no sense");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_systems_clocks_can_be_read() {
        let clocks = Clocks::read().unwrap();
        assert!(clocks.awake > Duration::ZERO && SleepDetector::default().look(clocks).is_none());
    }
}
