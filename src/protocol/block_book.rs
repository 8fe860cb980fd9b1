//! The journal of found blocks, read and folded: for each block where it stands, what was said of it, and what became of
//! it. No block's bytes are kept, only their place in the file.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::block_record::{Answer, Fate, Found, FoundBody, MAX_LINE, Record, Settled};
use crate::work::{BlockHash, coinbase};

/// Blocks that are kept in mind; those first named longest ago go first. They take about 40 MB when each text has its
/// greatest length.
pub const MAX_ENTRIES: usize = 10_000;
/// Answers that are kept of each block, the latest.
pub const MAX_ANSWERS: usize = 8;
/// How long a block may still be worth sending. Unit: seconds. A day is about 144 blocks, well past what chains are
/// reorganised by, and past what a node that is killed forgets: Bitcoin Core writes its index at least every 70 minutes
/// (`validation.cpp`, `DATABASE_WRITE_INTERVAL_MAX`).
pub const WORTH_SENDING: u64 = 24 * 60 * 60;

/// Where a line stands in the file. Unit: bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its first byte.
    pub at: u64,
    /// Its length without the line feed, at most [`MAX_LINE`].
    pub length: usize,
}

/// A found block without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// When. Unit: seconds since 1970.
    pub at: u64,
    /// The node or pool that it was found for.
    pub upstream: String,
    /// Its height; `None` where a pool's coinbase does not tell.
    pub height: Option<u32>,
    /// Its chain, where it is known: a pool does not tell, and gets its blocks without us.
    pub chain: Option<String>,
    /// Where its bytes stand.
    pub place: Place,
}

/// What the journal says of one block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its hash.
    pub hash: BlockHash,
    /// How it was found; `None` when only the rest could be written or read.
    pub found: Option<Finding>,
    /// The latest answers, in order.
    pub answers: VecDeque<Answer>,
    /// Answers before those.
    pub answers_left_out: u64,
    /// What became of it, as far as it is known.
    pub settled: Option<Settled>,
}

impl Entry {
    /// When it was found, or else when it is first spoken of. Unit: seconds since 1970.
    pub fn at(&self) -> u64 {
        let found = self.found.as_ref().map(|found| found.at);
        let answered = self.answers.front().map(|answer| answer.at);
        let settled = self.settled.as_ref().map(|settled| settled.at);
        found.or(answered).or(settled).unwrap_or_default()
    }

    /// The block, if it is one of our own that a node may lack and that may still be worth sending at `now`, seconds
    /// since 1970: it has no fate, or a node took it, which may have been killed before that was on its disk.
    fn watched(&self, now: u64) -> Option<Watched> {
        let is_open = match self.settled.as_ref().map(|settled| &settled.fate) {
            None => true,
            Some(Fate::Accepted | Fate::Orphaned) => false,
            Some(Fate::Refused { .. } | Fate::GivenUp { .. }) => return None,
        };
        let Finding { at, height, chain, place, .. } = self.found.as_ref()?;
        if now.saturating_sub(*at) >= WORTH_SENDING {
            return None;
        }
        let (height, chain) = ((*height)?, chain.clone()?);
        let is_orphaned = self.settled.as_ref().is_some_and(|settled| settled.fate == Fate::Orphaned);
        Some(Watched { hash: self.hash, at: *at, height, chain, place: *place, is_open, is_orphaned })
    }
}

/// A block of our own that a node may lack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// Its hash.
    pub hash: BlockHash,
    /// When it was found. Unit: seconds since 1970.
    pub at: u64,
    /// Its height.
    pub height: u32,
    /// Its chain; empty where it was not known.
    pub chain: String,
    /// Where its bytes stand.
    pub place: Place,
    /// Whether nothing is known of its fate.
    pub is_open: bool,
    /// Whether it was beside the chain when somebody looked last.
    pub is_orphaned: bool,
}

/// What a journal says, the blocks in the order in which they are first spoken of.
#[derive(Debug, Default)]
pub struct Book {
    entries: BTreeMap<u64, Entry>,
    numbers: HashMap<BlockHash, u64>,
    next: u64,
    /// Blocks that had to make room for later ones.
    pub forgotten: u64,
    /// Lines that were skipped because they are broken or not ours.
    pub broken: u64,
    /// The number of the first of them, from 1; `None` where the reading began within the file.
    pub first_broken: Option<u64>,
    /// Whether the last line has no end and makes no sense: its writer is at it, or was stopped.
    pub is_unfinished: bool,
}

impl Book {
    /// All blocks.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &Entry> + DoubleEndedIterator {
        self.entries.values()
    }

    /// Blocks of our own that a node may lack and that may still be worth sending at `now`, seconds since 1970; the
    /// oldest first.
    pub fn watched(&self, now: u64) -> impl Iterator<Item = Watched> {
        self.entries.values().filter_map(move |entry| entry.watched(now))
    }

    fn add(&mut self, record: Record, place: Place) {
        let entry = self.entry(record.hash());
        match record {
            // The same block again: an attempt to write it had failed late.
            Record::Found(_) if entry.found.is_some() => {}
            Record::Found(found) => entry.found = Some(finding(found, place)),
            Record::Answer(answer) => {
                if entry.answers.len() == MAX_ANSWERS {
                    entry.answers.pop_front();
                    entry.answers_left_out += 1;
                }
                entry.answers.push_back(answer);
            }
            Record::Settled(settled) => entry.settled = Some(settled),
        }
    }

    /// The entry of a block, made if it is not there.
    fn entry(&mut self, hash: BlockHash) -> &mut Entry {
        let number = if let Some(number) = self.numbers.get(&hash) {
            *number
        } else {
            self.make_room();
            self.next += 1;
            self.numbers.insert(hash, self.next);
            self.next
        };
        self.entries.entry(number).or_insert_with(|| Entry {
            hash,
            found: None,
            answers: VecDeque::new(),
            answers_left_out: 0,
            settled: None,
        })
    }

    fn make_room(&mut self) {
        if self.entries.len() < MAX_ENTRIES {
            return;
        }
        if let Some((_, oldest)) = self.entries.pop_first() {
            self.numbers.remove(&oldest.hash);
            self.forgotten += 1;
        }
    }
}

fn finding(found: Found, place: Place) -> Finding {
    let Found { at, upstream, body, hash: _ } = found;
    let (height, chain) = match body {
        FoundBody::Solo(block) => (Some(block.height), Some(block.chain)),
        FoundBody::Pool(block) => {
            (hex::decode(block.coinbase).ok().and_then(|bytes| coinbase::height(&bytes)), None)
        }
    };
    Finding { at, upstream, height, chain, place }
}

/// Makes a [`Book`] of a journal's bytes, however they are cut. It holds one line at a time, of at most [`MAX_LINE`].
#[derive(Debug)]
pub struct BookReader {
    book: Book,
    /// The line that has begun; empty once it is too long.
    line: Vec<u8>,
    length: u64,
    start: u64,
    /// Lines that have ended; not known when some were left out.
    lines: Option<u64>,
    /// Whether the line that has begun lacks its beginning.
    is_fragment: bool,
}

impl BookReader {
    /// Begins `at` this byte of the file, which may be within a line: that one is passed over.
    pub fn from(at: u64) -> Self {
        let lines = (at == 0).then_some(0);
        Self { book: Book::default(), line: Vec::new(), length: 0, start: at, lines, is_fragment: at > 0 }
    }

    /// Takes in what a read returned.
    pub fn read(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.take(&bytes[..end]);
            self.end_line();
            bytes = &bytes[end + 1..];
        }
        self.take(bytes);
    }

    /// The end of the file. A whole record counts though its line feed is missing.
    pub fn finish(mut self) -> Book {
        if self.length > 0 && !self.is_fragment && !self.add() {
            self.book.is_unfinished = true;
        }
        self.book
    }

    fn take(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        if self.length > MAX_LINE as u64 {
            self.line = Vec::new();
        } else {
            self.line.extend_from_slice(bytes);
        }
    }

    fn end_line(&mut self) {
        self.lines = self.lines.map(|lines| lines + 1);
        // Empty lines stand where a torn one was ended.
        if self.length > 0 && !self.is_fragment && !self.add() {
            self.book.broken += 1;
            self.book.first_broken = self.book.first_broken.or(self.lines);
        }
        self.start += self.length + 1;
        self.line.clear();
        self.length = 0;
        self.is_fragment = false;
    }

    /// Whether the line is a record.
    fn add(&mut self) -> bool {
        let place = Place { at: self.start, length: self.line.len() };
        let record = Record::from_line(&self.line).ok();
        record.map(|record| self.book.add(record, place)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::block_record::tests::solo;
    use crate::protocol::block_record::{Fate, PoolBlock};
    use crate::work::Header;

    fn book(text: &[u8]) -> Book {
        let mut reader = BookReader::from(0);
        reader.read(text);
        reader.finish()
    }

    /// A journal of these records.
    fn text(records: &[Record]) -> String {
        records.iter().map(|record| record.to_line() + "\n").collect()
    }

    fn settled(hash: BlockHash, fate: Fate) -> Record {
        Record::Settled(Settled { at: 500, hash, fate })
    }

    fn answer(hash: BlockHash, number: u64) -> Record {
        Record::Answer(Answer::new(hash, "node", &number.to_string(), number))
    }

    fn only(book: &Book) -> &Entry {
        assert_eq!(book.entries().len(), 1);
        book.entries().next().unwrap()
    }

    #[test]
    fn a_block_its_last_answers_and_its_last_fate_are_folded_into_one_entry() {
        let found = solo(0, 100);
        let hash = found.hash;
        let mut records = vec![Record::Found(found.clone())];
        records.extend((0..10).map(|number| answer(hash, number)));
        records.extend([settled(hash, Fate::Accepted), settled(hash, Fate::Orphaned)]);
        let book = book(text(&records).as_bytes());
        let entry = only(&book);
        let place = Place { at: 0, length: records[0].to_line().len() };
        let chain = Some("regtest".to_owned());
        let finding = Finding { at: 100, upstream: "node".to_owned(), height: Some(1), chain, place };
        assert_eq!((entry.hash, entry.at(), entry.found.as_ref()), (hash, 100, Some(&finding)));
        let said: Vec<_> = entry.answers.iter().map(|answer| answer.text.as_str()).collect();
        assert_eq!((said.join(" "), entry.answers_left_out), ("2 3 4 5 6 7 8 9".to_owned(), 2));
        assert_eq!(entry.settled.as_ref().unwrap().fate, Fate::Orphaned);
        assert_eq!((book.broken, book.is_unfinished), (0, false));
    }

    #[test]
    fn our_own_blocks_are_watched_for_a_day_unless_they_are_refused() {
        let blocks: Vec<_> = (0..5).map(|index| solo(index, 1000 * index as u64)).collect();
        let mut pool = solo(5, 0);
        let FoundBody::Solo(block) = &pool.body else { panic!("{pool:?}") };
        let header = block.block[..2 * Header::LEN].to_owned();
        pool.body = FoundBody::Pool(PoolBlock {
            job: "j".to_owned(),
            header,
            coinbase: String::new(),
            branch: Vec::new(),
        });
        let mut records: Vec<_> = blocks.iter().chain([&pool]).cloned().map(Record::Found).collect();
        records.push(settled(blocks[2].hash, Fate::given_up("too old")));
        records.push(settled(blocks[4].hash, Fate::Accepted));
        let book = book(text(&records).as_bytes());
        let watched = |now| book.watched(now).map(|block| (block.hash, block.is_open)).collect::<Vec<_>>();
        let [first, second, fourth] = [0, 1, 3].map(|index: usize| (blocks[index].hash, true));
        let accepted = (blocks[4].hash, false);
        assert_eq!(watched(0), [first, second, fourth, accepted], "also those of a clock set back");
        assert_eq!(watched(WORTH_SENDING), [second, fourth, accepted]);
        assert_eq!(watched(WORTH_SENDING + 4000), []);
    }

    #[test]
    fn what_is_known_of_a_block_that_could_not_be_written_stays() {
        let hash = BlockHash([7; 32]);
        let book = book(text(&[answer(hash, 9), settled(hash, Fate::Accepted)]).as_bytes());
        let entry = only(&book);
        assert_eq!((entry.found.as_ref(), entry.at()), (None, 9));
        assert_eq!(book.watched(10).count(), 0);
    }

    #[test]
    fn torn_foreign_and_over_long_lines_are_counted_and_hide_no_other() {
        let (first, second) = (solo(0, 1), solo(1, 2));
        let (before, after) = (text(&[Record::Found(first)]), text(&[Record::Found(second.clone())]));
        for broken in [&before.as_bytes()[..50], b"# a note", &vec![b'a'; MAX_LINE + 1], b"\xff\x00", b"{}\r"]
        {
            let text = [before.as_bytes(), broken, b"\n\n", after.as_bytes()].concat();
            let book = book(&text);
            assert_eq!((book.entries().len(), book.broken, book.first_broken), (2, 1, Some(2)));
            let at = book.entries().last().unwrap().found.as_ref().unwrap().place.at as usize;
            assert_eq!(&text[at..], after.as_bytes(), "places stay right");
        }
        let torn = book(&[before.as_bytes(), &after.as_bytes()[..after.len() - 9]].concat());
        assert_eq!((torn.entries().len(), torn.broken, torn.is_unfinished), (1, 0, true));
        let no_line_feed = book(&[before.as_bytes(), &after.as_bytes()[..after.len() - 1]].concat());
        assert_eq!((no_line_feed.entries().len(), no_line_feed.is_unfinished), (2, false));
    }

    #[test]
    fn a_line_of_the_greatest_length_is_read_and_no_more_than_it_is_held() {
        let mut reader = BookReader::from(0);
        for _ in 0..3 * MAX_LINE / 65_536 {
            reader.read(&vec![b'a'; 65_536]);
            assert!(reader.line.len() <= MAX_LINE);
        }
        reader.read(b"\n");
        let mut found = solo(0, 1);
        let FoundBody::Solo(block) = &mut found.body else { panic!("{found:?}") };
        block.block.push_str(&"ab".repeat((8_000_000 - block.block.len()) / 2));
        let line = Record::Found(found).to_line();
        assert!(line.len() > 8_000_000 && line.len() <= MAX_LINE);
        reader.read(line.as_bytes());
        let book = reader.finish();
        assert_eq!((book.entries().len(), book.broken), (1, 1));
    }

    #[test]
    fn reading_from_the_middle_passes_over_the_line_that_is_cut() {
        let text = text(&[Record::Found(solo(0, 1)), Record::Found(solo(1, 2))]);
        let second = text.find('\n').unwrap() + 1;
        for from in 1..second {
            let mut reader = BookReader::from(from as u64);
            reader.read(&text.as_bytes()[from..]);
            let book = reader.finish();
            assert_eq!((only(&book).found.as_ref().unwrap().place.at, book.broken), (second as u64, 0));
        }
    }

    #[test]
    fn of_more_blocks_than_are_kept_the_latest_stay() {
        let hash = |number: u64| {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&number.to_le_bytes());
            BlockHash(hash)
        };
        let kept = MAX_ENTRIES as u64;
        let records: Vec<_> = (0..kept + 3).map(|number| answer(hash(number), number)).collect();
        let book = book(text(&records).as_bytes());
        assert_eq!((book.entries().len(), book.forgotten), (MAX_ENTRIES, 3));
        assert_eq!(book.entries().next().unwrap().hash, hash(3));
        assert_eq!(book.numbers.len(), MAX_ENTRIES);
    }

    proptest! {
        #[test]
        fn cutting_the_bytes_elsewhere_changes_nothing(
            lines in proptest::collection::vec("[a\r\\x00]{0,9}|R", 0..9), size in 1usize..500
        ) {
            let record = answer(BlockHash([1; 32]), 5).to_line();
            let text = lines.join("\n").replace('R', &record);
            let whole = book(text.as_bytes());
            let mut reader = BookReader::from(0);
            text.as_bytes().chunks(size).for_each(|piece| reader.read(piece));
            let pieces = reader.finish();
            prop_assert!(whole.entries().eq(pieces.entries()));
            prop_assert_eq!(whole.broken + u64::from(whole.is_unfinished),
                lines.iter().filter(|line| !["", "R"].contains(&line.as_str())).count() as u64);
            prop_assert_eq!((whole.broken, whole.first_broken), (pieces.broken, pieces.first_broken));
        }
    }
}
