//! The miner as a child process: started as a user starts it, read line by line, ended with all that it started.

use std::{
    io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    sync::mpsc,
    time::timeout,
};

use super::evidence::{Listing, MinerEnd, keep};
use crate::pool::line::LineBuffer;

/// Longest line of the miner that is read. Its summary of one board and one pool has some 3 KB.
const LONGEST_LINE: usize = 1 << 20;
/// Lines that may wait to be read; then the miner's pipe fills up, and it drops lines itself.
const LINES: usize = 1024;
/// How long the miner may take to send its last shares and its summary.
const END_TIME: Duration = Duration::from_secs(15);
/// How long a command that only lists something may take.
const LIST_TIME: Duration = Duration::from_secs(20);

/// What the miner wrote.
#[derive(Debug)]
pub(super) enum Said {
    /// A JSON line.
    Line(Value),
    /// A line on standard error.
    Complaint(String),
}

/// What the pool gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JobsAre {
    /// Of a chain of today, which pass all checks.
    Usual,
    /// As old as the genesis block, which no check would let through.
    Ancient,
}

/// A running miner. Dropping it kills its process group.
#[derive(Debug)]
pub(super) struct Miner {
    child: Child,
    group: Group,
    said: mpsc::Receiver<Said>,
    complaints: Vec<String>,
}

/// The processes of a child that leads its own group.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Group {
    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.0 {
            // It may have ended, which is as good.
            _ = kill_process_group(pid, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// The miner's program with a home of its own and no configuration from outside.
fn command(program: &Path, home: &Path) -> Command {
    static MINERS: AtomicU32 = AtomicU32::new(0);
    // Two miners cannot write to one journal, and what they find here is worth nothing.
    let journal = home.join(format!("journal-{}", MINERS.fetch_add(1, Ordering::Relaxed)));
    let mut command = Command::new(program);
    command.env_clear().env("HOME", home).env("NO_COLOR", "1").stdin(Stdio::null());
    // What it learnt of one practice pool is not true of the next one.
    command.env("SIGNALCORE_STATE_REMEMBER", "false").env("SIGNALCORE_STATE_JOURNAL", journal);
    command.env("SIGNALCORE_STRATUM_RECONNECT_MAX", "1");
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).process_group(0);
    command
}

impl Miner {
    /// Mines with this board alone. Errors: what the system says of the program.
    pub(super) fn start(
        program: &Path,
        home: &Path,
        pool: &str,
        device: &str,
        jobs: JobsAre,
    ) -> io::Result<Self> {
        let mut command = command(program, home);
        if jobs == JobsAre::Ancient {
            command.env("SIGNALCORE_VALIDATION_LEVEL", "0");
        }
        command.args(["mine", "--json", "--cpu-threads", "off", "--suggest-difficulty", "off"]);
        command.args(["--pool", pool, "--user", "bench", "--device", device]);
        let mut child = command.spawn()?;
        let group = Group(child.id().and_then(|id| Pid::from_raw(id as i32)));
        let (sender, said) = mpsc::channel(LINES);
        let (output, errors) = (child.stdout.take(), child.stderr.take());
        tokio::spawn(read(output.expect("it is piped"), sender.clone(), |line| {
            serde_json::from_slice(line).ok().map(Said::Line)
        }));
        tokio::spawn(read(errors.expect("it is piped"), sender, |line| {
            Some(Said::Complaint(String::from_utf8_lossy(line).into_owned()))
        }));
        Ok(Self { child, group, said, complaints: Vec::new() })
    }

    /// The next JSON line; `None` when it has ended. Nothing is lost when this is dropped.
    pub(super) async fn line(&mut self) -> Option<Value> {
        loop {
            match self.said.recv().await? {
                Said::Line(line) => return Some(line),
                Said::Complaint(text) => keep(&mut self.complaints, &text),
            }
        }
    }

    /// What it wrote to standard error, the last lines of it.
    pub(super) fn complaints(&self) -> &[String] {
        &self.complaints
    }

    /// Asks it to end and reads its last lines. Shape: how it ended, and what it complained of.
    pub(super) async fn end(mut self, mut take: impl FnMut(&Value)) -> (MinerEnd, Vec<String>) {
        // A child that is gone by now has ended by itself.
        let early = self.child.try_wait().ok().flatten();
        if early.is_none() {
            self.group.signal(Signal::TERM);
        }
        let last = timeout(END_TIME, async {
            while let Some(line) = self.line().await {
                take(&line);
            }
            self.child.wait().await
        });
        let end = match (early, last.await) {
            (Some(status), _) => MinerEnd::Early(status.code()),
            (None, Ok(_)) => MinerEnd::Asked,
            (None, Err(_)) => MinerEnd::Killed,
        };
        (end, std::mem::take(&mut self.complaints))
    }

    /// For a miner whose pipes are closed: it has ended, or does so now. Shape: as `end`.
    pub(super) async fn ended(mut self) -> (MinerEnd, Vec<String>) {
        let code = timeout(END_TIME, self.child.wait()).await;
        let code = code.ok().and_then(Result::ok).and_then(|status| status.code());
        (MinerEnd::Early(code), std::mem::take(&mut self.complaints))
    }
}

/// Lines of a pipe until it closes or nobody wants them. A line that is too long ends it.
async fn read(
    mut pipe: impl AsyncRead + Unpin,
    to: mpsc::Sender<Said>,
    parse: impl Fn(&[u8]) -> Option<Said>,
) {
    let (mut lines, mut buffer) = (LineBuffer::up_to(LONGEST_LINE), [0; 4096]);
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        for line in lines.lines(&buffer[..count]) {
            let Ok(line) = line else { return };
            let Some(said) = parse(&line) else { continue };
            if to.send(said).await.is_err() {
                return;
            }
        }
    }
}

/// Asks the miner which ports there are, and looks for these among them.
pub(super) async fn list(program: &Path, home: &Path, ports: &[PathBuf]) -> Listing {
    let mut command = command(program, home);
    command.args(["devices", "--json"]);
    let output = match timeout(LIST_TIME, command.output()).await {
        Ok(Ok(output)) if output.status.success() => output,
        Ok(Ok(output)) => {
            let mut said = Vec::new();
            keep(&mut said, &String::from_utf8_lossy(&output.stderr));
            return Listing {
                fault: Some(format!("{}: {}", output.status, said.join(""))),
                ..Listing::default()
            };
        }
        Ok(Err(error)) => return Listing { fault: Some(error.to_string()), ..Listing::default() },
        Err(_) => {
            return Listing { fault: Some(format!("no answer in {LIST_TIME:?}")), ..Listing::default() };
        }
    };
    let mut listing = Listing::parse(&String::from_utf8_lossy(&output.stdout));
    for port in ports {
        let real = port.canonicalize().unwrap_or_else(|_| port.clone());
        listing.look_for(port, &real);
    }
    listing
}
