//! A world as JSON lines, one event each: recorded while mining, generated, or written by hand.
//!
//! ```text
//! {"t_ms":0,"k":"device","flush_ms":20,"cross_ms":20,"boundary_ms":500}
//! {"t_ms":0,"k":"upstream","u":"A","scheme":"pps","fee":0.01}
//! {"t_ms":1.5,"k":"notify","u":"A","parent":"h12","height":13,"clean":true,"fees":812000,"pay_ok":true,"known":true,"ex1":"1f"}
//! {"t_ms":60000,"k":"block","parent":"h13","height":13,"truth":true}
//! ```
//!
//! Times are milliseconds since the start and never fall. Upstreams are declared before anything is said of them, in the
//! operator's order. `height` of a notify is that of the block that would be found; a `job` of the same name, parent and
//! extranonce1 is the same one, told again. Lines with `"truth":true` decide about revenue and are hidden from every policy.
//!
//! A recorded log begins with a line `settings` where its miner decided by others than the defaults, and with the patience of
//! each upstream. It has a line for each share that was sent and for each answer, and `shares_per_second` is 0: no other share
//! is made up. `wake` is a moment in which the miner looked again without an event. It is read to the nanosecond, so that the same log gives the same decisions bit for bit.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::world::{
    Answer, Check, Device, Line, NotAParent, Notify, Parent, Rules, Truth, Upstream, What, World,
};
use crate::decision::Terms;
use crate::decision::value::MOST_VARIANCE;

mod entry;
mod infer;
mod record;
mod settings;

use entry::{Body, Entry};
pub use record::Recorder;

/// More upstreams than anybody connects to.
const MOST_UPSTREAMS: usize = 64;
/// A year of mining.
const MOST_MS: f64 = 366.0 * 86_400_000.0;
/// A line of a log is shorter.
pub const MOST_BYTES: usize = 4096;
/// Lines of a log: a month of ten pools with a notify every 30 s and a share every 3 s.
const MOST_LINES: usize = 20_000_000;

/// Why a log cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A line is at fault.
    #[error("line {line}: {fault}")]
    Line {
        /// From 1 on.
        line: usize,
        /// What is wrong with it.
        fault: Fault,
    },
    /// It says nothing that can be replayed.
    #[error("found no notify, expected at least one; record a log while mining")]
    Empty,
    /// Nothing says what a flush costs.
    #[error("found no line of kind device, expected one: what a flush costs decides about every choice")]
    NoDevice,
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It is no event.
    #[error("{0}; expected one JSON object with t_ms, k and the fields of that k")]
    Json(#[from] serde_json::Error),
    /// Too long.
    #[error("found {0} bytes, expected at most {MOST_BYTES}")]
    Long(usize),
    /// Too many lines.
    #[error("expected at most {MOST_LINES} lines; cut the log")]
    Many,
    /// The clock.
    #[error("t_ms: found {found}, expected {least} to {MOST_MS}; lines are sorted by time")]
    Time {
        /// In the line.
        found: f64,
        /// In the line before.
        least: f64,
    },
    /// A number.
    #[error("{field}: found {found}, expected {least} to {most}")]
    Number {
        /// Which.
        field: &'static str,
        /// In the line.
        found: f64,
        /// It must be so much at least.
        least: f64,
        /// And so much at most.
        most: f64,
    },
    /// A member of the settings.
    #[error("{field}: found {found}, expected {expected}")]
    Setting {
        /// Which.
        field: &'static str,
        /// In the line, its first 80 characters.
        found: String,
        /// What would be one.
        expected: &'static str,
    },
    /// An upstream that was not declared.
    #[error("u: found {0:?}, expected an upstream that a line of kind upstream has declared before")]
    Unknown(String),
    /// An upstream declared twice, or too many.
    #[error("u: {0:?} is declared twice, or is beyond {MOST_UPSTREAMS} upstreams")]
    Declared(String),
    /// A block.
    #[error("parent: {0}")]
    Parent(#[from] NotAParent),
}

/// Reads a log. Without lines of truth it is inferred from what was seen: blocks from the first notify of each, outages
/// from closed connections, reject rates from the answers to shares. Errors: the first line that is at fault.
pub fn read(text: &str) -> Result<World, LogError> {
    let mut reader = Reader::default();
    text.lines().try_for_each(|line| reader.line(line))?;
    reader.finish()
}

/// Writes a world as [`read`] reads it.
pub fn write(world: &World) -> String {
    let mut text = String::new();
    let mut push = |at: Duration, body: Body| {
        let entry = Entry { t_ms: millis(at), body };
        let line = serde_json::to_string(&entry).expect("numbers and texts are JSON");
        writeln!(text, "{line}").expect("a string takes everything");
    };
    let rate = world.shares_per_second;
    if let Some(settings) = settings::line(&world.rules) {
        push(Duration::ZERO, settings);
    }
    push(Duration::ZERO, Body::device(&world.device, rate));
    for upstream in &world.upstreams {
        push(Duration::ZERO, Body::upstream(upstream));
    }
    for line in &world.lines {
        push(line.at, Body::what(&line.what, &world.upstreams, rate));
    }
    push(world.end, Body::End { measured_from_ms: millis(world.measured_from) });
    text
}

/// A number that must be in this range. Errors: it is not.
fn within(field: &'static str, found: f64, least: f64, most: f64) -> Result<f64, Fault> {
    let is_within = (least..=most).contains(&found);
    if is_within { Ok(found) } else { Err(Fault::Number { field, found, least, most }) }
}

/// A time of the device, at most a minute.
fn span(field: &'static str, millis: f64) -> Result<Duration, Fault> {
    within(field, millis, 0.0, 60_000.0).map(from_millis)
}

/// To the nanosecond: what a log says is read as the same time wherever it stands.
fn from_millis(millis: f64) -> Duration {
    Duration::from_nanos((millis * 1e6).round() as u64)
}

fn millis(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e6
}

/// Reads a log line by line; [`read`] says what becomes of it.
#[derive(Default)]
pub struct Reader {
    lines_read: usize,
    rules: Rules,
    upstreams: Vec<Upstream>,
    /// By upstream: its last extranonce1, and how many it has had before that.
    extranonces: Vec<(Option<String>, u64)>,
    device: Option<(Device, f64)>,
    /// By upstream and name: the last job of that name.
    jobs: HashMap<(usize, String), Told>,
    jobs_told: u64,
    lines: Vec<Line>,
    last_ms: f64,
    measured_from: Duration,
    has_truth: bool,
    has_gap: bool,
}

/// A job that was told.
#[derive(Clone, Copy, PartialEq)]
struct Told {
    number: u64,
    parent: Parent,
    connection: u64,
}

impl Reader {
    /// The next line, without its end. Errors: what is wrong with it.
    pub fn line(&mut self, line: &str) -> Result<(), LogError> {
        self.lines_read += 1;
        let entered = if line.trim().is_empty() { Ok(()) } else { self.enter(line) };
        entered.map_err(|fault| LogError::Line { line: self.lines_read, fault })
    }

    /// Whether anything has happened yet; what comes before describes the miner.
    pub fn has_begun(&self) -> bool {
        !self.lines.is_empty()
    }

    /// Leaves out lines here: figures count from the next one on.
    pub fn skip(&mut self) {
        self.has_gap = true;
    }

    fn enter(&mut self, line: &str) -> Result<(), Fault> {
        if line.len() > MOST_BYTES {
            return Err(Fault::Long(line.len()));
        }
        if self.lines_read > MOST_LINES {
            return Err(Fault::Many);
        }
        let entry: Entry = serde_json::from_str(line)?;
        if !(self.last_ms..=MOST_MS).contains(&entry.t_ms) {
            return Err(Fault::Time { found: entry.t_ms, least: self.last_ms });
        }
        self.last_ms = entry.t_ms;
        if std::mem::take(&mut self.has_gap) {
            self.measured_from = from_millis(entry.t_ms);
        }
        if let Some(what) = self.take(entry)? {
            self.has_truth |= matches!(what, What::Truth(_));
            self.lines.push(Line { at: from_millis(self.last_ms), what });
        }
        Ok(())
    }

    fn declare(&mut self, name: String, terms: Terms, patience: Option<Duration>) -> Result<(), Fault> {
        let is_known = self.upstreams.iter().any(|upstream| upstream.name == name);
        if is_known || self.upstreams.len() == MOST_UPSTREAMS {
            return Err(Fault::Declared(name));
        }
        self.upstreams.push(Upstream { name, terms, patience });
        self.extranonces.push((None, 0));
        Ok(())
    }

    fn upstream(&self, name: String) -> Result<usize, Fault> {
        self.upstreams.iter().position(|upstream| upstream.name == name).ok_or(Fault::Unknown(name))
    }

    /// Takes in what an entry says of the world, or gives what happens.
    fn take(&mut self, entry: Entry) -> Result<Option<What>, Fault> {
        Ok(Some(match entry.body {
            Body::Device { flush_ms, cross_ms, boundary_ms, shares_per_second } => {
                let device = Device {
                    flush: span("flush_ms", flush_ms)?,
                    cross: span("cross_ms", cross_ms)?,
                    boundary: span("boundary_ms", boundary_ms)?,
                };
                let rate = within("shares_per_second", shares_per_second, 0.0, 1e3)?;
                if self.device.is_some() {
                    return Ok(Some(What::Device(device)));
                }
                self.device = Some((device, rate));
                return Ok(None);
            }
            Body::Settings(members) => {
                self.rules = settings::read(&members)?;
                return Ok(None);
            }
            Body::Upstream { u, scheme, fee, payout_factor, kappa, vouches, patience_ms } => {
                let terms = Terms {
                    fee: within("fee", fee, 0.0, 1.0)?,
                    payout_factor: within("payout_factor", payout_factor, 0.0, 1.0)?,
                    scheme: scheme.into(),
                    kappa: kappa.map(|kappa| within("kappa", kappa, 0.0, 1.0)).transpose()?,
                    vouches,
                };
                let patience = patience_ms.map(settings::patience).transpose()?;
                self.declare(u, terms, patience)?;
                return Ok(None);
            }
            Body::End { measured_from_ms } => {
                let from = within("measured_from_ms", measured_from_ms, 0.0, entry.t_ms)?;
                self.measured_from = from_millis(from);
                return Ok(None);
            }
            Body::Notify { u, job, parent, height, clean, fees, pay_ok, held, known, ex1 } => {
                let upstream = self.upstream(u)?;
                let connection = self.connection(upstream, ex1);
                let parent = parent.parse()?;
                let job = self.job(upstream, job, parent, connection);
                let check = match (pay_ok, held) {
                    (false, _) => Check::Failed,
                    (true, true) => Check::Held,
                    (true, false) => Check::Passed,
                };
                let notify = Notify { job, parent, height, clean, fees, check, known, connection };
                What::Notify(upstream, notify)
            }
            Body::Submitted { u, share, aside: false } => What::Submitted(self.upstream(u)?, share),
            Body::Submitted { u, share, aside: true } => What::Aside(self.upstream(u)?, share),
            Body::Variance { u, variance } => {
                let variance = within("variance", variance, 0.0, MOST_VARIANCE)?;
                What::Variance(self.upstream(u)?, variance)
            }
            Body::Wake {} => What::Wake,
            Body::Repute { u, repute } => What::Repute(self.upstream(u)?, repute),
            Body::Ended { u, share } => What::Ended(self.upstream(u)?, share),
            Body::Alive { u } | Body::SetDifficulty { u } => What::Alive(self.upstream(u)?),
            Body::Drop { u } => What::Drop(self.upstream(u)?),
            Body::Up { u } => What::Up(self.upstream(u)?),
            Body::NodeTip { parent, height } => What::NodeTip(parent.parse()?, height),
            Body::NodeRefused { parent } => What::NodeRefused(parent.parse()?),
            Body::Answer { u, accepted, share, job, code, weight } => {
                let upstream = self.upstream(u)?;
                let job = job.and_then(|job| self.jobs.get(&(upstream, job)));
                let share = share.zip(job.map(|told| told.number));
                What::Answer(upstream, Answer { share, accepted, code, weight })
            }
            Body::Block { parent, height, .. } => What::Truth(Truth::Block(parent.parse()?, height)),
            Body::Outage { u, on, .. } => What::Truth(Truth::Outage(self.upstream(u)?, on)),
            Body::RejectRate { u, rate, .. } => {
                let rate = within("rate", rate, 0.0, 1.0)?;
                What::Truth(Truth::RejectRate(self.upstream(u)?, rate))
            }
            Body::BadBranch { u, on, .. } => What::Truth(Truth::BadBranch(self.upstream(u)?, on)),
            Body::BadPay { u, on, .. } => What::Truth(Truth::BadPay(self.upstream(u)?, on)),
            Body::OldShares { u, accepted, .. } => What::Truth(Truth::OldShares(self.upstream(u)?, accepted)),
        }))
    }

    /// The number of a job, a new one unless it is told again.
    fn job(&mut self, upstream: usize, name: String, parent: Parent, connection: u64) -> u64 {
        let told = Told { number: self.jobs_told, parent, connection };
        let is_same = |before: &&Told| Told { number: told.number, ..**before } == told;
        if let Some(before) = self.jobs.get(&(upstream, name.clone())).filter(is_same)
            && !name.is_empty()
        {
            return before.number;
        }
        self.jobs.insert((upstream, name), told);
        self.jobs_told += 1;
        told.number
    }

    /// Counts the extranonce1 values of an upstream.
    fn connection(&mut self, upstream: usize, ex1: Option<String>) -> u64 {
        let (last, count) = &mut self.extranonces[upstream];
        if ex1.is_some() {
            *count += u64::from(last.is_some() && *last != ex1);
            *last = ex1;
        }
        *count
    }

    /// The world that the lines describe. Errors: they say nothing that can be replayed.
    pub fn finish(self) -> Result<World, LogError> {
        if !self.lines.iter().any(|line| matches!(line.what, What::Notify(..))) {
            return Err(LogError::Empty);
        }
        let (device, shares_per_second) = self.device.ok_or(LogError::NoDevice)?;
        let mut world = World {
            rules: self.rules,
            upstreams: self.upstreams,
            device,
            lines: self.lines,
            end: from_millis(self.last_ms),
            measured_from: self.measured_from,
            shares_per_second,
        };
        if !self.has_truth {
            infer::truth(&mut world);
        }
        Ok(world)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::replay::scenario;

    const HEAD: &str = r#"{"t_ms":0,"k":"device","flush_ms":20,"cross_ms":20,"boundary_ms":500}
{"t_ms":0,"k":"upstream","u":"A","scheme":"pps","fee":0.01}
"#;

    fn fault(lines: &str) -> String {
        read(&format!("{HEAD}{lines}")).unwrap_err().to_string()
    }

    #[test]
    fn a_generated_world_is_read_as_it_was_written() {
        for name in ["S4", "S7", "S10b"] {
            let world = scenario::named(name).unwrap().plan().world(3, Some(0.2));
            assert_eq!(read(&write(&world)).unwrap(), world, "{name}");
        }
    }

    #[test]
    fn a_line_at_fault_is_named_with_its_number_and_what_is_expected() {
        let notify = |change: (&str, &str)| {
            let line = r#"{"t_ms":5,"k":"notify","u":"A","parent":"h1","height":2,"clean":true,"fees":1}"#;
            line.replace(change.0, change.1)
        };
        for (lines, said) in [
            ("{", "line 3: EOF while parsing"),
            (r#"{"t_ms":1,"k":"invented"}"#, "line 3: unknown variant `invented`"),
            (&notify((r#""fees":1"#, r#""other":1"#)), "line 3: missing field `fees`"),
            (&notify((r#""u":"A""#, r#""u":"B""#)), "line 3: u: found \"B\", expected an upstream"),
            (&notify(("h1", "h 1")), "line 3: parent: found \"h 1\", expected 64 hex digits"),
            (&notify((r#""t_ms":5"#, r#""t_ms":-5"#)), "line 3: t_ms: found -5, expected 0 to"),
            (
                r#"{"t_ms":1,"k":"reject_rate","u":"A","rate":1.5}"#,
                "line 3: rate: found 1.5, expected 0 to 1",
            ),
            (
                r#"{"t_ms":1,"k":"upstream","u":"A","scheme":"pps","fee":0}"#,
                "line 3: u: \"A\" is declared twice",
            ),
            (&"x".repeat(5000), "line 3: found 5000 bytes, expected at most 4096"),
            (r#"{"t_ms":1,"k":"alive","u":"A"}"#, "found no notify, expected at least one"),
        ] {
            let fault = fault(lines);
            assert!(fault.contains(said), "{fault} does not say {said}");
        }
    }

    #[test]
    fn without_truth_a_log_is_given_the_truth_that_was_seen() {
        let seen = r#"{"t_ms":0,"k":"notify","u":"A","parent":"h1","height":2,"clean":true,"fees":1}
{"t_ms":1000,"k":"drop","u":"A"}
{"t_ms":2000,"k":"up","u":"A"}
{"t_ms":2000,"k":"notify","u":"A","parent":"h2","height":3,"clean":true,"fees":1}
"#;
        let world = read(&format!("{HEAD}{seen}")).unwrap();
        let truths: Vec<_> = world.lines.iter().filter(|line| matches!(line.what, What::Truth(_))).collect();
        let expected = [
            (0, Truth::RejectRate(0, 0.005)),
            (0, Truth::Block("h1".parse().unwrap(), 1)),
            (1000, Truth::Outage(0, true)),
            (2000, Truth::Outage(0, false)),
            (2000, Truth::Block("h2".parse().unwrap(), 2)),
        ];
        let expected =
            expected.map(|(at, truth)| Line { at: Duration::from_millis(at), what: What::Truth(truth) });
        assert_eq!(truths, expected.iter().collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC*", line in r#"\{"t_ms":[0-9e.+-]{0,6},"k":"[a-z_]{1,12}","u":"[AB]"[^\n]{0,40}\}"#) {
            read(&text).ok();
            read(&format!("{HEAD}{line}\n{text}")).ok();
        }
    }
}
