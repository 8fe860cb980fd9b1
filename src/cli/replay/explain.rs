//! One decision with what else there was to choose.

use std::time::Instant;

use comfy_table::CellAlignment;
use signalcore::decision::{Action, Candidate, JobKey, Spoke, UpstreamId};
use signalcore::replay::policy::{Explanation, Mathematics};
use signalcore::replay::simulation;
use signalcore::replay::world::World;

use crate::cli::blocks::table;

const HEADER: [&str; 10] =
    ["upstream", "value", "index", "pay", "acceptance", "± sd", "avail", "V", "R", "advice may"];

/// The decision of this number that math makes in a world.
pub(super) fn text(world: &World, number: u64, start: Instant) -> String {
    let mut policy = Mathematics::new(world, 0, start).explaining(number);
    simulation::run(world, &mut policy, 0, start);
    match policy.explanation() {
        Some(explanation) => explained(world, number, explanation, start),
        None => format!("math makes fewer than {number} decisions here\n"),
    }
}

fn explained(world: &World, number: u64, explanation: &Explanation, start: Instant) -> String {
    let Explanation { record, candidates } = explanation;
    let name = |UpstreamId(at): UpstreamId| world.upstreams.get(at).map_or("?", |upstream| &upstream.name);
    let action = match record.decision.action {
        Action::Keep => "keep what runs".to_owned(),
        Action::Boundary(upstream, JobKey(job)) => format!("job {job} of {} at the boundary", name(upstream)),
        Action::Flush(upstream, JobKey(job)) => format!("flush, job {job} of {}", name(upstream)),
        Action::Close(_) | Action::Idle => "idle".to_owned(),
    };
    let spoke = match record.decision.spoke {
        Spoke::Mathematics => "the mathematics",
        Spoke::Advice | Spoke::Cached => "advice",
    };
    let seconds = record.at.saturating_duration_since(start).as_secs_f64();
    let before = record.before.map_or("nothing", name);
    let mut table = table(&HEADER);
    for column in 1..HEADER.len() {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for candidate in candidates {
        table.add_row(row(candidate, name(candidate.upstream)));
    }
    let lines: Vec<_> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    format!(
        "decision {number} after {seconds:.3} s, by {spoke}: {action}\nbefore: {before}\nline {}: {}\n{}\n",
        record.decision.line,
        record.decision.reason,
        lines.join("\n"),
    )
}

fn row(candidate: &Candidate, name: &str) -> [String; 10] {
    let alarm = if candidate.alarm { " (rejects)" } else { "" };
    let number = |number: f64| format!("{number:.5}");
    [
        format!("{name}{alarm}"),
        number(candidate.value),
        number(candidate.index),
        number(candidate.pay),
        number(candidate.acc_mean),
        number(candidate.acc_sd),
        number(candidate.avail),
        number(candidate.v),
        number(candidate.r),
        if candidate.allowed { "yes" } else { "no" }.to_owned(),
    ]
}
