//! A chain from its reset to its nonces, and what it does when something breaks.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::super::bring_up::{BM1366_LIST, BM1370_LIST, BM1397_LIST, BringUp, GEKKO_BM1362_LIST, RESET_BAUD};
use super::super::chain::{Chain, ChainConfig, ChainConfigError, ChainEvent, ChainFault};
use super::super::frame::Frame;
use super::super::pll::Frequency;
use super::super::register::{ROLLABLE, Register};
use super::super::ticket::ALWAYS_ZERO;
use super::bench::{Bench, Faults};
use super::proofs::{chip_job, gamma, recorded_jobs};
use super::vectors::ours;
use crate::{BoardEvent, ChipJob, ChipJobId};

const SECOND: Duration = Duration::from_secs(1);
/// The recorded nonce of a Bitaxe Gamma: bytes, version bits, sub-core.
const GAMMA: ([u8; 4], u16, u8) = ([0x4c, 0x03, 0x52, 0x75], 0x05a2, 2);

fn gamma_bench() -> Bench {
    Bench::new(&BM1370_LIST, 1, 525.0, RESET_BAUD)
}

/// A job of its own for each id, with a target that is hard to meet.
fn job(id: u64) -> ChipJob {
    let mut target = [0; 32];
    target[24] = 1;
    ChipJob { id: ChipJobId(id), target, ..gamma().0 }
}

fn failures(bench: &Bench) -> Vec<ChainFault> {
    let fault = |event: &ChainEvent| match event {
        ChainEvent::Failed(fault) | ChainEvent::Parked { reason: fault, .. } => Some(fault.clone()),
        _ => None,
    };
    bench.events.iter().filter_map(fault).collect()
}

fn has_parked(bench: &Bench) -> bool {
    bench.events.iter().any(|event| matches!(event, ChainEvent::Parked { .. }))
}

fn ends_of(bench: &Bench, id: u64) -> usize {
    bench.board_events().iter().filter(|event| **event == BoardEvent::JobEnding(ChipJobId(id))).count()
}

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
fn chips_that_are_missing_or_too_many_or_others_are_named_and_tried_three_times() {
    let missing = Faults { missing: 1, ..Faults::default() };
    let surplus = Faults { surplus: 1, ..Faults::default() };
    let other = Faults { other_id: Some(0x1368), ..Faults::default() };
    let stuck = Faults { stuck_addresses: true, ..Faults::default() };
    for (faults, expected) in [
        (missing, ChainFault::Missing { found: 3, expected: 4 }),
        (surplus, ChainFault::TooMany { found: 5, expected: 4 }),
        (other, ChainFault::WrongChip { index: 0, id: 0x1368, expected: 0x1370 }),
        (stuck, ChainFault::Addresses { got: vec![0; 4], expected: vec![0, 0x40, 0x80, 0xc0] }),
    ] {
        let mut bench = Bench::new(&BM1370_LIST, 4, 600.0, RESET_BAUD).with(faults);
        bench.run(60 * SECOND);
        assert_eq!(failures(&bench), [(); 3].map(|()| expected.clone()));
        assert!(has_parked(&bench) && !bench.chain.is_hashing());
    }
}

#[test]
fn a_parked_chain_is_tried_again_after_a_while_and_works_when_its_chips_do() {
    let mut bench = gamma_bench().with(Faults { missing: 1, ..Faults::default() });
    bench.run(10 * SECOND);
    assert!(has_parked(&bench));
    let mut bench = bench.with(Faults { surplus: 1, ..Faults::default() });
    bench.set_job(Some(job(1)));
    bench.run(290 * SECOND);
    assert!(!bench.chain.is_hashing(), "the wait is not over");
    let mut bench = bench.until_ready();
    bench.run(SECOND);
    assert_eq!(bench.jobs_sent(), 1);
}

#[test]
fn chips_that_do_not_change_their_speed_go_on_at_the_old_one() {
    let faults = Faults { deaf_to_speed: true, ..Faults::default() };
    let bench = Bench::new(&BM1370_LIST, 4, 600.0, 1_000_000).with(faults).until_ready();
    assert_eq!(failures(&bench), []);
    let told = bench.board_events();
    assert_eq!(
        told,
        [BoardEvent::Fault("0 of 4 chips answer at 1000000 baud: the line stays at 115200".to_owned())]
    );
    let speeds: Vec<_> =
        bench.events.iter().filter(|event| matches!(event, ChainEvent::HostSpeed(_))).collect();
    assert_eq!(speeds, [&ChainEvent::HostSpeed(1_000_000), &ChainEvent::HostSpeed(RESET_BAUD)]);
}

#[test]
fn a_line_that_bears_no_speed_costs_one_reset_and_is_left_slow_after_it() {
    let faults = Faults { slow_line: true, ..Faults::default() };
    let bench = Bench::new(&BM1370_LIST, 1, 525.0, 1_000_000).with(faults).until_ready();
    assert_eq!(failures(&bench), [ChainFault::Speed { baud: RESET_BAUD, found: 0, expected: 1 }]);
    assert_eq!(bench.events.last(), Some(&ChainEvent::Ready));
}

#[test]
fn a_chain_that_falls_silent_is_brought_up_again_and_parked_after_the_third_time() {
    let mut bench = gamma_bench().until_ready();
    bench.set_job(Some(job(1)));
    bench.run(9 * SECOND);
    assert_eq!(failures(&bench), [], "nothing is said before ten seconds");
    bench.run(2 * SECOND);
    assert_eq!(failures(&bench), [ChainFault::Silent { quiet: 10 * SECOND }]);
    bench.run(60 * SECOND);
    assert_eq!(failures(&bench).len(), 3);
    assert!(has_parked(&bench));
}

#[test]
fn good_nonces_keep_a_chain_going_and_chips_without_work_owe_none() {
    let mut bench = gamma_bench().until_ready();
    bench.run(25 * SECOND);
    for id in 0..100 {
        bench.set_job(Some(ChipJob { id: ChipJobId(id), ..gamma().0 }));
        bench.run(9 * SECOND);
        bench.answer(GAMMA.0, GAMMA.1, GAMMA.2);
    }
    assert_eq!(failures(&bench), []);
}

#[test]
fn a_minute_of_good_nonces_makes_up_for_failures_before_it() {
    let mut bench = gamma_bench().until_ready();
    bench.set_job(Some(job(1)));
    while failures(&bench).len() < 2 {
        bench.run(SECOND);
    }
    let mut bench = bench.until_ready();
    for id in 2..20 {
        bench.set_job(Some(job(id)));
        bench.run(5 * SECOND);
        bench.answer(GAMMA.0, GAMMA.1, GAMMA.2);
    }
    while failures(&bench).len() < 3 {
        bench.run(SECOND);
    }
    assert!(!has_parked(&bench), "this one is the first again");
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
fn bytes_that_a_stalled_line_has_not_taken_do_not_reach_chips_after_their_reset() {
    let now = Instant::now();
    let frequency = Frequency::from_mhz(525.0);
    let zero_bits = ALWAYS_ZERO;
    let config = ChainConfig { bring_up: &BM1370_LIST, chips: 1, frequency, baud: RESET_BAUD, zero_bits };
    let mut chain = Chain::new(&config, now).unwrap();
    let mut has_parked = false;
    while !has_parked {
        let due = chain.poll_timeout().unwrap();
        chain.handle_timeout(due);
        while let Some(event) = chain.poll_event() {
            has_parked |= matches!(event, ChainEvent::Parked { .. });
        }
    }
    assert_eq!(chain.poll_transmit(), None);
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
    bench.set_job(Some(ChipJob { target: [0; 32], ..chip_job(header.version, ROLLABLE, &header) }));
    let writes = |bench: &Bench| {
        let is_ticket =
            |frame: &&Frame| matches!(frame, Frame::Write { register: Register::TICKET_MASK, .. });
        bench.frames.iter().filter(is_ticket).count()
    };
    assert_eq!((bench.register(Register::TICKET_MASK), writes(&bench)), (Some(0xf0), 1));
    bench.run(5 * SECOND);
    // Recorded with a ticket of 1: difficulties 1.2 and 3.6.
    bench.answer([0x30, 0x70, 0x1a, 0x0a], 0, 0);
    bench.answer([0x1a, 0x51, 0x4e, 0xbe], 0, 0);
    let counts = bench.chain.stats(bench.now()).chips[0].counts;
    assert_eq!((counts.below_ticket, counts.nonces), (2, 0));
    assert_eq!((bench.register(Register::TICKET_MASK), writes(&bench)), (Some(0xf0), 2));
    assert!(!bench.board_events().iter().any(|event| matches!(event, BoardEvent::Hashes(_))));
}

#[test]
fn without_work_the_chips_rest_after_a_minute_and_come_back_with_the_next_job() {
    let mut bench = gamma_bench().until_ready();
    bench.set_job(Some(job(1)));
    bench.run(SECOND);
    bench.set_job(None);
    bench.run(59 * SECOND);
    assert!(bench.chain.is_hashing());
    bench.run(2 * SECOND);
    assert!(bench.events.ends_with(&[ChainEvent::ResetLine { held: true }, ChainEvent::Resting]));
    assert_eq!(bench.chain.poll_timeout(), None);
    bench.run(3600 * SECOND);
    bench.set_job(Some(job(2)));
    bench.run(10 * SECOND);
    assert!(bench.chain.is_hashing());
    assert_eq!(bench.jobs_sent(), 2);
}

#[test]
fn a_new_frequency_is_reached_step_by_step_and_the_sweep_follows() {
    let mut bench = Bench::new(&BM1370_LIST, 4, 525.0, RESET_BAUD).until_ready();
    bench.chain.set_frequency(Frequency::from_mhz(600.0), bench.now()).unwrap();
    bench.run(SECOND);
    let part_way = bench.chain.frequency().mhz();
    assert!((550.0..600.0).contains(&part_way), "{part_way}");
    bench.run(SECOND);
    assert_eq!(bench.chain.frequency(), Frequency::from_mhz(600.0));
    assert_eq!(bench.register(Register::PLL0), Some(0x50c0_0230));
    assert_eq!(bench.register(Register::HASH_COUNTING_NUMBER), Some(0x02_a99e));
    let refused = bench.chain.set_frequency(Frequency::from_mhz(5000.0), bench.now());
    assert!(refused.unwrap_err().to_string().starts_with("frequency 5000 MHz is out of reach, the nearest"));
}

#[test]
fn a_frequency_set_while_the_chips_come_up_holds_in_the_end() {
    let mut bench = gamma_bench();
    bench.run(3 * SECOND);
    bench.chain.set_frequency(Frequency::from_mhz(400.0), bench.now()).unwrap();
    let mut bench = bench.until_ready();
    bench.run(5 * SECOND);
    assert_eq!(bench.chain.frequency(), Frequency::from_mhz(400.0));
    assert_eq!(bench.chain.expected_rate(), 2040.0 * 400e6);
}

#[test]
fn what_cannot_be_configured_is_refused_with_what_can() {
    let refused = |bring_up: &'static BringUp, chips, mhz, baud| {
        let frequency = Frequency::from_mhz(mhz);
        let config = ChainConfig { bring_up, chips, frequency, baud, zero_bits: ALWAYS_ZERO };
        Chain::new(&config, Instant::now()).unwrap_err()
    };
    assert!(matches!(refused(&BM1370_LIST, 0, 525.0, RESET_BAUD), ChainConfigError::Chips(_)));
    assert!(matches!(refused(&BM1370_LIST, 1, 9000.0, RESET_BAUD), ChainConfigError::Frequency(_)));
    let said = refused(&BM1370_LIST, 1, 525.0, 9600).to_string();
    assert_eq!(said, "bm1370 has no speed of 9600 baud, choose one of [115200, 1000000, 3125000]");
    let said = refused(&GEKKO_BM1362_LIST, 1, 400.0, 1_000_000).to_string();
    assert_eq!(said, "gekko-bm1362 has no speed of 1000000 baud, choose one of [115200]");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_comes_over_the_line_and_whenever_a_chain_neither_panics_nor_stops(
        noise in proptest::collection::vec((0u64..3000, proptest::collection::vec(any::<u8>(), 0..40), 0u8..8), 1..60)
    ) {
        let mut bench = Bench::new(&BM1370_LIST, 2, 100.0, 1_000_000);
        for (wait, bytes, command) in noise {
            bench.run(Duration::from_millis(wait));
            bench.chain.handle_bytes(&bytes, bench.now());
            match command {
                0 => bench.set_job(None),
                1 => bench.set_job(Some(job(wait))),
                2 => {
                    let frequency = Frequency::from_mhz(wait as f64);
                    let _ = bench.chain.set_frequency(frequency, bench.now());
                }
                _ => {}
            }
            prop_assert!(bench.chain.poll_timeout().is_none_or(|due| due > bench.now()));
        }
        bench.set_job(Some(job(5000)));
        bench.run(400 * SECOND);
        prop_assert!(bench.events.contains(&ChainEvent::Ready));
    }
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
