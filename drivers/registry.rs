//! The boards on serial ports that can be opened: one row each, from the name on the command line to the driver.

mod found;
mod open;
mod spec;

pub use self::found::{Found, Role, scan};
pub use self::open::OpenError;
pub use self::spec::{BoardSpec, SpecError};
use crate::bm13xx::bring_up::{
    BM1362_LIST, BM1366_LIST, BM1368_LIST, BM1370_LIST, BM1397_LIST, BringUp, GEKKO_BM1362_LIST,
    GEKKO_BM1370_LIST, RESET_BAUD, S21_PRO_LIST,
};
use crate::usb::UsbIdentity;

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
    /// A stick of GekkoScience with older chips, by the name of its model.
    Gekko(&'static str),
    /// A stick of GekkoScience; it is asked which.
    AnyGekko,
    /// A board with a control port; it is asked which.
    AnyBitaxe,
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
    /// Part of the name of its manufacturer; empty for any.
    manufacturer: &'static str,
    /// Its own name.
    name: Name,
    /// Which of its interfaces the chips are at; `None` for each of them.
    interface: Option<u8>,
}

/// The name of a USB device.
#[derive(Debug, PartialEq)]
enum Name {
    /// To the letter.
    Is(&'static str),
    /// With all of these in it.
    Has(&'static [&'static str]),
}

impl Name {
    fn suits(&self, name: &str) -> bool {
        match self {
            Self::Is(whole) => name == *whole,
            Self::Has(parts) => parts.iter().all(|part| name.contains(part)),
        }
    }
}

/// With four midstates and no more a BM1397 wants a job of 152 bytes 30 times a second, which 115 200 baud do not carry
/// for several chips. Source of the speed: cgminer `driver-gekko.c`.
const BM1397_BAUD: u32 = 1_500_000;

/// Of Bitmain's own hash boards, whose answers 115 200 baud would not carry.
const HASH_BOARD_BAUD: u32 = 3_125_000;

/// All kinds. Frequencies of bare chips are those of the boards they are sold on (ESP-Miner `device_config.h`, for the
/// BM1362 Bitmain's S19j Pro), those of Compac F and R909 cgminer's first ones (`driver-gekko.c`).
///
/// Of USB identities, vendors and products are cgminer's (`usbutils.c`), bitaxe-raw's and emberOne's, names of Icarus
/// sticks and of the Compac bfgminer's (`driver-icarus.c`). That sticks of GekkoScience name their maker and model so, and
/// 300 MHz for Compac A1 and A2, is general knowledge without a source at hand: a name that is another leaves the stick
/// unnamed, and 300 MHz are far below what such chips run at elsewhere.
pub static KINDS: &[Kind] = &[
    bare("bm1370", "BM1370 chips", &BM1370_LIST, 525.0, RESET_BAUD),
    bare("bm1368", "BM1368 chips", &BM1368_LIST, 490.0, RESET_BAUD),
    bare("bm1366", "BM1366 chips", &BM1366_LIST, 485.0, RESET_BAUD),
    bare("bm1362", "BM1362 chips", &BM1362_LIST, 525.0, RESET_BAUD),
    bare("bm1397", "BM1397 chips", &BM1397_LIST, 425.0, BM1397_BAUD),
    Kind {
        name: "s21-pro",
        summary: "a hash board of an Antminer S21 Pro, 65 BM1370",
        driver: Driver::Chips(Chips { list: &S21_PRO_LIST, count: 65, mhz: 400.0, baud: HASH_BOARD_BAUD }),
        usb: None,
    },
    Kind {
        usb: Some(gekko(0x0403, 0x6015, &["Compac F"])),
        ..bare("compac-f", "GekkoScience Compac F, one BM1397", &BM1397_LIST, 200.0, BM1397_BAUD)
    },
    Kind {
        name: "r909",
        summary: "GekkoScience R909, six BM1397",
        driver: Driver::Chips(Chips { list: &BM1397_LIST, count: 6, mhz: 400.0, baud: BM1397_BAUD }),
        usb: Some(gekko(0x0403, 0x6015, &["R909"])),
    },
    Kind {
        usb: Some(gekko(0x10c4, 0xea70, &["Compac A1"])),
        ..bare("compac-a1", "GekkoScience Compac A1, one BM1362", &GEKKO_BM1362_LIST, STICK_MHZ, RESET_BAUD)
    },
    Kind {
        usb: Some(gekko(0x10c4, 0xea70, &["Compac A2"])),
        ..bare("compac-a2", "GekkoScience Compac A2, one BM1370", &GEKKO_BM1370_LIST, STICK_MHZ, RESET_BAUD)
    },
    old_gekko("newpac", "GekkoScience NewPac, two BM1387", gekko(0x0403, 0x6015, &["NewPac"])),
    old_gekko("2pac", "GekkoScience 2Pac, two BM1384", gekko(0x10c4, 0xea60, &["2Pac"])),
    old_gekko(
        "compac",
        "GekkoScience Compac, one BM1384",
        converter(0x10c4, 0xea60, Name::Has(&["Compac", "Bitcoin"])),
    ),
    Kind {
        name: "gekko",
        summary: "a GekkoScience stick, which is asked for its model",
        driver: Driver::AnyGekko,
        usb: None,
    },
    Kind {
        name: "bitaxe",
        summary: "a Bitaxe, which is asked for its model",
        driver: Driver::AnyBitaxe,
        usb: Some(UsbMatch { manufacturer: "OSMU", ..converter(0xc0de, 0xcafe, Name::Is("Bitaxe")) }),
    },
    bitaxe("max", "Bitaxe Max, one BM1397"),
    bitaxe("ultra", "Bitaxe Ultra, one BM1366"),
    bitaxe("supra", "Bitaxe Supra, one BM1368"),
    bitaxe("gamma", "Bitaxe Gamma, one BM1370"),
    bitaxe("hex", "Bitaxe Hex, six BM1366"),
    Kind {
        usb: Some(UsbMatch { manufacturer: "256F", ..converter(0x1209, 0x256f, Name::Is("EmberOne00")) }),
        ..bitaxe("emberone", "emberOne/00, twelve BM1362")
    },
    bitaxe("nerdqaxe+", "NerdQAxe+, four BM1368"),
    bitaxe("nerdqaxe++", "NerdQAxe++, four BM1370"),
    icarus("icarus", "Icarus, FPGA board"),
    Kind {
        // A product number of its own: no ordinary converter has it.
        usb: Some(converter(0x0403, 0x8350, Name::Has(&[]))),
        ..icarus("cairnsmore", "Cairnsmore, FPGA board")
    },
    icarus("lancelot", "Lancelot, FPGA board"),
    Kind {
        usb: Some(converter(0x10c4, 0xea60, Name::Has(&["Block Erupter"]))),
        ..icarus("block-erupter", "Block Erupter, stick")
    },
    Kind {
        usb: Some(converter(0x10c4, 0xea60, Name::Has(&["Antminer"]))),
        ..icarus("antminer-u1", "Antminer U1, stick")
    },
    icarus("antminer-u2", "Antminer U2, stick"),
    icarus("antminer-u3", "Antminer U3"),
];

/// Of sticks whose first frequency no source names. Ours, and meant to be careful.
const STICK_MHZ: f64 = 300.0;

/// Sticks by what their chips answer: upper half of the id, how many, name of the kind.
const STICKS: [(u16, usize, &str); 7] = [
    (0x1397, 1, "compac-f"),
    (0x1397, 6, "r909"),
    (0x1362, 1, "compac-a1"),
    (0x1370, 1, "compac-a2"),
    (0x1387, 2, "newpac"),
    (0x1384, 1, "compac"),
    (0x1384, 2, "2pac"),
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

const fn old_gekko(name: &'static str, summary: &'static str, usb: UsbMatch) -> Kind {
    Kind { name, summary, driver: Driver::Gekko(name), usb: Some(usb) }
}

const fn gekko(vendor: u16, product: u16, names: &'static [&'static str]) -> UsbMatch {
    let interface = Some(0);
    UsbMatch { vendor, product, manufacturer: "GekkoScience", name: Name::Has(names), interface }
}

/// A converter that anybody may use: its name alone tells.
const fn converter(vendor: u16, product: u16, name: Name) -> UsbMatch {
    UsbMatch { vendor, product, manufacturer: "", name, interface: None }
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
                (wanted.vendor, wanted.product) == (usb.vendor, usb.product)
                    && wanted.interface.is_none_or(|interface| interface == usb.interface)
                    && usb.manufacturer.contains(wanted.manufacturer)
                    && wanted.name.suits(&usb.name)
            })
        };
        KINDS.iter().find(says)
    }

    /// The stick with so many chips of this id.
    fn stick(chip: u16, count: usize) -> Option<&'static Self> {
        STICKS.iter().find(|row| (row.0, row.1) == (chip, count)).and_then(|row| Self::named(row.2))
    }

    /// Whether it is a stick of GekkoScience.
    fn is_stick(&self) -> bool {
        STICKS.iter().any(|row| row.2 == self.name)
    }

    /// Whether it has a control port beside that of its chips.
    pub fn has_control(&self) -> bool {
        matches!(self.driver, Driver::Bitaxe(_) | Driver::AnyBitaxe)
    }

    fn names() -> String {
        KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{bitaxe, gekko, icarus};

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
        assert!(gekko::MODELS.iter().all(|model| is_there(model.name)));
    }

    #[test]
    fn every_stick_is_named_by_its_chips_and_of_the_older_ones_by_their_table() {
        for (chip, count, name) in STICKS {
            assert_eq!(Kind::stick(chip, count).map(|kind| kind.name), Some(name));
            let old = gekko::Model::with(chip, count).map(|model| model.name);
            let is_old = matches!(Kind::named(name).unwrap().driver, Driver::Gekko(_));
            assert_eq!(old, is_old.then_some(name));
        }
        assert_eq!(Kind::stick(0x1387, 3), None);
    }

    #[test]
    fn a_board_is_known_by_what_it_says_and_an_ordinary_converter_is_none() {
        let kind = |vendor, product, manufacturer: &str, name: &str, interface| {
            let identity = UsbIdentity {
                vendor,
                product,
                manufacturer: manufacturer.to_owned(),
                name: name.to_owned(),
                serial: String::new(),
                interface,
                device: "1-1".into(),
            };
            Kind::of(&identity).map(|kind| kind.name)
        };
        let gekko = "GekkoScience";
        assert_eq!(kind(0x0403, 0x6015, gekko, "Compac F Bitcoin Miner", 0), Some("compac-f"));
        assert_eq!(kind(0x0403, 0x6015, gekko, "R909 Bitcoin Miner", 0), Some("r909"));
        assert_eq!(kind(0x0403, 0x6015, gekko, "NewPac Bitcoin Miner", 0), Some("newpac"));
        assert_eq!(kind(0x10c4, 0xea70, gekko, "Compac A1 Bitcoin Miner", 0), Some("compac-a1"));
        assert_eq!(kind(0x10c4, 0xea70, gekko, "Compac A2 Bitcoin Miner", 0), Some("compac-a2"));
        // The second interface of that stick tells its temperature.
        assert_eq!(kind(0x10c4, 0xea70, gekko, "Compac A1 Bitcoin Miner", 1), None);
        assert_eq!(kind(0x10c4, 0xea60, gekko, "2Pac Bitcoin Miner", 0), Some("2pac"));
        assert_eq!(kind(0x10c4, 0xea60, "Silicon Labs", "Compac Bitcoin Miner", 0), Some("compac"));
        assert_eq!(kind(0x10c4, 0xea60, "Bitmain", "Antminer U1", 0), Some("antminer-u1"));
        assert_eq!(kind(0x10c4, 0xea60, "", "Block Erupter Sapphire", 0), Some("block-erupter"));
        assert_eq!(kind(0x0403, 0x8350, "FTDI", "FT4232H", 3), Some("cairnsmore"));
        assert_eq!(kind(0xc0de, 0xcafe, "OSMU", "Bitaxe", 2), Some("bitaxe"));
        assert_eq!(kind(0xc0de, 0xcafe, "OSMU", "BitaxeBonanza", 0), None);
        assert_eq!(kind(0x1209, 0x256f, "256F", "EmberOne00", 0), Some("emberone"));
        for (vendor, product, name) in [
            (0x0403, 0x6015, "FT230X Basic UART"),
            (0x0403, 0x6001, "FT232R USB UART"),
            (0x0403, 0x6014, "FT232H"),
            (0x10c4, 0xea60, "CP2102 USB to UART Bridge Controller"),
            (0x10c4, 0xea70, "CP2105 Dual USB to UART Bridge Controller"),
            (0x067b, 0x2303, "USB-Serial Controller"),
            (0x1a86, 0x7523, "USB Serial"),
        ] {
            assert_eq!(kind(vendor, product, "", name, 0), None, "{name}");
        }
    }

    #[test]
    fn the_rules_for_udev_name_every_identity() {
        let rules = include_str!("../config/99-signalcore.rules");
        for wanted in KINDS.iter().filter_map(|kind| kind.usb.as_ref()) {
            let UsbMatch { vendor, product, manufacturer, name, .. } = wanted;
            let says = match name {
                _ if !manufacturer.is_empty() => format!(", ATTRS{{manufacturer}}==\"{manufacturer}\""),
                Name::Has([part, ..]) => format!(", ATTRS{{product}}==\"*{part}*\""),
                Name::Has([]) | Name::Is(_) => String::new(),
            };
            let rule = format!(
                "ATTRS{{idVendor}}==\"{vendor:04x}\", ATTRS{{idProduct}}==\"{product:04x}\"{says}, GROUP=\"dialout\""
            );
            assert!(rules.contains(&rule), "{rule}");
        }
    }
}
