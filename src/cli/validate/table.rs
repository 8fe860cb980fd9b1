//! The checks of a job as a table for a person.

use anstyle::{AnsiColor, Style};
use comfy_table::{CellAlignment, ContentArrangement, Table, TableComponent, presets};
use signalcore::protocol::text::printable;
use signalcore::validate::{CHECKS, JobUnderTest, Level, Outcome, search_space_bits};

use super::{Case, Row, SHOWN, worst};

/// Characters of a line where no terminal says how many.
pub(super) const WIDTH: usize = 80;
/// From this width on there is room for the family of each check.
const WIDE: usize = 110;
/// Widest that the table becomes: longer lines read badly.
const WIDEST: usize = 160;
/// Characters of a job id that are shown.
const ID: usize = 24;
/// Head of the column of results.
const RESULT: &str = "result";

/// The rows in lines of at most `width` characters, as far as words can be broken; with colours if wanted.
pub(super) fn text(level: Level, case: &Case, rows: &[Row], width: usize, colour: bool) -> String {
    let id = printable(&case.job.id.to_string(), ID);
    let height = JobUnderTest::new(&case.job, case.origin).height();
    let height = height.map_or_else(|| "no height".to_owned(), |height| format!("block {height}"));
    let bits = search_space_bits(&case.job);
    let mut lines = vec![format!("job {id}, {height}, 2^{bits} headers, level {}", level.value())];
    if !rows.is_empty() {
        let table = table(rows, width.min(WIDEST));
        let table = table.to_string();
        let column = table.lines().find_map(|line| line.find(RESULT));
        lines.extend(table.lines().map(|line| coloured(line.trim_end(), column.filter(|_| colour))));
    }
    lines.push(verdict(level, rows));
    lines.join("\n") + "\n"
}

fn table(rows: &[Row], width: usize) -> Table {
    let is_wide = width >= WIDE;
    let mut header = vec!["check", "level", RESULT, "value found", "value expected", "time"];
    if is_wide {
        header.insert(2, "family");
    }
    let last = header.len() - 1;
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_header(header);
    table.remove_style(TableComponent::HorizontalLines);
    table.remove_style(TableComponent::MiddleIntersections);
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width as u16);
    for Row { check, finding, microseconds } in rows {
        let mut cells = vec![
            check.name.to_owned(),
            check.level.to_string(),
            finding.outcome.word().to_owned(),
            printable(&finding.found, SHOWN),
            printable(&finding.expected, SHOWN),
            format!("{microseconds:.1}\u{a0}µs"), // a space at which no line breaks
        ];
        if is_wide {
            cells.insert(2, check.family.to_owned());
        }
        table.add_row(cells);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 1)); // beside the space between two columns
    }
    for at in [1, last] {
        table.column_mut(at).expect("the table has these columns").set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// What follows, and how many checks say so.
fn verdict(level: Level, rows: &[Row]) -> String {
    let left_out = CHECKS.len() - rows.len();
    if rows.is_empty() {
        let first = CHECKS[0].level;
        return format!("no check: all {left_out} are above level {}, the first at {first}", level.value());
    }

    let count = |outcome| rows.iter().filter(|row| row.finding.outcome == outcome).count();
    let counts = [Outcome::Pass, Outcome::Open, Outcome::Warn, Outcome::Hold, Outcome::Reject]
        .map(|outcome| (count(outcome), outcome.word()));
    let counts: Vec<_> = counts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    let follows = match worst(rows) {
        Outcome::Pass | Outcome::Open => "the job may be mined",
        Outcome::Warn => "the job is mined, and the warnings are told",
        Outcome::Hold => "the job may not replace a running one yet",
        Outcome::Reject => "the job must not be mined",
    };
    let left_out = if left_out > 0 { format!(", {left_out} above the level") } else { String::new() };
    let microseconds: f64 = rows.iter().map(|row| row.microseconds).sum();
    format!("{}{left_out}: {follows} ({microseconds:.0} µs)", counts.join(", "))
}

/// Colours what stands in the column of results, if that is wanted; the table itself would count the colours as width.
fn coloured(line: &str, column: Option<usize>) -> String {
    let styles = [
        (Outcome::Reject, AnsiColor::Red.on_default()),
        (Outcome::Hold, AnsiColor::Yellow.on_default()),
        (Outcome::Warn, AnsiColor::Yellow.on_default()),
        (Outcome::Pass, AnsiColor::Green.on_default()),
        (Outcome::Open, Style::new().dimmed()),
    ];
    let parts = column.and_then(|column| line.split_at_checked(column));
    let of_line = parts.and_then(|(before, after)| {
        let (outcome, style) = styles.into_iter().find(|(outcome, _)| after.starts_with(outcome.word()))?;
        let word = outcome.word();
        Some(format!("{before}{style}{word}{style:#}{}", &after[word.len()..]))
    });
    of_line.unwrap_or_else(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::rows;
    use super::*;

    const REAL: &str = include_str!("../../../tests/vectors/validate-real.json");
    const OLD: &str = include_str!("../../../tests/vectors/validate-time-too-old.json");

    fn shown(case: &str, level: u32, width: usize, colour: bool) -> String {
        let (level, case) = (Level::new(level).unwrap(), Case::parse(case, 1).unwrap());
        text(level, &case, &rows(level, &case), width, colour)
    }

    #[test]
    fn lines_fit_80_and_120_columns() {
        for (case, width) in [(REAL, 80), (REAL, 120), (OLD, 80), (OLD, 120)] {
            let text = shown(case, 16_000, width, false);
            for line in text.lines() {
                assert!(line.chars().count() <= width, "{line}\nin\n{text}");
            }
            assert_eq!(text.contains("EntropyBalance"), width == 120, "{text}");
        }
    }

    #[test]
    fn the_last_line_says_what_follows() {
        let last = |text: String| text.lines().last().unwrap().split(" (").next().unwrap().to_owned();
        assert_eq!(last(shown(REAL, 16_000, 80, false)), "16 pass: the job may be mined");
        assert_eq!(last(shown(REAL, 0, 80, false)), "no check: all 16 are above level 0, the first at 1000");
        let old = shown(OLD, 3000, 80, false);
        assert_eq!(last(old), "2 pass, 1 reject, 13 above the level: the job must not be mined");
    }

    #[test]
    fn nothing_of_a_stranger_steers_the_terminal_or_the_readers_eye() {
        let mut case: serde_json::Value = serde_json::from_str(REAL).unwrap();
        case["notify"][0] = "a\u{202e}b\u{1b}[2Jc".into();
        case["context"]["proposal"] = "bad\u{202e}-\u{9b}reason\u{2066}".into();
        let text = shown(&case.to_string(), 16_000, 120, false);
        assert!(text.starts_with("job ab[2Jc, ") && text.contains("bad-reason"), "{text:?}");
        let is_plain = |c: char| c == '\n' || printable(&c.to_string(), 1) == c.to_string();
        assert!(text.chars().all(is_plain), "{text:?}");
    }

    #[test]
    fn results_have_their_colours_where_they_are_wanted() {
        let text = shown(OLD, 3000, 80, true);
        assert!(
            text.contains("\u{1b}[31mreject\u{1b}[0m") && text.contains("\u{1b}[32mpass\u{1b}[0m"),
            "{text:?}"
        );
        assert!(!shown(OLD, 3000, 80, false).contains('\u{1b}'));
    }
}
