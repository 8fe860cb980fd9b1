//! What goes down to chips at work and what comes up from them: jobs, nonces, and the settings between them.

use std::time::{Duration, Instant};

use super::super::bring_up::{BM1366_LIST, BM1370_LIST, BM1397_LIST, RESET_BAUD};
use super::super::chain::{Chain, ChainConfig};
use super::super::frame::Frame;
use super::super::pll::Frequency;
use super::super::register::{ROLLABLE, Register};
use super::bench::{Bench, GAMMA, SECOND, ends_of, failures, gamma_bench, job};
use super::proofs::{chip_job, gamma, recorded_jobs};
use super::vectors::ours;
use crate::{BoardEvent, ChipJob, ChipJobId};

#[test]
fn a_job_that_comes_before_the_chips_are_ready_is_sent_when_they_are_and_only_the_newest() {
    let mut bench = gamma_bench();
    bench.set_job(Some(job(1)));
    bench.run(SECOND);
    bench.set_job(Some(job(2)));
    let bench = bench.until_ready();
    assert_eq!(bench.jobs_sent(), 1);
    let started = bench.board_events().into_iter().find_map(|event| match event {
        BoardEvent::Started { job, at } => Some((job, at)),
        _ => None,
    });
    let (id, at) = started.unwrap();
    assert_eq!(id, ChipJobId(2));
    assert!(bench.now().saturating_duration_since(at) < SECOND && at < bench.now() + SECOND);
}

#[test]
fn a_recorded_nonce_goes_up_with_the_hashes_it_stands_for() {
    let mut bench = gamma_bench().until_ready();
    let (job, _) = gamma();
    bench.set_job(Some(job));
    bench.run(SECOND);
    bench.answer(GAMMA.0, GAMMA.1, GAMMA.2);
    let events = bench.board_events();
    let nonce = BoardEvent::Nonce { job: ChipJobId(7), nonce: 0x7552_034c, version: 0x20b4_4000 };
    // The job asks for every nonce, so that the ticket is 1 and the nonce stands for 2^32 hashes.
    assert!(events.ends_with(&[BoardEvent::Hashes(1 << 32), nonce]), "{events:?}");
    let before = events.len();
    bench.answer(GAMMA.0, GAMMA.1, GAMMA.2);
    assert_eq!(bench.board_events().len(), before, "the same nonce again is nothing");
    let counts = bench.chain.stats(bench.now()).chips[0].counts;
    assert_eq!((counts.nonces, counts.duplicates), (1, 1));
}

#[test]
fn a_nonce_that_its_job_does_not_ask_for_counts_as_hashes_alone() {
    let mut bench = gamma_bench().until_ready();
    bench.set_job(Some(job(7)));
    bench.run(SECOND);
    bench.answer(GAMMA.0, GAMMA.1, GAMMA.2);
    let hashes = bench.board_events().pop().unwrap();
    assert_eq!(hashes, BoardEvent::Hashes(1 << 37), "1.07 TH/s is worth a ticket of 32");
}

/// ESP-Miner pull request 167: what a BM1366 found in 687 s at 550 MHz with a ticket of 1024.
#[test]
fn a_recorded_scan_of_ten_minutes_goes_through_the_chain_and_measures_its_chip() {
    let mut bench = Bench::new(&BM1366_LIST, 1, 550.0, RESET_BAUD).until_ready();
    let (_, header) =
        recorded_jobs().into_iter().find(|(vector, _)| vector.fields["crc16"] == "8949").unwrap();
    let mut job = chip_job(header.version, ROLLABLE, &header);
    // 2^210, difficulty 16384: the chips get a ticket of 16, what they are worth at this rate.
    job.target = [0; 32];
    job.target[26] = 4;
    bench.set_job(Some(job));
    let (mut found, mut good) = (0, 0);
    for vector in ours().iter().filter(|vector| vector.kind == "nonce-result") {
        if vector.fields["ticket_difficulty"] != 1024 || vector.fields["mhz"] != 550 {
            continue;
        }
        bench.run(SECOND);
        let version = u16::from_be_bytes([vector.hex[4], vector.hex[5]]);
        bench.answer(vector.hex[..4].try_into().unwrap(), version, (version % 8) as u8);
        found += 1;
        good += usize::from(vector.fields["difficulty"].as_f64().unwrap() >= 16384.0);
    }
    let stats = bench.chain.stats(bench.now());
    assert_eq!((stats.chips[0].counts.nonces, found), (45, 45));
    assert_eq!(stats.line.crc_errors, 0);
    // One nonce a second, each of 2^36 hashes; 45 of them are known to 15 %.
    let rate = stats.chips[0].rate;
    assert!((rate.hashes_per_second / 2f64.powi(36) - 1.0).abs() < 0.05, "{rate:?}");
    assert!((rate.standard_error / rate.hashes_per_second - 0.15).abs() < 0.01, "{rate:?}");
    let told = bench.board_events().into_iter().filter(|event| matches!(event, BoardEvent::Nonce { .. }));
    assert_eq!((told.count(), good), (4, 4));
}

#[test]
fn after_a_reset_nobody_has_the_jobs_from_before_it() {
    let mut bench = gamma_bench().until_ready();
    bench.set_job(Some(gamma().0));
    bench.run(11 * SECOND);
    bench.set_job(None);
    let mut bench = bench.until_ready();
    bench.answer(GAMMA.0, GAMMA.1, GAMMA.2);
    assert_eq!(bench.chain.stats(bench.now()).chips[0].counts.stale, 1);
}

#[test]
fn late_nonces_of_chips_without_work_go_up_but_do_not_make_them_faster() {
    let mut bench = gamma_bench().until_ready();
    bench.set_job(Some(gamma().0));
    bench.run(SECOND);
    bench.set_job(None);
    let before = bench.chain.stats(bench.now()).chips[0].rate;
    bench.answer(GAMMA.0, GAMMA.1, GAMMA.2);
    assert_eq!(bench.chain.stats(bench.now()).chips[0].rate, before);
    assert!(matches!(bench.board_events().last(), Some(BoardEvent::Nonce { .. })));
}

#[test]
fn what_comes_again_is_life_when_the_job_is_used_up_and_a_failure_before_that() {
    let whole = gamma().0;
    let single = ChipJob { version: 0x20b4_4000, version_mask: 0, ..whole.clone() };
    for (job, version, failed) in [(single, 0, 0), (whole, GAMMA.1, 1)] {
        let mut bench = gamma_bench().until_ready();
        bench.set_job(Some(job));
        for _ in 0..3 {
            bench.run(4 * SECOND);
            bench.answer(GAMMA.0, version, GAMMA.2);
        }
        bench.run(3 * SECOND);
        assert_eq!(failures(&bench).len(), failed);
    }
}

#[test]
fn a_job_is_said_to_be_ending_once_a_second_before_its_space_is_used_up() {
    // 687.24 s is what a BM1366 takes at its longest sweep; at 485 MHz without leaving any out it takes 566.8 s.
    let mut bench = Bench::new(&BM1366_LIST, 1, 485.0, RESET_BAUD).until_ready();
    bench.set_job(Some(ChipJob { version_mask: 0x0000_e000, ..job(1) }));
    // Eight versions are one batch: 69.2 ms, told half-way.
    bench.run(Duration::from_millis(30));
    assert_eq!(ends_of(&bench, 1), 0);
    bench.run(Duration::from_millis(30));
    assert_eq!(ends_of(&bench, 1), 1);
    bench.set_job(Some(ChipJob { version_mask: 0x001f_e000, ..job(2) }));
    // 256 versions are 32 batches: 2.214 s.
    bench.run(Duration::from_millis(1200));
    assert_eq!(ends_of(&bench, 2), 0);
    bench.run(Duration::from_millis(50));
    assert_eq!(ends_of(&bench, 2), 1);
    bench.run(5 * SECOND);
    assert_eq!(ends_of(&bench, 2), 1);
}

#[test]
fn four_midstates_are_renewed_every_twenty_milliseconds_as_by_esp_miner() {
    let mut bench = Bench::new(&BM1397_LIST, 1, 425.0, 3_125_000).until_ready();
    for id in 0..50 {
        bench.set_job(Some(job(id)));
        let sent = bench.now();
        while ends_of(&bench, id) == 0 {
            bench.run(Duration::from_millis(1));
        }
        let lasted = bench.now() - sent;
        assert!((19..=22).contains(&lasted.as_millis()), "{lasted:?}");
    }
    assert_eq!(bench.jobs_sent(), 50);
}

#[test]
fn a_job_that_chips_had_before_a_reset_is_ending_as_soon_as_they_have_it_again() {
    let mut bench = gamma_bench().until_ready();
    bench.set_job(Some(job(1)));
    bench.run(12 * SECOND);
    assert_eq!((failures(&bench).len(), ends_of(&bench, 1)), (1, 0));
    bench.run(9 * SECOND);
    assert_eq!((bench.jobs_sent(), ends_of(&bench, 1)), (2, 1));
}

#[test]
fn jobs_that_come_faster_than_the_line_carries_them_are_skipped_but_for_the_newest() {
    let mut bench = gamma_bench().until_ready();
    for id in 0..1000 {
        bench.set_job(Some(job(id)));
        bench.run(Duration::from_millis(1));
    }
    bench.run(SECOND);
    let started: Vec<_> = bench
        .board_events()
        .into_iter()
        .filter_map(|event| match event {
            BoardEvent::Started { job, .. } => Some(job.0),
            _ => None,
        })
        .collect();
    assert_eq!(started.last(), Some(&999));
    assert!((100..=135).contains(&started.len()), "88 bytes take 7.6 ms: {}", started.len());
    assert!(started.windows(2).all(|pair| pair[0] < pair[1]));
}

#[test]
fn the_mask_and_the_ticket_are_written_when_a_job_needs_others_and_never_roll_without_leave() {
    let mut bench = gamma_bench().until_ready();
    let mut easy = job(1);
    easy.target = [0; 32];
    easy.target[26] = 0x0f; // 44 zero bits
    for (job, mask, ticket) in [
        (easy.clone(), 0x9000_ffff, 0xf8),
        (ChipJob { id: ChipJobId(2), version_mask: 0, ..easy.clone() }, 0x9000_0000, 0xf8),
        (ChipJob { id: ChipJobId(3), version_mask: 0xffff_ffff, ..easy.clone() }, 0x9000_ffff, 0xf8),
        (
            ChipJob { id: ChipJobId(4), version_mask: 0x0030_0000, target: [0xff; 32], ..easy.clone() },
            0x9000_0180,
            0,
        ),
    ] {
        bench.set_job(Some(job));
        bench.run(Duration::from_millis(100));
        assert_eq!(bench.register(Register::VERSION_ROLLING), Some(mask));
        assert_eq!(bench.register(Register::TICKET_MASK), Some(ticket));
    }
    let before = bench.frames.len();
    bench.set_job(Some(ChipJob { id: ChipJobId(5), version_mask: 0x0030_0000, target: [0xff; 32], ..easy }));
    assert_eq!(bench.frames.len(), before + 1, "what the chips know already is not said again");
}

#[test]
fn a_chip_that_has_missed_its_ticket_gets_it_again_but_not_with_each_nonce() {
    let mut bench = Bench::new(&BM1366_LIST, 1, 485.0, RESET_BAUD).until_ready();
    let (_, header) =
        recorded_jobs().into_iter().find(|(vector, _)| vector.fields["crc16"] == "3c3f").unwrap();
    let writes = |bench: &Bench| {
        bench.times_sent(|frame| matches!(frame, Frame::Write { register: Register::TICKET_MASK, .. }))
    };
    bench.run(5 * SECOND);
    bench.set_job(Some(ChipJob { target: [0; 32], ..chip_job(header.version, ROLLABLE, &header) }));
    assert_eq!((bench.register(Register::TICKET_MASK), writes(&bench)), (Some(0xf0), 1));
    // Recorded with a ticket of 1: difficulties 1.2 and 3.6.
    bench.answer([0x30, 0x70, 0x1a, 0x0a], 0, 0);
    bench.answer([0x1a, 0x51, 0x4e, 0xbe], 0, 0);
    let counts = bench.chain.stats(bench.now()).chips[0].counts;
    assert_eq!((counts.below_ticket, counts.nonces), (2, 0));
    assert_eq!((bench.register(Register::TICKET_MASK), writes(&bench)), (Some(0xf0), 2));
    assert!(!bench.board_events().iter().any(|event| matches!(event, BoardEvent::Hashes(_))));
}

/// One chip played by a computer, as often as silicon reports but at 8 zero bits.
#[test]
fn a_nonce_of_chips_that_a_computer_plays_stands_for_as_many_hashes_as_its_zero_bits_say() {
    let config = ChainConfig {
        bring_up: &BM1370_LIST,
        chips: 1,
        frequency: Frequency::from_mhz(525.0),
        baud: RESET_BAUD,
        zero_bits: 8,
    };
    let mut bench = Bench::of(&config).until_ready();
    let of_silicon = gamma_bench().chain.expected_rate();
    assert_eq!(bench.chain.expected_rate() * 2f64.powi(24), of_silicon);
    bench.set_job(Some(ChipJob { target: [0xff; 32], ..job(1) }));
    bench.answer(GAMMA.0, GAMMA.1, GAMMA.2);
    let hashes = bench.board_events().into_iter().find_map(|event| match event {
        BoardEvent::Hashes(hashes) => Some(hashes),
        _ => None,
    });
    // The job wants everything, so that nothing may be held back: the ticket is the easiest there is.
    assert_eq!((hashes, bench.register(Register::TICKET_MASK)), (Some(256), Some(0)));
    let refused = Chain::new(&ChainConfig { zero_bits: 33, ..config }, Instant::now()).unwrap_err();
    assert_eq!(refused.to_string(), "nonces at 33 zero bits, possible are 0 to 32; chips of silicon have 32");
}
