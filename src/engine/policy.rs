//! How the operator wants upstreams to be chosen.

use std::time::Duration;

pub use crate::decision::Strategy;
use crate::decision::{Bounds, Moves, Scheme, Settings, StalePolicy, Terms};
use crate::validate::Level;

/// What steers the engine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// Whom to hash for.
    pub strategy: Strategy,
    /// How long an upstream that has failed before must have been healthy until it is preferred to a working one.
    pub return_after: Duration,
    /// Upstreams beyond the one in use that stay connected.
    pub hot_standbys: usize,
    /// A share unanswered for so long makes an upstream suspect.
    pub slow_answer: Duration,
    /// So long an upstream may stay on an older block than another.
    pub frozen_tip: Duration,
    /// Which checks a job has to pass.
    pub validation: Level,
    /// What becomes of pay per share behind the tip, by the value rule.
    pub stale_policy: StalePolicy,
    /// Whether a small board is sent to the runner-up now and then.
    pub canary: bool,
    /// Aversion against uneven income, 0 for none.
    pub risk_aversion: f64,
    /// How many upstreams may be hashed for in a day by moves for gain, where small balances matter.
    pub max_upstreams_per_day: Option<usize>,
    /// What advice may do.
    pub bounds: Bounds,
    /// Whether upstreams that reject too much are tried again when their bad spells usually end.
    pub learns_spells: bool,
}

impl Policy {
    /// The value rule's settings.
    pub fn settings(&self) -> Settings {
        Settings {
            strategy: self.strategy,
            stale_policy: self.stale_policy,
            bounds: self.bounds,
            moves: Moves {
                risk_aversion: self.risk_aversion,
                max_upstreams_per_day: self.max_upstreams_per_day,
                return_after: self.return_after,
                ..Moves::default()
            },
            ..Settings::default()
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            strategy: Strategy::Failover,
            return_after: Duration::from_secs(120),
            hot_standbys: 1,
            slow_answer: Duration::from_secs(30),
            frozen_tip: Duration::from_secs(120),
            stale_policy: StalePolicy::default(),
            canary: false,
            risk_aversion: 0.0,
            max_upstreams_per_day: None,
            bounds: Bounds::default(),
            learns_spells: false,
            validation: Level::ALL,
        }
    }
}

/// How long boards go on with the last job of a pool when no upstream is left: most outages are shorter, and a pool that
/// resumes takes the shares. After that it would only burn power.
pub(super) const GRACE: Duration = Duration::from_secs(30);

/// What the engine has to know of an upstream beforehand.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UpstreamTerms {
    /// Its part of the hashing in relation to the others, where that is split.
    pub weight: u32,
    /// How long its last job is still worth something once it is lost.
    pub grace: Duration,
    /// Whether it knows the chain first-hand: what it says of it is held against the others, and never the other way
    /// round.
    pub vouches: bool,
    /// Which server it is, where others in the list are the same: those have the same number.
    pub pool: Option<u32>,
    /// Whose word it is, where others in the list are of the same operator: those have the same number and one voice.
    pub operator: Option<u32>,
    /// What a hash for it is worth, for the value rule.
    pub value: Terms,
}

impl UpstreamTerms {
    /// A pool.
    pub fn pool(weight: u32) -> Self {
        Self {
            weight,
            grace: GRACE,
            vouches: false,
            pool: None,
            operator: None,
            value: worth(Scheme::Pps, false),
        }
    }

    /// Nodes of our own. They take a block of the last job whenever they are back.
    pub fn own_node(weight: u32, grace: Duration) -> Self {
        Self {
            weight,
            grace,
            vouches: true,
            pool: None,
            operator: None,
            value: worth(Scheme::SoloNode, true),
        }
    }
}

/// Without fee and cost.
fn worth(scheme: Scheme, vouches: bool) -> Terms {
    Terms { fee: 0.0, payout_factor: 1.0, scheme, kappa: None, vouches }
}
