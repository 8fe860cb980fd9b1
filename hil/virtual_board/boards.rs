//! The boards that can be played: one row each.
//!
//! Chips, counts, frequencies and core voltages are those of ESP-Miner `device_config.h` and the NerdQAxe firmware. Joules
//! per terahash are what such chips are known for, and only warm the board. Of Hex and NerdQAxe no source names all parts:
//! the model gives them a TPS546, an EMC2101 and a TMP1075 under bitaxe-raw, so that a driver for several chips can be
//! tried.

use super::{
    control::Firmware,
    gekko::{self, GekkoKind},
    i2c::{Bus, Part},
    icarus::IcarusKind,
    kinds::{BM1362, BM1366, BM1368, BM1370, BM1397, ChipKind},
    regulators::{Ds4432u, Tps546},
    sensors::{Emc2101, Ina260, Tmp451, Tmp1075},
};

/// A board that can be played.
#[derive(Debug, PartialEq)]
pub struct BoardKind {
    /// As `--board` takes it.
    pub name: &'static str,
    /// What it is.
    pub summary: &'static str,
    pub(super) model: Model,
}

#[derive(Debug, PartialEq)]
pub(super) enum Model {
    Chain(ChainModel),
    Icarus(IcarusKind),
    Gekko(GekkoKind),
}

/// A board with a chain of chips.
#[derive(Debug, PartialEq)]
pub(super) struct ChainModel {
    pub(super) chip: &'static ChipKind,
    pub(super) chips: usize,
    /// Of the chips at their nominal frequency and voltage.
    pub(super) joules_per_terahash: f64,
    pub(super) megahertz: f64,
    pub(super) core_volts: f64,
    pub(super) input_volts: f64,
    /// `None` for a stick, which comes up powered and out of reset.
    pub(super) control: Option<ControlModel>,
}

#[derive(Debug, PartialEq)]
pub(super) struct ControlModel {
    pub(super) firmware: Firmware,
    pub(super) parts: &'static [PartKind],
}

impl ControlModel {
    /// Its parts as after power-on.
    pub(super) fn bus(&self) -> Bus {
        Bus::new(self.parts.iter().map(|part| part.build()).collect())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PartKind {
    Emc2101,
    Ina260,
    Ds4432u,
    Tps546,
    Tmp1075(u8),
    Tmp451,
}

impl PartKind {
    /// A part as after power-on, with its address.
    pub(super) fn build(self) -> (u8, Box<dyn Part>) {
        match self {
            Self::Emc2101 => (0x4c, Box::new(Emc2101::new())),
            Self::Ina260 => (0x40, Box::new(Ina260::default())),
            Self::Ds4432u => (0x48, Box::new(Ds4432u::default())),
            Self::Tps546 => (0x24, Box::new(Tps546::new())),
            Self::Tmp1075(address) => (address, Box::new(Tmp1075::default())),
            Self::Tmp451 => (0x49, Box::new(Tmp451::default())),
        }
    }
}

impl BoardKind {
    /// Errors: `None` for a name that is not in the table.
    pub fn named(name: &str) -> Option<&'static Self> {
        BOARDS.iter().find(|board| board.name == name)
    }

    /// Chips of the real board; 1 for a device that shows none.
    pub fn chips(&self) -> usize {
        match &self.model {
            Model::Chain(model) => model.chips,
            Model::Icarus(_) => 1,
            Model::Gekko(kind) => kind.chips,
        }
    }

    /// Whether it has a control port beside its data port.
    pub fn has_control(&self) -> bool {
        matches!(&self.model, Model::Chain(ChainModel { control: Some(_), .. }))
    }
}

const WITH_DAC: &[PartKind] = &[PartKind::Emc2101, PartKind::Ds4432u, PartKind::Ina260];
const WITH_BUCK: &[PartKind] = &[PartKind::Emc2101, PartKind::Tps546];
const WITH_SENSORS: &[PartKind] = &[PartKind::Emc2101, PartKind::Tps546, PartKind::Tmp1075(0x4a)];
const EMBERONE: &[PartKind] = &[PartKind::Tmp1075(0x4a), PartKind::Tmp451];

/// A Bitaxe or what is built like one.
const fn bitaxe(
    (name, summary): (&'static str, &'static str),
    (chip, chips): (&'static ChipKind, usize),
    joules_per_terahash: f64,
    (megahertz, core_volts, input_volts): (f64, f64, f64),
    parts: &'static [PartKind],
) -> BoardKind {
    let control = Some(ControlModel { firmware: Firmware::V0, parts });
    let model = Model::Chain(ChainModel {
        chip,
        chips,
        joules_per_terahash,
        megahertz,
        core_volts,
        input_volts,
        control,
    });
    BoardKind { name, summary, model }
}

/// Chips on a serial line and nothing else.
const fn stick(
    (name, summary): (&'static str, &'static str),
    (chip, chips): (&'static ChipKind, usize),
    joules_per_terahash: f64,
    (megahertz, core_volts): (f64, f64),
) -> BoardKind {
    let model = Model::Chain(ChainModel {
        chip,
        chips,
        joules_per_terahash,
        megahertz,
        core_volts,
        input_volts: 5.0,
        control: None,
    });
    BoardKind { name, summary, model }
}

const fn icarus(name: &'static str, summary: &'static str, kind: IcarusKind) -> BoardKind {
    BoardKind { name, summary, model: Model::Icarus(kind) }
}

const fn old_stick(name: &'static str, summary: &'static str, kind: GekkoKind) -> BoardKind {
    BoardKind { name, summary, model: Model::Gekko(kind) }
}

/// All of them.
pub static BOARDS: &[BoardKind] = &[
    bitaxe(("max", "Bitaxe Max"), (BM1397, 1), 40.0, (425.0, 1.4, 5.0), WITH_DAC),
    bitaxe(("ultra", "Bitaxe Ultra"), (BM1366, 1), 22.0, (485.0, 1.2, 5.0), WITH_DAC),
    bitaxe(("supra", "Bitaxe Supra"), (BM1368, 1), 17.0, (490.0, 1.166, 5.0), WITH_DAC),
    bitaxe(("gamma", "Bitaxe Gamma"), (BM1370, 1), 15.0, (525.0, 1.15, 5.0), WITH_BUCK),
    bitaxe(("hex", "Bitaxe Hex, 3 voltage domains"), (BM1366, 6), 22.0, (485.0, 3.6, 12.0), WITH_SENSORS),
    bitaxe(("nerdqaxe+", "NerdQAxe+"), (BM1368, 4), 17.0, (490.0, 1.25, 12.0), WITH_SENSORS),
    bitaxe(("nerdqaxe++", "NerdQAxe++"), (BM1370, 4), 15.0, (600.0, 1.15, 12.0), WITH_SENSORS),
    BoardKind {
        name: "emberone",
        summary: "emberOne/00",
        model: Model::Chain(ChainModel {
            chip: BM1362,
            chips: 12,
            joules_per_terahash: 28.0,
            megahertz: 525.0,
            core_volts: 1.2,
            input_volts: 12.0,
            control: Some(ControlModel { firmware: Firmware::V1, parts: EMBERONE }),
        }),
    },
    stick(("compac-f", "GekkoScience Compac F"), (BM1397, 1), 40.0, (200.0, 1.4)),
    stick(("r909", "GekkoScience R909"), (BM1397, 6), 40.0, (400.0, 1.4)),
    stick(("compac-a1", "GekkoScience Compac A1"), (BM1362, 1), 28.0, (400.0, 1.2)),
    stick(("compac-a2", "GekkoScience Compac A2"), (BM1370, 1), 15.0, (400.0, 1.15)),
    old_stick("newpac", "GekkoScience NewPac", GekkoKind { chip: &gekko::BM1387, chips: 2 }),
    old_stick("2pac", "GekkoScience 2Pac", GekkoKind { chip: &gekko::BM1384, chips: 2 }),
    old_stick("compac", "GekkoScience Compac", GekkoKind { chip: &gekko::BM1384, chips: 1 }),
    stick(("bm1397", "a chain of BM1397"), (BM1397, 1), 40.0, (425.0, 1.4)),
    stick(("bm1362", "a chain of BM1362"), (BM1362, 1), 28.0, (525.0, 1.2)),
    stick(("bm1366", "a chain of BM1366"), (BM1366, 1), 22.0, (485.0, 1.2)),
    stick(("bm1368", "a chain of BM1368"), (BM1368, 1), 17.0, (490.0, 1.166)),
    stick(("bm1370", "a chain of BM1370"), (BM1370, 1), 15.0, (525.0, 1.15)),
    stick(("s21-pro", "a hash board of an Antminer S21 Pro"), (BM1370, 65), 15.0, (400.0, 1.15)),
    icarus("icarus", "Icarus, two FPGAs", fpgas(2, 2.6316)),
    icarus("cairnsmore", "Cairnsmore1, one of its FPGAs", fpgas(1, 2.7)),
    icarus("lancelot", "Lancelot, two FPGAs", fpgas(2, 2.5)),
    icarus(
        "block-erupter",
        "Block Erupter Sapphire",
        IcarusKind {
            devices: 1,
            hashes_per_second: 1e9 / 2.9761,
            megahertz: None,
            answer_size: 4,
            continues: true,
        },
    ),
    icarus("antminer-u1", "Antminer U1", antminer(200.0, 8e6)),
    icarus("antminer-u2", "Antminer U2", antminer(200.0, 8e6)),
    icarus("antminer-u3", "Antminer U3", antminer(225.0, 1e9 / 3.2)),
    icarus(
        "rockminer",
        "Rockminer",
        IcarusKind {
            devices: 1,
            hashes_per_second: 1e9 / 2.6316,
            megahertz: None,
            answer_size: 8,
            continues: true,
        },
    ),
];

/// Shape: how many share the range, and nanoseconds for a hash of all of them.
const fn fpgas(devices: u32, nanoseconds: f64) -> IcarusKind {
    IcarusKind {
        devices,
        hashes_per_second: 1e9 / nanoseconds,
        megahertz: None,
        answer_size: 4,
        continues: false,
    }
}

const fn antminer(megahertz: f64, hashes_per_megahertz: f64) -> IcarusKind {
    IcarusKind {
        devices: 1,
        hashes_per_second: hashes_per_megahertz,
        megahertz: Some(megahertz),
        answer_size: 5,
        continues: true,
    }
}
