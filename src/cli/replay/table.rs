//! Scores as a table for a person.

use comfy_table::{CellAlignment, Table};
use signalcore::replay::policy::Kind;
use signalcore::replay::score::Score;

use super::Measured;
use crate::cli::blocks::table;

const HEADER: [&str; 10] =
    ["scenario", "policy", "efficiency", "± error", "minimum", "waste", "idle", "dead", "moves", "gain"];

/// The table and, below it, how math stands against its bars.
pub(super) fn text(measured: &[Measured]) -> String {
    let mut table = table(&HEADER);
    for column in 2..HEADER.len() {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for measured in measured {
        rows(&mut table, measured);
    }
    let lines: Vec<_> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    format!("{}\n{}", lines.join("\n"), bars(measured))
}

fn rows(table: &mut Table, measured: &Measured) {
    for (at, (kind, score)) in measured.scores.iter().enumerate() {
        let name = if at == 0 { measured.name.as_str() } else { "" };
        if *kind == Kind::Oracle {
            table.add_row([name, kind.name(), "1.00000"]);
            continue;
        }
        let efficiency = score.efficiency();
        let daily = |mean: f64| format!("{mean:.1}");
        table.add_row([
            name.to_owned(),
            kind.name().to_owned(),
            format!("{:.5}", efficiency.mean),
            format!("{:.5}", efficiency.error),
            format!("{:.5}", efficiency.least),
            daily(score.mean(|sample| sample.waste).mean),
            daily(score.mean(|sample| sample.idle).mean),
            daily(score.mean(|sample| sample.dead).mean),
            daily(score.mean(|sample| sample.moves).mean),
            gain(measured, *kind, score),
        ]);
    }
}

/// Over math, for what math is part of.
fn gain(measured: &Measured, kind: Kind, score: &Score) -> String {
    let is_model = matches!(kind, Kind::MathRandom | Kind::MathLearned);
    let math = measured.math().filter(|_| is_model);
    math.map_or(String::new(), |math| format!("{:+.5}", score.gain_over(math).mean))
}

fn bars(measured: &[Measured]) -> String {
    let judged = measured.iter().filter_map(|measured| {
        let (bar, math) = (measured.bar?, measured.math()?.efficiency().mean);
        (math < bar).then(|| format!("{}: math has {math:.5}, below its bar of {bar}\n", measured.name))
    });
    judged.collect()
}
