//! The miner's own log, replayed while it grows: a thread that gives way to all others, and that nobody waits for.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::log_file::{self, LogFileError};
use crate::clock::now;
use crate::priority::give_way;
use crate::replay::log::LogError;
use crate::replay::review::{POLICIES, Reviewed, review};

/// So much of a log is reviewed at most, its last part: nine days of two pools with twenty shares a minute. Its world takes
/// 90 MiB, 200 MiB where all lines are the shortest.
const MOST: u64 = 64 << 20;
/// All of a review has room: nobody waits.
const CAPACITY: usize = POLICIES.len();

/// When a log is reviewed, and who hears of it.
pub(super) struct Reviews {
    every: Duration,
    next: Instant,
    reviewed: mpsc::Sender<Reviewed>,
    /// Held by the thread at work.
    busy: Arc<()>,
}

/// How often, from a number of hours; `None` for 0, which is never.
pub(super) fn period(hours: u32) -> Option<Duration> {
    (hours > 0).then(|| Duration::from_secs(u64::from(hours) * 3600))
}

impl Reviews {
    /// Reviews each time so long after the one before, and who hears of them.
    pub(super) fn every(every: Duration) -> (Self, mpsc::Receiver<Reviewed>) {
        let (reviewed, reviews) = mpsc::channel(CAPACITY);
        (Self { every, next: now() + every, reviewed, busy: Arc::new(()) }, reviews)
    }

    /// When the next one is due.
    pub(super) fn due(&self) -> Instant {
        self.next
    }

    /// Begins one of the first `written` bytes of a log, which are in its file. None is begun before the last one has
    /// ended.
    pub(super) fn begin(&mut self, path: &Path, written: u64) {
        self.next = now() + self.every;
        if Arc::strong_count(&self.busy) > 1 {
            return;
        }
        let (path, reviewed, busy) = (path.to_owned(), self.reviewed.clone(), Arc::clone(&self.busy));
        let thread = thread::Builder::new().name("review".to_owned());
        let started = thread.spawn(move || {
            match give_way() {
                Ok(()) => look_back(&path, written, &reviewed),
                Err(error) => {
                    tracing::warn!("decisions are not reviewed, it would hold up hashing: {error}");
                }
            }
            drop(busy);
        });
        if let Err(error) = started {
            tracing::warn!("decisions are not reviewed, there is no thread for it: {error}");
        }
    }
}

/// Reviews, and tells of it.
fn look_back(path: &Path, written: u64, reviewed: &mpsc::Sender<Reviewed>) {
    let (world, is_part) = match log_file::read_last(path, written, MOST) {
        Ok(found) => found,
        // There is nothing to say of a time without work.
        Err(LogFileError::Log(LogError::Empty)) => return,
        Err(error) => return tracing::warn!("decisions are not reviewed: {}: {error}", path.display()),
    };
    for policy in review(&world, is_part, now()) {
        // The miner has ended, or nobody has listened for a whole period.
        if reviewed.try_send(policy).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::{log, scenario};

    const HOUR: Duration = Duration::from_secs(3600);

    fn begin_and_wait(reviews: &mut Reviews, text: &str) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, text).unwrap();
        reviews.begin(file.path(), text.len() as u64);
        while Arc::strong_count(&reviews.busy) > 1 {
            thread::yield_now();
        }
    }

    /// What a review of a file with this text says.
    fn reviewed(text: &str) -> Vec<Reviewed> {
        let (mut reviews, mut heard) = Reviews::every(HOUR);
        begin_and_wait(&mut reviews, text);
        assert!(reviews.due() > now() + HOUR / 2, "the next one is not due yet");
        std::iter::from_fn(|| heard.try_recv().ok()).collect()
    }

    #[test]
    fn a_review_tells_of_each_policy_and_one_of_a_broken_log_of_none() {
        let text = log::write(&scenario::named("S5").unwrap().plan().world(1, Some(0.1)));
        assert_eq!(reviewed(&text).iter().map(|it| it.policy).collect::<Vec<_>>(), POLICIES);
        assert_eq!(reviewed(&text.replace("notify", "invented")), []);
        assert_eq!(reviewed(""), []);
    }

    #[test]
    fn who_has_heard_of_none_for_a_whole_period_holds_up_nobody() {
        let text = log::write(&scenario::named("S2").unwrap().plan().world(1, Some(0.01)));
        let (mut reviews, heard) = Reviews::every(HOUR);
        (0..3).for_each(|_| begin_and_wait(&mut reviews, &text));
        assert_eq!(heard.len(), CAPACITY);
    }

    #[test]
    fn no_hours_are_never_and_others_are_at_least_one() {
        assert_eq!((period(0), period(1), period(168)), (None, Some(HOUR), Some(168 * HOUR)));
    }
}
