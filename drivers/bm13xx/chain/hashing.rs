//! A chain with its chips at work: jobs down, nonces up, and an eye on whether it still hashes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::super::answer::RawNonce;
use super::super::bring_up::{Action, ramp, sweep_length};
use super::super::chip::JobForm;
use super::super::decoder::LineCounts;
use super::super::frame::{Frame, Recipient};
use super::super::job::SentJob;
use super::super::job_frame::JobFrame;
use super::super::nonce::{Proved, Verdict, judge};
use super::super::register::{Register, version_rolling};
use super::super::sweep;
use super::probation::Probation;
use super::{Chain, ChainEvent, ChainFault, State};
use crate::{BoardEvent, ChipJobId};

/// Nonces that the chips owe when their silence counts as a failure: by chance they owe so many once in a billion waits.
/// With a million a well chain of eight nonces a second would fail every other day.
pub(super) const NONCES_OWED: f64 = 20.7;
/// Shortest silence that counts: jobs, answers and the host have their hiccups.
const SHORTEST_SILENCE: Duration = Duration::from_secs(10);
/// Time of hashing after which earlier failures are forgiven.
const HEALTHY: Duration = Duration::from_secs(60);
/// Time without work after which the chips are held in reset. mujina does so at once; a pool that comes back at once is
/// then paid with a new ramp.
const IDLE: Duration = Duration::from_secs(60);
/// How long before its end a job is told to be ending.
const NOTICE: Duration = Duration::from_secs(1);
/// Shortest time between two writes of a ticket mask that a chip seems to have missed.
const TICKET_AGAIN: Duration = Duration::from_secs(10);
/// Chips at work, or waiting for it.
#[derive(Debug)]
pub(super) struct Hashing {
    since: Instant,
    /// What is left of a change of frequency, or of what is said again.
    pub(super) rest: VecDeque<Action>,
    pub(super) rest_at: Instant,
    pub(super) running: Option<Running>,
    /// `None` once every chip has reported, or has been given up.
    pub(super) probation: Option<Probation>,
    /// When there was a sign of life, or the first work.
    alive_at: Instant,
    /// When they are put to rest, unless there is work.
    idle_at: Instant,
}

/// The job that the chips have.
#[derive(Debug)]
pub(super) struct Running {
    job: ChipJobId,
    /// As it was sent.
    pub(super) frame: JobFrame,
    begun_at: Instant,
    versions: u32,
    /// Time that it took on the line.
    line_time: Duration,
    /// When to say that it is ending; `None` after that.
    ending_at: Option<Instant>,
}

impl Hashing {
    /// Whether the running job has been said to be ending.
    fn is_used_up(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.ending_at.is_none())
    }
}

impl Chain {
    /// The chips are up. Shape: what had been wrong on the line before they were brought up.
    pub(super) fn begin_hashing(&mut self, before: LineCounts, now: Instant) {
        self.state = State::Hashing(Hashing {
            since: now,
            rest: VecDeque::new(),
            rest_at: now,
            running: None,
            probation: Some(Probation::new(self.board.addresses.len(), before)),
            alive_at: now,
            idle_at: now + IDLE,
        });
        self.health.begin();
        self.events.push_back(ChainEvent::Ready);
        if self.told.frequency != self.board.frequency {
            self.change_frequency(now);
        }
    }

    pub(super) fn change_frequency(&mut self, now: Instant) {
        let chip = self.chip();
        let to = self.board.frequency;
        let State::Hashing(hashing) = &mut self.state else { return };
        let steps = ramp(chip, self.told.frequency, to);
        hashing.rest = steps.expect("what lies between two possible frequencies is possible").into();
        hashing.rest.extend(sweep_length(chip, self.board.addresses.len(), to));
        hashing.rest_at = hashing.rest_at.max(now); // a step under way gets its time
    }

    pub(super) fn job_changed(&mut self, now: Instant) {
        let State::Hashing(hashing) = &mut self.state else { return };
        if self.work.job.is_none() && hashing.running.is_some() {
            hashing.running = None;
            hashing.idle_at = now + IDLE;
            self.meter.stop(now);
        }
    }

    /// When something is due.
    pub(super) fn next_of(&self, hashing: &Hashing) -> Instant {
        let rest = (!hashing.rest.is_empty()).then_some(hashing.rest_at);
        let ending = hashing.running.as_ref().and_then(|running| running.ending_at);
        let look = hashing.running.as_ref().and(hashing.probation.as_ref()).and_then(Probation::due);
        let last = match (&hashing.running, &self.work.job) {
            (None, None) => hashing.idle_at,
            _ if self.has_new_job(hashing) => self.line.free_at(),
            _ => hashing.alive_at + self.patience(),
        };
        rest.into_iter().chain(ending).chain(look).fold(last, Instant::min)
    }

    /// Does what is due.
    pub(super) fn hash(&mut self, now: Instant) {
        self.go_on(now);
        self.look_for_silent_chips(now);
        let patience = self.patience();
        let State::Hashing(hashing) = &mut self.state else { return };
        if let Some(running) = &mut hashing.running {
            if running.ending_at.is_some_and(|at| at <= now) {
                running.ending_at = None;
                self.events.push_back(ChainEvent::Board(BoardEvent::JobEnding(running.job)));
            }
            let quiet = now.saturating_duration_since(hashing.alive_at);
            if quiet >= patience {
                return self.fail(ChainFault::Silent { quiet }, now);
            }
        } else if self.work.job.is_none() && hashing.idle_at <= now {
            self.hold_reset(now);
            self.events.push_back(ChainEvent::Resting);
            self.state = State::Resting;
            return;
        }
        let State::Hashing(hashing) = &self.state else { return };
        if self.has_new_job(hashing) && self.line.free_at() <= now {
            self.send_job(now);
        }
    }

    fn has_new_job(&self, hashing: &Hashing) -> bool {
        let running = hashing.running.as_ref().map(|running| running.job);
        self.work.job.as_ref().is_some_and(|job| Some(job.id) != running)
    }

    /// How long the chips may be silent.
    fn patience(&self) -> Duration {
        let seconds = NONCES_OWED * self.told.ticket.hashes() / self.rate();
        // A target without any chip to meet it must not overflow the clock.
        SHORTEST_SILENCE.max(Duration::from_secs_f64(seconds.min(1e6)))
    }

    pub(super) fn go_on(&mut self, now: Instant) {
        loop {
            let State::Hashing(hashing) = &mut self.state else { return };
            if hashing.rest_at > now {
                return;
            }
            let job = hashing.running.as_ref().map(|running| &running.frame);
            match hashing.rest.pop_front() {
                Some(Action::Send(frame, wait)) => {
                    if let Some(frame) = self.told.newest(frame, job) {
                        self.line.send(&frame, now);
                        hashing.rest_at = self.line.free_at() + wait;
                    }
                }
                Some(Action::AtFrequency(frequency)) => {
                    self.told.frequency = frequency;
                    self.foresee_end();
                }
                Some(Action::Ask(_) | Action::HostSpeed(_)) | None => return,
            }
        }
    }

    fn send_job(&mut self, now: Instant) {
        let Some(job) = self.work.job.clone() else { return };
        let id = job.id;
        let ticket = self.board.first_ticket.choose(self.rate(), &job.target);
        let sent = SentJob::new(self.chip(), job, ticket);
        let (versions, mask) = (sent.versions(), sent.rolled_by_chip());
        if self.chip().layout.form == JobForm::Header && mask != self.told.version_mask {
            self.write(Register::VERSION_ROLLING, version_rolling(mask), now);
            self.told.version_mask = mask;
        }
        if ticket != self.told.ticket {
            self.write(Register::TICKET_MASK, ticket.register_value(), now);
            self.told.ticket = ticket;
            self.told.ticket_at = now;
        }
        let frame = self.ring.push(sent);
        let before = self.line.free_at().max(now);
        self.line.send(&Frame::Job(frame.clone()), now);
        let begun_at = self.line.free_at();
        let line_time = begun_at.saturating_duration_since(before);
        self.events.push_back(ChainEvent::Board(BoardEvent::Started { job: id, at: begun_at }));
        self.meter.start(now);
        let (time, counts) = (self.time_to_report(), self.line.counts());
        let State::Hashing(hashing) = &mut self.state else { return };
        if hashing.running.is_none() {
            hashing.alive_at = now;
            hashing.probation.iter_mut().for_each(|probation| probation.begin(begun_at, time, counts));
        }
        // After a reset the chips find again what they found of this job before: it is used up as good as at once.
        let is_again = self.work.begun.replace(id) == Some(id);
        hashing.running =
            Some(Running { job: id, frame, begun_at, versions, line_time, ending_at: Some(begun_at) });
        if !is_again {
            self.foresee_end();
        }
    }

    /// Sets when the running job is told to be ending: a second before it has no more to try, and where jobs are so short
    /// that this is soon, half-way. Not sooner than the line can bring another two.
    fn foresee_end(&mut self) {
        let (chip, chips) = (self.chip(), self.board.addresses.len());
        let frequency = self.told.frequency;
        let State::Hashing(Hashing { running: Some(running), .. }) = &mut self.state else { return };
        if running.ending_at.is_some() {
            let lasts = sweep::duration(chip, chips, frequency, running.versions);
            let notice = lasts.saturating_sub(NOTICE).max(lasts / 2).max(2 * running.line_time);
            running.ending_at = Some(running.begun_at + notice);
        }
    }

    pub(super) fn take_nonce(&mut self, raw: &RawNonce, now: Instant) {
        let address = self.chip().origin(raw.nonce, raw.tag).address;
        let chip = usize::from(u16::from(address) / self.board.interval);
        let verdict = judge(&mut self.ring, raw, self.told.ticket);
        self.meter.count(chip, &verdict, now);
        let State::Hashing(hashing) = &mut self.state else { return };
        match verdict {
            Verdict::HardwareError | Verdict::Stale => return,
            // Chips begin again when a job is used up. Before that, what comes again shows that they hear no new jobs.
            Verdict::Duplicate if !hashing.is_used_up() => return,
            Verdict::Duplicate | Verdict::BelowTicket(_) => {}
            Verdict::Good(proved) => {
                if now.saturating_duration_since(hashing.since) >= HEALTHY {
                    self.work.failures = 0;
                }
                if hashing.running.is_some() {
                    let hashes = BoardEvent::Hashes(proved.ticket().hashes() as u64);
                    self.events.push_back(ChainEvent::Board(hashes));
                }
            }
        }
        hashing.alive_at = hashing.alive_at.max(now);
        if hashing.probation.as_mut().is_some_and(|probation| probation.has_passed(chip)) {
            hashing.probation = None;
        }
        self.hear(chip, matches!(verdict, Verdict::Good(_)));
        match verdict {
            Verdict::Good(proved) => self.report(&proved),
            Verdict::BelowTicket(proved) => {
                self.report(&proved);
                if now.saturating_duration_since(self.told.ticket_at) >= TICKET_AGAIN {
                    self.write(Register::TICKET_MASK, self.told.ticket.register_value(), now);
                    self.told.ticket_at = now;
                }
            }
            _ => {}
        }
    }

    fn report(&mut self, proved: &Proved) {
        if proved.meets_target() {
            let (job, nonce, version) = (proved.job(), proved.nonce(), proved.version());
            self.events.push_back(ChainEvent::Board(BoardEvent::Nonce { job, nonce, version }));
        }
    }

    fn write(&mut self, register: Register, value: u32, now: Instant) {
        self.line.send(&Frame::Write { to: Recipient::All, register, value }, now);
    }
}
