mod advice;
mod properties;
mod scripts;
mod strategies;

use std::time::{Duration, Instant};

use super::*;

/// Terms of a pool with this fee.
fn terms(scheme: Scheme, fee: f64) -> Terms {
    Terms { fee, payout_factor: 1.0, scheme, kappa: None, vouches: false }
}

/// A decider and its time in seconds.
struct World {
    decider: Decider,
    start: Instant,
    next_key: u64,
}

/// A job to be told: on the block of this name, which has this height.
#[derive(Clone, Copy)]
struct Told {
    upstream: usize,
    name: u8,
    height: u32,
    clean: bool,
    fees: u64,
    connection: u64,
    checked: Checked,
}

/// A clean job that passed its checks.
fn clean(upstream: usize, name: u8, height: u32) -> Told {
    Told { upstream, name, height, clean: true, fees: 2_000_000, connection: 0, checked: Checked::Passed }
}

impl World {
    fn new(upstreams: &[Terms]) -> Self {
        Self::by(Strategy::Value, upstreams)
    }

    fn by(strategy: Strategy, upstreams: &[Terms]) -> Self {
        let start = Instant::now();
        let settings = Settings { strategy, ..Settings::default() };
        let decider = Decider::new(settings, upstreams, 1, start);
        Self { decider, start, next_key: 0 }
    }

    /// Upstreams of one scheme with fees of 1 %, 2 %, ...
    fn of(scheme: Scheme, count: usize) -> Self {
        let all: Vec<_> = (1..=count).map(|percent| terms(scheme, percent as f64 / 100.0)).collect();
        Self::new(&all)
    }

    fn at(&self, second: f64) -> Instant {
        self.start + Duration::from_secs_f64(second)
    }

    /// Lets all deadlines up to a second pass. Returns what was decided other than keeping.
    fn pass(&mut self, second: f64) -> Vec<(f64, Action)> {
        let mut acted = Vec::new();
        while let Some(due) = self.decider.poll_timeout().filter(|due| *due <= self.at(second)) {
            for Decision { action, .. } in self.decider.handle_timeout(due) {
                if action != Action::Keep {
                    acted.push(((due - self.start).as_secs_f64(), action));
                }
            }
        }
        acted
    }

    fn event(&mut self, second: f64, event: Event) -> Decision {
        self.pass(second);
        self.decider.handle(event, self.at(second))[0]
    }

    fn job(&mut self, second: f64, told: Told) -> Decision {
        self.next_key += 1;
        let facts = JobFacts {
            key: JobKey(self.next_key),
            parent: [told.name; 32],
            height: Some(told.height + 1),
            clean: told.clean,
            fees: Some(told.fees),
            connection: told.connection,
            proven_parent: true,
            checked: told.checked,
        };
        self.event(second, Event::Job(UpstreamId(told.upstream), facts))
    }

    /// The last job that was told.
    fn last(&self, upstream: usize) -> (UpstreamId, JobKey) {
        (UpstreamId(upstream), JobKey(self.next_key))
    }

    fn flush(&self, upstream: usize) -> Action {
        let (upstream, job) = self.last(upstream);
        Action::Flush(upstream, job)
    }

    /// A share that is answered within 50 ms.
    fn share(&mut self, second: f64, upstream: usize, accepted: bool) -> Decision {
        self.next_key += 1; // a number of its own
        let (share, upstream) = (self.next_key, UpstreamId(upstream));
        let job = self.decider.running().map_or(JobKey(0), |(_, job)| job);
        self.event(second, Event::Submitted(upstream, share));
        let code = (!accepted).then_some(23);
        self.event(second + 0.05, Event::Answered { upstream, share, job, accepted, code, weight: 1.0 })
    }

    /// All upstreams repeat a job on this block every 30 s; `keep` is called after each round. Ends at a second.
    fn quiet(
        &mut self,
        from: f64,
        to: f64,
        upstreams: &[usize],
        name: u8,
        height: u32,
    ) -> Vec<(f64, Action)> {
        let mut acted = Vec::new();
        let mut second = from;
        while second < to {
            acted.extend(self.pass(second));
            for upstream in upstreams {
                let decision = self.job(second, Told { clean: false, ..clean(*upstream, name, height) });
                if let Action::Flush(..) | Action::Idle = decision.action {
                    acted.push((second, decision.action));
                }
            }
            second += 30.0;
        }
        acted
    }
}
