//! From a pool's address to a stream of bytes: plain TCP or TLS, straight or through a SOCKS5 proxy. The configuration
//! decides which; nothing here ever falls back to another.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::proxy::{Proxy, ProxyError};
use super::tls::{HandshakeError, Tls};
use crate::clock::now;
use crate::protocol::redirect::Destination;

/// Idle time after which the operating system asks whether the other end still lives; routers forget sooner than pools.
const KEEP_ALIVE: Duration = Duration::from_secs(45);
/// And how soon again when there is no answer.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// How long what was sent may stay unacknowledged before the connection is dead. The system's own limit is a quarter of an
/// hour; a share of the last half minute can still be sent again.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

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

/// Connects along a route: to the first address that leads all the way. Each gets its part of the time, so that one that
/// swallows packets does not hide the others. Errors: that of the address that led farthest.
pub(super) async fn connect(route: &Route) -> Result<Stream, ConnectError> {
    let first_hop = route.proxy.as_ref().map_or(&route.to, |proxy| &proxy.at);
    let until = now() + route.patience;
    let resolving = tokio::net::lookup_host((first_hop.host.as_str(), first_hop.port));
    let resolved = Attempt { route, until }.within(route.silent_step(), resolving).await?;
    let resolve = |error| DialError::Resolve { host: first_hop.host.clone(), error };
    let addresses: Vec<_> = resolved.map_err(|error| route.not_dialled(resolve(error)))?.collect();
    connect_to_any(route, &addresses, until).await
}

async fn connect_to_any(
    route: &Route,
    addresses: &[SocketAddr],
    until: Instant,
) -> Result<Stream, ConnectError> {
    let none = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut farthest = route.not_dialled(route.connect_error(none));
    for (tried, at) in addresses.iter().enumerate() {
        let left = until.saturating_duration_since(now()) / (addresses.len() - tried) as u32;
        match (Attempt { route, until: now() + left }).connect(*at).await {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                tracing::debug!("{at}: {error}");
                if error.stage() >= farthest.stage() {
                    farthest = error;
                }
            }
        }
    }
    Err(farthest)
}

impl Route {
    fn silent_step(&self) -> &'static str {
        if self.proxy.is_some() { "the proxy does not answer" } else { "it does not answer" }
    }

    fn not_dialled(&self, error: DialError) -> ConnectError {
        if self.proxy.is_some() { ConnectError::ProxyDown(error) } else { ConnectError::Dial(error) }
    }

    fn connect_error(&self, error: io::Error) -> DialError {
        let first_hop = self.proxy.as_ref().map_or(&self.to, |proxy| &proxy.at);
        DialError::Connect { address: address(first_hop), error }
    }
}

impl ConnectError {
    /// How far it came; farther says more about what is wrong.
    fn stage(&self) -> u8 {
        match self {
            Self::Dial(_) | Self::ProxyDown(_) => 0,
            Self::Timeout { .. } => 1,
            Self::Proxy { .. } => 2,
            Self::Tls { .. } => 3,
        }
    }
}

/// The steps to one address, which share its time.
struct Attempt<'a> {
    route: &'a Route,
    until: Instant,
}

impl Attempt<'_> {
    async fn connect(&self, at: SocketAddr) -> Result<Stream, ConnectError> {
        let Route { to, tls, proxy, .. } = self.route;
        let dialled = self.within(self.route.silent_step(), dial(at)).await?;
        let mut stream = dialled.map_err(|error| self.route.not_dialled(self.route.connect_error(error)))?;
        tracing::debug!("connected to {at}");
        if let Some(proxy) = proxy {
            let led = self.within("the proxy does not get there", proxy.lead(stream, to)).await?;
            stream = led.map_err(|error| ConnectError::Proxy { proxy: address(&proxy.at), error })?;
        }
        let Some(tls) = tls else { return Ok(Stream::new(stream)) };
        let step = "it does not answer the TLS handshake; check that the pool has TLS on this port";
        let secured = self.within(step, tls.secure(&to.host, stream)).await?;
        Ok(Stream::new(secured.map_err(|error| ConnectError::Tls { address: address(to), error })?))
    }

    /// `step` says what happens while the time runs out.
    async fn within<T>(&self, step: &'static str, work: impl Future<Output = T>) -> Result<T, ConnectError> {
        let Route { to, patience, .. } = self.route;
        let late = |_| ConnectError::Timeout { address: address(to), step, patience: *patience };
        tokio::time::timeout_at(self.until.into(), work).await.map_err(late)
    }
}

/// A TCP connection. A share is a small packet that must not wait for a larger one.
async fn dial(at: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(at).await?;
    stream.set_nodelay(true)?;
    let keep_alive = TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE_INTERVAL);
    let socket = SockRef::from(&stream);
    socket.set_tcp_keepalive(&keep_alive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    Ok(stream)
}

/// HOST:PORT, an IPv6 address in brackets.
pub(super) fn address(to: &Destination) -> String {
    if to.host.contains(':') {
        format!("[{}]:{}", to.host, to.port)
    } else {
        format!("{}:{}", to.host, to.port)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;
    use crate::upstream::tls::Trust;

    /// Who answers on an address of its own: with these bytes, and then hangs up. Gives how often it was called.
    async fn answering(bytes: &'static [u8]) -> (SocketAddr, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let calls = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&calls);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                stream.write_all(bytes).await.ok();
            }
        });
        (at, calls)
    }

    async fn refusing() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
    }

    fn route(tls: Option<Tls>) -> Route {
        let to = Destination { host: "pool.example.com".to_owned(), port: 3333 };
        Route { to, tls, proxy: None, patience: Duration::from_secs(20) }
    }

    async fn tried(route: &Route, addresses: &[SocketAddr]) -> Result<Stream, ConnectError> {
        connect_to_any(route, addresses, now() + route.patience).await
    }

    #[tokio::test]
    async fn an_address_that_refuses_or_fails_in_the_tls_handshake_gives_way_to_the_next() {
        let (plain, _) = answering(b"hello").await;
        assert!(tried(&route(None), &[refusing().await, plain]).await.is_ok());
        let tls = Tls::new(&Trust { authorities: Vec::new(), pin: Some([0; 32]) }).unwrap();
        let ((first, first_calls), (second, second_calls)) =
            (answering(b"HTTP/1.1 400 Bad Request\r\n").await, answering(b"").await);
        let failed = tried(&route(Some(tls)), &[first, second, refusing().await]).await;
        assert!(matches!(failed, Err(ConnectError::Tls { .. })), "what led farthest is told");
        let calls = [first_calls, second_calls].map(|calls| calls.load(Ordering::SeqCst));
        assert_eq!(calls, [1, 1]);
    }

    #[tokio::test]
    async fn a_name_without_an_address_is_told() {
        let failed = tried(&route(None), &[]).await.err().unwrap();
        assert_eq!(failed.to_string(), "cannot connect to pool.example.com:3333: the name has no address");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_stays_unacknowledged_for_half_a_minute_ends_a_connection() {
        let (at, _) = answering(b"").await;
        let stream = dial(at).await.unwrap();
        assert_eq!(SockRef::from(&stream).tcp_user_timeout().unwrap(), Some(UNACKNOWLEDGED));
    }
}
