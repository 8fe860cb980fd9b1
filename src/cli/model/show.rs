//! Questions, answers and health as people see them.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};
use signalcore::model::backend::{Choice, Health, Reply};
use signalcore::model::envelope::Verdict;
use signalcore::model::health::CHOSE_WORSE;
use signalcore::model::input::ModelInput;
use signalcore::model::sandbox::Report;

/// A question, its answer, and what that is good for.
pub(super) fn asked(
    choice: &Choice,
    question: &ModelInput,
    reply: &Reply,
    verdict: Option<&Verdict>,
    sandbox: Option<&Report>,
) -> String {
    let mut text = format!("{}\n\n", candidates(question));
    let baseline = &question.baseline;
    _ = write!(
        text,
        "running    {}\nbaseline   {} {}\nasked      {} ({})\n",
        question.running.candidate,
        baseline.decision,
        baseline.target,
        choice.place(),
        choice.name()
    );
    let took = format!("{:.1} ms", reply.took.as_secs_f64() * 1e3);
    let retries =
        if reply.retries == 0 { String::new() } else { format!(", asked {} times", reply.retries + 1) };
    match &reply.answer {
        Ok(answer) => {
            let target =
                answer.target.map(|place| format!(" {}", ModelInput::name(place))).unwrap_or_default();
            _ = write!(
                text,
                "answer     {}{target}, confidence {:.2}, holds for {} s\nreason     {}\ntook       {took}{retries}\n",
                answer.word.name(),
                answer.confidence,
                answer.valid_for.as_secs(),
                if answer.reason.is_empty() { "none given" } else { &answer.reason },
            );
        }
        Err(failure) => _ = write!(text, "answer     none: {failure}\ntook       {took}{retries}\n"),
    }
    if let Some(verdict) = verdict {
        let verdict = match verdict {
            Verdict::Same => "it changes nothing: mathematics says the same".to_owned(),
            Verdict::Amends => "within the envelope: with mode = \"advise\" it would be followed".to_owned(),
            Verdict::Refused { rule, reason } => format!("refused by rule {rule}: {reason}"),
        };
        _ = writeln!(text, "verdict    {verdict}");
    }
    text + &sandbox_line(sandbox)
}

fn candidates(question: &ModelInput) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["", "scheme", "value", "index", "accepted", "rejects 10m", "lag p50", "allowed"]);
    for candidate in &question.candidates {
        table.add_row([
            candidate.id.clone(),
            candidate.scheme.clone(),
            format!("{:.5}", candidate.value),
            format!("{:.5}", candidate.index),
            format!("{:.4}", candidate.acc_mean),
            format!("{}/{}", candidate.rejects_10m, candidate.shares_10m),
            format!("{} ms", candidate.lag_p50_ms),
            if candidate.allowed { "yes" } else { "no" }.to_owned(),
        ]);
    }
    for column in table.column_iter_mut().skip(2).take(5) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// How a model is.
pub(super) fn health(choice: &Choice, health: &Health, sandbox: Option<&Report>) -> String {
    let took = health.reply.took.as_secs_f64() * 1e3;
    let state = match &health.reply.answer {
        Ok(_) if health.chose_worse => format!("answers, and {CHOSE_WORSE}"),
        Ok(_) => "answers".to_owned(),
        Err(failure) => format!("is of no use: {failure}"),
    };
    let (name, place) = (choice.name(), choice.place());
    format!("{name} {state}\nasked      {place}\ntook       {took:.1} ms\n{}", sandbox_line(sandbox))
}

fn sandbox_line(sandbox: Option<&Report>) -> String {
    let Some(report) = sandbox else { return String::new() };
    let missing = if report.missing.is_empty() {
        String::new()
    } else {
        format!(", without {}", report.missing.join(", "))
    };
    format!("sandbox    {}{missing}\n", report.sandbox.name())
}
