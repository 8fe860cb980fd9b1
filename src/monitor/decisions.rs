//! What was decided, what that was worth, and how a model does, for programs and people.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::json::milliseconds;
use crate::decision::{Action, Alternative, Earned, Record, Spoke};
use crate::engine::UpstreamId;
use crate::engine::snapshot::Snapshot;
use crate::model::task::Condition;
use crate::replay::review::Reviewed;

/// Counts, worth, and the decisions since the last line that told of any.
pub(super) fn figures(snapshot: &Snapshot) -> Value {
    let counts = &snapshot.decisions;
    // By the line of the value rule that each followed, where there were any.
    let by_line = counts.by_line.iter().enumerate().filter(|(_, count)| **count > 0);
    let by_line: Map<_, _> = by_line.map(|(line, count)| (line.to_string(), json!(count))).collect();
    // What boards drop their work for; newer jobs that wait for a boundary come by the dozen a minute.
    let is_change = |action: &Action| !matches!(action, Action::Keep | Action::Boundary(..));
    let changes = snapshot.records.iter().filter(|(_, made)| is_change(&made.decision.action));
    json!({
        "by_line": by_line,
        "flushes": counts.flushes,
        "boundaries": counts.boundaries,
        "moves": counts.moves,
        "earned": earned(&snapshot.earned),
        "records": changes.map(|(at, made)| record(*at, made)).collect::<Vec<_>>(),
    })
}

/// A policy of a review, for programs: the members of `signalcore replay --json` that a log has.
pub(super) fn review(reviewed: &Reviewed) -> Value {
    let sample = &reviewed.sample;
    json!({
        "policy": reviewed.policy.name(),
        "has_mined": reviewed.has_mined,
        "seconds": reviewed.span.as_secs_f64(),
        "is_part": reviewed.is_part,
        "efficiency": sample.efficiency,
        "waste_seconds_a_day": sample.waste,
        "idle_seconds_a_day": sample.idle,
        "dead_seconds_a_day": sample.dead,
        "moves_a_day": sample.moves,
        "flushes_a_day": sample.flushes,
        "gain_over_math": reviewed.gain,
    })
}

/// The same for a person: a row of a table.
pub(super) fn review_text(reviewed: &Reviewed) -> String {
    let Reviewed { policy, sample, has_mined, span, is_part, .. } = reviewed;
    let hours = span.as_secs_f64() / 3600.0;
    let last = if *is_part { "the last " } else { "" };
    let mined = if *has_mined { ", which has mined" } else { "" };
    format!(
        "Review of {last}{hours:.1} h: {:<12} earns {:.5} of what was possible, {:6.1} s a day wasted, {:5.1} moves a day{mined}",
        policy.name(),
        sample.efficiency,
        sample.waste,
        sample.moves,
    )
}

fn earned(earned: &Earned) -> Value {
    json!({
        "seconds": earned.seconds,
        "value_seconds": earned.valued,
        "value_ratio": earned.value_ratio(),
        "idle_seconds": earned.idle,
        "stale_seconds": earned.stale,
        "wasted_seconds": earned.wasted,
        "dead_seconds": earned.dead,
    })
}

fn record(at: Duration, record: &Record) -> Value {
    let decision = &record.decision;
    let (action, upstream) = match decision.action {
        Action::Keep => ("keep", None),
        Action::Boundary(upstream, _) => ("boundary", Some(upstream)),
        Action::Flush(upstream, _) => ("flush", Some(upstream)),
        Action::Close(upstream) => ("close", Some(upstream)),
        Action::Idle => ("idle", None),
    };
    let spoke = match decision.spoke {
        Spoke::Mathematics => "mathematics",
        Spoke::Advice => "advice",
        Spoke::Cached => "earlier_advice",
    };
    let worth =
        |worth: &Alternative| json!({ "pool": worth.upstream.0, "value": worth.value, "index": worth.index });
    let number = |upstream: Option<UpstreamId>| upstream.map(|upstream| upstream.0);
    json!({
        "seconds": at.as_secs_f64(),
        "action": action,
        "pool": number(upstream),
        "before": number(record.before),
        "line": decision.line,
        "spoke": spoke,
        "reason": decision.reason.to_string(),
        "worth": record.alternatives.iter().map(worth).collect::<Vec<_>>(),
    })
}

/// A model and what became of its advice.
pub(super) fn model(model: &Condition, snapshot: &Snapshot) -> Value {
    let (answers_ms, error) = match &model.health {
        Some(Ok(took)) => (Some(milliseconds(*took)), None),
        Some(Err(error)) => (None, Some(error)),
        None => (None, None),
    };
    let advice = &snapshot.advice;
    json!({
        "healthy": model.health.as_ref().map(Result::is_ok),
        "answers_ms": answers_ms,
        "error": error,
        "warning": model.warning,
        "sandbox": model.sandbox,
        "mode": model.mode.name(),
        "demoted": model.demoted.map(|reason| reason.to_string()),
        "figures": model.figures,
        "questions": advice.questions,
        "applied": advice.applied,
        "shadowed": advice.shadowed,
        "refused_by_rule": advice.refused[1..],
        "regret_spent_seconds": snapshot.regret_spent,
        "gain_seconds": snapshot.earned.advice_gain,
    })
}

/// What a person is told of them at the end: what hashing was worth, and what a model did.
pub(super) fn summary(snapshot: &Snapshot) -> Vec<String> {
    let Earned { idle, stale, .. } = snapshot.earned;
    let mut lines = Vec::new();
    if let Some(ratio) = snapshot.earned.value_ratio() {
        let percent = 100.0 * ratio;
        lines.push(format!(
            "value: {percent:.2} % of ideal hashing; {idle:.1} s idle, {stale:.1} s behind the tip"
        ));
    }
    if let Some(condition) = &snapshot.model {
        let advice = &snapshot.advice;
        let answered = condition.figures.as_ref().map_or(0, |figures| figures.answered);
        let demoted = condition.demoted.map(|reason| format!(" since {reason}")).unwrap_or_default();
        lines.push(format!("model: {}{demoted}", condition.mode.name()));
        lines.push(format!(
            "  {} questions, {answered} answers; of its advice {} followed, {} refused, {} a shadow's",
            advice.questions,
            advice.applied,
            advice.refused.iter().sum::<u64>(),
            advice.shadowed
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::decision::{Decision, JobKey, Reason};
    use crate::engine::Engine;
    use crate::engine::policy::Policy;
    use crate::model::advisor::{Advisor, Demotion, Mode};
    use crate::replay::policy::Kind;
    use crate::replay::score::Sample;

    fn snapshot() -> Snapshot {
        let now = Instant::now();
        let mut snapshot = Engine::new(Policy::default(), &[], now).snapshot(now);
        snapshot.earned = Earned {
            seconds: 100.0,
            valued: 98.0,
            stale: 1.0,
            wasted: 1.5,
            idle: 0.5,
            dead: 0.01,
            advice_gain: 0.25,
        };
        snapshot.decisions.by_line[8] = 3;
        let upstream = UpstreamId(1);
        let reason = Reason::Better { upstream, gain: 0.002 };
        let action = Action::Flush(upstream, JobKey(7));
        let decision = Decision { action, line: 8, reason, spoke: Spoke::Mathematics };
        let alternatives = vec![Alternative { upstream, value: 0.98, index: 0.985 }];
        let record = Record { at: now, decision, before: Some(UpstreamId(0)), alternatives };
        snapshot.records = vec![(Duration::from_secs(12), record)];
        (snapshot.regret_spent, snapshot.advice.questions, snapshot.advice.refused[5]) = (0.75, 9, 2);
        let figures = Advisor::new(Mode::Advise, "test".to_owned(), Duration::from_secs(2)).figures();
        snapshot.model = Some(Condition {
            figures: Some(figures),
            mode: Mode::Shadow,
            demoted: Some(Demotion::Regret),
            ..Condition::default()
        });
        snapshot
    }

    #[test]
    fn a_line_for_programs_tells_what_was_decided_and_what_it_was_worth() {
        let told = figures(&snapshot());
        assert_eq!(told["by_line"], json!({"8": 3}));
        let expected = json!({"seconds": 100.0, "value_seconds": 98.0, "value_ratio": 0.98, "idle_seconds": 0.5,
            "stale_seconds": 1.0, "wasted_seconds": 1.5, "dead_seconds": 0.01});
        assert_eq!(told["earned"], expected);
        let expected = json!([{"seconds": 12.0, "action": "flush", "pool": 1, "before": 0, "line": 8,
            "spoke": "mathematics", "reason": "upstream 1 is worth 0.200 % more",
            "worth": [{"pool": 1, "value": 0.98, "index": 0.985}]}]);
        assert_eq!(told["records"], expected);
    }

    #[test]
    fn a_model_that_lost_its_say_is_told_of_with_the_reason() {
        let snapshot = snapshot();
        let told = model(snapshot.model.as_ref().unwrap(), &snapshot);
        assert_eq!(
            (&told["mode"], &told["demoted"]),
            (&"shadow".into(), &"the day's budget of regret is spent".into())
        );
        assert_eq!((&told["regret_spent_seconds"], &told["gain_seconds"]), (&json!(0.75), &json!(0.25)));
        assert_eq!(told["refused_by_rule"], json!([0, 0, 0, 0, 2]));
        let told_of = |health| {
            let condition =
                Condition { health: Some(health), warning: Some("prefers"), ..Condition::default() };
            model(&condition, &snapshot)
        };
        let well = told_of(Ok(Duration::from_millis(7)));
        assert_eq!(
            (&well["healthy"], &well["warning"], &well["error"]),
            (&true.into(), &"prefers".into(), &Value::Null)
        );
        assert_eq!(told_of(Err("late".to_owned()))["healthy"], false);
        for member in
            ["calls", "answered", "late", "invalid", "retries", "cache_hits", "breaker_openings", "decisions"]
        {
            assert!(!told["figures"][member].is_null(), "{member}");
        }
        assert_eq!(
            (&told["figures"]["breaker"], &told["figures"]["p99_ms"]),
            (&"closed".into(), &Value::Null)
        );
        let expected = [
            "value: 98.00 % of ideal hashing; 0.5 s idle, 1.0 s behind the tip",
            "model: shadow since the day's budget of regret is spent",
            "  9 questions, 0 answers; of its advice 0 followed, 2 refused, 0 a shadow's",
        ];
        assert_eq!(summary(&snapshot), expected);
    }

    #[test]
    fn a_review_is_told_as_a_row_and_as_members() {
        let sample =
            Sample { efficiency: 0.99757, waste: 163.5, idle: 1.0, dead: 2.0, moves: 30.86, flushes: 200.0 };
        let reviewed = Reviewed {
            policy: Kind::FirstCome,
            sample,
            gain: -0.002,
            has_mined: false,
            span: Duration::from_secs(7 * 86_400),
            is_part: false,
        };
        let row = "Review of 168.0 h: first_come   earns 0.99757 of what was possible,  163.5 s a day wasted,  30.9 moves a day";
        assert_eq!(review_text(&reviewed), row);
        let mined = Reviewed { has_mined: true, is_part: true, ..reviewed };
        let text = review_text(&mined);
        assert!(
            text.starts_with("Review of the last 168.0 h: ") && text.ends_with(", which has mined"),
            "{text}"
        );
        let expected = json!({"policy": "first_come", "has_mined": true, "seconds": 604_800.0, "is_part": true,
            "efficiency": 0.99757, "waste_seconds_a_day": 163.5, "idle_seconds_a_day": 1.0, "dead_seconds_a_day": 2.0,
            "moves_a_day": 30.86, "flushes_a_day": 200.0, "gain_over_math": -0.002});
        assert_eq!(review(&mined), expected);
    }
}
