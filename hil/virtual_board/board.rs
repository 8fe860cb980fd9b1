//! A virtual board as a whole: its ports, its faults, and whether it is plugged in.

use std::{collections::VecDeque, time::Duration};

use super::{
    BoardConfig, BoardConfigError,
    boards::Model,
    chain_board::ChainBoard,
    control::Reply,
    event::{Event, Port},
    faults::Faults,
    gekko::Gekko,
    icarus::Icarus,
    scan::Stick,
};

/// A board: bytes and times in, bytes and times out. Times count from its start and never go back.
#[derive(Debug)]
pub struct Board {
    config: BoardConfig,
    device: Device,
    faults: Faults,
    /// Bytes on their way, by their time.
    outgoing: Vec<(Duration, Port, Vec<u8>)>,
    events: VecDeque<Event>,
    plugged: bool,
    now: Duration,
}

#[derive(Debug)]
enum Device {
    Chain(Box<ChainBoard>),
    Stick(Box<dyn Stick>),
}

impl Device {
    fn new(config: &BoardConfig, now: Duration) -> Self {
        match &config.kind.model {
            Model::Chain(model) => {
                Self::Chain(Box::new(ChainBoard::new(model, config.chips, config.habits(), now)))
            }
            Model::Icarus(kind) => Self::Stick(Box::new(Icarus::new(kind, config.habits()))),
            Model::Gekko(kind) => Self::Stick(Box::new(Gekko::new(kind, config.chips, config.habits()))),
        }
    }
}

impl Board {
    /// A board as after power-on, at time 0.
    ///
    /// Errors: `BoardConfigError` for the first setting that is out of its range.
    pub fn new(config: BoardConfig) -> Result<Self, BoardConfigError> {
        config.check()?;
        let mut board = Self {
            device: Device::new(&config, Duration::ZERO),
            faults: Faults::new(config.faults.clone(), config.seed),
            outgoing: Vec::new(),
            events: VecDeque::new(),
            plugged: true,
            now: Duration::ZERO,
            config,
        };
        board.handle_timeout(Duration::ZERO);
        Ok(board)
    }

    /// The ports of this board while it is plugged in.
    pub fn ports(&self) -> &'static [Port] {
        if self.config.kind.has_control() { &[Port::Control, Port::Data] } else { &[Port::Data] }
    }

    /// Whether it is on the bus.
    pub fn is_plugged(&self) -> bool {
        self.plugged
    }

    /// Bytes from the host, whose port is set to `host_baud`. To an unplugged board they are lost.
    pub fn receive(&mut self, port: Port, bytes: &[u8], host_baud: u32, now: Duration) {
        self.handle_timeout(now);
        if !self.plugged {
            return;
        }
        match port {
            Port::Control => self.request(bytes, now),
            Port::Data => {
                let bytes = self.faults.damage(bytes, now);
                match &mut self.device {
                    Device::Chain(board) => board.chain.receive(&bytes, host_baud, now),
                    Device::Stick(stick) => stick.receive(&bytes, host_baud, now),
                }
            }
        }
        self.collect(now);
    }

    fn request(&mut self, bytes: &[u8], now: Duration) {
        let Device::Chain(board) = &mut self.device else { return };
        let Some(delay) = self.faults.control_delay(now) else { return };
        if self.faults.is_control_newer(now) {
            board.update_firmware();
        }
        for Reply { bytes, refused } in board.request(bytes, now) {
            self.outgoing.push((now + delay, Port::Control, bytes));
            let refused = refused.map(|reason| Event::Ignored { port: Port::Control, reason });
            self.events.extend(refused);
        }
    }

    /// The host has closed this port.
    pub fn handle_close(&mut self, port: Port, now: Duration) {
        if let (Port::Data, Device::Chain(board)) = (port, &mut self.device) {
            board.handle_close(now);
        }
        self.handle_timeout(now);
    }

    /// Moves everything on to `now`.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.now = now;
        self.plug(now);
        match &mut self.device {
            Device::Chain(board) => {
                board.settle(&self.faults, now);
                board.chain.handle_timeout(now);
            }
            Device::Stick(stick) => stick.handle_timeout(now),
        }
        self.collect(now);
    }

    fn plug(&mut self, now: Duration) {
        let plugged = !self.faults.is_unplugged(now);
        if plugged == self.plugged {
            return;
        }
        self.plugged = plugged;
        self.device = Device::new(&self.config, now);
        self.outgoing.clear();
        self.events.push_back(if plugged { Event::Plugged } else { Event::Unplugged });
    }

    /// Searches for nonces that are due, for `budget` hashes at most. Shape: how many were done.
    pub fn hash(&mut self, budget: u64, now: Duration) -> u64 {
        let mut left = budget;
        match &mut self.device {
            Device::Chain(board) => board.chain.hash(&mut left, now),
            Device::Stick(stick) => stick.hash(&mut left, now),
        }
        self.collect(now);
        budget - left
    }

    /// Whether `hash` has something to do.
    pub fn is_searching(&self) -> bool {
        match &self.device {
            Device::Chain(board) => board.chain.is_searching(),
            Device::Stick(stick) => stick.station().is_searching(),
        }
    }

    /// Takes what the device has to say and to tell.
    fn collect(&mut self, now: Duration) {
        if let Device::Chain(board) = &mut self.device {
            board.settle(&self.faults, now);
        }
        let delay = self.faults.data_delay(now);
        let device = &mut self.device;
        let said = || match device {
            Device::Chain(board) => board.chain.poll_transmit(now),
            Device::Stick(stick) => stick.station_mut().line.arrived(now),
        };
        for bytes in std::iter::from_fn(said) {
            let bytes = self.faults.damage(&bytes, now);
            self.outgoing.push((now + delay, Port::Data, bytes));
        }
        let device = &mut self.device;
        self.events.extend(std::iter::from_fn(|| match device {
            Device::Chain(board) => board.poll_event(),
            Device::Stick(stick) => stick.station_mut().events.pop_front(),
        }));
    }

    /// Bytes that reach the host at the time of the last call. Shape: the port and at least one byte.
    pub fn poll_transmit(&mut self) -> Option<(Port, Vec<u8>)> {
        if !self.plugged {
            return None;
        }
        let at = self.outgoing.iter().position(|(due, ..)| *due <= self.now)?;
        let (_, port, bytes) = self.outgoing.remove(at);
        if bytes.is_empty() { self.poll_transmit() } else { Some((port, bytes)) }
    }

    /// What happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call `handle_timeout`.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let device = match &self.device {
            Device::Chain(board) => board.poll_timeout(),
            Device::Stick(stick) => stick.poll_timeout(),
        };
        let outgoing = self.outgoing.iter().map(|(due, ..)| *due);
        outgoing.chain(device).chain(self.faults.next_change(self.now)).min()
    }
}
