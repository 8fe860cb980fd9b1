//! The five chips: what they are made of, and which bits of a nonce say what.
//!
//! Sources: ESP-Miner `main/device_config.h` and `components/asic/bm*.c`, bm13xx-rs `bm13xx-protocol/src/response.rs`,
//! mujina `asic/bm13xx/REFERENCE.md`, cgminer `driver-gekko.h`; recorded nonces where said.

use super::answer::AnswerSize;
use super::pll::{Frequency, Pll, PllForm};

/// The highest frequency of chips that nothing here keeps cool, in megahertz: well above what any board is sold with. Ours.
pub const MOST_MEGAHERTZ: f64 = 650.0;

/// A chip.
#[derive(Debug, PartialEq)]
pub struct Chip {
    /// As printed on it.
    pub name: &'static str,
    /// Upper half of its id register.
    pub id: u16,
    /// Cores, which the highest bits of a nonce name.
    pub cores: u32,
    /// Small cores of a core as versions are dealt out to them: a power of two.
    pub sub_cores: u32,
    /// Small cores that work. Hashes a second are these times the frequency.
    pub small_cores: u32,
    /// Its bits.
    pub layout: Layout,
    /// Its clock generator.
    pub pll: Pll,
    /// Taken off the sweep length. Source: ESP-Miner pull request 420; mujina takes 200 off.
    pub sweep_margin: u32,
}

/// Bits of jobs and nonces that differ by chip.
#[derive(Debug, PartialEq, Eq)]
pub struct Layout {
    /// Form of its jobs.
    pub form: JobForm,
    /// Where the number of a job begins in its job byte.
    pub job_shift: u32,
    /// From one job number to the next. With 3 of 16 a late answer is not taken for one of the next job.
    pub job_step: u8,
    /// Low bits of a nonce's tag that name the sub-core or midstate; the job number follows them.
    pub sub_core_bits: u32,
    /// Where the core begins in the nonce, read with its first byte highest.
    pub core_shift: u32,
    /// Where the eight address bits begin in it.
    pub address_shift: u32,
    /// Address bits of these that no counter runs through.
    pub address_mask: u8,
}

/// What a job holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobForm {
    /// A header; the chip rolls its version.
    Header,
    /// One or four midstates.
    Midstates,
}

/// Job numbers in use: the lowest four bits, so that on a BM1368 or BM1370 it does not matter which reading of the fifth
/// is right (mujina: half a bit of difficulty, bm13xx-rs: the job number).
pub const HEADER_JOB_NUMBERS: u8 = 16;
/// A BM1397 has five bits for them. Source: ESP-Miner `bm1397.c`.
pub const MIDSTATE_JOB_NUMBERS: u8 = 32;
/// Bits of a job number in a nonce's tag.
const JOB_NUMBER_MASK: u16 = 0x1f;

/// BM1397.
pub static BM1397: Chip = Chip {
    name: "BM1397",
    id: 0x1397,
    cores: 168,
    sub_cores: 4,
    small_cores: 672,
    // The eight core bits are bm13xx-rs' reading: they fit 168 cores and recorded nonces; ESP-Miner takes seven.
    layout: Layout {
        form: JobForm::Midstates,
        job_shift: 2,
        job_step: 1,
        sub_core_bits: 2,
        core_shift: 24,
        address_shift: 16,
        address_mask: 0xff,
    },
    pll: Pll {
        feedback: 60..=200,
        vco_mhz: 0.0..=f64::INFINITY,
        form: PllForm::Plain,
        writes_divider: true,
        repeats: 2,
    },
    sweep_margin: 0,
};

/// BM1362. It has 520 small cores, of which 6 are dead.
pub static BM1362: Chip = Chip {
    name: "BM1362",
    id: 0x1362,
    cores: 65,
    sub_cores: 8,
    small_cores: 514,
    layout: Layout { job_step: 1, sub_core_bits: 3, address_mask: 0xfe, ..HEADER_LAYOUT },
    pll: Pll { feedback: 0xa0..=0xef, vco_mhz: 2000.0..=3200.0, writes_divider: true, ..HEADER_PLL },
    sweep_margin: 0,
};

/// BM1366. Its core and address bits are proved by recorded nonces.
pub static BM1366: Chip = Chip {
    name: "BM1366",
    id: 0x1366,
    cores: 112,
    sub_cores: 8,
    small_cores: 894,
    layout: Layout { job_step: 1, sub_core_bits: 3, address_mask: 0xfe, ..HEADER_LAYOUT },
    pll: Pll { feedback: 144..=235, ..HEADER_PLL },
    sweep_margin: 0,
};

/// BM1368. Its address bits are ESP-Miner's formula, not proved by a record.
pub static BM1368: Chip = Chip {
    name: "BM1368",
    id: 0x1368,
    cores: 80,
    sub_cores: 16,
    small_cores: 1276,
    layout: HEADER_LAYOUT,
    pll: Pll { feedback: 144..=235, ..HEADER_PLL },
    sweep_margin: 0,
};

/// BM1370. Its address bits are ESP-Miner's formula, which holds as long as register 0x0C is left alone.
pub static BM1370: Chip = Chip {
    name: "BM1370",
    id: 0x1370,
    cores: 128,
    sub_cores: 16,
    small_cores: 2040,
    layout: HEADER_LAYOUT,
    pll: Pll { feedback: 160..=239, vco_mhz: 1600.0..=3200.0, ..HEADER_PLL },
    sweep_margin: 268,
};

/// All of them.
pub static CHIPS: [&Chip; 5] = [&BM1397, &BM1362, &BM1366, &BM1368, &BM1370];

const HEADER_LAYOUT: Layout = Layout {
    form: JobForm::Header,
    job_shift: 3,
    job_step: 3,
    sub_core_bits: 4,
    core_shift: 25,
    address_shift: 17,
    address_mask: 0xff,
};

const HEADER_PLL: Pll = Pll {
    feedback: 0..=0,
    // Sources name no limit for the BM1366 and BM1368; beyond this one no chip of the family is driven.
    vco_mhz: 0.0..=3200.0,
    form: PllForm::LessOne,
    writes_divider: false,
    repeats: 1,
};

impl Chip {
    /// The chip with this id.
    pub fn with_id(id: u16) -> Option<&'static Self> {
        CHIPS.into_iter().find(|chip| chip.id == id)
    }

    /// Expected hashes a second of a chain.
    pub fn hash_rate(&self, chips: usize, frequency: Frequency) -> f64 {
        f64::from(self.small_cores) * frequency.hz() * chips as f64
    }

    /// Size of its answers while it hashes.
    pub fn answer_size(&self) -> AnswerSize {
        match self.layout.form {
            JobForm::Header => AnswerSize::Eleven,
            JobForm::Midstates => AnswerSize::Nine,
        }
    }

    /// Job numbers in use: from 0 to one less.
    pub fn job_numbers(&self) -> u8 {
        match self.layout.form {
            JobForm::Header => HEADER_JOB_NUMBERS,
            JobForm::Midstates => MIDSTATE_JOB_NUMBERS,
        }
    }

    /// The number for the job after this one.
    pub fn next_job_number(&self, number: u8) -> u8 {
        (number + self.layout.job_step) % self.job_numbers()
    }

    /// The byte that tells a chip the number of a job.
    pub fn job_byte(&self, number: u8) -> u8 {
        number << self.layout.job_shift
    }

    /// Reads the bits that say where a nonce comes from. Shape: the nonce in header order, and the two bytes behind it.
    pub fn origin(&self, nonce: [u8; 4], tag: u16) -> Origin {
        let layout = &self.layout;
        let number = u32::from_be_bytes(nonce);
        Origin {
            core: number >> layout.core_shift,
            address: (number >> layout.address_shift) as u8 & layout.address_mask,
            sub_core: (tag & ((1 << layout.sub_core_bits) - 1)) as u8,
            job_number: (tag >> layout.sub_core_bits & JOB_NUMBER_MASK) as u8,
            excess_zero_bits: tag >> (layout.sub_core_bits + JOB_NUMBER_MASK.count_ones()),
        }
    }

    /// The tag of a nonce that has such an origin.
    pub fn tag(&self, sub_core: u8, job_number: u8, excess_zero_bits: u16) -> u16 {
        let bits = self.layout.sub_core_bits;
        let excess = excess_zero_bits << (bits + JOB_NUMBER_MASK.count_ones());
        excess | (u16::from(job_number) & JOB_NUMBER_MASK) << bits | u16::from(sub_core) & ((1 << bits) - 1)
    }
}

/// Where a nonce says that it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Core of the chip.
    pub core: u32,
    /// Address of the chip, or as much above it as its counter has run.
    pub address: u8,
    /// Sub-core, or midstate on a BM1397.
    pub sub_core: u8,
    /// Number of the job.
    pub job_number: u8,
    /// Zero bits of the hash beyond those that the ticket asks for.
    pub excess_zero_bits: u16,
}

/// Most chips of a chain: as many as there are addresses that nonces tell apart. 256 where all eight bits of the address
/// stand in a nonce; 128 on a BM1362 and BM1366, whose nonces have the upper seven: two chips that differ in the lowest bit
/// alone would try the same nonces.
pub fn most_chips(chip: &Chip) -> usize {
    1 << chip.layout.address_mask.count_ones()
}

/// Distance between the addresses of a chain. Even up to 128 chips, on all chips alike: there ESP-Miner's 256 ÷ chips is odd
/// for 12 chips, say, which on a BM1366 lets two chips share an address as far as nonces tell. Beyond that it is 1, which no
/// board on the market needs: the longest known chain has 126 chips.
///
/// Errors: no chip, or more than [`most_chips`].
pub fn address_interval(chip: &Chip, chips: usize) -> Result<u16, ChainLength> {
    let most = most_chips(chip);
    match chips {
        1..=128 => Ok((256 / chips as u16) & !1),
        129.. if chips <= most => Ok(1),
        _ => Err(ChainLength { chips, chip: chip.name, most }),
    }
}

/// A number of chips that cannot be addressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{chips} chips, a chain of {chip} has 1 to {most}, so many as its nonces tell apart")]
pub struct ChainLength {
    /// What was asked for.
    pub chips: usize,
    /// Of which kind.
    pub chip: &'static str,
    /// What can be had.
    pub most: usize,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn job_bytes_follow_each_other_as_in_esp_miner() {
        let sequence = |chip: &Chip| {
            let mut number = 0;
            let mut bytes = Vec::new();
            for _ in 0..chip.job_numbers() {
                number = chip.next_job_number(number);
                bytes.push(chip.job_byte(number));
            }
            bytes
        };
        let by_24 =
            [0x18, 0x30, 0x48, 0x60, 0x78, 0x10, 0x28, 0x40, 0x58, 0x70, 0x08, 0x20, 0x38, 0x50, 0x68, 0x00];
        assert_eq!(sequence(&BM1370), by_24);
        assert_eq!(sequence(&BM1368), by_24);
        assert_eq!(sequence(&BM1366), (1..=16).map(|n| n * 8 % 128).collect::<Vec<u8>>());
        assert_eq!(sequence(&BM1397), (1..=32).map(|n| (n * 4 % 128) as u8).collect::<Vec<u8>>());
    }

    #[test]
    fn hash_rates_are_those_that_the_boards_are_sold_with() {
        for (chip, chips, mhz, ghs) in [
            (&BM1397, 1, 425.0, 285.6),
            (&BM1366, 1, 485.0, 433.6),
            (&BM1368, 1, 490.0, 625.2),
            (&BM1370, 1, 525.0, 1071.0),
            (&BM1370, 4, 600.0, 4896.0),
        ] {
            let rate = chip.hash_rate(chips, Frequency::from_mhz(mhz)) / 1e9;
            assert!((rate - ghs).abs() < 0.05, "{} x {chips}: {rate} GH/s", chip.name);
        }
    }

    #[test]
    fn addresses_of_a_chain_all_fit_and_are_told_apart_by_nonces() {
        for chip in CHIPS {
            let most = most_chips(chip);
            for chips in 1..=most {
                let interval = usize::from(address_interval(chip, chips).unwrap());
                let seen = |index: usize| (index * interval) as u8 & chip.layout.address_mask;
                let distinct: std::collections::BTreeSet<_> = (0..chips).map(seen).collect();
                assert!(interval > 0 && (chips - 1) * interval < 256, "{chips} chips");
                assert_eq!(distinct.len(), chips, "{}", chip.name);
            }
            assert_eq!(address_interval(chip, 4), Ok(0x40));
            assert_eq!(address_interval(chip, 12), Ok(20));
            for chips in [0, most + 1, usize::MAX] {
                assert_eq!(address_interval(chip, chips), Err(ChainLength { chips, chip: chip.name, most }));
            }
        }
        assert_eq!(CHIPS.map(most_chips), [256, 128, 128, 256, 256]);
    }

    #[test]
    fn a_chip_is_found_by_its_id() {
        assert!(CHIPS.iter().all(|chip| Chip::with_id(chip.id) == Some(*chip)));
        assert_eq!(Chip::with_id(0x1387), None);
    }

    proptest! {
        #[test]
        fn a_tag_says_what_was_put_into_it(sub_core in 0u8..4, number in 0u8..32, excess in 0u16..128, nonce: [u8; 4]) {
            for chip in CHIPS {
                let origin = chip.origin(nonce, chip.tag(sub_core, number, excess));
                prop_assert_eq!((origin.sub_core, origin.job_number, origin.excess_zero_bits), (sub_core, number, excess));
            }
        }

        #[test]
        fn no_nonce_upsets_the_reading_of_its_origin(nonce: [u8; 4], tag: u16) {
            for chip in CHIPS {
                let origin = chip.origin(nonce, tag);
                prop_assert!(origin.core < 256 && origin.job_number < 32 && u32::from(origin.sub_core) < chip.sub_cores);
            }
        }
    }
}
