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
/// After that there are no new jobs, and no wait for the last one: a machine so busy would make the measurement endless.
const PATIENCE: Duration = Duration::from_secs(3);
/// Time between two looks at a board's events. The board says itself when it began, so it adds nothing.
const LOOK_EVERY: Duration = Duration::from_micros(100);

/// Times from a job's arrival at the board to its first batch, when a thread hashes another job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakeUp {
    /// Half of the jobs are taken up faster.
    pub median: Duration,
    /// The longest time, or the wait for the last job if the end came before its first batch.
    pub worst: Duration,
    /// How many jobs: a hundred, or as many as the thread took up in three seconds.
    pub changes: usize,
}

/// Gives a board of one thread jobs with this mask, one after the other, for three seconds at most. `None` if `stop` is
/// set meanwhile, or if the thread gets no core.
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
    let give_up_at = Instant::now() + PATIENCE;
    Ok(changes(&mut board, version_mask, give_up_at, stop))
}

/// Times of a board's changes from one job to the next until such a time.
fn changes(
    board: &mut BoardHandle,
    version_mask: u32,
    give_up_at: Instant,
    stop: &AtomicBool,
) -> Option<TakeUp> {
    let mut times = Vec::with_capacity(CHANGES);
    // The first finds the thread asleep, which is another thing.
    for change in 0..=CHANGES {
        match change_job(board, job(change as u64, version_mask), give_up_at, stop)? {
            Change::Taken(time) => times.push(time),
            Change::Waiting(time) => return TakeUp::of(times.get(1..)?.to_vec(), time),
        }
        // Changes fall on other parts of a batch each time.
        thread::sleep(Duration::from_micros(500 + 370 * change as u64 % 1000));
    }
    TakeUp::of(times.split_off(1), Duration::ZERO)
}

impl TakeUp {
    /// `None` of no times.
    fn of(mut times: Vec<Duration>, waiting: Duration) -> Option<Self> {
        times.sort_unstable();
        let (lower, upper) = (times.get(times.len().saturating_sub(1) / 2)?, times.get(times.len() / 2)?);
        let worst = waiting.max(*times.last()?);
        Some(Self { median: (*lower + *upper) / 2, worst, changes: times.len() })
    }
}

/// What became of a job that was given to a board.
#[derive(Debug, Clone, Copy)]
enum Change {
    /// The time from there to its first batch.
    Taken(Duration),
    /// It was given up without one after so long.
    Waiting(Duration),
}

/// Gives a board a job; `None` if `stop` is set before it is taken up.
fn change_job(
    board: &mut BoardHandle,
    job: ChipJob,
    give_up_at: Instant,
    stop: &AtomicBool,
) -> Option<Change> {
    let id = job.id;
    let sent = Instant::now();
    board.job.send_replace(Some(job));
    while !stop.load(Ordering::Relaxed) {
        match board.events.try_recv() {
            Ok(BoardEvent::Started { job, at }) if job == id => {
                return Some(Change::Taken(at.duration_since(sent)));
            }
            Ok(_) => {}
            Err(TryRecvError::Empty) if Instant::now() >= give_up_at => {
                return Some(Change::Waiting(sent.elapsed()));
            }
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
    use tokio::sync::{mpsc, watch};

    use super::*;
    use crate::Controls;
    use crate::{EVENT_CAPACITY, cpu::kernel::SCALAR};

    #[test]
    fn the_median_and_the_worst_of_the_times_are_told() {
        let micros = Duration::from_micros;
        let times = [5, 1, 9, 2, 3].map(micros).to_vec();
        let expected = TakeUp { median: micros(3), worst: micros(9), changes: 5 };
        assert_eq!(TakeUp::of(times.clone(), Duration::ZERO), Some(expected));
        assert_eq!(TakeUp::of(times, micros(10)), Some(TakeUp { worst: micros(10), ..expected }));
        let even = [4, 1, 9, 2].map(micros).to_vec();
        assert_eq!(TakeUp::of(even, Duration::ZERO).unwrap().median, micros(3));
        assert_eq!(TakeUp::of(vec![], micros(10)), None);
    }

    /// A board that takes up the first `jobs` jobs, each after such a time, and no other one.
    fn board(delay: Duration, jobs: usize) -> BoardHandle {
        let (job_sender, mut job) = watch::channel(None::<ChipJob>);
        let (event_sender, events) = mpsc::channel(EVENT_CAPACITY);
        thread::spawn(move || {
            for _ in 0..jobs {
                if pollster::block_on(job.changed()).is_err() {
                    return;
                }
                let id = job.borrow_and_update().as_ref().unwrap().id;
                thread::sleep(delay);
                let _ = event_sender.try_send(BoardEvent::Started { job: id, at: Instant::now() });
            }
            while pollster::block_on(job.changed()).is_ok() {}
        });
        BoardHandle {
            name: "slow".into(),
            detail: String::new(),
            expected_rate: 0.0,
            job: job_sender,
            events,
            controls: Controls::default(),
        }
    }

    #[test]
    fn a_board_that_is_slow_gets_new_jobs_for_a_limited_time_only() {
        let (delay, patience) = (Duration::from_millis(20), Duration::from_millis(200));
        let times =
            |mut board, patience| changes(&mut board, 0, Instant::now() + patience, &AtomicBool::new(false));
        if let Some(TakeUp { median, changes, .. }) = times(board(delay, usize::MAX), patience) {
            assert!(median >= delay && changes <= 10, "{changes} changes");
        }
        // What it never takes up shows in the worst time.
        let stuck = times(board(Duration::ZERO, 3), Duration::from_secs(1)).unwrap();
        assert!(stuck.changes == 2 && stuck.worst >= Duration::from_millis(100), "{stuck:?}");
        assert_eq!(times(board(delay, 0), patience), None);
    }

    #[test]
    fn a_stop_ends_the_measurement_without_figures() {
        let ranking = Ranking::of([(SCALAR, vec![1e6])]);
        assert_eq!(measure(ranking, 0, &AtomicBool::new(true)).unwrap(), None);
    }
}
