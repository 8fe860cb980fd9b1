//! What a miner decides by, as the lines of a log while it happens.

use std::time::{Duration, Instant};

use super::entry::{Body, Entry};
use crate::decision::{Call, Checked, DeviceFigures, Event, UpstreamId};
use crate::replay::world::{Answer, Check, Device, Notify, Parent, Rules, Upstream, What};

/// Writes a log. It has no I/O: each event gives the text to append, with its ends of lines.
#[derive(Debug, Clone)]
pub struct Recorder {
    upstreams: Vec<Upstream>,
    /// Whose connection is closed.
    lost: Vec<bool>,
    start: Instant,
}

impl Recorder {
    /// The first lines of a log too. Names are those of the operator's order, never those of accounts. `start` is when the
    /// decider was made.
    pub fn new(upstreams: Vec<Upstream>, rules: &Rules, start: Instant) -> (Self, String) {
        let begin = |body: Body| text(Duration::ZERO, body);
        let mut head: String = super::settings::line(rules).map(begin).unwrap_or_default();
        head.extend(upstreams.iter().map(|upstream| begin(Body::upstream(upstream))));
        // Until it is measured, as the decider takes it.
        head += &begin(Body::device(&device(DeviceFigures::default()), 0.0));
        (Self { lost: vec![false; upstreams.len()], upstreams, start }, head)
    }

    /// What a call of the decider adds; nothing for one of an upstream that is not in the log.
    pub fn call(&mut self, call: &Call, now: Instant) -> String {
        let at = now.saturating_duration_since(self.start);
        match call {
            Call::Aside(Event::Submitted(UpstreamId(upstream), share)) => {
                self.line(at, &What::Aside(*upstream, *share))
            }
            Call::Event(event) | Call::Aside(event) => self.event(event, at),
            Call::Timeout => self.line(at, &What::Wake),
        }
    }

    fn event(&mut self, event: &Event, at: Duration) -> String {
        let what = match *event {
            Event::Job(UpstreamId(upstream), facts) => {
                let Some(lost) = self.lost.get_mut(upstream) else { return String::new() };
                let was_lost = std::mem::take(lost);
                let notify = Notify {
                    job: facts.key.0,
                    parent: Parent(facts.parent),
                    height: facts.height,
                    clean: facts.clean,
                    fees: facts.fees,
                    check: match facts.checked {
                        Checked::Passed => Check::Passed,
                        Checked::Hold(_) => Check::Held,
                        Checked::Rejected(_) => Check::Failed,
                    },
                    known: facts.proven_parent,
                    connection: facts.connection,
                };
                let up = if was_lost { self.line(at, &What::Up(upstream)) } else { String::new() };
                return up + &self.line(at, &What::Notify(upstream, notify));
            }
            Event::Alive(UpstreamId(upstream)) => What::Alive(upstream),
            Event::Lost(UpstreamId(upstream)) => {
                if let Some(lost) = self.lost.get_mut(upstream) {
                    *lost = true;
                }
                What::Drop(upstream)
            }
            Event::Answered { upstream: UpstreamId(upstream), share, job, accepted, code, weight } => {
                What::Answer(upstream, Answer { share: Some((share, job.0)), accepted, code, weight })
            }
            Event::Submitted(UpstreamId(upstream), share) => What::Submitted(upstream, share),
            Event::Ended(UpstreamId(upstream), share) => What::Ended(upstream, share),
            Event::NodeTip { parent, height } => What::NodeTip(Parent(parent), height),
            Event::NodeRefused { parent } => What::NodeRefused(Parent(parent)),
            Event::Device(figures) => What::Device(device(figures)),
            Event::Variance(UpstreamId(upstream), variance) => What::Variance(upstream, variance),
            Event::Repute(UpstreamId(upstream), repute) => What::Repute(upstream, repute),
        };
        self.line(at, &what)
    }

    fn line(&self, at: Duration, what: &What) -> String {
        let is_known = match what {
            What::Notify(upstream, _)
            | What::Alive(upstream)
            | What::Drop(upstream)
            | What::Up(upstream)
            | What::Submitted(upstream, _)
            | What::Aside(upstream, _)
            | What::Variance(upstream, _)
            | What::Ended(upstream, _)
            | What::Repute(upstream, _)
            | What::Answer(upstream, _) => *upstream < self.upstreams.len(),
            What::NodeTip(..) | What::NodeRefused(_) | What::Device(_) | What::Wake | What::Truth(_) => true,
        };
        // Every share is in the log: a replay makes none up.
        if is_known { text(at, Body::what(what, &self.upstreams, 0.0)) } else { String::new() }
    }
}

fn device(figures: DeviceFigures) -> Device {
    let DeviceFigures { flush, cross, boundary, .. } = figures;
    Device { flush, cross, boundary }
}

fn text(at: Duration, body: Body) -> String {
    let t_ms = super::millis(at);
    serde_json::to_string(&Entry { t_ms, body }).expect("numbers and texts are JSON") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::{DeviceFigures, JobFacts, JobKey, Repute, Scheme};
    use crate::replay::generate::terms;
    use crate::replay::log::read;

    fn facts(parent: u8, connection: u64) -> JobFacts {
        JobFacts {
            key: JobKey(u64::from(parent)),
            parent: [parent; 32],
            height: Some(900_000 + u32::from(parent)),
            clean: true,
            fees: Some(1_000_000),
            connection,
            proven_parent: true,
            checked: Checked::Passed,
        }
    }

    #[test]
    fn what_is_recorded_is_read_again_with_its_times_and_connections() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let upstream = Upstream { name: "A".to_owned(), terms: terms(Scheme::Pplns, 0.02), patience: None };
        let (mut recorder, mut log) = Recorder::new(vec![upstream.clone()], &Rules::default(), start);
        let id = UpstreamId(0);
        let answered = Event::Answered {
            upstream: id,
            share: 1,
            job: JobKey(1),
            accepted: true,
            code: None,
            weight: 1.0,
        };
        for (seconds, event) in [
            (0, Event::Device(DeviceFigures::default())),
            (1, Event::Job(id, facts(1, 0))),
            (2, answered),
            (3, Event::Submitted(id, 2)),
            (3, Event::Ended(id, 2)),
            (4, Event::Repute(id, Repute::Recovering)),
            (4, Event::Lost(id)),
            (5, Event::Job(id, facts(2, 1))),
            (6, Event::Alive(UpstreamId(9))),
        ] {
            log += &recorder.call(&Call::Event(event), after(seconds));
        }
        log += &recorder.call(&Call::Aside(Event::Submitted(id, 7)), after(6));
        log += &recorder.call(&Call::Event(Event::Variance(id, 0.1 + 0.2)), after(7));
        log += &recorder.call(&Call::Timeout, after(8));
        let world = read(&log).unwrap();
        assert_eq!(world.upstreams, [upstream]);
        let seen = world.lines.iter().filter(|line| !matches!(line.what, What::Truth(_)));
        let seen: Vec<_> = seen.map(|line| (line.at.as_secs(), &line.what)).collect();
        assert_eq!(seen.len(), 12);
        assert!(matches!(seen[0], (0, What::Device(_))), "after the one that nobody has measured");
        assert!(
            matches!(seen[1], (1, What::Notify(0, notify)) if notify.parent == Parent([1; 32]) && notify.connection == 0)
        );
        let answer = Answer { share: Some((1, 0)), accepted: true, code: None, weight: 1.0 };
        assert_eq!(seen[2..4], [(2, &What::Answer(0, answer)), (3, &What::Submitted(0, 2))]);
        assert_eq!(seen[4..6], [(3, &What::Ended(0, 2)), (4, &What::Repute(0, Repute::Recovering))]);
        assert_eq!(seen[6..8], [(4, &What::Drop(0)), (5, &What::Up(0))]);
        assert!(matches!(seen[8], (5, What::Notify(0, notify)) if notify.connection == 1));
        let aside = [(6, &What::Aside(0, 7)), (7, &What::Variance(0, 0.1 + 0.2)), (8, &What::Wake)];
        assert_eq!(seen[9..], aside);
    }
}
