//! A benchmark: kernels in turn on all threads at once, and what their slices come to.
//!
//! The threads begin each round together, so that a kernel has the same company on all of them, and what is compared
//! stands in one round, so that whatever else the machine does hits all alike. They have the lowest priority, as those of
//! a board: what a board would leave to other programs is left to them here.

mod figures;

use std::{
    collections::VecDeque,
    num::NonZeroUsize,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

pub use self::figures::{Figures, Spread};
use self::figures::{Round, figures, ranking};
use super::{
    CpuError, keep_on,
    kernel::{KERNELS, Kernel, SCALAR},
    lower_priority,
    measure::{KernelInfo, Slice, Turns},
    self_test,
    take_up::{self, TakeUp},
};

/// In the place of a kernel's name: all of this build that were not named before it.
pub const ALL: &str = "all";

/// Length of a slice: long against the clock's steps, short against whatever disturbs.
pub const SLICE: Duration = Duration::from_millis(4);
/// Slices that are kept, the latest: some 60 MB.
const MOST_SLICES: usize = 1 << 20;

/// What to measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BenchOptions {
    /// Kernels by name, or [`ALL`]. The portable one is measured in any case.
    pub kernels: Vec<String>,
    /// Threads that hash.
    pub threads: NonZeroUsize,
    /// Whether each thread stays on a core of its own.
    pub pin: bool,
    /// Bits of the version mask that jobs are taken to have, 0 to 32: without them a kernel of several versions is not
    /// chosen.
    pub version_bits: u32,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Benchmark {
    /// The kernels in the order of their names in the options, and at the end the portable one if it was not named.
    pub kernels: Vec<Measured>,
    /// Which of them hashes jobs with that version mask fastest, in time that its threads had a core; `None` if all that
    /// could do so compute wrongly, and after an early end if one of them was not timed.
    pub fastest: Option<&'static str>,
    /// The same if all kernels of this build were measured that the processor supports: a board would choose it.
    pub chosen: Option<&'static str>,
    /// Slices of each kernel on each thread, those no longer kept included, without a round that was ended early.
    pub rounds: usize,
    /// The time that proving and timing the kernels took.
    pub took: Duration,
    /// How soon a hashing thread takes up a new job; `None` after an early end, or if no kernel was timed.
    pub take_up: Option<TakeUp>,
    /// Whether each thread stayed on one core.
    pub is_pinned: bool,
    /// What did not go as asked, for the operator.
    pub faults: Vec<String>,
}

/// A kernel and how it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Which one.
    pub kernel: KernelInfo,
    /// How it stands.
    pub standing: Standing,
}

/// How a kernel stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// This processor lacks its instructions.
    Unsupported,
    /// It computes wrongly, as this sentence says, so its rate would mean nothing.
    Wrong(String),
    /// It passed the self-test, and the end came before each thread had a slice of it.
    Untimed,
    /// It passed the self-test, and this is how fast it is.
    Timed(Figures),
}

/// Proves kernels on known blocks and against the portable one, and measures those that pass. After each round, of which
/// there is one at least unless none passes, `go_on` hears how long it has lasted so far and says whether there is
/// another. At last it measures how soon a board takes up a new job, which takes a fraction of a second, and three
/// where other programs leave next to nothing of the cores. Setting `stop` ends all of this within a slice.
///
/// Errors: `UnknownKernel`, `UnsupportedKernel` for names, `Spawn` if the system gives no thread.
pub fn run(
    options: &BenchOptions,
    stop: &AtomicBool,
    go_on: impl FnMut(Duration) -> bool,
) -> Result<Benchmark, CpuError> {
    run_listed(&listed(&options.kernels)?, options, stop, go_on)
}

/// The kernels of these names, each once and in their order, with the portable one at the end if it is not among them.
fn listed(names: &[String]) -> Result<Vec<Kernel>, CpuError> {
    let mut listed: Vec<Kernel> = Vec::new();
    let mut list = |kernel: &Kernel| {
        if listed.iter().all(|listed| listed.name != kernel.name) {
            listed.push(*kernel);
        }
    };
    for name in names {
        if name == ALL {
            KERNELS.iter().for_each(&mut list);
        } else {
            list(Kernel::named(name)?);
        }
    }
    list(&SCALAR);
    Ok(listed)
}

fn run_listed(
    listed: &[Kernel],
    options: &BenchOptions,
    stop: &AtomicBool,
    go_on: impl FnMut(Duration) -> bool,
) -> Result<Benchmark, CpuError> {
    let began = Instant::now();
    let (passed, mismatches) = self_test::run(listed);
    let Rounds { kept, count, faults, is_pinned } = rounds(&passed, options, (began, stop), go_on)?;
    let took = began.elapsed();
    let ranking = ranking(&passed, &kept);
    let mask = version_mask(options.version_bits);
    let take_up = match &ranking {
        Some(ranking) => take_up::measure(ranking.clone(), mask, stop)?,
        None => None,
    };
    let at = |name| passed.iter().position(|kernel| kernel.name == name);
    let (portable, first) = (at(SCALAR.name), listed.first().and_then(|kernel| at(kernel.name)));
    let standing = |kernel: &Kernel| {
        let wrong = mismatches.iter().find(|mismatch| mismatch.kernel() == kernel.name);
        match (wrong, at(kernel.name)) {
            (Some(mismatch), _) => Standing::Wrong(mismatch.to_string()),
            (None, Some(at)) => {
                figures(&kept, at, portable, first).map_or(Standing::Untimed, Standing::Timed)
            }
            (None, None) => Standing::Unsupported,
        }
    };
    let measured = |kernel| Measured { kernel: KernelInfo::from(kernel), standing: standing(kernel) };
    let fastest = ranking.map(|ranking| ranking.for_mask(mask).kernel.name);
    Ok(Benchmark {
        kernels: listed.iter().map(measured).collect(),
        fastest,
        chosen: fastest.filter(|_| has_all(listed)),
        rounds: count,
        took,
        take_up,
        is_pinned,
        faults,
    })
}

struct Rounds {
    kept: VecDeque<Round>,
    count: usize,
    faults: Vec<String>,
    is_pinned: bool,
}

/// What a thread has measured in a round, and what the system refused it.
struct Turn {
    slices: Vec<Slice>,
    faults: Vec<String>,
    is_pinned: bool,
}

/// Measures kernels that the processor supports until nobody wants to go on.
fn rounds(
    kernels: &[Kernel],
    options: &BenchOptions,
    (began, stop): (Instant, &AtomicBool),
    mut go_on: impl FnMut(Duration) -> bool,
) -> Result<Rounds, CpuError> {
    let mut rounds = Rounds { kept: VecDeque::new(), count: 0, faults: Vec::new(), is_pinned: options.pin };
    if kernels.is_empty() {
        return Ok(rounds);
    }
    let threads = options.threads.get();
    let cores = if options.pin { core_affinity::get_core_ids().unwrap_or_default() } else { Vec::new() };
    if options.pin && cores.is_empty() {
        rounds.faults.push("threads are not pinned: the system does not tell its cores".to_owned());
        rounds.is_pinned = false;
    }
    thread::scope(|scope| {
        let mut workers = Vec::with_capacity(threads);
        for thread in 0..threads {
            // A word for each round; the thread ends with its sender.
            let (begin, begins) = mpsc::sync_channel::<()>(1);
            let (results, turns) = mpsc::sync_channel(1);
            let core = cores.get(thread % cores.len().max(1)).copied();
            let work = move || {
                let refused = core.and_then(|core| keep_on(thread, core));
                let is_pinned = refused.is_none();
                let mut faults: Vec<_> = lower_priority(thread).into_iter().chain(refused).collect();
                let mut turns = Turns::new(kernels, SLICE);
                for () in begins {
                    let slices = turns.round(stop);
                    let turn = Turn { slices, faults: std::mem::take(&mut faults), is_pinned };
                    if results.send(turn).is_err() {
                        return;
                    }
                }
            };
            // The threads already running end with their senders.
            let spawned = thread::Builder::new().name(format!("cpu-{thread}")).spawn_scoped(scope, work);
            spawned.map_err(|source| CpuError::Spawn { thread, threads, source })?;
            workers.push((begin, turns));
        }
        loop {
            for (begin, _) in &workers {
                begin.send(()).expect("kernels do not panic where they are supported");
            }
            let mut round = Vec::with_capacity(threads);
            for (_, turns) in &workers {
                let turn = turns.recv().expect("kernels do not panic where they are supported");
                rounds.faults.extend(turn.faults);
                rounds.is_pinned &= turn.is_pinned;
                round.push(turn.slices);
            }
            rounds.count += usize::from(round.iter().all(|slices| slices.len() == kernels.len()));
            rounds.kept.push_back(round);
            if rounds.kept.len() * threads * kernels.len() > MOST_SLICES && rounds.kept.len() > 1 {
                rounds.kept.pop_front();
            }
            if stop.load(Ordering::Relaxed) || !go_on(began.elapsed()) {
                return Ok(rounds);
            }
        }
    })
}

/// Whether all kernels of this build that the processor supports are among these.
fn has_all(listed: &[Kernel]) -> bool {
    let is_listed = |kernel: &Kernel| listed.iter().any(|listed| listed.name == kernel.name);
    KERNELS.iter().filter(|kernel| (kernel.supported)()).all(is_listed)
}

/// A mask with so many bits.
fn version_mask(bits: u32) -> u32 {
    u32::MAX.checked_shr(32 - bits.min(32)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    use std::sync::atomic::AtomicI32;

    use super::*;

    fn options(kernels: &[&str]) -> BenchOptions {
        BenchOptions {
            kernels: kernels.iter().map(ToString::to_string).collect(),
            threads: NonZeroUsize::new(2).unwrap(),
            pin: false,
            version_bits: 16,
        }
    }

    fn rounds_of(rounds: usize) -> impl FnMut(Duration) -> bool {
        let mut done = 0;
        move |_| {
            done += 1;
            done < rounds
        }
    }

    fn figures_of(measured: &Measured) -> Figures {
        let Standing::Timed(figures) = measured.standing else { panic!("{measured:?}") };
        figures
    }

    /// A kernel that passes for one without being run.
    pub(super) fn kernel(name: &'static str, midstates: usize) -> Kernel {
        Kernel { name, midstates, ..SCALAR }
    }

    #[test]
    fn every_supported_kernel_is_timed_on_all_threads_and_the_others_are_named() {
        let bench = run(&options(&[ALL]), &AtomicBool::new(false), rounds_of(3)).unwrap();
        assert_eq!((bench.rounds, bench.kernels.len()), (3, KERNELS.len()));
        for (measured, kernel) in bench.kernels.iter().zip(KERNELS) {
            assert_eq!(measured.kernel, KernelInfo::from(kernel));
            if !measured.kernel.is_supported {
                assert_eq!(measured.standing, Standing::Unsupported);
                continue;
            }
            let Figures { rate, cpu_rate, .. } = figures_of(measured);
            assert!(0.0 < rate.p10 && rate.p10 <= rate.median && rate.median <= rate.p90, "{measured:?}");
            assert!(cpu_rate > 0.0, "{measured:?}");
        }
        let take_up = bench.take_up.expect("a board has hashed");
        assert!(Duration::ZERO < take_up.median && take_up.median <= take_up.worst, "{take_up:?}");
        let portable = figures_of(&bench.kernels[0]);
        assert_eq!((portable.to_portable, portable.to_first), (Some(1.0), Some(1.0)));
        let chosen = bench.kernels.iter().find(|measured| Some(measured.kernel.name) == bench.chosen);
        assert!(chosen.unwrap().kernel.is_supported);
        assert_eq!(bench.fastest, bench.chosen);
    }

    #[test]
    fn kernels_that_are_named_are_compared_with_the_first_of_them_and_with_the_portable_one() {
        let best = KERNELS.iter().rfind(|kernel| (kernel.supported)()).unwrap().name;
        let bench = run(&options(&[best, best]), &AtomicBool::new(false), rounds_of(1)).unwrap();
        let names: Vec<_> = bench.kernels.iter().map(|measured| measured.kernel.name).collect();
        if best == SCALAR.name {
            return assert_eq!((names, bench.chosen), (vec![best], Some(best)));
        }
        assert_eq!(names, [best, SCALAR.name]);
        assert_eq!(figures_of(&bench.kernels[0]).to_first, Some(1.0));
        assert_eq!(figures_of(&bench.kernels[1]).to_portable, Some(1.0));
        assert!(bench.fastest.is_some(), "one of them is the fastest of them");
        assert_eq!(bench.chosen.is_some(), has_all(&listed(&options(&[best]).kernels).unwrap()));
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_names_there_are_and_nothing_is_measured() {
        for names in [&["abacus"][..], &[ALL, "abacus"], &["abacus", ALL]] {
            let error =
                run(&options(names), &AtomicBool::new(false), |_| panic!("it is measured")).unwrap_err();
            assert!(error.to_string().starts_with("no kernel \"abacus\", there are: scalar"), "{error}");
        }
    }

    #[test]
    fn all_kernels_stand_behind_those_named_before_them_and_none_stands_twice() {
        let best = KERNELS.iter().rfind(|kernel| (kernel.supported)()).unwrap().name;
        let names = |named: &[&str]| -> Vec<_> {
            listed(&options(named).kernels).unwrap().iter().map(|kernel| kernel.name).collect()
        };
        let all: Vec<_> = KERNELS.iter().map(|kernel| kernel.name).collect();
        assert_eq!((names(&[ALL]), names(&[ALL, best])), (all.clone(), all.clone()));
        let others = all.iter().copied().filter(|name| *name != best);
        let best_first: Vec<_> = [best].into_iter().chain(others).collect();
        assert_eq!(names(&[best, ALL, ALL]), best_first);
    }

    #[test]
    fn a_stop_ends_a_round_after_the_slice_of_the_moment_and_what_has_none_is_not_judged() {
        static STOP: AtomicBool = AtomicBool::new(false);
        let stopping = Kernel {
            scan: |_, _, count, _, _| {
                STOP.store(true, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(1));
                count
            },
            ..kernel("stopping", 1)
        };
        let never = Kernel { scan: |_, _, _, _, _| panic!("it is timed"), ..kernel("never", 1) };
        let mut turns = Turns { kernels: vec![(SCALAR, 1), (stopping, 1), (never, 1)], slice: SLICE };
        let round = vec![turns.round(&STOP)];
        assert_eq!(round[0].len(), 2, "what was measured until then is kept");
        let (kernels, rounds) = ([SCALAR, stopping, never], VecDeque::from([round]));
        assert!(figures(&rounds, 1, Some(0), None).unwrap().to_portable.is_some());
        assert_eq!(figures(&rounds, 2, Some(0), None), None);
        assert!(ranking(&kernels, &rounds).is_none(), "a kernel without a slice may be the best");

        let bench = run_listed(&[SCALAR], &options(&[]), &STOP, |_| panic!("it goes on")).unwrap();
        assert_eq!((bench.rounds, bench.fastest, bench.chosen, bench.take_up), (0, None, None, None));
        assert_eq!(bench.kernels[0].standing, Standing::Untimed);
    }

    #[test]
    fn a_kernel_that_computes_wrongly_is_told_and_not_timed_and_one_without_its_instructions_neither() {
        let wrong = Kernel { scan: |_, _, count, _, _| count, ..kernel("wrong", 1) };
        let foreign = Kernel {
            supported: || false,
            scan: |_, _, _, _, _| panic!("it is not supported"),
            ..kernel("foreign", 1)
        };
        let go = AtomicBool::new(false);
        let bench = run_listed(&[wrong, foreign, SCALAR], &options(&[]), &go, rounds_of(1)).unwrap();
        assert!(matches!(&bench.kernels[0].standing, Standing::Wrong(why) if why.contains("kernel wrong")));
        assert_eq!(bench.kernels[1].standing, Standing::Unsupported);
        assert_eq!(figures_of(&bench.kernels[2]).to_first, None, "the first has no rate");
        assert_eq!((bench.fastest, bench.chosen), (Some("scalar"), None), "others might be faster");
        let bench =
            run_listed(&[wrong], &options(&[]), &go, |_| panic!("there is nothing to measure")).unwrap();
        assert_eq!((bench.fastest, bench.chosen, bench.rounds), (None, None, 0));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn kernels_are_timed_at_the_lowest_priority_as_those_of_a_board_are() {
        static NICE: AtomicI32 = AtomicI32::new(0);
        let nosy = Kernel {
            scan: |_, _, count, _, _| {
                NICE.store(crate::cpu::tests::nice(), Ordering::Relaxed);
                count
            },
            ..kernel("nosy", 1)
        };
        let began = (Instant::now(), &AtomicBool::new(false));
        let rounds = rounds(&[nosy], &options(&[]), began, |_| false).unwrap();
        assert_eq!((NICE.load(Ordering::Relaxed), rounds.faults), (19, vec![]));
    }
}
