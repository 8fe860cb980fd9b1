//! A recorded stream of bytes to all that stands in it, in either direction: for a person who looks at a capture.
//!
//! The [`Decoder`](super::decoder::Decoder) of a running chain hears chips only, and knows the size of their answers.

use super::answer::{Answer, AnswerError, AnswerSize, PREAMBLE as FROM_CHIP};
use super::chip::{Chip, JobForm};
use super::frame::{Frame, FrameError, JOB_HEADER, PREAMBLE as TO_CHIP, offset};
use super::job_frame::{HEADER_JOB, size_with_midstates};

/// A part of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Where it begins. Unit: bytes.
    pub at: usize,
    /// How long it is. Unit: bytes.
    pub size: usize,
    /// What it is.
    pub content: Content,
}

/// What a part of a stream is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// From the host.
    ToChip(Frame),
    /// From a chip.
    FromChip(Answer),
    /// Bytes that belong to nothing, and what is wrong with the first frame that seems to begin among them.
    Skipped(Option<Damage>),
}

/// Why bytes behind a preamble are no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// They seem to go to a chip.
    #[error("to a chip: {0}")]
    ToChip(#[from] FrameError),
    /// They seem to come from a chip.
    #[error("from a chip: {0}")]
    FromChip(#[from] AnswerError),
}

/// All parts of a stream in order, without a gap: after damage it goes on at the next byte.
///
/// The size of a job follows from the chip, for length bytes do not tell. Answers have 9 or 11 bytes: where both would
/// do, the one that leads to another frame, or to the end.
pub fn dissect(chip: &Chip, bytes: &[u8]) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let (size, content) = match whole(chip, &bytes[at..]) {
            Ok((size, content)) => (size, content),
            Err(damage) => {
                if let Some(Piece { size, content: Content::Skipped(first), .. }) = pieces.last_mut() {
                    *size += 1;
                    *first = first.take().or(damage);
                    at += 1;
                    continue;
                }
                (1, Content::Skipped(damage))
            }
        };
        pieces.push(Piece { at, size, content });
        at += size;
    }
    pieces
}

/// The frame that these bytes begin with. Errors: what is wrong with it, `None` where none begins.
fn whole(chip: &Chip, bytes: &[u8]) -> Result<(usize, Content), Option<Damage>> {
    if bytes.starts_with(&TO_CHIP) {
        let size = size_to_chip(chip, bytes).min(bytes.len());
        let frame = Frame::parse(&bytes[..size]).map_err(|error| Some(error.into()))?;
        return Ok((size, Content::ToChip(frame)));
    }
    if !bytes.starts_with(&FROM_CHIP) {
        return Err(None);
    }
    let sizes = match chip.layout.form {
        JobForm::Header => &[AnswerSize::Eleven, AnswerSize::Nine][..],
        JobForm::Midstates => &[AnswerSize::Nine][..],
    };
    let read = |size: &AnswerSize| {
        let size = size.bytes().min(bytes.len());
        Answer::parse(&bytes[..size]).map(|answer| (size, Content::FromChip(answer)))
    };
    let leads_on = |(size, _): &&(usize, Content)| {
        let rest = &bytes[*size..];
        rest.is_empty() || rest.starts_with(&TO_CHIP) || rest.starts_with(&FROM_CHIP)
    };
    let good: Vec<_> = sizes.iter().filter_map(|size| read(size).ok()).collect();
    match good.iter().find(leads_on).or(good.first()) {
        Some(answer) => Ok(answer.clone()),
        None => Err(read(&sizes[0]).err().map(Damage::from)),
    }
}

fn size_to_chip(chip: &Chip, bytes: &[u8]) -> usize {
    match (bytes.get(offset::HEADER), &chip.layout.form) {
        (Some(&JOB_HEADER), JobForm::Header) => HEADER_JOB,
        (Some(&JOB_HEADER), JobForm::Midstates) => size_with_midstates(bytes),
        // Commands tell their size; one that lies fails by its checksum.
        _ => TO_CHIP.len() + bytes.get(offset::LENGTH).copied().map_or(0, usize::from),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::chip::{BM1370, BM1397, CHIPS};
    use super::*;

    fn kinds(chip: &Chip, hex: &str) -> Vec<(usize, usize, &'static str)> {
        let kind = |content: &Content| match content {
            Content::ToChip(Frame::Job(_)) => "job",
            Content::ToChip(_) => "command",
            Content::FromChip(Answer::Nonce(_)) => "nonce",
            Content::FromChip(_) => "register",
            Content::Skipped(None) => "noise",
            Content::Skipped(Some(_)) => "damage",
        };
        let bytes = hex::decode(hex.replace(' ', "")).unwrap();
        dissect(chip, &bytes).iter().map(|piece| (piece.at, piece.size, kind(&piece.content))).collect()
    }

    #[test]
    fn a_capture_of_both_directions_is_cut_at_its_frames_and_its_noise_is_named() {
        let stream = "55AA520500000A AA5513700000000006 0001 55AA510900A49000FFFF1C AA55137000000000000010 \
                      55AA5305000004";
        let pieces = [
            (0, 7, "command"),
            (7, 9, "register"),
            (16, 2, "noise"),
            (18, 11, "command"),
            (29, 11, "register"),
            (40, 7, "damage"),
        ];
        assert_eq!(kinds(&BM1370, stream), pieces);
    }

    #[test]
    fn the_shifted_stream_of_esp_miner_issue_268_shows_its_two_nonces() {
        let stream = "53045e1b2e8faa556c0075ca00460cd686aa559201d266020c28209daa557a02ee";
        let expected = [(0, 6, "noise"), (6, 11, "nonce"), (17, 11, "nonce"), (28, 5, "damage")];
        assert_eq!(kinds(&BM1370, stream), expected);
    }

    #[test]
    fn an_answer_of_a_bm1397_has_nine_bytes_whatever_follows() {
        let expected = [(0, 9, "register"), (9, 4, "damage")];
        assert_eq!(kinds(&BM1397, "AA5513971800000006 0000AA55"), expected);
    }

    proptest! {
        #[test]
        fn whatever_the_bytes_are_the_pieces_make_them_up_without_a_gap(
            bytes in proptest::collection::vec(prop_oneof![Just(0xaa), Just(0x55), Just(0x21), any::<u8>()], 0..300)
        ) {
            for chip in CHIPS {
                let mut end = 0;
                for piece in dissect(chip, &bytes) {
                    prop_assert_eq!(piece.at, end);
                    prop_assert!(piece.size > 0);
                    end += piece.size;
                }
                prop_assert_eq!(end, bytes.len());
            }
        }
    }
}
