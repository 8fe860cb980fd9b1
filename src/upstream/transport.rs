//! From a pool's address to a stream of bytes.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::protocol::redirect::Destination;

/// Idle time after which the operating system asks whether the other end still lives; routers forget sooner than pools.
const KEEP_ALIVE: Duration = Duration::from_secs(45);

/// How to reach a pool.
#[derive(Debug, Clone)]
pub(super) struct Route {
    /// Where the pool listens.
    pub(super) to: Destination,
    /// How long all of it may take.
    pub(super) patience: Duration,
}

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("cannot resolve {host}: {error}")]
    Resolve { host: String, error: io::Error },
    #[error("cannot connect to {address}: {error}")]
    Connect { address: String, error: io::Error },
    #[error("no connection to {address} within {} s", patience.as_secs_f64())]
    Timeout { address: String, patience: Duration },
}

/// What carries the bytes.
trait Carrier: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Carrier for T {}

/// A connection to a pool, whatever it goes through.
pub(super) struct Stream {
    carrier: Box<dyn Carrier>,
    /// Whether something written may still be held back by the carrier.
    unflushed: bool,
}

/// What a stream has done.
pub(super) enum Traffic {
    /// So many bytes came in; none at the end of the stream.
    Read(io::Result<usize>),
    /// So many bytes are on their way out.
    Wrote(io::Result<usize>),
}

impl Stream {
    fn new(carrier: impl Carrier + 'static) -> Self {
        Self { carrier: Box::new(carrier), unflushed: false }
    }

    /// Writes some of `unwritten`, or reads into `buffer`. Cancelling loses nothing: it waits only where neither has
    /// moved a byte.
    pub(super) async fn exchange(&mut self, buffer: &mut [u8], unwritten: &[u8]) -> Traffic {
        poll_fn(|context| self.poll_exchange(context, buffer, unwritten)).await
    }

    fn poll_exchange(&mut self, context: &mut Context<'_>, buffer: &mut [u8], out: &[u8]) -> Poll<Traffic> {
        let mut carrier = Pin::new(&mut self.carrier);
        if !out.is_empty() {
            if let Poll::Ready(wrote) = carrier.as_mut().poll_write(context, out) {
                self.unflushed = true;
                return Poll::Ready(Traffic::Wrote(wrote));
            }
        } else if self.unflushed
            && let Poll::Ready(flushed) = carrier.as_mut().poll_flush(context)
        {
            self.unflushed = false;
            if let Err(error) = flushed {
                return Poll::Ready(Traffic::Wrote(Err(error)));
            }
        }
        let mut buffer = ReadBuf::new(buffer);
        let read = carrier.poll_read(context, &mut buffer);
        read.map(|read| Traffic::Read(read.map(|()| buffer.filled().len())))
    }
}

/// Connects along a route.
pub(super) async fn connect(route: &Route) -> Result<Stream, ConnectError> {
    match tokio::time::timeout(route.patience, dial(&route.to, route.patience)).await {
        Ok(stream) => Ok(Stream::new(stream?)),
        Err(_) => Err(ConnectError::Timeout { address: address(&route.to), patience: route.patience }),
    }
}

/// A TCP connection: resolves, and tries each address in turn.
async fn dial(to: &Destination, patience: Duration) -> Result<TcpStream, ConnectError> {
    let resolve = |error| ConnectError::Resolve { host: to.host.clone(), error };
    let addresses: Vec<_> =
        tokio::net::lookup_host((to.host.as_str(), to.port)).await.map_err(resolve)?.collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    // Each address gets its part of the time, so that one that swallows packets does not hide the others.
    let part = patience / addresses.len().max(1) as u32;
    for candidate in &addresses {
        match tokio::time::timeout(part, TcpStream::connect(candidate)).await {
            Ok(Ok(stream)) => match prepare(&stream) {
                Ok(()) => {
                    tracing::debug!("connected to {} at {candidate}", address(to));
                    return Ok(stream);
                }
                Err(error) => last = error,
            },
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(ConnectError::Connect { address: address(to), error: last })
}

/// A share is a small packet that must not wait for a larger one.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keep_alive = socket2::TcpKeepalive::new().with_time(KEEP_ALIVE);
    socket2::SockRef::from(stream).set_tcp_keepalive(&keep_alive)
}

/// HOST:PORT, an IPv6 address in brackets.
pub(super) fn address(to: &Destination) -> String {
    if to.host.contains(':') {
        format!("[{}]:{}", to.host, to.port)
    } else {
        format!("{}:{}", to.host, to.port)
    }
}
