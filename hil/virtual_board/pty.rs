//! A pseudo-terminal with a stable name: what a driver opens in place of a serial port.
//!
//! The host's speed is read from the terminal's own settings, which both ends share. A pseudo-terminal carries bytes at
//! once and does not wait for them to be read when it is drained: a driver that changes its speed has to leave the last
//! bytes some 10 ms, as it has to on a real port.

use std::{
    fs, io,
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStringExt, fs::symlink},
    },
    path::{Path, PathBuf},
};

use rustix::{
    event::{PollFd, PollFlags},
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    io::{Errno, FdFlags, fcntl_setfd},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{OptionalActions, tcgetattr, tcsetattr},
};

/// Until a host sets another one. Source: the speed of all chips after reset.
const FIRST_BAUD: u32 = 115_200;

/// Why there is no pseudo-terminal under a name.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Something that is not ours has the name.
    #[error("{} exists and is no link of a board that is gone; remove it or choose another --link", .0.display())]
    Taken(PathBuf),
    /// A link of a board that is gone cannot be removed.
    #[error("remove {}, which leads nowhere", .link.display())]
    LeftOver {
        /// The name.
        link: PathBuf,
        /// As told by the system.
        source: io::Error,
    },
    /// The file system refuses the link.
    #[error("link {} to {}", .link.display(), .device.display())]
    Link {
        /// The name.
        link: PathBuf,
        /// The device.
        device: PathBuf,
        /// As told by the system.
        source: io::Error,
    },
    /// The system has no pseudo-terminal for us.
    #[error("open a pseudo-terminal")]
    Pty(#[source] io::Error),
}

/// What a read brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// The first so many bytes of the buffer, from a host at this speed.
    Bytes { count: usize, baud: u32 },
    /// Nothing yet.
    Nothing,
    /// Nobody has the port open any more.
    Closed,
}

/// The board's end of a pseudo-terminal; the link goes when this is dropped, and a host that has the other end open is
/// hung up.
#[derive(Debug)]
pub struct LinkedPty {
    master: OwnedFd,
    link: PathBuf,
    device: PathBuf,
    closed: bool,
}

impl LinkedPty {
    /// A new pseudo-terminal in raw mode, with `link` pointing at it.
    ///
    /// Errors: a name that is taken, a folder that cannot be written, no pseudo-terminal left.
    pub fn open(link: &Path) -> Result<Self, LinkError> {
        // Before the pseudo-terminal is opened: it may get the number of the one that is gone.
        remove_left_over(link)?;
        let pty = |error: Errno| LinkError::Pty(error.into());
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).map_err(pty)?;
        grantpt(&master).map_err(pty)?;
        unlockpt(&master).map_err(pty)?;
        // A child that kept it would keep a board plugged in that is gone.
        fcntl_setfd(&master, FdFlags::CLOEXEC).map_err(pty)?;
        let flags = fcntl_getfl(&master).map_err(pty)?;
        fcntl_setfl(&master, flags | OFlags::NONBLOCK).map_err(pty)?;
        let mut settings = tcgetattr(&master).map_err(pty)?;
        settings.make_raw();
        settings.set_speed(FIRST_BAUD).map_err(pty)?;
        tcsetattr(&master, OptionalActions::Now, &settings).map_err(pty)?;
        let device = ptsname(&master, Vec::new()).map_err(pty)?;
        let device = PathBuf::from(std::ffi::OsString::from_vec(device.into_bytes()));
        make_link(link, &device)?;
        Ok(Self { master, link: link.to_owned(), device, closed: false })
    }

    /// What `link` points at.
    pub fn device(&self) -> &Path {
        &self.device
    }

    /// The stable name.
    pub fn link(&self) -> &Path {
        &self.link
    }

    /// Whether the last read found nobody at the other end.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// What to wait on for bytes.
    pub(super) fn poll_fd(&self) -> PollFd<'_> {
        PollFd::new(&self.master, PollFlags::IN)
    }

    /// Reads without waiting.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        match rustix::io::read(&self.master, &mut *buffer) {
            // Linux says EIO when the last one who had the other end open has closed it.
            Ok(0) | Err(Errno::IO) => {
                self.closed = true;
                Ok(Received::Closed)
            }
            Ok(count) => {
                self.closed = false;
                let baud = tcgetattr(&self.master)?.output_speed();
                Ok(Received::Bytes { count, baud })
            }
            Err(Errno::AGAIN) => {
                self.closed = false;
                Ok(Received::Nothing)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Writes without waiting. Shape: how many bytes there was room for; to a closed port they are lost, as on a real one.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        if self.closed {
            return Ok(bytes.len());
        }
        match rustix::io::write(&self.master, bytes) {
            Ok(count) => Ok(count),
            Err(Errno::AGAIN) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for LinkedPty {
    fn drop(&mut self) {
        if fs::read_link(&self.link).is_ok_and(|device| device == self.device) {
            // Gone already is as good.
            _ = fs::remove_file(&self.link);
        }
    }
}

/// A link that leads nowhere is left over from a board that was killed.
fn remove_left_over(link: &Path) -> Result<(), LinkError> {
    if link.is_symlink() && !link.exists() {
        let refused = |source| LinkError::LeftOver { link: link.to_owned(), source };
        fs::remove_file(link).map_err(refused)?;
    }
    Ok(())
}

fn make_link(link: &Path, device: &Path) -> Result<(), LinkError> {
    symlink(device, link).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => LinkError::Taken(link.to_owned()),
        _ => LinkError::Link { link: link.to_owned(), device: device.to_owned(), source },
    })
}
