//! What a chain does about a line that loses or damages something, and that it does nothing on one that does not.

use std::time::Duration;

use super::super::bring_up::{BM1370_LIST, RESET_BAUD};
use super::super::chain::{ChainEvent, ChainFault};
use super::super::frame::{Frame, Recipient};
use super::super::register::Register;
use super::bench::{Bench, Faults, GAMMA, SECOND, failures, gamma_bench, job};
use super::proofs::gamma;
use crate::{BoardEvent, ChipJob, ChipJobId};

fn is_core_enable(frame: &Frame) -> bool {
    matches!(frame, Frame::Write { register: Register::CORE_CONTROL, value: 0x8000_82aa, .. })
}

fn is_soft_reset(frame: &Frame) -> bool {
    matches!(frame, Frame::Write { register: Register::SOFT_RESET, .. })
}

fn is_job(frame: &Frame) -> bool {
    matches!(frame, Frame::Job(_))
}

#[test]
fn one_damaged_id_is_asked_for_again_and_what_follows_is_said_three_times() {
    let faults = Faults { damaged_answers: 1, ..Faults::default() };
    let bench = Bench::new(&BM1370_LIST, 4, 200.0, RESET_BAUD).with(faults).until_ready();
    assert_eq!(failures(&bench), []);
    assert_eq!(bench.times_sent(|frame| matches!(frame, Frame::Read { .. })), 3, "{}", bench.trace);
    assert_eq!(bench.times_sent(is_core_enable), 3 * 4);
    // A ramp makes up for lost steps itself; only its end is said three times.
    let steps = |bench: &Bench| {
        bench.times_sent(|frame| matches!(frame, Frame::Write { register: Register::PLL0, .. }))
    };
    let clean = Bench::new(&BM1370_LIST, 4, 200.0, RESET_BAUD).until_ready();
    assert_eq!(steps(&bench), steps(&clean) + 2);
    assert_eq!(clean.times_sent(is_core_enable), 4);
}

#[test]
fn an_address_that_was_lost_has_all_of_them_given_anew() {
    let faults = Faults { lost_addresses: 2, ..Faults::default() };
    let bench = Bench::new(&BM1370_LIST, 4, 200.0, RESET_BAUD).with(faults).until_ready();
    assert_eq!(failures(&bench), []);
    assert_eq!(bench.times_sent(|frame| matches!(frame, Frame::SetAddress(_))), 8, "{}", bench.trace);
    assert_eq!(bench.times_sent(|frame| *frame == Frame::ChainInactive), 1 + 3);
}

#[test]
fn a_line_that_keeps_damaging_ids_is_named_by_what_is_missing_after_a_bounded_time() {
    let faults = Faults { damaged_answers: usize::MAX, ..Faults::default() };
    let mut bench = Bench::new(&BM1370_LIST, 4, 200.0, RESET_BAUD).with(faults);
    while failures(&bench).is_empty() {
        bench.run(Duration::from_millis(100));
        assert!(!bench.chain.is_hashing());
    }
    assert_eq!(failures(&bench), [ChainFault::Missing { found: 3, expected: 4 }]);
    let frames = bench.frames.len();
    assert!(frames < 150, "{frames} frames:\n{}", bench.trace);
}

#[test]
fn chips_that_owe_their_first_nonces_are_told_again_without_a_reset_and_then_left_alone() {
    let mut bench = gamma_bench().until_ready();
    let before = bench.times_sent(is_soft_reset);
    bench.set_job(Some(ChipJob { id: ChipJobId(7), ..gamma().0 }));
    bench.run(Duration::from_millis(400));
    assert_eq!((bench.times_sent(is_core_enable), bench.times_sent(is_job)), (1, 1), "it may be slow");
    while bench.times_sent(is_job) < 1 + 4 {
        bench.run(Duration::from_millis(50));
        assert_eq!(failures(&bench), []);
    }
    assert_eq!(bench.times_sent(is_core_enable), 1 + 3);
    assert_eq!(bench.times_sent(is_soft_reset), before, "cores at their full clock are not stopped");
    bench.answer(GAMMA.0, GAMMA.1, GAMMA.2);
    let frames = bench.frames.len();
    bench.run(9 * SECOND);
    assert_eq!(bench.frames.len(), frames, "{}", bench.trace);
    assert_eq!(failures(&bench), []);
}

#[test]
fn a_chip_that_stays_silent_beside_another_is_named_after_three_tellings() {
    let mut bench = Bench::new(&BM1370_LIST, 2, 525.0, RESET_BAUD).until_ready();
    for id in 0..12 {
        // The recorded nonce bears an address of the second half.
        bench.set_job(Some(ChipJob { id: ChipJobId(id), target: job(id).target, ..gamma().0 }));
        bench.run(SECOND);
        bench.answer(GAMMA.0, GAMMA.1, GAMMA.2);
    }
    let heard: Vec<_> =
        bench.chain.stats(bench.now()).chips.iter().map(|chip| chip.counts.nonces > 0).collect();
    let silent = heard.iter().position(|is_heard| !is_heard).unwrap();
    let told =
        format!("chip {silent} of 2 gives no nonces, counted from 0; check its power and the line to it");
    let faults: Vec<_> =
        bench.board_events().into_iter().filter(|event| matches!(event, BoardEvent::Fault(_))).collect();
    assert_eq!(faults, [BoardEvent::Fault(told)], "{heard:?}");
    assert_eq!(bench.times_sent(is_core_enable), 2 + 3 * 3 * 2);
    assert_eq!(failures(&bench), []);
}

#[test]
fn a_job_that_comes_while_chips_are_told_again_is_the_one_that_they_end_up_with() {
    let mut bench = gamma_bench().until_ready();
    bench.set_job(Some(job(1)));
    bench.run(Duration::from_millis(1200));
    assert!(bench.times_sent(is_core_enable) > 1, "the telling has begun");
    bench.set_job(Some(ChipJob { version_mask: 0x0030_0000, target: [0xff; 32], ..job(2) }));
    let newest = bench.frames.iter().rfind(|frame| is_job(frame)).cloned();
    let jobs = bench.times_sent(is_job);
    bench.run(2 * SECOND);
    assert!(bench.times_sent(is_job) > jobs, "it is said again");
    assert_eq!(bench.frames.iter().rfind(|frame| is_job(frame)).cloned(), newest);
    assert_eq!(bench.register(Register::VERSION_ROLLING), Some(0x9000_0180));
    assert_eq!(bench.register(Register::TICKET_MASK), Some(0));
}

#[test]
fn a_good_line_and_healthy_chips_hear_nothing_beyond_their_list_and_their_jobs() {
    let mut bench = gamma_bench().until_ready();
    let frames = bench.frames.len();
    bench.set_job(Some(gamma().0));
    bench.run(Duration::from_millis(100));
    bench.answer(GAMMA.0, GAMMA.1, GAMMA.2);
    bench.run(5 * SECOND);
    // The job, and the ticket that it asks for.
    assert_eq!(bench.frames.len(), frames + 2, "{}", bench.trace);
    let reads = bench.times_sent(|frame| matches!(frame, Frame::Read { to: Recipient::All, .. }));
    assert_eq!((reads, bench.events.contains(&ChainEvent::Ready)), (2, true));
}
