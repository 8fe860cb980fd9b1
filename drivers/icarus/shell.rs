//! A device of the family on its port.

use super::board::{Icarus, IcarusConfig};
use super::clock::ClockError;
use crate::bm13xx::board::Running;
use crate::port::{Port, PortError};
use crate::scanner::shell::{now, open_port, start};

/// Why a device did not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// For the operator: it cannot be as it is configured.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// The port cannot be opened.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// Opens the port and starts the device, see [`start`].
///
/// Errors: `Clock`, `Port`.
pub async fn open(
    name: String,
    config: IcarusConfig,
    opener: impl FnOnce() -> Result<Port, PortError> + Send + 'static,
) -> Result<Running, OpenError> {
    let port = open_port(opener).await?;
    Ok(start(name, Icarus::new(&config, now())?, port))
}
