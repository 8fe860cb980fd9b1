//! The boards on serial ports that can be opened: one row each, from the name on the command line to the driver.

mod spec;

use std::path::Path;

pub use self::spec::{BoardSpec, OpenError, SpecError};
use crate::bm13xx::bring_up::{
    BM1362_LIST, BM1366_LIST, BM1368_LIST, BM1370_LIST, BM1397_LIST, BringUp, GEKKO_BM1362_LIST, RESET_BAUD,
};
use crate::usb::{SerialPort, UsbIdentity, serial_ports};

/// A kind of board.
#[derive(Debug, PartialEq)]
pub struct Kind {
    /// As it is named on the command line.
    pub name: &'static str,
    /// What it is.
    pub summary: &'static str,
    driver: Driver,
    /// How it is known on USB; `None` for what may be on any port.
    usb: Option<UsbMatch>,
}

/// What drives it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Driver {
    /// A chain of BM13xx chips on a port.
    Chips(Chips),
    /// A board with a control port, by its name in `config/boards.toml`.
    Bitaxe(&'static str),
    /// A device of the Icarus family, by the name of its model.
    Icarus(&'static str),
}

/// A chain, unless told otherwise.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Chips {
    /// How they are brought up.
    list: &'static BringUp,
    /// How many there are.
    count: usize,
    /// Their frequency in megahertz.
    mhz: f64,
    /// Speed of their line.
    baud: u32,
}

/// What a USB device says when it is such a board.
#[derive(Debug, PartialEq)]
struct UsbMatch {
    vendor: u16,
    product: u16,
    /// Part of the name of its manufacturer.
    manufacturer: &'static str,
    /// Part of its own name.
    name: &'static str,
    interface: u8,
}

/// With four midstates and no more a BM1397 wants a job of 152 bytes 30 times a second, which 115 200 baud do not carry
/// for several chips. Source of the speed: cgminer `driver-gekko.c`.
const BM1397_BAUD: u32 = 1_500_000;

/// All kinds. Frequencies of bare chips are those of the boards they are sold on (ESP-Miner `device_config.h`, for the
/// BM1362 Bitmain's S19j Pro), those of sticks cgminer's first ones (`driver-gekko.c`), and so are the sticks' identities.
pub static KINDS: &[Kind] = &[
    bare("bm1370", "BM1370 chips", &BM1370_LIST, 525.0, RESET_BAUD),
    bare("bm1368", "BM1368 chips", &BM1368_LIST, 490.0, RESET_BAUD),
    bare("bm1366", "BM1366 chips", &BM1366_LIST, 485.0, RESET_BAUD),
    bare("bm1362", "BM1362 chips", &BM1362_LIST, 525.0, RESET_BAUD),
    bare("bm1397", "BM1397 chips", &BM1397_LIST, 425.0, BM1397_BAUD),
    Kind {
        usb: Some(gekko(0x0403, 0x6015, "Compac F")),
        ..bare("compac-f", "GekkoScience Compac F, one BM1397", &BM1397_LIST, 200.0, BM1397_BAUD)
    },
    Kind {
        name: "r909",
        summary: "GekkoScience R909, six BM1397",
        driver: Driver::Chips(Chips { list: &BM1397_LIST, count: 6, mhz: 400.0, baud: BM1397_BAUD }),
        usb: Some(gekko(0x0403, 0x6015, "R909")),
    },
    Kind {
        usb: Some(gekko(0x10c4, 0xea70, "Compac A1")),
        ..bare("compac-a1", "GekkoScience Compac A1, one BM1362", &GEKKO_BM1362_LIST, 400.0, RESET_BAUD)
    },
    bitaxe("max", "Bitaxe Max, one BM1397"),
    bitaxe("ultra", "Bitaxe Ultra, one BM1366"),
    bitaxe("supra", "Bitaxe Supra, one BM1368"),
    bitaxe("gamma", "Bitaxe Gamma, one BM1370"),
    bitaxe("hex", "Bitaxe Hex, six BM1366"),
    bitaxe("emberone", "emberOne/00, twelve BM1362"),
    bitaxe("nerdqaxe+", "NerdQAxe+, four BM1368"),
    bitaxe("nerdqaxe++", "NerdQAxe++, four BM1370"),
    icarus("icarus", "Icarus, FPGA board"),
    icarus("cairnsmore", "Cairnsmore, FPGA board"),
    icarus("lancelot", "Lancelot, FPGA board"),
    icarus("block-erupter", "Block Erupter, stick"),
    icarus("antminer-u1", "Antminer U1, stick"),
    icarus("antminer-u2", "Antminer U2, stick"),
    icarus("antminer-u3", "Antminer U3"),
];

const fn bare(
    name: &'static str,
    summary: &'static str,
    list: &'static BringUp,
    mhz: f64,
    baud: u32,
) -> Kind {
    Kind { name, summary, driver: Driver::Chips(Chips { list, count: 1, mhz, baud }), usb: None }
}

const fn bitaxe(name: &'static str, summary: &'static str) -> Kind {
    Kind { name, summary, driver: Driver::Bitaxe(name), usb: None }
}

const fn icarus(name: &'static str, summary: &'static str) -> Kind {
    Kind { name, summary, driver: Driver::Icarus(name), usb: None }
}

const fn gekko(vendor: u16, product: u16, name: &'static str) -> UsbMatch {
    UsbMatch { vendor, product, manufacturer: "GekkoScience", name, interface: 0 }
}

impl Kind {
    /// The kind of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.name == name)
    }

    /// The kind that a USB device says it is.
    pub fn of(usb: &UsbIdentity) -> Option<&'static Self> {
        let says = |kind: &&Self| {
            kind.usb.as_ref().is_some_and(|wanted| {
                (wanted.vendor, wanted.product, wanted.interface) == (usb.vendor, usb.product, usb.interface)
                    && usb.manufacturer.contains(wanted.manufacturer)
                    && usb.name.contains(wanted.name)
            })
        };
        KINDS.iter().find(says)
    }

    fn names() -> String {
        KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ")
    }
}

/// A port of this machine, and what it is good for.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The port.
    pub port: SerialPort,
    /// The kind of its board, where it says one.
    pub kind: Option<&'static Kind>,
}

/// All serial ports with the boards that are known by their USB identity. Nothing is opened for that. Shape: `root` is
/// `/`, see [`serial_ports`].
pub fn scan(root: &Path) -> Vec<Found> {
    let found = |port: SerialPort| Found { kind: port.usb.as_ref().and_then(Kind::of), port };
    serial_ports(root).into_iter().map(found).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{bitaxe, icarus};

    #[test]
    fn every_kind_can_be_as_its_row_says() {
        for kind in KINDS {
            BoardSpec::new(kind, "x".into()).check().unwrap();
            assert_eq!(Kind::named(kind.name), Some(kind));
        }
        let bitaxes = bitaxe::boards::boards().iter().filter(|board| board.name != "chain");
        let is_there = |name: &str| Kind::named(name).is_some();
        assert!(bitaxes.clone().all(|board| is_there(&board.name)) && bitaxes.count() == 8);
        assert!(icarus::MODELS.iter().all(|model| is_there(model.name)));
    }

    #[test]
    fn a_stick_is_known_by_what_it_says_and_an_ordinary_converter_is_none() {
        let identity = |vendor, product, manufacturer: &str, name: &str, interface| UsbIdentity {
            vendor,
            product,
            manufacturer: manufacturer.to_owned(),
            name: name.to_owned(),
            serial: String::new(),
            interface,
        };
        let kind = |identity: &UsbIdentity| Kind::of(identity).map(|kind| kind.name);
        let gekko = "GekkoScience";
        assert_eq!(kind(&identity(0x0403, 0x6015, gekko, "Compac F Bitcoin Miner", 0)), Some("compac-f"));
        assert_eq!(kind(&identity(0x0403, 0x6015, gekko, "R909 Bitcoin Miner", 0)), Some("r909"));
        assert_eq!(kind(&identity(0x10c4, 0xea70, gekko, "Compac A1 Bitcoin Miner", 0)), Some("compac-a1"));
        // The second interface of that stick tells its temperature.
        assert_eq!(kind(&identity(0x10c4, 0xea70, gekko, "Compac A1 Bitcoin Miner", 1)), None);
        assert_eq!(kind(&identity(0x0403, 0x6015, "FTDI", "FT230X Basic UART", 0)), None);
        assert_eq!(kind(&identity(0xc0de, 0xcafe, "OSMU", "Bitaxe", 0)), None);
    }

    #[test]
    fn the_rules_for_udev_name_every_identity() {
        let rules = include_str!("../config/99-signalcore.rules");
        for wanted in KINDS.iter().filter_map(|kind| kind.usb.as_ref()) {
            let UsbMatch { vendor, product, manufacturer, .. } = wanted;
            let rule = format!(
                "ATTRS{{idVendor}}==\"{vendor:04x}\", ATTRS{{idProduct}}==\"{product:04x}\", \
                 ATTRS{{manufacturer}}==\"{manufacturer}\", GROUP=\"dialout\""
            );
            assert!(rules.contains(&rule), "{rule}");
        }
    }
}
