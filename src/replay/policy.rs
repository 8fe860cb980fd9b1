//! Who decides in a replay: the rules of other miners, and the mathematics that mines.

use std::time::Instant;

use super::world::World;
use crate::decision::{Action, Event, JobKey};

mod baseline;
mod mathematics;

pub use baseline::{AlwaysSwitch, FirstCome};
pub use mathematics::{Adviser, Ask, Counsel, Explanation, Mathematics};

/// Decides what the device hashes, as [`crate::decision::Decider`] does.
pub trait Policy {
    /// Something has happened.
    fn handle(&mut self, event: Event, now: Instant) -> Action;
    /// The time of [`Self::poll_timeout`] has come.
    fn handle_timeout(&mut self, now: Instant) -> Action;
    /// When to call [`Self::handle_timeout`].
    fn poll_timeout(&self) -> Option<Instant>;
    /// The device has taken a job up at a boundary.
    fn taken(&mut self, job: JobKey, now: Instant);
}

/// What has a say beside the mathematics in [`Kind::MathModel`].
pub enum Model {
    /// What is learnt of bad spells: it puts probes, and is asked nothing.
    Learned,
    /// What answers questions.
    Asked(Ask),
}

/// The policies by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Knows everything.
    Oracle,
    /// The first upstream of the order that is alive.
    FirstCome,
    /// Every job of anybody, at once.
    AlwaysSwitch,
    /// As [`Kind::FirstCome`], but jobs that are not clean are never taken.
    NeverUnlessClean,
    /// The value rule.
    Math,
    /// The same with random advice inside the envelope.
    MathRandom,
    /// The same with the learned model of bad spells.
    MathLearned,
    /// The same with a model of the operator's choice.
    MathModel,
}

impl Kind {
    /// All that need nothing else, the oracle first.
    pub const ALL: [Self; 7] = [
        Self::Oracle,
        Self::FirstCome,
        Self::AlwaysSwitch,
        Self::NeverUnlessClean,
        Self::Math,
        Self::MathRandom,
        Self::MathLearned,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Oracle => "oracle",
            Self::FirstCome => "first_come",
            Self::AlwaysSwitch => "always_switch",
            Self::NeverUnlessClean => "never_unless_clean",
            Self::Math => "math",
            Self::MathRandom => "math+random",
            Self::MathLearned => "math+learned",
            Self::MathModel => "math+model",
        }
    }

    /// The policy of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().chain([Self::MathModel]).find(|kind| kind.name() == name)
    }

    /// The policy for the upstreams of this world; `None` for the oracle, which decides nothing, and for a model where
    /// there is none.
    pub fn policy(
        self,
        world: &World,
        seed: u64,
        now: Instant,
        model: Option<Model>,
    ) -> Option<Box<dyn Policy>> {
        let upstreams = world.upstreams.len();
        Some(match self {
            Self::Oracle => return None,
            Self::FirstCome => Box::new(FirstCome::new(upstreams)),
            Self::AlwaysSwitch => Box::new(AlwaysSwitch::new(upstreams)),
            Self::NeverUnlessClean => Box::new(FirstCome::never_unless_clean(upstreams)),
            Self::Math => Box::new(Mathematics::new(world, seed, now)),
            Self::MathRandom => Box::new(Mathematics::new(world, seed, now).with_random(seed, now)),
            Self::MathLearned => Box::new(Mathematics::new(world, seed, now).with_learned()),
            Self::MathModel => match model? {
                Model::Learned => return Self::MathLearned.policy(world, seed, now, None),
                Model::Asked(ask) => Box::new(Mathematics::new(world, seed, now).with_model(ask, now)),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::time::Duration;

    use super::*;
    use crate::model::output::{ModelOutput, Word};
    use crate::replay::scenario;
    use crate::replay::score;

    #[test]
    fn what_is_learnt_of_bad_spells_is_the_same_policy_as_a_model_and_by_its_name() {
        let world = scenario::named("S12").unwrap().plan().world(0, Some(2.0));
        let policies = [Kind::Math, Kind::MathLearned, Kind::MathModel];
        let samples = score::samples(&world, &policies, 0, Instant::now(), || Some(Model::Learned));
        assert_eq!(samples[1], samples[2]);
        assert_ne!(samples[0], samples[2], "no probe was put otherwise");
    }

    #[test]
    fn a_model_that_always_agrees_changes_nothing_by_being_asked() {
        let world = scenario::named("S6").unwrap().plan().world(1, Some(0.5));
        let asked = Rc::new(Cell::new(0));
        let model = || {
            let asked = Rc::clone(&asked);
            Some(Model::Asked(Box::new(move |_| {
                asked.set(asked.get() + 1);
                Some(ModelOutput {
                    word: Word::Proceed,
                    target: None,
                    confidence: 1.0,
                    valid_for: Duration::from_secs(60),
                    retry_after: Duration::from_secs(30),
                    reason: String::new(),
                })
            })))
        };
        let samples = score::samples(&world, &[Kind::Math, Kind::MathModel], 1, Instant::now(), model);
        assert!(asked.get() > 700, "asked {} times", asked.get());
        let gain = samples[1].efficiency - samples[0].efficiency;
        assert!(gain.abs() < 1e-12, "{gain}");
        assert_eq!((samples[0].moves, samples[0].flushes), (samples[1].moves, samples[1].flushes));
    }
}
