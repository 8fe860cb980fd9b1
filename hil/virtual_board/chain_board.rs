//! A board with a chain of chips: power, reset, heat and sensors around it.

use std::{collections::VecDeque, time::Duration};

use super::{
    boards::ChainModel,
    chain::Chain,
    chip::Habits,
    control::{Control, Firmware, Reply},
    event::Event,
    faults::Faults,
    i2c::Readings,
    thermal::{Thermal, fan_rpm},
};

/// Chips stop below this part of their nominal voltage. This model's choice.
const LEAST_VOLTAGE: f64 = 0.8;
/// Of fans, converters and the controller.
const BOARD_WATTS: f64 = 2.0;
/// What chips with power take without hashing, as a part of their nominal power.
const IDLE_POWER: f64 = 0.1;
/// Chips turn themselves off here, until their power was off. This model's choice.
const CHIPS_HOTTEST: f64 = 125.0;
/// How often heat is looked at when nothing else happens.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often heat is told of.
const TELL_HEAT_EVERY: Duration = Duration::from_secs(5);

/// One board.
#[derive(Debug)]
pub(super) struct ChainBoard {
    model: &'static ChainModel,
    nominal_chip_watts: f64,
    pub(super) chain: Chain,
    pub(super) control: Option<Control>,
    thermal: Thermal,
    volts: f64,
    fan: f64,
    watts: f64,
    on: bool,
    overheated: bool,
    misread: Misread,
    looked_at: Duration,
    heat_told: Duration,
    events: VecDeque<Event>,
}

/// What sensors read instead of what is.
#[derive(Debug, Default)]
struct Misread {
    chip_celsius: Option<f64>,
    regulator_celsius: Option<f64>,
}

impl ChainBoard {
    /// As after power-on.
    pub(super) fn new(model: &'static ChainModel, chips: usize, habits: Habits, now: Duration) -> Self {
        let terahashes = chips as f64 * model.megahertz * model.chip.hashes_per_clock / 1e6;
        let nominal_chip_watts = terahashes * model.joules_per_terahash;
        let control = model.control.as_ref().map(|control| {
            let pins = if control.firmware == Firmware::V1 { 3 } else { 1 };
            Control::new(control.firmware, pins, control.bus())
        });
        let mut thermal = Thermal::new(nominal_chip_watts + BOARD_WATTS);
        thermal.advance(0.0, 0.0, 0.0, now);
        Self {
            model,
            nominal_chip_watts,
            chain: Chain::new(model.chip, chips, habits),
            control,
            thermal,
            volts: 0.0,
            fan: 0.0,
            watts: 0.0,
            on: false,
            overheated: false,
            misread: Misread::default(),
            looked_at: now,
            heat_told: now,
            events: VecDeque::new(),
        }
    }

    /// A request to the control port.
    pub(super) fn request(&mut self, bytes: &[u8], now: Duration) -> Vec<Reply> {
        let readings = self.readings();
        self.control.as_mut().map(|control| control.receive(bytes, &readings, now)).unwrap_or_default()
    }

    /// The control port replies in the newer form from now on.
    pub(super) fn update_firmware(&mut self) {
        if let Some(control) = &mut self.control {
            control.firmware = Firmware::V1;
        }
    }

    fn readings(&self) -> Readings {
        let core_watts = (self.watts - BOARD_WATTS).max(0.0);
        // Halfway between the chips and their surroundings.
        let board_celsius = f64::midpoint(self.thermal.celsius, 25.0);
        Readings {
            chip_celsius: self.misread.chip_celsius.unwrap_or(self.thermal.celsius),
            board_celsius,
            regulator_celsius: self.misread.regulator_celsius.unwrap_or(board_celsius),
            fan_rpm: fan_rpm(self.fan),
            input_volts: self.model.input_volts,
            watts: self.watts,
            core_volts: self.volts,
            core_amperes: if self.volts > 0.0 { core_watts / self.volts } else { 0.0 },
        }
    }

    /// Lets everything follow from everything else: heat, voltage, power, reset.
    pub(super) fn settle(&mut self, faults: &Faults, now: Duration) {
        self.looked_at = now;
        self.thermal.advance(self.watts, self.fan, faults.hot(now), now);
        let drive = self.control.as_ref().and_then(|control| control.bus.fan()).unwrap_or(1.0);
        self.fan = if faults.is_fan_stuck(now) { 0.0 } else { drive };
        self.chain.celsius = self.thermal.celsius;
        self.chain.faults = faults.of_chain(now);
        self.misread =
            Misread { chip_celsius: faults.stuck_sensor(now), regulator_celsius: faults.hot_regulator(now) };
        let readings = self.readings();
        if let Some(control) = &mut self.control {
            if let (true, Some(model)) = (faults.is_brownout(now), &self.model.control) {
                control.bus = model.bus();
            }
            if faults.is_regulator_tripped(now) {
                control.bus.trip();
            }
            control.bus.watch(&readings);
        }
        self.switch(now);
        self.watts = BOARD_WATTS + self.chip_watts();
        self.tell_heat(now);
    }

    fn tell_heat(&mut self, now: Duration) {
        if self.control.is_none() || now < self.heat_told + TELL_HEAT_EVERY {
            return;
        }
        self.heat_told = now;
        let (celsius, watts) = (self.thermal.celsius.round() as i32, self.watts.round() as u32);
        self.events.push_back(Event::Heat { celsius, fan_percent: (100.0 * self.fan).round() as u32, watts });
    }

    fn switch(&mut self, now: Duration) {
        let (volts, released) = self.supply();
        let enough = volts >= LEAST_VOLTAGE * self.model.core_volts;
        let too_hot = self.thermal.celsius >= CHIPS_HOTTEST;
        if enough && too_hot && !self.overheated {
            self.events.push_back(Event::Overheated { celsius: self.thermal.celsius.round() as i32 });
        }
        self.overheated = enough && (self.overheated || too_hot);
        let on = enough && !self.overheated;
        if on != self.on {
            self.events.push_back(Event::Power { millivolts: (volts * 1000.0).round() as u32, on });
        }
        (self.volts, self.on) = (volts, on);
        self.chain.set_power(on, now);
        self.chain.set_reset(released, now);
    }

    /// Core volts, and whether reset is released.
    fn supply(&self) -> (f64, bool) {
        let Some(control) = &self.control else { return (self.model.core_volts, true) };
        let [released, power, io] = control.pins.levels;
        let switched = if power && io { self.model.core_volts } else { 0.0 };
        (control.bus.core_volts().unwrap_or(switched), released)
    }

    fn chip_watts(&self) -> f64 {
        if !self.on {
            return 0.0;
        }
        let hashing = self.chain.hash_rate() / 1e12 * self.model.joules_per_terahash;
        let voltage = self.volts / self.model.core_volts;
        (hashing + IDLE_POWER * self.nominal_chip_watts) * voltage * voltage
    }

    /// The host closed the data port. A stick is reset through pins of its USB bridge when it is opened, which a
    /// pseudo-terminal does not have: so this one is reset when it is closed.
    pub(super) fn handle_close(&mut self, now: Duration) {
        if self.control.is_none() {
            self.chain.set_reset(false, now);
            self.chain.set_reset(true, now);
        }
    }

    pub(super) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front().or_else(|| self.chain.poll_event())
    }

    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        self.chain.poll_timeout().into_iter().chain([self.looked_at + LOOK_EVERY]).min()
    }
}
