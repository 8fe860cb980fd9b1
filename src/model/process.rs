//! Models that are programs: one that lives long and speaks JSON lines, or one that is started for each question. Both in
//! a sandbox.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::{timeout, timeout_at};

use super::failure::Failure;
use super::output::clean;
use super::sandbox::{self, Plan, Report};
use crate::clock::now;
use crate::protocol::line::LineBuffer;

pub mod json_lines;
pub mod one_shot;
mod restarts;
mod scratch;

/// Where programs are looked for.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/opt/bin";
/// How long a process may take to begin: the helper's part of it takes a few milliseconds.
const STARTING: Duration = Duration::from_secs(5);
/// How long it is given at its end, before SIGTERM and before SIGKILL.
const ENDING: Duration = Duration::from_secs(2);
/// Longest line of its standard error that is passed on. Unit: bytes.
const MAX_COMPLAINT: usize = 1024;
/// Lines of its standard error that are passed on within a second.
const COMPLAINTS: u32 = 10;
/// Bytes read at once.
const CHUNK: usize = 4096;

/// How a model's program is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The program and its arguments; no shell sees them.
    pub argv: Vec<String>,
    /// The program that has the helper's subcommand: this one.
    pub helper: PathBuf,
    /// Files and folders it may read besides the system's. Files that its arguments name are read as well.
    pub readable: Vec<PathBuf>,
    /// Address space. Unit: bytes.
    pub memory: u64,
    /// Processes and threads it may have beside itself.
    pub processes: u64,
    /// Whether it may use the network as it likes.
    pub network: bool,
    /// TCP ports it may connect to otherwise.
    pub allow_ports: Vec<u16>,
    /// Whether it is not started when nothing can be held back.
    pub require: bool,
}

impl Program {
    /// This program as the helper. Source: proc(5), `/proc/pid/exe`; it stays the same while a newer one is installed.
    pub fn own_helper() -> io::Result<PathBuf> {
        if cfg!(target_os = "linux") { Ok(PathBuf::from("/proc/self/exe")) } else { std::env::current_exe() }
    }

    /// The files that it consists of, as far as its command and `readable` name them: the program first.
    pub fn files(&self) -> Vec<PathBuf> {
        let program = self.argv.first().and_then(|name| sandbox::find_program(name, PATH));
        let named = self.argv.iter().skip(1).map(PathBuf::from).filter(|path| path.is_absolute());
        let others = named.chain(self.readable.iter().cloned()).filter(|path| path.is_file());
        program.into_iter().chain(others).collect()
    }

    fn plan(&self, scratch: PathBuf, cpu_seconds: Option<u64>) -> Result<Plan, Failure> {
        let (name, arguments) = self
            .argv
            .split_first()
            .ok_or_else(|| Failure::NotStarted("model.command names no program".to_owned()))?;
        let program = sandbox::find_program(name, PATH).ok_or_else(|| {
            let has_spaces = name.contains(char::is_whitespace);
            let hint = if has_spaces { "; no shell splits it: give each word by itself" } else { "" };
            Failure::NotStarted(format!("there is no program {name:?}, looked for in {PATH}{hint}"))
        })?;
        if let Some(file) = arguments.iter().find(|word| is_file_here(word)) {
            let whole = std::path::absolute(file).unwrap_or_default();
            return Err(Failure::NotStarted(format!(
                "it runs in a folder of its own, where there is no {file:?}: write {}",
                whole.display()
            )));
        }
        let named = arguments.iter().map(PathBuf::from).filter(|path| path.is_absolute() && path.exists());
        let mut argv = vec![program.to_string_lossy().into_owned()];
        argv.extend_from_slice(arguments);
        Ok(Plan {
            argv,
            scratch,
            readable: self.readable.iter().cloned().chain(named).collect(),
            memory: self.memory,
            processes: self.processes,
            cpu_seconds,
            network: self.network,
            allow_ports: self.allow_ports.clone(),
            require: self.require,
        })
    }
}

/// A program that runs. Dropping it kills it with all that it has started.
#[derive(Debug)]
struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    lines: LineBuffer,
    /// How much of its plan holds.
    report: Report,
    last_complaint: Arc<Mutex<String>>,
    #[cfg_attr(not(unix), allow(dead_code))]
    group: Option<i32>,
    /// Removed with it.
    _scratch: TempDir,
}

impl Running {
    /// Starts it and waits for the helper's report. `longest` is that of its lines, in bytes.
    async fn start(program: &Program, cpu_seconds: Option<u64>, longest: usize) -> Result<Self, Failure> {
        let not_started = |error: io::Error| Failure::NotStarted(error.to_string());
        let scratch = scratch::make().map_err(not_started)?;
        let plan = program.plan(scratch.path().to_owned(), cpu_seconds)?;
        let mut command = Command::new(&program.helper);
        command
            .arg(sandbox::SUBCOMMAND)
            .arg(serde_json::to_string(&plan).expect("a plan has a JSON form"))
            .env_clear()
            .envs([("PATH", PATH), ("LANG", "C.UTF-8")])
            .env("HOME", scratch.path())
            .env("TMPDIR", scratch.path())
            .current_dir(scratch.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn().map_err(not_started)?;
        let group = child.id().map(|id| id as i32);
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(Failure::NotStarted("it has no pipes".to_owned()));
        };
        let last_complaint = Arc::default();
        tokio::spawn(pass_on(stderr, Arc::clone(&last_complaint)));
        let mut running = Self {
            stdin: child.stdin.take(),
            child,
            stdout,
            lines: LineBuffer::with_longest(longest),
            report: Report { sandbox: sandbox::Level::None, missing: Vec::new() },
            last_complaint,
            group,
            _scratch: scratch,
        };
        let line = timeout(STARTING, running.next_line()).await;
        let line = line.unwrap_or(Err(Failure::Late)).map_err(|failure| match failure {
            Failure::Process(text) => Failure::NotStarted(text),
            other => other,
        })?;
        running.report = serde_json::from_str(&line)
            .map_err(|_| Failure::NotStarted(format!("the helper says {:?}", clean(&line))))?;
        Ok(running)
    }

    /// The next whole line. Nothing is lost when this is dropped while it waits. Errors: `Process` at its end.
    async fn next_line(&mut self) -> Result<String, Failure> {
        loop {
            match self.lines.next_line() {
                Ok(Some(line)) => return Ok(line),
                Ok(None) => {}
                Err(error) => return Err(Failure::Process(error.to_string())),
            }
            let mut chunk = [0; CHUNK];
            match self.stdout.read(&mut chunk).await {
                Ok(0) => return Err(Failure::Process(self.why_ended().await)),
                Ok(length) => self.lines.extend(&chunk[..length]),
                Err(error) => return Err(Failure::Process(error.to_string())),
            }
        }
    }

    /// All that is left of its output, `longest` bytes at most.
    async fn rest(&mut self, longest: usize) -> Result<Vec<u8>, Failure> {
        let mut bytes = self.lines.take_rest();
        let mut chunk = [0; CHUNK];
        loop {
            if bytes.len() > longest {
                return Err(Failure::Process(format!("it prints more than {longest} bytes")));
            }
            match self.stdout.read(&mut chunk).await {
                Ok(0) => return Ok(bytes),
                Ok(length) => bytes.extend_from_slice(&chunk[..length]),
                Err(error) => return Err(Failure::Process(error.to_string())),
            }
        }
    }

    async fn write(&mut self, text: &str) -> Result<(), Failure> {
        let stdin = self.stdin.as_mut().ok_or_else(|| Failure::Process("it takes no input".to_owned()))?;
        let written = stdin.write_all(text.as_bytes()).await;
        written.map_err(|error| Failure::Process(format!("it takes no input: {error}")))
    }

    /// Why its output has ended.
    async fn why_ended(&mut self) -> String {
        let status = timeout(ENDING, self.child.wait()).await;
        let complaint = self.complaint();
        let said = if complaint.is_empty() { String::new() } else { format!(": {complaint}") };
        match status {
            Ok(Ok(status)) => format!("it has ended, {}{said}", describe(status)),
            _ => format!("it has closed its output{said}"),
        }
    }

    /// What it last wrote to its standard error.
    fn complaint(&self) -> String {
        self.last_complaint.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks it to end, ever less kindly.
    async fn end(mut self) {
        self.stdin = None;
        if timeout(ENDING, self.child.wait()).await.is_err() {
            self.signal(true);
            timeout(ENDING, self.child.wait()).await.ok();
        }
    }

    #[cfg(unix)]
    fn signal(&self, kindly: bool) {
        use rustix::process::{Pid, Signal, kill_process_group};
        let signal = if kindly { Signal::TERM } else { Signal::KILL };
        if let Some(group) = self.group.and_then(Pid::from_raw) {
            kill_process_group(group, signal).ok();
        }
    }

    #[cfg(not(unix))]
    fn signal(&self, _: bool) {}
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(false);
    }
}

/// Whether a word names a file from this folder on, as a path does or a name with an ending.
fn is_file_here(word: &str) -> bool {
    let path = Path::new(word);
    path.is_relative() && (word.contains('/') || path.extension().is_some()) && path.is_file()
}

fn describe(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("exit code {code}"),
        None => "killed by a signal".to_owned(),
    }
}

/// Its standard error to the log, not too much of it.
async fn pass_on(mut stderr: ChildStderr, last: Arc<Mutex<String>>) {
    let mut lines = LineBuffer::with_longest(MAX_COMPLAINT);
    let mut chunk = [0; CHUNK];
    let (mut second, mut told) = (now(), 0);
    while let Ok(length @ 1..) = stderr.read(&mut chunk).await {
        lines.extend(&chunk[..length]);
        loop {
            let line = match lines.next_line() {
                Ok(Some(line)) => clean(&line),
                Ok(None) => break,
                Err(_) => {
                    lines = LineBuffer::with_longest(MAX_COMPLAINT);
                    break;
                }
            };
            if now().duration_since(second) >= Duration::from_secs(1) {
                (second, told) = (now(), 0);
            }
            told += 1;
            if told <= COMPLAINTS {
                tracing::debug!("model: {line}");
            }
            *last.lock().unwrap_or_else(PoisonError::into_inner) = line;
        }
    }
}

/// Waits for something of a process until a deadline.
async fn before<T>(deadline: Instant, what: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    timeout_at(deadline.into(), what).await.unwrap_or(Err(Failure::Late))
}
