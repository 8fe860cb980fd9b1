//! What is known of one pool's ways, and how its verdicts teach it. A habit belongs to the pool and not to a connection.

use std::fmt;

use super::lessons::{OptionalRequest, VersionLesson};
use super::stratum_message::Subscribed;
use crate::work::VersionConvention;

/// Refusals in a row that refute a convention which has brought shares home before: such a pool may have another
/// reason. Well below the rejects after which a session leaves.
const REFUTES_PROVEN: u32 = 5;

/// What we do otherwise from now on, and why. Its text follows the words "learnt that".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lesson {
    /// The pool judges shares by its newest difficulty, whatever their job came with.
    AtOnce,
    /// The pool hangs up on this request.
    HangsUpOn(OptionalRequest),
    /// The pool reads version bits the other way.
    Version {
        /// What it understands.
        convention: VersionConvention,
        /// How often that was learnt.
        switches: u32,
    },
}

impl fmt::Display for Lesson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtOnce => f.write_str(
                "a new difficulty counts at once there: shares of the running job are held to a higher one from now on",
            ),
            Self::HangsUpOn(request) => write!(f, "it hangs up on {request}, which it is not sent any more"),
            Self::Version { convention, switches } => {
                let reads = match convention {
                    VersionConvention::Field => "the header's own (BIP 310)",
                    VersionConvention::Delta => "the difference to the job's (XOR)",
                };
                write!(
                    f,
                    "it reads version bits as {reads}: shares name those from now on (switch {switches})"
                )
            }
        }
    }
}

/// Whether a pool gives itself away as public-pool, which XORs version bits: one subscription whose id is extranonce1,
/// and four bytes on either side.
pub fn is_public_pool(subscribed: &Subscribed) -> bool {
    let Subscribed { session_id, subscriptions, extranonce1, extranonce2_size } = subscribed;
    let is_extranonce1 = |id: &String| id.eq_ignore_ascii_case(&extranonce1.to_string());
    let sizes = (extranonce1.as_bytes().len(), extranonce2_size.bytes());
    *subscriptions == 1 && sizes == (4, 4) && session_id.as_ref().is_some_and(is_extranonce1)
}

/// Whether a notification shows that the pool is of ckpool's family: no other writes its members in this order.
pub fn is_ckpool(line: &str) -> bool {
    line.trim_start().starts_with("{\"params\"")
}

/// When a raised difficulty counts for a share.
///
/// Where nothing is known, at once: what such a pool would refuse is withheld, and one that judges by the job would have
/// taken it, but the next job comes soon. A lowered difficulty counts from the next job on everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimingHabit {
    /// Nothing is known: at once.
    #[default]
    Unknown,
    /// By the difficulty that was in force when the share's job came.
    PerJob,
    /// At once: a share that was judged otherwise was refused.
    AtOnce,
}

impl TimingHabit {
    /// Whether a share must meet the newest difficulty beside that of its job.
    pub fn is_at_once(self) -> bool {
        self != Self::PerJob
    }

    /// The pool looks like one that judges by the job; what shares have taught weighs more.
    pub fn presume_per_job(&mut self) {
        if *self == Self::Unknown {
            *self = Self::PerJob;
        }
    }

    /// A share was refused that meets the difficulty of its job and misses the newest.
    pub fn learn_at_once(&mut self) -> Option<Lesson> {
        let known = std::mem::replace(self, Self::AtOnce);
        (known == Self::PerJob).then_some(Lesson::AtOnce)
    }
}

/// How a pool reads version bits.
///
/// A convention that brought no share home is refuted by one refusal, and a proven one by several in a row;
/// each once, so that two wrong ones do not alternate for ever: the one with the better record stays then.
#[derive(Debug, Clone, Default)]
pub struct VersionHabit {
    convention: VersionConvention,
    switches: u32,
    field: Record,
    delta: Record,
}

/// What became of the shares that were sent by one convention. Only those count for which it matters.
#[derive(Debug, Clone, Copy, Default)]
struct Record {
    accepted: u32,
    refused: u32,
    refused_in_a_row: u32,
    refuted: bool,
}

impl Record {
    fn count(&mut self, accepted: bool) {
        if accepted {
            self.accepted = self.accepted.saturating_add(1);
            self.refused_in_a_row = 0;
        } else {
            self.refused = self.refused.saturating_add(1);
            self.refused_in_a_row = self.refused_in_a_row.saturating_add(1);
        }
    }

    fn is_refuted_now(&self) -> bool {
        let refutes = if self.accepted == 0 { 1 } else { REFUTES_PROVEN };
        !self.refuted && self.refused_in_a_row >= refutes
    }

    fn accepted_part(&self) -> f64 {
        f64::from(self.accepted) / (f64::from(self.accepted) + f64::from(self.refused)).max(1.0)
    }
}

impl VersionHabit {
    /// What the next share says of its version.
    pub fn convention(&self) -> VersionConvention {
        self.convention
    }

    /// What shares taught an earlier run.
    pub fn recall(VersionLesson { convention, switches }: VersionLesson) -> Self {
        Self { convention, switches, ..Self::default() }
    }

    /// What shares have taught, if anything.
    pub fn lesson(&self) -> Option<VersionLesson> {
        let Self { convention, switches, .. } = *self;
        (switches > 0).then_some(VersionLesson { convention, switches })
    }

    /// The pool looks like one of this convention; what shares have taught weighs more.
    pub fn presume(&mut self, convention: VersionConvention) {
        if self.switches == 0 {
            self.convention = convention;
        }
    }

    /// The verdict on a share that was sent by the convention `sent` and for which it matters: taken, or refused as
    /// though the hash were another. Shares that were on their way when the convention changed tell of the old one.
    pub fn learn(&mut self, sent: VersionConvention, accepted: bool) -> Option<Lesson> {
        let record = self.record(sent);
        record.count(accepted);
        if !record.is_refuted_now() || sent != self.convention {
            return None;
        }
        self.record(sent).refuted = true;
        let (refuted, other) = (*self.record(sent), *self.record(sent.other()));
        if other.refuted && other.accepted_part() <= refuted.accepted_part() {
            return None;
        }
        self.convention = sent.other();
        self.switches += 1;
        Some(Lesson::Version { convention: self.convention, switches: self.switches })
    }

    fn record(&mut self, convention: VersionConvention) -> &mut Record {
        match convention {
            VersionConvention::Field => &mut self.field,
            VersionConvention::Delta => &mut self.delta,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::VersionConvention::{Delta, Field};
    use super::*;
    use crate::work::{Extranonce1, Extranonce2Size};

    /// What the habit is after these verdicts, and how often it changed.
    fn after(verdicts: &[(VersionConvention, bool)]) -> (VersionConvention, u32) {
        let mut habit = VersionHabit::default();
        for (sent, accepted) in verdicts {
            habit.learn(*sent, *accepted);
        }
        (habit.convention, habit.switches)
    }

    #[test]
    fn one_refusal_refutes_a_convention_that_never_brought_a_share_home() {
        assert_eq!(after(&[]), (Field, 0));
        assert_eq!(after(&[(Field, false)]), (Delta, 1));
    }

    #[test]
    fn shares_on_their_way_when_the_convention_changed_tell_nothing_of_the_new_one() {
        assert_eq!(after(&[(Field, false); 20]), (Delta, 1));
        assert_eq!(after(&[(Field, false), (Field, false), (Delta, true), (Field, false)]), (Delta, 1));
    }

    #[test]
    fn a_proven_convention_falls_only_after_several_refusals_in_a_row() {
        let mut verdicts = vec![(Field, true)];
        verdicts.extend([(Field, false); 4]);
        assert_eq!(after(&verdicts), (Field, 0));
        verdicts.push((Field, true));
        verdicts.extend([(Field, false); 4]);
        assert_eq!(after(&verdicts), (Field, 0));
        verdicts.push((Field, false));
        assert_eq!(after(&verdicts), (Delta, 1));
    }

    #[test]
    fn each_convention_is_refuted_once_and_then_the_better_record_stays_for_good() {
        let neither = [(Field, false), (Delta, false), (Field, false), (Delta, false)];
        assert_eq!(after(&neither), (Delta, 1), "equal records are no reason to change");
        let mut verdicts = vec![(Field, true), (Field, true)];
        verdicts.extend([(Field, false); 5]);
        verdicts.push((Delta, false));
        assert_eq!(after(&verdicts), (Field, 2));
        verdicts.extend([(Field, false); 50]);
        assert_eq!(after(&verdicts), (Field, 2));
    }

    #[test]
    fn ckpool_is_known_by_the_order_of_its_members_until_a_refusal_shows_otherwise() {
        assert!(is_ckpool(r#"{"params": [2], "id": null, "method": "mining.set_difficulty"}"#));
        assert!(!is_ckpool(r#"{"id": null, "method": "mining.set_difficulty", "params": [2]}"#));
        let mut timing = TimingHabit::default();
        assert!(timing.is_at_once());
        timing.presume_per_job();
        assert!(!timing.is_at_once());
        assert_eq!(timing.learn_at_once(), Some(Lesson::AtOnce));
        assert_eq!(timing.learn_at_once(), None, "it is known");
        timing.presume_per_job();
        assert!(timing.is_at_once());
        assert_eq!(TimingHabit::Unknown.learn_at_once(), None, "we do so already");
    }

    #[test]
    fn public_pool_is_known_by_the_form_of_its_answer_and_what_shares_taught_weighs_more() {
        let answer = |id: &str, subscriptions, size| Subscribed {
            session_id: Some(id.to_owned()),
            subscriptions,
            extranonce1: Extranonce1::new(vec![0xab, 1, 2, 3]).unwrap(),
            extranonce2_size: Extranonce2Size::new(size).unwrap(),
        };
        assert!(is_public_pool(&answer("AB010203", 1, 4)));
        assert!(!is_public_pool(&answer("ab010203", 2, 4)));
        assert!(!is_public_pool(&answer("ab010203", 1, 8)));
        assert!(!is_public_pool(&answer("ab010204", 1, 4)));
        let mut habit = VersionHabit::default();
        habit.presume(Delta);
        assert_eq!(habit.convention(), Delta);
        habit.learn(Delta, false);
        habit.presume(Delta);
        assert_eq!(habit.convention(), Field);
    }
}
