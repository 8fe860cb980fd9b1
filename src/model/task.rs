//! The shell around an advisor and its back end: a thread of its own, for which nobody waits.

use std::time::Duration;
use std::{io, thread};

use tokio::sync::{mpsc, oneshot, watch};

use super::advisor::{Advised, Advisor, Demotion, Mode, Question};
use super::backend::{Backend, Health};
use super::breaker::State;
use super::failure::Failure;
use super::health::CHOSE_WORSE;
use super::sandbox::Report;
use super::statistics::Figures;
use crate::clock::{now, sleep_until};
use crate::priority::give_way;

/// Pieces of advice that may wait to be taken; a full queue loses the newest, which is no loss.
const WAITING: usize = 4;
/// How often a model is tried.
const TRY_EVERY: Duration = Duration::from_secs(300);

/// A model at work. Dropping it ends the model.
#[derive(Debug)]
pub struct ModelHandle {
    /// The newest question; one that has not been asked is replaced.
    pub questions: watch::Sender<Option<Question>>,
    /// How many hard events there have been: each voids what was asked before.
    pub moment: watch::Sender<u64>,
    /// What it says.
    pub advice: mpsc::Receiver<Advised>,
    /// How it does.
    pub condition: watch::Receiver<Condition>,
}

/// How a model does.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Condition {
    /// What it has done; `None` before it has been asked.
    pub figures: Option<Figures>,
    /// How the last trial went: how long it took, or why it failed; `None` before the first.
    pub health: Option<Result<Duration, String>>,
    /// What the last trial lets fear of its advice, though it answers.
    pub warning: Option<&'static str>,
    /// How much of its sandbox holds, where it has one.
    pub sandbox: Option<Report>,
    /// What it may do.
    pub mode: Mode,
    /// Why it may no more than a shadow, if it could.
    pub demoted: Option<Demotion>,
}

/// Becomes ready, or fails, once a model has ended.
pub type ModelEnd = oneshot::Receiver<()>;

/// Starts a model on a thread that gives way to all others: what a program says to it, however much, is read when the boards
/// have their work. Errors: the system has no thread, or nothing to wait for input and output with.
pub fn start(advisor: Advisor, backend: Backend) -> io::Result<(ModelHandle, ModelEnd)> {
    let (questions, question) = watch::channel(None);
    let (moment, moments) = watch::channel(0);
    let (advise, advice) = mpsc::channel(WAITING);
    let (conditions, condition) = watch::channel(Condition { mode: advisor.mode(), ..Condition::default() });
    let (ended, end) = oneshot::channel();
    let task = Task { advisor, backend, question, moments, advise, conditions };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name("model".to_owned()).spawn(move || {
        if let Err(error) = give_way() {
            tracing::debug!("the model's thread keeps its priority: {error}");
        }
        runtime.block_on(task.run());
        // A name that is still being resolved must not hold up the end.
        runtime.shutdown_background();
        ended.send(()).ok();
    })?;
    Ok((ModelHandle { questions, moment, advice, condition }, end))
}

struct Task {
    advisor: Advisor,
    backend: Backend,
    question: watch::Receiver<Option<Question>>,
    moments: watch::Receiver<u64>,
    advise: mpsc::Sender<Advised>,
    conditions: watch::Sender<Condition>,
}

impl Task {
    async fn run(mut self) {
        if self.advisor.mode() == Mode::Off {
            return;
        }
        let mut try_at = now();
        loop {
            if now() >= try_at {
                try_at = now() + TRY_EVERY;
                self.try_it().await.ok(); // what came of it is told; the breaker goes by real questions
            }
            if self.ask().await.is_err() {
                break;
            }
            self.tell();
            tokio::select! {
                biased;
                changed = self.moments.changed() => match changed {
                    Ok(()) => drop(self.advisor.hard_event(now())),
                    Err(_) => break,
                },
                changed = self.question.changed() => match changed {
                    Ok(()) => self.take_question(),
                    Err(_) => break,
                },
                how = self.backend.ended() => tracing::debug!("the model's program has ended, {how}"),
                () = sleep_until(Some(try_at)) => {}
            }
        }
        self.backend.finish().await;
    }

    fn take_question(&mut self) {
        let question = self.question.borrow_and_update().clone();
        if let Some(question) = question
            && let Some(advised) = self.advisor.ask(question, now())
        {
            self.advise.try_send(advised).ok();
        }
    }

    /// Asks what waits to be asked. A hard event meanwhile gives it up. A model whose breaker was open is tried before, so
    /// that it is not asked in earnest while it fails at a question whose answer is plain. Errors: nobody wants to know any
    /// more.
    async fn ask(&mut self) -> Result<(), watch::error::RecvError> {
        while let Some((id, input)) = self.advisor.poll_question(now()) {
            let input = input.clone();
            let start = now();
            if self.advisor.figures().breaker == State::Probing.name()
                && let Err(failure) = self.try_it().await
            {
                self.advisor.handle_answer(id, Err(failure), now().duration_since(start), 0, now());
                self.tell();
                continue;
            }
            let deadline = start + self.advisor.deadline();
            let asked = self.backend.ask(&input, deadline);
            let reply = tokio::select! {
                biased;
                changed = self.moments.changed() => Err(changed),
                reply = asked => Ok(reply),
            };
            match reply {
                Ok(reply) => {
                    let advised =
                        self.advisor.handle_answer(id, reply.answer, reply.took, reply.retries, now());
                    if let Some(advised) = advised {
                        self.advise.try_send(advised).ok();
                    }
                }
                Err(changed) => {
                    self.advisor.hard_event(now());
                    changed?;
                }
            }
            if self.question.has_changed()? {
                self.take_question();
            }
            self.tell();
        }
        Ok(())
    }

    /// Asks it a question whose answer is plain, and tells how it did. Errors: why there was no answer.
    async fn try_it(&mut self) -> Result<(), Failure> {
        let limit = self.advisor.deadline().max(Duration::from_secs(5));
        let Health { reply, chose_worse } = tokio::select! {
            biased;
            health = self.backend.health(limit) => health,
            // Hard events do not matter to a trial, the end does.
            () = closed(&self.advise) => return Err(Failure::Cancelled),
        };
        let passed = reply.answer.map(drop);
        let health = passed.clone().map(|()| reply.took).map_err(|failure| failure.to_string());
        let warning = chose_worse.then_some(CHOSE_WORSE);
        let (before, warned) = {
            let condition = self.conditions.borrow();
            (condition.health.clone(), condition.warning)
        };
        match (&health, &before) {
            (Ok(took), None | Some(Err(_))) => {
                let mode = match self.advisor.mode() {
                    Mode::Advise => "may advise",
                    Mode::Shadow | Mode::Off => "is a shadow, asked and not followed",
                };
                tracing::info!("the model answers, in {:.0} ms; it {mode}", took.as_secs_f64() * 1e3);
            }
            (Err(reason), None | Some(Ok(_))) => {
                tracing::warn!("the model is of no use: {reason}; mathematics decides");
            }
            _ => {}
        }
        if let (Some(warning), None) = (warning, warned) {
            tracing::warn!("the model {warning}");
        }
        let sandbox = self.backend.sandbox().cloned();
        if let Some(report) = sandbox.as_ref().filter(|report| !report.missing.is_empty() && before.is_none())
        {
            tracing::warn!(
                "the model's sandbox is {}: without {}",
                report.sandbox.name(),
                report.missing.join(", ")
            );
        }
        self.conditions.send_modify(|condition| {
            (condition.health, condition.warning, condition.sandbox) = (Some(health), warning, sandbox);
        });
        passed
    }

    fn tell(&self) {
        let demoted = self.advisor.demoted();
        if let (Some(reason), None) = (demoted, self.conditions.borrow().demoted) {
            tracing::warn!("the model is a shadow from now on, asked and not followed: {reason}");
        }
        let (figures, mode) = (self.advisor.figures(), self.advisor.mode());
        self.conditions.send_modify(|condition| {
            (condition.figures, condition.mode, condition.demoted) = (Some(figures), mode, demoted);
        });
    }
}

async fn closed(advise: &mpsc::Sender<Advised>) {
    advise.closed().await;
}

#[cfg(test)]
mod tests;
