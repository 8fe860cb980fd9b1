//! The file of vectors, and which of its entries are this driver's.

use std::collections::BTreeMap;

use serde_json::Value;

/// One entry.
pub(super) struct Vector {
    pub(super) chip: String,
    pub(super) kind: String,
    pub(super) hex: Vec<u8>,
    pub(super) fields: Value,
    pub(super) level: String,
}

impl Vector {
    /// A number that the file has as such, or as hexadecimal text.
    pub(super) fn number(&self, field: &str) -> Option<u32> {
        match &self.fields[field] {
            Value::Number(number) => number.as_u64().map(|number| number as u32),
            Value::String(text) => u32::from_str_radix(text.trim_start_matches("0x"), 16).ok(),
            _ => None,
        }
    }

    pub(super) fn bytes(&self, field: &str) -> Option<Vec<u8>> {
        hex::decode(self.fields[field].as_str()?).ok()
    }

    pub(super) fn is_proved_by_its_hash(&self) -> bool {
        self.level.starts_with("hash")
    }

    /// For messages of tests.
    pub(super) fn name(&self) -> String {
        format!("{} {} {}", self.chip, self.kind, hex::encode(&self.hex))
    }
}

/// Chips whose entries other modules are about. These speak other protocols.
const OF_OTHERS: &[(&str, usize)] = &[
    ("Antminer U1/U2", 1),
    ("Antminer U1/U2/U3", 9),
    ("BM1384", 2),
    ("BM1384/BM1387", 2),
    ("BM1387", 6),
    ("BZM2", 1),
    ("Icarus", 4),
    ("bitaxe-raw", 7),
];

fn all() -> Vec<Vector> {
    let text = include_str!("../../../tests/vectors/asic-vectors.json");
    let entries: Vec<Value> = serde_json::from_str(text).unwrap();
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap().to_owned();
    let vector = |entry: Value| Vector {
        chip: text(&entry, "chip"),
        kind: text(&entry, "kind"),
        hex: hex::decode(text(&entry, "hex").replace(' ', "")).unwrap(),
        level: text(&entry, "level"),
        fields: entry["fields"].clone(),
    };
    entries.into_iter().map(vector).collect()
}

/// The entries that are about our chips.
pub(super) fn ours() -> Vec<Vector> {
    all().into_iter().filter(|vector| OF_OTHERS.iter().all(|(chip, _)| *chip != vector.chip)).collect()
}

#[test]
fn the_entries_left_to_other_modules_are_exactly_those_listed() {
    let mut counts = BTreeMap::new();
    for vector in all() {
        *counts.entry(vector.chip).or_insert(0) += 1;
    }
    for (chip, count) in OF_OTHERS {
        assert_eq!(counts.remove(*chip), Some(*count), "{chip}");
    }
    let chips: Vec<_> = counts.keys().map(String::as_str).collect();
    let known = [
        "BM1362",
        "BM1362/66/68/70",
        "BM1366",
        "BM1366/BM1368",
        "BM1368",
        "BM1370",
        "BM1397",
        "BM13xx",
        "any",
    ];
    assert_eq!(chips, known);
    assert_eq!(counts.values().sum::<usize>(), 222);
}
