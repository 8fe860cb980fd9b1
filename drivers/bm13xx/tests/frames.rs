//! Every recorded frame is read, says what the file says, and comes out again byte for byte.

use super::super::answer::{Answer, AnswerSize};
use super::super::chip::CHIPS;
use super::super::decoder::Decoder;
use super::super::frame::{Frame, Recipient};
use super::super::job_frame::JobFrame;
use super::super::pll::Frequency;
use super::super::register::Register;
use super::super::ticket::Ticket;
use super::vectors::{Vector, ours};

#[test]
fn every_command_and_job_is_read_as_what_it_is_and_emitted_again_to_the_byte() {
    let (mut commands, mut jobs) = (0, 0);
    for vector in ours() {
        let name = vector.name();
        match vector.kind.as_str() {
            "command" | "command-constructed" => commands += 1,
            "job" => jobs += 1,
            _ => continue,
        }
        let frame = Frame::parse(&vector.hex).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(hex::encode(frame.emit()), hex::encode(&vector.hex), "{name}");
        match frame {
            Frame::Write { to, register, value } => {
                assert_eq!(vector.number("value").unwrap_or(value), value, "{name}");
                assert_eq!(
                    vector.number("register").unwrap_or(register.0.into()),
                    u32::from(register.0),
                    "{name}"
                );
                let address = vector.number("chip_address").unwrap_or(0) as u8;
                let broadcast = vector.fields["broadcast"].as_bool().unwrap_or(vector.hex[2] == 0x51);
                let expected = if broadcast { Recipient::All } else { Recipient::One(address) };
                assert_eq!(to, expected, "{name}");
            }
            Frame::Job(job) => check_job(&job, &vector),
            Frame::Read { .. } | Frame::SetAddress(_) | Frame::ChainInactive => {}
        }
    }
    assert_eq!((commands, jobs), (113, 17));
}

fn check_job(job: &JobFrame, vector: &Vector) {
    let name = vector.name();
    let (job_byte, start_nonce, nbits, ntime) = match job {
        JobFrame::Header(job) => (job.job_byte, job.start_nonce, job.nbits, job.ntime),
        JobFrame::Midstates(job) => (job.job_byte, job.start_nonce, job.nbits, job.ntime),
    };
    assert_eq!(u32::from(job_byte), vector.number("job_byte").unwrap(), "{name}");
    assert_eq!(start_nonce.to_vec(), vector.bytes("start_nonce").unwrap(), "{name}");
    assert_eq!((nbits, ntime), (vector.number("nbits").unwrap(), vector.number("ntime").unwrap()), "{name}");
    match job {
        JobFrame::Header(job) => {
            assert_eq!(job.merkle_root.to_vec(), vector.bytes("merkle_root_header").unwrap(), "{name}");
            assert_eq!(job.prev_hash.to_vec(), vector.bytes("prev_hash_header").unwrap(), "{name}");
            assert_eq!(job.version, vector.number("version").unwrap(), "{name}");
        }
        JobFrame::Midstates(job) => {
            assert_eq!(job.merkle_tail.to_vec(), vector.bytes("merkle_tail_header").unwrap(), "{name}");
            let wire = vector.fields["midstates_wire"].as_array().unwrap();
            let states = job.midstates.iter().map(|state| {
                let words = state.iter().rev().map(|word| format!("{word:08x}"));
                words.collect::<String>()
            });
            assert!(states.eq(wire.iter().map(|state| state.as_str().unwrap().to_owned())), "{name}");
        }
    }
}

#[test]
fn the_settings_that_the_file_has_in_words_come_out_of_our_own_arithmetic() {
    let (mut frequencies, mut tickets) = (0, 0);
    for vector in ours().iter().filter(|vector| vector.kind == "command-constructed") {
        let Ok(Frame::Write { register, value, .. }) = Frame::parse(&vector.hex) else { continue };
        let name = vector.name();
        if let Some(mhz) = vector.fields["mhz"].as_f64() {
            let chip = CHIPS.into_iter().find(|chip| chip.name == vector.chip).unwrap();
            assert_eq!(
                chip.pll.writes(Frequency::from_mhz(mhz)).unwrap().last(),
                Some(&(register, value)),
                "{name}"
            );
            frequencies += 1;
        }
        if let Some(difficulty) = vector.fields["difficulty"].as_f64() {
            assert_eq!(Ticket::at_most(difficulty).register_value(), value, "{name}");
            tickets += 1;
        }
    }
    assert_eq!((frequencies, tickets), (31, 12));
}

#[test]
fn the_origin_of_every_recorded_nonce_is_read_as_the_file_has_it() {
    let mut seen = 0;
    for vector in ours() {
        let Ok(Answer::Nonce(raw)) = Answer::parse(&vector.hex) else { continue };
        let name = vector.name();
        let chip = CHIPS.into_iter().find(|chip| chip.name == vector.chip).unwrap();
        let origin = chip.origin(raw.nonce, raw.tag);
        assert_eq!(Some(origin.core), vector.number("core"), "{name}");
        assert_eq!(Some(origin.sub_core.into()), vector.number("subcore"), "{name}");
        assert_eq!(Some(origin.job_number.into()), vector.number("job_id5"), "{name}");
        assert_eq!(Some(origin.excess_zero_bits.into()), vector.number("excess_zero_bits"), "{name}");
        assert_eq!(Some(chip.job_byte(origin.job_number).into()), vector.number("job_byte_sent"), "{name}");
        assert_eq!(chip.tag(origin.sub_core, origin.job_number, origin.excess_zero_bits), raw.tag, "{name}");
        if chip.layout.address_mask == 0xfe {
            assert_eq!(Some(origin.address.into()), vector.number("chip_address"), "{name}");
        }
        seen += 1;
    }
    assert_eq!(seen, 19);
}

#[test]
fn the_midstate_of_esp_miners_job_hashes_to_what_its_test_expects() {
    let vector = ours()
        .into_iter()
        .find(|vector| vector.is_proved_by_its_hash() && vector.chip == "BM1397" && vector.kind == "job")
        .unwrap();
    let Ok(Frame::Job(JobFrame::Midstates(job))) = Frame::parse(&vector.hex) else { panic!("no midstates") };
    let nonce = vector.bytes("expected_nonce_wire").unwrap().try_into().unwrap();
    let midstate = vector.number("expected_midstate_index").unwrap() as usize;
    let mut hash = job.hash(midstate, nonce).unwrap();
    hash.reverse();
    assert_eq!(hash.to_vec(), vector.bytes("block_hash").unwrap());
    assert_eq!(job.hash(4, nonce), None, "there are four");
}

#[test]
fn every_answer_is_read_as_what_it_is_and_emitted_again_to_the_byte() {
    let (mut registers, mut nonces) = (0, 0);
    for vector in ours() {
        let name = vector.name();
        match vector.kind.as_str() {
            "register-response" => registers += 1,
            "nonce-response" | "nonce-response-constructed" => nonces += 1,
            _ => continue,
        }
        let size = if vector.hex.len() == 9 { AnswerSize::Nine } else { AnswerSize::Eleven };
        let answer = Answer::parse(&vector.hex).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(hex::encode(answer.emit(size)), hex::encode(&vector.hex), "{name}");
        assert_eq!(Decoder::new(size).feed(&vector.hex), [answer], "{name}");
        match answer {
            Answer::Register { value, chip_address, register } => {
                assert_eq!(Some(value), vector.number("value"), "{name}");
                assert_eq!(Some(chip_address.into()), vector.number("chip_address"), "{name}");
                assert_eq!(Some(register), vector.number("register").map(|at| Register(at as u8)), "{name}");
            }
            Answer::Nonce(raw) => {
                assert_eq!(raw.nonce.to_vec(), vector.bytes("nonce_wire").unwrap(), "{name}");
                let [high, low] = raw.tag.to_be_bytes().map(u32::from);
                assert_eq!(Some(high), vector.number("byte6"), "{name}");
                assert_eq!(Some(low), vector.number("byte7"), "{name}");
                assert_eq!(raw.version.map(u32::from), vector.number("version_field"), "{name}");
            }
        }
    }
    assert_eq!((registers, nonces), (8, 19));
}

#[test]
fn every_recorded_desynchronised_read_gives_exactly_the_answers_that_are_whole() {
    let mut seen = 0;
    for vector in ours() {
        let name = vector.name();
        let expected = match vector.kind.as_str() {
            "desync-stream" => vector.fields["frames"].as_array().unwrap().len(),
            "desync-sample" => 0,
            _ => continue,
        };
        let mut decoder = Decoder::new(AnswerSize::Eleven);
        assert_eq!(decoder.feed(&vector.hex).len(), expected, "{name}");
        if let Some(shift) = vector.number("shift") {
            assert_eq!(decoder.counts().dropped_bytes, u64::from(shift), "{name}");
        }
        seen += 1;
    }
    assert_eq!(seen, 9);
}
