//! Bytes to lines: one JSON object a line, LF or CRLF, and a bound on how long a line may grow.

/// The longest line a client may send, without its LF. A share is about 150 bytes.
pub(crate) const LONGEST_LINE: usize = 8192;

/// A line grew past so many bytes; what follows can no longer be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a line is longer than {0} bytes")]
pub(crate) struct LineTooLong(usize);

/// What has arrived of the line that is not complete yet.
#[derive(Clone, Debug)]
pub(crate) struct LineBuffer {
    partial: Vec<u8>,
    longest: usize,
}

impl Default for LineBuffer {
    fn default() -> Self {
        Self::up_to(LONGEST_LINE)
    }
}

impl LineBuffer {
    /// For lines of so many bytes without their LF.
    pub(crate) fn up_to(longest: usize) -> Self {
        Self { partial: Vec::new(), longest }
    }

    /// The complete lines that `bytes` brings, without line ends; empty lines are skipped. An error is the last
    /// item, and the connection has to be closed.
    pub(crate) fn lines(&mut self, bytes: &[u8]) -> Vec<Result<Vec<u8>, LineTooLong>> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (content, complete) = match piece.split_last() {
                Some((b'\n', content)) => (content, true),
                _ => (piece, false),
            };
            if self.partial.len() + content.len() > self.longest {
                lines.push(Err(LineTooLong(self.longest)));
                return lines;
            }
            self.partial.extend_from_slice(content);
            if complete {
                let mut line = std::mem::take(&mut self.partial);
                line.pop_if(|byte| *byte == b'\r');
                if !line.is_empty() {
                    lines.push(Ok(line));
                }
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_may_arrive_in_pieces_and_end_in_crlf() {
        let mut buffer = LineBuffer::default();
        assert_eq!(buffer.lines(b"{\"id\""), []);
        assert_eq!(buffer.lines(b":1}\r\n\n\r\n{}\n{"), [Ok(b"{\"id\":1}".to_vec()), Ok(b"{}".to_vec())]);
    }

    #[test]
    fn a_line_of_8192_bytes_passes_and_one_byte_more_does_not() {
        let mut line = vec![b'x'; LONGEST_LINE];
        line.push(b'\n');
        assert!(LineBuffer::default().lines(&line)[0].is_ok());
        line.insert(0, b'x');
        assert_eq!(LineBuffer::default().lines(&line), [Err(LineTooLong(LONGEST_LINE))]);
    }
}
