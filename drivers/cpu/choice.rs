//! Ranks the kernels by measurement: which is fastest differs from one processor, and one load, to the next.

use std::{
    num::NonZeroUsize,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use super::{
    CpuError,
    kernel::Kernel,
    lower_priority,
    measure::{FIRST_NONCES, Slice, measured, median, nonces_in},
};

/// Slices measured of each kernel.
const SLICES: usize = 7;
/// Length of a slice: long against the clock's steps, and no new job waits longer for it than for two batches.
const SLICE: Duration = Duration::from_millis(2);
/// Slices without which nothing is said of a kernel: of fewer, one that was disturbed could be the median.
const FEWEST_SLICES: usize = 3;
/// A kernel is not measured further when it is so much slower than the best one.
const HOPELESS: f64 = 0.5;
/// How long threads of the lowest priority are waited for, where other programs leave them next to nothing.
const PATIENCE: Duration = Duration::from_millis(500);

/// A kernel and how fast it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ranked {
    pub(super) kernel: Kernel,
    /// Hashes of one thread in a second that it has a core: what other programs take does not count, how they slow down
    /// the core does.
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
            .filter_map(|(kernel, rates)| Some(Ranked { kernel, rate: median(rates)? }))
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
    /// That fill a slice, as far as the last one tells.
    nonces: u32,
    rates: Vec<f64>,
    is_hopeless: bool,
}

impl Candidate {
    fn rate(&self) -> f64 {
        median(self.rates.clone()).unwrap_or(0.0)
    }
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
            nonces: FIRST_NONCES,
            kernel,
            rates: Vec::with_capacity(SLICES),
            is_hopeless: false,
        };
        Self { candidates: kernels.into_iter().map(candidate).collect(), steps: 0 }
    }

    /// Measures one slice, at most, by this way of hashing so many nonces; says whether the trial is over.
    pub(super) fn step(&mut self, measure: impl FnOnce(&Kernel, u32) -> Slice) -> bool {
        let (turn, at) = (self.steps / self.candidates.len(), self.steps % self.candidates.len());
        self.steps += 1;
        let candidate = &mut self.candidates[at];
        if !candidate.is_hopeless {
            let slice = measure(&candidate.kernel, candidate.nonces);
            candidate.nonces = nonces_in(&slice, candidate.nonces, SLICE);
            // The first one is only to learn how many nonces fill a slice.
            if turn > 0 {
                candidate.rates.push(slice.cpu_rate());
            }
        }
        let is_last = at + 1 == self.candidates.len();
        if turn == FEWEST_SLICES && is_last {
            self.leave_out_the_hopeless();
        }
        turn == SLICES && is_last
    }

    /// The best for jobs without versions stays, and with it one for every job.
    fn leave_out_the_hopeless(&mut self) {
        let single = self.candidates.iter().filter(|candidate| candidate.kernel.midstates == 1);
        let best_of_one = single.map(Candidate::rate).fold(0.0, f64::max);
        let best = self.candidates.iter().map(Candidate::rate).fold(0.0, f64::max);
        let limit = best_of_one.min(best * HOPELESS);
        for candidate in &mut self.candidates {
            candidate.is_hopeless = candidate.rate() < limit;
        }
    }

    /// The rates of all slices, by kernel.
    pub(super) fn rates(self) -> impl Iterator<Item = (Kernel, Vec<f64>)> {
        self.candidates.into_iter().map(|candidate| (candidate.kernel, candidate.rates))
    }
}

/// Ranks kernels while so many threads hash, but no more than there are cores: alone on the machine, others may win. The
/// threads have the lowest priority, as those that will hash. If they get too little of the cores to be ready within half
/// a second, threads of normal priority do it.
///
/// Errors: `Spawn` if the system gives no thread.
pub(super) fn rank(kernels: &[Kernel], threads: NonZeroUsize) -> Result<Ranking, CpuError> {
    let cores = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    rank_within(PATIENCE, kernels, threads.min(cores).get())
}

fn rank_within(patience: Duration, kernels: &[Kernel], threads: usize) -> Result<Ranking, CpuError> {
    // The caller does not wait for threads that come late: they would need as long again to end.
    let give_up_at = Instant::now() + patience;
    let is_late = move || Instant::now() >= give_up_at;
    let at_lowest = spawn(kernels, threads, |thread| _ = lower_priority(thread), is_late)?;
    let in_time = || at_lowest.recv_timeout(give_up_at.saturating_duration_since(Instant::now())).ok();
    if let Some(trials) = (0..threads).map(|_| in_time()).collect::<Option<Vec<_>>>() {
        return Ok(Ranking::of(merged(kernels, trials)));
    }
    let at_normal = spawn(kernels, threads, |_| (), || false)?;
    let trials = at_normal.iter().take(threads).collect();
    Ok(Ranking::of(merged(kernels, trials)))
}

/// Starts a trial of kernels on so many threads, which first settle and begin when all are there. The trials come as they
/// end, but none of a thread that is late.
fn spawn(
    kernels: &[Kernel],
    threads: usize,
    settle: fn(usize),
    is_late: impl Fn() -> bool + Clone + Send + 'static,
) -> Result<mpsc::Receiver<Trial>, CpuError> {
    let (results, trials) = mpsc::channel();
    let mut begins = Vec::with_capacity(threads);
    for thread in 0..threads {
        let mut trial = Trial::new(kernels.iter().copied());
        let (results, is_late) = (results.clone(), is_late.clone());
        // A word to begin with; without it, when another thread could not be started, this one ends.
        let (begin, word) = mpsc::sync_channel(1);
        let try_all = move || {
            settle(thread);
            if word.recv().is_err() {
                return;
            }
            while !trial.step(measured) {
                if is_late() {
                    return;
                }
            }
            // Nobody waits any more where it was late in its last step.
            let _ = results.send(trial);
        };
        let spawned = thread::Builder::new().name(format!("rank-{thread}")).spawn(try_all);
        spawned.map_err(|source| CpuError::Spawn { thread, threads, source })?;
        begins.push(begin);
    }
    for begin in begins {
        begin.send(()).expect("a thread waits for its word");
    }
    Ok(trials)
}

/// The rates of all threads, by kernel.
fn merged(kernels: &[Kernel], trials: Vec<Trial>) -> Vec<(Kernel, Vec<f64>)> {
    let mut merged: Vec<_> = kernels.iter().map(|kernel| (*kernel, Vec::new())).collect();
    for trial in trials {
        for ((_, all), (_, more)) in merged.iter_mut().zip(trial.rates()) {
            all.extend(more);
        }
    }
    merged
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

    /// Whether to rank now, with this rate where the ranking said that one. Both are of time in which the thread has a core:
    /// how much of it other programs take says nothing of a kernel.
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
    #[cfg(target_os = "linux")]
    use std::sync::Mutex;

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
        assert_eq!(Ranking::of([(SCALAR, vec![1.0, 2.0])]).first().rate, 1.5);
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

    /// A slice in which a thread needed so long for a hash, and other programs took `taken`.
    fn slice(hashes: u64, nanoseconds_a_hash: u64, taken: Duration) -> Slice {
        let cpu = Duration::from_nanos(hashes * nanoseconds_a_hash);
        Slice { hashes, wall: cpu + taken, cpu, clock: None }
    }

    /// The slices that were taken of each kernel and the ranking, when a hash takes as many nanoseconds as `speed` says of a
    /// kernel and of how many slices of it there were before.
    fn tried(kernels: &[Kernel], speed: impl Fn(&str, usize) -> (u64, Duration)) -> (Vec<usize>, Ranking) {
        let mut trial = Trial::new(kernels.iter().copied());
        let mut taken = vec![0; kernels.len()];
        let mut step = |trial: &mut Trial| {
            trial.step(|kernel, nonces| {
                let at = kernels.iter().position(|other| other.name == kernel.name).unwrap();
                let (nanoseconds, lost) = speed(kernel.name, taken[at]);
                taken[at] += 1;
                slice(u64::from(nonces) * kernel.midstates as u64, nanoseconds, lost)
            })
        };
        let mut steps = 1;
        while !step(&mut trial) {
            steps += 1;
        }
        assert_eq!(steps, kernels.len() * (SLICES + 1));
        (taken, Ranking::of(trial.rates()))
    }

    #[test]
    fn a_kernel_is_first_by_the_time_that_it_had_a_core_however_much_other_programs_took() {
        let kernels = [kernel("best", 16), kernel("second", 16), kernel("single", 1)];
        let (_, ranking) = tried(&kernels, |name, before| match name {
            // Interrupted in most of its slices, for longer than a slice.
            "best" => (85, if before % 3 == 0 { Duration::ZERO } else { Duration::from_millis(4) }),
            "second" => (100, Duration::ZERO),
            _ => (140, Duration::ZERO),
        });
        assert_eq!(names(&ranking), ["best", "second", "single"]);
        assert!((ranking.first().rate * 85e-9 - 1.0).abs() < 1e-6, "{}", ranking.first().rate);
    }

    #[test]
    fn a_kernel_is_given_up_by_the_median_of_three_slices_and_not_by_one_that_was_disturbed() {
        let kernels = [kernel("best", 1), kernel("second", 1), kernel("hopeless", 1)];
        for disturbed in 1..=FEWEST_SLICES {
            let (taken, ranking) = tried(&kernels, |name, before| match name {
                "best" if before == disturbed => (1000, Duration::ZERO),
                "best" => (85, Duration::ZERO),
                "second" => (100, Duration::ZERO),
                _ => (300, Duration::ZERO),
            });
            assert_eq!(taken, [SLICES + 1, SLICES + 1, FEWEST_SLICES + 1], "slice {disturbed}");
            assert_eq!(names(&ranking), ["best", "second", "hopeless"], "slice {disturbed}");
        }
    }

    #[test]
    fn a_trial_leaves_a_kernel_for_every_job() {
        // The slowest but one is the only one for jobs without a mask, so nothing is left out that is as fast.
        let kernels = [kernel("fast", 16), kernel("slow", 1), kernel("second", 12), kernel("slower", 2)];
        let (taken, ranking) = tried(&kernels, |name, _| match name {
            "fast" => (10, Duration::ZERO),
            "second" => (15, Duration::ZERO),
            "slow" => (100, Duration::ZERO),
            _ => (101, Duration::ZERO),
        });
        assert_eq!(taken, [SLICES + 1, SLICES + 1, SLICES + 1, FEWEST_SLICES + 1]);
        assert_eq!(ranking.for_mask(0).kernel.name, "slow");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn kernels_are_ranked_at_the_lowest_priority_and_at_the_normal_one_if_that_takes_too_long() {
        static NICE: Mutex<Vec<i32>> = Mutex::new(Vec::new());
        let nosy = Kernel {
            scan: |_, _, count, _, _| {
                NICE.lock().unwrap().push(crate::cpu::tests::nice());
                thread::sleep(Duration::from_millis(10));
                count
            },
            ..kernel("nosy", 1)
        };
        let nices = |patience| {
            assert_eq!(names(&rank_within(patience, &[nosy], 1).unwrap()), ["nosy"]);
            std::mem::take(&mut *NICE.lock().unwrap())
        };
        assert_eq!(nices(Duration::from_mins(10)), [19; SLICES + 1]);
        let here = crate::cpu::tests::nice();
        let late = nices(Duration::from_millis(5));
        assert!(late.iter().filter(|nice| **nice == here).count() > SLICES, "{late:?}");
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
