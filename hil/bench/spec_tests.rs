use super::*;

const GAMMA: &str = "title = 't'\n[limits]\nload_seconds = 20\n[[board]]\nname = 'gamma'\nkind = 'gamma'\n\
                     identity = 'BM1370'\nnominal = 1.071e12\n";

fn refused(text: &str) -> String {
    Bench::parse(text).unwrap_err().to_string()
}

#[test]
fn a_board_on_ports_has_all_checks_and_the_limits_of_its_bench_beneath_its_own() {
    let text = format!(
        "{GAMMA}ports = ['/dev/ttyACM0', '/dev/ttyACM1']\noptions = 'frequency=500'\n[board.limits]\ncelsius = 70"
    );
    let bench = Bench::parse(&text).unwrap();
    let board = &bench.boards[0];
    assert_eq!(board.checks.len(), CHECKS.len());
    assert_eq!(
        (board.limits.load_seconds, board.limits.celsius, board.limits.hash_rate_percent),
        (20.0, 70.0, 15.0)
    );
    assert_eq!(board.device(board.ports()), "gamma:/dev/ttyACM0,/dev/ttyACM1,frequency=500");
    assert_eq!(board.expected_rate(), 1.071e12);
}

#[test]
fn a_virtual_board_is_expected_to_be_as_much_slower_as_its_nonces_are_easier() {
    let text = format!("{GAMMA}virtual = {{ zero_bits = 8, scale = 2, faults = ['flipped=0.01'] }}");
    let board = Bench::parse(&text).unwrap().boards.remove(0);
    assert_eq!(board.expected_rate(), 1.071e12 * 2.0 / 16_777_216.0);
    let shares = board.expected_rate() / (board.difficulty().value() * HASHES_PER_DIFFICULTY);
    assert!((shares - 15.0).abs() < 1e-9);
    assert_eq!(
        board.device(&["/a-control".into(), "/a-data".into()]),
        "gamma:/a-control,/a-data,zero-bits=8"
    );
}

#[test]
fn a_mistake_is_told_with_board_field_value_and_remedy() {
    let ports = "ports = ['/dev/x']\n";
    for (change, said) in [
        (
            String::new(),
            "board \"gamma\": ports = 0 of them: one port, or control port and data port; or virtual",
        ),
        (
            "virtual = { board = 'gama' }".to_owned(),
            "virtual.board = gama: `signalcore-hil virtual --board x` lists",
        ),
        (
            "virtual = { faults = ['fire'] }".to_owned(),
            "virtual.faults = \"fire\": fault \"fire\": it is none of lost",
        ),
        ("virtual = { zero_bits = 33 }".to_owned(), "0 to 32 can be played"),
        ("virtual = { hashes_per_second = nan }".to_owned(), "virtual.hashes_per_second = NaN: 1e3 to 1e8"),
        (
            "virtual = { scale = 0.001 }".to_owned(),
            "limits.shares_per_second = 15: the board finds 0.249 nonces",
        ),
        (format!("{ports}checks = ['soack']"), "checks = \"soack\": there are enumerate, identify"),
        (format!("{ports}options = 'zero-bits=3'"), "options = zero-bits=3: leave zero-bits out"),
        (format!("{ports}[board.limits]\ncelsius = nan"), "limits.celsius = NaN: from 20 to 150"),
        (
            format!("{ports}[board.limits]\nload_seconds = 1e9"),
            "limits.load_seconds = 1000000000: from 0.5 to 604800",
        ),
        (format!("{ports}[board.limits]\nloud = 1"), "unknown field `loud`"),
        (
            format!("{ports}{}", &GAMMA[GAMMA.find("[[board]]").unwrap()..]) + ports,
            "name = gamma: it is taken",
        ),
        ("colour = 1".to_owned(), "unknown field `colour`"),
    ] {
        let told = refused(&format!("{GAMMA}{change}"));
        assert!(told.contains(said), "{told}\nexpected: {said}");
    }
    assert_eq!(refused("title = 't'"), "0 boards: a bench has 1 to 32, each as a [[board]]");
}

#[test]
fn no_two_boards_share_a_port() {
    let second = GAMMA[GAMMA.find("[[board]]").unwrap()..].replace("'gamma'", "'other'");
    let text = format!("{GAMMA}ports = ['/dev/a', '/dev/b']\n{second}ports = ['/dev/b']");
    assert_eq!(refused(&text), "board \"other\": ports = /dev/b: another board has this port");
}

#[test]
fn every_bench_file_that_comes_with_the_program_is_one() {
    for (name, text) in [
        ("virtual", include_str!("../benches/virtual.toml")),
        ("bitaxe-gamma", include_str!("../benches/bitaxe-gamma.toml")),
        ("bitaxe-ultra", include_str!("../benches/bitaxe-ultra.toml")),
        ("chain", include_str!("../benches/chain.toml")),
        ("icarus", include_str!("../benches/icarus.toml")),
    ] {
        let bench = Bench::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let is_virtual = bench.boards.iter().all(|board| board.played().is_some());
        assert_eq!(is_virtual, name == "virtual", "{name}");
    }
}
