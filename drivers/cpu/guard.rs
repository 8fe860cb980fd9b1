//! Whether hashing pauses for heat or for the battery: a state machine, and the thread that asks the sensors for it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{
    news,
    outbox::{Delivery, Outbox},
    sensors::{Reading, Sensors},
};
use crate::{BoardEvent, ChipJob};

/// What the operator wants to be spared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GuardOptions {
    /// Hashing pauses while the processor is hotter than this, in °C, and goes on once it is 5 °C cooler.
    pub max_temperature: Option<u32>,
    /// Hashing pauses while the machine runs on a battery.
    pub pause_on_battery: bool,
}

impl GuardOptions {
    pub(super) fn is_wanted(self) -> bool {
        self != Self::default()
    }
}

/// How much cooler than the limit it must be to go on, in °C: without it hashing would start and stop every few seconds.
const HYSTERESIS: f64 = 5.0;
/// Looks without any reading before it is told: a single one may fail.
const BLIND_LOOKS: u32 = 3;

/// What is known of heat and battery.
#[derive(Debug)]
pub(super) struct Guard {
    options: GuardOptions,
    is_hot: bool,
    is_on_battery: bool,
    /// Looks without a temperature so far.
    blind: u32,
}

impl Guard {
    pub(super) fn new(options: GuardOptions) -> Self {
        Self { options, is_hot: false, is_on_battery: false, blind: 0 }
    }

    /// Whether hashing pauses.
    pub(super) fn holds(&self) -> bool {
        self.is_hot || self.is_on_battery
    }

    /// Learns from a reading; says what the operator has to know. A temperature that cannot be read any more changes
    /// nothing: a processor that was too hot stays so until it is seen to be cooler.
    pub(super) fn look(&mut self, reading: Reading) -> Option<String> {
        let before = (self.is_hot, self.is_on_battery);
        self.is_on_battery = self.options.pause_on_battery && reading.is_on_battery;
        if reading.hottest.is_some() {
            self.blind = 0;
        }
        if let Some(limit) = self.options.max_temperature.map(f64::from) {
            match reading.hottest {
                Some(degrees) if self.is_hot => self.is_hot = degrees > limit - HYSTERESIS,
                Some(degrees) => self.is_hot = degrees > limit,
                None if self.blind < BLIND_LOOKS => {
                    self.blind += 1;
                    // A pause that begins in the same look is the more urgent word.
                    if self.blind == BLIND_LOOKS && before.1 == self.is_on_battery {
                        return Some(format!(
                            "the limit of {limit} °C cannot be kept: the system tells no temperature"
                        ));
                    }
                }
                None => {}
            }
        }
        (before != (self.is_hot, self.is_on_battery)).then(|| self.text(reading.hottest))
    }

    fn text(&self, degrees: Option<f64>) -> String {
        let at = degrees.map_or(String::new(), |degrees| format!(" at {degrees:.0} °C"));
        let limit = self.options.max_temperature.map_or(0.0, f64::from);
        let heat = format!("the processor is too hot{at}, the limit is {limit} °C");
        let until = format!("until it has {} °C", limit - HYSTERESIS);
        match (self.is_hot, self.is_on_battery) {
            (true, true) => format!("hashing pauses: {heat}, and the machine runs on its battery"),
            (true, false) => format!("hashing pauses {until}: {heat}"),
            (false, true) => "hashing pauses: the machine runs on its battery".to_owned(),
            (false, false) => format!("hashing goes on{at}"),
        }
    }
}

/// Time between two looks at the sensors. A processor heats up within seconds and its own protection is far above any
/// limit set here.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The guard's thread.
pub(super) struct Watch {
    pub(super) guard: Guard,
    pub(super) sensors: Sensors,
    pub(super) every: Duration,
    /// Read by the hashing threads.
    pub(super) hold: Arc<AtomicBool>,
    /// Tells the end of the board.
    pub(super) job: watch::Receiver<Option<ChipJob>>,
    pub(super) outbox: Outbox,
}

impl Watch {
    /// Looks once.
    pub(super) fn look(&mut self) {
        if let Some(text) = self.guard.look(self.sensors.read()) {
            self.outbox.push(BoardEvent::Fault(text));
        }
        self.hold.store(self.guard.holds(), Ordering::Relaxed);
    }

    /// Looks until the board ends.
    pub(super) fn run(mut self) {
        loop {
            if self.outbox.deliver() == Delivery::Closed {
                return;
            }
            let next_at = Instant::now() + self.every;
            while let Some(left) = next_at.checked_duration_since(Instant::now()) {
                if self.job.has_changed().is_err() {
                    return self.outbox.close();
                }
                news::sleep_until_next(&self.job, left);
            }
            self.look();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(max_temperature: Option<u32>, pause_on_battery: bool) -> Guard {
        Guard::new(GuardOptions { max_temperature, pause_on_battery })
    }

    fn reading(hottest: impl Into<Option<f64>>, is_on_battery: bool) -> Reading {
        Reading { hottest: hottest.into(), is_on_battery }
    }

    #[test]
    fn hashing_pauses_above_the_limit_and_goes_on_five_degrees_below_and_each_is_told_once() {
        let mut guard = guard(Some(80), false);
        assert_eq!((guard.look(reading(80.0, true)), guard.holds()), (None, false));
        let told = guard.look(reading(80.6, false)).unwrap();
        assert_eq!(
            told,
            "hashing pauses until it has 75 °C: the processor is too hot at 81 °C, the limit is 80 °C"
        );
        for degrees in [90.0, 80.0, 75.1] {
            assert_eq!((guard.look(reading(degrees, false)), guard.holds()), (None, true), "{degrees}");
        }
        assert_eq!(guard.look(reading(75.0, false)).unwrap(), "hashing goes on at 75 °C");
        assert_eq!((guard.look(reading(79.9, false)), guard.holds()), (None, false));
    }

    #[test]
    fn without_a_limit_no_heat_pauses_and_without_the_wish_no_battery_does() {
        let mut guard = guard(None, false);
        assert_eq!((guard.look(reading(149.0, true)), guard.holds()), (None, false));
        assert!(!GuardOptions::default().is_wanted());
    }

    #[test]
    fn a_limit_that_cannot_be_kept_is_told_once_and_a_single_failed_look_is_not() {
        let mut guard = guard(Some(80), false);
        let told: Vec<_> = (0..20).filter_map(|_| guard.look(reading(None, false))).collect();
        assert_eq!(told, ["the limit of 80 °C cannot be kept: the system tells no temperature"]);
        assert!(!guard.holds());
    }

    #[test]
    fn a_processor_that_was_too_hot_stays_so_until_it_is_seen_to_be_cooler() {
        let mut guard = guard(Some(80), false);
        guard.look(reading(90.0, false));
        for _ in 0..5 {
            guard.look(reading(None, false));
            assert!(guard.holds());
        }
    }

    #[test]
    fn hashing_pauses_on_battery_and_for_both_reasons_until_the_last_is_gone() {
        let mut guard = guard(Some(80), true);
        let told = [(70.0, true), (90.0, true), (90.0, false), (60.0, false), (60.0, false)]
            .map(|(degrees, battery)| (guard.look(reading(degrees, battery)), guard.holds()));
        let texts: Vec<_> =
            told.iter().map(|(text, holds)| (text.as_deref().unwrap_or(""), *holds)).collect();
        assert_eq!(
            texts,
            [
                ("hashing pauses: the machine runs on its battery", true),
                (
                    "hashing pauses: the processor is too hot at 90 °C, the limit is 80 °C, and the machine runs on \
                     its battery",
                    true
                ),
                (
                    "hashing pauses until it has 75 °C: the processor is too hot at 90 °C, the limit is 80 °C",
                    true
                ),
                ("hashing goes on at 60 °C", false),
                ("", false),
            ]
        );
    }
}
