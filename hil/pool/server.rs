//! The shell: one task owns the practice pool, one task a connection moves its bytes.

use std::{
    collections::HashMap,
    future::pending,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{broadcast, mpsc, oneshot},
    task::{AbortHandle, JoinHandle, JoinSet},
    time::{sleep_until, timeout},
};

use super::{
    PoolConfig,
    event::PoolEvent,
    practice::{ConnectionId, Practice, Transmit},
    report::PoolReport,
};

/// Lines that may wait for a client to read; one more and the client is dropped.
const OUTBOX_LINES: usize = 256;
/// Reads of all connections that may wait for the pool; then the sockets wait.
const INBOX_READS: usize = 256;
/// Events kept for a reader that is late; the oldest are lost first.
const EVENTS_KEPT: usize = 4096;
/// One write may take this long.
const WRITE_TIME: Duration = Duration::from_secs(10);

/// A running practice pool. It ends with [`PracticePool::stop`], or when dropped.
#[derive(Debug)]
pub struct PracticePool {
    address: SocketAddr,
    started: Instant,
    practice: Arc<Mutex<Practice>>,
    events: broadcast::Sender<PoolEvent>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl PracticePool {
    /// Listens and serves. Errors: `InvalidInput` for settings out of range, else what binding the port said.
    pub async fn start(config: PoolConfig) -> io::Result<Self> {
        config.check().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let listener = TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        let unix_time =
            SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?.as_secs() as u32;
        let started = Instant::now();
        let practice = Arc::new(Mutex::new(Practice::new(config, started, unix_time)));
        let events = broadcast::Sender::new(EVENTS_KEPT);
        let (stop, stopped) = oneshot::channel();
        let shell = Shell::new(Arc::clone(&practice), events.clone());
        let task = tokio::spawn(shell.run(listener, stopped));
        Ok(Self { address, started, practice, events, stop, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// When it started: the times of its events count from there.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// The statistics of this moment.
    pub fn report(&self) -> PoolReport {
        lock(&self.practice).report(Instant::now())
    }

    /// All events from now on. A reader that falls more than 4096 behind loses the oldest.
    pub fn events(&self) -> broadcast::Receiver<PoolEvent> {
        self.events.subscribe()
    }

    /// Closes all connections and returns the final statistics.
    pub async fn stop(self) -> PoolReport {
        let Self { practice, stop, task, .. } = self;
        // Either send or join fails only if the task has ended before, which is what is wanted.
        _ = stop.send(());
        _ = task.await;
        lock(&practice).report(Instant::now())
    }
}

/// A panic in another task leaves the statistics readable.
fn lock(practice: &Mutex<Practice>) -> MutexGuard<'_, Practice> {
    practice.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a connection's task reports.
enum Inbound {
    Bytes(ConnectionId, Vec<u8>),
    Closed(ConnectionId),
}

/// The pool's end of a connection; dropping the outbox closes it when all is written.
struct Connection {
    outbox: mpsc::Sender<String>,
    task: AbortHandle,
}

struct Shell {
    practice: Arc<Mutex<Practice>>,
    events: broadcast::Sender<PoolEvent>,
    connections: HashMap<ConnectionId, Connection>,
    tasks: JoinSet<()>,
}

impl Shell {
    fn new(practice: Arc<Mutex<Practice>>, events: broadcast::Sender<PoolEvent>) -> Self {
        Self { practice, events, connections: HashMap::new(), tasks: JoinSet::new() }
    }

    async fn run(mut self, listener: TcpListener, mut stopped: oneshot::Receiver<()>) {
        let (inbox, mut inbound) = mpsc::channel(INBOX_READS);
        loop {
            let wake = lock(&self.practice).poll_timeout();
            tokio::select! {
                _ = &mut stopped => break,
                Ok((stream, _)) = listener.accept() => self.accept(stream, inbox.clone()),
                Some(message) = inbound.recv() => self.receive(message),
                () = sleep_until(wake.into()) => lock(&self.practice).handle_timeout(Instant::now()),
                Some(_) = self.tasks.join_next() => {}
            }
            self.flush();
        }
    }

    fn accept(&mut self, stream: TcpStream, inbox: mpsc::Sender<Inbound>) {
        // A socket that will not take the option still works, only later.
        _ = stream.set_nodelay(true);
        if let Some(id) = lock(&self.practice).handle_connect(Instant::now()) {
            let (outbox, lines) = mpsc::channel(OUTBOX_LINES);
            let task = self.tasks.spawn(serve(id, stream, inbox, lines));
            self.connections.insert(id, Connection { outbox, task });
        }
    }

    fn receive(&self, message: Inbound) {
        let mut practice = lock(&self.practice);
        match message {
            Inbound::Bytes(id, bytes) => practice.handle_bytes(id, &bytes, Instant::now()),
            Inbound::Closed(id) => practice.handle_disconnect(id, "the miner hung up", Instant::now()),
        }
    }

    /// Hands lines to the connections and events to the listeners.
    fn flush(&mut self) {
        let mut practice = lock(&self.practice);
        while let Some(transmit) = practice.poll_transmit() {
            match transmit {
                Transmit::Line(id, line) => {
                    if let Some(connection) = self.connections.get(&id)
                        && connection.outbox.try_send(line).is_err()
                    {
                        connection.task.abort();
                        practice.handle_disconnect(id, "the miner does not read", Instant::now());
                    }
                }
                Transmit::Close(id) => drop(self.connections.remove(&id)),
            }
        }
        while let Some(event) = practice.poll_event() {
            // Nobody may be listening.
            _ = self.events.send(event);
        }
    }
}

/// Moves one connection's bytes until the pool drops its outbox and all of it is written, or a write fails.
async fn serve(
    id: ConnectionId,
    stream: TcpStream,
    inbox: mpsc::Sender<Inbound>,
    lines: mpsc::Receiver<String>,
) {
    let (reader, writer) = stream.into_split();
    tokio::select! {
        () = read(id, reader, &inbox) => {}
        () = write(writer, lines) => {}
    }
    // The pool may have ended, and then does not need to know.
    _ = inbox.send(Inbound::Closed(id)).await;
}

/// Ends only if the pool does: a client that has stopped sending may still be waiting for answers.
async fn read(id: ConnectionId, mut reader: OwnedReadHalf, inbox: &mpsc::Sender<Inbound>) {
    let mut buffer = [0; 4096];
    loop {
        let message = match reader.read(&mut buffer).await {
            Ok(0) | Err(_) => Inbound::Closed(id),
            Ok(length) => Inbound::Bytes(id, buffer[..length].to_vec()),
        };
        let end = matches!(message, Inbound::Closed(_));
        if inbox.send(message).await.is_err() {
            return;
        }
        if end {
            return pending().await;
        }
    }
}

async fn write(mut writer: OwnedWriteHalf, mut lines: mpsc::Receiver<String>) {
    while let Some(mut line) = lines.recv().await {
        line.push('\n');
        if !matches!(timeout(WRITE_TIME, writer.write_all(line.as_bytes())).await, Ok(Ok(()))) {
            return;
        }
    }
}
