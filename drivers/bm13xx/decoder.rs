//! Bytes of the line to answers, however the line cut, damaged or padded them.
//!
//! Chips now and then send a byte too many, and bridges lose some (ESP-Miner issue 268): nothing may rely on a block of
//! bytes beginning where the last answer ended. So every window of bytes that is a good answer is given out as soon as
//! it is whole, even one that begins inside another: else a false answer, which the checksum lets through once in 128
//! times, would swallow the true one behind it. A window inside a true answer passes by chance about twice in a million
//! answers, and then its nonce has no job or no hash.

use super::answer::{Answer, AnswerError, AnswerSize, PREAMBLE};

/// Splits what a chain sends into answers and counts what is none.
#[derive(Debug)]
pub struct Decoder {
    size: usize,
    bytes: Vec<u8>,
    /// Bytes at the front that belong to an answer already given out.
    covered: usize,
    counts: LineCounts,
}

/// What was wrong on the line. It cannot be laid at the door of one chip: whose answer it was is what got lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LineCounts {
    /// Preambles outside of answers that no good answer followed.
    pub crc_errors: u64,
    /// Bytes that belong to no answer.
    pub dropped_bytes: u64,
}

impl Decoder {
    /// For answers of this size.
    pub fn new(size: AnswerSize) -> Self {
        Self { size: size.bytes(), bytes: Vec::new(), covered: 0, counts: LineCounts::default() }
    }

    /// The answers that these bytes complete, in order. At most one answer less a byte is kept for later.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Answer> {
        self.bytes.extend_from_slice(bytes);
        let mut answers = Vec::new();
        let mut start = 0;
        while start < self.bytes.len() {
            let rest = &self.bytes[start..];
            let preamble = &rest[..rest.len().min(PREAMBLE.len())];
            let may_begin = PREAMBLE.starts_with(preamble);
            if may_begin && rest.len() < self.size {
                break;
            }
            match may_begin.then(|| Answer::parse(&rest[..self.size])) {
                Some(Ok(answer)) => {
                    answers.push(answer);
                    self.covered = self.size;
                }
                Some(Err(AnswerError::Crc(_) | AnswerError::Type(_))) if self.covered == 0 => {
                    self.counts.crc_errors += 1;
                }
                _ => {}
            }
            self.counts.dropped_bytes += u64::from(self.covered == 0);
            self.covered = self.covered.saturating_sub(1);
            start += 1;
        }
        self.bytes.drain(..start);
        answers
    }

    /// Forgets the beginning of an answer, for after a reset or a change of speed, and takes answers of this size from
    /// now on.
    pub fn restart(&mut self, size: AnswerSize) {
        self.bytes.clear();
        self.covered = 0;
        self.size = size.bytes();
    }

    /// What was wrong so far.
    pub fn counts(&self) -> LineCounts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::answer::RawNonce;
    use super::*;

    fn decode(size: AnswerSize, pieces: &[&[u8]]) -> (Vec<Answer>, LineCounts) {
        let mut decoder = Decoder::new(size);
        let answers = pieces.iter().flat_map(|piece| decoder.feed(piece)).collect();
        (answers, decoder.counts())
    }

    /// Bytes that are likely to look like a preamble.
    fn garbage() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(0xaa), Just(0x55), any::<u8>()];
        proptest::collection::vec(byte, 0..30)
    }

    fn nonce(size: AnswerSize) -> impl Strategy<Value = Answer> {
        any::<([u8; 4], u16, u16)>().prop_map(move |(nonce, tag, version)| {
            let version = (size == AnswerSize::Eleven).then_some(version);
            Answer::Nonce(RawNonce { nonce, tag, version })
        })
    }

    fn sizes() -> impl Strategy<Value = AnswerSize> {
        prop_oneof![Just(AnswerSize::Nine), Just(AnswerSize::Eleven)]
    }

    /// An answer behind some garbage, perhaps with a bit flipped.
    type Piece = (Vec<u8>, Answer, Option<u8>);

    fn stream() -> impl Strategy<Value = (AnswerSize, Vec<Piece>)> {
        sizes().prop_flat_map(|size| {
            let flip = proptest::option::weighted(0.2, any::<u8>());
            (Just(size), proptest::collection::vec((garbage(), nonce(size), flip), 0..12))
        })
    }

    proptest! {
        #[test]
        fn all_whole_answers_come_out_in_order_whatever_stands_between_them_and_wherever_it_is_cut(
            (size, stream) in stream(), cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..20)
        ) {
            let mut bytes = Vec::new();
            let mut whole = Vec::new();
            for (garbage, answer, flip) in stream {
                bytes.extend(garbage);
                let mut frame = answer.emit(size);
                match flip {
                    Some(bit) => frame[usize::from(bit) / 8 % size.bytes()] ^= 1 << (bit % 8),
                    None => whole.push(answer),
                }
                bytes.extend(frame);
            }
            let (at_once, counts) = decode(size, &[&bytes]);
            // Garbage may hold what looks like an answer, so more may come out, but nothing less and in no other order.
            let mut found = at_once.iter();
            for answer in &whole {
                prop_assert!(found.any(|found| found == answer), "{answer:?} is missing or out of order");
            }
            prop_assert!(counts.dropped_bytes as usize <= bytes.len() - size.bytes() * whole.len().min(1));

            let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            ends.extend([0, bytes.len()]);
            ends.sort_unstable();
            let pieces: Vec<_> = ends.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(&decode(size, &pieces), &(at_once.clone(), counts));
            let single: Vec<_> = bytes.chunks(1).collect();
            prop_assert_eq!(&decode(size, &single), &(at_once, counts));
        }

        #[test]
        fn an_answer_is_given_out_with_its_last_byte_and_little_is_ever_kept(
            size in sizes(), garbage in garbage(), value: u32
        ) {
            let mut decoder = Decoder::new(size);
            let answer =
                Answer::Register { value, chip_address: 0, register: super::super::register::Register::CHIP_ID };
            decoder.feed(&garbage);
            prop_assert!(decoder.feed(&answer.emit(size)).contains(&answer));
            prop_assert!(decoder.bytes.len() < size.bytes());
        }

        #[test]
        fn a_clean_line_has_no_errors_to_count(
            answers in proptest::collection::vec(nonce(AnswerSize::Eleven), 0..20)
        ) {
            let bytes: Vec<_> = answers.iter().flat_map(|answer| answer.emit(AnswerSize::Eleven)).collect();
            prop_assert_eq!(decode(AnswerSize::Eleven, &[&bytes]).1, LineCounts::default());
        }
    }

    #[test]
    fn the_shifted_stream_of_esp_miner_issue_268_gives_its_two_answers_and_counts_the_rest() {
        let stream = "53045e1b2e8faa556c0075ca00460cd686aa559201d266020c28209daa557a02ee";
        let (answers, counts) = decode(AnswerSize::Eleven, &[&hex::decode(stream).unwrap()]);
        let frames = ["aa556c0075ca00460cd686", "aa559201d266020c28209d"]
            .map(|frame| Answer::parse(&hex::decode(frame).unwrap()).unwrap());
        assert_eq!(answers, frames);
        assert_eq!(counts, LineCounts { crc_errors: 0, dropped_bytes: 6 });
    }

    #[test]
    fn a_damaged_answer_is_one_checksum_error_and_its_bytes_are_dropped() {
        let good = hex::decode("aa55137000000000000010").unwrap();
        let mut damaged = good.clone();
        damaged[5] ^= 0x10;
        let (answers, counts) = decode(AnswerSize::Eleven, &[&damaged, &good]);
        assert_eq!(answers.len(), 1);
        assert_eq!(counts, LineCounts { crc_errors: 1, dropped_bytes: 11 });
    }

    #[test]
    fn a_restart_forgets_half_an_answer_and_takes_the_new_size() {
        let mut decoder = Decoder::new(AnswerSize::Nine);
        let id = hex::decode("aa5513700000000006").unwrap();
        assert_eq!(decoder.feed(&id[..5]), []);
        decoder.restart(AnswerSize::Nine);
        assert_eq!(decoder.feed(&id[5..]), []);
        assert_eq!(decoder.feed(&id).len(), 1);
        decoder.restart(AnswerSize::Eleven);
        assert_eq!(decoder.feed(&hex::decode("aa551370000000000000").unwrap()), []);
        assert_eq!(decoder.feed(&[0x10]).len(), 1);
    }
}
