//! Opens a board, and finds out first which it is where its kind does not tell.

use std::path::Path;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::{BoardSpec, Driver, Kind, SpecError, scan};
use crate::bitaxe;
use crate::bm13xx::board::{self, BoardError, Running};
use crate::bm13xx::bring_up::RESET_BAUD;
use crate::gekko;
use crate::gekko::identify::Answered;
use crate::icarus;
use crate::order::Results;
use crate::port::{Port, PortError};

/// Speed of the control port, which USB does without.
const CONTROL_BAUD: u32 = 115_200;

/// Why a board did not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// For the operator: it cannot be as it is named.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A chain.
    #[error(transparent)]
    Chips(#[from] BoardError),
    /// A Bitaxe.
    #[error(transparent)]
    Bitaxe(#[from] bitaxe::shell::OpenError),
    /// A device of the Icarus family.
    #[error(transparent)]
    Icarus(#[from] icarus::shell::OpenError),
    /// An older stick of GekkoScience.
    #[error(transparent)]
    Gekko(#[from] gekko::shell::OpenError),
    /// The port cannot be opened to ask what is there.
    #[error(transparent)]
    Port(#[from] PortError),
    /// A Bitaxe that does not say which it is.
    #[error(transparent)]
    Unidentified(#[from] bitaxe::shell::IdentifyError),
    /// Chips that are those of no stick.
    #[error(
        "{count} × {chip:#06x} answer, which no GekkoScience stick has that is driven here; name the chips, such as bm1370:PORT,chips=N"
    )]
    NoStick {
        /// Upper half of their id.
        chip: u16,
        /// How many there are.
        count: usize,
    },
    /// Nobody has answered.
    #[error("no chip of a GekkoScience stick answers; unplug it and plug it in again, or name its model")]
    NoAnswer,
}

impl BoardSpec {
    /// Opens the board, and asks it for its model where the kind does not tell. `known` is what earlier runs have found of
    /// it. Errors: see [`OpenError`].
    pub async fn open(&self, known: Results) -> Result<Running, OpenError> {
        self.open_at(None, known).await
    }

    /// The same board, whose kind is known now. Errors: it cannot be as it is named.
    fn with_kind(&self, kind: &'static Kind) -> Result<Self, SpecError> {
        let board = Self { kind, ..self.clone() };
        board.check()?;
        Ok(board)
    }

    /// Which stick it is: what it says on USB, or else what its chips answer.
    async fn stick(&self) -> Result<&'static Kind, OpenError> {
        let path = self.port.clone();
        let says = spawn_blocking(move || said_by(&path)).await.unwrap_or_default();
        if let Some(kind) = says {
            return Ok(kind);
        }
        let answered = gekko::shell::identify(opener(&self.port, gekko::BAUD)).await?;
        let Answered { chip, count } = answered.ok_or(OpenError::NoAnswer)?;
        Kind::stick(chip, count).ok_or(OpenError::NoStick { chip, count })
    }

    /// How the two ports of a board are opened. Errors: it has one.
    fn ports(&self) -> Result<bitaxe::shell::Ports, SpecError> {
        let control = self.control.as_ref().ok_or(SpecError::OnePort(self.kind.name))?;
        Ok(bitaxe::shell::Ports {
            control: Arc::new(opener(control, CONTROL_BAUD)),
            data: Arc::new(opener(&self.port, RESET_BAUD)),
        })
    }

    /// Opens the board. Shape: its ports, where they are open already.
    async fn open_at(
        &self,
        ports: Option<bitaxe::shell::Ports>,
        known: Results,
    ) -> Result<Running, OpenError> {
        match self.kind.driver {
            Driver::AnyGekko => {
                let board = self.with_kind(self.stick().await?)?;
                Box::pin(board.open_at(None, known)).await
            }
            Driver::AnyBitaxe => {
                let (found, ports) = bitaxe::shell::identify(self.ports()?).await?;
                let kind =
                    Kind::named(&found.name).expect("a test holds the rows against the table of boards");
                let board = self.with_kind(kind)?;
                Box::pin(board.open_at(Some(ports), known)).await
            }
            Driver::Chips(chips) => {
                let opener = Arc::new(opener(&self.port, RESET_BAUD));
                Ok(board::open(self.name(), self.chain(chips), opener).await?)
            }
            Driver::Bitaxe(name) => {
                let ports = ports.map_or_else(|| self.ports(), Ok)?;
                let settings = self.bitaxe(name, known).map_err(SpecError::from)?;
                Ok(bitaxe::shell::open(self.name(), settings, ports).await?)
            }
            Driver::Icarus(name) => {
                let opener = opener(&self.port, icarus::BAUD);
                Ok(icarus::shell::open(self.name(), self.icarus(name), opener).await?)
            }
            Driver::Gekko(name) => {
                let opener = opener(&self.port, gekko::BAUD);
                Ok(gekko::shell::open(self.name(), self.gekko(name), opener).await?)
            }
        }
    }
}

/// Opens a port.
fn opener(path: &Path, baud: u32) -> impl Fn() -> Result<Port, PortError> + Send + Sync + use<> {
    let path = path.to_owned();
    move || Port::open(&path, baud)
}

/// The stick that is at this port, if it says so on USB.
fn said_by(path: &Path) -> Option<&'static Kind> {
    let path = path.canonicalize().ok()?;
    let found = scan(Path::new("/")).into_iter().find(|found| found.port.path == path)?;
    found.kind.filter(|kind| kind.is_stick())
}
