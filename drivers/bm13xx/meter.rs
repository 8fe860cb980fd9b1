//! What each chip of a chain has done, and how fast it hashes as far as its nonces tell.

use std::time::{Duration, Instant};

use super::nonce::Verdict;

/// Nonces older than this weigh e times less. Long enough that a chip with one nonce a second is known to 4 %.
const MEMORY: Duration = Duration::from_secs(600);

/// What became of the nonces of one chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChipCounts {
    /// Good ones.
    pub nonces: u64,
    /// Wrong hashes.
    pub hardware_errors: u64,
    /// Answers for jobs that are not known any more.
    pub stale: u64,
    /// Nonces that came again.
    pub duplicates: u64,
    /// Nonces easier than was asked for.
    pub below_ticket: u64,
}

impl ChipCounts {
    fn count(&mut self, verdict: &Verdict) {
        let count = match verdict {
            Verdict::Good(_) => &mut self.nonces,
            Verdict::BelowTicket(_) => &mut self.below_ticket,
            Verdict::HardwareError => &mut self.hardware_errors,
            Verdict::Stale => &mut self.stale,
            Verdict::Duplicate => &mut self.duplicates,
        };
        *count += 1;
    }
}

/// A hash rate as nonces tell it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateEstimate {
    /// Hashes a second.
    pub hashes_per_second: f64,
    /// One standard deviation of it: the truth is within two of them 19 times in 20. Without any nonce yet it is infinite.
    pub standard_error: f64,
}

/// Sums of hashes and of the time they took, both fading.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FadingRate {
    hashes: f64,
    /// Sum of the squares of what each nonce adds to `hashes`.
    variance: f64,
    seconds: f64,
}

impl FadingRate {
    /// So much time of hashing has passed.
    pub(crate) fn pass(&mut self, time: Duration) {
        let fade = (-time.as_secs_f64() / MEMORY.as_secs_f64()).exp();
        self.hashes *= fade;
        self.variance *= fade * fade;
        self.seconds = self.seconds * fade + MEMORY.as_secs_f64() * (1.0 - fade);
    }

    /// A nonce came that stands for so many hashes.
    pub(crate) fn add(&mut self, hashes: f64) {
        self.hashes += hashes;
        self.variance += hashes * hashes;
    }

    /// What that comes down to.
    pub(crate) fn estimate(&self) -> RateEstimate {
        if self.variance == 0.0 || self.seconds == 0.0 {
            return RateEstimate { hashes_per_second: 0.0, standard_error: f64::INFINITY };
        }
        RateEstimate {
            hashes_per_second: self.hashes / self.seconds,
            standard_error: self.variance.sqrt() / self.seconds,
        }
    }
}

/// Counts and rate of a chip.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChipStats {
    /// What became of its nonces.
    pub counts: ChipCounts,
    /// How fast it is.
    pub rate: RateEstimate,
}

/// The meters of a chain. Time passes in them only while the chips have work.
#[derive(Debug)]
pub struct Meter {
    chips: Vec<(ChipCounts, FadingRate)>,
    /// Nonces with an address that no chip has.
    nowhere: ChipCounts,
    /// Up to when time has passed; `None` while there is no work.
    counted_to: Option<Instant>,
    /// Whether there ever was work: before that no count says anything.
    has_begun: bool,
}

impl Meter {
    /// For so many chips.
    pub fn new(chips: usize) -> Self {
        Self {
            chips: vec![Default::default(); chips],
            nowhere: ChipCounts::default(),
            counted_to: None,
            has_begun: false,
        }
    }

    /// The chips have work from now on.
    pub fn start(&mut self, now: Instant) {
        self.pass(now);
        self.counted_to.get_or_insert(now);
        self.has_begun = true;
    }

    /// Whether the chips have ever had work.
    pub fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// The chips have no work from now on.
    pub fn stop(&mut self, now: Instant) {
        self.pass(now);
        self.counted_to = None;
    }

    /// Takes in what became of a nonce of this chip.
    pub fn count(&mut self, chip: usize, verdict: &Verdict, now: Instant) {
        self.pass(now);
        let Some((counts, rate)) = self.chips.get_mut(chip) else { return self.nowhere.count(verdict) };
        counts.count(verdict);
        if let (Verdict::Good(proved), Some(_)) = (verdict, self.counted_to) {
            rate.add(proved.ticket().hashes());
        }
    }

    /// How each chip stands, in the order of the chain.
    pub fn chips(&self, now: Instant) -> Vec<ChipStats> {
        let time = self.since(now);
        let stats = |(counts, rate): &(ChipCounts, FadingRate)| {
            let mut rate = *rate;
            rate.pass(time);
            ChipStats { counts: *counts, rate: rate.estimate() }
        };
        self.chips.iter().map(stats).collect()
    }

    /// What became of nonces that name no chip of this chain.
    pub fn nowhere(&self) -> ChipCounts {
        self.nowhere
    }

    fn since(&self, now: Instant) -> Duration {
        self.counted_to.map_or(Duration::ZERO, |before| now.saturating_duration_since(before))
    }

    fn pass(&mut self, now: Instant) {
        let time = self.since(now);
        self.chips.iter_mut().for_each(|(_, rate)| rate.pass(time));
        self.counted_to = self.counted_to.map(|before| before.max(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_chip_is_measured_to_its_rate_with_the_error_that_chance_leaves() {
        for (seconds, error) in [(100, 0.1), (10_000, 0.03)] {
            let mut rate = FadingRate::default();
            for _ in 0..seconds {
                rate.pass(Duration::from_secs(1));
                rate.add(1e9);
            }
            let estimate = rate.estimate();
            assert!((estimate.hashes_per_second / 1e9 - 1.0).abs() < 0.002, "{estimate:?}");
            assert!((estimate.standard_error / 1e9 - error).abs() < 0.005, "{estimate:?}");
        }
    }

    #[test]
    fn without_a_nonce_nothing_is_known() {
        let mut rate = FadingRate::default();
        assert_eq!(rate.estimate().standard_error, f64::INFINITY);
        rate.pass(Duration::from_secs(9));
        assert_eq!(rate.estimate(), RateEstimate { hashes_per_second: 0.0, standard_error: f64::INFINITY });
    }

    #[test]
    fn time_without_work_does_not_slow_a_chip_down() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut meter = Meter::new(1);
        meter.start(at(0));
        meter.chips[0].1.add(1e9);
        meter.stop(at(10));
        let before = meter.chips(at(10))[0].rate;
        assert_eq!(meter.chips(at(500))[0].rate, before);
        meter.start(at(500));
        assert!(meter.chips(at(510))[0].rate.hashes_per_second < 0.6 * before.hashes_per_second);
        meter.start(at(400));
        assert_eq!(meter.counted_to, Some(at(500)), "time never goes back");
    }

    #[test]
    fn what_names_no_chip_is_counted_apart() {
        let mut meter = Meter::new(2);
        meter.count(2, &Verdict::HardwareError, Instant::now());
        meter.count(1, &Verdict::Stale, Instant::now());
        assert_eq!(meter.nowhere().hardware_errors, 1);
        assert_eq!(meter.chips(Instant::now())[1].counts, ChipCounts { stale: 1, ..Default::default() });
    }
}
