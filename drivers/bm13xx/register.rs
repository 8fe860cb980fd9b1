//! The registers of a chip and the values that we write into them. All are 32 bits, the highest byte first.
//!
//! Sources, where none is named beside a constant: mujina `asic/bm13xx/REFERENCE.md`, GPTechinno bm13xx-rs
//! `bm13xx-asic`, skot/BM1397 `registers.md`.

use std::fmt;

/// Number of a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Register(pub u8);

impl Register {
    /// Bits 31 to 16 the chip's id, 15 to 8 a byte on its cores, 7 to 0 its address.
    pub const CHIP_ID: Self = Self(0x00);
    /// Frequency of the cores, see [`super::pll`].
    pub const PLL0: Self = Self(0x08);
    /// Length of a sweep in ticks of the crystal, see [`super::sweep`].
    pub const HASH_COUNTING_NUMBER: Self = Self(0x10);
    /// Which nonces are worth a report, see [`super::ticket`].
    pub const TICKET_MASK: Self = Self(0x14);
    /// On BM1397 the speed of the line; on later chips which groups of cores may report.
    pub const MISC_CONTROL: Self = Self(0x18);
    /// Clock order, BM1397 only.
    pub const ORDERED_CLOCK_ENABLE: Self = Self(0x20);
    /// Speed of the line from the BM1362 on.
    pub const FAST_UART: Self = Self(0x28);
    /// Who passes what on at the borders of voltage domains.
    pub const UART_RELAY: Self = Self(0x2c);
    /// Way to the registers of the cores, see [`core_write`].
    pub const CORE_CONTROL: Self = Self(0x3c);
    /// What a core register holds; may arrive unasked after a read through [`Self::CORE_CONTROL`].
    pub const CORE_VALUE: Self = Self(0x40);
    /// Temperature diode and other analog inputs.
    pub const ANALOG_MUX: Self = Self(0x54);
    /// Strength of the outputs, a nibble each.
    pub const IO_DRIVER_STRENGTH: Self = Self(0x58);
    /// Clock of the line of a BM1397 above 3.125 Mbaud.
    pub const PLL3: Self = Self(0x68);
    /// Dividers behind the core clock.
    pub const PLL0_DIVIDER: Self = Self(0x70);
    /// Clock order, BM1397 only.
    pub const CLOCK_ORDER_0: Self = Self(0x80);
    /// Clock order, BM1397 only.
    pub const CLOCK_ORDER_1: Self = Self(0x84);
    /// Version rolling, see [`version_rolling`].
    pub const VERSION_ROLLING: Self = Self(0xa4);
    /// Resets of a chip's parts.
    pub const SOFT_RESET: Self = Self(0xa8);
    /// Voltage measurement; the meaning of its value is not public, every BM1370 driver writes the same one.
    pub const VOLTAGE_ADC: Self = Self(0xb9);

    /// The name in capitals, `None` for a register that this driver has no use for.
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::CHIP_ID => "CHIP_ID",
            Self::PLL0 => "PLL0",
            Self::HASH_COUNTING_NUMBER => "HASH_COUNTING_NUMBER",
            Self::TICKET_MASK => "TICKET_MASK",
            Self::MISC_CONTROL => "MISC_CONTROL",
            Self::ORDERED_CLOCK_ENABLE => "ORDERED_CLOCK_ENABLE",
            Self::FAST_UART => "FAST_UART",
            Self::UART_RELAY => "UART_RELAY",
            Self::CORE_CONTROL => "CORE_CONTROL",
            Self::CORE_VALUE => "CORE_VALUE",
            Self::ANALOG_MUX => "ANALOG_MUX",
            Self::IO_DRIVER_STRENGTH => "IO_DRIVER_STRENGTH",
            Self::PLL3 => "PLL3",
            Self::PLL0_DIVIDER => "PLL0_DIVIDER",
            Self::CLOCK_ORDER_0 => "CLOCK_ORDER_0",
            Self::CLOCK_ORDER_1 => "CLOCK_ORDER_1",
            Self::VERSION_ROLLING => "VERSION_ROLLING",
            Self::SOFT_RESET => "SOFT_RESET",
            Self::VOLTAGE_ADC => "VOLTAGE_ADC",
            _ => return None,
        })
    }
}

impl fmt::Display for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({:#04x})", self.0),
            None => write!(f, "{:#04x}", self.0),
        }
    }
}

/// Value for [`Register::CORE_CONTROL`] that writes one register of all cores: bit 31 all cores, bit 15 write, bits 12
/// to 8 the core's register, 7 to 0 its value.
pub const fn core_write(core_register: u8, value: u8) -> u32 {
    0x8000_8000 | (core_register as u32 & 0x1f) << 8 | value as u32
}

/// Bits of a header version that a chip can roll: 28 to 13. Source: BIP 320, ESP-Miner `asic_common.c`.
pub const ROLLABLE: u32 = 0x1fff_e000;
/// Where these bits begin.
pub const ROLLABLE_SHIFT: u32 = 13;

/// Value for [`Register::VERSION_ROLLING`]: rolling on, these version bits. Bits that a chip cannot roll are left out.
///
/// With an empty mask rolling stays on with nothing to roll, as ESP-Miner writes it: so answers keep their eleven
/// bytes. Source: ESP-Miner `bm1370.c` and others, `set_version_mask`.
pub const fn version_rolling(version_mask: u32) -> u32 {
    0x9000_0000 | (version_mask & ROLLABLE) >> ROLLABLE_SHIFT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_that_esp_miner_writes() {
        assert_eq!(core_write(0x0b, 0x00), 0x8000_8b00);
        assert_eq!(core_write(0x00, 0x0c), 0x8000_800c);
        assert_eq!(core_write(0x02, 0xaa), 0x8000_82aa);
        assert_eq!(version_rolling(0x1fff_e000), 0x9000_ffff);
    }

    #[test]
    fn version_bits_that_no_chip_can_roll_are_left_out() {
        assert_eq!(version_rolling(0xffff_ffff), 0x9000_ffff);
        assert_eq!(version_rolling(0x0000_1fff), 0x9000_0000);
        assert_eq!(version_rolling(0x0000_e000), 0x9000_0007);
    }

    #[test]
    fn a_register_shows_its_name_where_it_has_one() {
        assert_eq!(Register::TICKET_MASK.to_string(), "TICKET_MASK (0x14)");
        assert_eq!(Register(0xf0).to_string(), "0xf0");
    }
}
