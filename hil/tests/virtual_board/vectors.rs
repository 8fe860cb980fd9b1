//! Every frame of `tests/vectors/asic-vectors.json` that is for boards played here: commands and jobs captured from real
//! machines or printed in drivers, and the answers that real chips gave.

use std::time::Duration;

use serde::Deserialize;
use signalcore_hil::virtual_board::{BoardConfig, Event, Pace, SolvedHeader};

use crate::{
    bench::{Bench, config},
    frames::bytes,
};

#[derive(Debug, Deserialize)]
struct Vector {
    chip: String,
    kind: String,
    hex: String,
    fields: serde_json::Value,
    level: String,
}

impl Vector {
    fn field(&self, name: &str) -> Option<Vec<u8>> {
        self.fields[name].as_str().map(bytes)
    }
}

fn vectors() -> Vec<Vector> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/asic-vectors.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The boards of these chips: a name may stand for several.
fn boards(chip: &str) -> &'static [&'static str] {
    match chip {
        "BM13xx" => &["bm1397", "bm1362", "bm1366", "bm1368", "bm1370"],
        "BM1362/66/68/70" => &["bm1362", "bm1366", "bm1368", "bm1370"],
        "BM1397" => &["bm1397"],
        "BM1362" => &["bm1362"],
        "BM1366" => &["bm1366"],
        "BM1368" => &["bm1368"],
        "BM1370" => &["bm1370"],
        _ => &[],
    }
}

/// Four chips with addresses 0, 0x40, 0x80 and 0xc0.
fn four_chips(board: &str) -> Bench {
    let mut bench = Bench::new(BoardConfig { chips: 4, ..config(board) });
    bench.commands("53 05 00 00\n40 05 00 00\n40 05 40 00\n40 05 80 00\n40 05 C0 00");
    bench.events.clear();
    bench
}

/// The last change of speed is the host's too.
fn follow_speed(bench: &mut Bench) {
    for event in &bench.events {
        if let Event::Baud { baud } = event {
            bench.baud = *baud;
        }
    }
}

#[test]
fn every_command_of_the_vectors_is_taken_and_has_its_effect() {
    let mut tried = 0;
    for vector in vectors().iter().filter(|vector| vector.kind.starts_with("command")) {
        for board in boards(&vector.chip) {
            let frame = bytes(&vector.hex);
            let mut bench = four_chips(board);
            if frame[2] == 0x40 {
                // Only a chip without an address takes one.
                bench.commands("53 05 00 00");
            }
            bench.send(&frame);
            let ignored = |event: &Event| matches!(event, Event::Ignored { .. } | Event::Garbled { .. });
            assert!(!bench.events.iter().any(ignored), "{board} {}: {:?}", vector.hex, bench.events);
            follow_speed(&mut bench);
            check_effect(&mut bench, &frame, board);
            tried += 1;
        }
    }
    assert!(tried > 200, "{tried} commands");
}

fn check_effect(bench: &mut Bench, frame: &[u8], board: &str) {
    let (header, address, register) = (frame[2], frame[4], frame[5]);
    match header {
        0x40 => assert!(bench.events.contains(&Event::Address { chip: 0, address }), "{board} {frame:02x?}"),
        0x41 | 0x51 => {
            let value = u32::from_be_bytes(frame[6..10].try_into().unwrap());
            for chip in [0x00, 0x40, 0x80, 0xc0] {
                let held = bench.read(chip, register).unwrap();
                // The highest bit of a PLL tells whether it is locked; chip 0 of the first broadcast may have failed to.
                let held = if register == 0x08 { held & 0x7fff_ffff } else { held };
                let meant = header == 0x51 || chip == address;
                assert_eq!(held == value, meant, "{board} {frame:02x?}: chip {chip:#x} holds {held:#x}");
            }
        }
        0x42 => assert_eq!(bench.received().len(), 9, "{board} {frame:02x?}"),
        0x52 => assert_eq!(bench.received().len(), 4 * 9, "{board} {frame:02x?}"),
        0x53 => {
            bench.commands("40 05 12 00");
            assert!(bench.events.contains(&Event::Address { chip: 0, address: 0x12 }));
        }
        other => panic!("{other:#x} is no command"),
    }
}

#[test]
fn a_frame_with_any_wrong_bit_in_its_checksum_or_content_has_no_effect() {
    let mut tried = 0;
    for vector in vectors() {
        let is_frame = vector.kind.starts_with("command") || vector.kind == "job";
        let Some(board) = boards(&vector.chip).last().filter(|_| is_frame) else { continue };
        let frame = bytes(&vector.hex);
        let mut bench = four_chips(board);
        // All bits of a command behind header and length; of a job, whose bytes are many, one bit in each.
        let step = if vector.kind == "job" { 9 } else { 1 };
        for bit in (32..frame.len() * 8).step_by(step) {
            let mut wrong = frame.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            bench.board.receive(signalcore_hil::virtual_board::Port::Data, &wrong, bench.baud, bench.now);
            tried += 1;
        }
        bench.wait(50);
        assert!(bench.received().is_empty(), "{}", vector.hex);
        let refused = |event: &Event| matches!(event, Event::Ignored { .. });
        assert!(bench.events.iter().all(refused), "{} {:?}", vector.hex, bench.events);
    }
    assert!(tried > 6_500, "{tried} wrong frames");
}

#[test]
fn every_job_of_the_vectors_is_taken_with_its_number() {
    let mut tried = 0;
    for vector in vectors().iter().filter(|vector| vector.kind == "job") {
        for board in boards(&vector.chip) {
            let mut bench = four_chips(board);
            let frame = bytes(&vector.hex);
            bench.send(&frame);
            let shift = if *board == "bm1397" { 2 } else { 3 };
            let number = frame[4] >> shift & 31;
            let is_job =
                |event: &Event| matches!(event, Event::Job { number: taken, .. } if *taken == number);
            assert!(bench.events.iter().any(is_job), "{board} {}: {:?}", vector.hex, bench.events);
            tried += 1;
        }
    }
    assert!(tried >= 15, "{tried} jobs");
}

/// A lenient board of one chip at silicon's 32 zero bits, which finds nothing but these headers.
fn replaying(board: &str, solved: Vec<SolvedHeader>) -> Bench {
    let pace = Pace::Scaled(0.0);
    let mut bench = Bench::new(BoardConfig { zero_bits: 32, pace, strict: false, solved, ..config(board) });
    if board != "bm1397" {
        bench.commands("51 09 00 A4 90 00 FF FF\n51 09 00 18 FF 0F C1 00");
    }
    bench
}

fn solved(vector: &Vector) -> SolvedHeader {
    SolvedHeader::from_header(&vector.field("header").unwrap().try_into().unwrap())
}

#[test]
fn real_answers_to_real_jobs_come_byte_for_byte() {
    let all = vectors();
    let jobs: Vec<&Vector> = all.iter().filter(|vector| vector.kind == "job").collect();
    let mut seen = 0;
    for answer in &all {
        if !answer.kind.starts_with("nonce-response") || !answer.level.starts_with("hash") {
            continue;
        }
        let header = answer.field("header").unwrap();
        let merkle_tail_on_wire = |job: &&&Vector| {
            let frame = bytes(&job.hex);
            frame.len() == 88 && frame[18..22] == header[64..68] && frame[14..18] == header[68..72]
        };
        let job = jobs.iter().find(merkle_tail_on_wire).expect("each answer has its job");
        let board = boards(&answer.chip)[0];
        let mut bench = replaying(board, vec![solved(answer)]);
        let ticket = answer.fields["ticket_difficulty"].as_u64().unwrap();
        let frames = match ticket {
            1 => "51 09 00 14 00 00 00 00",
            256 => "51 09 00 14 00 00 00 FF\n51 09 00 08 40 A8 02 30\n51 09 00 10 00 00 1E B5",
            // The chip with address 0xc2 of the machine that found block 839900.
            1024 => {
                "51 09 00 14 00 00 C0 FF\n53 05 00 00\n40 05 C2 00\n51 09 00 08 40 B0 02 30\n51 09 00 10 00 00 15 1C"
            }
            other => panic!("ticket {other}"),
        };
        bench.commands(frames);
        bench.received();
        bench.send(&bytes(&job.hex));
        bench.wait(3_000);
        let frame = bytes(&answer.hex);
        assert_eq!(bench.received().get(..11), Some(&frame[..]), "{} {:?}", answer.hex, bench.events);
        seen += 1;
    }
    assert_eq!(seen, 7, "one BM1370, four BM1366, the block, one BM1368");
}

#[test]
fn a_scan_of_687_seconds_finds_what_a_real_bm1366_found_and_each_within_20_ms_of_its_time() {
    let all = vectors();
    let has_time = |vector: &&Vector| vector.fields["t_ms_after_job"].is_u64();
    let results: Vec<&Vector> = all.iter().filter(has_time).collect();
    assert_eq!(results.len(), 45);
    let mut bench = replaying("bm1366", results.iter().map(|vector| solved(vector)).collect());
    bench.commands("51 09 00 14 00 00 C0 FF\n51 09 00 08 40 B0 02 30\n51 09 00 10 00 0F FF FF");
    bench.received();
    let is_block = |vector: &&Vector| vector.kind == "job" && vector.level.starts_with("hash; frame");
    let job = all.iter().find(is_block).unwrap();
    let started = bench.now;
    bench.send(&bytes(&job.hex));
    let mut found = Vec::new();
    while bench.now < started + Duration::from_secs(688) {
        bench.wait(10);
        let at = bench.now.saturating_sub(started).as_millis() as i64;
        found.extend(bench.frames(11).iter().map(|frame| (at, [&frame[2..6], &frame[8..10]].concat())));
    }
    // The scan begins anew before the end: its first result may have come twice.
    assert!((45..=46).contains(&found.len()), "{} results", found.len());
    for ((at, found), result) in found.iter().zip(&results) {
        let logged = result.fields["t_ms_after_job"].as_i64().unwrap();
        assert_eq!(*found, bytes(&result.hex));
        assert!((at - logged).abs() <= 20, "{}: {at} ms, logged at {logged} ms", result.hex);
    }
}

#[test]
fn the_known_job_of_a_bm1397_is_answered_with_its_nonce_and_midstate() {
    let all = vectors();
    let job = all.iter().find(|vector| vector.chip == "BM1397" && vector.level.starts_with("hash;")).unwrap();
    let frame = bytes(&job.hex);
    let mut midstate: Vec<u8> = frame[22 + 64..22 + 96].rchunks(4).flatten().copied().collect();
    midstate.truncate(32);
    let rest = [&frame[18..22], &frame[14..18], &frame[10..14], &frame[6..10]].concat();
    let solved = SolvedHeader::from_midstate(midstate.try_into().unwrap(), &rest.try_into().unwrap());
    let mut bench = replaying("bm1397", vec![solved]);
    bench.received();
    bench.send(&frame);
    let answer = bench.frames(9).remove(0);
    // Difficulty 23198.5 is 14 bits beyond the first 32: 14 << 7 | 6 << 2 | 2.
    assert_eq!(answer[2..8], bytes("9B 04 4C 0A 07 1A"));
}

#[test]
fn every_control_request_of_the_vectors_is_answered_with_its_own_id() {
    let requests = vectors();
    let requests = requests.iter().filter(|vector| vector.kind == "control-request");
    let mut seen = 0;
    for vector in requests {
        let request = bytes(&vector.hex);
        let mut bench = Bench::new(config("emberone"));
        let reply = bench.ask(&vector.hex);
        assert_eq!(usize::from(u16::from_le_bytes([reply[0], reply[1]])), reply.len(), "{request:02x?}");
        assert_eq!(reply[2], request[2]);
        // Parts at addresses that an emberOne does not have are an error, anything else is not.
        let absent = request[4] == 5 && request[5] != 0x10 && !matches!(request[6], 0x49 | 0x4a);
        assert_eq!(reply[3] == 0, !absent, "{request:02x?} {reply:02x?}");
        seen += 1;
    }
    assert_eq!(seen, 7);
}
