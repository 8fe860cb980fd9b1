//! Where the log goes. Writing is handed to a thread of its own, so that a slow disk holds up nobody.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal};
use std::path::Path;

use anyhow::Context;
use signalcore::config::Log;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// Lines that may wait for the disk; more are dropped.
const MAX_WAITING: usize = 4096;

/// Starts the log; it ends, written out, when the guard is dropped. To the file if one is named, else to standard error,
/// where the events that the standard output shows anyway are left out.
pub(crate) fn start(log: &Log) -> anyhow::Result<WorkerGuard> {
    let filter = filter(&log.level)?;
    let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(MAX_WAITING);
    let (writer, guard, filter, colour) = if let Some(path) = &log.file {
        let (writer, guard) = builder.finish(open(path)?);
        (writer, guard, filter, false)
    } else {
        let (writer, guard) = builder.finish(io::stderr());
        let filter = filter.with_target("signalcore::events", LevelFilter::OFF);
        (writer, guard, filter, io::stderr().is_terminal())
    };
    let layer = fmt::layer().with_writer(writer).with_ansi(colour).with_filter(filter);
    // Only the first log of a process counts.
    tracing_subscriber::registry().with(layer).try_init().ok();
    Ok(guard)
}

/// Reads a filter such as `info` or `info,signalcore=debug`.
pub(crate) fn filter(level: &str) -> anyhow::Result<Targets> {
    let is_level = |word: &str| word.parse::<LevelFilter>().is_ok();
    let filter = level.parse().ok().filter(|_| level.contains('=') || level.split(',').all(is_level));
    filter.with_context(|| {
        format!("log.level: {level:?} is no filter; use error, warn, info, debug, trace or target=level")
    })
}

fn open(path: &Path) -> anyhow::Result<std::fs::File> {
    let opened = OpenOptions::new().create(true).append(true).open(path);
    opened.with_context(|| {
        format!("log.file: {} cannot be written to; name another with --log-file", path.display())
    })
}
