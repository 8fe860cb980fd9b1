//! From a pool's address to a stream of bytes: plain TCP or TLS, straight or through a SOCKS5 proxy. The configuration
//! decides which; nothing here ever falls back to another.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::proxy::{Proxy, ProxyError};
use super::tls::{HandshakeError, Tls};
use crate::clock::now;
use crate::protocol::redirect::Destination;

/// Idle time after which the operating system asks whether the other end still lives; routers forget sooner than pools.
const KEEP_ALIVE: Duration = Duration::from_secs(45);

/// How to reach a pool.
#[derive(Debug, Clone)]
pub struct Route {
    /// Where the pool listens.
    pub to: Destination,
    /// What makes the line private; `None` is plain text.
    pub tls: Option<Tls>,
    /// What leads there.
    pub proxy: Option<Proxy>,
    /// How long all of it may take: resolving, connecting, the proxy and TLS.
    pub patience: Duration,
}

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error(transparent)]
    Dial(DialError),
    #[error("the proxy is out of reach: {0}")]
    ProxyDown(DialError),
    #[error("no way through the proxy {proxy}: {error}")]
    Proxy { proxy: String, error: ProxyError },
    #[error("no TLS with {address}: {error}")]
    Tls { address: String, error: HandshakeError },
    #[error("no connection to {address} within {} s: {step}", patience.as_secs_f64())]
    Timeout { address: String, step: &'static str, patience: Duration },
}

/// Why there is no TCP connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("cannot resolve {host}: {error}")]
    Resolve { host: String, error: io::Error },
    #[error("cannot connect to {address}: {error}")]
    Connect { address: String, error: io::Error },
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
pub(super) enum Moved {
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
    pub(super) async fn exchange(&mut self, buffer: &mut [u8], unwritten: &[u8]) -> Moved {
        poll_fn(|context| self.poll_exchange(context, buffer, unwritten)).await
    }

    fn poll_exchange(&mut self, context: &mut Context<'_>, buffer: &mut [u8], out: &[u8]) -> Poll<Moved> {
        let mut carrier = Pin::new(&mut self.carrier);
        if !out.is_empty() {
            if let Poll::Ready(wrote) = carrier.as_mut().poll_write(context, out) {
                self.unflushed = true;
                return Poll::Ready(Moved::Wrote(wrote));
            }
        } else if self.unflushed
            && let Poll::Ready(flushed) = carrier.as_mut().poll_flush(context)
        {
            self.unflushed = false;
            if let Err(error) = flushed {
                return Poll::Ready(Moved::Wrote(Err(error)));
            }
        }
        let mut buffer = ReadBuf::new(buffer);
        let read = carrier.poll_read(context, &mut buffer);
        read.map(|read| match read {
            // The end of a TLS stream without a goodbye. A line cut short is no line, so nothing is lost by it.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Moved::Read(Ok(0)),
            read => Moved::Read(read.map(|()| buffer.filled().len())),
        })
    }
}

/// Connects along a route.
pub(super) async fn connect(route: &Route) -> Result<Stream, ConnectError> {
    let Route { to, tls, proxy, patience } = route;
    let steps = Steps { address: address(to), patience: *patience, until: now() + *patience };
    let stream = match proxy {
        None => {
            let dialled = steps.within("it does not answer", dial(to, *patience)).await?;
            dialled.map_err(ConnectError::Dial)?
        }
        Some(proxy) => {
            let dialled = steps.within("the proxy does not answer", dial(&proxy.at, *patience)).await?;
            let stream = dialled.map_err(ConnectError::ProxyDown)?;
            let led = steps.within("the proxy does not get there", proxy.lead(stream, to)).await?;
            led.map_err(|error| ConnectError::Proxy { proxy: address(&proxy.at), error })?
        }
    };
    let Some(tls) = tls else { return Ok(Stream::new(stream)) };
    let step = "it does not answer the TLS handshake; check that the pool has TLS on this port";
    let secured = steps.within(step, tls.secure(&to.host, stream)).await?;
    Ok(Stream::new(secured.map_err(|error| ConnectError::Tls { address: steps.address, error })?))
}

/// The steps of one attempt, which share its time.
struct Steps {
    address: String,
    patience: Duration,
    until: Instant,
}

impl Steps {
    /// `step` says what happens while the time runs out.
    async fn within<T>(&self, step: &'static str, work: impl Future<Output = T>) -> Result<T, ConnectError> {
        let (address, patience) = (&self.address, self.patience);
        let late = |_| ConnectError::Timeout { address: address.clone(), step, patience };
        tokio::time::timeout_at(self.until.into(), work).await.map_err(late)
    }
}

/// A TCP connection: resolves, and tries each address in turn.
async fn dial(to: &Destination, patience: Duration) -> Result<TcpStream, DialError> {
    let resolve = |error| DialError::Resolve { host: to.host.clone(), error };
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
    Err(DialError::Connect { address: address(to), error: last })
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
