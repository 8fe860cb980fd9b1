//! Why a Stratum session leaves its connection.

use std::time::Duration;

use super::payout_watch::PayoutError;
use super::stratum_message::MessageError;
use super::stratum_session::{MAX_BAD_LINES, MAX_REJECTS};
use crate::work::Reject;

/// Why a connection is of no more use. The pool is to blame for all of them.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SessionError {
    /// No subscription.
    #[error("the pool refuses to subscribe us: {0}")]
    SubscribeRefused(Reject),
    /// No authorisation.
    #[error("the pool refuses to authorise user {user:?}: {reject}")]
    AuthorizeRefused {
        /// The worker name.
        user: String,
        /// The pool's words.
        reject: Reject,
    },
    /// Subscribed with fields that cannot be right.
    #[error("{0}")]
    Subscription(MessageError),
    /// No answers.
    #[error("no answer to {waiting_for} within {} s", patience.as_secs_f64())]
    HandshakeTimeout {
        /// The request.
        waiting_for: &'static str,
        /// How long we waited.
        patience: Duration,
    },
    /// No work.
    #[error("no job for {} s", .0.as_secs_f64())]
    Silent(Duration),
    /// Nothing but refusals. Its shares go on being refused, and some pools ban for that.
    #[error("the pool refuses {MAX_REJECTS} shares in a row, the last: {0}")]
    Rejecting(Reject),
    /// Nonsense.
    #[error("{MAX_BAD_LINES} lines in a row make no sense, the last: {0}")]
    BadLines(MessageError),
    /// A job that pays others.
    #[error(transparent)]
    Payout(#[from] PayoutError),
}

impl SessionError {
    /// Whether the pool is left alone like one whose jobs fail their checks: this one's pay others.
    pub fn is_quarantine(&self) -> bool {
        matches!(self, Self::Payout(_))
    }

    /// Whether trying again soon is of no use: the pool does not want us or our shares, or we do not want it.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::AuthorizeRefused { .. } | Self::Rejecting(_) | Self::Payout(_))
    }
}
