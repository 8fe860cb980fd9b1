//! Icarus and its family: golden work, division of the range, answers of 4, 5 and 8 bytes.

use signalcore_hil::virtual_board::{BoardConfig, Event, Pace};

use crate::{
    bench::{Bench, config},
    frames::{bytes, zero_bits},
};

/// cgminer's golden work.
const GOLDEN: &str = "4679ba4ec99876bf4bfe086082b400254df6c356451471139a3afa71e48f544a \
     0000000000000000000000000000000000000000 87320b1a1426674f2fa722ce";
/// By its answer cgminer tells how many devices share the range.
const DIVISION: &str = "2e4c8f91fd595d2d7ea20aaacb64a2a04382860277cf26b6a1ee04c56a5b504a \
     0000000000000000000000000000000000000000 6461011ac906a951fb9b3c73";
/// A header of a Bitaxe's job, whose midstate and tail make a work.
const HEADER: &str = "0000002021d4f8c5e88ebefe036fccfe5e7c8a475857dda2659049100c00000000000000322885c74474ede0bfba1b1d\
     8d70ed9b7b42acc90fffdf3fcbdaf23ff3c00910e016af64f895241900000000";

fn work(id: u8) -> Vec<u8> {
    use bitcoin::hashes::{HashEngine, sha256};
    let header = bytes(HEADER);
    let mut engine = sha256::HashEngine::default();
    engine.input(&header[..64]);
    let mut work: Vec<u8> = engine.midstate().to_byte_array().rchunks(4).flatten().copied().collect();
    work.extend([0; 19]);
    work.push(id);
    for word in [72..76, 68..72, 64..68] {
        work.extend(&header[word]);
    }
    work
}

fn check(nonce: &[u8]) {
    let mut header = bytes(HEADER);
    header[76..].copy_from_slice(nonce);
    assert!(zero_bits(&header) >= 4, "{nonce:02x?}");
}

#[test]
fn golden_work_is_answered_with_its_nonce_in_the_form_of_each_device() {
    for (board, answer) in [
        ("icarus", "00 01 87 a2"),
        ("block-erupter", "00 01 87 a2"),
        ("antminer-u1", "00 01 87 a2 00"),
        ("antminer-u2", "00 01 87 a2 00"),
        ("antminer-u3", "00 01 87 a2 00"),
        ("rockminer", "00 01 87 a2 00 00 00 00"),
    ] {
        let mut bench = Bench::new(config(board));
        assert!(bench.received().is_empty());
        bench.send(&bytes(GOLDEN));
        bench.wait(300);
        assert_eq!(bench.received(), bytes(answer), "{board}");
    }
}

#[test]
fn the_work_for_the_division_tells_two_devices_from_one() {
    let first_answer = |board: &str| {
        let mut bench = Bench::new(config(board));
        bench.send(&bytes(DIVISION));
        bench.wait(1_000);
        bench.received()[..4].to_vec()
    };
    assert_eq!(first_answer("icarus"), bytes("82540E46"));
    assert_eq!(first_answer("block-erupter"), bytes("04C0FDB4"));
}

#[test]
fn an_fpga_stops_after_a_nonce_and_a_block_erupter_goes_on_to_the_end_of_its_range() {
    let nonces = |board: &str| {
        let mut bench = Bench::new(BoardConfig { pace: Pace::PerSecond(5.0), ..config(board) });
        bench.send(&work(0));
        bench.wait(60_000);
        let received = bench.received();
        received.chunks(4).for_each(check);
        received.len() / 4
    };
    assert_eq!(nonces("icarus"), 1);
    // 2^32 x 2.9761 ns are 12.8 s.
    assert!((45..85).contains(&nonces("block-erupter")));
}

#[test]
fn nonces_lie_where_the_device_is_at_their_time() {
    let mut bench = Bench::new(BoardConfig { pace: Pace::PerSecond(5.0), ..config("block-erupter") });
    bench.send(&work(0));
    let started = bench.now;
    for _ in 0..100 {
        bench.wait(100);
        for answer in bench.received().chunks(4) {
            let nonce = f64::from(u32::from_be_bytes(answer.try_into().unwrap()));
            let passed = bench.now.saturating_sub(started).as_secs_f64();
            assert!((nonce * 2.9761e-9 - passed).abs() < 0.2, "{answer:02x?} after {passed} s");
        }
    }
    assert!(bench.nonces() > 20);
}

#[test]
fn a_new_work_replaces_the_old_one_at_once_and_an_antminer_names_its_id() {
    let mut bench = Bench::new(config("antminer-u1"));
    bench.send(&work(0x07));
    bench.wait(1_000);
    bench.send(&work(0xe9));
    bench.received();
    bench.wait(1_000);
    let received = bench.received();
    assert!(received.len() >= 5 * 5);
    for answer in received.chunks(5) {
        assert_eq!(answer[4], 0x09, "five bits of the id");
        check(&answer[..4]);
    }
}

#[test]
fn commands_of_an_antminer_set_its_clock_and_a_wrong_checksum_sets_nothing() {
    let megahertz = |frame: &str| {
        let mut bench = Bench::new(config("antminer-u1"));
        bench.send(&bytes(frame));
        bench.wait(100);
        bench.events.iter().find_map(|event| match event {
            Event::Frequency { megahertz } => Some(*megahertz),
            _ => None,
        })
    };
    for (frame, expected) in [
        ("82 07 83 1C", Some(100)),
        ("82 09 83 0A", Some(125)),
        ("82 0B 83 19", Some(150)),
        ("82 07 82 11", Some(200)),
        ("82 08 82 1C", Some(225)),
        ("82 09 82 07", Some(250)),
        ("82 03 80 08", Some(200)),
        ("82 09 82 06", None),
        ("84 00 04 00", None),
    ] {
        assert_eq!(megahertz(frame), expected, "{frame}");
    }
    let mut bench = Bench::new(config("icarus"));
    bench.send(&bytes("82 07 83 1C"));
    bench.wait(100);
    assert!(matches!(bench.events[..], [Event::Ignored { .. }]), "an FPGA has no clock to set");
}

#[test]
fn half_a_work_is_forgotten_and_a_wrong_speed_is_not_heard() {
    let mut bench = Bench::new(config("icarus"));
    bench.send(&work(0)[..40]);
    bench.wait(100);
    bench.send(&bytes(GOLDEN));
    bench.wait(300);
    assert_eq!(bench.received(), bytes("00 01 87 a2"));
    bench.baud = 57_600;
    bench.events.clear();
    bench.send(&bytes(GOLDEN));
    assert!(matches!(bench.events[..], [Event::Garbled { bytes: 64, .. }]));
}
