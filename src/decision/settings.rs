//! What the decider can be told to do otherwise, with the defaults.

use std::time::Duration;

/// Whom the operator wants hashed for among those whose jobs are worth anything. What a job is worth, when a newer one is
/// taken up and when an upstream is left are the rule's under each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// The first in the operator's order that is proven.
    Failover,
    /// All at once by weight; one that was away makes up for nothing.
    LoadBalance,
    /// All at once by weight over all the time: one that was away gets what it missed.
    Quota,
    /// One until it fails, then the next.
    RoundRobin,
    /// One after the other, each for as long.
    Rotate(Duration),
    /// The one that is worth most.
    #[default]
    Value,
}

impl Strategy {
    /// Whether several are hashed for at once.
    pub fn is_shared(self) -> bool {
        matches!(self, Self::LoadBalance | Self::Quota)
    }
}

/// Whether an upstream that pays for each share is hashed for on a block that is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StalePolicy {
    /// Yes, while it pays: the pool bears its own lateness.
    #[default]
    OwnRevenue,
    /// No: it is held to the tip like all others, so that no power goes into blocks that nobody can find.
    Network,
}

/// All of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Whom the operator wants hashed for.
    pub strategy: Strategy,
    /// What becomes of pay per share behind the tip.
    pub stale_policy: StalePolicy,
    /// Mean fees of a block in satoshi to start with; the mean over blocks takes over.
    pub mean_fees: u64,
    /// When to flush and when to move.
    pub moves: Moves,
    /// How acceptance is learnt.
    pub learning: Learning,
    /// How a jump in rejects is found.
    pub alarms: Alarms,
    /// When an upstream is dead.
    pub deadlines: Deadlines,
    /// How long what is doubtful is hashed on.
    pub graces: Graces,
    /// What advice may do.
    pub bounds: Bounds,
}

/// When to flush and when to move.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moves {
    /// A move must pay for itself within so long.
    pub horizon: Duration,
    /// It must gain so much of an ideal second a second.
    pub min_gain: f64,
    /// What a flush or a move gains must be so many times its cost.
    pub flush_margin: f64,
    /// Who has failed must have been up for so long to be preferred for its place in the operator's order.
    pub return_after: Duration,
    /// Least time between two moves for gain.
    pub dwell: Duration,
    /// An upstream must have been usable for so long to be moved to for gain.
    pub usable_after: Duration,
    /// So many standard deviations of its acceptance an upstream is thought better than known, while elsewhere.
    pub optimism: f64,
    /// Aversion against uneven income, 0 for none.
    pub risk_aversion: f64,
    /// How many upstreams may be hashed for in a day by moves for gain, where small balances matter.
    pub max_upstreams_per_day: Option<usize>,
}

/// How acceptance is learnt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Learning {
    /// Accepted shares that an unknown upstream is given beforehand.
    pub prior_accepted: f64,
    /// Rejected ones.
    pub prior_rejected: f64,
    /// What was learnt is worth half after so long.
    pub half_life: Duration,
}

/// How a jump in rejects is found, and when its end is looked for. Scores are natural logarithms of likelihood ratios.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Alarms {
    /// A score above it is an alarm.
    pub alarm: f64,
    /// A score above it fails a probe.
    pub failed: f64,
    /// A score below it ends the alarm.
    pub cleared: f64,
    /// From the alarm to the first probe. Doubles with each failed one.
    pub first_probe: Duration,
    /// The longest wait for a probe.
    pub last_probe: Duration,
}

/// When an upstream is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// No silence shorter than this is death.
    pub silence_least: Duration,
    /// Every longer one is, unless three of the usual gaps are longer.
    pub silence_most: Duration,
    /// So many shares without an answer,
    pub unanswered: usize,
    /// and the oldest of them so old, are death.
    pub unanswered_after: Duration,
}

/// How long what is doubtful is hashed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Graces {
    /// A parent that nobody else names, while another upstream is as high on a known one.
    pub rivalled: Duration,
    /// The same while all others are lower.
    pub alone: Duration,
    /// Pay per share behind the tip.
    pub pps_behind: Duration,
    /// The last job when nothing is worth hashing.
    pub idle_after: Duration,
}

/// What advice may do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// Part of the best value that an amendment may give up, at most 0.05.
    pub epsilon: f64,
    /// Least confidence, 0 to 1.
    pub min_confidence: f64,
    /// Least time between two amendments.
    pub amend_every: Duration,
    /// Most amendments in an hour.
    pub amends_an_hour: usize,
    /// Part of a day's ideal revenue that amendments may cost.
    pub regret_a_day: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            stale_policy: StalePolicy::OwnRevenue,
            mean_fees: 2_000_000,
            moves: Moves::default(),
            learning: Learning::default(),
            alarms: Alarms::default(),
            deadlines: Deadlines::default(),
            graces: Graces::default(),
            bounds: Bounds::default(),
        }
    }
}

impl Default for Moves {
    fn default() -> Self {
        Self {
            horizon: Duration::from_secs(600),
            min_gain: 0.001,
            flush_margin: 1.25,
            return_after: Duration::from_secs(120),
            dwell: Duration::from_secs(120),
            usable_after: Duration::from_secs(20),
            optimism: 0.5,
            risk_aversion: 0.0,
            max_upstreams_per_day: None,
        }
    }
}

impl Default for Learning {
    fn default() -> Self {
        Self { prior_accepted: 99.5, prior_rejected: 0.5, half_life: Duration::from_secs(6 * 3600) }
    }
}

impl Default for Alarms {
    fn default() -> Self {
        Self {
            alarm: 10.0,
            failed: 4.0,
            cleared: -3.0,
            first_probe: Duration::from_secs(600),
            last_probe: Duration::from_secs(3600),
        }
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            silence_least: Duration::from_secs(20),
            silence_most: Duration::from_secs(180),
            unanswered: 3,
            unanswered_after: Duration::from_secs(5),
        }
    }
}

impl Default for Graces {
    fn default() -> Self {
        Self {
            rivalled: Duration::from_secs(5),
            alone: Duration::from_secs(30),
            pps_behind: Duration::from_secs(60),
            idle_after: Duration::from_secs(30),
        }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            epsilon: 0.01,
            min_confidence: 0.6,
            amend_every: Duration::from_secs(60),
            amends_an_hour: 30,
            regret_a_day: 0.002,
        }
    }
}
