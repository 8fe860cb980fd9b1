//! Ranks the kernels by measurement: which is fastest differs from one processor, and one load, to the next.

use std::{num::NonZeroUsize, sync::Barrier, thread, time::Duration};

use super::{kernel::Kernel, measure::measured};

/// Slices measured of each kernel. An odd number, so that one of them is the median.
const SLICES: usize = 7;
/// Length of a slice: long against the clock's steps, and no new job waits longer for it than for two batches.
const SLICE: Duration = Duration::from_millis(2);
/// Hashes to find out how many fit into a slice.
const FIRST_HASHES: f64 = 1024.0;
/// A kernel is not measured further when its first slice was so much slower than the best one.
const HOPELESS: f64 = 0.5;

/// A kernel and how fast it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ranked {
    pub(super) kernel: Kernel,
    /// Hashes per second of one thread.
    pub(super) rate: f64,
}

/// Kernels to hash with, the preferred one first. One of them at least tries a single midstate.
#[derive(Debug, Clone)]
pub(super) struct Ranking(Vec<Ranked>);

impl Ranking {
    /// The fastest first. Shape: rates of slices of each kernel; of each the median counts.
    ///
    /// Panics if no kernel tries a single midstate: the portable one does, and always is.
    pub(super) fn of(rates: impl IntoIterator<Item = (Kernel, Vec<f64>)>) -> Self {
        let mut ranked: Vec<_> = rates
            .into_iter()
            .filter(|(_, rates)| !rates.is_empty())
            .map(|(kernel, mut rates)| {
                rates.sort_by(f64::total_cmp);
                Ranked { kernel, rate: rates[rates.len() / 2] }
            })
            .collect();
        ranked.sort_by(|a, b| b.rate.total_cmp(&a.rate));
        assert!(
            ranked.iter().any(|ranked| ranked.kernel.midstates == 1),
            "jobs without a mask need a kernel"
        );
        Self(ranked)
    }

    /// The same with the kernel of this name first, however fast it is.
    pub(super) fn preferring(mut self, name: &str) -> Self {
        self.0.sort_by_key(|ranked| ranked.kernel.name != name);
        self
    }

    /// The kernel to use if nothing forbids it.
    pub(super) fn first(&self) -> Ranked {
        self.0[0]
    }

    /// The kernel to use for jobs with this version mask: one that needs no more versions than there are.
    pub(super) fn for_mask(&self, version_mask: u32) -> Ranked {
        let versions = 1_u64 << version_mask.count_ones();
        let fits = |ranked: &&Ranked| ranked.kernel.midstates as u64 <= versions;
        *self.0.iter().find(fits).expect("one of them tries a single midstate")
    }

    /// The kernels.
    pub(super) fn kernels(&self) -> impl Iterator<Item = Kernel> {
        self.0.iter().map(|ranked| ranked.kernel)
    }
}

/// A kernel in a trial.
#[derive(Debug)]
struct Candidate {
    kernel: Kernel,
    nonces: u32,
    rates: Vec<f64>,
    is_hopeless: bool,
}

impl Candidate {
    fn measure(&mut self) -> f64 {
        let rate = measured(&self.kernel, self.nonces).rate();
        self.nonces = nonces(&self.kernel, rate * SLICE.as_secs_f64());
        rate
    }
}

fn nonces(kernel: &Kernel, hashes: f64) -> u32 {
    (hashes / kernel.midstates as f64).max(1.0) as u32
}

/// A measurement in steps of a slice each, of all kernels in turn so that a disturbance hits all alike; between two steps
/// the thread can look for a job.
#[derive(Debug)]
pub(super) struct Trial {
    candidates: Vec<Candidate>,
    steps: usize,
}

impl Trial {
    pub(super) fn new(kernels: impl IntoIterator<Item = Kernel>) -> Self {
        let candidate = |kernel| Candidate {
            nonces: nonces(&kernel, FIRST_HASHES),
            kernel,
            rates: Vec::with_capacity(SLICES),
            is_hopeless: false,
        };
        Self { candidates: kernels.into_iter().map(candidate).collect(), steps: 0 }
    }

    /// Measures one slice, at most; says whether the trial is over.
    pub(super) fn step(&mut self) -> bool {
        let (turn, at) = (self.steps / self.candidates.len(), self.steps % self.candidates.len());
        self.steps += 1;
        let candidate = &mut self.candidates[at];
        match turn {
            0 => _ = candidate.measure(), // only to learn how many nonces fill a slice
            _ if candidate.is_hopeless => {}
            _ => {
                let rate = candidate.measure();
                candidate.rates.push(rate);
            }
        }
        let is_last = at + 1 == self.candidates.len();
        if turn == 1 && is_last {
            let best = self.candidates.iter().map(|candidate| candidate.rates[0]).fold(0.0, f64::max);
            let best_of_one = |candidates: &[Candidate]| {
                let single = candidates.iter().filter(|candidate| candidate.kernel.midstates == 1);
                single.map(|candidate| candidate.rates[0]).fold(0.0, f64::max)
            };
            // The best for jobs without versions stays, and with it one for every job.
            let limit = best_of_one(&self.candidates).min(best * HOPELESS);
            for candidate in &mut self.candidates {
                candidate.is_hopeless = candidate.rates[0] < limit;
            }
        }
        turn == SLICES && is_last
    }

    /// The rates of all slices, by kernel.
    pub(super) fn rates(self) -> impl Iterator<Item = (Kernel, Vec<f64>)> {
        self.candidates.into_iter().map(|candidate| (candidate.kernel, candidate.rates))
    }
}

/// Ranks kernels while so many threads hash, but no more than there are cores: alone on the machine, others may win.
pub(super) fn rank(kernels: &[Kernel], threads: NonZeroUsize) -> Ranking {
    let cores = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let threads = threads.min(cores).get();
    let start_line = Barrier::new(threads);
    let try_all = || {
        let mut trial = Trial::new(kernels.iter().copied());
        start_line.wait();
        while !trial.step() {}
        trial.rates().collect::<Vec<_>>()
    };
    let mut rates: Vec<_> = kernels.iter().map(|kernel| (*kernel, Vec::new())).collect();
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(try_all)).collect();
        let mut add = |of_thread: Vec<(Kernel, Vec<f64>)>| {
            for ((_, all), (_, more)) in rates.iter_mut().zip(of_thread) {
                all.extend(more);
            }
        };
        add(try_all());
        for other in others {
            add(other.join().expect("kernels do not panic where they are supported"));
        }
    });
    Ranking::of(rates)
}

/// A ranking is taken for good so long.
const RANKED_FOR: Duration = Duration::from_hours(1);
/// Two rankings are so far apart even where the rate has fallen.
const RANKED_AT_LEAST_FOR: Duration = Duration::from_mins(10);
/// A rate so low for so long is another load, not a disturbance.
const FALLEN: f64 = 0.85;
const FALLEN_FOR: Duration = Duration::from_secs(10);

/// When to rank anew. A state machine: time is an argument, elapsed since anything that stays the same.
#[derive(Debug, Clone)]
pub(super) struct Doubt {
    ranked: Duration,
    fallen: Option<Duration>,
}

impl Doubt {
    /// After a ranking.
    pub(super) fn new(now: Duration) -> Self {
        Self { ranked: now, fallen: None }
    }

    /// Whether to rank now, with this rate where the ranking said that one.
    pub(super) fn is_due(&mut self, now: Duration, rate: f64, ranked_rate: f64) -> bool {
        if rate >= ranked_rate * FALLEN {
            self.fallen = None;
        } else if self.fallen.is_none() {
            self.fallen = Some(now);
        }
        let age = now.saturating_sub(self.ranked);
        let has_fallen = self.fallen.is_some_and(|since| now.saturating_sub(since) >= FALLEN_FOR);
        age >= RANKED_FOR || age >= RANKED_AT_LEAST_FOR && has_fallen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::kernel::SCALAR;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn kernel(name: &'static str, midstates: usize) -> Kernel {
        Kernel { name, midstates, ..SCALAR }
    }

    fn names(ranking: &Ranking) -> Vec<&str> {
        ranking.0.iter().map(|ranked| ranked.kernel.name).collect()
    }

    #[test]
    fn the_best_median_is_first_and_single_slices_do_not_count() {
        let ranking = Ranking::of([
            (kernel("lucky once", 1), vec![9.0, 1.0, 1.0, 1.0, 9.0]),
            (kernel("steady", 1), vec![2.0, 2.0, 2.0, 2.0, 0.1]),
            (kernel("not measured", 1), vec![]),
        ]);
        assert_eq!(names(&ranking), ["steady", "lucky once"]);
        assert_eq!(ranking.first().rate, 2.0);
    }

    #[test]
    fn a_job_gets_the_first_kernel_that_needs_no_more_versions_than_its_mask_has() {
        let ranking = Ranking::of([
            (kernel("16", 16), vec![4.0]),
            (kernel("2", 2), vec![3.0]),
            (kernel("1", 1), vec![2.0]),
            (kernel("8", 8), vec![1.0]),
        ]);
        for (mask, expected) in
            [(0, "1"), (0x8000_0000, "2"), (0xe000, "2"), (0x1_e000, "16"), (u32::MAX, "16")]
        {
            assert_eq!(ranking.for_mask(mask).kernel.name, expected, "{mask:#x}");
        }
        let forced = ranking.preferring("8");
        for (mask, expected) in [(0, "1"), (0x6000, "2"), (0xe000, "8"), (u32::MAX, "8")] {
            assert_eq!(forced.for_mask(mask).kernel.name, expected, "{mask:#x}");
        }
    }

    #[test]
    fn a_trial_measures_all_that_may_win_and_leaves_a_kernel_for_every_job() {
        // Scanning costs next to nothing here, and a kernel that counts more midstates is faster so many times.
        let idle = |name, midstates| Kernel {
            scan: |_, _, count, _, _| {
                thread::sleep(Duration::from_micros(u64::from(count.min(2000))));
                count
            },
            ..kernel(name, midstates)
        };
        let mut trial =
            Trial::new([idle("fast", 16), idle("slow", 1), idle("second", 12), idle("hopeless", 2)]);
        let mut steps = 1;
        while !trial.step() {
            steps += 1;
        }
        assert_eq!(steps, 4 * (SLICES + 1));
        let rates: Vec<_> = trial.rates().map(|(kernel, rates)| (kernel.name, rates.len())).collect();
        // The slowest is the only one for jobs without a mask, so nothing slower than it could be left out.
        assert_eq!(rates, [("fast", SLICES), ("slow", SLICES), ("second", SLICES), ("hopeless", SLICES)]);

        let mut trial = Trial::new([
            idle("fast", 1),
            Kernel {
                scan: |_, _, count, _, _| {
                    thread::sleep(Duration::from_micros(5 * u64::from(count.min(1000))));
                    count
                },
                ..kernel("hopeless", 1)
            },
        ]);
        while !trial.step() {}
        let rates: Vec<_> = trial.rates().map(|(kernel, rates)| (kernel.name, rates.len())).collect();
        assert_eq!(rates, [("fast", SLICES), ("hopeless", 1)]);
    }

    #[test]
    fn a_ranking_is_doubted_after_an_hour_or_when_the_rate_stays_low_but_not_every_minute() {
        let mut doubt = Doubt::new(secs(0));
        assert!(!doubt.is_due(secs(1), 50.0, 100.0), "just ranked");
        assert!(!doubt.is_due(secs(599), 50.0, 100.0), "ranked not long ago");
        assert!(doubt.clone().is_due(secs(600), 84.0, 100.0));
        assert!(!doubt.is_due(secs(600), 86.0, 100.0), "it has come back");
        assert!(!doubt.is_due(secs(700), 50.0, 100.0), "low for the first time");
        assert!(!doubt.is_due(secs(709), 50.0, 100.0));
        assert!(doubt.is_due(secs(710), 50.0, 100.0));
        assert!(Doubt::new(secs(0)).is_due(secs(3600), 100.0, 100.0), "hourly");
    }
}
