//! A board on a bench: who sends, what came back, and a clock.

use std::time::Duration;

use signalcore_hil::virtual_board::{Board, BoardConfig, BoardKind, Event, Pace, Port};

use crate::frames::{bytes, command, crc5};

pub(crate) fn config(name: &str) -> BoardConfig {
    let kind = BoardKind::named(name).unwrap();
    // As many nonces as a test can use, at few bits, so that no test waits.
    BoardConfig { zero_bits: 4, pace: Pace::PerSecond(20.0), ..BoardConfig::new(kind) }
}

pub(crate) struct Bench {
    pub(crate) board: Board,
    pub(crate) now: Duration,
    pub(crate) baud: u32,
    received: [Vec<u8>; 2],
    pub(crate) events: Vec<Event>,
}

impl Bench {
    pub(crate) fn new(config: BoardConfig) -> Self {
        let board = Board::new(config).unwrap();
        let (received, events) = ([Vec::new(), Vec::new()], Vec::new());
        let mut bench = Self { board, now: Duration::ZERO, baud: 115_200, received, events };
        bench.wait(100);
        bench.events.clear();
        bench
    }

    /// Lets so many milliseconds pass.
    pub(crate) fn wait(&mut self, milliseconds: u64) {
        let end = self.now + Duration::from_millis(milliseconds);
        loop {
            self.collect();
            let next = self.board.poll_timeout().map_or(end, |at| at.clamp(self.now, end));
            self.now = next;
            self.board.handle_timeout(next);
            self.collect();
            if next >= end {
                return;
            }
        }
    }

    fn collect(&mut self) {
        while self.board.is_searching() {
            self.board.hash(u64::MAX, self.now);
        }
        while let Some((port, bytes)) = self.board.poll_transmit() {
            self.received[usize::from(port == Port::Data)].extend(bytes);
        }
        self.events.extend(std::iter::from_fn(|| self.board.poll_event()));
    }

    pub(crate) fn send(&mut self, frame: &[u8]) {
        self.board.receive(Port::Data, frame, self.baud, self.now);
        self.wait(15);
    }

    /// Sends commands, one a line, each without its CRC.
    pub(crate) fn commands(&mut self, lines: &str) {
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            self.send(&command(line));
        }
    }

    /// What came from the chips since the last call.
    pub(crate) fn received(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.received[1])
    }

    /// What came from the control port since the last call.
    pub(crate) fn replies(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.received[0])
    }

    /// A request to the control port and its reply.
    pub(crate) fn ask(&mut self, hex: &str) -> Vec<u8> {
        self.board.receive(Port::Control, &bytes(hex), 115_200, self.now);
        self.wait(5);
        self.replies()
    }

    /// A register of the chip with this address, read back over the line.
    pub(crate) fn read(&mut self, address: u8, register: u8) -> Option<u32> {
        self.received();
        let mut frame = vec![0x55, 0xaa, 0x42, 0x05, address, register];
        frame.push(crc5(&frame[2..]));
        self.send(&frame);
        let received = self.received();
        let answer = received.get(2..8).filter(|answer| answer[4..] == [address, register])?;
        Some(u32::from_be_bytes(answer[..4].try_into().unwrap()))
    }

    /// Frames of `size` bytes from the chips, each with its checksum tested: no byte may be left over.
    pub(crate) fn frames(&mut self, size: usize) -> Vec<Vec<u8>> {
        let received = self.received();
        assert_eq!(received.len() % size, 0, "{received:02x?}");
        for frame in received.chunks(size) {
            assert_eq!(frame[..2], [0xaa, 0x55], "{received:02x?}");
            // Over a whole good frame the checksum comes out as zero: the last five bits are its own.
            let bits = frame[2..].iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1));
            let residue = bits.fold(0x1f_u8, |c, d| {
                let t = c >> 4 ^ d;
                (c << 1 & 0x1f) ^ (t * 5)
            });
            assert_eq!(residue, 0, "{frame:02x?}");
        }
        received.chunks(size).map(<[u8]>::to_vec).collect()
    }

    pub(crate) fn nonces(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::Nonce { .. })).count()
    }
}
