//! The boards on serial ports: opened, looked for when they are not there, and opened again when they come back.
//!
//! Each has a task of its own, so that no board waits for another one's port.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use signalcore_drivers::registry::{self, BoardSpec, Found};
use signalcore_drivers::usb::serial_ports;
use signalcore_drivers::{BoardEndError, BoardHandle, Controls, Order, OrderError, OrderRequest};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinHandle, JoinSet, spawn_blocking};
use tokio::time::sleep;

use super::PlanError;
use super::powered::Powered;
use crate::config::{self, Config};
use crate::memory::{BoardRecollection, BoardsMemory};

/// How often a port that is not there is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a board is left alone whose driver has failed: it may fail again, and chips are not to be switched on and off.
const REST: Duration = Duration::from_secs(60);

/// What is around boards that are kept open.
#[derive(Clone)]
pub(super) struct Around {
    /// Who hashes with them.
    pub(super) taker: mpsc::Sender<BoardHandle>,
    /// What was found of them.
    pub(super) memory: BoardsMemory,
    /// What is wanted of them from now on; each has passed [`Boards::new`].
    pub(super) changes: Option<watch::Receiver<Config>>,
    /// Which of them have power.
    pub(super) powered: Powered,
}

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
    pub(super) async fn keep(self, around: Around) {
        let mut keepers = JoinSet::new();
        let named: Vec<_> = self.named.iter().flat_map(ports).cloned().collect();
        for board in self.named {
            let kept = Kept { board, known: None, around: around.clone() };
            keepers.spawn(kept.keep());
        }
        if self.scan {
            let around = around.clone();
            keepers.spawn(async move { look(&named, &around).await });
        }
        drop(around);
        while let Some(kept) = keepers.join_next().await {
            if let Err(failed) = kept {
                tracing::error!("a board is not looked for any more: {failed}; please report this");
            }
        }
    }
}

/// A board that is kept open.
struct Kept {
    board: BoardSpec,
    /// What was found of it; `None` before it was opened first.
    known: Option<BoardRecollection>,
    around: Around,
}

impl Kept {
    /// Keeps it open, whatever becomes of its port.
    async fn keep(mut self) {
        let mut told = String::new();
        while !self.around.taker.is_closed() {
            let started = self.run().await;
            tell_once(&self.board, started, &mut told);
            sleep(LOOK_EVERY).await;
        }
    }

    /// Opens it and waits until it has ended. Errors: why it did not start.
    async fn run(&mut self) -> Result<(), String> {
        if let Some(wanted) = self.around.changes.as_mut().and_then(|changes| wanted(&self.board, changes)) {
            self.board = wanted;
        }
        let known = recollection(&self.board, self.known.take(), &self.around.memory).await;
        let known = self.known.insert(known);
        let (handle, ended) =
            self.board.open(known.results().clone()).await.map_err(|error| error.to_string())?;
        // Not of this task, which may be gone before the board has switched off.
        let on = self.around.powered.one_more(self.board.name());
        let mut ended = tokio::spawn(async move {
            let ended = ended.await;
            if matches!(ended, Ok(Some(BoardEndError::MayHavePower))) {
                on.stays_on();
            }
            ended
        });
        let mut controls = handle.controls.clone();
        // The engine may have ended meanwhile; then nobody needs a board.
        if self.around.taker.send(handle).await.is_err() {
            return Ok(());
        }
        loop {
            tokio::select! {
                ended = &mut ended => {
                    tell_end(&self.board.name(), ended.and_then(|ended| ended)).await;
                    return Ok(());
                }
                () = changed(controls.results.as_mut()) => {
                    let results = controls.results.as_mut().map(|results| results.borrow_and_update().clone());
                    known.learn(results.unwrap_or_default());
                }
                () = changed(self.around.changes.as_mut()) => {
                    let wanted = self.around.changes.as_mut().and_then(|changes| wanted(&self.board, changes));
                    if let Some(wanted) = wanted.filter(|wanted| *wanted != self.board)
                        && order(&self.board, &wanted, &controls).await
                    {
                        self.board = wanted;
                    }
                }
            }
        }
    }
}

/// Tells how a board has ended, and leaves one alone for a while whose driver has failed.
async fn tell_end(name: &str, ended: Result<Option<BoardEndError>, JoinError>) {
    match ended {
        Ok(None) => {}
        Ok(Some(error)) => tracing::warn!("board {name}: {error}"),
        Err(failed) => {
            tracing::error!("board {name}: {failed}; it is opened again in {} s", REST.as_secs());
            sleep(REST).await;
        }
    }
}

/// Waits for a change; for ever where none can come any more.
async fn changed<T>(watched: Option<&mut watch::Receiver<T>>) {
    if let Some(watched) = watched
        && watched.changed().await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

/// What a board shall be by the latest configuration; `None` if that has no board on its port.
fn wanted(board: &BoardSpec, changes: &mut watch::Receiver<Config>) -> Option<BoardSpec> {
    let boards = Boards::new(&changes.borrow_and_update()).ok()?;
    boards.named.into_iter().find(|wanted| wanted.port == board.port)
}

/// What was found of a board that is about to be opened: by the device that hangs on its port now.
async fn recollection(
    board: &BoardSpec,
    known: Option<BoardRecollection>,
    memory: &BoardsMemory,
) -> BoardRecollection {
    let spec = board.clone();
    let name = spawn_blocking(move || spec.key(&serial_ports(Path::new("/")))).await;
    let name = name.unwrap_or_else(|_| board.name());
    known.filter(|known| known.name() == name).unwrap_or_else(|| memory.of(name))
}

/// Tells a board that runs what is wanted of it from now on. It answers within milliseconds, and hashes on meanwhile. Shape:
/// whether it is to be as wanted; where it refuses anything it stays as it was, also when it is opened again.
async fn order(board: &BoardSpec, wanted: &BoardSpec, controls: &Controls) -> bool {
    let name = board.name();
    let (Some(list), Some(orders)) = (wanted.orders_since(board), &controls.orders) else {
        tracing::warn!("board {name}: what has changed of it holds once it is opened again");
        return true;
    };
    for order in list {
        match give(orders, order).await {
            Some(Ok(())) => tracing::info!("board {name}: follows {order:?}"),
            Some(Err(error)) => {
                tracing::warn!("board {name}: {error}; it stays as it was");
                for order in board.orders_since(wanted).into_iter().flatten() {
                    give(orders, order).await;
                }
                return false;
            }
            None => return true, // it has just ended, and will be opened as it is wanted
        }
    }
    true
}

/// Gives an order and waits for what becomes of it; `None` from a board that has ended.
async fn give(orders: &mpsc::Sender<OrderRequest>, order: Order) -> Option<Result<(), OrderError>> {
    let (answer, answered) = oneshot::channel();
    orders.send((order, answer)).await.ok()?;
    answered.await.ok()
}

/// Tells why a board did not start, unless that was told of it the last time.
fn tell_once(board: &BoardSpec, started: Result<(), String>, told: &mut String) {
    let reason = started.err().unwrap_or_default();
    if reason != *told && !reason.is_empty() {
        tracing::warn!("board {}: {reason}", board.name());
    }
    *told = reason;
}

/// Opens boards as they are plugged in.
async fn look(named: &[PathBuf], around: &Around) {
    let mut plugged: BTreeMap<PathBuf, Plugged> = BTreeMap::new();
    while !around.taker.is_closed() {
        let mut found = spawn_blocking(found).await.unwrap_or_default();
        found.retain(|board| !ports(board).any(|port| is_named(port, named)));
        plugged
            .retain(|port, board| !board.task.is_finished() || found.iter().any(|found| found.port == *port));
        for board in found {
            let port = board.port.clone();
            let told = match plugged.get_mut(&port) {
                Some(Plugged { task, .. }) if !task.is_finished() => continue,
                Some(Plugged { task, told }) => {
                    tell_once(&board, task.await.unwrap_or_else(|failed| Err(failed.to_string())), told);
                    std::mem::take(told)
                }
                None => String::new(),
            };
            let mut kept = Kept { board, known: None, around: around.clone() };
            let task = tokio::spawn(async move { kept.run().await });
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

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_board_whose_driver_has_failed_is_left_alone_for_a_minute_and_others_are_not() {
        let start = Instant::now();
        tell_end("well", Ok(None)).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        let failed = tokio::spawn(async { panic!("as the test wants it") });
        tell_end("failed", failed.await).await;
        assert_eq!(start.elapsed(), REST);
    }
}
