//! From the configuration of a model to a model.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;

use super::PlanError;
use crate::config::{self, Config};
use crate::engine::advice::AskTerms;
use crate::model::advisor::{Advisor, Mode};
use crate::model::backend::{Backend, Choice};
use crate::model::dialect::{Dialect, Terms};
use crate::model::envelope::Envelope;
use crate::model::http::{Server, check_base};
use crate::model::process::Program;
use crate::model::task::{self, ModelEnd, ModelHandle};

/// A model that is configured.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelPlan {
    /// What answers.
    pub choice: Choice,
    /// What it may do.
    pub mode: Mode,
    /// How long an answer may take.
    pub deadline: Duration,
    /// How far it may go.
    pub envelope: Envelope,
    /// How often it is asked when nothing happens.
    pub ask_every: Duration,
    /// Where what is learnt is kept, if not in the usual place.
    pub state_file: Option<PathBuf>,
}

impl ModelPlan {
    /// `None` when it is off. Errors: `Model`.
    pub fn new(config: &Config) -> Result<Option<Self>, PlanError> {
        let model = &config.model;
        let Some(choice) = choice(model).map_err(PlanError::Model)? else { return Ok(None) };
        let mode = if model.mode == "advise" { Mode::Advise } else { Mode::Shadow };
        let deadline = model.deadline.map_or(choice.deadline(), Duration::from_secs_f64);
        let envelope = Envelope { epsilon: model.epsilon, min_confidence: model.min_confidence };
        Ok(Some(Self {
            choice,
            mode,
            deadline,
            envelope,
            ask_every: model.ask_every,
            state_file: config.state.file.clone(),
        }))
    }
}

impl ModelPlan {
    /// Whether probes are put by what is learnt of bad spells. A shadow puts none: that is not advice to be listened to, it
    /// is applied as soon as it is planned.
    pub(super) fn learns_spells(&self) -> bool {
        self.choice == Choice::Learned && self.mode == Mode::Advise
    }

    /// What an operator may not expect of it, said once at the start.
    pub(super) fn remark(&self) -> Option<&'static str> {
        let is_idle = self.choice == Choice::Learned && self.mode == Mode::Shadow;
        is_idle.then_some(
            "what is learnt of bad spells is a shadow and moves no probe; signalcore model promote --backend learned shows \
             whether it has earned that, and lets it from the next start on",
        )
    }

    /// Starts it. Errors: its server's address cannot be used, or there is no thread for it.
    pub(super) fn start(&self) -> anyhow::Result<(ModelHandle, ModelEnd)> {
        let backend = Backend::new(self.choice.clone()).context("reach the model")?;
        let advisor = Advisor::new(self.mode, self.choice.who(), self.deadline);
        task::start(advisor, backend).context("start the model's thread")
    }

    /// How the engine asks it.
    pub(super) fn ask_terms(&self) -> AskTerms {
        AskTerms { every: self.ask_every, deadline: self.deadline }
    }
}

fn choice(model: &config::Model) -> Result<Option<Choice>, String> {
    let dialect = match model.backend.as_str() {
        "builtin" => return Ok(Some(Choice::Builtin)),
        "learned" => return Ok(Some(Choice::Learned)),
        "process" => return Ok(Some(Choice::Process(program(model)?))),
        "oneshot" => return Ok(Some(Choice::OneShot(program(model)?, model.preferences.clone()))),
        "ollama" => Dialect::Ollama,
        "openai" => Dialect::OpenAi,
        "decision" => Dialect::Decision,
        _ => return Ok(None),
    };
    let default = (dialect == Dialect::Ollama).then_some("http://127.0.0.1:11434");
    let base = model.url.as_deref().or(default);
    let base = base.ok_or_else(|| format!("model.url is missing; name where {} answers", model.backend))?;
    if model.name.is_empty() && dialect == Dialect::Ollama {
        return Err("model.name is missing; name the model, for example \"qwen3:4b\"".to_owned());
    }
    let key = match &model.key_file {
        Some(path) => Some(config::read_key(path)?),
        None => None,
    };
    check_base(base, key.is_some(), model.allow_remote).map_err(|error| format!("model.url: {error}"))?;
    Ok(Some(Choice::Http(Server {
        base: base.to_owned(),
        terms: Terms { dialect, model: model.name.clone(), preferences: model.preferences.clone() },
        key: key.map(|key| key.expose().to_owned()),
        allow_remote: model.allow_remote,
    })))
}

fn program(model: &config::Model) -> Result<Program, String> {
    if model.command.is_empty() {
        return Err("model.command is missing; name the program and its arguments".to_owned());
    }
    let port = |text: &String| {
        let port = text.parse().ok().filter(|port| *port > 0);
        port.ok_or_else(|| format!("model.allow_ports: {text:?} is no port; write numbers from 1 to 65535"))
    };
    Ok(Program {
        argv: model.command.clone(),
        helper: Program::own_helper().map_err(|error| format!("this program cannot find itself: {error}"))?,
        readable: model.paths.iter().map(Into::into).collect(),
        memory: u64::from(model.max_memory) << 20,
        processes: model.max_processes.into(),
        network: model.network,
        allow_ports: model.allow_ports.iter().map(port).collect::<Result<_, _>>()?,
        require: model.require_sandbox,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(backend: &str, mode: &str) -> ModelPlan {
        let mut config = Config::default();
        (config.model.backend, config.model.mode) = (backend.to_owned(), mode.to_owned());
        ModelPlan::new(&config).unwrap().unwrap()
    }

    #[test]
    fn what_is_learnt_of_bad_spells_puts_probes_only_when_it_may_advise() {
        for (backend, mode, learns, is_told) in [
            ("learned", "shadow", false, true),
            ("learned", "advise", true, false),
            ("builtin", "shadow", false, false),
            ("builtin", "advise", false, false),
        ] {
            let plan = plan(backend, mode);
            assert_eq!(
                (plan.learns_spells(), plan.remark().is_some()),
                (learns, is_told),
                "{backend}, {mode}"
            );
        }
    }
}
