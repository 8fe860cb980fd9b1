//! `signalcore blocks`: the blocks that were found here, and what became of each.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IsTerminal};
use std::path::PathBuf;

use anstyle::{AnsiColor, Style};
use anyhow::{Context, ensure};
use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};
use signalcore::config::{self, Environment, Flags};
use signalcore::monitor;
use signalcore::protocol::block_book::{Book, Entry};
use signalcore::protocol::block_record::{Fate, FoundBody};
use signalcore::upstream::journal::{FileError, JournalFile};

use super::{exit, mine, print};

const EXAMPLES: &str = "\
Examples:
  signalcore blocks
  signalcore blocks --json | jq 'select(.fate == \"open\")'
  signalcore blocks --hex 1f0a2b > block.hex
  bitcoin-cli -stdin submitblock < block.hex

Fates: open (none is known yet), accepted, orphaned (another block won), refused, given up (nobody has judged it).

Exit codes: 0 shown, also when there is none; 1 no such block, or the journal cannot be read; 2 HASH is no hash;
77 not allowed to read the journal; 78 the configuration is invalid.";

/// Digits of a hash that a narrow table shows, those after the leading zeros.
const SHORT: usize = 12;
/// Answers to one block that the table shows, the latest.
const ANSWERS: usize = 3;

/// List the blocks that were found here, and what became of each.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The journal to read. Default: state.journal of the configuration, or its default place.
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// The configuration to read instead of searching one.
    #[arg(short, long, value_name = "FILE", conflicts_with = "journal")]
    config: Option<PathBuf>,
    /// Print one JSON object a block.
    #[arg(long)]
    json: bool,
    /// Print one block in hexadecimal, as submitblock takes it. The first digits of its hash, with or without the
    /// leading zeros, suffice.
    #[arg(long, value_name = "HASH", conflicts_with = "json")]
    hex: Option<String>,
}

/// Runs `signalcore blocks`; gives the exit code.
pub(crate) fn run(args: &Args) -> anyhow::Result<u8> {
    let Some(path) = place(args)? else { return Ok(exit::CONFIG) };
    if let Some(hash) = &args.hex
        && !is_hash(hash)
    {
        eprintln!("signalcore: --hex: found {hash:?}, expected 1 to 64 hex digits of a block's hash");
        return Ok(exit::USAGE);
    }
    if args.journal.is_some()
        && path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound)
    {
        eprintln!(
            "signalcore: --journal: {} is not there; leave the flag out for the usual place",
            path.display()
        );
        return Ok(exit::FAILURE);
    }
    let journal = JournalFile::new(path);
    let shown = journal.read(u64::MAX).map_err(anyhow::Error::from).and_then(|book| {
        tell_damage(&journal, &book);
        match &args.hex {
            Some(hash) => block(&journal, &book, hash),
            None if args.json => lines(&journal, &book),
            None => Ok(text(&journal, &book)),
        }
    });
    match shown {
        Ok(shown) => print(&shown).map(|()| exit::DONE),
        Err(error) => {
            eprintln!("signalcore: {error:#}");
            let kind = error.downcast_ref().and_then(FileError::kind);
            Ok(if kind == Some(ErrorKind::PermissionDenied) { exit::PERMISSION } else { exit::FAILURE })
        }
    }
}

/// Where the journal is; `None`, told, when the configuration does not say for its mistakes.
fn place(args: &Args) -> anyhow::Result<Option<PathBuf>> {
    if let Some(path) = &args.journal {
        return Ok(Some(path.clone()));
    }
    let environment = Environment::of_process();
    let flags = Flags { config: args.config.clone(), ..Flags::default() };
    match config::load(&flags, &environment) {
        Ok(loaded) => {
            let path = loaded.config.state.journal.or_else(|| config::journal_file(&environment));
            path.context("no home directory to look in; name the journal with --journal FILE").map(Some)
        }
        Err(error) => {
            eprintln!("{error}");
            Ok(None)
        }
    }
}

fn tell_damage(journal: &JournalFile, book: &Book) {
    let path = journal.path().display();
    if book.broken > 0 {
        let first = book.first_broken.map_or(String::new(), |line| format!(", the first is line {line}"));
        eprintln!("signalcore: {path}: broken lines that are passed over: {}{first}", book.broken);
    }
    if book.is_unfinished {
        eprintln!("signalcore: {path}: the last line is unfinished: a miner is writing it, or was stopped");
    }
    if book.forgotten > 0 {
        eprintln!("signalcore: {path}: earlier blocks that are left out: {}", book.forgotten);
    }
}

fn is_hash(text: &str) -> bool {
    let digits = text.trim_start_matches('…');
    (1..=64).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// The hexadecimal of the one block whose hash begins so. Errors: none does, several do, or its bytes are not there.
fn block(journal: &JournalFile, book: &Book, hash: &str) -> anyhow::Result<String> {
    let path = journal.path().display();
    let digits = hash.trim_start_matches('…').to_ascii_lowercase();
    let begins = |entry: &&Entry| {
        let whole = entry.hash.to_string();
        whole.starts_with(&digits) || significant(&whole).starts_with(&digits)
    };
    let mut matching = book.entries().filter(begins);
    let entry = matching.next().with_context(|| {
        format!("{path} has no block whose hash begins with {digits}; `signalcore blocks` lists those it has")
    })?;
    let more = matching.count();
    ensure!(more == 0, "{path} has {} blocks whose hashes begin with {digits}; give more digits", more + 1);
    let finding = entry.found.as_ref();
    let finding =
        finding.with_context(|| format!("{path} has the fate of block {}, not its bytes", entry.hash))?;
    match journal.found(finding.place)?.body {
        FoundBody::Solo(block) => Ok(block.block + "\n"),
        FoundBody::Pool(_) => anyhow::bail!(
            "block {} was found for {}, which alone has its transactions; --json prints what is known of it",
            entry.hash,
            finding.upstream
        ),
    }
}

/// A hash without the zeros that all blocks of a chain have in common.
fn significant(hash: &str) -> &str {
    hash.trim_start_matches('0')
}

fn lines(journal: &JournalFile, book: &Book) -> anyhow::Result<String> {
    book.entries().map(|entry| Ok(format!("{}\n", object(journal, entry)?))).collect()
}

fn object(journal: &JournalFile, entry: &Entry) -> anyhow::Result<Value> {
    let (finding, fate) = (entry.found.as_ref(), entry.settled.as_ref());
    let answers = entry
        .answers
        .iter()
        .map(|answer| json!({ "time": answer.at, "from": answer.from, "text": answer.text }));
    let mut object = json!({
        "time": entry.at(),
        "hash": entry.hash.to_string(),
        "upstream": finding.map(|finding| &finding.upstream),
        "height": finding.and_then(|finding| finding.height),
        "chain": finding.and_then(|finding| finding.chain.as_deref()),
        "fate": fate.map_or("open", |settled| settled.fate.word()),
        "fate_time": fate.map(|settled| settled.at),
        "reason": fate.and_then(|settled| settled.fate.reason()),
        "answers": answers.collect::<Vec<_>>(),
        "answers_left_out": entry.answers_left_out,
        "kind": Value::Null,
    });
    let Some(finding) = finding else { return Ok(object) };
    if finding.chain.is_some() {
        object["kind"] = json!("solo");
    } else if let FoundBody::Pool(block) = journal.found(finding.place)?.body {
        object["kind"] = json!("pool");
        object["job"] = json!(block.job);
        object["header"] = json!(block.header);
        object["coinbase"] = json!(block.coinbase);
        object["branch"] = json!(block.branch);
    }
    Ok(object)
}

/// For a person.
fn text(journal: &JournalFile, book: &Book) -> String {
    if book.entries().len() == 0 {
        return format!("no blocks yet in {}\n", journal.path().display());
    }
    let colour = matches!(mine::style(false), monitor::Style::Plain { colour: true });
    let width = terminal_width();
    let is_wide =
        |text: &str| width.is_some_and(|width| text.lines().any(|line| line.chars().count() > width));
    let whole = tables(book, false);
    let is_short = whole.iter().any(|table| is_wide(table));
    let [blocks, answers] = if is_short { tables(book, true) } else { whole };
    let blocks = if colour { coloured(&blocks, book) } else { blocks };
    format!("{blocks}\n{answers}")
}

/// The blocks, and what was said of them last (nothing, when nothing was).
fn tables(book: &Book, is_short: bool) -> [String; 2] {
    let hash = |entry: &Entry| {
        let whole = entry.hash.to_string();
        if is_short { format!("…{:.SHORT$}", significant(&whole)) } else { whole }
    };
    let mut blocks = table(&["found", "height", "hash", "for", "fate"]);
    if let Some(height) = blocks.column_mut(1) {
        height.set_cell_alignment(CellAlignment::Right);
    }
    let mut answers = table(&["answered", "hash", "by", "answer"]);
    for entry in book.entries() {
        let (finding, none) = (entry.found.as_ref(), || "–".to_owned());
        let height =
            finding.and_then(|finding| finding.height).map_or_else(none, |height| height.to_string());
        let upstream = finding.map_or_else(none, |finding| short_url(&finding.upstream));
        blocks.add_row([time(entry.at()), height, hash(entry), upstream, fate_text(entry)]);
        for answer in latest(&entry.answers) {
            answers.add_row([time(answer.at), hash(entry), short_url(&answer.from), answer.text.clone()]);
        }
    }
    let answers = if answers.is_empty() { String::new() } else { format!("{answers}\n") };
    [blocks.to_string(), answers]
}

fn latest<T>(all: &VecDeque<T>) -> impl Iterator<Item = &T> {
    all.iter().skip(all.len().saturating_sub(ANSWERS))
}

pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_header(header);
    table.remove_style(comfy_table::TableComponent::HorizontalLines);
    table.remove_style(comfy_table::TableComponent::MiddleIntersections);
    table
}

/// Without the scheme that most pools share.
fn short_url(upstream: &str) -> String {
    upstream.trim_start_matches("stratum+tcp://").to_owned()
}

fn fate_text(entry: &Entry) -> String {
    let fate = entry.settled.as_ref().map(|settled| &settled.fate);
    let word = fate.map_or("open", Fate::word);
    fate.and_then(Fate::reason).map_or(word.to_owned(), |reason| format!("{word}: {reason}"))
}

fn fate_style(entry: &Entry) -> Style {
    match entry.settled.as_ref().map(|settled| &settled.fate) {
        None => AnsiColor::Cyan.on_default(),
        Some(Fate::Accepted) => AnsiColor::Green.on_default(),
        Some(Fate::Orphaned) => AnsiColor::Yellow.on_default(),
        Some(Fate::Refused { .. } | Fate::GivenUp { .. }) => AnsiColor::Red.on_default(),
    }
}

/// Colours the fates of a table of blocks; the table itself would count the colours as width. A block is one line, and
/// its fate is the last in it.
fn coloured(table: &str, book: &Book) -> String {
    let mut entries = book.entries().peekable();
    let mut line_of = |line: &str| {
        let fate = entries.peek().and_then(|entry| Some((fate_style(entry), line.rfind(&fate_text(entry))?)));
        let Some((style, at)) = fate else { return line.to_owned() };
        entries.next();
        let (before, fate) = line.split_at(at);
        format!("{before}{style}{fate}{style:#}")
    };
    table.lines().map(&mut line_of).collect::<Vec<_>>().join("\n")
}

/// Local time, or the seconds where they are no time.
fn time(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map_or(seconds.to_string(), |time| {
        time.to_zoned(jiff::tz::TimeZone::system()).strftime("%F %T").to_string()
    })
}

/// Characters a line has room for; `None` when nobody looks at a terminal.
pub(super) fn terminal_width() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    #[cfg(unix)]
    let width = rustix::termios::tcgetwinsize(io::stdout()).ok().map(|size| usize::from(size.ws_col));
    #[cfg(not(unix))]
    let width = None;
    // Some terminals say 0.
    width.filter(|width| *width > 0).or(Some(80))
}

#[cfg(test)]
mod tests {
    use signalcore::protocol::block_book::BookReader;
    use signalcore::protocol::block_record::{Answer, Record, Settled};
    use signalcore::work::BlockHash;

    use super::*;

    fn book() -> Book {
        let fates = [
            None,
            Some(Fate::Accepted),
            Some(Fate::Orphaned),
            Some(Fate::refused("x")),
            Some(Fate::given_up("y")),
        ];
        let mut reader = BookReader::from(0);
        for (number, fate) in fates.into_iter().enumerate() {
            let mut hash = [0x11 * (number as u8 + 1); 32];
            hash[20..].fill(0); // as much as the hashes of today's blocks have
            let hash = BlockHash(hash);
            let answers =
                (0..5).map(|text: u64| Record::Answer(Answer::new(hash, "n", &text.to_string(), text)));
            let settled = fate.map(|fate| Record::Settled(Settled { at: 9, hash, fate }));
            for record in answers.chain(settled) {
                reader.read((record.to_line() + "\n").as_bytes());
            }
        }
        reader.finish()
    }

    #[test]
    fn a_narrow_table_shows_the_digits_that_tell_blocks_apart_and_the_latest_answers() {
        let [blocks, answers] = tables(&book(), true);
        assert!(
            blocks.lines().chain(answers.lines()).all(|line| line.chars().count() <= 80),
            "{blocks}{answers}"
        );
        let rows = blocks.lines().filter(|line| line.contains('…')).count();
        assert!(rows == 5 && blocks.contains(" …222222222222 "), "{blocks}");
        let said: String = answers
            .lines()
            .filter(|l| l.contains("…11"))
            .filter_map(|l| l.trim_end().chars().last())
            .collect();
        assert_eq!(said, "234");
        assert!(tables(&book(), false)[0].contains(&format!("{}{}", "0".repeat(24), "22".repeat(20))));
    }

    #[test]
    fn each_fate_has_its_colour_and_nothing_else_does() {
        let book = book();
        let [plain, _] = tables(&book, false);
        let colours = coloured(&plain, &book);
        for (word, code) in
            [("open", 36), ("accepted", 32), ("orphaned", 33), ("refused: x", 31), ("given up: y", 31)]
        {
            assert!(colours.contains(&format!("\u{1b}[{code}m{word}")), "{colours:?}");
        }
        assert_eq!(colours.matches('\u{1b}').count(), 10);
        let uncoloured = [36, 32, 33, 31, 0]
            .iter()
            .fold(colours, |text, code| text.replace(&format!("\u{1b}[{code}m"), ""));
        assert_eq!(uncoloured, plain);
    }

    #[test]
    fn only_digits_are_a_hash() {
        assert!(is_hash("…02aB") && is_hash(&"0".repeat(64)));
        assert!(!is_hash("") && !is_hash("…") && !is_hash("0x12") && !is_hash(&"0".repeat(65)));
    }
}
