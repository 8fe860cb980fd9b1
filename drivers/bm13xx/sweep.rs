//! How long a job lasts: what [`Register::HASH_COUNTING_NUMBER`](super::register::Register::HASH_COUNTING_NUMBER) must
//! hold so that every nonce is tried once, and when all versions have been.
//!
//! A core gives each of its sub-cores a version, lets them sweep their nonces, and takes the next versions; when all have
//! been tried it begins again with the first and finds exactly the same. No chip says so.

use std::time::Duration;

use super::chip::{Chip, JobForm};
use super::pll::Frequency;

/// Nonces of a header.
const NONCES: f64 = 4_294_967_296.0;
/// Ticks of the crystal that a batch of versions takes beside its sweep. Measured by mujina on a BM1370: 109 to 132.
const BATCH_TICKS: f64 = 132.0;
/// Ticks a second.
const CRYSTAL_HZ: f64 = 25e6;

/// Most versions that a chip tries by itself.
pub const ALL_VERSIONS: u32 = 1 << 16;

/// Sweep length with which the chips of a chain try every nonce once and none twice. Sources disagree on what the number
/// counts (mujina's REFERENCE.md has half); this is ESP-Miner's formula (pull request 420), whose times were measured on
/// a BM1366 to 0.1 % (pull request 167). A smaller one leaves nonces out, which costs nothing.
pub fn counting_number(chip: &Chip, chips: usize, frequency: Frequency) -> u32 {
    let nonces = nonces_of_a_core(chip, chips);
    let ticks = nonces * CRYSTAL_HZ / frequency.hz().max(1.0) * 0.5;
    (ticks as u32).saturating_sub(chip.sweep_margin).max(1)
}

/// Time until every nonce has been tried with this many versions, or midstates, of a job.
pub fn duration(chip: &Chip, chips: usize, frequency: Frequency, versions: u32) -> Duration {
    let batches = f64::from(versions.max(1).div_ceil(chip.sub_cores));
    let seconds = match chip.layout.form {
        JobForm::Header => {
            let ticks = 2.0 * f64::from(counting_number(chip, chips, frequency)) + BATCH_TICKS;
            batches * ticks / CRYSTAL_HZ
        }
        // Its small cores share out the nonces of a midstate. Source: ESP-Miner `asic_common.c`.
        JobForm::Midstates => {
            let per_core = f64::from(versions.max(1)) / f64::from(chip.sub_cores);
            per_core * nonces_of_a_core(chip, chips) / frequency.hz().max(1.0)
        }
    };
    Duration::from_secs_f64(seconds)
}

/// Nonces that a core tries with each version. Cores and chips take theirs by bits of the nonce, so that what is missing
/// to a power of two is never tried.
fn nonces_of_a_core(chip: &Chip, chips: usize) -> f64 {
    NONCES / f64::from(chip.cores.next_power_of_two()) / chips.max(1).next_power_of_two() as f64
}

#[cfg(test)]
mod tests {
    use super::super::chip::{BM1362, BM1366, BM1368, BM1370, BM1397};
    use super::*;

    #[test]
    fn the_length_of_a_sweep_is_that_of_esp_miner() {
        for (chip, chips, mhz, number, seconds) in [
            (&BM1366, 1, 485.0, 0x0d_3224, 567.0),
            (&BM1366, 6, 485.0, 0x01_a644, 70.9),
            (&BM1368, 1, 490.0, 0x0d_0fac, 280.0),
            (&BM1370, 1, 525.0, 0x0c_2fb7, 262.0),
            (&BM1370, 4, 600.0, 0x02_a99e, 57.2),
        ] {
            let frequency = Frequency::from_mhz(mhz);
            assert_eq!(counting_number(chip, chips, frequency), number, "{} x {chips}", chip.name);
            let lasts = duration(chip, chips, frequency, ALL_VERSIONS).as_secs_f64();
            assert!((lasts / seconds - 1.0).abs() < 0.003, "{} x {chips}: {lasts} s", chip.name);
        }
    }

    /// ESP-Miner pull request 167: 687.24 s with 0xfffff, 3.58 to 3.59 s with 0x151c, read from its logs.
    #[test]
    fn a_sweep_lasts_as_long_as_was_measured_on_a_bm1366() {
        for (number, measured) in [(0x0f_ffff, 687.24), (0x151c, 3.585)] {
            let batches = f64::from(ALL_VERSIONS / BM1366.sub_cores);
            let lasts = batches * (2.0 * f64::from(number) + BATCH_TICKS) / CRYSTAL_HZ;
            assert!((lasts / measured - 1.0_f64).abs() < 1e-3, "{lasts} s, measured {measured} s");
        }
    }

    /// ESP-Miner's own test of its `calculate_exhaustion`: 450 MHz, 4 versions.
    #[test]
    fn four_midstates_last_37_milliseconds_on_a_bm1397_and_one_a_quarter_of_it() {
        let frequency = Frequency::from_mhz(450.0);
        let four = duration(&BM1397, 1, frequency, 4).as_secs_f64();
        assert!((four - 0.037_283).abs() < 1e-6, "{four}");
        let one = duration(&BM1397, 1, frequency, 1).as_secs_f64();
        assert!((one * 4.0 - four).abs() < 1e-8);
    }

    #[test]
    fn few_versions_last_as_long_as_one_batch_of_them() {
        let frequency = Frequency::from_mhz(525.0);
        let one = duration(&BM1362, 12, frequency, 1);
        assert_eq!(duration(&BM1362, 12, frequency, 8), one);
        assert!(duration(&BM1362, 12, frequency, 9) > one);
        assert_eq!(duration(&BM1362, 12, frequency, 0), one);
    }

    #[test]
    fn senseless_frequencies_and_numbers_of_chips_do_not_upset_it() {
        for chips in [0, 1, 128, usize::MAX >> 1] {
            for mhz in [0.0, 50.0, 1e9] {
                let frequency = Frequency::from_mhz(mhz);
                assert!(counting_number(&BM1370, chips, frequency) > 0);
                assert!(duration(&BM1370, chips, frequency, ALL_VERSIONS) > Duration::ZERO);
            }
        }
    }
}
