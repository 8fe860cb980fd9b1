//! The file of the journal: one line is added at a time and is on the disk before anything is said of it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::protocol::block_book::{Book, BookReader, Place};
use crate::protocol::block_record::{Found, MAX_LINE, Record};

/// How long another miner that writes to the same file is waited for. It needs milliseconds, unless it is stopped or its
/// disk hangs; then we write without the lock, for a block is worth more than a tidy file.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);
/// Between two looks at the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(2);
const READ_BUFFER: usize = 64 * 1024;

/// Why the file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system does not let us write.
    #[error("{} cannot be written: {error}; {}", path.display(), remedy(error))]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It was written, and the disk did not confirm it.
    #[error("{} may not have reached the disk: {error}; check the disk, or name another place with state.journal", path.display())]
    Sync {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The system does not let us read.
    #[error("{} cannot be read: {error}; {}", path.display(), remedy(error))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A folder, a pipe, a device.
    #[error("{} is no regular file; name another place with state.journal", .0.display())]
    NotRegular(PathBuf),
    /// Somebody has changed it since it was read.
    #[error("{path}: at byte {at} there is no block any more; was the file changed?", path = path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// Where the block stood.
        at: u64,
    },
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room on its disk",
        ErrorKind::PermissionDenied => {
            "give this user the right to it, or name another place with state.journal"
        }
        ErrorKind::ReadOnlyFilesystem => {
            "make its file system writable, or name another place with state.journal"
        }
        _ => "check the disk, or name another place with state.journal",
    }
}

impl FileError {
    /// What kind of trouble the system has, where it is the system's.
    pub fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Write { error, .. } | Self::Sync { error, .. } | Self::Read { error, .. } => {
                Some(error.kind())
            }
            Self::NotRegular(_) | Self::Changed { .. } => None,
        }
    }
}

/// A journal by its path. It is opened anew for each line: one that was moved away, deleted or came back with its disk is
/// no reason to write where nobody looks.
#[derive(Debug)]
pub struct JournalFile {
    path: PathBuf,
}

impl JournalFile {
    /// At this place, where it need not be yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Its place.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes folder and file if they are not there. Errors: as for [`Self::append`].
    pub fn prepare(&self) -> Result<(), FileError> {
        self.open().map(drop)
    }

    /// Adds a line, and gives back its place when it is on the disk; `None` where nothing can be read again, in
    /// `/dev/null`. Errors: it is not on the disk, or not for certain.
    pub fn append(&self, line: &str) -> Result<Option<Place>, FileError> {
        let mut file = self.open()?;
        let written = |error| FileError::Write { path: self.path.clone(), error };
        let is_regular = file.metadata().map_err(written)?.is_file();
        // Without the lock nobody knows how the file ends by the time we write; an empty line harms nobody.
        let is_torn = is_regular && !(lock(&file) && ends_a_line(&mut file).map_err(written)?);
        let text = [if is_torn { "\n" } else { "" }, line, "\n"].concat();
        file.write_all(text.as_bytes()).map_err(written)?;
        // The file is opened to add to its end, where the system puts the position.
        let end = file.stream_position().map_err(written)?;
        let place = Place { at: end.saturating_sub(line.len() as u64 + 1), length: line.len() };
        match file.sync_data() {
            // What cannot be synchronised at all, a device or an odd file system, will not be at the next attempt.
            Err(error) if !matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {
                Err(FileError::Sync { path: self.path.clone(), error })
            }
            _ => Ok(is_regular.then_some(place)),
        }
    }

    /// What its last `most` bytes say; nothing when it is not there. Errors: no regular file (which is not read), or the
    /// system's.
    pub fn read(&self, most: u64) -> Result<Book, FileError> {
        let read = |error| FileError::Read { path: self.path.clone(), error };
        // Looked at before it is opened: a pipe would wait for a writer.
        let length = match fs::metadata(&self.path) {
            Ok(metadata) if metadata.is_file() => metadata.len(),
            Ok(_) => return Err(FileError::NotRegular(self.path.clone())),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Book::default()),
            Err(error) => return Err(read(error)),
        };
        let from = length.saturating_sub(most);
        let mut file = File::open(&self.path).map_err(read)?;
        file.seek(SeekFrom::Start(from)).map_err(read)?;
        let (mut file, mut reader) = (file.take(length - from), BookReader::from(from));
        let mut buffer = vec![0; READ_BUFFER];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(reader.finish()),
                Ok(count) => reader.read(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(read(error)),
            }
        }
    }

    /// The block that stands there. Errors: the system's, or it stands there no more.
    pub fn found(&self, place: Place) -> Result<Found, FileError> {
        let changed = || FileError::Changed { path: self.path.clone(), at: place.at };
        let mut line = vec![0; place.length.min(MAX_LINE)];
        let read = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(place.at))?;
            file.read_exact(&mut line)
        });
        match read.map(|()| Record::from_line(&line)) {
            Ok(Ok(Record::Found(found))) => Ok(found),
            Ok(_) => Err(changed()),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(changed()),
            Err(error) => Err(FileError::Read { path: self.path.clone(), error }),
        }
    }

    /// Opened to add to it; made if it is not there.
    fn open(&self) -> Result<File, FileError> {
        let mut options = OpenOptions::new();
        options.read(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let opened = match fs::metadata(&self.path) {
            Ok(metadata) if !metadata.is_file() && !is_character_device(&metadata) => {
                return Err(FileError::NotRegular(self.path.clone()));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => self.create(options),
            _ => options.open(&self.path),
        };
        opened.map_err(|error| FileError::Write { path: self.path.clone(), error })
    }

    /// Makes it and its folders, for the owner alone, and sees to it that their names outlive a power cut too.
    fn create(&self, mut options: OpenOptions) -> io::Result<File> {
        let folder =
            self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let is_new = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
        let new_folders: Vec<_> = folder.ancestors().take_while(is_new).collect();
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder)?;
        let file = options.create(true).open(&self.path)?;
        for holder in new_folders.iter().filter_map(|folder| folder.parent()).chain([folder]) {
            let holder = if holder.as_os_str().is_empty() { Path::new(".") } else { holder };
            // Not every system can, and none loses the data for it.
            File::open(holder).and_then(|holder| holder.sync_all()).ok();
        }
        Ok(file)
    }
}

/// Whether the lock could be had. It is given back when the file is closed, also by a kill.
fn lock(file: &File) -> bool {
    let give_up_at = Instant::now() + LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return true,
            Err(TryLockError::WouldBlock) if Instant::now() < give_up_at => std::thread::sleep(LOCK_PAUSE),
            Err(_) => return false,
        }
    }
}

/// Whether the next byte begins a line. A miner that was killed, or a full disk, may have left half a line.
fn ends_a_line(file: &mut File) -> io::Result<bool> {
    let mut last = [b'\n'];
    if file.seek(SeekFrom::End(0))? > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    Ok(last == *b"\n")
}

#[cfg(unix)]
fn is_character_device(metadata: &fs::Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_char_device(&metadata.file_type())
}

#[cfg(not(unix))]
fn is_character_device(_: &fs::Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;

    use super::*;
    use crate::protocol::block_record::Answer;
    use crate::work::BlockHash;

    fn line(number: u8) -> String {
        Record::Answer(Answer::new(BlockHash([number; 32]), "node", &"x".repeat(150), 1)).to_line()
    }

    fn journal() -> (tempfile::TempDir, JournalFile) {
        let folder = tempfile::tempdir().unwrap();
        let file = JournalFile::new(folder.path().join("state/signalcore/blocks.journal"));
        (folder, file)
    }

    fn read(file: &JournalFile) -> Book {
        file.read(u64::MAX).unwrap()
    }

    #[test]
    fn folders_and_file_are_made_for_the_owner_alone() {
        let (_folder, file) = journal();
        assert_eq!(read(&file).entries().len(), 0, "a file that is not there says nothing");
        file.append(&line(1)).unwrap();
        let rights = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(rights(file.path()), 0o600);
        assert_eq!(rights(file.path().parent().unwrap()), 0o700);
        assert_eq!(rights(file.path().parent().unwrap().parent().unwrap()), 0o700);
        assert_eq!(fs::read_to_string(file.path()).unwrap(), line(1) + "\n");
    }

    #[test]
    fn a_torn_last_line_is_ended_before_the_next_one_begins() {
        let (_folder, file) = journal();
        file.append(&line(1)).unwrap();
        let torn = [fs::read_to_string(file.path()).unwrap(), line(2)[..40].to_owned()].concat();
        fs::write(file.path(), &torn).unwrap();
        assert!(read(&file).is_unfinished);
        file.append(&line(3)).unwrap();
        let book = read(&file);
        assert_eq!((book.entries().len(), book.broken, book.is_unfinished), (2, 1, false));
        assert_eq!(fs::read_to_string(file.path()).unwrap(), format!("{torn}\n{}\n", line(3)));
    }

    #[test]
    fn many_writers_at_once_spoil_no_line_of_each_other() {
        let (_folder, file) = journal();
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let file = &file;
                scope.spawn(move || {
                    for number in 0..25 {
                        file.append(&line(25 * writer + number)).unwrap();
                    }
                });
            }
        });
        let book = read(&file);
        assert_eq!((book.entries().len(), book.broken), (100, 0));
    }

    #[test]
    fn a_lock_that_is_never_given_back_holds_nothing_up_for_long() {
        let (_folder, file) = journal();
        file.append(&line(1)).unwrap();
        let other = File::open(file.path()).unwrap();
        other.lock().unwrap();
        let before = Instant::now();
        file.append(&line(2)).unwrap();
        assert!(before.elapsed() >= LOCK_PATIENCE && before.elapsed() < 10 * LOCK_PATIENCE);
        let book = read(&file);
        assert_eq!((book.entries().len(), book.broken), (2, 0));
    }

    #[test]
    fn a_full_disk_is_told_as_such_and_with_its_remedy() {
        let file = JournalFile::new("/dev/full".into());
        let error = file.append(&line(1)).unwrap_err();
        assert_eq!(error.kind(), Some(ErrorKind::StorageFull));
        let text = error.to_string();
        assert!(text.starts_with("/dev/full cannot be written: No space left"), "{text}");
        assert!(text.ends_with("; make room on its disk"), "{text}");
    }

    #[test]
    fn what_is_no_regular_file_is_never_read_and_a_pipe_or_folder_not_even_opened() {
        let (folder, _) = journal();
        let pipe = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [pipe.as_path(), folder.path(), Path::new("/dev/zero")] {
            let file = JournalFile::new(path.to_owned());
            assert!(matches!(file.read(u64::MAX), Err(FileError::NotRegular(_))), "{}", path.display());
        }
        for path in [pipe.as_path(), folder.path()] {
            let file = JournalFile::new(path.to_owned());
            assert!(matches!(file.append("x"), Err(FileError::NotRegular(_))), "{}", path.display());
        }
        JournalFile::new("/dev/null".into()).append(&line(1)).unwrap();
    }

    #[test]
    fn a_journal_that_was_deleted_begins_anew_where_it_was() {
        let (_folder, file) = journal();
        file.append(&line(1)).unwrap();
        fs::remove_dir_all(file.path().parent().unwrap()).unwrap();
        file.append(&line(2)).unwrap();
        assert_eq!(read(&file).entries().len(), 1);
    }

    #[test]
    fn a_place_that_cannot_be_is_an_error_with_its_name() {
        let (folder, _) = journal();
        fs::write(folder.path().join("file"), "").unwrap();
        let file = JournalFile::new(folder.path().join("file/below/blocks.journal"));
        let text = file.append(&line(1)).unwrap_err().to_string();
        assert!(
            text.contains("file/below/blocks.journal cannot be written: ") && text.contains("state.journal")
        );
    }

    #[test]
    fn of_a_huge_journal_only_the_end_is_read() {
        let (_folder, file) = journal();
        for number in 0..100 {
            file.append(&line(number)).unwrap();
        }
        let book = file.read(10 * line(0).len() as u64).unwrap();
        assert_eq!((book.entries().len(), book.broken), (9, 0));
        assert_eq!(book.entries().last().unwrap().hash, BlockHash([99; 32]));
    }
}
