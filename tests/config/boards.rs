//! The `[[board]]` tables.

use crate::setup::Setup;
use signalcore::config::Board;

/// The one mistake in a file.
fn mistake(text: &str) -> String {
    let mut all = Setup::with_file(text).mistakes();
    assert_eq!(all.len(), 1, "{all:#?}");
    all.remove(0)
}

#[test]
fn a_file_reaches_every_field_of_a_board_and_names_it_as_the_command_line_does() {
    let setup = Setup::with_file(
        "[[board]]
        kind = 'bm1368'
        port = '/dev/ttyUSB7'
        chips = 4
        frequency = 506.25
        baud = 1000000
        zero_bits = 8
        [[board]]
        kind = 'bm1370'
        port = '/dev/ttyACM1'
        [[board]]
        kind = 'nerdqaxe++'
        control = '/dev/ttyACM2'
        port = '/dev/ttyACM3'
        millivolts = 1120
        power_limit = 60.5
        max_temperature = 65
        tune = 'hash-rate'",
    );
    let specs: Vec<_> = setup.loaded().config.boards.iter().map(Board::spec).collect();
    let expected = [
        "bm1368:/dev/ttyUSB7,chips=4,frequency=506.25,baud=1000000,zero-bits=8",
        "bm1370:/dev/ttyACM1",
        "nerdqaxe++:/dev/ttyACM2,/dev/ttyACM3,millivolts=1120,power-limit=60.5,max-temperature=65,tune=hash-rate",
    ];
    assert_eq!(specs, expected);
}

#[test]
fn a_board_needs_a_kind_and_a_port_of_its_own() {
    assert_eq!(
        mistake("[[board]]\nkind = 'bm1370'"),
        "config.toml:1: board.port: found a board without port, expected the path of a serial port; \
         add a line port = \"/dev/ttyACM1\" to this [[board]]"
    );
    assert_eq!(
        mistake("[[board]]\nport = 'x'"),
        "config.toml:2: board.port: found a board without kind, expected the kind of the board; \
         add a line kind = \"bm1370\" to this [[board]]"
    );
    assert_eq!(
        mistake("[[board]]\nkind = 'bm1370'\nport = 'x'\n[[board]]\nkind = 'bm1366'\nport = 'x'"),
        "config.toml:6: board.port: found the same port as at config.toml:3, expected each board once; \
         delete one of the two"
    );
    assert_eq!(
        mistake("[[board]]\nkind = 'bm1370'\nport = 'x'\nfrequency = 0.5"),
        "config.toml:4: board.frequency: found 0.5, expected a number from 1 to 10000; \
         correct it or delete the line"
    );
    assert_eq!(
        mistake("[[board]]\nkind = 'gamma'\nport = 'x'\ntune = 'fast'"),
        "config.toml:4: board.tune: found \"fast\", expected \"off\", \"efficiency\" or \"hash-rate\"; \
         correct it or delete the line"
    );
}

#[test]
fn boards_of_files_give_way_to_the_one_of_the_environment_and_to_devices_of_the_command_line() {
    let specs = |setup: &Setup| setup.loaded().config.boards.iter().map(Board::spec).collect::<Vec<_>>();
    let file =
        Setup::with_file("[[board]]\nkind = 'bm1366'\nport = 'a'\n[[board]]\nkind = 'bm1366'\nport = 'b'");
    assert_eq!(specs(&file), ["bm1366:a", "bm1366:b"]);
    let setup = file.variable("SIGNALCORE_BOARD_PORT", "c").variable("SIGNALCORE_BOARD_KIND", "bm1370");
    let setup = setup.variable("SIGNALCORE_BOARD_FREQUENCY", "400");
    assert_eq!(specs(&setup), ["bm1370:c,frequency=400"]);
    assert_eq!(setup.loaded().origins.board(0, "port").to_string(), "environment SIGNALCORE_BOARD_PORT");
    let setup = setup.flags(|flags| flags.devices = vec!["none".into()]);
    assert_eq!(specs(&setup), [""; 0]);
}
