//! One connection as a state machine: lines in, lines out, time is an argument.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use bitcoin::BlockHash;
use serde_json::{Value, json};

use super::{
    PoolConfig,
    book::{JobBook, Library},
    difficulty::Difficulty,
    event::Event,
    judge::{Reject, Submit, Verdict, number},
    line::{LineBuffer, LineTooLong},
    message::{self, Refusal, Request},
    template::Template,
    vardiff::Vardiff,
};

/// The version bits that may be rolled here. Source: BIP 320.
const VERSION_MASK: u32 = 0x1fff_e000;
/// A client that has not authorized by then is let go.
const HANDSHAKE_TIME: Duration = Duration::from_mins(1);
/// User names on one connection.
const MOST_USERS: usize = 16;
/// The longest user name, and the part of a user agent that is kept.
const LONGEST_NAME: usize = 128;
/// Answers that may wait for their delay.
const MOST_DELAYED: usize = 1024;

/// What a session has to say to the pool around it.
#[derive(Debug)]
pub(crate) enum SessionEvent {
    /// For the report.
    Told(Event),
    /// The connection needs a fresh job: it just authorized, or its terms changed.
    JobWanted,
    /// A share was accepted: this much work was done.
    Worked(Difficulty),
    /// A share solved a block on `prevhash`.
    Solved { prevhash: BlockHash, hash: BlockHash },
}

#[derive(Debug)]
enum State {
    Connected { give_up_at: Instant },
    Subscribed { book: JobBook, give_up_at: Instant },
    Mining { book: JobBook, users: BTreeSet<String>, vardiff: Vardiff, announced: Option<Difficulty> },
    Closed { reason: String },
}

/// The five verbs of the house: handle a line, handle the timer, and ask for lines, events and the next deadline.
#[derive(Debug)]
pub(crate) struct Session {
    config: Arc<PoolConfig>,
    state: State,
    lines: LineBuffer,
    mask: Option<u32>,
    suggested: Option<Difficulty>,
    transmit: VecDeque<String>,
    delayed: VecDeque<(Instant, String)>,
    events: VecDeque<SessionEvent>,
}

impl Session {
    pub(crate) fn new(config: Arc<PoolConfig>, now: Instant) -> Self {
        Self {
            config,
            state: State::Connected { give_up_at: now + HANDSHAKE_TIME },
            lines: LineBuffer::default(),
            mask: None,
            suggested: None,
            transmit: VecDeque::new(),
            delayed: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// The complete lines that these bytes bring; each goes to [`Self::handle_line`].
    pub(crate) fn lines(&mut self, bytes: &[u8]) -> Vec<Result<Vec<u8>, LineTooLong>> {
        self.lines.lines(bytes)
    }

    pub(crate) fn handle_line(
        &mut self,
        line: &Result<Vec<u8>, LineTooLong>,
        now: Instant,
        library: &mut Library,
    ) {
        match line.as_ref().map(|line| Request::parse(line)) {
            Ok(Ok(Some(request))) => self.handle_request(&request, now, library),
            Ok(Ok(None)) => {}
            Ok(Err(bad)) => self.hang_up(&bad.to_string()),
            Err(too_long) => self.hang_up(&too_long.to_string()),
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while self.delayed.front().is_some_and(|(due, _)| *due <= now) {
            self.transmit.extend(self.delayed.pop_front().map(|(_, line)| line));
        }
        match &mut self.state {
            State::Connected { give_up_at } | State::Subscribed { give_up_at, .. } if *give_up_at <= now => {
                self.hang_up("Not authorized in time");
            }
            State::Mining { vardiff, .. } => {
                let easier = vardiff.handle_timeout(now);
                self.events.extend(easier.then_some(SessionEvent::JobWanted));
            }
            _ => {}
        }
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<String> {
        self.transmit.pop_front()
    }

    pub(crate) fn poll_event(&mut self) -> Option<SessionEvent> {
        self.events.pop_front()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let own = match &self.state {
            State::Connected { give_up_at } | State::Subscribed { give_up_at, .. } => Some(*give_up_at),
            State::Mining { vardiff, .. } => Some(vardiff.poll_timeout()),
            State::Closed { .. } => None,
        };
        own.into_iter().chain(self.delayed.front().map(|(due, _)| *due)).min()
    }

    /// Sends a job, with the difficulty before it where that is new. No share has to be harder than a block.
    pub(crate) fn send_job(&mut self, template: &Arc<Template>) {
        let State::Mining { book, vardiff, announced, .. } = &mut self.state else { return };
        let difficulty = vardiff.current().at_most(Difficulty::of_target(template.network_target()));
        if *announced != Some(difficulty) {
            *announced = Some(difficulty);
            self.transmit.push_back(message::set_difficulty(difficulty));
            self.events.push_back(SessionEvent::Told(Event::Difficulty { difficulty }));
        }
        let clean = book.is_clean(template);
        let job_id = book.enter(Arc::clone(template), difficulty, self.mask);
        self.transmit.push_back(message::notify(&job_id, template, clean));
        let (height, branches) = (template.height, template.branches.len());
        self.events.push_back(SessionEvent::Told(Event::Job { job_id, height, clean, branches }));
    }

    pub(crate) fn is_mining(&self) -> bool {
        matches!(self.state, State::Mining { .. })
    }

    /// Why the pool hung up, if it did.
    pub(crate) fn close_reason(&self) -> Option<&str> {
        if let State::Closed { reason } = &self.state { Some(reason) } else { None }
    }

    /// The jobs of a connection that ended, for its return.
    pub(crate) fn into_book(self) -> Option<JobBook> {
        match self.state {
            State::Subscribed { book, .. } | State::Mining { book, .. } => Some(book),
            State::Connected { .. } | State::Closed { .. } => None,
        }
    }

    fn hang_up(&mut self, reason: &str) {
        self.transmit.extend(self.delayed.drain(..).map(|(_, line)| line));
        self.transmit.push_back(message::farewell(reason));
        self.state = State::Closed { reason: reason.to_owned() };
    }

    fn handle_request(&mut self, request: &Request, now: Instant, library: &mut Library) {
        let result = match request.method.as_str() {
            "mining.configure" => self.configure(request),
            "mining.subscribe" => self.subscribe(request, now, library),
            "mining.authorize" => self.authorize(request, now),
            "mining.extranonce.subscribe" => Ok(json!(true)),
            "mining.suggest_difficulty" => self.suggest_difficulty(request, now),
            "mining.submit" => self.submit(request, now),
            _ => Err(Refusal::UnknownMethod),
        };
        let line = message::answer(&request.id, result);
        if request.method == "mining.submit" && !self.config.answer_delay.is_zero() {
            self.delayed.push_back((now + self.config.answer_delay, line));
        } else {
            self.transmit.push_back(line);
        }
        if self.delayed.len() > MOST_DELAYED {
            self.hang_up("Too many shares at once");
        }
    }

    /// BIP 310. The new mask holds from the next job on, so a running miner gets one at once.
    fn configure(&mut self, request: &Request) -> Result<Value, Refusal> {
        let names = request.params.first().and_then(Value::as_array).ok_or(Refusal::InvalidParameters)?;
        let mut result = serde_json::Map::new();
        for name in names {
            let name = name.as_str().ok_or(Refusal::InvalidParameters)?;
            match name {
                "version-rolling" => {
                    let mask = asked_mask(request.params.get(1))? & VERSION_MASK;
                    self.mask = (mask != 0).then_some(mask);
                    result.insert(name.to_owned(), json!(mask != 0));
                    result.insert("version-rolling.mask".to_owned(), json!(format!("{mask:08x}")));
                }
                _ => {
                    result.insert(name.to_owned(), json!(matches!(name, "subscribe-extranonce" | "info")));
                }
            }
        }
        if self.is_mining() {
            self.events.push_back(SessionEvent::JobWanted);
        }
        Ok(Value::Object(result))
    }

    fn subscribe(
        &mut self,
        request: &Request,
        now: Instant,
        library: &mut Library,
    ) -> Result<Value, Refusal> {
        if !matches!(self.state, State::Connected { .. }) {
            return Err(Refusal::AlreadySubscribed);
        }
        let wanted = request.text(1);
        let book = library.open(wanted);
        let identity = book.identity();
        let session_id = identity.session_id();
        let resumed = wanted == Some(session_id);
        let result = json!([
            [["mining.set_difficulty", session_id], ["mining.notify", session_id]],
            identity.extranonce1_hex(),
            book.extranonce2_size(),
        ]);
        let agent =
            request.text(0).unwrap_or_default().chars().filter(|c| !c.is_control()).take(LONGEST_NAME);
        self.events.push_back(SessionEvent::Told(Event::Subscribe { agent: agent.collect(), resumed }));
        self.state = State::Subscribed { book, give_up_at: now + HANDSHAKE_TIME };
        Ok(result)
    }

    fn authorize(&mut self, request: &Request, now: Instant) -> Result<Value, Refusal> {
        if matches!(self.state, State::Connected { .. }) {
            return Err(Refusal::NotSubscribed);
        }
        let user = request.text(0).filter(|user| is_user_name(user)).ok_or(Refusal::InvalidParameters)?;
        let accepted = !self.config.refused_users.iter().any(|refused| refused == user);
        self.events.push_back(SessionEvent::Told(Event::Authorize { user: user.to_owned(), accepted }));
        if !accepted {
            return Err(Refusal::UserRefused);
        }
        match &mut self.state {
            State::Mining { users, .. } => {
                if users.len() == MOST_USERS && !users.contains(user) {
                    return Err(Refusal::UserRefused);
                }
                users.insert(user.to_owned());
            }
            _ => self.start_mining(user, now),
        }
        Ok(json!(true))
    }

    fn start_mining(&mut self, user: &str, now: Instant) {
        let closed = State::Closed { reason: String::new() };
        self.state = match std::mem::replace(&mut self.state, closed) {
            State::Subscribed { book, .. } => {
                let mut vardiff = Vardiff::new(self.config.vardiff.clone(), now);
                if let Some(suggested) = self.suggested {
                    vardiff.suggest(suggested, now);
                }
                self.events.push_back(SessionEvent::JobWanted);
                State::Mining { book, users: BTreeSet::from([user.to_owned()]), vardiff, announced: None }
            }
            other => other,
        };
    }

    fn suggest_difficulty(&mut self, request: &Request, now: Instant) -> Result<Value, Refusal> {
        let wanted = request.params.first().and_then(Value::as_f64).ok_or(Refusal::InvalidParameters)?;
        let wanted = Difficulty::new(wanted).map_err(|_| Refusal::InvalidParameters)?;
        self.suggested = Some(wanted);
        if let State::Mining { vardiff, .. } = &mut self.state
            && vardiff.suggest(wanted, now)
        {
            self.events.push_back(SessionEvent::JobWanted);
        }
        Ok(json!(true))
    }

    fn submit(&mut self, request: &Request, now: Instant) -> Result<Value, Refusal> {
        let job_id =
            request.text(1).unwrap_or_default().chars().filter(|c| !c.is_control()).take(LONGEST_NAME);
        let job_id = job_id.collect();
        let verdict = self.judge(request, now);
        self.events.push_back(SessionEvent::Told(Event::Share { job_id, verdict }));
        match verdict {
            Verdict::Accepted { .. } => Ok(json!(true)),
            Verdict::Rejected { reason: Reject::Unauthorized } if !self.is_mining() => {
                Err(Refusal::NotSubscribed)
            }
            Verdict::Rejected { reason } => Err(reason.into()),
        }
    }

    fn judge(&mut self, request: &Request, now: Instant) -> Verdict {
        let State::Mining { book, users, vardiff, .. } = &mut self.state else {
            return Verdict::Rejected { reason: Reject::Unauthorized };
        };
        let texts: Option<Vec<&str>> = request.params.iter().map(Value::as_str).collect();
        let (user, job_id, submit) = match texts.as_deref() {
            Some(&[user, job_id, extranonce2, ntime, nonce]) => {
                (user, job_id, Submit { extranonce2, ntime, nonce, version_bits: None })
            }
            Some(&[user, job_id, extranonce2, ntime, nonce, bits]) => {
                (user, job_id, Submit { extranonce2, ntime, nonce, version_bits: Some(bits) })
            }
            _ => return Verdict::Rejected { reason: Reject::Malformed },
        };
        if !users.contains(user) {
            return Verdict::Rejected { reason: Reject::Unauthorized };
        }
        let counted = match book.judge(job_id, submit) {
            Ok(counted) => counted,
            Err(reason) => return Verdict::Rejected { reason },
        };
        let (hash, difficulty) = (counted.share.hash(), counted.difficulty);
        self.events.push_back(SessionEvent::Worked(difficulty));
        if vardiff.share(difficulty, now) {
            self.events.push_back(SessionEvent::JobWanted);
        }
        if counted.share.is_block() {
            self.events.push_back(SessionEvent::Solved { prevhash: counted.template.prevhash, hash });
        }
        let share_difficulty = Difficulty::of_hash(hash);
        Verdict::Accepted { difficulty, share_difficulty, block: counted.share.is_block() }
    }
}

/// The version bits that the client can roll: the option's eight lower-case hex digits, or all where it is left out.
fn asked_mask(options: Option<&Value>) -> Result<u32, Refusal> {
    let options = options.and_then(Value::as_object).ok_or(Refusal::InvalidParameters)?;
    let Some(mask) = options.get("version-rolling.mask") else { return Ok(u32::MAX) };
    let digits = mask.as_str().ok_or(Refusal::InvalidParameters)?;
    number(digits).map_err(|_| Refusal::InvalidParameters)
}

fn is_user_name(user: &str) -> bool {
    (1..=LONGEST_NAME).contains(&user.chars().count()) && !user.chars().any(char::is_control)
}
