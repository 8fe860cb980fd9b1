//! What chains want to hear before they hash, written out from the published drivers.

use signalcore_hil::virtual_board::BoardConfig;

use crate::{bench::Bench, frames::command};

/// What one chip wants to hear: `A` in a line stands for each address in turn, `*` for each write of an address.
pub(crate) struct Bringing {
    pub(crate) board: &'static str,
    pub(crate) job_bits: u32,
    pub(crate) small_core_bits: u32,
    pub(crate) cores: u32,
    pub(crate) steps: &'static str,
}

/// ESP-Miner bm1370.c.
pub(crate) const BM1370: Bringing = Bringing {
    board: "bm1370",
    job_bits: 3,
    small_core_bits: 4,
    cores: 128,
    steps: "51 09 00 A4 90 00 FF FF
            51 09 00 A4 90 00 FF FF
            51 09 00 A4 90 00 FF FF
            52 05 00 00
            51 09 00 A4 90 00 FF FF
            51 09 00 A8 00 07 00 00
            51 09 00 18 F0 00 C1 00
            53 05 00 00
            40 05 A 00
            51 09 00 3C 80 00 8B 00
            51 09 00 3C 80 00 80 0C
            51 09 00 14 00 00 00 FF
            51 09 00 58 00 01 11 11
            41 09 A A8 00 07 01 F0
            41 09 A 18 F0 00 C1 00
            41 09 A 3C 80 00 8B 00
            41 09 A 3C 80 00 80 0C
            41 09 A 3C 80 00 82 AA
            51 09 00 B9 00 00 44 80
            51 09 00 54 00 00 00 02
            51 09 00 B9 00 00 44 80
            51 09 00 3C 80 00 8D EE
            51 09 00 08 40 A8 02 65
            51 09 00 08 40 A8 02 30
            51 09 00 10 00 00 1E B5",
};
/// ESP-Miner bm1366.c.
pub(crate) const BM1366: Bringing = Bringing {
    board: "bm1366",
    job_bits: 3,
    small_core_bits: 3,
    cores: 112,
    steps: "51 09 00 A4 90 00 FF FF
            51 09 00 A4 90 00 FF FF
            51 09 00 A4 90 00 FF FF
            52 05 00 00
            51 09 00 A8 00 07 00 00
            51 09 00 18 FF 0F C1 00
            53 05 00 00
            40 05 A 00
            51 09 00 3C 80 00 85 40
            51 09 00 3C 80 00 80 20
            51 09 00 14 00 00 00 FF
            51 09 00 54 00 00 00 03
            51 09 00 58 02 11 11 11
            41 09 00 2C 00 7C 00 03
            41 09 A A8 00 07 01 F0
            41 09 A 18 F0 00 C1 00
            41 09 A 3C 80 00 85 40
            41 09 A 3C 80 00 80 20
            41 09 A 3C 80 00 82 AA
            51 09 00 08 50 C2 02 40
            51 09 00 10 00 00 15 1C
            51 09 00 A4 90 00 FF FF",
};
/// ESP-Miner bm1368.c.
pub(crate) const BM1368: Bringing = Bringing {
    board: "bm1368",
    job_bits: 3,
    small_core_bits: 4,
    cores: 80,
    steps: "51 09 00 A4 90 00 FF FF
            51 09 00 A4 90 00 FF FF
            51 09 00 A4 90 00 FF FF
            51 09 00 A4 90 00 FF FF
            52 05 00 00
            53 05 00 00
            51 09 00 A8 00 07 00 00
            51 09 00 18 FF 0F C1 00
            51 09 00 3C 80 00 8B 00
            51 09 00 3C 80 00 80 18
            51 09 00 14 00 00 00 FF
            51 09 00 54 00 00 00 03
            51 09 00 58 02 11 11 11
            40 05 A 00
            41 09 A A8 00 07 01 F0
            41 09 A 18 F0 00 C1 00
            41 09 A 3C 80 00 8B 00
            41 09 A 3C 80 00 80 18
            41 09 A 3C 80 00 82 AA
            51 09 00 14 00 00 00 FF
            51 09 00 08 50 C4 02 40
            51 09 00 10 00 00 15 A4
            51 09 00 A4 90 00 FF FF",
};
/// cgminer driver-gekko.c, Compac A1; the chain of an S19j Pro differs in waits and in its ramp.
pub(crate) const BM1362: Bringing = Bringing {
    board: "bm1362",
    job_bits: 3,
    small_core_bits: 3,
    cores: 65,
    steps: "51 09 00 A4 90 00 FF FF
            52 05 00 00
            53 05 00 00
            40 05 A 00
            51 09 00 3C 80 00 85 40
            51 09 00 3C 80 00 80 08
            51 09 00 14 00 00 00 FF
            51 09 00 54 00 00 00 03
            51 09 00 58 00 01 11 11
            41 09 A A8 00 00 00 02
            41 09 A 18 B0 00 C1 00
            41 09 A 3C 80 00 85 40
            41 09 A 3C 80 00 80 08
            41 09 A 3C 80 00 82 AA
            51 09 00 70 0F 0F 0F 00
            51 09 00 08 40 A8 02 30
            51 09 00 10 00 00 12 C9
            51 09 00 A4 90 00 FF FF",
};
pub(crate) const HEADER_CHIPS: [Bringing; 4] = [BM1370, BM1366, BM1368, BM1362];
/// ESP-Miner bm1397.c, with the waits of cgminer left out.
pub(crate) const BM1397: &str = "52 05 00 00
    53 05 00 00
    40 05 A 00
    51 09 00 80 00 00 00 00
    51 09 00 84 00 00 00 00
    51 09 00 20 00 00 00 01
    51 09 00 3C 80 00 80 74
    51 09 00 14 00 00 00 00
    51 09 00 68 C0 70 01 11
    51 09 00 28 06 00 00 0F
    51 09 00 18 00 00 7A 31
    51 09 00 70 0F 0F 0F 00
    51 09 00 70 0F 0F 0F 00
    51 09 00 08 40 44 02 21
    51 09 00 08 40 44 02 21";

/// An even interval, since a nonce carries address bits 7 to 1 only.
pub(crate) fn addresses(chips: usize) -> Vec<u8> {
    (0..chips).map(|at| (at * (256 / chips / 2 * 2)) as u8).collect()
}

/// The lines of a sequence with `A` replaced: lines that follow each other with an `A` once for each chip.
pub(crate) fn steps(sequence: &str, chips: usize) -> Vec<String> {
    let mut steps = Vec::new();
    for line in sequence.lines().map(str::trim) {
        if line.contains(" A ") {
            let with = |address: &u8| line.replace(" A ", &format!(" {address:02x} "));
            steps.extend(addresses(chips).iter().map(with));
        } else {
            steps.push(line.to_owned());
        }
    }
    steps
}

/// A chain after these steps, without those that `leave_out` names.
pub(crate) fn chain(board: BoardConfig, sequence: &str, leave_out: impl Fn(&str) -> bool) -> Bench {
    let chips = board.chips;
    let mut bench = Bench::new(board);
    for step in steps(sequence, chips).iter().filter(|step| !leave_out(step)) {
        bench.send(&command(step));
    }
    bench
}
