//! Chips that were brought up and have not shown yet that they hash.
//!
//! Nothing answers a write, so a chip that has missed one is known by its silence alone. While some have reported and others
//! owe their first nonces, or as soon as the line has damaged anything, the chips are told their settings and their job
//! again; a healthy chain on a good line never is (DECISIONS.md, "Chips are told again what a bad line may have lost").

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::super::bring_up::{Action, settings};
use super::super::decoder::LineCounts;
use super::super::frame::Frame;
use super::super::job_frame::JobFrame;
use super::super::register::{Register, version_rolling};
use super::hashing::Hashing;
use super::health::News;
use super::{Chain, State, Told};

/// Nonces that a chip, or the whole chain, owes when it is told everything again: by chance a good one is so once in a
/// thousand times.
const NONCES_EXPECTED: f64 = 7.0;
/// Shortest time for that; the first job has to arrive and to be begun with.
const SHORTEST_LOOK: Duration = Duration::from_millis(500);
/// How often chips that say nothing are told everything again.
const MOST_TELLINGS: u32 = 3;
/// How often a setting is said in a telling: one of a thousand is lost three times where one byte in a hundred is damaged.
const SETTINGS: usize = 3;
/// How often the job is, whose 88 bytes arrive whole 4 times in 10 on such a line. The chips begin it anew each time.
const JOBS: usize = 4;

/// Chips from which nothing has come since they were brought up.
#[derive(Debug)]
pub(super) struct Probation {
    unheard: BTreeSet<usize>,
    /// What had been wrong on the line before they were brought up.
    before: LineCounts,
    /// `None` before there is work.
    due: Option<Due>,
    /// How often they were told everything again.
    tellings: u32,
}

/// When chips should have reported.
#[derive(Debug, Clone, Copy)]
struct Due {
    /// Some of them; once some have, all.
    next: Instant,
    all: Instant,
}

impl Probation {
    pub(super) fn new(chips: usize, before: LineCounts) -> Self {
        Self { unheard: (0..chips).collect(), before, due: None, tellings: 0 }
    }

    /// When to look at them next.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.map(|due| due.next)
    }

    /// There is work for the first time. Shape: when, how long each chip may take, and what was wrong on the line so far.
    pub(super) fn begin(&mut self, at: Instant, time: Duration, counts: LineCounts) {
        if self.due.is_none() {
            let all = if counts == self.before { time } else { Duration::ZERO };
            self.wait(at, all);
        }
    }

    fn wait(&mut self, from: Instant, all: Duration) {
        let some = all.min(SHORTEST_LOOK.max(all / self.unheard.len().max(1) as u32));
        self.due = Some(Due { next: from + some, all: from + all });
    }

    /// A chip has reported. Shape: whether all have.
    pub(super) fn has_passed(&mut self, chip: usize) -> bool {
        self.unheard.remove(&chip);
        self.unheard.is_empty()
    }

    /// Looks at once on a line that has damaged something.
    pub(super) fn hurry(&mut self, counts: LineCounts, now: Instant) {
        if counts != self.before && self.tellings == 0 {
            self.due = self.due.map(|due| Due { next: due.next.min(now), all: due.all.min(now) });
        }
    }
}

impl Told {
    /// What is to be said again, as it is now: since it was put down there may have been another job, with another mask and
    /// ticket. Shape: the running job; `None` for a job that nobody wants any more.
    pub(super) fn newest(&self, frame: Frame, job: Option<&JobFrame>) -> Option<Frame> {
        let value = match &frame {
            Frame::Write { register: Register::VERSION_ROLLING, .. } => version_rolling(self.version_mask),
            Frame::Write { register: Register::TICKET_MASK, .. } => self.ticket.register_value(),
            Frame::Job(_) => return job.cloned().map(Frame::Job),
            _ => return Some(frame),
        };
        let Frame::Write { to, register, .. } = frame else { return Some(frame) };
        Some(Frame::Write { to, register, value })
    }
}

impl Chain {
    /// Tells the chips again what they were told when some owe their first nonces.
    pub(super) fn look_for_silent_chips(&mut self, now: Instant) {
        let time = self.time_to_report();
        let State::Hashing(Hashing { rest, rest_at, running: Some(running), probation, .. }) =
            &mut self.state
        else {
            return;
        };
        let Some(Probation { unheard, due: Some(due), tellings, .. }) = probation else { return };
        if due.next > now {
            return;
        }
        if unheard.len() < self.board.addresses.len() && due.all > now {
            due.next = due.all;
            return;
        }
        if *tellings == MOST_TELLINGS {
            let silent = std::mem::take(unheard);
            *probation = None;
            return self.tell_silent(&silent);
        }
        // A change of frequency first: it ends with some of the same.
        if rest.is_empty() {
            let Told { frequency, ticket, .. } = self.told;
            let settings = settings(self.board.list, &self.board.addresses, frequency, ticket);
            let settings = settings.expect("the chips have this frequency");
            let job = Action::Send(Frame::Job(running.frame.clone()), Duration::ZERO);
            rest.push_back(job.clone());
            rest.extend(std::iter::repeat_n(settings, SETTINGS).flatten());
            rest.extend(std::iter::repeat_n(job, JOBS - 1));
            *rest_at = now;
            *tellings += 1;
        }
        let lasts: Duration = rest.iter().map(|action| self.line.lasts(action)).sum();
        if let Some(probation) = probation {
            probation.wait(now + lasts, time);
        }
        self.go_on(now);
    }

    /// Names the chips that have said nothing. When none has said anything, that is noticed in another place, and more is
    /// done about it.
    fn tell_silent(&mut self, silent: &BTreeSet<usize>) {
        if silent.len() < self.board.addresses.len() {
            let silent = self.health.note_silent(silent.iter().copied());
            self.tell_no_nonces(&silent);
        }
    }

    /// A chip that hashes has given a nonce: whether that shows another one to be silent, or this one to be back. While
    /// chips owe their first nonces, these are waited for elsewhere.
    pub(super) fn hear(&mut self, chip: usize, is_good: bool) {
        if matches!(&self.state, State::Hashing(Hashing { probation: Some(_), .. })) {
            self.health.begin();
        }
        match self.health.hear(chip, is_good) {
            Some(News::Silent(silent)) => self.tell_no_nonces(&silent),
            Some(News::Back(chip)) => {
                let chips = self.board.addresses.len();
                self.recovered(format!("chip {chip} of {chips} gives nonces again, counted from 0"));
            }
            None => {}
        }
    }

    fn tell_no_nonces(&mut self, silent: &[usize]) {
        let chips = self.board.addresses.len();
        let names: Vec<_> = silent.iter().map(ToString::to_string).collect();
        let (names, whose) = (names.join(", "), if silent.len() == 1 { "its" } else { "their" });
        let (chip, give, it) =
            if silent.len() == 1 { ("chip", "gives", "it") } else { ("chips", "give", "them") };
        if !silent.is_empty() {
            self.fault(format!(
                "{chip} {names} of {chips} {give} no nonces, counted from 0; check {whose} power and the line to {it}"
            ));
        }
    }

    /// How long the chips may take until each has reported.
    pub(super) fn time_to_report(&self) -> Duration {
        let chips = self.board.addresses.len() as f64;
        let seconds = NONCES_EXPECTED * self.told.ticket.hashes() * chips / self.rate();
        SHORTEST_LOOK.max(Duration::from_secs_f64(seconds.min(1e6)))
    }
}
