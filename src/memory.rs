//! What was learnt of pools and boards, in a file that may be deleted at any time. A thread of its own reads and writes it, so that
//! neither hashing nor a pool's task waits for a disk; whatever goes wrong with it is a line in the log and no more.

mod board_memory;
mod document;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::{Duration, Instant};

use signalcore_drivers::order::Results;

use self::board_memory::{BoardMemory, MAX_BOARDS};
use self::document::{Document, DocumentError, MAX_BYTES, Section};
use crate::protocol::lessons::Lessons;
use crate::protocol::pool_memory::{MAX_POOLS, PoolKey};

/// How long the start waits for the file. On a disk that takes longer pools and boards are met as strangers.
const LOADING: Duration = Duration::from_secs(1);
/// Lessons of one moment are written together.
const GATHERING: Duration = Duration::from_millis(200);
/// How long the last lessons may take to be written once the miner has ended.
const LAST_WRITE: Duration = Duration::from_secs(1);
/// Lessons that may wait for the disk; more are dropped, and what they taught is learnt again.
const CAPACITY: usize = 4 * (MAX_POOLS + MAX_BOARDS);

/// Why the file is of no use.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("cannot be read: {0}")]
    Read(io::Error),
    #[error("is passed over: {0}")]
    Content(#[from] DocumentError),
    #[error("cannot be written: {0}")]
    Write(io::Error),
}

/// To the thread: something learnt, or that there will be no more of it.
enum Change {
    Pool(PoolKey, Lessons),
    Board(String, Results),
    End,
}

/// The memory of all pools and boards.
pub struct Memory {
    known: Document,
    changes: SyncSender<Change>,
    ended: Receiver<()>,
}

impl Memory {
    /// Starts the thread and reads the file, which need not be there. `None`, told in the log, where there is no thread
    /// to be had.
    pub fn open(path: PathBuf) -> Option<Self> {
        let (changes, to_write) = mpsc::sync_channel(CAPACITY);
        let (loaded, loading) = mpsc::channel();
        let (end, ended) = mpsc::channel();
        let shown = path.display().to_string();
        let thread = std::thread::Builder::new().name("memory".to_owned());
        let started = thread.spawn(move || {
            let mut file = MemoryFile { path, told: None };
            let read = file.read();
            loaded.send(file.or_tell(read).unwrap_or_default()).ok();
            file.keep(&to_write);
            end.send(()).ok();
        });
        if let Err(error) = started {
            tracing::warn!("state.file: {shown} is left alone, there is no thread for it: {error}");
            return None;
        }
        let known = loading.recv_timeout(LOADING).unwrap_or_else(|_| {
            tracing::warn!(
                "state.file: {shown} takes too long to read; pools and boards are met as strangers"
            );
            Document::default()
        });
        Some(Self { known, changes, ended })
    }

    /// The part of one pool.
    pub fn of(&self, key: PoolKey) -> Recollection {
        Recollection { lessons: self.known.pools.lessons(&key), key, changes: Some(self.changes.clone()) }
    }

    /// The part of one board, which goes by this name.
    pub fn board(&self, name: String) -> BoardRecollection {
        self.boards().of(name)
    }

    /// The part of all boards.
    pub fn boards(&self) -> BoardsMemory {
        BoardsMemory { known: self.known.boards.clone(), changes: Some(self.changes.clone()) }
    }

    /// Writes what is left, within a second.
    pub fn finish(self) {
        self.changes.try_send(Change::End).ok();
        self.ended.recv_timeout(LAST_WRITE).ok();
    }
}

/// What is remembered of one pool.
pub struct Recollection {
    key: PoolKey,
    lessons: Lessons,
    changes: Option<SyncSender<Change>>,
}

impl Recollection {
    /// For a pool that shall be met as a stranger in each run.
    pub fn off(key: PoolKey) -> Self {
        Self { key, lessons: Lessons::default(), changes: None }
    }

    /// What is known.
    pub fn lessons(&self) -> &Lessons {
        &self.lessons
    }

    /// Takes what is known by now. Never waits.
    pub fn learn(&mut self, lessons: Lessons) {
        if lessons == self.lessons {
            return;
        }
        self.lessons.clone_from(&lessons);
        if let Some(changes) = &self.changes {
            changes.try_send(Change::Pool(self.key.clone(), lessons)).ok();
        }
    }
}

/// What is remembered of boards. The default remembers nothing.
#[derive(Clone, Default)]
pub struct BoardsMemory {
    known: BoardMemory,
    changes: Option<SyncSender<Change>>,
}

impl BoardsMemory {
    /// The part of one board, which goes by this name.
    pub fn of(&self, name: String) -> BoardRecollection {
        BoardRecollection { results: self.known.results(&name), name, changes: self.changes.clone() }
    }
}

/// What is remembered of one board.
pub struct BoardRecollection {
    name: String,
    results: Results,
    changes: Option<SyncSender<Change>>,
}

impl BoardRecollection {
    /// By which name the board goes.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is known.
    pub fn results(&self) -> &Results {
        &self.results
    }

    /// Takes what is known by now. Never waits.
    pub fn learn(&mut self, results: Results) {
        if results == self.results {
            return;
        }
        self.results.clone_from(&results);
        if let Some(changes) = &self.changes {
            changes.try_send(Change::Board(self.name.clone(), results)).ok();
        }
    }
}

/// What the file does not have yet.
#[derive(Default)]
struct Unwritten {
    pools: BTreeMap<PoolKey, Lessons>,
    boards: BTreeMap<String, Results>,
}

impl Unwritten {
    fn is_empty(&self) -> bool {
        self.pools.is_empty() && self.boards.is_empty()
    }

    /// Shape: whether the end was not told.
    fn take(&mut self, change: Change) -> bool {
        match change {
            Change::Pool(key, lessons) => drop(self.pools.insert(key, lessons)),
            Change::Board(name, results) => drop(self.boards.insert(name, results)),
            Change::End => return false,
        }
        true
    }
}

/// The thread's side.
struct MemoryFile {
    path: PathBuf,
    /// The last trouble with it, which is told once and not at each write.
    told: Option<String>,
}

impl MemoryFile {
    /// Writes each lesson until the end. What could not be written is tried again with the next one.
    fn keep(&mut self, changes: &Receiver<Change>) {
        let mut unwritten = Unwritten::default();
        let mut goes_on = true;
        while goes_on {
            let Ok(first) = changes.recv() else { return };
            let gather_until = Instant::now() + GATHERING;
            let mut next = Some(first);
            while let Some(change) = next {
                goes_on = unwritten.take(change);
                let left = gather_until.saturating_duration_since(Instant::now());
                next = if goes_on { changes.recv_timeout(left).ok() } else { None };
            }
            let written = if unwritten.is_empty() { Ok(()) } else { self.write(&unwritten) };
            if self.or_tell(written).is_some() {
                self.told = None;
                unwritten = Unwritten::default();
            }
        }
    }

    /// Tells of trouble, once of each kind.
    fn or_tell<T>(&mut self, result: Result<T, FileError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                let text = error.to_string();
                if self.told.as_ref() != Some(&text) {
                    let path = self.path.display();
                    tracing::warn!(
                        "state.file: {path} {text}; mining goes on, and what it held is learnt anew"
                    );
                    self.told = Some(text);
                }
                None
            }
        }
    }

    /// Empty when the file is not there.
    fn read(&self) -> Result<Document, FileError> {
        let mut bytes = Vec::new();
        let read =
            File::open(&self.path).and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes));
        match read {
            Ok(_) => Ok(self.without_faults(document::parse(&bytes)?)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Document::default()),
            Err(error) => Err(FileError::Read(error)),
        }
    }

    /// A section that makes no sense takes no other with it.
    fn without_faults(&self, (document, faults): (Document, Vec<(Section, serde_json::Error)>)) -> Document {
        for (section, error) in faults {
            let path = self.path.display();
            tracing::warn!(
                "state.file: {path}: its part {section} makes no sense and is passed over: {error}"
            );
        }
        document
    }

    /// Adds to what stands there now, so that two miners may share a file, and a deleted one stays forgotten.
    fn write(&self, changes: &Unwritten) -> Result<(), FileError> {
        let mut memory = self.read().unwrap_or_default();
        for (key, lessons) in &changes.pools {
            memory.pools.learn(key.clone(), lessons.clone());
        }
        for (name, results) in &changes.boards {
            memory.boards.learn(name.clone(), results.clone());
        }
        replace(&self.path, memory.text().as_bytes()).map_err(FileError::Write)
    }
}

/// Writes beside the file and renames, so that a reader finds the old text or the new one, whole.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    // What an earlier run may have left there; the new file must have the rights that it is made with.
    fs::remove_file(&temporary).ok();
    let written = create_private(&temporary).and_then(|mut file| {
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    });
    if written.is_err() {
        fs::remove_file(&temporary).ok();
    }
    written
}

/// For the owner alone: the file holds worker names and sessions.
fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> PoolKey {
        PoolKey { pool: "a:1".to_owned(), user: "u".to_owned() }
    }

    fn taught() -> Lessons {
        Lessons { plain_subscribe: true, ..Lessons::default() }
    }

    fn measured() -> Results {
        let outcome = r#"{"megahertz": 525, "millivolts": 1150, "hashes_per_second": 1e12, "watts": 16.5, "celsius": 60.0,
            "error_share": 0.0, "fault": null}"#;
        serde_json::from_str(&format!(r#"{{"outcomes": [{outcome}]}}"#)).unwrap()
    }

    /// What a run learns, and what it knew before.
    fn run(path: &Path, lessons: Lessons) -> Lessons {
        let memory = Memory::open(path.to_owned()).unwrap();
        let mut recollection = memory.of(key());
        let known = recollection.lessons().clone();
        recollection.learn(lessons);
        memory.finish();
        known
    }

    #[test]
    fn a_later_run_knows_what_an_earlier_one_learnt_and_nobody_else_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/pools.json");
        assert_eq!(run(&path, taught()), Lessons::default());
        assert_eq!(run(&path, taught()), taught());
        let rights = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
        assert_eq!(rights & 0o777, 0o600);
        let left = fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1, "no temporary file stays");
    }

    #[test]
    fn a_file_of_nonsense_or_a_folder_in_its_place_is_no_reason_to_stop() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pools.json");
        for nonsense in [&b"\xff\x00{"[..], b"", &vec![b' '; MAX_BYTES + 9]] {
            fs::write(&path, nonsense).unwrap();
            assert_eq!(run(&path, taught()), Lessons::default());
            assert_eq!(run(&path, taught()), taught(), "it was written anew");
        }
        assert_eq!(run(folder.path(), taught()), Lessons::default());
        assert_eq!(run(&path.join("below/a/file"), taught()), Lessons::default());
    }

    #[test]
    fn a_part_of_the_file_that_makes_no_sense_takes_nothing_else_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pools.json");
        let learn = || {
            let memory = Memory::open(path.clone()).unwrap();
            memory.of(key()).learn(taught());
            memory.board("gamma 1".to_owned()).learn(measured());
            memory.finish();
        };
        for (part, pools, boards) in
            [("pools", Lessons::default(), measured()), ("boards", taught(), Results::default())]
        {
            learn();
            let mut text: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            text[part] = serde_json::json!([{"a": 1}, "nonsense"]);
            fs::write(&path, text.to_string()).unwrap();
            let memory = Memory::open(path.clone()).unwrap();
            assert_eq!(
                (memory.of(key()).lessons(), memory.board("gamma 1".to_owned()).results()),
                (&pools, &boards)
            );
            memory.finish();
        }
    }

    #[test]
    fn two_miners_share_a_file_and_a_deleted_one_stays_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pools.json");
        let other = PoolKey { pool: "b:1".to_owned(), ..key() };
        let (first, second) = (Memory::open(path.clone()).unwrap(), Memory::open(path.clone()).unwrap());
        first.of(key()).learn(taught());
        first.finish();
        second.of(other.clone()).learn(taught());
        second.finish();
        let third = Memory::open(path.clone()).unwrap();
        assert_eq!((third.of(key()).lessons(), third.of(other.clone()).lessons()), (&taught(), &taught()));
        fs::remove_file(&path).unwrap();
        third.of(PoolKey { pool: "c:1".to_owned(), ..key() }).learn(taught());
        third.finish();
        let fourth = Memory::open(path).unwrap();
        assert_eq!(*fourth.of(other).lessons(), Lessons::default());
    }
}
