use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Longest time without any progress before a test fails.
const PATIENCE: Duration = Duration::from_secs(30);

fn recorded(name: &str) -> Vec<u8> {
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../../../../tests/vectors/gbt-vectors.json")).unwrap();
    hex::decode(vectors["zmtp"][name].as_str().unwrap()).unwrap()
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.expect("no progress")
}

/// Where a publisher is, and who subscribes to it.
struct Pair {
    listener: TcpListener,
    handle: ZmqHandle,
    events: mpsc::Receiver<(usize, ZmqEvent)>,
}

impl Pair {
    async fn new() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn on(listener: TcpListener) -> Self {
        Self::with_room(64, listener)
    }

    /// For so many events.
    fn with_room(events: usize, listener: TcpListener) -> Self {
        let (sender, events) = mpsc::channel(events);
        let port = listener.local_addr().unwrap().port();
        let endpoint = ZmqEndpoint::Tcp { host: "127.0.0.1".to_owned(), port };
        Self { listener, handle: subscribe(endpoint, 7, sender), events }
    }

    async fn accept(&self) -> Wire {
        Wire(within(self.listener.accept()).await.unwrap().0)
    }

    /// The next connection, once its subscription stands.
    async fn publisher(&mut self) -> Wire {
        let mut wire = self.accept().await;
        wire.greet().await;
        assert_eq!(self.next().await, "up");
        assert_eq!(self.next().await, "changed");
        wire
    }

    /// The next event: of a tip the first byte of its hash, of an end the reason.
    async fn next(&mut self) -> String {
        match within(self.events.recv()).await.expect("the task goes on") {
            (7, ZmqEvent::Up) => "up".to_owned(),
            (7, ZmqEvent::Changed) => "changed".to_owned(),
            (7, ZmqEvent::Tip { hash, .. }) => hash[0].to_string(),
            (7, ZmqEvent::Down { reason }) => reason,
            (number, _) => panic!("an event of {number}"),
        }
    }
}

/// One connection as the publisher sees it.
struct Wire(TcpStream);

impl Wire {
    async fn write(&mut self, bytes: &[u8]) {
        within(self.0.write_all(bytes)).await.unwrap();
    }

    async fn expect(&mut self, bytes: &[u8]) {
        let mut read = vec![0; bytes.len()];
        within(self.0.read_exact(&mut read)).await.unwrap();
        assert_eq!(hex::encode(read), hex::encode(bytes));
    }

    async fn greet(&mut self) {
        self.expect(&recorded("client_greeting")).await;
        self.write(&recorded("server_greeting_seen")).await;
        self.expect(&recorded("client_ready")).await;
        self.write(&recorded("server_ready_seen")).await;
        self.expect(&recorded("client_subscribe_hashblock_message_form")).await;
        self.expect(b"\0\x09\x01sequence").await;
    }

    /// A message of these frames.
    async fn send(&mut self, frames: &[&[u8]]) {
        let mut bytes = Vec::new();
        for (at, frame) in frames.iter().enumerate() {
            bytes.push(2 | u8::from(at + 1 < frames.len()));
            bytes.extend((frame.len() as u64).to_be_bytes());
            bytes.extend_from_slice(frame);
        }
        self.write(&bytes).await;
    }

    /// The last digits of the hash as printed are `block`.
    async fn hashblock(&mut self, block: u8, counter: u32) {
        let hash = [&[0; 31][..], &[block]].concat();
        self.send(&[b"hashblock", &hash, &counter.to_le_bytes()]).await;
    }

    /// Long before silence would end it.
    async fn expect_end(mut self) {
        let mut rest = Vec::new();
        let end = timeout(Duration::from_secs(4), self.0.read_to_end(&mut rest));
        end.await.expect("it goes on").ok(); // with bytes unread it ends with a reset
    }
}

#[tokio::test]
async fn what_is_no_notice_of_a_block_is_passed_over() {
    let mut pair = Pair::new().await;
    let mut wire = pair.publisher().await;
    wire.send(&[b"hashblock", &[0; 31], &[0; 4]]).await;
    wire.send(&[b"hashblock", &[0; 32]]).await;
    wire.send(&[b"hashtx", &[0; 32], &[0; 4]]).await;
    wire.send(&[b"rawblock", &vec![0; 4_000_000], &[0; 4]]).await;
    wire.hashblock(1, 0).await;
    assert_eq!(pair.next().await, "1");
    wire.write(&[2, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).await; // a frame of nine exabytes
    assert!(pair.next().await.contains("longer than any block"));
}

#[tokio::test]
async fn a_subscription_that_ends_comes_back() {
    let mut pair = Pair::new().await;
    let mut wire = pair.publisher().await;
    wire.hashblock(1, 0).await;
    assert_eq!(pair.next().await, "1");
    drop(wire);
    assert_eq!(pair.next().await, "the node closed the connection");
    let mut wire = pair.publisher().await;
    wire.hashblock(2, 5).await;
    assert_eq!(pair.next().await, "2");
}

#[tokio::test]
async fn one_that_takes_no_answers_is_still_heard_and_can_be_left() {
    let mut pair = Pair::new().await;
    let mut wire = pair.publisher().await;
    // More PINGs than all buffers of both ends hold PONGs, none of which is read.
    let pings = [&b"\x04\x17\x04PING\x00\x0a"[..], &[b'x'; 16]].concat().repeat(4000);
    for _ in 0..400 {
        wire.write(&pings).await;
    }
    wire.hashblock(1, 0).await;
    assert_eq!(pair.next().await, "1");
    pair.handle.suspect();
    assert_eq!(pair.next().await, "it let a block pass without a word");
    let _wire = pair.publisher().await;
}

#[tokio::test]
async fn a_suspicion_does_not_outlive_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let mut pair = Pair::on(listener);
    let wire = pair.publisher().await;
    pair.listener = TcpListener::bind("127.0.0.1:0").await.unwrap(); // nobody listens at the first place any more
    drop(wire);
    assert_eq!(pair.next().await, "the node closed the connection");
    assert!(pair.next().await.starts_with("it cannot be reached"));
    pair.handle.suspect();
    pair.listener = TcpListener::bind(at).await.unwrap();
    let mut wire = loop {
        let mut wire = pair.accept().await;
        wire.greet().await;
        match pair.next().await.as_str() {
            "up" => break wire,
            reason => assert!(reason.starts_with("it cannot be reached"), "{reason}"),
        }
    };
    assert_eq!(pair.next().await, "changed");
    wire.hashblock(1, 0).await;
    assert_eq!(pair.next().await, "1");
}

#[tokio::test]
async fn a_subscription_ends_with_its_handle_and_with_its_listener() {
    let mut pair = Pair::new().await;
    let wire = pair.publisher().await;
    drop(pair.handle);
    wire.expect_end().await;
    let mut pair = Pair::new().await;
    let wire = pair.publisher().await;
    drop(pair.events);
    wire.expect_end().await;
}

#[tokio::test]
async fn who_does_not_listen_is_not_waited_for_and_hears_of_a_change() {
    let mut pair = Pair::with_room(2, TcpListener::bind("127.0.0.1:0").await.unwrap());
    let mut wire = pair.accept().await;
    wire.greet().await;
    for block in 0..=255 {
        wire.hashblock(block, block.into()).await;
    }
    wire.write(&recorded("client_ping")).await;
    wire.expect(&recorded("server_pong_seen")).await; // so all before it has been read
    pair.handle.suspect();
    wire.expect_end().await;
    let mut wire = pair.accept().await;
    wire.greet().await;
    wire.write(&recorded("client_ping")).await;
    wire.expect(&recorded("server_pong_seen")).await;
    for event in ["up", "changed", "up", "changed"] {
        assert_eq!(
            pair.next().await,
            event,
            "the first two had room, and the last two are what is left of the rest"
        );
    }
}

#[tokio::test]
async fn a_half_open_connection_is_left_after_ten_seconds() {
    let mut pair = Pair::new().await;
    let mut half_open = pair.publisher().await;
    let since = Instant::now();
    half_open.expect(b"\x04\x07\x04PING\0\0").await;
    assert_eq!(pair.next().await, "it has given no sign of life for 10 s");
    assert!(since.elapsed() >= Duration::from_secs(9));
    let mut wire = pair.publisher().await;
    wire.hashblock(1, 0).await;
    assert_eq!(pair.next().await, "1");
}
