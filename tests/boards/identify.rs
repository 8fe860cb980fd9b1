//! Which board it is, asked of virtual ones.

use std::time::{Duration, Instant};

use signalcore_drivers::bitaxe::identify::{Identification, Unidentified};
use signalcore_hil::virtual_board::{Board, BoardConfig, BoardKind, Event, Port};

/// Asks a board of this name. Shape: the name that it is given or why it gets none; what has happened to the board.
fn identify(name: &str, chips: Option<usize>) -> (Result<String, Unidentified>, Vec<Event>) {
    let config = BoardConfig::new(BoardKind::named(name).unwrap());
    let mut played = Board::new(BoardConfig { chips: chips.unwrap_or(config.chips), ..config }).unwrap();
    let (start, mut now) = (Instant::now(), Duration::ZERO);
    let mut board = Identification::new(start);
    let mut events = Vec::new();
    while board.outcome().is_none() && now < Duration::from_secs(60) {
        while let Some(bytes) = board.poll_control() {
            played.receive(Port::Control, &bytes, 115_200, now);
        }
        while let Some(bytes) = board.poll_data() {
            played.receive(Port::Data, &bytes, 115_200, now);
        }
        while let Some((port, bytes)) = played.poll_transmit() {
            match port {
                Port::Control => board.handle_control(&bytes, start + now),
                Port::Data => board.handle_data(&bytes),
            }
        }
        now += Duration::from_millis(1);
        played.handle_timeout(now);
        board.handle_timeout(start + now);
        events.extend(std::iter::from_fn(|| played.poll_event()));
    }
    let outcome = board.outcome().expect("an outcome within a minute").clone();
    (outcome.map(|kind| kind.name.clone()), events)
}

#[test]
fn boards_with_parts_or_chips_of_their_own_are_found_out_and_left_in_reset() {
    for name in ["max", "ultra", "supra", "gamma", "emberone"] {
        let (found, events) = identify(name, None);
        assert_eq!(found, Ok(name.to_owned()));
        let reset = events.iter().rev().find_map(|event| match event {
            Event::Reset { released } => Some(*released),
            _ => None,
        });
        assert_ne!(reset, Some(true), "{name} is left running");
    }
}

#[test]
fn no_board_gets_more_voltage_than_any_in_question_bears_and_none_that_is_off_gets_power() {
    for (name, most) in [("max", 1166), ("ultra", 1166), ("supra", 1166), ("gamma", 0), ("hex", 0)] {
        let (_, events) = identify(name, None);
        let powers = events.iter().filter_map(|event| match event {
            Event::Power { millivolts, on: true } => Some(*millivolts),
            _ => None,
        });
        // A converter that is on as the board is plugged in tells of that first.
        let set: Vec<_> = powers.skip(usize::from(most > 0)).collect();
        assert!(set.iter().all(|millivolts| *millivolts <= most + 10), "{name}: {set:?}");
    }
}

#[test]
fn boards_that_only_power_would_tell_apart_are_to_be_named() {
    for name in ["hex", "nerdqaxe+", "nerdqaxe++"] {
        let (refused, _) = identify(name, None);
        let said = refused.unwrap_err().to_string();
        assert_eq!(
            said,
            "its parts are those of hex, nerdqaxe+, nerdqaxe++: name the model, such as hex:CONTROL,DATA"
        );
    }
}

#[test]
fn a_board_with_other_chips_than_its_parts_say_is_not_taken_for_another() {
    let (refused, _) = identify("ultra", Some(2));
    let expected = "max, ultra, supra".to_owned();
    assert_eq!(refused, Err(Unidentified::Chips { chip: 0x1366, found: 2, expected }));
}
