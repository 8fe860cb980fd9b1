//! The staged checks of a job, from its fields to what a node says of the block it would make.
//!
//! Each check has a level, and runs when that is at most the level the operator set: 0 runs none, 16000 all. Those of 1000 to
//! 13000 stand between a job and the boards and take some ten microseconds together; those above run beside hashing.
//! [`CHECKS`] is the whole list. What a check would compare with is handed in as a [`Context`], and whatever of it is
//! missing leaves the check [`Outcome::Open`]: nothing is guessed.
//!
//! Pure: no I/O, no clock, nothing above `work` is imported.

mod after;
mod bits;
mod coinbase;
pub mod context;
pub mod digest;
mod entropy;
mod fields;
mod forks;
mod merkle;
mod outputs;
mod parent;
mod payout;
mod time;

use std::fmt;
use std::time::Duration;

use self::coinbase::Reading;
pub use self::context::Context;
use self::digest::{Origin, Stamp};
pub use self::entropy::search_space_bits;
pub use self::time::TOO_NEW;
use crate::work::payout::CoinbaseError;
use crate::work::{Job, coinbase::height};

/// How many checks run: those whose own level is no higher. Unit: 0 to 16000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(u16);

impl Level {
    /// No check but the limits that parsing has.
    pub const NONE: Self = Self(0);
    /// All of them.
    pub const ALL: Self = Self(16_000);
    /// Those that stand between a job and the boards.
    pub const BEFORE_DISPATCH: Self = Self(13_000);

    /// Checks a number; `None` above 16000.
    pub fn new(level: u32) -> Option<Self> {
        u16::try_from(level).ok().map(Self).filter(|level| *level <= Self::ALL)
    }

    /// The number.
    pub fn value(self) -> u16 {
        self.0
    }

    /// Whether a check of this level runs.
    pub fn includes(self, check: u16) -> bool {
        check <= self.0
    }
}

impl Default for Level {
    fn default() -> Self {
        Self::ALL
    }
}

/// How long an upstream is left alone for jobs that failed their checks, when that happened so many times before: ten minutes,
/// doubling to six hours.
pub fn quarantine(times_before: u32) -> Duration {
    const FIRST: Duration = Duration::from_secs(600);
    const LONGEST: Duration = Duration::from_secs(6 * 3600);
    FIRST.saturating_mul(2u32.saturating_pow(times_before)).min(LONGEST)
}

/// What a check comes to, the mildest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// As it should be.
    Pass,
    /// Not judged: what it would be compared with is not known. Nothing follows from it.
    Open,
    /// Strange: told, and mined on.
    Warn,
    /// The job may not replace the running one until the cause clears or a grace ends.
    Hold,
    /// The job must not be mined.
    Reject,
}

impl Outcome {
    /// The word for it that programs match on.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Open => "open",
            Self::Warn => "warn",
            Self::Hold => "hold",
            Self::Reject => "reject",
        }
    }
}

/// What a check's time grows with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// Nothing: well below a microsecond.
    Constant,
    /// The coinbase's bytes: about a microsecond each kilobyte.
    Bytes,
    /// The hashes of a merkle branch, four times over: some ten microseconds.
    Hashes,
    /// A node's answer, up to a second; it is only read here.
    Node,
}

/// One check.
#[derive(Debug)]
pub struct Check {
    /// From which level on it runs.
    pub level: u16,
    /// The family it belongs to.
    pub family: &'static str,
    /// What it is about.
    pub name: &'static str,
    /// What its time grows with.
    pub cost: Cost,
    /// The worst it may come to.
    pub worst: Outcome,
    judge: fn(&JobUnderTest<'_>, &Context) -> Judgement,
}

/// All checks, in the order in which they run.
#[rustfmt::skip]
pub static CHECKS: [Check; 16] = [
    Check { level: 1_000, family: "IntegrityCheck", name: "fields", cost: Cost::Constant, worst: Outcome::Reject, judge: fields::check },
    Check { level: 2_000, family: "IntegrityCheck", name: "coinbase", cost: Cost::Bytes, worst: Outcome::Reject, judge: coinbase::check },
    Check { level: 3_000, family: "DriftCheck", name: "ntime", cost: Cost::Constant, worst: Outcome::Reject, judge: time::check },
    Check { level: 4_000, family: "IntegrityCheck", name: "nbits", cost: Cost::Constant, worst: Outcome::Reject, judge: bits::check },
    Check { level: 5_000, family: "ForkIntegrity", name: "parent's work", cost: Cost::Constant, worst: Outcome::Reject, judge: parent::work },
    Check { level: 6_000, family: "EntropyBalance", name: "search space", cost: Cost::Constant, worst: Outcome::Reject, judge: entropy::balance },
    Check { level: 7_000, family: "EntropyParity", name: "no work twice", cost: Cost::Constant, worst: Outcome::Reject, judge: entropy::parity },
    Check { level: 8_000, family: "RecursionSync", name: "parent known", cost: Cost::Constant, worst: Outcome::Reject, judge: parent::known },
    Check { level: 9_000, family: "RecursionSync", name: "height", cost: Cost::Constant, worst: Outcome::Reject, judge: parent::height },
    Check { level: 10_000, family: "IntegrityCheck", name: "outputs", cost: Cost::Constant, worst: Outcome::Reject, judge: outputs::check },
    Check { level: 11_000, family: "IntegrityCheck", name: "payout", cost: Cost::Bytes, worst: Outcome::Reject, judge: payout::check },
    Check { level: 12_000, family: "OverRecursion", name: "merkle root", cost: Cost::Hashes, worst: Outcome::Reject, judge: merkle::check },
    Check { level: 13_000, family: "SHA512 Stabilizer", name: "stamp", cost: Cost::Bytes, worst: Outcome::Pass, judge: digest::stamped },
    Check { level: 14_000, family: "ForkAlign", name: "branches", cost: Cost::Constant, worst: Outcome::Warn, judge: forks::check },
    Check { level: 15_000, family: "SHA512 Stabilizer", name: "unchanged", cost: Cost::Bytes, worst: Outcome::Reject, judge: digest::unchanged },
    Check { level: 16_000, family: "RecursionSync", name: "node's word", cost: Cost::Node, worst: Outcome::Reject, judge: after::check },
];

/// What one check says: the outcome, why in a word that stays, and the two values that were compared.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Judgement {
    outcome: Outcome,
    code: &'static str,
    found: String,
    expected: String,
}

impl Judgement {
    fn new(
        outcome: Outcome,
        code: &'static str,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self { outcome, code, found: found.into(), expected: expected.into() }
    }

    fn pass(found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::new(Outcome::Pass, "ok", found, expected)
    }

    fn open(found: impl Into<String>, missing: impl Into<String>) -> Self {
        Self::new(Outcome::Open, "unknown", found, missing)
    }

    fn warn(code: &'static str, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::new(Outcome::Warn, code, found, expected)
    }

    fn hold(code: &'static str, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::new(Outcome::Hold, code, found, expected)
    }

    fn reject(code: &'static str, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::new(Outcome::Reject, code, found, expected)
    }
}

/// What a check found. All texts are ours: printable and short, whatever the job holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The check's level, which is its number too.
    pub level: u16,
    /// What the check is about.
    pub name: &'static str,
    /// What it came to.
    pub outcome: Outcome,
    /// Why, in a word that programs match on.
    pub code: &'static str,
    /// What the job has.
    pub found: String,
    /// What it should have.
    pub expected: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { level, name, found, expected, .. } = self;
        write!(f, "check {level} ({name}): {found}, expected {expected}")
    }
}

/// A job, where it came from, and what was read of it once for all checks.
#[derive(Debug)]
pub struct JobUnderTest<'a> {
    /// The job.
    pub job: &'a Job,
    /// Where it came from.
    pub origin: Origin,
    height: Option<u32>,
    reading: Result<Reading, CoinbaseError>,
}

impl<'a> JobUnderTest<'a> {
    /// Reads the coinbase.
    pub fn new(job: &'a Job, origin: Origin) -> Self {
        Self { job, origin, height: height(&job.coinbase.coinb1), reading: Reading::of(&job.coinbase) }
    }

    /// The height in the coinbase, of the block that would be found.
    pub fn height(&self) -> Option<u32> {
        self.height
    }

    /// Whether it is of the main chain, as told or by its difficulty.
    fn is_of_main_chain(&self, context: &Context) -> bool {
        context.chain.is_main(self.job.header.nbits)
    }
}

impl Check {
    /// Judges one job.
    pub fn run(&self, job: &JobUnderTest<'_>, context: &Context) -> Finding {
        let Judgement { outcome, code, found, expected } = (self.judge)(job, context);
        Finding { level: self.level, name: self.name, outcome, code, found, expected }
    }
}

/// The checks of a level, in order.
pub fn checks(level: Level) -> impl Iterator<Item = &'static Check> {
    CHECKS.iter().filter(move |check| level.includes(check.level))
}

/// All that is held against a job before it is dispatched, and the stamp by which a change of it in memory shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Those findings that something follows from, by level.
    pub findings: Vec<Finding>,
    /// How many checks ran.
    pub executed: u32,
    /// `None` below level 13000.
    pub stamp: Option<Stamp>,
}

impl Verdict {
    /// Runs the checks of 1000 to 13000 that the level includes.
    pub fn of(level: Level, job: &JobUnderTest<'_>, context: &Context) -> Self {
        let mut executed = 0;
        let mut findings = Vec::new();
        for check in checks(level.min(Level::BEFORE_DISPATCH)) {
            executed += 1;
            // The stamp is made once, below.
            if check.level < Level::BEFORE_DISPATCH.value() {
                findings.extend(Some(check.run(job, context)).filter(|found| found.outcome > Outcome::Open));
            }
        }
        let stamp = (level >= Level::BEFORE_DISPATCH).then(|| Stamp::of(job.job, job.origin));
        Self { findings, executed, stamp }
    }

    /// The worst of its findings.
    pub fn outcome(&self) -> Outcome {
        self.findings.iter().map(|found| found.outcome).max().unwrap_or(Outcome::Pass)
    }

    /// Whether it is rejected, and for this code alone.
    pub fn is_rejected_only_for(&self, code: &str) -> bool {
        let mut rejecting = self.findings.iter().filter(|found| found.outcome == Outcome::Reject);
        rejecting.next().is_some_and(|found| found.code == code) && rejecting.all(|found| found.code == code)
    }

    /// The first finding of this outcome.
    pub fn first(&self, outcome: Outcome) -> Option<&Finding> {
        self.findings.iter().find(|found| found.outcome == outcome)
    }
}

#[cfg(test)]
mod tests;
