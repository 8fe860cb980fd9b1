//! What the slices of a benchmark come to.

use std::collections::VecDeque;

use crate::cpu::{
    choice::Ranking,
    kernel::Kernel,
    measure::{Slice, median},
};

/// The slices of one round. Shape: by thread, then by kernel; in a round that was ended early not of all kernels.
pub(super) type Round = Vec<Vec<Slice>>;

/// How fast a kernel is. Medians are over rounds, or over the slices of all threads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// Hashes a second of all threads together, in a round.
    pub rate: Spread,
    /// Hashes a second that one thread has a core, median.
    pub cpu_rate: f64,
    /// Cycles a second of a core just before its slices, median; `None` where that is not known.
    pub clock: Option<f64>,
    /// Cycles a hash, median; `None` where the clock is not known.
    pub cycles: Option<f64>,
    /// How many times the rate of the portable kernel, from slices of one round and thread, median; `None` if that one
    /// was not timed.
    pub to_portable: Option<f64>,
    /// The same in relation to the first kernel of the list.
    pub to_first: Option<f64>,
}

/// How a figure is spread.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// One in ten is below it.
    pub p10: f64,
    /// Half are below it.
    pub median: f64,
    /// Nine in ten are below it.
    pub p90: f64,
}

impl Spread {
    /// `None` of no values.
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let quantile =
            |q: f64| values.get((values.len().saturating_sub(1) as f64 * q).round() as usize).copied();
        let (p10, p90) = (quantile(0.1)?, quantile(0.9)?);
        Some(Self { p10, median: median(values)?, p90 })
    }
}

/// The figures of the kernel at a place, with the places of those it is compared with; `None` without a slice of it on
/// each thread.
pub(super) fn figures(
    rounds: &VecDeque<Round>,
    at: usize,
    portable: Option<usize>,
    first: Option<usize>,
) -> Option<Figures> {
    let slices = || rounds.iter().flatten().filter_map(|slices| slices.get(at));
    let ratio = |other: usize| {
        let ratio = |slices: &Vec<Slice>| Some(slices.get(at)?.cpu_rate() / slices.get(other)?.cpu_rate());
        median(rounds.iter().flatten().filter_map(ratio).collect())
    };
    Some(Figures {
        rate: Spread::of(rates(rounds, at).collect())?,
        cpu_rate: median(slices().map(Slice::cpu_rate).collect())?,
        clock: median(slices().filter_map(|slice| slice.clock).collect()),
        cycles: median(slices().filter_map(Slice::cycles).collect()),
        to_portable: portable.and_then(ratio),
        to_first: first.and_then(ratio),
    })
}

/// The rates of the kernel at a place, of all threads together, in each round in which all had a slice of it.
fn rates(rounds: &VecDeque<Round>, at: usize) -> impl Iterator<Item = f64> {
    rounds.iter().filter_map(move |round| round.iter().map(|slices| slices.get(at).map(Slice::rate)).sum())
}

/// The kernels ranked by the rule of a board; `None` if one was not timed or none is for jobs without versions.
pub(super) fn ranking(kernels: &[Kernel], rounds: &VecDeque<Round>) -> Option<Ranking> {
    let cpu_rates =
        |at: usize| rounds.iter().flatten().filter_map(|slices| Some(slices.get(at)?.cpu_rate())).collect();
    let is_whole = (0..kernels.len()).all(|at| rates(rounds, at).next().is_some());
    let has_single = kernels.iter().any(|kernel| kernel.midstates == 1);
    let ranked = || kernels.iter().enumerate().map(|(at, kernel)| (*kernel, cpu_rates(at)));
    (is_whole && has_single).then(|| Ranking::of(ranked()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cpu::bench::tests::kernel;

    /// Rounds of one thread. Shape: rates in hashes a second, by round, then by kernel.
    fn made_up<const N: usize>(rates: &[[u64; N]]) -> VecDeque<Round> {
        let second = Duration::from_secs(1);
        let slice = |hashes| Slice { hashes, wall: second, cpu: second, clock: Some(1e6) };
        rates.iter().map(|rates| vec![rates.iter().copied().map(slice).collect()]).collect()
    }

    #[test]
    fn no_kernel_is_the_fastest_while_one_was_not_timed_on_all_threads() {
        let kernels = [kernel("1", 1), kernel("2", 1)];
        let mut rounds = made_up(&[[10, 30]]);
        let (first, second) = (rounds[0][0][0], rounds[0][0][1]);
        rounds[0].push(vec![first]);
        assert_eq!(figures(&rounds, 1, None, None), None, "only one of two threads had a slice");
        assert!(ranking(&kernels, &rounds).is_none());
        rounds[0][1].push(second);
        assert_eq!(ranking(&kernels, &rounds).unwrap().first().kernel.name, "2");
    }

    #[test]
    fn the_fastest_is_so_in_the_time_that_threads_had_a_core_as_a_board_would_choose() {
        let mut rounds = made_up(&[[10, 30], [10, 30], [10, 30]]);
        for round in &mut rounds {
            round[0][1].wall *= 9; // other programs took the rest
        }
        let ranking = ranking(&[kernel("1", 1), kernel("2", 1)], &rounds).unwrap();
        assert_eq!(ranking.first().kernel.name, "2");
    }

    #[test]
    fn ratios_are_medians_of_slices_that_were_taken_side_by_side() {
        // The machine is twice as fast in the second round and four times in the third.
        let rounds = made_up(&[[10, 30], [20, 60], [40, 100]]);
        let figures = figures(&rounds, 1, Some(0), Some(1)).unwrap();
        assert_eq!((figures.to_portable, figures.to_first), (Some(3.0), Some(1.0)));
        assert_eq!((figures.rate.median, figures.cpu_rate), (60.0, 60.0));
        assert_eq!((figures.clock, figures.cycles), (Some(1e6), Some(1e6 / 60.0)));
    }

    #[test]
    fn a_rate_is_that_of_all_threads_and_its_quantiles_are_over_rounds() {
        let mut rounds = made_up(&std::array::from_fn::<_, 11, _>(|i| [10 * i as u64]));
        for round in &mut rounds {
            round.push(round[0].clone());
        }
        let rate = figures(&rounds, 0, None, None).unwrap().rate;
        assert_eq!(rate, Spread { p10: 20.0, median: 100.0, p90: 180.0 });
        assert_eq!(Spread::of(vec![1.0, 2.0, 4.0, 8.0]).unwrap().median, 3.0);
    }

    #[test]
    fn a_kernel_of_several_versions_is_chosen_only_for_jobs_with_enough_bits() {
        let kernels = [kernel("1", 1), kernel("8", 8), kernel("16", 16)];
        let rounds = made_up(&[[1, 2, 3]]);
        for (bits, expected) in [(0, "1"), (2, "1"), (3, "8"), (4, "16"), (32, "16"), (99, "16")] {
            let ranking = ranking(&kernels, &rounds).unwrap();
            assert_eq!(ranking.for_mask(super::super::version_mask(bits)).kernel.name, expected, "{bits}");
        }
    }
}
