//! All back ends behind one call.

use std::time::{Duration, Instant};

use super::attempts::{Attempts, Variation};
use super::dialect::Dialect;
use super::failure::Failure;
use super::http::{BaseError, Http, Server};
use super::input::ModelInput;
use super::output::{ModelOutput, Word};
use super::process::Program;
use super::process::json_lines::JsonLines;
use super::process::one_shot::OneShot;
use super::sandbox::Report;
use super::{health, prompt};
use crate::clock::{now, sleep_until};

/// What answers.
#[derive(Debug)]
pub enum Backend {
    /// Mathematics: it always agrees with itself.
    Builtin,
    /// A program that lives long.
    Process(Box<JsonLines>),
    /// A program that is started for each question.
    OneShot(Box<OneShot>),
    /// A server.
    Http(Box<Http>),
}

/// What the operator names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Mathematics.
    Builtin,
    /// Mathematics that learns of bad spells, which moves its probes and answers no question otherwise.
    Learned,
    /// A program that lives long.
    Process(Program),
    /// A program that is started for each question, with the operator's preferences.
    OneShot(Program, String),
    /// A server.
    Http(Server),
}

impl Choice {
    /// Names what answers, for answers that are kept.
    pub fn who(&self) -> String {
        match self {
            Self::Builtin | Self::Learned => self.name().to_owned(),
            Self::Process(program) => format!("process {:?}", program.argv),
            Self::OneShot(program, preferences) => {
                format!("oneshot {:?} {}", program.argv, prompt::version(preferences))
            }
            Self::Http(Server { base, terms, .. }) => {
                format!("{} {base} {} {}", self.name(), terms.model, prompt::version(&terms.preferences))
            }
        }
    }

    /// What it is, for people: the program with its arguments, or which model of which server.
    pub fn place(&self) -> String {
        match self {
            Self::Builtin | Self::Learned => "mathematics itself".to_owned(),
            Self::Process(program) | Self::OneShot(program, _) => program.argv.join(" "),
            Self::Http(Server { base, terms, .. }) if terms.model.is_empty() => base.clone(),
            Self::Http(Server { base, terms, .. }) => format!("{} of {base}", terms.model),
        }
    }

    /// The kind.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Builtin => "builtin",
            Self::Learned => "learned",
            Self::Process(_) => "process",
            Self::OneShot(..) => "oneshot",
            Self::Http(server) => match server.terms.dialect {
                Dialect::Ollama => "ollama",
                Dialect::OpenAi => "openai",
                Dialect::Decision => "decision",
            },
        }
    }

    /// How long an answer may take unless the operator says otherwise.
    pub fn deadline(&self) -> Duration {
        match self {
            Self::Builtin | Self::Learned => Duration::from_millis(5),
            Self::Process(_) => Duration::from_secs(2),
            Self::OneShot(..) => Duration::from_secs(30),
            Self::Http(server) if server.terms.dialect == Dialect::Decision => Duration::from_secs(2),
            Self::Http(_) => Duration::from_secs(10),
        }
    }
}

/// An answer with what it took.
#[derive(Debug)]
pub struct Reply {
    /// The answer, or why there is none.
    pub answer: Result<ModelOutput, Failure>,
    /// From asking to that.
    pub took: Duration,
    /// Attempts beyond the first.
    pub retries: u32,
}

/// How a model is.
#[derive(Debug)]
pub struct Health {
    /// The reply to a question whose answer is plain.
    pub reply: Reply,
    /// It chose the worse candidate: it is there, and of little use.
    pub chose_worse: bool,
}

impl Backend {
    /// Nothing is started or connected yet. Errors: a server's address cannot be used.
    pub fn new(choice: Choice) -> Result<Self, BaseError> {
        Ok(match choice {
            Choice::Builtin | Choice::Learned => Self::Builtin,
            Choice::Process(program) => Self::Process(Box::new(JsonLines::new(program))),
            Choice::OneShot(program, preferences) => {
                Self::OneShot(Box::new(OneShot::new(program, preferences)))
            }
            Choice::Http(server) => Self::Http(Box::new(Http::new(server)?)),
        })
    }

    /// Asks until there is an answer, it makes no sense to ask again, or `deadline` has come. Dropping this gives up.
    pub async fn ask(&mut self, question: &ModelInput, deadline: Instant) -> Reply {
        let start = now();
        let mut attempts = Attempts::new(deadline);
        let mut retries = 0;
        let answer = loop {
            match self.ask_once(question, attempts.variation(), deadline).await {
                Ok(answer) => break Ok(answer),
                Err(failure) => match attempts.failed(&failure, now()) {
                    Some(next) => {
                        sleep_until(Some(next)).await;
                        retries += 1;
                    }
                    None => break Err(failure),
                },
            }
        };
        Reply { answer, took: now().duration_since(start), retries }
    }

    /// Tries it on a plain question; a server is first asked whether it is there.
    pub async fn health(&mut self, limit: Duration) -> Health {
        let start = now();
        let deadline = start + limit;
        if let Self::Http(http) = self
            && let Err(failure) = http.is_there(deadline).await
        {
            let took = now().duration_since(start);
            return Health { reply: Reply { answer: Err(failure), took, retries: 0 }, chose_worse: false };
        }
        let question = health::question(limit.as_millis() as u64);
        let reply = self.ask(&question, deadline).await;
        let chose_worse = reply.answer.as_ref().is_ok_and(|answer| match answer.word {
            Word::Hold => true,
            Word::Switch => answer.target != Some(health::BETTER),
            Word::Proceed | Word::Retry => false,
        });
        Health { reply, chose_worse }
    }

    /// How much of its sandbox holds, where it has one and has been started.
    pub fn sandbox(&self) -> Option<&Report> {
        match self {
            Self::Process(process) => process.report(),
            Self::OneShot(process) => process.report(),
            Self::Builtin | Self::Http(_) => None,
        }
    }

    /// Waits until a program ends that should live long, and says how it ended. Never ready for others.
    pub async fn ended(&mut self) -> String {
        match self {
            Self::Process(process) => process.ended().await,
            Self::Builtin | Self::OneShot(_) | Self::Http(_) => std::future::pending().await,
        }
    }

    /// Ends what runs.
    pub async fn finish(&mut self) {
        if let Self::Process(process) = self {
            process.finish().await;
        }
    }

    async fn ask_once(
        &mut self,
        question: &ModelInput,
        variation: Variation,
        deadline: Instant,
    ) -> Result<ModelOutput, Failure> {
        let put = variation.of(question);
        let mut answer = match self {
            Self::Builtin => builtin(),
            Self::Process(process) => process.ask(&put, deadline).await?,
            Self::OneShot(process) => process.ask(&put, deadline).await?,
            Self::Http(http) => http.ask(&put, variation, deadline).await?,
        };
        // Candidates keep their names when some are left out, not their places.
        answer.target = answer.target.and_then(|place| question.place(&put.candidates.get(place)?.id));
        Ok(answer)
    }
}

/// What mathematics says of itself.
fn builtin() -> ModelOutput {
    ModelOutput {
        word: Word::Proceed,
        target: None,
        confidence: 1.0,
        valid_for: Duration::from_secs(60),
        retry_after: Duration::from_secs(30),
        reason: "the baseline".to_owned(),
    }
}
