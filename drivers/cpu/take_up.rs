//! How soon a hashing thread takes up a new job, measured on a running board.

use std::{
    num::NonZeroUsize,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::mpsc::error::TryRecvError;

use super::{
    CpuError, CpuOptions, choice::Ranking, guard, guard::GuardOptions, sensors::Sensors, space, start,
};
use crate::{BoardEvent, BoardHandle, ChipJob, ChipJobId};

/// New jobs on a board that hashes an older one.
const CHANGES: usize = 100;
/// Longest wait for a board to take up a job: a machine so busy would make the measurement endless.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time between two looks at a board's events. The board says itself when it began, so it adds nothing.
const LOOK_EVERY: Duration = Duration::from_micros(100);

/// Times from a job's arrival at the board to its first batch, when a thread hashes another job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakeUp {
    /// Half of the jobs are taken up faster.
    pub median: Duration,
    /// The longest time.
    pub worst: Duration,
    /// How many jobs.
    pub changes: usize,
}

/// Gives a board of one thread jobs with this mask, one after the other. `None` if `stop` is set meanwhile, or if the
/// thread gets no core.
///
/// Errors: `Spawn` if the system gives no thread.
pub(super) fn measure(
    ranking: Ranking,
    version_mask: u32,
    stop: &AtomicBool,
) -> Result<Option<TakeUp>, CpuError> {
    let options = CpuOptions {
        threads: NonZeroUsize::MIN,
        pin: false,
        duty_percent: 100,
        kernel: None,
        guard: GuardOptions::default(),
    };
    let sensors = (Sensors::of_system(), guard::LOOK_EVERY);
    let mut board = start(&options, ranking, Vec::new(), space::ALL_NONCES, sensors)?;
    let mut times = Vec::with_capacity(CHANGES);
    // The first finds the thread asleep, which is another thing.
    for change in 0..=CHANGES {
        let Some(time) = change_job(&mut board, job(change as u64, version_mask), stop) else {
            return Ok(None);
        };
        times.push(time);
        // Changes fall on other parts of a batch each time.
        thread::sleep(Duration::from_micros(500 + 370 * change as u64 % 1000));
    }
    Ok(TakeUp::of(times.split_off(1)))
}

impl TakeUp {
    /// `None` of no times.
    fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        Some(Self { median: *times.get(times.len() / 2)?, worst: *times.last()?, changes: times.len() })
    }
}

/// The time from here to the first batch of the job.
fn change_job(board: &mut BoardHandle, job: ChipJob, stop: &AtomicBool) -> Option<Duration> {
    let id = job.id;
    let sent = Instant::now();
    board.job.send_replace(Some(job));
    while !stop.load(Ordering::Relaxed) && sent.elapsed() < PATIENCE {
        match board.events.try_recv() {
            Ok(BoardEvent::Started { job, at }) if job == id => return Some(at.duration_since(sent)),
            Ok(_) => {}
            Err(TryRecvError::Empty) => thread::sleep(LOOK_EVERY),
            Err(TryRecvError::Disconnected) => return None,
        }
    }
    None
}

/// A job of which no hash is a nonce.
fn job(id: u64, version_mask: u32) -> ChipJob {
    ChipJob {
        id: ChipJobId(id),
        version: 0,
        prev_hash: [1; 32],
        merkle_root: [2; 32],
        ntime: 0,
        nbits: 0,
        version_mask,
        target: [0; 32],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::kernel::SCALAR;

    #[test]
    fn the_median_and_the_worst_of_the_times_are_told() {
        let times = [5, 1, 9, 2, 3].map(Duration::from_micros);
        let (median, worst) = (Duration::from_micros(3), Duration::from_micros(9));
        assert_eq!(TakeUp::of(times.into()), Some(TakeUp { median, worst, changes: 5 }));
        assert_eq!(TakeUp::of(vec![]), None);
    }

    #[test]
    fn a_stop_ends_the_measurement_without_figures() {
        let ranking = Ranking::of([(SCALAR, vec![1e6])]);
        assert_eq!(measure(ranking, 0, &AtomicBool::new(true)).unwrap(), None);
    }
}
