//! One hashing thread: take the job, hash a batch, look again.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use cpu_time::ThreadTime;
use tokio::sync::watch;

use super::{
    choice::{Doubt, Ranked, Ranking, Trial},
    duty::Duty,
    kernel::{Hit, Hits},
    measure::measured,
    news,
    outbox::{Delivery, Outbox},
    sha256::{Prepared, meets_target, top_limit},
    space::{Part, Space, rolled_version},
};
use crate::{BoardEvent, ChipJob, ChipJobId};

/// Time between two reports of hashes: four points a second for a display, and next to no load on the channel.
const REPORT_EVERY: Duration = Duration::from_millis(250);
/// Hashes in a batch from which on entering the kernel, some 0.4 µs, does not show in the rate.
const GOOD_BATCH: f64 = 4096.0;
/// Longest sleep between two looks at the job of a thread that still has events to deliver.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// Longest sleep between two looks at whether hashing goes on: the guard looks less often.
const HELD_LOOK_EVERY: Duration = Duration::from_millis(250);
/// No job has this id as far as [`Elections`] is concerned.
const NO_JOB: u64 = u64::MAX;

/// Elects the thread that speaks for the whole board.
#[derive(Debug)]
pub(super) struct Elections {
    started: AtomicU64,
    ending: AtomicU64,
}

impl Elections {
    pub(super) fn new() -> Self {
        Self { started: AtomicU64::new(NO_JOB), ending: AtomicU64::new(NO_JOB) }
    }

    fn is_first(last: &AtomicU64, job: ChipJobId) -> bool {
        last.swap(job.0, Ordering::Relaxed) != job.0
    }
}

/// How fast a thread hashes, and from that how much it does between two looks at the job.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Hashes a millisecond of wall time, smoothed.
    rate: f64,
    /// Hashes a millisecond of the thread's own time, smoothed: what other programs take does not count.
    cpu_rate: f64,
}

impl Pace {
    /// Of a thread that has a core to itself.
    fn of(rate: f64) -> Self {
        Self { rate, cpu_rate: rate }
    }

    /// Half a millisecond of work; for slow kernels up to two, so that a batch does not get too small.
    fn batch(self) -> u32 {
        (0.5 * self.rate).max(GOOD_BATCH.min(2.0 * self.rate)).max(1.0) as u32
    }

    /// Learns from a batch. A single interrupted one does not upset the pace.
    fn learn(&mut self, hashes: u64, took: Duration, cpu: Duration) {
        let rate = |time: Duration| hashes as f64 / (time.as_secs_f64() * 1e3).max(1e-6);
        self.rate += (rate(took) - self.rate) / 4.0;
        self.cpu_rate += (rate(cpu) - self.cpu_rate) / 4.0;
    }

    /// Whether it is another pace than a ranking said, in hashes a second of the thread's own time, and long enough.
    fn casts_doubt(self, doubt: &mut Doubt, now: Duration, ranked_rate: f64) -> bool {
        doubt.is_due(now, self.cpu_rate * 1e3, ranked_rate)
    }

    /// Whether so many hashes last less than a second.
    fn is_last_second(self, left: u64, duty_percent: u8) -> bool {
        (left as f64) < self.rate * 10.0 * f64::from(duty_percent) // 1000 ms × percent ÷ 100
    }
}

/// A job as one thread works on it, with one kernel.
#[derive(Debug)]
struct Task {
    job: ChipJob,
    ranked: Ranked,
    space: Space,
    /// Headers that it had at the beginning.
    size: u64,
    /// The headers of the versions that are tried now.
    headers: Prepared,
    /// This thread has seen that the job ends.
    is_ending: bool,
}

impl Task {
    /// The task of hashing a part of a job; `None` where that is nothing.
    fn new(job: &ChipJob, part: Part, ranked: Ranked) -> Option<Self> {
        let space = Space::new(part, job.version_mask, ranked.kernel.midstates);
        let headers = headers(job, space.versions()?);
        Some(Self { headers, job: job.clone(), ranked, size: space.left(), space, is_ending: false })
    }

    fn is_used_up(&self) -> bool {
        self.space.versions().is_none()
    }

    /// Tries about so many headers. Returns how many it were.
    fn hash(&mut self, batch: u32, hits: &mut Hits, mut found: impl FnMut(BoardEvent)) -> u64 {
        let kernel = &self.ranked.kernel;
        let Some(versions) = self.space.versions() else { return 0 };
        let (start, count) = self.space.next((batch / kernel.midstates as u32).max(1));
        hits.clear();
        let done = (kernel.scan)(&self.headers, start, count, top_limit(&self.job.target), hits);
        for &Hit { midstate, nonce } in hits.as_slice() {
            // Kernels look at one word only, and this is the proof that they computed it right.
            if meets_target(&self.headers.hash(usize::from(midstate), nonce), &self.job.target) {
                let index = versions.start + u64::from(midstate);
                let version = rolled_version(self.job.version, self.job.version_mask, index);
                found(BoardEvent::Nonce { job: self.job.id, nonce, version });
            }
        }
        self.space.advance(done);
        if let Some(next) = self.space.versions().filter(|next| *next != versions) {
            self.headers = headers(&self.job, next);
        }
        u64::from(done) * kernel.midstates as u64
    }
}

/// The headers of a job with these of its versions.
fn headers(job: &ChipJob, versions: Range<u64>) -> Prepared {
    Prepared::new(job, versions.map(|index| rolled_version(job.version, job.version_mask, index)))
}

/// What a thread works with.
#[derive(Debug)]
pub(super) struct Worker {
    /// What it tries of each job.
    pub(super) part: Part,
    pub(super) ranking: Ranking,
    /// Whether the ranking may change while the thread hashes.
    pub(super) may_rank: bool,
    pub(super) duty_percent: u8,
    /// Set while hashing pauses for heat or battery.
    pub(super) hold: Arc<AtomicBool>,
    pub(super) job: watch::Receiver<Option<ChipJob>>,
    pub(super) outbox: Outbox,
    pub(super) elections: Arc<Elections>,
}

impl Worker {
    /// Hashes until the board's job sender is dropped or nobody takes events any more.
    pub(super) fn run(self) {
        let duty = Duty::new(self.duty_percent);
        let pace = Pace::of(self.ranking.first().rate / 1e3);
        let began = Instant::now();
        let (hits, doubt) = (Hits::new(), Doubt::new(Duration::ZERO));
        Shift { worker: self, pace, duty, began, report_at: began + REPORT_EVERY, hits, doubt, trial: None }
            .run();
    }
}

/// A running worker.
#[derive(Debug)]
struct Shift {
    worker: Worker,
    pace: Pace,
    duty: Duty,
    began: Instant,
    report_at: Instant,
    hits: Hits,
    doubt: Doubt,
    /// A measurement that goes on between batches.
    trial: Option<Trial>,
}

impl Shift {
    fn run(mut self) {
        if !self.duty.is_full() {
            self.duty.begin(Duration::ZERO, ThreadTime::now().as_duration());
        }
        let mut task: Option<Task> = None;
        loop {
            let changed = match &mut task {
                _ if self.was_held() => self.worker.job.has_changed(),
                Some(task) if !task.is_used_up() => {
                    self.hash_batch(task);
                    self.rank(task.ranked);
                    if self.report() == Delivery::Closed {
                        return;
                    }
                    self.pause();
                    self.worker.job.has_changed()
                }
                _ => self.wait_for_job().map(|()| true),
            };
            match changed {
                Ok(false) => {}
                Ok(true) => {
                    self.worker.outbox.report();
                    if self.was_held() && self.worker.job.has_changed().is_err() {
                        return self.worker.outbox.close();
                    }
                    task = self.take_job();
                }
                Err(_) => return self.worker.outbox.close(),
            }
        }
    }

    /// Waits while hashing has to pause and the board has not ended; says whether it had to.
    fn was_held(&mut self) -> bool {
        let is_held = |worker: &Worker| worker.hold.load(Ordering::Relaxed);
        if !is_held(&self.worker) {
            return false;
        }
        while is_held(&self.worker) && self.worker.job.has_changed().is_ok() {
            self.worker.outbox.report();
            news::sleep_until_next(&self.worker.job, HELD_LOOK_EVERY);
        }
        true
    }

    /// The job of the moment, as this thread's task.
    fn take_job(&mut self) -> Option<Task> {
        let current = self.worker.job.borrow_and_update();
        let job = current.as_ref()?;
        let ranked = self.worker.ranking.for_mask(job.version_mask);
        let task = Task::new(job, self.worker.part, ranked)?;
        // Elect while `current` is borrowed: no later job can be set meanwhile, so none can be started before this
        // one, and a job is never announced again by a thread that comes late.
        let is_first = Elections::is_first(&self.worker.elections.started, task.job.id);
        drop(current);
        if is_first {
            self.worker.outbox.push(BoardEvent::Started { job: task.job.id, at: Instant::now() });
        }
        Some(task)
    }

    fn hash_batch(&mut self, task: &mut Task) {
        let (began, cpu_began) = (Instant::now(), ThreadTime::now());
        let outbox = &mut self.worker.outbox;
        let hashes = task.hash(self.pace.batch(), &mut self.hits, |nonce| outbox.push(nonce));
        outbox.count(hashes);
        self.pace.learn(hashes, began.elapsed(), cpu_began.elapsed());

        // Of a job that lasts less than two seconds half: one that ended at its beginning would bring the next at once.
        let left = task.space.left();
        let is_half_done = left <= task.size / 2;
        if !task.is_ending && is_half_done && self.pace.is_last_second(left, self.worker.duty_percent) {
            task.is_ending = true;
            if Elections::is_first(&self.worker.elections.ending, task.job.id) {
                self.worker.outbox.push(BoardEvent::JobEnding(task.job.id));
            }
        }
    }

    /// Doubts the ranking, and measures one slice if that has come true: jobs to come get the kernel that it finds.
    fn rank(&mut self, used: Ranked) {
        if let Some(trial) = &mut self.trial {
            if trial.step(measured)
                && let Some(trial) = self.trial.take()
            {
                self.worker.ranking = Ranking::of(trial.rates());
                self.doubt = Doubt::new(self.began.elapsed());
            }
        } else if self.worker.may_rank
            && self.pace.casts_doubt(&mut self.doubt, self.began.elapsed(), used.rate)
        {
            self.trial = Some(Trial::new(self.worker.ranking.kernels()));
        }
    }

    fn report(&mut self) -> Delivery {
        let now = Instant::now();
        if now < self.report_at {
            return self.worker.outbox.deliver();
        }
        self.report_at = now + REPORT_EVERY;
        self.worker.outbox.report()
    }

    /// Sleeps off what the duty cycle demands, unless a job comes or the board stops.
    fn pause(&mut self) {
        if self.duty.is_full() {
            return;
        }
        let cpu = ThreadTime::now().as_duration();
        let Some(until) = self.duty.pause_until(self.began.elapsed(), cpu) else { return };
        while let Some(left) = until.checked_sub(self.began.elapsed()).filter(|left| !left.is_zero()) {
            let is_news = !matches!(self.worker.job.has_changed(), Ok(false));
            if is_news {
                return;
            }
            news::sleep_until_any(&self.worker.job, left);
        }
        self.duty.begin(self.began.elapsed(), cpu);
    }

    /// Waits without load for the next job; delivers first what is still here.
    fn wait_for_job(&mut self) -> Result<(), watch::error::RecvError> {
        while self.worker.outbox.report() == Delivery::Waiting {
            if self.worker.job.has_changed()? {
                return Ok(());
            }
            thread::sleep(LOOK_EVERY);
        }
        pollster::block_on(self.worker.job.changed())
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::{
        EVENT_CAPACITY,
        cpu::{choice, kernel::KERNELS, measure::median, space},
    };

    #[test]
    fn a_batch_lasts_two_milliseconds_at_most_and_half_a_one_where_that_is_enough() {
        for rate in [0.5, 1.0, 7.3, 900.0, 2047.0, 2049.0, 4095.0, 4097.0, 20_000.0, 1e6, 4e9] {
            let lasts = f64::from(Pace::of(rate).batch()) / rate;
            assert!(lasts <= 2.0, "{lasts} ms at {rate} hashes a ms");
            assert!(rate < 100.0 || lasts > 0.49, "{lasts} ms at {rate} hashes a ms");
            assert!(rate < 2.0 * GOOD_BATCH || lasts <= 0.5, "{lasts} ms at {rate} hashes a ms");
        }
        assert_eq!(Pace::of(1e-9).batch(), 1, "there is no smaller one");
    }

    #[test]
    fn a_pace_follows_a_lasting_change_and_a_single_batch_upsets_it_by_a_quarter_at_most() {
        let mut pace = Pace::of(10_000.0);
        pace.learn(10_000, Duration::from_secs(1), Duration::from_millis(1));
        assert!(pace.rate >= 7500.0, "{}", pace.rate);
        for _ in 0..30 {
            pace.learn(10_000, Duration::from_millis(4), Duration::from_millis(1));
        }
        assert!((pace.rate - 2500.0).abs() < 25.0, "{}", pace.rate);
        pace.learn(1, Duration::ZERO, Duration::ZERO);
        assert!(pace.rate.is_finite() && pace.cpu_rate.is_finite());
    }

    #[test]
    fn other_programs_on_the_core_are_no_reason_to_doubt_the_ranking_and_a_slower_core_is() {
        let ranked = 10_000.0 * 1e3;
        for (cpu, expected) in [(Duration::from_millis(1), false), (Duration::from_millis(2), true)] {
            let (mut pace, mut doubt) = (Pace::of(10_000.0), Doubt::new(Duration::ZERO));
            let is_due = (600..700).any(|second| {
                pace.learn(10_000, Duration::from_millis(50), cpu);
                pace.casts_doubt(&mut doubt, Duration::from_secs(second), ranked)
            });
            assert_eq!(is_due, expected, "{cpu:?}");
        }
    }

    #[test]
    fn the_last_second_of_a_job_is_one_at_the_pace_and_duty_of_the_thread() {
        let pace = Pace::of(1000.0);
        for (duty_percent, a_second) in [(100, 1_000_000), (10, 100_000)] {
            assert!(!pace.is_last_second(a_second, duty_percent));
            assert!(pace.is_last_second(a_second - 1, duty_percent));
        }
    }

    /// A job of whose hashes next to none is a nonce.
    fn job() -> ChipJob {
        ChipJob {
            id: ChipJobId(1),
            version: 0x2000_0000,
            prev_hash: [1; 32],
            merkle_root: [2; 32],
            ntime: 1_700_000_000,
            nbits: 0x1702_1a8a,
            version_mask: 0x1fff_e000,
            target: [0; 32],
        }
    }

    /// How a thread at such a duty did. Shape: its part of a core's time, the part of it that hashing took, both in
    /// percent, and the hashes of each report.
    fn at_duty(duty_percent: u8, time: Duration) -> (f64, f64, Vec<u64>) {
        let kernel = *KERNELS.iter().rfind(|kernel| (kernel.supported)()).unwrap();
        let ranking = choice::rank(&[kernel, KERNELS[0]], std::num::NonZeroUsize::MIN).unwrap();
        let (job_sender, job_receiver) = watch::channel(None);
        let (event_sender, mut events) = mpsc::channel(EVENT_CAPACITY);
        let worker = Worker {
            part: Part { nonces: space::ALL_NONCES, thread: 0, threads: 1 },
            ranking,
            may_rank: false,
            duty_percent,
            hold: Arc::default(),
            job: job_receiver,
            outbox: Outbox::new(event_sender),
            elections: Arc::new(Elections::new()),
        };
        let thread = thread::spawn(move || {
            let (began, cpu_began) = (Instant::now(), ThreadTime::now());
            worker.run();
            (began.elapsed(), cpu_began.elapsed())
        });
        job_sender.send_replace(Some(job()));
        thread::sleep(time);
        drop(job_sender);
        let (took, cpu) = thread.join().unwrap();
        let hashes: Vec<_> = std::iter::from_fn(|| events.try_recv().ok())
            .filter_map(|event| if let BoardEvent::Hashes(hashes) = event { Some(hashes) } else { None })
            .collect();
        let rate = median((0..21).map(|_| measured(&kernel, 4096).cpu_rate()).collect()).unwrap();
        let hashing = hashes.iter().sum::<u64>() as f64 / rate;
        (100.0 * cpu.as_secs_f64() / took.as_secs_f64(), 100.0 * hashing / cpu.as_secs_f64(), hashes)
    }

    #[test]
    fn a_thread_at_one_percent_takes_that_part_of_a_core_and_hashes_in_it_steadily() {
        // Where other programs have all cores, one of some rounds is undisturbed.
        let is_good = |_| {
            let (share, hashing, reports) = at_duty(1, Duration::from_secs(3));
            println!("{share:.3} % of a core, {hashing:.0} % of it hashing: {reports:?}");
            // The first and the last report are of a shorter time.
            let whole = &reports[1..reports.len() - 1];
            let (least, most) = (whole.iter().min().unwrap(), whole.iter().max().unwrap());
            (0.8..=1.2).contains(&share) && hashing > 80.0 && *most < 2 * least
        };
        assert!((0..4).any(is_good));
    }
}
