//! A server that answers as the test tells it to, byte for byte.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use signalcore::protocol::session_config::Credentials;
use signalcore::upstream::node::login::Login;
use signalcore::upstream::node::rpc::Access;

/// A request that has come, and where the answer goes.
pub(crate) struct Asked {
    /// Which connection it came over, from 1.
    pub(crate) connection: usize,
    /// The `Authorization` header.
    pub(crate) login: String,
    /// Its id.
    pub(crate) id: u64,
    /// Its parameters.
    pub(crate) params: serde_json::Value,
    stream: TcpStream,
}

impl Asked {
    /// Writes bytes. That the client has gone does not matter.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// A whole answer.
    pub(crate) fn answer(&mut self, status: &str, body: &str) {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
        self.write((head + body).as_bytes());
    }

    /// A result.
    pub(crate) fn result(&mut self, json: &str) {
        let body = format!(r#"{{"result":{json},"error":null,"id":{}}}"#, self.id);
        self.answer("200 OK", &body);
    }

    /// Closes the connection.
    pub(crate) fn hang_up(&mut self) {
        self.stream.shutdown(std::net::Shutdown::Both).ok();
    }
}

/// A running one. Its threads end with their connections and with the test.
pub(crate) struct FalseNode {
    address: SocketAddr,
    /// Requests as they come, with their logins and connections.
    pub(crate) seen: mpsc::Receiver<(usize, String)>,
}

impl FalseNode {
    /// Answers each request with `play`, which knows how many came before it.
    pub(crate) fn start(play: impl Fn(usize, Asked) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, seen) = mpsc::channel();
        let (play, count) = (std::sync::Arc::new(play), std::sync::Arc::new(std::sync::Mutex::new(0)));
        thread::spawn(move || {
            for (connection, stream) in (1..).zip(listener.incoming()) {
                let (play, count, tell) = (play.clone(), count.clone(), tell.clone());
                let stream = stream.unwrap();
                thread::spawn(move || {
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    while let Some(asked) = read(connection, &mut reader, &stream) {
                        tell.send((asked.connection, asked.login.clone())).ok();
                        let before = {
                            let mut count = count.lock().unwrap();
                            *count += 1;
                            *count - 1
                        };
                        play(before, asked);
                    }
                });
            }
        });
        Self { address, seen }
    }

    /// How our client finds it.
    pub(crate) fn access(&self) -> Access {
        let login = Login::Password(Credentials { user: "u".to_owned(), password: "p".to_owned() });
        Access { host: self.address.ip().to_string(), port: self.address.port(), login }
    }
}

/// The next request; `None` at the end.
fn read(connection: usize, reader: &mut BufReader<TcpStream>, stream: &TcpStream) -> Option<Asked> {
    let (mut length, mut login, mut line) = (0, String::new(), String::new());
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let header = line.trim_end().to_owned();
        match header.split_once(": ") {
            _ if header.is_empty() => break,
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().ok()?;
            }
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => value.clone_into(&mut login),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let mut body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let stream = stream.try_clone().ok()?;
    let (id, params) = (body["id"].as_u64().unwrap(), body["params"].take());
    Some(Asked { connection, login, id, params, stream })
}
