//! Why a model gave no answer, and whether asking again may help.

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nobody is there.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// It took too long.
    #[error("no answer in time")]
    Late,
    /// There was an answer with nothing in it.
    #[error("the answer is empty")]
    Empty,
    /// It is no JSON, or was cut off.
    #[error("the answer cannot be read: {0}")]
    Unreadable(String),
    /// It is JSON, and not what was asked for.
    #[error("the answer does not fit: {0}")]
    Schema(String),
    /// An HTTP server refused. `text` is its own, cleaned.
    #[error("the server answers {status}: {text}")]
    Status {
        /// HTTP status.
        status: u16,
        /// What the server says.
        text: String,
    },
    /// A child process ended or broke its protocol.
    #[error("the process failed: {0}")]
    Process(String),
    /// It may not be started.
    #[error("not started: {0}")]
    NotStarted(String),
    /// Its question is out of date.
    #[error("given up for a newer question")]
    Cancelled,
}

impl Failure {
    /// Whether the same question may be answered the next time. A schema violation is asked once more by
    /// [`super::attempts::Attempts`].
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Late | Self::Empty | Self::Unreadable(_) | Self::Process(_) => true,
            Self::Status { status, .. } => matches!(status, 429 | 500 | 502 | 503),
            Self::Schema(_) | Self::NotStarted(_) | Self::Cancelled => false,
        }
    }

    /// Its name in statistics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Late => "late",
            Self::Empty => "empty",
            Self::Unreadable(_) => "unreadable",
            Self::Schema(_) => "schema",
            Self::Status { .. } => "status",
            Self::Process(_) => "process",
            Self::NotStarted(_) => "not_started",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether an answer came and was wrong.
    pub fn is_invalid(&self) -> bool {
        matches!(self, Self::Empty | Self::Unreadable(_) | Self::Schema(_))
    }
}
