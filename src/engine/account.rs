//! What each upstream has done for us, over all its connections.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::meter::ShareCounts;

/// Longest time that is told apart, above all deadlines; longer ones count as this.
const LONGEST: Duration = Duration::from_secs(2 * 3600);
/// Digits of a time that count.
const DIGITS: u8 = 2;

/// Times by how often they came, to two digits, in a few kilobytes however many there are.
#[derive(Debug, Clone)]
pub struct Times {
    microseconds: Histogram<u32>,
}

impl Default for Times {
    fn default() -> Self {
        let longest = LONGEST.as_micros() as u64;
        let microseconds = Histogram::new_with_max(longest, DIGITS);
        Self { microseconds: microseconds.expect("the bounds are those of the crate") }
    }
}

impl Times {
    /// One more.
    pub fn add(&mut self, time: Duration) {
        self.microseconds.saturating_record(time.min(LONGEST).as_micros() as u64);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.microseconds.len()
    }

    /// The given fraction (0 to 1) of the times is at most this; `None` before the first.
    pub fn quantile(&self, fraction: f64) -> Option<Duration> {
        (!self.microseconds.is_empty())
            .then(|| Duration::from_micros(self.microseconds.value_at_quantile(fraction)))
    }
}

/// The account of one upstream.
#[derive(Debug, Clone, Default)]
pub struct Account {
    /// Its shares by how they ended.
    pub shares: ShareCounts,
    /// From writing a share to its answer.
    pub answers: Times,
    /// Between two jobs of one connection.
    pub job_gaps: Times,
    /// Jobs it has sent.
    pub jobs: u64,
    /// Hashes done for it.
    pub hashes: u64,
    /// Connections that came as far as authorised.
    pub connections: u64,
    /// Since when the present one stands.
    connected_at: Option<Instant>,
    before: Duration,
    last_job: Option<Instant>,
}

impl Account {
    /// The worker is authorised.
    pub fn connected(&mut self, now: Instant) {
        self.connections += 1;
        // The end of the one before may have gone unheard: a redirect has no more than a job that is taken back.
        self.before = self.connected_for(now);
        self.connected_at = Some(now);
    }

    /// The connection is gone.
    pub fn disconnected(&mut self, now: Instant) {
        self.before = self.connected_for(now);
        self.connected_at = None;
        self.last_job = None;
    }

    /// A job came.
    pub fn job(&mut self, arrived: Instant) {
        self.jobs += 1;
        if let Some(last) = self.last_job.replace(arrived) {
            self.job_gaps.add(arrived.saturating_duration_since(last));
        }
    }

    /// Since when the present connection stands.
    pub fn connected_at(&self) -> Option<Instant> {
        self.connected_at
    }

    /// How long it has been connected in all.
    pub fn connected_for(&self, now: Instant) -> Duration {
        self.before + self.connected_at.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_times_to_two_digits() {
        let mut times = Times::default();
        assert_eq!((times.quantile(0.5), times.count()), (None, 0));
        (1..=100).for_each(|ms| times.add(Duration::from_millis(ms)));
        for (fraction, ms) in [(0.0, 1.0), (0.5, 50.0), (0.95, 95.0), (0.99, 99.0), (1.0, 100.0)] {
            let read = times.quantile(fraction).unwrap().as_secs_f64() * 1e3;
            assert!((read / ms - 1.0).abs() < 0.01, "{fraction}: {read} ms");
        }
        times.add(Duration::from_secs(1_000_000));
        assert!(times.quantile(1.0).unwrap() >= LONGEST);
    }

    #[test]
    fn uptime_and_gaps_between_jobs_are_those_of_the_connections_alone() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut account = Account::default();
        account.connected(at(10));
        account.job(at(10));
        account.job(at(40));
        assert_eq!(account.connected_for(at(50)), Duration::from_secs(40));
        account.disconnected(at(60));
        account.connected(at(100));
        account.job(at(101));
        assert_eq!(account.connected_for(at(110)), Duration::from_secs(60));
        assert_eq!((account.connections, account.jobs, account.job_gaps.count()), (2, 3, 1));
        account.connected(at(120));
        assert_eq!(account.connected_for(at(121)), Duration::from_secs(71), "the one before ended unheard");
    }
}
