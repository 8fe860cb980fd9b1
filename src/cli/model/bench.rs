//! `signalcore model bench`: many questions in a row.

use std::collections::BTreeMap;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use signalcore::clock::now;
use signalcore::model::health;
use signalcore::model::input::{CandidateFacts, ModelInput};
use signalcore::replay::chance::Chance;
use signalcore::wiring::model::ModelPlan;

use super::super::{exit, print};
use super::{judged, open};

/// Questions that differ, the same ones each time: two to four candidates whose values lie near each other.
pub(super) fn made_up(count: u32) -> Vec<ModelInput> {
    let mut chance = Chance::new(1, 0);
    let mut part = move || chance.between(0.0, 1.0);
    let mut question = || {
        let sample = health::question(2000);
        let mut candidates: Vec<_> = (0..2 + ((part() * 3.0) as usize).min(2))
            .map(|_| {
                let (acc_mean, pay) = (1.0 - part() * 0.03, 1.0 - part() * 0.02);
                let value = acc_mean * pay;
                let shares_10m = 50 + (part() * 200.0) as u32;
                let rejects_10m = (f64::from(shares_10m) * (1.0 - acc_mean)) as u32;
                CandidateFacts {
                    pay,
                    acc_mean,
                    value,
                    index: value + 0.0005,
                    shares_10m,
                    rejects_10m,
                    ..sample.candidates[0].clone()
                }
            })
            .collect();
        candidates.sort_by(|a, b| b.index.total_cmp(&a.index));
        for (place, candidate) in candidates.iter_mut().enumerate() {
            candidate.id = ModelInput::name(place);
        }
        let running = ((part() * candidates.len() as f64) as usize).min(candidates.len() - 1);
        let mut question = ModelInput { candidates, ..sample };
        question.running.candidate = ModelInput::name(running);
        question.running.value = question.candidates[running].value;
        if running == 0 {
            "PROCEED".clone_into(&mut question.baseline.decision);
        }
        question.baseline.margin = question.candidates[0].index - question.candidates[1].index;
        question.sign()
    };
    (0..count).map(|_| question()).collect()
}

/// What came of all questions.
struct Tally {
    microseconds: Histogram<u32>,
    answered: u64,
    agreed: u64,
    retries: u64,
    failures: BTreeMap<&'static str, u64>,
    /// The first of them, in words.
    first_failure: Option<String>,
    words: BTreeMap<&'static str, u64>,
    verdicts: BTreeMap<&'static str, u64>,
}

/// Asks all of them, one after the other; gives the exit code.
pub(super) async fn run(plan: ModelPlan, questions: Vec<ModelInput>, json: bool) -> anyhow::Result<u8> {
    let mut backend = open(&plan)?;
    let bar = ProgressBar::with_draw_target(Some(questions.len() as u64), ProgressDrawTarget::stderr());
    bar.set_style(
        ProgressStyle::with_template("{bar:40} {pos}/{len}, {eta} left").expect("a fixed template"),
    );
    let mut tally = Tally {
        microseconds: Histogram::new_with_max(600_000_000, 3).expect("the bounds are those of the crate"),
        answered: 0,
        agreed: 0,
        retries: 0,
        failures: BTreeMap::new(),
        first_failure: None,
        words: BTreeMap::new(),
        verdicts: BTreeMap::new(),
    };
    let start = now();
    for question in &questions {
        let reply = backend.ask(question, now() + plan.deadline).await;
        tally.retries += u64::from(reply.retries);
        match reply.answer {
            Ok(answer) => {
                tally.answered += 1;
                tally.agreed += u64::from(answer.agrees_with(question));
                tally.microseconds.saturating_record(reply.took.as_micros() as u64);
                *tally.words.entry(answer.word.name()).or_default() += 1;
                *tally.verdicts.entry(judged(&answer, question, &plan.envelope)).or_default() += 1;
            }
            Err(failure) => {
                *tally.failures.entry(failure.kind()).or_default() += 1;
                tally.first_failure.get_or_insert_with(|| failure.to_string());
            }
        }
        bar.inc(1);
    }
    let took = now().duration_since(start);
    bar.finish_and_clear();
    backend.finish().await;
    print(&if json { tally.json(plan.choice.name(), took) } else { tally.table(plan.choice.name(), took) })?;
    Ok(if tally.answered > 0 { exit::DONE } else { exit::FAILURE })
}

impl Tally {
    fn quantile(&self, fraction: f64) -> Option<f64> {
        (self.answered > 0).then(|| self.microseconds.value_at_quantile(fraction) as f64 / 1e3)
    }

    fn agreement(&self) -> Option<f64> {
        (self.answered > 0).then(|| self.agreed as f64 / self.answered as f64)
    }

    fn json(&self, name: &str, took: Duration) -> String {
        let figures = json!({
            "backend": name,
            "seconds": took.as_secs_f64(),
            "answered": self.answered,
            "failures": self.failures,
            "first_failure": self.first_failure,
            "retries": self.retries,
            "agreement": self.agreement(),
            "decisions": self.words,
            "verdicts": self.verdicts,
            "latency_ms": {
                "p50": self.quantile(0.5),
                "p90": self.quantile(0.9),
                "p99": self.quantile(0.99),
                "max": self.quantile(1.0),
            },
        });
        format!("{figures}\n")
    }

    fn table(&self, name: &str, took: Duration) -> String {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        let listed = |counts: &BTreeMap<&str, u64>| {
            let each: Vec<_> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
            if each.is_empty() { "none".to_owned() } else { each.join(", ") }
        };
        let ms = |fraction| self.quantile(fraction).map_or("-".to_owned(), |ms| format!("{ms:.2} ms"));
        for (what, figure) in [
            ("back end", name.to_owned()),
            ("answered", format!("{} in {:.1} s", self.answered, took.as_secs_f64())),
            ("failures", listed(&self.failures)),
            ("the first", self.first_failure.clone().unwrap_or_else(|| "-".to_owned())),
            ("asked again", self.retries.to_string()),
            ("median", ms(0.5)),
            ("90 %", ms(0.9)),
            ("99 %", ms(0.99)),
            ("longest", ms(1.0)),
            ("decisions", listed(&self.words)),
            ("verdicts", listed(&self.verdicts)),
            ("agreement", self.agreement().map_or("-".to_owned(), |part| format!("{:.1} %", 100.0 * part))),
        ] {
            table.add_row([what.to_owned(), figure]);
        }
        if let Some(column) = table.column_mut(1) {
            column.set_cell_alignment(CellAlignment::Left);
        }
        format!("{table}\n")
    }
}
