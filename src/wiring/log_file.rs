//! Files of decision logs, read line by line: what stands in memory is the world, and of the text one line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use crate::replay::log::{LogError, MOST_BYTES, Reader};
use crate::replay::world::World;

/// The longest log. No month of mining is longer. Unit: bytes.
pub const MOST_LOG: u64 = 1 << 30;

/// Why a file cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum LogFileError {
    /// The system forbids it, or it is no text.
    #[error("read it: {0}")]
    Read(#[from] io::Error),
    /// Too long.
    #[error("found more than {MOST_LOG} bytes; cut it")]
    Long,
    /// What stands in it.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// The world that a log describes. Errors: see [`LogFileError`].
pub fn read(path: &Path) -> Result<World, LogFileError> {
    let mut lines = Lines::new(File::open(path)?, MOST_LOG + 1);
    let mut reader = Reader::default();
    while lines.next_to(&mut reader)? {}
    if lines.left == 0 { Err(LogFileError::Long) } else { Ok(reader.finish()?) }
}

/// The world of the first `written` bytes of a log, the end of a whole line: its head, and its last `most` bytes where it
/// is longer. Gives too whether it was. Errors: see [`LogFileError`].
pub(super) fn read_last(path: &Path, written: u64, most: u64) -> Result<(World, bool), LogFileError> {
    let mut lines = Lines::new(File::open(path)?, written);
    let mut reader = Reader::default();
    while !reader.has_begun() && lines.next_to(&mut reader)? {}
    let is_cut = lines.left > most;
    if is_cut {
        lines.file.seek(SeekFrom::Start(written - most))?;
        lines.left = most;
        lines.next()?; // the rest of a line
        reader.skip();
    }
    while lines.next_to(&mut reader)? {}
    Ok((reader.finish()?, is_cut))
}

struct Lines {
    file: BufReader<File>,
    /// Bytes that may yet be read.
    left: u64,
    line: Vec<u8>,
}

impl Lines {
    fn new(file: File, left: u64) -> Self {
        Self { file: BufReader::new(file), left, line: Vec::new() }
    }

    /// The next line without its end; `None` at the end of all.
    fn next(&mut self) -> io::Result<Option<&str>> {
        self.line.clear();
        // One that is too long is told of by who reads lines.
        let most = self.left.min(MOST_BYTES as u64 + 2);
        let read = (&mut self.file).take(most).read_until(b'\n', &mut self.line)?;
        self.left -= read as u64;
        let text = std::str::from_utf8(&self.line).map_err(|error| io::Error::other(error.to_string()))?;
        Ok((read > 0).then(|| text.trim_end_matches(['\r', '\n'])))
    }

    /// Gives the next line to a reader; whether there was one.
    fn next_to(&mut self, reader: &mut Reader) -> Result<bool, LogFileError> {
        let Some(line) = self.next()? else { return Ok(false) };
        reader.line(line)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::fs;
    use std::time::Duration;

    use super::*;
    use crate::decision::Settings;
    use crate::replay::log;

    const HEAD: &str = r#"{"t_ms":0,"k":"settings","strategy":"failover"}
{"t_ms":0,"k":"upstream","u":"A","scheme":"pps","fee":0.01}
{"t_ms":0,"k":"device","flush_ms":20,"cross_ms":20,"boundary_ms":500}
"#;

    /// A job each second.
    fn written(jobs: u64) -> String {
        let mut text = HEAD.to_owned();
        for job in 0..jobs {
            let t_ms = job * 1000;
            let line = r#""k":"notify","u":"A","parent":"h1","height":2,"clean":false,"fees":1"#;
            writeln!(text, r#"{{"t_ms":{t_ms},"job":"{job:x}",{line}}}"#).unwrap();
        }
        text
    }

    #[test]
    fn a_file_is_read_as_its_text_is_and_as_far_as_it_has_been_written() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = written(50);
        fs::write(&file, &text).unwrap();
        assert_eq!(read(file.path()).unwrap(), log::read(&text).unwrap());
        let half_a_line = format!("{text}{{\"t_ms\":50000,\"k\":\"no");
        fs::write(&file, half_a_line).unwrap();
        let found = read_last(file.path(), text.len() as u64, 1 << 20).unwrap();
        assert_eq!(found, (log::read(&text).unwrap(), false));
        assert!(
            read(file.path()).unwrap_err().to_string().starts_with("line 54: "),
            "a whole one is asked for"
        );
    }

    #[test]
    fn of_a_long_file_the_head_and_the_last_part_are_read_and_that_part_is_measured() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = written(1000);
        fs::write(&file, &text).unwrap();
        let (world, is_cut) = read_last(file.path(), text.len() as u64, 5000).unwrap();
        assert!(is_cut && world.rules.settings != Settings::default() && world.upstreams.len() == 1);
        let from = world.measured_from;
        let lines = world.lines.iter().filter(|line| line.at >= from).count() as u64;
        assert_eq!((world.end, lines), (Duration::from_secs(999), 1000 - from.as_secs()));
        assert!((Duration::from_secs(940)..Duration::from_secs(970)).contains(&from), "{from:?}");
    }

    #[test]
    fn what_is_no_log_is_named_without_being_kept_in_memory() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, vec![b'x'; 1 << 20]).unwrap();
        let error = read(file.path()).unwrap_err().to_string();
        assert_eq!(error, "line 1: found 4098 bytes, expected at most 4096");
        fs::write(&file, [0xff, 0xfe, b'\n']).unwrap();
        assert!(read(file.path()).unwrap_err().to_string().contains("utf-8"));
    }
}
