//! What a miner's own log says of its decisions: the rule that mined beside the rules that could have.

use std::time::{Duration, Instant};

use super::policy::Kind;
use super::score::{self, Sample};
use super::world::{Rules, World};

/// The policies of a review. A model that is a program or a server is not among them: it would be asked ten thousand
/// questions of a week beside those of the miner.
pub const POLICIES: [Kind; 3] = [Kind::Math, Kind::FirstCome, Kind::MathLearned];

/// One policy in a log.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reviewed {
    /// Which.
    pub policy: Kind,
    /// What it would have made of it.
    pub sample: Sample,
    /// What of the efficiency it would have gained over math.
    pub gain: f64,
    /// Whether it is the one that mined; none is where several upstreams were hashed for at once.
    pub has_mined: bool,
    /// How long the log is, as far as it was reviewed.
    pub span: Duration,
    /// Whether it is longer, and only its last part was.
    pub is_part: bool,
}

/// All policies of a review in a world, in the order of [`POLICIES`]. `start` is where virtual time begins.
pub fn review(world: &World, is_part: bool, start: Instant) -> Vec<Reviewed> {
    let samples = score::samples(world, &POLICIES, 0, start, || None);
    let math = samples[0].efficiency;
    let Rules { settings, learned, .. } = world.rules;
    let mined = if learned { Kind::MathLearned } else { Kind::Math };
    let span = world.end.saturating_sub(world.measured_from);
    let reviewed = |(policy, sample): (Kind, Sample)| Reviewed {
        policy,
        sample,
        gain: sample.efficiency - math,
        has_mined: policy == mined && !settings.strategy.is_shared(),
        span,
        is_part,
    };
    POLICIES.into_iter().zip(samples).map(reviewed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Strategy;
    use crate::replay::scenario;

    #[test]
    fn each_policy_is_held_against_math_and_the_one_that_mined_is_told() {
        let mut world = scenario::named("S5").unwrap().plan().world(1, Some(0.5));
        world.rules.learned = true;
        let mined = |reviewed: &[Reviewed]| reviewed.iter().map(|it| it.has_mined).collect::<Vec<_>>();
        let reviewed = review(&world, false, Instant::now());
        assert_eq!(reviewed.iter().map(|it| it.policy).collect::<Vec<_>>(), POLICIES);
        assert_eq!(mined(&reviewed), [false, false, true]);
        assert_eq!((reviewed[0].gain, reviewed[0].span), (0.0, Duration::from_secs(43_200)));
        let first_come = reviewed[1];
        assert!(first_come.gain < -0.002 && first_come.sample.efficiency < 0.998, "{first_come:?}");
        world.rules.settings.strategy = Strategy::Quota;
        assert_eq!(mined(&review(&world, false, Instant::now())), [false; 3], "by value nobody has");
    }
}
