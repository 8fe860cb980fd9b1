//! The boards on serial ports: opened, looked for when they are not there, and opened again when they come back.
//!
//! Each has a task of its own, so that no board waits for another one's port.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use signalcore_drivers::BoardHandle;
use signalcore_drivers::registry::{self, BoardSpec, Found};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};
use tokio::time::sleep;

use super::PlanError;
use crate::config::{self, Config};

/// How often a port that is not there is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Which boards to open.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Boards {
    named: Vec<BoardSpec>,
    /// Whether those are opened that say what they are.
    scan: bool,
}

impl Boards {
    /// Errors: `Device`.
    pub(super) fn new(config: &Config) -> Result<Self, PlanError> {
        let mut boards = Self::default();
        let of_tables = config.boards.iter().map(config::Board::spec);
        for spec in config.devices.iter().cloned().chain(of_tables) {
            let wrong = |reason: String| PlanError::Device { spec: spec.clone(), reason };
            match spec.as_str() {
                "auto" => boards.scan = true,
                "none" => {}
                text => {
                    let board: BoardSpec =
                        text.parse().map_err(|error: registry::SpecError| wrong(error.to_string()))?;
                    let taken: Vec<_> = boards.named.iter().flat_map(ports).collect();
                    if ports(&board).any(|port| taken.contains(&port)) {
                        return Err(wrong("its port has a board already; delete one of the two".to_owned()));
                    }
                    boards.named.push(board);
                }
            }
        }
        Ok(boards)
    }

    /// Whether some board may be opened: named, or found now.
    pub(super) fn may_be_there(&self) -> bool {
        !self.named.is_empty() || self.scan && !found().is_empty()
    }

    /// Whether there is anything to wait for.
    pub(super) fn is_empty(&self) -> bool {
        self.named.is_empty() && !self.scan
    }

    /// Opens boards as long as somebody takes them. When this is dropped, boards that run go on and no other is opened.
    pub(super) async fn keep(self, taker: mpsc::Sender<BoardHandle>) {
        let mut keepers = JoinSet::new();
        let named: Vec<_> = self.named.iter().flat_map(ports).cloned().collect();
        for board in self.named {
            let taker = taker.clone();
            keepers.spawn(async move { keep(&board, &taker).await });
        }
        if self.scan {
            let taker = taker.clone();
            keepers.spawn(async move { look(&named, &taker).await });
        }
        drop(taker);
        while keepers.join_next().await.is_some() {}
    }
}

/// Keeps one board open, whatever becomes of its port.
async fn keep(board: &BoardSpec, taker: &mpsc::Sender<BoardHandle>) {
    let mut told = String::new();
    while !taker.is_closed() {
        tell_once(board, run(board.clone(), taker.clone()).await, &mut told);
        sleep(LOOK_EVERY).await;
    }
}

/// Tells why a board did not start, unless that was told of it the last time.
fn tell_once(board: &BoardSpec, started: Result<(), String>, told: &mut String) {
    let reason = started.err().unwrap_or_default();
    if reason != *told && !reason.is_empty() {
        tracing::warn!("board {}: {reason}", board.name());
    }
    *told = reason;
}

/// Opens a board and waits until it has ended. Errors: why it did not start.
async fn run(board: BoardSpec, taker: mpsc::Sender<BoardHandle>) -> Result<(), String> {
    let (handle, ended) = board.open().await.map_err(|error| error.to_string())?;
    // The engine may have ended meanwhile; then nobody needs a board.
    if taker.send(handle).await.is_ok()
        && let Ok(Some(error)) = ended.await
    {
        tracing::warn!("board {}: {error}", board.name());
    }
    Ok(())
}

/// Opens boards as they are plugged in.
async fn look(named: &[PathBuf], taker: &mpsc::Sender<BoardHandle>) {
    let mut plugged: BTreeMap<PathBuf, Plugged> = BTreeMap::new();
    while !taker.is_closed() {
        let mut found = spawn_blocking(found).await.unwrap_or_default();
        found.retain(|board| !ports(board).any(|port| is_named(port, named)));
        plugged
            .retain(|port, board| !board.task.is_finished() || found.iter().any(|found| found.port == *port));
        for board in found {
            let port = board.port.clone();
            let told = match plugged.get_mut(&port) {
                Some(Plugged { task, .. }) if !task.is_finished() => continue,
                Some(Plugged { task, told }) => {
                    tell_once(&board, task.await.unwrap_or(Ok(())), told);
                    std::mem::take(told)
                }
                None => String::new(),
            };
            let task = tokio::spawn(run(board, taker.clone()));
            plugged.insert(port, Plugged { task, told });
        }
        sleep(LOOK_EVERY).await;
    }
}

/// A board that was found.
struct Plugged {
    task: JoinHandle<Result<(), String>>,
    /// Why it did not start, as it was last told.
    told: String,
}

/// All ports of a board.
fn ports(board: &BoardSpec) -> impl Iterator<Item = &PathBuf> {
    board.control.iter().chain([&board.port])
}

fn found() -> Vec<BoardSpec> {
    registry::scan(Path::new("/")).iter().filter_map(Found::spec).collect()
}

/// Whether the operator has named a port, perhaps by a link to it.
fn is_named(port: &Path, named: &[PathBuf]) -> bool {
    named.iter().any(|name| name == port || name.canonicalize().is_ok_and(|name| name == port))
}
