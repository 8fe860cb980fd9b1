//! `signalcore-hil virtual`: virtual boards on pseudo-terminals until their time is over or Ctrl-C.

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, bail};
use bitcoin::hex::FromHex;
use serde_json::{Value, json};
use signalcore_hil::virtual_board::{
    BOARDS, Board, BoardConfig, BoardKind, Event, Fault, Pace, Shell, ShellError, SolvedHeader,
};
use tokio::{sync::oneshot, task::JoinSet, time::timeout};

use crate::{clock::shared_clock, signals::asked_to_stop};

/// Events that wait for the printer. Beyond them some are lost, and told as such: no board waits for a reader.
const MOST_EVENTS: usize = 4096;
/// Each has a thread of its own.
const MOST_BOARDS: u64 = 256;
/// How long the last lines may take.
const LAST_LINES: Duration = Duration::from_secs(5);
/// Bytes of a file of solved headers: some 6000 of them.
const LONGEST_REPLAY: u64 = 1 << 20;

const EXAMPLES: &str = "\
Examples:
  signalcore-hil virtual --board gamma --link /tmp/gamma
      A Bitaxe Gamma: /tmp/gamma-control and /tmp/gamma-data until Ctrl-C.
  signalcore-hil virtual --board bm1366 --chips 6 --link /tmp/chain --json
      A bare chain on one port; one JSON object a line.
  signalcore-hil virtual --board bm1370 --chips 4 --count 64 --link /tmp/fleet --zero-bits 2
      64 chains at once: /tmp/fleet-0 to /tmp/fleet-63.
  signalcore-hil virtual --board supra --link /tmp/supra --fault lost=0.001 --fault unplug@60+5
      With one byte in a thousand lost, and off the bus from second 60 to 65.

Nonces are real but easier: a driver has to be told the zero bits of such a port. One nonce stands for 2^Z hashes times the
ticket difficulty, where a real chip's stands for 2^32. A pseudo-terminal has no pins: a stick is reset when its port is
closed. It does not wait for its bytes to be read: leave them some 10 ms before you change the speed.

Faults, as NAME[=VALUE][@FROM[+FOR]] with times in seconds: lost, flipped, doubled (a probability for each byte to and from the
chips), delayed (milliseconds), dead-chip, garbage-chip (a chip from 0), hot (kelvin), stuck-fan, stuck-sensor,
hot-regulator (degrees Celsius that the chips' diode or the regulator reads), trip (the regulator turns itself off), brownout
(parts on the I2C bus are as after power-on), silent-control, late-control (milliseconds), v1-control (replies in the form of
emberOne's newer firmware), unplug.";

/// A virtual board, byte for byte, behind pseudo-terminals
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct VirtualArgs {
    /// Which board; a name that is none lists all
    #[arg(long, value_name = "NAME", value_parser = board)]
    board: &'static BoardKind,
    /// The ports get this name, and where there are two -control and -data behind it
    #[arg(long, value_name = "PATH")]
    link: PathBuf,
    /// So many boards alike, each with its own seed; their names end in -0, -1 and so on
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=MOST_BOARDS))]
    count: u64,
    /// Chips in the chain, 1 to 256 [default: as the board is sold]
    #[arg(long, value_name = "N")]
    chips: Option<usize>,
    #[command(flatten)]
    nonces: NonceArgs,
    /// Something that goes wrong; may be repeated
    #[arg(long, value_name = "FAULT")]
    fault: Vec<Fault>,
    /// Stop after this time
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    seconds: Option<Duration>,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
    /// The same seed makes the same board; of several the next one has the next seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, clap::Args)]
struct NonceArgs {
    /// Zero bits of a nonce before the ticket mask; 32 in silicon
    #[arg(long, value_name = "Z", default_value_t = 8)]
    zero_bits: u32,
    /// Nonces this many times as often as on silicon
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    scale: f64,
    /// Nonces this often from the whole board, whatever clock and ticket mask are. Each stands for as many hashes as the ticket
    /// of its time says, so that a harder one makes the board look faster; and a driver that knows the clock takes far fewer
    /// nonces than that promises for a fault
    #[arg(long, value_name = "N", conflicts_with = "scale")]
    nonces_per_second: Option<f64>,
    /// Hashes that this computer may spend on each board
    #[arg(long, value_name = "N", default_value_t = 1e6, value_parser = hashes)]
    hashes_per_second: f64,
    /// Let chips hash without the initialisation that all drivers do
    #[arg(long)]
    lenient: bool,
    /// Headers of 80 bytes in hex, one a line, whose nonces come at their place when a job leads to them
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
}

fn board(name: &str) -> Result<&'static BoardKind, String> {
    BoardKind::named(name).ok_or_else(|| {
        BOARDS.iter().fold("no such board; there are:".to_owned(), |mut text, board| {
            _ = write!(text, "\n  {:14} {}", board.name, board.summary);
            text
        })
    })
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn hashes(text: &str) -> Result<f64, String> {
    let hashes: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (1e3..=1e9).contains(&hashes) { Ok(hashes) } else { Err("it has to be from 1e3 to 1e9".to_owned()) }
}

impl VirtualArgs {
    /// The first board.
    fn config(&self) -> anyhow::Result<BoardConfig> {
        let NonceArgs { zero_bits, scale, nonces_per_second, lenient, hashes_per_second, .. } = self.nonces;
        // The easiest ones there are; a ticket mask makes them dearer, and then lost ones are told.
        let cost = nonces_per_second.unwrap_or(0.0) * 2_f64.powi(zero_bits.min(32) as i32);
        if cost > hashes_per_second {
            bail!(
                "--nonces-per-second at {zero_bits} zero bits takes {cost:.1e} hashes a second, and --hashes-per-second \
                 allows {hashes_per_second:.1e}: lower one of the first two, or raise the last"
            );
        }
        Ok(BoardConfig {
            kind: self.board,
            chips: self.chips.unwrap_or(self.board.chips()),
            zero_bits,
            pace: nonces_per_second.map_or(Pace::Scaled(scale), Pace::PerSecond),
            strict: !lenient,
            seed: self.seed,
            faults: self.fault.clone(),
            solved: self.nonces.replay.as_deref().map(solved_headers).transpose()?.unwrap_or_default(),
        })
    }
}

/// Errors: a file that is missing, too long, or has a line that is no header.
fn solved_headers(path: &Path) -> anyhow::Result<Vec<SolvedHeader>> {
    let mut text = String::new();
    let file = File::open(path).with_context(|| format!("--replay {}", path.display()))?;
    file.take(LONGEST_REPLAY + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("--replay {}", path.display()))?;
    if text.len() as u64 > LONGEST_REPLAY {
        bail!("--replay {}: longer than {LONGEST_REPLAY} bytes", path.display());
    }
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    let headers = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    headers
        .map(|(at, line)| {
            let header = <[u8; 80]>::from_hex(line);
            let header = header.with_context(|| format!("--replay {}, line {at}", path.display()))?;
            Ok(SolvedHeader::from_header(&header))
        })
        .collect()
}

/// Errors: settings out of range, a name that is taken, a port that breaks, a standard output that is gone.
pub(crate) async fn run(args: VirtualArgs) -> anyhow::Result<ExitCode> {
    let first = args.config()?;
    let (mut printer, printed) = Printer::start(args.json).context("start to print")?;
    let mut shells = Vec::new();
    for index in 0..args.count {
        let config = BoardConfig { seed: first.seed.wrapping_add(index), ..first.clone() };
        let mut link = args.link.clone();
        if args.count > 1 {
            printer.board = Some(index);
            link.as_mut_os_string().push(format!("-{index}"));
        }
        let shell = Shell::open(Board::new(config)?, &link, args.nonces.hashes_per_second)?;
        printer.ports(&shell, args.nonces.zero_bits);
        shells.push((shell, printer.clone()));
    }
    drop(printer);
    let stop = Arc::new(AtomicBool::new(false));
    let mut played = JoinSet::new();
    for (shell, printer) in shells {
        let stop = Arc::clone(&stop);
        played.spawn_blocking(move || play(shell, printer, &stop));
    }
    let end = args.seconds;
    let mut first_ended = None;
    let asked = tokio::select! {
        ended = played.join_next() => {
            first_ended = ended;
            Ok(())
        }
        asked = asked_to_stop() => asked,
        () = async { tokio::time::sleep(end.unwrap_or_default()).await }, if end.is_some() => Ok(()),
    };
    stop.store(true, Ordering::Relaxed);
    let mut is_printed = true;
    for ended in first_ended.into_iter().chain(played.join_all().await.into_iter().map(Ok)) {
        is_printed &= ended.context("the thread of a board ended")??;
    }
    asked.context("watch for signals")?;
    let printed = timeout(LAST_LINES, printed).await;
    if !is_printed || printed.is_err() {
        bail!("nobody takes the standard output");
    }
    Ok(ExitCode::SUCCESS)
}

/// Plays a board until it is to stop. Shape: whether there was somebody who prints all the time.
fn play(mut shell: Shell, mut printer: Printer, stop: &AtomicBool) -> Result<bool, ShellError> {
    let mut is_printed = true;
    shell.run(stop, |at, event| {
        if !printer.event(at, &event) {
            is_printed = false;
            stop.store(true, Ordering::Relaxed);
        }
    })?;
    Ok(is_printed)
}

/// Prints on a thread of its own: a standard output that nobody reads holds up no board.
#[derive(Clone)]
struct Printer {
    json: bool,
    /// Whose events these are, where there are several boards.
    board: Option<u64>,
    lines: SyncSender<String>,
    lost: u64,
}

impl Printer {
    /// The receiver is ready when all is printed after this was dropped, or when a line could not be written.
    fn start(json: bool) -> io::Result<(Self, oneshot::Receiver<()>)> {
        let (lines, received) = sync_channel(MOST_EVENTS);
        let (ended, printed) = oneshot::channel();
        thread::Builder::new().name("printer".to_owned()).spawn(move || {
            print(&received);
            // The program may have given up on this thread.
            _ = ended.send(());
        })?;
        Ok((Self { json, board: None, lines, lost: 0 }, printed))
    }

    fn ports(&mut self, shell: &Shell, zero_bits: u32) {
        for (port, pty) in shell.ports() {
            let (link, device) = (pty.link().display().to_string(), pty.device().display().to_string());
            let line = if self.json {
                let mut line = json!({
                    "event": "port",
                    "port": port.name(),
                    "link": link,
                    "device": device,
                    "zero_bits": zero_bits,
                    "started": shared_clock(shell.started()),
                });
                self.name(&mut line);
                line.to_string()
            } else {
                format!("{} port {link} -> {device}, nonces at {zero_bits} zero bits", port.name())
            };
            self.print(line);
        }
    }

    /// Whether there is still somebody who prints.
    fn event(&mut self, at: Duration, event: &Event) -> bool {
        let milliseconds = at.as_millis() as u64;
        if self.lost > 0 {
            let lost = std::mem::take(&mut self.lost);
            let line = json!({ "event": "lost", "events": lost }).to_string();
            self.print(if self.json { line } else { format!("({lost} events came too fast to print)") });
        }
        let line = if self.json {
            let mut line = serde_json::to_value(event).unwrap_or(Value::Null);
            line["at_ms"] = milliseconds.into();
            line["at_us"] = (at.as_micros() as u64).into();
            self.name(&mut line);
            line.to_string()
        } else {
            let board = self.board.map(|board| format!("#{board} ")).unwrap_or_default();
            format!("{:9.3} {board}{event}", at.as_secs_f64())
        };
        self.print(line)
    }

    fn name(&self, line: &mut Value) {
        if let Some(board) = self.board {
            line["board"] = board.into();
        }
    }

    fn print(&mut self, line: String) -> bool {
        match self.lines.try_send(line) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.lost += 1;
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }
}

/// Ends with the board, or when a line cannot be written.
fn print(lines: &Receiver<String>) {
    for line in lines {
        if writeln!(io::stdout(), "{line}").is_err() {
            return;
        }
    }
}
