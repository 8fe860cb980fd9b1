//! A chain with its chips at work: jobs down, nonces up, and an eye on whether it still hashes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::super::answer::RawNonce;
use super::super::bring_up::{Action, ramp, sweep_length};
use super::super::chip::JobForm;
use super::super::frame::{Frame, Recipient};
use super::super::job::SentJob;
use super::super::nonce::{Proved, Verdict, judge};
use super::super::register::{Register, version_rolling};
use super::super::sweep;
use super::{Chain, ChainEvent, ChainFault, State};
use crate::{BoardEvent, ChipJobId};

/// Nonces that the chips owe when their silence counts as a failure: by chance they owe so many once in a billion waits.
/// With a million a well chain of eight nonces a second would fail every other day.
const NONCES_OWED: f64 = 20.7;
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
    /// What is left of a change of frequency.
    ramp: VecDeque<Action>,
    ramp_at: Instant,
    running: Option<Running>,
    /// When there was a sign of life, or the first work.
    alive_at: Instant,
    /// When they are put to rest, unless there is work.
    idle_at: Instant,
}

/// The job that the chips have.
#[derive(Debug)]
struct Running {
    job: ChipJobId,
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
    pub(super) fn begin_hashing(&mut self, now: Instant) {
        self.state = State::Hashing(Hashing {
            since: now,
            ramp: VecDeque::new(),
            ramp_at: now,
            running: None,
            alive_at: now,
            idle_at: now + IDLE,
        });
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
        hashing.ramp = steps.expect("what lies between two possible frequencies is possible").into();
        hashing.ramp.extend(sweep_length(chip, self.board.addresses.len(), to));
        hashing.ramp_at = hashing.ramp_at.max(now); // a step under way gets its time
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
        let ramp = (!hashing.ramp.is_empty()).then_some(hashing.ramp_at);
        let ending = hashing.running.as_ref().and_then(|running| running.ending_at);
        let last = match (&hashing.running, &self.work.job) {
            (None, None) => hashing.idle_at,
            _ if self.has_new_job(hashing) => self.line.free_at(),
            _ => hashing.alive_at + self.patience(),
        };
        ramp.into_iter().chain(ending).fold(last, Instant::min)
    }

    /// Does what is due.
    pub(super) fn hash(&mut self, now: Instant) {
        self.ramp_on(now);
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

    fn ramp_on(&mut self, now: Instant) {
        loop {
            let State::Hashing(hashing) = &mut self.state else { return };
            if hashing.ramp_at > now {
                return;
            }
            match hashing.ramp.pop_front() {
                Some(Action::Send(frame, wait)) => {
                    self.line.send(&frame, now);
                    hashing.ramp_at = self.line.free_at() + wait;
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
        let frame = Frame::Job(self.ring.push(sent));
        let before = self.line.free_at().max(now);
        self.line.send(&frame, now);
        let begun_at = self.line.free_at();
        let line_time = begun_at.saturating_duration_since(before);
        self.events.push_back(ChainEvent::Board(BoardEvent::Started { job: id, at: begun_at }));
        self.meter.start(now);
        let State::Hashing(hashing) = &mut self.state else { return };
        if hashing.running.is_none() {
            hashing.alive_at = now;
        }
        // After a reset the chips find again what they found of this job before: it is used up as good as at once.
        let is_again = self.work.begun.replace(id) == Some(id);
        hashing.running = Some(Running { job: id, begun_at, versions, line_time, ending_at: Some(begun_at) });
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
