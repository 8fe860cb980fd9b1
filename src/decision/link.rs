//! Whether an upstream is alive, and what its failures have cost.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::output::Worthless;
use super::settings::Deadlines;

/// What a failure costs while we hash there, seconds: found by missing answers, and told by a closed socket.
const LOST_UNANSWERED: f64 = 8.0;
const LOST_CLOSED: f64 = 0.05;

/// Failures are forgotten with this time constant, seconds.
const FORGET: f64 = 3600.0;

/// Shares without an answer that are remembered: those of minutes.
const MOST_SENT: usize = 1024;

/// Reply times that are remembered.
const MOST_REPLIES: usize = 100;

/// Seconds lost to failures, fading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Failures {
    seconds: f64,
    at: Instant,
}

impl Failures {
    /// None yet.
    pub fn new(now: Instant) -> Self {
        Self { seconds: 0.0, at: now }
    }

    /// A failure has cost `seconds`.
    pub fn count(&mut self, seconds: f64, now: Instant) {
        self.seconds = self.faded(now) + seconds.max(0.0);
        self.at = self.at.max(now);
    }

    /// `avail`: part of the time that is not lost, 0 to 1.
    pub fn available(&self, now: Instant) -> f64 {
        (1.0 - self.faded(now) / FORGET).max(0.0)
    }

    fn faded(&self, now: Instant) -> f64 {
        self.seconds * (-now.saturating_duration_since(self.at).as_secs_f64() / FORGET).exp()
    }
}

/// How long an upstream is usually silent, seconds. Learnt from what it says by itself: answers come as often as we find
/// shares, and would make a pool that we left look silent.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Gaps {
    mean: f64,
    deviation: f64,
}

impl Gaps {
    const WEIGHT: f64 = 0.1;

    fn count(&mut self, gap: f64) {
        self.deviation += ((gap - self.mean).abs() - self.deviation) * Self::WEIGHT;
        self.mean += (gap - self.mean) * Self::WEIGHT;
    }

    fn limit(&self, deadlines: &Deadlines) -> Duration {
        let usual = 1.5 * self.mean + 4.0 * self.deviation;
        let most = f64::max(deadlines.silence_most.as_secs_f64(), 3.0 * self.mean);
        Duration::from_secs_f64(usual.max(deadlines.silence_least.as_secs_f64()).min(most).min(1e6))
    }
}

/// The last times from a share to its answer.
#[derive(Debug, Clone, Default, PartialEq)]
struct Replies {
    in_order: VecDeque<Duration>,
    sorted: Vec<Duration>,
}

impl Replies {
    fn count(&mut self, took: Duration) {
        if self.in_order.len() == MOST_REPLIES
            && let Some(oldest) = self.in_order.pop_front()
            && let Ok(at) = self.sorted.binary_search(&oldest)
        {
            self.sorted.remove(at);
        }
        self.in_order.push_back(took);
        let at = self.sorted.partition_point(|other| *other < took);
        self.sorted.insert(at, took);
    }

    /// The time within which `part` of the answers came; zero before any.
    fn quantile(&self, part: f64) -> Duration {
        let at = (self.sorted.len() as f64 * part) as usize;
        self.sorted.get(at.min(self.sorted.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}

/// A share without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    share: u64,
    pub(super) at: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Down(Worthless),
    Up { since: Instant },
}

/// The connection to one upstream.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Link {
    deadlines: Deadlines,
    state: State,
    gaps: Gaps,
    /// The last sign of life, and the last line that it said by itself.
    heard: Instant,
    spoke: Option<Instant>,
    sent: VecDeque<Sent>,
    /// Those that it was found dead for.
    late: VecDeque<Sent>,
    replies: Replies,
    failures: Failures,
}

impl Link {
    /// No job has come yet.
    pub(super) fn new(deadlines: Deadlines, now: Instant) -> Self {
        Self {
            deadlines,
            state: State::Down(Worthless::NoJob),
            gaps: Gaps { mean: 30.0, deviation: 10.0 },
            heard: now,
            spoke: None,
            sent: VecDeque::new(),
            late: VecDeque::new(),
            replies: Replies::default(),
            failures: Failures::new(now),
        }
    }

    /// It said something by itself, a job for one.
    pub(super) fn spoke(&mut self, is_job: bool, now: Instant) {
        if let Some(before) = self.spoke.replace(now) {
            self.gaps.count(now.saturating_duration_since(before).as_secs_f64());
        }
        self.heard = now;
        let is_open = !matches!(self.state, State::Down(Worthless::NoJob | Worthless::Lost));
        if !self.is_up() && (is_job || is_open) {
            self.state = State::Up { since: now };
        }
    }

    /// A share was sent.
    pub(super) fn sent(&mut self, share: u64, now: Instant) {
        if self.is_up() && self.sent.len() < MOST_SENT {
            self.sent.push_back(Sent { share, at: now });
        }
    }

    /// It answered. Returns the share, if that is one that was waited for.
    pub(super) fn answered(&mut self, share: u64, now: Instant) -> Option<Sent> {
        self.heard = now;
        if let State::Down(Worthless::Silent(_) | Worthless::Unanswered(_)) = self.state {
            self.state = State::Up { since: now };
        }
        // An answer that comes after all shows how long it takes here.
        if let Some(at) = self.late.iter().position(|sent| sent.share == share) {
            let sent = self.late.remove(at)?;
            self.replies.count(now.saturating_duration_since(sent.at));
            return Some(sent);
        }
        let at = self.sent.iter().position(|sent| sent.share == share)?;
        let sent = self.sent.remove(at)?;
        self.replies.count(now.saturating_duration_since(sent.at));
        Some(sent)
    }

    /// A share of ours ended without a word of it.
    pub(super) fn ended(&mut self, share: u64) {
        self.sent.retain(|sent| sent.share != share);
    }

    /// Its socket is closed; `hashing` for it. Returns whether that is news.
    pub(super) fn lost(&mut self, hashing: bool, now: Instant) -> bool {
        let was_up = self.is_up();
        if was_up && hashing {
            self.failures.count(LOST_CLOSED, now);
        }
        self.spoke = None;
        self.sent.clear();
        self.late.clear();
        self.state = State::Down(Worthless::Lost);
        was_up
    }

    /// Time passes; `hashing` for it. Returns whether it is found dead.
    pub(super) fn advance(&mut self, hashing: bool, now: Instant) -> bool {
        let (why, lost) = match (self.unanswered_at(), self.silent_at()) {
            _ if !self.is_up() => return false,
            (Some(at), _) if now >= at => (Worthless::Unanswered(self.sent.len()), LOST_UNANSWERED),
            (_, Some(at)) if now >= at => {
                let silence = now.saturating_duration_since(self.heard);
                (Worthless::Silent(silence), silence.as_secs_f64())
            }
            _ => return false,
        };
        if hashing {
            self.failures.count(lost, now);
        }
        self.late = std::mem::take(&mut self.sent);
        self.state = State::Down(why);
        true
    }

    /// When it is dead unless it answers, and unless it says anything.
    pub(super) fn deadlines(&self) -> [Option<Instant>; 2] {
        [self.unanswered_at(), self.silent_at()]
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, State::Up { .. })
    }

    /// Since when it is up.
    pub(super) fn up_since(&self) -> Option<Instant> {
        match self.state {
            State::Up { since } => Some(since),
            State::Down(_) => None,
        }
    }

    /// Why it is not up.
    pub(super) fn why_down(&self) -> Option<Worthless> {
        match self.state {
            State::Up { .. } => None,
            State::Down(why) => Some(why),
        }
    }

    pub(super) fn available(&self, now: Instant) -> f64 {
        self.failures.available(now)
    }

    pub(super) fn reply(&self, part: f64) -> Duration {
        self.replies.quantile(part)
    }

    fn unanswered_at(&self) -> Option<Instant> {
        let enough = self.is_up() && self.sent.len() >= self.deadlines.unanswered.max(1);
        let patience = self.deadlines.unanswered_after.max(self.replies.quantile(0.99).saturating_mul(10));
        self.sent.front().filter(|_| enough).map(|oldest| oldest.at + patience)
    }

    fn silent_at(&self) -> Option<Instant> {
        self.is_up().then(|| self.heard + self.gaps.limit(&self.deadlines))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// An upstream with a job every half minute, and the time of the last one.
    fn usual() -> (Link, Instant) {
        let mut now = Instant::now();
        let mut link = Link::new(Deadlines::default(), now);
        for _ in 0..100 {
            now += seconds(30.0);
            link.spoke(true, now);
        }
        (link, now)
    }

    #[test]
    fn failures_of_eight_seconds_fade_within_hours() {
        let now = Instant::now();
        let mut failures = Failures::new(now);
        for at in [0.0, 1200.0, 2400.0] {
            failures.count(8.0, now + seconds(at));
        }
        let available = failures.available(now + seconds(3000.0));
        assert!((available / 0.995_805_310 - 1.0).abs() < 1e-6, "{available}");
        failures.count(1e9, now + seconds(3000.0));
        assert_eq!(failures.available(now + seconds(3000.0)), 0.0);
    }

    #[test]
    fn silence_beyond_the_usual_is_death_and_any_line_ends_it() {
        let (mut link, now) = usual();
        assert!(!link.advance(true, now + seconds(45.0)));
        assert!(link.advance(true, now + seconds(46.0)));
        assert_eq!(link.why_down(), Some(Worthless::Silent(seconds(46.0))));
        assert!((link.available(now + seconds(46.0)) - (1.0 - 46.0 / 3600.0)).abs() < 1e-12);
        link.spoke(false, now + seconds(50.0));
        assert_eq!(link.up_since(), Some(now + seconds(50.0)));
    }

    #[test]
    fn a_pool_that_is_slow_to_answer_is_taken_for_dead_once_and_then_given_the_time_that_it_takes() {
        let (mut link, now) = usual();
        (0..3).for_each(|share| link.sent(share, now));
        assert!(link.advance(true, now + seconds(5.0)));
        (0..3).for_each(|share| assert!(link.answered(share, now + seconds(8.0)).is_some()));
        (3..6).for_each(|share| link.sent(share, now + seconds(8.0)));
        assert!(!link.advance(true, now + seconds(20.0)));
        link.ended(3);
        assert_eq!(link.deadlines()[0], None, "two are not enough");
    }

    #[test]
    fn a_pool_that_only_answers_shares_is_alive() {
        let (mut link, now) = usual();
        for second in 0..200 {
            link.sent(second, now + seconds(second as f64));
            link.answered(second, now + seconds(second as f64 + 0.05));
            assert!(!link.advance(true, now + seconds(second as f64 + 0.1)));
        }
    }

    #[test]
    fn answers_do_not_teach_how_long_a_pool_is_silent() {
        let (mut link, mut now) = usual();
        for share in 0..1000 {
            now += seconds(3.0);
            link.sent(share, now);
            link.answered(share, now);
        }
        assert!(!link.advance(false, now + seconds(40.0)), "left alone, it speaks as often as before");
    }

    #[test]
    fn a_pool_with_jobs_per_block_gets_the_time_that_it_needs() {
        let mut now = Instant::now();
        let mut link = Link::new(Deadlines::default(), now);
        link.spoke(true, now);
        assert_eq!(link.silent_at(), Some(now + seconds(85.0)));
        for _ in 0..50 {
            now += seconds(600.0);
            link.spoke(true, now);
        }
        let limit = link.silent_at().unwrap() - now;
        assert!(limit > seconds(890.0) && limit < seconds(1800.0), "{limit:?}");
    }

    #[test]
    fn three_shares_without_an_answer_for_five_seconds_are_death() {
        let (mut link, now) = usual();
        for share in 0..2 {
            link.sent(share, now);
        }
        assert!(!link.advance(true, now + seconds(20.0)));
        link.sent(2, now + seconds(20.0));
        assert!(link.advance(true, now + seconds(20.0)));
        assert_eq!(link.why_down(), Some(Worthless::Unanswered(3)));
        assert!((link.available(now + seconds(20.0)) - (1.0 - 8.0 / 3600.0)).abs() < 1e-12);
        link.spoke(true, now + seconds(30.0));
        assert!(link.is_up() && !link.advance(true, now + seconds(40.0)), "the old shares are forgiven");
    }

    #[test]
    fn a_pool_that_always_takes_two_seconds_gets_twenty() {
        let (mut link, now) = usual();
        for share in 0..200 {
            link.sent(share, now);
            link.answered(share, now + seconds(2.0));
        }
        for share in 200..210 {
            link.sent(share, now + seconds(2.0));
        }
        assert!(!link.advance(true, now + seconds(21.9)));
        assert!(link.advance(true, now + seconds(22.0)));
    }

    #[test]
    fn a_closed_socket_is_death_at_once_until_a_job_comes() {
        let (mut link, now) = usual();
        assert!(link.lost(true, now) && !link.lost(true, now));
        link.spoke(false, now + seconds(1.0));
        assert_eq!(link.why_down(), Some(Worthless::Lost), "a greeting is no work");
        link.spoke(true, now + seconds(1.0));
        assert!(link.is_up());
        assert!(link.available(now) > 0.9999);
    }

    #[test]
    fn what_is_remembered_of_shares_is_bounded() {
        let (mut link, now) = usual();
        for share in 0..5000 {
            link.sent(share, now);
        }
        assert_eq!(link.sent.len(), MOST_SENT);
        for share in 0..5000 {
            link.answered(share, now + seconds(1.0));
        }
        assert_eq!((link.sent.len(), link.replies.sorted.len()), (0, MOST_REPLIES));
        assert_eq!([link.reply(0.5), link.reply(1.0)], [seconds(1.0); 2]);
    }
}
