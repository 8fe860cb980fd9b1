//! A virtual board on pseudo-terminals: moves bytes, keeps time, and spends what hashes it may.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, Timespec, poll},
    io::Errno,
};

use super::{
    Board, Event, Port,
    pty::{LinkError, LinkedPty, Received},
};

/// Hashes between two looks at the ports: a millisecond or so.
const SLICE: u64 = 2048;
/// Hashes that were not needed are kept for so long.
const SAVED: f64 = 0.5;
/// How often the order to stop is looked at.
const STOP_EVERY: Duration = Duration::from_millis(100);
/// How often a port that nobody has open is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Why a board left its ports.
#[derive(Debug, thiserror::Error)]
pub enum ShellError {
    /// A port could not be opened, at the start or when the board was plugged in again.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A port broke.
    #[error("{} port", .0.name())]
    Port(Port, #[source] io::Error),
    /// The system does not let us wait.
    #[error("wait for the ports")]
    Wait(#[source] io::Error),
}

/// A board with open ports.
#[derive(Debug)]
pub struct Shell {
    board: Board,
    prefix: PathBuf,
    ports: Vec<(Port, LinkedPty)>,
    hashes_per_second: f64,
    saved: f64,
    started: Instant,
    counted: Instant,
}

impl Shell {
    /// Opens the ports of a board: `PREFIX-control` and `PREFIX-data`, or `PREFIX` where there is one.
    ///
    /// Errors: see `LinkedPty::open`.
    pub fn open(board: Board, prefix: &Path, hashes_per_second: f64) -> Result<Self, ShellError> {
        let now = Instant::now();
        let mut shell = Self {
            board,
            prefix: prefix.to_owned(),
            ports: Vec::new(),
            hashes_per_second,
            saved: 0.0,
            started: now,
            counted: now,
        };
        shell.plug()?;
        Ok(shell)
    }

    /// Each open port.
    pub fn ports(&self) -> impl Iterator<Item = (Port, &LinkedPty)> {
        self.ports.iter().map(|(port, pty)| (*port, pty))
    }

    /// When it started: the times of its events count from there.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Opens or drops the ports as the board is plugged in or not.
    fn plug(&mut self) -> Result<(), ShellError> {
        if !self.board.is_plugged() {
            self.ports.clear();
        } else if self.ports.is_empty() {
            let ports = self.board.ports();
            let link = |port: &Port| {
                let mut name: OsString = self.prefix.clone().into();
                if ports.len() > 1 {
                    name.push(format!("-{}", port.name()));
                }
                Ok((*port, LinkedPty::open(Path::new(&name))?))
            };
            self.ports = ports.iter().map(link).collect::<Result<_, ShellError>>()?;
        }
        Ok(())
    }

    /// Plays the board until `stop` is set or a port breaks; `tell` hears what happens and when, counted from the start.
    /// It keeps its thread.
    ///
    /// Errors: `ShellError`.
    pub fn run(
        &mut self,
        stop: &AtomicBool,
        mut tell: impl FnMut(Duration, Event),
    ) -> Result<(), ShellError> {
        while !stop.load(Ordering::Relaxed) {
            self.read(&mut tell)?;
            let now = self.started.elapsed();
            self.board.handle_timeout(now);
            self.hash(now);
            self.write(&mut tell)?;
            while let Some(event) = self.board.poll_event() {
                tell(now, event);
            }
            self.plug()?;
            self.wait()?;
        }
        Ok(())
    }

    fn read(&mut self, tell: &mut impl FnMut(Duration, Event)) -> Result<(), ShellError> {
        let mut buffer = [0; 4096];
        for (port, pty) in &mut self.ports {
            let now = self.started.elapsed();
            let was_closed = pty.is_closed();
            match pty.read(&mut buffer).map_err(|error| ShellError::Port(*port, error))? {
                Received::Bytes { count, baud } => self.board.receive(*port, &buffer[..count], baud, now),
                Received::Closed if !was_closed => {
                    self.board.handle_close(*port, now);
                    tell(now, Event::Closed { port: *port });
                }
                Received::Closed | Received::Nothing => {}
            }
        }
        Ok(())
    }

    fn write(&mut self, tell: &mut impl FnMut(Duration, Event)) -> Result<(), ShellError> {
        while let Some((port, bytes)) = self.board.poll_transmit() {
            let Some((_, pty)) = self.ports.iter().find(|(open, _)| *open == port) else { continue };
            let written = pty.write(&bytes).map_err(|error| ShellError::Port(port, error))?;
            if written < bytes.len() {
                tell(self.started.elapsed(), Event::Overrun { port, bytes: bytes.len() - written });
            }
        }
        Ok(())
    }

    /// Spends hashes as they become due, a slice at a time.
    fn hash(&mut self, now: Duration) {
        let earned = self.counted.elapsed().as_secs_f64() * self.hashes_per_second;
        self.counted = Instant::now();
        self.saved = (self.saved + earned).min(SAVED * self.hashes_per_second);
        if self.board.is_searching() {
            self.saved -= self.board.hash(SLICE.min(self.saved as u64), now) as f64;
        }
    }

    /// Until a port may have something, the board is due, or hashes can be spent.
    fn wait(&self) -> Result<(), ShellError> {
        let due = self.board.poll_timeout().map(|due| due.saturating_sub(self.started.elapsed()));
        let mut wait = due.map_or(STOP_EVERY, |due| due.min(STOP_EVERY));
        if self.board.is_searching() {
            let missing = (SLICE as f64 - self.saved).max(0.0) / self.hashes_per_second;
            wait = wait.min(Duration::from_secs_f64(missing));
        }
        // A closed port is always ready, and has nothing.
        let open = self.ports.iter().filter(|(_, pty)| !pty.is_closed());
        let mut open: Vec<PollFd<'_>> = open.map(|(_, pty)| pty.poll_fd()).collect();
        if open.len() < self.ports.len() {
            wait = wait.min(LOOK_EVERY);
        }
        let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
        match poll(&mut open, Some(&wait)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(ShellError::Wait(error.into())),
        }
    }
}
