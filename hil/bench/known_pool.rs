//! The pool of `known` on a loopback port.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};

use super::known::{KnownSession, Submitted};
use crate::pool::line::LineBuffer;

/// Shares that may wait to be read; then the miner waits.
const SHARES: usize = 64;
/// One write may take this long.
const WRITE_TIME: Duration = Duration::from_secs(5);

/// Serves one miner at a time, until it is dropped.
#[derive(Debug)]
pub(super) struct KnownPool {
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// What is submitted.
    pub(super) shares: mpsc::Receiver<Submitted>,
    task: JoinHandle<()>,
}

impl KnownPool {
    /// Listens on a free port. Errors: what the system says.
    pub(super) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (sender, shares) = mpsc::channel(SHARES);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A connection that breaks is followed by the miner's next one.
                _ = serve(stream, &sender).await;
            }
        });
        Ok(Self { address, shares, task })
    }
}

impl Drop for KnownPool {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, shares: &mpsc::Sender<Submitted>) -> io::Result<()> {
    let (mut session, mut lines, mut buffer) = (KnownSession::default(), LineBuffer::default(), [0; 4096]);
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        for line in lines.lines(&buffer[..count]) {
            let reply = session.handle_line(&line.map_err(io::Error::other)?);
            if let Some(submitted) = reply.submitted {
                // Who listens may have heard enough.
                _ = shares.send(submitted).await;
            }
            for line in reply.lines {
                timeout(WRITE_TIME, stream.write_all(line.as_bytes())).await??;
            }
        }
    }
}
