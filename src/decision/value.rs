//! What a hash is worth: the arithmetic below all decisions. Seconds, satoshi and hashes; every function is finite for
//! finite input.

use crate::work::hashrate::HASHES_PER_DIFFICULTY;
use crate::work::{HashRate, Target};

/// Mean seconds between blocks. They come as a Poisson process, without memory: no job is ever nearly done, and only
/// idle or doubled hashes are lost. Source: the difficulty is set for it every 2016 blocks.
pub const BLOCK_SECONDS: f64 = 600.0;

/// Blocks between halvings of the subsidy, and the first subsidy in satoshi. Source: Bitcoin Core `GetBlockSubsidy`.
const HALVING: u32 = 210_000;
const FIRST_SUBSIDY: u64 = 5_000_000_000;

/// The subsidy of the block at `height`, satoshi.
pub fn subsidy(height: u32) -> u64 {
    FIRST_SUBSIDY.checked_shr(height / HALVING).unwrap_or(0)
}

/// `W`: hashes expected for a block below `target`, 2^256 / (target + 1). The one more is below what a double holds.
pub fn hashes_per_block(target: &Target) -> f64 {
    target.difficulty().value() * HASHES_PER_DIFFICULTY
}

/// `H(x)`: seconds expected of something that lasts `x` seconds unless a block ends it first.
pub fn useful_seconds(x: f64) -> f64 {
    BLOCK_SECONDS * stale_chance(x)
}

/// Chance that a block comes within `x` seconds: of a delay to cost a block, of our own block to become an orphan.
pub fn stale_chance(x: f64) -> f64 {
    -f64::exp_m1(-x.max(0.0) / BLOCK_SECONDS)
}

/// Seconds until `rate` has used up a space of `bits` bits: those that the chip rolls, and those of the extranonce2.
pub fn search_seconds(bits: u32, rate: HashRate) -> f64 {
    2f64.powi(bits.min(1000) as i32) / rate.0.max(f64::MIN_POSITIVE)
}

/// What a block brings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reward {
    /// Satoshi.
    pub subsidy: f64,
    /// Long-run mean fees, satoshi.
    pub mean_fees: f64,
}

/// A mean over a day of blocks.
const FEES_WEIGHT: f64 = 1.0 / 144.0;

/// More fees than this in one block are not believed: 50 BTC, what a check of jobs allows above the subsidy.
const MOST_FEES: f64 = 5e9;

impl Reward {
    /// Subsidy and mean fees, satoshi. Never zero, so that it divides.
    pub fn total(&self) -> f64 {
        (self.subsidy + self.mean_fees).max(1.0)
    }

    /// Satoshi a second that `rate` earns where a block takes `hashes_per_block`, at a value rate of 1.
    pub fn income(&self, rate: HashRate, hashes_per_block: f64) -> f64 {
        rate.0 / hashes_per_block.max(1.0) * self.total()
    }

    /// `R`: worth of a job with `fees` in relation to a mean one, when `kappa` of better fees reaches us; 1 when they are
    /// not known. From 0 to 2: what is claimed beyond is not believed.
    pub fn ratio(&self, kappa: f64, fees: Option<u64>) -> f64 {
        let Some(fees) = fees else { return 1.0 };
        ((self.subsidy + (1.0 - kappa) * self.mean_fees + kappa * fees as f64) / self.total()).clamp(0.0, 2.0)
    }

    /// `ρ`: what a job with `new` fees gains over one with `running`, as a part of a block; 0 where one is not known.
    pub fn fee_gain(&self, kappa: f64, new: Option<u64>, running: Option<u64>) -> f64 {
        self.ratio(kappa, new.or(running)) - self.ratio(kappa, running.or(new))
    }

    /// A block with these fees was found.
    pub fn learn_fees(&mut self, fees: u64) {
        self.mean_fees += (f64::min(fees as f64, MOST_FEES) - self.mean_fees) * FEES_WEIGHT;
    }

    /// Mean part of the revenue lost by a new template only every `every` seconds while fees grow by `growth` satoshi a
    /// second.
    pub fn refresh_loss(&self, growth: f64, every: f64) -> f64 {
        growth * every / 2.0 / self.total()
    }
}

/// The factors of a value rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Factors {
    /// Paid out of an ideal share's worth.
    pub pay: f64,
    /// Expected part of shares that count.
    pub acc: f64,
    /// Standard deviation of that.
    pub acc_sd: f64,
    /// Part of the time not lost to failures.
    pub avail: f64,
    /// Chance that the job can earn.
    pub v: f64,
    /// Worth of the template.
    pub r: f64,
}

impl Factors {
    /// `w`.
    pub fn value(&self) -> f64 {
        self.pay * self.acc * self.avail * self.v * self.r
    }

    /// The value plus `optimism` standard deviations of the acceptance.
    pub fn index(&self, optimism: f64) -> f64 {
        self.value() + optimism * self.acc_sd * self.pay * self.avail * self.v * self.r
    }
}

/// The most uneven income that is told, that of who hardly hashes. Unit: ideal seconds.
pub const MOST_VARIANCE: f64 = 1e18;

/// What uneven income takes off a value: aversion · variance / (2 · w), at most all of it. `variance` is of one second's
/// income in ideal seconds: rate of payouts · payout².
pub fn risk_discount(aversion: f64, variance: f64, value: f64) -> f64 {
    let discount = aversion * variance / (2.0 * value.max(f64::MIN_POSITIVE));
    if discount.is_finite() { discount.clamp(0.0, value) } else { value }
}

/// Whether a move pays: the gain over `horizon` seconds against going there and back, with `margin`; and the least gain.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MoveTest {
    /// Seconds.
    pub horizon: f64,
    /// Ideal seconds a second.
    pub min_gain: f64,
    /// Times the cost.
    pub margin: f64,
    /// `L_x`, seconds.
    pub cross: f64,
}

impl MoveTest {
    /// Whether `index` of another beats `value` of ours by enough.
    pub fn passes(&self, value: f64, index: f64) -> bool {
        let gain = index - value;
        gain * self.horizon > self.cost(index) && gain > self.min_gain
    }

    /// Ideal seconds that going there and back costs, with the margin.
    pub fn cost(&self, index: f64) -> f64 {
        2.0 * self.cross * index * self.margin
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REWARD: Reward = Reward { subsidy: 312_500_000.0, mean_fees: 2_000_000.0 };

    fn close(value: f64, expected: f64) {
        assert!((value - expected).abs() <= expected.abs() * 1e-6, "{value} is not {expected}");
    }

    #[test]
    fn a_hundred_terahashes_earn_what_the_difficulty_of_the_day_gives() {
        let hashes = hashes_per_block(&Target::from_nbits(0x1702_355e).unwrap());
        close(hashes, 5.474_053_264_2e23);
        close(REWARD.income(HashRate(1e14), hashes), 0.057_452_857_1);
    }

    #[test]
    fn delays_and_horizons_follow_blocks_without_memory() {
        for (delay, chance) in [(0.3, 0.000_499_875), (0.79, 0.001_315_800), (30.0, 0.048_770_6)] {
            close(stale_chance(delay), chance);
        }
        close(useful_seconds(30.0), 29.262_345);
        close(useful_seconds(60.0), 57.097_549);
    }

    #[test]
    fn the_subsidy_halves_and_ends() {
        assert_eq!(
            [0, 209_999, 210_000, 957_780].map(subsidy),
            [5_000_000_000, 5_000_000_000, 2_500_000_000, 312_500_000]
        );
        assert_eq!(subsidy(u32::MAX), 0);
    }

    #[test]
    fn fees_count_by_the_part_that_reaches_us() {
        close(REWARD.ratio(1.0, Some(0)), 0.993_640_700);
        assert_eq!(REWARD.ratio(0.0, Some(0)), 1.0);
        assert_eq!(REWARD.ratio(1.0, None), 1.0);
        assert_eq!(REWARD.ratio(1.0, Some(u64::MAX)), 2.0, "nobody earns that");
        close(REWARD.fee_gain(1.0, Some(2_000_000), Some(0)), 0.006_359_300);
        close(REWARD.fee_gain(1.0, Some(60_000), Some(0)), 1.907_790e-4);
        assert_eq!(REWARD.fee_gain(1.0, None, Some(0)), 0.0);
        close(REWARD.refresh_loss(3000.0, 30.0), 0.000_143_084_261);
    }

    #[test]
    fn the_search_space_of_a_job_lasts_as_long_as_its_bits() {
        let rate = HashRate(1e14);
        assert!((search_seconds(80, rate) / 1.208_93e10 - 1.0).abs() < 1e-5);
        assert!((search_seconds(64, rate) / 184_467.0 - 1.0).abs() < 1e-5);
        assert!(search_seconds(u32::MAX, HashRate(0.0)) > 0.0);
    }

    #[test]
    fn a_move_for_a_smaller_fee_and_fewer_rejects_pays_within_its_horizon() {
        let factors = |pay, acc, acc_sd| Factors { pay, acc, acc_sd, avail: 1.0, v: 1.0, r: 1.0 };
        let (runs, waits) = (factors(0.99, 0.972_272_727, 0.0), factors(0.98, 0.995, 0.002_125_704));
        close(runs.value(), 0.962_550);
        close(waits.value(), 0.975_100);
        close(waits.index(0.5), 0.976_141_595);
        let test = MoveTest { horizon: 600.0, min_gain: 0.001, margin: 1.25, cross: 0.02 };
        close((waits.index(0.5) - runs.value()) * 600.0, 8.154_957);
        assert!((test.cost(waits.index(0.5)) - 0.048_807).abs() < 1e-6);
        assert!(test.passes(runs.value(), waits.index(0.5)));
        assert!(!test.passes(runs.value(), runs.value() + 0.000_999));
        assert!(!MoveTest { cross: 5.0, ..test }.passes(runs.value(), waits.index(0.5)));
    }

    #[test]
    fn uneven_income_costs_nobody_more_than_it_is_worth() {
        assert_eq!(risk_discount(0.0, 1e9, 0.9), 0.0);
        close(risk_discount(0.1, 0.2, 0.5), 0.02);
        assert_eq!([risk_discount(1.0, f64::INFINITY, 0.9), risk_discount(1.0, 1.0, 0.0)], [0.9, 0.0]);
    }
}
