//! A real HTTP server that answers as a test tells it to, also as no server should.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use signalcore::model::backend::{Backend, Choice, Reply};
use signalcore::model::dialect::{Dialect, Terms};
use signalcore::model::health;
use signalcore::model::http::Server;

/// Between two bytes of a reply that drips.
const DRIP: Duration = Duration::from_millis(20);

/// A request as it came: its path, its headers, its body.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) path: String,
    pub(crate) head: String,
    pub(crate) body: Value,
}

/// What becomes of a request.
pub(crate) enum Answer {
    /// A whole reply of this status.
    Whole(u16, String),
    /// These bytes as they are, and the end of the connection.
    Cut(String),
    /// A reply that comes byte by byte.
    Drip(String),
    /// Nothing until the other end gives up.
    Silence,
}

impl From<(u16, String)> for Answer {
    fn from((status, text): (u16, String)) -> Self {
        Self::Whole(status, text)
    }
}

/// The server. It is there until the test ends.
pub(crate) struct Fake {
    base: String,
    got: Arc<Mutex<Vec<Got>>>,
}

type Answers = Arc<dyn Fn(usize, &Got) -> Answer + Send + Sync>;

impl Fake {
    /// Answers the nth request as told.
    pub(crate) fn new<A: Into<Answer>>(answer: impl Fn(usize, &Got) -> A + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let got: Arc<Mutex<Vec<Got>>> = Arc::default();
        let answers: Answers = Arc::new(move |number, got| answer(number, got).into());
        let seen = Arc::clone(&got);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (answers, seen) = (Arc::clone(&answers), Arc::clone(&seen));
                std::thread::spawn(move || serve(stream, &answers, &seen));
            }
        });
        Self { base, got }
    }

    pub(crate) fn server(&self, dialect: Dialect) -> Server {
        server_at(&self.base, dialect)
    }

    pub(crate) async fn ask(&self, dialect: Dialect, limit: Duration) -> Reply {
        let mut backend = Backend::new(Choice::Http(self.server(dialect))).unwrap();
        backend.ask(&health::question(2000), Instant::now() + limit).await
    }

    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }
}

/// A server of that address, with the model `m` and a key.
pub(crate) fn server_at(base: &str, dialect: Dialect) -> Server {
    let terms = Terms { dialect, model: "m".to_owned(), preferences: String::new() };
    Server { base: base.to_owned(), terms, key: Some("k3y".to_owned()), allow_remote: false }
}

/// An address where nobody listens.
pub(crate) fn nowhere() -> String {
    format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap())
}

/// What Ollama says around an answer.
pub(crate) fn ollama(content: &str) -> (u16, String) {
    let body =
        json!({"message": {"role": "assistant", "content": content}, "done": true, "done_reason": "stop"});
    (200, body.to_string())
}

/// What llama.cpp and vLLM say around one.
pub(crate) fn open_ai(content: &str) -> (u16, String) {
    (200, json!({"choices": [{"message": {"content": content}, "finish_reason": "stop"}]}).to_string())
}

/// The next request; `None` when the other end has gone.
fn request(reader: &mut impl BufRead) -> Option<Got> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        reader.read_line(&mut head).ok().filter(|length| *length > 0)?;
    }
    let lower = head.to_ascii_lowercase();
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    let path = head.split(' ').nth(1)?.to_owned();
    Some(Got { path, head, body: serde_json::from_slice(&body).unwrap_or_default() })
}

fn serve(stream: TcpStream, answers: &Answers, seen: &Mutex<Vec<Got>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    while let Some(got) = request(&mut reader) {
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.push(got.clone());
            seen.len() - 1
        };
        let whole = |status: u16, text: &str| {
            format!(
                "HTTP/1.1 {status} X\r\nlocation: /elsewhere\r\ncontent-length: {}\r\n\r\n{text}",
                text.len()
            )
        };
        let is_sent = match answers(number, &got) {
            Answer::Whole(status, text) => writer.write_all(whole(status, &text).as_bytes()).is_ok(),
            Answer::Cut(bytes) => {
                writer.write_all(bytes.as_bytes()).ok();
                return;
            }
            Answer::Drip(text) => whole(200, &text).bytes().all(|byte| {
                std::thread::sleep(DRIP);
                writer.write_all(&[byte]).is_ok()
            }),
            Answer::Silence => {
                reader.read_to_end(&mut Vec::new()).ok();
                return;
            }
        };
        if !is_sent {
            return;
        }
    }
}
