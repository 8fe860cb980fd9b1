//! A benchmark as a table for a person.

use std::ops::RangeInclusive;

use anstyle::{AnsiColor, Style};
use comfy_table::{CellAlignment, Table, TableComponent, presets};
use signalcore::work::HashRate;
use signalcore_drivers::cpu::bench::{BenchOptions, Benchmark, Measured, SLICE, Standing};
use signalcore_drivers::cpu::measure;

use super::figures;

/// Characters of a line where no terminal says how many.
pub(super) const WIDTH: usize = 80;
/// Characters of the longest bar: below these there is no bar, above them nobody needs it longer.
const BAR: RangeInclusive<usize> = 5..=40;
/// Eighths of a character, without the whole.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
/// Before the kernel that is chosen.
const MARK: &str = "▶";

const EXPLANATION: &str = "\
MH/s: all threads, median round; p10, p90: one round in ten is below, above.
CPU-s: one thread in a second of its own; cycles: of the core, a hash.
ratio: to the portable kernel, side by side";

/// What was measured, in lines of at most `width` characters where the table can be so narrow.
pub(super) fn text(options: &BenchOptions, measured: &Benchmark, width: usize, colour: bool) -> String {
    let narrow = table(measured, None);
    let used = narrow.lines().next().map_or(0, |line| line.chars().count());
    // A column more has a space on each side.
    let room = width.saturating_sub(used + 2).min(*BAR.end());
    let table = if BAR.contains(&room) { table(measured, Some(room)) } else { narrow };
    let mut lines = vec![head(options, measured)];
    lines.extend(table.lines().map(|line| coloured(line.trim_end(), measured, colour)));
    let first = if is_compared_with_first(measured) { "; first: to the first one" } else { "" };
    lines.push(format!("{EXPLANATION}{first}."));
    lines.extend(measured.kernels.iter().filter_map(|kernel| match &kernel.standing {
        Standing::Wrong(reason) => Some(format!("not timed, for it computes wrongly: {reason}")),
        _ => None,
    }));
    lines.extend(verdict(options, measured));
    lines.join("\n") + "\n"
}

/// Threads, clock and times.
fn head(options: &BenchOptions, measured: &Benchmark) -> String {
    let threads = options.threads;
    let plural = if threads.get() == 1 { "" } else { "s" };
    let mut clocks: Vec<_> = measured.kernels.iter().filter_map(|kernel| figures(kernel)?.clock).collect();
    clocks.sort_by(f64::total_cmp);
    let clock =
        clocks.get(clocks.len() / 2).map_or(String::new(), |clock| format!(" at {:.2} GHz", clock / 1e9));
    format!(
        "{threads} thread{plural}{clock}, {} rounds of {} ms a kernel in {:.1} s",
        measured.rounds,
        SLICE.as_millis(),
        measured.took.as_secs_f64(),
    )
}

/// The table, with bars of at most so many characters.
fn table(measured: &Benchmark, bar: Option<usize>) -> String {
    let has_first = is_compared_with_first(measured);
    let mut header = vec!["  kernel", "MH/s", "p10", "p90", "CPU-s", "cycles", "ratio"];
    header.extend(has_first.then_some("first"));
    let numbers = header.len() - 1;
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
                let rates = [figures.rate.median, figures.rate.p10, figures.rate.p90, figures.cpu_rate];
                cells.extend(rates.map(|rate| digits(Some(rate / 1e6))));
                cells.extend([figures.cycles, figures.to_portable].map(digits));
                cells.extend(has_first.then(|| digits(figures.to_first)));
                cells.extend(bar.map(|width| filled(figures.rate.median / best, width)));
            }
            (Standing::Wrong(_), None) => cells.push("wrong".to_owned()),
            (_, None) => cells.push("–".to_owned()),
        }
        table.add_row(cells);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 1)); // beside the space between two columns
    }
    for column in table.column_iter_mut().skip(1).take(numbers) {
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

/// Which kernel is chosen.
fn verdict(options: &BenchOptions, measured: &Benchmark) -> Option<String> {
    let chosen = measured.kernels.iter().find(|kernel| Some(kernel.kernel.name) == measured.chosen)?;
    let rate = HashRate(figures(chosen)?.rate.median);
    let jobs = match options.version_bits {
        0 => "jobs without version rolling".to_owned(),
        1 => "jobs with 1 version bit".to_owned(),
        bits => format!("jobs with {bits} version bits"),
    };
    Some(format!("{MARK} {} is fastest for {jobs}: {rate}", chosen.kernel.name))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::time::Duration;

    use signalcore_drivers::cpu::bench::{Figures, Spread};
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

    fn benchmark(kernels: Vec<Measured>, chosen: Option<&'static str>) -> Benchmark {
        Benchmark { kernels, chosen, rounds: 123_456, took: Duration::from_secs(3600), faults: vec![] }
    }

    #[test]
    fn lines_fit_80_columns_also_of_a_large_machine_and_the_longest_names() {
        let kernels = vec![timed("avx512-16-versions-x2", 2.1e9), timed("avx512-16-versions-x3", 13.14e9)];
        for chosen in [None, Some("avx512-16-versions-x3")] {
            let text = text(&options(16), &benchmark(kernels.clone(), chosen), WIDTH, false);
            for line in text.lines() {
                assert!(line.chars().count() <= 80, "{line}\nin\n{text}");
            }
        }
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
    fn numbers_have_three_digits() {
        let shown = [0.0, 0.5, 9.996, 54.55, 99.96, 13_140.0].map(|value| digits(Some(value)));
        assert_eq!(shown, ["0.00", "0.50", "10.0", "54.5", "100", "13140"]);
        assert_eq!(digits(None), "–");
    }
}
