//! The chips as their data sheets would have them, if there were any: sizes, ids and what registers hold after reset.
//! Sources: ESP-Miner `device_config.h` and `components/asic`, mujina's `REFERENCE.md`, skot/BM1397 `registers.md`,
//! GPTechinno/bm13xx-rs `lib.rs`.

/// What a job looks like to a chip, and all that goes with that generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// BM1397: up to four midstates; answers of 9 bytes; 8 core bits in a nonce; the speed is in register 0x18.
    Midstates,
    /// BM1362 and newer: the header itself, whose version the chip rolls; 7 core bits; the speed is in register 0x28.
    Header,
}

/// One kind of chip.
#[derive(Debug, PartialEq)]
pub(super) struct ChipKind {
    /// As boards and `--board` name it.
    pub(super) name: &'static str,
    /// The upper half of register 0x00.
    pub(super) id: u16,
    /// Bits 15 to 8 of register 0x00.
    pub(super) core_number: u8,
    /// Cores that answer; a nonce names one of them in its highest bits.
    pub(super) cores: u32,
    /// Small cores of a core: as many versions are swept at once.
    pub(super) small_cores: u32,
    /// Small cores that work in the whole chip: hashes per clock.
    pub(super) hashes_per_clock: f64,
    /// The generation.
    pub(super) form: Form,
    /// Registers that are not zero after reset.
    pub(super) resets: &'static [(u8, u32)],
}

impl ChipKind {
    /// Bits of an answer below the job number: the small core.
    pub(super) fn small_core_bits(&self) -> u32 {
        self.small_cores.trailing_zeros()
    }

    /// Where the core bits of a nonce begin, read as a big-endian number; below them the chips share what is left.
    pub(super) fn core_shift(&self) -> u32 {
        match self.form {
            Form::Midstates => 24,
            Form::Header => 25,
        }
    }

    /// Where the counter starts that a chip of this address sweeps. BM1362 and BM1366 ignore bit 0 of the address:
    /// their nonces carry bits 7 to 1 only, and that an odd address then meets its neighbour is theirs.
    pub(super) fn counter_start(&self, address: u8) -> u32 {
        match (self.form, self.small_cores) {
            (Form::Midstates, _) => u32::from(address) << 16,
            (Form::Header, 8) => u32::from(address & 0xfe) << 17,
            (Form::Header, _) => u32::from(address) << 17,
        }
    }

    /// Hertz of the hash clock that register 0x08 stands for: `flags fb ref post`. `None` while the PLL cannot lock:
    /// a divider of zero, or on BM1366 and newer an oscillator outside 1.6 to 3.2 GHz.
    pub(super) fn clock(&self, pll0: u32) -> Option<f64> {
        let [flags, feedback, reference, post] = pll0.to_be_bytes().map(f64::from);
        let offset = if self.form == Form::Midstates { 0.0 } else { 1.0 };
        let post = ((post / 16.0).floor() + offset) * (post % 16.0 + offset);
        let oscillator = 25e6 * feedback / reference;
        let locks = !matches!(self.id, 0x1366 | 0x1368 | 0x1370) || (1.6e9..=3.2e9).contains(&oscillator);
        let enabled = flags as u8 & 0x40 != 0;
        (enabled && reference > 0.0 && post > 0.0 && feedback > 0.0 && locks).then_some(oscillator / post)
    }
}

/// A PLL0 of 50 MHz, as a BM1366 has it after reset; the others are taken to be alike.
const PLL0: (u8, u32) = (0x08, 0xc054_0165);
const HEADER_RESETS: &[(u8, u32)] = &[
    PLL0,
    (0x18, 0x0000_c100),
    (0x28, 0x0130_1a00),
    (0x2c, 0x000f_0000),
    (0x54, 0x0000_0003),
    (0x58, 0x0001_2111),
    (0xa4, 0x0000_ffff),
    (0xa8, 0x0007_0000),
];
const BM1362_RESETS: &[(u8, u32)] = &[
    PLL0,
    (0x18, 0x0000_c100),
    (0x28, 0x0130_1a00),
    (0x2c, 0x000f_0000),
    (0x54, 0x0000_0003),
    (0x58, 0x0001_2111),
    (0xa4, 0x0000_ffff),
];
// 50 MHz in this chip's own form: 25 x 60 / (2 x 5 x 3).
const BM1397_RESETS: &[(u8, u32)] = &[
    (0x08, 0xc03c_0253),
    (0x18, 0x0000_3a01),
    (0x28, 0x0600_000f),
    (0x58, 0x0001_2111),
    (0x68, 0x0070_0111),
];

/// All kinds, oldest first.
pub(super) static CHIP_KINDS: [ChipKind; 5] = [
    ChipKind {
        name: "bm1397",
        id: 0x1397,
        core_number: 0x18,
        cores: 168,
        small_cores: 4,
        hashes_per_clock: 672.0,
        form: Form::Midstates,
        resets: BM1397_RESETS,
    },
    ChipKind {
        name: "bm1362",
        id: 0x1362,
        core_number: 0x03,
        cores: 65,
        small_cores: 8,
        hashes_per_clock: 514.0,
        form: Form::Header,
        resets: BM1362_RESETS,
    },
    ChipKind {
        name: "bm1366",
        id: 0x1366,
        core_number: 0,
        cores: 112,
        small_cores: 8,
        hashes_per_clock: 894.0,
        form: Form::Header,
        resets: HEADER_RESETS,
    },
    ChipKind {
        name: "bm1368",
        id: 0x1368,
        core_number: 0,
        cores: 80,
        small_cores: 16,
        hashes_per_clock: 1276.0,
        form: Form::Header,
        resets: HEADER_RESETS,
    },
    ChipKind {
        name: "bm1370",
        id: 0x1370,
        core_number: 0,
        cores: 128,
        small_cores: 16,
        hashes_per_clock: 2040.0,
        form: Form::Header,
        resets: HEADER_RESETS,
    },
];
pub(super) static BM1397: &ChipKind = &CHIP_KINDS[0];
pub(super) static BM1362: &ChipKind = &CHIP_KINDS[1];
pub(super) static BM1366: &ChipKind = &CHIP_KINDS[2];
pub(super) static BM1368: &ChipKind = &CHIP_KINDS[3];
pub(super) static BM1370: &ChipKind = &CHIP_KINDS[4];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_those_of_the_published_dividers() {
        let megahertz = |kind: &ChipKind, pll0| kind.clock(pll0).map(|hertz| (hertz / 1e4).round() / 100.0);
        assert_eq!(megahertz(BM1366, 0x40a8_0265), Some(50.0));
        assert_eq!(megahertz(BM1370, 0x50d2_0240), Some(525.0));
        assert_eq!(megahertz(BM1397, 0x4044_0221), Some(425.0));
        assert_eq!(megahertz(BM1397, 0x40f0_0235), Some(200.0));
        assert_eq!(megahertz(BM1370, 0x4010_0240), None, "an oscillator of 200 MHz");
        for kind in &CHIP_KINDS {
            assert_eq!(megahertz(kind, kind.resets[0].1), Some(50.0), "{} after reset", kind.name);
            assert_eq!(kind.clock(0x40a8_0000), None, "{}: a divider of zero", kind.name);
        }
    }
}
