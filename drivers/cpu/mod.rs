//! The CPU as a board: hashing threads behind the same [`BoardHandle`] as every chip.
//!
//! [`open`] proves the kernels, picks one by measurement and starts the threads. From then on each thread is alone: its
//! own part of each job, its own look at the job, its own end of the event channel.

#[cfg(target_arch = "aarch64")]
#[allow(unsafe_code)] // processor instructions behind run-time detection
mod armv8;
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)] // processor instructions behind run-time detection
mod avx2;
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)] // processor instructions behind run-time detection
mod avx512;
pub mod bench;
mod choice;
mod duty;
mod guard;
mod kernel;
mod lanes;
pub mod measure;
#[cfg(target_arch = "aarch64")]
#[allow(unsafe_code)] // loads and stores
mod neon;
mod news;
pub(crate) mod outbox;
pub(crate) mod proof;
mod rounds;
mod scalar;
mod self_test;
mod sensors;
mod sha256;
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)] // processor instructions behind run-time detection
mod sha_ni;
mod space;
mod sweep;
mod take_up;
#[cfg(test)]
mod tests;
mod unroll;
mod worker;

use std::{
    io,
    num::NonZeroUsize,
    sync::{Arc, atomic::AtomicBool},
    thread,
    time::Duration,
};

use core_affinity::CoreId;
use thread_priority::ThreadPriority;
use tokio::sync::{mpsc, watch};

use self::{
    choice::{Ranked, Ranking},
    guard::{Guard, Watch},
    kernel::{KERNELS, Kernel, SCALAR},
    outbox::Outbox,
    sensors::Sensors,
    space::Part,
    worker::{Elections, Worker},
};
pub use self::{guard::GuardOptions, take_up::TakeUp};
use crate::{BoardEvent, BoardHandle, Controls, EVENT_CAPACITY};

/// What the operator decides about the CPU board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuOptions {
    /// Hashing threads.
    pub threads: NonZeroUsize,
    /// Whether each thread stays on a core of its own.
    pub pin: bool,
    /// Part of the time that each thread hashes, 1 to 100.
    pub duty_percent: u8,
    /// Name of the kernel to use; `None` takes the fastest. Jobs whose mask has too few bits for a kernel of several
    /// versions get the fastest one of a single version.
    pub kernel: Option<String>,
    /// When hashing pauses by itself.
    pub guard: GuardOptions,
}

impl CpuOptions {
    /// Whether [`open`] can meet these options, told without running anything.
    ///
    /// Errors: `Duty`, `UnknownKernel`, `UnsupportedKernel`.
    pub fn check(&self) -> Result<(), CpuError> {
        self.wanted_kernel().map(|_| ())
    }

    fn wanted_kernel(&self) -> Result<Option<&'static Kernel>, CpuError> {
        if !(1..=100).contains(&self.duty_percent) {
            return Err(CpuError::Duty { percent: self.duty_percent });
        }
        let Some(name) = &self.kernel else { return Ok(None) };
        Kernel::named(name).map(Some)
    }
}

/// Why the CPU board did not start.
#[derive(Debug, thiserror::Error)]
pub enum CpuError {
    /// For the operator: the duty cycle is out of range.
    #[error("duty cycle of {percent} %, possible are 1 to 100 %")]
    Duty {
        /// What was asked for.
        percent: u8,
    },
    /// For the operator: no kernel of that name.
    #[error("no kernel {name:?}, there are: {known}")]
    UnknownKernel {
        /// What was asked for.
        name: String,
        /// The names to choose from.
        known: String,
    },
    /// For the operator: this processor cannot run the kernel.
    #[error("this processor lacks the instructions of kernel {name:?}")]
    UnsupportedKernel {
        /// What was asked for.
        name: String,
    },
    /// The processor or the build is broken: the kernel computes wrongly. The portable one must never.
    #[error("the self-test failed: {reason}")]
    SelfTest {
        /// What the kernel did wrong.
        reason: String,
    },
    /// The operating system refuses the thread that looks at the sensors.
    #[error("cannot start the thread that looks at temperature and battery")]
    SpawnGuard {
        /// What the system said.
        source: io::Error,
    },
    /// The operating system refuses a thread.
    #[error("cannot start hashing thread {thread} of {threads}")]
    Spawn {
        /// Which one, counted from 0.
        thread: usize,
        /// How many were asked for.
        threads: usize,
        /// What the system said.
        source: io::Error,
    },
}

/// Starts the CPU board. Blocks for the self-test and the measurement: about a tenth of a second, and one second or so where
/// other programs leave next to nothing of the cores.
///
/// The board's detail and expected rate are those of the preferred kernel, the rate with the cores to itself. If that one
/// tries several versions at a time, jobs whose mask has too few bits for it get the next one.
///
/// A kernel that fails its self-test, a thread that cannot be pinned or given the lowest priority, a pause for heat or
/// battery and its end, and a limit that cannot be kept, is a [`BoardEvent::Fault`].
///
/// Errors: `Duty`, `UnknownKernel`, `UnsupportedKernel` for options that cannot be met, `SelfTest` if the portable
/// kernel or the one asked for computes wrongly, `Spawn` and `SpawnGuard` if the system gives no thread.
pub fn open(options: &CpuOptions) -> Result<BoardHandle, CpuError> {
    let wanted = options.wanted_kernel()?;
    let (passed, mismatches) = self_test::run(KERNELS);
    let faults: Vec<_> = mismatches.iter().map(ToString::to_string).collect();
    if !passed.iter().any(|kernel| kernel.name == SCALAR.name) {
        return Err(CpuError::SelfTest { reason: faults.join("; ") });
    }
    let ranking = match wanted {
        None => choice::rank(&passed, options.threads)?,
        Some(wanted) if passed.iter().any(|passed| passed.name == wanted.name) => {
            // A kernel that needs several versions cannot hash every job; the fastest of the others takes those.
            let is_useful =
                |kernel: &Kernel| kernel.name == wanted.name || wanted.midstates > 1 && kernel.midstates == 1;
            let useful: Vec<_> = passed.into_iter().filter(is_useful).collect();
            choice::rank(&useful, options.threads)?.preferring(wanted.name)
        }
        Some(_) => return Err(CpuError::SelfTest { reason: faults.join("; ") }),
    };
    start(options, ranking, faults, space::ALL_NONCES, (Sensors::of_system(), guard::LOOK_EVERY))
}

/// Starts the threads on a board whose headers have this many nonces, with sensors that are looked at so often.
fn start(
    options: &CpuOptions,
    ranking: Ranking,
    mut faults: Vec<String>,
    nonces: u64,
    (sensors, every): (Sensors, Duration),
) -> Result<BoardHandle, CpuError> {
    let threads = options.threads.get();
    let (job_sender, job) = watch::channel(None);
    let (event_sender, events) = mpsc::channel(EVENT_CAPACITY);
    let elections = Arc::new(Elections::new());
    let cores = if options.pin { core_affinity::get_core_ids().unwrap_or_default() } else { Vec::new() };
    if options.pin && cores.is_empty() {
        faults.push("threads are not pinned: the system does not tell its cores".to_owned());
    }
    let hold = Arc::new(AtomicBool::new(false));
    if options.guard.is_wanted() {
        let (hold, job, outbox) = (Arc::clone(&hold), job.clone(), Outbox::new(event_sender.clone()));
        let mut watch = Watch { guard: Guard::new(options.guard), sensors, every, hold, job, outbox };
        watch.look(); // before the first hash
        let thread = thread::Builder::new().name("cpu-guard".to_owned()).spawn(|| watch.run());
        thread.map_err(|source| CpuError::SpawnGuard { source })?;
    }
    for thread in 0..threads {
        let mut worker = Worker {
            part: Part { nonces, thread, threads },
            ranking: ranking.clone(),
            may_rank: options.kernel.is_none(),
            duty_percent: options.duty_percent,
            hold: Arc::clone(&hold),
            job: job.clone(),
            outbox: Outbox::new(event_sender.clone()),
            elections: Arc::clone(&elections),
        };
        for fault in faults.drain(..) {
            worker.outbox.push(BoardEvent::Fault(fault));
        }
        let core = cores.get(thread % cores.len().max(1)).copied();
        thread::Builder::new()
            .name(format!("cpu-{thread}"))
            .spawn(move || {
                for fault in settle(thread, core) {
                    worker.outbox.push(BoardEvent::Fault(fault));
                }
                worker.run();
            })
            // The threads already running end with `job_sender`.
            .map_err(|source| CpuError::Spawn { thread, threads, source })?;
    }
    let Ranked { kernel, rate } = ranking.first();
    // Threads beyond the cores take turns.
    let at_once = thread::available_parallelism().map_or(threads, |cores| threads.min(cores.get()));
    let expected_rate = rate * at_once as f64 * f64::from(options.duty_percent) / 100.0;
    let unmasked = ranking.for_mask(0).kernel.name;
    let beside =
        if unmasked == kernel.name { String::new() } else { format!(", without versions {unmasked}") };
    let detail = format!("{threads} × {}{beside}", kernel.name);
    Ok(BoardHandle {
        name: "cpu".to_owned(),
        detail,
        expected_rate,
        job: job_sender,
        events,
        controls: Controls::default(),
    })
}

/// Gives the calling thread the lowest priority and, if there is one for it, its core. Returns what did not work, for the
/// operator.
fn settle(thread: usize, core: Option<CoreId>) -> Vec<String> {
    let refused = core.and_then(|core| keep_on(thread, core));
    lower_priority(thread).into_iter().chain(refused).collect()
}

/// Gives the calling thread the lowest priority, or says why it has not got it.
fn lower_priority(thread: usize) -> Option<String> {
    let error = ThreadPriority::Min.set_for_current().err()?;
    Some(format!("thread cpu-{thread} keeps its normal priority: {error:?}"))
}

/// Keeps the calling thread on a core, or says that it is not kept.
fn keep_on(thread: usize, core: CoreId) -> Option<String> {
    let is_kept = core_affinity::set_for_current(core);
    (!is_kept).then(|| format!("thread cpu-{thread} is not pinned: the system refuses its core"))
}
