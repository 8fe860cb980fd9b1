//! Chains brought to life, and what keeps them silent.

use signalcore_hil::virtual_board::{BoardConfig, Event};

use crate::{
    bench::{Bench, config},
    frames::{bytes, command, zero_bits},
    sequences::{BM1366, BM1370, BM1397, Bringing, HEADER_CHIPS, addresses, chain},
};

/// CRC16 CCITT-FALSE by polynomial division.
pub(crate) fn crc16(message: &[u8]) -> u16 {
    let bits = message.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1));
    let mut bits: Vec<u8> = bits.chain([0; 16]).collect();
    bits[..16].iter_mut().for_each(|bit| *bit ^= 1);
    for at in 0..bits.len() - 16 {
        if bits[at] == 1 {
            for place in [0, 4, 11, 16] {
                bits[at + place] ^= 1;
            }
        }
    }
    bits[bits.len() - 16..].iter().fold(0, |crc, bit| crc << 1 | u16::from(*bit))
}

/// A job of a Bitaxe Gamma, as mujina captured it; job byte at 4, length at 3.
const HEADER_JOB: &str = "55 AA 21 56 68 01 00 00 00 00 04 3A 02 17 D7 68 54 68 55 19 A7 CB 04 4F 88 72 63 55 91 9E 61 A9 8B \
     CF 71 A0 C2 87 95 EA 54 DB 8C 36 41 4B 06 DD F5 F0 00 00 00 00 00 00 00 00 96 52 01 00 1D 39 96 BC A3 F4 67 0D FC D4 \
     F2 01 C1 62 B9 6D FD 55 64 6B 00 00 00 20 72 1C";
/// Its header, with the version and nonce that solved it.
const HEADER: &str = "0040b420fd55646bc162b96dfcd4f201a3f4670d1d3996bc96520100000000000000000006ddf5f08c36414b95ea54db71a0\
     c28761a98bcf6355919e044f88725519a7cbd7685468043a02174c035275";

fn job(job_byte: u8, length: u8) -> Vec<u8> {
    let mut job = bytes(HEADER_JOB);
    (job[3], job[4]) = (length, job_byte);
    let crc = crc16(&job[2..86]);
    job[86..].copy_from_slice(&crc.to_be_bytes());
    job
}

/// Checks a nonce of the job above bit by bit. Shape: the address it came from.
fn check_nonce(frame: &[u8], chip: &Bringing, number: u8, ticket_bits: u32) -> u8 {
    assert_eq!(frame[10] & 0xe0, 0x80, "{frame:02x?}");
    let (packed, version) =
        (u16::from_be_bytes([frame[6], frame[7]]), u16::from_be_bytes([frame[8], frame[9]]));
    let mut header = bytes(HEADER);
    header[..4].copy_from_slice(&(0x2000_0000 | u32::from(version) << 13).to_le_bytes());
    header[76..].copy_from_slice(&frame[2..6]);
    let zero_bits = zero_bits(&header);
    assert!(zero_bits >= ticket_bits, "{frame:02x?} has {zero_bits} zero bits");
    let small_cores = 1 << chip.small_core_bits;
    assert_eq!(packed % small_cores, version % small_cores, "small core of {frame:02x?}");
    assert_eq!((packed >> chip.small_core_bits & 31) as u8, number, "job of {frame:02x?}");
    assert_eq!(u32::from(packed >> (5 + chip.small_core_bits)), zero_bits - ticket_bits);
    let nonce = u32::from_be_bytes(frame[2..6].try_into().unwrap());
    assert!(nonce >> 25 < chip.cores, "core of {frame:02x?}");
    (nonce >> 17 & 0xff) as u8
}

#[test]
fn chains_of_1_4_and_12_chips_come_to_life_and_every_chip_finds_nonces_that_hash_right() {
    for chip in &HEADER_CHIPS {
        for chips in [1, 4, 12] {
            let board = BoardConfig { chips, ..config(chip.board) };
            let mut bench = chain(board, chip.steps, |_| false);
            let ids = bench.frames(11);
            assert_eq!(ids.len(), chips, "{}", chip.board);
            let id = u16::from_str_radix(&chip.board[2..], 16).unwrap();
            assert!(ids.iter().all(|frame| frame[2..4] == id.to_be_bytes()), "{ids:02x?}");
            bench.send(&job(13 << chip.job_bits, 0x56));
            bench.wait(if chips == 12 { 10_000 } else { 4_000 });
            let nonces = bench.frames(11);
            assert!(nonces.len() > chips * 8, "{} of {chips} {}", nonces.len(), chip.board);
            let seen: Vec<u8> = nonces.iter().map(|frame| check_nonce(frame, chip, 13, 4 + 8)).collect();
            for address in addresses(chips) {
                assert!(seen.iter().any(|seen| seen & 0xfe == address), "{address:#x} of {seen:02x?}");
            }
            // A counter of less than 2^19 places carries into the address by 3 at most.
            let base = |seen: &u8| addresses(chips).iter().any(|at| seen.wrapping_sub(*at) <= 3);
            assert!(seen.iter().all(base), "{seen:02x?}");
        }
    }
}

#[test]
fn a_bm1397_comes_to_life_and_its_nonces_name_the_midstate_that_they_belong_to() {
    for chips in [1, 4, 12] {
        let mut bench = chain(BoardConfig { chips, ..config("bm1397") }, BM1397, |_| false);
        let ids = bench.frames(9);
        assert_eq!(ids.len(), chips);
        assert_eq!(ids[0], bytes("AA 55 13 97 18 00 00 00 06"));
        let versions = [0x2000_0000_u32, 0x2000_2000, 0x2000_4000, 0x2000_6000];
        let mut slots = [0; 4];
        // Four midstates last 39.5 ms, so a new job comes every 35 ms, each with the next time.
        for ntime in 0..32 {
            let mut header = bytes(HEADER);
            header[68] = ntime;
            bench.send(&midstate_job(ntime, versions, &header));
            bench.wait(20);
            for frame in bench.frames(9) {
                let packed = u16::from_be_bytes([frame[6], frame[7]]);
                let slot = usize::from(packed & 3);
                slots[slot] += 1;
                let number = (packed >> 2 & 31) as u8;
                // What was on the line when the new job came is of the job before it.
                assert!(ntime - number <= 1, "job of {frame:02x?}");
                header[68] = number;
                header[..4].copy_from_slice(&versions[slot].to_le_bytes());
                header[76..].copy_from_slice(&frame[2..6]);
                assert!(zero_bits(&header) >= 4, "{frame:02x?}");
                assert!(frame[2] < 168, "core of {frame:02x?}");
            }
        }
        assert!(slots.iter().sum::<u32>() > 10 && slots.iter().all(|count| *count > 0), "{slots:?}");
    }
}

fn midstate_job(number: u8, versions: [u32; 4], header: &[u8]) -> Vec<u8> {
    let mut job = vec![0x55, 0xaa, 0x21, 0x96, number << 2, 4, 0, 0, 0, 0];
    for word in [72..76, 68..72, 64..68] {
        job.extend(&header[word]);
    }
    for version in versions {
        job.extend(midstate_on_the_wire(version, header));
    }
    let crc = crc16(&job[2..]);
    job.extend(crc.to_be_bytes());
    job
}

fn midstate_on_the_wire(version: u32, header: &[u8]) -> Vec<u8> {
    use bitcoin::hashes::{HashEngine, sha256};
    let mut engine = sha256::HashEngine::default();
    engine.input(&version.to_le_bytes());
    engine.input(&header[4..64]);
    engine.midstate().to_byte_array().rchunks(4).flatten().copied().collect()
}

#[test]
fn a_chain_that_is_left_out_of_a_step_stays_as_silent_as_a_real_one() {
    for chip in &HEADER_CHIPS {
        let needed = ["18 F0 00|18 FF 0F|18 B0 00", "3C 80 00 82 AA", "00 08 ", "00 10 "];
        for left_out in needed {
            let is_left_out = |step: &str| left_out.split('|').any(|part| step.contains(part));
            let board = BoardConfig { chips: 4, ..config(chip.board) };
            let mut bench = chain(board, chip.steps, is_left_out);
            bench.send(&job(8, 0x56));
            bench.wait(3_000);
            assert_eq!(bench.nonces(), 0, "{} without {left_out}", chip.board);
            let Some(Event::Job { hashing: 0, missing, .. }) =
                bench.events.iter().rev().find(|event| matches!(event, Event::Job { .. }))
            else {
                panic!("{:?}", bench.events)
            };
            assert_eq!(missing.len(), 1, "{} without {left_out}: {missing:?}", chip.board);
        }
    }
    for left_out in ["00 20 ", "3C 80 00 80 74", "00 08 "] {
        let mut bench = chain(config("bm1397"), BM1397, |step| step.contains(left_out));
        let mut job = bytes("55 AA 21 36 04 01");
        job.resize(54, 0);
        let crc = crc16(&job[2..]);
        job.extend(crc.to_be_bytes());
        bench.send(&job);
        bench.wait(1_000);
        assert_eq!(bench.nonces(), 0, "without {left_out}");
    }
}

#[test]
fn one_chip_that_is_left_out_is_the_only_silent_one() {
    let board = BoardConfig { chips: 4, ..config("bm1370") };
    let mut bench =
        chain(board, BM1370.steps, |step| step.starts_with("41 09 80") && step.contains("3C 80 00 82 AA"));
    bench.send(&job(8, 0x56));
    bench.wait(5_000);
    let chips = bench.events.iter().filter_map(|event| match event {
        Event::Nonce { chip, .. } => Some(*chip),
        _ => None,
    });
    let mut chips: Vec<usize> = chips.collect();
    chips.sort_unstable();
    chips.dedup();
    assert_eq!(chips, [0, 1, 3]);
}

#[test]
fn a_lenient_board_does_with_what_a_real_bm1366_was_seen_to_do_with() {
    let short = "51 09 00 A4 90 00 FF FF
                 51 09 00 A8 00 07 00 00
                 51 09 00 18 FF 0F C1 00
                 53 05 00 00
                 40 05 00 00
                 51 09 00 3C 80 00 85 40";
    for strict in [false, true] {
        let mut bench = chain(BoardConfig { strict, ..config("bm1366") }, short, |_| false);
        bench.send(&job(8, 0x56));
        bench.wait(2_000);
        assert_eq!(bench.nonces() > 0, !strict);
    }
}

#[test]
fn without_chain_inactive_all_chips_get_the_same_address_and_find_the_same_nonces() {
    let board = BoardConfig { chips: 4, ..config("bm1370") };
    let mut bench = chain(board, BM1370.steps, |step| step.starts_with("53"));
    bench.received();
    bench.send(&command("52 05 00 00"));
    let ids = bench.frames(11);
    assert_eq!(ids.len(), 4);
    assert!(ids.iter().all(|frame| frame[6] == 0xc0), "the last address reached all: {ids:02x?}");
    // Nobody has the addresses of rows "per chip" but the last one, which all have.
    bench.send(&job(8, 0x56));
    bench.wait(1_000);
    let mut nonces = bench.frames(11);
    let all = nonces.len();
    nonces.sort();
    nonces.dedup();
    assert!(all > 0 && nonces.len() * 4 == all, "{} of {all}", nonces.len());
}

#[test]
fn answers_have_9_bytes_until_version_rolling_is_on_and_11_from_then_on() {
    let mut bench = Bench::new(config("bm1370"));
    assert!(bench.received().is_empty(), "silent until spoken to");
    bench.send(&command("52 05 00 00"));
    assert_eq!(bench.received(), bytes("AA 55 13 70 00 00 00 00 06"));
    bench.send(&command("42 05 00 18"));
    assert_eq!(bench.received(), bytes("AA 55 00 00 C1 00 00 18 02"));
    bench.send(&command("51 09 00 A4 90 00 FF FF"));
    bench.send(&command("52 05 00 00"));
    assert_eq!(bench.received(), bytes("AA 55 13 70 00 00 00 00 00 00 10"));
}

#[test]
fn ids_come_nearest_chip_first_and_with_the_new_addresses_and_surplus_ones_are_ignored() {
    let mut bench = Bench::new(BoardConfig { chips: 4, ..config("bm1368") });
    bench.commands("51 09 00 A4 90 00 FF FF\n53 05 00 00");
    for address in [0x10, 0x50, 0x90, 0xd0, 0xe0, 0xf0] {
        bench.send(&command(&format!("40 05 {address:02x} 00")));
    }
    bench.send(&command("52 05 00 00"));
    let addresses: Vec<u8> = bench.frames(11).iter().map(|frame| frame[6]).collect();
    assert_eq!(addresses, [0x10, 0x50, 0x90, 0xd0]);
    bench.send(&command("42 05 90 00"));
    assert_eq!(bench.frames(11).len(), 1, "one chip has this address");
    bench.send(&command("42 05 e0 00"));
    assert!(bench.received().is_empty(), "nobody has this one");
}

#[test]
fn all_lengths_of_a_header_job_that_real_machines_send_are_taken_and_others_are_not() {
    let mut bench = chain(config("bm1370"), BM1370.steps, |_| false);
    for (length, taken) in [(0x56, true), (0x36, true), (0xff, true), (0x57, false)] {
        bench.events.clear();
        bench.send(&job(16, length));
        let jobs = bench.events.iter().filter(|event| matches!(event, Event::Job { number: 2, .. })).count();
        assert_eq!(jobs > 0, taken, "{length:#x}: {:?}", bench.events);
    }
}

#[test]
fn a_new_speed_counts_at_once_and_what_comes_at_the_old_one_is_lost() {
    for (board, write, baud) in [
        ("bm1370", "51 09 00 28 11 30 02 00", 1_000_000),
        ("bm1370", "51 09 00 28 11 30 00 00", 3_125_000),
        ("bm1397", "51 09 00 18 00 00 60 31", 3_125_000),
        ("bm1397", "51 09 00 18 00 00 61 31", 1_500_000),
    ] {
        let mut bench = Bench::new(config(board));
        bench.send(&command(write));
        bench.received();
        bench.send(&command("52 05 00 00"));
        assert!(bench.received().is_empty(), "{board} at the old speed");
        assert!(matches!(bench.events.last(), Some(Event::Garbled { bytes: 7, host_baud: 115_200, .. })));
        bench.baud = baud;
        bench.send(&command("52 05 00 00"));
        assert_eq!(bench.received().len(), 9, "{board} at {baud}");
    }
    let mut bench = Bench::new(config("bm1397"));
    bench.commands("51 09 00 68 C0 70 01 11\n51 09 00 28 06 00 00 0F\n51 09 00 18 00 01 27 01");
    bench.baud = 6_250_000;
    bench.send(&command("52 05 00 00"));
    assert_eq!(bench.received().len(), 9, "6.25 Mbaud from its third PLL");
}

#[test]
fn the_mask_of_a_ticket_makes_better_and_rarer_nonces_and_a_wider_one_follows_the_clock() {
    let count = |mask: &str, frequency: &str| {
        let board = BoardConfig {
            zero_bits: 2,
            pace: signalcore_hil::virtual_board::Pace::Scaled(0.5),
            ..config("bm1370")
        };
        let mut bench = chain(board, BM1370.steps, |_| false);
        bench.commands(&format!("51 09 00 14 {mask}\n51 09 00 08 {frequency}\n51 09 00 10 00 0C 2F B7"));
        bench.received();
        bench.send(&job(8, 0x56));
        bench.wait(20_000);
        let bits = 2 + bytes(mask).iter().map(|byte| byte.count_ones()).sum::<u32>();
        let nonces = bench.frames(11);
        for frame in &nonces {
            check_nonce(frame, &BM1370, 1, bits);
        }
        nonces.len() as f64
    };
    // 1.071 TH/s by half are 124.7 nonces of difficulty 1 a second.
    let at_full = count("00 00 00 00", "40 A8 02 30");
    assert!((at_full / (20.0 * 124.7) - 1.0).abs() < 0.1, "{at_full}");
    let rarer = count("00 00 00 F0", "40 A8 02 30");
    assert!((rarer / (20.0 * 124.7 / 16.0) - 1.0).abs() < 0.3, "{rarer}");
    let slower = count("00 00 00 00", "40 A0 02 41");
    assert!((slower / (20.0 * 124.7 * 200.0 / 525.0) - 1.0).abs() < 0.15, "{slower}");
}

#[test]
fn the_counter_of_hashes_moves_with_the_clock() {
    let mut bench = chain(config("bm1370"), BM1370.steps, |_| false);
    bench.send(&job(8, 0x56));
    let before = bench.read(0, 0x8c).unwrap();
    bench.wait(10_000);
    // 1.071 TH/s are 249.4 times 2^32 hashes a second; reading takes 15 ms.
    let counted = f64::from(bench.read(0, 0x8c).unwrap() - before);
    assert!((counted / 2497.0 - 1.0).abs() < 0.01, "{counted}");
}

#[test]
fn a_hash_counting_number_of_zero_stops_a_chip() {
    let mut bench = chain(config("bm1366"), BM1366.steps, |_| false);
    bench.send(&job(8, 0x56));
    bench.wait(500);
    bench.commands("51 09 00 10 00 00 00 00");
    let before = bench.nonces();
    bench.wait(2_000);
    assert!(before > 0);
    assert_eq!(bench.nonces(), before);
}
