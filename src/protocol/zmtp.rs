//! A subscriber to a ZMQ publisher as a state machine: bytes and time in, bytes and messages out. It speaks what a
//! subscription needs of ZMTP 3 (one socket type, no authentication), and asks for a sign of life where ZMQ itself would
//! never notice that the other side is gone.
//!
//! Source: RFC 23/ZMTP 3.0 and RFC 37/ZMTP 3.1; each byte string was seen between libzmq and a node.

use std::time::{Duration, Instant};

use super::text::printable;

/// Topics that are subscribed to.
pub const TOPICS: [&str; 2] = ["hashblock", "sequence"];
/// Length of a greeting.
const GREETING: usize = 64;
/// How long the other side may take to greet and to say that it is ready.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Silence after which a sign of life is asked for, and how long that may take.
const QUIET: Duration = Duration::from_secs(5);
const PONG_PATIENCE: Duration = Duration::from_secs(5);
/// Longest part of a message that is kept. The topics above have 41 bytes at most.
const MAX_KEPT: usize = 256;
/// Longest part that is passed over: a whole block, from a publisher that sends more than it was asked for.
const MAX_FRAME: u64 = 8 << 20;
/// Longest context of a sign of life that is asked of us. Source: RFC 37, 3.2.
const MAX_CONTEXT: usize = 16;
/// Bytes that may wait to be sent before no sign of life is given any more.
const MAX_OUTPUT: usize = 4096;
/// Parts of a message. Bitcoin Core sends three.
const MAX_PARTS: usize = 8;

const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;

/// Why there is no talking to the other side.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ZmtpError {
    /// Its first bytes are no greeting.
    #[error(
        "what listens there is no ZMQ publisher; is it the address of zmqpubhashblock, not that of the RPC?"
    )]
    NoGreeting,
    /// An older protocol.
    #[error("it speaks ZMTP {0}, not 3")]
    Version(u8),
    /// It wants to know who we are.
    #[error("it wants authentication ({0}), which Bitcoin Core does not")]
    Mechanism(String),
    /// Not a publisher.
    #[error("its socket is of type {0}, not PUB")]
    SocketType(String),
    /// It turned us down.
    #[error("it refuses the subscription: {0}")]
    Refused(String),
    /// A length or a flag that cannot be.
    #[error("it sends what is no ZMTP: {0}")]
    Malformed(&'static str),
    /// It connects and does not greet.
    #[error(
        "it does not answer the greeting; is it the address of zmqpubhashblock, not that of the RPC, and is the node well?"
    )]
    Handshake,
    /// No sign of life.
    #[error("it has given no sign of life for {} s", (QUIET + PONG_PATIENCE).as_secs())]
    Silent,
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ZmtpEvent {
    /// The subscription stands.
    Subscribed,
    /// A message: its parts, each cut after 256 bytes.
    Message(Vec<Part>),
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its first bytes, all of them unless it is longer than 256.
    pub bytes: Vec<u8>,
    /// Its length.
    pub length: u64,
}

impl Part {
    /// Whether it was cut.
    pub fn is_whole(&self) -> bool {
        self.bytes.len() as u64 == self.length
    }
}

#[derive(Debug)]
enum State {
    Greeting,
    Frame,
    /// In the middle of the body of one.
    Body {
        flags: u8,
        part: Part,
        missing: u64,
    },
}

/// One connection to a publisher.
#[derive(Debug)]
pub struct Subscriber {
    state: State,
    /// Bytes of a greeting or a frame's head that is not whole yet.
    head: Vec<u8>,
    parts: Vec<Part>,
    is_ready: bool,
    output: Vec<u8>,
    /// When the handshake, or the sign of life, must be there.
    due: Option<Instant>,
    ping_at: Option<Instant>,
}

impl Subscriber {
    /// A connection that stands since now.
    pub fn new(now: Instant) -> Self {
        let mut greeting = [0; GREETING];
        (greeting[0], greeting[9], greeting[10]) = (0xff, 0x7f, 3);
        greeting[12..16].copy_from_slice(b"NULL");
        Self {
            state: State::Greeting,
            head: Vec::new(),
            parts: Vec::new(),
            is_ready: false,
            output: greeting.to_vec(),
            due: Some(now + HANDSHAKE),
            ping_at: None,
        }
    }

    /// Bytes to be sent, once.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due.into_iter().chain(self.ping_at).min()
    }

    /// The time has come. Errors: the other side has not done what it had to.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), ZmtpError> {
        if self.due.is_some_and(|due| now >= due) {
            return Err(if self.is_ready { ZmtpError::Silent } else { ZmtpError::Handshake });
        }
        if self.ping_at.is_some_and(|at| now >= at) {
            // Time to live: none. The context comes back with the answer.
            self.command(b"\x04PING\x00\x00");
            (self.ping_at, self.due) = (None, Some(now + PONG_PATIENCE));
        }
        Ok(())
    }

    /// Takes what a read returned. Errors: the connection is of no use any more.
    pub fn handle_bytes(&mut self, mut bytes: &[u8], now: Instant) -> Result<Vec<ZmtpEvent>, ZmtpError> {
        if self.is_ready && !bytes.is_empty() {
            (self.due, self.ping_at) = (None, Some(now + QUIET)); // any byte is a sign of life
        }
        let mut events = Vec::new();
        while !bytes.is_empty() {
            match &mut self.state {
                State::Greeting => {
                    bytes = self.fill(bytes, GREETING);
                    self.check_greeting()?;
                }
                State::Frame => bytes = self.read_head(bytes)?,
                State::Body { part, missing, .. } => {
                    let (body, rest) = bytes.split_at(bytes.len().min(*missing as usize)); // at most MAX_FRAME
                    let kept = body.len().min(MAX_KEPT - part.bytes.len());
                    part.bytes.extend_from_slice(&body[..kept]);
                    *missing -= body.len() as u64;
                    bytes = rest;
                }
            }
            // A body of no bytes is whole at once.
            self.finish_body(&mut events, now)?;
        }
        Ok(events)
    }

    /// Moves bytes into the head until it has so many; gives the rest.
    fn fill<'a>(&mut self, bytes: &'a [u8], length: usize) -> &'a [u8] {
        let taken = bytes.len().min(length.saturating_sub(self.head.len()));
        self.head.extend_from_slice(&bytes[..taken]);
        &bytes[taken..]
    }

    /// As far as it is there, so that something else is told at its first byte.
    fn check_greeting(&mut self) -> Result<(), ZmtpError> {
        let head = &self.head;
        if head[0] != 0xff || head.get(9).is_some_and(|byte| *byte & 1 == 0) {
            return Err(ZmtpError::NoGreeting);
        }
        if let Some(major) = head.get(10).filter(|major| **major < 3) {
            return Err(ZmtpError::Version(*major));
        }
        if head.len() < GREETING {
            return Ok(());
        }
        let mechanism = &head[12..32];
        if mechanism != b"NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" {
            let name = mechanism.split(|byte| *byte == 0).next().unwrap_or_default();
            return Err(ZmtpError::Mechanism(printable(&String::from_utf8_lossy(name), 20)));
        }
        self.head.clear();
        self.state = State::Frame;
        self.command(b"\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB");
        Ok(())
    }

    fn read_head<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], ZmtpError> {
        let rest = self.fill(bytes, 1);
        let flags = self.head[0];
        if flags & !(MORE | LONG | COMMAND) != 0 || flags & COMMAND != 0 && flags & MORE != 0 {
            return Err(ZmtpError::Malformed("unknown flags of a frame"));
        }
        let length = if flags & LONG == 0 { 2 } else { 9 };
        let rest = self.fill(rest, length);
        if self.head.len() < length {
            return Ok(rest);
        }
        let length = self.head[1..].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        if length > MAX_FRAME {
            return Err(ZmtpError::Malformed("a frame longer than any block"));
        }
        self.head.clear();
        self.state = State::Body { flags, part: Part { bytes: Vec::new(), length }, missing: length };
        Ok(rest)
    }

    /// Deals with a frame once it is whole.
    fn finish_body(&mut self, events: &mut Vec<ZmtpEvent>, now: Instant) -> Result<(), ZmtpError> {
        if !matches!(self.state, State::Body { missing: 0, .. }) {
            return Ok(());
        }
        let State::Body { flags, part, .. } = std::mem::replace(&mut self.state, State::Frame) else {
            return Ok(());
        };
        if flags & COMMAND != 0 {
            return self.handle_command(&part, events, now);
        }
        if !self.is_ready {
            return Err(ZmtpError::Malformed("a message before it is ready"));
        }
        if self.parts.len() == MAX_PARTS {
            return Err(ZmtpError::Malformed("a message of too many parts"));
        }
        self.parts.push(part);
        if flags & MORE == 0 {
            events.push(ZmtpEvent::Message(std::mem::take(&mut self.parts)));
        }
        Ok(())
    }

    fn handle_command(
        &mut self,
        command: &Part,
        events: &mut Vec<ZmtpEvent>,
        now: Instant,
    ) -> Result<(), ZmtpError> {
        let bytes = &command.bytes[..];
        let name_length =
            usize::from(*bytes.first().ok_or(ZmtpError::Malformed("a command without a name"))?);
        let name = bytes.get(1..=name_length).ok_or(ZmtpError::Malformed("a command without a name"))?;
        let rest = &bytes[1 + name_length..];
        match name {
            b"READY" if !self.is_ready => {
                let kind = property(rest, "Socket-Type").unwrap_or_default();
                if ![&b"PUB"[..], b"XPUB"].contains(&kind) {
                    return Err(ZmtpError::SocketType(printable(&String::from_utf8_lossy(kind), 20)));
                }
                for topic in TOPICS {
                    // As a message, which 3.0 and 3.1 both take: 1 for subscribe, and what topics begin with.
                    self.output.extend([0, topic.len() as u8 + 1, 1]);
                    self.output.extend_from_slice(topic.as_bytes());
                }
                (self.is_ready, self.due, self.ping_at) = (true, None, Some(now + QUIET));
                events.push(ZmtpEvent::Subscribed);
            }
            b"PING" => {
                let context = rest.get(2..).unwrap_or_default(); // behind its time to live
                let pong = [b"\x04PONG", &context[..context.len().min(MAX_CONTEXT)]].concat();
                // A flood of them is not answered one by one.
                if self.output.len() < MAX_OUTPUT {
                    self.command(&pong);
                }
            }
            b"ERROR" => {
                let text = String::from_utf8_lossy(rest.get(1..).unwrap_or_default());
                return Err(ZmtpError::Refused(printable(&text, 100)));
            }
            _ => {} // PONG has said all by coming; others are not for us
        }
        Ok(())
    }

    fn command(&mut self, body: &[u8]) {
        self.output.extend([COMMAND, body.len() as u8]); // at most 16 bytes and a name
        self.output.extend_from_slice(body);
    }
}

/// The value of a property of READY: names behind one byte of length, values behind four.
fn property<'a>(mut bytes: &'a [u8], wanted: &str) -> Option<&'a [u8]> {
    loop {
        let (name_length, rest) = bytes.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(*name_length))?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        if name.eq_ignore_ascii_case(wanted.as_bytes()) {
            return Some(value);
        }
        bytes = rest;
    }
}

#[cfg(test)]
mod tests;
