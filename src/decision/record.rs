//! What was decided, with what the alternatives were worth: to explain it, to replay it and to score it.

use std::collections::VecDeque;
use std::time::Instant;

use super::input::UpstreamId;
use super::output::{Action, Decision, Reason};

/// So many decisions are kept.
pub const KEPT: usize = 1000;

/// So many are looked through for the last one of an upstream.
const LOOKED_BACK: usize = 64;

/// A decision as it was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// When.
    pub at: Instant,
    /// What, and why.
    pub decision: Decision,
    /// Whom was hashed for before.
    pub before: Option<UpstreamId>,
    /// What all upstreams were worth, in the operator's order.
    pub alternatives: Vec<Alternative>,
}

/// What an upstream was worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Alternative {
    /// Which.
    pub upstream: UpstreamId,
    /// `w`.
    pub value: f64,
    /// With its optimism.
    pub index: f64,
}

/// How often what was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Decisions by the line that they follow, 0 to 14; those that keep what runs among them.
    pub by_line: [u64; 15],
    /// Flushes, moves among them.
    pub flushes: u64,
    /// Jobs taken at the boundary.
    pub boundaries: u64,
    /// Flushes for another upstream than before.
    pub moves: u64,
}

/// The last decisions.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Journal {
    records: VecDeque<Record>,
    written: u64,
    pub(super) counts: Counts,
}

impl Journal {
    /// A decision was made. One that keeps what runs, for the reason that kept it before, is counted and not written.
    pub(super) fn note(
        &mut self,
        decision: Decision,
        before: Option<UpstreamId>,
        alternatives: impl FnOnce() -> Vec<Alternative>,
        now: Instant,
    ) {
        self.counts.by_line[usize::from(decision.line).min(14)] += 1;
        match decision.action {
            Action::Flush(upstream, _) => {
                self.counts.flushes += 1;
                self.counts.moves += u64::from(before.is_some_and(|before| before != upstream));
            }
            Action::Boundary(..) => self.counts.boundaries += 1,
            Action::Keep | Action::Close(_) | Action::Idle => {}
        }
        // Where hashing is shared, each upstream keeps what it has for reasons of its own.
        let last = self.records.iter().rev().take(LOOKED_BACK).find(|last| last.before == before);
        let repeats = last.is_some_and(|last| is_same_kind(&last.decision.reason, &decision.reason));
        if decision.action == Action::Keep && repeats {
            return;
        }
        if self.records.len() == KEPT {
            self.records.pop_front();
        }
        self.written += 1;
        self.records.push_back(Record { at: now, decision, before, alternatives: alternatives() });
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.iter()
    }

    /// Those that are kept of what was written after so many others.
    pub(super) fn records_after(&self, written: u64) -> impl Iterator<Item = &Record> {
        let newer = usize::try_from(self.written.saturating_sub(written)).unwrap_or(KEPT);
        self.records.iter().skip(self.records.len().saturating_sub(newer))
    }

    /// How many there were.
    pub(super) fn written(&self) -> u64 {
        self.written
    }
}

fn is_same_kind(a: &Reason, b: &Reason) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::{JobKey, Spoke};

    #[test]
    fn the_last_thousand_are_kept_and_repeated_keeping_is_only_counted() {
        let now = Instant::now();
        let mut journal = Journal::default();
        let note = |journal: &mut Journal, action, reason| {
            let decision = Decision { action, line: 8, reason, spoke: Spoke::Mathematics };
            journal.note(decision, Some(UpstreamId(0)), Vec::new, now);
        };
        for _ in 0..5 {
            note(&mut journal, Action::Keep, Reason::NothingBetter);
        }
        assert_eq!((journal.records().count(), journal.counts.by_line[8]), (1, 5));
        for key in 0..2000 {
            note(
                &mut journal,
                Action::Flush(UpstreamId(key as usize % 2), JobKey(key)),
                Reason::CleanAndQuick,
            );
        }
        assert_eq!(journal.records().count(), KEPT);
        assert_eq!((journal.counts.flushes, journal.counts.moves), (2000, 1000));
        assert_eq!((journal.written(), journal.records_after(1998).count()), (2001, 3));
        assert_eq!((journal.records_after(2001).count(), journal.records_after(0).count()), (0, KEPT));
    }
}
