//! The code that mines, with its time driven from here, alone and with an adviser.

use std::time::{Duration, Instant};

use super::Policy;
use crate::decision::{
    Action, Advice, Candidate, Decider, Decision, Event, JobKey, Record, Strategy, UpstreamId,
};
use crate::model::features::{self, Around};
use crate::model::input::{ModelInput, Occasion};
use crate::model::learned;
use crate::model::output::{ModelOutput, Word};
use crate::replay::chance::Chance;
use crate::replay::world::World;

/// An adviser is asked so often, as while mining.
const ASK_EVERY: Duration = Duration::from_secs(60);
/// Advice is good for so long, the default of the model interface.
const VALID_FOR: Duration = Duration::from_secs(60);

/// Asked with all that is known at a moment; it may have nothing to say.
pub type Adviser = Box<dyn FnMut(&Decider, Instant) -> Option<Counsel>>;
/// What an adviser says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Counsel {
    /// Hash for that one.
    Advice(Advice),
    /// What it said before no longer holds.
    TakeBack,
}
/// A model: asked a question, it answers or does not.
pub type Ask = Box<dyn FnMut(&ModelInput) -> Option<ModelOutput>>;

/// The decider as a policy.
pub struct Mathematics {
    decider: Decider,
    helper: Helper,
    decided: u64,
    /// The number of the decision to explain, and what was found.
    explain: Option<u64>,
    explanation: Option<Explanation>,
}

/// What has a say beside the mathematics.
enum Helper {
    None,
    /// Where probes are put by what was learnt of bad spells.
    Learned,
    Adviser {
        ask: Adviser,
        next: Instant,
    },
}

/// A decision with what else there was to choose.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The decision.
    pub record: Record,
    /// What the upstreams were worth after it, the best first.
    pub candidates: Vec<Candidate>,
}

impl Mathematics {
    /// Alone, by the settings of the world. Where its miner hashed for several at once it hashes for the one that is worth
    /// most: this device has one job at a time.
    pub fn new(world: &World, seed: u64, now: Instant) -> Self {
        let terms: Vec<_> = world.upstreams.iter().map(|upstream| upstream.terms).collect();
        let mut settings = world.rules.settings;
        if settings.strategy.is_shared() {
            settings.strategy = Strategy::Value;
        }
        let mut decider = Decider::new(settings, &terms, seed, now);
        for (place, upstream) in world.upstreams.iter().enumerate() {
            if let Some(patience) = upstream.patience {
                decider.set_patience(UpstreamId(place), patience);
            }
        }
        Self { decider, helper: Helper::None, decided: 0, explain: None, explanation: None }
    }

    /// With probes by what was learnt of bad spells.
    #[must_use]
    pub fn with_learned(self) -> Self {
        Self { helper: Helper::Learned, ..self }
    }

    /// With an adviser, inside the envelope.
    #[must_use]
    pub fn with_adviser(self, ask: Adviser, now: Instant) -> Self {
        Self { helper: Helper::Adviser { ask, next: now + ASK_EVERY }, ..self }
    }

    /// With an adviser who draws lots, and is sure of each: what the envelope is there for.
    #[must_use]
    pub fn with_random(self, seed: u64, now: Instant) -> Self {
        let mut chance = Chance::new(seed, u64::MAX - 1);
        let draw = move |decider: &Decider, now: Instant| {
            let (candidates, seen) = (decider.candidates(now), decider.moment());
            let drawn = chance.number() as usize % candidates.len().max(1);
            let target = candidates.get(drawn)?.upstream;
            let (hold, until, seen_soft) = (chance.happens(0.5), now + VALID_FOR, decider.soft_moment());
            Some(Counsel::Advice(Advice { target, hold, confidence: 1.0, until, seen, seen_soft }))
        };
        self.with_adviser(Box::new(draw), now)
    }

    /// With a model, inside the envelope.
    #[must_use]
    pub fn with_model(self, mut model: Ask, start: Instant) -> Self {
        let ask = move |decider: &Decider, now: Instant| {
            let around = Around {
                uptime: now.saturating_duration_since(start),
                unix: now.saturating_duration_since(start).as_secs(),
                hash_rate: 1e14,
                boards: 1,
                hw_error_rate: 0.0,
                parent: [0; 32],
            };
            let question = features::question(decider, &around, Occasion::Periodic, ASK_EVERY, now)?;
            let answer = model(&question.input)?;
            let running = decider.running()?.0;
            let target = match answer.word {
                Word::Switch => UpstreamId(*question.upstreams.get(answer.target?)?),
                Word::Hold => running,
                Word::Proceed => return Some(Counsel::TakeBack),
                Word::Retry => return None,
            };
            let (hold, until) = (answer.word == Word::Hold, now + answer.valid_for);
            let (seen, seen_soft) = (question.moment, question.soft_moment);
            let confidence = answer.confidence;
            Some(Counsel::Advice(Advice { target, hold, confidence, until, seen, seen_soft }))
        };
        self.with_adviser(Box::new(ask), start)
    }

    /// The decider, to look at.
    pub fn decider(&self) -> &Decider {
        &self.decider
    }

    /// Remembers the decision of this number, from 1 on. Only those that change what is hashed are counted.
    #[must_use]
    pub fn explaining(self, number: u64) -> Self {
        Self { explain: Some(number), ..self }
    }

    /// The decision that was to be remembered; `None` where there were fewer.
    pub fn explanation(&self) -> Option<&Explanation> {
        self.explanation.as_ref()
    }

    fn decided(&mut self, decision: Decision, now: Instant) -> Action {
        if decision.action != Action::Keep {
            self.decided += 1;
            if self.explain == Some(self.decided) {
                let record = self.decider.records().last().cloned();
                let candidates = self.decider.candidates(now);
                self.explanation = record.map(|record| Explanation { record, candidates });
            }
        }
        decision.action
    }
}

impl Policy for Mathematics {
    fn handle(&mut self, event: Event, now: Instant) -> Action {
        let decision = self.decider.handle(event, now)[0];
        if let (Helper::Learned, Event::Answered { upstream, accepted: false, .. }) = (&self.helper, event)
            && let Some(not_before) = learned::not_before(self.decider.spells(upstream))
        {
            self.decider.set_probe_plan(upstream, not_before);
        }
        self.decided(decision, now)
    }

    fn handle_timeout(&mut self, now: Instant) -> Action {
        if let Helper::Adviser { ask, next } = &mut self.helper
            && now >= *next
        {
            *next = now + ASK_EVERY;
            let decisions = match ask(&self.decider, now) {
                Some(Counsel::Advice(advice)) => self.decider.advise(advice, now).ok(),
                Some(Counsel::TakeBack) => self.decider.take_back_advice(now),
                None => None,
            };
            if let Some(decisions) = decisions {
                return self.decided(decisions[0], now);
            }
            // Being asked is no reason to look again: alone it would not have.
            if self.decider.poll_timeout().is_none_or(|at| now < at) {
                return Action::Keep;
            }
        }
        let decision = self.decider.handle_timeout(now)[0];
        self.decided(decision, now)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let ask = match &self.helper {
            Helper::Adviser { next, .. } => Some(*next),
            Helper::None | Helper::Learned => None,
        };
        self.decider.poll_timeout().into_iter().chain(ask).min()
    }

    fn taken(&mut self, job: JobKey, _: Instant) {
        self.decider.taken(job);
    }
}
