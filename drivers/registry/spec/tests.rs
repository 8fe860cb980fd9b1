//! Boards as texts, and the orders between two of them.

use std::path::Path;

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<BoardSpec, String> {
    text.parse().map_err(|error: SpecError| error.to_string())
}

#[test]
fn a_board_is_named_by_kind_and_port_and_may_differ_from_its_kind() {
    let plain = parse("bm1370:/dev/ttyACM1").unwrap();
    assert_eq!((plain.chips, plain.mhz, plain.baud, plain.zero_bits), (None, None, None, 32));
    assert_eq!(plain.name(), "bm1370:ttyACM1");
    let all = "bm1368:/dev/serial/by-path/usb-0:2:1.0,chips=4,frequency=400.5,baud=1000000,zero-bits=8";
    let all = parse(all).unwrap();
    assert_eq!((all.chips, all.mhz, all.baud, all.zero_bits), (Some(4), Some(400.5), Some(1_000_000), 8));
    assert_eq!(all.port, Path::new("/dev/serial/by-path/usb-0:2:1.0"));
}

#[test]
fn each_mistake_in_a_name_is_told_with_what_would_be_right() {
    let kinds = &format!("choose one of {}", Kind::names());
    let options = "there are chips=N, frequency=MHZ, millivolts=MV, baud=B, zero-bits=Z, power-limit=W, \
                   max-temperature=C and tune=GOAL";
    for (text, said) in [
        ("/dev/ttyACM0", "no port, write KIND:PORT, such as bm1370:/dev/ttyACM1; or auto, or none"),
        ("bm1370:", "no port, write KIND:PORT, such as bm1370:/dev/ttyACM1; or auto, or none"),
        ("bm1371:/dev/x", &format!("no kind \"bm1371\", {kinds}")),
        ("bm1370:x,y", &format!("no option \"y\", {options}")),
        ("bm1370:x,volt=1", &format!("no option \"volt\", {options}")),
        ("gamma:a,b,tune=fast", "tune=fast, expected off, efficiency or hash-rate"),
        ("bm1370:x,tune=efficiency", "bm1370 has no option tune"),
        ("icarus:x,power-limit=5", "icarus has no option power-limit"),
        ("gamma:a,b,power-limit=31", "power-limit = 31: choose 1 to 30, the limit of Bitaxe Gamma"),
        ("gamma:a,b,max-temperature=76", "max-temperature = 76: choose 40 to 75, the limit of Bitaxe Gamma"),
        (
            "emberone:a,b,tune=efficiency",
            "emberOne/00 measures no power, so nothing can be tuned for efficiency; tune for hash-rate",
        ),
        ("bm1370:x,chips=1,chips=1", "chips twice, delete one of the two"),
        ("bm1370:x,chips=-1", "chips=-1, expected a whole number from 1 to 256"),
        ("bm1366:x,chips=129", "129 chips, a chain of BM1366 has 1 to 128, so many as its nonces tell apart"),
        ("bm1370:x,chips=257", "257 chips, a chain of BM1370 has 1 to 256, so many as its nonces tell apart"),
        ("bm1370:x,frequency=fast", "frequency=fast, expected a number of megahertz"),
        ("gamma:a,b,frequency=nan", "frequency=nan, expected a number of megahertz"),
        ("gamma:a,b,frequency=inf", "frequency=inf, expected a number of megahertz"),
        ("gamma:a,b,power-limit=NaN", "power-limit=NaN, expected a number of watts"),
        ("gamma:a,b,max-temperature=-inf", "max-temperature=-inf, expected a number of degrees Celsius"),
        ("gamma:a,b,frequency=-5", "frequency = -5: Bitaxe Gamma bears 400 to 625; choose one of these"),
        ("gamma:a,b,frequency=1e30", "frequency = 1e30: Bitaxe Gamma bears 400 to 625; choose one of these"),
        (
            "emberone:a,b,frequency=9999",
            "frequency = 9999: emberOne/00 bears 200 to 525; choose one of these",
        ),
        (
            "gamma:a,a",
            "a twice, and gamma has two ports: write gamma:CONTROL,DATA, such as gamma:/dev/ttyACM0,/dev/ttyACM1",
        ),
        ("bm1370:x,baud=9600", "bm1370 has no speed of 9600 baud, choose one of [115200, 1000000, 3125000]"),
        ("bm1370:x,zero-bits=33", "nonces at 33 zero bits, possible are 0 to 32; chips of silicon have 32"),
    ] {
        assert_eq!(parse(text).unwrap_err(), said, "{text}");
    }
    for frequency in ["1e9", "nan", "-5", "inf", "0"] {
        assert!(parse(&format!("bm1370:x,frequency={frequency}")).is_err(), "{frequency}");
    }
}

#[test]
fn a_board_with_two_ports_is_named_with_both_and_its_limits_hold() {
    let gamma = parse("gamma:/dev/ttyACM0,/dev/ttyACM1,frequency=500,millivolts=1100,zero-bits=8").unwrap();
    assert_eq!(gamma.control.as_deref(), Some(Path::new("/dev/ttyACM0")));
    assert_eq!((gamma.port.as_path(), gamma.mhz), (Path::new("/dev/ttyACM1"), Some(500.0)));
    for (text, said) in [
        ("bitaxe:a", "one port, and bitaxe has two: write bitaxe:CONTROL,DATA"),
        ("bitaxe:a,b,chips=2", "bitaxe has no option chips"),
        ("gekko:a,chips=2", "gekko has no option chips"),
        ("newpac:a,baud=115200", "newpac has no option baud"),
        ("newpac:a,frequency=300", "frequency 300 MHz is not between 100 and 250 MHz"),
        ("gamma:a", "one port, and gamma has two: write gamma:CONTROL,DATA"),
        ("gamma:a,frequency=1", "one port, and gamma has two"),
        ("gamma:a,b,chips=2", "gamma has no option chips"),
        ("bm1370:a,millivolts=1100", "bm1370 has no option millivolts"),
        ("gamma:a,b,millivolts=9000", "9000"),
        ("block-erupter:a,frequency=9", "block-erupter has a fixed clock"),
        ("antminer-u1:a,frequency=900", "frequency 900 MHz is not between 100 and 250 MHz"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.contains(said), "{text}: {error}");
    }
}

#[test]
fn what_may_change_while_a_board_runs_becomes_orders_and_the_rest_does_not() {
    let orders = |from: &str, to: &str| {
        let (from, to) = (parse(&format!("gamma:a,b{from}")), parse(&format!("gamma:a,b{to}")));
        to.unwrap().orders_since(&from.unwrap())
    };
    let set =
        |megahertz: f64, millivolts| Order::Set { megahertz: Some(megahertz), millivolts: Some(millivolts) };
    assert_eq!(orders("", ""), Some(vec![]));
    assert_eq!(orders("", ",frequency=500"), Some(vec![set(500.0, 1150)]));
    assert_eq!(orders(",frequency=500,millivolts=1100", ",millivolts=1100"), Some(vec![set(525.0, 1100)]));
    assert_eq!(
        orders(",max-temperature=60", ",power-limit=15,tune=efficiency"),
        Some(vec![
            Order::LimitPower(Some(15.0)),
            Order::LimitTemperature(None),
            Order::Tune(Some(Goal::Efficiency))
        ])
    );
    assert_eq!(orders(",tune=efficiency", ",tune=off,frequency=500"), Some(vec![set(500.0, 1150)]));
    assert_eq!(orders(",tune=efficiency", ",tune=efficiency,frequency=500"), Some(vec![]));
    assert_eq!(orders("", ",baud=1000000"), None);
}

#[test]
fn what_is_learnt_of_a_board_is_kept_by_its_serial_number_wherever_it_is_plugged_in() {
    let usb = |serial: &str| crate::usb::UsbIdentity {
        vendor: 0xc0de,
        product: 0xcafe,
        manufacturer: "OSMU".to_owned(),
        name: "Bitaxe".to_owned(),
        serial: serial.to_owned(),
        interface: 2,
        device: "/sys/devices/none".into(),
    };
    let port = |path: &str, serial| SerialPort { path: path.into(), usb: Some(usb(serial)) };
    let ports = [port("/dev/none/ttyACM1", "1a2b3c4d"), port("/dev/none/ttyACM3", "")];
    let key = |data: &str| parse(&format!("gamma:/dev/none/ttyACM0,/dev/none/{data}")).unwrap().key(&ports);
    assert_eq!(key("ttyACM1"), "gamma 1a2b3c4d");
    assert_eq!(key("ttyACM3"), "gamma:ttyACM3", "without a serial number the port has to do");
    assert_eq!(key("ttyACM5"), "gamma:ttyACM5");
}

proptest! {
    #[test]
    fn no_text_makes_the_reading_of_a_board_panic(text in "(bm1370:)?[a-z0-9,=:.-]{0,40}", more: String) {
        let _ = text.parse::<BoardSpec>();
        let _ = format!("bm1366:x,{more}").parse::<BoardSpec>();
    }
}

#[test]
fn numbers_beyond_all_boards_are_told_without_their_three_hundred_digits() {
    for text in [
        "bm1370:a,frequency=1e308",
        "gamma:a,b,frequency=1e308",
        "gamma:a,b,power-limit=1e308",
        "newpac:a,frequency=1e308",
        "antminer-u1:a,frequency=1e308",
    ] {
        let said = text.parse::<BoardSpec>().unwrap_err().to_string();
        assert!(said.contains("1e308") && said.len() < 120, "{said}");
    }
}
