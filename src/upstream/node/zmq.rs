//! One publisher of a node: a stream and timers around the subscription. Reconnects for ever.

mod outbox;

use std::future::Future;
use std::io;
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use crate::clock::{now, sleep_until};
use crate::protocol::block_notice::{BlockNotice, NoticeFigures, NoticeReader};
use crate::protocol::zmq_endpoint::ZmqEndpoint;
use crate::protocol::zmtp::{Subscriber, ZmtpError, ZmtpEvent};
use outbox::Outbox;

/// For the connection alone.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// Waits between attempts: a node that starts anew is back within seconds, and each block missed costs work.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// A subscription that stood so long was a good one: the next failure starts from the shortest wait again.
const GOOD_SERVICE: Duration = Duration::from_secs(10);
const READ_BUFFER: usize = 16 * 1024;

/// What happens to a publisher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ZmqEvent {
    /// The subscription stands.
    Up,
    /// It names a block; hash in header order.
    Tip {
        /// The hash.
        hash: [u8; 32],
        /// When the read returned that completed the message.
        at: Instant,
    },
    /// Something may have been missed, or the chain has changed: ask the node.
    Changed,
    /// There is no subscription, and why; the next attempt follows by itself.
    Down {
        /// Why; printable.
        reason: String,
    },
}

/// A running subscription. Dropping it ends it.
#[derive(Debug)]
pub struct ZmqHandle {
    figures: watch::Receiver<NoticeFigures>,
    suspicion: watch::Sender<u64>,
    task: AbortHandle,
}

impl ZmqHandle {
    /// What has come from it.
    pub fn figures(&self) -> NoticeFigures {
        *self.figures.borrow()
    }

    /// It let a block pass without a word: connect anew. Nothing happens while there is no subscription.
    pub fn suspect(&self) {
        self.suspicion.send_modify(|times| *times += 1);
    }
}

impl Drop for ZmqHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Why there is no subscription.
#[derive(Debug, thiserror::Error)]
enum ZmqError {
    #[error("it cannot be reached: {0}")]
    Connect(io::Error),
    #[error("it cannot be reached within {} s", CONNECT_PATIENCE.as_secs())]
    Late,
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    #[error("the node closed the connection")]
    Closed,
    #[error("it let a block pass without a word")]
    Suspect,
    #[error(transparent)]
    Protocol(#[from] ZmtpError),
}

/// Subscribes on the current runtime. `number` comes with each event. It never waits for room in the channel, and ends
/// when nobody listens any more.
pub fn subscribe(endpoint: ZmqEndpoint, number: usize, events: mpsc::Sender<(usize, ZmqEvent)>) -> ZmqHandle {
    let (suspicion, suspicions) = watch::channel(0);
    let (told, figures) = watch::channel(NoticeFigures::default());
    let (outbox, reader) = (Outbox::new(number, events), NoticeReader::default());
    let publisher = Publisher { endpoint, outbox, reader, told, suspicions };
    ZmqHandle { figures, suspicion, task: tokio::spawn(publisher.run()).abort_handle() }
}

struct Publisher {
    endpoint: ZmqEndpoint,
    outbox: Outbox,
    reader: NoticeReader,
    /// Its figures.
    told: watch::Sender<NoticeFigures>,
    /// How often it was suspected.
    suspicions: watch::Receiver<u64>,
}

/// Nobody listens any more.
struct Unwanted;

impl Publisher {
    async fn run(mut self) -> Result<(), Unwanted> {
        let mut wait = FIRST_WAIT;
        loop {
            let since = now();
            let endpoint = self.endpoint.clone();
            let error = match self.meanwhile(connect(&endpoint)).await? {
                Ok(stream) => self.listen(stream).await?,
                Err(error) => error,
            };
            if now() - since >= GOOD_SERVICE {
                wait = FIRST_WAIT;
            }
            self.outbox.put(ZmqEvent::Down { reason: error.to_string() });
            self.meanwhile(sleep(wait)).await?;
            wait = (2 * wait).min(LONGEST_WAIT);
        }
    }

    /// Does something, and delivers what waits for room in the meantime.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Unwanted> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                delivered = self.outbox.deliver() => delivered?,
            }
        }
    }

    /// Until something goes wrong, and what that is.
    async fn listen(&mut self, stream: Box<dyn Stream>) -> Result<ZmqError, Unwanted> {
        let mut subscriber = Subscriber::new(now());
        self.reader.begin();
        // Made here, so that it knows of no suspicion of an earlier connection.
        let mut suspicions = self.suspicions.clone();
        suspicions.mark_unchanged();
        let (mut input, mut output) = tokio::io::split(stream);
        let (mut buffer, mut unwritten) = (vec![0; READ_BUFFER], Vec::new());
        loop {
            // Not before the last of it is written: the subscriber bounds what waits.
            if unwritten.is_empty() {
                unwritten = subscriber.take_output();
            }
            tokio::select! {
                read = input.read(&mut buffer) => {
                    let at = now();
                    let events = match read {
                        Ok(0) => return Ok(ZmqError::Closed),
                        Ok(length) => subscriber.handle_bytes(&buffer[..length], at),
                        Err(error) => return Ok(ZmqError::Broken(error)),
                    };
                    match events {
                        Ok(events) => self.tell_all(events, at),
                        Err(error) => return Ok(error.into()),
                    }
                }
                // Beside reading and the times, since a publisher need not take what we write.
                written = output.write(&unwritten), if !unwritten.is_empty() => match written {
                    Ok(length) => drop(unwritten.drain(..length)),
                    Err(error) => return Ok(ZmqError::Broken(error)),
                },
                delivered = self.outbox.deliver() => delivered?,
                Ok(()) = suspicions.changed() => return Ok(ZmqError::Suspect),
                () = sleep_until(subscriber.poll_timeout()) => {
                    if let Err(error) = subscriber.handle_timeout(now()) {
                        return Ok(error.into());
                    }
                }
            }
        }
    }

    fn tell_all(&mut self, events: Vec<ZmtpEvent>, at: Instant) {
        for event in events {
            let notice = match event {
                ZmtpEvent::Subscribed => {
                    self.outbox.put(ZmqEvent::Up);
                    // Blocks between the last connection and this one were missed.
                    Some(BlockNotice::Changed)
                }
                ZmtpEvent::Message(parts) => self.reader.read(&parts),
            };
            match notice {
                Some(BlockNotice::Tip(hash)) => self.outbox.put(ZmqEvent::Tip { hash, at }),
                Some(BlockNotice::Changed) => self.outbox.put(ZmqEvent::Changed),
                None => {}
            }
        }
        self.told.send_replace(self.reader.figures());
    }
}

async fn connect(endpoint: &ZmqEndpoint) -> Result<Box<dyn Stream>, ZmqError> {
    match endpoint {
        ZmqEndpoint::Tcp { host, port } => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let stream = timeout(CONNECT_PATIENCE, TcpStream::connect((host, *port))).await;
            let stream = stream.map_err(|_| ZmqError::Late)?.map_err(ZmqError::Connect)?;
            let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(30));
            // Without these it works too, only worse.
            SockRef::from(&stream).set_tcp_keepalive(&keepalive).ok();
            stream.set_nodelay(true).ok();
            Ok(Box::new(stream))
        }
        #[cfg(unix)]
        ZmqEndpoint::Socket(path) => {
            let stream = timeout(CONNECT_PATIENCE, tokio::net::UnixStream::connect(path)).await;
            Ok(Box::new(stream.map_err(|_| ZmqError::Late)?.map_err(ZmqError::Connect)?))
        }
        #[cfg(not(unix))]
        ZmqEndpoint::Socket(_) => Err(ZmqError::Connect(io::ErrorKind::Unsupported.into())),
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

#[cfg(test)]
mod tests;
