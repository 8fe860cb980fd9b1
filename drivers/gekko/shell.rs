//! A stick on its port: asked what it is, and driven.

use tokio::time::{Instant, sleep_until};

use super::board::{Gekko, GekkoConfig};
use super::identify::{ANSWERS_WITHIN, Answered, MOST_HEARD, questions};
use super::model::FrequencyError;
use crate::bm13xx::board::Running;
use crate::port::{Port, PortError};
use crate::scanner::shell::{now, open_port, start};

/// Why a stick did not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// For the operator: it cannot be as it is configured.
    #[error(transparent)]
    Frequency(#[from] FrequencyError),
    /// The port cannot be opened.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// Opens the port and starts the stick, see [`start`].
///
/// Errors: `Frequency`, `Port`.
pub async fn open(
    name: String,
    config: GekkoConfig,
    opener: impl FnOnce() -> Result<Port, PortError> + Send + 'static,
) -> Result<Running, OpenError> {
    let port = open_port(opener).await?;
    Ok(start(name, Gekko::new(&config, now())?, port))
}

/// Asks the chips at a port what they are, and closes it. Takes up to three seconds. Shape: `None` if nobody answers.
///
/// Errors: the port cannot be opened, or is gone.
pub async fn identify(
    opener: impl FnOnce() -> Result<Port, PortError> + Send + 'static,
) -> Result<Option<Answered>, PortError> {
    let mut port = open_port(opener).await?;
    for question in questions() {
        port.write(&question.bytes).await?;
        let end = Instant::now() + ANSWERS_WITHIN;
        let (mut heard, mut buffer) = (Vec::new(), [0; MOST_HEARD]);
        loop {
            tokio::select! {
                () = sleep_until(end) => break,
                count = port.read(&mut buffer) => {
                    let room = MOST_HEARD - heard.len();
                    heard.extend_from_slice(&buffer[..count?.min(room)]);
                }
            }
        }
        if let Some(answered) = question.answered(&heard) {
            return Ok(Some(answered));
        }
    }
    Ok(None)
}
