//! What a miner decides by, as the lines of a log while it happens.

use std::time::{Duration, Instant};

use super::entry::{Body, Entry};
use crate::decision::{Event, UpstreamId};
use crate::replay::world::{Device, Notify, Parent, Upstream, What};

/// Writes a log. It has no I/O: each event gives the text to append, with its ends of lines.
#[derive(Debug, Clone)]
pub struct Recorder {
    upstreams: Vec<Upstream>,
    /// Whose connection is closed.
    lost: Vec<bool>,
    start: Instant,
    jobs: u64,
}

impl Recorder {
    /// The first lines of a log too. Names are those of the operator's order, never those of accounts.
    pub fn new(upstreams: Vec<Upstream>, now: Instant) -> (Self, String) {
        let head = upstreams.iter().map(|upstream| text(Duration::ZERO, Body::upstream(upstream))).collect();
        (Self { lost: vec![false; upstreams.len()], upstreams, start: now, jobs: 0 }, head)
    }

    /// What an event adds; nothing for one that no replay needs, or of an upstream that is not in the log.
    pub fn event(&mut self, event: &Event, now: Instant) -> String {
        let at = now.saturating_duration_since(self.start);
        let what = match *event {
            Event::Job(UpstreamId(upstream), facts) => {
                let Some(lost) = self.lost.get_mut(upstream) else { return String::new() };
                let was_lost = std::mem::take(lost);
                self.jobs += 1;
                let notify = Notify {
                    parent: Parent(facts.parent),
                    height: facts.height.unwrap_or(0),
                    clean: facts.clean,
                    fees: facts.fees.unwrap_or(0),
                    pay_ok: !matches!(facts.checked, crate::decision::Checked::Rejected(_)),
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
            Event::Answered { upstream: UpstreamId(upstream), accepted, .. } => {
                What::Answer(upstream, accepted)
            }
            Event::NodeTip { parent, height } => What::NodeTip(Parent(parent), height),
            Event::NodeRefused { parent } => What::NodeRefused(Parent(parent)),
            Event::Device(figures) => {
                let device =
                    Device { flush: figures.flush, cross: figures.cross, boundary: figures.boundary };
                return text(at, Body::device(&device, SHARES_PER_SECOND));
            }
            Event::Submitted(..) | Event::Repute(..) => return String::new(),
        };
        self.line(at, &what)
    }

    fn line(&self, at: Duration, what: &What) -> String {
        let is_known = match what {
            What::Notify(upstream, _)
            | What::Alive(upstream)
            | What::Drop(upstream)
            | What::Up(upstream)
            | What::Answer(upstream, _) => *upstream < self.upstreams.len(),
            What::NodeTip(..) | What::NodeRefused(_) | What::Truth(_) => true,
        };
        if is_known { text(at, Body::what(what, &self.upstreams, self.jobs)) } else { String::new() }
    }
}

/// A replay draws shares of its own, at the rate that its figures hold for.
const SHARES_PER_SECOND: f64 = 0.3;

fn text(at: Duration, body: Body) -> String {
    let t_ms = at.as_micros() as f64 / 1e3;
    serde_json::to_string(&Entry { t_ms, body }).expect("numbers and texts are JSON") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::{Checked, DeviceFigures, JobFacts, JobKey, Scheme};
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
        let upstream = Upstream { name: "A".to_owned(), terms: terms(Scheme::Pplns, 0.02) };
        let (mut recorder, mut log) = Recorder::new(vec![upstream.clone()], start);
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
            (4, Event::Lost(id)),
            (5, Event::Job(id, facts(2, 1))),
            (6, Event::Alive(UpstreamId(9))),
        ] {
            log += &recorder.event(&event, after(seconds));
        }
        let world = read(&log).unwrap();
        assert_eq!(world.upstreams, [upstream]);
        let seen = world.lines.iter().filter(|line| !matches!(line.what, What::Truth(_)));
        let seen: Vec<_> = seen.map(|line| (line.at.as_secs(), &line.what)).collect();
        assert_eq!(seen.len(), 5);
        assert!(
            matches!(seen[0], (1, What::Notify(0, notify)) if notify.parent == Parent([1; 32]) && notify.connection == 0)
        );
        assert_eq!(seen[1], (2, &What::Answer(0, true)));
        assert_eq!(seen[2..4], [(4, &What::Drop(0)), (5, &What::Up(0))]);
        assert!(matches!(seen[4], (5, What::Notify(0, notify)) if notify.connection == 1));
    }
}
