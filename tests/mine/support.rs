//! The actors of these tests: the miner as a real process, the strict pool in Python as another, and pools that a test
//! scripts line by line over a real socket.

use std::io::{self, BufRead, BufReader, Read, Write, stderr};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::identity::Identity;

/// Longest time without any progress before a test fails. Nothing here waits for time to pass: each wait ends with an
/// event. The miner hashes at the lowest priority, so on a busy machine a share may take its time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Lines of a pipe, read by a thread so that a full pipe never blocks the process.
fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// The miner's binary with these arguments, a home of its own and no configuration from outside.
pub(crate) fn signalcore(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signalcore"));
    command.args(arguments).env_clear().env("HOME", env!("CARGO_TARGET_TMPDIR")).env("NO_COLOR", "1");
    // Ports come round again, and with them what was learnt of another test's pool.
    command.env("SIGNALCORE_STATE_REMEMBER", "false").stdin(Stdio::null());
    // Pools' jobs here are of no chain: parents without work, old times, 50 coins in every block. validate.rs has others, and
    // those of nodes and of the practice pool are real.
    let has_pool =
        !arguments.contains(&"--solo") || arguments.iter().any(|one| ["-o", "--pool"].contains(one));
    if arguments.first() == Some(&"mine") && has_pool {
        command.env("SIGNALCORE_VALIDATION_LEVEL", "0");
    }
    command
}

/// `signalcore mine --json` with one CPU thread.
pub(crate) struct Miner {
    child: Child,
    events: Receiver<String>,
    errors: Receiver<String>,
    seen: Vec<Value>,
}

/// How a miner ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) events: Vec<Value>,
    pub(crate) errors: String,
}

impl Miner {
    pub(crate) fn start(pool: &str, more: &[&str]) -> Self {
        Self::start_with(pool, more, &[])
    }

    pub(crate) fn start_with(pool: &str, more: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::run(&[&["--pool", pool, "--user", "u"], more].concat(), environment)
    }

    /// With this configuration file.
    pub(crate) fn start_with_file(path: &Path) -> Self {
        Self::run(&["--config", path.to_str().unwrap()], &[])
    }

    /// With pools from wherever `arguments` say.
    pub(crate) fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = signalcore(&[&["mine", "--cpu-threads", "1", "--json"], arguments].concat())
            .env("SIGNALCORE_STATE_JOURNAL", "/dev/null") // no test's blocks are another's
            .env("SIGNALCORE_STRATUM_RECONNECT_MAX", "1") // a test shall not wait a minute for the next attempt
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (events, errors) = (lines(child.stdout.take().unwrap()), lines(child.stderr.take().unwrap()));
        Self { child, events, errors, seen: Vec::new() }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the first event, new or seen, that is wanted.
    pub(crate) fn wait_for(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(event) = self.seen.iter().find(|event| wanted(event)) {
            return event.clone();
        }
        let give_up_at = Instant::now() + PATIENCE;
        loop {
            let event = self.next_event(what, give_up_at);
            if wanted(&event) {
                return event;
            }
        }
    }

    /// Waits until this many shares have been accepted since the start.
    pub(crate) fn wait_for_shares(&mut self, accepted: usize) {
        self.wait_for_several(accepted, "accepted shares", |event| event["result"] == "accepted");
    }

    /// Waits until this many events since the start are of the wanted kind.
    pub(crate) fn wait_for_several(&mut self, count: usize, what: &str, wanted: impl Fn(&Value) -> bool) {
        for nth in self.seen.iter().filter(|event| wanted(event)).count()..count {
            let give_up_at = Instant::now() + PATIENCE;
            while !wanted(&self.next_event(&format!("{what} {} of {count}", nth + 1), give_up_at)) {}
        }
    }

    /// The newest event of the wanted kind among those seen.
    pub(crate) fn last(&self, wanted: impl Fn(&Value) -> bool) -> &Value {
        self.seen.iter().rfind(|event| wanted(event)).expect("one was waited for")
    }

    fn next_event(&mut self, what: &str, give_up_at: Instant) -> Value {
        let left = give_up_at.saturating_duration_since(Instant::now());
        let Ok(line) = self.events.recv_timeout(left) else {
            self.child.kill().ok();
            let errors: Vec<_> = self.errors.iter().collect();
            panic!("the miner never told of {what}; it told of {:#?} and of {errors:?}", self.seen);
        };
        let event: Value = serde_json::from_str(&line).unwrap();
        self.seen.push(event.clone());
        event
    }

    /// Waits for the next line on standard error with this in it.
    pub(crate) fn wait_for_complaint(&mut self, part: &str) -> String {
        let give_up_at = Instant::now() + PATIENCE;
        loop {
            let left = give_up_at.saturating_duration_since(Instant::now());
            let line = self.errors.recv_timeout(left);
            let line = line.unwrap_or_else(|error| panic!("the miner never complained of {part:?}: {error}"));
            if line.contains(part) {
                return line;
            }
        }
    }

    /// What it has told so far.
    pub(crate) fn told(&self) -> &[Value] {
        &self.seen
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end.
    pub(crate) fn end(mut self) -> Ended {
        // Its standard output closes when it ends, and only then.
        loop {
            match self.events.recv_timeout(PATIENCE) {
                Ok(line) => self.seen.push(serde_json::from_str(&line).unwrap()),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    self.child.kill().ok();
                    panic!("the miner did not end; it told of {:#?}", self.seen);
                }
            }
        }
        let code = self.child.wait().unwrap().code();
        let errors = self.errors.iter().collect::<Vec<_>>().join("\n");
        Ended { code, events: std::mem::take(&mut self.seen), errors }
    }

    /// Asks it to stop, and waits for the end.
    pub(crate) fn stop(self) -> Ended {
        self.signal(Signal::TERM);
        self.end()
    }
}

/// A test that fails leaves no miner behind.
impl Drop for Miner {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Ended {
    pub(crate) fn of(&self, kind: &str) -> Vec<&Value> {
        self.events.iter().filter(|event| event["event"] == kind).collect()
    }

    /// The one summary, the last line.
    pub(crate) fn summary(&self) -> &Value {
        let last = self.events.last().unwrap_or_else(|| panic!("no line at all, but {}", self.errors));
        assert_eq!(
            (last["event"].as_str(), self.of("summary").len()),
            (Some("summary"), 1),
            "{}",
            self.errors
        );
        last
    }
}

/// `tests/support/strict_pool.py`: a judge written in another language.
pub(crate) struct StrictPool {
    child: Child,
    lines: Receiver<String>,
    errors: Receiver<String>,
    /// Its end of file ends the pool.
    stdin: Option<ChildStdin>,
    pub(crate) url: String,
}

impl StrictPool {
    /// `None`, reported as skipped, where there is no Python.
    pub(crate) fn start(test: &str, options: &[&str]) -> Option<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/strict_pool.py");
        let mut command = Command::new("python3");
        command.arg("-B").arg(script).args(options);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                skipped(test, &format!("python3 cannot be started: {error}"));
                return None;
            }
        };
        let (lines, errors) = (lines(child.stdout.take().unwrap()), lines(child.stderr.take().unwrap()));
        let stdin = child.stdin.take();
        let Ok(first) = lines.recv_timeout(PATIENCE) else {
            panic!("the strict pool did not start: {:?}", errors.iter().collect::<Vec<_>>())
        };
        let first: Value = serde_json::from_str(&first).unwrap();
        let url = format!("stratum+tcp://127.0.0.1:{}", first["port"]);
        Some(Self { child, lines, errors, stdin, url })
    }

    /// Ends it and gives its report.
    pub(crate) fn report(mut self) -> Value {
        drop(self.stdin.take());
        let last = self.lines.iter().last().unwrap_or_default();
        let status = self.child.wait().unwrap();
        let errors: Vec<_> = self.errors.iter().collect();
        assert!(status.success(), "the strict pool failed: {errors:?}");
        let report: Value = serde_json::from_str(&last).unwrap();
        assert_eq!(report["event"], "report");
        report
    }
}

/// Reports a test that must leave its real part out.
pub(crate) fn skipped(test: &str, reason: &str) {
    let line = format!("SKIPPED: {test}: {reason}\n");
    // Past the test harness, which keeps what passing tests print to itself.
    stderr().write_all(line.as_bytes()).unwrap();
    if let Some(path) = std::env::var_os("SIGNALCORE_SKIPPED") {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }
}

/// A pool that says what the test tells it to, in plain text or over TLS.
pub(crate) struct ScriptedPool {
    listener: TcpListener,
    /// Whom it proves to be; `None` is plain text.
    pub(crate) identity: Option<Identity>,
    pub(crate) url: String,
}

impl ScriptedPool {
    pub(crate) fn listen() -> Self {
        Self::listen_at("127.0.0.1:0", None).unwrap()
    }

    pub(crate) fn listen_at(address: &str, identity: Option<Identity>) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let scheme = if identity.is_some() { "stratum+ssl" } else { "stratum+tcp" };
        let url = format!("{scheme}://{}", listener.local_addr()?);
        Ok(Self { listener, identity, url })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// The miner's next connection. The handshake of TLS comes with the first thing read or said.
    pub(crate) fn accept(&self) -> ScriptedConnection {
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let raw = stream.try_clone().unwrap();
        let pipe: Box<dyn Pipe> = match &self.identity {
            None => Box::new(stream),
            Some(identity) => Box::new(identity.serve(stream)),
        };
        ScriptedConnection { reader: BufReader::new(pipe), raw }
    }

    /// The next connection, taken as far as authorised and with one job of difficulty 1e-6.
    pub(crate) fn accept_mining(&self) -> ScriptedConnection {
        let mut connection = self.accept();
        connection.greet().expect("the miner hung up");
        connection
    }
}

/// A job that any miner can work on, and that pays [`PAID`] around eight bytes of extranonces.
pub(crate) fn good_job(id: &str, clean: bool) -> Value {
    job_paying("8f1b6f0d5a0422afad259ec03977bdf2c74a0376", id, clean)
}

/// Whom [`good_job`] pays.
pub(crate) const PAID: &str = "bc1q3udk7r26qs32ltf9nmqrjaaa7tr55qmkuh5n07";

/// A job that pays 50 coins to the hash of a public key.
pub(crate) fn job_paying(key_hash: &str, id: &str, clean: bool) -> Value {
    let coinb1 = format!("0100000001{}ffffffff0d0310730d08", "00".repeat(32));
    let coinb2 = format!("ffffffff0100f2052a01000000160014{key_hash}00000000");
    json!({"id": null, "method": "mining.notify", "params": [id, "00".repeat(32), coinb1, coinb2, [],
        "20000000", "1702355e", "66000000", clean]})
}

/// One connection of the miner to a scripted pool.
pub(crate) struct ScriptedConnection {
    reader: BufReader<Box<dyn Pipe>>,
    /// The same connection below TLS.
    raw: TcpStream,
}

/// What carries bytes both ways.
trait Pipe: Read + Write + Send {}
impl<T: Read + Write + Send> Pipe for T {}

impl ScriptedConnection {
    pub(crate) fn over(stream: TcpStream) -> Self {
        let raw = stream.try_clone().unwrap();
        Self { reader: BufReader::new(Box::new(stream)), raw }
    }

    /// As far as authorised and with one job of difficulty 1e-6; `None` when the miner hung up.
    pub(crate) fn greet(&mut self) -> Option<()> {
        for (method, result) in
            [("mining.subscribe", json!([[], "0a0b0c0d", 4])), ("mining.authorize", json!(true))]
        {
            let id = self.request(method)?["id"].clone();
            self.say(json!({"id": id, "result": result, "error": null}));
        }
        self.say(json!({"id": null, "method": "mining.set_difficulty", "params": [1e-6]}));
        self.say(good_job("good", true));
        Some(())
    }

    pub(crate) fn say(&mut self, line: Value) {
        self.say_bytes(format!("{line}\n").as_bytes());
    }

    pub(crate) fn say_bytes(&mut self, bytes: &[u8]) {
        // The miner may have hung up already; the test then sees what it tells of that.
        let pipe = self.reader.get_mut();
        pipe.write_all(bytes).and_then(|()| pipe.flush()).ok();
    }

    /// The bare connection, whose other end is the miner's.
    pub(crate) fn raw(&self) -> &TcpStream {
        &self.raw
    }

    /// The next request of this method; others before it are passed over. `None` when the miner hung up.
    pub(crate) fn request(&mut self, method: &str) -> Option<Value> {
        loop {
            let line = self.next_line()?;
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["method"] == method {
                return Some(line);
            }
        }
    }

    /// The next line as it came, its ending included. `None` when the miner hung up.
    pub(crate) fn next_line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
        Some(line)
    }

    pub(crate) fn answer(&mut self, method: &str, result: Value) {
        let id = self.request(method).unwrap_or_else(|| panic!("the miner sent no {method}"))["id"].clone();
        self.say(json!({"id": id, "result": result, "error": null}));
    }

    pub(crate) fn subscribe(&mut self, result: Value) {
        self.answer("mining.subscribe", result);
    }
}
