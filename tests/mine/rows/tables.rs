//! The tables of README.md and CONTRIBUTING.md against the tests that exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const QUIRKS: usize = 65;
const ATTACKS: usize = 26;

/// Of each row, its tests; those that wait for the miner to learn something begin with `ignored: `.
type Rows = BTreeMap<usize, BTreeSet<String>>;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(fs::read_to_string(path).unwrap());
        }
    }
    found
}

/// The tests whose comment begins with `word` and a number.
fn tests_of(word: &str) -> Rows {
    let mut rows = Rows::new();
    for source in sources(&root().join("tests/mine")) {
        for part in source.split(&format!("\n/// {word} ")).skip(1) {
            let number = part.split('.').next().unwrap().parse().unwrap();
            let (attributes, after) = part.split_once("\nfn ").unwrap();
            assert!(attributes.contains("#[test]"), "{part:.60} stands above no test");
            let name = after.split('(').next().unwrap();
            let ignored = if attributes.contains("#[ignore") { "ignored: " } else { "" };
            rows.entry(number).or_default().insert(format!("{ignored}{name}"));
        }
    }
    rows
}

/// The rows of the table below a heading: number and tests.
fn table(heading: &str) -> Vec<(usize, BTreeSet<String>)> {
    let text = fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let (_, below) = text.split_once(&format!("\n### {heading}\n")).unwrap();
    let lines = below.lines().skip_while(|line| !line.starts_with("| ---")).skip(1);
    let rows = lines.take_while(|line| line.starts_with('|')).map(|line| {
        let (row, tests) = line.trim_matches('|').rsplit_once(" | ").unwrap();
        let number = row.split(" | ").next().unwrap().trim().parse().unwrap();
        let tests = tests.split("<br>").map(|test| test.trim().replace('`', ""));
        (number, tests.collect())
    });
    rows.collect()
}

#[test]
fn every_quirk_and_every_attack_has_its_row_and_every_row_its_tests() {
    for (word, heading, count) in [("Quirk", "Quirks", QUIRKS), ("Attack", "Attacks", ATTACKS)] {
        let (tests, table) = (tests_of(word), table(heading));
        let numbers: Vec<_> = table.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, (1..=count).collect::<Vec<_>>(), "{heading}");
        for (number, named) in table {
            assert_eq!(
                Some(&named),
                tests.get(&number),
                "{word} {number}: the table, and the tests there are"
            );
        }
        assert_eq!(tests.len(), count, "{word}");
    }
}

#[test]
fn every_test_that_the_guides_name_exists() {
    let functions: BTreeSet<String> = ["src", "tests", "drivers", "hil"]
        .iter()
        .flat_map(|folder| sources(&root().join(folder)))
        .flat_map(|source| {
            source
                .split("fn ")
                .skip(1)
                .map(|after| after.split('(').next().unwrap().to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    let read = |name: &str| fs::read_to_string(root().join(name)).unwrap();
    let text = format!("{}{}", read("README.md"), read("CONTRIBUTING.md"));
    let is_sentence = |word: &&str| {
        word.matches('_').count() >= 4
            && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let missing: Vec<_> =
        text.split('`').filter(is_sentence).filter(|name| !functions.contains(*name)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}
