//! Each way to bring up a chain, as the bytes and times that a logic analyser would show. The traces in `tests/vectors`
//! were compared line by line with the lists of the drivers that `bring_up.rs` names.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::super::bring_up::{
    BM1362_LIST, BM1366_LIST, BM1368_LIST, BM1370_LIST, BM1397_LIST, BringUp, GEKKO_BM1362_LIST,
    GEKKO_BM1370_LIST, LISTS, RESET_BAUD, S21_PRO_LIST,
};
use super::super::frame::Frame;
use super::bench::Bench;
use super::vectors::ours;

/// List, chips, MHz, baud: the boards that the lists are for.
const BOARDS: &[(&BringUp, usize, f64, u32)] = &[
    (&BM1397_LIST, 1, 425.0, 3_125_000),
    (&BM1362_LIST, 12, 525.0, 3_125_000),
    (&GEKKO_BM1362_LIST, 1, 400.0, RESET_BAUD),
    (&BM1366_LIST, 1, 485.0, 1_000_000),
    (&BM1368_LIST, 4, 490.0, 1_000_000),
    (&BM1370_LIST, 1, 525.0, RESET_BAUD),
    (&BM1370_LIST, 4, 600.0, 1_000_000),
    (&GEKKO_BM1370_LIST, 1, 300.0, RESET_BAUD),
    (&S21_PRO_LIST, 65, 400.0, 3_125_000),
];

fn brought_up(list: &'static BringUp, chips: usize, mhz: f64, baud: u32) -> Bench {
    let mut bench = Bench::new(list, chips, mhz, baud);
    bench.run(Duration::from_secs(20));
    bench
}

#[test]
fn each_chain_is_brought_up_with_the_bytes_and_times_on_record() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors");
    let mut wrong = Vec::new();
    for &(list, chips, mhz, baud) in BOARDS {
        let name = format!("bring-up-{}-x{chips}.txt", list.name);
        let trace = brought_up(list, chips, mhz, baud).trace;
        if fs::read_to_string(folder.join(&name)).ok().as_ref() != Some(&trace) {
            let found = std::env::temp_dir().join(&name);
            fs::write(&found, trace).unwrap();
            wrong.push(format!("{} is not {name}", found.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_list_has_a_trace_and_a_name_of_its_own() {
    for list in LISTS {
        assert!(BOARDS.iter().any(|(board, ..)| *board == list), "{}", list.name);
        assert_eq!(LISTS.iter().filter(|other| other.name == list.name).count(), 1);
    }
}

/// What public drivers print for one chip at address 0 is what ours sends to it. Left out: settings that differ by
/// board (ticket, sweep length, frequencies), and the commands below.
#[test]
fn the_recorded_commands_of_each_chip_are_all_sent_to_it() {
    let not_sent = [
        "55aa420540 1c0b",         // an I2C bus that no board of ours has
        "55aa410940 1800007a3111", // one chip alone
        "55aa410928 3c000006ff0a", // diagnosis of a core
        "55aa410928 3c8000850113",
        "55aa510900 1800003a0118", // values that a chip has after its reset
        "55aa510900 680070011115",
        "55aa510900 18000127010b", // 6.25 Mbaud
        "55aa510900 0840a0022516", // other dividers for 200 MHz
    ];
    let not_sent = not_sent.map(|frame| frame.replace(' ', ""));
    let mut checked = 0;
    // Of a Compac A2 nothing is recorded, and it is told other values than a Bitaxe.
    for &(list, ..) in BOARDS.iter().filter(|(list, ..)| *list != &GEKKO_BM1370_LIST) {
        let sent =
            brought_up(list, 1, 200.0, list.speeds.first().map_or(RESET_BAUD, |speed| speed.baud)).frames;
        let recorded = ours().into_iter().filter(|v| v.kind == "command" && v.chip == list.chip.name);
        for vector in recorded {
            let frame = Frame::parse(&vector.hex).unwrap();
            let is_setting =
                matches!(frame, Frame::Write { register, .. } if [0x10, 0x14].contains(&register.0));
            if !is_setting && !not_sent.contains(&hex::encode(&vector.hex)) {
                assert!(sent.contains(&frame), "{}: {frame}", list.name);
                checked += 1;
            }
        }
    }
    assert_eq!(checked, 53);
}
