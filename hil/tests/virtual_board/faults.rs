//! Each fault does what it says, and nothing else.

use signalcore_hil::virtual_board::{BoardConfig, Event, Port};

use crate::{
    bench::{Bench, config},
    bitaxe::{gamma, hash},
    frames::command,
};

fn with(board: &str, chips: usize, fault: &str) -> BoardConfig {
    BoardConfig { chips, faults: vec![fault.parse().unwrap()], ..config(board) }
}

/// Ids of a chain, so many times, as the host gets them.
fn ids(bench: &mut Bench, times: usize) -> Vec<u8> {
    bench.received();
    for _ in 0..times {
        bench.send(&command("52 05 00 00"));
    }
    bench.received()
}

#[test]
fn lost_doubled_and_flipped_bytes_break_frames_in_both_directions() {
    let whole = ids(&mut Bench::new(config("bm1370")), 300).len();
    assert_eq!(whole, 300 * 9);
    for (fault, at_least, at_most) in [
        ("lost=0.02", 0, whole - 60),
        ("doubled=0.02", whole / 2, whole + 60),
        ("flipped=0.02", 0, whole - 60),
    ] {
        let mut bench = Bench::new(with("bm1370", 1, fault));
        let received = ids(&mut bench, 300);
        assert!((at_least..=at_most).contains(&received.len()), "{fault}: {} bytes", received.len());
        let good = received.windows(9).filter(|frame| frame[..5] == [0xaa, 0x55, 0x13, 0x70, 0]).count();
        assert!((150..290).contains(&good), "{fault}: {good} of 300 answers are whole");
    }
}

#[test]
fn delayed_answers_come_whole_and_late() {
    let mut bench = Bench::new(with("bm1370", 1, "delayed=200"));
    assert!(ids(&mut bench, 1).is_empty());
    bench.wait(180);
    assert!(bench.received().is_empty());
    bench.wait(20);
    assert_eq!(bench.frames(9).len(), 1);
}

#[test]
fn a_dead_chip_takes_those_behind_it_along() {
    let mut bench = Bench::new(with("bm1370", 4, "dead-chip=2@1"));
    assert_eq!(ids(&mut bench, 1).len(), 4 * 9);
    bench.wait(1_000);
    assert_eq!(ids(&mut bench, 1).len(), 2 * 9);
}

#[test]
fn a_chip_that_answers_garbage_leaves_the_others_their_answers() {
    let mut bench = Bench::new(with("bm1370", 4, "garbage-chip=1"));
    let received = ids(&mut bench, 1);
    let good: Vec<bool> = received.chunks(9).map(|frame| frame[..4] == [0xaa, 0x55, 0x13, 0x70]).collect();
    assert_eq!(good, [true, false, true, true]);
}

#[test]
fn a_silent_control_port_does_and_says_nothing_for_its_time() {
    let mut bench = Bench::new(with("gamma", 1, "silent-control@1+2"));
    assert_eq!(bench.ask("06 00 01 00 06 00"), [1, 0, 1, 0]);
    bench.wait(1_000);
    assert!(bench.ask("07 00 02 00 06 00 01").is_empty());
    bench.wait(2_000);
    assert_eq!(bench.ask("06 00 03 00 06 00"), [1, 0, 3, 0], "the pin was not moved");
}

#[test]
fn a_late_reply_comes_whole_after_its_time() {
    let mut bench = Bench::new(with("gamma", 1, "late-control=1200"));
    assert!(bench.ask("06 00 01 00 06 00").is_empty());
    bench.wait(1_190);
    assert!(bench.replies().is_empty());
    bench.wait(10);
    assert_eq!(bench.replies(), [1, 0, 1, 0]);
}

#[test]
fn a_control_port_with_newer_firmware_replies_in_its_form_from_its_time_on() {
    let mut bench = Bench::new(with("gamma", 1, "v1-control@2"));
    assert_eq!(bench.ask("06 00 01 00 06 00"), [1, 0, 1, 0]);
    bench.wait(2_000);
    assert_eq!(bench.ask("06 00 02 00 06 00"), [5, 0, 2, 0, 0], "length of the packet, id, status, data");
}

#[test]
fn a_stuck_fan_shows_no_turns_and_the_chip_gets_too_hot() {
    let mut bench = gamma(with("gamma", 1, "stuck-fan"));
    hash(&mut bench);
    bench.ask("09 00 01 00 05 20 4C 03 04");
    assert_eq!(bench.ask("09 00 01 00 05 40 4C 46 01"), [1, 0, 1, 0xff]);
    bench.wait(300_000);
    assert!(bench.events.iter().any(|event| matches!(event, Event::Overheated { .. })));
}

#[test]
fn a_hot_board_is_hotter_by_what_was_ordered() {
    let celsius = |board| {
        let mut bench = gamma(board);
        bench.wait(300_000);
        i32::from(bench.ask("09 00 01 00 05 40 4C 01 01")[3])
    };
    let (normal, hot) = (celsius(config("gamma")), celsius(with("gamma", 1, "hot=40")));
    assert!((39..=41).contains(&(hot - normal)), "{normal} and {hot}");
}

#[test]
fn an_unplugged_board_hears_and_says_nothing_and_comes_back_as_after_power_on() {
    let mut bench = gamma(with("gamma", 1, "unplug@5+5"));
    hash(&mut bench);
    bench.wait(5_000);
    assert!(!bench.board.is_plugged());
    bench.received();
    assert!(bench.ask("06 00 01 00 06 00").is_empty());
    assert!(ids(&mut bench, 1).is_empty());
    bench.wait(5_000);
    assert!(bench.board.is_plugged());
    assert_eq!(bench.ask("06 00 01 00 06 00"), [1, 0, 1, 0], "in reset again");
    let told = bench.events.iter().filter(|event| matches!(event, Event::Unplugged | Event::Plugged));
    assert_eq!(told.count(), 2);
}

#[test]
fn a_stick_whose_port_was_closed_is_as_after_power_on() {
    let mut bench = Bench::new(config("compac-f"));
    bench.commands("53 05 00 00\n40 05 12 00\n51 09 00 18 00 00 60 31");
    bench.board.handle_close(Port::Data, bench.now);
    bench.wait(100);
    assert_eq!(ids(&mut bench, 1), crate::frames::bytes("AA 55 13 97 18 00 00 00 06"));
}

#[test]
fn no_bytes_at_all_make_a_board_panic_or_chatter() {
    // A fixed sequence without a pattern: 75 x + 74 modulo 65537.
    let mut state = 1_u32;
    let mut noise = || {
        state = (75 * state + 74) % 65_537;
        state as u8
    };
    for kind in signalcore_hil::virtual_board::BOARDS {
        let mut bench = Bench::new(config(kind.name));
        for round in 0..200 {
            let mut bytes: Vec<u8> = (0..64).map(|_| noise()).collect();
            if round % 2 == 0 {
                bytes.splice(..0, [0x55, 0xaa, 0x51, 0x09]);
            }
            for port in bench.board.ports() {
                bench.board.receive(*port, &bytes, 115_200, bench.now);
            }
        }
        bench.wait(100);
        let received = bench.received().len();
        assert!(received < 2_000, "{} said {received} bytes to noise", kind.name);
    }
}
