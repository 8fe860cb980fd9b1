//! Stands between the miner and a real node, and lets through what the test lets through.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::PATIENCE;

/// What becomes of a call.
#[derive(Debug, Clone)]
pub(crate) enum Fate {
    /// The node gets it.
    Pass,
    /// The connection ends without an answer.
    Drop,
    /// This answer instead of the node's, with its HTTP status.
    Answer(u16, String),
}

type Judge = Box<dyn FnMut(&str, &str) -> Fate + Send>;

/// A proxy for JSON-RPC.
pub(crate) struct RpcProxy {
    pub(crate) port: u16,
    judge: Arc<Mutex<Judge>>,
}

impl RpcProxy {
    /// In front of the node at `port`. `judge` sees the method and the body of each call.
    pub(crate) fn start(port: u16, judge: impl FnMut(&str, &str) -> Fate + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (own, judge) =
            (listener.local_addr().unwrap().port(), Arc::new(Mutex::new(Box::new(judge) as Judge)));
        let shared = Arc::clone(&judge);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let judge = Arc::clone(&shared);
                std::thread::spawn(move || serve(client, port, &judge));
            }
        });
        Self { port: own, judge }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn judge_by(&self, judge: impl FnMut(&str, &str) -> Fate + Send + 'static) {
        *self.judge.lock().unwrap() = Box::new(judge);
    }
}

fn serve(mut client: TcpStream, port: u16, judge: &Mutex<Judge>) {
    client.set_read_timeout(Some(PATIENCE)).ok();
    while let Some((head, body)) = read_message(&mut client) {
        let text = String::from_utf8_lossy(&body).into_owned();
        let call = serde_json::from_str::<serde_json::Value>(&text).unwrap_or_default();
        let fate = judge.lock().unwrap()(call["method"].as_str().unwrap_or_default(), &text);
        match fate {
            Fate::Drop => return,
            Fate::Answer(status, text) => {
                let text = text.replace("ID", &call["id"].to_string());
                let reply = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{text}", text.len());
                if client.write_all(reply.as_bytes()).is_err() {
                    return;
                }
            }
            Fate::Pass => {
                let Ok(mut node) = TcpStream::connect(("127.0.0.1", port)) else { return };
                node.set_read_timeout(Some(PATIENCE)).ok();
                let sent = node.write_all(&head).and_then(|()| node.write_all(&body));
                let Some((head, body)) = sent.ok().and_then(|()| read_message(&mut node)) else { return };
                if client.write_all(&head).and_then(|()| client.write_all(&body)).is_err() {
                    return;
                }
            }
        }
    }
}

/// A request or a reply: its head with the empty line, and its body.
fn read_message(stream: &mut TcpStream) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head).to_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}

/// A line for bytes, which can be cut and mended.
pub(crate) struct Line {
    pub(crate) port: u16,
    is_cut: Arc<AtomicBool>,
}

impl Line {
    pub(crate) fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap().port();
        let is_cut = Arc::new(AtomicBool::new(false));
        let cut = Arc::clone(&is_cut);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else {
                    continue;
                };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let cut = Arc::clone(&cut);
                    std::thread::spawn(move || carry(from, to, &cut));
                }
            }
        });
        Self { port: own, is_cut }
    }

    /// From now on all bytes vanish, and nobody is told.
    pub(crate) fn cut(&self) {
        self.is_cut.store(true, Ordering::Relaxed);
    }

    /// New connections work again.
    pub(crate) fn mend(&self) {
        self.is_cut.store(false, Ordering::Relaxed);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, is_cut: &AtomicBool) {
    from.set_read_timeout(Some(Duration::from_millis(20))).ok();
    let mut buffer = [0; 4096];
    let mut was_cut = false;
    loop {
        // A connection that was cut once stays dead without a word.
        was_cut |= is_cut.load(Ordering::Relaxed);
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(_) if was_cut => {}
            Ok(length) if to.write_all(&buffer[..length]).is_err() => break,
            Ok(_) => {}
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    to.shutdown(Shutdown::Both).ok();
}
