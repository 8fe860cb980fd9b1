//! `signalcore model`: ask a model, see whether it is well, and measure it.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Value, json};
use signalcore::clock::now;
use signalcore::config::{self, Environment, Flags, ModelFlags};
use signalcore::model::backend::{Backend, Health, Reply};
use signalcore::model::envelope::{Envelope, Verdict};
use signalcore::model::health;
use signalcore::model::input::ModelInput;
use signalcore::model::output::ModelOutput;
use signalcore::model::sandbox::Report;
use signalcore::wiring::model::ModelPlan;
use signalcore::wiring::promotion;

use super::replay::{self, Asker};
use super::{block_on, exit, print};

mod bench;
mod show;

const EXAMPLES: &str = "\
Examples:
  signalcore model health --backend ollama --name qwen3:4b
  signalcore model ask --backend process --command python3 --command $PWD/config/advisor.py
  signalcore model bench --count 200
  signalcore model promote --days 1 --seeds 2
  signalcore model ask --input question.json --json | jq .verdict

Without --backend it is the model of the configuration.

Exit codes: 0 it answers, 1 it does not, or wrongly; 2 command line or a question that is none; 78 configuration.";

/// Largest file of questions. Unit: bytes.
const MAX_FILE: u64 = 64 << 20;

/// Ask a model, see whether it is well, measure it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Ask one question: show it, the answer, and what that is good for.
    #[command(after_help = EXAMPLES)]
    Ask {
        #[command(flatten)]
        which: Which,
        /// The question as JSON, - for the standard input; one whose answer is plain unless given.
        #[arg(long, value_name = "FILE|-")]
        input: Option<PathBuf>,
    },
    /// See whether it is there and answers a question whose answer is plain.
    #[command(after_help = EXAMPLES)]
    Health {
        #[command(flatten)]
        which: Which,
    },
    /// Let it amend from now on, if it has earned that in replays: where it changes anything it gains 0.0003 of the efficiency
    /// over mathematics in the mean, by two standard errors, and loses no more in any scenario.
    #[command(after_help = EXAMPLES)]
    Promote {
        #[command(flatten)]
        which: Which,
        /// A recorded log to replay instead of all scenarios.
        #[arg(long, value_name = "FILE")]
        log: Option<PathBuf>,
        /// Worlds of each scenario.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
        seeds: Option<u64>,
        /// Days of each world.
        #[arg(long, value_name = "D", value_parser = days)]
        days: Option<f64>,
        /// Let it, whatever it has earned.
        #[arg(long)]
        force: bool,
    },
    /// Measure how fast it answers, and how often it agrees with mathematics.
    #[command(after_help = EXAMPLES)]
    Bench {
        #[command(flatten)]
        which: Which,
        /// Questions as JSON, one a line, - for the standard input; made up unless given.
        #[arg(long, value_name = "FILE|-")]
        inputs: Option<PathBuf>,
        /// How many questions to ask.
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        count: u32,
    },
}

/// Which model, and how it is shown.
#[derive(Debug, clap::Args)]
struct Which {
    /// Kind of model: builtin, learned, process, oneshot, ollama, openai or decision.
    #[arg(long, value_name = "KIND")]
    backend: Option<String>,
    /// Program of process and oneshot; repeat for its arguments.
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    command: Vec<String>,
    /// Base of a server, such as http://127.0.0.1:11434.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The server's name for the model.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Seconds an answer may take.
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    deadline: Option<String>,
    /// The configuration to read instead of searching one.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs `signalcore model`; gives the exit code.
pub(crate) fn run(args: Args) -> anyhow::Result<u8> {
    match args.action {
        Action::Ask { which, input } => {
            let question = match input.map_or_else(|| Ok(health::question(2000)), |file| question(&file)) {
                Ok(question) => question,
                Err(error) => return Ok(wrong_question(&error)),
            };
            with_model(which, |plan, json| block_on(ask(plan, question, json))?)
        }
        Action::Health { which } => with_model(which, |plan, json| block_on(see(plan, json))?),
        Action::Promote { which, log, seeds, days, force } => {
            with_model(which, |plan, _| promote(plan, log.as_deref(), seeds, days, force))
        }
        Action::Bench { which, inputs, count } => {
            let questions =
                match inputs.map_or_else(|| Ok(bench::made_up(count)), |file| questions(&file, count)) {
                    Ok(questions) => questions,
                    Err(error) => return Ok(wrong_question(&error)),
                };
            with_model(which, |plan, json| block_on(bench::run(plan, questions, json))?)
        }
    }
}

fn wrong_question(error: &anyhow::Error) -> u8 {
    eprintln!("signalcore: {error:#}");
    exit::USAGE
}

/// Finds the model that is meant, and does something with it.
fn with_model(which: Which, act: impl FnOnce(ModelPlan, bool) -> anyhow::Result<u8>) -> anyhow::Result<u8> {
    let Which { backend, command, url, name, deadline, config, json } = which;
    let model = ModelFlags { backend, command, url, name, deadline };
    let flags = Flags { config, model, ..Flags::default() };
    let loaded = match config::load(&flags, &Environment::of_process()) {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("{error}");
            return Ok(if error.is_usage() { exit::USAGE } else { exit::CONFIG });
        }
    };
    match ModelPlan::new(&loaded.config) {
        Ok(Some(plan)) => act(plan, json),
        Ok(None) => {
            eprintln!(
                "signalcore: no model is configured; name one with --backend, or in the table [model] of the file"
            );
            Ok(exit::USAGE)
        }
        Err(error) => {
            eprintln!("signalcore: {error}");
            Ok(exit::CONFIG)
        }
    }
}

fn days(text: &str) -> Result<f64, String> {
    let days = text.parse().ok().filter(|days| (0.01..=366.0).contains(days));
    days.ok_or("expected a number from 0.01 to 366".to_owned())
}

/// Replays with the model, shows what it earned, and writes down that it may amend.
fn promote(
    plan: ModelPlan,
    log: Option<&Path>,
    seeds: Option<u64>,
    days: Option<f64>,
    force: bool,
) -> anyhow::Result<u8> {
    let place = config::promotion_file(&Environment::of_process(), plan.state_file.as_deref())
        .context("find the folder for state")?;
    let choice = plan.choice.clone();
    let asker = Asker::new(plan);
    let (table, verdict) = replay::gate(log, seeds, days, &asker)?;
    print(&format!("{table}{}\n{}\n", verdict.told(), asker.told()))?;
    let mut lacks = verdict.lacks;
    if asker.is_mute() {
        lacks.push("it never answered".to_owned());
    }
    for reason in &lacks {
        print(&format!("not enough: {reason}\n"))?;
    }
    if !lacks.is_empty() && !force {
        print("it stays a shadow; --force lets it amend all the same\n")?;
        return Ok(exit::FAILURE);
    }
    promotion::write(&place, &choice).with_context(|| format!("write {}", place.display()))?;
    print(&format!(
        "it may amend from the next start on, with the strategy value and as long as its program is the same; delete {} to \
         undo that\n",
        place.display()
    ))?;
    Ok(exit::DONE)
}

fn open(plan: &ModelPlan) -> anyhow::Result<Backend> {
    Backend::new(plan.choice.clone()).context("reach the model")
}

async fn ask(plan: ModelPlan, question: ModelInput, json: bool) -> anyhow::Result<u8> {
    let mut backend = open(&plan)?;
    let reply = backend.ask(&question, now() + plan.deadline).await;
    let verdict = reply.answer.as_ref().ok().map(|answer| plan.envelope.judge(answer, &question));
    let sandbox = backend.sandbox().cloned();
    backend.finish().await;
    let text = if json {
        let answer = as_json(&reply, &question, verdict.as_ref(), sandbox.as_ref());
        format!("{answer}\n")
    } else {
        show::asked(&plan.choice, &question, &reply, verdict.as_ref(), sandbox.as_ref())
    };
    print(&text)?;
    Ok(code(&reply))
}

async fn see(plan: ModelPlan, json: bool) -> anyhow::Result<u8> {
    let mut backend = open(&plan)?;
    let health = backend.health(plan.deadline).await;
    let sandbox = backend.sandbox().cloned();
    backend.finish().await;
    let Health { reply, chose_worse } = &health;
    let text = if json {
        let answer = json!({
            "backend": plan.choice.name(),
            "answers": reply.answer.is_ok(),
            "took_ms": reply.took.as_secs_f64() * 1e3,
            "error": reply.answer.as_ref().err().map(ToString::to_string),
            "chose_worse": chose_worse,
            "sandbox": sandbox,
        });
        format!("{answer}\n")
    } else {
        show::health(&plan.choice, &health, sandbox.as_ref())
    };
    print(&text)?;
    Ok(code(reply))
}

fn code(reply: &Reply) -> u8 {
    if reply.answer.is_ok() { exit::DONE } else { exit::FAILURE }
}

fn as_json(
    reply: &Reply,
    question: &ModelInput,
    verdict: Option<&Verdict>,
    sandbox: Option<&Report>,
) -> Value {
    let verdict = verdict.map(|verdict| match verdict {
        Verdict::Same => json!({"result": "same"}),
        Verdict::Amends => json!({"result": "amends"}),
        Verdict::Refused { rule, reason } => json!({"result": "refused", "rule": rule, "reason": reason}),
    });
    json!({
        "input": question.to_value(),
        "output": reply.answer.as_ref().ok().map(|answer| answer.to_json(question)),
        "error": reply.answer.as_ref().err().map(ToString::to_string),
        "took_ms": reply.took.as_secs_f64() * 1e3,
        "retries": reply.retries,
        "verdict": verdict,
        "sandbox": sandbox,
    })
}

/// One question of a file. Errors: it cannot be read, or is none.
fn question(file: &Path) -> anyhow::Result<ModelInput> {
    let text = read(file)?;
    parse(&text).with_context(|| format!("the question in {}", file.display()))
}

fn questions(file: &Path, count: u32) -> anyhow::Result<Vec<ModelInput>> {
    let text = read(file)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let parsed = |(number, line): (usize, &str)| {
        parse(line).with_context(|| format!("{}, line {}", file.display(), number + 1))
    };
    let recorded = lines.map(parsed).collect::<anyhow::Result<Vec<_>>>()?;
    anyhow::ensure!(!recorded.is_empty(), "{} holds no question", file.display());
    Ok(recorded.into_iter().cycle().take(count as usize).collect())
}

fn parse(text: &str) -> anyhow::Result<ModelInput> {
    let question: ModelInput = serde_json::from_str(text)?;
    question.check()?;
    Ok(question)
}

fn read(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let (name, read) = if file == Path::new("-") {
        ("the standard input".to_owned(), io::stdin().take(MAX_FILE + 1).read_to_string(&mut text))
    } else {
        let opened = fs::File::open(file);
        (
            file.display().to_string(),
            opened.and_then(|file| file.take(MAX_FILE + 1).read_to_string(&mut text)),
        )
    };
    read.with_context(|| format!("read {name}"))?;
    anyhow::ensure!(text.len() as u64 <= MAX_FILE, "{name} has more than {MAX_FILE} bytes");
    Ok(text)
}

/// An answer's verdict in a word.
fn judged(answer: &ModelOutput, question: &ModelInput, envelope: &Envelope) -> &'static str {
    match envelope.judge(answer, question) {
        Verdict::Same => "same",
        Verdict::Amends => "amends",
        Verdict::Refused { .. } => "refused",
    }
}
