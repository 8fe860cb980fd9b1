//! The lists: one for each kind of chip or board, as public drivers have them.

use super::super::chip::{BM1362, BM1366, BM1368, BM1370, BM1397};
use super::super::register::{ROLLABLE, Register, core_write, version_rolling};
use super::{BringUp, GAP, LineSpeed, Step};

const ROLL: u32 = version_rolling(ROLLABLE);
/// As cgminer's `driver-gekko.c` has it for the Compac A2.
const GEKKO_ROLL: u32 = 0x8000_ffff;
const GEKKO_ROLLING: Step = Step::Write(Register::VERSION_ROLLING, GEKKO_ROLL, GAP);
const ROLLING: Step = Step::Write(Register::VERSION_ROLLING, ROLL, GAP);
const CORE_ENABLE: (Register, u32) = core(0x02, 0xaa);

const fn write(register: Register, value: u32) -> Step {
    Step::Write(register, value, GAP)
}

const fn core(core_register: u8, value: u8) -> (Register, u32) {
    (Register::CORE_CONTROL, core_write(core_register, value))
}

const fn write_core(core_register: u8, value: u8, wait: u64) -> Step {
    Step::Write(Register::CORE_CONTROL, core_write(core_register, value), wait)
}

/// Source of both speeds: ESP-Miner `bm1370.c` (1 Mbaud), Bitmain's firmware as mujina captured it (3.125 Mbaud).
const FAST_UART: &[LineSpeed] = &[
    LineSpeed { baud: 1_000_000, register: Register::FAST_UART, value: 0x1130_0200 },
    LineSpeed { baud: 3_125_000, register: Register::FAST_UART, value: 0x1130_0000 },
];

const BM1370_EACH: Step = Step::EachChip(
    &[
        (Register::SOFT_RESET, 0x0007_01f0),
        (Register::MISC_CONTROL, 0xf000_c100),
        core(0x0b, 0x00),
        core(0x00, 0x0c),
        CORE_ENABLE,
    ],
    GAP,
);

/// Source: ESP-Miner `bm1370.c`, mujina `asic/bm13xx/thread.rs`.
pub static BM1370_LIST: BringUp = BringUp {
    name: "bm1370",
    chip: &BM1370,
    steps: &[
        ROLLING,
        ROLLING,
        ROLLING,
        Step::Count,
        ROLLING,
        write(Register::SOFT_RESET, 0x0007_0000),
        write(Register::MISC_CONTROL, 0xf000_c100),
        Step::Inactive(GAP),
        Step::Addresses,
        write_core(0x0b, 0x00, GAP),
        write_core(0x00, 0x0c, GAP),
        Step::TicketMask(GAP),
        write(Register::IO_DRIVER_STRENGTH, 0x0001_1111),
        BM1370_EACH,
        write(Register::VOLTAGE_ADC, 0x0000_4480),
        write(Register::ANALOG_MUX, 2),
        write(Register::VOLTAGE_ADC, 0x0000_4480),
        write_core(0x0d, 0xee, GAP),
        Step::Ramp,
        Step::SweepLength,
        Step::Write(Register::VERSION_ROLLING, ROLL, 150),
    ],
    speeds: FAST_UART,
};

/// For GekkoScience's Compac A2, which stays at the speed it starts with: the list of the BM1370 with the clock delay, the
/// value of core register 13 and the way to roll versions that cgminer's `driver-gekko.c` has. Not tried on a Compac A2.
pub static GEKKO_BM1370_LIST: BringUp = BringUp {
    name: "gekko-bm1370",
    chip: &BM1370,
    steps: &[
        GEKKO_ROLLING,
        GEKKO_ROLLING,
        GEKKO_ROLLING,
        Step::Count,
        GEKKO_ROLLING,
        write(Register::SOFT_RESET, 0x0007_0000),
        write(Register::MISC_CONTROL, 0xf000_c100),
        Step::Inactive(100),
        Step::Addresses,
        write_core(0x0b, 0x00, GAP),
        write_core(0x00, 0x0e, 100),
        Step::TicketMask(GAP),
        Step::Write(Register::IO_DRIVER_STRENGTH, 0x0001_1111, 100),
        Step::EachChip(
            &[
                (Register::SOFT_RESET, 0x0007_01f0),
                (Register::MISC_CONTROL, 0xf000_c100),
                core(0x0b, 0x00),
                core(0x00, 0x0e),
                CORE_ENABLE,
            ],
            GAP,
        ),
        write(Register::VOLTAGE_ADC, 0x0000_4480),
        write(Register::ANALOG_MUX, 2),
        write(Register::VOLTAGE_ADC, 0x0000_4480),
        write_core(0x0d, 0x04, GAP),
        Step::Ramp,
        Step::SweepLength,
        Step::Write(Register::VERSION_ROLLING, GEKKO_ROLL, 150),
    ],
    speeds: &[],
};

/// For a hash board of Bitmain's S21 Pro: 65 chips in 13 domains of five. Source: Bitmain's firmware as mujina captured it
/// (`REFERENCE.md`). It sets the speed of the line before the chips one by one, we at the end as on other boards, and it
/// gives each chip its own offset of nonces, where ours share the range by their addresses. Not tried on such a board.
pub static S21_PRO_LIST: BringUp = BringUp {
    name: "s21-pro",
    chip: &BM1370,
    steps: &[
        ROLLING,
        ROLLING,
        ROLLING,
        Step::Count,
        ROLLING,
        write(Register::SOFT_RESET, 0x0007_0000),
        write(Register::MISC_CONTROL, 0xf000_c100),
        Step::Inactive(GAP),
        Step::Addresses,
        write_core(0x0b, 0x00, GAP),
        write_core(0x00, 0x0c, GAP),
        Step::TicketMask(GAP),
        write(Register::IO_DRIVER_STRENGTH, 0x0001_1111),
        Step::Domains(5),
        BM1370_EACH,
        write(Register::VOLTAGE_ADC, 0x0000_4480),
        write(Register::ANALOG_MUX, 2),
        write(Register::VOLTAGE_ADC, 0x0000_4480),
        write_core(0x0d, 0xee, GAP),
        Step::Ramp,
        Step::SweepLength,
        Step::Write(Register::VERSION_ROLLING, ROLL, 150),
    ],
    speeds: FAST_UART,
};

/// Source: ESP-Miner `bm1366.c`.
pub static BM1366_LIST: BringUp = BringUp {
    name: "bm1366",
    chip: &BM1366,
    steps: &[
        ROLLING,
        ROLLING,
        ROLLING,
        Step::Count,
        write(Register::SOFT_RESET, 0x0007_0000),
        write(Register::MISC_CONTROL, 0xff0f_c100),
        Step::Inactive(GAP),
        Step::Addresses,
        write_core(0x05, 0x40, GAP),
        write_core(0x00, 0x20, GAP),
        Step::TicketMask(GAP),
        write(Register::ANALOG_MUX, 3),
        write(Register::IO_DRIVER_STRENGTH, 0x0211_1111),
        Step::WriteFirst(Register::UART_RELAY, 0x007c_0003),
        Step::EachChip(
            &[
                (Register::SOFT_RESET, 0x0007_01f0),
                (Register::MISC_CONTROL, 0xf000_c100),
                core(0x05, 0x40),
                core(0x00, 0x20),
                CORE_ENABLE,
            ],
            GAP,
        ),
        Step::Ramp,
        Step::SweepLength,
        ROLLING,
    ],
    speeds: FAST_UART,
};

/// Source: ESP-Miner `bm1368.c`, which waits half a second after each chip.
pub static BM1368_LIST: BringUp = BringUp {
    name: "bm1368",
    chip: &BM1368,
    steps: &[
        ROLLING,
        ROLLING,
        ROLLING,
        ROLLING,
        Step::Count,
        Step::Inactive(GAP),
        write(Register::SOFT_RESET, 0x0007_0000),
        write(Register::MISC_CONTROL, 0xff0f_c100),
        write_core(0x0b, 0x00, GAP),
        write_core(0x00, 0x18, GAP),
        Step::TicketMask(GAP),
        write(Register::ANALOG_MUX, 3),
        write(Register::IO_DRIVER_STRENGTH, 0x0211_1111),
        Step::Addresses,
        Step::EachChip(
            &[
                (Register::SOFT_RESET, 0x0007_01f0),
                (Register::MISC_CONTROL, 0xf000_c100),
                core(0x0b, 0x00),
                core(0x00, 0x18),
                CORE_ENABLE,
            ],
            500,
        ),
        Step::TicketMask(GAP),
        Step::Ramp,
        Step::SweepLength,
        ROLLING,
    ],
    speeds: FAST_UART,
};

const BM1362_EACH: &[(Register, u32)] = &[
    (Register::SOFT_RESET, 2),
    (Register::MISC_CONTROL, 0xb000_c100),
    core(0x05, 0x40),
    core(0x00, 0x08),
    CORE_ENABLE,
];

/// For the emberOne. Source: Bitmain's S19j Pro as mujina captured it (`REFERENCE.md`); not tried on an emberOne, whose
/// own firmware uses the list of the BM1366.
pub static BM1362_LIST: BringUp = BringUp {
    name: "bm1362",
    chip: &BM1362,
    steps: &[
        ROLLING,
        ROLLING,
        ROLLING,
        Step::Count,
        write(Register::SOFT_RESET, 0),
        write(Register::MISC_CONTROL, 0xb000_c100),
        Step::Inactive(GAP),
        Step::Addresses,
        write_core(0x05, 0x40, GAP),
        write_core(0x00, 0x08, GAP),
        Step::TicketMask(GAP),
        write(Register::ANALOG_MUX, 3),
        write(Register::IO_DRIVER_STRENGTH, 0x0001_1111),
        Step::Ramp,
        Step::EachChip(BM1362_EACH, GAP),
        Step::SweepLength,
        ROLLING,
    ],
    speeds: FAST_UART,
};

/// For GekkoScience's Compac A1, which stays at the speed it starts with. Source: cgminer `driver-gekko.c`; it tells the
/// chips once to roll versions, we three times, so that a lost byte does not leave them with answers of nine bytes.
pub static GEKKO_BM1362_LIST: BringUp = BringUp {
    name: "gekko-bm1362",
    chip: &BM1362,
    steps: &[
        ROLLING,
        ROLLING,
        ROLLING,
        Step::Count,
        Step::Inactive(100),
        Step::Addresses,
        write_core(0x05, 0x40, 10),
        write_core(0x00, 0x08, 100),
        Step::TicketMask(GAP),
        Step::Write(Register::ANALOG_MUX, 3, 50),
        Step::Write(Register::IO_DRIVER_STRENGTH, 0x0001_1111, 100),
        Step::EachChip(BM1362_EACH, GAP),
        Step::Ramp,
        Step::SweepLength,
        ROLLING,
    ],
    speeds: &[],
};

/// Source: ESP-Miner `bm1397.c` and a capture of Gekko's Compac F in skot/BM1397 `readme.md`; waits and repetitions are
/// cgminer's (`driver-gekko.c`).
pub static BM1397_LIST: BringUp = BringUp {
    name: "bm1397",
    chip: &BM1397,
    steps: &[
        Step::Count,
        Step::Inactive(100),
        Step::Inactive(100),
        Step::Inactive(100),
        Step::Addresses,
        write(Register::CLOCK_ORDER_0, 0),
        Step::Write(Register::CLOCK_ORDER_1, 0, 100),
        Step::Write(Register::ORDERED_CLOCK_ENABLE, 1, 50),
        write_core(0x00, 0x74, 100),
        Step::TicketMask(GAP),
        Step::Write(Register::PLL3, 0xc070_0111, 50),
        Step::Write(Register::PLL3, 0xc070_0111, 50),
        Step::Write(Register::FAST_UART, 0x0600_000f, 100),
        write(Register::MISC_CONTROL, 0x0000_7a31),
        Step::Ramp,
    ],
    speeds: &[
        LineSpeed { baud: 1_500_000, register: Register::MISC_CONTROL, value: 0x0000_6131 },
        LineSpeed { baud: 3_125_000, register: Register::MISC_CONTROL, value: 0x0000_6031 },
    ],
};

/// All lists.
pub static LISTS: [&BringUp; 8] = [
    &BM1397_LIST,
    &BM1362_LIST,
    &GEKKO_BM1362_LIST,
    &BM1366_LIST,
    &BM1368_LIST,
    &BM1370_LIST,
    &GEKKO_BM1370_LIST,
    &S21_PRO_LIST,
];
