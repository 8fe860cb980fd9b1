//! A policy that is looked at while it decides.

use std::time::Instant;

use signalcore::decision::{Action, Event, JobKey};
use signalcore::replay::policy::Policy;

/// Who looks.
pub(crate) trait Watch<P> {
    /// It is going to be told this.
    fn told(&mut self, event: Event, now: Instant);
    /// It has done this.
    fn did(&mut self, policy: &P, action: Action, now: Instant);
}

/// The policy, and who looks at it.
pub(crate) struct Watched<P, W> {
    pub(crate) policy: P,
    pub(crate) watch: W,
}

impl<P: Policy, W: Watch<P>> Policy for Watched<P, W> {
    fn handle(&mut self, event: Event, now: Instant) -> Action {
        self.watch.told(event, now);
        let action = self.policy.handle(event, now);
        self.watch.did(&self.policy, action, now);
        action
    }

    fn handle_timeout(&mut self, now: Instant) -> Action {
        let action = self.policy.handle_timeout(now);
        self.watch.did(&self.policy, action, now);
        action
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.policy.poll_timeout()
    }

    fn taken(&mut self, job: JobKey, now: Instant) {
        self.policy.taken(job, now);
    }
}
