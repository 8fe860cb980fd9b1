//! `signalcore blocks`: what the journal tells a person, a program, and a node that is handed a block by hand.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bitcoin::Address;
use bitcoin::address::NetworkUnchecked;
use serde_json::{Value, json};
use signalcore::protocol::block_record::{Answer, Fate, Found, FoundBody, Record, Settled};
use signalcore::upstream::journal::{Journal, Opened};
use signalcore::work::block::{JobLabel, SoloJob};
use signalcore::work::coinbase_builder::{CoinbasePlan, Payee, Tag};
use signalcore::work::template::Template;
use signalcore::work::{
    BlockHash, Coinbase, Difficulty, Epoch, Extranonce1, Extranonce2, Extranonce2Size, Job, JobId, Share,
    Target, Work,
};
use tempfile::TempDir;

use crate::support::signalcore;

const AT: u64 = 1_700_000_000;

/// What the command did.
struct Said {
    code: Option<i32>,
    text: String,
    errors: String,
}

fn blocks(arguments: &[&str], environment: &[(&str, &str)]) -> Said {
    let mut command = signalcore(&[&["blocks"], arguments].concat());
    let output = command.envs(environment.iter().copied()).env("TZ", "UTC").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), text: text(output.stdout), errors: text(output.stderr) }
}

/// A block of regtest on a template of a real node, the first that a nonce from `start` on finds.
fn solo_block(start: u32) -> (Share, SoloJob) {
    let vectors: Value = serde_json::from_str(include_str!("../vectors/gbt-vectors.json")).unwrap();
    let case = &vectors["cases"][0];
    let template = &vectors["templates"][case["template_ref"].as_str().unwrap()];
    let template = Template::parse(&template.to_string()).unwrap();
    let address: Address<NetworkUnchecked> = case["payout"]["address"].as_str().unwrap().parse().unwrap();
    let payee = Payee::new(&address.assume_checked(), 1).unwrap();
    let plan = CoinbasePlan::new(vec![payee], Tag::default(), Extranonce2Size::new(4).unwrap()).unwrap();
    let label =
        JobLabel { id: JobId::Text("1".into()), epoch: Epoch::default(), difficulty: Difficulty::ONE };
    let job = SoloJob::new(Arc::new(template), &plan, label).unwrap();
    (solve(Arc::clone(job.job()), start), job)
}

fn solve(job: Arc<Job>, start: u32) -> Share {
    let extranonce2 = Extranonce2::from_counter(7, job.coinbase.extranonce2_size);
    let (version, ntime) = (job.header.version, job.header.ntime);
    let work = Work::new(job, extranonce2, ntime);
    (start..).find_map(|nonce| work.verify(version, nonce).ok()).unwrap()
}

/// A block of a pool on the same chain.
fn pool_block() -> Share {
    let (_, solo) = solo_block(0);
    let coinbase = Coinbase {
        coinb1: hex::decode(format!("0200000001{}ffffffff0603a1bb0d", "00".repeat(32))).unwrap().into(),
        extranonce1: Extranonce1::new(vec![1]).unwrap(),
        extranonce2_size: Extranonce2Size::new(1).unwrap(),
        coinb2: hex::decode("ffffffff010000000000000000015100000000").unwrap().into(),
    };
    let branch = Box::new([[5; 32]]);
    let network_target = Some(Target::from_nbits(0x207f_ffff).unwrap());
    let id = JobId::Text("job\u{1b}7".into());
    solve(Arc::new(Job { id, coinbase, branch, network_target, ..(**solo.job()).clone() }), 0)
}

/// A journal with an accepted, a refused and an open block of our own, and one of a pool.
struct Ledger {
    folder: TempDir,
    accepted: Found,
    refused: Found,
    open: Found,
    pool: Found,
}

impl Ledger {
    fn path(&self) -> PathBuf {
        self.folder.path().join("blocks.journal")
    }

    fn written() -> Self {
        let solo = |start, at| {
            let (share, job) = solo_block(start);
            Found::for_solo(&job.block(&share).unwrap(), job.template().height(), "regtest", "node-a", at)
        };
        let (accepted, refused, open) = (solo(0, AT), solo(1000, AT + 60), solo(2000, AT + 120));
        let pool = Found::for_pool(&pool_block(), "stratum+tcp://pool.example.com:3333", AT + 180);
        let ledger = Self { folder: tempfile::tempdir().unwrap(), accepted, refused, open, pool };
        let Opened { journal, .. } = Journal::open(ledger.path());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        for found in [&ledger.accepted, &ledger.refused, &ledger.open, &ledger.pool] {
            runtime.block_on(async { journal.found(found.clone()).await }).unwrap();
        }
        journal.answer(Answer::new(ledger.accepted.hash, "node-b", "prev-blk-not-found", AT + 1));
        journal.answer(Answer::new(ledger.accepted.hash, "node-a", "taken", AT + 2));
        journal.fate(ledger.accepted.hash, Fate::Accepted);
        journal.fate(ledger.refused.hash, Fate::refused("bad-cb-amount"));
        journal.finish();
        ledger
    }

    fn show(&self, arguments: &[&str]) -> Said {
        blocks(&[&["--journal", self.path().to_str().unwrap()], arguments].concat(), &[])
    }

    fn hex(&self, hash: &str) -> Said {
        self.show(&["--hex", hash])
    }
}

#[test]
fn a_person_sees_each_block_with_its_fate_and_what_was_said_of_it() {
    let ledger = Ledger::written();
    let said = ledger.show(&[]);
    assert_eq!((said.code, said.errors.as_str()), (Some(0), ""), "{}", said.text);
    let row = |found: &Found| {
        let hash = found.hash.to_string();
        let line = said.text.lines().find(|line| line.contains(&hash)).unwrap();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    let hash = |found: &Found| found.hash.to_string();
    let (first, second) = (hash(&ledger.accepted), hash(&ledger.refused));
    assert_eq!(row(&ledger.accepted), format!("2023-11-14 22:13:20 1 {first} node-a accepted"));
    assert_eq!(row(&ledger.refused), format!("2023-11-14 22:14:20 1 {second} node-a refused: bad-cb-amount"));
    assert!(row(&ledger.open).ends_with("node-a open"));
    let third = format!("900001 {} pool.example.com:3333 open", hash(&ledger.pool));
    assert!(row(&ledger.pool).ends_with(&third));
    let answers: Vec<_> = said.text.lines().filter(|line| line.contains(&first)).skip(1).collect();
    assert!(
        answers[0].trim_end().ends_with("prev-blk-not-found") && answers[1].trim_end().ends_with("taken")
    );
    assert_eq!(answers.len(), 2);
    assert!(!said.text.contains('\u{1b}'), "no colour in a pipe");
}

#[test]
fn a_program_gets_one_object_a_block_with_all_that_is_known() {
    let ledger = Ledger::written();
    let said = ledger.show(&["--json"]);
    let objects: Vec<Value> = said.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((said.code, objects.len()), (Some(0), 4));
    let mut accepted = objects[0].clone();
    assert!(accepted["fate_time"].take().is_u64());
    let answers = json!([
        {"time": AT + 1, "from": "node-b", "text": "prev-blk-not-found"},
        {"time": AT + 2, "from": "node-a", "text": "taken"},
    ]);
    let expected = json!({
        "time": AT, "hash": ledger.accepted.hash.to_string(), "upstream": "node-a", "kind": "solo", "height": 1,
        "chain": "regtest", "fate": "accepted", "fate_time": null, "reason": null, "answers": answers,
        "answers_left_out": 0,
    });
    assert_eq!(accepted, expected);
    assert_eq!((&objects[1]["fate"], &objects[1]["reason"]), (&json!("refused"), &json!("bad-cb-amount")));
    assert_eq!((&objects[2]["fate"], &objects[2]["fate_time"]), (&json!("open"), &json!(null)));
    let FoundBody::Pool(block) = &ledger.pool.body else { panic!("{:?}", ledger.pool) };
    let pool = &objects[3];
    assert_eq!(
        (&pool["kind"], &pool["height"], &pool["chain"]),
        (&json!("pool"), &json!(900_001), &json!(null))
    );
    assert_eq!((&pool["job"], &pool["header"]), (&json!("job7"), &json!(block.header)));
    assert_eq!((&pool["coinbase"], &pool["branch"]), (&json!(block.coinbase), &json!(["05".repeat(32)])));
}

#[test]
fn the_hexadecimal_of_a_block_is_the_block() {
    let ledger = Ledger::written();
    let hash = ledger.open.hash.to_string();
    let said = ledger.hex(&hash);
    assert_eq!((said.code, said.errors.as_str()), (Some(0), ""));
    let bytes = hex::decode(said.text.trim_end()).unwrap();
    let block: bitcoin::Block = bitcoin::consensus::deserialize(&bytes).unwrap();
    assert_eq!((block.block_hash().to_string(), block.check_merkle_root()), (hash.clone(), true));
    assert!(block.check_witness_commitment());
    // As the table shows it, as little as tells it apart, in capitals.
    let significant = hash.trim_start_matches('0');
    for part in [format!("…{significant:.12}"), hash[..12].to_owned(), significant[..9].to_uppercase()] {
        assert_eq!(ledger.hex(&part).text, said.text, "{part}");
    }
}

#[test]
fn a_hash_that_names_no_block_or_several_says_so() {
    let ledger = Ledger::written();
    let pool = ledger.pool.hash.to_string();
    for (hash, code, complaint) in [
        (&*"0".repeat(64), 1, "has no block whose hash begins with "),
        (&pool, 1, "which alone has its transactions"),
        ("xyz", 2, "--hex: found \"xyz\", expected 1 to 64 hex digits"),
        ("", 2, "expected 1 to 64 hex digits"),
    ] {
        let said = ledger.hex(hash);
        assert_eq!((said.code, said.text.as_str()), (Some(code), ""), "{hash}");
        assert!(said.errors.contains(complaint), "{}", said.errors);
    }
    let Opened { journal, .. } = Journal::open(ledger.path());
    for number in 0..2 {
        let mut hash = [0xab; 32];
        hash[0] = number;
        journal.fate(BlockHash(hash), Fate::Orphaned);
    }
    journal.finish();
    let said = ledger.hex("abab");
    assert_eq!(said.code, Some(1));
    assert!(
        said.errors.contains("has 2 blocks whose hashes begin with abab; give more digits"),
        "{}",
        said.errors
    );
}

#[test]
fn broken_lines_are_told_beside_what_can_be_read() {
    let ledger = Ledger::written();
    let mut bytes = fs::read(ledger.path()).unwrap();
    bytes[30] ^= 1;
    bytes.extend(b"half a line");
    fs::write(ledger.path(), bytes).unwrap();
    let said = ledger.show(&["--json"]);
    // What was said of the first is still there.
    assert_eq!((said.code, said.text.lines().count()), (Some(0), 4));
    assert!(
        said.errors.contains("broken lines that are passed over: 1, the first is line 1"),
        "{}",
        said.errors
    );
    assert!(said.errors.contains("the last line is unfinished"), "{}", said.errors);
    let hash = ledger.accepted.hash.to_string();
    assert!(ledger.hex(&hash).errors.contains("has the fate of block"));
}

#[test]
fn the_journal_is_found_where_the_configuration_says_or_in_its_usual_place() {
    let ledger = Ledger::written();
    let (folder, path) = (ledger.folder.path(), ledger.path());
    let home = folder.join("home");
    fs::create_dir_all(home.join(".local/state/signalcore")).unwrap();
    let home_text = home.to_str().unwrap();
    let empty = blocks(&[], &[("HOME", home_text)]);
    let usual = home.join(".local/state/signalcore/blocks.journal");
    assert_eq!((empty.code, empty.text), (Some(0), format!("no blocks yet in {}\n", usual.display())));
    let empty = blocks(&["--json"], &[("HOME", home_text)]);
    assert_eq!((empty.code, empty.text.as_str()), (Some(0), ""));
    fs::copy(&path, usual).unwrap();
    let config = folder.join("miner.toml");
    fs::write(&config, "state.journal = 'blocks.journal'").unwrap();
    let whole = ledger.show(&[]).text;
    for (arguments, environment) in [
        (&[][..], ("HOME", home_text)),
        (&["--config", config.to_str().unwrap()][..], ("HOME", "/nowhere")),
        (&[][..], ("SIGNALCORE_STATE_JOURNAL", path.to_str().unwrap())),
    ] {
        assert_eq!(blocks(arguments, &[environment]).text, whole, "{environment:?}");
    }
    fs::write(&config, "state.journel = 'x'").unwrap();
    let said = blocks(&["--config", config.to_str().unwrap()], &[]);
    assert_eq!(said.code, Some(78));
    assert!(said.errors.contains("did you mean journal?"), "{}", said.errors);
}

#[test]
fn a_journal_that_cannot_be_read_is_told_and_never_hangs() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    for (path, complaint) in [
        (missing.as_path(), "missing is not there"),
        (folder.path(), "is no regular file"),
        (Path::new("/dev/zero"), "/dev/zero is no regular file"),
    ] {
        let said = blocks(&["--journal", path.to_str().unwrap()], &[]);
        assert_eq!((said.code, said.text.as_str()), (Some(1), ""));
        assert!(said.errors.contains(complaint), "{}", said.errors);
    }
}

#[test]
fn a_journal_of_strangers_steers_no_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blocks.journal");
    let hash = BlockHash([9; 32]);
    let records = [
        Record::Answer(Answer { at: u64::MAX, hash, from: "\u{1b}[2J".to_owned(), text: "\u{7}".to_owned() }),
        Record::Settled(Settled { at: 0, hash, fate: Fate::Refused { reason: "\u{1b}[31m\n".to_owned() } }),
    ];
    let lines: String = records.iter().map(|record| record.to_line() + "\n").collect();
    fs::write(&path, lines).unwrap();
    for more in [&[][..], &["--json"]] {
        let said = blocks(&[&["--journal", path.to_str().unwrap()], more].concat(), &[]);
        assert_eq!(said.code, Some(0));
        assert!(said.text.contains("[31m") && !said.text.contains(['\u{1b}', '\u{7}']), "{}", said.text);
        assert!(said.text.contains(&u64::MAX.to_string()), "{}", said.text);
    }
}
