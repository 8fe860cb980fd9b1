//! What decisions are made by, to a file that `signalcore replay --log` reads. A thread of its own writes; nobody waits.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::log_file::MOST_LOG;
use super::review::Reviews;
use crate::clock::now;
use crate::decision::{Call, Scheme, Terms};
use crate::engine::policy::{Policy, UpstreamTerms};
use crate::engine::task::Records;
use crate::replay::log::Recorder;
use crate::replay::world::{Rules, Upstream};

/// Events that may wait; a disk that is slower than that loses lines.
const WAITING: usize = 1024;
/// Logs beside each other.
const MOST_FILES: u32 = 999;
/// How long lines may wait to be written.
const FLUSH_EVERY: Duration = Duration::from_secs(5);

/// Starts writing what an engine's decider is told, which was `started` then, for upstreams in the operator's order: their
/// names are `A`, `B`, … since a log may be shown to others. Errors: there is such a file already, or it cannot be made.
pub(super) fn start(
    path: &Path,
    policy: &Policy,
    terms: &[UpstreamTerms],
    started: Instant,
    reviews: Option<Reviews>,
) -> io::Result<Records> {
    let (mut file, path) = create(path)?;
    let rules = Rules { settings: policy.settings(), learned: policy.learns_spells, taken_at_once: true };
    let upstream = |(place, terms): (usize, &UpstreamTerms)| Upstream {
        name: name(place, &terms.value),
        terms: terms.value,
        patience: Some(terms.grace),
    };
    let (recorder, head) = Recorder::new(terms.iter().enumerate().map(upstream).collect(), &rules, started);
    file.write_all(head.as_bytes())?;
    let (records, calls) = sync_channel(WAITING);
    tracing::info!("what decisions are made by is recorded in {}", path.display());
    let mut log = Log { file: BufWriter::new(file), path, bytes: head.len() as u64, recorder, reviews };
    thread::Builder::new().name("records".to_owned()).spawn(move || {
        if let Err(error) = log.write(&calls) {
            tracing::warn!("no more decisions are recorded in {}: {error}", log.path.display());
        }
    })?;
    Ok(records)
}

/// A file of this name, or where there is one with the first free number behind it: each run has a log of its own.
fn create(path: &Path) -> io::Result<(File, PathBuf)> {
    let numbered = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    for path in std::iter::once(path.to_owned()).chain((1..=MOST_FILES).map(numbered)) {
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            opened => return Ok((opened?, path)),
        }
    }
    Err(io::Error::other(format!("there are {MOST_FILES} of it already; delete some")))
}

fn name(place: usize, terms: &Terms) -> String {
    let letter = char::from(b'A' + (place % 26) as u8);
    let round = if place < 26 { String::new() } else { (place / 26).to_string() };
    let node = if terms.scheme == Scheme::SoloNode { "node-" } else { "" };
    format!("{node}{letter}{round}")
}

/// A log in the making.
struct Log {
    file: BufWriter<File>,
    path: PathBuf,
    /// All that was written, on the disk or on its way there.
    bytes: u64,
    recorder: Recorder,
    reviews: Option<Reviews>,
}

impl Log {
    /// Writes until there is nobody left to write for.
    fn write(&mut self, calls: &Receiver<(Call, Instant)>) -> io::Result<()> {
        let mut flush_at = now() + FLUSH_EVERY;
        loop {
            if now() >= flush_at {
                self.file.flush()?;
                flush_at = now() + FLUSH_EVERY;
            }
            if let Some(reviews) = self.reviews.as_mut().filter(|reviews| now() >= reviews.due()) {
                self.file.flush()?;
                reviews.begin(&self.path, self.bytes);
            }
            match calls.recv_timeout(self.wait()) {
                Ok((call, at)) => self.call(&call, at)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.file.flush(),
            }
        }
    }

    fn wait(&self) -> Duration {
        let due = self.reviews.as_ref().map(|reviews| reviews.due().saturating_duration_since(now()));
        due.map_or(FLUSH_EVERY, |due| due.min(FLUSH_EVERY))
    }

    fn call(&mut self, call: &Call, at: Instant) -> io::Result<()> {
        let text = self.recorder.call(call, at);
        if self.bytes + text.len() as u64 > MOST_LOG {
            self.file.flush()?;
            return Err(io::Error::other("it has 1 GiB, more than a replay reads"));
        }
        self.bytes += text.len() as u64;
        self.file.write_all(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::{Event, UpstreamId};
    use crate::replay::log;

    fn begin(path: &Path, terms: &[UpstreamTerms]) -> Records {
        let policy = Policy { risk_aversion: 1e-9, ..Policy::default() };
        start(path, &policy, terms, now(), None).unwrap()
    }

    #[test]
    fn a_file_that_is_there_is_left_alone_and_the_next_number_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, "mine").unwrap();
        for number in 1..=2 {
            drop(begin(&path, &[UpstreamTerms::pool(1)]));
            assert!(folder.path().join(format!("log.{number}")).exists());
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    }

    #[test]
    fn what_is_written_says_who_was_there_and_what_happened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let node = UpstreamTerms::own_node(1, Duration::from_secs(600));
        let records = begin(&path, &[UpstreamTerms::pool(1), node]);
        records.send((Call::Event(Event::Lost(UpstreamId(1))), now())).unwrap();
        drop(records);
        let text = loop {
            let text = std::fs::read_to_string(&path).unwrap();
            if text.lines().count() == 5 {
                break text;
            }
            thread::yield_now();
        };
        assert!(text.contains("\"u\":\"A\"") && text.contains("\"u\":\"node-B\""), "{text}");
        assert!(text.lines().nth(4).unwrap().contains("drop"), "{text}");
        for told in [r#""strategy":"failover""#, r#""risk_aversion":1e-9"#, r#""patience_ms":600000.0"#] {
            assert!(text.contains(told), "{text} lacks {told}");
        }
        assert!(matches!(log::read(&text), Err(log::LogError::Empty)));
    }
}
