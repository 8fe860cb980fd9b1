//! A program that is started for each question, for example `ollama run MODEL`.

use std::time::Instant;

use super::{Program, Running, before, describe};
use crate::model::extract;
use crate::model::failure::Failure;
use crate::model::input::ModelInput;
use crate::model::output::{MAX_BYTES, ModelOutput};
use crate::model::prompt;
use crate::model::sandbox::Report;

/// Most that it may print. Unit: bytes.
const MAX_OUTPUT: usize = 64 * 1024;
/// CPU time of one answer. Unit: seconds.
const CPU_SECONDS: u64 = 60;

/// The program.
#[derive(Debug)]
pub struct OneShot {
    program: Program,
    preferences: String,
    report: Option<Report>,
}

impl OneShot {
    /// A program, and what the operator prefers.
    pub fn new(program: Program, preferences: String) -> Self {
        Self { program, preferences, report: None }
    }

    /// How much of its sandbox held the last time.
    pub fn report(&self) -> Option<&Report> {
        self.report.as_ref()
    }

    /// Starts it, asks, and reads what it prints. Dropping this kills it. Errors: why there is no answer.
    pub async fn ask(&mut self, question: &ModelInput, deadline: Instant) -> Result<ModelOutput, Failure> {
        let system = prompt::system(&self.preferences);
        let text = format!("{system}\nSchema: {}\nData: {}\n", prompt::wire_schema(), question.to_line());
        let report = &mut self.report;
        let program = &self.program;
        before(deadline, async move {
            let mut running = Running::start(program, Some(CPU_SECONDS), MAX_BYTES).await?;
            *report = Some(running.report.clone());
            // One that answers without reading it all is welcome to.
            running.write(&text).await.ok();
            running.stdin = None;
            let printed = running.rest(MAX_OUTPUT).await?;
            let status = running.child.wait().await.map_err(|error| Failure::Process(error.to_string()))?;
            if !status.success() {
                return Err(Failure::Process(format!("{}: {}", describe(status), running.complaint())));
            }
            extract::answer_in(&String::from_utf8_lossy(&printed), question)
        })
        .await
    }
}
