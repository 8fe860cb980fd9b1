//! How long something lasts, learnt from a few intervals that hold its end.
//!
//! A duration is Weibull with unknown scale and shape, which runs from "no memory" (shape 1) to "always the same" (shape 40:
//! a deviation of 3 %), or an outlier. What is believed of scale and shape is a weight for each point of a grid.

/// Shapes of equal weight before anything is known.
const SHAPES: [f64; 9] = [0.7, 1.0, 1.5, 2.5, 4.0, 7.0, 12.0, 20.0, 40.0];
/// Scales of the grid, evenly spaced in their logarithm.
const SCALES: usize = 96;
/// The grid reaches so many times beyond the shortest and the longest duration that may have been.
const BEYOND: f64 = 1.6;
/// A duration is an outlier with this probability: a false alarm, or a probe that had bad luck.
const OUTLIER: f64 = 0.1;
/// Logarithms of outliers are even between these, seconds.
const OUTLIERS: (f64, f64) = (60.0, 21_600.0);
/// Points of less than this part of the greatest weight change nothing.
const LEAST_WEIGHT: f64 = 1e-4;

/// What is believed of durations.
#[derive(Debug, Clone)]
pub(super) struct Durations(Vec<Point>);

/// A Weibull distribution with its weight.
#[derive(Debug, Clone, Copy)]
struct Point {
    /// Of the scale in seconds.
    logarithm: f64,
    shape: f64,
    weight: f64,
}

impl Point {
    /// The chance to last longer than `exp(logarithm)` seconds.
    fn survival(&self, logarithm: f64) -> f64 {
        let weibull = (-(self.shape * (logarithm - self.logarithm)).exp()).exp();
        (1.0 - OUTLIER) * weibull + OUTLIER * outlives(logarithm)
    }
}

fn outlives(logarithm: f64) -> f64 {
    let (least, most) = (OUTLIERS.0.ln(), OUTLIERS.1.ln());
    ((most - logarithm) / (most - least)).clamp(0.0, 1.0)
}

impl Durations {
    /// From intervals of seconds, each holding the end of one: 0 ≤ from < to. `None` of none.
    pub(super) fn learn(intervals: &[(f64, f64)]) -> Option<Self> {
        let longest = intervals.iter().map(|(_, to)| *to).reduce(f64::max)?;
        let lower = |(from, to): &(f64, f64)| if *from > 0.0 { *from } else { to / 2.0 };
        let shortest = intervals.iter().map(lower).reduce(f64::min)?;
        let (first, last) = ((shortest / BEYOND).max(1.0).ln(), (longest * BEYOND).max(2.0).ln());
        let logarithms: Vec<_> = intervals.iter().map(|(from, to)| (from.ln(), to.ln())).collect();
        let mut points = Vec::with_capacity(SCALES * SHAPES.len());
        for at in 0..SCALES {
            let logarithm = first + (last - first) * at as f64 / (SCALES - 1) as f64;
            for shape in SHAPES {
                let point = Point { logarithm, shape, weight: 1.0 };
                let holds = |(from, to): &(f64, f64)| point.survival(*from) - point.survival(*to);
                points.push(Point { weight: logarithms.iter().map(holds).product(), ..point });
            }
        }
        let most = points.iter().map(|point| point.weight).fold(0.0, f64::max);
        points.retain(|point| point.weight > most * LEAST_WEIGHT);
        let sum: f64 = points.iter().map(|point| point.weight).sum();
        for point in &mut points {
            point.weight /= sum;
        }
        (!points.is_empty()).then_some(Self(points))
    }

    /// The chance that the next one lasts longer than this, seconds.
    pub(super) fn survival(&self, seconds: f64) -> f64 {
        let logarithm = seconds.ln();
        self.0.iter().map(|point| point.weight * point.survival(logarithm)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_always_lasted_the_same_is_expected_to_last_as_long() {
        let same = Durations::learn(&[(3550.0, 3650.0); 12]).unwrap();
        assert!(same.survival(3300.0) > 0.85 && same.survival(3900.0) < 0.15);
    }

    #[test]
    fn what_has_no_memory_may_end_at_any_time() {
        // The mean of each twelfth of an exponential distribution with a mean of 3600 s, and a quarter to both sides.
        let ends: Vec<_> = (0..12).map(|at| -3600.0 * (1.0 - (f64::from(at) + 0.5) / 12.0).ln()).collect();
        let ends: Vec<_> = ends.iter().map(|end| (end * 0.75, end * 1.25)).collect();
        let learned = Durations::learn(&ends).unwrap();
        for seconds in [900.0, 3600.0, 7200.0_f64] {
            let (found, expected) = (learned.survival(seconds), (-seconds / 3600.0).exp());
            assert!((found - expected).abs() < 0.06, "{found} at {seconds}, not {expected}");
        }
    }

    #[test]
    fn the_chance_to_last_falls_from_one_to_none() {
        let learned = Durations::learn(&[(0.0, 900.0), (1800.0, 3600.0), (600.0, 1200.0)]).unwrap();
        assert!((learned.survival(0.0) - 1.0).abs() < 1e-9);
        let at = |step: i32| learned.survival(f64::from(step) * 100.0);
        assert!((0..400).all(|step| at(step) >= at(step + 1)));
        assert!(learned.survival(1e6) < 1e-6);
    }
}
