//! What other miners do, as the yardstick below the mathematics.

use std::time::{Duration, Instant};

use super::Policy;
use crate::decision::{Action, Event, JobFacts, JobKey, ParentHash, UpstreamId};

/// Silent for so long an upstream is given up. Source: cgminer, `pool_unresponsive` in `watchpool_thread`.
const SILENCE: Duration = Duration::from_secs(90);
/// Alive for so long an upstream higher in the order is taken again. Source: bfgminer, `opt_fail_switch_delay`.
const RETURN: Duration = Duration::from_secs(300);

/// An upstream as these policies see it.
#[derive(Debug, Clone, Default)]
struct Seen {
    job: Option<(JobKey, ParentHash)>,
    connection: Option<u64>,
    last_line: Option<Instant>,
    /// Since when it has been alive, `None` from the start on.
    alive_since: Option<Instant>,
    is_dead: bool,
}

/// The first upstream of the order that is alive; its jobs as they come.
#[derive(Debug, Clone)]
pub struct FirstCome {
    upstreams: Vec<Seen>,
    current: Option<usize>,
    takes_unclean: bool,
}

impl FirstCome {
    /// New parents and clean jobs by a flush, others at the boundary.
    pub fn new(upstreams: usize) -> Self {
        Self { upstreams: vec![Seen::default(); upstreams], current: None, takes_unclean: true }
    }

    /// The same, but jobs that are not clean are never taken.
    pub fn never_unless_clean(upstreams: usize) -> Self {
        Self { takes_unclean: false, ..Self::new(upstreams) }
    }

    fn job(&mut self, upstream: usize, facts: &JobFacts, now: Instant) -> Action {
        self.heard(upstream, now);
        let seen = &mut self.upstreams[upstream];
        let before = seen.job.replace((facts.key, facts.parent));
        let same_connection = seen.connection.replace(facts.connection) == Some(facts.connection);
        let moved = self.choose(now);
        if moved != Action::Keep || self.current != Some(upstream) {
            return moved;
        }
        let same_parent = before.is_some_and(|(_, parent)| parent == facts.parent);
        if facts.clean || !same_parent || !same_connection {
            Action::Flush(UpstreamId(upstream), facts.key)
        } else if self.takes_unclean {
            Action::Boundary(UpstreamId(upstream), facts.key)
        } else {
            seen_again(&mut self.upstreams[upstream], before)
        }
    }

    fn heard(&mut self, upstream: usize, now: Instant) {
        let seen = &mut self.upstreams[upstream];
        seen.last_line = Some(now);
        if seen.is_dead {
            seen.is_dead = false;
            seen.alive_since = Some(now);
        }
    }

    /// The first that is alive, and a better one than the current only once it has been alive for long.
    fn choose(&mut self, now: Instant) -> Action {
        for seen in &mut self.upstreams {
            let is_silent = seen.last_line.is_some_and(|last| now >= last + SILENCE);
            seen.is_dead |= is_silent;
        }
        let may_be = |(at, seen): &(usize, &Seen)| {
            let waits = seen.alive_since.is_some_and(|since| now < since + RETURN);
            let must_wait = waits && self.current.is_some_and(|current| !self.upstreams[current].is_dead);
            seen.job.is_some() && !seen.is_dead && (!must_wait || self.current == Some(*at))
        };
        let Some((chosen, seen)) = self.upstreams.iter().enumerate().find(may_be) else {
            return Action::Keep;
        };
        let (job, _) = seen.job.expect("only those with a job may be chosen");
        if self.current == Some(chosen) {
            return Action::Keep;
        }
        self.current = Some(chosen);
        Action::Flush(UpstreamId(chosen), job)
    }
}

/// Forgets a job that is not taken.
fn seen_again(seen: &mut Seen, before: Option<(JobKey, ParentHash)>) -> Action {
    seen.job = before;
    Action::Keep
}

impl Policy for FirstCome {
    fn handle(&mut self, event: Event, now: Instant) -> Action {
        match event {
            Event::Job(UpstreamId(upstream), facts) => return self.job(upstream, &facts, now),
            Event::Alive(UpstreamId(upstream)) | Event::Answered { upstream: UpstreamId(upstream), .. } => {
                self.heard(upstream, now);
            }
            Event::Lost(UpstreamId(upstream)) => {
                self.upstreams[upstream].is_dead = true;
                self.upstreams[upstream].last_line = None;
            }
            Event::Submitted(..)
            | Event::Repute(..)
            | Event::Ended(..)
            | Event::NodeTip { .. }
            | Event::NodeRefused { .. }
            | Event::Device(_)
            | Event::Variance(..) => return Action::Keep,
        }
        self.choose(now)
    }

    fn handle_timeout(&mut self, now: Instant) -> Action {
        self.choose(now)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let current = self.current?;
        let silent = self.upstreams[current].last_line.map(|last| last + SILENCE);
        let silent = silent.filter(|_| !self.upstreams[current].is_dead);
        let better = self.upstreams[..current].iter().filter(|seen| !seen.is_dead);
        better.filter_map(|seen| Some(seen.alive_since? + RETURN)).chain(silent).min()
    }

    fn taken(&mut self, _: JobKey, _: Instant) {}
}

/// Every job of anybody, at once.
#[derive(Debug, Clone)]
pub struct AlwaysSwitch {
    jobs: Vec<Option<JobKey>>,
    current: Option<usize>,
}

impl AlwaysSwitch {
    /// For so many upstreams.
    pub fn new(upstreams: usize) -> Self {
        Self { jobs: vec![None; upstreams], current: None }
    }
}

impl Policy for AlwaysSwitch {
    fn handle(&mut self, event: Event, _: Instant) -> Action {
        let chosen = match event {
            Event::Job(UpstreamId(upstream), facts) => {
                self.jobs[upstream] = Some(facts.key);
                Some(upstream)
            }
            Event::Lost(UpstreamId(upstream)) => {
                self.jobs[upstream] = None;
                let is_ours = self.current == Some(upstream);
                self.jobs.iter().position(Option::is_some).filter(|_| is_ours)
            }
            _ => None,
        };
        let job = chosen.and_then(|chosen| Some((chosen, self.jobs[chosen]?)));
        let Some((chosen, job)) = job else { return Action::Keep };
        self.current = Some(chosen);
        Action::Flush(UpstreamId(chosen), job)
    }

    fn handle_timeout(&mut self, _: Instant) -> Action {
        Action::Keep
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn taken(&mut self, _: JobKey, _: Instant) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Checked;

    fn job(upstream: usize, key: u64, clean: bool) -> Event {
        let facts = JobFacts {
            key: JobKey(key),
            parent: [1; 32],
            height: Some(2),
            clean,
            fees: Some(0),
            connection: 0,
            proven_parent: true,
            checked: Checked::Passed,
        };
        Event::Job(UpstreamId(upstream), facts)
    }

    #[test]
    fn the_first_is_left_after_90_seconds_of_silence_and_taken_again_after_300_of_life() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut policy = FirstCome::new(2);
        assert_eq!(policy.handle(job(0, 1, true), start), Action::Flush(UpstreamId(0), JobKey(1)));
        assert_eq!(policy.handle(job(1, 2, true), after(80)), Action::Keep);
        assert_eq!(policy.poll_timeout(), Some(after(90)));
        assert_eq!(policy.handle_timeout(after(90)), Action::Flush(UpstreamId(1), JobKey(2)));
        assert_eq!(policy.handle(job(0, 3, true), after(100)), Action::Keep);
        for (seconds, key) in [(160, 4), (240, 5), (320, 6), (390, 7)] {
            assert_eq!(policy.handle(job(0, key, false), after(seconds)), Action::Keep);
            policy.handle(Event::Alive(UpstreamId(1)), after(seconds));
        }
        assert_eq!(policy.poll_timeout(), Some(after(400)));
        assert_eq!(policy.handle_timeout(after(400)), Action::Flush(UpstreamId(0), JobKey(7)));
    }

    #[test]
    fn jobs_that_are_not_clean_wait_for_the_boundary_or_are_never_taken() {
        let now = Instant::now();
        for (mut policy, expected) in [
            (FirstCome::new(1), Action::Boundary(UpstreamId(0), JobKey(2))),
            (FirstCome::never_unless_clean(1), Action::Keep),
        ] {
            policy.handle(job(0, 1, true), now);
            assert_eq!(policy.handle(job(0, 2, false), now), expected);
            assert_eq!(policy.handle(job(0, 3, true), now), Action::Flush(UpstreamId(0), JobKey(3)));
        }
    }

    #[test]
    fn who_always_switches_takes_every_job_and_any_other_when_a_connection_closes() {
        let now = Instant::now();
        let mut policy = AlwaysSwitch::new(2);
        for (upstream, key) in [(0, 1), (1, 2), (0, 3)] {
            let flush = Action::Flush(UpstreamId(upstream), JobKey(key));
            assert_eq!(policy.handle(job(upstream, key, false), now), flush);
        }
        assert_eq!(policy.handle(Event::Lost(UpstreamId(0)), now), Action::Flush(UpstreamId(1), JobKey(2)));
    }
}
