//! The journal of found blocks. A thread of its own alone touches the file, so that nobody waits for a disk longer than
//! they want to; a block that cannot be written is kept in memory and tried again until it can be, or is settled.

mod file;

use std::collections::VecDeque;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

pub use file::{FileError, JournalFile};

use crate::clock::unix_now;
use crate::protocol::block_book::{Book, Place, Watched};
use crate::protocol::block_record::{Answer, Fate, Found, Record, Settled};
use crate::work::BlockHash;

/// How long the start waits for the file to be read.
const LOADING: Duration = Duration::from_secs(5);
/// How much of the file's end the start reads: a hundred of the largest blocks. Unit: bytes.
const MOST_LOADED: u64 = 1 << 30;
/// How long [`Journal::found`] waits for the disk, which needs milliseconds, or some seconds to wake up. The block is
/// sent without it then, and written as soon as it can be.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long [`Journal::read`] waits for the disk.
const READING: Duration = Duration::from_secs(10);
/// Between two attempts to write what could not be written.
const RETRY: Duration = Duration::from_secs(1);
/// The same after the disk took the bytes and did not confirm them: they are written again, and the file grows by them.
const RETRY_UNCONFIRMED: Duration = Duration::from_secs(60);
/// How long the last records may take to be written once the miner has ended.
const LAST_WRITE: Duration = Duration::from_secs(1);
/// Answers and fates that may wait for the disk; more are dropped and told.
const MOST_NOTES: usize = 256;
/// Blocks that may wait for the disk; of more the finder hears that they are not written.
const MOST_BLOCKS: usize = 16;
/// Blocks that are kept because they could not be written; the oldest go first. Unit: bytes.
const MOST_UNWRITTEN: usize = 64 << 20;

/// Why a found block is not on the disk.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It cannot be written; it is kept in memory and tried again.
    #[error(transparent)]
    File(#[from] FileError),
    /// The disk takes its time; it will be written then.
    #[error("the disk has not taken it within {} s", PATIENCE.as_secs())]
    Slow,
    /// The disk does not give it.
    #[error("the disk has not given it within {} s", READING.as_secs())]
    Unread,
    /// Too many wait already; it is not kept.
    #[error("{MOST_BLOCKS} blocks wait for the disk already")]
    Busy,
    /// The journal has ended, or could not be begun; it is not kept.
    #[error("there is no journal any more")]
    Ended,
}

/// A journal, what in it is left to do, and what the operator should know.
pub struct Opened {
    /// To write to.
    pub journal: Journal,
    /// Blocks of our own that a node may lack, younger than a day, the oldest first.
    pub watched: Vec<Watched>,
    /// What is wrong with the file; printable.
    pub remarks: Vec<String>,
}

/// The way to the thread; clones lead to the same one.
#[derive(Debug, Clone)]
pub struct Journal {
    orders: Sender<Order>,
    room: Arc<Room>,
}

/// To the thread: a record, or that there will be none any more.
#[derive(Debug)]
enum Order {
    Found(Box<Found>, oneshot::Sender<Result<Option<Place>, JournalError>>),
    Read(Place, oneshot::Sender<Result<Found, JournalError>>),
    Note(Record),
    End(Sender<()>),
}

/// How many orders wait.
#[derive(Debug, Default)]
struct Room {
    blocks: AtomicUsize,
    notes: AtomicUsize,
    /// Whether it has been told that there is none for notes.
    told: AtomicBool,
}

fn take(counter: &AtomicUsize, most: usize) -> bool {
    let more = |count| (count < most).then_some(count + 1);
    counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
}

impl Journal {
    /// Starts the thread, makes folder and file where they are not there, and reads the file. Never fails: with a file
    /// that is of no use, [`Opened::remarks`] says so, and blocks are kept in memory until it is.
    pub fn open(path: PathBuf) -> Opened {
        let (orders, to_write) = mpsc::channel();
        let (loaded, loading) = mpsc::channel();
        let room = Arc::new(Room::default());
        let shown = path.display().to_string();
        let mut keeper = Keeper::new(JournalFile::new(path), Arc::clone(&room));
        let thread = std::thread::Builder::new().name("journal".to_owned()).spawn(move || {
            loaded.send(keeper.load(unix_now())).ok();
            keeper.keep(&to_write);
        });
        let alone = |remark| (Vec::new(), vec![remark]);
        let (watched, remarks) = match thread {
            Ok(_) => loading.recv_timeout(LOADING).unwrap_or_else(|_| {
                alone(format!(
                    "state.journal: {shown} takes too long to read; its blocks without a fate are not sent again, see \
                     `signalcore blocks`"
                ))
            }),
            Err(error) => alone(format!(
                "state.journal: {shown} is left alone, there is no thread for it: {error}; found blocks are not kept"
            )),
        };
        Opened { journal: Self { orders, room }, watched, remarks }
    }

    /// Writes a found block, beginning at once and not only when it is awaited. Ready with its place, if it can be read
    /// again, when it is on the disk, or after a second. Errors: it is not; [`JournalError`] says whether it will be. The block is to be sent in
    /// any case.
    pub fn found(&self, found: Found) -> impl Future<Output = Result<Option<Place>, JournalError>> + use<> {
        let (reply, written) = oneshot::channel();
        let ordered = if take(&self.room.blocks, MOST_BLOCKS) {
            self.orders.send(Order::Found(Box::new(found), reply)).map_err(|_| JournalError::Ended)
        } else {
            Err(JournalError::Busy)
        };
        async move {
            ordered?;
            match tokio::time::timeout(PATIENCE, written).await {
                Ok(Ok(result)) => result,
                Ok(Err(_)) => Err(JournalError::Ended),
                Err(_) => Err(JournalError::Slow),
            }
        }
    }

    /// The block that stands there. Errors: it stands there no more, or the disk does not give it within 10 s.
    pub async fn read(&self, place: Place) -> Result<Found, JournalError> {
        let (reply, read) = oneshot::channel();
        self.orders.send(Order::Read(place, reply)).map_err(|_| JournalError::Ended)?;
        match tokio::time::timeout(READING, read).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(JournalError::Ended),
            Err(_) => Err(JournalError::Unread),
        }
    }

    /// For the record: what was said of a block. Never waits.
    pub fn answer(&self, answer: Answer) {
        self.note(Record::Answer(answer));
    }

    /// For the record: what became of a block, as known by now. Never waits.
    pub fn fate(&self, hash: BlockHash, fate: Fate) {
        self.note(Record::Settled(Settled { at: unix_now(), hash, fate }));
    }

    fn note(&self, record: Record) {
        if take(&self.room.notes, MOST_NOTES) {
            self.orders.send(Order::Note(record)).ok();
            // Told again only once it had been well in between.
            if self.room.notes.load(Ordering::Relaxed) < MOST_NOTES / 2 {
                self.room.told.store(false, Ordering::Relaxed);
            }
        } else if !self.room.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "state.journal: {MOST_NOTES} records wait for the disk, and what else is said of blocks is not kept; \
                 check the disk"
            );
        }
    }

    /// Writes what is left, within a second.
    pub fn finish(self) {
        let (end, ended) = mpsc::channel();
        self.orders.send(Order::End(end)).ok();
        ended.recv_timeout(LAST_WRITE).ok();
    }
}

/// The thread's side.
struct Keeper {
    file: JournalFile,
    room: Arc<Room>,
    /// Lines of blocks that are not on the disk, the oldest first.
    unwritten: VecDeque<(BlockHash, String)>,
    /// When they are tried again; some time if there are any.
    retry_at: Instant,
    /// The last trouble with the file, which is told once and not at each attempt.
    told: Option<String>,
}

impl Keeper {
    fn new(file: JournalFile, room: Arc<Room>) -> Self {
        Self { file, room, unwritten: VecDeque::new(), retry_at: Instant::now(), told: None }
    }

    /// The blocks that may still be worth sending, and what the operator should know.
    fn load(&self, now: u64) -> (Vec<Watched>, Vec<String>) {
        match self.file.prepare().and_then(|()| self.file.read(MOST_LOADED)) {
            Ok(book) => (book.watched(now).collect(), self.remark(&book).into_iter().collect()),
            Err(error) => (Vec::new(), vec![format!("state.journal: {error}")]),
        }
    }

    fn remark(&self, book: &Book) -> Option<String> {
        let (path, broken) = (self.file.path().display(), book.broken);
        let first = book.first_broken.map_or(String::new(), |line| format!(", the first is line {line}"));
        (broken > 0)
            .then(|| format!("state.journal: {path}: broken lines that are passed over: {broken}{first}"))
    }

    /// Writes each record until the end.
    fn keep(&mut self, orders: &Receiver<Order>) {
        loop {
            let wait = self.retry_at.saturating_duration_since(Instant::now());
            if !self.unwritten.is_empty() && wait.is_zero() {
                self.retry();
                continue;
            }
            let order = if self.unwritten.is_empty() {
                orders.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                orders.recv_timeout(wait)
            };
            match order {
                Ok(Order::Found(found, reply)) => {
                    self.room.blocks.fetch_sub(1, Ordering::Relaxed);
                    reply.send(self.found(*found)).ok();
                }
                Ok(Order::Read(place, reply)) => {
                    reply.send(self.file.found(place).map_err(JournalError::from)).ok();
                }
                Ok(Order::Note(record)) => {
                    self.room.notes.fetch_sub(1, Ordering::Relaxed);
                    self.note(&record);
                }
                Ok(Order::End(end)) => {
                    self.last_attempt();
                    end.send(()).ok();
                    return;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.last_attempt(),
            }
        }
    }

    fn found(&mut self, found: Found) -> Result<Option<Place>, JournalError> {
        let (hash, line) = (found.hash, Record::Found(found).to_line());
        let written = self.append(&line);
        if written.is_err() {
            self.unwritten.push_back((hash, line));
            self.make_room();
        }
        Ok(written?)
    }

    /// Blocks go before what is said of them.
    fn note(&mut self, record: &Record) {
        if self.retry() && self.append(&record.to_line()).is_ok() {
            return;
        }
        // Whoever gave up has not judged it, and the block may be the only copy.
        if let Record::Settled(Settled { hash, fate, .. }) = record
            && !matches!(fate, Fate::GivenUp { .. })
        {
            self.unwritten.retain(|(unwritten, _)| unwritten != hash);
        }
    }

    /// Writes what could not be written; whether nothing of it is left.
    fn retry(&mut self) -> bool {
        while let Some((hash, line)) = self.unwritten.pop_front() {
            if self.append(&line).is_err() {
                self.unwritten.push_front((hash, line));
                return false;
            }
            tracing::info!("state.journal: block {hash} is written now");
        }
        true
    }

    fn append(&mut self, line: &str) -> Result<Option<Place>, FileError> {
        let written = self.file.append(line);
        match &written {
            Ok(_) => self.told = None,
            Err(error) => {
                let is_confirmed = !matches!(error, FileError::Sync { .. });
                self.retry_at = Instant::now() + if is_confirmed { RETRY } else { RETRY_UNCONFIRMED };
                let text = error.to_string();
                if self.told.as_ref() != Some(&text) {
                    tracing::error!(
                        "state.journal: {text}. Until then found blocks are kept in memory alone and tried again"
                    );
                    self.told = Some(text);
                }
            }
        }
        written
    }

    fn make_room(&mut self) {
        let size =
            |lines: &VecDeque<(BlockHash, String)>| lines.iter().map(|(_, line)| line.len()).sum::<usize>();
        while self.unwritten.len() > 1 && size(&self.unwritten) > MOST_UNWRITTEN {
            if let Some((hash, _)) = self.unwritten.pop_front() {
                tracing::error!(
                    "state.journal: block {hash} is kept no longer, too many could not be written"
                );
            }
        }
    }

    fn last_attempt(&mut self) {
        self.retry();
        for (hash, _) in &self.unwritten {
            tracing::error!("state.journal: block {hash} was never written and ends with the miner");
        }
    }
}

#[cfg(test)]
mod tests;
