//! Bytes to lines, however the network cut them.

/// Longest line accepted, without its line feed. The longest a pool is known to send is about 100 KB (a coinbase of
/// 1500 outputs); past 1 MiB it is an attack on memory.
pub const MAX_LINE: usize = 1 << 20;

/// A line that never ends, with the longest that is taken. Unit: bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a line longer than {0} bytes")]
pub struct LineTooLong(pub usize);

/// Collects bytes and gives back whole lines, each without its ending.
#[derive(Debug)]
pub struct LineBuffer {
    longest: usize,
    bytes: Vec<u8>,
    /// Start of the first line not yet given out.
    start: usize,
    /// Bytes from `start` on that are known to hold no line feed.
    searched: usize,
}

impl Default for LineBuffer {
    fn default() -> Self {
        Self::with_longest(MAX_LINE)
    }
}

impl LineBuffer {
    /// One whose lines have at most `longest` bytes.
    pub fn with_longest(longest: usize) -> Self {
        Self { longest, bytes: Vec::new(), start: 0, searched: 0 }
    }

    /// Takes in what a read returned.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether a line has begun and not ended.
    pub fn is_within_line(&self) -> bool {
        self.start < self.bytes.len()
    }

    /// All bytes that are in no line given out yet.
    pub fn take_rest(&mut self) -> Vec<u8> {
        let rest = self.bytes.split_off(self.start);
        *self = Self::with_longest(self.longest);
        rest
    }

    /// The next whole line, `None` when more bytes are needed. CRLF counts as LF, empty lines are skipped, and bytes
    /// that are no UTF-8 become replacement characters. Errors: the line is longer than lines may be; the connection is then
    /// beyond use.
    pub fn next_line(&mut self) -> Result<Option<String>, LineTooLong> {
        loop {
            let rest = &self.bytes[self.start + self.searched..];
            let Some(length) = rest.iter().position(|byte| *byte == b'\n').map(|at| at + self.searched)
            else {
                self.searched += rest.len();
                return if self.searched > self.longest { Err(LineTooLong(self.longest)) } else { Ok(None) };
            };
            let line = &self.bytes[self.start..self.start + length];
            self.start += length + 1;
            self.searched = 0;
            if line.len() > self.longest {
                return Err(LineTooLong(self.longest));
            }
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !line.is_empty() {
                return Ok(Some(String::from_utf8_lossy(line).into_owned()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let mut buffer = LineBuffer::default();
        let mut lines = Vec::new();
        for piece in pieces {
            buffer.extend(piece);
            while let Some(line) = buffer.next_line().unwrap() {
                lines.push(line);
            }
        }
        lines
    }

    proptest! {
        #[test]
        fn cutting_the_stream_elsewhere_changes_nothing(
            text in "[a-c\r\n\\x00ü]{0,200}", cuts in proptest::collection::vec(0usize..200, 0..20)
        ) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            let single: Vec<_> = bytes.chunks(1).collect();
            prop_assert_eq!(lines(&pieces), lines(&[bytes]));
            prop_assert_eq!(lines(&single), lines(&[bytes]));
        }
    }

    #[test]
    fn a_line_of_the_greatest_length_passes_and_one_byte_more_does_not() {
        let mut buffer = LineBuffer::default();
        assert!(!buffer.is_within_line());
        buffer.extend(&vec![b'a'; MAX_LINE]);
        assert_eq!(buffer.next_line(), Ok(None));
        assert!(buffer.is_within_line());
        buffer.extend(b"\n");
        assert_eq!(buffer.next_line().unwrap().unwrap().len(), MAX_LINE);
        assert!(!buffer.is_within_line());
        buffer.extend(&vec![b'a'; MAX_LINE + 1]);
        assert_eq!(buffer.next_line(), Err(LineTooLong(MAX_LINE)));
    }
}
