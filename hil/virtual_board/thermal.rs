//! Heat: electric power warms the chips, the fan cools them.
//!
//! One heat capacity, one way out, whose resistance falls with the fan. The figures are this model's choice: at full fan
//! a board at its nominal power settles 30 K above its surroundings, without a fan 120 K above, within minutes.

use std::time::Duration;

const FULL_FAN_RISE: f64 = 30.0;
const NO_FAN_RISE: f64 = 120.0;
/// Seconds until a change is felt to 63 % at full fan.
const TIME_CONSTANT: f64 = 20.0;
/// Of a 40 mm fan.
const TOP_RPM: f64 = 5000.0;
const SURROUNDINGS: f64 = 25.0;

/// Temperatures and what makes them.
#[derive(Debug)]
pub(super) struct Thermal {
    nominal_watts: f64,
    pub(super) celsius: f64,
    until: Duration,
}

impl Thermal {
    pub(super) fn new(nominal_watts: f64) -> Self {
        Self { nominal_watts, celsius: SURROUNDINGS, until: Duration::ZERO }
    }

    /// Moves on to `now` with this power, a fan at `fan` (0 to 1, 0 when stuck), and `hot` kelvin more around the board.
    pub(super) fn advance(&mut self, watts: f64, fan: f64, hot: f64, now: Duration) {
        let passed = now.saturating_sub(self.until).as_secs_f64();
        self.until = now;
        let (conducted_full, conducted_none) = (1.0 / FULL_FAN_RISE, 1.0 / NO_FAN_RISE);
        let conducted = conducted_none + (conducted_full - conducted_none) * fan;
        let settled = SURROUNDINGS + hot + watts / self.nominal_watts / conducted;
        let kept = (-passed / TIME_CONSTANT * conducted / conducted_full).exp();
        self.celsius = settled + (self.celsius - settled) * kept;
    }
}

/// Turns a minute of a fan at `fan` (0 to 1).
pub(super) fn fan_rpm(fan: f64) -> f64 {
    TOP_RPM * fan
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(watts: f64, fan: f64, hot: f64) -> f64 {
        let mut thermal = Thermal::new(17.0);
        for second in 1..2000 {
            thermal.advance(watts, fan, hot, Duration::from_secs(second));
        }
        thermal.celsius
    }

    #[test]
    fn power_warms_a_fan_cools_and_a_board_without_either_stays_as_it_is() {
        assert_eq!(settled(0.0, 1.0, 0.0), 25.0);
        assert!((settled(17.0, 1.0, 0.0) - 55.0).abs() < 0.1);
        assert!((settled(17.0, 0.0, 0.0) - 145.0).abs() < 0.1);
        assert!((settled(8.5, 1.0, 40.0) - 80.0).abs() < 0.1);
    }

    #[test]
    fn the_way_there_does_not_depend_on_how_often_it_is_looked_at() {
        let (mut often, mut once) = (Thermal::new(17.0), Thermal::new(17.0));
        for tenth in 1..=200 {
            often.advance(17.0, 0.5, 0.0, Duration::from_millis(100 * tenth));
        }
        once.advance(17.0, 0.5, 0.0, Duration::from_secs(20));
        assert!((often.celsius - once.celsius).abs() < 1e-9);
    }
}
