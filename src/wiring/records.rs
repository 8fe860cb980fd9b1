//! What decisions are made by, to a file that `signalcore replay --log` reads. A thread of its own writes; nobody waits.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use crate::clock::now;
use crate::decision::{Scheme, Terms};
use crate::engine::task::Records;
use crate::replay::log::Recorder;
use crate::replay::world::Upstream;

/// Events that may wait; a disk that is slower than that loses lines.
const WAITING: usize = 1024;
/// Longest file: what a replay reads.
const MAX_BYTES: u64 = 1 << 30;
/// Logs beside each other.
const MOST_FILES: u32 = 999;
/// How long lines may wait to be written.
const FLUSH_EVERY: Duration = Duration::from_secs(5);

/// Starts writing for upstreams of these terms, in the operator's order: their names are `A`, `B`, … since a log may be shown
/// to others. Errors: there is such a file already, or it cannot be made.
pub(super) fn start(path: &Path, terms: &[Terms]) -> io::Result<Records> {
    let (mut file, path) = create(path)?;
    let upstream = |(place, terms): (usize, &Terms)| Upstream { name: name(place, terms), terms: *terms };
    let (recorder, head) = Recorder::new(terms.iter().enumerate().map(upstream).collect(), now());
    file.write_all(head.as_bytes())?;
    let (records, events) = sync_channel(WAITING);
    let path = path.display().to_string();
    tracing::info!("what decisions are made by is recorded in {path}");
    thread::Builder::new().name("records".to_owned()).spawn(move || {
        if let Err(error) = write(file, recorder, head.len() as u64, &events) {
            tracing::warn!("no more decisions are recorded in {path}: {error}");
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

/// Writes until there is nobody left to write for.
fn write(
    file: File,
    mut recorder: Recorder,
    mut bytes: u64,
    events: &Receiver<(crate::decision::Event, std::time::Instant)>,
) -> io::Result<()> {
    let mut file = BufWriter::new(file);
    let mut flushed_at = now();
    loop {
        if now().duration_since(flushed_at) >= FLUSH_EVERY {
            file.flush()?;
            flushed_at = now();
        }
        match events.recv_timeout(FLUSH_EVERY) {
            Ok((event, at)) => {
                let text = recorder.event(&event, at);
                bytes += text.len() as u64;
                if bytes > MAX_BYTES {
                    file.flush()?;
                    return Err(io::Error::other("it has 1 GiB, more than a replay reads"));
                }
                file.write_all(text.as_bytes())?;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return file.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::{Event, UpstreamId};
    use crate::replay::log;

    const PPS: Terms =
        Terms { fee: 0.01, payout_factor: 1.0, scheme: Scheme::Pps, kappa: None, vouches: false };

    #[test]
    fn a_file_that_is_there_is_left_alone_and_the_next_number_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, "mine").unwrap();
        for number in 1..=2 {
            drop(start(&path, &[PPS]).unwrap());
            assert!(folder.path().join(format!("log.{number}")).exists());
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    }

    #[test]
    fn what_is_written_says_who_was_there_and_what_happened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let records = start(&path, &[PPS, Terms { scheme: Scheme::SoloNode, ..PPS }]).unwrap();
        records.send((Event::Lost(UpstreamId(1)), now())).unwrap();
        drop(records);
        let text = loop {
            let text = std::fs::read_to_string(&path).unwrap();
            if text.lines().count() == 3 {
                break text;
            }
            thread::yield_now();
        };
        assert!(text.contains("\"u\":\"A\"") && text.contains("\"u\":\"node-B\""), "{text}");
        assert!(text.lines().nth(2).unwrap().contains("drop"), "{text}");
        assert!(matches!(log::read(&text), Err(log::LogError::Empty | log::LogError::NoDevice)));
    }
}
