//! A virtual board on a thread of its own, until it is dropped.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use tokio::sync::mpsc;

use super::spec::VirtualPlace;
use crate::virtual_board::{Board, BoardConfig, Event, Shell, SolvedHeader};

/// Its ports are there as long as this is.
#[derive(Debug)]
pub(super) struct Player {
    ports: Vec<PathBuf>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Player {
    /// Plays a board behind `prefix`. `events` hears what checks need; those that find no room are lost. Errors: no
    /// pseudo-terminal, or a name that is taken, as a text.
    pub(super) fn start(
        place: &VirtualPlace,
        prefix: &Path,
        solved: Vec<SolvedHeader>,
        events: mpsc::Sender<Event>,
    ) -> Result<Self, String> {
        let config = BoardConfig { solved, ..place.config.clone() };
        let board = Board::new(config).map_err(|error| error.to_string())?;
        let mut shell =
            Shell::open(board, prefix, place.hashes_per_second).map_err(|error| error.to_string())?;
        let ports = shell.ports().map(|(_, pty)| pty.link().to_owned()).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let play = move || {
            // A port that breaks leaves a board without nonces, which every check tells.
            _ = shell.run(&stopped, |_, event| {
                let wanted = matches!(
                    event,
                    Event::Address { .. }
                        | Event::Heat { .. }
                        | Event::Overheated { .. }
                        | Event::Power { .. }
                );
                if wanted {
                    _ = events.try_send(event);
                }
            });
        };
        let thread = thread::Builder::new().name("virtual board".to_owned()).spawn(play);
        Ok(Self { ports, stop, thread: Some(thread.map_err(|error| error.to_string())?) })
    }

    /// Control port and data port, or the one that there is.
    pub(super) fn ports(&self) -> &[PathBuf] {
        &self.ports
    }
}

impl Drop for Player {
    /// Waits for its thread, which looks for the order ten times a second: only then is its name free.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}
