//! Packets of the control port: requests out, replies in, whatever else the line brings.
//!
//! A request is `length | id | bus | page | command | data`, its length two bytes, little-endian, that of the whole packet.
//! Source: korbin/bitaxe-raw `src/control`, mujina `mgmt_protocol/bitaxe_raw`.

use std::time::{Duration, Instant};

use super::text;

/// Bytes of a request before its data.
const HEAD: usize = 6;
/// The only I2C bus and the only bank of pins there is.
const BUS: u8 = 0;
const PAGE_I2C: u8 = 0x05;
const PAGE_GPIO: u8 = 0x06;
const PAGE_ADC: u8 = 0x07;
const PAGE_LED: u8 = 0x08;
const I2C_SPEED: u8 = 0x10;
const I2C_WRITE: u8 = 0x20;
const I2C_READ: u8 = 0x30;
const I2C_WRITE_READ: u8 = 0x40;
const ADC_CORE: u8 = 0x50;
const ADC_INPUT: u8 = 0x51;
const LED_COLOUR: u8 = 0x10;

/// Id of a refusal of bytes in which the firmware found no request.
const NO_REQUEST: u8 = 0xff;
/// Error code that a text follows.
const CODE_TEXT: u8 = 0xff;
/// Longest error reply believed, so that no announcement makes us wait for more.
const LONGEST_ERROR: usize = 68;
/// Silence after which a reply that is not whole is none. Source: mujina `PROTOCOL.md`.
const GIVE_UP: Duration = Duration::from_millis(50);
/// Most bytes kept: several of the longest replies. Beyond them a device floods the port, and the oldest go.
const MOST_BYTES: usize = 2048;

/// What the firmware is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Clock of the I2C bus, hertz.
    I2cSpeed(u32),
    /// Writes bytes to a part, its register first.
    I2cWrite {
        /// Seven bits.
        address: u8,
        /// What to write.
        bytes: Vec<u8>,
    },
    /// Reads from where the part stands.
    I2cRead {
        /// Seven bits.
        address: u8,
        /// How many bytes.
        count: u8,
    },
    /// Writes, then reads without letting the bus go.
    I2cWriteRead {
        /// Seven bits.
        address: u8,
        /// What to write: the register.
        bytes: Vec<u8>,
        /// How many bytes to read.
        count: u8,
    },
    /// Sets a pin.
    SetPin {
        /// Number of the pin.
        pin: u8,
        /// Its level.
        high: bool,
    },
    /// Reads the level of a pin.
    Pin(u8),
    /// Voltage at the core, as the board's converter reads it.
    CoreVoltage,
    /// Voltage at the input. On emberOne alone.
    InputVoltage,
    /// Colour of the light: red, green, blue. The firmware for the ESP32 refuses it.
    Led([u8; 3]),
}

impl Command {
    /// Reads `count` bytes from a register of a part.
    pub fn read_register(address: u8, register: u8, count: u8) -> Self {
        Self::I2cWriteRead { address, bytes: vec![register], count }
    }

    /// Writes a register of a part.
    pub fn write_register(address: u8, register: u8, value: &[u8]) -> Self {
        Self::I2cWrite { address, bytes: [&[register], value].concat() }
    }

    /// Bytes of data in the reply when all is well.
    pub fn reply_size(&self) -> usize {
        match self {
            Self::I2cSpeed(_) => 4,
            Self::I2cWrite { .. } | Self::SetPin { .. } | Self::Pin(_) => 1,
            Self::I2cRead { count, .. } | Self::I2cWriteRead { count, .. } => usize::from(*count),
            Self::CoreVoltage | Self::InputVoltage => 2,
            Self::Led(_) => 3,
        }
    }

    fn page(&self) -> (u8, u8) {
        match self {
            Self::I2cSpeed(_) => (PAGE_I2C, I2C_SPEED),
            Self::I2cWrite { .. } => (PAGE_I2C, I2C_WRITE),
            Self::I2cRead { .. } => (PAGE_I2C, I2C_READ),
            Self::I2cWriteRead { .. } => (PAGE_I2C, I2C_WRITE_READ),
            Self::SetPin { pin, .. } | Self::Pin(pin) => (PAGE_GPIO, *pin),
            Self::CoreVoltage => (PAGE_ADC, ADC_CORE),
            Self::InputVoltage => (PAGE_ADC, ADC_INPUT),
            Self::Led(_) => (PAGE_LED, LED_COLOUR),
        }
    }

    fn arguments(&self) -> Vec<u8> {
        match self {
            Self::I2cSpeed(hertz) => hertz.to_le_bytes().to_vec(),
            Self::I2cWrite { address, bytes } => [&[*address], bytes.as_slice()].concat(),
            Self::I2cRead { address, count } => vec![*address, *count],
            Self::I2cWriteRead { address, bytes, count } => {
                [&[*address], bytes.as_slice(), &[*count]].concat()
            }
            Self::SetPin { high, .. } => vec![u8::from(*high)],
            Self::Pin(_) | Self::CoreVoltage | Self::InputVoltage => Vec::new(),
            Self::Led(colour) => colour.to_vec(),
        }
    }

    fn read(page: u8, command: u8, arguments: &[u8]) -> Option<Self> {
        Some(match (page, command, arguments) {
            (PAGE_I2C, I2C_SPEED, hertz) => Self::I2cSpeed(u32::from_le_bytes(hertz.try_into().ok()?)),
            (PAGE_I2C, I2C_WRITE, [address, bytes @ ..]) => {
                Self::I2cWrite { address: *address, bytes: bytes.to_vec() }
            }
            (PAGE_I2C, I2C_READ, [address, count]) => Self::I2cRead { address: *address, count: *count },
            (PAGE_I2C, I2C_WRITE_READ, [address, bytes @ .., count]) => {
                Self::I2cWriteRead { address: *address, bytes: bytes.to_vec(), count: *count }
            }
            (PAGE_GPIO, pin, []) => Self::Pin(pin),
            (PAGE_GPIO, pin, [level @ 0..=1]) => Self::SetPin { pin, high: *level == 1 },
            (PAGE_ADC, ADC_CORE, []) => Self::CoreVoltage,
            (PAGE_ADC, ADC_INPUT, []) => Self::InputVoltage,
            (PAGE_LED, LED_COLOUR, colour) => Self::Led(colour.try_into().ok()?),
            _ => return None,
        })
    }
}

/// A command with the id under which its reply comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Not 0xff, which refusals of nonsense have.
    pub id: u8,
    /// What to do.
    pub command: Command,
}

/// Bytes that are no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoRequest {
    /// The length says something else than the packet has, or too little.
    #[error("its length says {said} bytes, it has {got}")]
    Length {
        /// By its first two bytes.
        said: usize,
        /// Bytes there.
        got: usize,
    },
    /// Page, command and data do not go together.
    #[error("there is no command {command:#04x} on page {page:#04x} with {size} bytes of data")]
    Unknown {
        /// The page.
        page: u8,
        /// The command.
        command: u8,
        /// Bytes of data.
        size: usize,
    },
}

impl Request {
    /// As it goes over the port, in one write: the firmware drops what is not whole after 4 ms.
    pub fn emit(&self) -> Vec<u8> {
        let arguments = self.command.arguments();
        let (page, command) = self.command.page();
        let mut bytes = ((HEAD + arguments.len()) as u16).to_le_bytes().to_vec();
        bytes.extend([self.id, BUS, page, command]);
        bytes.extend(arguments);
        bytes
    }

    /// Reads one whole packet. Errors: see [`NoRequest`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NoRequest> {
        let got = bytes.len();
        let &[low, high, id, _, page, command, ref arguments @ ..] = bytes else {
            return Err(NoRequest::Length { said: HEAD, got });
        };
        let said = usize::from(u16::from_le_bytes([low, high]));
        if said != got {
            return Err(NoRequest::Length { said, got });
        }
        let unknown = NoRequest::Unknown { page, command, size: arguments.len() };
        Ok(Self { id, command: Command::read(page, command, arguments).ok_or(unknown)? })
    }
}

/// Why the firmware did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A part did not answer on the I2C bus.
    #[error("no part answers at that address")]
    Timeout,
    /// It knows no such request.
    #[error("the firmware knows no such request")]
    Invalid,
    /// Too long for it.
    #[error("the request is too long for the firmware")]
    Overflow,
    /// In its own words, made safe to show.
    #[error("the firmware says {0:?}")]
    Text(String),
    /// So many bytes that are no words.
    #[error(
        "{0} bytes of garbage came from the control port; check that it is the board's control port, and its cable"
    )]
    Garbage(usize),
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Of the request; `None` where the firmware found no request in what it got.
    pub id: Option<u8>,
    /// The data, of the size that was expected, or why there is none.
    pub outcome: Result<Vec<u8>, Refusal>,
}

/// The two forms of replies. Refusals are the same in both: `length of the packet | id | code [text]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// bitaxe-raw: `length of the data | id | data`.
    V0,
    /// emberOne's firmware from minor version 1 on: `length of the packet | id | 0 | data`.
    V1,
}

/// Finds replies among the bytes of the port.
///
/// No checksum protects them. So a reply is only taken for one when its id is of a request, and its size the one that
/// this request leads to; all else is passed over byte by byte. A refusal, which has no size to be known by, is only taken for
/// one when all bytes since the last silence made sense. The dialect shows in the first reply.
#[derive(Debug)]
pub struct ReplyDecoder {
    buffer: Vec<u8>,
    last_byte: Option<Instant>,
    /// Sizes by id, also of requests that were given up: their replies may come yet.
    expected: [Option<u8>; 256],
    dialect: Option<Dialect>,
    skipped: u64,
    /// Whether there was noise among the bytes since the last silence.
    is_noisy: bool,
}

/// What the first bytes of the buffer are.
enum Head {
    Whole { size: usize, reply: Reply, dialect: Option<Dialect> },
    Partial,
    Nothing,
}

impl Default for ReplyDecoder {
    fn default() -> Self {
        Self {
            buffer: Vec::new(),
            last_byte: None,
            expected: [None; 256],
            dialect: None,
            skipped: 0,
            is_noisy: false,
        }
    }
}

impl ReplyDecoder {
    /// A request is on its way.
    pub fn expect(&mut self, request: &Request) {
        self.expected[usize::from(request.id)] = u8::try_from(request.command.reply_size()).ok();
    }

    /// Takes in what a read returned.
    pub fn feed(&mut self, bytes: &[u8], now: Instant) {
        if self.is_over(now) {
            self.is_noisy = !self.buffer.is_empty();
        }
        self.buffer.extend(bytes);
        let surplus = self.buffer.len().saturating_sub(MOST_BYTES);
        self.skip(surplus);
        self.last_byte = Some(now);
    }

    /// The next reply, `None` when more bytes are needed.
    pub fn next_reply(&mut self, now: Instant) -> Option<Reply> {
        let is_over = self.is_over(now);
        loop {
            match self.head(is_over) {
                Head::Whole { size, reply, dialect } => {
                    self.buffer.drain(..size);
                    self.dialect = dialect.or(self.dialect);
                    if let Some(id) = reply.id {
                        self.expected[usize::from(id)] = None;
                    }
                    return Some(reply);
                }
                Head::Partial if !is_over => return None,
                Head::Partial | Head::Nothing if self.buffer.is_empty() => return None,
                Head::Partial | Head::Nothing => self.skip(1),
            }
        }
    }

    /// When what is kept is given up.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.last_byte.filter(|_| !self.buffer.is_empty()).map(|at| at + GIVE_UP)
    }

    /// Learns the dialect anew: what was taken for it may have been noise.
    pub fn forget_dialect(&mut self) {
        self.dialect = None;
    }

    /// The form of replies, once one has come.
    pub fn dialect(&self) -> Option<Dialect> {
        self.dialect
    }

    /// Bytes that were no reply.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    fn skip(&mut self, count: usize) {
        self.buffer.drain(..count);
        self.skipped += count as u64;
        self.is_noisy |= count > 0;
    }

    /// Whether no more bytes come that belong to the last ones.
    fn is_over(&self, now: Instant) -> bool {
        self.last_byte.is_some_and(|at| now.saturating_duration_since(at) >= GIVE_UP)
    }

    /// `is_over`: no more bytes come.
    fn head(&self, is_over: bool) -> Head {
        let &[low, high, id, ref rest @ ..] = self.buffer.as_slice() else { return Head::Partial };
        let length = usize::from(u16::from_le_bytes([low, high]));
        // Among noise there is no telling where a packet begins, and four bytes are soon found.
        let error = if self.is_noisy { Head::Nothing } else { error_at(length, id, rest) };
        if id == NO_REQUEST {
            return error;
        }
        let Some(size) = self.expected[usize::from(id)].map(usize::from) else { return Head::Nothing };
        let is_v0 = length == size && self.dialect != Some(Dialect::V1);
        let is_v1 = length == size + 4 && self.dialect != Some(Dialect::V0);
        let ok = |from: usize, dialect| match rest.get(from..from + size) {
            Some(data) => {
                let reply = Reply { id: Some(id), outcome: Ok(data.to_vec()) };
                Head::Whole { size: 3 + from + size, reply, dialect: Some(dialect) }
            }
            None => Head::Partial,
        };
        match (is_v0.then(|| ok(0, Dialect::V0)), error) {
            // Four bytes may be a refusal, or the beginning of four bytes of data.
            (Some(Head::Partial), error @ Head::Whole { .. }) if is_over => error,
            (Some(head), _) => head,
            (None, _) if is_v1 && rest.first().is_none_or(|status| *status == 0) => ok(1, Dialect::V1),
            (None, error) => error,
        }
    }
}

/// A refusal, if it can be one. Shape: `rest` are the bytes after the id.
fn error_at(length: usize, id: u8, rest: &[u8]) -> Head {
    if !(4..=LONGEST_ERROR).contains(&length) {
        return Head::Nothing;
    }
    let Some(&code) = rest.first() else { return Head::Partial };
    let refusal = match (code, length) {
        (0x10, 4) => Refusal::Timeout,
        (0x11, 4) => Refusal::Invalid,
        (0x12, 4) => Refusal::Overflow,
        (CODE_TEXT, _) => match rest.get(1..length - 3) {
            Some(said) => text::shown(said).map_or(Refusal::Garbage(said.len()), Refusal::Text),
            None => return Head::Partial,
        },
        _ => return Head::Nothing,
    };
    let reply = Reply { id: (id != NO_REQUEST).then_some(id), outcome: Err(refusal) };
    Head::Whole { size: length, reply, dialect: None }
}
