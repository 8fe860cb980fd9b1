//! What came out: as a table for a person, as JUnit XML and as JSON for programs.

use std::fmt::Write as _;

use comfy_table::{ColumnConstraint, ContentArrangement, Table, TableComponent, presets};
use serde_json::{Value, json};

use super::check::{Check, Finding, Status};

/// One check of one board.
#[derive(Debug)]
pub struct Row {
    /// The board's name.
    pub board: String,
    /// Which check.
    pub check: &'static Check,
    /// Its verdict.
    pub finding: Finding,
    /// How long the part of the run took that it shares with others. Unit: seconds.
    pub seconds: f64,
}

/// All of them.
#[derive(Debug)]
pub struct Report {
    /// Of the bench.
    pub title: String,
    /// Board by board, in the order of the tables.
    pub rows: Vec<Row>,
    /// How long all of it took. Unit: seconds.
    pub seconds: f64,
    /// Whether a signal cut it short.
    pub interrupted: bool,
}

impl Status {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

impl Report {
    /// How many checks ended so.
    pub fn count(&self, status: Status) -> usize {
        self.rows.iter().filter(|row| row.finding.status == status).count()
    }

    /// The table, `width` columns wide, the reasons below it, and the counts last.
    pub fn table(&self, width: u16) -> String {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_BORDERS_ONLY).remove_style(TableComponent::HorizontalLines);
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        table.set_header(["board", "check", "verdict", "measured", "limit"]);
        for column in table.column_iter_mut().take(3) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
        let mut above = "";
        for Row { board, check, finding, .. } in &self.rows {
            let measured =
                if finding.status == Status::Skipped { &finding.reason } else { &finding.measured };
            let name = if board == above { "" } else { board };
            table.add_row([name, check.name, finding.status.word(), measured, &finding.limit]);
            above = board;
        }
        let mut text = format!("{}\n{table}\n", self.title);
        for Row { board, check, finding, .. } in &self.rows {
            if finding.status == Status::Failed {
                writeln!(text, "{board}: {} failed: {}", check.name, finding.reason)
                    .expect("a String takes all");
            }
        }
        let counts = [Status::Passed, Status::Failed, Status::Skipped]
            .map(|status| format!("{} {}", self.count(status), status.word()));
        let cut = if self.interrupted { ", cut short by a signal" } else { "" };
        writeln!(text, "{}{cut}; {:.0} s", counts.join(", "), self.seconds).expect("a String takes all");
        text
    }

    /// One object with all of it.
    pub fn json(&self) -> Value {
        let row = |Row { board, check, finding, seconds }: &Row| {
            json!({
                "board": board,
                "check": check.name,
                "result": finding.status.word(),
                "measured": finding.measured,
                "limit": finding.limit,
                "reason": finding.reason,
                "figures": finding.figures,
                "seconds": seconds,
            })
        };
        json!({
            "title": self.title,
            "seconds": self.seconds,
            "interrupted": self.interrupted,
            "passed": self.count(Status::Passed),
            "failed": self.count(Status::Failed),
            "skipped": self.count(Status::Skipped),
            "checks": self.rows.iter().map(row).collect::<Vec<_>>(),
        })
    }

    /// As test runners exchange it: a suite a board, a case a check. Source: the schema of Jenkins' xUnit plug-in,
    /// `junit-10.xsd`.
    pub fn junit(&self) -> String {
        let suites: Vec<_> = self.rows.chunk_by(|one, next| one.board == next.board).map(suite).collect();
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"{}\" {} time=\"{:.3}\">\n{}</testsuites>\n",
            escaped(&self.title),
            totals(&self.rows),
            self.seconds,
            suites.concat()
        )
    }
}

fn totals(rows: &[Row]) -> String {
    let count = |status| rows.iter().filter(|row| row.finding.status == status).count();
    let (failed, skipped) = (count(Status::Failed), count(Status::Skipped));
    format!("tests=\"{}\" failures=\"{failed}\" skipped=\"{skipped}\" errors=\"0\"", rows.len())
}

/// The rows of one board.
fn suite(rows: &[Row]) -> String {
    let board = escaped(&rows[0].board);
    let case = |Row { check, finding, seconds, .. }: &Row| {
        let name = check.name;
        let outcome = outcome(finding);
        format!(
            "    <testcase classname=\"{board}\" name=\"{name}\" time=\"{seconds:.3}\">\n{outcome}    </testcase>\n"
        )
    };
    let cases: Vec<_> = rows.iter().map(case).collect();
    format!("  <testsuite name=\"{board}\" {}>\n{}  </testsuite>\n", totals(rows), cases.concat())
}

fn outcome(finding: &Finding) -> String {
    let Finding { measured, limit, reason, .. } = finding;
    let (measured, limit, reason) = (escaped(measured), escaped(limit), escaped(reason));
    match finding.status {
        Status::Passed => format!("      <system-out>{measured} (limit: {limit})</system-out>\n"),
        Status::Failed => {
            format!("      <failure message=\"{reason}\">{measured} (limit: {limit})</failure>\n")
        }
        Status::Skipped => format!("      <skipped message=\"{reason}\"/>\n"),
    }
}

/// Text for XML 1.0, between tags and in attributes. What it cannot hold is left out.
fn escaped(text: &str) -> String {
    let mut safe = String::new();
    for letter in text.chars() {
        match letter {
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '&' => safe += "&amp;",
            '"' => safe += "&quot;",
            letter if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => {}
            letter => safe.push(letter),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let row = |board: &str, check: usize, finding: Finding| Row {
            board: board.to_owned(),
            check: &super::super::check::CHECKS[check],
            finding,
            seconds: 1.5,
        };
        let passed = Finding {
            measured: "97 %".to_owned(),
            limit: "± 15 %".to_owned(),
            reason: String::new(),
            ..Finding::skipped("")
        };
        let passed = Finding { status: Status::Passed, ..passed };
        let failed = Finding { status: Status::Failed, reason: "\"<&\x1b".to_owned(), ..passed.clone() };
        let rows = vec![row("a", 0, Finding::skipped("no port")), row("a", 3, passed), row("b", 3, failed)];
        Report { title: "two & boards".to_owned(), rows, seconds: 7.0, interrupted: true }
    }

    #[test]
    fn the_table_fits_its_width_and_says_why_something_failed_or_was_skipped() {
        for width in [70, 100] {
            let table = report().table(width);
            let longest = table
                .lines()
                .filter(|line| line.starts_with(['│', '┌']))
                .map(|line| line.chars().count())
                .max();
            assert!(longest <= Some(width.into()), "{table}");
            assert!(table.contains("no port") && table.contains("b: hash-rate failed: \"<&"), "{table}");
            assert!(
                table.ends_with("1 passed, 1 failed, 1 skipped, cut short by a signal; 7 s\n"),
                "{table}"
            );
        }
    }

    #[test]
    fn junit_has_a_suite_for_each_board_and_its_texts_are_escaped() {
        let junit = report().junit();
        assert!(
            junit
                .contains("<testsuites name=\"two &amp; boards\" tests=\"3\" failures=\"1\" skipped=\"1\" errors=\"0\" time=\"7.000\">"),
            "{junit}"
        );
        assert!(
            junit.contains("<testsuite name=\"a\" tests=\"2\" failures=\"0\" skipped=\"1\" errors=\"0\">"),
            "{junit}"
        );
        assert!(
            junit.contains("<failure message=\"&quot;&lt;&amp;\">97 % (limit: ± 15 %)</failure>"),
            "{junit}"
        );
        assert!(junit.contains("<skipped message=\"no port\"/>"), "{junit}");
    }

    #[test]
    fn the_object_has_the_counts_and_a_row_for_each_check() {
        let json = report().json();
        assert_eq!((&json["passed"], &json["failed"], &json["skipped"]), (&json!(1), &json!(1), &json!(1)));
        assert_eq!(
            (&json["checks"][2]["board"], &json["checks"][2]["result"]),
            (&json!("b"), &json!("failed"))
        );
    }
}
