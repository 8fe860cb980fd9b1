//! A stick as a state machine: count its chips, wake their cores, raise the frequency, and keep it at work.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::frame::{BUSY_NONCES, Form};
use super::identify::ids;
use super::model::{FrequencyError, Model};
use crate::scanner::work::NUMBERS;
use crate::scanner::{Counts, Device, Due, Feed, Heard, Pace, Rest, ScannerEvent};
use crate::{BoardState, BoardStatus, ChipJob};

/// How long ids may take. Source: cgminer `driver-gekko.c`.
const IDS_WITHIN: Duration = Duration::from_secs(1);
/// Attempts to get them: the first may end up in what the stick was told before.
const ID_TRIES: u32 = 3;
/// After a command. Source: cgminer, which leaves 1 to 100 ms.
const GAP: Duration = Duration::from_millis(10);
/// Between orders to keep silent, and how many there are. Source: cgminer.
const INACTIVE_GAP: Duration = Duration::from_millis(5);
const INACTIVES: usize = 3;
/// Steps in which the frequency is raised. Unit: MHz. Source: ESP-Miner and mujina, for younger chips.
const STEP: f64 = 6.25;
const STEP_EVERY: Duration = Duration::from_millis(100);
/// How often the lowest frequency is set before a stick is left alone: nothing tells whether it was heard.
const LAST_ORDERS: usize = 3;
/// Part of a range by which the last busy work may take longer.
const CHECK_MARGIN: f64 = 1.25;
/// Works that are tried with a nonce: the one that it names, then the newest, for one that comes just behind a new work.
const WORKS_TRIED: usize = 4;
/// Bytes in a row that are no answer, after which they are judged: nine answers of either kind of chip and no more.
const MOST_STRANGE: usize = 63;

/// For the shell to pass on.
pub type GekkoEvent = ScannerEvent<GekkoFault>;

/// What is wrong with a stick.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GekkoFault {
    /// Nothing says an id.
    #[error("no {0} answers; is it such a stick? Unplug it and plug it in again, which resets its chips")]
    NoAnswer(&'static str),
    /// More or fewer chips than it has.
    #[error(
        "{found} × {chip} answer, expected {expected}; unplug it and plug it in again, or name the right model"
    )]
    Chips {
        /// What the chips are.
        chip: &'static str,
        /// How many answer.
        found: usize,
        /// How many it has.
        expected: u32,
    },
    /// The work by which it wakes its cores has known nonces, and it did not find them.
    #[error("it does not find the known nonces of its first work; has it enough power?")]
    Asleep,
    /// It had work and found nothing.
    #[error("no good nonce for {} s, which chance explains less than once in a billion times", quiet.as_secs())]
    Silent {
        /// For how long.
        quiet: Duration,
    },
}

/// What the shell knows of a stick.
#[derive(Debug, Clone)]
pub struct GekkoConfig {
    /// Which it is.
    pub model: &'static Model,
    /// `None` is its lowest. Unit: MHz.
    pub frequency: Option<f64>,
    /// Zero bits that every report has: 32 of all real sticks.
    pub zero_bits: u32,
}

#[derive(Debug)]
enum State {
    Away(Rest<GekkoFault>),
    Asking { tries: u32, until: Instant },
    Starting { rest: VecDeque<Step>, is_awake: bool, until: Instant },
    Working,
}

/// A step of a start.
#[derive(Debug, PartialEq)]
enum Step {
    /// Bytes, and the wait behind them.
    Send(Vec<u8>, Duration),
    /// Whether the known nonces have come.
    Check,
}

/// A stick.
#[derive(Debug)]
pub struct Gekko {
    model: &'static Model,
    mhz: f64,
    state: State,
    feed: Feed<GekkoFault>,
    /// The beginning of an answer, or what is heard while it is found out.
    heard: Heard,
    /// Bytes since the last answer that are none.
    strange: Vec<u8>,
    out: VecDeque<Vec<u8>>,
}

impl Gekko {
    /// A stick that is found out from now on. Errors: the frequency is none of its.
    pub fn new(config: &GekkoConfig, now: Instant) -> Result<Self, FrequencyError> {
        let GekkoConfig { model, frequency, zero_bits } = *config;
        let mhz = model.frequency(frequency)?;
        let mut stick = Self {
            model,
            mhz,
            state: State::Away(Rest::none(now)),
            feed: Feed::new(Pace { hashes: model.rate(mhz), zero_bits }, now),
            heard: Heard::new(now),
            strange: Vec::new(),
            out: VecDeque::new(),
        };
        stick.handle_timeout(now);
        Ok(stick)
    }

    /// What came from it.
    pub fn counts(&self) -> Counts {
        self.feed.counts
    }

    fn form(&self) -> Form {
        self.model.chip.form
    }

    fn ask(&mut self, tries: u32, now: Instant) {
        self.heard.clear();
        self.out.push_back(self.form().read_id());
        self.state = State::Asking { tries, until: now + IDS_WITHIN };
    }

    fn conclude(&mut self, tries: u32, now: Instant) {
        let (chip, expected) = (self.model.chip, self.model.chips);
        match ids(self.heard.bytes(), chip.id, chip.form.answer_size()) {
            found if found == expected as usize => {
                let rest = program(self.model, self.mhz);
                self.state = State::Starting { rest, is_awake: false, until: now };
                self.heard.clear();
            }
            _ if tries < ID_TRIES => self.ask(tries + 1, now),
            0 => self.fail(GekkoFault::NoAnswer(chip.name), now),
            found => self.fail(GekkoFault::Chips { chip: chip.name, found, expected }, now),
        }
    }

    fn go_on(&mut self, now: Instant) {
        let State::Starting { rest, is_awake, until } = &mut self.state else { return };
        match rest.pop_front() {
            Some(Step::Send(bytes, wait)) => {
                *until = now + wait;
                self.out.push_back(bytes);
            }
            Some(Step::Check) if *is_awake => {}
            Some(Step::Check) => self.fail(GekkoFault::Asleep, now),
            None => {
                self.heard.clear();
                self.feed.begin(usize::from(NUMBERS), now);
                let (answer_size, devices) = (self.form().answer_size(), self.model.chips);
                self.feed.tell(ScannerEvent::Ready { answer_size, devices });
                self.state = State::Working;
                self.next_work(now);
            }
        }
    }

    fn next_work(&mut self, now: Instant) {
        let form = self.form();
        self.out.extend(self.feed.next_work(now).map(|work| form.work(&work.bytes())));
    }

    /// Nothing marks where an answer begins: whatever is no nonce of a work costs one byte, and the next is tried.
    fn take_answers(&mut self, bytes: &[u8], now: Instant) {
        let (heard, dropped) = self.heard.take(bytes, now);
        if !dropped.is_empty() {
            self.strange.extend(dropped);
            self.settle();
        }
        let form = self.form();
        let mut rest = heard.as_slice();
        while let Some(answer) = rest.get(..form.answer_size()) {
            let nonce = [answer[0], answer[1], answer[2], answer[3]];
            let places = self.feed.places_from(Some(form.number(answer) % NUMBERS)).take(WORKS_TRIED);
            // A busy work may still be answered by a core that has not heard of its first real work.
            let is_answer = BUSY_NONCES.contains(&nonce) || self.feed.prove(places, nonce, now).is_some();
            if is_answer {
                self.settle();
                rest = &rest[form.answer_size()..];
            } else {
                self.strange.push(rest[0]);
                if self.strange.len() >= MOST_STRANGE {
                    self.settle();
                }
                rest = &rest[1..];
            }
        }
        self.heard.keep(rest);
    }

    /// What lies between two answers, or an answer and a silence, is judged: whole answers that are right but for their hash
    /// are of a chip that has computed wrongly, anything else is the line's.
    fn settle(&mut self) {
        let size = self.form().answer_size();
        let strange = std::mem::take(&mut self.strange);
        let mut answers = strange.chunks_exact(size);
        let count = answers.len() as u64;
        if answers.all(|answer| self.form().looks_like_nonce(answer)) && strange.len().is_multiple_of(size) {
            self.feed.counts.hardware_errors += count;
        } else {
            self.feed.counts.dropped_bytes += strange.len() as u64;
        }
    }

    fn fail(&mut self, fault: GekkoFault, now: Instant) {
        self.state = State::Away(self.feed.fail(fault, now));
    }
}

impl Device for Gekko {
    type Fault = GekkoFault;

    fn set_job(&mut self, job: Option<ChipJob>, now: Instant) {
        self.feed.set_job(job, now);
        if matches!(self.state, State::Working) {
            self.next_work(now);
        }
    }

    fn handle_bytes(&mut self, bytes: &[u8], now: Instant) {
        match &mut self.state {
            State::Working => self.take_answers(bytes, now),
            State::Asking { .. } | State::Starting { .. } => {
                self.heard.listen(bytes);
                if let State::Starting { is_awake, .. } = &mut self.state {
                    *is_awake |= self
                        .heard
                        .bytes()
                        .windows(4)
                        .any(|nonce| BUSY_NONCES.iter().any(|busy| busy == nonce));
                }
            }
            State::Away(_) => {}
        }
        self.handle_timeout(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        while self.poll_timeout().is_some_and(|due| due <= now) {
            match self.state {
                State::Away(_) => self.ask(1, now),
                State::Asking { tries, .. } => self.conclude(tries, now),
                State::Starting { .. } => self.go_on(now),
                State::Working => match self.feed.handle_timeout(now) {
                    Due::Silent(quiet) => self.fail(GekkoFault::Silent { quiet }, now),
                    Due::NextWork => self.next_work(now),
                    Due::Nothing => {}
                },
            }
        }
    }

    fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.out.pop_front()
    }

    /// It cannot be reset over a serial port, and may sweep its last work again and again: at its lowest frequency, then.
    fn last_orders(&self) -> Vec<Vec<u8>> {
        let lowest = self.form().nearest(*self.model.limits.start());
        vec![self.form().set_frequency(lowest); LAST_ORDERS]
    }

    fn poll_event(&mut self) -> Option<GekkoEvent> {
        self.feed.poll_event()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Away(Rest { until, .. }) | State::Asking { until, .. } | State::Starting { until, .. } => {
                Some(until)
            }
            State::Working => self.feed.poll_timeout(),
        }
    }

    fn expected_rate(&self) -> f64 {
        self.feed.pace().expected_rate()
    }

    fn detail(&self) -> String {
        let Model { chip, chips, .. } = self.model;
        format!("{chips} × {} at {} MHz", chip.name, self.mhz)
    }

    fn state(&self) -> BoardState {
        match &self.state {
            State::Away(rest) => rest.state(),
            State::Asking { .. } | State::Starting { .. } => BoardState::Starting,
            State::Working => self.feed.state(),
        }
    }

    fn status(&self) -> BoardStatus {
        self.feed.status(self.state(), Some(self.mhz))
    }
}

/// All that a stick is told from its ids to its first work: addresses, the lowest frequency, work for every core, and the
/// way up to `mhz`.
fn program(model: &Model, mhz: f64) -> VecDeque<Step> {
    let form = model.chip.form;
    let lowest = form.nearest(*model.limits.start());
    let inactives = if form == Form::Bm1387 { INACTIVES } else { 1 };
    let busy_works = model.chip.cores as usize;
    let mut steps = VecDeque::new();
    steps.extend(std::iter::repeat_with(|| Step::Send(form.inactive(), INACTIVE_GAP)).take(inactives));
    steps.extend(model.addresses().map(|address| Step::Send(form.set_address(address), GAP)));
    steps.push_back(Step::Send(form.set_frequency(lowest), STEP_EVERY));
    steps.extend(form.gate().map(|gate| Step::Send(gate, GAP)));
    steps.extend(std::iter::repeat_with(|| Step::Send(form.busy_work(), GAP)).take(busy_works));
    let range = Pace { hashes: model.rate(lowest), zero_bits: 32 }.range();
    if let Some(Step::Send(_, wait)) = steps.back_mut() {
        *wait = range.mul_f64(CHECK_MARGIN);
    }
    steps.push_back(Step::Check);
    let mut at = lowest;
    while at < mhz {
        at = (at + STEP).min(mhz);
        steps.push_back(Step::Send(form.set_frequency(form.nearest(at)), STEP_EVERY));
    }
    steps
}
