//! A chain from its reset to its first job, its frequency, and what it does when something breaks.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::super::bring_up::{BM1370_LIST, BringUp, GEKKO_BM1362_LIST, RESET_BAUD};
use super::super::chain::{Chain, ChainConfig, ChainConfigError, ChainEvent, ChainFault};
use super::super::pll::Frequency;
use super::super::register::Register;
use super::super::ticket::ALWAYS_ZERO;
use super::bench::{Bench, Faults, GAMMA, SECOND, failures, gamma_bench, has_parked, job};
use super::proofs::gamma;
use crate::{BoardEvent, ChipJob, ChipJobId};

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
