//! A model that is asked in virtual time: the real back end, waited for.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use signalcore::clock::now;
use signalcore::config::{self, Environment, Flags};
use signalcore::model::backend::{Backend, Choice};
use signalcore::replay::policy::Model;
use signalcore::wiring::model::ModelPlan;

use super::super::exit;

/// A model, and how it answered.
pub(in crate::cli) struct Asker {
    plan: ModelPlan,
    answers: Arc<Mutex<Answers>>,
}

/// How a model answered.
#[derive(Debug, Default, Clone)]
pub(in crate::cli) struct Answers {
    asked: u64,
    answered: u64,
    agreed: u64,
    took: Duration,
}

impl Asker {
    pub(in crate::cli) fn new(plan: ModelPlan) -> Self {
        Self { plan, answers: Arc::default() }
    }

    /// The model of the configuration. Errors: the exit code, with the reason told.
    pub(super) fn configured(file: Option<PathBuf>) -> Result<Self, u8> {
        let flags = Flags { config: file, ..Flags::default() };
        let loaded = config::load(&flags, &Environment::of_process()).map_err(|error| {
            eprintln!("{error}");
            if error.is_usage() { exit::USAGE } else { exit::CONFIG }
        })?;
        match ModelPlan::new(&loaded.config) {
            Ok(Some(plan)) => Ok(Self::new(plan)),
            Ok(None) => {
                eprintln!(
                    "signalcore: math+model: expected a model; name one in the table [model] of the file, or with"
                );
                eprintln!("SIGNALCORE_MODEL_BACKEND and SIGNALCORE_MODEL_COMMAND, SIGNALCORE_MODEL_URL");
                Err(exit::USAGE)
            }
            Err(error) => {
                eprintln!("signalcore: {error}");
                Err(exit::CONFIG)
            }
        }
    }

    /// Whether it is what is learnt of bad spells, which decides within the rule and is asked nothing.
    fn is_learned(&self) -> bool {
        self.plan.choice == Choice::Learned
    }

    /// The model for one world. A back end that cannot be reached never answers.
    pub(super) fn model(&self) -> Model {
        if self.is_learned() {
            return Model::Learned;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok();
        let mut backend = Backend::new(self.plan.choice.clone()).ok();
        let (deadline, answers) = (self.plan.deadline, Arc::clone(&self.answers));
        Model::Asked(Box::new(move |question| {
            let (runtime, backend) = (runtime.as_ref()?, backend.as_mut()?);
            let reply = runtime.block_on(async { backend.ask(question, now() + deadline).await });
            let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
            answers.asked += 1;
            answers.took += reply.took;
            let answer = reply.answer.ok()?;
            answers.answered += 1;
            answers.agreed += u64::from(answer.agrees_with(question));
            Some(answer)
        }))
    }

    /// How it answered, in a sentence.
    pub(in crate::cli) fn told(&self) -> String {
        let Answers { asked, answered, agreed, took } =
            self.answers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if self.is_learned() {
            return "the model is asked nothing: it puts the probes of upstreams in bad spells".to_owned();
        }
        if asked == 0 {
            return "the model was never asked".to_owned();
        }
        let percent = |part: u64, of: u64| 100.0 * part as f64 / of.max(1) as f64;
        format!(
            "the model answered {answered} of {asked} questions ({:.1} % not or wrongly), in {:.2} ms each, and agreed in \
             {:.1} % of them with mathematics",
            percent(asked - answered, asked),
            took.as_secs_f64() * 1e3 / asked as f64,
            percent(agreed, answered),
        )
    }

    /// Whether it was asked in vain, each time.
    pub(in crate::cli) fn is_mute(&self) -> bool {
        !self.is_learned() && self.answers.lock().unwrap_or_else(PoisonError::into_inner).answered == 0
    }
}
