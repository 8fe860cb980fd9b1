//! A serial port, from opening to the bytes: exclusive, raw, 8 data bits, no parity, 1 stop bit.
//!
//! The modem lines are left as the system sets them when a port is opened: on some boards they reset the microcontroller.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};
use tokio_serial::{
    ClearBuffer, DataBits, ErrorKind, FlowControl, Parity, SerialPort as _, SerialStream, StopBits,
};

/// A port that takes no byte for so long does not work. At 115 200 baud it takes twenty thousand.
const WRITE_WITHIN: Duration = Duration::from_secs(2);
/// Pause between the last orders before a port is closed: chips need some to follow one.
const ORDER_GAP: Duration = Duration::from_millis(10);
/// How long all of the last orders may take.
pub(crate) const ORDERS_WITHIN: Duration = Duration::from_secs(1);
/// How often it is looked whether the bytes before a change of speed have left.
const FLUSH_LOOK: Duration = Duration::from_millis(1);

/// An open serial port. Nobody else can open it meanwhile.
#[derive(Debug)]
pub struct Port {
    path: PathBuf,
    line: Line,
}

#[derive(Debug)]
enum Line {
    Serial(Box<SerialStream>),
    #[cfg(test)]
    Pipe(Pipe),
}

/// The driver's end of a line in memory.
#[cfg(test)]
#[derive(Debug)]
struct Pipe {
    stream: tokio::io::DuplexStream,
    baud: std::sync::Arc<std::sync::atomic::AtomicU32>,
}

/// Something that is wrong with a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortError {
    /// As it was named.
    pub path: PathBuf,
    /// What is wrong.
    pub fault: PortFault,
}

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.fault)
    }
}

impl std::error::Error for PortError {}

/// What can be wrong with a port, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortFault {
    /// Nothing has the name.
    #[error("there is no such port; plug the board in, or name one that `signalcore devices` lists")]
    NotThere,
    /// Something else has the name.
    #[error("this is no serial port; name one that `signalcore devices` lists")]
    NotSerial,
    /// Another program has it.
    #[error("another program has it open; end that program, or leave the port to it")]
    Busy,
    /// The system refuses.
    #[error(
        "you may not open it; join its group with `sudo usermod -aG dialout $USER` and log in again, or install \
         config/99-signalcore.rules"
    )]
    NoPermission,
    /// Its driver has no such speed.
    #[error("it cannot be set to {baud} baud ({reason}); leave baud out for 115200")]
    Speed {
        /// What was asked for.
        baud: u32,
        /// The system's words.
        reason: String,
    },
    /// It was unplugged, or the other end has closed it.
    #[error("it is gone; it is opened again when it comes back")]
    Gone,
    /// It takes no bytes.
    #[error("it takes no bytes for {} s; unplug the board and plug it in again", WRITE_WITHIN.as_secs())]
    Stuck,
    /// Anything else, in the system's words.
    #[error("{0}")]
    Other(String),
}

impl Port {
    /// Opens a port. Blocks as long as the system takes; must be called within a tokio runtime.
    ///
    /// Errors: `NotThere`, `NotSerial`, `Busy`, `NoPermission`, `Other`.
    pub fn open(path: &Path, baud: u32) -> Result<Self, PortError> {
        let error = |fault| PortError { path: path.to_owned(), fault };
        check(path).map_err(error)?;
        let name =
            path.to_str().ok_or_else(|| error(PortFault::Other("its name is not UTF-8".to_owned())))?;
        let settings = tokio_serial::new(name, baud)
            .data_bits(DataBits::Eight)
            .parity(Parity::None)
            .stop_bits(StopBits::One)
            .flow_control(FlowControl::None);
        let stream = SerialStream::open(&settings).map_err(|refused| error(fault_of(&refused)))?;
        Ok(Self { path: path.to_owned(), line: Line::Serial(Box::new(stream)) })
    }

    /// Waits for bytes. Shape: how many of the buffer were filled, at least one. May be dropped at any time without a
    /// loss. Errors: `Gone`.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, PortError> {
        let read = match &mut self.line {
            Line::Serial(stream) => stream.read(buffer).await,
            #[cfg(test)]
            Line::Pipe(pipe) => {
                let breaks = pipe.baud.compare_exchange(
                    Self::BREAKS,
                    115_200,
                    std::sync::atomic::Ordering::Relaxed,
                    std::sync::atomic::Ordering::Relaxed,
                );
                assert!(breaks.is_err(), "as the test wants it");
                pipe.stream.read(buffer).await
            }
        };
        // Whatever a tty says when its device is unplugged, there is nothing to read any more.
        read.ok().filter(|count| *count > 0).ok_or_else(|| self.error(PortFault::Gone))
    }

    /// Hands bytes to the system. Errors: `Gone`, `Stuck`.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), PortError> {
        let writing = async {
            match &mut self.line {
                Line::Serial(stream) => stream.write_all(bytes).await,
                #[cfg(test)]
                Line::Pipe(pipe) => pipe.stream.write_all(bytes).await,
            }
        };
        match timeout(WRITE_WITHIN, writing).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(self.error(PortFault::Gone)),
            Err(_) => Err(self.error(PortFault::Stuck)),
        }
    }

    /// Takes another speed once all bytes have left, and forgets what came at the old one. Errors: `Speed`, `Stuck`.
    pub async fn set_speed(&mut self, baud: u32) -> Result<(), PortError> {
        match &mut self.line {
            Line::Serial(stream) => {
                if timeout(WRITE_WITHIN, drained(stream)).await.is_err() {
                    return Err(self.error(PortFault::Stuck));
                }
                let set = stream.set_baud_rate(baud).and_then(|()| stream.clear(ClearBuffer::Input));
                set.map_err(|refused| self.error(PortFault::Speed { baud, reason: refused.to_string() }))
            }
            #[cfg(test)]
            Line::Pipe(pipe) => {
                pipe.baud.store(baud, std::sync::atomic::Ordering::Relaxed);
                Ok(())
            }
        }
    }

    /// Writes what is to be heard last before the port is closed, with pauses, and waits until it has left: within a second,
    /// or not at all.
    pub async fn say_last(&mut self, orders: &[Vec<u8>]) {
        let said = async {
            for order in orders {
                self.write(order).await.ok()?;
                sleep(ORDER_GAP).await;
            }
            match &self.line {
                Line::Serial(stream) => drained(stream).await,
                #[cfg(test)]
                Line::Pipe(_) => {}
            }
            Some(())
        };
        // Who closes a port has no use for what is wrong with it.
        _ = timeout(ORDERS_WITHIN, said).await;
    }

    fn error(&self, fault: PortFault) -> PortError {
        PortError { path: self.path.clone(), fault }
    }

    /// The speed of a line in memory whose next read panics.
    #[cfg(test)]
    pub(crate) const BREAKS: u32 = 1;

    /// A line in memory: the driver's end of it, the chips' end, and the speed that the driver has set.
    #[cfg(test)]
    pub(crate) fn pipe() -> (Self, tokio::io::DuplexStream, std::sync::Arc<std::sync::atomic::AtomicU32>) {
        let (stream, chips) = tokio::io::duplex(4096);
        let baud = std::sync::Arc::new(115_200.into());
        let pipe = Pipe { stream, baud: std::sync::Arc::clone(&baud) };
        (Self { path: "pipe".into(), line: Line::Pipe(pipe) }, chips, baud)
    }
}

/// Waits until all bytes have left. Draining would block the thread; a driver that cannot count its bytes is waited for by
/// the caller.
async fn drained(stream: &SerialStream) {
    while stream.bytes_to_write().is_ok_and(|waiting| waiting > 0) {
        sleep(FLUSH_LOOK).await;
    }
}

/// What the name can say before anything is opened: opening may raise modem lines.
#[cfg(unix)]
fn check(path: &Path) -> Result<(), PortFault> {
    use std::os::unix::fs::FileTypeExt as _;

    match std::fs::metadata(path) {
        Ok(about) if about.file_type().is_char_device() => Ok(()),
        Ok(_) => Err(PortFault::NotSerial),
        Err(refused) => Err(fault_of_kind(refused.kind(), &refused)),
    }
}

#[cfg(not(unix))]
fn check(_: &Path) -> Result<(), PortFault> {
    Ok(())
}

fn fault_of(refused: &tokio_serial::Error) -> PortFault {
    match refused.kind {
        // So the crate calls a port that is locked, by it or by another program.
        ErrorKind::NoDevice => PortFault::Busy,
        ErrorKind::Io(kind) => fault_of_kind(kind, refused),
        // A device that has none of the settings of a terminal.
        _ if refused.description.contains("typewriter") => PortFault::NotSerial,
        _ => PortFault::Other(refused.to_string()),
    }
}

fn fault_of_kind(kind: io::ErrorKind, said: &dyn fmt::Display) -> PortFault {
    match kind {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => PortFault::NotThere,
        io::ErrorKind::PermissionDenied => PortFault::NoPermission,
        _ => PortFault::Other(said.to_string()),
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    fn fault(path: &str) -> PortFault {
        Port::open(Path::new(path), 115_200).unwrap_err().fault
    }

    #[tokio::test]
    async fn what_is_no_port_is_refused_with_its_name_and_what_to_do() {
        assert_eq!(fault("/dev/no-such-port"), PortFault::NotThere);
        assert_eq!(fault("/dev/null/port"), PortFault::NotThere);
        assert_eq!(fault("/dev"), PortFault::NotSerial);
        assert_eq!(fault("/dev/null"), PortFault::NotSerial);
        let said = Port::open(Path::new("/dev/null"), 115_200).unwrap_err().to_string();
        assert_eq!(said, "/dev/null: this is no serial port; name one that `signalcore devices` lists");
    }

    #[test]
    fn each_refusal_of_the_system_has_its_remedy() {
        let said = |kind| fault_of(&tokio_serial::Error::new(kind, "words")).to_string();
        assert!(said(ErrorKind::Io(io::ErrorKind::PermissionDenied)).contains("usermod -aG dialout"));
        assert!(said(ErrorKind::NoDevice).contains("another program has it open"));
        assert!(said(ErrorKind::Io(io::ErrorKind::NotFound)).contains("plug the board in"));
        assert_eq!(said(ErrorKind::Unknown), "words");
    }

    /// A pseudo-terminal: our end, and the name of the other one.
    fn pseudo_terminal() -> (SerialStream, PathBuf) {
        let (ours, theirs) = SerialStream::pair().unwrap();
        let path = theirs.name().unwrap().into();
        (ours, path)
    }

    #[tokio::test]
    async fn bytes_pass_unchanged_in_both_directions_whatever_they_are() {
        let (mut chips, path) = pseudo_terminal();
        let mut port = Port::open(&path, 115_200).unwrap();
        let all: Vec<u8> = (0..=255).collect();
        port.write(&all).await.unwrap();
        let mut heard = [0; 256];
        chips.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard[..], all);
        chips.write_all(&all).await.unwrap();
        let mut answered: Vec<u8> = Vec::new();
        while answered.len() < 256 {
            let count = port.read(&mut heard).await.unwrap();
            answered.extend(&heard[..count]);
        }
        assert_eq!(answered, all);
    }

    #[tokio::test]
    async fn a_port_that_is_open_is_busy_under_any_name_until_it_is_closed() {
        let (_chips, path) = pseudo_terminal();
        let port = Port::open(&path, 115_200).unwrap();
        let link = std::env::temp_dir().join(format!("signalcore-port-{}", std::process::id()));
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let again = Port::open(&link, 115_200);
        std::fs::remove_file(&link).unwrap();
        assert_eq!(again.unwrap_err().fault, PortFault::Busy);
        drop(port);
        Port::open(&path, 115_200).unwrap();
    }

    #[tokio::test]
    async fn a_change_of_speed_reaches_the_terminal_and_input_of_the_old_speed_is_forgotten() {
        let (mut chips, path) = pseudo_terminal();
        let mut port = Port::open(&path, 115_200).unwrap();
        chips.write_all(b"old").await.unwrap();
        port.set_speed(1_000_000).await.unwrap();
        assert_eq!(chips.baud_rate().unwrap(), 1_000_000);
        chips.write_all(b"new").await.unwrap();
        let mut heard = [0; 16];
        let count = port.read(&mut heard).await.unwrap();
        assert_eq!(&heard[..count], b"new");
    }

    #[tokio::test]
    async fn a_port_whose_device_goes_is_gone_for_who_reads_and_who_writes() {
        let (chips, path) = pseudo_terminal();
        let mut port = Port::open(&path, 115_200).unwrap();
        drop(chips);
        assert_eq!(port.read(&mut [0; 16]).await.unwrap_err().fault, PortFault::Gone);
        assert_eq!(port.write(b"x").await.unwrap_err().fault, PortFault::Gone);
    }

    #[tokio::test(start_paused = true)]
    async fn a_port_that_takes_no_bytes_is_stuck_after_two_seconds() {
        let (mut port, _chips, _) = Port::pipe();
        let error = port.write(&[0; 10_000]).await.unwrap_err();
        assert_eq!(error.fault, PortFault::Stuck);
    }
}
