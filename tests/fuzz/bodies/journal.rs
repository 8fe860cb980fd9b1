//! The journal of found blocks: however its bytes arrive, the same comes of them, and what is read is harmless.

use signalcore::protocol::block_book::{Book, BookReader, Entry, MAX_ANSWERS};
use signalcore::protocol::block_record::{MAX_TEXT, Record};
use signalcore::protocol::text::printable;

/// The first byte says how many bytes a read returns, the rest are the bytes. A line that begins with `!` gets its
/// checksum here, which no fuzzer guesses.
pub(crate) fn run(input: &[u8]) {
    let Some((size, text)) = input.split_first() else { return };
    let lines: Vec<_> = text.split(|byte| *byte == b'\n').map(signed).collect();
    let bytes = lines.join(&b'\n');
    let (whole, pieces) = (book(&bytes, bytes.len().max(1)), book(&bytes, usize::from(*size).max(1)));
    assert!(whole.entries().eq(pieces.entries()));
    assert_eq!(
        (whole.broken, whole.first_broken, whole.is_unfinished),
        (pieces.broken, pieces.first_broken, pieces.is_unfinished)
    );
    for entry in whole.entries() {
        assert!(entry.answers.len() <= MAX_ANSWERS);
        entry.answers.iter().for_each(|answer| {
            harmless(&answer.from);
            harmless(&answer.text);
        });
        let Some(finding) = &entry.found else { continue };
        harmless(&finding.upstream);
        let at = usize::try_from(finding.place.at).unwrap();
        let line = &bytes[at..at + finding.place.length];
        let record = Record::from_line(line).unwrap();
        assert!(matches!(&record, Record::Found(found) if found.hash == entry.hash));
        assert_eq!(Record::from_line(record.to_line().as_bytes()), Ok(record));
    }
    let now = whole.entries().map(Entry::at).max().unwrap_or_default();
    let known: std::collections::HashSet<_> = whole.entries().map(|entry| entry.hash).collect();
    assert!(whole.watched(now).all(|block| known.contains(&block.hash)));
}

/// The line with the checksum that it would have.
fn signed(line: &[u8]) -> Vec<u8> {
    let Some(json) = line.strip_prefix(b"!") else { return line.to_vec() };
    let digest = <sha2::Sha256 as sha2::Digest>::digest(json);
    [hex::encode(&digest[..8]).as_bytes(), b" ", json].concat()
}

fn book(bytes: &[u8], read: usize) -> Book {
    let mut reader = BookReader::from(0);
    bytes.chunks(read).for_each(|piece| reader.read(piece));
    reader.finish()
}

fn harmless(text: &str) {
    assert_eq!(printable(text, MAX_TEXT), text);
}
