//! The end as tables for a person.

use std::fmt::Write;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};

use super::{Context, boards, decisions, solo};
use crate::decision::luck::Luck;
use crate::engine::UpstreamId;
use crate::engine::odds::Odds;
use crate::engine::task::Finish;
use crate::work::Difficulty;

/// Blocks that are worth a word when so many are to be expected.
const LEAST_TOLD: f64 = 0.01;

/// The summary of a run.
pub fn text(context: &Context, finish: &Finish, dropped: u64) -> String {
    let snapshot = &finish.snapshot;
    let totals = snapshot.totals();
    let mut text = format!(
        "\nSummary of runtime statistics: {} at {}, {} accepted, {} rejected, {} stale, {} lost",
        uptime(snapshot.uptime),
        snapshot.mean_rate,
        totals.accepted,
        totals.rejected_total(),
        totals.stale,
        totals.lost_total()
    );
    let mut pools = table(&["pool", "accepted", "rejected", "stale", "lost", "answer", "best", "blocks"]);
    for (index, upstream) in snapshot.upstreams.iter().enumerate() {
        let account = &upstream.account;
        let counts = &account.shares;
        pools.add_row([
            // Without the scheme, so that the table fits a terminal of 80 columns.
            format!("{index} {}", context.upstream(UpstreamId(index)).trim_start_matches("stratum+tcp://")),
            counts.accepted.to_string(),
            counts.rejected_total().to_string(),
            counts.stale.to_string(),
            counts.lost_total().to_string(),
            account.answers.quantile(0.5).map_or("–".to_owned(), |median| format!("{:.0} ms", ms(median))),
            Difficulty::new(counts.best).map_or("–".to_owned(), |best| best.to_string()),
            counts.blocks.to_string(),
        ]);
    }
    let mut by_board = table(&["board", "hash rate", "shares", "HW errors", "repeats", "held back"]);
    for board in &snapshot.boards {
        let counts = &board.counts;
        by_board.add_row([
            board.name.clone(),
            board.mean_rate.to_string(),
            counts.shares.to_string(),
            counts.hardware_errors.to_string(),
            counts.duplicates.to_string(),
            (counts.filtered + counts.overflowed).to_string(),
        ]);
    }
    let mut add = |line: &str| write!(text, "\n{line}").expect("to a string");
    add(&pools.to_string());
    for (kind, count) in &totals.rejected {
        add(&format!("  rejected as {kind}: {count}"));
    }
    if totals.withheld > 0 {
        add(&format!(
            "  withheld because the pool had asked for a higher difficulty since: {}",
            totals.withheld
        ));
    }
    add(&by_board.to_string());
    for line in boards::summary(&snapshot.boards) {
        add(&line);
    }
    if let (Some(median), Some(worst)) = (snapshot.switches.quantile(0.5), snapshot.switches.quantile(1.0)) {
        let count = snapshot.switches.count();
        add(&format!(
            "job switches: {count}, from line to hashing {:.2} ms median, {:.2} ms worst",
            ms(median),
            ms(worst)
        ));
    }
    if let Some(worst) = snapshot.failovers.quantile(1.0) {
        let count = snapshot.failovers.count();
        add(&format!(
            "failovers: {count}, from losing a pool to hashing for another {:.1} ms at worst",
            ms(worst)
        ));
    }
    for (index, upstream) in snapshot.upstreams.iter().enumerate() {
        if let Some(line) = odds(&upstream.odds, context.is_solo(UpstreamId(index))) {
            add(&format!("odds at pool {index}: {line}"));
        }
    }
    for line in decisions::summary(snapshot) {
        add(&line);
    }
    if dropped > 0 {
        add(&format!("{dropped} lines were not shown because nobody read them"));
    }
    text
}

/// How likely blocks of ours are, and how many there were; `None` where there is little hope and nobody counts on it.
fn odds(odds: &Odds, is_solo: bool) -> Option<String> {
    let Luck { found, expected } = odds.luck;
    if !is_solo && found == 0 && expected < LEAST_TOLD {
        return None;
    }
    let wait = solo::long_time(odds.seconds?)?;
    let today = 100.0 * odds.within_a_day()?;
    let today = if today >= 0.01 { format!("{today:.2}") } else { format!("{today:.1e}") };
    let mut text = format!("a block every {wait} on average, {today} % within a day; {found} found");
    if expected >= LEAST_TOLD {
        let luck = 100.0 * found as f64 / expected;
        write!(text, " where {expected:.2} are usual, luck {luck:.0} %").expect("to a string");
    }
    Some(text)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// An uptime as operators write it: `3d 04:05:06`.
fn uptime(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    let days = if days > 0 { format!("{days}d ") } else { String::new() };
    format!("{days}{hours:02}:{minutes:02}:{:02}", seconds % 60)
}

pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odds_are_told_to_those_who_count_on_blocks_and_where_there_is_one() {
        let poor = Odds { luck: Luck { found: 0, expected: 1e-9 }, seconds: Some(4.0e13) };
        assert_eq!(odds(&poor, false), None);
        let told = "a block every 1.3e6 years on average, 2.2e-7 % within a day; 0 found";
        assert_eq!(odds(&poor, true).unwrap(), told);
        let rich = Odds { luck: Luck { found: 3, expected: 2.5 }, seconds: Some(7200.0) };
        let told = "a block every 2.0 hours on average, 100.00 % within a day; 3 found where 2.50 are usual, luck 120 %";
        assert_eq!(odds(&rich, false).unwrap(), told);
    }

    #[test]
    fn uptimes_are_written_as_operators_do() {
        assert_eq!(uptime(Duration::from_secs(59)), "00:00:59");
        assert_eq!(uptime(Duration::from_secs(3 * 86_400 + 4 * 3_600 + 5 * 60 + 6)), "3d 04:05:06");
    }
}
