//! A benchmark as a table for a person.

use std::ops::RangeInclusive;

use anstyle::{AnsiColor, Style};
use comfy_table::{CellAlignment, Table, TableComponent, presets};
use signalcore::work::HashRate;
use signalcore_drivers::cpu::TakeUp;
use signalcore_drivers::cpu::bench::{BenchOptions, Benchmark, Figures, Measured, SLICE, Standing};
use signalcore_drivers::cpu::measure;

use super::figures;

/// Characters of a line where no terminal says how many, and of a sentence on a wider one.
pub(super) const WIDTH: usize = 80;
/// Characters of the longest bar: below these there is no bar, above them nobody needs it longer.
const BAR: RangeInclusive<usize> = 5..=40;
/// Eighths of a character, without the whole.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
/// Before the kernel that a board would choose.
const MARK: &str = "▶";
/// In the place of a rate that the end came too early for.
const EARLY: &str = "early";

/// A column of numbers.
struct Column {
    header: &'static str,
    figure: fn(&Figures) -> Option<f64>,
    /// What it is; nothing where the column before says it.
    meaning: &'static str,
    /// Where a line is too short, columns are left out in the order of these numbers. None of them for the last one.
    leaves: Option<u8>,
}

/// Their order in the table.
#[rustfmt::skip]
const COLUMNS: [Column; 7] = [
    Column { header: "MH/s", figure: |f| Some(f.rate.median / 1e6), leaves: None, meaning: "MH/s: all threads, median round" },
    Column { header: "p10", figure: |f| Some(f.rate.p10 / 1e6), leaves: Some(1),
        meaning: "p10, p90: one round in ten is below, above" },
    Column { header: "p90", figure: |f| Some(f.rate.p90 / 1e6), leaves: Some(1), meaning: "" },
    Column { header: "CPU-s", figure: |f| Some(f.cpu_rate / 1e6), leaves: Some(2),
        meaning: "CPU-s: one thread in a second of its own" },
    Column { header: "cycles", figure: |f| f.cycles, leaves: Some(3), meaning: "cycles: of the core, a hash" },
    Column { header: "ratio", figure: |f| f.to_portable, leaves: Some(5),
        meaning: "ratio: to the portable kernel, side by side" },
    Column { header: FIRST, figure: |f| f.to_first, leaves: Some(4), meaning: "first: to the first one" },
];
/// The column that is there only if it says another thing than the ratio.
const FIRST: &str = "first";

/// What was measured, in lines of at most `width` characters where a kernel's name and its rate leave that much room.
pub(super) fn text(options: &BenchOptions, measured: &Benchmark, width: usize, colour: bool) -> String {
    let (columns, table) = fitting(measured, width);
    let mut lines = folded(&head(options, measured), width);
    lines.extend(table.lines().map(|line| coloured(line.trim_end(), measured, colour)));
    let meanings: Vec<_> =
        columns.iter().map(|column| column.meaning).filter(|meaning| !meaning.is_empty()).collect();
    lines.extend(folded(&(meanings.join("; ") + "."), width));
    let sentences = measured.kernels.iter().filter_map(|kernel| match &kernel.standing {
        Standing::Wrong(reason) => Some(format!("not timed, for it computes wrongly: {reason}")),
        _ => None,
    });
    let is_early = measured.kernels.iter().any(|kernel| kernel.standing == Standing::Untimed);
    let early = is_early.then(|| format!("{EARLY}: the end came before each thread had a slice of it"));
    let verdicts = [early, verdict(options, measured), measured.take_up.as_ref().map(take_up)];
    for sentence in sentences.chain(verdicts.into_iter().flatten()) {
        lines.extend(folded(&sentence, width));
    }
    lines.join("\n") + "\n"
}

/// The table with as many columns as the width has room for, and with bars if it has more.
fn fitting(measured: &Benchmark, width: usize) -> (Vec<&'static Column>, String) {
    let has_first = is_compared_with_first(measured);
    let mut columns: Vec<_> = COLUMNS.iter().filter(|column| column.header != FIRST || has_first).collect();
    loop {
        let narrow = table(measured, &columns, None);
        let used = narrow.lines().next().map_or(0, |line| line.chars().count());
        let next = columns.iter().filter_map(|column| column.leaves).min();
        if let Some(next) = next.filter(|_| used > width) {
            columns.retain(|column| column.leaves != Some(next));
            continue;
        }
        // A column more has a space on each side.
        let room = width.saturating_sub(used + 2).min(*BAR.end());
        let bars = BAR.contains(&room).then(|| table(measured, &columns, Some(room)));
        return (columns, bars.unwrap_or(narrow));
    }
}

/// A sentence in lines of at most `width` characters, as long as no word is longer, and of [`WIDTH`].
fn folded(sentence: &str, width: usize) -> Vec<String> {
    let width = width.min(WIDTH);
    let mut lines: Vec<String> = Vec::new();
    for word in sentence.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Threads, clock and times.
fn head(options: &BenchOptions, measured: &Benchmark) -> String {
    let threads = options.threads;
    let plural = if threads.get() == 1 { "" } else { "s" };
    let clocks = measured.kernels.iter().filter_map(|kernel| figures(kernel)?.clock).collect();
    let clock = measure::median(clocks).map_or(String::new(), |clock| format!(" at {:.2} GHz", clock / 1e9));
    format!(
        "{threads} thread{plural}{clock}, {} rounds of {} ms a kernel in {:.1} s",
        measured.rounds,
        SLICE.as_millis(),
        measured.took.as_secs_f64(),
    )
}

/// The table with these columns, and with bars of at most so many characters.
fn table(measured: &Benchmark, columns: &[&Column], bar: Option<usize>) -> String {
    let mut header = vec!["  kernel"];
    header.extend(columns.iter().map(|column| column.header));
    header.extend(bar.map(|_| ""));
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_header(header);
    table.remove_style(TableComponent::HorizontalLines);
    table.remove_style(TableComponent::MiddleIntersections);
    let rates = measured.kernels.iter().filter_map(figures).map(|figures| figures.rate.median);
    let best = rates.fold(0.0, f64::max);
    for kernel in &measured.kernels {
        let mut cells = vec![name(kernel, measured)];
        match (&kernel.standing, figures(kernel)) {
            (_, Some(figures)) => {
                cells.extend(columns.iter().map(|column| digits((column.figure)(figures))));
                cells.extend(bar.map(|width| filled(figures.rate.median / best, width)));
            }
            (Standing::Wrong(_), None) => cells.push("wrong".to_owned()),
            (Standing::Untimed, None) => cells.push(EARLY.to_owned()),
            (_, None) => cells.push("–".to_owned()),
        }
        table.add_row(cells);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 1)); // beside the space between two columns
    }
    for column in table.column_iter_mut().skip(1).take(columns.len()) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

fn name(kernel: &Measured, measured: &Benchmark) -> String {
    let name = kernel.kernel.name;
    let mark = if measured.chosen == Some(name) { MARK } else { " " };
    format!("{mark} {name}")
}

/// Whether the list begins with another kernel than the portable one, which all are compared with anyway.
fn is_compared_with_first(measured: &Benchmark) -> bool {
    let portable = measure::kernels()[0];
    measured.kernels.first().is_some_and(|first| first.kernel != portable)
}

/// A number in three digits, more where it is above a thousand.
fn digits(value: Option<f64>) -> String {
    let Some(value) = value else { return "–".to_owned() };
    let decimals = match value {
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

/// A bar of this part of the width, to an eighth of a character.
fn filled(part: f64, width: usize) -> String {
    let eighths = (part * width as f64 * 8.0).round() as usize;
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

/// Colours the line of a kernel; the table itself would count the colours as width.
fn coloured(line: &str, measured: &Benchmark, colour: bool) -> String {
    let of_line = |kernel: &&Measured| {
        let first_word = line.trim_start_matches([' ', '▶']).split(' ').next();
        first_word == Some(kernel.kernel.name)
    };
    let style = match measured.kernels.iter().find(of_line) {
        Some(kernel) if measured.chosen == Some(kernel.kernel.name) => AnsiColor::Green.on_default(),
        Some(Measured { standing: Standing::Wrong(_), .. }) => AnsiColor::Red.on_default(),
        Some(Measured { standing: Standing::Unsupported, .. }) => Style::new().dimmed(),
        _ => Style::new(),
    };
    if colour { format!("{style}{line}{style:#}") } else { line.to_owned() }
}

/// Which kernel is the fastest: of all, and then a board would choose it, or of those listed.
fn verdict(options: &BenchOptions, measured: &Benchmark) -> Option<String> {
    let fastest = measured.kernels.iter().find(|kernel| Some(kernel.kernel.name) == measured.fastest)?;
    let rate = HashRate(figures(fastest)?.rate.median);
    let of = if measured.chosen.is_some() { MARK } else { "of these," };
    let jobs = match options.version_bits {
        0 => "jobs without version rolling".to_owned(),
        1 => "jobs with 1 version bit".to_owned(),
        bits => format!("jobs with {bits} version bits"),
    };
    Some(format!("{of} {} is fastest for {jobs}: {rate}", fastest.kernel.name))
}

/// How soon a new job is hashed.
fn take_up(take_up: &TakeUp) -> String {
    let [median, worst] = [take_up.median, take_up.worst].map(|time| digits(Some(time.as_secs_f64() * 1e3)));
    format!(
        "job taken up in: median {median} ms, worst {worst} ms of {} changes on one thread",
        take_up.changes
    )
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::time::Duration;

    use signalcore_drivers::cpu::bench::Spread;
    use signalcore_drivers::cpu::measure::KernelInfo;

    use super::*;

    fn options(version_bits: u32) -> BenchOptions {
        BenchOptions { kernels: vec![], threads: NonZeroUsize::new(128).unwrap(), pin: false, version_bits }
    }

    fn timed(name: &'static str, rate: f64) -> Measured {
        let rate = Spread { p10: rate * 0.9, median: rate, p90: rate * 1.1 };
        let figures = Figures {
            rate,
            cpu_rate: rate.median / 128.0,
            clock: Some(4.05e9),
            cycles: Some(931.4),
            to_portable: Some(19.46),
            to_first: Some(0.5),
        };
        Measured { standing: Standing::Timed(figures), ..unsupported(name) }
    }

    fn unsupported(name: &'static str) -> Measured {
        let kernel = KernelInfo { name, midstates: 1, is_supported: true };
        Measured { kernel, standing: Standing::Unsupported }
    }

    fn wrong(name: &'static str) -> Measured {
        Measured { standing: Standing::Wrong("kernel w is wrong".into()), ..unsupported(name) }
    }

    fn untimed(name: &'static str) -> Measured {
        Measured { standing: Standing::Untimed, ..unsupported(name) }
    }

    fn benchmark(kernels: Vec<Measured>, chosen: Option<&'static str>) -> Benchmark {
        let (median, worst) = (Duration::from_micros(270), Duration::from_micros(1234));
        Benchmark {
            kernels,
            fastest: chosen,
            chosen,
            rounds: 123_456,
            took: Duration::from_secs(3600),
            take_up: Some(TakeUp { median, worst, changes: 100 }),
            is_pinned: false,
            faults: vec![],
        }
    }

    #[test]
    fn lines_fit_terminals_of_32_columns_and_more_also_on_a_large_machine_with_the_longest_names() {
        let kernels = vec![
            timed("avx512-16-versions-x2", 2.1e9),
            timed("avx512-16-versions-x3", 13.14e9),
            wrong("odd"),
            untimed("soon"),
        ];
        for chosen in [None, Some("avx512-16-versions-x3")] {
            for width in 32..=120 {
                let text = text(&options(16), &benchmark(kernels.clone(), chosen), width, false);
                for line in text.lines() {
                    assert!(line.chars().count() <= width, "{width}: {line}\nin\n{text}");
                }
            }
        }
    }

    #[test]
    fn a_narrower_terminal_shows_fewer_columns_with_their_meanings_and_the_rate_to_the_last() {
        let bench = benchmark(vec![timed("avx512-16-versions-x3", 2e6)], None);
        for (width, shown) in [
            (80, "kernel MH/s p10 p90 CPU-s cycles ratio first"),
            (60, "kernel MH/s CPU-s cycles ratio first"),
            (44, "kernel MH/s ratio first"),
            (40, "kernel MH/s ratio"),
            (32, "kernel MH/s"),
            (10, "kernel MH/s"),
        ] {
            let text = text(&options(16), &bench, width, false);
            let header = text.lines().find(|line| line.starts_with("  kernel")).unwrap();
            assert_eq!(header.split_whitespace().collect::<Vec<_>>().join(" "), shown, "{width}");
            let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
            for (name, meaning) in [("cycles", "cycles: of the core"), ("ratio", "ratio: to the portable")] {
                assert_eq!(one_line.contains(meaning), shown.contains(name), "{width}: {text}");
            }
        }
    }

    #[test]
    fn the_time_to_a_new_job_is_told_in_milliseconds_and_not_where_it_was_not_measured() {
        let mut bench = benchmark(vec![timed("fast", 2e6)], None);
        let line = "job taken up in: median 0.27 ms, worst 1.23 ms of 100 changes on one thread\n";
        assert!(text(&options(3), &bench, 80, false).contains(line));
        bench.take_up = None;
        assert!(!text(&options(3), &bench, 80, false).contains("taken up"));
    }

    #[test]
    fn bars_are_as_long_as_rates_and_there_where_there_is_room() {
        let portable = measure::kernels()[0];
        let of_portable = Measured { kernel: portable, ..timed("", 1e6) };
        let bench = benchmark(vec![of_portable, timed("twice", 2e6)], None);
        let wide = text(&options(0), &bench, 120, false);
        let bars: Vec<_> =
            wide.lines().map(|line| line.matches('█').count()).filter(|bar| *bar > 0).collect();
        assert_eq!(bars, [20, 40], "{wide}");
        assert!(!text(&options(0), &bench, 50, false).contains('█'));
        assert_eq!(
            (filled(0.0, 9), filled(1.0 / 16.0, 2), filled(0.3, 5)),
            (String::new(), "▏".into(), "█▌".into())
        );
    }

    #[test]
    fn the_chosen_kernel_is_marked_a_wrong_one_has_its_reason_and_each_its_colour() {
        let bench = benchmark(vec![timed("fast", 2e6), wrong("odd"), unsupported("none")], Some("fast"));
        let plain = text(&options(3), &bench, 80, false);
        assert!(plain.contains("▶ fast is fastest for jobs with 3 version bits: 2.00 MH/s"), "{plain}");
        assert!(plain.contains("not timed, for it computes wrongly: kernel w is wrong"), "{plain}");
        let row = |name: &str| plain.lines().find(|line| line.contains(name)).unwrap().split_whitespace();
        assert_eq!(row("odd").collect::<Vec<_>>(), ["odd", "wrong"]);
        assert_eq!(row("none").collect::<Vec<_>>(), ["none", "–"]);
        assert!(plain.contains("first: to the first one."), "{plain}");
        let colours = text(&options(3), &bench, 80, true);
        for start in ["\u{1b}[32m▶ fast", "\u{1b}[31m  odd", "\u{1b}[2m  none"] {
            assert!(colours.contains(start), "{colours:?}");
        }
        assert!(!plain.contains('\u{1b}'));
    }

    #[test]
    fn a_kernel_that_an_early_end_left_without_figures_is_told_from_one_that_the_processor_lacks() {
        let bench = benchmark(vec![timed("fast", 2e6), untimed("soon"), unsupported("none")], None);
        let text = text(&options(3), &bench, 80, false);
        let row = |name: &str| {
            text.lines().find(|line| line.contains(name)).unwrap().split_whitespace().collect::<Vec<_>>()
        };
        assert_eq!((row("soon"), row("none")), (vec!["soon", EARLY], vec!["none", "–"]), "{text}");
        assert!(!text.contains("is fastest"), "it is not known: {text}");
    }

    #[test]
    fn the_fastest_of_a_part_of_the_kernels_is_said_to_be_that_and_not_marked() {
        let mut bench = benchmark(vec![timed("fast", 2e6), timed("slow", 1e6)], None);
        bench.fastest = Some("fast");
        let text = text(&options(0), &bench, 80, true);
        assert!(
            text.contains("of these, fast is fastest for jobs without version rolling: 2.00 MH/s"),
            "{text}"
        );
        assert!(!text.contains(MARK) && !text.contains("\u{1b}[32m"), "{text}");
    }

    #[test]
    fn numbers_have_three_digits() {
        let shown = [0.0, 0.5, 9.996, 54.55, 99.96, 13_140.0].map(|value| digits(Some(value)));
        assert_eq!(shown, ["0.00", "0.50", "10.0", "54.5", "100", "13140"]);
        assert_eq!(digits(None), "–");
    }
}
