//! Sleeping without load until a job, or the end of the board, wakes.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Wake},
    thread,
    time::Duration,
};

use tokio::sync::watch;

use crate::ChipJob;

/// Wakes a thread from [`thread::park_timeout`].
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Sleeps for a time, or shorter: a job that has not been taken, or the end of the board, wakes at once and stays to be
/// seen.
pub(super) fn sleep_until_any(job: &watch::Receiver<Option<ChipJob>>, time: Duration) {
    sleep(job.clone(), time);
}

/// The same, but only what comes from now on wakes.
pub(super) fn sleep_until_next(job: &watch::Receiver<Option<ChipJob>>, time: Duration) {
    let mut job = job.clone();
    job.mark_unchanged();
    sleep(job, time);
}

/// A receiver of its own: what this one sees, the thread's has not seen.
fn sleep(mut job: watch::Receiver<Option<ChipJob>>, time: Duration) {
    let changed = pin!(job.changed());
    let waker = Arc::new(Unpark(thread::current())).into();
    if changed.poll(&mut Context::from_waker(&waker)).is_pending() {
        thread::park_timeout(time);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn a_job_that_was_not_taken_and_the_end_of_the_board_wake_at_once() {
        let (sender, job) = watch::channel(None);
        let began = Instant::now();
        sender.send_replace(None);
        sleep_until_any(&job, LONG);
        assert!(job.has_changed().unwrap(), "it is still to be taken");
        let sleeper = thread::spawn(move || sleep_until_next(&job, LONG));
        drop(sender);
        sleeper.join().unwrap();
        assert!(began.elapsed() < LONG);
    }

    #[test]
    fn nothing_new_is_slept_through() {
        let (sender, job) = watch::channel(None);
        sender.send_replace(None);
        let began = Instant::now();
        sleep_until_next(&job, Duration::from_millis(20));
        assert!(began.elapsed() >= Duration::from_millis(20));
    }
}
