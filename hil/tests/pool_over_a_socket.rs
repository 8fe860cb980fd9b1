//! The practice pool as a miner meets it: over a loopback socket, line by line.
#![allow(clippy::unwrap_used)] // all of this file is a test, also what clippy does not see as one

use std::{io, time::Duration};

use serde_json::{Value, json};
use signalcore_hil::pool::{
    Difficulty, Event, Finder, PoolConfig, PoolEvent, PracticePool, Reject, VardiffConfig, Verdict,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    sync::broadcast,
};

#[path = "support/miner.rs"]
mod miner;
use miner::Miner;

/// A miner with its socket.
struct Client {
    stream: BufReader<TcpStream>,
    miner: Miner,
}

impl Client {
    async fn connect(pool: &PracticePool) -> Self {
        let stream = BufReader::new(TcpStream::connect(pool.address()).await.unwrap());
        Self { stream, miner: Miner::default() }
    }

    async fn join(pool: &PracticePool) -> Self {
        let mut client = Self::connect(pool).await;
        client.ask("mining.subscribe", &json!(["test/1"])).await;
        assert_eq!(client.ask("mining.authorize", &json!(["w", "x"])).await["result"], true);
        while client.miner.job.is_none() {
            client.line().await;
        }
        client
    }

    async fn line(&mut self) -> Value {
        let mut line = String::new();
        assert_ne!(self.stream.read_line(&mut line).await.unwrap(), 0, "the pool hung up");
        let line = serde_json::from_str(&line).unwrap();
        self.miner.read(&line);
        line
    }

    /// Sends a request with id 2 and reads up to its answer.
    async fn ask(&mut self, method: &str, params: &Value) -> Value {
        let request = json!({ "id": 2, "method": method, "params": params }).to_string() + "\n";
        self.stream.write_all(request.as_bytes()).await.unwrap();
        loop {
            let line = self.line().await;
            if line["id"] == 2 {
                return line;
            }
        }
    }
}

/// A pool whose shares take 430 hashes and whose blocks some 9000.
async fn start() -> PracticePool {
    let vardiff = VardiffConfig {
        start: Difficulty::new(1e-7).unwrap(),
        lowest: Difficulty::new(1e-7).unwrap(),
        ..PoolConfig::default().vardiff
    };
    let config = PoolConfig { vardiff, block_every: Duration::from_secs(30), ..PoolConfig::default() };
    PracticePool::start(config).await.unwrap()
}

#[tokio::test]
async fn a_share_is_accepted_its_copy_refused_and_a_block_makes_older_shares_stale() {
    let pool = start().await;
    let mut events = pool.events();
    let mut client = Client::join(&pool).await;
    let job = client.miner.job();
    let (share, late) = (job.share("w", 0), job.share("w", 1));
    assert_eq!(client.ask("mining.submit", &share).await["result"], true);
    assert_eq!(client.ask("mining.submit", &share).await["error"][0], 22);
    assert_eq!(client.ask("mining.submit", &job.poor_share("w")).await["error"][0], 23);

    assert_eq!(client.ask("mining.submit", &job.block("w")).await["result"], true);
    while !client.miner.job().clean || client.miner.job().id == job.id {
        client.line().await;
    }
    assert_eq!(client.ask("mining.submit", &late).await["error"][0], 21);
    assert_eq!(client.ask("mining.submit", &client.miner.job().share("w", 0)).await["result"], true);

    let report = pool.stop().await;
    let total = &report.total;
    assert_eq!((total.accepted, total.blocks, total.rejected_shares(), total.invalid_shares()), (3, 1, 3, 2));
    assert_eq!(total.rejected[&Reject::Duplicate], 1);
    assert!(report.hash_rate > 0.0);
    assert_eq!(report.connections[0].user.as_deref(), Some("w"));
    let (blocks, accepted) = count(&mut events);
    assert_eq!((blocks, accepted), (1, 3), "the events tell the same");
}

/// Blocks of the miner and accepted shares among the events so far.
fn count(events: &mut broadcast::Receiver<PoolEvent>) -> (usize, usize) {
    let (mut blocks, mut accepted) = (0, 0);
    while let Ok(told) = events.try_recv() {
        match told.event {
            Event::Block { finder: Finder::Miner, .. } => blocks += 1,
            Event::Share { verdict: Verdict::Accepted { .. }, .. } => accepted += 1,
            _ => {}
        }
    }
    (blocks, accepted)
}

#[tokio::test]
async fn a_client_that_sends_but_never_reads_is_dropped() {
    let pool = start().await;
    let client = Client::connect(&pool).await;
    let mut stream = client.stream.into_inner();
    let lines = "{\"id\":1,\"method\":\"mining.nonsense\",\"params\":[]}\n".repeat(1000);
    // The kernel's buffers take some megabytes before the pool's own queue fills.
    let error = loop {
        if let Err(error) = stream.write_all(lines.as_bytes()).await {
            break error;
        }
    };
    assert!(matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe), "{error}");
    assert_eq!(pool.report().connections[0].ended.as_deref(), Some("the miner does not read"));
    Client::join(&pool).await;
    pool.stop().await;
}

#[tokio::test]
async fn settings_out_of_range_are_refused_before_anything_listens() {
    let refused = PracticePool::start(PoolConfig { extranonce2_size: 99, ..PoolConfig::default() }).await;
    assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::InvalidInput);
}
