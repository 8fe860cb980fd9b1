//! Which chips are at a port: every generation is asked for its ids in its own form, the youngest first.
//!
//! Source of forms and ids: cgminer `driver-gekko.c`. A chip takes a question of another form for damage.

use std::time::Duration;

use super::frame::Form;
use super::model::{BM1384, BM1387};
use crate::bm13xx::chip::CHIPS;
use crate::bm13xx::frame::{Frame, Recipient};
use crate::bm13xx::register::Register;

/// How long answers to one question may take. At 115 200 baud those of 128 chips take an eighth of it.
pub const ANSWERS_WITHIN: Duration = Duration::from_secs(1);
/// Bytes that are looked at; answers of 128 chips have 1408.
pub const MOST_HEARD: usize = 2048;

/// A question, and what its answers look like.
#[derive(Debug)]
pub struct Question {
    /// What to write.
    pub bytes: Vec<u8>,
    /// What comes before an id.
    preamble: &'static [u8],
    answer_size: usize,
    ids: Vec<u16>,
}

/// Chips that have answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// Upper half of their id.
    pub chip: u16,
    /// How many there are.
    pub count: usize,
}

/// All questions, in the order in which to ask them.
pub fn questions() -> [Question; 3] {
    let of = |form: Form, id| Question {
        bytes: form.read_id(),
        preamble: &[],
        answer_size: form.answer_size(),
        ids: vec![id],
    };
    let read_id = Frame::Read { to: Recipient::All, register: Register::CHIP_ID };
    [
        Question {
            bytes: read_id.emit(),
            preamble: &[0xaa, 0x55],
            answer_size: 9,
            ids: CHIPS.iter().map(|chip| chip.id).collect(),
        },
        of(BM1387.form, BM1387.id),
        of(BM1384.form, BM1384.id),
    ]
}

impl Question {
    /// Who has answered, from all that came; `None` if nobody has.
    pub fn answered(&self, heard: &[u8]) -> Option<Answered> {
        self.ids.iter().find_map(|&chip| {
            let start = [self.preamble, &chip.to_be_bytes()].concat();
            let count = count(heard, &start, self.answer_size);
            (count > 0).then_some(Answered { chip, count })
        })
    }
}

/// How many answers with this id there are, whatever stands between them.
pub(super) fn ids(heard: &[u8], id: u16, answer_size: usize) -> usize {
    count(heard, &id.to_be_bytes(), answer_size)
}

fn count(mut heard: &[u8], start: &[u8], size: usize) -> usize {
    let mut count = 0;
    while heard.len() >= size {
        let is_one = heard.starts_with(start);
        count += usize::from(is_one);
        heard = &heard[if is_one { size } else { 1 }..];
    }
    count
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn heard(text: &str) -> Vec<u8> {
        hex::decode(text.replace(' ', "")).unwrap()
    }

    #[test]
    fn every_recorded_id_names_its_chip_and_how_many_there_are() {
        let [young, bm1387, bm1384] = questions();
        for (text, chip, count) in [
            ("00 AA55 1397 18000000 06", 0x1397, 1),
            ("AA55 1362 03000000 0000 1E", 0x1362, 1),
            ("AA55 1370 00000000 06", 0x1370, 1),
            ("AA55 1397 18000000 06 AA55 1397 18000000 06 ff", 0x1397, 2),
        ] {
            assert_eq!(young.answered(&heard(text)), Some(Answered { chip, count }), "{text}");
        }
        let two = heard("1387 00000000 05 1387 00000000 05");
        assert_eq!(bm1387.answered(&two), Some(Answered { chip: 0x1387, count: 2 }));
        assert_eq!(bm1384.answered(&heard("ff 1384 000000")), Some(Answered { chip: 0x1384, count: 1 }));
        assert_eq!(young.answered(&two), None);
        assert_eq!(bm1384.answered(&heard("1384 0000")), None, "half an answer");
    }

    #[test]
    fn questions_are_the_recorded_ones() {
        let bytes = questions().map(|question| hex::encode(question.bytes));
        assert_eq!(bytes, ["55aa520500000a", "5405000019", "84000011"]);
    }

    proptest! {
        #[test]
        fn nothing_that_is_heard_makes_the_counting_panic(heard: Vec<u8>) {
            for question in questions() {
                let _ = question.answered(&heard);
            }
        }
    }
}
