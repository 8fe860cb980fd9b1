//! Whether a model has earned its say: what it gained over mathematics in the same worlds, seed by seed.

use super::score::Mean;

/// A model must gain so much of the efficiency, and lose no more in any scenario.
const LEAST_GAIN: f64 = 0.0003;
/// So many standard errors from nothing.
const LEAST_T: f64 = 2.0;
/// A difference that is less is none: being asked splits sums of revenue otherwise, which rounds the last digits. A flush of
/// 2 ms is 2e-8 of a day.
const ROUNDING: f64 = 1e-10;

/// What a model earned more than mathematics in one scenario or log.
#[derive(Debug, Clone, PartialEq)]
pub struct Paired {
    /// The scenario.
    pub name: String,
    /// Of the efficiency, by seed.
    pub gains: Vec<f64>,
}

impl Paired {
    /// Whether it changed anything at all.
    fn has_changed(&self) -> bool {
        self.gains.iter().any(|gain| gain.abs() > ROUNDING)
    }
}

/// What all of it comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Scenarios in which the model changed anything.
    pub changed: usize,
    /// All of them.
    pub scenarios: usize,
    /// What it gained in those that it changed.
    pub gain: Mean,
    /// What it lacks; empty when it has earned its say.
    pub lacks: Vec<String>,
}

/// Judges a model by what it gained: in the mean over the worlds of those scenarios in which it changed anything, for most
/// models have nothing to say in most scenarios; the most that it may lose holds for each of all.
pub fn judge(paired: &[Paired]) -> Verdict {
    let changed: Vec<_> = paired.iter().filter(|paired| paired.has_changed()).collect();
    let mut lacks = Vec::new();
    for Paired { name, gains } in &changed {
        let loss = -Mean::of(gains.iter().copied()).mean;
        if loss > LEAST_GAIN {
            lacks.push(format!("it loses {loss:.5} in {name}, more than {LEAST_GAIN}"));
        }
    }
    let gains: Vec<_> = changed.iter().flat_map(|paired| &paired.gains).copied().collect();
    let gain = Mean::of(gains.iter().copied());
    let Mean { mean, error, .. } = gain;
    if changed.is_empty() {
        lacks.push("it changed nothing in any scenario".to_owned());
    } else if gains.len() < 2 {
        lacks
            .push("it changed one world alone, which says nothing of chance; replay more --seeds".to_owned());
    } else if mean < LEAST_GAIN {
        lacks.push(format!("it gains {mean:.5} over mathematics, less than {LEAST_GAIN}"));
    } else if mean <= LEAST_T * error {
        lacks.push(format!("its gain of {mean:.5} is no more than {LEAST_T} standard errors of {error:.5}"));
    }
    Verdict { changed: changed.len(), scenarios: paired.len(), gain, lacks }
}

impl Verdict {
    /// What it gained and where, in a sentence.
    pub fn told(&self) -> String {
        let Self { changed, scenarios, gain: Mean { mean, error, .. }, .. } = self;
        let gained = format!(", and gained {mean:.5} ± {error:.5} over mathematics in the mean of these");
        let gained = if *changed > 0 { gained } else { String::new() };
        format!("the model changed something in {changed} of {scenarios} scenarios{gained}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(scenarios: &[&[f64]]) -> Verdict {
        let paired =
            |(place, gains): (usize, &&[f64])| Paired { name: format!("S{place}"), gains: gains.to_vec() };
        judge(&scenarios.iter().enumerate().map(paired).collect::<Vec<_>>())
    }

    #[test]
    fn a_model_that_is_silent_in_most_scenarios_is_judged_by_those_that_it_changes() {
        let mut scenarios = vec![&[0.0, 1e-13, -1e-13][..]; 17];
        scenarios.extend([&[0.0009, 0.0008, 0.0010][..], &[0.0008, 0.0009, 0.0007], &[0.0, 0.0002, 0.0001]]);
        let verdict = verdict(&scenarios);
        assert_eq!((verdict.changed, verdict.scenarios, verdict.lacks.len()), (3, 20, 0), "{verdict:?}");
        assert!((verdict.gain.mean - 0.0006).abs() < 1e-12, "{verdict:?}");
        let told = verdict.told();
        assert!(told.contains("3 of 20 scenarios, and gained 0.00060 ± 0.00013 over mathematics"), "{told}");
    }

    #[test]
    fn too_little_too_uncertain_and_nothing_at_all_are_not_enough() {
        for (scenarios, lack) in [
            (&[&[0.0003, 0.00029][..]][..], "less than 0.0003"),
            (&[&[0.004, -0.002, 0.001]], "standard errors"),
            (&[&[0.0], &[0.01]], "one world alone"),
            (&[&[0.0, 1e-12], &[0.0, 0.0]], "it changed nothing in any scenario"),
            (&[], "it changed nothing in any scenario"),
        ] {
            let verdict = verdict(scenarios);
            assert_eq!(verdict.lacks.len(), 1, "{verdict:?}");
            assert!(verdict.lacks[0].contains(lack), "{verdict:?}");
        }
    }

    #[test]
    fn what_is_lost_in_one_scenario_is_not_made_up_for_by_the_others() {
        let verdict = verdict(&[&[0.01, 0.0101], &[0.0099, 0.01], &[-0.0004, -0.00031]]);
        assert!(verdict.gain.mean > 2.0 * verdict.gain.error, "{verdict:?}");
        assert_eq!(verdict.lacks, ["it loses 0.00036 in S2, more than 0.0003"]);
    }
}
