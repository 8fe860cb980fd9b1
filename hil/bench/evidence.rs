//! What was seen of one board: by the pool, in the miner's JSON lines, and by the board itself where it is a virtual one.
//! Each source tells its lines here; nothing is judged yet.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::statistics::Rate;
use crate::{
    pool::{Event as PoolEvent, Reject, Verdict},
    virtual_board::Event as BoardEvent,
};

/// Texts of one kind that are kept, and characters of one.
const MOST_TEXTS: usize = 8;
const LONGEST_TEXT: usize = 300;

/// All that was seen of one board. A part that no check needed, or that was cut short, is missing.
#[derive(Debug, Default)]
pub struct Evidence {
    /// `signalcore devices`.
    pub listing: Option<Listing>,
    /// The job with a known nonce.
    pub known: Option<KnownNonce>,
    /// Mining for the practice pool.
    pub load: Option<Run>,
    /// Unplugged and plugged in again while mining.
    pub replug: Option<Replug>,
    /// Mining for long.
    pub soak: Option<Run>,
}

/// What the miner says of the ports of this machine.
#[derive(Debug, Default)]
pub struct Listing {
    /// What it lists.
    pub ports: BTreeSet<PathBuf>,
    /// Ports of the board that are among these, under the names of the bench file.
    pub listed: BTreeSet<PathBuf>,
    /// Why there is no list.
    pub fault: Option<String>,
}

/// What became of the job with a known nonce.
#[derive(Debug, Default)]
pub struct KnownNonce {
    /// Miners that were started for it.
    pub attempts: u32,
    /// Seconds from the job to the nonce.
    pub found_after: Option<f64>,
    /// Shares whose hash is not good enough, or that are none.
    pub wrong: Vec<String>,
    /// What the miner said last.
    pub complaints: Vec<String>,
}

/// What became of a board that left the bus.
#[derive(Debug, Default)]
pub struct Replug {
    /// Nobody was there to do it.
    pub nobody: bool,
    /// Whether there was a share before.
    pub mined_before: bool,
    /// Seconds until the miner told that it was gone.
    pub missed_after: Option<f64>,
    /// Seconds from being plugged in to the next share.
    pub back_after: Option<f64>,
    /// How the miner ended, if it did so by itself.
    pub miner: MinerEnd,
}

/// How the miner's process ended.
#[derive(Debug, Default, Clone, PartialEq)]
pub enum MinerEnd {
    /// When it was asked to.
    #[default]
    Asked,
    /// By itself: its exit code, `None` after a signal.
    Early(Option<i32>),
    /// Not within its time, and was killed.
    Killed,
    /// It could not be started.
    NotStarted(String),
}

/// What was seen while a board mined.
#[derive(Debug, Default)]
pub struct Run {
    /// What the miner said the board is.
    pub detail: Option<String>,
    /// Faults that the miner told of.
    pub faults: Vec<String>,
    /// How often the miner missed the board.
    pub gone: u64,
    /// Shares that the pool took, the first included.
    pub accepted: u64,
    /// Shares that the pool did not take, by reason.
    pub rejected: BTreeMap<Reject, u64>,
    /// Shares that were taken while measuring.
    pub measured_shares: u64,
    /// The sum of their difficulties.
    pub measured_difficulty: f64,
    /// How long was measured. Unit: seconds.
    pub measured_seconds: f64,
    /// The longest time without a share, from the first one on. Unit: seconds.
    pub longest_silence: f64,
    /// The board's counts in the miner's last line with any.
    pub counts: Option<Counts>,
    /// Temperatures.
    pub heat: Heat,
    /// Jobs that it had something against.
    pub jobs: Jobs,
    /// Chips of a virtual board that took an address.
    pub chips: BTreeSet<usize>,
    /// How the miner ended.
    pub miner: MinerEnd,
    /// What the miner wrote to standard error, the last lines of it.
    pub complaints: Vec<String>,
    /// The time for it was cut short by Ctrl-C.
    pub interrupted: bool,
}

/// What the miner counted of a board's answers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Nonces whose hash was good.
    pub good: u64,
    /// Nonces whose hash was not.
    pub hardware_errors: u64,
    /// Answers that came damaged: by their checksums, or by the bytes that made no answer.
    pub damaged: u64,
}

/// Bytes that made no answer and count as a damaged one: so many has the longest.
const ANSWER_BYTES: u64 = 11;

impl Counts {
    /// Answers that were wrong in one way or the other.
    pub fn wrong(&self) -> u64 {
        self.hardware_errors.saturating_add(self.damaged)
    }

    /// All of them.
    pub fn answers(&self) -> u64 {
        self.good.saturating_add(self.wrong())
    }
}

/// What the miner said of jobs, the last of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Jobs {
    /// Of those that it refused or held back.
    pub lost: Vec<String>,
    /// Of those that it hashed all the same.
    pub strange: Vec<String>,
}

/// How hot it was.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heat {
    /// Readings taken.
    pub readings: u64,
    /// The hottest. Unit: degrees Celsius.
    pub hottest: f64,
    /// The fan's highest drive. Unit: percent.
    pub fan_percent: Option<f64>,
    /// What the miner told of holding the board back, the last of it.
    pub told: Vec<String>,
    /// Why the chips lost their power under load, if they did.
    pub cut: Option<String>,
}

/// What a status of the miner says of a board that is held back.
fn throttled(status: &Value) -> String {
    let number = |member: &str| status[member].as_f64().map_or("?".to_owned(), |value| format!("{value:.0}"));
    // Its frequency comes down step by step: what it runs at now says little.
    format!(
        "throttled at {} °C, below the {} MHz it was set to",
        number("temperature_c"),
        number("frequency_set_mhz")
    )
}

/// Keeps what somebody wrote: safe to show, and bounded.
pub(super) fn keep(texts: &mut Vec<String>, text: &str) {
    let text: String = text.chars().filter(|letter| !letter.is_control()).take(LONGEST_TEXT).collect();
    if texts.last() != Some(&text) {
        texts.push(text);
    }
    if texts.len() > MOST_TEXTS {
        texts.remove(0);
    }
}

impl Run {
    /// The pool told of something. `measuring`: whether shares count for the rate. Shape: whether it was a share it took.
    pub(super) fn note_pool(&mut self, event: &PoolEvent, measuring: bool) -> bool {
        match event {
            PoolEvent::Share { verdict: Verdict::Accepted { difficulty, .. }, .. } => {
                self.accepted += 1;
                if measuring {
                    self.measured_shares += 1;
                    self.measured_difficulty += difficulty.value();
                }
                true
            }
            PoolEvent::Share { verdict: Verdict::Rejected { reason }, .. } => {
                *self.rejected.entry(*reason).or_default() += 1;
                false
            }
            _ => false,
        }
    }

    /// The miner wrote a line of JSON. What it does not say is not known: members may come and go.
    pub(super) fn note_miner(&mut self, line: &Value) {
        match line["event"].as_str() {
            Some("board") => self.note_board_state(line),
            Some("check") => self.note_check(line),
            Some("stats" | "summary") => {
                for board in line["boards"].as_array().map_or(&[][..], Vec::as_slice) {
                    self.note_figures(board);
                }
            }
            _ => {}
        }
    }

    fn note_board_state(&mut self, line: &Value) {
        self.note_sensors(&line["status"]);
        match line["state"].as_str() {
            Some("joined") => self.detail = line["detail"].as_str().map(str::to_owned).or(self.detail.take()),
            Some("gone") => self.gone += 1,
            Some("fault") => {
                keep(&mut self.faults, line["reason"].as_str().unwrap_or("a fault without a reason"));
            }
            Some("throttled") => keep(&mut self.heat.told, &throttled(&line["status"])),
            Some("cut_off") => {
                let reason = line["reason"].as_str().unwrap_or("it gives no reason");
                keep(&mut self.heat.told, &format!("its power is cut off: {reason}"));
            }
            _ => {}
        }
    }

    /// A job that the miner has looked at and does not like. Refused or held back, nothing is hashed of it.
    fn note_check(&mut self, line: &Value) {
        let text = |member: &str| line[member].as_str().unwrap_or("?").to_owned();
        let result = text("result");
        let said = format!(
            "check {:?} says {result}, {}: found {}, expected {}",
            text("check"),
            text("code"),
            text("found"),
            text("expected")
        );
        let is_lost = matches!(result.as_str(), "reject" | "hold");
        keep(if is_lost { &mut self.jobs.lost } else { &mut self.jobs.strange }, &said);
    }

    fn note_figures(&mut self, board: &Value) {
        let count = |member: &str| board[member].as_u64();
        let status = &board["status"];
        self.note_sensors(status);
        let (Some(shares), Some(passed_on)) = (count("shares"), count("hardware_errors")) else { return };
        let shares = shares + count("filtered").unwrap_or(0) + count("overflowed").unwrap_or(0);
        let chips = status["chips"].as_array().map_or(&[][..], Vec::as_slice);
        let sum = |member: &str| chips.iter().filter_map(|chip| chip[member].as_u64()).sum::<u64>();
        let line = |member: &str| status["line"][member].as_u64().unwrap_or(0);
        let counts = Counts {
            // A chip finds more than shares.
            good: sum("nonces").max(shares),
            // What a driver finds wrong it does not pass on.
            hardware_errors: passed_on.saturating_add(sum("hardware_errors")),
            // The bytes of an answer with a wrong checksum are dropped as well.
            damaged: line("crc_errors").max(line("dropped_bytes") / ANSWER_BYTES),
        };
        // A board that was gone in between is listed twice.
        if self.counts.is_none_or(|known| known.answers() <= counts.answers()) {
            self.counts = Some(counts);
        }
    }

    /// What the miner measures of a board: `temperature_c` and `fan_percent` of a status, null for what is not known.
    fn note_sensors(&mut self, status: &Value) {
        if let Some(celsius) = status["temperature_c"].as_f64() {
            self.heat.read(celsius);
        }
        if let Some(percent) = status["fan_percent"].as_f64() {
            self.heat.fan(percent);
        }
    }

    /// The virtual board told of something: what really is, whatever the miner believes.
    pub(super) fn note_board(&mut self, event: &BoardEvent) {
        match event {
            BoardEvent::Address { chip, .. } => _ = self.chips.insert(*chip),
            BoardEvent::Heat { celsius, fan_percent, .. } => {
                self.heat.read(f64::from(*celsius));
                self.heat.fan(f64::from(*fan_percent));
            }
            BoardEvent::Overheated { .. } => self.heat.cut = Some(event.to_string()),
            // Before the first share, and when the miner ends, this is as it should be.
            BoardEvent::Power { on: false, .. } if self.accepted > 0 && self.heat.cut.is_none() => {
                self.heat.cut = Some(event.to_string());
            }
            _ => {}
        }
    }

    /// Shares that a correct miner would not have sent.
    pub fn invalid(&self) -> u64 {
        self.rejected.iter().filter(|(reason, _)| reason.is_invalid()).map(|(_, count)| count).sum()
    }

    /// The hash rate that the measured shares prove.
    pub fn rate(&self) -> Option<Rate> {
        Rate::of_shares(self.measured_shares, self.measured_difficulty, self.measured_seconds)
    }

    /// Why nothing was mined, as far as anybody knows.
    pub fn trouble(&self) -> String {
        let miner = self.miner.trouble();
        let fault = self.faults.last().map(|fault| format!("the miner says of the board: {fault}"));
        let cut = self.heat.cut.as_ref().map(|cut| format!("the board says: {cut}"));
        let complaint =
            self.complaints.last().filter(|_| fault.is_none()).map(|said| format!("the miner says: {said}"));
        let job = self.jobs.lost.last().map(|said| format!("the miner says of a job: {said}"));
        let known: Vec<_> = [miner, fault, job, complaint, cut].into_iter().flatten().collect();
        if known.is_empty() { "the miner complained of nothing".to_owned() } else { known.join("; ") }
    }
}

impl MinerEnd {
    /// What is wrong with it.
    pub fn trouble(&self) -> Option<String> {
        match self {
            Self::Asked => None,
            Self::Early(code) => {
                let code = code.map_or("a signal".to_owned(), |code| format!("exit code {code}"));
                Some(format!("the miner ended by itself with {code}"))
            }
            Self::Killed => Some("the miner did not end when asked, and was killed".to_owned()),
            Self::NotStarted(why) => Some(format!("the miner could not be started: {why}")),
        }
    }
}

impl Heat {
    fn read(&mut self, celsius: f64) {
        self.hottest = if self.readings == 0 { celsius } else { self.hottest.max(celsius) };
        self.readings += 1;
    }

    fn fan(&mut self, percent: f64) {
        self.fan_percent = Some(self.fan_percent.map_or(percent, |most| most.max(percent)));
    }
}

impl Listing {
    /// From the lines of `signalcore devices --json`. Lines that are none are passed over.
    pub(super) fn parse(text: &str) -> Self {
        let objects = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let ports = objects.filter_map(|line| Some(line["port"].as_str()?.into()));
        Self { ports: ports.collect(), ..Self::default() }
    }

    /// Looks for a port of the board; `real` is where its name leads to, which may be a link.
    pub(super) fn look_for(&mut self, port: &Path, real: &Path) {
        if self.ports.contains(port) || self.ports.contains(real) {
            self.listed.insert(port.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pool::Difficulty;

    fn share(verdict: Verdict) -> PoolEvent {
        PoolEvent::Share { job_id: "a".to_owned(), verdict }
    }

    #[test]
    fn shares_count_for_the_rate_only_while_it_is_measured() {
        let mut run = Run::default();
        let difficulty = Difficulty::ONE;
        let accepted = share(Verdict::Accepted { difficulty, share_difficulty: difficulty, block: false });
        assert!(run.note_pool(&accepted, false));
        assert!(run.note_pool(&accepted, true));
        assert!(!run.note_pool(&share(Verdict::Rejected { reason: Reject::LowDifficulty }), true));
        assert!(!run.note_pool(&share(Verdict::Rejected { reason: Reject::Stale }), true));
        assert_eq!(
            (run.accepted, run.measured_shares, run.measured_difficulty, run.invalid()),
            (2, 1, 1.0, 1)
        );
    }

    #[test]
    fn the_miners_lines_tell_of_the_board_its_errors_and_its_sensors() {
        let mut run = Run::default();
        for line in [
            json!({ "event": "board", "state": "joined", "detail": "4 × BM1370 at 400 MHz" }),
            json!({ "event": "board", "state": "fault", "reason": "two\nchips" }),
            json!({ "event": "board", "state": "gone" }),
            json!({ "event": "board", "state": "throttled", "reason": null, "status": { "state": "throttled",
                "temperature_c": 76.4, "fan_percent": 100, "frequency_mhz": 393.75, "frequency_set_mhz": 400 } }),
            json!({ "event": "board", "state": "cut_off", "reason": "81 °C", "status": { "temperature_c": null } }),
            json!({ "event": "stats", "boards": [{ "shares": 9, "hardware_errors": 1, "filtered": 90, "status": null }] }),
            json!({ "event": "stats", "boards": [{ "shares": 9, "hardware_errors": 1, "filtered": 90, "status": {
                "temperature_c": 61.5, "regulator_temperature_c": 99, "fan_percent": 40,
                "chips": [{ "address": 0, "nonces": 200, "hardware_errors": 2 }, { "nonces": 50 }],
                "line": { "crc_errors": 7, "dropped_bytes": 80 } } }] }),
            // Counts of a board that has come back.
            json!({ "event": "stats", "boards": [{ "shares": 1, "hardware_errors": 0, "status": { "chips": 3 } }] }),
            json!({ "event": "summary", "boards": "none", "shares": -1 }),
            json!([1]),
        ] {
            run.note_miner(&line);
        }
        assert_eq!(run.detail.as_deref(), Some("4 × BM1370 at 400 MHz"));
        assert_eq!((run.faults[..] == ["twochips"], run.gone), (true, 1));
        assert_eq!(run.counts, Some(Counts { good: 250, hardware_errors: 3, damaged: 7 }));
        assert_eq!((run.heat.hottest, run.heat.fan_percent), (76.4, Some(100.0)));
        assert_eq!(
            run.heat.told,
            ["throttled at 76 °C, below the 400 MHz it was set to", "its power is cut off: 81 °C"]
        );
    }

    #[test]
    fn what_a_chip_says_that_is_no_answer_at_all_counts_as_damaged_answers() {
        let mut run = Run::default();
        run.note_miner(
            &json!({ "event": "stats", "boards": [{ "shares": 90, "hardware_errors": 0, "status": {
            "chips": null, "line": { "crc_errors": 1, "dropped_bytes": 330 } } }] }),
        );
        assert_eq!(run.counts, Some(Counts { good: 90, hardware_errors: 0, damaged: 30 }));
    }

    #[test]
    fn what_the_miner_says_of_a_job_is_kept_and_tells_why_nothing_is_mined() {
        let mut run = Run::default();
        for (result, code) in [("warn", "odd"), ("reject", "too_old")] {
            run.note_miner(
                &json!({ "event": "check", "pool": 0, "result": result, "level": 5000, "check": "age",
                "code": code, "found": "1231006505", "expected": "a time of today" }),
            );
        }
        let said = "check \"age\" says reject, too_old: found 1231006505, expected a time of today";
        assert_eq!((run.jobs.lost[..] == [said], run.jobs.strange.len()), (true, 1));
        assert_eq!(run.trouble(), format!("the miner says of a job: {said}"));
    }

    #[test]
    fn power_that_goes_before_the_first_share_is_no_matter_and_after_it_is() {
        let mut run = Run::default();
        let off = BoardEvent::Power { millivolts: 0, on: false };
        run.note_board(&off);
        assert_eq!(run.heat.cut, None);
        run.accepted = 1;
        run.note_board(&off);
        assert_eq!(run.heat.cut.as_deref(), Some("core power off, 0 mV"));
        assert!(run.trouble().contains("the board says: core power off"));
    }

    #[test]
    fn a_port_is_found_in_the_list_by_its_name_or_by_where_that_leads() {
        let text = "{\"port\":\"/dev/ttyACM0\",\"state\":\"ready\"}\nnoise\n{\"port\":7}\n";
        let mut listing = Listing::parse(text);
        listing.look_for(Path::new("/dev/serial/by-id/x"), Path::new("/dev/ttyACM0"));
        listing.look_for(Path::new("/dev/ttyACM1"), Path::new("/dev/ttyACM1"));
        assert_eq!(listing.listed, BTreeSet::from([PathBuf::from("/dev/serial/by-id/x")]));
    }

    #[test]
    fn a_flood_of_complaints_leaves_the_last_eight() {
        let mut texts = Vec::new();
        (0..100).for_each(|number| keep(&mut texts, &number.to_string()));
        assert_eq!((texts.len(), texts[7].as_str()), (MOST_TEXTS, "99"));
    }
}
