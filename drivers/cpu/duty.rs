//! Duty cycle: hashing for a part of the time only, measured in the thread's CPU time so that time in which other
//! programs had the core does not count as ours.

use std::time::Duration;

/// Length of one stretch of hashing and pause. Short enough that temperature and fans do not follow it.
const PERIOD: Duration = Duration::from_millis(50);

/// When a thread pauses. A state machine: both times are arguments.
#[derive(Debug, Clone)]
pub(super) struct Duty {
    percent: u32,
    /// Elapsed and CPU time when the period began.
    began: (Duration, Duration),
}

impl Duty {
    pub(super) fn new(percent: u8) -> Self {
        Self { percent: u32::from(percent), began: (Duration::ZERO, Duration::ZERO) }
    }

    /// Whether the thread never pauses, so that nobody has to ask for its CPU time.
    pub(super) fn is_full(&self) -> bool {
        self.percent >= 100
    }

    /// Begins a period. After a pause the CPU time is that of its beginning: what it took to sleep and to wake is part of
    /// the new period. It must not make the pause longer while it lasts, or a pause of many naps would never end.
    pub(super) fn begin(&mut self, elapsed: Duration, cpu: Duration) {
        self.began = (elapsed, cpu);
    }

    /// Until when to pause after a batch, as elapsed time; `None` to go on now. Begins the next period where one is over
    /// without a pause.
    pub(super) fn pause_until(&mut self, elapsed: Duration, cpu: Duration) -> Option<Duration> {
        let used = cpu.saturating_sub(self.began.1);
        if used < PERIOD * self.percent / 100 {
            return None;
        }
        let until = self.began.0 + used * 100 / self.percent;
        if until > elapsed {
            return Some(until);
        }
        self.begin(elapsed, cpu);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_thread_hashes_until_its_part_of_the_period_is_used_and_pauses_for_the_rest() {
        let mut duty = Duty::new(20);
        duty.begin(ms(1000), ms(300));
        assert_eq!(duty.pause_until(ms(1009), ms(309)), None);
        assert_eq!(duty.pause_until(ms(1010), ms(310)), Some(ms(1050)));
    }

    #[test]
    fn a_thread_hashes_its_part_of_a_long_time_also_where_sleeping_takes_time_of_the_core() {
        let sleep = Duration::from_micros(100);
        for percent in [1, 10, 50, 99] {
            let mut duty = Duty::new(percent);
            let (mut elapsed, mut cpu, mut batches) = (Duration::ZERO, Duration::ZERO, 0);
            while elapsed < Duration::from_secs(10) {
                (elapsed, cpu, batches) = (elapsed + ms(1), cpu + ms(1), batches + 1);
                if let Some(until) = duty.pause_until(elapsed, cpu) {
                    duty.begin(until, cpu);
                    (elapsed, cpu) = (until, cpu + sleep);
                }
            }
            let part = cpu.as_secs_f64() / elapsed.as_secs_f64();
            let percent = f64::from(percent);
            assert!((part * 100.0 - percent).abs() < percent / 20.0, "{percent} %: {part}");
            assert!(ms(batches) > cpu * 9 / 10, "{percent} %: {batches} batches in {cpu:?}");
        }
    }

    #[test]
    fn a_batch_longer_than_the_part_is_paid_for_by_a_longer_pause() {
        let mut duty = Duty::new(1);
        assert_eq!(duty.pause_until(ms(2), ms(2)), Some(ms(200)));
    }

    #[test]
    fn work_done_for_a_new_job_in_the_pause_makes_the_pause_longer() {
        let mut duty = Duty::new(50);
        assert_eq!(duty.pause_until(ms(25), ms(25)), Some(ms(50)));
        assert_eq!(duty.pause_until(ms(31), ms(26)), Some(ms(52)));
    }

    #[test]
    fn time_that_other_programs_had_counts_as_pause() {
        let mut duty = Duty::new(50);
        assert_eq!(duty.pause_until(ms(60), ms(25)), None);
        assert_eq!(duty.pause_until(ms(84), ms(49)), None, "the next period has begun");
        assert_eq!(duty.pause_until(ms(85), ms(50)), Some(ms(110)));
    }
}
