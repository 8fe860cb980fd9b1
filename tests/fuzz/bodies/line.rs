//! The line splitter: however the bytes arrive, the same lines come out.

use signalcore::protocol::line::{LineBuffer, MAX_LINE};

/// The first byte says how many bytes a read returns, the rest are the bytes.
pub(crate) fn run(input: &[u8]) {
    let Some((size, bytes)) = input.split_first() else { return };
    let at_once = lines(bytes, bytes.len().max(1));
    let in_pieces = lines(bytes, usize::from(*size).max(1));
    assert_eq!(at_once, in_pieces);
    let expected: Vec<_> = bytes
        .split_inclusive(|byte| *byte == b'\n')
        .filter_map(|line| line.strip_suffix(b"\n"))
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|line| !line.is_empty())
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect();
    if bytes.len() <= MAX_LINE {
        assert_eq!(at_once, Some(expected));
    }
}

/// `None` when a line was too long.
fn lines(bytes: &[u8], read: usize) -> Option<Vec<String>> {
    let mut buffer = LineBuffer::default();
    let mut lines = Vec::new();
    for piece in bytes.chunks(read) {
        buffer.extend(piece);
        while let Some(line) = buffer.next_line().ok()? {
            assert!(!line.is_empty() && !line.contains('\n'));
            lines.push(line);
        }
    }
    Some(lines)
}
