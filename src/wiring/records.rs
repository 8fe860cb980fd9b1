//! What decisions are made by, to a file that `signalcore replay --log` reads. A thread of its own writes; nobody waits.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;
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
/// How long lines may wait to be written.
const FLUSH_EVERY: Duration = Duration::from_secs(5);

/// Starts writing for upstreams of these terms, in the operator's order: their names are `A`, `B`, … since a log may be shown
/// to others. Errors: there is such a file already, or it cannot be made.
pub(super) fn start(path: &Path, terms: &[Terms]) -> io::Result<Records> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let upstream = |(place, terms): (usize, &Terms)| Upstream { name: name(place, terms), terms: *terms };
    let (recorder, head) = Recorder::new(terms.iter().enumerate().map(upstream).collect(), now());
    file.write_all(head.as_bytes())?;
    let (records, events) = sync_channel(WAITING);
    let path = path.display().to_string();
    thread::Builder::new().name("records".to_owned()).spawn(move || {
        if let Err(error) = write(file, recorder, head.len() as u64, &events) {
            tracing::warn!("no more decisions are recorded in {path}: {error}");
        }
    })?;
    Ok(records)
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
    loop {
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
            Err(RecvTimeoutError::Timeout) => file.flush()?,
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
    fn a_file_that_is_there_is_left_alone() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = start(file.path(), &[PPS]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
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
