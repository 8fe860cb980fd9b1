//! The truth behind a recorded log, as far as it shows.

use std::collections::HashSet;
use std::time::Duration;

use crate::replay::world::{Line, Truth, What, World};

/// Rejects of an upstream are averaged over so long: short enough to show a burst, long enough for some hundred shares.
const WINDOW: Duration = Duration::from_secs(1800);
/// With fewer answers in a window the rate stays what it was.
const LEAST_ANSWERS: u32 = 20;
/// The rate of an upstream before anything is known.
const USUAL_REJECTS: f64 = 0.005;

/// Adds lines of truth: a block is where it was first named, an upstream is away while its connection is closed, and it
/// refuses what it was seen to refuse.
pub(super) fn truth(world: &mut World) {
    let mut found: Vec<_> = (0..world.upstreams.len())
        .map(|upstream| (Duration::ZERO, Truth::RejectRate(upstream, USUAL_REJECTS)))
        .collect();
    let mut blocks = HashSet::new();
    for line in &world.lines {
        let truth = match &line.what {
            What::Notify(_, notify) if blocks.insert(notify.parent) => {
                Truth::Block(notify.parent, notify.height.saturating_sub(1))
            }
            What::Drop(upstream) => Truth::Outage(*upstream, true),
            What::Up(upstream) => Truth::Outage(*upstream, false),
            _ => continue,
        };
        found.push((line.at, truth));
    }
    for upstream in 0..world.upstreams.len() {
        found.extend(rejects(world, upstream));
    }
    let lines = found.into_iter().map(|(at, truth)| Line { at, what: What::Truth(truth) });
    world.lines.extend(lines);
    world.lines.sort_by_key(|line| (line.at, !matches!(line.what, What::Truth(_))));
}

/// The reject rate of an upstream in each window that has answers enough.
fn rejects(world: &World, upstream: usize) -> Vec<(Duration, Truth)> {
    let mut rates = Vec::new();
    let (mut begins, mut accepted, mut rejected) = (Duration::ZERO, 0_u32, 0_u32);
    let mut end_window = |begins: Duration, accepted: u32, rejected: u32| {
        let answers = accepted + rejected;
        if answers >= LEAST_ANSWERS {
            rates.push((begins, Truth::RejectRate(upstream, f64::from(rejected) / f64::from(answers))));
        }
    };
    for line in &world.lines {
        if line.at >= begins + WINDOW {
            end_window(begins, accepted, rejected);
            (begins, accepted, rejected) = (line.at, 0, 0);
        }
        match line.what {
            What::Answer(other, true) if other == upstream => accepted = accepted.saturating_add(1),
            What::Answer(other, false) if other == upstream => rejected = rejected.saturating_add(1),
            _ => {}
        }
    }
    end_window(begins, accepted, rejected);
    rates
}
