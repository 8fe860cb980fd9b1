//! Whether a pool finds as many blocks as its hash rate says. That raises warnings and moves nothing: luck has no memory,
//! so leaving after bad luck earns nothing.

/// P(X ≤ `found`) for X ~ Poisson(`expected`), 0 to 1; 1 where the mean is no number above 0.
pub fn at_most(found: u64, expected: f64) -> f64 {
    if !expected.is_finite() || expected <= 0.0 {
        return 1.0;
    }
    if found as f64 > expected + 40.0 * expected.sqrt() + 100.0 {
        return 1.0; // all but nothing of the distribution
    }
    // From the largest term on this side downwards, where each is smaller than the one above it once below the mean.
    let from = found as f64;
    let mut term = (from * expected.ln() - expected - ln_factorial(from)).exp();
    let (mut sum, mut at) = (0.0, from);
    loop {
        sum += term;
        let is_falling = at < expected;
        if at < 1.0 || is_falling && term < sum * 1e-17 {
            return sum.min(1.0);
        }
        term *= at / expected;
        at -= 1.0;
    }
}

/// ln(n!) by Stirling's series, within 1e-12 of itself.
fn ln_factorial(n: f64) -> f64 {
    if n < 20.0 {
        return (1..=n as u64).map(|factor| (factor as f64).ln()).sum();
    }
    let series = 1.0 / (12.0 * n) - 1.0 / (360.0 * n.powi(3)) + 1.0 / (1260.0 * n.powi(5));
    (n + 0.5) * n.ln() - n + 0.5 * (2.0 * std::f64::consts::PI).ln() + series
}

/// Blocks that were found, against those to be expected.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Luck {
    /// Mean number of blocks in so many hashes.
    pub expected: f64,
    /// Blocks that were in them.
    pub found: u64,
}

impl Luck {
    /// The chance that there are so few, or fewer: P(X ≤ found), X ~ Poisson(expected).
    pub fn chance(&self) -> f64 {
        at_most(self.found, self.expected)
    }
}

/// Continuous watch for one who finds, or credits, only a part of the blocks that it should.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LuckWatch {
    /// That part, above 0 and below 1.
    part: f64,
    score: f64,
    /// All of it.
    total: Luck,
    /// Since the score was last 0.
    spell: Luck,
    is_told: bool,
}

/// Blocks must be this likely to be missing: 0.9 of the losses found at one false alarm in a thousand.
const ALARM: f64 = 6.802_394_763_324_311; // ln(0.9 / 0.001)

impl Default for LuckWatch {
    /// Against one who finds four blocks of five: it takes 275 expected blocks to find one that loses a fifth, 75 where half
    /// of them are missing, 35 where all are; a false alarm comes about every 20,000.
    fn default() -> Self {
        Self::new(0.8)
    }
}

impl LuckWatch {
    /// Against one who finds only `part` of the blocks.
    pub fn new(part: f64) -> Self {
        let part = if part.is_finite() { part.clamp(0.01, 0.99) } else { 0.8 };
        Self { part, score: 0.0, total: Luck::default(), spell: Luck::default(), is_told: false }
    }

    /// There should have been so many `blocks` more. Returns how it stands where that is an alarm, once.
    pub fn expect(&mut self, blocks: f64) -> Option<Luck> {
        if blocks.is_finite() && blocks > 0.0 {
            self.total.expected += blocks;
            self.spell.expected += blocks;
            self.score += (1.0 - self.part) * blocks;
        }
        if !self.is_alarmed() || self.is_told {
            return None;
        }
        self.is_told = true;
        Some(self.spell)
    }

    /// There was one.
    pub fn found(&mut self) {
        self.total.found += 1;
        self.spell.found += 1;
        self.score += self.part.ln();
        if self.score <= 0.0 {
            (self.score, self.spell, self.is_told) = (0.0, Luck::default(), false);
        }
    }

    /// Whether blocks are missing.
    pub fn is_alarmed(&self) -> bool {
        self.score > ALARM
    }

    /// From the beginning.
    pub fn total(&self) -> Luck {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chance_of_so_few_blocks_is_that_of_the_poisson_distribution() {
        for (found, expected, chance) in
            [(0, 6.9, 0.001_007_785), (5, 12.0, 0.020_341_029), (70, 100.0, 0.000_971_444)]
        {
            let found = at_most(found, expected);
            assert!((found / chance - 1.0).abs() < 1e-6, "{found} is not {chance}");
        }
    }

    #[test]
    fn no_number_of_blocks_makes_the_chance_anything_else_than_one() {
        for (found, expected) in [(0, 0.0), (0, -1.0), (3, f64::NAN), (u64::MAX, 10.0), (0, f64::INFINITY)] {
            assert_eq!(at_most(found, expected), 1.0, "{found} of {expected}");
        }
        assert!((at_most(1_000_000, 1e6) - 0.5).abs() < 0.001);
        assert_eq!(at_most(0, 1e6), 0.0);
        assert!((at_most(12, 10.0) - 0.791_556).abs() < 1e-6);
    }

    #[test]
    fn a_pool_that_finds_nothing_is_warned_about_after_35_blocks_and_an_honest_one_never() {
        let mut watch = LuckWatch::default();
        let told = (1..1000).find_map(|_| watch.expect(1.0)).unwrap();
        assert_eq!((told, watch.total()), (Luck { expected: 35.0, found: 0 }, told));
        assert!((told.chance() / (-35_f64).exp() - 1.0).abs() < 1e-9);
        assert_eq!((1..1000).find_map(|_| watch.expect(1.0)), None, "it is told once");
        let mut honest = LuckWatch::default();
        for _ in 0..10_000 {
            assert_eq!(honest.expect(1.0), None);
            honest.found();
        }
        assert_eq!(honest.total(), Luck { expected: 10_000.0, found: 10_000 });
    }

    #[test]
    fn who_loses_half_of_its_blocks_is_found_and_told_again_after_a_time_of_luck() {
        let mut watch = LuckWatch::default();
        let half = |watch: &mut LuckWatch| {
            (0..200).find_map(|nth| {
                if nth % 2 == 0 {
                    watch.found();
                }
                watch.expect(1.0)
            })
        };
        let told = half(&mut watch).unwrap();
        assert!((60.0..90.0).contains(&told.expected) && told.chance() < 1e-3, "{told:?}");
        (0..1000).for_each(|_| watch.found());
        assert!(!watch.is_alarmed());
        let again = half(&mut watch).unwrap();
        assert!(again.expected <= told.expected + 5.0, "what was before has no part in it: {again:?}");
    }
}
