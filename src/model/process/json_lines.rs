//! A program that lives long: a question on a line, its answer on a line.

use std::time::Instant;

use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;

use super::restarts::Restarts;
use super::{Program, Running, STARTING, before, describe};
use crate::clock::now;
use crate::model::failure::Failure;
use crate::model::input::{MAX_BYTES, ModelInput};
use crate::model::output::{Binding, ModelOutput, clean};
use crate::model::sandbox::Report;
use crate::model::whole;

/// Questions without an answer in a row after which it is started anew.
const SILENCES: u32 = 3;
/// Answers to other questions that are skipped before the one to this.
const SKIPPED: u32 = 100;

/// Its first line.
#[derive(Debug, Deserialize)]
struct Hello {
    /// Version of the protocol.
    #[serde(rename = "hello", deserialize_with = "whole::number")]
    protocol: u32,
    #[serde(default)]
    name: String,
    #[serde(default)]
    version: String,
}

#[derive(Debug, Deserialize)]
struct Numbered {
    #[serde(deserialize_with = "whole::number")]
    id: u64,
}

/// The program, started when it is first asked.
#[derive(Debug)]
pub struct JsonLines {
    program: Program,
    running: Option<Running>,
    restarts: Restarts,
    next_id: u64,
    silences: u32,
    /// A line was begun and perhaps not ended.
    is_writing: bool,
    name: String,
    /// Why it was last ended.
    fault: String,
}

impl JsonLines {
    /// Not started yet.
    pub fn new(program: Program) -> Self {
        Self {
            program,
            running: None,
            restarts: Restarts::default(),
            next_id: 0,
            silences: 0,
            is_writing: false,
            name: String::new(),
            fault: String::new(),
        }
    }

    /// How much of its sandbox holds, once it runs.
    pub fn report(&self) -> Option<&Report> {
        self.running.as_ref().map(|running| &running.report)
    }

    /// What it calls itself.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Asks it. Dropping this gives the question up; its answer is skipped when it comes. Errors: why there is none.
    pub async fn ask(&mut self, question: &ModelInput, deadline: Instant) -> Result<ModelOutput, Failure> {
        let answer = before(deadline, self.converse(question)).await;
        match &answer {
            Ok(_) => {
                self.silences = 0;
                self.restarts.served();
            }
            Err(Failure::Late) => {
                self.silences += 1;
                if self.silences >= SILENCES {
                    self.kill(&format!("{SILENCES} questions without an answer in time"));
                }
            }
            Err(Failure::Process(reason) | Failure::NotStarted(reason)) => self.kill(reason),
            Err(_) => {}
        }
        answer
    }

    /// Waits until it ends by itself, and takes note of that, so that no dead process waits for the next question. Dropping
    /// this changes nothing. Never ready while it does not run.
    pub async fn ended(&mut self) -> String {
        let Some(running) = &mut self.running else { return std::future::pending().await };
        let status = running.child.wait().await;
        let why = status.map_or_else(|error| error.to_string(), describe);
        self.kill(&why);
        why
    }

    /// Ends it.
    pub async fn finish(&mut self) {
        if let Some(running) = self.running.take() {
            running.end().await;
        }
    }

    fn kill(&mut self, reason: &str) {
        self.silences = 0;
        if self.running.take().is_some() {
            reason.clone_into(&mut self.fault);
            self.restarts.failed(now());
        }
    }

    async fn converse(&mut self, question: &ModelInput) -> Result<ModelOutput, Failure> {
        if std::mem::take(&mut self.is_writing) {
            self.kill("it did not take a question in time");
        }
        if self.running.is_none() {
            self.start().await?;
        }
        let running = self.running.as_mut().expect("it was just started");
        self.next_id += 1;
        let mut request = question.to_value();
        request["id"] = Value::from(self.next_id);
        self.is_writing = true;
        running.write(&format!("{request}\n")).await?;
        self.is_writing = false;
        for _ in 0..=SKIPPED {
            let line = running.next_line().await?;
            let id = serde_json::from_str::<Numbered>(&line).map(|numbered| numbered.id);
            match id {
                Ok(id) if id == self.next_id => return ModelOutput::parse(&line, question, Binding::Stated),
                Ok(id) if id < self.next_id => {}
                _ => {
                    return Err(Failure::Process(format!(
                        "it says {:?}, no answer with its id",
                        clean(&line)
                    )));
                }
            }
        }
        Err(Failure::Process(format!("more than {SKIPPED} answers to other questions")))
    }

    async fn start(&mut self) -> Result<(), Failure> {
        self.restarts.start(now()).map_err(|wait| {
            let (fault, seconds) = (&self.fault, wait.as_secs_f64().ceil());
            Failure::Process(format!("it is started again in {seconds} s, after it failed: {fault}"))
        })?;
        // A failure here counts as one of the running program.
        self.restarts.failed(now());
        "it did not start in time".clone_into(&mut self.fault);
        let begun = self.begin().await;
        if let Err(Failure::Process(reason) | Failure::NotStarted(reason)) = &begun {
            self.fault.clone_from(reason);
        }
        self.running = Some(begun?);
        Ok(())
    }

    /// Starts it and hears its hello.
    async fn begin(&mut self) -> Result<Running, Failure> {
        let mut running = Running::start(&self.program, None, MAX_BYTES).await?;
        let line = timeout(STARTING, running.next_line()).await.unwrap_or_else(|_| {
            Err(Failure::Process(format!("it has not said hello for {} s", STARTING.as_secs())))
        })?;
        let hello: Hello = serde_json::from_str(&line)
            .map_err(|_| Failure::Process(format!("its first line is {:?}, no hello", clean(&line))))?;
        if hello.protocol != 1 {
            return Err(Failure::Process(format!("it speaks version {}, not 1", hello.protocol)));
        }
        self.name = clean(&format!("{} {}", hello.name, hello.version));
        Ok(running)
    }
}
