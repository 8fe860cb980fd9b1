//! What a virtual board tells of itself, as JSON and as a line for a person.

use std::fmt;

use serde::Serialize;

/// One of a board's ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Port {
    /// Reset, regulator, fan and sensors.
    Control,
    /// The chips.
    Data,
}

impl Port {
    /// As in the name of its link.
    pub fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Data => "data",
        }
    }
}

/// Something that happened on a board.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Bytes that were no command.
    Ignored {
        /// Where they came in.
        port: Port,
        /// What is wrong with them.
        reason: String,
    },
    /// Bytes at a speed that no chip listens at.
    Garbled {
        /// How many.
        bytes: usize,
        /// The host's speed.
        host_baud: u32,
        /// That of the first chip.
        board_baud: u32,
    },
    /// Bytes to chips without power or in reset.
    Dead {
        /// How many.
        bytes: usize,
    },
    /// A chip took an address.
    Address {
        /// From 0, nearest the host first.
        chip: usize,
        /// Its new address.
        address: u8,
    },
    /// A job arrived.
    Job {
        /// 0 to 31.
        number: u8,
        /// Chips that hash it.
        hashing: usize,
        /// What the first of the others is missing.
        missing: Vec<&'static str>,
    },
    /// A nonce was reported.
    Nonce {
        /// From 0, nearest the host first.
        chip: usize,
        /// The job's number.
        number: u8,
        /// Header bytes 76 to 79.
        nonce: String,
        /// Version bits 28 to 13.
        version: u16,
        /// Zero bits at the top of its hash.
        zero_bits: u32,
        /// Zero bits that it was asked for: it stands for 2 to the power of these hashes.
        asked_bits: u32,
    },
    /// Nonces that the budget of hashes was too small for.
    LostNonces {
        /// How many.
        nonces: u64,
    },
    /// The chips have a new speed.
    Baud {
        /// That of the first chip.
        baud: u32,
    },
    /// The reset line was moved.
    Reset {
        /// Whether the chips may run.
        released: bool,
    },
    /// Core power came or went.
    Power {
        /// At the chips.
        millivolts: u32,
        /// Whether that is enough.
        on: bool,
    },
    /// The chips turned themselves off.
    Overheated {
        /// Their temperature.
        celsius: i32,
    },
    /// How hot it is, now and then, on a board with a control port.
    Heat {
        /// Of the chips.
        celsius: i32,
        /// How fast the fan turns, of its fastest.
        fan_percent: u32,
        /// What the board takes.
        watts: u32,
    },
    /// A frequency was set by a command of the Antminer sticks.
    Frequency {
        /// In MHz, rounded.
        megahertz: u32,
    },
    /// The host has closed a port.
    Closed {
        /// Which.
        port: Port,
    },
    /// Bytes to the host that found no room, since it does not read.
    Overrun {
        /// Where they should have gone.
        port: Port,
        /// How many.
        bytes: usize,
    },
    /// The board left the bus: its ports are gone.
    Unplugged,
    /// The board is back, as after power-on.
    Plugged,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ignored { port: Port::Control, reason } => write!(f, "control request refused: {reason}"),
            Self::Ignored { port: Port::Data, reason } => write!(f, "bytes to the chips ignored: {reason}"),
            Self::Garbled { bytes, host_baud, board_baud } => {
                write!(f, "{bytes} bytes at {host_baud} baud: the chips listen at {board_baud}")
            }
            Self::Dead { bytes } => write!(f, "{bytes} bytes to chips without power or in reset"),
            Self::Address { chip, address } => write!(f, "chip {chip} has address {address:#04x}"),
            Self::Job { number, hashing, missing } if missing.is_empty() => {
                write!(f, "job {number} on {hashing} chips")
            }
            Self::Job { number, hashing, missing } => {
                write!(f, "job {number} on {hashing} chips; on others {}", missing.join(", "))
            }
            Self::Nonce { chip, number, nonce, version, zero_bits, .. } => {
                write!(f, "chip {chip}: nonce {nonce} version {version:04x} for job {number}, ")?;
                write!(f, "{zero_bits} zero bits")
            }
            Self::LostNonces { nonces } => write!(f, "{nonces} nonces lost: more hashes a second are needed"),
            Self::Baud { baud } => write!(f, "chips at {baud} baud"),
            Self::Reset { released: true } => write!(f, "reset released"),
            Self::Reset { released: false } => write!(f, "reset held"),
            Self::Power { millivolts, on: true } => write!(f, "core power on, {millivolts} mV"),
            Self::Power { millivolts, on: false } => write!(f, "core power off, {millivolts} mV"),
            Self::Overheated { celsius } => write!(f, "chips overheated at {celsius} C and turned off"),
            Self::Heat { celsius, fan_percent, watts } => {
                write!(f, "chips at {celsius} C, fan at {fan_percent} %, {watts} W")
            }
            Self::Frequency { megahertz } => write!(f, "frequency {megahertz} MHz"),
            Self::Closed { port } => write!(f, "{} port closed", port.name()),
            Self::Overrun { port, bytes } => {
                write!(f, "{bytes} bytes lost: nobody reads the {} port", port.name())
            }
            Self::Unplugged => write!(f, "unplugged"),
            Self::Plugged => write!(f, "plugged in"),
        }
    }
}
