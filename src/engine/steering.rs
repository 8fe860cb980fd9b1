//! Whom to hash for, by the operator's strategy: standings and time in, the chosen upstreams out.

use std::time::Instant;

use super::UpstreamId;
use super::policy::Strategy;

/// How an upstream stands at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It gives work and is above suspicion.
    Good {
        /// It has never failed, or not for a while: it may be preferred to another that works.
        settled: bool,
    },
    /// It gives work, and something is wrong with it.
    Suspect,
    /// Its connection is lost, and its last job may still be worth something.
    Parting,
    /// It is of no use.
    Out,
}

/// The choice in force.
#[derive(Debug)]
pub(super) struct Steering {
    strategy: Strategy,
    active: Vec<UpstreamId>,
    /// The last one chosen by a strategy that takes turns.
    last: Option<UpstreamId>,
    turn_ends: Option<Instant>,
}

impl Steering {
    /// Nobody is chosen yet.
    pub(super) fn new(strategy: Strategy) -> Self {
        Self { strategy, active: Vec::new(), last: None, turn_ends: None }
    }

    /// Nobody is chosen any more.
    pub(super) fn stop(&mut self) {
        (self.active, self.turn_ends) = (Vec::new(), None);
    }

    /// The upstreams to hash for, in the operator's order.
    pub(super) fn active(&self) -> &[UpstreamId] {
        &self.active
    }

    /// Whether hashing is split among several.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self.strategy, Strategy::LoadBalance | Strategy::Quota)
    }

    /// When the turn of the chosen one ends.
    pub(super) fn turn_ends(&self) -> Option<Instant> {
        self.turn_ends
    }

    /// Takes what the value rule has chosen. Returns the choice before.
    pub(super) fn choose(&mut self, next: Vec<UpstreamId>) -> Vec<UpstreamId> {
        self.last = next.first().copied().or(self.last);
        std::mem::replace(&mut self.active, next)
    }

    /// Chooses anew; `standings` are in the operator's order. Returns the choice before when it was another.
    pub(super) fn steer(&mut self, standings: &[Standing], now: Instant) -> Option<Vec<UpstreamId>> {
        let candidates = self.candidates(standings);
        let stay = self.active.first().copied().filter(|active| candidates.contains(active));
        let next = match self.strategy {
            Strategy::LoadBalance | Strategy::Quota => candidates,
            Strategy::Failover => {
                let is_settled = |id: &UpstreamId| {
                    standings[id.0] == Standing::Good { settled: true } && Some(*id) <= stay
                };
                let better = candidates.iter().copied().find(is_settled);
                better.or(stay).or(candidates.first().copied()).into_iter().collect()
            }
            // Chosen by `choose`.
            Strategy::Value => return None,
            Strategy::RoundRobin => stay.or_else(|| self.next_turn(&candidates)).into_iter().collect(),
            Strategy::Rotate(every) => {
                let is_over = self.turn_ends.is_some_and(|end| now >= end);
                let next = stay.filter(|_| !is_over).or_else(|| self.next_turn(&candidates));
                if is_over || next != stay {
                    self.turn_ends = next.map(|_| now + every);
                }
                next.into_iter().collect()
            }
        };
        self.last = next.first().copied().or(self.last);
        (next != self.active).then(|| std::mem::replace(&mut self.active, next))
    }

    /// Those of the best standing that anybody has.
    fn candidates(&self, standings: &[Standing]) -> Vec<UpstreamId> {
        let all = || (0..standings.len()).map(UpstreamId);
        let tiers: [&dyn Fn(UpstreamId) -> bool; 3] = [
            &|id| matches!(standings[id.0], Standing::Good { .. }),
            &|id| standings[id.0] == Standing::Suspect,
            // Work of a lost upstream is gone on with, never turned to.
            &|id| standings[id.0] == Standing::Parting && self.active.contains(&id),
        ];
        let tier = |is_in: &&dyn Fn(UpstreamId) -> bool| all().filter(|id| is_in(*id)).collect::<Vec<_>>();
        tiers.iter().map(tier).find(|tier| !tier.is_empty()).unwrap_or_default()
    }

    /// The next after the last chosen, around the list.
    fn next_turn(&self, candidates: &[UpstreamId]) -> Option<UpstreamId> {
        let later = candidates.iter().copied().find(|id| Some(*id) > self.last);
        later.or(candidates.first().copied())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const GOOD: Standing = Standing::Good { settled: true };
    const FRESH: Standing = Standing::Good { settled: false };
    const SUSPECT: Standing = Standing::Suspect;
    const PARTING: Standing = Standing::Parting;
    const OUT: Standing = Standing::Out;

    fn chosen(steering: &mut Steering, standings: &[Standing], now: Instant) -> Vec<usize> {
        steering.steer(standings, now);
        steering.active().iter().map(|id| id.0).collect()
    }

    #[test]
    fn failover_takes_the_best_that_works_and_returns_only_to_one_that_has_settled() {
        let now = Instant::now();
        let mut steering = Steering::new(Strategy::Failover);
        for (standings, expected) in [
            ([OUT, OUT, OUT], vec![]),
            ([OUT, GOOD, GOOD], vec![1]),
            ([FRESH, GOOD, GOOD], vec![1]), // it has failed before
            ([GOOD, GOOD, GOOD], vec![0]),
            ([PARTING, GOOD, GOOD], vec![1]),
            ([FRESH, OUT, GOOD], vec![0]), // the one in use is gone: the best of the others, settled or not
            ([SUSPECT, FRESH, GOOD], vec![1]),
            ([SUSPECT, OUT, OUT], vec![0]),
            ([PARTING, OUT, OUT], vec![0]),
            ([OUT, OUT, PARTING], vec![]), // work of a lost one is never turned to
        ] {
            assert_eq!(chosen(&mut steering, &standings, now), expected, "{standings:?}");
        }
    }

    #[test]
    fn a_shared_choice_is_everybody_above_suspicion_or_else_everybody_at_all() {
        let now = Instant::now();
        let mut steering = Steering::new(Strategy::Quota);
        assert_eq!(chosen(&mut steering, &[GOOD, SUSPECT, FRESH], now), [0, 2]);
        assert_eq!(chosen(&mut steering, &[OUT, SUSPECT, OUT], now), [1]);
        assert!(steering.is_shared());
    }

    #[test]
    fn round_robin_stays_until_its_pool_fails_and_goes_on_around_the_list() {
        let now = Instant::now();
        let mut steering = Steering::new(Strategy::RoundRobin);
        for (standings, expected) in [
            ([GOOD, GOOD, GOOD], vec![0]),
            ([OUT, GOOD, GOOD], vec![1]),
            ([GOOD, GOOD, GOOD], vec![1]),
            ([GOOD, OUT, GOOD], vec![2]),
            ([OUT, OUT, OUT], vec![]),
            ([GOOD, GOOD, OUT], vec![0]),
        ] {
            assert_eq!(chosen(&mut steering, &standings, now), expected, "{standings:?}");
        }
    }

    #[test]
    fn rotate_gives_each_its_turn_and_leaves_out_who_is_gone() {
        let start = Instant::now();
        let minutes = |minutes| start + Duration::from_secs(60) * minutes;
        let mut steering = Steering::new(Strategy::Rotate(Duration::from_secs(60)));
        assert_eq!(chosen(&mut steering, &[GOOD; 3], minutes(0)), [0]);
        assert_eq!(steering.turn_ends(), Some(minutes(1)));
        assert_eq!(chosen(&mut steering, &[GOOD; 3], minutes(0)), [0]);
        assert_eq!(chosen(&mut steering, &[GOOD; 3], minutes(1)), [1]);
        assert_eq!(chosen(&mut steering, &[GOOD, GOOD, OUT], minutes(2)), [0]);
        assert_eq!(chosen(&mut steering, &[GOOD, OUT, OUT], minutes(3)), [0]);
        assert_eq!(steering.turn_ends(), Some(minutes(4)), "alone, it gets the next turn too");
    }
}
