//! The truth behind a recorded log, as far as it shows.

use std::collections::HashSet;
use std::time::Duration;

use crate::replay::world::{Line, Truth, What, World};

/// Rejects of an upstream are averaged over so long: short enough to show a burst, long enough for some hundred shares.
const WINDOW: Duration = Duration::from_secs(1800);
/// With fewer answers in a window the rate stays what it was.
const LEAST_ANSWERS: u32 = 20;
/// So many shares without an answer, and no line since, are no chance. Source: the rule for dead upstreams.
const LEAST_UNANSWERED: u32 = 3;
/// The rate of an upstream before anything is known.
const USUAL_REJECTS: f64 = 0.005;

/// Adds lines of truth: a block is where it was first named, an upstream is away while its connection is closed or it leaves
/// shares without an answer, and it refuses what it was seen to refuse.
pub(super) fn truth(world: &mut World) {
    let mut found: Vec<_> = (0..world.upstreams.len())
        .map(|upstream| (Duration::ZERO, Truth::RejectRate(upstream, USUAL_REJECTS)))
        .collect();
    let mut blocks = HashSet::new();
    for line in &world.lines {
        let truth = match &line.what {
            What::Notify(_, notify) if blocks.insert(notify.parent) => {
                let Some(height) = notify.height else { continue };
                Truth::Block(notify.parent, height.saturating_sub(1))
            }
            What::Drop(upstream) => Truth::Outage(*upstream, true),
            What::Up(upstream) => Truth::Outage(*upstream, false),
            _ => continue,
        };
        found.push((line.at, truth));
    }
    for upstream in 0..world.upstreams.len() {
        found.extend(rejects(world, upstream));
        found.extend(silences(world, upstream));
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
            What::Answer(other, answer) if other == upstream => {
                *(if answer.accepted { &mut accepted } else { &mut rejected }) += 1;
            }
            _ => {}
        }
    }
    end_window(begins, accepted, rejected);
    rates
}

/// When an upstream was away with its connection open: from the first of some shares that it never answered to the next line
/// that it sent.
fn silences(world: &World, upstream: usize) -> Vec<(Duration, Truth)> {
    let is_answer = |line: &&Line| matches!(line.what, What::Answer(other, _) if other == upstream);
    let ended = |line: &Line| match line.what {
        What::Ended(other, share) if other == upstream => Some(share),
        _ => None,
    };
    let mut answered: HashSet<u64> = world.lines.iter().filter(is_answer).filter_map(share).collect();
    answered.extend(world.lines.iter().filter_map(ended));
    let (mut found, mut since, mut lost) = (Vec::new(), Duration::ZERO, 0_u32);
    for line in &world.lines {
        match line.what {
            What::Submitted(other, share) | What::Aside(other, share)
                if other == upstream && !answered.contains(&share) =>
            {
                since = if lost == 0 { line.at } else { since };
                lost += 1;
            }
            What::Notify(other, _) | What::Alive(other) | What::Answer(other, _) | What::Drop(other)
                if other == upstream =>
            {
                if lost >= LEAST_UNANSWERED {
                    found.push((since, Truth::Outage(upstream, true)));
                    if !matches!(line.what, What::Drop(_)) {
                        found.push((line.at, Truth::Outage(upstream, false)));
                    }
                }
                lost = 0;
            }
            _ => {}
        }
    }
    if lost >= LEAST_UNANSWERED {
        found.push((since, Truth::Outage(upstream, true)));
    }
    found
}

/// The number of the share that a line answers.
fn share(line: &Line) -> Option<u64> {
    match &line.what {
        What::Answer(_, answer) => answer.share.map(|(share, _)| share),
        _ => None,
    }
}
