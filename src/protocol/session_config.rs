//! What the operator wants of a Stratum session.

use std::fmt;
use std::time::Duration;

use super::payout_watch::PayoutTerms;
use crate::work::Difficulty;

/// Who mines. Prints without the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Worker name, sent with every share exactly as authorised.
    pub user: String,
    /// Password, opaque.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({:?}, ***)", self.user)
    }
}

/// Which difficulty to suggest to a pool.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Suggestion {
    /// None.
    Off,
    /// One that suits the hash rate, where the pool's own does not.
    Auto,
    /// This one, once on each connection.
    Fixed(Difficulty),
}

/// How long a pool may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// For the answer to subscribe, and again for that to authorize.
    pub handshake: Duration,
    /// From there to the first job.
    pub first_job: Duration,
    /// Between jobs. A pool that answers but sends no work is the classical outage.
    pub silence: Duration,
    /// For a share, from being found; over reconnections too.
    pub answer: Duration,
}

/// What the operator wants of the session.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// Who mines.
    pub credentials: Credentials,
    /// Name and version, ASCII without spaces.
    pub user_agent: String,
    /// Whether to ask for version rolling.
    pub version_rolling: bool,
    /// Whether to send `mining.extranonce.subscribe`.
    pub extranonce_subscribe: bool,
    /// Which difficulty to suggest.
    pub suggest_difficulty: Suggestion,
    /// Whom jobs have to pay.
    pub payout: PayoutTerms,
    /// How long the pool may take.
    pub deadlines: Deadlines,
}
