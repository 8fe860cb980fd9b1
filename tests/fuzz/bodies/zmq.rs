//! A publisher's bytes: however they arrive, the same messages and notices come out, and no more than went in.

use std::mem::{Discriminant, discriminant};
use std::time::Instant;

use signalcore::protocol::block_notice::{BlockNotice, NoticeFigures, NoticeReader};
use signalcore::protocol::zmtp::{Subscriber, ZmtpError, ZmtpEvent};

/// What came of the bytes.
#[derive(Debug, PartialEq)]
struct Outcome {
    notices: Vec<Option<BlockNotice>>,
    figures: NoticeFigures,
    written: Vec<u8>,
}

/// The first byte says how many bytes a read returns, the rest are the bytes.
pub(crate) fn run(input: &[u8]) {
    let Some((size, bytes)) = input.split_first() else { return };
    let (single, single_end) = outcome(bytes, 1);
    let (pieces, pieces_end) = outcome(bytes, usize::from(*size).max(1));
    assert_eq!(pieces_end, single_end);
    // What is read at once with the end is not told any more.
    if single_end.is_none() {
        assert_eq!(pieces, single);
    } else {
        assert!(single.notices.starts_with(&pieces.notices));
    }
    // Our own lines, and less for each PING than it has.
    assert!(single.written.len() <= 128 + bytes.len());
}

fn outcome(bytes: &[u8], read: usize) -> (Outcome, Option<Discriminant<ZmtpError>>) {
    let now = Instant::now();
    let (mut subscriber, mut reader) = (Subscriber::new(now), NoticeReader::default());
    let (mut notices, mut written, mut end) = (Vec::new(), subscriber.take_output(), None);
    for piece in bytes.chunks(read) {
        match subscriber.handle_bytes(piece, now) {
            Ok(events) => {
                for event in events {
                    let ZmtpEvent::Message(parts) = event else { continue };
                    assert!(parts.len() <= 8 && parts.iter().all(|part| part.bytes.len() <= 256));
                    notices.push(reader.read(&parts));
                }
            }
            Err(error) => end = Some(discriminant(&error)),
        }
        written.extend(subscriber.take_output());
        if end.is_some() {
            break;
        }
        assert!(subscriber.poll_timeout().is_some_and(|at| at > now));
    }
    let figures = reader.figures();
    assert_eq!(figures.messages + figures.ignored, notices.len() as u64);
    (Outcome { notices, figures, written }, end)
}
