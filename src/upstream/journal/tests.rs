use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use super::*;
use crate::protocol::block_book::Entry;
use crate::protocol::block_record::{FoundBody, SoloBlock, tests::solo};
use crate::work::Header;

/// A block of this number, found now.
fn numbered(nonce: u32) -> Found {
    with_nonce(solo(0, unix_now()), nonce)
}

fn with_nonce(mut found: Found, nonce: u32) -> Found {
    let FoundBody::Solo(SoloBlock { block, .. }) = &mut found.body else { panic!("{found:?}") };
    let mut header = Header::from_bytes(&hex::decode(&block[..2 * Header::LEN]).unwrap().try_into().unwrap());
    header.nonce = nonce;
    block.replace_range(..2 * Header::LEN, &hex::encode(header.to_bytes()));
    found.hash = header.hash();
    found
}

fn write(journal: &Journal, found: Found) -> Result<Option<Place>, JournalError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let written = journal.found(found);
    runtime.block_on(written)
}

fn read(journal: &Journal, place: Place) -> Result<Found, JournalError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(journal.read(place))
}

fn entries(path: &Path) -> Vec<Entry> {
    let book = JournalFile::new(path.to_owned()).read(u64::MAX).unwrap();
    assert_eq!((book.broken, book.is_unfinished), (0, false));
    book.entries().cloned().collect()
}

/// Waits for what another thread brings about.
fn wait_for(what: &str, mut happened: impl FnMut() -> bool) {
    let give_up_at = Instant::now() + Duration::from_secs(30);
    while !happened() {
        assert!(Instant::now() < give_up_at, "{what} has not happened");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_found_block_is_on_the_disk_when_the_writer_hears_of_it_and_watched_with_its_fate() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/blocks.journal");
    let Opened { journal, watched, remarks } = Journal::open(path.clone());
    assert_eq!((watched, remarks), (vec![], vec![]));
    let (first, second) = (numbered(1), numbered(2));
    let mut places = Vec::new();
    for block in [&first, &second] {
        places.push(write(&journal, block.clone()).unwrap().unwrap());
        assert_eq!(entries(&path).last().unwrap().hash, block.hash);
    }
    journal.answer(Answer::new(first.hash, "node", "inconclusive", 1));
    journal.finish();

    let Opened { journal, watched, remarks } = Journal::open(path.clone());
    let expected = |is_open: [bool; 2]| {
        let block = |index: usize, found: &Found| Watched {
            hash: found.hash,
            at: found.at,
            height: 1,
            chain: "regtest".to_owned(),
            place: places[index],
            is_open: is_open[index],
            is_orphaned: false,
        };
        vec![block(0, &first), block(1, &second)]
    };
    assert_eq!((watched, remarks), (expected([true, true]), vec![]));
    assert_eq!(read(&journal, places[1]).unwrap(), second, "its place was told right");
    journal.fate(first.hash, Fate::Accepted);
    journal.finish();

    let Opened { watched, .. } = Journal::open(path.clone());
    assert_eq!(watched, expected([false, true]), "a node may forget one that it took");
    let entry = &entries(&path)[0];
    assert_eq!(entry.answers[0].text, "inconclusive");
    assert_eq!(entry.settled.as_ref().unwrap().fate, Fate::Accepted);
}

#[test]
fn two_miners_share_a_journal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blocks.journal");
    std::thread::scope(|scope| {
        for miner in 0..2 {
            let path = path.clone();
            scope.spawn(move || {
                let Opened { journal, .. } = Journal::open(path);
                for number in 0..20 {
                    let found = numbered(100 * miner + number);
                    journal.fate(found.hash, Fate::Orphaned);
                    write(&journal, found).unwrap();
                }
                journal.finish();
            });
        }
    });
    let entries = entries(&path);
    assert_eq!(entries.len(), 40);
    assert!(entries.iter().all(|entry| entry.found.is_some() && entry.settled.is_some()));
}

#[test]
fn a_broken_file_is_told_at_the_start_and_a_block_that_stands_there_no_more_when_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blocks.journal");
    let lines: String = (0..40).map(|number| Record::Found(numbered(number)).to_line() + "\n").collect();
    fs::write(&path, format!("a note of mine\n{lines}")).unwrap();
    let Opened { journal, watched, remarks } = Journal::open(path.clone());
    let expected: Vec<_> = (0..40).map(|number| numbered(number).hash).collect();
    assert_eq!(watched.iter().map(|block| block.hash).collect::<Vec<_>>(), expected);
    let shown = path.display();
    let broken = format!("state.journal: {shown}: broken lines that are passed over: 1, the first is line 1");
    assert_eq!(remarks, [broken]);
    assert_eq!(read(&journal, watched[39].place).unwrap().hash, expected[39]);
    fs::write(&path, "another file\n").unwrap();
    let error = read(&journal, watched[39].place).unwrap_err().to_string();
    assert!(error.ends_with("there is no block any more; was the file changed?"), "{error}");
}

#[test]
fn a_block_that_a_full_disk_refuses_is_written_once_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blocks.journal");
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let Opened { journal, watched, remarks } = Journal::open(path.clone());
    assert_eq!(watched, []);
    assert!(remarks[0].ends_with("is no regular file; name another place with state.journal"), "{remarks:?}");
    let (kept, given_up, settled) = (numbered(1), numbered(2), numbered(3));
    for block in [&kept, &given_up, &settled] {
        match write(&journal, block.clone()) {
            Err(JournalError::File(error)) => assert_eq!(error.kind(), Some(ErrorKind::StorageFull)),
            other => panic!("{other:?}"),
        }
    }
    journal.fate(given_up.hash, Fate::given_up("no node"));
    journal.fate(settled.hash, Fate::Accepted);
    wait_for("the last fate", || journal.room.notes.load(Ordering::Relaxed) == 0);
    std::thread::sleep(Duration::from_millis(50)); // the last one may still be at it
    fs::remove_file(&path).unwrap();
    wait_for("the next attempt", || path.exists() && entries(&path).len() == 2);
    let hashes: Vec<_> = entries(&path).iter().map(|entry| entry.hash).collect();
    assert_eq!(hashes, [kept.hash, given_up.hash], "what became of the third is known");
    write(&journal, numbered(4)).unwrap();
    journal.finish();
}

#[test]
fn what_cannot_be_written_is_tried_once_more_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blocks.journal");
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let Opened { journal, .. } = Journal::open(path.clone());
    write(&journal, numbered(1)).unwrap_err();
    fs::remove_file(&path).unwrap();
    journal.finish();
    assert_eq!(entries(&path).len(), 1);
}

#[test]
fn what_goes_nowhere_has_no_place_to_be_read_from() {
    let Opened { journal, .. } = Journal::open("/dev/null".into());
    assert_eq!(write(&journal, numbered(1)).unwrap(), None);
}

#[test]
fn of_blocks_that_cannot_be_written_the_latest_are_kept_within_the_limit() {
    let mut keeper = Keeper::new(JournalFile::new("/dev/full".into()), Arc::default());
    let half = "x".repeat(MOST_UNWRITTEN / 2);
    for number in 0..4 {
        keeper.unwritten.push_back((BlockHash([number; 32]), half.clone()));
        keeper.make_room();
    }
    let kept: Vec<_> = keeper.unwritten.iter().map(|(hash, _)| hash.0[0]).collect();
    assert_eq!(kept, [2, 3]);
}

#[test]
fn a_disk_that_hangs_holds_nobody_up_and_the_queue_has_an_end() {
    let (orders, waiting) = mpsc::channel();
    let journal = Journal { orders, room: Arc::default() };
    let before = Instant::now();
    assert!(matches!(write(&journal, numbered(1)), Err(JournalError::Slow)));
    assert!(before.elapsed() >= PATIENCE && before.elapsed() < 10 * PATIENCE);
    for number in 1..MOST_BLOCKS {
        drop(journal.found(numbered(number as u32)));
    }
    assert!(matches!(write(&journal, numbered(1)), Err(JournalError::Busy)));
    for _ in 0..MOST_NOTES + 9 {
        journal.fate(BlockHash([1; 32]), Fate::Accepted);
    }
    assert_eq!(waiting.try_iter().count(), MOST_BLOCKS + MOST_NOTES);
    drop(waiting);
    let journal = Journal { room: Arc::default(), ..journal };
    assert!(matches!(write(&journal, numbered(1)), Err(JournalError::Ended)));
}

/// Names the journal to the process that is killed.
const VICTIM: &str = "SIGNALCORE_TEST_JOURNAL";

#[test]
fn whatever_moment_a_miner_is_killed_at_every_block_it_was_told_of_is_there() {
    const ROUNDS: u32 = 12;
    if let Some(path) = std::env::var_os(VICTIM) {
        return write_until_killed(path.into());
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blocks.journal");
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("upstream::journal::tests::whatever_moment_a_miner_is_killed_at_every_block_it_was_told_of_is_there")
            .env(VICTIM, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
        let is_hash = |line: &String| line.len() == 64 && line.bytes().all(|digit| digit.is_ascii_hexdigit());
        // From the first acknowledgement on, so that the kill hits the writing and not the start.
        acknowledged.push(lines.by_ref().map(Result::unwrap).find(is_hash).unwrap());
        std::thread::sleep(Duration::from_micros(u64::from(round * 7 % ROUNDS) * 1300));
        victim.kill().unwrap();
        victim.wait().unwrap();
        acknowledged.extend(lines.map_while(Result::ok).filter(is_hash));
    }
    let text = fs::read_to_string(&path).unwrap();
    let torn = text.lines().filter(|line| line.starts_with('x') && line.len() < LONG).count();
    eprintln!("{} acknowledged, {torn} torn lines", acknowledged.len());
    let book = JournalFile::new(path).read(u64::MAX).unwrap();
    let written: Vec<_> =
        book.entries().filter(|entry| entry.found.is_some()).map(|entry| entry.hash.to_string()).collect();
    for hash in &acknowledged {
        assert!(written.contains(hash), "{hash} was acknowledged and is not there");
    }
}

/// Bytes of a line whose writing takes so long that most kills hit it.
const LONG: usize = 4 << 20;

/// Finds blocks without end, and names each that is on the disk, while another miner writes long lines to the same file.
fn write_until_killed(path: PathBuf) {
    let Opened { journal, .. } = Journal::open(path.clone());
    std::thread::spawn(move || {
        let (file, line) = (JournalFile::new(path), "x".repeat(LONG));
        loop {
            file.append(&line).unwrap();
            std::thread::sleep(Duration::from_millis(1)); // for the other one to get the lock
        }
    });
    let mut found = solo(0, unix_now());
    for number in 0.. {
        found = with_nonce(found, number * 10_000 + std::process::id() % 10_000);
        // On a busy disk it may take longer than anybody waits.
        if write(&journal, found.clone()).is_ok() {
            std::io::stdout().write_all(format!("\n{}\n", found.hash).as_bytes()).unwrap();
        }
    }
}
