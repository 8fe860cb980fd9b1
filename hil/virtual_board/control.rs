//! The control port of Bitaxe boards under bitaxe-raw, and of emberOne: packets in, replies out.
//!
//! A request is `length 2 LE | id | bus | page | command | data`, its length that of the whole packet. Replies come in two
//! forms, see `Firmware`. Source: korbin/bitaxe-raw `src/control`, 256foundation/emberone-usbserial-fw, and mujina
//! `mgmt_protocol/bitaxe_raw`.

use std::time::Duration;

use super::i2c::{Bus, Readings};

/// Silence after which the firmware drops a request that is not whole.
const GIVE_UP: Duration = Duration::from_millis(4);
/// Shortest and longest request. The latter is this model's choice, far above any that drivers send.
const SHORTEST: usize = 6;
const LONGEST: usize = 256;
const TIMEOUT: u8 = 0x10;
const INVALID: u8 = 0x11;
const OVERFLOW: u8 = 0x12;
const UNKNOWN_ID: u8 = 0xff;

/// Which replies a firmware gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Firmware {
    /// bitaxe-raw: `length of the data 2 LE | id | data`; an error is `4 2 LE | id | code`.
    V0,
    /// emberOne from minor version 1 on: `length of the packet 2 LE | id | status | data`.
    V1,
}

/// The pins that a board's GPIO page moves. Pin 0 is the reset of the chips on all boards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pins {
    pub(super) levels: [bool; 3],
    /// How many of them there are: 1 on a Bitaxe; on emberOne also core power and the supply of the I/O pins.
    pub(super) count: u8,
}

/// The firmware behind the control port.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) firmware: Firmware,
    buffer: Vec<u8>,
    last_byte: Duration,
    pub(super) pins: Pins,
    pub(super) bus: Bus,
}

/// What came of bytes at the port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) bytes: Vec<u8>,
    /// Why the request was refused, for a person.
    pub(super) refused: Option<String>,
}

/// A reply's data, or its error code with a text.
type Outcome = Result<Vec<u8>, (u8, &'static str)>;

impl Control {
    /// All pins low, so the chips are held in reset.
    pub(super) fn new(firmware: Firmware, pins: u8, bus: Bus) -> Self {
        let pins = Pins { levels: [false; 3], count: pins };
        Self { firmware, buffer: Vec::new(), last_byte: Duration::ZERO, pins, bus }
    }

    /// Bytes from the host. Shape: the replies to all requests that are whole now.
    pub(super) fn receive(&mut self, bytes: &[u8], readings: &Readings, now: Duration) -> Vec<Reply> {
        if now.saturating_sub(self.last_byte) > GIVE_UP {
            self.buffer.clear();
        }
        self.last_byte = now;
        self.buffer.extend(bytes);
        let mut replies = Vec::new();
        while let Some(request) = self.next_request() {
            replies.push(match request {
                Ok(request) => self.handle(&request, readings),
                Err(error) => self.reply(UNKNOWN_ID, Err(error)),
            });
        }
        replies
    }

    fn next_request(&mut self) -> Option<Result<Vec<u8>, (u8, &'static str)>> {
        let [low, high, ..] = self.buffer[..] else { return None };
        let length = usize::from(u16::from_le_bytes([low, high]));
        if !(SHORTEST..=LONGEST).contains(&length) {
            // Where the next request begins is not known.
            self.buffer.clear();
            return Some(Err(if length < SHORTEST {
                (INVALID, "a length below 6")
            } else {
                (OVERFLOW, "a length above 256")
            }));
        }
        (self.buffer.len() >= length).then(|| Ok(self.buffer.drain(..length).collect()))
    }

    fn handle(&mut self, request: &[u8], readings: &Readings) -> Reply {
        let (id, page, command, data) = (request[2], request[4], request[5], &request[6..]);
        let outcome = match page {
            _ if request[3] != 0 => Err((INVALID, "a bus other than 0")),
            0x05 => self.i2c(command, data, readings),
            0x06 => self.gpio(command, data),
            0x07 => self.adc(command, readings),
            0x08 => self.led(command, data),
            _ => Err((INVALID, "an unknown page")),
        };
        self.reply(id, outcome)
    }

    fn i2c(&mut self, command: u8, data: &[u8], readings: &Readings) -> Outcome {
        let nobody = |_| (TIMEOUT, "no part at that I2C address");
        match (command, data) {
            (0x10, [_, _, _, _]) => Ok(data.to_vec()),
            (0x20, [address, bytes @ ..]) => {
                self.bus.write(*address, bytes).map_err(nobody)?;
                Ok(vec![bytes.len() as u8])
            }
            (0x30, [address, count]) => {
                self.bus.read(*address, usize::from(*count), readings).map_err(nobody)
            }
            (0x40, [address, bytes @ .., count]) => {
                self.bus.write(*address, bytes).map_err(nobody)?;
                self.bus.read(*address, usize::from(*count), readings).map_err(nobody)
            }
            _ => Err((INVALID, "an unknown I2C command, or one with the wrong data")),
        }
    }

    fn gpio(&mut self, pin: u8, data: &[u8]) -> Outcome {
        if pin >= self.pins.count {
            return Err((INVALID, "an unknown pin"));
        }
        let level = &mut self.pins.levels[usize::from(pin)];
        match data {
            [] => {}
            [value @ 0..=1] => *level = *value == 1,
            _ => return Err((INVALID, "a level other than 0 and 1")),
        }
        Ok(vec![u8::from(*level)])
    }

    /// Millivolts: 0x50 at the core, 0x51 at the input, the latter on emberOne alone.
    fn adc(&self, command: u8, readings: &Readings) -> Outcome {
        let volts = match (command, self.firmware) {
            (0x50, _) => readings.core_volts,
            (0x51, Firmware::V1) => readings.input_volts,
            _ => return Err((INVALID, "an unknown ADC channel")),
        };
        Ok(((volts * 1000.0).round() as u16).to_le_bytes().to_vec())
    }

    /// The ESP32 build has no such page.
    fn led(&self, command: u8, data: &[u8]) -> Outcome {
        match (self.firmware, command, data) {
            (Firmware::V1, 0x10, [_, _, _]) => Ok(data.to_vec()),
            _ => Err((INVALID, "no LED that takes this")),
        }
    }

    fn reply(&self, id: u8, outcome: Outcome) -> Reply {
        let refused = outcome.as_ref().err().map(|(code, text)| format!("{text} (code {code:#04x})"));
        let (length, mut rest) = match (self.firmware, outcome) {
            (Firmware::V0, Ok(data)) => (data.len(), [vec![id], data].concat()),
            (Firmware::V1, Ok(data)) => (data.len() + 4, [vec![id, 0], data].concat()),
            (_, Err((code, _))) => (4, vec![id, code]),
        };
        let mut bytes = (length as u16).to_le_bytes().to_vec();
        bytes.append(&mut rest);
        Reply { bytes, refused }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::virtual_board::{i2c::Part, regulators::Ds4432u, sensors::Tmp1075};

    const READINGS: Readings = Readings {
        chip_celsius: 60.0,
        board_celsius: 40.0,
        regulator_celsius: 40.0,
        fan_rpm: 0.0,
        input_volts: 12.0,
        watts: 16.0,
        core_volts: 1.15,
        core_amperes: 12.0,
    };

    fn control(firmware: Firmware) -> Control {
        let parts: Vec<(u8, Box<dyn Part>)> =
            vec![(0x48, Box::new(Ds4432u::default())), (0x4a, Box::new(Tmp1075::default()))];
        Control::new(firmware, if firmware == Firmware::V1 { 3 } else { 1 }, Bus::new(parts))
    }

    fn asked(control: &mut Control, request: &[u8], now: u64) -> Vec<Vec<u8>> {
        let replies = control.receive(request, &READINGS, Duration::from_millis(now));
        replies.into_iter().map(|reply| reply.bytes).collect()
    }

    #[test]
    fn replies_of_both_firmwares_have_their_own_lengths() {
        let read = [9, 0, 7, 0, 5, 0x40, 0x4a, 0x00, 2];
        assert_eq!(asked(&mut control(Firmware::V0), &read, 0), [[2, 0, 7, 0x28, 0x00]]);
        assert_eq!(asked(&mut control(Firmware::V1), &read, 0), [[6, 0, 7, 0, 0x28, 0x00]]);
        let absent = [8, 0, 7, 0, 5, 0x30, 0x11, 2];
        assert_eq!(asked(&mut control(Firmware::V0), &absent, 0), [[4, 0, 7, 0x10]]);
        assert_eq!(asked(&mut control(Firmware::V1), &absent, 0), [[4, 0, 7, 0x10]]);
    }

    #[test]
    fn the_reset_pin_follows_and_other_pins_are_there_on_emberone_alone() {
        let mut bitaxe = control(Firmware::V0);
        assert_eq!(asked(&mut bitaxe, &[7, 0, 1, 0, 6, 0, 1], 0), [[1, 0, 1, 1]]);
        assert_eq!(asked(&mut bitaxe, &[6, 0, 2, 0, 6, 0], 1), [[1, 0, 2, 1]]);
        assert_eq!(asked(&mut bitaxe, &[7, 0, 3, 0, 6, 1, 1], 2), [[4, 0, 3, 0x11]]);
        assert!(bitaxe.pins.levels[0]);
        assert_eq!(asked(&mut control(Firmware::V1), &[7, 0, 1, 0, 6, 2, 1], 0), [[5, 0, 1, 0, 1]]);
    }

    #[test]
    fn a_request_in_two_parts_is_dropped_after_four_milliseconds_of_silence() {
        let mut control = control(Firmware::V0);
        assert!(asked(&mut control, &[6, 0, 1, 0], 0).is_empty());
        assert_eq!(asked(&mut control, &[7, 0x50], 3), [[2, 0, 1, 0x7e, 0x04]]);
        assert!(asked(&mut control, &[6, 0, 2, 0], 10).is_empty());
        assert!(asked(&mut control, &[7], 15).is_empty(), "one byte alone is no request");
    }

    #[test]
    fn nonsense_is_answered_with_an_error_and_ends_nothing() {
        let mut control = control(Firmware::V0);
        assert_eq!(asked(&mut control, &[0, 0, 1, 2], 0), [[4, 0, 0xff, 0x11]]);
        assert_eq!(asked(&mut control, &[0xff, 0xff, 1, 2], 1), [[4, 0, 0xff, 0x12]]);
        for page in 0..=255 {
            for command in 0..=255 {
                asked(&mut control, &[8, 0, 1, 0, page, command, 0x48, 0xff], 2);
            }
        }
        assert_eq!(asked(&mut control, &[6, 0, 9, 0, 6, 0], 3), [[1, 0, 9, 0]]);
    }
}
