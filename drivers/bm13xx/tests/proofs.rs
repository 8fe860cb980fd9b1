//! Every entry that is proved by a hash goes the driver's own way: a job to its frame, the answer of a chip to its
//! header, and that to the hash which the file says.

use super::super::answer::{Answer, AnswerSize, RawNonce};
use super::super::chip::{BM1366, BM1397, CHIPS, Chip, JobForm};
use super::super::decoder::Decoder;
use super::super::frame::Frame;
use super::super::job::{JobRing, SentJob};
use super::super::job_frame::{HeaderJob, JobFrame};
use super::super::nonce::{Verdict, judge};
use super::super::register::{ROLLABLE, ROLLABLE_SHIFT};
use super::super::ticket::Ticket;
use super::vectors::{Vector, ours};
use crate::{ChipJob, ChipJobId};

const EASY: [u8; 32] = [0xff; 32];

fn chip_named(name: &str) -> &'static Chip {
    CHIPS.into_iter().find(|chip| chip.name == name).unwrap()
}

pub(super) fn chip_job(version: u32, mask: u32, header: &HeaderJob) -> ChipJob {
    ChipJob {
        id: ChipJobId(7),
        version: version & !mask,
        prev_hash: header.prev_hash,
        merkle_root: header.merkle_root,
        ntime: header.ntime,
        nbits: header.nbits,
        version_mask: mask,
        target: EASY,
    }
}

/// The job of a header of 80 bytes, as a frame would have it.
fn job_of_header(header: &[u8]) -> HeaderJob {
    let number = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap());
    HeaderJob {
        job_byte: 8,
        midstates: 1,
        start_nonce: [0; 4],
        nbits: number(72),
        ntime: number(68),
        merkle_root: header[36..68].try_into().unwrap(),
        prev_hash: header[4..36].try_into().unwrap(),
        version: number(0),
        length: super::super::job_frame::LengthByte::True,
    }
}

/// A ring whose newest job has this byte, and the frame that brought it.
fn ring_with(chip: &'static Chip, job: &ChipJob, job_byte: u8, ticket: Ticket) -> (JobRing, JobFrame) {
    let mut ring = JobRing::new(chip);
    let byte_of = |frame: &JobFrame| match frame {
        JobFrame::Header(job) => job.job_byte,
        JobFrame::Midstates(job) => job.job_byte,
    };
    for _ in 0..chip.job_numbers() {
        let frame = ring.push(SentJob::new(chip, job.clone(), ticket));
        if byte_of(&frame) == job_byte {
            return (ring, frame);
        }
    }
    panic!("{} gives no job the byte {job_byte:#04x}", chip.name)
}

/// The recorded jobs in header form.
pub(super) fn recorded_jobs() -> Vec<(Vector, HeaderJob)> {
    let of = |vector: Vector| match Frame::parse(&vector.hex) {
        Ok(Frame::Job(JobFrame::Header(job))) => Some((vector, job)),
        _ => None,
    };
    ours().into_iter().filter(|vector| vector.kind == "job").filter_map(of).collect()
}

fn expect_good(vector: &Vector, verdict: Verdict) {
    let name = vector.name();
    let Verdict::Good(proved) = verdict else { panic!("{name}: {verdict:?}") };
    let mut hash = *proved.hash();
    hash.reverse();
    assert_eq!(hash.to_vec(), vector.bytes("block_hash").unwrap(), "{name}");
    let header = vector.bytes("header").unwrap_or_else(|| vector.hex.clone());
    assert_eq!(proved.version().to_le_bytes(), header[..4], "{name}");
    assert_eq!(proved.nonce().to_le_bytes(), header[76..], "{name}");
    assert!(proved.meets_target(), "{name}");
}

/// Sends the recorded job and brings the answer back over the line.
fn prove(vector: &Vector, recorded: (&Vector, &HeaderJob), answer: Answer) {
    let (job_vector, header) = recorded;
    let chip = chip_named(&vector.chip);
    let ticket = Ticket::at_most(vector.fields["ticket_difficulty"].as_f64().unwrap());
    let job = chip_job(header.version, ROLLABLE, header);
    let (mut ring, frame) = ring_with(chip, &job, header.job_byte, ticket);
    assert_eq!(hex::encode(frame.emit()), hex::encode(&job_vector.hex), "{}", vector.name());
    let bytes = answer.emit(AnswerSize::Eleven);
    let [Answer::Nonce(raw)] = Decoder::new(AnswerSize::Eleven).feed(&bytes)[..] else { panic!("no nonce") };
    expect_good(vector, judge(&mut ring, &raw, ticket));
    assert_eq!(judge(&mut ring, &raw, ticket), Verdict::Duplicate, "{}", vector.name());
}

#[test]
fn every_recorded_nonce_with_its_job_is_proved_by_the_driver_itself() {
    let jobs = recorded_jobs();
    let (mut responses, mut results, mut left) = (0, 0, Vec::new());
    for vector in ours().iter().filter(|vector| vector.is_proved_by_its_hash()) {
        let crc_of_job = match vector.fields["job"].as_str() {
            Some(text) => text.rsplit(' ').next().unwrap().to_owned(),
            None => "8949".to_owned(), // all results without a note are for the job of block 839900
        };
        match vector.kind.as_str() {
            "nonce-response" | "nonce-response-constructed" => {
                let answer = Answer::parse(&vector.hex).unwrap();
                let is_its_job = |(job, header): &&(Vector, HeaderJob)| {
                    let merkle_root = vector.bytes("header").unwrap()[36..68].to_vec();
                    job.chip == vector.chip && header.merkle_root.to_vec() == merkle_root
                };
                let (job, header) = jobs.iter().find(is_its_job).unwrap();
                prove(vector, (job, header), answer);
                responses += 1;
            }
            "nonce-result" => {
                let (job, header) = jobs
                    .iter()
                    .find(|(job, _)| job.fields["crc16"].as_str() == Some(crc_of_job.as_str()))
                    .unwrap();
                let version = u16::from_be_bytes([vector.hex[4], vector.hex[5]]);
                let number = header.job_byte >> BM1366.layout.job_shift;
                let tag = BM1366.tag((version % 8) as u8, number, 0);
                let nonce = vector.hex[..4].try_into().unwrap();
                prove(vector, (job, header), Answer::Nonce(RawNonce { nonce, tag, version: Some(version) }));
                results += 1;
            }
            kind => left.push((vector.chip.clone(), kind.to_owned())),
        }
    }
    assert_eq!((responses, results), (7, 53));
    // The jobs are proved by the nonces above and by the midstate in frames.rs, the headers below.
    let others = [
        ("BM1366", "job"),
        ("BM1397", "job"),
        ("BM1397", "header-check"),
        ("BM1397", "header-check"),
        ("any", "header-check"),
    ];
    let others = others.map(|(chip, kind)| (chip.to_owned(), kind.to_owned()));
    assert_eq!(left, others);
}

#[test]
fn every_recorded_header_is_proved_on_each_chip_that_can_have_found_it() {
    for vector in ours().iter().filter(|vector| vector.kind == "header-check") {
        let header = job_of_header(&vector.hex);
        let chips: Vec<_> =
            CHIPS.into_iter().filter(|chip| vector.chip == "any" || chip.name == vector.chip).collect();
        for chip in &chips {
            // A midstate is made of whatever version the job has; a chip that rolls has to get there by itself.
            let mask = if chip.layout.form == JobForm::Header { ROLLABLE } else { 0 };
            let job = chip_job(header.version, mask, &header);
            let (mut ring, _) = ring_with(chip, &job, header.job_byte, Ticket::ONE);
            let number = header.job_byte >> chip.layout.job_shift;
            let raw = RawNonce {
                nonce: vector.hex[76..].try_into().unwrap(),
                tag: chip.tag(0, number, 0),
                version: (mask != 0).then_some(((header.version & mask) >> ROLLABLE_SHIFT) as u16),
            };
            expect_good(vector, judge(&mut ring, &raw, Ticket::ONE));
        }
        assert_eq!(chips.len(), if vector.chip == "any" { 5 } else { 1 });
    }
}

#[test]
fn a_midstate_made_of_a_job_is_that_of_esp_miners_verifier() {
    let vectors = ours();
    let vector = vectors.iter().find(|vector| vector.fields["midstate_words"].is_array()).unwrap();
    let Ok(Frame::Job(JobFrame::Midstates(recorded))) = Frame::parse(&vector.hex) else {
        panic!("no midstates")
    };
    let mut header = job_of_header(&[0; 80]);
    header.prev_hash = vector.bytes("prev_hash_header").unwrap().try_into().unwrap();
    header.merkle_root = vector.bytes("merkle_root_header").unwrap().try_into().unwrap();
    (header.ntime, header.nbits) = (recorded.ntime, recorded.nbits);
    let job = chip_job(vector.number("version").unwrap(), ROLLABLE, &header);
    let (_, frame) = ring_with(&BM1397, &job, recorded.job_byte, Ticket::ONE);
    let bytes = frame.emit();
    let JobFrame::Midstates(ours) = frame else { panic!("no midstates") };
    assert_eq!(ours.midstates[0], recorded.midstates[0]);
    assert_eq!(ours.merkle_tail, recorded.merkle_tail);
    assert_eq!(bytes.len(), vector.hex.len());
    assert_eq!(bytes[..54], vector.hex[..54]);
}

/// The recorded nonce of a Bitaxe Gamma, difficulty 29588, and its job.
pub(super) fn gamma() -> (ChipJob, RawNonce) {
    let (_, header) = recorded_jobs().into_iter().find(|(vector, _)| vector.chip == "BM1370").unwrap();
    let raw = RawNonce { nonce: [0x4c, 0x03, 0x52, 0x75], tag: 0x0cd2, version: Some(0x05a2) };
    (chip_job(header.version, ROLLABLE, &header), raw)
}

#[test]
fn a_nonce_below_the_ticket_and_one_above_the_jobs_target_are_told_apart_from_errors() {
    let (mut job, raw) = gamma();
    let chip = chip_named("BM1370");
    let hard = Ticket::at_most(32768.0);
    job.target = [0; 32];
    let (mut ring, _) = ring_with(chip, &job, 0x68, hard);
    let Verdict::BelowTicket(proved) = judge(&mut ring, &raw, hard) else { panic!("not below the ticket") };
    assert!(!proved.meets_target());
    let (mut ring, _) = ring_with(chip, &job, 0x68, hard);
    let Verdict::Good(proved) = judge(&mut ring, &raw, Ticket::ONE) else {
        panic!("not by the newest ticket")
    };
    assert_eq!(proved.ticket(), Ticket::ONE);
}

#[test]
fn any_flipped_bit_of_the_nonce_or_its_version_is_a_hardware_error() {
    let (job, raw) = gamma();
    let (mut ring, _) = ring_with(chip_named("BM1370"), &job, 0x68, Ticket::ONE);
    for bit in 0..48 {
        let mut wrong = raw;
        match bit {
            0..32 => wrong.nonce[bit / 8] ^= 1 << (bit % 8),
            _ => wrong.version = raw.version.map(|version| version ^ 1 << (bit - 32)),
        }
        assert_eq!(judge(&mut ring, &wrong, Ticket::ONE), Verdict::HardwareError, "bit {bit}");
    }
}

#[test]
fn a_late_nonce_is_found_by_its_number_even_when_the_number_was_given_again_and_stale_after_that() {
    let (job, raw) = gamma();
    let chip = chip_named("BM1370");
    let (mut ring, _) = ring_with(chip, &job, 0x68, Ticket::ONE);
    let other = ChipJob { id: ChipJobId(8), ntime: 1, ..job };
    for _ in 0..16 {
        ring.push(SentJob::new(chip, other.clone(), Ticket::ONE));
    }
    let Verdict::Good(proved) = judge(&mut ring, &raw, Ticket::ONE) else { panic!("the job before is gone") };
    assert_eq!(proved.job(), ChipJobId(7));
    for _ in 0..16 {
        ring.push(SentJob::new(chip, other.clone(), Ticket::ONE));
    }
    assert_eq!(judge(&mut ring, &raw, Ticket::ONE), Verdict::HardwareError);
    ring.clear();
    assert_eq!(judge(&mut ring, &raw, Ticket::ONE), Verdict::Stale);
}
